//! The switch as a registrar, frame by frame: three engines in one thread.

use std::net::SocketAddr;
use std::path::Path as FilePath;
use std::time::Duration;

use oneport::Application;
use oneport_proto::{
    CallId, Endpoint, Event, Instant, Media, MediaSink, Path, RegistrationConfig, RegistrationId,
    Secret, TransmitBuffer,
};
use oneport_switch::{Config, Switch};
use oneport_wire::Datagram;

struct Deaf;

impl MediaSink for Deaf {
    fn media(&mut self, _: CallId, _: Media<'_>) {}
}

/// The switch, and registrants around it.
struct Room {
    switch: Switch,
    engines: Vec<(SocketAddr, Endpoint)>,
    now: Instant,
    /// What the switch sent.
    said: Vec<String>,
    /// Changes what registrants send.
    tamper: fn(&mut Vec<u8>),
}

const SWITCH: usize = 0;

impl Room {
    fn new(registrants: u8) -> Self {
        let text = "[peers.bob]\nsecret = \"b\"\nmax_refresh = 3600";
        let config = Config::parse(FilePath::new("test.toml"), text).expect("it is good");
        let now = Instant::from_micros(0);
        let engines = (0..=registrants).map(|n| {
            let address = SocketAddr::from(([10, 0, 0, n + 1], 4569));
            (address, Endpoint::new(config.endpoint.clone(), [n; 32], now))
        });
        let engines = engines.collect();
        let switch = Switch::new(config);
        Self { switch, engines, now, said: Vec::new(), tamper: |_| {} }
    }

    fn register(&mut self, who: usize) -> RegistrationId {
        let config = RegistrationConfig {
            to: self.engines[SWITCH].0,
            others: Vec::new(),
            username: "bob".into(),
            secret: Some(Secret::from("b")),
            key: None,
            allow_plaintext: false,
            refresh: Duration::from_secs(300),
        };
        let id = self.engines[who].1.register(self.now, config);
        self.settle();
        id
    }

    fn unregister(&mut self, who: usize, id: RegistrationId) {
        let now = self.now;
        self.engines[who].1.unregister(now, id);
        self.settle();
    }

    /// Carries datagrams until nobody has anything to say; a second passes.
    fn settle(&mut self) {
        let mut buffer = TransmitBuffer::with_capacity(65_536, 1);
        for _ in 0..100 {
            self.now = self.now + Duration::from_millis(10);
            let now = self.now;
            let mut letters = Vec::new();
            for (n, (from, engine)) in self.engines.iter_mut().enumerate() {
                engine.handle_timeout(now);
                while let Some(event) = engine.poll_event() {
                    if n == SWITCH {
                        self.switch.handle_event(engine, now, event);
                    } else if let Event::RegistrationFailed { failure, .. } = event {
                        panic!("{failure:?}");
                    }
                }
                while let Some(transmit) = engine.poll_transmit(&mut buffer) {
                    let mut bytes = buffer.as_bytes().to_vec();
                    if n == SWITCH {
                        let datagram = Datagram::decode(&bytes).expect("whole");
                        self.said.push(datagram.to_string());
                    } else {
                        (self.tamper)(&mut bytes);
                    }
                    letters.push((*from, transmit.path.remote, bytes));
                }
            }
            for (from, to, mut bytes) in letters {
                let receiver = self.engines.iter_mut().find(|(address, _)| *address == to);
                let (_, engine) = receiver.expect("in the room");
                engine.handle_datagram(now, Path::from(from), &mut bytes, &mut Deaf);
            }
        }
    }

    /// How the switch has decided, in order, since the last time.
    fn answers(&mut self) -> Vec<String> {
        let said = std::mem::take(&mut self.said);
        said.into_iter().filter(|line| line.contains("REGACK") || line.contains("REGREJ")).collect()
    }
}

#[test]
fn a_release_purges_at_once_and_another_is_rejected() {
    let mut room = Room::new(2);
    let (first, second) = (room.register(1), room.register(2));
    let granted = room.answers();
    assert_eq!(granted.len(), 2);
    assert!(granted.iter().all(|line| line.contains("REGACK") && line.contains("DateTime(")));
    room.unregister(2, second);
    assert!(matches!(&room.answers()[..], [line] if line.contains("REGACK")));
    // The first believes it is registered, but the second took its place and is gone.
    room.unregister(1, first);
    let refused = room.answers();
    assert!(
        matches!(&refused[..], [line] if line.contains("REGREJ") && line.contains("CauseCode")),
        "{refused:?}"
    );
}

#[test]
fn who_asks_for_no_time_gets_sixty_seconds() {
    let mut room = Room::new(1);
    room.register(1);
    assert!(matches!(&room.answers()[..], [line] if line.contains("Refresh(300)")));
    let mut room = Room::new(1);
    room.tamper = |bytes| {
        if let Some(at) = bytes.windows(4).position(|window| window == [0x13, 2, 1, 44]) {
            bytes.drain(at..at + 4);
        }
    };
    room.register(1);
    let granted = room.answers();
    assert!(matches!(&granted[..], [line] if line.contains("Refresh(60)")), "{granted:?}");
}
