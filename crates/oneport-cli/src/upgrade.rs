//! `oneport upgrade`: the program as it is installed now takes over from the one that runs.

use std::time::{Duration, Instant};

use clap::Args;
use oneport_switch::api::model::{Status, UpgradeView};

use crate::api::ApiArgs;
use crate::exit::{Code, Failure};
use crate::table::count;

/// How often `--wait` looks again.
const PERIOD: Duration = Duration::from_secs(1);

/// Has the installed program take over from a running switch, while calls go on
#[derive(Args)]
#[command(after_help = "\
The new process gets the addresses and takes all that begins; calls that are up stay with the old \
one until they end. A new process that does not start changes nothing.

Exit code 0: the new process serves. 1: the old one goes on, or, with --wait, calls still hold it.

Examples:
  oneport upgrade
  oneport upgrade --wait --within 1h")]
pub(crate) struct Upgrade {
    /// How long the new process may take until it is ready
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "20s")]
    patience: Duration,
    /// Waits until the old process has ended
    #[arg(long)]
    wait: bool,
    /// Waits no longer than this, and says then how many calls hold the old process
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, requires = "wait")]
    within: Option<Duration>,
    #[command(flatten)]
    api: ApiArgs,
}

impl Upgrade {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let client = self.api.client()?;
        let seconds = self.patience.as_secs().max(1);
        let path = format!("/v1/upgrade?patience_seconds={seconds}");
        let UpgradeView { pid, older } = client.post_patiently(&path)?;
        let legs = count(older.legs, "leg");
        say!("process {pid} serves; {legs} of calls stay with process {}", older.pid);
        if !self.wait {
            return Ok(());
        }
        let begun = Instant::now();
        loop {
            std::thread::sleep(PERIOD);
            let status: Status = client.get("/v1/status")?;
            let still = status.older.iter().find(|process| process.pid == older.pid);
            let Some(still) = still else {
                say!("process {} has ended", older.pid);
                return Ok(());
            };
            if self.within.is_some_and(|within| begun.elapsed() >= within) {
                let calls = count(still.calls, "call");
                return Err(Failure::new(
                    Code::Failed,
                    format!("process {} still has {calls} ({} legs)", older.pid, still.legs),
                )
                .hint("`oneport show calls` lists them, and `oneport hangup CALL` ends one"));
            }
        }
    }
}
