//! `/v1/overview`: what the first screen of the console shows beside limits and troubles.

use axum::Json;
use axum::extract::State;

use super::Shared;
use super::error::Problem;
use super::model::{History, Overview, ProcessView, SocketView};
use super::pulse::{POINT, memory_peak};

/// How the switch does: calls and what they sound like, the last hour, and the health of process and sockets.
#[utoipa::path(
    get,
    path = "/v1/overview",
    tag = "switch",
    security(("token" = ["viewer"])),
    responses((status = 200, description = "The figures", body = Overview))
)]
pub(super) async fn overview(State(shared): State<Shared>) -> Result<Json<Overview>, Problem> {
    let seen = shared.ask(|endpoint, switch, _| switch.look(endpoint)).await?;
    let rhythm = shared.pulse.tell();
    let round = |value: f64| (value * 10.0).round() / 10.0;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let points = &rhythm.points;
    Ok(Json(Overview {
        calls: seen.calls,
        legs: seen.legs,
        states: seen.states,
        begun_per_second: round(rhythm.begun_per_second),
        refused: seen.refused,
        mos: seen.mos,
        unheard: seen.unheard,
        one_way: seen.one_way,
        history: History {
            seconds: POINT,
            calls: points.iter().map(|point| point.calls).collect(),
            begun: points.iter().map(|point| point.begun).collect(),
            refused: points.iter().map(|point| point.refused).collect(),
        },
        process: ProcessView {
            cpu_percent: round(rhythm.cpu_percent),
            cores,
            memory_peak_bytes: memory_peak(),
            lag_ms: round(rhythm.lag.as_secs_f64() * 1e3),
        },
        sockets: SocketView {
            datagrams_per_second: round(rhythm.datagrams_per_second),
            overflowed: seen.overflowed,
            dropped: seen.dropped,
            retransmissions: seen.retransmissions,
        },
    }))
}
