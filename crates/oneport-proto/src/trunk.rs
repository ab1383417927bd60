//! Sending voice of many calls to one peer in trunk frames (RFC 5456 §8.1.3.2).
//!
//! Voice that would leave as mini frames waits until its trunk is due, or until another entry would
//! not fit. A trunk frame that has filled fast waits for the next ones, since the kernel takes many
//! datagrams to one peer for little more than the price of one. What waits is always of calls that
//! live: a receiver that does not know an entry's call may misread the rest of the frame, as
//! Asterisk does.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::net::SocketAddr;
use core::num::NonZeroU32;
use core::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use oneport_wire::{CallNumber, MiniTimestamp, Timestamp, TrunkWriter};
use rand_chacha::ChaCha12Rng;
use rand_core::Rng;

use crate::clock::Instant;
use crate::drop_reason::{Counters, DropReason};
use crate::path::Path;
use crate::transmit::Outbox;

/// A trunk silent for so long starts its clock anew, as Asterisk's do.
const SILENCE: Duration = Duration::from_secs(5);
/// As many bytes of full trunk frames wait at most: what the kernel sends by one call (65,507).
const BUNDLE: usize = 60_000;

/// How voice to one peer is bundled.
///
/// Two calls to one peer share their datagrams:
///
/// ```
/// use std::time::Duration;
///
/// use oneport_proto::TrunkConfig;
/// use oneport_wire::Format;
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (mut here, mut there) = two_ends(now);
/// here.set_trunk(THERE, Some(TrunkConfig::default()));
/// # let calls = [0, 1].map(|_| call_up(now, &mut here, &mut there));
/// let frame = [0xFF; 160];
/// for (ours, _) in calls {
///     // The first is a full frame, which goes by itself.
///     here.send_voice(now, ours, Format::ULAW, &frame, 20)?;
/// }
/// exchange(now, &mut here, &mut there);
/// for (ours, _) in calls {
///     here.send_voice(now, ours, Format::ULAW, &frame, 20)?;
/// }
/// let now = now + Duration::from_millis(20);
/// here.handle_timeout(now);
/// exchange(now, &mut here, &mut there);
/// assert_eq!(here.counters().trunk_frames_sent, 1);
/// assert_eq!(here.counters().trunk_entries_sent, 2);
/// # Ok::<(), oneport_proto::CommandError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TrunkConfig {
    /// Whether each entry carries the time of its call (Asterisk: `trunktimestamps`). Without it the
    /// far side knows the time of each frame only as well as that of the whole trunk.
    pub timestamps: bool,
    /// Greatest datagram, in bytes, IP and UDP headers not counted. 1,400 passes most tunnels and
    /// holds eight calls of G.711.
    pub max_datagram: usize,
    /// How long voice waits for company at most; 20 ms.
    pub interval: Duration,
    /// How long a full trunk frame waits for others, so that all of them leave by one system call; 5 ms.
    /// One that took longer to fill does not wait.
    pub gather: Duration,
}

impl Default for TrunkConfig {
    fn default() -> Self {
        let (interval, gather) = (Duration::from_millis(20), Duration::from_millis(5));
        Self { timestamps: true, max_datagram: 1_400, interval, gather }
    }
}

/// What a trunk has carried, or could not.
///
/// ```
/// use std::time::Duration;
///
/// use oneport_proto::TrunkConfig;
/// use oneport_wire::Format;
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let mut now = oneport_proto::Instant::from_micros(0);
/// # let (mut here, mut there) = two_ends(now);
/// here.set_trunk(THERE, Some(TrunkConfig::default()));
/// # let (ours, _) = call_up(now, &mut here, &mut there);
/// for _ in 0..11 {
///     here.send_voice(now, ours, Format::ULAW, &[0xFF; 160], 20)?;
///     exchange(now, &mut here, &mut there);
///     now = now + Duration::from_millis(20);
///     here.handle_timeout(now);
/// }
/// // The first was a full frame. The others were alone in their trunk frames, and waited in vain.
/// let trunk = here.call_stats(ours).and_then(|stats| stats.trunk).ok_or("it has a trunk")?;
/// assert_eq!((trunk.frames, trunk.datagrams), (10, 10));
/// assert_eq!(trunk.held, Duration::from_millis(200));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TrunkUse {
    /// Frames of voice that left in its trunk frames.
    pub frames: u64,
    /// Frames of voice that were dropped because there was no room to send a trunk frame.
    pub dropped: u64,
    /// Trunk frames that left.
    pub datagrams: u64,
    /// How long the first entries of all of those waited for company, together.
    pub held: Duration,
}

impl TrunkUse {
    /// What has come since `earlier`.
    pub(crate) const fn since(&self, earlier: &Self) -> Self {
        Self {
            frames: self.frames.saturating_sub(earlier.frames),
            dropped: self.dropped.saturating_sub(earlier.dropped),
            datagrams: self.datagrams.saturating_sub(earlier.datagrams),
            held: self.held.saturating_sub(earlier.held),
        }
    }
}

/// A trunk as its calls know it. Once that is switched off it stands for nothing, whatever its place
/// is used for then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TrunkPlace {
    index: u32,
    /// Never 0, so that none takes no room of its own.
    generation: NonZeroU32,
}

/// A trunk frame that waits.
#[derive(Debug)]
struct Waiting {
    writer: TrunkWriter,
    /// When its first entry came.
    begun: Option<Instant>,
    /// The time of the trunk when it was full.
    stamp: Timestamp,
    /// Frames of voice in it.
    entries: u64,
}

/// One direction of voice to one peer.
#[derive(Debug)]
struct Trunk {
    config: TrunkConfig,
    /// The frame that fills.
    filling: Waiting,
    /// Those that are full, and when they leave.
    full: Vec<Waiting>,
    full_due: Option<Instant>,
    /// Empty ones, so that none is made for each frame.
    spare: Vec<Waiting>,
    path: Path,
    /// Where its clock began, and when it was last used.
    clock: Option<(Instant, Instant)>,
    used: TrunkUse,
}

/// Where a trunk is kept, one after another.
#[derive(Debug)]
struct Place {
    generation: NonZeroU32,
    trunk: Option<Trunk>,
    /// Its earliest entry among the pending.
    noted: Option<Instant>,
}

/// All trunks of an endpoint.
#[derive(Debug)]
pub(crate) struct Trunks {
    places: Vec<Place>,
    free: Vec<u32>,
    by_address: HashMap<SocketAddr, TrunkPlace, FixedState>,
    /// When to look at which place, with lazy deletion as in [`timer`](crate::timer): one that was
    /// emptied meanwhile finds nothing to do.
    pending: BinaryHeap<Reverse<(Instant, u32)>>,
}

impl Trunks {
    pub(crate) fn new(rng: &mut ChaCha12Rng) -> Self {
        let by_address = HashMap::with_hasher(FixedState::with_seed(rng.next_u64()));
        Self { places: Vec::new(), free: Vec::new(), by_address, pending: BinaryHeap::new() }
    }

    /// Switches the trunk to a peer on or off. Its calls keep it when its settings change, and leave it
    /// for good when it is switched off. What waits then is dropped.
    pub(crate) fn set(
        &mut self,
        counters: &mut Counters,
        remote: SocketAddr,
        config: Option<TrunkConfig>,
    ) {
        let known = self.find(remote);
        let Some(config) = config else {
            let Some(TrunkPlace { index, .. }) = known else { return };
            self.by_address.remove(&remote);
            let Some(place) = self.places.get_mut(index as usize) else { return };
            place.generation = place.generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
            if let Some(mut trunk) = place.trunk.take() {
                trunk.discard(counters);
            }
            self.free.push(index);
            return;
        };
        if let Some(trunk) = known.and_then(|place| self.get_mut(place)) {
            if trunk.config != config {
                trunk.config = config;
                trunk.discard(counters);
            }
            return;
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { generation: NonZeroU32::MIN, trunk: None, noted: None });
            #[expect(clippy::cast_possible_truncation, reason = "one for each peer at once")]
            let last = (self.places.len() - 1) as u32;
            last
        });
        let Some(place) = self.places.get_mut(index as usize) else { return };
        place.trunk = Some(Trunk {
            config,
            filling: config.frame(),
            full: Vec::new(),
            full_due: None,
            spare: Vec::new(),
            path: Path::from(remote),
            clock: None,
            used: TrunkUse::default(),
        });
        self.by_address.insert(remote, TrunkPlace { index, generation: place.generation });
    }

    /// The trunk to a peer, if that is switched on.
    pub(crate) fn find(&self, remote: SocketAddr) -> Option<TrunkPlace> {
        self.by_address.get(&remote).copied()
    }

    /// What a trunk has carried; `None` once it is switched off.
    pub(crate) fn in_use(&self, TrunkPlace { index, generation }: TrunkPlace) -> Option<TrunkUse> {
        let place = self.places.get(index as usize)?;
        place.trunk.as_ref().filter(|_| place.generation == generation).map(|trunk| trunk.used)
    }

    fn get_mut(&mut self, place: TrunkPlace) -> Option<&mut Trunk> {
        let TrunkPlace { index, generation } = place;
        let place = self.places.get_mut(index as usize)?;
        place.trunk.as_mut().filter(|_| place.generation == generation)
    }

    /// Puts a frame of voice on a trunk; `false`: it must go by itself.
    pub(crate) fn push(
        &mut self,
        outbox: &mut Outbox,
        counters: &mut Counters,
        now: Instant,
        place: TrunkPlace,
        path: &Path,
        entry: (CallNumber, MiniTimestamp, &[u8]),
    ) -> bool {
        let Some(trunk) = self.get_mut(place) else { return false };
        let (source, stamp, payload) = entry;
        // A time of 0 says "none" in a trunk.
        if stamp == MiniTimestamp(0) {
            return false;
        }
        if trunk.add(source, stamp, payload) {
            if trunk.filling.begun.is_some() {
                // When it leaves is known since its first entry.
                return true;
            }
        } else {
            trunk.fill(outbox, counters, now);
            if !trunk.add(source, stamp, payload) {
                trunk.send_full(outbox, counters, now);
                return false;
            }
        }
        if trunk.filling.begun.is_none() {
            trunk.filling.begun = Some(now);
            // Any way of ours that leads to the peer will do, and those of the others are memory of theirs.
            trunk.path = *path;
        }
        if let Some(due) = trunk.due() {
            self.note(place.index, due);
        }
        true
    }

    /// Notes when to look at a place, unless that is done earlier.
    fn note(&mut self, index: u32, due: Instant) {
        if let Some(place) = self.places.get_mut(index as usize)
            && place.noted.is_none_or(|noted| noted > due)
        {
            place.noted = Some(due);
            self.pending.push(Reverse((due, index)));
        }
    }

    /// Sends what waits on a trunk, so that what follows comes behind it.
    pub(crate) fn flush(
        &mut self,
        outbox: &mut Outbox,
        counters: &mut Counters,
        now: Instant,
        place: TrunkPlace,
    ) {
        if let Some(trunk) = self.get_mut(place) {
            trunk.send_all(outbox, counters, now);
        }
    }

    /// Takes back what waits of a call that has ended.
    pub(crate) fn withdraw(
        &mut self,
        counters: &mut Counters,
        place: TrunkPlace,
        source: CallNumber,
    ) {
        if let Some(trunk) = self.get_mut(place) {
            counters.drop_many(DropReason::CallEnded, trunk.remove(source));
        }
    }

    /// Sends the trunks that are due, and looks at no others.
    pub(crate) fn send_due(&mut self, outbox: &mut Outbox, counters: &mut Counters, now: Instant) {
        while let Some(Reverse((at, index))) = self.pending.peek().copied()
            && at <= now
        {
            self.pending.pop();
            let Some(place) = self.places.get_mut(index as usize) else { continue };
            if place.noted != Some(at) {
                continue;
            }
            place.noted = None;
            let Some(trunk) = &mut place.trunk else { continue };
            trunk.send_due(outbox, counters, now);
            if let Some(due) = trunk.due() {
                self.note(index, due);
            }
        }
    }

    /// When [`send_due`](Self::send_due) is wanted next.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.pending.peek().map(|Reverse((at, _))| *at)
    }
}

impl TrunkConfig {
    fn frame(self) -> Waiting {
        let writer = TrunkWriter::new(self.timestamps, self.max_datagram);
        Waiting { writer, begun: None, stamp: Timestamp(0), entries: 0 }
    }
}

impl Trunk {
    /// Puts an entry into the frame that fills; `false`: it has no room.
    fn add(&mut self, source: CallNumber, stamp: MiniTimestamp, payload: &[u8]) -> bool {
        let added = self.filling.writer.push(source, stamp, payload);
        self.filling.entries += u64::from(added);
        added
    }

    /// When something of it leaves.
    fn due(&self) -> Option<Instant> {
        let filling = self.filling.begun.map(|begun| begun + self.config.interval);
        [self.full_due, filling].into_iter().flatten().min()
    }

    /// The frame that fills is full. It leaves, unless others may soon leave with it.
    fn fill(&mut self, outbox: &mut Outbox, counters: &mut Counters, now: Instant) {
        let Some(begun) = self.filling.begun else { return };
        self.close(now);
        let took = now.since(begun);
        if took >= self.config.gather || self.full.len() * self.config.max_datagram >= BUNDLE {
            self.send_full(outbox, counters, now);
        } else {
            self.full_due.get_or_insert(begun + self.config.gather);
        }
    }

    /// Lets the next frame fill.
    fn close(&mut self, now: Instant) {
        let epoch = match self.clock {
            Some((epoch, used)) if now.since(used) < SILENCE => epoch,
            _ => now,
        };
        self.clock = Some((epoch, now));
        self.filling.stamp = Timestamp(now.millis_since(epoch));
        let next = self.spare.pop().unwrap_or_else(|| self.config.frame());
        self.full.push(core::mem::replace(&mut self.filling, next));
    }

    fn send_due(&mut self, outbox: &mut Outbox, counters: &mut Counters, now: Instant) {
        if self.filling.begun.is_some_and(|begun| begun + self.config.interval <= now) {
            self.send_all(outbox, counters, now);
        } else if self.full_due.is_some_and(|due| due <= now) {
            self.send_full(outbox, counters, now);
        }
    }

    /// Sends all that waits.
    fn send_all(&mut self, outbox: &mut Outbox, counters: &mut Counters, now: Instant) {
        if self.filling.begun.is_some() {
            self.close(now);
        }
        self.send_full(outbox, counters, now);
    }

    /// Sends what is full.
    fn send_full(&mut self, outbox: &mut Outbox, counters: &mut Counters, now: Instant) {
        let Self { full, spare, path, used, .. } = self;
        for mut frame in full.drain(..) {
            let begun = frame.begun.take();
            let entries = core::mem::take(&mut frame.entries);
            if entries > 0 {
                if outbox.push_media(path, frame.writer.finish(frame.stamp), &[]) {
                    counters.trunk_frames_sent += 1;
                    counters.trunk_entries_sent += entries;
                    used.datagrams += 1;
                    used.frames += entries;
                    let held = begun.map_or(Duration::ZERO, |begun| now.since(begun));
                    used.held = used.held.saturating_add(held);
                } else {
                    let subject = (Some(*path), None);
                    counters.drop_of(DropReason::TransmitBufferFull, entries, subject);
                    used.dropped += entries;
                }
            }
            frame.writer.clear();
            spare.push(frame);
        }
        self.full_due = None;
    }

    /// Takes back what waits of a call, and says how many frames of voice that was.
    fn remove(&mut self, source: CallNumber) -> u64 {
        let removed = self.full.iter_mut().chain([&mut self.filling]).map(|frame| {
            let removed = frame.writer.remove(source);
            frame.entries = frame.entries.saturating_sub(removed);
            removed
        });
        removed.sum()
    }

    /// Drops what waits.
    fn discard(&mut self, counters: &mut Counters) {
        let waiting = self.full.iter().chain([&self.filling]).map(|frame| frame.entries).sum();
        self.full.clear();
        self.spare.clear();
        (self.filling, self.full_due) = (self.config.frame(), None);
        counters.drop_of(DropReason::CallEnded, waiting, (Some(self.path), None));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transmit::TransmitBuffer;
    use alloc::collections::BTreeMap;
    use oneport_wire::Datagram;
    use proptest::collection;
    use proptest::prelude::*;
    use rand_core::SeedableRng;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    fn number(n: u16) -> CallNumber {
        CallNumber::from_bits(n)
    }

    struct Bench {
        trunks: Trunks,
        outbox: Outbox,
        counters: Counters,
        path: Path,
        place: TrunkPlace,
    }

    impl Bench {
        fn new(config: TrunkConfig) -> Self {
            let mut trunks = Trunks::new(&mut ChaCha12Rng::from_seed([1; 32]));
            let path = Path::from(SocketAddr::from(([192, 0, 2, 1], 4569)));
            let (outbox, mut counters) = (Outbox::new(1 << 20), Counters::default());
            trunks.set(&mut counters, path.remote, Some(config));
            let place = trunks.find(path.remote).unwrap();
            Self { trunks, outbox, counters, path, place }
        }

        fn push(&mut self, ms: u64, source: u16, payload: &[u8]) -> bool {
            let entry = (number(source), MiniTimestamp(20), payload);
            let (outbox, counters) = (&mut self.outbox, &mut self.counters);
            self.trunks.push(outbox, counters, at(ms), self.place, &self.path, entry)
        }

        /// The trunk clock and call numbers of each frame sent up to `ms`.
        fn sent(&mut self, ms: u64) -> Vec<(u32, Vec<u16>)> {
            self.trunks.send_due(&mut self.outbox, &mut self.counters, at(ms));
            let mut buffer = TransmitBuffer::with_capacity(2_000, 1);
            let mut frames = Vec::new();
            while self.outbox.take(&mut buffer).is_some() {
                let Ok(Datagram::Trunk(frame)) = Datagram::decode(buffer.as_bytes()) else {
                    panic!("no trunk frame")
                };
                let calls = frame.entries().map(|entry| entry.source.get()).collect();
                frames.push((frame.timestamp.0, calls));
            }
            frames
        }
    }

    #[test]
    fn voice_waits_for_company_but_not_longer_than_its_interval() {
        let mut bench = Bench::new(TrunkConfig::default());
        assert!(bench.push(100, 2, &[0; 160]) && bench.push(110, 3, &[0; 160]));
        assert_eq!(bench.trunks.next(), Some(at(120)));
        assert_eq!(bench.sent(119), []);
        assert_eq!(bench.sent(120), [(0, alloc::vec![2, 3])]);
        assert_eq!(bench.trunks.next(), None);
        assert!(bench.push(125, 2, &[0; 160]));
        assert_eq!(bench.sent(145), [(25, alloc::vec![2])]);
        assert!(bench.push(9_000, 2, &[0; 160]));
        assert_eq!(bench.sent(9_020), [(0, alloc::vec![2])], "silent too long: a new clock");
    }

    #[test]
    fn eight_calls_of_g711_fill_a_datagram_and_the_ninth_begins_the_next() {
        let mut bench = Bench::new(TrunkConfig::default());
        for call in 2..11 {
            assert!(bench.push(0, call, &[0; 160]));
        }
        assert_eq!(bench.sent(5), [(0, alloc::vec![2, 3, 4, 5, 6, 7, 8, 9])]);
        assert_eq!(bench.sent(20), [(20, alloc::vec![10])]);
    }

    #[test]
    fn trunk_frames_that_fill_fast_leave_together_and_slow_ones_do_not_wait() {
        let mut bench = Bench::new(TrunkConfig::default());
        let path = bench.path;
        for call in 2..28 {
            assert!(bench.push(u64::from(call) / 10, call, &[0; 160]));
        }
        assert_eq!(bench.trunks.next(), Some(at(5)), "5 ms behind the first of all");
        assert_eq!(bench.sent(4), []);
        bench.trunks.send_due(&mut bench.outbox, &mut bench.counters, at(5));
        let mut buffer = TransmitBuffer::with_capacity(65_000, 64);
        let transmit = bench.outbox.take(&mut buffer).unwrap();
        assert_eq!((transmit.path, transmit.len), (path, 3 * 1_336), "three frames by one call");
        assert!(bench.outbox.is_empty());
        assert_eq!(bench.sent(22), [(21, alloc::vec![26, 27])], "the fourth was not full");
        for call in 2..11 {
            assert!(bench.push(30 + u64::from(call), call, &[0; 160]));
        }
        assert_eq!(bench.sent(40).len(), 1, "it took 8 ms to fill");
        let now = TrunkConfig { gather: Duration::ZERO, ..TrunkConfig::default() };
        bench.trunks.set(&mut bench.counters, path.remote, Some(now));
        (0..9).for_each(|call| assert!(bench.push(50, 2 + call, &[0; 160])));
        assert_eq!(bench.sent(50).len(), 1, "nothing is gathered");
    }

    #[test]
    fn what_one_system_call_can_send_does_not_wait_for_more() {
        let mut bench = Bench::new(TrunkConfig::default());
        for call in 0..360 {
            assert!(bench.push(0, 2 + call, &[0; 160]));
        }
        assert_eq!(bench.sent(0).len(), 43);
        bench.trunks.withdraw(&mut bench.counters, bench.place, number(350));
        let left: usize = bench.sent(20).iter().map(|(_, calls)| calls.len()).sum();
        assert_eq!(left, 360 - 43 * 8 - 1);
    }

    #[test]
    fn a_call_that_ended_is_taken_out_of_full_trunk_frames_as_well() {
        let mut bench = Bench::new(TrunkConfig::default());
        (2..20).for_each(|call| assert!(bench.push(0, call, &[0; 160])));
        for ended in [3, 12, 19] {
            bench.trunks.withdraw(&mut bench.counters, bench.place, number(ended));
        }
        assert_eq!(bench.counters.dropped(DropReason::CallEnded), 3);
        let calls: Vec<u16> = bench.sent(20).into_iter().flat_map(|(_, calls)| calls).collect();
        let expected: Vec<u16> = (2..20).filter(|call| ![3, 12, 19].contains(call)).collect();
        assert_eq!(calls, expected);
    }

    #[test]
    fn a_call_that_ended_leaves_no_entry_behind() {
        for timestamps in [false, true] {
            let mut bench = Bench::new(TrunkConfig { timestamps, ..TrunkConfig::default() });
            for call in [2, 3, 2, 4, 3] {
                assert!(bench.push(0, call, &[u8::try_from(call).unwrap(); 33]));
            }
            bench.trunks.withdraw(&mut bench.counters, bench.place, number(3));
            assert_eq!(bench.sent(20), [(0, alloc::vec![2, 2, 4])]);
            assert!(bench.push(30, 3, &[0; 33]));
            bench.trunks.withdraw(&mut bench.counters, bench.place, number(3));
            assert_eq!(bench.sent(60), [], "an empty frame says nothing");
        }
    }

    #[test]
    fn what_never_fits_goes_by_itself() {
        let mut bench = Bench::new(TrunkConfig { max_datagram: 200, ..TrunkConfig::default() });
        assert!(bench.push(0, 2, &[0; 160]));
        assert!(!bench.push(0, 3, &[0; 320]));
        let path = bench.path.remote;
        bench.trunks.set(&mut bench.counters, path, None);
        assert_eq!(bench.counters.dropped(DropReason::CallEnded), 0, "nothing waited");
        assert!(!bench.push(0, 2, &[0; 160]), "switched off");
    }

    #[test]
    fn each_trunk_leaves_when_it_is_due_and_the_earliest_decides_when_to_wake() {
        let mut bench = Bench::new(TrunkConfig::default());
        let slow = TrunkConfig { interval: Duration::from_millis(100), ..TrunkConfig::default() };
        let other = Path::from(SocketAddr::from(([192, 0, 2, 2], 4569)));
        bench.trunks.set(&mut bench.counters, other.remote, Some(slow));
        let place = bench.trunks.find(other.remote).unwrap();
        let entry = (number(9), MiniTimestamp(20), &[0; 160][..]);
        let (outbox, counters) = (&mut bench.outbox, &mut bench.counters);
        assert!(bench.trunks.push(outbox, counters, at(0), place, &other, entry));
        assert!(bench.push(30, 2, &[0; 160]));
        assert_eq!(bench.trunks.next(), Some(at(50)));
        assert_eq!(bench.sent(50), [(0, alloc::vec![2])]);
        assert!(bench.push(60, 2, &[0; 160]));
        assert_eq!(bench.trunks.next(), Some(at(80)));
        assert_eq!(bench.sent(79), []);
        assert_eq!(bench.sent(80), [(30, alloc::vec![2])]);
        assert_eq!(bench.trunks.next(), Some(at(100)));
        assert_eq!(bench.sent(100), [(0, alloc::vec![9])]);
        assert_eq!(bench.counters.trunk_frames_sent, 3);
        assert_eq!(bench.counters.trunk_entries_sent, 3);
    }

    #[test]
    fn what_waits_is_dropped_and_counted_when_its_trunk_changes() {
        let settings = TrunkConfig::default();
        let small = TrunkConfig { max_datagram: 200, ..settings };
        for (config, kept) in [(Some(settings), true), (Some(small), false), (None, false)] {
            let mut bench = Bench::new(settings);
            assert!(bench.push(0, 2, &[0; 100]) && bench.push(0, 3, &[0; 100]));
            let remote = bench.path.remote;
            bench.trunks.set(&mut bench.counters, remote, config);
            let dropped = bench.counters.dropped(DropReason::CallEnded);
            assert_eq!((dropped == 0, dropped == 2), (kept, !kept), "{config:?}");
            assert_eq!(bench.sent(20).len(), usize::from(kept), "{config:?}");
            assert_eq!(bench.trunks.next(), None);
            let Some(config) = config else { continue };
            assert!(bench.push(40, 2, &[0; 100]) && bench.push(40, 3, &[0; 100]));
            let frames = if config == small { 2 } else { 1 };
            assert_eq!(bench.sent(60).len(), frames, "{config:?}");
        }
    }

    #[test]
    fn a_trunk_for_which_there_is_no_room_counts_each_frame_of_voice_that_waited() {
        let mut bench = Bench::new(TrunkConfig::default());
        bench.outbox = Outbox::new(0);
        for call in [2, 3, 4, 3] {
            assert!(bench.push(0, call, &[0; 100]));
        }
        bench.trunks.withdraw(&mut bench.counters, bench.place, number(3));
        assert_eq!(bench.counters.dropped(DropReason::CallEnded), 2);
        assert_eq!(bench.sent(20), []);
        assert_eq!(bench.counters.dropped(DropReason::TransmitBufferFull), 2);
        assert_eq!(bench.counters.trunk_frames_sent, 0);
        assert_eq!(bench.counters.trunk_entries_sent, 0);
    }

    #[test]
    fn voice_at_a_time_of_zero_goes_by_itself_and_a_trunk_follows_the_path_of_its_calls() {
        let mut bench = Bench::new(TrunkConfig::default());
        let zero = (number(2), MiniTimestamp(0), &[0; 100][..]);
        let (outbox, counters) = (&mut bench.outbox, &mut bench.counters);
        assert!(!bench.trunks.push(outbox, counters, at(0), bench.place, &bench.path, zero));
        // That of the first entry of a frame.
        for (ms, first, second) in [(0, 7, 8), (40, 9, 7)] {
            for (call, last) in [(2, first), (3, second)] {
                bench.path.local = Some([198, 51, 100, last].into());
                assert!(bench.push(ms, call, &[0; 100]));
            }
            bench.trunks.send_due(&mut bench.outbox, &mut bench.counters, at(ms + 20));
            let transmit = bench.outbox.take(&mut TransmitBuffer::with_capacity(2_000, 1)).unwrap();
            assert_eq!(transmit.path.local, Some([198, 51, 100, first].into()));
        }
    }

    #[test]
    fn a_call_of_a_trunk_that_was_switched_off_has_none_whoever_gets_its_place() {
        let mut bench = Bench::new(TrunkConfig::default());
        assert!(bench.push(0, 2, &[0; 100]));
        let other = Path::from(SocketAddr::from(([192, 0, 2, 9], 4569)));
        bench.trunks.set(&mut bench.counters, bench.path.remote, None);
        bench.trunks.set(&mut bench.counters, other.remote, Some(TrunkConfig::default()));
        assert!(!bench.push(1, 2, &[0; 100]), "no voice of it goes to somebody else");
        bench.place = bench.trunks.find(other.remote).unwrap();
        bench.path = other;
        assert!(bench.push(1, 3, &[0; 100]));
        assert_eq!(bench.trunks.places.len(), 1, "the place is used again");
        assert_eq!(bench.sent(21), [(0, alloc::vec![3])]);
    }

    /// What may be done to trunks; calls and addresses by number.
    #[derive(Clone, Debug)]
    enum Step {
        Set(u8, Option<u64>),
        Join(u16, u8),
        Push(u16),
        Flush(u16),
        Leave(u16),
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let (call, address) = (2..8_u16, 0..4_u8);
        prop_oneof![
            1 => (address.clone(), proptest::option::of(10..40_u64)).prop_map(|(a, i)| Step::Set(a, i)),
            2 => (call.clone(), address).prop_map(|(call, address)| Step::Join(call, address)),
            8 => call.clone().prop_map(Step::Push),
            1 => call.clone().prop_map(Step::Flush),
            1 => call.prop_map(Step::Leave),
            4 => (0..15_u64).prop_map(Step::Wait),
        ]
    }

    /// As many entries of the model's fill a frame.
    const FILLS: usize = 3;

    /// An address as the model has it: how often it was switched, its interval, what waits since when,
    /// and what is full.
    #[derive(Default)]
    struct Modelled {
        switched: u32,
        interval: Option<u64>,
        begun: Option<u64>,
        waits: Vec<u16>,
        full: Vec<u16>,
        full_due: Option<u64>,
        sent: Vec<u16>,
    }

    impl Modelled {
        fn push(&mut self, now: u64, call: u16) {
            if self.waits.len() == FILLS
                && let Some(begun) = self.begun.take()
            {
                self.full.append(&mut self.waits);
                if now - begun >= 5 {
                    self.send_full();
                } else {
                    self.full_due.get_or_insert(begun + 5);
                }
            }
            self.waits.push(call);
            self.begun.get_or_insert(now);
        }

        fn send_full(&mut self) {
            self.full_due = None;
            self.sent.append(&mut self.full);
        }

        fn send_all(&mut self) {
            self.send_full();
            self.begun = None;
            self.sent.append(&mut self.waits);
        }

        fn filling_due(&self) -> Option<u64> {
            Some(self.begun? + self.interval?)
        }

        fn wait(&mut self, now: u64) {
            if self.filling_due().is_some_and(|due| due <= now) {
                self.send_all();
            } else if self.full_due.is_some_and(|due| due <= now) {
                self.send_full();
            }
        }

        fn forget(&mut self) {
            (self.begun, self.full_due) = (None, None);
            self.waits.clear();
            self.full.clear();
        }
    }

    proptest! {
        #[test]
        fn trunks_do_what_a_list_of_waiting_frames_does(steps in collection::vec(step(), 1..200)) {
            let remote = |address: u8| SocketAddr::from(([192, 0, 2, address], 4569));
            let mut trunks = Trunks::new(&mut ChaCha12Rng::from_seed([1; 32]));
            let (mut outbox, mut counters) = (Outbox::new(1 << 20), Counters::default());
            let mut model: [Modelled; 4] = Default::default();
            let mut calls: BTreeMap<u16, (TrunkPlace, u8, u32)> = BTreeMap::new();
            let mut sent: [Vec<u16>; 4] = Default::default();
            let mut now = 0;
            for step in steps {
                // A call's address, as long as that was not switched off meanwhile.
                let on = |call: &u16, calls: &BTreeMap<u16, (TrunkPlace, u8, u32)>,
                          model: &[Modelled; 4]| {
                    let (_, address, switched) = *calls.get(call)?;
                    let address = usize::from(address);
                    (model[address].switched == switched).then_some(address)
                };
                match step {
                    Step::Set(address, interval) => {
                        let config = interval.map(|ms| TrunkConfig {
                            interval: Duration::from_millis(ms),
                            max_datagram: 60,
                            ..TrunkConfig::default()
                        });
                        trunks.set(&mut counters, remote(address), config);
                        let it = &mut model[usize::from(address)];
                        if it.interval != interval {
                            it.forget();
                        }
                        it.switched += u32::from(interval.is_none());
                        it.interval = interval;
                    }
                    Step::Join(call, address) => {
                        let found = trunks.find(remote(address));
                        let it = &model[usize::from(address)];
                        prop_assert_eq!(found.is_some(), it.interval.is_some());
                        if let Some(place) = found {
                            calls.insert(call, (place, address, it.switched));
                        }
                    }
                    Step::Push(call) => {
                        let Some((place, address, _)) = calls.get(&call).copied() else { continue };
                        let entry = (number(call), MiniTimestamp(20), &[1; 10][..]);
                        let path = Path::from(remote(address));
                        let taken =
                            trunks.push(&mut outbox, &mut counters, at(now), place, &path, entry);
                        let on = on(&call, &calls, &model);
                        prop_assert_eq!(taken, on.is_some());
                        if let Some(it) = on.map(|address| &mut model[address]) {
                            it.push(now, call);
                        }
                    }
                    Step::Flush(call) => {
                        let Some((place, ..)) = calls.get(&call) else { continue };
                        trunks.flush(&mut outbox, &mut counters, at(now), *place);
                        if let Some(address) = on(&call, &calls, &model) {
                            model[address].send_all();
                        }
                    }
                    Step::Leave(call) => {
                        let Some((place, ..)) = calls.get(&call) else { continue };
                        trunks.withdraw(&mut counters, *place, number(call));
                        if let Some(address) = on(&call, &calls, &model) {
                            model[address].waits.retain(|waits| *waits != call);
                            model[address].full.retain(|waits| *waits != call);
                        }
                        calls.remove(&call);
                    }
                    Step::Wait(ms) => {
                        now += ms;
                        trunks.send_due(&mut outbox, &mut counters, at(now));
                        model.iter_mut().for_each(|it| it.wait(now));
                    }
                }
                let mut buffer = TransmitBuffer::with_capacity(2_000, 1);
                while let Some(transmit) = outbox.take(&mut buffer) {
                    let Ok(Datagram::Trunk(frame)) = Datagram::decode(buffer.as_bytes()) else {
                        panic!("no trunk frame")
                    };
                    let SocketAddr::V4(to) = transmit.path.remote else { panic!("IPv4") };
                    let [.., address] = to.ip().octets();
                    let calls = frame.entries().map(|entry| entry.source.get());
                    sent[usize::from(address)].extend(calls);
                }
                for (sent, it) in sent.iter().zip(&model) {
                    prop_assert_eq!(sent, &it.sent);
                    // Whoever waits is not forgotten.
                    let due = [it.full_due, it.filling_due()].into_iter().flatten().min();
                    let wakes = due.is_none_or(|due| trunks.next().is_some_and(|at_| at_ <= at(due)));
                    prop_assert!(wakes);
                }
                prop_assert!(trunks.places.len() <= 4, "places are used again");
                prop_assert!(trunks.pending.len() <= 4 * 10, "and noted once in each 5 ms at most");
            }
        }
    }
}
