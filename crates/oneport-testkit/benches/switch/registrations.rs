//! What a registration costs.

use crate::load::{self, Load};
use crate::systems::{Kind, Setting, loopback};
use crate::{Bench, Rounds};

/// Devices that register and leave again.
const DEVICES: usize = 2_000;

/// How many of them begin in a second: what Asterisk takes, and what it does not.
const FEW: usize = 40;
const MANY: usize = 400;

impl Bench {
    /// Devices that come, prove themselves by MD5, and leave at once.
    pub(crate) fn registrations(&self) {
        println!(
            "\n| devices each second | at | CPU of a device that comes and leaves, µs | registered | to REGACK, ms (50 %, 99 %) |\n| --- | --- | --- | --- | --- |"
        );
        let mut scenes = vec![(Kind::Oneport, FEW), (Kind::Oneport, MANY)];
        if !self.settings.without_peers {
            scenes.extend([(Kind::Asterisk, FEW), (Kind::Asterisk, MANY)]);
        }
        let mut costs = vec![<[Rounds; 4]>::default(); scenes.len()];
        for _ in 0..self.settings.rounds {
            for ((kind, rate), [cost, share, median, slow]) in scenes.iter().zip(&mut costs) {
                let setting = Setting { devices: DEVICES, ..Setting::calls_to(loopback()) };
                let system = self.start(*kind, &setting);
                let load = Load {
                    devices: DEVICES,
                    rate: *rate,
                    hold: Some(0.0),
                    duration: self.settings.seconds,
                    ..Load::default()
                };
                let outcome = load::run(&load, Some(&system), None);
                let devices = outcome.registrations.expect("devices registered");
                let used = outcome.watched.map_or(0.0, |process| process.cpu_seconds);
                cost.0.push(used / devices.registered as f64 * 1e6);
                let wanted = *rate as f64 * self.settings.seconds;
                share.0.push(devices.registered as f64 * 100.0 / wanted);
                let took = devices.took_ms.expect("devices registered");
                median.0.push(took.p50);
                slow.0.push(took.p99);
            }
        }
        for ((kind, rate), [cost, share, median, slow]) in scenes.iter().zip(&costs) {
            println!(
                "| {rate} | {} | {} | {:.0} % | {:.2}, {:.2} |",
                kind.name(),
                cost.show(0),
                share.median(),
                median.median(),
                slow.median()
            );
        }
        if let [few, many, their_few, their_many] = &costs[..] {
            println!(
                "\n- Asterisk costs {:.1} times Oneport at {FEW} a second, {:.1} times at {MANY}.",
                their_few[0].median() / few[0].median(),
                their_many[0].median() / many[0].median()
            );
        }
    }
}
