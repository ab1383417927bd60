//! Descriptions that we write.

use oneport_media::ilbc::Mode;
use oneport_wire::Format;
use sdp_types::{Attribute, Connection, Media, Origin, Session};

use super::crypto::{Crypto, CryptoSuite};
use super::encoding::{COMFORT_NOISE, Encoding, telephone_event_as};
use super::handshake::{Fingerprint, Setup};
use super::{Capabilities, Direction, Local, Negotiated, Payload, RefusedMedia, Srtp, SrtpUse};

/// The transport of what is not encrypted, of what has its keys in the description, and of what gets them by
/// a handshake (RFC 5764 §8).
pub(super) const PLAIN: &str = "RTP/AVP";
const DESCRIBED: &str = "RTP/SAVP";
const HANDSHAKE: &str = "UDP/TLS/RTP/SAVP";

/// What a line of ours says.
pub(super) struct Line<'a> {
    pub(super) transport: &'a str,
    pub(super) formats: Vec<(Payload, Format)>,
    /// What we say of iLBC.
    pub(super) ilbc: Mode,
    pub(super) events: Vec<Payload>,
    pub(super) comfort_noise: Option<u8>,
    pub(super) rtcp_mux: bool,
    pub(super) direction: Direction,
    pub(super) secrecy: Option<Secret>,
}

/// How a line of ours is encrypted.
#[derive(Clone)]
pub(super) enum Secret {
    Described(Crypto),
    Handshake(Fingerprint, Setup),
}

/// The formats that we offer, in our order.
pub(super) fn offered(capabilities: &Capabilities) -> Vec<(Payload, Format)> {
    let mut formats: Vec<(Payload, Format)> = Vec::new();
    for encoding in capabilities.formats.iter().filter_map(|format| Encoding::of(*format)) {
        if formats.iter().all(|(_, format)| *format != encoding.format) {
            let payload_type = encoding.offered_as;
            let payload = Payload { payload_type, clock_rate: encoding.clock_rate };
            formats.push((payload, encoding.format));
        }
    }
    formats
}

/// The payload types under which we offer keys: one for each clock of the voice beside them.
pub(super) fn offered_events(capabilities: &Capabilities) -> Vec<Payload> {
    let mut events: Vec<Payload> = Vec::new();
    if capabilities.telephone_event {
        for (Payload { clock_rate, .. }, _) in offered(capabilities) {
            if events.iter().all(|payload| payload.clock_rate != clock_rate) {
                events.push(Payload { payload_type: telephone_event_as(clock_rate), clock_rate });
            }
        }
    }
    events
}

/// How we offer to encrypt, where we do.
pub(super) fn offered_secrecy(capabilities: &Capabilities, local: &Local) -> Option<Secret> {
    match capabilities.srtp {
        SrtpUse::Off | SrtpUse::Accepted => None,
        SrtpUse::Required => {
            let suite = CryptoSuite::AesCm128HmacSha1_80;
            Some(Secret::Described(Crypto { tag: 1, suite, key: local.key.clone()? }))
        }
        SrtpUse::Handshake => Some(Secret::Handshake(local.fingerprint?, Setup::ActPass)),
    }
}

/// How we offer to go on encrypting.
pub(super) fn kept_secrecy(agreed: &Negotiated, local: &Local) -> Option<Secret> {
    Some(match agreed.srtp.as_ref()? {
        Srtp::Described(keys) => {
            Secret::Described(Crypto { tag: keys.tag, suite: keys.suite, key: keys.ours.clone() })
        }
        // Who begins stays the same, so that nothing has to begin anew (RFC 8842 §5.5).
        Srtp::Handshake(handshake) => {
            Secret::Handshake(local.fingerprint?, Setup::of(handshake.begins))
        }
    })
}

/// Offers voice. The same is offered for the same arguments.
#[must_use]
pub fn offer(capabilities: &Capabilities, local: &Local) -> String {
    let line = first_line(capabilities, local);
    describe(capabilities, local, &[None], &line)
}

fn first_line<'a>(capabilities: &Capabilities, local: &Local) -> Line<'a> {
    let secrecy = offered_secrecy(capabilities, local);
    let (transport, shakes) = match &secrecy {
        None => (PLAIN, false),
        Some(Secret::Described(_)) => (DESCRIBED, false),
        Some(Secret::Handshake(..)) => (HANDSHAKE, true),
    };
    Line {
        transport,
        formats: offered(capabilities),
        ilbc: capabilities.ilbc,
        events: offered_events(capabilities),
        comfort_noise: capabilities.comfort_noise.then_some(COMFORT_NOISE),
        // A port of its own has a handshake of its own.
        rtcp_mux: capabilities.rtcp_mux || shakes,
        direction: capabilities.direction,
        secrecy,
    }
}

/// Offers voice anew in a session that has been agreed upon, to hold it, to go on, or to say that it is
/// still there: the same lines with the same payload types (RFC 3264 §8).
#[must_use]
pub fn offer_again(capabilities: &Capabilities, local: &Local, agreed: &Negotiated) -> String {
    let mut line = first_line(capabilities, local);
    line.transport = &agreed.transport;
    line.ilbc = agreed.ilbc;
    let known = agreed.receives.iter().filter(|(_, format)| capabilities.formats.contains(format));
    let known: Vec<_> = known.copied().collect();
    if !known.is_empty() {
        (line.formats, line.events) = (known, agreed.receives_events.clone());
        line.comfort_noise = agreed.comfort_noise;
    }
    line.secrecy = kept_secrecy(agreed, local);
    describe(capabilities, local, &agreed.lines, &line)
}

/// Writes a description with these lines; `None` is ours.
pub(super) fn describe(
    capabilities: &Capabilities,
    local: &Local,
    lines: &[Option<RefusedMedia>],
    ours: &Line<'_>,
) -> String {
    let address = local.address.ip();
    let origin = Origin::with_ip_addr(local.session_id, local.version, address);
    let mut session = Session::new(origin, "-");
    session.set_connection(Connection::from_ip_addr(address));
    for line in lines {
        session.add_media(match line {
            Some(refused) => refuse(refused),
            None => speak(capabilities, local, ours),
        });
    }
    session.to_string()
}

fn refuse(refused: &RefusedMedia) -> Media {
    let mut media = Media::new(
        sdp_types::MediaType::Audio,
        0,
        sdp_types::TransportProto::RtpAvp,
        &refused.formats,
    );
    (media.media, media.proto) = (refused.media.clone(), refused.transport.clone());
    media
}

fn speak(capabilities: &Capabilities, local: &Local, line: &Line<'_>) -> Media {
    let formats = line.formats.iter().map(|(payload, _)| payload.payload_type);
    let events = line.events.iter().map(|payload| payload.payload_type);
    let all: Vec<String> =
        formats.chain(line.comfort_noise).chain(events).map(|number| number.to_string()).collect();
    let mut media = Media::new(
        sdp_types::MediaType::Audio,
        local.address.port(),
        sdp_types::TransportProto::RtpAvp,
        all.join(" "),
    );
    media.proto = line.transport.into();
    let mut say = |name: &str, value: String| {
        media.add_attribute(Attribute::with_value(name, value));
    };
    for (Payload { payload_type, clock_rate }, format) in &line.formats {
        let Some(encoding) = Encoding::of(*format) else { continue };
        let channels = if encoding.channels > 1 { "/2" } else { "" };
        say("rtpmap", format!("{payload_type} {}/{clock_rate}{channels}", encoding.name));
        if let Some(parameters) = encoding.parameters(line.ilbc) {
            say("fmtp", format!("{payload_type} {parameters}"));
        }
    }
    if let Some(payload_type) = line.comfort_noise {
        say("rtpmap", format!("{payload_type} CN/8000"));
    }
    for Payload { payload_type, clock_rate } in &line.events {
        say("rtpmap", format!("{payload_type} telephone-event/{clock_rate}"));
        say("fmtp", format!("{payload_type} 0-16"));
    }
    if let Some(ptime) = capabilities.ptime {
        say("ptime", ptime.as_millis().to_string());
    }
    match &line.secrecy {
        Some(Secret::Described(crypto)) => say("crypto", crypto.write()),
        Some(Secret::Handshake(fingerprint, setup)) => {
            say("setup", setup.name().into());
            say("fingerprint", fingerprint.to_string());
        }
        None => {}
    }
    if line.rtcp_mux {
        media.add_attribute(Attribute::new("rtcp-mux"));
    }
    media.add_attribute(Attribute::new(line.direction.name()));
    media
}
