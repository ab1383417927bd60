//! A fleet of switches, the database between them, and all that goes wrong: every message takes its time, and time
//! is what the next event says.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use fastrand::Rng;
use oneport_proto::Instant;

use super::database::Ledgers;
use super::history::{Fact, History, Time};
use crate::cluster::lease::{
    Bound, Exchange, Kept, Key, Leases, Need, News, Request, Timing, Versioned,
};
use crate::limits::Ceiling;

pub(super) const SECOND: Time = 1_000_000;

/// What is drawn for a run.
pub(super) struct Plan {
    pub(super) switches: usize,
    /// With how many slots; the last one counts calls per second, if `has_rate`.
    pub(super) limits: Vec<usize>,
    pub(super) has_rate: bool,
    pub(super) timing: Timing,
    /// Mean time between faults.
    pub(super) faults: Time,
    /// In a thousand: messages that are late by seconds, and changes that come twice.
    pub(super) late: u32,
    pub(super) twice: u32,
    /// Mean time between calls of one switch, and how long they are.
    pub(super) calls: Time,
    pub(super) talk: Time,
}

impl Plan {
    /// `switches`: so many, whatever would be drawn.
    pub(super) fn draw(rng: &mut Rng, switches: Option<usize>) -> Self {
        let drawn = match rng.u8(..100) {
            0 => rng.usize(20..=50),
            1..10 => rng.usize(8..20),
            _ => rng.usize(3..8),
        };
        let switches = switches.unwrap_or(drawn);
        let has_rate = rng.bool();
        let count = rng.usize(1..=2) + usize::from(has_rate);
        let limits = (0..count).map(|_| rng.usize(1..=switches * 4)).collect();
        let mut timing = Timing::of_lease(Duration::from_millis(rng.u64(4_000..16_000)));
        timing.presumed_dead = rng.bool().then(|| Duration::from_secs(60));
        Self {
            switches,
            limits,
            has_rate,
            timing,
            faults: rng.u64(1..10) * SECOND,
            late: if rng.bool() { 0 } else { rng.u32(0..60) },
            twice: if rng.bool() { 0 } else { rng.u32(0..60) },
            calls: rng.u64(200..2_000) * 1_000,
            talk: rng.u64(1..12) * SECOND,
        }
    }

    fn key(&self, limit: usize) -> Key {
        let is_rate = self.has_rate && limit + 1 == self.limits.len();
        let ceiling = if is_rate { Ceiling::CallsPerSecond } else { Ceiling::Calls };
        Key { limit: limit.to_string(), ceiling }
    }

    pub(super) fn is_rate(&self, limit: usize) -> bool {
        self.has_rate && limit + 1 == self.limits.len()
    }
}

/// What is on its way to the database.
#[derive(Clone)]
enum Statement {
    Read(Vec<Key>),
    Set(Vec<Versioned>),
}

/// What it answers.
#[derive(Clone)]
enum Result {
    Read(Vec<Versioned>),
    Set(BTreeSet<Key>),
}

enum Event {
    Statement {
        session: u64,
        step: u64,
        statement: Statement,
    },
    Result {
        session: u64,
        step: u64,
        result: Result,
        present: BTreeSet<i64>,
    },
    News {
        session: u64,
        key: Key,
        news: News,
    },
    /// A process wants a session.
    Connect {
        switch: usize,
        process: u64,
        session: u64,
    },
    Joined {
        switch: usize,
        process: u64,
        session: u64,
        incarnation: i64,
    },
    /// The machine of a process closes its connection.
    Closed(u64),
    /// The database's machine gives up a connection to one that it does not reach.
    GivenUp {
        switch: usize,
        session: u64,
    },
    /// The database answers a switch again.
    Answers {
        switch: usize,
    },
    /// An operator ends one of several sessions of a switch that is not answered.
    Terminated {
        switch: usize,
    },
    /// A process that has no session tries again; one that waits for an answer gives up.
    Retry {
        switch: usize,
        process: u64,
    },
    GiveUp {
        session: u64,
        step: u64,
    },
    LinkLost {
        session: u64,
    },
    Wake {
        switch: usize,
    },
    Call {
        switch: usize,
        process: u64,
    },
    Hangup {
        switch: usize,
        process: u64,
        limit: usize,
        call: u64,
    },
    Resume {
        switch: usize,
    },
    DatabaseUp,
    Fault,
    /// Whether the slots of a dead switch have come free, or the idle ones of one that is cut off.
    IsFree {
        switch: usize,
        incarnation: i64,
        since: Time,
        is_dead: bool,
    },
}

struct Node {
    name: String,
    /// How often it was started.
    process: u64,
    alive: bool,
    paused: bool,
    cut: bool,
    /// The database takes what it says, so much in ten of it, and answers nothing.
    unanswered: Option<u8>,
    offset: u64,
    /// How fast its clock goes, in thousandths.
    rate: u64,
    leases: Leases,
    incarnation: Option<i64>,
    session: Option<u64>,
    /// Which was asked for, and is waited for.
    asking: Option<u64>,
    kept: Kept<u64>,
    connected: Time,
    exchange: Option<Exchange>,
    step: u64,
    /// Calls that are up under each limit, the newest last.
    up: Vec<Vec<u64>>,
    /// When calls have begun within the last second, by its clock.
    begun: VecDeque<Instant>,
    wake: Time,
    maxima: Vec<usize>,
}

impl Node {
    fn clock(&self, now: Time) -> Instant {
        Instant::from_micros(self.offset + now / 1_000 * self.rate)
    }

    fn used(up: &[Vec<u64>], begun: &VecDeque<Instant>, now: Instant, key: &Key) -> usize {
        match key.ceiling {
            Ceiling::Calls => up[key.limit.parse::<usize>().unwrap()].len(),
            Ceiling::CallsPerSecond => {
                begun.iter().filter(|begun| now.since(**begun) < Duration::from_secs(1)).count()
            }
        }
    }

    fn used_of(&self, now: Instant, key: &Key) -> usize {
        Self::used(&self.up, &self.begun, now, key)
    }
}

pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) now: Time,
    rng: Rng,
    order: u64,
    queue: BTreeMap<(Time, u64), Event>,
    nodes: Vec<Node>,
    database_up: bool,
    ledgers: Ledgers,
    incarnations: i64,
    sessions: BTreeMap<u64, (usize, u64, i64)>,
    /// When the database has heard of a session last.
    heard: BTreeMap<u64, Time>,
    /// Sessions whose machine has closed them while the link was cut.
    unheard: Vec<u64>,
    next_session: u64,
    next_call: u64,
    /// When something went wrong last, besides what a check is about.
    disturbed: Time,
    calm: bool,
    pub(super) history: History,
    pub(super) counts: Counts,
}

/// What a run has shown.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Counts {
    pub(super) dead_found: usize,
    pub(super) late_found: usize,
    pub(super) ended_over_lease: usize,
    pub(super) requests: usize,
    /// Processes that have ended.
    pub(super) kills: usize,
    /// Links to the database that were cut.
    pub(super) cuts: usize,
}

impl World {
    pub(super) fn new(mut rng: Rng, switches: Option<usize>) -> Self {
        let plan = Plan::draw(&mut rng, switches);
        let mut world = Self {
            now: 0,
            order: 0,
            queue: BTreeMap::new(),
            nodes: Vec::new(),
            database_up: true,
            ledgers: Ledgers::default(),
            incarnations: 0,
            sessions: BTreeMap::new(),
            heard: BTreeMap::new(),
            unheard: Vec::new(),
            next_session: 0,
            next_call: 0,
            disturbed: 0,
            calm: false,
            history: History::default(),
            counts: Counts::default(),
            plan,
            rng,
        };
        for (limit, max) in world.plan.limits.iter().enumerate() {
            world.history.limit(0, limit, *max);
        }
        for n in 0..world.plan.switches {
            let offset = world.rng.u64(..1_000_000 * SECOND);
            // An eighth apart at most, the two that matter taken together.
            let rate = world.rng.u64(960..=1_040);
            world.nodes.push(Node {
                name: format!("n{n}"),
                process: 0,
                alive: false,
                paused: false,
                cut: false,
                unanswered: None,
                offset,
                rate,
                leases: Leases::new("", world.plan.timing),
                incarnation: None,
                session: None,
                asking: None,
                kept: Kept::new(world.plan.timing),
                connected: 0,
                exchange: None,
                step: 0,
                up: Vec::new(),
                begun: VecDeque::new(),
                wake: 0,
                maxima: world.plan.limits.clone(),
            });
            world.start(n);
        }
        world.after(0, Event::Fault);
        world
    }

    fn after(&mut self, delay: Time, event: Event) {
        self.order += 1;
        self.queue.insert((self.now + delay, self.order), event);
    }

    /// A time around `mean`.
    fn around(&mut self, mean: Time) -> Time {
        self.rng.u64(1..=mean * 2)
    }

    fn latency(&mut self) -> Time {
        match self.rng.u32(..1_000) < self.plan.late && !self.calm {
            true => self.rng.u64(100_000..6 * SECOND),
            false => self.rng.u64(200..4_000),
        }
    }

    fn start(&mut self, n: usize) {
        let limits = self.plan.limits.len();
        let node = &mut self.nodes[n];
        node.process += 1;
        (node.alive, node.paused, node.incarnation) = (true, false, None);
        (node.session, node.asking, node.exchange) = (None, None, None);
        node.kept = Kept::new(self.plan.timing);
        node.leases = Leases::new(&node.name, self.plan.timing);
        node.up = vec![Vec::new(); limits];
        node.begun.clear();
        let process = node.process;
        self.configure(n);
        self.after(1_000, Event::Retry { switch: n, process });
        let first = self.around(self.plan.calls);
        self.after(first, Event::Call { switch: n, process });
    }

    fn configure(&mut self, n: usize) {
        let keys = (0..self.plan.limits.len()).map(|limit| self.plan.key(limit));
        let node = &mut self.nodes[n];
        let limits = keys.zip(node.maxima.iter().copied()).collect();
        let (now, up, begun) = (node.clock(self.now), &node.up, &node.begun);
        node.leases.configure(now, &limits, |key| Node::used(up, begun, now, key));
    }

    /// Goes on until `end`.
    ///
    /// # Errors
    /// What did not come about in time.
    pub(super) fn run(&mut self, end: Time) -> std::result::Result<(), String> {
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > end {
                break;
            }
            let ((at, _), event) = entry.remove_entry();
            self.now = at;
            self.handle(event)?;
        }
        self.now = end;
        Ok(())
    }

    fn of_session(&self, session: u64) -> Option<usize> {
        self.nodes.iter().position(|node| node.alive && node.session == Some(session))
    }

    /// Whom an event is for, if that is a process.
    fn whose(&self, event: &Event) -> Option<usize> {
        match event {
            Event::Result { session, .. }
            | Event::News { session, .. }
            | Event::GiveUp { session, .. }
            | Event::LinkLost { session } => self.of_session(*session),
            Event::Joined { switch, process, .. }
            | Event::Retry { switch, process }
            | Event::Call { switch, process }
            | Event::Hangup { switch, process, .. } => {
                let node = &self.nodes[*switch];
                (node.alive && node.process == *process).then_some(*switch)
            }
            Event::Wake { switch } => self.nodes[*switch].alive.then_some(*switch),
            _ => None,
        }
    }

    fn handle(&mut self, event: Event) -> std::result::Result<(), String> {
        let from_database = matches!(
            event,
            Event::Result { .. }
                | Event::News { .. }
                | Event::Joined { .. }
                | Event::LinkLost { .. }
        );
        match event {
            Event::Statement { session, step, statement } => {
                self.serve(session, step, statement);
                return Ok(());
            }
            Event::Connect { switch, process, session } => {
                self.connect(switch, process, session);
                return Ok(());
            }
            Event::Closed(session) => {
                self.close(session);
                return Ok(());
            }
            Event::GivenUp { switch, session } => {
                // It counts from the last that it has heard.
                let patience = self.patience();
                let heard = self.heard.get(&session).copied().unwrap_or_default();
                if self.nodes[switch].cut && self.now >= heard + patience {
                    self.sessions.remove(&session);
                } else if self.sessions.contains_key(&session) {
                    self.after(SECOND, Event::GivenUp { switch, session });
                }
                return Ok(());
            }
            Event::Answers { switch } => {
                self.disturbed = self.now;
                self.nodes[switch].unanswered = None;
                return Ok(());
            }
            Event::Terminated { switch } => {
                self.terminate(switch);
                return Ok(());
            }
            Event::Resume { switch } => {
                self.resume(switch);
                return Ok(());
            }
            Event::DatabaseUp => {
                self.database_up = true;
                return Ok(());
            }
            Event::Fault => {
                self.fault();
                return Ok(());
            }
            Event::IsFree { switch, incarnation, since, is_dead } => {
                return self.is_free(switch, incarnation, since, is_dead);
            }
            _ => {}
        }
        let Some(n) = self.whose(&event) else { return Ok(()) };
        if self.nodes[n].cut && from_database {
            return Ok(());
        }
        if self.nodes[n].paused {
            // It hears of it when it goes on.
            self.after(50_000, event);
            return Ok(());
        }
        self.end_over_lease(n);
        let now = self.nodes[n].clock(self.now);
        match event {
            Event::Result { session, step, result, present } => {
                self.hear(n, session, step, result, present);
            }
            Event::News { key, news, .. } => {
                let used = self.nodes[n].used_of(now, &key);
                self.nodes[n].leases.hear(now, &key, news, used);
            }
            Event::Joined { session, incarnation, .. } => {
                let node = &mut self.nodes[n];
                // Nobody listens any more where another was asked for meanwhile.
                if node.asking == Some(session) {
                    (node.session, node.asking) = (Some(session), None);
                    (node.incarnation, node.exchange) = (Some(incarnation), None);
                    node.connected = self.now;
                    node.leases.joined(now, incarnation);
                    let replaced: Vec<u64> = node.kept.replaced().collect();
                    for other in replaced {
                        self.after(1_000, Event::Closed(other));
                    }
                }
            }
            Event::Retry { process, .. } if self.nodes[n].session.is_none() => {
                self.try_to_connect(n, process);
            }
            Event::GiveUp { session, step } => {
                let node = &self.nodes[n];
                if node.session == Some(session) && node.step == step && node.exchange.is_some() {
                    self.lose(n);
                }
            }
            Event::LinkLost { .. } => self.lose(n),
            Event::Call { switch, process } => {
                self.call(n);
                let next = self.around(self.plan.calls);
                if !self.calm {
                    self.after(next, Event::Call { switch, process });
                }
            }
            Event::Hangup { limit, call, .. } => self.hang_up(n, limit, call),
            _ => {}
        }
        self.pump(n);
        Ok(())
    }

    /// A switch does what is due.
    fn pump(&mut self, n: usize) {
        let real = self.now;
        let node = &mut self.nodes[n];
        let now = node.clock(real);
        if let (Some(session), None) = (node.session, &node.exchange) {
            let (up, begun) = (&node.up, &node.begun);
            let request = node.leases.poll_request(now, |key| Node::used(up, begun, now, key));
            if let Some(request) = request {
                self.counts.requests += 1;
                self.ask(n, session, request);
            }
        }
        let node = &mut self.nodes[n];
        if let Some(next) = node.leases.poll_timeout(now) {
            let away = next.as_micros().saturating_sub(now.as_micros());
            let at = real + away * 1_000 / node.rate + 1_000;
            if node.wake <= real || at < node.wake {
                node.wake = at;
                self.after(at - real, Event::Wake { switch: n });
            }
        }
    }

    fn end_over_lease(&mut self, n: usize) {
        let now = self.nodes[n].clock(self.now);
        for limit in 0..self.plan.limits.len() {
            if self.plan.is_rate(limit) {
                continue;
            }
            let node = &self.nodes[n];
            let over = node.leases.over(now, &self.plan.key(limit), node.up[limit].len());
            for _ in 0..over {
                if let Some(call) = self.nodes[n].up[limit].last().copied() {
                    self.counts.ended_over_lease += 1;
                    self.hang_up(n, limit, call);
                }
            }
        }
    }

    fn call(&mut self, n: usize) {
        let limits = self.plan.limits.len();
        let limit = self.rng.usize(..limits - usize::from(self.plan.has_rate));
        let mut wanted = vec![limit];
        wanted.extend(self.plan.has_rate.then_some(limits - 1));
        if self.try_call(n, &wanted) {
            let (call, process) = (self.next_call, self.nodes[n].process);
            let talk = self.around(self.plan.talk);
            self.after(talk, Event::Hangup { switch: n, process, limit, call });
        }
    }

    /// Whether a call may begin under all these limits.
    fn try_call(&mut self, n: usize, wanted: &[usize]) -> bool {
        let node = &mut self.nodes[n];
        let now = node.clock(self.now);
        for limit in wanted {
            let key = self.plan.key(*limit);
            let used = node.used_of(now, &key);
            let bound = node.leases.bound(now, &key).map_or(0, Bound::slots);
            if used >= bound.min(node.maxima[*limit]) {
                node.leases.refuse(now, &key);
                return false;
            }
        }
        self.next_call += 1;
        for limit in wanted {
            let key = self.plan.key(*limit);
            let fact = match key.ceiling {
                Ceiling::Calls => {
                    node.up[*limit].push(self.next_call);
                    Fact::Began { limit: *limit, call: self.next_call }
                }
                Ceiling::CallsPerSecond => {
                    node.begun.push_back(now);
                    node.begun.retain(|begun| now.since(*begun) < Duration::from_secs(1));
                    Fact::Counted { limit: *limit }
                }
            };
            self.history.note(self.now, n, fact);
            let used = node.used_of(now, &key);
            node.leases.begun(now, &key, used);
        }
        true
    }

    fn hang_up(&mut self, n: usize, limit: usize, call: u64) {
        let up = &mut self.nodes[n].up[limit];
        if let Some(place) = up.iter().position(|other| *other == call) {
            up.remove(place);
            self.history.note(self.now, n, Fact::Ended { limit, call });
        }
    }

    fn ask(&mut self, n: usize, session: u64, request: Request) {
        let node = &mut self.nodes[n];
        let exchange = Exchange::new(&node.name, request);
        let keys = exchange.keys();
        node.exchange = Some(exchange);
        self.send(n, session, Statement::Read(keys));
    }

    fn send(&mut self, n: usize, session: u64, statement: Statement) {
        self.nodes[n].step += 1;
        let step = self.nodes[n].step;
        self.after(1_500_000, Event::GiveUp { session, step });
        let is_change = matches!(statement, Statement::Set(_));
        if is_change {
            let node = &mut self.nodes[n];
            node.kept.changes(node.clock(self.now));
        }
        if self.nodes[n].cut {
            return;
        }
        if is_change && self.rng.u32(..1_000) < self.plan.twice && !self.calm {
            let later = self.rng.u64(1_000..8 * SECOND);
            self.after(later, Event::Statement { session, step, statement: statement.clone() });
        }
        let delay = self.latency();
        self.after(delay, Event::Statement { session, step, statement });
    }

    /// The database does what it is told.
    fn serve(&mut self, session: u64, step: u64, statement: Statement) {
        let known = self.sessions.get(&session).copied();
        let Some((switch, ..)) = known.filter(|_| self.database_up) else { return };
        self.heard.insert(session, self.now);
        let unanswered = self.nodes[switch].unanswered;
        if unanswered.is_some_and(|takes| self.rng.u8(..10) >= takes) {
            return;
        }
        let result = match statement {
            Statement::Read(keys) => Result::Read(self.ledgers.read(&keys)),
            Statement::Set(changes) => Result::Set(self.ledgers.set(changes)),
        };
        if self.nodes[switch].cut || unanswered.is_some() {
            return;
        }
        let present = self.sessions.values().map(|(.., incarnation)| *incarnation).collect();
        let delay = self.latency();
        self.after(delay, Event::Result { session, step, result, present });
    }

    fn hear(&mut self, n: usize, session: u64, step: u64, result: Result, present: BTreeSet<i64>) {
        let node = &mut self.nodes[n];
        if node.step != step {
            return;
        }
        let Some(exchange) = &mut node.exchange else { return };
        let changes = match result {
            Result::Read(read) => exchange.read(read),
            Result::Set(set) => {
                let news = exchange.set(&set);
                let keys = exchange.keys();
                for (key, news) in news {
                    let sessions: Vec<u64> = self.sessions.keys().copied().collect();
                    for other in sessions.into_iter().filter(|other| *other != session) {
                        let delay = self.latency();
                        self.after(delay, Event::News { session: other, key: key.clone(), news });
                    }
                }
                if !keys.is_empty() {
                    return self.send(n, session, Statement::Read(keys));
                }
                Vec::new()
            }
        };
        if !changes.is_empty() {
            return self.send(n, session, Statement::Set(changes));
        }
        let node = &mut self.nodes[n];
        let now = node.clock(self.now);
        let Some(exchange) = node.exchange.take() else { return };
        let (up, begun) = (&node.up, &node.begun);
        let answer = exchange.answer(session, present);
        node.leases.answer(now, answer, |key| Node::used(up, begun, now, key));
    }

    /// A switch has no session any more, as far as it knows. It does not close it.
    fn lose(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        node.exchange = None;
        node.leases.cut_off();
        let process = node.process;
        let closed = node.session.take().and_then(|session| node.kept.keep_held(session));
        if let Some(closed) = closed {
            self.after(1_000, Event::Closed(closed));
        }
        let pause = self.around(200_000);
        self.after(pause, Event::Retry { switch: n, process });
    }

    /// Whoever was asked has not answered: another connection is tried, if there is room for it.
    fn try_to_connect(&mut self, n: usize, process: u64) {
        let node = &mut self.nodes[n];
        let closed = node.asking.take().and_then(|asked| node.kept.keep_asked(asked));
        let now = node.clock(self.now);
        if !node.cut && node.kept.has_room(now) {
            self.next_session += 1;
            let session = self.next_session;
            node.asking = Some(session);
            let delay = self.latency();
            self.after(delay, Event::Connect { switch: n, process, session });
        }
        if let Some(closed) = closed {
            self.after(1_000, Event::Closed(closed));
        }
        self.after(700_000, Event::Retry { switch: n, process });
    }

    fn connect(&mut self, switch: usize, process: u64, session: u64) {
        let node = &self.nodes[switch];
        if !self.database_up || node.cut || !node.alive || node.process != process {
            return;
        }
        let incarnation = node.incarnation.unwrap_or_else(|| {
            self.incarnations += 1;
            self.incarnations
        });
        let unanswered = node.unanswered;
        if unanswered.is_some_and(|takes| self.rng.u8(..10) >= takes) {
            return;
        }
        // A run has one number, however often it was told.
        self.nodes[switch].incarnation = Some(incarnation);
        self.sessions.insert(session, (switch, process, incarnation));
        if unanswered.is_none() {
            let delay = self.latency();
            self.after(delay, Event::Joined { switch, process, session, incarnation });
        }
    }

    /// The database, or what is in front of it, takes what a switch says and does not answer.
    fn leave_unanswered(&mut self, n: usize) {
        self.disturbed = self.now;
        let long = self.rng.u64(SECOND..30 * SECOND);
        self.nodes[n].unanswered = Some(self.rng.u8(1..8));
        self.after(long, Event::Answers { switch: n });
        for _ in 0..2 {
            let when = self.rng.u64(..long.min(10 * SECOND));
            self.after(when, Event::Terminated { switch: n });
        }
    }

    fn terminate(&mut self, n: usize) {
        self.disturbed = self.now;
        let run = self.nodes[n].incarnation;
        let of_run = self.sessions.iter().filter(|(_, (.., of))| Some(*of) == run);
        let of_run: Vec<u64> = of_run.map(|(session, _)| *session).collect();
        if let [oldest, _, ..] = of_run[..] {
            self.sessions.remove(&oldest);
            let delay = self.latency();
            self.after(delay, Event::LinkLost { session: oldest });
        }
    }

    fn close(&mut self, session: u64) {
        let Some((switch, ..)) = self.sessions.get(&session) else { return };
        match self.nodes[*switch].cut {
            true => self.unheard.push(session),
            false => drop(self.sessions.remove(&session)),
        }
    }

    fn fault(&mut self) {
        let next = self.around(self.plan.faults);
        if self.calm {
            return;
        }
        self.after(next, Event::Fault);
        let n = self.rng.usize(..self.nodes.len());
        let node = &self.nodes[n];
        match self.rng.u8(..15) {
            0..3 if node.alive => {
                self.kill(n, true);
            }
            3 if node.alive => self.kill(n, false),
            0..5 if !node.alive => self.start(n),
            5..7 => self.cut(n),
            7..9 if node.cut => self.mend(n),
            9 if self.rng.bool() => self.end_database(),
            10 if node.alive && !node.paused => self.pause(n),
            11 => self.change_limit(),
            12..15 if node.alive && node.unanswered.is_none() => self.leave_unanswered(n),
            _ => {}
        }
    }

    fn kill(&mut self, n: usize, machine_lives: bool) {
        self.history.note(self.now, n, Fact::Killed);
        self.counts.kills += 1;
        let node = &mut self.nodes[n];
        // Of one that stood still, nobody knows whether it was cut off before.
        let renewed = node.session.is_some() && !node.paused && node.unanswered.is_none();
        let is_seen = renewed && self.now - node.connected > 10 * SECOND;
        node.alive = false;
        let (incarnation, cut) = (node.incarnation, node.cut);
        let mine: Vec<u64> =
            self.sessions.iter().filter(|(_, (at, ..))| *at == n).map(|(id, _)| *id).collect();
        if machine_lives {
            for session in mine {
                self.after(1_000, Event::Closed(session));
            }
        }
        let quiet = self.now.saturating_sub(self.disturbed) > 10 * SECOND;
        if let Some(incarnation) = incarnation
            && machine_lives
            && !cut
            && is_seen
            && quiet
        {
            let since = self.now;
            self.after(9 * SECOND, Event::IsFree { switch: n, incarnation, since, is_dead: true });
        } else {
            self.disturbed = self.now;
        }
    }

    /// How long the database's machine goes on with a connection that it hears nothing of.
    fn patience(&self) -> Time {
        u64::try_from(self.plan.timing.lease.as_micros()).unwrap() * 3 / 2 + 10 * SECOND
    }

    /// Whether another switch has known this one for long enough, and still asks the database.
    fn is_watched(&self, n: usize, since: Time) -> bool {
        let watches = |node: &Node| {
            let connected = node.session.is_some() && node.connected + 10 * SECOND < since;
            node.alive && !node.cut && !node.paused && connected
        };
        self.nodes.iter().enumerate().any(|(other, node)| other != n && watches(node))
    }

    fn cut(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        if node.cut {
            return;
        }
        node.cut = true;
        self.counts.cuts += 1;
        let node = &self.nodes[n];
        if let Some(session) = node.session {
            let patience = self.patience();
            self.after(patience, Event::GivenUp { switch: n, session });
        }
        let node = &self.nodes[n];
        let quiet = self.now.saturating_sub(self.disturbed) > 10 * SECOND;
        let heard = !node.paused && node.unanswered.is_none();
        let (alive, session) = (node.alive && heard, node.session.is_some());
        if let (Some(incarnation), true, true) = (node.incarnation, alive && session, quiet) {
            let since = self.now;
            let lease = Timing::for_certain(self.plan.timing.lease + self.plan.timing.renew * 2);
            let within = u64::try_from(lease.as_micros()).unwrap() + 2 * SECOND;
            self.after(within, Event::IsFree { switch: n, incarnation, since, is_dead: false });
        } else {
            self.disturbed = self.now;
        }
    }

    fn is_free(
        &mut self,
        n: usize,
        incarnation: i64,
        since: Time,
        is_dead: bool,
    ) -> std::result::Result<(), String> {
        // Whatever else went wrong meanwhile may have kept the others from it.
        let disturbed = self.disturbed > since || self.plan.late > 0 || !self.database_up;
        if disturbed || !self.is_watched(n, since) {
            return Ok(());
        }
        for (key, ledger) in self.ledgers.all() {
            let name = &self.nodes[n].name;
            let held = ledger.holders.get(name).filter(|held| held.incarnation == incarnation);
            let Some(held) = held else { continue };
            if is_dead || held.slots > held.told {
                return Err(format!("at {}: {key} of {name} is not free: {held:?}", self.now));
            }
        }
        match is_dead {
            true => self.counts.dead_found += 1,
            false => self.counts.late_found += 1,
        }
        Ok(())
    }

    fn mend(&mut self, n: usize) {
        self.disturbed = self.now;
        self.nodes[n].cut = false;
        // The machine says once more what nobody has heard.
        for session in std::mem::take(&mut self.unheard) {
            match self.sessions.get(&session) {
                Some((switch, ..)) if *switch == n => self.after(300_000, Event::Closed(session)),
                Some(_) => self.unheard.push(session),
                None => {}
            }
        }
    }

    fn end_database(&mut self) {
        self.disturbed = self.now;
        self.database_up = false;
        let sessions: Vec<u64> = std::mem::take(&mut self.sessions).into_keys().collect();
        self.unheard.clear();
        for session in sessions {
            let delay = self.latency();
            self.after(delay, Event::LinkLost { session });
        }
        let away = self.rng.u64(SECOND..25 * SECOND);
        self.after(away, Event::DatabaseUp);
    }

    fn pause(&mut self, n: usize) {
        self.disturbed = self.now;
        let keys: Vec<Key> =
            (0..self.plan.limits.len()).map(|limit| self.plan.key(limit)).collect();
        let node = &mut self.nodes[n];
        let far = node.clock(self.now) + self.plan.timing.lease;
        let told = keys.iter().map(|key| usize::MAX - node.leases.over(far, key, usize::MAX));
        let told = told.collect();
        node.paused = true;
        self.history.note(self.now, n, Fact::Paused { told });
        let long = self.rng.u64(SECOND..30 * SECOND);
        self.after(long, Event::Resume { switch: n });
    }

    fn resume(&mut self, n: usize) {
        self.disturbed = self.now;
        if !self.nodes[n].alive || !self.nodes[n].paused {
            return;
        }
        self.nodes[n].paused = false;
        self.end_over_lease(n);
        self.history.note(self.now, n, Fact::Resumed);
        self.pump(n);
    }

    /// All switches are told of another limit, one after the other, but for those that do not run.
    fn change_limit(&mut self) {
        let limit = self.rng.usize(..self.plan.limits.len());
        let max = self.rng.usize(1..=self.plan.switches * 4);
        // A higher one is in force as soon as it is said, a lower one once all have heard of it.
        if max > self.history.max(self.now, limit) {
            self.history.limit(self.now, limit, max);
        }
        self.plan.limits[limit] = max;
        for n in 0..self.nodes.len() {
            self.nodes[n].maxima[limit] = max;
            if self.nodes[n].alive {
                self.configure(n);
                if !self.nodes[n].paused {
                    self.pump(n);
                }
            }
        }
    }

    /// Nothing goes wrong any more, and everybody is back.
    pub(super) fn calm_down(&mut self) {
        self.calm = true;
        for n in 0..self.nodes.len() {
            self.mend(n);
            self.nodes[n].unanswered = None;
            if !self.nodes[n].alive {
                self.start(n);
            } else if self.nodes[n].paused {
                self.resume(n);
            }
        }
        if !self.database_up {
            self.after(0, Event::DatabaseUp);
        }
    }

    /// Calls that end by themselves end now, and lowered limits are in force.
    pub(super) fn fall_silent(&mut self) {
        for n in 0..self.nodes.len() {
            for limit in 0..self.plan.limits.len() {
                for call in self.nodes[n].up[limit].clone() {
                    self.hang_up(n, limit, call);
                }
            }
        }
        for (limit, max) in self.plan.limits.iter().enumerate() {
            self.history.limit(self.now, limit, *max);
        }
    }

    /// One switch takes whatever it gets of a limit: how many slots.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub(super) fn take_all(&mut self, limit: usize) -> std::result::Result<usize, String> {
        let n = self.rng.usize(..self.nodes.len());
        for _ in 0..80 {
            self.run(self.now + 100_000)?;
            while self.try_call(n, &[limit]) {}
            self.pump(n);
        }
        Ok(self.nodes[n].up[limit].len())
    }

    /// What is wrong with the ledgers once all is calm.
    pub(super) fn ledgers_are_whole(&self) -> std::result::Result<(), String> {
        for (key, ledger) in self.ledgers.all() {
            if ledger.held() > ledger.max() {
                return Err(format!("{key}: {} of {} slots are held", ledger.held(), ledger.max()));
            }
            for (name, holding) in &ledger.holders {
                let node = self.nodes.iter().find(|node| node.name == *name);
                if node.and_then(|node| node.incarnation) != Some(holding.incarnation) {
                    return Err(format!("{key}: {name} does not live and holds {holding:?}"));
                }
                if holding.need == Need::Now && holding.wants > 0 && ledger.free() > 0 {
                    return Err(format!("{key}: {name} gets nothing of what is free"));
                }
            }
        }
        Ok(())
    }
}
