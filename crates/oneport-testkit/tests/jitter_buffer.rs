//! The jitter buffer on simulated networks and clocks, for hours and for many seeds.

use std::time::Duration;

use oneport_media::Codec;
use oneport_media::jitter_buffer::{JitterBuffer, JitterConfig, JitterStats, Pulled};
use oneport_testkit::audio::speech::{Dice, Voice, synthesize};
use oneport_testkit::audio::trace;

const RATE: u32 = 8_000;
const FRAME: usize = 160;

fn encoded(seed: u64, seconds: u32) -> Vec<Vec<u8>> {
    let speech = synthesize(seed, Voice::Low, RATE, seconds * 1000);
    let encode = |frame: &[i16]| {
        let mut payload = Vec::new();
        Codec::Ulaw.encode(frame, &mut payload);
        payload
    };
    speech.chunks_exact(FRAME).map(encode).collect()
}

/// Four hours with a sender whose clock is off by so many µs in each second.
fn four_hours(ppm: i64) {
    const FRAMES: u64 = 4 * 3600 * 50;
    let frames = encoded(1, 20);
    let mut buffer = JitterBuffer::new(JitterConfig::new(RATE));
    let (mut dice, mut out, mut decoder) = (Dice::new(9), [0; FRAME], Codec::Ulaw.decoder());
    let mut pulls = 0_u64;
    let mut most = Duration::ZERO;
    for n in 0..FRAMES {
        let sent = (n * 20_000).checked_add_signed(n as i64 * 20_000 * ppm / 1_000_000);
        let now = sent.expect("not before the beginning") + 50_000 + u64::from(dice.bits() % 4_000);
        while pulls * 20_000 <= now {
            buffer.pull(Duration::from_micros(pulls * 20_000), &mut *decoder, &mut out);
            pulls += 1;
        }
        let frame = &frames[n as usize % frames.len()];
        // The stamps of four hours wrap when they begin high.
        let stamp = (n as u32 * 20).wrapping_add(u32::MAX - 3_000_000);
        let _ = buffer.insert(Duration::from_micros(now), stamp, frame);
        if n > 100 {
            most = most.max(buffer.delay().unwrap_or_default());
        }
    }
    let stats = buffer.stats();
    assert_eq!((stats.frames, stats.late, stats.restarts), (FRAMES, 0, 0), "{stats:?}");
    assert_eq!((stats.concealed, stats.waited), (0, 0), "{stats:?}");
    // 200 ppm of four hours are 2.88 s.
    let drift = 4 * 3600 * i64::from(RATE) * -ppm / 1_000_000;
    let scaled = stats.shortened as i64 - stats.lengthened as i64;
    assert!((scaled - drift).abs() < 1_000, "{scaled} for {drift}: {stats:?}");
    // No more than is needed, either.
    let all = (stats.shortened + stats.lengthened) as i64;
    assert!(all <= drift.abs() + 1_000, "{stats:?}");
    assert!(most <= Duration::from_millis(75), "{most:?}");
}

#[test]
fn four_hours_of_a_fast_clock_cost_nothing_but_some_pauses() {
    four_hours(-200);
}

#[test]
fn four_hours_of_a_slow_clock_cost_nothing_but_some_longer_pauses() {
    four_hours(200);
}

#[test]
fn four_hours_of_a_true_clock_change_nothing() {
    four_hours(0);
}

struct Run {
    stats: JitterStats,
    most_delay: Duration,
    /// The delay at the end.
    last_delay: Option<Duration>,
    kinds: [u64; 3],
}

/// Half of a minute on each network, at a phase of the pulls that the seed draws.
fn run(delays: &trace::Trace, frames: &[Vec<u8>], seed: u64) -> Run {
    let mut buffer = JitterBuffer::new(JitterConfig::new(RATE));
    let mut dice = Dice::new(seed);
    let (mut out, mut decoder) = ([0; FRAME / 2], Codec::Ulaw.decoder());
    let phase = dice.unit() * 10.0;
    let base = dice.bits();
    let mut arrivals = delays.arrivals().into_iter().peekable();
    let (mut most_delay, mut kinds) = (Duration::ZERO, [0; 3]);
    let end = frames.len() as u32 * trace::FRAME_MS;
    let mut last_delay = None;
    for now in (0..end).step_by(10) {
        let now = f64::from(now) + phase;
        while let Some((at, n)) = arrivals.next_if(|(at, _)| *at <= now) {
            let stamp = base.wrapping_add(n as u32 * trace::FRAME_MS);
            for _ in 0..1 + u32::from(dice.happens(0.02)) {
                let _ = buffer.insert(Duration::from_secs_f64(at / 1e3), stamp, &frames[n]);
            }
        }
        let pulled = buffer.pull(Duration::from_secs_f64(now / 1e3), &mut *decoder, &mut out);
        kinds[match pulled {
            Pulled::Said => 0,
            Pulled::Concealed => 1,
            Pulled::Pause => 2,
        }] += 1;
        last_delay = buffer.delay();
        most_delay = most_delay.max(last_delay.unwrap_or_default());
    }
    Run { stats: buffer.stats(), most_delay, last_delay, kinds }
}

#[test]
fn on_any_network_with_any_seed_nearly_all_is_heard_at_a_bounded_delay() {
    let frames = encoded(3, 30);
    for seed in 0..40 {
        for network in trace::all(seed, frames.len()) {
            let Run { stats, most_delay, kinds, .. } = run(&network, &frames, seed);
            let what =
                format!("seed {seed}, {}: {stats:?}, {most_delay:?}, {kinds:?}", network.name);
            let came = network.delays.iter().flatten().count() as u64;
            assert!(stats.frames + stats.late + 60 >= came, "{what}");
            assert!(stats.late * 30 <= came, "{what}");
            assert_eq!(stats.restarts, 0, "{what}");
            let lost = (frames.len() as u64 - came) * FRAME as u64;
            // What is made up is what was lost, and some blinks of the eye.
            let made_up = stats.concealed + stats.waited;
            assert!(made_up <= lost + 30 * u64::from(RATE) / 25, "{what}");
            assert!(most_delay < Duration::from_millis(600), "{what}");
            assert!(kinds[2] < 60, "{what}");
        }
    }
}

#[test]
fn a_call_that_pauses_and_bursts_is_in_step_after_each() {
    let frames = encoded(4, 60);
    for seed in 0..40 {
        let mut dice = Dice::new(seed);
        let mut speaks = true;
        let delay = |_: &Vec<u8>| {
            // Nobody sends in pauses, which come each two seconds on average.
            speaks ^= dice.happens(if speaks { 0.01 } else { 0.02 });
            speaks.then(|| 20.0 + dice.unit() * 10.0)
        };
        let mut delays: Vec<Option<f64>> = frames.iter().map(delay).collect();
        let last = delays.len() - 100;
        delays[last..].fill(Some(25.0));
        let network = trace::Trace { name: "talk spurts", delays };
        let Run { stats, most_delay, last_delay, kinds } = run(&network, &frames, seed);
        let what = format!("seed {seed}: {stats:?}, {most_delay:?}, {kinds:?}");
        assert_eq!((stats.late, stats.restarts, stats.refused), (0, 0, 0), "{what}");
        assert!(kinds[2] > 100, "{what}");
        // A pause shorter than what is waited for is taken for delay, which goes again.
        assert!(most_delay < Duration::from_millis(350), "{what}");
        assert!(last_delay.is_some_and(|delay| delay < Duration::from_millis(120)), "{what}");
    }
}
