//! Keys of a telephone as tones in the voice (ITU-T Q.23, Q.24): [`Generator`] and [`Keyer`] make them,
//! [`Detector`] hears them. Keys that come otherwise, as frames of IAX2 or as packets of
//! [RFC 4733](crate::telephone_event), are the same [`Key`]s.

mod detector;
mod generator;
mod keyer;

pub use detector::Detector;
pub use generator::Generator;
pub use keyer::Keyer;

/// Frequencies of the rows, in Hz (Q.23 §6).
pub const LOW: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
/// Frequencies of the columns, in Hz.
pub const HIGH: [f64; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];
/// The keys, row by row.
pub const KEYS: [u8; 16] = *b"123A456B789C*0#D";

/// A key that somebody presses, in ASCII: `0` to `9`, `A` to `D`, `*`, `#`.
///
/// ```
/// use oneport_media::dtmf::{Detector, Generator, Key};
///
/// let mut tone = Generator::new(b'7', 8_000).expect("there is such a key");
/// let mut samples = vec![0; 1_600];
/// tone.fill(&mut samples[..800]);
/// let (mut detector, mut keys) = (Detector::new(8_000).expect("a usual rate"), Vec::new());
/// detector.hear(&samples, |key| keys.push(key));
/// let [Key::Pressed(b'7'), Key::Released { digit: b'7', ms }] = *keys else { panic!("{keys:?}") };
/// assert!(ms.abs_diff(100) <= 20);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Key {
    /// It goes down.
    Pressed(u8),
    /// It comes up, behind so many ms.
    Released {
        /// The key.
        digit: u8,
        /// How long it was down, in ms.
        ms: u32,
    },
}

/// Row and column of a key.
fn place_of(digit: u8) -> Option<(usize, usize)> {
    let digit = digit.to_ascii_uppercase();
    let place = KEYS.iter().position(|key| *key == digit)?;
    Some((place / 4, place % 4))
}
