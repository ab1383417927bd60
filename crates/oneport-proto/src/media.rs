//! Voice and video that end here, handed out borrowed from their datagram.

use oneport_wire::{Format, Timestamp};

use crate::clock::Instant;
use crate::id::CallId;
use crate::translate::Speech;

/// One frame of voice as it arrived: not reordered, not decoded, not buffered.
///
/// The sender's clock of each frame is whole, though mini frames have 16 bits of it:
///
/// ```
/// use oneport_proto::{CallId, Media, MediaSink};
/// use oneport_wire::Format;
///
/// #[derive(Default)]
/// struct Clock(Vec<u32>);
///
/// impl MediaSink for Clock {
///     fn media(&mut self, _: CallId, media: Media<'_>) {
///         self.0.push(media.timestamp.0);
///     }
/// }
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let mut now = oneport_proto::Instant::from_micros(0);
/// # let (mut here, mut there) = two_ends(now);
/// # let (ours, theirs) = call_up(now, &mut here, &mut there);
/// let mut clock = Clock::default();
/// for _ in 0..3 {
///     here.send_voice(now, ours, Format::ULAW, &[0xFF; 160], 20)?;
/// }
/// exchange_with(now, &mut here, &mut there, &mut clock);
/// let [first, second, third] = clock.0[..] else { panic!("three were sent") };
/// assert_eq!((second - first, third - second), (20, 20));
/// # Ok::<(), oneport_proto::CommandError>(())
/// ```
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
///
/// ```
/// use oneport_proto::{CallId, Media, MediaSink, NewCall, Video};
/// use oneport_wire::{Format, FormatSet};
///
/// /// Counts whole pictures.
/// #[derive(Default)]
/// struct Screen(usize);
///
/// impl MediaSink for Screen {
///     fn media(&mut self, _: CallId, _: Media<'_>) {}
///
///     fn video(&mut self, _: CallId, video: Video<'_>) {
///         self.0 += usize::from(video.mark);
///     }
/// }
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (mut here, mut there) = two_ends(now);
/// let call = NewCall { formats: vec![Format::ULAW, Format::H264], ..NewCall::to("100") };
/// # let (ours, theirs, _) = offered(now, &mut here, &mut there, call);
/// there.allow_video(theirs, FormatSet::from_iter([Format::H264]))?;
/// there.accept(now, theirs, Format::ULAW)?;
/// # exchange(now, &mut here, &mut there);
/// let mut screen = Screen::default();
/// here.send_video(now, ours, Format::H264, &[0x65; 1_200], false)?;
/// here.send_video(now, ours, Format::H264, &[0x65; 300], true)?;
/// exchange_with(now, &mut here, &mut there, &mut screen);
/// assert_eq!(screen.0, 1);
/// # Ok::<(), oneport_proto::CommandError>(())
/// ```
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
///
/// ```
/// use oneport_proto::{CallId, Media, MediaSink};
/// use oneport_wire::Format;
///
/// /// Keeps what it hears.
/// #[derive(Default)]
/// struct Recorder(Vec<u8>);
///
/// impl MediaSink for Recorder {
///     fn media(&mut self, _: CallId, media: Media<'_>) {
///         self.0.extend_from_slice(media.payload);
///     }
/// }
///
/// # mod ends { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/two_ends.rs")); } use ends::*;
/// # let now = oneport_proto::Instant::from_micros(0);
/// # let (mut here, mut there) = two_ends(now);
/// # let (ours, theirs) = call_up(now, &mut here, &mut there);
/// let mut recorder = Recorder::default();
/// here.send_voice(now, ours, Format::ULAW, &[0xFF; 160], 20)?;
/// exchange_with(now, &mut here, &mut there, &mut recorder);
/// assert_eq!(recorder.0, [0xFF; 160]);
/// # Ok::<(), oneport_proto::CommandError>(())
/// ```
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
