//! How conversations look, frame by frame: the shortest documentation of the protocol.

use std::time::Duration;

use oneport_proto::{
    Challenge, EndpointConfig, Event, Grant, NewCall, RegistrationConfig, Secret, TokenRule,
};
use oneport_testkit::sim::Network;
use oneport_wire::{CauseCode, Datagram, Format, IaxSubclass, Message};

const B: usize = 1;

/// A pair in which B needs no call token.
fn trusting_pair() -> Network {
    let mut trusting = EndpointConfig::default();
    trusting.call_token.users.insert("guest".into(), TokenRule::No);
    trusting.call_token.users.insert("site".into(), TokenRule::No);
    trusting.call_token.peers.insert("site".into(), TokenRule::No);
    Network::new(1, vec![EndpointConfig::default(), trusting])
}

/// The ladder with call numbers and call tokens, which are random, replaced.
fn ladder(network: &Network) -> String {
    let mut numbers: Vec<String> = Vec::new();
    let mut text = String::new();
    for line in network.transcript.lines() {
        let mut words: Vec<String> = line.split(' ').map(str::to_string).collect();
        if let Some((source, destination)) = words[2].split_once('>') {
            let mut name = |number: &str| {
                if number.len() < 2 {
                    return number.to_string();
                }
                let known = numbers.iter().position(|known| known == number);
                let n = known.unwrap_or_else(|| {
                    numbers.push(number.to_string());
                    numbers.len() - 1
                });
                format!("#{}", n + 1)
            };
            words[2] = format!("{}>{}", name(source), name(destination));
        }
        let mut line = words.join(" ");
        if let Some(at) = line.find("CallToken(\"")
            && let Some(end) = line[at..].find("\")")
            && end > 12
        {
            line.replace_range(at + 11..at + end, "…");
        }
        for secret in ["Challenge(", "Md5Result("] {
            if let Some(at) = line.find(secret)
                && let Some(end) = line[at..].find(')')
            {
                line.replace_range(at + secret.len()..at + end, "…");
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// What a very simple application does with an offered call.
fn answer_calls(network: &mut Network, node: usize) -> Vec<Event> {
    let mut seen = Vec::new();
    while let Some(event) = network.event(node) {
        let now = network.now();
        let endpoint = &mut network.nodes[node].endpoint;
        match &event {
            Event::CallOffered { call, offer } if offer.username.is_some() => {
                let challenge = Challenge::md5("site", Secret::from("right"));
                endpoint.challenge_call(now, *call, challenge).expect("offered");
            }
            Event::CallOffered { call, .. } | Event::CallAuthenticated { call, .. } => {
                endpoint.accept(now, *call, Format::ULAW).expect("ulaw is offered");
                endpoint.ringing(now, *call).expect("accepted");
                endpoint.answer(now, *call).expect("accepted");
            }
            Event::RegisterRequested { request, .. } => {
                let challenge = Challenge::md5("site", Secret::from("right"));
                endpoint.challenge_request(now, *request, challenge).expect("asked");
            }
            Event::RegisterAuthenticated { request, .. } => {
                let grant = Grant { refresh: Duration::from_secs(60), ..Grant::default() };
                endpoint.grant(now, *request, &grant).expect("proved");
            }
            _ => {}
        }
        seen.push(event);
    }
    seen
}

fn run(network: &mut Network, duration: Duration) {
    let until = network.now() + duration;
    while network.step(until) {
        answer_calls(network, B);
    }
}

fn call_and_hang_up(network: &mut Network, call: NewCall) -> Vec<Event> {
    let now = network.now();
    let to = network.nodes[B].address;
    let id = network.nodes[0].endpoint.place_call(now, to, call).expect("a free number");
    run(network, Duration::from_secs(2));
    let now = network.now();
    // Where the call has ended before, there is nothing to hang up.
    let _ = network.nodes[0].endpoint.hangup(now, id, CauseCode::NORMAL_CLEARING, None);
    run(network, Duration::from_secs(2));
    std::iter::from_fn(|| network.event(0)).collect()
}

fn named_call(secret: &str) -> NewCall {
    let mut call = NewCall::to("600");
    call.username = Some("site".into());
    call.secret = Some(Secret::from(secret));
    call
}

/// Loses the first frame that `wanted` names.
fn lose(network: &mut Network, wanted: fn(&Message<'_>) -> bool) {
    let mut done = false;
    network.filter = Some(Box::new(move |_, datagram| {
        if let Datagram::Full(frame) = datagram
            && let Ok(message) = frame.message()
            && !done
            && wanted(&message)
        {
            done = true;
            return false;
        }
        true
    }));
}

fn is(message: &Message<'_>, wanted: IaxSubclass) -> bool {
    matches!(message, Message::Iax { subclass, .. } if *subclass == wanted)
}

#[test]
fn a_plain_call() {
    let mut network = trusting_pair();
    call_and_hang_up(&mut network, NewCall::to("600"));
    insta::assert_snapshot!(ladder(&network));
}

#[test]
fn a_call_with_a_proof_of_identity() {
    let mut network = trusting_pair();
    call_and_hang_up(&mut network, named_call("right"));
    insta::assert_snapshot!(ladder(&network));
}

#[test]
fn a_call_with_the_wrong_secret() {
    let mut network = trusting_pair();
    call_and_hang_up(&mut network, named_call("wrong"));
    insta::assert_snapshot!(ladder(&network));
}

#[test]
fn a_call_that_is_rejected() {
    let mut network = Network::pair(1);
    let now = network.now();
    let to = network.nodes[B].address;
    network.nodes[0].endpoint.place_call(now, to, NewCall::to("1")).expect("a free number");
    network.run(Duration::from_millis(100));
    let Some(Event::CallOffered { call, .. }) = network.event(B) else { panic!("no offer") };
    let now = network.now();
    let endpoint = &mut network.nodes[B].endpoint;
    endpoint.reject(now, call, CauseCode::NO_ROUTE, Some("no such number")).expect("offered");
    network.run(Duration::from_secs(1));
    insta::assert_snapshot!(ladder(&network));
}

#[test]
fn a_call_to_somebody_busy() {
    let mut network = Network::pair(1);
    let now = network.now();
    let to = network.nodes[B].address;
    network.nodes[0].endpoint.place_call(now, to, NewCall::to("1")).expect("a free number");
    network.run(Duration::from_millis(100));
    let Some(Event::CallOffered { call, .. }) = network.event(B) else { panic!("no offer") };
    let now = network.now();
    network.nodes[B].endpoint.accept(now, call, Format::ALAW).expect("offered");
    network.nodes[B].endpoint.busy(now, call).expect("accepted");
    network.run(Duration::from_secs(1));
    insta::assert_snapshot!(ladder(&network));
}

#[test]
fn digits_text_and_voice() {
    let mut network = Network::pair(1);
    let now = network.now();
    let to = network.nodes[B].address;
    let id = network.nodes[0].endpoint.place_call(now, to, NewCall::to("1")).expect("free");
    run(&mut network, Duration::from_millis(200));
    let now = network.now();
    let endpoint = &mut network.nodes[0].endpoint;
    endpoint.dtmf_begin(now, id, b'5').expect("accepted");
    endpoint.dtmf_end(now, id, b'5').expect("accepted");
    endpoint.send_text(now, id, "good morning").expect("accepted");
    endpoint.send_voice(now, id, Format::ULAW, &[0x55; 160], 20).expect("accepted");
    run(&mut network, Duration::from_millis(20));
    let now = network.now();
    let endpoint = &mut network.nodes[0].endpoint;
    for _ in 0..2 {
        endpoint.send_voice(now, id, Format::ULAW, &[0x55; 160], 20).expect("accepted");
    }
    run(&mut network, Duration::from_millis(200));
    insta::assert_snapshot!(ladder(&network));
}

#[test]
fn the_first_new_is_lost() {
    let mut network = trusting_pair();
    lose(&mut network, |message| is(message, IaxSubclass::New));
    call_and_hang_up(&mut network, NewCall::to("600"));
    insta::assert_snapshot!(ladder(&network));
}

#[test]
fn the_accept_is_lost() {
    let mut network = trusting_pair();
    lose(&mut network, |message| is(message, IaxSubclass::Accept));
    call_and_hang_up(&mut network, NewCall::to("600"));
    insta::assert_snapshot!(ladder(&network));
}

#[test]
fn the_hangup_is_lost() {
    let mut network = trusting_pair();
    lose(&mut network, |message| is(message, IaxSubclass::Hangup));
    call_and_hang_up(&mut network, NewCall::to("600"));
    insta::assert_snapshot!(ladder(&network));
}

#[test]
fn a_registration_its_renewal_and_its_end() {
    let mut network = Network::pair(1);
    let now = network.now();
    let config = RegistrationConfig {
        to: network.nodes[B].address,
        others: Vec::new(),
        username: "site".into(),
        secret: Some(Secret::from("right")),
        key: None,
        allow_plaintext: false,
        refresh: Duration::from_secs(60),
    };
    let id = network.nodes[0].endpoint.register(now, config);
    run(&mut network, Duration::from_secs(51));
    let now = network.now();
    network.nodes[0].endpoint.unregister(now, id);
    run(&mut network, Duration::from_secs(2));
    insta::assert_snapshot!(ladder(&network));
    let events: Vec<Event> = std::iter::from_fn(|| network.event(0)).collect();
    assert!(matches!(
        events.as_slice(),
        [Event::Registered { .. }, Event::Registered { .. }, Event::Unregistered { .. }]
    ));
}

#[test]
fn a_poll() {
    let mut network = Network::pair(1);
    let now = network.now();
    let to = network.nodes[B].address;
    network.nodes[0].endpoint.poke(now, to, Duration::from_secs(1)).expect("free");
    network.run(Duration::from_secs(2));
    insta::assert_snapshot!(ladder(&network));
    let Some(Event::Pong { rtt, .. }) = network.event(0) else { panic!("no pong") };
    assert_eq!(rtt, Duration::from_millis(20));
}
