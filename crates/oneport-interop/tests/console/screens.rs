//! The other screens: what each is there for, done once.

use crate::scene::{CONFIG, Scene, USER};

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_told_by_its_messages_and_then_by_its_record() {
    let scene = Scene::new().await;
    let browser = scene.entered().await;
    let call = scene.answered("7", "100").await;
    browser.keys("gc").await;
    browser.element("a.more").await.click().await.expect("pressed");
    browser.sees("h1", "100 → 7").await;
    browser.sees(".ladder", "NEW").await;
    browser.sees(".ladder", "ANSWER").await;
    browser.sees(".card", "heard here").await;
    drop(call);
    browser.sees("h1", "Call").await;
    browser.sees(".card", "Leg 1, in").await;
    browser.sees(".card", "builtin:echo").await;
    browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told_in_words_and_counted_with_those_alike() {
    let scene = Scene::new().await;
    let browser = scene.entered().await;
    for _ in 0..3 {
        scene.placed("none", "100").await.answered().await.expect_err("no such number");
    }
    browser.keys("gr").await;
    browser.sees("tbody tr", "3 ×").await;
    browser.sees("tbody tr", "route").await;
    browser.counts("tbody tr td[data-label=Why]", 1).await;
    browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_searched_and_exported() {
    let scene = Scene::new().await;
    let browser = scene.entered().await;
    for (number, calling) in [("7", "100"), ("8", "101")] {
        drop(scene.answered(number, calling).await);
    }
    browser.keys("gd").await;
    browser.counts("tbody tr", 2).await;
    browser.fill("number", "101").await;
    browser.counts("tbody tr", 1).await;
    browser.sees("tbody tr", "builtin:milliwatt").await;
    let lines = browser.fetched("document.querySelector('a[download]').href").await;
    assert_eq!(lines.lines().count(), 2, "a heading and the one that fits: {lines}");
    browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_number_would_go_is_told_without_a_call() {
    let scene = Scene::new().await;
    let browser = scene.entered().await;
    browser.keys("gw").await;
    browser.counts("[aria-label=Routes] tbody tr", 3).await;
    browser.sees("[aria-label=Routes] tbody tr", "peer desk").await;
    browser.element("option[value=dialer]").await.click().await.expect("chosen");
    browser.fill("number", "8").await;
    browser.keys("\u{e007}").await;
    browser.sees(".targets", "builtin:milliwatt").await;
    browser.sees("tr.chosen", "office").await;
    browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_validated_and_reloaded_from_the_page() {
    let scene = Scene::new().await;
    let browser = scene.entered().await;
    browser.keys("gf").await;
    browser.sees(".code", "max_calls = 3").await;
    let text = browser.text(".code").await;
    assert!(text.contains("***") && !text.contains("secret of dialer"), "{text}");
    let file = scene.directory.path().join("oneport.toml");
    std::fs::write(&file, format!("{CONFIG}\n[peers.new]\nsecrt = \"x\"\n")).expect("written");
    browser.press_button("Validate, and show what would change").await;
    browser.sees("[role=alert]", "did you mean `secret`?").await;
    std::fs::write(&file, format!("{CONFIG}\n[peers.new]\nsecret = \"secret of new\"\n"))
        .expect("written");
    browser.press_button("Validate, and show what would change").await;
    browser.sees(".changes", "peer new is new").await;
    browser.press_button("Reload").await;
    browser.element("dialog[open] button.danger").await.click().await.expect("pressed");
    browser.sees(".card h2", "Reloaded").await;
    browser.keys("gp").await;
    browser.sees("tbody tr", "new").await;
    browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_makes_a_viewer_who_sees_less() {
    let scene = Scene::new().await;
    let browser = scene.entered().await;
    browser.keys("gu").await;
    browser.sees("tbody tr", USER).await;
    browser.fill("name", "vera").await;
    let password = browser.element("form.stack [name=password]").await;
    password.send_keys("a password of vera").await.expect("written");
    browser.press_button("Make the user").await;
    browser.counts("tbody tr", 2).await;
    browser.press_button("Sign off").await;
    browser.sees("h1", "Sign in").await;
    browser.fill("user", "vera").await;
    browser.fill("password", "a password of vera").await;
    browser.press_button("Sign in").await;
    browser.sees("h1", "Overview").await;
    let _call = scene.answered("7", "100").await;
    browser.keys("gc").await;
    browser.counts("tbody tr", 1).await;
    let row = browser.text("tbody tr").await;
    assert!(!row.contains("Hang up"), "a viewer looks: {row}");
    browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn radio_nodes_are_drawn_and_listed_as_they_key_and_tell_of_others() {
    let scene = Scene::new().await;
    let browser = scene.entered().await;
    let call = scene.answered("7", "2000").await;
    browser.keys("ga").await;
    browser.sees("h1", "Radio").await;
    browser.sees(".empty", "No node is linked").await;
    call.send_text("L T2001,R2002").await.expect("up");
    browser.counts("tbody tr", 3).await;
    browser.sees("tbody tr", "2001, 2002").await;
    call.key(b"").await.expect("up");
    browser.sees("tbody tr", "keyed").await;
    browser.counts(".radio g.keyed", 1).await;
    call.unkey().await.expect("up");
    browser.counts(".radio g.keyed", 0).await;
    browser.counts(".radio line", 2).await;
    browser.quit().await;
}
