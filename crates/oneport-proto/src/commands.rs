//! What the application asks of an endpoint. Consequences come as events.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use oneport_wire::{
    CallNumber, CauseCode, Control, DialplanStatus, Element, ElementBuffer, Elements, Format,
    FormatSet, FullHeader, IaxSubclass, Message, MessageCount, Seq, Timestamp, frame_type,
};

use rand_core::Rng;

use crate::auth::Challenge;
use crate::call::{Call, is_dtmf};
use crate::clock::Instant;
use crate::endpoint::{Endpoint, call_mut};
use crate::error::CommandError;
use crate::event::{Event, RegistrationFailure, RequestOutcome};
use crate::exchange::{Exchange, FullFrames};
use crate::id::{CallId, PokeId, RegistrationId, RequestId};
use crate::offer::NewCall;
use crate::path::Path;
use crate::poke::Poke;
use crate::provision::Device;
use crate::registration::{CycleEnd, Registering, Registration, RegistrationConfig};
use crate::request::{Grant, Request};
use crate::resting::Resting;
use crate::slots::Role;
use crate::stats::{CallStats, Signalling};
use crate::trunk::TrunkConfig;

/// How long a poll that keeps a registration alive is waited for.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(4);

/// Polls lost in a row after which a registration is renewed at once.
const POLLS_LOST: u32 = 2;

/// Longest content of one full frame. IP carries it, in fragments if it must.
const LONGEST_CONTENT: usize = 4_000;

/// Calls.
///
/// All of these fail with [`CommandError::UnknownCall`] for a call that has ended.
impl Endpoint {
    /// Places a call. [`Event::CallAccepted`], [`Event::CallAnswered`] or [`Event::CallEnded`] say
    /// what becomes of it.
    ///
    /// # Errors
    /// No format given but those of video, or a limit reached.
    pub fn place_call(
        &mut self,
        now: Instant,
        to: SocketAddr,
        call: NewCall,
    ) -> Result<CallId, CommandError> {
        let now = self.cx.time.enter(now);
        let formats = call.format_set();
        if formats.without(formats.video()).is_empty() {
            return Err(CommandError::NoFormat);
        }
        let exchange = self.opening_exchange(now, to)?;
        let call = Call::placed(&mut self.cx, now, exchange, call);
        let (slot, generation) = self.slots.insert(Role::Call(call), false);
        self.slots.schedule(&mut self.cx, slot);
        Ok(CallId { slot, generation })
    }

    /// A number of ours for the slot that is inserted next.
    pub(crate) fn opening_exchange(
        &mut self,
        now: Instant,
        to: SocketAddr,
    ) -> Result<Exchange, CommandError> {
        if self.slots.len() >= self.cx.config.max_calls {
            return Err(CommandError::TooManyCalls);
        }
        let slot = self.slots.vacant();
        let ours = self
            .cx
            .index
            .allocate(&mut self.cx.rng, to, slot)
            .ok_or(CommandError::NoFreeCallNumber)?;
        Ok(Exchange::opening(now, Path::from(to), ours))
    }

    /// Lets `act` change a call, and sees to its timers.
    pub(crate) fn with_call<R>(
        &mut self,
        id: CallId,
        act: impl FnOnce(&mut Call, &mut crate::context::Context) -> Result<R, CommandError>,
    ) -> Result<R, CommandError> {
        let call = call_mut(&mut self.slots, id).ok_or(CommandError::UnknownCall)?;
        self.cx.counters.set_subject(Some(call.exchange.path), Some(id));
        let result = act(call, &mut self.cx);
        self.cx.counters.set_subject(None, None);
        self.slots.schedule(&mut self.cx, id.slot);
        result
    }

    /// Asks the caller of an offered call for a proof. Then [`Event::CallAuthenticated`] follows,
    /// or the call ends.
    ///
    /// # Errors
    /// The call is not just offered, or too many challenges wait under this name.
    pub fn challenge_call(
        &mut self,
        now: Instant,
        id: CallId,
        challenge: Challenge,
    ) -> Result<(), CommandError> {
        let now = self.cx.time.enter(now);
        self.with_call(id, |call, cx| call.challenge(cx, now, challenge))
    }

    /// Accepts an offered call in `format`: media may flow as soon as the caller has heard of it.
    ///
    /// # Errors
    /// The call is not offered, or not in this format.
    pub fn accept(&mut self, now: Instant, id: CallId, format: Format) -> Result<(), CommandError> {
        let now = self.cx.time.enter(now);
        self.with_call(id, |call, cx| call.accept(cx, now, format))
    }

    /// Rejects an offered call.
    ///
    /// # Errors
    /// It was accepted or placed by us.
    pub fn reject(
        &mut self,
        now: Instant,
        id: CallId,
        cause: CauseCode,
        text: Option<&str>,
    ) -> Result<(), CommandError> {
        let now = self.cx.time.enter(now);
        let call = call_mut(&mut self.slots, id).ok_or(CommandError::UnknownCall)?;
        if !call.is_undecided() {
            return Err(CommandError::WrongPhase);
        }
        self.hangup(now, id, cause, text)
    }

    /// Says that an accepted call is being worked on.
    ///
    /// # Errors
    /// The call is not accepted, or too many frames wait.
    pub fn proceeding(&mut self, now: Instant, id: CallId) -> Result<(), CommandError> {
        let now = self.cx.time.enter(now);
        self.send_control(now, id, Control::Proceeding, &[])
    }

    /// Says that an accepted call rings.
    ///
    /// # Errors
    /// The call is not accepted, or too many frames wait.
    pub fn ringing(&mut self, now: Instant, id: CallId) -> Result<(), CommandError> {
        let now = self.cx.time.enter(now);
        self.send_control(now, id, Control::Ringing, &[])
    }

    /// Says that audio of the set-up follows.
    ///
    /// # Errors
    /// The call is not accepted, or too many frames wait.
    pub fn progress(&mut self, now: Instant, id: CallId) -> Result<(), CommandError> {
        let now = self.cx.time.enter(now);
        self.send_control(now, id, Control::Progress, &[])
    }

    /// Answers an accepted call.
    ///
    /// # Errors
    /// The call is not accepted, was placed by us, or was answered before.
    pub fn answer(&mut self, now: Instant, id: CallId) -> Result<(), CommandError> {
        let now = self.cx.time.enter(now);
        self.with_call(id, |call, cx| call.answer(cx, now))
    }

    /// Ends a call because the called party is busy.
    ///
    /// # Errors
    /// None but those of all these commands.
    pub fn busy(&mut self, now: Instant, id: CallId) -> Result<(), CommandError> {
        let now = self.cx.time.enter(now);
        self.fail_call(now, id, Control::Busy, CauseCode::USER_BUSY)
    }

    /// Ends a call because no line is free.
    ///
    /// # Errors
    /// None but those of all these commands.
    pub fn congestion(&mut self, now: Instant, id: CallId) -> Result<(), CommandError> {
        let now = self.cx.time.enter(now);
        self.fail_call(now, id, Control::Congestion, CauseCode::CIRCUIT_CONGESTION)
    }

    fn fail_call(
        &mut self,
        now: Instant,
        id: CallId,
        control: Control,
        cause: CauseCode,
    ) -> Result<(), CommandError> {
        match self.send_control(now, id, control, &[]) {
            // Before ACCEPT only the cause can say it; a full queue must not keep a call alive.
            Ok(()) | Err(CommandError::WrongPhase | CommandError::QueueFull) => {}
            Err(error) => return Err(error),
        }
        self.hangup(now, id, cause, None)
    }

    /// Ends a call in any phase: [`Event::CallEnded`] follows at once.
    ///
    /// # Errors
    /// None but those of all these commands.
    pub fn hangup(
        &mut self,
        now: Instant,
        id: CallId,
        cause: CauseCode,
        text: Option<&str>,
    ) -> Result<(), CommandError> {
        let now = self.cx.time.enter(now);
        let call = call_mut(&mut self.slots, id).ok_or(CommandError::UnknownCall)?;
        let ending = call.hang_up(&mut self.cx, now, cause, text);
        self.end_call(now, id.slot, ending);
        Ok(())
    }

    /// Lets the peer of a call know of its end, whenever and however that comes, only after
    /// [`tell_end`](Self::tell_end): until then our HANGUP or REJECT does not leave, and the peer's
    /// is not acknowledged. [`Event::CallEnded`] comes at once all the same.
    ///
    /// An application that writes down how calls end can do so before anybody takes the end for
    /// granted, and a crash between loses nothing that somebody was told.
    ///
    /// A transfer that ends the call here (TXREL) is the exception: the two ends talk on without us, and would not be
    /// heard while it waits.
    ///
    /// # Errors
    /// None but those of all these commands.
    pub fn defer_end(&mut self, id: CallId) -> Result<(), CommandError> {
        let call = call_mut(&mut self.slots, id).ok_or(CommandError::UnknownCall)?;
        call.seldom.end_is_deferred = true;
        Ok(())
    }

    /// Lets the peer know of the end of a call whose end was deferred. It must be soon: the peer
    /// repeats what is not acknowledged, and after
    /// [`number_quarantine`](crate::EndpointConfig::number_quarantine) it is told nothing any more.
    pub fn tell_end(&mut self, now: Instant, id: CallId) {
        let now = self.cx.time.enter(now);
        // The handle of a call goes by one when the call comes to rest.
        let Some(slot) = self.slots.get_mut(id.slot, id.generation.wrapping_add(1)) else { return };
        let Role::Resting(resting) = &mut slot.role else { return };
        resting.exchange.unmute(&mut self.cx, now);
        self.slots.schedule(&mut self.cx, id.slot);
    }

    /// Ends all calls.
    pub fn hangup_all(&mut self, now: Instant, cause: CauseCode) {
        let now = self.cx.time.enter(now);
        for id in self.slots.calls() {
            // It was there a moment ago.
            let _ = self.hangup(now, id, cause, None);
        }
    }

    /// Sends `payload`, voice of `duration_ms`. Its timestamp follows the clock of the samples, so
    /// frames may be handed over in bursts. Where there is nothing to be sent, as where a codec's frame is
    /// not full yet, only that clock goes on;
    /// that of iLBC stands still, for its encoder says what is left with the next frame, whose size tells how long it lasts.
    ///
    /// A frame for which there is no room is counted and dropped.
    ///
    /// # Errors
    /// The call is not accepted, the format not among those offered, or the payload too long.
    pub fn send_voice(
        &mut self,
        now: Instant,
        id: CallId,
        format: Format,
        payload: &[u8],
        duration_ms: u16,
    ) -> Result<(), CommandError> {
        self.say(now, id, format, payload, duration_ms, false)
    }

    /// The same for a frame that follows the one before without a pause, though it may be late by a second, as
    /// where the machine stood still: its timestamp follows as well. What [`send_voice`](Self::send_voice) is
    /// given so late has a new beginning, which looks like loss to whoever counts frames.
    ///
    /// # Errors
    /// As there.
    pub fn go_on_with_voice(
        &mut self,
        now: Instant,
        id: CallId,
        format: Format,
        payload: &[u8],
        duration_ms: u16,
    ) -> Result<(), CommandError> {
        self.say(now, id, format, payload, duration_ms, true)
    }

    fn say(
        &mut self,
        now: Instant,
        id: CallId,
        format: Format,
        payload: &[u8],
        duration_ms: u16,
        goes_on: bool,
    ) -> Result<(), CommandError> {
        let now = self.cx.time.enter(now);
        if payload.len() > LONGEST_CONTENT {
            return Err(CommandError::TooLong);
        }
        self.with_call(id, |call, cx| {
            call.send_voice(cx, now, format, payload, duration_ms, goes_on)
        })
    }

    /// Lets a call that is offered carry video in those of `formats` that its NEW offered. Of itself
    /// it carries none. Say it before [`accept`](Self::accept), which tells the caller. A call that
    /// we place carries what its NEW offers and the peer accepts; this can take from that.
    ///
    /// # Errors
    /// None but those of all these commands.
    pub fn allow_video(&mut self, id: CallId, formats: FormatSet) -> Result<(), CommandError> {
        self.with_call(id, |call, _| {
            call.allow_video(formats);
            Ok(())
        })
    }

    /// Sends one packet of video now. `mark` ends a picture; the packets of one have the timestamp
    /// of the first.
    ///
    /// A packet for which there is no room is counted and dropped.
    ///
    /// # Errors
    /// The call is not accepted, does not carry this format, or the payload is too long.
    pub fn send_video(
        &mut self,
        now: Instant,
        id: CallId,
        format: Format,
        payload: &[u8],
        mark: bool,
    ) -> Result<(), CommandError> {
        let now = self.cx.time.enter(now);
        if payload.len() > LONGEST_CONTENT {
            return Err(CommandError::TooLong);
        }
        self.with_call(id, |call, cx| call.send_video(cx, now, format, payload, mark))
    }

    /// Presses a key: ASCII 0-9, A-D, * or #.
    ///
    /// # Errors
    /// No such key; the call is not accepted, or too many frames wait.
    pub fn dtmf_begin(&mut self, now: Instant, id: CallId, digit: u8) -> Result<(), CommandError> {
        let now = self.cx.time.enter(now);
        self.send_digit(now, id, digit, Message::DtmfBegin)
    }

    /// Releases a key.
    ///
    /// # Errors
    /// As [`dtmf_begin`](Self::dtmf_begin).
    pub fn dtmf_end(&mut self, now: Instant, id: CallId, digit: u8) -> Result<(), CommandError> {
        let now = self.cx.time.enter(now);
        self.send_digit(now, id, digit, Message::DtmfEnd)
    }

    fn send_digit(
        &mut self,
        now: Instant,
        id: CallId,
        digit: u8,
        message: fn(u8) -> Message<'static>,
    ) -> Result<(), CommandError> {
        let digit = digit.to_ascii_uppercase();
        if !is_dtmf(digit) {
            return Err(CommandError::InvalidDigit);
        }
        self.with_call(id, |call, cx| call.send(cx, now, &message(digit)))
    }

    /// Sends text, with the NUL at its end that Asterisk wants.
    ///
    /// # Errors
    /// Longer than 3,999 bytes; the call is not accepted, or too many frames wait.
    pub fn send_text(&mut self, now: Instant, id: CallId, text: &str) -> Result<(), CommandError> {
        let now = self.cx.time.enter(now);
        if text.len() >= LONGEST_CONTENT {
            return Err(CommandError::TooLong);
        }
        let mut payload = Vec::with_capacity(text.len() + 1);
        payload.extend_from_slice(text.as_bytes());
        payload.push(0);
        self.with_call(id, |call, cx| call.send(cx, now, &Message::text(&payload)))
    }

    /// Keys up the radio at the other end (CONTROL KEY): what we say is sent by it. `data` may name a
    /// tone (CTCSS), as text; mostly it is empty.
    ///
    /// # Errors
    /// The data is too long; the call is not accepted, or too many frames wait.
    pub fn key(&mut self, now: Instant, id: CallId, data: &[u8]) -> Result<(), CommandError> {
        let now = self.cx.time.enter(now);
        self.send_control(now, id, Control::RadioKey, data)
    }

    /// Unkeys it (CONTROL UNKEY).
    ///
    /// # Errors
    /// The call is not accepted, or too many frames wait.
    pub fn unkey(&mut self, now: Instant, id: CallId) -> Result<(), CommandError> {
        let now = self.cx.time.enter(now);
        self.send_control(now, id, Control::RadioUnkey, &[])
    }

    /// Sends a control frame, such as hold or flash.
    ///
    /// # Errors
    /// The payload is too long; the call is not accepted, or too many frames wait.
    pub fn send_control(
        &mut self,
        now: Instant,
        id: CallId,
        control: Control,
        payload: &[u8],
    ) -> Result<(), CommandError> {
        let now = self.cx.time.enter(now);
        if payload.len() > LONGEST_CONTENT {
            return Err(CommandError::TooLong);
        }
        self.with_call(id, |call, cx| call.send(cx, now, &Message::Control { control, payload }))
    }

    /// Sends a frame for the application at the other end: an image, HTML, comfort noise, or fax and
    /// modem data (see [`frame_type`]), as it is.
    ///
    /// # Errors
    /// The type is none of these, the payload too long; the call is not accepted, or too many
    /// frames wait.
    pub fn send_frame(
        &mut self,
        now: Instant,
        id: CallId,
        frame_type: u8,
        subclass: u8,
        payload: &[u8],
    ) -> Result<(), CommandError> {
        let now = self.cx.time.enter(now);
        if payload.len() > LONGEST_CONTENT {
            return Err(CommandError::TooLong);
        }
        let passes = [frame_type::IMAGE, frame_type::HTML, frame_type::CNG, frame_type::MODEM];
        let message = Message::decode(frame_type, subclass, payload).ok();
        let message = message.filter(|_| passes.contains(&frame_type));
        let message = message.ok_or(CommandError::InvalidFrameType)?;
        self.with_call(id, |call, cx| call.send(cx, now, &message))
    }

    /// Tells the peer to send no voice for a while (QUELCH), or to send it again (UNQUELCH).
    ///
    /// # Errors
    /// The call is not accepted, or too many frames wait.
    pub fn quelch(&mut self, now: Instant, id: CallId, quelched: bool) -> Result<(), CommandError> {
        let now = self.cx.time.enter(now);
        let subclass = if quelched { IaxSubclass::Quelch } else { IaxSubclass::Unquelch };
        let message = Message::iax(subclass, Elements::EMPTY);
        self.with_call(id, |call, cx| call.send(cx, now, &message))
    }

    /// Asks the peer whether a number exists, in a call placed to `TBD`.
    /// [`Event::DialplanReply`] follows.
    ///
    /// # Errors
    /// The call is not accepted, or too many frames wait.
    pub fn dialplan_query(
        &mut self,
        now: Instant,
        id: CallId,
        number: &str,
    ) -> Result<(), CommandError> {
        let now = self.cx.time.enter(now);
        self.send_about_number(now, id, IaxSubclass::DpReq, number, &[])
    }

    /// Answers [`Event::DialplanQueried`]; `refresh` is how long the answer is good for.
    ///
    /// # Errors
    /// The call is not accepted, or too many frames wait.
    pub fn dialplan_reply(
        &mut self,
        now: Instant,
        id: CallId,
        number: &str,
        status: DialplanStatus,
        refresh: Duration,
    ) -> Result<(), CommandError> {
        let now = self.cx.time.enter(now);
        let seconds = u16::try_from(refresh.as_secs()).unwrap_or(u16::MAX);
        let more = [Element::DialplanStatus(status), Element::Refresh(seconds)];
        self.send_about_number(now, id, IaxSubclass::DpRep, number, &more)
    }

    /// Ends overlap dialling: the peer of a call placed to `TBD` connects it to this number.
    ///
    /// # Errors
    /// The call is not accepted, or too many frames wait.
    pub fn dial(&mut self, now: Instant, id: CallId, number: &str) -> Result<(), CommandError> {
        let now = self.cx.time.enter(now);
        self.send_about_number(now, id, IaxSubclass::Dial, number, &[])
    }

    fn send_about_number(
        &mut self,
        now: Instant,
        id: CallId,
        subclass: IaxSubclass,
        number: &str,
        more: &[Element<'_>],
    ) -> Result<(), CommandError> {
        let mut elements = ElementBuffer::new();
        elements.push(&Element::CalledNumber(number.into()));
        more.iter().for_each(|element| elements.push(element));
        let message = Message::iax(subclass, elements.as_elements());
        self.with_call(id, |call, cx| call.send(cx, now, &message))
    }

    /// Asks the peer to connect the party at its end to another number: a blind transfer. The peer
    /// hangs up when it has done so.
    ///
    /// # Errors
    /// The call is not accepted, or too many frames wait.
    pub fn blind_transfer(
        &mut self,
        now: Instant,
        id: CallId,
        number: &str,
        context: Option<&str>,
    ) -> Result<(), CommandError> {
        let now = self.cx.time.enter(now);
        let context = context.map(|context| Element::CalledContext(context.into()));
        self.send_about_number(now, id, IaxSubclass::Transfer, number, context.as_slice())
    }

    /// Relays voice between two accepted calls, both ways, without decoding it, and video in formats
    /// that both carry; a call linked to itself is an echo. Digits, text and control frames still come
    /// as events. Links of either call from before end, as by [`unlink`](Self::unlink).
    ///
    /// # Errors
    /// A call is not accepted, or they carry different formats.
    pub fn link(&mut self, a: CallId, b: CallId) -> Result<(), CommandError> {
        let mut format = |id| {
            let call = call_mut(&mut self.slots, id).ok_or(CommandError::UnknownCall)?;
            call.agreed_format().ok_or(CommandError::WrongPhase)
        };
        if format(a)? != format(b)? {
            return Err(CommandError::FormatsDiffer);
        }
        self.join(a, b, false);
        Ok(())
    }

    /// Links two calls that can be.
    pub(crate) fn join(&mut self, a: CallId, b: CallId, translated: bool) {
        self.unlink(a);
        self.unlink(b);
        for (from, to) in [(a, b), (b, a)] {
            if let Some(call) = call_mut(&mut self.slots, from) {
                (call.link, call.translated) = (Some(to), translated);
            }
        }
    }

    /// Shows what is heard of a call to [`MediaSink::tapped`], whether it is linked or not, from now on
    /// or no more. Its voice goes where it goes without that.
    ///
    /// # Errors
    /// None but those of all these commands.
    ///
    /// [`MediaSink::tapped`]: crate::MediaSink::tapped
    pub fn tap(&mut self, id: CallId, tapped: bool) -> Result<(), CommandError> {
        let call = call_mut(&mut self.slots, id).ok_or(CommandError::UnknownCall)?;
        call.tapped = tapped;
        Ok(())
    }

    /// Keeps from a call what the call linked to it says, or no more: for a while it hears what
    /// [`send_voice`](Self::send_voice) gives it in place of that. Its own voice goes its way.
    ///
    /// # Errors
    /// None but those of all these commands.
    pub fn withhold(&mut self, id: CallId, withheld: bool) -> Result<(), CommandError> {
        let call = call_mut(&mut self.slots, id).ok_or(CommandError::UnknownCall)?;
        call.withheld = withheld;
        Ok(())
    }

    /// Ends the link of a call, if it has one: its voice and video go to the [`MediaSink`] again. Voice
    /// that went straight to the other end since [`transfer`](Self::transfer) is brought back, and a
    /// transfer under way is given up.
    ///
    /// [`MediaSink`]: crate::MediaSink
    pub fn unlink(&mut self, a: CallId) {
        self.part(a);
        let other = call_mut(&mut self.slots, a).and_then(|call| call.link.take());
        for id in [Some(a), other].into_iter().flatten() {
            if let Some(call) = call_mut(&mut self.slots, id) {
                call.link = None;
                call.end_relay();
            }
        }
    }

    /// Sends voice to a peer in trunk frames from now on (`None`: no more). It holds for calls that
    /// are accepted later, those that are encrypted excepted; other settings hold for all of its calls
    /// at once, and calls of a trunk that is switched off go on without one. Trunk frames of peers are
    /// always taken.
    pub fn set_trunk(&mut self, remote: SocketAddr, config: Option<TrunkConfig>) {
        self.cx.trunks.set(&mut self.cx.counters, remote, config);
    }

    /// The figures of a call up to now.
    #[must_use]
    pub fn call_stats(&self, id: CallId) -> Option<CallStats> {
        self.call(id).map(|call| call.stats(&self.cx))
    }

    /// When the newest voice of a call came; `None` while none has, or since its peer changed.
    #[must_use]
    pub fn last_voice(&self, id: CallId) -> Option<Instant> {
        self.call(id).and_then(|call| call.voice_in.last_arrival())
    }

    /// The format that a call was accepted in.
    #[must_use]
    pub fn call_format(&self, id: CallId) -> Option<Format> {
        self.call(id)?.agreed_format()
    }

    /// Our number of a call, and the peer's once it is known, as packet captures show them.
    #[must_use]
    pub fn call_numbers(&self, id: CallId) -> Option<(CallNumber, Option<CallNumber>)> {
        self.call(id).map(|call| (call.exchange.ours, call.exchange.theirs))
    }

    /// What a full frame of a call says that has passed on the wire and is encrypted, sent by us (`is_ours`) or the peer.
    /// `None`: the call is not encrypted, the frame is not, or its key is gone. Kept are the key with which the call
    /// began, and the last two of each side. What comes out may hold a proof (AUTHREP) or a key (RTKEY).
    #[must_use]
    pub fn decrypt_passed(
        &self,
        now: Instant,
        id: CallId,
        is_ours: bool,
        datagram: &[u8],
    ) -> Option<Vec<u8>> {
        // Frames may be stamped ahead of a clock by less than this, in ms.
        const AHEAD: u32 = 60_000;
        let exchange = &self.call(id)?.exchange;
        let clock = match is_ours {
            true => Some(Timestamp(exchange.clock(now))),
            false => exchange.their_clock(now),
        };
        let latest = clock.map_or(u32::MAX, |clock| clock.0.saturating_add(AHEAD));
        exchange.crypt.as_deref()?.reread(datagram, Timestamp(latest))
    }

    /// Whether the peer of a call has shown that it hears us at its address, by a full frame that bears our number.
    /// Before that no voice leaves (RFC 5456 §6.2.3): what is given to [`send_voice`](Self::send_voice) is dropped.
    #[must_use]
    pub fn hears_us(&self, id: CallId) -> bool {
        self.call(id).is_some_and(|call| call.exchange.confirmed)
    }

    /// How far the signalling of a call is.
    #[must_use]
    pub fn call_signalling(&self, id: CallId) -> Option<Signalling> {
        let FullFrames { reliable, talk, .. } = &*self.call(id)?.exchange.full;
        let (next, expected) = (reliable.next(), reliable.expected());
        Some(Signalling { next, expected, first: talk.first, last: talk.last })
    }

    /// The addresses between which a call goes.
    #[must_use]
    pub fn call_path(&self, id: CallId) -> Option<Path> {
        self.call(id).map(|call| call.exchange.path)
    }

    fn call(&self, id: CallId) -> Option<&Call> {
        match &self.slots.get(id.slot, id.generation)?.role {
            Role::Call(call) => Some(call),
            _ => None,
        }
    }
}

/// What we are, and what waits for others.
impl Endpoint {
    /// What we say of ourselves in NEW and REGREQ from now on.
    pub fn set_device(&mut self, device: Device) {
        self.cx.config.device = device;
    }

    /// Tells a peer how many messages wait for it (MWI, RFC 5456 §6.9.4). It is repeated until it is
    /// acknowledged or given up; nothing is heard of it. Asterisk does not know this frame.
    ///
    /// # Errors
    /// A limit is reached.
    pub fn tell_messages(
        &mut self,
        now: Instant,
        to: SocketAddr,
        count: MessageCount,
    ) -> Result<(), CommandError> {
        let mut exchange = self.opening_exchange(now, to)?;
        let mut elements = ElementBuffer::new();
        elements.push(&Element::MessageCount(count));
        exchange.send_iax(&mut self.cx, now, IaxSubclass::Mwi, &elements);
        let until = now + self.cx.config.number_quarantine;
        let role = Role::Resting(Resting::new(exchange, until, None));
        let (slot, _) = self.slots.insert(role, false);
        self.slots.schedule(&mut self.cx, slot);
        Ok(())
    }
}

/// Being registered elsewhere.
impl Endpoint {
    /// Registers at a peer, and again before each expiry, until [`unregister`](Self::unregister). Where there are
    /// [others](RegistrationConfig::others), one of them has us while it does not answer.
    pub fn register(&mut self, now: Instant, config: RegistrationConfig) -> RegistrationId {
        let now = self.cx.time.enter(now);
        let role = Role::Registration(Box::new(Registration::new(config, now)));
        let (slot, generation) = self.slots.insert(role, false);
        self.begin_cycle(now, slot);
        self.slots.schedule(&mut self.cx, slot);
        RegistrationId { slot, generation }
    }

    /// Ends a registration: [`Event::Unregistered`] follows, after the peer was told if it has us.
    pub fn unregister(&mut self, now: Instant, id: RegistrationId) {
        let now = self.cx.time.enter(now);
        let Some(registration) = self.registration_mut(id) else { return };
        if core::mem::replace(&mut registration.releasing, true) {
            return;
        }
        (registration.next, registration.next_poke) = (None, None);
        registration.registrars.stop();
        let held = registration.held_until.is_some_and(|until| until > now);
        if let Some(cycle) = registration.cycle.take() {
            self.give_up_cycle(now, cycle);
        }
        if held {
            self.begin_cycle(now, id.slot);
        } else {
            self.finish_release(id);
        }
    }

    /// Forgets the registration in `slot`, and tells nobody.
    pub(crate) fn leave_registration(&mut self, now: Instant, slot: u32) {
        let Some(Role::Registration(registration)) = self.slots.at(slot).map(|place| &place.role)
        else {
            return;
        };
        if let Some(cycle) = registration.cycle {
            self.give_up_cycle(now, cycle);
        }
        self.slots.free(slot);
    }

    /// What is under way is over, and the peer hears nothing more of it.
    fn give_up_cycle(&mut self, now: Instant, cycle: u32) {
        if let Some(exchange) = self.slots.at(cycle).and_then(|slot| slot.role.exchange_mut()) {
            exchange.full.reliable.clear();
        }
        self.rest(now, cycle, None);
    }

    fn registration_mut(&mut self, id: RegistrationId) -> Option<&mut Registration> {
        match &mut self.slots.get_mut(id.slot, id.generation)?.role {
            Role::Registration(registration) => Some(registration),
            _ => None,
        }
    }

    /// Polls the registrar of an idle registration when that is due.
    pub(crate) fn keep_alive(&mut self, now: Instant, slot: u32) {
        let interval = self.cx.config.keep_alive;
        let Some(place) = self.slots.at(slot) else { return };
        let owner = RegistrationId { slot, generation: place.generation };
        let Role::Registration(registration) = &mut place.role else { return };
        if registration.next_poke.is_none_or(|next| next > now) {
            return;
        }
        // They may have been switched off since the last one.
        registration.next_poke = interval.map(|interval| now + interval);
        if interval.is_none() {
            return;
        }
        let to = registration.registrar();
        // Without a free number there is traffic enough to keep the way open.
        let _ = self.send_poke(now, to, KEEP_ALIVE_TIMEOUT, Some(owner));
    }

    /// Polls a better registrar than the one that has us when that is due.
    pub(crate) fn look_at_better(&mut self, now: Instant, slot: u32) {
        let Some(place) = self.slots.at(slot) else { return };
        let owner = RegistrationId { slot, generation: place.generation };
        let Role::Registration(registration) = &mut place.role else { return };
        if let Some(to) = registration.registrars.poll(now) {
            // Without a free number it is polled the next time.
            let _ = self.send_poke(now, to, KEEP_ALIVE_TIMEOUT, Some(owner));
        }
    }

    /// A registrar has answered a poll of a registration, or has not. The one that has us may say where it sees us: if that is
    /// another place than when we registered, we register anew.
    pub(crate) fn kept_alive(
        &mut self,
        now: Instant,
        (owner, registrar): (RegistrationId, SocketAddr),
        answered: bool,
        seen_at: Option<SocketAddr>,
    ) {
        let pauses = self.registration_pauses();
        let Some(registration) = self.registration_mut(owner) else { return };
        if registrar != registration.registrar() {
            // While a renewal is under way its end says what comes next.
            let idle = registration.cycle.is_none();
            if (idle || !answered) && registration.registrars.polled(now, registrar, answered) {
                registration.polls_lost = 0;
                (registration.next, registration.next_poke) = (Some(now), None);
            }
            self.slots.schedule(&mut self.cx, owner.slot);
            return;
        }
        if let (Some(registered), Some(seen)) = (registration.seen_at, seen_at)
            && registered != seen
            && registration.next_poke.take().is_some()
        {
            registration.next = Some(now);
        }
        registration.polls_lost = if answered { 0 } else { registration.polls_lost + 1 };
        if !answered && registration.next_poke.is_some() {
            // The next follows at once: one may be lost by anybody.
            registration.next_poke = Some(now);
        }
        if registration.polls_lost >= POLLS_LOST && registration.next_poke.take().is_some() {
            registration.polls_lost = 0;
            if registration.registrars.are_several() {
                let failure = RegistrationFailure::TimedOut;
                let cycle = registration.cycle;
                let retry_in = registration.failed(now, &failure, pauses);
                self.cx.tell(Event::RegistrationFailed {
                    registration: owner,
                    registrar,
                    failure,
                    retry_in,
                });
                if let Some(cycle) = cycle {
                    self.give_up_cycle(now, cycle);
                }
            } else {
                // It may have lost us, or the way has changed: we register anew to find out.
                registration.next = Some(now);
            }
        }
        self.slots.schedule(&mut self.cx, owner.slot);
    }

    /// The first pause between attempts to register, and the longest.
    const fn registration_pauses(&self) -> (Duration, Duration) {
        let config = &self.cx.config;
        (config.first_registration_pause, config.longest_registration_pause)
    }

    fn finish_release(&mut self, id: RegistrationId) {
        self.slots.free(id.slot);
        self.cx.tell(Event::Unregistered { registration: id });
    }

    /// Begins the next cycle of the registration in `slot`, if it is due.
    pub(crate) fn begin_cycle(&mut self, now: Instant, slot: u32) {
        let Some(place) = self.slots.at(slot) else { return };
        let owner = RegistrationId { slot, generation: place.generation };
        let Role::Registration(registration) = &mut place.role else { return };
        let due = registration.next.is_some_and(|next| next <= now) || registration.releasing;
        if !due {
            return;
        }
        registration.next = None;
        if registration.cycle.is_some() {
            // Its end says when the next begins.
            return;
        }
        let to = registration.registrar();
        let Ok(exchange) = self.opening_exchange(now, to) else {
            self.finish_cycle(now, owner, CycleEnd::Failed(RegistrationFailure::NoFreeCallNumber));
            return;
        };
        let cycle = self.slots.vacant();
        let Some(registration) = self.registration_mut(owner) else { return };
        registration.cycle = Some(cycle);
        let Self { cx, slots } = self;
        let Some(Role::Registration(registration)) = slots.at(slot).map(|place| &place.role) else {
            return;
        };
        let registering = Registering::begin(cx, now, exchange, owner, registration);
        slots.insert(Role::Registering(Box::new(registering)), false);
        slots.schedule(cx, cycle);
    }

    /// Tells the owner how its cycle ended.
    pub(crate) fn finish_cycle(&mut self, now: Instant, owner: RegistrationId, end: CycleEnd) {
        let [random, ..] = self.cx.rng.next_u32().to_be_bytes();
        let keep_alive = self.cx.config.keep_alive;
        let pauses = self.registration_pauses();
        let Some(registration) = self.registration_mut(owner) else { return };
        if registration.releasing {
            self.finish_release(owner);
            return;
        }
        let registrar = registration.registrar();
        let event = match end {
            CycleEnd::Acknowledged { refresh, apparent_address, messages, firmware_version } => {
                registration.seen_at = apparent_address;
                registration.succeeded(now, refresh, random);
                registration.registrars.registered(now, keep_alive);
                registration.next_poke = keep_alive.map(|interval| now + interval);
                Event::Registered {
                    registration: owner,
                    registrar,
                    refresh,
                    apparent_address,
                    messages,
                    firmware_version,
                }
            }
            CycleEnd::Failed(failure) => {
                let retry_in = registration.failed(now, &failure, pauses);
                Event::RegistrationFailed { registration: owner, registrar, failure, retry_in }
            }
        };
        self.cx.tell(event);
        self.slots.schedule(&mut self.cx, owner.slot);
    }
}

/// Others that register here. The engine leads the exchange, the application keeps the bindings.
///
/// All of these fail with [`CommandError::UnknownRequest`] for a request that has ended.
impl Endpoint {
    fn with_request<R>(
        &mut self,
        id: RequestId,
        act: impl FnOnce(&mut Request, &mut crate::context::Context) -> Result<R, CommandError>,
    ) -> Result<R, CommandError> {
        let slot = self.slots.get_mut(id.slot, id.generation);
        let Some(Role::Request(request)) = slot.map(|slot| &mut slot.role) else {
            return Err(CommandError::UnknownRequest);
        };
        let result = act(request, &mut self.cx);
        self.slots.schedule(&mut self.cx, id.slot);
        result
    }

    /// Asks for a proof. Then [`Event::RegisterAuthenticated`] follows, or the request ends.
    ///
    /// # Errors
    /// The request was challenged before, or too many challenges wait under this name.
    pub fn challenge_request(
        &mut self,
        now: Instant,
        id: RequestId,
        challenge: Challenge,
    ) -> Result<(), CommandError> {
        let now = self.cx.time.enter(now);
        self.with_request(id, |request, cx| request.challenge(cx, now, challenge))
    }

    /// Grants a request, also one to release.
    ///
    /// # Errors
    /// The request waits for a proof, or is decided.
    pub fn grant(
        &mut self,
        now: Instant,
        id: RequestId,
        grant: &Grant,
    ) -> Result<(), CommandError> {
        let now = self.cx.time.enter(now);
        self.with_request(id, |request, cx| request.grant(cx, now, grant))
    }

    /// Refuses a request.
    ///
    /// # Errors
    /// The request waits for a proof, or is decided.
    pub fn refuse(&mut self, now: Instant, id: RequestId) -> Result<(), CommandError> {
        let now = self.cx.time.enter(now);
        self.with_request(id, |request, cx| request.refuse(cx, now))?;
        self.end_request(now, id.slot, RequestOutcome::Refused);
        Ok(())
    }
}

/// Polls.
impl Endpoint {
    /// Asks a peer whether it is there: one POKE, never repeated, so that loss shows.
    /// [`Event::Pong`] or [`Event::PokeTimedOut`] follows.
    ///
    /// # Errors
    /// A limit is reached.
    pub fn poke(
        &mut self,
        now: Instant,
        to: SocketAddr,
        timeout: Duration,
    ) -> Result<PokeId, CommandError> {
        let now = self.cx.time.enter(now);
        self.send_poke(now, to, timeout, None)
    }

    pub(crate) fn send_poke(
        &mut self,
        now: Instant,
        to: SocketAddr,
        timeout: Duration,
        owner: Option<RegistrationId>,
    ) -> Result<PokeId, CommandError> {
        let Exchange { path, ours, .. } = self.opening_exchange(now, to)?;
        let header = FullHeader {
            source: ours,
            destination: CallNumber::NONE,
            retransmission: false,
            timestamp: Timestamp(0),
            oseq: Seq::ZERO,
            iseq: Seq::ZERO,
        };
        // As Asterisk's has; and it leaves room for our address in an answer three times as long.
        let mut elements = ElementBuffer::new();
        elements.push(&Element::CallToken(&[]));
        let poke = Message::iax(IaxSubclass::Poke, elements.as_elements());
        self.cx.send_once(path, None, &header, &poke);
        let poke = Poke { path, ours, sent: now, deadline: now + timeout, owner };
        let (slot, generation) = self.slots.insert(Role::Poke(Box::new(poke)), false);
        self.slots.schedule(&mut self.cx, slot);
        Ok(PokeId { slot, generation })
    }
}
