//! What was counted about a call.

use core::time::Duration;

use oneport_wire::{Element, Elements, Format, IaxSubclass, Seq};

use crate::agreement::Agreement;
use crate::delay_variation::DelayVariation;
use crate::lag::LagStats;
use crate::lateness::Lateness;
use crate::loss_pattern::LossPattern;
use crate::stalls::Stalls;
use crate::trunk::TrunkUse;

/// Figures of one call, in both directions.
///
/// ```
/// use oneport_wire::Format;
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (mut here, mut there) = two_ends(now);
/// # let (ours, theirs) = call_up(now, &mut here, &mut there);
/// for _ in 0..50 {
///     here.send_voice(now, ours, Format::ULAW, &[0xFF; 160], 20)?;
/// }
/// exchange(now, &mut here, &mut there);
/// let sender = here.call_stats(ours).ok_or("it goes on")?;
/// let receiver = there.call_stats(theirs).ok_or("it goes on")?;
/// assert_eq!((sender.sent_frames, sender.sent_bytes), (50, 8_000));
/// assert_eq!((receiver.received.frames, receiver.received.lost), (50, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
    /// Frames missing in the voice that we sent, by its timestamps: those of a relayed call that were
    /// lost before they came here. The peer misses them too.
    pub sent_gaps: u64,
    /// How its trunk fared since the call was accepted, where its voice leaves in trunk frames.
    pub trunk: Option<TrunkUse>,
    /// How late this system itself was since the call began.
    pub lateness: Lateness,
    /// Packets of video received, in formats that the call carries.
    pub video_frames_received: u64,
    /// Packets of video sent.
    pub video_frames_sent: u64,
}

/// An IAX frame of a call, as Asterisk's console shows the first and the last of each channel.
///
/// ```
/// use oneport_proto::Said;
/// use oneport_wire::IaxSubclass;
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (mut here, mut there) = two_ends(now);
/// # let (ours, theirs) = call_up(now, &mut here, &mut there);
/// // Whoever is called sees that the peer began.
/// let signalling = there.call_signalling(theirs).ok_or("it goes on")?;
/// assert_eq!(signalling.first, Some(Said { ours: false, subclass: IaxSubclass::New }));
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Said {
    /// Whether we sent it.
    pub ours: bool,
    /// What it says.
    pub subclass: IaxSubclass,
}

/// How far the signalling of a call is.
///
/// ```
/// use oneport_proto::Said;
/// use oneport_wire::{IaxSubclass, Seq};
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (mut here, mut there) = two_ends(now);
/// # let (ours, theirs) = call_up(now, &mut here, &mut there);
/// let signalling = here.call_signalling(ours).ok_or("it goes on")?;
/// assert_eq!(signalling.first, Some(Said { ours: true, subclass: IaxSubclass::New }));
/// // We sent NEW, number 0, and the peer ACCEPT and ANSWER.
/// assert_eq!((signalling.next, signalling.expected), (Seq(1), Seq(2)));
/// # Ok::<(), &str>(())
/// ```
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
///
/// The third frame of four is missing:
///
/// ```
/// use std::time::Duration;
///
/// use oneport_proto::{Instant, VoiceMeter};
/// use oneport_wire::Format;
///
/// let mut meter = VoiceMeter::default();
/// for timestamp in [0, 20, 60] {
///     let now = Instant::from_micros(u64::from(timestamp) * 1_000);
///     meter.receive(now, timestamp, Format::ULAW, 160);
/// }
/// let stats = meter.snapshot();
/// assert_eq!((stats.frames, stats.lost), (3, 1));
/// assert_eq!(stats.frame, Duration::from_millis(20));
/// assert_eq!(stats.jitter, Duration::ZERO);
/// ```
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
    /// How late frames come, and how the sender's clock runs.
    pub delay: DelayVariation,
    /// How the lost frames lie.
    pub pattern: LossPattern,
    /// When the sender stood still.
    pub stalls: Stalls,
    /// Length of a frame; zero while that is not known.
    pub frame: Duration,
}

/// The peer's own count of what it heard from us (RFC 5456 §8.6.33 to §8.6.38).
///
/// Asterisk fills it from its jitter buffer: all zero where that is off.
///
/// ```
/// use std::time::Duration;
///
/// use oneport_proto::RemoteReport;
/// use oneport_wire::{Element, ElementBuffer};
///
/// let mut pong = ElementBuffer::new();
/// pong.push(&Element::ReceivedJitter(12));
/// pong.push(&Element::ReceivedLoss { percent: 2, count: 10 });
/// pong.push(&Element::ReceivedFrames(490));
/// let report = RemoteReport::read(pong.as_elements()).ok_or("it has no RR elements")?;
/// assert_eq!((report.frames, report.lost, report.lost_percent), (490, 10, 2));
/// assert_eq!(report.jitter, Duration::from_millis(12));
/// # Ok::<(), &str>(())
/// ```
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
    #[must_use]
    pub fn read(elements: Elements<'_>) -> Option<Self> {
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
