//! Calls whose voice goes straight from one telephone to the other, and somebody who wants to hear them.

use std::path::Path;
use std::time::Duration;

use oneport::media::{tone, wav};
use oneport::{Format, Phone, PhoneConfig};

use crate::listening::{config, hears_both, listen, say};
use crate::{PATIENCE, named, registered, scene_with, wait_for};

fn phone() -> Phone {
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    let mut config = PhoneConfig { listen, ..PhoneConfig::default() };
    config.endpoint.accept_transfers = true;
    Phone::bind(config).expect("bound")
}

#[tokio::test]
async fn voice_that_went_straight_is_heard_and_recorded_once_somebody_asks_for_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let media = "transfer = \"media\"\n";
    let text = ["ann", "bob"].iter().fold(config(), |text, name| {
        let section = format!("[peers.{name}]\n");
        text.replace(&section, &format!("{section}{media}"))
    });
    let text = format!("{text}[audio]\nrecord = {:?}\n", directory.path());
    for wanted in ["audio", "recording"] {
        let scene = scene_with(&text).await;
        let (ann, bob) = (phone(), phone());
        let _registration = registered(&bob, &scene, "bob").await;
        let call = named("8", "ann", "secret of ann");
        let mut ours = ann.call(scene.switch(), call).await.expect("placed");
        let theirs = bob.incoming().await.expect("it rings").answer().await.expect("answered");
        ours.answered().await.expect("answered");
        let relayed = async || {
            let look = scene.driver.with(|endpoint, _, _| endpoint.counters().relayed);
            look.await.expect("running")
        };
        let speakers = [&ours, &theirs].map(|call| call.speaker().expect("accepted"));
        wait_for("the voice to go straight", async || {
            let before = relayed().await;
            for _ in 0..10 {
                speakers.iter().for_each(|to| to.send(Format::ULAW, &[0x55; 160], 20));
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            (relayed().await == before).then_some(())
        })
        .await;
        let calls = scene.client.get("/v1/calls").await.json();
        let id = calls["calls"][0]["id"].as_str().expect("a call is up");
        let path = format!("/v1/calls/{id}");
        if wanted == "recording" {
            let begun = scene.client.send("POST", &format!("{path}/recording"), None).await;
            assert_eq!(begun.status, 200, "{}", begun.body);
            let file = begun.json()["file"].as_str().expect("a file").to_string();
            let before = relayed().await;
            let comes_here = wait_for("the voice to come here", async || {
                (relayed().await >= before + 100).then_some(())
            });
            tokio::select! {
                () = say(&ours, 500.0) => unreachable!(),
                () = say(&theirs, 1_000.0) => unreachable!(),
                () = comes_here => {}
            }
            let done = scene.client.send("DELETE", &format!("{path}/recording"), None).await;
            assert_eq!(done.status, 200, "{}", done.body);
            wait_for("both to be in the file", async || {
                let (left, right, rate) = wav::read_stereo(Path::new(&file)).ok()?;
                let heard = |side: &[i16], frequency| {
                    let parts = side.chunks_exact(800);
                    let level = |part: &[i16]| tone::level_dbm0(part, frequency, rate);
                    parts.filter(|part| level(part) > -15.0).count() >= 5
                };
                (heard(&left, 500.0) && heard(&right, 1_000.0)).then_some(())
            })
            .await;
            continue;
        }
        let ear = "ear-ear-ear-ear-ear";
        let mut socket = listen(&scene, &format!("{path}/audio"), ear).await.expect("it may");
        socket.first().await;
        let heard = tokio::select! {
            () = say(&ours, 500.0) => unreachable!(),
            () = say(&theirs, 1_000.0) => unreachable!(),
            heard = tokio::time::timeout(PATIENCE, hears_both(&mut socket, 8_000)) => heard,
        };
        assert!(heard.is_ok(), "not heard in {PATIENCE:?}");
    }
}
