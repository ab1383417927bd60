//! The way to whoever collects: UDP or TCP, found again when it is lost.

use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

/// How long a connection may take, or a packet until the other side takes it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(5);

enum Way {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

/// A way, as long as there is one.
pub(super) struct Wire {
    to: String,
    tcp: bool,
    way: Option<Way>,
    /// Not before then.
    again: Option<Instant>,
    /// Whether the log has said that it is lost.
    told: bool,
}

impl Wire {
    pub(super) const fn new(to: String, tcp: bool) -> Self {
        Self { to, tcp, way: None, again: None, told: false }
    }

    /// Sends a packet; whether it went.
    pub(super) fn send(&mut self, now: Instant, packet: &[u8]) -> bool {
        if self.way.is_none() {
            if self.again.is_some_and(|again| now < again) {
                return false;
            }
            match self.connect() {
                Ok(way) => self.way = Some(way),
                Err(error) => {
                    self.lost(now, &error);
                    return false;
                }
            }
        }
        let sent = match &mut self.way {
            Some(Way::Udp(socket)) => match socket.send(packet) {
                // Nobody listens at the moment: it is told of the packet before.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    socket.send(packet).map(drop)
                }
                sent => sent.map(drop),
            },
            Some(Way::Tcp(stream)) => stream.write_all(packet),
            None => return false,
        };
        match sent {
            Ok(()) => {
                if std::mem::take(&mut self.told) {
                    tracing::info!("HEP: packets go to {} again", self.to);
                }
                true
            }
            Err(error) => {
                self.lost(now, &error);
                false
            }
        }
    }

    fn lost(&mut self, now: Instant, error: &io::Error) {
        self.way = None;
        self.again = Some(now + PAUSE);
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!("HEP: no packets go to {}: {error}; it is tried again", self.to);
        }
    }

    fn connect(&self) -> io::Result<Way> {
        let mut last = io::Error::other("the host has no address");
        for address in self.to.to_socket_addrs()? {
            let way = if self.tcp { tcp(address) } else { udp(address) };
            match way {
                Ok(way) => return Ok(way),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

fn udp(address: SocketAddr) -> io::Result<Way> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    Ok(Way::Udp(socket))
}

fn tcp(address: SocketAddr) -> io::Result<Way> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(Way::Tcp(stream))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn packets_go_on_when_a_connection_that_was_lost_is_there_again() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let to = listener.local_addr().expect("it has one").to_string();
        let mut wire = Wire::new(to, true);
        let now = Instant::now();
        assert!(wire.send(now, b"one"));
        let (mut first, _) = listener.accept().expect("a connection");
        let mut got = [0; 3];
        first.read_exact(&mut got).expect("a packet");
        assert_eq!(&got, b"one");
        drop(first);
        // The system tells of the loss by one of the next packets.
        let lost = (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            !wire.send(now, b"two")
        });
        assert!(lost && !wire.send(now, b"not yet"));
        assert!(wire.send(now + PAUSE, b"three"));
        let (mut second, _) = listener.accept().expect("another");
        let mut got = [0; 5];
        second.read_exact(&mut got).expect("a packet");
        assert_eq!(&got, b"three");
    }

    #[test]
    fn a_host_that_is_not_there_is_tried_now_and_then_only() {
        let mut wire = Wire::new("no.such.host.invalid:9060".into(), false);
        let now = Instant::now();
        assert!(!wire.send(now, b"x"));
        assert_eq!(wire.again, Some(now + PAUSE));
        assert!(!wire.send(now + Duration::from_secs(1), b"x"));
        assert_eq!(wire.again, Some(now + PAUSE));
    }
}
