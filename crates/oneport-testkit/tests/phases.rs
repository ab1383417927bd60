//! What an exchange does in each of its phases, and what an application may ask of it in which.

use std::time::Duration;

use oneport_proto::{
    CallId, Challenge, CommandError, Device, DropReason, EncryptionPolicy, EndReason,
    EndpointConfig, Event, NewCall, Progress, Secret, TokenRule,
};
use oneport_testkit::sim::{Network, Stranger};
use oneport_wire::{
    AuthMethods, CauseCode, Control, Datagram, Element, Format, HtmlSubclass, IaxSubclass,
    MediaSubclass, Message, MessageCount,
};

const A: usize = 0;
const B: usize = 1;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Which IAX frame a datagram is, if it is one in the clear.
fn iax(datagram: &Datagram<'_>) -> Option<IaxSubclass> {
    let Datagram::Full(frame) = datagram else { return None };
    match frame.message() {
        Ok(Message::Iax { subclass, .. }) => Some(subclass),
        _ => None,
    }
}

#[test]
fn a_token_that_grew_old_on_the_way_is_asked_for_anew() {
    let device = Device { device_type: Some("iaxy".into()), ..Device::default() };
    let config = EndpointConfig { device: device.clone(), ..EndpointConfig::default() };
    let mut network = Network::new(1, vec![config, EndpointConfig::default()]);
    // NEW with the first token is lost for twelve seconds; a token is good for ten.
    let mut news = 0;
    let mut late = Vec::new();
    network.filter = Some(Box::new(move |from, datagram| {
        if from != A || iax(datagram) != Some(IaxSubclass::New) {
            return true;
        }
        let Datagram::Full(frame) = datagram else { return true };
        if late.is_empty() || late.last() != Some(&frame.header.timestamp) {
            late.push(frame.header.timestamp);
        }
        news += 1;
        // The first NEW has no token; then come those with the first one.
        late.len() != 2 || news > 6
    }));
    let (now, to) = (network.now(), network.nodes[B].address);
    network.nodes[A].endpoint.place_call(now, to, NewCall::to("1")).expect("free");
    network.run(Duration::from_secs(60));
    assert_eq!(network.nodes[B].endpoint.counters().dropped(DropReason::BadCallToken), 1);
    let events = network.events(B);
    let offer = events.iter().find_map(|event| match event {
        Event::CallOffered { offer, .. } => Some(offer),
        _ => None,
    });
    let offer = offer.unwrap_or_else(|| panic!("no offer: {events:?}\n{}", network.transcript));
    assert!(offer.address_validated);
    assert_eq!(offer.device, device, "each NEW says what the device is");
}

#[test]
fn who_refuses_a_call_for_good_is_not_asked_for_another_token() {
    let mut network = Network::pair(1);
    let mut peer = Stranger::new("203.0.113.9:4569");
    let now = network.now();
    let placed = network.nodes[A].endpoint.place_call(now, peer.address, NewCall::to("1"));
    let call = placed.expect("free");
    let news = peer.wait(&mut network, ms(50));
    assert_eq!(news.len(), 1);
    // Refused six seconds after its token came, three times: then it is meant.
    for _ in 0..3 {
        peer.say_stateless(&mut network, A, IaxSubclass::CallToken, &[Element::CallToken(b"abc")]);
        peer.wait(&mut network, Duration::from_secs(6));
        peer.say_stateless(&mut network, A, IaxSubclass::Reject, &[]);
        peer.wait(&mut network, ms(20));
    }
    let events = network.events(A);
    let [Event::CallEnded { call: ended, end }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((*ended, end.reason), (call, EndReason::RemoteReject));
}

#[test]
fn a_leg_that_is_quelched_is_relayed_no_voice_and_counts_what_it_missed() {
    let mut network = Network::new(1, vec![EndpointConfig::default(); 3]);
    let (caller, one) = network.call_up(A, B, NewCall::to("1"));
    let (other, called) = network.call_up(B, 2, NewCall::to("2"));
    network.nodes[B].endpoint.link(one, other).expect("both are up");
    let speak = |network: &mut Network, frames: u64| {
        for _ in 0..frames {
            let now = network.now();
            let endpoint = &mut network.nodes[A].endpoint;
            endpoint.send_voice(now, caller, Format::ULAW, &[7; 160], 20).expect("up");
            network.run(ms(20));
        }
        network.run(ms(50));
        network.heard(2).len() as u64
    };
    assert_eq!(speak(&mut network, 10), 10);
    let now = network.now();
    network.nodes[2].endpoint.quelch(now, called, true).expect("up");
    network.run(ms(50));
    assert_eq!(speak(&mut network, 10), 0, "it wants none");
    let missed = |network: &Network| {
        network.nodes[B].endpoint.call_stats(other).expect("it is up").send_drops
    };
    assert_eq!(missed(&network), 10);
    assert_eq!(network.nodes[B].endpoint.counters().dropped(DropReason::Quelched), 10);
    let now = network.now();
    network.nodes[2].endpoint.quelch(now, called, false).expect("up");
    network.run(ms(50));
    assert_eq!(speak(&mut network, 10), 10, "it wants some again");
    assert_eq!(missed(&network), 10);
}

/// A call with a secret, whom B challenges. What A was told.
fn challenged(network: &mut Network, secret: &str) -> Vec<Event> {
    let (now, to) = (network.now(), network.nodes[B].address);
    let mut new = NewCall::to("1");
    new.username = Some("site".into());
    new.secret = Some(Secret::from(secret));
    new.encryption = EncryptionPolicy::Required;
    network.nodes[A].endpoint.place_call(now, to, new).expect("free");
    network.run(ms(100));
    let events = network.events(B);
    let [Event::CallOffered { call, .. }] = events[..] else { panic!("{events:?}") };
    let challenge = Challenge {
        encryption: EncryptionPolicy::Required,
        ..Challenge::md5("site", Secret::from("right"))
    };
    let now = network.now();
    network.nodes[B].endpoint.challenge_call(now, call, challenge).expect("offered");
    network.run(Duration::from_secs(5));
    network.events(A)
}

#[test]
fn who_has_another_secret_on_a_call_to_be_encrypted_is_told_so_in_the_clear() {
    let mut network = Network::pair(1);
    let events = challenged(&mut network, "wrong");
    let [Event::CallEnded { end, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(end.reason, EndReason::RemoteReject, "{}", network.transcript);
    assert_eq!(end.cause, CauseCode::FACILITY_NOT_SUBSCRIBED);
}

fn key_changes(network: &Network) -> u64 {
    network.nodes[B].endpoint.counters().key_changes
}

#[test]
fn a_key_that_is_due_changes_right_behind_the_next_voice_that_is_sent() {
    let config =
        EndpointConfig { key_rotation: Some(Duration::from_secs(5)), ..EndpointConfig::default() };
    let mut network = Network::new(1, vec![config.clone(), config]);
    challenged(&mut network, "right");
    let events = network.events(B);
    let [Event::CallAuthenticated { call, .. }] = events[..] else { panic!("{events:?}") };
    let now = network.now();
    network.nodes[B].endpoint.accept(now, call, Format::ULAW).expect("proved");
    network.nodes[B].endpoint.answer(now, call).expect("accepted");
    network.run(ms(100));
    let speak = |network: &mut Network| {
        let now = network.now();
        let endpoint = &mut network.nodes[B].endpoint;
        endpoint.send_voice(now, call, Format::ULAW, &[7; 160], 20).expect("up");
        network.run(ms(15));
        key_changes(network)
    };
    assert_eq!(speak(&mut network), 0, "a full frame, and no key is due");
    // Due since 400 ms, and not overdue: that is after a second.
    network.run(ms(5_285));
    assert_eq!(key_changes(&network), 0);
    assert_eq!(speak(&mut network), 1, "{}", network.transcript);
}

#[test]
fn an_application_answers_a_call_once() {
    let mut network = Network::pair(1);
    let (_, theirs) = network.call_up(A, B, NewCall::to("1"));
    let now = network.now();
    let again = network.nodes[B].endpoint.answer(now, theirs);
    assert_eq!(again, Err(CommandError::WrongPhase));
    network.run(ms(100));
    assert_eq!(network.transcript.matches("CONTROL ANSWER").count(), 1);
}

/// A call of A to a peer written by hand, who has said nothing yet.
fn placed(new: NewCall) -> (Network, Stranger, CallId) {
    let mut network = Network::pair(1);
    let mut peer = Stranger::new("203.0.113.9:4569");
    let now = network.now();
    let call = network.nodes[A].endpoint.place_call(now, peer.address, new).expect("free");
    peer.wait(&mut network, ms(50));
    (network, peer, call)
}

/// The same, accepted with these elements.
fn accepted(new: NewCall, elements: &[Element<'_>]) -> (Network, Stranger, CallId) {
    let (mut network, mut peer, call) = placed(new);
    peer.say_iax(&mut network, A, IaxSubclass::Accept, elements);
    (network, peer, call)
}

fn unexpected(network: &Network) -> u64 {
    network.nodes[A].endpoint.counters().dropped(DropReason::Unexpected)
}

#[test]
fn what_makes_sense_in_an_accepted_call_only_is_counted_before() {
    let early = [
        Message::control(Control::Flash),
        Message::control(Control::Ringing),
        Message::text(b"early"),
        Message::DtmfBegin(b'1'),
        Message::DtmfEnd(b'1'),
        Message::Image { subclass: MediaSubclass(0x90), payload: b"early" },
        Message::Html { subclass: HtmlSubclass::Url, payload: b"early" },
        Message::Cng { level: 7, payload: &[] },
        Message::Modem { subclass: 1, payload: b"early" },
    ];
    for message in early {
        let (mut network, mut peer, _) = placed(NewCall::to("1"));
        peer.say(&mut network, A, &message);
        assert_eq!((unexpected(&network), network.events(A)), (1, vec![]), "{message:?}");
    }
}

#[test]
fn a_digit_that_is_on_no_telephone_is_counted_and_not_told() {
    let format = [Element::Format([Format::ULAW].into_iter().collect())];
    let (mut network, mut peer, _) = accepted(NewCall::to("1"), &format);
    network.events(A);
    for digit in [b'x', b'E', 0, 0xFF] {
        let before = unexpected(&network);
        peer.say(&mut network, A, &Message::DtmfEnd(digit));
        assert_eq!((unexpected(&network), network.events(A)), (before + 1, vec![]), "{digit}");
    }
}

#[test]
fn the_newer_element_of_an_accept_names_the_format() {
    let elements = [
        Element::Format([Format::ULAW].into_iter().collect()),
        Element::Format2([Format::ALAW].into_iter().collect()),
    ];
    let (mut network, _, call) = accepted(NewCall::to("1"), &elements);
    let events = network.events(A);
    assert_eq!(events, [Event::CallAccepted { call, format: Format::ALAW }]);
}

#[test]
fn an_end_of_ringing_and_messages_that_wait_are_told_in_a_call() {
    let format = [Element::Format([Format::ULAW].into_iter().collect())];
    let (mut network, mut peer, call) = accepted(NewCall::to("1"), &format);
    network.events(A);
    peer.say(&mut network, A, &Message::control(Control::StopIndication));
    let progress = Progress::StopIndication;
    assert_eq!(network.events(A), [Event::CallProgress { call, progress }]);
    let count = MessageCount { old: 1, new: 2 };
    peer.say_iax(&mut network, A, IaxSubclass::Mwi, &[Element::MessageCount(count)]);
    let events = network.events(A);
    assert!(
        matches!(events[..], [Event::MessagesWaiting { count: Some(said), .. }] if said == count),
        "{events:?}"
    );
}

#[test]
fn a_hangup_that_names_no_cause_is_a_normal_one() {
    for causes in [&[][..], &[Element::CauseCode(CauseCode::NONE)]] {
        let format = [Element::Format([Format::ULAW].into_iter().collect())];
        let (mut network, mut peer, _) = accepted(NewCall::to("1"), &format);
        network.events(A);
        peer.say_iax(&mut network, A, IaxSubclass::Hangup, causes);
        let events = network.events(A);
        let [Event::CallEnded { end, .. }] = &events[..] else { panic!("{events:?}") };
        assert_eq!(end.cause, CauseCode::NORMAL_CLEARING);
    }
}

#[test]
fn a_call_that_is_acknowledged_and_never_taken_ends_when_its_time_is_over() {
    let (mut network, mut peer, call) = placed(NewCall::to("1"));
    peer.say_iax(&mut network, A, IaxSubclass::Ack, &[]);
    let heard = peer.wait(&mut network, Duration::from_secs(59));
    assert_eq!(network.events(A), [], "{heard:?}");
    let heard = peer.wait(&mut network, Duration::from_secs(2));
    assert!(heard.iter().any(|one| one.iax() == Some(IaxSubclass::Hangup)), "{heard:?}");
    let events = network.events(A);
    let [Event::CallEnded { call: ended, end }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((*ended, end.reason), (call, EndReason::SetupTimedOut));
}

#[test]
fn where_encryption_is_required_a_challenge_without_it_gets_no_proof() {
    let mut new = NewCall::to("1");
    new.secret = Some(Secret::from("right"));
    new.encryption = EncryptionPolicy::Required;
    let (mut network, mut peer, _) = placed(new);
    let challenge = [
        Element::AuthMethods(AuthMethods::MD5),
        Element::Challenge(b"123456789"),
        Element::Username("site".into()),
    ];
    let heard = peer.say_iax(&mut network, A, IaxSubclass::AuthReq, &challenge);
    assert!(heard.iter().all(|one| one.iax() != Some(IaxSubclass::AuthRep)), "{heard:?}");
    let events = network.events(A);
    let [Event::CallEnded { end, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(end.reason, EndReason::EncryptionRefused);
}

#[test]
fn calls_that_end_before_their_proof_lock_nobody_out() {
    let config = EndpointConfig { max_challenges_per_user: 2, ..EndpointConfig::default() };
    let mut network = Network::new(1, vec![config.clone(), config]);
    for n in 0..12 {
        let (now, to) = (network.now(), network.nodes[B].address);
        let call = network.nodes[A].endpoint.place_call(now, to, NewCall::to("1")).expect("free");
        network.run(ms(100));
        let events = network.events(B);
        let Some(Event::CallOffered { call: theirs, .. }) = events.last() else {
            panic!("{events:?}")
        };
        let (theirs, now) = (*theirs, network.now());
        // A has no secret and hangs up; or it is gone, or B thinks better of it.
        network.weather.cut = n % 3 > 0;
        let challenge = Challenge::md5("site", Secret::from("right"));
        let endpoint = &mut network.nodes[B].endpoint;
        endpoint.challenge_call(now, theirs, challenge).expect("nobody else waits");
        if n % 3 == 1 {
            endpoint.reject(now, theirs, CauseCode::REJECTED, None).expect("it is undecided");
        }
        network.run(Duration::from_secs(40));
        network.weather.cut = false;
        let now = network.now();
        let _ = network.nodes[A].endpoint.hangup(now, call, CauseCode::NORMAL_CLEARING, None);
        network.run(ms(500));
        network.events(A);
    }
}

#[test]
fn a_silence_that_is_announced_is_no_loss_and_no_jitter() {
    for announced in [true, false] {
        let mut network = Network::pair(1);
        let (ours, theirs) = network.call_up(A, B, NewCall::to("1"));
        for burst in 0..3 {
            for _ in 0..20 {
                let now = network.now();
                let endpoint = &mut network.nodes[A].endpoint;
                endpoint.send_voice(now, ours, Format::ULAW, &[7; 160], 20).expect("up");
                network.run(ms(20));
            }
            let now = network.now();
            if announced && burst < 2 {
                let endpoint = &mut network.nodes[A].endpoint;
                endpoint.send_control(now, ours, Control::Hold, &[]).expect("up");
            }
            network.run(ms(200));
        }
        let stats = network.nodes[B].endpoint.call_stats(theirs).expect("up").received;
        assert_eq!(stats.frames, 60);
        assert_eq!(stats.lost == 0, announced, "{stats:?}");
    }
}

#[test]
fn a_call_of_which_the_peer_has_said_anything_in_time_is_not_killed() {
    let mut new = NewCall::to("1");
    new.autokill = Some(Duration::from_secs(2));
    let (mut network, mut peer, _) = placed(new);
    peer.say_iax(&mut network, A, IaxSubclass::Ack, &[]);
    peer.wait(&mut network, Duration::from_secs(20));
    assert_eq!(network.events(A), []);
}

#[test]
fn calls_of_who_proved_nothing_are_limited_and_others_are_not() {
    let mut config = EndpointConfig { max_unvalidated_calls: 3, ..EndpointConfig::default() };
    config.call_token.users.insert("trusted".into(), TokenRule::No);
    let mut network = Network::new(1, vec![EndpointConfig::default(), config]);
    let format = [Format::ULAW].into_iter().collect();
    for port in 5_000..5_006 {
        let mut peer = Stranger::new("203.0.113.9:4569");
        peer.address.set_port(port);
        let new = [
            Element::CalledNumber("1".into()),
            Element::Username("trusted".into()),
            Element::Format(format),
        ];
        peer.say_iax(&mut network, B, IaxSubclass::New, &new);
    }
    let offers = network.events(B).into_iter().filter_map(|event| match event {
        Event::CallOffered { offer, .. } => Some(offer.address_validated),
        _ => None,
    });
    assert_eq!(offers.collect::<Vec<_>>(), [false; 3]);
    assert_eq!(network.nodes[B].endpoint.counters().dropped(DropReason::TooManyCalls), 3);
    // Who brings a token comes in all the same.
    network.call_up(A, B, NewCall::to("1"));
}
