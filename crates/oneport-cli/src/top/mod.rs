//! `oneport top`: a running switch in a terminal, live.
//!
//! [`state`] decides, [`screen`] draws it, [`run`] joins both with the switch, which [`link`] asks over its
//! API; a [`capture`] has the same lists without a switch. [`list`] is what is searched, sorted and gone
//! through, [`rows`] what stands in it. [`saving`] puts a call into a file.

mod ask;
mod capture;
mod detail;
mod link;
mod list;
mod rows;
mod run;
#[cfg(test)]
mod samples;
mod saving;
mod screen;
mod state;
mod words;

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use oneport_switch::api::model::Status;
use oneport_wire::DEFAULT_PORT;
use run::Shown;
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
  oneport top --api 192.0.2.1:8569 --token-file monitor.token
  oneport top --pcap trouble.pcapng")]
pub(crate) struct Top {
    /// Shows the calls of a capture instead (pcap or pcapng)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["api", "config", "token_file"])]
    pcap: Option<PathBuf>,
    /// UDP port of IAX2 in the capture; may be given several times
    #[arg(long, value_name = "PORT", default_values_t = [DEFAULT_PORT], requires = "pcap")]
    port: Vec<u16>,
    #[command(flatten)]
    api: ApiArgs,
}

impl Top {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        terminal::check("top", "`oneport show`, `oneport status` and `oneport decode`")?;
        if let Some(file) = &self.pcap {
            let capture = capture::read(file, &self.port)?;
            let state = State::of_capture(file.display().to_string(), capture, Timestamp::now());
            return run::run(Shown::Capture(file.clone(), self.port), state).await;
        }
        let client = self.api.client()?;
        // A mistake of the command line is told before the screen is taken.
        let _: Status = client.get("/v1/status")?;
        let place =
            client.base().split_once("://").map_or_else(|| client.base(), |(_, place)| place);
        let state = State::new(place.into(), Timestamp::now(), TimeZone::system());
        run::run(Shown::Switch(self.api), state).await
    }
}
