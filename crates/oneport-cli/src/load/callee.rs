//! The side of a load that is called: it takes each call, and sends back what it hears.

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant as Moment};

use oneport::probe::{Mark, Reading};
use oneport::{
    Application, CallId, CauseCode, CodecPriority, DropNotice, DtmfPhase, Format, Offer, negotiate,
};
use oneport_proto::{Endpoint, Event, Instant, Media, TrunkConfig};
use oneport_wire::MediaKind;

use super::tally::Tally;

/// How calls are taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manners {
    /// How long they ring.
    pub(crate) ring: Duration,
    /// How many of a hundred are busy, and ring until the caller gives up.
    pub(crate) busy: f64,
    pub(crate) unanswered: f64,
}

/// Takes calls.
pub(crate) struct Callee {
    /// Which run this is, and when it began: what marks say.
    run: u32,
    epoch: Moment,
    /// How calls are taken.
    manners: Manners,
    trunk: Option<TrunkConfig>,
    /// Who is answered in trunk frames already.
    trunks: HashSet<SocketAddr>,
    formats: Vec<Format>,
    ringing: VecDeque<(Instant, CallId)>,
    calls: usize,
    tally: Tally,
}

impl Callee {
    pub(crate) fn new(
        run: u32,
        epoch: Moment,
        manners: Manners,
        trunk: Option<TrunkConfig>,
    ) -> Self {
        Self {
            run,
            epoch,
            manners,
            trunk,
            trunks: HashSet::new(),
            formats: Format::all().filter(|format| format.kind() == MediaKind::Audio).collect(),
            ringing: VecDeque::new(),
            calls: 0,
            tally: Tally::new(),
        }
    }

    /// What was counted since this was last asked.
    pub(crate) fn take_tally(&mut self) -> Tally {
        std::mem::replace(&mut self.tally, Tally::new())
    }

    /// Calls that have not ended.
    pub(crate) const fn calls(&self) -> usize {
        self.calls
    }

    fn take(&mut self, endpoint: &mut Endpoint, now: Instant, call: CallId, offer: &Offer) {
        self.calls += 1;
        self.tally.placed += 1;
        let Some(format) = negotiate(CodecPriority::Caller, &self.formats, offer) else {
            let _ = endpoint.reject(now, call, CauseCode::BEARER_NOT_AVAILABLE, None);
            return;
        };
        let chance = fastrand::f64() * 100.0;
        let Manners { ring, busy, unanswered } = self.manners;
        if chance < busy {
            let _ = endpoint.reject(now, call, CauseCode::USER_BUSY, None);
            return;
        }
        let from = offer.path.remote;
        if self.trunk.is_some() && self.trunks.insert(from) {
            endpoint.set_trunk(from, self.trunk);
        }
        // The call is there: it was offered just now.
        let _ = endpoint.accept(now, call, format);
        let _ = endpoint.link(call, call);
        let _ = endpoint.tap(call, true);
        let is_left = chance < busy + unanswered;
        if ring.is_zero() && !is_left {
            return self.answer(endpoint, now, call);
        }
        let _ = endpoint.ringing(now, call);
        if !is_left {
            self.ringing.push_back((now + ring, call));
        }
    }

    fn answer(&mut self, endpoint: &mut Endpoint, now: Instant, call: CallId) {
        // A caller that has hung up meanwhile is told of by the call's last event.
        if endpoint.answer(now, call).is_ok() {
            self.tally.answered += 1;
        }
    }
}

impl Application for Callee {
    fn handle_event(&mut self, endpoint: &mut Endpoint, now: Instant, event: Event) {
        match event {
            Event::CallOffered { call, offer } => self.take(endpoint, now, call, &offer),
            Event::Dtmf { call, digit, phase: DtmfPhase::Begin } => {
                let _ = endpoint.dtmf_begin(now, call, digit);
            }
            Event::Dtmf { call, digit, phase: DtmfPhase::End } => {
                self.tally.digits_heard += 1;
                let _ = endpoint.dtmf_end(now, call, digit);
            }
            Event::CallEnded { .. } => {
                self.calls -= 1;
                self.tally.completed += 1;
            }
            Event::RegisterRequested { request, .. } => drop(endpoint.refuse(now, request)),
            _ => {}
        }
    }

    fn handle_tapped(&mut self, _now: Instant, _call: CallId, media: Media<'_>) {
        self.tally.heard += 1;
        if let Reading::Whole(mark, _) = Mark::read(self.run, media.payload) {
            let came = u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.tally.one_way.record(came.saturating_sub(mark.sent));
        }
    }

    fn handle_notice(&mut self, notice: &DropNotice) {
        tracing::debug!("{notice}");
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.ringing.front().map(|(at, _)| *at)
    }

    fn handle_timeout(&mut self, endpoint: &mut Endpoint, now: Instant) {
        while let Some((at, call)) = self.ringing.front().copied()
            && at <= now
        {
            self.ringing.pop_front();
            self.answer(endpoint, now, call);
        }
    }
}
