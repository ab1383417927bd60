//! Hears the tones.
//!
//! Each 4 ms it looks at the last 16, through Hann's window, at the eight frequencies: so all that lies
//! further away than the next key's tone is as good as absent, a dial tone too. How the phase of a tone
//! moves from one look to the next says how far off its frequency is, to about a hertz, which looks this
//! short could not say by level. A look hits where two tones, of the right frequencies and of levels that
//! fit together, make up nearly all that is heard; so voices, which have harmonics, do not.

use std::f32::consts::TAU;
use std::sync::LazyLock;

use super::{HIGH, KEYS, Key, LOW};
use crate::rate::Lowerer;
use crate::tone::FULL_SCALE_DBM0;

/// Samples in a second where tones are looked for.
const RATE: u32 = 8_000;

/// Samples between two looks: 4 ms.
const HOP: usize = 32;
const HOP_MS: u32 = 4;
/// Samples of a look.
const WINDOW: usize = 128;

/// Looks in a row that must hit before a key is down: tones of 23 ms have fewer, of 40 ms no fewer.
const HITS: u32 = 6;
/// Looks in a row that miss before it is up: a break of 10 ms has fewer, a pause of 40 ms more.
const MISSES: u32 = 7;
/// Hits behind which it looks as if a key were down.
const SUSPICIOUS: u32 = 2;

/// How far off a frequency may be: between the 1.5 % that must be taken and the 3.5 % that must not.
const TOLERANCE: f32 = 0.025;
/// The same while a key is down.
const TOLERANCE_DOWN: f32 = 0.035;
/// How much of the power must be in the two tones.
const SHARE: f32 = 0.80;
/// The same while a key is down.
const SHARE_DOWN: f32 = 0.55;
/// The softest tone, in dBm0.
const SOFTEST: f64 = -32.0;
/// How much louder, in dB, the higher tone may be, and the lower one.
const HIGHER_LOUDER: f32 = 5.5;
const LOWER_LOUDER: f32 = 9.5;
/// How much the power of a tone may change from look to look, in dB.
const STEADY: f32 = 3.0;

#[derive(Clone, Copy, Default, Debug)]
struct Complex {
    re: f32,
    im: f32,
}

impl Complex {
    fn unit(phase: f32) -> Self {
        Self { re: phase.cos(), im: phase.sin() }
    }

    fn times(self, other: Self) -> Self {
        Self {
            re: self.re * other.re - self.im * other.im,
            im: self.re * other.im + self.im * other.re,
        }
    }

    fn conjugate(self) -> Self {
        Self { re: self.re, im: -self.im }
    }

    fn plus(self, other: Self) -> Self {
        Self { re: self.re + other.re, im: self.im + other.im }
    }

    fn power(self) -> f32 {
        self.re * self.re + self.im * self.im
    }

    fn angle(self) -> f32 {
        self.im.atan2(self.re)
    }
}

/// What is the same for all detectors.
struct Tables {
    window: [f32; WINDOW],
    /// For each sample of a look, cosines of the eight frequencies and then sines.
    waves: [[f32; 16]; WINDOW],
    /// By how much each frequency turns from one look to the next, backwards.
    turns: [Complex; 8],
    /// Sums of the window, and of its squares.
    sum: f32,
    squares: f32,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let frequencies = frequencies();
    let rate = RATE as f32;
    let window: [f32; WINDOW] =
        std::array::from_fn(|n| 0.5 - 0.5 * (TAU * (n as f32 + 0.5) / WINDOW as f32).cos());
    let waves = std::array::from_fn(|n| {
        std::array::from_fn(|place| {
            let phase = TAU * frequencies[place % 8] / rate * n as f32;
            if place < 8 { phase.cos() } else { -phase.sin() }
        })
    });
    let turns = frequencies.map(|frequency| Complex::unit(-TAU * frequency / rate * HOP as f32));
    let sum = window.iter().sum();
    let squares = window.iter().map(|weight| weight * weight).sum();
    Tables { window, waves, turns, sum, squares }
});

#[expect(clippy::cast_possible_truncation, reason = "a float of less precision")]
fn frequencies() -> [f32; 8] {
    std::array::from_fn(|n| if n < 4 { LOW[n] } else { HIGH[n - 4] } as f32)
}

/// One tone of a look.
#[derive(Clone, Copy, Debug)]
struct Tone {
    place: usize,
    /// By how much its frequency is off, as a part of it.
    off: f32,
    /// Its power.
    power: f32,
}

/// Two tones that may be a key's.
#[derive(Clone, Copy, Debug)]
struct Look {
    low: Tone,
    high: Tone,
    /// How much of all power is theirs.
    share: f32,
}

impl Look {
    const fn digit(&self) -> u8 {
        KEYS[self.low.place * 4 + self.high.place]
    }

    fn hits(&self, share: f32, tolerance: f32) -> bool {
        let twist = decibels(self.high.power / self.low.power);
        self.share >= share
            && self.low.off.abs() <= tolerance
            && self.high.off.abs() <= tolerance
            && (-LOWER_LOUDER..=HIGHER_LOUDER).contains(&twist)
            && self.low.power.min(self.high.power) >= softest()
    }

    /// Whether both tones are as loud as in `other`.
    fn is_like(&self, other: &Self) -> bool {
        let near = |one: f32, other: f32| decibels(one / other).abs() <= STEADY;
        near(self.low.power, other.low.power) && near(self.high.power, other.high.power)
    }
}

fn decibels(ratio: f32) -> f32 {
    10.0 * ratio.max(f32::MIN_POSITIVE).log10()
}

/// The power of the softest tone.
fn softest() -> f32 {
    const FULL: f64 = 32_767.0 * 32_767.0 / 2.0;
    static SOFT: LazyLock<f32> = LazyLock::new(|| {
        #[expect(clippy::cast_possible_truncation, reason = "a float of less precision")]
        let power = (FULL * 10.0_f64.powf((SOFTEST - FULL_SCALE_DBM0) / 10.0)) as f32;
        power
    });
    *SOFT
}

/// What it makes of the last looks.
#[derive(Clone, Copy, Default, Debug)]
enum State {
    #[default]
    Nothing,
    /// So many hits of a key in a row, the last of them this.
    Perhaps { last: Look, hits: u32 },
    /// A key is down for so many looks; so many misses in a row.
    Down { digit: u8, looks: u32, misses: u32 },
}

/// Hears keys in a voice. It takes tones from 40 ms on, no shorter than 24 ms ones, behind pauses from
/// 40 ms on (Q.24). Nothing allocates once it is made.
///
/// ```
/// use oneport_media::dtmf::{Detector, Generator};
/// use oneport_media::tone::Sine;
///
/// let mut detector = Detector::new(8_000).expect("a usual rate");
/// // The tone of a row alone is no key; with that of a column it is.
/// let row: Vec<i16> = Sine::new(697.0, 8_000, 0.3).take(800).collect();
/// detector.hear(&row, |key| panic!("{key:?}"));
/// let both = Generator::new(b'1', 8_000).expect("there is such a key");
/// detector.hear(&both.take(800).collect::<Vec<i16>>(), |_| {});
/// assert_eq!(detector.down(), Some(b'1'));
/// ```
#[derive(Debug)]
pub struct Detector {
    /// Takes audio of a higher rate down.
    lowerer: Option<Lowerer>,
    /// What came last, at 8 kHz; behind a look's length what has come since.
    samples: [f32; WINDOW + HOP],
    filled: usize,
    last: [Complex; 8],
    /// How the phases turned in the last looks.
    turned: [[Complex; 8]; 3],
    state: State,
}

impl Detector {
    /// For audio at `sample_rate`; `None`: it is no multiple of 8 kHz up to 48.
    #[must_use]
    pub fn new(sample_rate: u32) -> Option<Self> {
        let factor = sample_rate / RATE;
        if !sample_rate.is_multiple_of(RATE) || !(1..=6).contains(&factor) {
            return None;
        }
        Some(Self {
            lowerer: (factor > 1).then(|| Lowerer::new(factor)),
            samples: [0.0; WINDOW + HOP],
            filled: WINDOW,
            last: [Complex::default(); 8],
            turned: [[Complex::default(); 8]; 3],
            state: State::Nothing,
        })
    }

    /// The key that is down.
    #[must_use]
    pub const fn down(&self) -> Option<u8> {
        match self.state {
            State::Down { digit, .. } => Some(digit),
            _ => None,
        }
    }

    /// Whether a key is down, or it begins to look so: whoever keeps tones from being heard elsewhere
    /// does it from here on, and lets 20 ms of a tone pass at most.
    #[must_use]
    pub const fn suspects(&self) -> bool {
        matches!(self.state, State::Down { .. } | State::Perhaps { hits: SUSPICIOUS.., .. })
    }

    /// Takes what is heard next; `tell` gets what becomes of keys.
    pub fn hear(&mut self, samples: &[i16], mut tell: impl FnMut(Key)) {
        for sample in samples {
            let sample = match &mut self.lowerer {
                Some(lowerer) => lowerer.pass(*sample),
                None => Some(f32::from(*sample)),
            };
            let Some(sample) = sample else { continue };
            self.samples[self.filled] = sample;
            self.filled += 1;
            if self.filled == WINDOW + HOP {
                self.samples.copy_within(HOP.., 0);
                self.filled = WINDOW;
                let look = self.look();
                self.judge(look, &mut tell);
            }
        }
    }

    /// Nothing has come for some time, and so nobody holds a key down any more.
    pub fn pause(&mut self, mut tell: impl FnMut(Key)) {
        self.release(0, &mut tell);
        self.samples.fill(0.0);
        self.last = [Complex::default(); 8];
    }

    fn look(&mut self) -> Option<Look> {
        let tables = &*TABLES;
        let mut energy = 0.0;
        let mut sums = [0.0_f32; 16];
        for ((sample, weight), waves) in self.samples.iter().zip(&tables.window).zip(&tables.waves)
        {
            let sample = sample * weight;
            energy += sample * sample;
            for (sum, wave) in sums.iter_mut().zip(waves) {
                *sum += sample * wave;
            }
        }
        let now: [Complex; 8] = std::array::from_fn(|n| Complex { re: sums[n], im: sums[n + 8] });
        let turned =
            std::array::from_fn(|n| now[n].times(self.last[n].conjugate()).times(tables.turns[n]));
        self.last = now;
        self.turned = [self.turned[1], self.turned[2], turned];
        if energy < softest() * tables.squares {
            return None;
        }
        let (low, high) = (self.tone(0), self.tone(4));
        let share = (low.power + high.power) * tables.squares / energy;
        Some(Look { low, high, share })
    }

    /// The loudest of the four tones from `first` on.
    fn tone(&self, first: usize) -> Tone {
        let tables = &*TABLES;
        let loudest = |best: usize, n: usize| {
            if self.last[n].power() > self.last[best].power() { n } else { best }
        };
        let n = (first..first + 4).fold(first, loudest);
        let turned = self.turned.iter().fold(Complex::default(), |sum, one| sum.plus(one[n]));
        let off = turned.angle() / TAU * RATE as f32 / HOP as f32;
        let seen = response(off * WINDOW as f32 / RATE as f32);
        let power = 2.0 * self.last[n].power() / (tables.sum * tables.sum) / (seen * seen);
        Tone { place: n - first, off: off / frequencies()[n], power }
    }

    fn judge(&mut self, look: Option<Look>, tell: &mut impl FnMut(Key)) {
        match self.state {
            State::Down { digit, looks, misses } => {
                let still = look.is_some_and(|look| {
                    look.digit() == digit && look.hits(SHARE_DOWN, TOLERANCE_DOWN)
                });
                let misses = if still { 0 } else { misses + 1 };
                self.state = State::Down { digit, looks: looks.saturating_add(1), misses };
                if misses == MISSES {
                    self.release(MISSES, tell);
                }
            }
            State::Nothing | State::Perhaps { .. } => {
                let Some(look) = look.filter(|look| look.hits(SHARE, TOLERANCE)) else {
                    self.state = State::Nothing;
                    return;
                };
                let hits = match self.state {
                    State::Perhaps { last, hits }
                        if last.digit() == look.digit() && look.is_like(&last) =>
                    {
                        hits + 1
                    }
                    _ => 1,
                };
                self.state = State::Perhaps { last: look, hits };
                if hits == HITS {
                    let digit = look.digit();
                    self.state = State::Down { digit, looks: HITS, misses: 0 };
                    tell(Key::Pressed(digit));
                }
            }
        }
    }

    /// The key that is down has come up so many looks ago.
    fn release(&mut self, ago: u32, tell: &mut impl FnMut(Key)) {
        if let State::Down { digit, looks, .. } = std::mem::take(&mut self.state) {
            // A look hits that has most of its length inside the tones.
            let ms = looks.saturating_sub(ago).saturating_add(1).saturating_mul(HOP_MS);
            tell(Key::Released { digit, ms });
        }
    }
}

/// What Hann's window leaves of a tone that is so many times the reciprocal of its length away.
fn response(away: f32) -> f32 {
    let x = away.abs();
    if x < 1e-3 {
        return 1.0;
    }
    let sinc = (std::f32::consts::PI * x).sin() / (std::f32::consts::PI * x);
    (sinc / (1.0 - x * x).abs().max(1e-3)).abs().max(0.05)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtmf::Generator;

    /// What is heard in samples at a rate, frame by frame of 20 ms.
    pub(crate) fn heard(samples: &[i16], rate: u32) -> Vec<Key> {
        let mut detector = Detector::new(rate).expect("a rate");
        let mut keys = Vec::new();
        for frame in samples.chunks(rate as usize / 50) {
            detector.hear(frame, |key| keys.push(key));
        }
        keys
    }

    /// A key between silences, `shift` samples from where looks begin.
    fn key(digit: u8, ms: usize, rate: u32, shift: usize) -> Vec<i16> {
        let mut samples = vec![0; shift];
        let tones = Generator::new(digit, rate).expect("a key");
        samples.extend(tones.take(ms * rate as usize / 1000));
        samples.resize(samples.len() + rate as usize / 10, 0);
        samples
    }

    #[test]
    fn each_key_is_heard_once_with_its_length_at_each_rate() {
        for rate in [8_000, 16_000, 48_000] {
            for digit in KEYS {
                for ms in [60, 100, 500] {
                    let keys = heard(&key(digit, ms, rate, 77), rate);
                    let [Key::Pressed(pressed), Key::Released { digit: released, ms: lasted }] =
                        keys[..]
                    else {
                        panic!("{} at {rate} Hz: {keys:?}", char::from(digit));
                    };
                    assert_eq!((pressed, released), (digit, digit));
                    assert!((lasted as usize).abs_diff(ms) <= 12, "{ms} ms: {lasted}");
                }
            }
        }
    }

    #[test]
    fn tones_of_40_ms_are_heard_wherever_they_begin_and_of_23_ms_never() {
        for shift in 0..64 {
            for digit in *b"1D" {
                let keys = heard(&key(digit, 40, 8_000, shift), 8_000);
                assert_eq!(keys.len(), 2, "40 ms from {shift}: {keys:?}");
                let keys = heard(&key(digit, 23, 8_000, shift), 8_000);
                assert_eq!(keys, [], "23 ms from {shift}");
            }
        }
    }

    #[test]
    fn a_break_of_10_ms_is_bridged_and_a_pause_of_40_ms_is_not() {
        for shift in 0..32 {
            for (ms, count) in [(10, 1), (40, 2)] {
                let mut samples = key(b'6', 60, 8_000, shift);
                samples.truncate(samples.len() - 800 + ms * 8);
                samples.extend(key(b'6', 60, 8_000, 0));
                let keys = heard(&samples, 8_000);
                assert_eq!(keys.len(), 2 * count, "{ms} ms from {shift}: {keys:?}");
            }
        }
    }

    #[test]
    fn frequencies_count_up_to_one_and_a_half_percent_and_not_from_three_and_a_half_on() {
        let tone = |frequency: f64, n: usize| {
            (std::f64::consts::TAU * frequency * n as f64 / 8_000.0).sin() * 8_000.0
        };
        for digit in KEYS {
            let (row, column) = crate::dtmf::place_of(digit).expect("a key");
            for (low_off, high_off) in [
                (1.0, 1.0),
                (1.0, -1.0),
                (-1.0, 1.0),
                (-1.0, -1.0),
                (1.0, 0.0),
                (0.0, 1.0),
                (0.0, -1.0),
                (-1.0, 0.0),
            ] {
                for (off, count) in [(0.015, 2), (0.035, 0)] {
                    let (low, high) =
                        (LOW[row] * (1.0 + off * low_off), HIGH[column] * (1.0 + off * high_off));
                    let mut samples: Vec<i16> =
                        (0..400).map(|n| (tone(low, n) + tone(high, n)) as i16).collect();
                    samples.resize(1_200, 0);
                    let keys = heard(&samples, 8_000);
                    let name = char::from(digit);
                    assert_eq!(
                        keys.len(),
                        count,
                        "{name}, off by {low_off} {high_off} × {off}: {keys:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn tones_count_that_differ_by_the_twist_of_lines_at_any_usual_level() {
        for low in [0.0, -10.0, -24.0] {
            for twist in [-8.0, -4.0, 0.0, 4.0] {
                let high: f64 = low + twist;
                if high < -30.0 {
                    continue;
                }
                let tones = Generator::with_levels(b'9', 8_000, (low, high)).expect("a key");
                let mut samples: Vec<i16> = tones.take(400).collect();
                samples.resize(1_000, 0);
                assert_eq!(heard(&samples, 8_000).len(), 2, "{low} and {high} dBm0");
            }
        }
        for (low, high) in [(-10.0, -2.0), (-2.0, -15.0), (-40.0, -40.0)] {
            let tones = Generator::with_levels(b'9', 8_000, (low, high)).expect("a key");
            let mut samples: Vec<i16> = tones.take(400).collect();
            samples.resize(1_000, 0);
            assert_eq!(heard(&samples, 8_000), [], "{low} and {high} dBm0");
        }
    }

    #[test]
    fn rates_that_are_no_multiple_of_8_khz_are_not_listened_to() {
        for rate in [0, 4_000, 11_025, 44_100, 56_000] {
            assert!(Detector::new(rate).is_none(), "{rate}");
        }
    }

    #[test]
    fn a_pause_in_which_nothing_comes_lets_the_key_go() {
        let mut detector = Detector::new(8_000).expect("a rate");
        let mut keys = Vec::new();
        let samples: Vec<i16> = Generator::new(b'3', 8_000).expect("a key").take(800).collect();
        detector.hear(&samples, |key| keys.push(key));
        assert!(detector.suspects() && detector.down() == Some(b'3'));
        detector.pause(|key| keys.push(key));
        assert!(!detector.suspects() && detector.down().is_none());
        assert!(matches!(keys[..], [Key::Pressed(b'3'), Key::Released { digit: b'3', .. }]));
        detector.pause(|key| keys.push(key));
        assert_eq!(keys.len(), 2);
    }

    #[test]
    fn little_of_a_tone_passes_before_it_is_suspected() {
        for shift in 0..32 {
            let mut detector = Detector::new(8_000).expect("a rate");
            let samples = key(b'4', 100, 8_000, shift);
            let first = samples.chunks(8).position(|part| {
                detector.hear(part, |_| {});
                detector.suspects()
            });
            let ms = first.expect("a key") - shift / 8;
            assert!(ms <= 24, "{ms} ms");
        }
    }
}
