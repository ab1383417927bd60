//! `oneport cdr export` and `oneport why`, on a database that a switch has written; and what a switch leaves when it
//! is stopped.

mod serving;

use std::path::Path;
use std::process::{Command, Output};

use oneport_switch::store::{Record, SqliteStore, Store};
use oneport_switch::{Cdr, HungUpBy, LegDirection, Quality, Refusal, Stage, Utc};
use serving::Serving;

const CALL: &str = "019c1f6e-5b1a-7c3e-9d7a-0a1b2c3d4e5f";

fn moment(text: &str) -> Utc {
    text.parse().expect("a moment")
}

fn cdr(leg: u32, end: &str) -> Cdr {
    Cdr {
        switch: None,
        call: CALL.parse().expect("an id"),
        leg,
        direction: if leg == 1 { LegDirection::In } else { LegDirection::Out },
        peer: Some("dialer".into()),
        address: "192.0.2.1:4569".into(),
        calling_number: Some("+49301234".into()),
        calling_name: Some("Doe, \"Jo\"".into()),
        called_number: "900".into(),
        dnid: None,
        rdnis: None,
        route: Some("out".into()),
        destination: Some("peer:media/900".into()),
        start: moment("2026-02-03T04:05:06Z"),
        answer: None,
        end: moment(end),
        duration_ms: 1_500,
        billable_ms: 0,
        reason: "remote_reject".into(),
        cause: 34,
        cause_text: Some("all lines busy".into()),
        hung_up_by: HungUpBy::Peer,
        codec: None,
        transcoded: None,
        encrypted: false,
        trunk: false,
        limit: None,
        account_code: None,
        quality: Quality { agreement: "unreported".into(), ..Quality::default() },
    }
}

fn refusal() -> Refusal {
    Refusal {
        switch: None,
        call: CALL.parse().expect("an id"),
        number: 1,
        at: moment("2026-02-03T04:05:07.500Z"),
        peer: Some("dialer".into()),
        address: "192.0.2.1:4569".into(),
        calling_number: None,
        called_number: "900".into(),
        stage: Stage::Limit,
        kind: "limit_calls".into(),
        rule: Some("limit carrier".into()),
        value: Some("30 of 30 calls".into()),
        destination: None,
        ended_call: true,
        cause: Some(34),
        said: None,
        why: "limit carrier is full: 30 of 30 calls".into(),
        fix: Some("raise max_calls of limit carrier".into()),
    }
}

/// A database and its configuration, in a directory of their own.
async fn written() -> (tempfile::TempDir, SqliteStore) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = SqliteStore::open(&directory.path().join("calls.db")).await.expect("opened");
    let cdrs = [cdr(1, "2026-02-03T04:05:08Z"), cdr(2, "2026-02-04T00:00:00Z")];
    let mut records = cdrs.map(|cdr| Record::Cdr(Box::new(cdr))).to_vec();
    records.push(Record::Refusal(Box::new(refusal())));
    store.write(&records).await.expect("written");
    let config = "[overload]\nenabled = false\n[store]\npath = \"calls.db\"\n";
    std::fs::write(directory.path().join("oneport.toml"), config).expect("written");
    (directory, store)
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oneport"));
    command.env_remove("STATE_DIRECTORY").current_dir(directory).args(arguments);
    command.output().expect("it runs")
}

fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("text")
}

#[tokio::test]
async fn records_are_exported_as_a_table_and_as_objects_while_a_switch_has_them_open() {
    let (directory, _store) = written().await;
    let table = run(directory.path(), &["cdr", "export"]);
    assert!(table.status.success(), "{table:?}");
    let lines: Vec<&str> = out(&table).lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].starts_with("call,leg,direction,peer,address,calling_number,"));
    let first = format!("{CALL},1,in,dialer,192.0.2.1:4569,+49301234,\"Doe, \"\"Jo\"\"\",900,");
    assert!(lines[1].starts_with(&first), "{}", lines[1]);
    let objects = run(directory.path(), &["cdr", "export", "--format", "json"]);
    let parsed: Vec<Cdr> = out(&objects)
        .lines()
        .map(|line| serde_json::from_str(line).expect("an object a line"))
        .collect();
    assert_eq!(parsed, [cdr(1, "2026-02-03T04:05:08Z"), cdr(2, "2026-02-04T00:00:00Z")]);
    for (filter, count) in [
        (&["--from", "2026-02-04"][..], 1),
        (&["--to", "2026-02-04"], 1),
        (&["--from", "2026-02-03T05:05:09+01:00", "--to", "2026-02-04T00:00:00.001Z"], 1),
        (&["--number", "+4930*"], 2),
        (&["--cause", "16"], 0),
        (&["--peer", "media"], 0),
    ] {
        let arguments = [&["cdr", "export", "--format", "json"][..], filter].concat();
        let found = run(directory.path(), &arguments);
        assert_eq!(out(&found).lines().count(), count, "{filter:?}");
    }
}

#[tokio::test]
async fn why_says_what_decided_its_value_the_cause_and_what_mends_it() {
    let (directory, _store) = written().await;
    let why = run(directory.path(), &["why", CALL]);
    assert!(why.status.success(), "{why:?}");
    for part in [
        "leg 1 from dialer",
        "all lines busy",
        "limit carrier is full",
        "30 of 30 calls",
        "raise max_calls of limit carrier",
        "the caller was told",
    ] {
        assert!(out(&why).contains(part), "{part} in {}", out(&why));
    }
    let unknown = run(directory.path(), &["why", &CALL.replace('6', "7")]);
    assert_eq!(unknown.status.code(), Some(14), "{unknown:?}");
    assert_eq!(run(directory.path(), &["why", "17"]).status.code(), Some(2));
}

#[test]
fn a_database_that_is_not_there_is_named_and_not_made() {
    let directory = tempfile::tempdir().expect("a directory");
    let failed = run(directory.path(), &["cdr", "export", "--database", "missing.db"]);
    assert_eq!(failed.status.code(), Some(1));
    let said = String::from_utf8_lossy(&failed.stderr);
    assert!(said.contains("missing.db") && said.contains("hint: "), "{said}");
    assert!(!directory.path().join("missing.db").exists());
}

/// The command in a directory, before it runs.
fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oneport"));
    command.env("STATE_DIRECTORY", directory).current_dir(directory).args(arguments);
    command
}

#[test]
fn a_switch_that_is_stopped_leaves_its_database_whole_in_one_file() {
    for signal in ["-INT", "-TERM"] {
        let directory = tempfile::tempdir().expect("a directory");
        let here = directory.path();
        let config = "[overload]\nenabled = false\n[store]\npath = \"calls.db\"\n";
        std::fs::write(here.join("oneport.toml"), config).expect("written");
        let serve = ["serve", "--config", "oneport.toml", "--listen", "127.0.0.1:0"];
        let serve = [&serve[..], &["--api", "127.0.0.1:0"]].concat();
        let mut switch = Serving::start(command(here, &serve));
        let listens = |line: &str| line.contains("listens on UDP ");
        switch.is_logged("its address", listens, 1);
        let line = switch.lines.iter().find(|line| listens(line)).expect("it is logged");
        let address = line.rsplit(' ').next().expect("a word");
        let called = run(here, &["call", &format!("{address}/milliwatt"), "--duration", "100ms"]);
        assert!(called.status.success(), "{called:?}");
        switch.signal(signal);
        assert!(switch.process.wait().expect("it ends").success(), "{signal}");
        let files = std::fs::read_dir(here).expect("readable");
        let files = files.map(|file| file.expect("readable").file_name().into_string());
        let mut files: Vec<String> = files.map(|name| name.expect("text")).collect();
        files.retain(|name| name.starts_with("calls.db"));
        assert_eq!(files, ["calls.db"], "{signal}");
        let elsewhere = tempfile::tempdir().expect("a directory");
        std::fs::copy(here.join("calls.db"), elsewhere.path().join("copy.db")).expect("copied");
        let there = run(elsewhere.path(), &["cdr", "export", "--database", "copy.db"]);
        assert!(there.status.success(), "{there:?}");
        assert_eq!(out(&there).lines().count(), 2, "{signal}: {}", out(&there));
    }
}

#[test]
fn a_database_that_no_switch_has_used_is_said_to_be_empty_and_what_to_do() {
    let directory = tempfile::tempdir().expect("a directory");
    let here = directory.path();
    std::fs::write(here.join("new.db"), "").expect("written");
    for arguments in [
        &["state", "export", "--database", "new.db"][..],
        &["state", "copy", "--database", "new.db", "--to-database", "other.db"],
        &["cdr", "export", "--database", "new.db"],
    ] {
        let failed = run(here, arguments);
        assert_eq!(failed.status.code(), Some(1), "{failed:?}");
        let said = String::from_utf8_lossy(&failed.stderr);
        let lines: Vec<&str> = said.lines().collect();
        let &[sentence, hint] = &lines[..] else { panic!("no sentence and a hint: {said}") };
        assert!(sentence.contains("new.db: it is empty: no switch has used it yet"), "{said}");
        assert!(hint.starts_with("hint: ") && hint.contains("oneport serve"), "{said}");
        assert_eq!(out(&failed), "");
    }
    assert!(!here.join("other.db").exists());
}
