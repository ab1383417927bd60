//! A bad link between real sockets: a UDP relay in user space that loses, delays, repeats, reorders and
//! holds up datagrams as an [`Impairment`] says, each direction by itself.
//!
//! Whoever would send to the far end sends to [`Relay::address`]. Each of those has a socket of its own
//! towards the far end, which therefore sees them at different addresses of the loopback, as behind a NAT.
//! It needs no rights, and is no more exact than the system's timers are, about a millisecond.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::impairment::{Fate, Impairment, Link};

/// How often a thread looks whether it is to end.
const GLANCE: Duration = Duration::from_millis(50);

/// Datagrams that wait at the same time; more are lost, as in any machine.
const MOST_WAITING: usize = 65_536;

/// Who may send at the same time; a datagram of another one is lost.
const MOST_CLIENTS: usize = 4_096;

/// A datagram under way, by when it is due.
type Waiting = Reverse<(Duration, u64, Leaving)>;

/// Where a datagram leaves.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Leaving {
    to: SocketAddr,
    /// The client's number, by which its socket is found; `None`: by the socket that clients see.
    by: Option<usize>,
    bytes: Vec<u8>,
}

struct State {
    /// To the far end, and back.
    links: [Link; 2],
    waiting: BinaryHeap<Waiting>,
    serial: u64,
    sockets: Vec<Arc<UdpSocket>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    begun: Instant,
    ends: AtomicBool,
    /// Datagrams that came to the relay from clients, and from the far end.
    passed: [AtomicU64; 2],
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ends(&self) -> bool {
        self.ends.load(Ordering::Relaxed)
    }

    /// A datagram enters the link of this direction.
    fn enter(&self, way: usize, to: SocketAddr, by: Option<usize>, bytes: &[u8]) {
        self.passed[way].fetch_add(1, Ordering::Relaxed);
        let now = self.begun.elapsed();
        let mut state = self.lock();
        let Fate { arrives, copy } = state.links[way].pass(now, bytes.len());
        for due in [arrives, copy].into_iter().flatten() {
            if state.waiting.len() < MOST_WAITING {
                state.serial += 1;
                let leaving = Leaving { to, by, bytes: bytes.to_vec() };
                let serial = state.serial;
                state.waiting.push(Reverse((due, serial, leaving)));
            }
        }
        drop(state);
        self.changed.notify_one();
    }
}

/// A running relay. It ends when it is dropped.
pub struct Relay {
    shared: Arc<Shared>,
    address: SocketAddr,
    threads: Vec<JoinHandle<()>>,
}

impl Relay {
    /// Begins to relay to `far`: `there` is done to datagrams on the way to it, `back` on the way back. Of
    /// the same seed and datagrams the same are lost.
    ///
    /// # Errors
    /// The system gives no socket.
    pub fn start(
        far: SocketAddr,
        there: Impairment,
        back: Impairment,
        seed: u64,
    ) -> io::Result<Self> {
        let front = Arc::new(UdpSocket::bind("127.0.0.1:0")?);
        front.set_read_timeout(Some(GLANCE))?;
        let address = front.local_addr()?;
        let links = [Link::new(seed, there), Link::new(seed ^ 0x5EED, back)];
        let state = State { links, waiting: BinaryHeap::new(), serial: 0, sockets: Vec::new() };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
            begun: Instant::now(),
            ends: AtomicBool::new(false),
            passed: [AtomicU64::new(0), AtomicU64::new(0)],
        });
        let (listens, sends) = (shared.clone(), shared.clone());
        let socket = front.clone();
        let threads = vec![
            thread::spawn(move || listen(&listens, &socket, far)),
            thread::spawn(move || send(&sends, &front)),
        ];
        Ok(Self { shared, address, threads })
    }

    /// Where clients send to.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Does something else to datagrams from now on; those under way stay as they are.
    pub fn change(&self, there: Impairment, back: Impairment) {
        let mut state = self.shared.lock();
        state.links[0].impairment = there;
        state.links[1].impairment = back;
    }

    /// How many datagrams came to the relay on the way there, and on the way back.
    #[must_use]
    pub fn passed(&self) -> (u64, u64) {
        let [there, back] = &self.shared.passed;
        (there.load(Ordering::Relaxed), back.load(Ordering::Relaxed))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Takes what clients send.
fn listen(shared: &Arc<Shared>, front: &UdpSocket, far: SocketAddr) {
    let mut clients: HashMap<SocketAddr, usize> = HashMap::new();
    let mut readers = Vec::new();
    let mut buffer = vec![0; 65_536];
    while !shared.ends() {
        let Ok((length, from)) = front.recv_from(&mut buffer) else { continue };
        let known = clients.get(&from).copied();
        let number = known.or_else(|| {
            if clients.len() >= MOST_CLIENTS {
                return None;
            }
            let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").ok()?);
            socket.set_read_timeout(Some(GLANCE)).ok()?;
            let mut state = shared.lock();
            state.sockets.push(socket.clone());
            let number = state.sockets.len() - 1;
            drop(state);
            clients.insert(from, number);
            let shared = shared.clone();
            readers.push(thread::spawn(move || answer(&shared, &socket, from)));
            Some(number)
        });
        if let Some(number) = number {
            shared.enter(0, far, Some(number), &buffer[..length]);
        }
    }
    for reader in readers {
        let _ = reader.join();
    }
}

/// Takes what the far end sends to one client.
fn answer(shared: &Shared, socket: &UdpSocket, client: SocketAddr) {
    let mut buffer = vec![0; 65_536];
    while !shared.ends() {
        if let Ok((length, _)) = socket.recv_from(&mut buffer) {
            shared.enter(1, client, None, &buffer[..length]);
        }
    }
}

/// Sends what is due.
fn send(shared: &Shared, front: &UdpSocket) {
    let mut state = shared.lock();
    while !shared.ends() {
        let now = shared.begun.elapsed();
        let due = state.waiting.peek().map(|Reverse((due, ..))| *due);
        match due {
            Some(due) if due <= now => {
                let Some(Reverse((_, _, leaving))) = state.waiting.pop() else { continue };
                let socket = leaving.by.and_then(|number| state.sockets.get(number).cloned());
                drop(state);
                // What cannot be sent is lost, as on any network.
                let _ = match (&socket, leaving.by) {
                    (Some(socket), _) => socket.send_to(&leaving.bytes, leaving.to),
                    (None, None) => front.send_to(&leaving.bytes, leaving.to),
                    (None, Some(_)) => Ok(0),
                };
                state = shared.lock();
            }
            _ => {
                let wait = due.map_or(GLANCE, |due| (due - now).min(GLANCE));
                let woken = shared.changed.wait_timeout(state, wait);
                state = woken.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn datagrams_pass_both_ways_late_and_some_are_lost() {
        let far = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        far.set_read_timeout(Some(PATIENCE)).expect("set");
        let delay = Duration::from_millis(40);
        let there = Impairment { delay, ..Impairment::NONE };
        let back = Impairment { delay, ..Impairment::NONE };
        let relay =
            Relay::start(far.local_addr().expect("bound"), there, back, 1).expect("started");
        let client = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        client.set_read_timeout(Some(PATIENCE)).expect("set");
        let mut buffer = [0; 100];
        let begun = Instant::now();
        client.send_to(b"hello", relay.address()).expect("sent");
        let (length, from) = far.recv_from(&mut buffer).expect("it comes");
        assert_eq!(&buffer[..length], b"hello");
        assert!(begun.elapsed() >= delay, "{:?}", begun.elapsed());
        far.send_to(b"and back", from).expect("sent");
        let (length, from) = client.recv_from(&mut buffer).expect("it comes");
        assert_eq!((&buffer[..length], from), (&b"and back"[..], relay.address()));
        assert!(begun.elapsed() >= delay * 2, "{:?}", begun.elapsed());
        relay.change(Impairment { loss: 1.0, ..Impairment::NONE }, back);
        client.send_to(b"lost", relay.address()).expect("sent");
        while relay.passed().0 < 2 {
            thread::sleep(Duration::from_millis(1));
        }
        relay.change(Impairment::NONE, back);
        client.send_to(b"again", relay.address()).expect("sent");
        let (length, _) = far.recv_from(&mut buffer).expect("it comes");
        assert_eq!(&buffer[..length], b"again");
    }
}
