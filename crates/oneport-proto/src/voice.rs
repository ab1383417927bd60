//! Voice of one call: which timestamp and which kind of frame it gets, going out; its whole
//! timestamp and its format, coming in (RFC 5456 §8.1.2, §8.2.2).

use core::time::Duration;

use oneport_wire::{Format, Message, MiniTimestamp, Seq, Timestamp};

use crate::clock::Instant;
use crate::context::Context;
use crate::drop_reason::DropReason;
use crate::exchange::Exchange;
use crate::frame_length::{Gaps, PAUSE_MS};
use crate::relay_clock::{RelayClock, distance, is_after};
use crate::voice_meter::VoiceMeter;

/// The clock of the samples is believed while it is behind real time by so much; beyond it there was a pause.
const SAMPLE_CLOCK_SLACK_MS: u32 = 160;

/// It is believed by so much where it is ahead, or behind with a frame that is known to go on: what a machine
/// that stood still hands over at once gets even timestamps.
const STOOD_STILL_MS: u32 = 1_000;

/// A full frame this far behind is no late copy: frames are repeated for 32 s at most.
const LATEST_FULL_MS: u32 = 40_000;

/// After so long a silence the time that has passed decides about a mini frame's upper half.
const LONG_SILENCE: Duration = Duration::from_secs(15);

/// An entry of a trunk without timestamps follows the one before it while it is less late than so many
/// half lengths of a frame: it may have missed the datagram before, and have travelled longer.
const LATE_HALF_LENGTHS: u32 = 5;

/// A frame within this distance of the one before follows it, whatever our clock says.
const FOLLOWS_MS: u32 = 2_000;

/// So many full frames may follow the first that names a format, while that is not acknowledged.
/// Receivers of this library keep as many out of order.
const UNPROVEN_FULL_FRAMES: u8 = 8;

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
#[repr(C)]
pub(crate) struct VoiceOut {
    pub(crate) drops: u64,
    // Each frame needs what follows.
    /// Where the last frame ended, by the clock of its samples.
    next: Option<u32>,
    /// Format of the last full frame: the peer takes mini frames for it.
    format: Option<Format>,
    /// The full frame that named it first, until the peer has acknowledged it, and how many more
    /// full frames may follow it before that.
    unproven: Option<(Seq, u8)>,
    /// The latest timestamp sent.
    last: Option<u32>,
    relay: RelayClock,
    gaps: Gaps,
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
}

impl VoiceOut {
    /// Where that begins which each frame needs.
    #[cfg(test)]
    pub(crate) const EACH_FRAME_FROM: usize = core::mem::offset_of!(Self, next);

    /// Reads some of each of its lines of memory.
    pub(crate) fn look(&self) -> u64 {
        u64::from(self.next.is_some()) ^ self.frames
    }

    /// The timestamp of a frame made here that lasts `duration_ms`; `real` is our clock. One that `goes_on`
    /// follows the frame before without a pause.
    pub(crate) fn stamp(&mut self, real: u32, duration_ms: u16, goes_on: bool) -> u32 {
        let slack = |next| match goes_on || is_after(next, real) {
            true => STOOD_STILL_MS,
            false => SAMPLE_CLOCK_SLACK_MS,
        };
        let stamp = match self.next {
            Some(next) if distance(next, real) <= slack(next) => next,
            _ => self.not_before_last(real),
        };
        self.next = Some(stamp.wrapping_add(duration_ms.into()));
        stamp
    }

    /// The timestamp of a pause that begins now; `real` is our clock. Voice may be ahead of that, and a pause
    /// before the end of what was said would be none any more for whoever hears it.
    pub(crate) fn pause_stamp(&self, real: u32) -> u32 {
        match self.next {
            Some(next) if is_after(next, real) => next,
            _ => self.not_before_last(real),
        }
    }

    /// The timestamp of a frame relayed from a call where it had `theirs`: the same distances.
    pub(crate) fn relay_stamp(&mut self, real: u32, theirs: u32) -> u32 {
        self.next = None;
        let first = self.not_before_last(real);
        self.relay.stamp(real, theirs, first)
    }

    /// Starts a new clock, as after a transfer: the next frame is full. The counts go on.
    pub(crate) fn begin_anew(&mut self) {
        (self.format, self.unproven, self.last, self.next) = (None, None, None, None);
        self.relay.forget();
    }

    /// Lets the next frame be full: the peer has heard frames of somebody else.
    pub(crate) fn begin_with_full(&mut self) {
        self.format = None;
    }

    /// Frames that the peer misses though none of ours was lost.
    pub(crate) const fn gaps(&self) -> u64 {
        self.gaps.missing()
    }

    /// Nothing follows for a while, and that was said.
    pub(crate) fn pause(&mut self) {
        self.gaps.pause();
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

    /// Whether the peer may not know the format yet.
    ///
    /// Asterisk drops mini frames until it has handled a full one, which is late where that was lost
    /// or where the thread that took it has to wait. A full frame is never lost.
    fn is_unproven(&mut self, exchange: &Exchange) -> bool {
        let Some((named, left)) = &mut self.unproven else { return false };
        if exchange.full.reliable.is_acknowledged(*named) || *left == 0 {
            self.unproven = None;
            return false;
        }
        *left -= 1;
        true
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
        let new = self.format != Some(format);
        let sent = if new || turned || self.is_unproven(exchange) {
            let room = exchange.full.reliable.has_room();
            if room {
                cx.flush_trunk(now, exchange.trunk);
                if new && exchange.media_path.is_none() {
                    self.unproven = Some((exchange.full.reliable.next(), UNPROVEN_FULL_FRAMES));
                }
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
        self.gaps.sent(self.last, stamp, format, payload.len());
        if ahead {
            self.last = Some(stamp);
        }
        self.frames += 1;
        self.bytes += payload.len() as u64;
        Ok(sent)
    }
}

/// The receiving side.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct VoiceIn {
    /// Arrival and whole timestamp of the latest frame; the latter says nothing without the former.
    came: Option<Instant>,
    stamp: Timestamp,
    /// Format of the last full frame.
    pub(crate) format: Option<Format>,
    /// The exchange has keys. It is said here so that voice in the clear need not look for those.
    pub(crate) encrypted: bool,
    /// How far the stamps of entries without timestamp are ahead of our clock, in the least late one.
    trunk_lead: Option<u32>,
    pub(crate) meter: VoiceMeter,
    /// Timestamp of the last full frame.
    named_at: Option<Timestamp>,
}

// Each entry without a time of its own asks for it: it stands with what all frames need.
const _: () =
    assert!(core::mem::offset_of!(VoiceIn, trunk_lead) < core::mem::offset_of!(VoiceIn, meter));

impl VoiceIn {
    /// Of a call that has heard nothing yet.
    pub(crate) fn new(encrypted: bool) -> Self {
        Self { encrypted, ..Self::default() }
    }

    /// Reads some of each line of memory that a frame needs.
    pub(crate) fn look(&self) -> u64 {
        u64::from(self.stamp.0) ^ self.meter.look()
    }

    /// The sender has a new clock, as after a transfer. The counts go on.
    pub(crate) fn begin_anew(&mut self) {
        (self.came, self.named_at, self.trunk_lead) = (None, None, None);
        self.meter.begin_anew();
    }

    /// The format of frames that do not say it: that of the last full frame, or `agreed` where that
    /// is late or lost. Voice then goes on, and comes to nobody before the call has a format.
    pub(crate) fn format_or(&self, agreed: Format) -> Format {
        self.format.unwrap_or(agreed)
    }

    /// When the latest frame came.
    pub(crate) fn last_arrival(&self) -> Option<Instant> {
        self.came
    }

    /// Arrival and whole timestamp of the latest frame.
    fn last(&self) -> Option<(Instant, Timestamp)> {
        self.came.map(|came| (came, self.stamp))
    }

    /// Where the sender's clock stands now, by the latest frame.
    pub(crate) fn clock(&self, now: Instant) -> Option<Timestamp> {
        self.last().map(|(came, stamp)| Timestamp(stamp.0.wrapping_add(now.millis_since(came))))
    }

    /// Takes a full frame: it sets format and time base.
    pub(crate) fn full(&mut self, now: Instant, format: Format, stamp: Timestamp, bytes: usize) {
        if self.trunk_lead.take().is_some() {
            // The times before were no better than the trunk's.
            self.meter.begin_anew();
        }
        if let Some((_, last)) = self.last()
            && is_after(last.0, stamp.0)
            && distance(last.0, stamp.0) > LATEST_FULL_MS
        {
            // No repeated frame is that late: the sender has put its clock back.
            (self.came, self.named_at) = (None, None);
        }
        if self.named_at.is_none_or(|named| !is_after(named.0, stamp.0)) {
            // A full frame behind this one may have come before it.
            (self.format, self.named_at) = (Some(format), Some(stamp));
        }
        self.take(now, stamp, format, bytes);
    }

    /// Takes a mini frame of the format that the last full frame named, and gives its whole
    /// timestamp.
    ///
    /// It belongs near the one before it. After a long silence, of which a sender need not give
    /// notice by a full frame, it may be some rounds of the 16 bits further, as the time that has
    /// passed says; unless it follows the one before it all the same, as where it was our clock that
    /// stepped, or this machine that slept with frames waiting. The first of all belongs near `call`,
    /// where the sender's clock stands by its other frames.
    pub(crate) fn mini(
        &mut self,
        now: Instant,
        call: Option<Timestamp>,
        stamp: MiniTimestamp,
        format: Format,
        bytes: usize,
    ) -> Timestamp {
        let (came, last) = self.last().unwrap_or_else(|| (now, call.unwrap_or_default()));
        let mut whole = stamp.unwrap_near(last);
        if distance(whole.0, last.0) > FOLLOWS_MS && now.since(came) > LONG_SILENCE {
            whole = stamp.unwrap_near(Timestamp(last.0.wrapping_add(now.millis_since(came))));
        }
        self.take(now, whole, format, bytes);
        whole
    }

    /// Takes a trunk entry that has no timestamp of its own, and gives it one: it follows the frame before
    /// it, until the time that has passed says that frames between them are missing.
    ///
    /// The trunk's clock, `trunk`, only stands in where nothing else is known: Asterisk's counts the trunk's
    /// datagrams, of which a busy one has several in the time of a frame, and is put back to real time
    /// whenever it is 160 ms ahead of it. `call` is as in [`mini`](Self::mini).
    pub(crate) fn trunk(
        &mut self,
        now: Instant,
        call: Option<Timestamp>,
        trunk: Timestamp,
        format: Format,
        bytes: usize,
    ) -> Timestamp {
        let ours = now.millis_since(Instant::from_micros(0));
        let lead = self.trunk_lead.unwrap_or_else(|| match self.last() {
            Some((came, last)) => last.0.wrapping_add(now.millis_since(came)).wrapping_sub(ours),
            None => call.unwrap_or(trunk).0.wrapping_sub(ours),
        });
        let real = ours.wrapping_add(lead);
        let length = self.meter.told_length();
        let stamp = match (self.last(), length) {
            (Some((_, last)), Some(length)) => self.follow(last.0, length, real),
            // Nothing but the time says how long frames are.
            (Some((_, last)), None) if !is_after(real, last.0) => last.0.wrapping_add(1),
            _ => real,
        };
        let early = length.is_some() && is_after(stamp, real);
        self.trunk_lead = Some(if early { stamp.wrapping_sub(ours) } else { lead });
        let stamp = Timestamp(stamp);
        self.take(now, stamp, format, bytes);
        stamp
    }

    /// The timestamp of a frame behind the one of `length` ms at `last`; `real` is where it would be if
    /// neither of them were late.
    fn follow(&mut self, last: u32, length: u32, real: u32) -> u32 {
        let next = last.wrapping_add(length);
        let late = if is_after(real, next) { real.wrapping_sub(next) } else { 0 };
        if late > PAUSE_MS {
            self.meter.begin_anew();
        }
        let missing =
            if late.saturating_mul(2) < length * LATE_HALF_LENGTHS { 0 } else { late / length };
        next.wrapping_add(missing * length)
    }

    fn take(&mut self, now: Instant, stamp: Timestamp, format: Format, bytes: usize) {
        self.meter.receive(now, stamp.0, format, bytes);
        if self.came.is_none() || is_after(stamp.0, self.stamp.0) {
            (self.came, self.stamp) = (Some(now), stamp);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EndpointConfig;
    use crate::path::Path;
    use crate::transmit::TransmitBuffer;
    use crate::trunk::TrunkConfig;
    use alloc::boxed::Box;
    use alloc::vec::Vec;
    use core::net::SocketAddr;
    use oneport_wire::{CallNumber, Control, Datagram};

    #[test]
    fn frames_handed_over_in_a_burst_are_stamped_evenly() {
        let mut voice = VoiceOut::default();
        let stamps: [u32; 4] = core::array::from_fn(|_| voice.stamp(1_000, 20, false));
        assert_eq!(stamps, [1_000, 1_020, 1_040, 1_060]);
        assert_eq!(voice.stamp(1_075, 20, false), 1_080, "the clock of the samples goes on");
        assert_eq!(voice.pause_stamp(1_090), 1_100, "a pause begins behind what was said");
        assert_eq!(voice.pause_stamp(1_150), 1_150);
        assert_eq!(voice.stamp(5_000, 20, false), 5_000, "after a pause real time counts");
    }

    #[test]
    fn what_a_machine_that_stood_still_hands_over_at_once_is_stamped_evenly() {
        for stood_still in [150, 200, 400, 1_000] {
            for goes_on in [false, true] {
                let mut voice = VoiceOut::default();
                assert_eq!(voice.stamp(1_000, 20, goes_on), 1_000);
                // The frames that were due meanwhile, and those of the time behind it.
                let real = 1_020 + stood_still;
                let due = stood_still / 20;
                let stamps: Vec<u32> = (0..due + 100)
                    .map(|n| voice.stamp(real + 20 * u32::saturating_sub(n, due), 20, goes_on))
                    .collect();
                assert!(stamps.windows(2).all(|pair| pair[1] == pair[0] + 20), "{stamps:?}");
                // Only who says that it goes on has not paused.
                let paused = stood_still > 160 && !goes_on;
                assert_eq!(stamps[0], if paused { real } else { 1_020 });
            }
        }
    }

    #[test]
    fn no_stream_begins_before_what_was_sent() {
        let sent = |last| VoiceOut { last: Some(last), ..VoiceOut::default() };
        assert_eq!(sent(500).stamp(100, 20, false), 501);
        assert_eq!(sent(500).relay_stamp(100, 7_000), 501);
        assert_eq!(sent(500).stamp(501, 20, false), 501);
    }

    #[test]
    fn own_frames_behind_relayed_ones_are_stamped_by_real_time() {
        let mut voice = VoiceOut::default();
        assert_eq!((voice.stamp(0, 20, false), voice.relay_stamp(100, 7_000)), (0, 100));
        assert_eq!(voice.stamp(150, 20, false), 150);
    }

    #[test]
    fn another_linked_call_and_another_exchange_begin_where_the_clock_stands() {
        let mut voice = VoiceOut::default();
        assert_eq!(voice.relay_stamp(500, 10_000), 500);
        voice.end_relay();
        assert_eq!(voice.place_of_relayed(900, 10_000), None);
        assert_eq!(voice.relay_stamp(900, 10_000), 900);
        voice.begin_anew();
        assert_eq!(voice.relay_stamp(20, 10_040), 20);
    }

    /// A voice, and an exchange that has a trunk.
    fn sender() -> (Context, Exchange, VoiceOut) {
        let mut cx = Context::new(EndpointConfig::default(), [1; 32], Instant::from_micros(0));
        let path = Path::from(SocketAddr::from(([192, 0, 2, 1], 4569)));
        cx.trunks.set(&mut cx.counters, path.remote, Some(TrunkConfig::default()));
        let (ours, theirs) = (CallNumber::from_bits(2), CallNumber::from_bits(3));
        let mut exchange = Exchange::moved(Instant::from_micros(0), path, ours, theirs, None);
        exchange.trunk = cx.trunks.find(path.remote);
        (cx, exchange, VoiceOut::default())
    }

    /// The peer has heard all.
    fn acknowledge(exchange: &mut Exchange, now: Instant) {
        let next = exchange.full.reliable.next();
        exchange.full.reliable.acknowledge(now, next);
    }

    #[test]
    fn voice_is_full_until_the_peer_has_heard_of_the_format_and_never_for_long() {
        use Sent::{Once, Reliably};
        let (mut cx, mut exchange, mut voice) = sender();
        let mut send = |exchange: &mut Exchange, format, n: u32| {
            let now = Instant::from_micros(u64::from(n) * 20_000);
            voice.send(&mut cx, exchange, now, format, n * 20, &[0; 160])
        };
        let at = Instant::from_micros(30_000);
        let first = [0, 1].map(|n| send(&mut exchange, Format::ULAW, n));
        // The first is heard of, the second not yet.
        let heard = exchange.full.reliable.next();
        exchange.full.reliable.acknowledge(at, Seq(heard.0.wrapping_sub(1)));
        let second = [2, 3].map(|n| send(&mut exchange, Format::ULAW, n));
        assert_eq!((first, second), ([Ok(Reliably); 2], [Ok(Once); 2]));
        let other = core::array::from_fn(|n| send(&mut exchange, Format::ALAW, 4 + n as u32));
        let mut expected = [Ok(Reliably); 12];
        expected[9..].fill(Ok(Once));
        assert_eq!(other, expected, "nobody answers");
        exchange.media_path = Some(Box::new(exchange.path));
        let straight = [20, 21].map(|n| send(&mut exchange, Format::GSM, n));
        assert_eq!(straight, [Ok(Reliably), Ok(Once)], "full frames would go another way");
    }

    #[test]
    fn a_frame_that_comes_late_from_a_linked_call_does_not_turn_the_clock_back() {
        let (mut cx, mut exchange, mut voice) = sender();
        let mut send = |stamp: u32| {
            let now = Instant::from_micros(u64::from(stamp) * 1000);
            let sent = voice.send(&mut cx, &mut exchange, now, Format::ULAW, stamp, &[0; 160]);
            acknowledge(&mut exchange, now);
            sent
        };
        let sent = [32_700, 32_720, 32_780, 32_760, 32_800].map(&mut send);
        use Sent::{Once, Reliably};
        assert_eq!(sent, [Ok(Reliably), Ok(Once), Ok(Reliably), Ok(Once), Ok(Once)]);
    }

    #[test]
    fn a_full_frame_comes_behind_what_waited_on_the_trunk() {
        let (mut cx, mut exchange, mut voice) = sender();
        for stamp in [32_740, 32_760, 32_780] {
            let now = Instant::from_micros(u64::from(stamp) * 1000);
            voice.send(&mut cx, &mut exchange, now, Format::ULAW, stamp, &[0; 160]).unwrap();
            acknowledge(&mut exchange, now);
        }
        let mut buffer = TransmitBuffer::with_capacity(2_000, 1);
        let trunks = core::iter::from_fn(|| {
            cx.outbox.take(&mut buffer)?;
            Some(matches!(Datagram::decode(buffer.as_bytes()), Ok(Datagram::Trunk(_))))
        });
        assert_eq!(trunks.collect::<Vec<_>>(), [false, true, false]);
    }

    #[test]
    fn voice_for_which_there_is_no_room_is_refused_and_counted() {
        let (mut cx, mut exchange, mut voice) = sender();
        let now = Instant::from_micros(0);
        while exchange.send(&mut cx, now, &Message::control(Control::Hold)).is_ok() {}
        let sent = voice.send(&mut cx, &mut exchange, now, Format::ULAW, 20, &[0; 160]);
        assert_eq!(sent, Err(DropReason::TransmitBufferFull));
        assert_eq!((voice.drops, voice.frames, exchange.full.reliable.has_room()), (1, 0, false));
    }

    #[test]
    fn frames_that_a_relay_never_got_are_counted_as_gaps_over_a_transfer_too() {
        let (mut cx, mut exchange, mut voice) = sender();
        let mut send = |voice: &mut VoiceOut, stamp: u32| {
            let now = Instant::from_micros(u64::from(stamp) * 1000);
            voice.send(&mut cx, &mut exchange, now, Format::ULAW, stamp, &[0; 160]).unwrap();
        };
        for stamp in [20, 40, 100] {
            send(&mut voice, stamp);
        }
        assert_eq!(voice.gaps(), 2);
        voice.begin_anew();
        for stamp in [9_000, 9_020] {
            send(&mut voice, stamp);
        }
        assert_eq!(voice.gaps(), 2, "a new clock is no gap");
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
    fn behind_a_transfer_the_other_sender_s_clock_counts_from_its_first_frame() {
        let at = |ms: u64| Instant::from_micros(ms * 1000);
        let mut voice = VoiceIn::default();
        voice.full(at(100), Format::ULAW, Timestamp(60_000), 160);
        assert_eq!(voice.clock(at(150)), Some(Timestamp(60_050)));
        voice.begin_anew();
        assert_eq!((voice.last_arrival(), voice.clock(at(190))), (None, None));
        voice.full(at(200), Format::ULAW, Timestamp(30_000), 160);
        assert_eq!(voice.last_arrival(), Some(at(200)));
        assert_eq!(voice.clock(at(210)), Some(Timestamp(30_010)));
        let heard = voice.meter.snapshot();
        assert_eq!((heard.frames, heard.lost, heard.late, heard.out_of_order), (2, 0, 0, 0));
        voice.begin_anew();
        let stamp = voice.trunk(at(300), None, Timestamp(77_000), Format::ULAW, 160);
        assert_eq!(stamp, Timestamp(77_000), "nothing but the trunk's clock is known");
    }

    #[test]
    fn a_full_frame_moves_the_entries_of_a_trunk_without_timestamps() {
        let at = |ms: u64| Instant::from_micros(ms * 1000);
        let mut voice = VoiceIn::default();
        voice.full(at(100), Format::ULAW, Timestamp(1_000), 160);
        assert_eq!(
            voice.trunk(at(120), None, Timestamp(77_000), Format::ULAW, 160),
            Timestamp(1_020)
        );
        voice.full(at(140), Format::ULAW, Timestamp(1_500), 160);
        assert_eq!(
            voice.trunk(at(160), None, Timestamp(77_040), Format::ULAW, 160),
            Timestamp(1_520)
        );
    }

    #[test]
    fn entries_of_a_trunk_without_timestamps_keep_the_trunk_s_distances() {
        let at = |ms: u64| Instant::from_micros(ms * 1000);
        let mut voice = VoiceIn::default();
        voice.full(at(100), Format::ULAW, Timestamp(1_000), 160);
        assert_eq!(
            voice.trunk(at(120), None, Timestamp(77_000), Format::ULAW, 160),
            Timestamp(1_020)
        );
        assert_eq!(
            voice.trunk(at(155), None, Timestamp(77_020), Format::ULAW, 160),
            Timestamp(1_040)
        );
    }

    #[test]
    fn a_trunk_whose_clock_begins_anew_goes_on_where_the_call_is() {
        let at = |ms: u64| Instant::from_micros(ms * 1000);
        let mut voice = VoiceIn::default();
        voice.full(at(100), Format::ULAW, Timestamp(1_000), 160);
        voice.trunk(at(120), None, Timestamp(77_000), Format::ULAW, 160);
        let stamp = voice.trunk(at(20_120), None, Timestamp(0), Format::ULAW, 160);
        assert_eq!(stamp, Timestamp(21_020));
        let stamp = voice.trunk(at(20_140), None, Timestamp(20), Format::ULAW, 160);
        assert_eq!(stamp, Timestamp(21_040));
        let stamp = voice.trunk(at(20_140), None, Timestamp(20), Format::ULAW, 160);
        assert_eq!(stamp, Timestamp(21_060), "another of the same datagram");
        assert_eq!(voice.meter.snapshot().duplicates, 0);
    }

    /// Asterisk 22, with ten calls at one peer: two datagrams in 20 ms, each of which moves the clock by 20;
    /// the call is in one or the other.
    #[test]
    fn entries_follow_one_another_whatever_asterisk_counts_as_time() {
        let captured = [
            (0, 0),
            (20, 40),
            (40, 80),
            (60, 120),
            (80, 160),
            (100, 200),
            (134, 260),
            (140, 280),
            (160, 160),
            (180, 200),
            (200, 240),
            (219, 280),
            (240, 320),
            (274, 380),
            (294, 420),
            (314, 460),
            (320, 319),
            (340, 359),
            (360, 399),
            (380, 439),
            (400, 479),
        ];
        let at = |ms: u64| Instant::from_micros((5_230 + ms) * 1000);
        let mut voice = VoiceIn::default();
        voice.full(at(0), Format::ULAW, Timestamp(1_000), 160);
        let stamps = captured.map(|(ms, trunk)| {
            voice.trunk(at(20 + ms), None, Timestamp(trunk), Format::ULAW, 160).0
        });
        assert_eq!(stamps, core::array::from_fn(|n| 1_020 + 20 * n as u32));
        let heard = voice.meter.snapshot();
        assert_eq!((heard.lost, heard.late, heard.duplicates, heard.out_of_order), (0, 0, 0, 0));
    }

    #[test]
    fn entries_of_a_trunk_without_timestamps_leave_room_for_what_is_missing() {
        let at = |ms: u64| Instant::from_micros(ms * 1000);
        let mut voice = VoiceIn::default();
        voice.full(at(100), Format::ULAW, Timestamp(1_000), 160);
        let mut stamp = |ms| voice.trunk(at(ms), None, Timestamp(0), Format::ULAW, 160).0;
        assert_eq!(stamp(120), 1_020);
        assert_eq!(stamp(169), 1_040, "29 ms late");
        assert_eq!(stamp(170), 1_060);
        assert_eq!(stamp(260), 1_160, "three are missing");
        assert_eq!(stamp(261), 1_180);
        // What was late before is not so any more.
        assert_eq!([300, 320, 340].map(&mut stamp), [1_200, 1_220, 1_240]);
        assert_eq!(voice.meter.snapshot().lost, 4);
    }

    #[test]
    fn entries_whose_size_tells_no_length_are_stamped_by_their_arrival() {
        let at = |ms: u64| Instant::from_micros(ms * 1000);
        let mut voice = VoiceIn::default();
        voice.full(at(100), Format::SPEEX, Timestamp(1_000), 38);
        let stamps = [140, 180, 180, 220]
            .map(|ms| voice.trunk(at(ms), None, Timestamp(0), Format::SPEEX, 38).0);
        assert_eq!(stamps, [1_040, 1_080, 1_081, 1_120]);
    }

    #[test]
    fn mini_frames_behind_a_long_silence_and_behind_a_step_of_our_clock_are_whole() {
        let at = |ms: u64| Instant::from_micros(ms * 1000);
        let mini = |stamp: u32| Timestamp(stamp).low16();
        let mut voice = VoiceIn::default();
        voice.full(at(0), Format::ULAW, Timestamp(1_000), 160);
        // Asterisk goes on with mini frames, however long it was silent.
        for (now, whole) in [(89_000, 90_000), (89_020, 90_020), (999_000, 1_000_000)] {
            let stamp = voice.mini(at(now), None, mini(whole), Format::ULAW, 160);
            assert_eq!(stamp, Timestamp(whole));
        }
        // An hour of ours passes between two frames of its stream, as in a machine that slept.
        let now = 999_000 + 3_600_000;
        for n in 1..100 {
            let whole = 1_000_000 + n * 20;
            let stamp = voice.mini(at(now), None, mini(whole), Format::ULAW, 160);
            assert_eq!(stamp, Timestamp(whole));
        }
        // The sender puts its clock back, with a full frame.
        voice.full(at(now + 20), Format::ULAW, Timestamp(5_000), 160);
        let stamp = voice.mini(at(now + 40), None, mini(5_020), Format::ULAW, 160);
        assert_eq!(stamp, Timestamp(5_020));
        assert_eq!(voice.meter.snapshot().lost, 0);
    }
}
