//! The two sides of a recorded call, put beside each other in time.
//!
//! Each side is placed by its sender's timestamps, so that a timely stream is recorded bit for bit.
//! The clock of this machine says where a side begins, where it goes on behind a pause or a jump, and
//! in the long run how fast the sender's clock is ([`Drift`]); a sender whose timestamps run away is not
//! followed further than [`TOLERANCE_MS`].

mod drift;

use std::collections::VecDeque;

use oneport_media::Recorder;
use oneport_media::comfort_noise::ComfortNoise;

use drift::Drift;

/// How far timestamps and arrival may differ. A side that is silent for longer gets silence.
const TOLERANCE_MS: u64 = 5_000;

/// Which side of a call: the channels of its file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Side {
    /// Left.
    Caller,
    /// Right.
    Called,
}

/// Where timestamps and time meet.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    timestamp: u32,
    /// Microseconds since the recording began.
    at: i64,
}

fn micros(millis: u64) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX / 2_000) * 1_000
}

#[derive(Debug)]
struct Stream {
    rate: u32,
    recorder: Recorder,
    anchor: Option<Anchor>,
    /// Samples that are settled since the recording began.
    settled: u64,
    /// Those of them that wait for the other side.
    waiting: VecDeque<i16>,
    drift: Drift,
    /// What is heard of it until it speaks, since it told of a pause.
    pause: Option<ComfortNoise>,
    /// What is settled just now, kept so that it need not be allocated.
    piece: Vec<i16>,
}

impl Stream {
    fn new(rate: u32) -> Self {
        let recorder = Recorder::new(rate);
        Self {
            rate,
            recorder,
            anchor: None,
            settled: 0,
            waiting: VecDeque::new(),
            drift: Drift::new(rate),
            pause: None,
            piece: Vec::new(),
        }
    }

    fn samples_in(&self, millis: u64) -> u64 {
        millis * u64::from(self.rate) / 1_000
    }

    /// Settles what the recorder holds.
    fn settle(&mut self) {
        let Self { recorder, settled, waiting, .. } = self;
        recorder.finish(|samples| {
            waiting.extend(samples);
            *settled += samples.len() as u64;
        });
    }

    /// Settles all, and silence or the noise of a pause up to a moment.
    fn fill(&mut self, millis: u64) {
        self.settle();
        self.recorder = Recorder::new(self.rate);
        self.anchor = None;
        self.drift.begin_anew();
        let silence = self.samples_in(millis).saturating_sub(self.settled);
        self.be_silent(usize::try_from(silence).unwrap_or(0));
        self.settled += silence;
    }

    /// So many samples in which nothing is said.
    fn be_silent(&mut self, samples: usize) {
        self.piece.clear();
        match &mut self.pause {
            Some(noise) => noise.extend(samples, &mut self.piece),
            None => self.piece.resize(samples, 0),
        }
        self.waiting.extend(&self.piece);
    }

    /// It tells of a pause of `level` −dBov, in which it sends nothing.
    fn pause(&mut self, millis: u64, timestamp: u32, level: u8) {
        let fits = self.anchor.is_none() || self.later(micros(millis), timestamp).is_some();
        if fits && self.recorder.pause(timestamp, level) {
            self.pause = Some(ComfortNoise::new(level));
        }
    }

    /// By how much it came later than its timestamp says, in µs; `None`: that says nothing.
    fn later(&self, arrived: i64, timestamp: u32) -> Option<i64> {
        let anchor = self.anchor?;
        // It may be older than the first.
        let since = timestamp.wrapping_sub(anchor.timestamp).cast_signed();
        let later = arrived - (anchor.at + i64::from(since) * 1_000);
        (later.unsigned_abs() <= TOLERANCE_MS * 1_000).then_some(later)
    }

    fn place(&mut self, millis: u64, timestamp: u32, samples: &[i16]) {
        let arrived = micros(millis);
        match self.later(arrived, timestamp) {
            Some(later) => self.drift.came(millis, later),
            None => {
                self.fill(millis);
                // Behind what was placed too early there is no way back.
                let at = self.settled * 1_000_000 / u64::from(self.rate);
                let at = i64::try_from(at).unwrap_or(i64::MAX);
                if at.abs_diff(arrived) > TOLERANCE_MS * 1_000 {
                    return;
                }
                self.anchor = Some(Anchor { timestamp, at });
            }
        }
        self.pause = None;
        let Self { recorder, settled, waiting, drift, piece, anchor, .. } = self;
        recorder.place(timestamp, samples, |samples| {
            piece.clear();
            piece.extend_from_slice(samples);
            let by = drift.set_right(piece);
            if let Some(anchor) = anchor {
                anchor.at += by;
            }
            waiting.extend(&*piece);
            *settled += piece.len() as u64;
        });
    }

    /// Time goes on; whoever has been silent for long has said nothing.
    fn advance(&mut self, millis: u64) {
        let Some(due) = millis.checked_sub(TOLERANCE_MS) else { return };
        if self.settled < self.samples_in(due) {
            self.fill(due);
        }
    }
}

/// Both sides, on their way to a file with two channels.
#[derive(Debug)]
pub(crate) struct Sides {
    caller: Stream,
    called: Stream,
    pairs: Vec<i16>,
}

impl Sides {
    pub(crate) fn new(rate: u32) -> Self {
        Self { caller: Stream::new(rate), called: Stream::new(rate), pairs: Vec::new() }
    }

    /// Takes a frame that has come `millis` after the beginning; gives what can be written.
    pub(crate) fn frame(
        &mut self,
        side: Side,
        millis: u64,
        timestamp: u32,
        samples: &[i16],
    ) -> &[i16] {
        match side {
            Side::Caller => self.caller.place(millis, timestamp, samples),
            Side::Called => self.called.place(millis, timestamp, samples),
        }
        self.caller.advance(millis);
        self.called.advance(millis);
        self.pair()
    }

    /// A side tells of a pause of `level` −dBov that begins at its `timestamp`; gives what can be written.
    pub(crate) fn pause(&mut self, side: Side, millis: u64, timestamp: u32, level: u8) -> &[i16] {
        match side {
            Side::Caller => self.caller.pause(millis, timestamp, level),
            Side::Called => self.called.pause(millis, timestamp, level),
        }
        self.caller.advance(millis);
        self.called.advance(millis);
        self.pair()
    }

    /// Gives the rest.
    pub(crate) fn finish(&mut self) -> &[i16] {
        for stream in [&mut self.caller, &mut self.called] {
            stream.settle();
        }
        let longest = self.caller.waiting.len().max(self.called.waiting.len());
        for stream in [&mut self.caller, &mut self.called] {
            stream.be_silent(longest - stream.waiting.len());
        }
        self.pair()
    }

    fn pair(&mut self) -> &[i16] {
        self.pairs.clear();
        let both = self.caller.waiting.len().min(self.called.waiting.len());
        let (left, right) = (self.caller.waiting.drain(..both), self.called.waiting.drain(..both));
        self.pairs.extend(left.zip(right).flat_map(|(left, right)| [left, right]));
        &self.pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(n: i16) -> Vec<i16> {
        vec![n; 160]
    }

    /// What is recorded of frames: side, arrival, timestamp, level.
    fn record(frames: &[(Side, u64, u32, i16)]) -> (Vec<i16>, Vec<i16>) {
        let mut sides = Sides::new(8_000);
        let mut all = Vec::new();
        for (side, millis, timestamp, level) in frames {
            all.extend_from_slice(sides.frame(*side, *millis, *timestamp, &frame(*level)));
        }
        all.extend_from_slice(sides.finish());
        let (pairs, rest) = all.as_chunks::<2>();
        assert!(rest.is_empty());
        pairs.iter().map(|[left, right]| (*left, *right)).unzip()
    }

    #[test]
    fn what_is_said_at_the_same_time_stands_beside_each_other() {
        let mut frames = Vec::new();
        for n in 0..100_u32 {
            let at = u64::from(n) * 20;
            frames.push((Side::Caller, 40 + at, 500_000 + n * 20, 1));
            frames.push((Side::Called, 100 + at, 7 + n * 20, 2));
        }
        let (left, right) = record(&frames);
        assert_eq!(left.len(), (100 + 2_000) * 8);
        assert!(left[..320].iter().all(|sample| *sample == 0));
        assert!(left[320..320 + 16_000].iter().all(|sample| *sample == 1));
        assert!(right[..800].iter().all(|sample| *sample == 0));
        assert!(right[800..].iter().all(|sample| *sample == 2));
    }

    #[test]
    fn a_pause_that_a_side_tells_of_is_noise_until_it_speaks_or_the_call_ends() {
        for lasts in [1_000_u64, 12_000] {
            let mut sides = Sides::new(8_000);
            let mut all = Vec::new();
            for n in 0..lasts / 20 * 2 {
                let (at, stamp) = (n * 20, n as u32 * 20);
                all.extend_from_slice(sides.frame(Side::Called, at, stamp, &frame(1)));
                // It says something, is silent, says something, and is silent to the end.
                let voice = at < 200 || (at >= lasts && at < lasts + 200);
                let told = at == 200 || at == lasts + 200;
                if voice {
                    all.extend_from_slice(sides.frame(Side::Caller, at, stamp, &frame(9_000)));
                } else if told {
                    all.extend_from_slice(sides.pause(Side::Caller, at, stamp, 45));
                }
            }
            all.extend_from_slice(sides.finish());
            let left: Vec<i16> = all.as_chunks::<2>().0.iter().map(|[left, _]| *left).collect();
            assert_eq!(left.len() as u64, lasts * 2 * 8);
            for (second, part) in left.chunks(800).enumerate() {
                let at = second as u64 * 100;
                let level = oneport_media::comfort_noise::level_of(part);
                let expected = if at < 200 || (at >= lasts && at < lasts + 200) { 11 } else { 45 };
                assert!(level.abs_diff(expected) <= 4, "{at} of {lasts}: {level}");
            }
        }
    }

    #[test]
    fn a_burst_of_late_frames_is_placed_by_its_timestamps() {
        let frames: Vec<_> =
            (0..100_u32).map(|n| (Side::Caller, 2_000, n * 20, n as i16 + 1)).collect();
        let (left, _) = record(&frames);
        let said: Vec<i16> = (1..=100).flat_map(frame).collect();
        assert_eq!(left[2_000 * 8..], said);
    }

    #[test]
    fn a_side_that_says_nothing_for_long_holds_the_other_up_no_longer() {
        let mut sides = Sides::new(8_000);
        let mut written = 0;
        for n in 0..1_000_u32 {
            let pairs = sides.frame(Side::Caller, u64::from(n) * 20, n * 20, &frame(1));
            written += pairs.len() / 2;
        }
        assert!(written >= (20_000 - 5_300) * 8, "{written}");
        // It speaks at last, by a clock of its own, and at its place.
        let pairs = sides.frame(Side::Called, 20_000, 3_000_000_000, &frame(2)).to_vec();
        let mut all = pairs;
        all.extend_from_slice(sides.finish());
        let first = all.as_chunks::<2>().0.iter().position(|[_, right]| *right == 2);
        assert_eq!(first.map(|place| place + written), Some(20_000 * 8));
    }

    /// An hour of a call, in which both sides say a loud ms at the same moment, twice a minute. The
    /// clocks of the senders are off by so many millionths, and frames are late by up to 30 ms. How far
    /// apart what was said at once is in the recording, and from its place, at most, in samples.
    fn apart(off: [i64; 2]) -> [usize; 2] {
        const SECONDS: i64 = 3_600;
        let mut sides = Sides::new(8_000);
        let mut dice = 7_u32;
        let (mut pairs, mut found) = (0_usize, [Vec::new(), Vec::new()]);
        let mut next = [0_i64; 2];
        let mut arrivals: Vec<(u64, usize, u32, Vec<i16>)> = Vec::new();
        let mut take = |sides: &[i16], found: &mut [Vec<usize>; 2]| {
            for pair in sides.as_chunks::<2>().0 {
                for (side, sample) in pair.iter().enumerate() {
                    // A click is repeated by no cross-fade that is not within 10 ms.
                    let last = found[side].last().copied().unwrap_or(0);
                    if *sample > 8_000 && pairs > last + 4_000 {
                        found[side].push(pairs);
                    }
                }
                pairs += 1;
            }
        };
        loop {
            for side in 0..2 {
                // The frame has what was said while the sender's clock went on by 20 ms.
                let frame = next[side];
                next[side] += 1;
                let real = |clock_us: i64| clock_us - clock_us * off[side] / 1_000_000;
                let mut samples = vec![30; 160];
                let begin = real(frame * 20_000);
                let click = ((begin + 29_999_999) / 30_000_000).max(1) * 30_000_000;
                if click < real((frame + 1) * 20_000) {
                    let place = usize::try_from((click - begin) / 125).expect("within the frame");
                    samples[place.min(152)..place.min(152) + 8].fill(20_000);
                }
                dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let late = u64::from(dice >> 24) * 30 / 256;
                let came =
                    u64::try_from(real((frame + 1) * 20_000) / 1_000).expect("later") + 40 + late;
                let stamp = u32::try_from(frame * 20).expect("short");
                arrivals.push((came, side, stamp, samples));
            }
            arrivals.sort_by_key(|one| one.0);
            let until =
                u64::try_from(next[0].min(next[1]) * 20).expect("later").saturating_sub(5_000);
            let ready = arrivals.partition_point(|one| one.0 < until);
            for (came, side, stamp, samples) in arrivals.drain(..ready) {
                let side = if side == 0 { Side::Caller } else { Side::Called };
                take(sides.frame(side, came, stamp, &samples), &mut found);
            }
            if next[0] * 20 > SECONDS * 1_000 {
                break;
            }
        }
        let [left, right] = found;
        assert!(left.len().abs_diff(right.len()) <= 1 && left.len() >= 115, "{}", left.len());
        let apart = left.iter().zip(&right).map(|(left, right)| left.abs_diff(*right)).max();
        let places = left.iter().enumerate().map(|(n, left)| left.abs_diff((n + 1) * 240_000));
        [apart.unwrap_or(usize::MAX), places.max().unwrap_or(usize::MAX)]
    }

    #[test]
    fn clocks_that_are_200_millionths_off_leave_both_sides_beside_each_other() {
        for off in [[200, -200], [-200, 200]] {
            let [apart, misplaced] = apart(off);
            // 30 ms are those that frames are late by.
            assert!(apart <= 8 * 30, "{off:?}: {} ms apart", apart / 8);
            assert!(misplaced <= 8 * 110, "{off:?}: {} ms from its place", misplaced / 8);
        }
    }

    #[test]
    fn a_clock_like_ours_leaves_speech_as_it_is_however_late_frames_are() {
        let mut frames = Vec::new();
        let mut dice = 3_u32;
        for n in 0..3_000_u32 {
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // The first is one of the fastest, as most are.
            let late = if n == 0 { 0 } else { u64::from((dice >> 24) * 60 / 256) };
            frames.push((Side::Caller, 40 + u64::from(n) * 20 + late, n * 20, n as i16 + 1));
        }
        let (left, _) = record(&frames);
        let said: Vec<i16> = (1..=3_000).flat_map(frame).collect();
        assert_eq!(left[320..], said);
    }

    #[test]
    fn timestamps_that_run_away_fill_no_disk() {
        let frames: Vec<_> =
            (0..10_000_u32).map(|n| (Side::Caller, u64::from(n), n * 4_000, 1)).collect();
        let (left, _) = record(&frames);
        assert!(left.len() <= (10_000 + 2 * 5_000 + 200) * 8, "{} samples", left.len());
        let back: Vec<_> = (0..10_000_u32)
            .map(|n| (Side::Caller, u64::from(n), u32::MAX - n * 7_000, 1))
            .collect();
        let (left, _) = record(&back);
        assert!(left.len() <= (10_000 + 2 * 5_000 + 200) * 8, "{} samples", left.len());
    }
}
