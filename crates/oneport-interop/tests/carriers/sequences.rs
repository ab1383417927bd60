//! Sequences of messages that carriers come with, one test each, with sipp on the other side.

use std::time::Duration;

use oneport::{CallEvent, CauseCode, Control, Progress};
use oneport_interop::{PATIENCE, phone};
use oneport_testkit::peers::sipp::{Scenario, Sipp};
use oneport_testkit::peers::{own_loopback, wait_for};
use tokio::time::timeout;

use crate::script::{Script, VOICE};
use crate::shared::{
    System, ann, called, callee, calling, carrier, control, gateway, loopback, refusal, route,
    seen, seen_times, talk,
};

const HOLD: &str = "[local_ip] RTP/AVP 0 101\na=sendonly";

/// A carrier that calls from `from`, and Bob, whom its number reaches.
fn to_bob(from: std::net::SocketAddr) -> (System, oneport::Phone) {
    let (bob, address) = phone();
    let text = format!(
        "[peers.bob]\naddress = \"{address}\"\nqualify = false\n{}{}",
        carrier("acme", from, ""),
        route("\"peer:bob\"")
    );
    (gateway(&text), bob)
}

/// A carrier called `acme`, and the way to it.
fn acme(sipp: &Sipp, more: &str) -> System {
    gateway(&(carrier("acme", sipp.address(), more) + &route("\"carrier:acme\"")))
}

/// A call of a carrier's that Bob answers.
async fn answered(bob: &oneport::Phone) -> oneport::Call {
    let incoming = timeout(PATIENCE, bob.incoming()).await.expect("in time").expect("a call");
    incoming.answer().await.expect("answered")
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_go_both_ways_by_tcp() {
    let us = std::net::SocketAddr::from((own_loopback(), 5060));
    let (there, from) = (own_loopback(), own_loopback());
    let script = Script::is_called().answers(0, "180 Ringing", &[], None).picks_up().gets_bye();
    let xml = script.xml();
    let listen = (there, 5060).into();
    let (to, arguments) = (None, ["-t", "t1"]);
    let mut sipp =
        Sipp::start(&Scenario { xml: &xml, calls: (1, 1), listen, to, arguments: &arguments });
    let text = format!(
        "tcp = [\"{us}\"]\n{}{}[[routes]]\nnumber = \"600\"\nto = [\"builtin:echo\"]\n{}",
        carrier("acme", listen, "transport = \"tcp\""),
        carrier("other", (from, 5060).into(), "transport = \"tcp\""),
        route("\"carrier:acme\"")
    );
    let system = gateway(&text);
    let (phone, _) = phone();
    drop(talk(&phone, &system).await);
    sipp.finished();
    let script = Script::calls(&[], Some(VOICE)).may_hear(100).may_hear(180).hears(200).acks(1);
    let xml =
        script.asks("INVITE", 2, &[], Some(HOLD)).may_hear(100).hears(200).acks(2).hangs_up(3);
    let xml = xml.xml();
    let (listen, to) = ((from, 5060).into(), Some(us));
    let arguments = ["-t", "t1", "-s", "600"];
    Sipp::start(&Scenario { xml: &xml, calls: (5, 2), listen, to, arguments: &arguments })
        .finished();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reliable_provisional_answer_is_acknowledged_once() {
    let reliable = ["Require: 100rel", "RSeq: 7"];
    let mut sipp = called(
        Script::is_called()
            .answers(0, "183 Session Progress", &reliable, Some(VOICE))
            .receives_with("PRACK", &["RAck: 7 [0-9]+ INVITE"])
            // The same once more, as if that had been lost.
            .answers(0, "183 Session Progress", &reliable, Some(VOICE))
            .agrees()
            .answers(0, "183 Session Progress", &["Require: 100rel", "RSeq: 8"], Some(VOICE))
            .receives_with("PRACK", &["RAck: 8 [0-9]+ INVITE"])
            .agrees()
            .picks_up()
            .gets_bye(),
    );
    let system = acme(&sipp, "");
    let (phone, _) = phone();
    let mut call = phone.call(system.iax, ann("12125550100")).await.expect("placed");
    let mut early = false;
    loop {
        let event = timeout(PATIENCE, call.next_event()).await.expect("in time").expect("it lives");
        early |= event == CallEvent::Progress(Progress::EarlyMedia);
        assert!(!matches!(event, CallEvent::Ended(_)), "{event:?}");
        if event == CallEvent::Answered {
            break;
        }
    }
    assert!(early, "early media was heard of");
    drop(call);
    sipp.finished();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_names_another_number_is_followed_there() {
    let script = Script::is_called_either(
        "INVITE sip:12125550177@",
        |second| second.picks_up().gets_bye(),
        |first| {
            let contact = "Contact: <sip:12125550177@elsewhere.example>";
            first.answers(0, "302 Moved Temporarily", &[contact], None).receives("ACK")
        },
    );
    let mut sipp = callee(&script.xml(), 2);
    let system = acme(&sipp, "");
    let (phone, _) = phone();
    drop(talk(&phone, &system).await);
    sipp.finished();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_wants_a_longer_session_gets_it() {
    let script = Script::is_called_either(
        "Session-Expires: 3600",
        |second| second.picks_up().gets_bye(),
        |first| {
            let least = ["Min-SE: 3600"];
            first.answers(0, "422 Session Interval Too Small", &least, None).receives("ACK")
        },
    );
    let mut sipp = callee(&script.xml(), 2);
    let system = acme(&sipp, "session_seconds = 1800");
    let (phone, _) = phone();
    drop(talk(&phone, &system).await);
    sipp.finished();
    let messages = sipp.messages();
    assert!(messages.contains("Min-SE: 3600\r\n"), "{messages}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_wants_too_short_a_session_is_told_how_long_it_must_be() {
    let from = loopback();
    let (system, _bob) = to_bob(from);
    let short = ["Supported: timer", "Session-Expires: 30"];
    let script = Script::calls(&short, Some(VOICE)).may_hear(100);
    let script = script.hears_with(422, &["Min-SE: 90"]).acks_refusal(1);
    calling(script, from, system.sip, "600").finished();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_without_room_is_left_alone_for_as_long_as_it_says() {
    // One more than come: it waits until it is dropped.
    let full =
        Script::is_called().answers(0, "503 Full", &["Retry-After: 60"], None).receives("ACK");
    let full = callee(&full.xml(), 2);
    let free = Script::is_called().picks_up().gets_bye();
    let mut free = callee(&free.xml(), 2);
    let carriers = carrier("full", full.address(), "") + &carrier("free", free.address(), "");
    let system = gateway(&(carriers + &route("\"carrier:full\", \"carrier:free\"")));
    let (phone, _) = phone();
    drop(talk(&phone, &system).await);
    drop(talk(&phone, &system).await);
    free.finished();
    let messages = full.messages();
    assert_eq!(messages.matches("INVITE sip:").count(), 1, "{messages}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_says_nothing_is_followed_by_the_next_before_the_caller_loses_patience() {
    // It hears everything, and says nothing.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").expect("one is free");
    let address = silent.local_addr().expect("bound");
    let mut free = called(Script::is_called().picks_up().gets_bye());
    let carriers = carrier("silent", address, "") + &carrier("free", free.address(), "");
    let system = gateway(&(carriers + &route("\"carrier:silent\", \"carrier:free\"")));
    let (phone, _) = phone();
    drop(talk(&phone, &system).await);
    free.finished();
    // It would have been asked seven times before it was given up (RFC 3261 §17.1.1.2).
    silent.set_nonblocking(true).expect("set");
    let asked = std::iter::from_fn(|| silent.recv(&mut [0; 4096]).ok()).count();
    assert!((1..7).contains(&asked), "asked {asked} times");
}

#[tokio::test(flavor = "multi_thread")]
async fn however_a_carrier_holds_the_other_end_is_told_and_told_again_when_it_is_over() {
    let ways = [
        ("[local_ip] RTP/AVP 0 101\na=sendonly", "a=recvonly"),
        ("[local_ip] RTP/AVP 0 101\na=inactive", "a=inactive"),
        ("0.0.0.0 RTP/AVP 0 101\na=sendrecv", "a=recvonly|a=inactive|a=sendrecv"),
        ("0.0.0.0 RTP/AVP 0 101\na=inactive", "a=inactive"),
    ];
    let from = loopback();
    let (system, bob) = to_bob(from);
    let mut script = Script::calls(&[], Some(VOICE)).may_hear(100).may_hear(180).hears(200).acks(1);
    let mut number = 2;
    for (voice, answer) in ways {
        for (voice, answer) in [(voice, answer), (VOICE, "a=sendrecv")] {
            script = script.asks("INVITE", number, &[], Some(voice)).may_hear(100);
            script = script.hears_with(200, &[answer]).acks(number).waits(100);
            number += 1;
        }
    }
    let mut sipp = calling(script.hangs_up(number), from, system.sip, "600");
    let mut call = answered(&bob).await;
    for _ in ways {
        control(&mut call, Control::Hold).await;
        control(&mut call, Control::Unhold).await;
    }
    timeout(PATIENCE, call.ended()).await.expect("in time").expect("running");
    sipp.finished();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_meets_one_of_the_carriers_is_tried_again() {
    let mut sipp = called(
        Script::is_called()
            .picks_up()
            .receives_with("INVITE", &["a=sendonly"])
            .answers(2, "491 Request Pending", &[], None)
            .receives("ACK")
            .receives_with("INVITE", &["a=sendonly"])
            .answers(4, "200 OK", &[], Some("[local_ip] RTP/AVP 0 101\na=recvonly"))
            .receives("ACK")
            .receives_with("INVITE", &["a=sendrecv"])
            .answers(6, "200 OK", &[], Some(VOICE))
            .receives("ACK")
            .gets_bye(),
    );
    let system = acme(&sipp, "");
    let (phone, _) = phone();
    let call = talk(&phone, &system).await;
    call.hold(None).await.expect("held");
    seen(&sipp, "a=recvonly").await;
    call.unhold().await.expect("taken back");
    seen(&sipp, "CSeq: 4 ACK").await;
    drop(call);
    sipp.finished();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_carriers_that_meets_ours_waits() {
    let mut sipp = called(
        Script::is_called()
            .picks_up()
            .receives_with("INVITE", &["a=sendonly"])
            .asks("INVITE", 1, &[], Some(VOICE))
            .may_hear(100)
            .hears(491)
            .acks_refusal(1)
            .asks("UPDATE", 2, &[], Some(VOICE))
            .hears(491)
            .answers(2, "200 OK", &[], Some("[local_ip] RTP/AVP 0 101\na=recvonly"))
            .receives("ACK")
            .asks("INVITE", 3, &[], Some("[local_ip] RTP/AVP 0 101\na=recvonly"))
            .may_hear(100)
            .hears(200)
            .acks(3)
            .gets_bye(),
    );
    let system = acme(&sipp, "");
    let (phone, _) = phone();
    let call = talk(&phone, &system).await;
    call.hold(None).await.expect("held");
    seen(&sipp, "CSeq: 3 ACK").await;
    drop(call);
    sipp.finished();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_crosses_our_cancel_is_acknowledged_and_hung_up() {
    let mut sipp = called(
        Script::is_called()
            .answers(0, "180 Ringing", &[], None)
            .receives("CANCEL")
            .agrees()
            .answers(0, "200 OK", &[], Some(VOICE))
            .receives("ACK")
            .gets_bye(),
    );
    let system = acme(&sipp, "");
    let (phone, _) = phone();
    let mut call = phone.call(system.iax, ann("12125550100")).await.expect("placed");
    loop {
        let event = timeout(PATIENCE, call.next_event()).await.expect("in time").expect("it lives");
        assert!(!matches!(event, CallEvent::Ended(_)), "{event:?}");
        if event == CallEvent::Progress(Progress::Ringing) {
            break;
        }
    }
    drop(call);
    sipp.finished();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_fork_the_first_answer_gets_the_call_and_each_other_gets_bye() {
    let mut sipp = called(
        Script::is_called()
            .answers_as("x", 0, "180 Ringing", &[], None)
            .answers_as("y", 0, "183 Session Progress", &[], Some(VOICE))
            .answers_as("z", 0, "183 Session Progress", &[], Some(VOICE))
            .answers_as("a", 0, "200 OK", &[], Some(VOICE))
            .receives_with("ACK", &["tag=a[0-9]"])
            .answers_as("y", 0, "200 OK", &[], Some(VOICE))
            .receives_with("ACK", &["tag=y[0-9]"])
            .receives_with("BYE", &["tag=y[0-9]"])
            .agrees()
            .answers_as("z", 0, "200 OK", &[], Some(VOICE))
            .receives_with("ACK", &["tag=z[0-9]"])
            .receives_with("BYE", &["tag=z[0-9]"])
            .agrees()
            // The first lives.
            .asks("OPTIONS", 1, &[], None)
            .hears(200)
            .receives_with("BYE", &["tag=a[0-9]"])
            .agrees(),
    );
    let system = acme(&sipp, "");
    let (phone, _) = phone();
    let call = talk(&phone, &system).await;
    seen_times(2, &sipp, "CSeq: 1 OPTIONS").await;
    drop(call);
    sipp.finished();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_description_that_cannot_be_used_is_refused_in_either_direction() {
    let mut sipp = called(
        // G.729, which is not among the carrier's codecs.
        Script::is_called()
            .answers(0, "200 OK", &[], Some("[local_ip] RTP/AVP 18\na=ptime:20"))
            .receives("ACK")
            .receives_with("BYE", &["Q.850;cause="])
            .agrees(),
    );
    let system = acme(&sipp, "codecs = [\"ulaw\"]");
    let (phone, _) = phone();
    let cause = refusal(&phone, system.iax, "12125550100").await;
    assert_eq!(cause, CauseCode::BEARER_NOT_AVAILABLE);
    sipp.finished();
    let from = loopback();
    let (system, bob) = to_bob(from);
    let refused: [(&[&str], &str); 3] = [
        (&[], "[local_ip] RTP/AVP 18\na=ptime:20"),
        (&[], "[local_ip] UDP/TLS/RTP/SAVPF 0\na=setup:active"),
        (&["Content-Type: application/sdp"], "v=0\nm=what is this\n"),
    ];
    for (headers, voice) in refused {
        let script = Script::calls(headers, Some(voice)).may_hear(100).hears(488).acks_refusal(1);
        calling(script, from, system.sip, "600").finished();
    }
    // In a call it stays as it was.
    let script = Script::calls(&[], Some(VOICE)).may_hear(100).may_hear(180).hears(200).acks(1);
    let script = script.asks("INVITE", 2, &[], Some(refused[0].1)).may_hear(100).hears(488);
    let script = script.acks_refusal(2).asks("INVITE", 3, &[], Some(VOICE)).may_hear(100);
    let script = script.hears(200).acks(3).hangs_up(4);
    let mut sipp = calling(script, from, system.sip, "600");
    let mut call = answered(&bob).await;
    timeout(PATIENCE, call.ended()).await.expect("in time").expect("running");
    sipp.finished();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_carrier_requires_and_is_not_known_here_is_named() {
    let from = loopback();
    let (system, _bob) = to_bob(from);
    let requires = ["Require: timer, 100rel, noSuchThing"];
    let script = Script::calls(&requires, Some(VOICE)).may_hear(100);
    let script = script.hears_with(420, &["Unsupported: noSuchThing"]).acks_refusal(1);
    calling(script, from, system.sip, "600").finished();
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_told_by_info_arrive_in_either_direction() {
    let from = loopback();
    let (system, bob) = to_bob(from);
    let script = Script::calls(&[], Some(VOICE)).may_hear(100).may_hear(180).hears(200).acks(1);
    let script = script
        .asks(
            "INFO",
            2,
            &["Content-Type: application/dtmf-relay"],
            Some("Signal=5\nDuration=160\n"),
        )
        .hears(200)
        .asks("INFO", 3, &["Content-Type: application/dtmf"], Some("#"))
        .hears(200)
        .asks("INFO", 4, &["Content-Type: text/plain"], Some("hello"))
        .hears(415)
        .waits(300)
        .hangs_up(5);
    let mut sipp = calling(script, from, system.sip, "600");
    let mut call = answered(&bob).await;
    let mut keys = Vec::new();
    while let Some(event) = timeout(PATIENCE, call.next_event()).await.expect("in time") {
        if let CallEvent::Dtmf { digit, phase: oneport_proto::DtmfPhase::End } = event {
            keys.push(char::from(digit));
        }
        if let CallEvent::Ended(_) = event {
            break;
        }
    }
    assert_eq!(keys, ['5', '#']);
    sipp.finished();
    let mut sipp = called(
        Script::is_called()
            .picks_up()
            .receives_with("INFO", &["Content-Type: application/dtmf-relay", "Signal=7"])
            .agrees()
            .receives_with("INFO", &["Signal=\\*"])
            .agrees()
            .gets_bye(),
    );
    let system = acme(&sipp, "dtmf = \"info\"");
    let (phone, _) = phone();
    let call = talk(&phone, &system).await;
    call.send_dtmf("7*").await.expect("pressed");
    seen(&sipp, "Signal=*").await;
    drop(call);
    sipp.finished();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_renews_a_session_or_changes_it() {
    let from = loopback();
    let (system, bob) = to_bob(from);
    let session = ["Supported: timer", "Session-Expires: 1800;refresher=uac"];
    let script = Script::calls(&session, Some(VOICE)).may_hear(100).may_hear(180);
    let script = script
        .hears_with(200, &["Session-Expires: 1800;refresher=uac"])
        .acks(1)
        .asks("UPDATE", 2, &session, None)
        .hears_with(200, &["Session-Expires: 1800;refresher=uac"])
        .asks("UPDATE", 3, &[], Some(HOLD))
        .hears_with(200, &["a=recvonly"])
        .asks("UPDATE", 4, &[], Some(VOICE))
        .hears_with(200, &["a=sendrecv"])
        .waits(100)
        .hangs_up(5);
    let mut sipp = calling(script, from, system.sip, "600");
    let mut call = answered(&bob).await;
    control(&mut call, Control::Hold).await;
    control(&mut call, Control::Unhold).await;
    timeout(PATIENCE, call.ended()).await.expect("in time").expect("running");
    sipp.finished();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_gets_no_more_calls_than_it_has_channels() {
    let script = Script::is_called().picks_up().gets_bye();
    let mut sipp = callee(&script.xml(), 2);
    let system = acme(&sipp, "max_calls = 1");
    let (phone, _) = phone();
    let call = talk(&phone, &system).await;
    let second = Script::calls(&[], Some(VOICE)).may_hear(100);
    let second = second.hears_with(503, &["cause=34"]).acks_refusal(1);
    assert_eq!(refusal(&phone, system.iax, "12").await, CauseCode::CIRCUIT_CONGESTION);
    // The same place is taken from the other side. It calls from another port of the same address.
    calling(second, loopback(), system.sip, "600").finished();
    drop(call);
    seen(&sipp, "BYE sip:").await;
    drop(talk(&phone, &system).await);
    sipp.finished();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_calls_an_overloaded_switch_is_told_why_and_when_to_try_again() {
    let script = Script::is_called().picks_up().gets_bye();
    let mut sipp = callee(&script.xml(), 1);
    let system = gateway(&format!(
        "{}{}[overload]\ndelay_ms = 1000\nrecover_seconds = 600\n",
        carrier("acme", sipp.address(), ""),
        route("\"carrier:acme\"")
    ));
    let (phone, _) = phone();
    let call = talk(&phone, &system).await;
    system.overload().await;
    let told = ["Retry-After: 5", "Reason: Q.850;cause=42;text=.overload: CPU of the media thread"];
    let second = Script::calls(&[], Some(VOICE)).may_hear(100);
    let second = second.hears_with(503, &told).acks_refusal(1);
    // It calls from another port of the same address.
    calling(second, loopback(), system.sip, "600").finished();
    drop(call);
    seen(&sipp, "BYE sip:").await;
    sipp.finished();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cheapest_carrier_is_called_first_and_no_limit_stands_against_an_emergency() {
    let script = || Script::is_called().picks_up().gets_bye().xml();
    // One more than come.
    let (dear, cheap) = (callee(&script(), 2), callee(&script(), 3));
    let system = gateway(&format!(
        "{}{}{}strategy = \"least_cost\"\ncosts = [1.2, 0.7]\n\
         [[routes]]\nnumber = \"112\"\nto = [\"carrier:cheap\"]\nemergency = true\n",
        carrier("dear", dear.address(), ""),
        carrier("cheap", cheap.address(), "max_calls = 1"),
        route("\"carrier:dear\", \"carrier:cheap\""),
    ));
    let (phone, _) = phone();
    let first = talk(&phone, &system).await;
    assert!(!dear.messages().contains("INVITE"), "{}", dear.messages());
    // That one is full, so the other gets the next; but for an emergency there is room.
    let second = talk(&phone, &system).await;
    seen(&dear, "INVITE").await;
    let mut help = phone.call(system.iax, ann("112")).await.expect("placed");
    timeout(PATIENCE, help.answered()).await.expect("in time").expect("answered");
    seen(&cheap, "INVITE sip:112@").await;
    assert_eq!(system.held().calls, 3);
    drop((first, second, help));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_come_faster_than_a_carrier_may_begin_them_are_refused() {
    let from = loopback();
    let (bob, address) = phone();
    let text = format!(
        "max_invites_per_second = 5\n[peers.bob]\naddress = \"{address}\"\nqualify = false\n{}{}",
        carrier("acme", from, ""),
        route("\"busy\"")
    );
    let system = gateway(&text);
    drop(bob);
    // All of them within a moment, from a socket without a protocol, to see all answers.
    let socket = std::net::UdpSocket::bind(from).expect("free");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    let sip = system.sip;
    for call in 0..40 {
        let text = format!(
            "INVITE sip:600@{sip} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{call}\r\n\
             From: <sip:a@{from}>;tag={call}\r\nTo: <sip:600@{sip}>\r\nCall-ID: {call}@x\r\n\
             CSeq: 1 INVITE\r\nContact: <sip:a@{from}>\r\nMax-Forwards: 70\r\n\
             Content-Length: 0\r\n\r\n"
        );
        socket.send_to(text.as_bytes(), sip).expect("sent");
    }
    let mut answers = std::collections::BTreeMap::new();
    let mut buffer = [0; 4096];
    while answers.len() < 40 {
        let (length, _) = socket.recv_from(&mut buffer).expect("each is answered");
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let status = text.split(' ').nth(1).and_then(|word| word.parse::<u16>().ok()).expect("one");
        let call = text.split("Call-ID: ").nth(1).and_then(|rest| rest.split('@').next());
        if status >= 200 {
            let again = text.contains("Retry-After: 1");
            answers.insert(call.expect("a Call-ID").to_string(), (status, again));
        }
    }
    let busy = answers.values().filter(|answer| **answer == (486, false)).count();
    let full = answers.values().filter(|answer| **answer == (503, true)).count();
    assert_eq!(busy + full, 40, "{answers:?}");
    assert!(busy >= 5 && full > 0, "{busy} looked at, {full} refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_carriers_are_taken_up_while_calls_go_on() {
    let script = || {
        Script::is_called()
            .picks_up()
            .receives_with("INVITE", &["a=sendonly"])
            .answers(2, "200 OK", &[], Some("[local_ip] RTP/AVP 0 101\na=recvonly"))
            .receives("ACK")
            .gets_bye()
    };
    let (mut old, mut new) = (called(script()), called(script()));
    let system = acme(&old, "");
    let (phone, _) = phone();
    let first = talk(&phone, &system).await;
    let text = carrier("other", new.address(), "") + &route("\"carrier:other\"");
    system.reload(&text).await;
    let second = talk(&phone, &system).await;
    for call in [&first, &second] {
        call.hold(None).await.expect("held");
    }
    // One for the answer, and one for the hold.
    for sipp in [&old, &new] {
        seen_times(2, sipp, "ACK sip:").await;
    }
    drop((first, second));
    old.finished();
    new.finished();
}

/// Ann holds, and hangs up before the carrier has answered that: it answers behind the BYE.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_a_change_that_comes_behind_the_end_of_the_call_is_acknowledged() {
    let mut sipp = called(
        Script::is_called()
            .picks_up()
            .receives("INVITE")
            .receives("BYE")
            .agrees()
            .answers(2, "200 OK", &[], Some(VOICE))
            .receives_with("ACK", &["CSeq: [0-9]+ ACK"]),
    );
    let system = acme(&sipp, "");
    let (phone, _) = phone();
    let call = talk(&phone, &system).await;
    call.hold(None).await.expect("up");
    // Nothing is said of it at all: the library acknowledges by itself what something was said of.
    seen(&sipp, "INVITE sip:carrier@").await;
    call.hangup(CauseCode::NORMAL_CLEARING);
    sipp.finished();
    wait_for("nothing to be left of it", PATIENCE, || system.held().dialogs == 0);
}
