//! Peers out of Asterisk's tables, as metrics show them.

use oneport_switch::Config;
use oneport_switch::realtime::Realtime;
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;

use crate::{Scene, named, phone, registered, scene_with};

const TABLE: &str = "CREATE TABLE iaxfriends (name, host, secret, ipaddr, port, regseconds)";

/// Waits until a metric with its labels is so.
async fn shows(scene: &Scene, metric: &str, wanted: f64) {
    crate::wait_for(metric, async || {
        let page = scene.client.get("/metrics").await.body;
        let line = page.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
        (line.and_then(|value| value.parse().ok()) == Some(wanted)).then_some(())
    })
    .await;
}

/// A call under this name, which needs an answer of the switch and no more.
async fn calls(scene: &Scene, name: &str) {
    let new = named("7", name, &format!("secret of {name}"));
    let mut call = phone().call(scene.switch(), new).await.expect("placed");
    let _ = call.answered().await;
}

#[tokio::test]
async fn what_tables_are_asked_for_is_counted_with_what_came_of_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("realtime.sqlite3");
    let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
    let database = SqlitePool::connect_with(options).await.expect("it is made");
    let run = async |sql: &'static str| {
        sqlx::raw_sql(sql).execute(&database).await.expect("good statements");
    };
    run(TABLE).await;
    let realtime =
        format!("\n[realtime]\nurl = \"sqlite:{}\"\npoll_seconds = 60\n", file.display());
    let scene = scene_with(&(crate::CONFIG.to_string() + &realtime)).await;
    let before = scene.client.get("/metrics").await.body;
    assert!(!before.contains("\noneport_realtime_up "), "nobody looks at tables yet: {before}");
    let config = Config::load(&scene.file()).expect("good");
    let realtime = Realtime::start(&config, &scene.driver).expect("a thread").expect("tables");
    shows(&scene, "oneport_realtime_query_seconds_count{query=\"look\"}", 1.0).await;
    shows(&scene, "oneport_realtime_up", 1.0).await;
    shows(&scene, "oneport_realtime_peers", 0.0).await;
    run("INSERT INTO iaxfriends (name, host, secret) VALUES ('rita', 'dynamic', 'secret of rita')")
        .await;
    let telephone = phone();
    let _registration = registered(&telephone, &scene, "rita").await;
    shows(&scene, "oneport_realtime_lookups_total{result=\"found\"}", 1.0).await;
    shows(&scene, "oneport_realtime_peers", 1.0).await;
    shows(&scene, "oneport_realtime_query_seconds_count{query=\"write\"}", 1.0).await;
    shows(&scene, "oneport_realtime_waiting_registrations", 0.0).await;
    // Once it is asked, and then it is known.
    calls(&scene, "nobody").await;
    calls(&scene, "nobody").await;
    shows(&scene, "oneport_realtime_lookups_total{result=\"unknown\"}", 1.0).await;
    shows(&scene, "oneport_realtime_lookups_total{result=\"remembered\"}", 1.0).await;
    shows(&scene, "oneport_realtime_query_seconds_count{query=\"lookup\"}", 2.0).await;
    run("DROP TABLE iaxfriends").await;
    calls(&scene, "somebody").await;
    shows(&scene, "oneport_realtime_lookups_total{result=\"unanswered\"}", 1.0).await;
    shows(&scene, "oneport_realtime_failed_queries_total{query=\"lookup\"}", 1.0).await;
    shows(&scene, "oneport_realtime_up", 0.0).await;
    realtime.leave().await;
}
