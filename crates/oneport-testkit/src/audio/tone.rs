//! Tones that peers can tell apart, at 8,000 samples a second.

use std::f64::consts::TAU;
use std::fs;
use std::path::Path;

/// Samples in a second.
const RATE: f64 = 8_000.0;

/// So many samples of a tone.
#[must_use]
pub fn tone(hertz: f64, samples: u32) -> Vec<i16> {
    let sample = |n: u32| {
        let sample = (f64::from(n) * hertz * TAU / RATE).sin() * 8_000.0;
        #[expect(clippy::cast_possible_truncation, reason = "it is within 16 bits")]
        let sample = sample as i16;
        sample
    };
    (0..samples).map(sample).collect()
}

/// How much of the power of `samples` is in one tone, from 0 to 1.
#[must_use]
pub fn share_of(samples: &[i16], hertz: f64) -> f64 {
    let (mut real, mut imaginary, mut power) = (0.0, 0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let (sample, angle) = (f64::from(*sample), n as f64 * hertz * TAU / RATE);
        real += sample * angle.cos();
        imaginary += sample * angle.sin();
        power += sample * sample;
    }
    if power == 0.0 {
        return 0.0;
    }
    2.0 * (real * real + imaginary * imaginary) / power / samples.len() as f64
}

/// Writes samples as a WAV file.
///
/// # Panics
/// It cannot be written.
pub fn write_wav(path: &Path, samples: &[i16]) {
    let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let len = u32::try_from(bytes.len()).expect("short");
    let mut wav = b"RIFF".to_vec();
    wav.extend((len + 36).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend(8_000_u32.to_le_bytes());
    wav.extend(16_000_u32.to_le_bytes());
    wav.extend(b"\x02\0\x10\0data");
    wav.extend(len.to_le_bytes());
    wav.extend(bytes);
    fs::write(path, wav).expect("writable");
}

/// The samples of a WAV file of one channel and 16 bits, as far as it is written; none where it is not
/// there yet.
#[must_use]
pub fn read_wav(path: &Path) -> Vec<i16> {
    let bytes = fs::read(path).unwrap_or_default();
    let samples = bytes.get(44..).unwrap_or_default();
    samples.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_is_told_from_another_and_from_silence() {
        let samples = tone(440.0, 8_000);
        assert!(share_of(&samples, 440.0) > 0.99);
        assert!(share_of(&samples, 1_000.0) < 0.01);
        assert!(share_of(&[0; 8_000], 440.0) < 0.01);
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("tone.wav");
        write_wav(&path, &samples);
        assert_eq!(read_wav(&path), samples);
    }
}
