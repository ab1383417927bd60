//! What is told of a call, a registration or a poll when it is over.

use std::net::SocketAddr;
use std::time::Duration;

use oneport_proto::{RemoteReport, VoiceStats};
use oneport_wire::{CallNumber, CauseCode, Format};

use crate::fault::FoldedFault;
use crate::time::Time;
use crate::tracker::Sealed;

/// What was exchanged.
///
/// ```
/// use oneport_decode::Kind;
///
/// # mod capture { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/capture.rs")); } use capture::*;
/// let kinds: Vec<Kind> = stories()?.iter().map(|story| story.kind).collect();
/// assert_eq!(kinds, [Kind::Registration, Kind::Call, Kind::Call]);
/// # Ok::<(), oneport_decode::CaptureError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// A call.
    Call,
    /// A registration, or its end.
    Registration,
    /// POKE and PONG.
    Poll,
    /// Firmware or settings of a device.
    Device,
}

impl Kind {
    /// Its name, for programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Registration => "registration",
            Self::Poll => "poll",
            Self::Device => "device",
        }
    }
}

/// What became of it.
///
/// ```
/// use oneport_decode::Outcome;
///
/// # mod capture { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/capture.rs")); } use capture::*;
/// let outcomes: Vec<Outcome> = stories()?.iter().map(|story| story.outcome).collect();
/// assert_eq!(outcomes, [Outcome::Registered, Outcome::Completed, Outcome::Rejected]);
/// assert_eq!(Outcome::GivenUp.name(), "given_up");
/// # Ok::<(), oneport_decode::CaptureError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// Nobody answered at all.
    Unanswered,
    /// A call that was not answered when it ended.
    GivenUp,
    /// A call that was refused.
    Rejected,
    /// A call that was answered, and is over.
    Completed,
    /// A call that is up, or on its way, where the capture ends.
    Up,
    /// The other side did not know it.
    Invalid,
    /// Registered, or no longer registered as was asked for.
    Registered,
    /// A registration that was refused.
    Refused,
    /// A poll that was answered.
    Answered,
    /// None of these: the capture has too little of it.
    Unknown,
}

impl Outcome {
    /// Its name, for programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unanswered => "unanswered",
            Self::GivenUp => "given_up",
            Self::Rejected => "rejected",
            Self::Completed => "completed",
            Self::Up => "up",
            Self::Invalid => "invalid",
            Self::Registered => "registered",
            Self::Refused => "refused",
            Self::Answered => "answered",
            Self::Unknown => "unknown",
        }
    }
}

/// Times from a frame that passed here to what acknowledged it: the way to that side and back, and what it needs to
/// answer.
///
/// ```
/// # mod capture { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/capture.rs")); } use capture::*;
/// let stories = stories()?;
/// let call = stories.get(1).ok_or("it has a call")?;
/// for side in &call.sides {
///     let trips = side.round_trips;
///     let mean = trips.mean().ok_or("something was acknowledged")?;
///     assert!(trips.least <= mean && mean <= trips.greatest);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RoundTrips {
    /// How many were measured.
    pub count: u32,
    /// The shortest.
    pub least: Duration,
    /// The longest.
    pub greatest: Duration,
    sum: Duration,
}

impl RoundTrips {
    pub(crate) fn take(&mut self, took: Duration) {
        self.least = if self.count == 0 { took } else { self.least.min(took) };
        self.greatest = self.greatest.max(took);
        self.sum = self.sum.saturating_add(took);
        self.count = self.count.saturating_add(1);
    }

    /// Their average; `None` where none was measured.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        (self.count > 0).then(|| self.sum / self.count)
    }
}

/// What one side sent.
///
/// ```
/// # mod capture { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/capture.rs")); } use capture::*;
/// let stories = stories()?;
/// let call = stories.get(1).ok_or("it has a call")?;
/// let [caller, called] = &call.sides;
/// // An echo presses the same keys.
/// assert_eq!((caller.digits.as_str(), called.digits.as_str()), ("12", "12"));
/// // Nothing had to be sent twice.
/// assert_eq!((caller.repeated, called.repeated), (0, 0));
/// assert!(caller.full_frames > 0 && called.full_frames > 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SideStory {
    /// Where it is.
    pub address: SocketAddr,
    /// Its call number.
    pub number: Option<CallNumber>,
    /// The codec that it last spoke.
    pub format: Option<Format>,
    /// How its voice came here; nothing in it where it said nothing, or nothing that could be decrypted.
    pub voice: VoiceStats,
    /// Voice frames of it that came in trunk frames.
    pub trunk_entries: u64,
    /// Full frames that it sent for the first time.
    pub full_frames: u64,
    /// Full frames that it sent again.
    pub repeated: u64,
    /// Frames of it that no key reads.
    pub sealed: u64,
    /// The keys that it pressed, in their order, the first 256.
    pub digits: String,
    /// How long this side takes to acknowledge, as seen from here.
    pub round_trips: RoundTrips,
    /// What it last said that it hears of the other side.
    pub report: Option<RemoteReport>,
}

/// A call, a registration or a poll: all that is known of it.
///
/// ```
/// use oneport_decode::Outcome;
/// use oneport_wire::CauseCode;
///
/// # mod capture { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/capture.rs")); } use capture::*;
/// let stories = stories()?;
/// let [registration, call, refused] = &stories[..] else { panic!("{stories:?}") };
/// assert_eq!((registration.username.as_deref(), registration.proof), (Some("phone"), Some("md5")));
/// assert_eq!((call.called.as_deref(), call.outcome), (Some("echo"), Outcome::Completed));
/// assert!(call.duration() > std::time::Duration::ZERO);
/// assert_eq!(refused.cause, Some(CauseCode::NO_ROUTE));
/// # Ok::<(), oneport_decode::CaptureError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Story {
    /// Its number in the capture, from 1 in the order of their beginnings.
    pub number: u64,
    /// What it is.
    pub kind: Kind,
    /// Who began it, then the other.
    pub sides: [SideStory; 2],
    /// It began before the capture.
    pub begun_before: bool,
    /// The number called.
    pub called: Option<String>,
    /// The context of the number called.
    pub context: Option<String>,
    /// The caller's number.
    pub calling: Option<String>,
    /// The caller's name.
    pub calling_name: Option<String>,
    /// The name under which it proved who it is, or registered.
    pub username: Option<String>,
    /// How it proved that: `md5`, `rsa`, `plaintext`.
    pub proof: Option<&'static str>,
    /// It came with a call token.
    pub token: bool,
    /// Whether it was encrypted, and could be read.
    pub sealed: Sealed,
    /// The codec that was agreed upon.
    pub format: Option<Format>,
    /// When the first frame passed.
    pub began: Time,
    /// When ACCEPT passed.
    pub accepted: Option<Time>,
    /// When it began to ring.
    pub ringing: Option<Time>,
    /// When it was answered.
    pub answered: Option<Time>,
    /// When its end was told.
    pub ended: Option<Time>,
    /// When the last frame passed.
    pub last: Time,
    /// What became of it.
    pub outcome: Outcome,
    /// The place in [`Self::sides`] of whoever ended it.
    pub ended_by: Option<usize>,
    /// Why it ended.
    pub cause: Option<CauseCode>,
    /// Why in words, as they were said.
    pub cause_text: Option<String>,
    /// Seconds until a registration must be renewed.
    pub refresh: Option<u16>,
    /// Frames of it, voice included.
    pub frames: u64,
    /// What went wrong, the worst first.
    pub faults: Vec<FoldedFault>,
}

impl Story {
    /// How long it was up: from the answer, or where there was none from its beginning.
    #[must_use]
    pub fn duration(&self) -> Duration {
        let end = self.ended.unwrap_or(self.last);
        end.since(self.answered.unwrap_or(self.began))
    }
}
