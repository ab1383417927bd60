//! RSA keys that prove who somebody is (RFC 5456 §8.6.16): a signature of the challenge by
//! PKCS#1 v1.5 with SHA-1, as base64. Asterisk's keys have 1,024 bits; longer ones are taken too,
//! as far as the signature fits into an element.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

use base64ct::{Base64, Encoding};
use rand_chacha::ChaCha12Rng;
use rsa::pkcs1::{DecodeRsaPrivateKey, DecodeRsaPublicKey};
use rsa::pkcs8::{
    DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, LineEnding,
};
use rsa::traits::PublicKeyParts;
use rsa::{Pkcs1v15Sign, PrivateKey as RsaPrivateKey, PublicKey as RsaPublicKey};
use sha1::{Digest, Sha1};
use thiserror::Error;
use zeroize::Zeroizing;

/// Bits of the keys that Asterisk makes and takes.
pub const KEY_BITS: usize = 1024;

/// Longest signature that fits an element as base64, in bytes.
const LONGEST_SIGNATURE: usize = 190;

/// Why a key cannot be used.
///
/// ```
/// use oneport_proto::{KeyError, PublicKey};
///
/// let found = PublicKey::from_pem("-----BEGIN CERTIFICATE-----\n");
/// assert!(matches!(found, Err(KeyError::Unreadable("public"))));
/// assert_eq!(
///     KeyError::Size(4096).to_string(),
///     "a key of 4096 bits cannot be used: RSA keys of IAX2 have 1024 bits, 1520 at most",
/// );
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not PEM, or not of an RSA key of this kind, or protected by a pass phrase.
    #[error("it is no {0} RSA key in PEM form without a pass phrase")]
    Unreadable(&'static str),
    /// It has too many bits for its signature to fit, or too few to be safe at all.
    #[error("a key of {0} bits cannot be used: RSA keys of IAX2 have 1024 bits, 1520 at most")]
    Size(usize),
    /// No key could be made.
    #[error("no key could be made")]
    Generation,
}

fn check_size(key: &impl PublicKeyParts) -> Result<(), KeyError> {
    let size = key.size();
    if (KEY_BITS / 8..=LONGEST_SIGNATURE).contains(&size) {
        Ok(())
    } else {
        Err(KeyError::Size(size * 8))
    }
}

/// The key by which we prove who we are (Asterisk: `outkey`). It prints as `***`.
///
/// A caller proves who it is by its key, and nothing that could be used again goes over the wire:
///
/// ```
/// use oneport_proto::{Challenge, EncryptionPolicy, Event, NewCall, PrivateKey};
/// use oneport_wire::AuthMethods;
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (mut here, mut there) = two_ends(now);
/// let key = PrivateKey::generate([7; 32])?; // random bytes of the system
/// let public = key.public();
/// let call = NewCall { username: Some("ann".into()), key: Some(key), ..NewCall::to("100") };
/// # let (_, theirs, _) = offered(now, &mut here, &mut there, call);
/// there.challenge_call(now, theirs, Challenge {
///     methods: AuthMethods::RSA,
///     keys: vec![public],
///     ..Challenge::unknown("ann")
/// })?;
/// exchange(now, &mut here, &mut there);
/// let method = AuthMethods::RSA;
/// assert_eq!(there.poll_event(), Some(Event::CallAuthenticated { call: theirs, method }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct PrivateKey(Arc<RsaPrivateKey>);

/// The key by which a peer's proof is checked (Asterisk: `inkeys`).
///
/// ```
/// use oneport_proto::{KEY_BITS, PrivateKey, PublicKey};
///
/// let key = PrivateKey::generate([7; 32])?; // random bytes of the system
/// let file = key.public().to_pem()?;
/// assert!(file.starts_with("-----BEGIN PUBLIC KEY-----"));
/// assert_eq!(PublicKey::from_pem(&file)?.bits(), KEY_BITS);
/// # Ok::<(), oneport_proto::KeyError>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct PublicKey(Box<RsaPublicKey>);

impl PrivateKey {
    /// Makes a key of [`KEY_BITS`] from random bytes of the system. It takes a while: tens of
    /// milliseconds, or a second without optimisation.
    ///
    /// # Errors
    /// No key could be made of these bytes.
    pub fn generate(seed: [u8; 32]) -> Result<Self, KeyError> {
        let mut rng = <ChaCha12Rng as rand_core::SeedableRng>::from_seed(seed);
        let key = RsaPrivateKey::new(&mut rng, KEY_BITS).map_err(|_| KeyError::Generation)?;
        Ok(Self(Arc::new(key)))
    }

    /// Reads a key file: PEM, PKCS#1 or PKCS#8.
    ///
    /// # Errors
    /// It is none, or its size is wrong.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let key = RsaPrivateKey::from_pkcs8_pem(pem)
            .or_else(|_| RsaPrivateKey::from_pkcs1_pem(pem))
            .map_err(|_| KeyError::Unreadable("private"))?;
        check_size(&key)?;
        Ok(Self(Arc::new(key)))
    }

    /// The key as a file, PKCS#8, to be kept from others.
    ///
    /// # Errors
    /// It cannot be encoded.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        self.0.to_pkcs8_pem(LineEnding::LF).map_err(|_| KeyError::Generation)
    }

    /// The other half, to be given away.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(Box::new(self.0.to_public_key()))
    }

    /// RSA_RESULT for a challenge. `None` only if the signing itself fails.
    pub(crate) fn sign(&self, rng: &mut ChaCha12Rng, challenge: &[u8]) -> Option<String> {
        let digest = Sha1::digest(challenge);
        let signature = self.0.sign_with_rng(rng, Pkcs1v15Sign::new::<Sha1>(), &digest).ok()?;
        Some(Base64::encode_string(&signature))
    }
}

impl PublicKey {
    /// Reads a key file: PEM, SubjectPublicKeyInfo or PKCS#1.
    ///
    /// # Errors
    /// It is none, or its size is wrong.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let key = RsaPublicKey::from_public_key_pem(pem)
            .or_else(|_| RsaPublicKey::from_pkcs1_pem(pem))
            .map_err(|_| KeyError::Unreadable("public"))?;
        check_size(&key)?;
        Ok(Self(Box::new(key)))
    }

    /// The key as a file, as Asterisk reads it.
    ///
    /// # Errors
    /// It cannot be encoded.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        self.0.to_public_key_pem(LineEnding::LF).map_err(|_| KeyError::Generation)
    }

    /// Its size in bits.
    #[must_use]
    pub fn bits(&self) -> usize {
        self.0.size() * 8
    }

    /// Whether RSA_RESULT proves that its sender holds the private half.
    pub(crate) fn proves(&self, challenge: &[u8], result: &[u8]) -> bool {
        let mut signature = alloc::vec![0; result.len()];
        let Ok(signature) = Base64::decode(result, &mut signature) else { return false };
        let digest = Sha1::digest(challenge);
        self.0.verify(Pkcs1v15Sign::new::<Sha1>(), &digest, signature).is_ok()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} bits)", self.bits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    #[test]
    fn a_signature_proves_its_own_challenge_and_key_only() {
        let mut rng = ChaCha12Rng::from_seed([1; 32]);
        let (key, other) =
            (PrivateKey::generate([2; 32]).unwrap(), PrivateKey::generate([3; 32]).unwrap());
        let signature = key.sign(&mut rng, b"123456789").unwrap();
        assert_eq!(signature.len(), 172);
        let public = key.public();
        assert!(public.proves(b"123456789", signature.as_bytes()));
        assert!(!public.proves(b"123456780", signature.as_bytes()));
        assert!(!other.public().proves(b"123456789", signature.as_bytes()));
        for junk in [&b""[..], b"=", b"AAAA", &[b'A'; 172], &[0xFF; 255]] {
            assert!(!public.proves(b"123456789", junk));
        }
    }

    #[test]
    fn keys_survive_being_written_and_read() {
        let key = PrivateKey::generate([4; 32]).unwrap();
        assert_eq!(PrivateKey::from_pem(&key.to_pem().unwrap()).as_ref(), Ok(&key));
        let public = key.public();
        assert_eq!(PublicKey::from_pem(&public.to_pem().unwrap()).as_ref(), Ok(&public));
        assert_eq!(public.bits(), KEY_BITS);
        assert_eq!(PublicKey::from_pem("junk"), Err(KeyError::Unreadable("public")));
        assert_eq!(alloc::format!("{key:?}"), "***");
    }
}
