//! `[peers]`: who is known, and the check of it.

mod phone;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use oneport_media::transcode::Wishes;
use oneport_proto::{CodecPriority, EncryptionPolicy, TokenRule, TransferKind, TrunkConfig};
use oneport_wire::AuthMethods;
use schemars::JsonSchema;
use serde::Deserialize;

use super::addresses::{read_acl, resolve};
use super::caller_id::CallerIdKeys;
use super::codecs::{read_codecs, read_video};
use super::device::ProvisionKeys;
use super::error::{ConfigError, nearest};
use super::forward::ForwardKeys;
use super::keys::{KEY_HELP, read_own_key, read_public};
use super::schema::{Words, audio_words, video_words};
use super::secret::places;
use super::sip::SRTP;
use super::source::{Beside, Source};
use super::spanned::Spanned;
use super::timers::{self, PeerTimers};
use super::tones::{self, DTMF, EARLY_TONES};
use super::{Acl, ConnectedLineRule, DEFAULT_CODECS, Forwarding, NodeRule, Peer};
use crate::caller_id::CallerIdRule;
use crate::routing::DEFAULT_CONTEXT;
use crate::sip::settings::Mwi;

/// Rules for encryption.
pub(super) const ENCRYPTION: [&str; 3] = ["off", "allowed", "required"];
/// Whose order of codecs counts.
const PRIORITIES: [&str; 4] = ["host", "caller", "disabled", "reqonly"];
/// Who is told, or tells, who is connected.
const CONNECTED_LINE: [&str; 4] = ["no", "yes", "send", "receive"];
/// Rules for call tokens.
const CALL_TOKEN: [&str; 3] = ["required", "optional", "auto"];
/// Ways to prove a secret.
const METHODS: [&str; 4] = ["md5", "rsa", "plaintext", "sha256"];
/// What bridged calls hand over.
const TRANSFER: [&str; 3] = ["no", "yes", "media"];

#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PeerKeys {
    /// What it speaks. With `sip` it is a telephone that registers at the SIP gateway
    /// (docs/carriers.md): it proves itself by its secret, and its calls go as any peer's. Keys that are
    /// of IAX2 alone are refused then.
    #[schemars(transform = Words(&phone::PROTOCOLS), extend("default" = "iax2"))]
    protocol: Option<Spanned<String>>,
    /// What it must prove to know.
    secret: Option<Spanned<String>>,
    /// A file with the secret.
    secret_file: Option<Spanned<PathBuf>>,
    /// An environment variable with the secret. With several of the three, any one proves it, and
    /// the first is used for calls to it.
    secret_env: Option<Spanned<String>>,
    /// Files with RSA public keys (PEM, as Asterisk's `.pub`) of which any one proves that it is
    /// this peer.
    inkeys: Vec<Spanned<PathBuf>>,
    /// A file with the RSA private key that proves to it who we are.
    outkey: Option<Spanned<PathBuf>>,
    /// `off`, `allowed`, `required`. It needs a secret, also where RSA proves who calls.
    #[schemars(transform = Words(&ENCRYPTION), extend("x-default" = "that of `[server]`"))]
    pub(super) encryption: Option<Spanned<String>>,
    /// Where it is, for peers that do not register. Host name or address, with or without port.
    address: Option<Spanned<String>>,
    /// Whether it stands for every node of AllStarLink, wherever that is: `allstar:NAME` in a route looks the number
    /// called up (`[allstar]`), and nodes that call under its name are known by their number.
    allstar: bool,
    /// Whether a node that calls must come from where the look-up says it is, as `app_rpt` wants it. Without this
    /// the peer needs a secret.
    #[schemars(extend("default" = true))]
    allstar_check: Option<Spanned<bool>>,
    /// The name under which we call it. For nodes of AllStarLink: `radio`, or what their list says.
    username: Option<String>,
    /// A word for the records of its legs (docs/cdr.md), such as who pays for them.
    account_code: Option<String>,
    /// What it may speak, best first, by Asterisk's names.
    #[schemars(transform = audio_words, extend("x-default" = "all usual ones"))]
    codecs: Option<Vec<Spanned<String>>>,
    /// Whose order counts: `host`, `caller`, `disabled`, `reqonly`, as in Asterisk.
    #[schemars(transform = Words(&PRIORITIES), extend("default" = "host"))]
    codec_priority: Option<Spanned<String>>,
    /// Whether its calls may be transcoded where the other end speaks none of its codecs. Both ends
    /// must allow it.
    #[schemars(extend("x-default" = "that of `[audio]`"))]
    pub(super) transcoding: Option<bool>,
    /// How long the frames of voice are that it gets, in ms: 10, 20, 30, 40 or 60. What comes in
    /// others is cut and put together anew; codecs with longer frames get one of theirs. Such calls
    /// are not transferred. Speex, Opus and formats that are not understood here stay as they are,
    /// but for G.729.
    #[schemars(range(min = 10, max = 60), extend("x-unit" = "ms", "x-default" = "as they come"))]
    frame_ms: Option<Spanned<u64>>,
    /// Whether nothing is sent to it while nobody speaks, but for frames of comfort noise (CNG).
    /// Else pauses of which the other end tells by such frames are filled with noise in calls that
    /// are transcoded. Asterisk passes these frames on, and most telephones ignore them.
    #[schemars(extend("default" = false))]
    silence_suppression: Option<bool>,
    /// Video that its calls may carry: `h261`, `h263`, `h263p`, `h264`, `mpeg4`, `vp8`. It passes
    /// through a bridge where both peers allow it, and comes back from `echo`. Asterisk takes it
    /// only with `codecpriority=disabled` or `reqonly`, and Asterisk 22 forgets it when the first
    /// voice of a call comes.
    #[schemars(transform = video_words)]
    video: Vec<Spanned<String>>,
    /// Whether it is told who is connected or redirected in a bridged call (`send`), may tell it
    /// (`receive`), or both (`yes`). Some old systems end a call because of it. Asterisk has the
    /// same words in `connectedline`.
    #[schemars(transform = Words(&CONNECTED_LINE), extend("default" = "no"))]
    connected_line: Option<Spanned<String>>,
    /// Lists, by name, which must all let it in. A list that does not exist is a mistake: nothing
    /// starts.
    acl: Vec<Spanned<String>>,
    /// Networks from which it may call and register, as in a list of its own.
    #[schemars(extend("x-default" = "everywhere"))]
    permit: Option<Vec<Spanned<String>>>,
    /// Networks from which it may not.
    deny: Vec<Spanned<String>>,
    /// Where the numbers it calls are looked up, in this order. A call that names a context itself
    /// must name one of these; `"*"` lets it name any.
    #[schemars(extend("default" = ["default"]))]
    contexts: Option<Spanned<Vec<String>>>,
    /// `required`, `optional`, or `auto`: required from the first time it sends one.
    /// A peer without a secret or key is known by its address, which anybody can write: only
    /// `call_token_optional` lets it off, and without a token its calls are refused, whatever this
    /// says.
    #[schemars(transform = Words(&CALL_TOKEN), extend("x-default" = "`required`, but from networks in `call_token_optional`"))]
    call_token: Option<Spanned<String>>,
    /// How it may prove who it is: `md5`, `rsa`, `plaintext`; by SIP `md5`, `sha256`, the best first.
    /// Many phones understand `md5` alone, and some take no challenge that offers more.
    #[schemars(transform = Words(&METHODS), extend("x-default" = "`md5` with a secret, `rsa` with keys"))]
    auth: Option<Vec<Spanned<String>>>,
    /// Least seconds for which it registers.
    #[schemars(transform = timers::REFRESH.schema(), extend("x-default" = "that of `[timers]`"))]
    min_refresh: Option<Spanned<u64>>,
    /// Longest time for which it registers, in seconds. With one of the two given, the other
    /// follows.
    #[schemars(transform = timers::REFRESH.schema(), extend("x-default" = "that of `[timers]`"))]
    max_refresh: Option<Spanned<u64>>,
    /// Whether it is polled (POKE, by SIP OPTIONS). Calls to a peer that is LAGGED or UNREACHABLE go to the next
    /// destination at once.
    #[schemars(extend("default" = true))]
    qualify: Option<bool>,
    /// A round trip above this is LAGGED.
    #[schemars(transform = timers::QUALIFY_LIMIT.schema(), extend("x-default" = "that of `[timers]`"))]
    qualify_limit_ms: Option<Spanned<u64>>,
    /// Time between polls: 25 at most, which keeps the way through a NAT open; up to 3600 for a
    /// peer with an `address`.
    #[schemars(transform = timers::QUALIFY_FIXED.schema(), extend("x-default" = "that of `[timers]`"))]
    qualify_seconds: Option<Spanned<u64>>,
    /// The same while it is not well.
    #[schemars(transform = timers::QUALIFY_NOT_OK.schema(), extend("x-default" = "that of `[timers]`, at most `qualify_seconds`"))]
    qualify_not_ok_seconds: Option<Spanned<u64>>,
    /// Whether the mean with earlier round trips counts, rather than the last one.
    #[schemars(extend("default" = false))]
    qualify_smoothing: Option<bool>,
    /// A call to it from which nothing is heard within twice this time ends, and the next
    /// destination is tried. 0: never.
    #[schemars(transform = timers::AUTOKILL.schema(), extend("x-default" = "`qualify_limit_ms` where it is polled, else that of `[timers]`"))]
    autokill_ms: Option<Spanned<u64>>,
    /// What its bridged calls hand over to each other: `yes`: everything, so that they go on
    /// without this switch; `media`: the voice; `no`: nothing. Both peers must allow it; encrypted
    /// calls stay. It also says whether we follow such a wish of this peer.
    #[schemars(transform = Words(&TRANSFER), extend("default" = "no"))]
    transfer: Option<Spanned<String>>,
    /// Whether voice to it goes in trunk frames, many calls in one datagram. Trunk frames from it
    /// are always taken. Encrypted calls leave the trunk.
    #[schemars(extend("default" = false))]
    trunk: Option<bool>,
    /// Whether trunk frames carry the time of each call (Asterisk: `trunktimestamps`).
    #[schemars(extend("default" = true))]
    trunk_timestamps: Option<bool>,
    /// Greatest trunk frame in bytes, IP and UDP headers not counted: 28 (IPv6: 48) less than the
    /// MTU of the way.
    #[schemars(range(min = 172, max = 3999), extend("x-unit" = "bytes", "default" = 1400))]
    trunk_max_datagram: Option<Spanned<usize>>,
    /// How long voice waits for company.
    #[schemars(range(min = 5, max = 200), extend("default" = 20))]
    trunk_interval_ms: Option<Spanned<u64>>,
    /// How long a full trunk frame waits for others, so that they leave by one system call: less CPU
    /// time, and a little delay, with more than some 30 calls. 0: not at all.
    #[schemars(range(min = 0, max = 20), extend("default" = 5))]
    trunk_gather_ms: Option<Spanned<u64>>,
    /// Directory of its messages, as Asterisk's voicemail has it, with `INBOX` and `Old`. How many
    /// wait there is said when it registers; a phone that speaks SIP is told as `mwi` says.
    mailbox: Option<PathBuf>,
    /// Whether it is told at once (MWI) when that number changes. Asterisk does not know these
    /// frames.
    #[schemars(extend("default" = false))]
    message_waiting_frames: Option<bool>,
    /// Whether the voice of a phone that speaks SIP is encrypted (SRTP): never (`off`), where it offers that
    /// (`allowed`), always, and calls to it by keys in the description (`required`, RFC 4568), or always by keys of a
    /// handshake beside the voice (`dtls`, RFC 5763). Its calls may have either, but with `dtls`. Who reads the
    /// signalling reads keys in it, and who changes it may stand in between: so it goes with TLS.
    #[schemars(transform = Words(&SRTP.map(|(name, _)| name)), extend("default" = "off"))]
    pub(super) srtp: Option<Spanned<String>>,
    /// How long frames of iLBC are with a phone that speaks SIP, in ms: 20 where it wants them so too, else 30 (RFC 3952). Legs of IAX2 have
    /// frames of 30 ms, so that such calls are transcoded with 20.
    #[schemars(range(min = 20, max = 30), extend("default" = 30))]
    ilbc_ms: Option<Spanned<u64>>,
    /// How a phone that speaks SIP is told of its `mailbox` (RFC 3842): when it registers and at each change without
    /// being asked, until it subscribes (`auto`); only where it subscribes (`subscribed`); or always without being
    /// asked (`unsolicited`).
    #[schemars(transform = Words(&Mwi::NAMES), extend("default" = "auto"))]
    mwi: Option<Spanned<String>>,
    /// Its answered calls are ended after so many seconds, for both parties, with cause 16 and the
    /// words `time is up`. Of several bounds of a call, those of both peers and of the route, the
    /// least holds. 0: never.
    #[schemars(transform = timers::DURATION.schema(), extend("default" = 0))]
    max_duration_seconds: Option<Spanned<u64>>,
    /// An answered call from which no voice has come for so long is ended, with cause 44 (as
    /// Asterisk's of a call without RTP) and the words `no media`. On hold silence is as it should
    /// be, and where somebody only listens (playback, music). For peers that send nothing while
    /// nobody speaks it must be longer than people are silent. 0: never.
    #[schemars(transform = timers::SILENCE.schema(), extend("default" = 0))]
    no_media_timeout_seconds: Option<Spanned<u64>>,
    /// The music that the other party of its calls hears while it holds them (HOLD, or QUELCH with
    /// music): a `[music.NAME]`, unless it asks for another that is there. Without it, or where the
    /// call's codec is none that is spoken here, the hold is passed on, and the other side plays
    /// what it likes.
    pub(super) hold_music: Option<Spanned<String>>,
    /// How keys come from it and go to it: as `frames` of IAX2, which are events of RFC 4733 with SIP, or
    /// as tones in its voice (`inband`), or so in one direction alone: `inband_from` it, `inband_to` it;
    /// with SIP also as requests (`info`). Tones are heard and made
    /// where the call's codec is one that is spoken here, and its calls then stay here, whatever
    /// `transfer` says. Asterisk's IAX2 always sends frames.
    #[schemars(transform = Words(&DTMF), extend("default" = "frames"))]
    dtmf: Option<Spanned<String>>,
    /// Whether the other party hears the tones of keys that were heard, too. Usually it gets
    /// silence in their place, so that no key counts twice.
    #[schemars(extend("default" = false))]
    dtmf_tones_pass: Option<bool>,
    /// Tones that its calls hear as audio before an answer, beside what is signalled: `ringback`
    /// while the destination rings and says nothing itself, `busy` and `congestion` for 10 s before
    /// a refusal for that reason. As with `on_congestion`, nobody pays for them.
    #[schemars(transform = Words(&EARLY_TONES))]
    early_tones: Vec<Spanned<String>>,
    /// The country whose tones it hears.
    #[schemars(transform = tones::country_words, extend("x-default" = "that of `[server]`"))]
    tones: Option<Spanned<String>>,
    /// Where calls to it are led in its place: a destination as in `to` of a route.
    forward_always: Option<Spanned<String>>,
    /// The same when it is busy (cause 17).
    forward_busy: Option<Spanned<String>>,
    /// The same when it does not answer, is not registered, or is LAGGED or UNREACHABLE.
    forward_no_answer: Option<Spanned<String>>,
    /// How long it rings before it has not answered, where the route has no `timeout_seconds`.
    #[schemars(range(min = 1, max = 600), extend("x-default" = "20 with `forward_no_answer`, else for ever"))]
    rings_seconds: Option<Spanned<u64>>,
    /// Numbers that lead to it while it is registered, or for ever if it has an `address`; they are
    /// gone when it unregisters or expires (Asterisk: `regexten`). Routes go before them.
    pub(super) extensions: Vec<Spanned<String>>,
    /// The context in which they are (Asterisk: `regcontext`).
    #[schemars(extend("default" = "default"))]
    pub(super) extension_context: Option<String>,
    /// A table, see below.
    caller_id: Option<CallerIdKeys>,
    /// A table, see below.
    provision: Option<ProvisionKeys>,
}

impl PeerKeys {
    /// Its address as it is written.
    pub(super) fn written_address(&self) -> Option<&str> {
        self.address.as_ref().map(|address| address.get_ref().as_str())
    }

    pub(super) fn check(
        self,
        source: &Source<'_>,
        name: &Spanned<String>,
        encryption: EncryptionPolicy,
        defaults: &PeerTimers,
    ) -> Result<(Peer, TokenRule), ConfigError> {
        let named =
            places(self.secret.as_ref(), self.secret_file.as_ref(), self.secret_env.as_ref());
        let mut secrets = Vec::new();
        for (span, place) in named {
            secrets.push(source.secret(span, &place)?);
        }
        let address = match &self.address {
            Some(address) => resolve(source, address)?,
            None => None,
        };
        let lost = self.address.as_ref().filter(|_| address.is_none());
        let mut keys = Vec::new();
        for file in &self.inkeys {
            match read_public(file.get_ref()) {
                Ok(key) => keys.push(key),
                Err(_) if source.beside == Beside::Ignored => {}
                Err(what) => return Err(source.wrong(file, what).with_help(KEY_HELP)),
            }
        }
        let own_key = read_own_key(source, self.outkey.as_ref())?;
        let encryption = match &self.encryption {
            Some(word) => read_encryption(source, word)?,
            None => encryption,
        };
        let nodes = self.read_nodes(source, secrets.is_empty() && self.inkeys.is_empty())?;
        if secrets.is_empty() && self.inkeys.is_empty() && self.address.is_none() && nodes.is_none()
        {
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
                    return Err(source.unknown_word(word, "codec priority", &PRIORITIES));
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
                    return Err(source.unknown_word(word, "rule for call tokens", &CALL_TOKEN));
                }
            },
        };
        let mut methods = AuthMethods(0);
        for word in self.auth.iter().flatten() {
            methods = methods.union(match word.get_ref().as_str() {
                "md5" => AuthMethods::MD5,
                "rsa" if self.inkeys.is_empty() => {
                    let error = source.wrong(word, "`rsa` needs the peer's public key");
                    return Err(error.with_help("add inkeys = [\"/etc/oneport/peer.pub\"]"));
                }
                "rsa" => AuthMethods::RSA,
                "plaintext" => AuthMethods::PLAINTEXT,
                // That is for the gateway.
                "sha256" => AuthMethods::MD5,
                _ => {
                    return Err(source.unknown_word(word, "way to prove a secret", &METHODS));
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
                    return Err(source.unknown_word(word, "rule for transfers", &TRANSFER));
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
        let voice = Wishes {
            frame: read_frame(source, self.frame_ms.as_ref())?,
            silence_suppression: self.silence_suppression.unwrap_or(false),
            ..Wishes::default()
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
            nodes,
            lost: lost.map(|written| written.get_ref().clone()),
            codecs,
            video: read_video(source, &self.video)?,
            connected_line: read_connected_line(source, self.connected_line.as_ref())?,
            priority,
            transcoding: true,
            voice,
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
            keys_by: tones::read_dtmf(source, self.dtmf.as_ref(), self.dtmf_tones_pass)?,
            early_tones: tones::read_early_tones(source, &self.early_tones)?,
            tones: match &self.tones {
                Some(code) => Some(tones::read_country(source, code)?),
                None => None,
            },
            caller_id,
            extensions: self.extensions.into_iter().map(Spanned::into_inner).collect(),
            extension_context: self.extension_context.unwrap_or_else(|| DEFAULT_CONTEXT.into()),
        };
        Ok((peer, rule))
    }
}

impl PeerKeys {
    /// Whether it stands for nodes of AllStarLink.
    fn read_nodes(
        &self,
        source: &Source<'_>,
        has_no_proof: bool,
    ) -> Result<Option<NodeRule>, ConfigError> {
        let check = self.allstar_check.as_ref();
        if !self.allstar {
            return match check {
                Some(check) if !check.get_ref() => {
                    let error = source.wrong(check, "no node of AllStarLink calls as this peer");
                    Err(error.with_help("add allstar = true"))
                }
                _ => Ok(None),
            };
        }
        if let Some(address) = &self.address {
            let error = source.wrong(address, "nodes of AllStarLink are wherever they are found");
            return Err(error.with_help("leave `address` out, or `allstar`"));
        }
        match check {
            Some(check) if !check.get_ref() && has_no_proof => {
                let error = source.wrong(check, "anybody could call as any node");
                Err(error.with_help("give the peer a `secret`, or leave the key out"))
            }
            Some(check) if !check.get_ref() => Ok(Some(NodeRule::Unchecked)),
            _ => Ok(Some(NodeRule::Checked)),
        }
    }

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
        if let Some(ms) = &self.trunk_gather_ms {
            if *ms.get_ref() > 20 {
                let what = format!("a full trunk frame cannot wait {} ms", ms.get_ref());
                return Err(source.wrong(ms, what).with_help("choose 0 to 20 ms"));
            }
            trunk.gather = Duration::from_millis(*ms.get_ref());
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
        _ => Err(source.unknown_word(word, "rule for encryption", &ENCRYPTION)),
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
            return Err(source.unknown_word(word, "rule for connected lines", &CONNECTED_LINE));
        }
    };
    Ok(ConnectedLineRule { sends, receives })
}

/// The length of frames.
fn read_frame(
    source: &Source<'_>,
    key: Option<&Spanned<u64>>,
) -> Result<Option<Duration>, ConfigError> {
    let Some(key) = key else { return Ok(None) };
    let millis = *key.get_ref();
    if ![10, 20, 30, 40, 60].contains(&millis) {
        let what = format!("frames of {millis} ms are not made");
        return Err(source.wrong(key, what).with_help("choose 10, 20, 30, 40 or 60; 20 is usual"));
    }
    Ok(Some(Duration::from_millis(millis)))
}
