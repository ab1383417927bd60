//! Datagrams on their way out.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::path::Path;

/// The caller's buffer into which datagrams are put.
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
    max_segments: usize,
}

impl TransmitBuffer {
    /// A buffer of `bytes` bytes for at most `max_segments` datagrams at once: as many as the
    /// socket sends in one call (1 without segmentation offload).
    ///
    /// A datagram larger than `bytes` makes it grow, so that nothing is ever stuck.
    #[must_use]
    pub fn with_capacity(bytes: usize, max_segments: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), max_segments: max_segments.max(1) }
    }

    /// What the last `poll_transmit` put in.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
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

/// Datagrams of the outbox that follow one another, go the same way and are of one size.
#[derive(Clone, Copy, Debug)]
struct Run {
    path: Path,
    size: usize,
    count: usize,
    media: bool,
}

/// Datagrams made and not yet taken.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// Bytes of the datagrams, one behind another.
    bytes: Vec<u8>,
    /// So many of them have been taken.
    taken: usize,
    runs: VecDeque<Run>,
    media_limit: usize,
}

impl Outbox {
    /// Room for 1,024 media datagrams without growing.
    pub(crate) fn new(media_limit: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(media_limit.min(1024 * 176)),
            taken: 0,
            runs: VecDeque::with_capacity(1024),
            media_limit,
        }
    }

    /// Queues a datagram that must not be lost.
    pub(crate) fn push(&mut self, path: Path, datagram: &[u8]) {
        self.make_room(datagram.len());
        self.bytes.extend_from_slice(datagram);
        self.runs.push_back(Run { path, size: datagram.len(), count: 1, media: false });
    }

    /// Queues a datagram made of a header and a payload; `false` when the box is full.
    pub(crate) fn push_media(&mut self, path: &Path, header: &[u8], payload: &[u8]) -> bool {
        let size = header.len() + payload.len();
        if self.bytes.len() - self.taken + size > self.media_limit {
            return false;
        }
        self.make_room(size);
        self.bytes.extend_from_slice(header);
        self.bytes.extend_from_slice(payload);
        match self.runs.back_mut() {
            Some(run) if run.media && run.size == size && run.path == *path => run.count += 1,
            _ => self.runs.push_back(Run { path: *path, size, count: 1, media: true }),
        }
        true
    }

    /// Uses the place of what was taken again, rather than growing, where that is half or more.
    fn make_room(&mut self, size: usize) {
        let full = self.bytes.len() + size > self.bytes.capacity();
        if full && self.taken > self.bytes.len() / 2 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Moves the oldest datagram, and those right behind it that fit the same send, into `out`.
    ///
    /// Only media is put together: signalling is rare, and whoever captures it on the sending host
    /// should see each frame by itself.
    pub(crate) fn take(&mut self, out: &mut TransmitBuffer) -> Option<Transmit> {
        out.bytes.clear();
        let Run { path, size, count, media } = *self.runs.front()?;
        let (room, most) = (out.bytes.capacity(), out.max_segments);
        let mut datagrams = match media {
            true => count.min(most).min(room.checked_div(size).unwrap_or(1)).max(1),
            false => 1,
        };
        let mut len = datagrams * size;
        self.leave(datagrams);
        // The last may be shorter than the others.
        if datagrams == count
            && let Some(next) = self.runs.front()
            && (media && next.media && next.path == path && next.size < size)
            && (datagrams < most && len + next.size <= room)
        {
            len += next.size;
            datagrams += 1;
            self.leave(1);
        }
        let end = self.taken + len;
        out.bytes.extend_from_slice(self.bytes.get(self.taken..end).unwrap_or_default());
        self.taken = end;
        if self.runs.is_empty() {
            self.bytes.clear();
            self.taken = 0;
        }
        Some(Transmit { path, len, segment_size: (datagrams > 1).then_some(size) })
    }

    /// Takes some datagrams off the oldest run.
    fn leave(&mut self, count: usize) {
        if let Some(run) = self.runs.front_mut() {
            run.count -= count.min(run.count);
            if run.count == 0 {
                self.runs.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::SocketAddr;

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
