//! A switch that is installed in a directory of its own, and what is done to it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::cargo::cargo_bin;
use oneport_testkit::peers::{free_port, own_loopback};
use serde_json::Value;

use crate::serving::{PATIENCE, Serving};

/// A UDP port of the loopback that nobody else gets.
pub(crate) fn free() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, free_port()).into()
}

/// A switch that was installed in a directory of its own.
pub(crate) struct Installed {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) serving: Serving,
    pub(crate) listen: SocketAddr,
    callee: SocketAddr,
}

impl Installed {
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// With routes and peers beside its own, as they are configured.
    pub(crate) fn start_with(more: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (listen, callee) = (free(), free());
        let api = SocketAddr::from((own_loopback(), 8569));
        let text = format!(
            "[overload]\nenabled = false\n[server]\nlisten = [\"{listen}\"]\n[api]\nlisten = \"{api}\"\n\
             [peers.ann]\nsecret = \"a\"\n\
             [peers.bench]\naddress = \"{callee}\"\n\
             [[routes]]\nnumber = \"bench\"\nto = [\"peer:bench/bench\"]\n\
             [[limits]]\nname = \"all\"\nmax_calls = 5000\n\
             [[limits]]\nname = \"three\"\nnumbers = \"604\"\nmax_calls = 3\n{more}"
        );
        std::fs::write(directory.path().join("oneport.toml"), text).expect("writable");
        place(&cargo_bin("oneport"), &directory.path().join("oneport"));
        let mut command = Command::new(directory.path().join("oneport"));
        command.args(["serve", "--config", "oneport.toml"]);
        let serving = Serving::start(in_directory(command, &directory));
        Self { directory, serving, listen, callee }
    }

    /// The command of the program as it was built, whatever is installed.
    pub(crate) fn oneport(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(cargo_bin("oneport"));
        command.args(arguments).env("ONEPORT_SECRET", "a");
        in_directory(command, &self.directory)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.oneport(arguments).output().expect("it runs")
    }

    pub(crate) fn status(&self) -> Value {
        let output = self.run(&["status", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }

    /// Puts another program in the place of what is installed.
    pub(crate) fn install(&self, script: &str) {
        let file = self.directory.path().join("script");
        std::fs::write(&file, script).expect("writable");
        self.install_file(&file);
    }

    pub(crate) fn install_the_real_one(&self) {
        self.install_file(&cargo_bin("oneport"));
    }

    fn install_file(&self, file: &Path) {
        let new = self.directory.path().join("new");
        place(file, &new);
        std::fs::rename(&new, self.directory.path().join("oneport")).expect("the same directory");
    }

    /// Marked calls that are bridged, more and more of them for so many seconds, unless they are reported before.
    pub(crate) fn load(&self, calls: &str, seconds: u64) -> Load {
        let target = format!("iax:ann@{}/bench", self.listen);
        let duration = format!("{seconds}s");
        let mut command = self.oneport(&["load", &target, "--calls", calls, "--json"]);
        command.args(["--answer", &self.callee.to_string(), "--duration", &duration]);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        Load(Some(command.spawn().expect("it starts")))
    }

    pub(crate) fn until(&self, what: &str, is: impl Fn(&Value) -> bool) {
        let begun = Instant::now();
        loop {
            let status = self.status();
            if is(&status) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{what}: {status}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits for a line of the log of any of its processes.
    pub(crate) fn is_logged(&mut self, what: &str) {
        self.serving.is_logged(what, |line| line.contains(what), 1);
    }

    /// The number of the process that serves, after an upgrade that goes well.
    pub(crate) fn upgrade(&self) -> u32 {
        let output = self.run(&["upgrade"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{output:?}");
        let pid = said.split(' ').nth(1).and_then(|pid| pid.parse().ok());
        pid.unwrap_or_else(|| panic!("no number in {said}"))
    }
}

/// Copies an executable by another process: what this one has open for writing, a child that another test
/// starts has too, for a moment in which the program can't be run.
fn place(from: &Path, to: &Path) {
    let install = Command::new("install").args(["-m", "755"]).args([from, to]).status();
    assert!(install.expect("it runs").success(), "{}", to.display());
}

fn in_directory(mut command: Command, directory: &tempfile::TempDir) -> Command {
    command.current_dir(directory.path()).env("STATE_DIRECTORY", directory.path());
    command
}

impl Drop for Installed {
    /// Ends all that works in its directory: an heir whose predecessor is gone is nobody's child.
    fn drop(&mut self) {
        let Ok(directory) = self.directory.path().canonicalize() else { return };
        // One may just be starting another.
        for _ in 0..2 {
            for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
                let works_there = std::fs::read_link(process.path().join("cwd")).ok();
                if works_there.is_some_and(|place| place == directory) {
                    let mut kill = Command::new("kill");
                    let _ =
                        kill.arg("-KILL").arg(process.file_name()).stderr(Stdio::null()).status();
                }
            }
        }
    }
}

/// `oneport load`, while it runs.
pub(crate) struct Load(pub(crate) Option<Child>);

impl Load {
    /// Ends it, if it has not ended; what it has counted.
    pub(crate) fn report(mut self) -> Value {
        let child = self.0.take().expect("it runs");
        let interrupt = ["-INT", &child.id().to_string()];
        let _ = Command::new("kill").args(interrupt).stderr(Stdio::null()).status();
        let output = child.wait_with_output().expect("it ends");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}"))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Calls of each older process, the oldest first.
pub(crate) fn older(status: &Value) -> Vec<u64> {
    let older = status.pointer("/older").and_then(Value::as_array);
    older.into_iter().flatten().filter_map(|process| process["calls"].as_u64()).collect()
}
