//! The blocks of a pcapng file (draft-ietf-opsawg-pcapng), little-endian, with packets that begin at
//! their IP header.

use std::net::{IpAddr, SocketAddr};

const SECTION_HEADER: u32 = 0x0A0D_0D0A;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;

/// Packets are IPv4 or IPv6, without a header below.
const LINKTYPE_RAW: u16 = 101;

const OPT_COMMENT: u16 = 1;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const EPB_FLAGS: u16 = 2;
const EPB_DROPCOUNT: u16 = 4;

/// Which way a datagram goes, seen from here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    In,
    Out,
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

fn option(bytes: &mut Vec<u8>, code: u16, value: &[u8]) {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    bytes.extend(code.to_le_bytes());
    bytes.extend(length.to_le_bytes());
    bytes.extend(&value[..usize::from(length)]);
    pad(bytes);
}

fn end_of_options(bytes: &mut Vec<u8>) {
    bytes.extend([0; 4]);
}

/// A block: its kind, its length, its body, its length again.
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 12).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = Vec::with_capacity(body.len() + 12);
    bytes.extend(kind.to_le_bytes());
    bytes.extend(length);
    bytes.extend(body);
    bytes.extend(length);
    bytes
}

/// What a file begins with; `comment` says what it is of.
pub(super) fn section(comment: &str) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(0x1A2B_3C4D_u32.to_le_bytes());
    body.extend(1_u16.to_le_bytes());
    body.extend(0_u16.to_le_bytes());
    // How long the section is, nobody knows.
    body.extend(u64::MAX.to_le_bytes());
    option(&mut body, OPT_COMMENT, comment.as_bytes());
    option(&mut body, SHB_USERAPPL, concat!("oneport ", env!("CARGO_PKG_VERSION")).as_bytes());
    end_of_options(&mut body);
    block(SECTION_HEADER, &body)
}

/// An interface: here, a leg. Times are microseconds, which needs not be said.
pub(super) fn interface(name: &str) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(LINKTYPE_RAW.to_le_bytes());
    body.extend([0; 2]);
    body.extend(0_u32.to_le_bytes());
    option(&mut body, IF_NAME, name.as_bytes());
    end_of_options(&mut body);
    block(INTERFACE_DESCRIPTION, &body)
}

/// One datagram.
pub(super) struct Packet<'a> {
    pub(super) interface: u32,
    pub(super) unix_micros: u64,
    pub(super) way: Way,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) content: &'a [u8],
    /// Those before it that are missing.
    pub(super) left_out: u64,
}

impl Packet<'_> {
    pub(super) fn write(&self) -> Vec<u8> {
        let (from, to, flags) = match self.way {
            Way::In => (self.remote, self.local, 1_u32),
            Way::Out => (self.local, self.remote, 2_u32),
        };
        let datagram = ip_datagram(from, to, self.content);
        let length = u32::try_from(datagram.len()).unwrap_or(u32::MAX).to_le_bytes();
        let mut body = Vec::with_capacity(datagram.len() + 48);
        body.extend(self.interface.to_le_bytes());
        let [l0, l1, l2, l3, h0, h1, h2, h3] = self.unix_micros.to_le_bytes();
        body.extend([h0, h1, h2, h3]);
        body.extend([l0, l1, l2, l3]);
        body.extend(length);
        body.extend(length);
        body.extend(&datagram);
        pad(&mut body);
        option(&mut body, EPB_FLAGS, &flags.to_le_bytes());
        if self.left_out > 0 {
            option(&mut body, EPB_DROPCOUNT, &self.left_out.to_le_bytes());
        }
        end_of_options(&mut body);
        block(ENHANCED_PACKET, &body)
    }
}

/// A UDP datagram with the headers that it had, as far as they are known.
fn ip_datagram(from: SocketAddr, to: SocketAddr, content: &[u8]) -> Vec<u8> {
    let udp_length = u16::try_from(content.len() + 8).unwrap_or(u16::MAX);
    let mut udp = Vec::with_capacity(content.len() + 8);
    udp.extend(from.port().to_be_bytes());
    udp.extend(to.port().to_be_bytes());
    udp.extend(udp_length.to_be_bytes());
    udp.extend([0; 2]);
    udp.extend(content);
    let mut bytes = Vec::with_capacity(udp.len() + 40);
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            bytes.extend([0x45, 0]);
            bytes.extend(udp_length.saturating_add(20).to_be_bytes());
            // Not in fragments; 64 hops; UDP.
            bytes.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
            bytes.extend(from.octets());
            bytes.extend(to.octets());
            let checksum = checksum(&bytes).to_be_bytes();
            bytes[10..12].copy_from_slice(&checksum);
        }
        (from, to) => {
            let v6 = |address: IpAddr| match address {
                IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                IpAddr::V6(address) => address.octets(),
            };
            bytes.extend([0x60, 0, 0, 0]);
            bytes.extend(udp_length.to_be_bytes());
            bytes.extend([17, 64]);
            bytes.extend(v6(from));
            bytes.extend(v6(to));
            // In IPv6 a datagram without a checksum is none.
            let mut summed = bytes[8..].to_vec();
            summed.extend([0, 0, udp_length.to_be_bytes()[0], udp_length.to_be_bytes()[1]]);
            summed.extend([0, 0, 0, 17]);
            summed.extend(&udp);
            let sum = match checksum(&summed) {
                0 => 0xFFFF,
                sum => sum,
            };
            udp[6..8].copy_from_slice(&sum.to_be_bytes());
        }
    }
    bytes.extend(udp);
    bytes
}

/// The checksum of the internet (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let (words, rest) = bytes.as_chunks::<2>();
    let mut sum: u32 = words.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum();
    sum += rest.first().map_or(0, |byte| u32::from(*byte) << 8);
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    #[expect(clippy::cast_possible_truncation, reason = "16 bits are left")]
    let sum = sum as u16;
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_internet() {
        // RFC 1071 §3.
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        assert_eq!(checksum(&[0x01]), !0x0100);
    }

    #[test]
    fn blocks_are_whole_words_with_their_length_at_both_ends() {
        for name in ["", "a", "ab", "abc", "abcd"] {
            let bytes = interface(name);
            let length = u32::try_from(bytes.len()).expect("short").to_le_bytes();
            assert_eq!(bytes.len() % 4, 0);
            assert_eq!((&bytes[4..8], &bytes[bytes.len() - 4..]), (&length[..], &length[..]));
        }
    }
}
