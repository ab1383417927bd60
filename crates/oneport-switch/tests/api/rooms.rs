//! Conferences, the parking lot, and draining.

use crate::{ann_calls, named, phone, registered, scene, wait_for};

#[tokio::test]
async fn members_of_a_conference_are_shown_muted_and_put_out() {
    let scene = scene().await;
    let phone = phone();
    let mut first = ann_calls(&phone, &scene, "conference/sales").await;
    let _second = ann_calls(&phone, &scene, "conference/sales").await;
    let shown = scene.client.get("/v1/conferences").await.json();
    assert_eq!((&shown["total"], &shown["next"]), (&1.into(), &serde_json::Value::Null));
    let room = &shown["conferences"][0];
    assert_eq!((&room["room"], &room["members"][1]["who"]), (&"sales".into(), &"ann".into()));
    assert_eq!(room["members"][0]["muted"], false);
    let id = room["members"][0]["call"].as_str().expect("an id").to_string();
    let muted = async || {
        let shown = scene.client.get("/v1/conferences").await.json();
        shown["conferences"][0]["members"][0]["muted"] == true
    };
    let mute = format!("/v1/conferences/sales/members/{id}/mute");
    for (method, is_muted) in [("POST", true), ("POST", true), ("DELETE", false)] {
        assert_eq!(scene.as_role("operator").send(method, &mute, None).await.status, 204);
        assert_eq!(muted().await, is_muted, "{method}");
    }
    let gain = format!("/v1/conferences/sales/members/{id}/gain");
    for (body, status) in [("{\"db\": -6}", 204), ("{\"db\": 21}", 422), ("{}", 422)] {
        let answer = scene.as_role("operator").send("PUT", &gain, Some(body)).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.body);
    }
    let shown = scene.client.get("/v1/conferences").await.json();
    let member = &shown["conferences"][0]["members"][0];
    assert_eq!((&member["gain_db"], &member["talks"]), (&(-6.0).into(), &false.into()));
    let elsewhere = format!("/v1/conferences/other/members/{id}");
    let answer = scene.client.send("DELETE", &elsewhere, None).await;
    assert_eq!(answer.status, 404, "{}", answer.body);
    let kick = format!("/v1/conferences/sales/members/{id}");
    assert_eq!(scene.client.send("DELETE", &kick, None).await.status, 204);
    assert_eq!(first.ended().await.expect("it ends").cause.0, 16);
    wait_for("one member to be left", async || {
        let shown = scene.client.get("/v1/conferences").await.json();
        let members = shown["conferences"][0]["members"].as_array()?.len();
        (members == 1).then_some(())
    })
    .await;
    assert_eq!(scene.client.send("DELETE", &kick, None).await.status, 404);
}

#[tokio::test]
async fn a_parked_call_is_shown_with_who_parked_it_and_how_long_it_waits() {
    let text = format!("{}\n[[routes]]\nnumber = \"8\"\nto = [\"peer:bob\"]\n", crate::CONFIG);
    let scene = crate::scene_with(&text).await;
    let (ann, bob) = (phone(), phone());
    let _registration = registered(&bob, &scene, "bob").await;
    let mut call =
        ann.call(scene.switch(), named("8", "ann", "secret of ann")).await.expect("placed");
    let incoming = bob.incoming().await.expect("it rings at bob's");
    let answered = incoming.answer().await.expect("answered");
    call.answered().await.expect("answered");
    assert_eq!(scene.client.get("/v1/parking").await.json()["parked"], serde_json::json!([]));
    answered.transfer("park/3").await.expect("up");
    let parked = wait_for("the call to be parked", async || {
        let parking = scene.client.get("/v1/parking").await.json();
        (parking["parked"].as_array()?.len() == 1).then_some(parking)
    })
    .await;
    let one = &parked["parked"][0];
    assert_eq!((&parked["slots"], &one["slot"]), (&20.into(), &3.into()));
    assert_eq!((&one["who"], &one["by"]), (&"ann".into(), &"bob".into()));
    let left = one["seconds_left"].as_f64().expect("it goes back some time");
    assert!(left > 0.0 && left <= 120.0, "{left}");
    let calls = scene.client.get("/v1/calls?state=parked").await.json();
    assert_eq!(calls["calls"][0]["id"], one["call"]);
}

#[tokio::test]
async fn a_switch_that_drains_keeps_its_calls_and_takes_no_more() {
    let scene = scene().await;
    let phone = phone();
    let call = ann_calls(&phone, &scene, "7").await;
    assert_eq!(scene.client.get("/v1/drain").await.json()["state"], "serving");
    assert_eq!(scene.as_role("operator").send("POST", "/v1/drain", None).await.status, 403);
    let drain = scene.client.send("POST", "/v1/drain", None).await.json();
    assert_eq!((&drain["state"], &drain["legs"]), (&"draining".into(), &1.into()));
    assert_eq!(scene.client.get("/readyz").await.status, 503);
    let mut refused =
        phone.call(scene.switch(), named("7", "ann", "secret of ann")).await.expect("placed");
    refused.answered().await.expect_err("it drains");
    drop(call);
    wait_for("the last call to end", async || {
        (scene.client.get("/v1/drain").await.json()["state"] == "drained").then_some(())
    })
    .await;
    let again = scene.client.send("DELETE", "/v1/drain", None).await.json();
    assert_eq!(again["state"], "serving");
    assert_eq!(scene.client.get("/readyz").await.status, 200);
    let _call = ann_calls(&phone, &scene, "7").await;
}
