//! `/v1/calls/{id}/capture`: the datagrams of one call, as they pass.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::IntoResponse;
use serde::Deserialize;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use utoipa::IntoParams;

use super::Shared;
use super::error::{Problem, Refused};
use super::extract::Ask;
use crate::capture::Bounds;

/// How long a capture lasts where it is not said, and at most.
const USUAL_SECONDS: u64 = 60;
const MOST_SECONDS: u64 = 3_600;

/// How many bytes it has where it is not said, and at most.
const USUAL_BYTES: u64 = 16 << 20;
const MOST_BYTES: u64 = 256 << 20;

/// How much is captured.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct CaptureQuery {
    /// How long: 60 s where it is not said, an hour at most. It ends with the call, too.
    #[param(minimum = 1, maximum = 3600)]
    seconds: Option<u64>,
    /// How many bytes the file may have: 16 MiB where it is not said, 256 MiB at most.
    #[param(minimum = 4096, maximum = 268435456)]
    bytes: Option<u64>,
}

/// Captures the datagrams of a call from now on, of all its legs and of no other call: a pcapng file
/// that grows while they pass, with the call's id as its comment and a leg for each interface. It has
/// what is said, so it needs an operator.
#[utoipa::path(
    post,
    path = "/v1/calls/{id}/capture",
    operation_id = "capture",
    tag = "calls",
    params(("id" = String, Path, description = "The call"), CaptureQuery),
    security(("token" = ["operator"])),
    responses(
        (
            status = 200,
            description = "Packets, to the end of the call or of the capture",
            body = Vec<u8>,
            content_type = "application/x-pcapng"
        ),
        (status = 404, description = "The call is not up", body = Refused),
        (status = 409, description = "As many calls are captured as may be", body = Refused),
        (status = 422, description = "The query makes no sense", body = Refused),
    )
)]
pub(super) async fn capture(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Ask(query): Ask<CaptureQuery>,
) -> Result<impl IntoResponse, Problem> {
    let seconds = match query.seconds.unwrap_or(USUAL_SECONDS) {
        seconds @ 1..=MOST_SECONDS => seconds,
        seconds => {
            let what = format!("seconds is {seconds}, and goes from 1 to {MOST_SECONDS}");
            return Err(Problem::wrong(what));
        }
    };
    let bytes = match query.bytes.unwrap_or(USUAL_BYTES) {
        bytes @ 4_096..=MOST_BYTES => bytes,
        bytes => {
            let what = format!("bytes is {bytes}, and goes from 4096 to {MOST_BYTES}");
            return Err(Problem::wrong(what));
        }
    };
    let bounds = Bounds { time: Duration::from_secs(seconds), bytes };
    let wanted = id.clone();
    let begun = shared.ask(move |endpoint, switch, now| {
        let call = switch.find_call(&wanted)?;
        Some(switch.capture(endpoint, now, call, bounds))
    });
    let (id, packets) = match begun.await? {
        None => return Err(Problem::not_found(format!("there is no call `{id}`"))),
        Some(None) => return Err(Problem::conflict("as many calls are captured as may be")),
        Some(Some(begun)) => begun,
    };
    let body = Body::from_stream(ReceiverStream::new(packets).map(Ok::<_, Infallible>));
    let headers = [
        (header::CONTENT_TYPE, "application/x-pcapng".to_string()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{id}.pcapng\"")),
    ];
    Ok((headers, body))
}
