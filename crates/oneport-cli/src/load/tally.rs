//! What a load has counted and measured.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

/// Longest time that is told from longer ones, in µs.
const LONGEST: u64 = 120_000_000;

/// Times in µs, three digits exact.
#[derive(Clone, Debug)]
pub(crate) struct Times(Histogram<u64>);

impl Times {
    pub(crate) fn new() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST, 3).expect("constant bounds that make sense"))
    }

    /// Takes one.
    pub(crate) fn record(&mut self, micros: u64) {
        self.0.saturating_record(micros.max(1));
    }

    /// Takes all of `other`.
    pub(crate) fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("of the same bounds");
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time that `percent` of them do not exceed, in ms; `None` where there are none.
    pub(crate) fn percentile(&self, percent: f64) -> Option<f64> {
        (self.count() > 0).then(|| self.0.value_at_percentile(percent) as f64 / 1e3)
    }

    /// The longest, in ms.
    pub(crate) fn longest(&self) -> Option<f64> {
        (self.count() > 0).then(|| self.0.max() as f64 / 1e3)
    }
}

/// Counts of calls and voice, and times, since the start or of a while.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    /// Calls that were begun, were answered, and ended as they should.
    pub(crate) placed: u64,
    pub(crate) answered: u64,
    pub(crate) completed: u64,
    /// Calls that rang too long.
    pub(crate) given_up: u64,
    /// Calls that were not answered, by the reason.
    pub(crate) failed: BTreeMap<String, u64>,
    /// Calls that ended before they should, by the reason.
    pub(crate) ended_early: BTreeMap<String, u64>,
    /// Frames of voice: sent, heard again (each once), and what was wrong with others.
    pub(crate) sent: u64,
    pub(crate) heard: u64,
    /// Missing between frames that came; less than none where late ones came of a while before.
    pub(crate) missing: i64,
    pub(crate) out_of_order: u64,
    pub(crate) twice: u64,
    pub(crate) damaged: u64,
    /// Voice of another call of this load.
    pub(crate) crossed: u64,
    /// Frames without a mark of ours.
    pub(crate) foreign: u64,
    /// Digits.
    pub(crate) digits_sent: u64,
    pub(crate) digits_heard: u64,
    /// From NEW to the answer.
    pub(crate) set_up: Times,
    /// Of voice: there and back, and there alone.
    pub(crate) round_trip: Times,
    pub(crate) one_way: Times,
    /// How late we were ourselves.
    pub(crate) own_delay: Times,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            placed: 0,
            answered: 0,
            completed: 0,
            given_up: 0,
            failed: BTreeMap::new(),
            ended_early: BTreeMap::new(),
            sent: 0,
            heard: 0,
            missing: 0,
            out_of_order: 0,
            twice: 0,
            damaged: 0,
            crossed: 0,
            foreign: 0,
            digits_sent: 0,
            digits_heard: 0,
            set_up: Times::new(),
            round_trip: Times::new(),
            one_way: Times::new(),
            own_delay: Times::new(),
        }
    }

    /// Takes all that `other` has.
    pub(crate) fn add(&mut self, other: &Self) {
        self.placed += other.placed;
        self.answered += other.answered;
        self.completed += other.completed;
        self.given_up += other.given_up;
        for (mine, theirs) in
            [(&mut self.failed, &other.failed), (&mut self.ended_early, &other.ended_early)]
        {
            for (reason, count) in theirs {
                *mine.entry(reason.clone()).or_default() += count;
            }
        }
        self.sent += other.sent;
        self.heard += other.heard;
        self.missing += other.missing;
        self.out_of_order += other.out_of_order;
        self.twice += other.twice;
        self.damaged += other.damaged;
        self.crossed += other.crossed;
        self.foreign += other.foreign;
        self.digits_sent += other.digits_sent;
        self.digits_heard += other.digits_heard;
        self.set_up.add(&other.set_up);
        self.round_trip.add(&other.round_trip);
        self.one_way.add(&other.one_way);
        self.own_delay.add(&other.own_delay);
    }

    /// Calls that were not answered.
    pub(crate) fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// Calls that ended before they should.
    pub(crate) fn early_ends(&self) -> u64 {
        self.ended_early.values().sum()
    }

    /// Share of the calls tried that were not answered or ended early, per cent.
    pub(crate) fn failed_percent(&self) -> f64 {
        let bad = self.failures() + self.early_ends();
        share(bad, self.answered + self.failures())
    }
}

/// Counts of registrations, and times, since the start or of a while.
#[derive(Clone, Debug)]
pub(crate) struct RegistrationTally {
    /// Devices that began to register, were taken for the first time, were taken anew, and have left.
    pub(crate) begun: u64,
    pub(crate) registered: u64,
    pub(crate) renewed: u64,
    pub(crate) released: u64,
    /// Attempts that failed, by the reason.
    pub(crate) failed: BTreeMap<String, u64>,
    /// From the first REGREQ to the first REGACK.
    pub(crate) took: Times,
}

impl RegistrationTally {
    pub(crate) fn new() -> Self {
        Self {
            begun: 0,
            registered: 0,
            renewed: 0,
            released: 0,
            failed: BTreeMap::new(),
            took: Times::new(),
        }
    }

    /// Takes all that `other` has.
    pub(crate) fn add(&mut self, other: &Self) {
        self.begun += other.begun;
        self.registered += other.registered;
        self.renewed += other.renewed;
        self.released += other.released;
        for (reason, count) in &other.failed {
            *self.failed.entry(reason.clone()).or_default() += count;
        }
        self.took.add(&other.took);
    }
}

/// Per cent.
pub(crate) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact_to_three_digits_and_add_up() {
        let (mut a, mut b) = (Times::new(), Times::new());
        (1..=1_000).for_each(|micros| a.record(micros * 10));
        b.record(50_000);
        a.add(&b);
        assert_eq!((a.count(), a.longest().map(f64::round)), (1_001, Some(50.0)));
        let median = a.percentile(50.0).expect("some");
        assert!((median - 5.01).abs() < 0.02, "{median}");
        assert_eq!(Times::new().percentile(50.0), None);
    }

    #[test]
    fn calls_that_fail_or_end_early_are_a_share_of_those_tried() {
        let mut tally = Tally::new();
        tally.answered = 90;
        tally.failed.insert("busy".into(), 10);
        tally.ended_early.insert("silent".into(), 5);
        let mut sum = tally.clone();
        sum.add(&tally);
        assert_eq!(sum.failed_percent(), 15.0);
    }
}
