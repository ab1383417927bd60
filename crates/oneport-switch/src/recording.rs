//! Writes recordings, on a thread of its own: a slow disk must not hold up calls.

mod sides;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use oneport_media::wav::Depth;
use oneport_media::{Listener, Rate, Recorder, wav};
use oneport_proto::CallId;
use oneport_wire::Format;
use tracing::Span;
use uuid::Uuid;

pub(crate) use sides::Side;
use sides::Sides;

/// Frames that wait for the disk, of all recordings; more are left out. About 6 MB.
const QUEUE: usize = 32_768;

enum Order {
    Begin {
        call: CallId,
        id: Uuid,
        rate: u32,
        depth: Depth,
        directory: PathBuf,
        span: Span,
    },
    Frame {
        call: CallId,
        format: Format,
        timestamp: u32,
        payload: Vec<u8>,
    },
    Pause {
        call: CallId,
        timestamp: u32,
        level: u8,
    },
    End {
        call: CallId,
    },
    BeginBoth(Wanted),
    FrameOfSide {
        call: Uuid,
        side: Side,
        millis: u64,
        format: Format,
        timestamp: u32,
        payload: Vec<u8>,
    },
    PauseOfSide {
        call: Uuid,
        side: Side,
        millis: u64,
        timestamp: u32,
        level: u8,
    },
    EndBoth {
        call: Uuid,
    },
}

/// A recording of both sides of a call.
pub(crate) struct Wanted {
    pub(crate) call: Uuid,
    pub(crate) file: PathBuf,
    pub(crate) rate: u32,
    pub(crate) depth: Depth,
    /// Is set when it cannot be written.
    pub(crate) failed: Arc<AtomicBool>,
    /// What log lines of it are put into.
    pub(crate) span: Span,
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

    /// Begins a file in `directory`, named by the time and the call's id.
    pub(crate) fn begin(
        &self,
        (call, id): (CallId, Uuid),
        (rate, depth): (u32, Depth),
        directory: PathBuf,
        span: Span,
    ) {
        self.order(Order::Begin { call, id, rate, depth, directory, span });
    }

    /// Adds a frame; silence takes its place where the disk is too slow.
    pub(crate) fn frame(&mut self, call: CallId, format: Format, timestamp: u32, payload: &[u8]) {
        if !self.has_room() {
            return self.leave_out(call);
        }
        let payload = payload.to_vec();
        self.order_frame(Order::Frame { call, format, timestamp, payload });
    }

    /// A caller tells of a pause of `level` −dBov.
    pub(crate) fn pause(&self, call: CallId, timestamp: u32, level: u8) {
        self.order_frame(Order::Pause { call, timestamp, level });
    }

    /// One side tells of a pause, so long behind the beginning.
    pub(crate) fn pause_of_side(
        &self,
        (call, side): (Uuid, Side),
        since: Duration,
        timestamp: u32,
        level: u8,
    ) {
        let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        self.order_frame(Order::PauseOfSide { call, side, millis, timestamp, level });
    }

    /// Orders what counts as a frame that waits; `false`: there is no room for it.
    fn order_frame(&self, order: Order) -> bool {
        if !self.has_room() {
            return false;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        if !self.order(order) {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        true
    }

    fn has_room(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < QUEUE
    }

    /// Counts a frame that was left out.
    pub(crate) fn leave_out(&mut self, call: CallId) {
        match self.left_out.last_mut() {
            Some((of, count)) if *of == call => *count += 1,
            _ => self.left_out.push((call, 1)),
        }
    }

    /// Begins a file with both sides of a call.
    pub(crate) fn begin_both(&self, wanted: Wanted) {
        let failed = wanted.failed.clone();
        if !self.order(Order::BeginBoth(wanted)) {
            failed.store(true, Ordering::Relaxed);
        }
    }

    /// Adds a frame of one side, which came so long behind the beginning; `false`: the disk is too
    /// slow, and it is left out.
    pub(crate) fn frame_of_side(
        &self,
        (call, side): (Uuid, Side),
        since: Duration,
        format: Format,
        timestamp: u32,
        payload: &[u8],
    ) -> bool {
        if !self.has_room() {
            return false;
        }
        let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let payload = payload.to_vec();
        self.order_frame(Order::FrameOfSide { call, side, millis, format, timestamp, payload })
    }

    /// Ends the file.
    pub(crate) fn end_both(&self, call: Uuid) {
        self.order(Order::EndBoth { call });
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

/// Hears a party at one rate, in whatever codec it speaks.
struct Ear {
    listener: Listener,
    rate: u32,
    /// From the rate at which it speaks now.
    from: Option<(u32, Rate)>,
    heard: Vec<i16>,
}

impl Ear {
    fn new(rate: u32) -> Self {
        Self { listener: Listener::default(), rate, from: None, heard: Vec::new() }
    }

    /// Puts what is said into `samples`: nothing, where that is not understood.
    fn hear(&mut self, format: Format, payload: &[u8], samples: &mut Vec<i16>) {
        let Self { listener, rate, from, heard } = self;
        samples.clear();
        heard.clear();
        let Some(codec) = listener.hear(format, payload, heard) else { return };
        let spoken = codec.sample_rate();
        let kept = from.take().filter(|(from, _)| *from == spoken);
        let (_, way) = from.insert(kept.unwrap_or_else(|| (spoken, Rate::between(spoken, *rate))));
        way.pass(heard, samples);
    }
}

/// One file being written.
struct Recording {
    ear: Ear,
    recorder: Recorder,
    writer: wav::Writer,
    samples: Vec<i16>,
    span: Span,
}

impl Recording {
    fn begin(
        (call, id): (CallId, Uuid),
        (rate, depth): (u32, Depth),
        directory: &PathBuf,
        span: Span,
    ) -> Result<Self, String> {
        let inside = span.enter();
        std::fs::create_dir_all(directory)
            .map_err(|error| format!("{}: {error}", directory.display()))?;
        #[expect(clippy::disallowed_methods, reason = "names of files bear the wall clock's time")]
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let path = directory.join(format!("{}-{id}.wav", time.as_secs()));
        let writer = wav::Writer::with_depth(&path, rate, 1, depth);
        let writer = writer.map_err(|error| error.to_string())?;
        tracing::info!("{call}: recording to {}", path.display());
        drop(inside);
        let (ear, recorder) = (Ear::new(rate), Recorder::new(rate));
        Ok(Self { ear, recorder, writer, samples: Vec::new(), span })
    }

    fn frame(
        &mut self,
        format: Format,
        timestamp: u32,
        payload: &[u8],
    ) -> Result<(), wav::WavError> {
        let Self { ear, recorder, writer, samples, .. } = self;
        ear.hear(format, payload, samples);
        let mut result = Ok(());
        recorder.place(timestamp, samples, |settled| result = writer.write(settled));
        result
    }

    fn pause(&mut self, timestamp: u32, level: u8) {
        self.recorder.pause(timestamp, level);
    }

    fn end(self) -> Result<(), wav::WavError> {
        let Self { mut recorder, mut writer, .. } = self;
        let mut result = Ok(());
        recorder.finish(|settled| result = writer.write(settled));
        result?;
        writer.finish()
    }
}

/// One file with both sides being written.
struct Both {
    sides: Sides,
    /// Of the caller and of the called.
    ears: [Ear; 2],
    writer: wav::Writer,
    samples: Vec<i16>,
    failed: Arc<AtomicBool>,
    span: Span,
}

impl Both {
    fn begin(wanted: Wanted) -> Result<Self, String> {
        let Wanted { file, rate, depth, failed, span, .. } = wanted;
        if let Some(directory) = file.parent() {
            std::fs::create_dir_all(directory)
                .map_err(|error| format!("{}: {error}", directory.display()))?;
        }
        let writer = wav::Writer::with_depth(&file, rate, 2, depth);
        let writer = writer.map_err(|error| error.to_string())?;
        let (sides, ears) = (Sides::new(rate), [Ear::new(rate), Ear::new(rate)]);
        Ok(Self { sides, ears, writer, samples: Vec::new(), failed, span })
    }

    fn frame(
        &mut self,
        (side, millis): (Side, u64),
        format: Format,
        timestamp: u32,
        payload: &[u8],
    ) -> Result<(), wav::WavError> {
        let Self { sides, ears, writer, samples, .. } = self;
        ears[side as usize].hear(format, payload, samples);
        if samples.is_empty() {
            return Ok(());
        }
        writer.write(sides.frame(side, millis, timestamp, samples))
    }

    fn pause(
        &mut self,
        (side, millis): (Side, u64),
        timestamp: u32,
        level: u8,
    ) -> Result<(), wav::WavError> {
        self.writer.write(self.sides.pause(side, millis, timestamp, level))
    }

    fn end(self) -> Result<(), wav::WavError> {
        let Self { mut sides, mut writer, .. } = self;
        writer.write(sides.finish())?;
        writer.finish()
    }
}

/// All files with both sides.
#[derive(Default)]
struct Boths(HashMap<Uuid, Both>);

impl Boths {
    fn begin(&mut self, wanted: Wanted) -> Result<(), String> {
        let (call, failed) = (wanted.call, wanted.failed.clone());
        match Both::begin(wanted) {
            Ok(both) => drop(self.0.insert(call, both)),
            Err(error) => {
                failed.store(true, Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(())
    }

    fn span(&self, call: Uuid) -> Span {
        self.0.get(&call).map_or_else(Span::none, |both| both.span.clone())
    }

    /// Lets `act` go on with a file; one that cannot be written is given up.
    fn go_on(
        &mut self,
        call: Uuid,
        act: impl FnOnce(&mut Both) -> Result<(), wav::WavError>,
    ) -> Result<(), String> {
        let Some(both) = self.0.get_mut(&call) else { return Ok(()) };
        let result = act(both);
        if result.is_err() {
            both.failed.store(true, Ordering::Relaxed);
            self.0.remove(&call);
        }
        result.map_err(|error| error.to_string())
    }

    fn end(&mut self, call: Uuid) -> Result<(), String> {
        match self.0.remove(&call) {
            None => Ok(()),
            Some(both) => both.end().map_err(|error| error.to_string()),
        }
    }
}

fn write(orders: &mpsc::Receiver<Order>, waiting: &AtomicUsize) {
    let mut recordings: HashMap<CallId, Recording> = HashMap::new();
    let mut boths = Boths::default();
    for order in orders {
        let (span, result) = match order {
            Order::Begin { call, id, rate, depth, directory, span } => {
                let wanted = (rate, depth);
                let begun = Recording::begin((call, id), wanted, &directory, span.clone());
                (span, begun.map(|recording| drop(recordings.insert(call, recording))))
            }
            Order::Frame { call, format, timestamp, payload } => {
                waiting.fetch_sub(1, Ordering::Relaxed);
                match recordings.get_mut(&call) {
                    None => (Span::none(), Ok(())),
                    Some(recording) => {
                        let (span, result) =
                            (recording.span.clone(), recording.frame(format, timestamp, &payload));
                        if result.is_err() {
                            recordings.remove(&call);
                        }
                        (span, result.map_err(|error| error.to_string()))
                    }
                }
            }
            Order::Pause { call, timestamp, level } => {
                waiting.fetch_sub(1, Ordering::Relaxed);
                if let Some(recording) = recordings.get_mut(&call) {
                    recording.pause(timestamp, level);
                }
                (Span::none(), Ok(()))
            }
            Order::End { call } => match recordings.remove(&call) {
                None => (Span::none(), Ok(())),
                Some(recording) => {
                    (recording.span.clone(), recording.end().map_err(|error| error.to_string()))
                }
            },
            Order::BeginBoth(wanted) => (wanted.span.clone(), boths.begin(wanted)),
            Order::FrameOfSide { call, side, millis, format, timestamp, payload } => {
                waiting.fetch_sub(1, Ordering::Relaxed);
                let at = (side, millis);
                let span = boths.span(call);
                (span, boths.go_on(call, |both| both.frame(at, format, timestamp, &payload)))
            }
            Order::PauseOfSide { call, side, millis, timestamp, level } => {
                waiting.fetch_sub(1, Ordering::Relaxed);
                let at = (side, millis);
                let span = boths.span(call);
                (span, boths.go_on(call, |both| both.pause(at, timestamp, level)))
            }
            Order::EndBoth { call } => (boths.span(call), boths.end(call)),
        };
        if let Err(error) = result {
            let _inside = span.enter();
            tracing::error!("a recording failed: {error}");
        }
    }
    let ends = recordings.into_values().map(Recording::end);
    for end in ends.chain(boths.0.into_values().map(Both::end)) {
        if let Err(error) = end {
            tracing::error!("a recording failed: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use oneport_media::Codec;

    use super::*;

    #[test]
    fn who_changes_to_a_codec_of_another_rate_is_heard_on() {
        let mut ear = Ear::new(8_000);
        let (mut samples, mut all) = (Vec::new(), Vec::new());
        for codec in [Codec::Ulaw, Codec::Slin16, Codec::G722, Codec::Gsm, Codec::Ulaw] {
            let said: Vec<i16> = oneport_media::tone::Sine::new(400.0, codec.sample_rate(), 0.3)
                .take(codec.samples_in(200))
                .collect();
            let (mut payload, mut encoder) = (Vec::new(), codec.encoder());
            for frame in said.chunks(codec.samples_in(20)) {
                payload.clear();
                encoder.encode(frame, &mut payload);
                ear.hear(codec.format(), &payload, &mut samples);
                assert_eq!(samples.len(), 160, "{codec:?}");
                all.extend_from_slice(&samples);
            }
        }
        ear.hear(Format::G729, &[0; 20], &mut samples);
        assert!(samples.is_empty());
        for second in all.chunks(1_600) {
            let loud = second.iter().map(|sample| sample.unsigned_abs()).max();
            assert!(loud > Some(8_000), "{loud:?}");
        }
    }

    /// What sox makes of a file, as 16-bit samples; `None`: there is no sox here.
    fn read_by_sox(file: &std::path::Path) -> Option<Vec<u8>> {
        let raw = ["-t", "raw", "-e", "signed", "-b", "16", "-L", "-"];
        let output = std::process::Command::new("sox").arg(file).args(raw).output().ok()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(output.stdout)
    }

    #[test]
    fn both_sides_are_recorded_at_each_rate_and_depth_and_others_read_it() {
        use oneport_media::tone::{Sine, level_dbm0};
        let directory = tempfile::tempdir().expect("a directory");
        for (rate, depth) in [8_000, 16_000, 48_000]
            .into_iter()
            .flat_map(|rate| [(rate, Depth::Eight), (rate, Depth::Sixteen)])
        {
            let file = directory.path().join(format!("{rate}-{depth:?}.wav"));
            let wanted = Wanted {
                call: Uuid::now_v7(),
                file: file.clone(),
                rate,
                depth,
                failed: Arc::default(),
                span: Span::none(),
            };
            let mut both = Both::begin(wanted).expect("a file");
            let said = [(Side::Caller, Codec::Ulaw, 500.0), (Side::Called, Codec::Slin16, 1_000.0)];
            let mut voices = said.map(|(side, codec, frequency)| {
                let tone = Sine::new(frequency, codec.sample_rate(), 0.3);
                (side, codec, tone, codec.encoder())
            });
            for n in 0..100_u32 {
                for (side, codec, tone, encoder) in &mut voices {
                    let frame: Vec<i16> = tone.by_ref().take(codec.samples_in(20)).collect();
                    let mut payload = Vec::new();
                    encoder.encode(&frame, &mut payload);
                    let at = (*side, u64::from(n) * 20);
                    both.frame(at, codec.format(), n * 20, &payload).expect("written");
                }
            }
            both.end().expect("written");
            let (left, right, read) = wav::read_stereo(&file).expect("a file");
            assert_eq!((read, left.len()), (rate, 2 * rate as usize), "{depth:?}");
            let middle = rate as usize / 2..rate as usize;
            let of = |side: &[i16], frequency| level_dbm0(&side[middle.clone()], frequency, rate);
            let expected: Vec<i16> = Sine::new(500.0, rate, 0.3).take(rate as usize).collect();
            let expected = of(&expected, 500.0);
            for (side, own, other) in [(&left, 500.0, 1_000.0), (&right, 1_000.0, 500.0)] {
                let (own, other) = (of(side, own), of(side, other));
                assert!((own - expected).abs() < 0.5, "{own} at {rate}, {depth:?}");
                assert!(other < expected - 30.0, "{other} at {rate}, {depth:?}");
            }
            if let Some(bytes) = read_by_sox(&file) {
                let pairs = left.iter().zip(&right).flat_map(|(left, right)| [*left, *right]);
                assert_eq!(bytes, pairs.flat_map(i16::to_le_bytes).collect::<Vec<u8>>());
            }
        }
    }

    #[test]
    fn a_disk_that_does_not_keep_up_costs_frames_and_no_memory() {
        let (orders, receiver) = mpsc::channel();
        let mut recordings = Recordings { orders, waiting: Arc::default(), left_out: Vec::new() };
        let now = oneport_proto::Instant::from_micros(0);
        let mut endpoint = oneport_proto::Endpoint::new(Default::default(), [0; 32], now);
        let to = "192.0.2.1:4569".parse().expect("an address");
        let call = endpoint.place_call(now, to, oneport_proto::NewCall::to("1")).expect("placed");
        for n in 0..QUEUE as u32 + 10 {
            recordings.frame(call, Format::ULAW, n * 20, &[0; 160]);
        }
        assert_eq!(receiver.try_iter().count(), QUEUE);
        assert_eq!(recordings.poll_left_out(), Some((call, 10)));
        assert_eq!(recordings.poll_left_out(), None);
    }
}
