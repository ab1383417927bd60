//! `/v1/cluster/configuration`: what switches with one database share of their configuration.

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Shared;
use super::asker::Asker;
use super::error::{Problem, Refused};
use super::extract::{Ask, Body};
use crate::cluster::{
    NotShared, SharedStanding, VersionView, read_shared, set_shared, shared_versions,
};
use crate::config::{DatabaseUrl, SharedText, without_secrets};

/// The greatest request with a shared configuration, in bytes.
pub(super) const GREATEST: usize = 16 * 1024 * 1024;

/// Which version of it.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct VersionQuery {
    /// Its number; the one that this switch runs where none is named.
    version: Option<i64>,
}

/// What the switches share, as this one knows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct SharedConfigurationView {
    /// The version that this switch runs; null: none.
    pub(crate) running: Option<i64>,
    /// The newest that it has heard of; null: there is none.
    pub(crate) newest: Option<i64>,
    /// Why it does not run the newest.
    pub(crate) refused: Option<String>,
    /// The text that was asked for. Secrets are `***`.
    pub(crate) text: String,
    /// All versions that are kept, the newest first; none while the database does not answer.
    pub(crate) versions: Vec<VersionView>,
}

/// A text to be shared.
///
/// ```
/// use oneport_switch::api::NewShared;
///
/// let text = "[peers.ann]\nsecret = \"a b c\"".to_string();
/// let new = NewShared { text, over: Some(3), dry_run: true };
/// assert_eq!(serde_json::to_value(&new)?["over"], 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewShared {
    /// The whole of it, as TOML.
    pub text: String,
    /// Only if this is the newest version, 0 where there is none.
    #[serde(default)]
    pub over: Option<i64>,
    /// Only tells what would change.
    #[serde(default)]
    pub dry_run: bool,
}

/// What has become of it.
///
/// ```
/// use oneport_switch::api::SetShared;
///
/// let set: SetShared = serde_json::from_str(r#"{"version": 4, "changes": ["peer ann is new"]}"#)?;
/// assert_eq!((set.version, set.changes.len()), (Some(4), 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SetShared {
    /// Its version; null where nothing was set.
    pub version: Option<i64>,
    /// A line for each change at this switch.
    pub changes: Vec<String>,
}

async fn database(shared: &Shared) -> Result<Option<DatabaseUrl>, Problem> {
    shared.ask(|_, switch, _| switch.database_of_siblings()).await
}

fn not_shared(error: &NotShared) -> Problem {
    match error {
        NotShared::Overtaken(_) => Problem::conflict(error.to_string())
            .with_hint(Some("look at it, and say it anew".into())),
        _ => Problem::unavailable(error.to_string()),
    }
}

/// What the switches share of their configuration, without its secrets, and the versions of it.
#[utoipa::path(
    get,
    path = "/v1/cluster/configuration",
    operation_id = "shared_configuration",
    tag = "switch",
    params(VersionQuery),
    security(("token" = ["admin"])),
    responses(
        (status = 200, description = "Its text and its versions", body = SharedConfigurationView),
        (status = 404, description = "There is no such version", body = Refused),
        (status = 503, description = "The database does not answer", body = Refused),
    )
)]
pub(super) async fn show(
    State(shared): State<Shared>,
    Ask(query): Ask<VersionQuery>,
) -> Result<Json<SharedConfigurationView>, Problem> {
    let url = database(&shared).await?;
    let own = shared.reloader.as_ref().map(|reloader| reloader.shared().clone());
    let own = own.unwrap_or_default();
    let text = match (query.version, &url) {
        (None, _) => own.running().map(|running| running.text).unwrap_or_default(),
        (Some(version), url) => {
            let read = match url {
                Some(url) => read_shared(url, Some(version)).await,
                None => Ok(None),
            };
            let read = read.map_err(|error| not_shared(&error))?;
            read.ok_or_else(|| Problem::not_found(format!("there is no version {version}")))?.text
        }
    };
    let versions = match &url {
        Some(url) => shared_versions(url).await.unwrap_or_default(),
        None => Vec::new(),
    };
    let text = without_secrets(&text)
        .ok_or_else(|| Problem::conflict("the secrets of the text are not found"))?;
    let SharedStanding { running, newest, refused } = own.standing();
    Ok(Json(SharedConfigurationView { running, newest, refused, text, versions }))
}

/// Sets what the switches share of their configuration. This one looks whether it is right; then all take it, whose
/// files it goes with.
#[utoipa::path(
    post,
    path = "/v1/cluster/configuration",
    operation_id = "set_shared_configuration",
    tag = "switch",
    request_body = NewShared,
    security(("token" = ["admin"])),
    responses(
        (status = 200, description = "Its version, and what has changed, or would", body = SetShared),
        (status = 409, description = "The switch is alone, or another version is the newest", body = Refused),
        (status = 422, description = "The text has a mistake, and nothing has changed", body = Refused),
        (status = 503, description = "The database does not answer", body = Refused),
    )
)]
pub(super) async fn set(
    State(shared): State<Shared>,
    Extension(asker): Extension<Asker>,
    Body(new): Body<NewShared>,
) -> Result<Json<SetShared>, Problem> {
    let (Some(reloader), Some(url)) = (&shared.reloader, database(&shared).await?) else {
        return Err(Problem::conflict("this switch is alone: its configuration has no [cluster]"));
    };
    let text = SharedText { version: None, text: new.text.clone() };
    let wrong =
        |error: super::ReloadError| Problem::wrong(error.to_string()).with_hint(error.hint());
    let changes = reloader.try_shared(text).await.map_err(wrong)?;
    let version = match new.dry_run {
        true => None,
        false => {
            let set = set_shared(&url, &new.text, asker.name(), new.over).await;
            Some(set.map_err(|error| not_shared(&error))?)
        }
    };
    Ok(Json(SetShared { version, changes }))
}
