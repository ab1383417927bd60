//! What a registration costs.

use crate::load::{self, Load};
use crate::systems::{Kind, Setting, loopback};
use crate::{Bench, Rounds};

/// Devices that register and leave again.
const DEVICES: usize = 2_000;

/// How many of them begin in a second.
const RATES: [usize; 4] = [40, 400, 1_000, 2_000];

/// Of a hundred, so many must have been registered where a cost counts.
const REGISTERED: f64 = 95.0;

impl Bench {
    /// Devices that come, prove themselves by MD5, and leave at once.
    pub(crate) fn registrations(&self) {
        println!(
            "\n| devices each second | at | CPU of a device that comes and leaves, µs | registered | to REGACK, ms (50 %, 99 %) |\n| --- | --- | --- | --- | --- |"
        );
        let at = |kind| RATES.map(|rate| (kind, rate));
        let scenes: Vec<(Kind, usize)> = self.both().into_iter().flat_map(at).collect();
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
        let least = |wanted: Kind| {
            let all = scenes.iter().zip(&costs).filter(|((kind, _), [_, share, ..])| {
                *kind == wanted && share.median() >= REGISTERED
            });
            let each = all.map(|((_, rate), [cost, ..])| (cost.median(), *rate));
            each.min_by(|one, other| one.0.total_cmp(&other.0))
        };
        if let (Some(ours), Some(theirs)) = (least(Kind::Oneport), least(Kind::Asterisk)) {
            let ((cost, at), (asterisk, rate)) = (ours, theirs);
            let times = asterisk / cost;
            println!(
                "\n- Of these rates, where each is cheapest: Asterisk ({rate} a second) costs {times:.1} times Oneport ({at})."
            );
        }
    }
}
