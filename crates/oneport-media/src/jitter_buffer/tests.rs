use super::*;
use crate::Codec;
use proptest::prelude::*;

const RATE: u32 = 8_000;

/// Frames of 20 ms of linear audio that is unlike itself everywhere: where it was said shows where it is heard.
struct Line {
    buffer: JitterBuffer,
    now_us: u64,
    heard: Vec<i16>,
    pulled: Vec<Pulled>,
    decoder: Counting,
}

/// Linear audio, and what was asked of its codec.
#[derive(Debug, Default)]
struct Counting {
    decoded: u32,
    concealed: usize,
    conceals: bool,
}

impl Decoder for Counting {
    fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) {
        self.decoded += 1;
        Codec::Slin.decode(payload, out);
    }

    fn conceal(&mut self, samples: usize, out: &mut Vec<i16>) -> bool {
        if self.conceals {
            self.concealed += samples;
            out.extend(std::iter::repeat_n(1_234, samples));
        }
        self.conceals
    }
}

fn noise(n: u32) -> i16 {
    let mixed = n.wrapping_mul(0x9E37_79B9) ^ (n >> 3).wrapping_mul(0x85EB_CA6B);
    (mixed >> 16) as u16 as i16 / 4
}

fn frame(n: u32) -> Vec<i16> {
    (0..160).map(|sample| noise(n * 160 + sample)).collect()
}

impl Line {
    fn new() -> Self {
        Self {
            buffer: JitterBuffer::new(JitterConfig::new(RATE)),
            now_us: 1_000_000,
            heard: Vec::new(),
            pulled: Vec::new(),
            decoder: Counting::default(),
        }
    }

    fn now(&self) -> Duration {
        Duration::from_micros(self.now_us)
    }

    /// A frame comes.
    fn comes(&mut self, n: u32, timestamp: u32) -> Inserted {
        let mut payload = Vec::new();
        Codec::Slin.encode(&frame(n), &mut payload);
        self.buffer.insert(self.now(), timestamp, &payload)
    }

    /// 20 ms go by.
    fn goes_on(&mut self) {
        let mut out = [0; 160];
        let pulled = self.buffer.pull(self.now(), &mut self.decoder, &mut out);
        self.pulled.push(pulled);
        self.heard.extend_from_slice(&out);
        self.now_us += 20_000;
    }

    /// Frames come one by one, each at its time, with the clock at `base` for the first of all.
    fn run(&mut self, frames: std::ops::Range<u32>, base: u32) {
        for n in frames {
            assert_eq!(self.comes(n, base.wrapping_add(n * 20)), Inserted::Kept, "{n}");
            self.goes_on();
        }
    }

    /// Where the whole of a frame is heard.
    fn heard_at(&self, n: u32) -> Option<usize> {
        let said = frame(n);
        self.heard.windows(160).position(|window| window == said)
    }
}

#[test]
fn what_was_said_is_heard_bit_for_bit_even_where_the_clock_wraps() {
    for base in [0, u32::MAX - 2_345] {
        let mut line = Line::new();
        line.run(0..200, base);
        let first = line.heard_at(50).expect("heard");
        let said: Vec<i16> = (50..190).flat_map(frame).collect();
        assert_eq!(line.heard[first..first + said.len()], said);
        let stats = line.buffer.stats();
        assert_eq!((stats.frames, stats.concealed, stats.restarts), (200, 0, 0));
    }
}

#[test]
fn a_pause_that_is_told_is_noise_as_loud_as_it_says_and_nothing_is_missing() {
    for level in [35, 50, 70] {
        let mut line = Line::new();
        line.run(0..100, 7_000);
        // One that is over is none.
        line.buffer.pause(7_000 + 50 * 20, 30);
        line.buffer.pause(7_000 + 100 * 20, level);
        for _ in 100..200 {
            line.goes_on();
        }
        line.run(200..300, 7_000);
        let [before, last, behind] = [90, 99, 201].map(|n| line.heard_at(n).expect("heard"));
        assert_eq!(last - before, 9 * 160, "the last word is heard to its end");
        let (fades, noise) = (800, line.heard[last + 160..behind - 160].to_vec());
        assert!(noise.len() > 13_000, "{}", noise.len());
        let heard = crate::comfort_noise::level_of(&noise[fades..]);
        assert!(heard.abs_diff(level) <= 2, "{heard} for {level}");
        let stats = line.buffer.stats();
        assert_eq!((stats.concealed, stats.waited, stats.late), (0, 0, 0), "{level}");
    }
}

#[test]
fn a_pause_before_the_first_word_or_of_no_time_of_the_sender_does_no_harm() {
    let mut line = Line::new();
    line.buffer.pause(5, 50);
    for _ in 0..50 {
        line.goes_on();
    }
    let heard = crate::comfort_noise::level_of(&line.heard[4_000..]);
    assert!(heard.abs_diff(50) <= 2, "{heard}");
    line.run(0..50, 7_000);
    for timestamp in [0, 1_000_000, 3_000_000_000, u32::MAX] {
        line.buffer.pause(timestamp, 30);
    }
    line.run(50..100, 7_000);
    let [first, last] = [20, 95].map(|n| line.heard_at(n).expect("heard"));
    assert_eq!(last - first, 75 * 160);
    assert_eq!(line.buffer.stats().concealed, 0);
}

#[test]
fn copies_are_heard_once_and_what_is_overtaken_in_its_place() {
    let mut line = Line::new();
    // Every other frame comes behind the next one, and everything twice.
    for n in (0..200).step_by(2) {
        line.goes_on();
        let _ = line.comes(n + 1, (n + 1) * 20);
        let _ = line.comes(n + 1, (n + 1) * 20);
        line.goes_on();
        let _ = line.comes(n, n * 20);
    }
    let stats = line.buffer.stats();
    assert_eq!((stats.duplicates, stats.late, stats.concealed), (100, 0, 0), "{stats:?}");
    let first = line.heard_at(100).expect("heard");
    let said: Vec<i16> = (100..180).flat_map(frame).collect();
    assert_eq!(line.heard[first..first + said.len()], said);
}

#[test]
fn what_is_lost_is_concealed_and_nothing_else_is_touched() {
    let mut line = Line::new();
    line.run(0..100, 0);
    line.goes_on();
    line.run(101..150, 0);
    let [before, behind] = [99, 102].map(|n| line.heard_at(n).expect("heard"));
    assert!((behind - before).abs_diff(3 * 160) <= 160, "{before} to {behind}");
    let gap = &line.heard[before + 160..before + 320];
    assert!(gap.iter().filter(|sample| **sample != 0).count() > 100, "{gap:?}");
    assert!(line.pulled.iter().skip(90).any(|pulled| *pulled == Pulled::Concealed));
}

#[test]
fn a_codec_that_conceals_by_itself_is_asked_to() {
    let mut line = Line::new();
    line.decoder.conceals = true;
    line.run(0..100, 0);
    line.goes_on();
    line.run(101..150, 0);
    assert!(line.decoder.concealed >= 80, "{}", line.decoder.concealed);
    assert!(line.heard.windows(80).any(|window| window == [1_234; 80]));
}

#[test]
fn timestamps_off_by_some_milliseconds_leave_no_seam() {
    let mut line = Line::new();
    for n in 0..300 {
        assert_eq!(line.comes(n, n * 20 + [0, 3, 1, 8, 5][n as usize % 5]), Inserted::Kept);
        line.goes_on();
    }
    let first = line.heard_at(100).expect("heard");
    let said: Vec<i16> = (100..280).flat_map(frame).collect();
    assert_eq!(line.heard[first..first + said.len()], said);
}

#[test]
fn one_odd_timestamp_changes_nothing() {
    let mut line = Line::new();
    line.run(0..100, 0);
    for odd in [0x8000_0000, 77_000_000, 30_000] {
        assert_eq!(line.comes(1_000, odd), Inserted::Odd);
    }
    line.run(100..150, 0);
    let stats = line.buffer.stats();
    assert_eq!((stats.restarts, stats.concealed, stats.late), (0, 0, 0), "{stats:?}");
    assert_eq!(line.heard_at(1_000), None);
}

#[test]
fn a_sender_whose_clock_begins_anew_is_heard_on_and_loses_nothing() {
    for base in [0, 50_000, 0x9000_0000] {
        let mut line = Line::new();
        line.run(0..100, 3_000_000);
        assert_eq!(line.comes(100, base), Inserted::Odd);
        line.goes_on();
        for n in 101..200 {
            assert_eq!(line.comes(n, base + (n - 100) * 20), Inserted::Kept, "{n}");
            line.goes_on();
        }
        let stats = line.buffer.stats();
        assert_eq!((stats.restarts, stats.late), (1, 0), "{stats:?}");
        let heard = (0..195).filter(|n| line.heard_at(*n).is_some()).count();
        assert!(heard >= 190, "{heard} frames");
        assert!(line.buffer.delay().expect("speaking") < Duration::from_millis(100));
    }
}

#[test]
fn a_clock_that_is_set_back_a_little_is_met_anew_after_some_frames() {
    let mut line = Line::new();
    line.run(0..100, 1_000_000);
    for n in 100..200 {
        let _ = line.comes(n, 1_000_000 + n * 20 - 300);
        line.goes_on();
    }
    let stats = line.buffer.stats();
    assert_eq!((stats.restarts, stats.late), (1, u64::from(LATE)), "{stats:?}");
    assert!(u64::from(line.decoder.decoded) + 4 > stats.frames, "{stats:?}");
    assert!(line.heard_at(190).is_some());
    assert!(line.buffer.delay().expect("speaking") < Duration::from_millis(100));
}

#[test]
fn a_pause_is_noise_and_the_next_words_come_at_the_usual_delay() {
    let mut line = Line::new();
    line.run(0..100, 0);
    for _ in 0..500 {
        line.goes_on();
    }
    assert_eq!(line.pulled[300], Pulled::Pause);
    line.run(600..700, 0);
    let stats = line.buffer.stats();
    assert_eq!((stats.late, stats.restarts), (0, 0), "{stats:?}");
    assert!(line.buffer.delay().expect("speaking") < Duration::from_millis(60));
    let [first, later] = [601, 651].map(|n| line.heard_at(n).expect("heard"));
    assert_eq!(later - first, 50 * 160);
}

#[test]
fn a_clock_that_stands_still_in_pauses_is_met_anew() {
    let mut line = Line::new();
    line.run(0..100, 0);
    for _ in 0..500 {
        line.goes_on();
    }
    // Ten seconds later it goes on as if nothing had been.
    for n in 100..200 {
        let _ = line.comes(n, n * 20);
        line.goes_on();
    }
    let stats = line.buffer.stats();
    assert_eq!((stats.restarts, stats.late), (1, 0), "{stats:?}");
    assert!(line.heard_at(110).is_some() && line.heard_at(190).is_some());
}

#[test]
fn a_spike_costs_what_is_late_and_the_delay_stays_what_it_was() {
    let mut line = Line::new();
    line.run(0..200, 0);
    let before = line.buffer.delay().expect("speaking");
    for _ in 200..206 {
        line.goes_on();
    }
    for n in 200..206 {
        let _ = line.comes(n, n * 20);
    }
    line.run(206..300, 0);
    let stats = line.buffer.stats();
    assert_eq!((stats.shortened, stats.lengthened, stats.waited), (0, 0, 0), "{stats:?}");
    // What had its time, and what lay between: 120 ms are late, and the delay was 40 of them.
    assert!((3..=5).contains(&stats.late), "{stats:?}");
    assert!(line.buffer.delay().expect("speaking").abs_diff(before) < Duration::from_millis(2));
    let [before, behind] = [199, 207].map(|n| line.heard_at(n).expect("heard"));
    assert_eq!(behind - before, 8 * 160);
}

#[test]
fn a_network_that_becomes_slower_is_followed_and_left_when_it_is_fast_again() {
    let mut line = Line::new();
    // A vowel, since noise is left as it is. Delays grow by 3 ms a frame up to 150, and are gone later.
    let tone: Vec<i16> = crate::tone::Sine::new(160.0, RATE, 0.3).take(160 * 6_000).collect();
    let mut waits = std::collections::VecDeque::new();
    let mut most = Duration::ZERO;
    for (n, tone) in (0_u32..).zip(tone.chunks(160)) {
        let mut payload = Vec::new();
        Codec::Slin.encode(tone, &mut payload);
        let delay = if n < 3_000 { (n.max(100) - 100).min(50) * 3 } else { 0 };
        waits.push_back((n * 20 + delay, n * 20, payload));
        while let Some((_, stamp, payload)) = waits.pop_front_if(|(at, ..)| *at <= n * 20) {
            let _ = line.buffer.insert(line.now(), stamp, &payload);
        }
        line.goes_on();
        if n < 500 {
            most = most.max(line.buffer.delay().unwrap_or_default());
        }
    }
    let stats = line.buffer.stats();
    assert!(stats.late <= 5 && stats.restarts == 0, "{stats:?}");
    assert!(most >= Duration::from_millis(150) && most < Duration::from_millis(260), "{most:?}");
    let last = line.buffer.delay().expect("speaking");
    assert!(last < Duration::from_millis(80) && stats.shortened > 800, "{last:?}, {stats:?}");
}

/// A line behind a queue that fills: from the fifth second on frames are later by 3 ms each, up to `deep` ms. Also
/// how often the buffer began to wait while `count` frames were said.
fn behind_a_queue(deep: u32, count: u32, said: impl Fn(u32) -> Vec<i16>) -> (Line, usize) {
    let mut line = Line::new();
    let mut waits = std::collections::VecDeque::new();
    let mut waited = Vec::new();
    for n in 0..count {
        let delay = (3 * n.saturating_sub(200)).min(deep);
        waits.push_back((n * 20 + delay, n));
        while let Some((at, n)) = waits.pop_front_if(|(at, _)| *at <= n * 20) {
            let came = Duration::from_millis(1_000 + u64::from(at));
            let mut payload = Vec::new();
            Codec::Slin.encode(&said(n), &mut payload);
            assert_eq!(line.buffer.insert(came, n * 20, &payload), Inserted::Kept, "{n}");
        }
        let before = line.buffer.stats().waited;
        line.goes_on();
        waited.push(line.buffer.stats().waited > before);
    }
    let rows = waited.windows(2).filter(|pair| !pair[0] && pair[1]).count();
    let stats = line.buffer.stats();
    assert_eq!((stats.late, stats.restarts), (0, 0), "{stats:?}");
    (line, rows)
}

#[test]
fn a_queue_that_fills_is_met_by_one_wait_rather_than_by_many() {
    for deep in [120, 160, 200] {
        let (line, rows) = behind_a_queue(deep, 400, frame);
        // Once while it was not known yet, and once as long as such queues become.
        assert!(rows <= 2, "{deep} ms: {rows} waits; {:?}", line.buffer.stats());
        let delay = line.buffer.delay().expect("speaking").as_millis();
        assert!((200..280).contains(&delay), "{deep} ms: {delay}");
    }
}

#[test]
fn a_queue_that_becomes_longer_than_usual_is_followed_in_a_few_steps() {
    let (line, rows) = behind_a_queue(600, 550, frame);
    assert!(rows <= 6, "{rows} waits; {:?}", line.buffer.stats());
    let delay = line.buffer.delay().expect("speaking").as_millis();
    assert!((600..760).contains(&delay), "{delay}");
}

#[test]
fn what_a_queue_that_stayed_short_did_not_need_is_given_back() {
    // A vowel, since noise is left as it is.
    let tone: Vec<i16> = crate::tone::Sine::new(160.0, RATE, 0.3).take(160 * 800).collect();
    let vowel = |n: u32| tone[n as usize * 160..][..160].to_vec();
    let delay = |count| {
        let (line, _) = behind_a_queue(60, count, vowel);
        line.buffer.delay().expect("speaking").as_millis()
    };
    // While it is believed, and some seconds later.
    let (believed, later) = (delay(280), delay(700));
    assert!(believed > 150 && later < 140, "{believed}, {later}");
}

#[test]
fn of_a_frame_that_is_a_little_late_the_rest_is_heard_in_its_place() {
    let mut line = Line::new();
    line.run(0..200, 0);
    // So late that a part of it had to be made up.
    let delay = line.buffer.delay().expect("speaking");
    for n in 200..203 {
        line.goes_on();
        assert!(n > 200 || delay < Duration::from_millis(60), "{delay:?}");
    }
    for n in 200..203 {
        let _ = line.comes(n, n * 20);
    }
    line.run(203..300, 0);
    let stats = line.buffer.stats();
    assert_eq!((stats.shortened, stats.lengthened, stats.waited), (0, 0, 0), "{stats:?}");
    assert!(stats.concealed < 60 * 8, "{stats:?}");
    let rest = &frame(202)[120..];
    let at = line.heard.windows(40).position(|window| window == rest).expect("its end is heard");
    assert_eq!(line.heard_at(203), Some(at + 40));
}

#[test]
fn a_gap_is_made_up_of_what_is_before_it_and_behind_it() {
    // A tone that becomes another within the gap.
    let (low, high) =
        (crate::tone::Sine::new(160.0, RATE, 0.3), crate::tone::Sine::new(320.0, RATE, 0.3));
    let said: Vec<i16> = low.take(160 * 100).chain(high.take(160 * 100)).collect();
    let mut line = Line::new();
    for (n, said) in (0_u32..).zip(said.chunks(160)) {
        let mut payload = Vec::new();
        Codec::Slin.encode(said, &mut payload);
        if n != 100 {
            let _ = line.buffer.insert(line.now(), n * 20, &payload);
        }
        line.goes_on();
    }
    let stats = line.buffer.stats();
    assert_eq!((stats.concealed, stats.waited, stats.late), (160, 0, 0), "{stats:?}");
    let crossings =
        |part: &[i16]| part.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count();
    let gap = line.heard.windows(160).rposition(|window| window == &said[160 * 99..160 * 100]);
    let gap = &line.heard[gap.expect("heard") + 160..][..160];
    let [first, last] = [&gap[..80], &gap[80..]].map(crossings);
    assert!(first <= 2 && last >= 3, "{first} and {last} in {gap:?}");
}

#[test]
fn more_than_can_wait_costs_the_oldest() {
    let mut line = Line::new();
    for n in 0..150 {
        assert_eq!(line.comes(n, n * 3), Inserted::Kept);
    }
    assert_eq!((line.buffer.stats().refused, line.buffer.frames.len()), (50, 100));
    assert_eq!(line.comes(0, 0), Inserted::Unusable, "it is older than all that wait");
    assert_eq!(line.buffer.insert(line.now(), 0, &[]), Inserted::Unusable);
    assert_eq!(line.buffer.insert(line.now(), 0, &[0; 961]), Inserted::Unusable);
}

#[test]
fn who_pulls_in_bursts_hears_the_same() {
    let mut line = Line::new();
    for n in 0..400 {
        let _ = line.comes(n, n * 20);
        line.now_us += 20_000;
        // A machine that is busy for 100 ms, and then does at once what is due.
        if n % 5 == 4 {
            let now = line.now_us;
            for _ in 0..5 {
                line.goes_on();
                line.now_us = now;
            }
        }
    }
    let stats = line.buffer.stats();
    assert!(stats.concealed == 0 && stats.late == 0, "{stats:?}");
    let first = line.heard_at(200).expect("heard");
    let said: Vec<i16> = (200..380).flat_map(frame).collect();
    assert_eq!(line.heard[first..first + said.len()], said);
}

#[test]
fn delay_that_only_who_pulls_in_bursts_needs_is_not_taken_away_for_long() {
    let mut line = Line::new();
    // A vowel, which may be shortened: frames come in time, and so its delay goes.
    let tone: Vec<i16> = crate::tone::Sine::new(160.0, RATE, 0.3).take(160 * 3_000).collect();
    for (n, tone) in (0_u32..).zip(tone.chunks(160)) {
        let mut payload = Vec::new();
        Codec::Slin.encode(tone, &mut payload);
        let _ = line.buffer.insert(line.now(), n * 20, &payload);
        line.now_us += 20_000;
        if n % 5 == 4 {
            let now = line.now_us;
            for _ in 0..5 {
                line.goes_on();
                line.now_us = now;
            }
        }
    }
    let stats = line.buffer.stats();
    // One in five would be late without it.
    assert!(stats.shortened > 0 && stats.waited > 0 && stats.late < 300, "{stats:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Whatever comes, whenever: what goes out is as long as it should be, memory stays what it is, and
    /// what goes out is at most what came in, and what was made up.
    #[test]
    fn nothing_hostile_does_harm(
        steps in proptest::collection::vec((any::<u32>(), any::<i16>(), 0_usize..1_000, 0_u8..8), 0..300),
        wide: bool,
    ) {
        let rate = if wide { 16_000 } else { 8_000 };
        let mut buffer = JitterBuffer::new(JitterConfig::new(rate));
        let (mut now, mut stamp) = (0_u64, 0_u32);
        let mut out = vec![0; 400];
        let mut decoder = Codec::Slin.decoder();
        let mut pulled = 0;
        for (random, small, len, kind) in steps {
            now = match kind {
                0 => u64::from(random) << (small & 31),
                _ => now + u64::from(small.unsigned_abs()),
            };
            stamp = match kind {
                1 => random,
                2 => stamp.wrapping_add_signed(small.into()),
                _ => stamp.wrapping_add(20),
            };
            let time = Duration::from_micros(now);
            let payload: Vec<u8> = (0..len).map(|n| (n as u32 ^ random) as u8).collect();
            let _ = buffer.insert(time, stamp, &payload);
            let len = len.min(400);
            buffer.pull(time, &mut *decoder, &mut out[..len]);
            pulled += len as u64;
        }
        let stats = buffer.stats();
        prop_assert!(stats.played <= pulled);
        prop_assert!(buffer.frames.len() <= 100);
        prop_assert!(buffer.delay().is_none_or(|delay| delay < Duration::from_secs(1 << 50)));
    }
}
