//! `/v1/upgrade`: another process takes over, while calls go on.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};
use utoipa::IntoParams;

use super::Shared;
use super::error::{Problem, Refused};
use super::extract::Ask;
use super::model::UpgradeView;

/// How long the new process may take until it is ready, where nothing else is said.
pub const USUAL_PATIENCE: Duration = Duration::from_secs(20);
/// The same at most, in seconds.
const GREATEST_PATIENCE: u64 = 300;

/// Somebody wants another process to take over.
///
/// ```
/// use oneport_switch::api::{Given, UpgradeRequest};
/// use tokio::sync::mpsc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (upgrades, mut requests) = mpsc::channel(1);
/// let given = Given { upgrades: Some(upgrades), ..Given::default() };
/// // The API has it and goes away here, as no switch runs.
/// drop(given);
/// while let Some(UpgradeRequest { patience, answer }) = requests.recv().await {
///     let _ = answer.send(Err(format!("no heir has served within {patience:?}")));
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct UpgradeRequest {
    /// How long it may take until it is ready.
    pub patience: Duration,
    /// Told what became of it; in words, why nothing.
    pub answer: oneshot::Sender<Result<UpgradeView, String>>,
}

/// To whoever runs the switch, who alone can start a process.
///
/// ```
/// use oneport_switch::api::{UpgradeRequest, Upgrades};
/// use tokio::sync::mpsc;
///
/// let (upgrades, requests): (Upgrades, mpsc::Receiver<UpgradeRequest>) = mpsc::channel(1);
/// assert!(!upgrades.is_closed());
/// ```
pub type Upgrades = mpsc::Sender<UpgradeRequest>;

/// How an upgrade goes.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UpgradeQuery {
    /// How long the new process may take until it is ready: 20 where it is not said, 300 at most.
    #[param(minimum = 1, maximum = 300)]
    patience_seconds: Option<u64>,
}

/// Starts the program anew, which takes over the addresses and all that begins; calls that are up stay with
/// this process until they end. If it is not ready in time, or ends, nothing has changed.
#[utoipa::path(
    post,
    path = "/v1/upgrade",
    operation_id = "upgrade",
    tag = "switch",
    params(UpgradeQuery),
    security(("token" = ["admin"])),
    responses(
        (status = 200, description = "The new process serves", body = UpgradeView),
        (status = 409, description = "It does not, and this one goes on", body = Refused),
        (status = 422, description = "The query makes no sense", body = Refused),
    )
)]
pub(super) async fn upgrade(
    State(shared): State<Shared>,
    Ask(query): Ask<UpgradeQuery>,
) -> Result<Json<UpgradeView>, Problem> {
    let patience = match query.patience_seconds {
        None => USUAL_PATIENCE,
        Some(seconds @ 1..=GREATEST_PATIENCE) => Duration::from_secs(seconds),
        Some(seconds) => {
            let what = format!("patience_seconds is {seconds}, and goes from 1 to 300");
            return Err(Problem::wrong(what));
        }
    };
    let Some(upgrades) = &shared.upgrades else {
        return Err(Problem::conflict("this switch is part of another program"));
    };
    let (answer, answered) = oneshot::channel();
    if upgrades.send(UpgradeRequest { patience, answer }).await.is_err() {
        return Err(Problem::unavailable("the switch stops"));
    }
    match answered.await {
        Ok(Ok(view)) => Ok(Json(view)),
        Ok(Err(why)) => {
            let hint = "its log says more; this process goes on as if nothing had been";
            Err(Problem::conflict(why).with_hint(Some(hint.into())))
        }
        Err(_) => Err(Problem::unavailable("the switch stops")),
    }
}
