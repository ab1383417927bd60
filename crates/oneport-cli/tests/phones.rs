//! Telephones that speak SIP and `oneport serve`: one behind a real NAT, and one that is still called when
//! the switch was killed. The former needs root and nftables.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use assert_cmd::cargo::cargo_bin;
use oneport_testkit::audio::tone::{read_wav, share_of, tone, write_wav};
use oneport_testkit::nat::{Nat, Side};
use oneport_testkit::peers::baresip::{Baresip, Telephone};
use oneport_testkit::peers::sipp::{Scenario, Sipp};
use oneport_testkit::peers::{free_port, wait_for};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const REGISTERS: &str = include_str!("../../oneport-interop/tests/phones/scenarios/registers.xml");
const TAKES: &str = include_str!("../../oneport-interop/tests/carriers/scenarios/uas_answers.xml");

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What `oneport call` found.
fn answered(output: &Output) {
    let (answer, said) = (text(&output.stdout), text(&output.stderr));
    assert!(answer.contains("\"answered\": true"), "{answer}{said}");
}

/// The phone is behind a router that lets in what has been sent for alone, and gives each way another
/// port; what each side says the other hears.
#[test]
fn a_phone_behind_a_nat_is_called_and_heard_and_hears() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
    let binary = cargo_bin("oneport");
    let oneport = binary.to_str().expect("a path");
    let nat = Nat::new(30);
    fs::write(
        file("oneport.toml"),
        "[peers.desk]\nprotocol = \"sip\"\nsecret = \"secret\"\ncodecs = [\"ulaw\"]\n\
         [peers.ann]\nsecret = \"right\"\n",
    )
    .expect("writable");
    fs::write(file("secret"), "right\n").expect("writable");
    write_wav(Path::new(&file("desk.wav")), &tone(440.0, 60 * 8_000));
    write_wav(Path::new(&file("ann.wav")), &tone(1_000.0, 6 * 8_000));
    let log = directory.path().join("log");
    let arguments = ["serve", "--no-api", "--config", &file("oneport.toml")];
    let _switch = nat.start_logged(Side::Outside, oneport, &arguments, &log);
    let inside = nat.namespace(Side::Inside);
    let command = ["ip", "netns", "exec", &inside];
    let telephone = Baresip::start(
        &command,
        &Telephone {
            registrar: (Nat::OUTSIDE, 5060).into(),
            login: ("desk", "secret"),
            transport: "udp",
            authority: None,
            encrypts: None,
            listen: (Nat::INSIDE, 5060).into(),
            says: Path::new(&file("desk.wav")),
            dials: None,
        },
    );
    wait_for("baresip to be registered", PATIENCE, || {
        fs::read_to_string(&log).unwrap_or_default().contains("desk registered at 10.77.2.1:")
    });
    let output = nat
        .command(Side::Outside, oneport)
        .args(["call", "ann@10.77.2.2/desk", "--codec", "ulaw", "--json"])
        .args(["--play", &file("ann.wav"), "--record", &file("heard.wav")])
        .args(["--secret-file", &file("secret")])
        .output()
        .expect("runs");
    answered(&output);
    let heard = read_wav(Path::new(&file("heard.wav")));
    let middle = heard.len() / 2;
    let share = share_of(heard.get(middle..middle + 8_000).expect("two seconds"), 440.0);
    assert!(share > 0.8, "{share} of what is heard outside is the phone's; {}", telephone.log());
    let there: Vec<i16> =
        telephone.heard().iter().map(|path| read_wav(path)).max_by_key(Vec::len).expect("a call");
    let middle = there.len() / 2;
    let share = share_of(there.get(middle..middle + 8_000).expect("two seconds"), 1_000.0);
    assert!(share > 0.8, "{share} of what the phone hears is the caller's; {}", telephone.log());
}

/// A switch with a store, at these ports.
fn serve(oneport: &str, config: &str, log: &Path) -> Child {
    let log = File::options().create(true).append(true).open(log).expect("writable");
    Command::new(oneport)
        .args(["serve", "--no-api", "--config", config])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("it starts")
}

#[test]
fn a_phone_that_has_registered_is_still_called_when_the_switch_was_killed() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
    let binary = cargo_bin("oneport");
    let oneport = binary.to_str().expect("a path");
    let (iax, sip, own) = (free_port(), free_port(), free_port());
    let config = format!(
        "[overload]\nenabled = false\n[server]\nlisten = [\"127.0.0.1:{iax}\"]\n[sip]\nudp = [\"127.0.0.1:{sip}\"]\n\
         [store]\npath = \"{}\"\n\
         [peers.desk]\nprotocol = \"sip\"\nsecret = \"secret\"\nqualify = false\n\
         min_refresh = 60\nmax_refresh = 600\n\
         [peers.ann]\nsecret = \"right\"\n",
        file("store.sqlite")
    );
    fs::write(file("oneport.toml"), config).expect("writable");
    fs::write(file("secret"), "right\n").expect("writable");
    let log = directory.path().join("log");
    let says = |what: &str| fs::read_to_string(&log).unwrap_or_default().matches(what).count();
    let mut switch = serve(oneport, &file("oneport.toml"), &log);
    wait_for("it to listen", PATIENCE, || says("listens on UDP") == 1);
    let listen = ([127, 0, 0, 1], own).into();
    let registers = REGISTERS.replace("[field0]", "desk").replace("[field1]", "secret");
    let registers = registers.replace("Expires: 60", "Expires: 600");
    Sipp::start(&Scenario {
        xml: &registers,
        calls: (1, 1),
        listen,
        to: Some(([127, 0, 0, 1], sip).into()),
        arguments: &[],
    })
    .finished();
    switch.kill().expect("it lives until now");
    switch.wait().expect("it is dead");
    let mut switch = serve(oneport, &file("oneport.toml"), &log);
    wait_for("it to listen again", PATIENCE, || says("listens on UDP") == 2);
    assert_eq!(says("desk is still registered at 127.0.0.1:"), 1);
    let mut desk =
        Sipp::start(&Scenario { xml: TAKES, calls: (1, 1), listen, to: None, arguments: &[] });
    let output = Command::new(oneport)
        .args(["call", &format!("ann@127.0.0.1:{iax}/desk"), "--duration", "1s", "--json"])
        .args(["--secret-file", &file("secret")])
        .output()
        .expect("runs");
    answered(&output);
    desk.finished();
    let _ = switch.kill();
    let _ = switch.wait();
}
