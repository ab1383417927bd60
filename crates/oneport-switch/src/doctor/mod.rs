//! What is weak in a configuration, of ours or of Asterisk: each with its place, its cost and the
//! line that mends it. `docs/doctor.md` describes each; a test keeps both the same.
//!
//! A survey of the configuration is made first, by `ours` or `asterisk`; the rules look at that
//! alone. Nothing here reads a file, and `rows` alone asks a database; `shared` is told what it says.

mod asterisk;
mod ours;
mod rows;
mod rules;
mod shared;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use oneport_wire::Format;
use serde::Serialize;

use crate::import::Place;
use crate::routing::Pattern;

pub use asterisk::examine_asterisk;
pub use ours::examine;
pub use rows::examine_rows;
pub use shared::examine_shared;

/// The line, from 1, at which a section of a file begins.
fn line_of_section(text: &str, heading: &str) -> usize {
    let begins = |line: &str| line.trim_start().starts_with(heading);
    text.lines().position(begins).unwrap_or_default() + 1
}

/// How much a weakness matters.
///
/// ```
/// use oneport_switch::doctor::Severity;
///
/// assert!(Severity::Danger > Severity::Notice);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It costs something.
    Notice,
    /// Something will fail, or is easier for an attacker than it need be.
    Warning,
    /// Strangers can call at your expense, listen, or flood.
    Danger,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Danger => "danger",
        })
    }
}

/// The kinds of weakness, each with a name that stays.
///
/// ```
/// use oneport_switch::doctor::Weakness;
///
/// for weakness in Weakness::ALL {
///     println!("{}: {}", weakness.id(), weakness.cost());
/// }
/// assert_eq!(Weakness::ShortSecret.id(), "short-secret");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "docs/doctor.md describes each")]
pub enum Weakness {
    Plaintext,
    PermitEverywhere,
    NoCallToken,
    SpoofablePeer,
    NoTrunk,
    NoTrunkTimestamps,
    NoCommonCodec,
    NotEncrypted,
    NoQualify,
    SlowKeepAlive,
    ShortSecret,
    SecretIsName,
    ReusedSecret,
    ReadableSecret,
    GuestsOpen,
    NoRoute,
    ShadowedRoute,
    UnreachableRoute,
    RegistrationWithoutSecret,
    ApiInTheClear,
    TracesInTheClear,
    NoOverloadControl,
    RadioInTheClear,
    RealtimeTables,
    RealtimeRow,
    SharedUnread,
    SharedRefused,
    SharedBehind,
}

impl Weakness {
    /// All of them.
    pub const ALL: [Self; 28] = [
        Self::Plaintext,
        Self::PermitEverywhere,
        Self::NoCallToken,
        Self::SpoofablePeer,
        Self::NoTrunk,
        Self::NoTrunkTimestamps,
        Self::NoCommonCodec,
        Self::NotEncrypted,
        Self::NoQualify,
        Self::SlowKeepAlive,
        Self::ShortSecret,
        Self::SecretIsName,
        Self::ReusedSecret,
        Self::ReadableSecret,
        Self::GuestsOpen,
        Self::NoRoute,
        Self::ShadowedRoute,
        Self::UnreachableRoute,
        Self::RegistrationWithoutSecret,
        Self::ApiInTheClear,
        Self::TracesInTheClear,
        Self::NoOverloadControl,
        Self::RadioInTheClear,
        Self::RealtimeTables,
        Self::RealtimeRow,
        Self::SharedUnread,
        Self::SharedRefused,
        Self::SharedBehind,
    ];

    /// Its name.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::PermitEverywhere => "permit-everywhere",
            Self::NoCallToken => "no-call-token",
            Self::SpoofablePeer => "spoofable-peer",
            Self::NoTrunk => "no-trunk",
            Self::NoTrunkTimestamps => "no-trunk-timestamps",
            Self::NoCommonCodec => "no-common-codec",
            Self::NotEncrypted => "not-encrypted",
            Self::NoQualify => "no-qualify",
            Self::SlowKeepAlive => "slow-keep-alive",
            Self::ShortSecret => "short-secret",
            Self::SecretIsName => "secret-is-name",
            Self::ReusedSecret => "reused-secret",
            Self::ReadableSecret => "readable-secret",
            Self::GuestsOpen => "guests-open",
            Self::NoRoute => "no-route",
            Self::ShadowedRoute => "shadowed-route",
            Self::UnreachableRoute => "unreachable-route",
            Self::RegistrationWithoutSecret => "registration-without-secret",
            Self::ApiInTheClear => "api-in-the-clear",
            Self::TracesInTheClear => "traces-in-the-clear",
            Self::NoOverloadControl => "no-overload-control",
            Self::RadioInTheClear => "radio-in-the-clear",
            Self::RealtimeTables => "realtime-tables",
            Self::RealtimeRow => "realtime-row",
            Self::SharedUnread => "shared-unread",
            Self::SharedRefused => "shared-refused",
            Self::SharedBehind => "shared-behind",
        }
    }

    /// What it costs, in one sentence.
    #[must_use]
    pub const fn cost(self) -> &'static str {
        match self {
            Self::Plaintext => "Whoever sees one packet of it has the secret.",
            Self::PermitEverywhere => {
                "Whoever finds the secret can use it from anywhere, and call at your expense."
            }
            Self::NoCallToken => {
                "A flood of spoofed packets takes up calls, since no address is proved first."
            }
            Self::SpoofablePeer => "Whoever writes its address on a packet calls in its name.",
            Self::NoTrunk => {
                "Each call costs 50 packets a second each way; a trunk puts up to eight calls into \
                 one."
            }
            Self::NoTrunkTimestamps => {
                "All calls of a datagram get one time, so the jitter buffer delays all as the \
                 worst of them."
            }
            Self::NoCommonCodec => {
                "Calls between the two are transcoded, which costs time and quality, or refused with \
                 cause 58."
            }
            Self::NotEncrypted => "Everybody on the way can hear the calls and see the numbers.",
            Self::NoQualify => {
                "A call to it while it is gone waits until it is given up, before another \
                 destination is tried."
            }
            Self::SlowKeepAlive => {
                "Many NATs forget an idle way after 30 s, and then no call comes in."
            }
            Self::ShortSecret => {
                "Whoever hears one MD5 answer can try secrets at leisure, the short ones first."
            }
            Self::SecretIsName => "It is the first secret that an attacker tries.",
            Self::ReusedSecret => "Whoever has the secret of one peer can be the other.",
            Self::ReadableSecret => "Every user and program of the machine can read the secret.",
            Self::GuestsOpen => "Anybody who finds the port can call what guests may.",
            Self::NoRoute => "What it calls leads nowhere, but to names of peers.",
            Self::ShadowedRoute => "It is never taken, whatever is called.",
            Self::UnreachableRoute => "It is never taken, whoever calls.",
            Self::RegistrationWithoutSecret => {
                "The registrar refuses it, or lets anybody register in our place."
            }
            Self::ApiInTheClear => {
                "Whoever sees one request has its token, and with that the switch."
            }
            Self::TracesInTheClear => {
                "Whoever is on the way sees who calls whom, and the secret that goes with it."
            }
            Self::NoOverloadControl => {
                "Past what the machine can do each new call is taken, until all are choppy."
            }
            Self::RadioInTheClear => {
                "Everybody on the way can hear the calls, as everybody on the air can; amateur radio \
                 wants it so."
            }
            Self::RealtimeTables => "Nobody who is in the tables can register or call.",
            Self::RealtimeRow => "Asterisk does something for this row that this switch does not.",
            Self::SharedUnread => {
                "A switch that starts now has the peers and routes that it kept, if any, and none that are newer."
            }
            Self::SharedRefused => {
                "This switch stays with what it runs: nothing that is set for all switches changes anything here."
            }
            Self::SharedBehind => {
                "A phone, a route or a limit that was set for all switches is not the same at all."
            }
        }
    }
}

/// One weakness, found.
///
/// ```
/// use std::path::Path;
///
/// use oneport_switch::doctor::{Weakness, examine};
///
/// let text = "[peers.ann]\nsecret = \"ann\"";
/// let findings = examine(Path::new("oneport.toml"), text, None, &|_| false)?;
/// let finding = findings.iter().find(|finding| finding.id == Weakness::SecretIsName).ok_or("none")?;
/// println!("line {}: {}; {}", finding.line, finding.what, finding.mend);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// What kind.
    pub id: Weakness,
    /// How much it matters here.
    pub severity: Severity,
    /// The file it stands in.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is weak.
    pub what: String,
    /// What that costs.
    pub cost: &'static str,
    /// The line that mends it.
    pub mend: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, severity, file, line, what, cost, mend } = self;
        writeln!(f, "{severity:<8} {file}:{line}  {what} [{}]", id.id())?;
        writeln!(f, "{:9}{cost}", "")?;
        write!(f, "{:9}mend: {mend}", "")
    }
}

/// Whose words the mending lines are in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Dialect {
    Ours,
    Asterisk,
}

/// A configuration as the rules see it.
#[derive(Debug)]
struct Survey {
    dialect: Dialect,
    peers: Vec<Subject>,
    routes: Vec<RouteSubject>,
    registrations: Vec<Registrar>,
    /// Where guests are let in.
    guests: Option<Place>,
    /// Networks from which nobody needs a call token.
    tokenless: Vec<(IpNet, Place)>,
    /// The HTTP API listens here, beyond the loopback.
    api: Option<(SocketAddr, Place)>,
    /// Traces of calls go beyond the loopback in the clear, with headers or without.
    traces: Option<(bool, Place)>,
    /// New calls are taken whatever there is to do, or nearly so: what the file says, and where.
    no_overload_control: Option<(String, Place)>,
    /// Where it says that it is for amateur radio, which encrypts nothing.
    for_radio: Option<Place>,
    /// Asterisk's jitter buffer is on.
    jitter_buffer: bool,
}

/// A peer as the rules see it.
#[derive(Debug)]
struct Subject {
    name: String,
    place: Place,
    /// Where it is, if that is fixed and an address.
    address: Option<IpAddr>,
    is_fixed: bool,
    /// It can be called.
    dialable: bool,
    plaintext: Option<Place>,
    /// Where it says that it may come from everywhere.
    permit_all: Option<Place>,
    /// Networks it may come from; empty: everywhere.
    permit: Vec<IpNet>,
    /// Where it says that it needs no call token.
    tokenless: Option<Place>,
    /// It says that it needs one, from wherever.
    needs_token: bool,
    /// It has something to prove that it is this peer, but its address.
    has_proof: bool,
    trunk: bool,
    /// Its trunk carries no timestamps; said here.
    no_timestamps: Option<Place>,
    codecs: Vec<Format>,
    codecs_place: Place,
    encrypted: bool,
    /// It is not polled; said here, or nowhere.
    unpolled: Option<Place>,
    /// Seconds between polls, and where that is said.
    polls: Option<(u64, Place)>,
    /// Secrets and where they are, or where it is said in which file they are.
    secrets: Vec<(String, Place)>,
    /// Contexts its calls are looked up in.
    contexts: Vec<String>,
}

/// A route as the rules see it.
#[derive(Debug)]
struct RouteSubject {
    place: Place,
    pattern: Pattern,
    contexts: Vec<String>,
    from: Vec<String>,
    at_some_hours: bool,
    /// Peers it leads to.
    peers: Vec<String>,
}

/// A registration elsewhere as the rules see it.
#[derive(Debug)]
struct Registrar {
    place: Place,
    to: String,
    has_proof: bool,
    plaintext: Option<Place>,
}
