//! Answered calls that must not last too long, and whose peers must be heard. It knows nothing of
//! calls but their handles.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::hash::Hash;
use std::time::Duration;

use oneport_proto::Instant;
use oneport_wire::CauseCode;

/// A bound, and who has set it, for people: `peers.ann`, `routes.office`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Bound {
    pub(crate) time: Duration,
    pub(crate) owner: String,
}

/// What a call is held to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Bounds {
    /// How long it may last from its answer on.
    pub(crate) duration: Option<Bound>,
    /// How long its peer may send no voice.
    pub(crate) silence: Option<Bound>,
}

impl Bounds {
    /// The narrower of both, each by itself.
    pub(crate) fn and(self, other: Self) -> Self {
        let narrower = |one: Option<Bound>, other: Option<Bound>| match (one, other) {
            (Some(one), Some(other)) if other.time < one.time => Some(other),
            (one, other) => one.or(other),
        };
        Self {
            duration: narrower(self.duration, other.duration),
            silence: narrower(self.silence, other.silence),
        }
    }
}

/// Why this switch has ended a call that was up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    /// It has lasted as long as it may.
    TimeUp {
        /// Who says so: `peers.NAME` or `routes.NAME`.
        owner: String,
        /// How long it may last.
        limit: Duration,
    },
    /// Its peer has sent no voice for too long, and was not on hold.
    NoMedia {
        /// Who says so: `peers.NAME` or `routes.NAME`.
        owner: String,
        /// How long it may be silent.
        limit: Duration,
    },
    /// It did not know the PIN of a conference.
    WrongPin {
        /// The conference.
        room: String,
    },
    /// It was parked, and nobody fetched it.
    NotFetched {
        /// The slot.
        slot: u32,
    },
}

impl Ending {
    /// Its name in records.
    #[must_use]
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::TimeUp { .. } => "max_duration",
            Self::NoMedia { .. } => "no_media",
            Self::WrongPin { .. } => "wrong_pin",
            Self::NotFetched { .. } => "not_fetched",
        }
    }

    /// What both parties are told. A call whose time is up ends as one that was hung up; one without
    /// media ends by the cause that Asterisk gives to a call without RTP.
    #[must_use]
    pub(crate) const fn cause(&self) -> CauseCode {
        match self {
            Self::TimeUp { .. } => CauseCode::NORMAL_CLEARING,
            Self::NoMedia { .. } => CauseCode::CHANNEL_UNAVAILABLE,
            Self::WrongPin { .. } => CauseCode::REJECTED,
            Self::NotFetched { .. } => CauseCode::NO_ANSWER,
        }
    }

    /// The words that go with the cause.
    #[must_use]
    pub(crate) const fn text(&self) -> &'static str {
        match self {
            Self::TimeUp { .. } => "time is up",
            Self::NoMedia { .. } => "no media",
            Self::WrongPin { .. } => "wrong PIN",
            Self::NotFetched { .. } => "nobody came",
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimeUp { owner, limit } => {
                write!(f, "its time was up: {} s ({owner}.max_duration_seconds)", limit.as_secs())
            }
            Self::NoMedia { owner, limit } => write!(
                f,
                "the other side sent no voice for {} s ({owner}.no_media_timeout_seconds)",
                limit.as_secs()
            ),
            Self::WrongPin { room } => write!(f, "it did not know the PIN of conference {room}"),
            Self::NotFetched { slot } => write!(f, "nobody fetched it from parking slot {slot}"),
        }
    }
}

/// All calls under watch. `K` is the handle of one.
#[derive(Debug)]
pub(crate) struct Watches<K> {
    calls: HashMap<K, Watch>,
    /// When each is to be looked at.
    due: BTreeSet<(Instant, K)>,
}

#[derive(Debug)]
struct Watch {
    bounds: Bounds,
    begun: Instant,
    /// Silence counts from here, or from the newest voice.
    heard: Instant,
    /// Whether silence is as it should be, as on hold,
    held: bool,
    /// or since its voice goes another way.
    elsewhere: bool,
    /// Its place in `due`.
    at: Instant,
}

impl Watch {
    /// How long it may be silent now.
    fn silence(&self) -> Option<&Bound> {
        self.bounds.silence.as_ref().filter(|_| !self.held && !self.elsewhere)
    }

    /// When it may be over.
    fn deadline(&self) -> Option<Instant> {
        let duration = self.bounds.duration.as_ref().map(|bound| self.begun + bound.time);
        let silence = self.silence().map(|bound| self.heard + bound.time);
        duration.into_iter().chain(silence).min()
    }

    /// What has come to pass by now.
    fn ending(&self, now: Instant) -> Option<Ending> {
        if let Some(Bound { time, owner }) = &self.bounds.duration
            && self.begun + *time <= now
        {
            return Some(Ending::TimeUp { owner: owner.clone(), limit: *time });
        }
        self.silence()
            .filter(|bound| self.heard + bound.time <= now)
            .map(|Bound { time, owner }| Ending::NoMedia { owner: owner.clone(), limit: *time })
    }
}

impl<K> Default for Watches<K> {
    fn default() -> Self {
        Self { calls: HashMap::new(), due: BTreeSet::new() }
    }
}

impl<K: Copy + Eq + Hash + Ord> Watches<K> {
    /// Watches a call that was answered now. Without bounds it is not.
    pub(crate) fn begin(&mut self, now: Instant, call: K, bounds: Bounds) {
        self.end(call);
        let watch =
            Watch { bounds, begun: now, heard: now, held: false, elsewhere: false, at: now };
        self.put(call, watch);
    }

    fn put(&mut self, call: K, mut watch: Watch) {
        let Some(at) = watch.deadline() else {
            // It may be silent, without an end: it is kept for when it may not.
            if watch.bounds.silence.is_some() {
                self.calls.insert(call, watch);
            }
            return;
        };
        watch.at = at;
        self.due.insert((at, call));
        self.calls.insert(call, watch);
    }

    /// Watches a call no longer.
    pub(crate) fn end(&mut self, call: K) {
        self.take(call);
    }

    fn take(&mut self, call: K) -> Option<Watch> {
        let watch = self.calls.remove(&call)?;
        self.due.remove(&(watch.at, call));
        Some(watch)
    }

    /// Says whether a call's silence is as it should be, as on hold.
    pub(crate) fn hold(&mut self, now: Instant, call: K, held: bool) {
        if let Some(watch) = self.take(call) {
            self.put(call, Watch { held, heard: now, ..watch });
        }
    }

    /// Says whether a call's voice goes another way, so that nothing is heard of it here.
    pub(crate) fn go_elsewhere(&mut self, now: Instant, call: K, elsewhere: bool) {
        if let Some(watch) = self.take(call) {
            self.put(call, Watch { elsewhere, heard: now, ..watch });
        }
    }

    /// When [`ended`](Self::ended) is to be asked next.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// One call that is to be ended, and why; it is watched no longer. `last_voice` says when a call's
    /// newest voice came.
    pub(crate) fn ended(
        &mut self,
        now: Instant,
        last_voice: impl Fn(K) -> Option<Instant>,
    ) -> Option<(K, Ending)> {
        while let Some((at, call)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            let Some(mut watch) = self.take(call) else {
                self.due.remove(&(at, call));
                continue;
            };
            watch.heard = last_voice(call).map_or(watch.heard, |last| last.max(watch.heard));
            match watch.ending(now) {
                Some(ending) => return Some((call, ending)),
                None => self.put(call, watch),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn bound(seconds: u64, owner: &str) -> Option<Bound> {
        Some(Bound { time: Duration::from_secs(seconds), owner: owner.into() })
    }

    fn bounds(duration: u64, silence: u64) -> Bounds {
        Bounds { duration: bound(duration, "peers.a"), silence: bound(silence, "peers.a") }
    }

    #[test]
    fn the_narrower_bound_holds_and_names_its_owner() {
        let route = Bounds { duration: bound(60, "routes.x"), silence: None };
        let both = bounds(90, 10).and(route);
        assert_eq!(both.duration, bound(60, "routes.x"));
        assert_eq!(both.silence, bound(10, "peers.a"));
    }

    #[test]
    fn a_call_ends_when_its_time_is_up_however_much_is_heard() {
        let mut watches = Watches::default();
        watches.begin(at(0), 1, bounds(100, 10));
        let mut now = 10;
        while watches.ended(at(now), |_| Some(at(now))).is_none() {
            now = watches.next().expect("it goes on").as_micros() / 1_000_000;
        }
        assert_eq!(now, 100);
        assert_eq!(watches.next(), None);
        watches.begin(at(0), 1, bounds(100, 10));
        let (call, ending) = watches.ended(at(100), |_| Some(at(99))).expect("over");
        assert_eq!((call, ending.name(), ending.cause().0), (1, "max_duration", 16));
        assert_eq!(ending.to_string(), "its time was up: 100 s (peers.a.max_duration_seconds)");
    }

    #[test]
    fn silence_ends_a_call_counted_from_its_last_voice() {
        let mut watches = Watches::default();
        watches.begin(at(0), 1, bounds(1_000, 10));
        assert_eq!(watches.ended(at(10), |_| Some(at(7))), None);
        assert_eq!(watches.next(), Some(at(17)));
        assert_eq!(watches.ended(at(16), |_| Some(at(7))), None);
        let (_, ending) = watches.ended(at(17), |_| Some(at(7))).expect("silent");
        assert_eq!((ending.name(), ending.cause().0), ("no_media", 44));
    }

    #[test]
    fn voice_that_goes_another_way_is_not_missed_until_it_comes_here_again() {
        let mut watches = Watches::default();
        watches.begin(at(0), 1, bounds(1_000, 10));
        watches.go_elsewhere(at(5), 1, true);
        assert_eq!(watches.next(), Some(at(1_000)));
        // A hold that is over does not bring it back.
        watches.hold(at(6), 1, true);
        watches.hold(at(7), 1, false);
        assert_eq!(watches.ended(at(500), |_| Some(at(5))), None);
        watches.go_elsewhere(at(500), 1, false);
        assert_eq!(watches.ended(at(509), |_| Some(at(5))), None);
        let (_, ending) = watches.ended(at(510), |_| Some(at(5))).expect("silent");
        assert_eq!(ending.name(), "no_media");
    }

    #[test]
    fn on_hold_silence_is_no_fault_and_counts_anew_behind_it() {
        let mut watches = Watches::default();
        let silence = Bounds { duration: None, silence: bound(10, "peers.a") };
        watches.begin(at(0), 1, silence);
        watches.hold(at(5), 1, true);
        assert_eq!(watches.next(), None);
        assert_eq!(watches.ended(at(500), |_| None), None);
        watches.hold(at(500), 1, false);
        assert_eq!(watches.next(), Some(at(510)));
        assert!(watches.ended(at(510), |_| Some(at(5))).is_some());
    }

    #[test]
    fn a_call_without_bounds_or_behind_its_end_is_not_watched() {
        let mut watches = Watches::default();
        watches.begin(at(0), 1, Bounds::default());
        watches.begin(at(0), 2, bounds(1, 1));
        watches.end(2);
        assert_eq!((watches.next(), watches.ended(at(9), |_| None)), (None, None));
    }
}
