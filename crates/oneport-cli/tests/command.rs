//! The command as users run it, against its own switch.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use assert_cmd::cargo::cargo_bin;
use oneport::media::{Codec, tone::Sine, wav};

/// `oneport serve` on a port of its own; killed when dropped.
struct Serve {
    process: Child,
    address: String,
    /// Its state, which goes with it.
    _state: tempfile::TempDir,
}

fn serve(arguments: &[&str]) -> Serve {
    let state = tempfile::tempdir().expect("a directory");
    let mut process = Command::new(cargo_bin("oneport"))
        .args(["serve", "--listen", "127.0.0.1:0", "--no-api"])
        .args(arguments)
        .env("STATE_DIRECTORY", state.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let output = BufReader::new(process.stdout.take().expect("piped"));
    let line = output.lines().next().expect("a line").expect("text");
    let address = line.rsplit(' ').next().expect("the address is last").to_string();
    Serve { process, address, _state: state }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Outcome {
    code: i32,
    out: String,
    errors: String,
}

/// Runs to its end, which must come within half a minute.
fn oneport(arguments: &[&str], secret: Option<&str>) -> Outcome {
    let state = tempfile::tempdir().expect("a directory");
    let mut command = Command::new("timeout");
    command.arg("30").arg(cargo_bin("oneport")).env("STATE_DIRECTORY", state.path());
    command.args(arguments).stdin(Stdio::null()).env_remove("ONEPORT_SECRET");
    if let Some(secret) = secret {
        command.env("ONEPORT_SECRET", secret);
    }
    let output = command.output().expect("it runs");
    Outcome {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn write(path: &Path, samples: &[i16], rate: u32) {
    let mut writer = wav::Writer::create(path, rate).expect("writable");
    writer.write(samples).expect("writable");
    writer.finish().expect("writable");
}

#[test]
fn an_echo_returns_what_was_played() {
    let switch = serve(&[]);
    let directory = tempfile::tempdir().expect("a directory");
    let (play, back) = (directory.path().join("play.wav"), directory.path().join("back.wav"));
    let tone: Vec<i16> = Sine::new(440.0, 8000, 0.5).take(8000).collect();
    write(&play, &tone, 8000);
    let target = format!("{}/echo", switch.address);
    let (play, back) = (play.display().to_string(), back.display().to_string());
    let call = oneport(&["call", &target, "--play", &play, "--record", &back, "--json"], None);
    assert_eq!(call.code, 0, "{}", call.errors);
    let report: serde_json::Value = serde_json::from_str(&call.out).expect("JSON");
    assert_eq!(report["outcome"], "ok");
    assert_eq!(report["quality"]["heard"]["frames"], 50);
    assert_eq!(report["quality"]["heard"]["lost"], 0);
    let mut encoded = Vec::new();
    Codec::Ulaw.encode(&tone, &mut encoded);
    let mut expected = Vec::new();
    Codec::Ulaw.decode(&encoded, &mut expected);
    let heard = wav::read(Path::new(&back), 8000).expect("a recording");
    assert!(heard == expected, "{} samples of {}", heard.len(), expected.len());
}

#[test]
fn a_recording_as_heard_has_the_pace_of_the_call_pauses_and_all() {
    let switch = serve(&[]);
    let directory = tempfile::tempdir().expect("a directory");
    let (play, back) = (directory.path().join("play.wav"), directory.path().join("back.wav"));
    let tone: Vec<i16> = Sine::new(440.0, 8000, 0.5).take(8000).collect();
    write(&play, &tone, 8000);
    let target = format!("{}/echo", switch.address);
    let (play, back) = (play.display().to_string(), back.display().to_string());
    let arguments = ["call", &target, "--play", &play, "--record", &back, "--as-heard", "--json"];
    let call = oneport(&arguments, None);
    assert_eq!(call.code, 0, "{}", call.errors);
    let heard = wav::read(Path::new(&back), 8000).expect("a recording");
    let level = |part: &[i16]| {
        let sum: f64 = part.iter().map(|sample| f64::from(*sample).powi(2)).sum();
        (sum / part.len() as f64).sqrt() / 32_768.0
    };
    let loud = heard.chunks_exact(160).filter(|part| level(part) > 0.3).count();
    assert!((45..=60).contains(&loud), "{loud} times 20 ms of a second of sound");
    // The call goes on for a second behind what is played.
    let report: serde_json::Value = serde_json::from_str(&call.out).expect("JSON");
    let seconds = report["seconds"].as_f64().expect("a number");
    let recorded = heard.len() as f64 / 8_000.0;
    assert!((recorded - seconds).abs() < 1.0, "{recorded} s of {seconds} s");
}

#[test]
fn each_failure_has_its_code_one_sentence_and_a_hint() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("oneport.toml");
    std::fs::write(&config, "[overload]\nenabled = false\n[peers.site]\nsecret = \"right\"\n")
        .expect("writable");
    let switch = serve(&["--config", &config.display().to_string()]);
    let at = |rest: &str| format!("{}/{rest}", switch.address);
    let site = |rest: &str| format!("iax:site@{}/{rest}", switch.address);
    let cases = [
        (oneport(&["call", &at("nowhere")], None), 14),
        (oneport(&["call", &at("record")], None), 11),
        (oneport(&["call", &site("echo")], Some("wrong")), 12),
        (oneport(&["call", &site("echo")], None), 12),
        (oneport(&["call", &at("echo"), "--play", "/nonexistent.wav"], None), 2),
        (oneport(&["call", "sip:somebody@example.org"], None), 2),
        (oneport(&["call", "iax:a:b@host/1"], None), 2),
        (oneport(&["call", &at("echo"), "--codec", "opus"], None), 2),
        (oneport(&["call", "no-such-host.invalid/1"], None), 13),
        (oneport(&["ping", "127.0.0.1:9", "-c", "1", "-t", "100ms"], None), 13),
        (oneport(&["register", &format!("iax:site@{}", switch.address), "--once"], Some("x")), 12),
        (oneport(&["register", &switch.address, "--once"], None), 2),
        (oneport(&["serve", "--config", "/nonexistent.toml"], None), 2),
        (oneport(&["serve", "--listen", &switch.address], None), 1),
    ];
    for (outcome, code) in cases {
        assert_eq!(outcome.code, code, "{}", outcome.errors);
        assert!(outcome.errors.contains("error: "), "{}", outcome.errors);
        assert!(!outcome.errors.contains("right"), "{}", outcome.errors);
    }
}

#[test]
fn a_named_peer_registers_and_calls() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("oneport.toml");
    std::fs::write(&config, "[overload]\nenabled = false\n[peers.site]\nsecret = \"right\"\n")
        .expect("writable");
    let switch = serve(&["--config", &config.display().to_string()]);
    let target = format!("iax:site@{}", switch.address);
    let registered = oneport(&["register", &target, "--once", "--json"], Some("right"));
    assert_eq!(registered.code, 0, "{}", registered.errors);
    let report: serde_json::Value = serde_json::from_str(&registered.out).expect("JSON");
    assert_eq!((&report["state"], &report["refresh_seconds"]), (&"registered".into(), &60.into()));
    let secret = directory.path().join("secret");
    std::fs::write(&secret, "right\n").expect("writable");
    let secret = secret.display().to_string();
    let target = format!("iax:site@{}/playback", switch.address);
    let call = oneport(&["call", &target, "--secret-file", &secret], None);
    assert_eq!(call.code, 0, "{}", call.errors);
    assert!(
        call.out.contains("normal clearing") && call.out.contains("heard here"),
        "{}",
        call.out
    );
}

#[test]
fn one_answers_another_and_a_ping_is_answered() {
    let mut answer = Command::new(cargo_bin("oneport"))
        .args(["answer", "--listen", "127.0.0.1:0", "--calls", "1", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let errors = BufReader::new(answer.stderr.take().expect("piped"));
    let line = errors.lines().next().expect("a line").expect("text");
    let address = line.rsplit(' ').next().expect("the address is last").to_string();
    let ping = oneport(&["ping", &address, "-c", "2", "-i", "20ms", "--json"], None);
    let report: serde_json::Value = serde_json::from_str(&ping.out).expect("JSON");
    assert_eq!((ping.code, &report["received"]), (0, &2.into()));
    let target = format!("{address}/anything");
    let call = oneport(&["call", &target, "--dtmf", "42#", "--duration", "1s"], None);
    assert_eq!(call.code, 0, "{}", call.errors);
    let output = answer.wait_with_output().expect("it ends");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&report["called"], &report["digits"]), (&"anything".into(), &"42#".into()));
}

#[tokio::test]
async fn who_answers_takes_another_call_while_one_is_up() {
    use oneport::{CauseCode, NewCall, Phone, PhoneConfig};
    let mut answer = Command::new("timeout")
        .arg("60")
        .arg(cargo_bin("oneport"))
        .args(["answer", "--listen", "127.0.0.1:0", "--calls", "2", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let errors = BufReader::new(answer.stderr.take().expect("piped"));
    let line = errors.lines().next().expect("a line").expect("text");
    let address = line.rsplit(' ').next().expect("the address is last");
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    let phone = Phone::bind(PhoneConfig { listen, ..PhoneConfig::default() }).expect("bound");
    let to = address.parse().expect("an address");
    let mut long = phone.call(to, NewCall::to("long")).await.expect("placed");
    long.answered().await.expect("answered");
    let target = format!("{address}/short");
    let short =
        tokio::task::spawn_blocking(move || oneport(&["call", &target, "--duration", "1s"], None));
    let short = short.await.expect("it runs");
    assert_eq!(short.code, 0, "{}", short.errors);
    long.hangup(CauseCode::NORMAL_CLEARING);
    let output = tokio::task::spawn_blocking(move || answer.wait_with_output()).await;
    let output = output.expect("it runs").expect("it ends");
    let lines = String::from_utf8(output.stdout).expect("text");
    let called = lines.lines().map(|line| {
        let report: serde_json::Value = serde_json::from_str(line).expect("JSON");
        report["called"].as_str().expect("text").to_string()
    });
    assert_eq!(called.collect::<Vec<_>>(), ["short", "long"]);
}

#[tokio::test]
async fn ctrl_c_hangs_up_from_the_moment_on_at_which_the_other_side_may_know_of_a_call() {
    use oneport::{CallEvent, EndReason, Phone, PhoneConfig};
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    let phone = Phone::bind(PhoneConfig { listen, ..PhoneConfig::default() }).expect("bound");
    let target = format!("{}/long", phone.local_addresses()[0]);
    for round in 0..10 {
        let mut process = Command::new("timeout")
            .args(["--foreground", "-s", "KILL", "30"])
            .arg(cargo_bin("oneport"))
            .args(["call", &target, "--duration", "10m"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let incoming = tokio::time::timeout(std::time::Duration::from_secs(30), phone.incoming());
        let incoming = incoming.await.expect("it calls").expect("the phone lives");
        // `timeout` passes it on.
        let interrupts = || {
            let done = Command::new("kill").args(["-INT", &process.id().to_string()]).status();
            assert!(done.expect("it runs").success());
        };
        // Every other one is interrupted before there is an answer.
        if round % 2 == 0 {
            interrupts();
        }
        let answered = incoming.answer().await;
        if round % 2 == 1 {
            interrupts();
        }
        if let Ok(mut call) = answered {
            let end = loop {
                match call.next_event().await.expect("it ends") {
                    CallEvent::Ended(end) => break end,
                    _ => continue,
                }
            };
            assert_eq!(end.reason, EndReason::RemoteHangup, "round {round}");
        }
        let status = tokio::task::spawn_blocking(move || process.wait()).await;
        let status = status.expect("it runs").expect("ours");
        // By itself, and not by the signal.
        assert!(matches!(status.code(), Some(code) if code < 124), "round {round}: {status}");
    }
}

#[test]
fn a_wrong_configuration_is_shown_at_its_place() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("oneport.toml");
    std::fs::write(&config, "[peers.site]\nsecrt = \"right\"\n").expect("writable");
    let outcome = oneport(&["serve", "--config", &config.display().to_string()], None);
    assert_eq!(outcome.code, 2);
    assert!(outcome.errors.contains("oneport.toml:2:1"), "{}", outcome.errors);
    assert!(outcome.errors.contains("did you mean `secret`?"), "{}", outcome.errors);
    assert!(outcome.out.is_empty(), "nothing was started");
}

#[tokio::test]
async fn two_hundred_calls_at_once_are_echoed_by_the_switch() {
    use oneport::{Format, NewCall, Phone, PhoneConfig};
    use std::time::Duration;
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("oneport.toml");
    let guests = "[guests]\nmax_calls = 500\nmax_calls_per_address = 500\n";
    // A busy machine takes them all.
    std::fs::write(&config, format!("[overload]\nenabled = false\n{guests}")).expect("writable");
    let switch = serve(&["--config", &config.display().to_string()]);
    let to = switch.address.parse().expect("an address");
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    let phone = Phone::bind(PhoneConfig { listen, ..PhoneConfig::default() }).expect("bound");
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let mut call = phone.call(to, NewCall::to("echo")).await.expect("placed");
        calls.spawn(async move {
            call.answered().await.expect("answered");
            let (mut reader, speaker) = call.audio().await.expect("accepted");
            let mut clock = tokio::time::interval(Duration::from_millis(20));
            clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            // One frame of each is on its way, so that no buffer is full where the machine stands still.
            for n in 0..50 {
                clock.tick().await;
                let said = [n; 160];
                speaker.send(Format::ULAW, &said, 20);
                let frame = reader.next_frame().await.expect("the call lives");
                assert_eq!(frame.payload.as_slice(), said);
            }
        });
    }
    let heard = tokio::time::timeout(Duration::from_secs(120), calls.join_all()).await;
    assert_eq!(heard.expect("no call hangs").len(), 200);
    assert_eq!(phone.calls().await, Ok(0));
    // And there is room for as many again.
    let mut call = phone.call(to, NewCall::to("echo")).await.expect("placed");
    call.answered().await.expect("answered");
}

#[test]
fn the_schema_tells_an_editor_of_every_section() {
    let printed = oneport(&["schema"], None).out;
    let schema: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    let peer = &schema["properties"]["peers"]["additionalProperties"]["properties"];
    assert_eq!(peer["qualify_limit_ms"]["maximum"], 60_000, "{printed}");
    assert!(peer["secret"]["description"].is_string(), "{printed}");
}

#[test]
fn help_needs_no_manual() {
    for command in [
        "serve", "call", "answer", "phone", "register", "ping", "probe", "load", "check", "import",
        "doctor",
    ] {
        let help = oneport(&[command, "--help"], None);
        insta::assert_snapshot!(format!("help_{command}"), help.out);
    }
    insta::assert_snapshot!("help", oneport(&["--help"], None).out);
}

#[test]
fn an_asterisk_configuration_is_imported_once_and_then_served() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("a directory");
    let asterisk = directory.path().join("asterisk");
    std::fs::create_dir(&asterisk).expect("writable");
    let iax = "[general]\nbindport=4570\nbindaddr=127.0.0.1\n\
               [site]\ntype=friend\nhost=dynamic\nsecret=correct horse\n";
    std::fs::write(asterisk.join("iax.conf"), iax).expect("writable");
    let output = directory.path().join("oneport.toml");
    let (from, to) = (asterisk.display().to_string(), output.display().to_string());
    let first = oneport(&["import", &from, "--output", &to], None);
    assert_eq!(first.code, 0, "{}", first.errors);
    assert!(first.out.contains("kept         iax.conf:7  secret=***"), "{}", first.out);
    assert!(!first.out.contains("correct horse") && !first.errors.contains("correct horse"));
    for file in [&output, &directory.path().join("oneport.secrets/site")] {
        let mode = std::fs::metadata(file).expect("written").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    let again = oneport(&["import", &from, "--output", &to], None);
    assert_eq!(again.code, 2, "{}", again.errors);
    let json = oneport(&["import", &from, "--output", &to, "--force", "--report", "json"], None);
    let report: serde_json::Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!(report["lines"][0]["verdict"], "kept");
    let check = oneport(&["check", "--config", &to], None);
    assert_eq!(check.code, 0, "{}", check.errors);
    assert!(check.out.contains("listens on UDP 127.0.0.1:4570"), "{}", check.out);
    assert!(check.out.contains("site: registers, proves itself by md5"), "{}", check.out);
    let missing = oneport(&["import", &to, "--output", &to], None);
    assert_ne!(missing.code, 0);
}

#[test]
fn the_doctor_s_exit_code_says_whether_anything_matters() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("oneport.toml");
    std::fs::write(&config, "[peers.site]\nsecret = \"site\"\n").expect("writable");
    let mode = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(&config, mode).expect("ours");
    let path = config.display().to_string();
    let weak = oneport(&["doctor", "--config", &path, "--json"], None);
    assert_eq!(weak.code, 1, "{}", weak.errors);
    let findings: serde_json::Value = serde_json::from_str(&weak.out).expect("JSON");
    let ids: Vec<&str> =
        findings.as_array().expect("a list").iter().filter_map(|one| one["id"].as_str()).collect();
    assert!(ids.contains(&"secret-is-name") && ids.contains(&"readable-secret"), "{ids:?}");
    std::fs::write(&config, "[peers.site]\nsecret = \"correct horse battery\"\n")
        .expect("writable");
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&config, mode).expect("ours");
    let good = oneport(&["doctor", "--config", &path], None);
    assert_eq!(good.code, 0, "{}{}", good.out, good.errors);
    assert!(good.out.contains("[permit-everywhere]"), "a notice: {}", good.out);
    let asterisk = oneport(&["doctor", "--asterisk", "/nonexistent"], None);
    assert_eq!(asterisk.code, 1, "{}", asterisk.errors);
}

#[test]
fn check_shows_a_mistake_at_its_place() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("oneport.toml");
    std::fs::write(&config, "[peers.site]\nsecrt = \"right\"\n").expect("writable");
    let outcome = oneport(&["check", "--config", &config.display().to_string()], None);
    assert_eq!(outcome.code, 2);
    assert!(outcome.errors.contains("oneport.toml:2:1"), "{}", outcome.errors);
}

/// A call to `target` by the peer ann; its exit code.
fn ann_calls(address: &str, number: &str) -> i32 {
    let target = format!("iax:ann@{address}/{number}");
    oneport(&["call", &target, "--duration", "200ms"], Some("secret of ann")).code
}

#[test]
fn a_changed_file_is_taken_and_a_wrong_one_changes_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("oneport.toml");
    let peer = "[peers.ann]\nsecret = \"secret of ann\"\n";
    let route =
        |number: &str| format!("[[routes]]\nnumber = \"{number}\"\nto = [\"builtin:echo\"]\n");
    std::fs::write(&file, format!("{peer}{}", route("7"))).expect("writable");
    let serve = serve(&["--config", file.to_str().expect("text")]);
    assert_eq!(ann_calls(&serve.address, "7"), 0);
    let no_such_number = 14;
    assert_eq!(ann_calls(&serve.address, "8"), no_such_number);
    // As editors do it: a new file in the place of the old one.
    let new = directory.path().join("new");
    std::fs::write(&new, format!("{peer}{}", route("8"))).expect("writable");
    std::fs::rename(&new, &file).expect("the same directory");
    let patience = std::time::Instant::now();
    while ann_calls(&serve.address, "8") != 0 {
        assert!(patience.elapsed().as_secs() < 20, "the change was not noticed");
    }
    assert_eq!(ann_calls(&serve.address, "7"), no_such_number);
    std::fs::write(&file, format!("{peer}{}[[rotes]]\n", route("7"))).expect("writable");
    let process = serve.process.id().to_string();
    let kill = Command::new("kill").args(["-HUP", &process]).status().expect("it runs");
    assert!(kill.success());
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(ann_calls(&serve.address, "8"), 0, "the old configuration stays");
    std::fs::write(&file, format!("{peer}{}", route("7"))).expect("writable");
    let patience = std::time::Instant::now();
    while ann_calls(&serve.address, "7") != 0 {
        assert!(patience.elapsed().as_secs() < 20, "the mended file was not taken");
    }
}

#[test]
fn a_file_behind_a_link_is_watched_where_it_is() {
    let (here, there) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("another"));
    let (link, file) = (here.path().join("oneport.toml"), there.path().join("site.toml"));
    let text = |number: &str| {
        format!(
            "[peers.ann]\nsecret = \"secret of ann\"\n\
             [[routes]]\nnumber = \"{number}\"\nto = [\"builtin:echo\"]\n"
        )
    };
    std::fs::write(&file, text("7")).expect("writable");
    std::os::unix::fs::symlink(&file, &link).expect("linked");
    let serve = serve(&["--config", link.to_str().expect("text")]);
    assert_eq!(ann_calls(&serve.address, "7"), 0);
    std::fs::write(&file, text("8")).expect("writable");
    let patience = std::time::Instant::now();
    while ann_calls(&serve.address, "8") != 0 {
        assert!(patience.elapsed().as_secs() < 60, "the change was not noticed");
    }
}

/// `oneport serve` with its API, and where that is.
fn serve_with_api(config: &Path, state: &Path, more: &[&str]) -> (Serve, String) {
    let mut process = Command::new(cargo_bin("oneport"))
        .args(["serve", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0", "--config"])
        .arg(config)
        .args(more)
        .env("STATE_DIRECTORY", state)
        .env("ONEPORT_LOG", "debug")
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(state.join("log")).expect("writable"))
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
    let line = lines.next().expect("a line").expect("text");
    let address = line.rsplit(' ').next().expect("the address is last").to_string();
    let api = lines.map(|line| line.expect("text")).find_map(|line| {
        let rest = line.strip_prefix("the API listens on http://")?;
        Some(rest.split(' ').next().unwrap_or(rest).to_string())
    });
    let own = tempfile::tempdir().expect("a directory");
    (Serve { process, address, _state: own }, api.expect("it says where its API listens"))
}

/// Asks a switch of which the state is there.
fn ask(api: &str, state: &Path, arguments: &[&str]) -> Outcome {
    let mut command = Command::new("timeout");
    command.arg("30").arg(cargo_bin("oneport")).args(arguments).args(["--api", api]);
    command.env("STATE_DIRECTORY", state).env_remove("ONEPORT_API_TOKEN").stdin(Stdio::null());
    let output = command.output().expect("it runs");
    Outcome {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn a_running_switch_is_shown_told_and_logged() {
    let directory = tempfile::tempdir().expect("a directory");
    let state = directory.path();
    let file = state.join("oneport.toml");
    let config = "[peers.ann]\nsecret = \"secret of ann\"\n\
                  [[limits]]\nname = \"all\"\nmax_calls = 10\n";
    std::fs::write(&file, config).expect("writable");
    let (switch, api) = serve_with_api(&file, state, &["--log-format", "json"]);
    let status = ask(&api, state, &["status"]);
    assert_eq!(status.code, 0, "{}", status.errors);
    assert!(status.out.contains("peers          1, 0 of them"), "{}", status.out);
    let mut call = Command::new(cargo_bin("oneport"))
        .args(["call", &format!("iax:ann@{}/echo", switch.address), "--duration", "60s"])
        .env("ONEPORT_SECRET", "secret of ann")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let patience = std::time::Instant::now();
    let id = loop {
        let shown = ask(&api, state, &["show", "calls", "--json"]);
        let calls: serde_json::Value = serde_json::from_str(&shown.out).expect("JSON");
        if calls["calls"][0]["state"] == "answered" {
            break calls["calls"][0]["id"].as_str().expect("an id").to_string();
        }
        assert!(patience.elapsed().as_secs() < 30, "{}{}", shown.out, shown.errors);
    };
    for (list, words) in [
        ("calls", &["ann", "answered", "1 call\n"][..]),
        ("peers", &["ann", "UNKNOWN", "1 peer\n"]),
        ("limits", &["all", "10", "1 limit\n"]),
        ("netstats", &["IAX2/ann-", "1 leg;"]),
        ("registrations", &["0 here, 0 elsewhere"]),
        ("conferences", &["0 conferences, 0 members"]),
        ("parking", &["0 of 20 slots taken"]),
    ] {
        let shown = ask(&api, state, &["show", list]);
        assert_eq!(shown.code, 0, "{}", shown.errors);
        for word in words {
            assert!(shown.out.contains(word), "no {word} in:\n{}", shown.out);
        }
        // It is no terminal.
        assert!(!shown.out.contains('\x1b'), "{}", shown.out);
        assert!(list != "calls" || shown.out.contains(" ROUTE"), "all columns:\n{}", shown.out);
    }
    let draining = ask(&api, state, &["drain"]);
    assert!(draining.out.contains("draining: new calls are refused; 1 leg up"), "{}", draining.out);
    let undrained = ask(&api, state, &["undrain"]);
    assert_eq!(undrained.out, "calls are taken; 1 leg up\n");
    let nobody = ask(&api, state, &["conference", "mute", "sales", &id]);
    assert_eq!(nobody.code, 1);
    assert!(nobody.errors.contains("is not in conference `sales`"), "{}", nobody.errors);
    let hung_up = ask(&api, state, &["hangup", &id]);
    assert_eq!(hung_up.code, 0, "{}", hung_up.errors);
    assert!(call.wait().expect("it ends").code().is_some());
    let again = ask(&api, state, &["hangup", "no-such-call"]);
    assert_eq!(again.code, 1);
    assert!(again.errors.contains("there is no call `no-such-call`"), "{}", again.errors);
    let records = ask(&api, state, &["show", "cdr", "--peer", "ann"]);
    assert!(records.out.contains("echo") && records.out.contains("1 record\n"), "{}", records.out);
    let refusals = ask(&api, state, &["show", "refusals"]);
    assert!(refusals.out.starts_with("0 refusals"), "{}{}", refusals.out, refusals.errors);
    std::fs::write(&file, format!("{config}[peers.bob]\nsecret = \"secret of bob\"\n"))
        .expect("writable");
    let tried = ask(&api, state, &["reload", "--dry-run"]);
    // The file is watched too, and may have been taken already.
    assert!(
        tried.out.contains("would be made; untouched: 0 calls"),
        "{}{}",
        tried.out,
        tried.errors
    );
    let wrong = Command::new(cargo_bin("oneport"))
        .args(["status", "--api", &api])
        .env("ONEPORT_API_TOKEN", "a token of nobody")
        .output()
        .expect("it runs");
    assert_eq!(wrong.status.code(), Some(12), "unauthorised");
    let nowhere = ask("127.0.0.1:9", state, &["status"]);
    assert_eq!(nowhere.code, 13, "{}", nowhere.errors);
    let log = std::fs::read_to_string(state.join("log")).expect("a log");
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    let of_call = |line: &&serde_json::Value| line["call"] == id.as_str();
    let ended = lines.iter().rfind(of_call).unwrap_or_else(|| panic!("no line has {id}:\n{log}"));
    assert!(ended["message"].as_str().is_some_and(|text| text.contains("echo")), "{ended}");
    assert!(ended["timestamp"].is_string() && ended["level"] == "INFO", "{ended}");
}

#[test]
fn the_manual_and_completions_know_every_command() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = directory.path().display().to_string();
    let made = oneport(&["manual", &at], None);
    assert_eq!(made.code, 0, "{}", made.errors);
    let help = oneport(&["--help"], None).out;
    let (_, commands) = help.split_once("Commands:\n").expect("a list");
    let (commands, _) = commands.split_once("\n\n").expect("its end");
    let names = commands.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names: Vec<_> = names.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.len() > 30, "{names:?}");
    let bash = oneport(&["completions", "bash"], None).out;
    for name in names.into_iter().filter(|name| *name != "help") {
        let page = std::fs::read_to_string(directory.path().join(format!("oneport-{name}.1")));
        assert!(page.is_ok_and(|page| page.contains(".SH SYNOPSIS")), "{name}");
        assert!(bash.contains(&format!("oneport,{name})")), "{name}");
    }
}

#[test]
fn the_configuration_of_the_package_is_good_and_so_is_what_it_suggests() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../contrib/oneport.toml");
    let check = oneport(&["check", "--config", example], None);
    assert_eq!(check.code, 0, "{}", check.errors);
    // What is a sentence stays a comment.
    let text = std::fs::read_to_string(example).expect("it is there");
    let suggested = |line: &str| line.starts_with("# [") || line.contains(" = ");
    let lines = text.lines().map(|line| match line.strip_prefix("# ") {
        Some(inside) if suggested(line) => inside,
        _ => line,
    });
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("oneport.toml");
    std::fs::write(&file, lines.collect::<Vec<_>>().join("\n")).expect("writable");
    let check = oneport(&["check", "--config", &file.display().to_string()], None);
    assert_eq!(check.code, 0, "{}", check.errors);
    assert!(check.out.contains("peers: 2") && check.out.contains("peer box"), "{}", check.out);
}
