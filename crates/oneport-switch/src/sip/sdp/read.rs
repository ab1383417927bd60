//! What a description says of a media line.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use oneport_media::ilbc::Mode;
use oneport_wire::Format;
use sdp_types::{Connection, Media, Session};

use super::crypto::Crypto;
use super::encoding::{COMFORT_NOISE, Encoding, ilbc_mode};
use super::handshake::Told;
use super::{
    Direction, LONGEST, MOST_MEDIA, MOST_PAYLOADS, Payload, RefusedMedia, SdpError, is_usable,
};

/// Reads a description.
///
/// # Errors
/// It is none, or larger than any that is meant.
pub(super) fn parse(text: &str) -> Result<Session, SdpError> {
    if text.len() > LONGEST {
        return Err(SdpError::TooLong(text.len()));
    }
    let session = Session::parse(text.as_bytes()).map_err(|_| SdpError::Malformed)?;
    if session.medias.len() > MOST_MEDIA {
        return Err(SdpError::TooManyMedia);
    }
    Ok(session)
}

/// A line of voice over RTP.
#[derive(Debug)]
pub(super) struct Voice {
    pub(super) remote: Option<SocketAddr>,
    pub(super) remote_rtcp: Option<SocketAddr>,
    pub(super) rtcp_mux: bool,
    /// Which way media flows, for whoever wrote it.
    pub(super) direction: Direction,
    pub(super) ptime: Option<Duration>,
    pub(super) max_ptime: Option<Duration>,
    /// In the order of the line.
    pub(super) formats: Vec<(Payload, Format)>,
    /// The payload types of iLBC that should have frames of 20 ms.
    short: Vec<u8>,
    pub(super) events: Vec<Payload>,
    pub(super) comfort_noise: Option<u8>,
    pub(super) secrecy: Secrecy,
    pub(super) crypto: Vec<Crypto>,
    pub(super) told: Told,
    pub(super) transport: String,
}

/// How a line is encrypted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Secrecy {
    Plain,
    /// By keys in the description.
    Described,
    /// By keys that a handshake brings.
    Handshake,
}

/// Whether a line is voice over RTP that is not refused, and if so how it is encrypted.
pub(super) fn is_voice(media: &Media) -> Option<Secrecy> {
    let secrecy = match media.proto.to_ascii_uppercase().as_str() {
        "RTP/AVP" | "RTP/AVPF" => Secrecy::Plain,
        // Some have written it so before RFC 5764 gave it a transport of its own.
        "RTP/SAVP" | "RTP/SAVPF"
            if media.has_attribute("fingerprint") && !media.has_attribute("crypto") =>
        {
            Secrecy::Handshake
        }
        "RTP/SAVP" | "RTP/SAVPF" => Secrecy::Described,
        "UDP/TLS/RTP/SAVP" | "UDP/TLS/RTP/SAVPF" => Secrecy::Handshake,
        _ => return None,
    };
    (media.media.eq_ignore_ascii_case("audio") && media.port != 0).then_some(secrecy)
}

/// The line as one that is not spoken.
pub(super) fn refused(media: &Media) -> RefusedMedia {
    RefusedMedia {
        media: media.media.clone(),
        transport: media.proto.clone(),
        formats: media.fmt.clone(),
    }
}

impl Voice {
    /// Reads a line.
    ///
    /// # Errors
    /// It does not say where voice should go.
    pub(super) fn read(session: &Session, media: &Media) -> Result<Self, SdpError> {
        let connection = media.connections.first().or(session.connection.as_ref());
        let address = address_of(connection.ok_or(SdpError::NoAddress)?)?;
        let at = |port: u16| SocketAddr::new(address, port);
        let remote = (!address.is_unspecified()).then(|| at(media.port));
        let rtcp_mux = media.has_attribute("rtcp-mux");
        let remote_rtcp = match value(media, "rtcp").and_then(|value| rtcp(value, address)) {
            _ if remote.is_none() => None,
            _ if rtcp_mux => remote,
            Some(named) => Some(named),
            None => media.port.checked_add(1).map(at),
        };
        let said = direction(media.attributes.iter().map(|one| one.attribute.as_str()));
        let of_session = || direction(session.attributes.iter().map(|one| one.attribute.as_str()));
        let said = said.or_else(of_session).unwrap_or_default();
        let mut voice = Self {
            remote,
            remote_rtcp,
            rtcp_mux,
            // Without an address they want nothing, as in RFC 2543.
            direction: Direction::of(said.sends(), said.receives() && remote.is_some()),
            ptime: value(media, "ptime").and_then(milliseconds),
            max_ptime: value(media, "maxptime").and_then(milliseconds),
            formats: Vec::new(),
            short: Vec::new(),
            events: Vec::new(),
            comfort_noise: None,
            secrecy: is_voice(media).unwrap_or(Secrecy::Plain),
            crypto: media
                .get_attribute_values("crypto")
                .flatten()
                .filter_map(Crypto::read)
                .collect(),
            told: Told::read(session, media),
            transport: media.proto.clone(),
        };
        for payload_type in media.fmt.split_ascii_whitespace().take(MOST_PAYLOADS) {
            // Not all are numbers of RTP: a line may have anything.
            if let Ok(payload_type @ 0..=127) = payload_type.parse() {
                voice.learn(media, payload_type);
            }
        }
        Ok(voice)
    }

    /// Takes a payload type of the line, if it is one of which we know what it means.
    fn learn(&mut self, media: &Media, payload_type: u8) {
        let mut known = self.formats.iter().map(|(payload, _)| payload).chain(&self.events);
        if known.any(|payload| payload.payload_type == payload_type) {
            return;
        }
        let mapped = about(media, "rtpmap", payload_type).and_then(|map| {
            let mut parts = map.trim().split('/');
            let (name, clock_rate) = (parts.next()?, parts.next()?.trim().parse::<u32>().ok()?);
            Some((name, clock_rate, parts.next().and_then(|channels| channels.parse().ok())))
        });
        let encoding = match mapped {
            Some((name, clock_rate, _)) if name.eq_ignore_ascii_case("telephone-event") => {
                if clock_rate > 0 {
                    self.events.push(Payload { payload_type, clock_rate });
                }
                return;
            }
            Some((name, 8_000, _)) if name.eq_ignore_ascii_case("CN") => {
                self.comfort_noise.get_or_insert(payload_type);
                return;
            }
            Some((name, clock_rate, channels)) => {
                let encoding = Encoding::named(name, clock_rate);
                encoding.filter(|encoding| channels.unwrap_or(1_u8) == encoding.channels)
            }
            None if payload_type == COMFORT_NOISE => {
                self.comfort_noise.get_or_insert(payload_type);
                return;
            }
            None => Encoding::fixed(payload_type),
        };
        let Some(encoding) = encoding else { return };
        let parameters = about(media, "fmtp", payload_type).unwrap_or_default();
        if encoding.format == Format::ILBC && ilbc_mode(parameters) == Mode::Ms20 {
            self.short.push(payload_type);
        }
        let payload = Payload { payload_type, clock_rate: encoding.clock_rate };
        self.formats.push((payload, encoding.format));
    }

    /// The mode of iLBC that both use where we say `ours`: that with frames of 30 ms where either says so, since the
    /// lower rate is the one that a narrow line has room for (RFC 3952 §5).
    pub(super) fn ilbc_beside(&self, theirs: Payload, ours: Mode) -> Mode {
        match self.short.contains(&theirs.payload_type) {
            true => ours,
            false => Mode::Ms30,
        }
    }

    /// The payload type of keys beside voice with this clock.
    pub(super) fn events_beside(&self, clock_rate: u32) -> Option<Payload> {
        let same = self.events.iter().find(|payload| payload.clock_rate == clock_rate);
        same.or_else(|| self.events.first()).copied()
    }
}

fn address_of(connection: &Connection) -> Result<IpAddr, SdpError> {
    let address = connection.try_address().map_err(|_| SdpError::NoAddress)?;
    is_usable(address.ip).then_some(address.ip).ok_or(SdpError::NoAddress)
}

fn direction<'a>(mut attributes: impl Iterator<Item = &'a str>) -> Option<Direction> {
    attributes.find_map(|attribute| match attribute {
        "sendrecv" => Some(Direction::SendRecv),
        "sendonly" => Some(Direction::SendOnly),
        "recvonly" => Some(Direction::RecvOnly),
        "inactive" => Some(Direction::Inactive),
        _ => None,
    })
}

fn value<'a>(media: &'a Media, name: &'a str) -> Option<&'a str> {
    media.get_first_attribute_value(name).flatten()
}

/// What an attribute (`a=rtpmap`, `a=fmtp`) says of a payload type.
fn about<'a>(media: &'a Media, name: &'a str, payload_type: u8) -> Option<&'a str> {
    media.get_attribute_values(name).flatten().find_map(|value| {
        let (number, rest) = value.trim_start().split_once(' ')?;
        (number.parse() == Ok(payload_type)).then_some(rest)
    })
}

/// A length of frames: some write fractions, and some write nonsense.
fn milliseconds(value: &str) -> Option<Duration> {
    let whole = value.trim().split('.').next()?.parse::<u64>().ok()?;
    (1..=1_000).contains(&whole).then(|| Duration::from_millis(whole))
}

/// `a=rtcp` (RFC 3605): a port, and an address where it is another one.
fn rtcp(value: &str, address: IpAddr) -> Option<SocketAddr> {
    let mut words = value.split_ascii_whitespace();
    let port: u16 = words.next()?.parse().ok().filter(|port| *port != 0)?;
    let address = match words.nth(2) {
        Some(other) => other.parse().ok().filter(|other: &IpAddr| {
            is_usable(*other) && !other.is_unspecified() && other.is_ipv4() == address.is_ipv4()
        })?,
        None => address,
    };
    Some(SocketAddr::new(address, port))
}
