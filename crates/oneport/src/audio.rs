//! Audio of a call as frames or as samples.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use oneport_media::{Codec, Encoder};
use oneport_proto::{CallId, Media};
use oneport_wire::{Format, Timestamp, frame_type};
use smallvec::SmallVec;
use tokio::sync::mpsc;
use tokio::time::{self, MissedTickBehavior};

use crate::driver::Driver;
use crate::phone::Lines;

/// Frames kept for an application that does not fetch them: 2.5 s of 20 ms each.
pub(crate) const QUEUE: usize = 128;

/// Milliseconds in a frame that we make.
const FRAME_MS: u16 = 20;

/// One frame of voice as it arrived: not reordered, not decoded.
///
/// ```no_run
/// # fn example(frame: oneport::AudioFrame) {
/// use oneport::media::Codec;
///
/// let mut samples = Vec::new();
/// if let Some(codec) = Codec::for_format(frame.format) {
///     codec.decode(&frame.payload, &mut samples);
/// }
/// println!("{} samples, spoken at {} ms", samples.len(), frame.timestamp.0);
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AudioFrame {
    /// Format of the payload.
    pub format: Format,
    /// The sender's clock in ms.
    pub timestamp: Timestamp,
    /// The encoded audio; frames of usual size need no allocation of their own.
    pub payload: SmallVec<[u8; 640]>,
}

impl From<Media<'_>> for AudioFrame {
    fn from(media: Media<'_>) -> Self {
        let Media { format, timestamp, payload } = media;
        Self { format, timestamp, payload: SmallVec::from_slice(payload) }
    }
}

/// What comes of the other side's voice.
///
/// ```no_run
/// # async fn example(mut reader: oneport::AudioReader) {
/// use oneport::Heard;
///
/// while let Some(heard) = reader.next().await {
///     match heard {
///         Heard::Voice(frame) => println!("{} bytes of {}", frame.payload.len(), frame.format),
///         Heard::Pause { level, .. } => println!("a pause, with noise of -{level} dBov"),
///     }
/// }
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are frames, which cost no allocation")]
pub enum Heard {
    /// It speaks.
    Voice(AudioFrame),
    /// It tells of a pause, in which it sends nothing (CNG, RFC 5456 §8.3): noise like that should be heard until
    /// it speaks ([`media::comfort_noise`](oneport_media::comfort_noise)). A jitter buffer and a recorder
    /// take word of it (`pause`); a [`Playout`](crate::Playout) does all that by itself.
    Pause {
        /// The sender's clock in ms where the pause begins.
        timestamp: Timestamp,
        /// How loud it is, in −dBov.
        level: u8,
    },
}

/// What the other side says.
///
/// Frames that nobody fetches for 2.5 s are dropped, the newest first, and counted as
/// [`DropReason::MediaQueueFull`](crate::DropReason).
///
/// ```no_run
/// # async fn example(call: oneport::Call) -> Result<(), oneport::CallError> {
/// let (mut reader, _) = call.audio().await?;
/// while let Some(frame) = reader.next_frame().await {
///     println!("{} bytes of {}", frame.payload.len(), frame.format);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct AudioReader {
    frames: mpsc::Receiver<Heard>,
}

impl AudioReader {
    pub(crate) fn new(frames: mpsc::Receiver<Heard>) -> Self {
        Self { frames }
    }

    /// The next frame of voice; `None` when the call is over. Pauses are left out.
    pub async fn next_frame(&mut self) -> Option<AudioFrame> {
        loop {
            if let Heard::Voice(frame) = self.next().await? {
                return Some(frame);
            }
        }
    }

    /// What comes next, voice or word of a pause; `None` when the call is over.
    pub async fn next(&mut self) -> Option<Heard> {
        self.frames.recv().await
    }
}

/// What we say.
///
/// ```no_run
/// # async fn example(call: oneport::Call) -> Result<(), oneport::CallError> {
/// let speaker = call.speaker()?;
/// // A second of silence, at the pace of a telephone.
/// speaker.play(&vec![0; speaker.sample_rate() as usize]).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct AudioWriter {
    driver: Driver<Lines>,
    call: CallId,
    codec: Codec,
    /// What codecs remember is the call's, whoever plays.
    encoder: Arc<Mutex<Box<dyn Encoder>>>,
}

impl AudioWriter {
    pub(crate) fn new(driver: Driver<Lines>, call: CallId, codec: Codec) -> Self {
        let encoder = Arc::new(Mutex::new(codec.encoder()));
        Self { driver, call, codec, encoder }
    }

    /// The samples in a second that [`play`](Self::play) takes.
    #[must_use]
    pub fn sample_rate(&self) -> u32 {
        self.codec.sample_rate()
    }

    /// Sends one encoded frame of `duration_ms` now. Frames may be sent in bursts: their timestamps
    /// follow the clock of the samples.
    pub fn send(&self, format: Format, payload: &[u8], duration_ms: u16) {
        self.say(format, payload, duration_ms, false);
    }

    /// The same for a frame that follows the one before without a pause, though this system may be late by a second:
    /// its timestamp follows as well. What [`send`](Self::send) is given so late has a new beginning, which looks
    /// like loss to whoever counts frames.
    pub fn go_on(&self, format: Format, payload: &[u8], duration_ms: u16) {
        self.say(format, payload, duration_ms, true);
    }

    /// Sends it; one that `goes_on` follows the frame before without a pause.
    fn say(&self, format: Format, payload: &[u8], duration_ms: u16, goes_on: bool) {
        let call = self.call;
        let payload: SmallVec<[u8; 640]> = SmallVec::from_slice(payload);
        self.driver.post(move |endpoint, _, now| {
            // The call may have ended a moment ago.
            let _ = match goes_on {
                true => endpoint.go_on_with_voice(now, call, format, &payload, duration_ms),
                false => endpoint.send_voice(now, call, format, &payload, duration_ms),
            };
        });
    }

    /// Tells the other side of a pause of `level` −dBov, in which nothing is sent: it hears noise like that
    /// until the next frame. 127 is silence.
    pub fn pause(&self, level: u8) {
        let call = self.call;
        self.driver.post(move |endpoint, _, now| {
            // The call may have ended a moment ago.
            let _ = endpoint.send_frame(now, call, frame_type::CNG, level, &[]);
        });
    }

    /// Plays samples at the pace of a telephone, 20 ms at a time, and returns when the last has
    /// left.
    pub async fn play(&self, samples: &[i16]) {
        let mut clock = time::interval(Duration::from_millis(FRAME_MS.into()));
        // After a stall the frames that are due leave at once, evenly stamped.
        clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (mut frame, mut payload) = (Vec::new(), Vec::new());
        let len = self.codec.samples_in(FRAME_MS);
        for (n, part) in samples.chunks(len).enumerate() {
            clock.tick().await;
            frame.clear();
            frame.extend_from_slice(part);
            frame.resize(len, 0);
            payload.clear();
            let mut encoder = self.encoder.lock().unwrap_or_else(PoisonError::into_inner);
            encoder.encode(&frame, &mut payload);
            drop(encoder);
            self.say(self.codec.format(), &payload, FRAME_MS, n > 0);
        }
        if !samples.is_empty() {
            clock.tick().await;
        }
    }
}
