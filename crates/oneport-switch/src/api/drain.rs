//! `/v1/drain`: taking no new calls.

use axum::Json;
use axum::extract::State;

use super::Shared;
use super::error::{Problem, Refused};
use super::model::{DrainState, DrainView};
use crate::Switch;
use crate::switch::Life;

fn view(switch: &Switch) -> DrainView {
    let legs = switch.legs_up();
    let state = match switch.life() {
        Life::Serving => DrainState::Serving,
        Life::Draining { .. } => DrainState::Draining,
        Life::Drained => DrainState::Drained,
    };
    DrainView { state, legs }
}

/// Whether the switch takes calls, or drains.
#[utoipa::path(
    get,
    path = "/v1/drain",
    operation_id = "show_drain",
    tag = "switch",
    security(("token" = ["viewer"])),
    responses((status = 200, description = "Whether it does", body = DrainView))
)]
pub(super) async fn show(State(shared): State<Shared>) -> Result<Json<DrainView>, Problem> {
    shared.ask(|_, switch, _| view(switch)).await.map(Json)
}

/// Takes no new calls from now on; those that are up go on. New ones are refused with cause 42.
#[utoipa::path(
    post,
    path = "/v1/drain",
    operation_id = "drain",
    tag = "switch",
    security(("token" = ["admin"])),
    responses(
        (status = 200, description = "It drains, or did before", body = DrainView),
        (status = 503, description = "The switch does not answer", body = Refused),
    )
)]
pub(super) async fn drain(State(shared): State<Shared>) -> Result<Json<DrainView>, Problem> {
    let drained = shared.ask(|_, switch, _| {
        switch.drain();
        view(switch)
    });
    drained.await.map(Json)
}

/// Takes calls again.
#[utoipa::path(
    delete,
    path = "/v1/drain",
    operation_id = "undrain",
    tag = "switch",
    security(("token" = ["admin"])),
    responses(
        (status = 200, description = "It takes calls, or did before", body = DrainView),
        (status = 503, description = "The switch does not answer", body = Refused),
    )
)]
pub(super) async fn undrain(State(shared): State<Shared>) -> Result<Json<DrainView>, Problem> {
    let undrained = shared.ask(|_, switch, _| {
        switch.undrain();
        view(switch)
    });
    undrained.await.map(Json)
}
