//! Routes, and where a number leads.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A route, and why it is or is not the one.
///
/// ```
/// use oneport_switch::api::model::Step;
///
/// let json = r#"{"route": "office", "chosen": false, "why": "holds at other hours"}"#;
/// let step: Step = serde_json::from_str(json)?;
/// assert!(!step.chosen);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// Its name.
    pub route: String,
    /// Whether it is the one.
    pub chosen: bool,
    /// Why, or why not.
    pub why: String,
}

/// Where a number leads.
///
/// ```
/// use oneport_switch::api::model::DecisionView;
///
/// let json = r#"{
///     "number": "201", "steps": [{"route": "ann", "chosen": true, "why": "chosen"}],
///     "targets": ["peer:ann/201"], "summary": "tried in this order"
/// }"#;
/// let decision: DecisionView = serde_json::from_str(json)?;
/// let chosen = decision.steps.iter().find(|step| step.chosen);
/// assert_eq!(chosen.map(|step| step.route.as_str()), Some("ann"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct DecisionView {
    /// The number.
    pub number: String,
    /// Each route in the order written.
    pub steps: Vec<Step>,
    /// Destinations in the order in which they are tried.
    pub targets: Vec<String>,
    /// How they are used, or why there are none.
    pub summary: String,
}

/// A route of the dial plan.
///
/// ```
/// use oneport_switch::api::model::RouteView;
///
/// let json = r#"{
///     "name": "ann", "number": "201", "contexts": ["default"], "from": [], "hours": [],
///     "to": ["peer ann"], "strategy": "ordered", "emergency": false
/// }"#;
/// let route: RouteView = serde_json::from_str(json)?;
/// assert!(route.from.is_empty() && route.hours.is_empty(), "for all, and always");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct RouteView {
    /// Its name; the numbers that it is for, where it has none.
    pub name: String,
    /// The numbers that it is for, as they are written.
    pub number: String,
    /// The contexts in which it is there.
    pub contexts: Vec<String>,
    /// The peers for whom it is there; empty: for all.
    pub from: Vec<String>,
    /// When it is there; empty: always.
    pub hours: Vec<String>,
    /// Where it leads.
    pub to: Vec<String>,
    /// How destinations are used: `ordered`, `weighted` or `all`.
    pub strategy: String,
    /// Whether no limit stands against its calls.
    pub emergency: bool,
}

/// The dial plan.
///
/// ```
/// use oneport_switch::api::model::RoutesView;
///
/// let json = r#"{"routes": [], "total": 0}"#;
/// let routes: RoutesView = serde_json::from_str(json)?;
/// assert_eq!(routes.total, 0, "numbers lead to names and built-in destinations alone");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct RoutesView {
    /// In the order written; 1,000 at most.
    pub routes: Vec<RouteView>,
    /// How many there are.
    pub total: usize,
}
