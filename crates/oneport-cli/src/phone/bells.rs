//! What a softphone rings with, and the tone of its country while it rings at the other side.

use oneport::media::progress::{Country, Progress, ProgressTone};
use oneport::media::tone::Sine;

use super::sound::{RATE, Samples};
use super::state::Alert;

/// Parts of full scale: -20 dB, and softly into a call.
const LOUDNESS: f64 = 0.1;
const SOFT: f64 = 0.03;

/// A bell of two tones.
struct Bell {
    /// How long it sounds, and until it begins again, in samples.
    on: u32,
    all: u32,
    sines: [Sine; 2],
    /// Samples since it began.
    at: u32,
}

impl Bell {
    fn new(loudness: f64, on_ms: u32, off_ms: u32) -> Self {
        let sines = [880.0, 1_100.0].map(|tone| Sine::new(tone, RATE, loudness / 2.0));
        let in_ms = |ms: u32| ms * (RATE / 1_000);
        Self { on: in_ms(on_ms), all: in_ms(on_ms + off_ms), sines, at: 0 }
    }

    /// Adds what rings.
    fn ring(&mut self, frame: &mut Samples) {
        for sample in frame {
            if self.at < self.on {
                for sine in &mut self.sines {
                    *sample = sample.saturating_add(sine.next().unwrap_or_default());
                }
            }
            self.at = (self.at + 1) % self.all;
        }
    }
}

/// What sounds.
enum Sounding {
    Nothing,
    Bell(Bell),
    Tone(Box<ProgressTone>),
}

/// The bells.
pub(super) struct Bells {
    country: &'static Country,
    alert: Alert,
    sounding: Sounding,
}

impl Bells {
    pub(super) fn new(country: &'static Country) -> Self {
        Self { country, alert: Alert::default(), sounding: Sounding::Nothing }
    }

    pub(super) fn set(&mut self, alert: Alert) {
        if alert == self.alert {
            return;
        }
        self.alert = alert;
        self.sounding = match alert {
            Alert::Nothing => Sounding::Nothing,
            Alert::Ring => Sounding::Bell(Bell::new(LOUDNESS, 1_000, 2_000)),
            Alert::Knock => Sounding::Bell(Bell::new(SOFT, 200, 3_800)),
            Alert::Ringback => {
                Sounding::Tone(Box::new(self.country.tone(Progress::Ringback, RATE)))
            }
        };
    }

    /// Adds what rings.
    pub(super) fn ring(&mut self, frame: &mut Samples) {
        match &mut self.sounding {
            Sounding::Nothing => {}
            Sounding::Bell(bell) => bell.ring(frame),
            Sounding::Tone(tone) => {
                for (sample, tone) in frame.iter_mut().zip(&mut **tone) {
                    *sample = sample.saturating_add(tone);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rings_in_its_pattern_over_what_is_said_and_stops() {
        let mut bells = Bells::new(Country::find("de").unwrap());
        bells.set(Alert::Ringback);
        let mut loud = Vec::new();
        for _ in 0..1_000 {
            let mut frame = [100; 160];
            bells.ring(&mut frame);
            loud.push(frame.iter().any(|sample| *sample > 1_000));
        }
        assert!(loud[..100].iter().all(|loud| *loud));
        assert!(!loud[101..500].contains(&true));
        assert!(loud[501..600].iter().all(|loud| *loud));
        bells.set(Alert::Nothing);
        let mut frame = [100; 160];
        bells.ring(&mut frame);
        assert_eq!(frame, [100; 160]);
    }
}
