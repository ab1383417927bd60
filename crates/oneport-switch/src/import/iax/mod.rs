//! `iax.conf`: users, peers, registrations and the options of all of them.

mod comfort;
mod draft;
mod general;
mod peer;
mod register;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use oneport_wire::{DEFAULT_PORT, Format};

use super::Options;
use super::conf::{Conf, Place, Section, Setting};
use super::expression::Names;
use super::options::{self, Scope};
use super::plan::{Plan, list};
use super::report::{Ledger, Verdict, without_secrets};

pub(super) use register::{split_port, written_address};

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
    /// Music that is heard on hold where a peer says nothing else.
    music: Option<String>,
    account_code: Option<String>,
    connected_line: Option<String>,
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

    /// An option that has no counterpart, or does not exist.
    fn other(&mut self, scope: Scope, setting: &Setting) {
        match options::why_not(scope, &setting.key) {
            Ok(why) => self.ledger.dropped(&setting.place, why),
            Err(what) => self.ledger.note(&setting.place, Verdict::Unknown, what),
        }
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
