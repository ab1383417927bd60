//! A machine that is too slow for what it has to translate: engines in one thread, on a clock of their own, and a
//! driver whose transcoder takes as long as the test says.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path as FilePath;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oneport::{Application, Lateness};
use oneport_proto::{
    CallId, Endpoint, Event, Instant, Media, MediaSink, NewCall, Path, Secret, Speech,
    TransmitBuffer,
};
use oneport_switch::store::Record;
use oneport_switch::{Cdr, Config, Journal, Switch};
use oneport_testkit::impairment::{Impairment, Link};
use oneport_wire::{CauseCode, Format};

const PEERS: &str = "
[peers.ann]
secret = \"a\"
[peers.bob]
address = \"10.0.0.3:4569\"
qualify = false
codecs = [\"ulaw\"]
";

const FRAME: Duration = Duration::from_millis(20);

const fn us(value: u64) -> Duration {
    Duration::from_micros(value)
}

#[derive(Clone, Default)]
struct Pile(Arc<Mutex<Vec<Cdr>>>);

impl Journal for Pile {
    fn append(&mut self, record: Record) {
        if let Record::Cdr(cdr) = record {
            self.0.lock().expect("whole").push(*cdr);
        }
    }
}

/// The switch behind a driver that takes its time.
struct Slow<'a> {
    switch: &'a mut Switch,
    now: Instant,
    /// How long a frame takes.
    frame: Duration,
    worked: Duration,
}

impl MediaSink for Slow<'_> {
    fn media(&mut self, call: CallId, media: Media<'_>) {
        self.switch.handle_media(self.now, call, media);
    }

    fn translate(
        &mut self,
        now: Instant,
        from: CallId,
        to: CallId,
        heard: Speech<'_>,
        say: &mut dyn FnMut(Speech<'_>),
    ) {
        self.switch.handle_translated(now, from, to, heard, say);
        self.switch.translated(now, from, to, self.frame);
        self.worked += self.frame;
    }
}

/// How a machine fares.
#[derive(Clone, Copy)]
struct Machine {
    /// How long translating a frame takes.
    frame: Duration,
    /// It stands still for so long every five seconds.
    stands_still: Duration,
    /// What the way from Ann is like.
    way: Impairment,
}

const FIT: Machine = Machine { frame: us(20), stands_still: us(0), way: Impairment::NONE };

/// Ann, who speaks linear audio, and Bob, who speaks µ-law, talk for half a minute: the records of both legs.
fn talk(machine: Machine) -> [Cdr; 2] {
    let config = Config::parse(FilePath::new("test.toml"), PEERS).expect("it is good");
    let mut now = Instant::from_micros(0);
    let [at_switch, at_ann, at_bob] = [1, 2, 3].map(|n| SocketAddr::from(([10, 0, 0, n], 4569)));
    let mut engine = Endpoint::new(config.endpoint.clone(), [0; 32], now);
    let phone = |seed| Endpoint::new(Default::default(), [seed; 32], now);
    let mut phones = [(at_ann, phone(1)), (at_bob, phone(2))];
    let mut switch = Switch::new(config);
    let pile = Pile::default();
    switch.keep_records(pile.clone(), Vec::new());
    switch.start(&mut engine, now);

    let mut new = NewCall::to("bob");
    (new.username, new.secret) = (Some("ann".into()), Some(Secret::from("a")));
    new.formats = vec![Format::SLIN];
    let call = phones[0].1.place_call(now, at_switch, new).expect("free");
    let (mut bobs, mut up) = (None, false);
    let mut link = Link::new(7, machine.way);
    // What has come for the switch: when, from whom, what.
    let mut waits: VecDeque<(Instant, SocketAddr, Vec<u8>)> = VecDeque::new();
    // What it has sent: when, to whom, what.
    let mut sent: VecDeque<(Instant, SocketAddr, Vec<u8>)> = VecDeque::new();
    let mut buffer = TransmitBuffer::with_capacity(65_536, 1);
    // When the switch's thread has done its work.
    let mut free = now;
    let (mut ticks, end) = (0_u32, 32 * 50);
    while ticks < end + 100 {
        now = now + FRAME;
        ticks += 1;
        if ticks == end {
            phones[0].1.hangup(now, call, CauseCode::NORMAL_CLEARING, None).expect("up");
        }
        for (n, (address, phone)) in phones.iter_mut().enumerate() {
            phone.handle_timeout(now);
            let arrived = sent.iter().take_while(|(at, ..)| *at <= now);
            for (_, to, mut bytes) in arrived.cloned().collect::<Vec<_>>() {
                if to == *address {
                    phone.handle_datagram(now, Path::from(at_switch), &mut bytes, &mut ());
                }
            }
            while let Some(event) = phone.poll_event() {
                match event {
                    Event::CallOffered { call, .. } => {
                        phone.accept(now, call, Format::ULAW).expect("offered");
                        phone.answer(now, call).expect("accepted");
                        bobs = Some(call);
                    }
                    Event::CallAnswered { .. } => up = true,
                    Event::CallEnded { .. } => up = false,
                    _ => {}
                }
            }
            let who = if n == 0 {
                Some((call, Format::SLIN, 320))
            } else {
                bobs.map(|call| (call, Format::ULAW, 160))
            };
            if let Some((call, format, bytes)) = who.filter(|_| up) {
                phone.send_voice(now, call, format, &vec![0x55; bytes], 20).expect("up");
            }
            while let Some(transmit) = phone.poll_transmit(&mut buffer) {
                assert_eq!(transmit.path.remote, at_switch);
                let bytes = buffer.as_bytes().to_vec();
                let lost = n == 0
                    && up
                    && link.pass(now.since(Instant::from_micros(0)), bytes.len()).arrives.is_none();
                if !lost {
                    waits.push_back((now, *address, bytes));
                }
            }
        }
        sent.retain(|(at, ..)| *at > now);
        if ticks.is_multiple_of(250) && !machine.stands_still.is_zero() {
            free = free.max(now) + machine.stands_still;
            engine.report_lateness(machine.stands_still);
        }
        // The thread takes what there is, works at it, and looks again.
        while free <= now {
            let begun = free.max(waits.front().map_or(now, |(came, ..)| *came));
            switch.durable(&mut engine, begun, pile.0.lock().expect("whole").len() as u64);
            engine.handle_timeout(begun);
            if switch.poll_timeout().is_some_and(|at| at <= begun) {
                switch.handle_timeout(&mut engine, begun);
            }
            let mut slow =
                Slow { switch: &mut switch, now: begun, frame: machine.frame, worked: us(0) };
            while let Some((_, from, mut bytes)) = waits.pop_front_if(|(came, ..)| *came <= begun) {
                engine.handle_datagram(begun, Path::from(from), &mut bytes, &mut slow);
            }
            let worked = slow.worked;
            if worked >= Lateness::LEAST {
                engine.report_lateness(worked);
            }
            free = begun + worked;
            while let Some(event) = engine.poll_event() {
                switch.handle_event(&mut engine, free, event);
            }
            while let Some(transmit) = engine.poll_transmit(&mut buffer) {
                sent.push_back((free, transmit.path.remote, buffer.as_bytes().to_vec()));
            }
            if waits.is_empty() {
                break;
            }
        }
    }
    let mut cdrs = pile.0.lock().expect("whole").clone();
    cdrs.sort_by_key(|cdr| cdr.leg);
    cdrs.try_into().unwrap_or_else(|cdrs| panic!("two legs: {cdrs:?}"))
}

/// The causes that the records of Ann's and of Bob's leg name.
fn causes(machine: Machine) -> [String; 2] {
    talk(machine).map(|cdr| cdr.quality.causes.unwrap_or_default())
}

#[test]
fn a_machine_that_translates_in_time_has_no_diagnosis() {
    assert_eq!(causes(FIT), ["", ""]);
    assert_eq!(causes(Machine { frame: us(8_000), ..FIT }), ["", ""], "four fifths of the time");
}

#[test]
fn a_transcoder_that_needs_nearly_all_of_the_time_is_overloaded() {
    let cdrs = talk(Machine { frame: us(9_500), ..FIT });
    for cdr in cdrs {
        assert_eq!(cdr.quality.causes.as_deref(), Some("transcoding_overload"), "{cdr:?}");
        let why = cdr.quality.diagnosis.expect("a sentence");
        assert!(why.contains("takes this machine 95 % of the time"), "{why}");
    }
}

#[test]
fn a_transcoder_slower_than_the_voice_is_not_laid_to_the_network_or_the_machine() {
    let cdrs = talk(Machine { frame: us(10_500), ..FIT });
    for cdr in cdrs {
        assert_eq!(cdr.quality.causes.as_deref(), Some("transcoding_overload"), "{cdr:?}");
    }
}

#[test]
fn a_machine_that_stands_still_is_late_whatever_it_translates() {
    assert_eq!(
        causes(Machine { stands_still: us(200_000), ..FIT }),
        ["late_scheduling", "late_scheduling"]
    );
}

#[test]
fn overload_and_a_network_that_loses_are_both_named() {
    let way = Impairment { loss: 0.04, ..Impairment::NONE };
    let [ann, bob] = causes(Machine { frame: us(9_500), way, ..FIT });
    assert_eq!(ann, "transcoding_overload,random_loss_here");
    assert_eq!(bob, "transcoding_overload");
}
