//! What the kernel counts of a process: its system calls, and its instructions.

use std::process::{Command, Stdio};
use std::time::Duration;

/// System calls that take datagrams, that send them, that wait for something to happen, and that wait for another
/// thread or wake it.
const RECEIVING: [&str; 3] = ["recvmmsg", "recvmsg", "recvfrom"];
const SENDING: [&str; 3] = ["sendmmsg", "sendmsg", "sendto"];
const WAITING: [&str; 4] = ["ppoll", "poll", "epoll_wait", "clock_nanosleep"];
const LOCKING: [&str; 1] = ["futex"];

/// What `perf` calls all of them, each of them, and instructions.
const ALL: &str = "raw_syscalls:sys_enter";
const INSTRUCTIONS: &str = "instructions";

/// Who has counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Counter {
    /// `perf stat`, which costs the process next to nothing.
    Perf,
    /// `strace -c`, which stops the process at each call, so that more has come when it wakes up.
    Strace,
}

/// System calls of a process in some time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Calls {
    pub(crate) by: Counter,
    pub(crate) receiving: u64,
    pub(crate) sending: u64,
    pub(crate) waiting: u64,
    pub(crate) locking: u64,
    pub(crate) others: u64,
    /// Where the processor counts them, and lets us see it.
    pub(crate) instructions: Option<u64>,
}

impl Calls {
    /// Counts those of a process, all its threads, for so long; `None`: neither `perf` nor `strace` can.
    pub(crate) fn count(pid: u32, lasts: Duration) -> Option<Self> {
        Self::by_perf(pid, lasts).or_else(|| Self::by_strace(pid, lasts))
    }

    fn by_perf(pid: u32, lasts: Duration) -> Option<Self> {
        let each = [&RECEIVING[..], &SENDING, &WAITING, &LOCKING].concat();
        let events = each.iter().map(|name| format!("syscalls:sys_enter_{name}"));
        let events: Vec<String> =
            [ALL.into(), INSTRUCTIONS.into()].into_iter().chain(events).collect();
        let output = Command::new("perf")
            .args(["stat", "-x", ",", "-e", &events.join(","), "-p", &pid.to_string(), "--"])
            .args(["sleep", &lasts.as_secs_f64().to_string()])
            .stdin(Stdio::null())
            .output()
            .ok()?;
        output.status.success().then(|| read_perf(&String::from_utf8_lossy(&output.stderr)))?
    }

    fn by_strace(pid: u32, lasts: Duration) -> Option<Self> {
        let output = Command::new("timeout")
            .args(["--signal=INT", &lasts.as_secs_f64().to_string()])
            .args(["strace", "-c", "-f", "-p", &pid.to_string()])
            .stdin(Stdio::null())
            .output()
            .ok()?;
        read_strace(&String::from_utf8_lossy(&output.stderr))
    }

    fn of(by: Counter, count: impl Fn(&str) -> u64, all: u64, instructions: Option<u64>) -> Self {
        let [receiving, sending, waiting, locking] = [&RECEIVING[..], &SENDING, &WAITING, &LOCKING]
            .map(|names| names.iter().map(|name| count(name)).sum::<u64>());
        let others = all.saturating_sub(receiving + sending + waiting + locking);
        Self { by, receiving, sending, waiting, locking, others, instructions }
    }
}

/// Lines such as `109,,raw_syscalls:sys_enter,2402000,100.00,,`; a count may be `<not supported>`.
fn read_perf(text: &str) -> Option<Calls> {
    let count = |event: &str| {
        text.lines().find_map(|line| {
            let mut fields = line.split(',');
            let count = fields.next()?.parse().ok();
            (fields.nth(1)? == event).then_some(count)
        })?
    };
    let each = |name: &str| count(&format!("syscalls:sys_enter_{name}")).unwrap_or_default();
    Some(Calls::of(Counter::Perf, each, count(ALL)?, count(INSTRUCTIONS)))
}

/// Lines such as ` 70.00    0.000070           7        10           recvmmsg`, with errors before the name where there
/// were some, and the sum last.
fn read_strace(text: &str) -> Option<Calls> {
    let count = |wanted: &str| {
        text.lines().find_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let is = fields.len() > 4 && fields.last() == Some(&wanted);
            if is { fields.get(3)?.parse::<u64>().ok() } else { None }
        })
    };
    Some(Calls::of(Counter::Strace, |name| count(name).unwrap_or_default(), count("total")?, None))
}
