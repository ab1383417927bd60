//! A store that may go away for a while: what is written meanwhile waits in a [`Queue`] on this machine's disk,
//! where it is as durable, and follows when the store is back, in its order.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Mutex as Turn, Notify};
use tokio::task::JoinHandle;
use tokio::time;

use super::queue::Queue;
use super::registrations;
use super::{
    Answer, CdrFilter, Page, Paging, QueueReport, Record, RefusalFilter, Store, StoreError,
    StoredConfiguration, StoredRegistration, StoredUser,
};
use crate::cdr::Cdr;
use crate::refusal::{Refusal, RefusalCount};
use crate::utc::Utc;

/// How long the store has for a batch before the queue takes it: peers wait for the answer.
const DIRECT: Duration = Duration::from_secs(2);

/// Records that follow at a time.
const FOLLOWING: u32 = 2_000;

/// Pause before the store is asked again: the first, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Between two looks whether the store says who is registered.
const NEXT_LOOK: Duration = Duration::from_secs(1);

/// The store and the queue before it.
///
/// ```
/// use std::sync::Arc;
///
/// use oneport_switch::store::{QueuedStore, SqliteStore, Store};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let directory = tempfile::tempdir()?;
/// let inner = Arc::new(SqliteStore::in_memory().await?);
/// let store = QueuedStore::new(inner, &directory.path().join("queue.db"), 10_000).await?;
/// let queue = store.queue().ok_or("there is one")?;
/// assert_eq!((queue.waiting, queue.most, queue.outage), (0, 10_000, None));
/// # Ok(())
/// # }
/// ```
pub struct QueuedStore {
    inner: Arc<dyn Store>,
    queue: Queue,
    /// Records that may wait in the queue.
    most: u64,
    /// Those that do.
    waiting: AtomicU64,
    /// Held by whoever writes to the store itself, so that nothing overtakes what waits.
    turn: Turn<()>,
    /// Since when the store takes nothing, and what it says.
    outage: Mutex<Option<(Utc, String)>>,
    /// Something waits.
    filled: Notify,
    /// The store has not said yet who is registered.
    is_unread: AtomicBool,
    /// Lets follow what waits; `None`: it is closed.
    follower: Mutex<Option<JoinHandle<()>>>,
}

impl QueuedStore {
    /// Puts the queue in the file `path` before `inner`, with `most` records in it at most. What was in it
    /// already follows. It must be made within a runtime of tokio, and works as long as that runs.
    ///
    /// # Errors
    /// The file cannot be opened or made.
    pub async fn new(
        inner: Arc<dyn Store>,
        path: &Path,
        most: u64,
    ) -> Result<Arc<Self>, StoreError> {
        let queue = Queue::open(path).await?;
        let waiting = queue.count().await?;
        let (turn, outage, filled) = (Turn::new(()), Mutex::new(None), Notify::new());
        let (waiting, is_unread) = (AtomicU64::new(waiting), AtomicBool::new(false));
        let follower = Mutex::new(None);
        let this = Self { inner, queue, most, waiting, turn, outage, filled, is_unread, follower };
        let this = Arc::new(this);
        let follower = tokio::spawn(follow(Arc::downgrade(&this)));
        *this.follower.lock().unwrap_or_else(PoisonError::into_inner) = Some(follower);
        Ok(this)
    }

    /// Records that wait in the file `path`, which need not be there.
    ///
    /// # Errors
    /// It is no such file.
    pub async fn waiting_in(path: &Path) -> Result<u64, StoreError> {
        if path.exists() { Queue::open(path).await?.count().await } else { Ok(0) }
    }

    /// What has not followed stays, and what was about to is known by its ids when it comes again.
    async fn close(&self) -> Result<(), StoreError> {
        let follower = self.follower.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(follower) = follower {
            follower.abort();
            // An error says that it was about to do something.
            let _ = follower.await;
        }
        let closed = self.queue.close().await;
        closed.and(self.inner.close().await)
    }

    fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::SeqCst)
    }

    /// The store does not answer, or takes nothing.
    fn lost(&self, error: &StoreError) {
        self.note(error, |before| before.is_none(), "until it is back");
    }

    /// The queue itself fails. The same is said once.
    fn is_stuck(&self, error: &StoreError) {
        let text = error.to_string();
        self.note(error, |before| before != Some(&text), "and do not follow");
    }

    fn note(&self, error: &StoreError, is_news: impl Fn(Option<&String>) -> bool, how: &str) {
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        let since = outage.as_ref().map(|(since, _)| *since);
        if is_news(outage.as_ref().map(|(_, why)| why)) {
            tracing::error!("{error}; records wait on the disk of this machine {how}");
        }
        let since = since.unwrap_or_else(Utc::now);
        *outage = Some((since, error.to_string()));
    }

    /// All that waited has followed.
    fn caught_up(&self) {
        let outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((since, _)) = outage {
            let seconds = Utc::now().since(since).as_secs();
            let place = self.inner.describe();
            tracing::info!("{place} is back after {seconds} s, and has all records");
        }
    }

    async fn write_through(&self, records: &[Record]) -> Result<(), StoreError> {
        let written = time::timeout(DIRECT, self.inner.write(records)).await;
        written.unwrap_or_else(|_| {
            let doing = format!("cannot write to {}", self.inner.describe());
            Err(StoreError::new(doing, format!("no answer within {} s", DIRECT.as_secs())))
        })
    }

    async fn write(&self, records: &[Record]) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        let _turn = self.turn.lock().await;
        if self.waiting() == 0 {
            match self.write_through(records).await {
                Ok(()) => {
                    self.caught_up();
                    return Ok(());
                }
                Err(error) => self.lost(&error),
            }
        }
        let count = records.len() as u64;
        if self.waiting() + count > self.most {
            let why = format!("{} records wait in it, and more may not", self.waiting());
            return Err(StoreError::new("cannot write to the queue before the database", why));
        }
        self.queue.append(records).await?;
        self.waiting.fetch_add(count, Ordering::SeqCst);
        self.filled.notify_one();
        Ok(())
    }

    /// Who is registered, by the store and by what waits for it. Of a store that does not answer, what waits
    /// is known all the same.
    async fn registered(&self) -> Result<Vec<StoredRegistration>, StoreError> {
        let _turn = self.turn.lock().await;
        let stored = self.inner.registrations().await;
        self.is_unread.store(stored.is_err(), Ordering::SeqCst);
        if let Err(error) = &stored {
            self.lost(error);
        }
        let stored = stored.unwrap_or_default();
        let mut there: BTreeMap<String, StoredRegistration> =
            stored.into_iter().map(|one| (one.peer.clone(), one)).collect();
        let mut after = 0;
        while let Some(batch) = self.queue.first(after, FOLLOWING).await? {
            after = batch.last;
            registrations::bring_up(&mut there, &batch.records);
        }
        Ok(there.into_values().collect())
    }

    /// The same, once the store answers. Until then nobody who writes waits for it.
    async fn registered_at_last(&self) -> Result<Vec<StoredRegistration>, StoreError> {
        loop {
            time::sleep(NEXT_LOOK).await;
            if self.inner.registrations().await.is_ok() {
                let all = self.registered().await?;
                if !self.is_unread.load(Ordering::SeqCst) {
                    return Ok(all);
                }
            }
        }
    }

    /// Lets the first that wait follow; `false`: none waits.
    async fn follow(&self) -> Result<bool, StoreError> {
        let first = self.queue.first(0, FOLLOWING).await;
        let Some(batch) = first.inspect_err(|error| self.is_stuck(error))? else {
            return Ok(false);
        };
        self.inner.write(&batch.records).await.inspect_err(|error| self.lost(error))?;
        let _turn = self.turn.lock().await;
        let removed = self.queue.remove(batch.last).await;
        let left = removed.inspect_err(|error| self.is_stuck(error))?;
        self.waiting.store(left, Ordering::SeqCst);
        if left == 0 {
            self.caught_up();
        }
        Ok(true)
    }
}

/// Lets follow what waits, as long as there is somebody who writes.
async fn follow(store: Weak<QueuedStore>) {
    let mut pause = FIRST_PAUSE;
    while let Some(store) = store.upgrade() {
        match store.follow().await {
            Ok(true) => pause = FIRST_PAUSE,
            Ok(false) => {
                // It looks up now and then whether it is still needed.
                let _ = time::timeout(LONGEST_PAUSE, store.filled.notified()).await;
            }
            Err(error) => {
                tracing::debug!("{error}");
                drop(store);
                time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

impl Store for QueuedStore {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn queue(&self) -> Option<QueueReport> {
        let outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Some(QueueReport { waiting: self.waiting(), most: self.most, outage })
    }

    fn write<'a>(&'a self, records: &'a [Record]) -> Answer<'a, ()> {
        Box::pin(self.write(records))
    }

    fn registrations(&self) -> Answer<'_, Vec<StoredRegistration>> {
        Box::pin(self.registered())
    }

    fn missing_registrations(&self) -> Option<Answer<'_, Vec<StoredRegistration>>> {
        let is_unread = self.is_unread.load(Ordering::SeqCst);
        is_unread.then(|| -> Answer<'_, _> { Box::pin(self.registered_at_last()) })
    }

    fn cdrs<'a>(&'a self, filter: &'a CdrFilter, paging: Paging) -> Answer<'a, Page<Cdr>> {
        self.inner.cdrs(filter, paging)
    }

    fn refusals<'a>(
        &'a self,
        filter: &'a RefusalFilter,
        paging: Paging,
    ) -> Answer<'a, Page<Refusal>> {
        self.inner.refusals(filter, paging)
    }

    fn refusal_counts(&self) -> Answer<'_, Vec<RefusalCount>> {
        self.inner.refusal_counts()
    }

    fn raise_refusal_counts<'a>(&'a self, counts: &'a [RefusalCount]) -> Answer<'a, ()> {
        self.inner.raise_refusal_counts(counts)
    }

    fn users(&self) -> Answer<'_, Vec<StoredUser>> {
        self.inner.users()
    }

    fn put_user<'a>(&'a self, user: &'a StoredUser) -> Answer<'a, ()> {
        self.inner.put_user(user)
    }

    fn remove_user<'a>(&'a self, name: &'a str) -> Answer<'a, bool> {
        self.inner.remove_user(name)
    }

    fn configuration_behind(&self, version: i64) -> Answer<'_, Option<StoredConfiguration>> {
        self.inner.configuration_behind(version)
    }

    fn put_configuration<'a>(&'a self, version: &'a StoredConfiguration) -> Answer<'a, bool> {
        self.inner.put_configuration(version)
    }

    fn prune(&self, before: Utc, most: u32) -> Answer<'_, u64> {
        self.inner.prune(before, most)
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(self.close())
    }
}
