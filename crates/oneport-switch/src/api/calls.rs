//! `/v1/calls`, `/v1/netstats`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use oneport_wire::CauseCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Shared;
use super::error::{Problem, Refused};
use super::extract::{Ask, Body, PageQuery};
use super::model::{
    CallRows, CallSort, CallState, CallView, Calls, Legs, Originate, TimelineView, Transfer,
};
use super::older::{self, Listed, merge};
use crate::switch::snapshot::CallFilter;
use crate::switch::table::{Ranked, TableQuery};
use crate::switch::{NotPlaced, Question};
use crate::traces::Parent;

/// Whose trace a request is part of (W3C Trace Context).
const TRACEPARENT: &str = "traceparent";

/// Which calls.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct CallQuery {
    /// Only those with this peer on either side.
    peer: Option<String>,
    /// Only those to this number.
    number: Option<String>,
    /// Only those that are so far.
    state: Option<CallState>,
}

/// Calls that are up.
#[utoipa::path(
    get,
    path = "/v1/calls",
    tag = "calls",
    params(PageQuery, CallQuery),
    security(("token" = ["viewer"])),
    responses(
        (status = 200, description = "A page of them, the oldest first", body = Calls),
        (status = 422, description = "The query makes no sense", body = Refused),
    )
)]
pub(super) async fn list(
    State(shared): State<Shared>,
    Ask(page): Ask<PageQuery>,
    Ask(query): Ask<CallQuery>,
) -> Result<Json<Calls>, Problem> {
    let page = page.by_age()?;
    let filter = CallFilter { peer: query.peer, number: query.number, state: query.state };
    let limit = page.limit;
    let question = Question::Calls(filter.clone(), page.clone());
    let mut all: Vec<(u64, Calls)> = older::ask(&shared, question).await?;
    let own = shared.ask(move |endpoint, switch, now| {
        (switch.first_call(), switch.calls(endpoint, now, &filter, &page))
    });
    all.push(own.await?);
    let pages = all
        .into_iter()
        .map(|(first, Calls { calls, total, next })| (first, Listed { some: calls, total, next }));
    let Listed { some: calls, total, next } = merge(pages.collect(), limit);
    Ok(Json(Calls { calls, total, next }))
}

/// The most rows of a table at once, and how many where it is not said.
const MOST_ROWS: usize = 200;
const USUAL_ROWS: usize = 50;

/// Which part of the table.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RowsQuery {
    /// Only calls with this in a number, a name, an address or the destination, or with an id that begins so.
    search: Option<String>,
    /// Only those that are so far.
    state: Option<CallState>,
    /// What they are sorted by: `age`, `from`, `number`, `to`, `state`, `mos`, `loss`.
    #[serde(default)]
    #[param(value_type = Option<CallSort>)]
    sort: CallSort,
    /// Whether the greatest comes first.
    #[serde(default)]
    descending: bool,
    /// How many rows to leave out.
    #[serde(default)]
    offset: usize,
    /// How many rows at most: 50 where it is not said, 200 at most.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// Calls that are up as a table, sorted and searched, with the figures that tell how they sound.
#[utoipa::path(
    get,
    path = "/v1/calls/table",
    operation_id = "call_table",
    tag = "calls",
    params(RowsQuery),
    security(("token" = ["viewer"])),
    responses(
        (status = 200, description = "A part of it", body = CallRows),
        (status = 422, description = "The query makes no sense", body = Refused),
    )
)]
pub(super) async fn table(
    State(shared): State<Shared>,
    Ask(query): Ask<RowsQuery>,
) -> Result<Json<CallRows>, Problem> {
    let limit = match query.limit.unwrap_or(USUAL_ROWS) {
        limit @ 1..=MOST_ROWS => limit,
        limit => return Err(Problem::wrong(format!("limit is {limit}, and goes from 1 to 200"))),
    };
    let search = query.search.map(|text| text.trim().to_lowercase());
    let query = TableQuery {
        search: search.filter(|text| !text.is_empty()),
        state: query.state,
        sort: query.sort,
        descending: query.descending,
        offset: query.offset,
        limit,
    };
    let all: Vec<(u64, Ranked)> = older::ask(&shared, Question::Rows(query.clone())).await?;
    let mut all: Vec<Ranked> = all.into_iter().map(|(_, ranked)| ranked).collect();
    let wanted = query.clone();
    let own = shared.ask(move |endpoint, switch, now| switch.call_rows(endpoint, now, &wanted));
    all.push(own.await?);
    Ok(Json(Ranked::merge(all, &query)))
}

/// Places a call: rings somebody, and leads it on when it answers, to a number or a destination.
/// What becomes of it is shown as of any other call.
#[utoipa::path(
    post,
    path = "/v1/calls",
    operation_id = "originate",
    tag = "calls",
    params(("traceparent" = Option<String>, Header, description = "The trace that the call is part of (W3C Trace Context)")),
    request_body = Originate,
    security(("token" = ["operator"])),
    responses(
        (status = 201, description = "It is being placed", body = CallView),
        (status = 409, description = "It cannot be placed now", body = Refused),
        (status = 422, description = "The request makes no sense", body = Refused),
    )
)]
pub(super) async fn originate(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Body(originate): Body<Originate>,
) -> Result<(StatusCode, Json<CallView>), Problem> {
    let parent = headers.get(TRACEPARENT).and_then(|value| Parent::read(value.to_str().ok()?));
    if let Some(seconds @ (0 | 601..)) = originate.timeout_seconds {
        let what = format!("timeout_seconds is {seconds}, and goes from 1 to 600");
        return Err(Problem::wrong(what));
    }
    let placed = shared.ask(move |endpoint, switch, now| {
        let call = switch.originate(endpoint, now, &originate, parent)?;
        Ok(switch.show_call(endpoint, now, call))
    });
    match placed.await? {
        Ok(Some(call)) => Ok((StatusCode::CREATED, Json(call))),
        Ok(None) => Err(Problem::conflict("the call was over at once")),
        Err(NotPlaced::Senseless(why)) => Err(Problem::wrong(why)),
        Err(NotPlaced::Refused(reason)) => Err(Problem::conflict(reason.why).with_hint(reason.fix)),
    }
}

fn no_such_call(id: &str) -> Problem {
    Problem::not_found(format!("there is no call `{id}`"))
}

/// One call that is up.
#[utoipa::path(
    get,
    path = "/v1/calls/{id}",
    tag = "calls",
    params(("id" = String, Path, description = "Its id")),
    security(("token" = ["viewer"])),
    responses(
        (status = 200, description = "The call", body = CallView),
        (status = 404, description = "It is not up", body = Refused),
    )
)]
pub(super) async fn show(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<CallView>, Problem> {
    let wanted = id.clone();
    let found = shared.ask(move |endpoint, switch, now| {
        switch.find_call(&wanted).and_then(|call| switch.show_call(endpoint, now, call))
    });
    if let Some(call) = found.await? {
        return Ok(Json(call));
    }
    let older: Vec<(u64, Option<CallView>)> =
        older::ask(&shared, Question::Call(id.clone())).await?;
    let found = older.into_iter().find_map(|(_, call)| call);
    found.map(Json).ok_or_else(|| no_such_call(&id))
}

/// How a call has sounded since its beginning, here and at the other sides. It costs each leg 424 bytes at most.
#[utoipa::path(
    get,
    path = "/v1/calls/{id}/timeline",
    tag = "calls",
    params(("id" = String, Path, description = "Its id")),
    security(("token" = ["viewer"])),
    responses(
        (status = 200, description = "Its legs", body = TimelineView),
        (status = 404, description = "It is not up", body = Refused),
    )
)]
pub(super) async fn timeline(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<TimelineView>, Problem> {
    let wanted = id.clone();
    let found = shared.ask(move |endpoint, switch, now| {
        let call = switch.find_call(&wanted)?;
        switch.show_timeline(endpoint, now, call)
    });
    if let Some(timeline) = found.await? {
        return Ok(Json(timeline));
    }
    let older: Vec<(u64, Option<TimelineView>)> =
        older::ask(&shared, Question::Timeline(id.clone())).await?;
    let found = older.into_iter().find_map(|(_, timeline)| timeline);
    found.map(Json).ok_or_else(|| no_such_call(&id))
}

/// How a call ends.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct HangUpQuery {
    /// The cause code that both sides are told (ITU-T Q.850): 16, normal clearing, where it is not
    /// said.
    #[param(minimum = 1, maximum = 127)]
    cause: Option<u8>,
}

/// Hangs a call up.
#[utoipa::path(
    delete,
    path = "/v1/calls/{id}",
    tag = "calls",
    params(("id" = String, Path, description = "Its id"), HangUpQuery),
    security(("token" = ["operator"])),
    responses(
        (status = 204, description = "It is being hung up"),
        (status = 404, description = "It is not up", body = Refused),
        (status = 422, description = "There is no such cause", body = Refused),
    )
)]
pub(super) async fn hang_up(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Ask(query): Ask<HangUpQuery>,
) -> Result<StatusCode, Problem> {
    let cause = match query.cause.unwrap_or(CauseCode::NORMAL_CLEARING.0) {
        cause @ 1..=127 => CauseCode(cause),
        cause => return Err(Problem::wrong(format!("cause is {cause}, and goes from 1 to 127"))),
    };
    let wanted = id.clone();
    let found = shared.ask(move |endpoint, switch, now| {
        let call = switch.find_call(&wanted)?;
        endpoint.hangup(now, call, cause, None).ok()
    });
    if found.await?.is_some() {
        return Ok(StatusCode::NO_CONTENT);
    }
    let question = Question::HangUp(id.clone(), cause.0);
    let older: Vec<(u64, bool)> = older::ask(&shared, question).await?;
    match older.into_iter().any(|(_, found)| found) {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(no_such_call(&id)),
    }
}

/// Leads one side of a call to another number, and hangs the other up (a blind transfer).
#[utoipa::path(
    post,
    path = "/v1/calls/{id}/transfer",
    tag = "calls",
    params(("id" = String, Path, description = "Its id")),
    request_body = Transfer,
    security(("token" = ["operator"])),
    responses(
        (status = 204, description = "It is on its way"),
        (status = 404, description = "The call is not up", body = Refused),
        (status = 409, description = "It cannot be transferred now", body = Refused),
        (status = 422, description = "The request makes no sense", body = Refused),
    )
)]
pub(super) async fn transfer(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Body(transfer): Body<Transfer>,
) -> Result<StatusCode, Problem> {
    if transfer.to.is_empty() || transfer.to.chars().any(char::is_control) {
        return Err(Problem::wrong("`to` is no number"));
    }
    let wanted = id.clone();
    let done = shared.ask(move |endpoint, switch, now| {
        let call = switch.find_call(&wanted)?;
        Some(switch.transfer_call(endpoint, now, call, transfer))
    });
    match done.await? {
        None => Err(no_such_call(&id)),
        Some(Err(why)) => Err(Problem::conflict(why)),
        Some(Ok(())) => Ok(StatusCode::NO_CONTENT),
    }
}

/// Figures of all legs of calls: loss, jitter and delay, here and at the other side.
#[utoipa::path(
    get,
    path = "/v1/netstats",
    tag = "calls",
    params(PageQuery),
    security(("token" = ["viewer"])),
    responses(
        (status = 200, description = "A page of them, the oldest first", body = Legs),
        (status = 422, description = "The query makes no sense", body = Refused),
    )
)]
pub(super) async fn netstats(
    State(shared): State<Shared>,
    Ask(page): Ask<PageQuery>,
) -> Result<Json<Legs>, Problem> {
    let page = page.by_age()?;
    let limit = page.limit;
    let mut all: Vec<(u64, Legs)> = older::ask(&shared, Question::Legs(page.clone())).await?;
    let own = shared
        .ask(move |endpoint, switch, now| (switch.first_call(), switch.legs(endpoint, now, &page)));
    all.push(own.await?);
    let pages = all
        .into_iter()
        .map(|(first, Legs { legs, total, next })| (first, Listed { some: legs, total, next }));
    let Listed { some: legs, total, next } = merge(pages.collect(), limit);
    Ok(Json(Legs { legs, total, next }))
}
