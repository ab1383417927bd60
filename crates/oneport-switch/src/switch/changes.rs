//! What another configuration would change, in words: an operator reads that before it is taken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use oneport_proto::TokenRule;

use super::{Standing, Switch};
use crate::cluster::SWITCH;
use crate::config::{Config, KnownHosts, Peer, describe_limit, describe_route};
use crate::routing::{DEFAULT_CONTEXT, Route};
use crate::sip::settings::{CARRIER, PhoneConfig};

/// What stands in the place of something that has changed.
type Describe<T> = fn(&T) -> String;

/// A line for each of `now` that was not among `before`, or was otherwise, and for each that is gone.
fn differences<'a, T: 'a>(
    what: &str,
    before: impl IntoIterator<Item = (String, &'a T)>,
    now: impl IntoIterator<Item = (String, &'a T)>,
    same: impl Fn(&T, &T) -> bool,
    describe: Option<Describe<T>>,
) -> Vec<String> {
    let before: BTreeMap<String, &T> = before.into_iter().collect();
    let now: BTreeMap<String, &T> = now.into_iter().collect();
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let line = |name: &&String| {
        let now = now.get(*name);
        let how = match (before.get(*name), now) {
            (Some(before), Some(now)) if same(before, now) => return None,
            (_, None) => return Some(format!("{what} {name} is gone")),
            (None, _) => "is new",
            _ => "has changed",
        };
        let words = now.zip(describe).map(|(now, describe)| format!(": {}", describe(now)));
        Some(format!("{what} {name} {how}{}", words.unwrap_or_default()))
    };
    names.iter().filter_map(line).collect()
}

/// By what people know a route: there may be others of its name for other callers.
fn name_of(route: &Route) -> String {
    let mut name = route.name.clone();
    if route.contexts != [DEFAULT_CONTEXT] {
        name.push_str(&format!(" in {}", route.contexts.join(", ")));
    }
    if !route.from.is_empty() {
        name.push_str(&format!(" from {}", route.from.join(", ")));
    }
    name
}

fn entries<T>(map: &BTreeMap<String, T>) -> impl Iterator<Item = (String, &T)> {
    map.iter().map(|(name, one)| (name.clone(), one))
}

/// A peer, what it is as a phone, and whether it needs call tokens.
type Compared<'a> = (Arc<Peer>, Option<&'a PhoneConfig>, Option<TokenRule>);

/// All but carriers, which are compared as such, and other switches, which no file has.
fn peers_of(config: &Config) -> BTreeMap<String, Compared<'_>> {
    let rules = &config.endpoint.call_token.users;
    let is_own = |name: &str| !name.starts_with(CARRIER) && !name.starts_with(SWITCH);
    let peers = config.peers.iter().filter(|(name, _)| is_own(name));
    let compared = |(name, peer): (&String, &Arc<Peer>)| {
        let (mut peer, phone) = (peer.clone(), config.phones.get(name));
        if phone.is_some() {
            // Those are the gateway's.
            let peer = Arc::make_mut(&mut peer);
            (peer.secrets, peer.acls) = (Vec::new(), Vec::new());
        }
        (name.clone(), (peer, phone, rules.get(name).copied()))
    };
    peers.map(compared).collect()
}

/// All but its notice shows in the description of a value for debugging, which nobody else reads.
fn alike(one: &impl std::fmt::Debug, other: &impl std::fmt::Debug) -> bool {
    format!("{one:?}") == format!("{other:?}")
}

/// Where hosts are, in words.
fn hosts_of(config: &Config) -> BTreeMap<&str, String> {
    let KnownHosts { addresses, registrars } = &config.hosts;
    let registrars = registrars.iter().map(|(written, places)| {
        let places: Vec<String> = places.iter().map(|place| place.address.to_string()).collect();
        (written.as_str(), places.join(", "))
    });
    let peers = addresses.iter().map(|(host, ip)| (host.as_str(), ip.to_string()));
    registrars.chain(peers).collect()
}

impl Switch {
    /// What would change with another configuration, a line each.
    pub(crate) fn changes(&self, config: &Config) -> Vec<String> {
        let before = &self.config;
        let mut changes = self.not_before_the_next_start(config);
        let (old, new) = (hosts_of(before), hosts_of(config));
        for (host, place) in new {
            match old.get(host) {
                Some(old) if *old != place => {
                    changes.push(format!("host {host} is at {place} now"))
                }
                None if before.lost_hosts.contains(host) => {
                    changes.push(format!("host {host} is found, at {place}"));
                }
                _ => {}
            }
        }
        for host in config.lost_hosts.difference(&before.lost_hosts) {
            changes.push(format!("host {host} cannot be found"));
        }
        let (mut old, new) = (peers_of(before), peers_of(config));
        // No file has those of tables.
        old.retain(|name, _| !self.rows.has(name) || new.contains_key(name));
        changes.extend(differences("peer", entries(&old), entries(&new), PartialEq::eq, None));
        changes.extend(differences(
            "carrier",
            entries(&before.carriers),
            entries(&config.carriers),
            PartialEq::eq,
            None,
        ));
        let mut wanted = config.registrations.clone();
        for standing in self.registrations.values() {
            match wanted.iter().position(|config| *config == standing.config) {
                Some(place) => drop(wanted.swap_remove(place)),
                None => changes.push(format!("{standing} ends")),
            }
        }
        for config in wanted {
            changes.push(format!("{} is new", Standing::new(config)));
        }
        changes.extend(differences(
            "route",
            before.routes.iter().map(|route| (name_of(route), route)),
            config.routes.iter().map(|route| (name_of(route), route)),
            |one, other| alike(one, other) && one.notice == other.notice,
            Some(describe_route),
        ));
        changes.extend(differences(
            "limit",
            before.limits.iter().map(|limit| (limit.name.clone(), limit)),
            config.limits.iter().map(|limit| (limit.name.clone(), limit)),
            |one, other| alike(one, other) && one.notice == other.notice,
            Some(describe_limit),
        ));
        changes.extend(differences(
            "music",
            entries(&before.music),
            entries(&config.music),
            |one, other| one == other,
            None,
        ));
        changes.extend(differences(
            "conference",
            entries(&before.conferences),
            entries(&config.conferences),
            PartialEq::eq,
            None,
        ));
        changes.extend(differences(
            "token",
            before.api.tokens.iter().map(|token| (token.name().to_string(), token)),
            config.api.tokens.iter().map(|token| (token.name().to_string(), token)),
            PartialEq::eq,
            None,
        ));
        let engine = |config: &Config| {
            let mut engine = config.endpoint.clone();
            // Those of peers are among the peers; firmware is compared by itself.
            engine.call_token.users.clear();
            engine.call_token.peers.clear();
            engine.firmware.clear();
            format!("{engine:?}{:?}{:?}{:?}", config.profile, config.encryption, config.timezone)
        };
        for (what, same) in [
            ("[guests] has changed", alike(&before.guests, &config.guests)),
            ("[server] or [timers] has changed", engine(before) == engine(config)),
            ("firmware has changed", before.endpoint.firmware == config.endpoint.firmware),
            ("[allstar] has changed", before.nodes == config.nodes),
            ("[parking] has changed", before.parking == config.parking),
            ("[traces] has changed", before.traces == config.traces),
            ("[overload] has changed", before.overload == config.overload),
            ("[audio] has changed", alike(&before.files, &config.files)),
            ("store.max_waiting has changed", before.store.max_waiting == config.store.max_waiting),
        ] {
            if !same {
                changes.push(what.into());
            }
        }
        changes
    }

    /// What does not change while it runs.
    fn not_before_the_next_start(&self, config: &Config) -> Vec<String> {
        let before = &self.config;
        let chosen = &before.chosen_by_command;
        let mut changes = Vec::new();
        if config.listen != before.listen && !chosen.listen {
            changes.push("server.listen: holds from the next start".into());
        }
        if config.busy_poll != before.busy_poll {
            changes.push("server.busy_poll_us: holds from the next start".into());
        }
        if config.gather != before.gather {
            changes.push("server.gather_us: holds from the next start".into());
        }
        let gateway = self.gateway.is_some();
        let binds = |config: &Config| {
            let sip = &config.sip;
            let media = (sip.rtp_ports.clone(), sip.rtp_gather);
            (sip.listen.clone(), sip.public_address, media, sip.certificate.clone())
        };
        let wanted = !config.carriers.is_empty() || !config.phones.is_empty();
        if gateway && binds(config) != binds(before) || !gateway && wanted {
            changes.push("sip: holds from the next start".into());
        }
        let api = |config: &Config| (config.api.enabled, config.api.listen);
        if api(config) != api(before) && !chosen.api {
            changes.push("api.listen: holds from the next start".into());
        }
        if config.api.hosts != before.api.hosts {
            changes.push("api.hosts: holds from the next start".into());
        }
        let (old, new) = (&before.store, &config.store);
        if old.place != new.place || old.keep_cdrs != new.keep_cdrs {
            changes.push("store: holds from the next start, but for max_waiting".into());
        }
        if config.cluster != before.cluster {
            changes.push("cluster: holds from the next start".into());
        }
        if config.realtime != before.realtime {
            changes.push("realtime: holds from the next start".into());
        }
        if config.hep != before.hep {
            changes.push("hep: holds from the next start".into());
        }
        changes
    }

    /// Hosts with their addresses, and those that have none.
    pub(crate) fn hosts(&self) -> (KnownHosts, BTreeSet<String>) {
        (self.config.hosts.clone(), self.config.lost_hosts.clone())
    }

    /// Puts what does not change while it runs into another configuration, so that the next one is
    /// compared with what holds.
    pub(super) fn keep_what_holds(&self, config: &mut Config) {
        let before = &self.config;
        config.chosen_by_command = before.chosen_by_command;
        config.listen.clone_from(&before.listen);
        (config.api.enabled, config.api.listen) = (before.api.enabled, before.api.listen);
        config.api.hosts.clone_from(&before.api.hosts);
        config.store.place.clone_from(&before.store.place);
        config.store.keep_cdrs = before.store.keep_cdrs;
        config.cluster.clone_from(&before.cluster);
        config.realtime.clone_from(&before.realtime);
        config.hep.clone_from(&before.hep);
        config.endpoint.exempt_address = before.endpoint.exempt_address;
        config.endpoint.own_address = before.endpoint.own_address;
    }
}
