//! Pauses in which nothing is sent: how they are recognised, and the noise that is heard in them.
//!
//! A frame of comfort noise (RFC 5456 §8.3.2.9) says how loud a pause is, in dB below the loudest that can be said
//! (−dBov, as in RFC 3389): 0 is a square wave from one end of 16 bits to the other, 127 is silence.

use std::time::Duration;

use crate::conceal::{Background, LOUDEST_PAUSE, level};

/// The loudest root of the mean square.
const LOUDEST: f32 = 32_768.0;

/// The level that says silence.
const SILENCE: u8 = 127;

/// What is softer than this (−63 dBov) is a pause in any case.
const SOFT: f32 = 24.0;

/// A pause is at most this much louder than the softest of late: 6 dB.
const ABOVE_SOFTEST: f32 = 2.0;

/// The softest of one to two of these counts.
const WINDOW: Duration = Duration::from_secs(1);

/// Voice goes on for so long behind the last loud frame, so that the ends of words are heard.
const HANGOVER: Duration = Duration::from_millis(240);

/// A pause is described anew when it is louder or softer by so many dB.
const CHANGE: u8 = 3;

/// And not more often than this.
const BETWEEN_DESCRIPTIONS: Duration = Duration::from_secs(1);

/// How loud samples are, in −dBov.
#[must_use]
pub fn level_of(samples: &[i16]) -> u8 {
    below_loudest(level(samples))
}

fn below_loudest(level: f32) -> u8 {
    if level < 1.0 {
        return SILENCE;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float cast to an integer saturates"
    )]
    let level = (20.0 * (LOUDEST / level).log10()).round() as u8;
    level.min(SILENCE)
}

/// What is heard in a pause of `level` −dBov.
pub(crate) fn background_of(level: u8) -> Background {
    let level = level.clamp(30, SILENCE);
    Background::as_loud_as(match level {
        SILENCE => 0.0,
        level => LOUDEST * 10_f32.powf(f32::from(level) / -20.0),
    })
}

/// Noise as loud as a frame of comfort noise says.
///
/// ```
/// use oneport_media::comfort_noise::{ComfortNoise, level_of};
///
/// let mut samples = Vec::new();
/// ComfortNoise::new(55).extend(8_000, &mut samples);
/// assert!(level_of(&samples).abs_diff(55) <= 2);
/// ```
#[derive(Clone, Debug)]
pub struct ComfortNoise(Background);

impl ComfortNoise {
    /// Noise of `level` −dBov. What is louder than −30 dBov is no background, and becomes that.
    #[must_use]
    pub fn new(level: u8) -> Self {
        Self(background_of(level))
    }

    /// Appends the next samples to `out`.
    pub fn extend(&mut self, samples: usize, out: &mut Vec<i16>) {
        out.extend((0..samples).map(|_| crate::time_scale::linear(self.0.noise())));
    }
}

/// What is to be done with a frame.
///
/// ```
/// use oneport_media::comfort_noise::{Verdict, VoiceActivity};
/// use std::time::Duration;
///
/// let (mut activity, frame) = (VoiceActivity::default(), Duration::from_millis(20));
/// let mut verdicts = (0..20).map(|_| activity.judge(&[0; 160], frame));
/// // The end of a word may be soft. Silence is told once then.
/// assert!(verdicts.by_ref().take(11).all(|verdict| verdict == Verdict::Voice));
/// assert_eq!(verdicts.next(), Some(Verdict::Pause(127)));
/// assert_eq!(verdicts.next(), Some(Verdict::GoesOn));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Somebody speaks.
    Voice,
    /// A pause, and how loud it is in −dBov; it is told once, and again when that changes.
    Pause(u8),
    /// The same pause goes on.
    GoesOn,
}

/// Recognises pauses. Whatever is louder than −39 dBov counts as voice, music and steady tones too.
///
/// ```
/// use oneport_media::comfort_noise::{Verdict, VoiceActivity};
/// use oneport_media::tone::Sine;
/// use std::time::Duration;
///
/// let (mut activity, frame) = (VoiceActivity::default(), Duration::from_millis(20));
/// for _ in 0..50 {
///     activity.judge(&[0; 160], frame);
/// }
/// // The first frame of a word is voice already.
/// let word: Vec<i16> = Sine::new(300.0, 8_000, 0.2).take(160).collect();
/// assert_eq!(activity.judge(&word, frame), Verdict::Voice);
/// ```
#[derive(Clone, Debug)]
pub struct VoiceActivity {
    /// The softest frame of this window, and of the one before.
    softest: [f32; 2],
    /// How long this window has lasted.
    window: Duration,
    /// How loud this pause is.
    pause: f32,
    /// How long nothing was loud.
    quiet: Duration,
    /// What was last told of this pause, and how long ago.
    told: Option<(u8, Duration)>,
}

impl Default for VoiceActivity {
    fn default() -> Self {
        Self {
            softest: [LOUDEST_PAUSE; 2],
            window: Duration::ZERO,
            pause: 0.0,
            quiet: Duration::ZERO,
            told: None,
        }
    }
}

impl VoiceActivity {
    /// Whether a frame is no louder than pauses are.
    fn is_quiet(&mut self, level: f32, lasts: Duration) -> bool {
        let [this, before] = &mut self.softest;
        self.window = self.window.saturating_add(lasts);
        if self.window > WINDOW {
            (*before, *this, self.window) = (*this, LOUDEST_PAUSE, lasts);
        }
        *this = this.min(level);
        level <= (this.min(*before) * ABOVE_SOFTEST).max(SOFT)
    }

    /// Judges the next frame, of so many ms.
    pub fn judge(&mut self, samples: &[i16], lasts: Duration) -> Verdict {
        let level = level(samples);
        self.quiet = match self.is_quiet(level, lasts) {
            true => self.quiet.saturating_add(lasts),
            false => Duration::ZERO,
        };
        if self.quiet < HANGOVER {
            (self.told, self.pause) = (None, level);
            return Verdict::Voice;
        }
        self.pause += (level - self.pause) / 8.0;
        let level = below_loudest(self.pause);
        if let Some((told, ago)) = &mut self.told {
            *ago = ago.saturating_add(lasts);
            if *ago < BETWEEN_DESCRIPTIONS || told.abs_diff(level) < CHANGE {
                return Verdict::GoesOn;
            }
        }
        self.told = Some((level, Duration::ZERO));
        Verdict::Pause(level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::Sine;

    const FRAME: Duration = Duration::from_millis(20);

    fn noise(level: u8, samples: usize) -> Vec<i16> {
        let mut out = Vec::new();
        ComfortNoise::new(level).extend(samples, &mut out);
        out
    }

    #[test]
    fn noise_is_as_loud_as_it_was_said_to_be() {
        for level in [30, 40, 55, 70] {
            let heard = level_of(&noise(level, 8_000));
            assert!(heard.abs_diff(level) <= 2, "{level}: {heard}");
        }
        assert_eq!(level_of(&noise(0, 8_000)).abs_diff(30) / 3, 0, "no louder than a background");
        assert_eq!(noise(127, 100), vec![0; 100]);
        assert_eq!(level_of(&[i16::MIN, i16::MAX, i16::MIN, i16::MAX]), 0);
        assert_eq!(level_of(&[]), 127);
    }

    /// What is judged of frames of 20 ms.
    fn judge(activity: &mut VoiceActivity, samples: &[i16]) -> Vec<Verdict> {
        samples.chunks(160).map(|frame| activity.judge(frame, FRAME)).collect()
    }

    #[test]
    fn a_pause_is_told_once_behind_the_last_word_and_ends_with_the_first() {
        let mut activity = VoiceActivity::default();
        judge(&mut activity, &noise(60, 16_000));
        let word: Vec<i16> = Sine::new(300.0, 8_000, 0.2).take(1_600).collect();
        assert!(judge(&mut activity, &word).iter().all(|verdict| *verdict == Verdict::Voice));
        let pause = judge(&mut activity, &noise(60, 16_000));
        let hangover = pause.iter().take_while(|verdict| **verdict == Verdict::Voice).count();
        assert_eq!(hangover, 11, "220 ms, and the frame behind is the pause");
        let Verdict::Pause(level) = pause[11] else { panic!("{:?}", pause[11]) };
        assert!(level.abs_diff(60) <= 4, "{level}");
        assert!(pause[12..].iter().all(|verdict| *verdict == Verdict::GoesOn), "{pause:?}");
        assert_eq!(judge(&mut activity, &word[..160]), [Verdict::Voice]);
    }

    #[test]
    fn a_pause_that_becomes_softer_is_told_again() {
        let mut activity = VoiceActivity::default();
        judge(&mut activity, &noise(50, 16_000));
        let told = judge(&mut activity, &noise(64, 16_000));
        let told: Vec<u8> = told
            .iter()
            .filter_map(|verdict| match verdict {
                Verdict::Pause(level) => Some(*level),
                _ => None,
            })
            .collect();
        assert!(matches!(*told, [.., level] if level.abs_diff(64) <= 3), "{told:?}");
        assert!(told.len() <= 2, "not more often than once in a second: {told:?}");
    }

    #[test]
    fn steady_tones_and_loud_noise_are_no_pauses() {
        let tone: Vec<i16> = Sine::new(1_000.0, 8_000, 0.1).take(160_000).collect();
        for sound in [tone, noise(33, 160_000)] {
            let verdicts = judge(&mut VoiceActivity::default(), &sound);
            assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Voice));
        }
    }
}
