//! Text as the wire has it.

use alloc::string::String;
use core::fmt;

/// Text of an information element: UTF-8 by rule (RFC 5456 §8.6), anything in practice.
///
/// ```
/// use oneport_wire::Str;
///
/// assert_eq!(Str::from("Zoë").to_str(), Some("Zoë"));
/// // A peer that sends Latin-1: what can be read is printed, and no byte is lost.
/// let name = Str::new(b"Zo\xEB");
/// assert_eq!(name.to_str(), None);
/// assert_eq!(name.to_string(), "Zo\u{FFFD}");
/// assert_eq!(name.as_bytes(), b"Zo\xEB");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Str<'a>(&'a [u8]);

impl<'a> Str<'a> {
    /// Text from raw bytes.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The raw bytes.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The text if it is UTF-8.
    #[must_use]
    pub fn to_str(self) -> Option<&'a str> {
        core::str::from_utf8(self.0).ok()
    }
}

impl<'a> From<&'a str> for Str<'a> {
    fn from(text: &'a str) -> Self {
        Self(text.as_bytes())
    }
}

impl<'a> From<&'a [u8]> for Str<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

/// Bytes that are not UTF-8 print as replacement characters.
impl fmt::Display for Str<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_str() {
            Some(text) => f.pad(text),
            None => f.pad(&String::from_utf8_lossy(self.0)),
        }
    }
}

impl fmt::Debug for Str<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.0))
    }
}
