//! What passes through the switch besides voice, told by engines around it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use oneport::{
    Application, CallEvent, Driver, DriverConfig, NewCall, Phone, PhoneConfig, Progress, Secret,
};
use oneport_proto::{CallId, Endpoint, Event, Instant, RegistrationConfig};
use oneport_switch::{Config, Switch};
use oneport_wire::{DialplanStatus, Format};
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(60);

fn loopback() -> Vec<SocketAddr> {
    vec!["127.0.0.1:0".parse().expect("an address")]
}

fn switch(text: &str) -> (Driver<Switch>, SocketAddr) {
    let text = format!("[overload]\nenabled = false\n[server]\nlisten = [\"127.0.0.1:0\"]\n{text}");
    let config = Config::parse(Path::new("test.toml"), &text).expect("a good configuration");
    let driver = DriverConfig {
        listen: config.listen.clone(),
        endpoint: config.endpoint.clone(),
        ..DriverConfig::default()
    };
    let driver = Driver::start(driver, Switch::new(config)).expect("started");
    let address = driver.local_addresses()[0];
    (driver, address)
}

/// A telephone that tells all that happens before it answers.
struct Slow {
    switch: SocketAddr,
    registered: mpsc::UnboundedSender<()>,
}

impl Application for Slow {
    fn start(&mut self, endpoint: &mut Endpoint, now: Instant) {
        let config = RegistrationConfig {
            to: self.switch,
            others: Vec::new(),
            username: "bob".into(),
            secret: Some(Secret::from("b")),
            key: None,
            allow_plaintext: false,
            refresh: Duration::from_secs(60),
        };
        endpoint.register(now, config);
    }

    fn handle_event(&mut self, endpoint: &mut Endpoint, now: Instant, event: Event) {
        match event {
            Event::Registered { .. } => drop(self.registered.send(())),
            Event::CallOffered { call, .. } => {
                endpoint.accept(now, call, Format::ULAW).expect("offered");
                endpoint.proceeding(now, call).expect("accepted");
                endpoint.ringing(now, call).expect("accepted");
                endpoint.answer(now, call).expect("accepted");
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn proceeding_and_ringing_of_the_called_side_reach_the_caller() {
    let (_switch, to) = switch("[peers.ann]\nsecret = \"a\"\n[peers.bob]\nsecret = \"b\"");
    let (registered, mut ready) = mpsc::unbounded_channel();
    let config = DriverConfig { listen: loopback(), ..DriverConfig::default() };
    let _bob = Driver::start(config, Slow { switch: to, registered }).expect("started");
    tokio::time::timeout(PATIENCE, ready.recv()).await.expect("it registers in time");
    let config = PhoneConfig { listen: loopback(), ..PhoneConfig::default() };
    let ann = Phone::bind(config).expect("bound");
    let mut new = NewCall::to("bob");
    (new.username, new.secret) = (Some("ann".into()), Some(Secret::from("a")));
    let mut call = ann.call(to, new).await.expect("placed");
    let mut told = Vec::new();
    loop {
        let event = tokio::time::timeout(PATIENCE, call.next_event()).await.expect("in time");
        match event.expect("it runs") {
            CallEvent::Accepted(_) => {}
            CallEvent::Progress(progress) => told.push(progress),
            CallEvent::Answered => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(told, [Progress::Proceeding, Progress::Ringing]);
}

/// Asks about numbers, one after the other.
struct Asking {
    switch: SocketAddr,
    numbers: Vec<&'static str>,
    answers: mpsc::UnboundedSender<(String, DialplanStatus, Duration)>,
}

impl Asking {
    fn ask(&mut self, endpoint: &mut Endpoint, now: Instant, call: CallId) {
        if let Some(number) = self.numbers.pop() {
            endpoint.dialplan_query(now, call, number).expect("accepted");
        }
    }
}

impl Application for Asking {
    fn start(&mut self, endpoint: &mut Endpoint, now: Instant) {
        let mut new = NewCall::to("TBD");
        (new.username, new.secret) = (Some("ann".into()), Some(Secret::from("a")));
        endpoint.place_call(now, self.switch, new).expect("free");
    }

    fn handle_event(&mut self, endpoint: &mut Endpoint, now: Instant, event: Event) {
        match event {
            Event::CallAccepted { call, .. } => self.ask(endpoint, now, call),
            Event::DialplanReply { call, number, status, refresh } => {
                let _ = self.answers.send((number, status, refresh));
                self.ask(endpoint, now, call);
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn the_status_of_a_number_is_one_of_three_and_whether_it_may_grow() {
    let (_switch, to) = switch(
        "[peers.ann]\nsecret = \"a\"\n[[routes]]\nnumber = \"60\"\nto = [\"builtin:echo\"]\n\
         [[routes]]\nnumber = \"605\"\nto = [\"builtin:echo\"]",
    );
    let (answers, mut told) = mpsc::unbounded_channel();
    let config = DriverConfig { listen: loopback(), ..DriverConfig::default() };
    let numbers = vec!["7", "6", "60", "605", "echo"];
    let asking = Asking { switch: to, numbers, answers };
    let _driver = Driver::start(config, asking).expect("started");
    let more = DialplanStatus::MATCH_MORE.0;
    for (number, status) in [
        ("echo", DialplanStatus::EXISTS.0),
        ("605", DialplanStatus::EXISTS.0),
        ("60", DialplanStatus::EXISTS.0 | more),
        ("6", DialplanStatus::CAN_EXIST.0 | more),
        ("7", DialplanStatus::NONEXISTENT.0),
    ] {
        let answer = tokio::time::timeout(PATIENCE, told.recv()).await.expect("in time");
        let (of, said, refresh) = answer.expect("it runs");
        assert_eq!((of.as_str(), said.0), (number, status));
        assert_eq!((said.0 & 7).count_ones(), 1, "exactly one of the low three bits");
        assert_eq!(refresh, Duration::from_secs(600));
    }
}

#[tokio::test]
async fn what_a_caller_says_of_itself_reaches_the_called_side() {
    let (_switch, to) = switch("[peers.ann]\nsecret = \"a\"\n[peers.bob]\nsecret = \"b\"");
    let config = PhoneConfig { listen: loopback(), ..PhoneConfig::default() };
    let (ann, bob) =
        (Phone::bind(config.clone()).expect("bound"), Phone::bind(config).expect("bound"));
    let registration = RegistrationConfig {
        to,
        others: Vec::new(),
        username: "bob".into(),
        secret: Some(Secret::from("b")),
        key: None,
        allow_plaintext: false,
        refresh: Duration::from_secs(60),
    };
    let mut registration = bob.register(registration).await.expect("running");
    tokio::time::timeout(PATIENCE, registration.next_event()).await.expect("in time");
    let mut new = NewCall::to("bob");
    (new.username, new.secret) = (Some("ann".into()), Some(Secret::from("a")));
    new.calling_number = Some("100".into());
    new.calling_name = Some("Ann".into());
    new.calling_ani = Some("199".into());
    new.calling_presentation = 0x20;
    new.calling_type_of_number = 0x10;
    new.calling_transit_network = 7;
    new.dnid = Some("601".into());
    new.rdnis = Some("602".into());
    new.language = Some("de".into());
    new.osp_token = vec![9; 300];
    let said = new.clone();
    let _call = ann.call(to, new).await.expect("placed");
    let incoming = tokio::time::timeout(PATIENCE, bob.incoming()).await.expect("in time");
    let incoming = incoming.expect("it runs");
    let offer = incoming.offer();
    assert_eq!(offer.calling_number, said.calling_number);
    assert_eq!(offer.calling_name, said.calling_name);
    assert_eq!(offer.calling_ani, said.calling_ani);
    assert_eq!(offer.calling_presentation, Some(0x20));
    assert_eq!(offer.calling_type_of_number, Some(0x10));
    assert_eq!(offer.calling_transit_network, Some(7));
    assert_eq!((&offer.dnid, &offer.rdnis), (&said.dnid, &said.rdnis));
    assert_eq!((&offer.language, &offer.osp_token), (&said.language, &said.osp_token));
    assert!(offer.date_time.is_some(), "the switch's own");
    // Its credentials for the switch are nobody else's.
    assert_eq!(offer.username, None);
}
