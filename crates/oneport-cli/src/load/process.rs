//! What a process of this machine costs: its CPU time and memory, as Linux tells them.

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
}

impl Watched {
    /// Begins to watch; `None`: there is no such process, or the system does not tell.
    pub(crate) fn new(pid: u32) -> Option<Self> {
        let before = cpu_time(pid)?;
        Some(Self { pid, before, last: (Instant::now(), before) })
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
    fn this_process_has_memory() {
        let Some(own) = Watched::new(std::process::id()) else { return };
        assert!(own.memory().is_some_and(|bytes| bytes > 100_000));
    }
}
