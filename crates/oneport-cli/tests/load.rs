//! `oneport load` through a switch, and against what does not keep up.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::cargo::cargo_bin;
use oneport_testkit::peers::{free_port, is_bound, own_loopback, wait_for};
use serde_json::{Value, json};

/// A switch that leads `bench` to whoever listens at `callee`.
struct Switch {
    process: Child,
    address: String,
    callee: String,
    _directory: tempfile::TempDir,
}

impl Switch {
    fn start(more: &str) -> Self {
        Self::start_with(more, &["--no-api"])
    }

    fn start_with(more: &str, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let ports = [(); 2].map(|()| free_port());
        let [address, callee] = ports.map(|port| format!("127.0.0.1:{port}"));
        let config = directory.path().join("oneport.toml");
        // A busy machine takes all calls, where that is not the test's subject.
        let overload = match more.contains("[overload]") {
            true => "",
            false => "[overload]\nenabled = false\n",
        };
        let text = format!(
            "{overload}[server]\nlisten = [\"{address}\"]\n[store]\npath = \"oneport.db\"\n\
             [peers.load]\nsecret = \"right\"\nencryption = \"allowed\"\n[peers.callee]\naddress = \"{callee}\"\n{more}\n\
             [[routes]]\nnumber = \"bench\"\nto = [\"peer:callee\"]\n"
        );
        std::fs::write(&config, text).expect("writable");
        let process = Command::new(cargo_bin("oneport"))
            .args(["serve", "--config"])
            .arg(&config)
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        wait_for("the switch to listen", Duration::from_secs(60), || is_bound(ports[0]));
        Self { process, address, callee, _directory: directory }
    }

    /// Loads it with what comes back to it.
    fn load(&self, arguments: &[&str]) -> Output {
        let target = format!("iax:load@{}/bench", self.address);
        let pid = self.process.id().to_string();
        let own = ["load", &target, "--answer", &self.callee, "--watch", &pid];
        run(&[&own[..], arguments].concat())
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command.arg("300").arg(cargo_bin("oneport")).args(arguments);
    command.env("ONEPORT_SECRET", "right").stdin(Stdio::null()).output().expect("it runs")
}

fn report_of(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{errors}"))
}

#[test]
fn voice_of_a_load_is_verified_frame_by_frame_and_keys_come_back() {
    let switch = Switch::start("");
    let output = switch.load(&[
        "--calls",
        "20",
        "--hold",
        "1s",
        "--duration",
        "8s",
        "--dtmf",
        "12#",
        "--codec",
        "g722",
        "--json",
    ]);
    let report = report_of(&output);
    assert!(output.status.success(), "{report}");
    let calls = &report["calls"];
    let answered = calls["answered"].as_u64().expect("a count");
    assert!(answered >= 40 && calls["completed"] == answered, "{calls}");
    assert_eq!((calls["most_at_once"].as_u64(), &report["knee"]), (Some(20), &Value::Null));
    let voice = &report["voice"];
    // On a busy machine the last frames of a call may still be on their way when it ends.
    let sent = voice["sent"].as_u64().expect("a count");
    assert!(sent >= 40 * 40 && voice["heard"].as_u64() >= Some(sent * 9 / 10), "{voice}");
    for wrong in ["damaged", "crossed", "foreign", "twice"] {
        assert_eq!(voice[wrong], 0, "{voice}");
    }
    let (pressed, came) = (count(&report["digits_sent"]), count(&report["digits_heard"]));
    assert!(pressed >= 40 && came >= pressed * 9 / 10 && came <= pressed, "{report}");
    for times in ["set_up_ms", "round_trip_ms", "one_way_ms"] {
        assert!(report[times]["p99"].as_f64().is_some_and(|ms| ms > 0.0), "{times}: {report}");
    }
    assert!(report["mos"].as_f64().is_some_and(|mos| mos > 1.0));
    assert!(report["watched"]["cpu_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0));
}

#[test]
fn trunk_frames_and_encryption_bring_the_same_voice() {
    for (more, arguments) in
        [("trunk = true", vec!["--trunk"]), ("", vec!["--encryption", "required"])]
    {
        let switch = Switch::start(more);
        let rest = ["--calls", "5", "--duration", "2s", "--json"];
        let report = report_of(&switch.load(&[&arguments[..], &rest].concat()));
        let voice = &report["voice"];
        let heard = voice["heard"].as_u64().expect("a count");
        assert!(heard > 100 && voice["damaged"] == 0 && voice["crossed"] == 0, "{report}");
    }
}

#[test]
fn a_limit_that_is_broken_is_said_in_one_sentence() {
    let switch = Switch::start("");
    let slow = switch.load(&["--calls", "2", "--duration", "1s", "--max-set-up", "0.001"]);
    let errors = String::from_utf8_lossy(&slow.stderr);
    assert_eq!(slow.status.code(), Some(1), "{errors}");
    assert!(errors.contains("ms to the answer (limit 0.001 ms)"), "{errors}");
}

#[test]
fn a_search_ends_at_the_limit_of_the_system_and_draws_it() {
    let switch =
        Switch::start("[[limits]]\nname = \"line\"\npeers = [\"callee\"]\nmax_calls = 12\n");
    let directory = tempfile::tempdir().expect("a directory");
    let picture = directory.path().join("load.svg").display().to_string();
    let output = switch.load(&[
        "--calls",
        "10",
        "--knee",
        "--step",
        "2s",
        "--max-failed",
        "1",
        "--picture",
        &picture,
        "--json",
    ]);
    let report = report_of(&output);
    assert!(output.status.success(), "{report}");
    // Ten are within the limit of twelve, a quarter more is not.
    assert_eq!(report["knee"], 10, "{report}");
    let broke = report["broke"].as_str().expect("a sentence");
    assert!(broke.starts_with("at 12 calls, ") && broke.contains("of the calls failed"), "{broke}");
    let picture = std::fs::read_to_string(Path::new(&picture)).expect("drawn");
    assert!(picture.contains("Mean opinion score") && picture.ends_with("</svg>\n"), "{picture}");
}

#[test]
fn a_load_that_nobody_answers_says_why() {
    let switch = Switch::start("");
    let target = format!("iax:load@{}/nowhere", switch.address);
    let output = run(&["load", &target, "--calls", "2", "--duration", "1s"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("no call was answered: ") && errors.contains("hint: "), "{errors}");
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))
}

#[test]
fn a_bad_network_made_inside_loses_and_delays_as_it_is_told() {
    let switch = Switch::start("");
    let rest = ["--calls", "5", "--duration", "4s", "--json"];
    let bad = ["--loss", "10", "--delay", "40ms", "--jitter", "20ms", "--seed", "7"];
    let report = report_of(&switch.load(&[&bad[..], &rest].concat()));
    // What comes back has been lost with 10 % there, and with 10 % on the way back.
    let lost = report["voice"]["lost_percent"].as_f64().expect("a share");
    assert!((10.0..30.0).contains(&lost), "{lost} %: {report}");
    let shortest = report["round_trip_ms"]["p50"].as_f64().expect("voice came back");
    assert!(shortest >= 80.0, "{shortest} ms: {report}");
    // Signalling is repeated. Which of its frames are lost differs each time, and one call may need longer.
    assert!(count(&report["calls"]["answered"]) >= 4, "{report}");
    let overtaken = report_of(&switch.load(&[&["--reorder", "20"][..], &rest].concat()));
    let voice = &overtaken["voice"];
    assert!(count(&voice["out_of_order"]) > 0 && voice["lost"] == 0, "{overtaken}");
}

#[test]
fn devices_register_leave_and_come_again() {
    let nodes: String =
        (1..=20).map(|n| format!("[peers.node{n}]\nsecret = \"right\"\n")).collect();
    let switch = Switch::start(&nodes);
    let target = format!("iax:node{{}}@{}", switch.address);
    let rest = ["--registrations", "20", "--rate", "100", "--duration", "3s"];
    let stays = report_of(&run(&[&["load", &target, "--json"][..], &rest].concat()));
    let devices = &stays["registrations"];
    assert_eq!((&devices["registered"], &devices["most_at_once"]), (&20.into(), &20.into()));
    assert_eq!((&devices["released"], &stays["calls"]["placed"]), (&20.into(), &0.into()));
    assert!(devices["took_ms"]["p99"].as_f64().is_some_and(|ms| ms > 0.0), "{stays}");
    let comes = ["load", &target, "--hold", "100ms..300ms", "--json"];
    let again = report_of(&run(&[&comes[..], &rest].concat()));
    assert!(count(&again["registrations"]["registered"]) > 40, "{again}");
    let nobody = format!("iax:nobody{{}}@{}", switch.address);
    let refused = run(&[&["load", &nobody][..], &rest].concat());
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{errors}");
    assert!(errors.contains("no device was registered: the registrar refused"), "{errors}");
}

#[test]
fn calls_go_on_beside_a_flood_of_calls_that_do_not() {
    let switch = Switch::start("");
    let report = report_of(&switch.load(&[
        "--calls",
        "3",
        "--half-open",
        "300",
        "--duration",
        "3s",
        "--json",
    ]));
    let flood = &report["half_open"];
    assert!(count(&flood["begun"]) > 200 && count(&flood["with_token"]) > 100, "{report}");
    assert!(count(&flood["answers"]["CALLTOKEN"]) >= count(&flood["with_token"]), "{report}");
    assert_eq!(report["calls"]["answered"], 3, "{report}");
    let elsewhere = ["load", "192.0.2.1/x", "--half-open", "1", "--duration", "1s"];
    let refused = run(&elsewhere);
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{errors}");
    assert!(errors.contains("not of a private network") && errors.contains("hint: "), "{errors}");
}

#[test]
fn few_speak_at_a_time_where_calls_take_turns() {
    let switch = Switch::start("");
    let report = report_of(&switch.load(&[
        "--calls",
        "6",
        "--talkers",
        "2",
        "--turn",
        "200ms",
        "--duration",
        "4s",
        "--json",
    ]));
    let voice = &report["voice"];
    // Two of them for four seconds at most, and each has had its turn.
    assert!((100..=420).contains(&count(&voice["sent"])), "{report}");
    assert!(count(&voice["heard"]) > 80 && voice["crossed"] == 0, "{report}");
}

#[test]
fn a_dialer_meets_busy_numbers_and_those_that_nobody_answers() {
    let switch = Switch::start("");
    let dialer = ["--profile", "dialer", "--calls", "30", "--give-up", "1500ms", "--hold", "200ms"];
    let shares = ["--busy", "30", "--unanswered", "40", "--ring", "100ms"];
    let report =
        report_of(&switch.load(&[&dialer[..], &shares, &["--duration", "12s", "--json"]].concat()));
    let calls = &report["calls"];
    let busy = calls["failed"].as_object().expect("reasons");
    let busy: u64 =
        busy.iter().filter(|(why, _)| why.contains("busy")).map(|(_, n)| count(n)).sum();
    let (answered, given_up) = (count(&calls["answered"]), count(&calls["given_up"]));
    assert!(busy > 0 && answered > 0 && given_up > 0, "{report}");
}

/// What `oneport show WHAT --json` tells of a switch with an API.
fn shown(api: &str, what: &[&str]) -> Value {
    let mut command = Command::new(cargo_bin("oneport"));
    command.args(what).args(["--json", "--api", api]).env("ONEPORT_API_TOKEN", TOKEN);
    report_of(&command.output().expect("it runs"))
}

/// An address for an API that no other test has.
fn own_address() -> String {
    format!("{}:8569", own_loopback())
}

const TOKEN: &str = "a token of sixteen letters";

/// A switch whose knee is low wherever it runs: calls are refused from one per cent of its thread's CPU on.
/// It goes on to refuse, so that all that come behind it are.
#[test]
fn past_the_knee_calls_are_refused_with_what_was_measured_and_those_that_are_up_keep_their_voice() {
    let api = own_address();
    let more = format!(
        "[overload]\ncpu_percent = 1\ndelay_ms = 1000\noverflow_per_second = 1000000\nafter_seconds = 1\nrecover_seconds = 600\n\
         [api]\nlisten = \"{api}\"\n[api.tokens.test]\nsecret = \"{TOKEN}\"\nrole = \"viewer\"\n"
    );
    let switch = Switch::start_with(&more, &[]);
    // More and more calls come, and each stays: some hundred times what brings the thread to its mark.
    let rest = ["--calls", "400", "--rate", "40", "--duration", "12s", "--hold", "60s", "--json"];
    let report = report_of(&switch.load(&rest));
    let calls = &report["calls"];
    let answered = count(&calls["answered"]);
    let failed: u64 = calls["failed"].as_object().expect("reasons").values().map(count).sum();
    assert!(answered > 0 && failed >= answered, "twice what it can do: {report}");
    // Who is up is heard, frame by frame.
    let voice = &report["voice"];
    for wrong in ["damaged", "crossed", "foreign", "twice", "lost"] {
        assert_eq!(voice[wrong], 0, "{voice}");
    }
    assert_eq!(calls["ended_early"], json!({}), "{calls}");
    // The last frames of each may still be on their way when it ends.
    assert!(10 * count(&voice["heard"]) > 9 * count(&voice["sent"]), "{voice}");
    let refused = shown(&api, &["show", "refusals", "--last", "1000"]);
    let of_overload = refused["records"].as_array().expect("a list").iter().filter(|one| {
        one["kind"] == "overload" && one["cause"] == 42 && one["rule"] == "overload.cpu_percent"
    });
    let whys: Vec<&str> = of_overload.filter_map(|one| one["why"].as_str()).collect();
    assert!(!whys.is_empty(), "{refused}");
    for why in whys {
        assert!(why.starts_with("overload: CPU of the media thread at "), "{why}");
    }
    let capacity = shown(&api, &["show", "capacity"]);
    assert_eq!(capacity["mark_percent"], 1, "{capacity}");
}

#[test]
fn how_many_more_calls_fit_is_told_from_those_that_are_up() {
    let api = own_address();
    let more = format!(
        "[api]\nlisten = \"{api}\"\n[api.tokens.test]\nsecret = \"{TOKEN}\"\nrole = \"viewer\"\n\
         [[limits]]\nname = \"line\"\npeers = [\"callee\"]\nmax_calls = 130\n"
    );
    let switch = Switch::start_with(&more, &[]);
    let capacity = || shown(&api, &["show", "capacity"]);
    wait_for("the API to answer", Duration::from_secs(60), || TcpStream::connect(&api).is_ok());
    let idle = capacity();
    assert_eq!((&idle["forecast"], &idle["calls"]), (&Value::Null, &json!(0)), "{idle}");
    assert!(idle["why_not"].as_str().is_some_and(|why| why.starts_with("0 calls")), "{idle}");
    let target = format!("iax:load@{}/bench", switch.address);
    let mut load = Command::new(cargo_bin("oneport"))
        .args(["load", &target, "--answer", &switch.callee])
        .args(["--calls", "100", "--rate", "50", "--hold", "10m", "--duration", "10m", "--json"])
        .env("ONEPORT_SECRET", "right")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let (begun, mut told) = (Instant::now(), capacity());
    while told["forecast"].is_null() && begun.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(500));
        told = capacity();
    }
    let _ = load.kill();
    let _ = load.wait();
    let forecast = &told["forecast"];
    let [calls, least, most] = ["calls", "at_least", "at_most"].map(|key| count(&forecast[key]));
    assert!(calls > 0 && least <= calls && calls <= most, "{told}");
    assert!(told["call_cpu_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{told}");
    let callee =
        told["peers"].as_array().expect("a list").iter().find(|one| one["peer"] == "callee");
    let callee = callee.expect("all calls go there");
    assert_eq!((&callee["codec"], &callee["trunk"]), (&json!("ulaw"), &json!(false)), "{callee}");
    // The limit leaves it 30; on a machine that is slower than that it is the CPU that bounds it.
    let (more, bound) = (count(&callee["forecast"]["calls"]), &callee["forecast"]["bound"]);
    let words = callee["forecast"]["words"].as_str().expect("a sentence");
    assert!(more <= 30 && (bound == "limit" || bound == "cpu"), "{callee}");
    assert!(
        words.starts_with("about ") && words.contains(" more ulaw calls on peer callee"),
        "{words}"
    );
}
