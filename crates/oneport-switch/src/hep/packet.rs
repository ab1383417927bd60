//! HEP3: a header of six bytes, and chunks, each with vendor, type, length and content, all big-endian.

use std::net::{IpAddr, SocketAddr};

use super::Message;
use crate::config::HepConfig;

/// Chunks of the vendor 0, which all know.
mod chunk {
    pub(super) const FAMILY: u16 = 1;
    pub(super) const CARRIER: u16 = 2;
    pub(super) const SOURCE_IPV4: u16 = 3;
    pub(super) const DESTINATION_IPV4: u16 = 4;
    pub(super) const SOURCE_IPV6: u16 = 5;
    pub(super) const DESTINATION_IPV6: u16 = 6;
    pub(super) const SOURCE_PORT: u16 = 7;
    pub(super) const DESTINATION_PORT: u16 = 8;
    pub(super) const SECONDS: u16 = 9;
    pub(super) const MICROSECONDS: u16 = 10;
    pub(super) const PROTOCOL: u16 = 11;
    pub(super) const CAPTURE_ID: u16 = 12;
    pub(super) const PASSWORD: u16 = 14;
    pub(super) const PAYLOAD: u16 = 15;
    pub(super) const CORRELATION: u16 = 17;
}

/// What a chunk has before its content.
const CHUNK_HEADER: usize = 6;

/// The longest payload: chunks and packets have lengths of 16 bits, and the others are less than 1 kB.
const MOST_PAYLOAD: usize = 64_000;

/// Writes a packet; `call` is the id of the call.
pub(super) fn write(message: &Message, call: Option<&str>, config: &HepConfig) -> Vec<u8> {
    let mut packet = Vec::with_capacity(message.content.len() + 192);
    packet.extend(*b"HEP3\0\0");
    let (source, destination) = (message.from.ip().to_canonical(), message.to.ip().to_canonical());
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            add(&mut packet, chunk::FAMILY, &[2]);
            add(&mut packet, chunk::SOURCE_IPV4, &source.octets());
            add(&mut packet, chunk::DESTINATION_IPV4, &destination.octets());
        }
        (source, destination) => {
            let octets = |address| match address {
                IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                IpAddr::V6(address) => address.octets(),
            };
            add(&mut packet, chunk::FAMILY, &[10]);
            add(&mut packet, chunk::SOURCE_IPV6, &octets(source));
            add(&mut packet, chunk::DESTINATION_IPV6, &octets(destination));
        }
    }
    let port = |address: SocketAddr| address.port().to_be_bytes();
    let seconds = u32::try_from(message.unix_micros / 1_000_000).unwrap_or(u32::MAX);
    let micros = u32::try_from(message.unix_micros % 1_000_000).unwrap_or(0);
    add(&mut packet, chunk::CARRIER, &[message.carrier as u8]);
    add(&mut packet, chunk::SOURCE_PORT, &port(message.from));
    add(&mut packet, chunk::DESTINATION_PORT, &port(message.to));
    add(&mut packet, chunk::SECONDS, &seconds.to_be_bytes());
    add(&mut packet, chunk::MICROSECONDS, &micros.to_be_bytes());
    add(&mut packet, chunk::PROTOCOL, &[message.protocol as u8]);
    add(&mut packet, chunk::CAPTURE_ID, &config.capture_id.to_be_bytes());
    if let Some(password) = &config.password {
        add(&mut packet, chunk::PASSWORD, password.expose().as_bytes());
    }
    if let Some(call) = call {
        add(&mut packet, chunk::CORRELATION, call.as_bytes());
    }
    let content = &message.content;
    add(&mut packet, chunk::PAYLOAD, &content[..content.len().min(MOST_PAYLOAD)]);
    let length = u16::try_from(packet.len()).unwrap_or(u16::MAX);
    packet[4..6].copy_from_slice(&length.to_be_bytes());
    packet
}

fn add(packet: &mut Vec<u8>, kind: u16, content: &[u8]) {
    let length = u16::try_from(CHUNK_HEADER + content.len()).unwrap_or(u16::MAX);
    packet.extend([0, 0]);
    packet.extend(kind.to_be_bytes());
    packet.extend(length.to_be_bytes());
    packet.extend(content);
}

#[cfg(test)]
mod tests {
    use oneport_proto::Secret;

    use super::super::{Carrier, Protocol};
    use super::*;

    fn config(password: Option<&str>) -> HepConfig {
        let password = password.map(Secret::from);
        HepConfig {
            to: "localhost:9060".into(),
            tcp: false,
            text: false,
            capture_id: 2_024,
            password,
        }
    }

    fn message(from: &str, to: &str, content: &[u8]) -> Message {
        Message {
            protocol: Protocol::Iax,
            carrier: Carrier::Udp,
            from: from.parse().expect("an address"),
            to: to.parse().expect("an address"),
            unix_micros: 1_700_000_000_000_042,
            key: None,
            content: content.into(),
            is_sealed: false,
        }
    }

    #[test]
    fn a_packet_has_the_bytes_that_hep3_asks_for() {
        let message = message("192.0.2.1:4569", "192.0.2.2:4570", b"frame");
        let packet = write(&message, Some("id"), &config(Some("pw")));
        let expected = [
            &b"HEP3\x00\x78"[..],
            &[0, 0, 0, 1, 0, 7, 2],
            &[0, 0, 0, 3, 0, 10, 192, 0, 2, 1],
            &[0, 0, 0, 4, 0, 10, 192, 0, 2, 2],
            &[0, 0, 0, 2, 0, 7, 17],
            &[0, 0, 0, 7, 0, 8, 0x11, 0xD9],
            &[0, 0, 0, 8, 0, 8, 0x11, 0xDA],
            &[0, 0, 0, 9, 0, 10, 0x65, 0x53, 0xF1, 0x00],
            &[0, 0, 0, 10, 0, 10, 0, 0, 0, 42],
            &[0, 0, 0, 11, 0, 7, 10],
            &[0, 0, 0, 12, 0, 10, 0, 0, 7, 0xE8],
            b"\x00\x00\x00\x0E\x00\x08pw",
            b"\x00\x00\x00\x11\x00\x08id",
            b"\x00\x00\x00\x0F\x00\x0Bframe",
        ];
        assert_eq!(packet, expected.concat());
    }

    #[test]
    fn addresses_of_both_families_become_those_of_one() {
        let of = |from, to| write(&message(from, to, b""), None, &config(None));
        let v4 = of("[::ffff:192.0.2.1]:1", "192.0.2.2:2");
        assert_eq!(v4, of("192.0.2.1:1", "192.0.2.2:2"));
        let v6 = of("[2001:db8::1]:1", "192.0.2.2:2");
        assert_eq!(v6, of("[2001:db8::1]:1", "[::ffff:192.0.2.2]:2"));
        assert_eq!(v6[12], 10);
    }

    #[test]
    fn what_is_too_long_for_a_packet_is_cut_short() {
        let long = message("192.0.2.1:1", "192.0.2.2:2", &[7; 70_000]);
        let packet = write(&long, None, &config(None));
        let length = u16::from_be_bytes([packet[4], packet[5]]);
        assert_eq!(usize::from(length), packet.len());
        assert_eq!(packet.iter().rev().take_while(|byte| **byte == 7).count(), MOST_PAYLOAD);
    }
}
