//! The description of the API, against what the API does.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::schema::mistakes;
use crate::{CONFIG, Scene, ann_calls, phone, scene_with};

const ROLES: [&str; 4] = ["nobody", "viewer", "operator", "admin"];

#[test]
fn the_committed_description_is_that_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let now = oneport_switch::api::document().to_pretty_json().expect("JSON") + "\n";
    if std::env::var_os("ONEPORT_WRITE_DOCS").is_some() {
        std::fs::write(path, &now).expect("writable");
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == now, "docs/openapi.json is old: cargo xtask docs");
}

/// A path and body with which an operation succeeds. `{id}` stands for a call that is up, `{ended}` for
/// one that is over.
fn request(operation: &str) -> Option<(&'static str, Option<&'static str>)> {
    Some(match operation {
        "GET /healthz" => ("/healthz", None),
        "GET /readyz" => ("/readyz", None),
        "GET /metrics" => ("/metrics", None),
        "GET /v1/status" => ("/v1/status", None),
        "GET /v1/limits" => ("/v1/limits", None),
        "GET /v1/capacity" => ("/v1/capacity", None),
        "POST /v1/reload" => ("/v1/reload?dry_run=true", None),
        "GET /v1/peers" => ("/v1/peers?limit=2", None),
        "GET /v1/peers/{name}" => ("/v1/peers/gone", None),
        "GET /v1/log" => ("/v1/log?limit=3", None),
        "GET /v1/calls/{id}/timeline" => ("/v1/calls/{id}/timeline", None),
        "GET /v1/registrations" => ("/v1/registrations", None),
        "GET /v1/switches" => ("/v1/switches", None),
        "GET /v1/cluster/configuration" => ("/v1/cluster/configuration", None),
        "POST /v1/cluster/configuration" => {
            ("/v1/cluster/configuration", Some(r#"{"text": "[peers.new]\nsecret = \"x\""}"#))
        }
        "GET /v1/carriers" => ("/v1/carriers", None),
        "GET /v1/overview" => ("/v1/overview", None),
        "GET /v1/configuration" => ("/v1/configuration", None),
        "GET /v1/calls/{id}/ladder" => ("/v1/calls/{id}/ladder", None),
        "GET /v1/calls/table" => ("/v1/calls/table?search=a&sort=mos", None),
        "GET /v1/users" => ("/v1/users", None),
        "POST /v1/users" => {
            ("/v1/users", Some(r#"{"name": "carl", "role": "viewer", "password": "long enough"}"#))
        }
        "PUT /v1/users/{name}" => ("/v1/users/dora", Some(r#"{"role": "operator"}"#)),
        "DELETE /v1/users/{name}" => ("/v1/users/dora", None),
        "GET /v1/calls" => ("/v1/calls", None),
        "POST /v1/calls" => ("/v1/calls", Some(r#"{"ring": "peer:ann", "to": "7"}"#)),
        "POST /v1/calls/{id}/recording" | "DELETE /v1/calls/{id}/recording" => {
            ("/v1/calls/{id}/recording", None)
        }
        "GET /v1/netstats" => ("/v1/netstats", None),
        "GET /v1/cdrs" => ("/v1/cdrs", None),
        "GET /v1/refusals" => ("/v1/refusals", None),
        "GET /v1/refusals/counts" => ("/v1/refusals/counts", None),
        "GET /v1/calls/{id}/story" => ("/v1/calls/{ended}/story", None),
        "GET /v1/routes" => ("/v1/routes", None),
        "GET /v1/route" => ("/v1/route?number=7&from=ann", None),
        "GET /v1/calls/{id}" => ("/v1/calls/{id}", None),
        "DELETE /v1/calls/{id}" => ("/v1/calls/{id}", None),
        "POST /v1/calls/{id}/transfer" => {
            ("/v1/calls/{id}/transfer", Some(r#"{"to": "7", "party": "caller"}"#))
        }
        "GET /v1/drain" => ("/v1/drain", None),
        "POST /v1/drain" => ("/v1/drain", None),
        "DELETE /v1/drain" => ("/v1/drain", None),
        "POST /v1/upgrade" => ("/v1/upgrade", None),
        "GET /v1/radio" => ("/v1/radio", None),
        "GET /v1/parking" => ("/v1/parking", None),
        "GET /v1/conferences" => ("/v1/conferences", None),
        "DELETE /v1/conferences/{room}/members/{id}" => {
            ("/v1/conferences/sales/members/{id}", None)
        }
        "POST /v1/conferences/{room}/members/{id}/mute"
        | "DELETE /v1/conferences/{room}/members/{id}/mute" => {
            ("/v1/conferences/sales/members/{id}/mute", None)
        }
        "PUT /v1/conferences/{room}/members/{id}/gain" => {
            ("/v1/conferences/sales/members/{id}/gain", Some(r#"{"db": -6}"#))
        }
        // It has no end; `stream` is about it.
        "GET /v1/events" => return None,
        // It is a WebSocket; `listening` is about it.
        "GET /v1/calls/{id}/audio" => return None,
        // It is no text; `capture` is about it.
        "POST /v1/calls/{id}/capture" => return None,
        other => panic!("{other} is described, and not tried here"),
    })
}

/// The roles that an operation says it needs one of; empty: none.
fn needed(operation: &Value) -> &'static [&'static str] {
    let security = operation["security"].as_array().expect("it says who may");
    match security[0].get("token").and_then(|roles| roles[0].as_str()) {
        None => &ROLES,
        Some("viewer") => &ROLES[1..],
        Some("operator") => &ROLES[2..],
        Some("admin") => &ROLES[3..],
        Some(other) => panic!("there is no role {other}"),
    }
}

#[tokio::test]
async fn every_described_operation_lets_in_whom_it_says_and_answers_as_it_says() {
    let recordings = tempfile::tempdir().expect("a directory");
    let audio = format!("[audio]\nrecord = {:?}\n", recordings.path());
    let scene = scene_with(&format!("{CONFIG}\n{audio}")).await;
    let document = scene.client.get("/openapi.json").await.json();
    let phone = phone();
    let _registration = crate::registered(&phone, &scene, "ann").await;
    drop(ann_calls(&phone, &scene, "7").await);
    let ended = crate::wait_for("a record", async || {
        let cdrs = scene.client.get("/v1/cdrs").await.json();
        cdrs["records"][0]["call"].as_str().map(ToString::to_string)
    })
    .await;
    let mut tried = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let name = format!("{} {path}", method.to_uppercase());
            let Some((target, body)) = request(&name) else { continue };
            for role in ROLES {
                // An address may ask 100 times a second, and each turn asks less than seven times.
                tokio::time::sleep(std::time::Duration::from_millis(70)).await;
                // One that is hung up by one role is of no use to the next.
                let in_room = target.contains("/conferences/");
                let number = if in_room { "conference/sales" } else { "7" };
                let call = ann_calls(&phone, &scene, number).await;
                let calls = scene.client.get("/v1/calls?state=answered").await.json();
                let calls = calls["calls"].as_array().expect("a list").clone();
                let id = calls.last().and_then(|call| call["id"].as_str()).expect("an id");
                if name == "DELETE /v1/calls/{id}/recording" {
                    scene.client.send("POST", &format!("/v1/calls/{id}/recording"), None).await;
                }
                if name.ends_with("/users/{name}") {
                    let dora = r#"{"name": "dora", "role": "viewer", "password": "long enough"}"#;
                    scene.client.send("POST", "/v1/users", Some(dora)).await;
                }
                let target = target.replace("{id}", id).replace("{ended}", &ended);
                let answer = scene.as_role(role).send(&method.to_uppercase(), &target, body).await;
                let may = needed(operation).contains(&role);
                let expected: &[u16] = match (role, may) {
                    (_, true) if name.ends_with("/transfer") => &[204, 409],
                    // This switch is part of another program, and has no successor.
                    (_, true) if name.ends_with("/upgrade") => &[409],
                    // This switch is alone.
                    (_, true) if name == "POST /v1/cluster/configuration" => &[409],
                    (_, true) => &[200, 201, 204],
                    ("nobody", false) => &[401],
                    _ => &[403],
                };
                let status = answer.status;
                assert!(expected.contains(&status), "{name} by {role}: {status} {}", answer.body);
                if may {
                    check_answer(&document, operation, &name, &answer);
                }
                drop(call);
                scene.client.send("DELETE", "/v1/drain", None).await;
                if name == "POST /v1/calls" && status == 201 {
                    let placed = answer.json()["id"].as_str().expect("an id").to_string();
                    scene.client.send("DELETE", &format!("/v1/calls/{placed}"), None).await;
                }
                settled(&scene).await;
            }
            tried.insert(name);
        }
    }
    assert!(tried.len() >= 35, "{tried:?}");
}

/// Waits until ann's calls are over, of which a limit allows two.
async fn settled(scene: &Scene) {
    crate::wait_for("the call to be over", async || {
        let calls = scene.client.get("/v1/calls").await.json();
        (calls["total"] == 0).then_some(())
    })
    .await;
}

fn check_answer(document: &Value, operation: &Value, name: &str, answer: &crate::client::Answer) {
    let described = &operation["responses"][answer.status.to_string()];
    assert!(described.is_object(), "{name}: {} is not described", answer.status);
    let Some(content) = described["content"].as_object() else {
        return assert_eq!(answer.body, "", "{name}");
    };
    let (kind, content) = content.iter().next().expect("a kind of content");
    let given = answer.header("content-type").unwrap_or_default();
    assert!(given.starts_with(kind.as_str()), "{name}: {given} in place of {kind}");
    if kind == "application/json" {
        let found = mistakes(document, &content["schema"], &answer.json());
        assert!(found.is_empty(), "{name}: {found:#?}");
    }
}

#[test]
fn nothing_is_described_twice_under_one_name() {
    let document = serde_json::to_value(oneport_switch::api::document()).expect("JSON");
    let mut names = BTreeMap::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let id = operation["operationId"].as_str().expect("an id").to_string();
            let before = names.insert(id, format!("{method} {path}"));
            assert_eq!(before, None, "{method} {path}");
            assert!(operation["summary"].is_string(), "{method} {path} says nothing");
        }
    }
}
