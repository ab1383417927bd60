//! From a packet to the UDP datagram in it: link layers, VLANs, IPv4, IPv6, and datagrams in fragments.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use etherparse::defrag::IpDefragPool;
use etherparse::{
    EtherType, IpNumber, LaxNetSlice, LaxSlicedPacket, SlicedPacket, TransportSlice, UdpSlice,
};

use crate::file::Packet;
use crate::time::Time;

/// Fragments that wait for the others of their datagram; each may need 64 KiB.
const MOST_FRAGMENTS: usize = 256;

/// How long they wait (RFC 8200 §4.5 has a minute, after which nobody puts them together).
const PATIENCE: Duration = Duration::from_secs(60);

/// Link types (`LINKTYPE_`) whose packets begin with this: the families of BSD, in the order of whoever captured.
const NULL: i32 = 0;
const ETHERNET: i32 = 1;
/// IP at once; the others are what some systems say for it.
pub(crate) const RAW: i32 = 101;
const RAW_OTHERS: [i32; 2] = [12, 14];
/// As [`NULL`], big-endian.
const LOOP: i32 = 108;
/// Linux "cooked", as of all interfaces at once, in its two versions.
const LINUX_SLL: i32 = 113;
const LINUX_SLL2: i32 = 276;
const IPV4: i32 = 228;
const IPV6: i32 = 229;

/// A UDP datagram that came from or goes to a port of interest.
///
/// Where the kernel parts datagrams behind the place of the capture, several are seen as one:
///
/// ```
/// use oneport_decode::{Time, UdpDatagram};
///
/// let datagram = UdpDatagram {
///     number: 1,
///     time: Time(0),
///     source: "192.0.2.1:4569".parse()?,
///     destination: "192.0.2.2:4569".parse()?,
///     payload: &[0; 400],
///     missing: 0,
/// };
/// let lengths: Vec<usize> = datagram.parts(164).map(|part| part.payload.len()).collect();
/// assert_eq!(lengths, [164, 164, 72]);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UdpDatagram<'a> {
    /// The place of its packet in the capture, from 1; the last one where it came in fragments.
    pub number: u64,
    /// When it passed.
    pub time: Time,
    /// Where it came from.
    pub source: SocketAddr,
    /// Where it goes.
    pub destination: SocketAddr,
    /// Its content, as far as it was captured.
    pub payload: &'a [u8],
    /// Bytes of it that were not captured.
    pub missing: usize,
}

impl<'a> UdpDatagram<'a> {
    /// It in parts of so many bytes, see [`Tracker::stride`](crate::Tracker::stride).
    pub fn parts(&self, stride: usize) -> impl Iterator<Item = UdpDatagram<'a>> + use<'a> {
        let (datagram, stride) = (*self, stride.max(1));
        // One without content is one all the same.
        let count = datagram.payload.len().div_ceil(stride).max(1);
        (0..count).map(move |n| {
            let rest = datagram.payload.get(n * stride..).unwrap_or_default();
            let payload = rest.get(..stride).unwrap_or(rest);
            let missing = if n + 1 == count { datagram.missing } else { 0 };
            UdpDatagram { payload, missing, ..datagram }
        })
    }
}

/// What became of packets.
///
/// ```
/// use std::ops::ControlFlow;
///
/// use oneport_decode::{Datagrams, read};
///
/// # mod capture { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/capture.rs")); } use capture::*;
/// // Of a port at which nobody was, though there are packets.
/// let mut datagrams = Datagrams::new(vec![4_570]);
/// read(CAPTURE, |packet| {
///     datagrams.find(&packet, |_| ());
///     ControlFlow::Continue(())
/// })?;
/// let counts = datagrams.counts();
/// assert!(counts.packets > 0);
/// assert_eq!((counts.datagrams, counts.unknown_links), (0, 0));
/// # Ok::<(), oneport_decode::CaptureError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PacketCounts {
    /// All of them.
    pub packets: u64,
    /// Those of an interface whose kind is not known here.
    pub unknown_links: u64,
    /// Fragments of datagrams.
    pub fragments: u64,
    /// Those given up since their others never came.
    pub fragments_given_up: u64,
    /// Datagrams from or to a port of interest.
    pub datagrams: u64,
}

/// Finds datagrams in packets.
///
/// ```
/// use std::ops::ControlFlow;
///
/// use oneport_decode::{Datagrams, read};
///
/// # mod capture { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/capture.rs")); } use capture::*;
/// let mut datagrams = Datagrams::new(vec![24_569]);
/// read(CAPTURE, |packet| {
///     // Whatever lies below: Ethernet, VLANs, IPv4 or IPv6.
///     let ports = datagrams.find(&packet, |one| [one.source.port(), one.destination.port()]);
///     assert!(ports.is_some_and(|ports| ports.contains(&24_569)));
///     ControlFlow::Continue(())
/// })?;
/// assert_eq!(datagrams.counts().datagrams, datagrams.counts().packets);
/// # Ok::<(), oneport_decode::CaptureError>(())
/// ```
#[derive(Debug)]
pub struct Datagrams {
    ports: Vec<u16>,
    pool: IpDefragPool<Time>,
    waiting: usize,
    counts: PacketCounts,
}

impl Datagrams {
    /// Finds those from and to these ports.
    #[must_use]
    pub fn new(ports: Vec<u16>) -> Self {
        let counts = PacketCounts::default();
        Self { ports, pool: IpDefragPool::new(), waiting: 0, counts }
    }

    /// What was counted.
    #[must_use]
    pub const fn counts(&self) -> PacketCounts {
        self.counts
    }

    /// Shows the datagram of a packet, if it has one of interest.
    pub fn find<T>(
        &mut self,
        packet: &Packet<'_>,
        show: impl FnOnce(UdpDatagram<'_>) -> T,
    ) -> Option<T> {
        self.counts.packets += 1;
        let Some((kind, content)) = below_link(packet.link, packet.data) else {
            self.counts.unknown_links += u64::from(!is_known(packet.link));
            return None;
        };
        let sliced = LaxSlicedPacket::from_ether_type(kind, content);
        let (source, destination, payload) = match sliced.net.as_ref()? {
            LaxNetSlice::Ipv4(ip) => (
                IpAddr::V4(ip.header().source_addr()),
                IpAddr::V4(ip.header().destination_addr()),
                ip.payload(),
            ),
            LaxNetSlice::Ipv6(ip) => (
                IpAddr::V6(ip.header().source_addr()),
                IpAddr::V6(ip.header().destination_addr()),
                ip.payload(),
            ),
            LaxNetSlice::Arp(_) => return None,
        };
        if payload.ip_number != IpNumber::UDP {
            return None;
        }
        let whole;
        let udp = if payload.fragmented {
            whole = self.put_together(packet.time, kind, content)?;
            UdpSlice::from_slice_lax(&whole).ok()?
        } else {
            match sliced.transport? {
                TransportSlice::Udp(udp) => udp,
                _ => return None,
            }
        };
        let (from, to) = (udp.source_port(), udp.destination_port());
        if !(self.ports.contains(&from) || self.ports.contains(&to)) {
            return None;
        }
        self.counts.datagrams += 1;
        let said = usize::from(udp.length()).saturating_sub(UDP_HEADER);
        Some(show(UdpDatagram {
            number: packet.number,
            time: packet.time,
            source: SocketAddr::new(source, from),
            destination: SocketAddr::new(destination, to),
            payload: udp.payload(),
            missing: said.saturating_sub(udp.payload().len()),
        }))
    }

    /// The datagram that this is the last fragment of.
    fn put_together(&mut self, now: Time, kind: EtherType, content: &[u8]) -> Option<Vec<u8>> {
        self.counts.fragments += 1;
        if self.waiting >= MOST_FRAGMENTS {
            let (kept, removed) = (Cell::new(0), Cell::new(0));
            self.pool.retain(|came| {
                let stays = now.since(*came) < PATIENCE;
                kept.set(kept.get() + usize::from(stays));
                removed.set(removed.get() + u64::from(!stays));
                stays
            });
            self.counts.fragments_given_up += removed.get();
            self.waiting = kept.get();
            if self.waiting >= MOST_FRAGMENTS / 2 {
                // More than a capture of calls ever has: somebody floods.
                (self.pool, self.waiting) = (IpDefragPool::new(), 0);
            }
        }
        let fragment = SlicedPacket::from_ether_type(kind, content).ok()?;
        match self.pool.process_sliced_packet(&fragment, now, ()) {
            Ok(Some(whole)) => {
                self.waiting = self.waiting.saturating_sub(1);
                Some(whole.payload)
            }
            Ok(None) => {
                self.waiting += 1;
                None
            }
            Err(_) => {
                self.counts.fragments_given_up += 1;
                None
            }
        }
    }
}

const UDP_HEADER: usize = 8;

fn is_known(link: i32) -> bool {
    const ALL: [i32; 8] = [NULL, ETHERNET, RAW, LOOP, LINUX_SLL, LINUX_SLL2, IPV4, IPV6];
    ALL.contains(&link) || RAW_OTHERS.contains(&link)
}

/// What a packet carries, and what that is.
fn below_link(link: i32, data: &[u8]) -> Option<(EtherType, &[u8])> {
    let kind_at = |place: usize, header: usize| {
        let kind: [u8; 2] = data.get(place..place + 2)?.try_into().ok()?;
        Some((EtherType(u16::from_be_bytes(kind)), data.get(header..)?))
    };
    match link {
        ETHERNET => kind_at(12, 14),
        LINUX_SLL => kind_at(14, 16),
        LINUX_SLL2 => kind_at(0, 20),
        NULL | LOOP => Some((by_version(data.get(4..)?)?, data.get(4..)?)),
        IPV4 => Some((EtherType::IPV4, data)),
        IPV6 => Some((EtherType::IPV6, data)),
        link if link == RAW || RAW_OTHERS.contains(&link) => Some((by_version(data)?, data)),
        _ => None,
    }
}

/// Which IP it is by its first bits. The families of BSD tell nothing more, and IPv6 has four numbers there.
fn by_version(data: &[u8]) -> Option<EtherType> {
    match data.first()? >> 4 {
        4 => Some(EtherType::IPV4),
        6 => Some(EtherType::IPV6),
        _ => None,
    }
}
