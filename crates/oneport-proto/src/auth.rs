//! Proving who somebody is: challenge and answer (RFC 5456 §6.2.5, §6.1.3).

use alloc::string::String;
use alloc::vec::Vec;

use oneport_wire::{AuthMethods, Element, ElementBuffer, Elements};
use rand_chacha::ChaCha12Rng;
use rand_core::Rng;

use crate::secret::Secret;

/// What a caller, or a peer that registers, must prove.
#[derive(Clone, PartialEq, Debug)]
pub struct Challenge {
    /// Methods to offer. MD5 is used when both sides know it.
    pub methods: AuthMethods,
    /// The name under which the peer came.
    pub username: String,
    /// Secrets of which any one proves it. With none the proof fails, as slowly and in the same
    /// frames as a wrong one.
    pub secrets: Vec<Secret>,
}

impl Challenge {
    /// MD5 with one secret.
    #[must_use]
    pub fn md5(username: impl Into<String>, secret: Secret) -> Self {
        Self { methods: AuthMethods::MD5, username: username.into(), secrets: alloc::vec![secret] }
    }

    /// A challenge nobody can meet, for names that do not exist: strangers do not learn which do.
    #[must_use]
    pub fn unknown(username: impl Into<String>) -> Self {
        Self { methods: AuthMethods::MD5, username: username.into(), secrets: Vec::new() }
    }
}

/// A challenge that was sent, with what its answer must be.
#[derive(Debug)]
pub(crate) struct Proof {
    challenge: Challenge,
    /// Decimal digits, as all peers send them.
    digits: [u8; 9],
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
        Self { challenge, digits }
    }

    pub(crate) fn username(&self) -> &str {
        &self.challenge.username
    }

    /// The elements of AUTHREQ and REGAUTH.
    pub(crate) fn elements(&self) -> ElementBuffer {
        let mut buffer = ElementBuffer::new();
        buffer.push(&Element::AuthMethods(self.challenge.methods));
        buffer.push(&Element::Challenge(&self.digits));
        buffer.push(&Element::Username(self.challenge.username.as_str().into()));
        buffer
    }

    /// The method by which `elements` (of AUTHREP or REGREQ) prove knowledge of a secret.
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
                    (AuthMethods::MD5, any)
                }
                Element::Password(password) if methods.contains(AuthMethods::PLAINTEXT) => {
                    let mut any = false;
                    for secret in secrets {
                        any |= secret.proves_plaintext(password.as_bytes());
                    }
                    (AuthMethods::PLAINTEXT, any)
                }
                _ => continue,
            };
            if proves && real {
                proved = Some(method);
            }
        }
        proved
    }
}

/// Our side: how an AUTHREQ or REGAUTH is answered.
pub(crate) struct Credentials<'a> {
    pub(crate) secret: Option<&'a Secret>,
    pub(crate) allow_plaintext: bool,
}

impl Credentials<'_> {
    /// Puts the answer to the challenge in `elements` into `buffer`: MD5 where it is offered,
    /// plaintext only where we allow it. `false`: we cannot answer.
    pub(crate) fn answer(&self, elements: Elements<'_>, buffer: &mut ElementBuffer) -> bool {
        let Some(secret) = self.secret else { return false };
        let (mut methods, mut challenge) = (AuthMethods(0), None);
        for element in elements.iter() {
            match element {
                Element::AuthMethods(offered) => methods = offered,
                Element::Challenge(digits) => challenge = Some(digits),
                _ => {}
            }
        }
        match challenge {
            Some(digits) if methods.contains(AuthMethods::MD5) => {
                let result = secret.md5_result(digits);
                buffer.push(&Element::Md5Result(result.as_slice().into()));
                true
            }
            _ if methods.contains(AuthMethods::PLAINTEXT) && self.allow_plaintext => {
                buffer.push(&Element::Password(secret.expose().into()));
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    fn check(
        methods: AuthMethods,
        theirs: &str,
        ours: &[&str],
        allow: bool,
    ) -> Option<AuthMethods> {
        let challenge = Challenge {
            methods,
            username: "node".into(),
            secrets: ours.iter().map(|secret| Secret::from(*secret)).collect(),
        };
        let proof = Proof::new(challenge, &mut ChaCha12Rng::from_seed([1; 32]));
        let secret = Secret::from(theirs);
        let credentials = Credentials { secret: Some(&secret), allow_plaintext: allow };
        let mut answer = ElementBuffer::new();
        credentials.answer(proof.elements().as_elements(), &mut answer).then_some(())?;
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
        let both = AuthMethods(AuthMethods::PLAINTEXT.0 | AuthMethods::MD5.0);
        assert_eq!(check(both, "a", &["a"], true), Some(AuthMethods::MD5));
    }
}
