//! Runs test executables side by side. Most of them wait most of the time, for real time to pass or for a
//! real peer, so that one after the other would leave the processor idle.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde::Deserialize;

use crate::{root, shown};

/// So many suites that wait run at a time. Tests with real peers wait for places besides
/// (`oneport_testkit::peers`), however many suites run.
const SIDE_BY_SIDE: usize = 3;

/// How long nothing ends before it is said what runs.
const SILENCE: Duration = Duration::from_secs(60);

/// Packages whose tests need no clock but the processor's: they run one after the other, and give way to
/// those that wait.
const RECKON: [&str; 6] = [
    "oneport-wire",
    "oneport-proto",
    "oneport-impairment",
    "oneport-resample",
    "oneport-media",
    "oneport-testkit",
];

/// So do, mostly, the library's own tests of the switch: thousands of simulated fleets take longer than all else.
const FLEETS: &str = "oneport-switch oneport_switch";

/// What cargo says of each thing that it has built (`--message-format=json`), as far as it matters here.
#[derive(Deserialize)]
struct Built {
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// One test executable.
struct Suite {
    package: String,
    target: String,
    /// Tests run there, as with cargo.
    directory: PathBuf,
    executable: PathBuf,
}

/// What came of one.
struct Outcome {
    name: String,
    output: String,
    is_good: bool,
}

impl Suite {
    fn name(&self) -> String {
        format!("{} {}", self.package, self.target)
    }

    fn reckons(&self) -> bool {
        RECKON.contains(&self.package.as_str()) || self.name() == FLEETS
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        // A file, and no pipe: a process that a test leaves behind would keep that open.
        let log = self.executable.with_extension("log");
        let status = File::create(&log).and_then(|output| {
            let errors = output.try_clone()?;
            let mut command = if self.reckons() {
                let mut nice = Command::new("nice");
                nice.arg("-n10").arg(&self.executable);
                nice
            } else {
                Command::new(&self.executable)
            };
            command.args(arguments).current_dir(&self.directory);
            command.env("CARGO_MANIFEST_DIR", &self.directory);
            command.stdin(Stdio::null()).stdout(output).stderr(errors).status()
        });
        let text = fs::read(&log).unwrap_or_default();
        let mut output = String::from_utf8_lossy(&text).into_owned();
        let is_good = match status {
            Ok(status) => {
                if !status.success() {
                    output += &format!("{}: {status}\n", self.executable.display());
                }
                status.success()
            }
            Err(error) => {
                output += &format!("{}: {error}\n", self.executable.display());
                false
            }
        };
        Outcome { name: self.name(), output, is_good }
    }
}

/// Builds the tests that `arguments` of `cargo test` choose, and runs them with these arguments of their own.
///
/// # Errors
/// Something does not build, or some of them failed.
pub(crate) fn test(arguments: &[&str], own: &[&str]) -> Result<(), String> {
    let mut suites = build(arguments)?;
    // Those that take longest are among the first of these.
    let order = ["oneport", "oneport-cli", "oneport-interop", "oneport-switch"];
    suites.sort_by_key(|suite| {
        let place = order.iter().position(|package| *package == suite.package);
        (suite.name() != FLEETS, place)
    });
    let (reckoning, waiting): (VecDeque<_>, VecDeque<_>) =
        suites.into_iter().partition(Suite::reckons);
    let lanes = [(Mutex::new(reckoning), 1), (Mutex::new(waiting), SIDE_BY_SIDE)];
    let failed = thread::scope(|scope| {
        let (sender, receiver) = channel();
        for (queue, workers) in &lanes {
            for _ in 0..*workers {
                let sender = sender.clone();
                scope.spawn(move || work(queue, own, &sender));
            }
        }
        drop(sender);
        report(&receiver)
    });
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

fn build(arguments: &[&str]) -> Result<Vec<Suite>, String> {
    let mut cargo = Command::new("cargo");
    cargo.args(["test", "--locked", "--no-run", "--message-format=json-render-diagnostics"]);
    cargo.args(arguments).stderr(Stdio::inherit());
    let shown = shown(&cargo);
    eprintln!("+ {shown}");
    let output = cargo.current_dir(root()).output().map_err(|error| format!("{shown}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{shown}: {}", output.status));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut suites = Vec::new();
    for line in text.lines() {
        let built: Built =
            serde_json::from_str(line).map_err(|error| format!("{line}: {error}"))?;
        let Built {
            manifest_path: Some(manifest),
            target: Some(target),
            profile: Some(Profile { test: true }),
            executable: Some(executable),
        } = built
        else {
            continue;
        };
        let directory = manifest.parent().unwrap_or(&manifest).to_path_buf();
        let package = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        suites.push(Suite { package, target: target.name, directory, executable });
    }
    Ok(suites)
}

enum Word {
    Begins(String),
    Ends(Outcome),
}

/// Runs what is left in the queue, one after the other.
fn work(queue: &Mutex<VecDeque<Suite>>, own: &[&str], sender: &Sender<Word>) {
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    while let Some(suite) = next() {
        // The other end hears everybody out.
        let _ = sender.send(Word::Begins(suite.name()));
        let _ = sender.send(Word::Ends(suite.run(own)));
    }
}

/// Says how each suite ended, with all its output if it failed. Returns those that did.
fn report(receiver: &Receiver<Word>) -> Vec<String> {
    let (mut running, mut failed, mut total) = (BTreeSet::new(), Vec::new(), 0);
    loop {
        match receiver.recv_timeout(SILENCE) {
            Ok(Word::Begins(name)) => {
                running.insert(name);
            }
            Ok(Word::Ends(Outcome { name, output, is_good })) => {
                running.remove(&name);
                total += 1;
                let result = output.lines().find_map(|line| line.strip_prefix("test result: "));
                println!("{name}: {}", result.unwrap_or("no result"));
                if !is_good {
                    println!("{output}");
                    failed.push(name);
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                let running: Vec<&str> = running.iter().map(String::as_str).collect();
                println!("still running: {}", running.join(", "));
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    println!("{} of {total} suites passed", total - failed.len());
    failed
}
