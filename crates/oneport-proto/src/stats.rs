//! What was counted about a call.

use core::time::Duration;

use oneport_wire::{Element, Elements, Format, IaxSubclass, Seq};

use crate::agreement::Agreement;
use crate::clock::Instant;
use crate::frame_length::{FrameLength, PAUSE_MS};
use crate::lag::LagStats;

/// Figures of one call, in both directions.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct CallStats {
    /// The format last agreed upon or received.
    pub format: Option<Format>,
    /// Round trip, smoothed over acknowledgements, PONG and LAGRP.
    pub rtt: Option<Duration>,
    /// How long the link takes, as LAGRQ and the peer's own polls show it.
    pub lag: LagStats,
    /// What we heard.
    pub received: VoiceStats,
    /// Voice frames sent.
    pub sent_frames: u64,
    /// Voice bytes sent, headers left out.
    pub sent_bytes: u64,
    /// What the peer last said it heard (RR elements of a PONG).
    pub remote: Option<RemoteReport>,
    /// Whether that fits what we sent.
    pub agreement: Agreement,
    /// Reliable frames sent again.
    pub retransmissions: u64,
    /// Whether its frames are encrypted.
    pub encrypted: bool,
    /// Voice frames that could not be sent on: no room, no agreed format or an unready peer.
    pub send_drops: u64,
    /// Packets of video received, in formats that the call carries.
    pub video_frames_received: u64,
    /// Packets of video sent.
    pub video_frames_sent: u64,
}

/// An IAX frame of a call, as Asterisk's console shows the first and the last of each channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Said {
    /// Whether we sent it.
    pub ours: bool,
    /// What it says.
    pub subclass: IaxSubclass,
}

/// How far the signalling of a call is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Signalling {
    /// The number of the next full frame that we send.
    pub next: Seq,
    /// The number of the next that we expect.
    pub expected: Seq,
    /// The first IAX frame.
    pub first: Option<Said>,
    /// The last so far.
    pub last: Option<Said>,
}

/// Voice received on one call. All counts have 64 bits, so none ever wraps, and none is negative.
///
/// `frames + lost` is what was expected, as RFC 3550 §6.4.1 has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct VoiceStats {
    /// Frames received in time, duplicates left out.
    pub frames: u64,
    /// Payload bytes of those.
    pub bytes: u64,
    /// Frames that were expected between those that came, by the sender's timestamps, and did not
    /// come in time. A frame counts as lost from when a newer one comes; if it follows within the
    /// next 63, it is taken off again. So this may go down, by 63 at most. Pauses of more than 2 s,
    /// and those that the sender announces, are none.
    pub lost: u64,
    /// Frames so old that no jitter buffer would have waited for them: 64 frames or more behind the
    /// newest. They stay among the lost.
    pub late: u64,
    /// Frames older than one before them that came in time.
    pub out_of_order: u64,
    /// Frames that had come before.
    pub duplicates: u64,
    /// Interarrival jitter as RFC 3550 §6.4.1 defines it.
    pub jitter: Duration,
}

/// The peer's own count of what it heard from us (RFC 5456 §8.6.33 to §8.6.38).
///
/// Asterisk fills it from its jitter buffer: all zero where that is off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RemoteReport {
    /// Jitter.
    pub jitter: Duration,
    /// Frames lost.
    pub lost: u32,
    /// Share of frames lost, per cent.
    pub lost_percent: u8,
    /// Frames received.
    pub frames: u32,
    /// Playout delay above the least possible.
    pub delay: Duration,
    /// Frames that came too late and were dropped.
    pub dropped: u32,
    /// Frames out of order.
    pub out_of_order: u32,
}

impl RemoteReport {
    /// Reads the RR elements of a PONG; `None` when it has none.
    pub(crate) fn read(elements: Elements<'_>) -> Option<Self> {
        let mut report = Self::default();
        let mut any = false;
        for element in elements.iter() {
            match element {
                Element::ReceivedJitter(ms) => report.jitter = Duration::from_millis(ms.into()),
                Element::ReceivedLoss { percent, count } => {
                    report.lost_percent = percent;
                    report.lost = count;
                }
                Element::ReceivedFrames(count) => report.frames = count,
                Element::ReceivedDelay(ms) => report.delay = Duration::from_millis(ms.into()),
                Element::ReceivedDropped(count) => report.dropped = count,
                Element::ReceivedOutOfOrder(count) => report.out_of_order = count,
                _ => continue,
            }
            any = true;
        }
        any.then_some(report)
    }
}

/// Deviations beyond this, in µs, are steps of a clock rather than jitter.
const CLOCK_STEP: u64 = 2_000_000;

/// Frames behind the newest of which it is known whether they came.
const WINDOW: u32 = 64;

/// Frames of one stream of old ones after which the sender is taken to have put its clock back.
const NEW_CLOCK: u32 = 4;

/// Counts voice by the sender's timestamps.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub(crate) struct VoiceMeter {
    lost: u64,
    late: u64,
    out_of_order: u64,
    duplicates: u64,
    // Each frame needs what follows, and few need what is above.
    /// Frames far behind the newest that follow one another.
    behind: Behind,
    frames: u64,
    bytes: u64,
    /// Arrival and timestamp of the newest frame.
    newest: Option<(Instant, u32)>,
    /// Bit n: the frame n lengths before the newest came, or is counted as lost.
    came: u64,
    missing: u64,
    /// Jitter in µs times 16, as RFC 3550 keeps it.
    jitter_16: u64,
    lengths: FrameLength,
    /// The sender has announced a pause.
    pause: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Behind {
    timestamp: u32,
    count: u32,
    bytes: u64,
}

/// `bits` moved on by `n` frames.
fn moved(bits: u64, n: u32) -> u64 {
    bits.checked_shl(n).unwrap_or(0)
}

impl VoiceMeter {
    /// Where that begins of which each frame needs most.
    #[cfg(test)]
    pub(crate) const EACH_FRAME_FROM: usize = core::mem::offset_of!(Self, behind);

    /// Counts one frame with the sender's unwrapped `timestamp` in ms.
    pub(crate) fn receive(&mut self, now: Instant, timestamp: u32, format: Format, bytes: usize) {
        if self.lengths.measure(format, bytes) {
            self.begin_window();
        }
        let Some((arrival, last)) = self.newest else {
            self.start(now, timestamp);
            self.count(bytes as u64);
            return;
        };
        let step = timestamp.wrapping_sub(last);
        if !self.pause && self.lengths.is_usual(step) {
            // What most frames are takes the short way.
            self.came = self.came << 1 | 1;
            self.missing <<= 1;
            self.jitter(now.as_micros().saturating_sub(arrival.as_micros()), step);
            self.newest = Some((now, timestamp));
            self.behind.count = 0;
            self.count(bytes as u64);
        } else if step == 0 {
            self.duplicates += 1;
        } else if step > u32::MAX / 2 {
            self.receive_older(now, timestamp, last.wrapping_sub(timestamp), bytes as u64);
        } else {
            self.receive_newer(now.as_micros().saturating_sub(arrival.as_micros()), step);
            self.newest = Some((now, timestamp));
            self.behind = Behind::default();
            self.count(bytes as u64);
        }
    }

    /// A frame that came `elapsed` µs behind the newest, and is `step` ms younger.
    fn receive_newer(&mut self, elapsed: u64, step: u32) {
        if let Some(excess) = self.lengths.learn(step) {
            self.lost = self.lost.saturating_sub(excess);
            self.begin_window();
        }
        if core::mem::take(&mut self.pause) || step > PAUSE_MS {
            self.begin_window();
            return;
        }
        let steps = self.lengths.steps(step);
        let absent = steps - 1;
        self.lost += u64::from(absent);
        self.came = moved(self.came, steps) | 1;
        self.missing = moved(self.missing, steps) | (moved(1, absent).wrapping_sub(1) << 1);
        self.jitter(elapsed, step);
    }

    fn jitter(&mut self, elapsed: u64, step: u32) {
        let deviation = elapsed.abs_diff(u64::from(step) * 1_000);
        if deviation <= CLOCK_STEP {
            // J += (|D| - J) / 16, with J kept sixteenfold.
            self.jitter_16 = self.jitter_16 - self.jitter_16 / 16 + deviation;
        }
    }

    /// A frame that is `back` ms older than the newest.
    fn receive_older(&mut self, now: Instant, timestamp: u32, back: u32, bytes: u64) {
        let place = self.lengths.place(back);
        if place >= WINDOW {
            return self.receive_late(now, timestamp, bytes);
        }
        let bit = moved(1, place);
        if place > 0 && self.came & bit != 0 {
            self.duplicates += 1;
            return;
        }
        if self.missing & bit != 0 {
            self.missing &= !bit;
            self.lost = self.lost.saturating_sub(1);
        }
        self.came |= bit;
        self.out_of_order += 1;
        self.count(bytes);
    }

    /// A frame far behind the newest: too late, or of a clock that was put back.
    fn receive_late(&mut self, now: Instant, timestamp: u32, bytes: u64) {
        self.late += 1;
        let step = timestamp.wrapping_sub(self.behind.timestamp);
        let follows = self.behind.count > 0 && (1..=PAUSE_MS).contains(&step);
        let before = if follows { self.behind } else { Behind::default() };
        self.behind = Behind { timestamp, count: before.count + 1, bytes: before.bytes + bytes };
        if self.behind.count >= NEW_CLOCK {
            let Behind { count, bytes, .. } = core::mem::take(&mut self.behind);
            self.late -= u64::from(count);
            self.frames += u64::from(count);
            self.bytes += bytes;
            self.start(now, timestamp);
        }
    }

    fn start(&mut self, now: Instant, timestamp: u32) {
        self.newest = Some((now, timestamp));
        self.begin_window();
    }

    /// What is known of the frames before the newest does not count any more.
    fn begin_window(&mut self) {
        (self.came, self.missing) = (1, 0);
    }

    /// The sender says that it falls silent: the gap that follows is no loss.
    pub(crate) fn pause(&mut self) {
        self.pause = true;
    }

    /// The sender has a new clock: what comes next follows nothing.
    pub(crate) fn begin_anew(&mut self) {
        self.newest = None;
        self.behind = Behind::default();
    }

    /// How long a frame is, in ms; 20 while that is not known.
    pub(crate) const fn length(&self) -> u32 {
        self.lengths.in_ms()
    }

    fn count(&mut self, bytes: u64) {
        self.frames += 1;
        self.bytes += bytes;
    }

    /// The figures up to now.
    pub(crate) fn snapshot(&self) -> VoiceStats {
        let Self { frames, bytes, lost, late, out_of_order, duplicates, .. } = *self;
        let jitter = Duration::from_micros(self.jitter_16 / 16);
        VoiceStats { frames, bytes, lost, late, out_of_order, duplicates, jitter }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    /// µ-law of 20 ms with these timestamps, each on time.
    fn heard(stamps: impl IntoIterator<Item = u32>) -> VoiceStats {
        let mut meter = VoiceMeter::default();
        for stamp in stamps {
            meter.receive(at(stamp.into()), stamp, Format::ULAW, 160);
        }
        meter.snapshot()
    }

    fn figures(stats: VoiceStats) -> [u64; 5] {
        let VoiceStats { frames, lost, late, out_of_order, duplicates, .. } = stats;
        [frames, lost, late, out_of_order, duplicates]
    }

    #[test]
    fn loss_reordering_and_copies_are_told_apart() {
        for (name, stamps, expected) in [
            ("one comes after all", vec![0, 20, 60, 40, 80, 140], [6, 2, 0, 1, 0]),
            ("a copy of the newest", vec![0, 20, 20, 40], [3, 0, 0, 0, 1]),
            ("a copy of an older one", vec![0, 20, 40, 20, 60], [4, 0, 0, 0, 1]),
            ("a copy of one that came late", vec![0, 40, 20, 20, 60], [4, 0, 0, 1, 1]),
            ("one before the first", vec![20, 0, 40], [3, 0, 0, 1, 0]),
            ("one odd step of 1 ms", vec![0, 20, 21, 40, 60, 80, 100], [7, 0, 0, 0, 0]),
            ("a step halfway between", vec![0, 20, 50, 80], [4, 0, 0, 0, 0]),
            ("the first step is a gap", vec![0, 60, 80, 100], [4, 2, 0, 0, 0]),
            ("a pause", vec![0, 20, 5_000, 5_020], [4, 0, 0, 0, 0]),
            ("one behind a pause", vec![0, 20, 5_000, 4_980, 5_020], [5, 0, 0, 1, 0]),
            ("too late for any buffer", vec![0, 20, 1_000, 2_000, 40, 2_020], [5, 97, 1, 0, 0]),
        ] {
            assert_eq!(figures(heard(stamps)), expected, "{name}");
        }
    }

    #[test]
    fn a_clock_put_back_or_forward_costs_nothing() {
        let forward = (0..50).map(|n| n * 20).chain((0..50).map(|n| 3_600_000 + n * 20));
        assert_eq!(figures(heard(forward)), [100, 0, 0, 0, 0]);
        let back = (0..50).map(|n| 3_600_000 + n * 20).chain((0..50).map(|n| n * 20));
        assert_eq!(figures(heard(back)), [100, 0, 0, 0, 0]);
    }

    #[test]
    fn frames_may_become_longer_or_shorter() {
        let mut meter = VoiceMeter::default();
        let mut stamp = 0_u32;
        for (count, length) in [(200, 20), (200, 60), (200, 30), (200, 10), (200, 40)] {
            for _ in 0..count {
                stamp += length;
                // Of a format that does not tell.
                meter.receive(at(stamp.into()), stamp, Format::OPUS, 77);
            }
        }
        assert_eq!(figures(meter.snapshot()), [1_000, 0, 0, 0, 0]);
        for _ in 0..10 {
            stamp += 40;
            meter.receive(at(stamp.into()), stamp, Format::ULAW, 320);
        }
        for _ in 0..10 {
            stamp += 20;
            meter.receive(at(stamp.into()), stamp, Format::ULAW, 160);
        }
        assert_eq!(figures(meter.snapshot()), [1_020, 0, 0, 0, 0]);
    }

    #[test]
    fn half_of_the_frames_may_be_lost_and_the_count_stays_exact() {
        // A fixed pseudo-random pattern; the first and the last frame come.
        let mut state = 1_u32;
        let mut stamps = vec![0];
        for n in 1..100_000_u32 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if state >> 31 == 0 || n == 99_999 {
                stamps.push(n * 20);
            }
        }
        let came = stamps.len() as u64;
        assert_eq!(figures(heard(stamps)), [came, 100_000 - came, 0, 0, 0]);
    }

    #[test]
    fn an_announced_pause_is_no_loss() {
        let mut meter = VoiceMeter::default();
        for stamp in [0, 20, 40] {
            meter.receive(at(stamp.into()), stamp, Format::ULAW, 160);
        }
        meter.pause();
        for stamp in [640, 660] {
            meter.receive(at(stamp.into()), stamp, Format::ULAW, 160);
        }
        assert_eq!(figures(meter.snapshot()), [5, 0, 0, 0, 0]);
    }

    #[test]
    fn counts_stay_sane_around_the_32_bit_wrap() {
        let mut meter = VoiceMeter::default();
        for n in 0..100_u32 {
            let stamp = (u32::MAX - 1000).wrapping_add(n * 20);
            meter.receive(at(u64::from(n) * 20), stamp, Format::ULAW, 160);
        }
        let stats = meter.snapshot();
        assert_eq!(figures(stats), [100, 0, 0, 0, 0]);
        assert_eq!(stats.jitter, Duration::ZERO);
    }

    #[test]
    fn steady_deviation_of_one_frame_converges_to_its_length() {
        let mut meter = VoiceMeter::default();
        let mut arrival = 0;
        for n in 0..2_000_u32 {
            arrival += if n % 2 == 0 { 10 } else { 30 };
            meter.receive(at(arrival), n * 20, Format::ULAW, 160);
        }
        let jitter = meter.snapshot().jitter.as_micros();
        assert!((9_000..=10_100).contains(&jitter), "{jitter} µs");
        // Our clock steps by an hour: that is no jitter.
        meter.receive(at(arrival + 3_600_000), 40_000, Format::ULAW, 160);
        assert!(meter.snapshot().jitter.as_micros() <= jitter);
    }
}
