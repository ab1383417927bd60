//! What a full frame says.

use alloc::vec::Vec;

use crate::control::Control;
use crate::element::Elements;
use crate::error::DecodeError;
use crate::format::Format;
use crate::frame::FullHeader;
use crate::subclass::{HtmlSubclass, IaxSubclass, MediaSubclass, frame_type};

/// The content of a full frame: its type, its subclass and what follows (RFC 5456 §8.2 to §8.5).
///
/// ```
/// use oneport_wire::{CauseCode, Element, IaxSubclass, Message, frame_type};
///
/// let message = Message::decode(frame_type::IAX, 5, &[42, 1, 17])?;
/// let Message::Iax { subclass: IaxSubclass::Hangup, elements } = message else { panic!() };
/// assert_eq!(elements.iter().next(), Some(Element::CauseCode(CauseCode::USER_BUSY)));
/// assert!(message.takes_sequence_number());
/// # Ok::<(), oneport_wire::DecodeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Message<'a> {
    /// A digit was pressed: ASCII, as it came.
    DtmfBegin(u8),
    /// A digit was released, or, from old peers, dialled.
    DtmfEnd(u8),
    /// Voice that must not be lost: it sets the format of the mini frames behind it.
    Voice {
        /// Names the format.
        subclass: MediaSubclass,
        /// Encoded audio.
        payload: &'a [u8],
    },
    /// Video likewise.
    Video {
        /// Names the format and the mark.
        subclass: MediaSubclass,
        /// Encoded video.
        payload: &'a [u8],
    },
    /// Session control.
    Control {
        /// Which.
        control: Control,
        /// Its data, mostly none.
        payload: &'a [u8],
    },
    /// Nothing. Must not be sent.
    Null {
        /// As it came.
        subclass: u8,
        /// As it came.
        payload: &'a [u8],
    },
    /// IAX control.
    Iax {
        /// Which.
        subclass: IaxSubclass,
        /// Its information elements.
        elements: Elements<'a>,
    },
    /// Text; some peers end it with a NUL.
    Text {
        /// 0 by rule.
        subclass: u8,
        /// The text as it came.
        payload: &'a [u8],
    },
    /// One whole image.
    Image {
        /// Names the format.
        subclass: MediaSubclass,
        /// The image.
        payload: &'a [u8],
    },
    /// HTML.
    Html {
        /// Which.
        subclass: HtmlSubclass,
        /// Its data.
        payload: &'a [u8],
    },
    /// Comfort noise.
    Cng {
        /// Level in −dBov.
        level: u8,
        /// None by rule.
        payload: &'a [u8],
    },
    /// Fax or modem data.
    Modem {
        /// 1 is T.38, 2 V.150.
        subclass: u8,
        /// As it came.
        payload: &'a [u8],
    },
    /// A frame of a type that is not known.
    Unknown {
        /// The type.
        frame_type: u8,
        /// The subclass byte.
        subclass: u8,
        /// What follows.
        payload: &'a [u8],
    },
}

impl<'a> Message<'a> {
    /// Reads a message from the type and subclass bytes of a full frame and what follows them.
    ///
    /// # Errors
    /// The information elements of an IAX frame are not whole.
    #[inline]
    pub fn decode(frame: u8, subclass: u8, payload: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(match frame {
            frame_type::VOICE => Self::Voice { subclass: MediaSubclass(subclass), payload },
            frame_type::IAX => Self::Iax {
                subclass: IaxSubclass::from_subclass(subclass),
                elements: Elements::parse(payload)?,
            },
            frame_type::CONTROL => {
                Self::Control { control: Control::from_subclass(subclass), payload }
            }
            frame_type::DTMF_BEGIN if payload.is_empty() => Self::DtmfBegin(subclass),
            frame_type::DTMF_END if payload.is_empty() => Self::DtmfEnd(subclass),
            frame_type::VIDEO => Self::Video { subclass: MediaSubclass(subclass), payload },
            frame_type::NULL => Self::Null { subclass, payload },
            frame_type::TEXT => Self::Text { subclass, payload },
            frame_type::IMAGE => Self::Image { subclass: MediaSubclass(subclass), payload },
            frame_type::HTML => {
                Self::Html { subclass: HtmlSubclass::from_subclass(subclass), payload }
            }
            frame_type::CNG => Self::Cng { level: subclass, payload },
            frame_type::MODEM => Self::Modem { subclass, payload },
            other => Self::Unknown { frame_type: other, subclass, payload },
        })
    }

    /// Voice in a format.
    #[must_use]
    pub fn voice(format: Format, payload: &'a [u8]) -> Self {
        Self::Voice { subclass: format.into(), payload }
    }

    /// Video in a format; the mark stands on the last packet of a picture.
    #[must_use]
    pub fn video(format: Format, mark: bool, payload: &'a [u8]) -> Self {
        Self::Video { subclass: MediaSubclass::video(format, mark), payload }
    }

    /// IAX control with its elements.
    #[must_use]
    pub const fn iax(subclass: IaxSubclass, elements: Elements<'a>) -> Self {
        Self::Iax { subclass, elements }
    }

    /// Session control without data.
    #[must_use]
    pub const fn control(control: Control) -> Self {
        Self::Control { control, payload: &[] }
    }

    /// Text.
    #[must_use]
    pub const fn text(payload: &'a [u8]) -> Self {
        Self::Text { subclass: 0, payload }
    }

    /// The type byte.
    #[must_use]
    pub const fn frame_type(&self) -> u8 {
        match self {
            Self::DtmfEnd(_) => frame_type::DTMF_END,
            Self::Voice { .. } => frame_type::VOICE,
            Self::Video { .. } => frame_type::VIDEO,
            Self::Control { .. } => frame_type::CONTROL,
            Self::Null { .. } => frame_type::NULL,
            Self::Iax { .. } => frame_type::IAX,
            Self::Text { .. } => frame_type::TEXT,
            Self::Image { .. } => frame_type::IMAGE,
            Self::Html { .. } => frame_type::HTML,
            Self::Cng { .. } => frame_type::CNG,
            Self::Modem { .. } => frame_type::MODEM,
            Self::DtmfBegin(_) => frame_type::DTMF_BEGIN,
            Self::Unknown { frame_type, .. } => *frame_type,
        }
    }

    /// The subclass byte, with its C bit.
    #[must_use]
    pub const fn subclass(&self) -> u8 {
        match self {
            Self::DtmfBegin(digit) | Self::DtmfEnd(digit) => *digit,
            Self::Voice { subclass, .. }
            | Self::Video { subclass, .. }
            | Self::Image { subclass, .. } => subclass.0,
            Self::Control { control, .. } => control.subclass(),
            Self::Iax { subclass, .. } => subclass.subclass(),
            Self::Html { subclass, .. } => subclass.subclass(),
            Self::Cng { level, .. } => *level,
            Self::Null { subclass, .. }
            | Self::Text { subclass, .. }
            | Self::Modem { subclass, .. }
            | Self::Unknown { subclass, .. } => *subclass,
        }
    }

    /// What follows the header.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        match self {
            Self::DtmfBegin(_) | Self::DtmfEnd(_) => &[],
            Self::Iax { elements, .. } => elements.as_bytes(),
            Self::Voice { payload, .. }
            | Self::Video { payload, .. }
            | Self::Control { payload, .. }
            | Self::Null { payload, .. }
            | Self::Text { payload, .. }
            | Self::Image { payload, .. }
            | Self::Html { payload, .. }
            | Self::Cng { payload, .. }
            | Self::Modem { payload, .. }
            | Self::Unknown { payload, .. } => payload,
        }
    }

    /// Appends the whole datagram to `out`.
    pub fn encode(&self, header: &FullHeader, out: &mut Vec<u8>) {
        out.extend(header.encode(self.frame_type(), self.subclass()));
        out.extend_from_slice(self.payload());
    }

    /// Whether its frame counts in OSeqno and is repeated until acknowledged. ACK, INVAL, VNAK,
    /// TXCNT and TXACC do not (RFC 5456 §7.1).
    #[must_use]
    pub const fn takes_sequence_number(&self) -> bool {
        !matches!(
            self,
            Self::Iax {
                subclass: IaxSubclass::Ack
                    | IaxSubclass::Inval
                    | IaxSubclass::Vnak
                    | IaxSubclass::TxCnt
                    | IaxSubclass::TxAcc,
                ..
            }
        )
    }
}
