//! Where voice comes fast it is taken in few turns, and who comes slowly waits for nothing.

use std::collections::HashSet;
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use oneport::{Application, Driver, DriverConfig, Sees};
use oneport_proto::{Endpoint, Event};

/// Notes at which moments something was taken, and how much.
#[derive(Default)]
struct Watcher {
    turns: HashSet<oneport_proto::Instant>,
    frames: u32,
}

impl Application for Watcher {
    fn handle_event(&mut self, _: &mut Endpoint, _: oneport_proto::Instant, _: Event) {}

    fn sees(&self) -> Sees {
        Sees::All
    }

    fn see_received(
        &mut self,
        now: oneport_proto::Instant,
        _: SocketAddr,
        _: SocketAddr,
        _: &[u8],
    ) {
        self.turns.insert(now);
        self.frames += 1;
    }
}

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many turns and frames there were when so many of this datagram came, such a time apart.
async fn turns_of(
    gather: Duration,
    datagram: &'static [u8],
    frames: u32,
    apart: Duration,
) -> (usize, usize) {
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    let config = DriverConfig { listen, gather, ..DriverConfig::default() };
    let driver = Driver::start(config, Watcher::default()).expect("started");
    let to = driver.local_addresses()[0];
    let sender = thread::spawn(move || {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
        let mut next = Instant::now();
        for _ in 0..frames {
            socket.send_to(datagram, to).expect("sent");
            next += apart;
            while Instant::now() < next {
                thread::yield_now();
            }
        }
    });
    sender.join().expect("all are sent");
    let begun = Instant::now();
    loop {
        let seen = driver.with(|_, watcher, _| (watcher.turns.len(), watcher.frames));
        let seen = seen.await.expect("it runs");
        // The kernel may have dropped some at a thread that stood still.
        if seen.1 * 10 > frames * 9 {
            driver.stop().await;
            return (seen.0, seen.1 as usize);
        }
        assert!(begun.elapsed() < PATIENCE, "{seen:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A mini frame of a call that there is not.
const MINI: &[u8] = &[0x00, 0x05, 0, 0, 0xFF];
/// A full frame of it, an ACK.
const FULL: &[u8] = &[0x80, 0x05, 0, 0, 0, 0, 0, 0, 0, 0, 6, 4];

/// So long that no busy machine keeps a thread waiting as long each time.
const GATHER: Duration = Duration::from_millis(50);

#[tokio::test]
async fn voice_that_comes_fast_shares_turns() {
    let apart = Duration::from_micros(200);
    let (turns, frames) = turns_of(GATHER, MINI, 6_000, apart).await;
    // Some 250 in each, but for the first.
    assert!(turns * 40 < frames, "{turns} turns for {frames} frames");
}

#[tokio::test]
async fn signalling_that_comes_fast_does_not() {
    let apart = Duration::from_micros(200);
    let (turns, frames) = turns_of(GATHER, FULL, 6_000, apart).await;
    assert!(turns * 80 > frames, "{turns} turns for {frames} frames");
}

#[tokio::test]
async fn voice_that_comes_slowly_is_taken_as_it_comes() {
    let apart = Duration::from_millis(50);
    let (turns, frames) = turns_of(Duration::from_millis(100), MINI, 20, apart).await;
    // Were it to gather, there would be two in each.
    assert!(turns * 20 > frames * 12, "{turns} turns for {frames} frames");
}
