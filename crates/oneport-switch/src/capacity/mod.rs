//! How many more calls fit, and what bounds them: arithmetic over what was measured and what is limited. It
//! knows nothing of calls, clocks or sockets.

mod cost;

use std::fmt;
use std::time::Duration;

use cost::Fit;
pub(crate) use cost::{Cost, Work};

/// The time of which one measurement is made.
const WINDOW: Duration = Duration::from_secs(5);

/// Measurements with calls up that it takes.
const LEAST_WINDOWS: u32 = 3;

/// Of less than so many calls nothing is said of more.
const LEAST_CALLS: usize = 5;

/// The standard error of a call's cost above which nothing is said, of the cost.
const MOST_ERROR: f64 = 0.3;

/// Standard errors on either side within which nine of ten true values lie.
const NINE_OF_TEN: f64 = 1.645;

/// What is counted since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Counts {
    /// Frames of media passed on.
    pub(crate) frames: u64,
    /// Datagrams received.
    pub(crate) datagrams: u64,
    /// Legs that have begun.
    pub(crate) begun: u64,
    /// The time that transcoding has taken, which is measured by itself.
    pub(crate) transcoding: Duration,
}

/// One measurement.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Window {
    /// What was done in each second.
    pub(crate) work: Work,
    /// CPU time of the thread, and how much of that transcoding took: 1 is all of the thread's time.
    pub(crate) share: f64,
    pub(crate) transcoding: f64,
}

/// Makes measurements of samples, and costs of those.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Of the window under way: time, CPU time, and what was counted at its beginning.
    time: Duration,
    cpu: Duration,
    begun_with: Option<Counts>,
    last: Option<Window>,
    /// Windows in which media passed.
    windows: u32,
    fit: Fit,
}

impl Meter {
    /// Takes a sample of the thread: its time, its CPU time in it, and what is counted at its end.
    #[expect(clippy::cast_precision_loss, reason = "rates of a few digits")]
    pub(crate) fn take(&mut self, time: Duration, cpu: Duration, counts: Counts) {
        let Some(before) = self.begun_with else {
            // What was before is not known.
            self.begun_with = Some(counts);
            return;
        };
        self.time += time;
        self.cpu += cpu;
        if self.time < WINDOW {
            return;
        }
        let seconds = self.time.as_secs_f64();
        let rate = |count: u64, before: u64| count.saturating_sub(before) as f64 / seconds;
        let transcoding = counts.transcoding.saturating_sub(before.transcoding);
        let window = Window {
            work: Work {
                frames: rate(counts.frames, before.frames),
                datagrams: rate(counts.datagrams, before.datagrams),
                begun: rate(counts.begun, before.begun),
            },
            share: self.cpu.as_secs_f64() / seconds,
            transcoding: transcoding.as_secs_f64() / seconds,
        };
        (self.time, self.cpu, self.begun_with) = (Duration::ZERO, Duration::ZERO, Some(counts));
        self.last = Some(window);
        self.windows += u32::from(window.work.frames > 0.0);
        self.fit.note(window.work, (window.share - window.transcoding).max(0.0));
    }

    /// The last measurement.
    pub(crate) const fn last(&self) -> Option<Window> {
        self.last
    }

    /// What a call costs that does so much in each second, and takes so much time of transcoding.
    ///
    /// # Errors
    /// Why that cannot be told, in words.
    pub(crate) fn cost(&self, calls: usize, work: Work, transcoding: f64) -> Result<Cost, String> {
        if calls < LEAST_CALLS {
            let up = match calls {
                1 => "1 call with media is up".to_string(),
                _ => format!("{calls} calls with media are up"),
            };
            return Err(format!("{up}; what one costs is measured with {LEAST_CALLS} or more"));
        }
        if self.windows < LEAST_WINDOWS {
            let seconds = WINDOW.as_secs() * u64::from(LEAST_WINDOWS);
            return Err(format!("calls are measured for {seconds} s first"));
        }
        let cost = self.fit.cost(work).unwrap_or(Cost { share: 0.0, error: 0.0 });
        let cost = Cost { share: cost.share + transcoding, error: cost.error };
        if cost.share <= 0.0 || cost.error > MOST_ERROR * cost.share {
            return Err("the calls need too little of the CPU yet to tell what one costs".into());
        }
        Ok(cost)
    }
}

/// What bounds the number of calls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Bound {
    /// The CPU of the media thread, at its mark.
    Cpu,
    /// The CPU quota of the process.
    Quota,
    /// A limit of the configuration, by its name.
    Limit(String),
    /// Legs that the engine holds: `server.max_calls`.
    Engine,
    /// The same for the address of a peer: `server.max_calls_per_address`.
    Address,
    /// `audio.max_transcoded_calls`.
    Transcoding,
    /// Records that wait to be written.
    Store,
    /// The kernel drops datagrams.
    Socket,
    /// New calls are refused for overload.
    Overload,
}

impl Bound {
    /// Its name in the API.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Quota => "cpu_quota",
            Self::Limit(_) => "limit",
            Self::Engine => "max_calls",
            Self::Address => "max_calls_per_address",
            Self::Transcoding => "max_transcoded_calls",
            Self::Store => "store",
            Self::Socket => "socket",
            Self::Overload => "overload",
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("CPU-bound"),
            Self::Quota => f.write_str("bound by the CPU quota"),
            Self::Limit(name) => write!(f, "bound by limit {name}"),
            Self::Engine => f.write_str("bound by server.max_calls"),
            Self::Address => f.write_str("bound by server.max_calls_per_address"),
            Self::Transcoding => f.write_str("bound by audio.max_transcoded_calls"),
            Self::Store => f.write_str("bound by the store, which does not keep up"),
            Self::Socket => f.write_str("bound by the socket, whose buffer is full"),
            Self::Overload => f.write_str("as new calls are refused for overload"),
        }
    }
}

/// How many more calls fit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Forecast {
    pub(crate) calls: usize,
    /// Nine times of ten it is within these.
    pub(crate) at_least: usize,
    pub(crate) at_most: usize,
    pub(crate) bound: Bound,
}

/// How many more calls fit that cost so much each, where so much of the CPU is used, new calls are refused at
/// `mark`, and no more than `bounds` say.
pub(crate) fn forecast(
    cost: Cost,
    used: f64,
    mark: f64,
    bounds: impl IntoIterator<Item = (Bound, usize)>,
) -> Forecast {
    let room = (mark - used).max(0.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
    let calls = |share: f64| (room / share.max(f64::MIN_POSITIVE)) as usize;
    let error = NINE_OF_TEN * cost.error;
    let dear = calls(cost.share + error);
    // What is less sure than that is not told at all.
    let cheap = calls((cost.share - error).max(cost.share * MOST_ERROR));
    let by_cpu = calls(cost.share);
    // Of equal ones the first counts.
    let other = bounds.into_iter().reduce(|least, one| if one.1 < least.1 { one } else { least });
    let most = other.as_ref().map_or(usize::MAX, |(_, calls)| *calls);
    let (calls, at_least, at_most) = (by_cpu.min(most), dear.min(most), cheap.min(most));
    let bound = other.filter(|_| most < by_cpu).map_or(Bound::Cpu, |(bound, _)| bound);
    Forecast { calls, at_least, at_most, bound }
}

/// How many more calls fit where so many use so much of something that may be used up to `mark`, if each uses
/// as much: what is used without any is taken for theirs, so that it is rather too few.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "it saturates, and counts have a few digits"
)]
pub(crate) fn in_proportion(calls: usize, used: f64, mark: f64) -> usize {
    let more = (mark / used.max(f64::MIN_POSITIVE) - 1.0).max(0.0);
    (calls as f64 * more) as usize
}

/// A count as people say it, to two digits: `1,900`.
pub(crate) fn about(count: usize) -> String {
    let step = 10_usize.saturating_pow(count.checked_ilog10().unwrap_or(0).saturating_sub(1));
    let digits = (count / step * step).to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
