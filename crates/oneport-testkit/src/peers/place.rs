//! Places for tests with real peers: so many run at the same time on this machine, in whatever
//! process, and the others wait. More would only make each other late.

use std::cell::RefCell;
use std::fs::{self, File};
use std::path::Path;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::install::directory;

/// How long a test waits for its place before it gives up: whole suites may be ahead of it.
const PATIENCE: Duration = Duration::from_secs(3600);

thread_local! {
    /// The place of the test that runs in this thread.
    static OWN: RefCell<Weak<Place>> = const { RefCell::new(Weak::new()) };
}

/// A place, given back when the last peer that has it is gone, or its process.
#[derive(Debug)]
pub(crate) struct Place {
    /// Locked as long as the place is taken.
    _lock: File,
}

impl Place {
    /// The place of this thread's test, for which it waits when it has none yet. All peers of a test
    /// share one: a second could never be waited for without the danger of a deadlock.
    ///
    /// # Panics
    /// None is free for an hour, or the peers' directory cannot be written.
    pub(crate) fn take() -> Arc<Self> {
        OWN.with_borrow_mut(|own| {
            own.upgrade().unwrap_or_else(|| {
                let cores = thread::available_parallelism().map_or(1, usize::from);
                let place = Arc::new(Self::wait(&directory().join("places"), 2 * cores));
                *own = Arc::downgrade(&place);
                place
            })
        })
    }

    /// Waits until one of `count` files of `directory` can be locked.
    fn wait(directory: &Path, count: usize) -> Self {
        fs::create_dir_all(directory).expect("the peers' directory is writable");
        let start = Instant::now();
        loop {
            for number in 0..count {
                let file = File::create(directory.join(number.to_string()));
                let file = file.expect("the peers' directory is writable");
                if file.try_lock().is_ok() {
                    return Self { _lock: file };
                }
            }
            assert!(start.elapsed() < PATIENCE, "no place free in {}", directory.display());
            thread::sleep(Duration::from_millis(200));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_places_are_taken_than_there_are_and_each_is_given_back() {
        let directory = std::env::temp_dir().join(format!("oneport-places-{}", std::process::id()));
        let first = Place::wait(&directory, 2);
        let second = Place::wait(&directory, 2);
        let waiting = {
            let directory = directory.clone();
            thread::spawn(move || Place::wait(&directory, 2))
        };
        thread::sleep(Duration::from_millis(500));
        assert!(!waiting.is_finished());
        drop(first);
        let third = waiting.join().expect("it gets the one that is free again");
        drop((second, third));
        let _ = fs::remove_dir_all(directory);
    }

    #[test]
    fn peers_of_one_test_share_a_place() {
        let one = Place::take();
        assert!(Arc::ptr_eq(&one, &Place::take()));
    }
}
