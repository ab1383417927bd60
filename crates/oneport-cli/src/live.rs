//! The line that shows how a call goes, on a terminal only.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use oneport::CallStats;

/// How often the line is renewed.
pub(crate) const PERIOD: Duration = Duration::from_millis(500);

/// The line.
pub(crate) struct Live {
    shown: bool,
    on: bool,
}

impl Live {
    pub(crate) fn new() -> Self {
        Self { shown: false, on: std::io::stderr().is_terminal() }
    }

    /// Renews it.
    pub(crate) fn show(&mut self, state: &str, elapsed: Duration, stats: Option<&CallStats>) {
        if !self.on {
            return;
        }
        let seconds = elapsed.as_secs();
        let mut line = format!("{state:<12} {:02}:{:02}", seconds / 60, seconds % 60);
        if let Some(stats) = stats {
            let heard = &stats.received;
            let rtt = stats.rtt.map_or_else(|| "-".into(), |rtt| format!("{:.1} ms", millis(rtt)));
            line.push_str(&format!(
                "   rtt {rtt}   jitter {:.1} ms   lost {} of {}",
                millis(heard.jitter),
                heard.lost,
                heard.lost + heard.frames,
            ));
        }
        eprint!("\r\x1b[K{line}");
        let _ = std::io::stderr().flush();
        self.shown = true;
    }

    /// Makes room for something else.
    pub(crate) fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            eprint!("\r\x1b[K");
        }
    }
}

pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
