//! `oneport listen`: both sides of a call of a switch that runs, by the command.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use assert_cmd::cargo::cargo_bin;
use oneport::media::{Codec, tone, wav};
use oneport::{
    Call, Format, NewCall, Phone, PhoneConfig, RegistrationConfig, RegistrationEvent, Secret,
};
use oneport_testkit::peers::free_port;
use serde_json::Value;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// `oneport serve` with its API; killed when dropped.
struct Serve(Child);

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(state: &Path, port: u16) -> (Serve, String) {
    let text = format!(
        "[overload]\nenabled = false\n[server]\nlisten = [\"127.0.0.1:{port}\"]\n\
         [peers.ann]\nsecret = \"a\"\n[peers.bob]\nsecret = \"b\"\n\
         [api.tokens.deaf]\nsecret = \"deaf-deaf-deaf-deaf\"\nrole = \"admin\"\n\
         [api.tokens.ear]\nsecret = \"ear-ear-ear-ear-ear\"\nlisten = true\n"
    );
    std::fs::write(state.join("oneport.toml"), text).expect("writable");
    let mut process = Command::new(cargo_bin("oneport"))
        .args(["serve", "--api", "127.0.0.1:0", "--config"])
        .arg(state.join("oneport.toml"))
        .env("STATE_DIRECTORY", state)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let output = BufReader::new(process.stdout.take().expect("piped"));
    let api = output.lines().map(|line| line.expect("text")).find_map(|line| {
        let rest = line.strip_prefix("the API listens on http://")?;
        Some(rest.split([';', ' ']).next().unwrap_or(rest).to_string())
    });
    (Serve(process), api.expect("it says where its API listens"))
}

/// A command with a token: whether it succeeded, and what it said.
fn oneport(api: &str, token: &str, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(cargo_bin("oneport"))
        .args(arguments)
        .args(["--api", api])
        .env("ONEPORT_API_TOKEN", token)
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

fn phone() -> Phone {
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    Phone::bind(PhoneConfig { listen, ..PhoneConfig::default() }).expect("bound")
}

/// Says a tone until it is dropped.
async fn say(call: &Call, frequency: f64) {
    let speaker = call.speaker().expect("accepted");
    let mut tone = tone::Sine::new(frequency, 8_000, 0.3);
    // What a busy machine holds up is made up for.
    let mut clock = tokio::time::interval(Duration::from_millis(20));
    loop {
        clock.tick().await;
        let samples: Vec<i16> = tone.by_ref().take(160).collect();
        let mut payload = Vec::new();
        Codec::Ulaw.encode(&samples, &mut payload);
        speaker.send(Format::ULAW, &payload, 20);
    }
}

#[tokio::test]
async fn who_may_listen_gets_both_sides_into_a_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let port = free_port();
    let (_serve, api) = serve(directory.path(), port);
    let to = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let (ann, bob) = (phone(), phone());
    let registration = RegistrationConfig {
        to,
        others: Vec::new(),
        username: "bob".into(),
        secret: Some(Secret::from("b")),
        key: None,
        allow_plaintext: false,
        refresh: Duration::from_secs(60),
    };
    let mut registration = bob.register(registration).await.expect("running");
    let event = registration.next_event().await;
    assert!(matches!(event, Some(RegistrationEvent::Registered { .. })), "{event:?}");
    let mut call = NewCall::to("bob");
    (call.username, call.secret) = (Some("ann".into()), Some(Secret::from("a")));
    call.formats = vec![Format::ULAW];
    let (ours, theirs) = tokio::join!(
        async {
            let mut ours = ann.call(to, call).await.expect("placed");
            let answered = tokio::time::timeout(PATIENCE, ours.answered()).await;
            answered.expect("in time").expect("answered");
            ours
        },
        async { bob.incoming().await.expect("it rings").answer().await.expect("up") }
    );
    let ear = "ear-ear-ear-ear-ear";
    let (_, calls) = oneport(&api, ear, &["show", "calls", "--json"]);
    let calls: Value = serde_json::from_str(&calls).expect("JSON");
    let id = calls["calls"][0]["id"].as_str().expect("a call is up").to_string();
    let file = directory.path().join("call.wav").display().to_string();
    let (done, said) = oneport(&api, "deaf-deaf-deaf-deaf", &["listen", &id, "--wav", &file]);
    assert!(!done && said.contains("token deaf may not listen"), "{said}");
    assert!(!Path::new(&file).exists());
    let listens = tokio::task::spawn_blocking({
        let (api, file) = (api.clone(), file.clone());
        move || oneport(&api, ear, &["listen", &id, "--wav", &file, "--seconds", "3"])
    });
    let (done, said) = tokio::select! {
        () = say(&ours, 500.0) => unreachable!(),
        () = say(&theirs, 1_000.0) => unreachable!(),
        listened = tokio::time::timeout(PATIENCE, listens) => {
            listened.expect("in time").expect("it ran")
        }
    };
    assert!(done && said.contains("call.wav: 3.0 s"), "{said}");
    let (left, right, rate) = wav::read_stereo(Path::new(&file)).expect("a file");
    assert_eq!((left.len(), rate), (24_000, 8_000));
    // The tones come behind what the buffer held at the beginning.
    for (side, own, other) in [(&left, 500.0, 1_000.0), (&right, 1_000.0, 500.0)] {
        let level = |frequency| tone::level_dbm0(&side[16_000..], frequency, rate);
        let (own, other) = (level(own), level(other));
        assert!(own > -20.0 && own > other + 12.0, "{own} dBm0, and {other} of the other side");
    }
}
