//! What the switch keeps of calls and registrations, and what waits until that is durable.

use oneport::Diagnosis;
use oneport_proto::{CallEnd, CallId, DropReason, EndReason, Endpoint, Instant, Limit, RequestId};
use oneport_wire::CauseCode;

use super::registering::UNSAID_REFRESH;
use super::siblings::before;
use super::{State, Switch};
use crate::book::Then;
use crate::cdr::Quality;
use crate::config::Peer;
use crate::ledger::Journal;
use crate::limits::{Ceiling, Full};
use crate::refusal::{Reason, Stage};
use crate::registrar::{GRACE, Proved};
use crate::routing::Target;
use crate::store::{Record, StoredRegistration};
use crate::utc::Utc;
use crate::watch::Ending;

impl Switch {
    /// Hands records to `journal` from now on, and takes over registrations of an earlier life. To
    /// be called before the switch starts.
    ///
    /// From now on the peer of a call hears of its end, and one that registers of its success, only
    /// when [`durable`](Self::durable) says that the record is written.
    pub fn keep_records(&mut self, journal: impl Journal, registered: Vec<StoredRegistration>) {
        self.book.open(Box::new(journal), self.config.store.max_waiting);
        self.restored = registered;
    }

    /// Registrations of an earlier life are missing, as the database did not answer: they come later
    /// ([`registrations_found`](Self::registrations_found)). To be called before the switch starts.
    pub fn misses_registrations(&mut self) {
        self.registrar.note_releases(true);
    }

    /// Takes over registrations of an earlier life, but for those of peers that have registered or left since.
    pub fn registrations_found(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        registered: Vec<StoredRegistration>,
    ) {
        self.restored.extend(registered);
        self.restore_registrations(endpoint, now);
        self.registrar.note_releases(false);
    }

    /// Dates records by `clock`, and not by the system's.
    pub fn set_clock(&mut self, clock: impl Fn() -> Utc + Send + 'static) {
        self.book.set_clock(Box::new(clock));
    }

    /// So many records are durable, of all that the journal was given.
    pub fn durable(&mut self, endpoint: &mut Endpoint, now: Instant, count: u64) {
        let Some(ledger) = self.book.ledger_mut() else { return };
        for then in ledger.durable(count) {
            match then {
                Then::TellEnd(call) => endpoint.tell_end(now, call),
                Then::Grant(request, proved) => {
                    self.grant_registration(endpoint, (proved, now), request);
                }
                Then::GrantPhone(number) => self.grant_phone(now, number),
            }
        }
    }

    /// Records that are not durable yet.
    #[must_use]
    pub fn records_waiting(&self) -> u64 {
        self.book.ledger().map_or(0, |ledger| ledger.behind())
    }

    /// Refusals that are missing in the store because too many records waited.
    #[must_use]
    pub fn refusals_left_out(&self) -> u64 {
        self.book.ledger().map_or(0, |ledger| ledger.left_out())
    }

    /// Registrations of an earlier life that still hold go on.
    pub(super) fn restore_registrations(&mut self, endpoint: &mut Endpoint, now: Instant) {
        let today = self.book.now();
        for registration in std::mem::take(&mut self.restored) {
            let name = registration.peer;
            if self.is_of_another(registration.switch.as_deref()) || self.registrar.is_newer(&name)
            {
                continue;
            }
            let Some(peer) = self.config.peers.get(&name) else {
                if self.rows.is_missing() || self.misses_shared_peers() {
                    let contact = registration.contact;
                    self.restored.push(StoredRegistration { peer: name, contact, ..registration });
                } else {
                    self.book.forget_registration(&name, None);
                }
                continue;
            };
            let left = registration.expires.since(today);
            let Ok(address) = registration.address.parse::<std::net::SocketAddr>() else {
                continue;
            };
            // Somebody may speak another protocol now than when it registered.
            let by_sip = registration.contact.is_some();
            if left.is_zero()
                || !peer.permits(address.ip())
                || by_sip != self.config.phones.contains_key(&name)
            {
                self.book.forget_registration(&name, Some(registration.registered));
                continue;
            }
            let date = registration.registered;
            let proved = Proved { at: before(now, today.since(date)), date };
            if !self.is_registered_at(endpoint, (proved, now), &name, address, left) {
                continue;
            }
            if let Some(contact) = registration.contact {
                self.telephones.restore(&name, contact);
            }
            tracing::info!("{name} is still registered at {address} for {} s", left.as_secs());
        }
    }

    /// A peer has proved who it is and wants to register, or to end that: written first, granted
    /// then.
    pub(super) fn register_proved(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        request: RequestId,
    ) {
        let Some(register) = self.requests.get(&request) else { return };
        let Some(peer) = self.config.peers.get(&register.username) else { return };
        let (name, address) = (register.username.clone(), register.path.remote);
        if register.release && self.registrar.find(now, &name).is_none() {
            // RFC 5456 §6.1.6 wants REGREJ for what was not registered.
            let _ = endpoint.refuse(now, request);
            return;
        }
        let registered = self.book.now();
        let proved = Proved { at: now, date: registered };
        let (least, most) = peer.refresh;
        let refresh = register.refresh.unwrap_or(UNSAID_REFRESH).clamp(least, most);
        let switch = self.book.switch().map(Into::into);
        let record = match register.release {
            true => Record::Unregistered { peer: name, switch, registered: None },
            false => Record::Registered(StoredRegistration {
                peer: name,
                address: address.to_string(),
                registered,
                expires: registered.after(refresh + GRACE),
                contact: None,
                switch,
            }),
        };
        match self.book.ledger_mut() {
            None => self.grant_registration(endpoint, (proved, now), request),
            Some(ledger) if ledger.is_full() => {
                let (behind, most) = (ledger.behind(), ledger.most());
                tracing::warn!("registration refused: {behind} of {most} records wait");
                let _ = endpoint.refuse(now, request);
            }
            Some(ledger) => ledger.append(record, Some(Then::Grant(request, proved))),
        }
    }

    /// A caller is known: what becomes of its call is kept from now on.
    ///
    /// # Errors
    /// Too many records wait: nothing may begin that adds to them.
    pub(super) fn begin_record(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
    ) -> Result<(), (CauseCode, String)> {
        if let Some(ledger) = self.book.ledger().filter(|ledger| ledger.is_full()) {
            let (behind, most) = (ledger.behind(), ledger.most());
            let why = format!("{behind} records wait to be written, and {most} may");
            let reason = Reason::new(Stage::Limit, "records_waiting", why.clone())
                .decided_by("store.max_waiting", format!("{behind} of {most} records"))
                .fix("see in the log what keeps the store from writing: a full or slow disk");
            self.book.because(now, call, reason);
            return Err((CauseCode::SWITCH_CONGESTION, why));
        }
        let peer = self.legs.get(&call).and_then(|leg| leg.peer.as_deref());
        let code = peer.and_then(|name| self.config.peers.get(name)?.account_code.as_deref());
        if self.book.identified(now, call, peer, code) {
            let _ = endpoint.defer_end(call);
        }
        Ok(())
    }

    /// A leg is placed for a caller.
    pub(super) fn begin_placed_record(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        (called, caller): (CallId, CallId),
        name: &str,
        number: &str,
    ) {
        let Some(path) = endpoint.call_path(called) else { return };
        let code = self.config.peers.get(name).and_then(|peer| peer.account_code.as_deref());
        let to = (self.address_behind_gateway(now, name).unwrap_or(path.remote), number);
        if self.book.placed(now, called, caller, name, code, to) {
            let _ = endpoint.defer_end(called);
        }
    }

    /// A leg is over. To be called while it is still among the legs.
    pub(super) fn end_record(
        &mut self,
        now: Instant,
        call: CallId,
        end: &CallEnd,
        diagnosis: Option<&Diagnosis>,
    ) {
        match self.legs.get(&call).map(|leg| &leg.state) {
            Some(State::Identifying(offer)) if end.reason == EndReason::AuthenticationFailed => {
                let from = offer.path.remote.ip();
                let name = offer.username.as_deref().unwrap_or_default();
                let reason = unproved(name, self.config.peer(name), from);
                self.book.refused_for(now, call, end.cause, reason);
            }
            Some(State::Identifying(_)) if end.reason == EndReason::Undecided => {
                let why = "the caller gave no proof in time";
                let reason = Reason::new(Stage::Identification, "no_proof", why)
                    .fix("give it the secret, and look for packets that are lost");
                self.book.refused_for(now, call, end.cause, reason);
            }
            Some(State::Originated(_)) => {
                self.book.not_taken(now, call, call, end);
                self.book.refused(now, call, end.cause);
            }
            Some(State::Called { caller }) => {
                let caller = *caller;
                let waits = match self.legs.get(&caller).map(|leg| &leg.state) {
                    Some(State::Caller(waiting)) => {
                        !waiting.answered && waiting.called.contains(&call)
                    }
                    _ => false,
                };
                if waits {
                    self.book.not_taken(now, caller, call, end);
                }
            }
            _ => {}
        }
        let peer = self.book.peer(call).and_then(|name| self.config.peers.get(name));
        let trunk = peer.is_some_and(|peer| peer.trunk.is_some());
        let by_sip = self.book.peer(call).is_some_and(|name| self.config.is_behind_gateway(name));
        let ending = self.legs.get(&call).and_then(|leg| leg.marks.ending.as_ref());
        let mut quality = Quality::of(&end.stats, diagnosis);
        self.note_one_way(now, call, &mut quality);
        let ways = (trunk, by_sip);
        self.book.ended(now, call, (end, quality), ways, ending.map(Ending::name));
    }
}

/// Why somebody could not prove to be the peer `name`.
pub(super) fn unproved(name: &str, peer: Option<&Peer>, from: std::net::IpAddr) -> Reason {
    let rule = format!("peers.{name}");
    match peer {
        None => Reason::new(Stage::Identification, "unknown_peer", "there is no such peer")
            .decided_by("peers", format!("no {name:?}"))
            .fix(format!("add [peers.{name}], or correct the user name at the other end")),
        Some(peer) if !peer.permits(from) => {
            Reason::new(Stage::Acl, "not_permitted", format!("{name} may not come from {from}"))
                .decided_by(format!("{rule}.permit"), from.to_string())
                .fix(format!("add the network of {from} to permit of [{rule}] and to its lists"))
        }
        Some(peer) if !peer.has_proof() => {
            Reason::new(Stage::Identification, "no_secret", "this peer has no secret")
                .decided_by(rule.clone(), "no secret and no inkeys")
                .fix(format!("give [{rule}] a secret, or the address it calls from"))
        }
        Some(_) => Reason::new(Stage::Identification, "wrong_secret", "wrong secret")
            .decided_by(format!("{rule}.secret"), "***")
            .fix("compare secrets, or keys, at both ends"),
    }
}

/// Why a call is not believed to be of the peer `name`, which is known by its address alone.
pub(super) fn address_unproved(name: &str, from: std::net::IpAddr) -> Reason {
    let why = format!(
        "{name} is known by its address alone, and nothing shows that {from} is the sender's"
    );
    Reason::new(Stage::Identification, "address_unproved", why)
        .decided_by("server.call_token_optional", format!("nothing with {from}"))
        .fix(format!(
            "requirecalltoken=yes at the other end, or a secret for [peers.{name}], or {from} in \
             call_token_optional, if nobody else's packets can come from there"
        ))
}

/// Why somebody was turned away before anything was kept of it.
pub(super) fn turned_away(reason: DropReason, limit: Option<Limit>) -> Reason {
    let mut refusal = Reason::new(Stage::Opening, reason.name(), reason.sentence());
    refusal.value = limit.map(|limit| limit.to_string());
    refusal.fix = reason.remedy().map(Into::into);
    refusal
}

/// Why a limit stands against a call.
pub(super) fn full_limit(full: &Full) -> Reason {
    let Full { limit, ceiling, used, max, .. } = full;
    let (kind, key, value) = match ceiling {
        Ceiling::Calls => ("limit_calls", "max_calls", format!("{used} of {max} calls")),
        Ceiling::CallsPerSecond => (
            "limit_calls_per_second",
            "max_calls_per_second",
            format!("{used} of {max} calls within a second"),
        ),
    };
    let mut reason = Reason::new(Stage::Limit, kind, full.to_string())
        .decided_by(format!("limit {limit}"), value)
        .fix(format!("raise {key} of limit {limit}, or see who holds its places"));
    reason.limit = Some(limit.clone());
    reason
}

/// Why a destination that is here, or the end of `route`, did not take a call.
pub(super) fn not_led_to(
    target: &Target,
    route: Option<&str>,
    cause: CauseCode,
    why: &str,
) -> Reason {
    let mut reason = match target {
        Target::End(_) => {
            let mut reason = Reason::new(Stage::Route, "route_ends", why)
                .fix("that is what the route says; give it another destination to change it");
            reason.rule = route.map(|route| format!("route {route}"));
            reason
        }
        _ => Reason::new(Stage::Destination, "builtin", why),
    };
    reason.destination = Some(target.to_string());
    reason.cause = Some(cause);
    reason
}

/// Why a call does not go on of which nothing else is known than what the log says.
pub(super) fn no_way_on(cause: CauseCode, why: &str) -> Reason {
    let reason = match cause {
        CauseCode::NO_ROUTE => Reason::new(Stage::Route, "no_route", why),
        _ => Reason::new(Stage::Destination, "not_taken", why),
    };
    match cause {
        CauseCode::NO_ROUTE => reason.fix(
            "add a route for the number; `oneport route NUMBER --from PEER` explains what each \
             route says of it",
        ),
        _ => reason,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use oneport::Application as _;

    use super::*;
    use crate::cluster::{SharedConfiguration, Told};
    use crate::config::Config;
    use crate::news::What;
    use crate::registrar::Shared;
    use crate::store::Records;

    const ANN: &str = "[peers.ann]\nsecret = \"a\"\n";

    fn at() -> Instant {
        Instant::from_micros(1_000_000_000)
    }

    fn today() -> Utc {
        Utc::from_unix_millis(1_700_000_000_000)
    }

    fn config(text: &str) -> Config {
        Config::parse(Path::new("test.toml"), text).expect("good")
    }

    /// A switch that starts with this configuration, and ann in its store.
    fn started(text: &str, shared: SharedConfiguration) -> (Switch, Endpoint) {
        let config = config(text);
        let mut endpoint = Endpoint::new(config.endpoint.clone(), [0; 32], at());
        let mut switch = Switch::new(config);
        switch.set_clock(today);
        let ann = StoredRegistration {
            peer: "ann".into(),
            address: "192.0.2.1:4569".into(),
            registered: today(),
            expires: today().after(Duration::from_secs(60)),
            contact: None,
            switch: None,
        };
        switch.keep_records(Records::default().sender(), vec![ann]);
        switch.share_configuration(shared);
        switch.start(&mut endpoint, at());
        (switch, endpoint)
    }

    #[test]
    fn whoever_may_be_in_what_switches_share_stays_registered_until_the_database_says_what_that_is()
    {
        let shared = SharedConfiguration::unread();
        let (mut switch, mut endpoint) = started("", shared.clone());
        switch.reload(&mut endpoint, at(), config("[peers.bob]\nsecret = \"b\"\n"));
        assert_eq!(switch.records_waiting(), 0, "nobody's registration is over");
        switch.reload(&mut endpoint, at(), config(ANN));
        assert!(switch.registrar.find(at(), "ann").is_some());
        let (mut switch, mut endpoint) = started("", shared.clone());
        shared.is_told_of_none();
        switch.reload(&mut endpoint, at(), config(""));
        assert_eq!(switch.records_waiting(), 1, "nobody knows ann");
    }

    #[test]
    fn whoever_has_registered_at_another_switch_is_said_to_be_registered_here_no_more() {
        let (mut switch, mut endpoint) = started(ANN, SharedConfiguration::default());
        let mut news = switch.news();
        let lost = Shared { peer: "ann".into(), switch: Some("bonn".into()), lost: Some(today()) };
        let told = Told::Registrations { whole: false, peers: vec![lost] };
        switch.cluster_tells(&mut endpoint, at(), told);
        let told = std::iter::from_fn(|| news.try_recv().ok());
        let over = |what: &What| matches!(what, What::Registration { peer, address: None } if peer == "ann");
        assert_eq!(told.filter(|news| over(&news.what)).count(), 1);
    }
}
