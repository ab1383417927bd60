//! A switch of a fleet: what of it has to do with registrations. What it decides is the product's code; threads,
//! the disk and the database are the [`World`](super::world::World)'s.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oneport_proto::Instant;

use super::flaw;
use super::history::Time;
use crate::cluster::registrations::Reader;
use crate::ledger::{Journal, Ledger};
use crate::registrar::{GRACE, Proved, Registrar};
use crate::store::{Record, StoredRegistration};
use crate::utc::Utc;

/// Records that the writer has not taken yet.
#[derive(Clone, Default)]
pub(super) struct Pile(Arc<Mutex<Vec<Record>>>);

impl Pile {
    pub(super) fn take(&self) -> Vec<Record> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }
}

impl Journal for Pile {
    fn append(&mut self, record: Record) {
        self.0.lock().unwrap().push(record);
    }
}

/// An operation that waits until it is durable: its number in the history, and when it was proved.
#[derive(Clone, Copy)]
pub(super) struct Waits {
    pub(super) operation: usize,
    pub(super) proved: Proved,
}

pub(super) struct Node {
    pub(super) name: String,
    /// How often it was started.
    pub(super) process: u64,
    pub(super) alive: bool,
    /// It serves: it has looked for registrations of an earlier life.
    pub(super) ready: bool,
    /// The database has not said yet who was registered.
    pub(super) misses: bool,
    pub(super) paused: bool,
    pub(super) cut: bool,
    /// Messages from or to it that are late.
    pub(super) late: usize,
    clock: u64,
    /// Milliseconds since 1970 at the beginning.
    calendar: i64,
    /// How fast its clocks go, in millionths.
    rate: u64,
    pub(super) registrar: Registrar,
    pub(super) ledger: Ledger<Waits>,
    pub(super) pile: Pile,
    /// The batch that is being written, and who answers for it.
    pub(super) batch: Option<(u64, Vec<Record>)>,
    pub(super) writes: bool,
    durable: u64,
    /// What waits there outlives the process.
    pub(super) disk: VecDeque<Record>,
    /// How many of those that wait are on their way, and who answers for them.
    pub(super) follows: Option<(u64, usize)>,
    pub(super) reader: Reader,
    pub(super) session: Option<u64>,
    /// What was asked by it, and is not answered yet.
    pub(super) query: Option<u64>,
    /// There is something new to be read.
    pub(super) has_news: bool,
}

fn ledger(pile: &Pile) -> Ledger<Waits> {
    Ledger::new(Box::new(pile.clone()), u64::MAX)
}

impl Node {
    pub(super) fn new(name: String, clock: u64, calendar: i64, rate: u64) -> Self {
        let pile = Pile::default();
        Self {
            name,
            process: 0,
            alive: false,
            ready: false,
            misses: false,
            paused: false,
            cut: false,
            late: 0,
            clock,
            calendar,
            rate,
            registrar: Registrar::default(),
            ledger: ledger(&pile),
            pile,
            batch: None,
            writes: false,
            durable: 0,
            disk: VecDeque::new(),
            follows: None,
            reader: Reader::default(),
            session: None,
            query: None,
            has_news: false,
        }
    }

    pub(super) fn start(&mut self) {
        self.process += 1;
        (self.alive, self.ready, self.misses, self.paused) = (true, false, false, false);
        self.registrar = Registrar::default();
        self.pile = Pile::default();
        self.ledger = ledger(&self.pile);
        (self.batch, self.writes, self.durable, self.follows) = (None, false, 0, None);
        self.reader = Reader::default();
        (self.session, self.query, self.has_news) = (None, None, false);
    }

    pub(super) fn now(&self, now: Time) -> Instant {
        Instant::from_micros(self.clock + self.elapsed(now))
    }

    fn elapsed(&self, now: Time) -> u64 {
        now + now / 1_000 * self.rate / 1_000 - now / 1_000 * 1_000
    }

    /// The date and time here.
    pub(super) fn today(&self, now: Time) -> Utc {
        Utc::from_unix_millis(self.calendar).after(Duration::from_micros(self.elapsed(now)))
    }

    /// Whether it is there and answers.
    pub(super) fn serves(&self) -> bool {
        self.alive && self.ready && !self.paused
    }

    /// A phone that has proved who it is wants to be registered for so long, or to be so no more; `false`: it is
    /// refused.
    pub(super) fn ask(
        &mut self,
        now: Time,
        operation: usize,
        peer: &str,
        wish: Option<(u16, Duration)>,
    ) -> bool {
        let (clock, date) = (self.now(now), self.today(now));
        let switch = Some(self.name.clone());
        let proved = Proved { at: clock, date };
        let record = match wish {
            None if self.registrar.find(clock, peer).is_none() => return false,
            None => Record::Unregistered { peer: peer.into(), switch, registered: None },
            Some((port, granted)) => Record::Registered(StoredRegistration {
                peer: peer.into(),
                address: address(port).to_string(),
                registered: date,
                expires: date.after(granted + GRACE),
                contact: None,
                switch,
            }),
        };
        self.ledger.append(record, Some(Waits { operation, proved }));
        if let Some((port, granted)) = wish.filter(|_| flaw::BindsEarly.is_there()) {
            self.registrar.bind((proved, clock), peer, address(port), granted);
        }
        true
    }

    /// So many more records are durable. What waited for them comes out.
    pub(super) fn durable(&mut self, count: usize) -> Vec<Waits> {
        self.durable += count as u64;
        self.ledger.durable(self.durable)
    }

    /// What has expired is over, and that is written.
    pub(super) fn expire(&mut self, now: Time) {
        for (peer, registered) in self.registrar.expire(self.now(now)) {
            let registered = Some(registered).filter(|_| !flaw::EndsWhatIsRenewed.is_there());
            let switch = Some(self.name.clone());
            self.ledger.append(Record::Unregistered { peer, switch, registered }, None);
        }
    }

    /// Registrations of an earlier life go on.
    pub(super) fn restore(&mut self, now: Time, all: impl IntoIterator<Item = StoredRegistration>) {
        let (clock, today) = (self.now(now), self.today(now));
        for one in all {
            if one.switch.as_deref() != Some(&self.name) || self.registrar.is_newer(&one.peer) {
                continue;
            }
            let (peer, left) = (one.peer, one.expires.since(today));
            if left.is_zero() {
                let (switch, registered) = (one.switch, Some(one.registered));
                self.ledger.append(Record::Unregistered { peer, switch, registered }, None);
                continue;
            }
            let proved = Proved { at: clock, date: one.registered };
            let address = one.address.parse().unwrap();
            if flaw::HoldsLongerAnew.is_there() {
                let granted = left.saturating_sub(GRACE);
                self.registrar.bind((proved, clock), &peer, address, granted);
                continue;
            }
            self.registrar.hold((proved, clock), &peer, address, left);
        }
    }
}

/// Where a phone is that has this port.
pub(super) fn address(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), port))
}
