//! Header of a firmware image for IAX2 devices.

use crate::read::{exact, u16_at, u32_at};
use crate::text::Str;

const HEADER_LEN: usize = 42;

/// The 42 bytes before a firmware image: magic, version, device, length, MD5, big-endian.
///
/// ```
/// use oneport_wire::FirmwareHeader;
///
/// let header = FirmwareHeader { version: 23, device: "iaxy".into(), len: 9_000, md5: [7; 16] };
/// let bytes = header.encode();
/// assert_eq!(bytes[..6], *b"iaxy\x00\x17");
/// assert_eq!(FirmwareHeader::decode(&bytes), Some(header));
/// assert_eq!(FirmwareHeader::decode(&bytes[..41]), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FirmwareHeader<'a> {
    /// Version of the image.
    pub version: u16,
    /// Device it is for, padding removed.
    pub device: Str<'a>,
    /// Bytes of the image.
    pub len: u32,
    /// MD5 over them.
    pub md5: [u8; 16],
}

impl<'a> FirmwareHeader<'a> {
    /// Bytes of the header.
    pub const LEN: usize = HEADER_LEN;
    /// Its first four bytes, `iaxy`.
    pub const MAGIC: u32 = 0x6961_7879;

    /// Reads a header; `None` when it is too short or has another magic.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        if u32_at(bytes, 0)? != Self::MAGIC {
            return None;
        }
        let device = bytes.get(6..22)?;
        let end = device.iter().position(|byte| *byte == 0).unwrap_or(device.len());
        Some(Self {
            version: u16_at(bytes, 4)?,
            device: Str::new(device.get(..end)?),
            len: u32_at(bytes, 22)?,
            md5: exact(bytes.get(26..Self::LEN)?)?,
        })
    }

    /// Writes the header. A device name longer than 16 bytes is cut.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let magic = Self::MAGIC.to_be_bytes();
        let name = self.device.as_bytes().iter().copied().chain(core::iter::repeat(0)).take(16);
        let fields = magic.into_iter().chain(self.version.to_be_bytes()).chain(name);
        let fields = fields.chain(self.len.to_be_bytes()).chain(self.md5);
        for (to, from) in bytes.iter_mut().zip(fields) {
            *to = from;
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_and_a_short_one_is_not() {
        let mut bytes = [0; 42];
        bytes[..6].copy_from_slice(b"iaxy\x00\x17");
        bytes[6..10].copy_from_slice(b"iaxy");
        bytes[22..26].copy_from_slice(&[0, 0, 1, 2]);
        let header = FirmwareHeader::decode(&bytes).unwrap();
        assert_eq!((header.version, header.device, header.len), (0x17, "iaxy".into(), 258));
        assert_eq!(header.encode(), bytes);
        assert_eq!(FirmwareHeader::decode(&bytes[..41]), None);
    }
}
