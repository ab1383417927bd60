//! WAV files.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use hound::{SampleFormat, WavSpec};
use oneport_resample::resample::resample;
use thiserror::Error;

/// A WAV file that cannot be read or written.
///
/// ```
/// use oneport_media::wav::{self, Depth, WavError, Writer};
///
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("surround.wav");
/// Writer::with_depth(&path, 8_000, 6, Depth::Sixteen)?.finish()?;
/// let error = wav::read(&path, 8_000).expect_err("it is neither mono nor stereo");
/// assert!(matches!(&error, WavError::Unusable { what, .. } if what == "it has 6 channels"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Error)]
pub enum WavError {
    /// The system or the file says no.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: hound::Error,
    },
    /// More than two channels, or a rate that is no audio's.
    #[error("{}: {what}; convert it to mono or stereo, 8 to 48 kHz", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Which of its properties cannot be used.
        what: String,
    },
}

impl WavError {
    fn file(path: &Path) -> impl FnOnce(hound::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::File { path, source }
    }
}

/// Reads a file as one channel at `sample_rate`. Two channels are mixed; at an equal rate a mono
/// file of 16 bits comes as it is.
///
/// # Errors
/// No such file, not a PCM WAV file, or not mono or stereo at 8 to 48 kHz.
pub fn read(path: &Path, sample_rate: u32) -> Result<Vec<i16>, WavError> {
    let mut reader = hound::WavReader::open(path).map_err(WavError::file(path))?;
    let spec = reader.spec();
    let unusable = |what| WavError::Unusable { path: path.to_path_buf(), what };
    if !(1..=2).contains(&spec.channels) {
        return Err(unusable(format!("it has {} channels", spec.channels)));
    }
    if !(8_000..=48_000).contains(&spec.sample_rate) {
        return Err(unusable(format!("its rate is {} Hz", spec.sample_rate)));
    }
    let samples: Result<Vec<i32>, hound::Error> = match spec.sample_format {
        SampleFormat::Float => {
            #[expect(clippy::cast_possible_truncation, reason = "a float cast saturates")]
            let linear = |sample: f32| (sample * 32768.0).round() as i32;
            reader.samples::<f32>().map(|sample| sample.map(linear)).collect()
        }
        SampleFormat::Int => {
            let bits = i32::from(spec.bits_per_sample);
            let scale = |sample: i32| if bits >= 16 { sample >> (bits - 16) } else { sample << 8 };
            reader.samples::<i32>().map(|sample| sample.map(scale)).collect()
        }
    };
    let samples = samples.map_err(WavError::file(path))?;
    #[expect(clippy::cast_possible_truncation, reason = "clamped")]
    let narrow = |sample: i32| sample.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
    let mono: Vec<i16> = match spec.channels {
        2 => samples.as_chunks::<2>().0.iter().map(|[l, r]| narrow((l + r) / 2)).collect(),
        _ => samples.into_iter().map(narrow).collect(),
    };
    Ok(resample(&mono, spec.sample_rate, sample_rate))
}

/// Reads a file of two channels of 8 or 16 bits as it is: left, right, and its rate. Samples of 8 bits are
/// as loud as they were before they became that.
///
/// # Errors
/// No such file, or none of that kind.
pub fn read_stereo(path: &Path) -> Result<(Vec<i16>, Vec<i16>, u32), WavError> {
    let mut reader = hound::WavReader::open(path).map_err(WavError::file(path))?;
    let spec = reader.spec();
    let eight = spec.bits_per_sample == 8;
    if spec.channels != 2 || !(eight || spec.bits_per_sample == 16) {
        let what = format!("{} channels of {} bits", spec.channels, spec.bits_per_sample);
        return Err(WavError::Unusable { path: path.to_path_buf(), what });
    }
    let samples = reader.samples::<i16>();
    let louder = |sample: i16| if eight { sample << 8 } else { sample };
    let samples: Result<Vec<i16>, hound::Error> =
        samples.map(|sample| sample.map(louder)).collect();
    let samples = samples.map_err(WavError::file(path))?;
    let pairs = samples.as_chunks::<2>().0.iter();
    let (left, right) = pairs.map(|[left, right]| (*left, *right)).unzip();
    Ok((left, right, spec.sample_rate))
}

/// How many bits a sample of a file has.
///
/// ```
/// use oneport_media::wav::{self, Depth, Writer};
///
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("small.wav");
/// let mut writer = Writer::with_depth(&path, 8_000, 1, Depth::Eight)?;
/// writer.write(&[0x1234, -0x1234])?;
/// writer.finish()?;
/// // The upper half of each sample is what is left.
/// assert_eq!(wav::read(&path, 8_000)?, [0x1200, -0x1200]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Depth {
    /// 8: half as much, and as noisy as that.
    Eight,
    /// 16.
    #[default]
    Sixteen,
}

/// Writes one or two channels of 8 or 16 bits. The file is complete up to the last second at any time, even if
/// the process is killed.
///
/// ```
/// use oneport_media::wav::{self, Writer};
///
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("call.wav");
/// let mut writer = Writer::create_stereo(&path, 8_000)?;
/// // One party on the left, the other on the right.
/// writer.write(&[100, -5, 102, -7])?;
/// writer.finish()?;
/// assert_eq!(wav::read_stereo(&path)?, (vec![100, 102], vec![-5, -7], 8_000));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Writer {
    path: PathBuf,
    writer: hound::WavWriter<BufWriter<File>>,
    sample_rate: u32,
    depth: Depth,
    since_flush: u32,
}

impl Writer {
    /// Makes the file, or empties it.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(path: &Path, sample_rate: u32) -> Result<Self, WavError> {
        Self::with_depth(path, sample_rate, 1, Depth::Sixteen)
    }

    /// The same, for samples of two channels by turns, the left one first.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create_stereo(path: &Path, sample_rate: u32) -> Result<Self, WavError> {
        Self::with_depth(path, sample_rate, 2, Depth::Sixteen)
    }

    /// The same for so many channels, and bits.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn with_depth(
        path: &Path,
        sample_rate: u32,
        channels: u16,
        depth: Depth,
    ) -> Result<Self, WavError> {
        let sample_format = SampleFormat::Int;
        let bits_per_sample = match depth {
            Depth::Eight => 8,
            Depth::Sixteen => 16,
        };
        let spec = WavSpec { channels, sample_rate, bits_per_sample, sample_format };
        let writer = hound::WavWriter::create(path, spec).map_err(WavError::file(path))?;
        Ok(Self { path: path.to_path_buf(), writer, sample_rate, depth, since_flush: 0 })
    }

    /// Appends samples.
    ///
    /// # Errors
    /// The disk is full, or the like.
    pub fn write(&mut self, samples: &[i16]) -> Result<(), WavError> {
        for sample in samples {
            let sample = match self.depth {
                Depth::Eight => sample.saturating_add(128) >> 8,
                Depth::Sixteen => *sample,
            };
            self.writer.write_sample(sample).map_err(WavError::file(&self.path))?;
            self.since_flush += 1;
        }
        if self.since_flush >= self.sample_rate {
            self.since_flush = 0;
            self.writer.flush().map_err(WavError::file(&self.path))?;
        }
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// The disk is full, or the like.
    pub fn finish(self) -> Result<(), WavError> {
        self.writer.finalize().map_err(WavError::file(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize) -> Vec<i16> {
        (0..len).map(|n| (n * 7919 % 65_536) as u16 as i16).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.wav");
        let mut writer = Writer::create(&path, 8_000).unwrap();
        writer.write(&noise(12_345)).unwrap();
        writer.finish().unwrap();
        assert_eq!(read(&path, 8_000).unwrap(), noise(12_345));
        assert!(read(&path, 16_000).unwrap().len().abs_diff(24_690) <= 1);
    }

    #[test]
    fn files_of_either_depth_at_each_rate_are_read_as_they_were_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.wav");
        for rate in [8_000, 16_000, 48_000] {
            for (depth, apart, bytes) in [(Depth::Eight, 128, 1), (Depth::Sixteen, 0, 2)] {
                let mut writer = Writer::with_depth(&path, rate, 1, depth).unwrap();
                writer.write(&noise(5_000)).unwrap();
                writer.finish().unwrap();
                let back = read(&path, rate).unwrap();
                assert_eq!(back.len(), 5_000);
                // The loudest of 8 bits is 127 below that of 16 and half a step.
                let near = |(a, b): (&i16, &i16)| a.abs_diff(*b) <= apart + apart;
                assert!(back.iter().zip(&noise(5_000)).all(near), "{depth:?} at {rate} Hz");
                let size = std::fs::metadata(&path).unwrap().len();
                assert!((5_000 * bytes..5_000 * bytes + 100).contains(&size), "{size}");
            }
        }
    }

    #[test]
    fn an_unfinished_file_can_be_read_up_to_its_last_second() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.wav");
        let mut writer = Writer::create(&path, 8_000).unwrap();
        for chunk in noise(20_000).chunks(160) {
            writer.write(chunk).unwrap();
        }
        std::mem::forget(writer);
        let read = read(&path, 8_000).unwrap();
        assert!(read.len() >= 16_000);
        assert_eq!(read[..16_000], noise(16_000));
    }

    #[test]
    fn stereo_of_other_widths_is_mixed() {
        let directory = tempfile::tempdir().unwrap();
        for (bits, format, unit) in [
            (8, SampleFormat::Int, 1),
            (24, SampleFormat::Int, 65_536),
            (32, SampleFormat::Int, 1 << 24),
        ] {
            let path = directory.path().join("b.wav");
            let spec = WavSpec {
                channels: 2,
                sample_rate: 8_000,
                bits_per_sample: bits,
                sample_format: format,
            };
            let mut writer = hound::WavWriter::create(&path, spec).unwrap();
            for sample in [10 * unit, 20 * unit, -64 * unit, -32 * unit] {
                writer.write_sample(sample).unwrap();
            }
            writer.finalize().unwrap();
            assert_eq!(read(&path, 8_000).unwrap(), [15 * 256, -48 * 256], "{bits} bits");
        }
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("none.wav");
        let error = read(&path, 8_000).unwrap_err().to_string();
        assert!(error.contains("none.wav") && error.contains("No such file"), "{error}");
        std::fs::write(&path, "not a wave").unwrap();
        assert!(read(&path, 8_000).is_err());
    }
}
