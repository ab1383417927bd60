//! A line to a switch, one engine on a port of its own, of which a test sees each step.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use oneport::{EndReason, Format};
use oneport_proto::{
    CallId, Endpoint, EndpointConfig, Event, Instant, Media, MediaSink, NewCall, Path,
    RegistrationConfig, Secret, TransmitBuffer,
};
use tokio::net::UdpSocket;
use tokio::time;

struct Deaf;

impl MediaSink for Deaf {
    fn media(&mut self, _: CallId, _: Media<'_>) {}
}

/// One engine on a port of its own.
pub(crate) struct Line {
    pub(crate) socket: UdpSocket,
    pub(crate) endpoint: Endpoint,
    origin: time::Instant,
    buffer: TransmitBuffer,
    switch: SocketAddr,
}

impl Line {
    /// To a switch, from an address of this machine.
    pub(crate) async fn new(from: Ipv4Addr, switch: SocketAddr) -> Self {
        let socket = UdpSocket::bind((from, 0)).await.expect("a port");
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).expect("random bytes");
        let endpoint = Endpoint::new(EndpointConfig::default(), seed, Instant::from_micros(0));
        let buffer = TransmitBuffer::with_capacity(4_096, 1);
        Self { socket, endpoint, origin: time::Instant::now(), buffer, switch }
    }

    pub(crate) fn now(&self) -> Instant {
        let micros = self.origin.elapsed().as_micros();
        Instant::from_micros(u64::try_from(micros).expect("not that long"))
    }

    /// Sends what is to be sent, and waits for one datagram or timer.
    pub(crate) async fn step(&mut self) {
        while let Some(transmit) = self.endpoint.poll_transmit(&mut self.buffer) {
            // It may be dead already.
            let _ = self.socket.send_to(self.buffer.as_bytes(), transmit.path.remote).await;
        }
        let wakes = self.endpoint.poll_timeout();
        let wakes = wakes.map_or(Duration::from_secs(1), |at| at.since(Instant::from_micros(0)));
        let mut bytes = [0; 2_048];
        tokio::select! {
            received = self.socket.recv_from(&mut bytes) => {
                let now = self.now();
                if let Ok((length, from)) = received {
                    let datagram = &mut bytes[..length];
                    self.endpoint.handle_datagram(now, Path::from(from), datagram, &mut Deaf);
                }
            }
            () = time::sleep_until(self.origin + wakes) => {}
        }
        let now = self.now();
        self.endpoint.handle_timeout(now);
    }

    /// Waits for the answer to a new call; none if it is refused.
    pub(crate) async fn call(&mut self, to: &str, calling_number: &str) -> Option<CallId> {
        let mut new = NewCall::to(to);
        new.calling_number = Some(calling_number.into());
        new.username = Some("load".into());
        new.secret = Some(Secret::from("heavy"));
        new.formats = vec![Format::ULAW];
        let (now, switch) = (self.now(), self.switch);
        let call = self.endpoint.place_call(now, switch, new).expect("free");
        loop {
            while let Some(event) = self.endpoint.poll_event() {
                match event {
                    Event::CallAnswered { call: answered } if answered == call => {
                        return Some(call);
                    }
                    // The end of the call before may still be among the events.
                    Event::CallEnded { call: ended, .. } if ended == call => return None,
                    _ => {}
                }
            }
            self.step().await;
        }
    }

    /// Waits until a call ends that the switch hangs up: why it has ended.
    pub(crate) async fn hear_the_end(&mut self, call: CallId) -> EndReason {
        loop {
            while let Some(event) = self.endpoint.poll_event() {
                if let Event::CallEnded { call: ended, end } = event
                    && ended == call
                {
                    return end.reason;
                }
            }
            self.step().await;
        }
    }

    /// Registers for ten minutes, and waits until that is acknowledged.
    pub(crate) async fn register(&mut self, name: &str) {
        let config = RegistrationConfig {
            to: self.switch,
            others: Vec::new(),
            username: name.into(),
            secret: Some(Secret::from("here")),
            key: None,
            allow_plaintext: false,
            refresh: Duration::from_secs(600),
        };
        let now = self.now();
        self.endpoint.register(now, config);
        let mut registered = false;
        while !registered {
            self.step().await;
            while let Some(event) = self.endpoint.poll_event() {
                registered |= matches!(event, Event::Registered { .. });
            }
        }
    }
}
