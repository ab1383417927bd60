//! Rows of the lists, made of what the switch says.

use oneport_switch::api::model::{
    CallRow, CallSort, CallState, CapacityView, CarrierView, LegRow, LimitView, PeerState,
    PeerView, RegisteredThere, RegistrationState,
};
use oneport_switch::{News, What};

use super::list::{Cell, Column, Item, Tone};
use super::words;
use crate::show::{registration_word, state_word, without_kind};

pub(crate) const CALLS: [Column; 12] = [
    Column::left(" ", 1),
    Column::left("STATE", 11).by(CallSort::State),
    Column::left("FROM", 13).grows().by(CallSort::From),
    Column::left("NUMBER", 12).grows().by(CallSort::Number),
    Column::left("TO", 12).grows().by(CallSort::To),
    Column::right("TIME", 8).by(CallSort::Age),
    Column::right("MOS", 4).by(CallSort::Mos),
    Column::right("LOSS", 5).by(CallSort::Loss),
    Column::right("JITTER", 7).from(100),
    Column::right("RTT", 6).from(100),
    Column::left("CODEC", 11).from(110),
    Column::left("IS", 5).from(110),
];

/// The column of how long calls have been up.
pub(crate) const TIME_OF_CALL: usize = 5;

pub(crate) const TRUNKS: [Column; 9] = [
    Column::left("TRUNK", 14).grows(),
    Column::left("STATE", 11),
    Column::right("RTT ms", 7),
    Column::right("IN", 5),
    Column::right("OUT", 5),
    Column::left("LIMIT", 18),
    Column::right("FITS", 7),
    Column::left("FRAMES", 7).from(100),
    Column::left("ADDRESS", 21).from(110),
];

pub(crate) const CARRIERS: [Column; 9] = [
    Column::left("CARRIER", 12).grows(),
    Column::left("STATE", 11),
    Column::right("RTT ms", 7),
    Column::left("REGISTERED", 11),
    Column::right("IN", 4),
    Column::right("OUT", 4),
    Column::left("LIMIT", 15),
    Column::right("TURNED", 7),
    Column::left("HOST", 24).grows().from(100),
];

pub(crate) const PEERS: [Column; 8] = [
    Column::left("PEER", 14).grows(),
    Column::left("STATE", 11),
    Column::right("RTT ms", 7),
    Column::left("ADDRESS", 21),
    Column::right("EXPIRES", 8),
    Column::right("IN", 4),
    Column::right("OUT", 4),
    Column::left("CODECS", 24).grows().from(110),
];

pub(crate) const LIMITS: [Column; 7] = [
    Column::left("LIMIT", 12).grows(),
    Column::left("USE", 18),
    Column::right("CPS", 7),
    Column::right("PEAK", 5),
    Column::right("REFUSED", 8),
    Column::right("AT CAP", 8),
    Column::left("MOST BY", 13),
];

pub(crate) const EVENTS: [Column; 4] = [
    Column::left("TIME", 8),
    Column::left("EVENT", 21),
    Column::left("WHAT", 20).grows(),
    Column::left("CALL", 36).from(140),
];

pub(crate) const STATES_OF_CALLS: [(&str, Option<CallState>); 7] = [
    ("all", None),
    ("answered", Some(CallState::Answered)),
    ("ringing", Some(CallState::Ringing)),
    ("calling", Some(CallState::Calling)),
    ("dialling", Some(CallState::Dialling)),
    ("identifying", Some(CallState::Identifying)),
    ("parked", Some(CallState::Parked)),
];

pub(crate) const FILTERS_OF_CALLS: [&str; 7] =
    ["all", "answered", "ringing", "calling", "dialling", "identifying", "parked"];

pub(crate) const FILTERS_OF_PEERS: [&str; 7] =
    ["all", "not well", "OK", "LAGGED", "UNREACHABLE", "with calls", "registrations of ours"];

pub(crate) const FILTERS_OF_TRUNKS: [&str; 6] =
    ["all", "not well", "OK", "LAGGED", "UNREACHABLE", "with calls"];

pub(crate) const FILTERS_OF_LIMITS: [&str; 4] = ["all", "nearly full", "full", "has refused"];

pub(crate) const FILTERS_OF_EVENTS: [&str; 6] =
    ["all", "calls", "sound", "refusals", "registrations", "peers and limits"];

fn smaller(values: impl Iterator<Item = f64>) -> Option<f64> {
    values.min_by(f64::total_cmp)
}

fn greater(values: impl Iterator<Item = f64>) -> Option<f64> {
    values.max_by(f64::total_cmp)
}

/// A call.
pub(crate) fn call(row: &CallRow) -> Item {
    let legs = || std::iter::once(&row.caller).chain(&row.called);
    let mos = smaller(legs().flat_map(|leg| [leg.mos_here, leg.mos_there]).flatten());
    let of_leg = |leg: &LegRow| [leg.loss_percent, leg.loss_percent_there.map(f64::from)];
    let loss = greater(legs().flat_map(of_leg).flatten());
    let heard = legs().filter(|leg| leg.mos_here.is_some());
    let jitter = greater(heard.map(|leg| leg.jitter_ms));
    let round_trip = greater(legs().filter_map(|leg| leg.rtt_ms));
    let trouble = legs().find_map(|leg| leg.trouble.clone().map(|why| (leg.who.clone(), why)));
    let (state, tone) = words::call_state(row.state);
    let from = match &row.calling_number {
        Some(number) if !number.is_empty() && *number != row.caller.who => {
            format!("{number} {}", row.caller.who)
        }
        _ => row.caller.who.clone(),
    };
    let codecs: Vec<&str> = legs().filter_map(|leg| leg.codec.as_deref()).collect();
    let codec = match codecs.as_slice() {
        [one, other, ..] if row.transcoded && one != other => Some(format!("{one}-{other}")),
        [one, ..] => Some((*one).to_string()),
        [] => None,
    };
    let marks = [
        (legs().any(|leg| leg.encrypted), 'E'),
        (row.recorded, 'R'),
        (row.listened, 'L'),
        (row.transcoded, 'T'),
        (row.process.is_some(), 'O'),
    ];
    let marks: String = marks.iter().filter(|(is, _)| *is).map(|(_, mark)| *mark).collect();
    let fixed = |value: f64| format!("{value:.1}");
    Item {
        key: row.id.clone(),
        cells: vec![
            Cell::text(if trouble.is_some() { "!" } else { "" }).toned(Tone::Bad),
            Cell::text(state).toned(tone),
            Cell::text(from),
            Cell::text(&row.number),
            Cell::said(row.destination.as_deref().map(without_kind).as_deref()),
            Cell::number(row.seconds, words::clock(row.seconds)),
            Cell::known(mos, fixed).toned(mos.map_or(Tone::Quiet, words::sound)),
            Cell::known(loss, words::percent).toned(loss.map_or(Tone::Quiet, words::loss)),
            Cell::known(jitter, fixed),
            Cell::known(round_trip, fixed),
            Cell::said(codec.as_deref()),
            Cell::text(marks),
        ],
        call: Some(row.id.clone()),
        remark: trouble.map(|(who, why)| format!("{who}: {why}")),
        kinds: vec![state],
    }
}

/// A trunk is a peer that gets trunk frames, or one with an address of its own: it does not register.
pub(crate) fn is_trunk(peer: &PeerView) -> bool {
    !peer.name.starts_with("carrier:") && (peer.trunk || !peer.registers)
}

/// Of the limits on something, that of which the least is left.
fn tightest<'a>(names: &[String], limits: &'a [LimitView]) -> Option<(&'a LimitView, usize)> {
    let of_it = limits.iter().filter(|limit| names.contains(&limit.name));
    let capped = of_it.filter_map(|limit| Some((limit, limit.max_calls?)));
    capped.min_by_key(|(limit, most)| most.saturating_sub(limit.used))
}

/// How full something is.
fn share(used: usize, most: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "it is a share")]
    let share = used as f64 / most.max(1) as f64;
    share
}

fn full(used: usize, most: usize) -> Cell {
    let share = share(used, most);
    let tone = match share {
        1.0.. => Tone::Bad,
        0.8.. => Tone::Fair,
        _ => Tone::Plain,
    };
    Cell::bar(share, format!("{}/{}", words::count(used), words::count(most))).toned(tone)
}

fn limit_on(names: &[String], limits: &[LimitView]) -> Cell {
    tightest(names, limits).map_or_else(Cell::unknown, |(limit, most)| full(limit.used, most))
}

fn state(state: PeerState) -> Cell {
    Cell::text(state_word(state)).toned(words::peer_state(state))
}

fn kinds_of(state: PeerState, calls: usize) -> Vec<&'static str> {
    let mut kinds = vec![state_word(state)];
    if matches!(state, PeerState::Lagged | PeerState::Unreachable) {
        kinds.push("not well");
    }
    if calls > 0 {
        kinds.push("with calls");
    }
    kinds
}

fn millis(ms: Option<f64>) -> Cell {
    Cell::known(ms, |ms| format!("{ms:.1}"))
}

/// A trunk.
pub(crate) fn trunk(
    peer: &PeerView,
    limits: &[LimitView],
    capacity: Option<&CapacityView>,
) -> Item {
    let more = capacity
        .and_then(|capacity| capacity.peers.iter().find(|one| one.peer == peer.name))
        .and_then(|one| one.forecast.as_ref());
    #[expect(clippy::cast_precision_loss, reason = "it is sorted by it")]
    let fits = more.map(|more| (more.calls as f64, words::count(more.calls)));
    Item {
        key: peer.name.clone(),
        cells: vec![
            Cell::text(&peer.name),
            state(peer.state),
            millis(peer.latency_ms),
            Cell::count(peer.calls_in),
            Cell::count(peer.calls_out),
            limit_on(&peer.limits, limits),
            fits.map_or_else(Cell::unknown, |(calls, text)| Cell::number(calls, text)),
            Cell::text(if peer.trunk { "trunk" } else { "mini" }),
            Cell::said(peer.address.as_deref()),
        ],
        call: None,
        remark: more.map(|more| more.words.clone()),
        kinds: kinds_of(peer.state, peer.calls_in + peer.calls_out),
    }
}

/// A SIP carrier.
pub(crate) fn carrier(
    carrier: &CarrierView,
    peer: Option<&PeerView>,
    limits: &[LimitView],
) -> Item {
    let registered = match (carrier.registration, carrier.registered_seconds) {
        (None, _) => Cell::unknown(),
        (Some(RegistrationState::Registered), Some(seconds)) => {
            Cell::text(words::span(seconds)).toned(Tone::Good)
        }
        (Some(state), _) => registration(state),
    };
    let names = peer.map(|peer| peer.limits.as_slice()).unwrap_or_default();
    let mut kinds = kinds_of(carrier.state, carrier.calls_in + carrier.calls_out);
    let failure = carrier.registration_failure.as_ref();
    let trouble = carrier.down.clone().or_else(|| Some(format!("registration: {}", failure?)));
    if trouble.is_some() && !kinds.contains(&"not well") {
        kinds.push("not well");
    }
    #[expect(clippy::cast_precision_loss, reason = "it is sorted by it")]
    let turned = Cell::number(carrier.turned_away as f64, words::many(carrier.turned_away));
    Item {
        key: carrier.name.clone(),
        cells: vec![
            Cell::text(&carrier.name),
            state(carrier.state),
            millis(carrier.latency_ms),
            registered,
            Cell::count(carrier.calls_in),
            Cell::count(carrier.calls_out),
            limit_on(names, limits),
            turned.toned(if carrier.turned_away > 0 { Tone::Fair } else { Tone::Plain }),
            Cell::text(format!("{} {}", carrier.transport, carrier.host)),
        ],
        call: None,
        remark: trouble,
        kinds,
    }
}

fn registration(state: RegistrationState) -> Cell {
    let tone = match state {
        RegistrationState::Trying => Tone::Busy,
        RegistrationState::Registered => Tone::Good,
        RegistrationState::Failed => Tone::Bad,
    };
    Cell::text(registration_word(state)).toned(tone)
}

/// A peer.
pub(crate) fn peer(peer: &PeerView) -> Item {
    #[expect(clippy::cast_precision_loss, reason = "it is sorted by it")]
    let expires = peer.expires_seconds.map(|seconds| (seconds as f64, words::span(seconds)));
    Item {
        key: peer.name.clone(),
        cells: vec![
            Cell::text(&peer.name),
            state(peer.state),
            millis(peer.latency_ms),
            Cell::said(peer.address.as_deref()),
            expires.map_or_else(Cell::unknown, |(seconds, text)| Cell::number(seconds, text)),
            Cell::count(peer.calls_in),
            Cell::count(peer.calls_out),
            Cell::text(peer.codecs.join(",")),
        ],
        call: None,
        remark: None,
        kinds: kinds_of(peer.state, peer.calls_in + peer.calls_out),
    }
}

/// The key of a registration of ours elsewhere among those of peers.
pub(crate) fn key_of(there: &RegisteredThere) -> String {
    format!("{} at {}", there.username, there.registrar)
}

/// A registration of ours elsewhere.
pub(crate) fn elsewhere(there: &RegisteredThere) -> Item {
    let mut kinds = vec!["registrations of ours"];
    if there.state == RegistrationState::Failed {
        kinds.push("not well");
    }
    #[expect(clippy::cast_precision_loss, reason = "it is sorted by it")]
    let refresh = Cell::number(there.refresh_seconds as f64, words::span(there.refresh_seconds));
    Item {
        key: key_of(there),
        cells: vec![
            Cell::text(key_of(there)),
            registration(there.state),
            Cell::unknown(),
            Cell::said(there.apparent_address.as_deref()),
            refresh,
            Cell::unknown(),
            Cell::unknown(),
            Cell::unknown(),
        ],
        call: None,
        remark: there.failure.clone(),
        kinds,
    }
}

/// A limit.
pub(crate) fn limit(limit: &LimitView) -> Item {
    let mut kinds = Vec::new();
    if let Some(most) = limit.max_calls {
        if share(limit.used, most) >= 0.8 {
            kinds.push("nearly full");
        }
        if limit.used >= most {
            kinds.push("full");
        }
    }
    if limit.refused > 0 {
        kinds.push("has refused");
    }
    let pace = match limit.max_calls_per_second {
        Some(most) => {
            let text = format!("{}/{most}", limit.begun_within_second);
            Cell::number(share(limit.begun_within_second, most), text)
        }
        None => Cell::unknown(),
    };
    let top = limit.top.first().map(|user| format!("{} ({})", user.name, user.calls));
    #[expect(clippy::cast_precision_loss, reason = "it is sorted by it")]
    let refused = Cell::number(limit.refused as f64, words::many(limit.refused));
    Item {
        key: limit.name.clone(),
        cells: vec![
            Cell::text(&limit.name),
            match limit.max_calls {
                Some(most) => full(limit.used, most),
                None => Cell::count(limit.used),
            },
            pace,
            Cell::count(limit.peak),
            refused.toned(if limit.refused > 0 { Tone::Fair } else { Tone::Plain }),
            Cell::number(limit.at_cap_seconds, words::clock(limit.at_cap_seconds)),
            Cell::said(top.as_deref()),
        ],
        call: None,
        remark: limit.soft.then(|| "it only warns, and refuses nothing".into()),
        kinds,
    }
}

fn kind_of(what: &What) -> &'static str {
    match what {
        What::CallChoppy { .. } | What::CallOneWay { .. } | What::CallBothWays { .. } => "sound",
        What::Refused { .. } | What::Overload { .. } => "refusals",
        What::Registration { .. } | What::RegistrationElsewhere { .. } => "registrations",
        What::Limit { .. } | What::Peer { .. } => "peers and limits",
        _ => "calls",
    }
}

/// An event, of which people read `time`.
pub(crate) fn event(news: &News, time: &str) -> Item {
    let (sentence, tone, call) = words::event(&news.what);
    #[expect(clippy::cast_precision_loss, reason = "it is sorted by it")]
    let number = news.number as f64;
    Item {
        key: news.number.to_string(),
        cells: vec![
            Cell::number(number, time),
            Cell::text(news.what.name().replace('_', " ")).toned(tone),
            Cell::text(&sentence),
            Cell::said(call),
        ],
        call: call.map(Into::into),
        remark: Some(sentence),
        kinds: vec![kind_of(&news.what)],
    }
}
