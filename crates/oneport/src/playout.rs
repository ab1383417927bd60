//! What somebody who listens hears of a call.

use std::time::{Duration, Instant};

use oneport_media::mixer::{Input, InputStats, TURNS_PER_SECOND};
use tokio::time::{self, Interval, MissedTickBehavior};

use crate::audio::{AudioReader, Heard};

/// How much is heard at once.
const TURN: Duration = Duration::from_millis(1_000 / TURNS_PER_SECOND as u64);

/// What the other side says, as samples at a steady pace, whatever the network does: behind a
/// [jitter buffer](oneport_media::jitter_buffer) that adapts, in whatever codec, with what is lost concealed and
/// noise in pauses that the other side tells of.
///
/// ```no_run
/// # async fn example(call: oneport::Call) -> Result<(), oneport::CallError> {
/// use oneport::Playout;
///
/// let (reader, _) = call.audio().await?;
/// let mut playout = Playout::new(reader, 8_000);
/// let mut heard = Vec::new();
/// while playout.next(&mut heard).await {
///     // 20 ms more are there, whatever the network does.
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Playout {
    reader: AudioReader,
    input: Input,
    origin: Instant,
    clock: Interval,
}

impl Playout {
    /// Plays what `reader` hears, from now on, at `sample_rate`: 8, 16 or 48 kHz. It must be made within a
    /// tokio runtime.
    #[must_use]
    pub fn new(reader: AudioReader, sample_rate: u32) -> Self {
        let mut clock = time::interval(TURN);
        // Who fetches too late hears it all the same.
        clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
        Self { reader, input: Input::new(sample_rate), origin: Instant::now(), clock }
    }

    /// Appends the next 20 ms to `samples` when they are to be heard; `false`: the call is over.
    pub async fn next(&mut self, samples: &mut Vec<i16>) -> bool {
        loop {
            tokio::select! {
                // What is there already is heard rather than made up.
                biased;
                heard = self.reader.next() => match heard {
                    Some(Heard::Voice(frame)) => {
                        let at = self.origin.elapsed();
                        // What is not understood is as good as lost.
                        let _ = self.input.hear(at, frame.format, frame.timestamp.0, &frame.payload);
                    }
                    Some(Heard::Pause { timestamp, level }) => self.input.pause(timestamp.0, level),
                    None => return false,
                },
                due = self.clock.tick() => {
                    self.input.pull(due.duration_since(self.origin.into()), samples);
                    return true;
                }
            }
        }
    }

    /// What became of the frames so far.
    #[must_use]
    pub fn stats(&self) -> InputStats {
        self.input.stats()
    }
}
