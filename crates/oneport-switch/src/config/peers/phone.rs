//! Peers that speak SIP: which keys they have, and what the gateway is told of them.

use oneport_media::ilbc::Mode;

use super::PeerKeys;
use crate::config::Peer;
use crate::config::error::ConfigError;
use crate::config::sip::{read_ilbc, read_srtp};
use crate::config::source::Source;
use crate::config::spanned::Spanned;
use crate::config::tones::DTMF;
use crate::inband::KeyRule;
use crate::sip::phones::digest::Algorithm;
use crate::sip::sdp::SrtpUse;
use crate::sip::settings::{Keys, Mwi, PhoneConfig, Watch};

/// What a peer speaks.
pub(super) const PROTOCOLS: [&str; 2] = ["iax2", "sip"];

/// What a phone has that a peer has not.
pub(in crate::config) struct PhoneKeys {
    digests: Vec<Algorithm>,
    keys: Keys,
    mwi: Mwi,
    srtp: SrtpUse,
    ilbc: Mode,
}

impl PeerKeys {
    /// What a peer has as a phone that speaks SIP; `None`: it speaks IAX2.
    pub(in crate::config) fn read_phone(
        &self,
        source: &Source<'_>,
    ) -> Result<Option<PhoneKeys>, ConfigError> {
        let is_phone = match &self.protocol {
            None => false,
            Some(word) => match word.get_ref().as_str() {
                "iax2" => false,
                "sip" => true,
                _ => return Err(source.unknown_word(word, "protocol", &PROTOCOLS)),
            },
        };
        let srtp = read_srtp(source, self.srtp.as_ref())?;
        let ilbc = read_ilbc(source, self.ilbc_ms.as_ref())?;
        let mwi = match &self.mwi {
            None => Mwi::Auto,
            Some(word) => Mwi::named(word.get_ref())
                .ok_or_else(|| source.unknown_word(word, "way to be told", &Mwi::NAMES))?,
        };
        // What is so anyway may be said of any peer.
        let asks = self.mwi.as_ref().filter(|_| mwi != Mwi::Auto);
        let words = self.auth.iter().flatten();
        if !is_phone {
            if let Some(word) = words.into_iter().find(|word| word.get_ref() == "sha256") {
                let error = source.wrong(word, "IAX2 knows no `sha256`");
                return Err(error.with_help("choose md5 or rsa, or protocol = \"sip\""));
            }
            if let Some(word) = self.dtmf.as_ref().filter(|word| word.get_ref() == "info") {
                let error = source.wrong(word, "IAX2 knows no `info`");
                return Err(error.with_help("leave it out: keys are frames of their own there"));
            }
            if let Some(word) = self.srtp.as_ref().filter(|_| srtp != SrtpUse::Off) {
                let error = source.wrong(word, "IAX2 knows no `srtp`");
                return Err(error.with_help("it has `encryption`"));
            }
            if let Some(key) = self.ilbc_ms.as_ref().filter(|_| ilbc != Mode::Ms30) {
                let error = source.wrong(key, "IAX2 knows no `ilbc_ms`");
                return Err(error.with_help("leave it out: frames of iLBC have 30 ms there"));
            }
            if let Some(word) = asks {
                let error = source.wrong(word, "IAX2 knows no `mwi`");
                return Err(error.with_help("it has `message_waiting_frames`"));
            }
            return Ok(None);
        }
        let Some(protocol) = &self.protocol else { return Ok(None) };
        if self.secret.is_none() && self.secret_file.is_none() && self.secret_env.is_none() {
            let error = source.wrong(protocol, "a phone that speaks SIP proves itself by a secret");
            return Err(error.with_help("add `secret`, `secret_file` or `secret_env`"));
        }
        if let Some(key) = self.not_of_phones() {
            let what = format!("a peer that speaks SIP has no `{key}`");
            let help = match key {
                "address" => "it registers; a system with a fixed address is a [carriers.NAME]",
                _ => "leave the key out: it is of IAX2",
            };
            return Err(source.wrong(protocol, what).with_help(help));
        }
        if let Some(word) = asks.filter(|_| self.mailbox.is_none()) {
            let error = source.wrong(word, "there is no mailbox to be told of");
            return Err(error.with_help("add `mailbox`"));
        }
        let mut digests = Vec::new();
        for word in words {
            digests.push(match word.get_ref().as_str() {
                "md5" => Algorithm::Md5,
                "sha256" => Algorithm::Sha256,
                _ => return Err(source.unknown_word(word, "way to prove a secret", &DIGESTS)),
            });
        }
        if digests.is_empty() {
            digests.push(Algorithm::Md5);
        }
        let keys = match &self.dtmf {
            None => Keys::Events,
            Some(word) => match word.get_ref().as_str() {
                "frames" => Keys::Events,
                "info" => Keys::Info,
                "inband" => Keys::Inband,
                "inband_from" | "inband_to" => {
                    let error = source.wrong(word, "SIP has keys one way in both directions");
                    return Err(error.with_help("choose frames, info or inband"));
                }
                _ => return Err(source.unknown_word(word, "way of keys", &DTMF)),
            },
        };
        Ok(Some(PhoneKeys { digests, keys, mwi, srtp, ilbc }))
    }

    /// A key that is there, and that no phone has.
    fn not_of_phones(&self) -> Option<&'static str> {
        let text = |key: &Option<Spanned<String>>| key.is_some();
        let keys = [
            ("address", text(&self.address)),
            ("allstar", self.allstar || self.allstar_check.is_some()),
            ("username", self.username.is_some()),
            ("inkeys", !self.inkeys.is_empty()),
            ("outkey", self.outkey.is_some()),
            ("encryption", text(&self.encryption)),
            ("call_token", text(&self.call_token)),
            ("video", !self.video.is_empty()),
            ("connected_line", text(&self.connected_line)),
            ("qualify_smoothing", self.qualify_smoothing.is_some()),
            ("autokill_ms", self.autokill_ms.is_some()),
            ("transfer", text(&self.transfer)),
            ("trunk", self.trunk.is_some()),
            ("trunk_timestamps", self.trunk_timestamps.is_some()),
            ("trunk_max_datagram", self.trunk_max_datagram.is_some()),
            ("trunk_interval_ms", self.trunk_interval_ms.is_some()),
            ("trunk_gather_ms", self.trunk_gather_ms.is_some()),
            ("message_waiting_frames", self.message_waiting_frames.is_some()),
            ("provision", self.provision.is_some()),
        ];
        keys.into_iter().find(|(_, is_there)| *is_there).map(|(name, _)| name)
    }
}

/// How a phone may prove its secret.
const DIGESTS: [&str; 2] = ["md5", "sha256"];

impl PhoneKeys {
    /// Makes a phone of a peer: what the gateway does is the gateway's, and the rest stays the switch's.
    pub(in crate::config) fn of(self, name: &str, peer: &mut Peer) -> PhoneConfig {
        peer.username = Some(name.into());
        // A phone may take its time before it says anything.
        peer.autokill = None;
        peer.encryption = oneport_proto::EncryptionPolicy::Off;
        let in_voice = self.keys == Keys::Inband;
        peer.keys_by = KeyRule { hears: in_voice, speaks: in_voice, ..peer.keys_by };
        // The gateway tells it.
        peer.told_of_messages = peer.mailbox.is_some();
        PhoneConfig {
            // Those of the peer are drawn when the gateway starts.
            secrets: std::mem::take(&mut peer.secrets),
            digests: self.digests,
            acls: peer.acls.clone(),
            refresh: peer.refresh,
            watch: peer.qualify.take().map(|qualify| Watch {
                limit: qualify.limit,
                interval: qualify.interval,
                not_ok_interval: qualify.not_ok_interval,
            }),
            codecs: peer.codecs.clone(),
            keys: self.keys,
            srtp: self.srtp,
            ilbc: self.ilbc,
            mwi: peer.mailbox.is_some().then_some(self.mwi),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use oneport_media::ilbc::Mode;

    use crate::config::Config;
    use crate::sip::phones::digest::Algorithm;
    use crate::sip::settings::Keys;

    fn read(keys: &str) -> Result<Config, String> {
        let text = format!("[peers.desk]\nprotocol = \"sip\"\n{keys}");
        Config::parse(Path::new("test.toml"), &text).map_err(|error| error.message)
    }

    #[test]
    fn a_phone_is_a_peer_whose_secret_the_gateway_has() {
        let keys = "secret = \"s\"\nauth = [\"sha256\", \"md5\"]\ndtmf = \"info\"\n\
                    ilbc_ms = 20\nmax_refresh = 600\npermit = [\"192.0.2.0/24\"]\n";
        let config = read(keys).expect("good");
        let (peer, phone) = (&config.peers["desk"], &config.phones["desk"]);
        assert!(peer.secrets.is_empty() && !peer.has_proof(), "by IAX2 nobody is this peer");
        assert!(peer.qualify.is_none() && phone.watch.is_some(), "it is not asked by IAX2");
        assert_eq!(phone.secrets.len(), 1);
        assert_eq!(phone.digests, [Algorithm::Sha256, Algorithm::Md5]);
        assert_eq!((phone.keys, phone.ilbc), (Keys::Info, Mode::Ms20));
        assert_eq!(phone.refresh.1.as_secs(), 600);
        assert!(phone.permits([192, 0, 2, 7].into()) && !phone.permits([10, 0, 0, 1].into()));
        assert_eq!(config.peers["desk"].username.as_deref(), Some("desk"));
    }

    #[test]
    fn what_no_phone_has_is_refused() {
        for (keys, message) in [
            ("", "a phone that speaks SIP proves itself by a secret"),
            (
                "secret = \"s\"\naddress = \"192.0.2.1\"\n",
                "a peer that speaks SIP has no `address`",
            ),
            ("secret = \"s\"\ntrunk = true\n", "a peer that speaks SIP has no `trunk`"),
            ("secret = \"s\"\nauth = [\"plaintext\"]\n", "`plaintext` is no way to prove a secret"),
            ("secret = \"s\"\ndtmf = \"inband_to\"\n", "SIP has keys one way"),
            ("secret = \"s\"\nsrtp = \"zrtp\"\n", "`zrtp` is no use of SRTP"),
            ("secret = \"s\"\nilbc_ms = 25\n", "iLBC has no frames of 25 ms"),
            ("secret = \"s\"\nmwi = \"subscribed\"\n", "there is no mailbox to be told of"),
            ("secret = \"s\"\nmailbox = \"m\"\nmwi = \"often\"\n", "`often` is no way to be told"),
        ] {
            let error = read(keys).expect_err(keys);
            assert!(error.contains(message), "{keys}: {error}");
        }
        for (keys, message) in [
            ("auth = [\"sha256\"]", "IAX2 knows no `sha256`"),
            ("dtmf = \"info\"", "IAX2 knows no `info`"),
            ("mwi = \"subscribed\"", "IAX2 knows no `mwi`"),
            ("ilbc_ms = 20", "IAX2 knows no `ilbc_ms`"),
            ("srtp = \"allowed\"", "IAX2 knows no `srtp`"),
            ("protocol = \"h323\"", "protocol"),
        ] {
            let text = format!("[peers.desk]\nsecret = \"s\"\n{keys}\n");
            let error = Config::parse(Path::new("test.toml"), &text).expect_err(keys).message;
            assert!(error.contains(message), "{keys}: {error}");
        }
    }
}
