//! Calls and registrations with a real Asterisk 22, in both directions.

use std::fs;
use std::time::Duration;

use oneport::media::{Codec, wav};
use oneport::{
    Call, CallError, CallEvent, CauseCode, EndReason, Format, NewCall, Phone, Registration,
    RegistrationConfig, RegistrationEvent, Secret,
};
use oneport_interop::{
    PATIENCE, PHONE, call_over, echo_is_exact, find_exactly, named, phone, speech, switch,
    wait_for_silence,
};
use oneport_testkit::peers::asterisk::Asterisk;
use oneport_testkit::peers::tshark::Capture;
use oneport_testkit::peers::wait_for;

/// Users with a secret and without, call tokens required.
const IAX: &str = "
requirecalltoken=yes
disallow=all
allow=ulaw
allow=alaw
[ann]
type=friend
host=dynamic
auth=md5
secret=right
context=test
requirecalltoken=yes
[guest]
type=user
context=test
requirecalltoken=yes
[gsm]
type=user
auth=md5
secret=right
context=test
disallow=all
allow=gsm
";

const EXTENSIONS: &str = "
[test]
exten => echo,1,Answer()
same => n,Echo()
exten => milliwatt,1,Answer()
same => n,Milliwatt(o)
exten => busy,1,Busy(1)
exten => congestion,1,Congestion(1)
exten => record,1,Answer()
same => n,Record(${SOUNDS}/said.ulaw,0,0,qk)
exten => ring,1,Ringing()
same => n,Wait(1)
same => n,Answer()
same => n,Wait(20)
";

async fn end_of(phone: &Phone, asterisk: &Asterisk, call: NewCall) -> (EndReason, CauseCode) {
    let mut call = phone.call(asterisk.address(), call).await.expect("placed");
    let end = call.ended().await.expect("running");
    (end.reason, end.cause)
}

async fn answered(phone: &Phone, asterisk: &Asterisk, call: NewCall) -> Call {
    let mut call = phone.call(asterisk.address(), call).await.expect("placed");
    match call.answered().await {
        Ok(_) => call,
        Err(error) => panic!("{error}; Asterisk's log:\n{}", asterisk.log()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn asterisk_s_refusals_come_with_their_causes() {
    let asterisk = Asterisk::start(IAX, EXTENSIONS);
    let (phone, _) = phone();
    let end = end_of(&phone, &asterisk, named("busy", "ann", "right")).await;
    assert_eq!(end, (EndReason::RemoteHangup, CauseCode::USER_BUSY));
    let end = end_of(&phone, &asterisk, named("congestion", "ann", "right")).await;
    assert_eq!(end.0, EndReason::RemoteHangup);
    assert!(
        [CauseCode::CIRCUIT_CONGESTION, CauseCode::SWITCH_CONGESTION].contains(&end.1),
        "{}",
        end.1
    );
    let end = end_of(&phone, &asterisk, named("nowhere", "ann", "right")).await;
    assert_eq!(end, (EndReason::RemoteReject, CauseCode::NO_ROUTE));
    let end = end_of(&phone, &asterisk, named("echo", "ann", "wrong")).await;
    assert_eq!(end, (EndReason::RemoteReject, CauseCode::FACILITY_NOT_SUBSCRIBED));
    let end = end_of(&phone, &asterisk, named("echo", "nobody", "right")).await;
    assert_eq!(end, (EndReason::RemoteReject, CauseCode::FACILITY_NOT_SUBSCRIBED));
    let end = end_of(&phone, &asterisk, named("echo", "gsm", "right")).await;
    assert_eq!(end.0, EndReason::RemoteReject, "no common codec: {}", end.1);
    let mut nameless = NewCall::to("echo");
    nameless.username = Some("ann".into());
    let end = end_of(&phone, &asterisk, nameless).await;
    assert_eq!(end.0, EndReason::CannotAuthenticate);
}

#[tokio::test(flavor = "multi_thread")]
async fn asterisk_s_echo_returns_every_byte() {
    let asterisk = Asterisk::start(IAX, EXTENSIONS);
    let (phone, own) = phone();
    let capture = Capture::start(&[own.port()]);
    let call = answered(&phone, &asterisk, named("echo", "ann", "right")).await;
    let (mut reader, speaker) = call.audio().await.expect("accepted");
    let sent = speech();
    echo_is_exact(&mut reader, &speaker, &sent).await;
    drop(call);
    let packets = tokio::task::spawn_blocking(|| capture.finish()).await.expect("no panic");
    // One packet of a capture may hold several datagrams that left together.
    assert!(packets.len() > 400, "{} packets", packets.len());
    for packet in &packets {
        assert!(!packet.malformed, "{packet:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn asterisk_s_milliwatt_is_heard() {
    let asterisk = Asterisk::start(IAX, EXTENSIONS);
    let (phone, _) = phone();
    let mut guest = NewCall::to("milliwatt");
    guest.formats = vec![Format::ULAW];
    let call = answered(&phone, &asterisk, guest).await;
    let (mut reader, _) = call.audio().await.expect("accepted");
    for _ in 0..20 {
        let frame = reader.next_frame().await.expect("audio");
        let period = &oneport::media::tone::MILLIWATT_ULAW;
        let doubled = period.repeat(2);
        let start = doubled.windows(8).position(|window| frame.payload[..8] == *window);
        assert!(start.is_some(), "{:x?}", &frame.payload[..8]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn asterisk_records_what_we_say() {
    let asterisk = Asterisk::start(IAX, "[test]\n");
    let (inside, outside) = asterisk.file("said.ulaw");
    let directory = inside.trim_end_matches("/said.ulaw");
    asterisk.set_dialplan(&EXTENSIONS.replace("${SOUNDS}", directory));
    let (phone, _) = phone();
    let call = answered(&phone, &asterisk, named("record", "ann", "right")).await;
    let speaker = call.speaker().expect("accepted");
    // Record() listens a moment after the answer.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let sent = speech();
    let mut samples = Vec::new();
    Codec::Ulaw.decode(&sent, &mut samples);
    speaker.play(&samples).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(call);
    wait_for("Asterisk's recording", PATIENCE, || {
        fs::metadata(&outside).is_ok_and(|file| file.len() >= sent.len() as u64)
    });
    find_exactly(&sent, &fs::read(&outside).expect("readable"));
}

/// A dial plan in which Asterisk plays speech into a call.
fn player(file: &str) -> String {
    format!(
        "[test]\nexten => play,1,Wait(0.5)\nsame => n,Playback({file})\nsame => n,Wait(1)\n\
         same => n,Hangup()\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn we_record_what_asterisk_says() {
    let asterisk = Asterisk::start(IAX, "[test]\n");
    let (inside, outside) = asterisk.file("speech.ulaw");
    fs::write(outside, speech()).expect("writable");
    asterisk.set_dialplan(&player(inside.trim_end_matches(".ulaw")));
    let directory = tempfile::tempdir().expect("a directory");
    let (_switch, to) = switch(&format!(
        "[audio]\nrecord = {:?}\n[peers.ann]\nsecret = \"right\"\n",
        directory.path()
    ));
    asterisk.originate(&format!("IAX2/ann:right@{to}/record"), "play@test");
    let mut path = None;
    wait_for("a recording", PATIENCE, || {
        path = fs::read_dir(directory.path()).expect("readable").next();
        path.is_some()
    });
    let path = path.expect("there is one").expect("readable").path();
    wait_for("the end of the recording", PATIENCE, || {
        wav::read(&path, 8000).is_ok_and(|samples| samples.len() >= 8 * 8000)
            && asterisk.cli("core show channels").contains("0 active channels")
    });
    let mut heard = Vec::new();
    tokio::time::sleep(Duration::from_millis(300)).await;
    Codec::Ulaw.encode(&wav::read(&path, 8000).expect("a WAV file"), &mut heard);
    find_exactly(&speech(), &heard);
}

#[tokio::test(flavor = "multi_thread")]
async fn our_echo_returns_every_byte_to_asterisk() {
    let asterisk = Asterisk::start(&format!("disallow=all\nallow=ulaw\n{PHONE}"), "[phone]\n");
    let (_switch, to) = switch("");
    let capture = Capture::start(&[to.port()]);
    let (phone, _) = phone();
    let call = call_over(&phone, &asterisk, &format!("IAX2/{to}/echo")).await;
    let (mut reader, speaker) = call.audio().await.expect("accepted");
    echo_is_exact(&mut reader, &speaker, &speech()).await;
    drop(call);
    wait_for_silence(&asterisk);
    let packets = tokio::task::spawn_blocking(|| capture.finish()).await.expect("no panic");
    // One packet of a capture may hold several datagrams that left together.
    assert!(packets.len() > 400, "{} packets", packets.len());
    for packet in packets.iter().filter(|packet| packet.from_port == to.port()) {
        assert!(!packet.malformed, "{packet:?}");
    }
}

async fn register(phone: &Phone, asterisk: &Asterisk, secret: &str) -> Registration {
    let config = RegistrationConfig {
        to: asterisk.address(),
        others: Vec::new(),
        username: "ann".into(),
        secret: Some(Secret::from(secret)),
        key: None,
        allow_plaintext: false,
        refresh: Duration::from_secs(60),
    };
    phone.register(config).await.expect("running")
}

#[tokio::test(flavor = "multi_thread")]
async fn we_register_at_asterisk_and_are_called_there() {
    let extensions = "[test]\nexten => ring,1,Dial(IAX2/ann/s,20)\n";
    let asterisk = Asterisk::start(IAX, extensions);
    let (phone, own) = phone();
    let mut wrong = register(&phone, &asterisk, "wrong").await;
    let event = wrong.next_event().await;
    assert!(matches!(event, Some(RegistrationEvent::Failed { .. })), "{event:?}");
    drop(wrong);
    let mut registration = register(&phone, &asterisk, "right").await;
    match registration.next_event().await {
        Some(RegistrationEvent::Registered { apparent_address, refresh, .. }) => {
            assert_eq!(apparent_address, Some(own));
            assert_eq!(refresh, Duration::from_secs(60));
        }
        other => panic!("{other:?}"),
    }
    assert!(asterisk.cli("iax2 show peer ann").contains(&own.port().to_string()));
    asterisk.originate("IAX2/ann/hello", "ring@test");
    let incoming = phone.incoming().await.expect("offered");
    assert_eq!(incoming.offer().called_number, "hello");
    let call = incoming.answer().await.expect("the caller waits");
    drop(call);
    registration.unregister().await;
    wait_for("Asterisk to forget us", Duration::from_secs(5), || {
        asterisk.cli("iax2 show peer ann").contains("(Unspecified)")
            || asterisk.cli("iax2 show peer ann").contains("(null)")
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn asterisk_registers_with_us_and_is_called_until_it_expires() {
    let (_switch, to) = switch(
        "[peers.box]\nsecret = \"right\"\nmin_refresh = 10\nmax_refresh = 10\n\
         [peers.ann]\nsecret = \"a\"\n",
    );
    let iax = format!("register => box:right@{to}\n{IAX}");
    let mut asterisk = Asterisk::start(&iax, EXTENSIONS);
    wait_for("the registration", PATIENCE, || {
        asterisk.cli("iax2 show registry").contains("Registered")
    });
    let (phone, _) = phone();
    // Asterisk takes calls of peers without a name as its guest, who gets there.
    let mut call = phone.call(to, named("box", "ann", "a")).await.expect("placed");
    let result = call.answered().await;
    let Err(CallError::Ended(end)) = result else { panic!("there is no extension box") };
    assert_eq!(end.cause, CauseCode::NO_ROUTE, "its dial plan knows no number box");
    // It was granted 10 s, which hold for 20: after 22 s it is there only because it has renewed.
    tokio::time::sleep(Duration::from_secs(22)).await;
    let mut call = phone.call(to, named("box", "ann", "a")).await.expect("placed");
    let Err(CallError::Ended(end)) = call.answered().await else { panic!("no extension box") };
    assert_eq!(end.cause, CauseCode::NO_ROUTE, "it has renewed its registration");
    asterisk.kill();
    let start = std::time::Instant::now();
    loop {
        let mut call = phone.call(to, named("box", "ann", "a")).await.expect("placed");
        let Err(CallError::Ended(end)) = call.answered().await else { panic!("nobody is there") };
        if end.cause == CauseCode::SUBSCRIBER_ABSENT {
            break;
        }
        assert!(start.elapsed() < 2 * PATIENCE, "it is still there: {}", end.cause);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_asterisks_talk_through_the_switch() {
    let (_switch, to) = switch(
        "[peers.left]\nsecret = \"l\"\n[peers.right]\nsecret = \"r\"\n\
         [[routes]]\nnumber = \"7\"\nto = [\"peer:right/talk\"]\n",
    );
    let called = "[test]\nexten => talk,1,Answer()\nsame => n,Read(got,,3,,1,10)\n\
                  same => n,Verbose(0,right read ${got})\nsame => n,SendText(from right)\n\
                  same => n,Wait(1)\nsame => n,SendDTMF(456)\n\
                  same => n,ReceiveText(10)\n\
                  same => n,Verbose(0,right heard ${RECEIVETEXTMESSAGE})\nsame => n,Wait(5)\n";
    let caller = "[test]\nexten => talk,1,Wait(1)\nsame => n,SendDTMF(123)\n\
                  same => n,ReceiveText(10)\n\
                  same => n,Verbose(0,left heard ${RECEIVETEXTMESSAGE})\n\
                  same => n,Read(got,,3,,1,10)\nsame => n,Verbose(0,left read ${got})\n\
                  same => n,SendText(from left)\nsame => n,Wait(2)\nsame => n,Hangup()\n";
    let capture = Capture::start(&[to.port()]);
    let right = Asterisk::start(&format!("register => right:r@{to}\n{IAX}"), called);
    let left = Asterisk::start(IAX, caller);
    wait_for("the registration", PATIENCE, || {
        right.cli("iax2 show registry").contains("Registered")
    });
    left.originate(&format!("IAX2/left:l@{to}/7"), "talk@test");
    right.wait_for_log("right read 123");
    left.wait_for_log("left heard from right");
    left.wait_for_log("left read 456");
    right.wait_for_log("right heard from left");
    wait_for("the end on both sides", PATIENCE, || {
        [&left, &right]
            .iter()
            .all(|side| side.cli("core show channels").contains("0 active channels"))
    });
    let packets = tokio::task::spawn_blocking(|| capture.finish()).await.expect("no panic");
    let ours = packets.iter().filter(|packet| packet.from_port == to.port());
    let mut count = 0;
    for packet in ours {
        assert!(!packet.malformed, "{packet:?}");
        count += 1;
    }
    assert!(count > 30, "{count} packets of ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn asterisk_rings_before_it_answers() {
    let asterisk = Asterisk::start(IAX, EXTENSIONS);
    let (phone, _) = phone();
    let call = named("ring", "ann", "right");
    let mut call = phone.call(asterisk.address(), call).await.expect("placed");
    let mut rang = false;
    loop {
        match call.next_event().await.expect("alive") {
            CallEvent::Progress(oneport::Progress::Ringing) => rang = true,
            CallEvent::Answered => break,
            CallEvent::Ended(end) => panic!("{end:?}"),
            _ => {}
        }
    }
    assert!(rang);
}
