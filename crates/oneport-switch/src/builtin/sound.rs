//! Audio in memory, at all rates that are spoken here.

use std::fmt;
use std::path::Path;

use oneport_media::{resample, tone, wav};

/// The rates at which audio is kept: those of all codecs that are spoken here.
const RATES: [u32; 2] = [8_000, 16_000];

/// One piece of audio.
#[derive(PartialEq, Eq)]
pub(crate) struct Sound {
    /// Its samples at each of `RATES`.
    samples: [Vec<i16>; 2],
}

impl fmt::Debug for Sound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sound({} bytes)", self.size())
    }
}

impl Sound {
    /// Reads a WAV file.
    ///
    /// # Errors
    /// In words: it cannot be read, or is empty.
    pub(crate) fn load(path: &Path) -> Result<Self, String> {
        let wide = wav::read(path, RATES[1]).map_err(|error| error.to_string())?;
        let narrow = resample::resample(&wide, RATES[1], RATES[0]);
        if narrow.is_empty() {
            return Err(format!("{} is empty", path.display()));
        }
        Ok(Self { samples: [narrow, wide] })
    }

    /// The tone of congestion, 480 and 620 Hz for a quarter of a second in each half, for 10 s.
    pub(crate) fn congestion() -> Self {
        let samples = RATES.map(|rate| {
            let quarter = rate as usize / 4;
            let tones = tone::Sine::new(480.0, rate, 0.15).zip(tone::Sine::new(620.0, rate, 0.15));
            let mut half: Vec<i16> = tones.take(quarter).map(|(low, high)| low + high).collect();
            half.resize(2 * quarter, 0);
            half.repeat(20)
        });
        Self { samples }
    }

    /// How many bytes it takes.
    pub(crate) fn size(&self) -> usize {
        self.samples.iter().map(|samples| samples.len() * size_of::<i16>()).sum()
    }

    /// Its samples at the rate of a codec.
    pub(crate) fn at(&self, rate: u32) -> &[i16] {
        let kept = RATES.iter().position(|one| *one == rate).unwrap_or(0);
        &self.samples[kept]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn congestion_is_heard_in_its_cadence_at_each_rate() {
        let sound = Sound::congestion();
        for rate in RATES {
            let samples = sound.at(rate);
            assert_eq!(samples.len(), 10 * rate as usize);
            for (n, quarter) in samples.chunks(rate as usize / 4).enumerate() {
                let loud = quarter.iter().map(|sample| sample.unsigned_abs()).max();
                assert_eq!(loud > Some(8_000), n % 2 == 0, "quarter {n} at {rate} Hz");
            }
        }
    }
}
