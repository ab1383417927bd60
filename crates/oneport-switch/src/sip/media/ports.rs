//! The range of ports of media, in pairs: an even one for RTP, the next for RTCP (RFC 3550 §11).

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;

use socket2::{Domain, Protocol, Socket, Type};

use super::NoPort;

/// Bytes asked for in each direction: one stream has some 100 packets in a second.
const BUFFER: usize = 64 << 10;

/// One pair of sockets and its place in the range.
pub(super) struct Pair {
    pub(super) index: u16,
    pub(super) rtp: UdpSocket,
    pub(super) rtcp: UdpSocket,
}

/// Which pairs are free. A pair that is given back waits until all others have been used, so that what is
/// late of a call comes to nobody.
#[derive(Debug)]
pub(super) struct Ports {
    address: IpAddr,
    first: u16,
    pairs: u16,
    free: VecDeque<u16>,
}

impl Ports {
    pub(super) fn new(address: IpAddr, range: &RangeInclusive<u16>) -> Self {
        let first = range.start().checked_add(range.start() % 2).unwrap_or(u16::MAX - 1).max(2);
        let pairs = (u32::from(*range.end()) + 1).saturating_sub(first.into()) / 2;
        let pairs = u16::try_from(pairs).unwrap_or(u16::MAX);
        let mut free: Vec<u16> = (0..pairs).collect();
        // Nobody knows which port the next call has.
        fastrand::shuffle(&mut free);
        Self { address, first, pairs, free: free.into() }
    }

    pub(super) const fn pairs(&self) -> u16 {
        self.pairs
    }

    pub(super) fn free(&self) -> usize {
        self.free.len()
    }

    /// Binds a pair; those that somebody else uses are left out.
    pub(super) fn take(&mut self) -> Result<Pair, NoPort> {
        for _ in 0..self.free.len() {
            let Some(index) = self.free.pop_front() else { break };
            let port = self.first + 2 * index;
            match bind(self.address, port).and_then(|rtp| Ok((rtp, bind(self.address, port + 1)?)))
            {
                Ok((rtp, rtcp)) => return Ok(Pair { index, rtp, rtcp }),
                Err(error) => {
                    self.free.push_back(index);
                    if error.kind() != io::ErrorKind::AddrInUse {
                        return Err(NoPort::System(error));
                    }
                }
            }
        }
        Err(NoPort::AllInUse { pairs: self.pairs })
    }

    pub(super) fn give_back(&mut self, index: u16) {
        self.free.push_back(index);
    }
}

fn bind(address: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let address = SocketAddr::new(address, port);
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    // Less than asked for is no error.
    let _ = socket.set_recv_buffer_size(BUFFER);
    socket.bind(&address.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_begin_at_even_ports_within_the_range() {
        let here = IpAddr::from([127, 0, 0, 1]);
        for (range, first, pairs) in [
            (10_000..=10_003, 10_000, 2),
            (10_001..=10_004, 10_002, 1),
            (10_001..=10_002, 10_002, 0),
            (65_534..=65_535, 65_534, 1),
            (0..=5, 2, 2),
        ] {
            let ports = Ports::new(here, &range);
            assert_eq!((ports.first, ports.pairs()), (first, pairs), "{range:?}");
        }
    }
}
