//! Makes the tones.

use super::{HIGH, LOW, place_of};
use crate::tone::{Sine, amplitude_of};

/// Levels of the two tones, in dBm0: the higher one is sent louder, since lines dampen it more.
const LOW_DBM0: f64 = -9.0;
const HIGH_DBM0: f64 = -7.0;

/// How long the tones take to come and to go, in ms.
const EDGE_MS: u32 = 2;

/// The tones of one key, which last until they are [released](Self::release).
///
/// ```
/// use oneport_media::dtmf::Generator;
/// use oneport_media::tone::level_dbm0;
///
/// let tone = Generator::new(b'1', 8_000).expect("there is such a key");
/// let samples: Vec<i16> = tone.take(1_600).collect();
/// // The tones of its row and its column; the higher one is sent louder.
/// assert!((level_dbm0(&samples, 697.0, 8_000) + 9.0).abs() < 0.5);
/// assert!((level_dbm0(&samples, 1_209.0, 8_000) + 7.0).abs() < 0.5);
/// assert!(Generator::new(b'E', 8_000).is_none());
/// ```
#[derive(Clone, Debug)]
pub struct Generator {
    low: Sine,
    high: Sine,
    /// Samples of an edge.
    edge: u32,
    /// How far the tones have come, in samples of their edge.
    loudness: u32,
    released: bool,
}

impl Generator {
    /// The tones of a key at `sample_rate`, at -9 and -7 dBm0; `None`: there is no such key.
    #[must_use]
    pub fn new(digit: u8, sample_rate: u32) -> Option<Self> {
        Self::with_levels(digit, sample_rate, (LOW_DBM0, HIGH_DBM0))
    }

    /// The same at other levels of the lower and the higher tone, in dBm0.
    #[must_use]
    pub fn with_levels(digit: u8, sample_rate: u32, levels: (f64, f64)) -> Option<Self> {
        let (row, column) = place_of(digit)?;
        Some(Self {
            low: Sine::new(LOW[row], sample_rate, amplitude_of(levels.0)),
            high: Sine::new(HIGH[column], sample_rate, amplitude_of(levels.1)),
            edge: (sample_rate * EDGE_MS / 1000).max(1),
            loudness: 0,
            released: false,
        })
    }

    /// The tones go.
    pub fn release(&mut self) {
        self.released = true;
    }

    /// Puts what follows into `out`, silence behind the end.
    pub fn fill(&mut self, out: &mut [i16]) {
        out.fill_with(|| self.next().unwrap_or(0));
    }
}

impl Iterator for Generator {
    type Item = i16;

    /// `None` behind the end.
    fn next(&mut self) -> Option<i16> {
        self.loudness = match self.released {
            true => self.loudness.checked_sub(1)?,
            false => (self.loudness + 1).min(self.edge),
        };
        let both = self.low.next()?.saturating_add(self.high.next()?);
        #[expect(clippy::cast_possible_truncation, reason = "it only gets smaller")]
        let faded = (i64::from(both) * i64::from(self.loudness) / i64::from(self.edge)) as i16;
        Some(faded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtmf::KEYS;

    #[test]
    fn each_key_has_its_two_tones_at_their_levels() {
        for rate in [8_000, 16_000, 48_000] {
            for key in KEYS {
                let tones: Vec<i16> =
                    Generator::new(key, rate).expect("a key").take(rate as usize).collect();
                let (row, column) = place_of(key).expect("a key");
                for (frequencies, there, dbm0) in [(LOW, row, LOW_DBM0), (HIGH, column, HIGH_DBM0)]
                {
                    for (n, frequency) in frequencies.into_iter().enumerate() {
                        let level = crate::tone::level_dbm0(&tones, frequency, rate);
                        match n == there {
                            true => assert!((level - dbm0).abs() < 0.1, "{frequency}: {level}"),
                            false => assert!(level < dbm0 - 40.0, "{frequency}: {level}"),
                        }
                    }
                }
            }
        }
        assert!(Generator::new(b'E', 8_000).is_none() && Generator::new(b'a', 8_000).is_some());
    }

    #[test]
    fn it_comes_and_goes_within_two_milliseconds() {
        let mut generator = Generator::new(b'5', 8_000).expect("a key");
        let mut out = [0; 80];
        generator.fill(&mut out);
        assert!(out[..3].iter().all(|sample| sample.unsigned_abs() < 4_000));
        generator.release();
        generator.fill(&mut out);
        assert!(out[0] != 0 && out[16..] == [0; 64]);
        assert_eq!(generator.next(), None);
    }
}
