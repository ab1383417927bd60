//! A name server of a few names (RFC 1035), on the loopback.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// What a name stands for.
#[derive(Clone, Debug)]
pub enum Entry {
    /// Its address (A).
    Address(Ipv4Addr),
    /// Priority, port and name of a server (SRV).
    Server(u16, u16, &'static str),
    /// Order, preference and service of a NAPTR entry, and the name of its servers.
    Pointer(u16, u16, &'static str, &'static str),
    /// Whoever asks for anything of this name hears nothing.
    Silence,
}

/// Names and what they stand for.
pub type Entries = Vec<(&'static str, Entry)>;

#[derive(Debug)]
struct Shared {
    entries: Mutex<Entries>,
    asked: AtomicUsize,
    stop: AtomicBool,
}

/// A name server. Stops when dropped.
#[derive(Debug)]
pub struct NameServer {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl NameServer {
    /// Serves at `address`; port 0 is one of the system's choice.
    ///
    /// # Panics
    /// It cannot listen there: ports below 1024 are for root.
    #[must_use]
    pub fn start(address: SocketAddr, entries: Entries) -> Self {
        let socket = UdpSocket::bind(address).expect("a free address that may be bound");
        let address = socket.local_addr().expect("bound");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("set");
        let (asked, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let shared = Arc::new(Shared { entries: Mutex::new(entries), asked, stop });
        let its = shared.clone();
        let serve = move || {
            let mut buffer = [0; 1024];
            while !its.stop.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                its.asked.fetch_add(1, Ordering::Relaxed);
                let entries = its.entries.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some(answer) = answer(&buffer[..length], &entries) {
                    // Whoever has asked may have gone.
                    let _ = socket.send_to(&answer, from);
                }
            }
        };
        Self { address, shared, thread: Some(std::thread::spawn(serve)) }
    }

    /// Has other names from now on.
    pub fn set(&self, entries: Entries) {
        *self.shared.entries.lock().unwrap_or_else(PoisonError::into_inner) = entries;
    }

    /// Questions so far.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::Relaxed)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A name as it is on the wire (RFC 1035 §3.1).
fn encode(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).expect("short"));
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes
}

/// The answer to a question (RFC 1035 §4): all entries of that name and kind.
fn answer(question: &[u8], entries: &[(&str, Entry)]) -> Option<Vec<u8>> {
    let name_end = 12 + question.get(12..)?.iter().position(|byte| *byte == 0)? + 1;
    let asked = question.get(12..name_end + 4)?;
    let (name, rest) = asked.split_at(asked.len() - 4);
    let kind = u16::from_be_bytes([rest[0], rest[1]]);
    let mut answers = Vec::new();
    for (known, entry) in entries {
        if !encode(known).eq_ignore_ascii_case(name) {
            continue;
        }
        let (of, data) = match entry {
            Entry::Silence => return None,
            Entry::Address(address) => (1_u8, address.octets().to_vec()),
            Entry::Server(priority, port, target) => {
                let mut data = [priority.to_be_bytes(), [0, 1], port.to_be_bytes()].concat();
                data.extend(encode(target));
                (33, data)
            }
            Entry::Pointer(order, preference, service, target) => {
                let length = u8::try_from(service.len()).expect("short");
                let mut data = [order.to_be_bytes(), preference.to_be_bytes()].concat();
                data.extend([&[1, b's', length], service.as_bytes(), &[0]].concat());
                data.extend(encode(target));
                (35, data)
            }
        };
        if u16::from(of) == kind {
            let length = u16::try_from(data.len()).expect("short");
            // A pointer to the name in the question, class IN, for a minute.
            answers.push(
                [&[0xC0, 12, 0, of, 0, 1, 0, 0, 0, 60][..], &length.to_be_bytes(), &data].concat(),
            );
        }
    }
    let known = entries.iter().any(|(known, _)| encode(known).eq_ignore_ascii_case(name));
    let count = u8::try_from(answers.len()).ok()?;
    let flags = [0x85, if known { 0x80 } else { 0x83 }];
    let head = [&question[..2], &flags, &[0, 1, 0, count, 0, 0, 0, 0]].concat();
    Some([head, asked.to_vec(), answers.concat()].concat())
}
