//! What registered peers cost that do nothing.

use std::time::Duration;

use crate::Bench;
use crate::load::{self, Load};
use crate::systems::{Kind, Setting, loopback};

/// Devices that are registered, more of them that Asterisk is not asked to take, and how many come in a second.
const DEVICES: usize = 10_000;
const MANY: usize = 50_000;
const RATE: usize = 500;

/// How often each is polled: as by Oneport, where nothing is said.
const QUALIFY: Duration = Duration::from_secs(20);

/// Seconds for which it is watched, once all are there: each is polled and has registered again.
const WATCHED: f64 = 60.0;

impl Bench {
    /// Devices that stay: each is polled three times a minute, and registers again every 45 to 50 seconds.
    pub(crate) fn idle(&self) {
        println!(
            "\n| registered peers, polled each {} s | at | CPU, cores | of a peer, µs in a second | memory, MiB |\n| --- | --- | --- | --- | --- |",
            QUALIFY.as_secs()
        );
        let mut means = Vec::new();
        let rows = self.both().into_iter().map(|kind| (kind, DEVICES));
        for (kind, devices) in rows.chain([(Kind::Oneport, MANY)]) {
            let setting =
                Setting { devices, qualify: Some(QUALIFY), ..Setting::calls_to(loopback()) };
            let system = self.start(kind, &setting);
            let load = Load {
                devices,
                rate: RATE,
                duration: devices as f64 / RATE as f64 * 1.2 + WATCHED,
                ..Load::default()
            };
            let outcome = load::run(&load, Some(&system), None);
            let most = outcome.registrations.map_or(0, |devices| devices.most_at_once);
            let there = |second: &&load::Second| second.registered * 100 >= most * 99;
            let cores: Vec<f64> = outcome
                .each_second
                .iter()
                .filter(there)
                .filter_map(|second| second.watched_cores)
                .collect();
            let mean = cores.iter().sum::<f64>() / cores.len() as f64;
            let memory = outcome.watched.and_then(|process| process.memory_bytes).unwrap_or(0);
            println!(
                "| {most} | {} | {mean:.3} | {:.1} | {} |",
                kind.name(),
                mean / most as f64 * 1e6,
                memory >> 20
            );
            means.push(mean / most as f64);
        }
        if let [ours, theirs, _] = means[..] {
            println!("\n- A peer costs Asterisk {:.1} times what it costs Oneport.", theirs / ours);
        }
    }
}
