//! The jitter buffer on traces of several networks.
//!
//! It prints the tables of docs/media.md: `cargo xtask jitter`.

use std::time::Duration;

use oneport_media::Codec;
use oneport_media::jitter_buffer::{JitterBuffer, JitterConfig, JitterStats};
use oneport_testkit::audio::similarity::{Similarity, compare};
use oneport_testkit::audio::speech::{Voice, synthesize};
use oneport_testkit::audio::trace::{FRAME_MS, Trace, all};

const RATE: u32 = 8_000;
const FRAME: usize = (RATE * FRAME_MS / 1000) as usize;
const LATEST_MS: u32 = 1_000;

fn payloads(speech: &[i16]) -> Vec<Vec<u8>> {
    let encode = |frame: &[i16]| {
        let mut payload = Vec::new();
        Codec::Ulaw.encode(frame, &mut payload);
        payload
    };
    speech.chunks_exact(FRAME).map(encode).collect()
}

/// Plays a trace through our buffer.
fn ours(trace: &Trace, payloads: &[Vec<u8>], pull_ms: u32) -> (Vec<i16>, JitterStats, Vec<f64>) {
    let mut buffer = JitterBuffer::new(JitterConfig::new(RATE));
    let mut decoder = Codec::Ulaw.decoder();
    let mut arrivals = trace.arrivals().into_iter().peekable();
    let mut out = vec![0; (RATE * pull_ms / 1000) as usize];
    let (mut heard, mut delays) = (Vec::new(), Vec::new());
    let end = payloads.len() as u32 * FRAME_MS + LATEST_MS;
    for now in (0..end).step_by(pull_ms as usize) {
        while let Some((at, n)) = arrivals.next_if(|(at, _)| *at <= f64::from(now)) {
            let _ =
                buffer.insert(Duration::from_secs_f64(at / 1e3), n as u32 * FRAME_MS, &payloads[n]);
        }
        buffer.pull(Duration::from_millis(now.into()), &mut *decoder, &mut out);
        heard.extend_from_slice(&out);
        delays.extend(buffer.delay().map(|delay| delay.as_secs_f64() * 1e3));
    }
    (heard, buffer.stats(), delays)
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / f64::max(count, 1.0)
}

fn delays(found: &Similarity, least: f64) -> (f64, f64) {
    let mut delays: Vec<f64> = found.parts.iter().map(|part| part.delay_ms - least).collect();
    delays.sort_by(f64::total_cmp);
    (mean(delays.iter().copied()), delays[delays.len() * 95 / 100])
}

fn main() {
    let seconds = 60;
    for seed in 1..=3 {
        let speech = synthesize(
            seed,
            if seed % 2 == 0 { Voice::High } else { Voice::Low },
            RATE,
            seconds * 1000,
        );
        let payloads = payloads(&speech);
        for trace in all(seed, payloads.len()) {
            let (heard, stats, own) = ours(&trace, &payloads, 10);
            let found = compare(&speech, &heard, RATE, LATEST_MS);
            let (average, p95) = delays(&found, trace.least_ms());
            println!(
                "{:<18} loss {:4.1}%  delay {average:6.1} p95 {p95:6.1} own {:6.1}  score {:.3}  {stats:?}",
                trace.name,
                trace.loss_percent(),
                mean(own.into_iter()),
                found.score
            );
        }
    }
}
