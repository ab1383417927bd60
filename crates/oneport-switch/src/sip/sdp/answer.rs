//! Offers answered, and answers to ours understood.

use oneport_wire::Format;
use sdp_types::{Media, Session};

use super::crypto::{Crypto, CryptoSuite};
use super::read::{Voice, is_voice, parse, refused};
use super::write::{self, Line, describe};
use super::{
    Capabilities, Direction, Local, Negotiated, Order, Payload, RefusedMedia, SdpError, Srtp,
    SrtpUse,
};

/// The payload type of comfort noise (RFC 3551 §6), and the transport of what is not encrypted.
const COMFORT_NOISE: u8 = 13;
const PLAIN: &str = "RTP/AVP";

/// Answers an offer: with one voice codec, and keys and comfort noise where both can.
///
/// # Errors
/// There is nothing in it that we can speak.
pub fn answer(
    offer: &str,
    capabilities: &Capabilities,
    local: &Local,
) -> Result<(String, Negotiated), SdpError> {
    let session = parse(offer)?;
    let (place, voice, crypto) = choose(&session, capabilities, local)?;
    let (payload, format) = codec(&voice, capabilities).ok_or(SdpError::NoCommonCodec)?;
    let events = voice.events_beside(payload.clock_rate).filter(|_| capabilities.telephone_event);
    // Comfort noise has a clock of 8,000 (RFC 3389 §4).
    let noise = voice.comfort_noise.filter(|_| capabilities.comfort_noise);
    let noise = noise.filter(|_| payload.clock_rate == 8_000);
    let direction = capabilities.direction.and(voice.direction.reversed());
    let rtcp_mux = voice.rtcp_mux && capabilities.rtcp_mux;
    let lines = lines(&session, place);
    let ours = crypto.as_ref().zip(local.key.clone()).map(|(theirs, key)| Crypto {
        tag: theirs.tag,
        suite: theirs.suite,
        key,
    });
    let line = Line {
        transport: &voice.transport,
        formats: vec![(payload, format)],
        events: events.into_iter().collect(),
        comfort_noise: noise,
        rtcp_mux,
        direction,
        crypto: ours.clone(),
    };
    let text = describe(capabilities, local, &lines, &line);
    let negotiated = Negotiated {
        remote: voice.remote,
        remote_rtcp: if rtcp_mux { voice.remote } else { voice.remote_rtcp },
        rtcp_mux,
        format,
        sends: payload,
        receives: vec![(payload, format)],
        sends_events: events,
        receives_events: events.into_iter().collect(),
        comfort_noise: noise,
        ptime: voice.ptime,
        max_ptime: voice.max_ptime,
        direction,
        srtp: crypto.zip(ours).map(|(theirs, ours)| srtp(ours, theirs)),
        their_version: version(&session),
        lines,
        transport: voice.transport,
    };
    Ok((text, negotiated))
}

/// Understands the answer to an offer that was made of the same `capabilities` and `local`; where it was
/// offered again, `agreed` is what was agreed before.
///
/// # Errors
/// It does not fit that, or there is nothing in it that can be used.
pub fn accept(
    answer: &str,
    capabilities: &Capabilities,
    local: &Local,
    agreed: Option<&Negotiated>,
) -> Result<Negotiated, SdpError> {
    let session = parse(answer)?;
    let first = [None];
    let offered = agreed.map_or(&first[..], |agreed| &agreed.lines[..]);
    if session.medias.len() != offered.len() {
        return Err(SdpError::NotAnAnswer);
    }
    let ours = offered.iter().zip(&session.medias).find(|(line, _)| line.is_none());
    let (_, media) = ours.ok_or(SdpError::NotAnAnswer)?;
    if media.port == 0 {
        return Err(SdpError::Refused);
    }
    is_voice(media).ok_or(SdpError::NotAnAnswer)?;
    let voice = Voice::read(&session, media)?;
    let srtp = accepted_crypto(&voice, capabilities, local, agreed)?;
    let kept = agreed.map(|agreed| agreed.receives.clone()).filter(|kept| !kept.is_empty());
    let receives = kept.unwrap_or_else(|| write::offered(capabilities));
    let common = voice
        .formats
        .iter()
        .find(|(_, format)| receives.iter().any(|(_, offered)| offered == format));
    let (sends, format) = *common.ok_or(SdpError::NoCommonCodec)?;
    let receives_events = match agreed {
        Some(agreed) => agreed.receives_events.clone(),
        None => write::offered_events(capabilities),
    };
    let events = voice.events_beside(sends.clock_rate).filter(|_| !receives_events.is_empty());
    let rtcp_mux = voice.rtcp_mux && capabilities.rtcp_mux;
    Ok(Negotiated {
        remote: voice.remote,
        remote_rtcp: if rtcp_mux { voice.remote } else { voice.remote_rtcp },
        rtcp_mux,
        format,
        sends,
        receives,
        sends_events: events,
        receives_events,
        comfort_noise: voice.comfort_noise.filter(|_| capabilities.comfort_noise),
        ptime: voice.ptime,
        max_ptime: voice.max_ptime,
        direction: capabilities.direction.and(voice.direction.reversed()),
        srtp,
        their_version: version(&session),
        lines: offered.to_vec(),
        transport: voice.transport,
    })
}

/// What may come before an offer that was made of these `capabilities` is answered: whoever offers has to hear
/// it from then on (RFC 3264 §5.1). `None`: what comes is encrypted by a key that only the answer tells.
#[must_use]
pub fn expected(capabilities: &Capabilities) -> Option<Negotiated> {
    let receives = write::offered(capabilities);
    let (sends, format) = *receives.first()?;
    (capabilities.srtp == SrtpUse::Off).then(|| Negotiated {
        remote: None,
        remote_rtcp: None,
        rtcp_mux: false,
        format,
        sends,
        receives,
        sends_events: None,
        receives_events: write::offered_events(capabilities),
        comfort_noise: capabilities.comfort_noise.then_some(COMFORT_NOISE),
        ptime: None,
        max_ptime: None,
        direction: Direction::RecvOnly,
        srtp: None,
        their_version: (String::new(), 0),
        lines: vec![None],
        transport: PLAIN.into(),
    })
}

/// The line that is spoken, its place, and how it is encrypted.
fn choose(
    session: &Session,
    capabilities: &Capabilities,
    local: &Local,
) -> Result<(usize, Voice, Option<Crypto>), SdpError> {
    let mut wrong = SdpError::NoVoice;
    let usable = session.medias.iter().enumerate().filter_map(|(place, media)| {
        let read = is_voice(media).map(|_| consider(session, media, capabilities, local))?;
        match read {
            Ok((voice, crypto)) => Some((place, voice, crypto)),
            Err(error) => {
                wrong = error;
                None
            }
        }
    });
    // What is encrypted is better, where both are offered.
    let mut usable: Vec<_> = usable.collect();
    usable.sort_by_key(|(place, _, crypto)| (crypto.is_none(), *place));
    usable.into_iter().next().ok_or(wrong)
}

fn consider(
    session: &Session,
    media: &Media,
    capabilities: &Capabilities,
    local: &Local,
) -> Result<(Voice, Option<Crypto>), SdpError> {
    let voice = Voice::read(session, media)?;
    let crypto = match (voice.is_secure, capabilities.srtp) {
        (false, SrtpUse::Required) => return Err(SdpError::EncryptionRequired),
        (false, _) => None,
        (true, SrtpUse::Off) => return Err(SdpError::EncryptionNotSpoken),
        (true, _) => {
            let crypto = voice.crypto.first().cloned().filter(|_| local.key.is_some());
            Some(crypto.ok_or(SdpError::EncryptionNotSpoken)?)
        }
    };
    codec(&voice, capabilities).ok_or(SdpError::NoCommonCodec)?;
    Ok((voice, crypto))
}

/// The codec that both speak.
fn codec(voice: &Voice, capabilities: &Capabilities) -> Option<(Payload, Format)> {
    let theirs = |format: &Format| voice.formats.iter().find(|(_, other)| other == format);
    let found = match capabilities.order {
        Order::Ours => capabilities.formats.iter().find_map(theirs),
        Order::Theirs => {
            voice.formats.iter().find(|(_, format)| capabilities.formats.contains(format))
        }
    };
    found.copied()
}

/// How an answer encrypts what was offered so.
fn accepted_crypto(
    voice: &Voice,
    capabilities: &Capabilities,
    local: &Local,
    agreed: Option<&Negotiated>,
) -> Result<Option<Srtp>, SdpError> {
    let ours = match agreed.and_then(|agreed| agreed.srtp.as_ref()) {
        Some(srtp) => Some(Crypto { tag: srtp.tag, suite: srtp.suite, key: srtp.ours.clone() }),
        None => write::offered_crypto(capabilities, local),
    };
    match (ours, voice.is_secure) {
        (None, false) => Ok(None),
        (None, true) => Err(SdpError::NotAnAnswer),
        (Some(_), false) => Err(SdpError::EncryptionRequired),
        (Some(ours), true) => {
            let fits = |crypto: &&Crypto| crypto.tag == ours.tag && crypto.suite == ours.suite;
            let theirs = voice.crypto.iter().find(fits).cloned();
            Ok(Some(srtp(ours, theirs.ok_or(SdpError::EncryptionNotSpoken)?)))
        }
    }
}

fn srtp(ours: Crypto, theirs: Crypto) -> Srtp {
    let suite: CryptoSuite = theirs.suite;
    Srtp { suite, tag: theirs.tag, ours: ours.key, theirs: theirs.key }
}

fn lines(session: &Session, spoken: usize) -> Vec<Option<RefusedMedia>> {
    let all = session.medias.iter().enumerate();
    all.map(|(place, media)| (place != spoken).then(|| refused(media))).collect()
}

fn version(session: &Session) -> (String, u64) {
    (session.origin.sess_id.clone(), session.origin.sess_version)
}
