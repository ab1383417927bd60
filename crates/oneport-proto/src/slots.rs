//! Where an endpoint keeps what it holds: calls, requests, registrations, polls.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use oneport_wire::{CallNumber, ElementBuffer};

use crate::call::Call;
use crate::clock::Instant;
use crate::context::Context;
use crate::exchange::Exchange;
use crate::firmware::{Fetch, Serving};
use crate::id::CallId;
use crate::poke::Poke;
use crate::provision::{Provisioned, Provisioning};
use crate::registration::{Registering, Registration};
use crate::request::Request;
use crate::resting::Resting;
use crate::transfer::Transfer;

/// How long a slot waits whose deadline its own handling has left behind.
const PUT_OFF: Duration = Duration::from_millis(1);

/// An address, our number towards it, and its number, once that is known.
pub(crate) type Numbers = (SocketAddr, CallNumber, Option<CallNumber>);

/// What a slot is used for. A call is held by its slot itself, so that what voice needs of many calls
/// lies in few pages of memory.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "voice shall find a call by one address; what rests fits in the room of a call, others are few or small"
)]
pub(crate) enum Role {
    Free,
    Call(Call),
    Request(Box<Request>),
    Registration(Box<Registration>),
    Registering(Box<Registering>),
    Poke(Box<Poke>),
    Fetch(Box<Fetch>),
    Serving(Box<Serving>),
    Provisioning(Box<Provisioning>),
    Provisioned(Box<Provisioned>),
    Resting(Resting),
}

impl Role {
    pub(crate) fn exchange_mut(&mut self) -> Option<&mut Exchange> {
        match self {
            Self::Call(call) => Some(&mut call.exchange),
            Self::Request(request) => Some(&mut request.exchange),
            Self::Registering(registering) => Some(&mut registering.exchange),
            Self::Fetch(fetch) => Some(&mut fetch.exchange),
            Self::Serving(serving) => Some(&mut serving.exchange),
            Self::Provisioning(provisioning) => Some(&mut provisioning.exchange),
            Self::Provisioned(provisioned) => Some(&mut provisioned.exchange),
            Self::Resting(resting) => Some(&mut resting.exchange),
            Self::Free | Self::Registration(_) | Self::Poke(_) => None,
        }
    }

    fn exchange(&self) -> Option<&Exchange> {
        match self {
            Self::Call(call) => Some(&call.exchange),
            Self::Request(request) => Some(&request.exchange),
            Self::Registering(registering) => Some(&registering.exchange),
            Self::Fetch(fetch) => Some(&fetch.exchange),
            Self::Serving(serving) => Some(&serving.exchange),
            Self::Provisioning(provisioning) => Some(&provisioning.exchange),
            Self::Provisioned(provisioned) => Some(&provisioned.exchange),
            Self::Resting(resting) => Some(&resting.exchange),
            Self::Free | Self::Registration(_) | Self::Poke(_) => None,
        }
    }

    /// The addresses and numbers by which it is found: those of its exchange or poll, and those of
    /// the other end of a transfer.
    pub(crate) fn numbers(&self) -> [Option<Numbers>; 2] {
        let own = match self {
            Self::Poke(poke) => Some((poke.path.remote, poke.ours, None)),
            _ => self
                .exchange()
                .map(|exchange| (exchange.path.remote, exchange.ours, exchange.theirs)),
        };
        let other = match self {
            Self::Call(call) => {
                let transfer = call.transfer.as_deref().and_then(Transfer::other_end);
                transfer.map(|(remote, theirs)| (remote, call.exchange.ours, theirs))
            }
            _ => None,
        };
        [own, other]
    }

    pub(crate) fn deadline(&self, cx: &Context) -> Option<Instant> {
        match self {
            Self::Free => None,
            Self::Call(call) => call.deadline(cx),
            Self::Request(request) => request.deadline(cx),
            Self::Registration(registration) => registration.deadline(),
            Self::Registering(registering) => registering.deadline(cx),
            Self::Poke(poke) => Some(poke.deadline),
            Self::Fetch(fetch) => fetch.deadline(cx),
            Self::Serving(serving) => serving.deadline(cx),
            Self::Provisioning(provisioning) => provisioning.deadline(cx),
            Self::Provisioned(provisioned) => provisioned.deadline(cx),
            Self::Resting(resting) => Some(resting.deadline(cx)),
        }
    }
}

/// One place, used again and again; its generation tells old handles and wake-ups apart.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Slot {
    pub(crate) generation: u32,
    /// The peer has not shown that it receives at its address.
    pub(crate) unvalidated: bool,
    pub(crate) role: Role,
    /// Its earliest entry among the timers.
    pub(crate) scheduled: Option<Instant>,
}

/// Slots that stand together in memory.
const CHUNK: usize = 32;

/// All places that there are. They stay where they are when there are more of them.
#[derive(Debug, Default)]
struct Chunks {
    /// Full ones of [`CHUNK`] slots, and the last.
    chunks: Vec<Vec<Slot>>,
}

impl Chunks {
    fn len(&self) -> usize {
        let last = self.chunks.last().map_or(CHUNK, Vec::len);
        (self.chunks.len() * CHUNK + last).saturating_sub(CHUNK)
    }

    fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.chunks.iter().flatten()
    }

    fn get(&self, index: u32) -> Option<&Slot> {
        let index = index as usize;
        self.chunks.get(index / CHUNK)?.get(index % CHUNK)
    }

    fn get_mut(&mut self, index: u32) -> Option<&mut Slot> {
        let index = index as usize;
        self.chunks.get_mut(index / CHUNK)?.get_mut(index % CHUNK)
    }

    fn push(&mut self, slot: Slot) {
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk.push(slot),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(slot);
                self.chunks.push(chunk);
            }
        }
    }
}

/// All slots.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    slots: Chunks,
    free: Vec<u32>,
    pub(crate) live_calls: usize,
    pub(crate) unvalidated: usize,
    pub(crate) registrations: usize,
}

impl Slots {
    /// All places.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u32, &Slot)> {
        (0_u32..).zip(self.slots.iter())
    }

    /// All calls.
    pub(crate) fn calls(&self) -> Vec<CallId> {
        let calls = self.all().filter(|(_, slot)| matches!(slot.role, Role::Call(_)));
        calls.map(|(slot, place)| CallId { slot, generation: place.generation }).collect()
    }

    /// The handle of the call in a slot, where it holds one.
    pub(crate) fn call_at(&self, index: u32) -> Option<CallId> {
        let slot = self.slots.get(index)?;
        let handle = CallId { slot: index, generation: slot.generation };
        matches!(slot.role, Role::Call(_)).then_some(handle)
    }

    /// The call in a slot, where it holds one.
    pub(crate) fn call(&self, index: u32) -> Option<&Call> {
        match &self.slots.get(index)?.role {
            Role::Call(call) => Some(call),
            _ => None,
        }
    }

    /// Whether we are registered at `remote` now.
    pub(crate) fn is_registered_at(&self, now: Instant, remote: SocketAddr) -> bool {
        let registrations = self.slots.iter().filter_map(|slot| match &slot.role {
            Role::Registration(registration) => Some(registration),
            _ => None,
        });
        // They stand among the first slots, as a rule; the search ends with the last of them.
        registrations.take(self.registrations).any(|registration| {
            registration.config.to == remote
                && registration.held_until.is_some_and(|until| until > now)
        })
    }

    /// Whether we are in a call with `remote`, which has shown that it receives there. It looks at
    /// all slots, so it is for those who have few.
    pub(crate) fn is_in_call_with(&self, remote: SocketAddr) -> bool {
        self.slots.iter().any(|slot| match &slot.role {
            Role::Call(call) => call.exchange.path.remote == remote && call.exchange.confirmed,
            _ => false,
        })
    }

    /// Whether nothing waits for an acknowledgement, or for the number of a peer that is to hear of an end.
    pub(crate) fn are_settled(&self) -> bool {
        self.slots.iter().all(|slot| match &slot.role {
            Role::Resting(resting) => resting.is_settled(),
            role => role.exchange().is_none_or(Exchange::is_settled),
        })
    }

    /// How many are in use.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The place that the next [`insert`](Self::insert) uses.
    pub(crate) fn vacant(&self) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "bounded by the limit of calls")]
        let next = self.slots.len() as u32;
        self.free.last().copied().unwrap_or(next)
    }

    pub(crate) fn insert(&mut self, role: Role, unvalidated: bool) -> (u32, u32) {
        match role {
            Role::Call(_) => self.live_calls += 1,
            Role::Registration(_) => self.registrations += 1,
            _ => {}
        }
        self.unvalidated += usize::from(unvalidated);
        let index = self.vacant();
        match self.free.pop().and_then(|free| self.slots.get_mut(free)) {
            Some(slot) => {
                slot.role = role;
                slot.unvalidated = unvalidated;
                (index, slot.generation)
            }
            None => {
                self.slots.push(Slot { generation: 0, unvalidated, scheduled: None, role });
                (index, 0)
            }
        }
    }

    pub(crate) fn at(&mut self, index: u32) -> Option<&mut Slot> {
        self.slots.get_mut(index)
    }

    /// The slot of a handle, if that is still good.
    pub(crate) fn get(&self, index: u32, generation: u32) -> Option<&Slot> {
        self.slots.get(index).filter(|slot| slot.generation == generation)
    }

    pub(crate) fn get_mut(&mut self, index: u32, generation: u32) -> Option<&mut Slot> {
        self.slots.get_mut(index).filter(|slot| slot.generation == generation)
    }

    /// Empties a slot; old handles of it find nothing from now on.
    pub(crate) fn free(&mut self, index: u32) -> Option<Role> {
        let slot = self.slots.get_mut(index)?;
        let before = core::mem::replace(&mut slot.role, Role::Free);
        match before {
            Role::Free => return None,
            Role::Call(_) => self.live_calls -= 1,
            Role::Registration(_) => self.registrations -= 1,
            _ => {}
        }
        slot.generation = slot.generation.wrapping_add(1);
        slot.scheduled = None;
        self.unvalidated -= usize::from(core::mem::take(&mut slot.unvalidated));
        self.free.push(index);
        Some(before)
    }

    /// Lets the exchange of what a slot holds rest until its number is free again.
    pub(crate) fn rest(&mut self, index: u32, until: Instant, farewell: Option<ElementBuffer>) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let exchange = match core::mem::replace(&mut slot.role, Role::Free) {
            Role::Call(call) => {
                self.live_calls -= 1;
                call.exchange
            }
            Role::Request(request) => request.exchange,
            Role::Registering(registering) => registering.exchange,
            Role::Fetch(fetch) => fetch.exchange,
            Role::Serving(serving) => serving.exchange,
            Role::Provisioning(provisioning) => provisioning.exchange,
            Role::Provisioned(provisioned) => provisioned.exchange,
            other => {
                slot.role = other;
                return;
            }
        };
        slot.generation = slot.generation.wrapping_add(1);
        slot.scheduled = None;
        slot.role = Role::Resting(Resting::new(exchange, until, farewell));
    }

    /// Whether what a slot holds is encrypted.
    pub(crate) fn is_encrypted(&self, index: u32) -> bool {
        match self.slots.get(index).map(|slot| &slot.role) {
            Some(Role::Call(call)) => call.voice_in.encrypted,
            Some(role) => role.exchange().is_some_and(|exchange| exchange.crypt.is_some()),
            None => false,
        }
    }

    /// The address of the peer that a slot's exchange is with.
    pub(crate) fn remote(&self, index: u32) -> Option<SocketAddr> {
        Some(self.slots.get(index)?.role.exchange()?.path.remote)
    }

    /// Notes when a slot that was just woken needs attention next, and never at the same moment: a
    /// deadline that its handling leaves behind is our mistake, and shall cost a wake-up each
    /// millisecond rather than hang the endpoint.
    pub(crate) fn schedule_later(&mut self, cx: &mut Context, index: u32, now: Instant) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let mut deadline = slot.role.deadline(cx);
        if deadline.is_some_and(|deadline| deadline <= now) {
            cx.counters.deadlines_missed += 1;
            deadline = Some(now + PUT_OFF);
            // What is noted for this moment finds nothing to do.
            slot.scheduled = None;
        }
        cx.timers.schedule(deadline, &mut slot.scheduled, index, slot.generation);
    }

    /// Notes when a slot needs attention next.
    pub(crate) fn schedule(&mut self, cx: &mut Context, index: u32) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let deadline = slot.role.deadline(cx);
        cx.timers.schedule(deadline, &mut slot.scheduled, index, slot.generation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_found_by_their_numbers_and_stay_where_they_are() {
        let mut chunks = Chunks::default();
        assert_eq!((chunks.len(), chunks.get(0).is_none()), (0, true));
        let mut places = Vec::new();
        for generation in 0..1_000 {
            let slot = Slot { generation, unvalidated: false, scheduled: None, role: Role::Free };
            chunks.push(slot);
            places.push(core::ptr::from_ref(chunks.get(generation).unwrap()));
            assert_eq!(chunks.len(), places.len());
            assert!(chunks.get(generation + 1).is_none());
        }
        assert!(chunks.iter().map(|slot| slot.generation).eq(0..1_000));
        for (index, place) in (0..).zip(places) {
            assert_eq!(core::ptr::from_mut(chunks.get_mut(index).unwrap()), place.cast_mut());
        }
    }
}
