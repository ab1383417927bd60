//! What has been: the log, polls of peers, how a call has sounded, and where in the configuration a refusal
//! comes from.

use crate::scene::{Scene, say};

#[tokio::test(flavor = "multi_thread")]
async fn the_log_follows_what_happens_and_is_narrowed_to_a_call() {
    let scene = Scene::new().await;
    let browser = scene.entered().await;
    browser.keys("gl").await;
    browser.sees("h1", "Log").await;
    browser.fill("peer", "scribe").await;
    browser.sees("main", "No line fits").await;
    drop(scene.answered_by("scribe", "7", "100").await);
    browser.sees(".log li", "scribe").await;
    browser.press_button("Pause").await;
    browser.sees("[role=status]", "paused").await;
    drop(scene.answered_by("scribe", "8", "101").await);
    // What is new is there when it goes on.
    browser
        .wait("a second record", async || {
            let cdrs = browser.fetched("'/v1/cdrs'").await;
            (cdrs.matches("\"leg\":1").count() == 2).then_some(())
        })
        .await;
    assert!(!browser.text(".log").await.contains("milliwatt"));
    browser.press_button("Go on").await;
    browser.sees(".log li", "milliwatt").await;
    browser.element(".log li a").await.click().await.expect("pressed");
    browser.sees(".card", "Leg 1, in").await;
    browser.press_link("in the log").await;
    browser.sees(".log li", "scribe").await;
    let script =
        "return new Set([...document.querySelectorAll('.log li a')].map(one => one.href)).size";
    assert_eq!(
        browser.evaluate(script).await,
        1,
        "lines of one call: {}",
        browser.text(".log").await
    );
    browser.element("select[name=level] option[value=error]").await.click().await.expect("chosen");
    browser.sees("main", "No line fits").await;
    browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn polls_of_a_peer_are_drawn_with_those_that_were_lost() {
    let scene = Scene::new().await;
    let browser = scene.entered().await;
    let _desk = scene.desk().await;
    browser.keys("gp").await;
    browser.press_link("gone").await;
    browser.sees(".plot figcaption", "not answered").await;
    browser.keys("gp").await;
    browser.press_link("desk").await;
    browser.sees(".plot figcaption", "round trip").await;
    let script = "return document.querySelector('.plot path.accent')?.getAttribute('d') ?? ''";
    browser
        .wait("a line", async || {
            browser.evaluate(script).await.as_str()?.contains('L').then_some(())
        })
        .await;
    browser.keys("gt").await;
    browser.sees(".card", "not answered").await;
    browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn how_a_call_has_sounded_is_known_to_whoever_opens_its_page_later() {
    let scene = Scene::new().await;
    let browser = scene.entered().await;
    let call = scene.answered("7", "100").await;
    let looks = async {
        let calls = browser.fetched("'/v1/calls'").await;
        let id = calls.split("\"id\":\"").nth(1).and_then(|rest| rest.split('"').next());
        let id = id.expect("a call").to_string();
        let parts = format!("'/v1/calls/{id}/timeline'");
        browser
            .wait("two parts", async || {
                let told = browser.fetched(&parts).await;
                (told.matches("seconds_ago").count() >= 2).then_some(())
            })
            .await;
        browser.go("about:blank").await;
        browser.go(&format!("{}#/call/{id}", scene.api.console())).await;
        browser.counts(".timeline svg", 3).await;
        browser.sees(".timeline", "buffer there").await;
        // What was before the page came is further left than all that it has seen.
        let script = "return Math.min(...[...document.querySelectorAll('.timeline path.line')]
            .map(one => Number(one.getAttribute('d').match(/^M([0-9.]+)/)?.[1] ?? 600)))";
        let first = browser.evaluate(script).await.as_f64().expect("a place");
        assert!(first < 500.0, "{first} of 600");
    };
    tokio::select! {
        () = say(&call, 500.0) => unreachable!("it speaks without end"),
        () = looks => {}
    }
    browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_leads_to_the_line_of_the_configuration_that_decided() {
    let scene = Scene::new().await;
    let browser = scene.entered().await;
    let mut calls = Vec::new();
    for n in 0..3 {
        calls.push(scene.answered("7", &format!("10{n}")).await);
    }
    scene.placed("7", "104").await.answered().await.expect_err("there are three lines");
    browser.keys("gr").await;
    browser.press_link("limit dialer lines").await;
    browser.sees("li.named", "name = \"dialer lines\"").await;
    browser.counts("li.named", 1).await;
    browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_says_how_many_more_calls_fit_or_why_that_is_not_known() {
    let scene = Scene::new().await;
    let browser = scene.entered().await;
    browser.sees(".card", "Room for more").await;
    browser.sees(".card", "what one costs is measured with 5 or more").await;
    browser.sees(".bar", "CPU of the media thread").await;
    browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_many_calls_has_so_many_rows_and_no_more_and_its_frames_are_counted() {
    let scene = Scene::new().await;
    let browser = scene.entered().await;
    browser.keys("gc").await;
    let mut calls = Vec::new();
    for n in 0..60 {
        calls.push(scene.answered_by("crowd", "7", &format!("{n}")).await);
    }
    browser.sees("[aria-hidden]", "60 up").await;
    browser.counts("tbody tr", 50).await;
    let script = "const done = arguments[arguments.length - 1];
        const times = [];
        let last = performance.now();
        const frame = now => {
            times.push(now - last);
            last = now;
            if (times.length < 120) requestAnimationFrame(frame);
            else done([times.length, Math.round(Math.max(...times)), times.filter(one => one > 50).length]);
        };
        requestAnimationFrame(frame);";
    let frames = browser.driver.execute_async(script, Vec::new()).await.expect("it runs");
    let [count, longest, slow] =
        serde_json::from_value::<[u64; 3]>(frames.json().clone()).expect("three numbers");
    println!("of {count} frames the longest took {longest} ms, {slow} more than 50 ms");
    assert_eq!(count, 120);
    drop(calls);
    browser.sees("main", "No call is up").await;
    browser.quit().await;
}
