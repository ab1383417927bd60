//! A call to a carrier or a phone.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use oneport_proto::Offer;
use oneport_wire::{CauseCode, Control, Format};

use super::Shared;
use super::caller::Caller;
use super::headers;
use super::inner::{Leg, LegEvent, Offered};
use super::media::MediaEvent;
use super::message::{HOPS_HEADER, Refused};
use super::phones::{OnCall, line};
use super::replaces::{DialogKey, Entered, Known, Stage};
use super::session::Session;
use super::session_timer::SessionTimer;
use super::settings::{CARRIER, Carrier, HOPS, LEG};
use super::stack::{Call, Dialog, DialogEvent};
use super::standing::{Metered, Place, PlaceOfPhone, Target, Way, linger};
use super::talking::Talk;

/// How often a call follows a carrier that names another number (302).
const MOST_REDIRECTS: u32 = 3;
/// How long a server may take to say anything at all, before another is tried. A server that lives says
/// 100 within 200 ms (RFC 3261 §17.2.1).
const FIRST_WORD: Duration = Duration::from_secs(6);
/// How long a server is left alone that said nothing, where there are others.
const SILENT_REST: Duration = Duration::from_secs(30);
/// The longest that a server is left alone that has no room and says for how long.
const LONGEST_REST: Duration = Duration::from_secs(60);
/// How many of those at whom a call rings that somebody forks may be named.
const MOST_FORKS: usize = 16;
/// The longest session that a carrier may ask for.
const LONGEST_SESSION: Duration = Duration::from_secs(86_400);

/// How an attempt ended.
enum Attempt {
    Answered(Box<(Dialog, Session, Option<SessionTimer>)>),
    Refused(Refused),
    /// The caller has given it up, or it could not go on; all is said.
    Over,
}

/// Takes a call that the switch places to somebody behind the gateway.
pub(crate) async fn take(shared: Arc<Shared>, offered: Offered) {
    let username = offered.offer.username.clone().unwrap_or_default();
    match username.strip_prefix(CARRIER) {
        Some(name) => take_to_carrier(shared, offered, name).await,
        None => take_to_phone(shared, offered, &username).await,
    }
}

/// Takes a call to a phone.
async fn take_to_phone(shared: Arc<Shared>, offered: Offered, name: &str) {
    let Offered { mut leg, offer } = offered;
    let most = shared.most().0;
    let Some((config, Some(binding))) = shared.phones.find(name) else {
        let text = Some(format!("{name} is not registered"));
        return leg.hang_up(CauseCode::SUBSCRIBER_ABSENT, text);
    };
    let Some(place) = PlaceOfPhone::take(&shared.carriers, most) else {
        let text = format!("{most} SIP calls are up");
        return leg.hang_up(CauseCode::CIRCUIT_CONGESTION, Some(text));
    };
    let Some(ours) = shared.stack.address_towards(binding.address) else {
        let text = format!("there is no way to {}", binding.address);
        return leg.hang_up(CauseCode::NETWORK_OUT_OF_ORDER, Some(text));
    };
    let on_call = OnCall::begin(&shared.phones, name);
    let carrier = line(&config, &binding, ours);
    let formats = common(&carrier, &offer);
    let ends = (ours, binding.address.ip());
    let Ok(session) = Session::open(&shared.plane, ends, &carrier, formats.clone()) else {
        let text = Some("no media port is left".into());
        return leg.hang_up(CauseCode::RESOURCE_UNAVAILABLE, text);
    };
    let word = offer.variables.iter().find(|(name, _)| name == LEG);
    let metered = word.map(|(_, word)| Metered::begin(&shared.carriers, word, session.meter()));
    let server = Target { transport: binding.transport, address: binding.address };
    let mut asked = call(&carrier, &offer, server, carrier.session, session.offer());
    asked.contact = Some(&binding.contact);
    let dialog = match shared.stack.call(asked) {
        Ok(dialog) => dialog,
        Err(error) => {
            tracing::warn!("{name}: a call cannot be placed: {error}");
            return leg.hang_up(CauseCode::NETWORK_OUT_OF_ORDER, Some(error));
        }
    };
    tracing::debug!("{name}: {} to {}", dialog.call_id(), binding.address);
    let word = word.map(|(_, word)| word.as_str());
    if let Some(word) = word {
        shared.stack.named(&dialog.call_id(), word);
    }
    let ringing = Ringing::begin(&shared, name, word);
    match ring(&mut leg, dialog, session, &formats, ringing).await {
        Attempt::Answered(answered) => {
            let (dialog, session, timer) = *answered;
            let keys = carrier.keys;
            let word = word.map(Into::into);
            let talk = Talk { leg, dialog, session, keys, timer, held: false, word };
            talk.run(&carrier, name, &shared).await;
        }
        Attempt::Over => {}
        Attempt::Refused(refused) => {
            let text = match refused.silent {
                true => "the phone does not answer".to_string(),
                false => format!("the phone says {}", refused.status),
            };
            leg.hang_up(refused.cause(), Some(text));
        }
    }
    drop((place, on_call));
    linger(metered).await;
}

/// The codecs of a line in which a call may be offered to it, best first.
fn common(carrier: &Carrier, offer: &Offer) -> Vec<Format> {
    carrier.codecs.iter().copied().filter(|one| offer.formats.contains(*one)).collect()
}

/// Takes a call to a carrier.
async fn take_to_carrier(shared: Arc<Shared>, offered: Offered, name: &str) {
    let Offered { mut leg, mut offer } = offered;
    let Some((carrier, standing)) = shared.carriers.find(name) else {
        return leg.hang_up(CauseCode::DESTINATION_OUT_OF_ORDER, Some("no such carrier".into()));
    };
    let most = shared.most();
    let Ok(place) = Place::take(&shared.carriers, name, Way::ToCarrier, most) else {
        let text = format!("{} SIP calls are up", most.0);
        return leg.hang_up(CauseCode::CIRCUIT_CONGESTION, Some(text));
    };
    let formats = common(&carrier, &offer);
    let mut last = Refused::silent(503);
    let peer = format!("{CARRIER}{name}");
    // By that the switch asks what was counted.
    let variables = offer.variables.clone();
    let word = variables.iter().find(|(name, _)| name == LEG).map(|(_, word)| word.as_str());
    let mut left: VecDeque<Target> = standing.awake().into();
    let mut redirected = 0;
    let mut session_seconds = carrier.session;
    while let Some(server) = left.pop_front() {
        let Target { transport, address } = server;
        let Some(ours) = shared.stack.address_towards(address) else { continue };
        if let Err(why) = shared.stack.reach(&carrier.host, address, transport).await {
            tracing::warn!("carrier {name}: {why}");
            continue;
        }
        let ends = (ours, address.ip());
        let Ok(session) = Session::open(&shared.plane, ends, &carrier, formats.clone()) else {
            let text = Some("no media port is left".into());
            return leg.hang_up(CauseCode::RESOURCE_UNAVAILABLE, text);
        };
        let metered = word.map(|word| Metered::begin(&shared.carriers, word, session.meter()));
        let call = call(&carrier, &offer, server, session_seconds, session.offer());
        let dialog = match shared.stack.call(call) {
            Ok(dialog) => dialog,
            Err(error) => {
                tracing::warn!("carrier {name}: a call cannot be placed: {error}");
                return leg.hang_up(CauseCode::NETWORK_OUT_OF_ORDER, Some(error));
            }
        };
        tracing::debug!(
            "carrier {name}: {} to {address}: {}",
            offer.called_number,
            dialog.call_id()
        );
        if let Some(word) = word {
            shared.stack.named(&dialog.call_id(), word);
        }
        let ringing = Ringing::begin(&shared, &peer, word);
        match ring(&mut leg, dialog, session, &formats, ringing).await {
            Attempt::Answered(answered) => {
                let (dialog, session, timer) = *answered;
                let keys = carrier.keys;
                let word = word.map(Into::into);
                let talk = Talk { leg, dialog, session, keys, timer, held: false, word };
                talk.run(&carrier, &peer, &shared).await;
                drop(place);
                return linger(metered).await;
            }
            Attempt::Over => return,
            Attempt::Refused(refused) => {
                if let Some(after) = refused.retry_after.filter(|_| refused.status == 503) {
                    let rest = Duration::from_secs(after).min(LONGEST_REST);
                    shared.carriers.rest(name, server, rest);
                }
                if refused.silent && !left.is_empty() {
                    shared.carriers.rest(name, server, SILENT_REST);
                }
                let least = refused.least_session.filter(|_| refused.status == 422);
                let least =
                    least.map(Duration::from_secs).filter(|least| *least <= LONGEST_SESSION);
                if let (Some(least), Some(now)) = (least, session_seconds)
                    && least > now
                {
                    // RFC 4028 §7.3: once more, as it wants it.
                    session_seconds = Some(least);
                    left.push_front(server);
                    continue;
                }
                let instead = refused.instead.clone().filter(|_| redirected < MOST_REDIRECTS);
                if let Some(party) = instead.filter(|party| !party.user.is_empty()) {
                    // It names another number, not another carrier: we choose whom we pay.
                    redirected += 1;
                    offer.called_number = carrier.numbers.inbound(&party.user);
                    left = standing.addresses.clone().into();
                    continue;
                }
                // RFC 3263 §4.3: another of its servers may take it.
                let next = refused.silent || refused.status == 503;
                last = refused;
                if !next {
                    break;
                }
            }
        }
    }
    let text = match last.silent {
        true => "the carrier does not answer".to_string(),
        false => format!("the carrier says {}", last.status),
    };
    leg.hang_up(last.cause(), Some(text));
}

/// Early dialogs of a call: somebody else may take their place while it rings.
struct Ringing<'a> {
    shared: &'a Arc<Shared>,
    /// Who is called.
    peer: &'a str,
    /// What the switch knows of it; nothing is to be named that it does not know.
    known: Option<Known>,
    entered: Vec<Entered>,
}

impl<'a> Ringing<'a> {
    /// `peer`: who is called; `word`: by which the switch knows the leg.
    fn begin(shared: &'a Arc<Shared>, peer: &'a str, word: Option<&str>) -> Self {
        let known =
            |word: &str| Known { word: word.into(), peer: peer.into(), stage: Stage::Rings };
        Self { shared, peer, known: word.map(known), entered: Vec::new() }
    }

    /// There is this one, maybe since before.
    fn heard_of(&mut self, key: &DialogKey) {
        let new = self.entered.iter().all(|entered| entered.key() != key);
        if let Some(known) = self.known.clone().filter(|_| new && self.entered.len() < MOST_FORKS) {
            self.entered.push(self.shared.talks.enter(key.clone(), known));
        }
    }
}

/// Waits until the carrier has decided.
async fn ring(
    leg: &mut Leg,
    mut dialog: Dialog,
    mut session: Session,
    formats: &[Format],
    mut ringing: Ringing<'_>,
) -> Attempt {
    let mut accepted: Option<Format> = None;
    let mut silent = true;
    let first_word = tokio::time::sleep(FIRST_WORD);
    tokio::pin!(first_word);
    let mut speaks = true;
    loop {
        let event = tokio::select! {
            () = &mut first_word, if silent => {
                dialog.hang_up(CauseCode::DESTINATION_OUT_OF_ORDER);
                return Attempt::Refused(Refused::silent(408));
            }
            event = session.next_event(), if speaks => {
                speaks = event.is_some();
                if let Some(MediaEvent::Insecure(why)) = event {
                    tracing::warn!("SIP: {}: {}: {why}", dialog.call_id(), ringing.peer);
                    let cause = CauseCode::BEARER_NOT_AVAILABLE;
                    dialog.hang_up(cause);
                    leg.hang_up(cause, Some(why.to_string()));
                    return Attempt::Over;
                }
                // Its voice has overtaken what describes it, or is all there is.
                if let (Some(MediaEvent::Early { format }), None) = (event, accepted) {
                    leg.accept(format);
                    session.join(leg, format);
                    accepted = Some(format);
                    leg.control(Control::Progress);
                }
                continue;
            }
            event = leg.next_event() => {
                if let Some(LegEvent::Ended(_)) | None = event {
                    let cause = match event {
                        Some(LegEvent::Ended(end)) => end.cause,
                        _ => CauseCode::NORMAL_CLEARING,
                    };
                    dialog.hang_up(cause);
                    return Attempt::Over;
                }
                continue;
            }
            event = dialog.next_event() => event,
        };
        silent = false;
        if let Some(DialogEvent::Progress { dialog: Some(key), .. }) = &event {
            ringing.heard_of(key);
        }
        let may_transcode = ringing.shared.plane.may_transcode();
        let mut heard = |session: &mut Session, sdp: Option<&str>| -> Result<(), String> {
            if let Some(sdp) = sdp {
                session.accept(sdp).map_err(|error| error.to_string())?;
            }
            match (session.format(), accepted) {
                // It is transcoded where that turns out to be another.
                (Some(agreed), Some(accepted)) if agreed != accepted && !may_transcode => {
                    Err(format!("it speaks {}, and no more calls may be transcoded", agreed.name()))
                }
                (_, Some(_)) => Ok(()),
                (agreed, None) => {
                    // What is offered first is what is usually taken.
                    let first = agreed.or_else(|| formats.first().copied());
                    let format = first.ok_or("no common codec")?;
                    leg.accept(format);
                    session.join(leg, format);
                    accepted = Some(format);
                    Ok(())
                }
            }
        };
        let failed = match event {
            Some(DialogEvent::Progress { status: 180, sdp, .. }) => {
                let heard = heard(&mut session, sdp.as_deref());
                leg.ringing();
                heard
            }
            Some(DialogEvent::Progress { sdp: Some(sdp), .. }) => {
                let heard = heard(&mut session, Some(&sdp));
                leg.control(Control::Progress);
                heard
            }
            Some(DialogEvent::Answered(sdp, timer)) => match heard(&mut session, sdp.as_deref()) {
                Ok(()) if session.format().is_some() => {
                    leg.answer();
                    return Attempt::Answered(Box::new((dialog, session, timer)));
                }
                Ok(()) => Err("it answers without a description".into()),
                failed => failed,
            },
            Some(DialogEvent::Refused(refused)) => return Attempt::Refused(refused),
            Some(DialogEvent::Ended(cause)) => {
                leg.hang_up(cause, None);
                return Attempt::Over;
            }
            Some(_) => Ok(()),
            None => {
                return Attempt::Refused(Refused::silent(500));
            }
        };
        if let Err(why) = failed {
            tracing::warn!("SIP: {}: the call cannot go on: {why}", dialog.call_id());
            let cause = CauseCode::BEARER_NOT_AVAILABLE;
            dialog.hang_up(cause);
            leg.hang_up(cause, Some(why));
            return Attempt::Over;
        }
    }
}

/// The call as the carrier is told of it.
fn call<'a>(
    carrier: &'a Carrier,
    offer: &'a Offer,
    server: Target,
    session: Option<Duration>,
    sdp: String,
) -> Call<'a> {
    let Caller { from, name, domain, headers: mut told } = Caller::of(carrier, offer);
    let hops = offer.variables.iter().find(|(name, _)| name == HOPS);
    told.extend(hops.map(|(_, hops)| (HOPS_HEADER, hops.clone())));
    if let Some(session) = session {
        told.push(("Supported", "timer".into()));
        told.push(("Session-Expires", session.as_secs().to_string()));
        if Some(session) != carrier.session {
            // It has said that it takes no shorter one.
            told.push(("Min-SE", session.as_secs().to_string()));
        }
    }
    let own = headers::to_carrier(&carrier.headers, &offer.variables);
    Call {
        to: server.address,
        transport: server.transport,
        host: &carrier.host,
        port: carrier.port,
        number: carrier.numbers.outbound(&offer.called_number),
        contact: None,
        from,
        from_name: name,
        domain,
        our_user: carrier.own_name(),
        login: carrier.login.as_ref(),
        call_id: format!("{}@oneport", uuid::Uuid::new_v4().simple()),
        headers: told.into_iter().chain(own).collect(),
        sdp,
    }
}
