//! `/v1/peers`, `/v1/registrations`.

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Shared;
use super::error::{Problem, Refused};
use super::extract::{Ask, PageQuery};
use super::model::{PeerInFull, PeerState, Peers, Registrations};

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

/// One peer, and how fast it has answered polls of late. A carrier is the peer `carrier:NAME`.
#[utoipa::path(
    get,
    path = "/v1/peers/{name}",
    operation_id = "peer",
    tag = "peers",
    params(("name" = String, Path, description = "Its name")),
    security(("token" = ["viewer"])),
    responses(
        (status = 200, description = "The peer", body = PeerInFull),
        (status = 404, description = "There is none of this name", body = Refused),
    )
)]
pub(super) async fn peer(
    State(shared): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<PeerInFull>, Problem> {
    let wanted = name.clone();
    let found = shared.ask(move |_, switch, now| switch.peer_in_full(now, &wanted)).await?;
    found.map(Json).ok_or_else(|| Problem::not_found(format!("there is no peer `{name}`")))
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
