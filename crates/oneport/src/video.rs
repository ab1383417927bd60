//! Video of a call, packet by packet. Nothing here looks into it.

use oneport_proto::{CallId, Video};
use oneport_wire::{Format, Timestamp};
use tokio::sync::mpsc;

use crate::driver::Driver;
use crate::phone::Lines;

/// Packets kept for an application that does not fetch them.
pub(crate) const QUEUE: usize = 1_024;

/// One packet of video as it arrived: not reordered. Several make a picture.
///
/// ```no_run
/// # async fn example(call: oneport::Call) -> Result<(), oneport::Stopped> {
/// let (mut reader, writer) = call.video().await?;
/// while let Some(frame) = reader.next_frame().await {
///     writer.send(frame.format, &frame.payload, frame.mark);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VideoFrame {
    /// Format of the payload.
    pub format: Format,
    /// The sender's clock in ms, the same for all packets of a picture; it is also that of the
    /// voice.
    pub timestamp: Timestamp,
    /// It is the last packet of its picture.
    pub mark: bool,
    /// The encoded video.
    pub payload: Vec<u8>,
}

impl From<Video<'_>> for VideoFrame {
    fn from(video: Video<'_>) -> Self {
        let Video { format, timestamp, mark, payload } = video;
        Self { format, timestamp, mark, payload: payload.to_vec() }
    }
}

/// What the other side shows.
///
/// Beyond 1,024 packets that nobody fetches, new ones are dropped.
///
/// ```no_run
/// # async fn example(call: oneport::Call) -> Result<(), oneport::Stopped> {
/// let (mut reader, _) = call.video().await?;
/// while let Some(frame) = reader.next_frame().await {
///     println!("{} bytes of {}, {}", frame.payload.len(), frame.format, frame.mark);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct VideoReader {
    frames: mpsc::Receiver<VideoFrame>,
}

impl VideoReader {
    pub(crate) fn new(frames: mpsc::Receiver<VideoFrame>) -> Self {
        Self { frames }
    }

    /// The next packet; `None` when the call is over.
    pub async fn next_frame(&mut self) -> Option<VideoFrame> {
        self.frames.recv().await
    }
}

/// What we show.
///
/// ```no_run
/// # async fn example(call: oneport::Call, packets: &[Vec<u8>]) -> Result<(), oneport::Stopped> {
/// use oneport::Format;
///
/// let (_, writer) = call.video().await?;
/// for (n, packet) in packets.iter().enumerate() {
///     writer.send(Format::H264, packet, n + 1 == packets.len());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct VideoWriter {
    driver: Driver<Lines>,
    call: CallId,
}

impl VideoWriter {
    pub(crate) fn new(driver: Driver<Lines>, call: CallId) -> Self {
        Self { driver, call }
    }

    /// Sends one packet now. `mark` ends a picture; the packets of one get the timestamp of the
    /// first. What the call does not carry is dropped.
    pub fn send(&self, format: Format, payload: &[u8], mark: bool) {
        let call = self.call;
        let payload = payload.to_vec();
        self.driver.post(move |endpoint, _, now| {
            // The call may have ended a moment ago.
            let _ = endpoint.send_video(now, call, format, &payload, mark);
        });
    }
}
