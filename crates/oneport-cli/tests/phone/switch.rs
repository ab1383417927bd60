//! Two softphones at a switch of ours.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use assert_cmd::cargo::cargo_bin;
use oneport::media::tone::Sine;
use oneport::media::wav;
use oneport_testkit::peers::free_port;

use crate::softphone::calls;
use crate::terminal::Terminal;

const CONFIG: &str = r#"
[overload]
enabled = false
[peers.ann]
secret = "ann's own"
caller_id = { number = "701" }
[peers.ben]
secret = "ben's own"
caller_id = { number = "702" }

[[routes]]
number = "701"
to = ["phone:ann"]
[[routes]]
number = "702"
to = ["phone:ben"]
[[routes]]
number = "600"
to = ["builtin:echo"]
[[routes]]
number = "601"
to = ["builtin:milliwatt"]
"#;

pub(crate) struct Switch {
    process: Child,
    pub(crate) address: String,
    directory: tempfile::TempDir,
}

impl Drop for Switch {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Switch {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let config = directory.path().join("oneport.toml");
        std::fs::write(&config, CONFIG).expect("writable");
        let address = format!("127.0.0.1:{}", free_port());
        let mut process = Command::new(cargo_bin("oneport"))
            .args(["serve", "--no-api", "--listen", &address, "--config"])
            .arg(&config)
            .env("STATE_DIRECTORY", directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let output = BufReader::new(process.stdout.take().expect("piped"));
        let _ = output.lines().next().expect("a line");
        Self { process, address, directory }
    }

    fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A phone of `name` that is registered.
    pub(crate) fn phone(&self, name: &str, arguments: &[&str]) -> Terminal {
        let account = format!("iax:{name}@{}", self.address);
        let secret = format!("{name}'s own");
        let phone = Terminal::phone(&[&[&*account][..], arguments].concat(), &secret, &[]);
        phone.sees("ready, registered for 60 s");
        phone.sees(&format!("{name}@{}", self.address));
        phone
    }
}

#[test]
fn a_call_is_placed_heard_keyed_held_and_hung_up() {
    let switch = Switch::start();
    let [said, heard] = ["said.wav", "heard.wav"].map(|name| switch.directory().join(name));
    let mut writer = wav::Writer::create(&said, 16_000).expect("writable");
    let tone: Vec<i16> = Sine::new(440.0, 16_000, 0.5).take(16_000 * 60).collect();
    writer.write(&tone).expect("writable");
    writer.finish().expect("writable");
    let files = [said.to_str().expect("text"), heard.to_str().expect("text")];
    let arguments = ["--in", files[0], "--out", files[1], "--codec", "ulaw"];
    let mut ann = switch.phone("ann", &arguments);
    ann.sees("No call");
    ann.press("600\n");
    ann.sees("talking");
    // The echo of the tone, by the meters and the figures.
    ann.wait("both levels", |screen| screen.matches("-9 dB").count() == 2);
    let screen = ann.sees("ulaw   MOS 4.");
    assert!(screen.contains("lost 0.0% here"), "{screen}");
    ann.press("12#");
    ann.sees("sent 12#");
    ann.press("h");
    ann.sees("on hold");
    ann.wait("silence", |screen| screen.matches("silent").count() >= 1);
    ann.press("h");
    ann.sees("talking");
    ann.press("m");
    ann.sees("MUTED");
    ann.wait("an echo of silence", |screen| screen.matches("silent").count() == 1);
    ann.press("x");
    let screen = ann.sees("hung up here");
    assert!(calls(&screen).is_empty(), "{screen}");
    ann.press("q");
    assert_eq!(ann.ends(), 0);
    let recorded = wav::read(&heard, 16_000).expect("it is complete");
    let level = |samples: &[i16]| {
        let sum: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
        (sum / samples.len() as f64).sqrt() / 32_768.0
    };
    let loudest = recorded.chunks_exact(1_600).map(level).fold(0.0, f64::max);
    assert!((loudest - 0.353).abs() < 0.02, "{loudest}");
}

#[test]
fn one_phone_calls_another_which_holds_it_and_sends_it_elsewhere() {
    let switch = Switch::start();
    let (mut ann, mut ben) =
        (switch.phone("ann", &["--no-sound"]), switch.phone("ben", &["--no-sound"]));
    ben.press("701\n");
    ann.sees("calls you");
    ben.sees("ringing there");
    ann.press("a");
    ann.sees("talking");
    ben.sees("talking");
    ben.press("5");
    ann.sees("got 5");
    ann.press("h");
    ben.sees("holds you");
    ann.press("h");
    ben.sees_no_more("holds you");
    ann.press("t600\n");
    // The switch leads Ben to the echo, and Ann is out of it.
    ann.wait("no call", |screen| calls(screen).is_empty());
    let screen = ben.sees("talking");
    assert_eq!(calls(&screen).len(), 1, "{screen}");
    // A call is up: leaving is asked for twice.
    ben.press("q");
    ben.sees("once more");
    ben.press("q");
    assert_eq!(ben.ends(), 0);
    ann.press("q");
    assert_eq!(ann.ends(), 0);
}

#[test]
fn a_call_that_is_rejected_and_one_to_nobody_are_told_apart() {
    let switch = Switch::start();
    let (ann, ben) = (switch.phone("ann", &["--no-sound"]), switch.phone("ben", &["--no-sound"]));
    ben.press("701\n");
    ann.sees("calls you");
    ann.press("r");
    ben.sees("busy");
    let screen = ann.sees("rejected");
    assert!(screen.contains("← 702"), "{screen}");
    ben.press("999\n");
    ben.sees("there is no such number");
    // A caller who gives up is missed.
    ben.press("701\n");
    ann.sees("calls you");
    ben.press("x");
    ann.sees("missed");
}

#[test]
fn two_parties_are_connected_with_each_other_and_leave_together() {
    let switch = Switch::start();
    let (ann, ben) = (switch.phone("ann", &["--no-sound"]), switch.phone("ben", &["--no-sound"]));
    ben.press("701\n");
    ann.sees("calls you");
    ann.press("a");
    ann.sees("talking");
    ann.press("d601\n");
    ann.wait("one on hold, one talking", |screen| {
        screen.contains("on hold") && screen.contains("talking")
    });
    // The tone that Ann hears comes to Ben.
    ann.press("c");
    ann.sees("connected to");
    ben.wait("the tone", |screen| screen.contains("them") && screen.matches("dB").count() >= 1);
    ben.press("x");
    ann.wait("no call", |screen| calls(screen).is_empty());
}

#[test]
fn a_wrong_secret_is_said_in_words() {
    let switch = Switch::start();
    let account = format!("iax:ann@{}", switch.address);
    let phone = Terminal::phone(&[&account, "--no-sound"], "wrong", &[]);
    phone.sees("NOT registered");
}

#[test]
fn without_a_terminal_it_says_what_goes_without_one() {
    let output = Command::new(cargo_bin("oneport"))
        .args(["phone", "--no-sound"])
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("`oneport call` and `oneport answer` work without one"), "{errors}");
}

#[test]
fn it_gives_the_terminal_back_when_it_is_asked_to_go() {
    let mut phone = Terminal::phone(&["--no-sound"], "", &[]);
    phone.sees("No call");
    phone.press("\x03");
    assert_eq!(phone.ends(), 0);
    let screen = phone.screen();
    assert!(!screen.contains("No call"), "{screen}");
}
