//! sipp as a phone, and strangers.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use oneport::{CallError, CauseCode};
use oneport_interop::gateway::{System, gateway, loopback, loopback_for_tcp};
use oneport_interop::{PATIENCE, each_frame_returns, named, phone, speech};
use oneport_testkit::peers::sipp::{Scenario, Sipp};
use tokio::time::timeout;

pub(crate) const REGISTERS: &str = include_str!("scenarios/registers.xml");
const REGISTERS_AND_CALLS: &str = include_str!("scenarios/registers_and_calls.xml");
const GUESSES: &str = include_str!("scenarios/guesses.xml");
const ACKNOWLEDGES: &str = include_str!("scenarios/acknowledges_ringing.xml");
const TRANSFERS: &str = include_str!("scenarios/transfers.xml");
const TOO_SHORT: &str = include_str!("scenarios/too_short.xml");

/// A switch with the phone `desk`, whose secret is `secret`, that listens by TCP as well, and an echo.
fn with_desk(more: &str) -> (System, SocketAddr) {
    let tcp = loopback_for_tcp();
    let text = format!(
        "tcp = [\"{tcp}\"]\n\
         [peers.desk]\nprotocol = \"sip\"\nsecret = \"secret\"\nqualify = false\n{more}\n\
         [[routes]]\nnumber = \"600\"\nfrom = [\"desk\"]\nto = [\"builtin:echo\"]\n"
    );
    (gateway(&text), tcp)
}

/// A sipp that does what a scenario says, as `name` with `secret`.
fn sipp(xml: &str, to: SocketAddr, (name, secret): (&str, &str), transport: &str) -> Sipp {
    let listen = if transport == "u1" { loopback() } else { loopback_for_tcp() };
    sipp_at(listen, xml, to, (name, secret), transport)
}

pub(crate) fn sipp_at(
    listen: SocketAddr,
    xml: &str,
    to: SocketAddr,
    (name, secret): (&str, &str),
    transport: &str,
) -> Sipp {
    let xml = xml.replace("[field0]", name).replace("[field1]", secret);
    let arguments = ["-s", "600", "-t", transport];
    Sipp::start(&Scenario { xml: &xml, calls: (1, 1), listen, to: Some(to), arguments: &arguments })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_registers_calls_and_leaves() {
    let (system, tcp) = with_desk("");
    for (to, transport) in [(system.sip, "u1"), (tcp, "t1")] {
        sipp(REGISTERS_AND_CALLS, to, ("desk", "secret"), transport).finished();
        // It has left.
        let (phone, _) = phone();
        let mut call = phone.call(system.iax, named("desk", "ann", "a")).await.expect("placed");
        match call.answered().await {
            Err(CallError::Ended(end)) => assert_eq!(end.cause, CauseCode::SUBSCRIBER_ABSENT),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_is_too_short_is_refused_with_the_shortest() {
    let (system, _) = with_desk("");
    sipp(TOO_SHORT, system.sip, ("desk", "secret"), "u1").finished();
}

/// The answers that somebody gets who guesses, without what is by chance in them.
fn guess(system: &System, name: &str) -> Vec<String> {
    let mut sipp = sipp(GUESSES, system.sip, (name, "guess"), "u1");
    sipp.finished();
    let heard = sipp.messages();
    let answers = heard.split("message received").skip(1);
    let plain = |answer: &str| {
        let kept = answer.lines().filter(|line| {
            let chance = ["Via:", "Call-ID:", "To:", "From:", "nonce"];
            line.starts_with("SIP/2.0")
                || line.contains(':') && !chance.iter().any(|one| line.contains(one))
        });
        kept.take_while(|line| !line.starts_with("----")).collect::<Vec<_>>().join("\n")
    };
    answers.map(|answer| plain(&answer.replace(name, "NAME"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_unknown_and_a_wrong_secret_look_alike() {
    let (system, _) = with_desk("");
    let known = guess(&system, "desk");
    assert_eq!(known.len(), 2, "{known:?}");
    assert!(known[1].contains("403"), "{known:?}");
    assert_eq!(known, guess(&system, "none"));
}

/// A text of SIP from somebody.
fn ask(from: &UdpSocket, to: SocketAddr, method: &str, agent: &str, number: u32) {
    let us = from.local_addr().expect("bound");
    let text = format!(
        "{method} sip:600@{to} SIP/2.0\r\nVia: SIP/2.0/UDP {us};branch=z9hG4bK{method}{number};rport\r\n\
         From: <sip:desk@{us}>;tag=1\r\nTo: <sip:desk@{to}>\r\nCall-ID: {method}{number}@x\r\n\
         CSeq: 1 {method}\r\nUser-Agent: {agent}\r\nContact: <sip:desk@{us}>\r\n\
         Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    );
    from.send_to(text.as_bytes(), to).expect("sent");
}

/// How many answers come, until none comes for a while.
fn answers(socket: &UdpSocket) -> usize {
    socket.set_read_timeout(Some(Duration::from_millis(500))).expect("set");
    let mut buffer = [0; 4096];
    std::iter::from_fn(|| socket.recv_from(&mut buffer).ok()).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_hear_nothing_unless_they_register() {
    let (system, _) = with_desk("");
    let stranger = UdpSocket::bind("127.0.0.9:0").expect("bound");
    for method in ["OPTIONS", "INVITE", "SUBSCRIBE", "MESSAGE", "CANCEL", "BYE"] {
        ask(&stranger, system.sip, method, "phone", 1);
    }
    ask(&stranger, system.sip, "REGISTER", "friendly-scanner", 1);
    // Whoever asks behind them and is answered shows that they were looked at.
    sipp(REGISTERS, system.sip, ("desk", "secret"), "u1").finished();
    assert_eq!(answers(&stranger), 0);
    ask(&stranger, system.sip, "REGISTER", "phone", 2);
    stranger.set_read_timeout(Some(PATIENCE)).expect("set");
    let mut answer = [0; 4096];
    stranger.recv_from(&mut answer).expect("it is asked who it is");
    assert!(answer.starts_with(b"SIP/2.0 401"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_from_one_address_is_not_answered_beyond_its_limit() {
    let system = gateway(
        "max_requests_per_second = 5\n\
         [peers.desk]\nprotocol = \"sip\"\nsecret = \"secret\"\nqualify = false\n",
    );
    let stranger = UdpSocket::bind("127.0.0.9:0").expect("bound");
    for number in 0..200 {
        ask(&stranger, system.sip, "REGISTER", "phone", number);
    }
    // A busy machine takes its time for the first of them.
    stranger.set_read_timeout(Some(PATIENCE)).expect("set");
    stranger.recv_from(&mut [0; 4096]).expect("some are answered");
    let heard = 1 + answers(&stranger);
    // On a busy machine the flood may last for more than one second.
    assert!((1..100).contains(&heard), "{heard} of 200 were answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_may_come_from_where_it_is_let_in_alone() {
    let (system, _) = with_desk("permit = [\"127.0.0.1/32\"]");
    let stranger = UdpSocket::bind("127.0.0.9:0").expect("bound");
    ask(&stranger, system.sip, "REGISTER", "phone", 1);
    sipp(REGISTERS, system.sip, ("desk", "secret"), "u1").finished();
    assert_eq!(answers(&stranger), 0);
}

/// A switch with the phone `desk` and a phone of IAX2 that it reaches by 700, beside the echo.
fn with_desk_and_bob() -> (System, oneport::Phone) {
    let (bob, bob_at) = phone();
    let bob_there = format!(
        "[peers.bob]\naddress = \"{bob_at}\"\nqualify = false\n\
         [[routes]]\nnumber = \"700\"\nfrom = [\"desk\"]\nto = [\"peer:bob\"]\n"
    );
    (with_desk(&bob_there).0, bob)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_acknowledges_ringing_is_answered_behind_it() {
    let (system, bob) = with_desk_and_bob();
    let xml = ACKNOWLEDGES.replace("[service]", "700");
    let mut desk = sipp(&xml, system.sip, ("desk", "secret"), "u1");
    let mut incoming = timeout(PATIENCE, bob.incoming()).await.expect("in time").expect("a call");
    incoming.ring().await.expect("it rings");
    let _call = incoming.answer().await.expect("answered");
    desk.finished();
    let messages = desk.messages();
    assert!(messages.contains("Require: 100rel"), "{messages}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_leads_whoever_it_has_called_on_to_another_number() {
    let (system, bob) = with_desk_and_bob();
    let xml = TRANSFERS.replace("[service]", "700");
    let mut desk = sipp(&xml, system.sip, ("desk", "secret"), "u1");
    let incoming = timeout(PATIENCE, bob.incoming()).await.expect("in time").expect("a call");
    let call = incoming.answer().await.expect("answered");
    desk.finished();
    assert!(desk.messages().contains("SIP/2.0 200 OK"), "{}", desk.messages());
    // 600 is the echo.
    let (mut reader, speaker) = call.audio().await.expect("accepted");
    each_frame_returns(&mut reader, &speaker, &speech()[..8_000], 5).await;
}

/// Answers a call, as a phone that has registered from the same address does.
const TAKES: &str = include_str!("../carriers/scenarios/uas_answers.xml");

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_is_called_where_it_has_registered() {
    let (system, _) = with_desk("");
    let own = loopback();
    sipp_at(own, REGISTERS, system.sip, ("desk", "secret"), "u1").finished();
    let mut desk =
        Sipp::start(&Scenario { xml: TAKES, calls: (1, 1), listen: own, to: None, arguments: &[] });
    let (phone, _) = phone();
    let mut call = phone.call(system.iax, named("desk", "ann", "a")).await.expect("placed");
    timeout(PATIENCE, call.answered()).await.expect("in time").expect("answered");
    drop(call);
    desk.finished();
    let messages = desk.messages();
    assert!(messages.contains(&format!("INVITE sip:desk@{own}")), "{messages}");
}
