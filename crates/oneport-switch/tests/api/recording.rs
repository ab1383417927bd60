//! Calls that are recorded while they are up.

use std::path::Path;
use std::process::Command;

use oneport::media::{Codec, wav};
use oneport::{Call, Format};

use crate::{CONFIG, Scene, ann_calls, named, phone, registered, scene_with, wait_for};

fn config(directory: &Path) -> String {
    let audio = format!("[audio]\nrecord = {directory:?}\n");
    format!("{CONFIG}\n[[routes]]\nnumber = \"8\"\nto = [\"peer:bob\"]\n{audio}")
}

/// Noise as it sounds behind µ-law, without zeros, each sequence another.
pub(crate) fn noise(seed: u32, samples: u32) -> Vec<i16> {
    let mut state = seed;
    let payload: Vec<u8> = (0..samples)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // The two zeros of µ-law end in seven ones.
            let byte = (state >> 24) as u8;
            if byte & 0x7F == 0x7F { byte ^ 1 } else { byte }
        })
        .collect();
    let mut decoded = Vec::new();
    Codec::Ulaw.decode(&payload, &mut decoded);
    decoded
}

/// Whether all of it is there, bit for bit: with silence where the machine stood still for longer than the
/// clock of samples bears, and with nothing else.
pub(crate) fn contains(heard: &[i16], said: &[i16]) -> bool {
    let heard: Vec<i16> = heard.iter().copied().filter(|sample| *sample != 0).collect();
    heard.windows(said.len()).any(|window| window == said)
}

/// Says all of it at the pace of a telephone. Behind a standstill of the machine its timestamps begin anew, so
/// that no frame comes too late for a recording.
pub(crate) async fn say(call: &Call, codec: Codec, said: &[i16]) {
    let speaker = call.speaker().expect("accepted");
    let mut clock = tokio::time::interval(std::time::Duration::from_millis(20));
    let mut payload = Vec::new();
    for frame in said.chunks(160) {
        clock.tick().await;
        payload.clear();
        codec.encode(frame, &mut payload);
        speaker.send(codec.format(), &payload, 20);
    }
}

async fn only_call(scene: &Scene) -> String {
    let calls = scene.client.get("/v1/calls").await.json();
    calls["calls"][0]["id"].as_str().expect("a call is up").to_string()
}

#[tokio::test]
async fn both_sides_of_a_bridged_call_are_recorded_bit_for_bit() {
    let directory = tempfile::tempdir().expect("a directory");
    let scene = scene_with(&config(&directory.path().join("made/when/needed"))).await;
    let (ann, bob) = (phone(), phone());
    let _registration = registered(&bob, &scene, "bob").await;
    let mut ours =
        ann.call(scene.switch(), named("8", "ann", "secret of ann")).await.expect("placed");
    let theirs = bob.incoming().await.expect("it rings").answer().await.expect("answered");
    ours.answered().await.expect("answered");
    let path = format!("/v1/calls/{}/recording", only_call(&scene).await);
    let operator = scene.as_role("operator");
    assert_eq!(scene.as_role("viewer").send("POST", &path, None).await.status, 403);
    let begun = operator.send("POST", &path, None).await;
    assert_eq!(begun.status, 200, "{}", begun.body);
    let file = begun.json()["file"].as_str().expect("a file").to_string();
    assert!(file.ends_with(&format!("{}.wav", only_call(&scene).await)), "{file}");
    let twice = operator.send("POST", &path, None).await;
    assert_eq!(twice.status, 409, "{}", twice.body);
    let shown = scene.client.get("/v1/calls").await.json();
    assert_eq!(shown["calls"][0]["recording"]["file"], file);
    assert!(scene.client.get("/metrics").await.body.contains("\noneport_recordings 1\n"));
    let (ours_said, theirs_said) = (noise(1, 8_000), noise(2, 16_000));
    let codec = Codec::Ulaw;
    tokio::join!(say(&ours, codec, &ours_said), say(&theirs, codec, &theirs_said));
    wait_for("all to be heard", async || {
        let calls = scene.client.get("/v1/calls").await.json();
        let frames = |leg: &serde_json::Value| leg["heard"]["frames"].as_u64();
        let call = &calls["calls"][0];
        (frames(&call["caller"])? >= 50 && frames(&call["called"][0])? >= 100).then_some(())
    })
    .await;
    let done = operator.send("DELETE", &path, None).await;
    assert_eq!(done.status, 200, "{}", done.body);
    assert_eq!(
        (&done.json()["frames_left_out"], &done.json()["failed"]),
        (&0.into(), &false.into())
    );
    assert_eq!(operator.send("DELETE", &path, None).await.status, 409);
    wait_for("the file to be whole", async || {
        let (left, right, rate) = wav::read_stereo(Path::new(&file)).ok()?;
        assert_eq!(rate, 8_000);
        (contains(&left, &ours_said) && contains(&right, &theirs_said)).then_some(())
    })
    .await;
    // And once more, into another file, to the end of the call.
    let again = operator.send("POST", &path, None).await.json();
    assert!(again["file"].as_str().expect("a file").ends_with("-2.wav"), "{again}");
    // A machine that stands still leaves a gap in what is said. One of three is heard without any.
    for _ in 0..3 {
        say(&ours, codec, &ours_said).await;
    }
    drop((ours, theirs));
    wait_for("the second file to be whole", async || {
        let (left, ..) = wav::read_stereo(Path::new(again["file"].as_str()?)).ok()?;
        contains(&left, &ours_said).then_some(())
    })
    .await;
    assert!(scene.client.get("/metrics").await.body.contains("\noneport_recordings 0\n"));
}

#[tokio::test]
async fn a_disk_that_stands_still_costs_frames_which_are_counted_and_no_call_hears_of_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let scene = scene_with(&config(directory.path())).await;
    let phone = phone();
    let call = ann_calls(&phone, &scene, "7").await;
    let id = only_call(&scene).await;
    // Opening a pipe that nobody reads waits for ever.
    let pipe = directory.path().join(format!("{id}.wav"));
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("it runs").success());
    let path = format!("/v1/calls/{id}/recording");
    let begun = scene.client.send("POST", &path, None).await;
    assert_eq!(begun.status, 200, "{}", begun.body);
    let (mut ear, _) = call.audio().await.expect("accepted");
    let speaker = call.speaker().expect("accepted");
    let left_out = wait_for("frames to be left out", async || {
        for _ in 0..2_000 {
            speaker.send(Format::ULAW, &[0x55; 160], 20);
        }
        // What was echoed meanwhile.
        while let Ok(Some(_)) =
            tokio::time::timeout(std::time::Duration::from_millis(1), ear.next_frame()).await
        {
        }
        let calls = scene.client.get("/v1/calls").await.json();
        calls["calls"][0]["recording"]["frames_left_out"].as_u64().filter(|count| *count > 0)
    })
    .await;
    let metrics = scene.client.get("/metrics").await.body;
    let line =
        metrics.lines().find(|line| line.starts_with("oneport_recording_frames_left_out_total"));
    let counted: u64 =
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).expect("it is there");
    assert!(counted >= left_out, "{counted} of {left_out}");
    // The echo goes on.
    wait_for("an echo", async || {
        speaker.send(Format::ULAW, &[0x11; 160], 20);
        let frame = tokio::time::timeout(std::time::Duration::from_millis(50), ear.next_frame());
        let frame = frame.await.ok().flatten()?;
        (frame.payload.first() == Some(&0x11)).then_some(())
    })
    .await;
    // Nobody reads on: the recording fails, and is said to.
    drop(std::fs::File::open(&pipe).expect("it is there"));
    wait_for("the recording to have failed", async || {
        // The writer learns of it when it has something to write.
        speaker.send(Format::ULAW, &[0x11; 160], 20);
        let calls = scene.client.get("/v1/calls").await.json();
        (calls["calls"][0]["recording"]["failed"] == true).then_some(())
    })
    .await;
    drop(call);
}

#[tokio::test]
async fn what_cannot_be_recorded_is_said_in_words() {
    let directory = tempfile::tempdir().expect("a directory");
    let text = config(directory.path()).replace("codecs = [\"ulaw\"]", "codecs = [\"g729\"]");
    let scene = scene_with(&text).await;
    let phone = phone();
    let mut call = named("7", "ann", "secret of ann");
    call.formats = vec![Format::G729];
    let mut call = phone.call(scene.switch(), call).await.expect("placed");
    call.answered().await.expect("answered");
    let path = format!("/v1/calls/{}/recording", only_call(&scene).await);
    let answer = scene.client.send("POST", &path, None).await;
    assert_eq!(answer.status, 409, "{}", answer.body);
    let error = answer.json()["error"].as_str().expect("a text").to_string();
    assert!(error.ends_with("g729 is passed on and not understood here"), "{error}");
    let nobody = scene.client.send("POST", "/v1/calls/nobody/recording", None).await;
    assert_eq!(nobody.status, 404);
}
