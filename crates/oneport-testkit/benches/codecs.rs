//! What each codec, and each pair of codecs in a bridge, costs and leaves of speech: the tables of
//! docs/media.md. `cargo bench -p oneport-testkit --bench codecs`, with `--features speex,opus,lpc10,codec2`
//! for those too.

use std::time::{Duration, Instant};

#[cfg(feature = "codec2")]
use oneport_media::codec2::{Codec2Decoder, Codec2Encoder, Mode};
use oneport_media::transcode::{Said, Transcoder, Wishes};
use oneport_media::{Codec, Decoder, Encoder, Rate};
use oneport_testkit::audio::similarity::compare;
use oneport_testkit::audio::speech::{Voice, synthesize};

/// Speech of each voice, in ms.
const SPEECH_MS: u32 = 8_000;
const WIDE: u32 = 16_000;
const FRAME_MS: u16 = 20;
/// What costs are told of.
const FRAMES: u32 = SPEECH_MS / FRAME_MS as u32;
/// All is measured in so many rounds, and of each the fastest counts: the others were disturbed, and a machine
/// that is shared may be slow for some seconds.
const ROUNDS: usize = 16;

/// What stands between two legs of a call.
struct Bridge {
    transcoder: Transcoder,
    /// When the next frame begins, in samples, and how long each is.
    next: usize,
    frame: usize,
    samples_in_ms: usize,
}

impl Bridge {
    fn new(from: Codec, to: Codec) -> Self {
        let transcoder = Transcoder::new(from.format(), to.format(), Wishes::default());
        let transcoder = transcoder.expect("both are spoken");
        Self { transcoder, next: 0, frame: frame(from), samples_in_ms: from.samples_in(1) }
    }

    fn pass(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        out.clear();
        let timestamp = (self.next / self.samples_in_ms) as u32;
        self.transcoder.voice(timestamp, payload, &mut |said| {
            if let Said::Voice { payload, .. } = said {
                out.extend_from_slice(payload);
            }
        });
        self.next += self.frame;
    }
}

/// The samples of a frame: of 20 ms, or a little more.
fn frame(codec: Codec) -> usize {
    codec.samples_in(FRAME_MS).next_multiple_of(codec.frame_samples())
}

/// Something that is done with all of the speech.
type Work<'a> = Box<dyn Fn() + 'a>;

/// What each costs, in µs for 20 ms of the speech.
fn micros(works: &[Work<'_>]) -> Vec<f64> {
    let mut best = vec![Duration::MAX; works.len()];
    for _ in 0..ROUNDS {
        for (work, best) in works.iter().zip(&mut best) {
            let start = Instant::now();
            work();
            *best = start.elapsed().min(*best);
        }
    }
    best.into_iter().map(|best| best.as_secs_f64() * 1e6 / f64::from(FRAMES)).collect()
}

fn payloads(codec: Codec, speech: &[i16]) -> Vec<Vec<u8>> {
    payloads_of(codec.encoder(), frame(codec), speech)
}

fn payloads_of(mut encoder: Box<dyn Encoder>, frame: usize, speech: &[i16]) -> Vec<Vec<u8>> {
    let frames = speech.chunks(frame);
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
            Rate::between(WIDE, 8_000).pass(wide, &mut narrow);
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

fn encoding<'a>(
    encoder: impl Fn() -> Box<dyn Encoder> + 'a,
    frame: usize,
    speech: &'a [i16],
) -> Work<'a> {
    Box::new(move || {
        let (mut encoder, mut payload) = (encoder(), Vec::new());
        for frame in speech.chunks(frame) {
            payload.clear();
            encoder.encode(frame, &mut payload);
        }
    })
}

fn decoding<'a>(decoder: impl Fn() -> Box<dyn Decoder> + 'a, frames: &'a [Vec<u8>]) -> Work<'a> {
    Box::new(move || {
        let (mut decoder, mut samples) = (decoder(), Vec::new());
        for frame in frames {
            samples.clear();
            decoder.decode(frame, &mut samples);
        }
    })
}

fn changing_rate(from: u32, to: u32, speech: &[i16]) -> Work<'_> {
    Box::new(move || {
        let (mut rate, mut samples) = (Rate::between(from, to), Vec::new());
        for frame in speech.chunks(from as usize * usize::from(FRAME_MS) / 1_000) {
            samples.clear();
            rate.pass(frame, &mut samples);
        }
    })
}

fn bridging(from: Codec, to: Codec, frames: &[Vec<u8>]) -> Work<'_> {
    Box::new(move || {
        let (mut bridge, mut out) = (Bridge::new(from, to), Vec::new());
        for frame in frames {
            bridge.pass(frame, &mut out);
        }
    })
}

/// A row for each codec, and in it a cell for each codec.
fn pairs(mut cell: impl FnMut(Codec, Codec) -> String) {
    let names = Codec::ALL.iter().copied().map(name);
    row(std::iter::once("from, to".to_string()).chain(names));
    row(std::iter::repeat_n("---".to_string(), Codec::ALL.len() + 1));
    for from in Codec::ALL.iter().copied() {
        let cells = Codec::ALL.iter().map(|to| cell(from, *to));
        row(std::iter::once(name(from)).chain(cells));
    }
}

/// The table of the modes of Codec 2, which no call carries.
#[cfg(feature = "codec2")]
fn codec_2(speeches: &Speeches) {
    let encoder = |mode| -> Box<dyn Encoder> { Box::new(Codec2Encoder::new(mode)) };
    let decoder = |mode| -> Box<dyn Decoder> { Box::new(Codec2Decoder::new(mode)) };
    let spoken = Mode::ALL.map(|mode| {
        speeches.narrow.each_ref().map(|speech| payloads_of(encoder(mode), mode.samples(), speech))
    });
    let works = Mode::ALL.iter().zip(&spoken).flat_map(|(mode, spoken)| {
        [
            encoding(move || encoder(*mode), mode.samples(), &speeches.narrow[0]),
            decoding(move || decoder(*mode), &spoken[0]),
        ]
    });
    let costs = micros(&works.collect::<Vec<_>>());
    println!("\nCodec 2, for 20 ms:\n");
    row(["mode", "kbit/s", "encoding, µs", "decoding, µs", "score"].map(String::from));
    row(["---"; 5].map(String::from));
    for ((mode, spoken), cost) in Mode::ALL.iter().zip(&spoken).zip(costs.chunks(2)) {
        let scores = spoken.iter().zip(&speeches.narrow).map(|(frames, speech)| {
            let (mut decoder, mut heard) = (decoder(*mode), Vec::new());
            frames.iter().for_each(|frame| decoder.decode(frame, &mut heard));
            heard.resize(heard.len() + 1_600, 0);
            compare(speech, &heard, 8_000, 150).score
        });
        row([
            format!("{mode:?}"),
            format!("{:.1}", mode.bytes() as f64 * 64.0 / mode.samples() as f64),
            format!("{:.2}", cost[0]),
            format!("{:.2}", cost[1]),
            format!("{:.2}", scores.sum::<f64>() / 2.0),
        ]);
    }
}

fn main() {
    let speeches = Speeches::new();
    let all = || Codec::ALL.iter().copied();
    let spoken: Vec<_> = all().map(|codec| payloads(codec, &speeches.at(codec)[0])).collect();
    let mut works: Vec<Work<'_>> = Vec::new();
    for (codec, frames) in all().zip(&spoken) {
        works.push(encoding(move || codec.encoder(), frame(codec), &speeches.at(codec)[0]));
        works.push(decoding(move || codec.decoder(), frames));
    }
    works.push(changing_rate(8_000, WIDE, &speeches.narrow[0]));
    works.push(changing_rate(WIDE, 8_000, &speeches.wide[0]));
    for (from, frames) in all().zip(&spoken) {
        works.extend(all().filter(|to| *to != from).map(|to| bridging(from, to, frames)));
    }
    let mut costs = micros(&works).into_iter();
    let mut cost = || costs.next().expect("one for each");

    println!("Each codec, for 20 ms:\n");
    row(["format", "kbit/s", "encoding, µs", "decoding, µs", "score"].map(String::from));
    row(["---"; 5].map(String::from));
    for (codec, frames) in all().zip(&spoken) {
        let bytes: usize = frames.iter().map(Vec::len).sum();
        let seconds = (frames.len() * frame(codec)) as f64 / f64::from(codec.sample_rate());
        row([
            name(codec),
            format!("{:.1}", bytes as f64 * 0.008 / seconds),
            format!("{:.2}", cost()),
            format!("{:.2}", cost()),
            format!("{:.2}", speeches.score(codec, None)),
        ]);
    }
    println!("\nRate up: {:.2} µs; rate down: {:.2} µs.", cost(), cost());
    println!("\nµs for 20 ms in one direction; the same codec on both legs passes untouched:\n");
    pairs(|from, to| match from == to {
        true => "–".to_string(),
        false => format!("{:.1}", cost()),
    });
    println!("\nScore of speech through two legs:\n");
    pairs(|from, to| {
        let last = Some(to).filter(|to| *to != from);
        format!("{:.2}", speeches.score(from, last))
    });
    #[cfg(feature = "codec2")]
    codec_2(&speeches);
}
