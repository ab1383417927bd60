//! Another configuration, while calls go on.

use std::collections::BTreeSet;

use oneport_proto::{Endpoint, Instant};

use super::{Standing, Switch};
use crate::config::{Config, Peer};

impl Switch {
    /// Takes another configuration for whatever begins from now on; calls that are up are not
    /// touched, nor are registrations of peers that stay. What has changed, a line each.
    pub fn reload(&mut self, endpoint: &mut Endpoint, now: Instant, config: Config) -> Vec<String> {
        let mut changes = Vec::new();
        if config.listen != self.config.listen {
            changes.push("server.listen: holds from the next start".into());
        }
        let before = std::mem::replace(&mut self.config, config);
        endpoint.reconfigure(self.config.endpoint.clone());
        let names: BTreeSet<&String> =
            before.peers.keys().chain(self.config.peers.keys()).collect();
        for name in names {
            let (old, new) = (before.peers.get(name), self.config.peers.get(name));
            if old == new {
                continue;
            }
            let registered = self.registrar.find(now, name);
            let address = |peer: Option<&Peer>| peer.and_then(|peer| peer.address).or(registered);
            if let Some(address) = address(old) {
                endpoint.set_trunk(address, None);
            }
            match (old, new) {
                (_, None) => {
                    self.registrar.release(name);
                    changes.push(format!("peer {name} is gone"));
                }
                (None, _) => changes.push(format!("peer {name} is new")),
                _ => changes.push(format!("peer {name} has changed")),
            }
            self.qualify.forget(name);
            let Some(peer) = new else { continue };
            let Some(address) = address(new) else { continue };
            if let Some(qualify) = peer.qualify {
                self.qualify.watch(now, name, address, qualify);
            }
            if peer.trunk.is_some() {
                endpoint.set_trunk(address, peer.trunk);
            }
        }
        self.watch_mailboxes(now);
        self.renew_registrations(endpoint, now, &mut changes);
        self.limits.reconfigure(self.config.limits.clone());
        let count = |what: &str, before: usize, now: usize| {
            (before != now).then(|| format!("{what}: {now} in place of {before}"))
        };
        changes.extend(count("routes", before.routes.len(), self.config.routes.len()));
        changes.extend(count("limits", before.limits.len(), self.config.limits.len()));
        changes
    }

    /// Ends registrations that are not configured any more, and begins new ones.
    fn renew_registrations(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        changes: &mut Vec<String>,
    ) {
        let mut wanted = self.config.registrations.clone();
        self.registrations.retain(|id, standing| {
            let place = wanted.iter().position(|config| *config == standing.config);
            match place {
                Some(place) => drop(wanted.swap_remove(place)),
                None => {
                    changes.push(format!("{standing} ends"));
                    endpoint.unregister(now, *id);
                }
            }
            place.is_some()
        });
        for config in wanted {
            let standing = Standing { config, registered: None };
            changes.push(format!("{standing} is new"));
            let id = endpoint.register(now, standing.config.clone());
            self.registrations.insert(id, standing);
        }
    }
}
