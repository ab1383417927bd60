//! Writes what the switch hands over, on a thread of its own.
//!
//! While one batch is being written the next gathers, and for [`GATHERING`] after the last one began:
//! a busy store gets large batches and an idle one writes at once. A batch that fails is tried again
//! until it gets through.

use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use tokio::sync::{mpsc, oneshot};
use tokio::time::{self, Instant};

use super::{Record, Store};
use crate::ledger::Journal;
use crate::utc::Utc;

/// Least time from the beginning of one batch to that of the next. A commit costs more than the records
/// in it, and what waits for it (a HANGUP's or REGREQ's answer) may wait this long: peers send such a
/// message again after 100 ms at the soonest.
const GATHERING: Duration = Duration::from_millis(25);

/// Records in one batch.
const BATCH: usize = 2_000;

/// Pause before a batch is tried again: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How long a failing store is tried once the switch has stopped.
const LAST_TRIES: Duration = Duration::from_secs(10);

/// Time between two searches for records that are too old.
const PRUNING: Duration = Duration::from_secs(60);

/// Old records deleted at a time, so that new ones never wait long.
const PRUNED: u32 = 500;

/// The way from a switch to its writer.
///
/// ```
/// use std::sync::Arc;
///
/// use oneport_switch::Journal as _;
/// use oneport_switch::store::{CdrFilter, Paging, Record, Records, SqliteStore, Store};
///
/// # mod records { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/records.rs")); } use records::*;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Arc::new(SqliteStore::in_memory().await?);
/// let records = Records::default();
/// let mut sender = records.sender();
/// let writer = records.write_to(store.clone(), None, |count| println!("{count} are durable"))?;
/// sender.append(Record::Cdr(Box::new(cdr())));
/// // When nobody sends any more, it writes what is left and ends.
/// drop(sender);
/// writer.finished().await;
/// assert_eq!(store.cdrs(&CdrFilter::default(), Paging::default()).await?.records.len(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Records {
    sender: mpsc::UnboundedSender<Record>,
    receiver: mpsc::UnboundedReceiver<Record>,
}

/// The switch's end of it.
///
/// It takes all it is given: the switch begins nothing more when too much waits.
///
/// ```
/// use oneport_switch::Switch;
/// use oneport_switch::store::Records;
///
/// # mod switch { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/switch.rs")); } use switch::*;
/// let records = Records::default();
/// let mut switch = Switch::new(config(""));
/// switch.keep_records(records.sender(), Vec::new());
/// ```
#[derive(Clone, Debug)]
pub struct RecordSender(mpsc::UnboundedSender<Record>);

impl Journal for RecordSender {
    fn append(&mut self, record: Record) {
        // The writer ends after the last sender.
        let _ = self.0.send(record);
    }
}

/// A writer at work.
///
/// ```
/// use std::sync::Arc;
///
/// use oneport_switch::store::{Records, SqliteStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Arc::new(SqliteStore::in_memory().await?);
/// let writer = Records::default().write_to(store, None, |_| ())?;
/// // Nobody sends anything.
/// writer.finished().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Writer {
    ended: oneshot::Receiver<()>,
}

impl Default for Records {
    fn default() -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        Self { sender, receiver }
    }
}

impl Records {
    /// What a switch is given.
    #[must_use]
    pub fn sender(&self) -> RecordSender {
        RecordSender(self.sender.clone())
    }

    /// Begins to write to `store`. `report` is told how many records are durable, of all that came;
    /// those of legs that ended longer than `keep` ago are deleted bit by bit.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn write_to(
        self,
        store: Arc<dyn Store>,
        keep: Option<Duration>,
        report: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Writer> {
        let Self { sender, receiver } = self;
        // It ends when the last sender of a switch is gone.
        drop(sender);
        let (end, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let body = move || {
            let _end = end;
            runtime.block_on(work(receiver, &*store, keep, &report));
        };
        thread::Builder::new().name("records".into()).spawn(body)?;
        Ok(Writer { ended })
    }
}

impl Writer {
    /// Waits until all is written: after the switch has gone.
    pub async fn finished(self) {
        // An error says the same: its thread is gone.
        let _ = self.ended.await;
    }
}

async fn work(
    mut records: mpsc::UnboundedReceiver<Record>,
    store: &dyn Store,
    keep: Option<Duration>,
    report: &impl Fn(u64),
) {
    let mut batch = Vec::new();
    let mut durable = 0;
    let mut prunes = Instant::now();
    let mut begins = prunes;
    loop {
        let gathered = async {
            // A timer takes up to a millisecond even for a moment that is past.
            if Instant::now() < begins {
                time::sleep_until(begins).await;
            }
            records.recv_many(&mut batch, BATCH).await
        };
        tokio::select! {
            biased;
            count = gathered => {
                if count == 0 {
                    return;
                }
                begins = Instant::now() + GATHERING;
                if !write(&records, store, &batch).await {
                    while records.recv_many(&mut batch, BATCH).await > 0 {}
                    return lose(&batch);
                }
                durable += batch.len() as u64;
                batch.clear();
                report(durable);
            }
            () = time::sleep_until(prunes), if keep.is_some() => {}
        }
        if let Some(keep) = keep.filter(|_| prunes <= Instant::now()) {
            let pruned = store.prune(Utc::now().before(keep), PRUNED).await;
            let pruned = pruned.unwrap_or_else(|error| {
                tracing::warn!("{error}");
                0
            });
            // As long as there are more, they go between the batches.
            let more = pruned == u64::from(PRUNED);
            prunes = Instant::now() + if more { Duration::ZERO } else { PRUNING };
        }
    }
}

/// Writes a batch, again and again until it gets through; `false`: the switch has stopped, and it
/// did not.
async fn write(
    records: &mpsc::UnboundedReceiver<Record>,
    store: &dyn Store,
    batch: &[Record],
) -> bool {
    let mut pause = FIRST_PAUSE;
    let mut gives_up = None;
    loop {
        let Err(error) = store.write(batch).await else {
            if pause > FIRST_PAUSE {
                tracing::info!("records are written again");
            }
            return true;
        };
        if pause == FIRST_PAUSE || pause == LONGEST_PAUSE {
            let more = records.len();
            tracing::error!("{error}; {} records wait, and are tried again", batch.len() + more);
        }
        if records.sender_strong_count() == 0 {
            let until = *gives_up.get_or_insert_with(|| Instant::now() + LAST_TRIES);
            if until <= Instant::now() {
                return false;
            }
        }
        time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The store never took these, and the process ends: the log has them then.
fn lose(batch: &[Record]) {
    for record in batch {
        match record {
            Record::Cdr(cdr) => {
                let text = serde_json::to_string(cdr).unwrap_or_default();
                tracing::error!("not stored: {text}");
            }
            Record::Refusal(refusal) => tracing::error!("not stored: {refusal}"),
            Record::Registered(registration) => {
                tracing::warn!("not stored: registration of {}", registration.peer);
            }
            Record::Unregistered { peer, .. } => tracing::warn!("not stored: {peer} unregistered"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::store::{
        Answer, CdrFilter, Page, Paging, RefusalFilter, StoreError, StoredConfiguration,
        StoredRegistration, StoredUser,
    };
    use crate::{Cdr, Refusal, RefusalCount};

    /// Fails as often as it is told, and keeps what it gets then.
    #[derive(Default)]
    struct Moody {
        failures: AtomicU32,
        kept: Mutex<Vec<Record>>,
        batches: Mutex<Vec<usize>>,
    }

    impl Store for Moody {
        fn describe(&self) -> String {
            "a moody store".into()
        }

        fn write<'a>(&'a self, records: &'a [Record]) -> Answer<'a, ()> {
            Box::pin(async move {
                let less = |failures: u32| failures.checked_sub(1);
                let fails = self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
                if fails.is_ok() {
                    return Err(StoreError::new("cannot write", "it is moody"));
                }
                self.kept.lock().expect("whole").extend_from_slice(records);
                self.batches.lock().expect("whole").push(records.len());
                Ok(())
            })
        }

        fn registrations(&self) -> Answer<'_, Vec<StoredRegistration>> {
            Box::pin(async { Ok(Vec::new()) })
        }

        fn cdrs<'a>(&'a self, _: &'a CdrFilter, _: Paging) -> Answer<'a, Page<Cdr>> {
            Box::pin(async { Err(StoreError::new("cannot read", "it only writes")) })
        }

        fn refusals<'a>(&'a self, _: &'a RefusalFilter, _: Paging) -> Answer<'a, Page<Refusal>> {
            Box::pin(async { Err(StoreError::new("cannot read", "it only writes")) })
        }

        fn refusal_counts(&self) -> Answer<'_, Vec<RefusalCount>> {
            Box::pin(async { Ok(Vec::new()) })
        }

        fn raise_refusal_counts<'a>(&'a self, _: &'a [RefusalCount]) -> Answer<'a, ()> {
            Box::pin(async { Ok(()) })
        }

        fn users(&self) -> Answer<'_, Vec<StoredUser>> {
            Box::pin(async { Ok(Vec::new()) })
        }

        fn put_user<'a>(&'a self, _: &'a StoredUser) -> Answer<'a, ()> {
            Box::pin(async { Ok(()) })
        }

        fn remove_user<'a>(&'a self, _: &'a str) -> Answer<'a, bool> {
            Box::pin(async { Ok(false) })
        }

        fn configuration_behind(&self, _: i64) -> Answer<'_, Option<StoredConfiguration>> {
            Box::pin(async { Ok(None) })
        }

        fn put_configuration<'a>(&'a self, _: &'a StoredConfiguration) -> Answer<'a, bool> {
            Box::pin(async { Ok(false) })
        }

        fn prune(&self, _: Utc, _: u32) -> Answer<'_, u64> {
            Box::pin(async { Ok(0) })
        }
    }

    fn record(number: usize) -> Record {
        Record::Unregistered { peer: number.to_string(), switch: None, registered: None }
    }

    #[tokio::test]
    async fn a_batch_that_fails_is_tried_again_and_reported_only_when_it_is_written() {
        let store = Arc::new(Moody { failures: AtomicU32::new(3), ..Moody::default() });
        let records = Records::default();
        let mut sender = records.sender();
        let (told, mut reports) = mpsc::unbounded_channel();
        let seen = Arc::clone(&store);
        let report = move |count: u64| {
            let kept = seen.kept.lock().expect("whole").len();
            let _ = told.send((count, kept));
        };
        for number in 0..100 {
            sender.append(record(number));
        }
        let writer = records.write_to(store.clone(), None, report).expect("a thread");
        let mut last = 0;
        while last < 100 {
            let (count, kept) = reports.recv().await.expect("it works");
            assert!(count > last && kept as u64 >= count, "{count} reported, {kept} kept");
            last = count;
        }
        drop(sender);
        writer.finished().await;
        let kept = store.kept.lock().expect("whole");
        assert_eq!(*kept, (0..100).map(record).collect::<Vec<_>>(), "each once, in order");
    }

    #[tokio::test]
    async fn what_comes_while_a_batch_fails_goes_in_one_batch_then() {
        let store = Arc::new(Moody { failures: AtomicU32::new(u32::MAX), ..Moody::default() });
        let records = Records::default();
        let mut sender = records.sender();
        sender.append(record(0));
        let writer = records.write_to(store.clone(), None, |_| ()).expect("a thread");
        while store.failures.load(Ordering::SeqCst) == u32::MAX {
            tokio::task::yield_now().await;
        }
        for number in 1..1_000 {
            sender.append(record(number));
        }
        store.failures.store(0, Ordering::SeqCst);
        drop(sender);
        writer.finished().await;
        assert_eq!(*store.batches.lock().expect("whole"), [1, 999]);
    }

    #[tokio::test]
    async fn the_first_record_is_written_at_once_and_those_that_trickle_in_behind_it_together() {
        let store = Moody::default();
        let (sender, receiver) = mpsc::unbounded_channel();
        let trickle = async move {
            for number in 0..100 {
                sender.send(record(number)).expect("it is read");
                time::sleep(Duration::from_millis(1)).await;
            }
        };
        let begun = Instant::now();
        tokio::join!(work(receiver, &store, None, &|_| ()), trickle);
        let most = begun.elapsed().as_millis() / GATHERING.as_millis() + 2;
        let batches = store.batches.lock().expect("whole").clone();
        assert_eq!((batches.first(), batches.iter().sum()), (Some(&1), 100), "{batches:?}");
        assert!(batches.len() as u128 <= most, "no more than {most}: {batches:?}");
    }
}
