//! Calls as they come, are looked for, and are hung up.

use crate::scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn calls_come_are_found_and_are_hung_up_from_the_page() {
    let scene = Scene::new().await;
    let browser = scene.entered().await;
    browser.keys("gc").await;
    browser.sees("h1", "Calls").await;
    browser.sees("main", "No call is up").await;
    let mut first = scene.answered("7", "100").await;
    browser.counts("tbody tr", 1).await;
    let _second = scene.answered("8", "101").await;
    browser.counts("tbody tr", 2).await;
    browser.sees("tbody tr", "builtin:milliwatt").await;
    // `/` leads to the search.
    browser.keys("/").await;
    browser.keys("100").await;
    browser.counts("tbody tr", 1).await;
    browser.sees("[role=status]", "1 of 2").await;
    browser.press_button("Hang up").await;
    browser.element("dialog[open] button.danger").await.click().await.expect("pressed");
    first.ended().await.expect("the caller is hung up");
    browser.sees("main", "No call fits").await;
    browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_follows_calls_limits_and_refusals() {
    let scene = Scene::new().await;
    let browser = scene.entered().await;
    let mut calls = Vec::new();
    for n in 0..3 {
        calls.push(scene.answered("7", &format!("10{n}")).await);
    }
    browser.sees(".figures", "3 answered").await;
    browser.sees(".bar", "full").await;
    browser.sees(".troubles", "limit dialer lines is full").await;
    let mut fourth = scene.placed("7", "104").await;
    fourth.answered().await.expect_err("there are three lines");
    browser.sees(".bar", "1 refused").await;
    drop(calls);
    browser.sees(".bar", "0 of 3").await;
    browser.quit().await;
}
