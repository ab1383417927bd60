//! CODEC_PREFS: an order of formats, a letter each (RFC 5456 §8.6.35).

use core::fmt;

use crate::format::Format;

/// An order of preference, best first, as letters.
///
/// ```
/// use oneport_wire::{CodecPreferences, Format};
///
/// let preferences = CodecPreferences::new(b"E?DC");
/// assert_eq!(preferences.to_string(), "alaw>ulaw>gsm");
/// // The best that both speak.
/// let ours = [Format::GSM, Format::ULAW];
/// assert_eq!(preferences.iter().find(|format| ours.contains(format)), Some(Format::ULAW));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CodecPreferences<'a>(&'a [u8]);

impl<'a> CodecPreferences<'a> {
    /// Letters that peers read and write at most.
    pub const MAX_LEN: usize = 31;

    /// From the letters of an element.
    #[must_use]
    pub const fn new(letters: &'a [u8]) -> Self {
        Self(letters)
    }

    /// The letters.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The formats in order. Unknown letters are skipped. Letters above K moved once in the past:
    /// take the list as an order of formats that are known to be common, never as their set.
    pub fn iter(self) -> impl Iterator<Item = Format> + use<'a> {
        self.0.iter().filter_map(|letter| Format::from_preference_letter(*letter))
    }
}

/// Names joined by `>`.
impl fmt::Display for CodecPreferences<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, format) in self.iter().enumerate() {
            let mark = if n > 0 { ">" } else { "" };
            write!(f, "{mark}{format}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for CodecPreferences<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}
