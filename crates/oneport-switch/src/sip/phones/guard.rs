//! Who is not heard: scanners, whoever asks too often, and whoever has guessed too often.
//!
//! It knows addresses and times alone. All its tables are bounded.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Addresses that are counted within one second. Others get no answer until the next.
const MOST_ADDRESSES: usize = 65_536;
/// So many wrong proofs within this time, and an address is not heard for as long.
const MOST_FAILURES: u32 = 10;
const FAILURES_IN: Duration = Duration::from_secs(60);
/// Addresses with a wrong proof that are remembered.
const MOST_FAILED: usize = 65_536;

/// What scanners call themselves, in lower case. Those that lie are found by what they do.
const SCANNERS: [&str; 12] = [
    "friendly-scanner",
    "friendly-request",
    "sipvicious",
    "sundayddr",
    "sipcli",
    "sip-scan",
    "sipscan",
    "vaxsipuseragent",
    "pplsip",
    "siparmyknife",
    "zgrab",
    "masscan",
];

/// Whether a program that calls itself so is a scanner.
pub(crate) fn is_scanner(user_agent: &str) -> bool {
    let name = user_agent.to_ascii_lowercase();
    SCANNERS.iter().any(|scanner| name.contains(scanner))
}

/// What one address has asked for in the second that runs.
#[derive(Debug)]
struct Second {
    begun: Instant,
    counts: HashMap<IpAddr, u32>,
}

/// Wrong proofs from one address.
#[derive(Clone, Copy, Debug)]
struct Failures {
    begun: Instant,
    count: u32,
}

/// Counts, and says who is not heard.
#[derive(Debug)]
pub(crate) struct Guard {
    second: Mutex<Second>,
    failed: Mutex<HashMap<IpAddr, Failures>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Guard {
    pub(crate) fn new(now: Instant) -> Self {
        let second = Mutex::new(Second { begun: now, counts: HashMap::new() });
        Self { second, failed: Mutex::default() }
    }

    /// Counts a request; `false`: it is one too many of this second.
    pub(crate) fn admits(&self, now: Instant, from: IpAddr, most: u32) -> bool {
        let mut second = lock(&self.second);
        if now.saturating_duration_since(second.begun) >= Duration::from_secs(1) {
            second.begun = now;
            second.counts.clear();
        }
        if second.counts.len() >= MOST_ADDRESSES && !second.counts.contains_key(&from) {
            return false;
        }
        let count = second.counts.entry(from).or_default();
        *count = count.saturating_add(1);
        *count <= most
    }

    /// A proof from there was wrong; `true`: from now on it is not heard for a while.
    pub(crate) fn failed(&self, now: Instant, from: IpAddr) -> bool {
        let mut failed = lock(&self.failed);
        if failed.len() >= MOST_FAILED && !failed.contains_key(&from) {
            failed.retain(|_, failures| failures.holds(now));
            if failed.len() >= MOST_FAILED {
                return false;
            }
        }
        let failures = failed.entry(from).or_insert(Failures { begun: now, count: 0 });
        if !failures.holds(now) {
            *failures = Failures { begun: now, count: 0 };
        }
        failures.count = failures.count.saturating_add(1);
        if failures.count == MOST_FAILURES {
            failures.begun = now;
        }
        failures.count == MOST_FAILURES
    }

    /// Whether it has guessed too often.
    pub(crate) fn is_shut_out(&self, now: Instant, from: IpAddr) -> bool {
        let failed = lock(&self.failed);
        failed
            .get(&from)
            .is_some_and(|failures| failures.count >= MOST_FAILURES && failures.holds(now))
    }
}

impl Failures {
    fn holds(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.begun) < FAILURES_IN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn who_asks_too_often_is_heard_again_in_the_next_second() {
        let start = Instant::now();
        let guard = Guard::new(start);
        let heard = (0..10).filter(|_| guard.admits(start, address(1), 3)).count();
        assert_eq!(heard, 3);
        assert!(guard.admits(start, address(2), 3), "another is");
        assert!(guard.admits(start + Duration::from_secs(1), address(1), 3));
    }

    #[test]
    fn who_guesses_is_shut_out_for_a_minute() {
        let start = Instant::now();
        let guard = Guard::new(start);
        let second = Duration::from_secs(1);
        for _ in 1..MOST_FAILURES {
            assert!(!guard.failed(start, address(1)));
        }
        assert!(!guard.is_shut_out(start, address(1)));
        assert!(guard.failed(start + 9 * second, address(1)), "the tenth within a minute");
        assert!(guard.is_shut_out(start + 68 * second, address(1)));
        assert!(!guard.is_shut_out(start, address(2)));
        assert!(!guard.is_shut_out(start + 69 * second, address(1)));
        // Someone who mistypes now and then is not.
        for minute in 1..=2 * MOST_FAILURES {
            assert!(!guard.failed(start + minute * FAILURES_IN * 2, address(3)));
        }
    }

    #[test]
    fn no_more_addresses_are_counted_than_there_is_room_for() {
        let start = Instant::now();
        let guard = Guard::new(start);
        let most = u32::try_from(MOST_ADDRESSES).expect("small");
        for number in 0..most {
            assert!(guard.admits(start, IpAddr::from(number.to_be_bytes()), 1));
            guard.failed(start, IpAddr::from(number.to_be_bytes()));
        }
        let new = IpAddr::from(most.to_be_bytes());
        assert!(!guard.admits(start, new, 1));
        guard.failed(start, new);
        assert_eq!(lock(&guard.failed).len(), MOST_FAILED);
        guard.failed(start + FAILURES_IN, new);
        assert_eq!(lock(&guard.failed).len(), 1, "what is over makes room");
    }

    #[test]
    fn scanners_are_known_by_their_names() {
        assert!(is_scanner("friendly-scanner") && is_scanner("SIPVicious 0.3"));
        assert!(!is_scanner("baresip v1.0.0 (x86_64/linux)") && !is_scanner(""));
    }
}
