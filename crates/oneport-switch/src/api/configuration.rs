//! `/v1/configuration`: the file that the switch has its configuration from.

use std::sync::LazyLock;

use axum::Json;
use axum::extract::State;
use regex::Regex;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Shared;
use super::error::{Problem, Refused};

/// A key whose value is secret, and that value in whichever way TOML writes it; where it is written wrongly, the
/// rest of its line.
static SECRETS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    // Text over several lines may end with quotes of its own, and has any behind a backslash.
    let long = r#""""(?:[^\\]|\\[\s\S])*?"{3,5}|'''[\s\S]*?'{3,5}"#;
    let value = format!(r#"{long}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[^\n]+"#);
    Regex::new(&format!(r#"(\b(?:secret|password|pin)\b["']?[ \t]*=[ \t]*)(?:{value})"#)).ok()
});

/// The configuration file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct ConfigurationView {
    /// Where it is.
    file: String,
    /// What stands in it now, whether it has been reloaded or not. Secrets are `***`.
    text: String,
}

fn without_secrets(text: &str) -> Option<String> {
    let secrets = SECRETS.as_ref()?;
    Some(secrets.replace_all(text, r#"${1}"***""#).into_owned())
}

/// The configuration file as it is now, without its secrets.
#[utoipa::path(
    get,
    path = "/v1/configuration",
    operation_id = "configuration",
    tag = "switch",
    security(("token" = ["admin"])),
    responses(
        (status = 200, description = "The file", body = ConfigurationView),
        (status = 409, description = "The switch runs without a file, or it cannot be read", body = Refused),
    )
)]
pub(super) async fn show(State(shared): State<Shared>) -> Result<Json<ConfigurationView>, Problem> {
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
    let text = without_secrets(&text).ok_or_else(|| unread("its secrets are not found".into()))?;
    Ok(Json(ConfigurationView { file: shown, text }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown_however_it_is_written() {
        for written in [
            "secret = \"hush\"",
            "secret='hush'",
            "peers.ann.secret = \"hu\\\"hush\"",
            "\"secret\" = \"\"\"\nhush\nhush\"\"\"",
            "secret = '''hush'''",
            "ann = { secret = \"hush\", trunk = true }",
            "pin = \"hush\"",
            "password = \"hush\"",
            "secret = \"\"\"\\\"\"\"hush\"\"\"",
            "secret = \"hush",
            "secret = hush",
        ] {
            let shown = without_secrets(written).expect("it compiles");
            assert!(
                !shown.contains("hush") && shown.contains("= \"***\"")
                    || shown.contains("=\"***\""),
                "{shown}"
            );
        }
        let rest = "secret_file = \"/etc/x\"\nnumber = \"7\" # pin and secret\n";
        assert_eq!(without_secrets(rest).as_deref(), Some(rest));
    }
}
