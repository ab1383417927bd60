//! Reports about streams (RTCP, RFC 3550 §6): SR, RR, SDES and BYE.

use std::time::Duration;

use oneport_proto::Instant;

use super::sequence::Reception;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const DESCRIPTION: u8 = 202;
const BYE: u8 = 203;

/// A moment in 1/2³² s (§4). Ours count from the start of the system's own clock, as §4 allows: they
/// serve to measure round trips.
///
/// ```
/// use oneport_switch::sip::rtp::Ntp;
///
/// // Seconds lie above the point, and 65,536 parts of one below.
/// assert_eq!(Ntp(3 << 32).middle(), 3 << 16);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ntp(pub u64);

impl From<Instant> for Ntp {
    fn from(at: Instant) -> Self {
        let micros = at.as_micros();
        let fraction = ((micros % 1_000_000) << 32) / 1_000_000;
        Self((micros / 1_000_000) << 32 | fraction)
    }
}

impl Ntp {
    /// Its middle 32 bits, as reports repeat them: in 1/65,536 s.
    #[must_use]
    pub fn middle(self) -> u32 {
        let [_, _, b2, b3, b4, b5, _, _] = self.0.to_be_bytes();
        u32::from_be_bytes([b2, b3, b4, b5])
    }
}

/// What a sender says of its stream.
///
/// ```
/// use oneport_switch::sip::rtp::{Ntp, SenderInfo};
///
/// let sent = SenderInfo { ntp: Ntp(1 << 40), timestamp: 160, packets: 50, bytes: 8_000 };
/// assert_eq!(sent.bytes / sent.packets, 160, "bytes of a packet");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SenderInfo {
    /// When it says so.
    pub ntp: Ntp,
    /// The same moment by the clock of its timestamps.
    pub timestamp: u32,
    /// Packets that it has sent.
    pub packets: u32,
    /// Bytes of payload in those.
    pub bytes: u32,
}

/// What somebody says of a stream that it hears.
///
/// ```
/// use oneport_switch::sip::rtp::{Block, Ntp, Reception};
///
/// // The last report of ours left half a second ago; they waited a quarter of one with theirs.
/// let reception = Reception { fraction_lost: 0, lost: 0, highest: 50 };
/// let last_report = Ntp(7 << 32).middle();
/// let block = Block { source: 5, reception, jitter: 0, last_report, delay: 1 << 14 };
/// let round_trip = block.round_trip(Ntp((7 << 32) + (1 << 31)));
/// assert_eq!(round_trip.map(|time| time.as_millis()), Some(250));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Block {
    /// Whose stream it is.
    pub source: u32,
    /// What came of it.
    pub reception: Reception,
    /// Jitter, in timestamps.
    pub jitter: u32,
    /// The middle of the last sender's report that was heard of it; 0: there was none.
    pub last_report: u32,
    /// How long ago that was, in 1/65,536 s.
    pub delay: u32,
}

impl Block {
    /// The round trip that it shows at `now`, if it answers a report of ours.
    #[must_use]
    pub fn round_trip(&self, now: Ntp) -> Option<Duration> {
        if self.last_report == 0 {
            return None;
        }
        let passed = now.middle().wrapping_sub(self.last_report).wrapping_sub(self.delay);
        // Clocks that differ a little make it less than nothing; half an hour is no round trip.
        let passed = if passed > u32::MAX / 2 { 0 } else { passed };
        (passed < 60 << 16).then(|| Duration::from_micros((u64::from(passed) * 1_000_000) >> 16))
    }
}

/// What we report.
///
/// ```
/// use oneport_switch::sip::rtp::{Report, is_rtcp, write_report};
///
/// let report = Report { source: 5, sender: None, heard: None, name: "a@192.0.2.1", leaves: true };
/// let mut datagram = Vec::new();
/// write_report(&report, &mut datagram);
/// assert!(is_rtcp(&datagram));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Report<'a> {
    /// Our source.
    pub source: u32,
    /// Our stream, if we have sent something of late.
    pub sender: Option<SenderInfo>,
    /// The stream that we hear.
    pub heard: Option<Block>,
    /// Who we are in all sessions (CNAME).
    pub name: &'a str,
    /// It is the last.
    pub leaves: bool,
}

/// What a compound packet says.
///
/// ```
/// use oneport_switch::sip::rtp::{Ntp, Report, SenderInfo, read_compound, write_report};
///
/// let sender = Some(SenderInfo { ntp: Ntp(1 << 40), timestamp: 160, packets: 50, bytes: 8_000 });
/// let report = Report { source: 5, sender, heard: None, name: "a@192.0.2.1", leaves: false };
/// let mut datagram = Vec::new();
/// write_report(&report, &mut datagram);
/// let compound = read_compound(&datagram, 9).ok_or("malformed")?;
/// assert_eq!((compound.source, compound.sender, compound.leaves), (5, sender, false));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Compound {
    /// Who has sent it.
    pub source: u32,
    /// Of its own stream.
    pub sender: Option<SenderInfo>,
    /// Of our stream.
    pub about_us: Option<Block>,
    /// Its sender leaves.
    pub leaves: bool,
}

/// Appends a compound packet to `out`: SR or RR, SDES, and BYE at the end.
pub fn write_report(report: &Report<'_>, out: &mut Vec<u8>) {
    let Report { source, sender, heard, name, leaves } = report;
    let blocks = u8::from(heard.is_some());
    let kind = if sender.is_some() { SENDER_REPORT } else { RECEIVER_REPORT };
    let words = 1 + 5 * u16::from(sender.is_some()) + 6 * u16::from(blocks);
    head(blocks, kind, words, out);
    out.extend(source.to_be_bytes());
    if let Some(SenderInfo { ntp, timestamp, packets, bytes }) = sender {
        out.extend(ntp.0.to_be_bytes());
        for word in [timestamp, packets, bytes] {
            out.extend(word.to_be_bytes());
        }
    }
    if let Some(Block { source, reception, jitter, last_report, delay }) = heard {
        let [_, l1, l2, l3] = reception.lost.to_be_bytes();
        out.extend(source.to_be_bytes());
        out.extend([reception.fraction_lost, l1, l2, l3]);
        for word in [reception.highest, *jitter, *last_report, *delay] {
            out.extend(word.to_be_bytes());
        }
    }
    // One item, CNAME, and at least one zero behind it, up to a whole word.
    let name = name.as_bytes();
    let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
    let name = name.get(..usize::from(length)).unwrap_or_default();
    let words = (4 + 2 + u16::from(length)) / 4 + 1;
    head(1, DESCRIPTION, words, out);
    out.extend(source.to_be_bytes());
    out.extend([1, length]);
    out.extend(name);
    out.extend(std::iter::repeat_n(0, 4 - (2 + name.len()) % 4));
    if *leaves {
        head(1, BYE, 1, out);
        out.extend(source.to_be_bytes());
    }
}

fn head(count: u8, kind: u8, words: u16, out: &mut Vec<u8>) {
    let [high, low] = words.to_be_bytes();
    out.extend([0x80 | count, kind, high, low]);
}

/// A word of a packet, if it is that long.
fn word(bytes: &[u8], index: usize) -> Option<u32> {
    bytes.get(index * 4..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// Reads a compound packet; `ours` is the source that we send. `None`: it is none (RFC 3550 A.2).
#[must_use]
pub fn read_compound(mut datagram: &[u8], ours: u32) -> Option<Compound> {
    let mut compound = Compound::default();
    let mut is_first = true;
    while !datagram.is_empty() {
        let [first, kind, high, low] = *datagram.first_chunk()?;
        let length = 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
        let (packet, rest) = datagram.split_at_checked(length)?;
        let is_report = matches!(kind, SENDER_REPORT | RECEIVER_REPORT);
        if first >> 6 != 2 || is_first && (!is_report || first & 0x20 != 0) {
            return None;
        }
        let count = usize::from(first & 0x1F);
        match kind {
            SENDER_REPORT | RECEIVER_REPORT => read_report(packet, count, ours, &mut compound)?,
            BYE => compound.leaves = true,
            _ => {}
        }
        (datagram, is_first) = (rest, false);
    }
    (!is_first).then_some(compound)
}

fn read_report(packet: &[u8], count: usize, ours: u32, compound: &mut Compound) -> Option<()> {
    compound.source = word(packet, 1)?;
    let mut place = 2;
    if packet.get(1) == Some(&SENDER_REPORT) {
        let ntp = u64::from(word(packet, 2)?) << 32 | u64::from(word(packet, 3)?);
        compound.sender = Some(SenderInfo {
            ntp: Ntp(ntp),
            timestamp: word(packet, 4)?,
            packets: word(packet, 5)?,
            bytes: word(packet, 6)?,
        });
        place = 7;
    }
    for n in 0..count {
        let at = |index: usize| word(packet, place + n * 6 + index);
        let (source, lost) = (at(0)?, at(1)?);
        let [fraction_lost, ..] = lost.to_be_bytes();
        let block = Block {
            source,
            reception: Reception {
                fraction_lost,
                // 24 bits with a sign.
                lost: (lost << 8).cast_signed() >> 8,
                highest: at(2)?,
            },
            jitter: at(3)?,
            last_report: at(4)?,
            delay: at(5)?,
        };
        if source == ours {
            compound.about_us = Some(block);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block() -> Block {
        let reception = Reception { fraction_lost: 12, lost: -3, highest: 0x1_0203 };
        Block { source: 9, reception, jitter: 77, last_report: 0x0102_0304, delay: 0x8000 }
    }

    fn info() -> SenderInfo {
        SenderInfo { ntp: Ntp(0x0A0B_0C0D_1122_3344), timestamp: 5, packets: 6, bytes: 7 }
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        for (sender, heard, name, leaves) in [
            (Some(info()), Some(block()), "a@b", false),
            (None, Some(block()), "", true),
            (Some(info()), None, "oneport@192.0.2.1", true),
            (None, None, "ab", false),
        ] {
            let mut bytes = Vec::new();
            write_report(&Report { source: 4, sender, heard, name, leaves }, &mut bytes);
            assert_eq!(bytes.len() % 4, 0);
            let compound = read_compound(&bytes, 9).expect("a compound packet");
            assert_eq!(compound, Compound { source: 4, sender, about_us: heard, leaves });
            assert_eq!(read_compound(&bytes, 8).and_then(|compound| compound.about_us), None);
        }
    }

    #[test]
    fn a_sender_report_is_laid_out_as_the_rfc_has_it() {
        let mut bytes = Vec::new();
        let report =
            Report { source: 4, sender: Some(info()), heard: Some(block()), ..Report::default() };
        write_report(&report, &mut bytes);
        assert_eq!(bytes[..8], [0x81, 200, 0, 12, 0, 0, 0, 4]);
        assert_eq!(bytes[28..36], [0, 0, 0, 9, 12, 0xFF, 0xFF, 0xFD]);
        assert_eq!(bytes[52..], [0x81, 202, 0, 2, 0, 0, 0, 4, 1, 0, 0, 0]);
    }

    #[test]
    fn a_round_trip_is_what_passed_less_what_the_other_side_waited() {
        let at = |ms: u64| Ntp::from(Instant::from_micros(ms * 1_000));
        let sent = at(10_000);
        let answer = Block { last_report: sent.middle(), delay: 2 << 16, ..Block::default() };
        let trip = answer.round_trip(at(12_080)).expect("it answers");
        assert!(trip.abs_diff(Duration::from_millis(80)) < Duration::from_micros(50), "{trip:?}");
        assert_eq!(answer.round_trip(at(11_000)), Some(Duration::ZERO), "its clock is fast");
        assert_eq!(answer.round_trip(at(500_000)), None);
        assert_eq!(Block::default().round_trip(at(1)), None);
    }

    #[test]
    fn what_begins_with_no_report_or_lies_about_its_length_is_none() {
        let mut whole = Vec::new();
        write_report(
            &Report { source: 4, heard: Some(block()), name: "x", ..Report::default() },
            &mut whole,
        );
        let description = &whole[32..];
        assert_eq!(read_compound(description, 9), None);
        for length in 1..whole.len() {
            let cut = read_compound(&whole[..length], 9);
            assert_eq!(cut.is_some(), length == 32, "{length}");
        }
        let mut more = whole.clone();
        more[0] |= 2;
        assert_eq!(read_compound(&more, 9), None, "it has fewer blocks than it says");
        assert_eq!(read_compound(&[], 9), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>, ours: u32) {
            let _ = read_compound(&bytes, ours);
        }
    }
}
