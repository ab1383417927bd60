//! Captures in files and pipes: pcap and pcapng, one packet at a time, in memory that does not grow with the file.

use std::io::{self, Cursor, Read};
use std::ops::ControlFlow;

use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{Block, PcapBlockOwned, PcapError, create_reader};
use thiserror::Error;

use crate::time::Time;

/// Bytes read at once.
const BUFFER: usize = 1 << 17;

/// Bytes that a packet may have.
const LARGEST: usize = 1 << 20;

/// Interfaces of a section, of which no more are kept.
const MOST_INTERFACES: usize = 65_536;

/// A packet as it was captured.
///
/// ```
/// use std::ops::ControlFlow;
///
/// use oneport_decode::read;
///
/// # mod capture { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/capture.rs")); } use capture::*;
/// let mut expected = 0;
/// read(CAPTURE, |packet| {
///     expected += 1;
///     assert_eq!(packet.number, expected);
///     assert_eq!(packet.link, 1, "LINKTYPE_ETHERNET");
///     ControlFlow::Continue(())
/// })?;
/// # Ok::<(), oneport_decode::CaptureError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet<'a> {
    /// Its place in the capture, from 1.
    pub number: u64,
    /// When it passed.
    pub time: Time,
    /// What its first header is: a number of the registry of link types (`LINKTYPE_`).
    pub link: i32,
    /// What was captured of it.
    pub data: &'a [u8],
}

/// How a capture came to its end.
///
/// ```
/// use std::ops::ControlFlow;
///
/// use oneport_decode::{End, read};
///
/// # mod capture { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/capture.rs")); } use capture::*;
/// assert_eq!(read(CAPTURE, |_| ControlFlow::Continue(()))?, End::Whole);
/// assert_eq!(read(CAPTURE, |_| ControlFlow::Break(()))?, End::Stopped);
/// // Whoever wrote it was killed.
/// let cut = &CAPTURE[..CAPTURE.len() - 3];
/// assert_eq!(read(cut, |_| ControlFlow::Continue(()))?, End::Cut);
/// # Ok::<(), oneport_decode::CaptureError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// All was read.
    Whole,
    /// It ends in the middle of a packet, as when whoever wrote it was killed.
    Cut,
    /// Whoever reads has had enough.
    Stopped,
}

/// Why a capture cannot be read, or not on.
///
/// ```
/// use std::ops::ControlFlow;
///
/// use oneport_decode::{CaptureError, read};
///
/// let text = read(&b"No capture, but a letter to somebody."[..], |_| ControlFlow::Continue(()));
/// assert!(matches!(text, Err(CaptureError::NoCapture)));
/// let nothing = read(&b""[..], |_| ControlFlow::Continue(()));
/// assert!(matches!(nothing, Err(CaptureError::Empty)));
/// ```
#[derive(Debug, Error)]
pub enum CaptureError {
    /// It is neither pcap nor pcapng.
    #[error("it is no capture: neither pcap nor pcapng")]
    NoCapture,
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// What follows a packet is none.
    #[error("what follows packet {after} is damaged")]
    Damaged {
        /// The last that could be read, 0 where none could.
        after: u64,
    },
    /// A packet or another block is larger than a mebibyte.
    #[error("what follows packet {after} says that it has more than a mebibyte")]
    TooLarge {
        /// The last that could be read.
        after: u64,
    },
    /// The system says no.
    #[error(transparent)]
    Read(#[from] io::Error),
}

/// An interface that was captured at.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link: i32,
    per_second: u64,
    offset: i64,
}

/// What a file has told of its packets.
#[derive(Default, Debug)]
struct Section {
    interfaces: Vec<Interface>,
    number: u64,
    last: Time,
}

/// Reads a capture, and shows each packet.
///
/// # Errors
/// It is no capture, or damaged.
pub fn read(
    mut source: impl Read + Send,
    mut each: impl FnMut(Packet<'_>) -> ControlFlow<()>,
) -> Result<End, CaptureError> {
    let head = head(&mut source)?;
    let mut reader = match create_reader(BUFFER, Cursor::new(head).chain(source)) {
        Ok(reader) => reader,
        Err(PcapError::Eof) => return Err(CaptureError::Empty),
        Err(PcapError::ReadError) => return Err(CaptureError::Read(io::ErrorKind::Other.into())),
        Err(_) => return Err(CaptureError::NoCapture),
    };
    let mut section = Section::default();
    let mut has_grown = false;
    loop {
        let after = section.number;
        let consumed = match reader.next() {
            Ok((consumed, block)) => {
                if let Some(packet) = section.take(&block)
                    && each(packet).is_break()
                {
                    return Ok(End::Stopped);
                }
                consumed
            }
            Err(PcapError::Eof) => return Ok(End::Whole),
            Err(PcapError::UnexpectedEof) => return Ok(End::Cut),
            Err(PcapError::Incomplete(_)) => {
                refill(reader.as_mut())?;
                continue;
            }
            Err(PcapError::BufferTooSmall) if !has_grown => {
                has_grown = reader.grow(LARGEST);
                if !has_grown {
                    return Err(CaptureError::TooLarge { after });
                }
                continue;
            }
            Err(PcapError::BufferTooSmall) => return Err(CaptureError::TooLarge { after }),
            Err(PcapError::ReadError) => {
                return Err(CaptureError::Read(io::ErrorKind::Other.into()));
            }
            Err(_) => return Err(CaptureError::Damaged { after }),
        };
        reader.consume(consumed);
    }
}

fn refill(reader: &mut (dyn PcapReaderIterator + Send)) -> Result<(), CaptureError> {
    reader.refill().map_err(|_| CaptureError::Read(io::ErrorKind::Other.into()))
}

/// The first header of a file, whole: what writes into a pipe may say it in pieces.
fn head(source: &mut impl Read) -> Result<Vec<u8>, CaptureError> {
    const SECTION: [u8; 4] = [0x0A, 0x0D, 0x0D, 0x0A];
    let mut head = Vec::new();
    let mut fill = |head: &mut Vec<u8>, to: usize| {
        source.by_ref().take(to.saturating_sub(head.len()) as u64).read_to_end(head)
    };
    fill(&mut head, 12)?;
    let whole = match head.first_chunk::<12>() {
        Some([a, b, c, d, length @ .., m0, m1, m2, m3]) if [*a, *b, *c, *d] == SECTION => {
            let length = match [m0, m1, m2, m3] {
                [0x1A, ..] => u32::from_be_bytes(*length),
                _ => u32::from_le_bytes(*length),
            };
            usize::try_from(length).unwrap_or(BUFFER)
        }
        _ => 24,
    };
    fill(&mut head, whole.min(BUFFER / 2))?;
    Ok(head)
}

impl Section {
    /// The packet of a block, if it has one; others tell of those that follow.
    fn take<'a>(&mut self, block: &PcapBlockOwned<'a>) -> Option<Packet<'a>> {
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                let per_second =
                    if header.is_nanosecond_precision() { 1_000_000_000 } else { 1_000_000 };
                let link = header.network.0 & 0xFFFF;
                self.interfaces = vec![Interface { link, per_second, offset: 0 }];
                None
            }
            PcapBlockOwned::Legacy(packet) => {
                let Interface { link, per_second, .. } = *self.interfaces.first()?;
                let seconds = u64::from(packet.ts_sec) * per_second;
                let ticks = seconds.saturating_add(packet.ts_usec.into());
                self.last = Time::from_ticks(ticks, per_second, 0);
                Some(self.packet(link, cut(packet.data, packet.caplen)))
            }
            PcapBlockOwned::NG(Block::SectionHeader(_)) => {
                self.interfaces.clear();
                None
            }
            PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                if self.interfaces.len() < MOST_INTERFACES {
                    self.interfaces.push(Interface {
                        link: interface.linktype.0,
                        per_second: interface.ts_resolution().unwrap_or(1_000_000),
                        offset: interface.ts_offset(),
                    });
                }
                None
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                let place = usize::try_from(packet.if_id).ok()?;
                // A packet of an interface that was never told of counts all the same.
                let interface = self.interfaces.get(place);
                let ticks = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                let Interface { link, per_second, offset } =
                    *interface.unwrap_or(&Interface { link: -1, per_second: 1_000_000, offset: 0 });
                self.last = Time::from_ticks(ticks, per_second, offset);
                Some(self.packet(link, cut(packet.data, packet.caplen)))
            }
            PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
                // It has no time: that of the one before must do.
                let link = self.interfaces.first().map_or(-1, |interface| interface.link);
                Some(self.packet(link, cut(packet.data, packet.origlen)))
            }
            PcapBlockOwned::NG(_) => None,
        }
    }

    fn packet<'a>(&mut self, link: i32, data: &'a [u8]) -> Packet<'a> {
        self.number += 1;
        Packet { number: self.number, time: self.last, link, data }
    }
}

/// The data without what fills up a block.
fn cut(data: &[u8], length: u32) -> &[u8] {
    usize::try_from(length).ok().and_then(|length| data.get(..length)).unwrap_or(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a reader gives out a byte at a time.
    struct Slowly<'a>(&'a [u8]);

    impl Read for Slowly<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let (Some((first, rest)), Some(place)) = (self.0.split_first(), buffer.first_mut())
            else {
                return Ok(0);
            };
            *place = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    type Seen = Vec<(u64, u64, i32, Vec<u8>)>;

    fn packets(source: impl Read + Send) -> (Seen, Result<End, CaptureError>) {
        let mut seen = Vec::new();
        let end = read(source, |packet| {
            seen.push((packet.number, packet.time.0, packet.link, packet.data.to_vec()));
            ControlFlow::Continue(())
        });
        (seen, end)
    }

    /// A pcap of packets of three bytes, in this order of bytes, microseconds or nanoseconds.
    fn pcap(big: bool, nanos: bool, count: u32) -> Vec<u8> {
        let word = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
        let half = |value: u16| if big { value.to_be_bytes() } else { value.to_le_bytes() };
        let mut file = word(if nanos { 0xA1B2_3C4D } else { 0xA1B2_C3D4 }).to_vec();
        file.extend([half(2), half(4)].concat());
        file.extend([word(0), word(0), word(65_535), word(101)].concat());
        for n in 0..count {
            file.extend([word(7), word(n), word(3), word(90)].concat());
            file.extend([1, 2, 3]);
        }
        file
    }

    #[test]
    fn a_pcap_of_either_order_and_resolution_is_read_even_a_byte_at_a_time() {
        for (big, nanos) in [(false, false), (true, false), (false, true), (true, true)] {
            let file = pcap(big, nanos, 3);
            let (seen, end) = packets(Slowly(&file));
            assert_eq!(end.unwrap(), End::Whole);
            let unit = if nanos { 1 } else { 1_000 };
            let expected: Seen =
                (0..3).map(|n| (n + 1, 7_000_000_000 + n * unit, 101, vec![1, 2, 3])).collect();
            assert_eq!(seen, expected);
        }
    }

    fn block(kind: u32, body: &[u8]) -> Vec<u8> {
        let mut body = body.to_vec();
        body.resize(body.len().next_multiple_of(4), 0);
        let length = u32::try_from(body.len() + 12).unwrap().to_le_bytes();
        [&kind.to_le_bytes()[..], &length, &body, &length].concat()
    }

    fn pcapng() -> Vec<u8> {
        let section =
            [&0x1A2B_3C4D_u32.to_le_bytes()[..], &[1, 0, 0, 0], &u64::MAX.to_le_bytes()].concat();
        // Ethernet in microseconds; raw IP in nanoseconds.
        let first = [1_u16.to_le_bytes(), [0; 2], [0; 2], [0; 2]].concat();
        let second =
            [&[101, 0, 0, 0, 0, 0, 0, 0][..], &[9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0]].concat();
        let packet = |interface: u32, ticks: u64| {
            let (high, low) = ((ticks >> 32) as u32, ticks as u32);
            let words = [interface, high, low, 3, 90].map(u32::to_le_bytes).concat();
            block(6, &[&words[..], &[1, 2, 3]].concat())
        };
        [
            block(0x0A0D_0D0A, &section),
            block(1, &first),
            block(1, &second),
            packet(0, 7_000_001),
            block(0xBAD, &[1, 2, 3, 4]),
            packet(1, 8_000_000_002),
            packet(9, 9_000_000),
            block(3, &[&3_u32.to_le_bytes()[..], &[1, 2, 3]].concat()),
        ]
        .concat()
    }

    #[test]
    fn each_interface_of_a_pcapng_has_its_link_and_its_clock() {
        let (seen, end) = packets(Slowly(&pcapng()));
        assert_eq!(end.unwrap(), End::Whole);
        let expected: Seen =
            [(1, 7_000_001_000, 1), (2, 8_000_000_002, 101), (3, 9_000_000_000, -1)]
                .into_iter()
                .chain([(4, 9_000_000_000, 1)])
                .map(|(number, time, link)| (number, time, link, vec![1, 2, 3]))
                .collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_file_that_was_cut_gives_all_packets_before() {
        for file in [pcap(false, false, 3), pcapng()] {
            let all = packets(&file[..]).0.len();
            for length in 40..file.len() {
                let (seen, end) = packets(&file[..length]);
                assert!(seen.len() <= all);
                assert!(end.is_ok(), "{length} of {}: {end:?}", file.len());
            }
            let (seen, end) = packets(&file[..file.len() - 1]);
            assert_eq!((seen.len(), end.unwrap()), (all - 1, End::Cut));
        }
    }

    #[test]
    fn what_is_no_capture_says_so_and_a_damaged_one_after_which_packet() {
        assert!(matches!(packets(&[][..]).1, Err(CaptureError::Empty)));
        assert!(matches!(packets(&[7; 100][..]).1, Err(CaptureError::NoCapture)));
        let mut file = pcap(false, false, 3);
        // The second packet says that it has 4 GiB.
        file[24 + 19 + 8..24 + 19 + 12].fill(0xFF);
        let (seen, end) = packets(&file[..]);
        assert_eq!(seen.len(), 1);
        assert!(end.is_err() || end.is_ok_and(|end| end == End::Cut));
    }

    #[test]
    fn a_packet_may_have_up_to_a_mebibyte() {
        let file = |length: u32| {
            let mut file = pcap(false, false, 1);
            file.extend([7, 0, length, length].map(u32::to_le_bytes).concat());
            file.resize(file.len() + usize::try_from(length).unwrap(), 9);
            file.extend(&pcap(false, false, 1)[24..]);
            file
        };
        let (seen, end) = packets(&file(1_000_000)[..]);
        assert_eq!((seen.len(), seen[1].3.len(), end.unwrap()), (3, 1_000_000, End::Whole));
        let (seen, end) = packets(&file(2_000_000)[..]);
        assert_eq!(seen.len(), 1);
        assert!(matches!(end, Err(CaptureError::TooLarge { after: 1 })), "{end:?}");
    }

    #[test]
    fn whoever_has_had_enough_is_shown_no_more() {
        let mut count = 0;
        let file = pcap(false, false, 3);
        let end = read(&file[..], |_| {
            count += 1;
            if count == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!((count, end.unwrap()), (2, End::Stopped));
    }
}
