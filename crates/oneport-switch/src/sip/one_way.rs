//! Voice that flows in one direction only, or in none: why, in words, within seconds.
//!
//! `Watch` is given what was counted of a stream, twice a second or so, and says when one side has heard
//! nothing for [`PATIENCE`]. It knows no sockets and no clock.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use oneport_proto::Instant;
use oneport_wire::Format;

/// So long one side may hear nothing before that is told: with two looks a second, and the way to whoever
/// tells it, that is well within three seconds.
pub const PATIENCE: Duration = Duration::from_millis(1_800);

/// What has fewer packets between two marks is no stream.
const A_STREAM: u64 = 10;

/// So long packets come back before that counts: whoever hangs up closes its port a moment sooner.
const TURNED_AWAY: Duration = Duration::from_millis(900);

/// What came back before is of another time. Systems tell of it once in a second.
const LAST_TURN: Duration = Duration::from_millis(2_500);

/// From one mark to the next: counts are compared with those of the mark before the last.
const MARK: Duration = Duration::from_millis(900);

/// What is known of a stream and of its other side. Counts are from its beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Evidence {
    /// Whether media should flow both ways now: answered, and nobody on hold.
    pub(crate) both_ways: bool,
    /// Where our description says that we want media.
    pub(crate) ours: Option<SocketAddr>,
    /// Where theirs says that they want it.
    pub(crate) theirs: Option<SocketAddr>,
    /// The host that their signalling comes from.
    pub(crate) host: Option<IpAddr>,
    /// Where they were found to be, by what they sent.
    pub(crate) found: Option<SocketAddr>,
    /// When something of theirs came last that could be used.
    pub(crate) heard: Option<Instant>,
    /// They have told of a pause, which goes on.
    pub(crate) they_pause: bool,
    /// Packets of voice that they sent and that could be used.
    pub(crate) received: u64,
    /// Packets of them with a payload type that was not agreed upon, and the last such.
    pub(crate) unknown_payloads: u64,
    /// The payload type of the last of those.
    pub(crate) unknown_payload: u8,
    /// Packets that came from somewhere else.
    pub(crate) strangers: u64,
    /// Where the last of those came from.
    pub(crate) stranger: Option<SocketAddr>,
    /// Packets that make no sense, or that could not be decrypted.
    pub(crate) malformed: u64,
    /// Whether a handshake has yet to bring the keys of what flows.
    pub(crate) unsecured: bool,
    /// Packets that they say they have sent, if they report at all.
    pub(crate) they_sent: Option<u32>,
    /// Whether somebody else's packets have come to another port of ours of late.
    pub(crate) others_heard: bool,
    /// When our side has said something last, for them.
    pub(crate) spoke: Option<Instant>,
    /// Our side has told of a pause, which goes on.
    pub(crate) we_pause: bool,
    /// Frames of the other side, for them.
    pub(crate) said: u64,
    /// Packets sent to them.
    pub(crate) sent: u64,
    /// Packets of ours that could not be sent.
    pub(crate) unsent: u64,
    /// When packets of ours began to come back, since nobody listens where they went (ICMP), and when the
    /// last did.
    pub(crate) unreachable: Option<(Instant, Instant)>,
    /// Frames that could not be made what the listener speaks: of them, and of ours.
    pub(crate) untranslated: (u64, u64),
    /// What the last of those was, and should have become.
    pub(crate) formats: Option<(Format, Format)>,
    /// Whether that was since as many calls are transcoded as may be.
    pub(crate) no_room: bool,
    /// The highest number that they report to have received of ours, if they report at all.
    pub(crate) reported: Option<u32>,
    /// Frames of them that were not silent.
    pub(crate) audible_in: u64,
    /// Frames of ours that were not silent.
    pub(crate) audible_out: u64,
    /// Frames whose loudness was looked at: of them, and of ours.
    pub(crate) measured: (u64, u64),
}

impl Evidence {
    /// A frame could not be made what the listener speaks: it is not known how, or there is no room.
    pub(crate) const fn translating(&mut self, from: Format, to: Format, no_room: bool) {
        (self.formats, self.no_room) = (Some((from, to)), no_room);
    }

    /// Why that is.
    fn untranslated(&self) -> Option<Reason> {
        let formats = self.formats?;
        Some(match self.no_room {
            true => Reason::TranscodingFull { formats },
            false => Reason::NotTranslated { formats },
        })
    }

    /// A packet of ours came back at `now`.
    pub(crate) fn came_back(&mut self, now: Instant) {
        let before = self.unreachable.filter(|(_, last)| now.since(*last) < LAST_TURN);
        self.unreachable = Some((before.map_or(now, |(first, _)| first), now));
    }

    /// How long packets have been coming back at `now`, if they do.
    fn turned_away(&self, now: Instant) -> Option<Duration> {
        let (first, last) = self.unreachable?;
        (now.since(last) < LAST_TURN).then(|| last.since(first))
    }
}

/// Who is not heard.
///
/// ```
/// use oneport_switch::sip::one_way::Unheard;
///
/// assert_eq!(Unheard::Theirs.name(), "peer");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Unheard {
    /// The SIP side: nothing of it comes here.
    Theirs,
    /// The other side: nothing of it reaches the SIP side.
    Ours,
    /// Neither.
    Both,
}

impl Unheard {
    /// Its name, for records and events: the side is that of the leg which is looked at.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Theirs => "peer",
            Self::Ours => "other",
            Self::Both => "both",
        }
    }
}

/// Why.
///
/// ```
/// use oneport_switch::sip::one_way::Reason;
///
/// let reason = Reason::CodecMismatch { payload_type: 8 };
/// assert_eq!(reason.name(), "codec_mismatch");
/// assert!(Reason::NAMES.contains(&reason.name()));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Reason {
    /// Packets come with a payload type that was not agreed upon.
    CodecMismatch {
        /// Which.
        payload_type: u8,
    },
    /// Voice comes that cannot be made what the listener speaks.
    NotTranslated {
        /// What comes, and what it should become.
        formats: (Format, Format),
    },
    /// Voice comes that is not made what the listener speaks, since as many calls are transcoded as may be.
    TranscodingFull {
        /// What comes, and what it should become.
        formats: (Format, Format),
    },
    /// Packets come, but none makes sense: they are encrypted with another key, or are none.
    Undecipherable,
    /// The handshake that brings the keys is not complete.
    NoHandshake,
    /// Packets come from somewhere else than the stream is bound to.
    Stranger {
        /// Where they come from.
        from: SocketAddr,
        /// Where they should.
        expected: Option<SocketAddr>,
    },
    /// Our description names an address that the other side cannot reach.
    OurPrivateAddress {
        /// Which.
        ours: SocketAddr,
    },
    /// Theirs names an address that cannot be reached from here, and no packet came that told another.
    TheirPrivateAddress {
        /// Which.
        theirs: SocketAddr,
    },
    /// They report that they send, and nothing comes.
    PortsBlocked {
        /// Where it should come to.
        ours: Option<SocketAddr>,
        /// Packets that they say they have sent.
        sent: u32,
    },
    /// Nothing comes at all.
    NoPacket {
        /// Where it should come to.
        ours: Option<SocketAddr>,
        /// Whether somebody else's packets come to another port.
        others_heard: bool,
    },
    /// They report that nothing of ours arrives.
    NothingArrives {
        /// Where it is sent.
        at: Option<SocketAddr>,
    },
    /// Nobody listens where it is sent (ICMP).
    PortUnreachable {
        /// Where.
        at: Option<SocketAddr>,
    },
    /// The description names no address to send to.
    NowhereToSend,
    /// This system does not let it be sent.
    CannotSend {
        /// Where it should go.
        at: Option<SocketAddr>,
    },
    /// Our side sends nothing.
    NothingSaid,
    /// Packets flow, and there is nothing but silence in them.
    Silence,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |at: &Option<SocketAddr>| match at {
            Some(at) => at.to_string(),
            None => "an unknown address".into(),
        };
        match self {
            Self::CodecMismatch { payload_type } => write!(
                f,
                "its packets have payload type {payload_type}, which was not agreed upon: another codec"
            ),
            Self::NotTranslated { formats: (from, to) } => write!(
                f,
                "{} cannot be made {} here: let both ends have a codec in common",
                from.name(),
                to.name()
            ),
            Self::TranscodingFull { formats: (from, to) } => write!(
                f,
                "{} is not made {}, since as many calls are transcoded as may be: \
                 audio.max_transcoded_calls",
                from.name(),
                to.name()
            ),
            Self::Undecipherable => {
                f.write_str("packets come and none can be read: another key (SRTP), or no RTP")
            }
            Self::NoHandshake => f.write_str(
                "the handshake that brings the keys (DTLS) is not complete: the range of ports is \
                 blocked on the way, or the other side does not take part in it",
            ),
            Self::Stranger { from, expected } => write!(
                f,
                "packets come from {from}, and {} is where they should come from",
                place(expected)
            ),
            Self::OurPrivateAddress { ours } => write!(
                f,
                "our description names the private address {ours}: set the public address"
            ),
            Self::TheirPrivateAddress { theirs } => write!(
                f,
                "its description names the private address {theirs}, and no packet has come that \
                 would tell another: it is behind a NAT"
            ),
            Self::PortsBlocked { ours, sent } => write!(
                f,
                "it reports to have sent {sent} packets, and none has come to {}: the range of ports \
                 is blocked on the way",
                place(ours)
            ),
            Self::NoPacket { ours, others_heard: false } => write!(
                f,
                "no packet has come to {}: the range of ports is blocked on the way, or it sends \
                 nothing",
                place(ours)
            ),
            Self::NoPacket { ours, others_heard: true } => write!(
                f,
                "no packet has come to {}, though other calls are heard: it sends nothing, or \
                 elsewhere",
                place(ours)
            ),
            Self::NothingArrives { at } => write!(
                f,
                "it reports that nothing arrives of what is sent to {}: blocked on the way",
                place(at)
            ),
            Self::PortUnreachable { at } => write!(
                f,
                "packets to {} come back as undeliverable (ICMP): nobody listens there, or a \
                 firewall turns them away",
                place(at)
            ),
            Self::NowhereToSend => f.write_str("its description names no address to send to"),
            Self::CannotSend { at } => {
                write!(f, "this system cannot send to {}", place(at))
            }
            Self::NothingSaid => f.write_str("nothing comes from the other side of the call"),
            Self::Silence => f.write_str("its packets hold nothing but silence"),
        }
    }
}

impl Reason {
    /// The names of all.
    pub const NAMES: [&str; 16] = [
        "codec_mismatch",
        "not_translated",
        "undecipherable",
        "not_latched",
        "our_private_address",
        "their_private_address",
        "ports_blocked",
        "no_packet",
        "nothing_arrives",
        "port_unreachable",
        "nowhere_to_send",
        "cannot_send",
        "nothing_said",
        "silence",
        "transcoding_full",
        "no_handshake",
    ];

    const fn place(&self) -> usize {
        match self {
            Self::CodecMismatch { .. } => 0,
            Self::NotTranslated { .. } => 1,
            Self::Undecipherable => 2,
            Self::Stranger { .. } => 3,
            Self::OurPrivateAddress { .. } => 4,
            Self::TheirPrivateAddress { .. } => 5,
            Self::PortsBlocked { .. } => 6,
            Self::NoPacket { .. } => 7,
            Self::NothingArrives { .. } => 8,
            Self::PortUnreachable { .. } => 9,
            Self::NowhereToSend => 10,
            Self::CannotSend { .. } => 11,
            Self::NothingSaid => 12,
            Self::Silence => 13,
            Self::TranscodingFull { .. } => 14,
            Self::NoHandshake => 15,
        }
    }

    /// Its name, for records and figures.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        Self::NAMES[self.place()]
    }
}

/// Voice flows one way only, or not at all.
///
/// ```
/// use oneport_switch::sip::one_way::{OneWay, Reason, Unheard};
///
/// let found = OneWay { unheard: Unheard::Theirs, reason: Reason::Silence };
/// let sentence = "one-way audio: the SIP side is not heard: its packets hold nothing but silence";
/// assert_eq!(found.to_string(), sentence);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OneWay {
    /// Who is not heard.
    pub unheard: Unheard,
    /// Why, most likely.
    pub reason: Reason,
}

impl fmt::Display for OneWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = match self.unheard {
            Unheard::Theirs => "one-way audio: the SIP side is not heard",
            Unheard::Ours => "one-way audio: the SIP side does not hear",
            Unheard::Both => "no audio: neither side hears the other",
        };
        write!(f, "{who}: {}", self.reason)
    }
}

/// What is to be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Voice flows one way only, or for another reason than was told.
    OneWay(OneWay),
    /// Both are heard again.
    Mended,
}

/// What was known at a moment.
type Mark = (Instant, Evidence);

/// Watches one stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    /// Since when both sides should be heard.
    begun: Option<Instant>,
    /// What was known at the last two marks, the older first.
    marks: Option<[Mark; 2]>,
    told: Option<OneWay>,
    /// What was told until both are heard: a bit for each reason and side.
    names: [u16; 3],
}

impl Watch {
    /// Begins anew at `now`, as at an answer or behind new descriptions: what was told holds until both are
    /// heard.
    pub(crate) const fn begin(&mut self, now: Instant, evidence: &Evidence) {
        self.begun = Some(now);
        self.marks = Some([(now, *evidence); 2]);
    }

    /// What was told last, if it is not mended.
    #[must_use]
    pub(crate) const fn told(&self) -> Option<OneWay> {
        self.told
    }

    /// Looks at what is known at `now`; gives what is new.
    pub(crate) fn look(&mut self, now: Instant, evidence: &Evidence) -> Option<Verdict> {
        if !evidence.both_ways {
            (self.begun, self.marks) = (None, None);
            return None;
        }
        let (Some(begun), Some([(_, before), last])) = (self.begun, self.marks) else {
            self.begin(now, evidence);
            return None;
        };
        if now.since(last.0) >= MARK {
            self.marks = Some([last, (now, *evidence)]);
        }
        let found = judge((begun, now), &before, evidence);
        let Some(found) = found else {
            // A packet now and then is no voice.
            let flows = |paused: bool, now: u64, before: u64| paused || now - before >= A_STREAM;
            let mended = self.told.is_some()
                && flows(evidence.they_pause, evidence.received, before.received)
                && flows(evidence.we_pause, evidence.said, before.said);
            if !mended {
                return None;
            }
            (self.told, self.names) = (None, [0; 3]);
            return Some(Verdict::Mended);
        };
        let told = &mut self.names[match found.unheard {
            Unheard::Theirs => 0,
            Unheard::Ours => 1,
            Unheard::Both => 2,
        }];
        let bit = 1 << found.reason.place();
        if *told & bit != 0 {
            return None;
        }
        *told |= bit;
        self.told = Some(found);
        Some(Verdict::OneWay(found))
    }
}

/// What is wrong at `now` in a stretch that has `begun`, with what was known a while `before`.
fn judge(
    (begun, now): (Instant, Instant),
    before: &Evidence,
    evidence: &Evidence,
) -> Option<OneWay> {
    let grown = |of: fn(&Evidence) -> u64| of(evidence).saturating_sub(of(before));
    let since = |last: Option<Instant>| now.since(last.map_or(begun, |last| last.max(begun)));
    let quiet = |last: Option<Instant>, pauses: bool| !pauses && since(last) >= PATIENCE;
    let is_old = now.since(begun) >= PATIENCE;
    let comes_not = quiet(evidence.heard, evidence.they_pause)
        || is_old && grown(|one| one.untranslated.0) >= A_STREAM;
    let says_not = quiet(evidence.spoke, evidence.we_pause);
    let goes_not = why_nothing_goes(now, before, evidence).filter(|_| is_old);
    let found = |unheard, reason| Some(OneWay { unheard, reason });
    match (comes_not, says_not, goes_not) {
        (true, _, Some(reason)) => {
            // What hinders us says more than that nothing comes.
            let reason = match why_nothing_comes(before, evidence) {
                Reason::NoPacket { .. } => reason,
                other => other,
            };
            return found(Unheard::Both, reason);
        }
        (true, true, None) => return found(Unheard::Both, why_nothing_comes(before, evidence)),
        (true, false, None) => return found(Unheard::Theirs, why_nothing_comes(before, evidence)),
        (false, _, Some(reason)) => return found(Unheard::Ours, reason),
        (false, true, None) => return found(Unheard::Ours, Reason::NothingSaid),
        (false, false, None) => {}
    }
    if !is_old {
        return None;
    }
    // Where both are silent nobody speaks, and that is no fault.
    let flows = |measured: u64| measured >= A_STREAM;
    let audible = (grown(|one| one.audible_in) > 0, grown(|one| one.audible_out) > 0);
    let both = flows(grown(|one| one.measured.0)) && flows(grown(|one| one.measured.1));
    match audible {
        (false, true) if both && evidence.audible_in == 0 => {
            found(Unheard::Theirs, Reason::Silence)
        }
        (true, false) if both && evidence.audible_out == 0 => found(Unheard::Ours, Reason::Silence),
        _ => None,
    }
}

/// Nothing of theirs could be used.
fn why_nothing_comes(before: &Evidence, now: &Evidence) -> Reason {
    if now.unsecured {
        return Reason::NoHandshake;
    }
    if now.unknown_payloads > before.unknown_payloads {
        return Reason::CodecMismatch { payload_type: now.unknown_payload };
    }
    if now.untranslated.0 > before.untranslated.0
        && let Some(reason) = now.untranslated()
    {
        return reason;
    }
    if now.malformed > before.malformed {
        return Reason::Undecipherable;
    }
    if now.strangers > before.strangers
        && let Some(from) = now.stranger
    {
        return Reason::Stranger { from, expected: now.found.or(now.theirs) };
    }
    // Their reports come, so our address is no riddle to them.
    if now.heard.is_none()
        && let Some(sent) = now.they_sent.filter(|sent| u64::from(*sent) >= A_STREAM)
    {
        return Reason::PortsBlocked { ours: now.ours, sent };
    }
    let is_private = |at: Option<SocketAddr>| at.is_some_and(|at| !is_public(at.ip()));
    match (now.ours, now.theirs) {
        // Whoever is outside cannot send there.
        (Some(ours), Some(theirs)) if is_private(now.ours) && is_public(theirs.ip()) => {
            Reason::OurPrivateAddress { ours }
        }
        (Some(ours), Some(theirs))
            if is_private(now.theirs)
                && now.found.is_none()
                && (is_public(ours.ip()) || now.host.is_some_and(is_public)) =>
        {
            Reason::TheirPrivateAddress { theirs }
        }
        (ours, _) => Reason::NoPacket { ours, others_heard: now.others_heard },
    }
}

/// Why nothing of ours arrives, if that is so.
fn why_nothing_goes(at: Instant, before: &Evidence, now: &Evidence) -> Option<Reason> {
    let turned_away = now.turned_away(at);
    if now.said == before.said {
        return None;
    }
    if now.unsecured {
        return Some(Reason::NoHandshake);
    }
    let at = now.found.or(now.theirs);
    let Some(place) = at else { return Some(Reason::NowhereToSend) };
    if turned_away.is_some_and(|long| long >= TURNED_AWAY) {
        return Some(Reason::PortUnreachable { at });
    }
    let sent = now.sent.saturating_sub(before.sent);
    if now.untranslated.1.saturating_sub(before.untranslated.1) >= A_STREAM
        && sent == 0
        && let Some(reason) = now.untranslated()
    {
        return Some(reason);
    }
    if sent == 0 && now.unsent.saturating_sub(before.unsent) >= A_STREAM {
        return Some(Reason::CannotSend { at });
    }
    // One report in five seconds: the highest number of the one before is the same only where nothing
    // came between two.
    let deaf = now.reported == Some(0) && before.reported == Some(0);
    if deaf && sent >= A_STREAM {
        let private = !is_public(place.ip()) && now.ours.is_some_and(|ours| is_public(ours.ip()));
        return Some(match private {
            true => Reason::TheirPrivateAddress { theirs: place },
            false => Reason::NothingArrives { at },
        });
    }
    None
}

/// Whether an address can be reached from anywhere.
#[must_use]
pub const fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            // 100.64/10 is that of carriers' own NAT (RFC 6598).
            let shared = first == 100 && second & 0xC0 == 64;
            !(address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_unspecified()
                || shared)
        }
        IpAddr::V6(address) => {
            !(address.is_loopback()
                || address.is_unspecified()
                || address.is_unique_local()
                || address.is_unicast_link_local())
        }
    }
}

#[cfg(test)]
mod tests;
