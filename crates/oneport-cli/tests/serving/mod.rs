//! `oneport serve` as a process whose log is read line by line.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// A switch that runs; killed when dropped.
pub(crate) struct Serving {
    pub(crate) process: Child,
    log: mpsc::Receiver<String>,
    /// What it has logged.
    pub(crate) lines: Vec<String>,
}

impl Serving {
    /// Starts it, and waits until it serves.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut process = command
            .env_remove("NOTIFY_SOCKET")
            .env("ONEPORT_LOG", "info")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let output = BufReader::new(process.stdout.take().expect("piped"));
        output.lines().next().expect("it greets").expect("text");
        let errors = BufReader::new(process.stderr.take().expect("piped"));
        let (sender, log) = mpsc::channel();
        std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { process, log, lines: Vec::new() }
    }

    /// Sends it a signal, such as `-HUP`.
    pub(crate) fn signal(&self, name: &str) {
        let process = self.process.id().to_string();
        let sent = Command::new("kill").args([name, &process]).status().expect("it runs");
        assert!(sent.success());
    }

    /// Waits for `count` lines that are so.
    pub(crate) fn is_logged(&mut self, what: &str, is: impl Fn(&str) -> bool, count: usize) {
        let begun = Instant::now();
        while self.lines.iter().filter(|line| is(line)).count() < count {
            let left = PATIENCE.checked_sub(begun.elapsed());
            let line = left.and_then(|left| self.log.recv_timeout(left).ok());
            self.lines.push(line.unwrap_or_else(|| panic!("{what}: not in {:#?}", self.lines)));
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
