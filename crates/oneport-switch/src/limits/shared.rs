//! Limits that several switches keep together: what is leased to this one is all that it may use.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hash;

use oneport_proto::Instant;

use super::{Ceiling, Full, Limits, Pool};
use crate::cluster::lease::{Answer, Bound, Key, Leases, News, Request, Share, Standing, Timing};

/// A clock that does not step and goes on while the machine sleeps.
pub(crate) type Clock = fn() -> Instant;

/// The leases of this switch; `None`: it keeps its limits alone.
#[derive(Debug, Default)]
pub(super) struct Shared(Option<Leased>);

#[derive(Debug)]
struct Leased {
    leases: Leases,
    clock: Clock,
}

pub(super) fn key_of(limit: &str, ceiling: Ceiling) -> Key {
    Key { limit: limit.into(), ceiling }
}

/// Slots of calls that are up.
fn up<K: Copy + Eq + Hash>(pools: &[Pool<K>], key: &Key) -> usize {
    let pool = pools.iter().find(|pool| pool.config.name == key.limit);
    pool.filter(|_| key.ceiling == Ceiling::Calls).map_or(0, Pool::up)
}

impl Shared {
    /// Whether a call lacks a slot of those that are leased, and how the limit is shared then. Of those that are
    /// kept for inbound calls, this switch keeps its part.
    pub(super) fn lack(
        &mut self,
        limit: &str,
        ceiling: Ceiling,
        used: usize,
        reserved: usize,
    ) -> Option<(Share, usize)> {
        let Leased { leases, clock } = self.0.as_mut()?;
        let (now, key) = (clock(), key_of(limit, ceiling));
        let bound = leases.bound(now, &key)?.slots();
        let share = leases.share(now, &key)?;
        let reserved = reserved.div_ceil(share.switches.max(1));
        if used.saturating_add(reserved) < bound {
            return None;
        }
        leases.refuse(now, &key);
        Some((share, if used >= bound { 0 } else { reserved }))
    }

    /// A call has begun under a limit.
    pub(super) fn begun(&mut self, limit: &str, calls: usize, within_second: usize) {
        let Some(Leased { leases, clock }) = &mut self.0 else { return };
        let now = clock();
        leases.begun(now, &key_of(limit, Ceiling::Calls), calls);
        leases.begun(now, &key_of(limit, Ceiling::CallsPerSecond), within_second);
    }

    /// Calls have ended.
    pub(super) fn ended<K: Copy + Eq + Hash>(&mut self, pools: &[Pool<K>]) {
        if let Some(Leased { leases, .. }) = &mut self.0 {
            leases.ended(|key| up(pools, key));
        }
    }

    /// How a limit is shared.
    pub(super) fn share(&self, limit: &str, ceiling: Ceiling) -> Option<Share> {
        let Leased { leases, clock } = self.0.as_ref()?;
        leases.share(clock(), &key_of(limit, ceiling))
    }
}

impl<K: Copy + Eq + Hash> Limits<K> {
    /// Limits are shared from now on with other switches: this one has the name, and nothing is leased to it yet.
    pub(crate) fn share_with_others(&mut self, name: &str, timing: Timing, clock: Clock) {
        self.shared.0 = Some(Leased { leases: Leases::new(name, timing), clock });
        self.share_limits();
    }

    /// Tells the leases which limits there are. Those that only warn are not shared.
    pub(super) fn share_limits(&mut self) {
        let Some(Leased { leases, clock }) = &mut self.shared.0 else { return };
        let mut limits = BTreeMap::new();
        for pool in self.pools.iter().filter(|pool| !pool.config.soft) {
            let config = &pool.config;
            let ceilings = [
                (Ceiling::Calls, config.max_calls),
                (Ceiling::CallsPerSecond, config.max_calls_per_second),
            ];
            for (ceiling, max) in ceilings {
                limits.extend(max.map(|max| (key_of(&config.name, ceiling), max)));
            }
        }
        leases.configure(clock(), &limits, |key| up(&self.pools, key));
    }

    /// When to ask the database, or to end calls, next.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// How well the leases stand.
    pub(crate) fn lease_standing(&self) -> Option<Standing> {
        let Leased { leases, clock } = self.shared.0.as_ref()?;
        leases.standing(clock())
    }

    /// Does something with the leases, by their clock and what is in use of each.
    fn with_leases<T>(
        &mut self,
        now: Instant,
        work: impl FnOnce(&mut Leases, Instant, &dyn Fn(&Key) -> usize) -> T,
    ) -> Option<T> {
        let Leased { leases, clock } = self.shared.0.as_mut()?;
        let pools = &self.pools;
        let used = |key: &Key| {
            let pool = pools.iter().find(|pool| pool.config.name == key.limit);
            pool.map_or(0, |pool| pool.used(now, key.ceiling))
        };
        let done = work(leases, clock(), &used);
        self.next = self.leases_due(now);
        Some(done)
    }

    /// The database can be asked.
    pub(crate) fn leases_joined(&mut self, now: Instant, incarnation: i64) {
        self.with_leases(now, |leases, now, _| leases.joined(now, incarnation));
    }

    /// The database does not answer.
    pub(crate) fn leases_cut_off(&mut self, now: Instant) {
        self.with_leases(now, |leases, _, _| leases.cut_off());
    }

    /// The database has answered.
    pub(crate) fn leases_answered(&mut self, now: Instant, answer: Answer) {
        self.with_leases(now, |leases, now, used| leases.answer(now, answer, used));
    }

    /// Another switch has changed who holds slots of a limit.
    pub(crate) fn leases_hear(&mut self, now: Instant, key: &Key, news: News) {
        self.with_leases(now, |leases, now, used| leases.hear(now, key, news, used(key)));
    }

    /// A newer process of this switch has its leases.
    pub(crate) fn retire_leases(&mut self) {
        if let Some(Leased { leases, .. }) = &mut self.shared.0 {
            leases.retire();
        }
        self.next = None;
    }

    /// What is to be asked of the database now.
    pub(crate) fn lease_request(&mut self, now: Instant) -> Option<Request> {
        self.with_leases(now, |leases, now, used| leases.poll_request(now, used)).flatten()
    }

    /// When that is by the leases.
    pub(super) fn leases_due(&self, now: Instant) -> Option<Instant> {
        let Leased { leases, clock } = self.shared.0.as_ref()?;
        let at = clock();
        leases.poll_timeout(at).map(|due| now + due.since(at))
    }
}

impl<K: Copy + Eq + Hash + Ord> Limits<K> {
    /// Legs that must end now since the lease of their slots is over, or taken away, those of `own` among them: the
    /// latest first. For each, which limit it is.
    pub(crate) fn over_lease(
        &mut self,
        now: Instant,
        own: impl Fn(&K) -> bool,
    ) -> Vec<(K, String)> {
        let Some(Leased { leases, clock }) = &self.shared.0 else { return Vec::new() };
        let (at, mut over) = (clock(), Vec::new());
        for pool in &self.pools {
            let key = key_of(&pool.config.name, Ceiling::Calls);
            for places in pool.places.values() {
                let count = leases.over(at, &key, places.counted());
                if count == 0 {
                    continue;
                }
                let legs =
                    places.leases.iter().filter(|(leg, lease)| !lease.is_emergency && own(leg));
                let mut legs: Vec<K> = legs.map(|(leg, _)| *leg).collect();
                legs.sort_unstable_by(|a, b| b.cmp(a));
                over.extend(
                    legs.into_iter().take(count).map(|leg| (leg, pool.config.name.clone())),
                );
            }
        }
        for (leg, _) in &over {
            self.release(now, *leg);
        }
        over
    }
}

/// Why a call is refused though the limit may not be full.
pub(super) fn write_full(f: &mut fmt::Formatter<'_>, full: &Full, share: &Share) -> fmt::Result {
    let Full { limit, used, max, reserved, ceiling, .. } = full;
    let (calls, here) = match ceiling {
        Ceiling::Calls => ("calls", format!("{used} are up here")),
        Ceiling::CallsPerSecond => ("calls per second", format!("{used} have begun here")),
    };
    let leased = share.bound.slots();
    write!(f, "limit {limit} of {max} {calls} is shared: {here}, and {leased} may be")?;
    if *reserved > 0 {
        write!(f, ", {reserved} of them kept for inbound calls")?;
    }
    match (share.bound, share.age) {
        (Bound::Leased(_), _) => {
            let told = share.told_elsewhere;
            write!(f, "; other switches hold {}, {told} of them in use", share.elsewhere)
        }
        (_, None) => {
            write!(f, "; the database that says which slots are free has not answered yet")
        }
        (_, Some(age)) => {
            let seconds = age.as_secs();
            write!(
                f,
                "; the database that says which slots are free has not answered for {seconds} s"
            )
        }
    }
}
