//! A fleet of switches with one database, the phones that register at them, and all that goes wrong in between.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fastrand::Rng;

use super::database::Database;
use super::flaw;
use super::history::{
    Binding, DRIFT, End, GRACE, History, LONGEST, LookUp, Operation, SECOND, Time, Wish,
};
use super::node::{Node, Waits, address};
use crate::registrar::Shared;
use crate::store::{Record, bring_up};
use oneport_proto::Instant;

/// How long the database has for what is written before the disk takes it, and for what follows from there.
const DIRECT: Time = 2 * SECOND;
const FOLLOWING: Time = 10 * SECOND;

/// How long it has for what the thread of the switches asks, and how often that gives a sign of life.
const PATIENCE: Time = 2_500_000;
const HEARTBEAT: Time = SECOND;

/// Records that follow at a time.
const AT_ONCE: usize = 5;

/// What is drawn for a run.
struct Plan {
    phones: usize,
    /// Mean time between faults, between wishes of one phone, and between look-ups of all.
    faults: Time,
    wishes: Time,
    look_ups: Time,
    /// In a thousand: messages that are late.
    late: u32,
    /// In ten: wishes for another switch than the last.
    moves: u8,
}

/// Why a phone wants something.
#[derive(Clone, Copy, PartialEq)]
enum Why {
    /// As always.
    Often,
    /// It renews at the last moment.
    Late,
    /// It registers at another switch at the same time.
    Besides,
}

/// What a switch asks the database for.
enum Query {
    SignOfLife,
    /// `is_back`: as the first thing by a connection.
    Horizon {
        begun: Instant,
        is_back: bool,
    },
    Rows {
        begun: Instant,
        horizon: u64,
        is_back: bool,
    },
}

enum Event {
    Fault,
    Wish {
        phone: usize,
        why: Why,
    },
    LookUp,
    /// A call has come to the other switch.
    Second {
        look_up: LookUp,
        to: usize,
    },
    Resume {
        n: usize,
    },
    Death {
        n: usize,
        process: u64,
    },
    DatabaseUp,
    InTime {
        n: usize,
    },
    /// A message has come to the database.
    Stored {
        n: usize,
        process: u64,
    },
    Execute {
        n: usize,
        process: u64,
        token: u64,
        records: Vec<Record>,
        follows: bool,
    },
    Commit {
        n: usize,
        process: u64,
        token: u64,
        transaction: u64,
    },
    Listen {
        n: usize,
        process: u64,
        session: u64,
    },
    Asked {
        n: usize,
        process: u64,
        session: u64,
        token: u64,
        query: Query,
    },
    /// Something comes about in a process.
    Of {
        n: usize,
        process: u64,
        what: What,
    },
}

enum What {
    /// It has found registrations of an earlier life; `None`: the database does not answer.
    Found(Option<Vec<crate::store::StoredRegistration>>),
    Write,
    /// A batch is in the database.
    Written(u64),
    /// It is not, and has to wait on the disk.
    Slow(u64),
    Follow,
    Connect,
    Connected(u64),
    Beat(u64),
    Look(u64),
    News(u64),
    Patience(u64),
    Lost(u64),
    Answer {
        token: u64,
        told: Option<Told>,
    },
    Wake,
}

/// What a reading has found.
struct Told {
    begun: Instant,
    horizon: u64,
    whole: bool,
    all: Vec<Shared>,
}

pub(super) struct World {
    plan: Plan,
    pub(super) now: Time,
    rng: Rng,
    order: u64,
    queue: BTreeMap<(Time, u64), Event>,
    nodes: Vec<Node>,
    database: Database,
    database_up: bool,
    /// Who is told of changes, by the number of its session.
    sessions: BTreeMap<u64, usize>,
    /// Sessions that have missed something.
    doomed: BTreeSet<u64>,
    tokens: u64,
    /// Where each phone has registered last, and the last port it had.
    homes: Vec<(usize, u16)>,
    calm: bool,
    quiet: bool,
    pub(super) history: History,
}

impl World {
    /// `switches`: so many, whatever would be drawn.
    pub(super) fn new(mut rng: Rng, switches: Option<usize>) -> Self {
        let drawn = if rng.u8(..10) == 0 { rng.usize(5..10) } else { rng.usize(2..5) };
        let switches = switches.unwrap_or(drawn);
        let plan = Plan {
            phones: rng.usize(2..6),
            faults: rng.u64(2..15) * SECOND,
            wishes: rng.u64(1..25) * SECOND,
            look_ups: rng.u64(100..400) * 1_000,
            late: if rng.bool() { 0 } else { rng.u32(1..60) },
            moves: rng.u8(1..7),
        };
        let node = |n| {
            let calendar = rng.i64(1_700_000_000_000..1_800_000_000_000);
            let rate = rng.u64(1_000_000 - DRIFT / 2..=1_000_000 + DRIFT / 2);
            Node::new(format!("n{n}"), rng.u64(SECOND..1_000_000 * SECOND), calendar, rate)
        };
        let nodes: Vec<Node> = (0..switches).map(node).collect();
        let homes = (0..plan.phones).map(|phone| (phone % switches, 1_000 * (phone as u16 + 1)));
        let mut world = Self {
            homes: homes.collect(),
            plan,
            now: 0,
            order: 0,
            queue: BTreeMap::new(),
            nodes,
            database: Database::default(),
            database_up: true,
            sessions: BTreeMap::new(),
            doomed: BTreeSet::new(),
            tokens: 0,
            calm: false,
            quiet: false,
            history: History::new(switches),
            rng,
        };
        (0..switches).for_each(|n| world.start(n));
        for phone in 0..world.plan.phones {
            let first = world.around(world.plan.wishes / 2);
            world.after(first, Event::Wish { phone, why: Why::Often });
        }
        world.after(SECOND, Event::LookUp);
        let first = world.around(world.plan.faults);
        world.after(first, Event::Fault);
        world
    }

    fn after(&mut self, delay: Time, event: Event) {
        self.order += 1;
        self.queue.insert((self.now + delay, self.order), event);
    }

    fn of(&mut self, delay: Time, n: usize, what: What) {
        let process = self.nodes[n].process;
        self.after(delay, Event::Of { n, process, what });
    }

    fn token(&mut self) -> u64 {
        self.tokens += 1;
        self.tokens
    }

    fn around(&mut self, mean: Time) -> Time {
        self.rng.u64(1..=mean * 2)
    }

    /// How long a message between a switch and the database takes.
    fn latency(&mut self, n: usize) -> Time {
        if self.calm || self.rng.u32(..1_000) >= self.plan.late {
            return self.rng.u64(200..4_000);
        }
        let late = self.rng.u64(100_000..6 * SECOND);
        self.nodes[n].late += 1;
        self.mark(n);
        self.after(late, Event::InTime { n });
        late
    }

    /// Whether messages come through between a switch and the database.
    fn reaches(&self, n: usize) -> bool {
        self.database_up && !self.nodes[n].cut
    }

    /// Notes whether a switch is there and has the database.
    fn mark(&mut self, n: usize) {
        let node = &self.nodes[n];
        let is_away = !node.alive || node.paused || node.late > 0 || !self.reaches(n);
        self.history.mark(self.now, n, is_away);
    }

    fn is_of(&self, n: usize, process: u64) -> bool {
        self.nodes[n].alive && self.nodes[n].process == process
    }

    /// Goes on until `end`.
    pub(super) fn run(&mut self, end: Time) {
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > end {
                break;
            }
            let ((at, _), event) = entry.remove_entry();
            self.now = at;
            self.handle(event);
        }
        self.now = end;
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Fault => self.fault(),
            Event::Wish { phone, why } => self.wish(phone, why),
            Event::LookUp => {
                let (phone, n) =
                    (self.rng.usize(..self.plan.phones), self.rng.usize(..self.nodes.len()));
                self.look_up(phone, n);
                if !self.quiet {
                    let next = self.around(self.plan.look_ups);
                    self.after(next, Event::LookUp);
                }
            }
            Event::Second { look_up, to } => self.complete(look_up, to),
            Event::Resume { n } => {
                self.nodes[n].paused = false;
                self.mark(n);
            }
            Event::Death { n, process } if self.is_of(n, process) => self.kill(n),
            Event::DatabaseUp => {
                self.database_up = true;
                (0..self.nodes.len()).for_each(|n| self.mark(n));
            }
            Event::InTime { n } => {
                self.nodes[n].late -= 1;
                self.mark(n);
            }
            Event::Stored { n, process } if self.is_of(n, process) && self.reaches(n) => {
                let there = self.database.registered(&self.nodes[n].name);
                let there = there.into_values().collect();
                let delay = self.latency(n);
                self.of(delay, n, What::Found(Some(there)));
            }
            Event::Execute { n, process, token, records, follows } => {
                self.execute(n, process, token, records, follows);
            }
            Event::Commit { n, process, token, transaction } => {
                self.commit(n, process, token, transaction);
            }
            Event::Listen { n, process, session } if self.is_of(n, process) && self.reaches(n) => {
                self.sessions.insert(session, n);
                let delay = self.latency(n);
                self.of(delay, n, What::Connected(session));
            }
            Event::Asked { n, process, session, token, query }
                if self.is_of(n, process)
                    && self.reaches(n)
                    && self.sessions.contains_key(&session) =>
            {
                self.answer(n, session, token, query);
            }
            Event::Of { n, process, what } if self.is_of(n, process) => {
                if self.nodes[n].paused {
                    // It hears of it when it goes on.
                    return self.after(50_000, Event::Of { n, process, what });
                }
                let now = self.now;
                self.nodes[n].expire(now);
                self.come_about(n, what);
                self.pump(n);
            }
            _ => {}
        }
    }

    fn come_about(&mut self, n: usize, what: What) {
        match what {
            What::Wake => self.wake(n),
            What::Found(stored) => self.found(n, stored),
            What::Write => self.write(n),
            What::Written(token) => self.written(n, token),
            What::Slow(token) => self.slow(n, token),
            What::Follow => self.follow(n),
            What::Connect if self.nodes[n].session.is_none() => {
                let session = self.token();
                let process = self.nodes[n].process;
                let delay = self.latency(n);
                self.after(delay, Event::Listen { n, process, session });
                self.of(PATIENCE + HEARTBEAT, n, What::Connect);
            }
            What::Connected(session) if self.nodes[n].session.is_none() => {
                self.nodes[n].session = Some(session);
                self.look(n, session, true);
                self.of(HEARTBEAT, n, What::Beat(session));
            }
            What::Beat(session) if self.nodes[n].session == Some(session) => {
                if self.nodes[n].query.is_none() {
                    self.query(n, session, Query::SignOfLife);
                }
                self.of(HEARTBEAT, n, What::Beat(session));
            }
            What::News(session) if self.nodes[n].session == Some(session) => {
                self.hear_news(n, session)
            }
            What::Look(session)
                if self.nodes[n].session == Some(session)
                    && self.nodes[n].query.is_none()
                    && self.nodes[n].has_news =>
            {
                self.look(n, session, false);
            }
            What::Patience(token) if self.nodes[n].query == Some(token) => self.lose(n),
            What::Lost(session) if self.nodes[n].session == Some(session) => self.lose(n),
            What::Answer { token, told } if self.nodes[n].query == Some(token) => {
                let node = &mut self.nodes[n];
                node.query = None;
                if let Some(told) = told {
                    node.reader.done(told.horizon.to_string(), told.begun);
                    if told.whole {
                        node.registrar.forget_elsewhere();
                    }
                    for shared in told.all {
                        node.registrar.hear(shared);
                    }
                }
                if let Some(session) = self.nodes[n].session.filter(|_| self.nodes[n].has_news) {
                    self.of(10_000, n, What::Look(session));
                }
            }
            _ => {}
        }
    }

    /// A switch does what is due.
    fn pump(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        if !node.writes && !node.pile.is_empty() {
            node.writes = true;
            let gathers = self.rng.u64(..25_000);
            self.of(gathers, n, What::Write);
        }
    }

    fn start(&mut self, n: usize) {
        self.nodes[n].start();
        self.mark(n);
        let process = self.nodes[n].process;
        let delay = self.latency(n);
        self.after(delay, Event::Stored { n, process });
        self.of(3 * SECOND, n, What::Found(None));
    }

    /// A switch knows of registrations of its earlier life, or goes on without.
    fn found(&mut self, n: usize, stored: Option<Vec<crate::store::StoredRegistration>>) {
        let now = self.now;
        let node = &mut self.nodes[n];
        let answers = stored.is_some();
        if node.ready && !node.misses {
            return;
        }
        if !node.ready || answers {
            let stored = stored.unwrap_or_default();
            let mut there = stored.into_iter().map(|one| (one.peer.clone(), one)).collect();
            if !flaw::ForgetsTheDisk.is_there() {
                bring_up(&mut there, node.disk.make_contiguous());
            }
            node.restore(now, there.into_values());
        }
        node.misses = !answers;
        node.registrar.note_releases(!answers);
        if !std::mem::replace(&mut node.ready, true) {
            self.of(1_000, n, What::Connect);
            self.of(1_000, n, What::Follow);
        }
        if !answers {
            let process = self.nodes[n].process;
            let delay = self.latency(n);
            self.after(delay, Event::Stored { n, process });
            self.of(SECOND, n, What::Found(None));
        }
    }

    fn write(&mut self, n: usize) {
        let records = self.nodes[n].pile.take();
        if records.is_empty() {
            self.nodes[n].writes = false;
            return;
        }
        let token = self.token();
        let node = &mut self.nodes[n];
        node.batch = Some((token, records.clone()));
        if !node.disk.is_empty() && !flaw::OvertakesTheDisk.is_there() {
            let writing = self.rng.u64(500..5_000);
            return self.of(writing, n, What::Slow(token));
        }
        self.send(n, token, records, false);
        self.of(DIRECT, n, What::Slow(token));
    }

    fn send(&mut self, n: usize, token: u64, records: Vec<Record>, follows: bool) {
        let process = self.nodes[n].process;
        let delay = self.latency(n);
        self.after(delay, Event::Execute { n, process, token, records, follows });
    }

    /// Whether a process still waits for an answer to what it writes.
    fn waits(&self, n: usize, process: u64, token: u64) -> bool {
        let node = &self.nodes[n];
        let batch = node.batch.as_ref().map(|(token, _)| *token);
        let follows = node.follows.map(|(token, _)| token);
        self.is_of(n, process) && [batch, follows].contains(&Some(token))
    }

    /// Statements of a transaction come to the database.
    fn execute(&mut self, n: usize, process: u64, token: u64, records: Vec<Record>, follows: bool) {
        if !self.waits(n, process, token) || self.nodes[n].cut {
            return;
        }
        if !self.database_up {
            let delay = self.latency(n);
            return self.of(delay, n, What::Slow(token));
        }
        if self.database.is_locked(&records) {
            return self.after(2_000, Event::Execute { n, process, token, records, follows });
        }
        let today = self.nodes[n].today(self.now);
        let transaction = self.database.begin(self.now, today, &records);
        // There is a way back and one there before it ends. More of them where there is much to do.
        let mut delay = self.latency(n) + self.latency(n);
        if follows {
            delay += self.rng.u64(..20_000);
        }
        self.after(delay, Event::Commit { n, process, token, transaction });
    }

    fn commit(&mut self, n: usize, process: u64, token: u64, transaction: u64) {
        // Who is gone may have said it before.
        let is_said = self.waits(n, process, token) && !self.nodes[n].cut || self.rng.bool();
        if !is_said {
            return self.database.abort(transaction);
        }
        if self.database.commit(transaction) {
            for (session, other) in self.sessions.clone() {
                match self.nodes[other].cut {
                    true => drop(self.doomed.insert(session)),
                    false => {
                        let delay = self.latency(other);
                        self.of(delay, other, What::News(session));
                    }
                }
            }
        }
        if self.is_of(n, process) && self.reaches(n) {
            let delay = self.latency(n);
            self.of(delay, n, What::Written(token));
        }
    }

    fn written(&mut self, n: usize, token: u64) {
        let node = &mut self.nodes[n];
        if let Some((_, records)) = node.batch.take_if(|(of, _)| *of == token) {
            let granted = node.durable(records.len());
            self.grant(n, granted);
            self.of(0, n, What::Write);
        } else if let Some((_, count)) = node.follows.take_if(|(of, _)| *of == token) {
            node.disk.drain(..count);
            self.follow(n);
        }
    }

    fn slow(&mut self, n: usize, token: u64) {
        let node = &mut self.nodes[n];
        if let Some((_, records)) = node.batch.take_if(|(of, _)| *of == token) {
            let count = records.len();
            node.disk.extend(records);
            let granted = node.durable(count);
            self.grant(n, granted);
            self.of(0, n, What::Write);
            self.follow(n);
        } else if node.follows.take_if(|(of, _)| *of == token).is_some() {
            let pause = self.rng.u64(100_000..5 * SECOND);
            self.of(pause, n, What::Follow);
        }
    }

    /// What waits on the disk follows.
    fn follow(&mut self, n: usize) {
        let node = &self.nodes[n];
        if node.follows.is_some() || node.disk.is_empty() {
            return;
        }
        let token = self.token();
        let node = &mut self.nodes[n];
        let records: Vec<Record> = node.disk.iter().take(AT_ONCE).cloned().collect();
        node.follows = Some((token, records.len()));
        self.send(n, token, records, true);
        self.of(FOLLOWING, n, What::Slow(token));
    }

    fn grant(&mut self, n: usize, granted: Vec<Waits>) {
        for Waits { operation, proved } in granted {
            let Operation { phone, wish, .. } = self.history.operations[operation];
            let node = &mut self.nodes[n];
            let clock = node.now(self.now);
            match wish {
                Wish::Register(Binding { port, .. }, granted) => {
                    let granted = Duration::from_micros(granted);
                    let peer = name(phone);
                    node.registrar.bind((proved, clock), &peer, address(port), granted);
                    self.of(GRACE, n, What::Wake);
                    if self.rng.u8(..4) == 0 {
                        let early = self.rng.u64(..60_000);
                        let left = u64::try_from(granted.as_micros()).unwrap() + GRACE - early;
                        self.after(left, Event::Wish { phone, why: Why::Late });
                    }
                }
                Wish::Leave { .. } => drop(node.registrar.release(&name(phone))),
            }
            self.history.operations[operation].end = End::Acknowledged(self.now);
        }
    }

    /// A switch waits for its next registration to expire.
    fn wake(&mut self, n: usize) {
        let node = &self.nodes[n];
        if let Some(next) = node.registrar.next_expiry() {
            let away = next.since(node.now(self.now)) + Duration::from_millis(1);
            let away = u64::try_from(away.as_micros()).unwrap();
            self.of(away, n, What::Wake);
        }
    }

    fn query(&mut self, n: usize, session: u64, query: Query) {
        let token = self.token();
        self.nodes[n].query = Some(token);
        let process = self.nodes[n].process;
        let delay = self.latency(n);
        self.after(delay, Event::Asked { n, process, session, token, query });
        self.of(PATIENCE, n, What::Patience(token));
    }

    /// There is something new, which a switch soon looks at with all that is told meanwhile.
    fn hear_news(&mut self, n: usize, session: u64) {
        if !std::mem::replace(&mut self.nodes[n].has_news, true) {
            self.of(10_000, n, What::Look(session));
        }
    }

    /// A switch looks what is new.
    fn look(&mut self, n: usize, session: u64, is_back: bool) {
        let begun = self.nodes[n].now(self.now);
        self.nodes[n].has_news = false;
        self.query(n, session, Query::Horizon { begun, is_back });
    }

    /// The database answers.
    fn answer(&mut self, n: usize, session: u64, token: u64, query: Query) {
        let told = match query {
            Query::SignOfLife => None,
            Query::Horizon { begun, is_back } => {
                let horizon = self.database.horizon();
                let query = Query::Rows { begun, horizon, is_back };
                let process = self.nodes[n].process;
                let delay = self.latency(n) + self.latency(n);
                return self.after(delay, Event::Asked { n, process, session, token, query });
            }
            Query::Rows { begun, horizon, is_back } => {
                let node = &mut self.nodes[n];
                if node.query != Some(token) {
                    return;
                }
                let from = node.reader.begin(begun);
                let number = from.as_deref().map(|from| from.parse().unwrap());
                let mut all = self.database.read(&node.name, number);
                if is_back && from.is_some() && flaw::LooksAtNothingNew.is_there() {
                    all.clear();
                }
                Some(Told { begun, horizon, whole: from.is_none(), all })
            }
        };
        let delay = self.latency(n);
        self.of(delay, n, What::Answer { token, told });
    }

    /// A switch has no connection any more, as far as it knows.
    fn lose(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        if let Some(session) = node.session.take() {
            self.sessions.remove(&session);
        }
        (node.query, node.has_news) = (None, false);
        self.of(HEARTBEAT, n, What::Connect);
    }

    fn wish(&mut self, phone: usize, why: Why) {
        if self.quiet {
            return;
        }
        if why == Why::Often {
            let next = self.around(self.plan.wishes);
            self.after(next, Event::Wish { phone, why });
            if self.rng.u8(..8) == 0 {
                let soon = self.rng.u64(..100_000);
                self.after(soon, Event::Wish { phone, why: Why::Besides });
            }
        }
        let (mut n, mut port) = self.homes[phone];
        let is_away = self.rng.u8(..10) < self.plan.moves || !self.nodes[n].serves();
        if why == Why::Besides || why == Why::Often && is_away {
            n = self.rng.usize(..self.nodes.len());
        }
        if why == Why::Often && self.rng.u8(..10) == 0 {
            port += 1;
        }
        if !self.nodes[n].serves() {
            return;
        }
        self.homes[phone] = (n, port);
        let leaves = why == Why::Often && self.rng.u8(..5) == 0;
        let granted = *self.rng.choice(&[5 * SECOND, 15 * SECOND, LONGEST, LONGEST]).unwrap();
        let wish = match leaves {
            true => Wish::Leave { switch: n },
            false => Wish::Register(Binding { switch: n, port }, granted),
        };
        let (now, operation) = (self.now, self.history.operations.len());
        let wanted = (!leaves).then_some((port, Duration::from_micros(granted)));
        self.nodes[n].expire(now);
        if self.nodes[n].ask(now, operation, &name(phone), wanted) {
            self.history.operations.push(Operation { phone, wish, asked: now, end: End::Open });
        }
        self.pump(n);
        if !self.calm && self.rng.u8(..50) == 0 {
            // Before it is answered, as often as not.
            let process = self.nodes[n].process;
            let soon = self.rng.u64(..60_000);
            self.after(soon, Event::Death { n, process });
        }
    }

    /// A call comes to a switch, for a phone.
    fn look_up(&mut self, phone: usize, n: usize) {
        let now = self.now;
        let node = &self.nodes[n];
        if !node.serves() {
            return;
        }
        let found = node.registrar.find(node.now(now), &name(phone));
        let found = found.map(|there| Binding { switch: n, port: there.port() });
        let there = node.registrar.elsewhere(&name(phone)).filter(|_| found.is_none());
        let there = there.and_then(|there| self.nodes.iter().position(|node| node.name == there));
        let look_up = LookUp { phone, at: n, asked: now, answered: now, found };
        match there {
            None => self.history.look_ups.push(look_up),
            Some(to) => {
                let delay = self.rng.u64(200..20_000);
                self.after(delay, Event::Second { look_up, to });
            }
        }
    }

    /// The switch at which the phone is said to be completes it, or not.
    fn complete(&mut self, look_up: LookUp, to: usize) {
        let node = &self.nodes[to];
        let found = node.registrar.find(node.now(self.now), &name(look_up.phone));
        let found = found.filter(|_| node.serves());
        let found = found.map(|there| Binding { switch: to, port: there.port() });
        self.history.look_ups.push(LookUp { answered: self.now, found, ..look_up });
    }

    fn fault(&mut self) {
        if self.calm {
            return;
        }
        let next = self.around(self.plan.faults);
        self.after(next, Event::Fault);
        let n = self.rng.usize(..self.nodes.len());
        match self.rng.u8(..10) {
            0..2 if self.nodes[n].alive => self.kill(n),
            0..3 if !self.nodes[n].alive => self.start(n),
            3..6 => {
                self.nodes[n].cut = true;
                self.mark(n);
            }
            6..8 => self.mend(n),
            8 if self.rng.bool() => self.end_database(),
            9 if self.nodes[n].alive && !self.nodes[n].paused => {
                self.nodes[n].paused = true;
                self.mark(n);
                let long = self.rng.u64(SECOND..15 * SECOND);
                self.after(long, Event::Resume { n });
            }
            _ => {}
        }
    }

    fn kill(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        (node.alive, node.paused) = (false, false);
        self.sessions.retain(|_, of| *of != n);
        self.mark(n);
        for operation in &mut self.history.operations {
            let (Wish::Register(Binding { switch, .. }, _) | Wish::Leave { switch }) =
                operation.wish;
            if switch == n && operation.end == End::Open {
                operation.end = End::Cut(self.now);
            }
        }
    }

    fn mend(&mut self, n: usize) {
        self.nodes[n].cut = false;
        self.mark(n);
        // What was not heard is not said again by a connection that has failed.
        if let Some(session) = self.nodes[n].session.filter(|session| self.doomed.remove(session)) {
            self.of(1_000, n, What::Lost(session));
        }
    }

    fn end_database(&mut self) {
        if !std::mem::replace(&mut self.database_up, false) {
            return;
        }
        self.database.end();
        for (session, n) in std::mem::take(&mut self.sessions) {
            if !self.nodes[n].cut {
                self.of(1_000, n, What::Lost(session));
            }
        }
        (0..self.nodes.len()).for_each(|n| self.mark(n));
        let away = self.rng.u64(SECOND..25 * SECOND);
        self.after(away, Event::DatabaseUp);
    }

    /// Nothing goes wrong any more, and everybody is back.
    pub(super) fn calm_down(&mut self) {
        self.calm = true;
        if !self.database_up {
            self.handle(Event::DatabaseUp);
        }
        for n in 0..self.nodes.len() {
            self.mend(n);
            if !self.nodes[n].alive {
                self.start(n);
            }
            self.nodes[n].paused = false;
            self.mark(n);
        }
    }

    /// Phones want nothing any more. Each is looked for at every switch.
    pub(super) fn fall_silent(&mut self) {
        self.quiet = true;
        self.run(self.now + 3 * SECOND);
        for phone in 0..self.plan.phones {
            for n in 0..self.nodes.len() {
                self.look_up(phone, n);
            }
        }
        self.run(self.now + SECOND);
    }
}

fn name(phone: usize) -> String {
    format!("p{phone}")
}
