//! When each slot needs attention next.
//!
//! Every slot keeps its own deadlines; here is one heap of each slot's earliest, with lazy
//! deletion: a deadline that moves back leaves a stale entry that finds nothing to do.

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;

use crate::clock::Instant;

/// A wake-up for a slot, as long as the generation still fits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct WakeUp {
    pub(crate) at: Instant,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// The wake-ups of an endpoint, earliest first.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<WakeUp>>,
}

impl Timers {
    /// Wakes a slot at `at`. `scheduled` is the slot's own note of its earliest entry here, which
    /// keeps the heap from filling with later ones.
    pub(crate) fn schedule(
        &mut self,
        at: Option<Instant>,
        scheduled: &mut Option<Instant>,
        slot: u32,
        generation: u32,
    ) {
        let Some(at) = at else { return };
        if scheduled.is_some_and(|earlier| earlier <= at) {
            return;
        }
        *scheduled = Some(at);
        self.heap.push(Reverse(WakeUp { at, slot, generation }));
    }

    /// The earliest wake-up.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(wake_up)| wake_up.at)
    }

    /// Takes a wake-up that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<WakeUp> {
        let Reverse(wake_up) = self.heap.peek().copied()?;
        if wake_up.at > now {
            return None;
        }
        self.heap.pop();
        Some(wake_up)
    }
}
