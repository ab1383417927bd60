//! The legs of calls: what a switch knows of each, and in which state it is.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use oneport_proto::{CallId, Generation, Instant, Offer};
use oneport_wire::{CauseCode, Format};
use tracing::Span;
use uuid::Uuid;

use super::forwarding::Forwarded;
use super::one_way::Told;
use super::originating::Origination;
use super::parking::{Parked, TransferredBy};
use crate::builtin::{Announcement, Builtin, Place};
use crate::limits::Direction;
use crate::routing::Target;
use crate::timeline::Timeline;
use crate::watch::{Bounds, Ending};

/// What a leg holds its places under limits by: no two legs have the same, nor do those of processes that
/// follow each other. Later ones are greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct LeaseId(pub(super) u64);

/// Bits of a lease that count within one process; those above are its generation.
const COUNT_BITS: u32 = 40;

impl LeaseId {
    /// The one before the first of a process.
    pub(super) fn before(generation: Generation) -> Self {
        Self(u64::from(generation.0) << COUNT_BITS)
    }

    /// Whose it is.
    pub(super) fn generation(self) -> Generation {
        Generation(u32::try_from(self.0 >> COUNT_BITS).unwrap_or(u32::MAX))
    }
}

/// One leg of a call.
pub(super) struct Leg {
    /// The call, the same for all its legs.
    pub(super) id: Uuid,
    /// What log lines of it are put into.
    pub(super) span: Span,
    pub(super) lease: LeaseId,
    /// Where it was when it came; its address may change.
    pub(super) came_from: IpAddr,
    /// The peer's name; `None` for a guest.
    pub(super) peer: Option<String>,
    pub(super) address: SocketAddr,
    pub(super) begun: Instant,
    /// Whether the peer or this switch placed it.
    pub(super) direction: Direction,
    /// Where it leads, for the log; none once the log has told of it.
    pub(super) to: Option<String>,
    pub(super) state: State,
    pub(super) marks: Marks,
}

/// Where the voice of a leg goes that is linked to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum VoiceWay {
    /// Through here.
    #[default]
    Here,
    /// Through here as long as the far ends of both look for each other.
    Seeking,
    /// Straight to the far end of the other.
    Direct,
}

/// What has come over a leg.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Why this switch has ended it.
    pub(super) ending: Option<Ending>,
    /// It has put its other party on hold.
    pub(super) holds: bool,
    /// Where its voice goes.
    pub(super) way: VoiceWay,
    /// Who has led it to where it is.
    pub(super) transferred_by: Option<TransferredBy>,
    /// It is refused with this as soon as it has heard why.
    pub(super) refused_with: Option<CauseCode>,
    /// It was called, and has said that it rings.
    pub(super) rings: bool,
    /// It hears the tone of ringing from here.
    pub(super) hears_ringing: bool,
    /// It was called, and has said no without hanging up.
    pub(super) said_no: Option<CauseCode>,
    /// How often its call was recorded.
    pub(super) recordings: u32,
    /// The number under which it was called in codecs that its caller speaks, and would be in others.
    pub(super) native_to: Option<String>,
    /// Bytes of voice sent, when it was last looked at.
    pub(super) bytes_seen: u64,
    /// How it has sounded since its beginning.
    pub(super) timeline: Option<Box<Timeline>>,
    /// Causes for which it is choppy that were told, a bit each.
    pub(super) causes_told: u32,
    /// What was told of voice that flows one way only.
    pub(super) one_way: Option<Box<Told>>,
    /// It goes to another switch, at which its peer is registered.
    pub(super) through_sibling: bool,
    /// The word by which the SIP gateway knows it.
    pub(super) sip: Option<String>,
    /// When the call of this caller was answered.
    pub(super) answered: Option<Instant>,
}

pub(super) enum State {
    /// The caller must prove who it is.
    Identifying(Box<Offer>),
    /// An operator has placed it, and it is led on when it answers.
    Originated(Box<Origination>),
    /// It dials digit by digit.
    Dialling { offer: Box<Offer>, format: Format },
    /// It has come to where it wanted: a built-in, and what of it.
    Builtin(Box<Place>),
    /// It waits for, or is linked to, another leg.
    Caller(Box<Caller>),
    /// It waits until somebody fetches it.
    Parked(Box<Parked>),
    /// We placed it for a caller, or it has fetched one that was parked.
    Called { caller: CallId },
    /// It changes from one of these to another.
    Gone,
}

impl State {
    /// Whether it is at this built-in.
    pub(super) fn is_at(&self, builtin: Builtin) -> bool {
        matches!(self, Self::Builtin(place) if place.builtin == builtin)
    }
}

/// A caller that is being bridged.
pub(super) struct Caller {
    pub(super) offer: Box<Offer>,
    /// Legs placed for it: several while they ring at once, one when it is answered.
    pub(super) called: Vec<CallId>,
    /// Destinations not tried yet; those of one entry ring at once.
    pub(super) left: VecDeque<Vec<Target>>,
    /// How long one of them may ring.
    pub(super) timeout: Option<Duration>,
    /// Causes behind which the next is tried, beside the usual ones.
    pub(super) continue_on: Vec<CauseCode>,
    /// Whether its route may lead back to where it came from.
    pub(super) may_return: bool,
    /// Whether no limit stands against the legs that are placed for it.
    pub(super) is_emergency: bool,
    pub(super) accepted: Option<Format>,
    /// The format in which it is to be accepted, of several that ring at once.
    pub(super) together: Option<Format>,
    /// Peers that have said that they speak none of its codecs, though they should.
    pub(super) foreign: Vec<String>,
    pub(super) answered: bool,
    /// What its route holds it to.
    pub(super) bounds: Bounds,
    pub(super) forwarded: Forwarded,
    /// What it hears where there is no room.
    pub(super) notice: Option<Announcement>,
}

impl Leg {
    pub(super) fn other(&self) -> Option<CallId> {
        match &self.state {
            State::Caller(caller) => match *caller.called {
                [called] => Some(called),
                _ => None,
            },
            State::Called { caller } => Some(*caller),
            _ => None,
        }
    }

    /// Who it is, for the log.
    pub(super) fn who(&self) -> String {
        match &self.peer {
            Some(name) => format!("{name} ({})", self.address),
            None => format!("guest {}", self.address),
        }
    }
}
