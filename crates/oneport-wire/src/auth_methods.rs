//! Masks of authentication and encryption methods.

use core::fmt;
use core::ops::BitOr;

/// Ways to prove who one is (RFC 5456 §8.6.13).
///
/// ```
/// use oneport_wire::AuthMethods;
///
/// let offered = AuthMethods::MD5 | AuthMethods::RSA;
/// assert_eq!(offered.to_string(), "md5,rsa");
/// assert!(!offered.contains(AuthMethods::PLAINTEXT));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct AuthMethods(pub u16);

impl AuthMethods {
    /// The secret itself, readable by all on the way.
    pub const PLAINTEXT: Self = Self(1);
    /// MD5 over challenge and secret.
    pub const MD5: Self = Self(2);
    /// RSA signature of the challenge.
    pub const RSA: Self = Self(4);

    /// Whether all of `other` are in it.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Those in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it has none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for AuthMethods {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

/// Names joined by commas.
impl fmt::Display for AuthMethods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [(Self::PLAINTEXT, "plaintext"), (Self::MD5, "md5"), (Self::RSA, "rsa")];
        let mut comma = "";
        for (_, name) in names.iter().filter(|(method, _)| self.contains(*method)) {
            write!(f, "{comma}{name}")?;
            comma = ",";
        }
        Ok(())
    }
}

impl fmt::Debug for AuthMethods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}

/// Ways to encrypt a call.
///
/// ```
/// use oneport_wire::EncryptionMethods;
///
/// let ours = EncryptionMethods::AES128.union(EncryptionMethods::KEY_ROTATION);
/// let agreed = ours.intersection(EncryptionMethods(0x0001));
/// assert!(agreed.contains(EncryptionMethods::AES128));
/// // The peer would not understand an RTKEY.
/// assert!(!agreed.contains(EncryptionMethods::KEY_ROTATION));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct EncryptionMethods(pub u16);

impl EncryptionMethods {
    /// AES-128 (RFC 5456 §10).
    pub const AES128: Self = Self(0x0001);
    /// The key may be changed during the call (RTKEY).
    pub const KEY_ROTATION: Self = Self(0x8000);

    /// Those in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those in both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether all of `other` are in it.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}
