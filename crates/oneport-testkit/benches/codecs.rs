//! What each codec, and each pair of codecs in a bridge, costs and leaves of speech: the tables of
//! docs/media.md. `cargo bench -p oneport-testkit --bench codecs`, with `--features speex,opus` for those
//! too.

use std::time::{Duration, Instant};

use oneport_media::half_band::{Doubler, Halver};
use oneport_media::{Codec, Decoder, Encoder};
use oneport_testkit::audio::similarity::compare;
use oneport_testkit::audio::speech::{Voice, synthesize};

/// Speech of each voice, in ms.
const SPEECH_MS: u32 = 8_000;
const WIDE: u32 = 16_000;
const FRAME_MS: u16 = 20;
/// Of so many runs the fastest counts: the others were disturbed.
const RUNS: usize = 5;

/// Changes the rate of a stream where it must.
enum Rate {
    Same,
    Half(Box<Halver>),
    Double(Box<Doubler>),
}

impl Rate {
    fn new(from: Codec, to: Codec) -> Self {
        match (from.sample_rate(), to.sample_rate()) {
            (WIDE, 8_000) => Self::Half(Box::default()),
            (8_000, WIDE) => Self::Double(Box::default()),
            _ => Self::Same,
        }
    }

    fn pass(&mut self, samples: &[i16], out: &mut Vec<i16>) {
        match self {
            Self::Same => out.extend_from_slice(samples),
            Self::Half(halver) => halver.halve(samples, out),
            Self::Double(doubler) => doubler.double(samples, out),
        }
    }
}

/// What a bridge does between two legs.
struct Bridge {
    decoder: Box<dyn Decoder>,
    rate: Rate,
    encoder: Box<dyn Encoder>,
    samples: Vec<i16>,
    other: Vec<i16>,
}

impl Bridge {
    fn new(from: Codec, to: Codec) -> Self {
        let (decoder, encoder) = (from.decoder(), to.encoder());
        let rate = Rate::new(from, to);
        Self { decoder, rate, encoder, samples: Vec::new(), other: Vec::new() }
    }

    fn pass(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        self.samples.clear();
        self.other.clear();
        out.clear();
        self.decoder.decode(payload, &mut self.samples);
        self.rate.pass(&self.samples, &mut self.other);
        self.encoder.encode(&self.other, out);
    }
}

/// Microseconds for each of so many frames.
fn micros(frames: usize, mut run: impl FnMut()) -> f64 {
    let mut best = Duration::MAX;
    for _ in 0..RUNS {
        let start = Instant::now();
        run();
        best = best.min(start.elapsed());
    }
    best.as_secs_f64() * 1e6 / frames as f64
}

fn payloads(codec: Codec, speech: &[i16]) -> Vec<Vec<u8>> {
    let mut encoder = codec.encoder();
    let frames = speech.chunks_exact(codec.samples_in(FRAME_MS));
    let payload = |frame| {
        let mut payload = Vec::new();
        encoder.encode(frame, &mut payload);
        payload
    };
    frames.map(payload).collect()
}

/// Speech of both voices at both rates.
struct Speeches {
    narrow: [Vec<i16>; 2],
    wide: [Vec<i16>; 2],
}

impl Speeches {
    fn new() -> Self {
        let wide = [Voice::Low, Voice::High].map(|voice| synthesize(7, voice, WIDE, SPEECH_MS));
        let narrow = wide.each_ref().map(|wide| {
            let mut narrow = Vec::new();
            Halver::default().halve(wide, &mut narrow);
            narrow
        });
        Self { narrow, wide }
    }

    const fn at(&self, codec: Codec) -> &[Vec<i16>; 2] {
        if codec.sample_rate() == WIDE { &self.wide } else { &self.narrow }
    }

    /// The mean score of both voices through `from`, a bridge and `to`; without `to` through `from` alone.
    fn score(&self, from: Codec, to: Option<Codec>) -> f64 {
        let last = to.unwrap_or(from);
        let scores = self.at(from).iter().zip(self.at(last)).map(|(speech, reference)| {
            let mut frames = payloads(from, speech);
            if let Some(to) = to {
                let (mut bridge, mut out) = (Bridge::new(from, to), Vec::new());
                for frame in &mut frames {
                    bridge.pass(frame, &mut out);
                    frame.clone_from(&out);
                }
            }
            let (mut decoder, mut heard) = (last.decoder(), Vec::new());
            frames.iter().for_each(|frame| decoder.decode(frame, &mut heard));
            heard.resize(heard.len() + last.samples_in(200), 0);
            compare(reference, &heard, last.sample_rate(), 150).score
        });
        scores.sum::<f64>() / 2.0
    }
}

fn row(cells: impl IntoIterator<Item = String>) {
    println!("| {} |", cells.into_iter().collect::<Vec<_>>().join(" | "));
}

fn name(codec: Codec) -> String {
    format!("`{}`", codec.format().name())
}

fn alone(speeches: &Speeches) {
    row(["format", "kbit/s", "encoding, µs", "decoding, µs", "score"].map(String::from));
    row(["---"; 5].map(String::from));
    for codec in Codec::ALL.iter().copied() {
        let speech = &speeches.at(codec)[0];
        let frames = payloads(codec, speech);
        let bytes: usize = frames.iter().map(Vec::len).sum();
        let seconds = frames.len() as f64 * f64::from(FRAME_MS) / 1_000.0;
        let mut payload = Vec::new();
        let encoding = micros(frames.len(), || {
            let mut encoder = codec.encoder();
            for frame in speech.chunks_exact(codec.samples_in(FRAME_MS)) {
                payload.clear();
                encoder.encode(frame, &mut payload);
            }
        });
        let mut samples = Vec::new();
        let decoding = micros(frames.len(), || {
            let mut decoder = codec.decoder();
            for frame in &frames {
                samples.clear();
                decoder.decode(frame, &mut samples);
            }
        });
        row([
            name(codec),
            format!("{:.1}", bytes as f64 * 0.008 / seconds),
            format!("{encoding:.2}"),
            format!("{decoding:.2}"),
            format!("{:.2}", speeches.score(codec, None)),
        ]);
    }
}

fn pairs(cell: impl Fn(Codec, Codec) -> String) {
    let names = Codec::ALL.iter().copied().map(name);
    row(std::iter::once("from, to".to_string()).chain(names));
    row(std::iter::repeat_n("---".to_string(), Codec::ALL.len() + 1));
    for from in Codec::ALL.iter().copied() {
        let cells = Codec::ALL.iter().map(|to| cell(from, *to));
        row(std::iter::once(name(from)).chain(cells));
    }
}

fn cost(speeches: &Speeches, from: Codec, to: Codec) -> String {
    let frames = payloads(from, &speeches.at(from)[0]);
    let mut out = Vec::new();
    let micros = micros(frames.len(), || {
        let mut bridge = Bridge::new(from, to);
        for frame in &frames {
            bridge.pass(frame, &mut out);
        }
    });
    format!("{micros:.1}")
}

fn main() {
    let speeches = Speeches::new();
    println!("Each codec, for 20 ms:\n");
    alone(&speeches);
    println!("\nScore of speech through two legs:\n");
    pairs(|from, to| match from == to {
        true => format!("{:.2}", speeches.score(from, None)),
        false => format!("{:.2}", speeches.score(from, Some(to))),
    });
    println!("\nµs for 20 ms in one direction; the same codec on both legs passes untouched:\n");
    pairs(|from, to| match from == to {
        true => "–".to_string(),
        false => cost(&speeches, from, to),
    });
}
