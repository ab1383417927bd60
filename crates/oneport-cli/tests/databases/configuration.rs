//! What two switches share of their configuration.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use crate::switches::Pair;
use crate::{PATIENCE, Serve, command, refused, run, said, serve};

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

/// The history of a database, without the moments at which it was looked at.
fn history(state: &Path, config: &str) -> String {
    said(state, &["cluster", "config", "history", "--json", "--config", config])
}

#[test]
fn all_versions_move_from_house_to_house_and_are_not_put_beside_others() {
    let pair = Pair::new("");
    let here = pair.berlin.path();
    let berlin = serve(here, "oneport.toml");
    berlin.until_switches(here, &[("berlin", "alive")]);
    let both = format!("{ANN}{BOB}");
    for text in [ANN, &both, ANN] {
        berlin.set(here, text);
    }
    let text = fs::read_to_string(here.join("oneport.toml")).expect("a configuration");
    let place = |name: &str| {
        let new = text.replace(&pair.url, &pair.server.new_database());
        fs::write(here.join(name), new).expect("writable");
        ["state", "copy", "--database", "kept.db", "--to-config", name].map(String::from)
    };
    drop(berlin);
    let copied = |arguments: &[&str]| {
        let output = run(here, arguments);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        assert!(output.status.success(), "{}", text(output.stderr));
        (text(output.stdout), text(output.stderr))
    };
    let (told, remark) = copied(&["state", "copy", "--to-database", "kept.db"]);
    assert!(told.contains("3 versions of a shared configuration"), "{told}");
    assert!(remark.contains("no switch runs it there"), "{remark}");
    let newest = said(here, &["cluster", "config", "show", "--database", "kept.db"]);
    assert_eq!(newest, ANN);
    let second =
        said(here, &["cluster", "config", "show", "--database", "kept.db", "--version", "2"]);
    assert_eq!(second, both);
    let told =
        refused(here, &["cluster", "config", "show", "--database", "kept.db", "--version", "4"]);
    assert!(told.contains("there is no version 4"), "{told}");
    let copy = place("new.toml");
    let (told, remark) = copied(&copy.each_ref().map(String::as_str));
    assert!(told.contains("3 versions of a shared configuration"), "{told}");
    assert!(!remark.contains("no switch runs it there"), "{remark}");
    assert_eq!(history(here, "new.toml"), history(here, "oneport.toml"));
    let berlin = serve(here, "new.toml");
    assert_eq!(berlin.peers(here), ["ann"]);
    let told = berlin.set(here, &both);
    assert!(told.contains("version 4 is set: "), "{told}");
    drop(berlin);

    let file = said(here, &["state", "export", "--config", "new.toml"]);
    fs::write(here.join("state.jsonl"), file).expect("writable");
    said(here, &["state", "import", "state.jsonl"]);
    assert_eq!(history(here, "new.toml"), history(here, "oneport.toml"));
    place("other.toml");
    let berlin = serve(here, "other.toml");
    berlin.until_switches(here, &[("berlin", "alive")]);
    berlin.set(here, BOB);
    drop(berlin);
    let told = refused(here, &["state", "import", "state.jsonl", "--config", "other.toml"]);
    assert!(
        told.contains("version 1 of a shared configuration is there already, and is another"),
        "{told}"
    );
    assert!(!history(here, "other.toml").contains("\"version\": 2"), "nothing was written");
}

#[test]
fn check_and_doctor_read_what_is_shared_and_say_where_it_does_not_run() {
    let pair = Pair::new("");
    let (here, there) = (pair.berlin.path(), pair.bonn.path());
    let file = there.join("oneport.toml");
    let alone = fs::read_to_string(&file).expect("a configuration");
    let (berlin, bonn) = (serve(here, "oneport.toml"), serve(there, "oneport.toml"));
    berlin.until_switches(here, &[("berlin", "alive"), ("bonn", "alive")]);
    let told = said(here, &["check"]);
    assert!(told.starts_with("oneport.toml is a good configuration."), "{told}");
    fs::write(here.join("shared.toml"), "[peers.ann]\nsecrt = \"a\"\n").expect("writable");
    let told = refused(here, &["check", "--shared", "shared.toml"]);
    assert!(told.contains("unknown field `secrt`"), "{told}");
    berlin.set(here, ANN);
    berlin.until_versions(here, &[("berlin", 1), ("bonn", 1)]);
    let told = said(there, &["check"]);
    let with = "oneport.toml with shared configuration 1 is a good configuration.";
    assert!(told.starts_with(with) && told.contains("\npeers: 1\n  ann: "), "{told}");
    let doctor = |state: &Path| -> Vec<serde_json::Value> {
        let found = run(state, &["doctor", "--json"]);
        serde_json::from_slice(&found.stdout).expect("JSON")
    };
    let of = |findings: &[serde_json::Value], id: &str| -> Vec<String> {
        let found = findings.iter().filter(|one| one["id"] == id);
        let place = |one: &serde_json::Value| {
            let text = |key: &str| one[key].as_str().expect("text").to_string();
            format!("{}:{} {}", text("file"), one["line"], text("what"))
        };
        found.map(place).collect()
    };
    let found = doctor(there);
    assert!(of(&found, "short-secret")[0].starts_with("shared configuration 1:2 "), "{found:?}");
    assert_eq!(of(&found, "shared-behind"), Vec::<String>::new());

    fs::write(&file, format!("{alone}{BOX}")).expect("writable");
    fs::write(there.join("shared.toml"), ANN).expect("writable");
    let told = said(there, &["check", "--shared", "shared.toml"]);
    assert!(told.contains("peers: 2"), "{told}");
    fs::write(there.join("shared.toml"), BOX).expect("writable");
    let told = refused(there, &["check", "--shared", "shared.toml"]);
    assert!(told.contains("peers.box stands in oneport.toml as well"), "{told}");
    berlin.set(here, &format!("{ANN}{BOX}"));
    berlin.until_versions(here, &[("berlin", 2), ("bonn", 1)]);
    let told = refused(there, &["check"]);
    assert!(told.contains("has run shared configuration 1 last; shared configuration 2"), "{told}");
    assert!(told.contains("peers.box stands in oneport.toml as well"), "{told}");
    let found = doctor(there);
    let refusal = &of(&found, "shared-refused")[0];
    assert!(refusal.starts_with("shared configuration 2:8 peers.box stands in"), "{refusal}");
    assert!(of(&found, "short-secret").iter().any(|one| one.starts_with("shared configuration 1")));
    let behind = of(&doctor(here), "shared-behind");
    assert!(behind[0].contains("switch bonn runs version 1 of what is shared"), "{behind:?}");

    let asked = |serve: &Serve, state: &Path, rule: &str| -> serde_json::Value {
        serde_json::from_str(&serve.get(state, &format!("/v1/configuration?rule={rule}")))
            .expect("JSON")
    };
    let shown = asked(&berlin, here, "peers.box.secret");
    assert_eq!((&shown["line"], &shown["shared"]["line"]), (&serde_json::Value::Null, &9.into()));
    assert_eq!(shown["shared"]["name"], "shared configuration 2");
    assert!(!shown.to_string().contains("cubic"), "{shown}");
    let shown = asked(&bonn, there, "peers.box.secret");
    assert_eq!(shown["shared"]["line"], serde_json::Value::Null);
    let line = shown["line"].as_u64().expect("it is in the file");
    let text = fs::read_to_string(&file).expect("a configuration");
    assert_eq!(text.lines().nth(line as usize - 1), Some("secret = \"cubic\""));

    pair.server.kill();
    fs::write(&file, &alone).expect("writable");
    let Output { status, stdout, stderr } = run(there, &["check"]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(status.success(), "{}", text(&stderr));
    let told = text(&stderr);
    assert!(told.contains("shared configuration 1 is looked at, which this machine"), "{told}");
    assert!(text(&stdout).starts_with(with), "{}", text(&stdout));
    let unread = of(&doctor(there), "shared-unread");
    assert!(unread[0].contains("shared configuration 1, which was kept here"), "{unread:?}");
}
