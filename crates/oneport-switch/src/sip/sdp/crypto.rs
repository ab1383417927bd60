//! Keys of SRTP in SDP: `a=crypto` (RFC 4568).

use std::fmt;

use base64ct::{Base64, Encoding};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes of a master key (16) with its salt (14).
pub const KEY_BYTES: usize = 30;

/// How SRTP is encrypted and authenticated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CryptoSuite {
    /// AES in counter mode, tags of 80 bits.
    AesCm128HmacSha1_80,
    /// The same with tags of 32 bits; those of SRTCP have 80 all the same.
    AesCm128HmacSha1_32,
}

impl CryptoSuite {
    /// Those we speak, best first.
    pub(super) const ALL: [Self; 2] = [Self::AesCm128HmacSha1_80, Self::AesCm128HmacSha1_32];

    /// Its name in SDP.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
        }
    }
}

/// A master key of 16 bytes and its salt of 14. It prints as `***`.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct MasterKey(pub [u8; KEY_BYTES]);

impl MasterKey {
    /// A new one.
    ///
    /// # Errors
    /// The system has no randomness.
    pub(crate) fn draw() -> Result<Self, getrandom::Error> {
        let mut key = [0; KEY_BYTES];
        getrandom::fill(&mut key)?;
        Ok(Self(key))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// One `a=crypto`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Crypto {
    pub(super) tag: u32,
    pub(super) suite: CryptoSuite,
    pub(super) key: MasterKey,
}

impl Crypto {
    /// Reads a value of `a=crypto`. `None`: it is malformed, or asks for what we do not do, such as more
    /// keys than one.
    pub(super) fn read(value: &str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let tag = words.next()?.parse().ok()?;
        let suite = words.next()?;
        let suite = CryptoSuite::ALL.into_iter().find(|one| one.name().eq_ignore_ascii_case(suite));
        let key = words.next()?.strip_prefix("inline:")?;
        // A hint for the window of replays may be ignored; other parameters change what is on the wire.
        if words.any(|word| !word.starts_with("WSH=")) {
            return None;
        }
        let mut parts = key.split('|');
        let mut bytes = [0; KEY_BYTES];
        let decoded = Base64::decode(parts.next()?, &mut bytes).ok()?.len() == KEY_BYTES;
        // What has a colon is an identifier of the key, which each packet would carry.
        if !decoded || parts.any(|part| part.contains(':')) {
            return None;
        }
        Some(Self { tag, suite: suite?, key: MasterKey(bytes) })
    }

    pub(super) fn write(&self) -> String {
        let key = Base64::encode_string(&self.key.0);
        format!("{} {} inline:{key}", self.tag, self.suite.name())
    }
}
