//! How many calls may be up at once, and how many may begin in a second: of the whole switch, a peer,
//! a carrier, a trunk, a number, a route.
//!
//! A limit holds no count but a set of leases, each owned by a live call. So what is in use is what
//! lives: a call that ends gives back exactly what it has taken, once, however it ends. It knows
//! nothing of calls but their handles. Where several switches keep limits together, `shared` says how much of
//! each is for this one.

mod shared;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::hash::Hash;
use std::time::Duration;

use oneport_proto::Instant;
use oneport_wire::CauseCode;
use serde::{Deserialize, Serialize};

use crate::builtin::Announcement;
use crate::cluster::lease::Share;
use crate::routing::Pattern;

use shared::Shared;

/// The span over which beginnings of calls are counted.
const SECOND: Duration = Duration::from_secs(1);

/// Use of a limit is kept for so long, a figure for each minute.
const HISTORY_MINUTES: usize = 24 * 60;

/// Which way a call goes, seen from this switch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Direction {
    /// It comes from the peer.
    In,
    /// It goes to the peer.
    Out,
}

/// What a limit is on.
#[derive(Clone, Debug)]
pub(crate) enum Scope {
    /// Every call.
    Switch,
    /// Calls from and to one of these peers, together.
    Peers(Vec<String>),
    /// Calls to numbers of this pattern, together.
    Number(Pattern),
    /// The same, but each number by itself.
    EachNumber(Pattern),
    /// Calls that take this route.
    Route(String),
}

/// A limit as it is configured.
#[derive(Clone, Debug)]
pub(crate) struct LimitConfig {
    /// Whose limit it is, for people.
    pub(crate) name: String,
    pub(crate) scope: Scope,
    /// Counts only calls that go this way; `None`: all.
    pub(crate) direction: Option<Direction>,
    /// Calls at once.
    pub(crate) max_calls: Option<usize>,
    /// Calls that may begin within any one second.
    pub(crate) max_calls_per_second: Option<usize>,
    /// Places of `max_calls` that outbound calls leave free for inbound ones.
    pub(crate) reserved_inbound: usize,
    /// Only warns; no call is refused.
    pub(crate) soft: bool,
    /// What a refused caller is told.
    pub(crate) cause: CauseCode,
    /// A warning is given at this share of `max_calls`, in per cent.
    pub(crate) warn_percent: usize,
    /// What a refused caller hears first.
    pub(crate) notice: Option<Announcement>,
}

/// One leg of a call that wants a place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt<'a> {
    pub(crate) peer: Option<&'a str>,
    pub(crate) direction: Direction,
    pub(crate) number: &'a str,
    pub(crate) route: Option<&'a str>,
    /// No limit stands against it, though it counts under all that concern it.
    pub(crate) is_emergency: bool,
}

/// Which of its two ceilings a limit has reached.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ceiling {
    /// Calls at once.
    Calls,
    /// Calls that begin within a second.
    CallsPerSecond,
}

/// A limit stands against a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Full {
    pub(crate) limit: String,
    pub(crate) ceiling: Ceiling,
    /// In use at that moment.
    pub(crate) used: usize,
    pub(crate) max: usize,
    /// Places kept for inbound calls, if that is why.
    pub(crate) reserved: usize,
    pub(crate) cause: CauseCode,
    pub(crate) notice: Option<Announcement>,
    /// The limit is shared with other switches, and what this one has of it is in use.
    pub(crate) share: Option<Box<Share>>,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, used, max, reserved, .. } = self;
        if let Some(share) = &self.share {
            return shared::write_full(f, self, share);
        }
        match self.ceiling {
            Ceiling::Calls if *reserved > 0 => write!(
                f,
                "limit {limit} is full: {used} of {max} calls, {reserved} of them kept for inbound \
                 calls"
            ),
            Ceiling::Calls => write!(f, "limit {limit} is full: {used} of {max} calls"),
            Ceiling::CallsPerSecond => {
                write!(f, "limit {limit}: {used} calls have begun within a second, {max} may")
            }
        }
    }
}

/// Something an operator wants to hear of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Notice {
    /// The use of a limit has come to its warning mark, or is below it again.
    Mark { limit: String, used: usize, max: usize, above: bool },
    /// A soft limit was passed.
    Passed(Full),
}

/// Use of one limit.
///
/// ```
/// # mod switch { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/switch.rs")); } use switch::*;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let driver = start("[[limits]]\nname = \"all\"\nmax_calls = 30");
/// let usage = driver.with(|_, switch, now| switch.limit_usage(now)).await?;
/// assert_eq!((usage[0].name.as_str(), usage[0].used, usage[0].max_calls), ("all", 0, Some(30)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LimitUsage {
    /// Its name; the number behind it where each number has a limit of its own.
    pub name: String,
    /// The limit as it is configured, without the number.
    pub limit: String,
    /// The number, where each has a limit of its own.
    pub number: Option<String>,
    /// Calls up now.
    pub used: usize,
    /// Whether it only warns.
    pub soft: bool,
    /// How many may be up.
    pub max_calls: Option<usize>,
    /// How many may begin within a second.
    pub max_calls_per_second: Option<usize>,
    /// Calls that have begun within the last second.
    pub begun: usize,
    /// The most at once since the start.
    pub peak: usize,
    /// Calls refused since the start, of all numbers together.
    pub refused: u64,
    /// How long all places were taken.
    pub at_cap: Duration,
    /// The most at once in each of the last minutes, oldest first; a day at most.
    pub history: Vec<usize>,
    /// Who holds places: the ten peers with the most, and how many each.
    pub top: Vec<(String, usize)>,
    /// Where each number has a limit of its own, of numbers that are not called just now: the most
    /// at once of one of them, and how long all places were taken of all of them.
    pub forgotten: (usize, Duration),
    /// Calls at once, where they are shared with other switches.
    pub(crate) shared: Option<Share>,
    /// The same of calls within a second.
    pub(crate) shared_rate: Option<Share>,
}

/// All limits. `K` is the handle of a leg.
#[derive(Debug)]
pub(crate) struct Limits<K> {
    pools: Vec<Pool<K>>,
    /// The pools in which a leg holds a lease: of which limit, and for which number where each has
    /// its own.
    held: HashMap<K, Vec<(usize, String)>>,
    notices: Vec<Notice>,
    /// Legs whose places have changed, where another process wants to know.
    changed: Option<Vec<K>>,
    /// What this switch has of limits that others have as well, and when something is to be done about that.
    shared: Shared,
    next: Option<Instant>,
}

/// A place under a limit, as another process is told of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    limit: String,
    /// Where each has its own.
    number: String,
    peer: Option<String>,
    #[serde(default)]
    is_emergency: bool,
}

#[derive(Debug)]
struct Pool<K> {
    config: LimitConfig,
    /// By number for `EachNumber`, else one under the empty name.
    places: BTreeMap<String, Places<K>>,
    refused: u64,
    /// Of numbers that hold nothing and are forgotten: the most that one held, and how long all of
    /// one's places were taken, all together.
    forgotten: (usize, Duration),
}

/// The leases of one limit, or of one number under it.
#[derive(Debug)]
struct Places<K> {
    leases: HashMap<K, Lease>,
    /// How many of them are of emergency calls, which no limit stands against.
    emergencies: usize,
    /// When calls have begun within the last second.
    begun: VecDeque<Instant>,
    peak: usize,
    warned: bool,
    full_since: Option<Instant>,
    at_cap: Duration,
    /// The minute last noted, and what was in use since then.
    minute: Option<u64>,
    level: usize,
    history: VecDeque<usize>,
}

#[derive(Debug)]
struct Lease {
    peer: Option<String>,
    is_emergency: bool,
}

impl<K> Default for Places<K> {
    fn default() -> Self {
        Self {
            leases: HashMap::new(),
            emergencies: 0,
            begun: VecDeque::new(),
            peak: 0,
            warned: false,
            full_since: None,
            at_cap: Duration::ZERO,
            minute: None,
            level: 0,
            history: VecDeque::new(),
        }
    }
}

impl<K: Copy + Eq + Hash> Places<K> {
    fn insert(&mut self, leg: K, lease: Lease) {
        self.emergencies += usize::from(lease.is_emergency);
        if self.leases.insert(leg, lease).is_some_and(|before| before.is_emergency) {
            self.emergencies -= 1;
        }
    }

    fn remove(&mut self, leg: K) {
        if self.leases.remove(&leg).is_some_and(|before| before.is_emergency) {
            self.emergencies -= 1;
        }
    }

    /// Calls that limits stand against.
    fn counted(&self) -> usize {
        self.leases.len() - self.emergencies
    }

    /// Forgets beginnings that are a second old.
    fn forget_old(&mut self, now: Instant) {
        while self.begun.front().is_some_and(|begun| now.since(*begun) >= SECOND) {
            self.begun.pop_front();
        }
    }

    /// Notes the use of this minute.
    fn note(&mut self, now: Instant, max: Option<usize>) {
        let used = self.leases.len();
        self.peak = self.peak.max(used);
        let minute = now.as_micros() / 60_000_000;
        let behind = self.minute.map_or(1, |last| minute.saturating_sub(last));
        for _ in 0..behind.min(HISTORY_MINUTES as u64) {
            // Each minute begins with what was in use before it.
            self.history.push_back(self.level);
        }
        self.minute = Some(minute);
        self.level = used;
        if let Some(newest) = self.history.back_mut() {
            *newest = used.max(*newest);
        }
        while self.history.len() > HISTORY_MINUTES {
            self.history.pop_front();
        }
        let full = max.is_some_and(|max| used >= max);
        match (full, self.full_since) {
            (true, None) => self.full_since = Some(now),
            (false, Some(since)) => {
                self.at_cap += now.since(since);
                self.full_since = None;
            }
            _ => {}
        }
    }
}

impl<K: Copy + Eq + Hash> Pool<K> {
    fn new(config: LimitConfig) -> Self {
        Self { config, places: BTreeMap::new(), refused: 0, forgotten: (0, Duration::ZERO) }
    }

    /// The name of the places that an attempt needs here; `None`: none of them.
    fn place_of(&self, attempt: &Attempt<'_>) -> Option<String> {
        if self.config.direction.is_some_and(|direction| direction != attempt.direction) {
            return None;
        }
        let inbound = attempt.direction == Direction::In;
        let fits = match &self.config.scope {
            Scope::Switch => inbound,
            Scope::Peers(names) => {
                attempt.peer.is_some_and(|peer| names.iter().any(|name| name == peer))
            }
            Scope::Number(pattern) => inbound && pattern.groups(attempt.number).is_some(),
            Scope::EachNumber(pattern) => {
                let fits = inbound && pattern.groups(attempt.number).is_some();
                return fits.then(|| attempt.number.to_string());
            }
            Scope::Route(name) => attempt.route == Some(name.as_str()),
        };
        fits.then(String::new)
    }

    /// What stands against one more call.
    fn refusal(
        &mut self,
        now: Instant,
        place: &str,
        direction: Direction,
        shared: &mut Shared,
    ) -> Option<Full> {
        let config = &self.config;
        // Nothing is kept of a number that may be refused.
        let (used, counted, begun) = self.places.get_mut(place).map_or((0, 0, 0), |places| {
            places.forget_old(now);
            (places.leases.len(), places.counted(), places.begun.len())
        });
        let limit = match place {
            "" => config.name.clone(),
            number => format!("{} ({number})", config.name),
        };
        let reserved = match direction {
            Direction::In => 0,
            Direction::Out => config.reserved_inbound,
        };
        if let Some(max) = config.max_calls
            && used.saturating_add(reserved) >= max
        {
            let reserved = if used >= max { 0 } else { reserved };
            let (cause, notice) = (config.cause, config.notice.clone());
            return Some(Full {
                limit,
                ceiling: Ceiling::Calls,
                used,
                max,
                reserved,
                cause,
                notice,
                share: None,
            });
        }
        let full = |ceiling, used, max, reserved, share| {
            let (cause, notice) = (config.cause, config.notice.clone());
            let limit = limit.clone();
            Full { limit, ceiling, used, max, reserved, cause, notice, share }
        };
        if let Some(max) = config.max_calls_per_second.filter(|max| begun >= *max) {
            return Some(full(Ceiling::CallsPerSecond, begun, max, 0, None));
        }
        let ceilings = [
            (Ceiling::Calls, config.max_calls, counted, reserved),
            (Ceiling::CallsPerSecond, config.max_calls_per_second, begun, 0),
        ];
        for (ceiling, max, used, reserved) in ceilings {
            let Some(max) = max.filter(|_| !config.soft) else { continue };
            if let Some((share, reserved)) = shared.lack(&config.name, ceiling, used, reserved) {
                return Some(full(ceiling, used, max, reserved, Some(Box::new(share))));
            }
        }
        None
    }

    /// How much of a ceiling is in use here, of limits that each number has for itself by the number that uses most.
    fn used(&self, now: Instant, ceiling: Ceiling) -> usize {
        let used = |places: &Places<K>| {
            places.begun.iter().filter(|begun| now.since(**begun) < SECOND).count()
        };
        match ceiling {
            Ceiling::Calls => self.up(),
            Ceiling::CallsPerSecond => self.places.values().map(used).max().unwrap_or(0),
        }
    }

    /// The same of calls that are up.
    fn up(&self) -> usize {
        self.places.values().map(Places::counted).max().unwrap_or(0)
    }
}

impl<K: Copy + Eq + Hash> Limits<K> {
    /// Limits of which nothing is in use.
    pub(crate) fn new(configs: Vec<LimitConfig>) -> Self {
        Self {
            pools: configs.into_iter().map(Pool::new).collect(),
            held: HashMap::new(),
            notices: Vec::new(),
            changed: None,
            shared: Shared::default(),
            next: None,
        }
    }

    /// Begins to note whose places change, or ends that.
    pub(crate) fn note_changes(&mut self, on: bool) {
        self.changed = on.then(Vec::new);
    }

    /// Whose places have changed since this was last asked, and which they have now; none: the leg is over.
    pub(crate) fn take_changes(&mut self) -> Vec<(K, Vec<Place>)> {
        let changed = self.changed.as_mut().map(std::mem::take).unwrap_or_default();
        changed.into_iter().map(|leg| (leg, self.places_of(leg))).collect()
    }

    /// All legs that hold places.
    pub(crate) fn holders(&self) -> impl Iterator<Item = (K, Vec<Place>)> {
        self.held.keys().map(|leg| (*leg, self.places_of(*leg)))
    }

    fn places_of(&self, leg: K) -> Vec<Place> {
        let held = self.held.get(&leg).into_iter().flatten();
        let places = held.filter_map(|(n, number)| {
            let pool = self.pools.get(*n)?;
            let lease = pool.places.get(number)?.leases.get(&leg)?;
            let (limit, number) = (pool.config.name.clone(), number.clone());
            let (peer, is_emergency) = (lease.peer.clone(), lease.is_emergency);
            Some(Place { limit, number, peer, is_emergency })
        });
        places.collect()
    }

    /// A leg of another process has just these places, whatever the limits say.
    pub(crate) fn hold(&mut self, now: Instant, leg: K, places: Vec<Place>) {
        self.release(now, leg);
        for Place { limit, number, peer, is_emergency } in places {
            let found = self.pools.iter_mut().enumerate();
            let mut found = found.filter(|(_, pool)| pool.config.name == limit);
            let Some((n, pool)) = found.next() else { continue };
            let max = pool.config.max_calls;
            let held = pool.places.entry(number.clone()).or_default();
            held.insert(leg, Lease { peer, is_emergency });
            held.note(now, max);
            self.notices.extend(pool.mark(&number));
            self.held.entry(leg).or_default().push((n, number));
        }
    }

    fn has_changed(&mut self, leg: K) {
        if let Some(changed) = &mut self.changed {
            changed.push(leg);
        }
    }

    /// Takes a place under every limit that concerns `leg`, or none at all. Where it holds one
    /// already it keeps that.
    ///
    /// # Errors
    /// The first limit that stands against it.
    pub(crate) fn take(&mut self, now: Instant, leg: K, attempt: &Attempt<'_>) -> Result<(), Full> {
        let taken = self.take_all(now, leg, attempt);
        self.next = self.leases_due(now);
        taken
    }

    fn take_all(&mut self, now: Instant, leg: K, attempt: &Attempt<'_>) -> Result<(), Full> {
        let mut wanted = Vec::new();
        for (n, pool) in self.pools.iter_mut().enumerate() {
            let Some(place) = pool.place_of(attempt) else { continue };
            let held = self.held.get(&leg).and_then(|held| held.iter().find(|(own, _)| *own == n));
            if held.is_some_and(|(_, own)| *own == place) {
                continue;
            }
            let direction = attempt.direction;
            if let Some(full) = pool.refusal(now, &place, direction, &mut self.shared) {
                if !pool.config.soft && !attempt.is_emergency {
                    pool.refused += 1;
                    pool.forget_empty(now);
                    return Err(full);
                }
                self.notices.push(Notice::Passed(full));
            }
            wanted.push((n, place));
        }
        if !wanted.is_empty() {
            self.has_changed(leg);
        }
        for (n, place) in &wanted {
            let Some(pool) = self.pools.get_mut(*n) else { continue };
            let max = pool.config.max_calls;
            let places = pool.places.entry(place.clone()).or_default();
            let (peer, is_emergency) = (attempt.peer.map(Into::into), attempt.is_emergency);
            places.insert(leg, Lease { peer, is_emergency });
            if pool.config.max_calls_per_second.is_some() {
                places.begun.push_back(now);
            }
            let (counted, begun) = (places.counted(), places.begun.len());
            places.note(now, max);
            self.shared.begun(&pool.config.name, counted, begun);
            self.notices.extend(pool.mark(place));
        }
        for (n, place) in wanted {
            let held = self.held.entry(leg).or_default();
            let before = held.iter_mut().find(|(own, _)| *own == n);
            let Some((_, own)) = before else {
                held.push((n, place));
                continue;
            };
            // It has another number now, and gives back the place of the one before.
            let before = std::mem::replace(own, place);
            if let Some(pool) = self.pools.get_mut(n) {
                let max = pool.config.max_calls;
                if let Some(places) = pool.places.get_mut(&before) {
                    places.remove(leg);
                    places.note(now, max);
                }
                self.notices.extend(pool.mark(&before));
                pool.forget_empty(now);
            }
            self.shared.ended(&self.pools);
        }
        Ok(())
    }

    /// Gives back whatever `leg` holds.
    pub(crate) fn release(&mut self, now: Instant, leg: K) {
        let Some(held) = self.held.remove(&leg) else { return };
        self.has_changed(leg);
        for (n, place) in held {
            let Some(pool) = self.pools.get_mut(n) else { continue };
            let max = pool.config.max_calls;
            if let Some(places) = pool.places.get_mut(&place) {
                places.remove(leg);
                places.note(now, max);
            }
            self.notices.extend(pool.mark(&place));
            pool.forget_empty(now);
        }
        self.shared.ended(&self.pools);
    }

    /// Takes over other limits. Leases of limits that go on under the same name are kept; one that
    /// is above a lowered ceiling only takes no more.
    pub(crate) fn reconfigure(&mut self, configs: Vec<LimitConfig>) {
        let mut before = std::mem::take(&mut self.pools);
        let mut kept_as = HashMap::new();
        for (n, config) in configs.into_iter().enumerate() {
            let old = before.iter().position(|pool| pool.config.name == config.name);
            let mut pool = Pool::new(config);
            if let Some(old) = old {
                let source = &mut before[old];
                pool.places = std::mem::take(&mut source.places);
                (pool.refused, pool.forgotten) = (source.refused, source.forgotten);
                kept_as.insert(old, n);
            }
            self.pools.push(pool);
        }
        self.share_limits();
        self.held.retain(|_, held| {
            held.retain_mut(|(pool, _)| kept_as.get(pool).map(|n| *pool = *n).is_some());
            !held.is_empty()
        });
    }

    /// What operators want to hear of since the last time.
    pub(crate) fn notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Use of every limit, and of every number of those that have one for each.
    pub(crate) fn usage(&mut self, now: Instant) -> Vec<LimitUsage> {
        let mut all = Vec::new();
        for pool in &mut self.pools {
            if pool.places.is_empty() && !matches!(pool.config.scope, Scope::EachNumber(_)) {
                pool.places.entry(String::new()).or_default();
            }
            let Pool { config, places, refused, forgotten } = pool;
            let shared = self.shared.share(&config.name, Ceiling::Calls);
            let shared_rate = self.shared.share(&config.name, Ceiling::CallsPerSecond);
            if places.is_empty() {
                // No number that it is on is called just now.
                all.push(LimitUsage {
                    name: config.name.clone(),
                    limit: config.name.clone(),
                    soft: config.soft,
                    max_calls: config.max_calls,
                    max_calls_per_second: config.max_calls_per_second,
                    peak: forgotten.0,
                    refused: *refused,
                    at_cap: forgotten.1,
                    forgotten: *forgotten,
                    shared,
                    shared_rate,
                    ..LimitUsage::default()
                });
            }
            for (number, places) in places {
                places.forget_old(now);
                places.note(now, config.max_calls);
                let mut top: HashMap<&str, usize> = HashMap::new();
                for lease in places.leases.values() {
                    *top.entry(lease.peer.as_deref().unwrap_or("guest")).or_default() += 1;
                }
                let mut top: Vec<(String, usize)> =
                    top.into_iter().map(|(name, count)| (name.to_string(), count)).collect();
                top.sort_by(|(a, n), (b, m)| m.cmp(n).then_with(|| a.cmp(b)));
                top.truncate(10);
                let name = match number.as_str() {
                    "" => config.name.clone(),
                    number => format!("{} ({number})", config.name),
                };
                all.push(LimitUsage {
                    name,
                    limit: config.name.clone(),
                    number: (!number.is_empty()).then(|| number.clone()),
                    used: places.leases.len(),
                    soft: config.soft,
                    max_calls: config.max_calls,
                    max_calls_per_second: config.max_calls_per_second,
                    begun: places.begun.len(),
                    peak: places.peak,
                    refused: *refused,
                    at_cap: places.at_cap
                        + places.full_since.map_or(Duration::ZERO, |since| now.since(since)),
                    history: places.history.iter().copied().collect(),
                    top,
                    forgotten: *forgotten,
                    shared,
                    shared_rate,
                });
            }
        }
        all
    }
}

impl<K: Copy + Eq + Hash> Pool<K> {
    /// Whether the warning mark was passed, one way or the other. There is a gap of a tenth between
    /// the two, so that use around the mark is told once.
    fn mark(&mut self, place: &str) -> Option<Notice> {
        let max = self.config.max_calls?;
        let places = self.places.get_mut(place)?;
        let used = places.leases.len();
        let level = max.saturating_mul(self.config.warn_percent).div_ceil(100);
        if level >= max && self.config.warn_percent < 100 {
            // Of so few calls the mark would be the limit itself, which each call reaches.
            return None;
        }
        let percent = used.saturating_mul(100);
        let above = percent >= max.saturating_mul(self.config.warn_percent);
        let below = percent < max.saturating_mul(self.config.warn_percent.saturating_sub(10));
        let changed = above && !places.warned || below && places.warned;
        if !changed {
            return None;
        }
        places.warned = above;
        let limit = match place {
            "" => self.config.name.clone(),
            number => format!("{} ({number})", self.config.name),
        };
        Some(Notice::Mark { limit, used, max, above })
    }

    /// Forgets numbers that hold nothing, so that strangers cannot fill the memory with them.
    fn forget_empty(&mut self, now: Instant) {
        let Scope::EachNumber(_) = self.config.scope else { return };
        let (peak, at_cap) = &mut self.forgotten;
        self.places.retain(|_, places| {
            places.forget_old(now);
            let stays = !places.leases.is_empty() || !places.begun.is_empty();
            if !stays {
                *peak = places.peak.max(*peak);
                *at_cap += places.at_cap;
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests;
