//! A terminal with one of our commands in it.

use std::io::{Read, Write};
use std::num::NonZero;
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use assert_cmd::cargo::cargo_bin;
use pty_process::Size;
use pty_process::blocking::{Command, Pty, open};
use vt100::Parser;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal of 80 columns and 24 rows; what runs in it is killed when this is dropped.
pub(crate) struct Terminal {
    pty: Arc<Pty>,
    process: Child,
    screen: Arc<Mutex<Parser>>,
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Terminal {
    /// Begins `oneport` with these arguments.
    pub(crate) fn begin(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let (pty, inside) = open().expect("a terminal");
        pty.resize(Size::new(24, 80)).expect("it has a size");
        let process = Command::new(cargo_bin("oneport"))
            .args(arguments)
            .env("TERM", "xterm-256color")
            .env("LC_ALL", "C.UTF-8")
            .env_remove("NO_COLOR")
            .envs(environment.iter().copied())
            .spawn(inside)
            .expect("it starts");
        let [rows, columns] = [24, 80].map(|size| NonZero::new(size).expect("not zero"));
        let screen = Parser::new(rows, columns, 0);
        let (pty, screen) = (Arc::new(pty), Arc::new(Mutex::new(screen)));
        let (output, shown) = (Arc::clone(&pty), Arc::clone(&screen));
        // It ends with the process, whose side of the terminal closes.
        thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(count) = (&*output).read(&mut bytes)
                && count > 0
            {
                shown.lock().expect("it reads").process(&bytes[..count]);
            }
        });
        Self { pty, process, screen }
    }

    pub(crate) fn screen(&self) -> String {
        self.screen.lock().expect("it reads").screen().contents()
    }

    /// Types keys: `\n` is Enter, `\x1b` Escape.
    pub(crate) fn press(&self, keys: &str) {
        let keys = keys.replace('\n', "\r");
        (&*self.pty).write_all(keys.as_bytes()).expect("it takes keys");
    }

    /// Waits for a screen that is as it should be.
    pub(crate) fn wait(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let screen = self.screen();
            if is_so(&screen) {
                return screen;
            }
            assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}:\n{screen}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until `text` is on the screen, and gives all of it.
    pub(crate) fn sees(&self, text: &str) -> String {
        self.wait(text, |screen| screen.contains(text))
    }

    /// Waits until `text` is there no more.
    pub(crate) fn sees_no_more(&self, text: &str) -> String {
        self.wait(&format!("no more {text:?}"), |screen| !screen.contains(text))
    }

    /// Waits for its end, and gives its exit code.
    pub(crate) fn ends(&mut self) -> i32 {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().expect("it is ours") {
                return status.code().unwrap_or(-1);
            }
            assert!(begun.elapsed() < PATIENCE, "it goes on:\n{}", self.screen());
            thread::sleep(Duration::from_millis(20));
        }
    }
}
