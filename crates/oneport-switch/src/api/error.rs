//! How the API says no: a status, one sentence, and what to do about it.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::asker::Asker;
use super::token::Role;

/// Why a request was not carried out.
///
/// ```
/// use oneport_switch::api::Refused;
///
/// let refused: Refused = serde_json::from_str(r#"{"error": "there is no call 7", "hint": null}"#)?;
/// assert_eq!(refused.error, "there is no call 7");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Refused {
    /// One sentence.
    pub error: String,
    /// What mends it.
    pub hint: Option<String>,
}

/// An answer that is no success.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    body: Refused,
    retry_after: Option<Duration>,
}

impl Problem {
    fn new(status: StatusCode, error: impl Into<String>) -> Self {
        let body = Refused { error: error.into(), hint: None };
        Self { status, body, retry_after: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.body.hint = Some(hint.into());
        self
    }

    pub(super) fn too_fast(wait: Duration) -> Self {
        let mut problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "this address asks too fast")
            .hint(
                "wait as long as Retry-After says; 100 requests in a second are served, of those \
                 with a wrong token 5",
            );
        problem.retry_after = Some(wait);
        problem
    }

    pub(super) fn other_host() -> Self {
        Self::new(StatusCode::MISDIRECTED_REQUEST, "the request names a host that is not this one")
            .hint("reach it by its address, or add the name to api.hosts")
    }

    pub(super) fn no_token() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "the request has no token")
            .hint("send `Authorization: Bearer TOKEN`")
    }

    pub(super) fn wrong_token() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "nobody has this token")
            .hint("the tokens are those of [api.tokens], or one in the state directory")
    }

    pub(super) fn not_allowed(asker: &Asker, needed: Role) -> Self {
        let role = asker.role();
        Self::new(StatusCode::FORBIDDEN, format!("{asker} has the role {role}"))
            .hint(format!("this needs the role {needed}"))
    }

    pub(super) fn may_not_listen(asker: &Asker) -> Self {
        let hint = match asker {
            Asker::Token(_) => "give it listen = true in [api.tokens]",
            Asker::User(_) => "an administrator lets users listen: `oneport user change --listen`",
        };
        Self::new(StatusCode::FORBIDDEN, format!("{asker} may not listen")).hint(hint)
    }

    /// A page that is none of ours has sent the request, or may have.
    pub(super) fn of_another_page() -> Self {
        Self::new(StatusCode::FORBIDDEN, "the request does not come from the console's own page")
            .hint("a proxy in front must pass Host and Origin on as they come")
    }

    pub(super) fn forbidden(what: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, what)
    }

    pub(super) fn not_signed_in() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "name or password is wrong")
            .hint("an administrator sets a new password: `oneport user password NAME`")
    }

    pub(super) fn guessed_too_often(wait: Duration) -> Self {
        let mut problem =
            Self::new(StatusCode::TOO_MANY_REQUESTS, "too many wrong passwords, or wrong links")
                .hint("wait as long as Retry-After says");
        problem.retry_after = Some(wait);
        problem
    }

    pub(super) fn no_websocket(what: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, what).hint("ask for a WebSocket (RFC 6455)")
    }

    pub(super) fn wrong_method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not know the method")
    }

    /// Something named is not there.
    pub(super) fn not_found(what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, what)
    }

    /// The request says something that makes no sense.
    pub(super) fn wrong(what: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, what)
    }

    /// It makes sense, but not now.
    pub(super) fn conflict(what: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, what)
    }

    /// The switch has stopped, or does not answer in time.
    pub(super) fn unavailable(what: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, what)
    }

    pub(super) fn with_hint(self, hint: Option<String>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        let headers = response.headers_mut();
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs() + 1;
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
