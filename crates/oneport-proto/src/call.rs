//! One call leg: what its messages mean in each phase (RFC 5456 §6.2 to §6.4).
//!
//! ```text
//! we call                                  we are called
//!   Calling      NEW →                       Offered        ← NEW
//!     ← CALLTOKEN, NEW again                   AUTHREQ →      Challenged
//!     ← AUTHREQ, AUTHREP →                     ← AUTHREP      Authenticated, or Refusing
//!     ← ACCEPT                                 ACCEPT →
//!   Accepted     ← RINGING, ANSWER           Accepted       RINGING, ANSWER →
//!                       either: HANGUP or REJECT, then resting
//! ```

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use core::time::Duration;

use oneport_wire::{
    AuthMethods, CauseCode, Control, DialplanStatus, Element, ElementBuffer, Elements,
    EncryptionMethods, Format, FormatSet, FullHeader, IaxSubclass, Message, MessageCount,
    Timestamp,
};

use crate::agreement::Audit;
use crate::auth::{Asked, Challenge, Credentials, Proof};
use crate::clock::Instant;
use crate::context::Context;
use crate::crypt::{Crypt, EncryptionPolicy};
use crate::drop_reason::DropReason;
use crate::error::CommandError;
use crate::event::{DtmfPhase, EndReason, Event, Progress};
use crate::exchange::Exchange;
use crate::frame_length::lasts_in_turn;
use crate::id::CallId;
use crate::lag::LagMeter;
use crate::lateness::Lateness;
use crate::moved::Moving;
use crate::offer::NewCall;
use crate::stats::{CallStats, RemoteReport};
use crate::transfer::Transfer;
use crate::trunk::TrunkUse;
use crate::video::VideoStreams;
use crate::voice::{Sent, VoiceIn, VoiceOut};

/// CALLTOKEN replies followed in one call; the peer's key may change between two of them.
const TOKEN_ATTEMPTS: u8 = 3;

/// After so long it is looked again whether a poll may leave that waits because a frame is repeated.
const POLL_WAITS: Duration = Duration::from_secs(1);

/// When the first LAGRQ leaves: soon, so that repetition and the user know the round trip.
const FIRST_LAG: Duration = Duration::from_millis(500);

/// How long an answer about a number is good for that does not say it (RFC 5456 §8.6.18).
const UNSAID_DIALPLAN_REFRESH: Duration = Duration::from_secs(600);

/// Peers take a token for about 10 s.
const OLD_TOKEN: Duration = Duration::from_secs(5);

/// A call leg.
///
/// What a frame of voice needs stands here, in few cache lines, with the next timers where there is
/// room; all else is in [`Seldom`] and [`FullFrames`](crate::exchange::FullFrames). Of calls by the
/// thousand, the memory that it touches is what a frame costs.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Call {
    pub(crate) link: Option<CallId>,
    /// Its voice is shown to the application as well.
    pub(crate) tapped: bool,
    /// What the linked call says is kept from it.
    pub(crate) withheld: bool,
    /// The application says on the linked call what is heard here.
    pub(crate) translated: bool,
    /// The peer wants no voice.
    pub(crate) quelched: bool,
    /// Its part in a transfer. Each frame of voice asks whether there is one.
    pub(crate) transfer: Option<Box<Transfer>>,
    phase: Phase,
    /// What may be spoken: our offer or theirs, video left out.
    pub(crate) formats: FormatSet,
    // What is heard needs the front of this, what is sent on the last two.
    pub(crate) voice_in: VoiceIn,
    /// End of the present phase, if it may not last.
    phase_ends: Option<Instant>,
    next_ping: Instant,
    next_lag: Instant,
    pub(crate) seldom: Box<Seldom>,
    pub(crate) voice_out: VoiceOut,
    pub(crate) exchange: Exchange,
}

/// What a call has that frames of voice do without.
#[derive(Debug)]
pub(crate) struct Seldom {
    pub(crate) video: VideoStreams,
    /// It is looked for where it may have moved.
    pub(crate) moving: Option<Box<Moving>>,
    pub(crate) accepts_transfers: bool,
    /// When the call ends, unless something is heard of the peer before.
    autokill: Option<Instant>,
    /// When a full frame last came.
    pub(crate) last_heard: Option<Instant>,
    /// Round trips of LAGRQ, and the way of the peer's own polls.
    lag: LagMeter,
    /// When the peer last asked for one.
    pub(crate) last_transfer: Option<Instant>,
    /// What the peer says it heard, and whether that can be.
    pub(crate) audit: Audit,
    /// The digit whose BEGIN came.
    pressed: Option<u8>,
    /// When it ends, the peer is not told before the application says so.
    pub(crate) end_is_deferred: bool,
    /// How late this system had been before.
    lateness_before: Lateness,
    /// What its trunk had carried before.
    trunk_before: TrunkUse,
}

#[derive(Debug)]
enum Phase {
    Calling(Box<Placing>),
    Offered {
        /// How the caller can encrypt.
        encryption: EncryptionMethods,
    },
    Challenged(Box<Proof>),
    Authenticated,
    /// The proof failed; REJECT waits so that guessing is slow.
    Refusing,
    Accepted {
        format: Format,
        answered: bool,
        placed: bool,
    },
}

/// What is asked of the peer.
#[derive(Debug)]
struct Placing {
    new: NewCall,
    /// Call tokens that came.
    tokens: u8,
    token_came: Option<Instant>,
}

/// Why a call is over.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) reason: EndReason,
    pub(crate) cause: CauseCode,
    pub(crate) text: Option<String>,
    /// A HANGUP that could not leave yet.
    pub(crate) farewell: Option<ElementBuffer>,
}

impl Ending {
    pub(crate) fn new(reason: EndReason, cause: CauseCode) -> Self {
        Self { reason, cause, text: None, farewell: None }
    }

    /// What a HANGUP or REJECT says.
    fn read(reason: EndReason, elements: Elements<'_>, unsaid: CauseCode) -> Self {
        let mut ending = Self::new(reason, unsaid);
        for element in elements.iter() {
            match element {
                Element::CauseCode(cause) if cause != CauseCode::NONE => ending.cause = cause,
                Element::Cause(text) => ending.text = Some(text.to_string()),
                _ => {}
            }
        }
        ending
    }
}

impl Call {
    /// One that we place: its NEW leaves.
    pub(crate) fn placed(
        cx: &mut Context,
        now: Instant,
        mut exchange: Exchange,
        new: NewCall,
    ) -> Self {
        let mut elements = new.elements();
        cx.config.device.push(&mut elements);
        elements.push(&Element::CallToken(&[]));
        exchange.send_iax(cx, now, IaxSubclass::New, &elements);
        let formats = new.format_set();
        let ends = now + cx.config.setup_timeout;
        let autokill = new.autokill.or(cx.config.autokill).filter(|time| !time.is_zero());
        let placing = Placing { new, tokens: 0, token_came: None };
        let phase = Phase::Calling(Box::new(placing));
        let mut call = Self::new(cx, now, exchange, phase, formats, Some(ends));
        call.seldom.autokill = autokill.map(|time| now + time.saturating_mul(2));
        call
    }

    /// One that is offered to us.
    pub(crate) fn offered(
        cx: &Context,
        now: Instant,
        mut exchange: Exchange,
        formats: FormatSet,
        encryption: EncryptionMethods,
    ) -> Self {
        exchange.full.talk.note(false, IaxSubclass::New);
        let ends = now + cx.config.decision_timeout;
        Self::new(cx, now, exchange, Phase::Offered { encryption }, formats, Some(ends))
    }

    fn new(
        cx: &Context,
        now: Instant,
        exchange: Exchange,
        phase: Phase,
        formats: FormatSet,
        phase_ends: Option<Instant>,
    ) -> Self {
        let seldom = Seldom {
            video: VideoStreams { offered: formats.video(), ..VideoStreams::default() },
            moving: None,
            accepts_transfers: cx.config.accept_transfers,
            autokill: None,
            last_heard: None,
            lag: LagMeter::default(),
            last_transfer: None,
            audit: Audit::default(),
            pressed: None,
            end_is_deferred: false,
            lateness_before: cx.counters.lateness,
            trunk_before: TrunkUse::default(),
        };
        Self {
            link: None,
            tapped: false,
            withheld: false,
            translated: false,
            quelched: false,
            transfer: None,
            phase,
            formats: formats.without(formats.video()),
            voice_in: VoiceIn::new(exchange.crypt.is_some()),
            phase_ends,
            next_ping: now,
            next_lag: now,
            seldom: Box::new(seldom),
            voice_out: VoiceOut::default(),
            exchange,
        }
    }

    /// The format agreed upon, once there is one.
    pub(crate) fn agreed_format(&self) -> Option<Format> {
        match self.phase {
            Phase::Accepted { format, .. } => Some(format),
            _ => None,
        }
    }

    /// Where the clock of the peer's voice stands by its full frames, unless its voice comes from
    /// elsewhere.
    pub(crate) fn their_clock(&self, now: Instant) -> Option<Timestamp> {
        self.exchange.their_clock(now).filter(|_| self.exchange.media_path.is_none())
    }

    /// A full frame of the peer came.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.seldom.last_heard = Some(now);
        self.seldom.autokill = None;
    }

    pub(crate) fn stats(&self, cx: &Context) -> CallStats {
        let trunk = self.exchange.trunk.and_then(|place| cx.trunks.in_use(place));
        CallStats {
            format: self.voice_in.format.or_else(|| self.agreed_format()),
            rtt: self.exchange.full.rtt,
            lag: self.seldom.lag.stats(),
            received: self.voice_in.meter.snapshot(),
            sent_frames: self.voice_out.frames,
            sent_bytes: self.voice_out.bytes,
            remote: self.seldom.audit.last,
            agreement: self.seldom.audit.agreement,
            retransmissions: self.exchange.full.reliable.repetitions,
            encrypted: self.exchange.crypt.is_some(),
            send_drops: self.voice_out.drops,
            sent_gaps: self.voice_out.gaps(),
            trunk: trunk.map(|trunk| trunk.since(&self.seldom.trunk_before)),
            lateness: cx.counters.lateness - self.seldom.lateness_before,
            video_frames_received: self.seldom.video.heard.frames,
            video_frames_sent: self.seldom.video.out.frames,
        }
    }

    /// Takes a message in order; `Some` ends the call.
    pub(crate) fn receive(
        &mut self,
        cx: &mut Context,
        now: Instant,
        id: CallId,
        header: &FullHeader,
        message: &Message<'_>,
    ) -> Result<(), Ending> {
        if is_pause(message) {
            self.voice_in.meter.pause();
        }
        match *message {
            Message::Iax { subclass, elements } => {
                return self.receive_iax(cx, now, id, header, subclass, elements);
            }
            Message::Control { control, payload } => self.receive_control(cx, id, control, payload),
            Message::DtmfBegin(digit) => self.receive_digit(cx, id, digit, DtmfPhase::Begin),
            Message::DtmfEnd(digit) => self.receive_digit(cx, id, digit, DtmfPhase::End),
            Message::Text { payload, .. } => self.receive_text(cx, id, payload),
            Message::Image { .. }
            | Message::Html { .. }
            | Message::Cng { .. }
            | Message::Modem { .. }
                if self.agreed_format().is_some() =>
            {
                cx.tell_detail(Event::Frame {
                    call: id,
                    frame_type: message.frame_type(),
                    subclass: message.subclass(),
                    timestamp: header.timestamp,
                    payload: message.payload().into(),
                });
            }
            // Acknowledged as any full frame, and otherwise not for us.
            _ => cx.counters.drop(DropReason::Unexpected),
        }
        Ok(())
    }

    fn receive_iax(
        &mut self,
        cx: &mut Context,
        now: Instant,
        id: CallId,
        header: &FullHeader,
        subclass: IaxSubclass,
        elements: Elements<'_>,
    ) -> Result<(), Ending> {
        use IaxSubclass as Iax;
        match (subclass, &mut self.phase) {
            (Iax::Hangup, _) => {
                let unsaid = CauseCode::NORMAL_CLEARING;
                return Err(Ending::read(EndReason::RemoteHangup, elements, unsaid));
            }
            (Iax::Reject, _) => {
                return Err(Ending::read(EndReason::RemoteReject, elements, CauseCode::REJECTED));
            }
            (Iax::Inval, _) => {
                let cause = CauseCode::INVALID_CALL_REFERENCE;
                return Err(Ending::new(EndReason::Invalidated, cause));
            }
            // A peer that asks and never acknowledges must not fill our memory.
            (Iax::Ping | Iax::LagRq, _) if !self.exchange.full.reliable.has_room() => {
                cx.counters.drop(DropReason::QueueFull);
            }
            (Iax::Ping, _) => {
                self.seldom.lag.arrived(self.exchange.clock(now), header);
                self.answer_ping(cx, now, header.timestamp);
            }
            (Iax::LagRq, _) => {
                self.seldom.lag.arrived(self.exchange.clock(now), header);
                let message = Message::iax(Iax::LagRp, Elements::EMPTY);
                self.exchange.send_stamped(cx, now, header.timestamp, &message);
            }
            (Iax::Pong, _) => {
                if let Some(report) = RemoteReport::read(elements) {
                    let (sent, gaps) = (self.voice_out.frames, self.voice_out.gaps());
                    self.seldom.audit.report(header.timestamp, report, sent, gaps);
                }
            }
            (Iax::AuthReq, Phase::Calling(_)) => return self.prove(cx, now, elements),
            (Iax::Accept, Phase::Calling(_)) => return self.accepted(cx, now, id, elements),
            (Iax::AuthRep, Phase::Challenged(_)) => {
                self.check_proof(cx, now, id, header.timestamp, elements);
            }
            (Iax::Transfer | Iax::DpReq | Iax::DpRep | Iax::Dial, Phase::Accepted { .. }) => {
                Self::receive_number(cx, id, subclass, elements)
            }
            (Iax::Quelch | Iax::Unquelch, Phase::Accepted { .. }) => {
                self.quelched = subclass == Iax::Quelch;
                let music = elements.iter().find_map(|element| match element {
                    Element::MusicOnHold(class) => Some(class.to_string()),
                    _ => None,
                });
                let quelched = self.quelched;
                cx.tell_detail(Event::Quelched { call: id, quelched, music });
            }
            (Iax::RtKey, Phase::Accepted { .. }) => self.key_changed(cx, elements),
            // ACK and VNAK are dealt with below the meaning of messages.
            // One that came late or again tells too long a time.
            (Iax::LagRp, _) if header.retransmission => {}
            (Iax::LagRp, _) => {
                let repetitions = self.exchange.full.reliable.repetitions;
                self.seldom.lag.answered(self.exchange.clock(now), header.timestamp, repetitions);
            }
            (Iax::Ack | Iax::Vnak | Iax::Unsupport, _) => {}
            (Iax::Mwi, Phase::Accepted { .. }) => {
                let count = read_message_count(elements);
                let from = self.exchange.path;
                cx.tell_detail(Event::MessagesWaiting { from, count });
            }
            (
                Iax::New
                | Iax::Accept
                | Iax::AuthReq
                | Iax::AuthRep
                | Iax::CallToken
                | Iax::TxCnt
                | Iax::TxAcc,
                _,
            ) => cx.counters.drop(DropReason::Unexpected),
            (other, _) => {
                cx.counters.drop(DropReason::Unsupported);
                let mut unknown = ElementBuffer::new();
                unknown.push(&Element::IaxUnknown(other.subclass()));
                self.exchange.send_iax(cx, now, Iax::Unsupport, &unknown);
            }
        }
        Ok(())
    }

    /// Takes what is about a number: digit dialling (RFC 5456 §6.8) and blind transfer.
    fn receive_number(cx: &mut Context, id: CallId, subclass: IaxSubclass, elements: Elements<'_>) {
        let (mut number, mut context) = (String::new(), None);
        let (mut status, mut refresh) = (DialplanStatus(0), UNSAID_DIALPLAN_REFRESH);
        for element in elements.iter() {
            match element {
                Element::CalledNumber(text) => number = text.to_string(),
                Element::CalledContext(text) => context = Some(text.to_string()),
                Element::DialplanStatus(said) => status = said,
                Element::Refresh(seconds) => refresh = Duration::from_secs(seconds.into()),
                _ => {}
            }
        }
        if number.is_empty() {
            cx.counters.drop(DropReason::Incomplete);
            return;
        }
        cx.tell_detail(match subclass {
            IaxSubclass::Transfer => Event::TransferRequested { call: id, number, context },
            IaxSubclass::DpReq => Event::DialplanQueried { call: id, number },
            IaxSubclass::DpRep => Event::DialplanReply { call: id, number, status, refresh },
            _ => Event::Dialled { call: id, number, context },
        });
    }

    /// Takes an answer from somebody who keeps no state: a call token, or a refusal.
    pub(crate) fn receive_stateless(
        &mut self,
        cx: &mut Context,
        now: Instant,
        subclass: IaxSubclass,
        elements: Elements<'_>,
    ) -> Result<(), Ending> {
        self.seldom.autokill = None;
        let Phase::Calling(placing) = &mut self.phase else {
            cx.counters.drop(DropReason::Unexpected);
            return Ok(());
        };
        let Placing { new, tokens, token_came } = &mut **placing;
        match subclass {
            // NEW was lost so often that its token grew old on the way: ask for another.
            IaxSubclass::Reject
                if *tokens < TOKEN_ATTEMPTS
                    && token_came.is_some_and(|came| now.since(came) >= OLD_TOKEN) =>
            {
                *token_came = None;
                let mut again = new.elements();
                cx.config.device.push(&mut again);
                again.push(&Element::CallToken(&[]));
                self.exchange.reopen(cx, now, IaxSubclass::New, &again);
                Ok(())
            }
            IaxSubclass::Reject => {
                Err(Ending::read(EndReason::RemoteReject, elements, CauseCode::REJECTED))
            }
            IaxSubclass::CallToken if *tokens < TOKEN_ATTEMPTS => {
                *tokens += 1;
                *token_came = Some(now);
                let token = elements.iter().find_map(|element| match element {
                    Element::CallToken(token) => Some(token),
                    _ => None,
                });
                let mut again = new.elements();
                cx.config.device.push(&mut again);
                again.push(&Element::CallToken(token.unwrap_or_default()));
                self.exchange.reopen(cx, now, IaxSubclass::New, &again);
                Ok(())
            }
            _ => {
                cx.counters.drop(DropReason::Unexpected);
                Ok(())
            }
        }
    }

    fn answer_ping(&mut self, cx: &mut Context, now: Instant, timestamp: Timestamp) {
        let heard = self.voice_in.meter.snapshot();
        let count = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let total = heard.frames + heard.lost;
        let percent = (heard.lost * 100).checked_div(total).unwrap_or(0);
        let jitter = u32::try_from(heard.jitter.as_millis()).unwrap_or(u32::MAX);
        let mut report = ElementBuffer::new();
        report.push(&Element::ReceivedJitter(jitter));
        report.push(&Element::ReceivedLoss {
            percent: u8::try_from(percent).unwrap_or(100),
            count: count(heard.lost).min(0x00FF_FFFF),
        });
        report.push(&Element::ReceivedFrames(count(heard.frames)));
        report.push(&Element::ReceivedDelay(0));
        report.push(&Element::ReceivedDropped(count(heard.late)));
        report.push(&Element::ReceivedOutOfOrder(count(heard.out_of_order)));
        let message = Message::iax(IaxSubclass::Pong, report.as_elements());
        self.exchange.send_stamped(cx, now, timestamp, &message);
    }

    fn prove(
        &mut self,
        cx: &mut Context,
        now: Instant,
        elements: Elements<'_>,
    ) -> Result<(), Ending> {
        let Phase::Calling(placing) = &self.phase else { return Ok(()) };
        let new = &placing.new;
        if self.exchange.crypt.is_some() {
            // It was answered: another challenge would change the key under what is on its way.
            cx.counters.drop(DropReason::Unexpected);
            return Ok(());
        }
        let credentials = Credentials {
            secret: new.secret.as_ref(),
            key: new.key.as_ref(),
            allow_plaintext: new.allow_plaintext,
        };
        let asked = Asked::read(elements);
        let policy = new.encryption;
        // What is sent in plaintext is no key.
        let keyed =
            asked.methods.contains(AuthMethods::MD5) || asked.methods.contains(AuthMethods::RSA);
        let key = match (policy, asked.challenge, credentials.secret) {
            (EncryptionPolicy::Off, ..) => None,
            (_, Some(digits), Some(secret))
                if keyed && asked.encryption.contains(EncryptionMethods::AES128) =>
            {
                Some(secret.digest(digits))
            }
            _ => None,
        };
        if key.is_none() && policy == EncryptionPolicy::Required {
            return Err(self.leave_unencrypted(cx, now));
        }
        let mut answer = ElementBuffer::new();
        if credentials.answer(&mut cx.rng, asked, &mut answer).is_none() {
            let cause = CauseCode::FACILITY_NOT_SUBSCRIBED;
            let why = "cannot authenticate";
            return Err(self.leave(
                cx,
                now,
                IaxSubclass::Hangup,
                EndReason::CannotAuthenticate,
                cause,
                Some(why),
            ));
        }
        if let Some(key) = key {
            let mut crypt = Crypt::new(&[key], policy == EncryptionPolicy::Required);
            crypt.rotates = asked.encryption.contains(EncryptionMethods::KEY_ROTATION);
            crypt.peer_rotates = true;
            self.set_crypt(Some(Box::new(crypt)));
        }
        // The first frame of the caller that is encrypted.
        self.exchange.send_iax(cx, now, IaxSubclass::AuthRep, &answer);
        Ok(())
    }

    /// Leaves because the peer would not encrypt.
    fn leave_unencrypted(&mut self, cx: &mut Context, now: Instant) -> Ending {
        let cause = CauseCode::FACILITY_NOT_SUBSCRIBED;
        let why = Some("encryption is required here");
        self.leave(cx, now, IaxSubclass::Hangup, EndReason::EncryptionRefused, cause, why)
    }

    fn accepted(
        &mut self,
        cx: &mut Context,
        now: Instant,
        id: CallId,
        elements: Elements<'_>,
    ) -> Result<(), Ending> {
        if let Phase::Calling(placing) = &self.phase
            && placing.new.encryption == EncryptionPolicy::Required
            && self.exchange.crypt.is_none()
        {
            return Err(self.leave_unencrypted(cx, now));
        }
        let (mut chosen, mut chosen2) = (FormatSet::EMPTY, FormatSet::EMPTY);
        for element in elements.iter() {
            match element {
                Element::Format(set) => chosen = set,
                Element::Format2(set) => chosen2 = set,
                _ => {}
            }
        }
        let chosen = if chosen2.is_empty() { chosen } else { chosen2 };
        let Some(format) = chosen.intersection(self.formats).iter().next() else {
            let cause = CauseCode::BEARER_NOT_AVAILABLE;
            let why = Some("format was not offered");
            let reason = EndReason::NoCommonFormat;
            return Err(self.leave(cx, now, IaxSubclass::Reject, reason, cause, why));
        };
        self.allow_video(chosen);
        self.enter_accepted(cx, now, format, true);
        cx.tell(Event::CallAccepted { call: id, format });
        Ok(())
    }

    fn enter_accepted(&mut self, cx: &Context, now: Instant, format: Format, placed: bool) {
        self.enter_trunk(cx);
        self.phase = Phase::Accepted { format, answered: false, placed };
        self.phase_ends = None;
        self.next_ping = now + cx.config.ping_interval;
        self.next_lag = now + FIRST_LAG.min(cx.config.lag_interval);
        self.begin_rotation(cx, now);
    }

    fn check_proof(
        &mut self,
        cx: &mut Context,
        now: Instant,
        id: CallId,
        timestamp: Timestamp,
        elements: Elements<'_>,
    ) {
        let Phase::Challenged(proof) = &self.phase else { return };
        match proof.verify(elements) {
            Some(method) => {
                cx.challenge_ends(proof.username());
                self.phase = Phase::Authenticated;
                self.phase_ends = Some(now + cx.config.decision_timeout);
                self.exchange.acknowledge_later(now, timestamp);
                cx.tell(Event::CallAuthenticated { call: id, method });
            }
            None => self.proof_failed(cx, now),
        }
    }

    fn set_crypt(&mut self, crypt: Option<Box<Crypt>>) {
        self.voice_in.encrypted = crypt.is_some();
        self.exchange.crypt = crypt;
    }

    /// The proof is wrong, or encrypted with a key that is; nothing where none is awaited.
    pub(crate) fn proof_failed(&mut self, cx: &mut Context, now: Instant) {
        let Phase::Challenged(proof) = &self.phase else { return };
        cx.challenge_ends(proof.username());
        cx.counters.authentication_failures += 1;
        self.phase = Phase::Refusing;
        self.phase_ends = Some(now + cx.config.reject_delay);
        if self.exchange.crypt.as_deref().is_some_and(|crypt| !crypt.proved()) {
            // The peer has another key than we: what is left to say goes in the clear.
            self.set_crypt(None);
        }
    }

    fn receive_control(&mut self, cx: &mut Context, id: CallId, control: Control, payload: &[u8]) {
        let Phase::Accepted { answered, placed, .. } = &mut self.phase else {
            cx.counters.drop(DropReason::Unexpected);
            return;
        };
        let progress = match control {
            Control::Proceeding => Progress::Proceeding,
            Control::Ringing => Progress::Ringing,
            Control::Progress => Progress::EarlyMedia,
            Control::Busy => Progress::Busy,
            Control::Congestion => Progress::Congestion,
            Control::StopIndication => Progress::StopIndication,
            Control::Answer if *placed => {
                if !core::mem::replace(answered, true) {
                    cx.tell(Event::CallAnswered { call: id });
                }
                return;
            }
            Control::Answer => return cx.counters.drop(DropReason::Unexpected),
            Control::RadioKey => {
                return cx.tell_detail(Event::Keyed { call: id, data: payload.into() });
            }
            Control::RadioUnkey => return cx.tell_detail(Event::Unkeyed { call: id }),
            _ => {
                cx.tell_detail(Event::Control { call: id, control, payload: payload.into() });
                return;
            }
        };
        cx.tell_detail(Event::CallProgress { call: id, progress });
    }

    fn receive_digit(&mut self, cx: &mut Context, id: CallId, digit: u8, phase: DtmfPhase) {
        let digit = digit.to_ascii_uppercase();
        if self.agreed_format().is_none() || !is_dtmf(digit) {
            cx.counters.drop(DropReason::Unexpected);
            return;
        }
        let pressed = self.seldom.pressed == Some(digit);
        self.seldom.pressed = (phase == DtmfPhase::Begin).then_some(digit);
        if phase == DtmfPhase::End && !pressed {
            cx.tell_detail(Event::Dtmf { call: id, digit, phase: DtmfPhase::Begin });
        }
        cx.tell_detail(Event::Dtmf { call: id, digit, phase });
    }

    fn receive_text(&self, cx: &mut Context, id: CallId, payload: &[u8]) {
        if self.agreed_format().is_none() {
            cx.counters.drop(DropReason::Unexpected);
            return;
        }
        let text = payload.strip_suffix(&[0]).unwrap_or(payload);
        let text = String::from_utf8_lossy(text).into_owned();
        cx.tell_detail(Event::Text { call: id, text });
    }

    /// Asks the caller for a proof.
    pub(crate) fn challenge(
        &mut self,
        cx: &mut Context,
        now: Instant,
        challenge: Challenge,
    ) -> Result<(), CommandError> {
        let Phase::Offered { encryption } = self.phase else {
            return Err(CommandError::WrongPhase);
        };
        let policy = challenge.encryption;
        let keyed = challenge.methods != AuthMethods::PLAINTEXT
            && (challenge.keys.is_empty() || !challenge.secrets.is_empty());
        let encrypts = policy != EncryptionPolicy::Off
            && keyed
            && encryption.contains(EncryptionMethods::AES128);
        if policy == EncryptionPolicy::Required && !encrypts {
            return Err(CommandError::EncryptionNotOffered);
        }
        if !cx.challenge_begins(&challenge.username) {
            return Err(CommandError::TooManyChallenges);
        }
        let mut proof = Proof::new(challenge, &mut cx.rng);
        let crypt = encrypts.then(|| {
            let ours = EncryptionMethods::AES128.union(EncryptionMethods::KEY_ROTATION);
            let methods = encryption.intersection(ours);
            let keys = proof.encrypt(&mut cx.rng, methods);
            let mut crypt = Crypt::new(&keys, policy == EncryptionPolicy::Required);
            crypt.rotates = methods.contains(EncryptionMethods::KEY_ROTATION);
            crypt.peer_rotates = crypt.rotates;
            Box::new(crypt)
        });
        // The last frame in the clear.
        self.exchange.send_iax(cx, now, IaxSubclass::AuthReq, &proof.elements());
        self.set_crypt(crypt);
        self.phase = Phase::Challenged(Box::new(proof));
        self.phase_ends = Some(now + cx.config.decision_timeout);
        Ok(())
    }

    /// Accepts an offered call in `format`.
    pub(crate) fn accept(
        &mut self,
        cx: &mut Context,
        now: Instant,
        format: Format,
    ) -> Result<(), CommandError> {
        if !matches!(self.phase, Phase::Offered { .. } | Phase::Authenticated) {
            return Err(CommandError::WrongPhase);
        }
        if !self.formats.contains(format) {
            return Err(CommandError::FormatNotOffered);
        }
        // Beside the one that is spoken stands the video that is taken, where NEW offered some.
        let chosen: FormatSet = [format].into_iter().collect();
        let chosen = chosen | self.seldom.video.carried;
        let mut elements = ElementBuffer::new();
        elements.push(&Element::Format(chosen));
        elements.push(&Element::Format2(chosen));
        self.exchange.send_iax(cx, now, IaxSubclass::Accept, &elements);
        self.enter_accepted(cx, now, format, false);
        Ok(())
    }

    /// Whether the call was offered to us and is not decided.
    pub(crate) fn is_undecided(&self) -> bool {
        !matches!(self.phase, Phase::Calling(_) | Phase::Accepted { .. })
    }

    /// Says ANSWER, once.
    pub(crate) fn answer(&mut self, cx: &mut Context, now: Instant) -> Result<(), CommandError> {
        match &mut self.phase {
            Phase::Accepted { answered, placed: false, .. } if !*answered => *answered = true,
            _ => return Err(CommandError::WrongPhase),
        }
        self.exchange.send(cx, now, &Message::control(Control::Answer))
    }

    /// Sends a frame that makes sense in an accepted call only.
    pub(crate) fn send(
        &mut self,
        cx: &mut Context,
        now: Instant,
        message: &Message<'_>,
    ) -> Result<(), CommandError> {
        match self.phase {
            Phase::Accepted { .. } if matches!(message, Message::Cng { .. }) => {
                if !self.exchange.full.reliable.has_room() {
                    return Err(CommandError::QueueFull);
                }
                let stamp = Timestamp(self.voice_out.pause_stamp(self.exchange.clock(now)));
                self.exchange.send_stamped(cx, now, stamp, message);
                Ok(())
            }
            Phase::Accepted { .. } => self.exchange.send(cx, now, message),
            _ => Err(CommandError::WrongPhase),
        }
    }

    /// Sends one frame of voice.
    pub(crate) fn send_voice(
        &mut self,
        cx: &mut Context,
        now: Instant,
        format: Format,
        payload: &[u8],
        duration_ms: u16,
        goes_on: bool,
    ) -> Result<(), CommandError> {
        if self.agreed_format().is_none() {
            return Err(CommandError::WrongPhase);
        }
        if !self.formats.contains(format) {
            return Err(CommandError::FormatNotOffered);
        }
        let Some(lasts_ms) = lasts_in_turn(format, payload.len(), duration_ms) else {
            return Ok(());
        };
        let stamp = self.voice_out.stamp(self.exchange.clock(now), lasts_ms, goes_on);
        if payload.is_empty() {
            return Ok(());
        }
        if !self.exchange.confirmed || self.quelched {
            self.voice_out.drops += 1;
            cx.counters.drop(self.unready());
            return Ok(());
        }
        let sent = self.voice_out.send(cx, &mut self.exchange, now, format, stamp, payload);
        if let Err(reason) = sent {
            cx.counters.drop(reason);
        }
        self.change_key_behind_voice(now);
        Ok(())
    }

    /// Reads some of each line of memory that a frame heard of it needs.
    pub(crate) fn look_in(&self) -> u64 {
        u64::from(self.tapped) ^ self.voice_in.look()
    }

    /// The same of a frame that is sent on to its peer.
    pub(crate) fn look_out(&self) -> u64 {
        u64::from(self.quelched) ^ self.voice_out.look() ^ self.exchange.look()
    }

    /// Sends on a frame of the linked call, which had the timestamp `theirs` there.
    pub(crate) fn relay_voice(
        &mut self,
        cx: &mut Context,
        now: Instant,
        format: Format,
        theirs: Timestamp,
        payload: &[u8],
    ) -> Result<Sent, DropReason> {
        let ready = self.agreed_format().is_some() && self.exchange.confirmed && !self.quelched;
        if !ready || !self.formats.contains(format) {
            self.voice_out.drops += 1;
            return Err(self.unready());
        }
        let stamp = self.voice_out.relay_stamp(self.exchange.clock(now), theirs.0);
        let sent = self.voice_out.send(cx, &mut self.exchange, now, format, stamp, payload);
        self.change_key_behind_voice(now);
        sent
    }

    /// The call is not linked any more.
    pub(crate) fn end_relay(&mut self) {
        self.voice_out.end_relay();
        self.seldom.video.out.end_relay();
    }

    /// Why no voice leaves.
    fn unready(&self) -> DropReason {
        if self.quelched { DropReason::Quelched } else { DropReason::LinkNotReady }
    }

    /// Ends the call from our side with HANGUP, or REJECT where nothing was accepted.
    pub(crate) fn hang_up(
        &mut self,
        cx: &mut Context,
        now: Instant,
        cause: CauseCode,
        text: Option<&str>,
    ) -> Ending {
        if self.is_undecided() {
            self.leave(cx, now, IaxSubclass::Reject, EndReason::LocalReject, cause, text)
        } else {
            self.leave(cx, now, IaxSubclass::Hangup, EndReason::LocalHangup, cause, text)
        }
    }

    /// Says farewell by `subclass`, or keeps it until the peer's number is known.
    fn leave(
        &mut self,
        cx: &mut Context,
        now: Instant,
        subclass: IaxSubclass,
        reason: EndReason,
        cause: CauseCode,
        text: Option<&str>,
    ) -> Ending {
        let mut elements = ElementBuffer::new();
        if let Some(text) = text {
            elements.push(&Element::Cause(text.into()));
        }
        elements.push(&Element::CauseCode(cause));
        // The last voice must not come behind the end.
        cx.flush_trunk(now, self.exchange.trunk);
        if self.seldom.end_is_deferred {
            self.exchange.mute();
        }
        let mut ending = Ending::new(reason, cause);
        if self.exchange.theirs.is_some() {
            self.exchange.send_iax(cx, now, subclass, &elements);
        } else {
            // NEW is not repeated any more; if the peer got it, its answer is met by HANGUP.
            self.exchange.full.reliable.clear();
            ending.farewell = Some(elements);
        }
        ending
    }

    /// Gives back what a call in this phase holds beyond its slot.
    pub(crate) fn close(&self, cx: &mut Context) {
        if let Phase::Challenged(proof) = &self.phase {
            cx.challenge_ends(proof.username());
        }
    }

    /// Does what is due; an error ends the call.
    pub(crate) fn handle_timeout(&mut self, cx: &mut Context, now: Instant) -> Result<(), Ending> {
        if self.exchange.handle_timeout(cx, now).is_err() {
            self.exchange.full.reliable.clear();
            return Err(Ending::new(EndReason::TimedOut, CauseCode::DESTINATION_OUT_OF_ORDER));
        }
        if self.seldom.autokill.is_some_and(|at| at <= now) {
            let (reason, cause) = (EndReason::Unanswered, CauseCode::CIRCUIT_CONGESTION);
            return Err(self.leave(cx, now, IaxSubclass::Hangup, reason, cause, None));
        }
        if self.phase_ends.is_some_and(|ends| ends <= now) {
            let (subclass, reason, cause, text) = match self.phase {
                Phase::Calling(_) => (
                    IaxSubclass::Hangup,
                    EndReason::SetupTimedOut,
                    CauseCode::NO_USER_RESPONSE,
                    None,
                ),
                Phase::Refusing => (
                    IaxSubclass::Reject,
                    EndReason::AuthenticationFailed,
                    CauseCode::FACILITY_NOT_SUBSCRIBED,
                    Some("No authority found"),
                ),
                _ => (IaxSubclass::Reject, EndReason::Undecided, CauseCode::TIMER_EXPIRY, None),
            };
            return Err(self.leave(cx, now, subclass, reason, cause, text));
        }
        if matches!(self.phase, Phase::Accepted { .. }) {
            // Where a frame is repeated already, another would only be one more to repeat: that is how many calls
            // at once would make of a moment's congestion one that lasts.
            let is_repeating = self.exchange.full.reliable.is_repeating();
            if self.next_ping <= now && is_repeating {
                self.next_ping = now.next_shared(cx.config.ping_interval.min(POLL_WAITS));
            } else if self.next_ping <= now {
                self.next_ping = now.next_shared(cx.config.ping_interval);
                self.exchange.send_iax(cx, now, IaxSubclass::Ping, &ElementBuffer::new());
                self.seldom.audit.ask(self.exchange.last_timestamp(), self.voice_out.frames);
            }
            if self.next_lag <= now && is_repeating {
                self.next_lag = now.next_shared(cx.config.lag_interval.min(POLL_WAITS));
            } else if self.next_lag <= now {
                self.next_lag = now.next_shared(cx.config.lag_interval);
                self.exchange.send_iax(cx, now, IaxSubclass::LagRq, &ElementBuffer::new());
                let repetitions = self.exchange.full.reliable.repetitions;
                let clock = self.exchange.clock(now);
                self.seldom.lag.asked(clock, self.exchange.last_timestamp(), repetitions);
            }
            if self.rotation().is_some_and(|at| at <= now) {
                self.change_key(cx, now);
            }
        }
        Ok(())
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub(crate) fn deadline(&self, cx: &Context) -> Option<Instant> {
        let polls = match self.phase {
            Phase::Accepted { .. } => Some(self.next_ping.min(self.next_lag)),
            _ => None,
        };
        let transfer = self.transfer.as_deref().and_then(Transfer::deadline);
        let exchange = self.exchange.deadline(cx);
        let deadlines =
            [exchange, self.phase_ends, self.seldom.autokill, polls, self.rotation(), transfer];
        deadlines.into_iter().flatten().min()
    }

    /// Its voice leaves by the trunk to its peer from now on, if there is one.
    pub(crate) fn enter_trunk(&mut self, cx: &Context) {
        self.exchange.trunk = cx.trunks.find(self.exchange.path.remote);
        let used = self.exchange.trunk.and_then(|place| cx.trunks.in_use(place));
        self.seldom.trunk_before = used.unwrap_or_default();
    }

    /// Whether somebody answered.
    pub(crate) fn is_answered(&self) -> bool {
        matches!(self.phase, Phase::Accepted { answered: true, .. })
    }

    /// Goes on with the other end of a transfer.
    pub(crate) fn start_over(&mut self, cx: &Context, now: Instant) {
        self.seldom.audit.begin_anew(self.voice_out.frames, self.voice_out.gaps());
        self.voice_out.begin_anew();
        self.voice_in.begin_anew();
        self.seldom.lag.begin_anew();
        self.seldom.moving = None;
        // Whoever wanted no voice, or held a key, is not there any more.
        (self.quelched, self.seldom.pressed) = (false, None);
        self.begin_video_anew();
        self.enter_trunk(cx);
        self.next_ping = now + cx.config.ping_interval;
        self.next_lag = now + FIRST_LAG.min(cx.config.lag_interval);
    }
}

/// Whether the sender says by `message` that it falls silent.
const fn is_pause(message: &Message<'_>) -> bool {
    matches!(
        message,
        Message::Cng { .. } | Message::Control { control: Control::Hold | Control::RadioUnkey, .. }
    )
}

/// What an MWI frame says (RFC 5456 §6.9.4).
pub(crate) fn read_message_count(elements: Elements<'_>) -> Option<MessageCount> {
    elements.iter().find_map(|element| match element {
        Element::MessageCount(count) => Some(count),
        _ => None,
    })
}

/// Whether `digit` is a key of a telephone: 0-9, A-D, * or #.
pub(crate) const fn is_dtmf(digit: u8) -> bool {
    matches!(digit, b'0'..=b'9' | b'A'..=b'D' | b'*' | b'#')
}

#[cfg(test)]
mod tests {
    use core::mem::{offset_of, size_of};

    use super::*;
    use crate::path::Path;
    use crate::slots::Slot;
    use crate::voice_meter::VoiceMeter;

    /// The cache lines of a slot that hold what lies there.
    fn lines(from: usize, to: usize) -> core::ops::Range<usize> {
        from / 64..to.div_ceil(64)
    }

    #[test]
    fn a_frame_of_voice_touches_three_cache_lines_of_the_call_that_hears_it_and_of_the_other() {
        let call = offset_of!(Slot, role);
        let voice_in = call + offset_of!(Call, voice_in);
        let voice_out = call + offset_of!(Call, voice_out);
        let exchange = call + offset_of!(Call, exchange);
        let path = exchange + offset_of!(Exchange, path);
        // Both ask for what is first.
        assert_eq!(lines(0, voice_in), 0..1);
        let meter = voice_in + offset_of!(VoiceIn, meter);
        assert_eq!(lines(voice_in, meter + VoiceMeter::EACH_FRAME_TO), 0..3);
        assert_eq!(lines(voice_out + VoiceOut::EACH_FRAME_FROM, path), 4..6);
        // It needs one more where it does not leave by a trunk.
        assert_eq!(lines(path, path + size_of::<Path>()), 5..7);
        // That is the line of which `Exchange::look` reads some.
        assert!(path + offset_of!(Path, local) >= 6 * 64);
        assert_eq!(size_of::<Slot>(), 448);
    }
}
