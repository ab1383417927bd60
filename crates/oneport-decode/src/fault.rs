//! What goes wrong, in words, and what to do about it.

use std::fmt;

/// How bad it is.
///
/// ```
/// use oneport_decode::{FaultKind, Weight};
///
/// // A frame that was sent again is nothing that anybody hears.
/// assert_eq!(FaultKind::Repeated.weight(), Weight::Notice);
/// assert_eq!(FaultKind::Unanswered.weight(), Weight::Problem);
/// assert!(Weight::Problem > Weight::Notice);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Weight {
    /// Worth knowing.
    Notice,
    /// Somebody hears it, or a call failed.
    Problem,
}

macro_rules! kinds {
    ($($(#[$meta:meta])* $kind:ident, $weight:ident, $name:literal, $sentence:literal, $hint:literal;)*) => {
        /// A kind of fault.
        ///
        /// ```
        /// use oneport_decode::FaultKind;
        ///
        /// let kind = FaultKind::Unanswered;
        /// assert_eq!((kind.name(), kind.sentence()), ("unanswered", "nobody answers at that address"));
        /// assert!(kind.hint().starts_with("check the address and port"));
        /// assert!(FaultKind::ALL.contains(&kind));
        /// ```
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[non_exhaustive]
        pub enum FaultKind { $($(#[$meta])* $kind,)* }

        impl FaultKind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// How bad it is.
            #[must_use]
            pub const fn weight(self) -> Weight {
                match self { $(Self::$kind => Weight::$weight,)* }
            }

            /// Its name, for programs: it stays as it is.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            /// What it is.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$kind => $sentence,)* }
            }

            /// Where it comes from, as a rule, and what helps.
            #[must_use]
            pub const fn hint(self) -> &'static str {
                match self { $(Self::$kind => $hint,)* }
            }
        }
    };
}

kinds! {
    /// Bytes that are no frame.
    Malformed, Problem, "malformed",
        "a frame that cannot be read",
        "if other programs use this port, leave it out; else the sender is at fault, and its version is worth a look";
    /// An element of the wrong size.
    MalformedElement, Problem, "malformed_element",
        "an information element has the wrong size, and readers pass over it",
        "the sender is at fault; its version is worth a look";
    /// Not all of it was captured.
    Cut, Notice, "cut",
        "not all of the datagram was captured",
        "capture with whole packets (tcpdump -s 0), else voice and elements are missing";
    /// The capture has it twice.
    Copied, Notice, "copied",
        "the same datagram is in the capture twice",
        "it was taken at two interfaces at once, such as `any`; name one interface, and figures are right";
    /// A full frame was sent again.
    Repeated, Notice, "repeated",
        "a frame was sent again since nobody acknowledged it in time",
        "a few are loss on the way; many, or of one call alone, mean that the other side does not get them or its answers do not come back: look at firewalls, NAT and load";
    /// A full frame is missing.
    Gap, Problem, "gap",
        "the number of a frame says that others before it are missing",
        "they were lost before the place of the capture, or the capture lost them itself (tcpdump says how many it dropped)";
    /// A full frame came behind one that was sent after it.
    OutOfOrder, Notice, "out_of_order",
        "a frame came behind others that were sent after it",
        "the network has several ways, or a queue that puts packets out of order";
    /// A VNAK.
    Vnak, Notice, "vnak",
        "the other side asks for frames that it misses",
        "frames were lost on their way to it; or voice came before a full frame of voice had told its codec";
    /// An INVAL.
    Inval, Problem, "inval",
        "the other side does not know this call",
        "it was started anew, has given the call up, or a NAT gave the sender another port so that it looks like a stranger";
    /// An UNSUPPORT.
    Unsupported, Notice, "unsupported",
        "the other side does not know this message",
        "harmless as a rule: the sender must do without";
    /// Full frames nobody acknowledged.
    Unacknowledged, Problem, "unacknowledged",
        "nobody has acknowledged a frame",
        "the other side is gone, or its answers take another way: look at firewalls and NAT, and whether the capture has both directions";
    /// A request without an answer.
    Unanswered, Problem, "unanswered",
        "nobody answers at that address",
        "check the address and port, that the other side runs, and that firewalls let UDP 4569 pass both ways";
    /// A call token was asked for, and the caller has none.
    NoToken, Problem, "no_call_token",
        "the other side wants a call token, and the caller does not come again with one",
        "the caller is too old for call tokens: allow it alone without (`require_call_token = false` for that peer; in Asterisk requirecalltoken=no or auto), or renew it";
    /// A call token was not taken.
    TokenRefused, Problem, "call_token_refused",
        "a call token was not taken, and another is asked for",
        "its sender's address changed on the way, as behind a NAT with several addresses, the token grew too old, or the other side was started anew between";
    /// The proof was not taken.
    ProofRefused, Problem, "proof_refused",
        "whoever calls or registers could not prove who it is",
        "name or secret are wrong, or the other side does not have this name; the secret must be the same at both ends";
    /// A call was refused.
    Rejected, Problem, "rejected",
        "the call was refused",
        "the cause says why; the log of the side that refused says more";
    /// No such number.
    NoSuchNumber, Problem, "no_such_number",
        "the side that is called has no such number in the context of this caller",
        "check the number, and the context or routes of this peer there";
    /// No codec in common.
    NoCodec, Problem, "no_common_codec",
        "both sides have no codec in common",
        "allow one at both ends, such as ulaw";
    /// No place is free.
    Congested, Problem, "congested",
        "there is no free line, or a limit is reached",
        "look at the limits of the peer or carrier, and how many calls it has at this time";
    /// The called party is busy.
    Busy, Notice, "busy",
        "the called party is busy",
        "nothing is wrong with the link";
    /// A call ended otherwise than by hanging up.
    Abnormal, Problem, "abnormal_end",
        "the call did not end by somebody hanging up",
        "the cause says why; the log of the side that ended it says more";
    /// A registration was refused.
    RegistrationRefused, Problem, "registration_refused",
        "the registration was refused",
        "name or secret are wrong, or the other side has no peer of this name that may register (host=dynamic in Asterisk)";
    /// A full frame to another call number than the one of this call.
    WrongNumber, Problem, "wrong_call_number",
        "a frame is for another call number than the other side has",
        "one side was started anew or mixes up calls; a NAT that gives two phones the same port does it, too";
    /// Voice of a call that nobody knows.
    UnknownCall, Problem, "unknown_call",
        "voice of a call of which the capture has no beginning",
        "the capture began later than the call (then all is well), or the sender goes on behind the end of a call";
    /// A trunk entry for a call that nobody knows.
    UnknownTrunkEntry, Problem, "unknown_trunk_entry",
        "an entry of a trunk frame is for a call of which the capture has no beginning",
        "the capture began later than the call (then all is well); if the call is over, an Asterisk that gets this frame misreads what stands behind the entry";
    /// A trunk frame whose lengths do not fit.
    TrunkRemainder, Problem, "trunk_remainder",
        "an entry of a trunk frame says that it is longer than what is left",
        "the sender is at fault, or sends timestamps where it says it does not: `trunktimestamps` must be what the frame says";
    /// Voice before its codec is known.
    NoFormat, Notice, "no_codec_yet",
        "voice whose codec no full frame has told yet",
        "the full frame was lost, or sent before the capture began; the receiver cannot play it either until one comes";
    /// A full frame of voice without a codec.
    NoFormatNamed, Problem, "voice_of_no_codec",
        "a full frame of voice names no codec",
        "the receiver cannot play what follows: the sender is at fault, or carries data in a call";
    /// Voice behind the end of the call.
    BehindEnd, Notice, "behind_the_end",
        "voice of a call that is over",
        "the sender has not heard of the end: look whether the HANGUP was acknowledged";
    /// A codec that was not offered.
    FormatNotOffered, Problem, "codec_not_offered",
        "the codec that was chosen is not among those the caller has",
        "the side that is called is at fault; allow the codec at the caller, or leave it out there";
    /// Voice in another codec than agreed upon.
    OtherFormat, Notice, "other_codec",
        "voice is in another codec than the one agreed upon",
        "allowed, but some receivers drop it: allow one codec only for this peer";
    /// The sender's clock went back.
    ClockBack, Notice, "clock_went_back",
        "the sender's clock went back",
        "a jitter buffer may play nothing for a while: the sender began its clock anew in the middle of a call";
    /// Only one side is heard.
    OneWay, Problem, "one_way",
        "one side of the call sends no voice",
        "it is silent (music on hold, no microphone), or its voice does not come here: look at NAT, at the firewall before it, and whether the capture has both directions";
    /// Much is lost.
    Loss, Problem, "loss",
        "voice is lost before the place of the capture",
        "look at the link between that side and here; short bursts are full queues, steady loss is a bad line";
    /// Frames come unevenly.
    Uneven, Notice, "uneven",
        "voice comes so unevenly that small jitter buffers will drop some",
        "a queue on the way (somebody uploads), a busy sender, or radio; larger jitter buffers hide it";
    /// Encrypted, and no secret fits.
    NotDecrypted, Notice, "not_decrypted",
        "the call is encrypted, and no secret that was given reads it",
        "give the secret of the peer (--secret-file); the capture must have the AUTHREQ of the call";
    /// A password in the clear.
    PasswordInClear, Notice, "password_in_clear",
        "a password goes over the wire in the clear",
        "use md5 or rsa (`auth`), and change the password: whoever could capture this has it";
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

/// Something that went wrong at a frame.
///
/// ```
/// use oneport_decode::{FaultKind, Tracker};
/// # use oneport_decode::{Time, UdpDatagram};
///
/// # let mut datagram = UdpDatagram {
/// #     number: 17, time: Time(0), source: "192.0.2.1:4569".parse()?, destination: "192.0.2.2:4569".parse()?,
/// #     payload: &[], missing: 0,
/// # };
/// let mut tracker = Tracker::default();
/// datagram.payload = &[0x80, 1, 2];
/// let seen = tracker.see(&datagram, &mut ());
/// let [fault] = seen.faults else { panic!("{seen:?}") };
/// assert_eq!((fault.kind, fault.packet), (FaultKind::Malformed, 17));
/// assert!(fault.to_string().starts_with("a frame that cannot be read: "));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// The packet at which it was noticed.
    pub packet: u64,
    /// The call, registration or poll, by its number in the capture.
    pub exchange: Option<u64>,
    /// What is particular to it; may be empty.
    pub detail: String,
}

/// What it is, and what is particular.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.sentence())?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, ": {}", self.detail) }
    }
}

/// All faults of one kind of a call.
///
/// ```
/// use oneport_decode::FaultKind;
///
/// # mod capture { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/capture.rs")); } use capture::*;
/// let stories = stories()?;
/// let refused = stories.last().and_then(|story| story.faults.first()).ok_or("something is wrong")?;
/// assert_eq!((refused.first.kind, refused.count), (FaultKind::NoSuchNumber, 1));
/// println!("{}; {}", refused.first, refused.first.kind.hint());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FoldedFault {
    /// The first of them.
    pub first: Fault,
    /// How many they are.
    pub count: u64,
}

/// The faults of a call, or of none, folded by kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(Vec<FoldedFault>);

/// Of each kind so many are told of one by one; the others are counted.
const TOLD: u64 = 8;

impl Faults {
    /// Takes one; `true`: it is told of.
    pub(crate) fn take(&mut self, fault: &Fault) -> bool {
        match self.0.iter_mut().find(|known| known.first.kind == fault.kind) {
            Some(known) => {
                known.count += 1;
                known.count <= TOLD
            }
            None => {
                self.0.push(FoldedFault { first: fault.clone(), count: 1 });
                true
            }
        }
    }

    /// How many there were of a kind.
    pub(crate) fn count(&self, kind: FaultKind) -> u64 {
        self.0.iter().find(|known| known.first.kind == kind).map_or(0, |known| known.count)
    }

    /// The worst first.
    pub(crate) fn into_sorted(self) -> Vec<FoldedFault> {
        let mut faults = self.0;
        faults.sort_by_key(|fault| {
            (std::cmp::Reverse(fault.first.kind.weight()), fault.first.packet)
        });
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_name_of_its_own_and_words() {
        let mut names: Vec<&str> = FaultKind::ALL.iter().map(|kind| kind.name()).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
        for kind in FaultKind::ALL {
            assert!(!kind.sentence().ends_with('.') && !kind.hint().ends_with('.'), "{kind:?}");
        }
    }

    #[test]
    fn a_flood_of_one_kind_is_told_a_few_times_and_counted() {
        let mut faults = Faults::default();
        let fault = |kind| Fault { kind, packet: 1, exchange: None, detail: String::new() };
        let told = (0..100).filter(|_| faults.take(&fault(FaultKind::Repeated))).count();
        assert_eq!(told, 8);
        assert!(faults.take(&fault(FaultKind::Inval)));
        let sorted = faults.into_sorted();
        assert_eq!((sorted[0].first.kind, sorted[1].count), (FaultKind::Inval, 100));
    }
}
