//! Calls of IAX2 through upgrades.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::installed::{Installed, Load};

fn from_environment(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn number(report: &Value, path: &str) -> u64 {
    report.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {path}: {report}"))
}

fn ended_early(report: &Value) -> u64 {
    let early = report.pointer("/calls/ended_early").and_then(Value::as_object);
    let failed = report.pointer("/calls/failed").and_then(Value::as_object);
    let all = early.into_iter().chain(failed).flat_map(|reasons| reasons.values());
    all.filter_map(Value::as_u64).sum()
}

#[test]
fn no_call_is_dropped_by_upgrades_in_a_row_and_frames_lost_are_counted() {
    let calls = from_environment("ONEPORT_UPGRADE_CALLS", 20);
    let rounds = from_environment("ONEPORT_UPGRADE_ROUNDS", 3);
    let installed = Installed::start();
    // It is reported when the last upgrade is done, of which each may take half a minute.
    let seconds = 30 * rounds as u64;
    let load = installed.load(&format!("{}..{}", calls.div_ceil(4), 4 * calls), seconds);
    installed.until("calls are up", |status| number(status, "/calls") >= 2);
    let begun = Instant::now();
    for round in 1..=rounds {
        // Each process has calls before it hands over, which stay.
        installed.until("calls begin at the newest", |status| number(status, "/calls") >= 1);
        installed.upgrade();
        let older = installed.status();
        let older = older.pointer("/older").and_then(Value::as_array).map_or(0, Vec::len);
        assert_eq!(older, round, "all older processes have calls");
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(begun.elapsed() < Duration::from_secs(seconds), "the load is over: too slow a machine");
    let report = load.report();
    let (placed, sent) = (number(&report, "/calls/placed"), number(&report, "/voice/sent"));
    let (heard, lost) = (number(&report, "/voice/heard"), number(&report, "/voice/lost"));
    println!(
        "{rounds} upgrades, {placed} calls: {} dropped; {sent} frames sent, {heard} heard, {lost} lost",
        ended_early(&report)
    );
    assert_eq!(ended_early(&report), 0, "{report}");
    assert_eq!(number(&report, "/calls/completed"), placed, "{report}");
    for wrong in ["damaged", "crossed", "foreign", "twice"] {
        assert_eq!(number(&report, &format!("/voice/{wrong}")), 0, "{report}");
    }
    assert!(lost <= placed, "more than one frame of a call: {report}");
    // With the last call each older process ends, and each has kept its records.
    let no_older = |status: &Value| status.pointer("/older") == Some(&Value::Array(Vec::new()));
    installed.until("older processes end", no_older);
    let records = installed.run(&["cdr", "export", "--config", "oneport.toml"]);
    let records = String::from_utf8_lossy(&records.stdout).lines().skip(1).count();
    assert_eq!(records as u64, 2 * placed, "one for each leg");
}

#[test]
fn a_new_program_that_does_not_start_changes_nothing() {
    let mut installed = Installed::start();
    let load = installed.load("4", 600);
    installed.until("calls are up", |status| number(status, "/calls") == 4);
    let refused = |installed: &Installed, why: &str| {
        let output = installed.run(&["upgrade", "--patience", "1s"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(why), "{output:?}");
        let status = installed.status();
        assert_eq!(number(&status, "/calls"), 4, "{status}");
        assert_eq!(status.pointer("/ready"), Some(&Value::Bool(true)), "{status}");
    };
    installed.install("#!/bin/sh\nexit 3\n");
    refused(&installed, "exit status: 3");
    installed.install("#!/bin/sh\nexec sleep 60\n");
    refused(&installed, "not ready within 1s");
    installed.install("no program at all");
    refused(&installed, "Exec format error");
    // A mistake in the configuration is found by the new process alone.
    installed.install_the_real_one();
    let config = installed.directory.path().join("oneport.toml");
    let good = std::fs::read_to_string(&config).expect("readable");
    std::fs::write(&config, format!("{good}\n[peers.ann]\n")).expect("writable");
    installed.serving.signal("-USR2");
    installed.is_logged("no upgrade: the new process has ended: exit status: 2");
    std::fs::write(&config, good).expect("writable");
    let report = load.report();
    assert_eq!(ended_early(&report), 0, "{report}");
    assert_eq!(number(&report, "/voice/lost"), 0, "{report}");
    // And one that does start is taken by the signal, too.
    installed.serving.signal("-USR2");
    installed.is_logged("a new process serves; 0 legs");
    assert!(installed.serving.process.wait().expect("ours").success(), "it has no calls, and ends");
    installed.until("the new one serves", |status| number(status, "/calls") == 0);
    installed.upgrade();
}

#[test]
fn calls_go_on_when_the_new_process_is_killed_and_its_predecessor_serves_again() {
    let mut installed = Installed::start();
    let load = installed.load("4", 600);
    installed.until("calls are up", |status| number(status, "/calls") == 4);
    let pid = installed.upgrade();
    let kill = Command::new("kill").args(["-KILL", &pid.to_string()]).status().expect("it runs");
    assert!(kill.success());
    installed.is_logged("serves again");
    installed.until("the old one shows its calls", |status| number(status, "/calls") == 4);
    let report = load.report();
    assert_eq!(ended_early(&report), 0, "{report}");
    let lost = number(&report, "/voice/lost");
    println!("{lost} frames lost");
    // And the next upgrade goes well.
    installed.upgrade();
}

#[test]
fn calls_of_older_processes_are_seen_counted_under_limits_and_ended_at_the_newest() {
    let installed = Installed::start();
    let call = || {
        let target = format!("iax:ann@{}/604", installed.listen);
        let mut command = installed.oneport(&["call", &target, "--duration", "60s"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Load(Some(command.spawn().expect("it starts")))
    };
    let mut up = vec![call(), call()];
    installed.until("calls are up", |status| number(status, "/calls") == 2);
    installed.upgrade();
    up.push(call());
    installed.until("one more is up", |status| number(status, "/calls") == 1);
    let limits = installed.run(&["show", "limits", "--json"]);
    let limits: Value = serde_json::from_slice(&limits.stdout).expect("JSON");
    let three =
        limits["limits"].as_array().into_iter().flatten().find(|limit| limit["name"] == "three");
    assert_eq!(three.map(|limit| limit["used"].clone()), Some(3.into()), "{limits}");
    // The limit holds across processes.
    let target = format!("iax:ann@{}/604", installed.listen);
    let fourth = installed.run(&["call", &target, "--duration", "1s"]);
    assert!(!fourth.status.success(), "{fourth:?}");
    let shown = installed.run(&["show", "calls", "--json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    let list = shown.get("calls").unwrap_or(&shown);
    let ids: Vec<String> = list
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|call| Some(call["id"].as_str()?.to_string()))
        .collect();
    assert_eq!(ids.len(), 3, "{shown}");
    for (n, id) in ids.iter().take(2).enumerate() {
        let hung = installed.run(&["hangup", id]);
        assert!(hung.status.success(), "{hung:?}");
        installed.until("it is over", |status| {
            let older = status.pointer("/older/0/calls").and_then(Value::as_u64).unwrap_or(0);
            older as usize == 1 - n
        });
    }
    installed.until("the older process ends", |status| {
        status.pointer("/older") == Some(&Value::Array(Vec::new()))
    });
    assert!(installed.run(&["call", &target, "--duration", "1s"]).status.success());
}
