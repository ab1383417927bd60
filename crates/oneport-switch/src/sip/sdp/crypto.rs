//! Keys of SRTP, and those that stand in SDP: `a=crypto` (RFC 4568).

use std::fmt;

use base64ct::{Base64, Encoding};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes of a master key (16) with its salt (14), as a description has them.
pub const KEY_BYTES: usize = 30;

/// Bytes of the longest master key, and of the longest salt.
const LONGEST_KEY: usize = 32;
const LONGEST_SALT: usize = 14;

/// How SRTP is encrypted and authenticated.
///
/// ```
/// use oneport_switch::sip::sdp::CryptoSuite;
///
/// assert_eq!(CryptoSuite::AesCm128HmacSha1_80.name(), "AES_CM_128_HMAC_SHA1_80");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CryptoSuite {
    /// AES in counter mode, tags of 80 bits.
    AesCm128HmacSha1_80,
    /// The same with tags of 32 bits; those of SRTCP have 80 all the same.
    AesCm128HmacSha1_32,
    /// AES in Galois/counter mode (RFC 7714), which a handshake may choose.
    AeadAes128Gcm,
    /// The same with keys of 256 bits.
    AeadAes256Gcm,
}

impl CryptoSuite {
    /// Those whose keys may stand in a description, best first.
    const DESCRIBED: [Self; 2] = [Self::AesCm128HmacSha1_80, Self::AesCm128HmacSha1_32];

    /// Its name in SDP.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }
}

/// A master key and its salt, as long as its suite wants both: what is shorter has zeros behind it. It prints
/// as `***`.
///
/// ```
/// use oneport_switch::sip::sdp::MasterKey;
///
/// // 16 bytes of key and 14 of salt.
/// let key = MasterKey::new(&[7; 16], &[9; 14]);
/// assert_ne!(key, MasterKey::from([7; 30]));
/// ```
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct MasterKey {
    pub(in crate::sip) key: [u8; LONGEST_KEY],
    pub(in crate::sip) salt: [u8; LONGEST_SALT],
}

impl From<[u8; KEY_BYTES]> for MasterKey {
    fn from(described: [u8; KEY_BYTES]) -> Self {
        let (key, salt) = described.split_at(KEY_BYTES - LONGEST_SALT);
        Self::new(key, salt)
    }
}

impl MasterKey {
    /// Of these bytes; what is longer than any key or salt is cut.
    #[must_use]
    pub fn new(key: &[u8], salt: &[u8]) -> Self {
        let mut master = Self { key: [0; LONGEST_KEY], salt: [0; LONGEST_SALT] };
        master.key.iter_mut().zip(key).for_each(|(place, byte)| *place = *byte);
        master.salt.iter_mut().zip(salt).for_each(|(place, byte)| *place = *byte);
        master
    }

    /// A new one, for a description.
    ///
    /// # Errors
    /// The system has no randomness.
    pub(crate) fn draw() -> Result<Self, getrandom::Error> {
        let mut described = [0; KEY_BYTES];
        getrandom::fill(&mut described)?;
        Ok(Self::from(described))
    }

    /// As it stands in a description.
    fn described(&self) -> [u8; KEY_BYTES] {
        let mut described = [0; KEY_BYTES];
        let bytes = self.key[..KEY_BYTES - LONGEST_SALT].iter().chain(&self.salt);
        described.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
        described
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
        let named = |one: &CryptoSuite| one.name().eq_ignore_ascii_case(suite);
        let suite = CryptoSuite::DESCRIBED.into_iter().find(named);
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
        Some(Self { tag, suite: suite?, key: MasterKey::from(bytes) })
    }

    pub(super) fn write(&self) -> String {
        let key = Base64::encode_string(&self.key.described());
        format!("{} {} inline:{key}", self.tag, self.suite.name())
    }
}
