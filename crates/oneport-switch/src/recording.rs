//! Writes recordings, on a thread of its own: a slow disk must not hold up calls.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use oneport_media::{Codec, Recorder, wav};
use oneport_proto::CallId;

/// Frames that wait for the disk, of all recordings; more are left out. About 6 MB.
const QUEUE: usize = 32_768;

enum Order {
    Begin { call: CallId, codec: Codec, directory: PathBuf },
    Frame { call: CallId, timestamp: u32, payload: Vec<u8> },
    End { call: CallId },
}

/// The way to the thread. When it is dropped, all files are ended.
pub(crate) struct Recordings {
    orders: mpsc::Sender<Order>,
    /// Frames among the orders.
    waiting: Arc<AtomicUsize>,
    /// Frames left out since the driver last asked.
    left_out: Vec<(CallId, u64)>,
}

impl Recordings {
    pub(crate) fn start() -> Self {
        let (orders, receiver) = mpsc::channel();
        let waiting = Arc::<AtomicUsize>::default();
        let builder = thread::Builder::new().name("recordings".into());
        let writers = Arc::clone(&waiting);
        if let Err(error) = builder.spawn(move || write(&receiver, &writers)) {
            tracing::error!(%error, "recording is off: the system gave no thread");
        }
        Self { orders, waiting, left_out: Vec::new() }
    }

    /// `false` where nobody takes it.
    fn order(&self, order: Order) -> bool {
        // Without the thread recordings are off, which was said.
        self.orders.send(order).is_ok()
    }

    /// Begins a file in `directory`.
    pub(crate) fn begin(&self, call: CallId, codec: Codec, directory: PathBuf) {
        self.order(Order::Begin { call, codec, directory });
    }

    /// Adds a frame; silence takes its place where the disk is too slow.
    pub(crate) fn frame(&mut self, call: CallId, timestamp: u32, payload: &[u8]) {
        if self.waiting.load(Ordering::Relaxed) >= QUEUE {
            match self.left_out.last_mut() {
                Some((of, count)) if *of == call => *count += 1,
                _ => self.left_out.push((call, 1)),
            }
            return;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        if !self.order(Order::Frame { call, timestamp, payload: payload.to_vec() }) {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Frames left out of a recording since this was last asked; `None` when there are no more.
    pub(crate) fn poll_left_out(&mut self) -> Option<(CallId, u64)> {
        self.left_out.pop()
    }

    /// Ends the file.
    pub(crate) fn end(&self, call: CallId) {
        self.order(Order::End { call });
    }
}

/// One file being written.
struct Recording {
    codec: Codec,
    recorder: Recorder,
    writer: wav::Writer,
    samples: Vec<i16>,
}

impl Recording {
    fn begin(call: CallId, codec: Codec, directory: &PathBuf) -> Result<Self, String> {
        std::fs::create_dir_all(directory)
            .map_err(|error| format!("{}: {error}", directory.display()))?;
        #[expect(clippy::disallowed_methods, reason = "names of files bear the wall clock's time")]
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let path = directory.join(format!("{}-{call}.wav", time.as_secs()));
        let rate = codec.sample_rate();
        let writer = wav::Writer::create(&path, rate).map_err(|error| error.to_string())?;
        tracing::info!("{call}: recording to {}", path.display());
        Ok(Self { codec, recorder: Recorder::new(rate), writer, samples: Vec::new() })
    }

    fn frame(&mut self, timestamp: u32, payload: &[u8]) -> Result<(), wav::WavError> {
        let Self { codec, recorder, writer, samples } = self;
        samples.clear();
        codec.decode(payload, samples);
        let mut result = Ok(());
        recorder.place(timestamp, samples, |settled| result = writer.write(settled));
        result
    }

    fn end(self) -> Result<(), wav::WavError> {
        let Self { mut recorder, mut writer, .. } = self;
        let mut result = Ok(());
        recorder.finish(|settled| result = writer.write(settled));
        result?;
        writer.finish()
    }
}

fn write(orders: &mpsc::Receiver<Order>, waiting: &AtomicUsize) {
    let mut recordings: HashMap<CallId, Recording> = HashMap::new();
    for order in orders {
        let result = match order {
            Order::Begin { call, codec, directory } => Recording::begin(call, codec, &directory)
                .map(|recording| {
                    recordings.insert(call, recording);
                }),
            Order::Frame { call, timestamp, payload } => {
                waiting.fetch_sub(1, Ordering::Relaxed);
                match recordings.get_mut(&call) {
                    None => Ok(()),
                    Some(recording) => {
                        let result = recording.frame(timestamp, &payload);
                        if result.is_err() {
                            recordings.remove(&call);
                        }
                        result.map_err(|error| error.to_string())
                    }
                }
            }
            Order::End { call } => match recordings.remove(&call) {
                None => Ok(()),
                Some(recording) => recording.end().map_err(|error| error.to_string()),
            },
        };
        if let Err(error) = result {
            tracing::error!("a recording failed: {error}");
        }
    }
    for recording in recordings.into_values() {
        if let Err(error) = recording.end() {
            tracing::error!("a recording failed: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_does_not_keep_up_costs_frames_and_no_memory() {
        let (orders, receiver) = mpsc::channel();
        let mut recordings = Recordings { orders, waiting: Arc::default(), left_out: Vec::new() };
        let now = oneport_proto::Instant::from_micros(0);
        let mut endpoint = oneport_proto::Endpoint::new(Default::default(), [0; 32], now);
        let to = "192.0.2.1:4569".parse().expect("an address");
        let call = endpoint.place_call(now, to, oneport_proto::NewCall::to("1")).expect("placed");
        for n in 0..QUEUE as u32 + 10 {
            recordings.frame(call, n * 20, &[0; 160]);
        }
        assert_eq!(receiver.try_iter().count(), QUEUE);
        assert_eq!(recordings.poll_left_out(), Some((call, 10)));
        assert_eq!(recordings.poll_left_out(), None);
    }
}
