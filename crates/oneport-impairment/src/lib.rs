//! What a bad link does to datagrams, as arithmetic: told when a datagram enters and how long it is, a
//! [`Link`] says when it comes out, if it does, and how often. It has no clock and no socket: whoever uses it
//! brings those.

use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

/// Bytes of headers of IPv4 and UDP, which a line of limited bandwidth carries too.
const HEADERS: u64 = 28;

/// What one direction of a link does. Shares are of all datagrams, 0 to 1.
///
/// ```
/// use std::time::Duration;
///
/// use oneport_impairment::{Impairment, Link};
///
/// // A line of 1 Mbit/s. The second datagram waits until the first has left.
/// let line = Impairment { bandwidth: Some(1_000_000), ..Impairment::NONE };
/// let mut link = Link::new(5456, line);
/// let arrives = [0, 1].map(|_| link.pass(Duration::ZERO, 1_222).arrives);
/// assert_eq!(arrives, [Some(Duration::from_millis(10)), Some(Duration::from_millis(20))]);
/// ```
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Impairment {
    /// How long each is on the way at least.
    pub delay: Duration,
    /// How much longer it may be, each by itself.
    pub jitter: Duration,
    /// Whether they stay in order: what is held up holds up all that is behind it.
    pub in_order: bool,
    /// How many are lost.
    pub loss: f64,
    /// How many are lost in a row, on average: 1 at random, more in bursts (E. Gilbert, 1960).
    pub loss_run: f64,
    /// How many come twice.
    pub duplication: f64,
    /// How many are overtaken, and by how much.
    pub reordering: f64,
    /// How much longer those are on the way.
    pub reordered_by: Duration,
    /// Bits per second that fit through; `None`: all.
    pub bandwidth: Option<u64>,
    /// How long a datagram may wait before a line that is full; it is lost where it had to wait longer.
    pub queue: Duration,
    /// Datagrams with a payload of more bytes never come; `None`: of any length they do.
    pub longest: Option<usize>,
    /// Everything stands still now and then, and comes all at once behind that.
    pub stalls: Option<Stall>,
    /// The receiver sees the sender's clock run faster by so many millionths. Arrivals come so much closer
    /// together, which is the same; as nothing comes before it was sent, a fast clock begins with a delay
    /// of a second, and is fast until that is used up.
    pub clock_ppm: i32,
}

/// Times when nothing passes.
///
/// ```
/// use std::time::Duration;
///
/// use oneport_impairment::{Impairment, Link, Stall};
///
/// // The last 300 ms of each second nothing passes.
/// let stall = Stall { every: Duration::from_secs(1), length: Duration::from_millis(300) };
/// let mut link = Link::new(5456, Impairment { stalls: Some(stall), ..Impairment::NONE });
/// for (enters, arrives) in [(600, 600), (800, 1_000), (900, 1_000), (1_100, 1_100)] {
///     let fate = link.pass(Duration::from_millis(enters), 164);
///     assert_eq!(fate.arrives, Some(Duration::from_millis(arrives)));
/// }
/// ```
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Stall {
    /// From the beginning of one to that of the next.
    pub every: Duration,
    /// How long one is.
    pub length: Duration,
}

impl Impairment {
    /// Nothing at all: each datagram comes at once.
    pub const NONE: Self = Self {
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        in_order: false,
        loss: 0.0,
        loss_run: 1.0,
        duplication: 0.0,
        reordering: 0.0,
        reordered_by: Duration::ZERO,
        bandwidth: None,
        queue: Duration::from_secs(1),
        longest: None,
        stalls: None,
        clock_ppm: 0,
    };

    /// A fixed delay, and nothing else.
    #[must_use]
    pub const fn delayed(delay: Duration) -> Self {
        Self { delay, ..Self::NONE }
    }
}

/// When a datagram comes out of a link, and when a copy of it does.
///
/// ```
/// use std::time::Duration;
///
/// use oneport_impairment::{Fate, Impairment, Link};
///
/// let at = Duration::from_millis(20);
/// let mut twice = Link::new(5456, Impairment { duplication: 1.0, ..Impairment::NONE });
/// assert_eq!(twice.pass(at, 164), Fate { arrives: Some(at), copy: Some(at) });
/// let mut dead = Link::new(5456, Impairment { loss: 1.0, ..Impairment::NONE });
/// assert_eq!(dead.pass(at, 164), Fate { arrives: None, copy: None });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Fate {
    /// `None`: it is lost.
    pub arrives: Option<Duration>,
    /// `None`: there is no copy.
    pub copy: Option<Duration>,
}

/// One direction of a link. The same seed and datagrams have the same fates.
///
/// ```
/// use std::time::Duration;
///
/// use oneport_impairment::{Impairment, Link};
///
/// // Five per cent are lost, four in a row on average.
/// let bursts = Impairment { loss: 0.05, loss_run: 4.0, ..Impairment::NONE };
/// let fates = |seed| {
///     let mut link = Link::new(seed, bursts);
///     let mut came = 0;
///     for n in 0..50_000 {
///         let fate = link.pass(Duration::from_millis(n * 20), 164);
///         came += u64::from(fate.arrives.is_some());
///     }
///     (came, link.lost().0)
/// };
/// let (came, lost) = fates(5456);
/// assert_eq!(came + lost, 50_000);
/// assert!((2_000..3_000).contains(&lost));
/// // The same seed loses the same ones.
/// assert_eq!(fates(5456), (came, lost));
/// ```
#[derive(Clone, Debug)]
pub struct Link {
    /// What it does from now on.
    pub impairment: Impairment,
    rng: ChaCha12Rng,
    /// It loses whatever comes.
    losing: bool,
    /// When the line has sent what waits.
    line_free: Duration,
    /// When the last came out, where they stay in order.
    last: Duration,
    /// Datagrams lost by chance or for their length, and as the queue was full.
    lost: (u64, u64),
}

impl Link {
    /// A link on which nothing is yet.
    #[must_use]
    pub fn new(seed: u64, impairment: Impairment) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        let rng = ChaCha12Rng::from_seed(bytes);
        Self {
            impairment,
            rng,
            losing: false,
            line_free: Duration::ZERO,
            last: Duration::ZERO,
            lost: (0, 0),
        }
    }

    /// How many datagrams it has lost: by chance or for their length, and as its queue was full.
    #[must_use]
    pub const fn lost(&self) -> (u64, u64) {
        self.lost
    }

    /// A number from 0 to 1, 1 left out.
    fn unit(&mut self) -> f64 {
        f64::from(self.rng.next_u32()) / (f64::from(u32::MAX) + 1.0)
    }

    fn happens(&mut self, share: f64) -> bool {
        share > 0.0 && self.unit() < share
    }

    fn loses(&mut self) -> bool {
        let Impairment { loss, loss_run, .. } = self.impairment;
        if loss <= 0.0 {
            return false;
        }
        if loss_run <= 1.0 {
            return self.happens(loss);
        }
        let ends = 1.0 / loss_run;
        let changes = if self.losing { ends } else { ends * loss / (1.0 - loss).max(f64::EPSILON) };
        self.losing ^= self.happens(changes);
        self.losing
    }

    /// A datagram with a payload of so many bytes enters at `now`, counted from any origin, but never
    /// backwards.
    pub fn pass(&mut self, now: Duration, bytes: usize) -> Fate {
        let impairment = self.impairment;
        if impairment.longest.is_some_and(|longest| bytes > longest) || self.loses() {
            self.lost.0 += 1;
            return Fate::default();
        }
        let mut leaves = now;
        if let Some(bandwidth) = impairment.bandwidth {
            let begins = self.line_free.max(now);
            if begins - now > impairment.queue {
                self.lost.1 += 1;
                return Fate::default();
            }
            let bits = (bytes as u64 + HEADERS) * 8;
            leaves = begins + Duration::from_secs_f64(bits as f64 / bandwidth.max(1) as f64);
            self.line_free = leaves;
        }
        if let Some(Stall { every, length }) = impairment.stalls {
            // Exact, or what comes at once would not come in order.
            let into = Duration::from_nanos((leaves.as_nanos() % every.as_nanos().max(1)) as u64);
            // It stands still at the end of each period, so that a call can begin.
            let begins = every.saturating_sub(length);
            if into >= begins {
                leaves += begins + length - into;
            }
        }
        let jitter = impairment.jitter.mul_f64(self.unit());
        let mut arrives = leaves + impairment.delay + jitter;
        if self.happens(impairment.reordering) {
            arrives += impairment.reordered_by;
        }
        if impairment.clock_ppm != 0 {
            // What enters at `now` comes as much earlier as the clock has gained, or later.
            let ahead = if impairment.clock_ppm > 0 { 1.0 } else { 0.0 };
            let gained = now.as_secs_f64() * f64::from(impairment.clock_ppm) / 1e6;
            arrives += Duration::from_secs_f64((ahead - gained).max(0.0));
        }
        if impairment.in_order {
            arrives = arrives.max(self.last);
            self.last = arrives;
        }
        let copy = self.happens(impairment.duplication).then_some(arrives);
        Fate { arrives: Some(arrives), copy }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    /// The fates of frames of 172 bytes, one each 20 ms.
    fn fates(impairment: Impairment, count: u64) -> Vec<Fate> {
        let mut link = Link::new(7, impairment);
        (0..count).map(|n| link.pass(ms(n * 20), 172)).collect()
    }

    fn lost(fates: &[Fate]) -> usize {
        fates.iter().filter(|fate| fate.arrives.is_none()).count()
    }

    #[test]
    fn the_same_seed_has_the_same_fates() {
        let impairment = Impairment { loss: 0.1, jitter: ms(40), ..Impairment::NONE };
        assert_eq!(fates(impairment, 500), fates(impairment, 500));
    }

    #[test]
    fn loss_is_of_the_share_and_in_runs_of_the_length_that_was_asked_for() {
        for (loss, loss_run) in [(0.02, 1.0), (0.05, 4.0)] {
            let found = fates(Impairment { loss, loss_run, ..Impairment::NONE }, 100_000);
            let share = lost(&found) as f64 / found.len() as f64;
            assert!((share - loss).abs() < loss / 5.0, "{share}, and not {loss}");
            let is_lost = |fate: &Fate| fate.arrives.is_none();
            let runs = found.windows(2).filter(|two| !is_lost(&two[0]) && is_lost(&two[1])).count();
            let length = lost(&found) as f64 / runs as f64;
            assert!((length - loss_run).abs() < loss_run / 5.0, "{length}, and not {loss_run}");
        }
    }

    #[test]
    fn what_is_too_long_never_comes() {
        let mut link = Link::new(7, Impairment { longest: Some(1_272), ..Impairment::NONE });
        let came = [20, 1_272, 1_273].map(|bytes| link.pass(ms(0), bytes).arrives.is_some());
        assert_eq!((came, link.lost()), ([true, true, false], (1, 0)));
    }

    #[test]
    fn a_line_that_is_full_lets_its_queue_grow_and_then_loses() {
        // 172 + 28 bytes each 20 ms are 80 kbit/s.
        let queue = ms(300);
        let narrow = Impairment { bandwidth: Some(64_000), queue, ..Impairment::NONE };
        let found = fates(narrow, 500);
        let waits: Vec<Duration> = (0..)
            .map(|n| ms(n * 20))
            .zip(&found)
            .filter_map(|(sent, fate)| Some(fate.arrives? - sent))
            .collect();
        assert_eq!(waits[0], ms(25));
        assert!(waits.iter().all(|wait| *wait <= queue + ms(25)));
        assert!(waits[waits.len() - 1] > ms(270), "{waits:?}");
        // 64 of 80 go through.
        assert!((80..=110).contains(&lost(&found)), "{}", lost(&found));
        let wide = Impairment { bandwidth: Some(100_000), ..narrow };
        assert!(
            fates(wide, 500).iter().zip(0..).all(|(fate, n)| fate.arrives == Some(ms(n * 20 + 16)))
        );
    }

    #[test]
    fn a_stall_keeps_the_order_of_what_came_between_two_ticks_of_a_clock() {
        let stalls = Some(Stall { every: ms(2_000), length: ms(300) });
        let mut link = Link::new(7, Impairment { stalls, ..Impairment::NONE });
        let odd = |n: u64| Duration::from_nanos(1_800_000_000 + n * 20_000_000 + (n * 617) % 1_000);
        let due: Vec<_> = (0..10).map(|n| link.pass(odd(n), 172).arrives).collect();
        assert!(due.iter().all(|due| *due == Some(ms(2_000))), "{due:?}");
    }

    #[test]
    fn behind_a_stall_everything_comes_at_once() {
        let stalls = Some(Stall { every: ms(2_000), length: ms(300) });
        let found = fates(Impairment { stalls, ..Impairment::NONE }, 200);
        let at_once = found.iter().filter(|fate| fate.arrives == Some(ms(2_000))).count();
        // Those of 1,700 to 1,980, and the one that is sent then.
        assert_eq!((at_once, lost(&found)), (16, 0));
        assert_eq!(found[84].arrives, Some(ms(1_680)));
    }

    #[test]
    fn order_is_kept_where_it_is_asked_for_and_lost_where_it_is() {
        let overtaken =
            |found: &[Fate]| found.windows(2).filter(|two| two[0].arrives > two[1].arrives).count();
        let jitter = ms(100);
        assert_eq!(
            overtaken(&fates(Impairment { jitter, in_order: true, ..Impairment::NONE }, 500)),
            0
        );
        assert!(overtaken(&fates(Impairment { jitter, ..Impairment::NONE }, 500)) > 100);
        let found =
            fates(Impairment { reordering: 0.05, reordered_by: ms(30), ..Impairment::NONE }, 1_000);
        assert!((30..=70).contains(&overtaken(&found)), "{}", overtaken(&found));
        let twice = fates(Impairment { duplication: 0.1, ..Impairment::NONE }, 1_000);
        let copies = twice.iter().filter(|fate| fate.copy.is_some()).count();
        assert!((70..=130).contains(&copies), "{copies}");
    }

    #[test]
    fn a_fast_clock_lets_frames_come_closer_together() {
        let found = fates(Impairment { clock_ppm: 500, ..Impairment::NONE }, 50_001);
        let (first, last) = (found[0].arrives, found[50_000].arrives);
        let took = last.expect("none is lost") - first.expect("none is lost");
        // 1,000 s by its clock: half a second less by ours.
        assert_eq!(took.as_millis(), 999_500);
    }
}
