//! Registration (RFC 5456 §6.1) in both roles, frame by frame.

use std::time::Duration;

use oneport_proto::{
    Challenge, DropReason, EndpointConfig, Event, Grant, RegistrationConfig, RegistrationFailure,
    Secret,
};
use oneport_testkit::sim::{Network, Stranger};
use oneport_wire::{AuthMethods, CallNumber, CauseCode, DateTime, Element, IaxSubclass};

const A: usize = 0;
const B: usize = 1;

fn config(network: &Network, secret: Option<&str>) -> RegistrationConfig {
    RegistrationConfig {
        to: network.nodes[B].address,
        others: Vec::new(),
        username: "site".into(),
        secret: secret.map(Secret::from),
        key: None,
        allow_plaintext: false,
        refresh: Duration::from_secs(60),
    }
}

/// Lets A register at B, which wants the secret "right", and returns what A is told.
fn registers(secret: Option<&str>) -> (Network, Vec<Event>) {
    registers_on(Network::pair(3), secret)
}

fn registers_on(mut network: Network, secret: Option<&str>) -> (Network, Vec<Event>) {
    let (now, config) = (network.now(), config(&network, secret));
    network.nodes[A].endpoint.register(now, config);
    let until = network.now() + Duration::from_secs(3);
    while network.step(until) {
        while let Some(event) = network.event(B) {
            let now = network.now();
            let endpoint = &mut network.nodes[B].endpoint;
            match event {
                Event::RegisterRequested { request, .. } => {
                    let challenge = Challenge::md5("site", Secret::from("right"));
                    endpoint.challenge_request(now, request, challenge).expect("asked");
                }
                Event::RegisterAuthenticated { request, .. } => {
                    let date_time = Some(DateTime::from_unix(1_795_488_552));
                    let refresh = Duration::from_secs(60);
                    let grant = Grant { refresh, date_time, ..Grant::default() };
                    endpoint.grant(now, request, &grant).expect("proved");
                }
                _ => {}
            }
        }
    }
    let events = std::iter::from_fn(|| network.event(A)).collect();
    (network, events)
}

#[test]
fn a_registrar_that_hands_out_call_tokens_without_end_is_followed_three_times() {
    let mut network = Network::pair(3);
    let mut registrar = Stranger::new("203.0.113.1:4569");
    let now = network.now();
    let config = RegistrationConfig { to: registrar.address, ..config(&network, None) };
    network.nodes[A].endpoint.register(now, config);
    let mut last = registrar.wait(&mut network, Duration::from_millis(10)).remove(0);
    registrar.number = CallNumber::STATELESS;
    let mut followed = 0;
    for _ in 0..10 {
        registrar.clock = last.header.timestamp.0;
        let token = [Element::CallToken(b"another")];
        let mut answers = registrar.say_iax(&mut network, A, IaxSubclass::CallToken, &token);
        if let Some(again) = answers.pop() {
            assert_eq!(again.iax(), Some(IaxSubclass::RegReq));
            (followed, last) = (followed + 1, again);
        }
    }
    assert_eq!(followed, 3);
}

#[test]
fn a_grant_says_the_name_the_date_the_time_and_the_address() {
    let (network, events) = registers(Some("right"));
    let grant = network.transcript.lines().find(|line| line.contains("REGACK")).expect("granted");
    for said in [
        Element::Username("site".into()),
        Element::DateTime(DateTime::from_unix(1_795_488_552)),
        Element::Refresh(60),
        Element::ApparentAddress(network.nodes[A].address),
    ] {
        assert!(grant.contains(&said.to_string()), "{said}: {grant}");
    }
    let address = Some(network.nodes[A].address);
    assert!(
        matches!(&events[..], [Event::Registered { apparent_address, .. }] if *apparent_address == address),
        "{events:?}"
    );
}

#[test]
fn a_wrong_proof_is_refused_with_a_cause_and_that_is_acknowledged() {
    let (network, events) = registers(Some("wrong"));
    let mut lines = network.transcript.lines().skip_while(|line| !line.contains("REGREJ"));
    let refusal = lines.next().expect("refused");
    assert!(refusal.contains("CauseCode(") && refusal.contains("Cause(\""), "{refusal}");
    let answer = lines.next().expect("acknowledged");
    assert!(answer.ends_with("IAX ACK") && answer.contains("A->B"), "{answer}");
    let [Event::RegistrationFailed { failure, retry_in, .. }] = &events[..] else {
        panic!("{events:?}")
    };
    let RegistrationFailure::Refused { cause, text } = failure else { panic!("{failure:?}") };
    assert_eq!(
        (*cause, text.as_deref()),
        (Some(CauseCode::FACILITY_REJECTED), Some("Registration Refused"))
    );
    assert_eq!(*retry_in, Duration::from_secs(5), "the registrar may think otherwise by then");
}

#[test]
fn who_has_no_secret_goes_no_further_than_the_challenge() {
    let (network, events) = registers(None);
    let after: Vec<&str> = network
        .transcript
        .lines()
        .skip_while(|line| !line.contains("REGAUTH"))
        .filter(|line| line.contains("A->B"))
        .collect();
    assert!(matches!(after[..], [ack] if ack.ends_with("IAX ACK")), "{after:?}");
    assert!(
        matches!(
            &events[..],
            [Event::RegistrationFailed { failure: RegistrationFailure::CannotAuthenticate, .. }]
        ),
        "{events:?}"
    );
}

#[test]
fn a_grant_that_says_no_time_holds_for_sixty_seconds() {
    let mut network = Network::pair(4);
    let mut registrar = Stranger::new("203.0.113.1:4569");
    let mut config = config(&network, None);
    (config.to, config.refresh) = (registrar.address, Duration::from_secs(3_600));
    let now = network.now();
    network.nodes[A].endpoint.register(now, config);
    let asked = registrar.wait(&mut network, Duration::ZERO);
    assert_eq!(asked[0].iax(), Some(IaxSubclass::RegReq));
    assert!(asked[0].elements().contains(&Element::Refresh(3_600)));
    let name = [Element::Username("site".into())];
    let answers = registrar.say_iax(&mut network, A, IaxSubclass::RegAck, &name);
    assert_eq!(answers[0].iax(), Some(IaxSubclass::Ack));
    let event = network.event(A);
    assert!(
        matches!(event, Some(Event::Registered { refresh, .. }) if refresh == Duration::from_secs(60)),
        "{event:?}"
    );
    // And it comes again within that time.
    let again = registrar.wait(&mut network, Duration::from_secs(60));
    assert!(again.iter().any(|heard| heard.iax() == Some(IaxSubclass::RegReq)));
}

#[test]
fn a_refusal_without_state_gives_a_cause_too_and_stays_small() {
    for subclass in [IaxSubclass::RegReq, IaxSubclass::RegRel] {
        let mut network = Network::new(5, vec![EndpointConfig::default()]);
        let mut stranger = Stranger::new("203.0.113.1:4569");
        // The shortest question there is: 12 bytes.
        let answers = stranger.say_iax(&mut network, A, subclass, &[]);
        let [refusal] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!(refusal.iax(), Some(IaxSubclass::RegRej));
        let elements = refusal.elements();
        assert!(elements.contains(&Element::CauseCode(CauseCode::FACILITY_REJECTED)));
        assert!(elements.iter().any(|element| matches!(element, Element::Cause(_))));
        let length: usize = 12 + elements.len() * 2 + 1 + "refused".len();
        assert!(length <= 36, "{length} bytes for 12");
        let refused = network.nodes[A].endpoint.counters().dropped(DropReason::CallTokenMissing);
        assert_eq!(refused, 1);
    }
}

#[test]
fn a_registrar_may_refuse_at_once() {
    let mut config = EndpointConfig::default();
    config.call_token.peers.insert("site".into(), oneport_proto::TokenRule::No);
    let mut network = Network::new(6, vec![config]);
    let mut registrant = Stranger::new("203.0.113.1:4569");
    let name = [Element::Username("site".into()), Element::Refresh(60)];
    assert!(registrant.say_iax(&mut network, A, IaxSubclass::RegReq, &name).is_empty());
    let Some(Event::RegisterRequested { request, .. }) = network.event(A) else { panic!("none") };
    let now = network.now();
    network.nodes[A].endpoint.refuse(now, request).expect("asked");
    let heard = registrant.wait(&mut network, Duration::ZERO);
    assert_eq!(heard[0].iax(), Some(IaxSubclass::RegRej));
    assert!(heard[0].elements().contains(&Element::CauseCode(CauseCode::FACILITY_REJECTED)));
}

#[test]
fn a_challenge_names_methods_name_and_digits() {
    let mut config = EndpointConfig::default();
    config.call_token.peers.insert("site".into(), oneport_proto::TokenRule::No);
    for subclass in [IaxSubclass::RegReq, IaxSubclass::RegRel] {
        let mut network = Network::new(7, vec![config.clone()]);
        let mut registrant = Stranger::new("203.0.113.1:4569");
        let name = [Element::Username("site".into())];
        registrant.say_iax(&mut network, A, subclass, &name);
        let Some(Event::RegisterRequested { request, register }) = network.event(A) else {
            panic!("none")
        };
        assert_eq!(register.release, subclass == IaxSubclass::RegRel);
        let now = network.now();
        let challenge = Challenge::md5("site", Secret::from("right"));
        network.nodes[A].endpoint.challenge_request(now, request, challenge).expect("asked");
        let heard = registrant.wait(&mut network, Duration::ZERO);
        assert_eq!(heard[0].iax(), Some(IaxSubclass::RegAuth));
        let elements = heard[0].elements();
        assert!(elements.contains(&Element::AuthMethods(AuthMethods::MD5)));
        assert!(elements.contains(&Element::Username("site".into())));
        let digits = elements.iter().find_map(|element| match element {
            Element::Challenge(digits) => Some(*digits),
            _ => None,
        });
        assert!(digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_digit)), "{digits:?}");
        // What is said without a proof, or with another, is refused a second later.
        registrant.say_iax(&mut network, A, subclass, &name);
        assert!(
            registrant
                .wait(&mut network, Duration::from_millis(900))
                .iter()
                .all(|heard| heard.iax() == Some(IaxSubclass::Ack))
        );
        let heard = registrant.wait(&mut network, Duration::from_millis(200));
        assert_eq!(heard[0].iax(), Some(IaxSubclass::RegRej));
    }
}

#[test]
fn polls_that_are_lost_during_a_renewal_do_not_stop_the_clock() {
    let keep_alive = Some(Duration::from_secs(5));
    let config = EndpointConfig { keep_alive, ..EndpointConfig::default() };
    let (mut network, events) = registers_on(Network::new(3, vec![config; 2]), Some("right"));
    assert!(matches!(&events[..], [Event::Registered { .. }]), "{events:?}");
    network.run(Duration::from_secs(38));
    network.weather.cut = true;
    // The renewal, due after 45 to 50 s, meets silence, and so do two polls beside it.
    network.run(Duration::from_secs(50));
    let lines = network.transcript.lines().filter(|line| line.contains(" A-x"));
    let lost: Vec<&str> = lines.collect();
    assert!(lost.iter().filter(|line| line.contains("POKE")).count() >= 2, "{lost:?}");
    assert!(lost.iter().any(|line| line.contains("REGREQ")), "{lost:?}");
    let failed = std::iter::from_fn(|| network.event(A)).collect::<Vec<_>>();
    assert!(matches!(&failed[..], [Event::RegistrationFailed { .. }, ..]), "{failed:?}");
}

#[test]
fn polls_that_are_switched_off_while_one_is_due_stop() {
    let config =
        EndpointConfig { keep_alive: Some(Duration::from_secs(5)), ..EndpointConfig::default() };
    let (mut network, events) = registers_on(Network::new(3, vec![config; 2]), Some("right"));
    assert!(matches!(&events[..], [Event::Registered { .. }]), "{events:?}");
    network.run(Duration::from_secs(12));
    let polls = |network: &Network| {
        network.transcript.lines().filter(|line| line.contains(" POKE")).count()
    };
    let before = polls(&network);
    assert!(before >= 2, "{before}");
    let config = EndpointConfig { keep_alive: None, ..EndpointConfig::default() };
    network.nodes[A].endpoint.reconfigure(config);
    // The simulation fails on a deadline that stays past.
    network.run(Duration::from_secs(30));
    assert_eq!(polls(&network), before);
}
