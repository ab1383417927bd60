//! sipp on the other side, by scenarios of our own.

use std::time::Duration;

use oneport::{CallEvent, CauseCode, Progress};
use oneport_interop::{PATIENCE, phone};
use oneport_testkit::peers::sipp::{Scenario, Sipp};
use tokio::time::timeout;

use crate::script::{Script, VOICE};
use crate::shared::{ann, callee, calling, carrier, gateway, loopback, refusal, route};

const ANSWERS: &str = include_str!("scenarios/uas_answers.xml");
const EARLY: &str = include_str!("scenarios/uas_early.xml");
const BUSY: &str = include_str!("scenarios/uas_busy.xml");
const NO_ROOM: &str = include_str!("scenarios/uas_503.xml");
const REASON: &str = include_str!("scenarios/uas_reason.xml");
const CANCELLED: &str = include_str!("scenarios/uas_cancelled.xml");
const AUTH: &str = include_str!("scenarios/uas_auth.xml");
const HANGS_UP: &str = include_str!("scenarios/uas_hangs_up.xml");
const CALLS: &str = include_str!("scenarios/uac_calls.xml");
const REFUSED: &str = include_str!("scenarios/uac_refused.xml");
const HOLDS: &str = include_str!("scenarios/uac_holds.xml");
const OPTIONS: &str = include_str!("scenarios/uac_options.xml");

/// What happens to a call until it is answered.
async fn until_answered(call: &mut oneport::Call) -> Vec<CallEvent> {
    let mut events = Vec::new();
    loop {
        let event = timeout(PATIENCE, call.next_event()).await.expect("in time").expect("it lives");
        assert!(!matches!(event, CallEvent::Ended(_)), "{event:?} behind {events:?}");
        let answered = event == CallEvent::Answered;
        events.push(event);
        if answered {
            return events;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_rings_at_a_carrier_is_answered_and_hung_up_here() {
    let mut sipp = callee(ANSWERS, 1);
    let system = gateway(&(carrier("acme", sipp.address(), "") + &route("\"carrier:acme\"")));
    let (phone, _) = phone();
    let mut call = phone.call(system.iax, ann("12125550100")).await.expect("placed");
    let events = until_answered(&mut call).await;
    assert!(events.contains(&CallEvent::Progress(Progress::Ringing)), "{events:?}");
    call.hangup(CauseCode::NORMAL_CLEARING);
    sipp.finished();
    let messages = sipp.messages();
    assert!(messages.contains("INVITE sip:12125550100@127.0.0.1"), "{messages}");
    assert!(messages.contains("Reason: Q.850;cause=16"), "{messages}");
    assert!(!messages.contains("restsend"), "the name of somebody else's domain: {messages}");
}

#[tokio::test(flavor = "multi_thread")]
async fn early_media_comes_before_the_answer() {
    let mut sipp = callee(EARLY, 1);
    let system = gateway(&(carrier("acme", sipp.address(), "") + &route("\"carrier:acme\"")));
    let (phone, _) = phone();
    let mut call = phone.call(system.iax, ann("12125550100")).await.expect("placed");
    let events = until_answered(&mut call).await;
    assert!(events.contains(&CallEvent::Progress(Progress::EarlyMedia)), "{events:?}");
    drop(call);
    sipp.finished();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_comes_back_with_its_cause() {
    for (xml, cause) in [(BUSY, CauseCode::USER_BUSY), (REASON, CauseCode::NO_ANSWER)] {
        let mut sipp = callee(xml, 1);
        let system = gateway(&(carrier("acme", sipp.address(), "") + &route("\"carrier:acme\"")));
        let (phone, _) = phone();
        assert_eq!(refusal(&phone, system.iax, "12125550100").await, cause);
        sipp.finished();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_without_room_is_followed_by_the_next() {
    let mut full = callee(NO_ROOM, 1);
    let mut free = callee(ANSWERS, 1);
    let carriers = carrier("full", full.address(), "") + &carrier("free", free.address(), "");
    let system = gateway(&(carriers + &route("\"carrier:full\", \"carrier:free\"")));
    let (phone, _) = phone();
    let mut call = phone.call(system.iax, ann("12125550100")).await.expect("placed");
    until_answered(&mut call).await;
    drop(call);
    full.finished();
    free.finished();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_gives_up_is_cancelled() {
    let mut sipp = callee(CANCELLED, 1);
    let system = gateway(&(carrier("acme", sipp.address(), "") + &route("\"carrier:acme\"")));
    let (phone, _) = phone();
    let mut call = phone.call(system.iax, ann("12125550100")).await.expect("placed");
    loop {
        let event = timeout(PATIENCE, call.next_event()).await.expect("in time");
        if event == Some(CallEvent::Progress(Progress::Ringing)) {
            break;
        }
        assert!(event.is_some(), "it ended");
    }
    drop(call);
    sipp.finished();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_asks_who_calls_gets_a_proof() {
    let mut sipp = callee(AUTH, 1);
    let login = "username = \"us\"\nsecret = \"secret\"";
    let system = gateway(&(carrier("acme", sipp.address(), login) + &route("\"carrier:acme\"")));
    let (phone, _) = phone();
    let mut call = phone.call(system.iax, ann("12125550100")).await.expect("placed");
    until_answered(&mut call).await;
    drop(call);
    sipp.finished();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_hangs_up_says_why() {
    let mut sipp = callee(HANGS_UP, 1);
    let system = gateway(&(carrier("acme", sipp.address(), "") + &route("\"carrier:acme\"")));
    let (phone, _) = phone();
    let mut call = phone.call(system.iax, ann("12125550100")).await.expect("placed");
    until_answered(&mut call).await;
    let end = timeout(PATIENCE, call.ended()).await.expect("in time").expect("running");
    assert_eq!(end.cause, CauseCode::NORMAL_UNSPECIFIED);
    sipp.finished();
}

/// A sipp at `listen` that calls a number so often.
fn caller(
    xml: &str,
    listen: std::net::SocketAddr,
    to: std::net::SocketAddr,
    number: &str,
    calls: u32,
) -> Sipp {
    let arguments = ["-s", number];
    let scenario = Scenario { xml, calls: (calls, 1), listen, to: Some(to), arguments: &arguments };
    Sipp::start(&scenario)
}

/// A carrier that calls from `from`, and a number that it reaches.
fn inbound(from: std::net::SocketAddr) -> String {
    format!(
        "[carriers.acme]\nhost = \"{from}\"\noptions_seconds = 0\n\
         [[routes]]\nnumber = \"2125550199\"\nfrom = [\"carrier:acme\"]\nto = [\"builtin:echo\"]\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_from_a_carrier_reaches_what_its_number_leads_to() {
    let from = loopback();
    let system = gateway(&inbound(from));
    caller(CALLS, from, system.sip, "2125550199", 5).finished();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_leads_nowhere_is_not_found() {
    let from = loopback();
    let system = gateway(&inbound(from));
    caller(REFUSED, from, system.sip, "5550000", 1).finished();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_gives_up_is_let_go() {
    let from = loopback();
    let (bob, address) = phone();
    let text = format!(
        "[peers.bob]\naddress = \"{address}\"\nqualify = false\n\
         [carriers.acme]\nhost = \"{from}\"\noptions_seconds = 0\n\
         [[routes]]\nnumber = \"2125550199\"\nto = [\"peer:bob\"]\n"
    );
    let system = gateway(&text);
    let script = Script::calls(&[], Some(VOICE)).may_hear(100).hears(180).cancels();
    let mut sipp = calling(script, from, system.sip, "2125550199");
    let mut incoming = timeout(PATIENCE, bob.incoming()).await.expect("in time").expect("a call");
    assert_eq!(incoming.offer().calling_number.as_deref(), Some("100"));
    assert_eq!(incoming.offer().calling_name.as_deref(), Some("Alice"));
    incoming.ring().await.expect("it rings");
    timeout(PATIENCE, incoming.given_up()).await.expect("in time").expect("running");
    sipp.finished();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_right_behind_the_ack_is_answered_each_time() {
    let from = loopback();
    let system = gateway(&inbound(from));
    caller(HOLDS, from, system.sip, "2125550199", 20).finished();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_known_is_told_that_we_are_here_and_nobody_else() {
    let known = loopback();
    let system = gateway(&inbound(known));
    caller(OPTIONS, known, system.sip, "x", 1).finished();
    // From another address of the loopback, where no carrier is.
    let stranger = std::net::UdpSocket::bind("127.0.0.9:0").expect("bound");
    let ask = |method: &str| {
        let us = stranger.local_addr().expect("bound");
        let text = format!(
            "{method} sip:100@{sip} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bK{method}\r\n\
             From: <sip:a@{us}>;tag=1\r\nTo: <sip:100@{sip}>\r\nCall-ID: {method}@x\r\n\
             CSeq: 1 {method}\r\nUser-Agent: friendly-scanner\r\nContact: <sip:a@{us}>\r\n\
             Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
            sip = system.sip,
        );
        stranger.send_to(text.as_bytes(), system.sip).expect("sent");
    };
    for method in ["OPTIONS", "INVITE", "REGISTER"] {
        ask(method);
    }
    // Whoever is known and asks behind them is answered; then they have been looked at.
    caller(OPTIONS, known, system.sip, "x", 1).finished();
    stranger.set_read_timeout(Some(Duration::from_millis(200))).expect("set");
    let heard = stranger.recv_from(&mut [0; 2048]);
    assert!(heard.is_err(), "a stranger was answered: {heard:?}");
}
