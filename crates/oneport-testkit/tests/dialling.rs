//! Digit dialling (RFC 5456 §6.8), against a peer written by hand.

use std::time::Duration;

use oneport_proto::{CallId, DropReason, Event, NewCall};
use oneport_testkit::sim::{Network, Stranger};
use oneport_wire::{Control, DialplanStatus, Element, Format, IaxSubclass, Message};

const A: usize = 0;

fn call_up() -> (Network, Stranger, CallId) {
    let mut network = Network::pair(51);
    let mut stranger = Stranger::new("203.0.113.1:4569");
    let now = network.now();
    let placed = network.nodes[A].endpoint.place_call(now, stranger.address, NewCall::to("TBD"));
    let call = placed.expect("free");
    stranger.wait(&mut network, Duration::ZERO);
    let format = [Element::Format([Format::ULAW].into_iter().collect())];
    stranger.say_iax(&mut network, A, IaxSubclass::Accept, &format);
    while network.event(A).is_some() {}
    (network, stranger, call)
}

#[test]
fn a_question_about_a_number_names_it_and_so_does_the_answer() {
    let (mut network, mut stranger, call) = call_up();
    let now = network.now();
    network.nodes[A].endpoint.dialplan_query(now, call, "60").expect("up");
    let heard = stranger.wait(&mut network, Duration::ZERO);
    assert_eq!(heard[0].iax(), Some(IaxSubclass::DpReq));
    assert_eq!(heard[0].elements(), [Element::CalledNumber("60".into())]);
    stranger.acknowledge(&mut network, A, &heard[0]);

    let now = network.now();
    let status = DialplanStatus(DialplanStatus::EXISTS.0 | DialplanStatus::MATCH_MORE.0);
    let refresh = Duration::from_secs(300);
    let endpoint = &mut network.nodes[A].endpoint;
    endpoint.dialplan_reply(now, call, "60", status, refresh).expect("up");
    let heard = stranger.wait(&mut network, Duration::ZERO);
    assert_eq!(heard[0].iax(), Some(IaxSubclass::DpRep));
    let said = [
        Element::CalledNumber("60".into()),
        Element::DialplanStatus(status),
        Element::Refresh(300),
    ];
    assert_eq!(heard[0].elements(), said);
    stranger.acknowledge(&mut network, A, &heard[0]);

    let now = network.now();
    network.nodes[A].endpoint.dial(now, call, "600").expect("up");
    let heard = stranger.wait(&mut network, Duration::ZERO);
    assert_eq!(heard[0].iax(), Some(IaxSubclass::Dial));
    assert_eq!(heard[0].elements(), [Element::CalledNumber("600".into())]);
}

#[test]
fn an_answer_without_a_time_is_good_for_ten_minutes() {
    let (mut network, mut stranger, call) = call_up();
    for (refresh, good) in [(None, 600), (Some(30), 30)] {
        let mut said = vec![
            Element::CalledNumber("60".into()),
            Element::DialplanStatus(DialplanStatus::CAN_EXIST),
        ];
        said.extend(refresh.map(Element::Refresh));
        stranger.say_iax(&mut network, A, IaxSubclass::DpRep, &said);
        let expected = Event::DialplanReply {
            call,
            number: "60".into(),
            status: DialplanStatus::CAN_EXIST,
            refresh: Duration::from_secs(good),
        };
        assert_eq!(network.event(A), Some(expected));
    }
}

#[test]
fn what_names_no_number_is_acknowledged_and_counted() {
    let (mut network, mut stranger, _) = call_up();
    for subclass in [IaxSubclass::DpReq, IaxSubclass::DpRep, IaxSubclass::Dial] {
        let answers = stranger.say_iax(&mut network, A, subclass, &[]);
        assert_eq!(answers[0].iax(), Some(IaxSubclass::Ack), "{subclass}");
    }
    assert_eq!(network.event(A), None);
    assert_eq!(network.nodes[A].endpoint.counters().dropped(DropReason::Incomplete), 3);
}

#[test]
fn a_dialled_call_goes_on_as_any_other() {
    let (mut network, mut stranger, call) = call_up();
    let now = network.now();
    network.nodes[A].endpoint.dial(now, call, "600").expect("up");
    for control in [Control::Proceeding, Control::Ringing, Control::Answer] {
        stranger.say(&mut network, A, &Message::control(control));
    }
    let told: Vec<Event> = std::iter::from_fn(|| network.event(A)).collect();
    assert!(
        matches!(
            told[..],
            [Event::CallProgress { .. }, Event::CallProgress { .. }, Event::CallAnswered { .. }]
        ),
        "{told:?}"
    );
    // The same with a context, and from the other side.
    let dial = [Element::CalledNumber("600".into()), Element::CalledContext("site".into())];
    stranger.say_iax(&mut network, A, IaxSubclass::Dial, &dial);
    let expected = Event::Dialled { call, number: "600".into(), context: Some("site".into()) };
    assert_eq!(network.event(A), Some(expected));
    // A REJECT ends what was dialled in vain.
    stranger.say_iax(&mut network, A, IaxSubclass::Reject, &[]);
    assert!(matches!(network.event(A), Some(Event::CallEnded { .. })));
}
