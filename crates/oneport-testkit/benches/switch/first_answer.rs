//! When a system that is being started answers for the first time.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use oneport_wire::{
    CallNumber, Datagram, Elements, FullHeader, IaxSubclass, Message, Seq, Timestamp,
};

/// How often it is asked.
const BEAT: Duration = Duration::from_millis(2);

/// Asks `address` (POKE) until it answers (PONG), and tells how long that is behind `begun`.
///
/// # Panics
/// It does not within `patience`.
pub(crate) fn first_answer(address: SocketAddr, begun: Instant, patience: Duration) -> Duration {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.connect(address).expect("an address of this machine");
    socket.set_read_timeout(Some(BEAT)).expect("a time that is not zero");
    let mut poke = Vec::new();
    let header = FullHeader {
        source: CallNumber::from_bits(2),
        destination: CallNumber::NONE,
        retransmission: false,
        timestamp: Timestamp(1),
        oseq: Seq::ZERO,
        iseq: Seq::ZERO,
    };
    Message::iax(IaxSubclass::Poke, Elements::EMPTY).encode(&header, &mut poke);
    let mut answer = [0; 2_048];
    loop {
        assert!(begun.elapsed() < patience, "{address} does not answer");
        // While nobody listens that is what the kernel answers, at once.
        let _ = socket.send(&poke);
        let asked = Instant::now();
        if let Ok(length) = socket.recv(&mut answer)
            && is_pong(&answer[..length])
        {
            return begun.elapsed();
        }
        std::thread::sleep(BEAT.saturating_sub(asked.elapsed()));
    }
}

fn is_pong(datagram: &[u8]) -> bool {
    let Ok(Datagram::Full(frame)) = Datagram::decode(datagram) else { return false };
    matches!(frame.message(), Ok(Message::Iax { subclass: IaxSubclass::Pong, .. }))
}
