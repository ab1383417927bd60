//! The kinds of datagram and their headers (RFC 5456 §8.1).

use crate::error::DecodeError;
use crate::message::Message;
use crate::number::{CallNumber, MiniTimestamp, Seq, Timestamp, VideoTimestamp};
use crate::read::{u16_at, u32_at};
use crate::trunk::TrunkFrame;

/// Top bit of the first word: a full frame; of the second: a retransmission.
const TOP_BIT: u16 = 0x8000;

/// One datagram, which is one frame.
///
/// ```
/// use oneport_wire::Datagram;
///
/// // The first bits tell the kinds apart; the last bytes here are media.
/// let full = [0x80, 2, 0, 3, 0, 0, 0, 20, 1, 1, 2, 4, 0xFF];
/// assert!(matches!(Datagram::decode(&full)?, Datagram::Full(_)));
/// assert!(matches!(Datagram::decode(&[0, 2, 0, 40, 0xFF])?, Datagram::Mini(_)));
/// assert!(matches!(Datagram::decode(&[0, 0, 0x80, 2, 0, 40, 0xFF])?, Datagram::VideoMini(_)));
/// assert!(matches!(Datagram::decode(&[0, 0, 1, 0, 0, 0, 0, 60])?, Datagram::Trunk(_)));
/// # Ok::<(), oneport_wire::DecodeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Datagram<'a> {
    /// Signalling, and media that must not be lost.
    Full(FullFrame<'a>),
    /// Voice.
    Mini(MiniFrame<'a>),
    /// Video.
    VideoMini(VideoMiniFrame<'a>),
    /// Voice of many calls.
    Trunk(TrunkFrame<'a>),
}

impl<'a> Datagram<'a> {
    /// Tells the kinds apart and reads the header. The payload is not looked at.
    ///
    /// # Errors
    /// The datagram is shorter than its header, or a meta frame of an unknown kind.
    #[inline]
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let Some(([b0, b1, b2, b3], payload)) = bytes.split_first_chunk() else {
            return Err(DecodeError::TooShort { what: "frame", needed: 4, len: bytes.len() });
        };
        let first = u16::from_be_bytes([*b0, *b1]);
        if first & TOP_BIT != 0 {
            FullFrame::decode(bytes).map(Self::Full)
        } else if first != 0 {
            Ok(Self::Mini(MiniFrame {
                source: CallNumber::from_bits(first),
                timestamp: MiniTimestamp(u16::from_be_bytes([*b2, *b3])),
                payload,
            }))
        } else if b2 & 0x80 != 0 {
            VideoMiniFrame::decode(bytes).map(Self::VideoMini)
        } else if *b2 == TrunkFrame::COMMAND {
            TrunkFrame::decode(bytes).map(Self::Trunk)
        } else {
            Err(DecodeError::UnknownMetaCommand(*b2))
        }
    }
}

/// Header of a full frame but for its type and subclass, which the [`Message`] has.
///
/// ```
/// use oneport_wire::{CallNumber, Control, FullHeader, Message, Seq, Timestamp};
///
/// let header = FullHeader {
///     source: CallNumber::from_bits(2),
///     destination: CallNumber::from_bits(3),
///     retransmission: true,
///     timestamp: Timestamp(500),
///     oseq: Seq(4),
///     iseq: Seq(3),
/// };
/// let mut bytes = Vec::new();
/// Message::control(Control::Ringing).encode(&header, &mut bytes);
/// // The F bit is on the source, the R bit on the destination.
/// assert_eq!(bytes, [0x80, 2, 0x80, 3, 0, 0, 0x01, 0xF4, 4, 3, 4, 3]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FullHeader {
    /// The sender's call number.
    pub source: CallNumber,
    /// The receiver's, or [`CallNumber::NONE`] while it is not known.
    pub destination: CallNumber,
    /// R bit: sent before.
    pub retransmission: bool,
    /// The sender's clock.
    pub timestamp: Timestamp,
    /// OSeqno: the number of this frame.
    pub oseq: Seq,
    /// ISeqno: the number expected next; all below are acknowledged.
    pub iseq: Seq,
}

/// A full frame (RFC 5456 §8.1.1): 12 bytes of header, big-endian, and a payload.
///
/// `0..2` F bit (1) and source call number; `2..4` R bit and destination call number; `4..8`
/// timestamp in ms; `8` OSeqno; `9` ISeqno; `10` type; `11` C bit and subclass.
///
/// ```
/// use oneport_wire::{CallNumber, Datagram, Message};
///
/// let bytes = [0x80, 2, 0, 3, 0, 0, 0, 20, 1, 1, 1, b'5'];
/// let Datagram::Full(frame) = Datagram::decode(&bytes)? else { panic!() };
/// assert_eq!(frame.header.source, CallNumber::from_bits(2));
/// assert_eq!(frame.message()?, Message::DtmfEnd(b'5'));
/// # Ok::<(), oneport_wire::DecodeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FullFrame<'a> {
    /// Numbers and time.
    pub header: FullHeader,
    /// One of [`frame_type`](crate::frame_type), or unknown.
    pub frame_type: u8,
    /// The subclass byte with its C bit.
    pub subclass: u8,
    /// What follows the header.
    pub payload: &'a [u8],
}

impl<'a> FullFrame<'a> {
    /// Bytes of the header.
    pub const HEADER_LEN: usize = 12;

    #[inline]
    fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let Some((header, payload)) = bytes.split_first_chunk::<12>() else {
            let len = bytes.len();
            return Err(DecodeError::TooShort { what: "full frame", needed: 12, len });
        };
        let [s0, s1, d0, d1, t0, t1, t2, t3, oseq, iseq, frame_type, subclass] = *header;
        let destination = u16::from_be_bytes([d0, d1]);
        Ok(Self {
            header: FullHeader {
                source: CallNumber::from_bits(u16::from_be_bytes([s0, s1])),
                destination: CallNumber::from_bits(destination),
                retransmission: destination & TOP_BIT != 0,
                timestamp: Timestamp(u32::from_be_bytes([t0, t1, t2, t3])),
                oseq: Seq(oseq),
                iseq: Seq(iseq),
            },
            frame_type,
            subclass,
            payload,
        })
    }

    /// What it says. The information elements of an IAX frame are checked to be whole.
    ///
    /// # Errors
    /// An element runs past the end, or a stray byte follows the last.
    #[inline]
    pub fn message(&self) -> Result<Message<'a>, DecodeError> {
        Message::decode(self.frame_type, self.subclass, self.payload)
    }
}

impl FullHeader {
    /// The 12 bytes of the header.
    #[must_use]
    pub const fn encode(&self, frame_type: u8, subclass: u8) -> [u8; FullFrame::HEADER_LEN] {
        let [s0, s1] = (TOP_BIT | self.source.get()).to_be_bytes();
        let r = if self.retransmission { TOP_BIT } else { 0 };
        let [d0, d1] = (r | self.destination.get()).to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp.0.to_be_bytes();
        [s0, s1, d0, d1, t0, t1, t2, t3, self.oseq.0, self.iseq.0, frame_type, subclass]
    }
}

/// A voice mini frame (RFC 5456 §8.1.2): 4 bytes of header, big-endian, and voice.
///
/// `0..2` F bit (0) and the sender's call number, never 0; `2..4` the low 16 bits of its clock in
/// ms, which wrap after 65.5 s. The format is that of the last full VOICE frame.
///
/// ```
/// use oneport_wire::{CallNumber, Datagram, MiniFrame, Timestamp};
///
/// // At 65.576 s the 16 bits have wrapped.
/// let source = CallNumber::from_bits(2);
/// let header = MiniFrame::encode_header(source, Timestamp(65_576).low16());
/// assert_eq!(header, [0, 2, 0, 40]);
/// let bytes = [&header[..], &[0xFF; 160]].concat();
/// let Datagram::Mini(frame) = Datagram::decode(&bytes)? else { panic!() };
/// assert_eq!((frame.source, frame.payload.len()), (source, 160));
/// # Ok::<(), oneport_wire::DecodeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MiniFrame<'a> {
    /// The sender's call number.
    pub source: CallNumber,
    /// The low half of its clock.
    pub timestamp: MiniTimestamp,
    /// Encoded audio.
    pub payload: &'a [u8],
}

impl MiniFrame<'_> {
    /// Bytes of the header.
    pub const HEADER_LEN: usize = 4;

    /// The 4 bytes of a header.
    #[must_use]
    #[inline]
    pub const fn encode_header(source: CallNumber, timestamp: MiniTimestamp) -> [u8; 4] {
        let [s0, s1] = source.get().to_be_bytes();
        let [t0, t1] = timestamp.0.to_be_bytes();
        [s0, s1, t0, t1]
    }
}

/// A video mini frame (RFC 5456 §8.1.3.1): 6 bytes of header, big-endian, and video.
///
/// `0..2` zero; `2..4` V bit (1) and the sender's call number; `4..6` mark and the low 15 bits of
/// its clock in ms, which wrap after 32.8 s. The format is that of the last full VIDEO frame.
///
/// ```
/// use oneport_wire::{CallNumber, VideoMiniFrame, VideoTimestamp};
///
/// let last_of_picture = VideoMiniFrame {
///     source: CallNumber::from_bits(2),
///     mark: true,
///     timestamp: VideoTimestamp(40),
///     payload: &[],
/// };
/// assert_eq!(last_of_picture.encode_header(), [0, 0, 0x80, 2, 0x80, 40]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VideoMiniFrame<'a> {
    /// The sender's call number.
    pub source: CallNumber,
    /// The last packet of a picture.
    pub mark: bool,
    /// The low 15 bits of its clock.
    pub timestamp: VideoTimestamp,
    /// Encoded video.
    pub payload: &'a [u8],
}

impl<'a> VideoMiniFrame<'a> {
    /// Bytes of the header.
    pub const HEADER_LEN: usize = 6;

    fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let len = bytes.len();
        let too_short = DecodeError::TooShort { what: "video mini frame", needed: 6, len };
        let number = u16_at(bytes, 2).ok_or(too_short)?;
        let stamp = u16_at(bytes, 4).ok_or(too_short)?;
        Ok(Self {
            source: CallNumber::from_bits(number),
            mark: stamp & TOP_BIT != 0,
            timestamp: VideoTimestamp(stamp & !TOP_BIT),
            payload: bytes.get(Self::HEADER_LEN..).ok_or(too_short)?,
        })
    }

    /// The 6 bytes of the header.
    #[must_use]
    pub const fn encode_header(&self) -> [u8; 6] {
        let [s0, s1] = (TOP_BIT | self.source.get()).to_be_bytes();
        let mark = if self.mark { TOP_BIT } else { 0 };
        let [t0, t1] = (mark | self.timestamp.0).to_be_bytes();
        [0, 0, s0, s1, t0, t1]
    }
}

impl<'a> TrunkFrame<'a> {
    /// The command byte of a meta frame that is a trunk frame.
    const COMMAND: u8 = 1;

    fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let len = bytes.len();
        let too_short = DecodeError::TooShort { what: "trunk frame", needed: 8, len };
        let timestamp = u32_at(bytes, 4).ok_or(too_short)?;
        let entries = bytes.get(Self::HEADER_LEN..).ok_or(too_short)?;
        let timestamps = match bytes.get(3) {
            Some(0) => false,
            Some(1) => true,
            Some(flags) => return Err(DecodeError::UnknownTrunkFlags(*flags)),
            None => return Err(too_short),
        };
        Ok(Self::new(timestamps, Timestamp(timestamp), entries))
    }
}
