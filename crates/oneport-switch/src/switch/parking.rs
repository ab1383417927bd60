//! Calls that wait in parking slots, who fetches them, and whom they go back to.

use oneport_media::Codec;
use oneport_proto::{CallId, Endpoint, Instant};
use oneport_wire::{CauseCode, Format};

use super::entering::DEFAULT_MUSIC;
use super::leg::Caller;
use super::{State, Switch};
use crate::builtin::Player;
use crate::routing::Target;
use crate::watch::Ending;

/// Who has led a call elsewhere, and how it is called itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct TransferredBy {
    pub(super) peer: String,
    pub(super) number: String,
}

/// A call that waits.
pub(super) struct Parked {
    pub(super) caller: Box<Caller>,
    pub(super) format: Format,
}

/// A call that is parked.
///
/// ```
/// # mod switch { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/switch.rs")); } use switch::*;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let driver = start("");
/// for parked in driver.with(|_, switch, _| switch.parked()).await? {
///     println!("{} waits in slot {}", parked.who, parked.slot);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParkedCall {
    /// Its slot.
    pub slot: u32,
    /// The call.
    pub call: CallId,
    /// Who waits: a peer's name.
    pub who: String,
    /// Who has parked it, and gets it back; `None`: it came by itself.
    pub by: Option<String>,
}

impl Switch {
    /// The slot that a call is for: one to wait in, or one in which somebody waits.
    ///
    /// # Errors
    /// None is free, or nobody waits there.
    pub(super) fn parking_slot(
        &self,
        call: CallId,
        argument: Option<&str>,
    ) -> Result<Slot, (CauseCode, String)> {
        let slots = self.config.parking.slots;
        let slot = argument.map(|text| text.parse().map_err(|_| text)).transpose();
        let slot: Option<u32> = slot.map_err(|text| {
            (CauseCode::UNALLOCATED, format!("`{text}` is no parking slot: they have numbers"))
        })?;
        let led = self.legs.get(&call).is_some_and(|leg| leg.marks.transferred_by.is_some());
        if let Some(slot) = slot.filter(|_| !led) {
            let nobody = || (CauseCode::UNALLOCATED, format!("nobody is parked in slot {slot}"));
            return self.parking.get(slot).map(Slot::Taken).ok_or_else(nobody);
        }
        self.parking.free(slot, slots).map(Slot::Free).ok_or_else(|| match slot {
            Some(slot) => (CauseCode::USER_BUSY, format!("parking slot {slot} is taken")),
            None => (CauseCode::USER_BUSY, format!("all {slots} parking slots are taken")),
        })
    }

    /// What a call hears while it waits.
    pub(super) fn parking_music(&self, now: Instant, codec: Codec) -> Option<Player> {
        let name = self.config.parking.music.as_deref().unwrap_or(DEFAULT_MUSIC);
        let class = self.config.music.get(name)?;
        Some(Player::music(codec, now, class.clone()))
    }

    /// A call is answered that waits from now on.
    pub(super) fn park(&mut self, now: Instant, call: CallId, slot: u32, parked: Parked) {
        self.parking.put(slot, call);
        let Some(leg) = self.legs.get_mut(&call) else { return };
        self.ends.set(call, now + self.config.parking.timeout);
        leg.state = State::Parked(Box::new(parked));
        let by = leg.marks.transferred_by.as_ref();
        let by = by.map(|by| format!(" by {}", by.peer)).unwrap_or_default();
        tracing::info!("{call}: {} is parked in slot {slot}{by}", leg.who());
    }

    /// Links a caller to somebody who waits.
    pub(super) fn fetch(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        waits: CallId,
    ) -> Result<(), (CauseCode, String)> {
        let parked = match self.legs.get(&waits).map(|leg| &leg.state) {
            Some(State::Parked(parked)) => parked.format,
            _ => return Err((CauseCode::UNALLOCATED, "nobody waits there any more".into())),
        };
        self.answer_in(endpoint, now, call, waits, parked)?;
        self.players.remove(&waits);
        let slot = self.parking.leave(waits).unwrap_or_default();
        self.book.led_to(call, format!("builtin:park/{slot}"));
        self.book.answered(now, call);
        let who = self.legs.get(&call).map(super::Leg::who).unwrap_or_default();
        let Some(leg) = self.legs.get_mut(&waits) else { return Ok(()) };
        self.ends.clear(&waits);
        leg.marks.transferred_by = None;
        let waited = leg.who();
        let State::Parked(parked) = std::mem::replace(&mut leg.state, State::Gone) else {
            return Ok(());
        };
        tracing::info!("{call}: {who} fetches {waited} from parking slot {slot}");
        if let Some(leg) = self.legs.get_mut(&call) {
            leg.to = Some(format!("park/{slot}, where {waited} waited"));
        }
        self.become_one(endpoint, now, (waits, parked.caller), call);
        Ok(())
    }

    /// A call has waited long enough: it goes back to who has parked it.
    pub(super) fn return_parked(&mut self, endpoint: &mut Endpoint, now: Instant, call: CallId) {
        let Some(slot) = self.parking.leave(call) else { return };
        self.players.remove(&call);
        let Some(leg) = self.legs.get_mut(&call) else { return };
        let Some(TransferredBy { peer, number }) = leg.marks.transferred_by.take() else {
            let ending = Ending::NotFetched { slot };
            let (cause, text) = (ending.cause(), ending.text());
            leg.marks.ending = Some(ending);
            let _ = endpoint.hangup(now, call, cause, Some(text));
            return;
        };
        let State::Parked(parked) = std::mem::replace(&mut leg.state, State::Gone) else { return };
        tracing::info!("{call}: nobody has fetched it from slot {slot}; it goes back to {peer}");
        let Parked { mut caller, format } = *parked;
        (caller.accepted, caller.answered) = (Some(format), false);
        caller.left = [vec![Target::Peer { name: peer, number }]].into();
        leg.to = Some(format!("park/{slot}, and back"));
        leg.state = State::Caller(caller);
        self.try_next(endpoint, now, call, CauseCode::NO_ANSWER);
    }

    /// All calls that wait, by their slots.
    #[must_use]
    pub fn parked(&self) -> Vec<ParkedCall> {
        let parked = self.parking.all().filter_map(|(slot, call)| {
            let leg = self.legs.get(&call)?;
            let who = leg.peer.clone().unwrap_or_else(|| leg.address.to_string());
            let by = leg.marks.transferred_by.as_ref().map(|by| by.peer.clone());
            Some(ParkedCall { slot, call, who, by })
        });
        parked.collect()
    }
}

/// What a number of the parking lot means for a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Slot {
    /// It waits here.
    Free(u32),
    /// It fetches this one.
    Taken(CallId),
}
