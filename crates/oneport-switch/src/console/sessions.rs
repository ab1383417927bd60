//! Who has signed in. Sessions live in memory: a restart ends them all. Of a cookie its hash alone is kept.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::api::{Role, random_secret};

/// A session that is not used for so long is over.
const IDLE: Duration = Duration::from_secs(12 * 3_600);

/// A session is over after so long, however it is used.
pub(crate) const LONGEST_SESSION: Duration = Duration::from_secs(7 * 86_400);

/// Sessions at once. Where there are more, that which was used least lately is ended.
const MOST: usize = 1_000;

/// What is known of somebody who has signed in.
#[derive(Clone)]
pub(crate) struct Session {
    /// The user.
    pub(crate) user: String,
    pub(crate) role: Role,
    pub(crate) listens: bool,
    /// What the page sends with all that it does, and no page of anybody else knows.
    proof: String,
    begun: Instant,
    used: Instant,
    over: CancellationToken,
}

impl Session {
    /// What the page sends with all that it does.
    pub(crate) fn proof(&self) -> &str {
        &self.proof
    }

    /// Whether the page has sent that.
    pub(crate) fn is_proved_by(&self, sent: &[u8]) -> bool {
        bool::from(self.proof.as_bytes().ct_eq(sent))
    }

    /// Returns when it is over, also where its cookie is not seen again.
    pub(crate) async fn ends(&self) {
        let _ = timeout_at(self.begun + LONGEST_SESSION, self.over.cancelled()).await;
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session of {} ({})", self.user, self.role)
    }
}

/// All of them, by the hashes of their cookies.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<HashMap<[u8; 32], Session>>);

fn key(cookie: &str) -> [u8; 32] {
    Sha256::digest(cookie).into()
}

impl Sessions {
    fn all(&self) -> MutexGuard<'_, HashMap<[u8; 32], Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins one, and gives its cookie.
    ///
    /// # Errors
    /// The system has no randomness.
    pub(crate) fn begin(
        &self,
        now: Instant,
        user: &str,
        role: Role,
        listens: bool,
    ) -> io::Result<(String, Session)> {
        let (cookie, proof, over) = (random_secret()?, random_secret()?, CancellationToken::new());
        let session =
            Session { user: user.into(), role, listens, proof, begun: now, used: now, over };
        let mut all = self.all();
        if all.len() >= MOST {
            let oldest = all.iter().min_by_key(|(_, one)| one.used).map(|(key, _)| *key);
            if let Some(gone) = oldest.and_then(|key| all.remove(&key)) {
                gone.over.cancel();
            }
        }
        all.insert(key(&cookie), session.clone());
        Ok((cookie, session))
    }

    /// The session of a cookie, which is used now.
    pub(crate) fn find(&self, now: Instant, cookie: &str) -> Option<Session> {
        let (mut all, key) = (self.all(), key(cookie));
        let session = all.get_mut(&key)?;
        let idle = now.duration_since(session.used) >= IDLE;
        if idle || now.duration_since(session.begun) >= LONGEST_SESSION {
            session.over.cancel();
            all.remove(&key);
            return None;
        }
        session.used = now;
        Some(session.clone())
    }

    /// Ends that of a cookie.
    pub(crate) fn end(&self, cookie: &str) {
        if let Some(session) = self.all().remove(&key(cookie)) {
            session.over.cancel();
        }
    }

    /// Ends all of a user.
    pub(crate) fn end_all_of(&self, user: &str) {
        self.all().retain(|_, session| {
            let stays = session.user != user;
            if !stays {
                session.over.cancel();
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn a_session_is_found_by_its_cookie_until_it_is_ended_idle_or_old() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let begin = |user| sessions.begin(now, user, Role::Viewer, false).expect("begun");
        let (cookie, session) = begin("ann");
        assert_eq!((cookie.len(), session.proof().len()), (64, 64));
        assert!(session.is_proved_by(session.proof().as_bytes()) && !session.is_proved_by(b""));
        assert!(sessions.find(now, "other").is_none());
        let mut at = now;
        while at + IDLE / 2 < now + LONGEST_SESSION {
            at += IDLE / 2;
            assert_eq!(sessions.find(at, &cookie).map(|one| one.user), Some("ann".into()));
        }
        assert!(sessions.find(now + LONGEST_SESSION, &cookie).is_none());
        assert!(session.over.is_cancelled());
        let (cookie, _) = begin("ann");
        assert!(sessions.find(now + IDLE, &cookie).is_none());
        let (cookie, _) = begin("ann");
        sessions.end(&cookie);
        assert!(sessions.find(now, &cookie).is_none());
    }

    #[tokio::test]
    async fn what_is_followed_in_a_session_ends_with_it_though_its_cookie_is_not_seen_again() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let begin = |at| sessions.begin(at, "ann", Role::Viewer, true).expect("begun").1;
        assert!(begin(now).ends().now_or_never().is_none());
        begin(now.checked_sub(LONGEST_SESSION).expect("a time")).ends().await;
    }

    #[test]
    fn whoever_signs_in_without_end_ends_the_session_that_was_used_least_lately() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let (first, _) = sessions.begin(now, "ann", Role::Viewer, false).expect("begun");
        for n in 0..MOST {
            let later = now + Duration::from_secs(1 + n as u64);
            sessions.begin(later, "bob", Role::Viewer, false).expect("begun");
        }
        assert!(sessions.find(now, &first).is_none());
        assert_eq!(sessions.all().len(), MOST);
        sessions.end_all_of("bob");
        assert!(sessions.all().is_empty());
    }
}
