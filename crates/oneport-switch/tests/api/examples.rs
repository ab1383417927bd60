//! The examples of docs/api.md, run as they are written.

use std::path::Path;
use std::process::{Command, Output};

use oneport::{Call, Phone};

use crate::{CONFIG, PATIENCE, Scene, ann_calls, named, phone, registered, scene_with, wait_for};

const PAGE: &str = include_str!("../../../../docs/api.md");

/// The lines of the blocks of commands; one that goes on in the next is one.
fn commands() -> Vec<String> {
    let blocks = PAGE.split("```sh\n").skip(1).filter_map(|part| part.split_once("```"));
    let joined: String = blocks.map(|(block, _)| block.replace("\\\n", " ")).collect();
    joined.lines().map(str::trim).filter(|line| !line.is_empty()).map(Into::into).collect()
}

/// A switch as the examples have it: ann and bob are registered, and there is a dialer.
struct Site {
    scene: Scene,
    ann: Phone,
    bob: Phone,
    _registrations: [oneport::Registration; 2],
    /// Where commands run, and what is their user's home.
    home: tempfile::TempDir,
}

impl Site {
    async fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let config = format!(
            "{CONFIG}
[peers.dialer]
secret = \"secret of dialer\"

[[routes]]
number = \"8\"
to = [\"peer:bob\"]

[audio]
record = {:?}
",
            home.path().join("recordings")
        );
        let scene = scene_with(&config).await;
        let (ann, bob) = (phone(), phone());
        let _registrations =
            [registered(&ann, &scene, "ann").await, registered(&bob, &scene, "bob").await];
        let state = home.path().join(".local/state/oneport");
        std::fs::create_dir_all(&state).expect("writable");
        std::fs::write(state.join("api-8569.token"), "admin-admin-admin-admin\n")
            .expect("writable");
        Self { scene, ann, bob, _registrations, home }
    }

    /// A call that an example is about.
    async fn call_for(&self, example: &str) -> Vec<Call> {
        if example.contains("/members/") {
            return vec![ann_calls(&self.ann, &self.scene, "conference/sales").await];
        }
        let call = named("8", "ann", "secret of ann");
        let mut call = self.ann.call(self.scene.switch(), call).await.expect("placed");
        let incoming = tokio::time::timeout(PATIENCE, self.bob.incoming()).await;
        let incoming = incoming.expect("it rings at bob's").expect("running");
        let answered = incoming.answer().await.expect("answered");
        call.answered().await.expect("answered");
        vec![call, answered]
    }

    async fn id(&self) -> String {
        let calls = self.scene.client.get("/v1/calls?state=answered").await.json();
        calls["calls"][0]["id"].as_str().expect("a call is up").to_string()
    }

    /// A call that is over.
    async fn ended(&self) -> String {
        wait_for("a record", async || {
            let cdrs = self.scene.client.get("/v1/cdrs?limit=1").await.json();
            cdrs["records"][0]["call"].as_str().map(ToString::to_string)
        })
        .await
    }

    /// Runs a command behind those that set its variables.
    async fn run(&self, settings: &str, call: &str, example: &str) -> Output {
        // A no of the switch is a failure here.
        let strict = "curl() { command curl --fail-with-body --max-time 20 \"$@\"; }";
        let script = format!("set -e\n{settings}\nexport CALL={call}\n{strict}\n{example}");
        let home = self.home.path().to_path_buf();
        let run = move || {
            Command::new("sh")
                .args(["-c", &script])
                .current_dir(&home)
                .env("HOME", &home)
                .output()
                .expect("sh runs")
        };
        tokio::task::spawn_blocking(run).await.expect("no panic")
    }

    /// Ends whatever the example has begun.
    async fn clear(&self) {
        self.scene.client.send("DELETE", "/v1/drain", None).await;
        wait_for("all calls to be over", async || {
            let calls = self.scene.client.get("/v1/calls").await.json();
            for call in calls["calls"].as_array()? {
                let path = format!("/v1/calls/{}", call["id"].as_str()?);
                self.scene.client.send("DELETE", &path, None).await;
            }
            (calls["total"] == 0).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn every_example_of_the_page_runs_as_it_is_written() {
    let site = Site::new().await;
    let here = |text: &str| text.replace("127.0.0.1:8569", &site.scene.api.address().to_string());
    let (settings, examples): (Vec<String>, Vec<String>) =
        commands().into_iter().partition(|line| line.starts_with("export "));
    assert!(examples.iter().all(|line| line.starts_with("curl -s")), "{examples:#?}");
    assert_eq!(examples.len(), PAGE.matches("curl ").count(), "each of them is run");
    let settings = here(&settings.join("\n"));
    for example in &examples {
        let calls = site.call_for(example).await;
        let id = if example.ends_with("/story") { site.ended().await } else { site.id().await };
        let recording = format!("/v1/calls/{id}/recording");
        if example.contains("-X DELETE") && example.contains("/recording") {
            assert_eq!(site.scene.client.send("POST", &recording, None).await.status, 200);
        }
        if example.contains("/v1/events") {
            // It has no end, so it is cut off, and something happens meanwhile.
            let endless = example.replace("curl -sN", "curl -sN --max-time 5");
            let (output, _) = tokio::join!(site.run(&settings, &id, &endless), async {
                for _ in 0..20 {
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                    drop(ann_calls(&site.ann, &site.scene, "7").await);
                }
            });
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(text.contains("event: call_begun\n"), "{example}: {text}");
            assert!(text.contains("event: call_ended\n"), "{example}: {text}");
        } else {
            let output = site.run(&settings, &id, example).await;
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{example}: {said}{errors}");
        }
        drop(calls);
        site.clear().await;
    }
    capture_is_one(&site.home.path().join("call.pcapng"));
}

/// What the example of a capture has written.
fn capture_is_one(path: &Path) {
    let bytes = std::fs::read(path).expect("an example captures");
    assert_eq!(bytes.get(..4), Some(&[0x0A, 0x0D, 0x0D, 0x0A][..]), "the magic number of pcapng");
}

#[test]
fn every_path_has_an_example() {
    let document = serde_json::to_value(oneport_switch::api::document()).expect("JSON");
    let examples = commands();
    for path in document["paths"].as_object().expect("paths").keys() {
        if path == "/v1/calls/{id}/audio" {
            // A WebSocket is nothing for curl.
            assert!(PAGE.contains("`oneport listen --wav call.wav $CALL`"), "no example of {path}");
            continue;
        }
        if path == "/v1/upgrade" {
            // The switch of this test is part of another program, and has no successor.
            assert!(PAGE.contains("`oneport upgrade`"), "no example of {path}");
            continue;
        }
        let path =
            path.replace("{id}", "$CALL").replace("{room}", "sales").replace("{name}", "ann");
        let is_there = |example: &String| {
            let rest = example.split_once(&format!("$API{path}")).map(|(_, rest)| rest);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['"', ' ', '?']))
        };
        assert!(examples.iter().any(is_there), "docs/api.md has no example of {path}");
    }
}
