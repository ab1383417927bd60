//! `oneport show`: what a running switch has.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use clap::{Args, Subcommand};
use oneport_switch::api::model::{
    CallState, CallView, CapacityView, CarrierView, CarriersView, ConferenceView, LegView,
    LimitView, LimitsView, ParkingView, PeerCapacityView, PeerState, PeerView, RadioView,
    RegistrationState, Registrations, SwitchState, SwitchView, SwitchesView,
};
use oneport_switch::store::Page;
use oneport_switch::{Cdr, Refusal};
use serde_json::json;

use crate::api::{ApiArgs, Client, encoded};
use crate::exit::{Failure, failed};
use crate::table::{Room, clock, count, left, name, or_dash, right, table, wide};

/// How often `--watch` looks again.
const PERIOD: Duration = Duration::from_secs(2);

/// Shows what a running switch has
#[derive(Args)]
#[command(after_help = "\
Examples:
  oneport show peers --state unreachable
  oneport show calls --watch
  oneport show limits --json --api 192.0.2.1:8569 --token-file monitor.token")]
pub(crate) struct Show {
    #[command(subcommand)]
    what: What,
    /// Prints JSON
    #[arg(long, global = true)]
    json: bool,
    /// Shows it again every two seconds
    #[arg(long, global = true)]
    watch: bool,
    /// Shows all columns, and shortens nothing; so it is too where the output is no terminal
    #[arg(long, global = true)]
    wide: bool,
    #[command(flatten)]
    api: ApiArgs,
}

#[derive(Subcommand)]
enum What {
    /// Peers: where they are, and whether they answer polls
    Peers {
        /// Only those in this state: unmonitored, unknown, ok, lagged, unreachable
        #[arg(long)]
        state: Option<String>,
    },
    /// Calls that are up
    Calls {
        /// Only those with this peer
        #[arg(long)]
        peer: Option<String>,
        /// Only those to this number
        #[arg(long)]
        number: Option<String>,
    },
    /// Registrations here, and ours elsewhere
    Registrations,
    /// SIP carriers: whether they answer, and whether we are registered there
    Carriers,
    /// Switches with the same database: whether they are there
    Switches,
    /// Loss, jitter and delay of each leg
    Netstats,
    /// Limits and their use
    Limits,
    /// How busy it is, and how many more calls fit
    Capacity,
    /// Conferences that somebody is in, and who
    Conferences,
    /// Calls that wait in the parking lot
    Parking,
    /// Radio nodes: who is linked with whom, and who is keyed
    Radio,
    /// The last call detail records
    Cdr {
        /// Only those of this peer
        #[arg(long)]
        peer: Option<String>,
        /// Only those from or to this number; `*` at its end stands for any end
        #[arg(long)]
        number: Option<String>,
        /// How many
        #[arg(long, default_value_t = 20)]
        last: u32,
    },
    /// The last calls that were refused, and why
    Refusals {
        /// Only those of this peer
        #[arg(long)]
        peer: Option<String>,
        /// How many
        #[arg(long, default_value_t = 20)]
        last: u32,
    },
}

impl Show {
    /// What `oneport show switches` shows.
    pub(crate) fn switches(json: bool, api: ApiArgs) -> Self {
        Self { what: What::Switches, json, watch: false, wide: false, api }
    }

    pub(crate) fn run(self) -> Result<(), Failure> {
        let client = self.api.client()?;
        let room = Room::of_output(self.wide);
        loop {
            let text = self.what.text(&client, self.json, room)?;
            if self.watch && !self.json && std::io::stdout().is_terminal() {
                // From the top of an empty screen.
                say!("\x1b[H\x1b[2J{text}");
            } else {
                say!("{text}");
            }
            if !self.watch {
                return Ok(());
            }
            std::thread::sleep(PERIOD);
        }
    }
}

/// A query of what is given.
fn query(path: &str, filters: &[(&str, Option<&String>)]) -> String {
    let mut query = path.to_string();
    let mut separator = '?';
    for (name, value) in filters {
        if let Some(value) = value {
            query.push_str(&format!("{separator}{name}={}", encoded(value)));
            separator = '&';
        }
    }
    query
}

impl What {
    fn text(&self, client: &Client, as_json: bool, room: Room) -> Result<String, Failure> {
        let pretty = |value| serde_json::to_string_pretty(&value).map_err(failed);
        match self {
            Self::Peers { state } => {
                let path = query("/v1/peers", &[("state", state.as_ref())]);
                let peers: Vec<PeerView> = client.all(&path, "peers")?;
                if as_json {
                    pretty(json!({ "peers": peers }))
                } else {
                    Ok(show_peers(room, &peers))
                }
            }
            Self::Calls { peer, number } => {
                let filters = [("peer", peer.as_ref()), ("number", number.as_ref())];
                let calls: Vec<CallView> = client.all(&query("/v1/calls", &filters), "calls")?;
                if as_json {
                    pretty(json!({ "calls": calls }))
                } else {
                    Ok(show_calls(room, &calls))
                }
            }
            Self::Registrations => {
                let mut all: Registrations = client.get("/v1/registrations?limit=1")?;
                all.here = client.all("/v1/registrations", "here")?;
                all.next = None;
                if as_json { pretty(json!(all)) } else { Ok(show_registrations(room, &all)) }
            }
            Self::Carriers => {
                let carriers: CarriersView = client.get("/v1/carriers")?;
                match as_json {
                    true => pretty(json!(carriers)),
                    false => Ok(show_carriers(room, &carriers.carriers)),
                }
            }
            Self::Switches => {
                let switches: SwitchesView = client.get("/v1/switches")?;
                match as_json {
                    true => pretty(json!(switches)),
                    false => Ok(show_switches(room, &switches)),
                }
            }
            Self::Netstats => {
                let legs: Vec<LegView> = client.all("/v1/netstats", "legs")?;
                if as_json {
                    pretty(json!({ "legs": legs }))
                } else {
                    Ok(show_netstats(room, &legs))
                }
            }
            Self::Limits => {
                let limits: LimitsView = client.get("/v1/limits")?;
                if as_json { pretty(json!(limits)) } else { Ok(show_limits(room, &limits.limits)) }
            }
            Self::Capacity => {
                let capacity: CapacityView = client.get("/v1/capacity")?;
                if as_json { pretty(json!(capacity)) } else { Ok(show_capacity(room, &capacity)) }
            }
            Self::Conferences => {
                let rooms: Vec<ConferenceView> = client.all("/v1/conferences", "conferences")?;
                match as_json {
                    true => pretty(json!({ "conferences": rooms })),
                    false => Ok(show_conferences(room, &rooms)),
                }
            }
            Self::Parking => {
                let parking: ParkingView = client.get("/v1/parking")?;
                if as_json { pretty(json!(parking)) } else { Ok(show_parking(room, &parking)) }
            }
            Self::Radio => {
                let radio: RadioView = client.get("/v1/radio")?;
                if as_json { pretty(json!(radio)) } else { Ok(show_radio(room, &radio)) }
            }
            Self::Cdr { peer, number, last } => {
                let last = last.to_string();
                let filters =
                    [("peer", peer.as_ref()), ("number", number.as_ref()), ("limit", Some(&last))];
                let page: Page<Cdr> = client.get(&query("/v1/cdrs", &filters))?;
                if as_json { pretty(json!(page)) } else { Ok(show_cdrs(room, &page.records)) }
            }
            Self::Refusals { peer, last } => {
                let last = last.to_string();
                let filters = [("peer", peer.as_ref()), ("limit", Some(&last))];
                let page: Page<Refusal> = client.get(&query("/v1/refusals", &filters))?;
                if as_json { pretty(json!(page)) } else { Ok(show_refusals(&page.records)) }
            }
        }
    }
}

pub(crate) const fn state_word(state: PeerState) -> &'static str {
    match state {
        PeerState::Unmonitored => "unmonitored",
        PeerState::Unknown => "UNKNOWN",
        PeerState::Ok => "OK",
        PeerState::Lagged => "LAGGED",
        PeerState::Unreachable => "UNREACHABLE",
    }
}

fn show_peers(room: Room, peers: &[PeerView]) -> String {
    let columns = [
        name("PEER"),
        left("STATE"),
        right("RTT ms"),
        name("ADDRESS"),
        right("IN"),
        right("OUT"),
        wide("PROOF"),
        wide("CODECS"),
    ];
    let row = |peer: &PeerView| {
        vec![
            peer.name.clone(),
            state_word(peer.state).into(),
            or_dash(peer.latency_ms.map(|ms| format!("{ms:.1}"))),
            or_dash(peer.address.as_ref()),
            peer.calls_in.to_string(),
            peer.calls_out.to_string(),
            peer.auth.join(","),
            peer.codecs.join(","),
        ]
    };
    let rows: Vec<_> = peers.iter().map(row).collect();
    format!("{}\n{}", table(room, &columns, &rows), count(peers.len(), "peer"))
}

fn show_carriers(room: Room, carriers: &[CarrierView]) -> String {
    let columns = [
        name("CARRIER"),
        left("STATE"),
        right("RTT ms"),
        left("REGISTERED"),
        name("ADDRESS"),
        right("IN"),
        right("OUT"),
        wide("TURNED AWAY"),
        wide("CODECS"),
    ];
    let row = |carrier: &CarrierView| {
        let registered = match carrier.registration {
            None => "-".into(),
            Some(RegistrationState::Registered) => carrier
                .registered_seconds
                .map_or_else(String::new, |seconds| format!("{seconds} s")),
            Some(state) => registration_word(state).into(),
        };
        vec![
            carrier.name.clone(),
            state_word(carrier.state).into(),
            or_dash(carrier.latency_ms.map(|ms| format!("{ms:.1}"))),
            registered,
            format!("{} {}", carrier.transport, carrier.addresses.first().unwrap_or(&carrier.host)),
            carrier.calls_in.to_string(),
            carrier.calls_out.to_string(),
            carrier.turned_away.to_string(),
            carrier.codecs.join(","),
        ]
    };
    let rows: Vec<_> = carriers.iter().map(row).collect();
    let troubles: String = carriers
        .iter()
        .flat_map(|carrier| {
            let down = carrier.down.as_ref().map(|why| format!("\n{}: {why}", carrier.name));
            let failure = carrier.registration_failure.as_ref();
            let failure =
                failure.map(|why| format!("\n{}: registration failed: {why}", carrier.name));
            [down, failure].into_iter().flatten()
        })
        .collect();
    format!("{}\n{}{troubles}", table(room, &columns, &rows), count(carriers.len(), "carrier"))
}

fn show_switches(room: Room, all: &SwitchesView) -> String {
    let columns = [
        name("SWITCH"),
        left("STATE"),
        left("ADDRESS"),
        left("VERSION"),
        left("CONFIG"),
        wide("RUN"),
    ];
    let row = |one: &SwitchView| {
        let state = match one.state {
            SwitchState::Alive if one.here => "here",
            SwitchState::Alive => "alive",
            SwitchState::Dead => "dead",
            SwitchState::Left => "left",
            SwitchState::CutOff => "cut off",
        };
        vec![
            one.name.clone(),
            state.into(),
            one.address.clone(),
            one.version.clone(),
            or_dash(one.configuration.map(|version| version.to_string())),
            or_dash(one.incarnation.map(|run| run.to_string())),
        ]
    };
    let rows: Vec<_> = all.switches.iter().map(row).collect();
    let since = all.cut_off_seconds.unwrap_or_default();
    let why = all.cut_off.as_ref();
    let why = why.map(|why| format!("\nthe database does not answer for {since} s: {why}"));
    let refused = all.configuration_refused.as_ref();
    let refused = refused.map(|why| format!("\nthe newest configuration does not run here: {why}"));
    let count = match all.switches.len() {
        0 => "this switch is alone: its configuration has no [cluster]".into(),
        1 => "1 switch".into(),
        number => format!("{number} switches"),
    };
    let (why, refused) = (why.unwrap_or_default(), refused.unwrap_or_default());
    format!("{}\n{count}{why}{refused}", table(room, &columns, &rows))
}

pub(crate) const fn registration_word(state: RegistrationState) -> &'static str {
    match state {
        RegistrationState::Trying => "trying",
        RegistrationState::Registered => "registered",
        RegistrationState::Failed => "FAILED",
    }
}

const fn call_word(state: CallState) -> &'static str {
    match state {
        CallState::Identifying => "identifying",
        CallState::Dialling => "dialling",
        CallState::Calling => "calling",
        CallState::Ringing => "ringing",
        CallState::Answered => "answered",
        CallState::Parked => "parked",
    }
}

/// `peer:a, peer:b` and `builtin:echo` as they stand in a narrow column.
pub(crate) fn without_kind(destination: &str) -> String {
    let names =
        destination.split(", ").map(|one| one.split_once(':').map_or(one, |(_, name)| name));
    names.collect::<Vec<_>>().join(",")
}

fn show_calls(room: Room, calls: &[CallView]) -> String {
    let columns = [
        left("CALL"),
        left("STATE"),
        right("TIME"),
        name("FROM"),
        name("NUMBER"),
        name("TO"),
        right("MOS"),
        wide("ROUTE"),
        wide("CODEC"),
    ];
    // That of whoever hears least of it.
    let mos = |call: &CallView| {
        let legs = std::iter::once(&call.caller).chain(&call.called);
        let heard = legs
            .flat_map(|leg| [leg.heard.mos, leg.heard_there.as_ref().and_then(|there| there.mos)]);
        heard.flatten().min_by(f64::total_cmp)
    };
    let row = |call: &CallView| {
        vec![
            call.id.clone(),
            call_word(call.state).into(),
            clock(call.seconds),
            call.caller.peer.clone().unwrap_or_else(|| "guest".into()),
            call.number.clone(),
            or_dash(call.destination.as_deref().map(without_kind)),
            or_dash(mos(call).map(|mos| format!("{mos:.1}"))),
            or_dash(call.route.as_ref()),
            codec_of(call),
        ]
    };
    let rows: Vec<_> = calls.iter().map(row).collect();
    let unheard: String = calls.iter().flat_map(unheard_in).collect();
    let mut older: BTreeMap<u32, usize> = BTreeMap::new();
    for process in calls.iter().filter_map(|call| call.process) {
        *older.entry(process).or_default() += 1;
    }
    let older: String = older
        .into_iter()
        .map(|(process, calls)| format!(", {calls} of the older process {process}"))
        .collect();
    format!("{}\n{}{older}{unheard}", table(room, &columns, &rows), count(calls.len(), "call"))
}

/// A line for each leg of a call on which somebody is not heard: why is longer than a column.
fn unheard_in(call: &CallView) -> impl Iterator<Item = String> {
    std::iter::once(&call.caller).chain(&call.called).filter_map(|leg| {
        let one_way = leg.one_way.as_ref()?;
        let who = leg.peer.as_deref().unwrap_or("guest");
        Some(format!("\n{}, {who}: {}", call.id, one_way.why))
    })
}

/// The codec of a call, or both of one that is transcoded.
fn codec_of(call: &CallView) -> String {
    match &call.transcoded {
        Some(both) => format!("{}-{}", both.caller, both.called),
        None => or_dash(call.caller.codec.as_ref()),
    }
}

fn show_registrations(room: Room, all: &Registrations) -> String {
    let columns = [name("REGISTERED HERE"), name("ADDRESS"), right("EXPIRES s")];
    let rows: Vec<_> = (all.here.iter())
        .map(|one| vec![one.name.clone(), one.address.clone(), one.expires_seconds.to_string()])
        .collect();
    let here = table(room, &columns, &rows);
    let columns =
        [name("REGISTRAR"), name("AS"), left("STATE"), right("REFRESH s"), name("SEEN AT")];
    let rows: Vec<_> = (all.elsewhere.iter())
        .map(|one| {
            vec![
                one.registrar.clone(),
                one.username.clone(),
                registration_word(one.state).into(),
                one.refresh_seconds.to_string(),
                or_dash(one.apparent_address.as_ref()),
            ]
        })
        .collect();
    let elsewhere = table(room, &columns, &rows);
    let counts = format!("{} here, {} elsewhere", all.here.len(), all.elsewhere.len());
    let failures = all.elsewhere.iter().filter_map(|one| {
        let failure = one.failure.as_deref()?;
        Some(format!("\n{} at {}: {failure}", one.username, one.registrar))
    });
    let failures: String = failures.collect();
    format!("{here}\n\n{elsewhere}\n{counts}{failures}")
}

fn show_netstats(room: Room, legs: &[LegView]) -> String {
    let columns = [
        name("CHANNEL"),
        right("RTT"),
        right("JIT"),
        right("HEARD"),
        right("LOST"),
        right("LATE"),
        right("OOO"),
        right("SENT"),
        right("JIT THERE"),
        right("LOST THERE"),
        right("MOS"),
        right("MOS THERE"),
        wide("95 %"),
        wide("99 %"),
        wide("BURSTS"),
        wide("QUEUE HERE"),
        wide("QUEUE THERE"),
        wide("CLOCK ppm"),
    ];
    let opinion = |mos: Option<f64>| or_dash(mos.map(|mos| format!("{mos:.1}")));
    let whole = |ms: Option<f64>| or_dash(ms.map(|ms| format!("{ms:.0}")));
    let row = |leg: &LegView| {
        let there = leg.heard_there.as_ref();
        vec![
            leg.channel.clone(),
            or_dash(leg.rtt_ms.map(|ms| format!("{ms:.0}"))),
            format!("{:.0}", leg.heard.jitter_ms),
            leg.heard.frames.to_string(),
            leg.heard.lost.to_string(),
            leg.heard.late.to_string(),
            leg.heard.out_of_order.to_string(),
            leg.sent_frames.to_string(),
            or_dash(there.map(|there| there.jitter_ms)),
            or_dash(there.map(|there| there.lost)),
            opinion(leg.heard.mos),
            opinion(there.and_then(|there| there.mos)),
            whole(Some(leg.heard.late_p95_ms)),
            whole(Some(leg.heard.late_p99_ms)),
            leg.heard.bursts.to_string(),
            whole(leg.lag_here_ms),
            whole(leg.lag_there_ms),
            or_dash(leg.heard.clock_ppm),
        ]
    };
    let rows: Vec<_> = legs.iter().map(row).collect();
    format!("{}\n{}; times in ms", table(room, &columns, &rows), count(legs.len(), "leg"))
}

fn show_capacity(room: Room, capacity: &CapacityView) -> String {
    let percent = |share: Option<f64>| or_dash(share.map(|percent| format!("{percent:.1} %")));
    let mark = capacity.mark_percent;
    let mut text = String::new();
    for thread in &capacity.threads {
        let (name, cpu) = (&thread.thread, percent(thread.cpu_percent));
        let delay = thread.delay_ms;
        text.push_str(&format!("{name} thread: CPU {cpu} of {mark} %, {delay:.1} ms late\n"));
    }
    if capacity.cpu_quota_percent.is_some() {
        text.push_str(&format!("CPU quota: {}\n", percent(capacity.cpu_quota_percent)));
    }
    if let Some(why) = &capacity.refusing {
        text.push_str(&format!("new calls are refused: {why}\n"));
    }
    let (calls, transcoded) = (count(capacity.calls, "call"), capacity.transcoded);
    text.push_str(&format!("{calls} up, {transcoded} of them transcoded"));
    if let (Some(cost), Some(error)) = (capacity.call_cpu_ms, capacity.call_cpu_ms_error) {
        text.push_str(&format!("; one takes {cost:.2} ± {error:.2} ms of CPU in a second"));
    }
    let overall = capacity
        .forecast
        .as_ref()
        .map(|told| format!("{} ({} to {})", told.words, told.at_least, told.at_most));
    let overall = overall.or_else(|| Some(format!("no forecast: {}", capacity.why_not.as_ref()?)));
    text.push_str(&format!("\n{}\n", overall.unwrap_or_default()));
    if capacity.peers.is_empty() {
        return text.trim_end().into();
    }
    let columns = [
        name("PEER"),
        left("TRUNK"),
        left("CODEC"),
        right("CALLS"),
        right("MORE"),
        right("AT LEAST"),
        right("AT MOST"),
        name("WHY"),
    ];
    let row = |peer: &PeerCapacityView| {
        let told = peer.forecast.as_ref();
        let why = told.map(|told| &told.words).or(peer.why_not.as_ref());
        vec![
            peer.peer.clone(),
            if peer.trunk { "yes" } else { "no" }.into(),
            or_dash(peer.codec.as_ref()),
            peer.calls.to_string(),
            or_dash(told.map(|told| told.calls)),
            or_dash(told.map(|told| told.at_least)),
            or_dash(told.map(|told| told.at_most)),
            or_dash(why),
        ]
    };
    let rows: Vec<_> = capacity.peers.iter().map(row).collect();
    format!("{text}\n{}", table(room, &columns, &rows))
}

fn show_limits(room: Room, limits: &[LimitView]) -> String {
    let is_shared =
        limits.iter().any(|limit| limit.shared.is_some() || limit.shared_rate.is_some());
    let mut columns = vec![
        name("LIMIT"),
        right("USED"),
        right("MAX"),
        right("CPS"),
        right("PEAK"),
        right("REFUSED"),
        right("AT CAP"),
        name("MOST BY"),
    ];
    if is_shared {
        columns.extend([right("LEASED"), right("ELSEWHERE"), right("USED THERE")]);
    }
    let row = |limit: &LimitView| {
        let top = limit.top.first().map(|user| format!("{} ({})", user.name, user.calls));
        let mut row = vec![
            limit.name.clone(),
            limit.used.to_string(),
            match (limit.max_calls, limit.soft) {
                (Some(max), true) => format!("{max} soft"),
                (max, _) => or_dash(max),
            },
            or_dash(limit.max_calls_per_second),
            limit.peak.to_string(),
            limit.refused.to_string(),
            clock(limit.at_cap_seconds),
            or_dash(top),
        ];
        if is_shared {
            let shared = limit.shared.as_ref().or(limit.shared_rate.as_ref());
            row.push(or_dash(shared.map(|shared| shared.leased)));
            row.push(or_dash(shared.map(|shared| shared.elsewhere)));
            row.push(or_dash(shared.map(|shared| shared.in_use_elsewhere)));
        }
        row
    };
    let rows: Vec<_> = limits.iter().map(row).collect();
    format!("{}\n{}", table(room, &columns, &rows), count(limits.len(), "limit"))
}

/// A line for each member.
fn show_conferences(room: Room, rooms: &[ConferenceView]) -> String {
    let columns =
        [name("ROOM"), left("CALL"), name("WHO"), left("HEARD"), left("SPEAKS"), right("TIME")];
    let rows: Vec<_> = (rooms.iter())
        .flat_map(|room| room.members.iter().map(move |member| (room, member)))
        .map(|(room, member)| {
            vec![
                room.room.clone(),
                member.call.clone(),
                member.who.clone(),
                match member.muted {
                    true => "MUTED".into(),
                    false if member.gain_db == 0.0 => "yes".into(),
                    false => format!("{:+} dB", member.gain_db),
                },
                if member.talks { "yes" } else { "-" }.into(),
                clock(member.seconds),
            ]
        })
        .collect();
    let (rooms, members) = (count(rooms.len(), "conference"), count(rows.len(), "member"));
    format!("{}\n{rooms}, {members}", table(room, &columns, &rows))
}

fn show_parking(room: Room, parking: &ParkingView) -> String {
    let columns = [right("SLOT"), left("CALL"), name("WHO"), name("PARKED BY"), right("LEFT")];
    let rows: Vec<_> = (parking.parked.iter())
        .map(|one| {
            vec![
                one.slot.to_string(),
                one.call.clone(),
                one.who.clone(),
                or_dash(one.by.as_ref()),
                or_dash(one.seconds_left.map(clock)),
            ]
        })
        .collect();
    let (taken, slots) = (parking.parked.len(), parking.slots);
    format!("{}\n{taken} of {} taken", table(room, &columns, &rows), count(slots as usize, "slot"))
}

/// A line for each node.
fn show_radio(room: Room, radio: &RadioView) -> String {
    let columns = [
        left("NODE"),
        left("KEYED"),
        right("FOR"),
        right("TIMES"),
        right("IN ALL"),
        name("LINKED WITH"),
        wide("PEER"),
        wide("CALL"),
        wide("SAID"),
    ];
    let rows: Vec<_> = (radio.nodes.iter())
        .map(|node| {
            let ends = radio.links.iter().filter_map(|link| match &node.node {
                own if *own == link.from => Some(link.to.as_str()),
                own if *own == link.to => Some(link.from.as_str()),
                _ => None,
            });
            let others: Vec<&str> = ends.collect();
            vec![
                node.node.clone(),
                match node.keyed {
                    Some(true) => "KEYED",
                    Some(false) => "no",
                    None => "-",
                }
                .into(),
                or_dash(node.for_seconds.map(clock)),
                or_dash(node.times),
                or_dash(node.keyed_seconds.map(|seconds| format!("{seconds:.1} s"))),
                or_dash(Some(others.join(",")).filter(|others| !others.is_empty())),
                or_dash(node.peer.as_ref()),
                or_dash(node.call.as_ref()),
                or_dash(node.said.as_ref()),
            ]
        })
        .collect();
    let (nodes, links) = (count(rows.len(), "node"), count(radio.links.len(), "link"));
    let mut last = format!("{nodes}, {links}, {} keyed", radio.keyed);
    if radio.left_out > 0 {
        last.push_str(&format!(", {} left out", count(radio.left_out, "node")));
    }
    format!("{}\n{last}", table(room, &columns, &rows))
}

fn show_cdrs(room: Room, cdrs: &[Cdr]) -> String {
    let columns = [
        left("START"),
        name("PEER"),
        left("WAY"),
        name("FROM"),
        name("TO"),
        right("SECONDS"),
        right("BILLED"),
        right("CAUSE"),
        wide("REASON"),
        wide("CODEC"),
        wide("ROUTE"),
        wide("CALL"),
    ];
    let row = |cdr: &Cdr| {
        let start = cdr.start.to_string();
        vec![
            start.get(..19).unwrap_or(&start).into(),
            cdr.peer.clone().unwrap_or_else(|| "guest".into()),
            cdr.direction.to_string(),
            or_dash(cdr.calling_number.as_ref()),
            cdr.called_number.clone(),
            format!("{:.1}", cdr.duration_ms as f64 / 1e3),
            cdr.billable_seconds().to_string(),
            cdr.cause.to_string(),
            cdr.reason.clone(),
            or_dash(cdr.codec.as_ref()),
            or_dash(cdr.route.as_ref()),
            cdr.call.to_string(),
        ]
    };
    let rows: Vec<_> = cdrs.iter().map(row).collect();
    format!("{}\n{}", table(room, &columns, &rows), count(cdrs.len(), "record"))
}

/// A line for each, and why below it: that is longer than a column.
fn show_refusals(refusals: &[Refusal]) -> String {
    let mut text = String::new();
    for refusal in refusals {
        let at = refusal.at.to_string();
        let who = refusal.peer.as_deref().unwrap_or("guest");
        let then = match (refusal.ended_call, refusal.cause) {
            (false, _) => "the next was tried".into(),
            (true, Some(cause)) => format!("cause {cause}"),
            (true, None) => "no cause was sent".into(),
        };
        text.push_str(&format!(
            "{} {} {who} -> {} ({}; {then})\n  {}\n",
            at.get(..19).unwrap_or(&at),
            refusal.call,
            refusal.called_number,
            refusal.stage,
            refusal.why
        ));
    }
    let all = count(refusals.len(), "refusal");
    text.push_str(&format!("{all}; `oneport why CALL` tells more"));
    text
}
