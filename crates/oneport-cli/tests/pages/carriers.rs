//! The page about carriers: from nothing to a call out and one in, as it is written, in a network of its
//! own, with Asterisk in the carrier's place.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use assert_cmd::cargo::cargo_bin;
use oneport_testkit::peers::asterisk::Asterisk;
use oneport_testkit::peers::wait_for;

const PAGE: &str = include_str!("../../../../docs/carriers.md");

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The block of the page that begins so, of those behind this word.
fn block(kind: &str, beginning: &str) -> String {
    let fence = format!("```{kind}\n");
    let blocks = PAGE.split(&fence).skip(1).filter_map(|rest| rest.split("```").next());
    let found = blocks.into_iter().find(|block| block.starts_with(beginning));
    found.unwrap_or_else(|| panic!("no block {kind} begins with {beginning}")).to_string()
}

/// A network with nothing in it but its loopback, so that the ports of the page are free.
struct Network(String);

impl Network {
    fn new() -> Self {
        let network = Self(format!("oneport-page-{}", std::process::id()));
        for arguments in
            [&["netns", "add", &network.0][..], &["-n", &network.0, "link", "set", "lo", "up"]]
        {
            let done = Command::new("ip").args(arguments).status().expect("ip runs");
            assert!(done.success(), "{arguments:?}");
        }
        network
    }

    /// A shell of it, in this directory.
    fn shell(&self, directory: &Path, script: &str) -> Command {
        let own = cargo_bin("oneport");
        let own = own.parent().expect("a directory").display();
        let path = format!("{own}:{}", std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0, "sh", "-e", "-c", script]);
        command.current_dir(directory).env("PATH", path).env("STATE_DIRECTORY", directory);
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, directory: &Path, script: &str) -> String {
        let done = self.shell(directory, script).output().expect("it runs");
        let (said, errors) =
            (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{script}\n{said}\n{errors}");
        said.into_owned()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

struct Serve(Child);

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_page_about_carriers_leads_to_a_call_out_and_one_in() {
    let network = Network::new();
    let pjsip = block("ini", "[transport]");
    let files: [(&str, &[u8]); 1] = [("etc/pjsip.conf", pjsip.as_bytes())];
    let asterisk = Asterisk::start_in_with(&network.0, "", &block("ini", "[carrier]"), &files);
    let directory = tempfile::tempdir().expect("a directory");
    let own = directory.path();
    std::fs::write(own.join("oneport.toml"), block("toml", "[carriers.acme]")).expect("writable");
    let said = network.run(own, &block("sh", "oneport check"));
    assert!(said.contains("carriers: 1, SIP on UDP 0.0.0.0:5060"), "{said}");
    let serve = block("sh", "oneport serve");
    let log = std::fs::File::create(own.join("log")).expect("writable");
    // Without the shell in between it can be killed.
    let serve =
        network.shell(own, &format!("exec {serve}")).stdout(Stdio::null()).stderr(log).spawn();
    let _serve = Serve(serve.expect("it starts"));
    let read = || std::fs::read_to_string(own.join("log")).unwrap_or_default();
    for line in ["carrier acme answers", "carrier acme: registered"] {
        assert!(PAGE.contains(line), "the page says so");
        wait_for(line, PATIENCE, || read().contains(line));
    }
    let said = network.run(own, &block("sh", "oneport show carriers"));
    assert!(said.contains("udp 127.0.0.1:5070") && said.contains(" OK "), "{said}\n{}", read());
    let said = network.run(own, &block("sh", "ONEPORT_SECRET"));
    for there in ["in ulaw", "2125550100"] {
        assert!(said.contains(there), "no {there}: {said}\n{}", read());
    }
    let console = block("sh", "asterisk -rx \"channel");
    let (_, console) = console.split_once('"').expect("what it is told");
    let _ = asterisk.cli(console.trim_end().trim_end_matches('"'));
    let calls = block("sh", "oneport show calls");
    wait_for("a call from the carrier", PATIENCE, || {
        network.run(own, &calls).contains("12125550199")
    });
}
