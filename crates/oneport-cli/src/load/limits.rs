//! What a load must keep for the system under it to pass, and what was broken first.

use clap::Args;

use super::tally::Tally;

/// Limits of a run.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits (exit code 1 when one is broken)")]
pub(crate) struct Limits {
    /// Voice lost on the way there and back, per cent
    #[arg(long, value_name = "PERCENT")]
    max_loss: Option<f64>,
    /// Calls that were refused, not answered, or ended early, per cent
    #[arg(long, value_name = "PERCENT")]
    max_failed: Option<f64>,
    /// 99 of 100 calls are answered within this time
    #[arg(long, value_name = "MS")]
    max_set_up: Option<f64>,
    /// 99 of 100 frames are back within this time
    #[arg(long, value_name = "MS")]
    max_round_trip: Option<f64>,
    /// Mean opinion score of the E-model
    #[arg(long, value_name = "MOS")]
    min_mos: Option<f64>,
}

impl Limits {
    /// Those of a search for the knee where none is given: what users begin to hear.
    pub(crate) fn or_audible(self) -> Self {
        let Self { max_loss, max_failed, max_set_up, max_round_trip, min_mos } = self;
        if [max_loss, max_failed, max_set_up, max_round_trip, min_mos].iter().any(Option::is_some) {
            return self;
        }
        Self {
            max_loss: Some(0.5),
            max_failed: Some(0.5),
            max_round_trip: Some(150.0),
            max_set_up: Some(1_000.0),
            min_mos: None,
        }
    }

    /// The first limit that these figures break, in words. `lost` is in per cent.
    pub(crate) fn broken(&self, tally: &Tally, lost: f64, mos: Option<f64>) -> Option<String> {
        let above = |value: Option<f64>, limit: Option<f64>| match (value, limit) {
            (Some(value), Some(limit)) if value > limit => Some((value, limit)),
            _ => None,
        };
        let percentile_99 = |times: &super::tally::Times| times.percentile(99.0);
        if let Some((value, limit)) = above(Some(tally.failed_percent()), self.max_failed) {
            return Some(format!("{value:.2} % of the calls failed (limit {limit} %)"));
        }
        if let Some((value, limit)) = above(Some(lost), self.max_loss) {
            return Some(format!("{value:.2} % of the voice was lost (limit {limit} %)"));
        }
        if let Some((value, limit)) = above(percentile_99(&tally.set_up), self.max_set_up) {
            return Some(format!("calls took {value:.0} ms to the answer (limit {limit} ms)"));
        }
        if let Some((value, limit)) = above(percentile_99(&tally.round_trip), self.max_round_trip) {
            return Some(format!("voice took {value:.1} ms there and back (limit {limit} ms)"));
        }
        match (mos, self.min_mos) {
            (Some(mos), Some(limit)) if mos < limit => {
                Some(format!("the mean opinion score was {mos:.2} (limit {limit})"))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Limits = Limits {
        max_loss: None,
        max_failed: None,
        max_set_up: None,
        max_round_trip: None,
        min_mos: None,
    };

    #[test]
    fn each_limit_is_named_when_it_is_broken() {
        let mut tally = Tally::new();
        tally.answered = 99;
        tally.failed.insert("busy".into(), 1);
        tally.set_up.record(400_000);
        tally.round_trip.record(90_000);
        let broken = |limits: Limits| limits.broken(&tally, 2.0, Some(3.5));
        assert_eq!(broken(NONE), None);
        let failed = broken(Limits { max_failed: Some(0.9), ..NONE });
        assert_eq!(failed.as_deref(), Some("1.00 % of the calls failed (limit 0.9 %)"));
        let lost = broken(Limits { max_loss: Some(1.5), ..NONE });
        assert_eq!(lost.as_deref(), Some("2.00 % of the voice was lost (limit 1.5 %)"));
        let slow = broken(Limits { max_set_up: Some(300.0), ..NONE });
        assert_eq!(slow.as_deref(), Some("calls took 400 ms to the answer (limit 300 ms)"));
        let far = broken(Limits { max_round_trip: Some(50.0), ..NONE });
        assert!(far.is_some_and(|text| text.contains("there and back (limit 50 ms)")));
        let bad = broken(Limits { min_mos: Some(4.0), ..NONE });
        assert_eq!(bad.as_deref(), Some("the mean opinion score was 3.50 (limit 4)"));
        assert_eq!(broken(Limits { max_loss: Some(2.0), min_mos: Some(3.5), ..NONE }), None);
    }

    #[test]
    fn a_search_has_limits_of_its_own_where_none_is_given() {
        assert!(NONE.or_audible().max_loss.is_some());
        let own = Limits { min_mos: Some(4.0), ..NONE }.or_audible();
        assert!(own.max_loss.is_none() && own.min_mos == Some(4.0));
    }
}
