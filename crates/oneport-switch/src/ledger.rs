//! Records on their way to a store, as the switch sees them: it hands them over, never waits, and is
//! told how many are durable. It knows nothing of stores, calls or registrations.

use std::collections::VecDeque;

use crate::store::Record;

/// Takes records on the switch's thread. It must not block.
///
/// ```
/// use oneport_switch::store::Record;
/// use oneport_switch::{Config, Journal, Switch};
///
/// struct Printed;
///
/// impl Journal for Printed {
///     fn append(&mut self, record: Record) {
///         println!("{record:?}");
///     }
/// }
///
/// let mut switch = Switch::new(Config::default());
/// switch.keep_records(Printed, Vec::new());
/// assert_eq!(switch.records_waiting(), 0);
/// ```
pub trait Journal: Send + 'static {
    /// Takes the next record. They become durable in the order in which they came.
    fn append(&mut self, record: Record);
}

/// What was handed over, what of it is durable, and what waits for that: a `T` each.
pub(crate) struct Ledger<T> {
    journal: Box<dyn Journal>,
    /// Records handed over, and those of them that are durable.
    appended: u64,
    durable: u64,
    /// What is to be done once so many records are durable, in that order.
    waiting: VecDeque<(u64, T)>,
    /// Records that may wait before nothing is begun any more that would add to them.
    most: u64,
    /// Records of little account that were left out because too many waited.
    left_out: u64,
}

impl<T> Ledger<T> {
    pub(crate) fn new(journal: Box<dyn Journal>, most: u64) -> Self {
        let waiting = VecDeque::new();
        Self { journal, appended: 0, durable: 0, waiting, most, left_out: 0 }
    }

    /// Records that are not durable yet.
    pub(crate) fn behind(&self) -> u64 {
        self.appended - self.durable
    }

    /// Whether nothing shall begin that ends in a record.
    ///
    /// What is up already is not counted: its records are taken whatever waits, so there are never
    /// more than this many and one for each leg.
    pub(crate) fn is_full(&self) -> bool {
        self.behind() >= self.most
    }

    pub(crate) const fn most(&self) -> u64 {
        self.most
    }

    pub(crate) fn set_most(&mut self, most: u64) {
        self.most = most;
    }

    /// Records left out because too many waited.
    pub(crate) const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Hands over a record; `then` is given back when it is durable.
    pub(crate) fn append(&mut self, record: Record, then: Option<T>) {
        self.journal.append(record);
        self.appended += 1;
        self.waiting.extend(then.map(|then| (self.appended, then)));
    }

    /// Hands over a record that may be left out when too many wait.
    pub(crate) fn append_if_room(&mut self, record: Record) {
        if self.is_full() {
            self.left_out += 1;
        } else {
            self.append(record, None);
        }
    }

    /// So many records are durable, of all that were handed over. What waited for them comes out.
    pub(crate) fn durable(&mut self, count: u64) -> Vec<T> {
        self.durable = count.min(self.appended).max(self.durable);
        let ready = self.waiting.partition_point(|(at, _)| *at <= self.durable);
        self.waiting.drain(..ready).map(|(_, then)| then).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use proptest::prelude::*;

    use super::*;

    struct Wire(mpsc::Sender<Record>);

    impl Journal for Wire {
        fn append(&mut self, record: Record) {
            let _ = self.0.send(record);
        }
    }

    fn record(number: usize) -> Record {
        Record::Unregistered { peer: number.to_string(), switch: None, registered: None }
    }

    #[test]
    fn only_what_may_be_left_out_is_left_out_when_too_many_wait() {
        let (sender, records) = mpsc::channel();
        let mut ledger = Ledger::new(Box::new(Wire(sender)), 2);
        ledger.append_if_room(record(0));
        assert!(!ledger.is_full());
        ledger.append_if_room(record(1));
        assert!(ledger.is_full());
        ledger.append_if_room(record(2));
        ledger.append(record(3), Some("third"));
        assert_eq!((ledger.behind(), ledger.left_out()), (3, 1));
        let handed: Vec<Record> = records.try_iter().collect();
        assert_eq!(handed, [record(0), record(1), record(3)]);
        assert_eq!(ledger.durable(2), [""; 0]);
        assert_eq!(ledger.durable(3), ["third"]);
        assert!(!ledger.is_full());
        // A report that comes twice, or late, changes nothing.
        assert_eq!(ledger.durable(1), [""; 0]);
        assert_eq!(ledger.behind(), 0);
    }

    proptest! {
        /// The process is killed at a random moment while a store takes batches of random size, fails
        /// and stalls at random: whatever was acknowledged is in the store.
        #[test]
        fn nothing_acknowledged_is_missing_in_the_store_after_a_kill(
            steps in prop::collection::vec(0_u8..5, 1..400),
            most in 1_u64..20,
        ) {
            let (sender, records) = mpsc::channel();
            let mut ledger = Ledger::new(Box::new(Wire(sender)), most);
            let (mut stored, mut batch): (Vec<Record>, Vec<Record>) = Default::default();
            let (mut number, mut reports) = (0, VecDeque::new());
            let mut acknowledged: Vec<usize> = Vec::new();
            for step in steps {
                match step {
                    // Something ends, or registers.
                    0 | 1 => {
                        number += 1;
                        ledger.append(record(number), Some(number));
                    }
                    // The writer takes what waits, unless its last batch has not got through.
                    2 if batch.is_empty() => batch.extend(records.try_iter()),
                    // The store takes the batch, and the report sets out. In any other step it
                    // fails or stalls, and the batch stays.
                    3 if !batch.is_empty() => {
                        stored.append(&mut batch);
                        reports.push_back(stored.len() as u64);
                    }
                    // A report arrives.
                    4 => {
                        if let Some(count) = reports.pop_front() {
                            acknowledged.extend(ledger.durable(count));
                        }
                    }
                    _ => {}
                }
                // Any moment may be the last.
                for number in &acknowledged {
                    prop_assert!(stored.contains(&record(*number)), "{number} was acknowledged");
                }
                let waiting = number - acknowledged.len();
                prop_assert!(waiting as u64 >= ledger.behind());
                prop_assert!(acknowledged.is_sorted());
            }
            // It was not killed: all of it gets through.
            stored.append(&mut batch);
            stored.extend(records.try_iter());
            acknowledged.extend(ledger.durable(stored.len() as u64));
            prop_assert_eq!(acknowledged.len(), number);
        }
    }
}
