//! `iax.conf`: users, peers, registrations and the options of all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;
use oneport_wire::{DEFAULT_PORT, Format};

use super::Options;
use super::acl::{self, Rule};
use super::conf::{Conf, Place, Section, Setting};
use super::expression::Names;
use super::options::{self, Scope};
use super::plan::{Peer, Plan, Registration, list, text};
use super::report::{Ledger, Verdict, without_secrets};
use super::routes::NOBODY;
use crate::config::DEFAULT_CODECS;

/// What `[general]` says for all.
#[derive(Debug, Default)]
struct Defaults {
    codecs: Option<Vec<Format>>,
    priority: Option<(String, Place)>,
    /// Where peers that have registered get a number.
    regcontext: Option<String>,
    trunk_interval: Option<(u64, Place)>,
    trunk_datagram: Option<(u64, Place)>,
    trunk_timestamps: Option<(bool, Place)>,
}

/// Reads `iax.conf` into the plan.
pub(super) struct Iax<'a> {
    options: &'a Options,
    ledger: &'a mut Ledger,
    plan: &'a mut Plan,
    acls: &'a Conf,
    /// Addresses of sections, out of dial strings in variables named after them.
    addresses: BTreeMap<String, IpAddr>,
    defaults: Defaults,
    listen: Vec<String>,
    /// Main port of the old server.
    port: u16,
    /// Networks from which call tokens need not come.
    tokenless: Vec<IpNet>,
    /// Names under which the server registered with itself, and the port of the relay.
    loops: BTreeMap<String, u16>,
}

/// Who a section stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    User,
    Peer,
    Friend,
}

/// `user[:secret]@host[:port]`.
struct Register {
    username: String,
    secret: Option<String>,
    key: Option<String>,
    host: String,
    port: u16,
}

impl Register {
    fn parse(value: &str) -> Option<Self> {
        let (user, host) = value.split_once('@')?;
        let (username, secret) = match user.split_once(':') {
            Some((username, secret)) => (username.trim(), Some(secret.trim())),
            None => (user.trim(), None),
        };
        let key = secret.and_then(|secret| secret.strip_prefix('[')?.strip_suffix(']'));
        let secret = secret.filter(|secret| key.is_none() && !secret.is_empty());
        let (host, port) = split_port(host.trim())?;
        (!username.is_empty() && !host.is_empty()).then(|| Self {
            username: username.into(),
            secret: secret.map(Into::into),
            key: key.map(Into::into),
            host,
            port: port.unwrap_or(DEFAULT_PORT),
        })
    }
}

/// `host`, `host:port`, `[address]` or `[address]:port`.
pub(super) fn split_port(text: &str) -> Option<(String, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, behind) = rest.split_once(']')?;
        let port = match behind.strip_prefix(':') {
            Some(port) => Some(port.parse().ok()?),
            None => None,
        };
        return Some((address.into(), port));
    }
    match text.split_once(':') {
        Some((_, port)) if port.contains(':') => Some((text.into(), None)),
        Some((host, port)) => Some((host.trim().into(), Some(port.trim().parse().ok()?))),
        None => Some((text.into(), None)),
    }
}

/// Host and port as the configuration wants them.
pub(super) fn written_address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What Asterisk takes for yes.
pub(crate) fn is_true(value: &str) -> bool {
    let words = ["yes", "true", "y", "t", "1", "on"];
    words.iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// What Asterisk takes for no.
pub(crate) fn is_false(value: &str) -> bool {
    let words = ["no", "false", "n", "f", "0", "off"];
    words.iter().any(|word| value.eq_ignore_ascii_case(word))
}

impl<'a> Iax<'a> {
    /// Reads `conf` into `plan`; access lists by name are in `acls`, and global variables of the
    /// dial plan in `globals`.
    pub(super) fn read(
        conf: &Conf,
        acls: &'a Conf,
        globals: &Names,
        options: &'a Options,
        ledger: &'a mut Ledger,
        plan: &'a mut Plan,
    ) {
        let mut iax = Iax {
            options,
            ledger,
            plan,
            acls,
            addresses: addresses(globals),
            defaults: Defaults::default(),
            listen: Vec::new(),
            port: DEFAULT_PORT,
            tokenless: Vec::new(),
            loops: BTreeMap::new(),
        };
        iax.expect_all(conf);
        for section in conf.named("general") {
            for setting in &section.settings {
                iax.general(setting);
            }
        }
        let entries = entries(conf);
        iax.plan.plaintext = entries.iter().any(|entry| {
            entry.last("auth").is_some_and(|auth| methods(auth).contains("plaintext"))
        });
        iax.find_loops(conf, &entries);
        for section in conf.named("callnumberlimits") {
            for setting in &section.settings {
                let why = "one limit holds for all addresses: server.max_calls_per_address";
                iax.ledger.dropped(&setting.place, why);
            }
        }
        for entry in &entries {
            iax.entry(entry);
        }
        for section in conf.named("general") {
            for setting in &section.settings {
                if setting.key == "register" {
                    iax.register(setting);
                }
            }
        }
        iax.finish();
    }

    /// Each line must have a fate in the end.
    fn expect_all(&mut self, conf: &Conf) {
        for remark in &conf.remarks {
            self.ledger.expect(&remark.place, without_secrets(&remark.text));
            match &remark.trouble {
                None => self.ledger.kept(&remark.place),
                Some(trouble) => self.ledger.dropped(&remark.place, trouble.clone()),
            }
        }
        for section in &conf.sections {
            for setting in &section.settings {
                let value = match setting.key.as_str() {
                    "secret" | "dbsecret" => "***".into(),
                    "register" => without_secrets(&setting.value),
                    _ => setting.value.clone(),
                };
                if setting.key == "secret" {
                    self.ledger.hide(&setting.value);
                }
                let arrow = if setting.key == "register" { " => " } else { "=" };
                let line = format!("{}{arrow}{value}", setting.name);
                self.ledger.expect(&setting.place, line);
            }
        }
    }

    /// A box that registers with itself does it through a relay, on a port that is not its own.
    fn find_loops(&mut self, conf: &Conf, entries: &[Section]) {
        for setting in conf.named("general").flat_map(|section| &section.settings) {
            if setting.key != "register" {
                continue;
            }
            let Some(register) = Register::parse(&setting.value) else { continue };
            let own = entries.iter().any(|entry| {
                entry.name == register.username
                    && entry.last("host").is_some_and(|host| host.eq_ignore_ascii_case("dynamic"))
            });
            if own && is_loopback(&register.host) && register.port != self.port {
                self.loops.insert(register.username, register.port);
            }
        }
    }

    fn general(&mut self, setting: &Setting) {
        let place = &setting.place;
        let value = setting.value.as_str();
        let number = || value.parse::<u64>().ok().map(|number| (number, place.clone()));
        match setting.key.as_str() {
            "bindport" => match value.parse::<u16>() {
                Ok(port) => {
                    self.port = port;
                    self.ledger.kept(place);
                }
                Err(_) => self.ledger.dropped(place, "it is no port"),
            },
            "bindaddr" => match split_port(value) {
                Some((host, port)) if host.parse::<IpAddr>().is_ok() => {
                    self.listen.push(written_address(&host, port.unwrap_or(self.port)));
                    self.ledger.kept(place);
                }
                _ => self.ledger.dropped(place, "listening needs an address, not a name"),
            },
            "bandwidth" => self.bandwidth(setting),
            "allow" | "disallow" => {
                let mut codecs = self.defaults.codecs.take();
                self.codecs(&mut codecs, setting);
                self.defaults.codecs = codecs;
            }
            "codecpriority" => {
                self.defaults.priority = Some((value.to_ascii_lowercase(), place.clone()));
            }
            "encryption" | "forceencryption" if is_false(value) => self.ledger.kept(place),
            "encryption" => self.server_key(place, "encryption", text("allowed")),
            "forceencryption" => self.server_key(place, "encryption", text("required")),
            "minregexpire" => self.timer(setting, "min_refresh_seconds", 10..=65_535),
            "maxregexpire" => self.timer(setting, "max_refresh_seconds", 10..=65_535),
            "pingtime" => self.timer(setting, "ping_seconds", 1..=3_600),
            "lagrqtime" => self.timer(setting, "lag_seconds", 1..=3_600),
            "calltokenexpiration" => self.timer(setting, "call_token_seconds", 1..=300),
            "autokill" if is_false(value) => self.ledger.kept(place),
            "autokill" if value.parse::<u64>().is_ok() => {
                self.timer(setting, "autokill_ms", 10..=60_000);
            }
            "autokill" => {
                self.plan.timers.push(("autokill_ms", "2000".into()));
                self.ledger.kept(place);
            }
            "maxauthreq" if value.parse::<u32>().is_ok_and(|number| number > 0) => {
                self.server_key(place, "max_challenges_per_user", value.into());
            }
            "regcontext" if !value.is_empty() => {
                self.defaults.regcontext = Some(value.into());
                self.ledger.kept(place);
            }
            "trunkfreq" => self.defaults.trunk_interval = number(),
            "trunkmtu" => self.defaults.trunk_datagram = number(),
            "trunktimestamps" => {
                self.defaults.trunk_timestamps = Some((is_true(value), place.clone()));
            }
            "maxcallnumbers" => match value.parse::<usize>() {
                Ok(number) => {
                    self.server_key(place, "max_calls_per_address", number.to_string());
                }
                Err(_) => self.ledger.dropped(place, "it is no number"),
            },
            "calltokenoptional" => self.token_optional(setting),
            "delayreject" if is_true(value) => self.ledger.kept(place),
            "delayreject" => {
                self.ledger.changed(place, "wrong proofs are always answered a second late");
            }
            "register" => {}
            _ => self.other(Scope::General, setting),
        }
    }

    /// A timer, if Oneport can have it.
    fn timer(&mut self, setting: &Setting, key: &'static str, range: RangeInclusive<u64>) {
        match setting.value.parse::<u64>() {
            Ok(number) if range.contains(&number) => {
                self.plan.timers.retain(|(other, _)| *other != key);
                self.plan.timers.push((key, number.to_string()));
                self.ledger.kept(&setting.place);
            }
            _ => {
                let why = format!("{key} can be {} to {}", range.start(), range.end());
                self.ledger.dropped(&setting.place, why);
            }
        }
    }

    fn server_key(&mut self, place: &Place, key: &'static str, value: String) {
        self.plan.server.retain(|(other, _)| *other != key);
        self.plan.server.push((key, value));
        self.ledger.kept(place);
    }

    /// An option that has no counterpart, or does not exist.
    fn other(&mut self, scope: Scope, setting: &Setting) {
        match options::why_not(scope, &setting.key) {
            Ok(why) => self.ledger.dropped(&setting.place, why),
            Err(what) => self.ledger.note(&setting.place, Verdict::Unknown, what),
        }
    }

    fn token_optional(&mut self, setting: &Setting) {
        match acl::read_network(&setting.value) {
            Some(network) if acl::is_everywhere(network) => {
                let why = "everywhere is no network that can be trusted; name those of the peers \
                           that send no call tokens by --trust";
                self.ledger.dropped(&setting.place, why);
            }
            Some(network) => {
                self.tokenless.push(network);
                let note = "no address in there is proved before a call takes up room";
                self.ledger.note(&setting.place, Verdict::Unsafe, note);
            }
            None => self.ledger.dropped(&setting.place, "it is no network"),
        }
    }

    /// The three codec sets that `bandwidth` names.
    fn bandwidth(&mut self, setting: &Setting) {
        let left_out: &[Format] = match setting.value.to_ascii_lowercase().as_str() {
            "high" => &[],
            "medium" => &[Format::SLIN, Format::ULAW, Format::ALAW, Format::G722],
            "low" => &[
                Format::SLIN,
                Format::ULAW,
                Format::ALAW,
                Format::G722,
                Format::G726,
                Format::ADPCM,
            ],
            _ => {
                let what = "it is low, medium or high";
                return self.ledger.note(&setting.place, Verdict::Unknown, what);
            }
        };
        if left_out.is_empty() {
            self.defaults.codecs = None;
            return self.ledger.kept(&setting.place);
        }
        let codecs = DEFAULT_CODECS
            .iter()
            .filter(|format| !left_out.contains(format) && **format != Format::SLIN16);
        let codecs: Vec<Format> = codecs.copied().collect();
        let names: Vec<&str> = codecs.iter().copied().map(Format::name).collect();
        self.ledger.changed(&setting.place, format!("codecs: {}", names.join(", ")));
        self.defaults.codecs = Some(codecs);
    }

    /// `allow` and `disallow`, in the order in which they stand.
    fn codecs(&mut self, codecs: &mut Option<Vec<Format>>, setting: &Setting) {
        self.ledger.kept(&setting.place);
        for word in setting.value.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let (word, allow) = match word.strip_prefix('!') {
                Some(word) => (word, false),
                None => (word, setting.key == "allow"),
            };
            let (name, framing) = word.split_once(':').unwrap_or((word, ""));
            if !framing.is_empty() {
                let note =
                    format!("frames of {framing} ms are not asked for; those that come pass");
                self.ledger.changed(&setting.place, note);
            }
            if name.eq_ignore_ascii_case("all") {
                *codecs = if allow { None } else { Some(Vec::new()) };
                continue;
            }
            let name = match name.to_ascii_lowercase().as_str() {
                "g723.1" => "g723".to_string(),
                "g726-32" => "g726".into(),
                "slinear" => "slin".into(),
                other => other.to_string(),
            };
            let Some(format) = Format::from_name(&name) else {
                let what = format!("IAX2 has no codec `{name}`");
                self.ledger.note(&setting.place, Verdict::Unknown, what);
                continue;
            };
            let set = codecs.get_or_insert_with(|| DEFAULT_CODECS.to_vec());
            set.retain(|other| *other != format);
            if allow {
                set.push(format);
            }
        }
    }

    fn entry(&mut self, entry: &Section) {
        let kind = match entry.last("type").map(str::to_ascii_lowercase).as_deref() {
            Some("user") => Kind::User,
            Some("peer") => Kind::Peer,
            Some("friend") => Kind::Friend,
            Some(_) => return self.drop_entry(entry, "its type is none of user, peer and friend"),
            None => return self.drop_entry(entry, "it has no type, so Asterisk does not use it"),
        };
        let mut draft = Draft::new(entry, kind);
        draft.loop_port = self.loops.get(&entry.name).copied();
        let rules = self.access_rules(entry);
        draft.allowed = acl::allowed(&rules);
        if draft.allowed.as_ref().is_some_and(Vec::is_empty) {
            return self.drop_entry(entry, "its access list lets nobody in");
        }
        draft.trusted = self.trusted(&draft);
        draft.codecs = self.defaults.codecs.clone();
        for setting in &entry.settings {
            self.option(&mut draft, setting);
        }
        if let Some(why) = draft.why_not() {
            return self.drop_entry(entry, why);
        }
        let peer = self.peer(draft);
        self.plan.peers.push(peer);
    }

    /// The section's lines are not carried over, all for one reason.
    fn drop_entry(&mut self, entry: &Section, why: &str) {
        self.ledger.expect(&entry.place, format!("[{}]", entry.name));
        self.ledger.dropped(&entry.place, why);
        for setting in &entry.settings {
            self.ledger.dropped(&setting.place, format!("[{}] is not carried over", entry.name));
        }
    }

    /// `permit`, `deny` and the rules of `acl`, in their order.
    fn access_rules(&mut self, entry: &Section) -> Vec<Rule> {
        let mut rules = Vec::new();
        for setting in &entry.settings {
            if setting.key == "acl" {
                for name in setting.value.split(',') {
                    let sections: Vec<&Section> = self.acls.named(name.trim()).collect();
                    if sections.is_empty() {
                        let why = format!("acl.conf has no [{}]", name.trim());
                        self.ledger.dropped(&setting.place, why);
                    }
                    for rule in sections.iter().flat_map(|section| &section.settings) {
                        self.access_rule(rule, &mut rules);
                    }
                }
            } else {
                self.access_rule(setting, &mut rules);
            }
        }
        rules
    }

    fn access_rule(&mut self, setting: &Setting, rules: &mut Vec<Rule>) {
        for rule in acl::read_rules(&setting.key, &setting.value) {
            match rule {
                Ok(rule) => rules.push(rule),
                Err(word) => {
                    let what = format!("`{word}` is no network");
                    self.ledger.note(&setting.place, Verdict::Unknown, what);
                }
            }
        }
    }

    /// The networks from which a peer may be weaker than others; empty where none is named.
    fn trusted(&self, draft: &Draft<'_>) -> Vec<IpNet> {
        if let Some(allowed) = &draft.allowed {
            return allowed.clone();
        }
        if draft.loop_port.is_some() {
            return vec![loopback()];
        }
        if let Some(address) = draft.host.and_then(|host| host.parse::<IpAddr>().ok()) {
            return vec![IpNet::from(address)];
        }
        match self.addresses.get(&draft.section.name.to_ascii_lowercase()) {
            Some(address) => vec![IpNet::from(*address)],
            None => self.options.trusted.clone(),
        }
    }

    fn option(&mut self, draft: &mut Draft<'_>, setting: &Setting) {
        let place = &setting.place;
        let value = setting.value.as_str();
        let lower = value.to_ascii_lowercase();
        match setting.key.as_str() {
            "type" => match draft.kind {
                Kind::User => self.ledger.kept(place),
                Kind::Peer if draft.is_dynamic() || draft.host.is_none() => {
                    self.ledger.changed(place, "it may call as well, by its secret");
                }
                Kind::Peer | Kind::Friend => self.ledger.kept(place),
            },
            "host" if draft.kind == Kind::User => {
                self.ledger.note(place, Verdict::Unknown, "a user has no host");
            }
            "host" if draft.is_dynamic() => self.ledger.kept(place),
            "host" | "port" if draft.kind != Kind::User => self.ledger.kept(place),
            "username" if draft.kind == Kind::User => {
                self.ledger.note(place, Verdict::Unknown, "a user is known by its section's name");
            }
            "username" => draft.keep(self.ledger, place, "username", text(value)),
            "secret" => self.secret(draft, setting),
            "context" => {
                draft.contexts.push((value.into(), place.clone()));
            }
            "auth" => self.auth(draft, setting),
            "inkeys" => self.inkeys(draft, setting),
            "outkey" => match self.key_file(value, "key") {
                Ok(file) => draft.keep(self.ledger, place, "outkey", text(&file)),
                Err(why) => {
                    draft.comments.push(format!("without outkey: {why}"));
                    self.ledger.dropped(place, why);
                }
            },
            "permit" | "deny" | "acl" => self.access(draft, setting),
            "allow" | "disallow" => {
                let mut codecs = draft.codecs.take();
                self.codecs(&mut codecs, setting);
                draft.codecs = codecs;
            }
            "codecpriority" => {
                draft.priority = Some((lower, place.clone()));
            }
            "encryption" | "forceencryption" if is_false(value) => {
                let global = self.plan.server.iter().any(|(key, _)| *key == "encryption");
                if global {
                    draft.set("encryption", text("off"));
                    let note = "off for this peer; Asterisk cannot take back what [general] says";
                    self.ledger.changed(place, note);
                } else {
                    self.ledger.kept(place);
                }
            }
            "encryption" if draft.keys.iter().any(|(key, _)| *key == "encryption") => {
                self.ledger.kept(place);
            }
            "encryption" => draft.keep(self.ledger, place, "encryption", text("allowed")),
            "forceencryption" => {
                draft.keep(self.ledger, place, "encryption", text("required"));
            }
            "requirecalltoken" => self.call_token(draft, setting),
            "qualify" => self.qualify(draft, setting),
            "qualifyfreqok" => self.qualify_interval(draft, setting),
            "qualifyfreqnotok" => match value.parse::<u64>() {
                Ok(ms) if ms >= 1_000 => {
                    let seconds = (ms / 1_000).min(3_600).to_string();
                    draft.keep(self.ledger, place, "qualify_not_ok_seconds", seconds);
                }
                _ => self.ledger.dropped(place, "it is no time in milliseconds above 1000"),
            },
            "qualifysmoothing" => {
                draft.keep(self.ledger, place, "qualify_smoothing", is_true(value).to_string());
            }
            "trunk" if is_false(value) => self.ledger.kept(place),
            "trunk" => {
                draft.trunk = true;
                draft.keep(self.ledger, place, "trunk", "true".into());
            }
            "transfer" if is_false(value) => self.ledger.kept(place),
            "transfer" => {
                let word = if lower == "mediaonly" { "media" } else { "yes" };
                let note = format!(
                    "calls stay here, as they do with Asterisk 22, which begins no transfers; \
                     write transfer = \"{word}\" where they shall leave"
                );
                self.ledger.changed(place, note);
            }
            "regexten" if !value.is_empty() && self.defaults.regcontext.is_some() => {
                draft.extensions.extend(value.split('&').map(Into::into));
                let note = "a route, which is there whether it is registered or not";
                self.ledger.changed(place, note);
            }
            "regexten" if !value.is_empty() => {
                self.ledger.dropped(place, "Asterisk reads it where [general] has a regcontext");
            }
            "description" => {
                draft.comments.push(value.into());
                self.ledger.changed(place, "a comment");
            }
            "sendani" if is_true(value) => self.ledger.kept(place),
            "mailbox" | "hasvoicemail" if value.is_empty() || is_false(value) => {
                self.ledger.kept(place);
            }
            _ => self.other(Scope::Entry, setting),
        }
    }

    fn secret(&mut self, draft: &mut Draft<'_>, setting: &Setting) {
        if setting.value.is_empty() {
            return self.ledger.dropped(&setting.place, "it is empty");
        }
        // Of a user any secret is good, of a peer the last one.
        match &mut draft.secret {
            Some(_) if draft.kind == Kind::User => {
                let why = "one secret is written; give others to peers of their own";
                self.ledger.dropped(&setting.place, why);
            }
            known => {
                if let Some((_, before)) =
                    known.replace((setting.value.clone(), setting.place.clone()))
                    && before != setting.place
                {
                    self.ledger.dropped(&before, "a later one counts");
                }
                self.ledger.kept(&setting.place);
            }
        }
    }

    /// How it proves who it is. Whoever has the secret can answer MD5, so plaintext is only kept
    /// where the network is named: our own calls to such a peer need it.
    fn auth(&mut self, draft: &mut Draft<'_>, setting: &Setting) {
        let methods = methods(&setting.value);
        let place = &setting.place;
        draft.auth = Some(place.clone());
        if !methods.contains("plaintext") {
            if methods.is_empty() {
                let what = "it is made of md5, rsa and plaintext";
                return self.ledger.note(place, Verdict::Unknown, what);
            }
            draft.methods = methods;
            return self.ledger.kept(place);
        }
        let others: BTreeSet<&'static str> =
            methods.iter().copied().filter(|method| *method == "rsa").chain(["md5"]).collect();
        if !acl::may_be_plain(&self.options.trusted, &draft.trusted) || draft.kind == Kind::User {
            draft.methods = others;
            let also = match draft.kind {
                Kind::User => "",
                _ => "; if it wants our secret in the clear, name its network by --trust",
            };
            let note = format!("md5, which everybody who has the secret can answer{also}");
            return self.ledger.changed(place, note);
        }
        draft.methods = others;
        draft.methods.insert("plaintext");
        draft.narrow = true;
        let networks = join(&draft.trusted);
        let note = format!(
            "md5 is offered first; the secret leaves in the clear where it asks for that, from \
             {networks} only"
        );
        self.ledger.note(place, Verdict::Unsafe, note);
    }

    fn call_token(&mut self, draft: &mut Draft<'_>, setting: &Setting) {
        let place = &setting.place;
        let value = setting.value.as_str();
        if is_true(value) {
            return self.ledger.kept(place);
        }
        if !is_false(value) && !value.eq_ignore_ascii_case("auto") {
            let what = "it is yes, no or auto";
            return self.ledger.note(place, Verdict::Unknown, what);
        }
        if draft.trusted.is_empty() {
            let note = "required: Asterisk sends call tokens since 1.6.2; for an older client name \
                        its network by --trust";
            return self.ledger.changed(place, note);
        }
        self.tokenless.extend(&draft.trusted);
        draft.narrow = true;
        let note = format!(
            "calls from {} take up room before their address is proved; from elsewhere a token \
             must come",
            join(&draft.trusted)
        );
        self.ledger.note(place, Verdict::Unsafe, note);
    }

    fn access(&mut self, draft: &Draft<'_>, setting: &Setting) {
        let place = &setting.place;
        let everywhere = setting.key == "permit"
            && acl::read_network(&setting.value).is_some_and(acl::is_everywhere);
        match &draft.allowed {
            None if everywhere && draft.narrow_to().is_some() => {
                let networks = draft.narrow_to().map(join).unwrap_or_default();
                self.ledger.changed(place, format!("narrowed to {networks}"));
            }
            None if everywhere => {
                let note = "everybody who finds the secret may come from anywhere";
                self.ledger.note(place, Verdict::Unsafe, note);
            }
            None => self.ledger.kept(place),
            Some(allowed) => {
                let denies = draft.section.settings.iter().any(|other| other.key == "deny");
                if denies || setting.key == "acl" {
                    self.ledger.kept(place);
                } else {
                    let note = format!(
                        "it may come from {} only; Asterisk lets everybody in where nothing is \
                         denied",
                        join(allowed)
                    );
                    self.ledger.changed(place, note);
                }
            }
        }
    }

    fn inkeys(&mut self, draft: &mut Draft<'_>, setting: &Setting) {
        let mut files = Vec::new();
        for name in setting.value.split(':').filter(|name| !name.is_empty()) {
            match self.key_file(name, "pub") {
                Ok(file) => files.push(file),
                Err(why) => {
                    draft.comments.push(format!("without a key: {why}"));
                    self.ledger.dropped(&setting.place, why);
                }
            }
        }
        if !files.is_empty() {
            draft.has_keys = true;
            draft.keep(self.ledger, &setting.place, "inkeys", list(files));
        }
    }

    /// The file of a key, where it is there.
    fn key_file(&self, name: &str, ending: &str) -> Result<String, String> {
        let file = format!("{name}.{ending}");
        let directory = &self.options.key_directory;
        if self.options.keys.contains(&file) {
            Ok(directory.join(&file).display().to_string())
        } else {
            Err(format!("there is no {file} in {} (--keys)", directory.display()))
        }
    }

    fn qualify(&mut self, draft: &mut Draft<'_>, setting: &Setting) {
        let place = &setting.place;
        let value = setting.value.as_str();
        match value.parse::<u64>() {
            Ok(limit) if (10..=60_000).contains(&limit) => {
                draft.keep(self.ledger, place, "qualify_limit_ms", limit.to_string());
            }
            _ if is_false(value) => {
                draft.set("qualify", "false".into());
                let note = "a peer behind a NAT is lost after 30 s, and calls to one that is gone \
                            wait for 32 s";
                self.ledger.note(place, Verdict::Unsafe, note);
            }
            _ if is_true(value) => self.ledger.kept(place),
            _ => self.ledger.note(place, Verdict::Unknown, "it is yes, no or milliseconds"),
        }
    }

    fn qualify_interval(&mut self, draft: &mut Draft<'_>, setting: &Setting) {
        let place = &setting.place;
        match setting.value.parse::<u64>() {
            Ok(ms) if (1_000..=25_000).contains(&ms) => {
                draft.keep(self.ledger, place, "qualify_seconds", (ms / 1000).to_string());
            }
            Ok(ms) if ms > 25_000 => {
                self.ledger.changed(place, "20 s, so that the way through a NAT stays open");
            }
            _ => self.ledger.dropped(place, "it is no time in milliseconds above 1000"),
        }
    }

    /// The peer of a draft that can be written.
    fn peer(&mut self, mut draft: Draft<'_>) -> Peer {
        let address = draft.address();
        let mut keys = Vec::new();
        if let Some((host, port)) = &address {
            keys.push(("address", text(&written_address(host, *port))));
        }
        if draft.loop_port.is_some() && !draft.keys.iter().any(|(key, _)| *key == "username") {
            draft.set("username", text(&draft.section.name));
        }
        keys.append(&mut draft.keys);
        if let Some(codecs) = &draft.codecs {
            keys.push(("codecs", list(codecs.iter().copied().map(Format::name))));
        }
        let priority = draft.priority.take().or_else(|| {
            (draft.kind != Kind::Peer).then(|| self.defaults.priority.clone()).flatten()
        });
        if let Some((priority, place)) = priority {
            if ["host", "caller", "disabled", "reqonly"].contains(&priority.as_str()) {
                keys.push(("codec_priority", text(&priority)));
                self.ledger.kept(&place);
            } else {
                let what = "it is host, caller, disabled or reqonly";
                self.ledger.note(&place, Verdict::Unknown, what);
            }
        }
        if draft.methods.contains("rsa")
            && !draft.has_keys
            && let Some(place) = &draft.auth
        {
            let note = "md5: its public key is not there (inkeys)";
            self.ledger.changed(place, note);
        }
        if !draft.methods.is_empty() {
            let known = |method: &&str| *method != "rsa" || draft.has_keys;
            let methods: Vec<&str> = draft.methods.iter().copied().filter(known).collect();
            let usual = if draft.has_keys { vec!["md5", "rsa"] } else { vec!["md5"] };
            if !methods.is_empty() && methods != usual {
                keys.push(("auth", list(methods)));
            }
        }
        let permit = draft.allowed.as_deref().or_else(|| draft.narrow_to());
        if let Some(permit) = permit {
            keys.push(("permit", list(permit)));
        }
        if draft.trunk {
            self.trunk(&mut keys);
        }
        let mut comments = vec![draft.section.place.to_string()];
        comments.append(&mut draft.comments);
        for extension in &draft.extensions {
            let mut route = super::plan::Route::default();
            route.comments.push(format!("regexten of {}", draft.section.name));
            route.keys.push(("number", text(extension)));
            route.keys.extend(
                self.defaults.regcontext.iter().map(|context| ("contexts", list([context]))),
            );
            route.keys.push(("to", list([format!("peer:{}", draft.section.name)])));
            self.plan.routes.push(route);
        }
        if draft.kind == Kind::Peer && draft.contexts.is_empty() {
            // In Asterisk it cannot call at all.
            draft.contexts.push((NOBODY.into(), draft.section.place.clone()));
        }
        Peer {
            name: draft.section.name.clone(),
            comments,
            secret: draft.secret.map(|(secret, _)| secret),
            keys,
            address,
            contexts: draft.contexts,
            dialable: draft.kind != Kind::User,
            loop_port: draft.loop_port,
        }
    }

    fn trunk(&mut self, keys: &mut super::plan::Keys) {
        if let Some((on, place)) = self.defaults.trunk_timestamps.clone() {
            if on {
                self.ledger.kept(&place);
            } else {
                keys.push(("trunk_timestamps", "false".into()));
                let note = "the far jitter buffer cannot tell the calls' delays apart";
                self.ledger.note(&place, Verdict::Unsafe, note);
            }
        }
        if let Some((bytes, place)) = self.defaults.trunk_datagram.clone() {
            if (172..=3_999).contains(&bytes) {
                keys.push(("trunk_max_datagram", bytes.to_string()));
                self.ledger.kept(&place);
            } else {
                self.ledger.changed(&place, "1400 bytes, which pass every usual network whole");
            }
        }
        if let Some((ms, place)) = self.defaults.trunk_interval.clone() {
            if (5..=200).contains(&ms) {
                keys.push(("trunk_interval_ms", ms.to_string()));
                self.ledger.kept(&place);
            } else {
                self.ledger.changed(&place, "20 ms; 5 to 200 can be had");
            }
        }
    }

    fn register(&mut self, setting: &Setting) {
        let place = &setting.place;
        let Some(register) = Register::parse(&setting.value) else {
            let what = "it is not user[:secret or [key]]@host[:port]";
            return self.ledger.note(place, Verdict::Unknown, what);
        };
        if let Some(secret) = &register.secret {
            self.ledger.hide(secret);
        }
        let is_loop = self.loops.get(&register.username) == Some(&register.port);
        if is_loop && is_loopback(&register.host) {
            let note = format!(
                "port {} is listened on here, and the box that registers there is reached as \
                 peer `{}`: no relay is needed",
                register.port, register.username
            );
            return self.ledger.changed(place, note);
        }
        let mut new = Registration {
            comments: vec![place.to_string()],
            username: register.username.clone(),
            host: written_address(&register.host, register.port),
            secret: register.secret.clone(),
            keys: Vec::new(),
        };
        let mut fate = (Verdict::Kept, String::new());
        if let Some(key) = &register.key {
            match self.key_file(key, "key") {
                Ok(file) => new.keys.push(("outkey", text(&file))),
                Err(why) => {
                    fate = (Verdict::Changed, format!("written without its key: {why}"));
                }
            }
        } else if self.plan.plaintext && new.secret.is_some() {
            // Where peers prove by plaintext here, others probably want the same of us.
            let networks: Vec<IpNet> =
                register.host.parse::<IpAddr>().map(IpNet::from).into_iter().collect();
            fate = if acl::may_be_plain(&self.options.trusted, &networks) {
                new.keys.push(("allow_plaintext", "true".into()));
                let note = "the secret leaves in the clear where that registrar asks for it, as \
                            the sections of this file do";
                (Verdict::Unsafe, note.into())
            } else {
                let note = "the secret never leaves in the clear; if that registrar wants it so, \
                            name its network by --trust";
                (Verdict::Changed, note.into())
            };
        }
        self.ledger.note(place, fate.0, fate.1);
        self.plan.registrations.push(new);
    }

    fn finish(mut self) {
        self.check_refresh();
        let trunk = [
            self.defaults.trunk_interval.take().map(|(_, place)| place),
            self.defaults.trunk_datagram.take().map(|(_, place)| place),
            self.defaults.trunk_timestamps.take().map(|(_, place)| place),
        ];
        if !self.plan.peers.iter().any(|peer| peer.keys.iter().any(|(key, _)| *key == "trunk")) {
            for place in trunk.into_iter().flatten() {
                self.ledger.dropped(&place, "no peer has trunk=yes");
            }
        }
        let Self { ledger, plan, mut listen, port, loops, tokenless, .. } = self;
        let ports: BTreeSet<u16> = loops.values().copied().collect();
        if !ports.is_empty() || port != DEFAULT_PORT {
            if listen.is_empty() {
                listen.push(format!("0.0.0.0:{port}"));
            }
            listen.extend(ports.iter().map(|port| format!("127.0.0.1:{port}")));
        }
        if !ports.is_empty() {
            let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
            ledger.advise(format!(
                "The relay to ports {} can go: oneport listens there. The box keeps its iax.conf; \
                 on the same machine it needs another port than {port}: give it a bindport of its \
                 own.",
                ports.join(", ")
            ));
        }
        if !listen.is_empty() {
            plan.server.insert(0, ("listen", list(listen)));
        }
        if !tokenless.is_empty() {
            let networks = IpNet::aggregate(&tokenless);
            plan.server.push(("call_token_optional", list(networks)));
        }
    }
}

impl Iax<'_> {
    /// Asterisk does not mind a least time above the greatest one.
    fn check_refresh(&mut self) {
        let timers = &mut self.plan.timers;
        let find = |wanted: &str| {
            let found = timers.iter().find(|(key, _)| *key == wanted);
            found.and_then(|(_, value)| value.parse::<u64>().ok())
        };
        let (least, most) = (find("min_refresh_seconds"), find("max_refresh_seconds"));
        if let (Some(least), Some(most)) = (least, most)
            && least > most
        {
            timers.retain(|(key, _)| *key != "min_refresh_seconds");
            self.ledger.advise("minregexpire is above maxregexpire, and was left out");
        }
    }
}

fn loopback() -> IpNet {
    IpNet::V4(ipnet::Ipv4Net::new_assert(std::net::Ipv4Addr::new(127, 0, 0, 0), 8))
}

fn join(networks: &[IpNet]) -> String {
    networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Where boxes are that are called by variables of their names: VICIdial's `TRUNKbox2` holds
/// `IAX2/us:secret@address:port`, and `[box2]` is the same box when it calls us.
fn addresses(globals: &Names) -> BTreeMap<String, IpAddr> {
    let of = |(name, value): (&String, &String)| {
        let section = name.strip_prefix("trunk")?;
        let (_, host) = value.rsplit_once('@')?;
        let (host, _) = split_port(host)?;
        Some((section.to_string(), host.parse().ok()?))
    };
    globals.iter().filter_map(of).collect()
}

/// The methods that `auth` names.
pub(crate) fn methods(value: &str) -> BTreeSet<&'static str> {
    let known = ["md5", "plaintext", "rsa"];
    known.into_iter().filter(|method| value.to_ascii_lowercase().contains(method)).collect()
}

/// The sections that stand for somebody; of two with one name the second adds to the first, as in
/// Asterisk.
pub(crate) fn entries(conf: &Conf) -> Vec<Section> {
    let mut entries: Vec<Section> = Vec::new();
    for section in &conf.sections {
        let special = ["general", "callnumberlimits"];
        if section.template || special.iter().any(|name| section.name.eq_ignore_ascii_case(name)) {
            continue;
        }
        match entries.iter_mut().find(|entry| entry.name == section.name) {
            Some(entry) => entry.settings.extend(section.settings.iter().cloned()),
            None => entries.push(section.clone()),
        }
    }
    entries
}

/// A section on its way to a peer.
struct Draft<'a> {
    section: &'a Section,
    kind: Kind,
    host: Option<&'a str>,
    secret: Option<(String, Place)>,
    has_keys: bool,
    keys: super::plan::Keys,
    comments: Vec<String>,
    contexts: Vec<(String, Place)>,
    codecs: Option<Vec<Format>>,
    priority: Option<(String, Place)>,
    methods: BTreeSet<&'static str>,
    auth: Option<Place>,
    /// What its access list lets in; `None`: everybody.
    allowed: Option<Vec<IpNet>>,
    /// Where it may be weak.
    trusted: Vec<IpNet>,
    /// It is weak, so it may come from there only.
    narrow: bool,
    trunk: bool,
    /// It is the box itself, through a relay on this port.
    loop_port: Option<u16>,
    extensions: Vec<String>,
}

impl<'a> Draft<'a> {
    fn new(section: &'a Section, kind: Kind) -> Self {
        let host = section.last("host").filter(|_| kind != Kind::User);
        Self {
            section,
            kind,
            host,
            secret: None,
            has_keys: false,
            keys: Vec::new(),
            comments: Vec::new(),
            contexts: Vec::new(),
            codecs: None,
            priority: None,
            methods: BTreeSet::new(),
            auth: None,
            allowed: None,
            trusted: Vec::new(),
            narrow: false,
            trunk: false,
            loop_port: None,
            extensions: Vec::new(),
        }
    }

    fn is_dynamic(&self) -> bool {
        self.host.is_some_and(|host| host.eq_ignore_ascii_case("dynamic"))
    }

    /// Where it always is.
    fn address(&self) -> Option<(String, u16)> {
        let host = self.host.filter(|_| !self.is_dynamic())?;
        let (host, port) = split_port(host)?;
        let own = self.section.last("port").and_then(|port| port.parse().ok());
        Some((host, own.or(port).unwrap_or(DEFAULT_PORT)))
    }

    /// Where it is allowed to come from because it is weak.
    fn narrow_to(&self) -> Option<&[IpNet]> {
        (self.narrow && self.allowed.is_none()).then_some(&*self.trusted)
    }

    /// Why it cannot be a peer.
    fn why_not(&self) -> Option<&'static str> {
        let proof = self.secret.is_some() || self.has_keys;
        match self.kind {
            _ if proof || self.address().is_some() => None,
            Kind::User => Some(
                "without a secret it lets in everybody who knows the name; callers without a name \
                 are guests here, and reach echo and milliwatt ([guests])",
            ),
            _ if self.is_dynamic() => {
                Some("it registers without a secret or key, so everybody could in its place")
            }
            _ => Some("it has neither host nor secret, so nobody can be told to be it"),
        }
    }

    fn set(&mut self, key: &'static str, value: String) {
        self.keys.retain(|(other, _)| *other != key);
        self.keys.push((key, value));
    }

    fn keep(&mut self, ledger: &mut Ledger, place: &Place, key: &'static str, value: String) {
        self.set(key, value);
        ledger.kept(place);
    }
}
