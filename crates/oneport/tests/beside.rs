//! Two drivers on one thread: they call each other as any two endpoints would, and each lives as long as it wants.

use std::net::SocketAddr;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use oneport::{
    Application, CallId, CauseCode, Driver, DriverConfig, Format, NewCall, Phone, PhoneConfig,
};
use oneport_proto::{Endpoint, Event, Media};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Answers what it is called for, and notes what it hears.
#[derive(Default)]
struct Party {
    thread: Option<ThreadId>,
    up: Option<CallId>,
    ended: usize,
    heard: Vec<u8>,
}

impl Application for Party {
    fn start(&mut self, _: &mut Endpoint, _: oneport_proto::Instant) {
        self.thread = Some(thread::current().id());
    }

    fn handle_event(&mut self, endpoint: &mut Endpoint, now: oneport_proto::Instant, event: Event) {
        match event {
            Event::CallOffered { call, .. } => {
                endpoint.accept(now, call, Format::ULAW).expect("it is offered");
                endpoint.answer(now, call).expect("it is accepted");
                self.up = Some(call);
            }
            Event::CallAnswered { call } => self.up = Some(call),
            Event::CallEnded { .. } => (self.up, self.ended) = (None, self.ended + 1),
            _ => {}
        }
    }

    fn handle_media(&mut self, _: oneport_proto::Instant, _: CallId, media: Media<'_>) {
        self.heard.extend(media.payload.first());
    }
}

fn config() -> DriverConfig {
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    DriverConfig { listen, ..DriverConfig::default() }
}

fn pair() -> [Driver<Party>; 2] {
    let host = Driver::start(config(), Party::default()).expect("started");
    let guest = Driver::start_beside(&host.host(), config(), Party::default()).expect("started");
    [host, guest]
}

async fn call(from: &Driver<Party>, to: SocketAddr) {
    let placed = from.with(move |endpoint, _, now| endpoint.place_call(now, to, NewCall::to("1")));
    placed.await.expect("running").expect("free");
}

/// Waits until it is so.
async fn until(party: &Driver<Party>, is_so: impl Fn(&Party) -> bool + Send + Clone + 'static) {
    let start = Instant::now();
    while !party
        .with({
            let is_so = is_so.clone();
            move |_, party, _| is_so(party)
        })
        .await
        .expect("running")
    {
        assert!(start.elapsed() < PATIENCE, "in time");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Says so many frames, each of its own byte.
async fn speak(party: &Driver<Party>, frames: std::ops::Range<u8>) {
    for byte in frames {
        let spoken = party.with(move |endpoint, party, now| {
            let call = party.up.expect("a call is up");
            endpoint.send_voice(now, call, Format::ULAW, &[byte; 160], 20)
        });
        spoken.await.expect("running").expect("accepted");
    }
}

#[tokio::test]
async fn two_endpoints_of_one_thread_call_each_other_either_way() {
    for caller in [0, 1] {
        let parties = pair();
        let called = 1 - caller;
        call(&parties[caller], parties[called].local_addresses()[0]).await;
        for party in &parties {
            until(party, |party| party.up.is_some()).await;
        }
        for party in &parties {
            speak(party, 0..100).await;
        }
        for party in &parties {
            until(party, |party| party.heard.len() >= 100).await;
            let heard = party.with(|_, party, _| party.heard.clone()).await.expect("running");
            assert_eq!(heard, (0..100).collect::<Vec<u8>>());
        }
        let threads = [
            parties[0].with(|_, party, _| party.thread).await.expect("running"),
            parties[1].with(|_, party, _| party.thread).await.expect("running"),
        ];
        assert!(threads[0].is_some() && threads[0] == threads[1], "{threads:?}");
        let hangs_up = parties[called].with(|endpoint, party, now| {
            let call = party.up.expect("a call is up");
            endpoint.hangup(now, call, CauseCode::NORMAL_CLEARING, None)
        });
        hangs_up.await.expect("running").expect("up");
        until(&parties[caller], |party| party.ended == 1).await;
    }
}

#[tokio::test]
async fn each_goes_on_when_the_other_stops_and_is_called_by_others_as_before() {
    let phone = PhoneConfig { listen: config().listen, ..PhoneConfig::default() };
    let phone = Phone::bind(phone).expect("bound");
    for stops in [0, 1] {
        let mut parties = Vec::from(pair());
        call(&parties[0], parties[1].local_addresses()[0]).await;
        until(&parties[1], |party| party.up.is_some()).await;
        parties.remove(stops).stop().await;
        let [left] = &parties[..] else { panic!("one is left") };
        until(left, |party| party.ended == 1).await;
        let mut outside = phone.call(left.local_addresses()[0], NewCall::to("1")).await;
        outside.as_mut().expect("placed").answered().await.expect("answered");
    }
}

#[tokio::test]
async fn who_moves_in_where_the_thread_has_ended_finds_itself_stopped() {
    let host = Driver::start(config(), Party::default()).expect("started");
    let place = host.host();
    host.stop().await;
    // The thread ends a moment after its driver.
    let start = Instant::now();
    loop {
        let guest = Driver::start_beside(&place, config(), Party::default()).expect("bound");
        if guest.with(|_, _, _| ()).await.is_err() {
            return;
        }
        guest.stop().await;
        assert!(start.elapsed() < PATIENCE, "in time");
    }
}
