//! Native transfer with three engines: A and B call over M, which lets them find each other.

use std::time::Duration;

use oneport_proto::{
    CallId, CommandError, DropReason, EndReason, EndpointConfig, Event, Network as IpNetwork,
    NewCall, TransferFailure, TransferKind, TrunkConfig,
};
use oneport_testkit::sim::{Network, Stranger};
use oneport_wire::{
    CallNumber, CauseCode, Datagram, Element, ElementBuffer, Format, FullFrame, FullHeader,
    IaxSubclass, Message, Seq, Timestamp,
};

const A: usize = 0;
const M: usize = 1;
const B: usize = 2;

/// A bridged call: A's leg, M's two, B's.
struct Bridged {
    network: Network,
    a: CallId,
    m: [CallId; 2],
    b: CallId,
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn offered(network: &mut Network, node: usize) -> CallId {
    let mut found = None;
    while let Some(event) = network.event(node) {
        if let Event::CallOffered { call, .. } = event {
            found = Some(call);
        }
    }
    found.expect("offered")
}

fn take(network: &mut Network, node: usize, call: CallId) {
    let now = network.now();
    let endpoint = &mut network.nodes[node].endpoint;
    endpoint.accept(now, call, Format::ULAW).expect("offered");
    endpoint.answer(now, call).expect("accepted");
}

impl Bridged {
    fn new(seed: u64, accepts: bool) -> Self {
        let config = EndpointConfig { accept_transfers: accepts, ..EndpointConfig::default() };
        Self::over(Network::new(seed, vec![config; 3]))
    }

    /// Another call over the same network.
    fn again(self) -> Self {
        Self::over(self.network)
    }

    fn over(mut network: Network) -> Self {
        let to_m = network.nodes[M].address;
        let now = network.now();
        let a = network.nodes[A].endpoint.place_call(now, to_m, NewCall::to("1")).expect("free");
        network.run(ms(100));
        let from_a = offered(&mut network, M);
        let (now, to_b) = (network.now(), network.nodes[B].address);
        let to_b = network.nodes[M].endpoint.place_call(now, to_b, NewCall::to("1")).expect("free");
        network.run(ms(100));
        let b = offered(&mut network, B);
        take(&mut network, B, b);
        network.run(ms(100));
        take(&mut network, M, from_a);
        network.run(ms(100));
        network.nodes[M].endpoint.link(from_a, to_b).expect("both are accepted");
        let mut bridged = Self { network, a, m: [from_a, to_b], b };
        for node in [A, M, B] {
            while bridged.network.event(node).is_some() {}
        }
        bridged
    }

    /// Both ends speak for so many frames of 20 ms.
    fn speak(&mut self, frames: usize) {
        for _ in 0..frames {
            let now = self.network.now();
            for (node, call) in [(A, self.a), (B, self.b)] {
                let endpoint = &mut self.network.nodes[node].endpoint;
                let voice = [node as u8; 160];
                endpoint.send_voice(now, call, Format::ULAW, &voice, 20).expect("accepted");
            }
            self.network.run(ms(20));
        }
    }

    fn heard(&mut self) -> (usize, usize) {
        (self.network.heard(A).len(), self.network.heard(B).len())
    }

    fn transfer(&mut self, kind: TransferKind) {
        let now = self.network.now();
        self.network.nodes[M].endpoint.transfer(now, self.m[0], self.m[1], kind).expect("up");
    }

    fn events(&mut self, node: usize) -> Vec<Event> {
        std::iter::from_fn(|| self.network.event(node)).collect()
    }

    /// What M sends and receives while both speak.
    fn through_the_middle(&mut self, frames: usize) -> u64 {
        let before = self.network.nodes[M].endpoint.counters().datagrams_received;
        self.speak(frames);
        self.network.nodes[M].endpoint.counters().datagrams_received - before
    }
}

fn iax(datagram: &Datagram<'_>) -> Option<IaxSubclass> {
    match datagram {
        Datagram::Full(FullFrame { frame_type: 6, subclass, .. }) => {
            Some(IaxSubclass::from_subclass(*subclass))
        }
        _ => None,
    }
}

#[test]
fn the_middle_lets_go_and_the_ends_talk_on() {
    let mut call = Bridged::new(1, true);
    call.speak(10);
    let before = call.heard();
    assert!(before.0 >= 8 && before.1 >= 8, "{before:?}");
    call.network.transcript.clear();
    call.transfer(TransferKind::Full);
    call.speak(50);
    insta::assert_snapshot!(signalling(&call.network.transcript));
    let (a, b) = call.heard();
    assert!(a >= 46 && b >= 46, "the gap is shorter than a tenth of a second: {a}, {b}");
    for node in [A, B] {
        let events = call.events(node);
        assert!(matches!(events[..], [Event::CallTransferred { .. }]), "{events:?}");
    }
    let ends = call.events(M);
    let transferred = |event: &Event| matches!(event, Event::CallEnded { end, .. } if end.reason == EndReason::Transferred);
    assert_eq!(ends.iter().filter(|event| transferred(event)).count(), 2, "{ends:?}");
    assert_eq!(call.through_the_middle(20), 0);
    // Signalling goes straight too, and polls: the call outlives M's quarantine.
    call.network.run(Duration::from_secs(120));
    assert!(call.network.nodes[M].endpoint.is_quiescent());
    let now = call.network.now();
    let endpoint = &mut call.network.nodes[A].endpoint;
    endpoint.dtmf_begin(now, call.a, b'5').expect("up");
    endpoint.hangup(now, call.a, CauseCode::NORMAL_CLEARING, None).expect("up");
    call.network.run(ms(100));
    let events = call.events(B);
    assert!(matches!(events[..], [Event::Dtmf { .. }, Event::CallEnded { .. }]), "{events:?}");
    call.network.run(Duration::from_secs(120));
    for node in [A, B] {
        while call.network.event(node).is_some() {}
        assert!(call.network.nodes[node].endpoint.is_quiescent());
    }
}

/// The signalling of a transcript, without the voice.
fn signalling(transcript: &str) -> String {
    let voice = |line: &&str| !line.contains("mini") && !line.contains("VOICE");
    transcript.lines().filter(voice).collect::<Vec<_>>().join("\n")
}

#[test]
fn voice_alone_goes_straight_and_signalling_stays() {
    let mut call = Bridged::new(2, true);
    call.speak(10);
    call.heard();
    call.transfer(TransferKind::Media);
    call.speak(10);
    let _ = call.heard();
    let events = call.events(M);
    assert!(
        matches!(events[..], [Event::MediaTransferred { .. }, Event::MediaTransferred { .. }]),
        "{events:?}"
    );
    assert!(call.through_the_middle(20) < 10, "polls, but no voice, come to the middle");
    let (a, b) = call.heard();
    assert!(a >= 19 && b >= 19, "{a}, {b}");
    // Over the wrap of the mini frames' clock.
    call.speak(66_000 / 20);
    let (a, b) = call.heard();
    assert!(a >= 3_299 && b >= 3_299, "{a}, {b}");
    let now = call.network.now();
    call.network.nodes[A].endpoint.hangup(now, call.a, CauseCode::USER_BUSY, None).expect("up");
    call.network.run(ms(100));
    assert!(matches!(call.events(M)[..], [Event::CallEnded { .. }]));
    let now = call.network.now();
    call.network.nodes[M].endpoint.hangup(now, call.m[1], CauseCode::USER_BUSY, None).expect("up");
    call.network.run(Duration::from_secs(120));
    for node in [A, M, B] {
        while call.network.event(node).is_some() {}
        assert!(call.network.nodes[node].endpoint.is_quiescent());
    }
}

#[test]
fn ends_that_cannot_reach_each_other_stay_with_the_middle() {
    for kind in [TransferKind::Full, TransferKind::Media] {
        let mut call = Bridged::new(3, true);
        call.network.filter = Some(Box::new(|_, datagram| {
            !matches!(iax(datagram), Some(IaxSubclass::TxCnt | IaxSubclass::TxAcc))
        }));
        call.transfer(kind);
        call.speak(250);
        let (a, b) = call.heard();
        assert!(a >= 248 && b >= 248, "audio goes on: {a}, {b}");
        let events = call.events(M);
        let [Event::TransferFailed { failure, .. }, Event::TransferFailed { .. }] = events[..]
        else {
            panic!("{events:?}")
        };
        assert_eq!(failure, TransferFailure::Refused);
        assert!(call.events(A).is_empty() && call.events(B).is_empty());
        // And it may be tried again.
        call.network.filter = None;
        call.network.run(Duration::from_secs(5));
        call.transfer(kind);
        call.speak(20);
        assert!(!call.events(M).is_empty());
    }
}

#[test]
fn each_frame_of_a_transfer_may_be_lost_once() {
    use IaxSubclass as Iax;
    for lost in [Iax::TxReq, Iax::TxCnt, Iax::TxAcc, Iax::TxReady, Iax::TxRel] {
        for from in [A, M, B] {
            let mut call = Bridged::new(4, true);
            call.speak(5);
            let mut left = 1;
            call.network.filter = Some(Box::new(move |sender, datagram| {
                let hit = sender == from && iax(datagram) == Some(lost) && left > 0;
                left -= i32::from(hit);
                !hit
            }));
            call.transfer(TransferKind::Full);
            call.speak(150);
            call.heard();
            call.speak(50);
            let (a, b) = call.heard();
            assert!(a >= 49 && b >= 49, "{lost:?} lost by {from}: {a}, {b}");
            assert_eq!(call.through_the_middle(5), 0, "{lost:?} lost by {from}");
        }
    }
}

#[test]
fn who_does_not_allow_transfers_says_so_and_sends_nothing_elsewhere() {
    let mut call = Bridged::new(5, false);
    call.network.filter = Some(Box::new(|_, datagram| {
        assert!(!matches!(iax(datagram), Some(IaxSubclass::TxCnt | IaxSubclass::TxAcc)));
        true
    }));
    call.transfer(TransferKind::Full);
    call.speak(20);
    assert!(call.heard().0 >= 19);
    assert!(matches!(call.events(M)[0], Event::TransferFailed { .. }));
    let refused = call.network.nodes[A].endpoint.counters().dropped(DropReason::TransferRefused);
    assert_eq!(refused, 1);
}

#[test]
fn a_third_party_gets_four_small_frames_for_each_transfer_and_those_are_rare() {
    let mut call = Bridged::new(6, true);
    // To A, B is somebody who has nothing to do with it and never answers.
    call.network.filter =
        Some(Box::new(|sender, datagram| sender != B || iax(datagram) != Some(IaxSubclass::TxAcc)));
    call.network.transcript.clear();
    let aimed = |call: &Bridged| {
        let lines = call.network.transcript.lines();
        lines.filter(|line| line.contains("A->C") && line.contains("TXCNT")).count()
    };
    call.transfer(TransferKind::Full);
    call.network.run(Duration::from_secs(4));
    assert_eq!(aimed(&call), 4);
    for _ in 0..40 {
        let now = call.network.now();
        let [a, b] = call.m;
        let _ = call.network.nodes[M].endpoint.transfer(now, a, b, TransferKind::Full);
        call.network.run(ms(500));
    }
    let in_24_seconds = aimed(&call);
    assert!((8..=20).contains(&in_24_seconds), "{in_24_seconds}");
}

#[test]
fn voice_that_waits_for_the_trunk_to_the_middle_is_taken_back_when_that_lets_go() {
    let mut call = Bridged::new(8, true);
    let middle = call.network.nodes[M].address;
    call.network.nodes[A].endpoint.set_trunk(middle, Some(TrunkConfig::default()));
    // The trunk is for calls that are accepted from now on.
    let mut call = call.again();
    call.speak(10);
    call.transfer(TransferKind::Full);
    let end = call.network.now() + ms(200);
    while !call.events(A).iter().any(|event| matches!(event, Event::CallTransferred { .. })) {
        let now = call.network.now();
        assert!(now < end, "no transfer");
        let endpoint = &mut call.network.nodes[A].endpoint;
        let voice = endpoint.send_voice(now, call.a, Format::ULAW, &[0; 160], 20);
        voice.expect("up");
        call.network.run(ms(1));
    }
    call.network.filter = Some(Box::new(|sender, datagram| {
        assert!(sender != A || !matches!(datagram, Datagram::Trunk(_)), "for a call that is over");
        true
    }));
    call.network.run(ms(100));
}

#[test]
fn an_end_that_hangs_up_meanwhile_ends_the_transfer() {
    let mut call = Bridged::new(7, true);
    call.network.filter =
        Some(Box::new(|_, datagram| !matches!(iax(datagram), Some(IaxSubclass::TxAcc))));
    call.transfer(TransferKind::Full);
    call.network.run(ms(50));
    let now = call.network.now();
    call.network.nodes[A]
        .endpoint
        .hangup(now, call.a, CauseCode::NORMAL_CLEARING, None)
        .expect("up");
    call.network.run(ms(300));
    let events = call.events(M);
    assert!(
        matches!(events[..], [Event::TransferFailed { .. }, Event::CallEnded { .. }]),
        "{events:?}"
    );
    call.speak_b();
}

impl Bridged {
    /// B's leg lives, and may be used for something else.
    fn speak_b(&mut self) {
        let now = self.network.now();
        self.network.nodes[M].endpoint.dtmf_begin(now, self.m[1], b'1').expect("up");
        self.network.run(ms(100));
        assert!(matches!(self.events(B)[..], [Event::Dtmf { .. }]));
    }
}

#[test]
fn txrel_brings_voice_that_goes_straight_back_to_the_middle() {
    let mut call = Bridged::new(9, true);
    call.speak(10);
    call.transfer(TransferKind::Media);
    call.speak(10);
    assert!(call.through_the_middle(20) < 10, "no voice comes to the middle");
    call.heard();
    // Nobody here sends it; a middle that does, says the number of the other end.
    for (node, leg) in [(A, call.m[0]), (B, call.m[1])] {
        let (ours, theirs) = call.network.nodes[M].endpoint.call_numbers(leg).expect("up");
        let now = call.network.now();
        call.network.nodes[M].endpoint.send_text(now, leg, "count").expect("up");
        call.network.run(ms(50));
        let line = call.network.transcript.lines().rev().find(|line| line.contains("\"count"));
        let numbers = line.expect("sent").split(' ').nth(4).expect("numbers");
        let (oseq, iseq) = numbers.split_once('/').expect("two");
        let header = FullHeader {
            source: ours,
            destination: theirs.expect("known"),
            retransmission: false,
            timestamp: Timestamp(1_000_000),
            oseq: Seq(oseq.parse::<u8>().expect("a number")).next(),
            iseq: Seq(iseq.parse().expect("a number")),
        };
        let mut elements = ElementBuffer::new();
        elements.push(&Element::CallNumber(ours));
        let mut bytes = Vec::new();
        Message::iax(IaxSubclass::TxRel, elements.as_elements()).encode(&header, &mut bytes);
        let from = call.network.nodes[M].address;
        let answers = call.network.inject(node, from, &bytes);
        assert_eq!(answers.len(), 1, "acknowledged");
    }
    let (before, frames) = (call.heard(), 20);
    assert!(call.through_the_middle(frames) >= 2 * 19, "{before:?}");
    let (a, b) = call.heard();
    assert!(a >= 17 && b >= 17, "and is relayed as before: {a}, {b}");
}

#[test]
fn voice_that_goes_straight_comes_back_to_the_middle_where_an_end_moves() {
    let mut call = Bridged::new(13, true);
    call.transfer(TransferKind::Media);
    call.speak(10);
    assert!(call.through_the_middle(20) < 10, "no voice comes to the middle");
    call.heard();
    let port = call.network.nodes[A].address.port() + 1;
    call.network.nodes[A].address.set_port(port);
    // The middle polls its peers, and finds it.
    call.speak(1_000);
    let moved = |event: &Event| matches!(event, Event::CallMoved { .. });
    assert!(call.events(M).iter().any(moved), "its address is another");
    call.heard();
    assert!(call.through_the_middle(20) >= 2 * 19, "voice comes by the middle");
    let (a, b) = call.heard();
    assert!(a >= 17 && b >= 17, "{a}, {b}");
}

#[test]
fn a_transfer_begins_between_two_answered_calls_of_two_peers() {
    let mut call = Bridged::new(10, true);
    let now = call.network.now();
    let [a, b] = call.m;
    let endpoint = &mut call.network.nodes[M].endpoint;
    assert_eq!(endpoint.transfer(now, a, a, TransferKind::Full), Err(CommandError::SamePeer));
    // A third call, which nobody has answered yet.
    let to = call.network.nodes[B].address;
    let third = call.network.nodes[M].endpoint.place_call(now, to, NewCall::to("1")).expect("free");
    let early = call.network.nodes[M].endpoint.transfer(now, a, third, TransferKind::Full);
    assert_eq!(early, Err(CommandError::WrongPhase));
    call.network.transcript.clear();
    call.transfer(TransferKind::Full);
    let again = call.network.nodes[M].endpoint.transfer(now, a, b, TransferKind::Full);
    assert_eq!(again, Err(CommandError::WrongPhase), "one at a time");
    call.network.run(ms(1));
    let sent: Vec<&str> =
        call.network.transcript.lines().filter(|line| line.contains("TXREQ")).collect();
    assert!(
        matches!(sent[..], [to_a, to_b] if to_a.contains("B->A") && to_b.contains("B->C")),
        "{sent:?}"
    );
}

#[test]
fn a_refused_transfer_is_told_to_both_ends_with_a_cause() {
    // B does not follow; A does.
    let mut call = Bridged::new(11, true);
    call.network.nodes[B].endpoint.allow_transfer(call.b, false).expect("up");
    call.network.transcript.clear();
    call.transfer(TransferKind::Full);
    call.network.run(ms(200));
    let refusals: Vec<&str> =
        call.network.transcript.lines().filter(|line| line.contains("TXREJ")).collect();
    let [from_b, to_a] = refusals[..] else { panic!("{refusals:?}") };
    assert!(from_b.contains("C->B") && to_a.contains("B->A"), "{refusals:?}");
    assert!(refusals.iter().all(|line| line.contains("Cause(") && line.contains("CauseCode(")));
    let events = call.events(M);
    assert!(
        matches!(events[..], [Event::TransferFailed { .. }, Event::TransferFailed { .. }]),
        "{events:?}"
    );
    call.speak(20);
    let (a, b) = call.heard();
    assert!(a >= 18 && b >= 18, "and the call goes on: {a}, {b}");
}

/// A call of an endpoint with a middle written by hand, which has named another end by TXREQ; that
/// one has said nothing yet.
fn sent_to_look() -> (Network, Stranger, Stranger, CallId) {
    let mut config = EndpointConfig { accept_transfers: true, ..EndpointConfig::default() };
    let strangers = IpNetwork { address: "203.0.113.0".parse().expect("one"), prefix: 24 };
    config.call_token.optional_networks.push(strangers);
    let mut network = Network::new(5, vec![config]);
    let mut middle = Stranger::new("203.0.113.1:4569");
    let format = [Format::ULAW].into_iter().collect();
    let new = [Element::CalledNumber("1".into()), Element::Format(format)];
    middle.say_iax(&mut network, 0, IaxSubclass::New, &new);
    let Some(Event::CallOffered { call, .. }) = network.event(0) else { panic!("no offer") };
    let now = network.now();
    network.nodes[0].endpoint.accept(now, call, Format::ULAW).expect("offered");
    network.nodes[0].endpoint.answer(now, call).expect("accepted");
    for heard in middle.wait(&mut network, ms(10)) {
        middle.acknowledge(&mut network, 0, &heard);
    }
    let mut end = Stranger::new("203.0.113.2:4569");
    (end.number, end.theirs) = (CallNumber::from_bits(99), middle.theirs);
    let asked = [
        Element::ApparentAddress(end.address),
        Element::CallNumber(end.number),
        Element::TransferId(7),
    ];
    let answers = middle.say_iax(&mut network, 0, IaxSubclass::TxReq, &asked);
    assert!(answers.iter().any(|one| one.iax() == Some(IaxSubclass::TxCnt)), "{answers:?}");
    (network, middle, end, call)
}

#[test]
fn only_the_other_end_at_its_address_under_its_number_is_found() {
    let found = |address: &str, number, id| {
        let (mut network, _, end, _) = sent_to_look();
        let mut other = Stranger::new(address);
        (other.number, other.theirs) = (CallNumber::from_bits(number), end.theirs);
        let says = [Element::TransferId(id)];
        let answers = other.say_iax(&mut network, 0, IaxSubclass::TxAcc, &says);
        answers.iter().any(|one| one.iax() == Some(IaxSubclass::TxReady))
    };
    assert!(found("203.0.113.2:4569", 99, 7));
    assert!(!found("203.0.113.2:4569", 98, 7), "another number");
    assert!(!found("203.0.113.2:4570", 99, 7), "another port");
    assert!(!found("203.0.113.3:4569", 99, 7), "another address");
    assert!(!found("203.0.113.2:4569", 99, 8), "another identifier");
}

#[test]
fn a_call_is_let_go_only_to_the_end_that_was_found() {
    for (acknowledged, number, moves) in
        [(false, 99, false), (true, 98, false), (false, 98, false), (true, 99, true)]
    {
        for (release, straight) in [(IaxSubclass::TxRel, false), (IaxSubclass::TxMedia, true)] {
            let (mut network, mut middle, mut end, call) = sent_to_look();
            if acknowledged {
                let says = [Element::TransferId(7)];
                end.say_iax(&mut network, 0, IaxSubclass::TxAcc, &says);
                let ready = middle.wait(&mut network, ms(10));
                assert!(ready.is_empty(), "it left at once: {ready:?}");
            }
            let far = [Element::CallNumber(CallNumber::from_bits(number))];
            middle.say_iax(&mut network, 0, release, &far);
            let endpoint = &mut network.nodes[0].endpoint;
            let path = endpoint.call_path(call).expect("up").remote;
            let whole = moves && !straight;
            assert_eq!(path == end.address, whole, "{acknowledged} {number} {release}");
            // The first is a full frame, which takes the way of the signalling.
            let speak = |network: &mut Network| {
                let now = network.now();
                let endpoint = &mut network.nodes[0].endpoint;
                endpoint.send_voice(now, call, Format::ULAW, &[1; 160], 20).expect("up");
                network.run(ms(20));
            };
            speak(&mut network);
            for side in [&mut middle, &mut end] {
                for heard in side.wait(&mut network, ms(0)) {
                    side.iseq = heard.header.oseq.next();
                    side.acknowledge(&mut network, 0, &heard);
                }
            }
            speak(&mut network);
            let minis = network.strays.iter().filter(|(_, bytes)| bytes.len() == 164);
            let straight: Vec<bool> = minis.map(|(to, _)| *to == end.address).collect();
            assert_eq!(straight, [moves], "{acknowledged} {number} {release}");
        }
    }
}

#[test]
fn nothing_is_sent_to_an_address_that_is_nobody_s() {
    let asks = |address: &str| {
        let (mut network, mut middle, _, _) = sent_to_look();
        // The first is looked for; the next may be asked for a while later.
        middle.say_iax(&mut network, 0, IaxSubclass::TxRej, &[]);
        for heard in middle.wait(&mut network, Duration::from_secs(30)) {
            middle.acknowledge(&mut network, 0, &heard);
        }
        network.strays.clear();
        let address: std::net::SocketAddr = address.parse().expect("an address");
        let asked = [
            Element::ApparentAddress(address),
            Element::CallNumber(CallNumber::from_bits(98)),
            Element::TransferId(8),
        ];
        let mut heard = middle.say_iax(&mut network, 0, IaxSubclass::TxReq, &asked);
        heard.extend(middle.wait(&mut network, ms(10)));
        (heard.iter().any(|one| one.iax() == Some(IaxSubclass::TxCnt)), heard)
    };
    assert!(asks("203.0.113.8:4569").0, "somebody's");
    for nobody_s in [
        "203.0.113.8:0",
        "0.0.0.0:4569",
        "255.255.255.255:4569",
        "224.0.0.1:4569",
        "[::]:4569",
        "[ff02::1]:4569",
        "[::ffff:224.0.0.1]:4569",
    ] {
        let (looked, heard) = asks(nobody_s);
        assert!(!looked, "{nobody_s}: {heard:?}");
        let refused = heard.iter().any(|one| one.iax() == Some(IaxSubclass::TxRej));
        assert!(refused, "{nobody_s}: {heard:?}");
    }
}
