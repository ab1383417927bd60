//! `/v1/switches`.

use axum::Json;
use axum::extract::State;

use super::Shared;
use super::error::Problem;
use super::model::SwitchesView;

/// The switches with the same database: whether they are there, and where.
#[utoipa::path(
    get,
    path = "/v1/switches",
    tag = "switch",
    security(("token" = ["viewer"])),
    responses((status = 200, description = "This one, and the others by name", body = SwitchesView))
)]
pub(super) async fn switches(State(shared): State<Shared>) -> Result<Json<SwitchesView>, Problem> {
    shared.ask(|_, switch, now| switch.show_switches(now)).await.map(Json)
}
