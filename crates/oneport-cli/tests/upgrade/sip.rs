//! Calls of SIP through upgrades: dialogs stay with the process that has them, and what comes for them goes to it.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use oneport::CauseCode;
use oneport_interop::{phone, speech};
use oneport_testkit::peers::{own_loopback, wait_for};
use serde_json::Value;

use crate::carrier::{speak, talk, with_asterisk};
use crate::installed::{Installed, Load, free, older};
use crate::serving::PATIENCE;
use crate::wire::Wire;

/// A carrier that is not asked whether it is there.
fn carrier(name: &str, at: SocketAddr) -> String {
    format!("[carriers.{name}]\nhost = \"{at}\"\noptions_seconds = 0\ncodecs = [\"ulaw\"]\n")
}

fn sip(at: SocketAddr) -> String {
    format!("[sip]\nudp = [\"{at}\"]\n")
}

fn route(number: &str, to: &str) -> String {
    format!("[[routes]]\nnumber = \"{number}\"\nto = [{to}]\n")
}

#[test]
fn dialogs_of_two_older_processes_are_changed_and_ended_each_by_its_own() {
    let at = free();
    let mut wire = Wire::to(at);
    let installed = Installed::start_with(
        &[sip(at), carrier("acme", wire.address()), route("600", "\"builtin:echo\"")].concat(),
    );
    let mut first = wire.talks("first", "600");
    installed.upgrade();
    let second = wire.talks("second", "600");
    installed.upgrade();
    let third = wire.talks("third", "600");
    installed.until("three calls of three processes", |status| {
        older(status) == [1, 1] && status["calls"] == 1
    });
    wire.changes(&mut first, "a=sendonly");
    wire.changes(&mut first, "a=sendrecv");
    wire.presses(&mut first, '5');
    wire.hangs_up(second);
    installed.until("the second has ended, and its process", |status| {
        older(status) == [1] && status["calls"] == 1
    });
    wire.hangs_up(first);
    installed.until("the first has ended, and its process", |status| older(status).is_empty());
    wire.hangs_up(third);
    installed.until("no call is up", |status| status["calls"] == 0);
}

#[test]
fn an_invite_that_is_repeated_behind_an_upgrade_and_its_cancel_reach_who_has_the_call() {
    let at = free();
    let (mut wire, mut called) = (Wire::to(at), Wire::to(at));
    let installed = Installed::start_with(
        &[
            sip(at),
            carrier("acme", wire.address()),
            carrier("beta", called.address()),
            route("700", "\"carrier:beta\""),
        ]
        .concat(),
    );
    let dialog = wire.dialog("rings", "700");
    wire.invites(&dialog);
    let invite = called.is_called();
    called.answers(&invite, "180 Ringing");
    let rings = wire.is_answered("INVITE", &dialog, "180").header("To").to_string();
    installed.upgrade();
    wire.invites(&dialog);
    let again = wire.is_answered("INVITE", &dialog, "180").header("To").to_string();
    assert_eq!(again, rings, "it is the same call");
    wire.gives_up(&dialog);
    let cancel = called.hears("CANCEL", |message| message.is("CANCEL"));
    called.answers(&cancel, "200 OK");
    called.answers(&invite, "487 Request Terminated");
    called.hears("ACK", |message| message.is("ACK"));
    installed.until("the older process has ended", |status| older(status).is_empty());
    let invites = called.came.iter().filter(|message| message.is("INVITE"));
    let calls: std::collections::BTreeSet<&str> =
        invites.map(|one| one.header("Call-ID")).collect();
    assert_eq!(calls.len(), 1, "nobody was called twice: {calls:?}");
}

#[test]
fn an_older_process_tries_the_next_destination_and_hears_what_comes_of_it() {
    let at = free();
    let (mut acme, mut beta) = (Wire::to(at), Wire::to(at));
    let installed = Installed::start_with(
        &[
            sip(at),
            carrier("acme", acme.address()),
            carrier("beta", beta.address()),
            route("800", "\"carrier:acme\", \"carrier:beta\""),
        ]
        .concat(),
    );
    let target = format!("iax:ann@{}/800", installed.listen);
    let mut command = installed.oneport(&["call", &target, "--duration", "60s"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let call = Load(Some(command.spawn().expect("it starts")));
    let invite = acme.is_called();
    acme.answers(&invite, "180 Ringing");
    installed.upgrade();
    acme.answers(&invite, "503 Service Unavailable");
    acme.hears("ACK", |message| message.is("ACK"));
    let invite = beta.is_called();
    beta.answers(&invite, "180 Ringing");
    beta.answers(&invite, "200 OK");
    beta.hears("ACK", |message| message.is("ACK"));
    installed.until("it is up at the older process", |status| older(status) == [1]);
    drop(call);
    // Whoever has called is gone without a word; the switch sees that in time, or is told.
    let calls = installed.run(&["show", "calls", "--json"]);
    let calls: Value = serde_json::from_slice(&calls.stdout).expect("JSON");
    let id = calls["calls"][0]["id"].as_str().unwrap_or_else(|| panic!("{calls}")).to_string();
    assert!(installed.run(&["hangup", &id]).status.success());
    let bye = beta.hears("BYE", |message| message.is("BYE"));
    beta.answers(&bye, "200 OK");
    installed.until("the older process has ended", |status| older(status).is_empty());
}

#[test]
fn calls_of_an_older_process_are_transferred_to_a_number_and_to_each_other() {
    let at = free();
    let (mut acme, mut beta) = (Wire::to(at), Wire::to(at));
    let installed = Installed::start_with(
        &[
            sip(at),
            carrier("acme", acme.address()),
            carrier("beta", beta.address()),
            route("600", "\"builtin:echo\""),
            route("700", "\"carrier:beta\""),
        ]
        .concat(),
    );
    let mut invites = Vec::new();
    let mut calls = ["to-a-number", "to-another", "that-other"].map(|what| {
        let mut dialog = acme.dialog(what, "700");
        acme.invites(&dialog);
        let invite = beta.is_called();
        beta.answers(&invite, "200 OK");
        beta.hears("ACK", |message| message.is("ACK"));
        invites.push(invite);
        acme.is_let_in(&mut dialog);
        dialog
    });
    installed.upgrade();
    installed.until("all are the older process's", |status| older(status) == [3]);
    let [to_a_number, to_another, other] = &mut calls;
    assert_eq!(acme.transfers_to(to_a_number, "600", ""), "200");
    acme.is_hung_up_on(to_a_number);
    assert_eq!(acme.transfers(to_another, other), "200");
    acme.is_hung_up_on(to_another);
    acme.is_hung_up_on(other);
    // One is with the echo, and two have each other.
    installed.until("two are left", |status| older(status) == [2] && status["calls"] == 0);
    assert!(!beta.came.iter().any(|message| message.is("BYE")), "{:#?}", beta.came);
    let shown = installed.run(&["show", "calls", "--json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    for call in shown["calls"].as_array().into_iter().flatten() {
        let id = call["id"].as_str().expect("an id");
        assert!(installed.run(&["hangup", id]).status.success(), "{shown}");
    }
    for invite in &invites {
        let call_id = invite.header("Call-ID");
        let bye =
            beta.hears("BYE", |message| message.is("BYE") && message.header("Call-ID") == call_id);
        beta.answers(&bye, "200 OK");
    }
    installed.until("the older process has ended", |status| older(status).is_empty());
}

#[test]
fn connections_with_a_call_stay_and_others_lead_to_the_new_process() {
    // No port there is that of a connection which another program has just begun.
    let at = SocketAddr::from((own_loopback(), 5060));
    let here = SocketAddr::from(([127, 0, 0, 1], 5060));
    let installed = Installed::start_with(
        &[
            format!("[sip]\ntcp = [\"{at}\"]\n"),
            carrier("acme", here),
            route("600", "\"builtin:echo\""),
        ]
        .concat(),
    );
    let (mut idle, mut first, mut moves) =
        (Wire::by_stream_to(at), Wire::by_stream_to(at), Wire::by_stream_to(at));
    let mut stays = first.talks("stays", "600");
    let mut moved = moves.talks("moved", "600");
    installed.upgrade();
    idle.is_left();
    let mut new = Wire::by_stream_to(at);
    let at_the_newest = new.talks("new", "600");
    installed.until("two calls stay", |status| older(status) == [2] && status["calls"] == 1);
    first.changes(&mut stays, "a=sendonly");
    // Whoever is at the other end has lost its connection, and comes by another.
    drop(moves);
    let mut other = Wire::by_stream_to(at);
    other.changes(&mut moved, "a=sendonly");
    installed.upgrade();
    installed.until("each has its process", |status| older(status) == [2, 1]);
    // That of the second process had no call of its own.
    other.is_left();
    let mut other = Wire::by_stream_to(at);
    other.changes(&mut moved, "a=sendrecv");
    other.hangs_up(moved);
    installed.until("one stays", |status| older(status) == [1, 1]);
    first.hangs_up(stays);
    new.hangs_up(at_the_newest);
    installed.until("no older process stays", |status| older(status).is_empty());
    // With its call each connection is over.
    first.is_left();
    let mut last = Wire::by_stream_to(at);
    let call = last.talks("last", "600");
    last.hangs_up(call);
}

#[test]
fn a_new_process_whose_sip_cannot_start_leaves_the_old_one_with_it() {
    let at = free();
    let mut wire = Wire::to(at);
    let installed = Installed::start_with(
        &[sip(at), carrier("acme", wire.address()), route("600", "\"builtin:echo\"")].concat(),
    );
    let first = wire.talks("first", "600");
    let config = installed.directory.path().join("oneport.toml");
    let good = std::fs::read_to_string(&config).expect("readable");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("the loopback has ports");
    let address = taken.local_addr().expect("bound");
    let udp = format!("udp = [\"{at}\"]");
    assert!(good.contains(&udp));
    let bad = good.replace(&udp, &format!("{udp}\ntcp = [\"{address}\"]"));
    std::fs::write(&config, bad).expect("writable");
    let output = installed.run(&["upgrade"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("the new process has ended"), "{output:?}");
    std::fs::write(&config, good).expect("writable");
    let second = wire.talks("second", "600");
    wire.hangs_up(first);
    wire.hangs_up(second);
    installed.upgrade();
    let third = wire.talks("third", "600");
    wire.hangs_up(third);
}

#[test]
fn a_registration_at_a_carrier_is_renewed_by_the_new_process_and_never_ended() {
    let at = free();
    let mut wire = Wire::to(at);
    let registers = "username = \"us\"\nsecret = \"s\"\nregister = true\n";
    let mut installed = Installed::start_with(
        &[sip(at), carrier("acme", wire.address()), registers.into()].concat(),
    );
    let register = |wire: &mut Wire| {
        let request = wire.hears("REGISTER", |message| message.is("REGISTER"));
        wire.answers(&request, "200 OK");
        request
    };
    let first = register(&mut wire);
    installed.upgrade();
    let second = loop {
        let request = register(&mut wire);
        if request.header("Call-ID") != first.header("Call-ID") {
            break request;
        }
    };
    assert_eq!(second.header("Contact"), first.header("Contact"));
    // With no call left the old process ends, and says nothing.
    assert!(installed.serving.process.wait().expect("ours").success());
    let ended =
        |message: &crate::wire::Message| message.is("REGISTER") && message.header("Expires") == "0";
    assert!(!wire.hears_within(Duration::from_secs(1), ended), "{:#?}", wire.came);
    assert!(!wire.came.iter().any(ended), "{:#?}", wire.came);
}

#[test]
fn sip_is_served_again_by_the_older_process_when_the_new_one_is_killed() {
    let at = free();
    let mut wire = Wire::to(at);
    let mut installed = Installed::start_with(
        &[sip(at), carrier("acme", wire.address()), route("600", "\"builtin:echo\"")].concat(),
    );
    let first = wire.talks("first", "600");
    let pid = installed.upgrade();
    let lost = wire.talks("lost", "600");
    let kill = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status();
    assert!(kill.expect("it runs").success());
    installed.is_logged("serves again");
    let second = wire.talks("second", "600");
    wire.hangs_up(first);
    wire.hangs_up(second);
    drop(lost);
    installed.upgrade();
    let third = wire.talks("third", "600");
    wire.hangs_up(third);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_with_an_asterisk_in_both_directions_are_heard_whole_through_upgrades_in_a_row() {
    let calls = std::env::var("ONEPORT_UPGRADE_SIP_CALLS").ok().and_then(|text| text.parse().ok());
    let calls: usize = calls.unwrap_or(5);
    let (asterisk, installed) = with_asterisk("", "");
    let (phone, _) = phone();
    let speech = speech();
    let mut up = Vec::new();
    for round in 0..3 {
        for n in 0..calls {
            let (out, back) = (format!("212554{round}{n:03}"), format!("212555{round}{n:03}"));
            up.push(talk(&phone, installed.listen, &out, Some("a")).await);
            up.push(talk(&phone, asterisk.address(), &back, None).await);
        }
        // Before, during and behind an upgrade.
        let upgrading = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            tokio::task::block_in_place(|| installed.upgrade());
        };
        tokio::join!(speak((&asterisk, &installed), &up, &speech[..16_000]), upgrading);
        speak((&asterisk, &installed), &up, &speech[..4_000]).await;
        let status = installed.status();
        assert_eq!(older(&status).len(), round + 1, "{status}");
        assert_eq!(older(&status).iter().sum::<u64>() as usize, up.len(), "{status}");
    }
    wait_for("the carrier to have us registered by the newest", PATIENCE, || {
        asterisk.cli("pjsip show contacts").contains("us/sip:us@127.0.0.1")
    });
    // The far end hangs up on a call of the oldest process, and that is the one that ends.
    let channels = asterisk.cli("core show channels concise");
    let channel =
        channels.lines().find(|line| line.starts_with("PJSIP/us") && line.contains("2125540000"));
    let channel =
        channel.unwrap_or_else(|| panic!("{channels}")).split('!').next().expect("a name");
    let _ = asterisk.cli(&format!("channel request hangup {channel}"));
    let mut first = up.remove(0);
    let end = tokio::time::timeout(PATIENCE, first.ended()).await;
    assert!(end.is_ok(), "it does not end");
    installed.until("one call less at the oldest", |status| {
        older(status) == [2 * calls as u64 - 1, 2 * calls as u64, 2 * calls as u64]
    });
    speak((&asterisk, &installed), &up, &speech[..4_000]).await;
    for call in up {
        call.hangup(CauseCode::NORMAL_CLEARING);
    }
    installed.until("older processes end", |status| older(status).is_empty());
    wait_for("the carrier to have no call", PATIENCE, || {
        asterisk.cli("core show channels").contains("0 active calls")
    });
    let records = installed.run(&["cdr", "export", "--config", "oneport.toml"]);
    let records = String::from_utf8_lossy(&records.stdout).lines().skip(1).count();
    assert_eq!(records, 3 * calls * 3, "two for each call out, one for each that ends here");
}
