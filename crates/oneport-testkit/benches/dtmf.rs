//! How well keys are heard in a voice, and voices are not: the tables of docs/media.md.
//! `cargo bench -p oneport-testkit --bench dtmf`.

use std::time::{Duration, Instant};

use oneport_media::dtmf::{Detector, Generator, KEYS, Key};
use oneport_media::{Codec, Rate};
use oneport_testkit::audio::speech::{Voice, synthesize};

const RATE: u32 = 8_000;
/// Speech at a time, in ms, and how often.
const SPEECH_MS: u32 = 60_000;
const MINUTES: u64 = 60;
/// How often each key is sent.
const TIMES: usize = 100;
/// Of so many runs the fastest counts: the others were disturbed.
const RUNS: usize = 5;

/// Random numbers from a seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() - 6.0
    }
}

fn pressed(samples: &[i16]) -> Vec<u8> {
    let mut detector = Detector::new(RATE).expect("a rate");
    let mut digits = Vec::new();
    for frame in samples.chunks(160) {
        detector.hear(frame, |key| {
            if let Key::Pressed(digit) = key {
                digits.push(digit);
            }
        });
    }
    digits
}

fn amplified(samples: &[i16], db: f64) -> Vec<i16> {
    let gain = 10.0_f64.powf(db / 20.0);
    let loud = |sample: &i16| (f64::from(*sample) * gain).clamp(-32_768.0, 32_767.0) as i16;
    samples.iter().map(loud).collect()
}

fn talk_off() {
    println!("Keys heard where nobody pressed one, in {MINUTES} minutes of each:\n");
    println!("| what is said | -36 dBov | -26 dBov | -16 dBov |\n| --- | --- | --- | --- |");
    for (name, voices) in [
        ("a low voice", &[Voice::Low][..]),
        ("a high voice", &[Voice::High]),
        ("both at once", &[Voice::Low, Voice::High]),
    ] {
        let mut counts = [0; 3];
        for minute in 0..MINUTES {
            let said = voices.iter().map(|voice| synthesize(minute, *voice, RATE, SPEECH_MS));
            let both = said.reduce(|one, other| {
                one.iter().zip(&other).map(|(one, other)| one.saturating_add(*other)).collect()
            });
            let both = both.unwrap_or_default();
            for (count, db) in counts.iter_mut().zip([-10.0, 0.0, 10.0]) {
                *count += pressed(&amplified(&both, db)).len();
            }
        }
        println!("| {name} | {} | {} | {} |", counts[0], counts[1], counts[2]);
    }
    println!();
}

/// Keys of `ms` at random places, and pauses as long; each is heard by itself.
fn keys(ms: usize, dice: &mut Dice, spoil: impl Fn(&mut Vec<i16>, &mut Dice)) -> (usize, usize) {
    keys_with(ms, dice, |digit| Generator::new(digit, RATE).expect("a key").collect_ms(ms), spoil)
}

trait CollectMs {
    fn collect_ms(self, ms: usize) -> Vec<i16>;
}

impl CollectMs for Generator {
    fn collect_ms(self, ms: usize) -> Vec<i16> {
        self.take(ms * RATE as usize / 1000).collect()
    }
}

/// How many are heard, and how many others.
fn keys_with(
    ms: usize,
    dice: &mut Dice,
    tones: impl Fn(u8) -> Vec<i16>,
    spoil: impl Fn(&mut Vec<i16>, &mut Dice),
) -> (usize, usize) {
    let (mut right, mut wrong) = (0, 0);
    for _ in 0..TIMES {
        for digit in KEYS {
            let mut samples = vec![0; 400 + (dice.next() * 160.0) as usize];
            samples.extend(tones(digit));
            samples.resize(samples.len() + ms.max(40) * 8 + 400, 0);
            spoil(&mut samples, dice);
            let heard = pressed(&samples);
            let count = heard.iter().filter(|heard| **heard == digit).count();
            right += count.min(1);
            wrong += heard.len() - count.min(1);
        }
    }
    (right, wrong)
}

fn percent(count: usize) -> String {
    format!("{:.1}", count as f64 * 100.0 / (TIMES * KEYS.len()) as f64)
}

fn noise() {
    let mut dice = Dice(1);
    println!(
        "Keys of -9 and -7 dBm0 in white noise, {} each: heard, and keys heard beside, in %:\n",
        TIMES * KEYS.len()
    );
    println!("| tones, ms | no noise | 24 dB | 18 dB | 15 dB | 12 dB | 9 dB | 6 dB |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    // The power of both tones.
    let power = [-9.0, -7.0].iter().map(|dbm0| {
        let amplitude = oneport_media::tone::amplitude_of(*dbm0) * 32_767.0;
        amplitude * amplitude / 2.0
    });
    let power: f64 = power.sum();
    for ms in [40, 50, 80] {
        let mut row = format!("| {ms} |");
        for snr in [None, Some(24), Some(18), Some(15), Some(12), Some(9), Some(6)] {
            let level =
                snr.map_or(0.0, |snr| (power / 10.0_f64.powf(f64::from(snr) / 10.0)).sqrt());
            let (right, wrong) = keys(ms, &mut dice, |samples, dice| {
                for sample in samples {
                    let loud = f64::from(*sample) + dice.normal() * level;
                    *sample = loud.round().clamp(-32_768.0, 32_767.0) as i16;
                }
            });
            row += &format!(" {}, {} |", percent(right), percent(wrong));
        }
        println!("{row}");
    }
    println!();
}

fn lengths() {
    let mut dice = Dice(2);
    println!("Heard by their length, in %:\n");
    println!("| 20 ms | 23 ms | 26 ms | 29 ms | 32 ms | 35 ms | 38 ms | 40 ms |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let heard = [20, 23, 26, 29, 32, 35, 38, 40].map(|ms| keys(ms, &mut dice, |_, _| {}).0);
    println!("| {} |\n", heard.map(percent).join(" | "));
}

fn frequencies() {
    let mut dice = Dice(3);
    println!("Heard by how far off both frequencies are, tones of 50 ms, in %:\n");
    println!("| 0 % | 1 % | 1.5 % | 2 % | 2.5 % | 3 % | 3.5 % | 5 % |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let heard = [0.0, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.05].map(|off: f64| {
        let tones = |digit: u8| {
            let place = KEYS.iter().position(|key| *key == digit).expect("a key");
            // Above for some keys, below for others.
            let sign = |odd: usize| if odd.is_multiple_of(2) { 1.0 + off } else { 1.0 - off };
            let low = oneport_media::dtmf::LOW[place / 4] * sign(place);
            let high = oneport_media::dtmf::HIGH[place % 4] * sign(place / 2);
            let tone = |frequency| oneport_media::tone::Sine::new(frequency, RATE, 0.2);
            tone(low).zip(tone(high)).take(400).map(|(low, high)| low + high).collect()
        };
        keys_with(50, &mut dice, tones, |_, _| {}).0
    });
    println!("| {} |\n", heard.map(percent).join(" | "));
}

fn codecs() {
    let mut dice = Dice(4);
    println!("Tones of 60 ms through a codec: heard, and others beside, in %:\n");
    println!("| codec | heard | beside |\n| --- | --- | --- |");
    for codec in Codec::ALL {
        let (right, wrong) = keys(60, &mut dice, |samples, _| {
            samples.resize(samples.len().next_multiple_of(320), 0);
            let (mut wide, mut payload, mut back) = (Vec::new(), Vec::new(), Vec::new());
            Rate::between(RATE, codec.sample_rate()).pass(samples, &mut wide);
            codec.encode(&wide, &mut payload);
            codec.decode(&payload, &mut back);
            samples.clear();
            Rate::between(codec.sample_rate(), RATE).pass(&back, samples);
        });
        println!("| `{}` | {} | {} |", codec.format(), percent(right), percent(wrong));
    }
    println!();
}

fn cost() {
    println!("What 20 ms cost, in µs, of a voice and of a key:\n");
    println!("| rate | voice | key |\n| --- | --- | --- |");
    for rate in [8_000, 16_000, 48_000] {
        let speech = synthesize(1, Voice::Low, rate, 10_000);
        let key: Vec<i16> =
            Generator::new(b'5', rate).expect("a key").take(10 * rate as usize).collect();
        let micros = [speech, key].map(|samples| {
            let mut fastest = Duration::MAX;
            for _ in 0..RUNS {
                let mut detector = Detector::new(rate).expect("a rate");
                let begun = Instant::now();
                for frame in samples.chunks(rate as usize / 50) {
                    detector.hear(std::hint::black_box(frame), |key| {
                        std::hint::black_box(key);
                    });
                }
                fastest = fastest.min(begun.elapsed());
            }
            fastest.as_secs_f64() * 1e6 / 500.0
        });
        println!("| {rate} Hz | {:.1} | {:.1} |", micros[0], micros[1]);
    }
}

fn main() {
    talk_off();
    noise();
    lengths();
    frequencies();
    codecs();
    cost();
}
