//! `oneport top`: a running switch in a terminal, live.
//!
//! [`state`] decides, [`screen`] draws it, [`run`] joins both with the switch, which [`link`] asks over its
//! API. [`list`] is what is searched, sorted and gone through, [`rows`] what stands in it.

mod ask;
mod detail;
mod link;
mod list;
mod rows;
mod run;
#[cfg(test)]
mod samples;
mod screen;
mod state;
mod words;

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use oneport_switch::api::model::Status;
use state::State;

use crate::api::ApiArgs;
use crate::exit::Failure;
use crate::terminal;

/// A running switch in the terminal, live: calls, trunks, limits, what happens
#[derive(Args)]
#[command(after_help = "\
Keys are those of sngrep and vi; `?` shows all of them.

Examples:
  oneport top
  oneport top --api 192.0.2.1:8569 --token-file monitor.token")]
pub(crate) struct Top {
    #[command(flatten)]
    api: ApiArgs,
}

impl Top {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        terminal::check("top", "`oneport show` and `oneport status`")?;
        let client = self.api.client()?;
        // A mistake of the command line is told before the screen is taken.
        let _: Status = client.get("/v1/status")?;
        let place =
            client.base().split_once("://").map_or_else(|| client.base(), |(_, place)| place);
        let state = State::new(place.into(), Timestamp::now(), TimeZone::system());
        run::run(self.api, state).await
    }
}
