//! A call from a carrier or a phone.

use std::sync::Arc;

use oneport_proto::{NewCall, Progress};
use oneport_wire::{CauseCode, Format};

use super::Shared;
use super::headers;
use super::inner::LegEvent;
use super::media::MediaEvent;
use super::message::Invitation;
use super::phones::digest::Asked;
use super::phones::{Binding, Claim, OnCall, Sender, line};
use super::replaces::{Replaces, Stage};
use super::sdp::SdpError;
use super::session::Session;
use super::session_timer::{LEAST, SessionTimer, Side};
use super::settings::{CARRIER, Carrier, EARLY_ONLY, HOPS, LEG, REPLACES, SOURCE, Transport};
use super::stack::{DialogEvent, Incoming, Server};
use super::standing::{Metered, Place, PlaceOfPhone, TooMany, Way, linger};
use super::talking::Talk;
use crate::refusal::{self, Reason};

/// The variable in which a call from a carrier has its Call-ID.
pub(crate) const CALL_ID: &str = "SIPCALLID";

/// The presentation of a number that is not to be shown (RFC 5456 §8.6.29).
const RESTRICTED: u8 = 0x20;
/// When a carrier may try again that has begun too many calls, in seconds.
const AGAIN: u32 = 1;

/// Takes a call that somebody begins.
pub(crate) async fn take(shared: Arc<Shared>, incoming: Incoming) {
    let from = incoming.from;
    let known = shared.carriers.at(from.ip());
    // A phone may be where a carrier is.
    if known.is_none() || shared.phones.is_from(incoming.transport, from) {
        return take_from_phone(shared, incoming).await;
    }
    let found = known.and_then(|name| Some((shared.carriers.find(&name)?, name)));
    let Some(((carrier, standing), name)) = found else {
        // It was somebody's a moment ago.
        return shared.stack.refuse(incoming, 403, None);
    };
    let place = match Place::take(&shared.carriers, &name, Way::FromCarrier, shared.most()) {
        Ok(place) => place,
        Err(too_many) => {
            let why = match too_many {
                TooMany::Calls => "too many SIP calls are up",
                TooMany::InASecond => "it begins too many calls in a second",
            };
            tracing::debug!("carrier {name} at {from}: refused: {why}");
            return shared.stack.refuse(incoming, 503, Some(AGAIN));
        }
    };
    let is_ours = incoming.transport == Transport::Tls
        && standing.addresses.iter().any(|one| one.address == from);
    let server = is_ours.then(|| Server { host: carrier.host.clone(), address: from });
    let caller = Caller { name: name.clone(), peer: format!("{CARRIER}{name}"), carrier, server };
    lead_on(&shared, incoming, caller).await;
    drop(place);
}

/// Takes a call that a phone begins, when it has proved which phone it is.
async fn take_from_phone(shared: Arc<Shared>, incoming: Incoming) {
    let from = incoming.from;
    let claim = Claim {
        asked: Asked { method: "INVITE", user: &incoming.user },
        name: &incoming.invitation.from.user,
        from,
        proofs: &incoming.proofs,
    };
    let name = match shared.phones.sender(&shared.realm(), &claim) {
        Sender::Phone(name) => name,
        Sender::Unproved(challenges) => return shared.stack.challenge(incoming, challenges),
        Sender::Nobody => return shared.stack.refuse(incoming, 403, None),
    };
    let most = shared.most().0;
    let Some((config, binding)) = shared.phones.find(&name) else {
        return shared.stack.refuse(incoming, 403, None);
    };
    let Some(place) = PlaceOfPhone::take(&shared.carriers, most) else {
        tracing::debug!("{name} at {from}: refused: {most} SIP calls are up");
        return shared.stack.refuse(incoming, 503, Some(AGAIN));
    };
    let Some(ours) = shared.stack.address_towards(from) else {
        return shared.stack.refuse(incoming, 500, None);
    };
    let contact = binding.map_or_else(String::new, |binding| binding.contact);
    let here = Binding { transport: incoming.transport, address: from, contact };
    let on_call = OnCall::begin(&shared.phones, &name);
    let carrier = line(&config, &here, ours);
    // What it says of others it may say of anybody: it is itself, whoever it names.
    let mut incoming = incoming;
    incoming.invitation.asserted = None;
    incoming.invitation.hops = None;
    let caller = Caller { name: name.clone(), peer: name, carrier, server: None };
    lead_on(&shared, incoming, caller).await;
    drop((place, on_call));
}

/// Who calls, when that is known.
struct Caller {
    /// Its name in the log.
    name: String,
    /// Its name as a peer.
    peer: String,
    /// How we speak with it.
    carrier: Carrier,
    /// Where we have opened the connection by which it calls.
    server: Option<Server>,
}

/// Leads a call on to the switch.
async fn lead_on(shared: &Arc<Shared>, incoming: Incoming, caller: Caller) {
    let Caller { name, peer, carrier, server } = caller;
    let from = incoming.from;
    let invitation = incoming.invitation.clone();
    if let Some((status, header)) = invitation.misfit.clone() {
        return shared.stack.refuse_with(incoming, status, Some(header));
    }
    let session = invitation.session.as_deref().filter(|_| carrier.session.is_some());
    if session.is_some_and(|header| SessionTimer::is_too_short(header, &invitation.supported)) {
        let least = LEAST.as_secs().to_string();
        return shared.stack.refuse_with(incoming, 422, Some(("Min-SE", least)));
    }
    let Some(ours) = shared.stack.address_towards(from) else {
        return shared.stack.refuse(incoming, 500, None);
    };
    let ends = (ours, from.ip());
    let Ok(session) = Session::open(&shared.plane, ends, &carrier, carrier.codecs.clone()) else {
        tracing::warn!("{peer}: refused: no media port is left");
        return shared.stack.refuse(incoming, 503, Some(AGAIN));
    };
    let formats = match &invitation.sdp {
        Some(sdp) => session.common(sdp, &carrier.codecs),
        None => Ok(carrier.codecs.clone()),
    };
    let formats = match formats {
        Ok(formats) => formats,
        Err(error) => {
            let table = if peer == name { "peers" } else { "carriers" };
            let refusal = unspoken(error, &format!("{table}.{name}"), &carrier);
            tracing::info!("{peer}: refused: {refusal}");
            shared.board.turned_away(&peer, from, &invitation.request, refusal);
            return shared.stack.refuse(incoming, 488, None);
        }
    };
    let replaced = match replaced(&incoming, shared) {
        Ok(replaced) => replaced,
        Err(status) => return shared.stack.refuse(incoming, status, None),
    };
    let own = headers::from_carrier(&carrier.headers, |name| incoming.header(name));
    let transport = carrier.transport.unwrap_or(incoming.transport);
    let taken = shared.stack.take(incoming, carrier.own_name(), transport, server);
    let dialog = match taken {
        Ok(dialog) => dialog,
        Err(error) => return tracing::debug!("{peer}: no call: {error}"),
    };
    let mut new = new_call(&carrier, &invitation, formats, dialog.call_id());
    new.variables.extend(own);
    new.variables.push((SOURCE.into(), from.to_string()));
    new.variables.extend(replaced.map(|replaced| (REPLACES.into(), replaced)));
    let word = uuid::Uuid::new_v4().simple().to_string();
    new.variables.push((LEG.into(), word.clone()));
    shared.stack.named(&dialog.call_id(), &word);
    let metered = Metered::begin(&shared.carriers, &word, session.meter());
    let number = new.called_number.clone();
    let leg = match shared.inside.call(&peer, new).await {
        Ok(leg) => leg,
        Err(error) => {
            tracing::warn!("{peer}: a call cannot be led on: {error}");
            let mut dialog = dialog;
            return dialog.hang_up(CauseCode::SWITCH_CONGESTION);
        }
    };
    tracing::debug!("{peer} at {from} calls {number}: {}", dialog.call_id());
    let keys = carrier.keys;
    let timer = invitation.session.as_deref().filter(|_| carrier.session.is_some());
    let timer =
        timer.and_then(|header| SessionTimer::read(header, Side::Called, &invitation.supported));
    let talk = Talk { leg, dialog, session, keys, timer, held: false, word: Some(word) };
    let entered = talk.enter(&peer, shared, Stage::Calls);
    if let Some(talk) = lead(talk, invitation.sdp, &peer).await {
        drop(entered);
        talk.run(&carrier, &peer, shared).await;
    }
    tokio::spawn(linger(Some(metered)));
}

/// Why a call is refused whose description cannot be answered; `table` is its sender's in the configuration.
fn unspoken(error: SdpError, table: &str, carrier: &Carrier) -> Reason {
    let reason = |kind, why: String| Reason::new(refusal::Stage::Opening, kind, why);
    let encrypts = |kind, why: &str, fix: &str| {
        let value = carrier.srtp.word();
        reason(kind, format!("{why}: {table}.srtp is \"{value}\""))
            .decided_by(format!("{table}.srtp"), value)
            .fix(fix)
    };
    match error {
        SdpError::NoCommonCodec => {
            let codecs: Vec<&str> = carrier.codecs.iter().map(|one| one.name()).collect();
            reason("no_common_codec", format!("it offers no codec that {table}.codecs has"))
                .decided_by(format!("{table}.codecs"), codecs.join(", "))
                .fix("have a codec in common")
        }
        SdpError::EncryptionRequired => encrypts(
            "encryption_required",
            "it offers no voice that is encrypted in the way that is required (SRTP)",
            "let it encrypt its voice, or set srtp = \"allowed\" here",
        ),
        SdpError::EncryptionNotSpoken => encrypts(
            "encryption_not_spoken",
            "it offers voice only as it is not encrypted here (SRTP)",
            "set srtp = \"allowed\" here, or let it send voice in the clear",
        ),
        error => reason("unusable_description", error.to_string()),
    }
}

/// Whose place a call is to take (RFC 3891), if it is to take one, as the switch is told of it.
///
/// # Errors
/// There is no such call, or not one to be taken: the status that says so.
fn replaced(incoming: &Incoming, shared: &Shared) -> Result<Option<String>, u16> {
    let headers = incoming.headers("Replaces");
    let replaces = match &*headers {
        [] => return Ok(None),
        [one] => Replaces::read(one).ok_or(400_u16)?,
        _ => return Err(400),
    };
    let known = shared.talks.find(&replaces.dialog).ok_or(481_u16)?;
    known.may_be_replaced(&replaces)?;
    // It may be answered at this moment.
    Ok(Some(if replaces.early_only { known.word + EARLY_ONLY } else { known.word }))
}

/// Waits until the switch has decided; `None`: the call is over.
async fn lead(mut talk: Talk, offer: Option<String>, peer: &str) -> Option<Talk> {
    let mut description: Option<String> = None;
    let mut speaks = true;
    loop {
        tokio::select! {
            event = talk.leg.next_event() => match event {
                Some(LegEvent::Accepted(format)) => {
                    talk.session.settle_on(format);
                    let described = match &offer {
                        Some(offer) => talk.session.answer(offer).map(|(text, _)| text),
                        None => Ok(talk.session.offer()),
                    };
                    match described {
                        Ok(text) => description = Some(text),
                        Err(error) => {
                            let cause = CauseCode::BEARER_NOT_AVAILABLE;
                            talk.leg.hang_up(cause, Some(error.to_string()));
                            talk.dialog.hang_up(cause);
                            return None;
                        }
                    }
                    talk.session.join(&talk.leg, format);
                }
                Some(LegEvent::Progress(Progress::Ringing)) => talk.dialog.ring(None),
                Some(LegEvent::Progress(Progress::EarlyMedia)) => {
                    talk.session.told();
                    talk.dialog.ring(description.clone());
                }
                Some(LegEvent::Answered) => match description.take() {
                    Some(text) => {
                        talk.session.told();
                        talk.dialog.answer(text, talk.timer);
                        return Some(talk);
                    }
                    None => {
                        talk.dialog.hang_up(CauseCode::INTERWORKING);
                        return None;
                    }
                },
                Some(LegEvent::Ended(end)) => {
                    // Words of the switch about itself; those about who was called are for its log.
                    let text = end.text.as_deref().filter(|_| end.cause == CauseCode::SWITCH_CONGESTION);
                    talk.dialog.hang_up_saying(end.cause, text);
                    return None;
                }
                None => {
                    talk.dialog.hang_up(CauseCode::NORMAL_CLEARING);
                    return None;
                }
                Some(_) => {}
            },
            event = talk.dialog.next_event() => match event {
                Some(DialogEvent::Ended(cause)) => {
                    talk.leg.hang_up(cause, None);
                    return None;
                }
                None => return None,
                Some(_) => {}
            },
            event = talk.session.next_event(), if speaks => match event {
                Some(MediaEvent::Insecure(why)) => {
                    talk.insecure(why, peer);
                    return None;
                }
                Some(_) => {}
                None => speaks = false,
            },
        }
    }
}

/// The call as the switch sees it.
fn new_call(
    carrier: &Carrier,
    invitation: &Invitation,
    formats: Vec<Format>,
    call_id: String,
) -> NewCall {
    // Where we register, the request goes to the name that we have there, and the number called
    // stands in To.
    let own = carrier.login.as_ref().map_or("", |login| login.username.as_str());
    let called = match invitation.request.as_str() {
        request if request.is_empty() || request == own => invitation.to.user.as_str(),
        request => request,
    };
    let caller = invitation.caller();
    let number = carrier.numbers.inbound(&caller.user);
    let mut new = NewCall::to(carrier.numbers.inbound(called));
    new.calling_number = Some(number).filter(|number| !number.is_empty());
    new.calling_name = caller.name.clone();
    new.calling_presentation = if invitation.private { RESTRICTED } else { 0 };
    new.rdnis = invitation.diverted_by.as_ref().map(|party| carrier.numbers.inbound(&party.user));
    new.dnid = Some(called.into());
    new.variables = vec![(CALL_ID.into(), call_id)];
    new.variables.extend(invitation.hops.map(|hops| (HOPS.into(), hops.to_string())));
    new.formats = formats;
    new
}
