//! A call whose two ends speak different codecs: what is shown of it, and that it can be recorded.

use std::path::Path;

use oneport::media::{Codec, wav};
use oneport::{CauseCode, Format};

use crate::recording::{contains, noise, say};
use crate::stream::Listener;
use crate::{CONFIG, named, phone, registered, scene_with, wait_for};

#[tokio::test]
async fn a_transcoded_call_is_told_shown_counted_recorded_and_kept() {
    let directory = tempfile::tempdir().expect("a directory");
    // Ann's codecs stand first.
    let text = CONFIG.replacen("codecs = [\"ulaw\"]", "codecs = [\"slin\"]", 1);
    let audio = format!("[audio]\nrecord = {:?}\n", directory.path());
    let route = "[[routes]]\nnumber = \"8\"\nto = [\"peer:bob\"]\n";
    let scene = scene_with(&format!("{text}\n{route}{audio}")).await;
    let mut events = Listener::begin(&scene, "?kinds=call_transcoded").await;
    let (ann, bob) = (phone(), phone());
    let _registration = registered(&bob, &scene, "bob").await;
    let mut call = named("8", "ann", "secret of ann");
    call.formats = vec![Format::SLIN];
    let mut ours = ann.call(scene.switch(), call).await.expect("placed");
    let theirs = bob.incoming().await.expect("it rings").answer().await.expect("answered");
    ours.answered().await.expect("answered");

    let (kind, _, told) = events.next().await;
    assert_eq!(kind, "call_transcoded");
    assert_eq!((&told["caller"], &told["called"]), (&"slin".into(), &"ulaw".into()), "{told}");
    let id = told["call"].as_str().expect("an id").to_string();
    let shown = scene.client.get(&format!("/v1/calls/{id}")).await.json();
    assert_eq!(shown["transcoded"]["caller"], "slin", "{shown}");
    assert_eq!(shown["transcoded"]["called"], "ulaw", "{shown}");
    let metrics = scene.client.get("/metrics").await.body;
    assert!(metrics.contains("\noneport_transcoded_calls 1\n"), "{metrics}");
    assert!(metrics.contains("\noneport_transcoded_calls_max 32\n"), "{metrics}");

    let path = format!("/v1/calls/{id}/recording");
    let begun = scene.as_role("operator").send("POST", &path, None).await;
    assert_eq!(begun.status, 200, "{}", begun.body);
    let file = begun.json()["file"].as_str().expect("a file").to_string();
    let (ours_said, theirs_said) = (noise(1, 8_000), noise(2, 16_000));
    let ours_says = say(&ours, Codec::Slin, &ours_said);
    tokio::join!(ours_says, say(&theirs, Codec::Ulaw, &theirs_said));
    wait_for("all to be heard", async || {
        let calls = scene.client.get("/v1/calls").await.json();
        let frames = |leg: &serde_json::Value| leg["heard"]["frames"].as_u64();
        let call = &calls["calls"][0];
        (frames(&call["caller"])? >= 50 && frames(&call["called"][0])? >= 100).then_some(())
    })
    .await;
    ours.hangup(CauseCode::NORMAL_CLEARING);
    ours.ended().await.expect("it ends");
    wait_for("the recording to be whole", async || {
        let (left, right, _) = wav::read_stereo(Path::new(&file)).ok()?;
        (contains(&left, &ours_said) && contains(&right, &theirs_said)).then_some(())
    })
    .await;
    let legs = wait_for("the records", async || {
        let story = scene.client.get(&format!("/v1/calls/{id}/story")).await;
        let legs = (story.status == 200).then(|| story.json()["legs"].clone())?;
        (legs.as_array()?.len() == 2).then_some(legs)
    })
    .await;
    for (leg, codec, transcoded) in [(0, "slin", "ulaw"), (1, "ulaw", "slin")] {
        assert_eq!(legs[leg]["codec"], codec, "{legs}");
        assert_eq!(legs[leg]["transcoded"], transcoded, "{legs}");
    }
    let metrics = scene.client.get("/metrics").await.body;
    assert!(metrics.contains("\noneport_transcoded_calls 0\n"), "{metrics}");
}
