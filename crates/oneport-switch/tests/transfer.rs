//! Transfers with Oneport in all three roles, over real sockets: two telephones and the switch
//! between them, which lets go.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use oneport::media::Codec;
use oneport::{
    AudioReader, AudioWriter, Call, CallEvent, Driver, DriverConfig, NewCall, Phone, PhoneConfig,
    RegistrationConfig, RegistrationEvent, Secret,
};
use oneport_switch::{Config, Switch};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn switch(text: &str) -> Driver<Switch> {
    let text = format!("[server]\nlisten = [\"127.0.0.1:0\", \"[::1]:0\"]\n{text}");
    let config = Config::parse(Path::new("test.toml"), &text).expect("a good configuration");
    let driver = DriverConfig {
        listen: config.listen.clone(),
        endpoint: config.endpoint.clone(),
        ..DriverConfig::default()
    };
    Driver::start(driver, Switch::new(config)).expect("started")
}

fn phone(listen: &str) -> Phone {
    let listen = vec![listen.parse().expect("an address")];
    let mut config = PhoneConfig { listen, ..PhoneConfig::default() };
    config.endpoint.accept_transfers = true;
    Phone::bind(config).expect("bound")
}

/// Ann, on IPv4, is in a call with Bob, at the address given.
struct Talk {
    switch: Driver<Switch>,
    ann: Call,
    bob: Call,
    _phones: [Phone; 2],
}

impl Talk {
    async fn between(kind: &str, bobs: &str) -> Self {
        let switch = switch(&format!(
            "[peers.ann]\nsecret = \"a\"\ntransfer = {kind:?}\n\
             [peers.bob]\nsecret = \"b\"\ntransfer = {kind:?}\n\
             [peers.cid]\nsecret = \"c\"\n"
        ));
        let (ann, bob) = (phone("127.0.0.1:0"), phone(bobs));
        let at = |v6: bool| -> SocketAddr {
            let mut addresses = switch.local_addresses().iter();
            *addresses.find(|address| address.is_ipv6() == v6).expect("both")
        };
        let config = RegistrationConfig {
            to: at(bobs.starts_with('[')),
            others: Vec::new(),
            username: "bob".into(),
            secret: Some(Secret::from("b")),
            key: None,
            allow_plaintext: false,
            refresh: Duration::from_secs(60),
        };
        let mut registration = bob.register(config).await.expect("running");
        let event = registration.next_event().await;
        assert!(matches!(event, Some(RegistrationEvent::Registered { .. })), "{event:?}");
        let mut call = NewCall::to("bob");
        call.username = Some("ann".into());
        call.secret = Some(Secret::from("a"));
        let mut ours = ann.call(at(false), call).await.expect("placed");
        let incoming = bob.incoming().await.expect("offered");
        let theirs = incoming.answer().await.expect("the caller waits");
        ours.answered().await.expect("answered");
        Self { switch, ann: ours, bob: theirs, _phones: [ann, bob] }
    }

    /// Frames that the switch has relayed, and calls that it has.
    async fn at_the_switch(&self) -> (u64, usize) {
        let look =
            self.switch.with(|endpoint, _, _| (endpoint.counters().relayed, endpoint.calls()));
        look.await.expect("running")
    }

    /// Both speak until the switch relays nothing of it.
    async fn goes_straight(&self, anns_ear: &mut AudioReader, anns_mouth: &AudioWriter) {
        let (mut bobs_ear, bobs_mouth) = self.bob.audio().await.expect("accepted");
        let start = Instant::now();
        let mut byte = 0_u8;
        loop {
            let before = self.at_the_switch().await;
            for _ in 0..10 {
                byte = byte % 100 + 1;
                speak(anns_mouth, byte);
                speak(&bobs_mouth, byte + 100);
                hear(&mut bobs_ear, byte).await;
                hear(anns_ear, byte + 100).await;
            }
            if self.at_the_switch().await.0 == before.0 {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "the voice still comes to the switch");
        }
    }
}

/// Speaks 20 ms of `byte`.
fn speak(speaker: &AudioWriter, byte: u8) {
    speaker.send(Codec::Ulaw.format(), &[byte; 160], 20);
}

/// Waits until the frame of `byte` is heard.
async fn hear(reader: &mut AudioReader, byte: u8) {
    loop {
        let frame = tokio::time::timeout(PATIENCE, reader.next_frame()).await;
        let frame = frame.expect("audio flows").expect("the call lives");
        if frame.payload.iter().all(|sample| *sample == byte) {
            return;
        }
    }
}

/// Waits for the telephone to hear that its call goes on at another address.
async fn transferred(call: &mut Call) -> SocketAddr {
    loop {
        match tokio::time::timeout(PATIENCE, call.next_event()).await.expect("in time") {
            Some(CallEvent::Transferred(to)) => return to,
            Some(CallEvent::Ended(end)) => panic!("{end:?}"),
            Some(_) => {}
            None => panic!("the phone has stopped"),
        }
    }
}

#[tokio::test]
async fn telephones_that_the_switch_lets_go_talk_on_without_it() {
    let mut talk = Talk::between("yes", "127.0.0.1:0").await;
    let address = |n: usize| talk._phones[n].local_addresses()[0];
    let (anns, bobs) = (address(0), address(1));
    assert_eq!(transferred(&mut talk.ann).await, bobs);
    assert_eq!(transferred(&mut talk.bob).await, anns);
    let start = Instant::now();
    while talk.at_the_switch().await.1 > 0 {
        assert!(start.elapsed() < PATIENCE, "the switch keeps a call");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (mut anns_ear, anns_mouth) = talk.ann.audio().await.expect("accepted");
    let (mut bobs_ear, bobs_mouth) = talk.bob.audio().await.expect("accepted");
    for byte in 1..=50 {
        speak(&anns_mouth, byte);
        speak(&bobs_mouth, byte + 100);
        hear(&mut bobs_ear, byte).await;
        hear(&mut anns_ear, byte + 100).await;
    }
    talk.bob.hangup(oneport::CauseCode::USER_BUSY);
    assert_eq!(talk.ann.ended().await.expect("running").cause, oneport::CauseCode::USER_BUSY);
}

#[tokio::test]
async fn the_voice_alone_goes_straight_where_that_is_all_they_hand_over() {
    let talk = Talk::between("media", "127.0.0.1:0").await;
    let (mut anns_ear, anns_mouth) = talk.ann.audio().await.expect("accepted");
    talk.goes_straight(&mut anns_ear, &anns_mouth).await;
    assert_eq!(talk.at_the_switch().await.1, 2, "signalling stays there");
}

/// One is on IPv4, the other on IPv6, and neither has the other kind.
#[tokio::test]
async fn telephones_that_cannot_reach_each_other_stay_with_the_switch() {
    for kind in ["yes", "media"] {
        let talk = Talk::between(kind, "[::1]:0").await;
        let (mut anns_ear, anns_mouth) = talk.ann.audio().await.expect("accepted");
        let (mut bobs_ear, bobs_mouth) = talk.bob.audio().await.expect("accepted");
        let start = Instant::now();
        let mut spoken = 0;
        // Longer than the ends try to find each other.
        while start.elapsed() < Duration::from_secs(6) {
            let byte = (spoken % 100 + 1) as u8;
            speak(&anns_mouth, byte);
            speak(&bobs_mouth, byte + 100);
            hear(&mut bobs_ear, byte).await;
            hear(&mut anns_ear, byte + 100).await;
            spoken += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let (relayed, calls) = talk.at_the_switch().await;
        assert!(relayed >= 2 * spoken, "{kind}: {relayed} of {spoken} each way");
        assert_eq!(calls, 2, "{kind}");
    }
}

/// Bob leads Ann to Cid once their voice goes straight: it must come back to the switch.
#[tokio::test]
async fn a_party_whose_voice_went_straight_is_heard_where_a_blind_transfer_leads_it() {
    let mut talk = Talk::between("media", "127.0.0.1:0").await;
    let cid = phone("127.0.0.1:0");
    let config = RegistrationConfig {
        to: talk.switch.local_addresses()[0],
        others: Vec::new(),
        username: "cid".into(),
        secret: Some(Secret::from("c")),
        key: None,
        allow_plaintext: false,
        refresh: Duration::from_secs(60),
    };
    let mut registration = cid.register(config).await.expect("running");
    let event = registration.next_event().await;
    assert!(matches!(event, Some(RegistrationEvent::Registered { .. })), "{event:?}");
    let (mut anns_ear, anns_mouth) = talk.ann.audio().await.expect("accepted");
    talk.goes_straight(&mut anns_ear, &anns_mouth).await;
    talk.bob.transfer("cid").await.expect("up");
    let theirs = cid.incoming().await.expect("offered").answer().await.expect("the caller waits");
    let (mut cids_ear, cids_mouth) = theirs.audio().await.expect("accepted");
    loop {
        // Until it is Cid whom Ann hears.
        speak(&cids_mouth, 250);
        let frame = tokio::time::timeout(Duration::from_millis(20), anns_ear.next_frame()).await;
        if frame.is_ok_and(|frame| frame.expect("the call lives").payload[0] == 250) {
            break;
        }
    }
    for byte in 1..=50 {
        speak(&anns_mouth, byte);
        speak(&cids_mouth, byte + 100);
        hear(&mut cids_ear, byte).await;
        hear(&mut anns_ear, byte + 100).await;
    }
    let end = tokio::time::timeout(PATIENCE, talk.bob.ended()).await.expect("in time");
    assert!(end.is_ok(), "the phone runs");
}
