//! Linked calls whose voice is translated on its way: what the application makes of it leaves on the
//! other call, at the same distances in time. Everything else is as with any link.

use oneport_wire::{Message, Timestamp};

use crate::call::Call;
use crate::clock::Instant;
use crate::context::Context;
use crate::drop_reason::DropReason;
use crate::endpoint::{Endpoint, Handled, call_mut};
use crate::error::CommandError;
use crate::id::CallId;
use crate::media::{Media, MediaSink};
use crate::voice::Sent;

/// What is heard on one call and said on the other. Timestamps are of the speaker's clock.
///
/// ```
/// use oneport_proto::{CallId, Instant, Media, MediaSink, Speech};
/// use oneport_wire::Format;
///
/// /// Says loudly what was said softly: bit 4 to 6 of µ-law are the exponent.
/// struct Louder;
///
/// impl MediaSink for Louder {
///     fn media(&mut self, _: CallId, _: Media<'_>) {}
///
///     fn translate(
///         &mut self, _: Instant, _: CallId, _: CallId, heard: Speech<'_>, say: &mut dyn FnMut(Speech<'_>),
///     ) {
///         let Speech::Voice(voice) = heard else { return say(heard) };
///         let payload: Vec<u8> = voice.payload.iter().map(|byte| byte & 0x8F).collect();
///         say(Speech::Voice(Media { payload: &payload, ..voice }));
///     }
/// }
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (mut here, mut there) = two_ends(now);
/// # let (ann, to_ann) = call_up(now, &mut here, &mut there);
/// # let (bob, to_bob) = call_up(now, &mut here, &mut there);
/// there.link_translated(to_ann, to_bob)?;
/// here.send_voice(now, ann, Format::ULAW, &[0xFE; 160], 20)?;
/// exchange_with(now, &mut here, &mut there, &mut Louder);
/// let heard = here.call_stats(bob).map(|stats| stats.received.frames);
/// assert_eq!(heard, Some(1));
/// # Ok::<(), oneport_proto::CommandError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Speech<'a> {
    /// A frame of voice.
    Voice(Media<'a>),
    /// A pause in which nothing is sent, as long as no voice follows (CNG, RFC 5456 §8.3).
    Pause {
        /// When it begins, or has another level.
        timestamp: Timestamp,
        /// How loud it is, in −dBov: 127 is silence.
        level: u8,
    },
}

impl Endpoint {
    /// Links two accepted calls as [`link`](Self::link) does, whatever their formats are: their voice,
    /// and word of their pauses, go through [`MediaSink::translate`]. It relays video all the same.
    ///
    /// # Errors
    /// A call is not accepted.
    pub fn link_translated(&mut self, a: CallId, b: CallId) -> Result<(), CommandError> {
        for id in [a, b] {
            let call = call_mut(&mut self.slots, id).ok_or(CommandError::UnknownCall)?;
            call.agreed_format().ok_or(CommandError::WrongPhase)?;
        }
        self.join(a, b, true);
        Ok(())
    }

    /// Sends what belongs between what is translated for this call: timestamps are of the clock of the
    /// call that it is linked to. A call that is not linked may get all of its voice so, from somebody
    /// who has a clock but is no call here: distances in time stay. A frame for which there is no room is
    /// counted and dropped.
    ///
    /// # Errors
    /// None but those of all these commands.
    pub fn send_translated(
        &mut self,
        now: Instant,
        id: CallId,
        speech: Speech<'_>,
    ) -> Result<(), CommandError> {
        let now = self.cx.time.enter(now);
        self.with_call(id, |call, cx| {
            if !call.withheld
                && let Err(reason) = call.say_translated(cx, now, speech)
            {
                cx.counters.drop(reason);
            }
            Ok(())
        })
    }

    /// Has the application translate what came on a call for the one that it is linked to.
    pub(crate) fn translate(
        &mut self,
        now: Instant,
        from: CallId,
        to: CallId,
        speech: Speech<'_>,
        media: &mut impl MediaSink,
    ) -> Handled {
        let Some(call) = call_mut(&mut self.slots, to) else {
            return Handled::Dropped(DropReason::LinkNotReady);
        };
        if call.withheld {
            return Handled::Consumed;
        }
        let (cx, mut wakes) = (&mut self.cx, false);
        media.translate(now, from, to, speech, &mut |speech| match call
            .say_translated(cx, now, speech)
        {
            Err(reason) => cx.counters.drop(reason),
            Ok(Sent::Once) => {}
            Ok(Sent::Reliably) => wakes = true,
        });
        if wakes || call.exchange.crypt.is_some() {
            self.slots.schedule(&mut self.cx, to.slot);
        }
        Handled::Relayed
    }
}

impl Call {
    fn say_translated(
        &mut self,
        cx: &mut Context,
        now: Instant,
        speech: Speech<'_>,
    ) -> Result<Sent, DropReason> {
        match speech {
            Speech::Voice(Media { format, timestamp, payload }) => {
                self.relay_voice(cx, now, format, timestamp, payload)
            }
            Speech::Pause { level, .. } => {
                let message = Message::Cng { level, payload: &[] };
                self.send(cx, now, &message).map_err(|_| DropReason::LinkNotReady)?;
                self.voice_out.pause();
                Ok(Sent::Reliably)
            }
        }
    }
}
