//! `profile` of `[server]`: rules for a whole kind of switch, and what in a file contradicts them.

use std::collections::BTreeMap;
use std::sync::Arc;

use oneport_proto::{EncryptionPolicy, TokenRule};
use oneport_wire::CauseCode;

use super::error::ConfigError;
use super::file::File;
use super::source::Source;
use super::spanned::Spanned;
use super::{Config, Peer};
use crate::limits::{LimitConfig, Scope};
use crate::sip::sdp::SrtpUse;

/// The words for profiles.
pub(super) const PROFILES: [&str; 2] = ["general", Profile::AmateurRadio.name()];

/// The limit on old clients, unless the file has one of this name.
const QUARANTINE: &str = "quarantine";

/// Their calls at once, and those that begin in a second.
const QUARANTINED: (usize, usize) = (2, 1);

/// What kind of switch it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Profile {
    /// Its calls go over the air of amateurs, where nothing may be encrypted.
    AmateurRadio,
}

impl Profile {
    /// Its name, which stays.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::AmateurRadio => "amateur-radio",
        }
    }

    pub(super) fn read(
        source: &Source<'_>,
        word: &Spanned<String>,
    ) -> Result<Option<Self>, ConfigError> {
        match word.get_ref().as_str() {
            "general" => Ok(None),
            "amateur-radio" => Ok(Some(Self::AmateurRadio)),
            _ => Err(source.unknown_word(word, "profile", &PROFILES)),
        }
    }
}

impl File {
    /// What amateur radio forbids, and the file has.
    pub(super) fn check_for_radio(&self, source: &Source<'_>) -> Result<(), ConfigError> {
        let clear = "with profile = \"amateur-radio\" nothing is encrypted: leave the key out";
        let is_on = |word: &&Spanned<String>| word.get_ref() != "off";
        let peers = self.peers.values();
        let of_peers = peers.flat_map(|keys| [keys.encryption.as_ref(), keys.srtp.as_ref()]);
        let of_carriers = self.carriers.values().map(|keys| keys.srtp.as_ref());
        let all = of_peers.chain(of_carriers).chain([self.server.encryption.as_ref()]).flatten();
        if let Some(word) = all.into_iter().find(is_on) {
            let what = format!("`{}`: amateur radio is in the clear", word.get_ref());
            return Err(source.wrong(word, what).with_help(clear));
        }
        let by_tls = self.carriers.values().filter_map(|keys| keys.transport.as_ref());
        let by_tls = by_tls.filter(|word| word.get_ref() == "tls");
        if let Some(word) = by_tls.chain(&self.sip.tls).next() {
            let error = source.wrong(word, "TLS encrypts, and amateur radio is in the clear");
            return Err(error.with_help("choose UDP or TCP, or leave the profile out"));
        }
        if let Some(network) = self.server.call_token_optional.first() {
            let error =
                source.wrong(network, "with profile = \"amateur-radio\" call tokens are required");
            let help = "for one old client: call_token = \"optional\" at its peer, which is in the quarantine then";
            return Err(error.with_help(help));
        }
        Ok(())
    }
}

/// Puts old clients, which need no call token, into a quarantine: a limit on all of them together.
pub(super) fn quarantine(
    source: &Source<'_>,
    profile: &Spanned<String>,
    rules: &BTreeMap<String, TokenRule>,
    peers: &BTreeMap<String, Arc<Peer>>,
    limits: &mut Vec<LimitConfig>,
) -> Result<(), ConfigError> {
    let is_old = |rule: &TokenRule| matches!(rule, TokenRule::No | TokenRule::Auto);
    let old = rules.iter().filter(|(_, rule)| is_old(rule)).map(|(name, _)| name.clone());
    let old: Vec<String> = old.collect();
    if old.is_empty() {
        return Ok(());
    }
    let has_no_proof = |name: &&String| peers.get(*name).is_none_or(|peer| !peer.has_proof());
    if let Some(name) = old.iter().find(has_no_proof) {
        let what = format!(
            "`{name}` needs no call token, and has no secret: anybody could write its address"
        );
        return Err(source
            .wrong(profile, what)
            .with_help("give it a secret, or call_token = \"required\""));
    }
    if let Some(own) = limits.iter().find(|limit| limit.name == QUARANTINE) {
        let holds = match &own.scope {
            Scope::Peers(names) => old.iter().all(|name| names.contains(name)),
            _ => false,
        };
        if !holds || own.soft || own.max_calls.is_none() {
            let what =
                format!("limit `{QUARANTINE}` does not hold all old clients: {}", old.join(", "));
            let help = "give it all of them as `peers`, and max_calls; or leave it out";
            return Err(source.wrong(profile, what).with_help(help));
        }
        return Ok(());
    }
    let (calls, per_second) = QUARANTINED;
    limits.push(LimitConfig {
        name: QUARANTINE.into(),
        scope: Scope::Peers(old),
        direction: None,
        max_calls: Some(calls),
        max_calls_per_second: Some(per_second),
        reserved_inbound: 0,
        soft: false,
        cause: CauseCode::CIRCUIT_CONGESTION,
        warn_percent: 100,
        notice: None,
    });
    Ok(())
}

impl Config {
    /// Whether calls are encrypted: `off` (none is), `allowed` (some may be) or `required` (all are).
    pub(crate) fn encryption_in_use(&self) -> &'static str {
        let by_iax = self.peers.iter().filter(|(name, _)| !self.is_behind_gateway(name));
        let by_iax = by_iax.map(|(_, peer)| match peer.encryption {
            EncryptionPolicy::Off => (false, false),
            EncryptionPolicy::Allowed => (true, false),
            EncryptionPolicy::Required => (true, true),
        });
        let by_sip = self.phones.values().map(|phone| phone.srtp);
        let by_sip = by_sip.chain(self.carriers.values().map(|carrier| carrier.srtp));
        let by_sip = by_sip.map(|srtp| match srtp {
            SrtpUse::Off => (false, false),
            SrtpUse::Accepted => (true, false),
            SrtpUse::Required | SrtpUse::Handshake => (true, true),
        });
        let all: Vec<(bool, bool)> = by_iax.chain(by_sip).collect();
        match (all.iter().any(|(may, _)| *may), all.iter().all(|(_, must)| *must)) {
            (false, _) => "off",
            (true, false) => "allowed",
            (true, true) => "required",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let text = format!("[server]\nprofile = \"amateur-radio\"\n{text}");
        Config::parse(Path::new("test.toml"), &text).map_err(|error| error.message)
    }

    #[test]
    fn what_encrypts_contradicts_amateur_radio() {
        let peer = "[peers.ann]\nsecret = \"s\"\n";
        for (keys, said) in [
            ("encryption = \"allowed\"\n".into(), "`allowed`: amateur radio is in the clear"),
            (format!("{peer}encryption = \"required\"\n"), "`required`: amateur radio"),
            (format!("{peer}protocol = \"sip\"\nsrtp = \"dtls\"\n"), "`dtls`: amateur radio"),
            (
                "[carriers.a]\nhost = \"192.0.2.1\"\nsrtp = \"allowed\"\n".into(),
                "`allowed`: amateur",
            ),
            ("[carriers.a]\nhost = \"192.0.2.1\"\ntransport = \"tls\"\n".into(), "TLS encrypts"),
            ("[sip]\ntls = [\"0.0.0.0:5061\"]\n".into(), "TLS encrypts"),
            ("call_token_optional = [\"192.0.2.0/24\"]\n".into(), "call tokens are required"),
            (
                "[peers.ann]\naddress = \"192.0.2.1\"\ncall_token = \"optional\"\n".into(),
                "`ann` needs no call token, and has no secret",
            ),
        ] {
            let error = read(&keys).expect_err(&keys);
            assert!(error.contains(said), "{keys}: {error}");
        }
        let off = format!("encryption = \"off\"\n{peer}encryption = \"off\"\n");
        assert_eq!(read(&off).expect("nothing is encrypted").encryption_in_use(), "off");
    }

    #[test]
    fn old_clients_are_in_a_quarantine_which_the_file_may_widen_and_not_leave() {
        let old = "[peers.ann]\nsecret = \"s\"\ncall_token = \"optional\"\n\
                   [peers.bob]\nsecret = \"t\"\ncall_token = \"auto\"\n[peers.cid]\nsecret = \"u\"\n";
        let config = read(old).expect("good");
        let [limit] = &*config.limits else { panic!("{:?}", config.limits) };
        assert_eq!(
            (limit.name.as_str(), limit.max_calls, limit.max_calls_per_second),
            (QUARANTINE, Some(2), Some(1))
        );
        assert!(matches!(&limit.scope, Scope::Peers(names) if *names == ["ann", "bob"]));
        let own = "[[limits]]\nname = \"quarantine\"\nmax_calls = 5\n";
        let config = read(&format!("{old}{own}peers = [\"ann\", \"bob\"]\n")).expect("good");
        assert_eq!(config.limits.len(), 1);
        for lax in ["peers = [\"ann\"]\n", "", "peers = [\"ann\", \"bob\"]\nsoft = true\n"] {
            let error = read(&format!("{old}{own}{lax}")).expect_err(lax);
            assert!(error.contains("does not hold all old clients: ann, bob"), "{error}");
        }
        assert!(read("[peers.cid]\nsecret = \"u\"\n").expect("good").limits.is_empty());
    }

    #[test]
    fn how_much_is_encrypted_is_said_of_all_peers_together() {
        let of = |text: &str| {
            let config = Config::parse(Path::new("test.toml"), text).expect("good");
            config.encryption_in_use()
        };
        let (clear, may, must) = (
            "[peers.a]\nsecret = \"s\"\n",
            "[peers.b]\nsecret = \"s\"\nencryption = \"allowed\"\n",
            "[peers.c]\nsecret = \"s\"\nencryption = \"required\"\n",
        );
        assert_eq!((of(""), of(clear), of(may), of(must)), ("off", "off", "allowed", "required"));
        assert_eq!(of(&format!("{clear}{must}")), "allowed");
    }
}
