//! What switches share beside the file of each: whether it could be looked at, goes with the file, and runs everywhere.

use std::path::Path;

use super::{Finding, Severity, Weakness, line_of_section};
use crate::cluster::{SharedOffer, SwitchBehind, missing};
use crate::config::{Config, ConfigError, SharedText};

/// What of `offer` is to be examined beside the text of a configuration that came from `path`, which is what a switch that
/// starts now would run: the newest version, else the one that was kept; where none was, the file alone. And what is weak
/// about that;
/// `behind` are the switches that do not run the newest.
///
/// # Errors
/// The newest version does not go with the file, and neither does the one that was kept, or the file alone where none was:
/// what is wrong with the newest.
pub fn examine_shared(
    path: &Path,
    text: &str,
    offer: &SharedOffer,
    behind: &[SwitchBehind],
) -> Result<(Option<SharedText>, Vec<Finding>), ConfigError> {
    let finding = |id: Weakness, what, mend: &str| Finding {
        id,
        severity: Severity::Warning,
        file: path.display().to_string(),
        line: line_of_section(text, "[cluster]"),
        what,
        cost: id.cost(),
        mend: mend.into(),
    };
    let examined = match &offer.kept {
        Some(kept) => format!("{kept:?}, which was kept here,"),
        None => "the file alone".into(),
    };
    let newest = match &offer.newest {
        Ok(None) => {
            let found = |kept: &SharedText| {
                let mend = "set it again by `oneport cluster config set`; where nothing is shared any more, remove the \
                            file shared-NAME.json from the state directory, and start the switch again";
                finding(Weakness::SharedUnread, missing(kept), mend)
            };
            return Ok((offer.kept.clone(), offer.kept.iter().map(found).collect()));
        }
        Ok(Some(newest)) => newest,
        Err(why) => {
            let what = format!("{why}; {examined} is examined");
            let mend = "let [store] of this machine reach the database, and ask again";
            return Ok((offer.kept.clone(), vec![finding(Weakness::SharedUnread, what, mend)]));
        }
    };
    let mut findings = Vec::new();
    for SwitchBehind { name, version } in behind {
        let runs = version.map_or("none".into(), |version| format!("version {version}"));
        let what =
            format!("switch {name} runs {runs} of what is shared, and the newest is {newest:?}");
        let mend = "`oneport cluster show` at that switch says why it does not take it";
        findings.push(finding(Weakness::SharedBehind, what, mend));
    }
    let Err(error) = Config::parse_with(path, text, Some(newest)) else {
        return Ok((Some(newest.clone()), findings));
    };
    if Config::parse_with(path, text, offer.kept.as_ref()).is_err() {
        return Err(error);
    }
    let mend = error.help.clone();
    let mend = mend.unwrap_or_else(|| "`oneport cluster config set` sets one that goes".into());
    findings.push(Finding {
        file: error.file.display().to_string(),
        line: error.line.max(1),
        ..finding(
            Weakness::SharedRefused,
            format!("{}; {examined} is examined", error.message),
            &mend,
        )
    });
    Ok((offer.kept.clone(), findings))
}
