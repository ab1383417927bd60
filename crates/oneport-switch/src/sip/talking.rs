//! An answered call: what happens on either side of it is passed on to the other, until one ends it.

use std::time::{Duration, Instant};

use oneport_proto::DtmfPhase;
use oneport_wire::{CauseCode, Control};
use tokio::task::JoinHandle;
use tokio::time;

use super::Shared;
use super::dtls::Insecure;
use super::inner::{Leg, LegEvent};
use super::media::MediaEvent;
use super::message::Party;
use super::replaces::{Entered, Known, Replaces, Stage};
use super::session::Session;
use super::session_timer::{SessionTimer, Side};
use super::settings::{Carrier, Keys};
use super::stack::{Dialog, DialogEvent, Reply};

/// How long a key is taken to be held down that is told without saying so.
const KEY_DOWN: Duration = Duration::from_millis(100);
/// The longest that one is believed to be.
const LONGEST_KEY: Duration = Duration::from_secs(5);

/// A call with both its sides.
pub(crate) struct Talk {
    pub(crate) leg: Leg,
    pub(crate) dialog: Dialog,
    pub(crate) session: Session,
    pub(crate) keys: Keys,
    /// Who renews the session, and when.
    pub(crate) timer: Option<SessionTimer>,
    /// Whether the other side holds us.
    pub(crate) held: bool,
    /// The word by which the switch knows the leg.
    pub(crate) word: Option<String>,
}

impl Talk {
    /// Lasts until one side ends the call. `peer`: with whom it is, as the switch knows it.
    pub(crate) async fn run(mut self, carrier: &Carrier, peer: &str, shared: &Shared) {
        self.session.watch(self.held);
        let _entered = self.enter(peer, shared, Stage::Answered);
        let mut pressed: Option<Instant> = None;
        // One of ours that the other side has not answered yet.
        let mut change: Option<JoinHandle<Option<String>>> = None;
        // Whether the other side is to be held, where that is not described yet.
        let mut holds: Option<bool> = None;
        let mut renewed = time::Instant::now();
        // Keys told by INFO that are still down.
        let mut release: Option<(u8, time::Instant)> = None;
        let mut speaks = true;
        loop {
            // One change at a time (RFC 3261 §14.1); who is held and taken back meanwhile is not told.
            if change.is_none()
                && let Some(holds) = holds.take().filter(|holds| *holds != self.session.holds())
            {
                let sdp = self.session.describe(holds);
                self.session.watch(self.held);
                change = Some(self.dialog.change(sdp, self.timer));
            }
            let released = async {
                match release {
                    Some((digit, at)) => {
                        time::sleep_until(at).await;
                        digit
                    }
                    None => std::future::pending().await,
                }
            };
            let due = self.timer.map(|timer| renewed + timer.due());
            let renewal = async {
                match due {
                    Some(due) => time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let changed = async {
                match &mut change {
                    Some(change) => change.await.ok().flatten(),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = self.leg.next_event() => match event {
                    Some(LegEvent::Ended(end)) => return self.dialog.hang_up(end.cause),
                    None => return self.dialog.hang_up(CauseCode::NORMAL_CLEARING),
                    Some(LegEvent::Key { digit, phase }) => {
                        self.key_to_carrier(digit, phase, &mut pressed);
                    }
                    Some(LegEvent::Held(wanted)) => holds = Some(wanted),
                    Some(_) => {}
                },
                event = self.dialog.next_event() => match event {
                    Some(DialogEvent::Changed { sdp, asks, reply }) => {
                        renewed = time::Instant::now();
                        self.changed(sdp, asks, reply).await;
                    }
                    Some(DialogEvent::Acknowledged(Some(sdp))) => {
                        if let Err(error) = self.session.accept(&sdp) {
                            tracing::warn!(
                                "SIP: {}: the description in its ACK is of no use: {error}",
                                self.dialog.call_id()
                            );
                            let cause = CauseCode::BEARER_NOT_AVAILABLE;
                            self.leg.hang_up(cause, Some(error.to_string()));
                            return self.dialog.hang_up(cause);
                        }
                    }
                    Some(DialogEvent::Told(kind, body, reply)) => {
                        let Some((digit, held)) = key_in(&kind, &body) else {
                            reply.answer(415, None, Vec::new()).await;
                            continue;
                        };
                        reply.answer(200, None, Vec::new()).await;
                        if let Some((before, _)) = release.take() {
                            self.leg.key(before, DtmfPhase::End);
                        }
                        self.leg.key(digit, DtmfPhase::Begin);
                        release = Some((digit, time::Instant::now() + held));
                    }
                    Some(DialogEvent::Referred(to, reply)) => {
                        self.referred(&to, reply, peer, shared).await;
                    }
                    Some(DialogEvent::Ended(cause)) => return self.leg.hang_up(cause, None),
                    None => return self.leg.hang_up(CauseCode::NORMAL_CLEARING, None),
                    Some(_) => {}
                },
                event = self.session.next_event(), if speaks => match event {
                    Some(MediaEvent::Insecure(why)) => return self.insecure(why, peer),
                    Some(event) => self.heard(event, shared),
                    None => speaks = false,
                },
                () = renewal => {
                    renewed = time::Instant::now();
                    if self.timer.is_some_and(|timer| timer.ours) {
                        // A change that is on its way renews it as well.
                        if change.is_none() {
                            let sdp = self.session.again();
                            change = Some(self.dialog.change(sdp, self.timer));
                        }
                        continue;
                    }
                    tracing::info!("SIP: {}: the session was not renewed", self.dialog.call_id());
                    let cause = CauseCode::TIMER_EXPIRY;
                    self.leg.hang_up(cause, Some("the session was not renewed".into()));
                    return self.dialog.hang_up(cause);
                }
                digit = released => {
                    self.leg.key(digit, DtmfPhase::End);
                    release = None;
                }
                answer = changed => {
                    change = None;
                    match answer.as_deref().map(|answer| self.session.accept(answer)) {
                        Some(Ok(_)) | None => {}
                        Some(Err(error)) => tracing::debug!(
                            "SIP: {} of {}: {error}", self.dialog.call_id(), carrier.host
                        ),
                    }
                }
            }
        }
    }

    /// Its voice cannot be encrypted, and so it ends.
    pub(crate) fn insecure(&mut self, why: Insecure, peer: &str) {
        tracing::warn!("SIP: {}: {peer}: {why}", self.dialog.call_id());
        self.leg.hang_up(CauseCode::BEARER_NOT_AVAILABLE, Some(why.to_string()));
        self.dialog.hang_up(CauseCode::BEARER_NOT_AVAILABLE);
    }

    /// It may be named by others, until what is given back is dropped.
    pub(crate) fn enter(&self, peer: &str, shared: &Shared, stage: Stage) -> Option<Entered> {
        let word = self.word.clone()?;
        let known = Known { word, peer: peer.into(), stage };
        Some(shared.talks.enter(self.dialog.key(), known))
    }

    /// Something happened to the media.
    fn heard(&self, event: MediaEvent, shared: &Shared) {
        tracing::debug!("SIP: {}: media: {event:?}", self.dialog.call_id());
        let Some(word) = &self.word else { return };
        match event {
            MediaEvent::OneWay(one_way) => shared.board.one_way(word, Some(one_way)),
            MediaEvent::Mended => shared.board.one_way(word, None),
            _ => {}
        }
    }

    /// A key that is pressed on the other side of the switch.
    fn key_to_carrier(&self, digit: u8, phase: DtmfPhase, pressed: &mut Option<Instant>) {
        if self.keys == Keys::Inband {
            // The switch has made it a tone.
            return;
        }
        match phase {
            DtmfPhase::Begin => *pressed = Some(Instant::now()),
            DtmfPhase::End => {
                let held = pressed.take().map_or(KEY_DOWN, |pressed| pressed.elapsed());
                let millis = held.clamp(KEY_DOWN, LONGEST_KEY).as_millis();
                self.dialog.tell_key(char::from(digit), u64::try_from(millis).unwrap_or(100));
            }
        }
    }

    /// The other side holds us, takes us back, changes where it is, or says that it is still there.
    async fn changed(&mut self, sdp: Option<String>, asks: bool, reply: Reply) {
        let Some(sdp) = sdp else {
            // It asks for our description, or only keeps the session up.
            let ours = asks.then(|| self.session.again());
            return reply.answer(200, ours, self.renewal()).await;
        };
        match self.session.answer(&sdp) {
            Ok((answer, held)) => {
                reply.answer(200, Some(answer), self.renewal()).await;
                if self.held != held {
                    self.held = held;
                    self.session.watch(held);
                    self.leg.control(if held { Control::Hold } else { Control::Unhold });
                }
            }
            Err(error) => {
                tracing::debug!("SIP: {}: {error}", self.dialog.call_id());
                reply.answer(488, None, Vec::new()).await;
            }
        }
    }

    /// What is said of the session in an answer to whoever renews it.
    fn renewal(&self) -> Vec<(&'static str, String)> {
        let timer = self.timer.iter();
        timer.map(|timer| ("Session-Expires", timer.header(Side::Called))).collect()
    }

    /// The other side wants us to go on with another number: a blind transfer, or an attended one where that
    /// names a call that it has with us, too.
    async fn referred(&mut self, to: &str, reply: Reply, peer: &str, shared: &Shared) {
        match (Replaces::in_refer_to(to), Party::read(to)) {
            (Ok(Some(replaces)), _) => {
                reply.answer(202, None, Vec::new()).await;
                let status = self.join(&replaces, peer, shared).await;
                self.dialog.tell_referred(status);
            }
            (Ok(None), Some(party)) if !party.user.is_empty() => {
                reply.answer(202, None, Vec::new()).await;
                self.dialog.tell_referred(200);
                self.leg.transfer(party.user);
            }
            _ => reply.answer(400, None, Vec::new()).await,
        }
    }

    /// Whoever is at the other end goes on with whoever is at the other end of another call of this peer; both
    /// its calls end then. What came of it, as a status of SIP.
    async fn join(&self, replaces: &Replaces, peer: &str, shared: &Shared) -> u16 {
        let call_id = self.dialog.call_id();
        let (Some(word), Some(known)) = (&self.word, shared.talks.find(&replaces.dialog)) else {
            let whose = match shared.elsewhere.may_have(&replaces.dialog.call_id) {
                true => "another process of this switch has, since an upgrade: both go on",
                false => "there is not",
            };
            tracing::info!("SIP: {call_id}: {peer} transfers to a call that {whose}");
            return 481;
        };
        if known.peer != peer {
            tracing::warn!("SIP: {call_id}: {peer} transfers to a call that {} has", known.peer);
            return 403;
        }
        match shared.board.join([word.clone(), known.word]).await {
            Ok(Ok(())) => 200,
            Ok(Err(why)) => {
                tracing::info!("SIP: {call_id}: {peer} cannot transfer: {why}");
                503
            }
            Err(_) => 503,
        }
    }
}

/// A key in the body of an INFO, and how long it was held.
fn key_in(kind: &str, body: &str) -> Option<(u8, Duration)> {
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let key = |text: &str| {
        let [digit] = text.trim().as_bytes() else { return None };
        let digit = digit.to_ascii_uppercase();
        matches!(digit, b'0'..=b'9' | b'A'..=b'D' | b'*' | b'#').then_some(digit)
    };
    match kind.as_str() {
        "application/dtmf" => Some((key(body)?, KEY_DOWN)),
        "application/dtmf-relay" => {
            let value = |name: &str| {
                body.lines().find_map(|line| {
                    let (known, value) = line.split_once('=')?;
                    known.trim().eq_ignore_ascii_case(name).then_some(value.trim())
                })
            };
            let digit = key(value("Signal")?)?;
            let millis = value("Duration").and_then(|millis| millis.parse().ok()).unwrap_or(100);
            Some((digit, Duration::from_millis(millis).clamp(KEY_DOWN, LONGEST_KEY)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_phones_tell_them() {
        let ms = Duration::from_millis;
        for (kind, body, key) in [
            ("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n", Some((b'5', ms(160)))),
            ("Application/DTMF-Relay; x=1", "signal = # \r\n", Some((b'#', ms(100)))),
            ("application/dtmf-relay", "Signal=a\r\nDuration=0", Some((b'A', ms(100)))),
            ("application/dtmf-relay", "Signal=1\nDuration=999999999", Some((b'1', ms(5000)))),
            ("application/dtmf", "9", Some((b'9', ms(100)))),
            ("application/dtmf", "99", None),
            ("application/dtmf-relay", "Duration=100", None),
            ("text/plain", "5", None),
        ] {
            assert_eq!(key_in(kind, body), key, "{kind} {body:?}");
        }
    }
}
