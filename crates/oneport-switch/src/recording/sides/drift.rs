//! Keeping a side of a recording at its place in time, though its sender's clock is another than ours.
//!
//! Frames are placed by timestamps, and the fastest of each some seconds tell how far off that is. What is
//! off becomes right where nobody speaks, a few ms at a time: quiet is made longer or shorter with a
//! cross-fade. A clock as far off as crystals are, 200 millionths, asks for 12 ms of that in a minute.

/// So long frames are watched, in ms, before the fastest of them says something.
const WINDOW_MS: u64 = 5_000;

/// What is off by less than this, in µs, is left alone.
const SLACK_US: i64 = 8_000;
/// What is off by more waits no longer for quiet; far more, as behind a burst of late frames, does.
const URGENT_US: i64 = 25_000;
const FAR_US: i64 = 100_000;

/// How much is put in or left out at once.
const STEP_US: i64 = 5_000;

/// Audio is quiet when it is so much softer than it was of late, as amplitudes.
const QUIET: f32 = 0.1;

/// How fast what was of late is forgotten, with each piece of audio.
const FORGETS: f32 = 0.02;

/// Watches one side, and sets it right.
#[derive(Debug)]
pub(super) struct Drift {
    rate: u32,
    /// When the present window ends, and how late its fastest frame came, in µs.
    until: Option<u64>,
    fastest: i64,
    /// How much later what comes should be placed, in µs.
    due: i64,
    loudness: f32,
}

impl Drift {
    pub(super) const fn new(rate: u32) -> Self {
        Self { rate, until: None, fastest: i64::MAX, due: 0, loudness: 0.0 }
    }

    /// A frame has come at `millis`, so many µs later than where it is placed.
    pub(super) fn came(&mut self, millis: u64, later: i64) {
        self.fastest = self.fastest.min(later);
        let until = *self.until.get_or_insert(millis + WINDOW_MS);
        if millis >= until {
            self.due = self.fastest;
            (self.until, self.fastest) = (Some(millis + WINDOW_MS), i64::MAX);
        }
    }

    /// Another clock begins.
    pub(super) fn begin_anew(&mut self) {
        (self.until, self.fastest, self.due) = (None, i64::MAX, 0);
    }

    /// Puts in or leaves out some of a piece of audio, where that is due and not heard. By how many µs
    /// it is longer then.
    pub(super) fn set_right(&mut self, samples: &mut Vec<i16>) -> i64 {
        let step = usize::try_from(STEP_US).unwrap_or(0) * self.rate as usize / 1_000_000;
        let (place, softest) = softest(samples, 2 * step);
        let quiet = softest <= QUIET * self.loudness;
        let loud = loudness(samples);
        self.loudness += (loud - self.loudness) * if loud > self.loudness { 0.5 } else { FORGETS };
        let off = self.due.abs();
        let urgent = (URGENT_US..FAR_US).contains(&off);
        if off < SLACK_US || !(quiet || urgent) || samples.len() < 2 * step {
            return 0;
        }
        let fade = |from: &[i16], to: &[i16]| -> Vec<i16> {
            let mixed = from.iter().zip(to).enumerate().map(|(n, (from, to))| {
                let part = (n as f32 + 0.5) / step as f32;
                #[expect(clippy::cast_possible_truncation, reason = "between two samples")]
                let mixed = (f32::from(*from) * (1.0 - part) + f32::from(*to) * part) as i16;
                mixed
            });
            mixed.collect()
        };
        let (first, second) = (place..place + step, place + step..place + 2 * step);
        let by = if self.due > 0 {
            let again = fade(&samples[second.clone()], &samples[first]);
            samples.splice(second.start..second.start, again);
            STEP_US
        } else {
            let both = fade(&samples[first.clone()], &samples[second]);
            samples.splice(first.start..first.end + step, both);
            -STEP_US
        };
        self.due -= by;
        self.fastest = self.fastest.saturating_sub(by);
        by
    }
}

fn loudness(samples: &[i16]) -> f32 {
    let sum: f32 = samples.iter().map(|sample| f32::from(*sample).powi(2)).sum();
    (sum / samples.len().max(1) as f32).sqrt()
}

/// Where so many samples are softest, and how loud they are.
fn softest(samples: &[i16], len: usize) -> (usize, f32) {
    let last = samples.len().saturating_sub(len);
    let places = (0..=last).step_by((len / 2).max(1));
    let loud = |place: usize| (place, loudness(&samples[place..samples.len().min(place + len)]));
    places.map(loud).min_by(|one, other| one.1.total_cmp(&other.1)).unwrap_or((0, 0.0))
}
