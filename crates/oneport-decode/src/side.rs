//! One side of an exchange: how its frames are numbered, acknowledged and timed, and what it said.

use std::collections::VecDeque;
use std::net::SocketAddr;

use oneport_proto::{Instant, Overhearer, RemoteReport, VoiceMeter};
use oneport_wire::{CallNumber, Format, FullFrame, Message, MiniTimestamp, Seq, Timestamp};

use crate::story::{RoundTrips, SideStory};
use crate::time::Time;

/// Full frames that are remembered for what comes again.
const REMEMBERED: usize = 32;

/// Keys that are remembered.
const MOST_DIGITS: usize = 256;

/// A frame that comes again so soon is in the capture twice: nobody repeats in less than 100 ms.
const TWICE_WITHIN: std::time::Duration = std::time::Duration::from_millis(5);

/// Voice stands still so long before the clock of a trunk is looked at anew.
const TRUNK_PAUSE_MS: u32 = 5_000;

/// A full frame that takes a sequence number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) oseq: Seq,
    pub(crate) time: Time,
    pub(crate) packet: u64,
    frame_type: u8,
    subclass: u8,
    retransmission: bool,
    copies: u32,
    /// The packet that acknowledged it.
    pub(crate) acknowledged: Option<u64>,
}

impl Sent {
    /// What it was, in a word or two.
    pub(crate) fn name(&self) -> String {
        Message::decode(self.frame_type, self.subclass, &[])
            .map_or_else(|_| "frame".into(), |message| message.gist().to_string())
    }
}

/// How a full frame stands to those before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// The next.
    Next,
    /// So many before it are missing.
    Gap(u8),
    /// It was missing.
    Late,
    /// It came before: in this packet, and it was acknowledged in that one, where that is known.
    Again { first: Option<u64>, acknowledged: Option<u64> },
    /// It came before, so long ago that no more is known of it.
    Old,
    /// The capture has it twice.
    Copy,
}

/// Voice of one side.
#[derive(Default, Debug)]
struct Voice {
    meter: VoiceMeter,
    last: Time,
}

/// One side.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) address: SocketAddr,
    pub(crate) number: Option<CallNumber>,
    /// The OSeqno that comes next.
    expected: Option<Seq>,
    /// Bit n: the frame n + 1 before the next came.
    came: u64,
    sent: VecDeque<Sent>,
    /// Where its clock stands.
    clock: Timestamp,
    /// Where that of its full frames stood.
    full_clock: Option<Timestamp>,
    /// What the clock of its trunk must be moved by to be that of the call.
    trunk_offset: Option<(u32, u32)>,
    voice: Option<Box<Voice>>,
    pub(crate) format: Option<Format>,
    /// Bytes of a datagram with a mini frame of it, as far as that is known.
    pub(crate) mini_length: Option<usize>,
    pub(crate) keys: Option<Box<Overhearer>>,
    /// A frame of it was read by these keys, and what it said was believed.
    pub(crate) is_read: bool,
    pub(crate) report: Option<RemoteReport>,
    pub(crate) frames: u64,
    pub(crate) sealed: u64,
    trunk_entries: u64,
    full_frames: u64,
    repeated: u64,
    digits: String,
    round_trips: RoundTrips,
}

impl Side {
    pub(crate) fn new(address: SocketAddr, number: Option<CallNumber>) -> Self {
        Self {
            address,
            number,
            expected: None,
            came: 0,
            sent: VecDeque::new(),
            clock: Timestamp(0),
            full_clock: None,
            trunk_offset: None,
            voice: None,
            format: None,
            mini_length: None,
            keys: None,
            is_read: false,
            report: None,
            frames: 0,
            sealed: 0,
            trunk_entries: 0,
            full_frames: 0,
            repeated: 0,
            digits: String::new(),
            round_trips: RoundTrips::default(),
        }
    }

    /// It begins anew with its first request, as a caller does that has got a call token.
    pub(crate) fn begin_anew(&mut self) {
        (self.expected, self.came, self.full_clock) = (None, 0, None);
        self.sent.clear();
    }

    /// Takes a full frame that counts in the order.
    pub(crate) fn order(&mut self, time: Time, packet: u64, frame: &FullFrame<'_>) -> Order {
        let oseq = frame.header.oseq;
        let retransmission = frame.header.retransmission;
        let expected = *self.expected.get_or_insert(oseq);
        let ahead = oseq.since(expected);
        let known = self.sent.iter_mut().rev().find(|sent| sent.oseq == oseq);
        if ahead < 128 {
            self.came = self.came.checked_shl(u32::from(ahead) + 1).unwrap_or(0) | 1;
            self.expected = Some(oseq.next());
            self.remember(time, packet, frame);
            if retransmission {
                self.repeated += 1;
                return Order::Again { first: None, acknowledged: None };
            }
            self.full_frames += 1;
            return if ahead == 0 { Order::Next } else { Order::Gap(ahead) };
        }
        let back = u32::from(expected.since(oseq)) - 1;
        let bit = 1_u64.checked_shl(back).unwrap_or(0);
        if let Some(sent) = known {
            let is_copy = retransmission == sent.retransmission
                && sent.copies == 1
                && time.since(sent.time) < TWICE_WITHIN;
            if is_copy {
                return Order::Copy;
            }
            sent.copies += 1;
            self.repeated += 1;
            return Order::Again { first: Some(sent.packet), acknowledged: sent.acknowledged };
        }
        if self.came & bit != 0 || bit == 0 {
            self.repeated += 1;
            return Order::Old;
        }
        self.came |= bit;
        self.remember(time, packet, frame);
        if retransmission {
            self.repeated += 1;
            return Order::Again { first: None, acknowledged: None };
        }
        self.full_frames += 1;
        Order::Late
    }

    fn remember(&mut self, time: Time, packet: u64, frame: &FullFrame<'_>) {
        if self.sent.len() >= REMEMBERED {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent {
            oseq: frame.header.oseq,
            time,
            packet,
            frame_type: frame.frame_type,
            subclass: frame.subclass,
            retransmission: frame.header.retransmission,
            copies: 1,
            acknowledged: None,
        });
    }

    /// The other side acknowledges what is below `iseq`; how long that took, of the newest that was sent once.
    pub(crate) fn acknowledged(
        &mut self,
        time: Time,
        packet: u64,
        iseq: Seq,
    ) -> Option<std::time::Duration> {
        let mut took = None;
        for sent in self.sent.iter_mut().rev() {
            // Beyond what was sent: it acknowledges something else.
            if iseq.since(sent.oseq) == 0 || iseq.since(sent.oseq) >= 128 {
                continue;
            }
            if sent.acknowledged.is_some() {
                break;
            }
            sent.acknowledged = Some(packet);
            if took.is_none() && sent.copies == 1 && !sent.retransmission {
                took = Some(time.since(sent.time));
            }
        }
        took
    }

    pub(crate) fn answered_within(&mut self, took: std::time::Duration) {
        self.round_trips.take(took);
    }

    /// Those that nobody has acknowledged, the oldest first.
    pub(crate) fn unacknowledged(&self) -> impl Iterator<Item = &Sent> {
        self.sent.iter().filter(|sent| sent.acknowledged.is_none())
    }

    /// A full frame moves the clock; whether it went back.
    pub(crate) fn tick(&mut self, stamp: Timestamp) -> bool {
        let back = self.full_clock.is_some_and(|last| {
            let behind = last.0.wrapping_sub(stamp.0);
            (1_000..u32::MAX / 2).contains(&behind)
        });
        self.full_clock = Some(stamp);
        self.clock = stamp;
        back
    }

    /// Where the clock of its voice stands now.
    pub(crate) fn voice_clock(&self, time: Time) -> Option<Timestamp> {
        let voice = self.voice.as_ref()?;
        let since = u32::try_from(time.since(voice.last).as_millis()).ok()?;
        Some(Timestamp(self.clock.0.wrapping_add(since)))
    }

    /// The whole timestamp of a mini frame.
    pub(crate) fn unwrap(&self, stamp: MiniTimestamp) -> Timestamp {
        stamp.unwrap_near(self.clock)
    }

    /// The timestamp of voice in a trunk frame without timestamps: the clock of the trunk runs as that of the call
    /// does.
    pub(crate) fn of_trunk(&mut self, time: Time, trunk: Timestamp) -> Timestamp {
        let offset = match self.trunk_offset {
            Some((offset, last)) if trunk.0.wrapping_sub(last) < TRUNK_PAUSE_MS => offset,
            _ => {
                let now = self.voice_clock(time).unwrap_or(self.clock);
                now.0.wrapping_sub(trunk.0)
            }
        };
        self.trunk_offset = Some((offset, trunk.0));
        Timestamp(trunk.0.wrapping_add(offset))
    }

    /// Takes a frame of voice.
    pub(crate) fn speak(&mut self, time: Time, stamp: Timestamp, format: Format, bytes: usize) {
        let voice = self.voice.get_or_insert_default();
        voice.meter.receive(Instant::from_micros(time.0 / 1_000), stamp.0, format, bytes);
        voice.last = time;
        self.clock = stamp;
    }

    /// It falls silent, and says so.
    pub(crate) fn pause(&mut self) {
        if let Some(voice) = &mut self.voice {
            voice.meter.pause();
        }
    }

    pub(crate) fn count_trunk_entry(&mut self) {
        self.trunk_entries += 1;
    }

    pub(crate) fn press(&mut self, digit: u8) {
        if self.digits.len() < MOST_DIGITS && digit.is_ascii_graphic() {
            self.digits.push(digit.into());
        }
    }

    pub(crate) fn story(&self) -> SideStory {
        SideStory {
            address: self.address,
            number: self.number,
            format: self.format,
            voice: self.voice.as_ref().map(|voice| voice.meter.snapshot()).unwrap_or_default(),
            trunk_entries: self.trunk_entries,
            full_frames: self.full_frames,
            repeated: self.repeated,
            sealed: self.sealed,
            digits: self.digits.clone(),
            round_trips: self.round_trips,
            report: self.report,
        }
    }
}
