//! Which peers are there: each is polled (POKE) now and then, which also keeps its way through a NAT
//! open.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use oneport_proto::{Endpoint, Instant, PokeId};

use crate::deadlines::Deadlines;
use crate::polls::Polls;

/// Polls lost in a row after which a peer counts as gone. One may be lost by anybody.
const LOST: u32 = 2;

/// How a peer is watched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct QualifyConfig {
    /// A round trip above this is too long for calls.
    pub(crate) limit: Duration,
    /// Time between polls. NATs forget after 30 s.
    pub(crate) interval: Duration,
    /// Time between polls of a peer that is not well.
    pub(crate) not_ok_interval: Duration,
    /// Whether the mean of the last round trip and those before counts, rather than the last.
    pub(crate) smoothing: bool,
}

impl Default for QualifyConfig {
    fn default() -> Self {
        Self {
            limit: Duration::from_millis(2_000),
            interval: Duration::from_secs(20),
            not_ok_interval: Duration::from_secs(10),
            smoothing: false,
        }
    }
}

/// What is known of a peer, in the words operators know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Status {
    /// Not asked yet.
    Unknown,
    /// It answers in time.
    Ok(Duration),
    /// It answers too late for calls.
    Lagged(Duration),
    /// It does not answer.
    Unreachable,
}

impl Status {
    /// Whether a call to it is worth a try.
    pub(crate) const fn takes_calls(self) -> bool {
        matches!(self, Self::Unknown | Self::Ok(_))
    }

    /// How fast it answers, if it does.
    pub(crate) const fn round_trip(self) -> Option<Duration> {
        match self {
            Self::Ok(rtt) | Self::Lagged(rtt) => Some(rtt),
            Self::Unknown | Self::Unreachable => None,
        }
    }

    const fn kind(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Ok(_) => 1,
            Self::Lagged(_) => 2,
            Self::Unreachable => 3,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("UNKNOWN"),
            Self::Ok(rtt) => write!(f, "OK ({} ms)", rtt.as_millis()),
            Self::Lagged(rtt) => write!(f, "LAGGED ({} ms)", rtt.as_millis()),
            Self::Unreachable => f.write_str("UNREACHABLE"),
        }
    }
}

/// One peer under watch.
#[derive(Debug)]
struct Watch {
    address: SocketAddr,
    config: QualifyConfig,
    status: Status,
    lost: u32,
    polls: Polls,
}

/// Since the origin of the engine's time.
const fn origin(now: Instant) -> Duration {
    Duration::from_micros(now.as_micros())
}

impl Watch {
    /// Gives the moment of the next poll.
    fn answered(&mut self, now: Instant, rtt: Duration) -> Instant {
        let rtt = match self.status {
            Status::Ok(before) | Status::Lagged(before) if self.config.smoothing => {
                (before + rtt) / 2
            }
            _ => rtt,
        };
        self.lost = 0;
        let (status, next) = if rtt <= self.config.limit {
            (Status::Ok(rtt), now + self.config.interval)
        } else {
            (Status::Lagged(rtt), now + self.config.not_ok_interval)
        };
        self.status = status;
        next
    }

    /// Gives the moment of the next poll.
    fn was_lost(&mut self, now: Instant) -> Instant {
        self.lost += 1;
        if self.lost < LOST {
            return now;
        }
        self.status = Status::Unreachable;
        now + self.config.not_ok_interval
    }
}

/// All peers under watch.
#[derive(Debug, Default)]
pub(crate) struct Qualify {
    watches: BTreeMap<String, Watch>,
    /// When who is polled next: with peers by the thousand nobody looks at all of them.
    due: Deadlines<String>,
    pokes: HashMap<PokeId, String>,
}

impl Qualify {
    /// Watches nobody any more.
    pub(crate) fn forget_all(&mut self) {
        *self = Self::default();
    }

    /// Watches `name` at `address`, from now on.
    pub(crate) fn watch(
        &mut self,
        now: Instant,
        name: &str,
        address: SocketAddr,
        config: QualifyConfig,
    ) {
        if self.watches.get(name).is_some_and(|watch| watch.address == address) {
            return;
        }
        let polls = self.watches.remove(name).map(|watch| watch.polls).unwrap_or_default();
        let watch = Watch { address, config, status: Status::Unknown, lost: 0, polls };
        self.watches.insert(name.into(), watch);
        self.due.set(name.into(), now);
    }

    pub(crate) fn forget(&mut self, name: &str) {
        if let Some((name, _)) = self.watches.remove_entry(name) {
            self.due.clear(&name);
        }
    }

    pub(crate) fn status(&self, name: &str) -> Status {
        self.watches.get(name).map_or(Status::Unknown, |watch| watch.status)
    }

    /// The last polls of a peer: seconds since, and the milliseconds that the answer took if one came.
    pub(crate) fn polls(&self, now: Instant, name: &str) -> Vec<(f64, Option<f64>)> {
        self.watches.get(name).map_or_else(Vec::new, |watch| watch.polls.tell(origin(now)))
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.next()
    }

    /// Polls whoever is due.
    pub(crate) fn poll(&mut self, endpoint: &mut Endpoint, now: Instant) {
        while let Some(name) = self.due.pop_due(now) {
            let Some(watch) = self.watches.get(&name) else { continue };
            let timeout = watch.config.limit * 2;
            if let Ok(poke) = endpoint.poke(now, watch.address, timeout) {
                self.pokes.insert(poke, name.clone());
            }
            // The answer, or its absence, sets another.
            self.due.set(name, now + timeout + watch.config.interval);
        }
    }

    /// The peer that is polled by this.
    pub(crate) fn polled_by(&self, poke: PokeId) -> Option<&str> {
        self.pokes.get(&poke).map(String::as_str)
    }

    /// Takes the result of a poll: a round trip, or nothing in time. Gives the peer's name and its
    /// status if that is another kind than before.
    pub(crate) fn result(
        &mut self,
        now: Instant,
        poke: PokeId,
        rtt: Option<Duration>,
    ) -> Option<(String, Status)> {
        let name = self.pokes.remove(&poke)?;
        let watch = self.watches.get_mut(&name)?;
        let before = watch.status;
        watch.polls.note(origin(now), rtt);
        let next = match rtt {
            Some(rtt) => watch.answered(now, rtt),
            None => watch.was_lost(now),
        };
        let status = watch.status;
        self.due.set(name.clone(), next);
        (status.kind() != before.kind()).then_some((name, status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oneport_proto::EndpointConfig;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn watch(smoothing: bool) -> Watch {
        Watch {
            address: SocketAddr::from(([192, 0, 2, 1], 4569)),
            config: QualifyConfig { smoothing, ..QualifyConfig::default() },
            status: Status::Unknown,
            lost: 0,
            polls: Polls::default(),
        }
    }

    #[test]
    fn one_lost_poll_is_followed_by_another_at_once_and_two_mean_gone() {
        let now = Instant::from_micros(0);
        let mut watch = watch(false);
        let next = watch.answered(now, ms(20));
        assert_eq!((watch.status, next), (Status::Ok(ms(20)), now + ms(20_000)));
        let next = watch.was_lost(now);
        assert_eq!((watch.status, next), (Status::Ok(ms(20)), now));
        let next = watch.was_lost(now);
        assert_eq!((watch.status, next), (Status::Unreachable, now + ms(10_000)));
        assert!(!watch.status.takes_calls());
        watch.answered(now, ms(2_001));
        assert_eq!(watch.status, Status::Lagged(ms(2_001)));
        assert!(!watch.status.takes_calls());
    }

    #[test]
    fn each_peer_is_polled_when_it_is_due_and_no_more_once_it_is_forgotten() {
        let at = |seconds: u64| Instant::from_micros(seconds * 1_000_000);
        let mut endpoint = Endpoint::new(EndpointConfig::default(), [1; 32], at(0));
        let mut qualify = Qualify::default();
        for (n, seconds) in [(1, 20), (2, 5)] {
            let address = SocketAddr::from(([192, 0, 2, n], 4569));
            let interval = Duration::from_secs(seconds);
            let config = QualifyConfig { interval, ..QualifyConfig::default() };
            qualify.watch(at(0), &n.to_string(), address, config);
        }
        let mut polled = |qualify: &mut Qualify, now| {
            qualify.poll(&mut endpoint, now);
            let mut names: Vec<String> = qualify.pokes.values().cloned().collect();
            names.sort();
            for poke in qualify.pokes.keys().copied().collect::<Vec<_>>() {
                let _ = qualify.result(now, poke, Some(ms(3)));
            }
            names
        };
        assert_eq!(polled(&mut qualify, at(0)), ["1", "2"]);
        assert_eq!(qualify.next(), Some(at(5)));
        assert!(polled(&mut qualify, at(4)).is_empty());
        assert_eq!(polled(&mut qualify, at(5)), ["2"]);
        assert_eq!(polled(&mut qualify, at(20)), ["1", "2"]);
        let answered = Some(3.0);
        let polls = qualify.polls(at(30), "1");
        assert_eq!(polls, [(30.0, answered), (10.0, answered)], "as many as there were");
        let moved = SocketAddr::from(([192, 0, 2, 9], 4569));
        qualify.watch(at(21), "1", moved, QualifyConfig::default());
        assert_eq!(qualify.polls(at(30), "1"), polls, "though it has moved");
        assert_eq!(polled(&mut qualify, at(21)), ["1"]);
        qualify.forget("2");
        assert!(qualify.polls(at(30), "2").is_empty());
        assert_eq!(qualify.next(), Some(at(41)));
        assert_eq!(polled(&mut qualify, at(41)), ["1"]);
    }

    #[test]
    fn smoothing_takes_the_mean_with_what_was_before() {
        let now = Instant::from_micros(0);
        let mut watch = watch(true);
        watch.answered(now, ms(1_000));
        watch.answered(now, ms(2_900));
        assert_eq!(watch.status, Status::Ok(ms(1_950)));
        watch.answered(now, ms(2_900));
        assert_eq!(watch.status, Status::Lagged(ms(2_425)));
        assert_eq!(watch.status.to_string(), "LAGGED (2425 ms)");
    }
}
