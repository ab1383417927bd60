//! How much later voice comes through the switch than straight.

use crate::bridges::VoiceIn;
use crate::load;
use crate::systems::{Kind, loopback};
use crate::{Bench, FEW, MANY, Rounds};

impl Bench {
    /// How much later voice comes through the switch than straight.
    pub(crate) fn delay(&self) {
        println!(
            "\n| calls | voice in | one way straight, ms (50 %, 99 %) | through Oneport, ms (50 %, 99 %) | cores of switch, load |"
        );
        println!("| --- | --- | --- | --- | --- |");
        for (calls, voice) in [
            (FEW, VoiceIn::Minis),
            (MANY, VoiceIn::Minis),
            (FEW, VoiceIn::BundledMinis),
            (MANY, VoiceIn::BundledMinis),
            (2 * MANY, VoiceIn::BundledMinis),
            (4 * MANY, VoiceIn::BundledMinis),
            (MANY, VoiceIn::Trunks),
        ] {
            let load = self.bridged(calls, voice);
            let mut rows =
                [(Rounds::default(), Rounds::default()), (Rounds::default(), Rounds::default())];
            let mut cores = (Rounds::default(), Rounds::default());
            for _ in 0..self.settings.rounds {
                let straight = load::run(&load, None, Some(loopback()));
                let through = self.call(Kind::Oneport, &load);
                let (switch, own) = through.steady_cores();
                cores.0.0.push(switch);
                cores.1.0.push(own);
                for (outcome, (median, slow)) in [straight, through].iter().zip(&mut rows) {
                    let way = outcome.one_way_ms.as_ref().expect("voice came");
                    median.0.push(way.p50);
                    slow.0.push(way.p99);
                }
            }
            let [straight, through] =
                rows.map(|(median, slow)| format!("{:.2}, {}", median.median(), slow.show(2)));
            println!(
                "| {calls} | {} | {straight} | {through} | {:.2}, {:.2} |",
                voice.name(),
                cores.0.median(),
                cores.1.median()
            );
        }
    }
}
