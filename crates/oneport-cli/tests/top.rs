//! `oneport top` as its users see it: in a terminal, at a switch that runs, with calls of two legs.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use assert_cmd::cargo::cargo_bin;
use oneport_testkit::peers::{free_port, own_loopback};

#[path = "terminal/mod.rs"]
mod terminal;

use terminal::Terminal;

/// The token of somebody who may look.
const WATCHER: &str = "watcher: 0123456789abcdef";

/// A process that is killed when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn begin(arguments: &[&str], secret: &str) -> Process {
    let process = Command::new(cargo_bin("oneport"))
        .args(arguments)
        .env("ONEPORT_SECRET", secret)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Process(process.expect("it starts"))
}

/// A switch with an API, and a peer that answers and echoes.
struct Scene {
    serve: Option<Process>,
    _box: Process,
    address: String,
    api: String,
    directory: tempfile::TempDir,
}

impl Scene {
    /// `tokens` are those of the configuration; without any the switch makes one.
    fn new(tokens: &str) -> Self {
        let [own, callee] = [(); 2].map(|()| format!("127.0.0.1:{}", free_port()));
        // It is the same behind a restart, and nobody else's in between.
        let api = format!("{}:8569", own_loopback());
        let directory = tempfile::tempdir().expect("a directory");
        let config = format!(
            "[overload]\nenabled = false\n[server]\nlisten = [\"{own}\"]\n[api]\nlisten = \"{api}\"\n{tokens}\n\
             [peers.ann]\nsecret = \"ann's own\"\n\
             [peers.box]\naddress = \"{callee}\"\ntrunk = true\n\
             [[limits]]\nname = \"carrier\"\npeers = [\"box\"]\nmax_calls = 40\n\
             [[routes]]\nnumber = \"600\"\nto = [\"builtin:echo\"]\n\
             [[routes]]\nnumber = \"900\"\nto = [\"peer:box/900\"]\n"
        );
        std::fs::write(directory.path().join("oneport.toml"), config).expect("writable");
        let answers = begin(&["answer", "--listen", &callee], "");
        let mut scene = Self { serve: None, _box: answers, address: own, api, directory };
        scene.serve();
        scene
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn serve(&mut self) {
        let mut process = Command::new(cargo_bin("oneport"))
            .args(["serve", "--config", "oneport.toml"])
            .current_dir(self.path())
            .env("STATE_DIRECTORY", self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let output = BufReader::new(process.stdout.take().expect("piped"));
        let mut lines = output.lines().map_while(Result::ok);
        let listens = lines.any(|line| line.starts_with("the API listens on"));
        self.serve = Some(Process(process));
        assert!(listens, "it does not say where its API listens");
    }

    /// Calls `number` until it is dropped.
    fn call(&self, number: &str) -> Process {
        let target = format!("iax:ann@{}/{number}", self.address);
        begin(&["call", &target, "--duration", "10m"], "ann's own")
    }

    fn top(&self, arguments: &[&str]) -> Terminal {
        let state = self.path().to_str().expect("text");
        let own = ["top", "--api", &self.api];
        Terminal::begin(&[&own[..], arguments].concat(), &[("STATE_DIRECTORY", state)])
    }

    /// A file with the watcher's token.
    fn watcher(&self) -> PathBuf {
        let file = self.path().join("watcher.token");
        std::fs::write(&file, WATCHER).expect("writable");
        file
    }
}

/// Rows of a list at most, where a screen has 24.
const ROWS: usize = 16;

/// Rows of the list: those below the headings.
fn rows(screen: &str) -> Vec<&str> {
    let below = screen.lines().skip_while(|row| !row.contains("STATE")).skip(1);
    let rows = below.take(ROWS).take_while(|row| !row.trim().is_empty());
    // What stands there while nothing is known, or where there is none, is no row.
    rows.filter(|row| ["answered", "calling"].iter().any(|state| row.contains(state))).collect()
}

#[test]
fn calls_are_seen_searched_opened_and_hung_up() {
    let scene = Scene::new("");
    let (_one, _other) = (scene.call("900"), scene.call("600"));
    let mut top = scene.top(&[]);
    let screen = top.wait("two calls", |screen| {
        screen.contains("calls 2 (2 answered)") && rows(screen).len() == 2
    });
    assert!(screen.contains(&scene.api) && screen.contains("live"), "{screen}");
    top.press("/box\n");
    let screen = top.wait("the one with the box", |screen| rows(screen).len() == 1);
    assert!(rows(&screen)[0].contains("ann") && screen.contains("1 of 2"), "{screen}");
    // Both of its legs, and what their sound was since then.
    top.press("\n");
    top.wait("both legs", |screen| {
        let parts = ["caller: ann", "called: box", "ann → 900 (peer:box", "destination"];
        parts.iter().all(|part| screen.contains(part))
    });
    top.wait("a line over time", |screen| screen.contains("▁▁▁"));
    top.press("\n");
    // It is answered there first, then here.
    let screen = top.wait("a ladder", |screen| screen.matches(" ANSWER ").count() == 2);
    assert!(screen.matches(" NEW ").count() >= 2 && screen.contains("switch"), "{screen}");
    top.press("g\n");
    top.sees("to switch, at");
    top.press("qqq");
    top.wait("the list", |screen| rows(screen).len() == 1);
    top.press("D");
    top.sees("Hang up ann to 900?");
    top.press("y");
    top.wait("no such call", |screen| screen.contains("0 of 1"));
    top.press("l");
    top.wait("the other", |screen| rows(screen).len() == 1);
    // What happened stands among the events, and leads to the record of the call.
    top.press("6");
    top.sees("local hangup after");
    top.press("/local\n");
    top.wait("its end", |screen| {
        screen.lines().any(|row| row.starts_with('>') && row.contains("local hangup after"))
    });
    top.press("\n");
    let screen = top.sees("leg 1 in");
    assert!(screen.contains("over") && screen.contains("-> 900"), "{screen}");
    top.press("qq");
    assert_eq!(top.ends(), 0);
    assert!(!top.screen().contains("oneport top"), "{}", top.screen());
}

#[test]
fn peers_trunks_and_limits_are_lists_of_their_own() {
    let scene = Scene::new("");
    let _call = scene.call("900");
    let top = scene.top(&[]);
    top.sees("calls 1 (1 answered)");
    top.press("2");
    let screen = top.sees("1/40");
    assert!(screen.contains("box") && screen.contains("TRUNK"), "{screen}");
    top.press("\n");
    let screen = top.sees("carrier: 1 of 40, at most 1 so far");
    assert!(screen.contains("in trunk frames"), "{screen}");
    top.press("q4");
    let screen = top.wait("two peers", |screen| screen.contains("ann") && screen.contains("box"));
    assert!(screen.contains("EXPIRES"), "{screen}");
    top.press("jc");
    top.sees("/box");
    top.press("5");
    top.sees("box (1)");
    top.press("3");
    top.sees("No carrier is configured");
}

#[test]
fn who_may_only_look_is_told_what_more_takes() {
    let tokens = format!("[api.tokens.watcher]\nsecret = \"{WATCHER}\"\nrole = \"viewer\"");
    let scene = Scene::new(&tokens);
    let _call = scene.call("600");
    let file = scene.watcher();
    let top = scene.top(&["--token-file", file.to_str().expect("text")]);
    top.wait("a call", |screen| rows(screen).len() == 1);
    top.press("Dy");
    top.sees("not hung up: token watcher has the role viewer: this needs the role operator");
    top.press("x");
    top.sees("token watcher has the role viewer: this needs the role operator");
    top.press("\x1b");
    top.sees_no_more("Ladder of call");
    top.wait("it is still up", |screen| rows(screen).len() == 1);
}

#[test]
fn a_switch_that_goes_away_is_found_again_though_its_token_is_another() {
    let mut scene = Scene::new("");
    let mut top = scene.top(&[]);
    top.sees("No call is up");
    let file = scene.path().join("api-8569.token");
    let token = || std::fs::read_to_string(&file).expect("the switch has written it");
    let before = token();
    drop(scene.serve.take());
    let screen = top.sees("NO ANSWER");
    assert!(screen.contains("what is shown is old"), "{screen}");
    scene.serve();
    top.sees("the switch is there again");
    assert_ne!(token(), before);
    // Events come again, too.
    top.sees(" live  ");
    let _call = scene.call("600");
    top.press("6");
    top.sees("ann calls 600");
    top.press("\x03");
    assert_eq!(top.ends(), 0);
}

#[test]
fn many_calls_are_gone_through_to_the_last() {
    let scene = Scene::new("");
    let target = format!("iax:ann@{}/600", scene.address);
    let arguments =
        ["load", &target, "--profile", "radio-hub", "--calls", "150", "--duration", "10m"];
    let _load = begin(&arguments, "ann's own");
    let top = scene.top(&[]);
    top.sees("calls 150 (150 answered)");
    top.press("G");
    top.wait("the last", |screen| {
        let rows = rows(screen);
        rows.len() == ROWS
            && rows[ROWS - 1].starts_with('>')
            && rows.iter().all(|row| row.contains("600"))
    });
    top.press("gtj\n");
    top.sees("MOS▲");
    top.press("f\n");
    top.press("z");
    top.sees("MOS▼");
    top.wait("the first", |screen| rows(screen).first().is_some_and(|row| row.starts_with('>')));
}

#[test]
fn mistakes_are_told_before_the_screen_is_taken() {
    let nowhere = format!("{}:8569", own_loopback());
    let mut top = Terminal::begin(&["top", "--api", &nowhere], &[]);
    assert_eq!(top.ends(), 13);
    assert!(top.sees("does not answer").contains("hint:"), "{}", top.screen());
    let output = Command::new(cargo_bin("oneport")).args(["top"]).stdin(Stdio::null()).output();
    let output = output.expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(
        errors.contains("`oneport show`, `oneport status` and `oneport decode` work without one"),
        "{errors}"
    );
}

#[test]
fn a_capture_has_the_same_list_and_ladder_without_a_switch() {
    let file = "/../../testdata/asterisk-register-call-reject.pcap";
    let file = format!("{}{file}", env!("CARGO_MANIFEST_DIR"));
    let mut top = Terminal::begin(&["top", "--pcap", &file, "--port", "24569"], &[]);
    top.wait("its calls", |screen| screen.contains("calls 2  registrations 1"));
    top.press("/rejected\n");
    top.wait("one of them", |screen| screen.contains("1 of 3"));
    top.press("\n");
    top.wait("what is known", |screen| screen.contains("became of it"));
    top.press("\n");
    top.wait("its ladder", |screen| screen.contains(" NEW ") && screen.contains(" REJECT "));
    top.press("qqD");
    top.sees("nothing is held or hung up");
    top.press("2");
    top.sees("a capture has calls alone");
    top.press("q");
    assert_eq!(top.ends(), 0);
    let mut nothing = Terminal::begin(&["top", "--pcap", "/dev/null"], &[]);
    assert_eq!(nothing.ends(), 1);
}
