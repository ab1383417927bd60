//! Voice of one call: which timestamp and which kind of frame it gets, going out; its whole
//! timestamp and its format, coming in (RFC 5456 §8.1.2, §8.2.2).

use core::time::Duration;

use oneport_wire::{Format, Message, MiniTimestamp, Timestamp};

use crate::clock::Instant;
use crate::context::Context;
use crate::drop_reason::DropReason;
use crate::exchange::Exchange;
use crate::relay_clock::{RelayClock, distance, is_after};
use crate::stats::VoiceMeter;

/// The clock of the samples is believed while it is this near to real time; then a burst of frames
/// handed over at once still gets even timestamps.
const SAMPLE_CLOCK_SLACK_MS: u32 = 160;

/// A full frame this far behind is no late copy: frames are repeated for 32 s at most.
const LATEST_FULL_MS: u32 = 40_000;

/// After so long a silence the time that has passed decides about a mini frame's upper half.
const LONG_SILENCE: Duration = Duration::from_secs(15);

/// A frame within this distance of the one before follows it, whatever our clock says.
const FOLLOWS_MS: u32 = 2_000;

/// How a frame of voice left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sent {
    /// Mini or on a trunk, and forgotten.
    Once,
    /// Full, and repeated until it is acknowledged.
    Reliably,
}

/// The sending side.
#[derive(Debug, Default)]
pub(crate) struct VoiceOut {
    /// Format of the last full frame: the peer takes mini frames for it.
    format: Option<Format>,
    /// The latest timestamp sent.
    last: Option<u32>,
    /// Where the last frame ended, by the clock of its samples.
    next: Option<u32>,
    relay: RelayClock,
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    pub(crate) drops: u64,
    /// What we leave out, as where a relayed caller's frames were lost: the peer misses it too.
    gaps: VoiceMeter,
}

impl VoiceOut {
    /// The timestamp of a frame made here that lasts `duration_ms`; `real` is our clock.
    pub(crate) fn stamp(&mut self, real: u32, duration_ms: u16) -> u32 {
        let stamp = match self.next {
            Some(next) if distance(next, real) <= SAMPLE_CLOCK_SLACK_MS => next,
            _ => self.not_before_last(real),
        };
        self.next = Some(stamp.wrapping_add(duration_ms.into()));
        stamp
    }

    /// The timestamp of a frame relayed from a call where it had `theirs`: the same distances.
    pub(crate) fn relay_stamp(&mut self, real: u32, theirs: u32) -> u32 {
        self.next = None;
        let first = self.not_before_last(real);
        self.relay.stamp(real, theirs, first)
    }

    /// Starts a new clock, as after a transfer: the next frame is full. The counts go on.
    pub(crate) fn begin_anew(&mut self) {
        (self.format, self.last, self.next) = (None, None, None);
        self.relay.forget();
        self.gaps.begin_anew();
    }

    /// Frames that the peer misses though none of ours was lost.
    pub(crate) fn gaps(&self) -> u64 {
        self.gaps.snapshot().lost
    }

    /// Forgets the linked call's clock.
    pub(crate) fn end_relay(&mut self) {
        self.relay.forget();
    }

    /// Where `theirs`, of the linked call, lies among the timestamps of this voice, so that pictures
    /// stay with their sound.
    pub(crate) fn place_of_relayed(&self, real: u32, theirs: u32) -> Option<u32> {
        self.relay.place(real, theirs)
    }

    fn not_before_last(&self, real: u32) -> u32 {
        match self.last {
            Some(last) if !is_after(real, last) => last.wrapping_add(1),
            _ => real,
        }
    }

    /// Sends a frame: mini where the peer knows format and upper half of the timestamp, else full.
    ///
    /// # Errors
    /// No room; the frame is dropped and counted.
    pub(crate) fn send(
        &mut self,
        cx: &mut Context,
        exchange: &mut Exchange,
        now: Instant,
        format: Format,
        stamp: u32,
        payload: &[u8],
    ) -> Result<Sent, DropReason> {
        let ahead = self.last.is_none_or(|last| is_after(stamp, last));
        // A frame older than the last one, which only a relay yields, unwraps to the right upper
        // half as it is.
        // Straight to the other end of a transfer there are no full frames, as Asterisk has it.
        // RFC 5456 wants a full one at each multiple of 32,768 ms (§6.10), and at each turn of the
        // 16-bit clock (§8.1.2), which is every other of those.
        let turned = exchange.media_path.is_none()
            && self.last.is_none_or(|last| ahead && stamp >> 15 != last >> 15);
        let sent = if turned || self.format != Some(format) {
            let room = exchange.reliable.has_room();
            if room {
                cx.flush_trunk(now, exchange.trunk);
                let message = Message::voice(format, payload);
                exchange.send_stamped(cx, now, Timestamp(stamp), &message);
                self.format = Some(format);
            }
            room.then_some(Sent::Reliably)
        } else {
            exchange.send_voice(cx, now, Timestamp(stamp), payload).then_some(Sent::Once)
        };
        let Some(sent) = sent else {
            self.drops += 1;
            return Err(DropReason::TransmitBufferFull);
        };
        if ahead {
            self.last = Some(stamp);
        }
        self.frames += 1;
        self.bytes += payload.len() as u64;
        self.gaps.receive(now, stamp, format, payload.len());
        Ok(sent)
    }
}

/// The receiving side.
#[derive(Debug, Default)]
pub(crate) struct VoiceIn {
    /// Format of the last full frame.
    pub(crate) format: Option<Format>,
    /// Arrival and whole timestamp of the latest frame.
    last: Option<(Instant, Timestamp)>,
    /// What a trunk's clock must be moved by to be this call's, for entries without timestamp.
    trunk_offset: Option<u32>,
    /// The datagram that had the last such entry.
    trunk_datagram: u64,
    pub(crate) meter: VoiceMeter,
}

impl VoiceIn {
    /// The sender has a new clock, as after a transfer. The counts go on.
    pub(crate) fn begin_anew(&mut self) {
        (self.last, self.trunk_offset) = (None, None);
        self.meter.begin_anew();
    }

    /// When the latest frame came.
    pub(crate) fn last_arrival(&self) -> Option<Instant> {
        self.last.map(|(came, _)| came)
    }

    /// Where the sender's clock stands now, by the latest frame.
    pub(crate) fn clock(&self, now: Instant) -> Option<Timestamp> {
        self.last.map(|(came, stamp)| Timestamp(stamp.0.wrapping_add(now.millis_since(came))))
    }

    /// Takes a full frame: it sets format and time base.
    pub(crate) fn full(&mut self, now: Instant, format: Format, stamp: Timestamp, bytes: usize) {
        self.format = Some(format);
        if self.trunk_offset.take().is_some() {
            // The times before were no better than the trunk's.
            self.meter.begin_anew();
        }
        if let Some((_, last)) = self.last
            && is_after(last.0, stamp.0)
            && distance(last.0, stamp.0) > LATEST_FULL_MS
        {
            // No repeated frame is that late: the sender has put its clock back.
            self.last = None;
        }
        self.take(now, stamp, format, bytes);
    }

    /// Takes a mini frame of the format that the last full frame named, and gives its whole
    /// timestamp.
    ///
    /// It belongs near the one before it. After a long silence, of which a sender need not give
    /// notice by a full frame, it may be some rounds of the 16 bits further, as the time that has
    /// passed says; unless it follows the one before it all the same, as where it was our clock that
    /// stepped, or this machine that slept with frames waiting.
    pub(crate) fn mini(
        &mut self,
        now: Instant,
        stamp: MiniTimestamp,
        format: Format,
        bytes: usize,
    ) -> Timestamp {
        let (came, last) = self.last.unwrap_or((now, Timestamp(0)));
        let mut whole = stamp.unwrap_near(last);
        let silence = now.since(came);
        if silence > LONG_SILENCE && distance(whole.0, last.0) > FOLLOWS_MS {
            whole = stamp.unwrap_near(Timestamp(last.0.wrapping_add(now.millis_since(came))));
        }
        self.take(now, whole, format, bytes);
        whole
    }

    /// Takes a trunk entry that has no timestamp of its own: the trunk's clock stands in. That
    /// begins anew when the trunk was silent. Further entries of one `datagram`, each of which has
    /// its own number, follow one another.
    pub(crate) fn trunk(
        &mut self,
        now: Instant,
        datagram: u64,
        trunk: Timestamp,
        format: Format,
        bytes: usize,
    ) -> Timestamp {
        let (came, last) = self.last.unwrap_or((now, Timestamp(0)));
        let passed = now.millis_since(came).max(1);
        let expected = if self.last.is_some() { last.0.wrapping_add(passed) } else { trunk.0 };
        let offset = self.trunk_offset.filter(|offset| {
            let stamp = trunk.0.wrapping_add(*offset);
            let near = |other| distance(stamp, other) <= FOLLOWS_MS;
            near(expected) || near(last.0)
        });
        let offset = offset.unwrap_or_else(|| {
            self.meter.begin_anew();
            expected.wrapping_sub(trunk.0)
        });
        self.trunk_offset = Some(offset);
        let follows = core::mem::replace(&mut self.trunk_datagram, datagram) == datagram;
        let stamp = match follows {
            true => Timestamp(last.0.wrapping_add(self.meter.length())),
            false => Timestamp(trunk.0.wrapping_add(offset)),
        };
        self.take(now, stamp, format, bytes);
        stamp
    }

    fn take(&mut self, now: Instant, stamp: Timestamp, format: Format, bytes: usize) {
        self.meter.receive(now, stamp.0, format, bytes);
        if self.last.is_none_or(|(_, last)| is_after(stamp.0, last.0)) {
            self.last = Some((now, stamp));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_handed_over_in_a_burst_are_stamped_evenly() {
        let mut voice = VoiceOut::default();
        let stamps: [u32; 4] = core::array::from_fn(|_| voice.stamp(1_000, 20));
        assert_eq!(stamps, [1_000, 1_020, 1_040, 1_060]);
        assert_eq!(voice.stamp(1_075, 20), 1_080, "the clock of the samples goes on");
        assert_eq!(voice.stamp(5_000, 20), 5_000, "after a pause real time counts");
    }

    #[test]
    fn a_relay_keeps_the_distances_and_follows_a_jump() {
        let mut voice = VoiceOut::default();
        assert_eq!(voice.relay_stamp(500, 10_000), 500);
        assert_eq!(voice.relay_stamp(555, 10_040), 540);
        assert_eq!(voice.relay_stamp(556, 10_020), 520, "out of order");
        assert_eq!(voice.relay_stamp(580, 90_000), 580, "the source began anew");
    }

    #[test]
    fn a_relay_follows_slow_drift_without_a_jump() {
        let mut voice = VoiceOut::default();
        let first = voice.relay_stamp(0, 0);
        let mut theirs = 0_u32;
        for n in 1..2_000_000_u32 {
            theirs = n * 20;
            // 500 ppm faster than our clock.
            assert_eq!(voice.relay_stamp((u64::from(theirs) * 2000 / 2001) as u32, theirs), theirs);
        }
        assert_eq!((first, theirs), (0, 39_999_980));
    }

    #[test]
    fn entries_of_a_trunk_without_timestamps_keep_the_trunk_s_distances() {
        let at = |ms: u64| Instant::from_micros(ms * 1000);
        let mut voice = VoiceIn::default();
        voice.full(at(100), Format::ULAW, Timestamp(1_000), 160);
        assert_eq!(voice.trunk(at(120), 1, Timestamp(77_000), Format::ULAW, 160), Timestamp(1_020));
        assert_eq!(voice.trunk(at(155), 2, Timestamp(77_020), Format::ULAW, 160), Timestamp(1_040));
    }

    #[test]
    fn a_trunk_whose_clock_begins_anew_goes_on_where_the_call_is() {
        let at = |ms: u64| Instant::from_micros(ms * 1000);
        let mut voice = VoiceIn::default();
        voice.full(at(100), Format::ULAW, Timestamp(1_000), 160);
        voice.trunk(at(120), 1, Timestamp(77_000), Format::ULAW, 160);
        let stamp = voice.trunk(at(20_120), 2, Timestamp(0), Format::ULAW, 160);
        assert_eq!(stamp, Timestamp(21_020));
        let stamp = voice.trunk(at(20_140), 3, Timestamp(20), Format::ULAW, 160);
        assert_eq!(stamp, Timestamp(21_040));
        let stamp = voice.trunk(at(20_140), 3, Timestamp(20), Format::ULAW, 160);
        assert_eq!(stamp, Timestamp(21_060), "another of the same datagram");
        assert_eq!(voice.meter.snapshot().duplicates, 0);
        // Our clock steps by an hour, the trunk does not.
        let stamp = voice.trunk(at(3_620_160), 4, Timestamp(40), Format::ULAW, 160);
        assert_eq!(stamp, Timestamp(21_060));
    }

    #[test]
    fn mini_frames_behind_a_long_silence_and_behind_a_step_of_our_clock_are_whole() {
        let at = |ms: u64| Instant::from_micros(ms * 1000);
        let mini = |stamp: u32| Timestamp(stamp).low16();
        let mut voice = VoiceIn::default();
        voice.full(at(0), Format::ULAW, Timestamp(1_000), 160);
        // Asterisk goes on with mini frames, however long it was silent.
        for (now, whole) in [(89_000, 90_000), (89_020, 90_020), (999_000, 1_000_000)] {
            let stamp = voice.mini(at(now), mini(whole), Format::ULAW, 160);
            assert_eq!(stamp, Timestamp(whole));
        }
        // An hour of ours passes between two frames of its stream, as in a machine that slept.
        let now = 999_000 + 3_600_000;
        for n in 1..100 {
            let whole = 1_000_000 + n * 20;
            let stamp = voice.mini(at(now), mini(whole), Format::ULAW, 160);
            assert_eq!(stamp, Timestamp(whole));
        }
        // The sender puts its clock back, with a full frame.
        voice.full(at(now + 20), Format::ULAW, Timestamp(5_000), 160);
        let stamp = voice.mini(at(now + 40), mini(5_020), Format::ULAW, 160);
        assert_eq!(stamp, Timestamp(5_020));
        assert_eq!(voice.meter.snapshot().lost, 0);
    }
}
