//! The web console as HTTP has it: its files, who may sign in, and what a session is good for.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::stream::Listener;
use crate::{CONFIG, Scene, ann_calls, named, phone, scene, scene_with, wait_for};

const OWN: &str = "sec-fetch-site: same-origin\r\n";

/// A browser: it keeps a cookie, and says where its requests come from.
struct Browser {
    client: Client,
    cookie: Option<String>,
    proof: Option<String>,
}

impl Browser {
    fn of(scene: &Scene) -> Self {
        Self { client: Client::new(scene.api.address(), None), cookie: None, proof: None }
    }

    async fn send_as(&self, site: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let mut headers = site.to_string();
        if let Some(cookie) = &self.cookie {
            headers += &format!("cookie: other=1; {cookie}\r\n");
        }
        if let Some(proof) = &self.proof {
            headers += &format!("x-oneport-proof: {proof}\r\n");
        }
        let body = body.map(Value::to_string);
        if let Some(body) = &body {
            headers +=
                &format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
        }
        let host = self.client.address.to_string();
        self.client.raw(method, path, &host, &headers, body.as_deref().unwrap_or_default()).await
    }

    async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.send_as(OWN, method, path, body).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None).await
    }

    /// Sends what begins a session, and keeps what it gives.
    async fn enter(&mut self, path: &str, body: Value) -> Answer {
        let answer = self.send("POST", path, Some(&body)).await;
        if answer.status == 200 {
            let cookie = answer.header("set-cookie").expect("a cookie");
            self.cookie = cookie.split(';').next().map(Into::into);
            self.proof = answer.json()["proof"].as_str().map(Into::into);
        }
        answer
    }

    async fn sign_in(scene: &Scene, user: &str, password: &str) -> Self {
        let mut browser = Self::of(scene);
        let credentials = json!({ "user": user, "password": password });
        let answer = browser.enter("/console/session", credentials).await;
        assert_eq!(answer.status, 200, "{user}: {}", answer.body);
        browser
    }
}

/// Makes a user by the API.
async fn user(scene: &Scene, name: &str, role: &str, listen: bool) {
    let password = format!("password of {name}");
    let new = json!({ "name": name, "role": role, "listen": listen, "password": password });
    let made = scene.client.send("POST", "/v1/users", Some(&new.to_string())).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert!(!made.body.contains("password"), "{}", made.body);
}

async fn signed_in(scene: &Scene, name: &str, role: &str) -> Browser {
    user(scene, name, role, false).await;
    Browser::sign_in(scene, name, &format!("password of {name}")).await
}

/// What a page names by `src`, `href` or `from`, as paths of the site.
fn named_in(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (before, after) in [("src=\"", '"'), ("href=\"", '"'), ("from '", '\'')] {
        for part in text.split(before).skip(1) {
            let name = part.split(after).next().expect("it ends");
            let directory = path.rsplit_once('/').expect("a path").0;
            match name.split_once('/') {
                Some((".", rest)) => found.push(format!("{directory}/{rest}")),
                Some(("..", rest)) => {
                    let above = directory.rsplit_once('/').expect("one above").0;
                    found.push(format!("{above}/{rest}"));
                }
                Some(("", _)) => found.push(name.into()),
                _ => assert!(name.starts_with("#") || name.starts_with("${"), "{path}: {name}"),
            }
        }
    }
    found
}

#[tokio::test]
async fn the_first_load_is_small_all_of_it_is_ours_and_none_of_it_is_inline() {
    let scene = scene().await;
    let browser = Browser::of(&scene);
    let home = browser.get("/").await;
    assert_eq!((home.status, home.header("location")), (307, Some("/console/")));
    let mut loaded: BTreeMap<String, usize> = BTreeMap::new();
    let mut left = vec!["/console/".to_string()];
    while let Some(path) = left.pop() {
        if loaded.contains_key(&path) {
            continue;
        }
        let answer = browser.get(&path).await;
        assert_eq!(answer.status, 200, "{path}");
        loaded.insert(path.clone(), answer.body.len());
        let policy = answer.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        if path.ends_with(".js") || path.ends_with('/') {
            left.extend(named_in(&path, &answer.body));
        }
    }
    assert!(loaded.len() > 8, "{loaded:?}");
    let all: usize = loaded.values().sum();
    assert!(all < 300_000, "{all} bytes: {loaded:?}");
    let page = browser.get("/console/").await;
    let tag = page.header("etag").expect("a tag").to_string();
    let again =
        browser.send_as(&format!("if-none-match: {tag}\r\n"), "GET", "/console/", None).await;
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    assert_eq!(browser.get("/console/nothing.js").await.status, 404);
    assert_eq!(browser.get("/console/../Cargo.toml").await.status, 404);
}

#[tokio::test]
async fn the_printed_link_makes_one_administrator_and_no_second() {
    let scene = scene().await;
    let link = scene.api.first_link().await.expect("there is no user");
    let (page, code) = link.split_once("#/first/").expect("a code");
    assert_eq!(page, format!("http://{}/console/", scene.api.address()));
    let mut browser = Browser::of(&scene);
    assert_eq!(browser.get("/console/session").await.json()["empty"], true);
    let first =
        |code: &str, password: &str| json!({ "code": code, "user": "ann", "password": password });
    assert_eq!(browser.enter("/console/first", first("0", "long enough")).await.status, 403);
    assert_eq!(browser.enter("/console/first", first(code, "short")).await.status, 422);
    assert_eq!(browser.enter("/console/first", first(code, "long enough")).await.status, 200);
    let standing = browser.get("/console/session").await.json();
    assert_eq!((&standing["user"], &standing["role"]), (&"ann".into(), &"admin".into()));
    assert_eq!(browser.get("/v1/users").await.json()["users"][0]["name"], "ann");
    let second = browser.send("POST", "/console/first", Some(&first(code, "long enough"))).await;
    assert_eq!(second.status, 403, "{}", second.body);
    assert_eq!(scene.api.first_link().await, None);
}

#[tokio::test]
async fn a_cookie_is_for_this_site_alone_and_no_script_reads_it() {
    let scene = scene().await;
    user(&scene, "ann", "viewer", false).await;
    let mut browser = Browser::of(&scene);
    let credentials = json!({ "user": "ann", "password": "password of ann" });
    let answer = browser.enter("/console/session", credentials.clone()).await;
    let cookie = answer.header("set-cookie").expect("a cookie");
    let port = scene.api.address().port();
    assert!(cookie.starts_with(&format!("oneport-{port}=")), "{cookie}");
    for word in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(word), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "it came in the clear: {cookie}");
    let tls = format!("{OWN}x-forwarded-proto: https\r\n");
    let answer = browser.send_as(&tls, "POST", "/console/session", Some(&credentials)).await;
    assert!(answer.header("set-cookie").expect("a cookie").ends_with("; Secure"));
}

#[tokio::test]
async fn each_role_does_what_a_token_of_it_does_and_no_more() {
    let scene = scene().await;
    let phone = phone();
    for (role, hang_up, reload, users) in
        [("viewer", 403, 403, 403), ("operator", 204, 403, 403), ("admin", 204, 200, 200)]
    {
        let browser = signed_in(&scene, &format!("a-{role}"), role).await;
        let call = ann_calls(&phone, &scene, "7").await;
        let calls = browser.get("/v1/calls/table").await.json();
        let id = calls["rows"][0]["id"].as_str().expect("a call").to_string();
        let end = browser.send("DELETE", &format!("/v1/calls/{id}"), None).await;
        assert_eq!(end.status, hang_up, "{role}: {}", end.body);
        if end.status == 403 {
            assert_eq!(end.json()["error"], "user a-viewer has the role viewer");
        }
        let reloaded = browser.send("POST", "/v1/reload?dry_run=true", None).await;
        assert_eq!(reloaded.status, reload, "{role}");
        assert_eq!(browser.get("/v1/users").await.status, users, "{role}");
        let hear = browser.get(&format!("/v1/calls/{id}/audio")).await;
        assert_eq!(hear.status, 403, "{role} alone lets nobody listen");
        drop(call);
        wait_for("the call to be over", async || {
            (scene.client.get("/v1/calls").await.json()["total"] == 0).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn who_may_listen_is_a_right_of_its_own() {
    let scene = scene().await;
    user(&scene, "ear", "viewer", true).await;
    let browser = Browser::sign_in(&scene, "ear", "password of ear").await;
    let phone = phone();
    let _call = ann_calls(&phone, &scene, "7").await;
    let calls = browser.get("/v1/calls").await.json();
    let id = calls["calls"][0]["id"].as_str().expect("a call").to_string();
    let hear = browser.get(&format!("/v1/calls/{id}/audio")).await;
    assert_eq!(hear.status, 400, "it may, but this is no WebSocket: {}", hear.body);
}

#[tokio::test]
async fn another_site_can_do_nothing_by_somebody_elses_cookie() {
    let scene = scene().await;
    let browser = signed_in(&scene, "ann", "admin").await;
    let reload = "/v1/reload?dry_run=true";
    let host = scene.api.address().to_string();
    let evil = "origin: http://evil.example\r\n";
    for site in ["sec-fetch-site: cross-site\r\n", "sec-fetch-site: same-site\r\n", evil] {
        assert_eq!(browser.send_as(site, "POST", reload, None).await.status, 403, "{site}");
        assert_eq!(browser.send_as(site, "GET", "/v1/users", None).await.status, 403, "{site}");
        let credentials = json!({ "user": "ann", "password": "password of ann" });
        let entered = browser.send_as(site, "POST", "/console/session", Some(&credentials)).await;
        assert_eq!(entered.status, 403, "{site}");
    }
    assert_eq!(browser.send_as("", "POST", reload, None).await.status, 403, "it says nothing");
    let own = format!("origin: http://{host}\r\n");
    assert_eq!(browser.send_as(&own, "POST", reload, None).await.status, 200);
    let without = Browser { proof: None, ..browser };
    assert_eq!(without.send("POST", reload, None).await.status, 403, "it proves nothing");
    let wrong = Browser { proof: Some("0".repeat(64)), ..without };
    assert_eq!(wrong.send("POST", reload, None).await.status, 403);
    assert_eq!(wrong.get("/v1/status").await.status, 200, "to look is harmless");
}

#[tokio::test]
async fn a_session_ends_with_its_user_their_role_and_by_signing_off() {
    let scene = scene().await;
    let boss = signed_in(&scene, "boss", "admin").await;
    let status = async |browser: &Browser| browser.get("/v1/status").await.status;
    let ann = signed_in(&scene, "ann", "operator").await;
    let other = Browser::sign_in(&scene, "ann", "password of ann").await;
    assert_eq!((status(&ann).await, status(&other).await), (200, 200));
    assert_eq!(ann.send("DELETE", "/console/session", None).await.status, 204);
    assert_eq!((status(&ann).await, status(&other).await), (401, 200));
    let less = json!({ "role": "viewer" });
    assert_eq!(boss.send("PUT", "/v1/users/ann", Some(&less)).await.status, 200);
    assert_eq!(status(&other).await, 401, "what it may do has changed");
    let ann = Browser::sign_in(&scene, "ann", "password of ann").await;
    let wrong = json!({ "old": "wrong", "new": "another password" });
    assert_eq!(ann.send("PUT", "/console/password", Some(&wrong)).await.status, 403);
    let right = json!({ "old": "password of ann", "new": "another password" });
    assert_eq!(ann.send("PUT", "/console/password", Some(&right)).await.status, 200);
    assert_eq!(status(&ann).await, 401, "the password is another");
    let ann = Browser::sign_in(&scene, "ann", "another password").await;
    assert_eq!(boss.send("DELETE", "/v1/users/ann", None).await.status, 204);
    assert_eq!(status(&ann).await, 401, "there is no such user");
    for (method, body) in [("DELETE", None), ("PUT", Some(&less))] {
        let last = boss.send(method, "/v1/users/boss", body).await;
        assert_eq!(last.status, 409, "the last administrator stays: {}", last.body);
    }
}

#[tokio::test]
async fn what_a_session_listens_to_ends_with_it_though_nothing_happens() {
    let scene = scene().await;
    let browser = signed_in(&scene, "ann", "viewer").await;
    let cookie = browser.cookie.as_deref().expect("a session");
    let headers = format!("{OWN}cookie: {cookie}\r\n");
    let mut news = Listener::begin_by(&browser.client, "?kinds=overload", &headers).await;
    assert_eq!(browser.send("DELETE", "/console/session", None).await.status, 204);
    news.ends().await;
}

#[tokio::test]
async fn whoever_is_removed_while_they_sign_in_does_not_come_in() {
    let scene = scene().await;
    user(&scene, "ann", "admin", false).await;
    user(&scene, "bob", "admin", false).await;
    let credentials = json!({ "user": "ann", "password": "password of ann" });
    // Their hashes are computed one by one, and the removal waits for none of them.
    let signing_in: Vec<_> = (0..8)
        .map(|_| {
            let (mut browser, credentials) = (Browser::of(&scene), credentials.clone());
            tokio::spawn(async move {
                browser.enter("/console/session", credentials).await;
                browser
            })
        })
        .collect();
    // They have all been asked for when somebody who comes later is answered.
    tokio::task::yield_now().await;
    assert_eq!(scene.client.get("/v1/users").await.status, 200);
    assert_eq!(scene.client.send("DELETE", "/v1/users/ann", None).await.status, 204);
    for browser in signing_in {
        let browser = browser.await.expect("answered");
        assert_eq!(browser.get("/v1/status").await.status, 401);
    }
}

#[tokio::test]
async fn whoever_guesses_passwords_waits_and_learns_no_names() {
    let scene = scene().await;
    user(&scene, "ann", "viewer", false).await;
    let browser = Browser::of(&scene);
    let mut said = Vec::new();
    let mut wait = None;
    for n in 0..40 {
        let name = if n % 2 == 0 { "ann" } else { "nobody" };
        let guess = json!({ "user": name, "password": "not the password" });
        let answer = browser.send("POST", "/console/session", Some(&guess)).await;
        if answer.status == 429 {
            wait = answer.header("retry-after").map(ToString::to_string);
            break;
        }
        assert_eq!(answer.status, 401);
        said.push(answer.body);
    }
    said.dedup();
    assert_eq!(said.len(), 1, "the same for every name: {said:?}");
    assert!(wait.is_some(), "it goes on for ever");
    let right = json!({ "user": "ann", "password": "password of ann" });
    let late = browser.send("POST", "/console/session", Some(&right)).await;
    assert_eq!(late.status, 429, "a right one waits, too");
}

#[tokio::test]
async fn users_that_make_no_sense_are_not_made() {
    let scene = scene().await;
    for (name, password) in [
        ("", "long enough"),
        ("a b", "long enough"),
        ("a/b", "long enough"),
        ("ann", "too short"),
        ("ann", &"x".repeat(257)),
    ] {
        let new = json!({ "name": name, "role": "viewer", "password": password }).to_string();
        let answer = scene.client.send("POST", "/v1/users", Some(&new)).await;
        assert_eq!(answer.status, 422, "{name} {password}");
    }
    let role = json!({ "name": "ann", "role": "king", "password": "long enough" }).to_string();
    assert_eq!(scene.client.send("POST", "/v1/users", Some(&role)).await.status, 422);
    user(&scene, "ann", "viewer", false).await;
    let twice = json!({ "name": "ann", "role": "admin", "password": "long enough" }).to_string();
    assert_eq!(scene.client.send("POST", "/v1/users", Some(&twice)).await.status, 409);
}

#[tokio::test]
async fn the_table_of_calls_is_searched_sorted_and_cut_by_the_switch() {
    let more = "\n[[routes]]\nnumber = \"8\"\nto = [\"builtin:milliwatt\"]\n";
    let scene =
        scene_with(&format!("{}{more}", CONFIG.replace("max_calls = 2", "max_calls = 9"))).await;
    let phone = phone();
    let _calls = [
        ann_calls(&phone, &scene, "7").await,
        ann_calls(&phone, &scene, "8").await,
        ann_calls(&phone, &scene, "7").await,
    ];
    let numbers = async |query: &str| {
        let table = scene.client.get(&format!("/v1/calls/table?{query}")).await.json();
        let rows = table["rows"].as_array().expect("rows").clone();
        let numbers: String =
            rows.iter().map(|row| row["number"].as_str().expect("a number")).collect();
        (numbers, table["total"].clone(), table["up"].clone())
    };
    let all = |numbers: &str, total: u32| (numbers.to_string(), json!(total), json!(3));
    assert_eq!(numbers("sort=age&descending=true").await, all("787", 3));
    assert_eq!(numbers("sort=number").await, all("778", 3));
    assert_eq!(numbers("sort=number&descending=true&limit=2").await, all("87", 3));
    assert_eq!(numbers("sort=number&offset=2").await, all("8", 3));
    assert_eq!(numbers("search=MILLI").await, all("8", 1));
    assert_eq!(numbers("search=%20ann%20&state=answered").await.1, json!(3));
    assert_eq!(numbers("search=nobody").await, all("", 0));
    for sort in ["from", "to", "state", "mos", "loss"] {
        assert_eq!(numbers(&format!("sort={sort}")).await.1, json!(3), "{sort}");
    }
    let wrong = scene.client.get("/v1/calls/table?limit=201").await;
    assert_eq!(wrong.status, 422);
}

#[tokio::test]
async fn the_overview_counts_what_is_up() {
    let scene = scene().await;
    let phone = phone();
    let _call = ann_calls(&phone, &scene, "7").await;
    let overview = wait_for("the history to see the call", async || {
        let overview = scene.client.get("/v1/overview").await.json();
        let newest =
            overview["history"]["calls"].as_array().and_then(|calls| calls.last().cloned());
        (newest == Some(json!(1))).then_some(overview)
    })
    .await;
    assert_eq!((&overview["calls"], &overview["legs"]), (&json!(1), &json!(1)));
    let answered = json!({ "state": "answered", "calls": 1 });
    assert!(overview["states"].as_array().expect("states").contains(&answered));
    let classes = overview["mos"].as_array().expect("classes");
    let scored: u64 = classes.iter().map(|class| class["calls"].as_u64().expect("a number")).sum();
    let unheard = overview["unheard"].as_u64().expect("a number");
    assert_eq!(scored + unheard, 1, "{overview}");
    assert!(overview["process"]["memory_peak_bytes"].as_u64().expect("a number") > 1_000_000);
}

#[tokio::test]
async fn the_configuration_is_shown_without_its_secrets_as_it_stands_in_the_file() {
    let scene = scene().await;
    let shown = scene.client.get("/v1/configuration").await.json();
    assert_eq!(shown["file"], scene.file().display().to_string());
    let text = shown["text"].as_str().expect("a text");
    assert!(text.contains("[peers.ann]\nsecret = \"***\"\ncodecs = [\"ulaw\"]"), "{text}");
    assert!(!text.contains("secret of") && !text.contains("viewer-viewer"), "{text}");
}

#[tokio::test]
async fn a_call_that_is_up_is_told_by_the_messages_that_began_it() {
    let scene = scene().await;
    let phone = phone();
    let _calls = [ann_calls(&phone, &scene, "7").await, ann_calls(&phone, &scene, "7").await];
    let calls = scene.client.get("/v1/calls").await.json();
    let id = calls["calls"][1]["id"].as_str().expect("a call");
    let ladder = scene.client.get(&format!("/v1/calls/{id}/ladder")).await.json();
    assert_eq!(ladder["legs"].as_array().expect("legs").len(), 1);
    let messages = ladder["messages"].as_array().expect("messages");
    assert!(messages.iter().any(|one| one["message"] == "NEW 7"), "{messages:#?}");
    let said: Vec<String> = messages
        .iter()
        .map(|one| format!("{} {}", one["incoming"], one["text"].as_str().expect("a text")))
        .collect();
    let place = |way: &str, what: &str| {
        let found = said.iter().position(|one| one.starts_with(way) && one.contains(what));
        found.unwrap_or_else(|| panic!("{way} {what}: {said:#?}"))
    };
    let steps = [
        place("true", "NEW"),
        place("false", "AUTHREQ"),
        place("true", "AUTHREP"),
        place("false", "ACCEPT"),
        place("false", "ANSWER"),
    ];
    assert!(steps.is_sorted(), "{said:#?}");
    let answers = said.iter().filter(|one| one.contains("ANSWER")).count();
    assert_eq!(answers, 1, "of this call alone: {said:#?}");
}

#[tokio::test]
async fn the_messages_of_an_encrypted_call_are_shown_as_they_were_before_they_were_encrypted() {
    let text = CONFIG.replace("[peers.ann]\n", "[peers.ann]\nencryption = \"required\"\n");
    assert_ne!(text, CONFIG);
    let scene = scene_with(&text).await;
    let phone = phone();
    let mut new = named("7", "ann", "secret of ann");
    new.encryption = oneport::EncryptionPolicy::Required;
    let mut call = phone.call(scene.switch(), new).await.expect("placed");
    call.answered().await.expect("answered");
    // Text reaches the ladder as well.
    call.send_text("lunch").await.expect("the call lives");
    let ladder = wait_for("the ladder with the text", async || {
        let calls = scene.client.get("/v1/calls").await.json();
        let id = calls["calls"][0]["id"].as_str().expect("a call");
        let ladder = scene.client.get(&format!("/v1/calls/{id}/ladder")).await.json();
        ladder.to_string().contains("lunch").then_some(ladder)
    })
    .await;
    let messages = ladder["messages"].as_array().expect("messages");
    let said = |one: &Value| {
        let (message, text) = (one["message"].as_str(), one["text"].as_str());
        (message.expect("a text").to_string(), text.expect("a text").to_string())
    };
    let place = |what: &str, encrypted: bool| {
        let found = messages
            .iter()
            .position(|one| said(one).0.starts_with(what) && one["encrypted"] == encrypted);
        found.unwrap_or_else(|| panic!("no {what}, encrypted {encrypted}: {ladder:#}"))
    };
    let steps = [
        place("NEW 7", false),
        place("AUTHREQ md5", false),
        place("AUTHREP md5", true),
        place("ACCEPT", true),
        place("ANSWER", true),
        place("ACK", true),
    ];
    assert!(steps[..5].is_sorted(), "{ladder:#}");
    for one in messages {
        let (message, text) = said(one);
        assert!(!message.contains("malformed") && !message.contains("bytes"), "{ladder:#}");
        assert!(!message.contains("PING") && !message.contains("VOICE"), "{ladder:#}");
        // The proof of an encrypted call is its key.
        for proof in text.split("Md5Result(\"").skip(1) {
            assert!(proof.starts_with("****"), "{text}");
        }
    }
}
