//! Nothing is dropped in silence: each reason is provoked, counted, and told in a sentence.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use oneport_proto::{
    CallId, Challenge, DropNotice, DropReason, EncryptionPolicy, EndReason, EndpointConfig, Event,
    FirmwareImage, Limit, Network as IpNetwork, NewCall, RequestOutcome, Secret, TransferFailure,
    TransferKind,
};
use oneport_testkit::sim::{Network, Weather};
use oneport_wire::{CauseCode, Control, Datagram, Format, FullHeader, frame_type};

const A: usize = 0;
const B: usize = 1;

fn stranger() -> SocketAddr {
    "203.0.113.7:4569".parse().expect("an address")
}

/// A full frame: source, destination, OSeqno, type, subclass, payload.
fn full(source: u16, destination: u16, oseq: u8, kind: u8, subclass: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend((0x8000 | source).to_be_bytes());
    bytes.extend(destination.to_be_bytes());
    bytes.extend([0, 0, 0, 3, oseq, 0, kind, subclass]);
    bytes.extend(data);
    bytes
}

/// A world in which a reason may occur.
struct Scene {
    network: Network,
    /// The call at A, and at B.
    calls: Option<(CallId, CallId)>,
    /// The header of A's next frame, by the last that it sent.
    last: Rc<Cell<Option<FullHeader>>>,
}

/// Everybody may come without a call token.
fn open_house(config: EndpointConfig) -> EndpointConfig {
    let mut config = config;
    let all = IpNetwork { address: "0.0.0.0".parse().expect("an address"), prefix: 0 };
    config.call_token.optional_networks = vec![all];
    config
}

impl Scene {
    fn new(config: EndpointConfig) -> Self {
        let mut network = Network::new(3, vec![config.clone(), config.clone(), config]);
        let last = Rc::new(Cell::new(None));
        let note = Rc::clone(&last);
        network.filter = Some(Box::new(move |from, datagram| {
            if let Datagram::Full(frame) = datagram
                && from == A
            {
                let numbered = frame.message().is_ok_and(|one| one.takes_sequence_number());
                let oseq = if numbered { frame.header.oseq.next() } else { frame.header.oseq };
                note.set(Some(FullHeader { oseq, ..frame.header }));
            }
            true
        }));
        Self { network, calls: None, last }
    }

    /// A call from A to B that B has accepted.
    fn up(config: EndpointConfig, new: NewCall, challenge: Option<Challenge>) -> Self {
        let mut scene = Self::new(config);
        let network = &mut scene.network;
        let (now, to) = (network.now(), network.nodes[B].address);
        let ours = network.nodes[A].endpoint.place_call(now, to, new).expect("free");
        network.run(Duration::from_millis(100));
        let Some(Event::CallOffered { call: theirs, .. }) = network.event(B) else {
            panic!("no offer")
        };
        if let Some(challenge) = challenge {
            let now = network.now();
            network.nodes[B].endpoint.challenge_call(now, theirs, challenge).expect("offered");
            network.run(Duration::from_millis(100));
        }
        let now = network.now();
        network.nodes[B].endpoint.accept(now, theirs, Format::ULAW).expect("offered");
        network.nodes[B].endpoint.answer(now, theirs).expect("accepted");
        network.run(Duration::from_millis(200));
        scene.calls = Some((ours, theirs));
        scene
    }

    fn plain() -> Self {
        Self::up(EndpointConfig::default(), NewCall::to("1"), None)
    }

    fn encrypted() -> Self {
        let mut new = NewCall::to("1");
        (new.username, new.secret) = (Some("ann".into()), Some(Secret::from("s")));
        new.encryption = EncryptionPolicy::Required;
        let challenge = Challenge {
            secrets: vec![Secret::from("s")],
            encryption: EncryptionPolicy::Required,
            ..Challenge::unknown("ann")
        };
        Self::up(EndpointConfig::default(), new, Some(challenge))
    }

    fn home(&self) -> SocketAddr {
        self.network.nodes[A].address
    }

    /// The numbers of A's call, as A sends them.
    fn numbers(&self) -> FullHeader {
        self.last.get().expect("A has sent something")
    }

    /// B gets a frame as if it were A's next.
    fn as_a(&mut self, ahead: u8, kind: u8, subclass: u8, data: &[u8]) {
        let header = self.numbers();
        let oseq = header.oseq.0.wrapping_add(ahead);
        let (source, destination) = (header.source.get(), header.destination.get());
        let bytes = full(source, destination, oseq, kind, subclass, data);
        let from = self.home();
        self.network.inject(B, from, &bytes);
    }

    fn stranger_says(&mut self, bytes: &[u8]) {
        self.network.inject(B, stranger(), bytes);
    }

    fn send_voice(&mut self, node: usize) {
        let (ours, theirs) = self.calls.expect("a call");
        let call = if node == A { ours } else { theirs };
        let now = self.network.now();
        let endpoint = &mut self.network.nodes[node].endpoint;
        endpoint.send_voice(now, call, Format::ULAW, &[1; 160], 20).expect("accepted");
    }
}

/// Lets `reason` happen at B.
fn provoke(reason: DropReason) -> Scene {
    use DropReason as Drop;
    let default = EndpointConfig::default;
    let nobody = || Scene::new(default());
    let open = |config| Scene::new(open_house(config));
    let version = [11, 2, 0, 2];
    let mut scene;
    match reason {
        Drop::Malformed => {
            scene = nobody();
            scene.stranger_says(&[0, 0]);
        }
        Drop::MalformedElements => {
            scene = nobody();
            scene.stranger_says(&full(5, 0, 0, 6, 1, &[54, 9]));
        }
        Drop::UnknownCall => {
            scene = nobody();
            scene.stranger_says(&full(5, 9, 0, 6, 5, &[]));
        }
        Drop::UnknownMediaCall => {
            scene = nobody();
            scene.stranger_says(&[0, 5, 0, 20, 1, 2, 3]);
        }
        Drop::WrongCallNumber => {
            scene = nobody();
            scene.stranger_says(&full(1, 0, 0, 6, 1, &[54, 0]));
        }
        Drop::Duplicate => {
            scene = Scene::plain();
            scene.network.weather = Weather { duplication: 1_000, ..Weather::FAIR };
            let (call, now) = (scene.calls.expect("a call").0, scene.network.now());
            scene.network.nodes[A].endpoint.send_text(now, call, "twice").expect("accepted");
            scene.network.run(Duration::from_millis(100));
        }
        Drop::OutOfOrder => {
            scene = Scene::plain();
            // So far ahead that it is not kept.
            scene.as_a(9, 4, 3, &[]);
        }
        Drop::Unexpected => {
            scene = Scene::plain();
            let (call, now) = (scene.calls.expect("a call").0, scene.network.now());
            let endpoint = &mut scene.network.nodes[A].endpoint;
            endpoint.send_control(now, call, Control::Answer, &[]).expect("accepted");
            scene.network.run(Duration::from_millis(100));
        }
        Drop::BadCallToken => {
            scene = nobody();
            scene.stranger_says(&full(5, 0, 0, 6, 1, &[54, 4, b'a', b'b', b'c', b'd']));
        }
        Drop::CallTokenSent => {
            scene = nobody();
            scene.stranger_says(&full(5, 0, 0, 6, 1, &[54, 0]));
        }
        Drop::CallTokenMissing => {
            scene = nobody();
            scene.stranger_says(&full(5, 0, 0, 6, 1, &version));
        }
        Drop::UnknownVersion => {
            scene = open(default());
            scene.stranger_says(&full(5, 0, 0, 6, 1, &[11, 2, 0, 3]));
        }
        Drop::TooManyCalls => {
            scene = open(EndpointConfig { max_calls: 1, ..default() });
            scene.stranger_says(&full(5, 0, 0, 6, 1, &version));
            scene.stranger_says(&full(6, 0, 0, 6, 1, &version));
        }
        Drop::TooManyCallsForAddress => {
            scene = open(EndpointConfig { max_calls_per_address: 1, ..default() });
            scene.stranger_says(&full(5, 0, 0, 6, 1, &version));
            scene.stranger_says(&full(6, 0, 0, 6, 1, &version));
        }
        Drop::Incomplete => {
            scene = open(default());
            scene.stranger_says(&full(5, 0, 0, 6, 13, &[]));
        }
        Drop::MediaTooEarly => {
            scene = open(default());
            scene.stranger_says(&full(5, 0, 0, 6, 1, &version));
            scene.stranger_says(&[0, 5, 0, 20, 1, 2, 3]);
        }
        Drop::UnknownFormat => {
            scene = Scene::plain();
            scene.as_a(0, frame_type::VOICE, 0x7F, &[1, 2, 3]);
        }
        Drop::TransferRefused => {
            // A is in the middle between B and the third, who allow no transfers.
            scene = Scene::plain();
            let network = &mut scene.network;
            let (now, to) = (network.now(), network.nodes[2].address);
            let other = network.nodes[A].endpoint.place_call(now, to, NewCall::to("2"));
            network.run(Duration::from_millis(100));
            let Some(Event::CallOffered { call, .. }) = network.event(2) else {
                panic!("no offer")
            };
            let now = network.now();
            network.nodes[2].endpoint.accept(now, call, Format::ULAW).expect("offered");
            network.nodes[2].endpoint.answer(now, call).expect("accepted");
            network.run(Duration::from_millis(100));
            let (now, call) = (network.now(), scene.calls.expect("a call").0);
            let endpoint = &mut network.nodes[A].endpoint;
            endpoint
                .transfer(now, call, other.expect("free"), TransferKind::Full)
                .expect("answered");
            network.run(Duration::from_millis(100));
        }
        Drop::DecryptionFailed => {
            scene = Scene::encrypted();
            let (source, home) = (scene.numbers().source.get().to_be_bytes(), scene.home());
            let mut garbage = source.to_vec();
            garbage.extend([7; 33]);
            scene.network.inject(B, home, &garbage);
        }
        Drop::NotEncrypted => {
            scene = Scene::encrypted();
            let ([high, low], home) = (scene.numbers().source.get().to_be_bytes(), scene.home());
            let trunk = [0, 0, 1, 0, 0, 0, 0, 1, high, low, 0, 1, 9];
            scene.network.inject(B, home, &trunk);
        }
        Drop::Video => {
            scene = Scene::plain();
            scene.as_a(0, frame_type::VIDEO, 0x80 | 21, &[1, 2, 3]);
        }
        Drop::LinkNotReady => {
            scene = open(default());
            scene.stranger_says(&full(5, 0, 0, 6, 1, &[11, 2, 0, 2, 8, 4, 0, 0, 0, 4]));
            let Some(Event::CallOffered { call, .. }) = scene.network.event(B) else {
                panic!("no offer")
            };
            let now = scene.network.now();
            let endpoint = &mut scene.network.nodes[B].endpoint;
            endpoint.accept(now, call, Format::ULAW).expect("offered");
            // The caller has not shown that it hears us.
            endpoint.send_voice(now, call, Format::ULAW, &[1; 160], 20).expect("accepted");
        }
        Drop::Quelched => {
            scene = Scene::plain();
            let (call, now) = (scene.calls.expect("a call").0, scene.network.now());
            scene.network.nodes[A].endpoint.quelch(now, call, true).expect("accepted");
            scene.network.run(Duration::from_millis(100));
            scene.send_voice(B);
        }
        Drop::CallEnded => {
            scene = Scene::plain();
            let ((ours, theirs), now) = (scene.calls.expect("a call"), scene.network.now());
            let cause = CauseCode::NORMAL_CLEARING;
            scene.network.nodes[A].endpoint.send_text(now, ours, "bye").expect("accepted");
            scene.network.nodes[B].endpoint.hangup(now, theirs, cause, None).expect("a call");
            scene.network.run(Duration::from_millis(100));
        }
        Drop::Unsupported => {
            scene = Scene::plain();
            scene.as_a(0, 6, 0x7E, &[]);
        }
        Drop::TransmitBufferFull => {
            let config = EndpointConfig { transmit_buffer: 10, ..default() };
            scene = Scene::up(config, NewCall::to("1"), None);
            // The first is a full frame, which always has room.
            scene.send_voice(B);
            scene.network.run(Duration::from_millis(100));
            scene.send_voice(B);
        }
        Drop::QueueFull => {
            scene = Scene::plain();
            for n in 0..700_u32 {
                #[expect(clippy::cast_possible_truncation, reason = "it goes round")]
                scene.as_a(n as u8, 6, 2, &[]);
            }
        }
        Drop::EventQueueFull => {
            scene = Scene::plain();
            for n in 0..40_000_u32 {
                #[expect(clippy::cast_possible_truncation, reason = "it goes round")]
                // A lone END is two events.
                scene.as_a(n as u8, 1, b'5', &[]);
            }
        }
        Drop::NotEnabled => {
            scene = nobody();
            scene.stranger_says(&full(5, 0, 0, 6, 36, &[]));
        }
        Drop::NoSuchFirmware => {
            let image = FirmwareImage::new("iaxy", 1, &[1]).expect("an image");
            scene = Scene::new(EndpointConfig { firmware: vec![image], ..default() });
            let (now, to) = (scene.network.now(), scene.network.nodes[B].address);
            scene.network.nodes[A].endpoint.fetch_firmware(now, to, "other").expect("free");
            scene.network.run(Duration::from_millis(100));
        }
        Drop::UnknownProvisioner => {
            scene = Scene::new(EndpointConfig { accept_provisioning: true, ..default() });
            scene.stranger_says(&full(5, 0, 0, 6, 35, &[29, 0]));
        }
        Drop::BadSettings => {
            let config = EndpointConfig { accept_provisioning: true, ..default() };
            scene = Scene::up(config, NewCall::to("1"), None);
            let home = scene.home();
            scene.network.inject(B, home, &full(5, 0, 0, 6, 35, &[29, 1, 7]));
        }
        outside => {
            // These happen at the sockets and in the application, whose tests provoke them.
            scene = nobody();
            let path = Some(oneport_proto::Path::from(stranger()));
            scene.network.nodes[B].endpoint.report_drops(outside, 2, path, None);
        }
    }
    scene
}

#[test]
fn every_reason_to_drop_something_is_counted_and_told_in_a_sentence() {
    for reason in DropReason::ALL.iter().copied() {
        let mut scene = provoke(reason);
        let now = scene.network.now();
        let endpoint = &mut scene.network.nodes[B].endpoint;
        let count = endpoint.counters().dropped(reason);
        assert!(count > 0, "{reason} was not counted");
        let notices: Vec<DropNotice> = std::iter::from_fn(|| endpoint.poll_notice(now)).collect();
        let notice = notices.iter().find(|notice| notice.reason == reason);
        let line = match notice {
            Some(notice) => {
                assert_eq!(notice.count, count, "{reason}");
                assert!(notice.path.is_some(), "{reason}: of whom?");
                notice.to_string()
            }
            // Whoever is turned away is told of by an event.
            None => std::iter::from_fn(|| scene.network.event(B))
                .find_map(|event| match event {
                    Event::Refused { from, reason: why, .. } if why == reason => {
                        Some(format!("{from}: {}", why.sentence()))
                    }
                    _ => None,
                })
                .unwrap_or_else(|| panic!("{reason} was not told")),
        };
        assert!(line.contains(reason.sentence()), "{line}");
        let again = scene.network.nodes[B].endpoint.poll_notice(now);
        assert_eq!(again, None, "{reason} was told twice");
    }
}

#[test]
fn a_refusal_for_a_limit_says_which_and_how_full_it_is() {
    for (reason, most) in [(DropReason::TooManyCalls, 1), (DropReason::TooManyCallsForAddress, 1)] {
        let mut scene = provoke(reason);
        let refusal = std::iter::from_fn(|| scene.network.event(B)).find_map(|event| match event {
            Event::Refused { reason, limit, from, .. } => Some((reason, limit, from.remote)),
            _ => None,
        });
        assert_eq!(refusal, Some((reason, Some(Limit { held: 1, most }), stranger())));
    }
}

#[test]
fn a_flood_of_refusals_is_told_ten_times_a_second_and_none_goes_uncounted() {
    let mut network = Network::pair(1);
    let mut told = 0;
    let mut folded = 0;
    for n in 0..5_000_u32 {
        let from = SocketAddr::from((n.to_be_bytes(), 4569));
        network.inject(B, from, &full(5, 0, 0, 6, 1, &[11, 2, 0, 2]));
        network.run(Duration::from_millis(1));
        while let Some(Event::Refused { untold, .. }) = network.event(B) {
            told += 1;
            folded += untold;
        }
    }
    assert_eq!((told, folded), (50, 4 * 990), "the last second's are told with the next");
    let counters = network.nodes[B].endpoint.counters();
    assert_eq!(counters.dropped(DropReason::CallTokenMissing), 5_000);
    let now = network.now();
    assert_eq!(network.nodes[B].endpoint.poll_notice(now), None, "no second line for the same");
}

#[test]
fn a_call_that_ends_says_why_and_what_mends_it() {
    for reason in EndReason::ALL {
        assert!(!reason.sentence().is_empty() && !reason.sentence().ends_with('.'));
    }
    let mut scene = Scene::plain();
    scene.network.weather.cut = true;
    let (call, now) = (scene.calls.expect("a call").0, scene.network.now());
    scene.network.nodes[A].endpoint.send_text(now, call, "hello?").expect("accepted");
    scene.network.run(Duration::from_secs(40));
    let end = std::iter::from_fn(|| scene.network.event(A)).find_map(|event| match event {
        Event::CallEnded { end, .. } => Some(end),
        _ => None,
    });
    let reason = end.expect("it ended").reason;
    assert_eq!(reason, EndReason::TimedOut);
    assert!(reason.sentence().contains("fell silent"));
    assert!(reason.remedy().expect("a remedy").contains("firewall"));
}

/// Rows of the tables in `docs/refusals.md`: name and meaning.
fn documented(section: &str) -> BTreeSet<(String, String)> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/refusals.md");
    let page = fs::read_to_string(page).expect("the page");
    let start = page.find(&format!("## {section}\n")).unwrap_or_else(|| panic!("no {section}"));
    let rest = &page[start + 3..];
    let text = &rest[..rest.find("\n## ").unwrap_or(rest.len())];
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 4, "name, meaning, usual cause, what mends it: {row}");
        assert!(cells.iter().all(|cell| !cell.trim_matches('|').trim().is_empty()), "{row}");
        (cells[0].trim_matches('`').to_string(), cells[1].to_string())
    })
    .collect()
}

#[test]
fn the_page_of_refusals_has_every_reason_in_the_words_of_the_log() {
    let page = |section, reasons: Vec<(&str, &str)>| {
        let said: BTreeSet<(String, String)> =
            reasons.into_iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
        let written = documented(section);
        let missing: Vec<_> = said.difference(&written).collect();
        let surplus: Vec<_> = written.difference(&said).collect();
        assert!(missing.is_empty() && surplus.is_empty(), "{section}: {missing:?} {surplus:?}");
    };
    page("Frames", DropReason::ALL.iter().map(|one| (one.name(), one.sentence())).collect());
    page("Calls", EndReason::ALL.iter().map(|one| (one.name(), one.sentence())).collect());
    let outcomes = RequestOutcome::ALL.iter().map(|one| (one.name(), one.sentence()));
    page("Registrations", outcomes.collect());
    let failures = TransferFailure::ALL.iter().map(|one| (one.name(), one.sentence()));
    page("Transfers", failures.collect());
}
