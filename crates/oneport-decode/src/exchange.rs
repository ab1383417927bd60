//! A call, a registration or a poll: what its messages mean, and what of that is wrong.

use std::net::SocketAddr;
use std::time::Duration;

use oneport_proto::{Overhearer, RemoteReport, Secret};
use oneport_wire::{
    AuthMethods, CauseCode, Control, Element, Elements, EncryptionMethods, Format, FormatSet,
    FullFrame, IaxSubclass, Message, MiniFrame, Seq, Timestamp,
};

use crate::fault::{Fault, FaultKind, Faults};
use crate::side::{Order, Side};
use crate::story::{Kind, Outcome, Story};
use crate::time::Time;
use crate::tracker::Sealed;

/// Loss from which it is a problem, per cent, of so many frames at least.
const LOSS: f64 = 1.0;
const ENOUGH: u64 = 50;

/// How late a frame of a hundred may come before it is worth knowing: what a usual jitter buffer holds.
const UNEVEN: Duration = Duration::from_millis(60);

/// How long an answered call is silent on one side before it is one-way.
const SILENT: Duration = Duration::from_secs(3);

/// Frames so near to the end of a capture may be acknowledged behind it.
const JUST_NOW: Duration = Duration::from_secs(2);

/// What is read with a wrong key says any time; a clock of a call that began here is nearer than this.
const CLOCKS_APART: Duration = Duration::from_secs(60);

/// Texts that are kept are no longer.
const LONGEST: usize = 255;

/// What a fault is made of where it is noticed.
pub(crate) struct Noticed<'a> {
    pub(crate) packet: u64,
    pub(crate) told: &'a mut Vec<Fault>,
}

/// One of them, as long as it goes on.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) number: u64,
    pub(crate) kind: Kind,
    /// Who began it, then the other.
    pub(crate) sides: [Side; 2],
    pub(crate) begun_before: bool,
    first_packet: u64,
    /// Timestamp of the first request: another with the same number is a new one.
    pub(crate) first_stamp: u32,
    called: Option<String>,
    context: Option<String>,
    calling: Option<String>,
    calling_name: Option<String>,
    username: Option<String>,
    proof: Option<&'static str>,
    /// A call token was sent, and one was asked for.
    token: bool,
    token_asked: bool,
    capability: Option<FormatSet>,
    /// Half of its key, where it is encrypted.
    challenge: Vec<u8>,
    pub(crate) sealed: Sealed,
    format: Option<Format>,
    began: Time,
    accepted: Option<Time>,
    ringing: Option<Time>,
    answered: Option<Time>,
    pub(crate) ended: Option<Time>,
    pub(crate) last: Time,
    outcome: Option<Outcome>,
    ended_by: Option<usize>,
    cause: Option<CauseCode>,
    cause_text: Option<String>,
    refresh: Option<u16>,
    pub(crate) faults: Faults,
}

impl Exchange {
    pub(crate) fn new(
        number: u64,
        kind: Kind,
        time: Time,
        packet: u64,
        (from, to): (SocketAddr, SocketAddr),
        begun_before: bool,
    ) -> Self {
        Self {
            number,
            kind,
            sides: [Side::new(from, None), Side::new(to, None)],
            begun_before,
            first_packet: packet,
            first_stamp: 0,
            called: None,
            context: None,
            calling: None,
            calling_name: None,
            username: None,
            proof: None,
            token: false,
            token_asked: false,
            capability: None,
            challenge: Vec::new(),
            sealed: Sealed::Not,
            format: None,
            began: time,
            accepted: None,
            ringing: None,
            answered: None,
            ended: None,
            last: time,
            outcome: None,
            ended_by: None,
            cause: None,
            cause_text: None,
            refresh: None,
            faults: Faults::default(),
        }
    }

    /// Notes a fault. The words of its detail are made where it is told of.
    pub(crate) fn fault(
        &mut self,
        noticed: &mut Noticed<'_>,
        kind: FaultKind,
        detail: impl FnOnce() -> String,
    ) {
        let mut fault = Fault {
            kind,
            packet: noticed.packet,
            exchange: Some(self.number),
            detail: String::new(),
        };
        if self.faults.count(kind) == 0 {
            fault.detail = detail();
            self.faults.take(&fault);
            noticed.told.push(fault);
        } else if self.faults.take(&fault) {
            fault.detail = detail();
            noticed.told.push(fault);
        }
    }

    /// Takes a full frame that `side` has sent.
    pub(crate) fn take(
        &mut self,
        side: usize,
        time: Time,
        frame: &FullFrame<'_>,
        secrets: &[Secret],
        noticed: &mut Noticed<'_>,
    ) {
        let message = match frame.message() {
            Ok(message) => message,
            Err(error) => {
                self.fault(noticed, FaultKind::Malformed, || error.to_string());
                return;
            }
        };
        let is_inval = matches!(message, Message::Iax { subclass: IaxSubclass::Inval, .. });
        let is_request = self.is_first_request(side, &message);
        if is_request && frame.header.timestamp.0 != self.first_stamp {
            // It comes again with a call token, and numbers begin anew.
            self.sides.iter_mut().for_each(Side::begin_anew);
        }
        // What the number 1 answers is without a call behind it, and so without an order.
        let stateless = frame.header.source == oneport_wire::CallNumber::STATELESS;
        let mut is_new = true;
        if message.takes_sequence_number() && !stateless {
            let [one, other] = &mut self.sides;
            let sender = if side == 0 { one } else { other };
            let order = sender.order(time, noticed.packet, frame);
            is_new = matches!(order, Order::Next | Order::Gap(_) | Order::Late)
                || matches!(order, Order::Again { first: None, .. });
            self.tell_order(order, &message, noticed);
            if is_new && self.side_mut(side).tick(frame.header.timestamp) {
                self.fault(noticed, FaultKind::ClockBack, String::new);
            }
        }
        if !is_inval && !stateless {
            self.acknowledge(side, time, noticed.packet, frame.header.iseq);
        } else if stateless {
            self.acknowledge(side, time, noticed.packet, Seq(1));
        }
        if is_new {
            self.understand(side, time, frame, &message, secrets, noticed);
        }
    }

    fn side_mut(&mut self, side: usize) -> &mut Side {
        let [one, other] = &mut self.sides;
        if side == 0 { one } else { other }
    }

    /// Whether this is the frame with which the exchange begins.
    fn is_first_request(&self, side: usize, message: &Message<'_>) -> bool {
        side == 0
            && self.accepted.is_none()
            && self.token_asked
            && matches!(
                message,
                Message::Iax {
                    subclass: IaxSubclass::New
                        | IaxSubclass::RegReq
                        | IaxSubclass::RegRel
                        | IaxSubclass::FwDownl,
                    elements
                } if elements.iter().any(|element| matches!(element, Element::CallToken(token) if !token.is_empty()))
            )
            && !self.token
    }

    fn acknowledge(&mut self, side: usize, time: Time, packet: u64, iseq: Seq) {
        let [one, other] = &mut self.sides;
        let (answerer, asker) = if side == 0 { (one, other) } else { (other, one) };
        if let Some(took) = asker.acknowledged(time, packet, iseq) {
            answerer.answered_within(took);
        }
    }

    fn tell_order(&mut self, order: Order, message: &Message<'_>, noticed: &mut Noticed<'_>) {
        let name = message.gist();
        match order {
            Order::Next => {}
            Order::Gap(missing) => self.fault(noticed, FaultKind::Gap, || match missing {
                1 => format!("one frame before {name} is missing"),
                missing => format!("{missing} frames before {name} are missing"),
            }),
            Order::Late => self.fault(noticed, FaultKind::OutOfOrder, || name.to_string()),
            Order::Old => self.fault(noticed, FaultKind::Repeated, || {
                format!("{name}, which passed here long before")
            }),
            Order::Copy => self.fault(noticed, FaultKind::Copied, || name.to_string()),
            Order::Again { first: None, .. } => self.fault(noticed, FaultKind::Repeated, || {
                format!(
                    "{name}, whose first copy is not in the capture: it was lost before this place"
                )
            }),
            Order::Again { first: Some(first), acknowledged: None } => {
                self.fault(noticed, FaultKind::Repeated, || {
                    format!(
                        "{name}, which passed here in packet {first}: it, or its answer, was lost behind this place"
                    )
                });
            }
            Order::Again { first: Some(first), acknowledged: Some(by) } => {
                self.fault(noticed, FaultKind::Repeated, || {
                    format!(
                        "{name} of packet {first}, though packet {by} acknowledges it: that did not get back in time"
                    )
                });
            }
        }
    }

    fn understand(
        &mut self,
        side: usize,
        time: Time,
        frame: &FullFrame<'_>,
        message: &Message<'_>,
        secrets: &[Secret],
        noticed: &mut Noticed<'_>,
    ) {
        match message {
            Message::Iax { subclass, elements } => {
                self.read_elements(*elements, noticed);
                self.understand_iax(side, time, *subclass, *elements, secrets, noticed);
            }
            Message::Control { control, .. } => match control {
                Control::Ringing => {
                    self.ringing.get_or_insert(time);
                }
                Control::Answer => {
                    self.answered.get_or_insert(time);
                }
                Control::Busy => self.fault(noticed, FaultKind::Busy, String::new),
                Control::Congestion => self.fault(noticed, FaultKind::Congested, String::new),
                _ => {}
            },
            Message::DtmfEnd(digit) => self.side_mut(side).press(*digit),
            Message::Cng { .. } => self.side_mut(side).pause(),
            Message::Voice { subclass, payload } => match subclass.format() {
                Some(format) => self.voice(side, time, format, payload.len(), frame, noticed),
                None => self.fault(noticed, FaultKind::NoFormatNamed, || {
                    format!("its subclass is {:#04x}", subclass.0)
                }),
            },
            _ => {}
        }
    }

    fn voice(
        &mut self,
        side: usize,
        time: Time,
        format: Format,
        bytes: usize,
        frame: &FullFrame<'_>,
        noticed: &mut Noticed<'_>,
    ) {
        if let Some(agreed) = self.format
            && agreed != format
            && self.side_mut(side).format != Some(format)
        {
            self.fault(noticed, FaultKind::OtherFormat, || {
                format!("{format}, while {agreed} was accepted")
            });
        }
        let is_sealed = self.sealed == Sealed::Opened;
        let sender = self.side_mut(side);
        sender.format = Some(format);
        // What its mini frames will have; encrypted ones are padded to whole blocks and one more.
        sender.mini_length = Some(match is_sealed {
            true => 2 + (bytes + 2).next_multiple_of(16) + 16,
            false => MiniFrame::HEADER_LEN + bytes,
        });
        sender.speak(time, frame.header.timestamp, format, bytes);
    }

    /// What any frame may tell.
    fn read_elements(&mut self, elements: Elements<'_>, noticed: &mut Noticed<'_>) {
        let keep = |place: &mut Option<String>, text: oneport_wire::Str<'_>| {
            if place.is_none() && !text.as_bytes().is_empty() {
                *place = Some(text.to_string().chars().take(LONGEST).collect());
            }
        };
        for element in elements.iter() {
            match element {
                Element::CalledNumber(text) => keep(&mut self.called, text),
                Element::CalledContext(text) => keep(&mut self.context, text),
                Element::CallingNumber(text) => keep(&mut self.calling, text),
                Element::CallingName(text) => keep(&mut self.calling_name, text),
                Element::Username(text) => keep(&mut self.username, text),
                Element::Malformed { id, data } => {
                    self.fault(noticed, FaultKind::MalformedElement, || {
                        format!("element {id} has {} bytes", data.len())
                    });
                }
                Element::Password(_) => {
                    self.proof.get_or_insert("plaintext");
                    self.fault(noticed, FaultKind::PasswordInClear, String::new);
                }
                Element::Md5Result(_) => {
                    self.proof.get_or_insert("md5");
                }
                Element::RsaResult(_) => {
                    self.proof.get_or_insert("rsa");
                }
                _ => {}
            }
        }
    }

    fn understand_iax(
        &mut self,
        side: usize,
        time: Time,
        subclass: IaxSubclass,
        elements: Elements<'_>,
        secrets: &[Secret],
        noticed: &mut Noticed<'_>,
    ) {
        use IaxSubclass as Iax;
        match subclass {
            Iax::New | Iax::RegReq | Iax::RegRel | Iax::FwDownl => {
                self.token |= elements.iter().any(
                    |element| matches!(element, Element::CallToken(token) if !token.is_empty()),
                );
                self.capability = formats(elements, true).or(self.capability);
            }
            Iax::CallToken => {
                if self.token {
                    self.fault(noticed, FaultKind::TokenRefused, String::new);
                }
                self.token_asked = true;
            }
            Iax::AuthReq => self.begin_sealing(elements, secrets),
            Iax::RtKey => {
                let key = elements.iter().find_map(|element| match element {
                    Element::Challenge(key) => <&[u8; 16]>::try_from(key).ok(),
                    _ => None,
                });
                if let (Some(key), Some(keys)) = (key, &mut self.side_mut(side).keys) {
                    keys.change_key(key);
                }
            }
            Iax::Accept => {
                self.accepted.get_or_insert(time);
                let chosen = formats(elements, false);
                if let (Some(chosen), Some(offered)) = (chosen, self.capability)
                    && offered != FormatSet::EMPTY
                    && chosen.0 & offered.0 == 0
                {
                    self.fault(noticed, FaultKind::FormatNotOffered, || {
                        format!("{chosen} of {offered}")
                    });
                }
                self.format = chosen.and_then(|chosen| chosen.iter().next()).or(self.format);
            }
            Iax::RegAck => {
                self.refresh = elements.iter().find_map(|element| match element {
                    Element::Refresh(seconds) => Some(seconds),
                    _ => None,
                });
                self.end(side, time, Outcome::Registered);
            }
            Iax::RegRej => {
                self.read_cause(elements);
                self.end(side, time, Outcome::Refused);
                let kind = match self.proof {
                    Some(_) => FaultKind::ProofRefused,
                    None if self.token => FaultKind::TokenRefused,
                    None => FaultKind::RegistrationRefused,
                };
                self.tell_cause(noticed, kind);
            }
            Iax::Reject => {
                self.read_cause(elements);
                self.end(side, time, Outcome::Rejected);
                let kind = match self.cause {
                    // A stateless REJECT has no elements.
                    None if self.token && self.proof.is_none() && self.accepted.is_none() => {
                        FaultKind::TokenRefused
                    }
                    Some(CauseCode::FACILITY_NOT_SUBSCRIBED) if self.proof.is_some() => {
                        FaultKind::ProofRefused
                    }
                    cause => of_cause(cause).unwrap_or(FaultKind::Rejected),
                };
                self.tell_cause(noticed, kind);
            }
            Iax::Hangup => {
                self.read_cause(elements);
                let outcome = match self.answered {
                    Some(_) => Outcome::Completed,
                    None if self.begun_before => Outcome::Unknown,
                    None => Outcome::GivenUp,
                };
                self.end(side, time, outcome);
                match self.cause {
                    None
                    | Some(
                        CauseCode::NONE
                        | CauseCode::NORMAL_CLEARING
                        | CauseCode::NORMAL_UNSPECIFIED
                        | CauseCode::ANSWERED_ELSEWHERE
                        | CauseCode::NO_ANSWER
                        | CauseCode::NO_USER_RESPONSE,
                    ) => {}
                    cause => {
                        self.tell_cause(noticed, of_cause(cause).unwrap_or(FaultKind::Abnormal));
                    }
                }
            }
            Iax::Inval => {
                self.fault(noticed, FaultKind::Inval, String::new);
                self.end(side, time, Outcome::Invalid);
            }
            Iax::Pong => {
                if let Some(report) = RemoteReport::read(elements) {
                    self.side_mut(side).report = Some(report);
                }
                if self.kind == Kind::Poll {
                    self.end(side, time, Outcome::Answered);
                }
            }
            Iax::Vnak => self.fault(noticed, FaultKind::Vnak, String::new),
            Iax::Unsupport => {
                let what = elements.iter().find_map(|element| match element {
                    Element::IaxUnknown(what) => Some(IaxSubclass::from_subclass(what)),
                    _ => None,
                });
                self.fault(noticed, FaultKind::Unsupported, || {
                    what.map_or_else(String::new, |what| what.to_string())
                });
            }
            _ => {}
        }
    }

    /// From an AUTHREQ that offers encryption on, frames are encrypted with a key that the secret yields.
    fn begin_sealing(&mut self, elements: Elements<'_>, secrets: &[Secret]) {
        let mut challenge = None;
        let mut methods = EncryptionMethods::default();
        let mut proofs = AuthMethods::default();
        for element in elements.iter() {
            match element {
                Element::Challenge(said) => challenge = Some(said),
                Element::Encryption(said) => methods = said,
                Element::AuthMethods(said) => proofs = said,
                _ => {}
            }
        }
        let (Some(challenge), true) = (challenge, methods.contains(EncryptionMethods::AES128))
        else {
            return;
        };
        if proofs == AuthMethods::PLAINTEXT {
            return;
        }
        self.sealed = Sealed::Closed;
        self.challenge = challenge.into();
        for side in 0..2 {
            self.begin_reading(side, secrets);
        }
    }

    /// The keys of a side are those that the secrets yield.
    pub(crate) fn begin_reading(&mut self, side: usize, secrets: &[Secret]) {
        let keys =
            (!secrets.is_empty()).then(|| Box::new(Overhearer::new(secrets, &self.challenge)));
        self.side_mut(side).keys = keys;
    }

    /// Whether a clock of this call can stand there: it began with the call.
    pub(crate) fn can_be(&self, time: Time, stamp: Timestamp) -> bool {
        let since = time.since(self.began) + CLOCKS_APART;
        u128::from(stamp.0) <= since.as_millis()
    }

    fn read_cause(&mut self, elements: Elements<'_>) {
        for element in elements.iter() {
            match element {
                Element::CauseCode(cause) => self.cause = Some(cause),
                Element::Cause(text) => {
                    self.cause_text = Some(text.to_string().chars().take(LONGEST).collect());
                }
                _ => {}
            }
        }
    }

    fn tell_cause(&mut self, noticed: &mut Noticed<'_>, kind: FaultKind) {
        let (cause, text) = (self.cause, self.cause_text.clone());
        self.fault(noticed, kind, || match (cause, text) {
            (Some(cause), Some(text)) => format!("{cause}, \"{text}\""),
            (Some(cause), None) => cause.to_string(),
            (None, Some(text)) => format!("\"{text}\""),
            (None, None) => "no cause was said".into(),
        });
    }

    fn end(&mut self, side: usize, time: Time, outcome: Outcome) {
        if self.ended.is_none() {
            (self.ended, self.outcome, self.ended_by) = (Some(time), Some(outcome), Some(side));
        }
    }

    /// It is over, or nothing is to be seen of it any more: what is to be said at its end. `end` is that of the capture,
    /// where that is why.
    pub(crate) fn finish(mut self, end: Option<Time>, told: &mut Vec<Fault>) -> Story {
        let frames = self.sides.iter().map(|side| side.frames).sum();
        let [caller, callee] = &self.sides;
        let answered_at_all = callee.frames > 0 || self.begun_before;
        let outcome = self.outcome.unwrap_or_else(|| match (self.kind, self.answered) {
            _ if !answered_at_all => Outcome::Unanswered,
            (Kind::Call, Some(_)) => Outcome::Up,
            (Kind::Call, None) if self.accepted.is_some() || end.is_some() => Outcome::Up,
            _ => Outcome::Unknown,
        });
        let mut last_words: Vec<(u64, FaultKind, String)> = Vec::new();
        let recent = |sent: Time| end.is_some_and(|end| end.since(sent) < JUST_NOW);
        if outcome == Outcome::Unanswered && !recent(self.last) {
            let asked = caller.frames;
            let detail = format!("{asked} frames to {} and none back", callee.address);
            last_words.push((self.first_packet, FaultKind::Unanswered, detail));
        } else if self.token_asked && !self.token && !recent(self.last) {
            last_words.push((self.first_packet, FaultKind::NoToken, String::new()));
        } else if self.sealed != Sealed::Closed {
            // What nobody reads may acknowledge anything.
            for side in &self.sides {
                let missing: Vec<_> =
                    side.unacknowledged().filter(|sent| !recent(sent.time)).collect();
                let Some(first) = missing.first() else { continue };
                let names: Vec<String> = missing.iter().take(4).map(|sent| sent.name()).collect();
                let detail = format!("{} from {}", names.join(", "), side.address);
                last_words.push((first.packet, FaultKind::Unacknowledged, detail));
            }
        }
        let stories = [caller.story(), callee.story()];
        for (side, story) in self.sides.iter().zip(&stories) {
            let (lost, frames) = (story.voice.lost, story.voice.frames);
            let percent = lost as f64 * 100.0 / (lost + frames).max(1) as f64;
            if percent > LOSS && frames + lost >= ENOUGH {
                let detail = format!("{percent:.1} % of what {} sends", side.address);
                last_words.push((self.first_packet, FaultKind::Loss, detail));
            }
            let late = story.voice.delay.p99;
            if late > UNEVEN && frames >= ENOUGH {
                let millis = late.as_millis();
                let detail =
                    format!("a frame of a hundred from {} is {millis} ms late", side.address);
                last_words.push((self.first_packet, FaultKind::Uneven, detail));
            }
        }
        let spoke = stories.each_ref().map(|story| story.voice.frames + story.sealed > 0);
        let talked = self.answered.map(|answered| self.ended.unwrap_or(self.last).since(answered));
        if talked.is_some_and(|talked| talked > SILENT)
            && let [true, false] | [false, true] = spoke
        {
            let silent = if spoke == [true, false] { callee.address } else { caller.address };
            last_words.push((
                self.first_packet,
                FaultKind::OneWay,
                format!("nothing from {silent}"),
            ));
        }
        for (packet, kind, detail) in last_words {
            self.fault(&mut Noticed { packet, told }, kind, || detail);
        }
        Story {
            number: self.number,
            kind: self.kind,
            sides: stories,
            begun_before: self.begun_before,
            called: self.called,
            context: self.context,
            calling: self.calling,
            calling_name: self.calling_name,
            username: self.username,
            proof: self.proof,
            token: self.token,
            sealed: self.sealed,
            format: self.format,
            began: self.began,
            accepted: self.accepted,
            ringing: self.ringing,
            answered: self.answered,
            ended: self.ended,
            last: self.last,
            outcome,
            ended_by: self.ended_by,
            cause: self.cause,
            cause_text: self.cause_text,
            refresh: self.refresh,
            frames,
            faults: self.faults.into_sorted(),
        }
    }
}

/// The formats that a NEW offers, or an ACCEPT chooses; those of 64 bits count before those of 32.
fn formats(elements: Elements<'_>, offered: bool) -> Option<FormatSet> {
    let (mut narrow, mut wide) = (None, None);
    for element in elements.iter() {
        match element {
            Element::Capability(formats) if offered => narrow = Some(formats),
            Element::Capability2(formats) if offered => wide = Some(formats),
            Element::Format(formats) if !offered => narrow = Some(formats),
            Element::Format2(formats) if !offered => wide = Some(formats),
            _ => {}
        }
    }
    wide.or(narrow)
}

/// What a cause means, where that is more than that it is over.
fn of_cause(cause: Option<CauseCode>) -> Option<FaultKind> {
    Some(match cause? {
        CauseCode::UNALLOCATED | CauseCode::NO_ROUTE | CauseCode::INVALID_NUMBER => {
            FaultKind::NoSuchNumber
        }
        CauseCode::BEARER_NOT_AVAILABLE | CauseCode::BEARER_NOT_AUTHORISED => FaultKind::NoCodec,
        CauseCode::CIRCUIT_CONGESTION
        | CauseCode::SWITCH_CONGESTION
        | CauseCode::CHANNEL_UNAVAILABLE => FaultKind::Congested,
        CauseCode::USER_BUSY => FaultKind::Busy,
        _ => return None,
    })
}
