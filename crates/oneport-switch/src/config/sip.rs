//! `[sip]` and `[carriers]`: the gateway and those behind it, as they are written, and their check.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use oneport_media::ilbc::Mode;
use oneport_media::transcode::Wishes;
use oneport_proto::{CodecPriority, EncryptionPolicy, TokenRule};
use oneport_wire::{AuthMethods, CauseCode, Format, FormatSet};
use schemars::JsonSchema;
use serde::Deserialize;

use super::addresses::read_network;
use super::caller_id::CallerIdKeys;
use super::codecs::read_codecs;
use super::error::ConfigError;
use super::schema::{Words, audio_words};
use super::secret::places;
use super::source::{Beside, Source};
use super::spanned::Spanned;
use super::timers::{self, Range, read_bounds};
use super::{Config, ConnectedLineRule, Forwarding, Peer};
use crate::caller_id::CallerIdRule;
use crate::inband::KeyRule;
use crate::limits::{LimitConfig, Scope};
use crate::routing::DEFAULT_CONTEXT;
use crate::sip::caller::Identity;
use crate::sip::headers;
use crate::sip::numbers::{NumberFormat, NumberRule};
use crate::sip::sdp::SrtpUse;
use crate::sip::settings::{AUTO, CARRIER, Carrier, Keys, Login, SIP_PORT, SipConfig, Transport};

/// What a carrier speaks where nothing is said: what all carriers speak.
const CARRIER_CODECS: [Format; 3] = [Format::ULAW, Format::ALAW, Format::G722];

#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SipKeys {
    /// Addresses to listen on by UDP. Without a port, 5060. Nothing listens where there are neither
    /// carriers nor peers with `protocol = "sip"`.
    #[schemars(extend("default" = ["0.0.0.0:5060"]))]
    udp: Option<Vec<Spanned<String>>>,
    /// The same by TCP.
    tcp: Vec<Spanned<String>>,
    /// The same by TLS, where it is 5061 without a port. It needs `certificate` and
    /// `certificate_key`.
    pub(super) tls: Vec<Spanned<String>>,
    /// The address at which carriers reach us, where a NAT is between. Its ports must lead here as they
    /// are.
    #[schemars(extend("x-default" = "that from which the system sends to the carrier"))]
    public_address: Option<Spanned<String>>,
    /// Ports of media, `FIRST-LAST`: two for each call.
    #[schemars(extend("default" = "10000-19999"))]
    rtp_ports: Option<Spanned<String>>,
    /// How long packets of media gather before they are read, where some 80 calls or more are up: less CPU time,
    /// and so much delay of what carriers and phones say. 0: not at all.
    #[schemars(range(max = 10), extend("default" = 1))]
    rtp_gather_ms: Option<Spanned<u64>>,
    /// A file with our certificate and those above it (PEM), for TLS.
    certificate: Option<Spanned<PathBuf>>,
    /// A file with its key (PEM).
    certificate_key: Option<Spanned<PathBuf>>,
    /// A file with the certificates (PEM) by which carriers are believed over TLS.
    #[schemars(extend("x-default" = "those of the usual authorities"))]
    authorities: Option<Spanned<PathBuf>>,
    /// Name servers that are asked for carriers' hosts (UDP and TCP port 53).
    #[schemars(extend("x-default" = "those of the system"))]
    name_servers: Vec<Spanned<String>>,
    /// Calls at once, of all carriers and phones. More get 503.
    #[schemars(extend("default" = 2000))]
    max_calls: Option<usize>,
    /// Calls that one carrier may begin in a second, before anything else is looked at. More get 503.
    #[schemars(range(min = 1), extend("default" = 100))]
    max_invites_per_second: Option<Spanned<usize>>,
    /// Requests of phones that are looked at in a second from one address. More get no answer.
    #[schemars(range(min = 1), extend("default" = 50))]
    max_requests_per_second: Option<Spanned<u32>>,
    /// Connections by TCP and TLS that others may have here. Whoever is no carrier and has not registered has
    /// one of half of them at most, and for ten seconds.
    #[schemars(range(min = 2), extend("default" = 1000))]
    max_connections: Option<Spanned<usize>>,
    /// The same from one address, such as that of a NAT with many phones behind it.
    #[schemars(range(min = 1), extend("default" = 100))]
    max_connections_per_address: Option<Spanned<usize>>,
    /// What phones are told whose users they are, when they are asked for a proof (realm).
    #[schemars(extend("default" = "oneport"))]
    realm: Option<Spanned<String>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CarrierKeys {
    /// Its host: a name or an address, with or without a port. Without one the name server's SRV
    /// entries say where it is, else it is 5060, or 5061 for TLS.
    host: Spanned<String>,
    /// `udp`, `tcp` or `tls`; `auto`: what the name server's NAPTR entries of `host` prefer, with the others behind
    /// it where that does not answer, else `udp`.
    #[schemars(transform = Words(&Transport::WORDS), extend("default" = "udp"))]
    pub(super) transport: Option<Spanned<String>>,
    /// The domain in our own name, and that of the registrar.
    #[schemars(extend("x-default" = "`host`"))]
    domain: Option<String>,
    /// The name it knows us by.
    username: Option<Spanned<String>>,
    /// The name in proofs, where it is another.
    auth_username: Option<String>,
    /// The secret by which we prove who we are.
    secret: Option<Spanned<String>>,
    /// A file with the secret.
    secret_file: Option<Spanned<PathBuf>>,
    /// An environment variable with the secret.
    secret_env: Option<Spanned<String>>,
    /// Whether we register there.
    #[schemars(extend("default" = false))]
    register: Option<Spanned<bool>>,
    /// For how long we ask to be registered; the carrier decides.
    #[schemars(transform = REGISTER.schema(), extend("default" = 300))]
    register_seconds: Option<Spanned<u64>>,
    /// How often it is asked whether it is there (OPTIONS). One that does not answer gets no calls:
    /// they go to the next destination. 0: it is not asked.
    #[schemars(transform = KEEP_ALIVE.schema(), extend("default" = 30))]
    options_seconds: Option<Spanned<u64>>,
    /// How long a call holds without its session being renewed (RFC 4028), where the carrier does that
    /// too: then a call whose other end has vanished ends. 0: for ever.
    #[schemars(transform = SESSION.schema(), extend("default" = 1800))]
    session_seconds: Option<Spanned<u64>>,
    /// Networks from which its calls come, beside the addresses of `host`. Nobody else gets any answer.
    #[serde(default)]
    permit: Vec<Spanned<String>>,
    /// What it speaks, best first, by Asterisk's names.
    #[schemars(transform = audio_words, extend("default" = ["ulaw", "alaw", "g722"]))]
    codecs: Option<Vec<Spanned<String>>>,
    /// Whether its calls may be transcoded where the other end speaks none of its codecs.
    #[schemars(extend("x-default" = "that of `[audio]`"))]
    transcoding: Option<bool>,
    /// Where the numbers that it calls are looked up.
    #[schemars(extend("default" = ["default"]))]
    contexts: Option<Spanned<Vec<String>>>,
    /// A word for the records of its legs (docs/cdr.md).
    account_code: Option<String>,
    /// Calls at once, to it and from it: the limit `carrier:NAME`. For more than one number see
    /// `[[limits]]`, where it is one of `peers` by that name.
    max_calls: Option<usize>,
    /// Calls that begin in a second, to it and from it, under the same limit.
    #[schemars(range(min = 1))]
    max_calls_per_second: Option<Spanned<usize>>,
    /// In which form numbers go to it: `as_dialled`, `e164` (digits, with the country code) or
    /// `+e164`. With the latter two what comes from it is led on as digits of E.164, without `+`.
    #[schemars(transform = Words(&NumberFormat::NAMES), extend("default" = "as_dialled"))]
    number_format: Option<Spanned<String>>,
    /// Our country, such as `49`: then national numbers are understood.
    country_code: Option<Spanned<String>>,
    /// What is dialled before a number of another country.
    #[schemars(extend("x-default" = "`011` where `country_code` is `1`, else `00`"))]
    international_prefix: Option<String>,
    /// What is dialled before a number of another town.
    #[schemars(extend("x-default" = "`1` where `country_code` is `1`, else `0`"))]
    national_prefix: Option<String>,
    /// How it is told keys: among the voice (`rfc4733`), by requests (`info`), or as tones in the voice
    /// (`inband`).
    #[schemars(transform = Words(&Keys::NAMES), extend("default" = "rfc4733"))]
    dtmf: Option<Spanned<String>>,
    /// Whether its voice is encrypted (SRTP): never (`off`), where it offers that (`allowed`), always, and our calls
    /// by keys in the description (`required`, RFC 4568), or always by keys of a handshake beside the voice (`dtls`,
    /// RFC 5763). Its calls may have either, but with `dtls`. Who reads the signalling reads keys in it, and who
    /// changes it may stand in between: so it goes with `transport = "tls"`.
    #[schemars(transform = Words(&SRTP.map(|(name, _)| name)), extend("default" = "off"))]
    pub(super) srtp: Option<Spanned<String>>,
    /// How long frames of iLBC are with it, in ms: 20 where it wants them so too, else 30 (RFC 3952). Legs of IAX2 have
    /// frames of 30 ms, so that such calls are transcoded with 20.
    #[schemars(range(min = 20, max = 30), extend("default" = 30))]
    ilbc_ms: Option<Spanned<u64>>,
    /// As for peers.
    #[schemars(transform = timers::DURATION.schema(), extend("default" = 0))]
    max_duration_seconds: Option<Spanned<u64>>,
    /// As for peers.
    #[schemars(transform = timers::SILENCE.schema(), extend("default" = 0))]
    no_media_timeout_seconds: Option<Spanned<u64>>,
    /// What it is told of who calls: a table with the keys of `[peers.NAME.caller_id]`.
    caller_id: Option<CallerIdKeys>,
    /// In which headers it is told of the caller's number, beside `From`: `p_asserted_identity`,
    /// `remote_party_id`, `both` or `none`. It is trusted then with numbers that must not be shown, too.
    #[schemars(transform = Words(&Identity::NAMES), extend("default" = "none"))]
    identity: Option<Spanned<String>>,
    /// Headers of its calls that are variables of IAX2 here, both ways, such as `X-Account = ACCOUNT`: 16 at
    /// most, with values of 200 bytes. No others pass.
    #[serde(default)]
    headers: Vec<Spanned<String>>,
}

/// Whether voice is encrypted, by the names that files have for it.
pub(super) const SRTP: [(&str, SrtpUse); 4] = [
    (SrtpUse::Off.word(), SrtpUse::Off),
    (SrtpUse::Accepted.word(), SrtpUse::Accepted),
    (SrtpUse::Required.word(), SrtpUse::Required),
    (SrtpUse::Handshake.word(), SrtpUse::Handshake),
];

/// Whether voice is encrypted.
pub(super) fn read_srtp(
    source: &Source<'_>,
    word: Option<&Spanned<String>>,
) -> Result<SrtpUse, ConfigError> {
    let Some(word) = word else { return Ok(SrtpUse::Off) };
    let found = SRTP.iter().find(|(name, _)| name == word.get_ref());
    let names = SRTP.map(|(name, _)| name);
    Ok(found.ok_or_else(|| source.unknown_word(word, "use of SRTP", &names))?.1)
}

/// How long frames of iLBC are.
pub(super) fn read_ilbc(
    source: &Source<'_>,
    key: Option<&Spanned<u64>>,
) -> Result<Mode, ConfigError> {
    match key.map(|key| (key, *key.get_ref())) {
        None | Some((_, 30)) => Ok(Mode::Ms30),
        Some((_, 20)) => Ok(Mode::Ms20),
        Some((key, millis)) => {
            let what = format!("iLBC has no frames of {millis} ms");
            Err(source.wrong(key, what).with_help("choose 20 or 30; 30 is usual"))
        }
    }
}

const REGISTER: Range = Range::seconds(
    "the time for which we register",
    10,
    86_400,
    "300 keeps the way through a NAT open where OPTIONS do not",
);
const KEEP_ALIVE: Range =
    Range::seconds("the time between two OPTIONS", 1, 3_600, "30 keeps the way through a NAT open")
        .or_never();

const SESSION: Range = Range::seconds(
    "the time for which a session holds",
    90,
    86_400,
    "1800 is usual; many carriers refuse less",
)
.or_never();

/// An address to listen on, with the port that is usual where none is named.
fn read_address(text: &str, port: u16) -> Option<SocketAddr> {
    let bare = || text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, port));
    text.parse().ok().or_else(bare)
}

impl SipKeys {
    pub(super) fn check(&self, source: &Source<'_>) -> Result<SipConfig, ConfigError> {
        let mut config = SipConfig::default();
        if let Some(udp) = &self.udp {
            config.listen.clear();
            read_listen(source, Transport::Udp, udp, &mut config)?;
        }
        read_listen(source, Transport::Tcp, &self.tcp, &mut config)?;
        read_listen(source, Transport::Tls, &self.tls, &mut config)?;
        if let Some(address) = &self.public_address {
            config.public_address = Some(address.get_ref().parse().map_err(|_| {
                let what = format!("`{}` is no address", address.get_ref());
                source.wrong(address, what).with_help("write it as \"203.0.113.5\", without a port")
            })?);
        }
        if let Some(ports) = &self.rtp_ports {
            let read = ports.get_ref().split_once('-').and_then(|(first, last)| {
                let first = first.trim().parse::<u16>().ok()?;
                let last = last.trim().parse::<u16>().ok()?;
                (first >= 1024 && last > first).then_some(first..=last)
            });
            config.rtp_ports = read.ok_or_else(|| {
                let what = format!("`{}` are no ports", ports.get_ref());
                let help = "write them as \"10000-19999\": 1024 or more, two for each call";
                source.wrong(ports, what).with_help(help)
            })?;
        }
        if let Some(ms) = &self.rtp_gather_ms {
            if *ms.get_ref() > 10 {
                let what = format!("packets of media cannot wait {} ms", ms.get_ref());
                return Err(source.wrong(ms, what).with_help("choose 0 to 10 ms"));
            }
            config.rtp_gather = Duration::from_millis(*ms.get_ref());
        }
        let file = |path: &Spanned<PathBuf>| -> Result<PathBuf, ConfigError> {
            let there = source.beside == Beside::Ignored || path.get_ref().is_file();
            match there {
                true => Ok(path.get_ref().clone()),
                false => {
                    let what = format!("`{}` is no file", path.get_ref().display());
                    let help = "correct the path; a relative one begins where the command runs";
                    Err(source.wrong(path, what).with_help(help))
                }
            }
        };
        config.certificate = match (&self.certificate, &self.certificate_key) {
            (Some(certificate), Some(key)) => Some((file(certificate)?, file(key)?)),
            (Some(one), None) | (None, Some(one)) => {
                let error = source.wrong(one, "a certificate and its key go together");
                return Err(error.with_help("name both: `certificate` and `certificate_key`"));
            }
            (None, None) => None,
        };
        if let (Some(tls), None) = (self.tls.first(), &config.certificate) {
            let error = source.wrong(tls, "without a certificate nobody can call by TLS");
            return Err(
                error.with_help("add `certificate` and `certificate_key`; calls out need neither")
            );
        }
        config.authorities = self.authorities.as_ref().map(file).transpose()?;
        for server in &self.name_servers {
            config.name_servers.push(server.get_ref().parse().map_err(|_| {
                let what = format!("`{}` is no address", server.get_ref());
                source.wrong(server, what).with_help("write it as \"192.0.2.53\", without a port")
            })?);
        }
        config.max_calls = self.max_calls.unwrap_or(config.max_calls);
        if let Some(most) = &self.max_invites_per_second {
            if *most.get_ref() == 0 {
                let error = source.wrong(most, "no call could ever begin");
                return Err(error.with_help("choose 1 or more; 100 is usual"));
            }
            config.max_invites_per_second = *most.get_ref();
        }
        if let Some(most) = &self.max_requests_per_second {
            if *most.get_ref() == 0 {
                let error = source.wrong(most, "no phone could ever register");
                return Err(error.with_help("choose 1 or more; 50 is usual"));
            }
            config.max_requests_per_second = *most.get_ref();
        }
        let most = &mut config.max_connections;
        for (key, least, most) in [
            (&self.max_connections, 2, &mut most.in_all),
            (&self.max_connections_per_address, 1, &mut most.of_address),
        ] {
            let Some(key) = key else { continue };
            if *key.get_ref() < least {
                let error = source.wrong(key, "nobody could ever connect");
                return Err(error.with_help(format!("choose {least} or more; {most} is usual")));
            }
            *most = *key.get_ref();
        }
        if let Some(realm) = &self.realm {
            let text = realm.get_ref();
            let plain = |one: char| !one.is_control() && one != '"' && one != '\\';
            if text.is_empty() || !text.chars().all(plain) {
                let error = source.wrong(realm, "that cannot stand in a challenge");
                return Err(error.with_help("write it as \"example.org\", without quotation marks"));
            }
            config.realm.clone_from(text);
        }
        Ok(config)
    }
}

fn read_listen(
    source: &Source<'_>,
    transport: Transport,
    addresses: &[Spanned<String>],
    config: &mut SipConfig,
) -> Result<(), ConfigError> {
    for written in addresses {
        let address = read_address(written.get_ref(), transport.port()).ok_or_else(|| {
            let what = format!("`{}` is no address", written.get_ref());
            source.wrong(written, what).with_help(format!("write it as \"0.0.0.0:{SIP_PORT}\""))
        })?;
        config.listen.push((transport, address));
    }
    Ok(())
}

/// Reads all carriers, and makes a peer of each and a limit where it has one.
pub(super) fn read_carriers(
    source: &Source<'_>,
    carriers: BTreeMap<Spanned<String>, CarrierKeys>,
    config: &mut Config,
    peers: &mut BTreeMap<String, Arc<Peer>>,
    rules: &mut BTreeMap<String, TokenRule>,
) -> Result<(), ConfigError> {
    for (name, keys) in carriers {
        let known = format!("{CARRIER}{}", name.get_ref());
        let (carrier, peer, limit) = keys.check(source, &name, &known, config)?;
        config.carriers.insert(name.into_inner(), carrier);
        peers.insert(known.clone(), Arc::new(peer));
        rules.insert(known, TokenRule::Yes);
        config.limits.extend(limit);
    }
    Ok(())
}

impl CarrierKeys {
    fn check(
        self,
        source: &Source<'_>,
        name: &Spanned<String>,
        known: &str,
        config: &Config,
    ) -> Result<(Carrier, Peer, Option<LimitConfig>), ConfigError> {
        let plain = |one: u8| one.is_ascii_alphanumeric() || b"-_.".contains(&one);
        if name.get_ref().is_empty() || !name.get_ref().bytes().all(plain) {
            let error = source.wrong(name, format!("`{}` is no plain name", name.get_ref()));
            return Err(error.with_help("letters, digits, -, _ and . may be in it"));
        }
        let transport = match &self.transport {
            None => Some(Transport::Udp),
            Some(word) if word.get_ref() == AUTO => None,
            Some(word) => Some(
                Transport::named(word.get_ref())
                    .ok_or_else(|| source.unknown_word(word, "transport", &Transport::WORDS))?,
            ),
        };
        let (host, port) = read_host(source, &self.host)?;
        let codecs = match &self.codecs {
            Some(names) => read_codecs(source, names)?,
            None => CARRIER_CODECS.to_vec(),
        };
        let login = self.read_login(source, name)?;
        let mut register = Duration::from_secs(300);
        REGISTER.set(source, self.register_seconds.as_ref(), &mut register)?;
        let registers = self.register.as_ref().is_some_and(|register| *register.get_ref());
        if let (Some(place), true, None) = (&self.register, registers, &login) {
            let error = source.wrong(place, "by which name do we register?");
            return Err(error.with_help("add `username` and `secret`"));
        }
        let mut keep_alive = Duration::from_secs(30);
        KEEP_ALIVE.set(source, self.options_seconds.as_ref(), &mut keep_alive)?;
        let mut session = Duration::from_secs(1_800);
        SESSION.set(source, self.session_seconds.as_ref(), &mut session)?;
        let mut networks = Vec::new();
        for network in &self.permit {
            networks.push(read_network(source, network)?);
        }
        let keys = match &self.dtmf {
            None => Keys::Events,
            Some(word) => Keys::named(word.get_ref())
                .ok_or_else(|| source.unknown_word(word, "way to tell keys", &Keys::NAMES))?,
        };
        let srtp = read_srtp(source, self.srtp.as_ref())?;
        let ilbc = read_ilbc(source, self.ilbc_ms.as_ref())?;
        let numbers = self.read_numbers(source)?;
        let bounds = read_bounds(
            source,
            format!("carriers.{}", name.get_ref()),
            self.max_duration_seconds.as_ref(),
            self.no_media_timeout_seconds.as_ref(),
        )?;
        let contexts = match self.contexts {
            None => vec![DEFAULT_CONTEXT.to_string()],
            Some(contexts) if contexts.get_ref().is_empty() => {
                let what = format!("carrier `{}` has no context to call in", name.get_ref());
                let help = "leave the key out for contexts = [\"default\"]";
                return Err(source.wrong(&contexts, what).with_help(help));
            }
            Some(contexts) => contexts.into_inner(),
        };
        let caller_id = match self.caller_id {
            Some(keys) => keys.check(source)?,
            None => CallerIdRule::default(),
        };
        let identity = match &self.identity {
            None => Identity::None,
            Some(word) => Identity::named(word.get_ref())
                .ok_or_else(|| source.unknown_word(word, "kind of identity", &Identity::NAMES))?,
        };
        let own_headers = read_headers(source, &self.headers)?;
        if let Some(rate) = self.max_calls_per_second.as_ref().filter(|rate| *rate.get_ref() == 0) {
            let error = source.wrong(rate, "no call could ever begin");
            return Err(error.with_help("for no calls at all, max_calls = 0 says it plainly"));
        }
        let rate = self.max_calls_per_second.map(Spanned::into_inner);
        let limited = self.max_calls.is_some() || rate.is_some();
        let limit = limited.then(|| LimitConfig {
            name: known.into(),
            scope: Scope::Peers(vec![known.into()]),
            direction: None,
            max_calls: self.max_calls,
            max_calls_per_second: rate,
            reserved_inbound: 0,
            soft: false,
            cause: CauseCode::CIRCUIT_CONGESTION,
            warn_percent: 80,
            notice: None,
        });
        let carrier = Carrier {
            domain: self.domain.unwrap_or_else(|| host.clone()),
            host,
            port,
            transport,
            login,
            register: registers.then_some(register),
            keep_alive: (!keep_alive.is_zero()).then_some(keep_alive),
            session: (!session.is_zero()).then_some(session),
            networks,
            codecs: codecs.clone(),
            caller_id,
            identity,
            headers: own_headers,
            numbers,
            keys,
            srtp,
            ilbc,
        };
        let in_voice = keys == Keys::Inband;
        let peer = Peer {
            contexts,
            // They are drawn, and its address is known, when the gateway starts.
            secrets: Vec::new(),
            address: None,
            username: Some(known.into()),
            keys: Vec::new(),
            own_key: None,
            encryption: EncryptionPolicy::Off,
            qualify: None,
            trunk: None,
            transfer: None,
            nodes: None,
            lost: None,
            codecs,
            account_code: self.account_code,
            connected_line: ConnectedLineRule::default(),
            video: FormatSet::EMPTY,
            priority: CodecPriority::Host,
            transcoding: self.transcoding.unwrap_or(config.transcoding),
            voice: Wishes::default(),
            acls: Vec::new(),
            methods: AuthMethods::MD5,
            refresh: (Duration::from_secs(60), Duration::from_secs(60)),
            mailbox: None,
            told_of_messages: false,
            provision: None,
            autokill: None,
            bounds,
            hold_music: None,
            forwarding: Forwarding::default(),
            keys_by: KeyRule { hears: in_voice, speaks: in_voice, passes: false },
            early_tones: Vec::new(),
            tones: None,
            caller_id: CallerIdRule::default(),
            extensions: Vec::new(),
            extension_context: DEFAULT_CONTEXT.into(),
        };
        Ok((carrier, peer, limit))
    }

    fn read_login(
        &self,
        source: &Source<'_>,
        name: &Spanned<String>,
    ) -> Result<Option<Login>, ConfigError> {
        let place =
            places(self.secret.as_ref(), self.secret_file.as_ref(), self.secret_env.as_ref())
                .next();
        match (&self.username, place) {
            (Some(username), Some((span, place))) => Ok(Some(Login {
                username: username.get_ref().clone(),
                auth_username: self.auth_username.clone(),
                secret: source.secret(span, &place)?,
            })),
            (None, None) => Ok(None),
            (Some(username), None) => {
                let error = source.wrong(username, "by which secret is that proved?");
                Err(error.with_help("add `secret`, `secret_file` or `secret_env`"))
            }
            (None, Some(_)) => {
                let what = format!("carrier `{}` has a secret and no `username`", name.get_ref());
                Err(source.wrong(name, what).with_help("add the name that the carrier gave you"))
            }
        }
    }

    fn read_numbers(&self, source: &Source<'_>) -> Result<NumberRule, ConfigError> {
        let format = match &self.number_format {
            None => NumberFormat::AsDialled,
            Some(word) => NumberFormat::named(word.get_ref()).ok_or_else(|| {
                source.unknown_word(word, "form of numbers", &NumberFormat::NAMES)
            })?,
        };
        if let Some(code) = &self.country_code {
            let text = code.get_ref();
            let digits = text.bytes().all(|one| one.is_ascii_digit()) && !text.starts_with('0');
            if !digits || !(1..=3).contains(&text.len()) {
                let error = source.wrong(code, format!("`{text}` is no country code"));
                return Err(error.with_help("one to three digits, without +; for example \"49\""));
            }
        }
        let country_code = self.country_code.as_ref().map(|code| code.get_ref().clone());
        let american = country_code.as_deref() == Some("1");
        let or = |given: &Option<String>, american_one: &str, usual: &str| match given {
            Some(given) => given.clone(),
            None if american => american_one.into(),
            None => usual.into(),
        };
        let national = match &country_code {
            Some(_) => or(&self.national_prefix, "1", "0"),
            None => self.national_prefix.clone().unwrap_or_default(),
        };
        Ok(NumberRule {
            format,
            international_prefix: or(&self.international_prefix, "011", "00"),
            national_prefix: national,
            country_code,
        })
    }
}

/// Headers, and the variables that they are.
fn read_headers(
    source: &Source<'_>,
    written: &[Spanned<String>],
) -> Result<Vec<(String, String)>, ConfigError> {
    let mut list: Vec<(String, String)> = Vec::new();
    for one in written {
        let text = one.get_ref();
        let (header, variable) = text.split_once('=').unwrap_or((text, ""));
        let (header, variable) = (header.trim(), variable.trim());
        if !headers::may_be_listed(header) {
            let error =
                source.wrong(one, format!("`{header}` is no header that may be named here"));
            return Err(error.with_help(
                "name one of the carrier's own, such as X-Account; those of SIP are the gateway's",
            ));
        }
        if !headers::may_be_variable(variable) {
            let error =
                source.wrong(one, format!("`{variable}` is no variable that may be named here"));
            return Err(error.with_help(
                "write it as \"X-Account = ACCOUNT\": letters, digits and _, and not SIPCALLID or the like",
            ));
        }
        if list.len() == headers::MOST {
            let error = source.wrong(one, format!("these are more than {} headers", headers::MOST));
            return Err(error.with_help("leave out those of least use"));
        }
        list.push((header.into(), variable.into()));
    }
    Ok(list)
}

/// A host, and its port if one is named.
fn read_host(
    source: &Source<'_>,
    written: &Spanned<String>,
) -> Result<(String, Option<u16>), ConfigError> {
    let text = written.get_ref().as_str();
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok((ip.to_string(), None));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok((address.ip().to_string(), Some(address.port())));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse::<u16>().ok().filter(|port| *port > 0).map(Some)),
        None => (text, Some(None)),
    };
    let plain = |one: u8| one.is_ascii_alphanumeric() || b"-_.".contains(&one);
    match port {
        Some(port) if !host.is_empty() && host.bytes().all(plain) => Ok((host.into(), port)),
        _ => {
            let error = source.wrong(written, format!("`{text}` is no host"));
            Err(error.with_help("write it as \"sip.example.org\" or \"192.0.2.1:5060\""))
        }
    }
}
