//! The engine: datagrams, commands and time in; datagrams, events and media out.

use alloc::boxed::Box;
use alloc::vec::Vec;

use oneport_wire::{
    CallNumber, CauseCode, Datagram, Element, ElementBuffer, Format, FullFrame, FullHeader,
    IaxSubclass, MediaKind, Message, Timestamp,
};

use crate::call::{Call, Ending};
use crate::clock::Instant;
use crate::config::EndpointConfig;
use crate::context::Context;
use crate::crypt::Expected;
use crate::drop_reason::{Counters, DropNotice, DropReason};
use crate::early::Kept;
use crate::event::{CallEnd, EndReason, Event, RequestOutcome};
use crate::exchange::Exchange;
use crate::id::{CallId, PokeId, RequestId};
use crate::media::{Media, MediaSink};
use crate::media_frames::{Stamp, Way};
use crate::path::Path;
use crate::provision::ProvisionOutcome;
use crate::registration::CycleEnd;
use crate::reliable::Order;
use crate::slots::{Role, Slots};
use crate::translate::Speech;
use crate::transmit::{Transmit, TransmitBuffer};

/// Slots whose deadlines are dealt with before what has arrived gets its turn.
const TIMEOUT_TURN: usize = 128;

/// One IAX2 port: any number of calls, registrations and polls with any number of peers.
///
/// It does nothing by itself. Hand it each received datagram
/// ([`handle_datagram`](Self::handle_datagram)) and, when [`poll_timeout`](Self::poll_timeout)
/// is reached, the time ([`handle_timeout`](Self::handle_timeout)); after that, and after each
/// command, send what [`poll_transmit`](Self::poll_transmit) yields and look at
/// [`poll_event`](Self::poll_event). The same inputs, seed included, give the same outputs.
///
/// All that it takes to run two of them. Other examples call the same `exchange`; `here` and `there` are such
/// endpoints, `ours` and `theirs` the handles that they have of one call.
///
/// ```
/// use std::net::SocketAddr;
///
/// use oneport_proto::{Endpoint, EndpointConfig, Event, Instant, NewCall, TransmitBuffer};
/// use oneport_wire::Format;
///
/// /// Hands what `sender` has to send to `receiver`, and says whether there was anything.
/// fn carry(now: Instant, from: SocketAddr, sender: &mut Endpoint, receiver: &mut Endpoint) -> bool {
///     let mut out = TransmitBuffer::with_capacity(1_500, 1);
///     let mut any = false;
///     while sender.poll_transmit(&mut out).is_some() {
///         let mut datagram = out.as_bytes().to_vec();
///         receiver.handle_datagram(now, from.into(), &mut datagram, &mut ());
///         any = true;
///     }
///     any
/// }
///
/// let now = Instant::from_micros(0);
/// let (here, there) = ("192.0.2.1:4569".parse()?, "192.0.2.2:4569".parse()?);
/// // Seeds are constant here, so that this goes the same way each time.
/// let mut caller = Endpoint::new(EndpointConfig::default(), [1; 32], now);
/// let mut callee = Endpoint::new(EndpointConfig::default(), [2; 32], now);
/// let exchange = |caller: &mut _, callee: &mut _| {
///     while carry(now, here, caller, callee) | carry(now, there, callee, caller) {}
/// };
///
/// let call = caller.place_call(now, there, NewCall::to("100"))?;
/// exchange(&mut caller, &mut callee);
/// let Some(Event::CallOffered { call: theirs, offer }) = callee.poll_event() else {
///     panic!("the call was not offered");
/// };
/// assert_eq!(offer.called_number, "100");
///
/// callee.accept(now, theirs, Format::ULAW)?;
/// callee.answer(now, theirs)?;
/// exchange(&mut caller, &mut callee);
/// assert_eq!(caller.poll_event(), Some(Event::CallAccepted { call, format: Format::ULAW }));
/// assert_eq!(caller.poll_event(), Some(Event::CallAnswered { call }));
/// // It wants to be woken for the next poll of the call.
/// assert!(caller.poll_timeout() > Some(now));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Endpoint {
    pub(crate) cx: Context,
    pub(crate) slots: Slots,
}

/// What became of a datagram.
///
/// A call that is linked to itself is an echo, which nobody decodes:
///
/// ```
/// use oneport_proto::{Handled, TransmitBuffer};
/// use oneport_wire::Format;
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (mut here, mut there) = two_ends(now);
/// # let (ours, theirs) = call_up(now, &mut here, &mut there);
/// there.link(theirs, theirs)?;
/// here.send_voice(now, ours, Format::ULAW, &[0xFF; 160], 20)?;
/// let mut out = TransmitBuffer::with_capacity(1_500, 1);
/// here.poll_transmit(&mut out);
/// let mut datagram = out.as_bytes().to_vec();
/// assert_eq!(there.handle_datagram(now, HERE.into(), &mut datagram, &mut ()), Handled::Relayed);
/// # Ok::<(), oneport_proto::CommandError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Handled {
    /// Its voice or video was sent on to the linked call.
    Relayed,
    /// It was taken in.
    Consumed,
    /// It was dropped, and counted under this reason.
    Dropped(DropReason),
}

impl Endpoint {
    /// An endpoint that holds nothing. `seed` must be random bytes of the system; call numbers,
    /// challenges and call tokens come from it.
    ///
    /// Moments should come from a monotonic clock. One that steps back costs nothing: time goes on
    /// from where it was. One that steps forward, as where a machine slept, makes all timers due;
    /// calls live on, since a peer is not given up for time in which nobody ran this, but call
    /// set-ups whose time is over end.
    #[must_use]
    pub fn new(config: EndpointConfig, seed: [u8; 32], now: Instant) -> Self {
        Self { cx: Context::new(config.bounded(), seed, now), slots: Slots::default() }
    }

    /// Takes other limits and timers for whatever begins, or is set, from now on. Calls go on.
    /// [`EndpointConfig::transmit_buffer`] stays as it was, and so does what was learned of names
    /// under [`TokenRule::Auto`](crate::TokenRule::Auto).
    pub fn reconfigure(&mut self, config: EndpointConfig) {
        let mut config = config.bounded();
        config.call_token.keep_learned(&self.cx.config.call_token);
        self.cx.mint.set_lifetime(config.call_token_lifetime);
        self.cx.config = config;
    }

    /// Takes a received datagram. Voice and video of calls that are not linked go to `media`.
    ///
    /// The datagram's bytes may be changed.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        from: Path,
        datagram: &mut [u8],
        media: &mut impl MediaSink,
    ) -> Handled {
        let now = self.cx.time.enter(now);
        self.cx.counters.datagrams_received += 1;
        let index = self.find_slot(now, &from, datagram);
        if !is_mini(datagram) {
            self.set_subject(&from, index);
        }
        let handled = self.handle_for(now, &from, index, datagram, media);
        match handled {
            Handled::Dropped(DropReason::UnknownCall | DropReason::UnknownMediaCall) => {
                self.look_for_moved(now, from, datagram);
            }
            Handled::Dropped(DropReason::WrongCallNumber) => {
                self.go_on_asking(now, from, datagram);
            }
            _ => {}
        }
        self.cx.counters.set_subject(None, None);
        handled
    }

    /// Says whose datagram is dealt with, for what is counted. Mini frames and trunk entries have
    /// none before they are dropped: nearly all datagrams are such, and few of them are.
    pub(crate) fn set_subject(&mut self, from: &Path, index: Option<u32>) {
        let call = index.and_then(|index| self.slots.call_at(index));
        self.cx.counters.set_subject(Some(*from), call);
    }

    /// Takes a datagram for the exchange in a slot, if it is for one.
    fn handle_for(
        &mut self,
        now: Instant,
        from: &Path,
        index: Option<u32>,
        datagram: &[u8],
        media: &mut impl MediaSink,
    ) -> Handled {
        let encrypted = index.is_some_and(|index| self.slots.is_encrypted(index));
        let (true, Some(index)) = (encrypted, index) else {
            return self.handle_clear(now, from, index, datagram, media);
        };
        self.set_subject(from, Some(index));
        let mut opened = core::mem::take(&mut self.cx.opened);
        let handled = match self.open_encrypted(now, index, datagram, &mut opened) {
            Ok(()) => {
                let handled = self.handle_clear(now, from, Some(index), &opened, media);
                self.handle_waiting_for_key(now, from, index, media);
                handled
            }
            Err(DropReason::DecryptionFailed) if self.waits_for_key(now, index, datagram) => {
                Handled::Consumed
            }
            Err(reason) => self.count(Handled::Dropped(reason)),
        };
        self.cx.opened = opened;
        handled
    }

    /// Whether a frame that makes no sense is kept for the key that may be behind it.
    fn waits_for_key(&mut self, now: Instant, index: u32, datagram: &[u8]) -> bool {
        let exchange = self.slots.at(index).and_then(|slot| slot.role.exchange_mut());
        let crypt = exchange.and_then(|exchange| exchange.crypt.as_deref_mut());
        let Some(surplus) = crypt.and_then(|crypt| crypt.keep(now, datagram)) else { return false };
        self.cx.counters.drop_many(DropReason::DecryptionFailed, surplus as u64);
        true
    }

    /// Takes what makes sense only now: voice that came before its key, or with which its clock jumped.
    fn handle_waiting_for_key(
        &mut self,
        now: Instant,
        from: &Path,
        index: u32,
        media: &mut impl MediaSink,
    ) {
        let exchange = self.slots.at(index).and_then(|slot| slot.role.exchange_mut());
        let crypt = exchange.and_then(|exchange| exchange.crypt.as_deref_mut());
        let Some((waiting, old)) = crypt.map(|crypt| crypt.take_waiting(now)) else { return };
        if old > 0 {
            self.cx.counters.drop_many(DropReason::DecryptionFailed, old as u64);
        }
        let mut opened = Vec::new();
        for datagram in waiting {
            match self.open_encrypted(now, index, &datagram, &mut opened) {
                Ok(()) => self.handle_clear(now, from, Some(index), &opened, media),
                Err(reason) => self.count(Handled::Dropped(reason)),
            };
        }
    }

    /// The slot of the exchange that a datagram names. Call numbers are never encrypted.
    fn find_slot(&self, now: Instant, from: &Path, datagram: &[u8]) -> Option<u32> {
        let [s0, s1, d0, d1, ..] = *datagram else { return None };
        let (source, destination) = (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
        if source & 0x8000 != 0 {
            let ours = CallNumber::from_bits(destination);
            let found = self.cx.index.find_by_ours(from.remote, ours);
            let theirs = CallNumber::from_bits(source);
            let found = found.filter(|_| !ours.is_none());
            found.or_else(|| self.find_moving(now, *from, theirs, ours))
        } else if source != 0 {
            self.cx.index.find_by_theirs(from.remote, CallNumber::from_bits(source))
        } else if destination & 0x8000 != 0 {
            // A video mini frame: zeros, then the sender's number.
            self.cx.index.find_by_theirs(from.remote, CallNumber::from_bits(destination))
        } else {
            None
        }
    }

    /// Decrypts a datagram for an encrypted exchange into `opened`.
    fn open_encrypted(
        &mut self,
        now: Instant,
        index: u32,
        datagram: &[u8],
        opened: &mut Vec<u8>,
    ) -> Result<(), DropReason> {
        let Self { cx, slots } = self;
        let Some(slot) = slots.at(index) else { return Err(DropReason::UnknownCall) };
        let voice = match &slot.role {
            Role::Call(call) => call.voice_in.clock(now).or_else(|| call.their_clock(now)),
            _ => None,
        };
        let Some(exchange) = slot.role.exchange_mut() else {
            return Err(DropReason::UnknownCall);
        };
        let (oldest, in_flight) = exchange.full.reliable.in_flight();
        let Some(crypt) = &mut exchange.crypt else { return Err(DropReason::DecryptionFailed) };
        if crypt.open(datagram, Expected { oldest: oldest.0, in_flight, voice }, opened) {
            return Ok(());
        }
        if is_video(datagram) && !crypt.takes_clear_video() {
            return Err(DropReason::NotEncrypted);
        }
        if is_video(datagram) || is_taken_in_clear(datagram, crypt.proved()) {
            opened.clear();
            opened.extend_from_slice(datagram);
            return Ok(());
        }
        if let Role::Call(call) = &mut slot.role
            && datagram.len() >= SHORTEST_ENCRYPTED
        {
            call.proof_failed(cx, now);
            slots.schedule(cx, index);
        }
        Err(DropReason::DecryptionFailed)
    }

    fn handle_clear(
        &mut self,
        now: Instant,
        from: &Path,
        index: Option<u32>,
        datagram: &[u8],
        media: &mut impl MediaSink,
    ) -> Handled {
        let handled = match Datagram::decode(datagram) {
            Ok(Datagram::Mini(mini)) => self.handle_voice(
                now,
                from,
                index,
                Stamp::Mini(mini.timestamp),
                mini.payload,
                media,
            ),
            Ok(Datagram::Full(frame)) => self.handle_full(now, *from, index, &frame, media),
            Ok(Datagram::Trunk(trunk)) => return self.handle_trunk(now, from, &trunk, media),
            Ok(Datagram::VideoMini(mini)) => self.handle_video_mini(now, index, &mini, media),
            Err(_) => Handled::Dropped(DropReason::Malformed),
        };
        self.count(handled)
    }

    pub(crate) fn count(&mut self, handled: Handled) -> Handled {
        match handled {
            Handled::Dropped(reason) => self.cx.counters.drop(reason),
            Handled::Relayed => self.cx.counters.relayed += 1,
            Handled::Consumed => {}
        }
        handled
    }

    fn handle_full(
        &mut self,
        now: Instant,
        from: Path,
        index: Option<u32>,
        frame: &FullFrame<'_>,
        media: &mut impl MediaSink,
    ) -> Handled {
        let header = &frame.header;
        if header.source.is_none() {
            return Handled::Dropped(DropReason::Malformed);
        }
        let Ok(message) = frame.message() else {
            return Handled::Dropped(DropReason::MalformedElements);
        };
        if header.destination.is_none() {
            return self.handle_opening(now, from, header, &message);
        }
        let Some(index) = index else { return Handled::Dropped(DropReason::UnknownCall) };
        if self.slots.remote(index).is_some_and(|remote| remote != from.remote) {
            let subclass = match &message {
                Message::Iax { subclass, .. } => Some(*subclass),
                _ => None,
            };
            if !self.has_moved(now, index, from, header, subclass) {
                return self.handle_from_other_end(now, from, index, header, &message);
            }
        }
        let handled = self.handle_in_exchange(now, index, header, &message, media);
        self.slots.schedule(&mut self.cx, index);
        handled
    }

    /// A full frame whose destination is a number of ours.
    fn handle_in_exchange(
        &mut self,
        now: Instant,
        index: u32,
        header: &FullHeader,
        message: &Message<'_>,
        media: &mut impl MediaSink,
    ) -> Handled {
        let Some(slot) = self.slots.at(index) else {
            return Handled::Dropped(DropReason::UnknownCall);
        };
        if let Role::Poke(_) = slot.role {
            return self.handle_pong(now, index, header, message);
        }
        let Some(exchange) = slot.role.exchange_mut() else {
            return Handled::Dropped(DropReason::UnknownCall);
        };
        if let Message::Iax { subclass, .. } = message
            && is_stateless(*subclass, header)
        {
            if exchange.theirs.is_some() {
                return Handled::Dropped(DropReason::WrongCallNumber);
            }
            if exchange.is_stale(header.timestamp) {
                return Handled::Dropped(DropReason::Duplicate);
            }
            return self.handle_stateless(now, index, message);
        }
        let theirs = exchange.theirs;
        match theirs {
            Some(theirs) if theirs == header.source => {}
            None if header.source != CallNumber::STATELESS => {
                exchange.theirs = Some(header.source);
                let path = exchange.path;
                if let Role::Call(call) = &slot.role {
                    self.cx.numbers.insert(&call.exchange, index);
                }
                if let Some(before) = self.cx.index.learn(path.remote, header.source, index) {
                    self.peer_restarted(now, before);
                }
            }
            _ => return Handled::Dropped(DropReason::WrongCallNumber),
        }
        let Some(slot) = self.slots.at(index) else {
            return Handled::Dropped(DropReason::UnknownCall);
        };
        let generation = slot.generation;
        let Some(exchange) = slot.role.exchange_mut() else {
            return Handled::Dropped(DropReason::UnknownCall);
        };
        let order = exchange.receive(&mut self.cx, now, header, message);
        if let Role::Call(call) = &mut slot.role {
            call.heard(now);
        }
        match (&mut slot.role, order) {
            (Role::Resting(resting), _) => {
                resting.receive(&mut self.cx, now, header, message, order);
                let Message::Iax { .. } = message else {
                    return Handled::Dropped(DropReason::CallEnded);
                };
                return Handled::Consumed;
            }
            (_, Order::Next) => {}
            (role, Order::Duplicate) => {
                if let Some(exchange) = role.exchange_mut() {
                    exchange.acknowledge(&mut self.cx, header.timestamp);
                }
                return Handled::Dropped(DropReason::Duplicate);
            }
            (_, Order::Gap) => {
                return self.handle_early(now, index, generation, header, message, media);
            }
        }
        let handled = self.handle_in_order(now, index, generation, header, message, media);
        let last = self.handle_waiting(now, index, generation, header.timestamp, media);
        if let Some(exchange) = self.slots.at(index).and_then(|slot| slot.role.exchange_mut()) {
            exchange.acknowledge_if_owed(&mut self.cx, last);
            if exchange.has_gap() {
                exchange.ask_again(&mut self.cx, now);
            }
        }
        handled
    }

    /// A frame before its turn: what is missing is asked for, and it waits for that. Voice does not
    /// wait, once the call has a format.
    fn handle_early(
        &mut self,
        now: Instant,
        index: u32,
        generation: u32,
        header: &FullHeader,
        message: &Message<'_>,
        media: &mut impl MediaSink,
    ) -> Handled {
        let Some(slot) = self.slots.at(index) else {
            return Handled::Dropped(DropReason::UnknownCall);
        };
        let at_once = match (&slot.role, message) {
            (Role::Call(call), Message::Voice { .. }) => call.agreed_format().is_some(),
            _ => false,
        };
        let Some(exchange) = slot.role.exchange_mut() else {
            return Handled::Dropped(DropReason::UnknownCall);
        };
        // What is missing may be a new key, and this be under it: then it is garbage that looks like
        // sense, in the place of the frame that it is.
        let keyed_anew = exchange.crypt.as_deref().is_some_and(|crypt| crypt.peer_rotates);
        let kept = match keyed_anew {
            true => Kept::Not,
            false => exchange.keep_early(header, message, !at_once),
        };
        exchange.ask_again(&mut self.cx, now);
        match kept {
            Kept::Now if at_once => {
                self.handle_in_order(now, index, generation, header, message, media)
            }
            Kept::Now => Handled::Consumed,
            Kept::Before => Handled::Dropped(DropReason::Duplicate),
            Kept::Not => Handled::Dropped(DropReason::OutOfOrder),
        }
    }

    /// Handles the frames for which the last one has made way; the timestamp of the last of all.
    fn handle_waiting(
        &mut self,
        now: Instant,
        index: u32,
        generation: u32,
        mut last: Timestamp,
        media: &mut impl MediaSink,
    ) -> Timestamp {
        // What came before may have ended the call, and with it all that waits.
        while let Some(slot) = self.slots.get_mut(index, generation)
            && let Some(exchange) = slot.role.exchange_mut()
            && let Some(datagram) = exchange.take_early()
        {
            let Ok(Datagram::Full(frame)) = Datagram::decode(&datagram) else { continue };
            let Ok(message) = frame.message() else { continue };
            let header = &frame.header;
            last = header.timestamp;
            let handled = self.handle_in_order(now, index, generation, header, &message, media);
            self.count(handled);
        }
        last
    }

    /// The meaning of a frame whose turn it is.
    fn handle_in_order(
        &mut self,
        now: Instant,
        index: u32,
        generation: u32,
        header: &FullHeader,
        message: &Message<'_>,
        media: &mut impl MediaSink,
    ) -> Handled {
        let Self { cx, slots } = self;
        let Some(slot) = slots.at(index) else {
            return Handled::Dropped(DropReason::UnknownCall);
        };
        match (&mut slot.role, message) {
            (Role::Call(call), Message::Voice { subclass, payload }) => {
                if call.agreed_format().is_none() {
                    return Handled::Dropped(DropReason::MediaTooEarly);
                }
                let known = |format: &Format| {
                    format.kind() == MediaKind::Audio || call.formats.contains(*format)
                };
                let Some(format) = subclass.format().filter(known) else {
                    return Handled::Dropped(DropReason::UnknownFormat);
                };
                if call.exchange.media_path.is_some() {
                    // The clock is that of the frames that come straight.
                    call.voice_in.format = Some(format);
                } else {
                    call.voice_in.full(now, format, header.timestamp, payload.len());
                }
                let way = Way::of(call);
                let id = CallId { slot: index, generation };
                let voice = Media { format, timestamp: header.timestamp, payload };
                return self.deliver(now, id, way, voice, media);
            }
            (Role::Call(call), Message::Video { subclass, payload }) => {
                let video = call.receive_full_video(header.timestamp, *subclass, payload);
                let link = call.link;
                let id = CallId { slot: index, generation };
                return match video {
                    Ok(video) => self.deliver_video(now, id, link, video, media),
                    Err(reason) => Handled::Dropped(reason),
                };
            }
            (
                Role::Call(_),
                Message::Iax {
                    subclass:
                        subclass @ (IaxSubclass::TxReq
                        | IaxSubclass::TxReady
                        | IaxSubclass::TxRel
                        | IaxSubclass::TxMedia
                        | IaxSubclass::TxRej),
                    elements,
                },
            ) => return self.handle_transfer(now, index, header, *subclass, *elements),
            (Role::Call(call), Message::Cng { level, .. })
                if call.translated && call.link.is_some() =>
            {
                call.voice_in.meter.pause();
                let (id, level) = (CallId { slot: index, generation }, *level);
                let Some(to) = call.link else { return Handled::Consumed };
                let pause = Speech::Pause { timestamp: header.timestamp, level };
                return self.translate(now, id, to, pause, media);
            }
            (Role::Call(call), _) => {
                let id = CallId { slot: index, generation };
                if let Err(ending) = call.receive(cx, now, id, header, message) {
                    self.end_call(now, index, ending);
                }
            }
            (Role::Request(request), Message::Iax { subclass, elements }) => {
                let id = RequestId { slot: index, generation };
                let stamp = header.timestamp;
                let result = request.receive(cx, now, id, stamp, *subclass, *elements);
                if let Err(outcome) = result {
                    self.end_request(now, index, outcome);
                }
            }
            (Role::Registering(registering), Message::Iax { subclass, elements }) => {
                let stamp = header.timestamp;
                if let Err(end) = registering.receive(cx, now, stamp, *subclass, *elements) {
                    self.end_cycle(now, index, end);
                }
            }
            (Role::Fetch(_), Message::Iax { subclass, elements }) => {
                self.handle_fetched(now, index, header, *subclass, *elements);
            }
            (Role::Serving(_), Message::Iax { subclass, elements }) => {
                self.handle_served(now, index, header, *subclass, *elements);
            }
            (Role::Provisioning(_), Message::Iax { subclass, elements }) => {
                return self.handle_provisioning(now, index, *subclass, *elements);
            }
            (Role::Provisioned(_), Message::Iax { subclass, .. }) => {
                return self.handle_provisioned(now, index, *subclass);
            }
            _ => return Handled::Dropped(DropReason::Unexpected),
        }
        Handled::Consumed
    }

    /// An answer from somebody who has allotted no call number.
    fn handle_stateless(&mut self, now: Instant, index: u32, message: &Message<'_>) -> Handled {
        let Message::Iax { subclass, elements } = message else {
            return Handled::Dropped(DropReason::Unexpected);
        };
        let Self { cx, slots } = self;
        match slots.at(index).map(|slot| &mut slot.role) {
            Some(Role::Call(call)) => {
                if let Err(ending) = call.receive_stateless(cx, now, *subclass, *elements) {
                    self.end_call(now, index, ending);
                }
            }
            Some(Role::Registering(registering)) => {
                let result = registering.receive_stateless(cx, now, *subclass, *elements);
                if let Err(end) = result {
                    self.end_cycle(now, index, end);
                }
            }
            Some(Role::Fetch(_)) => {
                self.handle_fetched_stateless(now, index, *subclass, *elements);
            }
            Some(Role::Provisioning(_)) => {
                return self.handle_provisioning(now, index, *subclass, *elements);
            }
            // It was told of its messages, and keeps nothing of that.
            Some(Role::Resting(resting)) => resting.exchange.full.reliable.clear(),
            _ => return Handled::Dropped(DropReason::Unexpected),
        }
        Handled::Consumed
    }

    fn handle_pong(
        &mut self,
        now: Instant,
        index: u32,
        header: &FullHeader,
        message: &Message<'_>,
    ) -> Handled {
        let Message::Iax { subclass: IaxSubclass::Pong, elements } = message else {
            return Handled::Dropped(DropReason::Unexpected);
        };
        let Some(slot) = self.slots.at(index) else {
            return Handled::Dropped(DropReason::UnknownCall);
        };
        let (generation, role) = (slot.generation, &slot.role);
        let Role::Poke(poke) = role else { return Handled::Dropped(DropReason::UnknownCall) };
        let id = PokeId { slot: index, generation };
        let (path, owner) = (poke.path, poke.owner);
        match owner {
            Some(owner) => {
                let seen_at = elements.iter().find_map(|element| match element {
                    Element::ApparentAddress(address) => Some(address),
                    _ => None,
                });
                self.kept_alive(now, (owner, path.remote), true, seen_at);
            }
            None => self.cx.tell(Event::Pong { poke: id, rtt: now.since(poke.sent) }),
        }
        if header.source != CallNumber::STATELESS {
            // It keeps state and will repeat PONG until it is heard.
            let mut exchange = Exchange::opened(now, path, header.destination, header);
            exchange.acknowledge(&mut self.cx, header.timestamp);
        }
        self.free(index);
        Handled::Consumed
    }

    /// Does what is due. Too early or twice is harmless.
    ///
    /// Where much is due at once, it does a part of it, and [`poll_timeout`](Self::poll_timeout) goes on to give a moment
    /// that has passed: take what has arrived in between, or acknowledgements wait behind repetitions that they
    /// would have made needless.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.cx.time.enter(now);
        let Context { trunks, outbox, counters, .. } = &mut self.cx;
        trunks.send_due(outbox, counters, now);
        for _ in 0..TIMEOUT_TURN {
            let Some(wake_up) = self.cx.timers.pop_due(now) else { return };
            let Some(slot) = self.slots.get_mut(wake_up.slot, wake_up.generation) else { continue };
            if slot.scheduled != Some(wake_up.at) {
                continue;
            }
            slot.scheduled = None;
            self.handle_slot_timeout(now, wake_up.slot);
            self.slots.schedule_later(&mut self.cx, wake_up.slot, now);
        }
    }

    fn handle_slot_timeout(&mut self, now: Instant, index: u32) {
        let Self { cx, slots } = self;
        let Some(slot) = slots.at(index) else { return };
        let generation = slot.generation;
        match &mut slot.role {
            Role::Free => {}
            Role::Call(call) => {
                if let Err(ending) = call.handle_timeout(cx, now) {
                    self.end_call(now, index, ending);
                } else {
                    self.handle_transfer_timeout(now, index);
                }
            }
            Role::Request(request) => {
                if let Err(outcome) = request.handle_timeout(cx, now) {
                    self.end_request(now, index, outcome);
                }
            }
            Role::Registration(_) => {
                self.begin_cycle(now, index);
                self.keep_alive(now, index);
                self.look_at_better(now, index);
            }
            Role::Registering(registering) => {
                if let Err(end) = registering.handle_timeout(cx, now) {
                    self.end_cycle(now, index, end);
                }
            }
            Role::Poke(poke) => {
                if poke.deadline <= now {
                    let (owner, remote) = (poke.owner, poke.path.remote);
                    if owner.is_none() {
                        cx.tell(Event::PokeTimedOut { poke: PokeId { slot: index, generation } });
                    }
                    self.free(index);
                    if let Some(owner) = owner {
                        self.kept_alive(now, (owner, remote), false, None);
                    }
                }
            }
            Role::Fetch(_) => self.handle_fetch_timeout(now, index),
            Role::Serving(_) => self.handle_serving_timeout(now, index),
            Role::Provisioning(_) | Role::Provisioned(_) => {
                self.handle_provision_timeout(now, index);
            }
            Role::Resting(resting) => {
                if resting.handle_timeout(cx, now) {
                    self.free(index);
                }
            }
        }
    }

    /// Ends a call: its last event, and its number rests.
    pub(crate) fn end_call(&mut self, now: Instant, index: u32, ending: Ending) {
        self.forget_transfer(now, index);
        let Some(slot) = self.slots.at(index) else { return };
        let id = CallId { slot: index, generation: slot.generation };
        let Role::Call(call) = &mut slot.role else { return };
        let link = call.link.take();
        call.close(&mut self.cx);
        self.cx.numbers.remove(&call.exchange, index);
        let Ending { reason, cause, text, farewell } = ending;
        let stats = Box::new(call.stats(&self.cx));
        if let Some(place) = call.exchange.trunk {
            self.cx.trunks.withdraw(&mut self.cx.counters, place, call.exchange.ours);
        }
        if reason.peer_is_through() {
            call.exchange.full.reliable.clear();
        }
        if call.seldom.end_is_deferred {
            call.exchange.mute();
        }
        self.cx.tell(Event::CallEnded { call: id, end: CallEnd { reason, cause, text, stats } });
        if let Some(other) = link.filter(|other| *other != id)
            && let Some(other) = call_mut(&mut self.slots, other)
        {
            other.link = None;
            other.end_relay();
        }
        self.rest(now, index, farewell);
    }

    pub(crate) fn end_request(&mut self, now: Instant, index: u32, outcome: RequestOutcome) {
        let Some(slot) = self.slots.at(index) else { return };
        let id = RequestId { slot: index, generation: slot.generation };
        let Role::Request(request) = &mut slot.role else { return };
        request.close(&mut self.cx);
        if outcome == RequestOutcome::Abandoned {
            request.exchange.full.reliable.clear();
        }
        self.cx.tell(Event::RegisterEnded { request: id, outcome });
        self.rest(now, index, None);
    }

    fn end_cycle(&mut self, now: Instant, index: u32, end: CycleEnd) {
        let Some(slot) = self.slots.at(index) else { return };
        let Role::Registering(registering) = &mut slot.role else { return };
        // The registrar has said its last word, or nothing at all.
        registering.exchange.full.reliable.clear();
        let owner = registering.owner;
        self.rest(now, index, None);
        self.finish_cycle(now, owner, end);
    }

    /// Lets a slot's exchange rest: its number is not used again for a while.
    pub(crate) fn rest(&mut self, now: Instant, index: u32, farewell: Option<ElementBuffer>) {
        let until = now + self.cx.config.number_quarantine;
        self.slots.rest(index, until, farewell);
        self.slots.schedule(&mut self.cx, index);
    }

    /// The peer uses the number of this slot for something new: it has lost what was here.
    pub(crate) fn peer_restarted(&mut self, now: Instant, index: u32) {
        let Some(slot) = self.slots.at(index) else { return };
        match &mut slot.role {
            Role::Call(_) => {
                let cause = CauseCode::DESTINATION_OUT_OF_ORDER;
                self.end_call(now, index, Ending::new(EndReason::PeerRestarted, cause));
            }
            Role::Request(_) => self.end_request(now, index, RequestOutcome::Abandoned),
            Role::Serving(serving) => {
                serving.exchange.full.reliable.clear();
                self.rest(now, index, None);
            }
            Role::Provisioned(provisioned) => {
                provisioned.exchange.full.reliable.clear();
                self.end_provision(now, index, ProvisionOutcome::TimedOut);
            }
            Role::Resting(resting) => resting.exchange.full.reliable.clear(),
            _ => {}
        }
    }

    /// Frees a slot and its call number.
    pub(crate) fn free(&mut self, index: u32) {
        let numbers = match self.slots.free(index) {
            Some(Role::Poke(poke)) => Some((poke.path, poke.ours, None)),
            Some(Role::Resting(resting)) => {
                let exchange = resting.exchange;
                Some((exchange.path, exchange.ours, exchange.theirs))
            }
            _ => None,
        };
        if let Some((path, ours, theirs)) = numbers {
            self.cx.index.forget(path.remote, ours, theirs, index);
        }
    }

    /// The next datagrams to send, put into `out`; `None` when there are none. Call it until then. What goes to one
    /// destination keeps its order; media may leave before what was to be sent to another earlier.
    pub fn poll_transmit(&mut self, out: &mut TransmitBuffer) -> Option<Transmit> {
        self.cx.outbox.take(out)
    }

    /// The next event; `None` when there is none.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.cx.next_event()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is wanted next. That may be a moment that has passed, also right
    /// behind it: then more is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let next = [self.cx.timers.next(), self.cx.trunks.next()].into_iter().flatten().min();
        next.map(|at| self.cx.time.leave(at))
    }

    /// What was counted since the start.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.cx.counters
    }

    /// What was dropped and not told yet, a reason at a time: at once the first time, then at most
    /// every ten seconds for each reason, with the count of those between. `None` when there is
    /// nothing to tell at `now`.
    pub fn poll_notice(&mut self, now: Instant) -> Option<DropNotice> {
        let now = self.cx.time.enter(now);
        self.cx.counters.next_notice(now)
    }

    /// When [`poll_notice`](Self::poll_notice) has something to tell. It does not hurry.
    #[must_use]
    pub fn notice_due(&self) -> Option<Instant> {
        self.cx.counters.notice_due().map(|at| self.cx.time.leave(at))
    }

    /// Counts, and tells, what was dropped outside of the engine: by the system or the application.
    pub fn report_drops(
        &mut self,
        reason: DropReason,
        count: u64,
        path: Option<Path>,
        call: Option<CallId>,
    ) {
        self.cx.counters.drop_of(reason, count, (path, call));
    }

    /// Says that the thread that runs the engine came so much later than it was wanted: its timer had run
    /// out, or datagrams may have waited for it. What [`Lateness::LEAST`] allows need not be said.
    ///
    /// [`Lateness::LEAST`]: crate::Lateness::LEAST
    pub fn report_lateness(&mut self, late: core::time::Duration) {
        self.cx.counters.lateness.note(late);
    }

    /// Calls that have not ended.
    #[must_use]
    pub const fn calls(&self) -> usize {
        self.slots.live_calls
    }

    /// Whether every reliable frame sent was acknowledged or given up, and nobody is to hear of the end of a call whose
    /// number is not known yet: a NEW that was not answered before we hung up.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.slots.are_settled()
    }

    /// Whether nothing is held or queued: no call, request or poll, not even one that rests, no
    /// datagram, no event. Standing registrations do not count.
    #[must_use]
    pub fn is_quiescent(&self) -> bool {
        self.cx.is_quiescent() && self.slots.len() == self.slots.registrations
    }
}

/// The shortest full frame there is, encrypted: 4 bytes in the clear, 24 of padding and 8.
const SHORTEST_ENCRYPTED: usize = 36;

/// Whether a datagram is a mini frame: a call number, and no more in front.
fn is_mini(datagram: &[u8]) -> bool {
    matches!(*datagram, [s0, s1, ..] if s0 & 0x80 == 0 && (s0, s1) != (0, 0))
}

/// Whether a datagram is a video mini frame, encrypted or not.
const fn is_video(datagram: &[u8]) -> bool {
    matches!(datagram, [0, 0, number, ..] if *number & 0x80 != 0)
}

/// Whether a frame in the clear is taken from the peer of an encrypted call: INVAL always, for
/// whoever sends it has no key any more; before the peer has used its key (`proved`), what it may
/// have sent before it had one, or because it has none.
fn is_taken_in_clear(datagram: &[u8], proved: bool) -> bool {
    use IaxSubclass as Iax;
    let Ok(Datagram::Full(frame)) = Datagram::decode(datagram) else { return false };
    match frame.message() {
        Ok(Message::Iax { subclass: Iax::Inval, elements }) => elements.as_bytes().is_empty(),
        Ok(Message::Iax { subclass, .. }) if !proved => {
            matches!(subclass, Iax::Ack | Iax::Vnak | Iax::Hangup | Iax::Reject | Iax::AuthReq)
        }
        _ => false,
    }
}

pub(crate) fn call_mut(slots: &mut Slots, id: CallId) -> Option<&mut Call> {
    match &mut slots.get_mut(id.slot, id.generation)?.role {
        Role::Call(call) => Some(call),
        _ => None,
    }
}

/// Whether a message may come from nobody's call number: its sender kept no state.
fn is_stateless(subclass: IaxSubclass, header: &FullHeader) -> bool {
    match subclass {
        IaxSubclass::CallToken => true,
        IaxSubclass::Reject | IaxSubclass::RegRej | IaxSubclass::Unsupport | IaxSubclass::Ack => {
            header.source == CallNumber::STATELESS
        }
        _ => false,
    }
}
