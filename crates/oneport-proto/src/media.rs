//! Voice that ends here, handed out borrowed from its datagram.

use oneport_wire::{Format, Timestamp};

use crate::id::CallId;

/// One frame of voice as it arrived: not reordered, not decoded, not buffered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Media<'a> {
    /// Format of the payload.
    pub format: Format,
    /// The sender's clock in ms since the start of its call, made whole from the 16 bits of a
    /// mini frame.
    pub timestamp: Timestamp,
    /// The encoded audio.
    pub payload: &'a [u8],
}

/// Takes the voice of calls that are not linked. One datagram may hold several (a trunk frame).
pub trait MediaSink {
    /// Takes one frame of `call`. It runs on the media path and should not block or allocate.
    fn media(&mut self, call: CallId, media: Media<'_>);
}

/// Drops all voice, for endpoints that only signal or relay.
impl MediaSink for () {
    fn media(&mut self, _call: CallId, _media: Media<'_>) {}
}
