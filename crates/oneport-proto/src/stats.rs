//! What was counted about a call.

use core::time::Duration;

use oneport_wire::{Element, Elements, Format};

use crate::clock::Instant;
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

/// Voice received on one call. All counts only ever grow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct VoiceStats {
    /// Frames received, duplicates left out.
    pub frames: u64,
    /// Payload bytes of those.
    pub bytes: u64,
    /// Frames missing between those that came, by the sender's timestamps.
    pub lost: u64,
    /// Frames older than one before them.
    pub out_of_order: u64,
    /// Frames with the timestamp of the one before.
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

/// Counts voice as it arrives.
#[derive(Clone, Debug, Default)]
pub(crate) struct VoiceMeter {
    pub(crate) stats: VoiceStats,
    /// Jitter in µs times 16, as RFC 3550 keeps it.
    jitter_16: u64,
    /// Arrival and timestamp of the newest frame.
    newest: Option<(Instant, u32)>,
    /// Length of a frame in ms, learned from the smallest step seen.
    step: u32,
    /// Frames missing so far whose late arrival would undo a loss.
    missing: u64,
}

/// A step beyond this is a pause or a new talk spurt rather than loss.
const PAUSE_MS: u32 = 2_000;

impl VoiceMeter {
    /// Counts one frame with the sender's unwrapped `timestamp` in ms.
    pub(crate) fn receive(&mut self, now: Instant, timestamp: u32, bytes: usize) {
        let Some((arrival, last)) = self.newest else {
            self.newest = Some((now, timestamp));
            self.count(bytes);
            return;
        };
        let step = timestamp.wrapping_sub(last);
        if step == 0 {
            self.stats.duplicates += 1;
            return;
        }
        if step > u32::MAX / 2 {
            self.stats.out_of_order += 1;
            if self.missing > 0 {
                self.missing -= 1;
                self.stats.lost = self.stats.lost.saturating_sub(1);
            }
            self.count(bytes);
            return;
        }
        if self.step == 0 || step < self.step {
            self.step = step;
        }
        if step <= PAUSE_MS {
            let absent = u64::from((step + self.step / 2) / self.step).saturating_sub(1);
            self.stats.lost += absent;
            self.missing += absent;
            let elapsed = now.since(arrival).as_micros();
            let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
            let deviation = elapsed.abs_diff(u64::from(step) * 1000);
            // J += (|D| - J) / 16, with J kept sixteenfold.
            self.jitter_16 = self.jitter_16 - self.jitter_16 / 16 + deviation.min(60_000_000);
        }
        self.newest = Some((now, timestamp));
        self.count(bytes);
    }

    /// The sender has a new clock: what comes next follows nothing.
    pub(crate) fn begin_anew(&mut self) {
        (self.newest, self.missing) = (None, 0);
    }

    fn count(&mut self, bytes: usize) {
        self.stats.frames += 1;
        self.stats.bytes += bytes as u64;
    }

    /// The figures up to now.
    pub(crate) fn snapshot(&self) -> VoiceStats {
        VoiceStats { jitter: Duration::from_micros(self.jitter_16 / 16), ..self.stats }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    #[test]
    fn loss_and_reordering_are_told_apart() {
        let mut meter = VoiceMeter::default();
        for (arrival, timestamp) in [(0, 0), (20, 20), (60, 60), (61, 40), (80, 80), (140, 140)] {
            meter.receive(at(arrival), timestamp, 160);
        }
        let stats = meter.snapshot();
        assert_eq!((stats.frames, stats.lost, stats.out_of_order), (6, 2, 1));
    }

    #[test]
    fn counts_stay_sane_around_the_32_bit_wrap() {
        let mut meter = VoiceMeter::default();
        for n in 0..100_u32 {
            meter.receive(at(u64::from(n) * 20), (u32::MAX - 1000).wrapping_add(n * 20), 160);
        }
        let stats = meter.snapshot();
        assert_eq!((stats.frames, stats.lost, stats.out_of_order), (100, 0, 0));
        assert_eq!(stats.jitter, Duration::ZERO);
    }

    #[test]
    fn steady_deviation_of_one_frame_converges_to_its_length() {
        let mut meter = VoiceMeter::default();
        let mut arrival = 0;
        for n in 0..2_000_u32 {
            arrival += if n % 2 == 0 { 10 } else { 30 };
            meter.receive(at(arrival), n * 20, 160);
        }
        let jitter = meter.snapshot().jitter.as_micros();
        assert!((9_000..=10_100).contains(&jitter), "{jitter} µs");
    }
}
