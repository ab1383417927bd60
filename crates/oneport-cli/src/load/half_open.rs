//! Calls that begin and never go on: a flood for one's own box, to see what it keeps of them, and whether the
//! calls beside them suffer.
//!
//! Each asks for a call token, comes again with it, and then says nothing more, from a port of its own among
//! the numbers of one sender.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use oneport_wire::{
    CallNumber, Datagram, Element, ElementBuffer, FullHeader, IaxSubclass, Message, Seq, Timestamp,
};
use serde::Serialize;

/// How often some are sent.
const BEAT: Duration = Duration::from_millis(5);
/// Those of so long a time may begin at once after a pause.
const LARGEST_BURST: Duration = Duration::from_millis(50);
/// Call numbers that are used in turn: 1 is the one that answers of nobody have.
const NUMBERS: std::ops::RangeInclusive<u16> = 2..=32_767;

/// What was sent, and what came back.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Flood {
    /// Calls that were begun, and those of them that came again with a call token.
    pub(crate) begun: u64,
    pub(crate) with_token: u64,
    /// Answers, by their kind.
    pub(crate) answers: BTreeMap<String, u64>,
    /// Bytes of datagrams, there and back.
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
}

impl Flood {
    /// As somebody reads it.
    pub(crate) fn line(&self) -> String {
        let answers: Vec<String> =
            self.answers.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let back = match self.bytes_sent {
            0 => 0.0,
            sent => self.bytes_received as f64 / sent as f64,
        };
        let answers = if answers.is_empty() { "nothing".into() } else { answers.join(", ") };
        format!(
            "{} begun, {} with a token; answered by {answers}; {back:.2} bytes back for each sent",
            self.begun, self.with_token
        )
    }
}

/// A flood under way. Dropping it ends it.
pub(crate) struct HalfOpen {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<Flood>>,
}

impl HalfOpen {
    /// Begins `rate` calls in a second at `to`, as `user`.
    ///
    /// # Errors
    /// The system gives no socket or thread.
    pub(crate) fn start(
        to: SocketAddr,
        user: Option<String>,
        number: String,
        rate: f64,
    ) -> io::Result<Self> {
        let any: SocketAddr = match to {
            SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
            SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        socket.connect(to)?;
        socket.set_read_timeout(Some(BEAT))?;
        let ends = Arc::new(AtomicBool::new(false));
        let told = ends.clone();
        let thread = thread::Builder::new()
            .name("half-open".into())
            .spawn(move || flood(&socket, &told, user.as_deref(), &number, rate))?;
        Ok(Self { ends, thread: Some(thread) })
    }

    /// Ends it, and gives what was counted.
    pub(crate) fn stop(mut self) -> Flood {
        self.ends.store(true, Ordering::Relaxed);
        let thread = self.thread.take();
        thread.and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Drop for HalfOpen {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

/// Whether somebody may be flooded who is at this address: this machine, or a network of one's own.
pub(crate) fn is_own(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// NEW, with an empty token or with the one that was given.
fn new(
    number: CallNumber,
    timestamp: Timestamp,
    user: Option<&str>,
    called: &str,
    token: &[u8],
) -> Vec<u8> {
    let mut elements = ElementBuffer::new();
    elements.push(&Element::Version(2));
    elements.push(&Element::CalledNumber(called.into()));
    if let Some(user) = user {
        elements.push(&Element::Username(user.into()));
    }
    elements.push(&Element::CallToken(token));
    let header = FullHeader {
        source: number,
        destination: CallNumber::NONE,
        retransmission: false,
        timestamp,
        oseq: Seq::ZERO,
        iseq: Seq::ZERO,
    };
    let mut bytes = Vec::new();
    Message::iax(IaxSubclass::New, elements.as_elements()).encode(&header, &mut bytes);
    bytes
}

fn flood(
    socket: &UdpSocket,
    ends: &AtomicBool,
    user: Option<&str>,
    called: &str,
    rate: f64,
) -> Flood {
    let mut flood = Flood::default();
    let mut numbers = NUMBERS.cycle();
    let (mut earned, mut looked) = (0.0_f64, Instant::now());
    let mut datagram = [0; 2_048];
    let most = (rate * LARGEST_BURST.as_secs_f64()).max(1.0);
    while !ends.load(Ordering::Relaxed) {
        let now = Instant::now();
        earned = (earned + rate * (now - looked).as_secs_f64()).min(most);
        looked = now;
        while earned >= 1.0 {
            earned -= 1.0;
            let Some(number) = numbers.next() else { break };
            let bytes = new(CallNumber::from_bits(number), Timestamp(0), user, called, &[]);
            // What the system does not take is not counted.
            if socket.send(&bytes).is_ok() {
                flood.begun += 1;
                flood.bytes_sent += bytes.len() as u64;
            }
        }
        let until = now + BEAT;
        loop {
            match socket.recv(&mut datagram) {
                Ok(length) => {
                    flood.bytes_received += length as u64;
                    answer(socket, &mut flood, &datagram[..length], user, called);
                }
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    *flood.answers.entry("nobody is there".into()).or_default() += 1;
                }
                Err(_) => break,
            }
            if Instant::now() >= until {
                break;
            }
        }
    }
    flood
}

/// Counts an answer, and comes again where it is a token.
fn answer(
    socket: &UdpSocket,
    flood: &mut Flood,
    datagram: &[u8],
    user: Option<&str>,
    called: &str,
) {
    let Ok(Datagram::Full(frame)) = Datagram::decode(datagram) else { return };
    let Ok(Message::Iax { subclass, elements }) = frame.message() else { return };
    *flood.answers.entry(subclass.to_string()).or_default() += 1;
    let token = elements.iter().find_map(|element| match element {
        Element::CallToken(token) => Some(token),
        _ => None,
    });
    if let (IaxSubclass::CallToken, Some(token)) = (subclass, token) {
        let bytes = new(frame.header.destination, Timestamp(1), user, called, token);
        if socket.send(&bytes).is_ok() {
            flood.with_token += 1;
            flood.bytes_sent += bytes.len() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ones_own_networks_are_flooded() {
        for own in ["127.0.0.1", "10.1.2.3", "192.168.1.1", "::1", "fd00::1", "::ffff:127.0.0.1"] {
            assert!(is_own(own.parse().expect("an address")), "{own}");
        }
        for other in ["192.0.2.1", "8.8.8.8", "2001:db8::1"] {
            assert!(!is_own(other.parse().expect("an address")), "{other}");
        }
    }
}
