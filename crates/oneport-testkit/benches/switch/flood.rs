//! What a flood of junk does to the calls beside it.

use std::thread;
use std::time::Duration;

use crate::junk::Junk;
use crate::load::{Load, Running};
use crate::systems::{Setting, loopback, socket_drops};
use crate::{Bench, FEW};

/// Datagrams in a second.
const RATE: usize = 100_000;

/// Calls set up in a second beside it.
const SET_UPS: usize = 20;

/// How long calls go on before it begins, in s.
const CALM: f64 = 6.0;

impl Bench {
    /// Calls that stay, and others that come and go, first without and then with the flood.
    pub(crate) fn flood(&self) {
        println!(
            "\n| {FEW} calls beside | at | junk each second | voice lost | dropped by the socket | to the answer, ms (50 %, 99 %) | memory, MiB, before and behind |\n| --- | --- | --- | --- | --- | --- | --- |"
        );
        for kind in self.both() {
            for rate in [0, RATE] {
                let callee = loopback();
                let system = self.start(kind, &Setting::calls_to(callee));
                let seconds = self.settings.seconds;
                let standing = self.standing(FEW, false);
                let standing = Load { duration: CALM + seconds + 4.0, ..standing };
                let calls = Running::start(&standing, Some(&system), Some(callee));
                thread::sleep(Duration::from_secs_f64(CALM));
                let (memory, drops) = (system.memory(), socket_drops(system.address));
                let junk = (rate > 0).then(|| Junk::start(system.address, rate));
                let short = Load {
                    calls: 100_000,
                    rate: SET_UPS,
                    hold: Some(0.0),
                    duration: seconds,
                    ..Load::default()
                };
                // The callee of the others answers these as well.
                let set_ups = Running::start(&short, Some(&system), None).finish();
                let sent = junk.map_or(0, Junk::stop);
                let (after, dropped) = (system.memory(), socket_drops(system.address) - drops);
                let outcome = calls.finish();
                let took = set_ups.set_up_ms.expect("calls were answered");
                println!(
                    "| {} | {} | {:.0} | {:.2} % | {dropped} | {:.1}, {:.1} | {:.1}, {:.1} |",
                    if rate > 0 { "a flood" } else { "nothing" },
                    kind.name(),
                    sent as f64 / seconds,
                    outcome.voice.lost_percent,
                    took.p50,
                    took.p99,
                    memory as f64 / f64::from(1 << 20),
                    after as f64 / f64::from(1 << 20)
                );
            }
        }
    }
}
