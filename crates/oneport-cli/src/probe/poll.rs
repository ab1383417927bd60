//! Polls (POKE) by a socket of their own: never fragmented, of any length, and with the ears open for what
//! routers and firewalls say of them (ICMP).

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket as StdSocket};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use nix::libc;
use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv6RecvErr, UdpGroSegment};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt};
use oneport_wire::{
    CallNumber, Datagram, Element, ElementBuffer, FullFrame, FullHeader, IaxSubclass, Message, Seq,
    Timestamp,
};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::{self, Instant};

/// Bytes of headers of IP and UDP before a datagram to `to`.
pub(crate) const fn headers(to: SocketAddr) -> usize {
    match to {
        SocketAddr::V4(_) => 28,
        SocketAddr::V6(_) => 48,
    }
}

/// Any address of ours, from which `to` can be reached.
pub(crate) fn any_towards(to: SocketAddr) -> SocketAddr {
    match to {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
    }
}

/// Why a datagram did not arrive, as somebody on the way says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Why {
    /// The host is there, and nothing listens on the port.
    PortClosed,
    /// A firewall forbids it.
    Prohibited,
    /// Nobody has the address, or no way leads there.
    Unreachable,
    /// It goes round in circles.
    Expired,
    /// It is longer than so many bytes of IP, which would pass; 0: that is not told.
    TooLong(usize),
}

/// That, and who says so; `None`: this machine itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Refusal {
    pub(crate) why: Why,
    pub(crate) by: Option<IpAddr>,
}

impl Why {
    /// Its name in the report.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::PortClosed => "port_closed",
            Self::Prohibited => "prohibited",
            Self::Unreachable => "unreachable",
            Self::Expired => "expired",
            Self::TooLong(_) => "too_long",
        }
    }

    /// What mends it.
    pub(crate) const fn remedy(self) -> &'static str {
        match self {
            Self::PortClosed => {
                "start the IAX2 server there, or give the port it listens on behind the host: HOST:PORT"
            }
            Self::Prohibited => "let UDP 4569 pass in that firewall, both ways",
            Self::Unreachable => "check the address, and the routes and the line on the way to it",
            Self::Expired => "mend the routes: they lead round in a circle",
            Self::TooLong(_) => "send shorter datagrams: a smaller trunk MTU, or shorter frames",
        }
    }
}

/// In words, without what was sent.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.by {
            Some(by) => write!(f, "{by} says: ")?,
            None => f.write_str("this machine says: ")?,
        }
        match self.why {
            Why::PortClosed => f.write_str("nothing listens on that port"),
            Why::Prohibited => f.write_str("a firewall forbids it"),
            Why::Unreachable => f.write_str("no way leads there"),
            Why::Expired => f.write_str("it goes round in circles"),
            Why::TooLong(0) => f.write_str("it is too long"),
            Why::TooLong(fits) => write!(f, "it is longer than the {fits} bytes that pass"),
        }
    }
}

/// What became of one poll.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// It was answered.
    Answered {
        /// After so long.
        rtt: Duration,
        /// Where the other end saw us, if it says that.
        seen_at: Option<SocketAddr>,
        /// Who answered: not always who was asked.
        from: SocketAddr,
    },
    /// Nothing came in time.
    Silence,
    /// Somebody says why it did not arrive.
    Refused(Refusal),
}

/// A socket that polls.
pub(crate) struct Poller {
    socket: UdpSocket,
    to: SocketAddr,
    begun: Instant,
    /// The call number of the last poll.
    number: u16,
}

impl Poller {
    /// One of a port of its own.
    pub(crate) fn new(to: SocketAddr) -> io::Result<Self> {
        let socket = StdSocket::bind(any_towards(to))?;
        // What is meant of it is that the system sets DF and sends whatever the interface takes.
        quinn_udp::UdpSocketState::new((&socket).into())?;
        // Joined datagrams would be read as one. A system that knows neither has neither.
        let _ = setsockopt(&socket, UdpGroSegment, &false);
        let _ = match to {
            SocketAddr::V4(_) => setsockopt(&socket, Ipv4RecvErr, &true),
            SocketAddr::V6(_) => setsockopt(&socket, Ipv6RecvErr, &true),
        };
        let socket = UdpSocket::from_std(socket)?;
        // So that what still comes for a process before this one is not taken for ours.
        let number = fastrand::u16(2..0x4000);
        Ok(Self { socket, to, begun: Instant::now(), number })
    }

    /// The port that it sends from.
    pub(crate) fn port(&self) -> io::Result<u16> {
        Ok(self.socket.local_addr()?.port())
    }

    /// Polls somebody else from now on.
    pub(crate) const fn turn_to(&mut self, to: SocketAddr) {
        self.to = to;
    }

    /// Polls once.
    pub(crate) async fn poll(&mut self, timeout: Duration) -> io::Result<Outcome> {
        self.poll_by(0, timeout).await
    }

    /// Polls once by an IP packet of `size` bytes, or as short as a poll may be.
    pub(crate) async fn poll_by(&mut self, size: usize, timeout: Duration) -> io::Result<Outcome> {
        let poll = self.next_poll(size);
        let sent = Instant::now();
        if let Err(error) = self.socket.send_to(&poll, self.to).await {
            return match self.refusal() {
                Some(refusal) => Ok(Outcome::Refused(refusal)),
                None => refusal_of(&error).map(Outcome::Refused).ok_or(error),
            };
        }
        let mut buffer = [0; 2_048];
        let outcome = time::timeout_at(sent + timeout, async {
            loop {
                self.socket.ready(Interest::READABLE | Interest::ERROR).await?;
                if let Some(refusal) = self.refusal() {
                    return Ok(Outcome::Refused(refusal));
                }
                match self.socket.try_recv_from(&mut buffer) {
                    Ok((length, from)) => {
                        let rtt = sent.elapsed();
                        if let Some(seen_at) = self.read(&buffer[..length]) {
                            return Ok(Outcome::Answered { rtt, seen_at, from });
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    // Its whole story lies in the queue of errors, which is read next.
                    Err(error) => {
                        let refusal = self.refusal().or_else(|| refusal_of(&error));
                        return refusal.map(Outcome::Refused).ok_or(error);
                    }
                }
            }
        });
        outcome.await.unwrap_or(Ok(Outcome::Silence))
    }

    /// Waits until somebody polls this socket; whether that was before `until`.
    pub(crate) async fn is_polled(&self, until: Instant) -> bool {
        let mut buffer = [0; 2_048];
        let polled = time::timeout_at(until, async {
            loop {
                // What routers say of polls of before is of no account.
                let Ok((length, _)) = self.socket.recv_from(&mut buffer).await else { continue };
                let Ok(Datagram::Full(frame)) = Datagram::decode(&buffer[..length]) else {
                    continue;
                };
                let message = frame.message();
                if matches!(message, Ok(Message::Iax { subclass: IaxSubclass::Poke, .. })) {
                    return;
                }
            }
        });
        polled.await.is_ok()
    }

    fn next_poll(&mut self, size: usize) -> Vec<u8> {
        self.number = if self.number >= 0x3FFF { 2 } else { self.number + 1 };
        let millis = u32::try_from(self.begun.elapsed().as_millis()).unwrap_or_default();
        let header = FullHeader {
            source: CallNumber::from_bits(self.number),
            destination: CallNumber::NONE,
            retransmission: false,
            timestamp: Timestamp(millis),
            oseq: Seq::ZERO,
            iseq: Seq::ZERO,
        };
        // As Asterisk's has; and it leaves room for our address in the answer.
        let mut elements = ElementBuffer::new();
        elements.push(&Element::CallToken(&[]));
        let room = size.saturating_sub(headers(self.to) + FullFrame::HEADER_LEN + 2);
        for filling in filling(room) {
            elements.push(&Element::CallToken(&[0; 255][..filling]));
        }
        let mut poll = Vec::with_capacity(size);
        Message::iax(IaxSubclass::Poke, elements.as_elements()).encode(&header, &mut poll);
        poll
    }

    /// Where we were seen, if the datagram answers the last poll.
    fn read(&self, datagram: &[u8]) -> Option<Option<SocketAddr>> {
        let Ok(Datagram::Full(frame)) = Datagram::decode(datagram) else { return None };
        let ours = frame.header.destination == CallNumber::from_bits(self.number);
        match frame.message() {
            Ok(Message::Iax { subclass: IaxSubclass::Pong, elements }) if ours => {
                Some(elements.iter().find_map(|element| match element {
                    Element::ApparentAddress(address) => Some(address),
                    _ => None,
                }))
            }
            _ => None,
        }
    }

    /// What somebody has said of something that was sent.
    fn refusal(&self) -> Option<Refusal> {
        let file = self.socket.as_fd().as_raw_fd();
        self.socket.try_io(Interest::ERROR, || next_error(file)).ok().flatten()
    }
}

/// Lengths of elements' contents that fill so many bytes, their headers of two bytes each included. One
/// byte that is left over is left out of the packet.
fn filling(mut room: usize) -> Vec<usize> {
    let mut contents = Vec::new();
    while room >= 2 {
        // Never leaves a single byte.
        let content = match room - 2 {
            whole @ ..=255 => whole,
            256 => 254,
            _ => 255,
        };
        contents.push(content);
        room -= content + 2;
    }
    contents
}

/// Takes the next of the system's queue of errors of a socket. `None`: it is nothing that concerns us.
fn next_error(file: RawFd) -> io::Result<Option<Refusal>> {
    let mut bytes = [0; 256];
    let mut slices = [IoSliceMut::new(&mut bytes)];
    let mut control = nix::cmsg_space!([u8; 128]);
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<SockaddrStorage>(file, &mut slices, Some(&mut control), flags)?;
    for part in message.cmsgs()? {
        let (error, by) = match part {
            ControlMessageOwned::Ipv4RecvErr(error, by) => {
                (error, by.map(|by| IpAddr::from(u32::from_be(by.sin_addr.s_addr).to_be_bytes())))
            }
            ControlMessageOwned::Ipv6RecvErr(error, by) => {
                (error, by.map(|by| IpAddr::from(by.sin6_addr.s6_addr)))
            }
            _ => continue,
        };
        let by = by.filter(|_| error.ee_origin != libc::SO_EE_ORIGIN_LOCAL);
        let Some(why) = why(error.ee_errno.cast_signed(), by.is_some(), &error) else { continue };
        return Ok(Some(Refusal { why, by }));
    }
    Ok(None)
}

/// What an error number means of a datagram.
fn why(number: i32, is_told: bool, error: &libc::sock_extended_err) -> Option<Why> {
    /// "Communication administratively prohibited" of ICMP, for the network, the host and by a filter.
    const PROHIBITED: [u8; 3] = [9, 10, 13];
    let is_v4 = error.ee_origin == libc::SO_EE_ORIGIN_ICMP && error.ee_type == 3;
    let is_v6 = error.ee_origin == libc::SO_EE_ORIGIN_ICMP6 && error.ee_type == 1;
    if (is_v4 && PROHIBITED.contains(&error.ee_code)) || (is_v6 && error.ee_code == 1) {
        return Some(Why::Prohibited);
    }
    let expired = error.ee_origin == libc::SO_EE_ORIGIN_ICMP && error.ee_type == 11;
    if is_told && (expired || (error.ee_origin == libc::SO_EE_ORIGIN_ICMP6 && error.ee_type == 3)) {
        return Some(Why::Expired);
    }
    let too_long = || Why::TooLong(usize::try_from(error.ee_info).unwrap_or_default());
    why_of_number(number).or_else(|| (number == libc::EMSGSIZE).then(too_long))
}

fn why_of_number(number: i32) -> Option<Why> {
    match number {
        libc::ECONNREFUSED => Some(Why::PortClosed),
        libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EHOSTDOWN | libc::ENETDOWN => {
            Some(Why::Unreachable)
        }
        libc::EACCES | libc::EPERM => Some(Why::Prohibited),
        _ => None,
    }
}

/// The same where the queue says nothing.
fn refusal_of(error: &io::Error) -> Option<Refusal> {
    let number = error.raw_os_error()?;
    let too_long = || (number == libc::EMSGSIZE).then_some(Why::TooLong(0));
    why_of_number(number).or_else(too_long).map(|why| Refusal { why, by: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local() -> StdSocket {
        StdSocket::bind("127.0.0.1:0").expect("a socket")
    }

    #[tokio::test]
    async fn a_poll_has_exactly_the_length_that_is_wanted() {
        let far = local();
        let to = far.local_addr().expect("bound");
        let mut poller = Poller::new(to).expect("a socket");
        for size in [42, 44, 300, 301, 302, 576, 1_280, 1_499, 1_500] {
            let _ = poller.poll_by(size, Duration::from_millis(1)).await.expect("sent");
            let mut buffer = [0; 2_000];
            let (length, _) = far.recv_from(&mut buffer).expect("it came");
            assert_eq!(length + headers(to), size);
            let Ok(Datagram::Full(frame)) = Datagram::decode(&buffer[..length]) else {
                panic!("no full frame")
            };
            assert!(matches!(
                frame.message(),
                Ok(Message::Iax { subclass: IaxSubclass::Poke, .. })
            ));
        }
    }

    #[tokio::test]
    async fn a_closed_port_is_told_at_once_and_by_whom() {
        let closed = local().local_addr().expect("bound");
        let mut poller = Poller::new(closed).expect("a socket");
        let outcome = poller.poll(Duration::from_secs(60)).await.expect("sent");
        let by = Some(closed.ip());
        assert_eq!(outcome, Outcome::Refused(Refusal { why: Why::PortClosed, by }));
    }

    #[tokio::test]
    async fn what_is_no_answer_to_this_poll_is_silence() {
        let far = local();
        far.set_nonblocking(true).expect("set");
        let mut poller = Poller::new(far.local_addr().expect("bound")).expect("a socket");
        let port = poller.port().expect("bound");
        for noise in [&b"junk"[..], &[0x80, 1, 0x80, 1, 0, 0, 0, 0, 0, 0, 6, 3]] {
            far.send_to(noise, ("127.0.0.1", port)).expect("sent");
        }
        let outcome = poller.poll(Duration::from_millis(50)).await.expect("sent");
        assert_eq!(outcome, Outcome::Silence);
    }

    #[tokio::test]
    async fn a_datagram_longer_than_the_interface_takes_is_refused_by_this_machine() {
        let mut poller = Poller::new(local().local_addr().expect("bound")).expect("a socket");
        // No UDP datagram is as long as that.
        let outcome = poller.poll_by(70_000, Duration::from_secs(60)).await.expect("told");
        let Outcome::Refused(Refusal { why: Why::TooLong(_), by: None }) = outcome else {
            panic!("{outcome:?}")
        };
    }
}
