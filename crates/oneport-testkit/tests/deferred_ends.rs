//! Calls of whose end the peer is told only when the application says so, as one does that writes
//! ends down first.

use std::time::Duration;

use oneport_proto::{CallId, EndReason, EndpointConfig, Event, Network as IpNetwork, NewCall};
use oneport_testkit::sim::{Heard, Network, Stranger};
use oneport_wire::{CauseCode, Control, Element, Elements, Format, IaxSubclass, Message};

const A: usize = 0;

/// The stranger has called A, which has answered and defers the end.
fn answered() -> (Network, Stranger, CallId) {
    let mut config = EndpointConfig::default();
    let network = IpNetwork { address: "203.0.113.0".parse().expect("one"), prefix: 24 };
    config.call_token.optional_networks.push(network);
    let mut network = Network::new(21, vec![config]);
    let mut stranger = Stranger::new("203.0.113.1:4569");
    let ulaw = [Format::ULAW].into_iter().collect();
    let new = [
        Element::Version(2),
        Element::CalledNumber("1".into()),
        Element::Format(ulaw),
        Element::Capability(ulaw),
    ];
    stranger.say_iax(&mut network, A, IaxSubclass::New, &new);
    let Some(Event::CallOffered { call, .. }) = network.event(A) else { panic!("no offer") };
    let now = network.now();
    let endpoint = &mut network.nodes[A].endpoint;
    endpoint.defer_end(call).expect("offered");
    endpoint.accept(now, call, Format::ULAW).expect("offered");
    endpoint.answer(now, call).expect("accepted");
    let heard = stranger.wait(&mut network, Duration::from_millis(10));
    stranger.acknowledge(&mut network, A, &heard[1]);
    (network, stranger, call)
}

fn kinds(heard: &[Heard]) -> Vec<Option<IaxSubclass>> {
    heard.iter().map(Heard::iax).collect()
}

/// Why the call has ended, as the application was told, if it was.
fn end(network: &mut Network) -> Option<EndReason> {
    let events = std::iter::from_fn(|| network.event(A));
    let ends = events.filter_map(|event| match event {
        Event::CallEnded { end, .. } => Some(end.reason),
        _ => None,
    });
    let ends: Vec<EndReason> = ends.collect();
    assert!(ends.len() <= 1, "{ends:?}");
    ends.first().copied()
}

fn tell(network: &mut Network, call: CallId) {
    let now = network.now();
    network.nodes[A].endpoint.tell_end(now, call);
}

#[test]
fn a_hangup_is_acknowledged_only_when_the_application_says_so() {
    let (mut network, mut stranger, call) = answered();
    assert_eq!(kinds(&stranger.say_iax(&mut network, A, IaxSubclass::Hangup, &[])), []);
    assert_eq!(end(&mut network), Some(EndReason::RemoteHangup), "the application knows at once");
    assert!(!network.nodes[A].endpoint.is_settled());
    // However long it takes, and whatever comes meanwhile.
    assert_eq!(kinds(&stranger.wait(&mut network, Duration::from_secs(20))), []);
    let ping = Message::iax(IaxSubclass::Ping, Elements::EMPTY);
    assert_eq!(kinds(&stranger.say(&mut network, A, &ping)), []);
    tell(&mut network, call);
    let heard = stranger.wait(&mut network, Duration::ZERO);
    assert_eq!(kinds(&heard), [Some(IaxSubclass::Ack)]);
    assert!(network.nodes[A].endpoint.is_settled());
    // Asking twice is harmless.
    tell(&mut network, call);
    assert_eq!(kinds(&stranger.wait(&mut network, Duration::ZERO)), []);
    assert_eq!(kinds(&stranger.say(&mut network, A, &ping)), [Some(IaxSubclass::Inval)]);
}

#[test]
fn our_hangup_leaves_only_then_and_is_repeated_from_then_on() {
    let (mut network, mut stranger, call) = answered();
    let now = network.now();
    let endpoint = &mut network.nodes[A].endpoint;
    endpoint.hangup(now, call, CauseCode::USER_BUSY, Some("full")).expect("up");
    assert_eq!(end(&mut network), Some(EndReason::LocalHangup));
    assert_eq!(kinds(&stranger.wait(&mut network, Duration::from_secs(40))), []);
    let before = network.nodes[A].endpoint.counters().retransmissions;
    tell(&mut network, call);
    let heard = stranger.wait(&mut network, Duration::ZERO);
    assert_eq!(kinds(&heard), [Some(IaxSubclass::Hangup)]);
    assert!(!heard[0].header.retransmission, "it leaves for the first time");
    assert!(heard[0].elements().contains(&Element::CauseCode(CauseCode::USER_BUSY)));
    // The time for which it was held does not count: it is repeated as any frame.
    let repeated = stranger.wait(&mut network, Duration::from_secs(2));
    assert!(!repeated.is_empty() && repeated.iter().all(|heard| heard.header.retransmission));
    assert!(network.nodes[A].endpoint.counters().retransmissions > before);
    stranger.acknowledge(&mut network, A, &heard[0]);
    assert!(network.nodes[A].endpoint.is_settled());
}

#[test]
fn hangups_that_cross_are_both_told_then() {
    let (mut network, mut stranger, call) = answered();
    let now = network.now();
    network.nodes[A].endpoint.hangup(now, call, CauseCode::NORMAL_CLEARING, None).expect("up");
    assert_eq!(end(&mut network), Some(EndReason::LocalHangup));
    assert_eq!(kinds(&stranger.say_iax(&mut network, A, IaxSubclass::Hangup, &[])), []);
    tell(&mut network, call);
    let heard = stranger.wait(&mut network, Duration::ZERO);
    assert_eq!(kinds(&heard), [Some(IaxSubclass::Hangup), Some(IaxSubclass::Ack)]);
    assert_eq!(heard[0].header.iseq, heard[1].header.iseq, "both have heard of the other's");
}

#[test]
fn a_placed_call_that_is_given_up_and_one_that_is_rejected_are_told_then() {
    for rejected in [false, true] {
        let mut network = Network::new(22, vec![EndpointConfig::default()]);
        let mut stranger = Stranger::new("203.0.113.1:4569");
        let now = network.now();
        let endpoint = &mut network.nodes[A].endpoint;
        let call = endpoint.place_call(now, stranger.address, NewCall::to("1")).expect("free");
        endpoint.defer_end(call).expect("placed");
        stranger.wait(&mut network, Duration::ZERO);
        if rejected {
            let answers = stranger.say_iax(&mut network, A, IaxSubclass::Reject, &[]);
            assert_eq!(kinds(&answers), []);
            assert_eq!(end(&mut network), Some(EndReason::RemoteReject));
            tell(&mut network, call);
            let heard = stranger.wait(&mut network, Duration::ZERO);
            assert_eq!(kinds(&heard), [Some(IaxSubclass::Ack)]);
        } else {
            let ulaw = [Element::Format([Format::ULAW].into_iter().collect())];
            stranger.say_iax(&mut network, A, IaxSubclass::Accept, &ulaw);
            let now = network.now();
            let endpoint = &mut network.nodes[A].endpoint;
            endpoint.hangup(now, call, CauseCode::NORMAL_CLEARING, None).expect("up");
            let ringing = Message::Control { control: Control::Ringing, payload: &[] };
            assert_eq!(kinds(&stranger.say(&mut network, A, &ringing)), []);
            tell(&mut network, call);
            let heard = stranger.wait(&mut network, Duration::ZERO);
            assert_eq!(kinds(&heard)[0], Some(IaxSubclass::Hangup));
            stranger.acknowledge(&mut network, A, &heard[0]);
            assert!(network.nodes[A].endpoint.is_settled());
        }
    }
}

#[test]
fn an_end_that_is_never_told_is_forgotten_with_its_number() {
    let (mut network, mut stranger, call) = answered();
    assert_eq!(kinds(&stranger.say_iax(&mut network, A, IaxSubclass::Hangup, &[])), []);
    assert_eq!(kinds(&stranger.wait(&mut network, Duration::from_secs(90))), []);
    assert!(network.nodes[A].endpoint.is_settled());
    while network.event(A).is_some() {}
    assert!(network.nodes[A].endpoint.is_quiescent());
    // Its place may have another call by now, which is left alone.
    let now = network.now();
    let endpoint = &mut network.nodes[A].endpoint;
    let other = endpoint.place_call(now, stranger.address, NewCall::to("1")).expect("free");
    endpoint.defer_end(other).expect("placed");
    tell(&mut network, call);
    assert_eq!(kinds(&stranger.wait(&mut network, Duration::ZERO)), [Some(IaxSubclass::New)]);
    assert!(network.nodes[A].endpoint.call_stats(other).is_some());
}
