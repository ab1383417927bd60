//! What a softphone rings with.

use oneport::media::tone::Sine;

use super::sound::{RATE, Samples};
use super::state::Alert;

/// Parts of full scale: -20 dB, and softly into a call.
const LOUDNESS: f64 = 0.1;
const SOFT: f64 = 0.03;

/// The pattern of an alert: its two tones in Hz, and how long it sounds and is silent, in ms.
struct Pattern {
    tones: [f64; 2],
    loudness: f64,
    on_ms: u32,
    off_ms: u32,
}

fn pattern(alert: Alert) -> Option<Pattern> {
    let pattern = |tones, loudness, on_ms, off_ms| Some(Pattern { tones, loudness, on_ms, off_ms });
    match alert {
        Alert::Nothing => None,
        Alert::Ring => pattern([880.0, 1_100.0], LOUDNESS, 1_000, 2_000),
        Alert::Knock => pattern([880.0, 1_100.0], SOFT, 200, 3_800),
        // As in most of Europe.
        Alert::Ringback => pattern([425.0, 425.0], LOUDNESS, 1_000, 4_000),
    }
}

/// The bells.
#[derive(Default)]
pub(super) struct Bells {
    alert: Alert,
    tones: Option<(Pattern, [Sine; 2])>,
    /// Samples since the pattern began.
    at: u32,
}

impl Bells {
    pub(super) fn set(&mut self, alert: Alert) {
        if alert == self.alert {
            return;
        }
        self.alert = alert;
        self.at = 0;
        self.tones = pattern(alert).map(|pattern| {
            let loudness = pattern.loudness / 2.0;
            let sines = pattern.tones.map(|tone| Sine::new(tone, RATE, loudness));
            (pattern, sines)
        });
    }

    /// Adds what rings.
    pub(super) fn ring(&mut self, frame: &mut Samples) {
        let Some((pattern, sines)) = &mut self.tones else { return };
        let in_ms = |ms: u32| ms * (RATE / 1_000);
        let (on, all) = (in_ms(pattern.on_ms), in_ms(pattern.on_ms + pattern.off_ms));
        for sample in frame {
            if self.at < on {
                for sine in &mut *sines {
                    *sample = sample.saturating_add(sine.next().unwrap_or_default());
                }
            }
            self.at = (self.at + 1) % all;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rings_in_its_pattern_over_what_is_said_and_stops() {
        let mut bells = Bells::default();
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
