//! Media formats: one bit each of a 64-bit mask (RFC 5456 §8.7, and CAPABILITY2).

use core::fmt;
use core::ops::{BitAnd, BitOr};

/// What a format carries.
///
/// ```
/// use oneport_wire::{Format, MediaKind};
///
/// assert_eq!(Format::H264.kind(), MediaKind::Video);
/// // A bit that nobody has a format for can be offered all the same.
/// assert_eq!(Format::from_bit(24).map(Format::kind), Some(MediaKind::Unassigned));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MediaKind {
    /// Sound.
    Audio,
    /// Moving pictures.
    Video,
    /// One picture.
    Image,
    /// Characters as they are typed.
    Text,
    /// A bit without a known meaning.
    Unassigned,
}

/// One media format: the number of its bit, 0 to 63.
///
/// It prints as the name Asterisk uses.
///
/// ```
/// use oneport_wire::Format;
///
/// assert_eq!(Format::from_name("ULAW"), Some(Format::ULAW));
/// assert_eq!((Format::ULAW.mask(), Format::ULAW.subclass()), (0x4, 0x4));
/// // Bit 34 does not fit into a subclass: the C bit and its number do.
/// assert_eq!((Format::OPUS.mask(), Format::OPUS.subclass()), (1 << 34, 0x80 | 34));
/// assert_eq!(Format::from_subclass(0xA2), Some(Format::OPUS));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Format(u8);

/// What is known of an assigned bit.
struct Known {
    bit: u8,
    name: &'static str,
    kind: MediaKind,
    letter: u8,
    /// Samples in a second; 0 where it has none.
    rate: u32,
    /// Usual length of a frame in ms; 0 where it has none.
    frame_ms: u16,
}

const KNOWN: &[Known] = &[
    Known { bit: 0, name: "g723", kind: MediaKind::Audio, letter: b'B', rate: 8000, frame_ms: 30 },
    Known { bit: 1, name: "gsm", kind: MediaKind::Audio, letter: b'C', rate: 8000, frame_ms: 20 },
    Known { bit: 2, name: "ulaw", kind: MediaKind::Audio, letter: b'D', rate: 8000, frame_ms: 20 },
    Known { bit: 3, name: "alaw", kind: MediaKind::Audio, letter: b'E', rate: 8000, frame_ms: 20 },
    Known {
        bit: 4,
        name: "g726aal2",
        kind: MediaKind::Audio,
        letter: b'N',
        rate: 8000,
        frame_ms: 20,
    },
    Known { bit: 5, name: "adpcm", kind: MediaKind::Audio, letter: b'G', rate: 8000, frame_ms: 20 },
    Known { bit: 6, name: "slin", kind: MediaKind::Audio, letter: b'H', rate: 8000, frame_ms: 20 },
    Known { bit: 7, name: "lpc10", kind: MediaKind::Audio, letter: b'I', rate: 8000, frame_ms: 20 },
    Known { bit: 8, name: "g729", kind: MediaKind::Audio, letter: b'J', rate: 8000, frame_ms: 20 },
    Known { bit: 9, name: "speex", kind: MediaKind::Audio, letter: b'K', rate: 8000, frame_ms: 20 },
    Known { bit: 10, name: "ilbc", kind: MediaKind::Audio, letter: b'M', rate: 8000, frame_ms: 30 },
    Known { bit: 11, name: "g726", kind: MediaKind::Audio, letter: b'F', rate: 8000, frame_ms: 20 },
    Known {
        bit: 12,
        name: "g722",
        kind: MediaKind::Audio,
        letter: b'O',
        rate: 16000,
        frame_ms: 20,
    },
    Known {
        bit: 13,
        name: "siren7",
        kind: MediaKind::Audio,
        letter: b'Z',
        rate: 16000,
        frame_ms: 20,
    },
    Known {
        bit: 14,
        name: "siren14",
        kind: MediaKind::Audio,
        letter: b'[',
        rate: 32000,
        frame_ms: 20,
    },
    Known {
        bit: 15,
        name: "slin16",
        kind: MediaKind::Audio,
        letter: b'P',
        rate: 16000,
        frame_ms: 20,
    },
    Known { bit: 16, name: "jpeg", kind: MediaKind::Image, letter: b'Q', rate: 0, frame_ms: 0 },
    Known { bit: 17, name: "png", kind: MediaKind::Image, letter: b'R', rate: 0, frame_ms: 0 },
    Known { bit: 18, name: "h261", kind: MediaKind::Video, letter: b'S', rate: 0, frame_ms: 0 },
    Known { bit: 19, name: "h263", kind: MediaKind::Video, letter: b'T', rate: 0, frame_ms: 0 },
    Known { bit: 20, name: "h263p", kind: MediaKind::Video, letter: b'U', rate: 0, frame_ms: 0 },
    Known { bit: 21, name: "h264", kind: MediaKind::Video, letter: b'V', rate: 0, frame_ms: 0 },
    Known { bit: 22, name: "mpeg4", kind: MediaKind::Video, letter: b'W', rate: 0, frame_ms: 0 },
    Known { bit: 23, name: "vp8", kind: MediaKind::Video, letter: b'g', rate: 0, frame_ms: 0 },
    Known { bit: 26, name: "red", kind: MediaKind::Text, letter: b'X', rate: 0, frame_ms: 0 },
    Known { bit: 27, name: "t140", kind: MediaKind::Text, letter: b'Y', rate: 0, frame_ms: 0 },
    Known {
        bit: 32,
        name: "g719",
        kind: MediaKind::Audio,
        letter: b']',
        rate: 48000,
        frame_ms: 20,
    },
    Known {
        bit: 33,
        name: "speex16",
        kind: MediaKind::Audio,
        letter: b'L',
        rate: 16000,
        frame_ms: 20,
    },
    Known {
        bit: 34,
        name: "opus",
        kind: MediaKind::Audio,
        letter: b'f',
        rate: 48000,
        frame_ms: 20,
    },
    Known {
        bit: 47,
        name: "testlaw",
        kind: MediaKind::Audio,
        letter: b'\\',
        rate: 8000,
        frame_ms: 20,
    },
];

impl Format {
    /// G.723.1, 30 ms.
    pub const G723: Self = Self(0);
    /// GSM 06.10 full rate.
    pub const GSM: Self = Self(1);
    /// G.711 µ-law.
    pub const ULAW: Self = Self(2);
    /// G.711 A-law.
    pub const ALAW: Self = Self(3);
    /// G.726 at 32 kbit/s, AAL2 packing (the RFC calls this bit plain G.726).
    pub const G726_AAL2: Self = Self(4);
    /// IMA ADPCM at 32 kbit/s.
    pub const ADPCM: Self = Self(5);
    /// 16-bit linear at 8 kHz, big-endian.
    pub const SLIN: Self = Self(6);
    /// LPC-10.
    pub const LPC10: Self = Self(7);
    /// G.729A.
    pub const G729: Self = Self(8);
    /// Speex at 8 kHz.
    pub const SPEEX: Self = Self(9);
    /// iLBC.
    pub const ILBC: Self = Self(10);
    /// G.726 at 32 kbit/s, RFC 3551 packing (the RFC calls this bit AAL2).
    pub const G726: Self = Self(11);
    /// G.722 at 64 kbit/s.
    pub const G722: Self = Self(12);
    /// G.722.1 at 32 kbit/s.
    pub const SIREN7: Self = Self(13);
    /// G.722.1C at 48 kbit/s.
    pub const SIREN14: Self = Self(14);
    /// 16-bit linear at 16 kHz, in the byte order of the sender (little-endian in practice).
    pub const SLIN16: Self = Self(15);
    /// JPEG image.
    pub const JPEG: Self = Self(16);
    /// PNG image.
    pub const PNG: Self = Self(17);
    /// H.261 video.
    pub const H261: Self = Self(18);
    /// H.263 video.
    pub const H263: Self = Self(19);
    /// H.263+ video.
    pub const H263P: Self = Self(20);
    /// H.264 video.
    pub const H264: Self = Self(21);
    /// MPEG-4 video.
    pub const MPEG4: Self = Self(22);
    /// VP8 video.
    pub const VP8: Self = Self(23);
    /// T.140 text with redundancy.
    pub const T140_RED: Self = Self(26);
    /// T.140 text.
    pub const T140: Self = Self(27);
    /// G.719 at 64 kbit/s.
    pub const G719: Self = Self(32);
    /// Speex at 16 kHz.
    pub const SPEEX16: Self = Self(33);
    /// Opus.
    pub const OPUS: Self = Self(34);
    /// A variant of µ-law for tests, withdrawn.
    pub const TESTLAW: Self = Self(47);

    /// The order in which peers that have no other preference choose: best first.
    pub const FIXED_RANKING: [Self; 19] = [
        Self::ULAW,
        Self::ALAW,
        Self::G719,
        Self::SIREN14,
        Self::SIREN7,
        Self::G722,
        Self::SLIN16,
        Self::SLIN,
        Self::G726,
        Self::G726_AAL2,
        Self::ADPCM,
        Self::GSM,
        Self::ILBC,
        Self::SPEEX16,
        Self::SPEEX,
        Self::OPUS,
        Self::LPC10,
        Self::G729,
        Self::G723,
    ];

    /// The format of a bit, 0 to 63, assigned or not.
    #[must_use]
    pub const fn from_bit(bit: u8) -> Option<Self> {
        if bit < 64 { Some(Self(bit)) } else { None }
    }

    /// The number of its bit.
    #[must_use]
    pub const fn bit(self) -> u8 {
        self.0
    }

    /// Its bit in a mask.
    #[must_use]
    pub const fn mask(self) -> u64 {
        1 << self.0
    }

    fn known(self) -> Option<&'static Known> {
        KNOWN.iter().find(|known| known.bit == self.0)
    }

    /// Its name, or `unassigned`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.known().map_or("unassigned", |known| known.name)
    }

    /// The format of a name such as `ulaw`, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let known = KNOWN.iter().find(|known| known.name.eq_ignore_ascii_case(name))?;
        Some(Self(known.bit))
    }

    /// All formats that have a name.
    pub fn all() -> impl Iterator<Item = Self> {
        KNOWN.iter().map(|known| Self(known.bit))
    }

    /// What it carries.
    #[must_use]
    pub fn kind(self) -> MediaKind {
        self.known().map_or(MediaKind::Unassigned, |known| known.kind)
    }

    /// Samples in a second, of audio. G.722 has 16,000, though timestamps, being in ms, don't show
    /// it.
    #[must_use]
    pub fn sample_rate(self) -> Option<u32> {
        self.known().map(|known| known.rate).filter(|rate| *rate > 0)
    }

    /// The usual length of a frame in ms, of audio.
    #[must_use]
    pub fn frame_ms(self) -> Option<u16> {
        self.known().map(|known| known.frame_ms).filter(|ms| *ms > 0)
    }

    /// Its letter in CODEC_PREFS.
    #[must_use]
    pub fn preference_letter(self) -> Option<u8> {
        self.known().map(|known| known.letter)
    }

    /// The format of a letter of CODEC_PREFS.
    #[must_use]
    pub fn from_preference_letter(letter: u8) -> Option<Self> {
        KNOWN.iter().find(|known| known.letter == letter).map(|known| Self(known.bit))
    }

    /// Its subclass in a full frame (RFC 5456 §8.1.1): the mask itself where that is below 128,
    /// otherwise the C bit and the number of the bit.
    #[must_use]
    pub const fn subclass(self) -> u8 {
        if self.0 < 7 { 1 << self.0 } else { 0x80 | self.0 }
    }

    /// The format of a subclass in either spelling; `None` for no bit, several, or -1 (0xFF).
    #[must_use]
    pub const fn from_subclass(subclass: u8) -> Option<Self> {
        if subclass == 0xFF {
            None
        } else if subclass & 0x80 != 0 {
            Some(Self(subclass & 0x3F))
        } else if subclass.is_power_of_two() {
            #[expect(clippy::cast_possible_truncation, reason = "below 8")]
            let bit = subclass.trailing_zeros() as u8;
            Some(Self(bit))
        } else {
            None
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.known() {
            Some(known) => f.pad(known.name),
            None => write!(f, "format{}", self.0),
        }
    }
}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A set of formats: a 64-bit mask.
///
/// ```
/// use oneport_wire::{Format, FormatSet};
///
/// let ours: FormatSet = [Format::GSM, Format::ALAW, Format::OPUS].into_iter().collect();
/// let theirs = FormatSet(0x0000_000E);
/// assert_eq!((ours & theirs).to_string(), "gsm,alaw");
/// let chosen = Format::FIXED_RANKING.into_iter().find(|format| (ours & theirs).contains(*format));
/// assert_eq!(chosen, Some(Format::ALAW));
/// // CAPABILITY has no room for Opus.
/// assert_eq!(ours.low32(), 0x0000_000A);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FormatSet(pub u64);

impl FormatSet {
    /// No format.
    pub const EMPTY: Self = Self(0);

    /// Whether `format` is in it.
    #[must_use]
    pub const fn contains(self, format: Format) -> bool {
        self.0 & format.mask() != 0
    }

    /// Puts `format` in.
    pub const fn insert(&mut self, format: Format) {
        self.0 |= format.mask();
    }

    /// Takes `format` out.
    pub const fn remove(&mut self, format: Format) {
        self.0 &= !format.mask();
    }

    /// Whether it has none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those in both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that carry sound.
    #[must_use]
    pub fn audio(self) -> Self {
        self.iter().filter(|format| format.kind() == MediaKind::Audio).collect()
    }

    /// Those that carry moving pictures.
    #[must_use]
    pub fn video(self) -> Self {
        self.iter().filter(|format| format.kind() == MediaKind::Video).collect()
    }

    /// Those that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Its formats, lowest bit first.
    pub fn iter(self) -> impl Iterator<Item = Format> + Clone {
        (0..64).map(Format).filter(move |format| self.contains(*format))
    }

    /// The low 32 bits, which are all that CAPABILITY and FORMAT have room for.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
    pub const fn low32(self) -> u32 {
        self.0 as u32
    }
}

impl FromIterator<Format> for FormatSet {
    fn from_iter<T: IntoIterator<Item = Format>>(formats: T) -> Self {
        formats.into_iter().fold(Self::EMPTY, |set, format| Self(set.0 | format.mask()))
    }
}

impl BitAnd for FormatSet {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        self.intersection(other)
    }
}

impl BitOr for FormatSet {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

/// Names joined by commas.
impl fmt::Display for FormatSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, format) in self.iter().enumerate() {
            let comma = if n > 0 { "," } else { "" };
            write!(f, "{comma}{format}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for FormatSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_a_subclass_mean_the_same() {
        for format in (0..64).filter_map(Format::from_bit) {
            if format.bit() == 63 {
                // 0xBF; 0xFF is taken by -1.
                assert_eq!(format.subclass(), 0xBF);
            }
            assert_eq!(Format::from_subclass(format.subclass()), Some(format));
            if format.bit() < 7 {
                assert_eq!(Format::from_subclass(0x80 | format.bit()), Some(format));
            }
        }
        assert_eq!(Format::ULAW.subclass(), 0x04);
        assert_eq!(Format::OPUS.subclass(), 0xA2);
        assert_eq!(Format::LPC10.subclass(), 0x87);
        for none in [0x00, 0x03, 0x7F, 0xFF] {
            assert_eq!(Format::from_subclass(none), None);
        }
    }

    #[test]
    fn names_and_letters_are_unique() {
        for format in Format::all() {
            assert_eq!(Format::from_name(format.name()), Some(format));
            let letter = format.preference_letter().unwrap();
            assert_eq!(Format::from_preference_letter(letter), Some(format));
        }
    }

    #[test]
    fn a_set_prints_its_names() {
        let set: FormatSet = [Format::ALAW, Format::ULAW, Format::VP8].into_iter().collect();
        assert_eq!(std::format!("{set}"), "ulaw,alaw,vp8");
        assert_eq!(std::format!("{}", set.audio()), "ulaw,alaw");
    }
}
