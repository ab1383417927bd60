//! Meta trunk frames: the voice of many calls in one datagram (RFC 5456 §8.1.3.2).

use alloc::vec::Vec;

use crate::number::{CallNumber, MiniTimestamp, Timestamp};
use crate::read::u16_at;

/// A trunk frame: 8 bytes of header, big-endian, and entries until the datagram ends.
///
/// `0..2` zero; `2` command 1; `3` flags: 1 when entries have timestamps; `4..8` the sender's trunk
/// clock in ms. An entry without timestamp is `0..2` call number, `2..4` length, then voice; one
/// with a timestamp is `0..2` length, `2..4` call number, `4..6` the low 16 bits of the call's
/// clock, then voice. The length is that of the voice alone.
///
/// ```
/// use oneport_wire::{Datagram, Timestamp};
///
/// let bytes = [0, 0, 1, 1, 0, 0, 0, 100, 0, 2, 0, 5, 0, 40, 0xD5, 0xD5];
/// let Datagram::Trunk(trunk) = Datagram::decode(&bytes)? else { panic!() };
/// assert!(trunk.timestamps);
/// assert_eq!(trunk.timestamp, Timestamp(100));
/// assert_eq!(trunk.entries().count(), 1);
/// # Ok::<(), oneport_wire::DecodeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TrunkFrame<'a> {
    /// Whether entries carry the clocks of their calls.
    pub timestamps: bool,
    /// The sender's clock for this destination.
    pub timestamp: Timestamp,
    entries: &'a [u8],
}

impl<'a> TrunkFrame<'a> {
    /// Bytes of the header.
    pub const HEADER_LEN: usize = 8;

    pub(crate) const fn new(timestamps: bool, timestamp: Timestamp, entries: &'a [u8]) -> Self {
        Self { timestamps, timestamp, entries }
    }

    /// Its entries. One whose length runs past the end ends them; see
    /// [`remainder`](TrunkEntries::remainder).
    #[must_use]
    pub const fn entries(&self) -> TrunkEntries<'a> {
        TrunkEntries { timestamps: self.timestamps, rest: self.entries }
    }
}

/// The voice of one call in a trunk frame.
///
/// ```
/// use oneport_wire::{CallNumber, Datagram, MiniTimestamp, TrunkEntry};
///
/// let bytes = [0, 0, 1, 1, 0, 0, 0, 100, 0, 2, 0, 5, 0, 40, 0xD5, 0xD5];
/// let Datagram::Trunk(trunk) = Datagram::decode(&bytes)? else { panic!() };
/// let entry = TrunkEntry {
///     source: CallNumber::from_bits(5),
///     timestamp: Some(MiniTimestamp(40)),
///     payload: &[0xD5, 0xD5],
/// };
/// assert_eq!(trunk.entries().next(), Some(entry));
/// # Ok::<(), oneport_wire::DecodeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TrunkEntry<'a> {
    /// The sender's call number. A top bit, which some set, is ignored.
    pub source: CallNumber,
    /// The low half of the call's clock, where the frame has them. 0 is said for "absent", as
    /// Asterisk reads it.
    pub timestamp: Option<MiniTimestamp>,
    /// Encoded audio.
    pub payload: &'a [u8],
}

/// The entries of a trunk frame, in order.
///
/// ```
/// use oneport_wire::Datagram;
///
/// // Call 5 with two bytes of voice, and call 6 that says nine but has one.
/// let bytes = [0, 0, 1, 0, 0, 0, 0, 100, 0, 5, 0, 2, 0xD5, 0xD5, 0, 6, 0, 9, 0xD5];
/// let Datagram::Trunk(trunk) = Datagram::decode(&bytes)? else { panic!() };
/// let mut entries = trunk.entries();
/// assert_eq!(entries.next().map(|entry| entry.payload.len()), Some(2));
/// assert_eq!(entries.next(), None);
/// assert_eq!(entries.remainder(), [0, 6, 0, 9, 0xD5]);
/// # Ok::<(), oneport_wire::DecodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct TrunkEntries<'a> {
    timestamps: bool,
    rest: &'a [u8],
}

impl<'a> TrunkEntries<'a> {
    /// What was not read yet. After the last entry it is empty, unless that one's length lied.
    #[must_use]
    pub const fn remainder(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for TrunkEntries<'a> {
    type Item = TrunkEntry<'a>;

    #[inline]
    fn next(&mut self) -> Option<TrunkEntry<'a>> {
        let (number, len, timestamp, header) = if self.timestamps {
            let stamp = u16_at(self.rest, 4)?;
            (u16_at(self.rest, 2)?, u16_at(self.rest, 0)?, Some(MiniTimestamp(stamp)), 6)
        } else {
            (u16_at(self.rest, 0)?, u16_at(self.rest, 2)?, None, 4)
        };
        let (payload, rest) = self.rest.get(header..)?.split_at_checked(usize::from(len))?;
        self.rest = rest;
        Some(TrunkEntry { source: CallNumber::from_bits(number), timestamp, payload })
    }
}

/// Builds trunk frames up to a size.
///
/// ```
/// use oneport_wire::{CallNumber, MiniTimestamp, Timestamp, TrunkWriter};
///
/// let mut writer = TrunkWriter::new(false, 20);
/// let time = MiniTimestamp(40);
/// assert!(writer.push(CallNumber::from_bits(5), time, &[0xD5, 0xD5]));
/// // Four bytes of header and three of voice would be one too many: send what is there.
/// assert!(!writer.push(CallNumber::from_bits(6), time, &[0xD5; 3]));
/// let bytes = writer.finish(Timestamp(100));
/// assert_eq!(bytes, [0, 0, 1, 0, 0, 0, 0, 100, 0, 5, 0, 2, 0xD5, 0xD5]);
/// ```
#[derive(Debug)]
pub struct TrunkWriter {
    timestamps: bool,
    limit: usize,
    bytes: Vec<u8>,
}

impl TrunkWriter {
    /// A writer of frames with or without timestamps in the entries, of at most `limit` bytes.
    #[must_use]
    pub fn new(timestamps: bool, limit: usize) -> Self {
        let mut bytes = Vec::with_capacity(limit);
        bytes.extend([0, 0, 1, u8::from(timestamps), 0, 0, 0, 0]);
        Self { timestamps, limit, bytes }
    }

    /// Adds an entry; `false` when it does not fit any more.
    #[must_use]
    pub fn push(&mut self, source: CallNumber, timestamp: MiniTimestamp, payload: &[u8]) -> bool {
        let overhead = if self.timestamps { 6 } else { 4 };
        let Ok(len) = u16::try_from(payload.len()) else { return false };
        if self.bytes.len() + overhead + payload.len() > self.limit {
            return false;
        }
        let ([l0, l1], [s0, s1]) = (len.to_be_bytes(), source.get().to_be_bytes());
        let [t0, t1] = timestamp.0.to_be_bytes();
        match self.timestamps {
            true => self.bytes.extend_from_slice(&[l0, l1, s0, s1, t0, t1]),
            false => self.bytes.extend_from_slice(&[s0, s1, l0, l1]),
        }
        self.bytes.extend_from_slice(payload);
        true
    }

    /// Takes back all entries of a call, and says how many they were.
    pub fn remove(&mut self, source: CallNumber) -> u64 {
        let mut removed = 0;
        let mut kept = TrunkFrame::HEADER_LEN;
        let mut read = kept;
        let overhead = if self.timestamps { 6 } else { 4 };
        while let Some(rest) = self.bytes.get(read..).filter(|rest| !rest.is_empty()) {
            let mut entries = TrunkEntries { timestamps: self.timestamps, rest };
            let Some(entry) = entries.next() else { break };
            let end = read + overhead + entry.payload.len();
            if entry.source != source {
                self.bytes.copy_within(read..end, kept);
                kept += end - read;
            } else {
                removed += 1;
            }
            read = end;
        }
        self.bytes.truncate(kept);
        removed
    }

    /// Whether it has no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.len() <= TrunkFrame::HEADER_LEN
    }

    /// Stamps the frame and gives its bytes.
    pub fn finish(&mut self, timestamp: Timestamp) -> &[u8] {
        if let Some(field) = self.bytes.get_mut(4..8) {
            field.copy_from_slice(&timestamp.0.to_be_bytes());
        }
        &self.bytes
    }

    /// Starts the next frame.
    pub fn clear(&mut self) {
        self.bytes.truncate(TrunkFrame::HEADER_LEN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Datagram;

    fn decode(bytes: &[u8]) -> TrunkFrame<'_> {
        match Datagram::decode(bytes) {
            Ok(Datagram::Trunk(frame)) => frame,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn both_kinds_go_there_and_back() {
        for timestamps in [false, true] {
            let mut writer = TrunkWriter::new(timestamps, 1_400);
            let mut pushed = 0;
            while writer.push(CallNumber::from_bits(2 + pushed), MiniTimestamp(pushed), &[7; 160]) {
                pushed += 1;
            }
            assert_eq!(pushed, 8);
            let bytes = writer.finish(Timestamp(40)).to_vec();
            let frame = decode(&bytes);
            assert_eq!(frame.timestamp, Timestamp(40));
            let mut entries = frame.entries();
            for n in 0..8 {
                let entry = entries.next().unwrap();
                assert_eq!(entry.source.get(), 2 + n);
                assert_eq!(entry.timestamp, timestamps.then_some(MiniTimestamp(n)));
                assert_eq!(entry.payload, [7; 160]);
            }
            assert_eq!(entries.next(), None);
            assert!(entries.remainder().is_empty());
        }
    }

    #[test]
    fn a_length_that_lies_ends_the_entries_and_spares_those_before() {
        let bytes = [0, 0, 1, 0, 0, 0, 0, 40, 0x80, 2, 0, 1, 9, 0, 3, 0, 0, 0, 4, 0, 9, 1];
        let frame = decode(&bytes);
        let mut entries = frame.entries();
        let first = entries.next().unwrap();
        assert_eq!((first.source.get(), first.payload), (2, &[9][..]), "the top bit is ignored");
        assert_eq!(entries.next().map(|entry| entry.payload.len()), Some(0));
        assert_eq!(entries.next(), None);
        assert_eq!(entries.remainder().len(), 5);
    }

    #[test]
    fn flags_other_than_0_and_1_are_refused() {
        for flags in 2..=255 {
            assert!(Datagram::decode(&[0, 0, 1, flags, 0, 0, 0, 40, 0, 2, 0, 1, 9]).is_err());
        }
    }
}
