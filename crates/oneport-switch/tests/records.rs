//! What the switch keeps of calls and registrations, and that nobody hears of it before it is
//! durable: engines in one thread, and a journal whose writer does as the test says.

use std::net::SocketAddr;
use std::path::Path as FilePath;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oneport::Application;
use oneport_proto::{
    CallEnd, CallId, EndReason, Endpoint, Event, Instant, Media, MediaSink, NewCall, Path,
    RegistrationConfig, Secret, TransmitBuffer,
};
use oneport_switch::store::{Record, StoredRegistration};
use oneport_switch::{Cdr, Config, HungUpBy, Journal, LegDirection, Refusal, Stage, Switch, Utc};
use oneport_wire::{CauseCode, Datagram, Format};

struct Deaf;

impl MediaSink for Deaf {
    fn media(&mut self, _: CallId, _: Media<'_>) {}
}

/// What the switch has handed over.
#[derive(Clone, Default)]
struct Pile(Arc<Mutex<Vec<Record>>>);

impl Journal for Pile {
    fn append(&mut self, record: Record) {
        self.0.lock().expect("whole").push(record);
    }
}

impl Pile {
    fn all(&self) -> Vec<Record> {
        self.0.lock().expect("whole").clone()
    }

    fn len(&self) -> u64 {
        self.0.lock().expect("whole").len() as u64
    }

    fn cdrs(&self) -> Vec<Cdr> {
        let cdrs = self.all().into_iter().filter_map(|record| match record {
            Record::Cdr(cdr) => Some(*cdr),
            _ => None,
        });
        cdrs.collect()
    }

    fn refusals(&self) -> Vec<Refusal> {
        let refusals = self.all().into_iter().filter_map(|record| match record {
            Record::Refusal(refusal) => Some(*refusal),
            _ => None,
        });
        refusals.collect()
    }
}

const SWITCH: usize = 0;
const ANN: usize = 1;
const BOB: usize = 2;

const PEERS: &str = "
[peers.ann]
secret = \"a\"
account_code = \"7\"
[peers.bob]
secret = \"b\"
qualify = false
[peers.fixed]
address = \"10.0.0.3:4569\"
qualify = false
[[routes]]
name = \"to bob\"
number = \"200\"
to = [\"peer:bob\", \"peer:fixed/300\"]
[[limits]]
name = \"narrow\"
numbers = \"600\"
max_calls = 1
[[routes]]
number = \"600\"
to = [\"builtin:echo\"]
";

/// The switch, two phones, and what each was told.
struct Room {
    switch: Switch,
    engines: Vec<(SocketAddr, Endpoint)>,
    now: Instant,
    pile: Pile,
    /// Records are durable at once.
    prompt: bool,
    /// Date and time, which may step.
    clock: Arc<Mutex<Utc>>,
    said: Vec<String>,
    events: Vec<Vec<Event>>,
    /// Bob rejects calls, or answers.
    bob_rejects: Option<CauseCode>,
}

fn midnight() -> Utc {
    "2026-02-03T00:00:00Z".parse().expect("a moment")
}

impl Room {
    fn new() -> Self {
        Self::with(PEERS, Vec::new())
    }

    fn with(text: &str, registered: Vec<StoredRegistration>) -> Self {
        let config = Config::parse(FilePath::new("test.toml"), text).expect("it is good");
        let now = Instant::from_micros(0);
        let engines = (0..3_u8).map(|n| {
            let address = SocketAddr::from(([10, 0, 0, n + 1], 4569));
            (address, Endpoint::new(config.endpoint.clone(), [n; 32], now))
        });
        let mut engines: Vec<_> = engines.collect();
        let mut switch = Switch::new(config);
        let pile = Pile::default();
        let clock = Arc::new(Mutex::new(midnight()));
        let shown = Arc::clone(&clock);
        switch.set_clock(move || *shown.lock().expect("whole"));
        switch.keep_records(pile.clone(), registered);
        switch.start(&mut engines[SWITCH].1, now);
        let events = vec![Vec::new(); 3];
        let said = Vec::new();
        let (prompt, bob_rejects) = (true, None);
        Self { switch, engines, now, pile, prompt, clock, said, events, bob_rejects }
    }

    fn call(&mut self, from: usize, number: &str, name: &str, secret: &str) -> CallId {
        let mut new = NewCall::to(number);
        new.calling_number = Some("100".into());
        new.username = (!name.is_empty()).then(|| name.to_string());
        new.secret = (!secret.is_empty()).then(|| Secret::from(secret));
        new.formats = vec![Format::ULAW];
        let (now, to) = (self.now, self.engines[SWITCH].0);
        self.engines[from].1.place_call(now, to, new).expect("free")
    }

    fn hang_up(&mut self, who: usize, call: CallId) {
        let now = self.now;
        self.engines[who].1.hangup(now, call, CauseCode::NORMAL_CLEARING, None).expect("up");
    }

    fn register(&mut self, who: usize, name: &str, secret: &str) {
        let config = RegistrationConfig {
            to: self.engines[SWITCH].0,
            others: Vec::new(),
            username: name.into(),
            secret: Some(Secret::from(secret)),
            key: None,
            allow_plaintext: false,
            refresh: Duration::from_secs(60),
        };
        let now = self.now;
        self.engines[who].1.register(now, config);
        self.settle();
    }

    /// All that was handed over is durable.
    fn write(&mut self) {
        let (now, count) = (self.now, self.pile.len());
        self.switch.durable(&mut self.engines[SWITCH].1, now, count);
    }

    /// Carries datagrams for a second.
    fn settle(&mut self) {
        self.run(Duration::from_secs(1));
    }

    fn run(&mut self, duration: Duration) {
        let mut buffer = TransmitBuffer::with_capacity(65_536, 1);
        let until = self.now + duration;
        while self.now < until {
            let step = Duration::from_millis(10);
            self.now = self.now + step;
            let today = self.clock.lock().expect("whole").after(step);
            *self.clock.lock().expect("whole") = today;
            let now = self.now;
            if self.prompt {
                self.write();
            }
            let mut letters = Vec::new();
            for (n, (from, engine)) in self.engines.iter_mut().enumerate() {
                engine.handle_timeout(now);
                if n == SWITCH && self.switch.poll_timeout().is_some_and(|at| at <= now) {
                    self.switch.handle_timeout(engine, now);
                }
                while let Some(event) = engine.poll_event() {
                    if n == SWITCH {
                        self.switch.handle_event(engine, now, event);
                        continue;
                    }
                    if let Event::CallOffered { call, .. } = &event {
                        match self.bob_rejects {
                            Some(cause) => engine.reject(now, *call, cause, Some("no!")),
                            None => engine.accept(now, *call, Format::ULAW),
                        }
                        .expect("offered");
                        let _ = engine.answer(now, *call);
                    }
                    self.events[n].push(event);
                }
                while let Some(transmit) = engine.poll_transmit(&mut buffer) {
                    let bytes = buffer.as_bytes().to_vec();
                    if n == SWITCH {
                        let datagram = Datagram::decode(&bytes).expect("whole");
                        self.said.push(datagram.to_string());
                    }
                    letters.push((*from, transmit.path.remote, bytes));
                }
            }
            for (from, to, mut bytes) in letters {
                let receiver = self.engines.iter_mut().find(|(address, _)| *address == to);
                // Nobody is at other addresses.
                let Some((_, engine)) = receiver else { continue };
                engine.handle_datagram(now, Path::from(from), &mut bytes, &mut Deaf);
            }
        }
    }

    /// Whether the switch has said it since the last time.
    fn has_said(&mut self, word: &str) -> bool {
        std::mem::take(&mut self.said).iter().any(|line| line.contains(word))
    }

    /// How the last call of `who` ended, if it did.
    fn end(&self, who: usize) -> Option<&CallEnd> {
        self.events[who].iter().rev().find_map(|event| match event {
            Event::CallEnded { end, .. } => Some(end),
            _ => None,
        })
    }
}

#[test]
fn both_legs_of_a_call_have_a_record_with_one_id() {
    let mut room = Room::new();
    room.register(BOB, "bob", "b");
    let call = room.call(ANN, "200", "ann", "a");
    room.run(Duration::from_secs(5));
    room.hang_up(ANN, call);
    room.settle();
    let mut cdrs = room.pile.cdrs();
    cdrs.sort_by_key(|cdr| cdr.leg);
    let [caller, called] = &cdrs[..] else { panic!("{cdrs:?}") };
    assert_eq!(caller.call, called.call);
    assert_eq!(caller.call.get_version_num(), 7);
    assert_eq!((caller.leg, caller.direction), (1, LegDirection::In));
    assert_eq!((called.leg, called.direction), (2, LegDirection::Out));
    assert_eq!((caller.peer.as_deref(), called.peer.as_deref()), (Some("ann"), Some("bob")));
    assert_eq!(caller.address, "10.0.0.2:4569");
    assert_eq!(called.address, "10.0.0.3:4569");
    for cdr in &cdrs {
        assert_eq!(cdr.calling_number.as_deref(), Some("100"));
        assert_eq!(cdr.called_number, "200");
        assert_eq!(cdr.route.as_deref(), Some("to bob"));
        assert_eq!(cdr.destination.as_deref(), Some("peer:bob/200"));
        assert_eq!(cdr.codec.as_deref(), Some("ulaw"));
        assert_eq!((cdr.cause, cdr.limit.as_deref()), (16, None));
        let answer = cdr.answer.expect("answered");
        assert!(cdr.start <= answer && answer < cdr.end);
        assert_eq!(cdr.end.since(cdr.start), Duration::from_millis(cdr.duration_ms));
        assert_eq!(cdr.end.since(answer), Duration::from_millis(cdr.billable_ms));
        assert_eq!(cdr.billable_seconds(), 4, "{} ms", cdr.billable_ms);
    }
    assert_eq!((caller.hung_up_by, called.hung_up_by), (HungUpBy::Peer, HungUpBy::OtherLeg));
    assert_eq!((caller.reason.as_str(), called.reason.as_str()), ("remote_hangup", "local_hangup"));
    assert_eq!((caller.account_code.as_deref(), called.account_code.as_deref()), (Some("7"), None));
    assert_eq!(room.pile.refusals(), []);
}

#[test]
fn the_end_of_a_call_is_acknowledged_only_when_its_record_is_durable() {
    let mut room = Room::new();
    room.prompt = false;
    let call = room.call(ANN, "600", "ann", "a");
    room.settle();
    room.hang_up(ANN, call);
    room.has_said("");
    room.run(Duration::from_secs(10));
    assert!(!room.engines[ANN].1.is_settled(), "ann's HANGUP is not acknowledged");
    assert!(!room.engines[SWITCH].1.is_settled(), "the switch waits to say it");
    assert_eq!(room.pile.cdrs().len(), 1);
    room.write();
    room.settle();
    assert!(room.engines[ANN].1.is_settled());
    assert!(room.engines[SWITCH].1.is_settled());
    assert_eq!(room.switch.records_waiting(), 0);
}

#[test]
fn a_hangup_of_the_switch_leaves_only_when_the_record_is_durable() {
    let mut room = Room::new();
    room.register(BOB, "bob", "b");
    room.prompt = false;
    let call = room.call(ANN, "200", "ann", "a");
    room.settle();
    room.hang_up(ANN, call);
    room.has_said("");
    room.run(Duration::from_secs(5));
    assert!(!room.has_said("HANGUP") && room.end(BOB).is_none());
    room.write();
    room.settle();
    assert!(room.has_said("HANGUP"));
    assert_eq!(room.end(BOB).expect("told").reason, EndReason::RemoteHangup);
}

#[test]
fn a_registration_is_acknowledged_and_in_force_only_when_it_is_durable() {
    let mut room = Room::new();
    room.prompt = false;
    room.register(BOB, "bob", "b");
    room.run(Duration::from_secs(5));
    assert!(!room.has_said("REGACK"));
    let records = room.pile.all();
    let [Record::Registered(registration)] = &records[..] else { panic!("{records:?}") };
    assert_eq!(registration.address, "10.0.0.3:4569");
    let held = registration.expires.since(registration.registered);
    assert_eq!(held, Duration::from_secs(70), "granted, and ten seconds of grace");
    room.write();
    room.settle();
    assert!(room.has_said("REGACK"));
}

#[test]
fn registrations_of_an_earlier_life_go_on_until_they_expire() {
    let stored = |peer: &str, seconds: u64| StoredRegistration {
        peer: peer.into(),
        address: "10.0.0.3:4569".into(),
        registered: midnight().before(Duration::from_secs(30)),
        expires: midnight().after(Duration::from_secs(seconds)),
        contact: None,
        switch: None,
    };
    let mut room = Room::with(PEERS, vec![stored("bob", 40), stored("gone", 40)]);
    let gone = Record::Unregistered { peer: "gone".into(), switch: None, registered: None };
    assert_eq!(room.pile.all(), [gone], "who is no peer any more is forgotten");
    let call = room.call(ANN, "200", "ann", "a");
    room.settle();
    assert!(matches!(room.events[BOB][..], [Event::CallOffered { .. }]), "{:?}", room.events[BOB]);
    room.hang_up(ANN, call);
    room.run(Duration::from_secs(45));
    room.call(ANN, "200", "ann", "a");
    room.settle();
    let refusals = room.pile.refusals();
    assert_eq!(refusals[0].kind, "not_registered", "{refusals:?}");

    let expired = Room::with(PEERS, vec![stored("bob", 0)]);
    let registered = Some(stored("bob", 0).registered);
    let gone = Record::Unregistered { peer: "bob".into(), switch: None, registered };
    assert_eq!(expired.pile.all(), [gone]);
}

#[test]
fn a_clock_that_is_put_back_in_a_call_makes_no_time_negative_and_no_duration_wrong() {
    let mut room = Room::new();
    let call = room.call(ANN, "600", "ann", "a");
    room.run(Duration::from_secs(2));
    let before = room.clock.lock().expect("whole").before(Duration::from_secs(3_600));
    *room.clock.lock().expect("whole") = before;
    room.run(Duration::from_secs(3));
    room.hang_up(ANN, call);
    room.settle();
    let [cdr] = &room.pile.cdrs()[..] else { panic!("one leg") };
    assert!((4_900..5_200).contains(&cdr.duration_ms), "{} ms", cdr.duration_ms);
    assert!(cdr.billable_ms <= cdr.duration_ms);
    assert!(cdr.start >= midnight() && cdr.end > cdr.start);
}

#[test]
fn when_too_many_records_wait_new_calls_are_refused_and_none_is_lost() {
    let mut room = Room::with(&format!("{PEERS}\n[store]\nmax_waiting = 2"), Vec::new());
    room.prompt = false;
    let calls: Vec<CallId> = (0..4).map(|_| room.call(ANN, "milliwatt", "ann", "a")).collect();
    room.settle();
    for call in calls {
        room.hang_up(ANN, call);
    }
    room.settle();
    assert_eq!(room.pile.cdrs().len(), 4, "those that were up have their records");
    room.call(ANN, "milliwatt", "ann", "a");
    room.settle();
    let end = room.end(ANN).expect("refused");
    assert_eq!((end.reason, end.cause), (EndReason::RemoteReject, CauseCode::SWITCH_CONGESTION));
    assert_eq!(room.pile.cdrs().len(), 4);
    assert_eq!(room.switch.refusals_left_out(), 1, "there was no room for its refusal either");
    room.write();
    room.call(ANN, "milliwatt", "ann", "a");
    room.settle();
    assert_eq!(room.switch.records_waiting(), 0, "it is up");
}

#[test]
fn each_refusal_says_stage_rule_value_cause_words_and_what_mends_it() {
    let mut room = Room::new();
    room.bob_rejects = Some(CauseCode::DESTINATION_OUT_OF_ORDER);
    // Bob is not registered, and the other destination rejects.
    room.call(ANN, "200", "ann", "a");
    room.run(Duration::from_secs(3));
    let refusals = room.pile.refusals();
    let [first, last] = &refusals[..] else { panic!("{refusals:#?}") };
    assert_eq!(first.call, last.call);
    assert_eq!((first.number, last.number), (1, 2));
    assert_eq!((first.stage, first.kind.as_str()), (Stage::Destination, "not_registered"));
    assert_eq!(first.destination.as_deref(), Some("peer:bob/200"));
    assert_eq!(first.rule.as_deref(), Some("peers.bob"));
    assert!(first.fix.is_some() && !first.ended_call);
    assert_eq!((last.stage, last.kind.as_str()), (Stage::Answer, "remote_reject"));
    assert_eq!(last.destination.as_deref(), Some("peer:fixed/300"));
    assert_eq!((last.cause, last.said.as_deref()), (Some(27), Some("no!")));
    assert!(last.ended_call && last.fix.is_some());
    assert_eq!(last.peer.as_deref(), Some("ann"));
    let cdrs = room.pile.cdrs();
    assert_eq!(cdrs.len(), 2, "the leg that was placed, and the caller's");
    assert!(cdrs.iter().all(|cdr| cdr.call == first.call && cdr.answer.is_none()));
    assert!(cdrs.iter().all(|cdr| cdr.billable_ms == 0));

    // A limit.
    let mut room = Room::new();
    room.call(ANN, "600", "ann", "a");
    room.settle();
    room.call(ANN, "600", "ann", "a");
    room.settle();
    let refusals = room.pile.refusals();
    let [full] = &refusals[..] else { panic!("{refusals:#?}") };
    assert_eq!((full.stage, full.kind.as_str()), (Stage::Limit, "limit_calls"));
    assert_eq!(full.rule.as_deref(), Some("limit narrow"));
    assert_eq!(full.value.as_deref(), Some("1 of 1 calls"));
    assert_eq!(full.cause, Some(room.end(ANN).expect("refused").cause.0));
    let cdrs = room.pile.cdrs();
    assert_eq!(cdrs[0].limit.as_deref(), Some("narrow"));
    assert_eq!(cdrs[0].hung_up_by, HungUpBy::Switch);

    // No route, a wrong secret, a name that does not exist.
    for (number, name, secret, stage, kind) in [
        ("999", "ann", "a", Stage::Route, "no_route"),
        ("600", "ann", "wrong", Stage::Identification, "wrong_secret"),
        ("600", "zoe", "z", Stage::Identification, "unknown_peer"),
    ] {
        let mut room = Room::new();
        room.call(ANN, number, name, secret);
        room.run(Duration::from_secs(3));
        let refusals = room.pile.refusals();
        let [refusal] = &refusals[..] else { panic!("{refusals:#?}") };
        assert_eq!((refusal.stage, refusal.kind.as_str()), (stage, kind));
        assert_eq!(refusal.called_number, number);
        assert!(refusal.fix.is_some(), "{refusal}");
        assert!(!refusal.to_string().contains("wrong\""), "no secret is told");
        let kept = usize::from(stage == Stage::Route);
        assert_eq!(room.pile.cdrs().len(), kept, "strangers leave no call records");
    }
}

#[test]
fn a_call_that_its_caller_gives_up_is_no_refusal() {
    let mut room = Room::new();
    room.register(BOB, "bob", "b");
    let call = room.call(ANN, "200", "ann", "a");
    // Before anything is answered.
    room.run(Duration::from_millis(20));
    room.hang_up(ANN, call);
    room.run(Duration::from_secs(3));
    assert_eq!(room.pile.refusals(), []);
}

#[test]
fn who_fetches_a_parked_call_becomes_a_leg_of_it() {
    let mut room = Room::new();
    room.call(ANN, "park", "ann", "a");
    room.run(Duration::from_secs(2));
    let fetches = room.call(BOB, "park/1", "bob", "b");
    room.run(Duration::from_secs(2));
    room.hang_up(BOB, fetches);
    room.settle();
    let mut cdrs = room.pile.cdrs();
    cdrs.sort_by_key(|cdr| cdr.leg);
    assert_eq!(cdrs.len(), 2, "{cdrs:?}");
    assert_eq!(cdrs[0].call, cdrs[1].call);
    let legs = cdrs.iter().map(|cdr| (cdr.leg, cdr.peer.as_deref(), cdr.direction));
    let (ann, bob) = (Some("ann"), Some("bob"));
    let expected = [(1, ann, LegDirection::In), (2, bob, LegDirection::In)];
    assert_eq!(legs.collect::<Vec<_>>(), expected);
}
