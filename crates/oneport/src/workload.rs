//! How much the thread of a driver has to do, measured a few times a second: its CPU time, how late it
//! came, what the kernel dropped meanwhile, and the CPU quota of the process.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Time between two samples, at least: four times a second, so that a sliding second has four of them.
const PERIOD: Duration = Duration::from_millis(250);

/// Time between two looks at the CPU quota, at least: the kernel counts it in periods of 100 ms.
const QUOTA_PERIOD: Duration = Duration::from_secs(1);

/// How busy the thread of a driver was since the sample before.
///
/// ```
/// use oneport::Workload;
///
/// fn is_busy(workload: &Workload) -> bool {
///     workload.cpu.is_some_and(|cpu| cpu > workload.time.mul_f64(0.9))
/// }
/// assert!(!is_busy(&Workload::default()));
/// ```
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Workload {
    /// The time that it is about: a quarter of a second or more; more where nothing was to be done.
    pub time: Duration,
    /// CPU time of the thread in it, but for what it looked for work ([`DriverConfig::busy_poll`](crate::DriverConfig));
    /// `None` where the system does not tell.
    pub cpu: Option<Duration>,
    /// The most that the thread came later than it was wanted.
    pub late: Duration,
    /// Datagrams that the kernel dropped as a socket's buffer was full, and the time that it is about;
    /// `None`: nobody has looked in this sample.
    pub overflowed: Option<(u64, Duration)>,
    /// Use of the tightest CPU quota; `None`: there is none, or nobody has looked in this sample.
    pub quota: Option<QuotaUse>,
}

/// Use of a CPU quota, as Linux gives one to a container (`cpu.max` of its cgroup, version 2).
///
/// ```
/// use std::time::Duration;
///
/// use oneport::QuotaUse;
///
/// // A container may use half a CPU, and has used a quarter of a second of it in one.
/// let quota = QuotaUse { cpus: 0.5, used: Duration::from_millis(250), time: Duration::from_secs(1) };
/// assert_eq!(quota.share(), 0.5);
/// ```
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct QuotaUse {
    /// CPUs that may be used all the time.
    pub cpus: f64,
    /// CPU time used by all that share the quota.
    pub used: Duration,
    /// The time in which it was used.
    pub time: Duration,
}

impl QuotaUse {
    /// How much of what may be used was: 1 is all of it.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.used.as_secs_f64() / (self.cpus * self.time.as_secs_f64()).max(f64::MIN_POSITIVE)
    }
}

/// Measures on the thread that it is about.
pub(crate) struct WorkMeter {
    sampled: Instant,
    cpu: Option<Duration>,
    /// CPU time of this sample that was no work.
    no_work: Duration,
    late: Duration,
    overflowed: Option<(u64, Duration)>,
    quotas: Vec<Quota>,
    quotas_read: Instant,
}

impl WorkMeter {
    /// To be called on the thread that is measured.
    pub(crate) fn start() -> Self {
        let now = Instant::now();
        let (late, overflowed) = (Duration::ZERO, None);
        let quotas = Quota::of_this_process(Path::new("/sys/fs/cgroup"));
        let (cpu, no_work) = (thread_cpu(), Duration::ZERO);
        Self { sampled: now, cpu, no_work, late, overflowed, quotas, quotas_read: now }
    }

    /// The thread came so much later than it was wanted.
    pub(crate) fn note_lateness(&mut self, late: Duration) {
        self.late = self.late.max(late);
    }

    /// So much CPU time went by in looking for work.
    pub(crate) fn note_no_work(&mut self, cpu: Duration) {
        self.no_work += cpu;
    }

    /// The kernel has dropped so many datagrams in `time`.
    pub(crate) fn note_overflow(&mut self, dropped: u64, time: Duration) {
        let (before, since) = self.overflowed.unwrap_or_default();
        self.overflowed = Some((before + dropped, since + time));
    }

    /// A sample, where it is time for one.
    pub(crate) fn sample(&mut self, now: Instant) -> Option<Workload> {
        let time = now.saturating_duration_since(self.sampled);
        if time < PERIOD {
            return None;
        }
        self.sampled = now;
        let cpu = thread_cpu();
        let no_work = std::mem::take(&mut self.no_work);
        let used = cpu.zip(self.cpu).map(|(cpu, before)| cpu.saturating_sub(before + no_work));
        self.cpu = cpu;
        let mut quota = None;
        let since = now.saturating_duration_since(self.quotas_read);
        if since >= QUOTA_PERIOD {
            self.quotas_read = now;
            let uses = self.quotas.iter_mut().filter_map(|quota| quota.sample(since));
            quota = uses.max_by(|one, other| one.share().total_cmp(&other.share()));
        }
        Some(Workload {
            time,
            cpu: used,
            late: std::mem::take(&mut self.late),
            overflowed: self.overflowed.take(),
            quota,
        })
    }
}

/// CPU time that this thread has used.
pub(crate) fn thread_cpu() -> Option<Duration> {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).ok()
}

/// A cgroup with a CPU quota, which this process is in.
struct Quota {
    cpus: f64,
    stat: File,
    /// Of `stat`, so that nothing is allocated at each look.
    text: String,
    used: Option<Duration>,
}

impl Quota {
    /// All that hold for this process: its own cgroup may have one, and each above it.
    fn of_this_process(root: &Path) -> Vec<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let own = own.lines().find_map(|line| line.strip_prefix("0::/")).map(PathBuf::from);
        let ancestors = own.iter().flat_map(|own| own.ancestors());
        ancestors.filter_map(|below| Self::open(&root.join(below))).collect()
    }

    /// That of one cgroup, if it has any.
    fn open(directory: &Path) -> Option<Self> {
        let cpus = cpus_in(&fs::read_to_string(directory.join("cpu.max")).ok()?)?;
        let stat = File::open(directory.join("cpu.stat")).ok()?;
        let mut quota = Self { cpus, stat, text: String::new(), used: None };
        quota.used = quota.read();
        Some(quota)
    }

    fn read(&mut self) -> Option<Duration> {
        self.text.clear();
        self.stat.seek(SeekFrom::Start(0)).ok()?;
        self.stat.read_to_string(&mut self.text).ok()?;
        used_in(&self.text)
    }

    fn sample(&mut self, time: Duration) -> Option<QuotaUse> {
        let used = self.read();
        let before = std::mem::replace(&mut self.used, used)?;
        Some(QuotaUse { cpus: self.cpus, used: used?.saturating_sub(before), time })
    }
}

/// CPUs that `cpu.max` allows: `QUOTA PERIOD` in µs, where QUOTA may be `max`.
fn cpus_in(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period) = (quota.parse::<f64>().ok()?, period.parse::<f64>().ok()?);
    (quota > 0.0 && period > 0.0).then_some(quota / period)
}

/// CPU time that `cpu.stat` tells: `usage_usec N`.
fn used_in(text: &str) -> Option<Duration> {
    let used = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
    Some(Duration::from_micros(used.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_comes_four_times_a_second_at_most() {
        let mut meter = WorkMeter::start();
        let begun = meter.sampled;
        assert_eq!(meter.sample(begun + Duration::from_millis(249)), None);
        let sample = meter.sample(begun + PERIOD).expect("it is time");
        assert_eq!((sample.time, sample.late, sample.overflowed), (PERIOD, Duration::ZERO, None));
        assert_eq!(meter.sample(begun + PERIOD * 2 - Duration::from_millis(1)), None);
    }

    #[test]
    fn a_sample_has_the_worst_lateness_and_all_that_was_dropped_since_the_one_before() {
        let mut meter = WorkMeter::start();
        let begun = meter.sampled;
        for late in [3, 40, 20] {
            meter.note_lateness(Duration::from_millis(late));
        }
        meter.note_overflow(5, Duration::from_secs(1));
        meter.note_overflow(7, Duration::from_secs(2));
        let sample = meter.sample(begun + PERIOD).expect("it is time");
        assert_eq!(sample.late, Duration::from_millis(40));
        assert_eq!(sample.overflowed, Some((12, Duration::from_secs(3))));
        let next = meter.sample(begun + PERIOD * 2).expect("it is time");
        assert_eq!((next.late, next.overflowed), (Duration::ZERO, None), "each is told once");
    }

    #[test]
    fn looking_for_work_is_none() {
        let mut meter = WorkMeter::start();
        let begun = meter.sampled;
        meter.note_no_work(Duration::from_secs(60));
        let sample = meter.sample(begun + PERIOD).expect("it is time");
        assert_eq!(sample.cpu, thread_cpu().map(|_| Duration::ZERO));
        let counted = meter.no_work;
        assert_eq!(counted, Duration::ZERO, "the next sample begins anew");
    }

    #[test]
    fn work_of_the_thread_is_its_cpu_time() {
        let Some(before) = thread_cpu() else { return };
        let mut meter = WorkMeter::start();
        while thread_cpu().is_some_and(|cpu| cpu < before + Duration::from_millis(20)) {}
        let sample = meter.sample(meter.sampled + PERIOD).expect("it is time");
        assert!(sample.cpu >= Some(Duration::from_millis(15)), "{sample:?}");
    }

    #[test]
    fn a_quota_is_read_as_the_kernel_writes_it() {
        assert_eq!(cpus_in("150000 100000\n"), Some(1.5));
        assert_eq!(cpus_in("max 100000\n"), None);
        assert_eq!(cpus_in(""), None);
        let stat = "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n";
        assert_eq!(used_in(stat), Some(Duration::from_millis(2_500)));
        assert_eq!(used_in("nr_periods 7\n"), None);
    }

    #[test]
    fn use_of_a_quota_is_what_was_used_since_the_look_before() {
        let directory = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| {
            fs::write(directory.path().join(name), text).expect("written");
        };
        write("cpu.max", "50000 100000\n");
        write("cpu.stat", "usage_usec 1000000\n");
        let mut quota = Quota::open(directory.path()).expect("one");
        write("cpu.stat", "usage_usec 1450000\n");
        let used = quota.sample(Duration::from_secs(1)).expect("two looks");
        assert_eq!((used.cpus, used.used), (0.5, Duration::from_millis(450)));
        assert!((used.share() - 0.9).abs() < 1e-9, "{used:?}");
        write("cpu.max", "max 100000\n");
        assert!(Quota::open(directory.path()).is_none(), "none is none");
    }
}
