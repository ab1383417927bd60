//! What a probe asks of its far end in a text: to poll another port of the caller's address later, unasked. Only what
//! comes unasked shows that a NAT still knows the way: whoever asks himself opens it anew.

use std::fmt;
use std::time::Duration;

/// How a text begins that asks for it.
const BEGINS: &str = "oneport-probe wake ";

/// Nobody waits longer.
const LONGEST: Duration = Duration::from_secs(360);

/// Such a wish. It prints as the text.
///
/// ```
/// use std::time::Duration;
///
/// use oneport::probe::Wake;
///
/// let wake = Wake { port: 4570, after: Duration::from_secs(60) };
/// assert_eq!(wake.to_string(), "oneport-probe wake 4570 60000");
/// assert_eq!(Wake::parse(&wake.to_string()), Some(wake));
/// assert_eq!(Wake::parse("good morning"), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wake {
    /// The UDP port, as the far end sees it.
    pub port: u16,
    /// When, from when the text comes.
    pub after: Duration,
}

impl Wake {
    /// What a text asks for; `None` where it is no such text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (port, millis) = text.strip_prefix(BEGINS)?.split_once(' ')?;
        let port = port.parse().ok().filter(|port| *port > 0)?;
        let after = Duration::from_millis(millis.parse().ok()?);
        (after <= LONGEST).then_some(Self { port, after })
    }
}

impl fmt::Display for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{BEGINS}{} {}", self.port, self.after.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_read_as_it_was_written_and_nothing_else_is_one() {
        let wake = Wake { port: 61_000, after: Duration::from_millis(20_250) };
        assert_eq!(wake.to_string(), "oneport-probe wake 61000 20250");
        assert_eq!(Wake::parse(&wake.to_string()), Some(wake));
        for strange in ["", "hello", "0 1", "70000 1", "1", "1 360001", "1 -1", "1 1 1", " 1"] {
            assert_eq!(Wake::parse(&format!("{BEGINS}{strange}")), None, "{strange:?}");
        }
        assert_eq!(Wake::parse("wake 1 1"), None);
    }
}
