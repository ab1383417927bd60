//! `oneport cluster config`: what the switches share of their configuration.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use oneport_switch::api::{NewShared, SetShared};
use oneport_switch::cluster::{VersionView, read_shared, shared_versions};
use oneport_switch::{DatabaseUrl, SharedText};
use serde_json::json;
use similar::TextDiff;

use super::{database, shared_by_switches};
use crate::api::ApiArgs;
use crate::cdr::Place;
use crate::exit::{Failure, failed, usage};

use crate::table::{Room, count, left, right, table};

/// Shows, sets and compares what the switches share of their configuration
#[derive(Args)]
#[command(after_help = "\
A running switch looks whether a new text is right before it is set; all switches have it within a second. The
others read the database that the configuration (--config) names, with its secrets.

Examples:
  oneport cluster config show > shared.toml
  oneport cluster config diff shared.toml
  oneport cluster config set shared.toml
  oneport cluster config show --version 6 | oneport cluster config set -   back to what was")]
pub(super) struct SharedConfig {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Show(Show),
    Set(Set),
    History(History),
    Diff(Diff),
}

/// Prints the newest version, or another
#[derive(Args)]
struct Show {
    /// Which
    #[arg(long, value_name = "NUMBER")]
    version: Option<i64>,
    #[command(flatten)]
    place: Place,
}

/// Sets a new version
#[derive(Args)]
struct Set {
    /// File with all of it; `-`: standard input
    file: PathBuf,
    /// Only if this is the newest version until then; 0: there is none
    #[arg(long, value_name = "NUMBER")]
    over: Option<i64>,
    /// Only looks whether it is right, and tells what would change
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    api: ApiArgs,
}

/// Lists the versions, the newest first
#[derive(Args)]
struct History {
    /// Prints JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Shows what differs between the newest version and a file; without one, what the last version has changed
#[derive(Args)]
struct Diff {
    /// File to compare with; `-`: standard input
    file: Option<PathBuf>,
    /// The version to begin with
    #[arg(long, value_name = "NUMBER")]
    version: Option<i64>,
    #[command(flatten)]
    place: Place,
}

impl SharedConfig {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self.what {
            What::Show(show) => show.run().await,
            What::Set(set) => set.run(),
            What::History(history) => history.run().await,
            What::Diff(diff) => diff.run().await,
        }
    }
}

/// What is in a file, or comes in.
fn read(file: &Path) -> Result<String, Failure> {
    let read = match file == Path::new("-") {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(file),
    };
    read.map_err(|error| usage(format!("{}: {error}", file.display())))
}

/// A version, the newest where none is named.
async fn version_of(url: &DatabaseUrl, version: Option<i64>) -> Result<SharedText, Failure> {
    let read = read_shared(url, version).await.map_err(failed)?;
    read.ok_or_else(|| missing(version))
}

/// The same out of a database that no switches share, where it was moved to.
async fn kept_version(place: &Place, version: Option<i64>) -> Result<SharedText, Failure> {
    let store = place.open().await?;
    let (mut behind, mut found) = (version.map_or(0, |version| version - 1), None);
    while let Some(next) = store.configuration_behind(behind).await.map_err(failed)? {
        behind = next.version;
        found = Some(SharedText { version: Some(next.version), text: next.text });
        if version.is_some() {
            break;
        }
    }
    let found = found.filter(|found| version.is_none() || found.version == version);
    found.ok_or_else(|| missing(version))
}

fn missing(version: Option<i64>) -> Failure {
    match version {
        None => {
            usage("the switches share no configuration yet").hint("oneport cluster config set FILE")
        }
        Some(version) => usage(format!("there is no version {version}"))
            .hint("oneport cluster config history names those that are kept"),
    }
}

impl Show {
    async fn run(self) -> Result<(), Failure> {
        let SharedText { text, .. } = match shared_by_switches(&self.place.named()?) {
            Some(url) => version_of(url, self.version).await?,
            None => kept_version(&self.place, self.version).await?,
        };
        say!("{}", text.trim_end_matches('\n'));
        Ok(())
    }
}

impl Set {
    fn run(self) -> Result<(), Failure> {
        let new = NewShared { text: read(&self.file)?, over: self.over, dry_run: self.dry_run };
        let set: SetShared = self.api.client()?.post("/v1/cluster/configuration", &new)?;
        for change in &set.changes {
            say!("{change}");
        }
        let changes = count(set.changes.len(), "change");
        match set.version {
            Some(version) => say!("version {version} is set: {changes} at this switch"),
            None => say!("it is right, and nothing was set: {changes} at this switch"),
        }
        Ok(())
    }
}

impl History {
    async fn run(self) -> Result<(), Failure> {
        let versions = shared_versions(&database(&self.place)?).await.map_err(failed)?;
        if self.json {
            let text = serde_json::to_string_pretty(&json!({ "versions": versions }));
            say!("{}", text.map_err(failed)?);
            return Ok(());
        }
        let columns = [right("VERSION"), left("SET BY"), left("AT")];
        let row =
            |one: &VersionView| vec![one.version.to_string(), one.author.clone(), one.time.clone()];
        let rows: Vec<_> = versions.iter().map(row).collect();
        say!(
            "{}\n{}",
            table(Room::of_output(false), &columns, &rows),
            count(rows.len(), "version")
        );
        Ok(())
    }
}

impl Diff {
    async fn run(self) -> Result<(), Failure> {
        let url = database(&self.place)?;
        let newest = version_of(&url, None).await?;
        let before = match (self.version, &self.file) {
            (Some(version), _) => version_of(&url, Some(version)).await?,
            (None, Some(_)) => newest.clone(),
            (None, None) => {
                let versions = shared_versions(&url).await.map_err(failed)?;
                match versions.get(1) {
                    Some(before) => version_of(&url, Some(before.version)).await?,
                    None => SharedText { version: Some(0), text: String::new() },
                }
            }
        };
        let name = |text: &SharedText| format!("version {}", text.version.unwrap_or_default());
        let (old, (new, after)) = (
            name(&before),
            match &self.file {
                Some(file) => (file.display().to_string(), read(file)?),
                None => (name(&newest), newest.text),
            },
        );
        let diff = TextDiff::from_lines(before.text.as_str(), after.as_str());
        let diff = diff.unified_diff().header(&old, &new).to_string();
        match diff.is_empty() {
            true => say!("{old} and {new} are the same"),
            false => say!("{}", diff.trim_end_matches('\n')),
        }
        Ok(())
    }
}
