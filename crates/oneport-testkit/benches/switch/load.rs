//! One run of `oneport load` through a system.

use std::io::Read;
use std::net::SocketAddrV4;
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::systems::{Killed, SECRET, System, command};

/// What is asked of a run.
#[derive(Clone, Default)]
pub(crate) struct Load {
    pub(crate) calls: usize,
    pub(crate) rate: usize,
    /// Seconds an answered call lasts; without it until the end.
    pub(crate) hold: Option<f64>,
    /// Seconds.
    pub(crate) duration: f64,
    pub(crate) trunk: bool,
    /// Each datagram is sent by itself, as telephones and Asterisk do.
    pub(crate) one_by_one: bool,
    pub(crate) encrypted: bool,
    /// Which of the other callees is called; 0: the first of all.
    pub(crate) other: usize,
    /// How many calls speak; all where nothing is said.
    pub(crate) talkers: Option<usize>,
    /// Seconds between polls of a call by the load; the usual ones where nothing is said.
    pub(crate) poll: Option<u32>,
    /// Devices that register, in place of calls.
    pub(crate) devices: usize,
}

/// What `oneport load --json` prints, as far as it is needed here.
#[derive(Deserialize)]
pub(crate) struct Outcome {
    pub(crate) calls: Calls,
    pub(crate) registrations: Option<Registrations>,
    pub(crate) voice: Voice,
    pub(crate) set_up_ms: Option<Spread>,
    pub(crate) one_way_ms: Option<Spread>,
    pub(crate) watched: Option<Process>,
    pub(crate) each_second: Vec<Second>,
}

#[derive(Deserialize)]
pub(crate) struct Calls {
    pub(crate) placed: u64,
    pub(crate) answered: u64,
    pub(crate) most_at_once: usize,
}

#[derive(Deserialize)]
pub(crate) struct Registrations {
    pub(crate) registered: u64,
    pub(crate) most_at_once: usize,
    pub(crate) took_ms: Option<Spread>,
}

#[derive(Deserialize)]
pub(crate) struct Voice {
    pub(crate) lost_percent: f64,
}

#[derive(Deserialize)]
pub(crate) struct Spread {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

#[derive(Deserialize)]
pub(crate) struct Process {
    pub(crate) cpu_seconds: f64,
    pub(crate) memory_bytes: Option<u64>,
}

#[derive(Deserialize, Debug)]
pub(crate) struct Second {
    pub(crate) answered: usize,
    pub(crate) registered: usize,
    pub(crate) watched_cores: Option<f64>,
    watched_context_switches: Option<u64>,
    own_cores: Option<f64>,
}

/// Seconds behind the last set-up that are not counted yet.
const SETTLING: usize = 2;

impl Outcome {
    /// Cores that the system, and the load, used while all calls were up.
    pub(crate) fn steady_cores(&self) -> (f64, f64) {
        (self.mean(|second| second.watched_cores), self.mean(|second| second.own_cores))
    }

    /// Context switches of the system in a second, in the same time.
    pub(crate) fn steady_context_switches(&self) -> f64 {
        self.mean(|second| second.watched_context_switches.map(|count| count as f64))
    }

    /// The mean of something in the seconds in which all calls were up.
    fn mean(&self, of: impl Fn(&Second) -> Option<f64>) -> f64 {
        let up = |second: &&Second| second.answered >= self.calls.most_at_once;
        let steady: Vec<&Second> = self.each_second.iter().filter(up).skip(SETTLING).collect();
        assert!(!steady.is_empty(), "the calls were never all up");
        steady.iter().filter_map(|second| of(second)).sum::<f64>() / steady.len() as f64
    }
}

/// Seconds in which so many of the most that ever were up are up count as steady.
const NEARLY_ALL: f64 = 0.95;

impl Outcome {
    /// The most calls that were up, and the CPU time of each in a second, in µs, while nearly all were.
    ///
    /// # Panics
    /// They never were for long.
    pub(crate) fn per_call(&self) -> (usize, f64) {
        self.per_steady_call().unwrap_or_else(|| {
            panic!("the calls were never up for long: {:?}", self.each_second);
        })
    }

    /// The same, where they were up for long.
    pub(crate) fn per_steady_call(&self) -> Option<(usize, f64)> {
        let most = self.each_second.iter().map(|second| second.answered).max().unwrap_or_default();
        let up = |second: &&Second| {
            second.answered > 0 && second.answered as f64 >= most as f64 * NEARLY_ALL
        };
        let each: Vec<f64> = self
            .each_second
            .iter()
            .filter(up)
            .skip(SETTLING)
            .filter_map(|second| Some(second.watched_cores? / second.answered as f64 * 1e6))
            .collect();
        (!each.is_empty()).then(|| (most, each.iter().sum::<f64>() / each.len() as f64))
    }
}

/// Calls `callee` through `system`, or straight where there is none. Without `callee` there is somebody else
/// behind the system who sends voice back.
///
/// # Panics
/// There is neither.
pub(crate) fn run(load: &Load, system: Option<&System>, callee: Option<SocketAddrV4>) -> Outcome {
    Running::start(load, system, callee).finish()
}

/// A load under way.
pub(crate) struct Running(Killed);

impl Running {
    /// Begins what [`run`] does.
    ///
    /// # Panics
    /// As there.
    pub(crate) fn start(
        load: &Load,
        system: Option<&System>,
        callee: Option<SocketAddrV4>,
    ) -> Self {
        let to = system.map(|system| system.address).or_else(|| callee.map(Into::into));
        let to = to.expect("somebody to call");
        let mut command = Command::new(command());
        command.arg("load");
        if load.devices > 0 {
            command.arg(format!("iax:device{{}}@{to}"));
            command.args(["--registrations", &load.devices.to_string()]);
        } else {
            let other = if load.other > 0 { load.other.to_string() } else { String::new() };
            command.arg(format!("iax:load@{to}/bench{other}"));
            command.args(["--calls", &load.calls.to_string()]);
        }
        if let Some(callee) = callee {
            command.args(["--answer", &callee.to_string()]);
        }
        command.args(["--rate", &load.rate.to_string()]);
        command.args(["--duration", &format!("{:.0}ms", load.duration * 1e3), "--json"]);
        if let Some(hold) = load.hold {
            command.args(["--hold", &format!("{:.0}ms", hold * 1e3)]);
        }
        if let Some(talkers) = load.talkers {
            // Always the same ones.
            command.args(["--talkers", &talkers.to_string(), "--turn", "1h"]);
        }
        if let Some(poll) = load.poll {
            command.args(["--poll", &format!("{poll}s")]);
        }
        for (wanted, option) in [
            (load.one_by_one, "--one-by-one"),
            (load.trunk, "--trunk"),
            (load.encrypted, "--encryption=required"),
        ] {
            if wanted {
                command.arg(option);
            }
        }
        if let Some(system) = system {
            command.args(["--watch", &system.pid.to_string()]);
        }
        let child = command
            .env("ONEPORT_SECRET", SECRET)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it was built");
        Self(Killed(child))
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Outcome {
        let read = |stream: Option<&mut dyn Read>| {
            let mut text = String::new();
            if let Some(stream) = stream {
                stream.read_to_string(&mut text).expect("text");
            }
            text
        };
        let child = &mut self.0.0;
        // It prints little to its error output, and that at its end.
        let text = read(child.stdout.as_mut().map(|stream| stream as &mut dyn Read));
        let errors = read(child.stderr.as_mut().map(|stream| stream as &mut dyn Read));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}\n{errors}"))
    }
}
