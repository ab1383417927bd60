//! Datagrams of no call that is known: perhaps from a peer whose address has changed.
//!
//! A peer whose address changes during a call, as behind a NAT that forgets or a line that is
//! dialled anew.
//!
//! A datagram from elsewhere that names a call of ours is no proof of anything. It is looked at only
//! if the peer has fallen silent at its old address, and then a PING goes to both addresses. The
//! call moves when the PONG comes from the new one, with the right numbers and time, and on an
//! encrypted call under the right key. In the clear that is no proof of who answers, only that he
//! knows both call numbers: so a peer that can still be heard at its old address keeps the call, and
//! is given time to be. Against somebody who sees the call's packets and keeps the peer's own from
//! arriving nothing but encryption helps.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use oneport_wire::{
    CallNumber, Datagram, ElementBuffer, Elements, FullFrame, FullHeader, IaxSubclass, Message,
    Seq, Timestamp, frame_type,
};

use crate::call::Call;
use crate::clock::Instant;
use crate::context::Context;
use crate::elsewhere::{Held, HeldChange};
use crate::endpoint::Endpoint;
use crate::event::Event;
use crate::exchange::Exchange;
use crate::id::CallId;
use crate::path::Path;
use crate::slots::Role;

/// A peer that was heard this recently is where it was.
const SILENCE: Duration = Duration::from_secs(1);

/// How long an answer from the new address is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// On a call in the clear a PONG from the new address counts only this long after the PING, or one
/// and a half round trips: by then the peer has answered from the old one, if it is there. It comes
/// again, for it is not acknowledged before; peers repeat after 100 ms or two round trips.
const GRACE: Duration = Duration::from_millis(90);

/// Frames on their way, but for voice and video, that a peer may have to be sent before the PING.
const FRAMES_BEFORE: usize = 2;

/// The same with voice, which is full at its begin, and video.
const MEDIA_BEFORE: usize = 12;

/// What encryption adds to a frame at most.
const LONGEST_PADDING: usize = 31;

/// Places at which one call may be looked for at once. Neighbours behind one NAT may fill them, where
/// they know the peer's number; so there are enough for it to come to its turn all the same.
const PLACES: usize = 64;

/// A place that has not answered for so long yields to another.
const YIELDS: Duration = Duration::from_millis(500);

/// Calls of the same numbers that one stray datagram is compared with.
const COMPARED: usize = 16;

/// A call that may have moved: a PING is on its way.
#[derive(Debug)]
pub(crate) struct Moving {
    /// The PING's timestamp, which its PONG repeats.
    stamp: Timestamp,
    asked: Instant,
    places: Vec<Place>,
}

/// Where the call may be now.
#[derive(Clone, Copy, Debug)]
struct Place {
    to: Path,
    since: Instant,
    /// Frames sent there.
    sent: usize,
}

impl Place {
    /// Answers a datagram of `received` bytes from there by the next frame.
    fn send_next(&mut self, cx: &mut Context, exchange: &Exchange, received: usize) {
        let Some((frame, epoch)) = exchange.full.reliable.window().nth(self.sent) else { return };
        let frame = without_media(frame);
        let sealed = if exchange.crypt.is_some() { LONGEST_PADDING } else { 0 };
        if frame.len() + sealed <= 3 * received {
            cx.send(self.to, exchange.crypt.as_deref(), epoch, frame);
            self.sent += 1;
        }
    }
}

impl Moving {
    /// An answer is still waited for.
    fn is_awaited(&self, now: Instant) -> bool {
        now.since(self.asked) < PATIENCE
    }

    fn is_asked_at(&self, remote: SocketAddr) -> bool {
        self.places.iter().any(|place| place.to.remote == remote)
    }

    /// The place at `from`: a new one where there is room.
    fn place(&mut self, now: Instant, from: Path) -> Option<&mut Place> {
        let known = self.places.iter().position(|place| place.to.remote == from.remote);
        let found = known.or_else(|| {
            let new = Place { to: from, since: now, sent: 0 };
            if self.places.len() < PLACES {
                self.places.push(new);
                return Some(self.places.len() - 1);
            }
            let mut places = self.places.iter_mut().enumerate();
            let (n, old) = places.find(|(_, place)| now.since(place.since) >= YIELDS)?;
            *old = new;
            Some(n)
        });
        self.places.get_mut(found?)
    }
}

/// Calls by the numbers that a stray datagram names, whatever their address: one costs a look into a
/// tree and a few comparisons, however many calls there are and however many strangers.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    /// Our number, theirs, slot.
    by_both: BTreeSet<(CallNumber, CallNumber, u32)>,
    /// IP address, their number, slot.
    by_theirs: BTreeSet<(IpAddr, CallNumber, u32)>,
    /// What has changed, where another process wants to know.
    changes: Option<Vec<HeldChange>>,
}

impl Numbers {
    /// A call has these numbers.
    pub(crate) fn insert(&mut self, exchange: &Exchange, slot: u32) {
        let Some(theirs) = exchange.theirs else { return };
        self.by_both.insert((exchange.ours, theirs, slot));
        self.by_theirs.insert((exchange.path.remote.ip(), theirs, slot));
        self.note(exchange, theirs, true);
    }

    /// A call has them no more.
    pub(crate) fn remove(&mut self, exchange: &Exchange, slot: u32) {
        let Some(theirs) = exchange.theirs else { return };
        self.by_both.remove(&(exchange.ours, theirs, slot));
        self.by_theirs.remove(&(exchange.path.remote.ip(), theirs, slot));
        self.note(exchange, theirs, false);
    }

    fn note(&mut self, exchange: &Exchange, theirs: CallNumber, is_held: bool) {
        if let Some(changes) = &mut self.changes {
            let held = Held::Both(exchange.path.remote, exchange.ours, theirs);
            changes.push(HeldChange { held, is_held });
        }
    }

    /// Begins to note what changes, or ends that.
    pub(crate) fn note_changes(&mut self, on: bool) {
        self.changes = on.then(Vec::new);
    }

    /// What has changed since this was last asked.
    pub(crate) fn take_changes(&mut self) -> Vec<HeldChange> {
        self.changes.as_mut().map(core::mem::take).unwrap_or_default()
    }

    /// Whether a call may be meant by a datagram from `from`.
    pub(crate) fn finds(&self, from: Path, theirs: CallNumber, ours: Option<CallNumber>) -> bool {
        self.find(from, theirs, ours) != [None; COMPARED]
    }

    /// Whether a call is found by its numbers.
    pub(crate) fn has(&self, exchange: &Exchange, slot: u32) -> bool {
        exchange.theirs.is_none_or(|theirs| {
            self.by_both.contains(&(exchange.ours, theirs, slot))
                && self.by_theirs.contains(&(exchange.path.remote.ip(), theirs, slot))
        })
    }

    /// Entries of each table.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.by_both.len(), self.by_theirs.len())
    }

    /// Slots of calls that a datagram from `from` may belong to. A mini frame names half as much as a
    /// full frame, so half of the address must be the same.
    fn find(
        &self,
        from: Path,
        theirs: CallNumber,
        ours: Option<CallNumber>,
    ) -> [Option<u32>; COMPARED] {
        let mut found = [None; COMPARED];
        let mut take = |slots: &mut dyn Iterator<Item = u32>| {
            for (place, slot) in found.iter_mut().zip(slots) {
                *place = Some(slot);
            }
        };
        match ours {
            Some(ours) => {
                let range = (ours, theirs, 0)..=(ours, theirs, u32::MAX);
                take(&mut self.by_both.range(range).map(|(.., slot)| *slot));
            }
            None => {
                let ip = from.remote.ip();
                let range = (ip, theirs, 0)..=(ip, theirs, u32::MAX);
                take(&mut self.by_theirs.range(range).map(|(.., slot)| *slot));
            }
        }
        found
    }
}

/// Whether a full frame, not encrypted, is voice or video.
fn is_media(frame: &[u8]) -> bool {
    let media = [frame_type::VOICE, frame_type::VIDEO];
    // The type stands before the subclass, the last byte of the header.
    frame.get(FullFrame::HEADER_LEN - 2).is_some_and(|kind| media.contains(kind))
}

/// A frame as it goes where nobody has proved anything: voice and video keep their place among the
/// numbers, and no more.
fn without_media(frame: &[u8]) -> &[u8] {
    let header = frame.get(..FullFrame::HEADER_LEN).filter(|_| is_media(frame));
    header.unwrap_or(frame)
}

/// Whether few enough frames are on their way to be sent before a PING.
fn is_little_on_its_way(exchange: &Exchange) -> bool {
    let all = exchange.full.reliable.size().0;
    let media = exchange.full.reliable.window().filter(|(frame, _)| is_media(frame)).count();
    all <= MEDIA_BEFORE && all - media <= FRAMES_BEFORE
}

/// The numbers that a stray datagram names: the sender's, and ours where it has one.
pub(crate) fn numbers(datagram: &[u8]) -> Option<(CallNumber, Option<CallNumber>)> {
    let [s0, s1, d0, d1, ..] = *datagram else { return None };
    let (source, destination) = (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
    let theirs = CallNumber::from_bits(source);
    let ours = (source & 0x8000 != 0).then_some(CallNumber::from_bits(destination));
    let names_a_call = theirs.get() > 1 && ours.is_none_or(|ours| ours.get() > 1);
    names_a_call.then_some((theirs, ours))
}

impl Endpoint {
    /// Looks whether a datagram that belongs to no call comes from a peer that has moved.
    pub(crate) fn look_for_moved(&mut self, now: Instant, from: Path, datagram: &[u8]) {
        let Some((theirs, ours)) = numbers(datagram) else { return };
        let found = self.cx.numbers.find(from, theirs, ours);
        for slot in found.into_iter().flatten() {
            if self.ask_whether_moved(now, slot, from, datagram.len()) {
                return;
            }
        }
        if found == [None; COMPARED] {
            self.say_invalid(from, datagram);
        }
    }

    /// Tells a peer that its call is not known here (RFC 5456 §6.9.2), as after a restart, so that it
    /// need not wait in vain: one answer for each datagram, that is no longer than it.
    fn say_invalid(&mut self, from: Path, datagram: &[u8]) {
        let Ok(Datagram::Full(frame)) = Datagram::decode(datagram) else { return };
        let Ok(message) = frame.message() else { return };
        let asked = &frame.header;
        if !message.takes_sequence_number() {
            return;
        }
        let header = FullHeader {
            source: asked.destination,
            destination: asked.source,
            retransmission: false,
            timestamp: Timestamp(0),
            oseq: Seq::ZERO,
            iseq: Seq::ZERO,
        };
        let inval = Message::iax(IaxSubclass::Inval, Elements::EMPTY);
        self.cx.send_once(from, None, &header, &inval);
    }

    /// Sends a PING to the old address and the new, if the peer is silent at the old one. All frames
    /// on their way go to the new one before it, though without voice: the peer takes the PING only
    /// behind them. Each
    /// datagram from there is answered by one of them at most, and none that is much longer than
    /// itself. `false`: the call is not looked for there.
    fn ask_whether_moved(&mut self, now: Instant, slot: u32, from: Path, received: usize) -> bool {
        let Self { cx, slots } = self;
        let Some(Role::Call(call)) = slots.at(slot).map(|slot| &mut slot.role) else {
            return false;
        };
        if call.exchange.path.remote == from.remote {
            return false;
        }
        let silence = call.silent_for(now);
        // Once it was heard where it was, the question is answered.
        let awaited = call
            .seldom
            .moving
            .as_deref()
            .is_some_and(|moving| moving.is_awaited(now) && silence > now.since(moving.asked));
        if !awaited {
            call.seldom.moving = None;
            let silent = call.agreed_format().is_some() && silence >= SILENCE;
            let exchange = &mut call.exchange;
            if !silent || !is_little_on_its_way(exchange) {
                return false;
            }
            exchange.send_iax(cx, now, IaxSubclass::Ping, &ElementBuffer::new());
            let (stamp, asked, places) = (exchange.last_timestamp(), now, Vec::new());
            call.seldom.moving = Some(Box::new(Moving { stamp, asked, places }));
        }
        let Some(place) =
            call.seldom.moving.as_deref_mut().and_then(|moving| moving.place(now, from))
        else {
            return false;
        };
        place.send_next(cx, &call.exchange, received);
        slots.schedule(cx, slot);
        true
    }

    /// Sends the next frame where a peer may have moved, and is asked already.
    pub(crate) fn go_on_asking(&mut self, now: Instant, from: Path, datagram: &[u8]) {
        let Some((theirs, ours)) = numbers(datagram) else { return };
        for slot in self.cx.numbers.find(from, theirs, ours).into_iter().flatten() {
            if self.is_moving(now, slot, from) {
                self.ask_whether_moved(now, slot, from, datagram.len());
                return;
            }
        }
    }

    fn is_moving(&self, now: Instant, slot: u32, from: Path) -> bool {
        let moving = self.slots.call(slot).and_then(|call| call.seldom.moving.as_deref());
        moving.is_some_and(|moving| moving.is_awaited(now) && moving.is_asked_at(from.remote))
    }

    /// The slot of a call that waits for an answer from `from`.
    pub(crate) fn find_moving(
        &self,
        now: Instant,
        from: Path,
        theirs: CallNumber,
        ours: CallNumber,
    ) -> Option<u32> {
        let found = self.cx.numbers.find(from, theirs, Some(ours));
        found.into_iter().flatten().find(|slot| self.is_moving(now, *slot, from))
    }

    /// Whether a frame from a strange address is the PONG of a peer that has moved; then its call
    /// moves there.
    pub(crate) fn has_moved(
        &mut self,
        now: Instant,
        index: u32,
        from: Path,
        header: &FullHeader,
        subclass: Option<IaxSubclass>,
    ) -> bool {
        if subclass != Some(IaxSubclass::Pong) || !self.is_moving(now, index, from) {
            return false;
        }
        let Self { cx, slots } = self;
        let Some(slot) = slots.at(index) else { return false };
        let id = CallId { slot: index, generation: slot.generation };
        let Role::Call(call) = &mut slot.role else { return false };
        let Some(Moving { stamp, asked, .. }) = call.seldom.moving.as_deref() else { return false };
        let (ours, asked) = (call.exchange.ours, *asked);
        if *stamp != header.timestamp || call.exchange.theirs != Some(header.source) {
            return false;
        }
        // The peer is where it was; on an encrypted call the PONG says more than that.
        let is_there = call.silent_for(now) <= now.since(asked);
        if call.exchange.crypt.is_none() {
            let rtt = call.exchange.full.rtt.unwrap_or_default();
            if !is_there && now.since(asked) < GRACE.max(rtt * 3 / 2) {
                return false;
            }
            if is_there {
                call.seldom.moving = None;
                return false;
            }
        }
        call.seldom.moving = None;
        if !cx.index.claim(from.remote, ours, index) {
            return false;
        }
        let old = call.exchange.path;
        cx.flush_trunk(now, call.exchange.trunk);
        cx.index.forget(old.remote, ours, Some(header.source), index);
        cx.index.learn(from.remote, header.source, index);
        cx.numbers.remove(&call.exchange, index);
        call.exchange.path = from;
        cx.numbers.insert(&call.exchange, index);
        call.enter_trunk(cx);
        cx.counters.calls_moved += 1;
        cx.tell(Event::CallMoved { call: id, from: old, to: from });
        // Where voice goes straight, the other end still sends to the old address.
        self.bring_back(now, id);
        true
    }
}

impl Call {
    fn silent_for(&self, now: Instant) -> Duration {
        let heard =
            [self.voice_in.last_arrival(), self.seldom.last_heard].into_iter().flatten().max();
        heard.map_or(Duration::MAX, |heard| now.since(heard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_known_by_its_numbers_only_as_it_is_and_only_while_it_is_there() {
        let mut numbers = Numbers::default();
        let path = |last| Path::from(SocketAddr::from(([192, 0, 2, last], 4569)));
        let now = Instant::from_micros(0);
        let mut exchange = Exchange::opening(now, path(1), CallNumber::from_bits(9));
        assert!(numbers.has(&exchange, 3), "nobody knows the peer's number yet");
        exchange.theirs = Some(CallNumber::from_bits(77));
        assert!(!numbers.has(&exchange, 3));
        numbers.insert(&exchange, 3);
        assert!(numbers.has(&exchange, 3) && !numbers.has(&exchange, 4));
        exchange.path = path(2);
        assert!(!numbers.has(&exchange, 3), "it is elsewhere");
        exchange.path = path(1);
        exchange.ours = CallNumber::from_bits(10);
        assert!(!numbers.has(&exchange, 3), "another number of ours");
        exchange.ours = CallNumber::from_bits(9);
        numbers.remove(&exchange, 3);
        assert_eq!((numbers.has(&exchange, 3), numbers.sizes()), (false, (0, 0)));
    }
}
