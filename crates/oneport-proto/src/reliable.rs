//! Reliable delivery of full frames (RFC 5456 §7): numbering, acknowledgement, repetition, order.
//!
//! It knows nothing of messages: it numbers and keeps encoded frames, decides which received frame
//! is the next, and says when something must be sent again. Written once, owned by every
//! [`Exchange`](crate::exchange::Exchange).

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::time::Duration;

use oneport_wire::Seq;

use crate::clock::Instant;
use crate::config::RetransmissionConfig;
use crate::crypt::Epoch;

/// Frames in flight at once. Numbers are compared within half of their 8-bit circle, so more than
/// 127 could not be told from old ones.
const WINDOW: usize = 64;

/// Frames that wait for room in the window.
const BACKLOG: usize = 512;

/// How often a frame above [`LARGE`] is sent again because a VNAK asks for it.
const VNAK_ANSWERS: u8 = 4;

/// A datagram this large may need fragments, which many ways lose always.
const LARGE: usize = 1_200;

/// A repetition this late shows that nobody ran us, as where the machine slept or its clock stepped:
/// that time does not count against the peer, whose answers may be waiting.
const ASLEEP: Duration = Duration::from_secs(2);

/// What a received sequence number means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// The one expected: handle it.
    Next,
    /// Seen before: acknowledge again and drop.
    Duplicate,
    /// Something before it is missing: ask for it and drop.
    Gap,
}

/// A frame on its way, kept until it is acknowledged.
#[derive(Debug)]
struct Sent {
    /// The whole datagram. Its ISeqno and R bit are patched when it is sent again.
    datagram: Box<[u8]>,
    first_sent: Instant,
    last_sent: Instant,
    interval: Duration,
    repeated: bool,
    /// The key it leaves with, each time.
    epoch: Epoch,
    /// VNAKs answered with it.
    asked_for: u8,
    /// It has not left yet, and waits for [`unmute`](Reliable::unmute).
    muted: bool,
}

/// The two counters and the frames not yet acknowledged.
#[derive(Debug)]
pub(crate) struct Reliable {
    /// OSeqno of the oldest frame in `window`, or of the next one when it is empty.
    oldest: Seq,
    /// ISeqno: what we expect next.
    expected: Seq,
    window: VecDeque<Sent>,
    backlog: VecDeque<Box<[u8]>>,
    last_vnak: Option<(Seq, Instant)>,
    pub(crate) repetitions: u64,
}

/// The peer answered nothing within the time allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct GaveUp;

/// From the first copy of a frame to its acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sample {
    /// It was sent once: a round trip.
    Clear(Duration),
    /// It was sent again, and it cannot be known which copy is answered: a round trip at most.
    Ambiguous(Duration),
}

impl Reliable {
    pub(crate) fn new() -> Self {
        Self {
            oldest: Seq::ZERO,
            expected: Seq::ZERO,
            window: VecDeque::new(),
            backlog: VecDeque::new(),
            last_vnak: None,
            repetitions: 0,
        }
    }

    /// The number the next frame put on the wire will carry.
    pub(crate) fn next(&self) -> Seq {
        #[expect(clippy::cast_possible_truncation, reason = "the window holds at most 64")]
        Seq(self.oldest.0.wrapping_add(self.window.len() as u8))
    }

    pub(crate) fn expected(&self) -> Seq {
        self.expected
    }

    /// Whether another frame can be taken.
    pub(crate) fn has_room(&self) -> bool {
        self.backlog.len() < BACKLOG
    }

    /// Whether not even a frame that the protocol asks for can be taken. There is some room for these behind
    /// what applications send.
    pub(crate) fn is_full(&self) -> bool {
        self.backlog.len() >= BACKLOG + BACKLOG / 4
    }

    /// Whether the peer has acknowledged the frame that left with this number.
    pub(crate) fn is_acknowledged(&self, number: Seq) -> bool {
        usize::from(number.since(self.oldest)) >= self.window.len()
    }

    /// Whether the oldest frame on its way has been sent more than once.
    pub(crate) fn is_repeating(&self) -> bool {
        self.window.front().is_some_and(|sent| sent.repeated)
    }

    /// Whether everything sent was acknowledged.
    pub(crate) fn is_settled(&self) -> bool {
        self.window.is_empty() && self.backlog.is_empty()
    }

    /// Takes an encoded full frame, and numbers it when it may leave at once.
    ///
    /// `true`: send it now, it is [`newest`](Self::newest). `false`: it waits.
    pub(crate) fn push(
        &mut self,
        now: Instant,
        mut datagram: Box<[u8]>,
        first_interval: Duration,
        epoch: Epoch,
    ) -> bool {
        if self.window.len() >= WINDOW || !self.backlog.is_empty() {
            self.backlog.push_back(datagram);
            return false;
        }
        stamp(&mut datagram, Some(self.next()), self.expected, false);
        self.window.push_back(Sent::new(now, datagram, first_interval, epoch));
        true
    }

    /// The same for a frame that is held back: it does not leave before
    /// [`unmute`](Self::unmute).
    pub(crate) fn push_muted(
        &mut self,
        now: Instant,
        datagram: Box<[u8]>,
        first_interval: Duration,
        epoch: Epoch,
    ) {
        if self.push(now, datagram, first_interval, epoch)
            && let Some(sent) = self.window.back_mut()
        {
            sent.muted = true;
        }
    }

    /// Sends what was held back; the time it waited here does not count.
    pub(crate) fn unmute(&mut self, now: Instant, mut send: impl FnMut(&[u8], Epoch)) {
        let expected = self.expected;
        for sent in &mut self.window {
            if core::mem::take(&mut sent.muted) {
                stamp(&mut sent.datagram, None, expected, false);
                (sent.first_sent, sent.last_sent) = (now, now);
                send(&sent.datagram, sent.epoch);
            }
        }
    }

    /// The frame numbered last.
    pub(crate) fn newest(&self) -> Option<(&[u8], Epoch)> {
        self.window.back().map(|sent| (&*sent.datagram, sent.epoch))
    }

    /// Frames and bytes that are on their way or wait.
    pub(crate) fn size(&self) -> (usize, usize) {
        let sent = self.window.iter().map(|sent| &sent.datagram);
        let bytes = sent.chain(&self.backlog).map(|datagram| datagram.len()).sum();
        (self.window.len() + self.backlog.len(), bytes)
    }

    /// All frames on their way, oldest first.
    pub(crate) fn window(&self) -> impl Iterator<Item = (&[u8], Epoch)> {
        self.window.iter().map(|sent| (&*sent.datagram, sent.epoch))
    }

    /// OSeqno of the oldest frame not acknowledged, and how many there are.
    pub(crate) fn in_flight(&self) -> (Seq, u8) {
        (self.oldest, self.next().since(self.oldest))
    }

    /// Moves the oldest waiting frame into the window when there is room; call until `None`.
    pub(crate) fn advance(
        &mut self,
        now: Instant,
        first_interval: Duration,
        epoch: Epoch,
    ) -> Option<(&[u8], Epoch)> {
        if self.window.len() >= WINDOW {
            return None;
        }
        let mut datagram = self.backlog.pop_front()?;
        stamp(&mut datagram, Some(self.next()), self.expected, false);
        self.window.push_back(Sent::new(now, datagram, first_interval, epoch));
        self.newest()
    }

    /// Takes the peer's ISeqno: all frames below it have arrived. Numbers outside the window are
    /// ignored. Returns what the newest frame acknowledged says of the round trip.
    pub(crate) fn acknowledge(&mut self, now: Instant, iseq: Seq) -> Option<Sample> {
        let count = usize::from(iseq.since(self.oldest));
        if count > self.window.len() {
            return None;
        }
        let mut sample = None;
        for sent in self.window.drain(..count) {
            let kind = if sent.repeated { Sample::Ambiguous } else { Sample::Clear };
            sample = Some(kind(now.since(sent.first_sent)));
        }
        self.oldest = iseq;
        sample
    }

    /// Classifies a received number. The counter moves only by [`accept`](Self::accept).
    pub(crate) fn order(&self, oseq: Seq) -> Order {
        match oseq.since(self.expected) {
            0 => Order::Next,
            1..=127 => Order::Gap,
            128..=255 => Order::Duplicate,
        }
    }

    /// Counts the expected frame as received.
    pub(crate) fn accept(&mut self) {
        self.expected = self.expected.next();
    }

    /// Whether a VNAK is due for the gap before the frame just received: at most one for each
    /// missing number in `pause`, however many frames come behind it.
    pub(crate) fn vnak_due(&mut self, now: Instant, pause: Duration) -> bool {
        if let Some((seq, at)) = self.last_vnak
            && seq == self.expected
            && now.since(at) < pause
        {
            return false;
        }
        self.last_vnak = Some((self.expected, now));
        true
    }

    /// Sends again what a VNAK asks for: at once the first time, and then nothing that left less
    /// than `pause` ago, so that a storm of them costs one copy for each round trip. A
    /// large frame that does not get through by that is left to the schedule: every frame behind it
    /// makes the peer ask for it again.
    pub(crate) fn repeat_from(
        &mut self,
        now: Instant,
        iseq: Seq,
        pause: Duration,
        mut send: impl FnMut(&[u8], Epoch),
    ) {
        // A number outside the window skips all of it.
        let skip = usize::from(iseq.since(self.oldest));
        let expected = self.expected;
        for sent in self.window.iter_mut().skip(skip) {
            let soon = sent.repeated && now.since(sent.last_sent) < pause;
            let hopeless = sent.datagram.len() > LARGE && sent.asked_for >= VNAK_ANSWERS;
            if !soon && !hopeless {
                sent.asked_for = sent.asked_for.saturating_add(1);
                sent.repeat(now, expected);
                self.repetitions += 1;
                send(&sent.datagram, sent.epoch);
            }
        }
    }

    /// Sends again what is due, with growing intervals.
    ///
    /// # Errors
    /// The oldest frame has been unanswered for the whole time allowed.
    pub(crate) fn repeat_due(
        &mut self,
        now: Instant,
        config: &RetransmissionConfig,
        mut send: impl FnMut(&[u8], Epoch),
    ) -> Result<(), GaveUp> {
        let late = self.deadline(config).map_or(Duration::ZERO, |due| now.since(due));
        if late > ASLEEP {
            for sent in &mut self.window {
                sent.first_sent = sent.first_sent + late;
                sent.last_sent = sent.last_sent + late;
            }
        }
        if self.window.front().is_some_and(|sent| sent.first_sent + config.give_up <= now) {
            return Err(GaveUp);
        }
        let expected = self.expected;
        for sent in &mut self.window {
            // The same sum as in `deadline`: an interval may be finer than an `Instant`.
            if sent.last_sent + sent.interval <= now {
                sent.interval = (sent.interval * 2).min(config.greatest);
                sent.repeat(now, expected);
                self.repetitions += 1;
                send(&sent.datagram, sent.epoch);
            }
        }
        Ok(())
    }

    /// When [`repeat_due`](Self::repeat_due) has something to do.
    pub(crate) fn deadline(&self, config: &RetransmissionConfig) -> Option<Instant> {
        let give_up = self.window.front()?.first_sent + config.give_up;
        self.window
            .iter()
            .map(|sent| sent.last_sent + sent.interval)
            .min()
            .map(|at| at.min(give_up))
    }

    /// Forgets everything on its way.
    pub(crate) fn clear(&mut self) {
        // Numbering goes on behind what is forgotten.
        self.oldest = self.next();
        self.window = VecDeque::new();
        self.backlog = VecDeque::new();
    }

    /// Gives back the room that nothing is kept in.
    pub(crate) fn shrink(&mut self) {
        self.window.shrink_to_fit();
        self.backlog.shrink_to_fit();
    }

    /// Starts again at zero with `datagram` as the first frame, as after a CALLTOKEN reply. Returns
    /// the frame as it must be sent.
    pub(crate) fn restart(
        &mut self,
        now: Instant,
        mut datagram: Box<[u8]>,
        first_interval: Duration,
    ) -> &[u8] {
        self.oldest = Seq::ZERO;
        self.expected = Seq::ZERO;
        self.window.clear();
        stamp(&mut datagram, Some(Seq::ZERO), Seq::ZERO, false);
        self.window.push_back(Sent::new(now, datagram, first_interval, Epoch::CLEAR));
        self.newest().map_or(&[], |(datagram, _)| datagram)
    }

    /// Takes the number of the peer's first frame, which is then counted as received.
    pub(crate) fn begin_after(&mut self, oseq: Seq) {
        self.expected = oseq.next();
    }
}

impl Sent {
    fn new(now: Instant, datagram: Box<[u8]>, interval: Duration, epoch: Epoch) -> Self {
        Self {
            datagram,
            first_sent: now,
            last_sent: now,
            interval,
            repeated: false,
            epoch,
            asked_for: 0,
            muted: false,
        }
    }

    fn repeat(&mut self, now: Instant, expected: Seq) {
        stamp(&mut self.datagram, None, expected, true);
        self.last_sent = now;
        self.repeated = true;
    }
}

/// Writes the numbers of an encoded full frame: OSeqno at byte 8 when it gets one, ISeqno at 9, and
/// the R bit at the top of byte 2 (RFC 5456 §8.1.1).
fn stamp(datagram: &mut [u8], oseq: Option<Seq>, iseq: Seq, retransmission: bool) {
    if let Some([_, _, two, _, _, _, _, _, eight, nine]) = datagram.first_chunk_mut::<10>() {
        if let Some(seq) = oseq {
            *eight = seq.0;
        }
        *nine = iseq.0;
        if retransmission {
            *two |= 0x80;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const FIRST: Duration = Duration::from_millis(100);

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    fn frame() -> Box<[u8]> {
        alloc::vec![0; 12].into_boxed_slice()
    }

    #[test]
    fn a_lost_frame_is_repeated_with_doubling_intervals_until_given_up() {
        let config = RetransmissionConfig::default();
        let mut reliable = Reliable::new();
        assert!(reliable.push(at(0), frame(), Duration::from_secs(1), Epoch::CLEAR));
        let mut sent = Vec::new();
        let end = loop {
            let now = reliable.deadline(&config).unwrap();
            let result = reliable.repeat_due(now, &config, |datagram, _| {
                assert_eq!(datagram[2] & 0x80, 0x80, "R bit");
                sent.push(now.as_micros() / 1_000_000);
            });
            if result.is_err() {
                break now;
            }
        };
        assert_eq!(sent, [1, 3, 7, 15, 25]);
        assert_eq!(reliable.repetitions, 5);
        assert_eq!(end.as_micros(), 32_000_000);
    }

    #[test]
    fn what_is_due_at_the_deadline_is_done_there_even_for_intervals_of_nanoseconds() {
        let config = RetransmissionConfig::default();
        let mut reliable = Reliable::new();
        reliable.push(at(0), frame(), Duration::from_nanos(123_456_789), Epoch::CLEAR);
        let due = reliable.deadline(&config).unwrap();
        reliable.repeat_due(due, &config, |_, _| ()).unwrap();
        assert!(reliable.deadline(&config).unwrap() > due);
    }

    #[test]
    fn time_in_which_nobody_ran_us_does_not_count_against_the_peer() {
        let config = RetransmissionConfig::default();
        let mut reliable = Reliable::new();
        reliable.push(at(0), frame(), Duration::from_secs(1), Epoch::CLEAR);
        let mut sent = 0;
        reliable.repeat_due(at(3_600_000), &config, |_, _| sent += 1).unwrap();
        assert_eq!(sent, 1);
        let mut now = at(3_600_000);
        while reliable.repeat_due(now, &config, |_, _| sent += 1).is_ok() {
            now = reliable.deadline(&config).unwrap();
        }
        assert_eq!((sent, now), (5, at(3_631_000)), "as if the hour had not been");
    }

    #[test]
    fn the_frame_that_is_due_first_decides_when_to_wake() {
        let config = RetransmissionConfig::default();
        let mut reliable = Reliable::new();
        for ms in [300, 100, 200] {
            reliable.push(at(0), frame(), Duration::from_millis(ms), Epoch::CLEAR);
        }
        assert_eq!(reliable.deadline(&config), Some(at(100)));
        // The oldest is given up before anything is due again.
        let config = RetransmissionConfig { give_up: Duration::from_millis(50), ..config };
        assert_eq!(reliable.deadline(&config), Some(at(50)));
    }

    #[test]
    fn numbering_goes_on_behind_what_is_forgotten_and_nothing_waits_any_more() {
        let mut reliable = Reliable::new();
        reliable.push(at(0), frame(), FIRST, Epoch::CLEAR);
        reliable.acknowledge(at(1), Seq(1));
        for _ in 0..WINDOW + 3 {
            reliable.push(at(1), frame(), FIRST, Epoch::CLEAR);
        }
        reliable.clear();
        assert!(reliable.is_settled());
        for number in [65, 66] {
            assert!(reliable.push(at(2), frame(), FIRST, Epoch::CLEAR), "there is room");
            assert_eq!(reliable.newest().map(|(sent, _)| sent[8]), Some(number));
        }
    }

    #[test]
    fn a_frame_that_opens_again_has_number_zero_whatever_went_before() {
        let mut reliable = Reliable::new();
        reliable.push(at(0), frame(), FIRST, Epoch::CLEAR);
        reliable.accept();
        reliable.acknowledge(at(1), Seq(1));
        assert_eq!(reliable.restart(at(2), frame(), FIRST)[8..10], [0, 0]);
        assert_eq!((reliable.in_flight(), reliable.expected()), ((Seq::ZERO, 1), Seq::ZERO));
        reliable.push(at(3), frame(), FIRST, Epoch::CLEAR);
        assert_eq!(reliable.newest().map(|(sent, _)| sent[8]), Some(1));
    }

    #[test]
    fn a_repeated_frame_carries_the_newest_acknowledgement() {
        let config = RetransmissionConfig::default();
        let mut reliable = Reliable::new();
        reliable.push(at(0), frame(), FIRST, Epoch::CLEAR);
        reliable.accept();
        let mut iseq = None;
        reliable.repeat_due(at(100), &config, |datagram, _| iseq = Some(datagram[9])).unwrap();
        assert_eq!(iseq, Some(1));
    }

    #[test]
    fn a_vnak_storm_costs_one_copy_for_each_pause() {
        let mut reliable = Reliable::new();
        for _ in 0..3 {
            reliable.push(at(0), frame(), FIRST, Epoch::CLEAR);
        }
        let mut copies = 0;
        for ms in 0..=1_000 {
            reliable.repeat_from(at(ms), Seq(1), FIRST, |_, _| copies += 1);
        }
        assert_eq!((copies, reliable.repetitions), (2 * 11, 2 * 11));
        reliable.repeat_from(at(2_000), Seq(4), FIRST, |_, _| panic!("outside the window"));
    }

    #[test]
    fn a_large_frame_is_repeated_for_four_vnaks_and_then_by_the_schedule_only() {
        let config = RetransmissionConfig::default();
        for (len, answers) in [(LARGE, 20), (LARGE + 1, 4)] {
            let mut reliable = Reliable::new();
            let datagram = alloc::vec![0; len].into_boxed_slice();
            reliable.push(at(0), datagram, FIRST, Epoch::CLEAR);
            let mut copies = 0;
            for n in 0..20 {
                reliable.repeat_from(at(n * 100), Seq::ZERO, FIRST, |_, _| copies += 1);
            }
            assert_eq!(copies, answers, "{len} bytes");
            reliable.repeat_due(at(3_000), &config, |_, _| copies += 1).unwrap();
            assert_eq!(copies, answers + 1, "{len} bytes");
        }
    }

    #[test]
    fn a_missing_frame_is_asked_for_once_in_a_pause_and_the_next_at_once() {
        let mut reliable = Reliable::new();
        let due = [0, 50, 99, 100, 150].map(|ms| reliable.vnak_due(at(ms), FIRST));
        assert_eq!(due, [true, false, false, true, false]);
        reliable.accept();
        assert!(reliable.vnak_due(at(151), FIRST));
    }

    #[test]
    fn sixty_four_frames_are_on_their_way_and_512_wait() {
        let mut reliable = Reliable::new();
        let mut taken = 0;
        while reliable.has_room() {
            reliable.push(at(0), frame(), FIRST, Epoch::CLEAR);
            taken += 1;
        }
        assert_eq!((taken, reliable.in_flight()), (WINDOW + BACKLOG, (Seq::ZERO, 64)));
        assert_eq!(reliable.size(), (taken, taken * frame().len()));
        assert!(reliable.advance(at(1), FIRST, Epoch::CLEAR).is_none());
        reliable.acknowledge(at(2), Seq(3));
        let more = core::iter::from_fn(|| {
            reliable.advance(at(2), FIRST, Epoch::CLEAR).map(|(sent, _)| sent[8])
        });
        assert_eq!(more.collect::<Vec<_>>(), [64, 65, 66]);
    }

    #[test]
    fn numbers_outside_the_window_acknowledge_nothing() {
        let mut reliable = Reliable::new();
        reliable.push(at(0), frame(), FIRST, Epoch::CLEAR);
        for wrong in 2..=255 {
            assert_eq!(reliable.acknowledge(at(1), Seq(wrong)), None);
            assert!(!reliable.is_settled());
        }
        let sample = Sample::Clear(Duration::from_millis(7));
        assert_eq!(reliable.acknowledge(at(7), Seq(1)), Some(sample));
        assert!(reliable.is_settled());
    }

    proptest! {
        /// Against a model whose numbers never wrap: whatever is lost, repeated or reordered within
        /// the window, each frame is delivered once and in order.
        #[test]
        fn delivery_is_complete_and_in_order(
            choices in proptest::collection::vec((0_u8..100, 0_u8..100), 2_000),
        ) {
            let config = RetransmissionConfig::default();
            let (mut sender, mut receiver) = (Reliable::new(), Reliable::new());
            let mut wire: VecDeque<Box<[u8]>> = VecDeque::new();
            let (mut made, mut got, mut now) = (0_u32, 0_u32, 0);
            let mut choices = choices.into_iter();
            while got < 600 && now < 2_000_000 {
                let (fate, order) = choices.next().unwrap_or((50, 50));
                now += 5;
                if made < 600 && sender.has_room() {
                    let mut datagram = alloc::vec![0; 16].into_boxed_slice();
                    datagram[12..].copy_from_slice(&made.to_be_bytes());
                    made += 1;
                    if sender.push(at(now), datagram, FIRST, Epoch::CLEAR) {
                        wire.extend(sender.newest().map(|(datagram, _)| Box::from(datagram)));
                    }
                }
                while let Some((datagram, _)) = sender.advance(at(now), FIRST, Epoch::CLEAR) {
                    wire.push_back(datagram.into());
                }
                // Losing nearly everything for 32 s would rightly end the exchange.
                let _ = sender.repeat_due(at(now), &config, |datagram, _| wire.push_back(datagram.into()));
                let picked = if order < 20 { wire.pop_back() } else { wire.pop_front() };
                if let Some(datagram) = picked {
                    if fate < 20 {
                        continue;
                    }
                    if fate < 30 {
                        wire.push_back(datagram.clone());
                    }
                    if receiver.order(Seq(datagram[8])) == Order::Next {
                        receiver.accept();
                        let number = u32::from_be_bytes(datagram[12..].try_into().unwrap());
                        prop_assert_eq!(number, got);
                        got += 1;
                    }
                    if fate < 80 {
                        sender.acknowledge(at(now), receiver.expected());
                    }
                }
            }
            prop_assert_eq!(got, 600);
        }
    }
}
