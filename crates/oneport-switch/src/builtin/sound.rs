//! Audio in memory, at all rates that are spoken here.

use std::fmt;
use std::path::Path;

use oneport_media::{resample, wav};

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
