//! Two switches of one database: how they are shown and counted, and one that is forgotten.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use oneport_switch::api::token_file;
use oneport_testkit::peers::database::{DatabaseServer, Kind, PASSWORD};

use crate::{PATIENCE, Serve, refused, said, serve};

/// Two switches of one database, each with a directory of its own.
pub(crate) struct Pair {
    pub(crate) server: DatabaseServer,
    pub(crate) url: String,
    pub(crate) berlin: tempfile::TempDir,
    pub(crate) bonn: tempfile::TempDir,
}

impl Pair {
    /// With these sections in both files.
    pub(crate) fn new(more: &str) -> Self {
        let server = DatabaseServer::start(Kind::Postgres);
        let url = server.new_database();
        let directory = |name: &str| {
            let directory = tempfile::tempdir().expect("a directory");
            let text = format!(
                "[overload]\nenabled = false\n[store]\nurl = \"{url}\"\nsecret = \"{PASSWORD}\"\n\
                 [cluster]\nname = \"{name}\"\nsecret = \"sturdy bridge\"\naddress = \"127.0.0.1\"\n\
                 heartbeat_ms = 100\ndead_after_ms = 3000\n{more}"
            );
            fs::write(directory.path().join("oneport.toml"), text).expect("writable");
            directory
        };
        Self { berlin: directory("berlin"), bonn: directory("bonn"), server, url }
    }
}

impl Serve {
    /// Waits until it knows those switches to be so, itself first.
    pub(crate) fn until_switches(&self, state: &Path, wanted: &[(&str, &str)]) {
        let start = Instant::now();
        loop {
            let shown = said(state, &["cluster", "show", "--json", "--api", &self.api]);
            let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
            let switches = shown["switches"].as_array().expect("a list");
            let states = switches.iter().map(|one| (one["name"].as_str(), one["state"].as_str()));
            if states.eq(wanted.iter().map(|(name, state)| (Some(*name), Some(*state)))) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{wanted:?} wanted, but it is {shown}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What its API says at `path`.
    pub(crate) fn get(&self, state: &Path, path: &str) -> String {
        let port = self.api.rsplit(':').next().and_then(|port| port.parse().ok());
        let token = token_file(state, port.expect("a port"));
        let token = fs::read_to_string(token).expect("there is one");
        let asked = ureq::get(format!("http://{}{path}", self.api))
            .header("authorization", format!("Bearer {}", token.trim()));
        asked.call().expect("it answers").body_mut().read_to_string().expect("text")
    }

    /// Waits until a metric with these labels is that.
    pub(crate) fn until_metric(&self, state: &Path, metric: &str, is: impl Fn(f64) -> bool) {
        let start = Instant::now();
        loop {
            let page = self.get(state, "/metrics");
            let value = page.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
            if value.is_some_and(|value| is(value.parse().expect("a number"))) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{metric} is {value:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A limit that the switches share.
const LINES: &str = "[peers.ann]\nsecret = \"a\"\n[[limits]]\nname = \"lines\"\npeers = [\"ann\"]\nmax_calls = 10\n";

#[test]
fn a_switch_that_was_killed_is_counted_shown_and_forgotten() {
    let pair = Pair::new(LINES);
    let (here, there) = (pair.berlin.path(), pair.bonn.path());
    let berlin = serve(here, "oneport.toml");
    let bonn = serve(there, "oneport.toml");
    berlin.until_switches(here, &[("berlin", "alive"), ("bonn", "alive")]);
    bonn.until_switches(there, &[("bonn", "alive"), ("berlin", "alive")]);
    berlin.until_metric(here, "oneport_cluster_switches{state=\"alive\"}", |count| count == 2.0);
    berlin.until_metric(here, "oneport_cluster_database_up", |up| up == 1.0);
    for metric in ["oneport_cluster_slots", "oneport_cluster_slots_elsewhere"] {
        let metric = format!("{metric}{{limit=\"lines\"}}");
        berlin.until_metric(here, &metric, |slots| (1.0..=9.0).contains(&slots));
    }
    berlin.until_metric(here, "oneport_cluster_renewal_age_seconds", |age| age >= 0.0);
    let forget = |name| ["cluster", "forget", name];
    let told = refused(here, &forget("bonn"));
    assert!(told.contains("switch bonn gave a sign of life 0 s ago"), "{told}");
    let told = refused(here, &forget("paris"));
    assert!(told.contains("the database knows no switch paris"), "{told}");
    drop(bonn);
    berlin.until_switches(here, &[("berlin", "alive"), ("bonn", "dead")]);
    berlin.until_metric(here, "oneport_cluster_switches{state=\"dead\"}", |count| count == 1.0);
    let told = refused(here, &forget("bonn"));
    assert!(told.contains("gave a sign of life"), "{told}");
    let sql =
        "UPDATE switch SET heartbeat_time = heartbeat_time - interval '61 s' WHERE name = 'bonn'";
    let _ = pair.server.run(&pair.url, sql);
    let told = said(here, &forget("bonn"));
    assert!(told.starts_with("switch bonn is forgotten: "), "{told}");
    berlin.until_switches(here, &[("berlin", "alive")]);
    berlin.until_metric(here, "oneport_cluster_switches{state=\"dead\"}", |count| count == 0.0);
    pair.server.kill();
    berlin.until_metric(here, "oneport_cluster_database_up", |up| up == 0.0);
    berlin.until_metric(here, "oneport_cluster_switches{state=\"cut_off\"}", |count| count == 1.0);
}
