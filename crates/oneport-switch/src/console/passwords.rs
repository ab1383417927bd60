//! Passwords of users: Argon2id (RFC 9106) with the parameters of its crate, 19 MiB and two passes, in the
//! form of the PHC, which names them. Both functions take tens of milliseconds, and belong on a thread of
//! their own.

use std::sync::LazyLock;

use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Argon2, PasswordHash};

/// The shortest password, in characters, and the longest, in bytes.
pub(crate) const SHORTEST: usize = 10;
pub(crate) const LONGEST: usize = 256;

/// What a password of nobody is compared with, so that it takes as long as that of somebody.
static NOBODY: LazyLock<Option<String>> = LazyLock::new(|| hash("nobody has this").ok());

/// The hash of a password, with a salt of its own.
///
/// # Errors
/// The system has no randomness, or no memory.
pub(crate) fn hash(password: &str) -> Result<String, String> {
    let hashed = Argon2::default().hash_password(password.as_bytes());
    hashed.map(|hash| hash.to_string()).map_err(|error| format!("cannot hash: {error}"))
}

/// Whether a password has this hash; `None`: of nobody, which no password has.
pub(crate) fn is_right(password: &str, hash: Option<&str>) -> bool {
    let Some(compared) = hash.or(NOBODY.as_deref()) else { return false };
    let Ok(parsed) = PasswordHash::new(compared) else { return false };
    let right = Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok();
    right && hash.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_has_its_own_hash_alone_and_another_each_time() {
        let (one, other) = (hash("correct horse").expect("made"), hash("correct horse"));
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        assert_ne!(Ok(&one), other.as_ref());
        assert!(is_right("correct horse", Some(&one)));
        assert!(!is_right("correct horsf", Some(&one)) && !is_right("", Some(&one)));
        assert!(!is_right("nobody has this", None), "not even that");
        assert!(!is_right("anything", Some("no hash")));
    }
}
