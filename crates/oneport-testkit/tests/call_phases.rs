//! What a call sends, takes and counts in each of its phases: one endpoint, and a peer written by
//! hand.

use std::time::Duration;

use md5::{Digest, Md5};
use oneport_proto::{
    Agreement, CallId, Challenge, CommandError, Device, DropReason, EncryptionPolicy, EndReason,
    EndpointConfig, Event, NewCall, PrivateKey, Secret, TokenRule,
};
use oneport_testkit::sim::{Heard, Network, Stranger};
use oneport_wire::{
    AuthMethods, CauseCode, Element, ElementBuffer, EncryptionMethods, Format, FullHeader,
    IaxSubclass, Message, Timestamp,
};

const A: usize = 0;
const B: usize = 1;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn unexpected(network: &Network) -> u64 {
    network.nodes[A].endpoint.counters().dropped(DropReason::Unexpected)
}

fn ulaw() -> [Element<'static>; 1] {
    [Element::Format([Format::ULAW].into_iter().collect())]
}

/// A call of A to a peer, who has heard its NEW; and that NEW.
fn placed(config: EndpointConfig, new: NewCall) -> (Network, Stranger, CallId, Heard) {
    let mut network = Network::new(1, vec![config]);
    let mut peer = Stranger::new("203.0.113.9:4569");
    let now = network.now();
    let call = network.nodes[A].endpoint.place_call(now, peer.address, new).expect("free");
    let heard = peer.wait(&mut network, ms(50));
    let [first] = &heard[..] else { panic!("{heard:?}") };
    let first = first.clone();
    (network, peer, call, first)
}

/// The same, accepted.
fn accepted() -> (Network, Stranger, CallId) {
    let (mut network, mut peer, call, _) = placed(EndpointConfig::default(), NewCall::to("1"));
    peer.say_iax(&mut network, A, IaxSubclass::Accept, &ulaw());
    network.events(A);
    (network, peer, call)
}

fn count(heard: &[Heard], subclass: IaxSubclass) -> usize {
    heard.iter().filter(|one| one.iax() == Some(subclass)).count()
}

#[test]
fn each_new_of_a_call_says_what_the_device_is_and_an_old_token_is_replaced_once() {
    let device = Device { device_type: Some("iaxy".into()), ..Device::default() };
    let config = EndpointConfig { device, ..EndpointConfig::default() };
    let (mut network, mut peer, call, first) = placed(config, NewCall::to("1"));
    let says = |heard: &Heard, token: &[u8]| {
        let elements = heard.elements();
        assert!(elements.contains(&Element::DeviceType("iaxy".into())), "{elements:?}");
        assert!(elements.contains(&Element::CallToken(token)), "{elements:?}");
    };
    says(&first, b"");
    let token = [Element::CallToken(b"abc")];
    let heard = peer.say_stateless(&mut network, A, IaxSubclass::CallToken, &token);
    says(&heard[0], b"abc");
    peer.wait(&mut network, Duration::from_secs(6));
    // Its token has grown old on the way: it asks for another.
    let heard = peer.say_stateless(&mut network, A, IaxSubclass::Reject, &[]);
    says(&heard[0], b"");
    // And is refused all the same.
    let heard = peer.say_stateless(&mut network, A, IaxSubclass::Reject, &[]);
    assert!(heard.is_empty(), "{heard:?}");
    let events = network.events(A);
    let [Event::CallEnded { call: ended, end }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((*ended, end.reason), (call, EndReason::RemoteReject));
}

#[test]
fn call_tokens_that_help_nobody_are_counted() {
    let (mut network, mut peer, _, _) = placed(EndpointConfig::default(), NewCall::to("1"));
    let token = [Element::CallToken(b"abc")];
    for n in 0..4 {
        assert_eq!(unexpected(&network), 0);
        let heard = peer.say_stateless(&mut network, A, IaxSubclass::CallToken, &token);
        assert_eq!(heard.len(), usize::from(n < 3), "three are followed");
    }
    assert_eq!(unexpected(&network), 1);
}

#[test]
fn the_address_that_is_seen_is_told_where_that_is_three_times_the_question_at_most() {
    let mut network = Network::new(1, vec![EndpointConfig::default()]);
    for (address, token, told) in [
        ("203.0.113.9:4569", false, true),
        ("203.0.113.9:4569", true, true),
        ("[2001:db8::9]:4569", false, false),
        ("[2001:db8::9]:4569", true, true),
    ] {
        let mut peer = Stranger::new(address);
        let question = [Element::CallToken(&[])];
        let question = if token { &question[..] } else { &[] };
        let heard = peer.say_iax(&mut network, A, IaxSubclass::Poke, question);
        let [pong] = &heard[..] else { panic!("{heard:?}") };
        let seen = Element::ApparentAddress(peer.address);
        assert_eq!(pong.elements().contains(&seen), told, "{address} {token}");
    }
}

#[test]
fn an_offered_call_began_with_the_new_of_its_caller() {
    let mut network = Network::pair(1);
    let (_, theirs) = network.call_up(A, B, NewCall::to("1"));
    let first = network.nodes[B].endpoint.call_signalling(theirs).expect("up").first;
    let first = first.expect("said");
    assert_eq!((first.ours, first.subclass), (false, IaxSubclass::New));
    assert_eq!(network.nodes[B].endpoint.counters().call_tokens_sent, 1);
}

#[test]
fn no_voice_is_taken_of_an_application_before_its_call_is_accepted() {
    let (mut network, _, call, _) = placed(EndpointConfig::default(), NewCall::to("1"));
    let now = network.now();
    let endpoint = &mut network.nodes[A].endpoint;
    let sent = endpoint.send_voice(now, call, Format::ULAW, &[1; 160], 20);
    assert_eq!(sent, Err(CommandError::WrongPhase));
}

#[test]
fn a_frame_in_a_gap_of_voice_is_no_announcement_of_silence() {
    let (mut network, mut peer, call) = accepted();
    let say = |network: &mut Network, peer: &mut Stranger, frames: u32| {
        for _ in 0..frames {
            peer.say(network, A, &Message::voice(Format::ULAW, &[1; 160]));
            network.run(ms(20));
        }
    };
    say(&mut network, &mut peer, 20);
    // Five frames are missing, and a text comes meanwhile.
    network.run(ms(50));
    peer.say(&mut network, A, &Message::text(b"still here"));
    network.run(ms(50));
    peer.clock += 80;
    say(&mut network, &mut peer, 20);
    let stats = network.nodes[A].endpoint.call_stats(call).expect("up").received;
    assert_eq!((stats.frames, stats.lost), (40, 5), "{stats:?}");
    // A quarter is missing of what comes then: the answer to a PING says so in per cent.
    for _ in 0..40 {
        say(&mut network, &mut peer, 3);
        peer.clock += 20;
        network.run(ms(20));
    }
    say(&mut network, &mut peer, 1);
    let heard = peer.say_iax(&mut network, A, IaxSubclass::Ping, &[]);
    let pong = heard.iter().find(|one| one.iax() == Some(IaxSubclass::Pong)).expect("answered");
    let loss = pong.elements().into_iter().find_map(|element| match element {
        Element::ReceivedLoss { percent, count } => Some((percent, count)),
        _ => None,
    });
    // 45 of 206.
    assert_eq!(loss, Some((21, 45)));
}

#[test]
fn a_poll_of_either_kind_tells_how_long_the_way_to_us_is_and_a_late_copy_tells_nothing() {
    for poll in [IaxSubclass::Ping, IaxSubclass::LagRq] {
        let (mut network, mut peer, call) = accepted();
        let lag = |network: &Network| network.nodes[A].endpoint.call_stats(call).expect("up").lag;
        assert_eq!(lag(&network).incoming_excess, None);
        peer.say_iax(&mut network, A, poll, &[]);
        assert_eq!(lag(&network).incoming_excess, Some(ms(0)), "{poll}");
    }
    for retransmission in [true, false] {
        let (mut network, mut peer, call) = accepted();
        let heard = peer.wait(&mut network, ms(600));
        let asked = heard.iter().find(|one| one.iax() == Some(IaxSubclass::LagRq)).expect("asked");
        let header = FullHeader {
            source: peer.number,
            destination: peer.theirs,
            retransmission,
            timestamp: Timestamp(asked.header.timestamp.0),
            oseq: peer.oseq,
            iseq: peer.iseq,
        };
        let mut bytes = Vec::new();
        Message::iax(IaxSubclass::LagRp, Default::default()).encode(&header, &mut bytes);
        network.inject(A, peer.address, &bytes);
        let lag = network.nodes[A].endpoint.call_stats(call).expect("up").lag;
        assert_eq!(lag.last.is_none(), retransmission, "{lag:?}");
    }
}

/// A challenge of a peer that can encrypt, or not.
fn challenge(encrypts: bool) -> Vec<Element<'static>> {
    let mut elements = vec![
        Element::AuthMethods(AuthMethods::MD5),
        Element::Challenge(b"123456789"),
        Element::Username("site".into()),
    ];
    if encrypts {
        elements.push(Element::Encryption(EncryptionMethods::AES128));
    }
    elements
}

fn with_secret(encryption: EncryptionPolicy) -> NewCall {
    let mut new = NewCall::to("1");
    new.secret = Some(Secret::from("right"));
    new.encryption = encryption;
    new
}

#[test]
fn a_call_that_is_to_be_in_the_clear_stays_there_whatever_the_other_side_can() {
    let new = with_secret(EncryptionPolicy::Off);
    let (mut network, mut peer, call, _) = placed(EndpointConfig::default(), new);
    let heard = peer.say_iax(&mut network, A, IaxSubclass::AuthReq, &challenge(true));
    assert_eq!(count(&heard, IaxSubclass::AuthRep), 1, "{heard:?}");
    assert!(!network.nodes[A].endpoint.call_stats(call).expect("up").encrypted);
}

#[test]
fn a_call_that_must_be_encrypted_is_not_accepted_without_any_challenge() {
    let new = with_secret(EncryptionPolicy::Required);
    let (mut network, mut peer, _, _) = placed(EndpointConfig::default(), new);
    let heard = peer.say_iax(&mut network, A, IaxSubclass::Accept, &ulaw());
    assert_eq!(count(&heard, IaxSubclass::Hangup), 1, "{heard:?}");
    let events = network.events(A);
    let [Event::CallEnded { end, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(end.reason, EndReason::EncryptionRefused);
    assert_eq!(end.cause, CauseCode::FACILITY_NOT_SUBSCRIBED);
}

#[test]
fn a_trunk_entry_in_the_clear_is_taken_only_where_the_caller_need_not_encrypt() {
    for (policy, taken) in [(EncryptionPolicy::Allowed, 1), (EncryptionPolicy::Required, 0)] {
        let mut network = Network::pair(1);
        let (now, to) = (network.now(), network.nodes[B].address);
        let new = with_secret(policy);
        let ours = network.nodes[A].endpoint.place_call(now, to, new).expect("free");
        network.run(ms(100));
        let events = network.events(B);
        let [Event::CallOffered { call, .. }] = events[..] else { panic!("{events:?}") };
        let challenge = Challenge {
            encryption: EncryptionPolicy::Allowed,
            ..Challenge::md5("site", Secret::from("right"))
        };
        let now = network.now();
        network.nodes[B].endpoint.challenge_call(now, call, challenge).expect("offered");
        network.run(ms(100));
        let now = network.now();
        network.nodes[B].endpoint.accept(now, call, Format::ULAW).expect("proved");
        network.run(ms(100));
        assert!(network.nodes[A].endpoint.call_stats(ours).expect("up").encrypted);
        let (_, theirs) = network.nodes[A].endpoint.call_numbers(ours).expect("up");
        let number = theirs.expect("known").get().to_be_bytes();
        // Trunk frames with one entry of a byte: of the plain kind, with a time of the entry, and with none there.
        for (nth, (flags, entry)) in [
            (0, [&number[..], &[0, 1, 0x55]].concat()),
            (1, [&[0, 1], &number[..], &[0, 40, 0x55]].concat()),
            (1, [&[0, 1], &number[..], &[0, 0, 0x55]].concat()),
        ]
        .into_iter()
        .enumerate()
        {
            let trunk = [&[0, 0, 1, flags, 0, 0, 0, 9][..], &entry].concat();
            network.inject(A, to, &trunk);
            assert_eq!(network.heard(A).len(), taken, "{policy:?}, {nth}");
            let refused = network.nodes[A].endpoint.counters().dropped(DropReason::NotEncrypted);
            assert_eq!(refused, (1 - taken as u64) * (nth as u64 + 1), "{policy:?}, {nth}");
        }
        // Once the call is over there is nobody whom it could reach, encrypted or not.
        let now = network.now();
        network.nodes[A].endpoint.hangup(now, ours, CauseCode::NORMAL_CLEARING, None).expect("up");
        let entry = [&number[..], &[0, 1, 0x55]].concat();
        network.inject(A, to, &[&[0, 0, 1, 0, 0, 0, 0, 9][..], &entry].concat());
        assert_eq!(network.heard(A).len(), 0, "{policy:?}");
        let early = network.nodes[A].endpoint.counters().dropped(DropReason::MediaTooEarly);
        assert_eq!(early, 1, "{policy:?}");
    }
}

#[test]
fn a_second_challenge_changes_no_key_and_gets_no_proof() {
    let new = with_secret(EncryptionPolicy::Allowed);
    let (mut network, mut peer, _, _) = placed(EndpointConfig::default(), new);
    peer.say_iax(&mut network, A, IaxSubclass::AuthReq, &challenge(true));
    let before = unexpected(&network);
    let mut elements = ElementBuffer::new();
    challenge(true).iter().for_each(|element| elements.push(element));
    let header = FullHeader {
        source: peer.number,
        destination: peer.theirs,
        retransmission: false,
        timestamp: Timestamp(peer.clock),
        oseq: peer.oseq,
        iseq: peer.iseq,
    };
    let mut bytes = Vec::new();
    Message::iax(IaxSubclass::AuthReq, elements.as_elements()).encode(&header, &mut bytes);
    let answers = network.inject(A, peer.address, &bytes);
    assert_eq!(unexpected(&network), before + 1);
    // An encrypted acknowledgement is shorter than any proof.
    assert!(answers.len() == 1 && answers[0].len() < 40, "{answers:?}");
}

#[test]
fn a_peer_that_counts_nothing_is_told_from_one_to_which_nothing_was_sent() {
    for frames in [200, 20] {
        let (mut network, mut peer, call) = accepted();
        for _ in 0..frames {
            let now = network.now();
            let endpoint = &mut network.nodes[A].endpoint;
            endpoint.send_voice(now, call, Format::ULAW, &[1; 160], 20).expect("up");
            let heard = peer.wait(&mut network, ms(20));
            if let Some(last) = heard.last() {
                peer.acknowledge(&mut network, A, last);
            }
        }
        let ping = (0..250).find_map(|_| {
            let heard = peer.wait(&mut network, ms(100));
            let last = heard.last()?;
            peer.acknowledge(&mut network, A, last);
            heard.into_iter().find(|one| one.iax() == Some(IaxSubclass::Ping))
        });
        peer.clock = ping.expect("after 21 s").header.timestamp.0;
        peer.say_iax(&mut network, A, IaxSubclass::Pong, &[Element::ReceivedFrames(0)]);
        let agreement = network.nodes[A].endpoint.call_stats(call).expect("up").agreement;
        let expected = if frames > 50 { Agreement::NotCounted } else { Agreement::Unreported };
        assert_eq!(agreement, expected, "{frames} frames sent");
    }
}

/// A call offered to A by a peer that may encrypt.
fn offered() -> (Network, Stranger, CallId) {
    let mut config = EndpointConfig::default();
    config.call_token.users.insert("site".into(), TokenRule::No);
    let mut network = Network::new(1, vec![config]);
    let mut peer = Stranger::new("203.0.113.9:4569");
    let new = [
        Element::CalledNumber("1".into()),
        Element::Username("site".into()),
        Element::Encryption(EncryptionMethods::AES128),
        ulaw()[0],
    ];
    peer.say_iax(&mut network, A, IaxSubclass::New, &new);
    let events = network.events(A);
    let [Event::CallOffered { call, .. }] = events[..] else { panic!("{events:?}") };
    (network, peer, call)
}

#[test]
fn variables_that_are_left_out_are_counted() {
    let mut config = EndpointConfig::default();
    config.call_token.users.insert("site".into(), TokenRule::No);
    let mut network = Network::new(1, vec![config]);
    let mut peer = Stranger::new("203.0.113.9:4569");
    let mut new = vec![Element::CalledNumber("1".into()), Element::Username("site".into())];
    let variables: Vec<String> = (0..67).map(|n| format!("v{n}=1")).collect();
    new.extend(variables.iter().map(|one| Element::Variable(one.as_str().into())));
    peer.say_iax(&mut network, A, IaxSubclass::New, &new);
    let events = network.events(A);
    let [Event::CallOffered { offer, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(offer.variables.len(), 64);
    assert_eq!(network.nodes[A].endpoint.counters().variables_left_out, 3);
}

#[test]
fn keys_alone_encrypt_nothing_and_keys_beside_a_secret_do() {
    let key = PrivateKey::generate([7; 32]).expect("a key").public();
    let secret = Secret::from("right");
    for (keys, secrets, methods, encrypts) in [
        (vec![], vec![secret.clone()], AuthMethods::MD5, true),
        (vec![key.clone()], vec![secret.clone()], AuthMethods::MD5 | AuthMethods::RSA, true),
        (vec![key], vec![], AuthMethods::RSA, false),
        (vec![], vec![secret], AuthMethods::PLAINTEXT, false),
    ] {
        let (mut network, mut peer, call) = offered();
        let challenge = Challenge {
            keys,
            secrets,
            methods,
            encryption: EncryptionPolicy::Required,
            ..Challenge::md5("site", Secret::from("right"))
        };
        let now = network.now();
        let result = network.nodes[A].endpoint.challenge_call(now, call, challenge);
        let expected = if encrypts { Ok(()) } else { Err(CommandError::EncryptionNotOffered) };
        assert_eq!(result, expected, "{methods:?}");
        let heard = peer.wait(&mut network, ms(1));
        assert_eq!(count(&heard, IaxSubclass::AuthReq), usize::from(encrypts), "{heard:?}");
    }
}

/// Challenges a call of whom is asked nothing but MD5: the digits that it must answer.
fn digits(network: &mut Network, peer: &mut Stranger, call: CallId) -> String {
    let now = network.now();
    let challenge = Challenge::md5("site", Secret::from("right"));
    network.nodes[A].endpoint.challenge_call(now, call, challenge).expect("offered");
    let heard = peer.wait(network, ms(1));
    let elements: Vec<_> = heard.iter().flat_map(|one| one.elements()).collect();
    let digits = elements.iter().find_map(|element| match element {
        Element::Challenge(digits) => Some(String::from_utf8_lossy(digits).into_owned()),
        _ => None,
    });
    digits.expect("a challenge")
}

fn prove(network: &mut Network, peer: &mut Stranger, digits: &str, secret: &str) {
    let digest = Md5::digest(format!("{digits}{secret}"));
    let result: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let proof = [Element::Md5Result(result.as_str().into())];
    peer.say_iax(network, A, IaxSubclass::AuthRep, &proof);
}

#[test]
fn a_proof_and_the_decision_behind_it_have_their_time_each() {
    let (mut network, mut peer, call) = offered();
    // 30 s for the challenge, 30 for the proof, 30 for the decision.
    peer.wait(&mut network, Duration::from_secs(25));
    let digits = digits(&mut network, &mut peer, call);
    peer.wait(&mut network, Duration::from_secs(25));
    prove(&mut network, &mut peer, &digits, "right");
    let events = network.events(A);
    assert!(matches!(events[..], [Event::CallAuthenticated { .. }]), "{events:?}");
    peer.wait(&mut network, Duration::from_secs(25));
    assert_eq!(network.events(A), []);
    let heard = peer.wait(&mut network, Duration::from_secs(6));
    assert!(count(&heard, IaxSubclass::Reject) > 0, "{heard:?}");
    let events = network.events(A);
    let [Event::CallEnded { end, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(end.reason, EndReason::Undecided);
}

#[test]
fn a_wrong_proof_is_counted_and_refused_a_second_later() {
    let (mut network, mut peer, call) = offered();
    let digits = digits(&mut network, &mut peer, call);
    prove(&mut network, &mut peer, &digits, "wrong");
    assert_eq!(network.nodes[A].endpoint.counters().authentication_failures, 1);
    let heard = peer.wait(&mut network, ms(990));
    assert_eq!(count(&heard, IaxSubclass::Reject), 0, "{heard:?}");
    let heard = peer.wait(&mut network, ms(20));
    assert_eq!(count(&heard, IaxSubclass::Reject), 1, "{heard:?}");
}
