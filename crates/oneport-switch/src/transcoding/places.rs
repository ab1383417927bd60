//! How many calls may be transcoded: between two legs of the switch, or between a leg and a stream of RTP.
//! They share one limit, on whatever thread they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

#[derive(Debug)]
struct Shared {
    taken: AtomicUsize,
    most: AtomicUsize,
}

/// Places for calls that are transcoded. Clones refer to the same ones.
#[derive(Clone, Debug)]
pub(crate) struct Places(Arc<Shared>);

impl Default for Places {
    /// As many as anybody wants.
    fn default() -> Self {
        Self::new(usize::MAX)
    }
}

impl Places {
    /// So many.
    #[must_use]
    pub(crate) fn new(most: usize) -> Self {
        Self(Arc::new(Shared { taken: AtomicUsize::new(0), most: AtomicUsize::new(most) }))
    }

    /// Another number of them. Whoever has one keeps it.
    pub(crate) fn set_most(&self, most: usize) {
        self.0.most.store(most, Ordering::Relaxed);
    }

    /// How many are taken.
    #[must_use]
    pub(crate) fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Relaxed)
    }

    /// Whether one is free.
    #[must_use]
    pub(crate) fn has_room(&self) -> bool {
        self.taken() < self.0.most.load(Ordering::Relaxed)
    }

    /// Takes one, if there is one.
    fn take(&self) -> bool {
        let most = self.0.most.load(Ordering::Relaxed);
        let one_more = |taken: usize| (taken < most).then(|| taken + 1);
        let Shared { taken, .. } = &*self.0;
        taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }
}

/// What a call has a place by, when it takes one: it is given back with this.
#[derive(Debug, Default)]
pub(crate) struct Ticket {
    places: Places,
    has: AtomicBool,
}

impl Ticket {
    /// One without a place as yet.
    pub(crate) fn new(places: &Places) -> Self {
        Self { places: places.clone(), has: AtomicBool::new(false) }
    }

    /// Takes a place, if there is one or it has one.
    pub(crate) fn take(&self) -> bool {
        if self.has.load(Ordering::Relaxed) {
            return true;
        }
        let has = self.places.take();
        self.has.store(has, Ordering::Relaxed);
        has
    }

    /// The same call, among other places: whoever has one has one there, too, even where none is free.
    pub(crate) fn moved_to(&self, places: &Places) -> Self {
        let has = self.has.load(Ordering::Relaxed);
        if has {
            places.0.taken.fetch_add(1, Ordering::Relaxed);
        }
        Self { places: places.clone(), has: AtomicBool::new(has) }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if *self.has.get_mut() {
            self.places.0.taken.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_one_place_however_often_it_asks_and_gives_it_back_when_it_ends() {
        let places = Places::new(1);
        let (one, other) = (Ticket::new(&places), Ticket::new(&places));
        assert!(one.take() && one.take());
        assert!(!other.take() && !places.has_room());
        drop(one);
        assert!(other.take());
        assert_eq!(places.taken(), 1);
        let elsewhere = Places::new(0);
        let moved = other.moved_to(&elsewhere);
        drop(other);
        assert_eq!((places.taken(), elsewhere.taken()), (0, 1));
        drop(moved);
        assert_eq!(elsewhere.taken(), 0);
    }
}
