//! Each thing that makes calls choppy, provoked on a simulated network, is named right, and nothing else is.

use std::time::Duration;

use oneport::{CallStats, Cause, Diagnosis, Format, LoadMeter, NewCall, Surroundings};
use oneport_proto::{CallId, EndpointConfig, TrunkConfig};
use oneport_testkit::impairment::{Impairment, Link, Stall};
use oneport_testkit::sim::Network;

const A: usize = 0;
const B: usize = 1;

/// Length of a frame.
const FRAME: Duration = Duration::from_millis(20);

const fn ms(value: u64) -> Duration {
    Duration::from_millis(value)
}

/// A way that nobody complains of.
const GOOD: Impairment =
    Impairment { delay: ms(20), jitter: ms(3), in_order: true, ..Impairment::NONE };

/// Two ends, with calls between them over ways of this kind.
struct Scene {
    network: Network,
    calls: Vec<(CallId, CallId)>,
}

impl Scene {
    fn new(there: Impairment, back: Impairment, calls: usize) -> Self {
        Self::with(EndpointConfig::default(), None, there, back, calls)
    }

    fn with(
        config: EndpointConfig,
        trunk: Option<TrunkConfig>,
        there: Impairment,
        back: Impairment,
        calls: usize,
    ) -> Self {
        let mut network = Network::new(5, vec![config, EndpointConfig::default()]);
        let far = network.nodes[B].address;
        network.nodes[A].endpoint.set_trunk(far, trunk);
        let calls = (0..calls).map(|_| network.call_up(A, B, NewCall::to("1"))).collect();
        network.links.insert((A, B), Link::new(1, there));
        network.links.insert((B, A), Link::new(2, back));
        Self { network, calls }
    }

    /// Both ends of the first `calls` calls say a frame.
    fn speak(&mut self, calls: usize) {
        let now = self.network.now();
        for (ours, theirs) in &self.calls[..calls] {
            for (node, call) in [(A, *ours), (B, *theirs)] {
                let endpoint = &mut self.network.nodes[node].endpoint;
                endpoint.send_voice(now, call, Format::ULAW, &[0x7F; 160], 20).expect("accepted");
            }
        }
    }

    fn talk(&mut self, calls: usize, time: Duration) {
        let until = self.network.now() + time;
        while self.network.now() < until {
            self.speak(calls);
            self.network.run(FRAME);
            self.network.heard(A);
            self.network.heard(B);
            self.network.transcript.clear();
        }
    }

    fn stats(&self, node: usize) -> CallStats {
        let (ours, theirs) = self.calls[0];
        let call = if node == A { ours } else { theirs };
        self.network.nodes[node].endpoint.call_stats(call).expect("it is up")
    }

    fn names(&self, node: usize) -> String {
        names(&self.stats(node), &Surroundings::default())
    }
}

fn names(stats: &CallStats, surroundings: &Surroundings) -> String {
    Diagnosis::of(stats, surroundings).map(|diagnosis| diagnosis.names()).unwrap_or_default()
}

/// What each end says of a call of this length, whose way from A to B is bad.
fn one_way(there: Impairment, time: Duration) -> [String; 2] {
    let mut scene = Scene::new(there, GOOD, 1);
    scene.talk(1, time);
    [scene.names(A), scene.names(B)]
}

const MINUTE: Duration = Duration::from_secs(62);

#[test]
fn a_good_call_has_no_diagnosis() {
    // A buffer holds it: MOS 4.38.
    let held = Impairment { jitter: ms(60), in_order: false, ..GOOD };
    for way in [GOOD, Impairment::NONE, held, Impairment { jitter: ms(12), loss: 0.003, ..GOOD }] {
        assert_eq!(one_way(way, Duration::from_secs(130)), ["", ""], "{way:?}");
    }
}

#[test]
fn loss_is_random_or_bursty_and_on_the_way_where_it_is() {
    let random = Impairment { loss: 0.03, ..GOOD };
    assert_eq!(one_way(random, MINUTE), ["loss_there", "random_loss_here"]);
    let bursty = Impairment { loss: 0.06, loss_run: 6.0, ..GOOD };
    assert_eq!(one_way(bursty, MINUTE), ["loss_there", "bursty_loss_here"]);
    // The other way round.
    let mut scene = Scene::new(GOOD, random, 1);
    scene.talk(1, MINUTE);
    assert_eq!([scene.names(A), scene.names(B)], ["random_loss_here", "loss_there"]);
    let diagnosis = Diagnosis::of(&scene.stats(A), &Surroundings::default()).expect("it is bad");
    let said = diagnosis.to_string();
    assert!(said.starts_with("the network loses "), "{said}");
    assert!(said.ends_with("here and there one"), "{said}");
    assert_eq!(diagnosis.remedies().len(), 1);
}

#[test]
fn jitter_is_named_at_both_ends_whether_frames_overtake_or_not() {
    // Frames that keep their order even out what the other end reports.
    for (in_order, jitter) in [(false, ms(200)), (true, ms(220))] {
        let way = Impairment { jitter, in_order, ..GOOD };
        assert_eq!(one_way(way, MINUTE), ["jitter_there", "jitter_here"], "in order: {in_order}");
    }
}

#[test]
fn a_queue_that_our_own_calls_fill_is_bufferbloat_and_follows_the_load() {
    // Eight calls are 614 kbit/s, and one is 77.
    let narrow = Impairment { bandwidth: Some(608_500), queue: ms(500), ..GOOD };
    let mut scene = Scene::new(narrow, GOOD, 8);
    let mut meter = LoadMeter::default();
    for _ in 0..4 {
        for (calls, seconds) in [(8, 30), (1, 20)] {
            for _ in 0..seconds / 10 {
                let before = scene.stats(A).sent_bytes;
                scene.talk(calls, Duration::from_secs(10));
                let stats = scene.stats(A);
                let kbits = calls as f64 * (stats.sent_bytes - before) as f64 * 8.0 / 10_000.0;
                meter.note(kbits, stats.lag.last.expect("it was asked for"));
            }
        }
    }
    assert_eq!(scene.names(B), "bufferbloat_here", "{:?}", scene.stats(B));
    let load = meter.effect();
    assert!(load.is_some_and(|load| load.delay.1 > load.delay.0 + ms(50)), "{meter:?}");
    let surroundings = Surroundings { load, ..Surroundings::default() };
    let stats = scene.stats(A);
    assert_eq!(names(&stats, &surroundings), "bufferbloat_there", "{stats:?}");
    let said = Diagnosis::of(&stats, &surroundings).expect("it is bad").to_string();
    assert!(said.contains("follows what is sent from here"), "{said}");
}

#[test]
fn a_sender_that_stalls_is_told_from_a_network_that_is_uneven() {
    let stalls = Some(Stall { every: ms(4_700), length: ms(300) });
    let [_, at_b] = one_way(Impairment { stalls, ..GOOD }, MINUTE);
    assert_eq!(at_b, "sender_stalls");
    // It sends nothing for a while, and goes on by its clock.
    let mut scene = Scene::new(GOOD, GOOD, 1);
    for _ in 0..12 {
        scene.talk(1, ms(4_700));
        scene.network.run(ms(230));
    }
    assert_eq!(scene.names(B), "sender_stalls", "{:?}", scene.stats(B).received);
    let Some(Cause::SenderStalls { gaps, .. }) =
        Diagnosis::of(&scene.stats(B), &Surroundings::default()).map(|found| found.causes()[0])
    else {
        panic!("no stalls")
    };
    assert!(gaps >= 10, "{gaps}");
}

#[test]
fn clocks_that_run_apart_are_told_and_whose_it_is_if_others_show_it() {
    let mut scene = Scene::new(Impairment { clock_ppm: -300, ..GOOD }, GOOD, 1);
    scene.talk(1, Duration::from_secs(150));
    let stats = scene.stats(B);
    assert_eq!(names(&stats, &Surroundings::default()), "clock_drift");
    let said = |other_clocks_ppm| {
        let surroundings = Surroundings { other_clocks_ppm, ..Surroundings::default() };
        Diagnosis::of(&stats, &surroundings).expect("it is off").to_string()
    };
    let ppm = stats.received.delay.clock_ppm.expect("it was measured");
    assert!((-305..=-295).contains(&ppm), "{ppm}");
    let how = |text: String| (text.starts_with("our clock"), text.contains("too fast"));
    assert_eq!(how(said(None)), (false, false), "{}", said(None));
    assert_eq!(how(said(Some(-310))), (true, true), "{}", said(Some(-310)));
    assert_eq!(how(said(Some(2))), (false, false), "{}", said(Some(2)));
}

#[test]
fn our_own_lateness_is_not_laid_to_the_sender() {
    // What comes while B sleeps is handled when it wakes, as behind a stall.
    let length = ms(200);
    let stalls = Some(Stall { every: ms(5_000), length });
    let mut scene = Scene::new(Impairment { stalls, ..GOOD }, GOOD, 1);
    for _ in 0..12 {
        scene.talk(1, ms(5_000));
        scene.network.nodes[B].endpoint.report_lateness(length);
    }
    assert_eq!(scene.names(B), "late_scheduling");
    let said = Diagnosis::of(&scene.stats(B), &Surroundings::default()).expect("late").to_string();
    assert!(said.contains("12 times by 10 ms or more, 12 by 30, 12 by 100"), "{said}");
}

#[test]
fn a_trunk_that_drops_or_holds_voice_is_named() {
    // Room for two trunk frames of eight calls, and 32 speak at once.
    let config = EndpointConfig { transmit_buffer: 3_500, ..EndpointConfig::default() };
    let trunk = Some(TrunkConfig::default());
    let mut scene = Scene::with(config, trunk, GOOD, GOOD, 32);
    scene.talk(32, Duration::from_secs(10));
    let found = scene.names(A);
    assert!(found.split(',').any(|name| name == "trunk"), "{found}: {:?}", scene.stats(A));
    let slow = TrunkConfig { interval: ms(80), ..TrunkConfig::default() };
    let mut scene = Scene::with(EndpointConfig::default(), Some(slow), GOOD, GOOD, 2);
    scene.talk(2, Duration::from_secs(10));
    assert_eq!(scene.names(A), "trunk", "{:?}", scene.stats(A).trunk);
    let quick = Some(TrunkConfig::default());
    let mut scene = Scene::with(EndpointConfig::default(), quick, GOOD, GOOD, 8);
    scene.talk(8, Duration::from_secs(10));
    assert_eq!(scene.names(A), "", "{:?}", scene.stats(A).trunk);
}

#[test]
fn two_causes_at_once_are_both_named() {
    let both = |way: Impairment| one_way(way, Duration::from_secs(100))[B].clone();
    let bursts = Impairment { loss: 0.05, loss_run: 5.0, ..GOOD };
    let random = Impairment { loss: 0.04, ..GOOD };
    let stalls = Some(Stall { every: ms(4_700), length: ms(300) });
    assert_eq!(
        both(Impairment { jitter: ms(90), in_order: false, ..random }),
        "random_loss_here,jitter_here"
    );
    assert_eq!(both(Impairment { stalls, ..random }), "random_loss_here,sender_stalls");
    assert_eq!(both(Impairment { clock_ppm: -400, ..bursts }), "bursty_loss_here,clock_drift");
    assert_eq!(
        both(Impairment { clock_ppm: -400, jitter: ms(90), in_order: false, ..GOOD }),
        "jitter_here,clock_drift"
    );
}

#[test]
fn what_was_lost_before_it_came_here_is_not_laid_to_the_way_on() {
    // B passes on what it hears of A to a third party, C: the frames that A's way loses are missing there.
    let mut network = Network::new(6, vec![EndpointConfig::default(); 3]);
    let (first, in_b) = network.call_up(0, 1, NewCall::to("1"));
    let (out_b, last) = network.call_up(1, 2, NewCall::to("1"));
    network.nodes[1].endpoint.link(in_b, out_b).expect("both are up");
    network.links.insert((0, 1), Link::new(3, Impairment { loss: 0.05, ..GOOD }));
    for _ in 0..3_100 {
        let now = network.now();
        for (node, call) in [(0, first), (2, last)] {
            let endpoint = &mut network.nodes[node].endpoint;
            endpoint.send_voice(now, call, Format::ULAW, &[0x7F; 160], 20).expect("accepted");
        }
        network.run(FRAME);
        network.transcript.clear();
        network.heard(0);
        network.heard(2);
    }
    let of = |call| network.nodes[1].endpoint.call_stats(call).expect("it is up");
    assert_eq!(names(&of(in_b), &Surroundings::default()), "random_loss_here");
    assert!(of(out_b).remote.is_some_and(|there| there.lost > 50), "{:?}", of(out_b).remote);
    assert_eq!(names(&of(out_b), &Surroundings::default()), "");
}
