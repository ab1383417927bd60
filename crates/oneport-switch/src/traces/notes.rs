//! What is noted of calls that are up, until it is a span. It knows neither clocks nor sockets: time is handed
//! in, and each moment of a call is dated from its beginning.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use oneport_proto::{CallId, Instant};
use oneport_wire::{CauseCode, Format};
use uuid::Uuid;

use super::context::{Parent, is_chosen, new_span, span_of_call};
use crate::cdr::Cdr;
use crate::refusal::Reason;
use crate::utc::Utc;

/// Steps that are kept of a span; what is beyond is counted.
const MOST_STEPS: usize = 64;

/// Something that happens in a call.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Step {
    /// It has come.
    Offered,
    /// An operator has placed it.
    Originated,
    /// Its caller is known, and is this peer.
    Authenticated(String),
    /// Its caller is a guest, and may be one.
    Admitted,
    /// Its number leads this way.
    Routed { number: String, route: Option<String> },
    /// A leg is placed.
    Placed(String),
    /// Who is called has taken it, and will say more.
    Accepted(Format),
    /// It rings there.
    Ringing(Option<String>),
    /// It is answered, by whom or what.
    Answered(Option<String>),
    /// It is refused, or a destination has not taken it.
    Refused { reason: Box<Reason>, cause: Option<CauseCode>, ended_call: bool },
    /// Somebody sends the other side to another number.
    Transferred { by: String, to: String },
    /// It has become part of another call.
    Joined(Uuid),
    /// Its far end has another address.
    Moved(SocketAddr),
    /// Its voice goes straight from one far end to the other, or through here again.
    Direct(bool),
}

impl Step {
    /// Whether it is said of the leg, and whether of the whole call.
    const fn stands(&self) -> (bool, bool) {
        match self {
            Self::Placed(_) | Self::Accepted(_) | Self::Moved(_) => (true, false),
            Self::Offered | Self::Originated | Self::Ringing(_) | Self::Direct(_) => (true, true),
            Self::Answered(_) | Self::Joined(_) => (true, true),
            Self::Authenticated(_)
            | Self::Admitted
            | Self::Routed { .. }
            | Self::Refused { .. }
            | Self::Transferred { .. } => (false, true),
        }
    }
}

/// Steps and when they were, in ns since 1970.
#[derive(Default, Debug)]
pub(super) struct Steps {
    pub(super) kept: Vec<(u64, Step)>,
    pub(super) left_out: u32,
}

impl Steps {
    fn add(&mut self, at: u64, step: Step) {
        match self.kept.len() < MOST_STEPS {
            true => self.kept.push((at, step)),
            false => self.left_out += 1,
        }
    }
}

/// What a span is about.
#[derive(Debug)]
pub(super) enum Subject {
    /// A leg of a call.
    Leg {
        /// Whether it goes on by SIP behind the gateway.
        by_sip: bool,
    },
    /// All of a call.
    Call {
        /// How many legs it has had.
        legs: u32,
        /// The worst that was heard on any, as a mean opinion score.
        worst: Option<f64>,
    },
}

/// A span that is over.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) call: Uuid,
    pub(super) trace: u128,
    pub(super) span: u64,
    pub(super) parent: Option<u64>,
    /// Whether its parent is of another process.
    pub(super) is_remote: bool,
    pub(super) subject: Subject,
    /// In ns since 1970.
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) steps: Steps,
    /// The record of the leg, or that of a call's first; none where no leg has ended in it.
    pub(super) record: Option<Arc<Cdr>>,
}

struct Call {
    trace: u128,
    span: u64,
    parent: Option<u64>,
    begun: Instant,
    /// When that was, in ns since 1970.
    date: u64,
    is_answered: bool,
    steps: Steps,
    /// Legs that are up, and those that ever were.
    up: usize,
    legs: u32,
    worst: Option<f64>,
    record: Option<Arc<Cdr>>,
}

impl Call {
    fn at(&self, now: Instant) -> u64 {
        let since = u64::try_from(now.since(self.begun).as_nanos()).unwrap_or(u64::MAX);
        self.date.saturating_add(since)
    }
}

struct Leg {
    call: Uuid,
    span: u64,
    /// When it began, in ns since 1970.
    from: u64,
    steps: Steps,
}

/// What is noted of all calls that are traced.
#[derive(Default)]
pub(super) struct Notes {
    calls: HashMap<Uuid, Call>,
    legs: HashMap<CallId, Leg>,
    /// Spans that are over.
    finished: Vec<Finished>,
}

impl Notes {
    /// The first leg of a call, which began at `date`, in `parent` where it has one, and by what. Of so many
    /// calls one is traced, unless its parent decides.
    pub(super) fn begin(
        &mut self,
        (now, date): (Instant, Utc),
        leg: CallId,
        call: Uuid,
        (parent, one_in): (Option<Parent>, u64),
        step: Step,
    ) {
        let own = call.as_u128();
        if !parent.map_or_else(|| is_chosen(own, one_in), |parent| parent.is_sampled) {
            return;
        }
        let (trace, span) = match parent {
            Some(parent) => (parent.trace, new_span()),
            None => (own, span_of_call(call)),
        };
        self.enter(now, date, leg, call, (trace, span, parent.map(|parent| parent.span)));
        self.note(now, leg, step);
    }

    /// The same for a leg of a call that another switch has.
    pub(super) fn begin_part(
        &mut self,
        (now, date): (Instant, Utc),
        leg: CallId,
        call: Uuid,
        one_in: u64,
    ) {
        if is_chosen(call.as_u128(), one_in) {
            let place = (call.as_u128(), new_span(), Some(span_of_call(call)));
            self.enter(now, date, leg, call, place);
            self.note(now, leg, Step::Offered);
        }
    }

    fn enter(
        &mut self,
        now: Instant,
        date: Utc,
        leg: CallId,
        call: Uuid,
        (trace, span, parent): (u128, u64, Option<u64>),
    ) {
        let millis = u64::try_from(date.unix_millis()).unwrap_or(0);
        self.calls.entry(call).or_insert_with(|| Call {
            trace,
            span,
            parent,
            begun: now,
            date: millis.saturating_mul(1_000_000),
            is_answered: false,
            steps: Steps::default(),
            up: 0,
            legs: 0,
            worst: None,
            record: None,
        });
        self.add(now, leg, call);
    }

    fn add(&mut self, now: Instant, leg: CallId, call: Uuid) {
        let Some(of) = self.calls.get_mut(&call) else { return };
        of.up += 1;
        of.legs += 1;
        let (span, from) = (new_span(), of.at(now));
        self.legs.insert(leg, Leg { call, span, from, steps: Steps::default() });
    }

    /// A leg is placed for another.
    pub(super) fn placed(&mut self, now: Instant, leg: CallId, other: CallId, to: &str) {
        let Some(call) = self.legs.get(&other).map(|other| other.call) else { return };
        self.add(now, leg, call);
        self.note(now, leg, Step::Placed(to.into()));
    }

    /// Something has happened to a leg, or by it to its call.
    pub(super) fn note(&mut self, now: Instant, leg: CallId, step: Step) {
        let Some(leg) = self.legs.get_mut(&leg) else { return };
        let Some(call) = self.calls.get_mut(&leg.call) else { return };
        let at = call.at(now);
        let (of_leg, mut of_call) = step.stands();
        if let Step::Answered(_) = step {
            // The legs of a call are answered together.
            of_call = !std::mem::replace(&mut call.is_answered, true);
        }
        match (of_leg, of_call) {
            (true, true) => {
                leg.steps.add(at, step.clone());
                call.steps.add(at, step);
            }
            (true, false) => leg.steps.add(at, step),
            (false, _) => call.steps.add(at, step),
        }
    }

    /// A leg becomes part of the call of another, where that is traced.
    pub(super) fn joins(&mut self, now: Instant, leg: CallId, other: CallId) {
        let Some(call) = self.legs.get(&other).map(|other| other.call) else {
            return self.forget(now, leg);
        };
        self.note(now, leg, Step::Joined(call));
        let before = self.legs.remove(&leg);
        self.add(now, leg, call);
        let Some(before) = before else { return };
        if let Some(joined) = self.legs.get_mut(&leg) {
            // It is one span, from its beginning on.
            (joined.span, joined.from, joined.steps) = (before.span, before.from, before.steps);
        }
        self.leave(now, before.call);
    }

    /// Nothing more is noted of a leg.
    pub(super) fn forget(&mut self, now: Instant, leg: CallId) {
        if let Some(leg) = self.legs.remove(&leg) {
            self.leave(now, leg.call);
        }
    }

    /// A leg was of another call from its beginning on.
    pub(super) fn never_was(&mut self, leg: CallId) {
        let Some(leg) = self.legs.remove(&leg) else { return };
        self.calls.remove(&leg.call);
    }

    /// Whether anything is noted of a leg.
    pub(super) fn knows(&self, leg: CallId) -> bool {
        self.legs.contains_key(&leg)
    }

    /// A leg is over, of which there is this record.
    pub(super) fn ended(&mut self, now: Instant, leg: CallId, record: Cdr, by_sip: bool) {
        let Some(leg) = self.legs.remove(&leg) else { return };
        let Some(call) = self.calls.get_mut(&leg.call) else { return };
        let record = Arc::new(record);
        let heard = [record.quality.mos, record.quality.remote_mos];
        call.worst = heard.into_iter().flatten().chain(call.worst).reduce(f64::min);
        if record.leg == 1 || call.record.is_none() {
            call.record = Some(record.clone());
        }
        self.finished.push(Finished {
            call: leg.call,
            trace: call.trace,
            span: leg.span,
            parent: Some(call.span),
            is_remote: false,
            subject: Subject::Leg { by_sip },
            from: leg.from,
            to: call.at(now),
            steps: leg.steps,
            record: Some(record),
        });
        self.leave(now, leg.call);
    }

    /// A call has a leg less, and is over with its last.
    fn leave(&mut self, now: Instant, id: Uuid) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.up = call.up.saturating_sub(1);
        if call.up > 0 {
            return;
        }
        let Some(call) = self.calls.remove(&id) else { return };
        self.finished.push(Finished {
            call: id,
            trace: call.trace,
            span: call.span,
            parent: call.parent,
            is_remote: true,
            subject: Subject::Call { legs: call.legs, worst: call.worst },
            from: call.date,
            to: call.at(now),
            steps: call.steps,
            record: call.record,
        });
    }

    /// Spans that are over since this was asked last.
    pub(super) fn take(&mut self) -> std::vec::Drain<'_, Finished> {
        self.finished.drain(..)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use oneport_proto::{Endpoint, EndpointConfig, NewCall};

    use super::*;
    use crate::cdr::{HungUpBy, LegDirection, Quality};

    const CALL: Uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);
    const OTHER: Uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0002);

    fn date() -> Utc {
        Utc::from_unix_millis(1_000)
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    /// The moment `at(seconds)`, in ns since 1970.
    const fn ns(seconds: u64) -> u64 {
        1_000_000_000 + (seconds - 10) * 1_000_000_000
    }

    /// Handles of so many legs, as only the engine makes them.
    fn legs<const N: usize>() -> [CallId; N] {
        let mut endpoint = Endpoint::new(EndpointConfig::default(), [7; 32], at(0));
        let there = SocketAddr::from(([127, 0, 0, 1], 4569));
        std::array::from_fn(|_| {
            endpoint.place_call(at(0), there, NewCall::to("7")).expect("it may")
        })
    }

    fn record(call: Uuid, leg: u32, mos: Option<f64>) -> Cdr {
        Cdr {
            call,
            leg,
            switch: None,
            direction: LegDirection::In,
            peer: None,
            address: "192.0.2.1:4569".into(),
            calling_number: None,
            calling_name: None,
            called_number: "7".into(),
            dnid: None,
            rdnis: None,
            route: None,
            destination: None,
            start: date(),
            answer: None,
            end: date(),
            duration_ms: 0,
            billable_ms: 0,
            reason: "remote_hangup".into(),
            cause: 16,
            cause_text: None,
            hung_up_by: HungUpBy::Peer,
            codec: None,
            transcoded: None,
            encrypted: false,
            trunk: false,
            limit: None,
            account_code: None,
            quality: Quality { mos, ..Quality::default() },
        }
    }

    /// Legs of as many calls, with their records.
    pub(in super::super) fn calls_of_one_leg(count: usize) -> Vec<(CallId, Uuid, Cdr)> {
        let legs: [CallId; 8] = legs();
        let calls = legs.into_iter().zip(1..).take(count);
        let call = |(leg, n)| {
            let id = Uuid::from_u128(CALL.as_u128() + n);
            (leg, id, record(id, 1, None))
        };
        calls.map(call).collect()
    }

    /// A call with one leg, which begins at the tenth second.
    fn begun(parent: Option<Parent>, one_in: u64, leg: CallId) -> Notes {
        let mut notes = Notes::default();
        notes.begin((at(10), date()), leg, CALL, (parent, one_in), Step::Offered);
        notes
    }

    fn names(steps: &Steps) -> Vec<(u64, Step)> {
        steps.kept.clone()
    }

    #[test]
    fn a_call_is_a_trace_of_its_own_id_and_its_legs_are_spans_in_it() {
        let [one, two] = legs();
        let mut notes = begun(None, 1, one);
        notes.note(at(11), one, Step::Authenticated("ann".into()));
        notes.placed(at(12), two, one, "peer:bob/7");
        notes.note(at(13), two, Step::Ringing(Some("bob".into())));
        let answered = || Step::Answered(Some("peer:bob/7".into()));
        notes.note(at(14), two, answered());
        notes.note(at(14), one, answered());
        notes.ended(at(20), two, record(CALL, 2, Some(3.5)), true);
        let of_leg: Vec<Finished> = notes.take().collect();
        assert_eq!(of_leg.len(), 1, "the call goes on");
        let called = &of_leg[0];
        assert_eq!((called.trace, called.parent), (CALL.as_u128(), Some(1 << 63 | 1)));
        assert_eq!((called.from, called.to), (ns(12), ns(20)));
        let expected = [
            (ns(12), Step::Placed("peer:bob/7".into())),
            (ns(13), Step::Ringing(Some("bob".into()))),
            (ns(14), answered()),
        ];
        assert_eq!(names(&called.steps), expected);
        notes.ended(at(21), one, record(CALL, 1, Some(4.2)), false);
        let rest: Vec<Finished> = notes.take().collect();
        let [caller, call] = rest.as_slice() else { panic!("{rest:?}") };
        assert_eq!((caller.from, caller.to, caller.parent), (ns(10), ns(21), Some(call.span)));
        assert_eq!((call.trace, call.span, call.parent), (CALL.as_u128(), 1 << 63 | 1, None));
        let Subject::Call { legs: 2, worst: Some(worst) } = call.subject else {
            panic!("{:?}", call.subject)
        };
        assert!((worst - 3.5).abs() < f64::EPSILON, "{worst}");
        assert_eq!(call.record.as_ref().map(|record| record.leg), Some(1));
        // It is answered once.
        let expected = [
            (ns(10), Step::Offered),
            (ns(11), Step::Authenticated("ann".into())),
            (ns(13), Step::Ringing(Some("bob".into()))),
            (ns(14), answered()),
        ];
        assert_eq!(names(&call.steps), expected);
        assert!(notes.calls.is_empty() && notes.legs.is_empty());
    }

    #[test]
    fn the_one_who_asks_for_a_call_decides_whether_and_in_which_trace() {
        let [leg] = legs();
        let parent = Parent { trace: 5, span: 6, is_sampled: true };
        let mut notes = begun(Some(parent), u64::MAX, leg);
        notes.ended(at(11), leg, record(CALL, 1, None), false);
        let spans: Vec<Finished> = notes.take().collect();
        let [of_leg, call] = spans.as_slice() else { panic!("{spans:?}") };
        assert_eq!((of_leg.trace, call.trace, call.parent), (5, 5, Some(6)));
        assert!(call.is_remote && !of_leg.is_remote && call.call == CALL);
        assert!(!begun(Some(Parent { is_sampled: false, ..parent }), 1, leg).knows(leg));
        assert!(!begun(None, u64::MAX, leg).knows(leg), "one of so many calls is traced");
    }

    #[test]
    fn a_leg_from_another_switch_stands_in_the_trace_that_begins_there() {
        let [leg] = legs();
        let mut notes = begun(None, 1, leg);
        notes.never_was(leg);
        notes.begin_part((at(10), date()), leg, OTHER, 1);
        notes.ended(at(12), leg, record(OTHER, 1, None), false);
        let spans: Vec<Finished> = notes.take().collect();
        let [_, call] = spans.as_slice() else { panic!("{spans:?}") };
        assert_eq!((call.trace, call.parent), (OTHER.as_u128(), Some(span_of_call(OTHER))));
        assert!(call.span != span_of_call(OTHER), "two spans of one id");
        assert!(notes.calls.is_empty() && notes.legs.is_empty());
    }

    #[test]
    fn a_leg_that_joins_another_call_ends_its_own_and_is_one_span_from_its_beginning_on() {
        let [stays, comes, unknown] = legs();
        let mut notes = begun(None, 1, stays);
        notes.begin((at(9), Utc::from_unix_millis(0)), comes, OTHER, (None, 1), Step::Offered);
        notes.joins(at(15), comes, stays);
        let left: Vec<Finished> = notes.take().collect();
        let [over] = left.as_slice() else { panic!("{left:?}") };
        assert_eq!((over.call, over.record.is_none(), over.to), (OTHER, true, ns(15)));
        assert_eq!(over.steps.kept.last(), Some(&(ns(15), Step::Joined(CALL))));
        notes.ended(at(20), comes, record(CALL, 2, None), false);
        let joined = notes.take().next().expect("a leg");
        assert_eq!((joined.trace, joined.from), (CALL.as_u128(), 0));
        // One that joins a call that is not traced is not traced either.
        notes.joins(at(21), stays, unknown);
        assert!(notes.calls.is_empty() && notes.legs.is_empty());
    }

    #[test]
    fn of_more_steps_than_are_kept_the_rest_is_counted() {
        let [leg] = legs();
        let mut notes = begun(None, 1, leg);
        for n in 0..100 {
            notes.note(at(11), leg, Step::Moved(SocketAddr::from(([192, 0, 2, n], 4569))));
        }
        notes.ended(at(12), leg, record(CALL, 1, None), false);
        let of_leg = notes.take().next().expect("a leg");
        assert_eq!((of_leg.steps.kept.len(), of_leg.steps.left_out), (MOST_STEPS, 37));
    }
}
