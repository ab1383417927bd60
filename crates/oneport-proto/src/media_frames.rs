//! Frames without a full header, which nearly all are: mini frames of voice and video, and the entries of trunk frames
//! (RFC 5456 §8.1.2, §8.1.3). And where media goes: to the linked call, or to the application.

use oneport_wire::{MiniTimestamp, Timestamp, TrunkFrame, VideoMiniFrame};

use crate::call::Call;
use crate::clock::Instant;
use crate::drop_reason::DropReason;
use crate::endpoint::{Endpoint, Handled, call_mut};
use crate::id::CallId;
use crate::media::{Media, MediaSink, Video};
use crate::path::Path;
use crate::slots::Role;
use crate::translate::Speech;
use crate::voice::Sent;

/// Where voice of a call goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    link: Option<CallId>,
    /// A copy of it is wanted.
    tapped: bool,
    translated: bool,
}

impl Way {
    pub(crate) const fn of(call: &Call) -> Self {
        Self { link: call.link, tapped: call.tapped, translated: call.translated }
    }
}

/// What a voice frame without full header says of its time.
#[derive(Clone, Copy)]
pub(crate) enum Stamp {
    Mini(MiniTimestamp),
    /// An entry of a trunk with a time of its own, and one with that of the trunk alone.
    Entry(MiniTimestamp),
    Trunk(Timestamp),
}

impl Stamp {
    const fn is_of_trunk(self) -> bool {
        match self {
            Self::Mini(_) => false,
            Self::Entry(_) | Self::Trunk(_) => true,
        }
    }
}

impl Endpoint {
    /// An entry for a call that is not here costs only itself.
    pub(crate) fn handle_trunk(
        &mut self,
        now: Instant,
        from: &Path,
        trunk: &TrunkFrame<'_>,
        media: &mut impl MediaSink,
    ) -> Handled {
        self.cx.counters.trunk_frames_received += 1;
        let mut last = Handled::Dropped(DropReason::Malformed);
        let mut entries = trunk.entries();
        // A call may end by an entry, and never begins by one.
        let remote = self.cx.index.remote(from.remote);
        for entry in entries.by_ref() {
            let own = entry.timestamp.filter(|stamp| *stamp != MiniTimestamp(0));
            let stamp = own.map_or(Stamp::Trunk(trunk.timestamp), Stamp::Entry);
            let index =
                remote.and_then(|remote| self.cx.index.find_theirs_of(remote, entry.source));
            if index.is_none() && self.is_elsewhere(from.remote, entry.source) {
                continue;
            }
            let handled = self.handle_voice(now, from, index, stamp, entry.payload, media);
            last = self.count(handled);
        }
        if !entries.remainder().is_empty() {
            self.cx.counters.drop(DropReason::Malformed);
        }
        last
    }

    /// Voice without a full header.
    pub(crate) fn handle_voice(
        &mut self,
        now: Instant,
        from: &Path,
        index: Option<u32>,
        stamp: Stamp,
        payload: &[u8],
        media: &mut impl MediaSink,
    ) -> Handled {
        let handled = self.take_voice(now, from, index, stamp, payload, media);
        if let Handled::Dropped(_) = handled {
            self.set_subject(from, index);
        }
        handled
    }

    fn take_voice(
        &mut self,
        now: Instant,
        from: &Path,
        index: Option<u32>,
        stamp: Stamp,
        payload: &[u8],
        media: &mut impl MediaSink,
    ) -> Handled {
        let Some((index, slot)) = index.and_then(|index| Some((index, self.slots.at(index)?)))
        else {
            return Handled::Dropped(DropReason::UnknownMediaCall);
        };
        let generation = slot.generation;
        let Role::Call(call) = &mut slot.role else {
            return Handled::Dropped(DropReason::MediaTooEarly);
        };
        // Trunk frames are never encrypted.
        if call.voice_in.encrypted
            && stamp.is_of_trunk()
            && call.exchange.crypt.as_deref().is_some_and(|crypt| crypt.required)
        {
            return Handled::Dropped(DropReason::NotEncrypted);
        }
        let Some(agreed) = call.agreed_format() else {
            return Handled::Dropped(DropReason::MediaTooEarly);
        };
        if call.voice_in.format.is_none() && call.voice_in.last_arrival().is_none() {
            // The full frame that names the format is missing. It is asked for once: it is repeated
            // anyhow, and a peer that sends none would be asked for ever.
            call.exchange.ask_again(&mut self.cx, now);
        }
        let format = call.voice_in.format_or(agreed);
        let straight = call.comes_straight(from.remote);
        // Only the first frame of all needs it.
        let first = call.voice_in.last_arrival().is_none();
        let clock = if first && !straight { call.their_clock(now) } else { None };
        let bytes = payload.len();
        let timestamp = match stamp {
            Stamp::Mini(low) | Stamp::Entry(low) => {
                call.voice_in.mini(now, clock, low, format, bytes)
            }
            Stamp::Trunk(trunk) => call.voice_in.trunk(now, clock, trunk, format, bytes),
        };
        let way = Way::of(call);
        let id = CallId { slot: index, generation };
        self.deliver(now, id, way, Media { format, timestamp, payload }, media)
    }

    /// Hands voice to the linked call, or to the application.
    pub(crate) fn deliver(
        &mut self,
        now: Instant,
        from: CallId,
        way: Way,
        voice: Media<'_>,
        media: &mut impl MediaSink,
    ) -> Handled {
        if way.tapped {
            media.tapped(now, from, voice);
            if !media.passes(from) {
                return Handled::Consumed;
            }
        }
        let Some(to) = way.link else {
            media.media(from, voice);
            return Handled::Consumed;
        };
        if way.translated {
            return self.translate(now, from, to, Speech::Voice(voice), media);
        }
        let Some(call) = call_mut(&mut self.slots, to) else {
            return Handled::Dropped(DropReason::LinkNotReady);
        };
        if call.withheld {
            return Handled::Consumed;
        }
        let Media { format, timestamp, payload } = voice;
        match call.relay_voice(&mut self.cx, now, format, timestamp, payload) {
            Err(reason) => return Handled::Dropped(reason),
            Ok(Sent::Once) if call.exchange.crypt.is_none() => {}
            // It may have to be repeated, or a change of keys waited for it.
            Ok(_) => self.slots.schedule(&mut self.cx, to.slot),
        }
        Handled::Relayed
    }

    pub(crate) fn handle_video_mini(
        &mut self,
        now: Instant,
        index: Option<u32>,
        mini: &VideoMiniFrame<'_>,
        media: &mut impl MediaSink,
    ) -> Handled {
        let Some((index, slot)) = index.and_then(|index| Some((index, self.slots.at(index)?)))
        else {
            return Handled::Dropped(DropReason::UnknownMediaCall);
        };
        let id = CallId { slot: index, generation: slot.generation };
        let Role::Call(call) = &mut slot.role else {
            return Handled::Dropped(DropReason::MediaTooEarly);
        };
        let VideoMiniFrame { timestamp, mark, payload, .. } = *mini;
        let video = call.receive_mini_video(&mut self.cx, now, timestamp, mark, payload);
        let link = call.link;
        match video {
            Ok(video) => self.deliver_video(now, id, link, video, media),
            Err(reason) => Handled::Dropped(reason),
        }
    }

    /// Hands video to the linked call, or to the application.
    pub(crate) fn deliver_video(
        &mut self,
        now: Instant,
        from: CallId,
        link: Option<CallId>,
        video: Video<'_>,
        media: &mut impl MediaSink,
    ) -> Handled {
        let Some(to) = link else {
            media.video(from, video);
            return Handled::Consumed;
        };
        let Some(call) = call_mut(&mut self.slots, to) else {
            return Handled::Dropped(DropReason::LinkNotReady);
        };
        let relayed = call.relay_video(&mut self.cx, now, video);
        self.slots.schedule(&mut self.cx, to.slot);
        relayed.map_or_else(Handled::Dropped, |()| Handled::Relayed)
    }
}
