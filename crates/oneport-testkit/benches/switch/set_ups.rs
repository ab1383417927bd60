//! What a call costs that is set up and hung up at once.

use crate::load::Load;
use crate::relay::Way;
use crate::systems::Kind;
use crate::{Bench, Rounds};

impl Bench {
    /// What a call costs that is set up and hung up at once, with MD5 and call token.
    pub(crate) fn set_ups(&self) {
        println!(
            "\n| set up each second | through | CPU of a call, µs | answered | to the answer, ms (50 %, 99 %) |"
        );
        println!("| --- | --- | --- | --- | --- |");
        // A relay decides nothing, and the call that it passes on has neither call token nor MD5.
        let relay = Kind::Relay(Way::Batches);
        let scenes = [
            (relay, 40),
            (relay, 400),
            (Kind::Oneport, 40),
            (Kind::Oneport, 400),
            (Kind::Asterisk, 40),
        ];
        let scenes: Vec<(Kind, usize)> = scenes
            .into_iter()
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
        let of = |wanted: Kind, at: usize| {
            let found = scenes.iter().position(|(kind, rate)| (*kind, *rate) == (wanted, at))?;
            Some(costs[found].0.median())
        };
        if let (Some(asterisk), Some(oneport)) = (of(Kind::Asterisk, 40), of(Kind::Oneport, 40)) {
            println!("\n- 40 a second: Asterisk costs {:.1} times Oneport.", asterisk / oneport);
        }
        if let (Some(asterisk), Some(oneport)) = (of(Kind::Asterisk, 40), of(Kind::Oneport, 400)) {
            println!("- 400 a second at Oneport, 40 at Asterisk: {:.1} times.", asterisk / oneport);
        }
        if let (Some(asterisk), Some(bare)) = (of(Kind::Asterisk, 40), of(relay, 400)) {
            println!("- 400 a second at the relay, 40 at Asterisk: {:.1} times.", asterisk / bare);
        }
    }
}
