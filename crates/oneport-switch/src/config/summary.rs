//! What a configuration would do, in a few lines.

use std::fmt;

use ipnet::IpNet;
use oneport_proto::EncryptionPolicy;

use super::{Config, Peer, StorePlace};
use crate::limits::{Direction, LimitConfig, Scope};
use crate::routing::{Destination, Route, Strategy};
use crate::sip::settings::{AUTO, CARRIER, Carrier, PhoneConfig, Transport};

/// What a configuration would do; prints as plain text.
///
/// ```
/// use std::path::Path;
///
/// use oneport_switch::Config;
///
/// let config = Config::parse(Path::new("oneport.toml"), "[peers.ann]\nsecret = \"hush\"")?;
/// let summary = config.summary().to_string();
/// assert!(summary.contains("ann") && !summary.contains("hush"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a>(&'a Config);

impl Config {
    /// What it would do.
    #[must_use]
    pub const fn summary(&self) -> Summary<'_> {
        Summary(self)
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(config) = self;
        let listen: Vec<String> = config.listen.iter().map(ToString::to_string).collect();
        writeln!(f, "listens on UDP {}", listen.join(", "))?;
        if let Some(profile) = config.profile {
            writeln!(
                f,
                "profile {}: nothing is encrypted, and call tokens are required",
                profile.name()
            )?;
        }
        let (all, each) = (config.endpoint.max_calls, config.endpoint.max_calls_per_address);
        writeln!(f, "limits: {all} calls at once, {each} for an address")?;
        let guests = &config.guests;
        if guests.enabled {
            let (calls, seconds) = (guests.calls, guests.duration.as_secs());
            writeln!(
                f,
                "guests: {calls} calls of {seconds} s at most, to echo, milliwatt and probe"
            )?;
        } else {
            writeln!(f, "guests: none")?;
        }
        writeln!(f, "\npeers: {}", config.peers.len() - config.carriers.len())?;
        for (name, peer) in config.peers.iter().filter(|(name, _)| !name.starts_with(CARRIER)) {
            writeln!(f, "  {name}: {}", describe(peer, config.phones.get(name)))?;
        }
        if !config.carriers.is_empty() || !config.phones.is_empty() {
            let listen = config.sip.listen.iter();
            let listen: Vec<String> = listen
                .map(|(transport, address)| {
                    format!("{} {address}", transport.name().to_ascii_uppercase())
                })
                .collect();
            writeln!(f, "\ncarriers: {}, SIP on {}", config.carriers.len(), listen.join(", "))?;
            for (name, carrier) in &config.carriers {
                writeln!(f, "  {name}: {}", describe_carrier(carrier))?;
            }
        }
        writeln!(f, "\nroutes, in the order in which they are tried: {}", config.routes.len())?;
        for context in contexts(config) {
            writeln!(f, "  in [{context}]")?;
            for route in in_order(config, context) {
                writeln!(f, "    {}", describe_route(route))?;
            }
        }
        if !config.limits.is_empty() {
            writeln!(f, "\nlimits: {}", config.limits.len())?;
            for limit in &config.limits {
                writeln!(f, "  {}: {}", limit.name, describe_limit(limit))?;
            }
        }
        if !config.music.is_empty() {
            writeln!(f, "\nmusic: {}", config.music.len())?;
            for (name, class) in &config.music {
                writeln!(f, "  {name}: {}", count(class.len(), "file"))?;
            }
        }
        writeln!(f, "\nregistrations elsewhere: {}", config.registrations.len())?;
        for registration in &config.registrations {
            writeln!(f, "  {} at {}", registration.username, registration.to)?;
        }
        writeln!(f)?;
        match &config.store.place {
            StorePlace::Nowhere => writeln!(f, "records: none are kept")?,
            StorePlace::Memory => writeln!(f, "records: in memory, until it stops")?,
            StorePlace::File(path) => writeln!(f, "records: in {}", path.display())?,
            StorePlace::Server { url, .. } => writeln!(f, "records: in {url}")?,
        }
        let api = &config.api;
        if !api.enabled {
            return writeln!(f, "API: none");
        }
        let tokens: Vec<String> = match api.tokens.as_slice() {
            [] => vec!["a token made at the start".into()],
            tokens => {
                tokens.iter().map(|token| format!("{} ({})", token.name(), token.role())).collect()
            }
        };
        writeln!(f, "API: http://{}, for {}", api.listen, tokens.join(", "))
    }
}

fn count(number: usize, one: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        number => format!("{number} {one}s"),
    }
}

/// The contexts of all routes, as they come.
fn contexts(config: &Config) -> Vec<&str> {
    let mut contexts = Vec::new();
    for context in config.routes.iter().flat_map(|route| &route.contexts) {
        if !contexts.contains(&context.as_str()) {
            contexts.push(context);
        }
    }
    contexts
}

/// The routes of a context, the most particular first.
fn in_order<'a>(config: &'a Config, context: &str) -> Vec<&'a Route> {
    let here = |route: &&Route| route.contexts.iter().any(|own| own == context);
    let mut routes: Vec<&Route> = config.routes.iter().filter(here).collect();
    routes.sort_by(|one, other| {
        let pattern = one.pattern.compare(&other.pattern);
        pattern.then_with(|| one.from.is_empty().cmp(&other.from.is_empty()))
    });
    routes
}

pub(crate) fn describe_route(route: &Route) -> String {
    let mut line = route.pattern.to_string();
    if !route.from.is_empty() {
        line.push_str(&format!(" from {}", route.from.join(", ")));
    }
    for (index, hours) in route.hours.iter().enumerate() {
        line.push_str(if index == 0 { " at " } else { " or " });
        line.push_str(&hours.to_string());
    }
    let between = match route.strategy {
        Strategy::Ordered => ", then ",
        Strategy::All => " and ",
        Strategy::Weighted(_) => " or ",
    };
    let to: Vec<String> = route.to.iter().map(describe_destination).collect();
    line.push_str(&format!(" → {}", to.join(between)));
    if let Some(timeout) = route.timeout {
        line.push_str(&format!(", {} s each", timeout.as_secs()));
    }
    if route.emergency {
        line.push_str(", past all limits");
    }
    line
}

/// Where a route leads, in words.
pub(crate) fn describe_destination(destination: &Destination) -> String {
    match destination {
        Destination::Peer { name, number } => {
            let who = match name.strip_prefix(CARRIER) {
                Some(carrier) => format!("carrier {carrier}"),
                None => format!("peer {name}"),
            };
            match number {
                None => who,
                Some(number) => format!("{who} at {number}"),
            }
        }
        Destination::Builtin(place) => place.to_string(),
        Destination::End(cause) => cause.to_string(),
    }
}

pub(crate) fn describe_limit(limit: &LimitConfig) -> String {
    let mut line = match &limit.scope {
        Scope::Switch => "the switch".into(),
        Scope::Peers(names) => names.join(", "),
        Scope::Number(pattern) => format!("numbers {pattern}"),
        Scope::EachNumber(pattern) => format!("each of numbers {pattern}"),
        Scope::Route(name) => format!("route {name}"),
    };
    match limit.direction {
        None => {}
        Some(Direction::In) => line.push_str(", inbound"),
        Some(Direction::Out) => line.push_str(", outbound"),
    }
    if let Some(calls) = limit.max_calls {
        line.push_str(&format!(", {} at once", count(calls, "call")));
    }
    if let Some(calls) = limit.max_calls_per_second {
        line.push_str(&format!(", {} in a second", count(calls, "new one")));
    }
    if limit.reserved_inbound > 0 {
        line.push_str(&format!(", {} kept for inbound calls", limit.reserved_inbound));
    }
    match limit.soft {
        true => line.push_str(", only warns"),
        false => line.push_str(&format!(", else {}", limit.cause)),
    }
    line
}

fn describe_carrier(carrier: &Carrier) -> String {
    let by = carrier.transport.map_or(AUTO, Transport::name);
    let mut words = vec![match carrier.port {
        Some(port) => format!("at {}:{port} by {by}", carrier.host),
        None => format!("at {} by {by}", carrier.host),
    }];
    words.extend(carrier.register.map(|_| "we register there".to_string()));
    let codecs: Vec<&str> = carrier.codecs.iter().map(|format| format.name()).collect();
    words.push(codecs.join(" "));
    words.join(", ")
}

fn describe(peer: &Peer, phone: Option<&PhoneConfig>) -> String {
    let mut words = vec![match (peer.address, phone) {
        _ if peer.nodes.is_some() => "every node of AllStarLink".into(),
        (Some(address), _) => format!("at {address}"),
        (None, Some(_)) => "registers by SIP".into(),
        (None, None) => "registers".into(),
    }];
    words.push(match (peer.secrets.is_empty(), peer.keys.is_empty(), phone) {
        (_, _, Some(phone)) => {
            let ways: Vec<&str> = phone.digests.iter().map(|way| way.name()).collect();
            format!("proves itself by {}", ways.join(" or "))
        }
        (true, true, None) if peer.nodes.is_some() => "known by where it is looked up".into(),
        (true, true, None) => "known by its address".into(),
        _ => format!("proves itself by {}", peer.methods),
    });
    match peer.encryption {
        EncryptionPolicy::Off => {}
        EncryptionPolicy::Allowed => words.push("encrypted where it can".into()),
        EncryptionPolicy::Required => words.push("encrypted".into()),
    }
    if peer.trunk.is_some() {
        words.push("trunk".into());
    }
    for (when, to) in [
        ("always", &peer.forwarding.always),
        ("when busy", &peer.forwarding.busy),
        ("on no answer", &peer.forwarding.no_answer),
    ] {
        if let Some(to) = to {
            words.push(format!("forwarded {when} to {}", describe_destination(to)));
        }
    }
    if let Some(bound) = &peer.bounds.duration {
        words.push(format!("calls of {} s at most", bound.time.as_secs()));
    }
    if let Some(bound) = &peer.bounds.silence {
        words.push(format!("ended after {} s without media", bound.time.as_secs()));
    }
    for acl in &peer.acls {
        let list = |networks: &[IpNet]| {
            networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        match acl.permit.as_deref() {
            None => {}
            Some([]) => words.push("from nowhere".into()),
            Some(networks) => words.push(format!("from {} only", list(networks))),
        }
        if !acl.deny.is_empty() {
            words.push(format!("not from {}", list(&acl.deny)));
        }
    }
    words.join(", ")
}
