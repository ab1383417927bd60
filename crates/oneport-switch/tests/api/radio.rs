//! Radio nodes: who is linked with whom, and who is keyed.

use oneport::{Call, Format};
use serde_json::{Value, json};

use crate::stream::Listener;
use crate::{CONFIG, PATIENCE, Scene, named, phone, registered, scene_with, wait_for};

/// Ann's node 2000 and Bob's node 2001 in a call.
async fn two_nodes() -> (Scene, Call, Call, Box<dyn std::any::Any>) {
    let text = format!("{CONFIG}\n[[routes]]\nnumber = \"2001\"\nto = [\"peer:bob\"]\n");
    let scene = scene_with(&text).await;
    let (at_ann, at_bob) = (phone(), phone());
    let registration = registered(&at_bob, &scene, "bob").await;
    let mut call = named("2001", "ann", "secret of ann");
    call.calling_number = Some("2000".into());
    let mut ann = at_ann.call(scene.switch(), call).await.expect("placed");
    let incoming = tokio::time::timeout(PATIENCE, at_bob.incoming()).await;
    let bob = incoming.expect("it rings").expect("running").answer().await.expect("it waits");
    ann.answered().await.expect("answered");
    (scene, ann, bob, Box::new((registration, at_ann, at_bob)))
}

fn node<'a>(radio: &'a Value, number: &str) -> &'a Value {
    let nodes = radio["nodes"].as_array().expect("a list");
    nodes.iter().find(|node| node["node"] == number).unwrap_or(&Value::Null)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_keys_and_what_it_tells_is_shown_told_and_counted() {
    let (scene, ann, bob, _phones) = two_nodes().await;
    let nobody = scene.client.get("/v1/radio").await.json();
    assert_eq!(nobody, json!({ "nodes": [], "links": [], "keyed": 0, "left_out": 0 }));
    let mut events = Listener::begin(&scene, "?kinds=radio_keyed,radio_links,radio_text").await;
    ann.key(b"").await.expect("up");
    let (kind, _, told) = events.next().await;
    assert_eq!((kind.as_str(), &told["node"]), ("radio_keyed", &"2000".into()), "{told}");
    assert_eq!((&told["keyed"], &told["seconds"]), (&true.into(), &Value::Null));
    let radio = scene.client.get("/v1/radio").await.json();
    assert_eq!(radio["keyed"], 1, "{radio}");
    assert_eq!(node(&radio, "2000")["keyed"], true, "{radio}");
    assert_eq!(node(&radio, "2001")["keyed"], false, "{radio}");
    let link = &radio["links"][0];
    assert_eq!((&link["from"], &link["to"]), (&"2000".into(), &"2001".into()), "{radio}");
    assert_eq!(link["call"], node(&radio, "2000")["call"], "their link is the call");
    ann.unkey().await.expect("up");
    let (_, _, told) = events.next().await;
    assert_eq!(told["keyed"], false, "{told}");
    assert!(told["seconds"].is_number(), "{told}");

    bob.send_text("L T2000,R2002,T2003").await.expect("up");
    let (kind, _, told) = events.next().await;
    assert_eq!((kind.as_str(), &told["count"]), ("radio_links", &3.into()), "{told}");
    bob.send_text("K 2000 2002 1 7").await.expect("up");
    bob.send_text("M 2001 0 net at eight").await.expect("up");
    let (kind, _, told) = events.next().await;
    assert_eq!((kind.as_str(), &told["kind"]), ("radio_text", &"message".into()), "{told}");
    assert_eq!(told["said"], "node 2001 to all: net at eight");
    let radio = scene.client.get("/v1/radio").await.json();
    assert_eq!(radio["nodes"].as_array().map(Vec::len), Some(4), "{radio}");
    assert_eq!(node(&radio, "2001")["linked"], 3);
    let far = node(&radio, "2002");
    assert_eq!((&far["keyed"], &far["keyed_by"]), (&true.into(), &"report".into()), "{radio}");
    assert_eq!((&far["call"], &node(&radio, "2003")["keyed"]), (&Value::Null, &Value::Null));
    let modes: Vec<&str> = radio["links"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|link| link["mode"].as_str())
        .collect();
    assert_eq!(modes, ["transceive", "monitor", "transceive"], "{radio}");

    let metrics = scene.client.get("/metrics").await.body;
    for line in [
        "oneport_radio_nodes 2",
        "oneport_radio_linked_nodes 3",
        "oneport_radio_keyed_nodes 0",
        "oneport_radio_transmissions_total 1",
        "oneport_radio_texts_total{kind=\"links\"} 1",
    ] {
        assert!(metrics.contains(&format!("{line}\n")), "{line}:\n{metrics}");
    }
    drop((ann, bob));
    wait_for("the nodes to be gone", async || {
        let radio = scene.client.get("/v1/radio").await.json();
        (radio["nodes"] == json!([])).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_node_in_several_calls_the_one_is_shown_in_which_it_is_keyed() {
    let (scene, ann, _bob, _phones) = two_nodes().await;
    let another = phone();
    let mut call = named("7", "ann", "secret of ann");
    call.calling_number = Some("2000".into());
    let mut second = another.call(scene.switch(), call).await.expect("placed");
    second.answered().await.expect("answered");
    ann.send_text("!IAXKEY! 1 1 0 0").await.expect("up");
    second.key(b"").await.expect("up");
    let keyed = wait_for("the node to be keyed", async || {
        let radio = scene.client.get("/v1/radio").await.json();
        (radio["keyed"] == 1).then_some(radio)
    })
    .await;
    assert_eq!(node(&keyed, "2000")["keyed"], true, "{keyed}");
    assert_eq!(keyed["nodes"].as_array().map(Vec::len), Some(2), "{keyed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_newkey1_a_node_is_keyed_while_it_sends_voice() {
    let (scene, ann, _bob, _phones) = two_nodes().await;
    let mut events = Listener::begin(&scene, "?kinds=radio_keyed").await;
    ann.send_text("!NEWKEY1!").await.expect("up");
    ann.key(b"").await.expect("up");
    let speaker = ann.speaker().expect("accepted");
    let speaking = tokio::spawn(async move {
        loop {
            speaker.send(Format::ULAW, &[0x55; 160], 20);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    let (_, _, told) = events.next().await;
    assert_eq!((&told["node"], &told["keyed"]), (&"2000".into(), &true.into()), "{told}");
    let radio = scene.client.get("/v1/radio").await.json();
    assert_eq!(node(&radio, "2000")["keyed_by"], "voice", "{radio}");
    speaking.abort();
    loop {
        // On a busy machine voice may pause, and begin again.
        let (_, _, told) = events.next().await;
        if told["keyed"] == false {
            break;
        }
    }
    wait_for("the node to be keyed no more", async || {
        let radio = scene.client.get("/v1/radio").await.json();
        (node(&radio, "2000")["keyed"] == false).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_status_says_whether_anything_is_encrypted_and_by_which_profile() {
    let status = scene_with(CONFIG).await.client.get("/v1/status").await.json();
    assert_eq!((&status["profile"], &status["encryption"]), (&Value::Null, &"off".into()));
    let text = CONFIG.replace("[server]\n", "[server]\nprofile = \"amateur-radio\"\n");
    let status = scene_with(&text).await.client.get("/v1/status").await.json();
    assert_eq!(
        (&status["profile"], &status["encryption"]),
        (&"amateur-radio".into(), &"off".into())
    );
    let text = CONFIG.replace("[server]\n", "[server]\nencryption = \"allowed\"\n");
    assert_eq!(
        scene_with(&text).await.client.get("/v1/status").await.json()["encryption"],
        "allowed"
    );
}
