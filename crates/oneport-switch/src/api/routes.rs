//! `/v1/routes` and `/v1/route`: the dial plan, and where a number leads by it.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Shared;
use super::error::{Problem, Refused};
use super::extract::Ask;
use super::model::{DecisionView, RouteView, RoutesView, Step};
use crate::config::describe_destination;
use crate::routing::{Route, Strategy};

/// What is asked.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RouteQuery {
    /// The number called.
    number: String,
    /// Who calls; where it is left out, a guest.
    from: Option<String>,
    /// The context the caller asks for.
    context: Option<String>,
}

/// Where a number would lead now, and why, without calling it.
#[utoipa::path(
    get,
    path = "/v1/route",
    tag = "switch",
    params(RouteQuery),
    security(("token" = ["viewer"])),
    responses(
        (status = 200, description = "The decision", body = DecisionView),
        (status = 422, description = "There is no such peer", body = Refused),
    )
)]
pub(super) async fn decide(
    State(shared): State<Shared>,
    Ask(query): Ask<RouteQuery>,
) -> Result<Json<DecisionView>, Problem> {
    let RouteQuery { number, from, context } = query;
    let asked = number.clone();
    let decision = shared
        .ask(move |_, switch, _| switch.decide(from.as_deref(), &asked, context.as_deref()))
        .await?
        .map_err(Problem::wrong)?;
    let steps = decision.steps.into_iter();
    let steps = steps.map(|(route, chosen, why)| Step { route, chosen, why }).collect();
    let (targets, summary) = (decision.targets, decision.summary);
    Ok(Json(DecisionView { number, steps, targets, summary }))
}

impl From<&Route> for RouteView {
    fn from(route: &Route) -> Self {
        Self {
            name: route.name.clone(),
            number: route.pattern.to_string(),
            contexts: route.contexts.clone(),
            from: route.from.clone(),
            hours: route.hours.iter().map(ToString::to_string).collect(),
            to: route.to.iter().map(describe_destination).collect(),
            strategy: match route.strategy {
                Strategy::Ordered => "ordered",
                Strategy::Weighted(_) => "weighted",
                Strategy::All => "all",
            }
            .into(),
            emergency: route.emergency,
        }
    }
}

/// The dial plan, in the order written.
#[utoipa::path(
    get,
    path = "/v1/routes",
    tag = "switch",
    security(("token" = ["viewer"])),
    responses((status = 200, description = "The routes", body = RoutesView))
)]
pub(super) async fn routes(State(shared): State<Shared>) -> Result<Json<RoutesView>, Problem> {
    shared.ask(|_, switch, _| switch.show_routes()).await.map(Json)
}
