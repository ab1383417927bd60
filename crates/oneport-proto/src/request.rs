//! What a peer that registers here asks for, and what it is granted (RFC 5456 §6.1).

use alloc::boxed::Box;
use alloc::string::String;
use core::time::Duration;

use oneport_wire::{
    CauseCode, DateTime, Element, ElementBuffer, Elements, IaxSubclass, MessageCount, Timestamp,
};

use crate::auth::{Challenge, Proof};
use crate::clock::Instant;
use crate::context::Context;
use crate::drop_reason::DropReason;
use crate::error::CommandError;
use crate::event::{Event, RequestOutcome};
use crate::exchange::Exchange;
use crate::firmware::find_image;
use crate::id::RequestId;
use crate::path::Path;
use crate::provision::Device;

/// A REGREQ or REGREL.
///
/// ```
/// use std::time::Duration;
///
/// use oneport_proto::{Event, RegistrationConfig};
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (mut here, mut there) = two_ends(now);
/// # here.register(now, RegistrationConfig {
/// #     to: THERE, others: vec![], username: "ann".into(), secret: None, key: None,
/// #     allow_plaintext: false, refresh: Duration::from_secs(60),
/// # });
/// # exchange(now, &mut here, &mut there);
/// let Some(Event::RegisterRequested { register, .. }) = there.poll_event() else { panic!() };
/// assert_eq!((register.username.as_str(), register.path.remote), ("ann", HERE));
/// assert_eq!(register.refresh, Some(Duration::from_secs(60)));
/// assert!(register.address_validated && !register.release);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Register {
    /// Where it came from: the address to be registered.
    pub path: Path,
    /// The name to register.
    pub username: String,
    /// For how long, if it said so.
    pub refresh: Option<Duration>,
    /// Whether it ends its registration (REGREL) instead.
    pub release: bool,
    /// Whether the peer proved, by a call token, that it receives at that address.
    pub address_validated: bool,
    /// What it says of itself, if it is a device.
    pub device: Device,
}

/// What REGACK says.
///
/// The peer learns how many messages wait for it:
///
/// ```
/// use std::time::Duration;
///
/// use oneport_proto::{Event, Grant, RegistrationConfig};
/// use oneport_wire::MessageCount;
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (mut here, mut there) = two_ends(now);
/// # here.register(now, RegistrationConfig {
/// #     to: THERE, others: vec![], username: "ann".into(), secret: None, key: None,
/// #     allow_plaintext: false, refresh: Duration::from_secs(60),
/// # });
/// # exchange(now, &mut here, &mut there);
/// # let Some(Event::RegisterRequested { request, .. }) = there.poll_event() else { panic!() };
/// let waiting = MessageCount { old: 3, new: 1 };
/// there.grant(now, request, &Grant {
///     refresh: Duration::from_secs(60),
///     messages: Some(waiting),
///     calling_number: Some("200".into()),
///     calling_name: None,
///     date_time: None,
/// })?;
/// exchange(now, &mut here, &mut there);
/// let Some(Event::Registered { messages, .. }) = here.poll_event() else { panic!() };
/// assert_eq!(messages, Some(waiting));
/// # Ok::<(), oneport_proto::CommandError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Grant {
    /// For how long the registration holds, whole seconds up to 65,535.
    pub refresh: Duration,
    /// Messages that wait in the mailbox.
    pub messages: Option<MessageCount>,
    /// The number under which the peer is called.
    pub calling_number: Option<String>,
    /// The name that goes with it.
    pub calling_name: Option<String>,
    /// The date and time here in UTC, as a hint for displays.
    pub date_time: Option<DateTime>,
}

/// A peer's request under way:
/// ← REGREQ, REGAUTH →, ← REGREQ with the proof, then REGACK or REGREJ →.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) exchange: Exchange,
    register: Register,
    phase: Phase,
    ends: Instant,
}

#[derive(Debug)]
enum Phase {
    Asked,
    Challenged(Box<Proof>),
    Authenticated,
    /// The proof failed; REGREJ waits so that guessing is slow.
    Refusing,
    /// REGACK waits for its acknowledgement.
    Granted,
}

impl Request {
    pub(crate) fn new(cx: &Context, now: Instant, exchange: Exchange, register: Register) -> Self {
        let ends = now + cx.config.decision_timeout;
        Self { exchange, register, phase: Phase::Asked, ends }
    }

    pub(crate) fn receive(
        &mut self,
        cx: &mut Context,
        now: Instant,
        id: RequestId,
        timestamp: Timestamp,
        subclass: IaxSubclass,
        elements: Elements<'_>,
    ) -> Result<(), RequestOutcome> {
        match (subclass, &self.phase) {
            (IaxSubclass::RegReq | IaxSubclass::RegRel, Phase::Challenged(proof)) => {
                cx.challenge_ends(proof.username());
                match proof.verify(elements) {
                    Some(method) => {
                        self.phase = Phase::Authenticated;
                        self.ends = now + cx.config.decision_timeout;
                        self.exchange.acknowledge_later(now, timestamp);
                        cx.tell(Event::RegisterAuthenticated { request: id, method });
                    }
                    None => {
                        cx.counters.authentication_failures += 1;
                        self.phase = Phase::Refusing;
                        self.ends = now + cx.config.reject_delay;
                    }
                }
            }
            (IaxSubclass::Hangup | IaxSubclass::Inval | IaxSubclass::Reject, _) => {
                return Err(RequestOutcome::Abandoned);
            }
            (IaxSubclass::Ack | IaxSubclass::Vnak, _) => {}
            _ => cx.counters.drop(DropReason::Unexpected),
        }
        self.settled()
    }

    /// A grant is over when the peer has acknowledged it.
    fn settled(&self) -> Result<(), RequestOutcome> {
        if matches!(self.phase, Phase::Granted) && self.exchange.full.reliable.is_settled() {
            return Err(RequestOutcome::Granted);
        }
        Ok(())
    }

    pub(crate) fn challenge(
        &mut self,
        cx: &mut Context,
        now: Instant,
        challenge: Challenge,
    ) -> Result<(), CommandError> {
        if !matches!(self.phase, Phase::Asked) {
            return Err(CommandError::WrongPhase);
        }
        if !cx.challenge_begins(&challenge.username) {
            return Err(CommandError::TooManyChallenges);
        }
        let proof = Proof::new(challenge, &mut cx.rng);
        self.exchange.send_iax(cx, now, IaxSubclass::RegAuth, &proof.elements());
        self.phase = Phase::Challenged(Box::new(proof));
        self.ends = now + cx.config.decision_timeout;
        Ok(())
    }

    pub(crate) fn grant(
        &mut self,
        cx: &mut Context,
        now: Instant,
        grant: &Grant,
    ) -> Result<(), CommandError> {
        self.decide()?;
        let mut elements = ElementBuffer::new();
        elements.push(&Element::Username(self.register.username.as_str().into()));
        if let Some(date_time) = grant.date_time {
            elements.push(&Element::DateTime(date_time));
        }
        let seconds = u16::try_from(grant.refresh.as_secs()).unwrap_or(u16::MAX);
        elements.push(&Element::Refresh(seconds));
        elements.push(&Element::ApparentAddress(self.register.path.remote));
        if let Some(messages) = grant.messages {
            elements.push(&Element::MessageCount(messages));
        }
        if let Some(number) = &grant.calling_number {
            elements.push(&Element::CallingNumber(number.as_str().into()));
        }
        if let Some(name) = &grant.calling_name {
            elements.push(&Element::CallingName(name.as_str().into()));
        }
        // A device with this version or a later one needs to hear of none.
        let Device { device_type, firmware_version, .. } = &self.register.device;
        if let Some(image) =
            device_type.as_deref().and_then(|name| find_image(&cx.config.firmware, name))
            && firmware_version.is_none_or(|version| version < image.version())
        {
            elements.push(&Element::FirmwareVersion(image.version()));
        }
        self.exchange.send_iax(cx, now, IaxSubclass::RegAck, &elements);
        self.phase = Phase::Granted;
        self.ends = now + cx.config.decision_timeout;
        Ok(())
    }

    pub(crate) fn refuse(&mut self, cx: &mut Context, now: Instant) -> Result<(), CommandError> {
        self.decide()?;
        self.send_refusal(cx, now);
        Ok(())
    }

    fn decide(&self) -> Result<(), CommandError> {
        match self.phase {
            Phase::Asked | Phase::Authenticated => Ok(()),
            _ => Err(CommandError::WrongPhase),
        }
    }

    fn send_refusal(&mut self, cx: &mut Context, now: Instant) {
        let mut elements = ElementBuffer::new();
        elements.push(&Element::CauseCode(CauseCode::FACILITY_REJECTED));
        elements.push(&Element::Cause("Registration Refused".into()));
        self.exchange.send_iax(cx, now, IaxSubclass::RegRej, &elements);
    }

    /// Gives back what a request in this phase holds beyond its slot.
    pub(crate) fn close(&self, cx: &mut Context) {
        if let Phase::Challenged(proof) = &self.phase {
            cx.challenge_ends(proof.username());
        }
    }

    pub(crate) fn handle_timeout(
        &mut self,
        cx: &mut Context,
        now: Instant,
    ) -> Result<(), RequestOutcome> {
        if self.exchange.handle_timeout(cx, now).is_err() {
            self.exchange.full.reliable.clear();
            return Err(RequestOutcome::TimedOut);
        }
        if self.ends > now {
            return Ok(());
        }
        match self.phase {
            Phase::Refusing => {
                self.send_refusal(cx, now);
                Err(RequestOutcome::AuthenticationFailed)
            }
            Phase::Granted => Err(RequestOutcome::TimedOut),
            _ => {
                self.send_refusal(cx, now);
                Err(RequestOutcome::TimedOut)
            }
        }
    }

    pub(crate) fn deadline(&self, cx: &Context) -> Option<Instant> {
        Some(self.exchange.deadline(cx).map_or(self.ends, |deadline| deadline.min(self.ends)))
    }
}
