//! Shared secrets, kept out of logs and wiped when dropped.

use alloc::string::String;
use core::fmt;

use md5::{Digest, Md5};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A secret shared with a peer. It prints as `***`.
///
/// ```
/// use oneport_proto::Secret;
///
/// let secret = Secret::from("hunter2");
/// assert_eq!(format!("{secret:?}"), "***");
/// assert_eq!(secret.expose(), "hunter2");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The secret itself, for those who must write it down.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// MD5(challenge ‖ secret): the answer to a challenge, and the key of an encrypted call.
    pub(crate) fn digest(&self, challenge: &[u8]) -> [u8; 16] {
        Md5::new().chain_update(challenge).chain_update(self.0.as_bytes()).finalize().into()
    }

    /// The answer to an MD5 challenge: lower-case hexadecimal of MD5(challenge ‖ secret)
    /// (RFC 5456 §8.6.15).
    #[must_use]
    pub(crate) fn md5_result(&self, challenge: &[u8]) -> [u8; 32] {
        let digest = self.digest(challenge);
        let mut hex = [0; 32];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(digest) {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            for (digit, nibble) in pair.iter_mut().zip([byte >> 4, byte & 15]) {
                *digit = DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
            }
        }
        hex
    }

    /// Whether `answer` proves knowledge of this secret; letter case is ignored, as peers differ.
    #[must_use]
    pub(crate) fn proves_md5(&self, challenge: &[u8], answer: &[u8]) -> bool {
        let expected = self.md5_result(challenge);
        let mut given = [0; 32];
        if answer.len() != given.len() {
            return false;
        }
        for (to, from) in given.iter_mut().zip(answer) {
            *to = from.to_ascii_lowercase();
        }
        expected.ct_eq(&given).into()
    }

    /// Whether `password` is this secret.
    #[must_use]
    pub(crate) fn proves_plaintext(&self, password: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(password).into()
    }
}

impl From<&str> for Secret {
    fn from(secret: &str) -> Self {
        Self(Zeroizing::new(secret.into()))
    }
}

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self(Zeroizing::new(secret))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_md5_answer_is_that_of_the_reference() {
        let secret = Secret::from("secret");
        assert_eq!(&secret.md5_result(b"123456789"), b"7ccde16e862dfe7681297713e9e9cadb");
        assert!(secret.proves_md5(b"123456789", b"7CCDE16E862DFE7681297713E9E9CADB"));
        assert!(!secret.proves_md5(b"123456789", b"7ccde16e862dfe7681297713e9e9cadc"));
        assert!(!secret.proves_md5(b"123456789", b""));
    }

    #[test]
    fn a_secret_never_prints_itself() {
        assert_eq!(alloc::format!("{:?}", Secret::from("hunter2")), "***");
    }
}
