//! What calls, registrations and requests have in common: two call numbers, reliable delivery, a
//! time base. It knows nothing of what the messages mean.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use oneport_wire::{
    CallNumber, ElementBuffer, Elements, FullHeader, IaxSubclass, Message, MiniFrame, Seq,
    Timestamp, VideoMiniFrame,
};

use crate::clock::Instant;
use crate::context::Context;
use crate::crypt::{Crypt, Epoch};
use crate::drop_reason::DropReason;
use crate::early::{Early, Kept};
use crate::error::CommandError;
use crate::path::Path;
use crate::relay_clock::is_after;
use crate::reliable::{GaveUp, Order, Reliable, Sample};
use crate::stats::Said;
use crate::trunk::TrunkPlace;

/// An answer that depends on the application may take its time: the frame that asks for it is
/// acknowledged after this long, so that it is not sent again.
const DELAYED_ACK: Duration = Duration::from_millis(40);

/// The state of one conversation below the meaning of its messages: what voice needs, and the way to
/// what only full frames do.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Exchange {
    pub(crate) created: Instant,
    pub(crate) ours: CallNumber,
    pub(crate) theirs: Option<CallNumber>,
    /// A full frame with the right numbers came: the peer hears us at its address.
    pub(crate) confirmed: bool,
    /// The trunk on which its voice goes, where there is one.
    pub(crate) trunk: Option<TrunkPlace>,
    /// Its keys, once it is encrypted. A call says by [`VoiceIn::encrypted`](crate::voice::VoiceIn) as well whether it has some.
    pub(crate) crypt: Option<Box<Crypt>>,
    /// Where voice goes, when that is not to `path`.
    pub(crate) media_path: Option<Box<Path>>,
    pub(crate) path: Path,
    pub(crate) full: Box<FullFrames>,
}

/// What the full frames of a conversation need.
#[derive(Debug)]
pub(crate) struct FullFrames {
    pub(crate) reliable: Reliable,
    /// Timestamp of the frame by which the peer opened it; tells a repetition from a new start.
    pub(crate) opened_at: Option<Timestamp>,
    /// Fingerprint of that frame's elements, for the same.
    pub(crate) opened_by: u64,
    pub(crate) rtt: Option<Duration>,
    /// Half of the first interval of repetition: never less than the round trip, and more after one
    /// that may have become longer.
    patience: Option<Duration>,
    /// Timestamps of the frames that opened it and were replaced since: answers to those are stale.
    replaced: Vec<Timestamp>,
    last_stamp: Option<u32>,
    /// The latest timestamp of the peer's own clock, and when it came.
    their_stamp: Option<(Instant, Timestamp)>,
    delayed_ack: Option<(Instant, Timestamp)>,
    /// Frames that came before their turn.
    early: Option<Box<Early>>,
    /// A frame was received in order since our ISeqno last left.
    owes_ack: bool,
    /// Nothing leaves before [`unmute`](Exchange::unmute).
    silence: Option<Silence>,
    pub(crate) talk: Talk,
}

impl FullFrames {
    /// None has come or left.
    fn new() -> Self {
        Self {
            reliable: Reliable::new(),
            opened_at: None,
            opened_by: 0,
            rtt: None,
            patience: None,
            replaced: Vec::new(),
            last_stamp: None,
            their_stamp: None,
            delayed_ack: None,
            early: None,
            owes_ack: false,
            silence: None,
            talk: Talk::default(),
        }
    }
}

/// What an exchange that is held back owes.
#[derive(Clone, Copy, Debug, Default)]
struct Silence {
    /// An acknowledgement of the frame with this timestamp.
    ack: Option<Timestamp>,
}

/// The first and the last IAX frame of a conversation, whichever side sent them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Talk {
    pub(crate) first: Option<Said>,
    pub(crate) last: Option<Said>,
}

impl Talk {
    pub(crate) fn note(&mut self, ours: bool, subclass: IaxSubclass) {
        let said = Some(Said { ours, subclass });
        self.first = self.first.or(said);
        self.last = said;
    }
}

impl Exchange {
    /// Reads some of each line of memory that voice needs.
    pub(crate) fn look(&self) -> u64 {
        let by_itself = self.trunk.is_none() && self.path.local.is_some();
        u64::from(self.confirmed) ^ u64::from(by_itself)
    }

    /// One that we open.
    pub(crate) fn opening(now: Instant, path: Path, ours: CallNumber) -> Self {
        Self::begun(now, path, ours, FullFrames::new())
    }

    fn begun(now: Instant, path: Path, ours: CallNumber, full: FullFrames) -> Self {
        Self {
            path,
            ours,
            theirs: None,
            created: now,
            confirmed: false,
            media_path: None,
            trunk: None,
            crypt: None,
            full: Box::new(full),
        }
    }

    /// One that the peer opened with a frame of this header.
    pub(crate) fn opened(now: Instant, path: Path, ours: CallNumber, header: &FullHeader) -> Self {
        let mut full = FullFrames::new();
        full.reliable.begin_after(header.oseq);
        full.opened_at = Some(header.timestamp);
        full.their_stamp = Some((now, header.timestamp));
        Self { theirs: Some(header.source), ..Self::begun(now, path, ours, full) }
    }

    /// One with the other end of a transfer, from the start of its numbers.
    pub(crate) fn moved(
        now: Instant,
        path: Path,
        ours: CallNumber,
        theirs: CallNumber,
        rtt: Option<Duration>,
    ) -> Self {
        let full = FullFrames { rtt, patience: rtt, ..FullFrames::new() };
        // It has answered from that address.
        Self { theirs: Some(theirs), confirmed: true, ..Self::begun(now, path, ours, full) }
    }

    /// Our clock: ms since the exchange began.
    pub(crate) fn clock(&self, now: Instant) -> u32 {
        now.millis_since(self.created)
    }

    /// Where the peer's clock stands, by its full frames; `None`: none has told.
    pub(crate) fn their_clock(&self, now: Instant) -> Option<Timestamp> {
        let (came, stamp) = self.full.their_stamp?;
        Some(Timestamp(stamp.0.wrapping_add(now.millis_since(came))))
    }

    /// A timestamp for a frame made now, later than all before it.
    fn stamp(&mut self, now: Instant) -> Timestamp {
        let real = self.clock(now);
        let stamp = match self.full.last_stamp {
            // Half of the circle is "not after".
            Some(last) if real.wrapping_sub(last).wrapping_sub(1) > u32::MAX / 2 => {
                last.wrapping_add(1)
            }
            _ => real,
        };
        self.full.last_stamp = Some(stamp);
        Timestamp(stamp)
    }

    /// The timestamp of the last frame made.
    pub(crate) fn last_timestamp(&self) -> Timestamp {
        Timestamp(self.full.last_stamp.unwrap_or_default())
    }

    fn header(&self, timestamp: Timestamp) -> FullHeader {
        FullHeader {
            source: self.ours,
            destination: self.theirs.unwrap_or(CallNumber::NONE),
            retransmission: false,
            timestamp,
            oseq: self.full.reliable.next(),
            iseq: self.full.reliable.expected(),
        }
    }

    /// The key of frames that are numbered now.
    fn epoch(&self) -> Epoch {
        self.crypt.as_deref().map_or(Epoch::CLEAR, Crypt::epoch)
    }

    fn first_interval(&self, cx: &Context) -> Duration {
        let config = &cx.config.retransmission;
        self.full
            .patience
            .map_or(config.first, |time| (time * 2).clamp(config.least, config.greatest))
    }

    /// How long not to repeat the same VNAK, or the same answer to one.
    fn pause(&self) -> Duration {
        self.full.rtt.unwrap_or(Duration::from_millis(100)).max(Duration::from_millis(20))
    }

    /// Sends a frame reliably.
    ///
    /// # Errors
    /// Too many frames wait already.
    pub(crate) fn send(
        &mut self,
        cx: &mut Context,
        now: Instant,
        message: &Message<'_>,
    ) -> Result<(), CommandError> {
        if !self.full.reliable.has_room() {
            return Err(CommandError::QueueFull);
        }
        let timestamp = self.stamp(now);
        self.send_stamped(cx, now, timestamp, message);
        Ok(())
    }

    /// Sends an IAX frame reliably. Where the peer acknowledges nothing of many such, answers are left out:
    /// see [`send_stamped`](Self::send_stamped).
    pub(crate) fn send_iax(
        &mut self,
        cx: &mut Context,
        now: Instant,
        subclass: IaxSubclass,
        elements: &ElementBuffer,
    ) {
        let timestamp = self.stamp(now);
        self.send_stamped(cx, now, timestamp, &Message::iax(subclass, elements.as_elements()));
    }

    /// Sends a frame reliably with a given timestamp: voice, PONG, LAGRP.
    ///
    /// Whoever asks and asks and never acknowledges must not fill our memory: beyond what the protocol itself
    /// may have waiting only the end of an exchange is taken, and all else counted and dropped.
    pub(crate) fn send_stamped(
        &mut self,
        cx: &mut Context,
        now: Instant,
        timestamp: Timestamp,
        message: &Message<'_>,
    ) {
        let ends = matches!(
            message,
            Message::Iax { subclass: IaxSubclass::Hangup | IaxSubclass::Reject, .. }
        );
        if self.full.reliable.is_full() && !ends {
            return cx.counters.drop(DropReason::QueueFull);
        }
        if let Message::Iax { subclass, .. } = message {
            self.full.talk.note(true, *subclass);
        }
        let header = self.header(timestamp);
        let datagram = Box::from(cx.encode(&header, message));
        let interval = self.first_interval(cx);
        let epoch = self.epoch();
        if self.full.silence.is_some() {
            return self.full.reliable.push_muted(now, datagram, interval, epoch);
        }
        if self.full.reliable.push(now, datagram, interval, epoch)
            && let Some((newest, epoch)) = self.full.reliable.newest()
        {
            cx.send(self.path, self.crypt.as_deref(), epoch, newest);
            // It carries our ISeqno.
            self.full.delayed_ack = None;
            self.full.owes_ack = false;
        }
    }

    /// Answers PING where nothing is measured.
    pub(crate) fn answer_ping(&mut self, cx: &mut Context, now: Instant, timestamp: Timestamp) {
        let pong = Message::iax(IaxSubclass::Pong, Elements::EMPTY);
        self.send_stamped(cx, now, timestamp, &pong);
    }

    /// Sends a frame of voice that is not kept; `false`: there is no room.
    ///
    /// Trunk frames are never encrypted, so encrypted voice leaves the trunk.
    #[inline]
    pub(crate) fn send_voice(
        &self,
        cx: &mut Context,
        now: Instant,
        stamp: Timestamp,
        payload: &[u8],
    ) -> bool {
        let path = self.media_path.as_deref().unwrap_or(&self.path);
        if let (Some(place), None, None) = (self.trunk, &self.crypt, &self.media_path) {
            let entry = (self.ours, stamp.low16(), payload);
            let Context { trunks, outbox, counters, .. } = cx;
            if trunks.push(outbox, counters, now, place, path, entry) {
                return true;
            }
        }
        let header = &MiniFrame::encode_header(self.ours, stamp.low16());
        match self.crypt.as_deref().and_then(|crypt| crypt.cipher(crypt.epoch())) {
            None => cx.outbox.push_media(path, header, payload),
            Some(cipher) => {
                cipher.seal(&mut cx.rng, header, payload, &mut cx.sealed);
                cx.outbox.push_media(path, &cx.sealed, &[])
            }
        }
    }

    /// Sends a packet of video that is not kept; `false`: there is no room.
    ///
    /// It never enters a trunk, and is encrypted as voice is.
    pub(crate) fn send_video(
        &self,
        cx: &mut Context,
        stamp: Timestamp,
        mark: bool,
        payload: &[u8],
    ) -> bool {
        let timestamp = stamp.low15();
        let header =
            &VideoMiniFrame { source: self.ours, mark, timestamp, payload }.encode_header();
        match self.crypt.as_deref().and_then(|crypt| crypt.cipher(crypt.epoch())) {
            None => cx.outbox.push_media(&self.path, header, payload),
            Some(cipher) => {
                cipher.seal(&mut cx.rng, header, payload, &mut cx.sealed);
                cx.outbox.push_media(&self.path, &cx.sealed, &[])
            }
        }
    }

    /// Opens again from the start, with numbers at zero (after a CALLTOKEN reply).
    pub(crate) fn reopen(
        &mut self,
        cx: &mut Context,
        now: Instant,
        subclass: IaxSubclass,
        elements: &ElementBuffer,
    ) {
        self.full.replaced.extend(self.full.last_stamp.map(Timestamp));
        self.full.early = None;
        let timestamp = self.stamp(now);
        let header = FullHeader { iseq: Seq::ZERO, ..self.header(timestamp) };
        let message = Message::iax(subclass, elements.as_elements());
        let datagram = Box::from(cx.encode(&header, &message));
        let interval = self.first_interval(cx);
        cx.outbox.push(self.path, self.full.reliable.restart(now, datagram, interval));
    }

    /// Whether a stateless answer, which repeats the timestamp of what it answers, is to a frame
    /// that was replaced.
    pub(crate) fn is_stale(&self, timestamp: Timestamp) -> bool {
        self.full.replaced.contains(&timestamp)
    }

    /// Acknowledges everything received in order, naming the timestamp of the frame that asks.
    pub(crate) fn acknowledge(&mut self, cx: &mut Context, timestamp: Timestamp) {
        let header = self.header(timestamp);
        self.full.delayed_ack = None;
        self.full.owes_ack = false;
        if let Some(silence) = &mut self.full.silence {
            silence.ack = Some(timestamp);
            return;
        }
        self.full.talk.note(true, IaxSubclass::Ack);
        let message = Message::iax(IaxSubclass::Ack, Elements::EMPTY);
        cx.send_once(self.path, self.crypt.as_deref(), &header, &message);
    }

    /// Acknowledges soon, unless an answer does it before.
    pub(crate) fn acknowledge_later(&mut self, now: Instant, timestamp: Timestamp) {
        self.full.owes_ack = false;
        self.full.delayed_ack = Some((now + DELAYED_ACK, timestamp));
    }

    /// Acknowledges a frame received in order, unless something sent since then has done it.
    pub(crate) fn acknowledge_if_owed(&mut self, cx: &mut Context, timestamp: Timestamp) {
        if self.full.owes_ack {
            self.acknowledge(cx, timestamp);
        }
    }

    /// Tells a peer that goes on with an exchange which is over.
    pub(crate) fn invalidate(&mut self, cx: &mut Context) {
        (self.full.delayed_ack, self.full.owes_ack) = (None, false);
        if self.full.silence.is_some() {
            return;
        }
        let header = self.header(Timestamp(0));
        let message = Message::iax(IaxSubclass::Inval, Elements::EMPTY);
        cx.send_once(self.path, self.crypt.as_deref(), &header, &message);
    }

    /// Asks for the frame that is missing, unless that was done just now.
    pub(crate) fn ask_again(&mut self, cx: &mut Context, now: Instant) {
        if self.full.silence.is_some() || !self.full.reliable.vnak_due(now, self.pause()) {
            return;
        }
        let clock = Timestamp(self.clock(now));
        let header = FullHeader { oseq: self.full.reliable.expected(), ..self.header(clock) };
        cx.counters.vnaks_sent += 1;
        self.full.talk.note(true, IaxSubclass::Vnak);
        let message = Message::iax(IaxSubclass::Vnak, Elements::EMPTY);
        cx.send_once(self.path, self.crypt.as_deref(), &header, &message);
    }

    /// Does with a received frame what does not depend on its meaning: takes its acknowledgement,
    /// and puts it in order. The caller has checked the numbers.
    pub(crate) fn receive(
        &mut self,
        cx: &mut Context,
        now: Instant,
        header: &FullHeader,
        message: &Message<'_>,
    ) -> Order {
        let subclass = match message {
            Message::Iax { subclass, .. } => Some(*subclass),
            _ => None,
        };
        if let Some(subclass) = subclass {
            self.full.talk.note(false, subclass);
        }
        if !subclass.is_some_and(repeats_a_timestamp)
            && self.full.their_stamp.is_none_or(|(_, last)| is_after(header.timestamp.0, last.0))
        {
            self.full.their_stamp = Some((now, header.timestamp));
        }
        if subclass != Some(IaxSubclass::Inval) {
            self.confirmed |= header.destination == self.ours;
            let sample = self.full.reliable.acknowledge(now, header.iseq);
            // What is sent at once, not when an application has made up its mind.
            let prompt = matches!(
                subclass,
                Some(
                    IaxSubclass::Ack
                        | IaxSubclass::Pong
                        | IaxSubclass::LagRp
                        | IaxSubclass::FwDownl
                        | IaxSubclass::FwData
                )
            );
            if let Some(sample) = sample.filter(|_| prompt) {
                self.take_sample(cx, sample);
            }
        }
        if subclass == Some(IaxSubclass::Vnak) && self.full.silence.is_none() {
            let (path, pause) = (self.path, self.pause());
            let before = self.full.reliable.repetitions;
            let crypt = self.crypt.as_deref();
            self.full.reliable.repeat_from(now, header.iseq, pause, |datagram, epoch| {
                cx.send(path, crypt, epoch, datagram);
            });
            cx.counters.retransmissions += self.full.reliable.repetitions - before;
        }
        if self.full.silence.is_none() {
            self.flush(cx, now);
        }
        if !message.takes_sequence_number() {
            return Order::Next;
        }
        let order = self.full.reliable.order(header.oseq);
        if order == Order::Next {
            self.full.reliable.accept();
            self.full.owes_ack = true;
        }
        order
    }

    /// Keeps a frame that came before its turn, or only its number where it need not wait.
    pub(crate) fn keep_early(
        &mut self,
        header: &FullHeader,
        message: &Message<'_>,
        whole: bool,
    ) -> Kept {
        let ahead = header.oseq.since(self.full.reliable.expected());
        let early = self.full.early.get_or_insert_default();
        let kept = early.keep(ahead, header, message, whole);
        if early.is_empty() {
            self.full.early = None;
        }
        kept
    }

    /// Counts the next frame as received, if it came before its turn, and returns it; it is empty
    /// where it did not wait.
    pub(crate) fn take_early(&mut self) -> Option<Box<[u8]>> {
        let early = self.full.early.as_deref_mut()?;
        let next = early.take(self.full.reliable.expected());
        if early.is_empty() {
            self.full.early = None;
        }
        if next.is_some() {
            self.full.reliable.accept();
            self.full.owes_ack = true;
        }
        next
    }

    /// Whether a frame waits for one that is missing.
    pub(crate) const fn has_gap(&self) -> bool {
        self.full.early.is_some()
    }

    /// Gives back what an exchange that is over does not need: what came before its turn will have none.
    pub(crate) fn shrink(&mut self) {
        self.full.early = None;
        self.full.reliable.shrink();
    }

    /// Sends what waits for room.
    fn flush(&mut self, cx: &mut Context, now: Instant) {
        let (interval, epoch) = (self.first_interval(cx), self.epoch());
        while let Some((datagram, epoch)) = self.full.reliable.advance(now, interval, epoch) {
            cx.send(self.path, self.crypt.as_deref(), epoch, datagram);
        }
    }

    /// An acknowledgement says something of the round trip. It is smoothed as TCP does it (RFC
    /// 6298). Where it is ambiguous, because the round trip has become longer than the interval of
    /// repetition or because something was lost, the next frame waits longer, so that its own answer
    /// is not.
    fn take_sample(&mut self, cx: &Context, sample: Sample) {
        match sample {
            Sample::Clear(sample) => self.measure(sample),
            Sample::Ambiguous(sample) => {
                let now = self.full.patience.unwrap_or(cx.config.retransmission.first / 2);
                let most = now * 2 + cx.config.retransmission.least;
                self.full.patience = Some(sample.min(most).max(now));
            }
        }
    }

    /// A round trip was measured.
    fn measure(&mut self, sample: Duration) {
        let rtt = self.full.rtt.map_or(sample, |rtt| (rtt * 7 + sample) / 8);
        self.full.rtt = Some(rtt);
        self.full.patience = Some(rtt.max(sample));
    }

    /// Holds back whatever would leave from now on, until [`unmute`](Self::unmute).
    pub(crate) fn mute(&mut self) {
        let ack = self.full.delayed_ack.take().map(|(_, timestamp)| timestamp);
        self.full.silence.get_or_insert(Silence { ack });
    }

    /// Whether something waits for [`unmute`](Self::unmute) or for the peer.
    pub(crate) fn is_settled(&self) -> bool {
        self.full.reliable.is_settled()
            && self.full.silence.is_none_or(|silence| silence.ack.is_none())
    }

    /// Lets go what was held back.
    pub(crate) fn unmute(&mut self, cx: &mut Context, now: Instant) {
        let Some(silence) = self.full.silence.take() else { return };
        let (path, crypt) = (self.path, self.crypt.as_deref());
        self.full.reliable.unmute(now, |datagram, epoch| cx.send(path, crypt, epoch, datagram));
        self.flush(cx, now);
        if let Some(timestamp) = silence.ack {
            self.acknowledge(cx, timestamp);
        }
    }

    /// Does what is due.
    ///
    /// # Errors
    /// The peer has not acknowledged a frame in all its repetitions.
    pub(crate) fn handle_timeout(&mut self, cx: &mut Context, now: Instant) -> Result<(), GaveUp> {
        if self.full.silence.is_some() {
            return Ok(());
        }
        if let Some((at, timestamp)) = self.full.delayed_ack
            && at <= now
        {
            self.acknowledge(cx, timestamp);
        }
        let path = self.path;
        let before = self.full.reliable.repetitions;
        let (config, crypt) = (cx.config.retransmission, self.crypt.as_deref());
        let result = self.full.reliable.repeat_due(now, &config, |datagram, epoch| {
            cx.send(path, crypt, epoch, datagram);
        });
        cx.counters.retransmissions += self.full.reliable.repetitions - before;
        result
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub(crate) fn deadline(&self, cx: &Context) -> Option<Instant> {
        if self.full.silence.is_some() {
            return None;
        }
        let ack = self.full.delayed_ack.map(|(at, _)| at);
        let repetition = self.full.reliable.deadline(&cx.config.retransmission);
        [ack, repetition].into_iter().flatten().min()
    }
}

/// Whether a frame has the timestamp of what it answers, or none, rather than its sender's.
const fn repeats_a_timestamp(subclass: IaxSubclass) -> bool {
    use IaxSubclass as Iax;
    matches!(subclass, Iax::Ack | Iax::Vnak | Iax::Inval | Iax::Pong | Iax::LagRp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EndpointConfig;
    use core::net::SocketAddr;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn setup() -> (Context, Exchange) {
        let cx = Context::new(EndpointConfig::default(), [1; 32], at(0));
        let path = Path::from(SocketAddr::from(([192, 0, 2, 1], 4569)));
        (cx, Exchange::opening(at(0), path, CallNumber::from_bits(2)))
    }

    #[test]
    fn a_frame_is_repeated_after_twice_the_longer_of_the_last_round_trip_and_the_usual_one() {
        let (cx, mut exchange) = setup();
        assert_eq!(exchange.first_interval(&cx), ms(1_000), "nothing is known");
        exchange.measure(ms(80));
        assert_eq!((exchange.full.rtt, exchange.first_interval(&cx)), (Some(ms(80)), ms(160)));
        exchange.measure(ms(480));
        assert_eq!((exchange.full.rtt, exchange.first_interval(&cx)), (Some(ms(130)), ms(960)));
        exchange.measure(ms(50));
        assert_eq!((exchange.full.rtt, exchange.first_interval(&cx)), (Some(ms(120)), ms(240)));
    }

    #[test]
    fn an_answer_to_one_of_several_copies_makes_the_next_frame_wait_longer_but_not_without_limit() {
        let (cx, mut exchange) = setup();
        exchange.measure(ms(80));
        exchange.take_sample(&cx, Sample::Ambiguous(ms(150)));
        assert_eq!(exchange.first_interval(&cx), ms(300));
        exchange.take_sample(&cx, Sample::Ambiguous(ms(20_000)));
        assert_eq!(exchange.first_interval(&cx), ms(800), "twice as long, and the least interval");
        exchange.take_sample(&cx, Sample::Ambiguous(ms(1)));
        assert_eq!(exchange.first_interval(&cx), ms(800));
        assert_eq!(exchange.full.rtt, Some(ms(80)), "no round trip is measured by it");
    }

    #[test]
    fn what_is_due_first_wakes_an_exchange() {
        let (mut cx, mut exchange) = setup();
        exchange.send_iax(&mut cx, at(0), IaxSubclass::New, &ElementBuffer::new());
        assert_eq!(exchange.deadline(&cx), Some(at(1_000)));
        exchange.acknowledge_later(at(0), Timestamp(3));
        assert_eq!(exchange.deadline(&cx), Some(at(40)), "the delayed ACK");
        exchange.handle_timeout(&mut cx, at(40)).unwrap();
        assert_eq!(exchange.deadline(&cx), Some(at(1_000)));
        assert_eq!(cx.counters.retransmissions, 0);
        exchange.handle_timeout(&mut cx, at(1_000)).unwrap();
        exchange.handle_timeout(&mut cx, at(3_000)).unwrap();
        assert_eq!(cx.counters.retransmissions, 2);
    }
}
