//! A survey of `oneport.toml`: what its keys mean comes from the configuration that was read, where
//! they stand from its text.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use oneport_proto::EncryptionPolicy;
use oneport_wire::AuthMethods;
use toml::de::{DeTable, DeValue};
use url::{Host, Url};

use super::{Dialect, Finding, Registrar, RouteSubject, Subject, Survey, rules};
use crate::config::{Config, ConfigError, Peer, Profile, SharedText};
use crate::import::Place;
use crate::routing::Destination;
use crate::sip::settings::PhoneConfig;

/// Marks of the CPU above this leave too little to act in time.
const LATEST_PERCENT: u32 = 97;

/// Examines the text of a configuration that came from `path`, and what is `shared` beside it. `is_readable` says of a
/// file whether others than its owner may read it.
///
/// # Errors
/// It is no good configuration.
pub fn examine(
    path: &Path,
    text: &str,
    shared: Option<&SharedText>,
    is_readable: &dyn Fn(&Path) -> bool,
) -> Result<Vec<Finding>, ConfigError> {
    let config = Config::parse_with(path, text, shared)?;
    let file = path.display().to_string();
    let shared_name = shared.map(|shared| shared.name().display().to_string());
    let both = match shared {
        Some(shared) => format!("{text}\n{}", shared.text),
        None => text.to_string(),
    };
    // It was parsed once already.
    let table = DeTable::parse(&both).map(|table| table.into_inner()).unwrap_or_default();
    let begin = text.len() + 1;
    let document =
        Document { file: &file, text: &both, shared: shared_name.as_deref(), begin, table };
    let survey = document.survey(&config);
    let mut findings = rules::apply(&survey);
    if is_readable(path) {
        let inline = document
            .named("peers")
            .into_iter()
            .filter_map(|(name, keys, _)| keys.get("secret").map(|secret| (name, secret.span())))
            .filter(|(_, span)| span.start < begin);
        for (name, span) in inline {
            findings.push(rules::readable(&survey, &name, &document.place(span)));
        }
    }
    for (name, keys, _) in document.named("peers") {
        let Some(key) = keys.get("secret_file") else { continue };
        if key.get_ref().as_str().is_some_and(|file| is_readable(Path::new(file))) {
            findings.push(rules::readable(&survey, &name, &document.place(key.span())));
        }
    }
    Ok(rules::in_order(findings))
}

type Keys<'a> = BTreeMap<&'a str, &'a toml::Spanned<DeValue<'a>>>;

struct Document<'a> {
    file: &'a str,
    /// Of the file and, below it, of what is shared.
    text: &'a str,
    /// What the second part goes by, where there is one.
    shared: Option<&'a str>,
    /// The byte at which that begins.
    begin: usize,
    table: DeTable<'a>,
}

impl Document<'_> {
    fn place(&self, span: Range<usize>) -> Place {
        let (file, begin) = match self.shared {
            Some(shared) if span.start >= self.begin => (shared, self.begin),
            _ => (self.file, 0),
        };
        let before = self.text.get(begin..span.start).unwrap_or(self.text);
        Place { file: file.into(), line: before.matches('\n').count() + 1 }
    }

    /// The tables of a table: name, keys, and where the name stands.
    fn named(&self, section: &str) -> Vec<(String, Keys<'_>, Range<usize>)> {
        let tables = self.table.get(section).and_then(|section| section.get_ref().as_table());
        let tables = tables.into_iter().flat_map(|tables| tables.iter());
        tables
            .filter_map(|(name, keys)| {
                let keys = keys_of(keys.get_ref().as_table()?);
                Some((name.get_ref().to_string(), keys, name.span()))
            })
            .collect()
    }

    /// The tables of a list: keys, and where each begins.
    fn listed(&self, section: &str) -> Vec<(Keys<'_>, Range<usize>)> {
        let tables = self.table.get(section).and_then(|section| section.get_ref().as_array());
        let tables = tables.into_iter().flat_map(|tables| tables.iter());
        tables.filter_map(|one| Some((keys_of(one.get_ref().as_table()?), one.span()))).collect()
    }

    fn survey(&self, config: &Config) -> Survey {
        let peers = self.named("peers").into_iter().filter_map(|(name, keys, span)| {
            let (peer, phone) = (config.peers.get(&name)?, config.phones.get(&name));
            Some(self.subject(name, peer, phone, &keys, self.place(span)))
        });
        let routes = self.listed("routes").into_iter().zip(&config.routes);
        let routes = routes.map(|((_, span), route)| RouteSubject {
            place: self.place(span),
            pattern: route.pattern.clone(),
            contexts: route.contexts.clone(),
            from: route.from.clone(),
            at_some_hours: !route.hours.is_empty(),
            peers: route
                .to
                .iter()
                .filter_map(|to| match to {
                    Destination::Peer { name, .. } => Some(name.clone()),
                    _ => None,
                })
                .collect(),
        });
        let registrations = self.listed("registrations").into_iter().zip(&config.registrations);
        let registrations = registrations.map(|((keys, span), registration)| Registrar {
            place: self.place(span),
            to: registration.to.to_string(),
            has_proof: registration.secret.is_some() || registration.key.is_some(),
            plaintext: keys
                .get("allow_plaintext")
                .filter(|_| registration.allow_plaintext)
                .map(|key| self.place(key.span())),
        });
        let server = self.table.get("server").and_then(|server| server.get_ref().as_table());
        let networks = server.and_then(|server| server.get("call_token_optional"));
        let networks = networks.and_then(|networks| networks.get_ref().as_array());
        let tokenless = networks.into_iter().flat_map(|networks| networks.iter());
        let tokenless = tokenless.filter_map(|network| {
            let parsed = network.get_ref().as_str()?.parse().ok()?;
            Some((parsed, self.place(network.span())))
        });
        let api = self.table.get("api").and_then(|api| api.get_ref().as_table());
        let api = api.and_then(|api| api.get("listen")).map(|listen| self.place(listen.span()));
        let is_beyond = config.api.enabled && !config.api.listen.ip().is_loopback();
        let guests = self.table.get_key_value("guests").map(|(key, _)| self.place(key.span()));
        Survey {
            dialect: Dialect::Ours,
            peers: peers.collect(),
            routes: routes.collect(),
            registrations: registrations.collect(),
            guests: config.guests.enabled.then(|| guests.unwrap_or_else(|| self.place(0..0))),
            tokenless: tokenless.collect(),
            api: api.filter(|_| is_beyond).map(|place| (config.api.listen, place)),
            traces: self.traces(config),
            no_overload_control: self.overload(config),
            for_radio: self.profile(server, config),
            jitter_buffer: false,
        }
    }

    /// Where the file says that traces go to another machine in the clear, and whether headers go along.
    fn traces(&self, config: &Config) -> Option<(bool, Place)> {
        let traces = config.traces.as_ref()?;
        let url = Url::parse(&traces.to).ok().filter(|url| url.scheme() == "http")?;
        let is_here = match url.host()? {
            Host::Domain(name) => name == "localhost",
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
        };
        let keys = keys_of(self.table.get("traces")?.get_ref().as_table()?);
        let place = self.place(keys.get("to")?.span());
        (!is_here).then_some((!traces.headers.is_empty(), place))
    }

    /// Where the file says that it is for amateur radio.
    fn profile(&self, server: Option<&DeTable<'_>>, config: &Config) -> Option<Place> {
        let said = server?.get("profile")?;
        (config.profile == Some(Profile::AmateurRadio)).then(|| self.place(said.span()))
    }

    /// What the file says of overload, and where, if that leaves too little to act in time.
    fn overload(&self, config: &Config) -> Option<(String, Place)> {
        let keys = keys_of(self.table.get("overload")?.get_ref().as_table()?);
        let at = |key: &str| keys.get(key).map(|value| self.place(value.span()));
        let percent = config.overload.cpu_percent;
        if !config.overload.enabled {
            return Some(("new calls are never refused for overload".into(), at("enabled")?));
        }
        let what = format!("new calls are refused for overload at {percent} % of the CPU only");
        (percent > LATEST_PERCENT).then_some((what, at("cpu_percent")?))
    }

    /// Of a peer; of a phone that speaks SIP the gateway has the secrets and the polls.
    fn subject(
        &self,
        name: String,
        peer: &Peer,
        phone: Option<&PhoneConfig>,
        keys: &Keys<'_>,
        place: Place,
    ) -> Subject {
        let at = |key: &str| keys.get(key).map(|value| self.place(value.span()));
        let or_here = |key: &str| at(key).unwrap_or_else(|| place.clone());
        let says = |key: &str| keys.get(key).and_then(|value| value.get_ref().as_str());
        let secret_keys = ["secret", "secret_file", "secret_env"];
        let places = secret_keys.into_iter().filter_map(at);
        let secrets = phone.map_or(&peer.secrets, |phone| &phone.secrets).iter().zip(places);
        let polls = match phone {
            Some(phone) => phone.watch.map(|watch| watch.interval),
            None => peer.qualify.map(|qualify| qualify.interval),
        };
        let networks = peer.networks().unwrap_or_default();
        let everywhere = networks.iter().any(|network| network.prefix_len() == 0);
        let weak_token = says("call_token").is_some_and(|word| word != "required");
        let needs_token = says("call_token") == Some("required");
        let trunk = peer.trunk.as_ref();
        Subject {
            address: peer.address.map(|address| address.ip()),
            is_fixed: peer.address.is_some(),
            dialable: true,
            plaintext: peer.methods.contains(AuthMethods::PLAINTEXT).then(|| or_here("auth")),
            permit_all: everywhere.then(|| or_here("permit")),
            permit: if everywhere { Vec::new() } else { networks.to_vec() },
            tokenless: weak_token.then(|| or_here("call_token")),
            needs_token,
            has_proof: phone.is_some() || peer.has_proof(),
            trunk: trunk.is_some(),
            no_timestamps: trunk
                .is_some_and(|trunk| !trunk.timestamps)
                .then(|| or_here("trunk_timestamps")),
            codecs: peer.codecs.clone(),
            codecs_place: or_here("codecs"),
            encrypted: peer.encryption != EncryptionPolicy::Off,
            unpolled: polls.is_none().then(|| or_here("qualify")),
            polls: polls.map(|interval| (interval.as_secs(), or_here("qualify_seconds"))),
            secrets: secrets.map(|(secret, place)| (secret.expose().to_string(), place)).collect(),
            contexts: peer.contexts.clone(),
            name,
            place,
        }
    }
}

fn keys_of<'a>(table: &'a DeTable<'a>) -> Keys<'a> {
    table.iter().map(|(key, value)| (&**key.get_ref(), value)).collect()
}
