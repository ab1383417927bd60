//! What the gateway is told.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use oneport_media::ilbc::Mode;
use oneport_proto::Secret;
use oneport_wire::Format;

use super::caller::Identity;
use super::media::MediaConfig;
use super::numbers::NumberRule;
use super::phones::digest::Algorithm;
use super::sdp::SrtpUse;
use super::streams::Most;
use crate::caller_id::CallerIdRule;
use crate::config::Acl;

/// The port of SIP where none is named (RFC 3261 §19.1.2), and that of SIP over TLS.
pub(crate) const SIP_PORT: u16 = 5060;
pub(crate) const SIPS_PORT: u16 = 5061;

/// Begins the name under which a carrier is known as a peer.
pub(crate) const CARRIER: &str = "carrier:";

/// The variable that counts how many switches a call has come through. Asterisk hands it on, and the
/// gateway takes it along as a header.
pub(crate) const HOPS: &str = "ONEPORT_HOPS";

/// The variable in which the gateway says where a call from a carrier has come from.
pub(crate) const SOURCE: &str = "SIPADDRESS";

/// The variable by which switch and gateway know the leg of a call on both sides.
pub(crate) const LEG: &str = "SIPLEG";

/// The variable in which the gateway says whose place a call takes: the word of that leg.
pub(crate) const REPLACES: &str = "SIPREPLACES";

/// What stands behind that word where only a leg that rings is to be replaced.
pub(crate) const EARLY_ONLY: &str = ";early-only";

/// What files have for a transport that is as the name server says.
pub(crate) const AUTO: &str = "auto";

/// What carries SIP.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Transport {
    /// One message in a datagram.
    Udp,
    /// A stream.
    Tcp,
    /// A stream, encrypted.
    Tls,
}

impl Transport {
    /// All, by the names that files have for them, and [`AUTO`].
    pub(crate) const WORDS: [&str; 4] = ["udp", "tcp", "tls", AUTO];

    /// By its name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "udp" => Some(Self::Udp),
            "tcp" => Some(Self::Tcp),
            "tls" => Some(Self::Tls),
            _ => None,
        }
    }

    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }

    /// The port where none is named.
    pub(crate) const fn port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => SIP_PORT,
            Self::Tls => SIPS_PORT,
        }
    }
}

/// `[sip]`.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct SipConfig {
    /// Where it listens.
    pub(crate) listen: Vec<(Transport, SocketAddr)>,
    /// The address that carriers see, where it is not one of this machine.
    pub(crate) public_address: Option<IpAddr>,
    /// Ports of media, the even ones for RTP.
    pub(crate) rtp_ports: RangeInclusive<u16>,
    /// How long packets of media gather where many come.
    pub(crate) rtp_gather: Duration,
    /// The certificate chain and its key (PEM) for TLS.
    pub(crate) certificate: Option<(PathBuf, PathBuf)>,
    /// Certificates (PEM) by which carriers prove who they are over TLS, in place of the usual ones.
    pub(crate) authorities: Option<PathBuf>,
    /// Name servers for carriers' hosts; those of the system, if there are none.
    pub(crate) name_servers: Vec<IpAddr>,
    /// Calls at once, of all carriers.
    pub(crate) max_calls: usize,
    /// Calls that one carrier may begin in a second; more get 503.
    pub(crate) max_invites_per_second: usize,
    /// Requests that are looked at in a second from one address that is no carrier's.
    pub(crate) max_requests_per_second: u32,
    /// Connections that others may open.
    pub(crate) max_connections: Most,
    /// What phones are told whose users they are when they are asked for a proof.
    pub(crate) realm: String,
}

impl Default for SipConfig {
    fn default() -> Self {
        Self {
            listen: vec![(Transport::Udp, SocketAddr::from(([0, 0, 0, 0], SIP_PORT)))],
            public_address: None,
            rtp_ports: 10_000..=19_999,
            rtp_gather: MediaConfig::default().gather,
            certificate: None,
            authorities: None,
            name_servers: Vec::new(),
            max_calls: 2_000,
            max_invites_per_second: 100,
            max_requests_per_second: 50,
            max_connections: Most { in_all: 1_000, of_address: 100 },
            realm: "oneport".into(),
        }
    }
}

/// `[carriers.NAME]`, without what it has as a peer.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Carrier {
    /// Its host: a name or an address.
    pub(crate) host: String,
    /// `None`: that of the name server's SRV entries, else the usual one.
    pub(crate) port: Option<u16>,
    /// `None`: that which the name server's NAPTR entries prefer, else UDP.
    pub(crate) transport: Option<Transport>,
    /// The domain in what we say of ourselves; its host, where nothing else is said.
    pub(crate) domain: String,
    /// The name it knows us by, and the secret that proves it.
    pub(crate) login: Option<Login>,
    /// How long a registration is asked for; `None`: we do not register.
    pub(crate) register: Option<Duration>,
    /// Whether it is asked (OPTIONS) if it is there, and how often.
    pub(crate) keep_alive: Option<Duration>,
    /// Networks its calls come from; empty: its host's addresses alone.
    pub(crate) networks: Vec<ipnet::IpNet>,
    /// Its codecs, best first.
    pub(crate) codecs: Vec<Format>,
    /// What it is told of who calls.
    pub(crate) caller_id: CallerIdRule,
    /// In which headers it is told that, beside `From`.
    pub(crate) identity: Identity,
    /// Headers of its own, and the variables that they are here.
    pub(crate) headers: Vec<(String, String)>,
    /// How it writes numbers.
    pub(crate) numbers: NumberRule,
    /// How long a session holds without being renewed (RFC 4028); `None`: for ever.
    pub(crate) session: Option<Duration>,
    /// How it is told keys.
    pub(crate) keys: Keys,
    /// Whether its voice is encrypted.
    pub(crate) srtp: SrtpUse,
    /// How long frames of iLBC are, where it wants them so too.
    pub(crate) ilbc: Mode,
}

impl Carrier {
    /// The name it knows us by, or one that says what we are.
    pub(crate) fn own_name(&self) -> &str {
        self.login.as_ref().map_or("oneport", |login| login.username.as_str())
    }
}

/// A `[peers.NAME]` that speaks SIP, without what it has as a peer.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct PhoneConfig {
    /// Of which any one proves that it is this phone.
    pub(crate) secrets: Vec<Secret>,
    /// In which ways it may prove it, the best first.
    pub(crate) digests: Vec<Algorithm>,
    /// All of them must let it in.
    pub(crate) acls: Vec<Acl>,
    /// For how long it registers: at least, and at most.
    pub(crate) refresh: (Duration, Duration),
    /// How it is asked (OPTIONS) whether it is there, if it is.
    pub(crate) watch: Option<Watch>,
    /// Its codecs, best first.
    pub(crate) codecs: Vec<Format>,
    /// How it is told keys.
    pub(crate) keys: Keys,
    /// Whether its voice is encrypted.
    pub(crate) srtp: SrtpUse,
    /// How long frames of iLBC are, where it wants them so too.
    pub(crate) ilbc: Mode,
    /// How it is told how many messages wait for it, if it has a mailbox.
    pub(crate) mwi: Option<Mwi>,
}

/// How a phone is told of its messages (RFC 3842).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mwi {
    /// Without being asked, until it subscribes.
    Auto,
    /// Where it subscribes.
    Subscribed,
    /// Without being asked; it may not subscribe.
    Unsolicited,
}

impl Mwi {
    /// All, by the names that files have for them.
    pub(crate) const NAMES: [&str; 3] = ["auto", "subscribed", "unsolicited"];

    /// By its name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "auto" => Some(Self::Auto),
            "subscribed" => Some(Self::Subscribed),
            "unsolicited" => Some(Self::Unsolicited),
            _ => None,
        }
    }
}

/// How a phone is asked whether it is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Watch {
    /// A round trip above this is too long for calls.
    pub(crate) limit: Duration,
    /// From one time to the next, and the same while it is not well.
    pub(crate) interval: Duration,
    pub(crate) not_ok_interval: Duration,
}

impl PhoneConfig {
    /// Whether it may come from `address`.
    pub(crate) fn permits(&self, address: IpAddr) -> bool {
        self.acls.iter().all(|acl| acl.permits(address))
    }
}

/// Who we are to a carrier.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Login {
    pub(crate) username: String,
    /// The name in digests, where that is another.
    pub(crate) auth_username: Option<String>,
    pub(crate) secret: Secret,
}

/// How keys go to a carrier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Keys {
    /// As events among the voice (RFC 4733).
    Events,
    /// As INFO requests.
    Info,
    /// As tones in the voice.
    Inband,
}

impl Keys {
    /// All, by the names that files have for them.
    pub(crate) const NAMES: [&str; 3] = ["rfc4733", "info", "inband"];

    /// By its name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "rfc4733" => Some(Self::Events),
            "info" => Some(Self::Info),
            "inband" => Some(Self::Inband),
            _ => None,
        }
    }
}
