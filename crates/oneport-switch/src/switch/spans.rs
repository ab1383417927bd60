//! Log lines of calls: while something is done for a leg, a span is entered that bears the id of its
//! call as the field `call`.

use oneport_proto::{CallId, Event};
use tracing::Span;
use uuid::Uuid;

use super::Switch;

/// The span of a call. It holds at any level of the log.
pub(crate) fn span_of(call: Uuid) -> Span {
    tracing::error_span!("call", %call)
}

/// The leg that an event is about.
const fn leg_of(event: &Event) -> Option<CallId> {
    match event {
        Event::CallOffered { call, .. }
        | Event::CallAuthenticated { call, .. }
        | Event::CallAccepted { call, .. }
        | Event::CallProgress { call, .. }
        | Event::CallAnswered { call }
        | Event::Dtmf { call, .. }
        | Event::Text { call, .. }
        | Event::Keyed { call, .. }
        | Event::Unkeyed { call }
        | Event::Control { call, .. }
        | Event::Frame { call, .. }
        | Event::Quelched { call, .. }
        | Event::DialplanQueried { call, .. }
        | Event::DialplanReply { call, .. }
        | Event::Dialled { call, .. }
        | Event::TransferRequested { call, .. }
        | Event::CallTransferred { call, .. }
        | Event::CallMoved { call, .. }
        | Event::MediaTransferred { call }
        | Event::TransferFailed { call, .. }
        | Event::CallEnded { call, .. } => Some(*call),
        _ => None,
    }
}

impl Switch {
    /// The span of a leg's call; none if it is not up.
    pub(super) fn span(&self, leg: CallId) -> Span {
        self.legs.get(&leg).map_or_else(Span::none, |leg| leg.span.clone())
    }

    /// The span in which an event is handled.
    pub(super) fn span_for(&self, event: &Event) -> Span {
        leg_of(event).map_or_else(Span::none, |leg| self.span(leg))
    }
}
