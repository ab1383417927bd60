//! Registrations in each of their phases, and what an application may ask of them in which.

use std::time::Duration;

use md5::{Digest, Md5};
use oneport_proto::{
    Challenge, CommandError, DropReason, EndpointConfig, Event, Grant, Network as IpNetwork,
    RegistrationConfig, RegistrationFailure, RequestId, RequestOutcome, Secret, TokenRule,
};
use oneport_testkit::sim::{Heard, Network, Stranger};
use oneport_wire::{
    AuthMethods, CauseCode, Element, Elements, FullHeader, IaxSubclass, Message, Seq, Timestamp,
};

const A: usize = 0;
const B: usize = 1;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Lets A register at B, who is asked. The request.
fn ask(network: &mut Network, secret: &str) -> RequestId {
    let (now, to) = (network.now(), network.nodes[B].address);
    network.nodes[A].endpoint.register(
        now,
        RegistrationConfig {
            to,
            others: Vec::new(),
            username: "site".into(),
            secret: Some(Secret::from(secret)),
            key: None,
            allow_plaintext: false,
            refresh: Duration::from_secs(60),
        },
    );
    network.run(ms(100));
    let events = network.events(B);
    let [Event::RegisterRequested { request, .. }] = events[..] else { panic!("{events:?}") };
    request
}

#[test]
fn a_request_is_not_granted_before_its_proof_nor_twice() {
    let mut network = Network::pair(1);
    let request = ask(&mut network, "right");
    let now = network.now();
    let endpoint = &mut network.nodes[B].endpoint;
    let challenge = || Challenge::md5("site", Secret::from("right"));
    endpoint.challenge_request(now, request, challenge()).expect("asked");
    assert_eq!(
        endpoint.grant(now, request, &Grant::default()),
        Err(CommandError::WrongPhase),
        "nothing is proved yet"
    );
    assert_eq!(endpoint.refuse(now, request), Err(CommandError::WrongPhase));
    assert_eq!(
        endpoint.challenge_request(now, request, challenge()),
        Err(CommandError::WrongPhase)
    );
    network.run(ms(100));
    let events = network.events(B);
    assert!(matches!(events[..], [Event::RegisterAuthenticated { .. }]), "{events:?}");
    let now = network.now();
    let endpoint = &mut network.nodes[B].endpoint;
    endpoint.grant(now, request, &Grant::default()).expect("proved");
    assert_eq!(endpoint.grant(now, request, &Grant::default()), Err(CommandError::WrongPhase));
    network.run(ms(100));
    assert_eq!(network.transcript.matches("REGACK").count(), 1);
}

#[test]
fn an_application_has_its_time_to_decide_also_behind_a_late_proof() {
    let mut network = Network::pair(1);
    let request = ask(&mut network, "right");
    // Nobody hears the proof for 20 of the 30 seconds.
    let now = network.now();
    let challenge = Challenge::md5("site", Secret::from("right"));
    network.nodes[B].endpoint.challenge_request(now, request, challenge).expect("asked");
    network.weather.cut = true;
    network.run(Duration::from_secs(20));
    network.weather.cut = false;
    network.run(Duration::from_secs(9));
    let events = network.events(B);
    assert!(matches!(events[..], [Event::RegisterAuthenticated { .. }]), "{events:?}");
    network.run(Duration::from_secs(20));
    assert_eq!(network.events(B), [], "the time for the proof is not the time to decide");
    network.run(Duration::from_secs(20));
    let events = network.events(B);
    assert!(
        matches!(events[..], [Event::RegisterEnded { outcome: RequestOutcome::TimedOut, .. }, ..]),
        "{events:?}"
    );
}

#[test]
fn what_a_registrar_says_out_of_place_is_counted() {
    let mut network = Network::pair(1);
    let mut registrar = Stranger::new("203.0.113.9:4569");
    let now = network.now();
    network.nodes[A].endpoint.register(
        now,
        RegistrationConfig {
            to: registrar.address,
            others: Vec::new(),
            username: "site".into(),
            secret: None,
            key: None,
            allow_plaintext: false,
            refresh: Duration::from_secs(60),
        },
    );
    registrar.wait(&mut network, ms(50));
    let unexpected =
        |network: &Network| network.nodes[A].endpoint.counters().dropped(DropReason::Unexpected);
    let before = unexpected(&network);
    for _ in 0..4 {
        let token = [Element::CallToken(b"abc")];
        registrar.say_stateless(&mut network, A, IaxSubclass::CallToken, &token);
    }
    assert_eq!(unexpected(&network), before + 1, "three tokens are followed, the fourth is not");
    registrar.say_iax(&mut network, A, IaxSubclass::Accept, &[]);
    assert_eq!(unexpected(&network), before + 2, "this is no call");
}

/// A peer written by hand that asks A to be registered, and needs no call token.
fn asked(mut config: EndpointConfig) -> (Network, Stranger, RequestId) {
    config.call_token.peers.insert("site".into(), TokenRule::No);
    let mut network = Network::new(6, vec![config]);
    let mut peer = Stranger::new("203.0.113.1:4569");
    let name = [Element::Username("site".into()), Element::Refresh(45)];
    peer.say_iax(&mut network, A, IaxSubclass::RegReq, &name);
    let events = network.events(A);
    let [Event::RegisterRequested { request, register }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(register.refresh, Some(Duration::from_secs(45)));
    let request = *request;
    (network, peer, request)
}

/// Challenges it: the digits that it must answer.
fn challenge(network: &mut Network, peer: &mut Stranger, request: RequestId) -> String {
    let now = network.now();
    let challenge = Challenge::md5("site", Secret::from("right"));
    network.nodes[A].endpoint.challenge_request(now, request, challenge).expect("asked");
    let heard = peer.wait(network, ms(1));
    let elements: Vec<_> = heard.iter().flat_map(|one| one.elements()).collect();
    let digits = elements.iter().find_map(|element| match element {
        Element::Challenge(digits) => Some(String::from_utf8_lossy(digits).into_owned()),
        _ => None,
    });
    digits.expect("a challenge")
}

/// One that is asked and challenged.
fn challenged() -> (Network, Stranger, RequestId, String) {
    let (mut network, mut peer, request) = asked(EndpointConfig::default());
    let digits = challenge(&mut network, &mut peer, request);
    (network, peer, request, digits)
}

fn prove(network: &mut Network, peer: &mut Stranger, digits: &str, secret: &str) {
    let digest = Md5::digest(format!("{digits}{secret}"));
    let result: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let proof = [Element::Username("site".into()), Element::Md5Result(result.as_str().into())];
    peer.say_iax(network, A, IaxSubclass::RegReq, &proof);
}

#[test]
fn a_second_guess_in_the_same_request_proves_nothing() {
    let (mut network, mut peer, _, digits) = challenged();
    prove(&mut network, &mut peer, &digits, "wrong");
    prove(&mut network, &mut peer, &digits, "right");
    peer.wait(&mut network, ms(500));
    assert_eq!(network.events(A), [], "the refusal is held back, and nothing else is heard");
    let heard = peer.wait(&mut network, ms(600));
    assert!(heard.iter().any(|one| one.iax() == Some(IaxSubclass::RegRej)), "{heard:?}");
    let events = network.events(A);
    let [Event::RegisterEnded { outcome, .. }] = events[..] else { panic!("{events:?}") };
    assert_eq!(outcome, RequestOutcome::AuthenticationFailed);
    assert_eq!(network.nodes[A].endpoint.counters().authentication_failures, 1);
}

#[test]
fn a_proof_has_its_time_also_behind_a_late_challenge() {
    let (mut network, mut peer, request) = asked(EndpointConfig::default());
    peer.wait(&mut network, Duration::from_secs(25));
    let digits = challenge(&mut network, &mut peer, request);
    peer.wait(&mut network, Duration::from_secs(10));
    prove(&mut network, &mut peer, &digits, "right");
    let events = network.events(A);
    assert!(matches!(events[..], [Event::RegisterAuthenticated { .. }]), "{events:?}");
}

#[test]
fn only_so_many_proofs_of_registrations_are_awaited_under_one_name() {
    let mut config = EndpointConfig { max_challenges_per_user: 2, ..EndpointConfig::default() };
    config.call_token.peers.insert("site".into(), TokenRule::No);
    let mut network = Network::new(6, vec![config]);
    let mut results = Vec::new();
    for n in 0..3 {
        let mut peer = Stranger::new("203.0.113.1:4569");
        peer.address.set_port(5_000 + n);
        peer.say_iax(&mut network, A, IaxSubclass::RegReq, &[Element::Username("site".into())]);
        let events = network.events(A);
        let [Event::RegisterRequested { request, .. }] = events[..] else { panic!("{events:?}") };
        let now = network.now();
        let challenge = Challenge::md5("site", Secret::from("right"));
        let result = network.nodes[A].endpoint.challenge_request(now, request, challenge);
        let heard = peer.wait(&mut network, ms(1));
        let asked = heard.iter().any(|one| one.iax() == Some(IaxSubclass::RegAuth));
        assert_eq!(asked, result.is_ok(), "{result:?}");
        results.push(result);
    }
    assert_eq!(results, [Ok(()), Ok(()), Err(CommandError::TooManyChallenges)]);
}

#[test]
fn who_never_proves_anything_is_refused_in_the_end() {
    let (mut network, mut peer, _, _) = challenged();
    let heard = peer.wait(&mut network, Duration::from_secs(31));
    let refusal = heard.iter().find(|one| one.iax() == Some(IaxSubclass::RegRej));
    let refusal = refusal.unwrap_or_else(|| panic!("{heard:?}"));
    let cause = Element::CauseCode(CauseCode::FACILITY_REJECTED);
    assert!(refusal.elements().contains(&cause));
    let events = network.events(A);
    let [Event::RegisterEnded { outcome, .. }] = events[..] else { panic!("{events:?}") };
    assert_eq!(outcome, RequestOutcome::TimedOut);
}

#[test]
fn a_peer_that_acknowledges_no_challenge_is_given_up_before_its_time_for_a_proof_is_over() {
    let decision_timeout = Duration::from_secs(60);
    let config = EndpointConfig { decision_timeout, ..EndpointConfig::default() };
    let (mut network, mut peer, request) = asked(config);
    challenge(&mut network, &mut peer, request);
    let heard = peer.wait(&mut network, Duration::from_secs(34));
    assert!(heard.iter().all(|one| one.iax() == Some(IaxSubclass::RegAuth)), "{heard:?}");
    let events = network.events(A);
    let [Event::RegisterEnded { outcome, .. }] = events[..] else { panic!("{events:?}") };
    assert_eq!(outcome, RequestOutcome::TimedOut);
    let heard = peer.wait(&mut network, Duration::from_secs(60));
    assert!(heard.is_empty(), "nothing more is said to it: {heard:?}");
}

#[test]
fn the_first_guess_may_be_right() {
    let (mut network, mut peer, _, digits) = challenged();
    prove(&mut network, &mut peer, &digits, "right");
    let events = network.events(A);
    let [Event::RegisterAuthenticated { method, .. }] = events[..] else { panic!("{events:?}") };
    assert_eq!(method, AuthMethods::MD5);
}

#[test]
fn a_peer_that_takes_its_request_back_is_told_of_at_once() {
    for taken_back in [IaxSubclass::Hangup, IaxSubclass::Inval, IaxSubclass::Reject] {
        let (mut network, mut peer, _, _) = challenged();
        peer.say_iax(&mut network, A, taken_back, &[]);
        let events = network.events(A);
        let [Event::RegisterEnded { outcome, .. }] = events[..] else { panic!("{events:?}") };
        assert_eq!(outcome, RequestOutcome::Abandoned, "{taken_back}");
    }
}

#[test]
fn a_grant_is_over_when_it_is_acknowledged_and_says_number_and_name() {
    let (mut network, mut peer, request, digits) = challenged();
    prove(&mut network, &mut peer, &digits, "right");
    network.events(A);
    let now = network.now();
    let grant = Grant {
        refresh: Duration::from_secs(45),
        calling_number: Some("4711".into()),
        calling_name: Some("Reception".into()),
        ..Grant::default()
    };
    network.nodes[A].endpoint.grant(now, request, &grant).expect("proved");
    let heard = peer.wait(&mut network, ms(1));
    let granted = heard.iter().find(|one| one.iax() == Some(IaxSubclass::RegAck));
    let granted = granted.unwrap_or_else(|| panic!("{heard:?}"));
    let elements = granted.elements();
    for said in [
        Element::Refresh(45),
        Element::CallingNumber("4711".into()),
        Element::CallingName("Reception".into()),
    ] {
        assert!(elements.contains(&said), "{said:?}: {elements:?}");
    }
    assert_eq!(network.events(A), []);
    peer.acknowledge(&mut network, A, granted);
    let events = network.events(A);
    let [Event::RegisterEnded { outcome, .. }] = events[..] else { panic!("{events:?}") };
    assert_eq!(outcome, RequestOutcome::Granted);
    let unexpected = network.nodes[A].endpoint.counters().dropped(DropReason::Unexpected);
    assert_eq!(unexpected, 0, "an acknowledgement belongs here");
}

#[test]
fn a_grant_has_its_time_to_be_acknowledged_also_behind_a_late_decision() {
    let (mut network, mut peer, request, digits) = challenged();
    prove(&mut network, &mut peer, &digits, "right");
    peer.wait(&mut network, Duration::from_secs(25));
    network.events(A);
    let now = network.now();
    network.nodes[A].endpoint.grant(now, request, &Grant::default()).expect("proved");
    let heard = peer.wait(&mut network, Duration::from_secs(10));
    assert_eq!(network.events(A), []);
    let granted = heard.iter().find(|one| one.iax() == Some(IaxSubclass::RegAck));
    peer.acknowledge(&mut network, A, granted.unwrap_or_else(|| panic!("{heard:?}")));
    let events = network.events(A);
    let [Event::RegisterEnded { outcome, .. }] = events[..] else { panic!("{events:?}") };
    assert_eq!(outcome, RequestOutcome::Granted);
}

#[test]
fn a_peer_that_is_gone_when_it_is_granted_is_told_of_and_leaves_nothing() {
    let (mut network, mut peer, request, digits) = challenged();
    prove(&mut network, &mut peer, &digits, "right");
    network.events(A);
    let now = network.now();
    network.nodes[A].endpoint.grant(now, request, &Grant::default()).expect("proved");
    let heard = peer.wait(&mut network, Duration::from_secs(120));
    let events = network.events(A);
    let [Event::RegisterEnded { outcome, .. }] = events[..] else { panic!("{events:?}") };
    assert_eq!(outcome, RequestOutcome::TimedOut);
    let refused = heard.iter().any(|one| one.iax() == Some(IaxSubclass::RegRej));
    assert!(!refused, "what was granted is not refused: {heard:?}");
    assert!(network.nodes[A].endpoint.is_quiescent());
}

#[test]
fn requests_that_end_before_their_proof_lock_nobody_out() {
    let mut config = EndpointConfig { max_challenges_per_user: 2, ..EndpointConfig::default() };
    config.call_token.peers.insert("site".into(), TokenRule::No);
    let mut network = Network::new(6, vec![config]);
    for n in 0..12 {
        let mut peer = Stranger::new("203.0.113.1:4569");
        peer.address.set_port(5_000 + n);
        let name = [Element::Username("site".into())];
        peer.say_iax(&mut network, A, IaxSubclass::RegReq, &name);
        let events = network.events(A);
        let Some(Event::RegisterRequested { request, .. }) = events.last() else {
            panic!("{events:?}")
        };
        let (request, now) = (*request, network.now());
        let challenge = Challenge::md5("site", Secret::from("right"));
        let challenged = network.nodes[A].endpoint.challenge_request(now, request, challenge);
        challenged.expect("nobody else waits");
        // It takes it back, or says nothing any more.
        if n % 2 == 0 {
            peer.say_iax(&mut network, A, IaxSubclass::Hangup, &[]);
        }
        network.run(Duration::from_secs(40));
    }
}

#[test]
fn registrations_of_who_proved_nothing_are_limited() {
    let all = IpNetwork { address: "0.0.0.0".parse().expect("an address"), prefix: 0 };
    let mut config = EndpointConfig { max_unvalidated_calls: 3, ..EndpointConfig::default() };
    config.call_token.optional_networks = vec![all];
    let mut network = Network::new(6, vec![config]);
    for n in 0..6 {
        let mut peer = Stranger::new("203.0.113.1:4569");
        peer.address.set_port(5_000 + n);
        peer.say_iax(&mut network, A, IaxSubclass::RegReq, &[Element::Username("site".into())]);
    }
    let events = network.events(A);
    let asked = events.iter().filter(|event| matches!(event, Event::RegisterRequested { .. }));
    assert_eq!(asked.count(), 3);
    assert_eq!(network.nodes[A].endpoint.counters().dropped(DropReason::TooManyCalls), 3);
}

/// A registers at a peer written by hand, who has heard its REGREQ.
fn registers() -> (Network, Stranger) {
    let mut network = Network::new(6, vec![EndpointConfig::default()]);
    let mut registrar = Stranger::new("203.0.113.9:4569");
    let now = network.now();
    let to = registrar.address;
    network.nodes[A].endpoint.register(
        now,
        RegistrationConfig {
            to,
            others: Vec::new(),
            username: "site".into(),
            secret: None,
            key: None,
            allow_plaintext: false,
            refresh: Duration::from_secs(60),
        },
    );
    let heard = registrar.wait(&mut network, ms(10));
    assert_eq!(heard.len(), 1);
    (network, registrar)
}

#[test]
fn a_registrar_s_time_holds_and_not_the_one_we_asked_for() {
    let (mut network, mut registrar) = registers();
    registrar.say_iax(&mut network, A, IaxSubclass::RegAck, &[Element::Refresh(20)]);
    let events = network.events(A);
    let [Event::Registered { refresh, .. }] = events[..] else { panic!("{events:?}") };
    assert_eq!(refresh, Duration::from_secs(20));
    let again = registrar.wait(&mut network, ms(14_900));
    assert!(again.iter().all(|one| one.iax() != Some(IaxSubclass::RegReq)), "{again:?}");
    let again = registrar.wait(&mut network, Duration::from_secs(2));
    assert!(again.iter().any(|one| one.iax() == Some(IaxSubclass::RegReq)), "{again:?}");
}

#[test]
fn a_refusal_without_state_is_a_failure_and_the_next_attempt_follows_in_time() {
    let (mut network, mut registrar) = registers();
    let why = [Element::CauseCode(CauseCode::FACILITY_REJECTED)];
    registrar.say_stateless(&mut network, A, IaxSubclass::RegRej, &why);
    let events = network.events(A);
    let [Event::RegistrationFailed { failure, retry_in, .. }] = &events[..] else {
        panic!("{events:?}")
    };
    assert!(matches!(failure, RegistrationFailure::Refused { .. }), "{failure:?}");
    assert_eq!(*retry_in, Duration::from_secs(5));
    let heard = registrar.wait(&mut network, ms(4_900));
    assert!(heard.is_empty(), "{heard:?}");
    let heard = registrar.wait(&mut network, ms(200));
    assert_eq!(heard.first().and_then(|one| one.iax()), Some(IaxSubclass::RegReq));
}

#[test]
fn a_registrar_that_knows_nothing_of_it_or_checks_the_way_is_understood() {
    let (mut network, mut registrar) = registers();
    let heard = registrar.say_iax(&mut network, A, IaxSubclass::Ping, &[]);
    assert_eq!(heard.first().and_then(|one| one.iax()), Some(IaxSubclass::Pong), "{heard:?}");
    assert_eq!(network.events(A), []);
    registrar.say_iax(&mut network, A, IaxSubclass::Inval, &[]);
    let events = network.events(A);
    assert!(matches!(events[..], [Event::RegistrationFailed { .. }]), "{events:?}");
}

#[test]
fn a_registrar_that_acknowledges_and_says_no_more_is_given_up_after_a_minute() {
    let (mut network, mut registrar) = registers();
    let header = FullHeader {
        source: registrar.number,
        destination: registrar.theirs,
        retransmission: false,
        timestamp: Timestamp(0),
        oseq: Seq::ZERO,
        iseq: registrar.iseq,
    };
    let mut ack = Vec::new();
    Message::iax(IaxSubclass::Ack, Elements::EMPTY).encode(&header, &mut ack);
    network.inject(A, registrar.address, &ack);
    let unexpected = network.nodes[A].endpoint.counters().dropped(DropReason::Unexpected);
    assert_eq!(unexpected, 0, "an acknowledgement belongs here");
    let heard = registrar.wait(&mut network, Duration::from_secs(59));
    assert!(heard.is_empty(), "{heard:?}");
    assert_eq!(network.events(A), []);
    let heard = registrar.say_iax(&mut network, A, IaxSubclass::Ping, &[]);
    assert_eq!(heard.first().and_then(|one| one.iax()), Some(IaxSubclass::Pong), "{heard:?}");
    registrar.wait(&mut network, ms(1_100));
    let events = network.events(A);
    let [Event::RegistrationFailed { failure, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(*failure, RegistrationFailure::TimedOut);
    let heard = registrar.wait(&mut network, Duration::from_secs(20));
    assert!(!heard.is_empty(), "it is tried again");
    let told = |one: &Heard| one.iax() == Some(IaxSubclass::RegReq);
    assert!(heard.iter().all(told), "nothing of the attempt before is repeated: {heard:?}");
}
