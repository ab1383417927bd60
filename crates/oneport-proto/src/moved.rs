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

use core::time::Duration;

use oneport_wire::{
    CallNumber, Datagram, ElementBuffer, Elements, FullHeader, IaxSubclass, Message, Seq, Timestamp,
};

use crate::call::Call;
use crate::clock::Instant;
use crate::context::Context;
use crate::endpoint::{Endpoint, call_mut};
use crate::event::Event;
use crate::exchange::Exchange;
use crate::id::CallId;
use crate::path::Path;

/// A peer that was heard this recently is where it was.
const SILENCE: Duration = Duration::from_secs(1);

/// Time between two searches for the call that a stray datagram belongs to: they look at every
/// call.
const SEARCH_PAUSE: Duration = Duration::from_millis(50);

/// How long an answer from the new address is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// On a call in the clear a PONG from the new address counts only this long after the PING, or one
/// and a half round trips: by then the peer has answered from the old one, if it is there. It comes
/// again, for it is not acknowledged before; peers repeat after 100 ms or two round trips.
const GRACE: Duration = Duration::from_millis(90);

/// Frames on their way that a peer may have to be sent before the PING.
const FRAMES_BEFORE: usize = 2;

/// What encryption adds to a frame at most.
const LONGEST_PADDING: usize = 31;

/// Calls that may be moving at once.
const MOST: usize = 256;

/// A call that may have moved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Move {
    call: CallId,
    ours: CallNumber,
    to: Path,
    /// The PING's timestamp, which its PONG repeats.
    stamp: Timestamp,
    asked: Instant,
    /// Frames sent to the new address.
    sent: usize,
}

impl Move {
    /// Answers a datagram of `received` bytes from the new address by the next frame.
    fn send_next(&mut self, cx: &mut Context, exchange: &Exchange, received: usize) {
        let Some((frame, epoch)) = exchange.reliable.window().nth(self.sent) else { return };
        let sealed = if exchange.crypt.is_some() { LONGEST_PADDING } else { 0 };
        if frame.len() + sealed <= 3 * received {
            cx.send(self.to, exchange.crypt.as_deref(), epoch, frame);
            self.sent += 1;
        }
    }
}

/// The numbers that a stray datagram names: the sender's, and ours where it has one.
fn numbers(datagram: &[u8]) -> Option<(CallNumber, Option<CallNumber>)> {
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
        if self.go_on_asking(now, from, datagram) {
            return;
        }
        if self.cx.last_search.is_some_and(|at| now.since(at) < SEARCH_PAUSE) {
            return;
        }
        let Some((theirs, ours)) = numbers(datagram) else { return };
        self.cx.last_search = Some(now);
        self.cx.moves.retain(|moving| now.since(moving.asked) < PATIENCE);
        if self.cx.moves.len() >= MOST {
            return;
        }
        let mut known = false;
        for id in self.slots.calls() {
            let Some(call) = call_mut(&mut self.slots, id) else { continue };
            let exchange = &call.exchange;
            let fits = exchange.theirs == Some(theirs)
                && match ours {
                    Some(ours) => ours == exchange.ours,
                    // A mini frame names half as much, so half of the address must be the same.
                    None => from.remote.ip() == exchange.path.remote.ip(),
                };
            known |= fits;
            let silent = call.agreed_format().is_some() && call.silent_for(now) >= SILENCE;
            if fits && silent && !self.cx.moves.iter().any(|moving| moving.call == id) {
                return self.ask_whether_moved(now, id, from, datagram.len());
            }
        }
        if !known {
            self.say_invalid(from, datagram);
        }
    }

    /// Tells a peer that its call is not known here (RFC 5456 §6.9.2), as after a restart, so that it
    /// need not wait in vain. One short answer for twenty questions a second at most.
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

    /// Sends a PING to the old address and the new. All frames on their way go to the new one before
    /// it: the peer takes the PING only behind them. Each datagram from there is answered by one of
    /// them at most, and none that is much longer than itself.
    fn ask_whether_moved(&mut self, now: Instant, id: CallId, to: Path, received: usize) {
        let Self { cx, slots } = self;
        let Some(call) = call_mut(slots, id) else { return };
        let exchange = &mut call.exchange;
        if exchange.reliable.size().0 > FRAMES_BEFORE {
            return;
        }
        exchange.send_iax(cx, now, IaxSubclass::Ping, &ElementBuffer::new());
        let (ours, stamp) = (exchange.ours, exchange.last_timestamp());
        let mut moving = Move { call: id, ours, to, stamp, asked: now, sent: 0 };
        moving.send_next(cx, exchange, received);
        cx.moves.push(moving);
        slots.schedule(cx, id.slot);
    }

    /// Sends the next frame where a peer may have moved; `false`: nobody is asked there.
    pub(crate) fn go_on_asking(&mut self, now: Instant, from: Path, datagram: &[u8]) -> bool {
        let Self { cx, slots } = self;
        let named = numbers(datagram).and_then(|(_, ours)| ours);
        let place = cx.moves.iter().position(|moving| {
            moving.to.remote == from.remote
                && named.is_none_or(|ours| ours == moving.ours)
                && now.since(moving.asked) < PATIENCE
        });
        let Some(mut moving) = place.and_then(|place| cx.moves.get(place)).copied() else {
            return false;
        };
        let Some(call) = call_mut(slots, moving.call) else { return false };
        let fits = numbers(datagram).is_some_and(|(theirs, ours)| {
            call.exchange.theirs == Some(theirs) && ours.is_none_or(|ours| ours == moving.ours)
        });
        if fits {
            moving.send_next(cx, &call.exchange, datagram.len());
            if let Some(kept) = place.and_then(|place| cx.moves.get_mut(place)) {
                *kept = moving;
            }
        }
        fits
    }

    /// The slot of a call that waits for an answer from `from`.
    pub(crate) fn find_moving(&self, from: Path, ours: CallNumber) -> Option<u32> {
        let mut moves = self.cx.moves.iter();
        let found = moves.find(|moving| moving.to.remote == from.remote && moving.ours == ours);
        found.map(|moving| moving.call.slot)
    }

    /// Whether a frame from a strange address is the PONG of a peer that has moved; then its call
    /// moves there.
    pub(crate) fn has_moved(
        &mut self,
        now: Instant,
        from: Path,
        header: &FullHeader,
        subclass: Option<IaxSubclass>,
    ) -> bool {
        let Self { cx, slots } = self;
        let place = cx.moves.iter().position(|moving| {
            subclass == Some(IaxSubclass::Pong)
                && moving.to.remote == from.remote
                && moving.ours == header.destination
                && moving.stamp == header.timestamp
                && now.since(moving.asked) < PATIENCE
        });
        let Some(moving) = place.and_then(|place| cx.moves.get(place)).copied() else {
            return false;
        };
        let Move { call: id, ours, asked, .. } = moving;
        let waits = call_mut(slots, id).is_some_and(|call| {
            let rtt = call.exchange.rtt.unwrap_or_default();
            let is_there = call.silent_for(now) <= now.since(asked);
            let early = now.since(asked) < GRACE.max(rtt * 3 / 2);
            call.exchange.crypt.is_none() && early && !is_there
        });
        if waits {
            return false;
        }
        cx.moves.retain(|other| other.call != id);
        let Some(call) = call_mut(slots, id) else { return false };
        if call.exchange.crypt.is_none() && call.silent_for(now) <= now.since(asked) {
            return false;
        }
        if call.exchange.theirs != Some(header.source)
            || !cx.index.claim(from.remote, ours, id.slot)
        {
            return false;
        }
        let old = call.exchange.path;
        cx.flush_trunk(now, call.exchange.trunk);
        cx.index.forget(old.remote, ours, Some(header.source), id.slot);
        cx.index.learn(from.remote, header.source, id.slot);
        call.exchange.path = from;
        call.exchange.trunk = cx.trunks.find(from.remote);
        cx.counters.calls_moved += 1;
        cx.tell(Event::CallMoved { call: id, from: old, to: from });
        true
    }
}

impl Call {
    fn silent_for(&self, now: Instant) -> Duration {
        let heard = [self.voice_in.last_arrival(), self.last_heard].into_iter().flatten().max();
        heard.map_or(Duration::MAX, |heard| now.since(heard))
    }
}
