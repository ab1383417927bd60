//! Health, readiness, the status of the switch, limits, reload, and the description of the API.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Shared;
use super::error::{Problem, Refused};
use super::extract::Ask;
use super::model::{CapacityView, Health, LimitsView, Reloaded, Status};
use crate::store::QueueReport;

/// How long a living switch takes to answer at most.
const ALIVE: Duration = Duration::from_secs(2);

fn ok() -> Json<Health> {
    Json(Health { status: "ok".into() })
}

/// Whether the switch lives: its thread answers.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "switch",
    security(()),
    responses(
        (status = 200, description = "It lives", body = Health),
        (status = 503, description = "It does not answer", body = Refused),
    )
)]
pub(super) async fn health(State(shared): State<Shared>) -> Result<Json<Health>, Problem> {
    let answer = tokio::time::timeout(ALIVE, shared.ask(|_, _, _| ())).await;
    answer.map_err(|_| Problem::unavailable("the switch does not answer"))??;
    Ok(ok())
}

/// Whether the switch takes calls.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "switch",
    security(()),
    responses(
        (status = 200, description = "It takes calls", body = Health),
        (status = 503, description = "It does not", body = Refused),
    )
)]
pub(super) async fn ready(State(shared): State<Shared>) -> Result<Json<Health>, Problem> {
    let status = shared.ask(|_, switch, now| switch.show_status(now)).await?;
    match status.refusing {
        None => Ok(ok()),
        Some(why) => {
            let hint =
                "`oneport undrain`, or DELETE /v1/drain, ends draining; overload ends by itself";
            let problem = Problem::unavailable(format!("the switch takes no new calls: {why}"));
            Err(problem.with_hint(Some(hint.into())))
        }
    }
}

/// The state of the switch in a few figures, and what is not as it should be.
#[utoipa::path(
    get,
    path = "/v1/status",
    tag = "switch",
    security(("token" = ["viewer"])),
    responses((status = 200, description = "The figures", body = Status))
)]
pub(super) async fn status(State(shared): State<Shared>) -> Result<Json<Status>, Problem> {
    let mut status = shared.ask(|_, switch, now| switch.show_status(now)).await?;
    status.version = env!("CARGO_PKG_VERSION").into();
    status.uptime_seconds = shared.started.elapsed().as_secs();
    status.listen = shared.driver.local_addresses().iter().map(ToString::to_string).collect();
    let queue = shared.store.as_ref().and_then(|store| store.queue());
    if let Some(QueueReport { waiting, most, outage: Some((since, why)) }) = queue {
        let queued = format!("{waiting} of at most {most} records wait on the disk");
        status.troubles.insert(0, format!("no database since {since}, {queued}: {why}"));
    }
    Ok(Json(status))
}

/// Limits: use, peak, time at the ceiling, and who uses most of it.
#[utoipa::path(
    get,
    path = "/v1/limits",
    tag = "switch",
    security(("token" = ["viewer"])),
    responses((status = 200, description = "In the order of the configuration", body = LimitsView))
)]
pub(super) async fn limits(State(shared): State<Shared>) -> Result<Json<LimitsView>, Problem> {
    shared.ask(|_, switch, now| switch.show_limits(now)).await.map(Json)
}

/// How busy the switch is, and how many more calls fit, of the present mix and with each peer.
#[utoipa::path(
    get,
    path = "/v1/capacity",
    tag = "switch",
    security(("token" = ["viewer"])),
    responses((status = 200, description = "As it was measured", body = CapacityView))
)]
pub(super) async fn capacity(State(shared): State<Shared>) -> Result<Json<CapacityView>, Problem> {
    shared.ask(|endpoint, switch, now| switch.show_capacity(endpoint, now)).await.map(Json)
}

/// How a reload goes.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ReloadQuery {
    /// Only tells what would change.
    #[serde(default)]
    dry_run: bool,
}

/// Reads the configuration file again. Calls that are up are not touched; a file with a mistake
/// changes nothing.
#[utoipa::path(
    post,
    path = "/v1/reload",
    tag = "switch",
    params(ReloadQuery),
    security(("token" = ["admin"])),
    responses(
        (status = 200, description = "What has changed, or would", body = Reloaded),
        (status = 409, description = "The switch runs without a file", body = Refused),
        (status = 422, description = "The file has a mistake; the old one stays", body = Refused),
    )
)]
pub(super) async fn reload(
    State(shared): State<Shared>,
    Ask(query): Ask<ReloadQuery>,
) -> Result<Json<Reloaded>, Problem> {
    let Some(reloader) = &shared.reloader else {
        return Err(Problem::conflict("the switch runs without a configuration file"));
    };
    match reloader.carry_out(query.dry_run).await {
        Ok(reloaded) => Ok(Json(reloaded)),
        Err(error) => Err(Problem::wrong(error.to_string()).with_hint(error.hint())),
    }
}

/// The description itself; it is not described in itself.
pub(super) async fn openapi(State(shared): State<Shared>) -> Json<utoipa::openapi::OpenApi> {
    Json(shared.document.clone())
}
