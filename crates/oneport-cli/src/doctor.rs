//! `oneport doctor`: what is weak in a configuration.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use oneport_switch::api::state_directory;
use oneport_switch::cluster::{SharedOffer, switches_behind};
use oneport_switch::doctor::{
    Finding, Severity, examine, examine_asterisk, examine_rows, examine_shared,
};
use oneport_switch::{Config, ConfigError};

use crate::exit::{Code, Failure, failed, usage};
use crate::import::read_directory;
use crate::serve::explain;
use crate::table;

/// Names what is weak in a configuration, what it costs, and the line that mends it
#[derive(Args)]
#[command(after_help = "\
Exit code 0: nothing but notices. 1: warnings or dangers. 2: no good configuration.
docs/doctor.md describes each finding.

Examples:
  oneport doctor --config /etc/oneport/oneport.toml
  oneport doctor --asterisk /etc/asterisk --json")]
pub(crate) struct Doctor {
    /// Configuration file
    #[arg(long, value_name = "FILE", default_value = "oneport.toml")]
    config: PathBuf,
    /// Directory with Asterisk's iax.conf, in place of a configuration of ours
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    asterisk: Option<PathBuf>,
    /// Prints the findings as JSON
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let findings = match &self.asterisk {
            Some(directory) => {
                let files = read_directory(directory)?;
                if !files.contains_key("iax.conf") {
                    let what = format!("there is no iax.conf in {}", directory.display());
                    return Err(usage(what));
                }
                examine_asterisk(&files, &|file| others_may_read(&directory.join(file)))
            }
            None => {
                let text = std::fs::read_to_string(&self.config).map_err(|error| {
                    usage(format!("{}: {error}", self.config.display()))
                        .hint("--config names another file, --asterisk a directory of Asterisk's")
                })?;
                self.examine(&text).await.map_err(|error| explain(&error))?
            }
        };
        if self.json {
            match serde_json::to_string_pretty(&findings) {
                Ok(text) => say!("{text}"),
                Err(error) => return Err(failed(error)),
            }
        } else {
            for finding in &findings {
                say!("{finding}\n");
            }
        }
        judge(&findings)
    }
}

impl Doctor {
    async fn examine(&self, text: &str) -> Result<Vec<Finding>, ConfigError> {
        let path = self.config.as_path();
        let (shared, mut findings) = match Config::cluster_place(path)? {
            Some((cluster, url)) => {
                let mut offer = SharedOffer::of(&cluster, &url, &state_directory()).await;
                let newest = offer.newest.as_ref().ok().and_then(|newest| newest.as_ref()?.version);
                let mut behind = Vec::new();
                if let Some(newest) = newest {
                    match switches_behind(&url, &cluster, newest).await {
                        Ok(switches) => behind = switches,
                        Err(why) => offer.newest = Err(why),
                    }
                }
                examine_shared(path, text, &offer, &behind)?
            }
            None => (None, Vec::new()),
        };
        findings.extend(examine(path, text, shared.as_ref(), &others_may_read)?);
        findings.extend(examine_rows(path, text, shared.as_ref()).await?);
        Ok(findings)
    }
}

fn judge(findings: &[Finding]) -> Result<(), Failure> {
    let count = |severity| findings.iter().filter(|one| one.severity == severity).count();
    let (dangers, warnings) = (count(Severity::Danger), count(Severity::Warning));
    let notices = count(Severity::Notice);
    if dangers + warnings == 0 {
        eprintln!("{}", table::count(notices, "notice"));
        return Ok(());
    }
    let what = [(dangers, "danger"), (warnings, "warning"), (notices, "notice")]
        .map(|(number, one)| table::count(number, one))
        .join(", ");
    Err(Failure::new(Code::Failed, what).hint("each finding has the line that mends it"))
}

fn others_may_read(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|about| about.permissions().mode() & 0o004 != 0)
}
