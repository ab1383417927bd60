//! Session descriptions (RFC 8866): what is offered, what is answered, and what both mean (RFC 3264).
//!
//! Offers and answers are functions of what is given: nothing here has a clock, a socket or a state. One
//! stream of voice is spoken; other media lines are refused by port 0. What comes is hostile: it ends in
//! an error or in something that can be used, never in a panic.

mod answer;
mod crypto;
mod encoding;
mod handshake;
mod read;
mod write;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use oneport_media::ilbc::Mode;
use oneport_wire::Format;
use thiserror::Error;

pub use answer::{accept, answer, expected};
pub use crypto::{CryptoSuite, KEY_BYTES, MasterKey};
pub use handshake::Fingerprint;
pub use write::{offer, offer_again};

/// The longest description that is read, in bytes.
pub const LONGEST: usize = 16_384;

/// So many media lines are read.
const MOST_MEDIA: usize = 16;

/// So many payload types of a line are looked at.
const MOST_PAYLOADS: usize = 64;

/// Whose order of codecs decides in an answer.
///
/// ```
/// use oneport_switch::sip::sdp::{Capabilities, Order};
///
/// let capabilities = Capabilities { order: Order::Ours, ..Capabilities::default() };
/// assert_ne!(capabilities.order, Order::Theirs);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Order {
    /// The offer's.
    #[default]
    Theirs,
    /// Ours.
    Ours,
}

/// Whether media is encrypted.
///
/// ```
/// use oneport_switch::sip::sdp::{Capabilities, Local, SdpError, SrtpUse, answer, offer};
///
/// let local = Local::new("192.0.2.1:4000".parse()?, 1);
/// let plain = offer(&Capabilities::default(), &local);
/// let strict = Capabilities { srtp: SrtpUse::Required, ..Capabilities::default() };
/// assert_eq!(answer(&plain, &strict, &local).err(), Some(SdpError::EncryptionRequired));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SrtpUse {
    /// Never.
    #[default]
    Off,
    /// Where the other side offers it. We offer it not.
    Accepted,
    /// Always: what is not encrypted is refused. We offer keys in the description.
    Required,
    /// Always, and by keys that a handshake beside the media brings (DTLS-SRTP, RFC 5763).
    Handshake,
}

impl SrtpUse {
    /// The word that stands for it in the configuration.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Accepted => "allowed",
            Self::Required => "required",
            Self::Handshake => "dtls",
        }
    }
}

/// Which way media flows, for whoever says it.
///
/// ```
/// use oneport_switch::sip::sdp::Direction;
///
/// let theirs = Direction::SendOnly;
/// assert_eq!(theirs.reversed(), Direction::RecvOnly);
/// assert_eq!(theirs.reversed().and(Direction::SendRecv).name(), "recvonly");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// It sends, and wants nothing.
    SendOnly,
    /// It wants, and sends nothing.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// Whether whoever says it sends.
    #[must_use]
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether it wants to receive.
    #[must_use]
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The one that has both.
    #[must_use]
    pub const fn of(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// What the other side may do at most when this one says so.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self::of(self.receives(), self.sends())
    }

    /// What both allow.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self::of(self.sends() && other.sends(), self.receives() && other.receives())
    }

    /// Its name in SDP.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}

/// What we can and want.
///
/// ```
/// use oneport::Format;
/// use oneport_switch::sip::sdp::{Capabilities, Local, offer};
///
/// let capabilities = Capabilities { formats: vec![Format::GSM], ..Capabilities::default() };
/// let offer = offer(&capabilities, &Local::new("192.0.2.1:4000".parse()?, 1));
/// assert!(offer.contains("m=audio 4000 RTP/AVP 3"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Capabilities {
    /// Voice formats, best first. Those that RTP cannot carry as IAX2 does are left out.
    pub formats: Vec<Format>,
    /// Whose order decides in an answer.
    pub order: Order,
    /// Keys as packets (RFC 4733).
    pub telephone_event: bool,
    /// Pauses as comfort noise (RFC 3389).
    pub comfort_noise: bool,
    /// How long the frames should be that we get.
    pub ptime: Option<Duration>,
    /// How long frames of iLBC are, where the other side wants them so too; else they are of 30 ms.
    pub ilbc: Mode,
    /// RTCP on the port of RTP (RFC 5761), where the other side wants it too.
    pub rtcp_mux: bool,
    /// Whether media is encrypted.
    pub srtp: SrtpUse,
    /// Which way we want media to flow: `SendOnly` or `Inactive` puts the other side on hold.
    pub direction: Direction,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self {
            formats: vec![Format::ULAW, Format::ALAW],
            order: Order::Theirs,
            telephone_event: true,
            comfort_noise: false,
            ptime: None,
            ilbc: Mode::Ms30,
            rtcp_mux: false,
            srtp: SrtpUse::Off,
            direction: Direction::SendRecv,
        }
    }
}

/// Where we are, for one description of ours.
///
/// ```
/// use oneport_switch::sip::sdp::{Capabilities, Local, offer};
///
/// let again = Local { version: 2, ..Local::new("192.0.2.1:4000".parse()?, 1) };
/// assert!(offer(&Capabilities::default(), &again).contains("o=- 1 2 IN IP4 192.0.2.1"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Local {
    /// Where we want RTP, as the other side sees it. RTCP comes to the port behind it.
    pub address: SocketAddr,
    /// The id of the session (`o=`): the same for all descriptions of a call.
    pub session_id: u64,
    /// How often it was described anew: it grows by one with each change.
    pub version: u64,
    /// The key of what we send, if it can be encrypted. It must be new for each call.
    pub key: Option<MasterKey>,
    /// That of the certificate by which we prove who we are in a handshake, if there can be one.
    pub fingerprint: Option<Fingerprint>,
    /// Whether we have begun the handshake of before, if there was one: who does stays the same.
    pub begins: Option<bool>,
}

impl Local {
    /// A first description, which is not encrypted.
    #[must_use]
    pub const fn new(address: SocketAddr, session_id: u64) -> Self {
        Self { address, session_id, version: 1, key: None, fingerprint: None, begins: None }
    }
}

/// A payload type and what it means.
///
/// ```
/// use oneport_switch::sip::sdp::SrtpUse;
///
/// # mod voice { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/voice.rs")); } use voice::*;
/// let sends = agreed(SrtpUse::Off).sends;
/// assert_eq!(sends.clock_rate, 8_000);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Payload {
    /// Its number, 0 to 127.
    pub payload_type: u8,
    /// Timestamps in a second.
    pub clock_rate: u32,
}

/// How media is encrypted.
///
/// ```
/// use oneport_switch::sip::sdp::{Srtp, SrtpUse};
///
/// # mod voice { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/voice.rs")); } use voice::*;
/// assert!(matches!(agreed(SrtpUse::Required).srtp, Some(Srtp::Described(_))));
/// assert_eq!(agreed(SrtpUse::Off).srtp, None);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Srtp {
    /// By keys that the descriptions have (RFC 4568).
    Described(DescribedKeys),
    /// By keys that a handshake brings (RFC 5763).
    Handshake(Handshake),
}

/// Keys and method that descriptions have.
///
/// ```
/// use oneport_switch::sip::sdp::{MasterKey, Srtp, SrtpUse};
///
/// # mod voice { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/voice.rs")); } use voice::*;
/// let Some(Srtp::Described(keys)) = agreed(SrtpUse::Required).srtp else { panic!("in the clear") };
/// assert!(keys.suite.name().starts_with("AE"));
/// assert_eq!((keys.ours == keys.theirs, keys.tag > 0), (false, true));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DescribedKeys {
    /// How it is encrypted, both ways.
    pub suite: CryptoSuite,
    /// The number under which both have agreed on it.
    pub tag: u32,
    /// The key of what we send.
    pub ours: MasterKey,
    /// The key of what comes.
    pub theirs: MasterKey,
}

/// Of whom a handshake is, and how it is begun. Where all of it stays the same, so do the keys.
///
/// ```
/// use oneport_switch::sip::sdp::{Fingerprint, Handshake};
///
/// let theirs = vec![Fingerprint::of(b"a certificate (DER)")];
/// let handshake = Handshake { begins: true, theirs, id: None };
/// assert!(handshake.theirs.iter().any(|print| print.is_of(b"a certificate (DER)")));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Handshake {
    /// Whether we begin it (`active`); else they do.
    pub begins: bool,
    /// One of these is that of their certificate.
    pub theirs: Vec<Fingerprint>,
    /// Their name of it (`a=tls-id`), if they have one.
    pub id: Option<String>,
}

/// A media line that is not spoken; it keeps its place in each description.
///
/// ```
/// use oneport_switch::sip::sdp::{Capabilities, Local, answer, offer};
///
/// let (capabilities, local) = (Capabilities::default(), Local::new("192.0.2.1:4000".parse()?, 1));
/// let offer = offer(&capabilities, &local) + "m=video 4002 RTP/AVP 31\r\n";
/// let (answer, agreed) = answer(&offer, &capabilities, &local)?;
/// assert!(agreed.lines[0].is_none() && agreed.lines[1].is_some());
/// assert!(answer.contains("m=video 0 RTP/AVP 31"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefusedMedia {
    media: String,
    transport: String,
    formats: String,
}

/// What both sides have agreed upon.
///
/// ```
/// use oneport_switch::sip::sdp::{Capabilities, Local, accept, answer, offer};
///
/// let ours = Local::new("192.0.2.1:4000".parse()?, 1);
/// let theirs = Local::new("192.0.2.2:5000".parse()?, 2);
/// let capabilities = Capabilities::default();
/// let (answer, there) = answer(&offer(&capabilities, &ours), &capabilities, &theirs)?;
/// let here = accept(&answer, &capabilities, &ours, None)?;
/// assert_eq!((here.remote, there.remote), (Some(theirs.address), Some(ours.address)));
/// assert_eq!(here.format, there.format);
/// assert!(!here.is_held());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Negotiated {
    /// Where they want RTP; `None`: nowhere (`c=0.0.0.0`).
    pub remote: Option<SocketAddr>,
    /// Where they want RTCP.
    pub remote_rtcp: Option<SocketAddr>,
    /// RTCP comes and goes with RTP.
    pub rtcp_mux: bool,
    /// The format that we send.
    pub format: Format,
    /// How we send it.
    pub sends: Payload,
    /// What may come.
    pub receives: Vec<(Payload, Format)>,
    /// How we send keys, if they want them so.
    pub sends_events: Option<Payload>,
    /// How keys may come.
    pub receives_events: Vec<Payload>,
    /// Under which payload type comfort noise comes and goes.
    pub comfort_noise: Option<u8>,
    /// How long they want frames to be.
    pub ptime: Option<Duration>,
    /// How long a frame may be at most.
    pub max_ptime: Option<Duration>,
    /// How long frames of iLBC are that we send, and should be that come (RFC 3952 §5).
    pub ilbc: Mode,
    /// Which way media flows, for us.
    pub direction: Direction,
    /// How it is encrypted, if it is.
    pub srtp: Option<Srtp>,
    /// Their session and its version (`o=`): the same again means that nothing has changed.
    pub their_version: (String, u64),
    /// The media lines, in their order; `None` is ours.
    pub lines: Vec<Option<RefusedMedia>>,
    /// The transport of our line, such as `RTP/AVP`.
    pub transport: String,
}

impl Negotiated {
    /// Whether they have put us on hold: they want to hear nothing.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        !self.direction.sends()
    }

    /// How long the frames should be that we send, if they said so.
    #[must_use]
    pub fn frame(&self) -> Option<Duration> {
        match (self.ptime, self.max_ptime) {
            (Some(frame), Some(most)) => Some(frame.min(most)),
            (frame, _) => frame,
        }
    }
}

/// A description that cannot be used.
///
/// ```
/// use oneport_switch::sip::sdp::{Capabilities, Local, SdpError, answer};
///
/// let local = Local::new("192.0.2.1:4000".parse()?, 1);
/// let error = answer("v=1", &Capabilities::default(), &local).expect_err("there is no such version");
/// assert_eq!(error, SdpError::Malformed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum SdpError {
    /// It is longer than any that is meant.
    #[error("the description has {0} bytes, more than {LONGEST}")]
    TooLong(usize),
    /// It is no description.
    #[error("the description is malformed")]
    Malformed,
    /// It has more media lines than any that is meant.
    #[error("the description has more than {MOST_MEDIA} media lines")]
    TooManyMedia,
    /// It has no line for voice over RTP.
    #[error("the description has no voice over RTP")]
    NoVoice,
    /// Voice was refused (port 0).
    #[error("the answer refuses voice")]
    Refused,
    /// It does not say where voice should go, or by a name rather than an address.
    #[error("the description has no address that voice could go to")]
    NoAddress,
    /// No codec is common.
    #[error("there is no codec in common")]
    NoCommonCodec,
    /// It is encrypted in a way that we do not do, or must not.
    #[error("the description asks for encryption that is not spoken here")]
    EncryptionNotSpoken,
    /// It is not encrypted, and has to be.
    #[error("voice has to be encrypted here")]
    EncryptionRequired,
    /// An answer does not fit its offer.
    #[error("the answer does not fit the offer")]
    NotAnAnswer,
}

/// Whether media can go there.
fn is_usable(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !address.is_multicast() && !broadcast
}

#[cfg(test)]
mod tests;
