//! `oneport iax2 show`: the same in the very columns that Asterisk 22 prints, so that scripts which read
//! those go on working.
//!
//! Widths are those of its console. What it shows of itself alone, such as the DNS manager, has the
//! value that it would have here; secrets are not shown.

use std::net::{IpAddr, SocketAddr};

use clap::{Args, Subcommand};
use oneport_switch::api::model::{
    LegView, PeerState, PeerView, RegisteredThere, RegistrationState, Registrations,
};

use crate::api::{ApiArgs, Client};
use crate::exit::Failure;

/// Shows a running switch as Asterisk's console would
#[derive(Args)]
pub(crate) struct Iax2 {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Shows a list as Asterisk's console would
    Show(Show),
}

#[derive(Args)]
#[command(after_help = "\
Example:
  oneport iax2 show peers | awk '$NF == \"UNREACHABLE\" { print $1 }'")]
struct Show {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(Subcommand)]
enum What {
    /// As `iax2 show peers`
    Peers,
    /// As `iax2 show channels`
    Channels,
    /// As `iax2 show registry`
    Registry,
    /// As `iax2 show netstats`
    Netstats,
    /// As `iax2 show users`, without the secrets
    Users,
}

impl Iax2 {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let Command::Show(show) = self.command;
        let client = show.api.client()?;
        let lines = show.what.lines(&client)?;
        for line in lines {
            say!("{line}");
        }
        Ok(())
    }
}

impl What {
    fn lines(&self, client: &Client) -> Result<Vec<String>, Failure> {
        Ok(match self {
            Self::Peers => peers(&client.all("/v1/peers", "peers")?),
            Self::Users => users(&client.all("/v1/peers", "peers")?),
            Self::Channels => channels(&client.all("/v1/netstats", "legs")?),
            Self::Netstats => netstats(&client.all("/v1/netstats", "legs")?),
            Self::Registry => {
                let all: Registrations = client.get("/v1/registrations?limit=1")?;
                registry(&all.elsewhere)
            }
        })
    }
}

/// `text` in a column of so many characters, cut off where it is longer.
fn cell(text: &str, width: usize) -> String {
    let cut: String = text.chars().take(width).collect();
    format!("{cut:<width$}")
}

fn host_and_port(address: Option<&String>) -> (String, String) {
    match address.and_then(|address| address.parse::<SocketAddr>().ok()) {
        Some(address) => (address.ip().to_string(), address.port().to_string()),
        None => ("(null)".into(), "(null)".into()),
    }
}

fn peers(peers: &[PeerView]) -> Vec<String> {
    let mut lines = vec![format!(
        "{}  {}  {}  {}  {}  {}",
        cell("Name/Username", 15),
        cell("Host", 45),
        cell("Mask", 40),
        cell("Port", 13),
        cell("Status", 10),
        cell("Description", 32),
    )];
    let (mut online, mut offline, mut unmonitored) = (0, 0, 0);
    for peer in peers {
        let (host, port) = host_and_port(peer.address.as_ref());
        let name = match &peer.username {
            Some(username) => format!("{}/{username}", peer.name),
            None => peer.name.clone(),
        };
        let milliseconds = peer.latency_ms.unwrap_or_default().round();
        let status = match peer.state {
            PeerState::Unmonitored => "Unmonitored".into(),
            PeerState::Unknown => "UNKNOWN".into(),
            PeerState::Unreachable => "UNREACHABLE".into(),
            PeerState::Lagged => format!("LAGGED ({milliseconds} ms)"),
            PeerState::Ok => format!("OK ({milliseconds} ms)"),
        };
        match peer.state {
            PeerState::Unmonitored => unmonitored += 1,
            PeerState::Ok | PeerState::Lagged => online += 1,
            PeerState::Unknown | PeerState::Unreachable => offline += 1,
        }
        let whole = match host.parse::<IpAddr>() {
            Ok(IpAddr::V6(_)) => "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            _ => "255.255.255.255",
        };
        lines.push(format!(
            "{}  {} {}  {}  {port:<6}{} {}  {status:<11} {}",
            cell(&name, 15),
            cell(&host, 40),
            if peer.registers { "(D)" } else { "(S)" },
            cell(if peer.registers { "(null)" } else { whole }, 40),
            if peer.trunk { "(T)" } else { "   " },
            if peer.encryption == "off" { "   " } else { "(E)" },
            cell("", 32),
        ));
    }
    lines.push(format!(
        "{} iax2 peers [{online} online, {offline} offline, {unmonitored} unmonitored]",
        peers.len()
    ));
    lines
}

fn users(peers: &[PeerView]) -> Vec<String> {
    let line = |cells: [&str; 6]| {
        let [name, secret, auth, context, acl, codecs] = cells;
        format!(
            "{}  {}  {}  {}  {}  {}",
            cell(name, 15),
            cell(secret, 20),
            cell(auth, 15),
            cell(context, 15),
            cell(acl, 5),
            codecs
        )
    };
    let heading = ["Username", "Secret", "Authen", "Def.Context", "A/C", "Codec Pref"];
    let mut lines = vec![line(heading)];
    for peer in peers {
        // The bits of AUTHMETHODS (RFC 5456 §8.6.13).
        let methods = [("plaintext", 1), ("md5", 2), ("rsa", 4)];
        let has = |name: &str| peer.auth.iter().any(|own| own == name);
        let bits: u32 = methods.iter().filter(|(name, _)| has(name)).map(|(_, bit)| bit).sum();
        let codecs = match peer.codec_priority.as_str() {
            "caller" => "Caller",
            "disabled" => "Disabled",
            "reqonly" => "ReqOnly",
            _ => "Host",
        };
        let bits = format!("{bits:015}");
        let context = peer.contexts.first().map_or("", String::as_str);
        let acl = if peer.restricted { "Yes" } else { "No" };
        lines.push(line([&peer.name, "***", &bits, context, acl, &format!("{codecs:<5}")]));
    }
    lines
}

fn registry(registrations: &[RegisteredThere]) -> Vec<String> {
    let line = |cells: [&str; 4], refresh: &str, state: &str| {
        let [host, dns, username, perceived] = cells;
        format!(
            "{}  {}  {}  {} {refresh:>8}  {state}",
            cell(host, 45),
            cell(dns, 6),
            cell(username, 10),
            cell(perceived, 45),
        )
    };
    let mut lines = vec![line(["Host", "dnsmgr", "Username", "Perceived"], "Refresh", "State")];
    for one in registrations {
        let state = match one.state {
            RegistrationState::Registered => "Registered",
            RegistrationState::Trying => "Request Sent",
            RegistrationState::Failed => match one.failure.as_deref() {
                Some(why) if why.contains("does not answer") => "Timeout",
                Some(why) if why.contains("proof") => "No Authentication",
                _ => "Rejected",
            },
        };
        let perceived = one.apparent_address.as_deref().unwrap_or("<Unregistered>");
        let refresh = one.refresh_seconds.to_string();
        lines.push(line([&one.registrar, "N", &one.username, perceived], &refresh, state));
    }
    lines.push(format!("{} IAX2 registrations.", registrations.len()));
    lines
}

/// The first and the last message of a leg, as the last two columns have them.
fn messages(leg: &LegView) -> String {
    let side = |message: &str| {
        let (way, name) = message.split_once(':').unwrap_or(("", message));
        format!("{way}:{name:<7}")
    };
    format!("{}  {}", side(&leg.first_message), side(&leg.last_message))
}

fn peer_host(leg: &LegView) -> String {
    host_and_port(Some(&leg.address)).0
}

#[expect(clippy::cast_possible_truncation, reason = "milliseconds of a call")]
fn whole(milliseconds: f64) -> i64 {
    milliseconds.round() as i64
}

fn channels(legs: &[LegView]) -> Vec<String> {
    let mut lines = vec![
        "Channel               Peer                                      Username    ID (Lo/Rem)  \
         Seq (Tx/Rx)  Lag      Jitter  JitBuf  Format  FirstMsg    LastMsg"
            .to_string(),
    ];
    for leg in legs {
        lines.push(format!(
            "{}  {}  {}  {:05}/{:05}  {:05}/{:05}  {:05}ms  {:05}ms  {:04}ms  {}  {}",
            cell(&leg.channel, 20),
            cell(&peer_host(leg), 40),
            cell(leg.peer.as_deref().unwrap_or("(None)"), 10),
            leg.our_number.unwrap_or(0),
            leg.their_number.unwrap_or(0),
            leg.sent_sequence,
            leg.received_sequence,
            whole(leg.lag_ms.unwrap_or(0.0)),
            whole(leg.heard.jitter_ms),
            0,
            cell(leg.codec.as_deref().unwrap_or("Unknow"), 6),
            messages(leg),
        ));
    }
    lines.push(format!("{} active IAX channel{}", legs.len(), plural(legs.len())));
    lines
}

const fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn netstats(legs: &[LegView]) -> Vec<String> {
    let mut lines = vec![
        format!(
            "{:32}-------- LOCAL ---------------------  -------- REMOTE --------------------",
            ""
        ),
        "Channel                    RTT  Jit  Del  Lost   %  Drop  OOO  Kpkts  Jit  Del  Lost   %  \
         Drop  OOO  Kpkts FirstMsg    LastMsg"
            .to_string(),
    ];
    let percent = |lost: u64, heard: u64| lost * 100 / (lost + heard).max(1);
    for leg in legs {
        let heard = &leg.heard;
        let there = leg.heard_there.as_ref();
        let of_there = |figure: Option<u64>| figure.unwrap_or(0);
        lines.push(format!(
            "{:<24} {:>4} {:>4} {:>4} {:>5} {:>3} {:>5} {:>4} {:>6} {:>4} {:>4} {:>5} {:>3} \
             {:>5} {:>4} {:>6} {}",
            leg.channel,
            whole(leg.rtt_ms.unwrap_or(0.0)),
            whole(heard.jitter_ms),
            0,
            heard.lost,
            percent(heard.lost, heard.frames),
            heard.late,
            heard.out_of_order,
            heard.frames / 1000,
            of_there(there.map(|there| there.jitter_ms)),
            of_there(there.map(|there| there.delay_ms)),
            of_there(there.map(|there| there.lost.into())),
            of_there(there.map(|there| there.lost_percent.into())),
            of_there(there.map(|there| there.dropped.into())),
            of_there(there.map(|there| there.out_of_order.into())),
            of_there(there.map(|there| u64::from(there.frames) / 1000)),
            messages(leg),
        ));
    }
    lines.push(format!("{} active IAX channel{}", legs.len(), plural(legs.len())));
    lines
}
