//! Devices: firmware, settings from afar, messages that wait.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use oneport_proto::{
    Device, DropReason, EndpointConfig, Event, FirmwareFailure, FirmwareImage, Grant,
    ProvisionOutcome, RegistrationConfig, Settings,
};
use oneport_testkit::sim::Network;
use oneport_wire::{
    CallNumber, Datagram, Element, ElementBuffer, FullHeader, IaxSubclass, Message, MessageCount,
    ProvisioningElement, Seq, Timestamp,
};

const A: usize = 0;
const B: usize = 1;

fn image(len: usize) -> FirmwareImage {
    let data: Vec<u8> = (0..len).map(|n| (n * 7 % 251) as u8).collect();
    FirmwareImage::new("iaxy", 23, &data).expect("an image")
}

/// A device that may be set up, and a server with an image of `len` bytes.
fn device_and_server(len: usize) -> Network {
    let device = EndpointConfig {
        device: Device {
            device_type: Some("iaxy".into()),
            service_ident: Some("000fd3001234".into()),
            provisioning_version: Some(0),
            firmware_version: None,
        },
        accept_provisioning: true,
        ..EndpointConfig::default()
    };
    let server = EndpointConfig { firmware: vec![image(len)], ..EndpointConfig::default() };
    Network::new(1, vec![device, server])
}

fn events(network: &mut Network, node: usize, duration: Duration) -> Vec<Event> {
    network.run(duration);
    std::iter::from_fn(|| network.event(node)).collect()
}

fn fetch(network: &mut Network, device: &str) -> Event {
    let (now, to) = (network.now(), network.nodes[B].address);
    network.nodes[A].endpoint.fetch_firmware(now, to, device).expect("free");
    let mut events = events(network, A, Duration::from_secs(120));
    assert_eq!(events.len(), 1, "one event, the last: {events:?}");
    assert!(falls_silent(network), "something is left:\n{}", network.transcript);
    events.remove(0)
}

/// Whether nothing is left on either side, once B has heard whom it has refused.
fn falls_silent(network: &mut Network) -> bool {
    network.run(Duration::from_secs(120));
    while network.event(B).is_some() {}
    network.nodes.iter().all(|node| node.endpoint.is_quiescent())
}

/// Registers A at B, which grants it.
fn register(network: &mut Network) -> (Device, Vec<Event>) {
    let now = network.now();
    let config = RegistrationConfig {
        to: network.nodes[B].address,
        others: Vec::new(),
        username: "site".into(),
        secret: None,
        key: None,
        allow_plaintext: false,
        refresh: Duration::from_secs(3_600),
    };
    network.nodes[A].endpoint.register(now, config);
    network.run(Duration::from_millis(100));
    let event = network.event(B);
    let Some(Event::RegisterRequested { request, register }) = event else { panic!("{event:?}") };
    let now = network.now();
    let messages = Some(MessageCount { old: 2, new: 5 });
    let refresh = Duration::from_secs(3_600);
    let grant = Grant { refresh, messages, ..Grant::default() };
    network.nodes[B].endpoint.grant(now, request, &grant).expect("asked");
    let heard = events(network, A, Duration::from_millis(200));
    while network.event(B).is_some() {}
    (register.device, heard)
}

fn settings() -> Settings {
    Settings::new(&[
        ProvisioningElement::ServerUser("site".into()),
        ProvisioningElement::ServerPassword("right".into()),
        ProvisioningElement::ServerPort(4_569),
    ])
    .expect("short")
}

fn element(element: &Element<'_>) -> ElementBuffer {
    let mut elements = ElementBuffer::new();
    elements.push(element);
    elements
}

/// A frame that opens something, from call number 99.
fn opening(subclass: IaxSubclass, elements: &ElementBuffer) -> Vec<u8> {
    let header = FullHeader {
        source: CallNumber::from_bits(99),
        destination: CallNumber::NONE,
        retransmission: false,
        timestamp: Timestamp(7),
        oseq: Seq::ZERO,
        iseq: Seq::ZERO,
    };
    let mut datagram = Vec::new();
    Message::iax(subclass, elements.as_elements()).encode(&header, &mut datagram);
    datagram
}

fn said(datagram: &[u8]) -> (FullHeader, IaxSubclass) {
    let Ok(Datagram::Full(frame)) = Datagram::decode(datagram) else { panic!("{datagram:x?}") };
    let Ok(Message::Iax { subclass, .. }) = frame.message() else { panic!("{datagram:x?}") };
    (frame.header, subclass)
}

/// Loses each of the first `most` frames once, one in each run, and lets `story` tell what follows.
fn with_each_frame_lost(
    most: usize,
    mut network: impl FnMut() -> Network,
    story: fn(&mut Network),
) {
    for lost in 0..most {
        let mut network = network();
        let mut count = 0;
        network.filter = Some(Box::new(move |_, _| {
            count += 1;
            count != lost + 1
        }));
        story(&mut network);
    }
}

#[test]
fn firmware_arrives_whole_whatever_its_length() {
    for len in [0, 1, 254, 255, 256, 509, 510, 511, 10_000] {
        let mut network = device_and_server(len);
        let Event::FirmwareFetched { data, .. } = fetch(&mut network, "iaxy") else {
            panic!("{len} bytes:\n{}", network.transcript);
        };
        assert_eq!(data, image(len).data(), "{len} bytes");
        if len == 256 {
            insta::assert_snapshot!(shape(&network));
        }
    }
}

/// Who says what to whom, without numbers and contents.
fn shape(network: &Network) -> String {
    let line = |line: &str| {
        let (route, said) = line.split_once(" IAX ").expect("all of it is IAX");
        let name = said.split(' ').next().expect("a name");
        format!("{} {name}\n", route.split(' ').nth(1).expect("a way"))
    };
    network.transcript.lines().map(line).collect()
}

#[test]
fn each_frame_of_a_firmware_transfer_may_be_lost_once() {
    with_each_frame_lost(
        12,
        || device_and_server(600),
        |network| {
            let event = fetch(network, "iaxy");
            let Event::FirmwareFetched { data, .. } = event else {
                panic!("{event:?}\n{}", network.transcript);
            };
            assert_eq!(data, image(600).data());
        },
    );
}

#[test]
fn firmware_survives_bad_weather() {
    let mut network = device_and_server(20_000);
    network.weather.loss = 200;
    network.weather.duplication = 100;
    network.weather.jitter = Duration::from_millis(200);
    let (now, to) = (network.now(), network.nodes[B].address);
    network.nodes[A].endpoint.fetch_firmware(now, to, "iaxy").expect("free");
    let events = events(&mut network, A, Duration::from_secs(1_200));
    let [Event::FirmwareFetched { data, .. }] = &events[..] else {
        panic!("{events:?}\n{}", network.transcript)
    };
    assert_eq!(data, image(20_000).data());
}

#[test]
fn an_unknown_device_a_server_without_firmware_and_one_that_is_gone_end_a_fetch() {
    let mut network = device_and_server(100);
    let event = fetch(&mut network, "../../etc/passwd");
    let Event::FirmwareFailed { failure, .. } = event else { panic!("{event:?}") };
    assert_eq!(failure, FirmwareFailure::Refused { cause: None, text: None });
    assert_eq!(network.nodes[B].endpoint.counters().dropped(DropReason::NoSuchFirmware), 1);

    let mut network = Network::pair(1);
    let event = fetch(&mut network, "iaxy");
    let Event::FirmwareFailed { failure, .. } = event else { panic!("{event:?}") };
    assert_eq!(failure, FirmwareFailure::Unsupported);

    let mut network = device_and_server(100);
    network.weather.cut = true;
    let event = fetch(&mut network, "iaxy");
    let Event::FirmwareFailed { failure, .. } = event else { panic!("{event:?}") };
    assert_eq!(failure, FirmwareFailure::TimedOut);
    let now = network.now();
    let to = network.nodes[B].address;
    assert!(network.nodes[A].endpoint.fetch_firmware(now, to, "").is_err());
    assert!(network.nodes[A].endpoint.fetch_firmware(now, to, &"x".repeat(256)).is_err());
}

#[test]
fn a_server_that_falls_silent_is_given_up_and_a_device_too() {
    let mut network = device_and_server(100_000);
    let (now, to) = (network.now(), network.nodes[B].address);
    network.nodes[A].endpoint.fetch_firmware(now, to, "iaxy").expect("free");
    network.run(Duration::from_millis(500));
    network.weather.cut = true;
    let events = events(&mut network, A, Duration::from_secs(60));
    let [Event::FirmwareFailed { failure, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(*failure, FirmwareFailure::TimedOut);
    assert!(falls_silent(&mut network));
}

#[test]
fn firmware_and_provisioning_are_off_by_default() {
    let from = SocketAddr::from(([10, 0, 0, 9], 4_569));
    let mut network = Network::pair(1);
    let mut wanted = element(&Element::DeviceType("iaxy".into()));
    wanted.push(&Element::FirmwareBlockDescription(255));
    wanted.push(&Element::CallToken(&[]));
    let answers = network.inject(B, from, &opening(IaxSubclass::FwDownl, &wanted));
    assert_eq!(answers.len(), 1);
    assert_eq!(said(&answers[0]).1, IaxSubclass::Unsupport);

    let mut data = Vec::new();
    ProvisioningElement::ServerPort(4_569).encode(&mut data);
    let wanted = element(&Element::Provisioning(&data));
    let answers = network.inject(B, from, &opening(IaxSubclass::Provision, &wanted));
    assert_eq!(answers.len(), 1);
    assert_eq!(said(&answers[0]).1, IaxSubclass::Reject);
    assert_eq!(network.nodes[B].endpoint.counters().dropped(DropReason::NotEnabled), 2);
    while network.event(B).is_some() {}
    assert!(network.nodes[B].endpoint.is_quiescent());
}

#[test]
fn an_address_that_proved_nothing_gets_no_firmware_and_at_most_three_times_its_bytes() {
    let mut network = device_and_server(10_000);
    let from = SocketAddr::from(([10, 0, 0, 9], 4_569));
    let device = Element::DeviceType("iaxy".into());
    let block = Element::FirmwareBlockDescription(255);
    let none = Element::CallToken(&[]);
    let forged = Element::CallToken(b"AAAAAAAAAAAAAAAAAAAAAAAA");
    let requests: [&[Element<'_>]; 8] = [
        &[],
        &[none],
        &[forged],
        &[device],
        &[device, block],
        &[device, block, none],
        &[device, block, forged],
        &[block],
    ];
    for optional in [false, true] {
        if optional {
            // Even where calls need no token.
            let mut config =
                EndpointConfig { firmware: vec![image(10_000)], ..EndpointConfig::default() };
            for rules in [&mut config.call_token.users, &mut config.call_token.peers] {
                rules.insert("guest".into(), oneport_proto::TokenRule::No);
            }
            network.nodes[B].endpoint.reconfigure(config);
        }
        let mut kinds = BTreeSet::new();
        for elements in requests {
            let mut buffer = ElementBuffer::new();
            elements.iter().for_each(|element| buffer.push(element));
            let request = opening(IaxSubclass::FwDownl, &buffer);
            let answers = network.inject(B, from, &request);
            assert_eq!(answers.len(), 1, "{elements:?}");
            assert!(answers[0].len() <= 3 * request.len(), "{elements:?}: {}", answers[0].len());
            let (header, kind) = said(&answers[0]);
            assert_eq!(header.source, CallNumber::STATELESS, "nothing is kept");
            kinds.insert(kind.subclass());
        }
        assert_eq!(
            kinds,
            BTreeSet::from([IaxSubclass::CallToken.subclass(), IaxSubclass::Reject.subclass()])
        );
    }
    while network.event(B).is_some() {}
    assert!(network.nodes[B].endpoint.is_quiescent());
}

#[test]
fn blocks_of_no_size_behind_the_end_and_of_nothing_at_all_are_answered_sensibly() {
    let mut network = device_and_server(1_000);
    let from = network.nodes[A].address;
    let mut asked = 0;
    let mut ask = |network: &mut Network, description: Option<u32>| {
        // The token is that of the answer before.
        asked += 1;
        let mut wanted = element(&Element::DeviceType("iaxy".into()));
        if let Some(description) = description {
            wanted.push(&Element::FirmwareBlockDescription(description));
        }
        let mut first = wanted.clone();
        first.push(&Element::CallToken(&[]));
        let answers = network.inject(B, from, &opening(IaxSubclass::FwDownl, &first));
        let Ok(Datagram::Full(frame)) = Datagram::decode(&answers[0]) else { panic!() };
        let Ok(Message::Iax { elements, .. }) = frame.message() else { panic!() };
        let Some(Element::CallToken(token)) = elements.iter().next() else { panic!() };
        wanted.push(&Element::CallToken(token));
        let mut request = opening(IaxSubclass::FwDownl, &wanted);
        // Each from a number of its own.
        request[1] = 99 + asked;
        let answers = network.inject(B, from, &request);
        let Ok(Datagram::Full(frame)) = Datagram::decode(&answers[0]) else { panic!() };
        let Ok(Message::Iax { subclass, elements }) = frame.message() else { panic!() };
        let data = elements.iter().find_map(|element| match element {
            Element::FirmwareBlockData(data) => Some(data.to_vec()),
            _ => None,
        });
        (subclass, data)
    };
    let all = image(1_000);
    let cases = [
        (Some(255), Some(all.data()[..255].to_vec())),
        (Some(3 << 8 | 255), Some(all.data()[765..].to_vec())),
        (Some(1 << 8 | 10), Some(all.data()[10..20].to_vec())),
        (Some(4 << 8 | 250), Some(vec![])),
        (Some(0xFFFF_FFFF), Some(vec![])),
        (Some(0xFFFF_FF00), None),
        (Some(0), None),
        (None, None),
    ];
    for (description, expected) in cases {
        let (subclass, data) = ask(&mut network, description);
        assert_eq!(data, expected, "{description:?}");
        let kind = if expected.is_some() { IaxSubclass::FwData } else { IaxSubclass::Reject };
        assert_eq!(subclass, kind, "{description:?}");
    }
    network.filter = Some(Box::new(|_, _| false));
    assert!(falls_silent(&mut network));
}

#[test]
fn a_registrar_says_which_firmware_it_has_for_the_device() {
    let mut network = device_and_server(10);
    let (device, events) = register(&mut network);
    assert_eq!(device.device_type.as_deref(), Some("iaxy"));
    assert_eq!(device.service_ident.as_deref(), Some("000fd3001234"));
    assert_eq!(device.provisioning_version, Some(0));
    let [Event::Registered { firmware_version, messages, .. }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(*firmware_version, Some(23));
    assert_eq!(*messages, Some(MessageCount { old: 2, new: 5 }));
    for (ours, expected) in [(22, Some(23)), (23, None), (24, None)] {
        let mut network = device_and_server(10);
        let device = Device {
            device_type: Some("iaxy".into()),
            firmware_version: Some(ours),
            ..Device::default()
        };
        network.nodes[A].endpoint.set_device(device);
        let (_, events) = register(&mut network);
        let [Event::Registered { firmware_version, .. }] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!(*firmware_version, expected, "{ours}");
    }
}

/// B sets A up; A accepts, and both hear the same.
fn provision(network: &mut Network) {
    register(network);
    let (now, to) = (network.now(), network.nodes[A].address);
    network.nodes[B].endpoint.provision(now, to, &settings()).expect("free");
    let until = network.now() + Duration::from_secs(40);
    let (mut offered, mut ours, mut theirs) = (0, Vec::new(), Vec::new());
    while network.step(until) {
        while let Some(event) = network.event(A) {
            match event {
                Event::ProvisionOffered { provision, settings: said, .. } => {
                    offered += 1;
                    assert_eq!(said, settings());
                    let now = network.now();
                    network.nodes[A].endpoint.accept_provision(now, provision).expect("offered");
                    let endpoint = &mut network.nodes[A].endpoint;
                    assert!(endpoint.accept_provision(now, provision).is_err(), "only once");
                }
                Event::ProvisionEnded { outcome, .. } => ours.push(outcome),
                _ => {}
            }
        }
        while let Some(event) = network.event(B) {
            if let Event::ProvisionEnded { outcome, .. } = event {
                theirs.push(outcome);
            }
        }
    }
    assert_eq!(offered, 1, "{}", network.transcript);
    assert_eq!(ours, [ProvisionOutcome::Accepted], "{}", network.transcript);
    assert_eq!(theirs, [ProvisionOutcome::Accepted], "{}", network.transcript);
}

#[test]
fn a_device_is_set_up_where_it_is_registered() {
    let mut network = device_and_server(0);
    provision(&mut network);
    let shape = shape(&network);
    let (_, provisioned) = shape.split_once("PROVISION").expect("it was");
    assert_eq!(
        provisioned.lines().skip(1).take(2).collect::<Vec<_>>(),
        ["A->B ACCEPT", "B->A ACK"]
    );
}

#[test]
fn each_frame_of_setting_up_a_device_may_be_lost_once() {
    // The registration takes six frames.
    for lost in 6..11 {
        let mut network = device_and_server(0);
        let mut count = 0;
        network.filter = Some(Box::new(move |_, _| {
            count += 1;
            count != lost + 1
        }));
        provision(&mut network);
    }
}

#[test]
fn a_device_may_refuse_and_may_stay_silent() {
    for refuses in [true, false] {
        let mut network = device_and_server(0);
        register(&mut network);
        let (now, to) = (network.now(), network.nodes[A].address);
        network.nodes[B].endpoint.provision(now, to, &settings()).expect("free");
        let offer = events(&mut network, A, Duration::from_millis(100));
        let [Event::ProvisionOffered { provision, .. }] = offer[..] else { panic!("{offer:?}") };
        if refuses {
            let now = network.now();
            network.nodes[A].endpoint.reject_provision(now, provision).expect("offered");
        }
        let heard = events(&mut network, B, Duration::from_secs(20));
        let [Event::ProvisionEnded { outcome, .. }] = &heard[..] else { panic!("{heard:?}") };
        match outcome {
            ProvisionOutcome::Rejected { .. } => assert!(refuses),
            ProvisionOutcome::TimedOut => assert!(!refuses),
            other => panic!("{other:?}"),
        }
        let own = events(&mut network, A, Duration::ZERO);
        assert!(matches!(own[..], [Event::ProvisionEnded { .. }]), "{own:?}");
    }
}

#[test]
fn settings_of_a_stranger_damaged_ones_and_those_of_a_spoofed_registrar_are_never_in_force() {
    let mut network = device_and_server(0);
    register(&mut network);
    let stranger = SocketAddr::from(([10, 0, 0, 9], 4_569));
    let registrar = network.nodes[B].address;
    let mut whole = Vec::new();
    settings().iter().for_each(|setting| setting.encode(&mut whole));
    let mut damaged = whole.clone();
    damaged[3] ^= 1;
    for (from, data) in [(stranger, &whole), (registrar, &damaged), (registrar, &vec![1])] {
        let request = opening(IaxSubclass::Provision, &element(&Element::Provisioning(data)));
        let answers = network.inject(A, from, &request);
        assert_eq!(answers.len(), 1);
        let (header, kind) = said(&answers[0]);
        assert_eq!((header.source, kind), (CallNumber::STATELESS, IaxSubclass::Reject));
        let heard = events(&mut network, A, Duration::ZERO);
        assert!(matches!(heard[..], [Event::Refused { .. }]), "{heard:?}");
    }
    // The registrar knows nothing of this one, so it never acknowledges.
    let request = opening(IaxSubclass::Provision, &element(&Element::Provisioning(&whole)));
    network.inject(A, registrar, &request);
    let offer = events(&mut network, A, Duration::ZERO);
    let [Event::ProvisionOffered { provision, .. }] = offer[..] else { panic!("{offer:?}") };
    let now = network.now();
    network.nodes[A].endpoint.accept_provision(now, provision).expect("offered");
    let heard = events(&mut network, A, Duration::from_secs(20));
    let [Event::ProvisionEnded { outcome, .. }] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!(*outcome, ProvisionOutcome::TimedOut);
}

#[test]
fn a_registrar_tells_of_messages_and_strangers_do_not() {
    let mut network = device_and_server(0);
    register(&mut network);
    let (now, to) = (network.now(), network.nodes[A].address);
    let count = MessageCount { old: 1, new: 3 };
    network.nodes[B].endpoint.tell_messages(now, to, count).expect("free");
    let heard = events(&mut network, A, Duration::from_secs(60));
    let [Event::MessagesWaiting { count: said, from }] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!((*said, from.remote), (Some(count), network.nodes[B].address));
    // It is acknowledged: sent once, and nothing is left to repeat.
    assert_eq!(network.nodes[B].endpoint.counters().retransmissions, 0, "{}", network.transcript);
    let stranger = SocketAddr::from(([10, 0, 0, 9], 4_569));
    let elements = element(&Element::MessageCount(count));
    let answers = network.inject(A, stranger, &opening(IaxSubclass::Mwi, &elements));
    assert_eq!((answers.len(), events(&mut network, A, Duration::ZERO).len()), (0, 0));
}
