//! Devices that register: each by its own name, for a while, and then again.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::Duration;

use oneport::{Application, CauseCode, DropNotice, RegistrationConfig};
use oneport_proto::{Endpoint, Event, Instant, RegistrationId};

use super::profile::Span;
use super::tally::RegistrationTally;

/// How often it is looked whether another may begin.
const BEAT: Duration = Duration::from_millis(10);
/// Those of so long a time may begin at once after a pause.
const LARGEST_BURST: Duration = Duration::from_millis(20);
/// What stands for the number of a device in its name.
const NUMBER: &str = "{}";

/// One device that is there, or about to be.
struct Device {
    number: usize,
    begun: Instant,
    is_registered: bool,
}

/// Devices of one port.
pub(crate) struct Registering {
    /// How each registers, by a name in which [`NUMBER`] is its number, from 1 on.
    registration: RegistrationConfig,
    /// How long each stays before it leaves and comes again; `None`: until the end.
    hold: Option<Span>,
    /// How many begin in a second at most, and how many may now.
    rate: f64,
    earned: f64,
    looked: Option<Instant>,
    /// The numbers of those that are not there.
    away: VecDeque<usize>,
    devices: HashMap<RegistrationId, Device>,
    /// When who leaves.
    agenda: BinaryHeap<Reverse<(Instant, RegistrationId)>>,
    tally: RegistrationTally,
}

impl Registering {
    /// Those of these numbers.
    pub(crate) fn new(
        registration: RegistrationConfig,
        numbers: impl Iterator<Item = usize>,
        hold: Option<Span>,
        rate: f64,
    ) -> Self {
        Self {
            registration,
            hold,
            rate,
            earned: 0.0,
            looked: None,
            away: numbers.collect(),
            devices: HashMap::new(),
            agenda: BinaryHeap::new(),
            tally: RegistrationTally::new(),
        }
    }

    /// What was counted since this was last asked.
    pub(crate) fn take_tally(&mut self) -> RegistrationTally {
        std::mem::replace(&mut self.tally, RegistrationTally::new())
    }

    /// How many are registered now, and how many have not left yet.
    pub(crate) fn standing(&self) -> (usize, usize) {
        let registered = self.devices.values().filter(|device| device.is_registered).count();
        (registered, self.devices.len())
    }

    /// All leave.
    pub(crate) fn finish(&mut self, endpoint: &mut Endpoint, now: Instant) {
        self.away.clear();
        self.agenda.clear();
        self.rate = 0.0;
        for id in self.devices.keys() {
            endpoint.unregister(now, *id);
        }
    }

    fn begin(&mut self, endpoint: &mut Endpoint, now: Instant, number: usize) {
        let mut config = self.registration.clone();
        config.username = config.username.replace(NUMBER, &number.to_string());
        let id = endpoint.register(now, config);
        self.tally.begun += 1;
        self.devices.insert(id, Device { number, begun: now, is_registered: false });
    }
}

impl Application for Registering {
    fn handle_event(&mut self, endpoint: &mut Endpoint, now: Instant, event: Event) {
        match event {
            Event::Registered { registration: id, .. } => {
                let Some(device) = self.devices.get_mut(&id) else { return };
                if std::mem::replace(&mut device.is_registered, true) {
                    self.tally.renewed += 1;
                    return;
                }
                self.tally.registered += 1;
                let took = now.since(device.begun).as_micros();
                self.tally.took.record(u64::try_from(took).unwrap_or(u64::MAX));
                if let Some(hold) = self.hold {
                    self.agenda.push(Reverse((now + hold.draw(), id)));
                }
            }
            Event::RegistrationFailed { registration: id, failure, .. } => {
                if let Some(device) = self.devices.get_mut(&id) {
                    device.is_registered = false;
                    *self.tally.failed.entry(failure.to_string()).or_default() += 1;
                }
            }
            Event::Unregistered { registration: id } => {
                if let Some(device) = self.devices.remove(&id) {
                    self.tally.released += 1;
                    self.away.push_back(device.number);
                }
            }
            // Nobody calls devices that only register.
            Event::CallOffered { call, .. } => {
                let _ = endpoint.reject(now, call, CauseCode::NO_ROUTE, None);
            }
            _ => {}
        }
    }

    fn handle_notice(&mut self, notice: &DropNotice) {
        tracing::debug!("{notice}");
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let leaves = self.agenda.peek().map(|Reverse((at, _))| *at);
        let begins = (self.rate > 0.0 && !self.away.is_empty())
            .then(|| self.looked.map_or(Instant::from_micros(0), |looked| looked + BEAT));
        leaves.into_iter().chain(begins).min()
    }

    fn handle_timeout(&mut self, endpoint: &mut Endpoint, now: Instant) {
        let pause = self.looked.map_or(BEAT, |looked| now.since(looked));
        self.looked = Some(now);
        let most = (self.rate * LARGEST_BURST.as_secs_f64()).max(1.0);
        self.earned = (self.earned + self.rate * pause.as_secs_f64()).min(most);
        while self.earned >= 1.0
            && let Some(number) = self.away.pop_front()
        {
            self.earned -= 1.0;
            self.begin(endpoint, now, number);
        }
        while let Some(Reverse((at, id))) = self.agenda.peek().copied()
            && at <= now
        {
            self.agenda.pop();
            endpoint.unregister(now, id);
        }
    }
}
