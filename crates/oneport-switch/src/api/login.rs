//! The console's own paths: its files, and signing in and out. What its page shows and does goes by the
//! paths of the API.

use std::sync::Arc;

use axum::Json;
use axum::extract::{ConnectInfo, FromRequest, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use tokio::task::JoinError;
use tokio::time::Instant;

use super::error::Problem;
use super::extract::Body;
use super::guard::{by_cookie, cookie, is_from_own_page, sender};
use super::listener::Client;
use super::token::Role;
use super::users::{checked_name, checked_password, hashed};
use super::{Inner, Shared};
use crate::console::{LONGEST_SESSION, POLICY, Session, asset, is_right};
use crate::store::StoredUser;

/// Passwords that an address may try at once, and how fast more are granted: one in five seconds.
pub(super) const GUESSES: f64 = 10.0;
pub(super) const GUESSES_PER_SECOND: f64 = 0.2;

/// Who has signed in, or what is to be done before anybody can.
#[derive(Serialize)]
struct Standing {
    user: Option<String>,
    role: Option<Role>,
    listens: bool,
    /// What the page sends along with all that changes anything.
    proof: Option<String>,
    /// Whether there is no user yet.
    empty: bool,
    /// Whether users can be kept.
    store: bool,
    version: &'static str,
}

impl Standing {
    fn of(session: &Session) -> Self {
        Self {
            user: Some(session.user.clone()),
            role: Some(session.role),
            listens: session.listens,
            proof: Some(session.proof().into()),
            empty: false,
            store: true,
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// A name and a password.
#[derive(Deserialize)]
pub(super) struct Credentials {
    user: String,
    password: String,
}

/// The first user, and the code of the link that was printed at the start.
#[derive(Deserialize)]
pub(super) struct First {
    code: String,
    user: String,
    password: String,
}

/// A user's own password, and what it shall be.
#[derive(Deserialize)]
pub(super) struct NewPassword {
    old: String,
    new: String,
}

/// Leads whoever asks for the site itself to the console.
pub(super) async fn home() -> Redirect {
    Redirect::temporary("/console/")
}

/// The page.
pub(super) async fn page(headers: HeaderMap) -> Response {
    file(Path(String::new()), headers).await
}

/// A file of the console. A browser that has it is told so.
pub(super) async fn file(Path(path): Path<String>, headers: HeaderMap) -> Response {
    let Some(asset) = asset(&path) else {
        return Problem::not_found("the console has no such file").into_response();
    };
    let known = headers.get(header::IF_NONE_MATCH).and_then(|tag| tag.to_str().ok());
    let mut response = match known.is_some_and(|known| known.contains(&asset.tag)) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => ([(header::CONTENT_TYPE, asset.kind)], asset.body).into_response(),
    };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&asset.tag) {
        headers.insert(header::ETAG, tag);
    }
    for (name, value) in [
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Who has signed in.
pub(super) async fn standing(
    State(shared): State<Shared>,
    request: Request,
) -> Result<Response, Problem> {
    if let Ok(session) = by_cookie(&shared, Instant::now(), &request) {
        return Ok(Json(Standing::of(&session)).into_response());
    }
    let users = match &shared.store {
        Some(_) => shared.users().await?,
        None => Vec::new(),
    };
    let standing = Standing {
        user: None,
        role: None,
        listens: false,
        proof: None,
        empty: users.is_empty(),
        store: shared.store.is_some(),
        version: env!("CARGO_PKG_VERSION"),
    };
    Ok(Json(standing).into_response())
}

/// Signs somebody in.
pub(super) async fn sign_in(
    State(shared): State<Shared>,
    ConnectInfo(client): ConnectInfo<Client>,
    headers: HeaderMap,
    Body(credentials): Body<Credentials>,
) -> Result<Response, Problem> {
    let from = shared.may_guess(&headers, client)?;
    let Credentials { user, password } = credentials;
    let known = shared.users().await?.into_iter().find(|one| one.name == user);
    let hash = known.as_ref().map(|one| one.password.clone());
    let right = shared.hashing(move || is_right(&password, hash.as_deref())).await?;
    let Some(known) = known.filter(|_| right) else {
        tracing::warn!("console: a wrong name or password from {from}");
        return Err(Problem::not_signed_in());
    };
    // Whoever was changed or removed while the hash was computed does not come in as what they were: the end
    // of their sessions is behind them.
    let _alone = shared.changing_users.lock().await;
    if !shared.users().await?.contains(&known) {
        return Err(Problem::not_signed_in());
    }
    tracing::info!("console: {} ({}) signs in from {from}", known.name, known.role);
    shared.begin(&known, &headers)
}

/// Makes the first user, by the link that was printed at the start.
pub(super) async fn first(
    State(shared): State<Shared>,
    ConnectInfo(client): ConnectInfo<Client>,
    headers: HeaderMap,
    Body(first): Body<First>,
) -> Result<Response, Problem> {
    let from = shared.may_guess(&headers, client)?;
    // Two that come at once make one user.
    let _alone = shared.changing_users.lock().await;
    if !bool::from(shared.code.as_bytes().ct_eq(first.code.as_bytes())) {
        tracing::warn!("console: a wrong link for the first user from {from}");
        return Err(Problem::forbidden("the link is not the one that was printed last")
            .with_hint(Some("`oneport serve` prints one at each start without users".into())));
    }
    if !shared.users().await?.is_empty() {
        return Err(Problem::forbidden("the link has been used").with_hint(Some(
            "sign in, or have an administrator run `oneport user add NAME`".into(),
        )));
    }
    let name = checked_name(&first.user)?;
    let password = checked_password(first.password)?;
    let password = hashed(&shared, password).await?;
    let user = StoredUser { name, role: Role::Admin, listens: false, password };
    shared.store()?.put_user(&user).await.map_err(super::records::unread)?;
    tracing::info!("console: {} is the first user, from {from}", user.name);
    shared.begin(&user, &headers)
}

/// Signs somebody off.
pub(super) async fn sign_off(
    State(shared): State<Shared>,
    request: Request,
) -> Result<Response, Problem> {
    let session = by_cookie(&shared, Instant::now(), &request)?;
    if let Some(cookie) = cookie(&shared, request.headers()) {
        shared.sessions.end(cookie);
    }
    tracing::info!("console: {} signs off", session.user);
    let forget = format!("{}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict", shared.cookie);
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, forget)]).into_response())
}

/// Changes the password of whoever asks, and ends all other sessions of theirs.
pub(super) async fn change_password(
    State(shared): State<Shared>,
    ConnectInfo(client): ConnectInfo<Client>,
    request: Request,
) -> Result<Response, Problem> {
    let session = by_cookie(&shared, Instant::now(), &request)?;
    let headers = request.headers().clone();
    shared.may_guess(&headers, client)?;
    let Body(NewPassword { old, new }) = Body::from_request(request, &()).await?;
    let _alone = shared.changing_users.lock().await;
    let users = shared.users().await?;
    let gone = || Problem::not_found("this user is no more");
    let mut user = users.into_iter().find(|one| one.name == session.user).ok_or_else(gone)?;
    let hash = user.password.clone();
    if !shared.hashing(move || is_right(&old, Some(&hash))).await? {
        return Err(Problem::forbidden("the old password is wrong"));
    }
    user.password = hashed(&shared, checked_password(new)?).await?;
    shared.store()?.put_user(&user).await.map_err(super::records::unread)?;
    shared.sessions.end_all_of(&user.name);
    tracing::info!("console: {} has a new password", user.name);
    shared.begin(&user, &headers)
}

/// Does something on a thread of its own when there is a place, which it holds to its end: whoever asked may
/// hang up before, and would make room for the next while it still takes memory and a core.
async fn in_turn<R: Send + 'static>(
    places: &Arc<Semaphore>,
    act: impl FnOnce() -> R + Send + 'static,
) -> Result<R, JoinError> {
    let place = places.clone().acquire_owned().await;
    let held = move || {
        let _place = place;
        act()
    };
    tokio::task::spawn_blocking(held).await
}

impl Inner {
    /// The users that there are.
    pub(super) async fn users(&self) -> Result<Vec<StoredUser>, Problem> {
        self.store()?.users().await.map_err(super::records::unread)
    }

    /// Whether a page of ours may try a password; then the address it comes from.
    fn may_guess(&self, headers: &HeaderMap, client: Client) -> Result<std::net::IpAddr, Problem> {
        if !is_from_own_page(&Method::POST, headers) {
            return Err(Problem::of_another_page());
        }
        let from = client.0.ip().to_canonical();
        self.guesses.take(Instant::now(), sender(from), 1.0).map_err(Problem::guessed_too_often)?;
        Ok(from)
    }

    /// Does something with a hash on a thread of its own. One at a time: a flood of passwords takes one
    /// core of those that carry calls.
    pub(super) async fn hashing<R: Send + 'static>(
        &self,
        act: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, Problem> {
        let done = in_turn(&self.hashing, act).await;
        done.map_err(|error| Problem::unavailable(format!("cannot hash: {error}")))
    }

    /// Begins a session of a user.
    fn begin(&self, user: &StoredUser, headers: &HeaderMap) -> Result<Response, Problem> {
        let begun = self.sessions.begin(Instant::now(), &user.name, user.role, user.listens);
        let (secret, session) = begun.map_err(|error| Problem::unavailable(error.to_string()))?;
        // A proxy with TLS says so; the cookie then never goes in the clear.
        let tls = headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
        let secure = if tls { "; Secure" } else { "" };
        let cookie = format!(
            "{}={secret}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{secure}",
            self.cookie,
            LONGEST_SESSION.as_secs()
        );
        Ok(([(header::SET_COOKIE, cookie)], Json(Standing::of(&session))).into_response())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn a_hash_for_which_nobody_waits_any_more_keeps_its_place_to_its_end() {
        let places = Arc::new(Semaphore::new(1));
        let (begins, begun) = oneshot::channel();
        let (end, ended) = mpsc::channel::<()>();
        let asker = tokio::spawn({
            let places = places.clone();
            async move {
                let act = move || {
                    let _ = begins.send(());
                    let _ = ended.recv();
                };
                in_turn(&places, act).await
            }
        });
        begun.await.expect("it has begun");
        asker.abort();
        assert!(asker.await.expect_err("it has hung up").is_cancelled());
        assert_eq!(places.available_permits(), 0);
        drop(end);
        assert_eq!(in_turn(&places, || 7).await.expect("it is its turn"), 7);
    }
}
