//! What the switch notes as it happens: counts for metrics, and news for listeners.

use oneport::{Diagnosis, Score};
use oneport_proto::{CallEnd, CallId, DropReason, Instant, Path, Progress};
use oneport_wire::CauseCode;

use super::{State, Switch};
use crate::api::model::PeerState;
use crate::cdr::hundredths;
use crate::limits::Notice;
use crate::news::What;
use crate::qualify::Status;
use crate::refusal::Reason;
use crate::routing::peer_as_destination;
use crate::traces::Step;

impl From<Status> for PeerState {
    fn from(status: Status) -> Self {
        match status {
            Status::Unknown => Self::Unknown,
            Status::Ok(_) => Self::Ok,
            Status::Lagged(_) => Self::Lagged,
            Status::Unreachable => Self::Unreachable,
        }
    }
}

pub(super) fn news_of_limit(notice: &Notice) -> What {
    match notice {
        Notice::Mark { limit, used, max, above } => {
            What::Limit { limit: limit.clone(), used: *used, max: *max, above: *above }
        }
        Notice::Passed(full) => {
            What::Limit { limit: full.limit.clone(), used: full.used, max: full.max, above: true }
        }
    }
}

impl Switch {
    /// It is known who calls.
    pub(super) fn call_begun(&mut self, call: CallId, number: &str) {
        let Some(leg) = self.legs.get(&call) else { return };
        self.tally.begun(leg.direction);
        let (id, from) = (leg.id.to_string(), leg.peer.clone());
        self.news.tell(|| What::CallBegun { call: id, from, number: number.into() });
    }

    /// A leg that was placed has come further.
    pub(super) fn call_progress(&mut self, now: Instant, call: CallId, progress: Progress) {
        if progress != Progress::Ringing {
            return;
        }
        let Some(leg) = self.legs.get_mut(&call) else { return };
        if std::mem::replace(&mut leg.marks.rings, true) {
            return;
        }
        let by = leg.peer.clone();
        self.book.note(now, call, || Step::Ringing(by.clone()));
        let Some(leg) = self.legs.get(&call) else { return };
        let id = leg.id.to_string();
        self.news.tell(|| What::CallRinging { call: id, by });
    }

    /// The call of this caller was answered.
    pub(super) fn call_answered(&mut self, now: Instant, call: CallId) {
        let Some(leg) = self.legs.get_mut(&call) else { return };
        if leg.marks.answered.replace(now).is_some() {
            // It was led on to another destination.
            return;
        }
        let setup = now.since(leg.begun);
        self.judging.begin(now);
        let Some(leg) = self.legs.get(&call) else { return };
        let id = leg.id.to_string();
        let by = match &leg.state {
            State::Builtin(place) => Some(format!("builtin:{}", place.builtin)),
            _ => {
                let called = leg.other().and_then(|other| self.legs.get(&other));
                called.and_then(|called| called.peer.as_deref()).map(peer_as_destination)
            }
        };
        self.tally.answered += 1;
        self.tally.setup.note(setup, Some(id.clone()));
        self.news.tell(|| What::CallAnswered { call: id, by });
    }

    /// A call is turned away.
    pub(super) fn call_refused(&mut self, call: CallId, cause: CauseCode, why: &str) {
        let Some(leg) = self.legs.get(&call) else { return };
        let (id, from, number) = (leg.id.to_string(), leg.who(), self.number_of(call).to_string());
        self.news.tell(|| What::Refused {
            call: Some(id),
            from,
            number: Some(number),
            cause: Some(cause.0),
            why: why.into(),
        });
    }

    /// A leg is over. To be called while it is still among the legs.
    pub(super) fn call_over(
        &mut self,
        now: Instant,
        call: CallId,
        end: &CallEnd,
        diagnosis: Option<&Diagnosis>,
    ) {
        let Some(leg) = self.legs.get(&call) else { return };
        let direction = leg.direction;
        let known = leg.peer.as_deref().filter(|peer| self.config.peers.contains_key(*peer));
        let id = leg.id.to_string();
        self.tally.ended(&id, direction, known, end);
        for cause in diagnosis.into_iter().flat_map(Diagnosis::causes) {
            self.tally.choppy(cause);
        }
        if let State::Called { .. } = leg.state {
            return;
        }
        if let Some(answered) = leg.marks.answered {
            self.tally.duration.note(now.since(answered), Some(id.clone()));
        }
        let mos = |score: Option<Score>| score.map(|score| hundredths(score.mos));
        let seconds = (now.since(leg.begun).as_secs_f64() * 10.0).round() / 10.0;
        self.news.tell(|| What::CallEnded {
            call: id,
            seconds,
            cause: end.cause.0,
            reason: end.reason.name().into(),
            mos: mos(Score::here(&end.stats)),
            mos_there: mos(Score::there(&end.stats)),
        });
    }

    /// A call or registration was turned away before anything was kept of it.
    pub(super) fn opening_refused(&mut self, who: &str, from: Path, reason: DropReason) {
        self.news.tell(|| What::Refused {
            call: None,
            from: format!("{who} at {from}"),
            number: None,
            cause: None,
            why: reason.sentence().into(),
        });
    }

    /// Somebody could not prove that it may register.
    pub(super) fn registration_refused(&mut self, from: Path, why: &str) {
        self.tally.registrations_refused += 1;
        self.news.tell(|| What::Refused {
            call: None,
            from: from.to_string(),
            number: None,
            cause: None,
            why: format!("registration: {why}"),
        });
    }

    /// The gateway has turned a call away before anything was kept of it.
    pub(super) fn sip_call_refused(
        &mut self,
        peer: &str,
        from: std::net::SocketAddr,
        number: &str,
        why: Reason,
    ) {
        self.news.tell(|| What::Refused {
            call: None,
            from: format!("{peer} at {from}"),
            number: Some(number.into()),
            cause: None,
            why: format!("SIP: {why}"),
        });
        self.book.turned_away(from, Some(peer), number, why);
    }

    /// The same of a phone that speaks SIP.
    pub(super) fn sip_refused(&mut self, name: &str, from: std::net::SocketAddr, why: &str) {
        self.tally.registrations_refused += 1;
        self.news.tell(|| What::Refused {
            call: None,
            from: format!("{name} at {from}"),
            number: None,
            cause: None,
            why: format!("SIP: {why}"),
        });
    }
}
