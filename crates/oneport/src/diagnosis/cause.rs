//! What may ail a call, with the figures that show it.

use std::fmt;
use std::time::Duration;

use super::load::LoadEffect;

/// Which way of a call is meant.
///
/// ```
/// use oneport::{Agreement, CallStats, Cause, Diagnosis, Surroundings, Way};
/// use oneport_proto::RemoteReport;
///
/// // The other end misses some of what we sent.
/// let report = RemoteReport { frames: 1_900, lost: 100, lost_percent: 5, ..RemoteReport::default() };
/// let stats = CallStats {
///     sent_frames: 2_000,
///     remote: Some(report),
///     agreement: Agreement::Agrees,
///     ..CallStats::default()
/// };
/// let diagnosis = Diagnosis::of(&stats, &Surroundings::default()).ok_or("5 % is audible")?;
/// assert!(matches!(diagnosis.causes(), [Cause::Loss { way: Way::There, lost: 100, .. }]));
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// From the other end to us.
    Here,
    /// From us to the other end, by its own report.
    There,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Here => "on the way here",
            Self::There => "on the way there",
        })
    }
}

/// How lost frames lie.
///
/// ```
/// use oneport::{CallStats, Cause, Diagnosis, Format, Shape, Surroundings};
/// use oneport_proto::{Instant, VoiceMeter};
///
/// /// A minute of voice, of which these frames are lost.
/// fn call(is_lost: fn(u32) -> bool) -> Option<Diagnosis> {
///     let mut meter = VoiceMeter::default();
///     for n in (0..3_000).filter(|n| !is_lost(*n)) {
///         meter.receive(Instant::from_micros(u64::from(n) * 20_000), n * 20, Format::ULAW, 160);
///     }
///     let stats = CallStats { received: meter.snapshot(), ..CallStats::default() };
///     Diagnosis::of(&stats, &Surroundings::default())
/// }
/// // As many of both, one by one and ten in a row.
/// let singly = call(|n| n % 30 == 7).ok_or("3 % is audible")?;
/// assert!(matches!(singly.causes(), [Cause::Loss { shape: Shape::Random, .. }]));
/// let in_rows = call(|n| n % 300 < 10).ok_or("3 % is audible")?;
/// assert!(matches!(in_rows.causes(), [Cause::Loss { shape: Shape::Bursts { .. }, .. }]));
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Shape {
    /// Each frame is as likely to be lost as any other.
    Random,
    /// Many are lost in a row.
    Bursts {
        /// How often (RFC 3611).
        bursts: u64,
        /// How long, on average.
        length: Duration,
        /// How many of their frames are lost, per cent.
        density: f64,
    },
    /// The other end does not tell.
    Untold,
}

/// What ails a call.
///
/// ```no_run
/// # fn example(diagnosis: oneport::Diagnosis) {
/// for cause in diagnosis.causes() {
///     println!("{}: {cause}; {}", cause.name(), cause.remedy());
/// }
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum Cause {
    /// This system handles voice too late: its processor is taken, or its thread is held up.
    LateScheduling {
        /// How often it came 10, 30 and 100 ms late, or more.
        times: [u64; 3],
        /// How late it was, all together.
        total: Duration,
        /// Datagrams that the system dropped since nobody fetched them.
        overflowed: u64,
    },
    /// Translating between codecs takes longer than the voice lasts, or nearly.
    TranscodingOverload {
        /// How much of the time it takes, per cent: of all calls.
        busy_percent: f64,
        /// Frames of this call that left too late for it.
        late: u64,
        /// The longest that one of them was held up.
        longest: Duration,
        /// Datagrams that the system dropped since nobody fetched them.
        overflowed: u64,
    },
    /// The trunk to the peer drops voice, or holds it back for too long.
    Trunk {
        /// Frames that it dropped, of all its calls.
        dropped: u64,
        /// The same, per cent.
        percent: f64,
        /// How long voice waits for company, on average.
        held: Duration,
    },
    /// This system could not send voice of the call on.
    NotSent {
        /// How many frames.
        frames: u64,
        /// The same, per cent.
        percent: f64,
    },
    /// The network loses voice.
    Loss {
        /// Where.
        way: Way,
        /// How many frames.
        lost: u64,
        /// The same, per cent.
        percent: f64,
        /// How they lie.
        shape: Shape,
    },
    /// Frames are on the way for unequal times, each by itself.
    Jitter {
        /// Where.
        way: Way,
        /// One frame of twenty came later than this; the other end's jitter, of the way there.
        late: Duration,
        /// Frames that came too late for the other end's buffer, per cent; 0 of the way here.
        dropped_percent: f64,
        /// Frames that were overtaken, per cent.
        reordered_percent: f64,
    },
    /// A queue on the way fills and empties.
    Bufferbloat {
        /// Where.
        way: Way,
        /// How much longer than the fastest the slowest was on the way.
        most: Duration,
        /// How the delay follows what we send, where that was seen.
        load: Option<LoadEffect>,
    },
    /// The sender stands still now and then.
    SenderStalls {
        /// How often nothing came, and then all at once.
        count: u64,
        /// The longest of those times.
        longest: Duration,
        /// How often its clock stood still as well, or it left voice out.
        gaps: u64,
        /// How much voice those cost.
        missing: Duration,
    },
    /// The two ends' clocks run apart.
    ClockDrift {
        /// By how many millionths the other end's clock is faster than ours.
        ppm: i32,
        /// Whether the clocks of other peers say that it is ours which is wrong.
        ours: bool,
    },
}

impl Cause {
    /// Its name in records and metrics: lower case, words joined by underscores.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::LateScheduling { .. } => "late_scheduling",
            Self::TranscodingOverload { .. } => "transcoding_overload",
            Self::Trunk { .. } => "trunk",
            Self::NotSent { .. } => "not_sent",
            Self::Loss { way: Way::Here, shape: Shape::Bursts { .. }, .. } => "bursty_loss_here",
            Self::Loss { way: Way::Here, .. } => "random_loss_here",
            Self::Loss { way: Way::There, .. } => "loss_there",
            Self::Jitter { way: Way::Here, .. } => "jitter_here",
            Self::Jitter { way: Way::There, .. } => "jitter_there",
            Self::Bufferbloat { way: Way::Here, .. } => "bufferbloat_here",
            Self::Bufferbloat { way: Way::There, .. } => "bufferbloat_there",
            Self::SenderStalls { .. } => "sender_stalls",
            Self::ClockDrift { .. } => "clock_drift",
        }
    }

    /// The names of all.
    pub const NAMES: [&'static str; 13] = [
        "late_scheduling",
        "transcoding_overload",
        "trunk",
        "not_sent",
        "random_loss_here",
        "bursty_loss_here",
        "loss_there",
        "jitter_here",
        "jitter_there",
        "bufferbloat_here",
        "bufferbloat_there",
        "sender_stalls",
        "clock_drift",
    ];

    /// What mends it, in words.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::LateScheduling { .. } => {
                "give this machine fewer calls or more processor time, and see what else runs on it"
            }
            Self::TranscodingOverload { .. } => {
                "let both ends speak the same codec, or spread the calls over more machines"
            }
            Self::Trunk { .. } => {
                "spread the calls over more trunks or machines, or shorten the trunk's interval"
            }
            Self::NotSent { .. } => "see which limit drops frames: docs/refusals.md names them",
            Self::Loss { shape: Shape::Bursts { .. }, .. } => {
                "look for a link that is full or changes for moments: Wi-Fi, a mobile network, a queue \
                 without limits for other traffic"
            }
            Self::Loss { .. } => {
                "measure the way with `oneport probe`, and look for a bad line or a link that is full"
            }
            Self::Jitter { .. } => {
                "use a wire in place of Wi-Fi, or a longer or adaptive jitter buffer at the far end"
            }
            Self::Bufferbloat { .. } => {
                "let voice go first in the router, and limit everything else to a little less than the \
                 line carries"
            }
            Self::SenderStalls { .. } => {
                "see what holds up the sender: its processor, its disk, its virtual machine, its Wi-Fi"
            }
            Self::ClockDrift { ours: true, .. } => {
                "set this machine's clock right: its time source, or that of its virtual machine"
            }
            Self::ClockDrift { .. } => {
                "use an adaptive jitter buffer, or mend the clock of the other end: its sound card or \
                 its time source"
            }
        }
    }
}

fn ms(duration: Duration) -> u128 {
    duration.as_millis()
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LateScheduling { times: [some, more, most], total, overflowed } => {
                write!(
                    f,
                    "this machine handles voice too late: {some} times by 10 ms or more, {more} by 30, \
                     {most} by 100, {} ms in all",
                    ms(*total)
                )?;
                match overflowed {
                    0 => Ok(()),
                    _ => write!(f, ", and {overflowed} datagrams were dropped for it"),
                }
            }
            Self::TranscodingOverload { busy_percent, late, longest, overflowed } => {
                write!(
                    f,
                    "translating between codecs takes this machine {busy_percent:.0} % of the time, and \
                     {late} frames left late for it, by up to {} ms",
                    ms(*longest)
                )?;
                match overflowed {
                    0 => Ok(()),
                    _ => write!(f, ", and {overflowed} datagrams were dropped"),
                }
            }
            Self::Trunk { dropped, percent, held } => write!(
                f,
                "the trunk to the peer dropped {percent:.1} % of its voice ({dropped} frames), and holds \
                 it for {} ms",
                ms(*held)
            ),
            Self::NotSent { frames, percent } => {
                write!(
                    f,
                    "{percent:.1} % of the voice ({frames} frames) could not be sent on from here"
                )
            }
            Self::Loss { way, lost, percent, shape } => {
                write!(f, "the network loses {percent:.1} % of the voice {way} ({lost} frames)")?;
                match shape {
                    Shape::Random => f.write_str(", here and there one"),
                    Shape::Bursts { bursts, length, density } => write!(
                        f,
                        ", in {bursts} bursts of {} ms in which {density:.0} % are lost",
                        ms(*length)
                    ),
                    Shape::Untold => f.write_str(", as the other end says"),
                }
            }
            Self::Jitter { way, late, dropped_percent, reordered_percent } => {
                match way {
                    Way::Here => write!(
                        f,
                        "the delay {way} jumps: one frame of twenty is {} ms late or more",
                        ms(*late)
                    )?,
                    Way::There => write!(
                        f,
                        "the delay {way} jumps: the other end sees a jitter of {} ms",
                        ms(*late)
                    )?,
                }
                if *dropped_percent > 0.0 {
                    write!(f, " and drops {dropped_percent:.1} % as too late")?;
                }
                if *reordered_percent >= 1.0 {
                    write!(f, ", and {reordered_percent:.1} % are overtaken")?;
                }
                Ok(())
            }
            Self::Bufferbloat { way, most, load } => {
                write!(
                    f,
                    "a queue {way} fills and empties slowly: the delay grows by up to {} ms",
                    ms(*most)
                )?;
                match load {
                    Some(load) => write!(f, ", and follows what is sent from here ({load})"),
                    None => Ok(()),
                }
            }
            Self::SenderStalls { count, longest, gaps, missing } => {
                f.write_str("the sender stands still")?;
                if *count > 0 {
                    write!(
                        f,
                        ": {count} times nothing came and then all at once, for up to {} ms",
                        ms(*longest)
                    )?;
                }
                if *gaps > 0 {
                    let and = if *count > 0 { ", and" } else { ":" };
                    write!(
                        f,
                        "{and} {gaps} times its timestamps do not fit what it sent, by {} ms in all",
                        ms(*missing)
                    )?;
                }
                Ok(())
            }
            Self::ClockDrift { ppm, ours } => {
                let whose = if *ours { "our clock" } else { "the other end's clock" };
                let fast = (*ppm > 0) != *ours;
                let how = if fast { "fast" } else { "slow" };
                // A day has 86,400 s; a frame has 20 ms.
                let seconds = 20_000.0 / f64::from(ppm.unsigned_abs().max(1));
                write!(
                    f,
                    "{whose} is {} millionths too {how}: a frame of 20 ms too many or too few every \
                     {seconds:.0} s",
                    ppm.unsigned_abs()
                )
            }
        }
    }
}
