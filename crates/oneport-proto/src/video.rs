//! Video of one call: which timestamp and which kind of frame it gets, going out; its whole
//! timestamp and its format, coming in (RFC 5456 §8.1.3.1, §8.2.3).
//!
//! A call carries video only in formats that its NEW offered and its ACCEPT named beside the one that
//! is spoken. It never enters a trunk, and it stays here when the voice of a call is transferred.

use oneport_wire::{Format, FormatSet, MediaSubclass, Message, Timestamp, VideoTimestamp};

use crate::call::Call;
use crate::clock::Instant;
use crate::context::Context;
use crate::drop_reason::DropReason;
use crate::error::CommandError;
use crate::exchange::Exchange;
use crate::media::Video;
use crate::relay_clock::{RelayClock, is_after};

/// The packets of a picture made here have one timestamp, unless its end does not come for so long.
const LONGEST_PICTURE_MS: u32 = 200;

/// The video of a call.
#[derive(Debug, Default)]
pub(crate) struct VideoStreams {
    /// Formats that the NEW of this call offered.
    pub(crate) offered: FormatSet,
    /// Those of them that the call carries.
    pub(crate) carried: FormatSet,
    pub(crate) out: VideoOut,
    pub(crate) heard: VideoIn,
}

/// The sending side.
#[derive(Debug, Default)]
pub(crate) struct VideoOut {
    /// Format of the last full frame.
    format: Option<Format>,
    /// The latest timestamp sent. It may be repeated; it never goes back.
    last: Option<u32>,
    /// The timestamp of a picture that has not ended.
    picture: Option<u32>,
    relay: RelayClock,
    pub(crate) frames: u64,
}

impl VideoOut {
    /// The timestamp of a packet made here: that of its picture.
    fn stamp(&self, real: u32) -> u32 {
        match self.picture {
            Some(picture) if real.wrapping_sub(picture) <= LONGEST_PICTURE_MS => picture,
            _ => self.not_before_last(real),
        }
    }

    /// The timestamp of a packet relayed from a call where it had `theirs`. `with_voice` is where
    /// that lies among the voice relayed from there.
    fn relay_stamp(&mut self, real: u32, theirs: u32, with_voice: Option<u32>) -> u32 {
        let first = self.not_before_last(with_voice.unwrap_or(real));
        let stamp = self.relay.stamp(real, theirs, first);
        self.not_before_last(stamp)
    }

    fn not_before_last(&self, stamp: u32) -> u32 {
        self.last.filter(|last| is_after(*last, stamp)).unwrap_or(stamp)
    }

    /// Starts a new clock, as after a transfer: the next frame is full. The counts go on.
    fn begin_anew(&mut self) {
        *self = Self { frames: self.frames, ..Self::default() };
    }

    /// Forgets the linked call's clock.
    pub(crate) fn end_relay(&mut self) {
        self.relay.forget();
    }

    /// Sends a packet: mini where the peer knows format and upper part of the timestamp, else full.
    fn send(
        &mut self,
        cx: &mut Context,
        exchange: &mut Exchange,
        now: Instant,
        video: Video<'_>,
    ) -> Result<(), DropReason> {
        let Video { format, timestamp, mark, payload } = video;
        let turned = self.last.is_none_or(|last| timestamp.0 >> 15 != last >> 15);
        let sent = if turned || self.format != Some(format) {
            let room = exchange.full.reliable.has_room();
            if room {
                let message = Message::video(format, mark, payload);
                exchange.send_stamped(cx, now, timestamp, &message);
                self.format = Some(format);
            }
            room
        } else {
            exchange.send_video(cx, timestamp, mark, payload)
        };
        if !sent {
            return Err(DropReason::TransmitBufferFull);
        }
        self.last = Some(timestamp.0);
        self.picture = (!mark).then_some(timestamp.0);
        self.frames += 1;
        Ok(())
    }
}

/// The receiving side.
#[derive(Debug, Default)]
pub(crate) struct VideoIn {
    /// Format of the last full frame, whether the call carries it or not.
    format: Option<Format>,
    /// Whole timestamp of the latest frame.
    last: Timestamp,
    pub(crate) frames: u64,
}

impl VideoIn {
    fn take(&mut self, stamp: Timestamp) {
        if is_after(stamp.0, self.last.0) {
            self.last = stamp;
        }
        self.frames += 1;
    }
}

impl Call {
    /// Lets this call carry video in those of `formats` that its NEW offered.
    pub(crate) fn allow_video(&mut self, formats: FormatSet) {
        self.seldom.video.carried = self.seldom.video.offered & formats.video();
    }

    /// Goes on with another peer, whose clock is another.
    pub(crate) fn begin_video_anew(&mut self) {
        self.seldom.video.out.begin_anew();
        self.seldom.video.heard.last = Timestamp(0);
    }

    /// Takes a full frame of video: it sets format and time base.
    ///
    /// Asterisk loses the format of full frames with the mark (subclass 0): they have that of the
    /// frame before, or the only one it can be.
    pub(crate) fn receive_full_video<'a>(
        &mut self,
        stamp: Timestamp,
        subclass: MediaSubclass,
        payload: &'a [u8],
    ) -> Result<Video<'a>, DropReason> {
        if self.agreed_format().is_none() {
            return Err(DropReason::MediaTooEarly);
        }
        let VideoStreams { carried, heard, .. } = &mut self.seldom.video;
        if carried.is_empty() {
            return Err(DropReason::Video);
        }
        let only = || {
            let mut formats = carried.iter();
            formats.next().filter(|_| formats.next().is_none())
        };
        let nameless = subclass.0 & !0x40 == 0;
        let format = match nameless {
            true => heard.format.or_else(only),
            false => subclass.video_format(),
        };
        let format = format.ok_or(DropReason::UnknownFormat)?;
        heard.format = Some(format);
        if !carried.contains(format) {
            return Err(DropReason::Video);
        }
        heard.last = stamp;
        heard.take(stamp);
        Ok(Video { format, timestamp: stamp, mark: nameless || subclass.mark(), payload })
    }

    /// Takes a video mini frame.
    pub(crate) fn receive_mini_video<'a>(
        &mut self,
        cx: &mut Context,
        now: Instant,
        stamp: VideoTimestamp,
        mark: bool,
        payload: &'a [u8],
    ) -> Result<Video<'a>, DropReason> {
        if self.agreed_format().is_none() {
            return Err(DropReason::MediaTooEarly);
        }
        let VideoStreams { carried, heard, .. } = &mut self.seldom.video;
        if carried.is_empty() {
            return Err(DropReason::Video);
        }
        let Some(format) = heard.format else {
            // The full frame that names the format is missing.
            self.exchange.ask_again(cx, now);
            return Err(DropReason::UnknownFormat);
        };
        if !carried.contains(format) {
            return Err(DropReason::Video);
        }
        let timestamp = stamp.unwrap_near(heard.last);
        heard.take(timestamp);
        Ok(Video { format, timestamp, mark, payload })
    }

    /// Sends one packet of video made here.
    pub(crate) fn send_video(
        &mut self,
        cx: &mut Context,
        now: Instant,
        format: Format,
        payload: &[u8],
        mark: bool,
    ) -> Result<(), CommandError> {
        if self.agreed_format().is_none() {
            return Err(CommandError::WrongPhase);
        }
        if !self.seldom.video.carried.contains(format) {
            return Err(CommandError::FormatNotOffered);
        }
        if !self.exchange.confirmed {
            cx.counters.drop(DropReason::LinkNotReady);
            return Ok(());
        }
        let timestamp = Timestamp(self.seldom.video.out.stamp(self.exchange.clock(now)));
        let video = Video { format, timestamp, mark, payload };
        if let Err(reason) = self.seldom.video.out.send(cx, &mut self.exchange, now, video) {
            cx.counters.drop(reason);
        }
        Ok(())
    }

    /// Sends on a packet of the linked call, with the timestamp it had there.
    pub(crate) fn relay_video(
        &mut self,
        cx: &mut Context,
        now: Instant,
        video: Video<'_>,
    ) -> Result<(), DropReason> {
        if self.agreed_format().is_none() || !self.exchange.confirmed {
            return Err(DropReason::LinkNotReady);
        }
        if !self.seldom.video.carried.contains(video.format) {
            return Err(DropReason::Video);
        }
        let (real, theirs) = (self.exchange.clock(now), video.timestamp.0);
        let with_voice = self.voice_out.place_of_relayed(real, theirs);
        let stamp = self.seldom.video.out.relay_stamp(real, theirs, with_voice);
        let video = Video { timestamp: Timestamp(stamp), ..video };
        self.seldom.video.out.send(cx, &mut self.exchange, now, video)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_a_picture_share_their_timestamp_until_its_end() {
        let mut video = VideoOut::default();
        let mut send = |real: u32, mark: bool| {
            let stamp = video.stamp(real);
            (video.last, video.picture) = (Some(stamp), (!mark).then_some(stamp));
            stamp
        };
        let sent = [(100, false), (104, false), (109, true), (133, false), (134, true)];
        let stamps = sent.map(|(real, mark)| send(real, mark));
        assert_eq!(stamps, [100, 100, 100, 133, 133]);
        // A sender that never says where a picture ends still gets along.
        let stamps = [150, 300, 351, 352].map(|real| send(real, false));
        assert_eq!(stamps, [150, 150, 351, 351]);
    }

    #[test]
    fn relayed_timestamps_keep_their_distances_and_never_go_back() {
        let mut video = VideoOut::default();
        let mut relay = |real, theirs, with_voice| {
            let stamp = video.relay_stamp(real, theirs, with_voice);
            video.last = Some(stamp);
            stamp
        };
        assert_eq!(relay(500, 90_000, Some(520)), 520, "with its sound");
        assert_eq!(relay(501, 90_000, None), 520, "the same picture");
        assert_eq!(relay(545, 90_040, None), 560);
        assert_eq!(relay(546, 90_000, None), 560, "late, and not before what was sent");
        assert_eq!(relay(600, 7, None), 600, "the source began anew");
    }
}
