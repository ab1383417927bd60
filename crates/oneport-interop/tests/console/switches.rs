//! Several switches with one database, as the console of one of them shows them.

use std::path::Path;

use oneport::{Driver, DriverConfig};
use oneport_switch::cluster::{Cluster, SharedConfiguration};
use oneport_switch::{Config, StorePlace, Switch};
use oneport_testkit::peers::database::{DatabaseServer, Kind, PASSWORD};
use serde_json::json;

use crate::scene::{CONFIG, Scene};

/// The switch of `driver`, whose configuration has these sections, is one of several.
fn join(sections: &str, driver: &Driver<Switch>) -> Cluster {
    let shared = &SharedConfiguration::default();
    let config = Config::parse(Path::new("oneport.toml"), sections).expect("it is well");
    let StorePlace::Server { url, .. } = &config.store.place else { panic!("a server") };
    Cluster::join(config.cluster.as_ref().expect("one of several"), url, driver, shared)
        .expect("a thread")
}

#[tokio::test(flavor = "multi_thread")]
async fn switches_and_what_they_share_are_on_the_overview_with_what_ails_them() {
    let server = DatabaseServer::start(Kind::Postgres);
    let url = server.new_database();
    let sections = |name: &str| {
        format!(
            "[store]\nurl = \"{url}\"\nsecret = \"{PASSWORD}\"\n[cluster]\nname = \"{name}\"\n\
             secret = \"sturdy bridge\"\naddress = \"127.0.0.1\"\nheartbeat_ms = 100\ndead_after_ms = 3000\n"
        )
    };
    let directory = tempfile::tempdir().expect("a directory");
    let kept = json!({ "version": 7, "text": "\n[peers.far]\nsecret = \"hush\"\n" });
    let file = directory.path().join("shared-berlin.json");
    std::fs::write(file, kept.to_string()).expect("writable");
    let scene = Scene::within(directory, &sections("berlin")).await;
    let _berlin = join(&sections("berlin"), &scene.driver);
    let text = format!("{CONFIG}\n{}", sections("bonn"));
    let config = Config::parse(Path::new("oneport.toml"), &text).expect("it is well");
    let driver = DriverConfig {
        listen: config.listen.clone(),
        endpoint: config.endpoint.clone(),
        ..DriverConfig::default()
    };
    let driver = Driver::start(driver, Switch::new(config)).expect("it starts");
    let bonn = join(&sections("bonn"), &driver);
    let browser = scene.entered().await;
    browser.sees(".switches tr", "berlin here").await;
    browser.sees(".switches tr", "bonn").await;
    browser.counts(".switches .state.good", 2).await;
    browser.sees(".shared tr", "dialer lines").await;
    browser.sees(".shared tr", "of 3").await;
    assert_eq!(browser.serious_findings().await, Vec::<String>::new());
    browser.go(&format!("http://{}/#configuration/peers.far.secret", scene.api.address())).await;
    browser.sees(".told", "peers.far.secret is line 3 of shared configuration 7.").await;
    browser.sees("h2", "What the switches share, version 7").await;
    browser.sees("li.named", "secret = \"***\"").await;
    browser.counts("li.named", 1).await;
    assert_eq!(browser.serious_findings().await, Vec::<String>::new());
    browser.keys("go").await;
    drop((driver, bonn));
    browser.sees(".switches tr.bad", "dead").await;
    server.kill();
    browser.sees(".ail", "The database has not answered for").await;
    browser.sees(".switches tr.bad", "cut off").await;
    browser.quit().await;
}
