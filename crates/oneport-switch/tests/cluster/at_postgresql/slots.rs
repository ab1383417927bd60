//! Limits that switches keep together.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use oneport::{Application, CallId, CauseCode, Driver, DriverConfig, NewCall};
use oneport_proto::{Endpoint, EndpointConfig, Event, Instant};
use oneport_testkit::peers::database::{DatabaseServer, Kind};

use crate::setting::{PATIENCE, Setting};

/// Calls of everybody at once.
const PLACES: i64 = 30;

fn shared() -> String {
    format!(
        "lease_ms = 4000\n[server]\nmax_calls_per_address = 10000\n\
         [peers.box]\naddress = \"127.0.0.1\"\nqualify = false\n\
         [[routes]]\nnumber = \"600\"\nto = [\"builtin:echo\"]\n\
         [[limits]]\nname = \"box\"\npeers = [\"box\"]\nmax_calls = {PLACES}\n"
    )
}

/// Calls one switch as long as it takes calls, and once more for each that was refused.
struct Crowd {
    to: SocketAddr,
    /// Calls of all crowds that are up, the most that were, and answers.
    up: Arc<AtomicI64>,
    most: Arc<AtomicI64>,
    refused: Arc<AtomicU64>,
    answered: HashSet<CallId>,
    waits: Option<Instant>,
    calls: bool,
}

impl Crowd {
    fn call(&self, endpoint: &mut Endpoint, now: Instant) {
        let mut call = NewCall::to("600");
        call.username = Some("box".into());
        endpoint.place_call(now, self.to, call).expect("room for it");
    }
}

impl Application for Crowd {
    fn start(&mut self, endpoint: &mut Endpoint, now: Instant) {
        self.call(endpoint, now);
    }

    fn handle_event(&mut self, endpoint: &mut Endpoint, now: Instant, event: Event) {
        match event {
            Event::CallAnswered { call } => {
                self.answered.insert(call);
                let up = self.up.fetch_add(1, Ordering::SeqCst) + 1;
                self.most.fetch_max(up, Ordering::SeqCst);
                if self.calls {
                    self.call(endpoint, now);
                }
            }
            Event::CallEnded { call, end } => {
                if self.answered.remove(&call) {
                    self.up.fetch_sub(1, Ordering::SeqCst);
                } else if end.cause == CauseCode::CIRCUIT_CONGESTION {
                    self.refused.fetch_add(1, Ordering::SeqCst);
                    self.waits = Some(now + Duration::from_millis(20));
                }
            }
            _ => {}
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.waits
    }

    fn handle_timeout(&mut self, endpoint: &mut Endpoint, now: Instant) {
        if self.waits.is_some_and(|waits| waits <= now) {
            self.waits = None;
            if self.calls {
                self.call(endpoint, now);
            }
        }
    }
}

/// What the crowds of all switches see.
#[derive(Clone, Default)]
struct Seen {
    up: Arc<AtomicI64>,
    most: Arc<AtomicI64>,
    refused: Arc<AtomicU64>,
}

impl Seen {
    fn crowd(&self, to: SocketAddr) -> Driver<Crowd> {
        let (up, most, refused) = (self.up.clone(), self.most.clone(), self.refused.clone());
        let (answered, waits, calls) = (HashSet::new(), None, true);
        let crowd = Crowd { to, up, most, refused, answered, waits, calls };
        let endpoint =
            EndpointConfig { max_calls_per_address: 10_000, ..EndpointConfig::default() };
        let listen = vec![([127, 0, 0, 1], 0).into()];
        Driver::start(DriverConfig { listen, endpoint, ..DriverConfig::default() }, crowd)
            .expect("it starts")
    }

    async fn until_up(&self, calls: i64) {
        let seen = async {
            while self.up.load(Ordering::SeqCst) != calls {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, seen).await.is_err() {
            panic!("{calls} calls wanted, {:?} are up", self.up);
        }
    }
}

#[tokio::test]
async fn three_switches_together_take_just_as_many_calls_as_their_limit_says_whatever_the_database_does()
 {
    let setting = Setting::of(DatabaseServer::start(Kind::Postgres).into());
    let mut members = Vec::new();
    for name in ["berlin", "bonn", "essen"] {
        members.push(setting.switch_without_records(name, &shared()).await);
    }
    let seen = Seen::default();
    let crowds = members.iter().map(|member| seen.crowd(member.address)).collect::<Vec<_>>();
    seen.until_up(PLACES).await;
    // What has just begun is told to the database; they go on trying, and it dies and is back.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let refused = seen.refused.load(Ordering::SeqCst);
    setting.server.kill();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(seen.refused.load(Ordering::SeqCst) > refused, "they try all the time");
    assert_eq!(seen.up.load(Ordering::SeqCst), PLACES, "no call is dropped");
    setting.server.start_again();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(seen.up.load(Ordering::SeqCst), PLACES);
    // One of them goes, and its slots are for the others.
    let berlin = members.swap_remove(0);
    crowds[0].post(|_, crowd, _| crowd.calls = false);
    berlin.driver.stop().await;
    berlin.cluster.leave().await;
    seen.until_up(PLACES).await;
    assert_eq!(seen.most.load(Ordering::SeqCst), PLACES, "never more");
    drop((members, crowds));
}
