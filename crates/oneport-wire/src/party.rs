//! Who is connected, and who redirected: the data of CONTROL frames CONNECTED_LINE and REDIRECTING.
//!
//! The RFC does not know them; observed in Asterisk 22. The data is a list of `u8` number, `u8`
//! length, value; integers are big-endian. Numbers that are not known are passed over, and so is what
//! is cut off at the end.

use alloc::vec::Vec;

use crate::text::Str;

/// The version that Asterisk writes, and wants to see before it looks at names and numbers alone.
const VERSION: u8 = 2;

/// Number and value of each part of the data; ends where the rest is not whole.
fn parts(data: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = data;
    core::iter::from_fn(move || {
        let [id, len, after @ ..] = rest else { return None };
        let (value, after) = after.split_at_checked(usize::from(*len))?;
        rest = after;
        Some((*id, value))
    })
}

fn long(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_be_bytes)
}

fn byte(value: &[u8]) -> Option<u8> {
    value.first().copied().filter(|_| value.len() == 1)
}

fn put(out: &mut Vec<u8>, id: u8, value: &[u8]) {
    let value = value.get(..255).unwrap_or(value);
    out.extend([id, u8::try_from(value.len()).unwrap_or(u8::MAX)]);
    out.extend(value);
}

/// The party that a call is connected to now, as after a transfer or a forward.
///
/// ```
/// use oneport_wire::ConnectedLine;
///
/// let line = ConnectedLine { name: Some("Ann".into()), source: Some(3), ..Default::default() };
/// let bytes = line.to_bytes();
/// assert!(bytes.starts_with(b"\x0a\x01\x02\x01\x03Ann"));
/// assert_eq!(ConnectedLine::read(&bytes).name, Some("Ann".into()));
/// // What is cut off is left out.
/// assert_eq!(ConnectedLine::read(&bytes[..7]).name, None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ConnectedLine<'a> {
    /// Its number.
    pub number: Option<Str<'a>>,
    /// Its name.
    pub name: Option<Str<'a>>,
    /// Presentation and screening of the number, as CALLINGPRES has them (RFC 5456 §8.6.29).
    pub number_presentation: Option<u8>,
    /// The same of the name.
    pub name_presentation: Option<u8>,
    /// Why it is told: 0 unknown, 1 answer, 2 diversion, 3 and 4 transfer.
    pub source: Option<u32>,
}

impl<'a> ConnectedLine<'a> {
    /// Reads the data of a frame. Nothing in it is an error: what makes no sense is left out.
    #[must_use]
    pub fn read(data: &'a [u8]) -> Self {
        let mut line = Self::default();
        for (id, value) in parts(data) {
            match id {
                0 => line.number = Some(value.into()),
                1 => line.name = Some(value.into()),
                4 => line.source = long(value),
                13 => line.name_presentation = byte(value),
                15 => line.number_presentation = byte(value),
                _ => {}
            }
        }
        line
    }

    /// The data of a frame that says this, in Asterisk's order: version first, source last.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, 10, &[VERSION]);
        if let Some(name) = self.name {
            put(&mut out, 1, name.as_bytes());
            put(&mut out, 13, &[self.name_presentation.unwrap_or(0)]);
            put(&mut out, 11, &[1]);
        }
        if let Some(number) = self.number {
            put(&mut out, 0, number.as_bytes());
            put(&mut out, 15, &[self.number_presentation.unwrap_or(0)]);
            put(&mut out, 14, &[1]);
        }
        put(&mut out, 4, &self.source.unwrap_or(0).to_be_bytes());
        out
    }
}

/// A call was redirected: by whom, to whom, why, how often.
///
/// ```
/// use oneport_wire::Redirecting;
///
/// // 4711 does not answer; 4712 takes the call.
/// let redirecting = Redirecting {
///     from_number: Some("4711".into()),
///     to_number: Some("4712".into()),
///     reason: Some(2),
///     ..Default::default()
/// };
/// let bytes = redirecting.to_bytes();
/// // How often is said in any case.
/// assert_eq!(Redirecting::read(&bytes), Redirecting { count: Some(0), ..redirecting });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Redirecting<'a> {
    /// Number of the party that redirected.
    pub from_number: Option<Str<'a>>,
    /// Its name.
    pub from_name: Option<Str<'a>>,
    /// Number of the party to which it goes.
    pub to_number: Option<Str<'a>>,
    /// Its name.
    pub to_name: Option<Str<'a>>,
    /// Why: 0 unknown, 1 busy, 2 no answer, 3 unavailable, 4 unconditional …
    pub reason: Option<u32>,
    /// How often the call has been redirected.
    pub count: Option<u32>,
}

impl<'a> Redirecting<'a> {
    /// Reads the data of a frame. Nothing in it is an error: what makes no sense is left out.
    #[must_use]
    pub fn read(data: &'a [u8]) -> Self {
        let mut redirecting = Self::default();
        for (id, value) in parts(data) {
            match id {
                0 => redirecting.from_number = Some(value.into()),
                1 => redirecting.from_name = Some(value.into()),
                4 => redirecting.to_number = Some(value.into()),
                5 => redirecting.to_name = Some(value.into()),
                8 => redirecting.reason = long(value),
                9 => redirecting.count = long(value),
                _ => {}
            }
        }
        redirecting
    }

    /// The data of a frame that says this, in Asterisk's order: version first, count last.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, 20, &[VERSION]);
        // Each with the mark that says it is valid.
        let texts = [
            (1, 21, self.from_name),
            (0, 24, self.from_number),
            (5, 26, self.to_name),
            (4, 29, self.to_number),
        ];
        for (id, valid, text) in texts {
            if let Some(text) = text {
                put(&mut out, id, text.as_bytes());
                put(&mut out, valid, &[1]);
            }
        }
        put(&mut out, 8, &self.reason.unwrap_or(0).to_be_bytes());
        put(&mut out, 9, &self.count.unwrap_or(0).to_be_bytes());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_of_parties_is_read_again() {
        let line = ConnectedLine {
            number: Some("4711".into()),
            name: Some("Ann Other".into()),
            number_presentation: Some(0x20),
            name_presentation: Some(0),
            source: Some(2),
        };
        assert_eq!(ConnectedLine::read(&line.to_bytes()), line);
        let redirecting = Redirecting {
            from_number: Some("1".into()),
            from_name: Some("Bob".into()),
            to_number: Some("2".into()),
            to_name: Some("Cid".into()),
            reason: Some(1),
            count: Some(3),
        };
        assert_eq!(Redirecting::read(&redirecting.to_bytes()), redirecting);
    }

    /// Captured from Asterisk 22 after `Set(CONNECTEDLINE(name)=Ann Other)`.
    const OF_ASTERISK: &[u8] = b"\x0a\x01\x02\x01\x09Ann Other\x0c\x01\x01\x0d\x01\x00\x0b\x01\x01\
        \x02\x01\x00\x0f\x01\x00\x0e\x01\x01\x06\x01\x00\x16\x01\x01\x1b\x01\x00\
        \x04\x04\x00\x00\x00\x00";

    #[test]
    fn what_asterisk_says_of_a_party_is_read() {
        let line = ConnectedLine::read(OF_ASTERISK);
        assert_eq!(line.name, Some("Ann Other".into()));
        assert_eq!((line.number, line.number_presentation, line.source), (None, Some(0), Some(0)));
    }

    #[test]
    fn parties_cut_at_each_byte_and_garbage_are_read_as_far_as_they_make_sense() {
        for len in 0..OF_ASTERISK.len() {
            let line = ConnectedLine::read(&OF_ASTERISK[..len]);
            assert_eq!(line.name.is_some(), len >= 14, "{len} bytes");
            let _ = Redirecting::read(&OF_ASTERISK[..len]);
        }
        let wrong_sizes = [4, 3, 0, 0, 1, 15, 0, 13, 2, 1, 1, 200, 5, 9, 9, 9, 9, 9];
        assert_eq!(ConnectedLine::read(&wrong_sizes), ConnectedLine::default());
        assert_eq!(Redirecting::read(&[8, 5, 0, 0, 0, 0, 1, 0, 255]), Redirecting::default());
    }
}
