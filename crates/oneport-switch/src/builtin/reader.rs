//! Files to be played, read on threads of their own: a slow disk must not hold up calls.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use oneport_media::wav;
use oneport_proto::{CallId, Instant};

/// Files that are read at once; one that hangs, as on a lost network disk, holds up no other.
const READERS: usize = 4;

/// How soon it is looked whether a file has been read.
const LOOK: Duration = Duration::from_millis(2);

/// A file that a call waits for.
struct Order {
    call: CallId,
    path: PathBuf,
    rate: u32,
}

/// A file that was read, or what kept it from being read.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) call: CallId,
    path: PathBuf,
    rate: u32,
    samples: Result<Vec<i16>, String>,
}

impl Read {
    /// What was asked for, if this is it: the file at `path`, at so many samples a second.
    pub(crate) fn of(
        self,
        call: CallId,
        path: &Path,
        rate: u32,
    ) -> Option<Result<Vec<i16>, String>> {
        let same = (self.call, &*self.path, self.rate) == (call, path, rate);
        same.then_some(self.samples)
    }
}

/// Reads files for calls.
#[derive(Default)]
pub(crate) struct Reader {
    threads: Option<(mpsc::Sender<Order>, mpsc::Receiver<Read>)>,
    waiting: usize,
    look: Option<Instant>,
}

impl Reader {
    /// Reads a file for a call; [`poll`](Self::poll) gives it.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn ask(
        &mut self,
        now: Instant,
        call: CallId,
        path: PathBuf,
        rate: u32,
    ) -> Result<(), String> {
        let threads = match self.threads.take() {
            Some(threads) => threads,
            None => start().map_err(|error| format!("files cannot be read: {error}"))?,
        };
        // The threads live as long as this.
        let _ = threads.0.send(Order { call, path, rate });
        self.threads = Some(threads);
        self.waiting += 1;
        self.look = Some(now + LOOK);
        Ok(())
    }

    /// When to poll, while anything is awaited.
    pub(crate) const fn next(&self) -> Option<Instant> {
        self.look
    }

    /// The next file that has been read.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Read> {
        let read = self.threads.as_ref().and_then(|(_, read)| read.try_recv().ok());
        if read.is_some() {
            self.waiting = self.waiting.saturating_sub(1);
        }
        self.look = (self.waiting > 0).then_some(now + LOOK);
        read
    }
}

fn start() -> std::io::Result<(mpsc::Sender<Order>, mpsc::Receiver<Read>)> {
    let (sender, orders) = mpsc::channel::<Order>();
    let (done, read) = mpsc::channel();
    let orders = Arc::new(Mutex::new(orders));
    for _ in 0..READERS {
        let (orders, done) = (orders.clone(), done.clone());
        let next = move || orders.lock().unwrap_or_else(PoisonError::into_inner).recv();
        thread::Builder::new().name("files".into()).spawn(move || {
            while let Ok(Order { call, path, rate }) = next() {
                let samples = wav::read(&path, rate).map_err(|error| error.to_string());
                if done.send(Read { call, path, rate, samples }).is_err() {
                    return;
                }
            }
        })?;
    }
    Ok((sender, read))
}
