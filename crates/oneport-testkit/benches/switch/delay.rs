//! How much later voice comes through the switch than straight.

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
        for (calls, trunk) in
            [(FEW, false), (MANY, false), (2 * MANY, false), (4 * MANY, false), (MANY, true)]
        {
            let load = self.standing(calls, trunk);
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
            let frames = if trunk { "trunk frames" } else { "mini frames" };
            println!(
                "| {calls} | {frames} | {straight} | {through} | {:.2}, {:.2} |",
                cores.0.median(),
                cores.1.median()
            );
        }
    }
}
