//! Who a phone is: challenges and their answers (digests of RFC 3261 §22 and RFC 8760).
//!
//! A challenge is kept nowhere: its nonce says when it was made, and a code that only we can make
//! shows that it is ours. What is kept is how often each nonce was used, so that nobody who has heard
//! an answer can give it once more.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use oneport_proto::Secret;
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

/// How long a nonce is good for. Who uses an older one is asked again, and is told that only the nonce
/// was at fault.
const LIFETIME: Duration = Duration::from_secs(300);
/// Nonces of which is known how often they were used. Where there are more, those that are older than
/// what is known count as used up.
const MOST_USED: usize = 65_536;
/// The longest header that is looked at.
const LONGEST: usize = 2_048;

/// How a secret is proved.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Algorithm {
    /// As all phones can.
    Md5,
    /// As newer ones can.
    Sha256,
}

impl Algorithm {
    /// As it stands in headers.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    /// The digest of a text, in lower-case hexadecimal.
    fn of(self, text: &str) -> String {
        match self {
            Self::Md5 => hex(&Md5::digest(text.as_bytes())),
            Self::Sha256 => hex(&Sha256::digest(text.as_bytes())),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a proof is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// The method of the request.
    pub(crate) method: &'a str,
    /// The user part of its URI, empty where it has none.
    pub(crate) user: &'a str,
}

/// What comes of a proof.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Proof {
    /// It is that of the phone.
    Good,
    /// It is not.
    Wrong,
    /// It may be, but for a nonce that is too old, or was used before.
    Stale,
    /// There is none, or none of the kind that was asked for.
    Missing,
}

/// An Authorization header (RFC 3261 §20.7).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Authorization {
    pub(crate) username: String,
    realm: String,
    nonce: String,
    uri: String,
    response: String,
    algorithm: Option<String>,
    qop: String,
    count: String,
    cnonce: String,
}

impl Authorization {
    /// Reads one; `None` where it is no digest.
    pub(crate) fn read(header: &str) -> Option<Self> {
        let (scheme, mut rest) = header.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("Digest") || header.len() > LONGEST {
            return None;
        }
        let mut read = Self::default();
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            let Some((name, behind)) = rest.split_once('=') else { return Some(read) };
            let value;
            (value, rest) = value_of(behind.trim_start())?;
            match name.trim().to_ascii_lowercase().as_str() {
                "username" => read.username = value,
                "realm" => read.realm = value,
                "nonce" => read.nonce = value,
                "uri" => read.uri = value,
                "response" => read.response = value,
                "algorithm" => read.algorithm = Some(value),
                "qop" => read.qop = value,
                "nc" => read.count = value,
                "cnonce" => read.cnonce = value,
                _ => {}
            }
        }
    }

    /// The way that it uses: MD5 where it names none (RFC 3261 §22.4).
    fn algorithm(&self) -> Option<Algorithm> {
        match &self.algorithm {
            None => Some(Algorithm::Md5),
            Some(name) => [Algorithm::Md5, Algorithm::Sha256]
                .into_iter()
                .find(|one| one.name().eq_ignore_ascii_case(name)),
        }
    }

    /// The user part of the URI that it was made for.
    fn user(&self) -> &str {
        let uri = self.uri.split_once(':').map_or(self.uri.as_str(), |(_, rest)| rest);
        uri.split_once('@').map_or("", |(user, _)| user)
    }
}

/// A value, quoted or not, and what stands behind it.
fn value_of(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(',').unwrap_or(text.len());
        return Some((text.get(..end)?.trim().into(), text.get(end..)?));
    };
    let mut value = String::new();
    let mut escaped = false;
    for (at, one) in quoted.char_indices() {
        match one {
            _ if escaped => {
                value.push(one);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return Some((value, quoted.get(at + 1..)?)),
            _ => value.push(one),
        }
    }
    None
}

/// How often nonces were used.
#[derive(Debug, Default)]
struct Used {
    /// By when they were made, and what tells those of the same time apart.
    counts: BTreeMap<(u64, u64), u32>,
    /// What was made up to then is used up.
    forgotten: u64,
}

impl Used {
    /// Notes that a nonce is used for this time; `false`: it was before.
    fn note(&mut self, now: Duration, nonce: (u64, u64), count: u32) -> bool {
        let expired = micros(now.saturating_sub(LIFETIME));
        while let Some(first) = self.counts.first_entry().filter(|one| one.key().0 < expired) {
            first.remove();
        }
        let known = self.counts.get(&nonce).copied();
        if nonce.0 <= self.forgotten && known.is_none() || known.is_some_and(|last| count <= last) {
            return false;
        }
        self.counts.insert(nonce, count);
        if self.counts.len() > MOST_USED
            && let Some(((made, _), _)) = self.counts.pop_first()
        {
            self.forgotten = made;
        }
        true
    }
}

/// Makes challenges and checks their answers. Times are those since its start.
#[derive(Debug)]
pub(crate) struct Prover {
    key: [u8; 64],
    /// In place of the secret of somebody who does not exist.
    nobody: Secret,
    used: Mutex<Used>,
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Prover {
    /// With a key that nobody else knows.
    pub(crate) fn new(key: [u8; 64]) -> Self {
        let nobody = Secret::from(hex(&Sha256::digest(key)));
        Self { key, nobody, used: Mutex::default() }
    }

    fn tag(&self, made: u64, random: u64) -> [u8; 16] {
        let mut mac = <Hmac<Sha256> as KeyInit>::new((&self.key).into());
        mac.update(&made.to_be_bytes());
        mac.update(&random.to_be_bytes());
        let whole = mac.finalize().into_bytes();
        let mut tag = [0; 16];
        tag.iter_mut().zip(whole).for_each(|(byte, of)| *byte = of);
        tag
    }

    fn nonce(&self, now: Duration) -> String {
        // 0 is what has been forgotten when nothing has.
        let (made, random) = (micros(now).max(1), fastrand::u64(..));
        format!("{made:016x}{random:016x}{}", hex(&self.tag(made, random)))
    }

    /// When a nonce of ours was made, and what tells it from others; `None`: it is not ours, or too old.
    fn read(&self, now: Duration, nonce: &str) -> Option<(u64, u64)> {
        let number = |range| u64::from_str_radix(nonce.get(range)?, 16).ok();
        let (made, random) = (number(0..16)?, number(16..32)?);
        let tag = hex(&self.tag(made, random));
        let ours = bool::from(tag.as_bytes().ct_eq(nonce.get(32..)?.as_bytes()));
        let age = micros(now).checked_sub(made)?;
        (ours && age <= micros(LIFETIME)).then_some((made, random))
    }

    /// Values of WWW-Authenticate headers, one for each way in which an answer may be made.
    pub(crate) fn challenge(
        &self,
        now: Duration,
        realm: &str,
        ways: &[Algorithm],
        stale: bool,
    ) -> Vec<String> {
        let nonce = self.nonce(now);
        let stale = if stale { ", stale=true" } else { "" };
        let one = |way: &Algorithm| {
            let name = way.name();
            format!(
                "Digest realm=\"{realm}\", nonce=\"{nonce}\", algorithm={name}, qop=\"auth\"{stale}"
            )
        };
        ways.iter().map(one).collect()
    }

    /// Looks whether an answer is that of somebody with one of these secrets. Without any, nobody is
    /// let in, and it takes as long.
    pub(crate) fn check(
        &self,
        now: Duration,
        realm: &str,
        ways: &[Algorithm],
        secrets: &[Secret],
        asked: Asked<'_>,
        answer: &Authorization,
    ) -> Proof {
        let Some(way) = answer.algorithm().filter(|way| ways.contains(way)) else {
            return Proof::Missing;
        };
        let count = match answer.count.len() {
            8 => u32::from_str_radix(&answer.count, 16).ok().filter(|count| *count > 0),
            _ => None,
        };
        let (true, true, Some(count), false) =
            (answer.realm == realm, answer.qop == "auth", count, answer.cnonce.is_empty())
        else {
            return Proof::Missing;
        };
        let Some(nonce) = self.read(now, &answer.nonce) else { return Proof::Stale };
        let nobody = [self.nobody.clone()];
        let candidates = if secrets.is_empty() { &nobody } else { secrets };
        let request = way.of(&format!("{}:{}", asked.method, answer.uri));
        let mut good = Choice::from(0);
        for secret in candidates {
            let user = way.of(&format!("{}:{realm}:{}", answer.username, secret.expose()));
            let Authorization { nonce, count, cnonce, qop, .. } = answer;
            let expected = way.of(&format!("{user}:{nonce}:{count}:{cnonce}:{qop}:{request}"));
            let given = answer.response.to_ascii_lowercase();
            good |= expected.as_bytes().ct_eq(given.as_bytes());
        }
        // What was proved for one number must not be used for another. Some name the host alone.
        let fits = answer.user().is_empty() || answer.user() == asked.user;
        if secrets.is_empty() || !bool::from(good) || !fits {
            return Proof::Wrong;
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        match used.note(now, nonce, count) {
            true => Proof::Good,
            false => Proof::Stale,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(7);
    const REGISTER: Asked<'_> = Asked { method: "REGISTER", user: "" };

    fn prover() -> Prover {
        Prover::new([7; 64])
    }

    /// The value of a parameter of a challenge.
    fn of<'a>(challenge: &'a str, name: &str) -> &'a str {
        let (_, rest) = challenge.split_once(&format!("{name}=")).expect(name);
        rest.trim_start_matches('"').split(['"', ',']).next().expect("a value")
    }

    /// What a phone says to a challenge, by RFC 7616 §3.4.1.
    fn answer(
        challenge: &str,
        way: Algorithm,
        secret: &str,
        count: u32,
        asked: Asked<'_>,
    ) -> String {
        let (realm, nonce) = (of(challenge, "realm"), of(challenge, "nonce"));
        let uri = match asked.user {
            "" => "sip:example.org".to_string(),
            user => format!("sip:{user}@example.org"),
        };
        let user = way.of(&format!("ann:{realm}:{secret}"));
        let request = way.of(&format!("{}:{uri}", asked.method));
        let response = way.of(&format!("{user}:{nonce}:{count:08x}:0a4f113b:auth:{request}"));
        format!(
            "Digest username=\"ann\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
             response=\"{response}\", algorithm={}, cnonce=\"0a4f113b\", qop=auth, nc={count:08x}",
            way.name()
        )
    }

    fn check(prover: &Prover, now: Duration, header: &str, secrets: &[&str]) -> Proof {
        let secrets: Vec<Secret> = secrets.iter().map(|secret| Secret::from(*secret)).collect();
        let answer = Authorization::read(header).expect("a digest");
        let ways = [Algorithm::Sha256, Algorithm::Md5];
        prover.check(now, "oneport", &ways, &secrets, REGISTER, &answer)
    }

    #[test]
    fn both_ways_prove_a_secret_and_no_other() {
        let prover = prover();
        let ways = [Algorithm::Sha256, Algorithm::Md5];
        let challenges = prover.challenge(START, "oneport", &ways, false);
        assert_eq!(challenges.len(), 2);
        for (way, challenge) in ways.into_iter().zip(&challenges) {
            assert_eq!(of(challenge, "algorithm"), way.name());
        }
        let nonce = |stale| prover.challenge(START, "oneport", &[Algorithm::Md5], stale).remove(0);
        assert!(nonce(true).ends_with("stale=true") && !nonce(false).contains("stale"));
        for way in ways {
            let header = |secret| answer(&nonce(false), way, secret, 1, REGISTER);
            assert_eq!(check(&prover, START, &header("right"), &["old", "right"]), Proof::Good);
            assert_eq!(check(&prover, START, &header("wrong"), &["right"]), Proof::Wrong);
            assert_eq!(check(&prover, START, &header("right"), &[]), Proof::Wrong, "nobody");
        }
    }

    #[test]
    fn a_digest_is_that_of_the_rfc() {
        // RFC 7616 §3.9.1.
        let header = "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", \
                      uri=\"/dir/index.html\", algorithm=SHA-256, \
                      nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, \
                      cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, \
                      response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\"";
        let read = Authorization::read(header).expect("a digest");
        let way = read.algorithm().expect("known");
        let user = way.of(&format!("Mufasa:{}:Circle of Life", read.realm));
        let request = way.of(&format!("GET:{}", read.uri));
        let Authorization { nonce, count, cnonce, qop, .. } = &read;
        let text = format!("{user}:{nonce}:{count}:{cnonce}:{qop}:{request}");
        assert_eq!(way.of(&text), read.response);
    }

    #[test]
    fn an_answer_is_good_once_and_for_one_request() {
        let prover = prover();
        let challenge = prover.challenge(START, "oneport", &[Algorithm::Md5], false).remove(0);
        let header = |count| answer(&challenge, Algorithm::Md5, "right", count, REGISTER);
        for (count, proof) in [
            (1, Proof::Good),
            (1, Proof::Stale),
            (2, Proof::Good),
            (5, Proof::Good),
            (4, Proof::Stale),
            (5, Proof::Stale),
        ] {
            assert_eq!(check(&prover, START, &header(count), &["right"]), proof, "count {count}");
        }
        let call = |user| Asked { method: "INVITE", user };
        let header = answer(&challenge, Algorithm::Md5, "right", 9, call("100"));
        let read = Authorization::read(&header).expect("a digest");
        let secrets = [Secret::from("right")];
        let check =
            |asked| prover.check(START, "oneport", &[Algorithm::Md5], &secrets, asked, &read);
        assert_eq!(check(call("900123456789")), Proof::Wrong);
        assert_eq!(check(Asked { method: "REGISTER", user: "100" }), Proof::Wrong);
        assert_eq!(check(call("100")), Proof::Good);
        // sipp names the host alone.
        let header = answer(&challenge, Algorithm::Md5, "right", 10, call(""));
        let read = Authorization::read(&header).expect("a digest");
        let ways = [Algorithm::Md5];
        let proof = prover.check(START, "oneport", &ways, &secrets, call("100"), &read);
        assert_eq!(proof, Proof::Good);
    }

    #[test]
    fn a_nonce_that_is_old_or_not_ours_is_asked_for_again() {
        let prover = prover();
        let challenge = prover.challenge(START, "oneport", &[Algorithm::Md5], false).remove(0);
        let header = answer(&challenge, Algorithm::Md5, "right", 1, REGISTER);
        let late = START + LIFETIME + Duration::from_millis(1);
        assert_eq!(check(&prover, late, &header, &["right"]), Proof::Stale);
        assert_eq!(check(&Prover::new([8; 64]), START, &header, &["right"]), Proof::Stale);
        assert_eq!(check(&prover, Duration::ZERO, &header, &["right"]), Proof::Stale, "too early");
        assert_eq!(check(&prover, START + LIFETIME, &header, &["right"]), Proof::Good);
    }

    #[test]
    fn what_was_not_asked_for_is_no_proof() {
        let prover = prover();
        let challenge = prover.challenge(START, "oneport", &[Algorithm::Md5], false).remove(0);
        let header = answer(&challenge, Algorithm::Md5, "right", 1, REGISTER);
        for (from, to) in [
            ("qop=auth", "qop=auth-int"),
            (", qop=auth", ""),
            ("nc=00000001", "nc=1"),
            ("nc=00000001", "nc=00000000"),
            ("algorithm=MD5", "algorithm=MD5-sess"),
            ("realm=\"oneport\"", "realm=\"asterisk\""),
            ("cnonce=\"0a4f113b\"", "cnonce=\"\""),
        ] {
            let other = header.replace(from, to);
            assert_eq!(check(&prover, START, &other, &["right"]), Proof::Missing, "{to}");
        }
        for none in ["", "Basic abc", "Digest", "Digest username=\"ann"] {
            assert_eq!(Authorization::read(none), None, "{none}");
        }
    }

    #[test]
    fn no_more_nonces_are_remembered_than_there_is_room_for() {
        let mut used = Used::default();
        for made in 1..=MOST_USED as u64 + 10 {
            assert!(used.note(START, (made, 0), 1));
        }
        assert_eq!(used.counts.len(), MOST_USED);
        assert!(!used.note(START, (5, 0), 2), "forgotten, so used up");
        assert!(!used.note(START, (10, 7), 1), "as old as what was forgotten");
        assert!(used.note(START, (11, 0), 2));
        let late = Duration::from_micros(MOST_USED as u64 + 20) + LIFETIME;
        assert!(used.note(late, (MOST_USED as u64 + 15, 0), 1));
        assert_eq!(used.counts.len(), 1, "the others are too old for any use");
    }
}
