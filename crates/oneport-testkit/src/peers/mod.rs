//! Real peers: Asterisk, iaxmodem, sipp, baresip and Chromium, ffmpeg, which hears codecs, tshark to look over
//! everybody's shoulder, the database servers that a store may be on, Prometheus, which collects metrics, and those that collect traces.
//!
//! All come from Debian, but axe-core, which npm has, and who collects traces, which PyPI has. A peer that is missing is an error that says how to
//! get it, never a reason to skip a test.

pub mod asterisk;
pub mod baresip;
pub mod certificates;
pub mod chromium;
pub mod collector;
pub mod database;
pub mod iaxmodem;
mod install;
pub mod kamailio;
mod place;
pub mod prometheus;
pub mod sipp;
pub mod tshark;

pub use install::{
    Missing, codec_features, debootstrap, install_all, install_libraries, mdbook, program_of,
};

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// Ports that the system gives to nobody who asks for just any.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// Holds the TCP port of each UDP port that [`free_port`] has given: a lock that all processes see.
static PORTS_TAKEN: Mutex<Vec<TcpListener>> = Mutex::new(Vec::new());

/// A UDP port of 127.0.0.1 that is free, and that no other caller gets as long as this process
/// lives.
///
/// # Panics
/// There is none.
#[must_use]
pub fn free_port() -> u16 {
    let mut taken = PORTS_TAKEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let count = PORTS.end - PORTS.start;
    // Each process begins elsewhere.
    let start = std::process::id().wrapping_mul(101) % u32::from(count);
    let start = PORTS.start + u16::try_from(start).expect("less than the count");
    for port in (start..PORTS.end).chain(PORTS.start..start) {
        let Ok(lock) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) else { continue };
        if UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            taken.push(lock);
            return port;
        }
    }
    panic!("all ports from {} to {} are in use", PORTS.start, PORTS.end)
}

/// Whether somebody has bound this UDP port of IPv4. Nothing is bound to find out, which could be in the way of
/// whoever is just about to.
///
/// # Panics
/// The system is no Linux.
#[must_use]
pub fn is_bound(port: u16) -> bool {
    let text = std::fs::read_to_string("/proc/net/udp").expect("Linux");
    let local = |line: &str| {
        let (_, port) = line.split_whitespace().nth(1)?.rsplit_once(':')?;
        u16::from_str_radix(port, 16).ok()
    };
    text.lines().skip(1).any(|line| local(line) == Some(port))
}

/// An address of the loopback that no other test of this machine uses, for peers that know no port
/// but 4569.
///
/// # Panics
/// All of them are in use.
#[must_use]
pub fn own_loopback() -> Ipv4Addr {
    // A port that is ours alone makes an address that is ours alone.
    let [high, low] = free_port().to_be_bytes();
    Ipv4Addr::new(127, 69, high, low)
}

/// Asks `what` until it says yes.
///
/// # Panics
/// It does not within `patience`.
pub fn wait_for(what: &str, patience: Duration, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < patience, "waited {patience:?} in vain for: {what}");
        thread::sleep(Duration::from_millis(100));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once() {
        let ports: std::collections::BTreeSet<u16> = (0..20).map(|_| free_port()).collect();
        assert_eq!(ports.len(), 20);
        assert_ne!(own_loopback(), own_loopback());
    }

    #[test]
    fn a_port_is_bound_as_long_as_somebody_has_it() {
        let port = free_port();
        assert!(!is_bound(port));
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).expect("it is free");
        assert!(is_bound(port));
        drop(socket);
        assert!(!is_bound(port));
    }
}
