//! `/v1/conferences`, `/v1/parking`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use oneport_media::mixer::GAINS_DB;
use oneport_proto::{CallId, Endpoint, Instant};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Shared;
use super::error::{Problem, Refused};
use super::extract::{Ask, Body, PageQuery};
use super::model::{ConferencesView, ParkingView};
use crate::Switch;

/// Conferences that somebody is in, and who.
#[utoipa::path(
    get,
    path = "/v1/conferences",
    tag = "calls",
    params(PageQuery),
    security(("token" = ["viewer"])),
    responses(
        (status = 200, description = "A page of them, by name", body = ConferencesView),
        (status = 422, description = "The query makes no sense", body = Refused),
    )
)]
pub(super) async fn conferences(
    State(shared): State<Shared>,
    Ask(page): Ask<PageQuery>,
) -> Result<Json<ConferencesView>, Problem> {
    let page = page.by_name()?;
    shared.ask(move |_, switch, now| switch.show_conferences(now, &page)).await.map(Json)
}

/// Does something to a member of a conference.
async fn with_member(
    shared: &Shared,
    room: String,
    id: String,
    act: impl FnOnce(&mut Endpoint, &mut Switch, Instant, CallId) + Send + 'static,
) -> Result<StatusCode, Problem> {
    let (in_room, wanted) = (room.clone(), id.clone());
    let done = shared.ask(move |endpoint, switch, now| {
        let call = switch.find_member(&in_room, &wanted)?;
        act(endpoint, switch, now, call);
        Some(())
    });
    let nobody = || Problem::not_found(format!("call `{id}` is not in conference `{room}`"));
    done.await?.ok_or_else(nobody).map(|()| StatusCode::NO_CONTENT)
}

/// The others in a conference hear a member no more.
#[utoipa::path(
    post,
    path = "/v1/conferences/{room}/members/{id}/mute",
    tag = "calls",
    params(
        ("room" = String, Path, description = "The conference"),
        ("id" = String, Path, description = "The member's call"),
    ),
    security(("token" = ["operator"])),
    responses(
        (status = 204, description = "It is muted"),
        (status = 404, description = "The call is not in this conference", body = Refused),
    )
)]
pub(super) async fn mute(
    State(shared): State<Shared>,
    Path((room, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    with_member(&shared, room, id, |_, switch, _, call| {
        switch.mute(call, true);
    })
    .await
}

/// The others in a conference hear a member again.
#[utoipa::path(
    delete,
    path = "/v1/conferences/{room}/members/{id}/mute",
    tag = "calls",
    params(
        ("room" = String, Path, description = "The conference"),
        ("id" = String, Path, description = "The member's call"),
    ),
    security(("token" = ["operator"])),
    responses(
        (status = 204, description = "It is heard"),
        (status = 404, description = "The call is not in this conference", body = Refused),
    )
)]
pub(super) async fn unmute(
    State(shared): State<Shared>,
    Path((room, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    with_member(&shared, room, id, |_, switch, _, call| {
        switch.mute(call, false);
    })
    .await
}

/// How loud a member is.
///
/// ```
/// use oneport_switch::api::Gain;
///
/// // Twice as loud.
/// assert_eq!(serde_json::to_string(&Gain { db: 6.0 })?, r#"{"db":6.0}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct Gain {
    /// Louder than it speaks by so many dB, -40 to 20.
    #[schema(minimum = -40, maximum = 20)]
    pub db: f32,
}

/// Makes a member of a conference louder or softer for the others.
#[utoipa::path(
    put,
    path = "/v1/conferences/{room}/members/{id}/gain",
    operation_id = "gain",
    tag = "calls",
    params(
        ("room" = String, Path, description = "The conference"),
        ("id" = String, Path, description = "The member's call"),
    ),
    request_body = Gain,
    security(("token" = ["operator"])),
    responses(
        (status = 204, description = "It is as loud as that"),
        (status = 404, description = "The call is not in this conference", body = Refused),
        (status = 422, description = "The body makes no sense", body = Refused),
    )
)]
pub(super) async fn gain(
    State(shared): State<Shared>,
    Path((room, id)): Path<(String, String)>,
    Body(Gain { db }): Body<Gain>,
) -> Result<StatusCode, Problem> {
    if !GAINS_DB.contains(&db) {
        return Err(Problem::wrong(format!("db is {db}, and goes from -40 to 20")));
    }
    with_member(&shared, room, id, move |_, switch, _, call| {
        switch.set_gain(call, db);
    })
    .await
}

/// Puts a member out of a conference, and hangs it up.
#[utoipa::path(
    delete,
    path = "/v1/conferences/{room}/members/{id}",
    tag = "calls",
    params(
        ("room" = String, Path, description = "The conference"),
        ("id" = String, Path, description = "The member's call"),
    ),
    security(("token" = ["operator"])),
    responses(
        (status = 204, description = "It is being hung up"),
        (status = 404, description = "The call is not in this conference", body = Refused),
    )
)]
pub(super) async fn kick(
    State(shared): State<Shared>,
    Path((room, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    with_member(&shared, room, id, |endpoint, switch, now, call| {
        switch.put_out(endpoint, now, call);
    })
    .await
}

/// Calls that wait in the parking lot.
#[utoipa::path(
    get,
    path = "/v1/parking",
    tag = "calls",
    security(("token" = ["viewer"])),
    responses((status = 200, description = "All of them", body = ParkingView))
)]
pub(super) async fn parking(State(shared): State<Shared>) -> Result<Json<ParkingView>, Problem> {
    shared.ask(|_, switch, now| switch.show_parking(now)).await.map(Json)
}
