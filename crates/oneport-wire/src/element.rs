//! Information elements (RFC 5456 §8.6): number, length, data.

use core::fmt;
use core::net::SocketAddr;

use crate::address;
use crate::auth_methods::{AuthMethods, EncryptionMethods};
use crate::cause::CauseCode;
use crate::date_time::DateTime;
use crate::error::DecodeError;
use crate::format::FormatSet;
use crate::number::CallNumber;
use crate::preferences::CodecPreferences;
use crate::read::exact;
use crate::text::Str;

/// The information elements of a frame: whole, in their order, not looked into.
///
/// ```
/// use oneport_wire::{Element, Elements};
///
/// let elements = Elements::parse(b"\x0b\x02\x00\x02\x01\x03600")?;
/// let read: Vec<_> = elements.iter().collect();
/// assert_eq!(read, [Element::Version(2), Element::CalledNumber("600".into())]);
/// # Ok::<(), oneport_wire::DecodeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    /// None.
    pub const EMPTY: Self = Self(&[]);

    /// Checks that each element is whole.
    ///
    /// # Errors
    /// One runs past the end, or a single byte is left over.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut rest = bytes;
        while let [id, len, data @ ..] = rest {
            let (id, len, left) = (*id, usize::from(*len), data.len());
            let offset = bytes.len() - rest.len();
            rest = data.get(len..).ok_or(DecodeError::ElementOverrun { id, offset, len, left })?;
        }
        if rest.is_empty() {
            Ok(Self(bytes))
        } else {
            Err(DecodeError::StrayByte { offset: bytes.len() - rest.len() })
        }
    }

    /// The elements that a buffer has written.
    pub(crate) const fn written(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Their bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// The elements in their order.
    #[must_use]
    pub const fn iter(&self) -> ElementIter<'a> {
        ElementIter { rest: self.0 }
    }

    /// Number and data of each.
    pub(crate) fn raw(&self) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let (id, data, after) = split(rest)?;
            rest = after;
            Some((id, data))
        })
    }
}

impl<'a> IntoIterator for Elements<'a> {
    type Item = Element<'a>;
    type IntoIter = ElementIter<'a>;

    fn into_iter(self) -> ElementIter<'a> {
        self.iter()
    }
}

impl fmt::Debug for Elements<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Reads elements one by one.
///
/// ```
/// use oneport_wire::{Element, Elements};
///
/// let mut elements = Elements::parse(&[200, 1, 7, 19, 2, 0, 60])?.iter();
/// // What is not known stops nobody.
/// assert_eq!(elements.next(), Some(Element::Unknown { id: 200, data: &[7] }));
/// assert_eq!(elements.next(), Some(Element::Refresh(60)));
/// assert_eq!(elements.next(), None);
/// # Ok::<(), oneport_wire::DecodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ElementIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for ElementIter<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        let (id, data, rest) = split(self.rest)?;
        self.rest = rest;
        Some(Element::decode(id, data))
    }
}

#[inline]
fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [id, len, rest @ ..] = bytes else { return None };
    let (data, rest) = rest.split_at_checked(usize::from(*len))?;
    Some((*id, data, rest))
}

/// Whether a number exists at a peer (RFC 5456 §8.6.19).
///
/// ```
/// use oneport_wire::{DialplanStatus, Element};
///
/// // A number may be there, with more digits.
/// let read = Element::decode(20, &[0x80, 0x02]);
/// let Element::DialplanStatus(status) = read else { panic!() };
/// assert!(status.contains(DialplanStatus::CAN_EXIST));
/// assert!(status.contains(DialplanStatus::MATCH_MORE));
/// assert!(!status.contains(DialplanStatus::EXISTS));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct DialplanStatus(pub u16);

impl DialplanStatus {
    /// It exists.
    pub const EXISTS: Self = Self(1);
    /// It may, with more digits.
    pub const CAN_EXIST: Self = Self(2);
    /// It does not.
    pub const NONEXISTENT: Self = Self(4);
    /// Keep the dial tone.
    pub const IGNORE_PATTERN: Self = Self(0x4000);
    /// More digits may follow.
    pub const MATCH_MORE: Self = Self(0x8000);

    /// Whether all bits of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Messages that wait in a mailbox (RFC 5456 §8.6.23).
///
/// ```
/// use oneport_wire::{Element, MessageCount};
///
/// let read = Element::decode(24, &[3, 2]);
/// assert_eq!(read, Element::MessageCount(MessageCount { old: 3, new: 2 }));
/// assert_eq!(Element::decode(24, &[255, 255]), Element::MessageCount(MessageCount::SOME));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct MessageCount {
    /// Heard before.
    pub old: u8,
    /// Not heard yet.
    pub new: u8,
}

impl MessageCount {
    /// Some messages, their number unknown.
    pub const SOME: Self = Self { old: 255, new: 255 };
}

/// One information element.
///
/// `0` number; `1` length of the data; then data, integers big-endian. A known number with data
/// of the wrong size is [`Malformed`](Self::Malformed): readers pass over it.
///
/// ```
/// use oneport_wire::{Element, ElementBuffer};
///
/// assert_eq!(Element::decode(19, &[0, 60]), Element::Refresh(60));
/// // One byte is no number of seconds; it is written again as it came.
/// let short = Element::decode(19, &[60]);
/// assert_eq!(short, Element::Malformed { id: 19, data: &[60] });
/// let mut elements = ElementBuffer::new();
/// elements.push(&short);
/// assert_eq!(elements.as_elements().as_bytes(), [19, 1, 60]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Element<'a> {
    /// 1: The number or name called.
    CalledNumber(Str<'a>),
    /// 2: The caller's number.
    CallingNumber(Str<'a>),
    /// 3: The number to be billed.
    CallingAni(Str<'a>),
    /// 4: The caller's name.
    CallingName(Str<'a>),
    /// 5: The context of the called number.
    CalledContext(Str<'a>),
    /// 6: The name under which a peer is known.
    Username(Str<'a>),
    /// 7: A secret in the clear.
    Password(Str<'a>),
    /// 8: All formats of the sender (low 32 bits).
    Capability(FormatSet),
    /// 9: The format wished for or chosen (low 32 bits).
    Format(FormatSet),
    /// 10: Language tag.
    Language(Str<'a>),
    /// 11: Version of the protocol: 2.
    Version(u16),
    /// 12: ADSI capability.
    AdsiCpe(u16),
    /// 13: The number dialled at first.
    Dnid(Str<'a>),
    /// 14: Methods of proof.
    AuthMethods(AuthMethods),
    /// 15: What to prove with; in RTKEY 16 bytes of key.
    Challenge(&'a [u8]),
    /// 16: Proof by MD5: 32 hexadecimal digits.
    Md5Result(Str<'a>),
    /// 17: Proof by RSA: base64.
    RsaResult(Str<'a>),
    /// 18: The receiver's address as the sender sees it.
    ApparentAddress(SocketAddr),
    /// 19: Seconds until a registration must be renewed.
    Refresh(u16),
    /// 20: Whether a number exists.
    DialplanStatus(DialplanStatus),
    /// 21: A call number, in transfers.
    CallNumber(CallNumber),
    /// 22: Why, in words.
    Cause(Str<'a>),
    /// 23: The subclass that was not understood.
    IaxUnknown(u8),
    /// 24: Messages that wait.
    MessageCount(MessageCount),
    /// 25: Answer at once.
    AutoAnswer,
    /// 26: Play music while quelched; may name a class.
    MusicOnHold(Str<'a>),
    /// 27: Names a transfer.
    TransferId(u32),
    /// 28: The number that redirected.
    Rdnis(Str<'a>),
    /// 29: See [`provisioning_elements`](crate::provisioning_elements).
    Provisioning(&'a [u8]),
    /// 30: Unused.
    AesProvisioning(&'a [u8]),
    /// 31: A date and time.
    DateTime(DateTime),
    /// 32: Device.
    DeviceType(Str<'a>),
    /// 33: Identity of a device.
    ServiceIdent(Str<'a>),
    /// 34: Version of firmware.
    FirmwareVersion(u16),
    /// 35: High 24 bits block number, low 8 size.
    FirmwareBlockDescription(u32),
    /// 36: A block of firmware.
    FirmwareBlockData(&'a [u8]),
    /// 37: Signature of provisioning.
    ProvisioningVersion(u32),
    /// 38: Presentation and screening of the caller's number.
    CallingPresentation(u8),
    /// 39: Type of the caller's number (Q.931).
    CallingTypeOfNumber(u8),
    /// 40: Transit network.
    CallingTransitNetwork(u16),
    /// 41: Sampling rates; see [`SamplingRates`](crate::SamplingRates).
    SamplingRate(u16),
    /// 42: Why, as a number.
    CauseCode(CauseCode),
    /// 43: Methods of encryption.
    Encryption(EncryptionMethods),
    /// 44: Unused.
    EncryptionKey(&'a [u8]),
    /// 45: Formats, best first.
    CodecPreferences(CodecPreferences<'a>),
    /// 46: Jitter in ms, as the sender hears us.
    ReceivedJitter(u32),
    /// 47: Frames lost.
    ReceivedLoss {
        /// Per cent.
        percent: u8,
        /// Frames, 24 bits.
        count: u32,
    },
    /// 48: Frames received.
    ReceivedFrames(u32),
    /// 49: Playout delay above the least, in ms.
    ReceivedDelay(u16),
    /// 50: Frames that came too late.
    ReceivedDropped(u32),
    /// 51: Frames out of order.
    ReceivedOutOfOrder(u32),
    /// 52: `name=value`; a repeated name goes on.
    Variable(Str<'a>),
    /// 53: A piece of an OSP token.
    OspToken {
        /// Which piece, from 0.
        index: u8,
        /// The piece, at most 254 bytes.
        data: &'a [u8],
    },
    /// 54: A call token, or empty: tokens are understood.
    CallToken(&'a [u8]),
    /// 55: All formats of the sender.
    Capability2(FormatSet),
    /// 56: The format wished for or chosen.
    Format2(FormatSet),
    /// 57: Originating line information.
    CallingAni2(u32),
    /// A number that is not known, or a version of one.
    Unknown {
        /// Its number.
        id: u8,
        /// Its data.
        data: &'a [u8],
    },
    /// A known number whose data has the wrong size.
    Malformed {
        /// Its number.
        id: u8,
        /// Its data.
        data: &'a [u8],
    },
}

impl<'a> Element<'a> {
    /// Reads an element from its number and data.
    #[must_use]
    pub fn decode(id: u8, data: &'a [u8]) -> Self {
        let byte = || exact::<1>(data).map(|[value]| value);
        let short = || exact::<2>(data).map(u16::from_be_bytes);
        let long = || exact::<4>(data).map(u32::from_be_bytes);
        let formats = || {
            let (version, mask) = data.split_first()?;
            let mask = exact::<8>(mask).map(u64::from_be_bytes)?;
            (*version == 0).then_some(FormatSet(mask))
        };
        let known = match id {
            1 => Some(Self::CalledNumber(data.into())),
            2 => Some(Self::CallingNumber(data.into())),
            3 => Some(Self::CallingAni(data.into())),
            4 => Some(Self::CallingName(data.into())),
            5 => Some(Self::CalledContext(data.into())),
            6 => Some(Self::Username(data.into())),
            7 => Some(Self::Password(data.into())),
            8 => long().map(|mask| Self::Capability(FormatSet(mask.into()))),
            9 => long().map(|mask| Self::Format(FormatSet(mask.into()))),
            10 => Some(Self::Language(data.into())),
            11 => short().map(Self::Version),
            12 => short().map(Self::AdsiCpe),
            13 => Some(Self::Dnid(data.into())),
            14 => short().map(|bits| Self::AuthMethods(AuthMethods(bits))),
            15 => Some(Self::Challenge(data)),
            16 => Some(Self::Md5Result(data.into())),
            17 => Some(Self::RsaResult(data.into())),
            18 => address::decode(data).map(Self::ApparentAddress),
            19 => short().map(Self::Refresh),
            20 => short().map(|bits| Self::DialplanStatus(DialplanStatus(bits))),
            21 => short().and_then(CallNumber::new).map(Self::CallNumber),
            22 => Some(Self::Cause(data.into())),
            23 => byte().map(Self::IaxUnknown),
            24 => exact(data).map(|[old, new]| Self::MessageCount(MessageCount { old, new })),
            25 => data.is_empty().then_some(Self::AutoAnswer),
            26 => Some(Self::MusicOnHold(data.into())),
            27 => long().map(Self::TransferId),
            28 => Some(Self::Rdnis(data.into())),
            29 => Some(Self::Provisioning(data)),
            30 => Some(Self::AesProvisioning(data)),
            31 => long().map(|bits| Self::DateTime(DateTime::from_packed(bits))),
            32 => Some(Self::DeviceType(data.into())),
            33 => Some(Self::ServiceIdent(data.into())),
            34 => short().map(Self::FirmwareVersion),
            35 => long().map(Self::FirmwareBlockDescription),
            36 => Some(Self::FirmwareBlockData(data)),
            37 => long().map(Self::ProvisioningVersion),
            38 => byte().map(Self::CallingPresentation),
            39 => byte().map(Self::CallingTypeOfNumber),
            40 => short().map(Self::CallingTransitNetwork),
            41 => short().map(Self::SamplingRate),
            42 => byte().map(|code| Self::CauseCode(CauseCode(code))),
            43 => short().map(|bits| Self::Encryption(EncryptionMethods(bits))),
            44 => Some(Self::EncryptionKey(data)),
            45 => Some(Self::CodecPreferences(CodecPreferences::new(data))),
            46 => long().map(Self::ReceivedJitter),
            47 => long().map(|bits| {
                let [percent, ..] = bits.to_be_bytes();
                Self::ReceivedLoss { percent, count: bits & 0x00FF_FFFF }
            }),
            48 => long().map(Self::ReceivedFrames),
            49 => short().map(Self::ReceivedDelay),
            50 => long().map(Self::ReceivedDropped),
            51 => long().map(Self::ReceivedOutOfOrder),
            52 => Some(Self::Variable(data.into())),
            53 => data.split_first().map(|(index, data)| Self::OspToken { index: *index, data }),
            54 => Some(Self::CallToken(data)),
            55 => match formats() {
                None if data.len() != 9 && data.first() == Some(&0) => None,
                None if data.is_empty() => None,
                None => return Self::Unknown { id, data },
                formats => formats.map(Self::Capability2),
            },
            56 => match formats() {
                None if data.len() != 9 && data.first() == Some(&0) => None,
                None if data.is_empty() => None,
                None => return Self::Unknown { id, data },
                formats => formats.map(Self::Format2),
            },
            57 => long().map(Self::CallingAni2),
            _ => return Self::Unknown { id, data },
        };
        known.unwrap_or(Self::Malformed { id, data })
    }

    /// Its number.
    #[must_use]
    pub const fn id(&self) -> u8 {
        match self {
            Self::CalledNumber(_) => 1,
            Self::CallingNumber(_) => 2,
            Self::CallingAni(_) => 3,
            Self::CallingName(_) => 4,
            Self::CalledContext(_) => 5,
            Self::Username(_) => 6,
            Self::Password(_) => 7,
            Self::Capability(_) => 8,
            Self::Format(_) => 9,
            Self::Language(_) => 10,
            Self::Version(_) => 11,
            Self::AdsiCpe(_) => 12,
            Self::Dnid(_) => 13,
            Self::AuthMethods(_) => 14,
            Self::Challenge(_) => 15,
            Self::Md5Result(_) => 16,
            Self::RsaResult(_) => 17,
            Self::ApparentAddress(_) => 18,
            Self::Refresh(_) => 19,
            Self::DialplanStatus(_) => 20,
            Self::CallNumber(_) => 21,
            Self::Cause(_) => 22,
            Self::IaxUnknown(_) => 23,
            Self::MessageCount(_) => 24,
            Self::AutoAnswer => 25,
            Self::MusicOnHold(_) => 26,
            Self::TransferId(_) => 27,
            Self::Rdnis(_) => 28,
            Self::Provisioning(_) => 29,
            Self::AesProvisioning(_) => 30,
            Self::DateTime(_) => 31,
            Self::DeviceType(_) => 32,
            Self::ServiceIdent(_) => 33,
            Self::FirmwareVersion(_) => 34,
            Self::FirmwareBlockDescription(_) => 35,
            Self::FirmwareBlockData(_) => 36,
            Self::ProvisioningVersion(_) => 37,
            Self::CallingPresentation(_) => 38,
            Self::CallingTypeOfNumber(_) => 39,
            Self::CallingTransitNetwork(_) => 40,
            Self::SamplingRate(_) => 41,
            Self::CauseCode(_) => 42,
            Self::Encryption(_) => 43,
            Self::EncryptionKey(_) => 44,
            Self::CodecPreferences(_) => 45,
            Self::ReceivedJitter(_) => 46,
            Self::ReceivedLoss { .. } => 47,
            Self::ReceivedFrames(_) => 48,
            Self::ReceivedDelay(_) => 49,
            Self::ReceivedDropped(_) => 50,
            Self::ReceivedOutOfOrder(_) => 51,
            Self::Variable(_) => 52,
            Self::OspToken { .. } => 53,
            Self::CallToken(_) => 54,
            Self::Capability2(_) => 55,
            Self::Format2(_) => 56,
            Self::CallingAni2(_) => 57,
            Self::Unknown { id, .. } | Self::Malformed { id, .. } => *id,
        }
    }
}
