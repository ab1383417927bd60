//! A limit holds against a crowd that calls at the same time, over sockets.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use oneport::{Application, CallId, CauseCode, Driver, DriverConfig, NewCall};
use oneport_proto::{Endpoint, EndpointConfig, Event, Instant};
use oneport_switch::{Config, Switch};

const ATTEMPTS: usize = 2_000;
const PLACES: i64 = 137;
const CROWDS: usize = 4;

const PATIENCE: Duration = Duration::from_secs(120);

/// Callers that all call at once, and again when the driver is told to hang up.
struct Crowd {
    to: SocketAddr,
    /// Calls of all crowds that were answered and not hung up: no more than the switch holds.
    up: Arc<AtomicI64>,
    answered: HashSet<CallId>,
    hung_up: HashSet<CallId>,
    /// What became of each attempt: answered, or refused with a cause.
    became: mpsc::Sender<Result<i64, CauseCode>>,
}

impl Crowd {
    fn call(&self, endpoint: &mut Endpoint, now: Instant) {
        for _ in 0..ATTEMPTS / CROWDS {
            let mut call = NewCall::to("600");
            call.username = Some("box".into());
            endpoint.place_call(now, self.to, call).expect("room for it");
        }
    }

    fn hang_up(&mut self, endpoint: &mut Endpoint, now: Instant) {
        for call in self.answered.drain() {
            self.hung_up.insert(call);
            self.up.fetch_sub(1, Ordering::Relaxed);
            endpoint.hangup(now, call, CauseCode::NORMAL_CLEARING, None).expect("up");
        }
    }
}

impl Application for Crowd {
    fn start(&mut self, endpoint: &mut Endpoint, now: Instant) {
        self.call(endpoint, now);
    }

    fn handle_event(&mut self, _: &mut Endpoint, _: Instant, event: Event) {
        let became = match event {
            Event::CallAnswered { call } => {
                self.answered.insert(call);
                Ok(self.up.fetch_add(1, Ordering::Relaxed) + 1)
            }
            Event::CallEnded { call, end } if !self.hung_up.remove(&call) => Err(end.cause),
            _ => return,
        };
        // The test is over where nobody listens.
        let _ = self.became.send(became);
    }
}

/// Places taken under the limit, the most at once, and calls refused by it.
fn usage(switch: &Driver<Switch>) -> (usize, usize, u64) {
    let (sender, usage) = mpsc::channel();
    switch.post(move |_, switch, now| {
        let usage = &switch.limit_usage(now)[0];
        let _ = sender.send((usage.used, usage.peak, usage.refused));
    });
    usage.recv_timeout(PATIENCE).expect("the switch runs")
}

#[test]
fn of_two_thousand_calls_at_the_same_time_a_limit_lets_through_what_it_says_and_again_behind_them()
{
    let text = format!(
        "[overload]\nenabled = false\n[server]\nlisten = [\"127.0.0.1:0\"]\nmax_calls_per_address = 10000\n\
         [peers.box]\naddress = \"127.0.0.1\"\nqualify = false\n\
         [[routes]]\nnumber = \"600\"\nto = [\"builtin:echo\"]\n\
         [[limits]]\nname = \"box\"\npeers = [\"box\"]\nmax_calls = {PLACES}\n"
    );
    let config = Config::parse(Path::new("test.toml"), &text).expect("a good configuration");
    let driver = DriverConfig {
        listen: config.listen.clone(),
        endpoint: config.endpoint.clone(),
        ..DriverConfig::default()
    };
    let switch = Driver::start(driver, Switch::new(config)).expect("started");
    let to = switch.local_addresses()[0];
    let up = Arc::new(AtomicI64::new(0));
    let (sender, became) = mpsc::channel();
    let crowds: Vec<_> = (0..CROWDS)
        .map(|_| {
            let endpoint =
                EndpointConfig { max_calls_per_address: 10_000, ..EndpointConfig::default() };
            let listen = vec!["127.0.0.1:0".parse().expect("an address")];
            let (up, became) = (Arc::clone(&up), sender.clone());
            let (answered, hung_up) = (HashSet::new(), HashSet::new());
            let crowd = Crowd { to, up, answered, hung_up, became };
            Driver::start(DriverConfig { listen, endpoint, ..DriverConfig::default() }, crowd)
                .expect("started")
        })
        .collect();
    for round in 0..3 {
        let (mut let_through, mut refused) = (0, 0);
        for _ in 0..ATTEMPTS {
            match became.recv_timeout(PATIENCE).expect("each is answered or refused") {
                Ok(now_up) => {
                    assert!(now_up <= PLACES, "{now_up} calls at once");
                    let_through += 1;
                }
                Err(cause) => {
                    assert_eq!(cause, CauseCode::CIRCUIT_CONGESTION);
                    refused += 1;
                }
            }
        }
        assert_eq!((let_through, refused), (PLACES, ATTEMPTS as i64 - PLACES), "round {round}");
        let refused = refused as u64 * (round + 1);
        assert_eq!(usage(&switch), (PLACES as usize, PLACES as usize, refused));
        for crowd in &crowds {
            crowd.post(|endpoint, crowd, now| crowd.hang_up(endpoint, now));
        }
        let begun = std::time::Instant::now();
        while usage(&switch).0 > 0 {
            assert!(begun.elapsed() < PATIENCE, "places of calls that are over are free");
            std::thread::sleep(Duration::from_millis(20));
        }
        for crowd in &crowds {
            crowd.post(|endpoint, crowd, now| crowd.call(endpoint, now));
        }
    }
}
