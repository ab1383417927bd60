//! The least that voice by RTP can cost: for each call one packet out and one packet in, fifty times a second, with
//! nothing done to them and nothing else sent. What a gateway costs more than this is what it does.

use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::socket::{MsgFlags, SockaddrIn, recv, sendto};
use nix::sys::time::TimeValLike;

/// A packet of 20 ms of G.711.
const PACKET: [u8; 172] = [0x80; 172];
/// Between two packets of a call.
const FRAME: Duration = Duration::from_millis(20);
/// In so many parts of it calls send: what has come is taken each 2 ms.
const PARTS: usize = 10;
/// Sockets that one look tells of.
const BATCH: usize = 64;

/// CPU of a call, in µs in a second, where so many exchange voice with whoever sends back what comes to `echo`, each by a
/// socket of its own, as media of SIP has them; and what part of it did not come back, in percent.
pub(crate) fn cost(echo: SocketAddrV4, calls: usize, seconds: f64) -> (f64, f64) {
    // The CPU time of a thread of its own is all its.
    let work = move || exchange(echo, calls, seconds);
    let (used, sent, came) = thread::spawn(work).join().expect("sockets work");
    let lost = 100.0 * sent.saturating_sub(came) as f64 / sent as f64;
    (used.as_secs_f64() / calls as f64 / seconds * 1e6, lost)
}

fn bind() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.set_nonblocking(true).expect("a socket can");
    socket
}

/// CPU time of this thread.
fn used() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("Linux");
    let both = usage.user_time() + usage.system_time();
    Duration::from_micros(both.num_microseconds().unsigned_abs())
}

/// Lets `work` have each part of a frame's time when it comes, for so long, and says what that cost.
fn at_pace(seconds: f64, mut work: impl FnMut(usize)) -> Duration {
    let begun = (Instant::now(), used());
    let part = FRAME / PARTS as u32;
    let mut due = begun.0;
    for n in (0..PARTS).cycle() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if begun.0.elapsed().as_secs_f64() > seconds {
            break;
        }
        work(n);
        due += part;
    }
    used() - begun.1
}

fn exchange(echo: SocketAddrV4, calls: usize, seconds: f64) -> (Duration, usize, usize) {
    let echo = SockaddrIn::from(echo);
    let epoll = Epoll::new(EpollCreateFlags::empty()).expect("Linux");
    let sockets: Vec<UdpSocket> = (0..calls).map(|_| bind()).collect();
    for (socket, n) in sockets.iter().zip(0..) {
        epoll.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, n)).expect("a socket of ours");
    }
    let (mut sent, mut came) = (0, 0);
    let used = at_pace(seconds, |part| {
        for socket in sockets.iter().skip(part).step_by(PARTS) {
            let done = sendto(socket.as_raw_fd(), &PACKET, &echo, MsgFlags::empty());
            sent += usize::from(done.is_ok());
        }
        loop {
            let mut ready = [EpollEvent::empty(); BATCH];
            let found = epoll.wait(&mut ready, EpollTimeout::ZERO).expect("it is ours");
            for event in &ready[..found] {
                let socket = &sockets[event.data() as usize];
                let taken = recv(socket.as_raw_fd(), &mut [0; 2_048], MsgFlags::empty());
                came += usize::from(taken.is_ok());
            }
            if found < BATCH {
                break;
            }
        }
    });
    (used, sent, came)
}
