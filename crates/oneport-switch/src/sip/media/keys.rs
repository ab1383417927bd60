//! Keys that leave as packets (RFC 4733): however fast they are pressed, each is long enough to be heard.

use std::collections::VecDeque;
use std::time::Duration;

use oneport_media::telephone_event::{EventPacket, EventSender, event_of};
use oneport_proto::Instant;

/// How often packets of a key leave.
pub(super) const PACE: Duration = Duration::from_millis(20);

/// A key is down for so long at least, and up for so long behind it: many receivers leave out what is
/// shorter (ITU-T Q.24 has 40 ms).
const SHORTEST: Duration = Duration::from_millis(80);
const BETWEEN: Duration = Duration::from_millis(60);

/// No key is down for longer, so that one whose release is lost is not heard for ever.
const LONGEST: Duration = Duration::from_secs(10);

/// So many wait.
const MOST_WAITING: usize = 64;

/// What is still to be said.
#[derive(Clone, Copy, Debug)]
enum Stroke {
    Down(u8),
    Up,
}

/// Says keys.
#[derive(Debug, Default)]
pub(super) struct Keys {
    sender: EventSender,
    waiting: VecDeque<Stroke>,
    /// When the key that is down went down.
    down: Option<Instant>,
    /// When the last came up.
    up: Option<Instant>,
}

impl Keys {
    /// A key goes down. `false`: there is no such key, or too many wait.
    pub(super) fn press(&mut self, digit: u8) -> bool {
        let room = self.waiting.len() < MOST_WAITING && event_of(digit).is_some();
        if room {
            self.waiting.push_back(Stroke::Down(digit));
        }
        room
    }

    /// It comes up.
    pub(super) fn release(&mut self) {
        if self.waiting.len() <= MOST_WAITING {
            self.waiting.push_back(Stroke::Up);
        }
    }

    /// Whoever pressed it is gone: a key that is down comes up.
    pub(super) fn let_go(&mut self) {
        let is_held = match self.waiting.back() {
            Some(last) => matches!(last, Stroke::Down(_)),
            None => self.down.is_some(),
        };
        if is_held {
            self.waiting.push_back(Stroke::Up);
        }
    }

    /// Whether there is nothing to be said.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.sender.is_idle()
    }

    /// The packet that leaves at `now`, which is `timestamp` of its stream.
    pub(super) fn packet(&mut self, now: Instant, timestamp: u32) -> Option<EventPacket> {
        match (self.waiting.front(), self.down) {
            (Some(Stroke::Down(digit)), None) => {
                let soon = self.up.is_some_and(|up| now.since(up) < BETWEEN);
                if !soon && self.sender.is_idle() {
                    self.sender.press(timestamp, *digit);
                    (self.down, self.up) = (Some(now), None);
                    self.waiting.pop_front();
                }
            }
            (Some(stroke), Some(down)) if now.since(down) >= SHORTEST => {
                self.sender.release(timestamp);
                (self.down, self.up) = (None, Some(now));
                // Another key says that this one is up.
                if matches!(stroke, Stroke::Up) {
                    self.waiting.pop_front();
                }
            }
            (Some(Stroke::Up), None) => {
                self.waiting.pop_front();
            }
            (None, Some(down)) if now.since(down) >= LONGEST => {
                self.sender.release(timestamp);
                (self.down, self.up) = (None, Some(now));
            }
            _ => {}
        }
        self.sender.packet(timestamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oneport_media::dtmf::Key;
    use oneport_media::telephone_event::EventReceiver;

    #[test]
    fn keys_pressed_all_at_once_are_each_long_enough_and_apart() {
        let mut keys = Keys::default();
        for digit in *b"12#" {
            assert!(keys.press(digit));
            keys.release();
        }
        assert!(!keys.press(b'x'));
        let (mut receiver, mut heard) = (EventReceiver::new(8_000), Vec::new());
        let mut now = 0;
        while !keys.is_idle() {
            let timestamp = u32::try_from(now * 8).expect("small");
            if let Some(packet) = keys.packet(Instant::from_micros(now * 1_000), timestamp) {
                receiver.receive(
                    Duration::from_millis(now),
                    packet.timestamp,
                    packet.payload,
                    |key| {
                        heard.push((now, key));
                    },
                );
            }
            now += 20;
            assert!(now < 5_000, "{heard:?}");
        }
        let strokes: Vec<Key> = heard.iter().map(|(_, key)| *key).collect();
        let stroke = |digit| [Key::Pressed(digit), Key::Released { digit, ms: 80 }];
        assert_eq!(strokes, [stroke(b'1'), stroke(b'2'), stroke(b'#')].concat());
        let begun: Vec<u64> = heard.iter().step_by(2).map(|(at, _)| *at).collect();
        assert!(begun.windows(2).all(|pair| pair[1] - pair[0] >= 140), "{begun:?}");
    }

    #[test]
    fn a_key_comes_up_when_whoever_pressed_it_is_gone_and_after_ten_seconds_at_the_latest() {
        let ends_at = |gone: Option<u64>| {
            let mut keys = Keys::default();
            assert!(keys.press(b'5'));
            let mut now = 0;
            while !keys.is_idle() {
                let timestamp = u32::try_from(now * 8).expect("small");
                keys.packet(Instant::from_micros(now * 1_000), timestamp);
                now += 20;
                if gone == Some(now) {
                    keys.let_go();
                    keys.let_go();
                }
                assert!(now < 20_000, "it stays down");
            }
            now
        };
        // The end is said three times (RFC 4733 §2.5.1.4).
        assert_eq!(ends_at(Some(1_000)), 1_060);
        assert_eq!(ends_at(None), 10_060);
        let mut idle = Keys::default();
        idle.let_go();
        assert!(idle.is_idle(), "nothing is down");
    }

    #[test]
    fn no_more_keys_wait_than_there_is_room_for() {
        let mut keys = Keys::default();
        for _ in 0..1_000 {
            keys.press(b'1');
            keys.release();
        }
        assert!(keys.waiting.len() <= MOST_WAITING + 1);
    }
}
