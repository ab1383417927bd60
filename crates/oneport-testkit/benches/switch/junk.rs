//! Datagrams that mean nothing, very many of them, for a system of one's own on this machine.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often some are sent.
const BEAT: Duration = Duration::from_millis(1);

/// A flood under way. Dropping it ends it.
pub(crate) struct Junk {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Junk {
    /// Sends `rate` datagrams in a second to `to`: a third each of noise, of frames that are cut off, and of
    /// frames for calls that do not exist.
    pub(crate) fn start(to: SocketAddr, rate: usize) -> Self {
        assert!(to.ip().is_loopback(), "nobody else is flooded");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.connect(to).expect("an address of this machine");
        let ends = Arc::new(AtomicBool::new(false));
        let told = ends.clone();
        let thread = thread::spawn(move || flood(&socket, &told, rate));
        Self { ends, thread: Some(thread) }
    }

    /// Ends it, and tells how many datagrams the kernel took.
    pub(crate) fn stop(mut self) -> u64 {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Drop for Junk {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

fn flood(socket: &UdpSocket, ends: &AtomicBool, rate: usize) -> u64 {
    let mut random = fastrand::Rng::with_seed(20_261_129);
    let kinds: Vec<Vec<u8>> = (0..300)
        .map(|n| {
            let mut bytes: Vec<u8> = (0..random.usize(1..180)).map(|_| random.u8(..)).collect();
            match n % 3 {
                // A full frame that ends too soon, or whose elements lie about their length.
                0 => bytes[0] |= 0x80,
                // A mini frame of nobody's call.
                1 => bytes[0] &= 0x7f,
                _ => {}
            }
            bytes
        })
        .collect();
    let (begun, mut sent, mut taken) = (Instant::now(), 0_usize, 0);
    while !ends.load(Ordering::Relaxed) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "for minutes")]
        let due = (begun.elapsed().as_secs_f64() * rate as f64) as usize;
        while sent < due {
            taken += u64::from(socket.send(&kinds[sent % kinds.len()]).is_ok());
            sent += 1;
        }
        thread::sleep(BEAT);
    }
    taken
}
