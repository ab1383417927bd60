//! Why a call is choppy: causes, each with its evidence in one sentence, and what mends it.
//!
//! It is arithmetic over what was counted of a call, so it can be asked at any time, of a call that is up or
//! over. `docs/choppy.md` lists the causes. [`Diagnosis::of`] knows of nothing but its arguments.

mod cause;
mod load;
mod rules;

use std::fmt;
use std::time::Duration;

use oneport_proto::{Agreement, CallStats};

pub use cause::{Cause, Shape, Way};
pub use load::{LoadEffect, LoadMeter};

/// What is known beside the figures of one call.
///
/// ```
/// use oneport::Surroundings;
///
/// // The clocks of other peers are as far off as this one's: then it is ours.
/// let surroundings = Surroundings { other_clocks_ppm: Some(180), ..Surroundings::default() };
/// assert!(surroundings.load.is_none());
/// ```
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Surroundings {
    /// How the delay of the way to the peer follows what we send it, where that was watched
    /// ([`LoadMeter`]).
    pub load: Option<LoadEffect>,
    /// By how many millionths the clocks of other peers are faster than ours: the median, where there are
    /// two at least. If all of them are as far off, it is ours.
    pub other_clocks_ppm: Option<i32>,
    /// What translating between codecs has cost, where the call needs it.
    pub transcoding: Option<Transcoding>,
}

/// What translating the voice of a call between codecs has cost. One thread translates all calls, so that
/// those of others hold up this one's.
///
/// ```
/// use std::time::Duration;
///
/// use oneport::{CallStats, Cause, Diagnosis, Surroundings, Transcoding};
///
/// // In a minute the thread did nothing else, and held up a third of the call's frames.
/// let minute = Duration::from_secs(60);
/// let longest = Duration::from_millis(90);
/// let transcoding = Transcoding { time: minute, busy: minute, frames: 3_000, late: 1_000, longest };
/// let surroundings = Surroundings { transcoding: Some(transcoding), ..Surroundings::default() };
/// let diagnosis = Diagnosis::of(&CallStats::default(), &surroundings).ok_or("it is audible")?;
/// assert!(matches!(diagnosis.causes(), [Cause::TranscodingOverload { late: 1_000, .. }]));
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Transcoding {
    /// How long it was translated.
    pub time: Duration,
    /// How long the thread worked meanwhile at translating, this call and all others.
    pub busy: Duration,
    /// Frames of this call that were translated.
    pub frames: u64,
    /// Those of them that left [`LATE`](Self::LATE) or more behind their arrival, since translating took so
    /// long: them, or what had arrived with them.
    pub late: u64,
    /// The longest that it took.
    pub longest: Duration,
}

impl Transcoding {
    /// Frames later than this need more than the buffers that most telephones begin with.
    pub const LATE: Duration = Duration::from_millis(30);
}

/// Why a call does not sound as it should.
///
/// ```no_run
/// # async fn example(mut call: oneport::Call) -> Result<(), oneport::Stopped> {
/// use oneport::{Diagnosis, Surroundings};
///
/// let end = call.ended().await?;
/// if let Some(diagnosis) = Diagnosis::of(&end.stats, &Surroundings::default()) {
///     println!("{diagnosis}");
///     for remedy in diagnosis.remedies() {
///         println!("- {remedy}");
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Diagnosis {
    causes: Vec<Cause>,
    contradiction: Option<Agreement>,
}

impl Diagnosis {
    /// Where one frame of twenty is later than this, jitter is a cause. A buffer that holds less costs its own
    /// delay alone, and that is not heard: by G.107 80 ms more take 4.39 to 4.35.
    pub const LEAST_JITTER: Duration = Duration::from_millis(80);

    /// What ails a call; `None`: nothing that anybody would hear.
    #[must_use]
    pub fn of(stats: &CallStats, surroundings: &Surroundings) -> Option<Self> {
        let causes = rules::causes(stats, surroundings);
        let contradiction = Some(stats.agreement).filter(|agreement| agreement.is_contradiction());
        (!causes.is_empty()).then_some(Self { causes, contradiction })
    }

    /// The causes: those that this system has itself first, then those of the network and of the other end.
    #[must_use]
    pub fn causes(&self) -> &[Cause] {
        &self.causes
    }

    /// The names of the causes, joined by commas: `bursty_loss_here,clock_drift`.
    #[must_use]
    pub fn names(&self) -> String {
        self.causes.iter().map(Cause::name).collect::<Vec<_>>().join(",")
    }

    /// What mends each of them, a sentence each.
    #[must_use]
    pub fn remedies(&self) -> Vec<&'static str> {
        let mut remedies: Vec<&str> = self.causes.iter().map(Cause::remedy).collect();
        remedies.dedup();
        remedies
    }
}

/// In one sentence: causes with their evidence, joined by semicolons.
impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, cause) in self.causes.iter().enumerate() {
            if n > 0 {
                f.write_str("; ")?;
            }
            cause.fmt(f)?;
        }
        match self.contradiction {
            Some(agreement) => write!(f, "; of the way there little is certain: {agreement}"),
            None => Ok(()),
        }
    }
}
