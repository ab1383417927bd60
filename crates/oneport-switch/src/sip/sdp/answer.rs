//! Offers answered, and answers to ours understood.

use oneport_media::ilbc::Mode;
use oneport_wire::Format;
use sdp_types::{Media, Session};

use super::crypto::Crypto;
use super::encoding::COMFORT_NOISE;
use super::handshake::Setup;
use super::read::{Secrecy, Voice, is_voice, parse, refused};
use super::write::{self, Line, PLAIN, Secret, describe};
use super::{
    Capabilities, DescribedKeys, Direction, Handshake, Local, Negotiated, Order, Payload,
    RefusedMedia, SdpError, Srtp, SrtpUse,
};

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
    let (place, voice, secured) = choose(&session, capabilities, local)?;
    let (payload, format) = codec(&voice, capabilities).ok_or(SdpError::NoCommonCodec)?;
    let events = voice.events_beside(payload.clock_rate).filter(|_| capabilities.telephone_event);
    // Comfort noise has a clock of 8,000 (RFC 3389 §4).
    let noise = voice.comfort_noise.filter(|_| capabilities.comfort_noise);
    let noise = noise.filter(|_| payload.clock_rate == 8_000);
    let direction = capabilities.direction.and(voice.direction.reversed());
    let (secrecy, srtp) = secured.unzip();
    let shakes = matches!(srtp, Some(Srtp::Handshake(_)));
    let rtcp_mux = voice.rtcp_mux && (capabilities.rtcp_mux || shakes);
    let ilbc = agreed_ilbc(&voice, (payload, format), capabilities.ilbc);
    let lines = lines(&session, place);
    let line = Line {
        transport: &voice.transport,
        formats: vec![(payload, format)],
        ilbc,
        events: events.into_iter().collect(),
        comfort_noise: noise,
        rtcp_mux,
        direction,
        secrecy,
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
        ilbc,
        direction,
        srtp,
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
    let srtp = accepted_secrecy(&voice, capabilities, local, agreed)?;
    let kept = agreed.map(|agreed| agreed.receives.clone()).filter(|kept| !kept.is_empty());
    let receives = kept.unwrap_or_else(|| write::offered(capabilities));
    let common = voice
        .formats
        .iter()
        .find(|(_, format)| receives.iter().any(|(_, offered)| offered == format));
    let (sends, format) = *common.ok_or(SdpError::NoCommonCodec)?;
    let said = agreed.map_or(capabilities.ilbc, |agreed| agreed.ilbc);
    let ilbc = agreed_ilbc(&voice, (sends, format), said);
    let receives_events = match agreed {
        Some(agreed) => agreed.receives_events.clone(),
        None => write::offered_events(capabilities),
    };
    let events = voice.events_beside(sends.clock_rate).filter(|_| !receives_events.is_empty());
    let shakes = matches!(srtp, Some(Srtp::Handshake(_)));
    let rtcp_mux = voice.rtcp_mux && (capabilities.rtcp_mux || shakes);
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
        ilbc,
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
        ilbc: capabilities.ilbc,
        direction: Direction::RecvOnly,
        srtp: None,
        their_version: (String::new(), 0),
        lines: vec![None],
        transport: PLAIN.into(),
    })
}

/// How we say that a line is encrypted, and what that means.
type Secured = (Secret, Srtp);

/// The line that is spoken, its place, and how it is encrypted.
fn choose(
    session: &Session,
    capabilities: &Capabilities,
    local: &Local,
) -> Result<(usize, Voice, Option<Secured>), SdpError> {
    let mut wrong = SdpError::NoVoice;
    let usable = session.medias.iter().enumerate().filter_map(|(place, media)| {
        let read = is_voice(media).map(|_| consider(session, media, capabilities, local))?;
        match read {
            Ok((voice, secured)) => Some((place, voice, secured)),
            Err(error) => {
                wrong = error;
                None
            }
        }
    });
    // What is encrypted is better, where both are offered, and best by keys that no description has.
    let mut usable: Vec<_> = usable.collect();
    usable.sort_by_key(|(place, voice, _)| {
        let rank = match voice.secrecy {
            Secrecy::Handshake => 0,
            Secrecy::Described => 1,
            Secrecy::Plain => 2,
        };
        (rank, *place)
    });
    usable.into_iter().next().ok_or(wrong)
}

fn consider(
    session: &Session,
    media: &Media,
    capabilities: &Capabilities,
    local: &Local,
) -> Result<(Voice, Option<Secured>), SdpError> {
    let voice = Voice::read(session, media)?;
    let secured = match (voice.secrecy, capabilities.srtp) {
        (Secrecy::Plain, SrtpUse::Required | SrtpUse::Handshake) => {
            return Err(SdpError::EncryptionRequired);
        }
        (Secrecy::Plain, SrtpUse::Off | SrtpUse::Accepted) => None,
        (_, SrtpUse::Off) | (Secrecy::Described, SrtpUse::Handshake) => {
            return Err(SdpError::EncryptionNotSpoken);
        }
        (Secrecy::Described, SrtpUse::Accepted | SrtpUse::Required) => {
            let theirs = voice.crypto.first().cloned().ok_or(SdpError::EncryptionNotSpoken)?;
            let key = local.key.clone().ok_or(SdpError::EncryptionNotSpoken)?;
            let ours = Crypto { tag: theirs.tag, suite: theirs.suite, key };
            Some((Secret::Described(ours.clone()), described(ours, theirs)))
        }
        (Secrecy::Handshake, _) => {
            let begins = match voice.told.setup.unwrap_or(Setup::Active) {
                Setup::Active => false,
                Setup::Passive => true,
                // Whoever is behind a NAT begins, or nothing gets in to them: and that is not us.
                Setup::ActPass => local.begins.unwrap_or(false),
                Setup::HoldConn => return Err(SdpError::EncryptionNotSpoken),
            };
            let handshake = handshake(&voice, begins)?;
            let fingerprint = local.fingerprint.ok_or(SdpError::EncryptionNotSpoken)?;
            let ours = Secret::Handshake(fingerprint, Setup::of(begins));
            Some((ours, Srtp::Handshake(handshake)))
        }
    };
    codec(&voice, capabilities).ok_or(SdpError::NoCommonCodec)?;
    Ok((voice, secured))
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

/// The mode of iLBC that is agreed upon where we said `ours`; where another codec is, ours remains what we say of it.
fn agreed_ilbc(voice: &Voice, (payload, format): (Payload, Format), ours: Mode) -> Mode {
    if format == Format::ILBC { voice.ilbc_beside(payload, ours) } else { ours }
}

/// How an answer encrypts what was offered so.
fn accepted_secrecy(
    voice: &Voice,
    capabilities: &Capabilities,
    local: &Local,
    agreed: Option<&Negotiated>,
) -> Result<Option<Srtp>, SdpError> {
    let ours = match agreed {
        Some(agreed) if agreed.srtp.is_some() => write::kept_secrecy(agreed, local),
        _ => write::offered_secrecy(capabilities, local),
    };
    match (ours, voice.secrecy) {
        (None, Secrecy::Plain) => Ok(None),
        (None, _) => Err(SdpError::NotAnAnswer),
        (Some(_), Secrecy::Plain) => Err(SdpError::EncryptionRequired),
        (Some(Secret::Described(ours)), Secrecy::Described) => {
            let fits = |crypto: &&Crypto| crypto.tag == ours.tag && crypto.suite == ours.suite;
            let theirs = voice.crypto.iter().find(fits).cloned();
            Ok(Some(described(ours, theirs.ok_or(SdpError::EncryptionNotSpoken)?)))
        }
        (Some(Secret::Handshake(_, offered)), Secrecy::Handshake) => {
            // An answer that says nothing leaves the beginning to us (RFC 4145 §4), or what it was.
            let begins = match (voice.told.setup, offered) {
                (Some(Setup::Active), Setup::ActPass | Setup::Passive) => false,
                (Some(Setup::Passive), Setup::ActPass | Setup::Active) => true,
                (None, Setup::Passive) => false,
                (None, _) => true,
                (Some(_), _) => return Err(SdpError::NotAnAnswer),
            };
            Ok(Some(Srtp::Handshake(handshake(voice, begins)?)))
        }
        (Some(_), _) => Err(SdpError::NotAnAnswer),
    }
}

fn described(ours: Crypto, theirs: Crypto) -> Srtp {
    let (suite, tag) = (theirs.suite, theirs.tag);
    Srtp::Described(DescribedKeys { suite, tag, ours: ours.key, theirs: theirs.key })
}

fn handshake(voice: &Voice, begins: bool) -> Result<Handshake, SdpError> {
    let told = &voice.told;
    // A certificate of which nothing is known proves nothing.
    let known = !told.fingerprints.is_empty();
    let told = known.then_some(told).ok_or(SdpError::EncryptionNotSpoken)?;
    Ok(Handshake { begins, theirs: told.fingerprints.clone(), id: told.id.clone() })
}

fn lines(session: &Session, spoken: usize) -> Vec<Option<RefusedMedia>> {
    let all = session.medias.iter().enumerate();
    all.map(|(place, media)| (place != spoken).then(|| refused(media))).collect()
}

fn version(session: &Session) -> (String, u64) {
    (session.origin.sess_id.clone(), session.origin.sess_version)
}
