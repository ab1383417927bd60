//! `/v1/configuration`: the file that the switch has its configuration from.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Shared;
use super::error::{Problem, Refused};
use super::extract::Ask;
use crate::config::{lines_of, without_secrets};

/// What is looked for in it.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ConfigurationQuery {
    /// The rule or limit whose line is wanted, as a refusal names it.
    rule: Option<String>,
}

/// The configuration file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct ConfigurationView {
    /// Where it is.
    file: String,
    /// What stands in it now, whether it has been reloaded or not. Secrets are `***`.
    text: String,
    /// The line, from 1, at which the rule stands that was asked for; null where it does not.
    line: Option<usize>,
    /// What switches with one database share beside their files, as this one runs it; null where there is none.
    shared: Option<SharedPart>,
}

/// What is shared of the configuration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct SharedPart {
    /// What mistakes in it name in place of a file: `shared configuration 7`.
    name: String,
    /// Its version.
    version: i64,
    /// What stands in it. Secrets are `***`.
    text: String,
    /// The line, from 1, at which the rule stands that was asked for; null where it does not.
    line: Option<usize>,
}

/// The configuration file as it is now, and what switches share beside it, without their secrets.
#[utoipa::path(
    get,
    path = "/v1/configuration",
    operation_id = "configuration",
    tag = "switch",
    params(ConfigurationQuery),
    security(("token" = ["admin"])),
    responses(
        (status = 200, description = "The file", body = ConfigurationView),
        (status = 409, description = "The switch runs without a file, or it cannot be read", body = Refused),
    )
)]
pub(super) async fn show(
    State(shared): State<Shared>,
    Ask(query): Ask<ConfigurationQuery>,
) -> Result<Json<ConfigurationView>, Problem> {
    let Some(reloader) = &shared.reloader else {
        return Err(Problem::conflict("the switch runs without a configuration file")
            .with_hint(Some("oneport serve --config oneport.toml".into())));
    };
    let file = reloader.file().to_path_buf();
    let shown = file.display().to_string();
    let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(file)).await;
    let unread = |why: String| Problem::conflict(format!("{shown} cannot be read: {why}"));
    let text = read.map_err(|error| unread(error.to_string()))?;
    let text = text.map_err(|error| unread(error.to_string()))?;
    let running = reloader.shared().running();
    let beside = running.as_ref().map(|running| running.text.as_str()).unwrap_or_default();
    let (line, shared_line) =
        query.rule.map_or((None, None), |rule| lines_of(&text, beside, &rule));
    let hide = |text: &str| {
        without_secrets(text).ok_or_else(|| unread("its secrets are not found".into()))
    };
    let shared = running.and_then(|running| Some((running.version?, running)));
    let shared = shared.map(|(version, running)| {
        let name = running.name().display().to_string();
        Ok::<_, Problem>(SharedPart {
            name,
            version,
            text: hide(&running.text)?,
            line: shared_line,
        })
    });
    let shared = shared.transpose()?;
    let text = hide(&text)?;
    Ok(Json(ConfigurationView { file: shown, text, line, shared }))
}
