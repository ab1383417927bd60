//! What a process of this machine costs: its CPU time, memory and context switches, as Linux tells them.

use std::fs;
use std::time::{Duration, Instant};

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// Bytes of a page of memory, as in `/proc/PID/statm`.
const PAGE: u64 = 4_096;

/// A process that is watched.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) pid: u32,
    before: Duration,
    last: (Instant, Duration),
    /// Context switches before, and until this was last asked.
    switches: Option<(u64, u64)>,
}

impl Watched {
    /// Begins to watch; `None`: there is no such process, or the system does not tell.
    pub(crate) fn new(pid: u32) -> Option<Self> {
        let before = cpu_time(pid)?;
        let switches = context_switches(pid).map(|count| (count, count));
        Some(Self { pid, before, last: (Instant::now(), before), switches })
    }

    /// CPU time since the beginning.
    pub(crate) fn used(&self) -> Option<Duration> {
        cpu_time(self.pid).map(|now| now.saturating_sub(self.before))
    }

    /// Cores in use since this was last asked.
    pub(crate) fn new_cores(&mut self) -> Option<f64> {
        let (now, used) = (Instant::now(), cpu_time(self.pid)?);
        let (then, before) = std::mem::replace(&mut self.last, (now, used));
        let elapsed = now.duration_since(then).as_secs_f64();
        (elapsed > 0.0).then(|| used.saturating_sub(before).as_secs_f64() / elapsed)
    }

    /// How often its threads have waited for something, or had to let others have the processor, since the beginning.
    pub(crate) fn context_switches(&self) -> Option<u64> {
        // Those of a thread that has ended are gone.
        Some(context_switches(self.pid)?.saturating_sub(self.switches?.0))
    }

    /// The same since this was last asked.
    pub(crate) fn new_context_switches(&mut self) -> Option<u64> {
        let (_, last) = self.switches.as_mut()?;
        let now = context_switches(self.pid)?;
        let before = std::mem::replace(last, now);
        Some(now.saturating_sub(before))
    }

    /// Bytes of memory that it holds now.
    pub(crate) fn memory(&self) -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{}/statm", self.pid)).ok()?;
        Some(text.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()? * PAGE)
    }
}

/// CPU time that a process has used, with all its threads.
fn cpu_time(pid: u32) -> Option<Duration> {
    let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid).ok()?)).ok()?;
    clock_gettime(clock).ok().map(Duration::from)
}

/// Context switches of all threads that a process has, wanted by them or not.
fn context_switches(pid: u32) -> Option<u64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let count = |status: &str| -> u64 {
        let names = ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"];
        let counts =
            status.lines().filter_map(|line| names.iter().find_map(|name| line.strip_prefix(name)));
        counts.filter_map(|count| count.trim().parse::<u64>().ok()).sum()
    };
    // One may end just now.
    let statuses = threads.flatten().map(|thread| fs::read_to_string(thread.path().join("status")));
    Some(statuses.flatten().map(|status| count(&status)).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_counted() {
        let mut own = Watched::new(std::process::id()).expect("this process is there");
        let mut sum = 0_u64;
        while own.used().is_some_and(|used| used.is_zero()) {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(own.new_cores().is_some_and(|cores| cores > 0.0));
        assert_eq!(Watched::new(u32::MAX).map(|watched| watched.pid), None);
    }

    #[test]
    fn each_wait_is_a_context_switch() {
        let Some(mut own) = Watched::new(std::process::id()) else { return };
        let Some(_) = own.new_context_switches() else { return };
        for _ in 0..10 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let new = own.new_context_switches().expect("it was told before");
        assert!(new >= 10, "{new}");
        assert!(own.context_switches().is_some_and(|all| all >= new));
    }

    #[test]
    fn this_process_has_memory() {
        let Some(own) = Watched::new(std::process::id()) else { return };
        assert!(own.memory().is_some_and(|bytes| bytes > 100_000));
    }
}
