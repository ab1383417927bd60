//! The jitter buffer on traces of several networks; beside it a fixed buffer with the same delay, and
//! Asterisk's own. `cargo xtask jitter` prints the table of docs/media.md; with `--without-peers` it
//! leaves out Asterisk, and takes synthetic speech.

mod asterisk;

use std::time::Duration;

use asterisk::Played;
use oneport_media::Codec;
use oneport_media::jitter_buffer::{JitterBuffer, JitterConfig, JitterStats};
use oneport_testkit::audio::similarity::{Similarity, compare};
use oneport_testkit::audio::speech::{Voice, synthesize};
use oneport_testkit::audio::trace::{FRAME_MS, Trace, all};
use oneport_testkit::peers::asterisk::prompts;

const RATE: u32 = 8_000;
const FRAME: usize = (RATE * FRAME_MS / 1000) as usize;
/// How much later than said something may be heard.
const LATEST_MS: u32 = 1_000;
const SECONDS: u32 = 60;
/// What goes ahead of speech and is not compared, in frames: calls begin in it.
const BEGINNING: usize = 50;
/// What is pulled at once, in ms.
const PULL_MS: u32 = 20;

/// How a buffer did.
struct Outcome {
    delay: f64,
    delay_95: f64,
    late: Option<f64>,
    concealed: Option<f64>,
    score: f64,
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / f64::max(count, 1.0)
}

/// What is compared begins behind the beginning, in what was said and in what was heard.
fn judge(speech: &[i16], heard: &[i16], trace: &Trace) -> Outcome {
    let start = BEGINNING * FRAME;
    let Similarity { score, parts, .. } =
        compare(&speech[start..], &heard[start..], RATE, LATEST_MS);
    let mut delays: Vec<f64> = parts.iter().map(|part| part.delay_ms - trace.least_ms()).collect();
    delays.sort_by(f64::total_cmp);
    Outcome {
        delay: mean(delays.iter().copied()),
        delay_95: delays[delays.len() * 95 / 100],
        late: None,
        concealed: None,
        score,
    }
}

/// Our buffer.
fn adaptive(arrivals: &[(f64, usize)], payloads: &[Vec<u8>]) -> (Vec<i16>, JitterStats) {
    let mut buffer = JitterBuffer::new(JitterConfig::new(RATE));
    let mut decoder = Codec::Ulaw.decoder();
    let mut arrivals = arrivals.iter().peekable();
    let mut out = vec![0; (RATE * PULL_MS / 1000) as usize];
    let mut heard = Vec::new();
    let end = payloads.len() as u32 * FRAME_MS + LATEST_MS;
    for now in (0..end).step_by(PULL_MS as usize) {
        while let Some((at, n)) = arrivals.next_if(|(at, _)| *at <= f64::from(now)) {
            let came = Duration::from_secs_f64(at / 1e3);
            let _ = buffer.insert(came, *n as u32 * FRAME_MS, &payloads[*n]);
        }
        buffer.pull(Duration::from_millis(now.into()), &mut *decoder, &mut out);
        heard.extend_from_slice(&out);
    }
    (heard, buffer.stats())
}

/// A buffer that plays each frame so many ms after the fastest could be there, and silence for those that
/// are not. Also the part that is late.
fn fixed(
    arrivals: &[(f64, usize)],
    payloads: &[Vec<u8>],
    least: f64,
    delay: f64,
) -> (Vec<i16>, f64) {
    let mut heard = vec![0; payloads.len() * FRAME + (RATE * LATEST_MS / 1000) as usize];
    let shift = ((least + delay) * f64::from(RATE) / 1e3) as usize;
    let (mut samples, mut late) = (Vec::new(), 0);
    for (at, n) in arrivals {
        if *at > (*n as u32 * FRAME_MS) as f64 + least + delay {
            late += 1;
            continue;
        }
        samples.clear();
        Codec::Ulaw.decode(&payloads[*n], &mut samples);
        let place = n * FRAME + shift;
        heard[place..place + FRAME].copy_from_slice(&samples);
    }
    (heard, 100.0 * f64::from(late) / arrivals.len() as f64)
}

/// Prompts of Asterisk, one behind the other, or synthetic speech where there is none.
fn speech(with_peers: bool) -> (Vec<i16>, &'static str) {
    let mut speech = vec![0; BEGINNING * FRAME];
    let len = speech.len() + (SECONDS * RATE) as usize;
    if !with_peers {
        speech.extend(synthesize(1, Voice::Low, RATE, SECONDS * 500));
        speech.extend(synthesize(2, Voice::High, RATE, SECONDS * 500));
        return (speech, "synthetic speech of two voices");
    }
    let directory = std::fs::read_dir(prompts()).expect("Asterisk has prompts").flatten();
    let mut files: Vec<_> = directory.map(|entry| entry.path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|ext| ext == "gsm")) {
        let bytes = std::fs::read(file).expect("readable");
        // Three seconds and more.
        if bytes.len() > 150 * 33 && speech.len() < len {
            Codec::Gsm.decode(&bytes, &mut speech);
            speech.extend([0; 4 * FRAME]);
        }
    }
    speech.truncate(len);
    (speech, "prompts of Asterisk's English voice")
}

fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), |value| format!("{value:.1}"))
}

fn row(name: &str, buffer: &str, outcome: &Outcome) {
    println!(
        "| {name} | {buffer} | {:.0} | {:.0} | {} | {} | {:.2} |",
        outcome.delay,
        outcome.delay_95,
        percent(outcome.late),
        percent(outcome.concealed),
        outcome.score
    );
}

fn main() {
    let with_peers = !std::env::args().any(|argument| argument == "--without-peers");
    let seeds: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let seeds = if seeds.is_empty() { vec![1] } else { seeds };
    let (speech, what) = speech(with_peers);
    let payloads: Vec<Vec<u8>> = speech
        .chunks_exact(FRAME)
        .map(|frame| {
            let mut payload = Vec::new();
            Codec::Ulaw.encode(frame, &mut payload);
            payload
        })
        .collect();
    for seed in seeds {
        let mut traces = all(seed, payloads.len());
        for trace in &mut traces {
            let first = trace.least_ms() + 1.0;
            trace.delays[..BEGINNING / 2].fill(Some(first));
        }
        let (played, version) = match with_peers {
            true => asterisk::play(&traces, &payloads),
            false => (Vec::new(), String::new()),
        };
        println!("{SECONDS} s of {what} in µ-law; {version}; seed {seed}");
        println!("| network | buffer | delay | p95 | late % | concealed % | score |");
        println!("| --- | --- | --- | --- | --- | --- | --- |");
        for (n, trace) in traces.iter().enumerate() {
            compare_on(trace, played.get(n), &speech, &payloads);
        }
    }
}

fn compare_on(trace: &Trace, played: Option<&Played>, speech: &[i16], payloads: &[Vec<u8>]) {
    // The very times at which frames left for Asterisk.
    let arrivals = played.map_or_else(|| trace.arrivals(), |played| played.sent.clone());
    let (heard, stats) = adaptive(&arrivals, payloads);
    let ours = Outcome {
        late: Some(100.0 * stats.late as f64 / (stats.frames + stats.late) as f64),
        concealed: Some(100.0 * (stats.concealed + stats.waited) as f64 / stats.played as f64),
        ..judge(speech, &heard, trace)
    };
    row(&format!("{}, {:.1} % lost", trace.name, trace.loss_percent()), "ours", &ours);
    let (heard, late) = fixed(&arrivals, payloads, trace.least_ms(), ours.delay);
    let silent = late + trace.loss_percent();
    let fixed = Outcome { late: Some(late), ..judge(speech, &heard, trace) };
    row("", &format!("fixed, {silent:.1} % silent"), &fixed);
    if let Some(played) = played {
        let late = played.late.map(|(late, all)| 100.0 * f64::from(late) / f64::from(all.max(1)));
        let asterisk = Outcome { late, ..judge(speech, &played.heard, trace) };
        row("", "Asterisk", &asterisk);
    }
    if std::env::var_os("ONEPORT_SHOW").is_some() {
        eprintln!("{stats:?}");
    }
}
