//! `/v1/calls/{id}/recording`.

use axum::Json;
use axum::extract::{Path, State};

use super::Shared;
use super::error::{Problem, Refused};
use super::model::RecordingView;

fn no_such_call(id: &str) -> Problem {
    Problem::not_found(format!("there is no call `{id}`"))
}

/// Records a call from now on: a WAV file with two channels in the directory `audio.record`. It ends
/// with the call, or after `audio.max_record_seconds`.
#[utoipa::path(
    post,
    path = "/v1/calls/{id}/recording",
    operation_id = "record",
    tag = "calls",
    params(("id" = String, Path, description = "The call")),
    security(("token" = ["operator"])),
    responses(
        (status = 200, description = "It is recorded", body = RecordingView),
        (status = 404, description = "The call is not up", body = Refused),
        (status = 409, description = "It is recorded already, or is not heard here", body = Refused),
    )
)]
pub(super) async fn record(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<RecordingView>, Problem> {
    let wanted = id.clone();
    let begun = shared.ask(move |endpoint, switch, now| {
        let call = switch.find_call(&wanted)?;
        Some(switch.record(endpoint, now, call))
    });
    match begun.await? {
        None => Err(no_such_call(&id)),
        Some(Err(why)) => Err(Problem::conflict(format!("call `{id}`: {why}"))),
        Some(Ok(view)) => Ok(Json(view)),
    }
}

/// Ends the recording of a call, which goes on.
#[utoipa::path(
    delete,
    path = "/v1/calls/{id}/recording",
    operation_id = "end_recording",
    tag = "calls",
    params(("id" = String, Path, description = "The call")),
    security(("token" = ["operator"])),
    responses(
        (status = 200, description = "What it was", body = RecordingView),
        (status = 404, description = "The call is not up", body = Refused),
        (status = 409, description = "It is not recorded", body = Refused),
    )
)]
pub(super) async fn end(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<RecordingView>, Problem> {
    let wanted = id.clone();
    let ended = shared.ask(move |endpoint, switch, now| {
        let call = switch.find_call(&wanted)?;
        Some(switch.end_recording_of(endpoint, now, call))
    });
    match ended.await? {
        None => Err(no_such_call(&id)),
        Some(None) => Err(Problem::conflict(format!("call `{id}` is not recorded"))),
        Some(Some(view)) => Ok(Json(view)),
    }
}
