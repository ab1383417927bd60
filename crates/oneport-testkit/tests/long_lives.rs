//! Long lives in simulated time: wraps of every number, weeks of one call, clocks that step.

use std::cell::Cell;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use oneport_proto::{
    Agreement, CallId, CallStats, Challenge, CommandError, DropReason, EncryptionPolicy, Endpoint,
    EndpointConfig, Event, Instant, Media, MediaSink, NewCall, Path, Secret, TransmitBuffer,
    TrunkConfig,
};
use oneport_testkit::sim::Network;
use oneport_wire::{CallNumber, CauseCode, Datagram, Format, MiniFrame, Timestamp};

const A: usize = 0;
const B: usize = 1;
const FRAME: Duration = Duration::from_millis(20);
const DAY: Duration = Duration::from_secs(86_400);

/// Few polls and changes of keys, so that weeks pass fast.
fn calm() -> EndpointConfig {
    EndpointConfig {
        ping_interval: Duration::from_secs(300),
        lag_interval: Duration::from_secs(420),
        key_rotation: Some(Duration::from_secs(7_200)),
        ..EndpointConfig::default()
    }
}

/// What a caller says, and what it is asked for.
fn offer(encrypted: bool) -> (NewCall, Option<Challenge>) {
    let mut new = NewCall::to("1");
    if !encrypted {
        return (new, None);
    }
    (new.username, new.secret) = (Some("ann".into()), Some(Secret::from("s")));
    new.encryption = EncryptionPolicy::Required;
    let challenge = Challenge {
        secrets: vec![Secret::from("s")],
        encryption: EncryptionPolicy::Required,
        ..Challenge::unknown("ann")
    };
    (new, Some(challenge))
}

/// A call from A to B that is answered.
fn call_up(network: &mut Network, encrypted: bool) -> [CallId; 2] {
    let (new, challenge) = offer(encrypted);
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
    for node in [A, B] {
        while network.event(node).is_some() {}
    }
    [ours, theirs]
}

fn speak(network: &mut Network, calls: [CallId; 2]) {
    let now = network.now();
    for (node, call) in calls.into_iter().enumerate() {
        let endpoint = &mut network.nodes[node].endpoint;
        endpoint.send_voice(now, call, Format::ULAW, &[1; 160], 20).expect("the call is up");
    }
}

fn stats(network: &Network, node: usize, call: CallId) -> CallStats {
    network.nodes[node].endpoint.call_stats(call).expect("the call is up")
}

/// What happens to mini frames now.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Fair,
    /// Those of A are lost.
    Lost,
    /// All come twice.
    Twice,
}

fn ninety_days(encrypted: bool) {
    let mut network = Network::new(5, vec![calm(), calm()]);
    let calls = call_up(&mut network, encrypted);
    let fate = Rc::new(Cell::new(Fate::Fair));
    let lost = Rc::new(Cell::new(0));
    let twice = Rc::new(Cell::new([0, 0]));
    let (seen, lost_seen, twice_seen) = (Rc::clone(&fate), Rc::clone(&lost), Rc::clone(&twice));
    network.filter = Some(Box::new(move |from, datagram| {
        let is_mini = matches!(datagram, Datagram::Mini(_));
        match seen.get() {
            Fate::Lost if is_mini && from == A => {
                lost_seen.set(lost_seen.get() + 1);
                return false;
            }
            Fate::Twice if is_mini => {
                let mut counts = twice_seen.get();
                counts[from] += 1;
                twice_seen.set(counts);
            }
            _ => {}
        }
        true
    }));
    let spurts = 90 * DAY.as_secs() / 600;
    let start = network.now();
    for n in 0..spurts {
        network.run((start + Duration::from_secs(600 * n)).since(network.now()));
        for frame in 0..5 {
            fate.set(match frame {
                2 => Fate::Lost,
                3 if n % 50 == 0 => Fate::Twice,
                _ => Fate::Fair,
            });
            network.weather.duplication = if fate.get() == Fate::Twice { 1_000 } else { 0 };
            speak(&mut network, calls);
            network.flush();
            fate.set(Fate::Fair);
            network.weather.duplication = 0;
            network.run(FRAME);
        }
        network.transcript.clear();
        for node in [A, B] {
            let heard = network.heard(node).len();
            assert!((4..=6).contains(&heard), "{heard} frames in spurt {n}");
        }
    }
    assert!(network.now().since(Instant::from_micros(0)) > DAY * 89);
    // Both ask once more.
    network.run(Duration::from_secs(301));
    let sent = spurts * 5;
    let (lost, twice) = (lost.get(), twice.get());
    assert!(lost > spurts * 9 / 10 && twice[A] > 100 && twice[B] > 100, "{lost} {twice:?}");
    for (node, lost, duplicates) in [(A, 0, twice[B]), (B, lost, twice[A])] {
        let stats = stats(&network, node, calls[node]);
        let heard = stats.received;
        assert_eq!(stats.sent_frames, sent);
        assert_eq!((heard.frames, heard.lost), (sent - lost, lost));
        assert_eq!((heard.late, heard.out_of_order, heard.duplicates), (0, 0, duplicates));
        assert_eq!(heard.jitter, Duration::ZERO);
        assert_eq!(stats.rtt, Some(Duration::from_millis(20)));
        assert_eq!(stats.retransmissions, 0);
        assert_eq!(stats.agreement, Agreement::Agrees);
    }
    for (node, other) in [(A, B), (B, A)] {
        let heard = stats(&network, other, calls[other]).received;
        let remote = stats(&network, node, calls[node]).remote.expect("a report");
        assert_eq!((u64::from(remote.frames), u64::from(remote.lost)), (heard.frames, heard.lost));
        assert_eq!((remote.dropped, remote.out_of_order), (0, 0));
        let counters = network.nodes[node].endpoint.counters();
        let dropped: Vec<_> = counters.drops().filter(|(_, count)| *count > 0).collect();
        // The answer to the first NEW.
        let allowed = [(DropReason::CallTokenSent, 1), (DropReason::Duplicate, 1)];
        let excess: Vec<_> = dropped
            .iter()
            .filter(|(reason, _)| !allowed.iter().any(|(ok, _)| ok == reason))
            .collect();
        assert!(excess.is_empty(), "{dropped:?}");
        assert_eq!(counters.key_changes > 900, encrypted);
    }
    let now = network.now();
    network.nodes[A].endpoint.hangup(now, calls[A], CauseCode::NORMAL_CLEARING, None).expect("up");
    network.run(Duration::from_secs(61));
    for node in [A, B] {
        while network.event(node).is_some() {}
        assert!(network.nodes[node].endpoint.is_quiescent());
    }
}

#[test]
fn every_figure_of_a_call_is_exact_after_ninety_days() {
    ninety_days(false);
}

#[test]
fn every_figure_of_an_encrypted_call_is_exact_after_ninety_days_of_changing_keys() {
    ninety_days(true);
}

/// Lets a call live until both clocks are about to wrap at 32 bits, and talks over that moment.
fn over_the_wrap(trunk: Option<TrunkConfig>) {
    let mut network = Network::new(6, vec![calm(), calm()]);
    for (node, other) in [(A, B), (B, A)] {
        let other = network.nodes[other].address;
        network.nodes[node].endpoint.set_trunk(other, trunk);
    }
    let calls = call_up(&mut network, false);
    let wrap = Duration::from_millis(1 << 32);
    network.run(wrap - Duration::from_secs(3));
    network.transcript.clear();
    for node in [A, B] {
        network.heard(node);
        while network.event(node).is_some() {}
    }
    let mut texts = 0;
    for n in 0..400 {
        speak(&mut network, calls);
        if n % 10 == 0 {
            texts += 1;
            let now = network.now();
            let endpoint = &mut network.nodes[A].endpoint;
            endpoint.send_text(now, calls[A], &n.to_string()).expect("the call is up");
        }
        network.run(FRAME);
    }
    network.run(Duration::from_millis(100));
    for node in [A, B] {
        let stamps: Vec<u32> = network.heard(node).iter().map(|heard| heard.timestamp).collect();
        assert_eq!(stamps.len(), 400);
        let steps: HashSet<u32> =
            stamps.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
        // Without timestamps of its own a frame's time is that of its trunk, one frame more or less.
        let exact = trunk.is_none_or(|trunk| trunk.timestamps);
        assert!(steps.iter().all(|step| *step == 20 || !exact && *step <= 60), "{steps:?}");
        assert!(stamps[0] > u32::MAX - 4_000 && stamps[399] < 6_000, "over the wrap");
        let heard = stats(&network, node, calls[node]).received;
        assert_eq!((heard.frames, heard.lost, heard.late), (400, 0, 0));
        assert_eq!((heard.out_of_order, heard.duplicates), (0, 0));
    }
    let read: Vec<String> = std::iter::from_fn(|| network.event(B))
        .filter_map(|event| match event {
            Event::Text { text, .. } => Some(text),
            _ => None,
        })
        .collect();
    let said: Vec<String> = (0..texts).map(|n| (n * 10).to_string()).collect();
    assert_eq!(read, said);
    assert_eq!(stats(&network, A, calls[A]).rtt, Some(Duration::from_millis(20)));
    // Polls go on: the next report counts all.
    network.run(Duration::from_secs(301));
    let remote = stats(&network, A, calls[A]).remote.expect("a report");
    assert_eq!((remote.frames, remote.lost), (400, 0));
}

#[test]
fn voice_and_signalling_go_on_over_the_wrap_after_49_days() {
    over_the_wrap(None);
}

#[test]
fn trunked_voice_goes_on_over_the_wrap_after_49_days() {
    over_the_wrap(Some(TrunkConfig::default()));
    over_the_wrap(Some(TrunkConfig { timestamps: false, ..TrunkConfig::default() }));
}

#[test]
fn mini_frames_reordered_around_their_wrap_are_whole_with_and_without_a_full_frame_there() {
    for full_frame_at_wrap in [false, true] {
        let mut network = Network::new(7, vec![calm(), calm()]);
        let calls = call_up(&mut network, false);
        let number = network.nodes[A].endpoint.call_numbers(calls[A]).expect("a call").0;
        // A's own voice up to just before the wrap; a full frame leaves at it.
        let begin = Duration::from_millis(65_536 - 400);
        network.run(begin.saturating_sub(network.now().since(Instant::from_micros(0))));
        let until = if full_frame_at_wrap { 22 } else { 5 };
        for _ in 0..until {
            let now = network.now();
            let endpoint = &mut network.nodes[A].endpoint;
            endpoint.send_voice(now, calls[A], Format::ULAW, &[1; 160], 20).expect("up");
            network.run(FRAME);
        }
        network.run(Duration::from_millis(20));
        let heard = network.heard(B);
        let last = heard.last().expect("voice").timestamp;
        assert_eq!(last >= 65_536, full_frame_at_wrap, "{last}");
        let before = stats(&network, B, calls[B]).received;
        // What follows comes in another order than it was sent, over the wrap and back.
        let mut expected: Vec<u32> = (1..=30).map(|n| last + n * 20).collect();
        for pair in expected.chunks_mut(2) {
            pair.swap(0, 1);
        }
        let from = network.nodes[A].address;
        for stamp in &expected {
            let mut frame = MiniFrame::encode_header(number, Timestamp(*stamp).low16()).to_vec();
            frame.extend([2; 160]);
            network.inject(B, from, &frame);
        }
        let stamps: Vec<u32> = network.heard(B).iter().map(|heard| heard.timestamp).collect();
        assert_eq!(stamps, expected);
        let after = stats(&network, B, calls[B]).received;
        assert_eq!(after.frames - before.frames, 30);
        assert_eq!((after.lost, after.out_of_order, after.late), (0, 15, 0));
    }
}

#[test]
fn call_numbers_rest_before_they_are_used_again_and_may_run_out() {
    let mut network = Network::pair(8);
    network.weather.cut = true;
    let (now, to) = (network.now(), network.nodes[B].address);
    let endpoint = &mut network.nodes[A].endpoint;
    let mut numbers = HashSet::new();
    let mut calls = Vec::new();
    for _ in 2..=CallNumber::MAX.get() {
        let call = endpoint.place_call(now, to, NewCall::to("1")).expect("a free number");
        let number = endpoint.call_numbers(call).expect("a call").0;
        assert!(number.get() > 1 && numbers.insert(number), "{number} twice");
        calls.push(call);
    }
    assert_eq!(numbers.len(), 32_766);
    let full = Err(CommandError::NoFreeCallNumber);
    assert_eq!(endpoint.place_call(now, to, NewCall::to("1")), full);
    let elsewhere = SocketAddr::from(([10, 0, 0, 9], 4569));
    endpoint.place_call(now, elsewhere, NewCall::to("1")).expect("each address has its own");
    for call in calls {
        endpoint.hangup(now, call, CauseCode::NORMAL_CLEARING, None).expect("a call");
    }
    assert_eq!(endpoint.place_call(now, to, NewCall::to("1")), full, "they rest");
    network.run(Duration::from_secs(59));
    let now = network.now();
    assert_eq!(network.nodes[A].endpoint.place_call(now, to, NewCall::to("1")), full, "still");
    network.run(Duration::from_secs(2));
    let now = network.now();
    let again = network.nodes[A].endpoint.place_call(now, to, NewCall::to("1"));
    again.expect("free after a minute");
}

#[derive(Default)]
struct Heard(Vec<u32>);

impl MediaSink for Heard {
    fn media(&mut self, _call: CallId, media: Media<'_>) {
        self.0.push(media.timestamp.0);
    }
}

/// Two endpoints, each with a clock of its own, on a way without delay.
struct Clocks {
    endpoints: [Endpoint; 2],
    /// Real time in µs, and how far each clock is off.
    real: i64,
    off: [i64; 2],
    heard: [Heard; 2],
    datagrams: [u64; 2],
    buffer: TransmitBuffer,
}

fn address(node: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, if node == A { 1 } else { 2 }], 4569))
}

impl Clocks {
    fn new() -> Self {
        let real = 7_200_000_000_i64;
        let start = Instant::from_micros(real.unsigned_abs());
        let endpoint = |seed| Endpoint::new(EndpointConfig::default(), [seed; 32], start);
        Self {
            endpoints: [endpoint(1), endpoint(2)],
            real,
            off: [0; 2],
            heard: <[Heard; 2]>::default(),
            datagrams: [0; 2],
            buffer: TransmitBuffer::with_capacity(2_000, 1),
        }
    }

    fn now(&self, node: usize) -> Instant {
        Instant::from_micros((self.real + self.off[node]).unsigned_abs())
    }

    fn time_out(&mut self) {
        for node in [A, B] {
            let now = self.now(node);
            if self.endpoints[node].poll_timeout().is_some_and(|at| at <= now) {
                self.endpoints[node].handle_timeout(now);
                assert_eq!(self.endpoints[node].counters().deadlines_missed, 0);
            }
        }
    }

    fn run(&mut self, duration: Duration) {
        for _ in 0..duration.as_millis() {
            self.real += 1_000;
            // Timers come first, as if nobody had looked at the sockets.
            self.time_out();
            for node in [A, B] {
                while self.endpoints[node].poll_transmit(&mut self.buffer).is_some() {
                    self.datagrams[node] += 1;
                    let other = 1 - node;
                    let (now, from) = (self.now(other), Path::from(address(node)));
                    let mut bytes = self.buffer.as_bytes().to_vec();
                    let sink = &mut self.heard[other];
                    self.endpoints[other].handle_datagram(now, from, &mut bytes, sink);
                }
            }
        }
    }

    fn call_up(&mut self, encrypted: bool) -> [CallId; 2] {
        let (new, challenge) = offer(encrypted);
        let ours = self.endpoints[A].place_call(self.now(A), address(B), new).expect("free");
        self.run(Duration::from_millis(50));
        let Some(Event::CallOffered { call: theirs, .. }) = self.endpoints[B].poll_event() else {
            panic!("no offer")
        };
        let now = self.now(B);
        if let Some(challenge) = challenge {
            self.endpoints[B].challenge_call(now, theirs, challenge).expect("offered");
            self.run(Duration::from_millis(50));
        }
        let now = self.now(B);
        self.endpoints[B].accept(now, theirs, Format::ULAW).expect("offered");
        self.endpoints[B].answer(now, theirs).expect("accepted");
        self.run(Duration::from_millis(50));
        for endpoint in &mut self.endpoints {
            while endpoint.poll_event().is_some() {}
        }
        [ours, theirs]
    }
}

#[test]
fn a_clock_that_steps_an_hour_in_either_direction_costs_no_call_and_stalls_no_timer() {
    let hour = 3_600_000_000;
    let cases = [A, B].into_iter().flat_map(|who| {
        [hour, -hour].into_iter().flat_map(move |step| {
            [false, true].into_iter().map(move |encrypted| (who, step, encrypted))
        })
    });
    for (who, step, encrypted) in cases {
        let name = format!("{who} {step} {encrypted}");
        let mut clocks = Clocks::new();
        let calls = clocks.call_up(encrypted);
        for _ in 0..100 {
            speak_to(&mut clocks, calls);
            clocks.run(FRAME);
        }
        // Something is on its way each way.
        for (node, call) in calls.into_iter().enumerate() {
            let now = clocks.now(node);
            clocks.endpoints[node].send_text(now, call, "on its way").expect("up");
        }
        clocks.off[who] += step;
        clocks.time_out();
        for _ in 0..2_500 {
            speak_to(&mut clocks, calls);
            clocks.run(FRAME);
        }
        for node in [A, B] {
            let events: Vec<Event> =
                std::iter::from_fn(|| clocks.endpoints[node].poll_event()).collect();
            let read = events
                .iter()
                .any(|event| matches!(event, Event::Text { text, .. } if text == "on its way"));
            assert!(read, "{name}: {events:?}");
            let stats = clocks.endpoints[node].call_stats(calls[node]);
            let stats = stats.unwrap_or_else(|| panic!("{name}: the call is lost, {events:?}"));
            // Under encryption a frame whose time is not believed may be lost.
            let heard = stats.received.frames;
            assert!(heard >= 2_600 - 2 * u64::from(encrypted), "{name}: {heard} frames");
            assert!(stats.received.lost <= 2, "{name}: {stats:?}");
            assert!(stats.received.jitter < Duration::from_millis(5), "{name}: {stats:?}");
            // Polls went on: in 50 s there were two.
            let remote = stats.remote.expect("a report");
            assert!(remote.frames > 2_000, "{name}: {remote:?}");
            let next = clocks.endpoints[node].poll_timeout().expect("polls");
            let wait = next.since(clocks.now(node));
            assert!(wait <= Duration::from_secs(21), "{name}: {wait:?}");
        }
        let now = clocks.now(who);
        clocks.endpoints[who]
            .hangup(now, calls[who], CauseCode::NORMAL_CLEARING, None)
            .expect("up");
        clocks.run(Duration::from_secs(61));
        for endpoint in &mut clocks.endpoints {
            while endpoint.poll_event().is_some() {}
            assert!(endpoint.is_quiescent(), "{name}");
        }
    }
}

fn speak_to(clocks: &mut Clocks, calls: [CallId; 2]) {
    for (node, call) in calls.into_iter().enumerate() {
        let now = clocks.now(node);
        let endpoint = &mut clocks.endpoints[node];
        endpoint.send_voice(now, call, Format::ULAW, &[3; 160], 20).expect("the call is up");
    }
}

#[test]
fn moments_in_any_order_harm_nobody() {
    let mut clocks = Clocks::new();
    let calls = clocks.call_up(false);
    let mut state = 1_u64;
    for _ in 0..5_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let node = usize::from(state >> 63 == 0);
        // Anything up to the end of time.
        let now = Instant::from_micros(state >> (state % 64));
        let endpoint = &mut clocks.endpoints[node];
        endpoint.handle_timeout(now);
        let _ = endpoint.send_voice(now, calls[node], Format::ULAW, &[3; 160], 20);
        let _ = endpoint.poll_timeout();
        while clocks.endpoints[node].poll_transmit(&mut clocks.buffer).is_some() {
            let (other, from) = (1 - node, Path::from(address(node)));
            let mut bytes = clocks.buffer.as_bytes().to_vec();
            clocks.endpoints[other].handle_datagram(
                now,
                from,
                &mut bytes,
                &mut clocks.heard[other],
            );
        }
    }
}
