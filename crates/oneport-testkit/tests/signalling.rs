//! What passes in a call besides voice, digits and text.

use std::time::Duration;

use oneport_proto::{CallId, DropReason, Event, NewCall};
use oneport_testkit::sim::Network;
use oneport_wire::{DialplanStatus, Format, frame_type};

const A: usize = 0;
const B: usize = 1;

/// An answered call, and what it was offered as.
fn call_up(new: NewCall) -> (Network, CallId, CallId, Event) {
    let mut network = Network::pair(11);
    let (now, to) = (network.now(), network.nodes[B].address);
    let ours = network.nodes[A].endpoint.place_call(now, to, new).expect("free");
    network.run(Duration::from_millis(100));
    let event = network.event(B).expect("an offer");
    let Event::CallOffered { call: theirs, .. } = event else { panic!("{event:?}") };
    let now = network.now();
    network.nodes[B].endpoint.accept(now, theirs, Format::ULAW).expect("offered");
    network.nodes[B].endpoint.answer(now, theirs).expect("accepted");
    network.run(Duration::from_millis(100));
    while network.event(A).is_some() {}
    (network, ours, theirs, event)
}

fn events(network: &mut Network, node: usize) -> Vec<Event> {
    network.run(Duration::from_millis(100));
    std::iter::from_fn(|| network.event(node)).collect()
}

#[test]
fn what_a_new_says_of_the_caller_arrives_whole() {
    let mut new = NewCall::to("600");
    new.calling_number = Some("100".into());
    new.calling_name = Some("Ann".into());
    new.calling_ani = Some("199".into());
    new.calling_type_of_number = 0x10;
    new.calling_transit_network = 7;
    new.calling_ani2 = 61;
    new.calling_presentation = 0x20;
    new.dnid = Some("601".into());
    new.rdnis = Some("602".into());
    new.language = Some("de".into());
    new.osp_token = (0..=255).cycle().take(1_000).collect();
    new.variables = vec![("colour".into(), "x".repeat(600)), ("empty".into(), String::new())];
    new.auto_answer = true;
    let (.., event) = call_up(new.clone());
    let Event::CallOffered { offer, .. } = event else { panic!("{event:?}") };
    assert_eq!(offer.calling_number, new.calling_number);
    assert_eq!(offer.calling_name, new.calling_name);
    assert_eq!(offer.calling_ani, new.calling_ani);
    assert_eq!(offer.calling_type_of_number, Some(0x10));
    assert_eq!(offer.calling_transit_network, Some(7));
    assert_eq!(offer.calling_ani2, Some(61));
    assert_eq!(offer.calling_presentation, Some(0x20));
    assert_eq!((offer.dnid, offer.rdnis, offer.language), (new.dnid, new.rdnis, new.language));
    assert_eq!(offer.osp_token, new.osp_token);
    assert_eq!(offer.variables, new.variables);
    assert!(offer.auto_answer);
}

#[test]
fn images_html_noise_and_fax_arrive_as_they_are() {
    let (mut network, ours, _, _) = call_up(NewCall::to("1"));
    let frames = [
        (frame_type::IMAGE, 0x90, vec![7; 3_000]),
        (frame_type::HTML, 1, b"https://example.org/".to_vec()),
        (frame_type::CNG, 40, vec![]),
        (frame_type::MODEM, 1, vec![1, 2, 3]),
    ];
    for (kind, subclass, payload) in &frames {
        let now = network.now();
        let endpoint = &mut network.nodes[A].endpoint;
        endpoint.send_frame(now, ours, *kind, *subclass, payload).expect("up");
    }
    let now = network.now();
    assert!(network.nodes[A].endpoint.send_frame(now, ours, frame_type::IAX, 5, &[]).is_err());
    let heard = events(&mut network, B);
    let heard: Vec<_> = heard
        .into_iter()
        .map(|event| match event {
            Event::Frame { frame_type, subclass, payload, .. } => (frame_type, subclass, payload),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(heard, frames);
}

#[test]
fn a_quelched_peer_falls_silent_until_it_is_wanted_again() {
    let (mut network, ours, theirs, _) = call_up(NewCall::to("1"));
    let speak = |network: &mut Network| {
        let now = network.now();
        let endpoint = &mut network.nodes[B].endpoint;
        endpoint.send_voice(now, theirs, Format::ULAW, &[1; 160], 20).expect("accepted");
        network.run(Duration::from_millis(100));
        network.heard(A).len()
    };
    assert_eq!(speak(&mut network), 1);
    for (quelched, heard) in [(true, 0), (false, 1)] {
        let now = network.now();
        network.nodes[A].endpoint.quelch(now, ours, quelched).expect("up");
        let events = events(&mut network, B);
        assert!(
            matches!(events[..], [Event::Quelched { quelched: said, .. }] if said == quelched),
            "{events:?}"
        );
        assert_eq!(speak(&mut network), heard);
    }
}

#[test]
fn a_number_is_asked_for_digit_by_digit_and_dialled() {
    let (mut network, ours, theirs, _) = call_up(NewCall::to("TBD"));
    for (number, status) in [("6", DialplanStatus::CAN_EXIST), ("60", DialplanStatus::NONEXISTENT)]
    {
        let now = network.now();
        network.nodes[A].endpoint.dialplan_query(now, ours, number).expect("up");
        let asked = events(&mut network, B);
        let [Event::DialplanQueried { number: digits, .. }] = &asked[..] else {
            panic!("{asked:?}")
        };
        assert_eq!(digits, number);
        let now = network.now();
        let refresh = Duration::from_secs(600);
        let endpoint = &mut network.nodes[B].endpoint;
        endpoint.dialplan_reply(now, theirs, number, status, refresh).expect("up");
        let replies = events(&mut network, A);
        let [Event::DialplanReply { number: digits, status: said, refresh: good, .. }] =
            &replies[..]
        else {
            panic!("{replies:?}")
        };
        assert_eq!((digits.as_str(), *said, *good), (number, status, refresh));
    }
    let now = network.now();
    network.nodes[A].endpoint.dial(now, ours, "600").expect("up");
    let events = events(&mut network, B);
    assert!(
        matches!(&events[..], [Event::Dialled { number, .. }] if number == "600"),
        "{events:?}"
    );
    assert_eq!(network.nodes[B].endpoint.counters().dropped(DropReason::Unexpected), 0);
}
