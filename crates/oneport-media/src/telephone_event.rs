//! Keys as packets of RTP: the payload `telephone-event` of RFC 4733.
//!
//! A key is told by several packets with the same timestamp, that of its beginning, which say how long it
//! has been down; the last of them comes three times. [`EventSender`] makes them of keys, and
//! [`EventReceiver`] makes keys of them, whatever the network does to them. Neither has a clock.

use std::time::Duration;

use crate::dtmf::Key;

/// Events of keys, by their number (RFC 4733 §3.2): `0` to `9`, `*`, `#`, `A` to `D`.
const KEYS: [u8; 16] = *b"0123456789*#ABCD";

/// The event of a hook flash.
pub const FLASH: u8 = 16;

/// How often the packet that ends an event is sent (§2.5.1.4).
const ENDINGS: u8 = 3;

/// An event of which nothing has come for so long is over (§2.5.2.2 leaves it to the receiver).
const SILENCE: Duration = Duration::from_millis(250);

/// A packet this much older than the newest, in timestamps, is of another stream rather than late.
const OLDEST: u32 = 1 << 19;

/// The event of a key.
#[must_use]
pub fn event_of(digit: u8) -> Option<u8> {
    let digit = digit.to_ascii_uppercase();
    KEYS.iter().zip(0..).find(|(key, _)| **key == digit).map(|(_, event)| event)
}

/// The key of an event.
#[must_use]
pub fn digit_of(event: u8) -> Option<u8> {
    KEYS.get(usize::from(event)).copied()
}

/// A payload (§2.3): 4 bytes, big-endian.
///
/// `0` the event; `1` bit 7 the end, bit 6 reserved, 6 bits of volume; `2..4` the duration.
///
/// ```
/// use oneport_media::telephone_event::TelephoneEvent;
///
/// // The end of a `1` after 800 timestamps, which are 100 ms at 8 kHz.
/// let event = TelephoneEvent { event: 1, end: true, volume: 7, duration: 800 };
/// assert_eq!(event.encode(), [0x01, 0x87, 0x03, 0x20]);
/// assert_eq!(TelephoneEvent::decode(&[0x01, 0x87, 0x03, 0x20]), Some(event));
/// assert_eq!(TelephoneEvent::decode(&[0x01, 0x87, 0x03]), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TelephoneEvent {
    /// What it is: 0 to 15 are keys.
    pub event: u8,
    /// Whether it is over.
    pub end: bool,
    /// How loud it is, in dB below 0 dBm0, 0 to 63.
    pub volume: u8,
    /// How long it has lasted, in timestamps.
    pub duration: u16,
}

impl TelephoneEvent {
    /// Reads a payload. What is behind its 4 bytes is left out; `None`: it has fewer.
    #[must_use]
    pub fn decode(payload: &[u8]) -> Option<Self> {
        let [event, flags, high, low] = *payload.first_chunk()?;
        Some(Self {
            event,
            end: flags & 0x80 != 0,
            volume: flags & 0x3F,
            duration: u16::from_be_bytes([high, low]),
        })
    }

    /// Writes it.
    #[must_use]
    pub fn encode(self) -> [u8; 4] {
        let [high, low] = self.duration.to_be_bytes();
        [self.event, u8::from(self.end) << 7 | self.volume & 0x3F, high, low]
    }
}

/// A packet to be sent.
///
/// ```
/// use oneport_media::telephone_event::EventSender;
///
/// let mut sender = EventSender::default();
/// assert!(sender.press(1_000, b'#'));
/// let packets = [1_160, 1_320].map(|now| sender.packet(now).expect("a key is down"));
/// // Both say when the key went down; the first has the marker.
/// assert_eq!(packets.map(|packet| packet.timestamp), [1_000, 1_000]);
/// assert_eq!(packets.map(|packet| packet.marker), [true, false]);
/// assert_eq!(packets.map(|packet| packet.payload.duration), [160, 320]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EventPacket {
    /// Its timestamp: when its event began.
    pub timestamp: u32,
    /// Whether it is the first of an event, and has the marker bit.
    pub marker: bool,
    /// Its payload.
    pub payload: TelephoneEvent,
}

/// An event that is being sent.
#[derive(Clone, Copy, Debug)]
struct Sending {
    event: u8,
    /// When this segment of it began.
    timestamp: u32,
    marker: bool,
    /// Its duration when it ended, and how often that is still to be said.
    ending: Option<(u16, u8)>,
}

/// Makes packets of keys. It is asked for one at a steady pace, each 20 or 50 ms, and gives none while no
/// key is down.
///
/// ```
/// use oneport_media::telephone_event::EventSender;
///
/// let mut sender = EventSender::default();
/// assert!(sender.press(1_000, b'5'));
/// sender.release(1_800);
/// // The end is said three times, as one packet may be lost.
/// let said: Vec<_> = (0..).step_by(160).map_while(|n| sender.packet(1_800 + n)).collect();
/// assert_eq!(said.len(), 3);
/// assert!(said.iter().all(|packet| packet.payload.end && packet.payload.duration == 800));
/// ```
#[derive(Clone, Debug, Default)]
pub struct EventSender {
    sending: Option<Sending>,
}

/// The volume that is told, in dB below 0 dBm0.
const VOLUME: u8 = 10;

impl EventSender {
    /// A key goes down, at `timestamp` of its stream. One that is down comes up without another word.
    /// `false`: there is no such key.
    pub fn press(&mut self, timestamp: u32, digit: u8) -> bool {
        let Some(event) = event_of(digit) else { return false };
        self.begin(timestamp, event);
        true
    }

    /// Any event begins.
    pub fn begin(&mut self, timestamp: u32, event: u8) {
        self.sending = Some(Sending { event, timestamp, marker: true, ending: None });
    }

    /// The key comes up, at `timestamp`.
    pub fn release(&mut self, timestamp: u32) {
        if let Some(sending) = &mut self.sending
            && sending.ending.is_none()
        {
            let lasted = timestamp.wrapping_sub(sending.timestamp);
            let lasted = u16::try_from(lasted).unwrap_or(u16::MAX).max(1);
            sending.ending = Some((lasted, ENDINGS));
        }
    }

    /// Whether there is nothing to be sent.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.sending.is_none()
    }

    /// The packet that is to be sent at `timestamp`.
    pub fn packet(&mut self, timestamp: u32) -> Option<EventPacket> {
        let sending = self.sending.as_mut()?;
        let lasted = timestamp.wrapping_sub(sending.timestamp);
        let lasted = if lasted > u32::MAX / 2 { 0 } else { lasted };
        let (duration, end) = match sending.ending {
            Some((duration, _)) => (duration, true),
            // What lasts longer than can be said goes on in another segment (§2.5.1.3).
            None => (u16::try_from(lasted).unwrap_or(u16::MAX), false),
        };
        let payload = TelephoneEvent { event: sending.event, end, volume: VOLUME, duration };
        let packet = EventPacket { timestamp: sending.timestamp, marker: sending.marker, payload };
        sending.marker = false;
        match &mut sending.ending {
            Some((_, left)) => {
                *left -= 1;
                if *left == 0 {
                    self.sending = None;
                }
            }
            None if duration == u16::MAX => {
                sending.timestamp = sending.timestamp.wrapping_add(u16::MAX.into());
            }
            None => {}
        }
        Some(packet)
    }
}

/// An event that is being received.
#[derive(Clone, Copy, Debug)]
struct Receiving {
    event: u8,
    /// When its newest segment began, and how long that has lasted.
    timestamp: u32,
    duration: u16,
    /// Of segments before, in timestamps.
    before: u32,
    /// When its newest packet came.
    came: Duration,
}

/// Makes keys of packets. Those that are lost, come twice or late change nothing, as long as one of a key
/// comes.
///
/// ```
/// use oneport_media::dtmf::Key;
/// use oneport_media::telephone_event::{EventReceiver, TelephoneEvent};
/// use std::time::Duration;
///
/// let (mut receiver, mut keys) = (EventReceiver::new(8_000), Vec::new());
/// let payload = TelephoneEvent { event: 5, end: true, volume: 10, duration: 800 };
/// // All packets are lost but two of the three that say its end.
/// for now in [100, 120].map(Duration::from_millis) {
///     receiver.receive(now, 1_000, payload, |key| keys.push(key));
/// }
/// assert_eq!(keys, [Key::Pressed(b'5'), Key::Released { digit: b'5', ms: 100 }]);
/// ```
#[derive(Clone, Debug)]
pub struct EventReceiver {
    clock_rate: u32,
    now: Option<Receiving>,
    /// When the newest event that is over began.
    over: Option<u32>,
}

impl EventReceiver {
    /// For a stream with so many timestamps in a second.
    #[must_use]
    pub const fn new(clock_rate: u32) -> Self {
        Self { clock_rate, now: None, over: None }
    }

    /// Takes a packet that has come at `now`; `tell` gets what becomes of keys, four times at most.
    /// Events that are no keys are left out.
    pub fn receive(
        &mut self,
        now: Duration,
        timestamp: u32,
        payload: TelephoneEvent,
        mut tell: impl FnMut(Key),
    ) {
        let TelephoneEvent { event, end, duration, .. } = payload;
        if let Some(receiving) = &mut self.now {
            let follows = receiving.timestamp.wrapping_add(u16::MAX.into());
            if timestamp == receiving.timestamp && event == receiving.event {
                receiving.duration = receiving.duration.max(duration);
                receiving.came = now;
                if end {
                    self.end(&mut tell);
                }
                return;
            }
            if timestamp == follows && event == receiving.event {
                receiving.before = receiving.before.saturating_add(u16::MAX.into());
                (receiving.timestamp, receiving.duration) = (timestamp, duration);
                receiving.came = now;
                if end {
                    self.end(&mut tell);
                }
                return;
            }
            if is_before(timestamp, receiving.timestamp) || timestamp == receiving.timestamp {
                return;
            }
            // All of its endings are lost.
            self.end(&mut tell);
        }
        if self.over.is_some_and(|over| timestamp == over || is_before(timestamp, over)) {
            return;
        }
        let before = 0;
        self.now = Some(Receiving { event, timestamp, duration, before, came: now });
        if let Some(digit) = digit_of(event) {
            tell(Key::Pressed(digit));
        }
        if end {
            self.end(&mut tell);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is wanted.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.now.map(|receiving| receiving.came.saturating_add(SILENCE))
    }

    /// An event of which nothing comes any more is over.
    pub fn handle_timeout(&mut self, now: Duration, mut tell: impl FnMut(Key)) {
        if self.poll_timeout().is_some_and(|at| at <= now) {
            self.end(&mut tell);
        }
    }

    fn end(&mut self, tell: &mut impl FnMut(Key)) {
        let Some(receiving) = self.now.take() else { return };
        self.over = Some(receiving.timestamp);
        if let Some(digit) = digit_of(receiving.event) {
            let lasted = u64::from(receiving.before) + u64::from(receiving.duration);
            let ms = lasted * 1000 / u64::from(self.clock_rate.max(1));
            tell(Key::Released { digit, ms: u32::try_from(ms).unwrap_or(u32::MAX) });
        }
    }
}

/// Whether a timestamp is older than another, and not much.
const fn is_before(timestamp: u32, other: u32) -> bool {
    let behind = other.wrapping_sub(timestamp);
    behind > 0 && behind < OLDEST
}

#[cfg(test)]
mod tests {
    use super::*;
    use Key::{Pressed, Released};

    const fn payload(event: u8, end: bool, duration: u16) -> TelephoneEvent {
        TelephoneEvent { event, end, volume: 10, duration }
    }

    /// What becomes of packets that come 20 ms apart.
    fn keys(packets: &[(u32, TelephoneEvent)]) -> Vec<Key> {
        let mut receiver = EventReceiver::new(8_000);
        let mut keys = Vec::new();
        for (n, (timestamp, payload)) in (0..).zip(packets) {
            let now = Duration::from_millis(n * 20);
            receiver.handle_timeout(now, |key| keys.push(key));
            receiver.receive(now, *timestamp, *payload, |key| keys.push(key));
        }
        keys
    }

    /// The packets of keys, each down for 100 ms with 60 ms behind it.
    fn sent(digits: &[u8]) -> Vec<(u32, TelephoneEvent)> {
        let (mut sender, mut packets, mut timestamp) = (EventSender::default(), Vec::new(), 7);
        for digit in digits {
            assert!(sender.press(timestamp, *digit));
            for n in 1..=8_u32 {
                timestamp += 160;
                if n == 5 {
                    sender.release(timestamp);
                }
                packets.extend(sender.packet(timestamp).map(|one| (one.timestamp, one.payload)));
            }
        }
        assert!(sender.is_idle());
        packets
    }

    #[test]
    fn a_payload_is_laid_out_as_the_rfc_has_it() {
        // RFC 4733 §2.6: digit 1 of an example, at volume 7 with duration 800, and its end.
        let bytes = [1, 0x87, 0x03, 0x20];
        let event = TelephoneEvent { event: 1, end: true, volume: 7, duration: 800 };
        assert_eq!((TelephoneEvent::decode(&bytes), event.encode()), (Some(event), bytes));
        assert_eq!(TelephoneEvent::decode(&[1, 0xC7, 0x03, 0x20, 9]), Some(event));
        assert_eq!(TelephoneEvent::decode(&[1, 2, 3]), None);
        for (digit, event) in [(b'0', 0), (b'9', 9), (b'*', 10), (b'#', 11), (b'd', 15)] {
            assert_eq!(event_of(digit), Some(event));
            assert_eq!(digit_of(event), Some(digit.to_ascii_uppercase()));
        }
        assert_eq!((event_of(b'!'), digit_of(FLASH)), (None, None));
    }

    #[test]
    fn a_key_is_begun_with_a_marker_and_ended_three_times() {
        let mut sender = EventSender::default();
        assert_eq!(sender.packet(0), None);
        sender.press(1_000, b'5');
        let said: Vec<(bool, bool, u16)> = (1..=6)
            .filter_map(|n| {
                if n == 3 {
                    sender.release(1_000 + n * 160);
                }
                let packet = sender.packet(1_000 + n * 160)?;
                assert_eq!((packet.timestamp, packet.payload.event), (1_000, 5));
                Some((packet.marker, packet.payload.end, packet.payload.duration))
            })
            .collect();
        assert_eq!(
            said,
            [
                (true, false, 160),
                (false, false, 320),
                (false, true, 480),
                (false, true, 480),
                (false, true, 480)
            ]
        );
    }

    /// The keys that are pressed, each of which is released before the next.
    fn pressed(keys: &[Key]) -> Vec<u8> {
        let mut digits = Vec::new();
        for (n, key) in keys.iter().enumerate() {
            match key {
                Pressed(digit) => {
                    assert!(n.is_multiple_of(2), "{keys:?}");
                    digits.push(*digit);
                }
                Released { digit, .. } => assert_eq!(digits.last(), Some(digit), "{keys:?}"),
            }
        }
        digits
    }

    #[test]
    fn keys_arrive_though_packets_are_lost_doubled_or_overtake_each_other() {
        let packets = sent(b"117#");
        let whole = keys(&packets);
        assert_eq!(pressed(&whole), b"117#");
        assert!(whole.chunks(2).all(|key| matches!(key[1], Released { ms: 100, .. })), "{whole:?}");
        let doubled: Vec<_> = packets.iter().flat_map(|packet| [*packet; 2]).collect();
        assert_eq!(keys(&doubled), whole);
        let mut swapped = packets.clone();
        for pair in swapped.chunks_mut(2) {
            pair.reverse();
        }
        assert_eq!(pressed(&keys(&swapped)), b"117#");
        // One alone of each key is enough.
        for which in 0..7 {
            let few: Vec<_> = packets.chunks(7).map(|of_key| of_key[which]).collect();
            assert_eq!(pressed(&keys(&few)), b"117#", "packet {which}");
        }
        // What is late of a key that is over is nothing.
        let mut late = packets;
        late.push((7, payload(1, false, 160)));
        late.push((7 + 8 * 160, payload(1, true, 800)));
        assert_eq!(keys(&late), whole);
    }

    #[test]
    fn a_key_whose_ending_never_comes_is_let_go() {
        let mut receiver = EventReceiver::new(8_000);
        let mut keys = Vec::new();
        receiver.receive(Duration::ZERO, 9, payload(3, false, 400), |key| keys.push(key));
        assert_eq!(receiver.poll_timeout(), Some(SILENCE));
        receiver.handle_timeout(Duration::from_millis(249), |key| keys.push(key));
        assert_eq!(keys, [Pressed(b'3')]);
        receiver.handle_timeout(SILENCE, |key| keys.push(key));
        assert_eq!(keys, [Pressed(b'3'), Released { digit: b'3', ms: 50 }]);
        assert_eq!(receiver.poll_timeout(), None);
    }

    #[test]
    fn a_key_that_is_held_longer_than_can_be_said_is_one_key() {
        let mut sender = EventSender::default();
        let (mut receiver, mut keys) = (EventReceiver::new(8_000), Vec::new());
        let begin = u32::MAX - 1_000;
        sender.press(begin, b'0');
        for n in 1..=1_005_u32 {
            let timestamp = begin.wrapping_add(n * 160);
            if n == 1_000 {
                sender.release(timestamp);
            }
            if let Some(packet) = sender.packet(timestamp) {
                let now = Duration::from_millis(u64::from(n) * 20);
                receiver.receive(now, packet.timestamp, packet.payload, |key| keys.push(key));
            }
        }
        assert_eq!(keys, [Pressed(b'0'), Released { digit: b'0', ms: 20_000 }]);
    }

    #[test]
    fn events_that_are_no_keys_are_left_out() {
        assert_eq!(keys(&[(0, payload(FLASH, true, 80)), (800, payload(70, false, 80))]), []);
    }
}
