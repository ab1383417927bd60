//! The command behind a real NAT, in network namespaces. Needs root and nftables.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Output, Stdio};
use std::thread;
use std::time::Duration;

use assert_cmd::cargo::cargo_bin;
use oneport_testkit::audio::tone::{tone, write_wav};
use oneport_testkit::nat::{Nat, Side};
use oneport_testkit::peers::asterisk::Asterisk;
use oneport_testkit::peers::wait_for;

/// The NAT forgets an idle way after ten seconds here, the switch polls every four, and the phone
/// every twenty: what keeps the way open is either side alone.
#[test]
fn a_phone_behind_a_nat_that_forgets_is_still_reached_when_it_was_idle() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
    let binary = cargo_bin("oneport");
    let oneport = binary.to_str().expect("a path");
    for (polls, timeout) in [("qualify_seconds = 4", 10), ("qualify = false", 30)] {
        let nat = Nat::new(timeout);
        fs::write(file("secret"), "right\n").expect("writable");
        let config = format!(
            "[overload]\nenabled = false\n[peers.ann]\nsecret = \"right\"\n{polls}\nmin_refresh = 600\n\
             [peers.bob]\nsecret = \"right\"\n"
        );
        fs::write(file("oneport.toml"), config).expect("writable");
        let _switch = nat.start(
            Side::Outside,
            oneport,
            &["serve", "--no-api", "--config", &file("oneport.toml")],
        );
        thread::sleep(Duration::from_secs(1));
        let _phone = nat.start(
            Side::Inside,
            oneport,
            &[
                "answer",
                "--echo",
                "--register",
                "iax:ann@10.77.2.2",
                "--secret-file",
                &file("secret"),
            ],
        );
        // Idle for longer than the router remembers.
        thread::sleep(Duration::from_secs(timeout.into()) + Duration::from_secs(8));
        let output = nat
            .command(Side::Outside, oneport)
            .args(["call", "bob@10.77.2.2/ann", "--duration", "2s", "--json"])
            .args(["--secret-file", &file("secret")])
            .output()
            .expect("runs");
        let answer = String::from_utf8_lossy(&output.stdout);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(answer.contains("\"answered\": true"), "{polls}: {answer}{said}");
    }
}

/// A number of the JSON that `oneport call` prints, behind the key of its part.
fn figure(json: &str, part: &str, key: &str) -> u64 {
    let text = json.split_once(&format!("\"{part}\": {{")).map_or("", |(_, rest)| rest);
    let text = text.split_once(&format!("\"{key}\": ")).map_or("", |(_, rest)| rest);
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("no {part}.{key} in {json}"))
}

/// Calls the echo from behind the NAT, and does something to the call after four of its twelve
/// seconds, given what passed at the switch so far: sender and bytes in hexadecimal on each line. What
/// the caller and the switch said.
fn echo_call_disturbed(encryption: &str, disturb: impl FnOnce(&Nat, &str)) -> (Output, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
    let binary = cargo_bin("oneport");
    let oneport = binary.to_str().expect("a path");
    let nat = Nat::new(30);
    fs::write(file("secret"), "right\n").expect("writable");
    let config = format!(
        "[overload]\nenabled = false\n[peers.ann]\nsecret = \"right\"\nencryption = \"{encryption}\"\n"
    );
    fs::write(file("oneport.toml"), config).expect("writable");
    // Twelve seconds.
    write_wav(Path::new(&file("tone.wav")), &tone(500.0, 12 * 8_000));
    let log = directory.path().join("log");
    let arguments = ["serve", "--no-api", "--config", &file("oneport.toml")];
    let _switch = nat.start_logged(Side::Outside, oneport, &arguments, &log);
    let packets = File::create(directory.path().join("packets")).expect("writable");
    let mut watch = nat
        .command(Side::Outside, "tshark")
        .args(["-i", "eth", "-l", "-f", "udp", "-T", "fields", "-e", "ip.src", "-e", "udp.payload"])
        .stdin(Stdio::null())
        .stdout(packets)
        .stderr(File::create(directory.path().join("capture")).expect("writable"))
        .spawn()
        .expect("ip runs");
    wait_for("tshark to capture", Duration::from_secs(60), || {
        let said = fs::read_to_string(directory.path().join("capture")).expect("text");
        said.contains("Capturing on")
    });
    let (secret, tone) = (file("secret"), file("tone.wav"));
    let mut call = nat.command(Side::Inside, oneport);
    call.args(["call", "ann@10.77.2.2/echo", "--json", "--encryption", encryption])
        .args(["--play", &tone, "--secret-file", &secret])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let call = call.spawn().expect("ip runs");
    let packets = || fs::read_to_string(directory.path().join("packets")).expect("text");
    wait_for("the call to be captured", Duration::from_secs(60), || packets().lines().count() > 20);
    thread::sleep(Duration::from_secs(4));
    disturb(&nat, &packets());
    let _ = watch.kill();
    let _ = watch.wait();
    let output = call.wait_with_output().expect("it runs");
    let said = || fs::read_to_string(&log).expect("a log");
    // The end of the call has reached the switch.
    wait_for("the call's line in the log", Duration::from_secs(60), || said().contains("heard"));
    (output, said())
}

/// At most so many frames of 20 ms are lost, and the end of the call comes in good order.
fn check_recovered(output: &Output, log: &str, most: u64) {
    let json = String::from_utf8_lossy(&output.stdout);
    let all = format!("{json}{}{log}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && json.contains("\"outcome\": \"ok\""), "{all}");
    let sent = figure(&json, "quality", "sent_frames");
    let heard = figure(&json, "heard", "frames");
    assert!(sent >= 590, "{all}");
    assert!(heard + most >= sent, "{} of {sent} frames lost: {all}", sent - heard);
    println!("{} of {sent} frames lost", sent.saturating_sub(heard));
    // By the caller's HANGUP rather than by its silence.
    assert!(log.contains("normal clearing"), "{all}");
}

#[test]
fn a_call_behind_a_nat_goes_on_when_its_public_port_changes() {
    for encryption in ["off", "required"] {
        let (output, log) = echo_call_disturbed(encryption, |nat, _| {
            nat.line_down();
            nat.line_up();
        });
        assert!(log.contains("moved from 10.77.2.1:"), "{log}");
        check_recovered(&output, &log, 150);
    }
}

#[test]
fn a_call_behind_a_nat_does_not_move_to_somebody_who_spoofs() {
    let (output, log) = echo_call_disturbed("off", |nat, packets| {
        // The last full frame of the caller has both numbers.
        let frames = packets.lines().filter_map(|line| line.strip_prefix("10.77.2.1\t"));
        let mut full = frames.filter(|hex| hex.as_bytes()[0] >= b'8' && &hex[4..8] != "0000");
        let full = full.next_back();
        let numbers = &full.unwrap_or_else(|| panic!("no full frame in {packets}"))[..8];
        let escaped = |hex: &str| -> String {
            let bytes: Vec<char> = hex.chars().collect();
            bytes
                .chunks(2)
                .map(|two| two.iter().fold("\\x".into(), |a: String, c| a + &c.to_string()))
                .collect()
        };
        // While the caller is silent, PING's answer, LAGRQ, HANGUP, voice and a mini frame come in
        // its name.
        let mut script = String::from("exec 3<>/dev/udp/10.77.2.2/4569; for n in $(seq 40); do ");
        for rest in
            ["0000000003030603", "000000000303060b", "0000000003030605", "0000000003030204ffff"]
        {
            script += &format!("printf '{}' >&3; ", escaped(&format!("{numbers}{rest}")));
        }
        let mini = format!(
            "{:04x}0001ffffffff",
            u16::from_str_radix(&numbers[..4], 16).expect("hex") & 0x7FFF
        );
        script += &format!("printf '{}' >&3; sleep 0.08; done", escaped(&mini));
        nat.line_down();
        let status = nat.command(Side::Elsewhere, "bash").args(["-c", &script]).status();
        assert!(status.is_ok_and(|status| status.success()), "bash sends");
        nat.line_up();
    });
    assert!(!log.contains("to 10.77.3.2"), "{log}");
    // The line was down for more than three seconds.
    check_recovered(&output, &log, 400);
}

#[test]
fn asterisk_behind_a_nat_is_reached_after_idling_longer_than_the_nat_remembers() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
    let binary = cargo_bin("oneport");
    let oneport = binary.to_str().expect("a path");
    let nat = Nat::new(30);
    fs::write(file("secret"), "right\n").expect("writable");
    let config = "[overload]\nenabled = false\n[peers.ann]\nsecret = \"right\"\nmin_refresh = 600\n\
                  [peers.bob]\nsecret = \"right\"\n";
    fs::write(file("oneport.toml"), config).expect("writable");
    let log = directory.path().join("log");
    let arguments = ["serve", "--no-api", "--config", &file("oneport.toml")];
    let _switch = nat.start_logged(Side::Outside, oneport, &arguments, &log);
    let inside = nat.namespace(Side::Inside);
    // It polls nobody itself, and its next registration is eight minutes away.
    let _asterisk = Asterisk::start_in(
        Some(&inside),
        "register => ann:right@10.77.2.2\n\
         [guest]\ntype=user\ncontext=test\nrequirecalltoken=no\n",
        "[test]\nexten => ann,1,Answer()\nsame => n,Echo()\n",
    );
    let said = || fs::read_to_string(&log).expect("a log");
    wait_for("Asterisk to register", Duration::from_secs(60), || said().contains("ann registered"));
    thread::sleep(Duration::from_secs(45));
    let output = nat
        .command(Side::Outside, oneport)
        .args(["call", "bob@10.77.2.2/ann", "--duration", "2s", "--json"])
        .args(["--secret-file", &file("secret")])
        .output()
        .expect("runs");
    let answer = String::from_utf8_lossy(&output.stdout);
    assert!(answer.contains("\"answered\": true"), "{answer}{}", said());
}

/// The phone learns from the answers to its polls that it has another port, and registers anew.
#[test]
fn a_phone_behind_a_nat_whose_port_changed_since_it_registered_is_reached() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
    let binary = cargo_bin("oneport");
    let oneport = binary.to_str().expect("a path");
    let nat = Nat::new(30);
    fs::write(file("secret"), "right\n").expect("writable");
    let config = "[overload]\nenabled = false\n[peers.ann]\nsecret = \"right\"\nmin_refresh = 600\n\
                  [peers.bob]\nsecret = \"right\"\n";
    fs::write(file("oneport.toml"), config).expect("writable");
    let (log, secret) = (directory.path().join("log"), file("secret"));
    let arguments = ["serve", "--no-api", "--config", &file("oneport.toml")];
    let _switch = nat.start_logged(Side::Outside, oneport, &arguments, &log);
    thread::sleep(Duration::from_secs(1));
    let register =
        ["answer", "--echo", "--register", "iax:ann@10.77.2.2", "--secret-file", &secret];
    let _phone = nat.start(Side::Inside, oneport, &register);
    let said = || fs::read_to_string(&log).expect("a log");
    wait_for("the phone to register", Duration::from_secs(60), || {
        said().contains("ann registered")
    });
    nat.line_down();
    nat.line_up();
    // Its next registration is eight minutes away.
    wait_for("the phone to move", Duration::from_secs(90), || said().contains("ann moved from"));
    let output = nat
        .command(Side::Outside, oneport)
        .args(["call", "bob@10.77.2.2/ann", "--duration", "2s", "--json"])
        .args(["--secret-file", &secret])
        .output()
        .expect("runs");
    let answer = String::from_utf8_lossy(&output.stdout);
    assert!(answer.contains("\"answered\": true"), "{answer}{}", said());
}

/// The NAT gives out ports by chance and forgets an idle way after twelve seconds. Somebody elsewhere is
/// asked as well.
#[test]
fn a_probe_tells_the_nat_its_ports_and_when_it_forgets() {
    let report = deep_probe(&Nat::new(12));
    assert_eq!(report["nat"]["kind"], "changes_ports", "{report}");
    assert!(report["nat"]["own"].as_str().is_some_and(|own| own.starts_with("10.77.1.2:")));
    let seen = report["nat"]["seen"][0].as_str().expect("an address");
    assert!(seen.starts_with("10.77.2.1:"), "{report}");
    assert_eq!(silences(&report), TWELVE_SECONDS, "{report}");
    assert_eq!(report["length"]["passes"], 1_500, "{report}");
    assert_eq!(report["call"]["tells_ways_apart"], true, "{report}");
}

#[test]
fn a_nat_that_gives_out_the_same_port_again_is_caught_forgetting() {
    let report = deep_probe(&Nat::that_keeps_ports(12));
    assert_eq!(report["nat"]["kind"], "keeps_ports", "{report}");
    assert_eq!(silences(&report), TWELVE_SECONDS, "{report}");
}

/// What a NAT that forgets after twelve seconds makes of silences, all of it proved.
const TWELVE_SECONDS: [(u64, bool, bool); 4] =
    [(5, true, true), (10, true, true), (20, false, true), (30, false, true)];

fn silences(report: &serde_json::Value) -> Vec<(u64, bool, bool)> {
    let silences = report["silences"].as_array().expect("a list").iter();
    let each = silences.filter_map(|one| {
        let is = |name: &str| one[name].as_bool();
        Some((one["seconds"].as_u64()?, is("is_remembered")?, is("is_proved")?))
    });
    each.collect()
}

/// The report of a probe from inside, silences of half a minute included.
fn deep_probe(nat: &Nat) -> serde_json::Value {
    let directory = tempfile::tempdir().expect("a directory");
    let binary = cargo_bin("oneport");
    let oneport = binary.to_str().expect("a path");
    let config = directory.path().join("oneport.toml");
    fs::write(&config, "[store]\npath = \"oneport.db\"\n").expect("writable");
    let arguments = ["serve", "--no-api", "--config", config.to_str().expect("a path")];
    let log = directory.path().join("log");
    let _switch = nat.start_logged(Side::Outside, oneport, &arguments, &log);
    wait_for("the switch to listen", Duration::from_secs(60), || {
        fs::read_to_string(&log).is_ok_and(|said| said.contains("listens on"))
    });
    let output = nat
        .command(Side::Inside, oneport)
        .args(["probe", "10.77.2.2/probe", "--json", "--deep", "30s", "--duration", "3s"])
        .args(["--calls", "1"])
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).expect("JSON")
}
