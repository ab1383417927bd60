//! Real peers: Asterisk and iaxmodem, and tshark to look over everybody's shoulder.
//!
//! All come from Debian. A peer that is missing is an error that says how to get it, never a
//! reason to skip a test.

pub mod asterisk;
pub mod iaxmodem;
mod install;
pub mod tshark;

pub(crate) use install::program_of;
pub use install::{Missing, install_all};

use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

/// A UDP port of 127.0.0.1 that nobody used a moment ago.
#[must_use]
pub fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("the loopback has ports");
    socket.local_addr().expect("it is bound").port()
}

/// Asks `what` until it says yes.
///
/// # Panics
/// It does not within `patience`.
pub fn wait_for(what: &str, patience: Duration, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < patience, "waited {patience:?} in vain for: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}
