//! The configuration file: its keys, their defaults, and what is wrong with it.

mod acl;
mod addresses;
mod allstar;
mod api;
mod caller_id;
mod cluster;
mod codecs;
mod device;
mod error;
mod file;
mod forward;
mod hep;
mod hosts;
mod keys;
mod limits;
mod music;
mod overload;
mod peers;
mod profile;
mod realtime;
mod registrations;
mod rooms;
mod routes;
mod schema;
mod secret;
mod server;
mod shared;
mod shown;
mod sip;
mod source;
mod spanned;
mod store;
mod summary;
mod timers;
mod tones;
mod traces;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use jiff::tz::TimeZone;
use oneport_media::progress::{COUNTRIES, Country, Progress};
use oneport_media::transcode::Wishes;
use oneport_media::wav::Depth;
use oneport_proto::{
    CallTokenPolicy, CodecPriority, EncryptionPolicy, EndpointConfig, Network, PrivateKey,
    PublicKey, RegistrationConfig, Secret, TokenRule, TransferKind, TrunkConfig,
};
use oneport_wire::{AuthMethods, DEFAULT_PORT, Format, FormatSet};

pub(crate) use acl::Acl;
pub use api::ApiConfig;
pub use cluster::ClusterConfig;
pub(crate) use device::Provision;
pub use error::ConfigError;
pub(crate) use forward::Forwarding;
pub(crate) use hep::HepConfig;
pub use hosts::KnownHosts;
pub(crate) use profile::Profile;
pub(crate) use realtime::PeerBasis;
pub(crate) use realtime::{RealtimeConfig, RealtimePlace};
pub use schema::schema;
pub use shared::SharedText;
pub(crate) use shown::{lines_of, without_secrets};
use source::Beside;
pub use store::{DatabaseKind, DatabaseUrl, StoreConfig, StorePlace};
pub use summary::Summary;
pub(crate) use summary::{describe_destination, describe_limit, describe_route};
pub(crate) use traces::TracesConfig;

use crate::allstar::NodesConfig;
use crate::builtin::MusicClass;
use crate::caller_id::CallerIdRule;
use crate::cluster::SWITCH;
use crate::conference::RoomConfig;
use crate::inband::KeyRule;
use crate::limits::LimitConfig;
use crate::overload::OverloadConfig;
use crate::parking::ParkingConfig;
use crate::qualify::QualifyConfig;
use crate::routing::Route;
use crate::sip::settings::{CARRIER, Carrier, PhoneConfig, SipConfig};
use crate::watch::Bounds;

/// All that a switch is told.
///
/// ```
/// use std::path::Path;
///
/// use oneport_switch::Config;
///
/// let config = Config::parse(Path::new("oneport.toml"), "[server]\nlisten = [\"192.0.2.1:4569\"]")?;
/// assert_eq!(config.listen, ["192.0.2.1:4569".parse()?]);
/// let error = Config::parse(Path::new("oneport.toml"), "[server]\nlissten = []").expect_err("a slip");
/// assert_eq!(error.line, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// The engine's limits and timers, call tokens included.
    pub endpoint: EndpointConfig,
    /// How long the thread looks for what arrives before it sleeps.
    pub busy_poll: Duration,
    /// How long datagrams gather before the thread takes them, where much voice comes.
    pub gather: Duration,
    pub(crate) guests: GuestLimits,
    /// What kind of switch it is, where the file says so.
    pub(crate) profile: Option<Profile>,
    /// For peers that say nothing else, and for names that do not exist.
    pub(crate) encryption: EncryptionPolicy,
    /// Shared: there may be many thousands, and the file is read again while they are in use.
    pub(crate) peers: BTreeMap<String, Arc<Peer>>,
    pub(crate) routes: Vec<Route>,
    pub(crate) limits: Vec<LimitConfig>,
    /// When new calls are refused, as there is too much to do.
    pub(crate) overload: OverloadConfig,
    /// In which routes hold at their hours.
    pub(crate) timezone: TimeZone,
    /// Whose tones are heard.
    pub(crate) tones: &'static Country,
    /// Where this switch registers.
    pub registrations: Vec<RegistrationConfig>,
    /// The SIP gateway.
    pub(crate) sip: SipConfig,
    /// Carriers behind it, each of which is a peer as well.
    pub(crate) carriers: BTreeMap<String, Carrier>,
    /// Those of the peers that speak SIP.
    pub(crate) phones: BTreeMap<String, PhoneConfig>,
    /// The HTTP API.
    pub api: ApiConfig,
    pub(crate) files: Files,
    /// Whether legs that share no codec are bridged, unless a peer says otherwise.
    pub(crate) transcoding: bool,
    /// How many such calls there may be at once.
    pub(crate) max_transcoded_calls: usize,
    pub(crate) music: BTreeMap<String, Arc<MusicClass>>,
    /// Conferences that are not as usual.
    pub(crate) conferences: BTreeMap<String, RoomConfig>,
    pub(crate) parking: ParkingConfig,
    /// How nodes of AllStarLink are looked up.
    pub(crate) nodes: NodesConfig,
    /// What is kept of calls and registrations, and where.
    pub store: StoreConfig,
    /// This switch among others with the same database; `None`: it is alone.
    pub cluster: Option<ClusterConfig>,
    /// Tables of Asterisk whose rows are peers beside those of the file; `None`: there are none.
    pub(crate) realtime: Option<RealtimeConfig>,
    /// What peers of rows have in common with those of the file; `None`: there is no file.
    pub(crate) peer_basis: Option<Arc<PeerBasis>>,
    /// Where copies of signalling go; `None`: nowhere.
    pub(crate) hep: Option<HepConfig>,
    /// Where traces of calls go; `None`: nowhere.
    pub(crate) traces: Option<TracesConfig>,
    /// Hosts of peers and registrars, where they were found.
    pub hosts: KnownHosts,
    /// Those that could not be found: their peers cannot be called, and nobody registers there.
    pub lost_hosts: BTreeSet<String>,
    /// What the command line says in place of the file.
    pub chosen_by_command: ChosenByCommand,
}

/// Which keys the command line has set: a file that is read again does not change them.
///
/// ```
/// use oneport_switch::Config;
///
/// // As behind `oneport serve --listen`.
/// let mut config = Config::default();
/// config.listen = vec!["127.0.0.1:4569".parse()?];
/// config.chosen_by_command.listen = true;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ChosenByCommand {
    /// `server.listen`.
    pub listen: bool,
    /// `api.listen`, or whether there is an API.
    pub api: bool,
}

/// What callers without a name may do.
#[derive(Clone, Debug)]
pub(crate) struct GuestLimits {
    pub(crate) enabled: bool,
    pub(crate) calls: usize,
    pub(crate) calls_per_address: usize,
    pub(crate) duration: Duration,
}

/// In which directions it is said who is connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct ConnectedLineRule {
    /// To the peer.
    pub(crate) sends: bool,
    /// From it.
    pub(crate) receives: bool,
}

/// How a peer stands for all nodes of AllStarLink.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NodeRule {
    /// A node that calls must come from where the look-up says it is.
    Checked,
    /// It need not.
    Unchecked,
}

/// Somebody with a name.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Peer {
    /// Where its numbers are looked up, the first of these by default; `*` is any it asks for.
    pub(crate) contexts: Vec<String>,
    pub(crate) secrets: Vec<Secret>,
    /// Keys of which any one proves that it is this peer.
    pub(crate) keys: Vec<PublicKey>,
    /// The key by which we prove to it who we are.
    pub(crate) own_key: Option<PrivateKey>,
    pub(crate) encryption: EncryptionPolicy,
    /// How it is watched, if it is.
    pub(crate) qualify: Option<QualifyConfig>,
    /// Whether voice to it is bundled.
    pub(crate) trunk: Option<TrunkConfig>,
    /// What its calls may hand over when they are bridged; `None`: they stay here.
    pub(crate) transfer: Option<TransferKind>,
    /// Where it is, if it does not register.
    pub(crate) address: Option<SocketAddr>,
    /// Whether it is every node of AllStarLink, each of which is looked up.
    pub(crate) nodes: Option<NodeRule>,
    /// The address that it would have if its host could be found.
    pub(crate) lost: Option<String>,
    pub(crate) codecs: Vec<Format>,
    /// Who pays for its calls, for their records.
    pub(crate) account_code: Option<String>,
    pub(crate) connected_line: ConnectedLineRule,
    /// The video that its calls may carry.
    pub(crate) video: FormatSet,
    pub(crate) priority: CodecPriority,
    /// Whether its calls may be transcoded.
    pub(crate) transcoding: bool,
    /// What it wants of the voice that it hears.
    pub(crate) voice: Wishes,
    /// All of them must let it in.
    pub(crate) acls: Vec<Acl>,
    pub(crate) methods: AuthMethods,
    /// The name and secret we use when we call it.
    pub(crate) username: Option<String>,
    pub(crate) refresh: (Duration, Duration),
    /// Where its messages wait.
    pub(crate) mailbox: Option<PathBuf>,
    /// Whether it is told of changes there (MWI).
    pub(crate) told_of_messages: bool,
    /// What it is set up with, if it is a device.
    pub(crate) provision: Option<Provision>,
    /// Half of the time within which it must answer our NEW; `None` and zero: it need not.
    pub(crate) autokill: Option<Duration>,
    pub(crate) bounds: Bounds,
    /// What the other party of its calls hears while it holds them; `None`: what that party's own
    /// side plays.
    pub(crate) hold_music: Option<String>,
    pub(crate) forwarding: Forwarding,
    pub(crate) keys_by: KeyRule,
    /// What its calls hear before an answer.
    pub(crate) early_tones: Vec<Progress>,
    /// Whose tones it hears, if not those of all.
    pub(crate) tones: Option<&'static Country>,
    pub(crate) caller_id: CallerIdRule,
    /// Numbers that lead to it while it is there, and the context they are in.
    pub(crate) extensions: Vec<String>,
    pub(crate) extension_context: String,
}

impl Peer {
    /// Whether it has anything to prove that it is this peer, but its address.
    pub(crate) fn has_proof(&self) -> bool {
        !self.secrets.is_empty() || !self.keys.is_empty()
    }

    /// Networks of which one must hold its address, where a list names any.
    pub(crate) fn networks(&self) -> Option<&[IpNet]> {
        self.acls.iter().find_map(|acl| acl.permit.as_deref())
    }

    /// Whether it may come from `address`.
    pub(crate) fn permits(&self, address: std::net::IpAddr) -> bool {
        self.acls.iter().all(|acl| acl.permits(address))
    }
}

/// Directories of audio.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) playback: Option<PathBuf>,
    pub(crate) record: PathBuf,
    pub(crate) longest_recording: Duration,
    /// Of recordings.
    pub(crate) depth: Depth,
    /// Samples in a second of a recording; `None`: as many as its codecs have.
    pub(crate) rate: Option<u32>,
}

/// What is spoken where nothing is said: what Asterisk speaks without patents or add-ons, and what
/// a relay passes on without understanding it.
pub(crate) const DEFAULT_CODECS: [Format; 10] = [
    Format::ULAW,
    Format::ALAW,
    Format::SLIN,
    Format::SLIN16,
    Format::G722,
    Format::GSM,
    Format::G729,
    Format::ILBC,
    Format::SPEEX,
    Format::OPUS,
];

impl Default for Config {
    /// Port 4569 on all addresses, guests within small limits, nobody else.
    fn default() -> Self {
        Self {
            listen: vec![
                SocketAddr::from((Ipv4Addr::UNSPECIFIED, DEFAULT_PORT)),
                SocketAddr::from((Ipv6Addr::UNSPECIFIED, DEFAULT_PORT)),
            ],
            endpoint: EndpointConfig::default(),
            busy_poll: Duration::ZERO,
            gather: Duration::from_micros(500),
            guests: GuestLimits {
                enabled: true,
                calls: 10,
                calls_per_address: 2,
                duration: Duration::from_secs(300),
            },
            profile: None,
            encryption: EncryptionPolicy::Off,
            peers: BTreeMap::new(),
            routes: Vec::new(),
            limits: Vec::new(),
            overload: OverloadConfig::default(),
            timezone: TimeZone::system(),
            tones: Country::find(tones::DEFAULT_COUNTRY).unwrap_or(&COUNTRIES[0]),
            registrations: Vec::new(),
            sip: SipConfig::default(),
            carriers: BTreeMap::new(),
            phones: BTreeMap::new(),
            api: ApiConfig::default(),
            files: Files {
                playback: None,
                record: PathBuf::from("recordings"),
                longest_recording: Duration::from_secs(3600),
                depth: Depth::default(),
                rate: None,
            },
            transcoding: true,
            max_transcoded_calls: 32,
            music: BTreeMap::new(),
            conferences: BTreeMap::new(),
            parking: ParkingConfig::default(),
            nodes: NodesConfig::default(),
            store: StoreConfig::default(),
            cluster: None,
            realtime: None,
            peer_basis: None,
            hep: None,
            traces: None,
            hosts: KnownHosts::new(),
            lost_hosts: BTreeSet::new(),
            chosen_by_command: ChosenByCommand::default(),
        }
    }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or something in it is wrong: then the error says where, what was
    /// expected, and how to mend it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(path, &read(path)?)
    }

    /// A peer by its name.
    pub(crate) fn peer(&self, name: &str) -> Option<&Peer> {
        self.peers.get(name).map(|peer| &**peer)
    }

    /// Reads a file for a switch that runs. Hosts of peers and registrars that cannot be found are
    /// no mistake, since they may be found later: they are `lost_hosts`. `known` has the addresses
    /// that hosts had before; they keep them as long as that is not wrong.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_to_run(path: &Path, known: &KnownHosts) -> Result<Self, ConfigError> {
        let text = read(path)?;
        file::File::parse(path, &text)?.check(path, &text, Beside::MayBeMissing, known)
    }

    /// The same as [`load`](Self::load) with what several switches share beside the file of each: what stands in both is a
    /// mistake.
    ///
    /// # Errors
    /// As [`load`](Self::load); the error says in which of both.
    pub fn load_with(path: &Path, shared: &SharedText) -> Result<Self, ConfigError> {
        Self::parse_with(path, &read(path)?, Some(shared))
    }

    /// Reads `text`, which came from `path`, with what several switches share.
    pub(crate) fn parse_with(
        path: &Path,
        text: &str,
        shared: Option<&SharedText>,
    ) -> Result<Self, ConfigError> {
        match shared {
            Some(shared) => shared.check_with(path, text, Beside::Needed, &KnownHosts::new()),
            None => Self::parse(path, text),
        }
    }

    /// The same as [`load_to_run`](Self::load_to_run) with what several switches share.
    ///
    /// # Errors
    /// As [`load_with`](Self::load_with).
    pub fn load_to_run_with(
        path: &Path,
        shared: &SharedText,
        known: &KnownHosts,
    ) -> Result<Self, ConfigError> {
        shared.check_with(path, &read(path)?, Beside::MayBeMissing, known)
    }

    /// Which of several switches the one with this file is, and where their database is; `None`: it is alone. Nothing
    /// else of the file needs to be right.
    ///
    /// # Errors
    /// The file cannot be read, or is not written as it should be.
    pub fn cluster_place(path: &Path) -> Result<Option<(ClusterConfig, DatabaseUrl)>, ConfigError> {
        let text = read(path)?;
        let (store, cluster) = file::File::parse(path, &text)?.place_of_switches(path, &text)?;
        Ok(match (cluster, store.place) {
            (Some(cluster), StorePlace::Server { url, .. }) => Some((cluster, url)),
            _ => None,
        })
    }

    /// Reads a file to see what it would do, without whatever it names: secrets may be missing, and
    /// hosts are not looked up.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_alone(path: &Path) -> Result<Self, ConfigError> {
        let text = read(path)?;
        file::File::parse(path, &text)?.check(path, &text, Beside::Ignored, &KnownHosts::new())
    }

    /// Where the API of the switch with this file listens; nothing else of the file needs to be
    /// right, nor its secrets to be readable.
    ///
    /// # Errors
    /// The file cannot be read, or is not written as it should be.
    pub fn api_address(path: &Path) -> Result<SocketAddr, ConfigError> {
        let text = read(path)?;
        file::File::parse(path, &text)?.api_address(path, &text)
    }

    /// Where the switch with this file keeps its records, with the secret that opens that; the same holds for
    /// the rest of the file.
    ///
    /// # Errors
    /// As [`api_address`](Self::api_address).
    pub fn store_place(path: &Path) -> Result<StorePlace, ConfigError> {
        let text = read(path)?;
        Ok(file::File::parse(path, &text)?.store(path, &text)?.place)
    }

    /// Reads `text`, which came from `path`.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        file::File::parse(path, text)?.check(path, text, Beside::Needed, &KnownHosts::new())
    }

    /// Whether whoever dials this name reaches a peer by it. Carriers are reached by routes alone: who
    /// may call at their cost is for those to say.
    pub(crate) fn is_peer_by_name(&self, number: &str) -> bool {
        self.peers.contains_key(number)
            && !number.starts_with(CARRIER)
            && !number.starts_with(SWITCH)
    }

    /// Whether a peer speaks SIP, so that the gateway is between.
    pub(crate) fn is_behind_gateway(&self, peer: &str) -> bool {
        peer.starts_with(CARRIER) || self.phones.contains_key(peer)
    }

    /// Whether a host has another address now, or has been found; it may take as long as the name
    /// server does.
    #[must_use]
    pub fn hosts_have_moved(known: &KnownHosts, lost: &BTreeSet<String>) -> bool {
        // What is lost may be either.
        let hosts = known.addresses.keys().chain(lost).map(String::as_str);
        let registrars = known.registrars.keys().chain(lost).map(String::as_str);
        hosts::Hosts::of(hosts, registrars, known).into_known().0 != *known
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|error| ConfigError::unreadable(path, &error))
}

/// The engine's rules for call tokens out of the peers'.
fn token_policy(peers: &BTreeMap<String, TokenRule>) -> CallTokenPolicy {
    let mut policy = CallTokenPolicy::default();
    for (name, rule) in peers {
        policy.users.insert(name.clone(), *rule);
        policy.peers.insert(name.clone(), *rule);
    }
    policy
}

/// A network of the configuration as the engine knows it.
fn engine_network(network: IpNet) -> Network {
    Network { address: network.addr(), prefix: network.prefix_len() }
}
