//! What an end of a transfer says, takes and forgets, and when the middle has waited for long
//! enough: one endpoint among peers written by hand.

use std::time::Duration;

use oneport_proto::{
    Agreement, CallId, CommandError, DropReason, EndReason, EndpointConfig, Event,
    Network as IpNetwork, TransferFailure, TransferKind, TrunkConfig,
};
use oneport_testkit::sim::{Heard, Network, Stranger};
use oneport_wire::{
    CallNumber, Datagram, Element, Format, IaxSubclass, Message, MiniFrame, MiniTimestamp,
};

const A: usize = 0;
const MIDDLE: &str = "203.0.113.1:4569";
const END: &str = "203.0.113.2:4569";

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn network() -> Network {
    let mut config = EndpointConfig { accept_transfers: true, ..EndpointConfig::default() };
    let strangers = IpNetwork { address: "203.0.113.0".parse().expect("one"), prefix: 24 };
    config.call_token.optional_networks.push(strangers);
    Network::new(5, vec![config])
}

/// Acknowledges the last of what was heard.
fn settle(network: &mut Network, peer: &mut Stranger, duration: Duration) {
    if let Some(last) = peer.wait(network, duration).last() {
        peer.acknowledge(network, A, last);
    }
}

/// A call of a peer, accepted; and answered, if it shall be.
fn call_of(network: &mut Network, peer: &mut Stranger, answered: bool) -> CallId {
    let formats = [Format::ULAW, Format::ALAW, Format::H264].into_iter().collect();
    let format = [Format::ULAW].into_iter().collect();
    let new =
        [Element::CalledNumber("1".into()), Element::Capability(formats), Element::Format(format)];
    peer.say_iax(network, A, IaxSubclass::New, &new);
    let events = network.events(A);
    let [Event::CallOffered { call, .. }] = events[..] else { panic!("{events:?}") };
    let now = network.now();
    let video = [Format::H264].into_iter().collect();
    network.nodes[A].endpoint.allow_video(call, video).expect("offered");
    network.nodes[A].endpoint.accept(now, call, Format::ULAW).expect("offered");
    if answered {
        network.nodes[A].endpoint.answer(now, call).expect("accepted");
    }
    settle(network, peer, ms(10));
    call
}

/// A's call with the middle, and the other end, who has called nobody.
struct Scene {
    network: Network,
    middle: Stranger,
    end: Stranger,
    call: CallId,
}

impl Scene {
    fn new() -> Self {
        let mut network = network();
        let mut middle = Stranger::new(MIDDLE);
        let call = call_of(&mut network, &mut middle, true);
        let mut end = Stranger::new(END);
        (end.number, end.theirs) = (CallNumber::from_bits(99), middle.theirs);
        Self { network, middle, end, call }
    }

    /// The middle asks for a transfer to the end, under `number`.
    fn ask(&mut self, number: u16) -> Vec<Heard> {
        let asked = [
            Element::ApparentAddress(self.end.address),
            Element::CallNumber(CallNumber::from_bits(number)),
            Element::TransferId(7),
        ];
        self.middle.say_iax(&mut self.network, A, IaxSubclass::TxReq, &asked)
    }

    /// The end answers.
    fn answer(&mut self, elements: &[Element<'_>]) -> Vec<Heard> {
        self.end.say_iax(&mut self.network, A, IaxSubclass::TxAcc, elements)
    }

    /// Up to the release: the call is the end's, or its voice.
    fn release(&mut self, release: IaxSubclass) {
        self.ask(99);
        self.answer(&[Element::TransferId(7)]);
        let far = [Element::CallNumber(self.end.number)];
        self.middle.say_iax(&mut self.network, A, release, &far);
        if release == IaxSubclass::TxRel {
            assert_eq!(
                self.network.nodes[A].endpoint.call_path(self.call).expect("up").remote,
                self.end.address
            );
            // A new conversation, whose clock begins now.
            (self.end.clock, self.end.oseq, self.end.iseq) =
                (20, Default::default(), Default::default());
        }
    }

    fn speak(&mut self) {
        let now = self.network.now();
        let endpoint = &mut self.network.nodes[A].endpoint;
        endpoint.send_voice(now, self.call, Format::ULAW, &[1; 160], 20).expect("up");
    }

    fn stats(&self) -> oneport_proto::CallStats {
        self.network.nodes[A].endpoint.call_stats(self.call).expect("up")
    }
}

fn count(heard: &[Heard], subclass: IaxSubclass) -> usize {
    heard.iter().filter(|one| one.iax() == Some(subclass)).count()
}

fn mini(number: CallNumber, time: u16) -> Vec<u8> {
    let mut bytes = MiniFrame::encode_header(number, MiniTimestamp(time)).to_vec();
    bytes.extend([9; 160]);
    bytes
}

#[test]
fn an_end_under_a_number_that_no_call_has_is_not_looked_for() {
    for number in [0, 1] {
        let heard = Scene::new().ask(number);
        assert_eq!(count(&heard, IaxSubclass::TxCnt), 0, "{number}: {heard:?}");
        assert_eq!(count(&heard, IaxSubclass::TxRej), 1, "{number}: {heard:?}");
    }
}

#[test]
fn an_answer_need_not_repeat_the_identifier_and_is_passed_on_once() {
    for elements in [&[][..], &[Element::TransferId(7)]] {
        let mut scene = Scene::new();
        scene.ask(99);
        let heard = scene.answer(elements);
        assert_eq!(count(&heard, IaxSubclass::TxReady), 1, "{heard:?}");
        let heard = scene.answer(elements);
        assert_eq!(count(&heard, IaxSubclass::TxReady), 0, "a copy: {heard:?}");
    }
    let mut scene = Scene::new();
    scene.ask(99);
    let heard = scene.answer(&[Element::TransferId(8)]);
    assert_eq!(count(&heard, IaxSubclass::TxReady), 0, "another's: {heard:?}");
    let refused = scene.network.nodes[A].endpoint.counters().dropped(DropReason::TransferRefused);
    assert_eq!(refused, 1);
}

#[test]
fn an_end_that_the_middle_calls_back_looks_for_nobody_any_more() {
    let mut scene = Scene::new();
    scene.ask(99);
    scene.middle.say_iax(&mut scene.network, A, IaxSubclass::TxRej, &[]);
    let heard = scene.answer(&[Element::TransferId(7)]);
    assert_eq!(count(&heard, IaxSubclass::TxReady), 0, "{heard:?}");
    let heard = scene.end.wait(&mut scene.network, Duration::from_secs(3));
    assert!(heard.is_empty(), "{heard:?}");
}

#[test]
fn what_was_not_acknowledged_by_the_middle_is_not_repeated_behind_its_release() {
    let mut scene = Scene::new();
    // The middle has heard of no TXREADY when it lets go.
    scene.release(IaxSubclass::TxRel);
    let heard = scene.middle.wait(&mut scene.network, Duration::from_secs(5));
    assert_eq!(count(&heard, IaxSubclass::TxReady), 0, "{heard:?}");
}

#[test]
fn a_call_that_the_other_end_had_under_its_number_is_over() {
    for release in [IaxSubclass::TxRel, IaxSubclass::TxMedia] {
        let mut scene = Scene::new();
        let mut before = Stranger::new(END);
        before.number = scene.end.number;
        let old = call_of(&mut scene.network, &mut before, true);
        scene.release(release);
        let events = scene.network.events(A);
        let ended = events.iter().find_map(|event| match event {
            Event::CallEnded { call, end } => Some((*call, end.reason)),
            _ => None,
        });
        assert_eq!(ended, Some((old, EndReason::PeerRestarted)), "{release}: {events:?}");
    }
}

#[test]
fn an_end_forgets_what_it_measured_of_the_middle_and_polls_the_other_from_then_on() {
    let mut scene = Scene::new();
    // LAGRQ after half a second is answered 30 ms later.
    let heard = scene.middle.wait(&mut scene.network, ms(520));
    let asked = heard.iter().find(|one| one.iax() == Some(IaxSubclass::LagRq)).expect("asked");
    scene.network.run(ms(30));
    let clock = std::mem::replace(&mut scene.middle.clock, asked.header.timestamp.0);
    scene.middle.say_iax(&mut scene.network, A, IaxSubclass::LagRp, &[]);
    scene.middle.clock = clock + 2_000;
    assert!(scene.stats().lag.last.is_some());
    scene.middle.say_iax(&mut scene.network, A, IaxSubclass::Pong, &[Element::ReceivedFrames(900)]);
    assert!(scene.stats().remote.is_some());
    assert_eq!(scene.stats().agreement, Agreement::Nonsense(oneport_proto::Nonsense::MoreThanSent));
    settle(&mut scene.network, &mut scene.middle, Duration::from_secs(14));
    scene.release(IaxSubclass::TxRel);
    let stats = scene.stats();
    assert_eq!(stats.lag, Default::default());
    assert_eq!((stats.remote, stats.agreement), (None, Agreement::Unreported));
    // The first PING is due 21 s after the transfer, not after the call was accepted.
    let mut heard = Vec::new();
    for _ in 0..20 {
        heard.extend(scene.end.wait(&mut scene.network, ms(1_000)));
        if let Some(last) = heard.last() {
            scene.end.acknowledge(&mut scene.network, A, last);
        }
    }
    assert!(count(&heard, IaxSubclass::LagRq) >= 2, "{heard:?}");
    assert_eq!(count(&heard, IaxSubclass::Ping), 0, "{heard:?}");
    let heard = scene.end.wait(&mut scene.network, ms(1_050));
    assert_eq!(count(&heard, IaxSubclass::Ping), 1, "{heard:?}");
}

#[test]
fn an_end_goes_on_in_the_trunk_to_the_other_end() {
    let mut scene = Scene::new();
    let end = scene.end.address;
    scene.network.nodes[A].endpoint.set_trunk(end, Some(TrunkConfig::default()));
    scene.release(IaxSubclass::TxRel);
    scene.speak();
    settle(&mut scene.network, &mut scene.end, ms(10));
    scene.speak();
    scene.network.run(ms(50));
    let trunks = scene.network.strays.iter().filter(|(to, bytes)| {
        *to == end && matches!(Datagram::decode(bytes), Ok(Datagram::Trunk(_)))
    });
    assert_eq!(trunks.count(), 1);
}

#[test]
fn an_end_takes_format_and_clock_of_the_other_end_for_what_they_are() {
    let mut scene = Scene::new();
    // The middle's voice is 10 s old.
    scene.middle.clock = 10_000;
    scene.middle.say(&mut scene.network, A, &Message::voice(Format::ULAW, &[1; 160]));
    assert_eq!(scene.stats().format, Some(Format::ULAW));
    scene.release(IaxSubclass::TxRel);
    scene.network.heard(A);
    scene.end.say(&mut scene.network, A, &Message::voice(Format::ALAW, &[2; 160]));
    assert_eq!(scene.stats().format, Some(Format::ALAW));
    assert_eq!(scene.network.heard(A).last().expect("heard").timestamp, 20);
}

#[test]
fn video_begins_anew_with_the_other_end() {
    let mut scene = Scene::new();
    let show = |scene: &mut Scene| {
        let now = scene.network.now();
        let endpoint = &mut scene.network.nodes[A].endpoint;
        endpoint.send_video(now, scene.call, Format::H264, &[1; 9], true).expect("carried");
        scene.network.run(ms(40));
    };
    let full = |heard: &[Heard]| {
        heard.iter().filter(|one| matches!(one.message(), Message::Video { .. })).count()
    };
    show(&mut scene);
    show(&mut scene);
    let heard = scene.middle.wait(&mut scene.network, ms(1));
    assert_eq!(full(&heard), 1, "the second is no full frame: {heard:?}");
    scene.middle.acknowledge(&mut scene.network, A, heard.last().expect("video"));
    scene.release(IaxSubclass::TxRel);
    show(&mut scene);
    let heard = scene.end.wait(&mut scene.network, ms(1));
    assert_eq!(full(&heard), 1, "{heard:?}");
}

#[test]
fn voice_that_goes_straight_and_comes_back_is_timed_by_who_sends_it() {
    let mut scene = Scene::new();
    scene.middle.clock = 100_000;
    scene.middle.say(&mut scene.network, A, &Message::voice(Format::ULAW, &[1; 160]));
    scene.release(IaxSubclass::TxMedia);
    scene.network.heard(A);
    let (end, middle) = (scene.end.address, scene.middle.address);
    scene.network.inject(A, end, &mini(scene.end.number, 5_000));
    assert_eq!(scene.network.heard(A).last().expect("heard").timestamp, 5_000, "the end's clock");
    // It has sent mini frames only; the middle gets a full one again.
    scene.speak();
    scene.network.run(ms(20));
    scene.network.strays.clear();
    scene.middle.say_iax(&mut scene.network, A, IaxSubclass::TxRej, &[]);
    scene.network.heard(A);
    let clock = scene.middle.clock;
    scene.network.inject(A, middle, &mini(scene.middle.number, clock as u16));
    assert_eq!(scene.network.heard(A).last().expect("heard").timestamp, clock, "the middle's");
    scene.speak();
    let heard = scene.middle.wait(&mut scene.network, ms(5));
    let voice = heard.iter().any(|one| matches!(one.message(), Message::Voice { .. }));
    assert!(voice, "its first frame to the middle is full: {heard:?}");
}

/// The two ends are told one after the other, and the first one speaks at once.
#[test]
fn voice_of_the_other_end_is_heard_before_the_middle_says_that_it_comes_straight() {
    let mut scene = Scene::new();
    scene.middle.clock = 100_000;
    scene.middle.say(&mut scene.network, A, &Message::voice(Format::ULAW, &[1; 160]));
    scene.ask(99);
    let (end, number) = (scene.end.address, scene.end.number);
    scene.network.heard(A);
    scene.network.inject(A, end, &mini(number, 4_980));
    assert!(scene.network.heard(A).is_empty(), "nobody knows yet who that is");
    scene.answer(&[Element::TransferId(7)]);
    let mut stamps = Vec::new();
    for stamp in [5_000, 5_020, 5_040] {
        scene.network.inject(A, end, &mini(number, stamp));
        stamps.extend(scene.network.heard(A).iter().map(|voice| voice.timestamp));
        if stamp == 5_020 {
            let far = [Element::CallNumber(number)];
            scene.middle.say_iax(&mut scene.network, A, IaxSubclass::TxMedia, &far);
        }
    }
    assert_eq!(stamps, [5_000, 5_020, 5_040], "by the end's clock");
}

#[test]
fn a_transfer_that_is_called_off_leaves_no_ear_for_the_other_end() {
    let mut scene = Scene::new();
    scene.middle.clock = 100_000;
    scene.middle.say(&mut scene.network, A, &Message::voice(Format::ULAW, &[1; 160]));
    scene.ask(99);
    scene.answer(&[Element::TransferId(7)]);
    let (end, middle) = (scene.end.address, scene.middle.address);
    scene.network.inject(A, end, &mini(scene.end.number, 5_000));
    scene.middle.say_iax(&mut scene.network, A, IaxSubclass::TxRej, &[]);
    scene.network.heard(A);
    scene.network.inject(A, end, &mini(scene.end.number, 5_020));
    assert!(scene.network.heard(A).is_empty());
    let clock = scene.middle.clock;
    scene.network.inject(A, middle, &mini(scene.middle.number, clock as u16));
    assert_eq!(scene.network.heard(A).last().expect("heard").timestamp, clock, "the middle's");
}

/// The number is that of a call which lives; whoever is led there takes nothing away from it.
#[test]
fn a_transfer_does_not_take_the_voice_of_another_call_before_its_release() {
    let mut scene = Scene::new();
    let mut other = Stranger::new(END);
    other.number = scene.end.number;
    let theirs = call_of(&mut scene.network, &mut other, true);
    scene.ask(99);
    scene.answer(&[Element::TransferId(7)]);
    scene.network.heard(A);
    scene.network.inject(A, END.parse().expect("one"), &mini(other.number, 5_000));
    let heard = scene.network.heard(A);
    assert_eq!(heard.last().expect("heard").call, theirs);
    scene.middle.say_iax(&mut scene.network, A, IaxSubclass::TxRej, &[]);
    scene.network.inject(A, END.parse().expect("one"), &mini(other.number, 5_020));
    assert_eq!(scene.network.heard(A).last().expect("heard").call, theirs);
}

#[test]
fn what_the_middle_counts_is_not_compared_while_voice_goes_straight() {
    let mut scene = Scene::new();
    scene.release(IaxSubclass::TxMedia);
    let report = [Element::ReceivedFrames(900)];
    scene.middle.say_iax(&mut scene.network, A, IaxSubclass::Pong, &report);
    assert_eq!(scene.stats().agreement, Agreement::Unreported);
}

/// A is the middle of two answered calls.
fn middle_of_two() -> (Network, [Stranger; 2], [CallId; 2]) {
    let mut network = network();
    let mut peers = [Stranger::new(MIDDLE), Stranger::new(END)];
    let calls = peers.each_mut().map(|peer| call_of(&mut network, peer, true));
    (network, peers, calls)
}

#[test]
fn the_middle_waits_ten_seconds_for_both_ends_and_tells_them_that_it_will_not_be() {
    for ready in [0, 1] {
        let (mut network, mut peers, [a, b]) = middle_of_two();
        let now = network.now();
        network.nodes[A].endpoint.transfer(now, a, b, TransferKind::Full).expect("up");
        for (n, peer) in peers.iter_mut().enumerate() {
            let heard = peer.wait(&mut network, ms(1));
            assert_eq!(count(&heard, IaxSubclass::TxReq), 1, "{heard:?}");
            peer.acknowledge(&mut network, A, heard.last().expect("TXREQ"));
            if n < ready {
                peer.say_iax(&mut network, A, IaxSubclass::TxReady, &[]);
            }
        }
        network.run(ms(9_900));
        assert_eq!(network.events(A), []);
        let strays = network.strays.len();
        network.run(ms(150));
        let events = network.events(A);
        let failed = |call| Event::TransferFailed { call, failure: TransferFailure::TimedOut };
        assert_eq!(events.len(), 2, "{events:?}");
        assert!(events.contains(&failed(a)) && events.contains(&failed(b)), "{events:?}");
        for peer in &peers {
            let told = network.strays[strays..].iter().filter(|(to, bytes)| {
                let Ok(Datagram::Full(frame)) = Datagram::decode(bytes) else { return false };
                let message = frame.message();
                *to == peer.address
                    && matches!(message, Ok(Message::Iax { subclass: IaxSubclass::TxRej, .. }))
            });
            assert_eq!(told.count(), 1);
        }
        // Both are as they were, and nothing hinders another attempt.
        let now = network.now();
        network.nodes[A].endpoint.transfer(now, a, b, TransferKind::Full).expect("up");
    }
}

#[test]
fn a_call_that_is_accepted_and_not_answered_is_not_transferred() {
    let mut network = network();
    let mut peers = [Stranger::new(MIDDLE), Stranger::new(END)];
    let a = call_of(&mut network, &mut peers[0], true);
    let b = call_of(&mut network, &mut peers[1], false);
    let now = network.now();
    let result = network.nodes[A].endpoint.transfer(now, a, b, TransferKind::Full);
    assert_eq!(result, Err(CommandError::WrongPhase));
}

/// A lets the voice of two calls go straight.
fn relieved() -> (Network, [Stranger; 2], [CallId; 2]) {
    let (mut network, mut peers, calls) = middle_of_two();
    let now = network.now();
    // The first frame is full, and those behind it are not.
    let endpoint = &mut network.nodes[A].endpoint;
    endpoint.send_voice(now, calls[0], Format::ULAW, &[1; 160], 20).expect("up");
    let heard = peers[0].wait(&mut network, ms(1));
    peers[0].acknowledge(&mut network, A, heard.last().expect("voice"));
    let now = network.now();
    network.nodes[A].endpoint.transfer(now, calls[0], calls[1], TransferKind::Media).expect("up");
    for peer in &mut peers {
        settle(&mut network, peer, ms(1));
        // What is sent at once may be for both.
        let number = peer.theirs;
        peer.say_iax(&mut network, A, IaxSubclass::TxReady, &[]);
        peer.theirs = number;
    }
    let events = network.events(A);
    assert!(
        matches!(events[..], [Event::MediaTransferred { .. }, Event::MediaTransferred { .. }]),
        "{events:?}"
    );
    for peer in &mut peers {
        settle(&mut network, peer, ms(1));
    }
    (network, peers, calls)
}

#[test]
fn voice_that_goes_straight_stays_away_until_the_middle_parts_the_two_and_is_full_then() {
    let (mut network, mut peers, [a, _]) = relieved();
    let heard = peers[0].wait(&mut network, Duration::from_secs(12));
    assert_eq!(count(&heard, IaxSubclass::TxRej), 0, "{heard:?}");
    assert_eq!(network.events(A), [], "it is no transfer under way any more");
    let strays = network.strays.len();
    network.nodes[A].endpoint.unlink(a);
    let now = network.now();
    let endpoint = &mut network.nodes[A].endpoint;
    endpoint.send_voice(now, a, Format::ULAW, &[1; 160], 20).expect("up");
    network.run(ms(1));
    for (peer, voices) in peers.iter_mut().zip([1, 0]) {
        let sent = network.strays[strays..].iter().filter(|(to, _)| *to == peer.address);
        let said: Vec<String> = sent
            .filter_map(|(_, bytes)| Datagram::decode(bytes).ok().map(|frame| frame.to_string()))
            .filter(|line| !line.contains(" R "))
            .collect();
        let with = |word: &str| said.iter().filter(|line| line.contains(word)).count();
        assert_eq!(with("TXREJ"), 1, "{said:?}");
        assert_eq!(with("VOICE"), voices, "a full frame: {said:?}");
    }
}

#[test]
fn the_middle_compares_no_counts_of_voice_that_it_does_not_carry() {
    let (mut network, mut peers, calls) = relieved();
    for (peer, call) in peers.iter_mut().zip(calls) {
        peer.say_iax(&mut network, A, IaxSubclass::Pong, &[Element::ReceivedFrames(900)]);
        let stats = network.nodes[A].endpoint.call_stats(call).expect("up");
        assert!(stats.remote.is_some());
        assert_eq!(stats.agreement, Agreement::Unreported);
    }
}
