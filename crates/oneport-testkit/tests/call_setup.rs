//! Setting calls up and ending them (RFC 5456 §6.2, §6.3), frame by frame, against a peer written by
//! hand.

use std::time::Duration;

use oneport_proto::{
    CallId, Challenge, CommandError, EncryptionPolicy, EndReason, EndpointConfig, Event,
    Network as IpNetwork, NewCall, Progress, Secret,
};
use oneport_testkit::sim::{Heard, Network, Stranger};
use oneport_wire::{
    AuthMethods, CallNumber, CauseCode, Control, DateTime, Element, Elements, EncryptionMethods,
    Format, FormatSet, IaxSubclass, Message, Seq, Timestamp,
};

const A: usize = 0;

/// An endpoint that asks strangers for no call token, and a stranger.
fn pair() -> (Network, Stranger) {
    let mut config = EndpointConfig::default();
    let network = IpNetwork { address: "203.0.113.0".parse().expect("one"), prefix: 24 };
    config.call_token.optional_networks.push(network);
    (Network::new(21, vec![config]), Stranger::new("203.0.113.1:4569"))
}

fn set(formats: &[Format]) -> FormatSet {
    formats.iter().copied().collect()
}

/// A calls the stranger; what the stranger heard of it.
fn placed(new: NewCall) -> (Network, Stranger, CallId, Heard) {
    let (mut network, mut stranger) = pair();
    let now = network.now();
    let call = network.nodes[A].endpoint.place_call(now, stranger.address, new).expect("free");
    let heard = stranger.wait(&mut network, Duration::ZERO).remove(0);
    (network, stranger, call, heard)
}

/// The stranger calls A.
fn offered() -> (Network, Stranger, CallId) {
    let (mut network, mut stranger) = pair();
    let new = [
        Element::Version(2),
        Element::CalledNumber("1".into()),
        Element::Format(set(&[Format::ULAW])),
        Element::Capability(set(&[Format::ULAW, Format::ALAW])),
    ];
    assert!(stranger.say_iax(&mut network, A, IaxSubclass::New, &new).is_empty());
    let Some(Event::CallOffered { call, .. }) = network.event(A) else { panic!("no offer") };
    (network, stranger, call)
}

/// The same, answered.
fn answered() -> (Network, Stranger, CallId) {
    let (mut network, mut stranger, call) = offered();
    let now = network.now();
    network.nodes[A].endpoint.accept(now, call, Format::ULAW).expect("offered");
    network.nodes[A].endpoint.answer(now, call).expect("accepted");
    let heard = stranger.wait(&mut network, Duration::from_millis(10));
    stranger.acknowledge(&mut network, A, &heard[1]);
    (network, stranger, call)
}

fn kinds(heard: &[Heard]) -> Vec<Option<IaxSubclass>> {
    heard.iter().map(Heard::iax).collect()
}

fn events(network: &mut Network) -> Vec<Event> {
    std::iter::from_fn(|| network.event(A)).collect()
}

#[test]
fn a_new_begins_at_zero_and_says_all_that_it_must() {
    let mut new = NewCall::to("600");
    new.called_context = Some("site".into());
    new.formats = vec![Format::GSM, Format::ULAW];
    new.date_time = Some(DateTime::from_unix(1_795_488_552));
    let (_, _, _, heard) = placed(new);
    let header = heard.header;
    assert_eq!(heard.iax(), Some(IaxSubclass::New));
    assert!(header.source.get() > 1 && header.destination.is_none());
    assert_eq!((header.oseq, header.iseq), (Seq::ZERO, Seq::ZERO));
    assert_eq!((header.timestamp, header.retransmission), (Timestamp(0), false));
    let elements = heard.elements();
    assert_eq!(elements[0], Element::Version(2));
    for must in [
        Element::CalledNumber("600".into()),
        Element::CalledContext("site".into()),
        Element::CallingPresentation(0),
        Element::CallingTypeOfNumber(0),
        Element::CallingTransitNetwork(0),
        // One format only, the best.
        Element::Format(set(&[Format::GSM])),
        Element::Capability(set(&[Format::GSM, Format::ULAW])),
        Element::DateTime(DateTime::from_unix(1_795_488_552)),
    ] {
        assert!(elements.contains(&must), "{must:?} in {elements:?}");
    }
    let preferences = elements.iter().find_map(|element| match element {
        Element::CodecPreferences(list) => Some(list.iter().collect::<Vec<_>>()),
        _ => None,
    });
    assert_eq!(preferences, Some(vec![Format::GSM, Format::ULAW]));
    // What answers a challenge is not said before one.
    assert!(!elements.iter().any(|element| {
        matches!(element, Element::Md5Result(_) | Element::RsaResult(_) | Element::Password(_))
    }));
}

#[test]
fn every_call_under_way_has_a_number_of_its_own() {
    let (mut network, mut stranger) = pair();
    let now = network.now();
    for _ in 0..500 {
        let call = NewCall::to("1");
        network.nodes[A].endpoint.place_call(now, stranger.address, call).expect("free");
    }
    let heard = stranger.wait(&mut network, Duration::ZERO);
    let mut numbers: Vec<u16> = heard.iter().map(|heard| heard.header.source.get()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!((heard.len(), numbers.len()), (500, 500));
}

#[test]
fn timestamps_are_milliseconds_from_the_first_frame_on_and_only_ever_grow() {
    let (mut network, mut stranger, call) = answered();
    let mut before = None;
    for millis in [0, 0, 0, 7, 20, 1_000] {
        let now = network.now();
        network.nodes[A].endpoint.send_text(now, call, "tick").expect("up");
        let heard = stranger.wait(&mut network, Duration::ZERO);
        let stamp = heard[0].header.timestamp.0;
        let real = u32::try_from(now.as_micros() / 1_000).expect("early");
        assert!(before.is_none_or(|before| stamp > before), "{stamp} after {before:?}");
        assert!(stamp.abs_diff(real) <= 5, "{stamp} at {real}");
        before = Some(stamp);
        stranger.acknowledge(&mut network, A, &heard[0]);
        network.run(Duration::from_millis(millis));
    }
}

#[test]
fn any_text_can_be_called() {
    for number in ["sip:ann@example.org", "Äpfel & Birnen", "*98#", &"9".repeat(255)] {
        let (_, _, _, heard) = placed(NewCall::to(number));
        assert!(heard.elements().contains(&Element::CalledNumber(number.into())), "{number}");
    }
    let (mut network, mut stranger) = pair();
    let new = [Element::CalledNumber("Äpfel & Birnen".into()), Element::Username("Ünal".into())];
    stranger.say_iax(&mut network, A, IaxSubclass::New, &new);
    let Some(Event::CallOffered { offer, .. }) = network.event(A) else { panic!("no offer") };
    assert_eq!(offer.called_number, "Äpfel & Birnen");
    assert_eq!(offer.username.as_deref(), Some("Ünal"));
    assert_eq!(offer.called_context, None, "the default one");
}

#[test]
fn an_accept_names_one_format_and_is_acknowledged_and_the_call_takes_it() {
    let (mut network, mut stranger, call) = offered();
    let now = network.now();
    let refused = network.nodes[A].endpoint.accept(now, call, Format::GSM);
    assert_eq!(refused, Err(CommandError::FormatNotOffered));
    network.nodes[A].endpoint.accept(now, call, Format::ALAW).expect("offered");
    let heard = stranger.wait(&mut network, Duration::ZERO);
    assert_eq!(heard[0].iax(), Some(IaxSubclass::Accept));
    assert!(heard[0].elements().contains(&Element::Format(set(&[Format::ALAW]))));

    let (mut network, mut stranger, call, _) = placed(NewCall::to("1"));
    let chosen = [Element::Format(set(&[Format::ALAW]))];
    let answers = stranger.say_iax(&mut network, A, IaxSubclass::Accept, &chosen);
    assert_eq!(kinds(&answers), [Some(IaxSubclass::Ack)]);
    let events = events(&mut network);
    assert_eq!(events, [Event::CallAccepted { call, format: Format::ALAW }]);
}

#[test]
fn an_accept_that_comes_again_or_was_never_asked_for_changes_nothing() {
    let (mut network, mut stranger, call, _) = placed(NewCall::to("1"));
    for (format, told) in [(Format::ALAW, 1), (Format::ULAW, 0)] {
        let chosen = [Element::Format(set(&[format]))];
        let answers = stranger.say_iax(&mut network, A, IaxSubclass::Accept, &chosen);
        assert_eq!(kinds(&answers), [Some(IaxSubclass::Ack)]);
        assert_eq!(events(&mut network).len(), told, "{format}");
    }
    let stats = network.nodes[A].endpoint.call_stats(call).expect("up");
    assert_eq!(stats.format, Some(Format::ALAW));

    let (mut network, mut stranger, call) = offered();
    stranger.wait(&mut network, Duration::from_millis(50));
    let chosen = [Element::Format(set(&[Format::ULAW]))];
    let answers = stranger.say_iax(&mut network, A, IaxSubclass::Accept, &chosen);
    assert_eq!(kinds(&answers), [Some(IaxSubclass::Ack)]);
    assert!(events(&mut network).is_empty());
    let now = network.now();
    network.nodes[A].endpoint.accept(now, call, Format::ULAW).expect("still offered");
}

#[test]
fn an_accept_in_a_format_not_offered_is_rejected() {
    let (mut network, mut stranger, ..) = placed(NewCall::to("1"));
    let chosen = [Element::Format(set(&[Format::GSM]))];
    let answers = stranger.say_iax(&mut network, A, IaxSubclass::Accept, &chosen);
    let reject = answers.iter().find(|heard| heard.iax() == Some(IaxSubclass::Reject));
    let elements = reject.expect("rejected").elements();
    assert!(elements.contains(&Element::CauseCode(CauseCode::BEARER_NOT_AVAILABLE)));
    assert!(elements.iter().any(|element| matches!(element, Element::Cause(_))));
    let ended = events(&mut network);
    assert!(
        matches!(&ended[..], [Event::CallEnded { end, .. }] if end.reason == EndReason::NoCommonFormat),
        "{ended:?}"
    );
}

#[test]
fn a_reject_is_acknowledged_and_ends_the_call_with_its_cause() {
    let (mut network, mut stranger, ..) = placed(NewCall::to("1"));
    let why = [Element::Cause("no".into()), Element::CauseCode(CauseCode::NO_ROUTE)];
    let answers = stranger.say_iax(&mut network, A, IaxSubclass::Reject, &why);
    assert_eq!(kinds(&answers), [Some(IaxSubclass::Ack)]);
    assert_eq!(answers[0].header.timestamp, Timestamp(20));
    let ended = events(&mut network);
    let [Event::CallEnded { end, .. }] = &ended[..] else { panic!("{ended:?}") };
    assert_eq!((end.reason, end.cause), (EndReason::RemoteReject, CauseCode::NO_ROUTE));
    assert_eq!(end.text.as_deref(), Some("no"));
    // Nothing more is said.
    assert!(stranger.wait(&mut network, Duration::from_secs(120)).is_empty());
}

#[test]
fn after_a_hangup_what_comes_for_the_call_is_invalid() {
    // The peer hangs up and goes on all the same.
    let (mut network, mut stranger, _) = answered();
    let why = [Element::CauseCode(CauseCode::USER_BUSY)];
    let answers = stranger.say_iax(&mut network, A, IaxSubclass::Hangup, &why);
    assert_eq!(kinds(&answers), [Some(IaxSubclass::Ack)]);
    let ended = events(&mut network);
    assert!(
        matches!(&ended[..], [Event::CallEnded { end, .. }] if end.cause == CauseCode::USER_BUSY),
        "{ended:?}"
    );
    for message in
        [Message::text(b"are you there?"), Message::iax(IaxSubclass::Ping, Elements::EMPTY)]
    {
        let answers = stranger.say(&mut network, A, &message);
        assert_eq!(kinds(&answers), [Some(IaxSubclass::Inval)], "{message:?}");
        assert_eq!(answers[0].header.destination, stranger.number);
    }
    // We hang up. What crosses our HANGUP on its way is still acknowledged.
    let (mut network, mut stranger, call) = answered();
    let now = network.now();
    network.nodes[A].endpoint.hangup(now, call, CauseCode::NORMAL_CLEARING, None).expect("up");
    let answers = stranger.say(&mut network, A, &Message::text(b"wait"));
    assert_eq!(kinds(&answers), [Some(IaxSubclass::Ack)]);
    let heard = stranger.wait(&mut network, Duration::ZERO);
    assert_eq!(kinds(&heard), [Some(IaxSubclass::Hangup)]);
    stranger.acknowledge(&mut network, A, &heard[0]);
    let answers = stranger.say(&mut network, A, &Message::text(b"still here"));
    assert_eq!(kinds(&answers), [Some(IaxSubclass::Inval)]);
    // Another HANGUP is no question, and an acknowledgement wants no answer.
    let answers = stranger.say_iax(&mut network, A, IaxSubclass::Ack, &[]);
    assert!(answers.is_empty(), "{answers:?}");
    assert!(network.nodes[A].endpoint.calls() == 0);
}

#[test]
fn a_challenge_names_methods_name_and_digits_and_is_met() {
    let (mut network, mut stranger, call) = offered();
    let now = network.now();
    let challenge = Challenge::md5("site", Secret::from("right"));
    network.nodes[A].endpoint.challenge_call(now, call, challenge).expect("offered");
    let heard = stranger.wait(&mut network, Duration::ZERO);
    assert_eq!(heard[0].iax(), Some(IaxSubclass::AuthReq));
    let elements = heard[0].elements();
    assert!(elements.contains(&Element::AuthMethods(AuthMethods::MD5)));
    assert!(elements.contains(&Element::Username("site".into())));
    let challenged =
        |element: &Element<'_>| matches!(element, Element::Challenge(digits) if digits.len() == 9);
    assert!(elements.iter().any(challenged), "{elements:?}");

    let mut new = NewCall::to("1");
    new.secret = Some(Secret::from("secret"));
    let (mut network, mut stranger, ..) = placed(new);
    let asked = [
        Element::AuthMethods(AuthMethods::MD5),
        Element::Challenge(b"123456789"),
        Element::Username("site".into()),
    ];
    let answers = stranger.say_iax(&mut network, A, IaxSubclass::AuthReq, &asked);
    assert_eq!(kinds(&answers), [Some(IaxSubclass::AuthRep)]);
    let proof = Element::Md5Result("7ccde16e862dfe7681297713e9e9cadb".into());
    assert_eq!(answers[0].elements(), [proof]);
}

#[test]
fn a_challenge_that_cannot_be_met_is_answered_by_hangup() {
    let asked = |methods| [Element::AuthMethods(methods), Element::Challenge(b"123456789")];
    let mut with_secret = NewCall::to("1");
    with_secret.secret = Some(Secret::from("secret"));
    // Without a secret, and with one that would have to go in the clear.
    for (new, methods) in
        [(NewCall::to("1"), AuthMethods::MD5), (with_secret, AuthMethods::PLAINTEXT)]
    {
        let (mut network, mut stranger, ..) = placed(new);
        let answers = stranger.say_iax(&mut network, A, IaxSubclass::AuthReq, &asked(methods));
        assert_eq!(kinds(&answers), [Some(IaxSubclass::Hangup)]);
        let ended = events(&mut network);
        assert!(
            matches!(&ended[..], [Event::CallEnded { end, .. }] if end.reason == EndReason::CannotAuthenticate),
            "{ended:?}"
        );
    }
}

#[test]
fn a_proof_nobody_asked_for_is_acknowledged_and_proves_nothing() {
    let (mut network, mut stranger, call) = offered();
    stranger.wait(&mut network, Duration::from_millis(50));
    let proof = [Element::Md5Result("7ccde16e862dfe7681297713e9e9cadb".into())];
    let answers = stranger.say_iax(&mut network, A, IaxSubclass::AuthRep, &proof);
    assert_eq!(kinds(&answers), [Some(IaxSubclass::Ack)]);
    assert!(events(&mut network).is_empty());
    let now = network.now();
    network.nodes[A].endpoint.accept(now, call, Format::ULAW).expect("still offered");
    // Not even in a call that is up.
    stranger.say_iax(&mut network, A, IaxSubclass::AuthRep, &proof);
    assert!(events(&mut network).is_empty());
}

#[test]
fn a_new_that_comes_again_is_acknowledged_and_offered_once() {
    let (mut network, mut stranger, call) = offered();
    (stranger.oseq, stranger.clock, stranger.theirs) = (Seq::ZERO, 20, CallNumber::NONE);
    let new = [Element::Version(2), Element::CalledNumber("1".into())];
    let answers = stranger.say_iax(&mut network, A, IaxSubclass::New, &new);
    assert_eq!(kinds(&answers), [Some(IaxSubclass::Ack)]);
    assert!(events(&mut network).is_empty());
    assert!(network.nodes[A].endpoint.call_stats(call).is_some());
}

#[test]
fn a_late_copy_of_an_older_new_ends_no_call_and_a_newer_one_does() {
    // Half of the circle lies before 20.
    let half = u32::MAX / 2;
    for (clock, restarts) in [(19, false), (21 + half, false), (20 + half, true), (21, true)] {
        let (mut network, mut stranger, call) = offered();
        (stranger.oseq, stranger.clock, stranger.theirs) = (Seq::ZERO, clock, CallNumber::NONE);
        let new = [Element::Version(2), Element::CalledNumber("1".into())];
        let answers = stranger.say_iax(&mut network, A, IaxSubclass::New, &new);
        assert_eq!(kinds(&answers), [], "{clock}");
        assert_eq!(network.nodes[A].endpoint.call_stats(call).is_none(), restarts, "{clock}");
        assert_eq!(events(&mut network).is_empty(), !restarts, "{clock}");
    }
}

#[test]
fn the_number_of_a_call_that_is_over_may_be_used_again_at_once() {
    // A clock that begins anew comes by the same timestamps, or by earlier ones.
    let first = "1";
    for (later, clock, number, offered_again) in [
        (Duration::ZERO, 20, "2", true),
        (Duration::ZERO, 3, "2", true),
        (Duration::ZERO, 20, first, false),
        (Duration::from_secs(11), 20, first, true),
    ] {
        let (mut network, mut stranger) = pair();
        let new = |number: &'static str| {
            [
                Element::Version(2),
                Element::CalledNumber(number.into()),
                Element::Username("x".into()),
            ]
        };
        stranger.clock = 20;
        stranger.say_iax(&mut network, A, IaxSubclass::New, &new(first));
        let now = network.now();
        let Some(Event::CallOffered { call, .. }) = network.event(A) else { panic!("no offer") };
        network.nodes[A].endpoint.reject(now, call, CauseCode::USER_BUSY, None).expect("waits");
        let heard = stranger.wait(&mut network, Duration::from_millis(50));
        let reject = heard.iter().find(|one| one.iax() == Some(IaxSubclass::Reject));
        stranger.acknowledge(&mut network, A, reject.expect("it is rejected"));
        events(&mut network);
        stranger.wait(&mut network, later);
        (stranger.oseq, stranger.clock, stranger.theirs) = (Seq::ZERO, clock, CallNumber::NONE);
        let answers = stranger.say_iax(&mut network, A, IaxSubclass::New, &new(number));
        let events = events(&mut network);
        let is_offered = matches!(events[..], [Event::CallOffered { .. }]);
        assert_eq!(is_offered, offered_again, "{later:?} {clock} {number}: {events:?}");
        let repeated = kinds(&answers) == [Some(IaxSubclass::Ack)];
        assert_eq!(repeated, !offered_again, "{later:?} {clock} {number}: {answers:?}");
    }
}

#[test]
fn a_peer_that_hands_out_call_tokens_without_end_is_followed_three_times() {
    let (mut network, mut stranger, _, mut last) = placed(NewCall::to("1"));
    stranger.number = CallNumber::STATELESS;
    let mut followed = 0;
    for _ in 0..10 {
        stranger.clock = last.header.timestamp.0;
        let token = [Element::CallToken(b"another")];
        if let Some(again) = stranger.say_iax(&mut network, A, IaxSubclass::CallToken, &token).pop()
        {
            assert_eq!(again.iax(), Some(IaxSubclass::New));
            (followed, last) = (followed + 1, again);
        }
    }
    assert_eq!(followed, 3);
}

#[test]
fn encryption_is_asked_for_only_where_both_can_and_never_left_out_where_it_must_be() {
    use EncryptionPolicy::{Allowed, Off, Required};
    let secret = || vec![Secret::from("right")];
    for (can, methods, secrets, policy, encrypts) in [
        (false, AuthMethods::MD5, secret(), Off, Ok(false)),
        (true, AuthMethods::MD5, secret(), Off, Ok(false)),
        (false, AuthMethods::MD5, secret(), Allowed, Ok(false)),
        (true, AuthMethods::MD5, secret(), Allowed, Ok(true)),
        (true, AuthMethods::PLAINTEXT, secret(), Allowed, Ok(false)),
        (true, AuthMethods::MD5, secret(), Required, Ok(true)),
        (false, AuthMethods::MD5, secret(), Required, Err(CommandError::EncryptionNotOffered)),
        (true, AuthMethods::PLAINTEXT, secret(), Required, Err(CommandError::EncryptionNotOffered)),
    ] {
        let (mut network, mut stranger) = pair();
        let mut new = vec![Element::Username("site".into()), Element::CalledNumber("1".into())];
        new.extend(can.then_some(Element::Encryption(EncryptionMethods::AES128)));
        stranger.say_iax(&mut network, A, IaxSubclass::New, &new);
        let Some(Event::CallOffered { call, .. }) = network.event(A) else { panic!("no offer") };
        let challenge =
            Challenge { methods, secrets, encryption: policy, ..Challenge::unknown("site") };
        let now = network.now();
        let asked = network.nodes[A].endpoint.challenge_call(now, call, challenge);
        let heard = stranger.wait(&mut network, Duration::ZERO);
        assert_eq!(kinds(&heard), vec![Some(IaxSubclass::AuthReq); usize::from(asked.is_ok())]);
        let says = |one: &Element<'_>| matches!(one, Element::Encryption(_));
        let said = asked.map(|()| heard[0].elements().iter().any(says));
        assert_eq!(said, encrypts, "{can} {methods:?} {policy:?}");
    }
}

#[test]
fn progress_is_told_only_behind_the_accept_in_any_order() {
    let (mut network, mut stranger, call) = offered();
    let now = network.now();
    let endpoint = &mut network.nodes[A].endpoint;
    let too_early = Err(CommandError::WrongPhase);
    assert_eq!(endpoint.ringing(now, call), too_early);
    assert_eq!(endpoint.proceeding(now, call), too_early);
    assert_eq!(endpoint.answer(now, call), too_early);
    assert_eq!(endpoint.quelch(now, call, true), too_early);
    assert!(stranger.wait(&mut network, Duration::ZERO).is_empty());

    // And such a frame that comes before it means nothing.
    let (mut network, mut stranger, _, _) = placed(NewCall::to("1"));
    for control in [Control::Proceeding, Control::Ringing, Control::Answer] {
        stranger.say(&mut network, A, &Message::control(control));
    }
    assert!(events(&mut network).is_empty());
    let chosen = [Element::Format(set(&[Format::ULAW]))];
    stranger.say_iax(&mut network, A, IaxSubclass::Accept, &chosen);
    assert_eq!(events(&mut network).len(), 1);
    for (control, progress) in [
        (Control::Proceeding, Progress::Proceeding),
        (Control::Ringing, Progress::Ringing),
        (Control::Progress, Progress::EarlyMedia),
        (Control::Busy, Progress::Busy),
        (Control::Congestion, Progress::Congestion),
    ] {
        let answers = stranger.say(&mut network, A, &Message::control(control));
        assert_eq!(kinds(&answers), [Some(IaxSubclass::Ack)]);
        let told = events(&mut network);
        assert!(
            matches!(told[..], [Event::CallProgress { progress: said, .. }] if said == progress),
            "{told:?}"
        );
    }
}

#[test]
fn a_call_may_be_answered_without_ringing_and_is_answered_once() {
    let (mut network, mut stranger, ..) = placed(NewCall::to("1"));
    let chosen = [Element::Format(set(&[Format::ULAW]))];
    stranger.say_iax(&mut network, A, IaxSubclass::Accept, &chosen);
    for _ in 0..2 {
        let answers = stranger.say(&mut network, A, &Message::control(Control::Answer));
        assert_eq!(kinds(&answers), [Some(IaxSubclass::Ack)]);
    }
    let told = events(&mut network);
    assert!(
        matches!(told[..], [Event::CallAccepted { .. }, Event::CallAnswered { .. }]),
        "{told:?}"
    );
}

#[test]
fn a_hangup_may_come_in_any_phase() {
    for phase in 0..3 {
        let (mut network, mut stranger, call) = offered();
        let now = network.now();
        if phase == 1 {
            let challenge = Challenge::md5("site", Secret::from("right"));
            network.nodes[A].endpoint.challenge_call(now, call, challenge).expect("offered");
        } else if phase == 2 {
            network.nodes[A].endpoint.accept(now, call, Format::ULAW).expect("offered");
        }
        stranger.wait(&mut network, Duration::from_millis(50));
        let answers = stranger.say_iax(&mut network, A, IaxSubclass::Hangup, &[]);
        assert_eq!(kinds(&answers), [Some(IaxSubclass::Ack)]);
        let ended = events(&mut network);
        assert!(
            matches!(&ended[..], [Event::CallEnded { end, .. }] if end.reason == EndReason::RemoteHangup),
            "{ended:?}"
        );
    }
}

#[test]
fn a_call_given_up_before_any_answer_is_hung_up_when_one_comes_unless_that_ends_it_too() {
    let chosen = [Element::Format(set(&[Format::ULAW]))];
    for (answer, elements) in [(IaxSubclass::Accept, &chosen[..]), (IaxSubclass::Reject, &[])] {
        let (mut network, mut stranger, call, _) = placed(NewCall::to("1"));
        let now = network.now();
        let endpoint = &mut network.nodes[A].endpoint;
        endpoint.hangup(now, call, CauseCode::USER_BUSY, None).expect("there");
        assert_eq!(kinds(&stranger.wait(&mut network, Duration::from_secs(3))), []);
        let answers = stranger.say_iax(&mut network, A, answer, elements);
        if answer == IaxSubclass::Reject {
            assert_eq!(kinds(&answers), [Some(IaxSubclass::Ack)]);
        } else {
            assert_eq!(kinds(&answers), [Some(IaxSubclass::Hangup), Some(IaxSubclass::Ack)]);
            assert!(answers[0].elements().contains(&Element::CauseCode(CauseCode::USER_BUSY)));
            stranger.acknowledge(&mut network, A, &answers[0]);
        }
        assert_eq!(kinds(&stranger.wait(&mut network, Duration::from_secs(90))), []);
        events(&mut network);
        assert!(network.nodes[A].endpoint.is_quiescent());
    }
}

#[test]
fn a_peer_that_does_not_know_the_call_any_more_hears_no_further_hangup() {
    for invalid in [false, true] {
        let (mut network, mut stranger, call) = answered();
        let now = network.now();
        let endpoint = &mut network.nodes[A].endpoint;
        endpoint.hangup(now, call, CauseCode::NORMAL_CLEARING, None).expect("there");
        let heard = stranger.wait(&mut network, Duration::from_millis(10));
        assert_eq!(kinds(&heard), [Some(IaxSubclass::Hangup)]);
        if invalid {
            let answers = stranger.say_iax(&mut network, A, IaxSubclass::Inval, &[]);
            assert_eq!(kinds(&answers), []);
        }
        let copies = kinds(&stranger.wait(&mut network, Duration::from_secs(35)));
        assert_eq!(copies.is_empty(), invalid, "{copies:?}");
        assert_eq!(kinds(&stranger.wait(&mut network, Duration::from_secs(60))), [], "given up");
        events(&mut network);
        assert!(network.nodes[A].endpoint.is_quiescent());
    }
}

#[test]
fn a_hangup_that_crosses_ours_is_acknowledged_whether_ours_came_through_or_not() {
    for acknowledged in [false, true] {
        let (mut network, mut stranger, call) = answered();
        let now = network.now();
        let endpoint = &mut network.nodes[A].endpoint;
        endpoint.hangup(now, call, CauseCode::NORMAL_CLEARING, None).expect("there");
        let heard = stranger.wait(&mut network, Duration::from_millis(10));
        if acknowledged {
            stranger.acknowledge(&mut network, A, &heard[0]);
        } else {
            stranger.iseq = heard[0].header.oseq;
        }
        let answers = stranger.say_iax(&mut network, A, IaxSubclass::Hangup, &[]);
        assert_eq!(kinds(&answers), [Some(IaxSubclass::Ack)], "acknowledged: {acknowledged}");
    }
}

#[test]
fn a_higher_version_is_rejected_and_a_missing_one_taken() {
    for (version, taken) in [(Some(2), true), (Some(3), false), (Some(1), true), (None, true)] {
        let (mut network, mut stranger) = pair();
        let mut new: Vec<Element<'_>> = version.map(Element::Version).into_iter().collect();
        new.push(Element::CalledNumber("1".into()));
        let answers = stranger.say_iax(&mut network, A, IaxSubclass::New, &new);
        let told = network.event(A);
        assert_eq!(matches!(told, Some(Event::CallOffered { .. })), taken, "{version:?}");
        let refused: &[Option<IaxSubclass>] =
            if taken { &[] } else { &[Some(IaxSubclass::Reject)] };
        assert_eq!(kinds(&answers), refused, "{version:?}");
    }
}

#[test]
fn elements_without_a_meaning_here_are_passed_over() {
    let (mut network, mut stranger) = pair();
    // Those that the RFC keeps for later, those of devices that are not here, and one of the wrong
    // size.
    let mut new = vec![Element::Version(2), Element::AdsiCpe(1), Element::SamplingRate(8_000)];
    new.push(Element::Malformed { id: 8, data: &[1, 2, 3] });
    for id in (0x1D..=0x25).chain([0x2C, 0xFE]).filter(|id| *id != 0x1F) {
        new.push(Element::decode(id, b"data"));
    }
    new.push(Element::CalledNumber("600".into()));
    let answers = stranger.say_iax(&mut network, A, IaxSubclass::New, &new);
    assert!(answers.is_empty(), "{answers:?}");
    let Some(Event::CallOffered { offer, .. }) = network.event(A) else { panic!("no offer") };
    assert_eq!(offer.called_number, "600");
    assert_eq!(offer.formats, FormatSet::EMPTY);
}

#[test]
fn two_peers_behind_one_address_are_told_apart_by_port() {
    let (mut network, first) = pair();
    let mut peers = [first, Stranger::new("203.0.113.1:50123")];
    // They chose the same number.
    assert_eq!(peers[0].number, peers[1].number);
    let mut calls = Vec::new();
    for peer in &mut peers {
        let number = peer.address.port().to_string();
        let new = [Element::CalledNumber(number.as_str().into())];
        peer.say_iax(&mut network, A, IaxSubclass::New, &new);
        let Some(Event::CallOffered { call, offer }) = network.event(A) else { panic!("no offer") };
        assert_eq!((offer.path.remote, offer.called_number), (peer.address, number));
        calls.push(call);
    }
    assert_eq!(network.nodes[A].endpoint.calls(), 2);
    peers[1].wait(&mut network, Duration::from_millis(50));
    peers[1].say_iax(&mut network, A, IaxSubclass::Hangup, &[]);
    let ended = network.event(A);
    assert!(matches!(ended, Some(Event::CallEnded { call, .. }) if call == calls[1]), "{ended:?}");
    assert!(network.nodes[A].endpoint.call_stats(calls[0]).is_some());
}
