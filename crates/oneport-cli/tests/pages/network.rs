//! A network of a page's own, in which the ports that it names are free.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use assert_cmd::cargo::cargo_bin;
use oneport_testkit::peers::wait_for;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

static NETWORKS: AtomicU32 = AtomicU32::new(0);

/// A network with nothing in it but its loopback.
pub(crate) struct Network(String);

impl Network {
    pub(crate) fn new() -> Self {
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let network = Self(format!("oneport-page-{}-{number}", std::process::id()));
        for arguments in
            [&["netns", "add", &network.0][..], &["-n", &network.0, "link", "set", "lo", "up"]]
        {
            let done = Command::new("ip").args(arguments).status().expect("ip runs");
            assert!(done.success(), "{arguments:?}");
        }
        network
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// A shell of it, in this directory.
    fn shell(&self, directory: &Path, script: &str) -> Command {
        let own = cargo_bin("oneport");
        let own = own.parent().expect("a directory").display();
        let path = format!("{own}:{}", std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0, "timeout", "300", "sh", "-e", "-c", script]);
        command.current_dir(directory).env("PATH", path).env("STATE_DIRECTORY", directory);
        command.stdin(Stdio::null());
        command
    }

    /// Runs a script, and gives what it prints.
    pub(crate) fn run(&self, directory: &Path, script: &str) -> String {
        let done = self.shell(directory, script).output().expect("it runs");
        let (said, errors) =
            (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        let log = std::fs::read_to_string(directory.join("log")).unwrap_or_default();
        assert!(done.status.success(), "{script}\n{said}\n{errors}\n{log}");
        said.into_owned()
    }

    /// Runs the command that starts the switch, until it listens.
    pub(crate) fn serve(&self, directory: &Path, command: &str) -> Serve {
        let log = directory.join("log");
        let file = std::fs::File::create(&log).expect("writable");
        let said = file.try_clone().expect("a handle");
        // Without shell and timeout in between it can be killed.
        let mut words = command.split_whitespace();
        assert_eq!(words.next(), Some("oneport"), "{command}");
        let process = Command::new("ip")
            .args(["netns", "exec", &self.0])
            .arg(cargo_bin("oneport"))
            .args(words)
            .current_dir(directory)
            .env("STATE_DIRECTORY", directory)
            .stdin(Stdio::null())
            .stdout(said)
            .stderr(file)
            .spawn();
        let serve = Serve { process: process.expect("it starts"), log };
        wait_for("the switch to listen", PATIENCE, || serve.log().contains("listening"));
        serve
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

/// A switch; it is gone when dropped.
pub(crate) struct Serve {
    process: Child,
    log: PathBuf,
}

impl Serve {
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
