//! Capturing single calls: which legs belong to one, and what numbers they have on the wire.

use oneport_proto::{CallId, Endpoint, Instant};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::Switch;
use crate::capture::{Bounds, Numbers};

impl Switch {
    /// Captures a call from now on: its blocks of a pcapng file come out of what is given back. `None`:
    /// as many are captured as may be, or it is over.
    pub(crate) fn capture(
        &mut self,
        endpoint: &Endpoint,
        now: Instant,
        call: CallId,
        bounds: Bounds,
    ) -> Option<(Uuid, mpsc::Receiver<Vec<u8>>)> {
        let id = self.legs.get(&call)?.id;
        let unix_micros = u64::try_from(self.book.now().unix_millis()).unwrap_or(0) * 1_000;
        let packets = self.captures.begin(now, unix_micros, id, bounds)?;
        let mut legs: Vec<(u64, CallId)> = (self.legs.iter())
            .filter(|(_, leg)| leg.id == id)
            .map(|(call, leg)| (leg.lease.0, *call))
            .collect();
        // In the order in which they began.
        legs.sort_unstable();
        for (_, leg) in legs {
            self.capture_leg(endpoint, leg);
        }
        self.captures.replay(id);
        Some((id, packets))
    }

    /// A leg has begun, which may be one of a call that is captured.
    pub(super) fn capture_leg(&mut self, endpoint: &Endpoint, call: CallId) {
        if self.captures.is_empty() {
            return;
        }
        let Some(leg) = self.legs.get(&call) else { return };
        let Some((ours, theirs)) = endpoint.call_numbers(call) else { return };
        let name = leg.peer.clone().unwrap_or_else(|| leg.address.to_string());
        let name = format!("IAX2/{name}-{}", ours.get());
        let numbers = Numbers { remote: leg.address, ours, theirs };
        self.captures.leg(leg.id, (call, leg.begun), numbers, &name);
    }
}
