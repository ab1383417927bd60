//! What calls hold of a process's memory.

use std::time::Duration;

use crate::load;
use crate::systems::{Setting, loopback};
use crate::{Bench, FEW, MANY, Rounds};

impl Bench {
    /// What a leg holds of the process's memory.
    pub(crate) fn memory(&self) {
        println!("\n| calls | through | memory of a leg, bytes |");
        println!("| --- | --- | --- |");
        for (kind, calls) in self.both().into_iter().zip([MANY, FEW]) {
            let mut cost = Rounds::default();
            for _ in 0..self.settings.rounds {
                let callee = loopback();
                let system = self.start(kind, &Setting::calls_to(callee));
                // The first calls pay for what all share.
                let resident = |calls| {
                    let load = self.standing(calls, false);
                    let outcome = load::run(&load, Some(&system), Some(callee));
                    let process = outcome.watched.expect("it was watched");
                    process.memory_bytes.expect("Linux tells it") as f64
                };
                let few = resident(calls / 10);
                std::thread::sleep(Duration::from_secs(1));
                let all = resident(calls);
                cost.0.push((all - few) / (2 * (calls - calls / 10)) as f64);
            }
            println!("| {calls} | {} | {} |", kind.name(), cost.show(0));
        }
    }
}
