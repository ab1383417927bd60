//! Capturing single calls, and the messages that began them: which legs belong to one, and what numbers they
//! have on the wire.

use oneport_proto::{CallId, Endpoint, Instant};
use oneport_wire::Datagram;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::Switch;
use super::snapshot::millis;
use crate::api::model::{Ladder, LadderMessage};
use crate::capture::{Bounds, Numbers, Way, tells_of_a_call};
use crate::hep::secrecy;
use crate::sealed::{is_always_clear, may_be_sealed};

impl Switch {
    /// The legs of a call in the order in which they began, by what they are called in a capture.
    fn legs_of(&self, endpoint: &Endpoint, id: Uuid) -> Vec<(CallId, Instant, Numbers, String)> {
        let mut legs: Vec<(u64, CallId)> = (self.legs.iter())
            .filter(|(_, leg)| leg.id == id)
            .map(|(call, leg)| (leg.lease.0, *call))
            .collect();
        legs.sort_unstable();
        let known = |(_, call): &(u64, CallId)| {
            let (begun, numbers, name) = self.numbers_of(endpoint, *call)?;
            Some((*call, begun, numbers, name))
        };
        legs.iter().filter_map(known).collect()
    }

    /// When a leg has begun, its numbers on the wire, and what it is called in a capture.
    fn numbers_of(&self, endpoint: &Endpoint, call: CallId) -> Option<(Instant, Numbers, String)> {
        let leg = self.legs.get(&call)?;
        let (ours, theirs) = endpoint.call_numbers(call)?;
        let name = leg.peer.clone().unwrap_or_else(|| leg.address.to_string());
        let name = format!("IAX2/{name}-{}", ours.get());
        Some((leg.begun, Numbers { remote: leg.address, ours, theirs }, name))
    }

    /// The messages by which a call came about, as far as they are kept.
    pub(crate) fn ladder(&self, endpoint: &Endpoint, now: Instant, call: CallId) -> Option<Ladder> {
        let (id, begun) = self.legs.get(&call).map(|leg| (leg.id, leg.begun))?;
        let legs = self.legs_of(endpoint, id);
        let numbers: Vec<(Instant, Numbers)> =
            legs.iter().map(|(_, begun, numbers, _)| (*begun, *numbers)).collect();
        let encrypted: Vec<bool> = (legs.iter())
            .map(|(call, ..)| endpoint.call_stats(*call).is_some_and(|stats| stats.encrypted))
            .collect();
        let messages = self.captures.beginning(&numbers).filter_map(|(at, leg, way, datagram)| {
            let encrypted = encrypted[leg] && may_be_sealed(datagram) && !is_always_clear(datagram);
            let clear = match encrypted {
                true => endpoint.decrypt_passed(now, legs[leg].0, way == Way::Out, datagram),
                false => Some(datagram.to_vec()),
            };
            if clear.as_deref().is_some_and(|clear| !tells_of_a_call(clear)) {
                return None;
            }
            let Said { message, text, repeated } = match clear {
                Some(clear) => said(&clear),
                None => unread(datagram.len()),
            };
            // What came before its NEW was kept, such as the way to a call token, is before its beginning.
            let ms = millis(at.since(begun)) - millis(begun.since(at));
            Some(LadderMessage {
                ms,
                leg,
                incoming: way == Way::In,
                message,
                repeated,
                encrypted,
                text,
            })
        });
        let messages = messages.collect();
        Some(Ladder { legs: legs.into_iter().map(|(.., name)| name).collect(), messages })
    }

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
        for (call, begun, numbers, name) in self.legs_of(endpoint, id) {
            self.captures.leg(id, (call, begun), numbers, &name);
        }
        self.captures.replay(id);
        Some((id, packets))
    }

    /// A leg has begun, which may be one of a call that is captured.
    pub(super) fn capture_leg(&mut self, endpoint: &Endpoint, call: CallId) {
        self.export_leg(endpoint, call);
        if self.captures.is_empty() {
            return;
        }
        let Some(id) = self.legs.get(&call).map(|leg| leg.id) else { return };
        if let Some((begun, numbers, name)) = self.numbers_of(endpoint, call) {
            self.captures.leg(id, (call, begun), numbers, &name);
        }
    }
}

/// What a message of a ladder says.
struct Said {
    message: String,
    text: String,
    repeated: bool,
}

/// That of a frame, without its secrets.
fn said(datagram: &[u8]) -> Said {
    match Datagram::decode(&secrecy::frame(datagram)) {
        Ok(datagram) => Said {
            message: datagram.gist().to_string(),
            text: datagram.to_string(),
            repeated: matches!(&datagram, Datagram::Full(frame) if frame.header.retransmission),
        },
        Err(error) => {
            let text = format!("malformed: {error}");
            Said { message: "malformed".into(), text, repeated: false }
        }
    }
}

/// That of an encrypted frame whose key is gone.
fn unread(length: usize) -> Said {
    let text = format!("{length} bytes, whose key is gone");
    Said { message: format!("{length} bytes"), text, repeated: false }
}
