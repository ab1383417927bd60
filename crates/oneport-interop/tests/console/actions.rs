//! What is done to calls: recorded, led on, listened to.

use oneport::Call;

use crate::browser::Browser;
use crate::scene::{Desk, PASSWORD, Scene, USER, say};

/// A call from the dialer to the desk that is up.
async fn bridged(scene: &Scene, desk: &Desk) -> (Call, Call) {
    let mut ours = scene.placed("9", "100").await;
    let theirs = desk.answers().await;
    ours.answered().await.expect("answered");
    (ours, theirs)
}

/// Signs the administrator in again.
async fn signs_in(browser: &Browser) {
    browser.sees("h1", "Sign in").await;
    browser.fill("user", USER).await;
    browser.fill("password", PASSWORD).await;
    browser.press_button("Sign in").await;
    browser.sees(".who", USER).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_recorded_and_one_side_is_led_on_from_the_page() {
    let scene = Scene::new().await;
    let browser = scene.entered().await;
    let desk = scene.desk().await;
    let (mut ours, mut theirs) = bridged(&scene, &desk).await;
    browser.keys("gc").await;
    browser.element("a.more").await.click().await.expect("pressed");
    browser.sees("h1", "100 → 9").await;
    browser.press_button("Record").await;
    browser.sees(".idline", "recorded into").await;
    browser.press_button("End recording").await;
    browser.press_button("Transfer").await;
    browser.fill("to", "8").await;
    browser.keys("\u{e007}").await;
    theirs.ended().await.expect("the desk is hung up");
    browser.counts("dialog", 0).await;
    browser.sees("main", "builtin:milliwatt").await;
    let wav = std::fs::read_dir(scene.directory.path()).expect("readable").flatten();
    assert_eq!(wav.filter(|file| file.path().extension().is_some_and(|it| it == "wav")).count(), 1);
    browser.press_button("Hang up").await;
    browser.element("dialog[open] button.danger").await.click().await.expect("pressed");
    ours.ended().await.expect("the caller is hung up");
    browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_listen_hears_both_sides_from_screen_to_screen_until_it_is_stopped() {
    let scene = Scene::new().await;
    let browser = scene.entered().await;
    let desk = scene.desk().await;
    let (ours, theirs) = bridged(&scene, &desk).await;
    browser.keys("gc").await;
    browser.counts("tbody tr", 1).await;
    let row = browser.text("tbody tr").await;
    assert!(row.contains("Transfer") && !row.contains("Listen"), "it is no right of a role: {row}");
    browser.keys("gu").await;
    browser.element("td[data-label=Listens] input").await.click().await.expect("pressed");
    signs_in(&browser).await;
    browser.keys("gc").await;
    let speak = async { tokio::join!(say(&ours, 500.0), say(&theirs, 1_000.0)) };
    let listens = async {
        browser.press_button("Listen").await;
        browser.sees(".listening", "Listening to").await;
        browser
            .wait("a second of both sides to be played", async || {
                let script = "const bar = document.querySelector('.listening');
                    return Number(bar?.dataset.heard) >= 50
                        && [...bar.querySelectorAll('meter')].every(one => one.value > 0.1)";
                (browser.evaluate(script).await == true).then_some(())
            })
            .await;
        let found = browser.serious_findings().await;
        assert!(found.is_empty(), "{found:#?}");
        browser.keys("go").await;
        browser.sees("h1", "Overview").await;
        browser.sees(".listening", "100 → 9").await;
        let calls = browser.fetched("'/v1/calls'").await;
        assert!(calls.contains(&format!("\"listeners\":[\"{USER}\"]")), "{calls}");
        browser.press_button("Stop listening").await;
        browser.counts(".listening", 0).await;
        browser
            .wait("the switch to know", async || {
                browser.fetched("'/v1/calls'").await.contains("\"listeners\":[]").then_some(())
            })
            .await;
        browser.keys("gc").await;
        browser.press_button("Listen").await;
        browser.sees(".listening", "Listening to").await;
    };
    tokio::select! {
        _ = speak => unreachable!("they speak without end"),
        () = listens => {}
    }
    drop((ours, theirs));
    browser.sees(".listening", "the call is over").await;
    browser.press_button("Close").await;
    browser.counts(".listening", 0).await;
    browser.quit().await;
}
