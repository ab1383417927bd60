//! The header of an RTP packet (RFC 3550 §5.1): 12 bytes, big-endian, and what may follow them.

use thiserror::Error;

/// Bytes of a header that has neither sources nor an extension: all that we write.
pub const HEADER_BYTES: usize = 12;

/// What every packet says.
///
/// `0` version 2, padding, extension, 4 bits of sources; `1` the marker and 7 bits of payload type; `2..4`
/// the sequence number; `4..8` the timestamp; `8..12` the source (SSRC).
///
/// ```
/// use oneport_switch::sip::rtp::{HEADER_BYTES, Header};
///
/// let header = Header { marker: true, payload_type: 0, sequence: 1, timestamp: 160, source: 5 };
/// assert_eq!(header.write()[..HEADER_BYTES - 8], [0x80, 0x80, 0, 1]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Header {
    /// The first of a talkspurt, or of an event.
    pub marker: bool,
    /// What the payload is, 0 to 127.
    pub payload_type: u8,
    /// Grows by one with each packet.
    pub sequence: u16,
    /// When the payload begins, by the sender's clock of the payload type.
    pub timestamp: u32,
    /// Whose stream it is.
    pub source: u32,
}

/// A packet that has come.
///
/// ```
/// use oneport_switch::sip::rtp::{Header, Packet};
///
/// let header = Header { marker: false, payload_type: 8, sequence: 1, timestamp: 160, source: 5 };
/// let datagram = [&header.write()[..], &[0xD5; 160]].concat();
/// let packet = Packet::read(&datagram)?;
/// assert_eq!((packet.header, packet.payload.len()), (header, 160));
/// # Ok::<(), oneport_switch::sip::rtp::RtpError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet<'a> {
    /// Its header.
    pub header: Header,
    /// Its payload, without padding.
    pub payload: &'a [u8],
}

/// A datagram that is no RTP.
///
/// ```
/// use oneport_switch::sip::rtp::{Packet, RtpError};
///
/// assert_eq!(Packet::read(&[0x80, 0]).err(), Some(RtpError::Truncated));
/// assert_eq!(Packet::read(&[0; 12]).err(), Some(RtpError::Version));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum RtpError {
    /// It ends before its header does.
    #[error("the packet is cut off")]
    Truncated,
    /// Its version is not 2.
    #[error("the packet is not of version 2")]
    Version,
    /// It has more padding than payload, or padding of no length.
    #[error("the packet's padding is longer than the packet")]
    Padding,
}

/// Whether a datagram is RTCP rather than RTP, where both come to one port (RFC 5761 §4).
#[must_use]
pub fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram.get(1), Some(192..=223))
}

impl<'a> Packet<'a> {
    /// Reads a datagram; sources that contributed, the extension and padding are left out.
    ///
    /// # Errors
    /// It is no RTP.
    pub fn read(datagram: &'a [u8]) -> Result<Self, RtpError> {
        let (header, mut rest) =
            datagram.split_first_chunk::<HEADER_BYTES>().ok_or(RtpError::Truncated)?;
        let [first, second, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = *header;
        if first >> 6 != 2 {
            return Err(RtpError::Version);
        }
        rest = rest.get(usize::from(first & 0x0F) * 4..).ok_or(RtpError::Truncated)?;
        if first & 0x10 != 0 {
            let ([_, _, high, low], behind) =
                rest.split_first_chunk::<4>().ok_or(RtpError::Truncated)?;
            let words = usize::from(u16::from_be_bytes([*high, *low]));
            rest = behind.get(words * 4..).ok_or(RtpError::Truncated)?;
        }
        if first & 0x20 != 0 {
            let padding = usize::from(*rest.last().ok_or(RtpError::Padding)?);
            let length = rest.len().checked_sub(padding).filter(|_| padding > 0);
            rest = rest.get(..length.ok_or(RtpError::Padding)?).unwrap_or_default();
        }
        let header = Header {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7F,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            source: u32::from_be_bytes([c0, c1, c2, c3]),
        };
        Ok(Self { header, payload: rest })
    }
}

impl Header {
    /// Its bytes.
    #[must_use]
    pub fn write(&self) -> [u8; HEADER_BYTES] {
        let [s0, s1] = self.sequence.to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp.to_be_bytes();
        let [c0, c1, c2, c3] = self.source.to_be_bytes();
        let second = u8::from(self.marker) << 7 | self.payload_type & 0x7F;
        [0x80, second, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> Header {
        Header {
            marker: true,
            payload_type: 101,
            sequence: 0xFFFE,
            timestamp: 0x8000_0001,
            source: 7,
        }
    }

    #[test]
    fn what_stands_between_header_and_payload_and_behind_it_is_left_out() {
        let plain = [&header().write()[..], b"voice"].concat();
        assert_eq!(Packet::read(&plain), Ok(Packet { header: header(), payload: b"voice" }));
        let mut all = plain[..12].to_vec();
        all[0] |= 0x20 | 0x10 | 2;
        all.extend([1; 8]);
        all.extend([0xBE, 0xDE, 0, 1, 9, 9, 9, 9]);
        all.extend(b"voice");
        all.extend([0, 0, 3]);
        assert_eq!(Packet::read(&all), Ok(Packet { header: header(), payload: b"voice" }));
    }

    #[test]
    fn what_is_cut_off_or_lies_about_its_length_is_an_error() {
        let plain = header().write();
        let with = |first: u8, rest: &[u8]| {
            let mut bytes = plain.to_vec();
            bytes[0] = first;
            bytes.extend(rest);
            bytes
        };
        for (bytes, error) in [
            (plain[..11].to_vec(), RtpError::Truncated),
            (with(0x40, b"x"), RtpError::Version),
            (with(0x82, &[0; 7]), RtpError::Truncated),
            (with(0x90, &[0; 3]), RtpError::Truncated),
            (with(0x90, &[0, 0, 0, 2, 0, 0, 0, 0]), RtpError::Truncated),
            (with(0xA0, &[]), RtpError::Padding),
            (with(0xA0, &[1, 0]), RtpError::Padding),
            (with(0xA0, &[1, 3]), RtpError::Padding),
        ] {
            assert_eq!(Packet::read(&bytes), Err(error), "{bytes:?}");
        }
        assert_eq!(Packet::read(&with(0xA0, &[1, 2])).map(|packet| packet.payload.len()), Ok(0));
    }

    proptest! {
        #[test]
        fn any_header_is_read_as_it_was_written(
            marker: bool, payload_type in 0..128_u8, sequence: u16, timestamp: u32, source: u32,
            payload: Vec<u8>,
        ) {
            let header = Header { marker, payload_type, sequence, timestamp, source };
            let bytes = [&header.write()[..], &payload].concat();
            prop_assert_eq!(Packet::read(&bytes), Ok(Packet { header, payload: &payload }));
        }

        #[test]
        fn any_bytes_are_a_packet_or_an_error(bytes: Vec<u8>) {
            if let Ok(packet) = Packet::read(&bytes) {
                prop_assert!(packet.payload.len() + HEADER_BYTES <= bytes.len());
            }
        }
    }
}
