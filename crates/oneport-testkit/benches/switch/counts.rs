//! What a frame costs that is relayed, in what the kernel counts: system calls, context switches and, where the
//! processor counts them, instructions. Unlike time these do not depend on what else the machine does.

use std::time::Duration;

use crate::bridges::VoiceIn;
use crate::kernel::{Calls, Counter};
use crate::load::Running;
use crate::relay::Way;
use crate::systems::{Kind, Setting, loopback};
use crate::{Bench, FEW, MANY};

/// Frames of a call in a second that pass through the system, both ways.
const FRAMES: f64 = 100.0;

impl Bench {
    /// System calls and context switches of a frame that is relayed.
    pub(crate) fn counts(&self) {
        println!(
            "\n| calls | voice in | through | system calls of a frame: in, out, to wait, for locks, others | of a second, all | context switches in a second | instructions of a frame |\n| --- | --- | --- | --- | --- | --- | --- |"
        );
        let mut by = None;
        let ways = [VoiceIn::Minis, VoiceIn::BundledMinis, VoiceIn::Trunks];
        for (calls, way) in [FEW, MANY].into_iter().flat_map(|calls| ways.map(|way| (calls, way))) {
            let voice = way.name();
            let asterisk = (calls == FEW && !self.settings.without_peers).then_some(Kind::Asterisk);
            for kind in [Kind::Relay(Way::Bundles), Kind::Oneport].into_iter().chain(asterisk) {
                let load = self.bridged(calls, way);
                let callee = loopback();
                let system =
                    self.start(kind, &Setting { trunk: load.trunk, ..Setting::calls_to(callee) });
                let running = Running::start(&load, Some(&system), Some(callee));
                // Half of the time in which all are up, behind some in which they settle.
                let lasts = Duration::from_secs_f64(self.settings.seconds / 2.0);
                let set_up = load.duration - self.settings.seconds - 4.0;
                std::thread::sleep(Duration::from_secs_f64(set_up + 1.5));
                let Some(counted) = Calls::count(system.pid, lasts) else {
                    println!("\n- Neither `perf` nor `strace` counts here.");
                    return;
                };
                let outcome = running.finish();
                let lost = outcome.voice.lost_percent;
                if lost > 1.0 {
                    println!(
                        "| {calls} | {voice} | {} | {lost:.1} % lost | – | – | – |",
                        kind.name()
                    );
                    continue;
                }
                by = Some(counted.by);
                let seconds = lasts.as_secs_f64();
                let frames = calls as f64 * FRAMES * seconds;
                let each = |count: u64| format!("{:.4}", count as f64 / frames);
                let Calls { receiving, sending, waiting, locking, others, instructions, .. } =
                    counted;
                println!(
                    "| {calls} | {voice} | {} | {}, {}, {}, {}, {} | {:.0} | {:.0} | {} |",
                    kind.name(),
                    each(receiving),
                    each(sending),
                    each(waiting),
                    each(locking),
                    each(others),
                    (receiving + sending + waiting + locking + others) as f64 / seconds,
                    outcome.steady_context_switches(),
                    instructions.map_or_else(
                        || "not counted".into(),
                        |count| format!("{:.0}", count as f64 / frames)
                    ),
                );
            }
        }
        let by = by.map(|by| match by {
            Counter::Perf => "`perf stat`, which does not slow the process",
            Counter::Strace => "`strace -c`, which slows the process",
        });
        if let Some(by) = by {
            println!("\n- Counted by {by}.");
        }
    }
}
