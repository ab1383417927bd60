//! Two phones on the loopback.

use std::net::SocketAddr;
use std::time::Duration;

use oneport::media::comfort_noise::level_of;
use oneport::media::{Codec, Recorder};
use oneport::{
    AudioReader, Call, CallError, CallEvent, CauseCode, Challenge, Control, DropReason, DtmfPhase,
    EndReason, Format, NewCall, Phone, PhoneConfig, PingError, Playout, RegistrationConfig,
    RegistrationEvent, RegistrationFailure, Secret,
};

fn phone(address: &str) -> (Phone, SocketAddr) {
    let listen = vec![address.parse().expect("an address")];
    let phone = Phone::bind(PhoneConfig { listen, ..PhoneConfig::default() }).expect("bound");
    let address = phone.local_addresses()[0];
    (phone, address)
}

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until the called side is sure of the caller's address: it says nothing to anybody else.
async fn known(ours: &Call, theirs: &mut Call) {
    ours.send_text("here").await.expect("accepted");
    let text = tokio::time::timeout(PATIENCE, theirs.next_event()).await.expect("in time");
    assert_eq!(text, Some(CallEvent::Text("here".into())));
}

/// A call from the first phone to the second, answered.
async fn connect(caller: &Phone, called: &Phone, to: SocketAddr) -> (Call, Call) {
    let mut call = caller.call(to, NewCall::to("1")).await.expect("placed");
    let incoming = called.incoming().await.expect("offered");
    let answered = incoming.answer().await.expect("answered");
    assert_eq!(call.answered().await.expect("answered"), Format::ULAW);
    (call, answered)
}

/// Every µ-law byte but those of silence, so that audio survives the codec unchanged.
fn noise(frames: usize) -> Vec<i16> {
    let mut samples = Vec::new();
    let bytes: Vec<u8> = (0..frames * 160).map(|n| (n * 7919 / 3 % 255) as u8 | 0x80).collect();
    let bytes: Vec<u8> = bytes.into_iter().map(|byte| byte.min(0xFE)).collect();
    Codec::Ulaw.decode(&bytes, &mut samples);
    samples
}

async fn record(mut reader: AudioReader, frames: usize) -> Vec<i16> {
    let (mut recorder, mut out) = (Recorder::new(8000), Vec::new());
    for _ in 0..frames {
        let frame = tokio::time::timeout(PATIENCE, reader.next_frame());
        let frame = frame.await.expect("audio flows").expect("the call lives");
        let mut samples = Vec::new();
        Codec::Ulaw.decode(&frame.payload, &mut samples);
        recorder.place(frame.timestamp.0, &samples, |samples| out.extend_from_slice(samples));
    }
    recorder.finish(|samples| out.extend_from_slice(samples));
    out
}

#[tokio::test]
async fn audio_arrives_bit_for_bit_in_both_directions_at_once() {
    let ((a, _), (b, to)) = (phone("127.0.0.1:0"), phone("127.0.0.1:0"));
    let (ours, mut theirs) = connect(&a, &b, to).await;
    known(&ours, &mut theirs).await;
    let sent = noise(30);
    let (ear_a, mouth_a) = ours.audio().await.expect("accepted");
    let (ear_b, mouth_b) = theirs.audio().await.expect("accepted");
    let (heard_a, heard_b, (), ()) = tokio::join!(
        record(ear_a, 30),
        record(ear_b, 30),
        mouth_a.play(&sent),
        mouth_b.play(&sent)
    );
    // Silence is heard where the machine stood still for longer than the clock of samples bears.
    let spoken = |heard: &[i16]| -> Vec<i16> {
        heard.iter().copied().filter(|sample| *sample != 0).collect()
    };
    assert!(spoken(&heard_a) == sent && spoken(&heard_b) == sent);
    let stats = ours.stats().await.expect("alive");
    assert_eq!(stats.received.frames, 30);
    assert!(stats.received.lost == 0 || heard_a.len() > sent.len(), "{stats:?}");
    drop(theirs);
}

#[tokio::test]
async fn digits_text_and_hold_arrive_in_order() {
    let ((a, _), (b, to)) = (phone("127.0.0.1:0"), phone("127.0.0.1:0"));
    let (ours, mut theirs) = connect(&a, &b, to).await;
    ours.send_dtmf("1#").await.expect("accepted");
    ours.send_text("good morning").await.expect("accepted");
    ours.send_control(Control::Hold).await.expect("accepted");
    let mut heard = Vec::new();
    for _ in 0..6 {
        heard.push(theirs.next_event().await.expect("alive"));
    }
    let dtmf = |digit, phase| CallEvent::Dtmf { digit, phase };
    let expected = [
        dtmf(b'1', DtmfPhase::Begin),
        dtmf(b'1', DtmfPhase::End),
        dtmf(b'#', DtmfPhase::Begin),
        dtmf(b'#', DtmfPhase::End),
        CallEvent::Text("good morning".into()),
        CallEvent::Control { control: Control::Hold, payload: vec![] },
    ];
    assert_eq!(heard, expected);
    ours.send_dtmf("x").await.expect_err("no such key");
}

#[tokio::test]
async fn either_side_hangs_up_with_a_cause_and_a_dropped_call_too() {
    let ((a, _), (b, to)) = (phone("127.0.0.1:0"), phone("127.0.0.1:0"));
    let (mut ours, theirs) = connect(&a, &b, to).await;
    theirs.hangup(CauseCode::NO_ANSWER);
    let end = ours.ended().await.expect("running");
    assert_eq!((end.reason, end.cause), (EndReason::RemoteHangup, CauseCode::NO_ANSWER));
    let (ours, mut theirs) = connect(&a, &b, to).await;
    drop(ours);
    let end = theirs.ended().await.expect("running");
    assert_eq!((end.reason, end.cause), (EndReason::RemoteHangup, CauseCode::NORMAL_CLEARING));
}

#[tokio::test]
async fn a_call_is_rejected_or_has_to_prove_itself() {
    let ((a, _), (b, to)) = (phone("127.0.0.1:0"), phone("127.0.0.1:0"));
    let mut call = a.call(to, NewCall::to("1")).await.expect("placed");
    b.incoming().await.expect("offered").reject(CauseCode::USER_BUSY);
    let Err(CallError::Ended(end)) = call.answered().await else { panic!("answered") };
    assert_eq!((end.reason, end.cause), (EndReason::RemoteReject, CauseCode::USER_BUSY));
    for (secret, good) in [("right", true), ("wrong", false)] {
        let mut new = NewCall::to("1");
        new.username = Some("site".into());
        new.secret = Some(Secret::from(secret));
        let mut call = a.call(to, new).await.expect("placed");
        let mut incoming = b.incoming().await.expect("offered");
        let challenge = Challenge::md5("site", Secret::from("right"));
        assert_eq!(incoming.authenticate(challenge).await.is_ok(), good);
        if good {
            let _theirs = incoming.answer().await.expect("answered");
            call.answered().await.expect("answered");
        } else {
            let end = call.ended().await.expect("running");
            assert_eq!(end.cause, CauseCode::FACILITY_NOT_SUBSCRIBED);
        }
    }
}

#[tokio::test]
async fn a_call_without_a_common_codec_is_rejected_for_that() {
    let ((a, _), (b, to)) = (phone("127.0.0.1:0"), phone("127.0.0.1:0"));
    let mut new = NewCall::to("1");
    new.formats = vec![Format::OPUS];
    let mut call = a.call(to, new).await.expect("placed");
    let end = call.ended().await.expect("running");
    assert_eq!(end.cause, CauseCode::BEARER_NOT_AVAILABLE);
    drop(b);
}

#[tokio::test]
async fn two_hundred_calls_at_once_are_echoed_and_leave_nothing_behind() {
    const CALLS: usize = 200;
    let ((a, _), (b, to)) = (phone("127.0.0.1:0"), phone("127.0.0.1:0"));
    let server = tokio::spawn(async move {
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..CALLS {
            let incoming = b.incoming().await.expect("offered");
            calls.spawn(async move {
                let mut call = incoming.answer().await.expect("answered");
                call.echo().await.expect("accepted");
                call.send_text("echo").await.expect("accepted");
                call.ended().await.expect("running")
            });
        }
        let ends = calls.join_all().await;
        assert!(ends.iter().all(|end| end.reason == EndReason::RemoteHangup));
        b
    });
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..CALLS {
        let mut call = a.call(to, NewCall::to("1")).await.expect("placed");
        calls.spawn(async move {
            call.answered().await.expect("answered");
            // The echo is linked a moment after the answer.
            while call.next_event().await.expect("alive") != CallEvent::Text("echo".into()) {}
            let (mut ear, mouth) = call.audio().await.expect("accepted");
            // One frame of each is on its way, so that no buffer is full where the machine stands still.
            for n in 0..10 {
                let said = [n; 160];
                mouth.send(Format::ULAW, &said, 20);
                let frame = tokio::time::timeout(PATIENCE, ear.next_frame()).await;
                let frame = frame.expect("it comes back").expect("the call lives");
                assert_eq!(frame.payload.as_slice(), said);
            }
        });
    }
    calls.join_all().await;
    let b = server.await.expect("no panic");
    assert_eq!((a.calls().await, b.calls().await), (Ok(0), Ok(0)));
}

#[tokio::test]
async fn a_peer_answers_a_ping_from_the_address_that_was_asked() {
    let (a, _) = phone("0.0.0.0:0");
    let (b, address) = phone("0.0.0.0:0");
    for ip in ["127.0.0.1", "127.0.1.1"] {
        let to = SocketAddr::new(ip.parse().expect("an address"), address.port());
        a.ping(to, Duration::from_secs(2)).await.expect(ip);
        let mut call = a.call(to, NewCall::to("1")).await.expect("placed");
        let _theirs = b.incoming().await.expect("offered").answer().await.expect("answered");
        call.answered().await.expect(ip);
    }
    drop(b);
    // Somebody who listens and says nothing.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").expect("bound");
    let nobody = silent.local_addr().expect("bound");
    let result = a.ping(nobody, Duration::from_millis(200)).await;
    assert_eq!(result, Err(PingError::TimedOut));
}

#[tokio::test]
async fn ipv6_works_as_ipv4_does() {
    let ((a, _), (b, to)) = (phone("[::1]:0"), phone("[::1]:0"));
    let (call, theirs) = connect(&a, &b, to).await;
    drop((call, theirs));
}

#[tokio::test]
async fn a_phone_is_no_registrar() {
    let ((a, _), (_b, to)) = (phone("127.0.0.1:0"), phone("127.0.0.1:0"));
    let config = RegistrationConfig {
        to,
        others: Vec::new(),
        username: "site".into(),
        secret: None,
        key: None,
        allow_plaintext: false,
        refresh: Duration::from_secs(60),
    };
    let mut registration = a.register(config).await.expect("running");
    let event = registration.next_event().await.expect("alive");
    let RegistrationEvent::Failed { failure, .. } = event else { panic!("{event:?}") };
    assert!(matches!(failure, RegistrationFailure::Refused { .. }), "{failure:?}");
    registration.unregister().await;
}

/// Waits until a phone has counted at least `count` drops of a kind.
async fn dropped(phone: &Phone, reason: DropReason, count: u64) {
    let counted = async {
        while phone.counters().await.expect("running").dropped(reason) < count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let counted = tokio::time::timeout(PATIENCE, counted).await;
    assert!(counted.is_ok(), "{reason} was not counted {count} times");
}

#[tokio::test]
async fn a_pause_of_which_the_other_side_tells_is_heard_as_noise_until_it_speaks() {
    let ((a, _), (b, to)) = (phone("127.0.0.1:0"), phone("127.0.0.1:0"));
    let (ours, theirs) = connect(&a, &b, to).await;
    let (reader, _) = theirs.audio().await.expect("accepted");
    let mut playout = Playout::new(reader, 16_000);
    let speaker = ours.speaker().expect("accepted");
    // Until a whole second is as loud as this, in −dBov.
    let hears = async |playout: &mut Playout, level: u8| {
        let mut heard = Vec::new();
        let second = async {
            loop {
                assert!(playout.next(&mut heard).await, "the call goes on");
                if let Some(last) = heard.len().checked_sub(16_000)
                    && level_of(&heard[last..]).abs_diff(level) <= 3
                {
                    return;
                }
            }
        };
        let heard = tokio::time::timeout(Duration::from_secs(60), second).await;
        assert!(heard.is_ok(), "-{level} dBov is not heard");
    };
    let voice = noise(50);
    let loud = level_of(&voice);
    for level in [45, 60] {
        let speak = async {
            loop {
                speaker.play(&voice).await;
            }
        };
        tokio::select! {
            () = speak => unreachable!("it goes on"),
            () = hears(&mut playout, loud) => {}
        }
        speaker.pause(level);
        hears(&mut playout, level).await;
    }
}

#[tokio::test]
async fn audio_that_nobody_fetches_is_counted() {
    let ((a, _), (b, to)) = (phone("127.0.0.1:0"), phone("127.0.0.1:0"));
    let (ours, mut theirs) = connect(&a, &b, to).await;
    known(&ours, &mut theirs).await;
    let speaker = ours.speaker().expect("accepted");
    for _ in 0..10 {
        speaker.send(Format::ULAW, &[0xFF; 160], 20);
    }
    dropped(&b, DropReason::NobodyListens, 10).await;
    let (mut reader, _) = theirs.audio().await.expect("accepted");
    for _ in 0..200 {
        speaker.send(Format::ULAW, &[0xFF; 160], 20);
    }
    dropped(&b, DropReason::MediaQueueFull, 200 - 128).await;
    for _ in 0..128 {
        assert!(reader.next_frame().await.is_some(), "what is kept stays in order");
    }
}

#[tokio::test]
async fn a_call_whose_events_nobody_reads_is_ended_and_told_so() {
    let ((a, _), (b, to)) = (phone("127.0.0.1:0"), phone("127.0.0.1:0"));
    let (mut ours, mut theirs) = connect(&a, &b, to).await;
    let mut texts = 0;
    while ours.send_text("are you there?").await.is_ok() {
        texts += 1;
        assert!(texts < 100_000, "the other side takes text without end");
    }
    let end = ours.ended().await.expect("running");
    assert_eq!(end.cause, CauseCode::SWITCH_CONGESTION);
    let mut kept = 0;
    let end = loop {
        match theirs.next_event().await.expect("the end is told") {
            CallEvent::Ended(end) => break end,
            CallEvent::Text(_) => kept += 1,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((kept, end.reason), (255, EndReason::LocalHangup));
}

#[tokio::test]
async fn what_the_system_will_not_send_is_counted() {
    let (a, _) = phone("127.0.0.1:0");
    let nowhere = "255.255.255.255:4569".parse().expect("an address");
    let _broadcast = a.call(nowhere, NewCall::to("1")).await.expect("placed");
    dropped(&a, DropReason::SendFailed, 1).await;
    let six = "[::1]:4569".parse().expect("an address");
    let _other_family = a.call(six, NewCall::to("1")).await.expect("placed");
    dropped(&a, DropReason::NoSocket, 1).await;
}
