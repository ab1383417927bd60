//! Full frames that came before their turn, kept until what is missing has come.
//!
//! It knows nothing of what they mean: it keeps them by their numbers. Memory is taken when there is a
//! gap and given back when it is closed, and a peer that never closes it has no more than this.

use alloc::boxed::Box;
use alloc::vec::Vec;

use oneport_wire::{FullFrame, FullHeader, Message, Seq};

/// How many numbers ahead of its turn a frame may be, and so how many are kept.
const MOST: u8 = 8;

/// Bytes of all that is kept.
const BYTES: usize = 4_096;

/// One that waits.
#[derive(Debug)]
struct Waiting {
    oseq: Seq,
    /// The whole datagram, decrypted; empty where it was dealt with when it came.
    datagram: Box<[u8]>,
}

/// The frames of one exchange that came too early.
#[derive(Debug, Default)]
pub(crate) struct Early {
    waiting: Vec<Waiting>,
}

/// What became of a frame that came too early.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kept {
    /// It waits.
    Now,
    /// It waits already.
    Before,
    /// It is too far ahead, or there is no room.
    Not,
}

impl Early {
    /// Keeps a frame that is `ahead` numbers before its turn. With `whole` it waits for that; without,
    /// its number is noted, so that it is not taken twice.
    pub(crate) fn keep(
        &mut self,
        ahead: u8,
        header: &FullHeader,
        message: &Message<'_>,
        whole: bool,
    ) -> Kept {
        if self.waiting.iter().any(|waiting| waiting.oseq == header.oseq) {
            return Kept::Before;
        }
        let held: usize = self.waiting.iter().map(|waiting| waiting.datagram.len()).sum();
        let bytes = if whole { FullFrame::HEADER_LEN + message.payload().len() } else { 0 };
        if ahead > MOST || held + bytes > BYTES {
            return Kept::Not;
        }
        let mut datagram = Vec::new();
        if whole {
            datagram.reserve_exact(bytes);
            // What waits says nothing of the time on the way any more.
            let header = FullHeader { retransmission: true, ..*header };
            message.encode(&header, &mut datagram);
        }
        self.waiting.push(Waiting { oseq: header.oseq, datagram: datagram.into_boxed_slice() });
        Kept::Now
    }

    /// Takes the frame whose turn it is.
    pub(crate) fn take(&mut self, oseq: Seq) -> Option<Box<[u8]>> {
        let place = self.waiting.iter().position(|waiting| waiting.oseq == oseq)?;
        Some(self.waiting.swap_remove(place).datagram)
    }

    /// Whether none waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oneport_wire::{CallNumber, Datagram, Timestamp};

    fn header(oseq: u8) -> FullHeader {
        FullHeader {
            source: CallNumber::from_bits(5),
            destination: CallNumber::from_bits(6),
            retransmission: false,
            timestamp: Timestamp(oseq.into()),
            oseq: Seq(oseq),
            iseq: Seq(0),
        }
    }

    #[test]
    fn frames_wait_by_their_numbers_and_come_out_as_they_went_in() {
        let mut early = Early::default();
        for oseq in [7, 5, 6] {
            let kept = early.keep(oseq - 4, &header(oseq), &Message::text(&[oseq]), true);
            assert_eq!(kept, Kept::Now);
        }
        assert_eq!(early.keep(2, &header(6), &Message::text(b"x"), true), Kept::Before);
        assert_eq!(early.take(Seq(4)), None);
        for oseq in [5, 6, 7] {
            let datagram = early.take(Seq(oseq)).unwrap();
            let Ok(Datagram::Full(frame)) = Datagram::decode(&datagram) else { panic!("no frame") };
            assert_eq!(frame.header, FullHeader { retransmission: true, ..header(oseq) });
            assert_eq!(frame.message(), Ok(Message::text(&[oseq])));
        }
        assert!(early.is_empty());
    }

    #[test]
    fn neither_many_frames_nor_large_ones_are_kept() {
        let mut early = Early::default();
        assert_eq!(early.keep(9, &header(9), &Message::text(b"x"), true), Kept::Not);
        let large = [0; 3_000];
        assert_eq!(early.keep(1, &header(1), &Message::text(&large), true), Kept::Now);
        assert_eq!(early.keep(2, &header(2), &Message::text(&large), true), Kept::Not);
        assert_eq!(early.keep(2, &header(2), &Message::text(&large), false), Kept::Now, "no more");
        assert_eq!(early.take(Seq(2)).as_deref(), Some(&[][..]));
    }
}
