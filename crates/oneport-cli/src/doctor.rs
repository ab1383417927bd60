//! `oneport doctor`: what is weak in a configuration.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use oneport_switch::doctor::{Finding, Severity, examine, examine_asterisk, examine_rows};

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
                let found = examine(&self.config, &text, &others_may_read);
                let mut findings = found.map_err(|error| explain(&error))?;
                let rows = examine_rows(&self.config, &text).await;
                findings.extend(rows.map_err(|error| explain(&error))?);
                findings
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
