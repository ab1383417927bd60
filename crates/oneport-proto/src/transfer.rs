//! Native transfer (RFC 5456 §6.5): two calls that meet here become one between their far ends.
//!
//! ```text
//!      A                      M                      B
//!      |<------- TXREQ -------|------- TXREQ ------->|   address and number of the other
//!      |--------------------- TXCNT ---------------->|   and back: can they reach each other?
//!      |<-------------------- TXACC -----------------|   and back
//!      |------- TXREADY ----->|<------ TXREADY ------|
//!      |<------- TXREL -------|------- TXREL ------->|   M is out; numbers begin at zero
//! ```
//!
//! With TXMEDIA in place of TXREL only the voice goes straight, signalling stays with M. A later TXREJ
//! brings the voice back to M, as where M links one of the two to somebody else or the other is gone.
//! (By the RFC TXREL does that too, and we take it; an Asterisk moves the whole call because of it.)
//! If one end cannot reach the other it says TXREJ, and M goes on relaying.
//!
//! A TXREQ makes us send datagrams to an address that somebody else names. So it is followed only
//! where the application allows it, on answered calls, once at a time and not often; a few small
//! frames at most leave for that address until it has answered with the right identifier.

use alloc::boxed::Box;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use oneport_wire::{
    CallNumber, CauseCode, Element, ElementBuffer, Elements, FullHeader, IaxSubclass, Message, Seq,
    Timestamp,
};
use rand_core::Rng;

use crate::call::{Call, Ending};
use crate::clock::Instant;
use crate::context::Context;
use crate::drop_reason::DropReason;
use crate::endpoint::{Endpoint, Handled, call_mut};
use crate::error::CommandError;
use crate::event::{EndReason, Event, TransferFailure};
use crate::exchange::Exchange;
use crate::id::CallId;
use crate::path::Path;
use crate::resting::Resting;
use crate::slots::Role;

/// TXCNTs sent to an address that does not answer.
const ATTEMPTS: u8 = 4;
/// Time between two.
const ATTEMPT_INTERVAL: Duration = Duration::from_millis(500);
/// How long the middle waits for both ends.
const MIDDLE_PATIENCE: Duration = Duration::from_secs(10);
/// How long an end that has found the other waits for its release.
const END_PATIENCE: Duration = Duration::from_secs(30);
/// Time between two transfers that a peer may ask of one call.
const PAUSE: Duration = Duration::from_secs(5);

/// What two calls hand over to each other.
///
/// A switch between two phones lets them find each other, and is out of the call:
///
/// ```
/// use oneport_proto::{EndReason, Endpoint, EndpointConfig, Event, TransferKind};
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (mut ann, mut switch) = two_ends(now);
/// # let bob_at: std::net::SocketAddr = ([192, 0, 2, 3], 4569).into();
/// let accepting = EndpointConfig { accept_transfers: true, ..EndpointConfig::default() };
/// let mut bob = Endpoint::new(accepting.clone(), [3; 32], now);
/// ann.reconfigure(accepting);
/// # let (_, to_ann) = call_up(now, &mut ann, &mut switch);
/// # let to_bob = switch.place_call(now, bob_at, oneport_proto::NewCall::to("200"))?;
/// # deliver(now, &mut [(THERE, &mut switch), (bob_at, &mut bob)], &mut ());
/// # let Some(Event::CallOffered { call, .. }) = bob.poll_event() else { panic!() };
/// # bob.accept(now, call, oneport_wire::Format::ULAW)?;
/// # bob.answer(now, call)?;
/// # deliver(now, &mut [(THERE, &mut switch), (bob_at, &mut bob)], &mut ());
/// # while switch.poll_event().is_some() {}
/// switch.link(to_ann, to_bob)?;
/// switch.transfer(now, to_ann, to_bob, TransferKind::Full)?;
/// deliver(now, &mut [(HERE, &mut ann), (THERE, &mut switch), (bob_at, &mut bob)], &mut ());
/// for _ in [to_ann, to_bob] {
///     let Some(Event::CallEnded { end, .. }) = switch.poll_event() else { panic!("it stays") };
///     assert_eq!(end.reason, EndReason::Transferred);
/// }
/// assert_eq!((ann.calls(), switch.calls(), bob.calls()), (1, 0, 1));
/// # Ok::<(), oneport_proto::CommandError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TransferKind {
    /// Everything: we are out of the call.
    Full,
    /// Voice; signalling still goes through here.
    Media,
}

/// A call's part in a transfer.
#[derive(Debug)]
pub(crate) enum Transfer {
    /// We let two ends find each other.
    Middle { other: CallId, kind: TransferKind, ready: bool, ends: Instant },
    /// The voice of this call does not come here any more: it goes straight to that of the other.
    Relieved { other: CallId },
    /// We look for the other end.
    End(End),
    /// Our voice goes straight to the other end.
    Direct { remote: SocketAddr, theirs: CallNumber },
}

/// Looking for the other end.
#[derive(Debug)]
pub(crate) struct End {
    path: Path,
    theirs: CallNumber,
    id: u32,
    attempts: u8,
    sent: Instant,
    /// The next attempt, or the end of our patience.
    next: Instant,
    /// It answered; the round trip to it.
    found: Option<Duration>,
    /// Its voice comes straight already.
    heard: bool,
}

impl Transfer {
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Middle { ends, .. } => Some(*ends),
            Self::End(end) => Some(end.next),
            Self::Relieved { .. } | Self::Direct { .. } => None,
        }
    }

    /// The other end, and its number where its voice is found by that.
    pub(crate) fn other_end(&self) -> Option<(SocketAddr, Option<CallNumber>)> {
        match self {
            Self::End(end) => Some((end.path.remote, end.found.map(|_| end.theirs))),
            Self::Direct { remote, theirs } => Some((*remote, Some(*theirs))),
            Self::Middle { .. } | Self::Relieved { .. } => None,
        }
    }
}

/// What the elements of transfer frames say.
#[derive(Default)]
struct Said {
    address: Option<SocketAddr>,
    number: Option<CallNumber>,
    id: Option<u32>,
}

impl Said {
    fn read(elements: Elements<'_>) -> Self {
        let mut said = Self::default();
        for element in elements.iter() {
            match element {
                Element::ApparentAddress(address) => said.address = Some(address),
                Element::CallNumber(number) if number.get() > 1 => said.number = Some(number),
                Element::TransferId(id) => said.id = Some(id),
                _ => {}
            }
        }
        said
    }
}

/// Whether a datagram may be sent to `address` at all.
fn is_reachable(address: SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

impl Call {
    /// Notes that voice came from `remote`; `true`: it is the other end of a transfer, which is told
    /// of its release before we are, and this is the first that comes straight. Its clock is another.
    pub(crate) fn comes_straight(&mut self, remote: SocketAddr) -> bool {
        let Some(Transfer::End(end)) = self.transfer.as_deref_mut() else { return false };
        let first = !end.heard && end.path.remote == remote;
        if first {
            end.heard = true;
            self.voice_in.begin_anew();
        }
        first
    }

    fn transferable(&self) -> bool {
        self.is_answered() && self.exchange.crypt.is_none() && self.transfer.is_none()
    }

    fn refuse_transfer(&mut self, cx: &mut Context, now: Instant) {
        let elements = [
            Element::Cause("no transfer".into()),
            Element::CauseCode(CauseCode::FACILITY_REJECTED),
        ];
        self.send_transfer(cx, now, IaxSubclass::TxRej, &elements);
    }

    fn send_transfer(
        &mut self,
        cx: &mut Context,
        now: Instant,
        subclass: IaxSubclass,
        elements: &[Element<'_>],
    ) {
        let mut buffer = ElementBuffer::new();
        elements.iter().for_each(|element| buffer.push(element));
        self.exchange.send_iax(cx, now, subclass, &buffer);
    }
}

impl End {
    /// A frame to the other end, outside of all numbering.
    fn send(
        &self,
        cx: &mut Context,
        now: Instant,
        exchange: &Exchange,
        subclass: IaxSubclass,
        timestamp: Option<Timestamp>,
    ) {
        let header = FullHeader {
            source: exchange.ours,
            destination: self.theirs,
            retransmission: false,
            timestamp: timestamp.unwrap_or_else(|| Timestamp(exchange.clock(now))),
            oseq: Seq::ZERO,
            iseq: Seq::ZERO,
        };
        let mut elements = ElementBuffer::new();
        elements.push(&Element::TransferId(self.id));
        let message = Message::iax(subclass, elements.as_elements());
        cx.send_once(self.path, None, &header, &message);
    }
}

/// As the middle.
impl Endpoint {
    /// Lets two answered calls find each other without us: their media, or all of them. If they
    /// can, both calls end here with [`EndReason::Transferred`]
    /// ([`TransferKind::Full`]) or [`Event::MediaTransferred`] follows; if not,
    /// [`Event::TransferFailed`], and everything goes on as before.
    ///
    /// # Errors
    /// A call is not answered, is encrypted, or is being transferred; or both have the same peer.
    pub fn transfer(
        &mut self,
        now: Instant,
        a: CallId,
        b: CallId,
        kind: TransferKind,
    ) -> Result<(), CommandError> {
        let now = self.cx.time.enter(now);
        let mut numbers = [None; 2];
        for (id, number) in [a, b].into_iter().zip(&mut numbers) {
            let call = call_mut(&mut self.slots, id).ok_or(CommandError::UnknownCall)?;
            if call.translated && call.link.is_some() {
                return Err(CommandError::FormatsDiffer);
            }
            let theirs = call.exchange.theirs.filter(|_| call.transferable());
            *number = Some((call.exchange.path.remote, theirs.ok_or(CommandError::WrongPhase)?));
        }
        let [Some(of_a), Some(of_b)] = numbers else { return Err(CommandError::UnknownCall) };
        if of_a.0 == of_b.0 {
            return Err(CommandError::SamePeer);
        }
        let transfer_id = self.cx.rng.next_u32();
        let ends = now + MIDDLE_PATIENCE;
        for (id, other, (address, number)) in [(a, b, of_b), (b, a, of_a)] {
            let Some(call) = call_mut(&mut self.slots, id) else { continue };
            call.transfer = Some(Box::new(Transfer::Middle { other, kind, ready: false, ends }));
            let elements = [
                Element::ApparentAddress(address),
                Element::CallNumber(number),
                Element::TransferId(transfer_id),
            ];
            call.send_transfer(&mut self.cx, now, IaxSubclass::TxReq, &elements);
            self.slots.schedule(&mut self.cx, id.slot);
        }
        Ok(())
    }

    /// Whether this call follows a peer that asks for a transfer (TXREQ). It does not unless
    /// [`EndpointConfig::accept_transfers`](crate::EndpointConfig::accept_transfers) says so.
    ///
    /// # Errors
    /// None but those of all these commands.
    pub fn allow_transfer(&mut self, id: CallId, allow: bool) -> Result<(), CommandError> {
        let call = call_mut(&mut self.slots, id).ok_or(CommandError::UnknownCall)?;
        call.seldom.accepts_transfers = allow;
        Ok(())
    }

    fn end_is_ready(&mut self, now: Instant, index: u32) -> Handled {
        let Some(Transfer::Middle { other, kind, ready, .. }) = self.transfer_at(index) else {
            return Handled::Dropped(DropReason::Unexpected);
        };
        *ready = true;
        let (other, kind) = (*other, *kind);
        let both = call_mut(&mut self.slots, other).is_some_and(|call| {
            matches!(call.transfer.as_deref(), Some(Transfer::Middle { ready: true, .. }))
        });
        if both {
            self.let_go(now, index, other, kind);
        }
        Handled::Consumed
    }

    /// Both ends have found each other.
    fn let_go(&mut self, now: Instant, index: u32, other: CallId, kind: TransferKind) {
        let Some(slot) = self.slots.at(index) else { return };
        let one = CallId { slot: index, generation: slot.generation };
        let number = |endpoint: &mut Self, id| {
            call_mut(&mut endpoint.slots, id).and_then(|call| call.exchange.theirs)
        };
        let numbers = [(one, other, number(self, other)), (other, one, number(self, one))];
        for (id, other, far) in numbers {
            let (Some(call), Some(far)) = (call_mut(&mut self.slots, id), far) else { continue };
            let far = [Element::CallNumber(far)];
            match kind {
                TransferKind::Full => {
                    call.transfer = None;
                    call.send_transfer(&mut self.cx, now, IaxSubclass::TxRel, &far);
                    let cause = CauseCode::NORMAL_CLEARING;
                    self.end_call(now, id.slot, Ending::new(EndReason::Transferred, cause));
                }
                TransferKind::Media => {
                    call.transfer = Some(Box::new(Transfer::Relieved { other }));
                    call.seldom.audit.leave_off();
                    call.send_transfer(&mut self.cx, now, IaxSubclass::TxMedia, &far);
                    self.cx.tell(Event::MediaTransferred { call: id });
                    self.slots.schedule(&mut self.cx, id.slot);
                }
            }
        }
    }

    /// A transfer will not be: the calls go on as they are.
    fn give_up_transfer(&mut self, now: Instant, index: u32, failure: TransferFailure) {
        let Some(slot) = self.slots.at(index) else { return };
        let id = CallId { slot: index, generation: slot.generation };
        let Role::Call(call) = &mut slot.role else { return };
        if !matches!(call.transfer.as_deref(), Some(Transfer::Middle { .. })) {
            return;
        }
        let Some(Transfer::Middle { other, .. }) = call.transfer.take().map(|state| *state) else {
            return;
        };
        if failure != TransferFailure::Refused {
            call.refuse_transfer(&mut self.cx, now);
        }
        self.slots.schedule(&mut self.cx, index);
        self.cx.tell(Event::TransferFailed { call: id, failure });
        self.tell_other(now, other, failure);
    }

    /// Two calls have no more to do with each other: a transfer of them is given up, and voice that
    /// goes straight comes back to us.
    pub(crate) fn part(&mut self, id: CallId) {
        let now = self.cx.time.latest();
        let Some(call) = call_mut(&mut self.slots, id) else { return };
        match call.transfer.as_deref() {
            Some(Transfer::Middle { .. }) => {
                self.give_up_transfer(now, id.slot, TransferFailure::CallEnded);
            }
            _ => self.bring_back(now, id),
        }
    }

    /// Voice of a call and of the one beside it comes to us again, if it goes straight.
    pub(crate) fn bring_back(&mut self, now: Instant, id: CallId) {
        let call = call_mut(&mut self.slots, id);
        if let Some(Transfer::Relieved { other }) = call.and_then(|call| call.transfer.as_deref()) {
            let other = *other;
            self.take_back(now, id);
            self.take_back(now, other);
        }
    }

    /// Lets the voice of a call come here again.
    fn take_back(&mut self, now: Instant, id: CallId) {
        let Some(call) = call_mut(&mut self.slots, id) else { return };
        if !matches!(call.transfer.as_deref(), Some(Transfer::Relieved { .. })) {
            return;
        }
        call.transfer = None;
        // It has heard somebody else meanwhile.
        call.voice_out.begin_with_full();
        call.refuse_transfer(&mut self.cx, now);
        self.slots.schedule(&mut self.cx, id.slot);
    }

    /// The other end of a transfer that will not be is told.
    fn tell_other(&mut self, now: Instant, other: CallId, failure: TransferFailure) {
        let Some(call) = call_mut(&mut self.slots, other) else { return };
        if matches!(call.transfer.as_deref(), Some(Transfer::Middle { .. })) {
            call.transfer = None;
            call.refuse_transfer(&mut self.cx, now);
            self.slots.schedule(&mut self.cx, other.slot);
            self.cx.tell(Event::TransferFailed { call: other, failure });
        }
    }
}

/// As an end, and what all parts share.
impl Endpoint {
    fn transfer_at(&mut self, index: u32) -> Option<&mut Transfer> {
        match &mut self.slots.at(index)?.role {
            Role::Call(call) => call.transfer.as_deref_mut(),
            _ => None,
        }
    }

    /// Takes a transfer frame that came over the call.
    pub(crate) fn handle_transfer(
        &mut self,
        now: Instant,
        index: u32,
        header: &FullHeader,
        subclass: IaxSubclass,
        elements: Elements<'_>,
    ) -> Handled {
        let said = Said::read(elements);
        match (subclass, self.transfer_at(index)) {
            (IaxSubclass::TxReq, _) => self.look_for_other(now, index, &said),
            (IaxSubclass::TxReady, _) => self.end_is_ready(now, index),
            (IaxSubclass::TxRej, Some(Transfer::Middle { .. })) => {
                self.give_up_transfer(now, index, TransferFailure::Refused);
                Handled::Consumed
            }
            (IaxSubclass::TxRej, Some(Transfer::End(_))) => {
                self.forget_transfer(now, index);
                Handled::Consumed
            }
            (IaxSubclass::TxRel, Some(Transfer::End(end)))
                if end.found.is_some() && said.number == Some(end.theirs) =>
            {
                self.move_over(now, index, header.timestamp);
                Handled::Consumed
            }
            (IaxSubclass::TxMedia, Some(Transfer::End(end)))
                if end.found.is_some() && said.number == Some(end.theirs) =>
            {
                self.send_media_straight(now, index);
                Handled::Consumed
            }
            (IaxSubclass::TxRel | IaxSubclass::TxRej, Some(Transfer::Direct { .. })) => {
                self.send_media_by_the_middle(now, index);
                Handled::Consumed
            }
            _ => Handled::Dropped(DropReason::Unexpected),
        }
    }

    /// TXREQ: may we, and can we, look for the other end?
    fn look_for_other(&mut self, now: Instant, index: u32, said: &Said) -> Handled {
        let Self { cx, slots } = self;
        let Some(Role::Call(call)) = slots.at(index).map(|slot| &mut slot.role) else {
            return Handled::Dropped(DropReason::Unexpected);
        };
        let rested = call.seldom.last_transfer.is_none_or(|last| now.since(last) >= PAUSE);
        let allowed = call.seldom.accepts_transfers && call.transferable() && rested;
        let ours = call.exchange.ours;
        let target = match (said.address, said.number, said.id) {
            (Some(address), Some(number), Some(id))
                if allowed
                    && is_reachable(address)
                    && address != call.exchange.path.remote
                    && cx.index.claim(address, ours, index) =>
            {
                Some((address, number, id))
            }
            _ => None,
        };
        let Some((address, theirs, id)) = target else {
            call.refuse_transfer(cx, now);
            return Handled::Dropped(DropReason::TransferRefused);
        };
        call.seldom.last_transfer = Some(now);
        let path = Path { remote: address, ..call.exchange.path };
        let next = now + ATTEMPT_INTERVAL;
        let end = End { path, theirs, id, attempts: 1, sent: now, next, found: None, heard: false };
        end.send(cx, now, &call.exchange, IaxSubclass::TxCnt, None);
        call.transfer = Some(Box::new(Transfer::End(end)));
        Handled::Consumed
    }

    /// Takes a frame for a call from an address that is not its own: the other end of a transfer.
    pub(crate) fn handle_from_other_end(
        &mut self,
        now: Instant,
        from: Path,
        index: u32,
        header: &FullHeader,
        message: &Message<'_>,
    ) -> Handled {
        let Self { cx, slots } = self;
        let Some(Role::Call(call)) = slots.at(index).map(|slot| &mut slot.role) else {
            return Handled::Dropped(DropReason::WrongCallNumber);
        };
        let Some(Transfer::End(end)) = call.transfer.as_deref_mut() else {
            return Handled::Dropped(DropReason::WrongCallNumber);
        };
        let Message::Iax { subclass, elements } = *message else {
            return Handled::Dropped(DropReason::Unexpected);
        };
        if end.path.remote != from.remote || header.source != end.theirs {
            return Handled::Dropped(DropReason::WrongCallNumber);
        }
        let id = Said::read(elements).id;
        match subclass {
            IaxSubclass::TxCnt if id == Some(end.id) => {
                end.send(cx, now, &call.exchange, IaxSubclass::TxAcc, Some(header.timestamp));
            }
            // Asterisk repeats no identifier here; but it answers only what bore the right one.
            IaxSubclass::TxAcc if id.is_none_or(|id| id == end.id) => {
                if end.found.is_none() {
                    end.found = Some(now.since(end.sent));
                    end.next = now + END_PATIENCE;
                    // Its release may come before ours, and its first voice with it.
                    if cx.index.find_by_theirs(from.remote, end.theirs).is_none() {
                        cx.index.learn(from.remote, end.theirs, index);
                    }
                    let id = end.id;
                    let ours = call.exchange.ours;
                    let elements = [Element::CallNumber(ours), Element::TransferId(id)];
                    call.send_transfer(cx, now, IaxSubclass::TxReady, &elements);
                }
            }
            IaxSubclass::TxCnt | IaxSubclass::TxAcc => {
                return Handled::Dropped(DropReason::TransferRefused);
            }
            _ => return Handled::Dropped(DropReason::Unexpected),
        }
        slots.schedule(cx, index);
        Handled::Consumed
    }

    /// TXREL: the call goes on with the other end, from the start of its numbers and clocks.
    fn move_over(&mut self, now: Instant, index: u32, timestamp: Timestamp) {
        let Self { cx, slots } = self;
        let Some(slot) = slots.at(index) else { return };
        let id = CallId { slot: index, generation: slot.generation };
        let Role::Call(call) = &mut slot.role else { return };
        let Some(Transfer::End(end)) = call.transfer.take().map(|state| *state) else { return };
        call.exchange.acknowledge(cx, timestamp);
        let ours = call.exchange.ours;
        let fresh = Exchange::moved(now, end.path, ours, end.theirs, end.found);
        let mut old = core::mem::replace(&mut call.exchange, fresh);
        cx.numbers.remove(&old, index);
        cx.numbers.insert(&call.exchange, index);
        if let Some(place) = old.trunk {
            // To the middle the call is over.
            cx.trunks.withdraw(&mut cx.counters, place, ours);
        }
        if call.quelched {
            cx.tell_detail(Event::Quelched { call: id, quelched: false, music: None });
        }
        call.start_over(cx, now);
        // What is left of the way over the middle: its repeated TXREL is acknowledged.
        old.full.reliable.clear();
        let (path, theirs) = (old.path, old.theirs);
        let until = now + cx.config.number_quarantine;
        let resting = Role::Resting(Resting::new(old, until, None));
        let (rest, _) = slots.insert(resting, false);
        cx.index.reassign(path.remote, ours, theirs, rest);
        slots.schedule(cx, rest);
        cx.tell(Event::CallTransferred { call: id, path: end.path });
        if let Some(before) = cx.index.learn(end.path.remote, end.theirs, index) {
            self.peer_restarted(now, before);
        }
    }

    /// TXMEDIA: from now on our voice goes to the other end, and its voice comes from there.
    fn send_media_straight(&mut self, now: Instant, index: u32) {
        let Self { cx, slots } = self;
        let Some(Role::Call(call)) = slots.at(index).map(|slot| &mut slot.role) else { return };
        let Some(Transfer::End(end)) = call.transfer.take().map(|state| *state) else { return };
        let remote = end.path.remote;
        call.transfer = Some(Box::new(Transfer::Direct { remote, theirs: end.theirs }));
        cx.flush_trunk(now, call.exchange.trunk);
        call.exchange.media_path = Some(Box::new(end.path));
        call.seldom.audit.leave_off();
        if !end.heard {
            call.voice_in.begin_anew();
        }
        if let Some(before) = cx.index.learn(remote, end.theirs, index) {
            self.peer_restarted(now, before);
        }
    }

    /// TXREJ or TXREL when our voice goes straight: it takes the way of the signalling again.
    fn send_media_by_the_middle(&mut self, now: Instant, index: u32) {
        self.forget_transfer(now, index);
        let Some(Role::Call(call)) = self.slots.at(index).map(|slot| &mut slot.role) else {
            return;
        };
        call.exchange.media_path = None;
        // The middle has heard no full frame of ours for a while.
        call.voice_out.begin_anew();
        call.voice_in.begin_anew();
    }

    /// Ends a call's part in a transfer, whatever it is.
    pub(crate) fn forget_transfer(&mut self, now: Instant, index: u32) {
        let Some(Role::Call(call)) = self.slots.at(index).map(|slot| &mut slot.role) else {
            return;
        };
        let ours = call.exchange.ours;
        match call.transfer.take().map(|state| *state) {
            Some(Transfer::End(end)) => {
                if end.heard {
                    call.voice_in.begin_anew();
                }
                self.cx.index.forget(end.path.remote, ours, Some(end.theirs), index);
            }
            Some(Transfer::Direct { remote, theirs }) => {
                self.cx.index.forget(remote, ours, Some(theirs), index);
            }
            Some(Transfer::Middle { other, .. }) => {
                self.tell_other(now, other, TransferFailure::CallEnded);
            }
            Some(Transfer::Relieved { other }) => self.take_back(now, other),
            None => {}
        }
    }

    pub(crate) fn handle_transfer_timeout(&mut self, now: Instant, index: u32) {
        let Self { cx, slots } = self;
        let Some(Role::Call(call)) = slots.at(index).map(|slot| &mut slot.role) else { return };
        match call.transfer.as_deref_mut() {
            Some(Transfer::Middle { ends, .. }) if *ends <= now => {
                self.give_up_transfer(now, index, TransferFailure::TimedOut);
            }
            Some(Transfer::End(end)) if end.next <= now => {
                if end.found.is_none() && end.attempts < ATTEMPTS {
                    end.attempts += 1;
                    (end.sent, end.next) = (now, now + ATTEMPT_INTERVAL);
                    end.send(cx, now, &call.exchange, IaxSubclass::TxCnt, None);
                } else {
                    call.refuse_transfer(cx, now);
                    self.forget_transfer(now, index);
                }
            }
            _ => {}
        }
    }
}
