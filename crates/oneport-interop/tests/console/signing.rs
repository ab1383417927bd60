//! Coming in and going out.

use crate::scene::{PASSWORD, Scene, USER};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_user_is_made_by_the_link_signs_off_and_signs_in_again() {
    let scene = Scene::new().await;
    let browser = scene.entered().await;
    browser.sees(".who", USER).await;
    browser.sees("main", "No call is up").await;
    browser.press_button("Sign off").await;
    browser.sees("h1", "Sign in").await;
    browser.fill("user", USER).await;
    browser.fill("password", "not the password").await;
    browser.press_button("Sign in").await;
    browser.sees("[role=alert]", "name or password is wrong").await;
    // By keyboard alone.
    browser.fill("password", PASSWORD).await;
    browser.keys("\u{e007}").await;
    browser.sees("h1", "Overview").await;
    browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_changes_their_own_password_and_goes_on() {
    let scene = Scene::new().await;
    let browser = scene.entered().await;
    browser.press_link("Password").await;
    for (old, message) in
        [("not the password", "the old password is wrong"), (PASSWORD, "is changed")]
    {
        browser.fill("old", old).await;
        browser.fill("fresh", "quite another one").await;
        browser.fill("again", "quite another one").await;
        browser.press_button("Change the password").await;
        browser.sees("form", message).await;
    }
    let _call = scene.answered("7", "100").await;
    browser.keys("gc").await;
    browser.counts("tbody tr", 1).await;
    browser.press_button("Sign off").await;
    browser.sees("h1", "Sign in").await;
    browser.fill("user", USER).await;
    browser.fill("password", "quite another one").await;
    browser.press_button("Sign in").await;
    browser.sees("h1", "Overview").await;
    browser.quit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_removed_is_at_the_door_at_once() {
    let scene = Scene::new().await;
    let browser = scene.entered().await;
    let token = oneport_switch::api::token_file(scene.directory.path(), scene.api.address().port());
    assert!(token.exists(), "none is configured");
    // Somebody else takes their sessions away: here by a new password.
    let script = format!(
        "const done = arguments[arguments.length - 1];
         fetch('/console/session').then(answer => answer.json()).then(standing =>
             fetch('/v1/users/{USER}', {{ method: 'PUT', body: JSON.stringify({{ password: 'another one, long' }}),
                 headers: {{ 'content-type': 'application/json', 'x-oneport-proof': standing.proof }} }}))
             .then(answer => done(answer.status));"
    );
    let status = browser.driver.execute_async(script, Vec::new()).await.expect("it runs");
    assert_eq!(status.json(), 200);
    browser.sees("h1", "Sign in").await;
    browser.quit().await;
}
