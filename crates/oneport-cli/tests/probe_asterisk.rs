//! `oneport probe` against a real Asterisk 22: what its polls allow, and what an echo of it does.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use assert_cmd::cargo::cargo_bin;
use oneport_testkit::impairment::Impairment;
use oneport_testkit::peers::asterisk::Asterisk;
use oneport_testkit::relay::Relay;
use serde_json::Value;

const IAX: &str = "
requirecalltoken=yes
disallow=all
allow=ulaw
[ann]
type=user
auth=md5
secret=right
context=test
requirecalltoken=yes
[bob]
type=user
auth=md5
secret=right
context=test
requirecalltoken=yes
disallow=all
allow=g726
";

const EXTENSIONS: &str = "
[test]
exten => 600,1,Answer()
same => n,Echo()
exten => tone,1,Answer()
same => n,Milliwatt(o)
";

/// The report of a probe, and its exit code.
fn probe(target: &str, arguments: &[&str]) -> (Value, Option<i32>) {
    let mut command = Command::new("timeout");
    command.arg("120").arg(cargo_bin("oneport")).args(["probe", target, "--json"]).args(arguments);
    let output = command.env("ONEPORT_SECRET", "right").stdin(Stdio::null()).output();
    let output = output.expect("it runs");
    let (text, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let report = serde_json::from_str(&text);
    (report.unwrap_or_else(|error| panic!("{error}: {text}{errors}")), output.status.code())
}

fn names(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().expect("a list");
    findings.iter().filter_map(|finding| finding["name"].as_str()).collect()
}

#[test]
fn asterisk_is_polled_without_an_account_by_datagrams_of_each_length() {
    let asterisk = Asterisk::start(IAX, EXTENSIONS);
    let (found, code) = probe(&asterisk.address().to_string(), &[]);
    assert_eq!((&found["verdict"], code), (&"untried".into(), Some(0)), "{found}");
    assert_eq!(found["polls"]["received"], found["polls"]["sent"], "{found}");
    assert_eq!(found["length"]["passes"], 1_500, "{found}");
    // It does not say where it sees us.
    assert_eq!(found["nat"], Value::Null, "{found}");
    let named = names(&found);
    assert!(named == ["call_refused"] || named == ["call_wants_secret"], "{found}");
}

#[test]
fn asterisk_s_echo_shows_both_ways_together_and_more_calls_at_once() {
    let asterisk = Asterisk::start(IAX, EXTENSIONS);
    let lossy = Impairment { loss: 0.08, ..Impairment::NONE };
    for (there, lost) in [(Impairment::NONE, 0.0..=1.5), (lossy, 3.0..=15.0)] {
        let relay = relay(asterisk.address(), there);
        let target = format!("iax:ann@{}/600", relay.address());
        let (found, code) = probe(&target, &["--duration", "6s", "--calls", "4"]);
        assert_eq!(code, Some(0), "{found}");
        let call = &found["call"];
        assert_eq!((&call["tells_ways_apart"], &call["there"]), (&false.into(), &Value::Null));
        let found_lost = call["both"]["lost_percent"].as_f64().expect("a figure");
        assert!(lost.contains(&found_lost), "{found_lost}: {found}");
        assert_eq!(names(&found).contains(&"loss"), *lost.start() > 0.0, "{found}");
        assert_eq!(found["load"]["steps"][0]["calls"], 2, "{found}");
    }
}

#[test]
fn more_calls_go_to_asterisk_in_a_trunk_that_it_does_not_send_back() {
    let asterisk = Asterisk::start(IAX, EXTENSIONS);
    let narrow = Impairment {
        bandwidth: Some(470_000),
        queue: Duration::from_millis(400),
        ..Impairment::delayed(Duration::from_millis(10))
    };
    let relay = relay(asterisk.address(), narrow);
    let target = format!("iax:bob@{}/600", relay.address());
    let arguments = ["--codec", "g726", "--duration", "3s", "--calls", "12", "--no-lengths"];
    // Ten calls have room as mini frames, twelve in a trunk; fewer where the machine has no time for them.
    let fits = (0..3).any(|_| {
        let (found, _) = probe(&target, &arguments);
        let trunk = &found["trunk_load"];
        // Its trunks are for peers whose port it knows.
        let ways = (&trunk["trunk_there"], &trunk["trunk_here"]);
        assert_eq!(ways, (&true.into(), &false.into()), "{found}");
        let good = |load: &str| found[load]["good_calls"].as_u64().expect("a count");
        assert!(good("load") < 12, "{found}");
        good("trunk_load") > good("load")
    });
    assert!(fits, "no more in a trunk");
}

#[test]
fn a_voice_of_asterisk_s_own_is_no_echo() {
    let asterisk = Asterisk::start(IAX, EXTENSIONS);
    let target = format!("iax:ann@{}/tone", asterisk.address());
    let (found, code) = probe(&target, &["--duration", "3s", "--no-lengths"]);
    assert_eq!((names(&found), code), (vec!["no_echo"], Some(1)), "{found}");
}

fn relay(far: SocketAddr, there: Impairment) -> Relay {
    Relay::start(far, there, Impairment::NONE, 11).expect("started")
}
