//! Frames that wait, in the order of their timestamps. Everything is allocated at the beginning.

use std::collections::VecDeque;

/// A frame that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    /// The sender's clock in ms, without its wrap.
    pub(super) timestamp: i64,
    place: usize,
    len: usize,
}

/// What became of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Put {
    /// It waits.
    Kept,
    /// It waits, and the oldest had to go for it.
    Displaced,
    /// One of its timestamp waits already.
    Twice,
    /// There is no room, and it is older than all that wait.
    Refused,
}

#[derive(Debug)]
pub(super) struct Frames {
    waiting: VecDeque<Waiting>,
    /// Places of `payloads` that are free.
    free: Vec<usize>,
    payloads: Box<[u8]>,
    frame_bytes: usize,
}

impl Frames {
    pub(super) fn new(count: usize, frame_bytes: usize) -> Self {
        let count = count.max(1);
        Self {
            waiting: VecDeque::with_capacity(count),
            free: (0..count).collect(),
            payloads: vec![0; count * frame_bytes].into(),
            frame_bytes,
        }
    }

    pub(super) const fn frame_bytes(&self) -> usize {
        self.frame_bytes
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn first(&self) -> Option<i64> {
        self.waiting.front().map(|frame| frame.timestamp)
    }

    pub(super) fn last(&self) -> Option<i64> {
        self.waiting.back().map(|frame| frame.timestamp)
    }

    /// Puts a frame, no longer than a place, where it belongs.
    pub(super) fn put(&mut self, timestamp: i64, payload: &[u8]) -> Put {
        let behind = self.waiting.iter().rev().take_while(|frame| frame.timestamp > timestamp);
        let mut at = self.waiting.len() - behind.count();
        if at > 0 && self.waiting[at - 1].timestamp == timestamp {
            return Put::Twice;
        }
        let mut put = Put::Kept;
        let place = self.free.pop().or_else(|| {
            put = Put::Displaced;
            at = at.checked_sub(1)?;
            self.waiting.pop_front().map(|oldest| oldest.place)
        });
        let Some(place) = place else { return Put::Refused };
        let start = place * self.frame_bytes;
        self.payloads[start..start + payload.len()].copy_from_slice(payload);
        self.waiting.insert(at, Waiting { timestamp, place, len: payload.len() });
        put
    }

    /// Takes the oldest frame out; its payload is there until the next one is put.
    pub(super) fn take(&mut self) -> Option<(i64, &[u8])> {
        let frame = self.waiting.pop_front()?;
        self.free.push(frame.place);
        let start = frame.place * self.frame_bytes;
        Some((frame.timestamp, &self.payloads[start..start + frame.len]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Compared with a map that holds as many: the same frames come out in the same order.
        #[test]
        fn it_is_a_map_of_the_newest(stamps in proptest::collection::vec((0_i64..40, any::<bool>()), 0..200)) {
            let mut frames = Frames::new(7, 2);
            let mut map = std::collections::BTreeMap::<i64, [u8; 2]>::new();
            for (n, (stamp, takes)) in stamps.into_iter().enumerate() {
                let payload = (n as u16).to_be_bytes();
                let full = map.len() == 7;
                let expected = match map.contains_key(&stamp) {
                    true => Put::Twice,
                    false if full && map.keys().all(|other| *other > stamp) => Put::Refused,
                    false if full => Put::Displaced,
                    false => Put::Kept,
                };
                prop_assert_eq!(frames.put(stamp, &payload), expected);
                if expected != Put::Twice {
                    map.insert(stamp, payload);
                }
                if map.len() == 8 {
                    map.pop_first();
                }
                prop_assert_eq!(frames.len(), map.len());
                prop_assert_eq!(frames.first(), map.keys().next().copied());
                prop_assert_eq!(frames.last(), map.keys().next_back().copied());
                if takes {
                    let taken = frames.take().map(|(stamp, payload)| (stamp, payload.to_vec()));
                    prop_assert_eq!(taken, map.pop_first().map(|(stamp, payload)| (stamp, payload.to_vec())));
                }
            }
        }
    }
}
