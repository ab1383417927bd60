//! A call that is choppy: told while it is up, and kept when it is over.

use oneport::CauseCode;
use oneport_testkit::impairment::Impairment;
use oneport_testkit::relay::Relay;

use crate::stream::Listener;
use crate::{named, phone, scene, wait_for};

#[tokio::test]
async fn why_a_leg_is_choppy_is_told_by_event_call_metrics_and_record() {
    let scene = scene().await;
    let mut events = Listener::begin(&scene, "?kinds=call_choppy").await;
    let bursts = Impairment { loss: 0.12, loss_run: 8.0, ..Impairment::NONE };
    let relay = Relay::start(scene.switch(), bursts, Impairment::NONE, 1).expect("started");
    let phone = phone();
    let call = phone.call(relay.address(), named("7", "ann", "secret of ann")).await;
    let mut call = call.expect("placed");
    call.answered().await.expect("answered");
    let speaker = call.speaker().expect("accepted");
    // Until it is hung up.
    let speaking = tokio::spawn(async move { speaker.play(&vec![1_000; 8_000 * 120]).await });
    let has = |causes: &serde_json::Value| {
        causes.as_array().is_some_and(|all| all.iter().any(|one| one == "bursty_loss_here"))
    };
    // A busy machine adds causes of its own, which may come first.
    let told = loop {
        let (kind, _, told) = events.next().await;
        assert_eq!((kind.as_str(), &told["peer"]), ("call_choppy", &"ann".into()));
        if has(&told["causes"]) {
            break told;
        }
    };
    assert!(told["why"].as_str().expect("a sentence").contains("bursts"), "{told}");
    let id = told["call"].as_str().expect("an id").to_string();
    let shown = scene.client.get(&format!("/v1/calls/{id}")).await.json();
    assert!(has(&shown["caller"]["causes"]), "{shown}");
    assert!(shown["caller"]["diagnosis"].as_str().is_some_and(|why| why.contains("bursts")));
    assert!(shown["caller"]["remedies"][0].as_str().is_some_and(|words| !words.is_empty()));
    assert!(shown["caller"]["heard"]["mos"].as_f64().is_some_and(|mos| mos < 4.0), "{shown}");
    call.hangup(CauseCode::NORMAL_CLEARING);
    call.ended().await.expect("it ends");
    speaking.abort();
    let story = wait_for("the record", async || {
        let story = scene.client.get(&format!("/v1/calls/{id}/story")).await;
        (story.status == 200).then(|| story.json())
    })
    .await;
    let quality = &story["legs"][0]["quality"];
    assert!(quality["causes"].as_str().is_some_and(|all| all.contains("bursty_loss_here")));
    assert!(quality["diagnosis"].as_str().is_some_and(|why| why.contains("bursts")), "{quality}");
    let metrics = scene.client.get("/metrics").await.body;
    let counted = "oneport_choppy_legs_total{cause=\"bursty_loss_here\"} 1\n";
    assert!(metrics.contains(counted), "{metrics}");
}
