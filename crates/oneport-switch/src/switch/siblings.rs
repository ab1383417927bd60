//! The other switches with the same database, as this one knows them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use oneport_media::transcode::Wishes;
use oneport_proto::{
    CallId, CodecPriority, EncryptionPolicy, Endpoint, Instant, Offer, TrunkConfig,
};
use oneport_wire::{AuthMethods, CauseCode, FormatSet};

use super::forwarding::Forwarded;
use super::hunting::Way;
use super::leg::Caller;
use super::spans::span_of;
use super::{Leg, State, Switch, records};
use crate::api::model::{SwitchState, SwitchView, SwitchesView};
use crate::caller_id::CallerIdRule;
use crate::cluster::{CALL, PEER, Presence, SWITCH, SharedConfiguration, Sibling, Told};
use crate::config::{
    ClusterConfig, ConnectedLineRule, DEFAULT_CODECS, DatabaseUrl, Forwarding, Peer, StorePlace,
};
use crate::inband::KeyRule;
use crate::news::What;
use crate::qualify::{QualifyConfig, Status};
use crate::refusal::{Reason, Stage};
use crate::registrar::Shared;
use crate::routing::{DEFAULT_CONTEXT, Target};
use crate::trunks::Owner;
use crate::watch::Bounds;

/// Half of the time that another switch has for the answer to a call: it answers at once, or is not there.
const AUTOKILL: Duration = Duration::from_millis(1_000);

/// How other switches are polled: whether they can be reached is known before a call wants to.
const POLLS: QualifyConfig = QualifyConfig {
    limit: Duration::from_millis(1_000),
    interval: Duration::from_millis(2_000),
    not_ok_interval: Duration::from_millis(1_000),
    smoothing: false,
};

/// What is known of the others.
#[derive(Default)]
pub(super) struct Siblings {
    /// The number of this run; `None`: the database has not given it one.
    incarnation: Option<i64>,
    /// By their names.
    others: Vec<Sibling>,
    /// Since when the database does not answer, and why.
    cut_off: Option<(Instant, String)>,
    /// What they share of their configuration.
    shared: SharedConfiguration,
    /// There may be peers in that which are not known here yet.
    misses_peers: bool,
}

/// Whether a leg comes from another switch with the same database.
pub(super) fn is_sibling(leg: &Leg) -> bool {
    leg.peer.as_deref().is_some_and(|name| name.starts_with(SWITCH))
}

/// The moment so long before `now`, or the beginning of time.
pub(super) fn before(now: Instant, age: Duration) -> Instant {
    let age = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
    Instant::from_micros(now.as_micros().saturating_sub(age))
}

/// Another switch as a peer.
fn peer(own: &ClusterConfig, encryption: EncryptionPolicy, address: SocketAddr) -> Peer {
    Peer {
        contexts: Vec::new(),
        secrets: vec![own.secret.clone()],
        keys: Vec::new(),
        own_key: None,
        encryption,
        qualify: Some(POLLS),
        trunk: Some(TrunkConfig::default()),
        // Its packets alone get through the NATs of its peers.
        transfer: None,
        address: Some(address),
        lost: None,
        codecs: DEFAULT_CODECS.to_vec(),
        account_code: None,
        connected_line: ConnectedLineRule { sends: true, receives: true },
        video: FormatSet(u64::MAX).video(),
        priority: CodecPriority::Host,
        transcoding: true,
        voice: Wishes::default(),
        acls: Vec::new(),
        nodes: None,
        methods: AuthMethods::MD5,
        username: Some(format!("{SWITCH}{}", own.name)),
        refresh: (Duration::from_secs(60), Duration::from_secs(60)),
        mailbox: None,
        told_of_messages: false,
        provision: None,
        autokill: Some(AUTOKILL),
        bounds: Bounds::default(),
        hold_music: None,
        forwarding: Forwarding::default(),
        keys_by: KeyRule::default(),
        early_tones: Vec::new(),
        tones: None,
        caller_id: CallerIdRule::default(),
        extensions: Vec::new(),
        extension_context: DEFAULT_CONTEXT.into(),
    }
}

impl Switch {
    /// The switches with the same database, as far as this one knows.
    #[must_use]
    pub fn show_switches(&self, now: Instant) -> SwitchesView {
        let Siblings { incarnation, others, cut_off, shared, .. } = &self.siblings;
        let shared = shared.standing();
        let own = self.config.cluster.as_ref().map(|own| SwitchView {
            name: own.name.clone(),
            here: true,
            state: match (cut_off, incarnation) {
                (None, Some(_)) => SwitchState::Alive,
                _ => SwitchState::CutOff,
            },
            address: own.address.to_string(),
            version: env!("CARGO_PKG_VERSION").into(),
            incarnation: *incarnation,
            configuration: shared.running,
        });
        let others = others.iter().map(|other| SwitchView {
            name: other.name.clone(),
            here: false,
            state: match other.presence {
                Presence::Alive => SwitchState::Alive,
                Presence::Dead => SwitchState::Dead,
                Presence::Left => SwitchState::Left,
            },
            address: other.address.to_string(),
            version: other.version.clone(),
            incarnation: Some(other.incarnation),
            configuration: other.configuration,
        });
        SwitchesView {
            switches: own.into_iter().chain(others).collect(),
            registered_elsewhere: self.registrar.count_elsewhere(),
            cut_off: cut_off.as_ref().map(|(_, why)| why.clone()),
            cut_off_seconds: cut_off.as_ref().map(|(since, _)| now.since(*since).as_secs()),
            configuration: shared.newest,
            configuration_refused: shared.refused,
        }
    }

    /// What the switches share of their configuration is known by this. To be called before the switch starts.
    pub fn share_configuration(&mut self, shared: SharedConfiguration) {
        self.siblings.misses_peers |= shared.is_unread();
        self.siblings.shared = shared;
    }

    /// Whether there may be peers that other switches know and this one does not yet.
    pub(super) fn misses_shared_peers(&self) -> bool {
        self.siblings.misses_peers
    }

    /// Another configuration is in force.
    pub(super) fn reads_shared_peers(&mut self) {
        self.siblings.misses_peers &= self.siblings.shared.is_unread();
    }

    /// The database of this switch and its siblings; `None`: it is alone.
    pub(crate) fn database_of_siblings(&self) -> Option<DatabaseUrl> {
        match &self.config.store.place {
            StorePlace::Server { url, .. } if self.config.cluster.is_some() => Some(url.clone()),
            _ => None,
        }
    }

    /// What is known of the other switches has changed.
    pub(crate) fn cluster_tells(&mut self, endpoint: &mut Endpoint, now: Instant, told: Told) {
        match told {
            Told::Registrations { whole, peers } => {
                if whole {
                    self.registrar.forget_elsewhere();
                }
                peers.into_iter().for_each(|shared| self.registered_at(shared));
                self.trunks.apply(endpoint);
            }
            Told::Joined { incarnation } => {
                self.siblings.incarnation = Some(incarnation);
                self.begin_leases(incarnation);
                self.siblings.cut_off = None;
            }
            Told::CutOff(why) => self.siblings.cut_off = Some((now, why)),
            Told::Switches(others) => {
                let before = std::mem::replace(&mut self.siblings.others, others);
                for other in &self.siblings.others {
                    tell_of(before.iter().find(|old| old.name == other.name), other);
                }
                self.place_siblings(now);
            }
        }
    }

    /// The database says where a peer is registered.
    fn registered_at(&mut self, shared: Shared) {
        let peer = shared.peer.clone();
        if self.registrar.hear(shared) {
            self.qualify.forget(&peer);
            self.trunks.set(Owner::Registered(peer.clone()), None);
            self.phone_gone(&peer);
            let there = self.registrar.elsewhere(&peer).unwrap_or("another, and has left it");
            tracing::info!("{peer} has registered at switch {there}");
            self.news.tell(|| What::Registration { peer, address: None });
        }
    }

    /// Whether `switch`, at which somebody is registered, is another than this one.
    pub(super) fn is_of_another(&self, switch: Option<&str>) -> bool {
        let own = self.config.cluster.as_ref().map(|own| own.name.as_str());
        own.is_some() && switch.is_some_and(|switch| own != Some(switch))
    }

    /// Makes peers of the other switches.
    pub(super) fn place_siblings(&mut self, now: Instant) {
        let Some(own) = &self.config.cluster else { return };
        let there = |other: &&Sibling| other.presence != Presence::Left;
        let named = self.siblings.others.iter().filter(there);
        let named: HashMap<String, SocketAddr> =
            named.map(|other| (format!("{SWITCH}{}", other.name), other.address)).collect();
        let qualify = &mut self.qualify;
        self.config.peers.retain(|name, known| {
            let stays = !name.starts_with(SWITCH) || named.get(name) == known.address.as_ref();
            if !stays {
                qualify.forget(name);
            }
            stays
        });
        for (name, address) in named {
            if !self.config.peers.contains_key(&name) {
                self.qualify.watch(now, &name, address, POLLS);
                let peer = peer(own, self.config.encryption, address);
                self.config.peers.insert(name, Arc::new(peer));
            }
        }
    }

    /// Another switch as a peer.
    pub(super) fn peer_of_switch(&self, switch: &str) -> Option<&Peer> {
        self.config.peer(&format!("{SWITCH}{switch}"))
    }

    /// The way to a peer that is registered at another switch.
    ///
    /// # Errors
    /// That switch is not there.
    pub(super) fn way_through(
        &self,
        name: &str,
        switch: &str,
    ) -> Result<Way, (CauseCode, Box<Reason>)> {
        let status = self.qualify.status(&format!("{SWITCH}{switch}"));
        let known = self.siblings.others.iter().find(|other| other.name == switch);
        let why = match known.map(|other| other.presence) {
            None | Some(Presence::Left) => "has left".to_string(),
            _ if !status.takes_calls() => format!("is {status}"),
            // What its signs of life say, its answers may say better.
            Some(Presence::Dead) if !matches!(status, Status::Ok(_)) => {
                "gives no sign of life".to_string()
            }
            Some(_) => {
                let through = Some(switch.to_string());
                let to = self.peer_of_switch(switch).and_then(|peer| peer.address);
                return to
                    .map(|to| Way { to, through })
                    .ok_or_else(|| unreachable(name, switch, "is not known here any more"));
            }
        };
        Err(unreachable(name, switch, &why))
    }

    /// A leg from another switch is part of the call that it has there.
    pub(super) fn joins_call_of_sibling(&mut self, call: CallId, offer: &Offer) {
        let id = offer.variables.iter().find(|(name, _)| name == CALL);
        let id = id.and_then(|(_, id)| id.parse().ok());
        if let (Some(id), Some(leg)) = (id, self.legs.get_mut(&call)) {
            leg.id = id;
            leg.span = span_of(id);
            self.book.belongs_to(call, id);
        }
    }

    /// A call comes from another switch, which has decided about it: it goes to the peer that is registered here,
    /// and nowhere else.
    pub(super) fn complete_for_sibling(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        offer: Box<Offer>,
    ) {
        let number = offer.called_number.clone();
        self.call_begun(call, &number);
        self.book.routed(now, call, &number, None);
        let name = offer.variables.iter().find(|(name, _)| name == PEER);
        let name = name.map(|(_, name)| name.clone());
        let Some(name) = name.filter(|name| self.config.is_peer_by_name(name)) else {
            let why = "another switch calls a peer that this one does not have";
            self.book.because(now, call, records::no_way_on(CauseCode::NO_ROUTE, why));
            return self.refuse(endpoint, now, call, CauseCode::NO_ROUTE, why);
        };
        let Some(leg) = self.legs.get_mut(&call) else { return };
        leg.state = State::Caller(Box::new(Caller {
            offer,
            called: Vec::new(),
            left: [vec![Target::Peer { name, number }]].into(),
            timeout: None,
            continue_on: Vec::new(),
            may_return: true,
            is_emergency: false,
            accepted: None,
            together: None,
            foreign: Vec::new(),
            answered: false,
            bounds: Bounds::default(),
            forwarded: Forwarded::default(),
            notice: None,
        }));
        self.try_next(endpoint, now, call, CauseCode::NO_ROUTE);
    }
}

/// The switch at which a peer is registered `why`: the peer cannot be called.
fn unreachable(name: &str, switch: &str, why: &str) -> (CauseCode, Box<Reason>) {
    let why = format!("{name} is registered at switch {switch}, which {why}");
    let reason = Reason::new(Stage::Destination, "switch_not_reachable", why)
        .decided_by("cluster", format!("switch {switch}"))
        .fix(
            "see `oneport show switches`, and what lies between; its peers register elsewhere soon",
        );
    (CauseCode::DESTINATION_OUT_OF_ORDER, reason.into())
}

/// Logs what has become of another switch.
fn tell_of(before: Option<&Sibling>, now: &Sibling) {
    let (name, address) = (&now.name, now.address);
    let was = before.map(|before| before.presence);
    match (was, now.presence) {
        (Some(Presence::Alive), Presence::Alive) => {
            let before = before.map(|before| (before.incarnation, before.address));
            match before {
                Some((incarnation, _)) if incarnation != now.incarnation => {
                    tracing::info!("switch {name} has started anew, at {address}");
                }
                Some((_, old)) if old != address => {
                    tracing::info!("switch {name} has moved from {old} to {address}");
                }
                _ => {}
            }
        }
        (Some(Presence::Dead), Presence::Alive) => {
            tracing::info!("switch {name} at {address} is back");
        }
        (_, Presence::Alive) => tracing::info!("switch {name} at {address} has joined"),
        (Some(Presence::Alive), Presence::Dead) => {
            tracing::warn!("switch {name} at {address} gives no sign of life");
        }
        (Some(Presence::Alive), Presence::Left) => {
            tracing::info!("switch {name} at {address} has left");
        }
        _ => {}
    }
}
