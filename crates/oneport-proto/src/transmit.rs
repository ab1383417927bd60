//! Datagrams on their way out.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::path::Path;

/// The caller's buffer into which datagrams are put. It is to be used again and again: a bundle need not be copied
/// where the engine can take the memory of the buffer for that in which it lies.
///
/// Frames of voice for one peer leave as one bundle, for one system call:
///
/// ```
/// use oneport_proto::TransmitBuffer;
/// use oneport_wire::Format;
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (mut here, mut there) = two_ends(now);
/// # let (ours, theirs) = call_up(now, &mut here, &mut there);
/// let mut out = TransmitBuffer::with_capacity(65_507, 64);
/// // The first of a call is a full frame, with the format. It goes alone, as signalling does.
/// here.send_voice(now, ours, Format::ULAW, &[0xFF; 160], 20)?;
/// exchange(now, &mut here, &mut there);
/// for _ in 0..4 {
///     here.send_voice(now, ours, Format::ULAW, &[0xFF; 160], 20)?;
/// }
/// let sent = here.poll_transmit(&mut out).ok_or("four frames wait")?;
/// // Mini frames have a header of four bytes.
/// assert_eq!((sent.len, sent.segment_size), (4 * 164, Some(164)));
/// assert_eq!(out.as_bytes().chunks(164).count(), 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TransmitBuffer {
    bytes: Vec<u8>,
    /// What comes before has been sent.
    from: usize,
    /// How many bytes it takes.
    room: usize,
    max_segments: usize,
}

impl TransmitBuffer {
    /// A buffer of `bytes` bytes for at most `max_segments` datagrams at once: as many as the
    /// socket sends in one call (1 without segmentation offload).
    ///
    /// A datagram larger than `bytes` makes it grow, so that nothing is ever stuck.
    #[must_use]
    pub fn with_capacity(bytes: usize, max_segments: usize) -> Self {
        let max_segments = max_segments.max(1);
        Self { bytes: Vec::with_capacity(bytes), from: 0, room: bytes, max_segments }
    }

    /// What the last `poll_transmit` put in.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(self.from..).unwrap_or_default()
    }
}

/// One or more datagrams to one destination, in the caller's [`TransmitBuffer`].
///
/// ```
/// use oneport_proto::{Endpoint, EndpointConfig, Instant, NewCall, TransmitBuffer};
///
/// let now = Instant::from_micros(0);
/// let mut endpoint = Endpoint::new(EndpointConfig::default(), [1; 32], now);
/// let peer = "192.0.2.1:4569".parse()?;
/// endpoint.place_call(now, peer, NewCall::to("100"))?;
///
/// let mut out = TransmitBuffer::with_capacity(1_500, 1);
/// let sent = endpoint.poll_transmit(&mut out).ok_or("a NEW was to be sent")?;
/// assert_eq!((sent.path.remote, sent.segment_size), (peer, None));
/// assert_eq!(out.as_bytes().len(), sent.len);
/// assert!(endpoint.poll_transmit(&mut out).is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transmit {
    /// Where they go, and from which of our addresses.
    pub path: Path,
    /// Bytes in all.
    pub len: usize,
    /// Size of each but the last, which may be shorter; `None` when there is just one.
    pub segment_size: Option<usize>,
}

/// So many runs to other destinations are looked past for more to the same one, at least and at most. With the 64
/// datagrams that one send takes, that bounds what is looked at for a datagram.
const LOOKS: [usize; 2] = [4, 32];

/// Media datagrams of one size that were queued right behind each other and go the same way, or one of signalling.
#[derive(Clone, Copy, Debug)]
struct Run {
    path: Path,
    /// Where its first byte is, counted from the first that was ever queued since the box was empty.
    at: usize,
    size: usize,
    /// Zero once all of them have been taken with an earlier run.
    count: usize,
    media: bool,
}

/// Datagrams made and not yet taken.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// Bytes of the datagrams, one behind another.
    bytes: Vec<u8>,
    /// So many bytes before these are gone.
    gone: usize,
    runs: VecDeque<Run>,
    /// How far it is looked: less where that was in vain.
    looks: usize,
    media_limit: usize,
}

impl Outbox {
    /// Room for 1,024 media datagrams, until a bundle leaves with it and it goes on with that of the caller.
    pub(crate) fn new(media_limit: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(media_limit.min(1024 * 176)),
            gone: 0,
            runs: VecDeque::with_capacity(1024),
            looks: LOOKS[1],
            media_limit,
        }
    }

    /// Queues a datagram that must not be lost.
    pub(crate) fn push(&mut self, path: Path, datagram: &[u8]) {
        self.make_room(datagram.len());
        let at = self.end();
        self.bytes.extend_from_slice(datagram);
        self.runs.push_back(Run { path, at, size: datagram.len(), count: 1, media: false });
    }

    /// Queues a datagram made of a header and a payload; `false` when the box is full.
    pub(crate) fn push_media(&mut self, path: &Path, header: &[u8], payload: &[u8]) -> bool {
        let size = header.len() + payload.len();
        if self.bytes.len() - self.taken() + size > self.media_limit {
            return false;
        }
        self.make_room(size);
        let at = self.end();
        self.bytes.extend_from_slice(header);
        self.bytes.extend_from_slice(payload);
        match self.runs.back_mut() {
            // Also where all of it has been taken: it ends where this begins.
            Some(run) if run.media && run.size == size && run.path == *path => run.count += 1,
            _ => self.runs.push_back(Run { path: *path, at, size, count: 1, media: true }),
        }
        true
    }

    fn end(&self) -> usize {
        self.gone + self.bytes.len()
    }

    /// So many of the bytes have been taken, and none behind them is needed before.
    fn taken(&self) -> usize {
        self.runs.front().map_or(0, |run| run.at - self.gone)
    }

    /// Uses the place of what was taken again, rather than growing, where that is half or more.
    fn make_room(&mut self, size: usize) {
        let full = self.bytes.len() + size > self.bytes.capacity();
        let taken = self.taken();
        if full && taken > self.bytes.len() / 2 {
            self.bytes.drain(..taken);
            self.gone += taken;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Whether all that waits is media that one send may take as it lies there, and how many datagrams that is.
    fn one_bundle(&self) -> Option<usize> {
        let first = self.runs.front()?;
        let last = match self.runs.len() {
            1 => return first.media.then_some(first.count),
            2 => self.runs.back()?,
            _ => return None,
        };
        let follows = first.media && last.media && last.path == first.path;
        // Only the last may be shorter.
        (follows && last.size < first.size && last.count == 1).then_some(first.count + 1)
    }

    /// Moves the oldest datagram, and those behind it that fit the same send, into `out`. Nothing overtakes what goes
    /// to the same destination; what goes to others may be overtaken, so that calls of two peers that come by turns
    /// leave in two bundles.
    ///
    /// Only media is put together: signalling is rare, and whoever captures it on the sending host
    /// should see each frame by itself.
    pub(crate) fn take(&mut self, out: &mut TransmitBuffer) -> Option<Transmit> {
        out.bytes.clear();
        out.from = 0;
        let Run { path, size, media, .. } = *self.runs.front()?;
        let most = match media {
            true => out.max_segments.min(out.room.checked_div(size).unwrap_or(1)).max(1),
            false => 1,
        };
        // The box gets as much room for it as it has needed now.
        let gets_room = out.bytes.capacity() >= self.bytes.len();
        if let Some(datagrams) = self.one_bundle().filter(|count| *count <= most && gets_room) {
            out.from = self.taken();
            core::mem::swap(&mut self.bytes, &mut out.bytes);
            self.runs.clear();
            (self.gone, self.looks) = (0, LOOKS[1]);
            let len = out.as_bytes().len();
            return Some(Transmit { path, len, segment_size: (datagrams > 1).then_some(size) });
        }
        let (mut datagrams, mut others) = (0, 0);
        let mut looks = None;
        for run in &mut self.runs {
            if run.count == 0 {
                continue;
            }
            if run.path != path {
                others += 1;
                if others > self.looks {
                    looks = looks.or_else(|| Some((self.looks / 2).max(LOOKS[0])));
                    break;
                }
                // Another of our addresses may carry the same call.
                if run.path.remote == path.remote {
                    break;
                }
                continue;
            }
            if others > 0 {
                looks = Some(LOOKS[1]);
            }
            if datagrams > 0 && (!run.media || run.size > size) {
                break;
            }
            // The last may be shorter than the others.
            let is_last = run.size < size;
            let count = run.count.min(most - datagrams).min(if is_last { 1 } else { usize::MAX });
            let from = run.at - self.gone;
            let len = count * run.size;
            out.bytes.extend_from_slice(self.bytes.get(from..from + len).unwrap_or_default());
            run.at += len;
            run.count -= count;
            datagrams += count;
            if is_last || run.count > 0 || datagrams == most {
                break;
            }
            others = 0;
        }
        while self.runs.front().is_some_and(|run| run.count == 0) {
            self.runs.pop_front();
        }
        self.looks = looks.unwrap_or(self.looks);
        if self.runs.is_empty() {
            self.bytes.clear();
            (self.gone, self.looks) = (0, LOOKS[1]);
        }
        let len = out.bytes.len();
        Some(Transmit { path, len, segment_size: (datagrams > 1).then_some(size) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::iter;
    use core::net::SocketAddr;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn path(port: u16) -> Path {
        Path::from(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    #[test]
    fn equal_media_to_one_destination_leaves_together_and_signalling_by_itself() {
        let mut outbox = Outbox::new(10_000);
        let mut buffer = TransmitBuffer::with_capacity(1_000, 8);
        for (port, size) in [(1, 100), (1, 100), (1, 60), (1, 100), (2, 100), (2, 101)] {
            assert!(outbox.push_media(&path(port), &[], &[port as u8; 101][..size]));
        }
        let mut sent = Vec::new();
        while let Some(transmit) = outbox.take(&mut buffer) {
            assert_eq!(buffer.as_bytes().len(), transmit.len);
            assert!(
                buffer.as_bytes().iter().all(|byte| *byte == transmit.path.remote.port() as u8)
            );
            sent.push((transmit.path.remote.port(), transmit.len, transmit.segment_size));
        }
        let expected = [(1, 260, Some(100)), (1, 100, None), (2, 100, None), (2, 101, None)];
        assert_eq!(sent, expected);
        assert!(outbox.is_empty());
        outbox.push(path(1), &[0; 12]);
        outbox.push(path(1), &[0; 12]);
        assert_eq!(outbox.take(&mut buffer).map(|transmit| transmit.segment_size), Some(None));
    }

    #[test]
    fn media_that_comes_by_turns_leaves_by_destination() {
        let mut outbox = Outbox::new(10_000);
        let mut buffer = TransmitBuffer::with_capacity(1_000, 4);
        for port in [1, 2, 1, 2, 3, 1, 2, 1, 2, 1] {
            assert!(outbox.push_media(&path(port), &[], &[0; 100]));
        }
        let sent = iter::from_fn(|| outbox.take(&mut buffer));
        let sent: Vec<_> = sent.map(|sent| (sent.path.remote.port(), sent.len / 100)).collect();
        assert_eq!(sent, [(1, 4), (2, 4), (3, 1), (1, 1)]);
    }

    #[test]
    fn who_goes_to_many_is_not_looked_for_far() {
        let mut outbox = Outbox::new(100_000);
        let mut buffer = TransmitBuffer::with_capacity(1_000, 4);
        for port in (1..=40).chain(1..=1) {
            assert!(outbox.push_media(&path(port), &[], &[0; 100]));
        }
        // The second to the first is too far behind, and so it is looked for less far from then on.
        for _ in 0..40 {
            assert_eq!(outbox.take(&mut buffer).map(|sent| sent.len), Some(100));
        }
        assert_eq!(outbox.looks, LOOKS[0]);
        assert_eq!(outbox.take(&mut buffer).map(|sent| sent.len), Some(100));
        assert_eq!((outbox.looks, outbox.take(&mut buffer)), (LOOKS[1], None));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_nor_overtakes_what_goes_to_the_same_destination(
            acts in vec((0..6_u8, prop_oneof![Just(20), Just(30), 1..40_usize], 0..8_u8), 1..400),
            (limit, room, most) in (200..4_000_usize, 1..300_usize, 1..9_usize),
        ) {
            let mut outbox = Outbox::new(limit);
            let mut buffer = TransmitBuffer::with_capacity(room, most);
            // Three destinations, to which two of our addresses may send.
            let path = |to: u8| Path { local: (to < 3).then_some([10, 0, 0, 1].into()), ..path((to % 3).into()) };
            let mut queued: [Vec<Vec<u8>>; 3] = Default::default();
            let mut sent: [Vec<Vec<u8>>; 3] = Default::default();
            let mut take = |outbox: &mut Outbox| {
                let transmit = outbox.take(&mut buffer)?;
                let size = transmit.segment_size.unwrap_or(transmit.len);
                assert!(transmit.len <= room.max(size) && transmit.len.div_ceil(size) <= most);
                let all = buffer.as_bytes().chunks(transmit.segment_size.unwrap_or(transmit.len));
                sent[usize::from(transmit.path.remote.port())].extend(all.map(<[u8]>::to_vec));
                Some(())
            };
            for (nth, (to, size, act)) in (0_u32..).zip(acts) {
                let datagram: Vec<u8> = nth.to_be_bytes().into_iter().cycle().take(size).collect();
                let taken = match act {
                    0 => outbox.push_media(&path(to), &datagram[..size / 2], &datagram[size / 2..]),
                    1 => {
                        outbox.push(path(to), &datagram);
                        true
                    }
                    2 | 3 => {
                        take(&mut outbox);
                        false
                    }
                    _ => outbox.push_media(&path(to), &[], &datagram),
                };
                if taken {
                    queued[usize::from(to % 3)].push(datagram);
                }
            }
            while take(&mut outbox).is_some() {}
            prop_assert_eq!(queued, sent);
            prop_assert!(outbox.is_empty());
        }
    }

    #[test]
    fn a_full_box_drops_media_but_keeps_signalling() {
        let mut outbox = Outbox::new(200);
        assert!(outbox.push_media(&path(1), &[0; 4], &[0; 160]));
        assert!(!outbox.push_media(&path(1), &[0; 4], &[0; 160]));
        outbox.push(path(1), &[0; 164]);
        let mut buffer = TransmitBuffer::with_capacity(10, 1);
        assert_eq!(outbox.take(&mut buffer).map(|transmit| transmit.len), Some(164));
        assert_eq!(outbox.take(&mut buffer).map(|transmit| transmit.len), Some(164));
    }
}
