//! How long a session holds without being renewed, and who renews it (RFC 4028).

use std::time::Duration;

/// The shortest interval (RFC 4028 §5).
pub(crate) const LEAST: Duration = Duration::from_secs(90);

/// The side of a dialog that we are on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    /// We have called.
    Caller,
    /// We were called.
    Called,
}

/// A session that must be renewed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SessionTimer {
    /// How long it holds.
    pub(crate) interval: Duration,
    /// Whether we renew it.
    pub(crate) ours: bool,
}

impl SessionTimer {
    /// Reads a Session-Expires header, in an answer where we have called or in a request where we were
    /// called. Where nobody is named, whoever is called names the caller if that can do it
    /// (`timer` in `supported`), else itself.
    pub(crate) fn read(header: &str, side: Side, supported: &str) -> Option<Self> {
        let mut parts = header.split(';').map(str::trim);
        let seconds: u64 = parts.next()?.parse().ok()?;
        let named = parts.find_map(|part| {
            let (name, who) = part.split_once('=')?;
            name.trim().eq_ignore_ascii_case("refresher").then(|| who.trim().to_ascii_lowercase())
        });
        let can = supported.split(',').any(|one| one.trim().eq_ignore_ascii_case("timer"));
        let caller_renews = match named.as_deref() {
            Some("uac") => true,
            Some("uas") => false,
            // An answer must name somebody; one that does not leaves it to us.
            _ => side == Side::Caller || can,
        };
        let ours = caller_renews == (side == Side::Caller);
        Some(Self { interval: Duration::from_secs(seconds).max(LEAST), ours })
    }

    /// Whether the interval in a request is shorter than any that is taken, and its sender can choose a
    /// longer one (RFC 4028 §9).
    pub(crate) fn is_too_short(header: &str, supported: &str) -> bool {
        let seconds = header.split(';').next().and_then(|one| one.trim().parse::<u64>().ok());
        let can = supported.split(',').any(|one| one.trim().eq_ignore_ascii_case("timer"));
        can && seconds.is_some_and(|seconds| seconds < LEAST.as_secs())
    }

    /// The header that says it, from this side.
    pub(crate) fn header(&self, side: Side) -> String {
        let who = if self.ours == (side == Side::Caller) { "uac" } else { "uas" };
        format!("{};refresher={who}", self.interval.as_secs())
    }

    /// When something is due behind a renewal: ours at half of the time; the other side's when it is
    /// late (RFC 4028 §10).
    pub(crate) fn due(&self) -> Duration {
        match self.ours {
            true => self.interval / 2,
            false => self.interval - Duration::from_secs(32).min(self.interval / 3),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_named_renews_the_session() {
        let read = |header, side, supported| SessionTimer::read(header, side, supported);
        let timer =
            |seconds, ours| Some(SessionTimer { interval: Duration::from_secs(seconds), ours });
        for (header, side, supported, expected) in [
            ("1800;refresher=uac", Side::Caller, "", timer(1800, true)),
            ("1800; Refresher = UAS", Side::Caller, "", timer(1800, false)),
            ("1800", Side::Caller, "", timer(1800, true)),
            ("600", Side::Called, "100rel, timer", timer(600, false)),
            ("600", Side::Called, "100rel", timer(600, true)),
            ("600;refresher=uas", Side::Called, "timer", timer(600, true)),
            ("10;refresher=uac", Side::Called, "timer", timer(90, false)),
            ("soon", Side::Called, "timer", None),
        ] {
            assert_eq!(read(header, side, supported), expected, "{header}");
        }
    }

    #[test]
    fn whoever_can_choose_a_longer_session_is_told_to() {
        for (header, supported, short) in [
            ("89", "timer", true),
            ("30;refresher=uac", "100rel, Timer", true),
            ("90", "timer", false),
            ("30", "100rel", false),
            ("soon", "timer", false),
        ] {
            assert_eq!(SessionTimer::is_too_short(header, supported), short, "{header}");
        }
    }

    #[test]
    fn what_is_said_is_read_alike_on_the_other_side() {
        for side in [Side::Caller, Side::Called] {
            for ours in [true, false] {
                let timer = SessionTimer { interval: Duration::from_secs(1800), ours };
                let other = if side == Side::Caller { Side::Called } else { Side::Caller };
                let there = SessionTimer::read(&timer.header(side), other, "").expect("read");
                assert_eq!(there, SessionTimer { ours: !ours, ..timer });
            }
        }
    }

    #[test]
    fn a_renewal_is_due_early_and_the_end_not_before_it() {
        let timer = |seconds, ours| SessionTimer { interval: Duration::from_secs(seconds), ours };
        assert_eq!(timer(1800, true).due(), Duration::from_secs(900));
        assert_eq!(timer(1800, false).due(), Duration::from_secs(1768));
        assert_eq!(timer(90, false).due(), Duration::from_secs(60));
    }
}
