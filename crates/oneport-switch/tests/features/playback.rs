//! Files that are played.

use std::io::Write;
use std::process::Command;

use oneport::CauseCode;

use crate::setting::*;

#[tokio::test]
async fn a_disk_that_hangs_holds_up_its_caller_and_nobody_else() {
    let folder = tempfile::tempdir().expect("a directory");
    // Whoever opens a pipe waits until somebody writes into it, as for a disk that is gone.
    let slow = folder.path().join("slow.wav");
    assert!(Command::new("mkfifo").arg(&slow).status().expect("mkfifo runs").success());
    write_level(&folder.path().join("good.wav"), 4_000, 16_000);
    let text = format!("[audio]\nplayback = {:?}\n{THREE_PEERS}", folder.path());
    let (_switch, to) = switch(&text);
    let (ann, bob) = (phone(), phone());
    let mut waits = ann.call(to, from("ann", "playback/slow")).await.expect("placed");
    // Meanwhile others are served, other files among that.
    let good = answered(&bob, to, from("bob", "playback/good")).await;
    let (mut ear, _) = good.audio().await.expect("accepted");
    hears(&mut ear, 4_000).await;
    let file = std::fs::read(folder.path().join("good.wav")).expect("readable");
    let write = move || {
        let mut pipe = std::fs::OpenOptions::new().write(true).open(slow).expect("it is read");
        pipe.write_all(&file).expect("it is read");
    };
    tokio::task::spawn_blocking(write).await.expect("written");
    tokio::time::timeout(PATIENCE, waits.answered()).await.expect("in time").expect("it is there");
    let (mut ear, _) = waits.audio().await.expect("accepted");
    hears(&mut ear, 4_000).await;
}

#[tokio::test]
async fn where_a_file_is_missing_the_next_destination_is_tried() {
    let folder = tempfile::tempdir().expect("a directory");
    write_level(&folder.path().join("there.wav"), 4_000, 16_000);
    let text = format!(
        "[audio]\nplayback = {:?}\n{THREE_PEERS}[[routes]]\nnumber = \"1\"\n\
         to = [\"builtin:playback/missing\", \"builtin:playback/there\"]\n",
        folder.path()
    );
    let (_switch, to) = switch(&text);
    let ann = phone();
    let call = answered(&ann, to, from("ann", "1")).await;
    let (mut ear, _) = call.audio().await.expect("accepted");
    hears(&mut ear, 4_000).await;
    let end = refused(&ann, to, from("ann", "playback/missing")).await;
    assert_eq!(end.cause, CauseCode::UNALLOCATED);
}
