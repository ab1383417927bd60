//! Proving who somebody is: challenge and answer (RFC 5456 §6.2.5, §6.1.3).

use alloc::string::String;
use alloc::vec::Vec;

use oneport_wire::{AuthMethods, Element, ElementBuffer, Elements, EncryptionMethods};
use rand_chacha::ChaCha12Rng;
use rand_core::Rng;

use crate::crypt::EncryptionPolicy;
use crate::keys::{PrivateKey, PublicKey};
use crate::secret::Secret;

/// What a caller, or a peer that registers, must prove.
///
/// The call goes on when the caller has shown that it has the secret. The secret itself is not sent:
///
/// ```
/// use oneport_proto::{Challenge, Event, NewCall};
/// use oneport_wire::AuthMethods;
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (mut here, mut there) = two_ends(now);
/// let (username, secret) = (Some("ann".into()), Some("a secret".into()));
/// let call = NewCall { username, secret, ..NewCall::to("100") };
/// # let (_, theirs, _) = offered(now, &mut here, &mut there, call);
/// there.challenge_call(now, theirs, Challenge::md5("ann", "a secret".into()))?;
/// exchange(now, &mut here, &mut there);
/// let method = AuthMethods::MD5;
/// assert_eq!(there.poll_event(), Some(Event::CallAuthenticated { call: theirs, method }));
/// # Ok::<(), oneport_proto::CommandError>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Challenge {
    /// Methods to offer. The peer takes the best that it knows: RSA, MD5, plaintext.
    pub methods: AuthMethods,
    /// The name under which the peer came.
    pub username: String,
    /// Secrets of which any one proves it. With none the proof fails, as slowly and in the same
    /// frames as a wrong one.
    pub secrets: Vec<Secret>,
    /// Keys of which any one proves it.
    pub keys: Vec<PublicKey>,
    /// Whether the call is encrypted from here on; a secret is needed for that, also where RSA
    /// proves who calls. Registrations never are.
    pub encryption: EncryptionPolicy,
}

impl Challenge {
    /// MD5 with one secret, and no encryption.
    #[must_use]
    pub fn md5(username: impl Into<String>, secret: Secret) -> Self {
        Self { secrets: alloc::vec![secret], ..Self::unknown(username) }
    }

    /// A challenge nobody can meet, for names that do not exist: strangers do not learn which do.
    #[must_use]
    pub fn unknown(username: impl Into<String>) -> Self {
        Self {
            methods: AuthMethods::MD5,
            username: username.into(),
            secrets: Vec::new(),
            keys: Vec::new(),
            encryption: EncryptionPolicy::Off,
        }
    }
}

/// A challenge that was sent, with what its answer must be.
#[derive(Debug)]
pub(crate) struct Proof {
    challenge: Challenge,
    /// Decimal digits, as all peers send them.
    digits: [u8; 9],
    /// What is said of encryption: the methods that both sides know.
    encryption: Option<EncryptionMethods>,
}

impl Proof {
    pub(crate) fn new(challenge: Challenge, rng: &mut ChaCha12Rng) -> Self {
        let mut digits = [b'0'; 9];
        let mut random = rng.next_u64();
        for digit in &mut digits {
            let value = (random % 10) as u8;
            *digit = b'0' + value;
            random /= 10;
        }
        Self { challenge, digits, encryption: None }
    }

    pub(crate) fn username(&self) -> &str {
        &self.challenge.username
    }

    /// Lets the challenge say that the call is encrypted from here on, and gives the keys that its
    /// secrets yield. With no secret there is a random one, which nobody has.
    pub(crate) fn encrypt(
        &mut self,
        rng: &mut ChaCha12Rng,
        methods: EncryptionMethods,
    ) -> Vec<[u8; 16]> {
        self.encryption = Some(methods);
        let secrets = self.challenge.secrets.iter();
        let mut keys: Vec<[u8; 16]> = secrets.map(|secret| secret.digest(&self.digits)).collect();
        if keys.is_empty() {
            let mut nobody = [0; 16];
            rng.fill_bytes(&mut nobody);
            keys.push(nobody);
        }
        keys
    }

    /// The elements of AUTHREQ and REGAUTH.
    pub(crate) fn elements(&self) -> ElementBuffer {
        let mut buffer = ElementBuffer::new();
        buffer.push(&Element::AuthMethods(self.challenge.methods));
        buffer.push(&Element::Challenge(&self.digits));
        if let Some(methods) = self.encryption {
            buffer.push(&Element::Encryption(methods));
        }
        buffer.push(&Element::Username(self.challenge.username.as_str().into()));
        buffer
    }

    /// The method by which `elements` (of AUTHREP or REGREQ) prove knowledge of a secret or key.
    pub(crate) fn verify(&self, elements: Elements<'_>) -> Option<AuthMethods> {
        let methods = self.challenge.methods;
        // A name without secrets costs the same work as one with.
        let nobody = [Secret::from("")];
        let (secrets, real) = match self.challenge.secrets.as_slice() {
            [] => (nobody.as_slice(), false),
            known => (known, true),
        };
        let mut proved = None;
        for element in elements.iter() {
            let (method, proves) = match element {
                Element::Md5Result(answer) if methods.contains(AuthMethods::MD5) => {
                    let mut any = false;
                    for secret in secrets {
                        any |= secret.proves_md5(&self.digits, answer.as_bytes());
                    }
                    (AuthMethods::MD5, any && real)
                }
                Element::Password(password) if methods.contains(AuthMethods::PLAINTEXT) => {
                    let mut any = false;
                    for secret in secrets {
                        any |= secret.proves_plaintext(password.as_bytes());
                    }
                    (AuthMethods::PLAINTEXT, any && real)
                }
                Element::RsaResult(answer) if methods.contains(AuthMethods::RSA) => {
                    let mut keys = self.challenge.keys.iter();
                    let any = keys.any(|key| key.proves(&self.digits, answer.as_bytes()));
                    (AuthMethods::RSA, any)
                }
                _ => continue,
            };
            if proves {
                proved = Some(method);
            }
        }
        proved
    }
}

/// Our side: how an AUTHREQ or REGAUTH is answered.
pub(crate) struct Credentials<'a> {
    pub(crate) secret: Option<&'a Secret>,
    pub(crate) key: Option<&'a PrivateKey>,
    pub(crate) allow_plaintext: bool,
}

/// What an AUTHREQ or REGAUTH asks for.
#[derive(Clone, Copy, Default)]
pub(crate) struct Asked<'a> {
    pub(crate) methods: AuthMethods,
    pub(crate) challenge: Option<&'a [u8]>,
    pub(crate) encryption: EncryptionMethods,
}

impl<'a> Asked<'a> {
    pub(crate) fn read(elements: Elements<'a>) -> Self {
        let mut asked = Self::default();
        for element in elements.iter() {
            match element {
                Element::AuthMethods(offered) => asked.methods = offered,
                Element::Challenge(digits) => asked.challenge = Some(digits),
                Element::Encryption(methods) => asked.encryption = methods,
                _ => {}
            }
        }
        asked
    }
}

impl Credentials<'_> {
    /// Puts the answer into `buffer`: RSA where it is offered and we have a key, then MD5;
    /// plaintext only where we allow it. `None`: we cannot answer.
    pub(crate) fn answer(
        &self,
        rng: &mut ChaCha12Rng,
        asked: Asked<'_>,
        buffer: &mut ElementBuffer,
    ) -> Option<AuthMethods> {
        let Asked { methods, challenge, .. } = asked;
        if let (Some(digits), Some(key)) = (challenge, self.key)
            && methods.contains(AuthMethods::RSA)
            && let Some(result) = key.sign(rng, digits)
        {
            buffer.push(&Element::RsaResult(result.as_str().into()));
            return Some(AuthMethods::RSA);
        }
        let secret = self.secret?;
        match challenge {
            Some(digits) if methods.contains(AuthMethods::MD5) => {
                let result = secret.md5_result(digits);
                buffer.push(&Element::Md5Result(result.as_slice().into()));
                Some(AuthMethods::MD5)
            }
            _ if methods.contains(AuthMethods::PLAINTEXT) && self.allow_plaintext => {
                buffer.push(&Element::Password(secret.expose().into()));
                Some(AuthMethods::PLAINTEXT)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use rand_core::SeedableRng;

    #[test]
    fn challenges_differ_and_an_answer_to_one_is_none_to_another() {
        let mut rng = ChaCha12Rng::from_seed([1; 32]);
        let proofs: Vec<Proof> = (0..1_000)
            .map(|_| Proof::new(Challenge::md5("node", Secret::from("right")), &mut rng))
            .collect();
        let distinct: BTreeSet<[u8; 9]> = proofs.iter().map(|proof| proof.digits).collect();
        assert_eq!(distinct.len(), proofs.len());
        for place in 0..9 {
            let digits: BTreeSet<u8> = distinct.iter().map(|digits| digits[place]).collect();
            assert_eq!(digits.len(), 10, "each digit stands at place {place}");
        }
        // Another start of the endpoint, other challenges.
        let mut other = ChaCha12Rng::from_seed([2; 32]);
        let elsewhere = Proof::new(Challenge::md5("node", Secret::from("right")), &mut other);
        assert!(!distinct.contains(&elsewhere.digits));
        let secret = Secret::from("right");
        let credentials = Credentials { secret: Some(&secret), key: None, allow_plaintext: false };
        let mut answer = ElementBuffer::new();
        let elements = proofs[0].elements();
        credentials.answer(&mut rng, Asked::read(elements.as_elements()), &mut answer).unwrap();
        assert_eq!(proofs[0].verify(answer.as_elements()), Some(AuthMethods::MD5));
        for proof in &proofs[1..] {
            assert_eq!(proof.verify(answer.as_elements()), None);
        }
    }

    fn check(
        methods: AuthMethods,
        theirs: &str,
        ours: &[&str],
        allow: bool,
    ) -> Option<AuthMethods> {
        let challenge = Challenge {
            methods,
            secrets: ours.iter().map(|secret| Secret::from(*secret)).collect(),
            ..Challenge::unknown("node")
        };
        let mut rng = ChaCha12Rng::from_seed([1; 32]);
        let proof = Proof::new(challenge, &mut rng);
        let secret = Secret::from(theirs);
        let credentials = Credentials { secret: Some(&secret), key: None, allow_plaintext: allow };
        let mut answer = ElementBuffer::new();
        let elements = proof.elements();
        credentials.answer(&mut rng, Asked::read(elements.as_elements()), &mut answer)?;
        proof.verify(answer.as_elements())
    }

    #[test]
    fn any_of_several_secrets_proves() {
        assert_eq!(check(AuthMethods::MD5, "b", &["a", "b"], false), Some(AuthMethods::MD5));
        assert_eq!(check(AuthMethods::MD5, "c", &["a", "b"], false), None);
    }

    #[test]
    fn an_unknown_name_cannot_be_proved_not_even_with_an_empty_secret() {
        assert_eq!(check(AuthMethods::MD5, "", &[], false), None);
        assert_eq!(check(AuthMethods::PLAINTEXT, "", &[], true), None);
    }

    #[test]
    fn plaintext_leaves_only_where_it_is_allowed() {
        let plaintext = AuthMethods::PLAINTEXT;
        assert_eq!(check(plaintext, "a", &["a"], true), Some(plaintext));
        assert_eq!(check(plaintext, "a", &["a"], false), None);
        let both = AuthMethods::PLAINTEXT | AuthMethods::MD5;
        assert_eq!(check(both, "a", &["a"], true), Some(AuthMethods::MD5));
    }

    #[test]
    fn a_key_proves_where_rsa_is_offered_and_md5_steps_in_where_it_is_not() {
        let (ours, other) =
            (PrivateKey::generate([7; 32]).unwrap(), PrivateKey::generate([8; 32]).unwrap());
        let secret = Secret::from("a");
        let mut rng = ChaCha12Rng::from_seed([1; 32]);
        let mut check = |methods, inkey: &PrivateKey| {
            let challenge = Challenge {
                methods,
                keys: alloc::vec![inkey.public()],
                ..Challenge::md5("node", secret.clone())
            };
            let proof = Proof::new(challenge, &mut rng);
            let credentials =
                Credentials { secret: Some(&secret), key: Some(&ours), allow_plaintext: false };
            let mut answer = ElementBuffer::new();
            let elements = proof.elements();
            credentials.answer(&mut rng, Asked::read(elements.as_elements()), &mut answer)?;
            proof.verify(answer.as_elements())
        };
        let both = AuthMethods::RSA | AuthMethods::MD5;
        assert_eq!(check(both, &ours), Some(AuthMethods::RSA));
        assert_eq!(check(both, &other), None);
        assert_eq!(check(AuthMethods::MD5, &other), Some(AuthMethods::MD5));
    }
}
