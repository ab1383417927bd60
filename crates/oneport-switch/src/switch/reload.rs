//! Another configuration, while calls go on.

use std::collections::BTreeSet;

use oneport_proto::{Endpoint, Instant, RegistrationId};

use super::{Standing, Switch};
use crate::config::Config;
use crate::trunks::Owner;

impl Switch {
    /// Takes another configuration for whatever begins from now on; calls that are up are not
    /// touched, nor are registrations of peers that stay. What has changed, a line each.
    pub fn reload(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        mut config: Config,
    ) -> Vec<String> {
        let changes = self.changes(&config);
        self.keep_what_holds(&mut config);
        self.rows.place(&mut config);
        let before = std::mem::replace(&mut self.config, config);
        self.traces_changed(&before);
        self.place_carriers();
        self.place_siblings(now);
        self.tell_gateway();
        endpoint.reconfigure(self.config.endpoint.clone());
        self.decoy.learn(&self.config);
        self.nodes.reconfigure(now, self.config.nodes.clone());
        let names = before.peers.keys().chain(self.config.peers.keys());
        let names: BTreeSet<String> = names.cloned().collect();
        for name in &names {
            if before.peers.get(name) != self.config.peers.get(name) {
                self.peer_has_changed(now, name, before.phones.contains_key(name));
            }
        }
        self.peers_have_changed(endpoint, now);
        self.read_rows_anew();
        self.renew_registrations(endpoint, now);
        // Of peers that were missing until now.
        self.reads_shared_peers();
        self.restore_registrations(endpoint, now);
        self.limits.reconfigure(self.config.limits.clone());
        self.book.set_most_waiting(self.config.store.max_waiting);
        changes
    }

    /// A peer is new, gone, or otherwise than it was; `was_by_sip`: it was one that speaks SIP.
    pub(super) fn peer_has_changed(&mut self, now: Instant, name: &str, was_by_sip: bool) {
        let new = self.config.peers.get(name);
        let registered = self.registrar.find(now, name);
        let trunk = new.and_then(|peer| peer.trunk);
        let configured = new.and_then(|peer| peer.address).zip(trunk);
        self.trunks.set(Owner::Configured(name.into()), configured);
        let registered_there = registered.filter(|_| new.is_some()).zip(trunk);
        self.trunks.set(Owner::Registered(name.into()), registered_there);
        if trunk.is_none() {
            let legs = self.legs.iter().filter(|(_, leg)| leg.peer.as_deref() == Some(name));
            legs.for_each(|(call, _)| self.trunks.set(Owner::Call(*call), None));
        }
        // Whoever speaks another protocol now has to register anew.
        let is_another = was_by_sip != self.config.phones.contains_key(name);
        if (new.is_none() || is_another) && self.registrar.release(name) {
            self.telephones.forget(name);
            self.book.forget_registration(name, None);
        }
        self.qualify.forget(name);
        let Some(peer) = new else { return };
        if let (Some(address), Some(qualify)) = (peer.address.or(registered), peer.qualify) {
            self.qualify.watch(now, name, address, qualify);
        }
    }

    /// Some of the peers are otherwise than before.
    pub(super) fn peers_have_changed(&mut self, endpoint: &mut Endpoint, now: Instant) {
        let peers = &self.config.peers;
        self.tally.keep_peers(|name| peers.contains_key(name));
        self.trunks.apply(endpoint);
        self.watch_mailboxes(now);
    }

    /// Ends registrations that are not configured any more, and begins new ones.
    fn renew_registrations(&mut self, endpoint: &mut Endpoint, now: Instant) {
        let mut wanted = self.config.registrations.clone();
        // In the order in which they began, so that the same reload has the same consequences.
        let mut standing: Vec<RegistrationId> = self.registrations.keys().copied().collect();
        standing.sort_unstable();
        for id in standing {
            let Some(standing) = self.registrations.get(&id) else { continue };
            if let Some(place) = wanted.iter().position(|config| *config == standing.config) {
                wanted.remove(place);
                continue;
            }
            endpoint.unregister(now, id);
            self.registrations.remove(&id);
        }
        for config in wanted {
            let id = endpoint.register(now, config.clone());
            self.registrations.insert(id, Standing::new(config));
        }
    }
}
