//! What is kept of the past of peers and calls.

use crate::{ann_calls, phone, scene, wait_for};

#[tokio::test]
async fn polls_of_a_peer_are_told_with_those_that_were_lost() {
    let scene = scene().await;
    let polls = wait_for("three polls", async || {
        let shown = scene.client.get("/v1/peers/gone").await.json();
        let polls = shown["polls"].as_array().expect("polls").clone();
        (polls.len() >= 3).then_some(polls)
    })
    .await;
    assert!(polls.iter().all(|poll| poll["round_trip_ms"].is_null()), "{polls:?}");
    let ago = |n: usize| polls[n]["seconds_ago"].as_f64().expect("a number");
    assert!(ago(0) >= ago(1) && ago(1) >= ago(2) && ago(2) >= 0.0, "{polls:?}");
    assert_eq!(scene.client.get("/v1/peers/nobody").await.status, 404);
    let shown = scene.client.get("/v1/peers/ann").await.json();
    assert_eq!((&shown["peer"]["name"], &shown["polls"]), (&"ann".into(), &serde_json::json!([])));
}

#[tokio::test]
async fn how_a_call_has_sounded_is_told_part_by_part() {
    let scene = scene().await;
    let phone = phone();
    let call = ann_calls(&phone, &scene, "7").await;
    let calls = scene.client.get("/v1/calls").await.json();
    let id = calls["calls"][0]["id"].as_str().expect("a call");
    let path = format!("/v1/calls/{id}/timeline");
    let fresh = scene.client.get(&path).await.json();
    assert_eq!(fresh["legs"][0]["channel"], calls["calls"][0]["caller"]["channel"]);
    let parts = wait_for("two parts", async || {
        let told = scene.client.get(&path).await.json();
        let parts = told["legs"][0]["parts"].as_array().expect("parts").clone();
        (parts.len() >= 2).then_some(parts)
    })
    .await;
    assert!(parts[0]["seconds_ago"].as_f64() > parts[1]["seconds_ago"].as_f64(), "{parts:?}");
    assert!(parts[1]["round_trip_ms"].as_f64().is_some(), "it is polled: {parts:?}");
    drop(call);
    wait_for("the call to be over", async || {
        (scene.client.get(&path).await.status == 404).then_some(())
    })
    .await;
}
