//! `/v1/peers`, `/v1/registrations`.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Shared;
use super::error::{Problem, Refused};
use super::extract::{Ask, PageQuery};
use super::model::{PeerState, Peers, Registrations};

/// Which peers.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PeerQuery {
    /// Only those in this state.
    state: Option<PeerState>,
}

/// Peers: where they are, whether they answer polls, and what they may do.
#[utoipa::path(
    get,
    path = "/v1/peers",
    tag = "peers",
    params(PageQuery, PeerQuery),
    security(("token" = ["viewer"])),
    responses(
        (status = 200, description = "A page of them, by name", body = Peers),
        (status = 422, description = "The query makes no sense", body = Refused),
    )
)]
pub(super) async fn peers(
    State(shared): State<Shared>,
    Ask(page): Ask<PageQuery>,
    Ask(query): Ask<PeerQuery>,
) -> Result<Json<Peers>, Problem> {
    let page = page.by_name()?;
    shared.ask(move |_, switch, now| switch.peers(now, query.state, &page)).await.map(Json)
}

/// Registrations here, and ours elsewhere.
#[utoipa::path(
    get,
    path = "/v1/registrations",
    tag = "peers",
    params(PageQuery),
    security(("token" = ["viewer"])),
    responses(
        (status = 200, description = "A page of those here, and all elsewhere", body = Registrations),
        (status = 422, description = "The query makes no sense", body = Refused),
    )
)]
pub(super) async fn registrations(
    State(shared): State<Shared>,
    Ask(page): Ask<PageQuery>,
) -> Result<Json<Registrations>, Problem> {
    let page = page.by_name()?;
    shared.ask(move |_, switch, now| switch.registrations(now, &page)).await.map(Json)
}
