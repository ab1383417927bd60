//! `/v1/carriers`.

use axum::Json;
use axum::extract::State;

use super::Shared;
use super::error::Problem;
use super::model::CarriersView;

/// SIP carriers: whether they answer, where they are, and whether we are registered there.
#[utoipa::path(
    get,
    path = "/v1/carriers",
    tag = "peers",
    security(("token" = ["viewer"])),
    responses((status = 200, description = "All of them, by name", body = CarriersView))
)]
pub(super) async fn carriers(State(shared): State<Shared>) -> Result<Json<CarriersView>, Problem> {
    shared.ask(|_, switch, _| switch.show_carriers()).await.map(Json)
}
