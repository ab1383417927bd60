//! `oneport serve` is killed (SIGKILL) under 500 calls, again and again, on the same database: no end
//! of a call and no registration that was acknowledged is missing in it, and it opens clean.
//!
//! A few rounds by default; `ONEPORT_KILLS=50` runs as many.

mod line;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path as FilePath;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use line::Line;
use oneport::CauseCode;
use oneport_proto::CallId;
use oneport_switch::store::{CdrFilter, Order, Paging, SqliteStore, Store};
use oneport_switch::{Cdr, Utc};
use tokio::sync::watch;
use tokio::time;

/// Calls that are up at the same time.
const CALLS: usize = 500;
/// Callers beside those whose calls are ended by the switch, after a second each.
const SHORT_CALLS: usize = 100;
/// Phones that register, again and again, each time from another port.
const PHONES: usize = 20;
/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the switch has acknowledged, and what it was asked for.
#[derive(Default)]
struct Told {
    up: usize,
    /// Calling numbers of calls whose HANGUP it acknowledged.
    hung_up: BTreeSet<String>,
    /// Those of calls that it has hung up.
    ended_there: BTreeSet<String>,
    /// For each phone the addresses it asked for since the last that was acknowledged, that first.
    phones: BTreeMap<String, Vec<SocketAddr>>,
    acknowledged: BTreeSet<String>,
}

/// Hangs up a call that is up, and waits until that is acknowledged.
async fn hang_up(line: &mut Line, call: CallId) {
    let now = line.now();
    line.endpoint.hangup(now, call, CauseCode::NORMAL_CLEARING, None).expect("it is up");
    while !line.endpoint.is_settled() {
        line.step().await;
    }
}

/// A caller: one call that is up until `pause` after `go`, and one after another from then on. Without
/// a pause it waits each time until the switch hangs up.
async fn caller(
    switch: SocketAddr,
    name: String,
    pause: Option<Duration>,
    told: Arc<Mutex<Told>>,
    mut go: watch::Receiver<bool>,
) {
    let mut line = Line::new(Ipv4Addr::LOCALHOST, switch).await;
    for number in 0.. {
        let calling = format!("{name}-{number}");
        let to = if pause.is_some() { "600" } else { "short" };
        let Some(call) = line.call(to, &calling).await else { continue };
        let Some(pause) = pause else {
            line.hear_the_end(call).await;
            told.lock().expect("whole").ended_there.insert(calling);
            continue;
        };
        told.lock().expect("whole").up += 1;
        if number == 0 {
            while !*go.borrow_and_update() {
                tokio::select! {
                    changed = go.changed() => changed.expect("the test goes on"),
                    () = line.step() => {}
                }
            }
            let ends = time::Instant::now() + pause;
            while time::Instant::now() < ends {
                let _ = time::timeout_at(ends, line.step()).await;
            }
        }
        hang_up(&mut line, call).await;
        told.lock().expect("whole").hung_up.insert(calling);
    }
}

/// A phone that registers, and moves to another port as soon as that is acknowledged.
async fn phone(switch: SocketAddr, name: String, told: Arc<Mutex<Told>>) {
    loop {
        let mut line = Line::new(Ipv4Addr::LOCALHOST, switch).await;
        let address = line.socket.local_addr().expect("bound");
        told.lock().expect("whole").phones.entry(name.clone()).or_default().push(address);
        line.register(&name).await;
        {
            let mut told = told.lock().expect("whole");
            told.acknowledged.insert(name.clone());
            // What was asked for before does not count any more.
            told.phones.insert(name.clone(), vec![address]);
        }
        // The acknowledgement of REGACK leaves.
        let _ = time::timeout(Duration::from_millis(20), line.step()).await;
    }
}

/// The switch as a process of its own.
fn serve(config: &FilePath) -> (Child, SocketAddr) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_oneport"))
        .args(["serve", "--no-api", "--config"])
        .arg(config)
        .env_remove("STATE_DIRECTORY")
        .env("ONEPORT_LOG", "warn")
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let first = lines.next().expect("it says where it listens").expect("text");
    let address = first.split_whitespace().last().and_then(|word| word.parse().ok());
    (child, address.unwrap_or_else(|| panic!("no address in {first:?}")))
}

fn configuration() -> String {
    let mut text = String::from(
        "[overload]
enabled = false
[server]
listen = [\"127.0.0.1:0\"]
max_challenges_per_user = 2000
[peers.load]
secret = \"heavy\"
[[routes]]
number = \"600\"
to = [\"builtin:echo\"]
[[routes]]
number = \"short\"
to = [\"builtin:echo\"]
max_duration_seconds = 1
",
    );
    for n in 0..PHONES {
        text +=
            &format!("[peers.phone{n}]\nsecret = \"here\"\nqualify = false\nmax_refresh = 3600\n");
    }
    text
}

/// The calling numbers of all records of a round, each once, by the reason of their end.
async fn recorded(store: &SqliteStore, round: usize) -> BTreeMap<String, Cdr> {
    let filter = CdrFilter { number: Some(format!("r{round}-*")), ..CdrFilter::default() };
    let mut paging = Paging { order: Order::OldestFirst, after: None, most: Paging::MOST };
    let mut all = BTreeMap::new();
    loop {
        let page = store.cdrs(&filter, paging).await.expect("read");
        for cdr in page.records {
            let number = cdr.calling_number.clone().expect("all say it");
            let twice = all.insert(number, cdr);
            assert_eq!(twice, None, "a record is there twice");
        }
        paging.after = page.next;
        if page.next.is_none() {
            return all;
        }
    }
}

#[tokio::test]
async fn nothing_that_was_acknowledged_is_missing_after_a_kill_under_five_hundred_calls() {
    let rounds: usize =
        std::env::var("ONEPORT_KILLS").map_or(3, |text| text.parse().expect("a number"));
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("oneport.toml");
    std::fs::write(&config, configuration()).expect("written");
    let database = directory.path().join("oneport.db");
    let (mut hung_up, mut ended_there, mut registered) = (0, 0, 0);
    for round in 0..rounds {
        let (mut child, switch) = serve(&config);
        let told = Arc::new(Mutex::new(Told::default()));
        let (go, gone) = watch::channel(false);
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..CALLS + SHORT_CALLS {
            let name = format!("r{round}-{n}");
            let pause = Duration::from_millis((n as u64 * 7_919 + round as u64 * 31) % 400);
            let pause = (n < CALLS).then_some(pause);
            tasks.spawn(caller(switch, name, pause, Arc::clone(&told), gone.clone()));
        }
        for n in 0..PHONES {
            tasks.spawn(phone(switch, format!("phone{n}"), Arc::clone(&told)));
        }
        let up = async {
            let is_ready = |told: &Told| told.up >= CALLS && told.ended_there.len() >= 10;
            while !is_ready(&told.lock().expect("whole")) {
                time::sleep(Duration::from_millis(5)).await;
            }
        };
        time::timeout(PATIENCE, up).await.expect("all calls are up in time");
        go.send(true).expect("callers wait");
        // Some have been acknowledged, and it is busy with others.
        let busy = async {
            while told.lock().expect("whole").hung_up.len() < 20 {
                time::sleep(Duration::from_millis(1)).await;
            }
            time::sleep(Duration::from_millis((round as u64 * 53) % 400)).await;
        };
        time::timeout(PATIENCE, busy).await.expect("calls end in time");
        child.kill().expect("it lives until now");
        child.wait().expect("it is dead");
        tasks.shutdown().await;
        drop(tasks);

        let store = SqliteStore::open(&database).await.expect("it opens");
        store.check().await.expect("it is clean");
        let told = std::mem::take(&mut *told.lock().expect("whole"));
        let cdrs = recorded(&store, round).await;
        for number in told.hung_up.iter().chain(&told.ended_there) {
            let cdr = cdrs.get(number);
            let cdr = cdr.unwrap_or_else(|| panic!("round {round}: {number} has no record"));
            assert!(cdr.answer.is_some() && cdr.end <= Utc::now());
        }
        let standing = store.registrations().await.expect("read");
        for name in &told.acknowledged {
            let found = standing.iter().find(|registration| registration.peer == *name);
            let found = found.unwrap_or_else(|| panic!("round {round}: {name} is not registered"));
            let address = found.address.parse().expect("an address");
            let asked = &told.phones[name];
            assert!(asked.contains(&address), "round {round}: {name} at {address}, not {asked:?}");
        }
        hung_up += told.hung_up.len();
        ended_there += told.ended_there.len();
        registered += told.acknowledged.len();
    }
    println!(
        "{rounds} kills: {hung_up} calls hung up and acknowledged, {ended_there} ended by the \
         switch, {registered} phones registered"
    );
    let busy = hung_up >= 20 * rounds && ended_there >= 10 * rounds && registered > 0;
    assert!(busy, "it was idle");
}
