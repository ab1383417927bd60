//! Calls that an operator places.

use oneport::media::Codec;
use oneport::{IncomingCall, Phone};

use crate::client::Answer;
use crate::{CONFIG, PATIENCE, Scene, phone, registered, scene_with, wait_for};

/// A route to bob, and a limit that lets one call go out to him.
fn config() -> String {
    format!(
        "{CONFIG}
[[routes]]
number = \"8\"
to = [\"peer:bob\"]

[[limits]]
name = \"bob\"
peers = [\"bob\"]
max_calls = 1
"
    )
}

async fn originate(scene: &Scene, body: &str) -> Answer {
    scene.as_role("operator").send("POST", "/v1/calls", Some(body)).await
}

async fn rung(phone: &Phone) -> IncomingCall {
    tokio::time::timeout(PATIENCE, phone.incoming()).await.expect("it rings").expect("running")
}

#[tokio::test]
async fn who_is_rung_is_led_to_a_number_when_it_answers() {
    let scene = scene_with(&config()).await;
    let (ann, bob) = (phone(), phone());
    let _registrations =
        [registered(&ann, &scene, "ann").await, registered(&bob, &scene, "bob").await];
    let body = r#"{"ring": "peer:ann/201", "to": "8", "calling_name": "desk"}"#;
    let placed = originate(&scene, body).await;
    assert_eq!(placed.status, 201, "{}", placed.body);
    let placed = placed.json();
    assert_eq!((&placed["number"], &placed["caller"]["peer"]), (&"8".into(), &"ann".into()));
    assert_eq!(placed["caller"]["incoming"], false);
    let first = rung(&ann).await;
    let offer = first.offer();
    assert_eq!((offer.called_number.as_str(), offer.calling_number.as_deref()), ("201", Some("8")));
    assert_eq!(offer.calling_name.as_deref(), Some("desk"));
    let mut first = first.answer().await.expect("answered");
    let second = rung(&bob).await;
    let offer = second.offer();
    assert_eq!((offer.called_number.as_str(), offer.calling_number.as_deref()), ("8", Some("201")));
    assert_eq!(offer.calling_name.as_deref(), Some("desk"));
    let second = second.answer().await.expect("answered");
    let id = placed["id"].as_str().expect("an id").to_string();
    let seen = wait_for("the call to be answered", async || {
        let seen = scene.client.get(&format!("/v1/calls/{id}")).await.json();
        (seen["state"] == "answered").then_some(seen)
    })
    .await;
    assert_eq!(
        (&seen["destination"], &seen["called"][0]["call"]),
        (&"peer:bob".into(), &id.as_str().into())
    );
    // What one says the other hears.
    let (mut ear, _) = first.audio().await.expect("accepted");
    let (_, mouth) = second.audio().await.expect("accepted");
    let heard = async {
        while let Some(frame) = ear.next_frame().await {
            let mut samples = Vec::new();
            Codec::Ulaw.decode(&frame.payload, &mut samples);
            if samples.iter().any(|sample| *sample > 3_000) {
                return;
            }
        }
        panic!("the call ended, and nothing was heard");
    };
    let speech = vec![4_000; 8_000 * 20];
    tokio::select! {
        () = heard => {}
        () = mouth.play(&speech) => panic!("nothing was heard"),
    }
    drop(second);
    first.ended().await.expect("both ends are hung up");
    let cdrs = wait_for("both records", async || {
        let cdrs = scene.client.get(&format!("/v1/calls/{id}/story")).await;
        let cdrs = (cdrs.status == 200).then(|| cdrs.json())?;
        (cdrs["legs"].as_array()?.len() == 2).then_some(cdrs)
    })
    .await;
    let legs = [&cdrs["legs"][0], &cdrs["legs"][1]];
    assert!(legs.iter().all(|leg| leg["direction"] == "out" && leg["answer"].is_string()));
    assert_eq!((&legs[0]["peer"], &legs[1]["peer"]), (&"ann".into(), &"bob".into()));
}

#[tokio::test]
async fn who_is_rung_is_led_to_a_destination_that_no_route_names() {
    let scene = scene_with(&config()).await;
    let ann = phone();
    let _registration = registered(&ann, &scene, "ann").await;
    let body = r#"{"ring": "peer:ann", "to": "builtin:echo", "calling_number": "12125550199"}"#;
    let placed = originate(&scene, body).await;
    assert_eq!(placed.status, 201, "{}", placed.body);
    let first = rung(&ann).await;
    assert_eq!(first.offer().calling_number.as_deref(), Some("12125550199"));
    let _first = first.answer().await.expect("answered");
    wait_for("the call to be in the echo", async || {
        let calls = scene.client.get("/v1/calls").await.json();
        (calls["calls"][0]["destination"] == "builtin:echo").then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_does_not_answer_in_time_is_not_led_on_and_the_reason_is_kept() {
    let scene = scene_with(&config()).await;
    let ann = phone();
    let _registration = registered(&ann, &scene, "ann").await;
    let body = r#"{"ring": "peer:ann", "to": "7", "timeout_seconds": 1}"#;
    let placed = originate(&scene, body).await.json();
    let id = placed["id"].as_str().expect("an id").to_string();
    let _rings = rung(&ann).await;
    let story = wait_for("its record", async || {
        let story = scene.client.get(&format!("/v1/calls/{id}/story")).await;
        let story = (story.status == 200).then(|| story.json())?;
        (story["legs"].as_array()?.len() == 1 && story["refusals"].as_array()?.len() == 1)
            .then_some(story)
    })
    .await;
    assert_eq!(
        (&story["legs"][0]["cause"], &story["legs"][0]["answer"]),
        (&19.into(), &serde_json::Value::Null)
    );
    assert_eq!(story["refusals"][0]["stage"], "answer");
}

#[tokio::test]
async fn a_call_that_cannot_be_placed_says_why_and_what_mends_it() {
    let scene = scene_with(&config()).await;
    let viewer = scene.as_role("viewer").send("POST", "/v1/calls", Some("{}")).await;
    assert_eq!(viewer.status, 403);
    for (body, status, error) in [
        (r#"{"ring": "peer:ann", "to": "7"}"#, 409, "ann is not registered"),
        (r#"{"ring": "peer:carl", "to": "7"}"#, 422, "there is no peer `carl`"),
        (r#"{"ring": "ann", "to": "7"}"#, 422, "`ann` is nobody to be rung: write peer:NAME"),
        (r#"{"ring": "peer:ann", "to": ""}"#, 422, "`to` is no number"),
        (r#"{"ring": "peer:ann", "to": "builtin:x"}"#, 422, "there is no built-in `x`"),
        (r#"{"ring": "peer:ann", "to": "7\n"}"#, 422, "`to` is no number"),
        (
            r#"{"ring": "peer:ann", "to": "7", "timeout_seconds": 0}"#,
            422,
            "timeout_seconds is 0, and goes from 1 to 600",
        ),
    ] {
        let answer = originate(&scene, body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.body);
        assert_eq!(answer.json()["error"], error, "{body}");
    }
    let bob = phone();
    let _registration = registered(&bob, &scene, "bob").await;
    let body = r#"{"ring": "peer:bob", "to": "7"}"#;
    assert_eq!(originate(&scene, body).await.status, 201);
    let full = originate(&scene, body).await;
    assert_eq!(full.status, 409, "{}", full.body);
    let why = full.json();
    assert!(why["error"].as_str().expect("a text").contains("limit bob"), "{why}");
    assert!(why["hint"].as_str().expect("a hint").contains("max_calls"), "{why}");
    let limits = scene.client.get("/v1/limits").await.json();
    assert_eq!(limits["limits"][1]["used"], 1, "not over the limit by one");
    scene.client.send("POST", "/v1/drain", None).await;
    let draining = originate(&scene, r#"{"ring": "peer:bob", "to": "7"}"#).await;
    assert_eq!(draining.json()["error"], "this switch is being drained");
}
