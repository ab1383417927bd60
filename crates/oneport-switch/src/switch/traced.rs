//! Traces of calls, for as long as the configuration wants any.

use std::time::Duration;

use uuid::Uuid;

use super::Switch;
use crate::config::Config;
use crate::traces::{Ended, Traces};

/// How long a switch that stops waits for its last traces to leave.
const LAST: Duration = Duration::from_secs(2);

/// Traces on their way out, when their switch has stopped.
///
/// ```
/// # mod switch { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/switch.rs")); } use switch::*;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let driver = start("");
/// let traces = driver.with(|_, switch, _| switch.last_traces()).await?;
/// drop(driver);
/// if let Some(traces) = traces {
///     traces.sent().await;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct LastTraces(Ended);

impl LastTraces {
    /// Waits until they are sent, two seconds at most: a collector that is away keeps nobody.
    pub async fn sent(self) {
        let _ = tokio::time::timeout(LAST, self.0).await;
    }
}

/// What this process is called among those of the service: as its switch is among several, or by a number
/// that nobody else has.
fn instance(config: &Config) -> String {
    let own = config.cluster.as_ref().map(|own| own.name.clone());
    own.unwrap_or_else(|| Uuid::now_v7().to_string())
}

/// Who makes them, where the configuration wants any.
pub(super) fn start(config: &Config) -> Option<Traces> {
    Traces::start(config.traces.as_ref()?, &instance(config))
}

impl Switch {
    /// What to wait for behind the end of this switch, where its calls are traced.
    pub fn last_traces(&mut self) -> Option<LastTraces> {
        self.book.traces_mut().as_mut().and_then(Traces::take_ended).map(LastTraces)
    }

    /// Another configuration holds than `before`.
    pub(super) fn traces_changed(&mut self, before: &Config) {
        let (config, traces) = (&self.config, self.book.traces_mut());
        match (traces.as_mut(), &config.traces) {
            (_, wanted) if *wanted == before.traces => {}
            (Some(traces), Some(wanted)) => traces.reconfigure(wanted, &instance(config)),
            (_, None) => *traces = None,
            (None, Some(_)) => *traces = start(config),
        }
    }
}
