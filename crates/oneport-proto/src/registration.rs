//! Being registered at a peer (RFC 5456 §6.1), again and again until told to stop.
//!
//! [`Registration`] lasts; each cycle of it runs in an exchange of its own, [`Registering`]:
//! REGREQ → (← CALLTOKEN, REGREQ →) ← REGAUTH, REGREQ → ← REGACK.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use oneport_wire::{
    CauseCode, Element, ElementBuffer, Elements, IaxSubclass, MessageCount, Timestamp,
};

use crate::auth::{Asked, Credentials};
use crate::clock::Instant;
use crate::context::Context;
use crate::drop_reason::DropReason;
use crate::event::RegistrationFailure;
use crate::exchange::Exchange;
use crate::id::RegistrationId;
use crate::keys::PrivateKey;
use crate::registrars::{Next, Place, Registrars};
use crate::secret::Secret;

/// Where and as whom to register.
///
/// ```
/// use std::time::Duration;
///
/// use oneport_proto::{Event, Grant, RegistrationConfig};
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (mut here, mut there) = two_ends(now);
/// let registration = here.register(now, RegistrationConfig {
///     to: THERE,
///     others: vec![],
///     username: "ann".into(),
///     secret: Some("a secret".into()),
///     key: None,
///     allow_plaintext: false,
///     refresh: Duration::from_secs(60),
/// });
/// exchange(now, &mut here, &mut there);
/// let Some(Event::RegisterRequested { request, .. }) = there.poll_event() else { panic!() };
/// # let grant = Grant {
/// #     refresh: Duration::from_secs(300), messages: None, calling_number: None, calling_name: None, date_time: None,
/// # };
/// there.grant(now, request, &grant)?; // for 300 s: the registrar decides
/// exchange(now, &mut here, &mut there);
/// assert!(matches!(
///     here.poll_event(),
///     Some(Event::Registered { refresh, .. }) if refresh == Duration::from_secs(300)
/// ));
/// # Ok::<(), oneport_proto::CommandError>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct RegistrationConfig {
    /// The registrar.
    pub to: SocketAddr,
    /// Others that take us as well, in the order in which they are tried where it does not answer.
    pub others: Vec<Place>,
    /// The name it knows us by.
    pub username: String,
    /// The secret that goes with it.
    pub secret: Option<Secret>,
    /// The key by which we prove who we are, to a registrar that takes RSA.
    pub key: Option<PrivateKey>,
    /// Whether the secret may be sent in the clear to a registrar that asks for it so.
    pub allow_plaintext: bool,
    /// For how long to ask, whole seconds up to 65,535; the registrar decides.
    pub refresh: Duration,
}

/// How long a registration holds of which the registrar does not say it (RFC 5456 §6.1.1).
const UNSAID_REFRESH: Duration = Duration::from_secs(60);
/// A registrar that grants less than this is not asked more often all the same.
const LEAST_REFRESH: Duration = Duration::from_secs(10);
/// How long a registrar may be silent before another is tried, if there is one.
const PATIENCE: Duration = Duration::from_secs(8);
/// CALLTOKEN replies followed in one cycle.
const TOKEN_ATTEMPTS: u8 = 3;

/// A standing registration.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) config: Box<RegistrationConfig>,
    /// Which registrar it is.
    pub(crate) registrars: Registrars,
    /// The slot of the cycle under way.
    pub(crate) cycle: Option<u32>,
    /// When the next cycle begins.
    pub(crate) next: Option<Instant>,
    /// When the registrar is polled next, so that NATs keep the way to us open.
    pub(crate) next_poke: Option<Instant>,
    pub(crate) polls_lost: u32,
    /// Where the registrar saw us when we registered, if it said so.
    pub(crate) seen_at: Option<SocketAddr>,
    /// Until when the registrar has us.
    pub(crate) held_until: Option<Instant>,
    pub(crate) releasing: bool,
    failures: u32,
}

impl Registration {
    pub(crate) fn new(config: RegistrationConfig, now: Instant) -> Self {
        Self {
            registrars: Registrars::new(config.to, &config.others),
            config: Box::new(config),
            cycle: None,
            next: Some(now),
            next_poke: None,
            polls_lost: 0,
            seen_at: None,
            held_until: None,
            releasing: false,
            failures: 0,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let better = self.registrars.next_poll();
        [self.next, self.next_poke, better].into_iter().flatten().min()
    }

    /// The registrar in use.
    pub(crate) fn registrar(&self) -> SocketAddr {
        self.registrars.address().unwrap_or(self.config.to)
    }

    /// The registrar has us for `refresh`: the next cycle begins at 3/4 to 5/6 of it, as `random`
    /// says, so that peers which registered together do not stay together (RFC 5456 §7.2.2).
    pub(crate) fn succeeded(&mut self, now: Instant, refresh: Duration, random: u8) {
        self.cycle = None;
        self.failures = 0;
        self.held_until = Some(now + refresh);
        let refresh = refresh.max(LEAST_REFRESH);
        self.next = Some(now + refresh * 3 / 4 + refresh / 12 * u32::from(random) / 255);
    }

    /// A cycle failed, or the registrar answers no polls. Returns the pause before the next cycle: none where another
    /// registrar is tried, else `first`, then twice as long each time, up to `longest`.
    pub(crate) fn failed(
        &mut self,
        now: Instant,
        failure: &RegistrationFailure,
        (first, longest): (Duration, Duration),
    ) -> Duration {
        self.cycle = None;
        self.next_poke = None;
        self.polls_lost = 0;
        let refused = *failure != RegistrationFailure::TimedOut;
        if self.registrars.failed(now, refused) == Next::AtOnce {
            self.next = Some(now);
            return Duration::ZERO;
        }
        let doublings = 2_u32.saturating_pow(self.failures.min(8));
        let pause = first.saturating_mul(doublings).min(longest);
        self.failures = self.failures.saturating_add(1);
        self.next = Some(now + pause);
        pause
    }
}

/// One cycle.
#[derive(Debug)]
pub(crate) struct Registering {
    pub(crate) exchange: Exchange,
    pub(crate) owner: RegistrationId,
    config: Box<RegistrationConfig>,
    /// REGREQ or REGREL.
    subclass: IaxSubclass,
    tokens: u8,
    ends: Instant,
    /// Until when something must have come, where there are others to ask.
    patient_until: Option<Instant>,
}

/// How a cycle ended.
#[derive(Debug)]
pub(crate) enum CycleEnd {
    Acknowledged {
        refresh: Duration,
        apparent_address: Option<SocketAddr>,
        messages: Option<MessageCount>,
        firmware_version: Option<u16>,
    },
    Failed(RegistrationFailure),
}

impl Registering {
    pub(crate) fn begin(
        cx: &mut Context,
        now: Instant,
        mut exchange: Exchange,
        owner: RegistrationId,
        registration: &Registration,
    ) -> Self {
        let config = registration.config.clone();
        let subclass =
            if registration.releasing { IaxSubclass::RegRel } else { IaxSubclass::RegReq };
        let mut elements = Self::elements(cx, &config, subclass);
        elements.push(&Element::CallToken(&[]));
        exchange.send_iax(cx, now, subclass, &elements);
        let ends = now + cx.config.setup_timeout;
        let patient_until = registration.registrars.are_several().then(|| now + PATIENCE);
        Self { exchange, owner, config, subclass, tokens: 0, ends, patient_until }
    }

    fn elements(cx: &Context, config: &RegistrationConfig, subclass: IaxSubclass) -> ElementBuffer {
        let mut elements = ElementBuffer::new();
        elements.push(&Element::Username(config.username.as_str().into()));
        if subclass == IaxSubclass::RegReq {
            let seconds = u16::try_from(config.refresh.as_secs()).unwrap_or(u16::MAX);
            elements.push(&Element::Refresh(seconds));
            cx.config.device.push(&mut elements);
        }
        elements
    }

    pub(crate) fn receive(
        &mut self,
        cx: &mut Context,
        now: Instant,
        timestamp: Timestamp,
        subclass: IaxSubclass,
        elements: Elements<'_>,
    ) -> Result<(), CycleEnd> {
        self.hear(now);
        match subclass {
            IaxSubclass::RegAuth => {
                let credentials = Credentials {
                    secret: self.config.secret.as_ref(),
                    key: self.config.key.as_ref(),
                    allow_plaintext: self.config.allow_plaintext,
                };
                let mut again = Self::elements(cx, &self.config, self.subclass);
                let asked = Asked::read(elements);
                if credentials.answer(&mut cx.rng, asked, &mut again).is_none() {
                    return Err(CycleEnd::Failed(RegistrationFailure::CannotAuthenticate));
                }
                self.exchange.send_iax(cx, now, self.subclass, &again);
                Ok(())
            }
            IaxSubclass::RegAck => Err(Self::acknowledged(elements)),
            IaxSubclass::RegRej => Err(Self::refused(elements)),
            IaxSubclass::Inval => Err(CycleEnd::Failed(RegistrationFailure::TimedOut)),
            IaxSubclass::Ping => {
                self.exchange.answer_ping(cx, now, timestamp);
                Ok(())
            }
            IaxSubclass::Ack | IaxSubclass::Vnak => Ok(()),
            _ => {
                cx.counters.drop(DropReason::Unexpected);
                Ok(())
            }
        }
    }

    /// Something came: the registrar is there.
    fn hear(&mut self, now: Instant) {
        self.patient_until = self.patient_until.map(|_| now + PATIENCE);
    }

    /// When it is given up.
    fn limit(&self) -> Instant {
        self.patient_until.map_or(self.ends, |patient| patient.min(self.ends))
    }

    /// Takes an answer from somebody who keeps no state.
    pub(crate) fn receive_stateless(
        &mut self,
        cx: &mut Context,
        now: Instant,
        subclass: IaxSubclass,
        elements: Elements<'_>,
    ) -> Result<(), CycleEnd> {
        self.hear(now);
        match subclass {
            IaxSubclass::RegRej => Err(Self::refused(elements)),
            IaxSubclass::CallToken if self.tokens < TOKEN_ATTEMPTS => {
                self.tokens += 1;
                let token = elements.iter().find_map(|element| match element {
                    Element::CallToken(token) => Some(token),
                    _ => None,
                });
                let mut again = Self::elements(cx, &self.config, self.subclass);
                again.push(&Element::CallToken(token.unwrap_or_default()));
                self.exchange.reopen(cx, now, self.subclass, &again);
                Ok(())
            }
            _ => {
                cx.counters.drop(DropReason::Unexpected);
                Ok(())
            }
        }
    }

    fn acknowledged(elements: Elements<'_>) -> CycleEnd {
        let (mut refresh, mut apparent_address) = (UNSAID_REFRESH, None);
        let (mut messages, mut firmware_version) = (None, None);
        for element in elements.iter() {
            match element {
                Element::Refresh(seconds) => refresh = Duration::from_secs(seconds.into()),
                Element::ApparentAddress(address) => apparent_address = Some(address),
                Element::MessageCount(count) => messages = Some(count),
                Element::FirmwareVersion(version) => firmware_version = Some(version),
                _ => {}
            }
        }
        CycleEnd::Acknowledged { refresh, apparent_address, messages, firmware_version }
    }

    fn refused(elements: Elements<'_>) -> CycleEnd {
        let (mut cause, mut text): (Option<CauseCode>, Option<String>) = (None, None);
        for element in elements.iter() {
            match element {
                Element::CauseCode(code) => cause = Some(code),
                Element::Cause(words) => text = Some(words.to_string()),
                _ => {}
            }
        }
        CycleEnd::Failed(RegistrationFailure::Refused { cause, text })
    }

    pub(crate) fn handle_timeout(
        &mut self,
        cx: &mut Context,
        now: Instant,
    ) -> Result<(), CycleEnd> {
        if self.exchange.handle_timeout(cx, now).is_err() || self.limit() <= now {
            self.exchange.full.reliable.clear();
            return Err(CycleEnd::Failed(RegistrationFailure::TimedOut));
        }
        Ok(())
    }

    pub(crate) fn deadline(&self, cx: &Context) -> Option<Instant> {
        let limit = self.limit();
        Some(self.exchange.deadline(cx).map_or(limit, |deadline| deadline.min(limit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewal_is_due_at_three_quarters_to_five_sixths_and_failures_back_off() {
        let at = |seconds: u64| Instant::from_micros(seconds * 1_000_000);
        let config = RegistrationConfig {
            to: SocketAddr::from(([192, 0, 2, 1], 4569)),
            others: Vec::new(),
            username: "site".into(),
            secret: None,
            key: None,
            allow_plaintext: false,
            refresh: Duration::from_secs(60),
        };
        let mut registration = Registration::new(config, at(0));
        assert_eq!(registration.deadline(), Some(at(0)));
        for (random, due) in [(0, at(45)), (255, at(50))] {
            registration.succeeded(at(0), Duration::from_secs(60), random);
            assert_eq!(registration.deadline(), Some(due));
        }
        registration.succeeded(at(0), Duration::from_secs(60), 100);
        assert!(registration.deadline() > Some(at(45)) && registration.deadline() < Some(at(50)));
        let pauses = (Duration::from_secs(5), Duration::from_secs(60));
        let silent = RegistrationFailure::TimedOut;
        let waited: [u64; 6] =
            core::array::from_fn(|_| registration.failed(at(50), &silent, pauses).as_secs());
        assert_eq!(waited, [5, 10, 20, 40, 60, 60]);
        registration.succeeded(at(100), Duration::ZERO, 255);
        assert_eq!(registration.deadline(), Some(at(100) + LEAST_REFRESH * 5 / 6));
        registration.next_poke = Some(at(121));
        assert_eq!(registration.failed(at(120), &silent, pauses).as_secs(), 5);
        assert_eq!(
            registration.deadline(),
            Some(at(125)),
            "a registrar that has us not is not polled"
        );
    }
}
