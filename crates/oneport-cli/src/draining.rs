//! `oneport drain`, `oneport undrain`: a running switch takes no new calls, or takes them again.

use std::time::Duration;

use clap::Args;
use oneport_switch::api::model::{DrainState, DrainView};

use crate::api::{ApiArgs, Client};
use crate::exit::Failure;
use crate::table::count;

/// How often `--wait` looks again.
const PERIOD: Duration = Duration::from_secs(1);

/// Has a running switch take no new calls; those that are up go on
#[derive(Args)]
#[command(after_help = "\
New calls are refused with cause 42, so that callers try their next line.

Examples:
  oneport drain --wait && systemctl restart oneport
  oneport undrain")]
pub(crate) struct Drain {
    /// Waits until no call is up
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    api: ApiArgs,
}

impl Drain {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let client = self.api.client()?;
        let mut view: DrainView = client.post("/v1/drain", &serde_json::Value::Null)?;
        while self.wait && view.state == DrainState::Draining {
            std::thread::sleep(PERIOD);
            view = client.get("/v1/drain")?;
        }
        tell(&view);
        Ok(())
    }
}

/// Has a running switch take calls again
#[derive(Args)]
pub(crate) struct Undrain {
    #[command(flatten)]
    api: ApiArgs,
}

impl Undrain {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let client: Client = self.api.client()?;
        tell(&client.delete_for("/v1/drain")?);
        Ok(())
    }
}

fn tell(view: &DrainView) {
    let legs = count(view.legs, "leg");
    match view.state {
        DrainState::Serving => say!("calls are taken; {legs} up"),
        DrainState::Draining => say!("draining: new calls are refused; {legs} up"),
        DrainState::Drained => say!("drained: new calls are refused, and none is up"),
    }
}
