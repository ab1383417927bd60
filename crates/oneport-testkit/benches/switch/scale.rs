//! How the cost of a call grows with the number of calls.

use std::thread;
use std::time::Duration;

use crate::load::{Load, Running};
use crate::systems::{Kind, Setting, loopback};
use crate::{Bench, load};

/// Calls at once, on one port.
const CALLS: [usize; 5] = [10, 100, 1_000, 10_000, 100_000];

/// Peers that they come from: an address has numbers for 32,767 calls.
const PEERS: usize = 4;

/// Calls of those that speak: as many as the machine's kernel passes on.
const TALKERS: usize = 500;

/// Calls set up in a second.
const RATE: usize = 1_000;

impl Bench {
    /// Calls that are up and mostly silent: what they cost, and hold.
    pub(crate) fn scale(&self) {
        println!(
            "\n| calls up | of which speak | CPU, cores | of a call, µs in a second | memory of a call, bytes |\n| --- | --- | --- | --- | --- |"
        );
        for calls in CALLS {
            let callee = loopback();
            let setting = Setting { trunk: true, ..Setting::calls_to(callee) };
            let system = self.start(Kind::Oneport, &setting);
            let empty = system.memory();
            let peers = if calls > 32_000 { PEERS } else { 1 };
            let rate = (RATE / peers).min(calls.max(50));
            let set_up = calls as f64 / (rate * peers) as f64;
            let talkers = calls.min(TALKERS);
            let load = Load {
                calls: calls / peers,
                rate,
                duration: set_up * 1.2 + self.settings.seconds + 6.0,
                trunk: true,
                talkers: Some((talkers / peers).max(1)),
                ..Load::default()
            };
            let first = Running::start(&load, Some(&system), Some(callee));
            // The first of them is the one who answers for all.
            thread::sleep(Duration::from_secs(1));
            let others: Vec<Running> =
                (1..peers).map(|_| Running::start(&load, Some(&system), None)).collect();
            let mut outcomes = vec![first.finish()];
            outcomes.extend(others.into_iter().map(Running::finish));
            let up: usize = outcomes.iter().map(|outcome| outcome.calls.most_at_once).sum();
            let last = outcomes.first().expect("one at least");
            let full: Vec<&load::Second> = last
                .each_second
                .iter()
                .filter(|second| second.answered >= last.calls.most_at_once)
                .collect();
            let from = full.len() / 3;
            let cores: Vec<f64> =
                full.iter().skip(from).filter_map(|second| second.watched_cores).collect();
            let cores = cores.iter().sum::<f64>() / cores.len() as f64;
            let memory = last.watched.as_ref().and_then(|process| process.memory_bytes);
            let held = memory.unwrap_or(0).saturating_sub(empty) as f64;
            println!(
                "| {up} | {talkers} | {cores:.3} | {:.1} | {:.0} |",
                cores / up as f64 * 1e6,
                held / up as f64
            );
        }
    }
}
