//! A switch is killed (SIGKILL): whoever was registered there is at the next one, and is called there.

mod serving;

use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::cargo::cargo_bin;
use oneport_testkit::peers::free_port;
use serde_json::Value;
use serving::{PATIENCE, Serving};

/// A telephone, killed when dropped.
struct Telephone(Child);

impl Drop for Telephone {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn oneport(arguments: &[&str]) -> Command {
    let mut command = Command::new(cargo_bin("oneport"));
    command.args(arguments).stdin(Stdio::null()).env("ONEPORT_SECRET", "s");
    command
}

/// A switch with its state in a directory of its own.
struct Switch {
    serving: Option<Serving>,
    directory: tempfile::TempDir,
    listen: SocketAddr,
}

impl Switch {
    /// `more`: what stands in its file beside ann and bob.
    fn start(more: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let listen = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let api = std::net::TcpListener::bind("127.0.0.1:0").expect("the loopback has ports");
        let text = format!(
            "[server]\nlisten = [\"{listen}\"]\n[api]\nlisten = \"{}\"\n\
             [peers.ann]\nsecret = \"s\"\n[peers.bob]\nsecret = \"s\"\n{more}",
            api.local_addr().expect("bound")
        );
        std::fs::write(directory.path().join("oneport.toml"), text).expect("writable");
        drop(api);
        let mut switch = Self { serving: None, directory, listen };
        switch.run();
        switch
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = oneport(arguments);
        command.current_dir(&self.directory).env("STATE_DIRECTORY", self.directory.path());
        command
    }

    fn run(&mut self) {
        let command = self.command(&["serve", "--config", "oneport.toml"]);
        self.serving = Some(Serving::start(command));
    }

    fn kill(&mut self) {
        let mut serving = self.serving.take().expect("it runs");
        serving.signal("-KILL");
        serving.process.wait().expect("ours");
    }

    fn registrations(&self) -> Value {
        let output: Output =
            self.command(&["show", "registrations", "--json"]).output().expect("it runs");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }

    /// Waits until that peer is registered here.
    fn has(&self, name: &str) {
        until(|| {
            let all = self.registrations();
            let here = all["here"].as_array().into_iter().flatten();
            let found = here.filter(|one| one["name"] == name).count() == 1;
            found.then_some(()).ok_or_else(|| format!("{name} is not among {all}"))
        });
    }
}

fn until<T>(mut is: impl FnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match is() {
            Ok(value) => return value,
            Err(what) => assert!(begun.elapsed() < PATIENCE, "{what}"),
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Ann, who answers calls with an echo, and is registered at the first of two.
fn ann(first: &Switch, second: &Switch) -> Telephone {
    let account = format!("iax:ann@{}", first.listen);
    let (second, own) = (second.listen.to_string(), format!("127.0.0.1:{}", free_port()));
    let mut command =
        oneport(&["answer", "--listen", &own, "--register", &account, "--fallback", &second]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    Telephone(command.spawn().expect("it starts"))
}

/// What becomes of a call of bob's to ann, by the first or the second.
fn call(first: &Switch, second: &Switch) -> Value {
    let target = format!("iax:bob@{}/ann", first.listen);
    let second = second.listen.to_string();
    let arguments = ["call", &target, "--fallback", &second, "--duration", "500ms", "--json"];
    let output = oneport(&arguments).output().expect("it runs");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn whoever_was_registered_at_a_switch_that_is_killed_is_called_at_the_next() {
    let (mut first, second) = (Switch::start(""), Switch::start(""));
    let _ann = ann(&first, &second);
    first.has("ann");
    let answered = call(&first, &second);
    assert_eq!(answered["answered"], true, "{answered}");
    assert_eq!(second.registrations()["total"], 0);
    first.kill();
    second.has("ann");
    // Bob knows both addresses, and the first is silent.
    let answered = call(&first, &second);
    assert_eq!(answered["answered"], true, "{answered}");
}

#[test]
fn who_begins_while_the_first_is_dead_is_at_the_second_at_once_and_goes_back_to_the_first() {
    let (mut first, second) = (Switch::start(""), Switch::start(""));
    first.kill();
    let _ann = ann(&first, &second);
    second.has("ann");
    first.run();
    first.has("ann");
    let answered = call(&first, &second);
    assert_eq!(answered["answered"], true, "{answered}");
}

#[test]
fn a_switch_registers_itself_at_the_next_registrar_and_says_at_which() {
    let (mut first, second) = (Switch::start(""), Switch::start(""));
    let mut site = Switch::start(&format!(
        "[[registrations]]\nto = \"{}\"\nfallback = [\"{}\"]\nusername = \"ann\"\nsecret = \"s\"\n",
        first.listen, second.listen
    ));
    first.has("ann");
    first.kill();
    second.has("ann");
    let serving = site.serving.as_mut().expect("it runs");
    serving.is_logged("the next", |line| line.contains("another is tried"), 1);
    assert!(serving.lines.iter().any(|line| line.contains(&first.listen.to_string())));
    until(|| {
        let all = site.registrations();
        let one = &all["elsewhere"][0];
        let is = one["registrar"] == second.listen.to_string() && one["state"] == "registered";
        is.then_some(()).ok_or_else(|| all.to_string())
    });
}
