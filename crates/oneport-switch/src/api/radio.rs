//! `/v1/radio`.

use axum::Json;
use axum::extract::State;

use super::Shared;
use super::error::Problem;
use super::model::RadioView;

/// Radio nodes: who is linked with whom, and who is keyed. Nodes are those at the far ends of calls that have sent KEY,
/// UNKEY or a text of `app_rpt`, and those of which they tell.
#[utoipa::path(
    get,
    path = "/v1/radio",
    tag = "calls",
    security(("token" = ["viewer"])),
    responses((status = 200, description = "The nodes and their links", body = RadioView))
)]
pub(super) async fn radio(State(shared): State<Shared>) -> Result<Json<RadioView>, Problem> {
    shared.ask(|_, switch, now| switch.show_radio(now)).await.map(Json)
}
