//! Rows of Asterisk's tables (`[realtime]`): what of them has no counterpart here, and tables that cannot be used.

use std::path::Path;

use super::{Finding, Severity, Weakness, line_of_section};
use crate::config::{Config, ConfigError, SharedText};
use crate::realtime;

/// Examines the tables that the text of a configuration names, which came from `path`, beside which something may be
/// `shared`; nothing is found where it names none.
///
/// # Errors
/// It is no good configuration.
pub async fn examine_rows(
    path: &Path,
    text: &str,
    shared: Option<&SharedText>,
) -> Result<Vec<Finding>, ConfigError> {
    let config = Config::parse_with(path, text, shared)?;
    let line = line_of_section(text, "[realtime]");
    let finding = |id: Weakness, severity, what, mend: &str| Finding {
        id,
        severity,
        file: path.display().to_string(),
        line,
        what,
        cost: id.cost(),
        mend: mend.into(),
    };
    let rows = match realtime::remarks(&config).await {
        Ok(rows) => rows,
        Err(error) => {
            let mend =
                "make the table as Asterisk has it (docs/realtime.md), or correct [realtime]";
            let id = Weakness::RealtimeTables;
            return Ok(vec![finding(id, Severity::Warning, error.to_string(), mend)]);
        }
    };
    let findings = rows.into_iter().map(|row| {
        let (severity, is, mend) = match row.is_peer {
            true => {
                (Severity::Notice, "is a peer, but", "docs/import.md says what has a counterpart")
            }
            false => {
                (Severity::Warning, "is no peer:", "correct its row, or write it into [peers]")
            }
        };
        let what = format!("{} {is} {}", row.name, row.remarks.join("; "));
        finding(Weakness::RealtimeRow, severity, what, mend)
    });
    Ok(findings.collect())
}
