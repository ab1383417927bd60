//! What the API shows of the switch. It runs on the driver's thread, so each answer is a page: it
//! costs a look at each leg or peer, and figures of those alone that are shown.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use oneport::{Diagnosis, LossBursts, Score};
use oneport_proto::{
    CallId, CallStats, CodecPriority, Counters, EncryptionPolicy, Endpoint, Instant,
    RegistrationConfig, Said,
};

use oneport_wire::CauseCode;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use uuid::Uuid;

use super::realtime::RowFigures;
use super::{Leg, State, Switch};
use crate::api::model::{
    CallState, CallView, Calls, CapacityView, Heard, HeardThere, LegTimeline, LegView, Legs,
    LimitView, LimitsView, PartView, PeerInFull, PeerState, PeerView, Peers, PollView,
    RegisteredHere, RegisteredThere, RegistrationState, Registrations, RouteView, RoutesView,
    SharedView, Status, SwitchesView, TimelineView, User,
};
use crate::cdr::hundredths;
use crate::cluster::lease::Share;
use crate::config::Peer;
use crate::decision::Decision;
use crate::limits::{Direction, LimitUsage, Scope};
use crate::news::News;
use crate::overload::Measure;
use crate::qualify::Status as PollStatus;
use crate::refusal::Stage;
use crate::sip::streams::Counts as StreamCounts;
use crate::tally::{Tally, Voice};
use crate::timeline::Part;

/// Limits that are shown, where each number has one of its own.
const MOST_LIMITS: usize = 1_000;
/// Routes that are shown.
const MOST_ROUTES: usize = 1_000;

/// Troubles that are named, before the rest is counted.
const MOST_TROUBLES: usize = 10;

/// Which part of a list is wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Page<K> {
    /// Only what comes behind this.
    pub(crate) after: Option<K>,
    /// How many at most.
    pub(crate) limit: usize,
}

/// Which calls are wanted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct CallFilter {
    /// With this peer on either side.
    pub(crate) peer: Option<String>,
    /// To this number.
    pub(crate) number: Option<String>,
    pub(crate) state: Option<CallState>,
}

/// The `limit` smallest of `items` behind `after`, in order, and whether there are more.
fn page_of<T>(items: impl Iterator<Item = (u64, T)>, page: &Page<u64>) -> (Vec<(u64, T)>, bool) {
    /// By its key alone.
    struct Keyed<T>(u64, T);
    impl<T> PartialEq for Keyed<T> {
        fn eq(&self, other: &Self) -> bool {
            self.0 == other.0
        }
    }
    impl<T> Eq for Keyed<T> {}
    impl<T> PartialOrd for Keyed<T> {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }
    impl<T> Ord for Keyed<T> {
        fn cmp(&self, other: &Self) -> Ordering {
            self.0.cmp(&other.0)
        }
    }
    let mut heap = BinaryHeap::new();
    let mut more = false;
    for (key, item) in items.filter(|(key, _)| page.after.is_none_or(|after| *key > after)) {
        heap.push(Keyed(key, item));
        if heap.len() > page.limit {
            more = true;
            heap.pop();
        }
    }
    let sorted = heap.into_sorted_vec();
    (sorted.into_iter().map(|Keyed(key, item)| (key, item)).collect(), more)
}

pub(super) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

pub(super) fn tenths(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10.0).round() / 10.0
}

impl Switch {
    /// Listens to what happens.
    pub(crate) fn news(&self) -> broadcast::Receiver<Arc<News>> {
        self.news.listen()
    }

    /// How far a call is, as its caller's leg says; `None` for a leg that was called.
    pub(super) fn call_state(&self, leg: &Leg) -> Option<CallState> {
        Some(match &leg.state {
            State::Called { .. } | State::Gone => return None,
            State::Parked(_) => CallState::Parked,
            State::Identifying(_) => CallState::Identifying,
            State::Originated(_) if leg.marks.rings => CallState::Ringing,
            State::Originated(_) => CallState::Calling,
            State::Dialling { .. } => CallState::Dialling,
            State::Builtin(_) => CallState::Answered,
            State::Caller(caller) if caller.answered => CallState::Answered,
            State::Caller(caller) => {
                let rings =
                    |called: &CallId| self.legs.get(called).is_some_and(|leg| leg.marks.rings);
                match caller.called.iter().any(rings) {
                    true => CallState::Ringing,
                    false => CallState::Calling,
                }
            }
        })
    }

    /// The number that a leg's caller has called, wherever it leads.
    pub(super) fn number_of(&self, call: CallId) -> &str {
        self.book.called_number(call).unwrap_or_default()
    }

    /// The leg of a call's caller.
    pub(crate) fn find_call(&self, id: &str) -> Option<CallId> {
        let id: Uuid = id.parse().ok()?;
        let caller = |leg: &Leg| !matches!(leg.state, State::Called { .. });
        let mut legs = self.legs.iter();
        legs.find(|(_, leg)| leg.id == id && caller(leg)).map(|(call, _)| *call)
    }

    /// A page of the calls that fit.
    pub(crate) fn calls(
        &self,
        endpoint: &Endpoint,
        now: Instant,
        filter: &CallFilter,
        page: &Page<u64>,
    ) -> Calls {
        let of_peer = |leg: &Leg, peer: &str| leg.peer.as_deref() == Some(peer);
        let fits = |call: CallId, leg: &Leg| {
            let Some(state) = self.call_state(leg) else { return false };
            let called = |peer: &str| match &leg.state {
                State::Caller(caller) => caller
                    .called
                    .iter()
                    .filter_map(|called| self.legs.get(called))
                    .any(|called| of_peer(called, peer)),
                _ => false,
            };
            filter.state.is_none_or(|wanted| wanted == state)
                && filter.number.as_deref().is_none_or(|number| number == self.number_of(call))
                && filter.peer.as_deref().is_none_or(|peer| of_peer(leg, peer) || called(peer))
        };
        let mut total = 0;
        let fitting =
            self.legs.iter().filter(|(call, leg)| fits(**call, leg)).map(|(call, leg)| {
                total += 1;
                (leg.lease.0, *call)
            });
        let (page, more) = page_of(fitting, page);
        let next = page.last().filter(|_| more).map(|(lease, _)| lease.to_string());
        let calls = page.iter().filter_map(|(_, call)| self.show_call(endpoint, now, *call));
        Calls { calls: calls.collect(), total, next }
    }

    /// One call, by the leg of its caller.
    pub(crate) fn show_call(
        &self,
        endpoint: &Endpoint,
        now: Instant,
        call: CallId,
    ) -> Option<CallView> {
        let leg = self.legs.get(&call)?;
        let state = self.call_state(leg)?;
        let shown = |(call, leg)| self.show_leg(endpoint, now, call, leg);
        let called: Vec<LegView> = self.called_legs(leg).map(shown).collect();
        Some(CallView {
            id: leg.id.to_string(),
            process: self.older_process(),
            state,
            number: self.number_of(call).into(),
            calling_number: self.book.calling_number(call).map(Into::into),
            route: self.book.route(call).map(Into::into),
            destination: self.destination_of(leg),
            seconds: tenths(now.since(leg.begun)),
            recording: self.show_recording(leg.id, now),
            listeners: self.listeners(leg.id),
            transcoded: self.show_transcoding(endpoint, call),
            caller: self.show_leg(endpoint, now, call, leg),
            called,
        })
    }

    /// How the legs of a call have sounded since their beginning, that of the caller first. `call` is that.
    pub(crate) fn show_timeline(
        &self,
        endpoint: &Endpoint,
        now: Instant,
        call: CallId,
    ) -> Option<TimelineView> {
        let caller = self.legs.get(&call)?;
        let legs = [(call, caller)].into_iter().chain(self.called_legs(caller));
        let each = legs.map(|(id, leg)| LegTimeline {
            channel: channel_of(endpoint, id, leg),
            parts: (leg.marks.timeline.iter())
                .flat_map(|timeline| timeline.tell(leg.begun, now))
                .map(PartView::from)
                .collect(),
        });
        Some(TimelineView { call: caller.id.to_string(), legs: each.collect() })
    }

    /// A page of all legs.
    pub(crate) fn legs(&self, endpoint: &Endpoint, now: Instant, page: &Page<u64>) -> Legs {
        let all = self.legs.iter().map(|(call, leg)| (leg.lease.0, (*call, leg)));
        let (page, more) = page_of(all, page);
        let next = page.last().filter(|_| more).map(|(lease, _)| lease.to_string());
        let legs = page.iter().map(|(_, (call, leg))| self.show_leg(endpoint, now, *call, leg));
        Legs { legs: legs.collect(), total: self.legs.len(), next }
    }

    fn show_leg(&self, endpoint: &Endpoint, now: Instant, call: CallId, leg: &Leg) -> LegView {
        let numbers = endpoint.call_numbers(call);
        let stats = self.figures_of(endpoint, call);
        let signalling = endpoint.call_signalling(call).unwrap_or_default();
        let diagnosis = self.diagnose(call, &stats);
        let causes = diagnosis.iter().flat_map(Diagnosis::causes);
        let remedies = diagnosis.iter().flat_map(Diagnosis::remedies);
        LegView {
            call: leg.id.to_string(),
            channel: channel_of(endpoint, call, leg),
            incoming: leg.direction == Direction::In,
            peer: leg.peer.clone(),
            address: leg.address.to_string(),
            our_number: numbers.map(|(ours, _)| ours.get()),
            their_number: numbers.and_then(|(_, theirs)| theirs).map(|number| number.get()),
            codec: stats.format.map(|format| format.name().into()),
            encrypted: stats.encrypted,
            seconds: tenths(now.since(leg.begun)),
            rtt_ms: stats.rtt.map(millis),
            lag_ms: stats.lag.last.map(millis),
            lag_least_ms: stats.lag.least.map(millis),
            lag_greatest_ms: stats.lag.greatest.map(millis),
            lag_here_ms: stats.lag.incoming_excess.map(millis),
            lag_there_ms: stats.lag.outgoing_excess().map(millis),
            heard: heard(&stats),
            heard_there: heard_there(&stats),
            causes: causes.map(|cause| cause.name().into()).collect(),
            remedies: remedies.map(Into::into).collect(),
            diagnosis: diagnosis.as_ref().map(ToString::to_string),
            one_way: self.show_one_way(now, call),
            sent_frames: stats.sent_frames,
            retransmissions: stats.retransmissions,
            sent_sequence: signalling.next.0,
            received_sequence: signalling.expected.0,
            first_message: message(signalling.first),
            last_message: message(signalling.last),
        }
    }

    /// A page of the peers; `state`: of those in this state.
    pub(crate) fn peers(
        &self,
        now: Instant,
        state: Option<PeerState>,
        page: &Page<String>,
    ) -> Peers {
        let calls = self.calls_by_peer();
        let fits = |(name, peer): &(&String, &Arc<Peer>)| {
            state.is_none_or(|state| state == self.peer_state(name, peer).0)
        };
        let total = self.config.peers.iter().filter(fits).count();
        let behind = |(name, _): &(&String, &Arc<Peer>)| {
            page.after.as_deref().is_none_or(|after| name.as_str() > after)
        };
        let mut left = self.config.peers.iter().filter(fits).filter(behind);
        let peers: Vec<PeerView> = (left.by_ref().take(page.limit))
            .map(|(name, peer)| {
                let calls = calls.get(name.as_str()).copied().unwrap_or_default();
                self.show_peer(now, name, peer, calls)
            })
            .collect();
        let more = left.next().is_some();
        let next = peers.last().filter(|_| more).map(|peer| peer.name.clone());
        Peers { peers, total, next }
    }

    /// A peer, with its last polls; `None`: there is none of this name.
    pub(crate) fn peer_in_full(&self, now: Instant, name: &str) -> Option<PeerInFull> {
        let peer = self.config.peers.get(name)?;
        let calls = self.calls_by_peer().get(name).copied().unwrap_or_default();
        let polls = match self.polls_behind_gateway(name) {
            Some(polls) => polls,
            None => self.qualify.polls(now, name),
        };
        let told = |(seconds_ago, round_trip_ms)| PollView { seconds_ago, round_trip_ms };
        Some(PeerInFull {
            peer: self.show_peer(now, name, peer, calls),
            polls: polls.into_iter().map(told).collect(),
        })
    }

    fn peer_state(&self, name: &str, peer: &Peer) -> (PeerState, Option<Duration>) {
        if let Some(state) = self.state_behind_gateway(name) {
            return state;
        }
        if peer.qualify.is_none() {
            return (PeerState::Unmonitored, None);
        }
        match self.qualify.status(name) {
            PollStatus::Unknown => (PeerState::Unknown, None),
            PollStatus::Ok(rtt) => (PeerState::Ok, Some(rtt)),
            PollStatus::Lagged(rtt) => (PeerState::Lagged, Some(rtt)),
            PollStatus::Unreachable => (PeerState::Unreachable, None),
        }
    }

    fn show_peer(
        &self,
        now: Instant,
        name: &str,
        peer: &Peer,
        (calls_in, calls_out): (usize, usize),
    ) -> PeerView {
        let (state, latency) = self.peer_state(name, peer);
        let address = peer.address.or_else(|| self.registrar.find(now, name));
        let on_it = |scope: &Scope| match scope {
            Scope::Peers(names) => names.iter().any(|own| own == name),
            _ => false,
        };
        let limits = self.config.limits.iter().filter(|limit| on_it(&limit.scope));
        let auth = peer.methods.to_string();
        let auth = auth.split(['|', ',', ' ']).filter(|word| !word.is_empty());
        PeerView {
            name: name.into(),
            state,
            latency_ms: latency.map(millis),
            address: address.map(|address| address.to_string()),
            registers: peer.address.is_none() && peer.lost.is_none(),
            expires_seconds: self.registrar.left(now, name).map(|left| left.as_secs()),
            username: peer.username.clone(),
            trunk: peer.trunk.is_some(),
            encryption: match peer.encryption {
                EncryptionPolicy::Off => "off",
                EncryptionPolicy::Allowed => "allowed",
                EncryptionPolicy::Required => "required",
            }
            .into(),
            codec_priority: match peer.priority {
                CodecPriority::Host => "host",
                CodecPriority::Caller => "caller",
                CodecPriority::Disabled => "disabled",
                CodecPriority::RequestedOnly => "reqonly",
            }
            .into(),
            codecs: peer.codecs.iter().map(|format| format.name().into()).collect(),
            contexts: peer.contexts.clone(),
            auth: auth.map(Into::into).collect(),
            restricted: match self.config.phones.get(name) {
                Some(phone) => phone.acls.iter().any(|acl| !acl.is_open()),
                None => peer.acls.iter().any(|acl| !acl.is_open()),
            },
            calls_in,
            calls_out,
            limits: limits.map(|limit| limit.name.clone()).collect(),
        }
    }

    /// Registrations both ways.
    pub(crate) fn registrations(&self, now: Instant, page: &Page<String>) -> Registrations {
        let mut left = self
            .registrar
            .all(now)
            .filter(|(name, ..)| page.after.as_deref().is_none_or(|after| *name > after));
        let here: Vec<RegisteredHere> = (left.by_ref().take(page.limit))
            .map(|(name, address, left)| RegisteredHere {
                name: name.into(),
                address: address.to_string(),
                expires_seconds: left.as_secs(),
            })
            .collect();
        let more = left.next().is_some();
        let next = here.last().filter(|_| more).map(|one| one.name.clone());
        let mut elsewhere: Vec<RegisteredThere> = self
            .registrations
            .values()
            .map(|standing| RegisteredThere {
                registrar: standing.registrar.to_string(),
                username: standing.config.username.clone(),
                state: match standing.registered {
                    None => RegistrationState::Trying,
                    Some(true) => RegistrationState::Registered,
                    Some(false) => RegistrationState::Failed,
                },
                refresh_seconds: standing.granted.unwrap_or(standing.config.refresh).as_secs(),
                apparent_address: standing.seen_at.map(|address| address.to_string()),
                failure: standing.failure.clone(),
            })
            .collect();
        elsewhere.extend(self.registrations_at_carriers());
        elsewhere.sort_by(|a, b| (&a.registrar, &a.username).cmp(&(&b.registrar, &b.username)));
        Registrations { here, elsewhere, total: self.registrar.all(now).count(), next }
    }

    /// Use of all limits.
    pub(crate) fn show_limits(&mut self, now: Instant) -> LimitsView {
        let mut usage = self.limit_usage(now);
        usage.truncate(MOST_LIMITS);
        LimitsView { limits: usage.into_iter().map(LimitView::from).collect() }
    }

    /// The dial plan, in the order written.
    pub(crate) fn show_routes(&self) -> RoutesView {
        let routes = self.config.routes.iter().take(MOST_ROUTES).map(RouteView::from).collect();
        RoutesView { routes, total: self.config.routes.len() }
    }

    /// Where a number would lead now.
    ///
    /// # Errors
    /// There is no such peer.
    pub(crate) fn decide(
        &self,
        from: Option<&str>,
        number: &str,
        context: Option<&str>,
    ) -> Result<Decision, String> {
        Decision::new(&self.config, from, number, context)
    }

    /// Calls that are up, whatever number of legs they have.
    pub(crate) fn count_calls(&self) -> usize {
        self.legs.values().filter(|leg| !matches!(leg.state, State::Called { .. })).count()
    }

    /// The state of the switch in a few figures. Version, uptime and addresses are for the API to
    /// fill in.
    pub(crate) fn show_status(&mut self, now: Instant) -> Status {
        let calls = self.count_calls();
        let mut troubles = Vec::new();
        let mut peers_unreachable = 0;
        for (name, peer) in &self.config.peers {
            let what = match self.peer_state(name, peer).0 {
                PeerState::Lagged => "LAGGED",
                PeerState::Unreachable => "UNREACHABLE",
                _ => continue,
            };
            peers_unreachable += 1;
            troubles.push(format!("peer {name} is {what}"));
        }
        for host in &self.config.lost_hosts {
            troubles.push(format!("host {host} cannot be found"));
        }
        for standing in self.registrations.values() {
            if let Some(failure) = &standing.failure {
                troubles.push(format!("{standing}: {failure}"));
            }
        }
        let full = |limit: &LimitUsage| {
            !limit.soft && limit.max_calls.is_some_and(|max| limit.used >= max)
        };
        let usage = self.limit_usage(now);
        let limits_full = usage.iter().filter(|limit| full(limit)).count();
        for limit in usage.iter().filter(|limit| full(limit)) {
            troubles.push(format!("limit {} is full: {} calls", limit.name, limit.used));
        }
        let refusing = self.why_refusing();
        if let Some(why) = self.overloaded(0) {
            troubles.insert(0, format!("new calls are refused: {why}"));
        }
        let untold = troubles.len().saturating_sub(MOST_TROUBLES);
        troubles.truncate(MOST_TROUBLES);
        if untold > 0 {
            troubles.push(format!("and {untold} more"));
        }
        let good = self.registrations.values().filter(|one| one.registered == Some(true)).count();
        Status {
            version: String::new(),
            uptime_seconds: 0,
            listen: Vec::new(),
            calls,
            legs: self.legs.len(),
            older: self.older(),
            profile: self.config.profile.map(|profile| profile.name().into()),
            encryption: self.config.encryption_in_use().into(),
            peers: self.config.peers.len(),
            peers_unreachable,
            registered_here: self.registrar.all(now).count(),
            registrations: self.registrations.len(),
            registrations_good: good,
            limits_full,
            ready: refusing.is_none(),
            refusing,
            troubles,
        }
    }
}

/// A message as Asterisk's console names it.
fn message(said: Option<Said>) -> String {
    let Some(Said { ours, subclass }) = said else { return String::new() };
    format!("{}:{subclass}", if ours { "Tx" } else { "Rx" })
}

/// The name of a leg as Asterisk would write it.
fn channel_of(endpoint: &Endpoint, call: CallId, leg: &Leg) -> String {
    let name = leg.peer.clone().unwrap_or_else(|| leg.address.to_string());
    let number = endpoint.call_numbers(call).map_or(0, |(ours, _)| ours.get());
    format!("IAX2/{name}-{number}")
}

impl From<Part> for PartView {
    fn from(part: Part) -> Self {
        Self {
            seconds_ago: part.seconds_ago,
            lost_percent: part.lost_percent,
            jitter_ms: part.jitter_ms,
            late_ms: part.late_ms,
            round_trip_ms: part.round_trip_ms,
            lost_percent_there: part.lost_percent_there,
            jitter_ms_there: part.jitter_ms_there,
            buffer_ms_there: part.buffer_ms_there,
        }
    }
}

fn heard(stats: &CallStats) -> Heard {
    let heard = &stats.received;
    let loss = LossBursts::of(heard);
    let score = Score::here(stats);
    Heard {
        frames: heard.frames,
        lost: heard.lost,
        late: heard.late,
        out_of_order: heard.out_of_order,
        duplicates: heard.duplicates,
        jitter_ms: millis(heard.jitter),
        late_p50_ms: millis(heard.delay.p50),
        late_p95_ms: millis(heard.delay.p95),
        late_p99_ms: millis(heard.delay.p99),
        late_max_ms: millis(heard.delay.greatest),
        late_now_ms: millis(heard.delay.now),
        bursts: loss.bursts,
        burst_ms: millis(loss.burst_length),
        gap_ms: millis(loss.gap_length),
        burst_loss_percent: hundredths(loss.burst_density),
        gap_loss_percent: hundredths(loss.gap_density),
        burst_ratio: hundredths(loss.burst_ratio),
        clock_ppm: heard.delay.clock_ppm,
        rating: score.map(|score| hundredths(score.rating)),
        mos: score.map(|score| hundredths(score.mos)),
    }
}

fn heard_there(stats: &CallStats) -> Option<HeardThere> {
    let there = stats.remote?;
    let score = Score::there(stats);
    let whole = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Some(HeardThere {
        frames: there.frames,
        lost: there.lost,
        lost_percent: there.lost_percent,
        dropped: there.dropped,
        out_of_order: there.out_of_order,
        jitter_ms: whole(there.jitter),
        delay_ms: whole(there.delay),
        rating: score.map(|score| hundredths(score.rating)),
        mos: score.map(|score| hundredths(score.mos)),
    })
}

impl From<LimitUsage> for LimitView {
    fn from(usage: LimitUsage) -> Self {
        let top = usage.top.into_iter().map(|(name, calls)| User { name, calls });
        Self {
            name: usage.name,
            used: usage.used,
            soft: usage.soft,
            max_calls: usage.max_calls,
            max_calls_per_second: usage.max_calls_per_second,
            begun_within_second: usage.begun,
            peak: usage.peak,
            refused: usage.refused,
            at_cap_seconds: tenths(usage.at_cap),
            history: usage.history,
            top: top.collect(),
            shared: usage.shared.map(SharedView::from),
            shared_rate: usage.shared_rate.map(SharedView::from),
        }
    }
}

impl From<Share> for SharedView {
    fn from(share: Share) -> Self {
        Self {
            leased: share.bound.slots(),
            elsewhere: share.elsewhere,
            in_use_elsewhere: share.told_elsewhere,
            max: share.max,
            switches: share.switches,
            age_seconds: share.age.map(tenths),
        }
    }
}

/// A peer in figures.
#[derive(Clone, Debug)]
pub(crate) struct PeerFigures {
    pub(crate) name: String,
    pub(crate) state: PeerState,
    pub(crate) latency: Option<Duration>,
    /// Legs that came from it, and that went to it.
    pub(crate) calls: (usize, usize),
    /// Voice of all its legs, those that are up among them.
    pub(crate) voice: Voice,
    /// The worst jitter of those that are up: as heard here, and as it says.
    pub(crate) jitter: (Option<Duration>, Option<Duration>),
    /// Of those that are up, what 95 of 100 frames came later than at most, of the worst.
    pub(crate) late: Option<Duration>,
    /// The worst mean opinion score of those that are up: here, and there.
    pub(crate) mos: (Option<f64>, Option<f64>),
}

/// A limit in figures, with all the numbers of one that has each number by itself.
#[derive(Clone, Debug)]
pub(crate) struct LimitFigures {
    pub(crate) name: String,
    pub(crate) used: usize,
    pub(crate) max: Option<usize>,
    pub(crate) peak: usize,
    pub(crate) refused: u64,
    pub(crate) at_cap: Duration,
    /// Calls at once, where they are shared with other switches.
    pub(crate) shared: Option<Share>,
}

/// How much the threads of media have to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadFigures {
    /// New calls are refused.
    pub(crate) overloaded: bool,
    /// Calls refused, by what was measured.
    pub(crate) refused: [(Measure, u64); Measure::ALL.len()],
    /// CPU time used of the quota: 1 is all of it.
    pub(crate) quota: Option<f64>,
    /// CPU time of the media thread: 1 is all of its time.
    pub(crate) cpu: Option<f64>,
    /// How late it comes, in seconds.
    pub(crate) delay: Option<f64>,
}

/// Radio nodes.
#[derive(Clone, Debug)]
pub(crate) struct RadioFigures {
    /// At the far ends of legs.
    pub(crate) nodes: usize,
    /// Of which those tell, each once.
    pub(crate) linked: usize,
    /// Nodes that are keyed.
    pub(crate) keyed: usize,
    /// How often nodes were keyed, and how long in all.
    pub(crate) times: u64,
    pub(crate) seconds: f64,
    /// Texts by their kind.
    pub(crate) texts: BTreeMap<&'static str, u64>,
}

/// What metrics are made of.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub(crate) counters: Counters,
    pub(crate) tally: Tally,
    pub(crate) refused: BTreeMap<(Stage, Option<CauseCode>), u64>,
    /// Records that are not durable yet, how many may be, and refusals left out because too many waited.
    pub(crate) records: (u64, u64, u64),
    /// Calls that are recorded, and frames left out of recordings.
    pub(crate) recordings: (usize, u64),
    /// Packets left out of captures.
    pub(crate) captures_left_out: u64,
    /// Packets sent to whoever collects signalling, and messages left out; none where nobody does.
    pub(crate) exported: Option<(u64, u64)>,
    /// Spans sent, and those left out; none where calls are not traced.
    pub(crate) traces: Option<(u64, u64)>,
    /// Of Asterisk's tables, where there are any.
    pub(crate) rows: Option<RowFigures>,
    /// Legs on which somebody is not heard.
    pub(crate) one_way: usize,
    /// Calls that are transcoded, and how many may be.
    pub(crate) transcoded: (usize, usize),
    /// Radio nodes.
    pub(crate) radio: RadioFigures,
    /// Connections of SIP that others have opened.
    pub(crate) streams: StreamCounts,
    /// Older processes, and legs of theirs.
    pub(crate) older: (usize, usize),
    /// The state of each call.
    pub(crate) calls: Vec<CallState>,
    pub(crate) legs: usize,
    pub(crate) load: LoadFigures,
    /// How many more calls fit.
    pub(crate) capacity: CapacityView,
    pub(crate) limits: Vec<LimitFigures>,
    /// This one and others with the same database; none where it is alone.
    pub(crate) switches: SwitchesView,
    pub(crate) peers: Vec<PeerFigures>,
    /// Peers registered here.
    pub(crate) registered: usize,
    /// Ours elsewhere: registrar, name, and whether it has us.
    pub(crate) registrations: Vec<(String, String, bool)>,
}

impl Switch {
    /// What metrics are made of.
    pub(crate) fn figures(&mut self, endpoint: &Endpoint, now: Instant) -> Figures {
        let capacity = self.show_capacity(endpoint, now);
        let usage = self.limit_usage(now);
        let mut limits: Vec<LimitFigures> = Vec::new();
        for limit in usage {
            let name = match &limit.number {
                Some(_) => limit.limit,
                None => limit.name,
            };
            match limits.last_mut().filter(|last| last.name == name) {
                Some(last) => {
                    last.used = last.used.max(limit.used);
                    last.peak = last.peak.max(limit.peak);
                    last.at_cap += limit.at_cap;
                }
                None => {
                    // Those of numbers that are not called now count too, once.
                    let (peak, at_cap) = match limit.number {
                        Some(_) => limit.forgotten,
                        None => (0, Duration::ZERO),
                    };
                    limits.push(LimitFigures {
                        name,
                        used: limit.used,
                        max: limit.max_calls,
                        peak: limit.peak.max(peak),
                        refused: limit.refused,
                        at_cap: limit.at_cap + at_cap,
                        shared: limit.shared,
                    });
                }
            }
        }
        let by_peer = self.calls_by_peer();
        let mut live: HashMap<&str, Vec<CallStats>> = HashMap::new();
        for (call, leg) in &self.legs {
            if let (Some(peer), Some(stats)) = (leg.peer.as_deref(), endpoint.call_stats(*call)) {
                live.entry(peer).or_default().push(stats);
            }
        }
        let peers = self.config.peers.iter().map(|(name, peer)| {
            let (state, latency) = self.peer_state(name, peer);
            let calls = by_peer.get(name.as_str()).copied().unwrap_or_default();
            let mut voice = self.tally.voice.get(name).copied().unwrap_or_default();
            let (mut jitter, mut late, mut mos) = ((None, None), None, (None, None));
            let worse = |worst: Option<f64>, score: Option<Score>| {
                let mos = score.map(|score| score.mos);
                worst.into_iter().chain(mos).min_by(f64::total_cmp)
            };
            for stats in live.get(name.as_str()).into_iter().flatten() {
                voice.add(stats);
                if stats.received.frames > 0 {
                    jitter.0 = jitter.0.max(Some(stats.received.jitter));
                    late = late.max(Some(stats.received.delay.p95));
                }
                jitter.1 = jitter.1.max(stats.remote.map(|there| there.jitter));
                mos = (worse(mos.0, Score::here(stats)), worse(mos.1, Score::there(stats)));
            }
            PeerFigures { name: name.clone(), state, latency, calls, voice, jitter, late, mos }
        });
        let mut registrations: Vec<(String, String, bool)> = self
            .registrations
            .values()
            .map(|standing| {
                let RegistrationConfig { to, username, .. } = &standing.config;
                (to.to_string(), username.clone(), standing.registered == Some(true))
            })
            .collect();
        // Two of the same would be one series twice.
        registrations.sort();
        registrations.dedup_by(|a, b| (&a.0, &a.1) == (&b.0, &b.1));
        Figures {
            counters: endpoint.counters().clone(),
            tally: self.tally.clone(),
            refused: self.book.refused_counts().clone(),
            records: (
                self.records_waiting(),
                self.book.ledger().map_or(0, |ledger| ledger.most()),
                self.refusals_left_out(),
            ),
            captures_left_out: self.captures.left_out,
            exported: self.hep.as_ref().map(|exporter| exporter.counts().read()),
            traces: self.book.traces().map(|traces| traces.counts().read()),
            rows: self.row_figures(),
            one_way: self.count_one_way(),
            transcoded: (self.transcodings.count(), self.config.max_transcoded_calls),
            recordings: (self.taps.count(), self.taps.left_out),
            radio: self.radio_figures(now),
            streams: self.sip_connections(),
            older: self.count_older(),
            calls: self.legs.values().filter_map(|leg| self.call_state(leg)).collect(),
            legs: self.legs.len(),
            load: self.load_figures(),
            capacity,
            limits,
            switches: self.show_switches(now),
            peers: peers.collect(),
            registered: self.registrar.all(now).count(),
            registrations,
        }
    }

    /// Legs that came from each peer, and that went to it.
    fn calls_by_peer(&self) -> HashMap<&str, (usize, usize)> {
        let mut calls: HashMap<&str, (usize, usize)> = HashMap::new();
        for leg in self.legs.values() {
            let Some(peer) = leg.peer.as_deref() else { continue };
            let (incoming, outgoing) = calls.entry(peer).or_default();
            match leg.direction {
                Direction::Out => *outgoing += 1,
                Direction::In => *incoming += 1,
            }
        }
        calls
    }
}
