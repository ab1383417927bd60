//! What keeps others out.

use crate::client::Client;
use crate::{CONFIG, scene, scene_with};

#[tokio::test]
async fn nobody_gets_in_without_a_token_and_each_no_says_what_mends_it() {
    let scene = scene().await;
    let nobody = scene.as_role("nobody");
    for path in ["/healthz", "/readyz", "/openapi.json"] {
        assert_eq!(nobody.get(path).await.status, 200, "{path}");
    }
    let without = nobody.get("/v1/calls").await;
    assert_eq!((without.status, without.header("www-authenticate")), (401, Some("Bearer")));
    assert!(without.json()["hint"].as_str().expect("a hint").contains("Authorization: Bearer"));
    let wrong = Client::new(scene.api.address(), Some("admin-admin-admin-admim"));
    assert_eq!(wrong.get("/v1/calls").await.status, 401);
    // Names of paths are not told either.
    assert_eq!(nobody.get("/v1/nothing").await.status, 401);
    assert_eq!(scene.client.get("/v1/nothing").await.status, 404);
    assert_eq!(scene.client.send("PUT", "/v1/calls", None).await.status, 405);
    let viewer = scene.as_role("viewer").send("POST", "/v1/reload", None).await;
    assert_eq!(viewer.status, 403);
    assert_eq!(viewer.json()["error"], "token look has the role viewer");
    assert_eq!(viewer.json()["hint"], "this needs the role admin");
    let answer = scene.client.get("/v1/status").await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn a_page_that_points_its_own_name_here_gets_nothing() {
    let scene = scene().await;
    for (host, status) in [
        ("127.0.0.1", 200),
        ("localhost:1", 200),
        ("pbx.example.org", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("", 421),
    ] {
        let answer = scene.client.raw("GET", "/v1/status", host, "", "").await;
        assert_eq!(answer.status, status, "{host}");
    }
}

#[tokio::test]
async fn a_request_that_is_too_long_is_not_read() {
    let scene = scene().await;
    let body = format!("{{\"to\": \"{}\"}}", "1".repeat(70_000));
    let answer = scene.client.send("POST", "/v1/calls/1/transfer", Some(&body)).await;
    assert_eq!(answer.status, 422, "{}", answer.body);
    assert!(answer.body.contains("length limit"), "{}", answer.body);
}

#[tokio::test]
async fn whoever_guesses_tokens_is_soon_told_to_wait() {
    // Without a route for the switch to be busy with, in a scene of its own: the address waits for
    // all of the API.
    let scene = scene_with(CONFIG).await;
    let mut refused = 0;
    let mut slowed = None;
    for n in 0..100 {
        let guess = format!("guess-guess-guess-{n}");
        let answer = Client::new(scene.api.address(), Some(&guess)).get("/v1/calls").await;
        match answer.status {
            401 => refused += 1,
            429 => {
                slowed = answer.header("retry-after").map(ToString::to_string);
                break;
            }
            other => panic!("{other}: {}", answer.body),
        }
    }
    assert!(refused >= 9, "{refused} were looked at");
    assert_eq!(slowed.as_deref(), Some("1"));
}
