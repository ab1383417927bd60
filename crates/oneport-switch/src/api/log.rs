//! `/v1/log`: the last lines of the log.

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Shared;
use super::asker::Asker;
use super::error::{Problem, Refused};
use super::extract::Ask;
use super::token::Role;
use crate::log_tail::{LogLevel, LogLine, LogQuery};

/// Lines of an answer where nobody says how many, and the most of them.
const USUAL: usize = 200;
const MOST: usize = 1_000;

/// Which lines.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct LogFilter {
    /// Only those behind this number: `newest` of the answer before.
    after: Option<u64>,
    /// How many at most, the newest: 200 where it is not said, 1,000 at most.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// So grave, or graver: `info` where it is not said. An administrator alone sees `debug` and `trace`.
    #[param(inline)]
    level: Option<LogLevel>,
    /// Of calls whose id begins so.
    call: Option<String>,
    /// That name this peer, and those of its calls.
    peer: Option<String>,
    /// With this text in them, in upper or lower case.
    search: Option<String>,
}

/// Some lines.
#[derive(Serialize, ToSchema)]
pub(super) struct LogView {
    /// Oldest first.
    lines: Vec<LogLine>,
    /// The number of the newest line of all: the value for `after`.
    newest: u64,
    /// Lines behind `after` that are not shown, as they are too many or too old.
    missed: u64,
}

/// The last lines of the log: a megabyte of them is kept, at the levels that it has. Operators see `info` and
/// graver; administrators see all, and what users and tokens do. Secrets are `***`, and messages of SIP, which
/// have proofs of passwords in them, are left out.
#[utoipa::path(
    get,
    path = "/v1/log",
    operation_id = "log",
    tag = "switch",
    params(LogFilter),
    security(("token" = ["operator"])),
    responses(
        (status = 200, description = "Lines that fit, oldest first", body = LogView),
        (status = 409, description = "No log is kept", body = Refused),
        (status = 422, description = "The query makes no sense", body = Refused),
    )
)]
pub(super) async fn log(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    Ask(filter): Ask<LogFilter>,
) -> Result<Json<LogView>, Problem> {
    let Some(tail) = &shared.log else {
        return Err(Problem::conflict("no log is kept for the API"));
    };
    let limit = match filter.limit.unwrap_or(USUAL) {
        limit @ 1..=MOST => limit,
        limit => {
            return Err(Problem::wrong(format!("limit is {limit}, and goes from 1 to {MOST}")));
        }
    };
    let users = asker.role() >= Role::Admin;
    let level = filter.level.unwrap_or(LogLevel::Info);
    let given = |text: Option<String>| {
        text.map(|text| text.trim().to_string()).filter(|text| !text.is_empty())
    };
    let read = tail.read(&LogQuery {
        after: filter.after.unwrap_or(0),
        limit,
        level: if users { level } else { level.min(LogLevel::Info) },
        users,
        call: given(filter.call),
        peer: given(filter.peer),
        search: given(filter.search).map(|text| text.to_lowercase()),
    });
    let lines = read.lines.iter().map(|line| LogLine::clone(line)).collect();
    Ok(Json(LogView { lines, newest: read.newest, missed: read.missed }))
}
