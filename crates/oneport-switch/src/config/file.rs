//! The keys of the file as they are written, and their check.
//!
//! `docs/configuration.md` describes each key; a test keeps both the same.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use jiff::tz::TimeZone;
use oneport_proto::{
    CodecPriority, EncryptionPolicy, PrivateKey, RegistrationConfig, TokenRule, TransferKind,
    TrunkConfig,
};
use oneport_wire::{AuthMethods, DEFAULT_PORT, Format, FormatSet, MediaKind};
use serde::Deserialize;
use toml::Spanned;

use super::api::ApiKeys;
use super::caller_id::CallerIdKeys;
use super::device::{ProvisionKeys, read_firmware};
use super::error::{ConfigError, nearest};
use super::forward::ForwardKeys;
use super::keys::{read_private, read_public};
use super::limits::LimitKeys;
use super::music::{MusicKeys, read_class, read_music};
use super::rooms::{ConferenceKeys, ParkingKeys, read_conferences, read_notice};
use super::routes::{Names, RouteKeys};
use super::secret::Place;
use super::store::StoreKeys;
use super::timers::{self, PeerTimers, Timers};
use super::{Acl, Config, ConnectedLineRule, DEFAULT_CODECS, Forwarding, Peer};
use crate::caller_id::CallerIdRule;
use crate::limits::LimitConfig;
use crate::routing::{DEFAULT_CONTEXT, Route};

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    server: Server,
    timers: Timers,
    guests: Guests,
    audio: Audio,
    music: BTreeMap<Spanned<String>, MusicKeys>,
    conferences: BTreeMap<Spanned<String>, ConferenceKeys>,
    parking: ParkingKeys,
    store: StoreKeys,
    acls: BTreeMap<String, AclKeys>,
    peers: BTreeMap<Spanned<String>, PeerKeys>,
    routes: Vec<RouteKeys>,
    limits: Vec<LimitKeys>,
    registrations: Vec<RegistrationKeys>,
    api: ApiKeys,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Server {
    listen: Option<Vec<Spanned<String>>>,
    max_calls: Option<usize>,
    max_calls_per_address: Option<usize>,
    max_challenges_per_user: Option<Spanned<usize>>,
    call_token_optional: Vec<Spanned<String>>,
    timezone: Option<Spanned<String>>,
    encryption: Option<Spanned<String>>,
    key_rotation_seconds: Option<u64>,
    firmware: Option<Spanned<PathBuf>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Guests {
    enabled: Option<bool>,
    max_calls: Option<usize>,
    max_calls_per_address: Option<usize>,
    max_seconds: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Audio {
    playback: Option<Spanned<PathBuf>>,
    record: Option<PathBuf>,
    max_record_seconds: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct AclKeys {
    permit: Option<Vec<Spanned<String>>>,
    deny: Vec<Spanned<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct PeerKeys {
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
    hold_music: Option<Spanned<String>>,
    forward_always: Option<Spanned<String>>,
    forward_busy: Option<Spanned<String>>,
    forward_no_answer: Option<Spanned<String>>,
    rings_seconds: Option<Spanned<u64>>,
    extensions: Vec<Spanned<String>>,
    extension_context: Option<String>,
    caller_id: Option<CallerIdKeys>,
    provision: Option<ProvisionKeys>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RegistrationKeys {
    to: Spanned<String>,
    username: String,
    secret: Option<Spanned<String>>,
    secret_file: Option<Spanned<PathBuf>>,
    secret_env: Option<Spanned<String>>,
    outkey: Option<Spanned<PathBuf>>,
    refresh: Option<Spanned<u64>>,
    allow_plaintext: Option<bool>,
}

/// The file and its text, to say where something is wrong.
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

impl Source<'_> {
    pub(super) const fn path(&self) -> &Path {
        self.path
    }

    pub(super) fn wrong<T>(&self, at: &Spanned<T>, message: impl Into<String>) -> ConfigError {
        ConfigError::at(self.path, self.text, at.span(), message)
    }

    /// A word that is none of `known`.
    pub(super) fn unknown_word(
        &self,
        at: &Spanned<String>,
        what: &str,
        known: &[&str],
    ) -> ConfigError {
        let word = at.get_ref();
        let error = self.wrong(at, format!("`{word}` is no {what}"));
        match nearest(word, known.iter().copied()) {
            Some(name) => error.with_help(format!("did you mean `{name}`?")),
            None if known.is_empty() => error.with_help(format!("add [peers.{word}]")),
            None => error.with_help(format!("it is one of {}", known.join(", "))),
        }
    }
}

/// How to mend a value of the wrong type, from what the parser expected.
fn help_for_type(message: &str) -> Option<String> {
    let (_, expected) = message.split_once(", expected ")?;
    let help = match expected {
        "a sequence" => "put it into brackets: [\"…\"]",
        "a string" => "put it into quotes: \"…\"",
        "a boolean" => "write true or false, without quotes",
        "usize" | "u64" => "write a whole number, without quotes",
        _ => return None,
    };
    Some(help.into())
}

impl File {
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            let message = error.message().to_string();
            // toml says: unknown field `secrt`, expected one of `secret`, `secret_file`, …
            let mut names = message.split('`').skip(1).step_by(2);
            let wrong = names.next().unwrap_or_default();
            let meant = match message.starts_with("unknown field") {
                true => nearest(wrong, names),
                false => None,
            };
            let help = meant.map(|name| format!("did you mean `{name}`?"));
            let mut error = ConfigError::at(path, text, span, message.clone());
            error.help = help.or_else(|| help_for_type(&message));
            error
        })
    }

    pub(super) fn api_address(&self, path: &Path, text: &str) -> Result<SocketAddr, ConfigError> {
        self.api.address(&Source { path, text })
    }

    pub(super) fn check(self, path: &Path, text: &str) -> Result<Config, ConfigError> {
        let source = Source { path, text };
        let mut config = Config::default();
        self.server.check(&source, &mut config)?;
        self.guests.apply(&mut config);
        self.audio.check(&source, &mut config)?;
        config.store = self.store.check(&source)?;
        let defaults = self.timers.check(&source, &mut config.endpoint)?;
        let mut acls = BTreeMap::new();
        for (name, keys) in self.acls {
            acls.insert(name, read_acl(&source, keys.permit.as_deref(), &keys.deny)?);
        }
        config.music = read_music(&source, self.music)?;
        config.conferences = read_conferences(&source, self.conferences)?;
        config.parking = self.parking.check(&source, &config.music)?;
        let mut rules = BTreeMap::new();
        let mut peers = BTreeMap::new();
        let mut forwards = Vec::new();
        let mut extensions = BTreeSet::new();
        for (name, keys) in self.peers {
            let lists = keys.read_acls(&source, &acls)?;
            let hold_music = read_class(&source, keys.hold_music.as_ref(), &config.music)?;
            forwards.push((name.get_ref().clone(), keys.forward_keys()));
            let context = keys.extension_context.clone();
            let context = context.unwrap_or_else(|| DEFAULT_CONTEXT.into());
            for number in &keys.extensions {
                if !extensions.insert((context.clone(), number.get_ref().clone())) {
                    let what = format!("extension {} has another peer already", number.get_ref());
                    let help = "ring several by a route: to = [\"peer:…\", \"peer:…\"]";
                    return Err(source.wrong(number, what).with_help(help));
                }
            }
            let (mut peer, rule) = keys.check(&source, &name, config.encryption, &defaults)?;
            peer.acls = lists;
            peer.hold_music = hold_music;
            rules.insert(name.get_ref().clone(), rule);
            peers.insert(name.into_inner(), peer);
        }
        config.endpoint.call_token = super::token_policy(&rules);
        for network in &self.server.call_token_optional {
            let network = super::engine_network(read_network(&source, network)?);
            config.endpoint.call_token.optional_networks.push(network);
        }
        let mut forwarding = Vec::new();
        for (name, keys) in forwards {
            let to = keys.check(&source, &name, &Names::new(&peers))?;
            forwarding.push((name, to));
        }
        for (name, to) in forwarding {
            if let Some(peer) = peers.get_mut(&name) {
                peer.forwarding = to;
            }
        }
        let mut names = Names::new(&peers);
        for keys in self.routes {
            let notice = read_notice(&source, keys.on_congestion.as_ref(), &config.files)?;
            let route = keys.check(&source, &mut names)?;
            config.routes.push(Route { notice, ..route });
        }
        let mut taken = BTreeSet::new();
        for keys in self.limits {
            let notice = read_notice(&source, keys.on_congestion.as_ref(), &config.files)?;
            let limit = keys.check(&source, &names, &config.routes, &mut taken)?;
            config.limits.push(LimitConfig { notice, ..limit });
        }
        config.peers = peers;
        for keys in self.registrations {
            config.registrations.push(keys.check(&source)?);
        }
        config.api = self.api.check(&source)?;
        Ok(config)
    }
}

impl Server {
    fn check(&self, source: &Source<'_>, config: &mut Config) -> Result<(), ConfigError> {
        if let Some(listen) = &self.listen {
            config.listen.clear();
            for address in listen {
                let parsed = read_listen(address.get_ref());
                config.listen.push(parsed.ok_or_else(|| {
                    source
                        .wrong(address, format!("`{}` is no address", address.get_ref()))
                        .with_help("write it as \"0.0.0.0:4569\" or \"[::]:4569\"")
                })?);
            }
        }
        if let Some(calls) = self.max_calls {
            config.endpoint.max_calls = calls;
        }
        if let Some(name) = &self.timezone {
            config.timezone = TimeZone::get(name.get_ref()).map_err(|_| {
                source
                    .wrong(name, format!("there is no time zone `{}`", name.get_ref()))
                    .with_help("write it as \"Europe/Berlin\" or \"UTC\"")
            })?;
        }
        if let Some(word) = &self.encryption {
            config.encryption = read_encryption(source, word)?;
        }
        if let Some(seconds) = self.key_rotation_seconds {
            config.endpoint.key_rotation = (seconds > 0).then(|| Duration::from_secs(seconds));
        }
        if let Some(directory) = &self.firmware {
            let images = read_firmware(directory.get_ref());
            config.endpoint.firmware = images.map_err(|what| {
                let help = "it has firmware files alone; `oneport firmware show FILE` checks one";
                source.wrong(directory, what).with_help(help)
            })?;
        }
        if let Some(calls) = self.max_calls_per_address {
            config.endpoint.max_calls_per_address = calls;
        }
        if let Some(limit) = &self.max_challenges_per_user {
            if *limit.get_ref() == 0 {
                let what = "without a challenge nobody can prove a secret";
                return Err(source.wrong(limit, what).with_help("choose 1 or more; 64 is usual"));
            }
            config.endpoint.max_challenges_per_user = *limit.get_ref();
        }
        Ok(())
    }
}

impl Guests {
    fn apply(&self, config: &mut Config) {
        let guests = &mut config.guests;
        guests.enabled = self.enabled.unwrap_or(guests.enabled);
        guests.calls = self.max_calls.unwrap_or(guests.calls);
        guests.calls_per_address = self.max_calls_per_address.unwrap_or(guests.calls_per_address);
        guests.duration = self.max_seconds.map_or(guests.duration, Duration::from_secs);
    }
}

impl Audio {
    fn check(self, source: &Source<'_>, config: &mut Config) -> Result<(), ConfigError> {
        let files = &mut config.files;
        if let Some(directory) = self.playback {
            if !directory.get_ref().is_dir() {
                let what = format!("`{}` is no directory", directory.get_ref().display());
                return Err(source
                    .wrong(&directory, what)
                    .with_help("make it, or correct the path"));
            }
            files.playback = Some(directory.into_inner());
        }
        files.record = self.record.unwrap_or_else(|| files.record.clone());
        let longest = self.max_record_seconds.map(Duration::from_secs);
        files.longest_recording = longest.unwrap_or(files.longest_recording);
        Ok(())
    }
}

impl PeerKeys {
    fn check(
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

    fn forward_keys(&self) -> ForwardKeys {
        ForwardKeys {
            always: self.forward_always.clone(),
            busy: self.forward_busy.clone(),
            no_answer: self.forward_no_answer.clone(),
            rings: self.rings_seconds.clone(),
        }
    }

    /// The lists that say from where it may come: its own, and those it names.
    fn read_acls(
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

impl RegistrationKeys {
    fn check(self, source: &Source<'_>) -> Result<RegistrationConfig, ConfigError> {
        let place = self
            .secret
            .as_ref()
            .map(|secret| (secret.span(), Place::Inline(secret.get_ref())))
            .or_else(|| {
                self.secret_file.as_ref().map(|file| (file.span(), Place::File(file.get_ref())))
            })
            .or_else(|| {
                let env = self.secret_env.as_ref();
                env.map(|env| (env.span(), Place::Environment(env.get_ref())))
            });
        let secret = match place {
            None => None,
            Some((span, place)) => {
                let wrong = |what| ConfigError::at(source.path, source.text, span, what);
                Some(place.read().map_err(wrong)?)
            }
        };
        let mut refresh = Duration::from_secs(60);
        timers::REFRESH.set(source, self.refresh.as_ref(), &mut refresh)?;
        Ok(RegistrationConfig {
            to: resolve(source, &self.to)?,
            username: self.username,
            secret,
            key: read_own_key(source, self.outkey.as_ref())?,
            allow_plaintext: self.allow_plaintext.unwrap_or(false),
            refresh,
        })
    }
}

const KEY_HELP: &str = "`oneport key generate NAME` makes a pair; Asterisk's keys are in \
                        /var/lib/asterisk/keys";

fn read_own_key(
    source: &Source<'_>,
    file: Option<&Spanned<PathBuf>>,
) -> Result<Option<PrivateKey>, ConfigError> {
    let read = |file: &Spanned<PathBuf>| {
        let key = read_private(file.get_ref());
        key.map_err(|what| source.wrong(file, what).with_help(KEY_HELP))
    };
    file.map(read).transpose()
}

fn read_encryption(
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

fn read_listen(text: &str) -> Option<SocketAddr> {
    let bare = || text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, DEFAULT_PORT));
    text.parse().ok().or_else(bare)
}

fn read_network(source: &Source<'_>, text: &Spanned<String>) -> Result<IpNet, ConfigError> {
    let written = text.get_ref();
    let single = || written.parse::<IpAddr>().ok().map(IpNet::from);
    written.parse().ok().or_else(single).ok_or_else(|| {
        source
            .wrong(text, format!("`{written}` is no network"))
            .with_help("write it as \"10.0.0.0/8\", \"2001:db8::/32\" or a single address")
    })
}

fn read_acl(
    source: &Source<'_>,
    permit: Option<&[Spanned<String>]>,
    deny: &[Spanned<String>],
) -> Result<Acl, ConfigError> {
    let read = |networks: &[Spanned<String>]| {
        networks.iter().map(|network| read_network(source, network)).collect()
    };
    Ok(Acl { permit: permit.map(read).transpose()?, deny: read(deny)? })
}

pub(super) fn read_codecs(
    source: &Source<'_>,
    names: &[Spanned<String>],
) -> Result<Vec<Format>, ConfigError> {
    let mut codecs = Vec::new();
    for name in names {
        match Format::from_name(name.get_ref()) {
            Some(format) if format.kind() == MediaKind::Video => {
                let error = source.wrong(name, format!("`{format}` is video"));
                return Err(error.with_help(format!("write video = [\"{format}\"] besides")));
            }
            Some(format) => codecs.push(format),
            None => {
                let known = Format::all().filter(|format| format.kind() != MediaKind::Video);
                let known: Vec<&str> = known.map(Format::name).collect();
                return Err(source.unknown_word(name, "codec", &known));
            }
        }
    }
    Ok(codecs)
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

fn read_video(source: &Source<'_>, names: &[Spanned<String>]) -> Result<FormatSet, ConfigError> {
    let mut formats = FormatSet::EMPTY;
    for name in names {
        match Format::from_name(name.get_ref()) {
            Some(format) if format.kind() == MediaKind::Video => formats.insert(format),
            _ => {
                let known = Format::all().filter(|format| format.kind() == MediaKind::Video);
                let known: Vec<&str> = known.map(Format::name).collect();
                return Err(source.unknown_word(name, "video codec", &known));
            }
        }
    }
    Ok(formats)
}

fn resolve(source: &Source<'_>, text: &Spanned<String>) -> Result<SocketAddr, ConfigError> {
    let written = text.get_ref().as_str();
    if let Some(address) = read_listen(written) {
        return Ok(address);
    }
    let (host, port) = match written.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()),
        None => (written, Some(DEFAULT_PORT)),
    };
    let wrong = |what: String| {
        source.wrong(text, what).with_help("write it as \"192.0.2.1:4569\" or \"pbx.example.org\"")
    };
    let port = port.ok_or_else(|| wrong(format!("`{written}` is no address")))?;
    let mut found = (host, port)
        .to_socket_addrs()
        .map_err(|error| wrong(format!("`{host}` cannot be found: {error}")))?;
    found.next().ok_or_else(|| wrong(format!("`{host}` has no address")))
}
