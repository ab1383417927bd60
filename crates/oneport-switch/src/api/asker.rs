//! Who asks: the holder of a token, or a user who has signed in at the console.

use std::fmt;

use super::token::{Role, Token, Tokens};
use crate::console::Session;

/// Who has sent a request, and how that is known.
#[derive(Clone, Debug)]
pub(super) enum Asker {
    /// By a token.
    Token(Token),
    /// By the cookie of a session.
    User(Session),
}

impl Asker {
    /// By which the log knows it.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Token(token) => token.name(),
            Self::User(session) => &session.user,
        }
    }

    pub(super) const fn role(&self) -> Role {
        match self {
            Self::Token(token) => token.role(),
            Self::User(session) => session.role,
        }
    }

    /// Whether it may listen to calls.
    pub(super) const fn listens(&self) -> bool {
        match self {
            Self::Token(token) => token.listens(),
            Self::User(session) => session.listens,
        }
    }

    /// Returns when it may listen no more.
    pub(super) async fn listens_no_more(&self, tokens: &Tokens) {
        match self {
            Self::Token(token) => tokens.listens_no_more(token).await,
            Self::User(session) => session.ends().await,
        }
    }

    /// Returns when it may ask no more: its token was withdrawn, or its session is over.
    pub(super) async fn asks_no_more(&self, tokens: &Tokens) {
        match self {
            Self::Token(token) => tokens.is_withdrawn(token).await,
            Self::User(session) => session.ends().await,
        }
    }
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(token) => write!(f, "token {}", token.name()),
            Self::User(session) => write!(f, "user {}", session.user),
        }
    }
}
