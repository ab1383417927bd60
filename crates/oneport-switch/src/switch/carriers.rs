//! The gateway and the switch: carriers, and phones that speak SIP, are peers at its inner address.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use oneport::{Driver, Generation};
use oneport_proto::{CallId, CallStats, Endpoint, Instant, Offer};

use super::Switch;
use super::joining::Board;
use super::phones::Desk;
use super::snapshot::millis;
use crate::api::model::{CarrierView, CarriersView, PeerState, RegisteredThere, RegistrationState};
use crate::config::{Acl, Config};
use crate::sip::settings::{AUTO, CARRIER, Carrier, SOURCE};
use crate::sip::standing::{Registered, Standing};
use crate::sip::streams::Counts as StreamCounts;
use crate::sip::{Behind, Descent, Gateway, GatewayError, Link, SipSocket};

impl Switch {
    /// Starts the gateway beside a switch that runs with this configuration; `None` where it has
    /// neither carriers nor phones that speak SIP.
    ///
    /// # Errors
    /// An address, a port or a certificate cannot be used.
    pub fn start_gateway(
        driver: &Driver<Self>,
        config: &Config,
    ) -> Result<Option<Gateway>, GatewayError> {
        let none = Descent { own: Generation::default(), sockets: Vec::new(), is_heir: false };
        Self::start_gateway_of(driver, config, none)
    }

    /// The same beside a switch that takes over from one of another process, with the sockets of SIP of that one. With
    /// those there is a gateway in any case: older processes may have calls.
    ///
    /// # Errors
    /// As there.
    pub fn inherit_gateway(
        driver: &Driver<Self>,
        config: &Config,
        own: Generation,
        sockets: Vec<SipSocket>,
    ) -> Result<Option<Gateway>, GatewayError> {
        Self::start_gateway_of(driver, config, Descent { own, sockets, is_heir: true })
    }

    fn start_gateway_of(
        driver: &Driver<Self>,
        config: &Config,
        descent: Descent,
    ) -> Result<Option<Gateway>, GatewayError> {
        let Some(listens) = driver.local_addresses().first() else { return Ok(None) };
        let is_wanted = !(config.carriers.is_empty() && config.phones.is_empty());
        if !is_wanted && descent.sockets.is_empty() {
            return Ok(None);
        }
        let mut switch = *listens;
        if switch.ip().is_unspecified() {
            switch.set_ip(match switch.ip() {
                std::net::IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                std::net::IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        // The gateway must not keep the switch running.
        let registry = Box::new(Desk(driver.downgrade()));
        let board = Arc::new(Board(driver.downgrade()));
        let gateway =
            Gateway::start(behind(config), (switch, &driver.host()), registry, board, descent)?;
        let link = gateway.link().clone();
        driver.post(move |endpoint, switch, now| switch.join_gateway(endpoint, now, link));
        Ok(Some(gateway))
    }

    /// The gateway is there.
    fn join_gateway(&mut self, endpoint: &mut Endpoint, now: Instant, link: Link) {
        link.places.set_most(self.config.max_transcoded_calls);
        self.transcodings.share(link.places.clone());
        if let Some(exporter) = &self.hep {
            // It begins once.
            let _ = link.export.set(exporter.clone());
        }
        self.gateway = Some(link);
        self.place_carriers();
        self.place_phones(now);
        // Phones may ask for their messages as soon as they have registered.
        self.look_at_mailboxes = self.look_at_mailboxes.map(|_| now);
        endpoint.reconfigure(self.config.endpoint.clone());
        self.let_gateway_serve();
    }

    /// Says of those behind the gateway where they are: where it is, which alone knows their secret.
    pub(super) fn place_carriers(&mut self) {
        let Some(link) = &self.gateway else { return };
        let inside = link.address;
        let phones = &self.config.phones;
        for (name, peer) in &mut self.config.peers {
            if name.starts_with(CARRIER) || phones.contains_key(name) {
                let peer = Arc::make_mut(peer);
                // A phone is there only while it is registered.
                peer.address = Some(inside).filter(|_| !phones.contains_key(name));
                peer.secrets = vec![link.secret.clone()];
                peer.acls = vec![Acl { permit: Some(vec![inside.ip().into()]), deny: Vec::new() }];
            }
        }
        // All their calls come from there.
        self.config.endpoint.exempt_address = Some(inside.ip());
        // Nobody else knows the secret by which they prove themselves.
        self.config.endpoint.own_address = Some(inside);
    }

    /// The gateway is told of another configuration.
    pub(super) fn tell_gateway(&self) {
        if let Some(link) = &self.gateway {
            link.places.set_most(self.config.max_transcoded_calls);
            link.reconfigure(behind(&self.config));
        }
    }

    /// Why no call can go to this peer because it is a carrier that is down; `None` where it is up, or
    /// no carrier.
    pub(super) fn carrier_down(&self, name: &str) -> Option<String> {
        let carrier = name.strip_prefix(CARRIER)?;
        let Some(link) = &self.gateway else { return Some("the SIP gateway does not run".into()) };
        link.carriers.find(carrier)?.1.down()
    }

    /// Where a call has come from, rather than that the gateway is between.
    pub(super) fn source_behind_gateway(&self, name: &str, offer: &Offer) -> Option<SocketAddr> {
        if !self.config.is_behind_gateway(name) {
            return None;
        }
        let source = offer.variables.iter().find(|(name, _)| name == SOURCE);
        source.and_then(|(_, address)| address.parse().ok())
    }

    /// What was counted of a carrier's media, rather than of the way to the gateway.
    pub(super) fn stats_of_carrier(&self, call: CallId) -> Option<CallStats> {
        let word = self.legs.get(&call)?.marks.sip.as_ref()?;
        Some(self.gateway.as_ref()?.carriers.figures(word)?.stats)
    }

    /// Where a call goes, in the same way.
    pub(super) fn address_behind_gateway(&self, now: Instant, name: &str) -> Option<SocketAddr> {
        if self.config.phones.contains_key(name) {
            return self.registrar.find(now, name);
        }
        let carrier = name.strip_prefix(CARRIER)?;
        let (_, standing) = self.gateway.as_ref()?.carriers.find(carrier)?;
        standing.addresses.first().map(|server| server.address)
    }

    /// Connections of SIP that others have opened.
    pub(crate) fn sip_connections(&self) -> StreamCounts {
        self.gateway.as_ref().map(|link| link.streams.counts()).unwrap_or_default()
    }

    /// Whether a peer behind the gateway answers, and how fast; `None` for other peers.
    pub(super) fn state_behind_gateway(&self, name: &str) -> Option<(PeerState, Option<Duration>)> {
        if let Some(phone) = self.config.phones.get(name) {
            return Some(match (phone.watch, self.phone_status(name)) {
                (None, _) => (PeerState::Unmonitored, None),
                (_, status) => (status.into(), status.round_trip()),
            });
        }
        let carrier = name.strip_prefix(CARRIER)?;
        let found = self.gateway.as_ref().and_then(|link| link.carriers.find(carrier));
        Some(found.map_or((PeerState::Unknown, None), |(carrier, standing)| {
            state_of(&carrier, &standing)
        }))
    }

    /// The last polls of a peer behind the gateway: seconds since, and the milliseconds that the answer took
    /// if one came. `None` for any other peer.
    pub(super) fn polls_behind_gateway(&self, name: &str) -> Option<Vec<(f64, Option<f64>)>> {
        let gateway = self.gateway.as_ref();
        if self.config.phones.contains_key(name) {
            return Some(gateway.map(|link| link.phones.polls(name)).unwrap_or_default());
        }
        let carrier = name.strip_prefix(CARRIER)?;
        Some(gateway.map(|link| link.carriers.polls(carrier)).unwrap_or_default())
    }

    /// All carriers, with how they stand.
    pub(crate) fn show_carriers(&self) -> CarriersView {
        let known = self.gateway.as_ref().map(|link| link.carriers.all()).unwrap_or_default();
        CarriersView { carriers: known.iter().map(show).collect() }
    }

    /// Registrations of ours at carriers.
    pub(super) fn registrations_at_carriers(&self) -> Vec<RegisteredThere> {
        let known = self.gateway.as_ref().map(|link| link.carriers.all()).unwrap_or_default();
        let there = known.into_iter().filter_map(|(name, carrier, standing)| {
            let (state, granted, failure) = registration_of(&standing)?;
            let asked = carrier.register.unwrap_or_default().as_secs();
            Some(RegisteredThere {
                registrar: format!("{CARRIER}{name}"),
                username: carrier.login?.username,
                state,
                refresh_seconds: granted.unwrap_or(asked),
                apparent_address: None,
                failure,
            })
        });
        there.collect()
    }
}

/// What the gateway is told.
fn behind(config: &Config) -> Behind {
    Behind {
        config: config.sip.clone(),
        carriers: config.carriers.clone(),
        phones: config.phones.clone(),
    }
}

fn state_of(carrier: &Carrier, standing: &Standing) -> (PeerState, Option<Duration>) {
    match standing.answers {
        _ if standing.lost.is_some() => (PeerState::Unreachable, None),
        None if carrier.keep_alive.is_none() => (PeerState::Unmonitored, None),
        None => (PeerState::Unknown, None),
        Some(true) => (PeerState::Ok, standing.round_trip),
        Some(false) => (PeerState::Unreachable, None),
    }
}

/// How a registration stands, for how long it is granted, and why it failed.
fn registration_of(
    standing: &Standing,
) -> Option<(RegistrationState, Option<u64>, Option<String>)> {
    match &standing.registered {
        Registered::Unwanted => None,
        Registered::Trying => Some((RegistrationState::Trying, None, None)),
        Registered::For(granted, _) => {
            Some((RegistrationState::Registered, Some(granted.as_secs()), None))
        }
        Registered::Failed(0, words) => {
            Some((RegistrationState::Failed, None, Some(words.clone())))
        }
        Registered::Failed(status, words) => {
            Some((RegistrationState::Failed, None, Some(format!("{status} {words}"))))
        }
    }
}

fn show((name, carrier, standing): &(String, Carrier, Standing)) -> CarrierView {
    let (state, latency) = state_of(carrier, standing);
    let registration = registration_of(standing);
    CarrierView {
        name: name.clone(),
        state,
        since_seconds: standing.since.elapsed().as_secs(),
        latency_ms: latency.map(millis),
        host: match carrier.port {
            Some(port) => format!("{}:{port}", carrier.host),
            None => carrier.host.clone(),
        },
        addresses: standing.addresses.iter().map(|server| server.address.to_string()).collect(),
        transport: match (carrier.transport, standing.addresses.first()) {
            (Some(transport), _) => transport.name().into(),
            (None, Some(first)) => first.transport.name().into(),
            (None, None) => AUTO.into(),
        },
        down: standing.down(),
        registration: registration.as_ref().map(|(state, ..)| *state),
        registered_seconds: registration.as_ref().and_then(|(_, granted, _)| *granted),
        registration_failure: registration.and_then(|(.., failure)| failure),
        calls_in: standing.calls.1,
        calls_out: standing.calls.0,
        turned_away: standing.turned_away,
        codecs: carrier.codecs.iter().map(|format| format.name().into()).collect(),
    }
}
