//! Datagrams are found below whatever link they were captured at, in fragments or behind tags of VLANs.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::slice;

use oneport_decode::{Datagrams, Packet, Time};

const CONTENT: &[u8] = b"\x00\x02\x00\x14voice of twenty ms";

fn udp(from: u16, to: u16, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len() + 8).expect("short");
    [&from.to_be_bytes()[..], &to.to_be_bytes(), &length.to_be_bytes(), &[0, 0], content].concat()
}

/// An IPv4 packet; `place` is that of a fragment in its datagram, in units of 8 bytes.
fn ipv4(place: u16, more: bool, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len() + 20).expect("short");
    let offset = place | if more { 0x2000 } else { 0 };
    let (from, to) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));
    [
        &[0x45, 0][..],
        &length.to_be_bytes(),
        &[0, 7],
        &offset.to_be_bytes(),
        &[64, 17, 0, 0],
        &from.octets(),
        &to.octets(),
        content,
    ]
    .concat()
}

/// An IPv6 packet; with `place` that of a fragment.
fn ipv6(place: Option<(u16, bool)>, content: &[u8]) -> Vec<u8> {
    let fragment = place.map(|(place, more)| {
        let offset = (place << 3 | u16::from(more)).to_be_bytes();
        [&[17, 0][..], &offset, &[0, 0, 0, 9]].concat()
    });
    let next = if fragment.is_some() { 44 } else { 17 };
    let payload = [fragment.unwrap_or_default(), content.to_vec()].concat();
    let length = u16::try_from(payload.len()).expect("short");
    let (from, to): (Ipv6Addr, Ipv6Addr) =
        ("2001:db8::1".parse().expect("one"), "2001:db8::2".parse().expect("another"));
    [
        &[0x60, 0, 0, 0][..],
        &length.to_be_bytes(),
        &[next, 64],
        &from.octets(),
        &to.octets(),
        &payload,
    ]
    .concat()
}

fn ethernet(kinds: &[u8], content: &[u8]) -> Vec<u8> {
    [&[2; 12][..], kinds, content].concat()
}

/// What is found in packets of a kind of link: from where, to where, and what.
fn found(link: i32, packets: &[Vec<u8>]) -> Vec<(SocketAddr, SocketAddr, Vec<u8>, usize)> {
    let mut datagrams = Datagrams::new(vec![4569]);
    let mut found = Vec::new();
    for (number, data) in (1..).zip(packets) {
        let packet = Packet { number, time: Time(number), link, data };
        found.extend(
            datagrams.find(&packet, |one| {
                (one.source, one.destination, one.payload.to_vec(), one.missing)
            }),
        );
    }
    found
}

#[track_caller]
fn check(link: i32, packets: &[Vec<u8>], ends: [&str; 2]) {
    let [from, to] = ends.map(|end| end.parse().expect("an address"));
    assert_eq!(found(link, packets), [(from, to, CONTENT.to_vec(), 0)], "link {link}");
}

const V4: [&str; 2] = ["192.0.2.1:1000", "192.0.2.2:4569"];
const V6: [&str; 2] = ["[2001:db8::1]:1000", "[2001:db8::2]:4569"];

#[test]
fn every_link_leads_to_the_datagram() {
    let (four, six) =
        (ipv4(0, false, &udp(1000, 4569, CONTENT)), ipv6(None, &udp(1000, 4569, CONTENT)));
    check(1, &[ethernet(&[8, 0], &four)], V4);
    check(1, &[ethernet(&[0x86, 0xDD], &six)], V6);
    check(1, &[ethernet(&[0x81, 0, 0, 5, 8, 0], &four)], V4);
    check(1, &[ethernet(&[0x88, 0xA8, 0, 5, 0x81, 0, 0, 6, 0x86, 0xDD], &six)], V6);
    for raw in [12, 14, 101] {
        check(raw, slice::from_ref(&four), V4);
        check(raw, slice::from_ref(&six), V6);
    }
    check(228, slice::from_ref(&four), V4);
    check(229, slice::from_ref(&six), V6);
    check(113, &[[&[0, 0, 0, 1, 0, 6, 2, 2, 2, 2, 2, 2, 0, 0, 8, 0][..], &four].concat()], V4);
    let sll2 = [0x86, 0xDD, 0, 0, 0, 0, 0, 3, 0, 1, 0, 6, 2, 2, 2, 2, 2, 2, 0, 0];
    check(276, &[[&sll2[..], &six].concat()], V6);
    for family in [[2, 0, 0, 0], [0, 0, 0, 2]] {
        check(0, &[[&family[..], &four].concat()], V4);
        check(108, &[[&family[..], &four].concat()], V4);
    }
    check(0, &[[&[30, 0, 0, 0][..], &six].concat()], V6);
}

#[test]
fn a_datagram_in_fragments_is_put_together_in_any_order() {
    let whole = udp(1000, 4569, CONTENT);
    let (first, second) = whole.split_at(16);
    let four = [ipv4(0, true, first), ipv4(2, false, second)];
    let six = [ipv6(Some((0, true)), first), ipv6(Some((2, false)), second)];
    for (packets, ends) in [(four, V4), (six, V6)] {
        check(101, &packets, ends);
        let [one, other] = packets;
        check(101, &[other.clone(), one.clone()], ends);
        assert_eq!(found(101, &[one]), []);
        assert_eq!(found(101, &[other]), []);
    }
}

#[test]
fn a_flood_of_fragments_is_bounded_and_those_behind_it_are_found() {
    let whole = udp(1000, 4569, CONTENT);
    let (first, second) = whole.split_at(16);
    let mut packets: Vec<Vec<u8>> = (0..5_000_u16)
        .map(|n| {
            let mut fragment = ipv4(0, true, first);
            fragment[4..6].copy_from_slice(&(n + 100).to_be_bytes());
            fragment
        })
        .collect();
    packets.extend([ipv4(0, true, first), ipv4(2, false, second)]);
    assert_eq!(found(101, &packets).len(), 1);
}

#[test]
fn of_a_packet_that_was_cut_what_there_is_counts() {
    let mut packet = ipv4(0, false, &udp(1000, 4569, CONTENT));
    packet.truncate(packet.len() - 5);
    let found = found(101, &[packet]);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].2.len(), found[0].3), (CONTENT.len() - 5, 5));
}

#[test]
fn other_ports_other_protocols_and_other_links_are_passed_over() {
    assert_eq!(found(101, &[ipv4(0, false, &udp(1000, 4570, CONTENT))]), []);
    let mut tcp = ipv4(0, false, &udp(1000, 4569, CONTENT));
    tcp[9] = 6;
    assert_eq!(found(101, &[tcp]), []);
    assert_eq!(found(147, &[ipv4(0, false, &udp(1000, 4569, CONTENT))]), []);
    assert_eq!(found(1, &[vec![], vec![1; 13], ethernet(&[8, 6], &[0; 28])]), []);
    assert_eq!(found(101, &[ipv4(0, false, &udp(4569, 1000, CONTENT))]).len(), 1, "from it");
}
