//! What a call costs that is set up and hung up at once.

use crate::load::Load;
use crate::relay::Way;
use crate::systems::Kind;
use crate::{Bench, Rounds};

/// Calls that are set up in a second.
const RATES: [usize; 3] = [40, 400, 2_000];
/// The same at Asterisk: its cost hardly changes between these.
const RATES_OF_ASTERISK: [usize; 3] = [40, 100, 200];

/// Of a hundred, so many calls must have been answered where a cost counts.
const ANSWERED: f64 = 99.0;

impl Bench {
    /// What a call costs that is set up and hung up at once, with MD5 and call token.
    pub(crate) fn set_ups(&self) {
        println!(
            "\n| set up each second | through | CPU of a call, µs | answered | to the answer, ms (50 %, 99 %) |"
        );
        println!("| --- | --- | --- | --- | --- |");
        // A relay decides nothing, and the call that it passes on has neither call token nor MD5.
        let relay = Kind::Relay(Way::Batches);
        let at = |kind, rates: [usize; 3]| rates.into_iter().map(move |rate| (kind, rate));
        let scenes: Vec<(Kind, usize)> = at(relay, RATES)
            .chain(at(Kind::Oneport, RATES))
            .chain(at(Kind::Asterisk, RATES_OF_ASTERISK))
            .filter(|(kind, _)| *kind != Kind::Asterisk || !self.settings.without_peers)
            .collect();
        let mut costs =
            vec![
                (Rounds::default(), Rounds::default(), Rounds::default(), Rounds::default());
                scenes.len()
            ];
        for _ in 0..self.settings.rounds {
            for ((kind, rate), (cost, answered, median, slow)) in scenes.iter().zip(&mut costs) {
                let load = Load {
                    calls: 100_000,
                    rate: *rate,
                    hold: Some(0.0),
                    duration: self.settings.seconds,
                    ..Load::default()
                };
                let outcome = self.call(*kind, &load);
                let used = outcome.watched.map_or(0.0, |process| process.cpu_seconds);
                cost.0.push(used / outcome.calls.answered as f64 * 1e6);
                answered
                    .0
                    .push(outcome.calls.answered as f64 * 100.0 / outcome.calls.placed as f64);
                let set_up = outcome.set_up_ms.expect("calls were answered");
                median.0.push(set_up.p50);
                slow.0.push(set_up.p99);
            }
        }
        for ((kind, rate), (cost, answered, median, slow)) in scenes.iter().zip(&costs) {
            println!(
                "| {rate} | {} | {} | {:.1} % | {:.2}, {:.2} |",
                kind.name(),
                cost.show(0),
                answered.median(),
                median.median(),
                slow.median()
            );
        }
        let least = |wanted: Kind| {
            let all = scenes
                .iter()
                .zip(&costs)
                .filter(|((kind, _), cost)| *kind == wanted && cost.1.median() >= ANSWERED);
            let each = all.map(|((_, rate), cost)| (cost.0.median(), *rate));
            each.min_by(|one, other| one.0.total_cmp(&other.0))
        };
        if let Some((asterisk, rate)) = least(Kind::Asterisk) {
            for kind in [Kind::Oneport, relay] {
                let Some((cost, at)) = least(kind) else { continue };
                let (name, times) = (kind.name(), asterisk / cost);
                println!(
                    "- Of these rates, where each is cheapest: Asterisk ({rate} a second) costs {times:.1} times {name} ({at})."
                );
            }
        }
    }
}
