//! What a test may look at: how much an endpoint holds, and whether its tables agree.

use alloc::format;
use alloc::string::String;

use crate::endpoint::Endpoint;
use crate::slots::Role;

impl Endpoint {
    /// Calls, requests, standing registrations and polls held, those that rest included. Nothing of
    /// it comes from an address that has proved nothing, unless the rules for call tokens let it.
    #[must_use]
    pub fn held(&self) -> usize {
        self.slots.len()
    }

    /// Whether the tables agree with one another: each entry of the index leads to a slot that has
    /// that address and number, each number of a slot is in the index, and each slot that waits for
    /// something is woken in time, and has been so far. `None`: they do. It looks at everything, so it
    /// is for tests.
    #[must_use]
    pub fn inconsistency(&self) -> Option<String> {
        let index = &self.cx.index;
        let (mut ours_found, mut theirs_found, mut numbered) = (0, 0, 0);
        for (place, slot) in self.slots.all() {
            for (remote, ours, theirs) in slot.role.numbers().into_iter().flatten() {
                if index.find_by_ours(remote, ours) != Some(place) {
                    return Some(format!("slot {place}: {remote} {ours} leads elsewhere"));
                }
                ours_found += 1;
                // A number that the peer uses anew belongs to what is newer.
                let leads_here = theirs
                    .is_some_and(|theirs| index.find_by_theirs(remote, theirs) == Some(place));
                theirs_found += usize::from(leads_here);
            }
            if let Role::Call(call) = &slot.role {
                if call.voice_in.encrypted != call.exchange.crypt.is_some() {
                    return Some(format!("slot {place}: does not know whether it has keys"));
                }
                if !self.cx.numbers.has(&call.exchange, place) {
                    return Some(format!("slot {place}: not found by its numbers"));
                }
                numbered += usize::from(call.exchange.theirs.is_some());
            }
            let deadline = slot.role.deadline(&self.cx);
            if let Some(deadline) = deadline
                && slot.scheduled.is_none_or(|wakes| wakes > deadline)
            {
                return Some(format!("slot {place} sleeps beyond its deadline"));
            }
            let waits = matches!(slot.role, Role::Free | Role::Registration(_));
            if deadline.is_none() && !waits {
                return Some(format!("slot {place} waits for nothing"));
            }
        }
        let by_numbers = self.cx.numbers.sizes();
        if by_numbers != (numbered, numbered) {
            return Some(format!("{by_numbers:?} calls by numbers, and there are {numbered}"));
        }
        let (by_ours, by_theirs, per_address) = index.sizes();
        if (by_ours, by_theirs, per_address) != (ours_found, theirs_found, ours_found) {
            return Some(format!(
                "index: {by_ours} numbers of ours, {by_theirs} of theirs, {per_address} by address; \
                 slots have {ours_found} and {theirs_found}"
            ));
        }
        match self.cx.counters.deadlines_missed {
            0 => None,
            missed => {
                Some(format!("{missed} deadlines were still past after they were dealt with"))
            }
        }
    }
}
