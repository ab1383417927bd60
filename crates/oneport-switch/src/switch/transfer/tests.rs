//! Calls whose voice goes straight between their far ends, or is about to, when somebody wants to hear them: three
//! engines in one thread, on a clock of their own.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path as FilePath;
use std::time::Duration;

use oneport::Application;
use oneport_proto::{
    CallId, Endpoint, EndpointConfig, Event, Instant, Media, MediaSink, NewCall, Path, Secret,
    TransmitBuffer,
};
use oneport_wire::Format;

use crate::live::Listening;
use crate::recording::Side;
use crate::switch::leg::VoiceWay;
use crate::{Config, Switch};

const PEERS: &str = "
[peers.ann]
secret = \"a\"
transfer = \"media\"
[peers.bob]
address = \"10.0.0.3:4569\"
qualify = false
transfer = \"media\"
";

const FRAME: Duration = Duration::from_millis(20);
const ANN: usize = 0;
const BOB: usize = 1;

/// What is heard at the switch.
struct Tap<'a>(&'a mut Switch);

impl MediaSink for Tap<'_> {
    fn media(&mut self, _: CallId, _: Media<'_>) {}

    fn tapped(&mut self, now: Instant, call: CallId, media: Media<'_>) {
        self.0.handle_tapped(now, call, media);
    }
}

/// A telephone, and the frames of voice that it has heard.
struct Phone {
    address: SocketAddr,
    engine: Endpoint,
    call: Option<CallId>,
    answered: bool,
    /// What is for it, or comes of it, waits.
    is_cut_off: bool,
}

struct World {
    now: Instant,
    engine: Endpoint,
    switch: Switch,
    phones: [Phone; 2],
    /// To, from, what.
    wire: VecDeque<(SocketAddr, SocketAddr, Vec<u8>)>,
    /// Datagrams to the switch that are as long as voice.
    voice_here: u32,
    /// Nothing passes between Bob and anybody while the ends look for each other.
    keeps_seeking: bool,
}

fn at_switch() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 4569))
}

impl World {
    /// Ann calls Bob, who answers.
    fn new() -> Self {
        let config = Config::parse(FilePath::new("test.toml"), PEERS).expect("it is good");
        let now = Instant::from_micros(0);
        let phone = |n: u8| Phone {
            address: SocketAddr::from(([10, 0, 0, n], 4569)),
            engine: Endpoint::new(
                EndpointConfig { accept_transfers: true, ..EndpointConfig::default() },
                [n; 32],
                now,
            ),
            call: None,
            answered: false,
            is_cut_off: false,
        };
        let mut world = Self {
            now,
            engine: Endpoint::new(config.endpoint.clone(), [0; 32], now),
            switch: Switch::new(config),
            phones: [phone(2), phone(3)],
            wire: VecDeque::new(),
            voice_here: 0,
            keeps_seeking: false,
        };
        world.switch.start(&mut world.engine, now);
        let mut new = NewCall::to("bob");
        (new.username, new.secret) = (Some("ann".into()), Some(Secret::from("a")));
        let call = world.phones[ANN].engine.place_call(now, at_switch(), new).expect("free");
        world.phones[ANN].call = Some(call);
        world
    }

    /// All that can arrive does, and 20 ms go by.
    fn turn(&mut self) {
        self.now = self.now + FRAME;
        let now = self.now;
        self.engine.handle_timeout(now);
        if self.switch.poll_timeout().is_some_and(|at| at <= now) {
            self.switch.handle_timeout(&mut self.engine, now);
        }
        self.phones.iter_mut().for_each(|phone| phone.engine.handle_timeout(now));
        loop {
            self.collect();
            self.phones[BOB].is_cut_off =
                self.keeps_seeking && self.leg().is_some_and(|(_, way)| way == VoiceWay::Seeking);
            let cut_off = |address| {
                self.phones.iter().any(|phone| phone.address == address && phone.is_cut_off)
            };
            let next = self.wire.iter().position(|(to, from, _)| !cut_off(*to) && !cut_off(*from));
            let Some((to, from, mut bytes)) = next.and_then(|next| self.wire.remove(next)) else {
                return;
            };
            if to == at_switch() {
                self.voice_here += u32::from(bytes.len() >= 160);
                let tap = &mut Tap(&mut self.switch);
                self.engine.handle_datagram(now, Path::from(from), &mut bytes, tap);
            } else if let Some(phone) = self.phones.iter_mut().find(|phone| phone.address == to) {
                phone.engine.handle_datagram(now, Path::from(from), &mut bytes, &mut ());
            }
        }
    }

    fn collect(&mut self) {
        let (now, mut buffer) = (self.now, TransmitBuffer::with_capacity(2_000, 1));
        while let Some(event) = self.engine.poll_event() {
            self.switch.handle_event(&mut self.engine, now, event);
        }
        while let Some(transmit) = self.engine.poll_transmit(&mut buffer) {
            self.wire.push_back((transmit.path.remote, at_switch(), buffer.as_bytes().to_vec()));
        }
        for phone in &mut self.phones {
            while let Some(event) = phone.engine.poll_event() {
                match event {
                    Event::CallOffered { call, .. } => {
                        phone.engine.accept(now, call, Format::ULAW).expect("offered");
                        phone.engine.answer(now, call).expect("accepted");
                        phone.call = Some(call);
                    }
                    Event::CallAnswered { .. } => phone.answered = true,
                    Event::CallEnded { end, .. } => panic!("{end:?}"),
                    _ => {}
                }
            }
            while let Some(transmit) = phone.engine.poll_transmit(&mut buffer) {
                let bytes = buffer.as_bytes().to_vec();
                self.wire.push_back((transmit.path.remote, phone.address, bytes));
            }
        }
    }

    /// Both say so many frames.
    fn talk(&mut self, frames: u32) {
        for _ in 0..frames {
            for phone in &mut self.phones {
                let call = phone.call.expect("in a call");
                phone.engine.send_voice(self.now, call, Format::ULAW, &[7; 160], 20).expect("up");
            }
            self.turn();
        }
    }

    /// How many frames of a second of both come to the switch.
    fn comes_here(&mut self) -> u32 {
        self.voice_here = 0;
        self.talk(50);
        self.voice_here
    }

    /// The leg of the caller, and where its voice goes.
    fn leg(&self) -> Option<(CallId, VoiceWay)> {
        let mut legs = self.switch.legs.iter();
        let (call, leg) = legs.find(|(_, leg)| leg.peer.as_deref() == Some("ann"))?;
        Some((*call, leg.marks.way))
    }

    fn way(&self) -> VoiceWay {
        self.leg().expect("up").1
    }

    fn listen(&mut self) -> Listening {
        let (call, _) = self.leg().expect("up");
        let heard = self.switch.listen_to(&mut self.engine, self.now, call, "ear");
        heard.expect("there is something to be heard").1
    }
}

/// How many frames of each side were heard.
fn heard(listening: &mut Listening) -> [usize; 2] {
    let mut frames = [0; 2];
    while let Ok(heard) = listening.frames.try_recv() {
        frames[usize::from(heard.side == Side::Called)] += 1;
    }
    frames
}

#[test]
fn who_begins_to_listen_while_the_ends_look_for_each_other_keeps_the_voice_here() {
    let mut world = World::new();
    world.keeps_seeking = true;
    while !world.phones[ANN].answered {
        world.turn();
    }
    assert_eq!(world.way(), VoiceWay::Seeking);
    let mut listening = world.listen();
    world.keeps_seeking = false;
    world.talk(100);
    assert_eq!(world.way(), VoiceWay::Here);
    heard(&mut listening);
    assert_eq!(world.comes_here(), 100);
    assert_eq!(heard(&mut listening), [50, 50]);
}

#[test]
fn voice_that_goes_straight_comes_here_again_for_who_wants_to_hear_it() {
    let mut world = World::new();
    while !world.phones[ANN].answered || world.way() != VoiceWay::Direct {
        world.turn();
    }
    // Minutes of it, so that all timestamps have gone on.
    world.talk(3_500);
    assert_eq!(world.comes_here(), 0);
    let mut listening = world.listen();
    world.talk(50);
    heard(&mut listening);
    assert_eq!(world.comes_here(), 100);
    assert_eq!(heard(&mut listening), [50, 50]);
    assert_eq!(world.way(), VoiceWay::Here);
}
