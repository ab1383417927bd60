//! Why a command of the application could not be carried out.

use thiserror::Error;

/// A command that the engine refuses: the caller's fault, or a limit.
///
/// ```
/// use oneport_proto::CommandError;
/// use oneport_wire::CauseCode;
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (mut here, mut there) = two_ends(now);
/// # let (ours, theirs) = call_up(now, &mut here, &mut there);
/// assert_eq!(here.dtmf_begin(now, ours, b'x'), Err(CommandError::InvalidDigit));
/// assert_eq!(there.answer(now, theirs), Err(CommandError::WrongPhase));
/// here.hangup(now, ours, CauseCode::NORMAL_CLEARING, None)?;
/// assert_eq!(here.ringing(now, ours), Err(CommandError::UnknownCall));
/// # Ok::<(), CommandError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The call has ended, or never was.
    #[error("there is no such call")]
    UnknownCall,
    /// The registration request has ended, or never was.
    #[error("there is no such registration request")]
    UnknownRequest,
    /// The call is not in a phase in which this can be asked.
    #[error("the call is not in a phase that allows this")]
    WrongPhase,
    /// All call numbers towards this address are in use or resting.
    #[error("no call number is free towards this address")]
    NoFreeCallNumber,
    /// The endpoint's limit of calls is reached.
    #[error("the endpoint holds as many calls as it may")]
    TooManyCalls,
    /// Too many reliable frames wait for the peer's acknowledgement.
    #[error("too many frames wait for the peer's acknowledgement")]
    QueueFull,
    /// The format is not among those the peer offered.
    #[error("the peer did not offer this format")]
    FormatNotOffered,
    /// Too many challenges wait for an answer under this user name.
    #[error("too many challenges wait for an answer under this user name")]
    TooManyChallenges,
    /// The content does not fit into one frame.
    #[error("the content does not fit into one frame")]
    TooLong,
    /// The call must be encrypted, and its caller did not offer that.
    #[error("the caller did not offer encryption")]
    EncryptionNotOffered,
    /// Both calls have the same peer: there is nobody to be left out.
    #[error("both calls have the same peer")]
    SamePeer,
    /// Frames of this type are not the application's.
    #[error("frames of this type are not the application's to send")]
    InvalidFrameType,
    /// No format was given.
    #[error("at least one format is needed")]
    NoFormat,
    /// There is no such device being set up.
    #[error("there is no such device being set up")]
    UnknownProvision,
    /// A device's name has 1 to 255 bytes.
    #[error("a device's name has 1 to 255 bytes")]
    InvalidDevice,
    /// The digit is not one of 0-9, A-D, * and #.
    #[error("the digit is not one of 0-9, A-D, * and #")]
    InvalidDigit,
    /// The calls carry different formats, and the engine does not transcode.
    #[error("the calls carry different formats")]
    FormatsDiffer,
}
