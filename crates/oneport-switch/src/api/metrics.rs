//! `/metrics`: what Prometheus collects. No label is a call, a caller or a number: labels are names of
//! the configuration, causes and reasons, so that their number is bounded.

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use oneport_proto::{Counters, DropReason};
use tokio::time::Instant;

use super::Shared;
use super::error::Problem;
use super::model::{CallState, PeerState, SwitchState};
use super::prometheus::{Exposition, Format, Kind, Metric};
use crate::limits::Direction;
use crate::realtime::Query;
use crate::sip::streams::Turned;
use crate::store::QueueReport;
use crate::switch::realtime::RowFigures;
use crate::switch::snapshot::{Figures, PeerFigures};

/// Declares metrics and the list of all.
macro_rules! metrics {
    ($($name:ident = $kind:ident $text:literal [$($label:literal),*] $help:literal;)*) => {
        $(static $name: Metric = Metric {
            name: $text,
            kind: Kind::$kind,
            labels: &[$($label),*],
            help: $help,
        };)*
        /// All of them, in the order in which they are written.
        #[cfg(test)]
        static ALL: &[&Metric] = &[$(&$name),*];
    };
}

metrics! {
    BUILD = Gauge "oneport_build_info" ["version"]
        "Always 1; the label says which version runs.";
    UPTIME = Gauge "oneport_uptime_seconds" []
        "Since the API started.";
    LOOP_LAG = Gauge "oneport_loop_lag_seconds" []
        "How long the switch took to answer this scrape.";
    CALLS = Gauge "oneport_calls" ["state"]
        "Calls that are up.";
    LEGS = Gauge "oneport_legs" ["direction"]
        "Legs of calls that are up, as they came in or went out.";
    CALLS_BEGUN = Counter "oneport_calls_begun_total" ["direction"]
        "Legs that have begun: callers who are known, and legs that were placed.";
    CALLS_ANSWERED = Counter "oneport_calls_answered_total" []
        "Calls that were answered.";
    CALLS_ENDED = Counter "oneport_calls_ended_total" ["direction", "cause"]
        "Legs that have ended, by cause code.";
    REFUSED = Counter "oneport_refused_total" ["stage", "cause"]
        "Calls turned away; cause is empty where none was sent.";
    SETUP = Histogram "oneport_call_setup_seconds" []
        "From the beginning of a call to its answer.";
    DURATION = Histogram "oneport_call_duration_seconds" []
        "From the answer of a call to its end.";
    MOS = Histogram "oneport_call_mos" ["direction"]
        "Mean opinion scores (G.107) of legs that have ended: as heard here, or there as the peer says.";
    CHOPPY = Counter "oneport_choppy_legs_total" ["cause"]
        "Legs that have ended and were choppy, by the cause; docs/choppy.md explains each.";
    ONE_WAY = Counter "oneport_one_way_legs_total" ["reason"]
        "Legs on which voice flowed one way only, or not at all; docs/media.md explains each reason.";
    ONE_WAY_NOW = Gauge "oneport_legs_unheard" []
        "Legs that are up and on which somebody is not heard.";
    TRANSCODED = Gauge "oneport_transcoded_calls" []
        "Calls whose ends speak different codecs, so that their voice is transcoded.";
    TRANSCODED_MAX = Gauge "oneport_transcoded_calls_max" []
        "How many calls may be transcoded: audio.max_transcoded_calls.";
    RADIO_NODES = Gauge "oneport_radio_nodes" []
        "Radio nodes at the far ends of legs that are up.";
    RADIO_LINKED = Gauge "oneport_radio_linked_nodes" []
        "Nodes with which those are linked, as they say, each once.";
    RADIO_KEYED = Gauge "oneport_radio_keyed_nodes" []
        "Radio nodes at the far ends of legs that are keyed now.";
    RADIO_TIMES = Counter "oneport_radio_transmissions_total" []
        "How often radio nodes were keyed.";
    RADIO_SECONDS = Counter "oneport_radio_keyed_seconds_total" []
        "How long radio nodes were keyed, of all together.";
    RADIO_TEXTS = Counter "oneport_radio_texts_total" ["kind"]
        "Texts of radio nodes, by their kind; docs/allstarlink.md.";
    SIP_CONNECTIONS = Gauge "oneport_sip_connections" ["whose"]
        "Connections by TCP and TLS that others have to the SIP gateway: carriers and phones that have registered (known), and whoever else (stranger).";
    SIP_TURNED = Counter "oneport_sip_connections_closed_total" ["reason"]
        "Connections to the SIP gateway that it has closed: sip.max_connections (full), sip.max_connections_per_address (address_full), or nobody registered in time (stranger).";
    OVERLOADED = Gauge "oneport_overloaded" []
        "1 while new calls are refused as there is more to do than can be done in time; docs/capacity.md.";
    OVERLOAD_REFUSED = Counter "oneport_overload_refused_total" ["measure"]
        "Calls refused for that, by what was measured.";
    THREAD_CPU = Gauge "oneport_thread_cpu_ratio" ["thread"]
        "CPU time of the thread that does all media, and signalling of IAX2 (media), of the last second: 1 is all of its time.";
    QUOTA_CPU = Gauge "oneport_cpu_quota_ratio" []
        "CPU time used of the process's CPU quota (cgroup v2), of the last second, where it has one.";
    DELAY = Gauge "oneport_scheduling_delay_seconds" ["thread"]
        "The most that the thread came later than it was wanted, in the last quarter of a second.";
    CALL_CPU = Gauge "oneport_call_cpu_seconds" []
        "CPU time that a call of the present mix takes in each second; missing until enough was measured, docs/capacity.md.";
    FORECAST = Gauge "oneport_forecast_calls" ["bound"]
        "How many more calls of the present mix fit, by what bounds them; missing until enough was measured.";
    LINK_FORECAST = Gauge "oneport_link_forecast_calls" ["peer", "bound"]
        "How many more calls like those that are up with a peer fit, by what bounds them.";
    LIMIT_USED = Gauge "oneport_limit_used" ["limit"]
        "Calls under a limit; of a limit on each number, those of the busiest.";
    LIMIT_MAX = Gauge "oneport_limit_max" ["limit"]
        "How many calls may be under it.";
    LIMIT_PEAK = Gauge "oneport_limit_peak" ["limit"]
        "The most at once since the start.";
    LIMIT_REFUSED = Counter "oneport_limit_refused_total" ["limit"]
        "Calls that it refused.";
    LIMIT_AT_CAP = Counter "oneport_limit_at_cap_seconds_total" ["limit"]
        "How long all places were taken; of a limit on each number, those of all numbers together.";
    SWITCHES = Gauge "oneport_cluster_switches" ["state"]
        "Switches with the same database, this one among them, by what it knows of them.";
    CLUSTER_DATABASE = Gauge "oneport_cluster_database_up" []
        "1: the database of the switches answers this one; 0: it goes on with what it knows.";
    CLUSTER_SLOTS = Gauge "oneport_cluster_slots" ["limit"]
        "Calls that this switch may have under a limit that it shares.";
    CLUSTER_ELSEWHERE = Gauge "oneport_cluster_slots_elsewhere" ["limit"]
        "Calls that other switches may have under it.";
    CLUSTER_AGE = Gauge "oneport_cluster_renewal_age_seconds" []
        "How long ago the oldest lease of this switch was renewed; after [cluster] lease_ms others may take what is idle.";
    CONFIGURATION = Gauge "oneport_cluster_configuration_version" []
        "The version of the shared configuration that this switch runs.";
    CONFIGURATION_NEWEST = Gauge "oneport_cluster_configuration_newest" []
        "The newest version that it has heard of; above the other one it does not go with this switch's file.";
    LINK_UP = Gauge "oneport_link_up" ["peer"]
        "1 where a polled peer answers in time, else 0.";
    LINK_LATENCY = Gauge "oneport_link_latency_seconds" ["peer"]
        "Round trip of the last poll that a peer has answered.";
    LINK_RTT = Histogram "oneport_link_rtt_seconds" ["peer"]
        "Round trips of the polls that a peer has answered.";
    LINK_JITTER = Gauge "oneport_link_jitter_seconds" ["peer", "direction"]
        "The worst jitter of the calls that are up with a peer: heard from it, or by it as it says.";
    LINK_LATE = Gauge "oneport_link_late_p95_seconds" ["peer"]
        "How much later than the fastest one frame of twenty came, of the worst call that is up with a peer.";
    LINK_MOS = Gauge "oneport_link_mos_worst" ["peer", "direction"]
        "The lowest mean opinion score (G.107) of the calls that are up with a peer: as heard here, or there as it says.";
    LINK_CALLS = Gauge "oneport_link_calls" ["peer", "direction"]
        "Legs that are up with a peer.";
    LINK_FRAMES = Counter "oneport_link_frames_total" ["peer", "direction"]
        "Voice frames heard from a peer, or by it as it says.";
    LINK_LOST = Counter "oneport_link_lost_frames_total" ["peer", "direction"]
        "Voice frames that were lost on the way from a peer, or to it as it says.";
    REGISTERED = Gauge "oneport_registered_peers" []
        "Peers that are registered here.";
    REGISTRATIONS_REFUSED = Counter "oneport_registrations_refused_total" []
        "Registrations turned away, as whoever wanted them could not prove who it is.";
    REGISTRATION_UP = Gauge "oneport_registration_up" ["registrar", "username"]
        "1 where a registrar has us, else 0.";
    DATAGRAMS = Counter "oneport_datagrams_received_total" []
        "Datagrams received.";
    RELAYED = Counter "oneport_frames_relayed_total" []
        "Frames of voice and video passed on between two legs.";
    DROPPED = Counter "oneport_dropped_total" ["reason"]
        "Frames dropped; docs/refusals.md explains each reason.";
    RCVBUF = Counter "oneport_udp_rcvbuf_errors_total" []
        "Datagrams that the kernel dropped as the socket's buffer was full.";
    RETRANSMIT = Counter "oneport_retransmit_total" []
        "Reliable frames sent again.";
    VNAK = Counter "oneport_vnak_total" []
        "VNAKs sent: frames before one that came were missing.";
    CALLTOKEN = Counter "oneport_calltoken_total" ["result"]
        "Call tokens: sent to newcomers, bad, or missing where one is required.";
    AUTH_FAILED = Counter "oneport_authentication_failures_total" []
        "Proofs of identity that failed.";
    DECRYPT_FAILED = Counter "oneport_decrypt_fail_total" []
        "Encrypted frames that no key fits.";
    KEY_CHANGES = Counter "oneport_key_changes_total" []
        "Keys of encrypted calls changed by us.";
    TRUNK_RECEIVED = Counter "oneport_trunk_datagrams_received_total" []
        "Trunk frames received.";
    TRUNK_DATAGRAMS = Counter "oneport_trunk_datagrams_total" []
        "Trunk frames sent.";
    TRUNK_ENTRIES = Counter "oneport_trunk_entries_total" []
        "Frames of voice sent in trunk frames; over their number it is how many calls share one.";
    MOVED = Counter "oneport_calls_moved_total" []
        "Calls whose peer has changed its address.";
    DEADLINES = Counter "oneport_deadlines_missed_total" []
        "Deadlines still past after they were handled: each is a mistake of the engine.";
    VARIABLES = Counter "oneport_variables_left_out_total" []
        "Variables of calls left out as there were too many.";
    HANDED_ON = Counter "oneport_handed_on_total" []
        "Datagrams handed to older processes of this switch, whose calls they were for; docs/operation.md.";
    OLDER_PROCESSES = Gauge "oneport_older_processes" []
        "Older processes of this switch that still have calls.";
    OLDER_LEGS = Gauge "oneport_older_legs" []
        "Legs of calls of older processes, which are not among oneport_legs.";
    RECORDINGS = Gauge "oneport_recordings" []
        "Calls that are up and recorded.";
    RECORDING_LEFT_OUT = Counter "oneport_recording_frames_left_out_total" []
        "Frames that are missing in recordings of calls, since the disk did not keep up.";
    CAPTURE_LEFT_OUT = Counter "oneport_capture_packets_left_out_total" []
        "Packets missing in captures of calls, since whoever asked for them fetched them too slowly.";
    HEP_SENT = Counter "oneport_hep_packets_total" []
        "Copies of signalling sent to whoever collects them (HEP3).";
    HEP_LEFT_OUT = Counter "oneport_hep_left_out_total" []
        "Copies of signalling that were not sent: the way to whoever collects them was lost or too slow.";
    SPANS_SENT = Counter "oneport_trace_spans_total" []
        "Spans of calls that whoever collects traces has taken (OTLP).";
    SPANS_LEFT_OUT = Counter "oneport_trace_spans_left_out_total" []
        "Spans of calls that were not taken: the way to whoever collects traces was lost or too slow, or it refused them.";
    RECORDS_WAITING = Gauge "oneport_store_queue_records" []
        "Records that wait to be written; calls are refused where store.max_waiting do.";
    RECORDS_WAITING_MAX = Gauge "oneport_store_queue_records_max" []
        "Records that may wait to be written (store.max_waiting); 0: nothing is kept.";
    DATABASE_UP = Gauge "oneport_store_up" []
        "1: the database takes records; 0: it does not, and they wait on the disk.";
    DISK_QUEUE = Gauge "oneport_store_disk_queue_records" []
        "Records that wait on the disk until the database takes them.";
    DISK_QUEUE_MOST = Gauge "oneport_store_disk_queue_records_max" []
        "Records that may wait there (store.max_queued); 0: the store needs no such queue.";
    REFUSALS_LEFT_OUT = Counter "oneport_store_refusals_left_out_total" []
        "Refusals that were not kept, since too many records waited.";
    REALTIME_UP = Gauge "oneport_realtime_up" []
        "1: the database of Asterisk's tables answers; 0: it does not, and the peers that are known go on; missing without [realtime].";
    REALTIME_PEERS = Gauge "oneport_realtime_peers" []
        "Peers out of Asterisk's tables.";
    REALTIME_LOOKUPS = Counter "oneport_realtime_lookups_total" ["result"]
        "Names that no peer had: looked up in Asterisk's tables and found, unknown there, or unanswered in time; or not looked up, as remembered to be unknown, or left_out since too many were.";
    REALTIME_SECONDS = Histogram "oneport_realtime_query_seconds" ["query"]
        "How long the database of Asterisk's tables took for what it did: looks at all rows (look), at those of one name (lookup), and registrations written (write).";
    REALTIME_FAILED = Counter "oneport_realtime_failed_queries_total" ["query"]
        "What the database of Asterisk's tables was asked for and did not do, or not in time.";
    REALTIME_WAITING = Gauge "oneport_realtime_waiting_registrations" []
        "Registrations that wait until the database of Asterisk's tables takes them.";
    EVENTS_MISSED = Counter "oneport_events_missed_total" []
        "Events that listeners of the API were too slow to get.";
}

const IN: &str = "in";
const OUT: &str = "out";

const fn word(direction: Direction) -> &'static str {
    match direction {
        Direction::In => IN,
        Direction::Out => OUT,
    }
}

/// What the API knows besides the switch.
struct Own {
    uptime: f64,
    lag: f64,
    missed: u64,
    /// What waits on the disk for the database.
    queue: Option<QueueReport>,
}

/// Metrics for Prometheus, or in OpenMetrics for whoever accepts that, then with ids of calls as
/// exemplars.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "switch",
    security(("token" = ["viewer"])),
    responses((
        status = 200,
        description = "docs/metrics.md lists them",
        body = String,
        content_type = "text/plain"
    ))
)]
pub(super) async fn metrics(
    State(shared): State<Shared>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let format = Format::accepted(accept.unwrap_or_default());
    let asked = Instant::now();
    let figures = shared.ask(|endpoint, switch, now| switch.figures(endpoint, now)).await?;
    let own = Own {
        uptime: shared.started.elapsed().as_secs_f64(),
        lag: asked.elapsed().as_secs_f64(),
        missed: shared.missed.load(std::sync::atomic::Ordering::Relaxed),
        queue: shared.store.as_ref().and_then(|store| store.queue()),
    };
    Ok(([(header::CONTENT_TYPE, format.content_type())], write(format, &figures, &own)))
}

#[expect(clippy::cast_precision_loss, reason = "samples are floats")]
fn write(format: Format, figures: &Figures, own: &Own) -> String {
    let mut page = Exposition::new(format);
    page.begin(&BUILD).add(&[env!("CARGO_PKG_VERSION")], 1.0);
    page.begin(&UPTIME).add(&[], own.uptime);
    page.begin(&LOOP_LAG).add(&[], own.lag);
    write_calls(&mut page, figures);
    write_load(&mut page, figures);
    write_limits(&mut page, figures);
    write_cluster(&mut page, figures);
    write_links(&mut page, figures);
    write_counters(&mut page, &figures.counters);
    let (processes, legs) = figures.older;
    page.begin(&OLDER_PROCESSES).add(&[], processes as f64);
    page.begin(&OLDER_LEGS).add(&[], legs as f64);
    let (recordings, left_out) = figures.recordings;
    page.begin(&RECORDINGS).add(&[], recordings as f64);
    page.begin(&RECORDING_LEFT_OUT).add(&[], left_out as f64);
    page.begin(&CAPTURE_LEFT_OUT).add(&[], figures.captures_left_out as f64);
    let mut samples = page.begin(&HEP_SENT);
    if let Some((sent, _)) = figures.exported {
        samples.add(&[], sent as f64);
    }
    let mut samples = page.begin(&HEP_LEFT_OUT);
    if let Some((_, left_out)) = figures.exported {
        samples.add(&[], left_out as f64);
    }
    let mut samples = page.begin(&SPANS_SENT);
    if let Some((sent, _)) = figures.traces {
        samples.add(&[], sent as f64);
    }
    let mut samples = page.begin(&SPANS_LEFT_OUT);
    if let Some((_, left_out)) = figures.traces {
        samples.add(&[], left_out as f64);
    }
    let (waiting, most, left_out) = figures.records;
    page.begin(&RECORDS_WAITING).add(&[], waiting as f64);
    page.begin(&RECORDS_WAITING_MAX).add(&[], most as f64);
    let queue = own.queue.as_ref();
    let up = queue.is_none_or(|queue| queue.outage.is_none());
    page.begin(&DATABASE_UP).add(&[], f64::from(u8::from(up)));
    page.begin(&DISK_QUEUE).add(&[], queue.map_or(0, |queue| queue.waiting) as f64);
    page.begin(&DISK_QUEUE_MOST).add(&[], queue.map_or(0, |queue| queue.most) as f64);
    page.begin(&REFUSALS_LEFT_OUT).add(&[], left_out as f64);
    write_rows(&mut page, figures.rows.as_ref());
    page.begin(&EVENTS_MISSED).add(&[], own.missed as f64);
    page.finish()
}

#[expect(clippy::cast_precision_loss, reason = "samples are floats")]
fn write_rows(page: &mut Exposition, rows: Option<&RowFigures>) {
    let mut samples = page.begin(&REALTIME_UP);
    if let Some(rows) = rows {
        samples.add(&[], f64::from(u8::from(!rows.figures.is_away)));
    }
    let mut samples = page.begin(&REALTIME_PEERS);
    if let Some(rows) = rows {
        samples.add(&[], rows.peers as f64);
    }
    let mut samples = page.begin(&REALTIME_LOOKUPS);
    if let Some(RowFigures { look_ups, .. }) = rows {
        samples
            .add(&["found"], look_ups.found as f64)
            .add(&["unknown"], look_ups.unknown as f64)
            .add(&["unanswered"], look_ups.unanswered as f64)
            .add(&["remembered"], look_ups.remembered as f64)
            .add(&["left_out"], look_ups.left_out as f64);
    }
    let mut samples = page.begin(&REALTIME_SECONDS);
    for (rows, (query, name)) in rows.iter().flat_map(|rows| Query::NAMES.map(|one| (rows, one))) {
        samples.histogram(&[name], &rows.figures.asked(query).took);
    }
    let mut samples = page.begin(&REALTIME_FAILED);
    for (rows, (query, name)) in rows.iter().flat_map(|rows| Query::NAMES.map(|one| (rows, one))) {
        samples.add(&[name], rows.figures.asked(query).failed as f64);
    }
    let mut samples = page.begin(&REALTIME_WAITING);
    if let Some(rows) = rows {
        samples.add(&[], rows.figures.waiting as f64);
    }
}

#[expect(clippy::cast_precision_loss, reason = "samples are floats")]
fn write_calls(page: &mut Exposition, figures: &Figures) {
    let tally = &figures.tally;
    let mut samples = page.begin(&CALLS);
    for state in CallState::ALL {
        let count = figures.calls.iter().filter(|one| **one == state).count();
        samples.add(&[state.name()], count as f64);
    }
    let legs_out: usize = figures.legs - figures.calls.len();
    page.begin(&LEGS).add(&[IN], figures.calls.len() as f64).add(&[OUT], legs_out as f64);
    let mut samples = page.begin(&CALLS_BEGUN);
    for direction in [Direction::In, Direction::Out] {
        let begun = tally.begun.get(&direction).copied().unwrap_or(0);
        samples.add(&[word(direction)], begun as f64);
    }
    page.begin(&CALLS_ANSWERED).add(&[], tally.answered as f64);
    let mut samples = page.begin(&CALLS_ENDED);
    for ((direction, cause), count) in &tally.ended {
        samples.add(&[word(*direction), &cause.0.to_string()], *count as f64);
    }
    let mut samples = page.begin(&REFUSED);
    for ((stage, cause), count) in &figures.refused {
        let cause = cause.map(|cause| cause.0.to_string()).unwrap_or_default();
        samples.add(&[stage.name(), &cause], *count as f64);
    }
    page.begin(&SETUP).histogram(&[], &tally.setup);
    page.begin(&DURATION).histogram(&[], &tally.duration);
    let mut samples = page.begin(&CHOPPY);
    for (cause, count) in &tally.choppy {
        samples.add(&[cause], *count as f64);
    }
    let mut samples = page.begin(&ONE_WAY);
    for (reason, count) in &tally.one_way {
        samples.add(&[reason], *count as f64);
    }
    page.begin(&ONE_WAY_NOW).add(&[], figures.one_way as f64);
    let mut samples = page.begin(&MOS);
    for (direction, mos) in [(IN, &tally.mos.0), (OUT, &tally.mos.1)] {
        samples.histogram(&[direction], mos);
    }
    let radio = &figures.radio;
    page.begin(&RADIO_NODES).add(&[], radio.nodes as f64);
    page.begin(&RADIO_LINKED).add(&[], radio.linked as f64);
    page.begin(&RADIO_KEYED).add(&[], radio.keyed as f64);
    page.begin(&RADIO_TIMES).add(&[], radio.times as f64);
    page.begin(&RADIO_SECONDS).add(&[], radio.seconds);
    let mut samples = page.begin(&RADIO_TEXTS);
    for (kind, count) in &radio.texts {
        samples.add(&[kind], *count as f64);
    }
    let (transcoded, most) = figures.transcoded;
    page.begin(&TRANSCODED).add(&[], transcoded as f64);
    page.begin(&TRANSCODED_MAX).add(&[], most as f64);
    let streams = &figures.streams;
    page.begin(&SIP_CONNECTIONS)
        .add(&["known"], streams.known as f64)
        .add(&["stranger"], streams.strangers as f64);
    let mut turned = page.begin(&SIP_TURNED);
    for (why, name) in Turned::NAMES {
        turned.add(&[name], streams.turned(why) as f64);
    }
}

#[expect(clippy::cast_precision_loss, reason = "samples are floats")]
fn write_load(page: &mut Exposition, figures: &Figures) {
    let load = &figures.load;
    page.begin(&OVERLOADED).add(&[], f64::from(u8::from(load.overloaded)));
    let mut samples = page.begin(&OVERLOAD_REFUSED);
    for (measure, refused) in load.refused {
        samples.add(&[measure.name()], refused as f64);
    }
    let mut samples = page.begin(&THREAD_CPU);
    if let Some(cpu) = load.cpu {
        samples.add(&["media"], cpu);
    }
    let mut samples = page.begin(&QUOTA_CPU);
    if let Some(quota) = load.quota {
        samples.add(&[], quota);
    }
    let mut samples = page.begin(&DELAY);
    if let Some(delay) = load.delay {
        samples.add(&["media"], delay);
    }
    let capacity = &figures.capacity;
    let mut samples = page.begin(&CALL_CPU);
    if let Some(ms) = capacity.call_cpu_ms {
        samples.add(&[], ms / 1e3);
    }
    let mut samples = page.begin(&FORECAST);
    if let Some(told) = &capacity.forecast {
        samples.add(&[&told.bound], told.calls as f64);
    }
    let mut samples = page.begin(&LINK_FORECAST);
    for peer in &capacity.peers {
        if let Some(told) = &peer.forecast {
            samples.add(&[&peer.peer, &told.bound], told.calls as f64);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "samples are floats")]
fn write_limits(page: &mut Exposition, figures: &Figures) {
    let limits = &figures.limits;
    let mut samples = page.begin(&LIMIT_USED);
    for limit in limits {
        samples.add(&[&limit.name], limit.used as f64);
    }
    let mut samples = page.begin(&LIMIT_MAX);
    for limit in limits {
        if let Some(max) = limit.max {
            samples.add(&[&limit.name], max as f64);
        }
    }
    let mut samples = page.begin(&LIMIT_PEAK);
    for limit in limits {
        samples.add(&[&limit.name], limit.peak as f64);
    }
    let mut samples = page.begin(&LIMIT_REFUSED);
    for limit in limits {
        samples.add(&[&limit.name], limit.refused as f64);
    }
    let mut samples = page.begin(&LIMIT_AT_CAP);
    for limit in limits {
        samples.add(&[&limit.name], limit.at_cap.as_secs_f64());
    }
}

/// Nothing where this switch is alone.
#[expect(clippy::cast_precision_loss, reason = "samples are floats")]
fn write_cluster(page: &mut Exposition, figures: &Figures) {
    let all = &figures.switches;
    let switches = &all.switches;
    let own = switches.iter().find(|one| one.here);
    let mut samples = page.begin(&SWITCHES);
    if own.is_some() {
        for state in SwitchState::ALL {
            let count = switches.iter().filter(|one| one.state == state).count();
            samples.add(&[state.name()], count as f64);
        }
    }
    let mut samples = page.begin(&CLUSTER_DATABASE);
    if let Some(own) = own {
        samples.add(&[], f64::from(u8::from(own.state == SwitchState::Alive)));
    }
    let shared = || figures.limits.iter().filter_map(|limit| Some((&limit.name, limit.shared?)));
    let mut samples = page.begin(&CLUSTER_SLOTS);
    for (limit, share) in shared() {
        samples.add(&[limit], share.bound.slots() as f64);
    }
    let mut samples = page.begin(&CLUSTER_ELSEWHERE);
    for (limit, share) in shared() {
        samples.add(&[limit], share.elsewhere as f64);
    }
    let mut samples = page.begin(&CLUSTER_AGE);
    if let Some(age) = shared().filter_map(|(_, share)| share.age).max() {
        samples.add(&[], age.as_secs_f64());
    }
    let mut samples = page.begin(&CONFIGURATION);
    if let Some(version) = own.and_then(|own| own.configuration) {
        samples.add(&[], version as f64);
    }
    let mut samples = page.begin(&CONFIGURATION_NEWEST);
    if let Some(version) = all.configuration {
        samples.add(&[], version as f64);
    }
}

#[expect(clippy::cast_precision_loss, reason = "samples are floats")]
fn write_links(page: &mut Exposition, figures: &Figures) {
    let mut samples = page.begin(&LINK_UP);
    for peer in figures.peers.iter().filter(|peer| peer.state != PeerState::Unmonitored) {
        samples.add(&[&peer.name], f64::from(u8::from(peer.state == PeerState::Ok)));
    }
    let mut samples = page.begin(&LINK_LATENCY);
    for peer in &figures.peers {
        if let Some(latency) = peer.latency {
            samples.add(&[&peer.name], latency.as_secs_f64());
        }
    }
    let mut samples = page.begin(&LINK_RTT);
    for (peer, rtt) in &figures.tally.rtt {
        samples.histogram(&[peer], rtt);
    }
    let mut samples = page.begin(&LINK_JITTER);
    for peer in &figures.peers {
        for (direction, jitter) in [(IN, peer.jitter.0), (OUT, peer.jitter.1)] {
            if let Some(jitter) = jitter {
                samples.add(&[&peer.name, direction], jitter.as_secs_f64());
            }
        }
    }
    let mut samples = page.begin(&LINK_LATE);
    for peer in &figures.peers {
        if let Some(late) = peer.late {
            samples.add(&[&peer.name], late.as_secs_f64());
        }
    }
    let mut samples = page.begin(&LINK_MOS);
    for peer in &figures.peers {
        for (direction, mos) in [(IN, peer.mos.0), (OUT, peer.mos.1)] {
            if let Some(mos) = mos {
                samples.add(&[&peer.name, direction], mos);
            }
        }
    }
    let mut samples = page.begin(&LINK_CALLS);
    for peer in &figures.peers {
        samples.add(&[&peer.name, IN], peer.calls.0 as f64);
        samples.add(&[&peer.name, OUT], peer.calls.1 as f64);
    }
    let mut samples = page.begin(&LINK_FRAMES);
    for PeerFigures { name, voice, .. } in &figures.peers {
        samples.add(&[name, IN], voice.heard as f64);
        samples.add(&[name, OUT], voice.heard_there as f64);
    }
    let mut samples = page.begin(&LINK_LOST);
    for PeerFigures { name, voice, .. } in &figures.peers {
        samples.add(&[name, IN], voice.lost as f64);
        samples.add(&[name, OUT], voice.lost_there as f64);
    }
    page.begin(&REGISTERED).add(&[], figures.registered as f64);
    let refused = figures.tally.registrations_refused;
    page.begin(&REGISTRATIONS_REFUSED).add(&[], refused as f64);
    let mut samples = page.begin(&REGISTRATION_UP);
    for (registrar, username, up) in &figures.registrations {
        samples.add(&[registrar, username], f64::from(u8::from(*up)));
    }
}

#[expect(clippy::cast_precision_loss, reason = "samples are floats")]
fn write_counters(page: &mut Exposition, counters: &Counters) {
    let dropped = |reason| counters.dropped(reason) as f64;
    page.begin(&DATAGRAMS).add(&[], counters.datagrams_received as f64);
    page.begin(&RELAYED).add(&[], counters.relayed as f64);
    let mut samples = page.begin(&DROPPED);
    for (reason, count) in counters.drops() {
        samples.add(&[reason.name()], count as f64);
    }
    page.begin(&RCVBUF).add(&[], dropped(DropReason::SocketBufferFull));
    page.begin(&RETRANSMIT).add(&[], counters.retransmissions as f64);
    page.begin(&VNAK).add(&[], counters.vnaks_sent as f64);
    page.begin(&CALLTOKEN)
        .add(&["sent"], counters.call_tokens_sent as f64)
        .add(&["bad"], dropped(DropReason::BadCallToken))
        .add(&["missing"], dropped(DropReason::CallTokenMissing));
    page.begin(&AUTH_FAILED).add(&[], counters.authentication_failures as f64);
    page.begin(&DECRYPT_FAILED).add(&[], dropped(DropReason::DecryptionFailed));
    page.begin(&KEY_CHANGES).add(&[], counters.key_changes as f64);
    page.begin(&TRUNK_RECEIVED).add(&[], counters.trunk_frames_received as f64);
    page.begin(&TRUNK_DATAGRAMS).add(&[], counters.trunk_frames_sent as f64);
    page.begin(&TRUNK_ENTRIES).add(&[], counters.trunk_entries_sent as f64);
    page.begin(&MOVED).add(&[], counters.calls_moved as f64);
    page.begin(&DEADLINES).add(&[], counters.deadlines_missed as f64);
    page.begin(&VARIABLES).add(&[], counters.variables_left_out as f64);
    page.begin(&HANDED_ON).add(&[], counters.handed_on as f64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_is_documented_as_it_is() {
        let document = include_str!("../../../../docs/metrics.md");
        let rows: Vec<&str> = document.lines().filter(|line| line.starts_with("| `")).collect();
        let expected = ALL.iter().map(|metric| {
            let labels: Vec<String> =
                metric.labels.iter().map(|label| format!("`{label}`")).collect();
            let kind = metric.kind.name();
            format!("| `{}` | {kind} | {} | {} |", metric.name, labels.join(", "), metric.help)
        });
        assert_eq!(rows, expected.collect::<Vec<_>>(), "docs/metrics.md is old");
    }

    #[test]
    fn what_each_means_when_it_rises_is_documented() {
        let document = include_str!("../../../../docs/metrics.md");
        let mut sections =
            document.split("\n### `").skip(1).filter_map(|rest| rest.split_once("`\n\n"));
        for metric in ALL {
            let (name, text) =
                sections.next().unwrap_or_else(|| panic!("{} has none", metric.name));
            assert_eq!(name, metric.name, "sections of docs/metrics.md");
            assert!(text.trim().len() > 20, "{name}: {text}");
        }
        assert_eq!(sections.next(), None, "a metric that is not there");
    }

    #[test]
    fn names_say_their_units_and_kinds() {
        for metric in ALL {
            assert!(metric.name.starts_with("oneport_"), "{}", metric.name);
            let total = metric.name.ends_with("_total");
            assert_eq!(total, metric.kind == Kind::Counter, "{}", metric.name);
            for forbidden in ["call", "caller", "number", "le"] {
                assert!(!metric.labels.contains(&forbidden), "{}", metric.name);
            }
        }
    }
}
