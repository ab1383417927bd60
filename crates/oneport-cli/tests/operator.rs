//! What an operator does with calls of a real Asterisk 22: one is placed, recorded, captured and ended,
//! and one id leads through all that is told of it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use assert_cmd::cargo::cargo_bin;
use oneport::media::{Codec, wav};
use oneport_testkit::peers::asterisk::Asterisk;
use oneport_testkit::peers::tshark;
use oneport_testkit::peers::{free_port, wait_for};
use serde_json::Value;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// `oneport serve` with its API; killed when dropped.
struct Serve {
    process: Child,
    api: String,
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn serve(state: &Path) -> Serve {
    let mut process = Command::new(cargo_bin("oneport"))
        .args(["serve", "--api", "127.0.0.1:0", "--log-format", "json", "--config"])
        .arg(state.join("oneport.toml"))
        .env("STATE_DIRECTORY", state)
        .env("ONEPORT_LOG", "oneport=debug,oneport_switch=debug")
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(state.join("log")).expect("writable"))
        .spawn()
        .expect("it starts");
    let output = BufReader::new(process.stdout.take().expect("piped"));
    let api = output.lines().map(|line| line.expect("text")).find_map(|line| {
        let rest = line.strip_prefix("the API listens on http://")?;
        Some(rest.split(' ').next().unwrap_or(rest).to_string())
    });
    Serve { process, api: api.expect("it says where its API listens") }
}

struct Operator<'a> {
    api: &'a str,
    state: &'a Path,
}

impl Operator<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(cargo_bin("oneport"));
        command.args(arguments).args(["--api", self.api]).env("STATE_DIRECTORY", self.state);
        command.env_remove("ONEPORT_API_TOKEN").stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.command(arguments).output().expect("it runs");
        assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).expect("text").trim_end().to_string()
    }

    /// In OpenMetrics.
    fn metrics(&self) -> String {
        let port = self.api.rsplit(':').next().expect("a port");
        let token = std::fs::read_to_string(self.state.join(format!("api-{port}.token")));
        let output = Command::new("curl")
            .args(["-s", "-H", "Accept: application/openmetrics-text", "-H"])
            .arg(format!("Authorization: Bearer {}", token.expect("a token").trim()))
            .arg(format!("http://{}/metrics", self.api))
            .output()
            .expect("curl runs");
        String::from_utf8(output.stdout).expect("text")
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let text = self.run(&[arguments, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

/// Noise in µ-law.
fn speech() -> Vec<u8> {
    let mut state = 7_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..24_000).map(|_| next()).collect()
}

/// How many frames of what was said are there, bit for bit and in order. A busy Asterisk's timestamps
/// leave gaps now and then, or make two frames overlap, of which the second is cut.
fn frames_in_order(heard: &[i16], said: &[i16]) -> usize {
    let mut rest = heard;
    let is_there = |frame: &&[i16]| {
        let place = rest.windows(160).position(|window| window == *frame);
        rest = place.map_or(rest, |place| &rest[place + 160..]);
        place.is_some()
    };
    said.chunks_exact(160).filter(is_there).count()
}

const EXTENSIONS: &str = "[test]
exten => first,1,Answer()
same => n,Wait(600)
exten => second,1,Answer()
same => n,Wait(600)
";

#[test]
fn one_id_leads_through_a_call_s_legs_recording_capture_log_records_and_metrics() {
    let directory = tempfile::tempdir().expect("a directory");
    let state = directory.path();
    let asterisk = Asterisk::start(
        "disallow=all\nallow=ulaw\n[us]\ntype=friend\nsecret=secretofus\nhost=dynamic\ncontext=test\n",
        EXTENSIONS,
    );
    let (inside, outside) = asterisk.file("speech.ulaw");
    std::fs::write(outside, speech()).expect("writable");
    let player = format!(
        "{EXTENSIONS}exten => play,1,Playback({})\nsame => n,Wait(600)\n",
        inside.trim_end_matches(".ulaw")
    );
    asterisk.set_dialplan(&player);
    let (there, port) = (asterisk.address(), free_port());
    let config = format!(
        "[overload]\nenabled = false\n[server]\nlisten = [\"127.0.0.1:{port}\"]\n[audio]\nrecord = {:?}\n\
         [peers.pbx]\naddress = \"{there}\"\nusername = \"us\"\nsecret = \"secretofus\"\n\
         codecs = [\"ulaw\"]\n",
        state.join("recordings")
    );
    std::fs::write(state.join("oneport.toml"), config).expect("writable");
    let serve = serve(state);
    let operator = Operator { api: &serve.api, state };
    wait_for("Asterisk to be reached", PATIENCE, || {
        operator.json(&["show", "peers"])["peers"][0]["state"] == "ok"
    });
    let id = operator.run(&["originate", "peer:pbx/first", "peer:pbx/second", "--name", "desk"]);
    let mut call = Value::Null;
    wait_for("both ends to answer", PATIENCE, || {
        call = operator.json(&["show", "calls"])["calls"][0].clone();
        call["state"] == "answered"
    });
    assert_eq!(call["id"], id.as_str());
    for leg in [&call["caller"], &call["called"][0]] {
        assert_eq!((&leg["call"], &leg["peer"]), (&id.as_str().into(), &"pbx".into()));
    }
    let file = operator.run(&["record", &id]);
    assert!(file.ends_with(&format!("{id}.wav")), "{file}");
    let capture = state.join("call.pcapng");
    let written = capture.display().to_string();
    let capturing = operator
        .command(&["capture", &id, "--write", &written])
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    wait_for("the capture to begin", PATIENCE, || {
        std::fs::metadata(&capture).is_ok_and(|file| file.len() > 0)
    });
    // What waited speaks now.
    let channels = asterisk.cli("core show channels concise");
    // Its number is the other's caller's number, so the context tells them apart.
    let first = channels.lines().find(|line| line.contains("!test!first!")).expect("it waits");
    let first = first.split('!').next().unwrap_or_default();
    let _ = asterisk.cli(&format!("channel redirect {first} test,play,1"));
    // It has said all, and waits again.
    asterisk.wait_for_log("[play@test:2]");
    let metrics = operator.metrics();
    for sample in [
        "oneport_link_jitter_seconds{peer=\"pbx\",direction=\"in\"} ",
        "oneport_link_rtt_seconds_count{peer=\"pbx\"} ",
        "oneport_recordings 1\n",
    ] {
        assert!(metrics.contains(sample), "no {sample}:\n{metrics}");
    }
    let ladder = operator.run(&["ladder", "--ascii", &id]);
    let places = ["NEW", "ACCEPT", "ANSWER"].map(|message| ladder.find(&format!("- {message}")));
    assert!(places.is_sorted() && places[0].is_some(), "{ladder}");
    operator.run(&["hangup", &id]);
    let mut said = Vec::new();
    Codec::Ulaw.decode(&speech(), &mut said);
    let (all, begun) = (said.len() / 160, std::time::Instant::now());
    loop {
        let heard = wav::read_stereo(Path::new(&file)).map(|(left, ..)| left).unwrap_or_default();
        let there = frames_in_order(&heard, &said);
        if there >= all * 9 / 10 {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{there} of {all} frames are in the recording");
        std::thread::sleep(Duration::from_millis(100));
    }
    // It ends by itself.
    let captured = capturing.wait_with_output().expect("it ends");
    assert!(captured.status.success());
    let bytes = std::fs::read(&capture).expect("a capture");
    assert!(bytes.windows(id.len()).any(|window| window == id.as_bytes()), "the id is its comment");
    let ports = [port, there.port()];
    let packets = tshark::dissect(&capture, &ports);
    assert!(packets.iter().all(|packet| !packet.malformed), "{packets:?}");
    let minis = packets.iter().filter(|packet| packet.from_port == there.port()).count();
    assert!(minis >= 150, "{minis} of what Asterisk says");
    // The call was up before: the NEW of both its legs is there all the same.
    let news = packets.iter().filter(|packet| packet.info.contains("NEW")).count();
    assert!(news >= 2, "the beginning of both legs: {news}");
    let hangups = packets.iter().filter(|packet| packet.info.contains("HANGUP")).count();
    assert!(hangups >= 2, "the end of both legs: {hangups}");
    let fields =
        tshark::fields(&capture, &ports, &["frame.interface_name", "frame.packet_flags_direction"]);
    let legs: std::collections::BTreeSet<_> = fields.iter().map(|one| one[0].as_str()).collect();
    assert!(legs.len() == 2 && legs.iter().all(|leg| leg.starts_with("IAX2/pbx-")), "{legs:?}");
    let ways: std::collections::BTreeSet<_> = fields.iter().map(|one| one[1].as_str()).collect();
    assert_eq!(ways.len(), 2, "in and out: {ways:?}");
    let mut records = Value::Null;
    wait_for("both records", PATIENCE, || {
        records = operator.json(&["show", "cdr"])["records"].clone();
        records.as_array().is_some_and(|records| records.len() == 2)
    });
    for record in records.as_array().expect("a list") {
        assert_eq!((&record["call"], &record["direction"]), (&id.as_str().into(), &"out".into()));
    }
    let metrics = operator.metrics();
    let exemplar = format!("# {{call_id=\"{id}\"}}");
    for metric in ["oneport_call_setup_seconds_bucket", "oneport_call_duration_seconds_bucket"] {
        let has = |line: &str| line.starts_with(metric) && line.contains(&exemplar);
        assert!(metrics.lines().any(has), "{metric} has no {exemplar}:\n{metrics}");
    }
    lines_of_calls_bear_their_id(state, &id);
}

/// Every line of the log that names the call or a leg of it has its id as a field, and there are such
/// lines of both legs.
fn lines_of_calls_bear_their_id(state: &Path, id: &str) {
    let log = std::fs::read_to_string(state.join("log")).expect("a log");
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    let text = |line: &Value| line["message"].as_str().unwrap_or_default().to_string();
    let of_call: Vec<&Value> = lines.iter().filter(|line| line["call"] == id).collect();
    // Legs are named by handles, such as `call3.1`, in front of what is said of them.
    let handles: std::collections::BTreeSet<String> = of_call
        .iter()
        .filter_map(|line| text(line).split_once(": ").map(|(handle, _)| handle.to_string()))
        .filter(|handle| {
            let number = handle.strip_prefix("call").unwrap_or_default();
            !number.is_empty() && number.chars().all(|c| c.is_ascii_digit() || c == '.')
        })
        .collect();
    assert!(handles.len() >= 2, "both legs: {handles:?}\n{log}");
    for line in &lines {
        let text = text(line);
        let words = |c: char| !c.is_ascii_alphanumeric() && c != '.';
        let names = text.contains(id) || text.split(words).any(|word| handles.contains(word));
        assert!(!names || line["call"] == id, "{line} is of the call, and does not say so");
    }
    for what in
        ["API: ", "is rung for", "calls second at pbx", "is recorded to", "its recording", "heard"]
    {
        assert!(
            of_call.iter().any(|line| text(line).contains(what)),
            "nothing says {what:?}:\n{log}"
        );
    }
}
