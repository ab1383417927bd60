//! What the engine tells the application.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use oneport_wire::{
    AuthMethods, CauseCode, Control, DialplanStatus, Format, MessageCount, Timestamp,
};

use crate::drop_reason::{DropReason, Limit};
use crate::firmware::FirmwareFailure;
use crate::id::{CallId, FirmwareId, PokeId, ProvisionId, RegistrationId, RequestId};
use crate::offer::Offer;
use crate::path::Path;
use crate::provision::{ProvisionOutcome, Settings};
use crate::request::Register;
use crate::sentence::reasons;
use crate::stats::CallStats;

/// Something happened. Of each call, request and poll exactly one event says that it is over, and
/// it is the last one about it.
///
/// What the caller hears of a call that the other side ends:
///
/// ```
/// use oneport_proto::{EndReason, Event};
/// use oneport_wire::CauseCode;
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (mut here, mut there) = two_ends(now);
/// # let (ours, theirs) = call_up(now, &mut here, &mut there);
/// there.send_text(now, theirs, "until tomorrow")?;
/// there.hangup(now, theirs, CauseCode::NORMAL_CLEARING, None)?;
/// exchange(now, &mut here, &mut there);
/// assert_eq!(here.poll_event(), Some(Event::Text { call: ours, text: "until tomorrow".into() }));
/// let Some(Event::CallEnded { call, end }) = here.poll_event() else { panic!("it goes on") };
/// assert_eq!((call, end.reason), (ours, EndReason::RemoteHangup));
/// # Ok::<(), oneport_proto::CommandError>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A peer calls. Answer with `challenge_call`, `accept` or `reject`.
    CallOffered {
        /// The new call.
        call: CallId,
        /// What its NEW said.
        offer: Box<Offer>,
    },
    /// The caller proved who it is. Answer with `accept` or `reject`.
    CallAuthenticated {
        /// The challenged call.
        call: CallId,
        /// How it was proved.
        method: AuthMethods,
    },
    /// The peer accepted our call: media may flow, though nobody has answered yet.
    CallAccepted {
        /// Our call.
        call: CallId,
        /// The format the peer chose.
        format: Format,
    },
    /// The call goes on, short of an answer.
    CallProgress {
        /// Our call.
        call: CallId,
        /// How far it is.
        progress: Progress,
    },
    /// Somebody, or something, answered.
    CallAnswered {
        /// Our call.
        call: CallId,
    },
    /// A digit. Peers that send no BEGIN yield one of each.
    Dtmf {
        /// The call.
        call: CallId,
        /// ASCII `0`-`9`, `A`-`D`, `*`, `#`.
        digit: u8,
        /// Pressed or released.
        phase: DtmfPhase,
    },
    /// Text, its trailing NUL removed.
    Text {
        /// The call.
        call: CallId,
        /// The text; bytes that are not UTF-8 are replaced.
        text: String,
    },
    /// The radio at the other end has keyed up (CONTROL KEY): it sends from now on.
    Keyed {
        /// The call.
        call: CallId,
        /// What came with it: empty, or the tone (CTCSS) that opened its receiver, as text.
        data: Vec<u8>,
    },
    /// The radio at the other end has unkeyed (CONTROL UNKEY).
    Unkeyed {
        /// The call.
        call: CallId,
    },
    /// A control frame other than those that have an event of their own: hold, flash …
    Control {
        /// The call.
        call: CallId,
        /// Which.
        control: Control,
        /// Its data, such as the music class of HOLD.
        payload: Vec<u8>,
    },
    /// A frame for the application at the other end, as it is: an image, HTML, comfort noise, or
    /// fax and modem data.
    Frame {
        /// The call.
        call: CallId,
        /// One of [`frame_type`](oneport_wire::frame_type).
        frame_type: u8,
        /// The subclass byte as it came.
        subclass: u8,
        /// The sender's clock in ms since the start of its call.
        timestamp: Timestamp,
        /// What follows.
        payload: Vec<u8>,
    },
    /// The peer wants no voice for a while (QUELCH), or wants it again (UNQUELCH). The engine
    /// obeys by itself.
    Quelched {
        /// The call.
        call: CallId,
        /// Whether it wants none.
        quelched: bool,
        /// The class of music that shall play meanwhile; empty for the usual one.
        music: Option<String>,
    },
    /// A peer asks whether a number exists, for overlap dialling. Answer with `dialplan_reply`.
    DialplanQueried {
        /// The call.
        call: CallId,
        /// The digits so far.
        number: String,
    },
    /// A peer says whether a number exists.
    DialplanReply {
        /// The call.
        call: CallId,
        /// The number asked for.
        number: String,
        /// What it said.
        status: DialplanStatus,
        /// How long that is good for: ten minutes where the peer did not say it.
        refresh: Duration,
    },
    /// A peer has dialled to the end (DIAL), in a call that was placed to `TBD`.
    Dialled {
        /// The call.
        call: CallId,
        /// The number.
        number: String,
        /// The context in which it shall be looked up.
        context: Option<String>,
    },
    /// A peer wants the party at this end of the call to be connected to another number (TRANSFER):
    /// a blind transfer.
    TransferRequested {
        /// The call.
        call: CallId,
        /// The number to which the party shall go.
        number: String,
        /// The context in which it shall be looked up.
        context: Option<String>,
    },
    /// The call goes on straight with the far end of a transfer.
    CallTransferred {
        /// The call.
        call: CallId,
        /// Where it is now.
        path: Path,
    },
    /// The peer of a call has changed its address, as NATs do, and has shown that it is the same.
    CallMoved {
        /// The call.
        call: CallId,
        /// Where it was.
        from: Path,
        /// Where it is.
        to: Path,
    },
    /// The voice of two calls goes straight between their far ends; signalling still comes here.
    MediaTransferred {
        /// One of the two calls.
        call: CallId,
    },
    /// Two calls could not be joined without us, and go on as they were.
    TransferFailed {
        /// One of the two calls.
        call: CallId,
        /// Why.
        failure: TransferFailure,
    },
    /// The call is over. The last event about it.
    CallEnded {
        /// The call; its handle finds nothing any more.
        call: CallId,
        /// Why.
        end: CallEnd,
    },
    /// A peer has us registered, for the first time or again.
    Registered {
        /// Our registration.
        registration: RegistrationId,
        /// Who has us: one of several, where there are.
        registrar: SocketAddr,
        /// For how long.
        refresh: Duration,
        /// Our address as the peer sees it.
        apparent_address: Option<SocketAddr>,
        /// Messages that wait in our mailbox there.
        messages: Option<MessageCount>,
        /// The version of the firmware that the peer has for our kind of device.
        firmware_version: Option<u16>,
    },
    /// An attempt to register failed; the next follows by itself.
    RegistrationFailed {
        /// Our registration.
        registration: RegistrationId,
        /// At whom.
        registrar: SocketAddr,
        /// Why.
        failure: RegistrationFailure,
        /// When the next attempt begins.
        retry_in: Duration,
    },
    /// A registration is given back, or the peer did not answer to that. The last event about it.
    Unregistered {
        /// The registration; its handle finds nothing any more.
        registration: RegistrationId,
    },
    /// A peer wants to register here, or to end its registration. Answer with
    /// `challenge_request`, `grant` or `refuse`.
    RegisterRequested {
        /// The request.
        request: RequestId,
        /// What it asks for.
        register: Box<Register>,
    },
    /// The peer proved who it is. Answer with `grant` or `refuse`.
    RegisterAuthenticated {
        /// The challenged request.
        request: RequestId,
        /// How it was proved.
        method: AuthMethods,
    },
    /// The request is over. The last event about it.
    RegisterEnded {
        /// The request; its handle finds nothing any more.
        request: RequestId,
        /// How it ended.
        outcome: RequestOutcome,
    },
    /// A peer answered a POKE. The last event about it.
    Pong {
        /// The poll.
        poke: PokeId,
        /// Time from POKE to PONG.
        rtt: Duration,
    },
    /// A peer did not answer a POKE in time. The last event about it.
    PokeTimedOut {
        /// The poll.
        poke: PokeId,
    },
    /// Firmware is here. The last event about it.
    FirmwareFetched {
        /// The fetch.
        fetch: FirmwareId,
        /// The image as the server sent it.
        data: Vec<u8>,
    },
    /// Firmware could not be fetched. The last event about it.
    FirmwareFailed {
        /// The fetch.
        fetch: FirmwareId,
        /// Why.
        failure: FirmwareFailure,
    },
    /// A peer wants to set us up. Answer with `accept_provision` or `reject_provision`.
    ProvisionOffered {
        /// The exchange.
        provision: ProvisionId,
        /// Who it is: a peer that we are registered at, or in a call with.
        from: Path,
        /// What it wants to set. Not in force before it has ended well.
        settings: Settings,
    },
    /// Setting up a device, or being set up, is over. The last event about it.
    ProvisionEnded {
        /// The exchange.
        provision: ProvisionId,
        /// How.
        outcome: ProvisionOutcome,
    },
    /// A peer says how many messages wait in our mailbox there (MWI).
    MessagesWaiting {
        /// Who.
        from: Path,
        /// How many; `None`: it did not say, only that there are some.
        count: Option<MessageCount>,
    },
    /// A call or registration was turned away before it got any state. At most ten in a second are
    /// told, all are counted.
    Refused {
        /// Who was turned away.
        from: Path,
        /// The user name it gave.
        username: Option<String>,
        /// Why.
        reason: DropReason,
        /// The limit that stood against it, where it was one.
        limit: Option<Limit>,
        /// How many before it were turned away and not told.
        untold: u64,
    },
}

reasons! {
    /// Why two calls could not be joined.
    ///
    /// ```
    /// use oneport_proto::TransferFailure;
    ///
    /// assert_eq!(TransferFailure::Refused.name(), "refused");
    /// let remedy = TransferFailure::Refused.remedy();
    /// assert_eq!(remedy, Some("allow transfers at both peers, and see whether they reach each other"));
    /// ```
    TransferFailure {
        /// An end would not, or could not reach the other.
        Refused => "refused",
            "one end would not be transferred, or could not reach the other",
            Some("allow transfers at both peers, and see whether they reach each other");
        /// An end did not answer.
        TimedOut => "timed_out",
            "one end did not answer in time",
            None;
        /// One of the calls ended.
        CallEnded => "call_ended",
            "one of the calls ended",
            None;
    }
}

/// How far a call is before it is answered.
///
/// ```
/// use oneport_proto::{Event, NewCall, Progress};
/// use oneport_wire::Format;
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (mut here, mut there) = two_ends(now);
/// # let (call, theirs, _) = offered(now, &mut here, &mut there, NewCall::to("100"));
/// there.accept(now, theirs, Format::ULAW)?;
/// there.ringing(now, theirs)?;
/// exchange(now, &mut here, &mut there);
/// here.poll_event(); // CallAccepted
/// let progress = Progress::Ringing;
/// assert_eq!(here.poll_event(), Some(Event::CallProgress { call, progress }));
/// # Ok::<(), oneport_proto::CommandError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Progress {
    /// The peer is at work on it.
    Proceeding,
    /// It rings.
    Ringing,
    /// Audio that belongs to the set-up, such as an announcement, follows.
    EarlyMedia,
    /// The called party is busy; the peer will hang up.
    Busy,
    /// There is no free line; the peer will hang up.
    Congestion,
    /// The present indication (such as ringing) stops.
    StopIndication,
}

/// Pressed or released.
///
/// ```
/// use oneport_proto::{DtmfPhase, Event};
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (mut here, mut there) = two_ends(now);
/// # let (ours, call) = call_up(now, &mut here, &mut there);
/// here.dtmf_begin(now, ours, b'5')?;
/// here.dtmf_end(now, ours, b'5')?;
/// exchange(now, &mut here, &mut there);
/// for phase in [DtmfPhase::Begin, DtmfPhase::End] {
///     assert_eq!(there.poll_event(), Some(Event::Dtmf { call, digit: b'5', phase }));
/// }
/// # Ok::<(), oneport_proto::CommandError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DtmfPhase {
    /// The key went down.
    Begin,
    /// The key went up.
    End,
}

/// Why and how a call ended.
///
/// ```
/// use oneport_proto::{EndReason, Event, NewCall};
/// use oneport_wire::CauseCode;
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (mut here, mut there) = two_ends(now);
/// # let (_, theirs, _) = offered(now, &mut here, &mut there, NewCall::to("100"));
/// there.reject(now, theirs, CauseCode::USER_BUSY, Some("on another call"))?;
/// exchange(now, &mut here, &mut there);
/// let Some(Event::CallEnded { end, .. }) = here.poll_event() else { panic!("it goes on") };
/// assert_eq!((end.reason, end.cause), (EndReason::RemoteReject, CauseCode::USER_BUSY));
/// assert_eq!(end.text.as_deref(), Some("on another call"));
/// assert_eq!(end.stats.sent_frames, 0);
/// # Ok::<(), oneport_proto::CommandError>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct CallEnd {
    /// Who or what ended it.
    pub reason: EndReason,
    /// The cause code sent or received, or the one that fits best.
    pub cause: CauseCode,
    /// The peer's own words.
    pub text: Option<String>,
    /// Its figures.
    pub stats: Box<CallStats>,
}

reasons! {
    /// Who or what ended a call.
    ///
    /// ```
    /// use oneport_proto::EndReason;
    ///
    /// let reason = EndReason::NoCommonFormat;
    /// assert_eq!(reason.name(), "no_common_format");
    /// assert_eq!(reason.sentence(), "the other side accepted in a format that was not offered");
    /// assert_eq!(reason.remedy(), Some("name a common codec at both ends"));
    /// assert_eq!(EndReason::RemoteHangup.remedy(), None);
    /// ```
    EndReason {
        /// We hung up.
        LocalHangup => "local_hangup",
            "it was hung up here",
            None;
        /// The peer hung up.
        RemoteHangup => "remote_hangup",
            "the other side hung up",
            None;
        /// We rejected it.
        LocalReject => "local_reject",
            "it was rejected here",
            None;
        /// The peer rejected it.
        RemoteReject => "remote_reject",
            "the other side rejected it",
            Some("the log of the other side says why; the cause code says what kind of reason");
        /// The caller could not prove who it is.
        AuthenticationFailed => "authentication_failed",
            "the caller could not prove who it is",
            Some("compare user name and secret, or key, at both ends, and the networks the peer \
                  may come from");
        /// The peer wants a proof that we cannot or may not give.
        CannotAuthenticate => "cannot_authenticate",
            "the other side wants a proof that cannot or may not be given",
            Some("give the secret or key; where the other side takes plaintext only, allow that");
        /// The call must be encrypted, and the peer would not have it so.
        EncryptionRefused => "encryption_refused",
            "the call must be encrypted, and the other side would not have it so",
            Some("set encryption=yes there");
        /// The peer accepted in a format that we did not offer.
        NoCommonFormat => "no_common_format",
            "the other side accepted in a format that was not offered",
            Some("name a common codec at both ends");
        /// The peer did not acknowledge a frame in all its repetitions.
        TimedOut => "timed_out",
            "the other side fell silent: it acknowledged nothing in all repetitions of a frame",
            Some("see whether the other side runs, and whether a firewall lets UDP through both \
                  ways");
        /// The peer said nothing at all to our NEW within twice `autokill`.
        Unanswered => "unanswered",
            "the other side did not answer at all",
            Some("see whether the other side runs, and whether a firewall lets UDP through both \
                  ways");
        /// The peer acknowledged our NEW but never accepted or rejected the call.
        SetupTimedOut => "setup_timed_out",
            "the other side heard of the call, but neither accepted nor rejected it",
            None;
        /// Neither the application nor the challenged peer decided on an offered call in time.
        Undecided => "undecided",
            "nobody decided on the call in time: the caller gave no proof, or nothing here took it",
            None;
        /// The peer does not know the call (INVAL).
        Invalidated => "invalidated",
            "the other side does not know the call any more, as after a restart",
            None;
        /// Its ends have found each other: it goes on without us.
        Transferred => "transferred",
            "its ends have found each other and go on by themselves",
            None;
        /// The peer began a new call under the same number: it has lost this one.
        PeerRestarted => "peer_restarted",
            "the other side has restarted: it began something new under the same number",
            None;
    }
}

impl EndReason {
    /// Whether the peer wants nothing more of this call, so that repeating frames is pointless.
    pub(crate) const fn peer_is_through(self) -> bool {
        matches!(
            self,
            Self::RemoteHangup
                | Self::RemoteReject
                | Self::TimedOut
                | Self::Invalidated
                | Self::PeerRestarted
        )
    }
}

/// Why an attempt to register failed.
///
/// ```
/// use std::time::Duration;
///
/// use oneport_proto::{Event, RegistrationFailure};
/// use oneport_wire::CauseCode;
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (mut here, mut there) = two_ends(now);
/// # here.register(now, oneport_proto::RegistrationConfig {
/// #     to: THERE, others: vec![], username: "ann".into(), secret: None, key: None,
/// #     allow_plaintext: false, refresh: Duration::from_secs(60),
/// # });
/// # exchange(now, &mut here, &mut there);
/// // Somebody wants to register, whom nobody here knows.
/// let Some(Event::RegisterRequested { request, .. }) = there.poll_event() else { panic!() };
/// there.refuse(now, request)?;
/// exchange(now, &mut here, &mut there);
/// let Some(Event::RegistrationFailed { failure, retry_in, .. }) = here.poll_event() else { panic!() };
/// let cause = Some(CauseCode::FACILITY_REJECTED);
/// assert!(matches!(failure, RegistrationFailure::Refused { cause: found, .. } if found == cause));
/// assert_eq!(retry_in, Duration::from_secs(5));
/// # Ok::<(), oneport_proto::CommandError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RegistrationFailure {
    /// The peer refused.
    Refused {
        /// Its cause code, if any.
        cause: Option<CauseCode>,
        /// Its words, if any.
        text: Option<String>,
    },
    /// The peer did not answer.
    TimedOut,
    /// The peer wants a proof that we cannot or may not give.
    CannotAuthenticate,
    /// No call number was free.
    NoFreeCallNumber,
}

impl fmt::Display for RegistrationFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { cause, text } => {
                f.write_str("the registrar refused")?;
                match cause {
                    Some(cause) => write!(f, ", {cause}")?,
                    None => f.write_str(" without saying why")?,
                }
                match text {
                    Some(text) => write!(f, " ({text:?})"),
                    None => Ok(()),
                }
            }
            Self::TimedOut => f.write_str("the registrar does not answer"),
            Self::CannotAuthenticate => {
                f.write_str("the registrar wants a proof that cannot or may not be given")
            }
            Self::NoFreeCallNumber => f.write_str("no call number is free towards the registrar"),
        }
    }
}

reasons! {
    /// How a request to register here ended.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use oneport_proto::{Challenge, Event, RegistrationConfig, RequestOutcome};
    ///
    /// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
    /// # let mut now = oneport_proto::Instant::from_micros(0);
    /// # let (mut here, mut there) = two_ends(now);
    /// # here.register(now, RegistrationConfig {
    /// #     to: THERE, others: vec![], username: "ann".into(), secret: Some("guessed".into()), key: None,
    /// #     allow_plaintext: false, refresh: Duration::from_secs(60),
    /// # });
    /// # exchange(now, &mut here, &mut there);
    /// let Some(Event::RegisterRequested { request, .. }) = there.poll_event() else { panic!() };
    /// there.challenge_request(now, request, Challenge::md5("ann", "a secret".into()))?;
    /// exchange(now, &mut here, &mut there);
    /// // The answer to a wrong proof is held back for a second, so that guessing is slow.
    /// assert_eq!(there.poll_event(), None);
    /// there.handle_timeout(now + Duration::from_secs(1));
    /// let outcome = RequestOutcome::AuthenticationFailed;
    /// assert_eq!(there.poll_event(), Some(Event::RegisterEnded { request, outcome }));
    /// # Ok::<(), oneport_proto::CommandError>(())
    /// ```
    RequestOutcome {
        /// The application granted it.
        Granted => "granted",
            "it was granted",
            None;
        /// The application refused it.
        Refused => "refused",
            "it was refused here",
            None;
        /// The peer could not prove who it is.
        AuthenticationFailed => "authentication_failed",
            "the peer could not prove who it is",
            Some("compare user name and secret, or key, at both ends, and the networks the peer \
                  may come from");
        /// The peer, or the application, did not go on with it.
        TimedOut => "timed_out",
            "the peer did not go on with it in time",
            None;
        /// The peer began anew.
        Abandoned => "abandoned",
            "the peer gave it up, or began anew",
            None;
    }
}
