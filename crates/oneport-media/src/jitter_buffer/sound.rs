//! What will be heard next, and what was heard last.

use crate::comfort_noise::background_of;
use crate::conceal::{Background, Concealer};
use crate::time_scale::{lengthen, mixed, period_at_start, samples_in_us, shorten};

/// Fades within a pause.
const PAUSE_FADE_US: usize = 4_000;
/// Decoded audio is kept up to so much: what a pull takes, and some to choose from.
const READY_US: usize = 400_000;

/// Below this likeness a period is not left out or said twice,
const ALIKE: f32 = 0.75;
/// unless it must.
const SOMEWHAT_ALIKE: f32 = 0.4;

#[derive(Debug)]
pub(super) struct Sound {
    rate: u32,
    samples: Vec<i16>,
    /// So many of them were heard already.
    heard: usize,
    background: Background,
    concealer: Concealer,
    concealing: bool,
    /// Goes back from what comes behind a gap, and that itself, turned round.
    backwards: Concealer,
    turned: Vec<i16>,
}

impl Sound {
    pub(super) fn new(rate: u32) -> Self {
        let past = Concealer::past_needed(rate);
        let mut sound = Self {
            rate,
            samples: Vec::with_capacity(2 * past + samples_in_us(READY_US, rate)),
            heard: 0,
            background: Background::default(),
            concealer: Concealer::new(rate),
            concealing: false,
            backwards: Concealer::new(rate),
            turned: Vec::with_capacity(past),
        };
        sound.begin_concealing();
        sound
    }

    fn begin_concealing(&mut self) {
        if !self.concealing {
            self.concealing = true;
            self.concealer.begin(&self.samples);
        }
    }

    /// Samples that wait to be heard.
    pub(super) fn ready(&self) -> usize {
        self.samples.len() - self.heard
    }

    /// How many more it can take.
    pub(super) fn room(&self) -> usize {
        self.samples.capacity() - self.samples.len()
    }

    /// Appends real audio. What was made up fades into it.
    pub(super) fn append(&mut self, new: &[i16]) {
        let new = &new[..new.len().min(self.room())];
        let start = self.samples.len();
        self.samples.extend_from_slice(new);
        if std::mem::take(&mut self.concealing) {
            let fade = self.concealer.way_back().min(new.len());
            for (n, sample) in self.samples[start..start + fade].iter_mut().enumerate() {
                let made_up = self.concealer.sample(&mut self.background);
                *sample = mixed(made_up, *sample, n, fade);
            }
        }
        for part in new.chunks(samples_in_us(20_000, self.rate)) {
            self.background.hear(part);
        }
    }

    /// Appends what a codec has made up by itself, and will go on from by itself.
    pub(super) fn append_made_up(&mut self, new: &[i16]) {
        let new = &new[..new.len().min(self.room())];
        self.samples.extend_from_slice(new);
    }

    /// Appends so many samples in place of what is missing.
    pub(super) fn conceal(&mut self, count: usize) {
        self.begin_concealing();
        for _ in 0..count.min(self.room()) {
            let sample = self.concealer.sample(&mut self.background);
            self.samples.push(sample);
        }
    }

    /// Appends so many samples in place of what is missing before `next`, which is appended thereafter: what
    /// was before goes on, and fades into what is behind, going back.
    pub(super) fn bridge(&mut self, count: usize, next: &[i16]) {
        let count = count.min(self.room().saturating_sub(next.len()));
        let start = self.samples.len();
        self.conceal(count);
        self.turned.clear();
        self.turned.extend(next.iter().take(Concealer::past_needed(self.rate)).rev());
        self.backwards.begin(&self.turned);
        for (n, sample) in self.samples[start..].iter_mut().enumerate().rev() {
            let back = self.backwards.sample(&mut self.background);
            *sample = mixed(*sample, back, n, count);
        }
        self.concealing = false;
    }

    /// Pauses are as loud as this, in −dBov, from now on.
    pub(super) fn set_pause(&mut self, level: u8) {
        self.background = background_of(level);
    }

    /// Whether what is ready is no louder than pauses.
    pub(super) fn is_quiet(&self) -> bool {
        self.background.is_quiet(&self.samples[self.heard..])
    }

    /// Leaves out up to `most` samples of what is ready, if that will not be noticed, or if it must be:
    /// how many it were.
    pub(super) fn shorten(&mut self, most: usize, must: bool) -> usize {
        let (start, ready) = (self.heard, self.ready());
        let fade = samples_in_us(PAUSE_FADE_US, self.rate);
        if self.is_quiet() {
            let lag = most.min(ready.saturating_sub(fade));
            return if shorten(&mut self.samples, start, lag, fade) { lag } else { 0 };
        }
        let least = if must { SOMEWHAT_ALIKE } else { ALIKE };
        let period = period_at_start(&self.samples[start..], self.rate);
        match period.filter(|period| period.likeness >= least && period.samples <= most) {
            Some(period) if shorten(&mut self.samples, start, period.samples, period.samples) => {
                period.samples
            }
            _ => 0,
        }
    }

    /// Says up to `most` samples of what is ready twice: how many it were.
    pub(super) fn lengthen(&mut self, most: usize, must: bool) -> usize {
        let (start, ready) = (self.heard, self.ready());
        let fade = samples_in_us(PAUSE_FADE_US, self.rate);
        if self.is_quiet() {
            let lag = most.min(ready.saturating_sub(fade));
            return if lengthen(&mut self.samples, start, lag, fade.min(lag)) { lag } else { 0 };
        }
        let least = if must { SOMEWHAT_ALIKE } else { ALIKE };
        let period = period_at_start(&self.samples[start..], self.rate);
        match period.filter(|period| period.likeness >= least) {
            Some(period) if lengthen(&mut self.samples, start, period.samples, period.samples) => {
                period.samples
            }
            _ => 0,
        }
    }

    /// Lets the next samples be heard; there must be as many.
    pub(super) fn take(&mut self, out: &mut [i16]) {
        let end = self.heard + out.len();
        out.copy_from_slice(&self.samples[self.heard..end]);
        self.heard = end;
        let past = Concealer::past_needed(self.rate);
        if self.heard > 2 * past {
            self.samples.drain(..self.heard - past);
            self.heard = past;
        }
    }
}
