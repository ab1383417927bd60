//! Tones that tell how a call goes, by country.
//!
//! Frequencies and cadences are those of ITU-T E.180 Supplement 2, in the list "Various tones used in
//! national networks" (annex to ITU Operational Bulletin 781, 2003). Where a country has several forms of
//! a tone, the first is taken; where it has no tone of congestion of its own, that is its busy tone.

use crate::tone::{Sine, amplitude_of};

mod countries;

pub use countries::COUNTRIES;

/// The level of a tone, in dBm0 (E.180 §2 wants -10 with ±5); each of two together has 3 dB less.
const DBM0: f64 = -10.0;

/// What a tone says.
///
/// ```
/// use oneport_media::progress::{Country, Progress};
///
/// // In the United States both last as long, but congestion comes twice as fast.
/// let us = Country::find("us").expect("it is known");
/// assert_eq!(us.cadence(Progress::Busy).times, [500, 500]);
/// assert_eq!(us.cadence(Progress::Congestion).times, [250, 250]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Progress {
    /// A number may be dialled.
    Dial,
    /// The other end rings.
    Ringback,
    /// The other end is busy.
    Busy,
    /// There is no way to it.
    Congestion,
}

/// Which frequencies are heard.
///
/// ```
/// use oneport_media::progress::{Country, Pitch, Progress};
///
/// let pitch = |code| Country::find(code).map(|country| country.cadence(Progress::Dial).pitch);
/// assert_eq!(pitch("de"), Some(Pitch::One(425)));
/// assert_eq!(pitch("us"), Some(Pitch::Both(350, 440)));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pitch {
    /// One, in Hz.
    One(u16),
    /// Two at once.
    Both(u16, u16),
    /// One whose loudness changes with the other.
    Modulated(u16, u16),
}

/// A tone: what is heard, and for how long it is there and away by turns, in ms. Without times it never
/// stops.
///
/// ```
/// use oneport_media::progress::{Cadence, Pitch, ProgressTone};
///
/// // A tone of one's own: 100 ms there and 100 ms away.
/// let cadence = Cadence { pitch: Pitch::One(440), times: &[100, 100] };
/// let tone: Vec<i16> = ProgressTone::new(cadence, 8_000).take(1_600).collect();
/// assert!(tone[700..800].iter().any(|sample| *sample != 0));
/// assert_eq!(tone[800..], [0; 800]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cadence {
    /// What is heard.
    pub pitch: Pitch,
    /// There, away, there, away…
    pub times: &'static [u16],
}

/// The tones of a country.
///
/// ```
/// use oneport_media::progress::{Country, Progress};
///
/// let germany = Country::find("DE").expect("it is known");
/// assert_eq!((germany.code, germany.name), ("de", "Germany"));
/// // A dial tone that never stops.
/// assert!(germany.cadence(Progress::Dial).times.is_empty());
/// assert_eq!(Country::find("xx"), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Country {
    /// Its code (ISO 3166-1), in small letters.
    pub code: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its tones, in the order of [`Progress`].
    tones: [Cadence; 4],
}

impl Country {
    /// The country of a code, in small letters or not.
    #[must_use]
    pub fn find(code: &str) -> Option<&'static Self> {
        COUNTRIES.iter().find(|country| country.code.eq_ignore_ascii_case(code))
    }

    /// One of its tones.
    #[must_use]
    pub const fn cadence(&self, progress: Progress) -> Cadence {
        self.tones[progress as usize]
    }

    /// The samples of one of its tones, without end.
    #[must_use]
    pub fn tone(&self, progress: Progress, sample_rate: u32) -> ProgressTone {
        ProgressTone::new(self.cadence(progress), sample_rate)
    }
}

/// The samples of a tone, without end.
///
/// ```
/// use oneport_media::progress::{Country, Progress};
/// use oneport_media::tone::level_dbm0;
///
/// let us = Country::find("us").expect("it is known");
/// let busy: Vec<i16> = us.tone(Progress::Busy, 8_000).take(4_000).collect();
/// // Two together, each 3 dB below the -10 dBm0 of one alone.
/// for frequency in [480.0, 620.0] {
///     assert!((level_dbm0(&busy, frequency, 8_000) + 13.0).abs() < 0.2);
/// }
/// ```
#[derive(Clone, Debug)]
pub struct ProgressTone {
    first: Sine,
    second: Option<Sine>,
    modulated: bool,
    times: &'static [u16],
    sample_rate: u32,
    place: usize,
    /// Samples left of the present time.
    left: u32,
}

impl ProgressTone {
    /// A tone at a rate.
    #[must_use]
    pub fn new(cadence: Cadence, sample_rate: u32) -> Self {
        let sine = |frequency: u16, dbm0: f64| {
            Sine::new(f64::from(frequency), sample_rate, amplitude_of(dbm0))
        };
        let (first, second, modulated) = match cadence.pitch {
            Pitch::One(frequency) => (sine(frequency, DBM0), None, false),
            Pitch::Both(one, other) => {
                (sine(one, DBM0 - 3.0), Some(sine(other, DBM0 - 3.0)), false)
            }
            // Half of full scale: it goes on top of a steady half.
            Pitch::Modulated(one, by) => {
                let by = Sine::new(f64::from(by), sample_rate, 0.5);
                (sine(one, DBM0), Some(by), true)
            }
        };
        let times = cadence.times;
        let mut tone = Self { first, second, modulated, times, sample_rate, place: 0, left: 0 };
        tone.left = tone.samples_at(0);
        tone
    }

    fn samples_at(&self, place: usize) -> u32 {
        self.times.get(place).map_or(u32::MAX, |ms| u32::from(*ms) * self.sample_rate / 1000)
    }
}

impl Iterator for ProgressTone {
    type Item = i16;

    fn next(&mut self) -> Option<i16> {
        let sound = self.first.next()?;
        let sample = match &mut self.second {
            None => sound,
            Some(second) if self.modulated => {
                let part = i32::from(second.next()?) + i32::from(i16::MAX / 2 + 1);
                #[expect(clippy::cast_possible_truncation, reason = "a part of it")]
                let part = (i32::from(sound) * part / i32::from(i16::MAX)) as i16;
                part
            }
            Some(second) => sound.saturating_add(second.next()?),
        };
        let is_there = self.place.is_multiple_of(2);
        if !self.times.is_empty() {
            self.left = self.left.saturating_sub(1);
            if self.left == 0 {
                self.place = (self.place + 1) % self.times.len();
                self.left = self.samples_at(self.place);
            }
        }
        Some(if is_there { sample } else { 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::level_dbm0;

    const ALL: [Progress; 4] =
        [Progress::Dial, Progress::Ringback, Progress::Busy, Progress::Congestion];

    #[test]
    fn each_country_is_found_once_and_has_tones_within_the_limits_of_e180() {
        assert!(COUNTRIES.len() >= 20);
        for country in COUNTRIES {
            assert_eq!(Country::find(country.code), Some(country));
            assert_eq!(Country::find(&country.code.to_uppercase()), Some(country));
            for progress in ALL {
                let Cadence { pitch, times } = country.cadence(progress);
                let (Pitch::One(frequency)
                | Pitch::Both(frequency, _)
                | Pitch::Modulated(frequency, _)) = pitch;
                // E.180 §4 to §8: 340 to 500 Hz, and 400 to 620 where two are added.
                assert!((340..=500).contains(&frequency), "{} {progress:?}", country.name);
                assert!(times.len().is_multiple_of(2), "{} {progress:?}", country.name);
                let whole: u32 = times.iter().map(|ms| u32::from(*ms)).sum();
                match progress {
                    Progress::Dial => assert!(whole < 3_000),
                    Progress::Ringback => {
                        assert!((2_400..=6_500).contains(&whole), "{}", country.name)
                    }
                    _ => assert!((300..=3_000).contains(&whole), "{} {progress:?}", country.name),
                }
            }
        }
        assert_eq!(Country::find("xx"), None);
    }

    #[test]
    fn a_tone_has_its_frequencies_level_and_cadence_at_each_rate() {
        for rate in [8_000, 16_000, 48_000] {
            let per_ms = rate as usize / 1000;
            let us = Country::find("us").expect("known");
            let busy: Vec<i16> = us.tone(Progress::Busy, rate).take(2_000 * per_ms).collect();
            for (n, half) in busy.chunks(500 * per_ms).enumerate() {
                for frequency in [480.0, 620.0] {
                    let level = level_dbm0(half, frequency, rate);
                    match n % 2 {
                        0 => assert!((level + 13.0).abs() < 0.2, "{level}"),
                        _ => assert!(half.iter().all(|sample| *sample == 0)),
                    }
                }
            }
            let dial: Vec<i16> = Country::find("de")
                .expect("known")
                .tone(Progress::Dial, rate)
                .take(5_000 * per_ms)
                .collect();
            for second in dial.chunks(1_000 * per_ms) {
                assert!((level_dbm0(second, 425.0, rate) + 10.0).abs() < 0.1);
            }
            // Modulated: the tone itself at half, and the sides at a quarter of it.
            let ring: Vec<i16> = Country::find("in")
                .expect("known")
                .tone(Progress::Ringback, rate)
                .take(400 * per_ms)
                .collect();
            for (frequency, dbm0) in [(400.0, -16.0), (375.0, -22.0), (425.0, -22.0)] {
                let level = level_dbm0(&ring, frequency, rate);
                assert!((level - dbm0).abs() < 0.3, "{frequency}: {level}");
            }
        }
    }

    #[test]
    fn a_double_ring_is_there_and_away_as_in_its_table() {
        let tone = Country::find("gb").expect("known").tone(Progress::Ringback, 8_000);
        let samples: Vec<i16> = tone.take(6 * 8_000).collect();
        let is_there: Vec<bool> = samples
            .chunks(800)
            .map(|part| part.iter().any(|sample| sample.unsigned_abs() > 1_000))
            .collect();
        let once = [vec![true; 4], vec![false; 2], vec![true; 4], vec![false; 20]].concat();
        assert_eq!(is_there, once.repeat(2));
    }
}
