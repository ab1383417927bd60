//! Sending voice of many calls to one peer in trunk frames (RFC 5456 §8.1.3.2).
//!
//! Voice that would leave as mini frames waits until its trunk is due, or until another entry would
//! not fit. What waits is always of calls that live: a receiver that does not know an entry's call
//! may misread the rest of the frame, as Asterisk does.

use alloc::vec::Vec;
use core::net::SocketAddr;
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

/// How voice to one peer is bundled.
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
}

impl Default for TrunkConfig {
    fn default() -> Self {
        Self { timestamps: true, max_datagram: 1_400, interval: Duration::from_millis(20) }
    }
}

/// One direction of voice to one peer.
#[derive(Debug)]
struct Trunk {
    /// `None`: it is switched off, and stays for the sake of the others' places.
    config: Option<TrunkConfig>,
    writer: TrunkWriter,
    path: Path,
    /// Where its clock began, and when it was last used.
    clock: Option<(Instant, Instant)>,
    due: Option<Instant>,
    /// Frames of voice that wait.
    waiting: u64,
}

/// All trunks of an endpoint.
#[derive(Debug)]
pub(crate) struct Trunks {
    trunks: Vec<Trunk>,
    by_address: HashMap<SocketAddr, u32, FixedState>,
    next: Option<Instant>,
}

impl Trunks {
    pub(crate) fn new(rng: &mut ChaCha12Rng) -> Self {
        let by_address = HashMap::with_hasher(FixedState::with_seed(rng.next_u64()));
        Self { trunks: Vec::new(), by_address, next: None }
    }

    /// Switches the trunk to a peer on or off.
    /// What waits when it changes is dropped.
    pub(crate) fn set(
        &mut self,
        counters: &mut Counters,
        remote: SocketAddr,
        config: Option<TrunkConfig>,
    ) {
        let writer = |config: TrunkConfig| TrunkWriter::new(config.timestamps, config.max_datagram);
        let known = self.by_address.get(&remote).and_then(|n| self.trunks.get_mut(*n as usize));
        match (known, config) {
            (Some(trunk), _) if trunk.config == config => {}
            (Some(trunk), Some(config)) => {
                trunk.discard(counters);
                trunk.config = Some(config);
                trunk.writer = writer(config);
            }
            (Some(trunk), None) => {
                trunk.discard(counters);
                trunk.config = None;
            }
            (None, Some(config)) => {
                #[expect(clippy::cast_possible_truncation, reason = "one for each peer")]
                self.by_address.insert(remote, self.trunks.len() as u32);
                self.trunks.push(Trunk {
                    config: Some(config),
                    writer: writer(config),
                    path: Path::from(remote),
                    clock: None,
                    due: None,
                    waiting: 0,
                });
            }
            (None, None) => {}
        }
    }

    /// The place of the trunk to a peer.
    pub(crate) fn find(&self, remote: SocketAddr) -> Option<u32> {
        self.by_address.get(&remote).copied()
    }

    /// Puts a frame of voice on a trunk; `false`: it must go by itself.
    pub(crate) fn push(
        &mut self,
        outbox: &mut Outbox,
        counters: &mut Counters,
        now: Instant,
        place: u32,
        path: Path,
        entry: (CallNumber, MiniTimestamp, &[u8]),
    ) -> bool {
        let Some(trunk) = self.trunks.get_mut(place as usize) else { return false };
        let Some(config) = trunk.config else { return false };
        let (source, stamp, payload) = entry;
        // A time of 0 says "none" in a trunk.
        if stamp == MiniTimestamp(0) {
            return false;
        }
        if !trunk.writer.push(source, stamp, payload) {
            trunk.send(outbox, counters, now);
            if !trunk.writer.push(source, stamp, payload) {
                return false;
            }
        }
        trunk.path = path;
        trunk.waiting += 1;
        if trunk.due.is_none() {
            let due = now + config.interval;
            trunk.due = Some(due);
            self.next = Some(self.next.map_or(due, |next| next.min(due)));
        }
        true
    }

    /// Sends what waits on a trunk, so that what follows comes behind it.
    pub(crate) fn flush(
        &mut self,
        outbox: &mut Outbox,
        counters: &mut Counters,
        now: Instant,
        place: u32,
    ) {
        if let Some(trunk) = self.trunks.get_mut(place as usize) {
            trunk.send(outbox, counters, now);
        }
    }

    /// Takes back what waits of a call that has ended.
    pub(crate) fn withdraw(&mut self, counters: &mut Counters, place: u32, source: CallNumber) {
        if let Some(trunk) = self.trunks.get_mut(place as usize) {
            let removed = trunk.writer.remove(source);
            trunk.waiting = trunk.waiting.saturating_sub(removed);
            counters.drop_many(DropReason::CallEnded, removed);
        }
    }

    /// Sends the trunks that are due.
    pub(crate) fn send_due(&mut self, outbox: &mut Outbox, counters: &mut Counters, now: Instant) {
        if self.next.is_none_or(|next| next > now) {
            return;
        }
        for trunk in &mut self.trunks {
            if trunk.due.is_some_and(|due| due <= now) {
                trunk.send(outbox, counters, now);
            }
        }
        self.next = self.trunks.iter().filter_map(|trunk| trunk.due).min();
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.next
    }
}

impl Trunk {
    fn send(&mut self, outbox: &mut Outbox, counters: &mut Counters, now: Instant) {
        self.due = None;
        if self.writer.is_empty() {
            return;
        }
        let epoch = match self.clock {
            Some((epoch, used)) if now.since(used) < SILENCE => epoch,
            _ => now,
        };
        self.clock = Some((epoch, now));
        let stamp = Timestamp(now.millis_since(epoch));
        if outbox.push_media(self.path, self.writer.finish(stamp), &[]) {
            counters.trunk_frames_sent += 1;
        } else {
            let subject = (Some(self.path), None);
            counters.drop_of(DropReason::TransmitBufferFull, self.waiting, subject);
        }
        self.writer.clear();
        self.waiting = 0;
    }

    /// Drops what waits.
    fn discard(&mut self, counters: &mut Counters) {
        self.due = None;
        self.writer.clear();
        let waiting = core::mem::take(&mut self.waiting);
        counters.drop_of(DropReason::CallEnded, waiting, (Some(self.path), None));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transmit::TransmitBuffer;
    use oneport_wire::Datagram;
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
    }

    impl Bench {
        fn new(config: TrunkConfig) -> Self {
            let mut trunks = Trunks::new(&mut ChaCha12Rng::from_seed([1; 32]));
            let path = Path::from(SocketAddr::from(([192, 0, 2, 1], 4569)));
            let (outbox, mut counters) = (Outbox::new(1 << 20), Counters::default());
            trunks.set(&mut counters, path.remote, Some(config));
            Self { trunks, outbox, counters, path }
        }

        fn push(&mut self, ms: u64, source: u16, payload: &[u8]) -> bool {
            let entry = (number(source), MiniTimestamp(20), payload);
            let (outbox, counters) = (&mut self.outbox, &mut self.counters);
            self.trunks.push(outbox, counters, at(ms), 0, self.path, entry)
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
        assert_eq!(bench.sent(0), [(0, alloc::vec![2, 3, 4, 5, 6, 7, 8, 9])]);
        assert_eq!(bench.sent(20), [(20, alloc::vec![10])]);
    }

    #[test]
    fn a_call_that_ended_leaves_no_entry_behind() {
        for timestamps in [false, true] {
            let mut bench = Bench::new(TrunkConfig { timestamps, ..TrunkConfig::default() });
            for call in [2, 3, 2, 4, 3] {
                assert!(bench.push(0, call, &[u8::try_from(call).unwrap(); 33]));
            }
            bench.trunks.withdraw(&mut bench.counters, 0, number(3));
            assert_eq!(bench.sent(20), [(0, alloc::vec![2, 2, 4])]);
            assert!(bench.push(30, 3, &[0; 33]));
            bench.trunks.withdraw(&mut bench.counters, 0, number(3));
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
        assert!(bench.trunks.push(outbox, counters, at(0), place, other, entry));
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
            let full = bench.sent(40).len();
            assert_eq!(full + bench.sent(60).len(), frames, "{config:?}");
        }
    }

    #[test]
    fn a_trunk_for_which_there_is_no_room_counts_each_frame_of_voice_that_waited() {
        let mut bench = Bench::new(TrunkConfig::default());
        bench.outbox = Outbox::new(0);
        for call in [2, 3, 4, 3] {
            assert!(bench.push(0, call, &[0; 100]));
        }
        bench.trunks.withdraw(&mut bench.counters, 0, number(3));
        assert_eq!(bench.counters.dropped(DropReason::CallEnded), 2);
        assert_eq!(bench.sent(20), []);
        assert_eq!(bench.counters.dropped(DropReason::TransmitBufferFull), 2);
        assert_eq!(bench.counters.trunk_frames_sent, 0);
    }

    #[test]
    fn voice_at_a_time_of_zero_goes_by_itself_and_a_trunk_follows_the_path_of_its_calls() {
        let mut bench = Bench::new(TrunkConfig::default());
        let zero = (number(2), MiniTimestamp(0), &[0; 100][..]);
        let (outbox, counters) = (&mut bench.outbox, &mut bench.counters);
        assert!(!bench.trunks.push(outbox, counters, at(0), 0, bench.path, zero));
        bench.path.local = Some([198, 51, 100, 7].into());
        assert!(bench.push(0, 2, &[0; 100]));
        bench.trunks.send_due(&mut bench.outbox, &mut bench.counters, at(20));
        let transmit = bench.outbox.take(&mut TransmitBuffer::with_capacity(2_000, 1)).unwrap();
        assert_eq!(transmit.path, bench.path);
    }
}
