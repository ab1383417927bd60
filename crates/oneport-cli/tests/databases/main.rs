//! The command with records on a database server: `serve` through an outage, `cdr`, `why`, and `state` from
//! one database into another; and several switches with one of PostgreSQL.

mod configuration;
mod switches;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use oneport_testkit::peers::database::{DatabaseServer, Kind, PASSWORD};

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(120);

struct Serve {
    process: Child,
    switch: SocketAddr,
    api: String,
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn command(state: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oneport"));
    command.args(arguments).env("STATE_DIRECTORY", state).env_remove("ONEPORT_API_TOKEN");
    command.current_dir(state).stdin(Stdio::null());
    command
}

fn run(state: &Path, arguments: &[&str]) -> Output {
    command(state, arguments).output().expect("it runs")
}

/// What it says when it does what it is told.
fn said(state: &Path, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = run(state, arguments);
    assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("text")
}

/// What it says when it refuses.
fn refused(state: &Path, arguments: &[&str]) -> String {
    let Output { status, stderr, .. } = run(state, arguments);
    assert!(!status.success(), "{arguments:?} is taken");
    String::from_utf8(stderr).expect("text")
}

fn serve(state: &Path, config: &str) -> Serve {
    let log = fs::File::options().create(true).append(true).open(state.join("log"));
    let mut process =
        command(state, &["serve", "--api", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--config"])
            .arg(config)
            .stdout(Stdio::piped())
            .stderr(log.expect("writable"))
            .spawn()
            .expect("it starts");
    let output = BufReader::new(process.stdout.take().expect("piped"));
    let mut lines = output.lines().map(|line| line.expect("text"));
    let first = lines.next().expect("it says where it listens");
    let switch = first.split_whitespace().last().and_then(|word| word.parse().ok());
    let api = lines.find_map(|line| {
        let (_, rest) = line.split_once("http://")?;
        Some(rest.split(['/', ' ']).next().unwrap_or(rest).to_string())
    });
    Serve {
        process,
        switch: switch.unwrap_or_else(|| panic!("no address in {first:?}")),
        api: api.expect("it says where its API listens"),
    }
}

impl Serve {
    /// A call that ends, and that its caller was told has ended.
    fn call(&self, state: &Path) {
        let target = format!("{}/milliwatt", self.switch);
        said(state, &["call", &target, "--duration", "100ms"]);
    }

    fn status(&self, state: &Path) -> Output {
        run(state, &["status", "--api", &self.api])
    }

    /// Waits until it is well.
    fn recovers(&self, state: &Path) {
        let start = Instant::now();
        while !self.status(state).status.success() {
            assert!(start.elapsed() < PATIENCE, "{:?}", self.status(state));
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// A configuration whose records are on `server`.
fn configured(state: &Path, server: &DatabaseServer) {
    let url = server.new_database();
    fs::write(state.join("password"), PASSWORD).expect("writable");
    let text = format!(
        "[overload]\nenabled = false\n[store]\nurl = \"{url}\"\nsecret_file = \"{}/password\"\n",
        state.display()
    );
    fs::write(state.join("oneport.toml"), text).expect("writable");
}

fn an_outage_is_told_stops_no_call_and_leaves_no_gap(kind: Kind) {
    let server = DatabaseServer::start(kind);
    let directory = tempfile::tempdir().expect("a directory");
    let state = directory.path();
    configured(state, &server);
    let switch = serve(state, "oneport.toml");
    switch.call(state);
    assert!(switch.status(state).status.success(), "{:?}", switch.status(state));
    server.kill();
    switch.call(state);
    switch.call(state);
    let status = switch.status(state);
    let told = String::from_utf8_lossy(&status.stderr).into_owned();
    assert!(!status.status.success() && told.contains("no database since"), "{told}");
    let exported = run(state, &["cdr", "export"]);
    assert!(!exported.status.success(), "there is no database to read");
    // It is killed with what waits, and its next start goes without a server, too.
    drop(switch);
    let switch = serve(state, "oneport.toml");
    switch.call(state);
    server.start_again();
    switch.recovers(state);
    let table = said(state, &["cdr", "export"]);
    assert_eq!(table.lines().count(), 1 + 4, "a record for each call:\n{table}");
    let log = fs::read_to_string(state.join("log")).expect("a log");
    assert!(log.contains("records wait on the disk of this machine"), "{log}");
    assert!(log.contains("has all records"), "{log}");
    assert!(!log.contains(PASSWORD), "{log}");
}

/// As after a power cut: the switch starts before its database.
fn who_was_registered_is_known_again_once_the_database_answers(kind: Kind) {
    let server = DatabaseServer::start(kind);
    let directory = tempfile::tempdir().expect("a directory");
    let state = directory.path();
    configured(state, &server);
    let file = state.join("oneport.toml");
    let text = fs::read_to_string(&file).expect("a configuration");
    let peers: String = ["ann", "bob", "cid"]
        .map(|name| format!("[peers.{name}]\nsecret = \"s\"\nmax_refresh = 3600\n"))
        .concat();
    fs::write(&file, text + &peers).expect("writable");
    let register = |switch: &Serve, name: &str, more: &[&str]| {
        let account = format!("iax:{name}@{}", switch.switch);
        let told = ["register", &account, "--refresh", "3600s", "--json"];
        let mut phone = command(state, &[&told[..], more].concat())
            .env("ONEPORT_SECRET", "s")
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let output = BufReader::new(phone.stdout.take().expect("piped"));
        let mut lines = output.lines().map(|line| line.expect("text"));
        assert!(lines.any(|line| line.contains("registered")), "{name}");
        phone
    };
    // Telephones that lose their power, and say nothing more.
    let die = |mut phone: Child| {
        phone.kill().expect("it runs");
        phone.wait().expect("it has ended");
    };
    let there = |switch: &Serve| -> Vec<(String, String)> {
        let all = said(state, &["show", "registrations", "--json", "--api", &switch.api]);
        let all: serde_json::Value = serde_json::from_str(&all).expect("JSON");
        let text = |one: &serde_json::Value| one.as_str().expect("text").to_string();
        let here = all["here"].as_array().expect("a list").iter();
        here.map(|one| (text(&one["name"]), text(&one["address"]))).collect()
    };
    let switch = serve(state, "oneport.toml");
    for name in ["ann", "bob", "cid"] {
        die(register(&switch, name, &[]));
    }
    let before = there(&switch);
    assert_eq!(before.len(), 3, "{before:?}");
    server.kill();
    drop(switch);
    let switch = serve(state, "oneport.toml");
    assert_eq!(there(&switch), []);
    // One is elsewhere now, and one has gone: that counts, and not what the database says of them.
    let bob = register(&switch, "bob", &[]);
    assert!(register(&switch, "cid", &["--once"]).wait().expect("it ends").success());
    server.start_again();
    let start = Instant::now();
    while there(&switch).len() < 2 {
        assert!(start.elapsed() < PATIENCE, "{:?}", there(&switch));
        std::thread::sleep(Duration::from_millis(100));
    }
    let now = there(&switch);
    assert_eq!(now.len(), 2, "{now:?}");
    assert_eq!(now[0], before[0], "ann is where she was");
    assert!(now[1].0 == "bob" && now[1].1 != before[1].1, "{now:?}, {before:?}");
    die(bob);
}

fn all_is_copied_from_sqlite_by_one_command_and_compared(kind: Kind) {
    let server = DatabaseServer::start(kind);
    let directory = tempfile::tempdir().expect("a directory");
    let state = directory.path();
    fs::write(state.join("old.toml"), "[store]\npath = \"oneport.db\"\n").expect("writable");
    let switch = serve(state, "old.toml");
    (0..3).for_each(|_| switch.call(state));
    drop(switch);
    configured(state, &server);
    let copy = ["state", "copy", "--database", "oneport.db", "--to-config", "oneport.toml"];
    let text = said(state, &copy);
    assert!(text.contains("and compared: 3 call detail records"), "{text}");
    let before = said(state, &["cdr", "export", "--database", "oneport.db"]);
    assert_eq!(said(state, &["cdr", "export"]), before);
    let file = said(state, &["state", "export"]);
    fs::write(state.join("state.jsonl"), &file).expect("writable");
    said(state, &["state", "import", "state.jsonl", "--database", "again.db"]);
    assert_eq!(said(state, &["state", "export", "--database", "again.db"]), file);
    let into_itself = ["state", "copy", "--to-config", "oneport.toml"];
    assert!(!run(state, &into_itself).status.success());
}

fn a_database_that_no_switch_has_used_is_said_to_be_empty_and_what_to_do(kind: Kind) {
    let server = DatabaseServer::start(kind);
    let directory = tempfile::tempdir().expect("a directory");
    let state = directory.path();
    configured(state, &server);
    for arguments in [&["state", "export"][..], &["cdr", "export"]] {
        let said = refused(state, arguments);
        let lines: Vec<&str> = said.lines().collect();
        let &[sentence, hint] = &lines[..] else { panic!("no sentence and a hint: {said}") };
        assert!(sentence.ends_with(": it is empty: no switch has used it yet"), "{said}");
        assert!(hint.starts_with("hint: ") && hint.contains("oneport serve"), "{said}");
    }
    // What the hint says mends it.
    drop(serve(state, "oneport.toml"));
    said(state, &["state", "export"]);
}

mod at_postgresql {
    use super::Kind::Postgres;

    #[test]
    fn an_outage_is_told_stops_no_call_and_leaves_no_gap() {
        super::an_outage_is_told_stops_no_call_and_leaves_no_gap(Postgres);
    }

    #[test]
    fn all_is_copied_from_sqlite_by_one_command_and_compared() {
        super::all_is_copied_from_sqlite_by_one_command_and_compared(Postgres);
    }

    #[test]
    fn a_database_that_no_switch_has_used_is_said_to_be_empty_and_what_to_do() {
        super::a_database_that_no_switch_has_used_is_said_to_be_empty_and_what_to_do(Postgres);
    }

    #[test]
    fn who_was_registered_is_known_again_once_the_database_answers() {
        super::who_was_registered_is_known_again_once_the_database_answers(Postgres);
    }
}

mod at_mariadb {
    use super::Kind::MariaDb;

    #[test]
    fn an_outage_is_told_stops_no_call_and_leaves_no_gap() {
        super::an_outage_is_told_stops_no_call_and_leaves_no_gap(MariaDb);
    }

    #[test]
    fn all_is_copied_from_sqlite_by_one_command_and_compared() {
        super::all_is_copied_from_sqlite_by_one_command_and_compared(MariaDb);
    }

    #[test]
    fn a_database_that_no_switch_has_used_is_said_to_be_empty_and_what_to_do() {
        super::a_database_that_no_switch_has_used_is_said_to_be_empty_and_what_to_do(MariaDb);
    }

    #[test]
    fn who_was_registered_is_known_again_once_the_database_answers() {
        super::who_was_registered_is_known_again_once_the_database_answers(MariaDb);
    }
}
