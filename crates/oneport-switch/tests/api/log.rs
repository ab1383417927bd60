//! The last lines of the log.

use serde_json::Value;

use crate::client::Client;
use crate::{ann_calls, phone, scene, wait_for};

async fn lines(client: &Client, query: &str) -> Vec<Value> {
    let answer = client.get(&format!("/v1/log?limit=1000&{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["lines"].as_array().expect("lines").clone()
}

#[tokio::test]
async fn what_becomes_of_a_call_is_in_the_log_by_its_id_its_peer_and_what_is_new() {
    let scene = scene().await;
    let desk = scene.as_role("operator");
    assert_eq!(scene.as_role("viewer").get("/v1/log").await.status, 403);
    let before = desk.get("/v1/log?limit=1").await.json()["newest"].as_u64().expect("a number");
    let phone = phone();
    drop(ann_calls(&phone, &scene, "7").await);
    let record = wait_for("a record", async || {
        let cdrs = scene.client.get("/v1/cdrs").await.json();
        cdrs["records"][0]["call"].as_str().map(ToString::to_string)
    })
    .await;
    let of_call = wait_for("its end in the log", async || {
        let found = lines(&desk, &format!("after={before}&call={record}")).await;
        (!found.is_empty()).then_some(found)
    })
    .await;
    assert!(of_call.iter().all(|line| line["call"] == record.as_str()), "{of_call:#?}");
    let said = of_call[0]["message"].as_str().expect("a text");
    assert!(said.contains("ann (127.0.0.1:"), "{said}");
    let of_peer = lines(&desk, "peer=ann").await;
    assert!(of_call.iter().all(|line| of_peer.contains(line)), "{of_peer:#?}");
    assert!(lines(&desk, "peer=an").await.iter().all(|line| line["call"] != record.as_str()));
    assert!(lines(&desk, &format!("call={record}&level=error")).await.is_empty());
    let newest = of_call.last().expect("a line")["number"].as_u64().expect("a number");
    assert!(lines(&desk, &format!("after={newest}&call={record}")).await.is_empty());
    assert_eq!(desk.get("/v1/log?limit=0").await.status, 422);
}

#[tokio::test]
async fn what_users_do_is_for_administrators_alone() {
    let scene = scene().await;
    let new = r#"{"name": "carl", "role": "viewer", "password": "long enough"}"#;
    assert_eq!(scene.client.send("POST", "/v1/users", Some(new)).await.status, 201);
    let seen = lines(&scene.client, "search=POST%20/v1/USERS").await;
    assert!(!seen.is_empty() && !format!("{seen:?}").contains("long enough"), "{seen:#?}");
    assert!(lines(&scene.as_role("operator"), "search=post%20/v1/users").await.is_empty());
}
