//! What the API shows of conferences and of parked calls, and what it does to members.

use std::time::Duration;

use oneport_proto::{CallId, Endpoint, Instant};
use oneport_wire::CauseCode;

use super::Switch;
use super::snapshot::Page;
use crate::api::model::{ConferenceView, ConferencesView, MemberView, ParkedView, ParkingView};

/// Tenths of a second are enough.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}

impl Switch {
    fn call_id(&self, call: CallId) -> String {
        self.legs.get(&call).map(|leg| leg.id.to_string()).unwrap_or_default()
    }

    /// A page of the conferences that somebody is in.
    pub(crate) fn show_conferences(&self, now: Instant, page: &Page<String>) -> ConferencesView {
        let total = self.conferences.names().count();
        let behind = |name: &&str| page.after.as_deref().is_none_or(|after| *name > after);
        let mut left = self.conferences.names().filter(behind);
        let conferences: Vec<ConferenceView> = left
            .by_ref()
            .take(page.limit)
            .map(|room| {
                let members = self.conferences.members(room).into_iter().map(|member| MemberView {
                    call: self.call_id(member.call),
                    who: member.who,
                    muted: member.muted,
                    seconds: seconds(now.since(member.since)),
                    frames: member.heard.frames,
                    late: member.heard.late,
                    concealed_ms: member.heard.concealed_ms,
                    gain_db: member.gain_db,
                    talks: member.talks,
                });
                ConferenceView { room: room.into(), members: members.collect() }
            })
            .collect();
        let more = left.next().is_some();
        let next = conferences.last().filter(|_| more).map(|one| one.room.clone());
        ConferencesView { conferences, total, next }
    }

    /// The member of a conference whose call has this id.
    pub(crate) fn find_member(&self, room: &str, id: &str) -> Option<CallId> {
        let call = self.find_call(id)?;
        (self.conferences.room_of(call) == Some(room)).then_some(call)
    }

    /// Puts a member out of its conference, and hangs it up.
    pub(crate) fn put_out(&self, endpoint: &mut Endpoint, now: Instant, call: CallId) {
        // It may just have gone; then its end follows.
        let _ = endpoint.hangup(now, call, CauseCode::NORMAL_CLEARING, Some("put out"));
    }

    /// All calls that wait in the parking lot.
    pub(crate) fn show_parking(&self, now: Instant) -> ParkingView {
        let parked = self.parked().into_iter().map(|parked| {
            let left = self.ends.of(&parked.call).map(|at| seconds(at.since(now)));
            ParkedView {
                slot: parked.slot,
                call: self.call_id(parked.call),
                who: parked.who,
                by: parked.by,
                seconds_left: left,
            }
        });
        ParkingView { slots: self.config.parking.slots, parked: parked.collect() }
    }
}
