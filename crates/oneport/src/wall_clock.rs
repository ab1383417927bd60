//! The date and time that peers are told for their displays (RFC 5456 §8.6.28).

use std::time::{SystemTime, UNIX_EPOCH};

use oneport_wire::DateTime;

/// The date and time in UTC, by the system's clock.
///
/// ```
/// use oneport::NewCall;
///
/// let mut call = NewCall::to("600");
/// call.date_time = Some(oneport::date_time());
/// ```
#[must_use]
pub fn date_time() -> DateTime {
    #[expect(clippy::disallowed_methods, reason = "it is the wall clock that is asked for")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    DateTime::from_unix(since.as_secs())
}
