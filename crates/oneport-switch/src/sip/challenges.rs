//! Challenges and proofs of digests (RFC 7616, RFC 8760), between what is on the wire and what the SIP
//! library can read: it knows SHA-256 by another name, one quality of protection alone, and takes the
//! first challenge whatever it is.

/// The name that RFC 7616 has for it, and that of the library.
const SHA_256: (&str, &str) = ("SHA-256", "SHA256");

/// A challenge or a proof: its scheme, and what it says, quoted as it came.
struct Said<'a> {
    scheme: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Said<'a> {
    fn read(value: &'a str) -> Option<Self> {
        let (scheme, rest) = value.trim().split_once(char::is_whitespace)?;
        let (mut quoted, mut escaped) = (false, false);
        let parts = rest.split(move |one| {
            match one {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                _ => {}
            }
            one == ',' && !quoted
        });
        let parameters = parts.filter_map(|part| part.split_once('='));
        let parameters = parameters.map(|(name, value)| (name.trim(), value.trim())).collect();
        Some(Self { scheme, parameters })
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        let found = self.parameters.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim_matches('"'))
    }

    /// The same with some of its values changed.
    fn with(&self, changed: &[(&str, Option<String>)]) -> String {
        let parameters = self.parameters.iter().filter_map(|(name, value)| {
            match changed.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
                Some((_, Some(new))) => Some(format!("{name}={new}")),
                Some((_, None)) => None,
                None => Some(format!("{name}={value}")),
            }
        });
        let parameters: Vec<String> = parameters.collect();
        format!("{} {}", self.scheme, parameters.join(", "))
    }
}

/// A challenge as the library can read it; `None`: it cannot be answered here.
pub(super) fn readable(challenge: &str) -> Option<String> {
    let said = Said::read(challenge)?;
    if !said.scheme.eq_ignore_ascii_case("Digest") {
        return None;
    }
    let algorithm = said.get("algorithm").unwrap_or("MD5");
    let algorithm = match algorithm {
        known if known.eq_ignore_ascii_case("MD5") => "MD5",
        known if known.eq_ignore_ascii_case(SHA_256.0) => SHA_256.1,
        _ => return None,
    };
    // A proof of the body is not made here.
    let qop = said.get("qop").map(|all| {
        all.split(',').any(|one| one.trim().eq_ignore_ascii_case("auth")).then(|| "\"auth\"".into())
    });
    let qop = match qop {
        Some(None) => return None,
        other => other.flatten(),
    };
    Some(said.with(&[("algorithm", Some(algorithm.into())), ("qop", qop)]))
}

/// A proof as it goes on the wire.
pub(super) fn sent(proof: &str) -> Option<String> {
    let said = Said::read(proof)?;
    let algorithm = said.get("algorithm").map(|algorithm| match algorithm == SHA_256.1 {
        true => SHA_256.0.to_string(),
        false => algorithm.to_string(),
    });
    // RFC 7616 §3.4 has it without quotation marks.
    let qop = said.get("qop").map(str::to_string);
    Some(said.with(&[("algorithm", algorithm), ("qop", qop)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_that_can_be_answered() {
        for (challenge, expected) in [
            ("Digest realm=\"a\", nonce=\"b\"", Some("Digest realm=\"a\", nonce=\"b\"")),
            (
                "Digest realm=\"a, b=c\",nonce=\"b\",algorithm=SHA-256,qop=\"auth,auth-int\"",
                Some("Digest realm=\"a, b=c\", nonce=\"b\", algorithm=SHA256, qop=\"auth\""),
            ),
            (
                "digest qop=auth, algorithm=\"md5\", realm=\"\\\",\"",
                Some("digest qop=\"auth\", algorithm=MD5, realm=\"\\\",\""),
            ),
            ("Digest realm=\"a\", qop=\"auth-int\"", None),
            ("Digest realm=\"a\", algorithm=SHA-512-256", None),
            ("Digest realm=\"a\", algorithm=MD5-sess", None),
            ("Basic realm=\"a\"", None),
            ("Digest", None),
        ] {
            assert_eq!(readable(challenge).as_deref(), expected, "{challenge}");
        }
    }

    #[test]
    fn a_proof_names_what_it_is_made_with_as_others_do() {
        let proof =
            "Digest username=\"us\", response=\"0\", algorithm=SHA256, qop=\"auth\", nc=00000001";
        let expected =
            "Digest username=\"us\", response=\"0\", algorithm=SHA-256, qop=auth, nc=00000001";
        assert_eq!(sent(proof).as_deref(), Some(expected));
        let old = "Digest username=\"us\", response=\"0\", algorithm=MD5";
        assert_eq!(sent(old).as_deref(), Some(old));
    }
}
