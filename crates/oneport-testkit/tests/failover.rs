//! A registration that names several registrars: within which time the next one has us when one dies, and when the first
//! has us again. The time is the simulation's.

use std::time::Duration;

use oneport_proto::{EndpointConfig, Event, Grant, Place, RegistrationConfig};
use oneport_testkit::impairment::{Impairment, Link};
use oneport_testkit::sim::Network;

const PHONE: usize = 0;
const FIRST: usize = 1;
const SECOND: usize = 2;
const THIRD: usize = 3;

/// What docs/cluster.md promises: within this time the next registrar that answers has us, …
const PROMISED: Duration = Duration::from_secs(30);
/// … and this much later for each one in between that does not answer either.
const FOR_EACH_FURTHER: Duration = Duration::from_secs(8);

/// A phone and three registrars that grant whatever they are asked for.
struct Scene {
    network: Network,
    /// Who had us, from when on.
    had: Vec<(usize, Duration)>,
    begun: oneport_proto::Instant,
}

impl Scene {
    /// The second is as good as the first where its `rank` is 0.
    fn begin(seed: u64, rank: u16) -> Self {
        let mut network = Network::new(seed, vec![EndpointConfig::default(); 4]);
        let place = |node: usize| Place { address: network.nodes[node].address, rank };
        let config = RegistrationConfig {
            to: network.nodes[FIRST].address,
            others: vec![place(SECOND), place(THIRD)],
            username: "ann".into(),
            secret: None,
            key: None,
            allow_plaintext: false,
            refresh: Duration::from_secs(60),
        };
        let begun = network.now();
        network.nodes[PHONE].endpoint.register(begun, config);
        Self { network, had: Vec::new(), begun }
    }

    /// That node dies: nothing gets to it or from it.
    fn kill(&mut self, node: usize) {
        for way in [(PHONE, node), (node, PHONE)] {
            let nothing = Impairment { loss: 1.0, ..Impairment::NONE };
            self.network.links.insert(way, Link::new(1, nothing));
        }
    }

    /// And is back.
    fn revive(&mut self, node: usize) {
        for way in [(PHONE, node), (node, PHONE)] {
            self.network.links.remove(&way);
        }
    }

    fn now(&self) -> Duration {
        self.network.now().since(self.begun)
    }

    fn run(&mut self, time: Duration) {
        let until = self.network.now() + time;
        loop {
            let more = self.network.step(until);
            let now = self.network.now();
            for node in [FIRST, SECOND, THIRD] {
                while let Some(event) = self.network.event(node) {
                    if let Event::RegisterRequested { request, register } = event {
                        let refresh = register.refresh.unwrap_or(Duration::from_secs(60));
                        let grant = Grant { refresh, ..Grant::default() };
                        let endpoint = &mut self.network.nodes[node].endpoint;
                        // Repeated requests are answered by then.
                        let _ = endpoint.grant(now, request, &grant);
                    }
                }
            }
            while let Some(event) = self.network.event(PHONE) {
                if let Event::Registered { registrar, .. } = event {
                    let nodes = &self.network.nodes;
                    let node = nodes.iter().position(|node| node.address == registrar);
                    self.had.push((node.expect("one of them"), now.since(self.begun)));
                }
            }
            if !more {
                return;
            }
        }
    }

    /// When `node` had us for the first time since `from`, counted from there.
    fn until_at(&self, node: usize, from: Duration) -> Option<Duration> {
        let mut had = self.had.iter();
        let (_, at) = had.find(|(who, at)| *who == node && *at >= from)?;
        Some(*at - from)
    }

    /// Who has us now.
    fn has_us(&self) -> Option<usize> {
        self.had.last().map(|(node, _)| *node)
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn whenever_a_registrar_dies_the_next_has_us_within_the_time_that_is_promised() {
    let mut longest = Duration::ZERO;
    // A minute and more, second by second: polls and renewals are met before, in the middle and behind.
    for moment in 0..90 {
        let mut scene = Scene::begin(moment, 1);
        scene.run(seconds(moment) + Duration::from_millis(500));
        assert_eq!(scene.has_us(), Some(FIRST));
        scene.kill(FIRST);
        let died = scene.now();
        scene.run(PROMISED);
        let took = scene.until_at(SECOND, died);
        longest =
            longest.max(took.unwrap_or_else(|| panic!("died after {died:?}: {:?}", scene.had)));
    }
    assert!(
        longest > seconds(20),
        "a death just behind a poll shows with the next one: {longest:?}"
    );
}

#[test]
fn each_further_registrar_that_is_dead_costs_eight_seconds() {
    for moment in 0..90 {
        let mut scene = Scene::begin(moment, 1);
        scene.run(seconds(moment) + Duration::from_millis(500));
        scene.kill(FIRST);
        scene.kill(SECOND);
        let died = scene.now();
        scene.run(PROMISED + FOR_EACH_FURTHER);
        assert!(scene.until_at(THIRD, died).is_some(), "died after {died:?}: {:?}", scene.had);
    }
}

#[test]
fn who_finds_the_first_dead_at_the_beginning_is_at_the_second_eight_seconds_later() {
    let mut scene = Scene::begin(1, 1);
    scene.kill(FIRST);
    scene.run(FOR_EACH_FURTHER + seconds(1));
    assert_eq!(scene.has_us(), Some(SECOND));
}

#[test]
fn where_all_are_dead_they_are_asked_in_rounds_until_one_is_back() {
    let mut scene = Scene::begin(2, 1);
    scene.run(seconds(1));
    for node in [FIRST, SECOND, THIRD] {
        scene.kill(node);
    }
    scene.run(seconds(300));
    scene.revive(THIRD);
    let back = scene.now();
    // A round of three, and the longest pause.
    scene.run(FOR_EACH_FURTHER * 3 + seconds(60));
    assert!(scene.until_at(THIRD, back).is_some(), "{:?}", scene.had);
}

#[test]
fn the_first_has_us_again_within_two_minutes_of_being_steadily_there() {
    let mut scene = Scene::begin(3, 1);
    scene.run(seconds(10));
    scene.kill(FIRST);
    scene.run(seconds(120));
    assert_eq!(scene.has_us(), Some(SECOND));
    scene.revive(FIRST);
    let back = scene.now();
    scene.run(seconds(120));
    let took = scene.until_at(FIRST, back).expect("we are back");
    assert!(took >= seconds(60), "not at the first answer: {took:?}");
    assert_eq!(scene.has_us(), Some(FIRST));
}

#[test]
fn a_first_that_comes_and_goes_is_left_alone() {
    let mut scene = Scene::begin(4, 1);
    scene.run(seconds(10));
    for _ in 0..30 {
        scene.kill(FIRST);
        scene.run(seconds(40));
        scene.revive(FIRST);
        scene.run(seconds(40));
    }
    let moves = scene.had.windows(2).filter(|pair| pair[0].0 != pair[1].0).count();
    assert_eq!(moves, 1, "{:?}", scene.had);
}

#[test]
fn nobody_goes_back_to_a_registrar_of_the_same_rank() {
    let mut scene = Scene::begin(5, 0);
    scene.run(seconds(10));
    scene.kill(FIRST);
    scene.run(seconds(60));
    scene.revive(FIRST);
    scene.run(seconds(600));
    assert_eq!(scene.has_us(), Some(SECOND));
}

#[test]
fn a_lossy_link_moves_nobody() {
    let mut scene = Scene::begin(6, 1);
    scene.network.weather.loss = 50;
    scene.run(seconds(600));
    let others = scene.had.iter().filter(|(node, _)| *node != FIRST).count();
    assert_eq!(others, 0, "{:?}", scene.had);
}
