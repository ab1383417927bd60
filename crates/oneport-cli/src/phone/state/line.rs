//! One call of a softphone.

use std::fmt;
use std::time::Duration;

/// A call, by the order in which they began.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct LineId(pub(crate) u32);

impl fmt::Display for LineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Who began a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// We.
    Here,
    /// The other side.
    Caller,
}

/// How far a call is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// We call; nothing is known of the other side yet.
    Calling,
    /// We call; it rings there.
    Ringing,
    /// They call; it rings here.
    Offered,
    /// We answer; the caller does not know yet.
    Answering,
    /// Answered.
    Up,
    /// Answered, and the other side was asked to send its party elsewhere.
    Transferring,
    /// It was hung up here; the other side does not know yet.
    Leaving,
}

/// How good a call is.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) codec: String,
    pub(crate) encrypted: bool,
    /// Frames lost or too late on the way here, per cent.
    pub(crate) loss_percent: f64,
    pub(crate) jitter: Duration,
    pub(crate) round_trip: Option<Duration>,
    /// What the jitter buffer holds.
    pub(crate) buffer: Duration,
    /// Made up in place of what did not come, per cent of what was heard.
    pub(crate) concealed_percent: f64,
    /// Mean opinion score here, and as the other side's own report has it.
    pub(crate) mos: Option<f64>,
    pub(crate) mos_there: Option<f64>,
    /// What does not arrive there, by the other side's own report, per cent.
    pub(crate) loss_there_percent: Option<f64>,
}

/// One call.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Line {
    pub(crate) id: LineId,
    pub(crate) origin: Origin,
    /// The other side.
    pub(crate) number: String,
    pub(crate) name: Option<String>,
    pub(crate) phase: Phase,
    /// We put them on hold; they us.
    pub(crate) held: bool,
    pub(crate) held_there: bool,
    /// They can be heard before they answer.
    pub(crate) early_media: bool,
    /// The line whose party this one talks to.
    pub(crate) connected: Option<LineId>,
    pub(crate) begun: Duration,
    pub(crate) answered: Option<Duration>,
    /// Keys that they pressed.
    pub(crate) digits: String,
    /// Keys that we pressed.
    pub(crate) pressed: String,
    pub(crate) figures: Option<Box<Figures>>,
}

impl Line {
    pub(super) fn new(
        id: LineId,
        origin: Origin,
        number: String,
        name: Option<String>,
        now: Duration,
    ) -> Self {
        Self {
            id,
            origin,
            number,
            name: name.filter(|name| !name.is_empty()),
            phase: match origin {
                Origin::Here => Phase::Calling,
                Origin::Caller => Phase::Offered,
            },
            held: false,
            held_there: false,
            early_media: false,
            connected: None,
            begun: now,
            answered: None,
            digits: String::new(),
            pressed: String::new(),
            figures: None,
        }
    }

    /// The other side, as people call it.
    pub(crate) fn party(&self) -> String {
        match &self.name {
            Some(name) if *name != self.number => format!("{} \"{name}\"", self.number),
            _ => self.number.clone(),
        }
    }

    /// Somebody answered, and nobody has left.
    pub(crate) fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Up | Phase::Transferring)
    }

    /// Whether it can be connected with another.
    pub(crate) fn is_free(&self) -> bool {
        self.phase == Phase::Up && self.connected.is_none()
    }

    /// What it does, in words.
    pub(crate) fn words(&self) -> String {
        if let Some(other) = self.connected {
            return format!("connected to {other}");
        }
        match self.phase {
            Phase::Calling => "calling",
            Phase::Ringing if self.early_media => "heard, not answered",
            Phase::Ringing => "ringing there",
            Phase::Offered => "calls you",
            Phase::Answering => "answering",
            Phase::Transferring => "being transferred",
            Phase::Leaving => "hanging up",
            Phase::Up if self.held => "on hold",
            Phase::Up if self.held_there => "holds you",
            Phase::Up => "talking",
        }
        .into()
    }
}
