//! Whether this switch has more to do than it can do in time. New calls are refused then, before those
//! that are up are heard to suffer.
//!
//! It knows nothing of calls, clocks or sockets: what was measured is handed in, with the time that it is
//! about. A measure that stays at its mark for a while begins the refusing, and all of them must stay
//! clearly below for a while to end it, so that it does not flap.

use std::fmt;
use std::time::Duration;

use oneport::Workload;

/// Samples of the CPU that make the sliding second.
const SAMPLES: usize = 4;

/// Before a mark, a sample counts for so long at most: one that is longer is about a thread that slept.
const LONGEST: Duration = Duration::from_secs(1);

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Measure {
    /// CPU time of the thread, in per cent of the time.
    Cpu,
    /// CPU time of all that share the tightest CPU quota, in per cent of the quota.
    Quota,
    /// The most that the thread came later than it was wanted, in ms.
    Delay,
    /// Datagrams that the kernel dropped as a socket's buffer was full, in each second.
    Overflow,
}

impl Measure {
    /// All of them. Where several are at their marks, the first is named.
    pub(crate) const ALL: [Self; 4] = [Self::Cpu, Self::Quota, Self::Delay, Self::Overflow];

    /// Its name in metrics and in the API.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Quota => "cpu_quota",
            Self::Delay => "scheduling_delay",
            Self::Overflow => "socket_overflow",
        }
    }

    /// The key whose value is its mark.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Cpu | Self::Quota => "overload.cpu_percent",
            Self::Delay => "overload.delay_ms",
            Self::Overflow => "overload.overflow_per_second",
        }
    }

    /// What is to be done about it.
    pub(crate) const fn remedy(self) -> &'static str {
        match self {
            Self::Cpu => {
                "see `oneport show capacity`; fewer transcoded calls, trunks, a faster machine, or \
                 another one beside it"
            }
            Self::Quota => "give the container more CPU, or see what else runs in it",
            Self::Delay => {
                "see what else runs on the machine, or whether its host gives it all of its CPU"
            }
            Self::Overflow => {
                "raise net.core.rmem_max, see what floods the port, or spread the calls"
            }
        }
    }
}

/// When new calls are refused, and when they are taken again.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct OverloadConfig {
    /// Whether any is refused.
    pub(crate) enabled: bool,
    /// The mark of the thread's CPU and of the quota, in per cent.
    pub(crate) cpu_percent: u32,
    /// The mark of the delay.
    pub(crate) delay: Duration,
    /// The mark of dropped datagrams in a second.
    pub(crate) overflow_per_second: u32,
    /// How long a measure is at its mark before calls are refused.
    pub(crate) after: Duration,
    /// How long all measures are clearly below before calls are taken again.
    pub(crate) recovery: Duration,
    /// What clearly below is, in per cent of the marks.
    pub(crate) recover_percent: u32,
}

impl Default for OverloadConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            cpu_percent: 90,
            delay: Duration::from_millis(40),
            overflow_per_second: 20,
            after: Duration::from_secs(2),
            recovery: Duration::from_secs(5),
            recover_percent: 90,
        }
    }
}

impl OverloadConfig {
    /// The mark of a measure, in its unit.
    pub(crate) fn mark(&self, measure: Measure) -> f64 {
        match measure {
            Measure::Cpu | Measure::Quota => f64::from(self.cpu_percent),
            Measure::Delay => self.delay.as_secs_f64() * 1e3,
            Measure::Overflow => f64::from(self.overflow_per_second),
        }
    }

    /// Below this it is clearly below its mark.
    fn clear(&self, measure: Measure) -> f64 {
        self.mark(measure) * f64::from(self.recover_percent) / 100.0
    }

    /// Where nobody waits: half of what the mark had left of the whole is gone.
    fn at_once(&self, measure: Measure) -> f64 {
        match measure {
            Measure::Cpu | Measure::Quota => f64::midpoint(self.mark(measure), 100.0),
            Measure::Delay | Measure::Overflow => f64::INFINITY,
        }
    }
}

/// One measure, and how long it has been where it is.
#[derive(Clone, Copy, Debug, Default)]
struct Gauge {
    value: Option<f64>,
    /// How long it has been at its mark, and how long clearly below it.
    above: Duration,
    below: Duration,
}

impl Gauge {
    fn feed(&mut self, config: &OverloadConfig, measure: Measure, value: f64, time: Duration) {
        self.value = Some(value);
        self.above = match value >= config.mark(measure) {
            true => self.above.saturating_add(time.min(LONGEST)),
            false => Duration::ZERO,
        };
        self.below = match value < config.clear(measure) {
            true => self.below.saturating_add(time),
            false => Duration::ZERO,
        };
    }

    fn is_over(&self, config: &OverloadConfig, measure: Measure) -> bool {
        let high = !self.above.is_zero();
        let at_once = self.value.is_some_and(|value| value >= config.at_once(measure));
        high && (self.above >= config.after || at_once)
    }

    fn is_well(&self, config: &OverloadConfig) -> bool {
        self.value.is_none() || !self.below.is_zero() && self.below >= config.recovery
    }
}

/// Why calls are refused, as it was measured.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Finding {
    pub(crate) measure: Measure,
    /// Now, in the unit of the measure.
    pub(crate) value: f64,
    /// How long it has been at its mark; zero: it is below, but not clearly or not for long.
    pub(crate) lasting: Duration,
    /// Below this, in the unit of the measure, for this long, calls are taken again.
    pub(crate) clear: f64,
    pub(crate) recovery: Duration,
}

impl Finding {
    /// The value with its unit.
    pub(crate) fn value(&self) -> String {
        in_words(self.measure, self.value)
    }
}

fn in_words(measure: Measure, value: f64) -> String {
    match measure {
        Measure::Cpu | Measure::Quota => format!("{value:.0} %"),
        Measure::Delay => format!("{value:.0} ms"),
        Measure::Overflow => format!("{value:.0} datagrams a second"),
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value();
        match self.measure {
            Measure::Cpu => write!(f, "CPU of the media thread at {value}")?,
            Measure::Quota => write!(f, "CPU quota used to {value}")?,
            Measure::Delay => write!(f, "scheduling delay of the media thread at {value}")?,
            Measure::Overflow => write!(f, "socket buffer full, {value} dropped")?,
        }
        match self.lasting.is_zero() {
            false => write!(f, " for {} s", self.lasting.as_secs().max(1)),
            true => {
                let (clear, seconds) =
                    (in_words(self.measure, self.clear), self.recovery.as_secs());
                write!(f, ", and not below {clear} for {seconds} s yet")
            }
        }
    }
}

/// What has changed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Change {
    /// New calls are refused from now on.
    Refusing(Finding),
    /// They are taken again; so many were refused.
    Taking(u64),
}

/// The state of load of the thread that does all media, and signalling of IAX2.
#[derive(Debug, Default)]
pub(crate) struct Overload {
    /// The last samples of the CPU: time, and CPU time in it.
    cpu: [(Duration, Duration); SAMPLES],
    oldest: usize,
    /// In the order of [`Measure::ALL`].
    gauges: [Gauge; Measure::ALL.len()],
    /// What has begun the refusing, while calls are refused.
    refusing: Option<Measure>,
    /// Calls refused since the start by what was measured, and since this refusing has begun.
    refused: [u64; Measure::ALL.len()],
    refused_now: u64,
}

impl Overload {
    /// Takes a sample.
    pub(crate) fn take(&mut self, config: &OverloadConfig, workload: &Workload) -> Option<Change> {
        if let Some(cpu) = workload.cpu {
            self.cpu[self.oldest] = (workload.time, cpu);
            self.oldest = (self.oldest + 1) % SAMPLES;
            let second = self.cpu.iter().fold(Duration::ZERO, |sum, (time, _)| sum + *time);
            let used = self.cpu.iter().fold(Duration::ZERO, |sum, (_, cpu)| sum + *cpu);
            let share = used.as_secs_f64() / second.as_secs_f64().max(f64::MIN_POSITIVE);
            self.feed(config, Measure::Cpu, share * 100.0, workload.time);
        }
        if let Some(quota) = workload.quota {
            self.feed(config, Measure::Quota, quota.share() * 100.0, quota.time);
        }
        self.feed(config, Measure::Delay, workload.late.as_secs_f64() * 1e3, workload.time);
        if let Some((dropped, time)) = workload.overflowed {
            let seconds = time.as_secs_f64().max(f64::MIN_POSITIVE);
            #[expect(clippy::cast_precision_loss, reason = "a rate of a few digits")]
            self.feed(config, Measure::Overflow, dropped as f64 / seconds, time);
        }
        self.judge(config)
    }

    fn feed(&mut self, config: &OverloadConfig, measure: Measure, value: f64, time: Duration) {
        self.gauges[measure as usize].feed(config, measure, value, time);
    }

    fn judge(&mut self, config: &OverloadConfig) -> Option<Change> {
        let gauges = &self.gauges;
        let over = |measure: &Measure| gauges[*measure as usize].is_over(config, *measure);
        let worst = Measure::ALL.into_iter().find(over).filter(|_| config.enabled);
        let well = gauges.iter().all(|gauge| gauge.is_well(config));
        match (self.refusing, worst) {
            (None, None) => None,
            (None, Some(measure)) => {
                self.refusing = Some(measure);
                self.refused_now = 0;
                self.finding(config).map(Change::Refusing)
            }
            (Some(_), Some(measure)) => {
                self.refusing = Some(measure);
                None
            }
            (Some(_), None) if well || !config.enabled => {
                self.refusing = None;
                Some(Change::Taking(self.refused_now))
            }
            (Some(_), None) => None,
        }
    }

    /// Why new calls are refused; `None`: they are taken.
    pub(crate) fn finding(&self, config: &OverloadConfig) -> Option<Finding> {
        let measure = self.refusing?;
        let gauge = &self.gauges[measure as usize];
        Some(Finding {
            measure,
            value: gauge.value.unwrap_or_default(),
            lasting: gauge.above,
            clear: config.clear(measure),
            recovery: config.recovery,
        })
    }

    /// A call was refused for this.
    pub(crate) fn refused(&mut self, measure: Measure) {
        self.refused[measure as usize] += 1;
        self.refused_now += 1;
    }

    /// Calls refused since the start because of a measure.
    pub(crate) const fn refused_for(&self, measure: Measure) -> u64 {
        self.refused[measure as usize]
    }

    /// What was measured last, in the unit of the measure; `None`: nothing yet.
    pub(crate) const fn value(&self, measure: Measure) -> Option<f64> {
        self.gauges[measure as usize].value
    }
}

#[cfg(test)]
mod tests;
