//! One run of `oneport load` through a system.

use std::net::SocketAddrV4;
use std::process::Command;

use serde::Deserialize;

use crate::systems::{SECRET, System, command};

/// What is asked of a run.
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
}

/// What `oneport load --json` prints, as far as it is needed here.
#[derive(Deserialize)]
pub(crate) struct Outcome {
    pub(crate) calls: Calls,
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
    answered: usize,
    watched_cores: Option<f64>,
    own_cores: Option<f64>,
}

/// Seconds behind the last set-up that are not counted yet.
const SETTLING: usize = 2;

impl Outcome {
    /// Cores that the system, and the load, used while all calls were up.
    pub(crate) fn steady_cores(&self) -> (f64, f64) {
        let up = |second: &&Second| second.answered >= self.calls.most_at_once;
        let steady: Vec<&Second> = self.each_second.iter().filter(up).skip(SETTLING).collect();
        assert!(!steady.is_empty(), "the calls were never all up");
        let mean = |cores: fn(&Second) -> Option<f64>| {
            steady.iter().filter_map(|second| cores(second)).sum::<f64>() / steady.len() as f64
        };
        (mean(|second| second.watched_cores), mean(|second| second.own_cores))
    }
}

/// Seconds in which so many of the most that ever were up are up count as steady.
const NEARLY_ALL: f64 = 0.95;

impl Outcome {
    /// The most calls that were up, and the CPU time of each in a second, in µs, while nearly all were.
    pub(crate) fn per_call(&self) -> (usize, f64) {
        let most = self.each_second.iter().map(|second| second.answered).max().unwrap_or_default();
        let up = |second: &&Second| second.answered as f64 >= most as f64 * NEARLY_ALL;
        let each: Vec<f64> = self
            .each_second
            .iter()
            .filter(up)
            .skip(SETTLING)
            .filter_map(|second| Some(second.watched_cores? / second.answered as f64 * 1e6))
            .collect();
        assert!(!each.is_empty(), "the calls were never up for long: {:?}", self.each_second);
        (most, each.iter().sum::<f64>() / each.len() as f64)
    }
}

/// Calls `callee` through `system`, or straight where there is none. Without `callee` there is somebody else
/// behind the system who sends voice back.
///
/// # Panics
/// There is neither.
pub(crate) fn run(load: &Load, system: Option<&System>, callee: Option<SocketAddrV4>) -> Outcome {
    let to = system.map(|system| system.address).or_else(|| callee.map(Into::into));
    let mut command = Command::new(command());
    command.args(["load", &format!("iax:load@{}/bench", to.expect("somebody to call"))]);
    if let Some(callee) = callee {
        command.args(["--answer", &callee.to_string()]);
    }
    command.args(["--calls", &load.calls.to_string(), "--rate", &load.rate.to_string()]);
    command.args(["--duration", &format!("{:.0}ms", load.duration * 1e3), "--json"]);
    if let Some(hold) = load.hold {
        command.args(["--hold", &format!("{:.0}ms", hold * 1e3)]);
    }
    if load.one_by_one {
        command.arg("--one-by-one");
    }
    if load.trunk {
        command.arg("--trunk");
    }
    if let Some(system) = system {
        command.args(["--watch", &system.pid.to_string()]);
    }
    let output = command.env("ONEPORT_SECRET", SECRET).output().expect("it was built");
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{error}\n{text}\n{}", String::from_utf8_lossy(&output.stderr))
    })
}
