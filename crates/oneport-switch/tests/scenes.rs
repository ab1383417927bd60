//! Telephones around a switch, on the loopback.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use oneport::media::{Codec, tone, wav};
use oneport::{
    Call, CallError, CallEvent, CauseCode, Control, Driver, DriverConfig, DtmfPhase, Format,
    IncomingCall, NewCall, Phone, PhoneConfig, Progress, Registration, RegistrationConfig,
    RegistrationEvent, Secret,
};
use oneport_switch::{Config, Switch};

/// Calls are taken however busy the machine is.
const BUSY: &str = "[overload]\nenabled = false\n";

fn switch(text: &str) -> (Driver<Switch>, SocketAddr) {
    let text = format!("{BUSY}[server]\nlisten = [\"127.0.0.1:0\"]\n{text}");
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

fn phone() -> Phone {
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    Phone::bind(PhoneConfig { listen, ..PhoneConfig::default() }).expect("bound")
}

fn named(number: &str, name: &str, secret: &str) -> NewCall {
    let mut call = NewCall::to(number);
    call.username = Some(name.into());
    call.secret = Some(Secret::from(secret));
    call
}

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `is` holds, which is asked again and again.
async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let waits = async {
        while !is().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waits).await.is_ok(), "not in time: {what}");
}

/// Waits until the switch has so many legs.
async fn legs(switch: &Driver<Switch>, count: usize) {
    until(&format!("{count} legs are left"), async || {
        switch.with(|endpoint, _, _| endpoint.calls()).await == Ok(count)
    })
    .await;
}

/// Waits until the caller of a call that rings is gone.
async fn given_up(mut rings: IncomingCall, what: &str) {
    let gone = tokio::time::timeout(PATIENCE, rings.given_up()).await;
    gone.expect(what).expect("running");
    assert!(rings.answer().await.is_err(), "{what}");
}

async fn refusal(phone: &Phone, to: SocketAddr, call: NewCall) -> CauseCode {
    let mut call = phone.call(to, call).await.expect("placed");
    match call.answered().await {
        Err(CallError::Ended(end)) => end.cause,
        other => panic!("{other:?}"),
    }
}

async fn register(phone: &Phone, to: SocketAddr, name: &str, secret: &str) -> Registration {
    let config = RegistrationConfig {
        to,
        others: Vec::new(),
        username: name.into(),
        secret: Some(Secret::from(secret)),
        key: None,
        allow_plaintext: false,
        refresh: Duration::from_secs(60),
    };
    phone.register(config).await.expect("running")
}

async fn registered(phone: &Phone, to: SocketAddr, name: &str, secret: &str) -> Registration {
    let mut registration = register(phone, to, name, secret).await;
    let event = registration.next_event().await;
    assert!(matches!(event, Some(RegistrationEvent::Registered { .. })), "{event:?}");
    registration
}

const TWO_PEERS: &str = "
[peers.ann]
secret = \"a\"
[peers.bob]
secret = \"b\"
";

#[tokio::test]
async fn a_guest_reaches_echo_and_milliwatt_and_nothing_else() {
    let (_switch, to) = switch("[peers.ann]\nsecret = \"a\"");
    let phone = phone();
    for number in ["record", "602", "ann", "0"] {
        let cause = refusal(&phone, to, NewCall::to(number)).await;
        assert!([CauseCode::REJECTED, CauseCode::NO_ROUTE].contains(&cause), "{number}: {cause}");
    }
    let mut echo = phone.call(to, NewCall::to("echo")).await.expect("placed");
    echo.answered().await.expect("answered");
    let mut second = phone.call(to, NewCall::to("601")).await.expect("placed");
    second.answered().await.expect("answered");
    // The third from one address is one too many.
    assert_eq!(refusal(&phone, to, NewCall::to("600")).await, CauseCode::REJECTED);
    drop(second);
    let mut third = phone.call(to, NewCall::to("600")).await.expect("placed");
    third.answered().await.expect("a place is free again");
}

#[tokio::test]
async fn a_milliwatt_is_a_milliwatt() {
    let (switch, to) = switch("");
    let phone = phone();
    let mut call = phone.call(to, NewCall::to("milliwatt")).await.expect("placed");
    call.answered().await.expect("answered");
    let (mut reader, _) = call.audio().await.expect("accepted");
    for _ in 0..10 {
        let frame = reader.next_frame().await.expect("audio");
        assert_eq!(frame.payload.as_slice(), tone::MILLIWATT_ULAW.repeat(20));
    }
    // All of it was sent, from the first frame on: the log of a first call warns of nothing.
    let refused = switch.with(|endpoint, _, _| {
        let dropped = endpoint.counters().drops().filter(|(_, count)| *count > 0);
        dropped.map(|(reason, _)| reason.name()).collect::<Vec<_>>()
    });
    assert_eq!(refused.await.expect("running"), ["call_token_sent"]);
}

#[tokio::test]
async fn names_that_exist_and_names_that_do_not_fail_alike() {
    let (_switch, to) = switch(TWO_PEERS);
    let phone = phone();
    let known = refusal(&phone, to, named("600", "ann", "wrong")).await;
    let unknown = refusal(&phone, to, named("600", "nobody", "wrong")).await;
    assert_eq!((known, unknown), (CauseCode::FACILITY_NOT_SUBSCRIBED, known));
    for name in ["ann", "nobody"] {
        let mut registration = register(&phone, to, name, "wrong").await;
        let event = registration.next_event().await;
        assert!(matches!(event, Some(RegistrationEvent::Failed { .. })), "{event:?}");
    }
}

/// Ann calls Bob, who is registered, through the switch.
async fn ann_calls_bob(ann: &Phone, bob: &Phone, to: SocketAddr) -> (Call, IncomingCall) {
    let call = ann.call(to, named("bob", "ann", "a")).await.expect("placed");
    let incoming = bob.incoming().await.expect("offered");
    (call, incoming)
}

#[tokio::test]
async fn a_registered_phone_is_called_and_everything_passes_both_ways() {
    let (switch, to) = switch(TWO_PEERS);
    let (ann, bob) = (phone(), phone());
    let registration = registered(&bob, to, "bob", "b").await;
    let (mut ours, mut incoming) = ann_calls_bob(&ann, &bob, to).await;
    incoming.ring().await.expect("the caller waits");
    loop {
        match ours.next_event().await {
            Some(CallEvent::Progress(Progress::Ringing)) => break,
            Some(CallEvent::Accepted(Format::ULAW)) => {}
            other => panic!("{other:?}"),
        }
    }
    let mut theirs = incoming.answer().await.expect("the caller waits");
    ours.answered().await.expect("answered");
    ours.send_dtmf("7").await.expect("accepted");
    theirs.send_text("hello").await.expect("accepted");
    for phase in [DtmfPhase::Begin, DtmfPhase::End] {
        let event = theirs.next_event().await;
        assert_eq!(event, Some(CallEvent::Dtmf { digit: b'7', phase }));
    }
    assert_eq!(ours.next_event().await, Some(CallEvent::Text("hello".into())));
    let (mut reader, _) = theirs.audio().await.expect("accepted");
    let (_, speaker) = ours.audio().await.expect("accepted");
    let mut samples = Vec::new();
    Codec::Ulaw.decode(&(0..=255).cycle().take(1600).collect::<Vec<u8>>(), &mut samples);
    speaker.play(&samples).await;
    let mut heard = Vec::new();
    for _ in 0..10 {
        heard.extend(reader.next_frame().await.expect("audio").payload);
    }
    let mut sent = Vec::new();
    Codec::Ulaw.encode(&samples, &mut sent);
    assert_eq!(heard, sent);
    theirs.hangup(CauseCode::NO_ANSWER);
    assert_eq!(ours.ended().await.expect("running").cause, CauseCode::NO_ANSWER);
    legs(&switch, 0).await;
    registration.unregister().await;
    let cause = refusal(&ann, to, named("bob", "ann", "a")).await;
    assert_eq!(cause, CauseCode::SUBSCRIBER_ABSENT);
}

#[tokio::test]
async fn a_cause_passes_through_and_a_destination_that_cannot_is_followed_by_the_next() {
    let routes = format!(
        "{TWO_PEERS}
        [[routes]]
        number = \"1\"
        from = [\"ann\"]
        to = [\"peer:bob/busy\", \"builtin:echo\"]
        [[routes]]
        number = \"2\"
        to = [\"peer:bob/down\", \"builtin:echo\"]"
    );
    let (_switch, to) = switch(&routes);
    let (ann, bob) = (phone(), phone());
    let _registration = registered(&bob, to, "bob", "b").await;
    tokio::spawn(async move {
        while let Some(incoming) = bob.incoming().await {
            let busy = incoming.offer().called_number == "busy";
            let cause =
                if busy { CauseCode::USER_BUSY } else { CauseCode::DESTINATION_OUT_OF_ORDER };
            incoming.reject(cause);
        }
    });
    assert_eq!(refusal(&ann, to, named("1", "ann", "a")).await, CauseCode::USER_BUSY);
    let mut call = ann.call(to, named("2", "ann", "a")).await.expect("placed");
    call.answered().await.expect("the echo answers");
}

#[tokio::test]
async fn when_the_caller_gives_up_the_called_phone_stops_ringing() {
    let (_switch, to) = switch(TWO_PEERS);
    let (ann, bob) = (phone(), phone());
    let _registration = registered(&bob, to, "bob", "b").await;
    let (ours, mut incoming) = ann_calls_bob(&ann, &bob, to).await;
    incoming.ring().await.expect("the caller waits");
    drop(ours);
    given_up(incoming, "nobody is there any more").await;
}

#[tokio::test]
async fn a_recording_is_what_was_said() {
    let directory = tempfile::tempdir().expect("a directory");
    let audio = format!("[audio]\nrecord = {:?}\n{TWO_PEERS}", directory.path());
    let (_switch, to) = switch(&audio);
    let ann = phone();
    let mut call = ann.call(to, named("record", "ann", "a")).await.expect("placed");
    call.answered().await.expect("answered");
    let (_, speaker) = call.audio().await.expect("accepted");
    let mut samples = Vec::new();
    // All of µ-law but its two zeros: silence is where the machine stood still for too long.
    let said = (0..=255).filter(|byte: &u8| byte & 0x7F != 0x7F);
    Codec::Ulaw.decode(&said.cycle().take(3200).collect::<Vec<u8>>(), &mut samples);
    speaker.play(&samples).await;
    drop(call);
    // It is whole a moment behind the end of the call.
    until("the recording is what was said", async || {
        let file = std::fs::read_dir(directory.path()).expect("it is there").next();
        let Some(Ok(file)) = file else { return false };
        let Ok(recorded) = wav::read(&file.path(), 8000) else { return false };
        recorded.iter().filter(|sample| **sample != 0).eq(&samples)
    })
    .await;
}

#[tokio::test]
async fn playback_ends_by_itself_and_keeps_to_its_directory() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("hello.wav");
    let mut writer = wav::Writer::create(&path, 8000).expect("writable");
    writer.write(&[1000; 1600]).expect("writable");
    writer.finish().expect("writable");
    let audio = format!("[audio]\nplayback = {:?}\n{TWO_PEERS}", directory.path());
    let (_switch, to) = switch(&audio);
    let ann = phone();
    let mut call = ann.call(to, named("playback/hello", "ann", "a")).await.expect("placed");
    call.answered().await.expect("answered");
    let end = call.ended().await.expect("running");
    assert_eq!((end.cause, end.stats.received.frames), (CauseCode::NORMAL_CLEARING, 10));
    for name in ["playback/../hello", "playback/none"] {
        let cause = refusal(&ann, to, named(name, "ann", "a")).await;
        assert_eq!(cause, CauseCode::UNALLOCATED, "{name}");
    }
}

const THREE_PEERS: &str = "
[peers.ann]
secret = \"a\"
[peers.bob]
secret = \"b\"
[peers.cid]
secret = \"c\"
";

#[tokio::test]
async fn of_several_that_ring_at_once_the_first_to_answer_gets_the_call() {
    let route = "[[routes]]\nnumber = \"1\"\nto = [\"peer:bob\", \"peer:cid\"]\nstrategy = \"all\"";
    let (_switch, to) = switch(&format!("{THREE_PEERS}{route}"));
    let (ann, bob, cid) = (phone(), phone(), phone());
    let _bob = registered(&bob, to, "bob", "b").await;
    let _cid = registered(&cid, to, "cid", "c").await;
    let mut ours = ann.call(to, named("1", "ann", "a")).await.expect("placed");
    let mut at_bob = bob.incoming().await.expect("bob rings");
    let mut at_cid = cid.incoming().await.expect("cid rings");
    at_bob.ring().await.expect("the caller waits");
    at_cid.ring().await.expect("the caller waits");
    let mut theirs = at_cid.answer().await.expect("the caller waits");
    ours.answered().await.expect("answered");
    given_up(at_bob, "bob rings no more").await;
    let (mut reader, _) = theirs.audio().await.expect("accepted");
    let (_, speaker) = ours.audio().await.expect("accepted");
    speaker.play(&[1000; 1600]).await;
    assert!(reader.next_frame().await.is_some(), "cid hears ann");
    drop(ours);
    theirs.ended().await.expect("running");
}

#[tokio::test]
async fn when_one_of_several_is_busy_the_others_ring_on_and_all_busy_is_busy() {
    let route = "[[routes]]\nnumber = \"1\"\nto = [\"peer:bob\", \"peer:cid\"]\nstrategy = \"all\"";
    let (switch, to) = switch(&format!("{THREE_PEERS}{route}"));
    let (ann, bob, cid) = (phone(), phone(), phone());
    let _bob = registered(&bob, to, "bob", "b").await;
    let _cid = registered(&cid, to, "cid", "c").await;
    let mut ours = ann.call(to, named("1", "ann", "a")).await.expect("placed");
    let at_bob = bob.incoming().await.expect("bob rings");
    let at_cid = cid.incoming().await.expect("cid rings");
    at_bob.reject(CauseCode::USER_BUSY);
    // Ann's leg and that to cid are left.
    legs(&switch, 2).await;
    at_cid.reject(CauseCode::USER_BUSY);
    assert_eq!(ours.ended().await.expect("running").cause, CauseCode::USER_BUSY);
}

#[tokio::test]
async fn a_call_that_is_not_answered_or_meets_busy_is_forwarded() {
    let routes = "
[[routes]]
number = \"1\"
to = [\"peer:bob\", \"builtin:echo\"]
timeout_seconds = 1
[[routes]]
number = \"2\"
to = [\"peer:bob\", \"builtin:echo\"]
continue_on = [\"busy\"]
[[routes]]
number = \"3\"
to = [\"hangup:21\"]
";
    let (_switch, to) = switch(&format!("{THREE_PEERS}{routes}"));
    let (ann, bob) = (phone(), phone());
    let _bob = registered(&bob, to, "bob", "b").await;
    let mut ours = ann.call(to, named("1", "ann", "a")).await.expect("placed");
    let mut ringing = bob.incoming().await.expect("bob rings");
    ringing.ring().await.expect("the caller waits");
    ours.answered().await.expect("the echo answers in bob's place");
    given_up(ringing, "bob rings no more").await;
    let mut ours = ann.call(to, named("2", "ann", "a")).await.expect("placed");
    bob.incoming().await.expect("bob rings").reject(CauseCode::USER_BUSY);
    ours.answered().await.expect("the echo answers in bob's place");
    assert_eq!(refusal(&ann, to, named("3", "ann", "a")).await, CauseCode::REJECTED);
}

#[tokio::test]
async fn numbers_are_rewritten_and_contexts_kept_apart() {
    let text = "
[peers.ann]
secret = \"a\"
contexts = [\"inside\"]
[peers.bob]
secret = \"b\"
[[routes]]
pattern = \"_9X.\"
contexts = [\"inside\"]
to = [\"peer:bob/00{number:1}\"]
";
    let (_switch, to) = switch(text);
    let (ann, bob) = (phone(), phone());
    let _bob = registered(&bob, to, "bob", "b").await;
    let _ours = ann.call(to, named("9123", "ann", "a")).await.expect("placed");
    let incoming = bob.incoming().await.expect("bob rings");
    assert_eq!(incoming.offer().called_number, "00123");
    let mut elsewhere = named("9123", "ann", "a");
    elsewhere.called_context = Some("outside".into());
    assert_eq!(refusal(&ann, to, elsewhere).await, CauseCode::NO_ROUTE);
    assert_eq!(refusal(&bob, to, named("9123", "bob", "b")).await, CauseCode::NO_ROUTE);
}

#[tokio::test]
async fn a_call_that_runs_in_a_circle_ends() {
    let (bob, bob_at) = {
        let phone = phone();
        let address = phone.local_addresses()[0];
        (phone, address)
    };
    let text = format!(
        "[peers.ann]\nsecret = \"a\"\n[peers.bob]\naddress = \"{bob_at}\"\nqualify = false\n\
         [[routes]]\nnumber = \"1\"\nto = [\"peer:bob/2\"]\n"
    );
    let (_switch, to) = switch(&text);
    let ann = phone();
    let mut call = named("1", "ann", "a");
    let _first = ann.call(to, call.clone()).await.expect("placed");
    let incoming = bob.incoming().await.expect("bob rings");
    let variables = incoming.offer().variables.clone();
    assert_eq!(variables, [("ONEPORT_HOPS".to_string(), "1".to_string())]);
    call.variables = vec![("ONEPORT_HOPS".into(), "10".into())];
    assert_eq!(refusal(&ann, to, call).await.0, 25);
}

#[tokio::test]
async fn video_passes_where_both_peers_allow_it_and_nowhere_else() {
    let (_switch, to) = switch(
        "[peers.ann]\nsecret = \"a\"\nvideo = [\"h264\", \"vp8\"]\n\
         [peers.bob]\nsecret = \"b\"\nvideo = [\"h264\"]\n\
         [peers.cid]\nsecret = \"c\"\n",
    );
    let formats = vec![Format::ULAW, Format::H264, Format::VP8];
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    let seeing = || {
        let config = PhoneConfig {
            listen: listen.clone(),
            formats: formats.clone(),
            ..PhoneConfig::default()
        };
        Phone::bind(config).expect("bound")
    };
    let (ann, bob, cid) = (seeing(), seeing(), seeing());
    let _bob = registered(&bob, to, "bob", "b").await;
    let _cid = registered(&cid, to, "cid", "c").await;
    for (phone, name, carried) in [(&bob, "bob", true), (&cid, "cid", false)] {
        let mut call = named(name, "ann", "a");
        call.formats.clone_from(&formats);
        let mut ours = ann.call(to, call).await.expect("placed");
        let incoming = phone.incoming().await.expect("offered");
        assert_eq!(incoming.offer().formats.contains(Format::H264), carried);
        assert!(!incoming.offer().formats.contains(Format::VP8));
        let theirs = incoming.answer().await.expect("the caller waits");
        ours.answered().await.expect("answered");
        let (mut screen, camera) = ours.video().await.expect("running");
        let (mut their_screen, their_camera) = theirs.video().await.expect("running");
        // Voice makes both legs known to each other.
        tokio::time::sleep(Duration::from_millis(100)).await;
        for n in 0..30_u8 {
            camera.send(Format::H264, &[n; 700], n % 3 == 2);
            their_camera.send(Format::H264, &[n; 500], true);
        }
        let seen_and_sent = async || {
            (
                theirs.stats().await.expect("up").video_frames_received,
                ours.stats().await.expect("up").video_frames_sent,
            )
        };
        if carried {
            until("video is seen", async || seen_and_sent().await == (30, 30)).await;
        } else {
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert_eq!(seen_and_sent().await, (0, 0), "{name}");
        }
        for n in 0..if carried { 30 } else { 0 } {
            let frame = their_screen.next_frame().await.expect("video");
            assert_eq!((frame.payload, frame.mark), (vec![n; 700], n % 3 == 2));
            let frame = screen.next_frame().await.expect("video");
            assert_eq!((frame.payload, frame.mark), (vec![n; 500], true));
        }
    }
}

#[tokio::test]
async fn keys_of_radios_holds_with_their_music_and_flashes_pass_through() {
    let (_switch, to) = switch(TWO_PEERS);
    let (ann, bob) = (phone(), phone());
    let _registration = registered(&bob, to, "bob", "b").await;
    let (mut ours, incoming) = ann_calls_bob(&ann, &bob, to).await;
    let mut theirs = incoming.answer().await.expect("the caller waits");
    ours.answered().await.expect("answered");
    ours.key(b"100.0").await.expect("up");
    ours.unkey().await.expect("up");
    ours.key(b"").await.expect("up");
    ours.hold(Some("jazz")).await.expect("up");
    ours.unhold().await.expect("up");
    ours.hold(None).await.expect("up");
    ours.send_control(Control::Flash).await.expect("up");
    let control = |control, payload: &[u8]| CallEvent::Control { control, payload: payload.into() };
    let expected = [
        CallEvent::Keyed(b"100.0".into()),
        CallEvent::Unkeyed,
        CallEvent::Keyed(Vec::new()),
        control(Control::Hold, b"jazz"),
        control(Control::Unhold, b""),
        control(Control::Hold, b""),
        control(Control::Flash, b""),
    ];
    for expected in expected {
        assert_eq!(theirs.next_event().await, Some(expected));
    }
}

#[tokio::test]
async fn who_is_connected_is_told_only_where_both_peers_allow_it() {
    for (ann_s, bob_s, passes) in [
        ("yes", "yes", true),
        ("receive", "send", true),
        ("send", "yes", false),
        ("yes", "receive", false),
        ("no", "yes", false),
    ] {
        let (_switch, to) = switch(&format!(
            "[peers.ann]\nsecret = \"a\"\nconnected_line = \"{ann_s}\"\n\
             [peers.bob]\nsecret = \"b\"\nconnected_line = \"{bob_s}\"\n"
        ));
        let (ann, bob) = (phone(), phone());
        let _registration = registered(&bob, to, "bob", "b").await;
        let (mut ours, incoming) = ann_calls_bob(&ann, &bob, to).await;
        let mut theirs = incoming.answer().await.expect("the caller waits");
        ours.answered().await.expect("answered");
        ours.connected_line("4711", "Ann Other").await.expect("up");
        ours.send_control(Control::Redirecting).await.expect("up");
        ours.send_text("behind").await.expect("up");
        let mut events = Vec::new();
        while events.last() != Some(&CallEvent::Text("behind".into())) {
            events.push(theirs.next_event().await.expect("up"));
        }
        let told = [
            CallEvent::ConnectedLine {
                number: Some("4711".into()),
                name: Some("Ann Other".into()),
            },
            CallEvent::Redirecting { from: None, to: None, count: None },
        ];
        let expected: &[CallEvent] = if passes { &told } else { &[] };
        assert_eq!(&events[..events.len() - 1], expected, "{ann_s} to {bob_s}");
    }
}

#[tokio::test]
async fn a_refused_call_takes_the_next_destination_and_a_place_that_is_left_is_free() {
    let text = "
[[routes]]
number = \"1\"
to = [\"peer:bob\", \"builtin:echo\"]
[[limits]]
name = \"bob\"
peers = [\"bob\"]
direction = \"out\"
max_calls = 1
[[limits]]
name = \"did\"
numbers = \"_6XX\"
each_number = true
max_calls = 1
cause = \"busy\"
";
    let (switch, to) = switch(&format!("{THREE_PEERS}{text}"));
    let (ann, bob) = (phone(), phone());
    let _bob = registered(&bob, to, "bob", "b").await;
    let first = ann.call(to, named("1", "ann", "a")).await.expect("placed");
    let ringing = bob.incoming().await.expect("bob rings");
    let mut second = ann.call(to, named("1", "ann", "a")).await.expect("placed");
    second.answered().await.expect("the echo has room");
    drop((first, ringing));
    // The echo's leg is left.
    legs(&switch, 1).await;
    let _third = ann.call(to, named("1", "ann", "a")).await.expect("placed");
    let _ringing = bob.incoming().await.expect("bob rings again");
    let mut echo = ann.call(to, named("600", "ann", "a")).await.expect("placed");
    echo.answered().await.expect("answered");
    assert_eq!(refusal(&ann, to, named("600", "ann", "a")).await, CauseCode::USER_BUSY);
    let mut other = ann.call(to, named("601", "ann", "a")).await.expect("placed");
    other.answered().await.expect("another number has its own limit");
    let usage = switch.with(|_, switch, now| switch.limit_usage(now)).await.expect("running");
    let used: Vec<_> = usage.iter().map(|one| (one.name.as_str(), one.used, one.refused)).collect();
    assert_eq!(used, [("bob", 1, 1), ("did (600)", 1, 1), ("did (601)", 1, 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_callers_at_once_get_exactly_the_places_there_are() {
    const PLACES: usize = 500;
    let server = "max_challenges_per_user = 2000\n";
    let text = format!("{server}{THREE_PEERS}[[limits]]\nname = \"all\"\nmax_calls = {PLACES}\n");
    let (switch, to) = switch(&text);
    let ann = phone();
    let mut calls = Vec::new();
    for _ in 0..2_000 {
        calls.push(ann.call(to, named("600", "ann", "a")).await.expect("placed"));
    }
    let (mut up, mut refused) = (Vec::new(), 0);
    for mut call in calls {
        match call.answered().await {
            Ok(_) => up.push(call),
            Err(CallError::Ended(end)) => {
                assert_eq!(end.cause, CauseCode::CIRCUIT_CONGESTION);
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((up.len(), refused), (PLACES, 2_000 - PLACES));
    let usage = switch.with(|_, switch, now| switch.limit_usage(now)).await.expect("running");
    assert_eq!((usage[0].used, usage[0].peak, usage[0].refused), (PLACES, PLACES, 1_500));
}

#[tokio::test]
async fn another_configuration_takes_effect_while_calls_go_on() {
    let (switch, to) = switch(&format!("{TWO_PEERS}[[limits]]\nname = \"all\"\nmax_calls = 1\n"));
    let (ann, bob) = (phone(), phone());
    let _bob = registered(&bob, to, "bob", "b").await;
    let (mut ours, incoming) = ann_calls_bob(&ann, &bob, to).await;
    let theirs = incoming.answer().await.expect("the caller waits");
    ours.answered().await.expect("answered");
    let cause = refusal(&ann, to, named("600", "ann", "a")).await;
    assert_eq!(cause, CauseCode::CIRCUIT_CONGESTION);
    let text = "
[overload]
enabled = false
[server]
listen = [\"127.0.0.1:0\"]
[peers.bob]
secret = \"b\"
[peers.cid]
secret = \"c\"
[[routes]]
number = \"9\"
to = [\"builtin:echo\"]
[[limits]]
name = \"all\"
max_calls = 2
";
    let config = Config::parse(Path::new("test.toml"), text).expect("good");
    let changes = switch.with(|endpoint, switch, now| switch.reload(endpoint, now, config)).await;
    let expected = [
        "peer ann is gone",
        "peer cid is new",
        "route 9 is new: 9 → echo",
        "limit all has changed: the switch, 2 calls at once, else no circuit available (34)",
    ];
    assert_eq!(changes.expect("running"), expected);
    let (mut reader, _) = theirs.audio().await.expect("accepted");
    let (_, speaker) = ours.audio().await.expect("accepted");
    speaker.play(&[1000; 1600]).await;
    assert!(reader.next_frame().await.is_some(), "the call goes on");
    let cause = refusal(&ann, to, named("9", "ann", "a")).await;
    assert_eq!(cause, CauseCode::FACILITY_NOT_SUBSCRIBED, "ann is not known any more");
    let mut call = ann.call(to, named("9", "cid", "c")).await.expect("placed");
    call.answered().await.expect("cid is known, its route and a second place are there");
    let refused = refusal(&ann, to, named("9", "cid", "c")).await;
    assert_eq!(refused, CauseCode::CIRCUIT_CONGESTION, "two calls are up");
    drop((ours, theirs));
    // The leg to cid's echo is left.
    legs(&switch, 1).await;
    let mut rings = ann.call(to, named("bob", "cid", "c")).await.expect("placed");
    bob.incoming().await.expect("bob is registered still").reject(CauseCode::USER_BUSY);
    assert_eq!(rings.ended().await.expect("running").cause, CauseCode::USER_BUSY);
}

#[tokio::test]
async fn what_another_configuration_changes_is_told_before_it_is_taken() {
    let text = |more: &str, calls: u32| {
        format!(
            "{BUSY}[server]\nlisten = [\"127.0.0.1:0\"]\n{more}{TWO_PEERS}\
             [[routes]]\nnumber = \"7\"\nto = [\"peer:bob\"]\n\
             [[limits]]\nname = \"bob\"\npeers = [\"bob\"]\nmax_calls = {calls}\n"
        )
    };
    let (switch, _) = switch(text("", 2).split_once("0\"]\n").expect("its first lines").1);
    let changes = async |text: &str| {
        let config = Config::parse(Path::new("test.toml"), text).expect("good");
        let changes = switch.with(|endpoint, switch, now| switch.reload(endpoint, now, config));
        changes.await.expect("running")
    };
    assert_eq!(changes(&text("", 2)).await, [""; 0]);
    let limit = "limit bob has changed: bob, 3 calls at once, else no circuit available (34)";
    assert_eq!(changes(&text("", 3)).await, [limit]);
    for (more, line) in [
        ("[guests]\nmax_calls = 3\n", "[guests] has changed"),
        ("[timers]\nping_seconds = 30\n", "[server] or [timers] has changed"),
        ("[conferences.sales]\npin = \"1\"\n", "conference sales is new"),
        ("[parking]\nslots = 3\n", "[parking] has changed"),
        ("[audio]\nmax_record_seconds = 9\n", "[audio] has changed"),
        ("[store]\nmax_waiting = 9\n", "store.max_waiting has changed"),
    ] {
        assert_eq!(changes(&text(more, 3)).await, [line], "{more}");
        assert_eq!(changes(&text("", 3)).await.len(), 1, "and back");
    }
    let other = text("", 3).replace("to = [\"peer:bob\"]", "to = [\"busy\"]");
    assert_eq!(changes(&other).await, ["route 7 has changed: 7 → user busy (17)"]);
    // What holds from the next start is told each time until then.
    let elsewhere = other.replace("127.0.0.1:0", "127.0.0.1:4599");
    for _ in 0..2 {
        assert_eq!(changes(&elsewhere).await, ["server.listen: holds from the next start"]);
    }
}

/// NEWs that have come to a place where nobody answers.
fn news_at(place: &UdpSocket) -> usize {
    let mut bytes = [0; 2048];
    let received =
        std::iter::from_fn(|| place.recv(&mut bytes).ok().map(|len| bytes[..len].to_vec()));
    // Byte 10 is the frame type, 11 the subclass: IAX, NEW.
    received.filter(|frame| frame.get(10..12) == Some(&[6, 1])).count()
}

#[tokio::test]
async fn a_silent_peer_is_passed_over_after_twice_its_limit_and_then_at_once() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("the loopback has ports");
    silent.set_nonblocking(true).expect("a socket");
    let address = silent.local_addr().expect("bound");
    let text = format!(
        "[peers.ann]\nsecret = \"a\"\n\
         [peers.silent]\naddress = \"{address}\"\nqualify_limit_ms = 500\n\
         [[routes]]\nnumber = \"1\"\nto = [\"peer:silent\", \"builtin:echo\"]\n"
    );
    let (_switch, to) = switch(&text);
    let ann = phone();
    // Nobody knows yet that it is silent: it is called, and the echo answers all the same.
    let mut call = ann.call(to, named("1", "ann", "a")).await.expect("placed");
    call.answered().await.expect("the echo answers");
    drop(call);
    assert!(news_at(&silent) > 0, "it was called");
    // Two polls of a second each are lost: UNREACHABLE.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let _ = news_at(&silent);
    let mut call = ann.call(to, named("1", "ann", "a")).await.expect("placed");
    call.answered().await.expect("the echo answers");
    assert_eq!(news_at(&silent), 0, "it was not called again");
}

/// The media of both ways between two who were just connected.
async fn they_hear_each_other(ours: &Call, theirs: &Call) {
    let (mut our_ear, our_mouth) = ours.audio().await.expect("accepted");
    let (mut their_ear, their_mouth) = theirs.audio().await.expect("accepted");
    for (mouth, ear) in [(our_mouth, &mut their_ear), (their_mouth, &mut our_ear)] {
        mouth.play(&[1000; 1600]).await;
        let frame = tokio::time::timeout(PATIENCE, ear.next_frame()).await;
        assert!(frame.is_ok_and(|frame| frame.is_some()), "nothing is heard");
    }
}

#[tokio::test]
async fn when_one_of_several_declines_whoever_answers_is_heard() {
    let route = "[[routes]]\nnumber = \"1\"\nto = [\"peer:bob\", \"peer:cid\"]\nstrategy = \"all\"";
    let (switch, to) = switch(&format!("{THREE_PEERS}{route}"));
    let (ann, bob, cid) = (phone(), phone(), phone());
    let _bob = registered(&bob, to, "bob", "b").await;
    let _cid = registered(&cid, to, "cid", "c").await;
    let mut ours = ann.call(to, named("1", "ann", "a")).await.expect("placed");
    let mut at_bob = bob.incoming().await.expect("bob rings");
    let mut at_cid = cid.incoming().await.expect("cid rings");
    at_bob.ring().await.expect("accepted");
    at_cid.ring().await.expect("accepted");
    at_bob.reject(CauseCode::REJECTED);
    // Ann's leg and that to cid are left.
    legs(&switch, 2).await;
    let theirs = at_cid.answer().await.expect("the caller waits");
    ours.answered().await.expect("answered");
    they_hear_each_other(&ours, &theirs).await;
}

#[tokio::test]
async fn of_several_only_those_ring_that_can_speak_together() {
    let text = "
[peers.ann]
secret = \"a\"
[peers.bob]
secret = \"b\"
codecs = [\"alaw\"]
[peers.cid]
secret = \"c\"
codecs = [\"ulaw\"]
[peers.dan]
secret = \"d\"
codecs = [\"ulaw\", \"alaw\"]
[[routes]]
number = \"1\"
to = [\"peer:bob\", \"peer:cid\", \"peer:dan\"]
strategy = \"all\"
[[routes]]
prefix = \"9\"
to = [\"peer:cid/{number:1}\", \"builtin:echo\"]
";
    let (_switch, to) = switch(text);
    let (ann, bob, cid, dan) = (phone(), phone(), phone(), phone());
    let _bob = registered(&bob, to, "bob", "b").await;
    let _cid = registered(&cid, to, "cid", "c").await;
    let _dan = registered(&dan, to, "dan", "d").await;
    let mut ours = ann.call(to, named("1", "ann", "a")).await.expect("placed");
    let (one, other) = tokio::join!(
        async {
            tokio::select! {
                incoming = bob.incoming() => ("bob", incoming.expect("rings")),
                incoming = cid.incoming() => ("cid", incoming.expect("rings")),
            }
        },
        dan.incoming()
    );
    let (name, mut at_one) = one;
    assert!(["bob", "cid"].contains(&name));
    at_one.ring().await.expect("accepted");
    let theirs = other.expect("dan rings").answer().await.expect("the caller waits");
    ours.answered().await.expect("answered");
    they_hear_each_other(&ours, &theirs).await;
    // A rewriting that leaves nothing of a number is no number.
    let mut empty = ann.call(to, named("9", "ann", "a")).await.expect("placed");
    empty.answered().await.expect("the echo takes it");
}

#[tokio::test]
async fn a_name_cannot_forge_a_line_of_the_log() {
    let (switch, to) = switch(TWO_PEERS);
    let phone = phone();
    let cause = refusal(&phone, to, named("600\nINFO forged", "ann\nINFO forged", "a")).await;
    assert_eq!(cause, CauseCode::FACILITY_NOT_SUBSCRIBED);
    let cause = refusal(&phone, to, named("60\u{1b}[2J", "ann", "a")).await;
    assert_eq!(cause, CauseCode::NO_ROUTE);
    assert_eq!(switch.with(|endpoint, _, _| endpoint.calls()).await, Ok(0));
}
