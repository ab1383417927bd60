//! The jitter buffer on traces of several networks; beside it fixed buffers with the same delay, and
//! Asterisk's own. `cargo xtask jitter` prints the table of docs/media.md; with `--without-peers` it
//! leaves out Asterisk, and takes synthetic speech. Numbers are the seeds of the networks. Where `ONEPORT_WAV` names a
//! directory, what was said and what each buffer lets be heard is written there, for other judges.

mod asterisk;

use std::path::Path;
use std::time::Duration;
use std::{fmt, iter, thread};

use asterisk::{Buffer, Passage, Played};
use oneport_media::Codec;
use oneport_media::jitter_buffer::{JitterBuffer, JitterConfig, JitterStats};
use oneport_media::wav::Writer;
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
/// The seeds of the networks, unless others are asked for.
const SEEDS: [u64; 3] = [1, 21, 22];
/// Fixed buffers, and what they delay by.
const FIXED: [&str; 2] = ["fixed, our mean", "fixed, our p95"];
/// Scores and delays, in ms, that are no further apart are the same.
const SAME_SCORE: f64 = 0.005;
const SAME_MS: f64 = 1.0;

/// How a buffer did.
#[derive(Clone, Copy)]
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
fn judge(said: &Said, heard: &[i16], trace: &Trace, buffer: &str) -> Outcome {
    let (speech, start) = (&said.speech, BEGINNING * FRAME);
    write(&format!("{} {} {buffer}", said.seed, trace.name), &heard[start..]);
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

/// Writes what is heard where somebody wants to hear it.
fn write(name: &str, samples: &[i16]) {
    if let Some(directory) = std::env::var_os("ONEPORT_WAV") {
        let file = Path::new(&directory).join(format!("{name}.wav"));
        let mut file = Writer::create(&file, RATE).expect("writable");
        file.write(samples).and_then(|()| file.finish()).expect("writable");
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

/// How ours does beside another: of so many seeds.
#[derive(Clone, Copy, Default)]
struct Beside {
    better: u32,
    same: u32,
    /// Better, and with more delay.
    later: u32,
    worse: u32,
}

impl Beside {
    fn count(&mut self, ours: &Outcome, theirs: &Outcome) {
        let later =
            ours.delay > theirs.delay + SAME_MS || ours.delay_95 > theirs.delay_95 + SAME_MS;
        let more = ours.score - theirs.score;
        *match (later, more > SAME_SCORE) {
            (false, true) => &mut self.better,
            (true, true) => &mut self.later,
            (false, false) if more >= -SAME_SCORE => &mut self.same,
            (_, false) => &mut self.worse,
        } += 1;
    }
}

impl fmt::Display for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { better, same, later, worse } = self;
        let parts =
            [(better, "better"), (same, "the same"), (later, "better, later"), (worse, "worse")];
        let said = parts.iter().filter(|(count, _)| **count > 0);
        let said: Vec<String> = said.map(|(count, what)| format!("{count} {what}")).collect();
        f.write_str(&said.join("; "))
    }
}

/// The mean of what is there of it.
fn mean_of(outcomes: &[Outcome], value: impl Fn(&Outcome) -> Option<f64>) -> Option<f64> {
    let values: Vec<f64> = outcomes.iter().filter_map(value).collect();
    (!values.is_empty()).then(|| mean(values.into_iter()))
}

/// A row of the table: a buffer on a network, with all seeds.
fn row(network: &str, buffer: &str, outcomes: &[Outcome], beside: &str) {
    let number = |value: Option<f64>, digits: usize| {
        value.map_or_else(|| "–".into(), |value| format!("{value:.digits$}"))
    };
    println!(
        "| {network} | {buffer} | {} | {} | {} | {} | {} | {beside} |",
        number(mean_of(outcomes, |outcome| Some(outcome.delay)), 0),
        number(mean_of(outcomes, |outcome| Some(outcome.delay_95)), 0),
        number(mean_of(outcomes, |outcome| outcome.late), 1),
        number(mean_of(outcomes, |outcome| outcome.concealed), 1),
        number(mean_of(outcomes, |outcome| Some(outcome.score)), 3),
    );
}

/// Ours on a trace.
fn ours(trace: &Trace, arrivals: &[(f64, usize)], said: &Said) -> Outcome {
    let (heard, stats) = adaptive(arrivals, &said.payloads);
    if std::env::var_os("ONEPORT_SHOW").is_some() {
        eprintln!("{}: {stats:?}", trace.name);
    }
    Outcome {
        late: Some(100.0 * stats.late as f64 / (stats.frames + stats.late) as f64),
        concealed: Some(100.0 * (stats.concealed + stats.waited) as f64 / stats.played as f64),
        ..judge(said, &heard, trace, "ours")
    }
}

/// Ours and all others on a trace; without Asterisk there are less.
fn all_on(trace: &Trace, played: &[Played], said: &Said) -> Vec<Outcome> {
    // The very times at which frames left for Asterisk.
    let arrivals = played.first().map_or_else(|| trace.arrivals(), |played| played.sent.clone());
    let ours = ours(trace, &arrivals, said);
    let mut outcomes = vec![ours];
    for (delay, name) in [ours.delay, ours.delay.max(ours.delay_95)].into_iter().zip(FIXED) {
        let (heard, late) = fixed(&arrivals, &said.payloads, trace.least_ms(), delay);
        outcomes.push(Outcome { late: Some(late), ..judge(said, &heard, trace, name) });
    }
    for (played, buffer) in played.iter().zip(Buffer::ALL) {
        let late = played.late.map(|(late, all)| 100.0 * f64::from(late) / f64::from(all.max(1)));
        outcomes.push(Outcome { late, ..judge(said, &played.heard, trace, buffer.name()) });
    }
    outcomes
}

/// What is said, and its frames, on networks of a seed.
#[derive(Clone)]
struct Said {
    seed: u64,
    speech: Vec<i16>,
    payloads: Vec<Vec<u8>>,
}

/// All buffers on the networks of a seed, and which Asterisk it was.
fn all_of(with_peers: bool, said: &Said) -> (Vec<(Trace, Vec<Outcome>)>, String) {
    let mut traces = all(said.seed, said.payloads.len());
    for trace in &mut traces {
        let first = trace.least_ms() + 1.0;
        trace.delays[..BEGINNING / 2].fill(Some(first));
    }
    let (played, version) = if with_peers {
        let passages = traces.iter().flat_map(|trace| {
            let ours = ours(trace, &trace.arrivals(), said);
            let delay_ms = ours.delay.max(ours.delay_95).ceil() as u32;
            Buffer::ALL.map(|buffer| Passage { trace, buffer, delay_ms })
        });
        asterisk::play(&passages.collect::<Vec<_>>(), &said.payloads)
    } else {
        (Vec::new(), String::new())
    };
    let buffers = played.len() / traces.len();
    let outcomes: Vec<Vec<Outcome>> = thread::scope(|scope| {
        let judged = traces.iter().enumerate().map(|(n, trace)| {
            let played = &played[n * buffers..(n + 1) * buffers];
            scope.spawn(move || all_on(trace, played, said))
        });
        let judged: Vec<_> = judged.collect();
        judged.into_iter().map(|judged| judged.join().expect("judged")).collect()
    });
    (traces.into_iter().zip(outcomes).collect(), version)
}

fn main() {
    let with_peers = !std::env::args().any(|argument| argument == "--without-peers");
    let seeds: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let seeds = if seeds.is_empty() { SEEDS.to_vec() } else { seeds };
    let (speech, what) = speech(with_peers);
    let encode = |frame: &[i16]| {
        let mut payload = Vec::new();
        Codec::Ulaw.encode(frame, &mut payload);
        payload
    };
    let payloads = speech.chunks_exact(FRAME).map(encode).collect();
    write("said", &speech[BEGINNING * FRAME..]);
    let said = Said { seed: 0, speech, payloads };
    let of = |seed: &u64| all_of(with_peers, &Said { seed: *seed, ..said.clone() });
    let (runs, versions): (Vec<_>, Vec<_>) = seeds.iter().map(of).unzip();
    let version = versions.first().map_or("", String::as_str);
    println!("{SECONDS} s of {what} in µ-law; {version}; seeds {seeds:?}");
    println!("| network | buffer | delay | p95 | late % | concealed % | score | ours beside it |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let names = FIXED.into_iter().chain(Buffer::ALL.map(Buffer::name));
    let names: Vec<&str> = iter::once("ours").chain(names).collect();
    for (n, (trace, outcomes)) in runs[0].iter().enumerate() {
        let lost = mean(runs.iter().map(|run| run[n].0.loss_percent()));
        for (k, buffer) in names.iter().take(outcomes.len()).enumerate() {
            let mut beside = Beside::default();
            for run in &runs {
                beside.count(&run[n].1[0], &run[n].1[k]);
            }
            let all: Vec<Outcome> = runs.iter().map(|run| run[n].1[k]).collect();
            match k {
                0 => row(&format!("{}, {lost:.1} % lost", trace.name), buffer, &all, ""),
                _ => row("", buffer, &all, &beside.to_string()),
            }
        }
    }
}
