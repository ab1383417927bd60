//! Voice and video that end here, handed out borrowed from their datagram.

use oneport_wire::{Format, Timestamp};

use crate::clock::Instant;
use crate::id::CallId;
use crate::translate::Speech;

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

/// One packet of video as it arrived: not reordered, not buffered. Several make a picture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Video<'a> {
    /// Format of the payload.
    pub format: Format,
    /// The sender's clock in ms since the start of its call, made whole from the 15 bits of a
    /// video mini frame. All packets of a picture have the same.
    pub timestamp: Timestamp,
    /// It is the last packet of its picture.
    pub mark: bool,
    /// The encoded video.
    pub payload: &'a [u8],
}

/// Takes the voice and video of calls that are not linked. One datagram may hold several frames of
/// voice (a trunk frame). It runs on the media path and should not block or allocate.
pub trait MediaSink {
    /// Takes one frame of voice of `call`.
    fn media(&mut self, call: CallId, media: Media<'_>);

    /// Sees one frame of voice of a `call` that is [tapped](crate::Endpoint::tap), which came at
    /// `now`. It goes its way all the same, if it [passes](Self::passes).
    fn tapped(&mut self, now: Instant, call: CallId, media: Media<'_>) {
        let _ = (now, call, media);
    }

    /// Whether the frame of a tapped `call` that was just seen goes its way.
    fn passes(&mut self, call: CallId) -> bool {
        let _ = call;
        true
    }

    /// Says in the words of `to` what was heard of `from`, to which it is
    /// [linked](crate::Endpoint::link_translated): `say` sends, any number of times.
    fn translate(
        &mut self,
        now: Instant,
        from: CallId,
        to: CallId,
        heard: Speech<'_>,
        say: &mut dyn FnMut(Speech<'_>),
    ) {
        let _ = (now, from, to, heard, say);
    }

    /// Takes one packet of video of `call`. Only calls that carry video have any.
    fn video(&mut self, call: CallId, video: Video<'_>) {
        let _ = (call, video);
    }
}

/// Drops all voice and video, for endpoints that only signal or relay.
impl MediaSink for () {
    fn media(&mut self, _call: CallId, _media: Media<'_>) {}
}
