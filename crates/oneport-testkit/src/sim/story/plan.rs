//! What happens when: moments drawn before a story begins, and those that follow from others.

use std::cmp::{Ordering, Reverse};
use std::net::SocketAddr;
use std::time::Duration;

use oneport_proto::{CallId, Instant, RegistrationId};

use super::super::adversary::Adversary;
use super::super::network::Weather;
use super::{HEALED, LAST_HANGUP, Story};

/// What an application does at a moment set before.
pub(super) enum Action {
    Place {
        to: usize,
    },
    Decide(CallId),
    Answer(CallId),
    Talk(CallId),
    HangUp(CallId),
    Transfer(CallId, CallId),
    Poke {
        to: usize,
    },
    Register {
        to: usize,
    },
    Unregister(RegistrationId),
    Weather(Weather),
    Restart,
    /// The node's port changes, as behind a NAT that forgets.
    Move,
    /// A device asks for firmware.
    Fetch {
        to: usize,
    },
    /// A device is set up, and told of messages.
    SetUp {
        to: SocketAddr,
    },
    Attack,
}

pub(super) struct Planned {
    pub(super) at: Instant,
    pub(super) serial: u64,
    pub(super) node: usize,
    pub(super) action: Action,
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        self.serial == other.serial
    }
}
impl Eq for Planned {}
impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Planned {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.serial).cmp(&(other.at, other.serial))
    }
}

impl Story {
    pub(super) fn plan(&mut self, after: Duration, node: usize, action: Action) {
        let at = self.network.now() + after;
        self.serial += 1;
        self.plan.push(Reverse(Planned { at, serial: self.serial, node, action }));
    }

    /// Plans what begins without a cause.
    pub(super) fn write(&mut self) {
        for _ in 0..1 + self.random(8) {
            let node = self.random(3) as usize;
            let to = self.random(3) as usize;
            let after = self.millis(0, 40_000);
            self.plan(after, node, Action::Place { to });
        }
        for _ in 0..self.random(3) {
            let (node, to) = (self.random(3) as usize, self.random(3) as usize);
            let after = self.millis(0, 30_000);
            self.plan(after, node, Action::Register { to });
        }
        for _ in 0..self.random(3) {
            let (node, to) = (self.random(3) as usize, self.random(3) as usize);
            let after = self.millis(0, 50_000);
            self.plan(after, node, Action::Poke { to });
        }
        for _ in 0..self.random(2) {
            let (node, to) = (self.random(3) as usize, self.random(3) as usize);
            let after = self.millis(0, 50_000);
            self.plan(after, node, Action::Fetch { to });
        }
        for _ in 0..self.random(2) {
            let (node, to) = (self.random(3) as usize, self.random(3) as usize);
            let (after, to) = (self.millis(0, 50_000), self.network.nodes[to].address);
            self.plan(after, node, Action::SetUp { to });
        }
        if !self.fair {
            for _ in 0..1 + self.random(4) {
                let weather = self.bad_weather();
                let after = self.millis(0, 40_000);
                self.plan(after, 0, Action::Weather(weather));
            }
            if self.chance(10) {
                let node = self.random(3) as usize;
                let after = self.millis(5_000, 50_000);
                self.plan(after, node, Action::Restart);
            }
            if self.chance(20) {
                let node = self.random(3) as usize;
                let after = self.millis(1_000, 50_000);
                self.plan(after, node, Action::Move);
            }
        }
        if self.adversary != Adversary::None {
            self.network.watched = true;
            for _ in 0..10 + self.random(50) {
                let node = self.random(3) as usize;
                let after = self.millis(0, 60_000);
                self.plan(after, node, Action::Attack);
            }
        }
        self.plan(HEALED, 0, Action::Weather(Weather::FAIR));
    }

    fn bad_weather(&mut self) -> Weather {
        Weather {
            loss: [0, 10, 100, 300, 500][self.random(5) as usize],
            duplication: [0, 10, 100][self.random(3) as usize],
            corruption: if self.corrupt { 100 } else { 0 },
            delay: self.millis(1, 200),
            jitter: self.millis(0, 400),
            cut: self.chance(10),
        }
    }

    /// Sooner or later this side hangs up, and not after the last moment.
    pub(super) fn plan_hangup(&mut self, node: usize, call: CallId) {
        let latest = Instant::from_micros(0) + LAST_HANGUP;
        let left = latest.since(self.network.now());
        let patience = if self.joins { 2 } else { self.random(3) };
        let wished = match patience {
            0 => self.millis(0, 500),
            1 => self.millis(500, 5_000),
            _ => self.millis(5_000, 60_000),
        };
        self.plan(wished.min(left), node, Action::HangUp(call));
    }
}
