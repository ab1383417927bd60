//! How large the program is, and how long it takes to be there.

use std::process::Command;

use crate::systems::{Setting, command, loopback};
use crate::{Bench, Rounds};

/// Peers that may register, in the configuration that is read.
const DEVICES: usize = 1_000;

impl Bench {
    /// The size of the program, and the time from its start to the first answer (PONG). Each has run before, so that
    /// its files are in memory and its database is there.
    pub(crate) fn start_times(&self) {
        let whole = std::fs::metadata(command()).expect("it was built").len();
        let bare = self.directory.path().join("stripped");
        let stripped = Command::new("strip").arg("-o").arg(&bare).arg(command()).status();
        let stripped = stripped.is_ok_and(|status| status.success());
        let bare = if stripped { std::fs::metadata(&bare).ok() } else { None };
        let bare = bare.map_or_else(
            || "not known, for want of `strip`".into(),
            |file| format!("{:.1} MiB", mib(file.len())),
        );
        println!("\n- The program: {:.1} MiB; without symbols: {bare}.", mib(whole));
        println!(
            "\n| {DEVICES} peers in the configuration | from the start to the first answer, ms | memory then, MiB |\n| --- | --- | --- |"
        );
        let mut medians = Vec::new();
        for kind in self.both() {
            let setting = Setting { devices: DEVICES, ..Setting::calls_to(loopback()) };
            let mut system = self.start(kind, &setting);
            let (mut took, mut memory) = (Rounds::default(), Rounds::default());
            for _ in 0..self.settings.rounds {
                took.0.push(system.start_again().as_secs_f64() * 1e3);
                memory.0.push(mib(system.memory()));
            }
            println!("| {} | {} | {:.1} |", kind.name(), took.show(1), memory.median());
            medians.push(took.median());
        }
        if let [ours, theirs] = medians[..] {
            println!("\n- Asterisk takes {:.1} times as long.", theirs / ours);
        }
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
