//! Who speaks: whose voice is well above the noise behind it.

/// How far above its noise a voice is, as amplitudes: 12 dB.
const ABOVE: f32 = 4.0;

/// Nothing softer than this is a voice: -55 dBov, as the amplitude of a square wave.
const SOFTEST: f32 = 58.0;

/// How fast the noise behind a voice is believed to rise, in a turn: 3 dB in a second.
const RISES: f32 = 1.007;

/// Turns in a row that somebody is loud before it speaks: 60 ms, longer than a click.
const BEGINS: u32 = 3;

/// Turns in which it is not before it speaks no more: half a second, longer than most pauses for breath.
const ENDS: u32 = 25;

/// Tells whether somebody speaks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Talker {
    noise: f32,
    loud: u32,
    quiet: u32,
    talks: bool,
}

impl Default for Talker {
    fn default() -> Self {
        Self { noise: SOFTEST, loud: 0, quiet: 0, talks: false }
    }
}

impl Talker {
    pub(super) const fn talks(&self) -> bool {
        self.talks
    }

    /// Takes what it says in a turn.
    pub(super) fn hear(&mut self, samples: &[i16]) {
        let sum: f32 = samples.iter().map(|sample| f32::from(*sample).powi(2)).sum();
        let level = (sum / samples.len().max(1) as f32).sqrt();
        self.noise = (self.noise * RISES).min(level).max(SOFTEST / ABOVE);
        let is_loud = level > SOFTEST && level > self.noise * ABOVE;
        (self.loud, self.quiet) =
            if is_loud { (self.loud + 1, 0) } else { (0, self.quiet.saturating_add(1)) };
        if self.loud >= BEGINS {
            self.talks = true;
        } else if self.quiet >= ENDS {
            self.talks = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise of about this amplitude.
    fn noise(level: i16, turn: usize) -> Vec<i16> {
        (0..160)
            .map(|n| if (n * 7_919 + turn * 104_729) % 13 < 6 { level } else { -level })
            .collect()
    }

    /// Whether it speaks behind 14 s of noise and 60 ms of a voice.
    fn speaks(background: i16, voice: i16) -> bool {
        let mut talker = Talker::default();
        (0..700).for_each(|turn| talker.hear(&noise(background, turn)));
        assert!(!talker.talks(), "noise of {background}");
        (0..3).for_each(|turn| talker.hear(&noise(voice, turn)));
        talker.talks()
    }

    #[test]
    fn a_voice_begins_12_decibels_above_its_noise_and_55_below_the_loudest() {
        for (background, below, above) in [
            (0, 57, 61),
            (10, 57, 61),
            (100, 390, 420),
            (1_000, 3_900, 4_200),
            (4_000, 15_600, 16_800),
        ] {
            let found = [below, above].map(|voice| speaks(background, voice));
            assert_eq!(found, [false, true], "above noise of {background}");
        }
    }

    #[test]
    fn a_voice_above_its_noise_talks_and_noise_or_a_click_does_not() {
        for background in [0, 20, 200, 800] {
            let mut talker = Talker::default();
            for turn in 0..500 {
                talker.hear(&noise(background, turn));
                assert!(!talker.talks() || turn < 250, "noise of {background} at {turn}");
            }
            talker.hear(&noise(12_000, 1));
            talker.hear(&noise(background, 2));
            assert!(!talker.talks(), "a click");
            for turn in 0..3 {
                talker.hear(&noise(6_000, turn));
            }
            assert!(talker.talks());
            // For breath.
            for turn in 0..20 {
                talker.hear(&noise(background, turn));
                assert!(talker.talks(), "{turn}");
            }
            for turn in 0..10 {
                talker.hear(&noise(background, turn));
            }
            assert!(!talker.talks());
        }
    }
}
