//! The command by itself: what it prints, draws and writes.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use assert_cmd::cargo::cargo_bin;
use oneport::media::{Codec, wav};
use oneport::{EncryptionPolicy, Format, Phone, PhoneConfig};
use oneport_interop::{BEGINNING, named, speech, until_heard};
use oneport_testkit::peers::asterisk::Asterisk;
use oneport_testkit::peers::tshark::Capture;
use serde_json::Value;

const ASTERISK: &str = "asterisk-register-call-reject.pcap";

fn testdata(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(file)
}

fn command(file: &Path, port: u16, arguments: &[&str]) -> Command {
    let mut command = Command::new(cargo_bin("oneport"));
    command.arg("decode").arg(file).args(["--port", &port.to_string()]).args(arguments);
    command.env_remove("ONEPORT_SECRET").env("LC_ALL", "C.UTF-8").env_remove("COLUMNS");
    command
}

fn text(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn decoded(arguments: &[&str]) -> String {
    text(command(&testdata(ASTERISK), 24_569, arguments).output().expect("it runs"))
}

#[test]
fn each_frame_is_a_line() {
    insta::assert_snapshot!(decoded(&["--call", "3"]));
}

#[test]
fn all_fields_of_a_frame_are_shown_where_they_are_asked_for() {
    insta::assert_snapshot!(decoded(&["-V", "--call", "3", "--message", "NEW,REJECT"]));
}

#[test]
fn calls_are_told_of_with_what_went_wrong() {
    insta::assert_snapshot!(decoded(&["--calls", "--faults"]));
}

#[test]
fn a_call_is_drawn_as_a_ladder() {
    insta::assert_snapshot!(decoded(&["--ladder", "--number", "nobody"]));
}

#[test]
fn calls_that_meet_at_a_host_stand_on_one_axis_in_the_order_that_was() {
    let drawn = decoded(&["--ladder", "--call", "2,3", "--ascii"]);
    assert_eq!(drawn.matches("127.0.0.1:24569").count(), 4, "two titles and two legs: {drawn}");
    let times: Vec<f64> =
        drawn.lines().filter_map(|line| line.split('|').next()?.trim().parse().ok()).collect();
    assert!(times.len() > 30 && times.is_sorted(), "{drawn}");
}

#[test]
fn filters_leave_what_is_wanted() {
    let lines = |arguments: &[&str]| decoded(arguments).lines().count();
    assert_eq!(lines(&[]), 47 + 1, "all frames of the capture, and what is wrong with one");
    assert_eq!(lines(&["--number", "echo", "--message", "new,hangup"]), 3);
    assert_eq!(lines(&["--number", "ech*", "--message", "NEW"]), 2);
    assert_eq!(lines(&["--number", "ech"]), 0);
    assert_eq!(lines(&["--call", "1,3", "--message", "REGREQ"]), 3);
}

#[test]
fn a_pipe_is_read_like_a_file_and_a_cut_one_up_to_where_it_was_cut() {
    let bytes = std::fs::read(testdata(ASTERISK)).expect("a capture");
    let piped = |bytes: &[u8]| {
        let mut process = command(Path::new("-"), 24_569, &["--json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        process.stdin.take().expect("a pipe").write_all(bytes).expect("written");
        process.wait_with_output().expect("it ends")
    };
    assert_eq!(text(piped(&bytes)), decoded(&["--json"]));
    let cut = piped(&bytes[..bytes.len() - 5]);
    let said = String::from_utf8_lossy(&cut.stderr).into_owned();
    assert!(said.contains("ends in the middle of packet 47"), "{said}");
    assert_eq!(text(cut).lines().count(), 46);
    let nothing = piped(b"GET / HTTP/1.1\r\n\r\n and so on and on");
    assert_eq!(nothing.status.code(), Some(1));
    let said = String::from_utf8_lossy(&nothing.stderr).into_owned();
    assert!(said.contains("neither pcap nor pcapng") && said.contains("hint: "), "{said}");
}

#[test]
fn what_the_modem_says_is_in_its_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().display().to_string();
    let capture = testdata("iaxmodem-register-call.pcap");
    let said = text(command(&capture, 24_570, &["--wav", &path]).output().expect("it runs"));
    let file = said.lines().find(|line| line.contains("from-127.0.0.1_24570")).expect("a file");
    let heard = wav::read(Path::new(file), 8_000).expect("a WAV file");
    assert!(heard.len() >= 99 * 160, "{} samples", heard.len());
    assert!(heard.iter().any(|sample| sample.unsigned_abs() > 3_000), "its tone");
}

#[test]
fn a_picture_has_the_ladder_and_its_faults() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ladder.svg");
    decoded(&["--svg", &path.display().to_string(), "--call", "3"]);
    let picture = std::fs::read_to_string(path).expect("a picture");
    for part in ["<svg ", "NEW nobody", "REJECT no route to destination (3)", "class=\"note\""] {
        assert!(picture.contains(part), "{part}: {picture}");
    }
}

#[test]
fn an_interface_that_is_none_is_refused_with_a_hint() {
    let mut command = Command::new(cargo_bin("oneport"));
    let output = command.args(["decode", "--interface", "nosuch0"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("no interface `nosuch0`") && said.contains("hint: "), "{said}");
}

#[test]
fn what_passes_at_the_loopback_is_seen_once_as_it_passes() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let port = socket.local_addr().expect("bound").port();
    let mut process = Command::new(cargo_bin("oneport"))
        .args(["decode", "--interface", "lo", "--json", "--seconds", "60"])
        .args(["--port", &port.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let lines = process.stdout.take().expect("its output");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(lines));
    // A poll of another number each time, until one is seen.
    let sender = std::thread::spawn(move || {
        for n in 2..3_000_u16 {
            let [high, low] = n.to_be_bytes();
            let poke = [0x80 | high, low, 0, 0, 0, 0, 0, 9, 0, 0, 6, 30];
            if socket.send_to(&poke, ("127.0.0.1", port)).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let seen: Vec<Value> = lines
        .by_ref()
        .take(5)
        .map(|line| serde_json::from_str(&line.expect("a line")).expect("JSON"))
        .collect();
    let _ = process.kill();
    let _ = process.wait();
    let numbers: Vec<u64> = seen.iter().filter_map(|one| one["source_call"].as_u64()).collect();
    let first = numbers[0];
    assert_eq!(numbers, [first, first + 1, first + 2, first + 3, first + 4], "each once");
    assert!(seen.iter().all(|one| one["message"] == "POKE"), "{seen:?}");
    drop(sender);
}

const IAX: &str = "
requirecalltoken=yes
disallow=all
allow=ulaw
[ann]
type=friend
host=dynamic
auth=md5
secret=right
context=test
encryption=yes
forceencryption=yes
";

const EXTENSIONS: &str = "
[test]
exten => echo,1,Answer()
same => n,Echo()
";

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_call_is_read_with_its_secret_through_changes_of_key_and_not_without() {
    let asterisk = Asterisk::start(IAX, EXTENSIONS);
    let mut config = PhoneConfig {
        listen: vec!["127.0.0.1:0".parse().expect("an address")],
        ..PhoneConfig::default()
    };
    // Both sides change their keys meanwhile.
    config.endpoint.key_rotation = Some(Duration::from_secs(1));
    let phone = Phone::bind(config).expect("bound");
    let port = phone.local_addresses()[0].port();
    let capture = Capture::start(&[port, asterisk.address().port()]);
    let mut new = named("echo", "ann", "right");
    new.encryption = EncryptionPolicy::Required;
    let mut call = phone.call(asterisk.address(), new).await.expect("placed");
    call.answered().await.unwrap_or_else(|error| panic!("{error}\n{}", asterisk.log()));
    let (mut reader, speaker) = call.audio().await.expect("accepted");
    until_heard(&mut reader, &speaker).await;
    let sent = &speech()[..150 * 160];
    let mut clock = tokio::time::interval(Duration::from_millis(20));
    let mut heard: Vec<Vec<u8>> = Vec::new();
    for part in sent.chunks(160) {
        clock.tick().await;
        speaker.send(Format::ULAW, part, 20);
        // How many come back is not what this is about.
        let frame = tokio::time::timeout(Duration::from_millis(5), reader.next_frame()).await;
        heard.extend(frame.ok().flatten().map(|frame| frame.payload.to_vec()));
    }
    drop((call, reader, speaker));
    phone.stop().await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("encrypted.pcap");
    std::fs::write(&file, capture.into_bytes()).expect("written");

    let stories = |arguments: &[&str], secret: Option<&str>| {
        let mut command = command(&file, port, arguments);
        if let Some(secret) = secret {
            command.env("ONEPORT_SECRET", secret);
        }
        text(command.output().expect("it runs"))
    };
    let call = |text: &str| -> Value {
        let records = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        records.into_iter().find(|one: &Value| one["record"] == "call").expect("a call")
    };
    for secret in [None, Some("wrong")] {
        let unread = call(&stories(&["--calls", "--json"], secret));
        assert_eq!(unread["encrypted"], "unread", "{unread:#}");
        assert_eq!(unread["sides"][0]["frames"], 0);
        assert!(unread["sides"][0]["unread"].as_u64() > Some(100), "{unread:#}");
        let faults = unread["faults"].as_array().expect("faults");
        let names: Vec<&str> = faults.iter().filter_map(|fault| fault["fault"].as_str()).collect();
        assert!(names.contains(&"not_decrypted"), "{names:?}");
        assert!(!names.contains(&"unacknowledged"), "nobody can tell: {names:?}");
    }
    let read = call(&stories(&["--calls", "--json"], Some("right")));
    assert_eq!((&read["encrypted"], &read["codec"]), (&"read".into(), &"ulaw".into()));
    // Voice under a new key may pass before the frame that tells the key.
    for side in [0, 1] {
        let unread = read["sides"][side]["unread"].as_u64();
        assert!(unread.is_some_and(|unread| unread < BEGINNING as u64), "{read:#}");
    }
    let path = directory.path().display().to_string();
    let written = stories(&["--wav", &path], Some("right"));
    let said = |port: u16| {
        let of = |line: &&str| line.contains(&format!("from-127.0.0.1_{port}"));
        let file = written.lines().find(of).unwrap_or_else(|| panic!("{port}: {written}"));
        let mut said = Vec::new();
        Codec::Ulaw.encode(&wav::read(Path::new(file), 8_000).expect("a WAV file"), &mut said);
        said
    };
    let is_in = |said: &[u8], frame: &[u8]| said.windows(160).any(|window| window == frame);
    let ours = said(port);
    let missing = sent.chunks(160).filter(|frame| !is_in(&ours, frame)).count();
    assert!(missing < BEGINNING, "{missing} of 150 that the phone said");
    let theirs = said(asterisk.address().port());
    let missing = heard.iter().filter(|frame| !is_in(&theirs, frame)).count();
    assert!(missing < BEGINNING, "{missing} of {} that the phone heard", heard.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_radio_nodes_say_in_texts_is_said_in_words() {
    let peers = "[ann]\ntype=friend\nhost=dynamic\nsecret=right\nauth=md5\ncontext=radio\ndisallow=all\nallow=ulaw\n";
    let dial_plan = "[radio]\nexten => 2000,1,Answer()\nsame => n,SendText(L T2001,R2002)\n\
                     same => n,SendText(K 2001 2000 1 7)\nsame => n,SendText(good morning)\n\
                     same => n,Hangup()\n";
    let asterisk = Asterisk::start(peers, dial_plan);
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    let phone = Phone::bind(PhoneConfig { listen, ..PhoneConfig::default() }).expect("bound");
    let port = phone.local_addresses()[0].port();
    let capture = Capture::start(&[port, asterisk.address().port()]);
    let call = phone.call(asterisk.address(), named("2000", "ann", "right")).await;
    let mut call = call.expect("placed");
    call.ended().await.expect("it hangs up");
    phone.stop().await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("texts.pcap");
    std::fs::write(&file, capture.into_bytes()).expect("writable");
    let of = |arguments: &[&str]| {
        let arguments = [&["--message", "TEXT"], arguments].concat();
        text(command(&file, asterisk.address().port(), &arguments).output().expect("it runs"))
    };
    let lines = of(&[]);
    for line in [
        "TEXT L T2001,R2002 (linked with 2001, 2002 (is heard only))",
        "TEXT K 2001 2000 1 7 (node 2000 is keyed, for 7 s)",
        "TEXT good morning\n",
    ] {
        assert!(lines.contains(line), "{line}\n{lines}");
    }
    let meanings = |line: &str| {
        let record: Value = serde_json::from_str(line).expect("a record");
        (
            record["radio"].as_str().map(str::to_string),
            record["meaning"].as_str().map(str::to_string),
        )
    };
    let records: Vec<_> = of(&["--json"]).lines().map(meanings).collect();
    let keyed = (Some("keyed".into()), Some("node 2000 is keyed, for 7 s".into()));
    assert!(records.contains(&keyed) && records.contains(&(None, None)), "{records:?}");
    assert!(of(&["-V"]).contains("meaning: node 2000 is keyed, for 7 s\n"));
}
