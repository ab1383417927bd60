//! Registrations: of peers here, and of this switch elsewhere.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use oneport_proto::{
    Endpoint, Grant, Instant, Register, RegistrationConfig, RegistrationId, RequestId,
};

use super::identity::challenge;
use super::{Switch, printable, records};
use crate::news::What;
use crate::registrar::{Change, GRACE, Proved};
use crate::trunks::Owner;

/// What a peer that registers without saying for how long gets, within its limits (RFC 5456
/// §6.1.1).
pub(super) const UNSAID_REFRESH: Duration = Duration::from_secs(60);

/// A registration of ours elsewhere.
pub(super) struct Standing {
    pub(super) config: RegistrationConfig,
    /// Who has us, or was asked last.
    pub(super) registrar: SocketAddr,
    /// Whether it has us; `None` until it has said so or refused.
    pub(super) registered: Option<bool>,
    /// For how long it last had us.
    pub(super) granted: Option<Duration>,
    /// Where it sees us.
    pub(super) seen_at: Option<SocketAddr>,
    /// Why it has not, in words.
    pub(super) failure: Option<String>,
}

impl Standing {
    /// A registration of which the registrar has not said anything yet.
    pub(super) const fn new(config: RegistrationConfig) -> Self {
        let registrar = config.to;
        Self { config, registrar, registered: None, granted: None, seen_at: None, failure: None }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "registration as {} at {}", self.config.username, self.registrar)
    }
}

impl Switch {
    /// Polls peers whose address is configured.
    pub(super) fn watch_peers(&mut self, now: Instant) {
        for (name, peer) in &self.config.peers {
            if let (Some(address), Some(qualify)) = (peer.address, peer.qualify) {
                self.qualify.watch(now, name, address, qualify);
            }
        }
    }

    /// A peer is registered, as was found out elsewhere, for `left` until it is forgotten; `false`: it has gone
    /// somewhere else since.
    pub(super) fn is_registered_at(
        &mut self,
        endpoint: &mut Endpoint,
        (proved, now): (Proved, Instant),
        name: &str,
        address: SocketAddr,
        left: Duration,
    ) -> bool {
        let Some(peer) = self.config.peers.get(name) else { return false };
        // The clock may have been put back since.
        let (_, most) = peer.refresh;
        let left = left.min(most + GRACE);
        if self.registrar.hold((proved, now), name, address, left) == Change::Superseded {
            return false;
        }
        if let Some(qualify) = peer.qualify.filter(|_| !self.is_retired()) {
            self.qualify.watch(now, name, address, qualify);
        }
        if peer.trunk.is_some() {
            endpoint.set_trunk(address, peer.trunk);
        }
        true
    }

    pub(super) fn register_requested(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        request: RequestId,
        mut register: Register,
    ) {
        register.username = printable(&register.username);
        let waits = self.awaits_registrant(now, request, &register.username);
        self.requests.insert(request, register);
        if !waits {
            self.ask_registrant(endpoint, now, request);
        }
    }

    /// Asks somebody that registers for a proof of who it is.
    pub(super) fn ask_registrant(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        request: RequestId,
    ) {
        // It may have given up meanwhile.
        let Some(register) = self.requests.get(&request) else { return };
        let known = self.config.peers.get(&register.username);
        let known = known.filter(|peer| peer.permits(register.path.remote.ip()));
        let challenge = match known {
            Some(peer) if peer.has_proof() => challenge(peer, &register.username),
            // Who does not exist, may not come from there, or never registers, is asked all the
            // same: strangers do not learn which names exist.
            _ => self.decoy.challenge(&register.username),
        };
        if endpoint.challenge_request(now, request, challenge).is_err() {
            self.requests.remove(&request);
            let _ = endpoint.refuse(now, request);
        }
    }

    /// Does what a peer has asked for that has proved who it is, and says so.
    pub(super) fn grant_registration(
        &mut self,
        endpoint: &mut Endpoint,
        (proved, now): (Proved, Instant),
        request: RequestId,
    ) {
        let Some(register) = self.requests.get(&request) else { return };
        let Some(peer) = self.config.peers.get(&register.username) else {
            // It is gone since it asked.
            let name = register.username.clone();
            self.book.forget_registration(&name, None);
            let _ = endpoint.refuse(now, request);
            return;
        };
        let (least, most) = peer.refresh;
        let refresh = register.refresh.unwrap_or(UNSAID_REFRESH).clamp(least, most);
        let (name, address) = (register.username.as_str(), register.path.remote);
        // What its row is to say, where it has one.
        let mut written = None;
        if register.release {
            self.qualify.forget(name);
            if !self.registrar.release(name) {
                // It has expired since it asked.
                let _ = endpoint.refuse(now, request);
                return;
            }
            self.trunks.set(Owner::Registered(name.into()), None);
            tracing::info!("{name} unregistered from {address}");
            written = Some(None);
            self.news.tell(|| What::Registration { peer: name.into(), address: None });
        } else {
            let seconds = refresh.as_secs();
            let change = self.registrar.bind((proved, now), name, address, refresh);
            if change != Change::Superseded {
                if let Some(qualify) = peer.qualify {
                    self.qualify.watch(now, name, address, qualify);
                    self.qualify.poll(endpoint, now);
                }
                let trunk = peer.trunk.map(|trunk| (address, trunk));
                self.trunks.set(Owner::Registered(name.into()), trunk);
                written = Some(Some(address));
            }
            match change {
                Change::New => tracing::info!("{name} registered at {address} for {seconds} s"),
                Change::Moved { from } => tracing::info!("{name} moved from {from} to {address}"),
                Change::Renewed => tracing::debug!("{name} renewed at {address}"),
                Change::Superseded => tracing::info!("{name} has registered elsewhere since"),
            }
            if matches!(change, Change::New | Change::Moved { .. }) {
                let address = Some(address.to_string());
                self.news.tell(|| What::Registration { peer: name.into(), address });
            }
        }
        let date_time = Some(oneport::date_time());
        let messages = self.mailboxes.messages(name);
        if let Some(messages) = messages {
            self.told.insert(name.into(), messages);
        }
        let (name, release) = (name.to_string(), register.release);
        let device = register.device.clone();
        match written {
            Some(Some(address)) => self.write_registration(&name, address),
            Some(None) => self.write_end(&name, true),
            None => {}
        }
        let grant = Grant { refresh, messages, date_time, ..Grant::default() };
        let _ = endpoint.grant(now, request, &grant);
        if !release {
            self.set_up(endpoint, now, &name, address, &device);
        }
    }

    pub(super) fn register_ended(
        &mut self,
        request: RequestId,
        outcome: oneport_proto::RequestOutcome,
    ) {
        use oneport_proto::RequestOutcome;
        let Some(register) = self.requests.remove(&request) else { return };
        if outcome == RequestOutcome::AuthenticationFailed {
            let Register { username, path, .. } = register;
            let peer = self.config.peer(&username);
            let why = records::unproved(&username, peer, path.remote.ip()).why;
            tracing::warn!("registration of {username} from {path} refused: {why}");
            self.registration_refused(path, &why);
        }
    }

    /// A registrar has answered; `change` notes what it said.
    pub(super) fn registration_changed(
        &mut self,
        id: RegistrationId,
        what: &str,
        change: impl FnOnce(&mut Standing),
    ) {
        let Some(standing) = self.registrations.get_mut(&id) else { return };
        let before = (standing.registered, standing.registrar);
        change(standing);
        if (standing.registered, standing.registrar) != before {
            tracing::info!("{standing}: {what}");
            let standing: &Standing = standing;
            self.news.tell(|| What::RegistrationElsewhere {
                registrar: standing.registrar.to_string(),
                username: standing.config.username.clone(),
                registered: standing.registered == Some(true),
                what: what.into(),
            });
        }
    }
}
