//! Frame types and the subclasses of IAX, HTML and media frames.

use core::fmt;

use crate::format::Format;

/// Frame types (RFC 5456 §8.2).
pub mod frame_type {
    /// A digit was released.
    pub const DTMF_END: u8 = 1;
    /// Voice.
    pub const VOICE: u8 = 2;
    /// Video.
    pub const VIDEO: u8 = 3;
    /// Session control, see [`Control`](crate::Control).
    pub const CONTROL: u8 = 4;
    /// Nothing; must not be sent.
    pub const NULL: u8 = 5;
    /// IAX control, see [`IaxSubclass`](crate::IaxSubclass).
    pub const IAX: u8 = 6;
    /// Text.
    pub const TEXT: u8 = 7;
    /// One image.
    pub const IMAGE: u8 = 8;
    /// HTML, see [`HtmlSubclass`](crate::HtmlSubclass).
    pub const HTML: u8 = 9;
    /// Comfort noise.
    pub const CNG: u8 = 10;
    /// Fax or modem data.
    pub const MODEM: u8 = 11;
    /// A digit was pressed.
    pub const DTMF_BEGIN: u8 = 12;
}

/// Subclass of a VOICE, VIDEO or IMAGE frame, as it came.
///
/// ```
/// use oneport_wire::{Format, MediaSubclass};
///
/// // A mask where that is below 128, else the C bit and the number of the bit.
/// assert_eq!(MediaSubclass::from(Format::ULAW).0, 0x04);
/// assert_eq!(MediaSubclass::from(Format::G722).0, 0x80 | 12);
/// let video = MediaSubclass::video(Format::H264, true);
/// assert_eq!((video.video_format(), video.mark()), (Some(Format::H264), true));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MediaSubclass(pub u8);

/// The mark of a video frame.
const MARK: u8 = 0x40;

impl MediaSubclass {
    /// That of a video frame; the mark stands on the last packet of a picture.
    #[must_use]
    pub const fn video(format: Format, mark: bool) -> Self {
        Self(format.subclass() | if mark { MARK } else { 0 })
    }

    /// The format of a voice or image frame; `None` when it names no single one.
    #[must_use]
    pub const fn format(self) -> Option<Format> {
        Format::from_subclass(self.0)
    }

    /// The format of a video frame, whose bit 0x40 is the mark instead.
    #[must_use]
    pub const fn video_format(self) -> Option<Format> {
        Format::from_subclass(self.0 & !MARK)
    }

    /// The mark of a video frame: the last packet of a picture.
    #[must_use]
    pub const fn mark(self) -> bool {
        self.0 & MARK != 0
    }
}

impl From<Format> for MediaSubclass {
    fn from(format: Format) -> Self {
        Self(format.subclass())
    }
}

/// What an IAX control frame says (RFC 5456 §8.4, and those added since).
///
/// ```
/// use oneport_wire::IaxSubclass;
///
/// assert_eq!(IaxSubclass::from_subclass(14), IaxSubclass::RegAuth);
/// assert_eq!(IaxSubclass::RegAuth.to_string(), "REGAUTH");
/// // What a later version adds is kept as it came.
/// assert_eq!(IaxSubclass::from_subclass(99).subclass(), 99);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum IaxSubclass {
    /// 1: A call begins.
    New,
    /// 2: Asks for a PONG.
    Ping,
    /// 3: Answers PING and POKE.
    Pong,
    /// 4: Acknowledges.
    Ack,
    /// 5: Ends the call.
    Hangup,
    /// 6: Refuses the call.
    Reject,
    /// 7: Takes the call; names the format.
    Accept,
    /// 8: Asks the caller for a proof.
    AuthReq,
    /// 9: The proof.
    AuthRep,
    /// 10: The call is not known.
    Inval,
    /// 11: Asks for a LAGRP.
    LagRq,
    /// 12: Answers LAGRQ.
    LagRp,
    /// 13: Asks to be registered.
    RegReq,
    /// 14: Asks the registering peer for a proof.
    RegAuth,
    /// 15: Registered.
    RegAck,
    /// 16: Not registered.
    RegRej,
    /// 17: Asks to be unregistered.
    RegRel,
    /// 18: Asks for missing frames.
    Vnak,
    /// 19: Asks whether a number exists.
    DpReq,
    /// 20: Answers DPREQ.
    DpRep,
    /// 21: Dials on a call begun without a number.
    Dial,
    /// 22: Asks to be transferred.
    TxReq,
    /// 23: First frame between the new ends.
    TxCnt,
    /// 24: Answers TXCNT.
    TxAcc,
    /// 25: The new way works.
    TxReady,
    /// 26: Lets go.
    TxRel,
    /// 27: The transfer failed.
    TxRej,
    /// 28: Stop sending audio.
    Quelch,
    /// 29: Send audio again.
    Unquelch,
    /// 30: Asks whether anybody is there.
    Poke,
    /// 31: Reserved.
    Page,
    /// 32: Messages wait.
    Mwi,
    /// 33: A subclass was not understood.
    Unsupport,
    /// 34: Asks for a blind transfer.
    Transfer,
    /// 35: Provisions a device.
    Provision,
    /// 36: Asks for a block of firmware.
    FwDownl,
    /// 37: A block of firmware.
    FwData,
    /// 38: Lets go of the media only.
    TxMedia,
    /// 39: A new encryption key.
    RtKey,
    /// 40: A call token.
    CallToken,
    /// Any other subclass byte.
    Unknown(u8),
}

impl IaxSubclass {
    /// From the subclass byte of a full frame.
    #[must_use]
    pub const fn from_subclass(subclass: u8) -> Self {
        match subclass {
            1 => Self::New,
            2 => Self::Ping,
            3 => Self::Pong,
            4 => Self::Ack,
            5 => Self::Hangup,
            6 => Self::Reject,
            7 => Self::Accept,
            8 => Self::AuthReq,
            9 => Self::AuthRep,
            10 => Self::Inval,
            11 => Self::LagRq,
            12 => Self::LagRp,
            13 => Self::RegReq,
            14 => Self::RegAuth,
            15 => Self::RegAck,
            16 => Self::RegRej,
            17 => Self::RegRel,
            18 => Self::Vnak,
            19 => Self::DpReq,
            20 => Self::DpRep,
            21 => Self::Dial,
            22 => Self::TxReq,
            23 => Self::TxCnt,
            24 => Self::TxAcc,
            25 => Self::TxReady,
            26 => Self::TxRel,
            27 => Self::TxRej,
            28 => Self::Quelch,
            29 => Self::Unquelch,
            30 => Self::Poke,
            31 => Self::Page,
            32 => Self::Mwi,
            33 => Self::Unsupport,
            34 => Self::Transfer,
            35 => Self::Provision,
            36 => Self::FwDownl,
            37 => Self::FwData,
            38 => Self::TxMedia,
            39 => Self::RtKey,
            40 => Self::CallToken,
            other => Self::Unknown(other),
        }
    }

    /// The subclass byte of a full frame.
    #[must_use]
    pub const fn subclass(self) -> u8 {
        match self {
            Self::New => 1,
            Self::Ping => 2,
            Self::Pong => 3,
            Self::Ack => 4,
            Self::Hangup => 5,
            Self::Reject => 6,
            Self::Accept => 7,
            Self::AuthReq => 8,
            Self::AuthRep => 9,
            Self::Inval => 10,
            Self::LagRq => 11,
            Self::LagRp => 12,
            Self::RegReq => 13,
            Self::RegAuth => 14,
            Self::RegAck => 15,
            Self::RegRej => 16,
            Self::RegRel => 17,
            Self::Vnak => 18,
            Self::DpReq => 19,
            Self::DpRep => 20,
            Self::Dial => 21,
            Self::TxReq => 22,
            Self::TxCnt => 23,
            Self::TxAcc => 24,
            Self::TxReady => 25,
            Self::TxRel => 26,
            Self::TxRej => 27,
            Self::Quelch => 28,
            Self::Unquelch => 29,
            Self::Poke => 30,
            Self::Page => 31,
            Self::Mwi => 32,
            Self::Unsupport => 33,
            Self::Transfer => 34,
            Self::Provision => 35,
            Self::FwDownl => 36,
            Self::FwData => 37,
            Self::TxMedia => 38,
            Self::RtKey => 39,
            Self::CallToken => 40,
            Self::Unknown(other) => other,
        }
    }
}

impl fmt::Display for IaxSubclass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::New => "NEW",
            Self::Ping => "PING",
            Self::Pong => "PONG",
            Self::Ack => "ACK",
            Self::Hangup => "HANGUP",
            Self::Reject => "REJECT",
            Self::Accept => "ACCEPT",
            Self::AuthReq => "AUTHREQ",
            Self::AuthRep => "AUTHREP",
            Self::Inval => "INVAL",
            Self::LagRq => "LAGRQ",
            Self::LagRp => "LAGRP",
            Self::RegReq => "REGREQ",
            Self::RegAuth => "REGAUTH",
            Self::RegAck => "REGACK",
            Self::RegRej => "REGREJ",
            Self::RegRel => "REGREL",
            Self::Vnak => "VNAK",
            Self::DpReq => "DPREQ",
            Self::DpRep => "DPREP",
            Self::Dial => "DIAL",
            Self::TxReq => "TXREQ",
            Self::TxCnt => "TXCNT",
            Self::TxAcc => "TXACC",
            Self::TxReady => "TXREADY",
            Self::TxRel => "TXREL",
            Self::TxRej => "TXREJ",
            Self::Quelch => "QUELCH",
            Self::Unquelch => "UNQUELCH",
            Self::Poke => "POKE",
            Self::Page => "PAGE",
            Self::Mwi => "MWI",
            Self::Unsupport => "UNSUPPORT",
            Self::Transfer => "TRANSFER",
            Self::Provision => "PROVISION",
            Self::FwDownl => "FWDOWNL",
            Self::FwData => "FWDATA",
            Self::TxMedia => "TXMEDIA",
            Self::RtKey => "RTKEY",
            Self::CallToken => "CALLTOKEN",
            Self::Unknown(other) => return write!(f, "subclass({other})"),
        })
    }
}

/// What an HTML frame says (RFC 5456 §8.5).
///
/// ```
/// use oneport_wire::{HtmlSubclass, Message, frame_type};
///
/// let message = Message::decode(frame_type::HTML, 1, b"http://example.com/")?;
/// assert!(matches!(message, Message::Html { subclass: HtmlSubclass::Url, .. }));
/// // They are numbers, not bits: 3 is not a URL with data.
/// assert_eq!(HtmlSubclass::from_subclass(3), HtmlSubclass::Unknown(3));
/// # Ok::<(), oneport_wire::DecodeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum HtmlSubclass {
    /// 1: A URL.
    Url,
    /// 2: Data.
    Data,
    /// 4: Data begins.
    Begin,
    /// 8: Data ends.
    End,
    /// 16: The page is loaded.
    LoadComplete,
    /// 17: The peer shows no HTML.
    NotSupported,
    /// 18: Link to a URL.
    LinkUrl,
    /// 19: Unlink.
    Unlink,
    /// 20: The link is refused.
    LinkReject,
    /// Any other subclass byte.
    Unknown(u8),
}

impl HtmlSubclass {
    /// From the subclass byte of a full frame.
    #[must_use]
    pub const fn from_subclass(subclass: u8) -> Self {
        match subclass {
            1 => Self::Url,
            2 => Self::Data,
            4 => Self::Begin,
            8 => Self::End,
            16 => Self::LoadComplete,
            17 => Self::NotSupported,
            18 => Self::LinkUrl,
            19 => Self::Unlink,
            20 => Self::LinkReject,
            other => Self::Unknown(other),
        }
    }

    /// The subclass byte of a full frame.
    #[must_use]
    pub const fn subclass(self) -> u8 {
        match self {
            Self::Url => 1,
            Self::Data => 2,
            Self::Begin => 4,
            Self::End => 8,
            Self::LoadComplete => 16,
            Self::NotSupported => 17,
            Self::LinkUrl => 18,
            Self::Unlink => 19,
            Self::LinkReject => 20,
            Self::Unknown(other) => other,
        }
    }
}

impl fmt::Display for HtmlSubclass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Url => "URL",
            Self::Data => "DATA",
            Self::Begin => "BEGIN",
            Self::End => "END",
            Self::LoadComplete => "LDCOMPLETE",
            Self::NotSupported => "NOSUPPORT",
            Self::LinkUrl => "LINKURL",
            Self::Unlink => "UNLINK",
            Self::LinkReject => "LINKREJECT",
            Self::Unknown(other) => return write!(f, "subclass({other})"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subclass_survives() {
        for byte in 0..=255 {
            assert_eq!(IaxSubclass::from_subclass(byte).subclass(), byte);
            assert_eq!(HtmlSubclass::from_subclass(byte).subclass(), byte);
        }
    }
}
