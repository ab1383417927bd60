//! `/v1/cdrs`, `/v1/refusals`, `/v1/calls/{id}/story`: what the store has kept.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Shared;
use super::error::{Problem, Refused};
use super::extract::Ask;
use crate::cdr::Cdr;
use crate::refusal::{Refusal, RefusalCount, Stage};
use crate::store::{
    CallStory, CdrFilter, Order, Page, Paging, RefusalFilter, Store, StoreError, write_table,
};
use crate::utc::Utc;

/// Which part of what is found.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PagingQuery {
    /// Where the page begins: `next` of the one before.
    after: Option<u64>,
    /// How many entries at most: 100 where it is not said, 1,000 at most.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// `newest_first`, which is usual, or `oldest_first`.
    order: Option<Order>,
}

impl PagingQuery {
    fn read(&self) -> Result<Paging, Problem> {
        let usual = Paging::default();
        let most = self.limit.unwrap_or(usual.most);
        if !(1..=Paging::MOST).contains(&most) {
            return Err(Problem::wrong(format!("limit is {most}, and goes from 1 to 1000")));
        }
        Ok(Paging { order: self.order.unwrap_or(usual.order), after: self.after, most })
    }
}

/// How records are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// One JSON object with a page.
    #[default]
    Json,
    /// Lines of CSV behind one of names, as `oneport cdr export` writes them; the header `x-next` has
    /// `next`.
    Csv,
}

/// Which records; all that is given must fit.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct CdrQuery {
    /// Of this call.
    #[param(value_type = Option<String>)]
    call: Option<Uuid>,
    /// Of legs that ended then or later (RFC 3339).
    #[param(value_type = Option<String>)]
    from: Option<Utc>,
    /// Of legs that ended before.
    #[param(value_type = Option<String>)]
    to: Option<Utc>,
    /// Of this peer.
    peer: Option<String>,
    /// From or to this number; with a `*` at its end, to any that begins so.
    number: Option<String>,
    /// With this cause code.
    cause: Option<u8>,
    /// Refused by this limit.
    refused_by: Option<String>,
    /// `json` or `csv`.
    #[serde(default)]
    #[param(value_type = Option<Format>)]
    format: Format,
}

/// Which refusals; all that is given must fit.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RefusalQuery {
    /// Of this call.
    #[param(value_type = Option<String>)]
    call: Option<Uuid>,
    /// Then or later (RFC 3339).
    #[param(value_type = Option<String>)]
    from: Option<Utc>,
    /// Before.
    #[param(value_type = Option<String>)]
    to: Option<Utc>,
    /// Of calls that came under this name.
    peer: Option<String>,
    /// Of calls from or to this number; with a `*` at its end, to any that begins so.
    number: Option<String>,
    /// With this cause code.
    cause: Option<u8>,
    /// At this stage.
    stage: Option<Stage>,
    /// Of this kind.
    kind: Option<String>,
}

pub(super) fn unread(error: StoreError) -> Problem {
    Problem::unavailable(error.to_string())
}

impl super::Inner {
    pub(super) fn store(&self) -> Result<&dyn Store, Problem> {
        let nothing =
            || Problem::conflict("the switch keeps no records").with_hint(Some("[store]".into()));
        self.store.as_deref().ok_or_else(nothing)
    }
}

/// Call detail records: one for each leg of calls that have ended.
#[utoipa::path(
    get,
    path = "/v1/cdrs",
    tag = "records",
    params(CdrQuery, PagingQuery),
    security(("token" = ["viewer"])),
    responses(
        (status = 200, description = "A page of them", body = Page<Cdr>),
        (status = 409, description = "The switch keeps no records", body = Refused),
        (status = 422, description = "The query makes no sense", body = Refused),
    )
)]
pub(super) async fn cdrs(
    State(shared): State<Shared>,
    Ask(paging): Ask<PagingQuery>,
    Ask(query): Ask<CdrQuery>,
) -> Result<Response, Problem> {
    let filter = CdrFilter {
        call: query.call,
        from: query.from,
        to: query.to,
        peer: query.peer,
        number: query.number,
        cause: query.cause,
        limit: query.refused_by,
    };
    let page = shared.store()?.cdrs(&filter, paging.read()?).await.map_err(unread)?;
    if query.format == Format::Json {
        return Ok(Json(page).into_response());
    }
    let next = page.next.map(|next| next.to_string()).unwrap_or_default();
    let headers =
        [(header::CONTENT_TYPE.as_str(), "text/csv; charset=utf-8".to_string()), ("x-next", next)];
    let mut table = Vec::new();
    write_table(&mut table, true, &page.records)
        .map_err(|error| Problem::unavailable(error.to_string()))?;
    Ok((headers, table).into_response())
}

/// Calls that were refused, or destinations that did not take them, and why.
#[utoipa::path(
    get,
    path = "/v1/refusals",
    tag = "records",
    params(RefusalQuery, PagingQuery),
    security(("token" = ["viewer"])),
    responses(
        (status = 200, description = "A page of them", body = Page<Refusal>),
        (status = 409, description = "The switch keeps no records", body = Refused),
        (status = 422, description = "The query makes no sense", body = Refused),
    )
)]
pub(super) async fn refusals(
    State(shared): State<Shared>,
    Ask(paging): Ask<PagingQuery>,
    Ask(query): Ask<RefusalQuery>,
) -> Result<Json<Page<Refusal>>, Problem> {
    let filter = RefusalFilter {
        call: query.call,
        from: query.from,
        to: query.to,
        peer: query.peer,
        number: query.number,
        cause: query.cause,
        stage: query.stage,
        kind: query.kind,
    };
    shared.store()?.refusals(&filter, paging.read()?).await.map(Json).map_err(unread)
}

/// How many were refused for each kind of reason since the store was made.
#[utoipa::path(
    get,
    path = "/v1/refusals/counts",
    tag = "records",
    security(("token" = ["viewer"])),
    responses(
        (status = 200, description = "The most frequent first", body = Vec<RefusalCount>),
        (status = 409, description = "The switch keeps no records", body = Refused),
    )
)]
pub(super) async fn refusal_counts(
    State(shared): State<Shared>,
) -> Result<Json<Vec<RefusalCount>>, Problem> {
    shared.store()?.refusal_counts().await.map(Json).map_err(unread)
}

/// Everything that is kept of a call: its legs, and why it was refused or failed.
#[utoipa::path(
    get,
    path = "/v1/calls/{id}/story",
    tag = "records",
    params(("id" = String, Path, description = "The call, ended or refused")),
    security(("token" = ["viewer"])),
    responses(
        (status = 200, description = "Its story", body = CallStory),
        (status = 404, description = "Nothing is kept of it", body = Refused),
        (status = 409, description = "The switch keeps no records", body = Refused),
    )
)]
pub(super) async fn story(
    State(shared): State<Shared>,
    Path(id): Path<String>,
) -> Result<Json<CallStory>, Problem> {
    let nothing = || Problem::not_found(format!("nothing is kept of a call `{id}`"));
    let call: Uuid = id.parse().map_err(|_| nothing())?;
    let story = CallStory::find(shared.store()?, call).await.map_err(unread)?;
    story.map(Json).ok_or_else(|| {
        nothing().with_hint(Some("of a call that is up, `oneport show calls` tells more".into()))
    })
}
