//! Handshakes of DTLS in SDP (RFC 5763): certificates by their hash (`a=fingerprint`, RFC 8122), who begins
//! (`a=setup`, RFC 4145), and which one it is (`a=tls-id`, RFC 8842).

use std::fmt;

use sdp_types::{Media, Session};
use sha2::{Digest, Sha256, Sha384, Sha512};

/// So many fingerprints of a line are looked at.
const MOST: usize = 8;

/// Bytes of the longest hash.
const LONGEST: usize = 64;

/// The hash of a fingerprint: weaker ones prove nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    /// How many bytes it has.
    const fn length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => LONGEST,
        }
    }

    fn of(self, certificate: &[u8]) -> Fingerprint {
        let mut bytes = [0; LONGEST];
        let (place, _) = bytes.split_at_mut(self.length());
        match self {
            Self::Sha256 => place.copy_from_slice(&Sha256::digest(certificate)),
            Self::Sha384 => place.copy_from_slice(&Sha384::digest(certificate)),
            Self::Sha512 => place.copy_from_slice(&Sha512::digest(certificate)),
        }
        Fingerprint { hash: self, bytes }
    }
}

/// By which hash a certificate is known. It prints as descriptions have it: `sha-256 AB:CD:…`.
///
/// ```
/// use oneport_switch::sip::sdp::Fingerprint;
///
/// let print = Fingerprint::of(b"a certificate (DER)");
/// assert!(print.is_of(b"a certificate (DER)") && !print.is_of(b"another"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fingerprint {
    hash: Hash,
    /// As long as the hash is; zeros follow.
    bytes: [u8; LONGEST],
}

impl Fingerprint {
    /// That of a certificate (DER), by SHA-256.
    #[must_use]
    pub fn of(certificate: &[u8]) -> Self {
        Hash::Sha256.of(certificate)
    }

    /// Whether it is that of this certificate (DER).
    #[must_use]
    pub fn is_of(&self, certificate: &[u8]) -> bool {
        self.hash.of(certificate) == *self
    }

    /// Reads a value of `a=fingerprint`. `None`: it is malformed, or of a hash that proves nothing.
    fn read(value: &str) -> Option<Self> {
        let (name, digits) = value.trim().split_once(' ')?;
        let hash = Hash::ALL.into_iter().find(|hash| hash.name().eq_ignore_ascii_case(name))?;
        let byte = |pair: &str| match pair.as_bytes() {
            [high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                u8::from_str_radix(pair, 16).ok()
            }
            _ => None,
        };
        let mut bytes = [0; LONGEST];
        let mut pairs = digits.trim().split(':');
        for place in bytes.iter_mut().take(hash.length()) {
            *place = byte(pairs.next()?)?;
        }
        pairs.next().is_none().then_some(Self { hash, bytes })
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hash.name())?;
        for (place, byte) in self.bytes.iter().take(self.hash.length()).enumerate() {
            write!(f, "{}{byte:02X}", if place == 0 { ' ' } else { ':' })?;
        }
        Ok(())
    }
}

/// Who begins a handshake, as whoever says it sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Setup {
    Active,
    Passive,
    /// Whoever answers chooses.
    ActPass,
    /// Neither side: the connection waits for another offer (RFC 4145 §4).
    HoldConn,
}

impl Setup {
    const ALL: [Self; 4] = [Self::Active, Self::Passive, Self::ActPass, Self::HoldConn];

    /// That of one who begins, or who does not.
    pub(super) const fn of(begins: bool) -> Self {
        if begins { Self::Active } else { Self::Passive }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::ActPass => "actpass",
            Self::HoldConn => "holdconn",
        }
    }
}

/// What a line says of its handshake. A line that says nothing has what the session says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Told {
    pub(super) fingerprints: Vec<Fingerprint>,
    pub(super) setup: Option<Setup>,
    pub(super) id: Option<String>,
}

impl Told {
    pub(super) fn read(session: &Session, media: &Media) -> Self {
        let all = |name: &'static str| -> Vec<&str> {
            let of_media: Vec<&str> = media.get_attribute_values(name).flatten().collect();
            match of_media.is_empty() {
                false => of_media,
                true => session.get_attribute_values(name).flatten().collect(),
            }
        };
        let setup = all("setup");
        let setup = setup.first().and_then(|value| {
            Setup::ALL.into_iter().find(|one| one.name().eq_ignore_ascii_case(value.trim()))
        });
        let fingerprints = all("fingerprint").into_iter().filter_map(Fingerprint::read);
        Self {
            fingerprints: fingerprints.take(MOST).collect(),
            setup,
            id: all("tls-id").first().map(|id| id.trim().to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_it_is_written_and_is_that_of_one_certificate() {
        let ours = Fingerprint::of(b"a certificate");
        let text = ours.to_string();
        assert!(text.starts_with("sha-256 ") && text.len() == 8 + 32 * 3 - 1, "{text}");
        for text in [text.clone(), text.to_lowercase(), text.to_uppercase()] {
            assert_eq!(Fingerprint::read(&text).as_ref(), Some(&ours));
        }
        assert!(ours.is_of(b"a certificate") && !ours.is_of(b"another"));
        for hash in Hash::ALL {
            let long = hash.of(b"a certificate");
            assert_eq!(Fingerprint::read(&long.to_string()).as_ref(), Some(&long));
            assert!(long.is_of(b"a certificate"));
        }
    }

    #[test]
    fn what_is_no_fingerprint_or_proves_nothing_is_left_out() {
        let good = Fingerprint::of(b"").to_string();
        let sha1 = format!("sha-1 {}", vec!["AB"; 20].join(":"));
        for wrong in [
            "",
            "sha-256",
            "sha-256 AB:CD",
            &sha1,
            &good.replace("sha-256", "sha-512"),
            &good.replace(':', ""),
            &format!("{good}:00"),
            &good.replacen(':', ":+", 1),
        ] {
            assert_eq!(Fingerprint::read(wrong), None, "{wrong}");
        }
    }
}
