//! Subclasses of CONTROL frames (RFC 5456 §8.3, and those added since).

use core::fmt;

/// What a CONTROL frame says.
///
/// ```
/// use oneport_wire::{Control, Message};
///
/// let answer = Message::control(Control::Answer);
/// assert_eq!((answer.frame_type(), answer.subclass()), (4, 4));
/// assert!(Control::Answer.may_cross());
/// // Of use within one host only: the other side ignores it.
/// assert!(!Control::from_subclass(20).may_cross());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Control {
    /// 1: The peer hung up (a line, not the call).
    Hangup,
    /// 2: Local ring.
    Ring,
    /// 3: The called party is alerted.
    Ringing,
    /// 4: The called party answered.
    Answer,
    /// 5: The called party is busy.
    Busy,
    /// 6: Go off hook.
    TakeOffHook,
    /// 7: A line went off hook.
    OffHook,
    /// 8: No free line.
    Congestion,
    /// 9: A hook flash.
    Flash,
    /// 10: A wink.
    Wink,
    /// 11: A channel option.
    Option,
    /// 12: The radio keys up.
    RadioKey,
    /// 13: The radio unkeys.
    RadioUnkey,
    /// 14: Early audio follows.
    Progress,
    /// 15: The call is being set up.
    Proceeding,
    /// 16: The call is held; the data may name a music class.
    Hold,
    /// 17: The call is no longer held.
    Unhold,
    /// 18: Send a key frame.
    VideoUpdate,
    /// 19: T.38, obsolete form.
    T38,
    /// 20: The media source changed.
    SourceUpdate,
    /// 21: Status of a transfer.
    Transfer,
    /// 22: Who is connected; see [`ConnectedLine`](crate::ConnectedLine).
    ConnectedLine,
    /// 23: Who redirected; see [`Redirecting`](crate::Redirecting).
    Redirecting,
    /// 24: T.38 parameters, a structure in host order.
    T38Parameters,
    /// 25: Call completion.
    CallCompletion,
    /// 26: The media source changed and restarts.
    SourceChange,
    /// 27: Internal to one host.
    ReadAction,
    /// 28: Advice of charge.
    AdviceOfCharge,
    /// 29: Internal to one host.
    EndOfQueue,
    /// 30: The number is incomplete.
    Incomplete,
    /// 31: Malicious call identification.
    MaliciousCall,
    /// 32: Internal to one host.
    UpdateRtpPeer,
    /// 33: Internal to one host.
    CauseCode,
    /// −1 (0xFF): stop the present indication, such as ringback.
    StopIndication,
    /// Any other subclass byte.
    Unknown(u8),
}

impl Control {
    /// From the subclass byte of a full frame.
    #[must_use]
    pub const fn from_subclass(subclass: u8) -> Self {
        match subclass {
            1 => Self::Hangup,
            2 => Self::Ring,
            3 => Self::Ringing,
            4 => Self::Answer,
            5 => Self::Busy,
            6 => Self::TakeOffHook,
            7 => Self::OffHook,
            8 => Self::Congestion,
            9 => Self::Flash,
            10 => Self::Wink,
            11 => Self::Option,
            12 => Self::RadioKey,
            13 => Self::RadioUnkey,
            14 => Self::Progress,
            15 => Self::Proceeding,
            16 => Self::Hold,
            17 => Self::Unhold,
            18 => Self::VideoUpdate,
            19 => Self::T38,
            20 => Self::SourceUpdate,
            21 => Self::Transfer,
            22 => Self::ConnectedLine,
            23 => Self::Redirecting,
            24 => Self::T38Parameters,
            25 => Self::CallCompletion,
            26 => Self::SourceChange,
            27 => Self::ReadAction,
            28 => Self::AdviceOfCharge,
            29 => Self::EndOfQueue,
            30 => Self::Incomplete,
            31 => Self::MaliciousCall,
            32 => Self::UpdateRtpPeer,
            33 => Self::CauseCode,
            0xFF => Self::StopIndication,
            other => Self::Unknown(other),
        }
    }

    /// The subclass byte of a full frame.
    #[must_use]
    pub const fn subclass(self) -> u8 {
        match self {
            Self::Hangup => 1,
            Self::Ring => 2,
            Self::Ringing => 3,
            Self::Answer => 4,
            Self::Busy => 5,
            Self::TakeOffHook => 6,
            Self::OffHook => 7,
            Self::Congestion => 8,
            Self::Flash => 9,
            Self::Wink => 10,
            Self::Option => 11,
            Self::RadioKey => 12,
            Self::RadioUnkey => 13,
            Self::Progress => 14,
            Self::Proceeding => 15,
            Self::Hold => 16,
            Self::Unhold => 17,
            Self::VideoUpdate => 18,
            Self::T38 => 19,
            Self::SourceUpdate => 20,
            Self::Transfer => 21,
            Self::ConnectedLine => 22,
            Self::Redirecting => 23,
            Self::T38Parameters => 24,
            Self::CallCompletion => 25,
            Self::SourceChange => 26,
            Self::ReadAction => 27,
            Self::AdviceOfCharge => 28,
            Self::EndOfQueue => 29,
            Self::Incomplete => 30,
            Self::MaliciousCall => 31,
            Self::UpdateRtpPeer => 32,
            Self::CauseCode => 33,
            Self::StopIndication => 0xFF,
            Self::Unknown(other) => other,
        }
    }

    /// Whether it may cross between systems; others are internal to a host and are ignored.
    #[must_use]
    pub const fn may_cross(self) -> bool {
        !matches!(
            self,
            Self::T38
                | Self::SourceUpdate
                | Self::Transfer
                | Self::CallCompletion
                | Self::SourceChange
                | Self::ReadAction
                | Self::EndOfQueue
                | Self::UpdateRtpPeer
                | Self::CauseCode
                | Self::Unknown(_)
        )
    }
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Hangup => "HANGUP",
            Self::Ring => "RING",
            Self::Ringing => "RINGING",
            Self::Answer => "ANSWER",
            Self::Busy => "BUSY",
            Self::TakeOffHook => "TAKEOFFHOOK",
            Self::OffHook => "OFFHOOK",
            Self::Congestion => "CONGESTION",
            Self::Flash => "FLASH",
            Self::Wink => "WINK",
            Self::Option => "OPTION",
            Self::RadioKey => "RADIO_KEY",
            Self::RadioUnkey => "RADIO_UNKEY",
            Self::Progress => "PROGRESS",
            Self::Proceeding => "PROCEEDING",
            Self::Hold => "HOLD",
            Self::Unhold => "UNHOLD",
            Self::VideoUpdate => "VIDUPDATE",
            Self::T38 => "T38",
            Self::SourceUpdate => "SRCUPDATE",
            Self::Transfer => "TRANSFER",
            Self::ConnectedLine => "CONNECTED_LINE",
            Self::Redirecting => "REDIRECTING",
            Self::T38Parameters => "T38_PARAMETERS",
            Self::CallCompletion => "CC",
            Self::SourceChange => "SRCCHANGE",
            Self::ReadAction => "READ_ACTION",
            Self::AdviceOfCharge => "AOC",
            Self::EndOfQueue => "END_OF_Q",
            Self::Incomplete => "INCOMPLETE",
            Self::MaliciousCall => "MCID",
            Self::UpdateRtpPeer => "UPDATE_RTP_PEER",
            Self::CauseCode => "PVT_CAUSE_CODE",
            Self::StopIndication => "STOP",
            Self::Unknown(other) => return write!(f, "CONTROL({other})"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subclass_survives() {
        for byte in 0..=255 {
            assert_eq!(Control::from_subclass(byte).subclass(), byte);
        }
    }
}
