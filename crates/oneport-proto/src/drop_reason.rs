//! Nothing is dropped without a name, a count, and a sentence for whoever must mend it.

use core::fmt;
use core::time::Duration;

use crate::clock::Instant;
use crate::id::CallId;
use crate::lateness::Lateness;
use crate::path::Path;
use crate::sentence::reasons;

reasons! {
    /// Why a datagram, a frame or one entry of a trunk frame was dropped.
    ///
    /// ```
    /// use oneport_proto::DropReason;
    ///
    /// let reason = DropReason::CallTokenMissing;
    /// assert_eq!(reason.name(), "call_token_missing");
    /// assert_eq!(reason.sentence(), "it sends no call token");
    /// assert!(reason.remedy().is_some_and(|remedy| remedy.starts_with("set requirecalltoken=yes")));
    /// // Each network repeats a datagram now and then.
    /// assert!(DropReason::Duplicate.is_ordinary());
    /// ```
    DropReason {
        /// Not an IAX2 frame: too short, or a header that lies.
        Malformed => "malformed",
            "the datagram is no IAX2 frame: it is too short, or its header lies",
            Some("see what else sends to this port");
        /// An information element runs past the end of its frame.
        MalformedElements => "malformed_elements",
            "an information element runs past the end of its frame",
            Some("the sender, or something on the way, spoils frames: capture them");
        /// A full frame for a call that is not, or no longer, here.
        UnknownCall => "unknown_call",
            "the frame is for a call that is not here: it has ended, or one side has restarted",
            None;
        /// A mini frame or trunk entry for a call that is not here.
        UnknownMediaCall => "unknown_media_call",
            "voice for a call that is not here: it has ended, or one side has restarted",
            None;
        /// A full frame whose call numbers do not belong together.
        WrongCallNumber => "wrong_call_number",
            "the frame's two call numbers do not belong together, or its sender is not the peer",
            None;
        /// Seen before.
        Duplicate => "duplicate",
            "the frame was seen before; it was acknowledged again",
            None;
        /// Something before it is missing; it was asked for.
        OutOfOrder => "out_of_order",
            "a frame before this one is missing and was asked for",
            None;
        /// Does not belong into the call's present phase.
        Unexpected => "unexpected",
            "the frame does not belong into the present phase of its call",
            None;
        /// A call token that is forged, too old or for another address.
        BadCallToken => "bad_call_token",
            "its call token is forged, too old, or was given to another address",
            Some("where the peer is honest, a NAT changes its port between two datagrams: let it \
                  keep ports");
        /// Needs a call token; one was offered.
        CallTokenSent => "call_token_sent",
            "it asked for a call token and was sent one, as every new caller is",
            None;
        /// Came without a call token though its address or name needs one.
        CallTokenMissing => "call_token_missing",
            "it sends no call token",
            Some("set requirecalltoken=yes there, or call_token = \"optional\" for this peer here, \
                  if it has a secret");
        /// An IAX version that is not known.
        UnknownVersion => "unknown_version",
            "it speaks a version of IAX other than 2",
            Some("update the peer");
        /// Over the limit of calls.
        TooManyCalls => "too_many_calls",
            "this endpoint holds as many calls as it may",
            Some("raise max_calls, or find out who makes them");
        /// Over the limit of calls for this address.
        TooManyCallsForAddress => "too_many_calls_for_address",
            "its address holds as many calls as one may",
            Some("raise max_calls_per_address, or find out who makes them");
        /// A request that lacks what it must have, such as a registration without a user name.
        Incomplete => "incomplete",
            "it lacks what it must have: a registration its user name, a transfer its number",
            Some("set the user name at the peer");
        /// Voice or video before the call was accepted, or after it ended.
        MediaTooEarly => "media_too_early",
            "voice or video came before its call was accepted, or after it ended",
            None;
        /// Voice or video in a format not known, or video before any frame named one.
        UnknownFormat => "unknown_format",
            "voice or video is of a format not known here, or the full frame of video that names it \
             is missing",
            None;
        /// A transfer that is not allowed, or not the one under way.
        TransferRefused => "transfer_refused",
            "the peer asks for a transfer that is not allowed, or not the one under way",
            Some("allow transfers for this peer, if it is trusted");
        /// Asks for what is not switched on here: firmware, or to set this device up.
        NotEnabled => "not_enabled",
            "it asks for firmware, or wants to set this device up, and neither is switched on",
            Some("name a directory of `firmware`, if devices shall have it from here");
        /// Asks for firmware that is not here.
        NoSuchFirmware => "no_such_firmware",
            "it asks for the firmware of a device for which there is none here",
            Some("put the file into the directory of `firmware`");
        /// Would set this device up, and is nobody that it is registered at or in a call with.
        UnknownProvisioner => "unknown_provisioner",
            "it wants to set this device up, which is not registered there nor in a call with it",
            None;
        /// Settings that are not whole, or not what their signature says.
        BadSettings => "bad_settings",
            "settings for this device are not whole, or not what their signature says",
            Some("the server, or something on the way, spoils them: capture them");
        /// On an encrypted call, and no key of it fits.
        DecryptionFailed => "decryption_failed",
            "no key of this encrypted call fits the frame",
            Some("compare the secrets at both ends");
        /// In the clear, on a call that must be encrypted.
        NotEncrypted => "not_encrypted",
            "it came in the clear, on a call that must be encrypted",
            Some("take the peer's encrypted calls off the trunk there");
        /// Video in a format that this call does not carry: none, unless it was offered and allowed.
        Video => "video",
            "the call does not carry this video",
            Some("allow video for both peers, or take its formats off the codecs of the sender");
        /// The call on which it should go out was not ready or carries another format.
        LinkNotReady => "link_not_ready",
            "the call on which it should go out is not up yet, or carries another format",
            None;
        /// The peer wants no voice for a while.
        Quelched => "quelched",
            "the peer wants no voice for a while",
            None;
        /// For a call, or of a call, that has ended.
        CallEnded => "call_ended",
            "its call has ended",
            None;
        /// An IAX frame that is not understood; that was said.
        Unsupported => "unsupported",
            "the frame asks for something that is not known here; the peer was told",
            None;
        /// No room to send it on.
        TransmitBufferFull => "transmit_buffer_full",
            "more is to be sent than the system takes",
            Some("the machine or its network is overloaded: spread the calls");
        /// The peer acknowledges too little, and too many reliable frames wait.
        QueueFull => "queue_full",
            "too many frames wait for the peer's acknowledgement",
            Some("the peer is frozen, or the way to it very bad");
        /// The application does not fetch its events.
        EventQueueFull => "event_queue_full",
            "the application does not fetch its events",
            Some("the application blocks where it must not");
        /// The application does not fetch its audio or video.
        MediaQueueFull => "media_queue_full",
            "the application fetches its audio or video too slowly",
            Some("read the media of a call as fast as it comes, or drop its reader");
        /// Nobody has asked for the audio or video of its call.
        NobodyListens => "nobody_listens",
            "nobody here listens to the call, or looks at it",
            None;
        /// The system would not send it.
        SendFailed => "send_failed",
            "the system would not send the datagram",
            Some("see whether the address can be reached from here: route, firewall, interface");
        /// No socket is of the address's family.
        NoSocket => "no_socket",
            "no socket here is of the peer's address family",
            Some("listen on an address of that family (IPv4 or IPv6) too");
        /// The system reports an error when it should receive.
        ReceiveFailed => "receive_failed",
            "the system reports an error of a socket",
            None;
        /// It begins something, and another process takes what is new.
        Retired => "retired",
            "another process of this switch takes what begins; it was handed this",
            None;
        /// An older process of the same port, which has its call, does not fetch what is handed to it.
        OlderBehind => "older_behind",
            "its call is with an older process of this switch, which does not keep up",
            Some("raise net.core.wmem_max, or give the machine more time");
        /// The kernel had no room for what arrived.
        SocketBufferFull => "socket_buffer_full",
            "more arrived than the socket's buffer holds",
            Some("raise net.core.rmem_max, or give the process more time");
    }
}

impl DropReason {
    /// Whether it happens on every network and hurts nobody, so that a log need not tell of it
    /// unless asked.
    #[must_use]
    pub const fn is_ordinary(self) -> bool {
        matches!(
            self,
            Self::Duplicate
                | Self::OutOfOrder
                | Self::CallTokenSent
                | Self::MediaTooEarly
                | Self::UnknownMediaCall
                | Self::Quelched
                | Self::CallEnded
                | Self::NobodyListens
                | Self::Retired
        )
    }
}

/// A limit that stood against something, as it was at that moment.
///
/// ```
/// use oneport_proto::{DropReason, EndpointConfig, Event, Limit, NewCall};
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (mut here, mut there) = two_ends(now);
/// there.reconfigure(EndpointConfig { max_calls_per_address: 1, ..EndpointConfig::default() });
/// # call_up(now, &mut here, &mut there);
/// here.place_call(now, THERE, NewCall::to("101"))?;
/// exchange(now, &mut here, &mut there);
/// let Some(Event::Refused { reason, limit, .. }) = there.poll_event() else { panic!() };
/// assert_eq!(reason, DropReason::TooManyCallsForAddress);
/// assert_eq!(limit, Some(Limit { held: 1, most: 1 }));
/// # Ok::<(), oneport_proto::CommandError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limit {
    /// How many there were.
    pub held: usize,
    /// How many there may be.
    pub most: usize,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.held, self.most)
    }
}

/// What was dropped for one reason since it was last told, for one line in a log.
///
/// ```
/// use oneport_proto::{Endpoint, EndpointConfig, Instant};
///
/// let now = Instant::from_micros(0);
/// let mut endpoint = Endpoint::new(EndpointConfig::default(), [1; 32], now);
/// let stranger = "192.0.2.1:4569".parse::<std::net::SocketAddr>()?;
/// endpoint.handle_datagram(now, stranger.into(), &mut [0x80, 1, 2], &mut ());
///
/// let notice = endpoint.poll_notice(now).ok_or("something was dropped")?;
/// assert_eq!(
///     notice.to_string(),
///     "1 dropped at 192.0.2.1:4569: the datagram is no IAX2 frame: it is too short, or its header \
///      lies; see what else sends to this port",
/// );
/// // The next of this kind is told in ten seconds, with how many there were.
/// endpoint.handle_datagram(now, stranger.into(), &mut [0x80, 1, 2], &mut ());
/// assert_eq!(endpoint.poll_notice(now), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DropNotice {
    /// Why.
    pub reason: DropReason,
    /// How often since the last notice of this reason.
    pub count: u64,
    /// From whom, or to whom, the last of them was, where that is known.
    pub path: Option<Path>,
    /// The call of the last of them, where it had one.
    pub call: Option<CallId>,
}

impl fmt::Display for DropNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(call) = self.call {
            write!(f, "{call}: ")?;
        }
        write!(f, "{} dropped", self.count)?;
        if let Some(path) = self.path {
            let last = if self.count > 1 { ", the last" } else { "" };
            write!(f, "{last} at {path}")?;
        }
        write!(f, ": {}", self.reason.sentence())?;
        match self.reason.remedy() {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

/// Time between two notices of one reason.
const NOTICE_PAUSE: Duration = Duration::from_secs(10);

/// What is counted of one reason.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    all: u64,
    /// Those not told yet.
    untold: u64,
    told: Option<Instant>,
    path: Option<Path>,
    call: Option<CallId>,
}

impl Tally {
    /// When what is untold may be told.
    fn due(&self) -> Option<Instant> {
        let due = self.told.map_or(Instant::from_micros(0), |told| told + NOTICE_PAUSE);
        (self.untold > 0).then_some(due)
    }
}

/// Counts of an endpoint since its start.
///
/// ```
/// use oneport_proto::{DropReason, Endpoint, EndpointConfig, Handled, Instant};
///
/// let now = Instant::from_micros(0);
/// let mut endpoint = Endpoint::new(EndpointConfig::default(), [1; 32], now);
/// let stranger = "192.0.2.1:4569".parse::<std::net::SocketAddr>()?;
/// // Full frames have twelve bytes of header. This has the first bit of one.
/// let handled = endpoint.handle_datagram(now, stranger.into(), &mut [0x80, 1, 2], &mut ());
/// assert_eq!(handled, Handled::Dropped(DropReason::Malformed));
///
/// let counters = endpoint.counters();
/// assert_eq!(counters.dropped(DropReason::Malformed), 1);
/// assert_eq!(counters.drops().map(|(_, count)| count).sum::<u64>(), 1);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Counters {
    drops: [Tally; DropReason::ALL.len()],
    /// Whose datagram or command is being dealt with.
    subject: (Option<Path>, Option<CallId>),
    /// What is counted next was told by an event of its own.
    told: bool,
    /// Anything is untold.
    untold: bool,
    /// How late the thread that runs the engine was, as it says.
    pub lateness: Lateness,
    /// Datagrams received.
    pub datagrams_received: u64,
    /// Frames of voice and video relayed between linked calls.
    pub relayed: u64,
    /// Reliable frames sent again.
    pub retransmissions: u64,
    /// VNAKs sent.
    pub vnaks_sent: u64,
    /// Call tokens handed out.
    pub call_tokens_sent: u64,
    /// Calls whose peer has changed its address.
    pub calls_moved: u64,
    /// Trunk frames received.
    pub trunk_frames_received: u64,
    /// Trunk frames sent.
    pub trunk_frames_sent: u64,
    /// Frames of voice that were sent in them.
    pub trunk_entries_sent: u64,
    /// Keys of encrypted calls changed by us.
    pub key_changes: u64,
    /// Proofs of identity that failed.
    pub authentication_failures: u64,
    /// Deadlines that were still past after they had been handled. Each is a mistake of the engine,
    /// put off by a millisecond.
    pub deadlines_missed: u64,
    /// Variables of offered calls left out, as their number or length exceeded what is taken.
    pub variables_left_out: u64,
    /// Datagrams handed to older processes of the same port, whose calls they were for.
    pub handed_on: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            drops: [Tally::default(); DropReason::ALL.len()],
            subject: (None, None),
            told: false,
            untold: false,
            lateness: Lateness::default(),
            datagrams_received: 0,
            relayed: 0,
            retransmissions: 0,
            vnaks_sent: 0,
            call_tokens_sent: 0,
            calls_moved: 0,
            trunk_frames_received: 0,
            trunk_frames_sent: 0,
            trunk_entries_sent: 0,
            key_changes: 0,
            authentication_failures: 0,
            deadlines_missed: 0,
            variables_left_out: 0,
            handed_on: 0,
        }
    }
}

impl Counters {
    pub(crate) fn drop(&mut self, reason: DropReason) {
        self.drop_many(reason, 1);
    }

    /// Counts several at once.
    pub(crate) fn drop_many(&mut self, reason: DropReason, count: u64) {
        self.drop_of(reason, count, self.subject);
    }

    /// Counts several of somebody else than whoever is dealt with. It runs on the media path.
    pub(crate) fn drop_of(
        &mut self,
        reason: DropReason,
        count: u64,
        subject: (Option<Path>, Option<CallId>),
    ) {
        let told = core::mem::take(&mut self.told);
        if let Some(tally) = self.drops.get_mut(reason as usize) {
            tally.all = tally.all.saturating_add(count);
            if reason == DropReason::SocketBufferFull {
                self.lateness.overflowed = tally.all;
            }
            if !told && count > 0 {
                tally.untold = tally.untold.saturating_add(count);
                (tally.path, tally.call) = subject;
                self.untold = true;
            }
        }
    }

    /// Says whose datagram or command is dealt with from now on.
    pub(crate) fn set_subject(&mut self, path: Option<Path>, call: Option<CallId>) {
        self.subject = (path, call);
    }

    /// Says that what is counted next is told by an event of its own.
    pub(crate) fn told_by_event(&mut self) {
        self.told = true;
    }

    /// The next notice that may be given at `now`.
    pub(crate) fn next_notice(&mut self, now: Instant) -> Option<DropNotice> {
        if !self.untold {
            return None;
        }
        for (reason, tally) in DropReason::ALL.iter().zip(&mut self.drops) {
            // A clock that went back must not silence us.
            let back = tally.told.is_some_and(|told| told > now);
            if tally.due().is_some_and(|due| due <= now || back) {
                tally.told = Some(now);
                let count = core::mem::take(&mut tally.untold);
                let Tally { path, call, .. } = *tally;
                return Some(DropNotice { reason: *reason, count, path, call });
            }
        }
        self.untold = self.drops.iter().any(|tally| tally.untold > 0);
        None
    }

    /// When the next notice may be given.
    pub(crate) fn notice_due(&self) -> Option<Instant> {
        self.drops.iter().filter_map(Tally::due).min().filter(|_| self.untold)
    }

    /// How often `reason` occurred.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops.get(reason as usize).map_or(0, |tally| tally.all)
    }

    /// Every reason with its count.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.iter().copied().zip(self.drops.iter().map(|tally| tally.all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use core::net::SocketAddr;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn drops_are_told_at_once_and_then_folded_for_ten_seconds() {
        let mut counters = Counters::default();
        let path = Path::from(SocketAddr::from(([192, 0, 2, 1], 4569)));
        let call = CallId { slot: 4, generation: 0 };
        counters.set_subject(Some(path), Some(call));
        assert_eq!(counters.next_notice(at(0)), None);
        counters.drop(DropReason::NotEncrypted);
        let notice = counters.next_notice(at(100)).unwrap();
        assert_eq!((notice.reason, notice.count), (DropReason::NotEncrypted, 1));
        assert_eq!((notice.path, notice.call), (Some(path), Some(call)));
        counters.set_subject(Some(path), None);
        for _ in 0..1_000 {
            counters.drop(DropReason::NotEncrypted);
            counters.drop(DropReason::Malformed);
            let told = counters.next_notice(at(101)).map(|notice| notice.reason);
            assert_ne!(told, Some(DropReason::NotEncrypted));
        }
        assert_eq!(counters.notice_due(), Some(at(110)));
        assert_eq!(counters.next_notice(at(109)), None);
        let notice = counters.next_notice(at(110)).unwrap();
        assert_eq!((notice.reason, notice.count), (DropReason::NotEncrypted, 1_000));
        assert_eq!(
            notice.to_string(),
            "1000 dropped, the last at 192.0.2.1:4569: it came in the clear, on a call that must \
             be encrypted; take the peer's encrypted calls off the trunk there"
        );
        assert_eq!(counters.next_notice(at(111)).map(|notice| notice.count), Some(999));
        assert_eq!((counters.next_notice(at(112)), counters.notice_due()), (None, None));
        assert_eq!(counters.dropped(DropReason::NotEncrypted), 1_001);
    }

    #[test]
    fn a_clock_that_went_back_does_not_silence_the_notices() {
        let mut counters = Counters::default();
        counters.drop(DropReason::Video);
        assert!(counters.next_notice(at(7_200)).is_some());
        counters.drop(DropReason::Video);
        assert!(counters.next_notice(at(3_600)).is_some());
    }

    #[test]
    fn sentences_and_remedies_read_well_in_a_line() {
        for reason in DropReason::ALL {
            for text in [Some(reason.sentence()), reason.remedy()].into_iter().flatten() {
                assert!(!text.ends_with('.') && !text.contains("  "), "{text}");
                assert!(text.starts_with(|first: char| first.is_ascii_lowercase()), "{text}");
            }
        }
    }
}
