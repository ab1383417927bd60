//! Three switches with one database of PostgreSQL, each in a network namespace of its own, under load: each switch,
//! the database and single processes of it are killed (SIGKILL) again and again, and links between them are cut.
//! Whatever dies, no end of a call and no registration that was acknowledged is missing, each end is recorded once,
//! the limit that the switches share is never passed, and no call ends that does not concern the one that died.
//!
//! A few kills by default; `ONEPORT_KILLS=50` makes as many.

mod line;
mod town;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use line::Line;
use oneport::{
    Application, Call, CallEnd, CallError, CallId, CauseCode, Driver, DriverConfig, EndReason,
    Format, NewCall, Phone, PhoneConfig, Registration, RegistrationConfig, RegistrationEvent,
    Secret,
};
use oneport_interop::echo;
use oneport_proto::{Endpoint, EndpointConfig, Event};
use tokio::sync::RwLock;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use town::{LEASE, PHONES, PLACES, Running, SWITCHES, Town};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// So many are up where the limit is full: one slot may be between two calls just now.
const FULL: usize = PLACES - 1;

/// Callers at each switch whose calls it ends itself, after a second.
const SHORT_CALLS: usize = 3;

/// How long an answer may take before a caller or a phone tries elsewhere, or once more.
const ANSWER: Duration = Duration::from_secs(5);

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until something is so.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    let seen = async {
        while !is_so() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, seen).await.unwrap_or_else(|_| panic!("{what}: not in time"));
    println!("{what}: after {:.1} s", begun.elapsed().as_secs_f64());
}

/// Calls under the limit at each switch. A call is counted from when its caller knows of it until that hangs up: so
/// no more are counted than there are.
#[derive(Debug, Default)]
struct Counted {
    up: [usize; 3],
    /// The most at once: ever, and since somebody began to watch.
    most: usize,
    lately: usize,
    /// Calls that began at each.
    begun: [u64; 3],
    /// Calls at each that ended though nobody hung up.
    dropped: [u64; 3],
}

type Limit = Arc<Mutex<Counted>>;

/// Calls a switch again and again, whether it takes calls or not.
struct Crowd {
    at: usize,
    to: SocketAddr,
    limit: Limit,
    trying: Option<CallId>,
    /// Calls that are up, and when each is hung up.
    up: Vec<(oneport_proto::Instant, CallId)>,
    waits: Option<oneport_proto::Instant>,
}

impl Crowd {
    fn call(&mut self, endpoint: &mut Endpoint, now: oneport_proto::Instant) {
        let mut call = NewCall::to("600");
        call.username = Some("box".into());
        call.calling_number = Some("crowd".into());
        self.trying = endpoint.place_call(now, self.to, call).ok();
    }

    /// The next call, more than there is room for.
    fn again(&mut self, now: oneport_proto::Instant) {
        self.trying = None;
        self.waits = Some(now + Duration::from_millis(fastrand::u64(50..150)));
    }

    fn ended(&self) {
        lock(&self.limit).up[self.at] -= 1;
    }
}

impl Application for Crowd {
    fn start(&mut self, endpoint: &mut Endpoint, now: oneport_proto::Instant) {
        self.call(endpoint, now);
    }

    fn handle_event(&mut self, _: &mut Endpoint, now: oneport_proto::Instant, event: Event) {
        match event {
            Event::CallAnswered { call } if self.trying == Some(call) => {
                {
                    let mut counted = lock(&self.limit);
                    counted.up[self.at] += 1;
                    counted.begun[self.at] += 1;
                    let sum = counted.up.iter().sum();
                    counted.most = counted.most.max(sum);
                    counted.lately = counted.lately.max(sum);
                }
                let long = Duration::from_millis(fastrand::u64(4_000..12_000));
                self.up.push((now + long, call));
                self.again(now);
            }
            Event::CallEnded { call, .. } if self.trying == Some(call) => {
                self.again(now);
            }
            Event::CallEnded { call, .. } => {
                let before = self.up.len();
                self.up.retain(|(_, up)| *up != call);
                if self.up.len() < before {
                    self.ended();
                    lock(&self.limit).dropped[self.at] += 1;
                }
            }
            _ => {}
        }
    }

    fn poll_timeout(&self) -> Option<oneport_proto::Instant> {
        self.up.iter().map(|(ends, _)| *ends).chain(self.waits).min()
    }

    fn handle_timeout(&mut self, endpoint: &mut Endpoint, now: oneport_proto::Instant) {
        if self.waits.take_if(|waits| *waits <= now).is_some() {
            self.call(endpoint, now);
        }
        let (over, up) = self.up.iter().partition(|(ends, _)| *ends <= now);
        self.up = up;
        for (_, call) in over {
            self.ended();
            let _ = endpoint.hangup(now, call, CauseCode::NORMAL_CLEARING, None);
        }
    }
}

/// What was acknowledged.
#[derive(Default)]
struct Told {
    /// Calling numbers of calls of which their callers have heard that they have ended.
    ended: BTreeSet<String>,
    /// How many at each switch.
    ended_at: [u64; 3],
    /// For each phone the addresses it asked for since the last that was acknowledged, that first.
    phones: BTreeMap<String, Vec<SocketAddr>>,
    acknowledged: BTreeSet<String>,
    registrations: u64,
    /// Whoever registers reads; whoever looks who is registered writes, so that nobody registers meanwhile.
    registering: Arc<RwLock<()>>,
}

/// One call after another that the switch ends. Only what the switch has said itself counts as acknowledged.
async fn caller(town: Arc<Town>, at: usize, name: String, told: Arc<Mutex<Told>>) {
    let mut line = Line::new(town.here(), town.switch(at)).await;
    for number in 0.. {
        let calling = format!("{name}-{number}");
        match timeout(ANSWER, line.call("short", &calling)).await {
            Ok(Some(call)) => {
                let end = timeout(ANSWER, line.hear_the_end(call)).await;
                if matches!(end, Ok(EndReason::RemoteHangup)) {
                    let mut told = lock(&told);
                    told.ended.insert(calling);
                    told.ended_at[at] += 1;
                    continue;
                }
                line = Line::new(town.here(), town.switch(at)).await;
            }
            Ok(None) => sleep(Duration::from_millis(50)).await,
            Err(_) => line = Line::new(town.here(), town.switch(at)).await,
        }
    }
}

/// A phone that registers at one switch or another, each time from another port.
async fn phone(town: Arc<Town>, name: String, told: Arc<Mutex<Told>>) {
    let registering = Arc::clone(&lock(&told).registering);
    loop {
        let _registers = registering.read().await;
        let at = fastrand::usize(..SWITCHES.len());
        let mut line = Line::new(town.here(), town.switch(at)).await;
        let address = line.socket.local_addr().expect("bound");
        lock(&told).phones.entry(name.clone()).or_default().push(address);
        if timeout(ANSWER, line.register(&name)).await.is_err() {
            continue;
        }
        {
            let mut told = lock(&told);
            told.acknowledged.insert(name.clone());
            told.registrations += 1;
            // What was asked for before does not count any more.
            told.phones.insert(name.clone(), vec![address]);
        }
        // The acknowledgement of REGACK leaves.
        let _ = timeout(Duration::from_millis(200), line.step()).await;
    }
}

/// A call from one switch to the phone at another, with voice both ways.
struct Cross {
    from: usize,
    to: usize,
    /// Frames that came back.
    heard: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    _talk: JoinSet<()>,
}

impl Cross {
    fn concerns(&self, switch: usize) -> bool {
        [self.from, self.to].contains(&switch)
    }

    fn name(&self) -> String {
        format!("the call from {} to {}", SWITCHES[self.from], SWITCHES[self.to])
    }
}

/// Says something all the time, and counts what comes back.
async fn talk(mut call: Call, heard: Arc<AtomicU64>, over: Arc<AtomicBool>) {
    let (mut ear, speaker) = call.audio().await.expect("answered");
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    loop {
        tokio::select! {
            _ = pace.tick() => speaker.send(Format::ULAW, &[0x55; 160], 20),
            frame = ear.next_frame() => {
                if frame.is_none() {
                    break;
                }
                heard.fetch_add(1, Ordering::Relaxed);
            }
            event = call.next_event() => if event.is_none() { break },
        }
    }
    over.store(true, Ordering::Relaxed);
}

fn telephone(town: &Town) -> Arc<Phone> {
    let listen = vec![(town.here(), 0).into()];
    Phone::bind(PhoneConfig { listen, ..PhoneConfig::default() }).expect("bound").into()
}

/// All that goes on.
struct Scene {
    switches: Vec<Option<Running>>,
    crowds: Vec<Option<Driver<Crowd>>>,
    limit: Limit,
    told: Arc<Mutex<Told>>,
    load: JoinSet<()>,
    caller: Arc<Phone>,
    crosses: Vec<Cross>,
    _registrations: Vec<Registration>,
    /// Processes that were killed.
    kills: usize,
    /// How long it took until others had all slots of a dead switch.
    freed: Vec<Duration>,
    town: Arc<Town>,
}

impl Scene {
    async fn start() -> Self {
        let town = Arc::new(Town::new());
        let caller = telephone(&town);
        let mut scene = Self {
            switches: (0..SWITCHES.len()).map(|n| Some(town.start(n))).collect(),
            crowds: SWITCHES.map(|_| None).into(),
            limit: Limit::default(),
            told: Arc::default(),
            load: JoinSet::new(),
            caller,
            crosses: Vec::new(),
            _registrations: Vec::new(),
            kills: 0,
            freed: Vec::new(),
            town,
        };
        for n in 0..SWITCHES.len() {
            scene.crowd(n);
        }
        for n in 0..SWITCHES.len() {
            scene.takes_calls(n, 0).await;
            let phone = telephone(&scene.town);
            let registration = scene.register(&phone, n).await;
            scene._registrations.push(registration);
            scene.load.spawn(echo(phone));
        }
        for n in 0..SWITCHES.len() * SHORT_CALLS {
            let (town, told) = (Arc::clone(&scene.town), Arc::clone(&scene.told));
            scene.load.spawn(self::caller(town, n % 3, format!("acked{n}"), told));
        }
        for n in 0..PHONES {
            let (town, told) = (Arc::clone(&scene.town), Arc::clone(&scene.told));
            scene.load.spawn(phone(town, format!("phone{n}"), told));
        }
        scene.connect_all().await;
        scene.fills_up().await;
        scene
    }

    fn crowd(&mut self, n: usize) {
        let (to, limit) = (self.town.switch(n), Arc::clone(&self.limit));
        let crowd = Crowd { at: n, to, limit, trying: None, up: Vec::new(), waits: None };
        let endpoint =
            EndpointConfig { max_calls_per_address: 10_000, ..EndpointConfig::default() };
        let listen = vec![(self.town.here(), 0).into()];
        let config = DriverConfig { listen, endpoint, ..DriverConfig::default() };
        self.crowds[n] = Some(Driver::start(config, crowd).expect("it starts"));
    }

    /// Waits until a switch has taken a call under the limit, after so many.
    async fn takes_calls(&self, n: usize, begun: u64) {
        let what = format!("{} takes calls", SWITCHES[n]);
        until(&what, || lock(&self.limit).begun[n] > begun).await;
    }

    /// Waits until the limit is full.
    async fn fills_up(&self) {
        {
            let mut counted = lock(&self.limit);
            counted.lately = counted.up.iter().sum();
        }
        until("the limit is full", || lock(&self.limit).lately >= FULL).await;
    }

    /// Waits until a switch has ended one more call, and has told its caller so.
    async fn ends_calls(&self, n: usize) {
        let ended = lock(&self.told).ended_at[n];
        let what = format!("{} ends calls", SWITCHES[n]);
        until(&what, || lock(&self.told).ended_at[n] > ended).await;
    }

    async fn register(&self, phone: &Phone, n: usize) -> Registration {
        let config = RegistrationConfig {
            to: self.town.switch(n),
            others: Vec::new(),
            username: format!("at{n}"),
            secret: Some(Secret::from("here")),
            key: None,
            allow_plaintext: false,
            refresh: Duration::from_secs(3_600),
        };
        let mut registration = phone.register(config).await.expect("running");
        let event = timeout(PATIENCE, registration.next_event()).await.expect("in time");
        assert!(matches!(event, Some(RegistrationEvent::Registered { .. })), "{event:?}");
        registration
    }

    /// A call through a switch to the phone at another: answered, or how it ended.
    async fn call(&self, from: usize, to: usize) -> Result<Call, Option<Box<CallEnd>>> {
        let mut new = NewCall::to(format!("at{to}"));
        new.username = Some("load".into());
        new.secret = Some(Secret::from("heavy"));
        new.formats = vec![Format::ULAW];
        let mut call = self.caller.call(self.town.switch(from), new).await.expect("placed");
        match timeout(ANSWER, call.answered()).await {
            Ok(Ok(_)) => Ok(call),
            Ok(Err(CallError::Ended(end))) => Err(Some(end)),
            Ok(Err(error)) => panic!("{error}"),
            Err(_) => Err(None),
        }
    }

    /// All calls between switches that there are not are made.
    async fn connect_all(&mut self) {
        for (from, to) in [(0, 1), (1, 2), (2, 0), (1, 0), (2, 1), (0, 2)] {
            if self.crosses.iter().any(|cross| (cross.from, cross.to) == (from, to)) {
                continue;
            }
            let connects = async {
                loop {
                    match self.call(from, to).await {
                        Ok(call) => return call,
                        Err(_) => sleep(Duration::from_millis(100)).await,
                    }
                }
            };
            let call = timeout(PATIENCE, connects).await;
            let call = call.unwrap_or_else(|_| panic!("{from} never reaches {to}"));
            let (heard, over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
            let mut task = JoinSet::new();
            task.spawn(talk(call, Arc::clone(&heard), Arc::clone(&over)));
            self.crosses.push(Cross { from, to, heard, over, _talk: task });
        }
    }

    /// Calls that are meant go on: more is heard of each. None under the limit has ended by itself, and there were
    /// never too many.
    async fn go_on(&self, is_meant: impl Fn(&Cross) -> bool) {
        let meant = self.crosses.iter().filter(|cross| is_meant(cross));
        let meant: Vec<_> =
            meant.map(|cross| (cross, cross.heard.load(Ordering::Relaxed) + 25)).collect();
        for (cross, heard) in meant {
            let what = cross.name();
            until(&what, || {
                assert!(!cross.over.load(Ordering::Relaxed), "{what} has ended");
                cross.heard.load(Ordering::Relaxed) >= heard
            })
            .await;
        }
        let counted = lock(&self.limit);
        assert!(counted.most <= PLACES, "{} calls of {PLACES}", counted.most);
        assert_eq!(counted.dropped, [0; 3], "nobody hung up");
    }

    /// Calls from one switch to the phone at another are refused before long, as that does not answer.
    async fn is_not_reached(&self, from: usize, to: usize) {
        let refused = async {
            loop {
                match self.call(from, to).await {
                    Err(Some(end)) if end.cause == CauseCode::DESTINATION_OUT_OF_ORDER => return,
                    _ => sleep(Duration::from_millis(50)).await,
                }
            }
        };
        let refused = timeout(PATIENCE, refused).await;
        refused.unwrap_or_else(|_| panic!("{from} goes on calling {to}"));
    }

    /// A switch is killed under calls; those of the others go on. When it was.
    async fn kill(&mut self, n: usize) -> Instant {
        // So many that the limit is not full without them.
        let what = format!("{} has calls", SWITCHES[n]);
        until(&what, || lock(&self.limit).up[n] > PLACES - FULL).await;
        drop(self.switches[n].take());
        let killed = Instant::now();
        self.kills += 1;
        // Its calls are over, whatever their callers know.
        if let Some(crowd) = self.crowds[n].take() {
            crowd.stop().await;
        }
        {
            let mut counted = lock(&self.limit);
            (counted.up[n], counted.dropped[n]) = (0, 0);
        }
        self.crosses.retain(|cross| !cross.concerns(n));
        self.go_on(|_| true).await;
        killed
    }

    /// The others have its slots, and know that it is not there.
    async fn is_missed(&mut self, n: usize, killed: Instant) {
        self.fills_up().await;
        self.freed.push(killed.elapsed());
        for other in (0..SWITCHES.len()).filter(|other| *other != n) {
            self.is_not_reached(other, n).await;
        }
        self.go_on(|_| true).await;
    }

    fn start_again(&mut self, n: usize) {
        self.switches[n] = Some(self.town.start(n));
        self.crowd(n);
    }

    /// All is as it was at the beginning, and nothing that was acknowledged is missing.
    async fn is_well_again(&mut self) {
        let begun = lock(&self.limit).begun;
        for (n, begun) in begun.into_iter().enumerate() {
            self.takes_calls(n, begun).await;
            self.ends_calls(n).await;
        }
        self.connect_all().await;
        self.fills_up().await;
        self.go_on(|_| true).await;
        self.nothing_is_lost().await;
    }

    /// The database is killed, and starts again so much later. A switch may be killed meanwhile, and start again.
    async fn kill_the_database(&mut self, away: Duration, switch: Option<usize>) {
        self.town.database.kill();
        self.kills += 1;
        sleep(away / 2).await;
        if let Some(n) = switch {
            self.kill(n).await;
            self.start_again(n);
        }
        sleep(away / 2).await;
        for n in 0..SWITCHES.len() {
            self.ends_calls(n).await;
        }
        self.go_on(|_| true).await;
        self.town.database.start_again();
    }

    /// A switch does not hear the database for so long, but goes on taking calls.
    async fn cut_from_the_database(&self, n: usize, long: Duration) {
        self.town.cut(n, "in", "tcp sport 5432");
        sleep(long).await;
        let begun = lock(&self.limit).begun[n];
        self.takes_calls(n, begun).await;
        self.ends_calls(n).await;
        self.go_on(|_| true).await;
        self.town.mend(n);
    }

    /// A switch and the rest, the database among it, hear nothing of each other for so long. Only callers reach it.
    async fn cut_off(&mut self, n: usize, long: Duration) {
        self.town.cut(n, "in", "tcp sport 5432");
        self.town.cut(n, "out", "tcp dport 5432");
        let others = (0..SWITCHES.len()).filter(|other| *other != n);
        for other in others.clone() {
            let other = self.town.switch(other).ip();
            self.town.cut(n, "in", &format!("ip saddr {other}"));
            self.town.cut(n, "out", &format!("ip daddr {other}"));
        }
        sleep(long).await;
        let begun = lock(&self.limit).begun[n];
        self.takes_calls(n, begun).await;
        self.ends_calls(n).await;
        for other in others {
            self.is_not_reached(n, other).await;
            self.is_not_reached(other, n).await;
        }
        self.go_on(|cross| !cross.concerns(n)).await;
        self.town.mend(n);
        self.crosses.retain(|cross| !cross.concerns(n));
    }

    /// One switch does not hear another.
    async fn cut_between(&mut self, one: usize, other: usize) {
        self.town.cut(one, "in", &format!("ip saddr {}", self.town.switch(other).ip()));
        self.is_not_reached(one, other).await;
        self.is_not_reached(other, one).await;
        self.go_on(|cross| !(cross.concerns(one) && cross.concerns(other))).await;
        self.town.mend(one);
        self.crosses.retain(|cross| !(cross.concerns(one) && cross.concerns(other)));
    }

    /// What was acknowledged is in the database before long, and no record is there twice.
    async fn nothing_is_lost(&self) {
        let registering = Arc::clone(&lock(&self.told).registering);
        let _nobody_registers = registering.write().await;
        let ended = lock(&self.told).ended.clone();
        let missing = || {
            let recorded = self.town.rows(
                "SELECT calling_number, count(*) FROM cdr WHERE calling_number LIKE 'acked%' GROUP BY 1",
            );
            let twice: Vec<_> = recorded.iter().filter(|(_, count)| *count != "1").collect();
            assert!(twice.is_empty(), "there more than once: {twice:?}");
            let ended = ended.iter().filter(|number| !recorded.contains_key(*number));
            let mut missing: Vec<String> = ended.cloned().collect();
            let standing = self.town.rows("SELECT peer, address FROM registration WHERE NOT gone");
            let told = lock(&self.told);
            for name in &told.acknowledged {
                let address = standing.get(name).and_then(|address| address.parse().ok());
                let asked = &told.phones[name];
                if !address.is_some_and(|address| asked.contains(&address)) {
                    missing.push(format!("{name} is at {address:?}, not {asked:?}"));
                }
            }
            missing
        };
        let begun = Instant::now();
        while let missing = missing()
            && !missing.is_empty()
        {
            assert!(begun.elapsed() < PATIENCE, "it is lost: {missing:?}");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{:?}", lock(&self.limit));
            self.town.print_logs();
        }
    }
}

/// How many calls were up at once under the limit, of those whose ends are recorded.
const MOST_RECORDED: &str = "SELECT 'most', max(up) FROM (\
        SELECT sum(change) OVER (ORDER BY moment, change ROWS UNBOUNDED PRECEDING) AS up FROM (\
            SELECT answer_time, 1 FROM cdr WHERE calling_number = 'crowd' AND answer_time IS NOT NULL \
            UNION ALL \
            SELECT end_time, -1 FROM cdr WHERE calling_number = 'crowd' AND answer_time IS NOT NULL\
        ) AS changes (moment, change)) AS sums";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn at_postgresql_three_switches_outlive_whatever_is_killed_and_whatever_is_cut() {
    let kills = std::env::var("ONEPORT_KILLS");
    let kills: usize = kills.map_or(4, |text| text.parse().expect("a number"));
    let mut scene = Scene::start().await;
    let mut step = 0;
    while scene.kills < kills {
        let (round, begun) = (step / 5, Instant::now());
        let is_odd = round % 2 == 1;
        let one = (step + round) % SWITCHES.len();
        let other = (one + 1) % SWITCHES.len();
        match step % 5 {
            0 => {
                let killed = scene.kill(one).await;
                scene.is_missed(one, killed).await;
                scene.start_again(one);
            }
            1 if is_odd => scene.kill_the_database(LEASE * 2, Some(one)).await,
            1 => scene.kill_the_database(LEASE / 4, None).await,
            2 => {
                scene.kill(one).await;
                scene.start_again(one);
            }
            3 => {
                scene.town.database.kill_one(round);
                scene.kills += 1;
            }
            _ => {
                scene.kill(one).await;
                scene.kill(other).await;
                scene.start_again(other);
                scene.start_again(one);
            }
        }
        scene.is_well_again().await;
        match step % 5 {
            0 => scene.cut_between(one, other).await,
            2 if is_odd => scene.cut_off(one, LEASE * 2).await,
            2 => scene.cut_from_the_database(one, LEASE / 3).await,
            _ => {}
        }
        if matches!(step % 5, 0 | 2) {
            scene.is_well_again().await;
        }
        step += 1;
        println!("{} kills: {:.1} s", scene.kills, begun.elapsed().as_secs_f64());
    }
    scene.load.shutdown().await;
    scene.nothing_is_lost().await;
    let recorded: usize = scene.town.rows(MOST_RECORDED)["most"].parse().expect("a number");
    assert!(recorded <= PLACES, "{recorded} calls of {PLACES}");
    let (told, counted) = (lock(&scene.told), lock(&scene.limit));
    let begun: u64 = counted.begun.iter().sum();
    println!(
        "{} kills: {} ends of calls and {} registrations acknowledged, none lost; {begun} calls under a limit of \
         {PLACES}, at most {} at once, {recorded} by the records; slots of the dead in use by others after {:?}",
        scene.kills,
        told.ended.len(),
        told.registrations,
        counted.most,
        scene.freed
    );
    assert_eq!(counted.most, PLACES);
    assert!(told.ended.len() >= 10 && told.registrations >= 10, "it was idle");
}
