//! Telephones of SIP through an upgrade: by TLS, with their messages, and with sessions that are renewed.

use std::net::SocketAddr;
use std::path::Path;

use oneport_testkit::audio::tone::{tone, write_wav};
use oneport_testkit::peers::baresip::{Baresip, Encryption, Telephone};
use oneport_testkit::peers::certificates::Authority;
use oneport_testkit::peers::{own_loopback, wait_for};

use crate::installed::{Installed, free, older};
use crate::serving::PATIENCE;
use crate::wire::Wire;

/// Where telephones are registered.
fn registrations(installed: &Installed) -> Vec<String> {
    let shown = installed.run(&["show", "registrations", "--json"]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    let here = shown["here"].as_array().into_iter().flatten();
    here.map(|one| one["address"].as_str().unwrap_or_default().to_string()).collect()
}

fn leave_message(mailbox: &Path, number: u32) {
    std::fs::create_dir_all(mailbox.join("INBOX")).expect("writable");
    std::fs::write(mailbox.join(format!("INBOX/msg{number:04}.txt")), "").expect("writable");
}

/// desk, a baresip that speaks a tone of a minute.
fn baresip(sounds: &Path, registrar: SocketAddr, by_tls: Option<&Path>) -> Baresip {
    let says = sounds.join("tone.wav");
    write_wav(&says, &tone(440.0, 60 * 8_000));
    let told = Telephone {
        registrar,
        login: ("desk", "secret"),
        transport: if by_tls.is_some() { "tls" } else { "udp" },
        authority: by_tls,
        encrypts: by_tls.map(|_| Encryption::Described),
        // It listens by TCP as well, and by TLS at the port behind.
        listen: (own_loopback(), 5060).into(),
        says: &says,
        dials: None,
    };
    Baresip::start(&[], &told)
}

#[test]
fn one_by_tls_registers_by_another_connection_with_the_newest_and_is_called_there() {
    let authority = Authority::new();
    let tls = SocketAddr::from((own_loopback(), 5061));
    let ours = authority.certificate("us", &format!("IP:{}", tls.ip()));
    let sounds = tempfile::tempdir().expect("a directory");
    let installed = Installed::start_with(&format!(
        "[sip]\nudp = [\"{}\"]\ntls = [\"{tls}\"]\ncertificate = {:?}\ncertificate_key = {:?}\n\
         [peers.desk]\nprotocol = \"sip\"\nsecret = \"secret\"\ncodecs = [\"ulaw\"]\n\
         srtp = \"required\"\n",
        free(),
        ours.certificate,
        ours.key,
    ));
    let _telephone = baresip(sounds.path(), tls, Some(&authority.file()));
    wait_for("baresip to register", PATIENCE, || registrations(&installed).len() == 1);
    let before = registrations(&installed);
    installed.upgrade();
    // Its connection had no call, and was closed.
    wait_for("baresip to register by another connection", PATIENCE, || {
        let now = registrations(&installed);
        now.len() == 1 && now != before
    });
    let target = format!("iax:ann@{}/desk", installed.listen);
    let call = installed.run(&["call", &target, "--duration", "2s", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&call.stdout).expect("JSON");
    assert_eq!(report["answered"], true, "{report}");
    let heard = report["quality"]["heard"]["frames"].as_u64();
    assert!(heard.is_some_and(|frames| frames > 50), "{report}");
    installed.until("no older process stays", |status| older(status).is_empty());
}

#[test]
fn one_that_has_subscribed_to_its_messages_is_told_of_them_by_the_newest() {
    let at = free();
    let sounds = tempfile::tempdir().expect("a directory");
    let mailbox = sounds.path().join("100");
    leave_message(&mailbox, 0);
    let installed = Installed::start_with(&format!(
        "[sip]\nudp = [\"{at}\"]\n\
         [peers.desk]\nprotocol = \"sip\"\nsecret = \"secret\"\nmailbox = {mailbox:?}\n\
         mwi = \"subscribed\"\n"
    ));
    let telephone = baresip(sounds.path(), at, None);
    let is_told = |what: &str| {
        wait_for(what, PATIENCE, || telephone.log().contains(&format!("Voice-Message: {what}")));
    };
    is_told("1/0");
    for number in 1..3 {
        installed.upgrade();
        leave_message(&mailbox, number);
        is_told(&format!("{}/0", number + 1));
    }
    let subscribed = telephone.log().matches("mwi: subscribing").count();
    assert_eq!(subscribed, 1, "it has subscribed again: {}", telephone.log());
}

#[test]
fn a_session_is_renewed_by_the_older_process_and_renewals_of_the_other_side_reach_it() {
    let at = free();
    let mut wire = Wire::to(at);
    let installed = Installed::start_with(&format!(
        "[sip]\nudp = [\"{at}\"]\n\
         [carriers.acme]\nhost = \"{}\"\noptions_seconds = 0\ncodecs = [\"ulaw\"]\n\
         [[routes]]\nnumber = \"600\"\nto = [\"builtin:echo\"]\n",
        wire.address()
    ));
    let timer = |who: &str| format!("Supported: timer\r\nSession-Expires: 90;refresher={who}\r\n");
    wire.says_too(&timer("uas"));
    let ours = wire.talks("ours", "600");
    wire.says_too(&timer("uac"));
    let mut theirs = wire.talks("theirs", "600");
    installed.upgrade();
    // The other side renews, and hears that this holds.
    wire.renews(&mut theirs);
    // Half of the time later it is our turn.
    let renewal =
        wire.hears("a renewal", |message| message.is("INVITE") && message.is_about(&ours));
    assert!(renewal.header("Session-Expires").starts_with("90"), "{renewal:?}");
    wire.answers(&renewal, "200 OK");
    wire.hears("its ACK", |message| message.is("ACK") && message.is_about(&ours));
    installed.until("both are of the older process", |status| older(status) == [2]);
    wire.says_too("");
    wire.hangs_up(ours);
    wire.hangs_up(theirs);
    installed.until("no older process stays", |status| older(status).is_empty());
}

#[test]
fn an_attended_transfer_between_calls_of_two_processes_is_refused_and_both_go_on() {
    let at = free();
    let mut wire = Wire::to(at);
    let installed = Installed::start_with(&format!(
        "[sip]\nudp = [\"{at}\"]\n\
         [carriers.acme]\nhost = \"{}\"\noptions_seconds = 0\ncodecs = [\"ulaw\"]\n\
         [[routes]]\nnumber = \"600\"\nto = [\"builtin:echo\"]\n",
        wire.address()
    ));
    let mut first = wire.talks("first", "600");
    installed.upgrade();
    let mut second = wire.talks("second", "600");
    // The other process has the call that each names.
    assert_eq!(wire.transfers(&mut first, &second), "481");
    assert_eq!(wire.transfers(&mut second, &first), "481");
    installed.until("both go on", |status| older(status) == [1] && status["calls"] == 1);
    wire.hangs_up(first);
    wire.hangs_up(second);
}
