//! `[peers]`: who is known, and the check of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use oneport_proto::{CodecPriority, EncryptionPolicy, TokenRule, TransferKind, TrunkConfig};
use oneport_wire::AuthMethods;
use serde::Deserialize;
use toml::Spanned;

use super::addresses::{read_acl, resolve};
use super::caller_id::CallerIdKeys;
use super::codecs::{read_codecs, read_video};
use super::device::ProvisionKeys;
use super::error::{ConfigError, nearest};
use super::forward::ForwardKeys;
use super::keys::{KEY_HELP, read_own_key, read_public};
use super::secret::Place;
use super::source::Source;
use super::timers::{self, PeerTimers};
use super::{Acl, ConnectedLineRule, DEFAULT_CODECS, Forwarding, Peer};
use crate::caller_id::CallerIdRule;
use crate::routing::DEFAULT_CONTEXT;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PeerKeys {
    secret: Option<Spanned<String>>,
    secret_file: Option<Spanned<PathBuf>>,
    secret_env: Option<Spanned<String>>,
    inkeys: Vec<Spanned<PathBuf>>,
    outkey: Option<Spanned<PathBuf>>,
    encryption: Option<Spanned<String>>,
    address: Option<Spanned<String>>,
    username: Option<String>,
    account_code: Option<String>,
    codecs: Option<Vec<Spanned<String>>>,
    codec_priority: Option<Spanned<String>>,
    video: Vec<Spanned<String>>,
    connected_line: Option<Spanned<String>>,
    acl: Vec<Spanned<String>>,
    permit: Option<Vec<Spanned<String>>>,
    deny: Vec<Spanned<String>>,
    contexts: Option<Spanned<Vec<String>>>,
    call_token: Option<Spanned<String>>,
    auth: Option<Vec<Spanned<String>>>,
    min_refresh: Option<Spanned<u64>>,
    max_refresh: Option<Spanned<u64>>,
    qualify: Option<bool>,
    qualify_limit_ms: Option<Spanned<u64>>,
    qualify_seconds: Option<Spanned<u64>>,
    qualify_not_ok_seconds: Option<Spanned<u64>>,
    qualify_smoothing: Option<bool>,
    autokill_ms: Option<Spanned<u64>>,
    transfer: Option<Spanned<String>>,
    trunk: Option<bool>,
    trunk_timestamps: Option<bool>,
    trunk_max_datagram: Option<Spanned<usize>>,
    trunk_interval_ms: Option<Spanned<u64>>,
    mailbox: Option<PathBuf>,
    message_waiting_frames: Option<bool>,
    max_duration_seconds: Option<Spanned<u64>>,
    no_media_timeout_seconds: Option<Spanned<u64>>,
    pub(super) hold_music: Option<Spanned<String>>,
    forward_always: Option<Spanned<String>>,
    forward_busy: Option<Spanned<String>>,
    forward_no_answer: Option<Spanned<String>>,
    rings_seconds: Option<Spanned<u64>>,
    pub(super) extensions: Vec<Spanned<String>>,
    pub(super) extension_context: Option<String>,
    caller_id: Option<CallerIdKeys>,
    provision: Option<ProvisionKeys>,
}

impl PeerKeys {
    pub(super) fn check(
        self,
        source: &Source<'_>,
        name: &Spanned<String>,
        encryption: EncryptionPolicy,
        defaults: &PeerTimers,
    ) -> Result<(Peer, TokenRule), ConfigError> {
        let places = [
            self.secret.as_ref().map(|secret| (secret.span(), Place::Inline(secret.get_ref()))),
            self.secret_file.as_ref().map(|file| (file.span(), Place::File(file.get_ref()))),
            self.secret_env.as_ref().map(|env| (env.span(), Place::Environment(env.get_ref()))),
        ];
        let mut secrets = Vec::new();
        for (span, place) in places.into_iter().flatten() {
            let secret = place.read();
            let wrong = |what| ConfigError::at(source.path, source.text, span, what);
            secrets.push(secret.map_err(wrong)?);
        }
        let address = match &self.address {
            Some(address) => Some(resolve(source, address)?),
            None => None,
        };
        let mut keys = Vec::new();
        for file in &self.inkeys {
            keys.push(
                read_public(file.get_ref())
                    .map_err(|what| source.wrong(file, what).with_help(KEY_HELP))?,
            );
        }
        let own_key = read_own_key(source, self.outkey.as_ref())?;
        let encryption = match &self.encryption {
            Some(word) => read_encryption(source, word)?,
            None => encryption,
        };
        if secrets.is_empty() && keys.is_empty() && address.is_none() {
            let what =
                format!("peer `{}` has neither a secret nor a key nor an address", name.get_ref());
            return Err(source.wrong(name, what).with_help(
                "a peer that registers needs `secret`, `secret_file`, `secret_env` or `inkeys`; \
                 one that does not needs `address`",
            ));
        }
        if encryption == EncryptionPolicy::Required && secrets.is_empty() {
            let what = format!(
                "peer `{}` cannot be encrypted: the key of that comes from a secret",
                name.get_ref()
            );
            return Err(source
                .wrong(name, what)
                .with_help("give it a `secret`, also where RSA proves who it is"));
        }
        let codecs = match &self.codecs {
            Some(names) => read_codecs(source, names)?,
            None => DEFAULT_CODECS.to_vec(),
        };
        let priority = match &self.codec_priority {
            None => CodecPriority::Host,
            Some(word) => match word.get_ref().as_str() {
                "host" => CodecPriority::Host,
                "caller" => CodecPriority::Caller,
                "disabled" => CodecPriority::Disabled,
                "reqonly" => CodecPriority::RequestedOnly,
                _ => {
                    let known = ["host", "caller", "disabled", "reqonly"];
                    return Err(source.unknown_word(word, "codec priority", &known));
                }
            },
        };
        let rule = match &self.call_token {
            // The networks of `call_token_optional` decide.
            None => TokenRule::Unset,
            Some(word) => match word.get_ref().as_str() {
                "required" => TokenRule::Yes,
                "optional" => TokenRule::No,
                "auto" => TokenRule::Auto,
                _ => {
                    let known = ["required", "optional", "auto"];
                    return Err(source.unknown_word(word, "rule for call tokens", &known));
                }
            },
        };
        let mut methods = AuthMethods(0);
        for word in self.auth.iter().flatten() {
            methods = methods.union(match word.get_ref().as_str() {
                "md5" => AuthMethods::MD5,
                "rsa" if keys.is_empty() => {
                    let error = source.wrong(word, "`rsa` needs the peer's public key");
                    return Err(error.with_help("add inkeys = [\"/etc/oneport/peer.pub\"]"));
                }
                "rsa" => AuthMethods::RSA,
                "plaintext" => AuthMethods::PLAINTEXT,
                _ => {
                    let known = ["md5", "rsa", "plaintext"];
                    return Err(source.unknown_word(word, "way to prove a secret", &known));
                }
            });
        }
        if methods.is_empty() {
            methods = match (secrets.is_empty(), keys.is_empty()) {
                (true, false) => AuthMethods::RSA,
                (false, false) => AuthMethods::MD5 | AuthMethods::RSA,
                _ => AuthMethods::MD5,
            };
        }
        let transfer = match &self.transfer {
            None => None,
            Some(word) => match word.get_ref().as_str() {
                "no" => None,
                "yes" => Some(TransferKind::Full),
                "media" => Some(TransferKind::Media),
                _ => {
                    let known = ["no", "yes", "media"];
                    return Err(source.unknown_word(word, "rule for transfers", &known));
                }
            },
        };
        let timers = self.read_timers(source, name, defaults)?;
        let qualify = self.qualify.unwrap_or(true).then_some(timers.qualify);
        let provision = match &self.provision {
            Some(keys) => Some(keys.check(source)?),
            None => None,
        };
        let trunk = self.read_trunk(source)?;
        let bounds = timers::read_bounds(
            source,
            format!("peers.{}", name.get_ref()),
            self.max_duration_seconds.as_ref(),
            self.no_media_timeout_seconds.as_ref(),
        )?;
        let contexts = match self.contexts {
            None => vec![DEFAULT_CONTEXT.to_string()],
            Some(contexts) if contexts.get_ref().is_empty() => {
                let what = format!("peer `{}` has no context to call in", name.get_ref());
                return Err(source
                    .wrong(&contexts, what)
                    .with_help("leave the key out for contexts = [\"default\"]"));
            }
            Some(contexts) => contexts.into_inner(),
        };
        let caller_id = match self.caller_id {
            Some(keys) => keys.check(source)?,
            None => CallerIdRule::default(),
        };
        let peer = Peer {
            contexts,
            secrets,
            keys,
            own_key,
            encryption,
            qualify,
            transfer,
            trunk,
            address,
            codecs,
            video: read_video(source, &self.video)?,
            connected_line: read_connected_line(source, self.connected_line.as_ref())?,
            priority,
            acls: Vec::new(),
            methods,
            username: self.username,
            account_code: self.account_code,
            refresh: timers.refresh,
            autokill: timers.autokill,
            mailbox: self.mailbox,
            told_of_messages: self.message_waiting_frames.unwrap_or(false),
            provision,
            bounds,
            hold_music: None,
            forwarding: Forwarding::default(),
            caller_id,
            extensions: self.extensions.into_iter().map(Spanned::into_inner).collect(),
            extension_context: self.extension_context.unwrap_or_else(|| DEFAULT_CONTEXT.into()),
        };
        Ok((peer, rule))
    }
}

impl PeerKeys {
    /// Its own timers, else those of all.
    fn read_timers(
        &self,
        source: &Source<'_>,
        name: &Spanned<String>,
        defaults: &PeerTimers,
    ) -> Result<PeerTimers, ConfigError> {
        let mut timers = *defaults;
        let qualify = &mut timers.qualify;
        let set = |key: &Option<Spanned<u64>>, range: timers::Range, timer: &mut Duration| {
            range.set(source, key.as_ref(), timer)
        };
        set(&self.qualify_limit_ms, timers::QUALIFY_LIMIT, &mut qualify.limit)?;
        // One that registers may be behind a NAT, through which it can be called because we poll it.
        let fixed = self.address.is_some();
        let range = if fixed { timers::QUALIFY_FIXED } else { timers::QUALIFY };
        set(&self.qualify_seconds, range, &mut qualify.interval)?;
        // One that is not well is not polled more rarely than one that is, unless that is wanted.
        qualify.not_ok_interval = qualify.not_ok_interval.min(qualify.interval);
        let not_ok = &mut qualify.not_ok_interval;
        set(&self.qualify_not_ok_seconds, timers::QUALIFY_NOT_OK, not_ok)?;
        qualify.smoothing = self.qualify_smoothing.unwrap_or(qualify.smoothing);
        if let Some(key) = &self.autokill_ms {
            timers.autokill = Some(timers::AUTOKILL.read(source, key)?);
        } else if self.qualify != Some(false) {
            // As in Asterisk, a limit of round trips says how soon an answer is due.
            timers.autokill = Some(qualify.limit);
        }
        let (least, most) = &mut timers.refresh;
        set(&self.min_refresh, timers::REFRESH, least)?;
        set(&self.max_refresh, timers::REFRESH, most)?;
        if least > most {
            if self.min_refresh.is_some() && self.max_refresh.is_some() {
                let what = format!("peer `{}`: min_refresh is above max_refresh", name.get_ref());
                return Err(source.wrong(name, what).with_help("swap them"));
            }
            // The one that was given takes the other along.
            if self.min_refresh.is_some() { *most = *least } else { *least = *most }
        }
        Ok(timers)
    }

    pub(super) fn forward_keys(&self) -> ForwardKeys {
        ForwardKeys {
            always: self.forward_always.clone(),
            busy: self.forward_busy.clone(),
            no_answer: self.forward_no_answer.clone(),
            rings: self.rings_seconds.clone(),
        }
    }

    /// The lists that say from where it may come: its own, and those it names.
    pub(super) fn read_acls(
        &self,
        source: &Source<'_>,
        acls: &BTreeMap<String, Acl>,
    ) -> Result<Vec<Acl>, ConfigError> {
        let mut lists = vec![read_acl(source, self.permit.as_deref(), &self.deny)?];
        for name in &self.acl {
            let written = name.get_ref();
            let Some(acl) = acls.get(written) else {
                let error = source.wrong(name, format!("there is no list `{written}`"));
                return Err(match nearest(written, acls.keys().map(String::as_str)) {
                    Some(name) => error.with_help(format!("did you mean `{name}`?")),
                    None => error.with_help(format!("add [acls.{written}]")),
                });
            };
            lists.push(acl.clone());
        }
        Ok(lists)
    }

    fn read_trunk(&self, source: &Source<'_>) -> Result<Option<TrunkConfig>, ConfigError> {
        let mut trunk = TrunkConfig::default();
        trunk.timestamps = self.trunk_timestamps.unwrap_or(trunk.timestamps);
        if let Some(bytes) = &self.trunk_max_datagram {
            if !(172..=3_999).contains(bytes.get_ref()) {
                let what = format!("a trunk's datagram cannot have {} bytes", bytes.get_ref());
                return Err(source.wrong(bytes, what).with_help("choose 172 to 3999 bytes"));
            }
            trunk.max_datagram = *bytes.get_ref();
        }
        if let Some(ms) = &self.trunk_interval_ms {
            if !(5..=200).contains(ms.get_ref()) {
                let what = format!("voice cannot wait {} ms for its trunk", ms.get_ref());
                return Err(source.wrong(ms, what).with_help("choose 5 to 200 ms"));
            }
            trunk.interval = Duration::from_millis(*ms.get_ref());
        }
        Ok(self.trunk.unwrap_or(false).then_some(trunk))
    }
}

pub(super) fn read_encryption(
    source: &Source<'_>,
    word: &Spanned<String>,
) -> Result<EncryptionPolicy, ConfigError> {
    match word.get_ref().as_str() {
        "off" => Ok(EncryptionPolicy::Off),
        "allowed" => Ok(EncryptionPolicy::Allowed),
        "required" => Ok(EncryptionPolicy::Required),
        _ => Err(source.unknown_word(word, "rule for encryption", &["off", "allowed", "required"])),
    }
}

fn read_connected_line(
    source: &Source<'_>,
    word: Option<&Spanned<String>>,
) -> Result<ConnectedLineRule, ConfigError> {
    let Some(word) = word else { return Ok(ConnectedLineRule::default()) };
    let (sends, receives) = match word.get_ref().as_str() {
        "no" => (false, false),
        "yes" => (true, true),
        "send" => (true, false),
        "receive" => (false, true),
        _ => {
            let known = ["no", "yes", "send", "receive"];
            return Err(source.unknown_word(word, "rule for connected lines", &known));
        }
    };
    Ok(ConnectedLineRule { sends, receives })
}
