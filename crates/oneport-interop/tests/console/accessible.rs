//! Every screen, in both sets of colours and two widths, as axe-core sees it, and what the browser itself
//! has to say.

use crate::scene::Scene;

/// The paths of all screens.
const SCREENS: [&str; 14] = [
    "",
    "calls",
    "call",
    "peers",
    "peer/gone",
    "carriers",
    "radio",
    "refusals",
    "records",
    "routes",
    "log",
    "configuration/limit%20dialer%20lines",
    "users",
    "password",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_screen_has_a_serious_finding_or_is_wider_than_a_phone() {
    let scene = Scene::new().await;
    let browser = scene.entered().await;
    let calls = [scene.answered("7", "100").await, scene.answered("8", "101").await];
    calls[0].send_text("L T2001,R2002,C2003").await.expect("up");
    calls[1].key(b"").await.expect("up");
    let page = scene.api.console();
    browser.keys("gc").await;
    let row = browser.element("a.more").await;
    let call = row.attr("href").await.expect("a page").expect("a link");
    let call = call.split_once("#/").expect("a screen").1.to_string();
    // What is refused fills a screen.
    scene.placed("none", "103").await.answered().await.expect_err("no such number");
    for theme in ["light", "dark"] {
        browser.evaluate(&format!("localStorage.setItem('oneport-theme', '{theme}')")).await;
        for width in [390, 1280, 1920] {
            browser.driver.set_window_rect(0, 0, width, 900).await.expect("resized");
            for screen in SCREENS {
                browser.go("about:blank").await;
                let path = if screen == "call" { call.as_str() } else { screen };
                browser.go(&format!("{page}#/{path}")).await;
                browser.sees("h1", "").await;
                browser.wait("the screen to have its figures", async || {
                    let script = "return document.querySelector('h1') !== null && document.querySelector('.waiting') === null";
                    (browser.evaluate(script).await == true).then_some(())
                })
                .await;
                let found = browser.serious_findings().await;
                assert!(found.is_empty(), "{screen} {theme} {width}: {found:#?}");
                let wider = "return document.documentElement.scrollWidth > document.documentElement.clientWidth";
                assert_eq!(browser.evaluate(wider).await, false, "{screen} {width}");
            }
        }
    }
    browser.quit().await;
}
