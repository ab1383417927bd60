//! Captures of single calls: every datagram that belongs to one of its legs, in the format pcapng, on
//! its way to whoever has asked for it. It knows the numbers on the wire and nothing of calls behind
//! them.
//!
//! Nobody waits for the listener: what it does not fetch in time is left out, and counted in the
//! packet that follows.

mod early;
mod pcapng;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

use oneport_proto::Instant;
use oneport_wire::{CallNumber, Datagram, MiniTimestamp, TrunkFrame, TrunkWriter};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use uuid::Uuid;

use early::Early;
pub(crate) use early::tells_of_a_call;
pub(crate) use pcapng::Way;

/// Captures at once.
const MOST_CAPTURES: usize = 8;

/// Packets that wait for a listener.
const MOST_WAITING: usize = 1_024;

/// Legs of one call that are captured: who is rung, and who is tried then.
const MOST_LEGS: usize = 32;

/// How long a capture goes on behind the end of its call: its last frames are acknowledged yet.
const BEHIND_THE_END: Duration = Duration::from_secs(2);

/// How long before a call its caller may have asked for a call token.
const TOKEN_EXCHANGE: Duration = Duration::from_secs(10);

/// The numbers of a leg on the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    pub(crate) remote: SocketAddr,
    pub(crate) ours: CallNumber,
    /// Not known before the other side has said it.
    pub(crate) theirs: Option<CallNumber>,
}

/// How much is captured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) time: Duration,
    pub(crate) bytes: u64,
}

#[derive(Debug)]
struct Leg<K> {
    key: K,
    numbers: Numbers,
    began: Instant,
    is_over: bool,
}

#[derive(Debug)]
struct Capture<K> {
    call: Uuid,
    legs: Vec<Leg<K>>,
    packets: mpsc::Sender<Vec<u8>>,
    bytes_left: u64,
    ends: Instant,
    /// When it began, by both clocks.
    began: Instant,
    began_unix_micros: u64,
    /// Packets left out since the last that was taken.
    left_out: u64,
}

/// All captures. `K` is the handle of a leg.
#[derive(Debug)]
pub(crate) struct Captures<K> {
    captures: Vec<Capture<K>>,
    early: Early,
    /// Packets left out since the start.
    pub(crate) left_out: u64,
}

impl<K> Default for Captures<K> {
    fn default() -> Self {
        Self { captures: Vec::new(), early: Early::default(), left_out: 0 }
    }
}

impl<K: Copy + Eq> Captures<K> {
    /// Whether anything is captured.
    pub(crate) const fn is_empty(&self) -> bool {
        self.captures.is_empty()
    }

    /// Begins a capture; its packets come out of what is given back. `None`: there are as many as may
    /// be.
    pub(crate) fn begin(
        &mut self,
        now: Instant,
        unix_micros: u64,
        call: Uuid,
        bounds: Bounds,
    ) -> Option<mpsc::Receiver<Vec<u8>>> {
        self.captures.retain(|capture| !capture.packets.is_closed());
        if self.captures.len() >= MOST_CAPTURES {
            return None;
        }
        let (packets, receiver) = mpsc::channel(MOST_WAITING);
        let mut capture = Capture {
            call,
            legs: Vec::new(),
            packets,
            bytes_left: bounds.bytes,
            ends: now + bounds.time,
            began: now,
            began_unix_micros: unix_micros,
            left_out: 0,
        };
        capture.send(pcapng::section(&call.to_string()));
        self.captures.push(capture);
        Some(receiver)
    }

    /// A leg of a call, as it is or as it has become; `name` is what it is called in the capture.
    pub(crate) fn leg(
        &mut self,
        call: Uuid,
        (key, began): (K, Instant),
        numbers: Numbers,
        name: &str,
    ) {
        for capture in self.captures.iter_mut().filter(|capture| capture.call == call) {
            if let Some(leg) = capture.legs.iter_mut().find(|leg| leg.key == key) {
                leg.numbers = numbers;
            } else if capture.legs.len() < MOST_LEGS {
                // Packets name it by its place.
                if let Taken::Yes = capture.send(pcapng::interface(name)) {
                    capture.legs.push(Leg { key, numbers, began, is_over: false });
                }
            }
        }
    }

    /// Sends what is known of the beginning of a call whose legs are all told of.
    pub(crate) fn replay(&mut self, call: Uuid) {
        let capture = self.captures.iter_mut().rfind(|capture| capture.call == call);
        let Some(capture) = capture else { return };
        for kept in self.early.iter() {
            let is_of = |leg: &&Leg<K>| leg.numbers.began_with(leg.began, kept);
            let Some(place) = capture.legs.iter().position(|leg| is_of(&leg)) else { continue };
            let before = u64::try_from(capture.began.since(kept.at).as_micros());
            let unix_micros = capture.began_unix_micros.saturating_sub(before.unwrap_or(u64::MAX));
            let bytes = without_password(&kept.datagram);
            let packet = pcapng::Packet {
                interface: u32::try_from(place).unwrap_or(u32::MAX),
                unix_micros,
                way: kept.way,
                local: kept.local,
                remote: kept.remote,
                content: &bytes,
                left_out: capture.left_out,
            };
            match capture.send(packet.write()) {
                Taken::Yes => capture.left_out = 0,
                Taken::Not => {
                    capture.left_out += 1;
                    self.left_out += 1;
                }
                Taken::AndNoMore => return,
            }
        }
    }

    /// What is known of the beginning of a call with these legs, as it was on the wire: for each datagram when it
    /// passed, its leg's place among them, and which way it went.
    pub(crate) fn beginning(
        &self,
        legs: &[(Instant, Numbers)],
    ) -> impl Iterator<Item = (Instant, usize, Way, &[u8])> {
        self.early.iter().filter_map(|kept| {
            let place = legs.iter().position(|(began, leg)| leg.began_with(*began, kept))?;
            Some((kept.at, place, kept.way, &*kept.datagram))
        })
    }

    /// A leg is at another address now.
    pub(crate) fn moved(&mut self, key: K, remote: SocketAddr) {
        let legs = self.captures.iter_mut().flat_map(|capture| &mut capture.legs);
        for leg in legs.filter(|leg| leg.key == key) {
            leg.numbers.remote = remote;
        }
    }

    /// A leg is over.
    pub(crate) fn over(&mut self, now: Instant, key: K) {
        for capture in &mut self.captures {
            for leg in capture.legs.iter_mut().filter(|leg| leg.key == key) {
                leg.is_over = true;
            }
            if capture.legs.iter().all(|leg| leg.is_over) {
                capture.ends = capture.ends.min(now + BEHIND_THE_END);
            }
        }
    }

    /// When the next capture ends.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.captures.iter().map(|capture| capture.ends).min()
    }

    /// Ends those whose time is over.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.captures.retain(|capture| capture.ends > now);
    }

    /// Takes a datagram, if it belongs to a call that is captured.
    pub(crate) fn see(
        &mut self,
        now: Instant,
        way: Way,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: &[u8],
    ) {
        self.early.keep(now, way, (local, remote), datagram);
        let mut left_out = 0;
        self.captures.retain_mut(|capture| {
            let found =
                capture.legs.iter_mut().enumerate().find_map(|(place, leg)| {
                    Some((place, leg.numbers.part(way, remote, datagram)?))
                });
            let Some((interface, bytes)) = found else { return true };
            let bytes = match bytes {
                Cow::Borrowed(bytes) => without_password(bytes),
                own => own,
            };
            let since = u64::try_from(now.since(capture.began).as_micros()).unwrap_or(u64::MAX);
            let packet = pcapng::Packet {
                interface: u32::try_from(interface).unwrap_or(u32::MAX),
                unix_micros: capture.began_unix_micros.saturating_add(since),
                way,
                local,
                remote,
                content: &bytes,
                left_out: capture.left_out,
            };
            let taken = capture.send(packet.write());
            match taken {
                Taken::Yes => capture.left_out = 0,
                Taken::Not => {
                    capture.left_out += 1;
                    left_out += 1;
                }
                Taken::AndNoMore => {}
            }
            !matches!(taken, Taken::AndNoMore)
        });
        self.left_out += left_out;
    }
}

enum Taken {
    Yes,
    /// The listener is too slow.
    Not,
    /// It is full, or nobody listens.
    AndNoMore,
}

impl<K> Capture<K> {
    fn send(&mut self, block: Vec<u8>) -> Taken {
        let Some(left) = self.bytes_left.checked_sub(block.len() as u64) else {
            return Taken::AndNoMore;
        };
        match self.packets.try_send(block) {
            Ok(()) => {
                self.bytes_left = left;
                Taken::Yes
            }
            Err(TrySendError::Full(_)) => Taken::Not,
            Err(TrySendError::Closed(_)) => Taken::AndNoMore,
        }
    }
}

impl Numbers {
    /// Whether a datagram that has passed before belongs to a leg that began then. Its first ones have
    /// one number only.
    fn began_with(&self, began: Instant, kept: &early::Kept) -> bool {
        if kept.remote != self.remote {
            return false;
        }
        let [a, b, c, d, ..] = *kept.datagram else { return false };
        let (first, second) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let (sender, receiver) = (CallNumber::from_bits(first), CallNumber::from_bits(second));
        let (ours, theirs) = match kept.way {
            Way::In => (receiver, sender),
            Way::Out => (sender, receiver),
        };
        // What leads to a call token comes before there is a call.
        let is_new = match kept.way {
            Way::In => ours == CallNumber::NONE,
            Way::Out => ours == CallNumber::STATELESS,
        };
        match is_new {
            true => Some(theirs) == self.theirs && kept.at + TOKEN_EXCHANGE >= began,
            false => ours == self.ours && kept.at >= began,
        }
    }

    /// What of a datagram belongs to this leg: all of it, or of a trunk frame the entries of its call
    /// alone.
    fn part<'a>(
        &mut self,
        way: Way,
        remote: SocketAddr,
        datagram: &'a [u8],
    ) -> Option<Cow<'a, [u8]>> {
        if remote != self.remote {
            return None;
        }
        let [a, b, c, d, ..] = *datagram else { return None };
        let (first, second) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let number = |bits| CallNumber::from_bits(bits);
        let sender = match way {
            Way::In => self.theirs,
            Way::Out => Some(self.ours),
        };
        let is_ours = match first {
            // A full frame has both numbers; who sends it may have been unknown.
            0x8000.. => match way {
                Way::Out => number(first) == self.ours,
                Way::In => {
                    let is_ours = number(second) == self.ours;
                    let theirs = number(first);
                    if is_ours && self.theirs.is_none() && theirs != CallNumber::STATELESS {
                        self.theirs = Some(theirs);
                    }
                    is_ours
                }
            },
            1.. => sender == Some(number(first)),
            // A video mini frame.
            0 if second & 0x8000 != 0 => sender == Some(number(second)),
            0 => return trunk_part(sender?, datagram),
        };
        is_ours.then_some(Cow::Borrowed(datagram))
    }
}

/// A frame with asterisks in the place of a password that it has in the clear (AUTHREP).
fn without_password(datagram: &[u8]) -> Cow<'_, [u8]> {
    const HEADER: usize = 12;
    const PASSWORD: u8 = 7;
    if datagram.len() < HEADER || datagram[0] & 0x80 == 0 || datagram[10..HEADER] != [6, 9] {
        return Cow::Borrowed(datagram);
    }
    let mut masked = datagram.to_vec();
    let mut elements = &mut masked[HEADER..];
    while let [kind, len, rest @ ..] = elements {
        let (content, more) = rest.split_at_mut(usize::from(*len).min(rest.len()));
        if *kind == PASSWORD {
            content.fill(b'*');
        }
        elements = more;
    }
    Cow::Owned(masked)
}

/// A trunk frame with the entries of one call alone.
fn trunk_part(sender: CallNumber, datagram: &[u8]) -> Option<Cow<'_, [u8]>> {
    let Ok(Datagram::Trunk(trunk)) = Datagram::decode(datagram) else { return None };
    let TrunkFrame { timestamp, .. } = trunk;
    let mut entries = trunk.entries().filter(|entry| entry.source == sender).peekable();
    let timestamps = entries.peek()?.timestamp.is_some();
    let mut writer = TrunkWriter::new(timestamps, datagram.len());
    for entry in entries {
        let stamp = entry.timestamp.unwrap_or(MiniTimestamp(0));
        if !writer.push(entry.source, stamp, entry.payload) {
            break;
        }
    }
    Some(Cow::Owned(writer.finish(timestamp).to_vec()))
}

#[cfg(test)]
mod tests {
    use oneport_wire::Timestamp;

    use super::*;

    const CALL: Uuid = Uuid::from_u128(7);

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn number(bits: u16) -> CallNumber {
        CallNumber::from_bits(bits)
    }

    fn captures(bounds: Bounds) -> (Captures<u8>, mpsc::Receiver<Vec<u8>>) {
        let mut captures = Captures::default();
        let receiver = captures.begin(at(0), 0, CALL, bounds).expect("room");
        let numbers = Numbers { remote: address(1), ours: number(5), theirs: None };
        captures.leg(CALL, (1, at(0)), numbers, "leg");
        (captures, receiver)
    }

    const BOUNDS: Bounds = Bounds { time: Duration::from_secs(10), bytes: 100_000 };

    fn count(receiver: &mut mpsc::Receiver<Vec<u8>>) -> usize {
        std::iter::from_fn(|| receiver.try_recv().ok()).count()
    }

    #[test]
    fn what_belongs_to_another_call_is_not_seen() {
        let (mut captures, mut receiver) = captures(BOUNDS);
        assert_eq!(count(&mut receiver), 2, "the section and the leg");
        let full = [0x80, 9, 0, 5, 0, 0, 0, 0, 0, 0, 6, 4];
        let to_another = [0x80, 9, 0, 6, 0, 0, 0, 0, 0, 0, 6, 4];
        let mini = [0, 9, 0, 0, 1, 2];
        let of_another = [0, 8, 0, 0, 1, 2];
        let mut see = |way, port, datagram: &[u8]| {
            captures.see(at(1), way, address(2), address(port), datagram);
            count(&mut receiver)
        };
        // A mini frame before anything is known of its sender may be anybody's.
        assert_eq!(see(Way::In, 1, &mini), 0);
        assert_eq!(see(Way::In, 1, &to_another), 0);
        assert_eq!(see(Way::In, 3, &full), 0, "from elsewhere");
        assert_eq!(see(Way::In, 1, &full), 1);
        assert_eq!(see(Way::In, 1, &mini), 1);
        assert_eq!(see(Way::In, 1, &of_another), 0);
        assert_eq!(see(Way::Out, 1, &[0, 5, 0, 0, 1]), 1);
        assert_eq!(see(Way::Out, 1, &mini), 0);
        assert_eq!(see(Way::Out, 1, &[0x80, 5, 0, 9, 0, 0, 0, 0, 0, 0, 6, 4]), 1);
        for garbage in [&[][..], &[0], &[0, 0, 1], &[0, 0, 1, 9], &[0; 12]] {
            assert_eq!(see(Way::In, 1, garbage), 0, "{garbage:?}");
        }
    }

    #[test]
    fn of_a_trunk_frame_only_the_call_s_own_voice_is_seen() {
        let mut writer = TrunkWriter::new(true, 1_000);
        assert!(writer.push(number(8), MiniTimestamp(20), &[8; 160]));
        assert!(writer.push(number(9), MiniTimestamp(40), &[9; 160]));
        let datagram = writer.finish(Timestamp(77)).to_vec();
        let mut numbers = Numbers { remote: address(1), ours: number(5), theirs: Some(number(9)) };
        let part = numbers.part(Way::In, address(1), &datagram).expect("it has voice of it");
        assert!(!part.contains(&8) && part.iter().filter(|byte| **byte == 9).count() >= 160);
        let Ok(Datagram::Trunk(trunk)) = Datagram::decode(&part) else { panic!("no trunk frame") };
        let entries: Vec<_> = trunk.entries().collect();
        assert_eq!((entries.len(), trunk.timestamp), (1, Timestamp(77)));
        assert_eq!(entries[0].timestamp, Some(MiniTimestamp(40)));
        let mut other = Numbers { theirs: Some(number(10)), ..numbers };
        assert!(other.part(Way::In, address(1), &datagram).is_none());
    }

    #[test]
    fn a_call_that_was_up_before_has_its_beginning_and_no_other_call_s() {
        let mut captures: Captures<u8> = Captures::default();
        let frame = |from: u16, to: u16, subclass: u8| {
            let ([a, b], [c, d]) = ((from | 0x8000).to_be_bytes(), to.to_be_bytes());
            vec![a, b, c, d, 0, 0, 0, 0, 0, 0, 6, subclass, 7, 3, b'k', b'e', b'y']
        };
        let mut see = |second, way, port, datagram: &[u8]| {
            captures.see(at(second), way, address(2), address(port), datagram);
        };
        // An older call had the same numbers; then NEW, CALLTOKEN, NEW, AUTHREQ, AUTHREP, ACCEPT.
        see(1, Way::In, 1, &frame(9, 0, 1));
        see(1, Way::Out, 1, &frame(5, 9, 7));
        see(50, Way::In, 1, &frame(9, 0, 1));
        see(50, Way::Out, 1, &frame(1, 9, 40));
        see(50, Way::In, 1, &frame(9, 0, 1));
        see(50, Way::Out, 1, &frame(5, 9, 8));
        see(51, Way::In, 1, &frame(9, 5, 9));
        see(51, Way::Out, 1, &frame(5, 9, 7));
        see(51, Way::In, 3, &frame(9, 5, 9));
        see(51, Way::In, 1, &frame(8, 6, 9));
        let bounds = Bounds { time: Duration::from_secs(10), bytes: 100_000 };
        let mut receiver = captures.begin(at(60), 60_000_000, CALL, bounds).expect("room");
        let numbers = Numbers { remote: address(1), ours: number(5), theirs: Some(number(9)) };
        captures.leg(CALL, (1, at(50)), numbers, "leg");
        captures.replay(CALL);
        let blocks: Vec<Vec<u8>> = std::iter::from_fn(|| receiver.try_recv().ok()).collect();
        assert_eq!(blocks.len(), 2 + 6, "the section, the leg, and its beginning");
        let has = |block: &[u8], what: &[u8]| block.windows(what.len()).any(|here| here == what);
        assert!(has(&blocks[6], b"***") && !has(&blocks[6], b"key"), "no password is shown");
        assert!(has(&blocks[2], b"key"), "what is no proof is as it was");
    }

    #[test]
    fn it_ends_with_its_time_its_bytes_its_call_or_its_listener() {
        let full = [0x80, 9, 0, 5, 0, 0, 0, 0, 0, 0, 6, 4];
        let (mut captures, _receiver) = captures(BOUNDS);
        captures.expire(at(9));
        assert_eq!(captures.next(), Some(at(10)));
        captures.over(at(5), 1);
        assert_eq!(captures.next(), Some(at(7)));
        captures.expire(at(7));
        assert!(captures.is_empty());
        let (mut captures, mut receiver) = self::captures(Bounds { bytes: 500, ..BOUNDS });
        for _ in 0..100 {
            captures.see(at(1), Way::In, address(2), address(1), &full);
        }
        assert!(captures.is_empty());
        let bytes: usize =
            std::iter::from_fn(|| receiver.try_recv().ok()).map(|one| one.len()).sum();
        assert!(bytes <= 500 && bytes > 300, "{bytes}");
        let (mut captures, receiver) = self::captures(BOUNDS);
        drop(receiver);
        captures.see(at(1), Way::In, address(2), address(1), &full);
        assert!(captures.is_empty());
    }

    #[test]
    fn a_listener_that_does_not_fetch_costs_packets_which_are_counted() {
        let full = [0x80, 9, 0, 5, 0, 0, 0, 0, 0, 0, 6, 4];
        let (mut captures, mut receiver) = captures(Bounds { bytes: 10_000_000, ..BOUNDS });
        for _ in 0..MOST_WAITING + 8 {
            captures.see(at(1), Way::In, address(2), address(1), &full);
        }
        // The section and the leg wait too.
        assert_eq!(captures.left_out, 10);
        assert_eq!(count(&mut receiver), MOST_WAITING);
        captures.see(at(1), Way::In, address(2), address(1), &full);
        let packet = receiver.try_recv().expect("a packet");
        assert!(packet.windows(12).any(|option| option == [4, 0, 8, 0, 10, 0, 0, 0, 0, 0, 0, 0]));
    }

    #[test]
    fn so_many_at_once_and_no_more() {
        let mut captures: Captures<u8> = Captures::default();
        let begin = |captures: &mut Captures<u8>| captures.begin(at(0), 0, CALL, BOUNDS);
        let mut receivers: Vec<_> =
            (0..MOST_CAPTURES).map(|_| begin(&mut captures).expect("room")).collect();
        assert!(begin(&mut captures).is_none());
        drop(receivers.pop());
        assert!(begin(&mut captures).is_some());
    }
}
