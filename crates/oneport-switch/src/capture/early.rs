//! The last signalling that has passed, so that a capture has the beginning of a call that was up
//! before: its NEW, and how its caller proved who it is.

use std::collections::VecDeque;
use std::net::SocketAddr;

use oneport_proto::Instant;

use super::Way;
use crate::sealed::may_be_sealed;

/// Bytes that are kept, of all calls: the newest.
const MOST_BYTES: usize = 1 << 20;

/// Datagrams that are kept. A queue that may hold more doubles its memory for the last few.
const MOST: usize = 8_192;

/// What a datagram costs beside its bytes.
const OVERHEAD: usize = 96;

/// Subclasses of IAX frames that tell nothing of how a call came about, and come all the time: PING,
/// PONG, LAGRQ and LAGRP, registrations, POKE.
const PASSED_OVER: [u8; 10] = [2, 3, 11, 12, 13, 14, 15, 16, 17, 30];

/// Whether a datagram is a full frame that tells something of how a call came about, if it is in the clear.
pub(crate) fn tells_of_a_call(datagram: &[u8]) -> bool {
    let [first, .., kind, subclass] = datagram.get(..12).unwrap_or_default() else { return false };
    // A full frame, but no voice and no video.
    let is_signalling = first & 0x80 != 0 && ![2, 3].contains(kind);
    is_signalling && !(*kind == 6 && PASSED_OVER.contains(subclass))
}

/// A datagram that has passed.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) at: Instant,
    pub(super) way: Way,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) datagram: Box<[u8]>,
}

/// What is kept.
#[derive(Debug, Default)]
pub(super) struct Early {
    kept: VecDeque<Kept>,
    bytes: usize,
}

impl Early {
    /// Keeps a datagram, if it is signalling of a call.
    pub(super) fn keep(
        &mut self,
        at: Instant,
        way: Way,
        (local, remote): (SocketAddr, SocketAddr),
        datagram: &[u8],
    ) {
        // What is encrypted does not say what it is; full frames of voice in the clear are few.
        let is_kept = match datagram.get(..11) {
            Some([0x80..=0xFF, .., 2 | 3]) if may_be_sealed(datagram) => true,
            _ => tells_of_a_call(datagram),
        };
        if !is_kept {
            return;
        }
        self.bytes += datagram.len() + OVERHEAD;
        while self.bytes > MOST_BYTES || self.kept.len() >= MOST {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.bytes -= oldest.datagram.len() + OVERHEAD;
        }
        self.kept.push_back(Kept { at, way, local, remote, datagram: datagram.into() });
    }

    /// All of it, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Kept> {
        self.kept.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(kind: u8, subclass: u8, len: usize) -> Vec<u8> {
        let mut frame = vec![0x80, 9, 0, 5, 0, 0, 0, 0, 0, 0, kind, subclass];
        frame.resize(len.max(12), 0);
        frame
    }

    #[test]
    fn signalling_of_calls_is_kept_and_the_oldest_is_forgotten_first() {
        let mut early = Early::default();
        let here = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut keep = |n: u64, datagram: &[u8]| {
            early.keep(Instant::from_micros(n), Way::In, (here, here), datagram);
            early.kept.len()
        };
        let new = full(6, 1, 100);
        assert_eq!(keep(0, &new), 1);
        for other in [
            full(2, 4, 172),
            full(3, 0x53, 172),
            full(6, 2, 12),
            full(6, 30, 12),
            full(6, 13, 40),
            vec![0, 9, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8],
            vec![],
            vec![0x80; 11],
        ] {
            assert_eq!(keep(1, &other), 1, "{other:?}");
        }
        // It may be an encrypted frame that looks so.
        assert_eq!(keep(1, &full(2, 4, 4 + 32)), 2);
        for n in 2..100_000 {
            keep(n, &new);
        }
        assert!(early.bytes <= MOST_BYTES && early.bytes > MOST_BYTES - 300, "{}", early.bytes);
        assert_eq!(early.kept.len(), MOST_BYTES / (100 + OVERHEAD));
        let newest = early.kept.back().map(|kept| kept.at);
        assert_eq!(newest, Some(Instant::from_micros(99_999)));

        let shortest = full(6, 1, 12);
        for n in 0..MOST as u64 * 2 {
            early.keep(Instant::from_micros(n), Way::In, (here, here), &shortest);
        }
        assert_eq!((early.kept.len(), early.kept.capacity()), (MOST, MOST));
        assert_eq!(early.bytes, MOST * (shortest.len() + OVERHEAD));
    }
}
