//! The book of calls: what is known of each leg while it lives, its record when it ends, and why a
//! call was refused.
//!
//! It knows the engine's handles and its figures, but neither sockets nor stores: records leave
//! through a [`Ledger`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use indexmap::IndexMap;
use oneport_proto::{CallEnd, CallId, Instant, Offer, RequestId};
use oneport_wire::{CauseCode, Format};
use uuid::Uuid;

use crate::cdr::{Cdr, HungUpBy, LegDirection, Quality};
use crate::ledger::{Journal, Ledger};
use crate::refusal::{Reason, Refusal, Stage};
use crate::registrar::Proved;
use crate::routing::peer_as_destination;
use crate::store::Record;
use crate::traces::{Parent, Step, Traces};
use crate::utc::Utc;

/// The clock by which records are dated.
pub(crate) type Clock = Box<dyn Fn() -> Utc + Send>;

/// What waits until a record is durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Then {
    /// The peer is told of the end of its call.
    TellEnd(CallId),
    /// A registration is granted, or its end; when who asks has proved who it is.
    Grant(RequestId, Proved),
    /// The same for a phone that speaks SIP, by its number among those that wait.
    GrantPhone(u64),
}

/// What is known of a leg.
struct Draft {
    call: Uuid,
    leg: u32,
    direction: LegDirection,
    peer: Option<String>,
    address: SocketAddr,
    account_code: Option<String>,
    calling_number: Option<String>,
    calling_name: Option<String>,
    called_number: String,
    dnid: Option<String>,
    rdnis: Option<String>,
    route: Option<String>,
    destination: Option<String>,
    limit: Option<String>,
    /// The codec of the other leg, where it is another.
    transcoded: Option<Format>,
    begun: Instant,
    start: Utc,
    answered: Option<Instant>,
    /// Its other leg has ended.
    follows: bool,
    /// It gets a record.
    kept: bool,
    /// The number of the call's last leg, the same for all of them.
    last_leg: Arc<AtomicU32>,
    refusals: u32,
    /// Why a destination did not take it, until it is known whether another is tried. Few legs have one.
    reason: Option<Box<Reason>>,
}

/// All drafts, and the way to the store.
pub(crate) struct Book {
    clock: Clock,
    /// The name of this switch among several with one database.
    switch: Option<String>,
    /// None: nothing is kept.
    ledger: Option<Ledger<Then>>,
    /// Calls refused since the start, whether that is kept or not; without a cause where none was
    /// sent.
    refused: BTreeMap<(Stage, Option<CauseCode>), u64>,
    /// Side by side: a hash table that holds them itself is half empty, and takes twice their memory.
    drafts: IndexMap<CallId, Draft>,
    /// None: calls are not traced.
    traces: Option<Traces>,
}

/// The number of another leg.
fn next_leg(last: &AtomicU32) -> u32 {
    last.fetch_add(1, Ordering::Relaxed).saturating_add(1)
}

impl Default for Book {
    fn default() -> Self {
        Self {
            clock: Box::new(Utc::now),
            switch: None,
            ledger: None,
            refused: BTreeMap::new(),
            drafts: IndexMap::new(),
            traces: None,
        }
    }
}

impl Book {
    pub(crate) fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    /// Names the switch that writes the records, where there are several.
    pub(crate) fn set_switch(&mut self, name: Option<String>) {
        self.switch = name;
    }

    /// The name of the switch that writes the records, where there are several.
    pub(crate) fn switch(&self) -> Option<&str> {
        self.switch.as_deref()
    }

    /// Lets records leave. At most `most` wait before nothing new is begun.
    pub(crate) fn open(&mut self, journal: Box<dyn Journal>, most: u64) {
        self.ledger = Some(Ledger::new(journal, most));
    }

    /// Calls refused since the start.
    pub(crate) const fn refused_counts(&self) -> &BTreeMap<(Stage, Option<CauseCode>), u64> {
        &self.refused
    }

    pub(crate) fn ledger(&self) -> Option<&Ledger<Then>> {
        self.ledger.as_ref()
    }

    pub(crate) fn ledger_mut(&mut self) -> Option<&mut Ledger<Then>> {
        self.ledger.as_mut()
    }

    /// Where traces of calls are made; `None`: nowhere.
    pub(crate) const fn traces_mut(&mut self) -> &mut Option<Traces> {
        &mut self.traces
    }

    pub(crate) const fn traces(&self) -> Option<&Traces> {
        self.traces.as_ref()
    }

    /// Something has happened to a leg; it is put into words only where that is traced.
    pub(crate) fn note(&mut self, now: Instant, leg: CallId, step: impl FnOnce() -> Step) {
        if let Some(traces) = &mut self.traces {
            traces.note(now, leg, step);
        }
    }

    /// So many records may wait before nothing new is begun.
    pub(crate) fn set_most_waiting(&mut self, most: u64) {
        if let Some(ledger) = &mut self.ledger {
            ledger.set_most(most);
        }
    }

    /// The date and time.
    pub(crate) fn now(&self) -> Utc {
        (self.clock)()
    }

    /// A number for a call (UUID version 7, RFC 9562): ordered by time, and not given twice.
    fn new_id(&self) -> Uuid {
        let mut random = [0; 10];
        random.fill_with(|| fastrand::u8(..));
        let millis = u64::try_from(self.now().unix_millis()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }

    /// The name of a leg's peer.
    pub(crate) fn peer(&self, leg: CallId) -> Option<&str> {
        self.drafts.get(&leg)?.peer.as_deref()
    }

    /// The number that was called over a leg.
    pub(crate) fn called_number(&self, leg: CallId) -> Option<&str> {
        Some(&self.drafts.get(&leg)?.called_number)
    }

    /// The number that calls.
    pub(crate) fn calling_number(&self, leg: CallId) -> Option<&str> {
        self.drafts.get(&leg)?.calling_number.as_deref()
    }

    /// The route that leads a call.
    pub(crate) fn route(&self, leg: CallId) -> Option<&str> {
        self.drafts.get(&leg)?.route.as_deref()
    }

    /// A call comes in. The id that all its legs have in common.
    pub(crate) fn offered(&mut self, now: Instant, leg: CallId, offer: &Offer) -> Uuid {
        self.begun(now, leg, offer, LegDirection::In, None)
    }

    fn begun(
        &mut self,
        now: Instant,
        leg: CallId,
        offer: &Offer,
        direction: LegDirection,
        parent: Option<Parent>,
    ) -> Uuid {
        let (id, start) = (self.new_id(), self.now());
        if let Some(traces) = &mut self.traces {
            let step = match direction {
                LegDirection::In => Step::Offered,
                LegDirection::Out => Step::Originated,
            };
            traces.begin((now, start), leg, id, parent, step);
        }
        let draft = Draft {
            call: id,
            leg: 1,
            direction,
            peer: offer.username.clone(),
            address: offer.path.remote,
            account_code: None,
            calling_number: offer.calling_number.clone(),
            calling_name: offer.calling_name.clone(),
            called_number: offer.called_number.clone(),
            dnid: offer.dnid.clone(),
            rdnis: offer.rdnis.clone(),
            route: None,
            destination: None,
            limit: None,
            transcoded: None,
            begun: now,
            start,
            answered: None,
            follows: false,
            kept: false,
            last_leg: Arc::new(AtomicU32::new(1)),
            refusals: 0,
            reason: None,
        };
        self.drafts.insert(leg, draft);
        id
    }

    /// A call is placed because an operator wants it; `offer` says what for, and `parent` whose trace it is
    /// part of. The id that all its legs have in common.
    pub(crate) fn originated(
        &mut self,
        now: Instant,
        leg: CallId,
        offer: &Offer,
        parent: Option<Parent>,
    ) -> Uuid {
        self.begun(now, leg, offer, LegDirection::Out, parent)
    }

    /// The caller is known: its leg gets a record. `true`: then its end must be deferred.
    pub(crate) fn identified(
        &mut self,
        now: Instant,
        leg: CallId,
        peer: Option<&str>,
        account_code: Option<&str>,
    ) -> bool {
        let Some(draft) = self.drafts.get_mut(&leg) else { return false };
        draft.peer = peer.map(Into::into);
        draft.account_code = account_code.map(Into::into);
        draft.kept = self.ledger.is_some();
        let (kept, direction) = (draft.kept, draft.direction);
        if direction == LegDirection::In {
            self.note(now, leg, || match peer {
                Some(peer) => Step::Authenticated(peer.into()),
                None => Step::Admitted,
            });
        }
        kept
    }

    /// A leg is placed for a caller. `true`: its end must be deferred.
    pub(crate) fn placed(
        &mut self,
        now: Instant,
        leg: CallId,
        caller: CallId,
        peer: &str,
        account_code: Option<&str>,
        (address, number): (SocketAddr, &str),
    ) -> bool {
        let start = self.now();
        let Some(draft) = self.drafts.get_mut(&caller) else { return false };
        let last_leg = draft.last_leg.clone();
        let destination = format!("{}/{number}", peer_as_destination(peer));
        draft.destination = Some(destination.clone());
        if let Some(traces) = &mut self.traces {
            traces.placed(now, leg, caller, &destination);
        }
        let draft = Draft {
            call: draft.call,
            leg: next_leg(&last_leg),
            direction: LegDirection::Out,
            peer: Some(peer.into()),
            address,
            account_code: account_code.map(Into::into),
            calling_number: draft.calling_number.clone(),
            calling_name: draft.calling_name.clone(),
            called_number: number.into(),
            dnid: draft.dnid.clone(),
            rdnis: draft.rdnis.clone(),
            route: draft.route.clone(),
            destination: Some(destination),
            limit: None,
            transcoded: None,
            begun: now,
            start,
            answered: None,
            follows: false,
            kept: self.ledger.is_some(),
            last_leg,
            refusals: 0,
            reason: None,
        };
        self.drafts.insert(leg, draft);
        self.ledger.is_some()
    }

    /// A caller's number is led by this route.
    pub(crate) fn routed(&mut self, now: Instant, leg: CallId, number: &str, route: Option<&str>) {
        self.note(now, leg, || Step::Routed {
            number: number.into(),
            route: route.map(Into::into),
        });
        if let Some(draft) = self.drafts.get_mut(&leg) {
            draft.called_number = number.into();
            draft.route = route.map(Into::into);
        }
    }

    /// A caller has come to a destination that is here.
    pub(crate) fn led_to(&mut self, leg: CallId, destination: String) {
        if let Some(draft) = self.drafts.get_mut(&leg) {
            draft.destination = Some(destination);
        }
    }

    /// A leg that another switch has placed is part of the call that it has there.
    pub(crate) fn belongs_to(&mut self, leg: CallId, call: Uuid) {
        if let Some(draft) = self.drafts.get_mut(&leg) {
            draft.call = call;
            if let Some(traces) = &mut self.traces {
                traces.belongs_to((draft.begun, draft.start), leg, call);
            }
        }
    }

    /// A leg becomes part of the call of another one.
    pub(crate) fn joins(&mut self, now: Instant, leg: CallId, stays: CallId) {
        let Some(other) = self.drafts.get(&stays) else { return };
        let (call, last_leg) = (other.call, other.last_leg.clone());
        if let Some(traces) = &mut self.traces {
            traces.joins(now, leg, stays);
        }
        if let Some(draft) = self.drafts.get_mut(&leg) {
            (draft.call, draft.leg) = (call, next_leg(&last_leg));
            draft.last_leg = last_leg;
        }
    }

    pub(crate) fn answered(&mut self, now: Instant, leg: CallId) {
        let Some(draft) = self.drafts.get_mut(&leg) else { return };
        if draft.answered.is_none() {
            draft.answered = Some(now);
            let by = draft.destination.clone();
            self.note(now, leg, || Step::Answered(by));
        }
    }

    pub(crate) fn moved(&mut self, leg: CallId, address: SocketAddr) {
        if let Some(draft) = self.drafts.get_mut(&leg) {
            draft.address = address;
        }
    }

    /// A leg ends because its other one has ended.
    pub(crate) fn follows(&mut self, leg: CallId) {
        if let Some(draft) = self.drafts.get_mut(&leg) {
            draft.follows = true;
        }
    }

    /// A destination did not take a call. It is written when it is known whether that was the last.
    pub(crate) fn because(&mut self, now: Instant, leg: CallId, reason: Reason) {
        self.goes_on(now, leg);
        if let Some(draft) = self.drafts.get_mut(&leg) {
            draft.limit = reason.limit.clone().or_else(|| draft.limit.take());
            draft.reason = Some(Box::new(reason));
        }
    }

    /// A leg that was placed is over, and did not take its call: `caller` is told why, unless
    /// another destination is.
    pub(crate) fn not_taken(&mut self, now: Instant, caller: CallId, leg: CallId, end: &CallEnd) {
        let Some(draft) = self.drafts.get(&leg).filter(|draft| draft.answered.is_none()) else {
            return;
        };
        let who = draft.peer.as_deref().unwrap_or_default();
        let why = format!("{who}: {}, {}", end.reason.sentence(), end.cause);
        let mut reason = Reason::new(Stage::Answer, end.reason.name(), why);
        reason.destination.clone_from(&draft.destination);
        reason.cause = Some(end.cause);
        reason.said.clone_from(&end.text);
        reason.fix = end.reason.remedy().map(Into::into);
        self.because(now, caller, reason);
    }

    /// The call goes on all the same.
    pub(crate) fn goes_on(&mut self, now: Instant, leg: CallId) {
        if let Some(reason) = self.drafts.get_mut(&leg).and_then(|draft| draft.reason.take()) {
            let cause = reason.cause;
            self.write_refusal(now, leg, *reason, cause, false);
        }
    }

    /// The caller is told that its call is refused, for the reason given before.
    pub(crate) fn refused(&mut self, now: Instant, leg: CallId, cause: CauseCode) {
        if let Some(reason) = self.drafts.get_mut(&leg).and_then(|draft| draft.reason.take()) {
            self.write_refusal(now, leg, *reason, Some(cause), true);
        }
    }

    /// The same, with `reason` where none was given before.
    pub(crate) fn refused_for(
        &mut self,
        now: Instant,
        leg: CallId,
        cause: CauseCode,
        reason: Reason,
    ) {
        if self.drafts.get(&leg).is_some_and(|draft| draft.reason.is_none()) {
            self.because(now, leg, reason);
        }
        self.refused(now, leg, cause);
    }

    fn write_refusal(
        &mut self,
        now: Instant,
        leg: CallId,
        reason: Reason,
        cause: Option<CauseCode>,
        ended_call: bool,
    ) {
        let at = self.now();
        if ended_call {
            *self.refused.entry((reason.stage, cause)).or_default() += 1;
        }
        self.note(now, leg, || {
            let reason = Box::new(reason.clone());
            Step::Refused { reason, cause, ended_call }
        });
        let (Some(draft), Some(ledger)) = (self.drafts.get_mut(&leg), &mut self.ledger) else {
            return;
        };
        draft.refusals += 1;
        let from = (draft.peer.clone(), draft.address);
        let numbers = (draft.calling_number.clone(), draft.called_number.clone());
        let place = (draft.call, draft.refusals, at);
        let mut refusal = reason.into_refusal(place, from, numbers, cause, ended_call);
        refusal.switch.clone_from(&self.switch);
        ledger.append_if_room(Record::Refusal(Box::new(refusal)));
    }

    /// A call was turned away of which nothing was kept.
    pub(crate) fn turned_away(
        &mut self,
        from: SocketAddr,
        username: Option<&str>,
        called_number: &str,
        reason: Reason,
    ) {
        *self.refused.entry((reason.stage, None)).or_default() += 1;
        let place = (self.new_id(), 1, self.now());
        if let Some(ledger) = &mut self.ledger {
            let from = (username.map(Into::into), from);
            let mut refusal: Refusal =
                reason.into_refusal(place, from, (None, called_number.into()), None, true);
            refusal.switch.clone_from(&self.switch);
            ledger.append_if_room(Record::Refusal(Box::new(refusal)));
        }
    }

    /// A peer has no registration to be taken over any more, or none but what it renews meanwhile: the one of
    /// `registered` is over, where that is said.
    pub(crate) fn forget_registration(&mut self, name: &str, registered: Option<Utc>) {
        if let Some(ledger) = &mut self.ledger {
            let (peer, switch) = (name.into(), self.switch.clone());
            ledger.append(Record::Unregistered { peer, switch, registered }, None);
        }
    }

    /// The voice of a leg is transcoded: on its other leg they speak `codec`.
    pub(crate) fn transcoded(&mut self, leg: CallId, codec: Format) {
        if let Some(draft) = self.drafts.get_mut(&leg) {
            draft.transcoded = Some(codec);
        }
    }

    /// A leg is over: its record leaves. `trunk`: its voice went out in trunk frames; `by_sip`: it went on
    /// by SIP; `reason`: why this switch has ended it, where it was for a reason of its own.
    pub(crate) fn ended(
        &mut self,
        now: Instant,
        leg: CallId,
        (end, quality): (&CallEnd, Quality),
        (trunk, by_sip): (bool, bool),
        reason: Option<&str>,
    ) {
        let Some(draft) = self.drafts.swap_remove(&leg) else { return };
        let traces = self.traces.as_mut().filter(|traces| traces.knows(leg));
        let ledger = self.ledger.as_mut().filter(|_| draft.kept);
        if traces.is_none() && ledger.is_none() {
            return;
        }
        let mut cdr = draft.into_cdr(now, end, quality, trunk);
        cdr.switch.clone_from(&self.switch);
        if let Some(reason) = reason {
            cdr.reason = reason.into();
        }
        if let Some(traces) = traces {
            traces.ended(now, leg, cdr.clone(), by_sip);
        }
        if let Some(ledger) = ledger {
            ledger.append(Record::Cdr(Box::new(cdr)), Some(Then::TellEnd(leg)));
        }
    }
}

impl Draft {
    fn into_cdr(self, now: Instant, end: &CallEnd, quality: Quality, trunk: bool) -> Cdr {
        let since = |moment: Instant| now.since(moment);
        let millis =
            |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let duration = since(self.begun);
        let billable = self.answered.map(since).unwrap_or_default();
        let answer = self.answered.map(|answered| self.start.after(answered.since(self.begun)));
        Cdr {
            call: self.call,
            leg: self.leg,
            switch: None,
            direction: self.direction,
            peer: self.peer,
            address: self.address.to_string(),
            calling_number: self.calling_number,
            calling_name: self.calling_name,
            called_number: self.called_number,
            dnid: self.dnid,
            rdnis: self.rdnis,
            route: self.route,
            destination: self.destination,
            start: self.start,
            answer,
            end: self.start.after(duration),
            duration_ms: millis(duration),
            billable_ms: millis(billable),
            reason: end.reason.name().into(),
            cause: end.cause.0,
            cause_text: end.text.clone(),
            hung_up_by: HungUpBy::of(end.reason, self.follows),
            codec: end.stats.format.map(|format| format.to_string()),
            transcoded: self.transcoded.map(|format| format.to_string()),
            encrypted: end.stats.encrypted,
            trunk: trunk && !end.stats.encrypted,
            limit: self.limit,
            account_code: self.account_code,
            quality,
        }
    }
}
