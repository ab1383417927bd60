//! The command behind a real NAT, in network namespaces. Needs root and nftables.

use std::fs;
use std::thread;
use std::time::Duration;

use assert_cmd::cargo::cargo_bin;
use oneport_testkit::nat::{Nat, Side};

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
            "[peers.ann]\nsecret = \"right\"\n{polls}\nmin_refresh = 600\n\
             [peers.bob]\nsecret = \"right\"\n"
        );
        fs::write(file("oneport.toml"), config).expect("writable");
        let _switch =
            nat.start(Side::Outside, oneport, &["serve", "--config", &file("oneport.toml")]);
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
