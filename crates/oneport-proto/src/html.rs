//! Pages sent to somebody who shows none (RFC 5456 §6.10.6).

use oneport_wire::{HtmlSubclass, Message, frame_type};

use crate::clock::Instant;
use crate::endpoint::{Endpoint, call_mut};
use crate::error::CommandError;
use crate::id::CallId;

impl Endpoint {
    /// Answers a frame of HTML where nobody shows it. Other frames, and such answers themselves, get
    /// none.
    ///
    /// # Errors
    /// The call has ended or is not accepted, or too many frames wait.
    pub fn refuse_html(
        &mut self,
        now: Instant,
        id: CallId,
        frame_type: u8,
        subclass: u8,
    ) -> Result<(), CommandError> {
        let now = self.cx.time.enter(now);
        let unsupported = HtmlSubclass::NotSupported;
        if frame_type != frame_type::HTML || subclass == unsupported.subclass() {
            return Ok(());
        }
        let Self { cx, slots } = self;
        let call = call_mut(slots, id).ok_or(CommandError::UnknownCall)?;
        let message = Message::Html { subclass: unsupported, payload: &[] };
        let result = call.send(cx, now, &message);
        slots.schedule(cx, id.slot);
        result
    }
}
