//! Several boxes, each a process of its own, and what they have in their records.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use assert_cmd::cargo::cargo_bin;
use oneport_testkit::peers::asterisk::Asterisk;
use serde_json::Value;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Every call is recorded, those that failed too, as soon as it has ended.
pub(crate) const CDR: &[u8] =
    b"[general]\nenable=yes\nunanswered=yes\ncongestion=yes\nbatch=no\n[csv]\nusegmtime=yes\n";

pub(crate) fn asterisk(iax: &str, extensions: &str) -> Asterisk {
    Asterisk::start_with(iax, extensions, &[("etc/cdr.conf", CDR)])
}

/// `oneport serve`; killed when dropped.
pub(crate) struct Serve(Child);

impl Serve {
    pub(crate) fn start(config: &Path, log: &Path) -> Self {
        let log = fs::File::create(log).expect("writable");
        let said = log.try_clone().expect("a handle");
        let serve = Command::new(cargo_bin("oneport"))
            .args(["serve", "--api", "127.0.0.1:0", "--config"])
            .arg(config)
            .env("STATE_DIRECTORY", config.parent().expect("it is in a directory"))
            .stdin(Stdio::null())
            .stdout(said)
            .stderr(log)
            .spawn();
        Self(serve.expect("it starts"))
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What an Asterisk says of a call.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) caller: String,
    pub(crate) called: String,
    pub(crate) billed_seconds: u64,
    pub(crate) disposition: String,
}

pub(crate) fn records(asterisk: &Asterisk) -> Vec<Record> {
    let text = asterisk.call_records();
    let parse = |line: &str| {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_bytes());
        let row = reader.records().next().expect("a line").expect("CSV");
        Record {
            caller: row[1].into(),
            called: row[2].into(),
            billed_seconds: row[13].parse().expect("seconds"),
            disposition: row[14].into(),
        }
    };
    text.lines().map(parse).collect()
}

pub(crate) fn text<'a>(leg: &'a Value, key: &str) -> &'a str {
    leg[key].as_str().unwrap_or_default()
}

/// The record of Oneport and that of an Asterisk tell the same.
pub(crate) fn agrees(leg: &Value, record: &Record) {
    let both = format!("{leg:#}\n{record:?}");
    assert_eq!(text(leg, "called_number"), record.called, "{both}");
    let answered = !leg["answer"].is_null();
    assert_eq!(answered, record.disposition == "ANSWERED", "{both}");
    let billed = leg["billable_ms"].as_u64().expect("a number");
    // It counts in seconds that have begun or ended.
    assert!(billed.abs_diff(record.billed_seconds * 1_000) < 2_000, "{both}");
    let cause = leg["cause"].as_u64().expect("a number");
    if !answered {
        let expected = match record.disposition.as_str() {
            "BUSY" => vec![17],
            "CONGESTION" | "FAILED" => vec![34, 38, 42],
            "NO ANSWER" => vec![16, 17, 19],
            other => panic!("{other}: {both}"),
        };
        assert!(expected.contains(&cause), "{both}");
    }
}

/// The records of Oneport, which is running.
pub(crate) fn exported(config: &Path) -> Vec<Value> {
    let output = Command::new(cargo_bin("oneport"))
        .args(["cdr", "export", "--format", "json", "--config"])
        .arg(config)
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(parse).collect()
}
