//! How the cost of a call grows with the number of calls.

use std::net::SocketAddrV4;

use crate::Bench;
use crate::load::{Load, Outcome, Running, Second};
use crate::systems::{Kind, Setting, loopback};

/// Calls at once, on one port.
const CALLS: [usize; 5] = [10, 100, 1_000, 10_000, 100_000];

/// Peers that they come from, and that they go to: an address has numbers for 32,767 calls.
const PEERS: usize = 4;

/// One of those of each peer speaks: what all of them cost that speak, other scenes tell.
const TALKERS: usize = 1;

/// Seconds between polls by the loads, which have the same machine. The switch polls both legs as ever.
const LOADS_POLL: u32 = 60;

/// Calls set up in a second.
const RATE: usize = 1_000;

/// How much longer they may take than at that rate: the loads have the same machine.
const SLOWER: f64 = 1.6;

impl Bench {
    /// Calls that are up and silent: what they cost, and hold.
    pub(crate) fn scale(&self) {
        println!(
            "\n| calls up, silent | CPU, cores | of a call, µs in a second | memory of a call, bytes |\n| --- | --- | --- | --- |"
        );
        for calls in CALLS {
            let peers = if calls > 32_000 { PEERS } else { 1 };
            let callees: Vec<SocketAddrV4> = (0..peers).map(|_| loopback()).collect();
            let others = callees[1..].to_vec();
            let setting = Setting { trunk: true, others, ..Setting::calls_to(callees[0]) };
            let system = self.start(Kind::Oneport, &setting);
            let empty = system.memory();
            let rate = (RATE / peers).min(calls.max(50));
            let set_up = calls as f64 / (rate * peers) as f64;
            let load = Load {
                calls: calls / peers,
                rate,
                duration: set_up * SLOWER + self.settings.seconds + 6.0,
                trunk: true,
                talkers: Some(TALKERS),
                poll: Some(LOADS_POLL),
                ..Load::default()
            };
            let loads: Vec<Running> = callees
                .iter()
                .enumerate()
                .map(|(other, callee)| {
                    let load = Load { other, ..load.clone() };
                    Running::start(&load, Some(&system), Some(*callee))
                })
                .collect();
            let outcomes: Vec<Outcome> = loads.into_iter().map(Running::finish).collect();
            let up: usize = outcomes.iter().map(|outcome| outcome.calls.most_at_once).sum();
            let last = outcomes.last().expect("one at least");
            let full: Vec<&Second> = last
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
                "| {up} | {cores:.3} | {:.1} | {:.0} |",
                cores / up as f64 * 1e6,
                held / up as f64
            );
        }
    }
}
