//! What two switches share of their configuration.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::switches::Pair;
use crate::{PATIENCE, Serve, command, refused, said, serve};

const ANN: &str = "\
[peers.ann]
secret = \"sesame\"

[[routes]]
number = \"42\"
to = [\"builtin:echo\"]
";

const BOB: &str = "\n[peers.bob]\nsecret = \"open\"\n";

const BOX: &str = "\n[peers.box]\nsecret = \"cubic\"\n";

impl Serve {
    /// Sets a text by this switch.
    fn set(&self, state: &Path, text: &str) -> String {
        fs::write(state.join("shared.toml"), text).expect("writable");
        said(state, &["cluster", "config", "set", "shared.toml", "--api", &self.api])
    }

    fn shown(&self, state: &Path, what: &[&str]) -> serde_json::Value {
        let shown = said(state, &[what, &["--json", "--api", &self.api]].concat());
        serde_json::from_str(&shown).expect("JSON")
    }

    /// The names of its peers.
    fn peers(&self, state: &Path) -> Vec<String> {
        let shown = self.shown(state, &["show", "peers"]);
        let peers = shown["peers"].as_array().expect("a list").iter();
        let names = peers.map(|one| one["name"].as_str().expect("a name").to_string());
        names.filter(|name| !name.starts_with("switch:")).collect()
    }

    /// Waits until it knows those switches to run these versions, itself first.
    fn until_versions(&self, state: &Path, wanted: &[(&str, i64)]) {
        let start = Instant::now();
        loop {
            let shown = self.shown(state, &["cluster", "show"]);
            let switches = shown["switches"].as_array().expect("a list").iter();
            let versions =
                switches.map(|one| (one["name"].as_str(), one["configuration"].as_i64()));
            if versions.eq(wanted.iter().map(|(name, version)| (Some(*name), Some(*version)))) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{wanted:?} wanted, but it is {shown}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether ann gets through to a number of hers.
    fn takes_ann(&self, state: &Path) -> bool {
        let target = format!("iax:ann@{}/42", self.switch);
        let mut call = command(state, &["call", &target, "--duration", "100ms"]);
        call.env("ONEPORT_SECRET", "sesame").output().expect("it runs").status.success()
    }
}

#[test]
fn what_is_set_at_one_switch_runs_at_all_and_what_is_wrong_nowhere() {
    let pair = Pair::new("");
    let (here, there) = (pair.berlin.path(), pair.bonn.path());
    let (berlin, bonn) = (serve(here, "oneport.toml"), serve(there, "oneport.toml"));
    berlin.until_switches(here, &[("berlin", "alive"), ("bonn", "alive")]);
    let told = refused(here, &["cluster", "config", "show"]);
    assert!(told.contains("the switches share no configuration yet"), "{told}");
    assert!(!bonn.takes_ann(there), "nobody knows her");
    let told = berlin.set(here, ANN);
    assert!(told.contains("peer ann is new") && told.contains("version 1 is set: "), "{told}");
    berlin.until_versions(here, &[("berlin", 1), ("bonn", 1)]);
    bonn.until_versions(there, &[("bonn", 1), ("berlin", 1)]);
    assert_eq!((berlin.peers(here), bonn.peers(there)), (vec!["ann".into()], vec!["ann".into()]));
    assert!(bonn.takes_ann(there), "she has a way");
    bonn.until_metric(there, "oneport_cluster_configuration_version", |version| version == 1.0);

    let set = |more: &[&'static str]| {
        [&["cluster", "config", "set", "shared.toml", "--api", berlin.api.as_str()], more].concat()
    };
    fs::write(here.join("shared.toml"), "[peers.ann]\nsecrt = \"a\"\n").expect("writable");
    let told = refused(here, &set(&[]));
    assert!(told.contains("shared configuration:2:1: unknown field `secrt`"), "{told}");
    assert!(told.contains("did you mean `secret`?"), "{told}");
    fs::write(here.join("shared.toml"), "[server]\nmax_calls = 1\n").expect("writable");
    let told = refused(here, &set(&[]));
    assert!(told.contains("shared configuration:1:2: [server] is of each switch"), "{told}");
    fs::write(here.join("shared.toml"), format!("{ANN}{BOB}")).expect("writable");
    let told = refused(here, &set(&["--over", "0"]));
    assert!(told.contains("version 1 is the newest"), "{told}");
    let told = said(here, &set(&["--dry-run"]));
    assert!(told.contains("peer bob is new") && told.contains("nothing was set"), "{told}");
    let told = said(here, &["cluster", "config", "diff", "shared.toml"]);
    assert!(told.starts_with("--- version 1\n+++ shared.toml\n"), "{told}");
    assert!(told.contains("+[peers.bob]"), "{told}");
    let history = said(there, &["cluster", "config", "history"]);
    assert!(history.contains("1 version") && history.contains("state"), "{history}");

    let told = said(here, &set(&["--over", "1"]));
    assert!(told.contains("version 2 is set: "), "{told}");
    bonn.until_versions(there, &[("bonn", 2), ("berlin", 2)]);
    assert_eq!(bonn.peers(there), ["ann", "bob"]);
    assert_eq!(said(there, &["cluster", "config", "show"]), format!("{ANN}{BOB}"));
    let told = said(there, &["cluster", "config", "diff"]);
    assert!(told.starts_with("--- version 1\n+++ version 2\n"), "{told}");
    let old = said(there, &["cluster", "config", "show", "--version", "1"]);
    assert_eq!(old, ANN);
    let told = bonn.set(there, &old);
    assert!(told.contains("version 3 is set: "), "{told}");
    berlin.until_versions(here, &[("berlin", 3), ("bonn", 3)]);
    assert_eq!(berlin.peers(here), ["ann"]);
}

#[test]
fn a_switch_whose_file_has_a_peer_as_well_stays_with_what_it_runs_until_that_is_mended() {
    let pair = Pair::new("");
    let (here, there) = (pair.berlin.path(), pair.bonn.path());
    let file = there.join("oneport.toml");
    let alone = fs::read_to_string(&file).expect("a configuration");
    fs::write(&file, format!("{alone}{BOX}")).expect("writable");
    let (berlin, bonn) = (serve(here, "oneport.toml"), serve(there, "oneport.toml"));
    berlin.until_switches(here, &[("berlin", "alive"), ("bonn", "alive")]);
    berlin.set(here, ANN);
    bonn.until_versions(there, &[("bonn", 1), ("berlin", 1)]);
    berlin.set(here, &format!("{ANN}{BOX}"));
    berlin.until_versions(here, &[("berlin", 2), ("bonn", 1)]);
    bonn.until_metric(there, "oneport_cluster_configuration_newest", |version| version == 2.0);
    bonn.until_metric(there, "oneport_cluster_configuration_version", |version| version == 1.0);
    let start = Instant::now();
    let why = "peers.box stands in oneport.toml as well";
    while !said(there, &["cluster", "show", "--api", &bonn.api]).contains(why) {
        assert!(start.elapsed() < PATIENCE, "it does not say why");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(bonn.peers(there), ["ann", "box"]);
    fs::write(&file, &alone).expect("writable");
    bonn.until_versions(there, &[("bonn", 2), ("berlin", 2)]);
    assert_eq!(bonn.peers(there), ["ann", "box"]);
    let log = fs::read_to_string(there.join("log")).expect("a log");
    assert!(log.contains("reloaded: 0 changes"), "it is read from elsewhere, and the same: {log}");
    let shown = said(there, &["cluster", "show", "--api", &bonn.api]);
    assert!(!shown.contains("peers.box"), "{shown}");
}

#[test]
fn a_switch_starts_with_what_it_has_kept_while_the_database_is_away_and_catches_up() {
    let pair = Pair::new("");
    let (here, there) = (pair.berlin.path(), pair.bonn.path());
    let (berlin, bonn) = (serve(here, "oneport.toml"), serve(there, "oneport.toml"));
    berlin.until_switches(here, &[("berlin", "alive"), ("bonn", "alive")]);
    berlin.set(here, ANN);
    bonn.until_versions(there, &[("bonn", 1), ("berlin", 1)]);
    // What was set while it was away it has from its start on.
    drop(bonn);
    berlin.set(here, &format!("{ANN}{BOB}"));
    let bonn = serve(there, "oneport.toml");
    assert_eq!(bonn.peers(there), ["ann", "bob"]);
    berlin.until_versions(here, &[("berlin", 2), ("bonn", 2)]);
    pair.server.kill();
    drop(bonn);
    let bonn = serve(there, "oneport.toml");
    assert_eq!(bonn.peers(there), ["ann", "bob"]);
    let log = fs::read_to_string(there.join("log")).expect("a log");
    assert!(log.contains("shared configuration 2 is as it was kept here"), "{log}");
    let kept = fs::metadata(there.join("shared-bonn.json")).expect("it is kept");
    assert_eq!(kept.permissions().mode() & 0o077, 0, "there are secrets in it");
    fs::write(here.join("shared.toml"), ANN).expect("writable");
    let set = ["cluster", "config", "set", "shared.toml", "--api", &berlin.api];
    refused(here, &set);
    pair.server.start_again();
    berlin.until_switches(here, &[("berlin", "alive"), ("bonn", "alive")]);
    let told = said(here, &set);
    assert!(told.contains("version 3 is set: "), "{told}");
    bonn.until_versions(there, &[("bonn", 3), ("berlin", 3)]);
    assert_eq!(bonn.peers(there), ["ann"]);
}
