//! What a call costs that is more than passed on: encrypted on one leg, or of another codec there.

use crate::load::{self, Load};
use crate::systems::{Setting, loopback};
use crate::{Bench, FEW, Rounds};

/// How the legs of a call differ: whether the first is encrypted, and the codec of the second.
const WAYS: [(&str, bool, &str); 4] = [
    ("alike", false, "ulaw"),
    ("one encrypted", true, "ulaw"),
    ("G.711 and GSM", false, "gsm"),
    ("G.711 µ-law and A-law", false, "alaw"),
];

impl Bench {
    /// Calls of mini frames whose legs differ. Voice that is transcoded has no marks, and so what is lost of
    /// it is not told.
    pub(crate) fn unlike(&self) {
        println!(
            "\n| {FEW} calls, their legs | through | CPU of a call, µs in a second | lost |\n| --- | --- | --- | --- |"
        );
        let mut ratios = Vec::new();
        for (name, encrypted, codec) in WAYS {
            let load = Load { encrypted, ..self.standing(FEW, false) };
            let kinds = self.both();
            let mut costs = vec![(Rounds::default(), Rounds::default()); kinds.len()];
            for _ in 0..self.settings.rounds {
                for (kind, (cost, lost)) in kinds.iter().zip(&mut costs) {
                    let callee = loopback();
                    let setting = Setting { encrypted, codec, ..Setting::calls_to(callee) };
                    let system = self.start(*kind, &setting);
                    let outcome = load::run(&load, Some(&system), Some(callee));
                    assert_eq!(outcome.calls.most_at_once, FEW, "{} takes them all", kind.name());
                    cost.0.push(outcome.per_call().1);
                    lost.0.push(outcome.voice.lost_percent);
                }
            }
            for (kind, (cost, lost)) in kinds.iter().zip(&costs) {
                let lost = match codec {
                    "ulaw" => format!("{:.2} %", lost.median()),
                    _ => "–".into(),
                };
                println!("| {name} | {} | {} | {lost} |", kind.name(), cost.show(0));
            }
            if let [(ours, _), (theirs, _)] = &costs[..] {
                ratios.push(format!("{name}: {:.1}", theirs.median() / ours.median()));
            }
        }
        if !ratios.is_empty() {
            println!("\n- Asterisk's cost beside Oneport's: {}.", ratios.join("; "));
        }
    }
}
