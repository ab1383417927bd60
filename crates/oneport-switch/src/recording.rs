//! Writes recordings, on a thread of its own: a slow disk must not hold up calls.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use oneport_media::{Codec, Recorder, wav};
use oneport_proto::CallId;

enum Order {
    Begin { call: CallId, codec: Codec, directory: PathBuf },
    Frame { call: CallId, timestamp: u32, payload: Vec<u8> },
    End { call: CallId },
}

/// The way to the thread. When it is dropped, all files are ended.
pub(crate) struct Recordings {
    orders: mpsc::Sender<Order>,
}

impl Recordings {
    pub(crate) fn start() -> Self {
        let (orders, receiver) = mpsc::channel();
        let builder = thread::Builder::new().name("recordings".into());
        if let Err(error) = builder.spawn(move || write(&receiver)) {
            tracing::error!(%error, "recording is off: the system gave no thread");
        }
        Self { orders }
    }

    fn order(&self, order: Order) {
        // Without the thread recordings are off, which was said.
        let _ = self.orders.send(order);
    }

    /// Begins a file in `directory`.
    pub(crate) fn begin(&self, call: CallId, codec: Codec, directory: PathBuf) {
        self.order(Order::Begin { call, codec, directory });
    }

    /// Adds a frame.
    pub(crate) fn frame(&self, call: CallId, timestamp: u32, payload: &[u8]) {
        self.order(Order::Frame { call, timestamp, payload: payload.to_vec() });
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

fn write(orders: &mpsc::Receiver<Order>) {
    let mut recordings: HashMap<CallId, Recording> = HashMap::new();
    for order in orders {
        let result = match order {
            Order::Begin { call, codec, directory } => Recording::begin(call, codec, &directory)
                .map(|recording| {
                    recordings.insert(call, recording);
                }),
            Order::Frame { call, timestamp, payload } => match recordings.get_mut(&call) {
                None => Ok(()),
                Some(recording) => {
                    let result = recording.frame(timestamp, &payload);
                    if result.is_err() {
                        recordings.remove(&call);
                    }
                    result.map_err(|error| error.to_string())
                }
            },
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
