//! `oneport hangup`, `oneport reload`: what a running switch is told.

use clap::Args;
use oneport_switch::api::model::Reloaded;

use crate::api::{ApiArgs, encoded};
use crate::exit::Failure;
use crate::table::count;

/// Hangs up a call of a running switch
#[derive(Args)]
#[command(after_help = "\
Example:
  oneport hangup $(oneport show calls --json | jq -r '.calls[0].id')")]
pub(crate) struct HangUp {
    /// The call, as `oneport show calls` names it
    call: String,
    /// The cause code that both sides are told (ITU-T Q.850)
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u8).range(1..=127))]
    cause: u8,
    #[command(flatten)]
    api: ApiArgs,
}

impl HangUp {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let path = format!("/v1/calls/{}?cause={}", encoded(&self.call), self.cause);
        self.api.client()?.delete(&path)
    }
}

/// Has a running switch read its configuration again
#[derive(Args)]
#[command(after_help = "\
Calls that are up are not touched. A file with a mistake changes nothing.

Example:
  oneport reload --dry-run")]
pub(crate) struct Reload {
    /// Only tells what would change
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    api: ApiArgs,
}

impl Reload {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let path = format!("/v1/reload?dry_run={}", self.dry_run);
        let reloaded: Reloaded = self.api.client()?.post(&path, &serde_json::Value::Null)?;
        for change in &reloaded.changes {
            say!("{change}");
        }
        let changes = count(reloaded.changes.len(), "change");
        let calls = count(reloaded.calls, "call");
        match reloaded.applied {
            true => say!("{changes} made; untouched: {calls}"),
            false => say!("{changes} would be made; untouched: {calls}"),
        }
        Ok(())
    }
}
