//! `/v1/calls/{id}/ladder`: the messages by which a call came about.

use axum::Json;
use axum::extract::{Path, State};

use super::Shared;
use super::error::{Problem, Refused};
use super::model::Ladder;

/// The messages of a call that is up, of all its legs: those that are among the last MiB of signalling of
/// all calls. PING, LAGRQ and voice are left out; passwords, proofs, keys
/// and call tokens are `*`. Those that were encrypted on the wire are shown decrypted.
#[utoipa::path(
    get,
    path = "/v1/calls/{id}/ladder",
    operation_id = "ladder",
    tag = "calls",
    params(("id" = String, Path, description = "Its id")),
    security(("token" = ["operator"])),
    responses(
        (status = 200, description = "Messages, the oldest first", body = Ladder),
        (status = 404, description = "It is not up", body = Refused),
    )
)]
pub(super) async fn ladder(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<Ladder>, Problem> {
    let wanted = id.clone();
    let found = shared.ask(move |endpoint, switch, now| {
        switch.find_call(&wanted).and_then(|call| switch.ladder(endpoint, now, call))
    });
    let nothing = || Problem::not_found(format!("there is no call `{id}`"));
    found.await?.map(Json).ok_or_else(nothing)
}
