//! What the switch does for devices: sets them up, and tells of messages that wait.

use std::net::SocketAddr;

use oneport_proto::{Device, Endpoint, Instant, ProvisionId, ProvisionOutcome};

use super::Switch;
use crate::mailbox::{self, Mailboxes};

impl Switch {
    /// Sends a peer that has proved who it is its settings, if it is the device they are for and has
    /// others.
    pub(super) fn set_up(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        name: &str,
        address: SocketAddr,
        device: &Device,
    ) {
        let Some(peer) = self.config.peers.get(name) else { return };
        let Some(provision) = &peer.provision else { return };
        let same = device.service_ident.as_deref() == Some(provision.service_ident.as_str());
        let version = device.provisioning_version;
        let current = version.is_none_or(|version| version == provision.settings.version());
        // One that was registered says so again, and calls meanwhile: once is enough.
        let under_way = self.provisions.values().any(|other| other == name);
        if !peer.has_proof() || !same || current || under_way {
            return;
        }
        match endpoint.provision(now, address, &provision.settings) {
            Ok(id) => drop(self.provisions.insert(id, name.into())),
            Err(error) => tracing::warn!("{name} cannot be set up: {error}"),
        }
    }

    pub(super) fn set_up_ended(&mut self, id: ProvisionId, outcome: &ProvisionOutcome) {
        let Some(name) = self.provisions.remove(&id) else { return };
        match outcome {
            ProvisionOutcome::Accepted => tracing::info!("{name} is set up"),
            _ => tracing::warn!("{name} is not set up: {outcome:?}"),
        }
    }

    /// Watches the mailboxes of the configuration, and no others.
    pub(super) fn watch_mailboxes(&mut self, now: Instant) {
        let peers = &self.config.peers;
        let mailboxes = peers
            .iter()
            .filter_map(|(name, peer)| Some((name.clone(), peer.mailbox.clone()?)))
            .collect();
        self.mailboxes = Mailboxes::watch(mailboxes);
        let told = peers.values().any(|peer| peer.told_of_messages);
        self.look_at_mailboxes = told.then_some(now);
    }

    /// Tells registered peers of changes in their mailboxes.
    pub(super) fn tell_of_messages(&mut self, endpoint: &mut Endpoint, now: Instant) {
        if self.look_at_mailboxes.is_none_or(|at| at > now) {
            return;
        }
        self.look_at_mailboxes = Some(now + mailbox::INTERVAL);
        for (name, _) in self.config.peers.iter().filter(|(_, peer)| peer.told_of_messages) {
            let Some(messages) = self.mailboxes.messages(name) else { continue };
            if self.config.phones.contains_key(name) {
                if let Some(link) = &self.gateway
                    && self.told.get(name) != Some(&messages)
                {
                    link.messages(name, messages);
                    self.told.insert(name.clone(), messages);
                }
                continue;
            }
            let Some(address) = self.registrar.find(now, name) else { continue };
            if self.told.get(name) != Some(&messages)
                && endpoint.tell_messages(now, address, messages).is_ok()
            {
                self.told.insert(name.clone(), messages);
            }
        }
    }
}
