//! `oneport status`: is a running switch well?

use clap::Args;
use oneport_switch::api::model::Status as Figures;

use crate::api::ApiArgs;
use crate::exit::{Code, Failure, failed};
use crate::table::clock;

/// Says whether a running switch is well
#[derive(Args)]
#[command(after_help = "\
Exit code 0: it is well. 1: something is not as it should be, and is named. 12: the token is wrong.
13: it does not answer.

Example:
  oneport status || echo 'look at the switch'")]
pub(crate) struct Status {
    /// Prints the figures as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

impl Status {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let status: Figures = self.api.client()?.get("/v1/status")?;
        if self.json {
            say!("{}", serde_json::to_string_pretty(&status).map_err(failed)?);
        } else {
            let up = clock(status.uptime_seconds as f64);
            say!("oneport {} on UDP {}, up {up}", status.version, status.listen.join(", "));
            say!("calls          {} ({} legs)", status.calls, status.legs);
            for older in &status.older {
                let (pid, calls) = (older.pid, older.calls);
                say!("older process  {pid}: {calls} calls ({} legs)", older.legs);
            }
            match &status.profile {
                Some(profile) => say!("encryption     {}, by profile {profile}", status.encryption),
                None => say!("encryption     {}", status.encryption),
            }
            let (peers, gone) = (status.peers, status.peers_unreachable);
            say!("peers          {peers}, {gone} of them unreachable or lagged");
            say!("registered     {} here", status.registered_here);
            let (good, all) = (status.registrations_good, status.registrations);
            say!("registrations  {good} of {all} elsewhere stand");
            say!("limits         {} full", status.limits_full);
        }
        if !status.ready {
            let why = status.refusing.unwrap_or_default();
            return Err(Failure::new(Code::Failed, format!("it takes no new calls: {why}")));
        }
        match status.troubles.as_slice() {
            [] => Ok(()),
            troubles => Err(Failure::new(Code::Failed, troubles.join("; "))
                .hint("`oneport show` tells more of peers, registrations and limits")),
        }
    }
}
