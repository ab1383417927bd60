//! The voice of a softphone: from the network through the jitter buffer to the loudspeaker, and from
//! the microphone through the encoder to the network.
//!
//! [`Voice`] has no clock and no thread: it is told the time. [`begin`] gives it both, apart from the
//! rest, so that a slow terminal is never heard.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use oneport::media::jitter_buffer::{JitterBuffer, JitterConfig};
use oneport::media::progress::Country;
use oneport::media::{Codec, Decoder, Encoder, Rate};
use oneport::{AudioWriter, Heard as FromThem};

use super::bells::Bells;
use super::sound::{Files, RATE, Samples, Sound, Trouble};
use super::state::{Alert, LineId, SILENT};

/// How long a frame that we send is, in ms.
const SENT_MS: u16 = 20;
/// How often the loudspeaker is looked after.
const STEP: Duration = Duration::from_millis(5);
/// What may wait for the voice: some seconds of frames of all calls.
const QUEUE: usize = 1_024;

/// What a [`Voice`] is told.
#[expect(clippy::large_enum_variant, reason = "most are frames, which are not allocated for this")]
pub(crate) enum ToVoice {
    /// A line has audio: how it is coded, and where what we say goes.
    Wire {
        line: LineId,
        codec: Codec,
        say: Say,
    },
    /// It has none any more.
    Unwire(LineId),
    /// It was answered, so that it hears us.
    Answered(LineId),
    /// Whom we talk to.
    Talk(Option<LineId>),
    /// What came for a line, and when.
    Frame {
        line: LineId,
        at: Duration,
        heard: FromThem,
    },
    Mute(bool),
    /// In dB.
    Volume(i8),
    Alert(Alert),
}

/// Takes a payload of 20 ms away.
pub(crate) type Say = Box<dyn FnMut(&[u8]) + Send>;

/// Sends what is said on a call.
pub(crate) fn say_on(writer: AudioWriter, codec: Codec) -> Say {
    Box::new(move |payload| writer.send(codec.format(), payload, SENT_MS))
}

/// What others may look at while it runs.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    /// The loudest of late, as bits of an `f32` between 0 and 1.
    microphone: AtomicU32,
    heard: AtomicU32,
    /// The line that the rest is about; 0: none.
    line: AtomicU32,
    /// What the jitter buffer holds, in µs.
    buffer: AtomicU64,
    /// Parts of a million of what was heard that were made up.
    concealed: AtomicU64,
}

impl Gauges {
    fn note(gauge: &AtomicU32, frame: &[i16]) {
        let sum: f32 = frame.iter().map(|sample| f32::from(*sample).powi(2)).sum();
        let level = (sum / frame.len() as f32).sqrt() / 32_768.0;
        // Floats that are not negative are in the order of their bits.
        gauge.fetch_max(level.to_bits(), Ordering::Relaxed);
    }

    /// The levels of microphone and loudspeaker since they were last asked for, in dB of full scale.
    pub(crate) fn levels(&self) -> (f32, f32) {
        let level = |gauge: &AtomicU32| {
            let level = f32::from_bits(gauge.swap(0, Ordering::Relaxed));
            (20.0 * level.max(f32::MIN_POSITIVE).log10()).max(SILENT)
        };
        (level(&self.microphone), level(&self.heard))
    }

    /// What the jitter buffer of a line holds, and how many per cent of what was heard were made up, if
    /// it is the one that is talked to.
    pub(crate) fn of(&self, line: LineId) -> Option<(Duration, f64)> {
        if self.line.load(Ordering::Relaxed) != line.0 {
            return None;
        }
        let buffer = Duration::from_micros(self.buffer.load(Ordering::Relaxed));
        Some((buffer, self.concealed.load(Ordering::Relaxed) as f64 / 10_000.0))
    }
}

/// A line that has audio.
struct Wired {
    codec: Codec,
    say: Say,
    encoder: Box<dyn Encoder>,
    answered: bool,
}

/// What is heard of whom we talk to.
struct Heard {
    line: LineId,
    codec: Codec,
    buffer: JitterBuffer,
    decoder: Box<dyn Decoder>,
    /// From the codec's rate to ours, and back.
    to_ours: Rate,
    from_ours: Rate,
    /// Samples that wait to be said, at the codec's rate.
    unsaid: Vec<i16>,
    payload: Vec<u8>,
    narrow: Vec<i16>,
}

impl Heard {
    fn new(line: LineId, codec: Codec) -> Self {
        let rate = codec.sample_rate();
        Self {
            line,
            codec,
            buffer: JitterBuffer::new(JitterConfig::new(rate)),
            decoder: codec.decoder(),
            to_ours: Rate::between(rate, RATE),
            from_ours: Rate::between(RATE, rate),
            unsaid: Vec::with_capacity(RATE as usize / 10),
            payload: Vec::with_capacity(960),
            narrow: Vec::with_capacity(RATE as usize / 50),
        }
    }
}

impl Heard {
    /// Takes what came at `at`.
    fn take(&mut self, at: Duration, from_them: &FromThem) {
        match from_them {
            FromThem::Voice(frame) if frame.format == self.codec.format() => {
                let _ = self.buffer.insert(at, frame.timestamp.0, &frame.payload);
            }
            FromThem::Voice(_) => {}
            FromThem::Pause { timestamp, level } => self.buffer.pause(timestamp.0, *level),
        }
    }
}

/// The voice.
pub(crate) struct Voice<S> {
    sound: S,
    lines: HashMap<LineId, Wired>,
    talking: Option<LineId>,
    /// Kept as long as the same line is talked to.
    heard: Option<Heard>,
    muted: bool,
    /// A factor.
    volume: f32,
    bells: Bells,
    gauges: Arc<Gauges>,
    scratch: Vec<i16>,
}

impl<S: Sound> Voice<S> {
    pub(crate) fn new(sound: S, gauges: Arc<Gauges>, country: &'static Country) -> Self {
        Self {
            sound,
            lines: HashMap::new(),
            talking: None,
            heard: None,
            muted: false,
            volume: 1.0,
            bells: Bells::new(country),
            gauges,
            scratch: Vec::with_capacity(RATE as usize / 50),
        }
    }

    /// Goes on with another loudspeaker and microphone.
    fn through<T: Sound>(self, sound: T) -> Voice<T> {
        let Self { lines, talking, heard, muted, volume, bells, gauges, scratch, .. } = self;
        Voice { sound, lines, talking, heard, muted, volume, bells, gauges, scratch }
    }

    pub(crate) fn told(&mut self, what: ToVoice) {
        match what {
            ToVoice::Wire { line, codec, say } => {
                let encoder = codec.encoder();
                self.lines.insert(line, Wired { codec, say, encoder, answered: false });
                self.listen();
            }
            ToVoice::Unwire(line) => {
                self.lines.remove(&line);
                self.listen();
            }
            ToVoice::Answered(line) => {
                if let Some(wired) = self.lines.get_mut(&line) {
                    wired.answered = true;
                    self.sound.answered();
                }
            }
            ToVoice::Talk(line) => {
                self.talking = line;
                self.listen();
            }
            ToVoice::Frame { line, at, heard: from_them } => {
                if let Some(heard) = self.heard.as_mut().filter(|heard| heard.line == line) {
                    heard.take(at, &from_them);
                }
            }
            ToVoice::Mute(muted) => self.muted = muted,
            ToVoice::Volume(db) => self.volume = 10_f32.powf(f32::from(db) / 20.0),
            ToVoice::Alert(alert) => self.bells.set(alert),
        }
    }

    /// Hears whom we talk to, from now on.
    fn listen(&mut self) {
        let wanted = self.talking.and_then(|line| Some((line, self.lines.get(&line)?.codec)));
        let present = self.heard.as_ref().map(|heard| (heard.line, heard.codec));
        if wanted != present {
            self.heard = wanted.map(|(line, codec)| Heard::new(line, codec));
            let line = wanted.map_or(0, |(line, _)| line.0);
            self.gauges.line.store(line, Ordering::Relaxed);
        }
    }

    /// Does what is due at `now`.
    pub(crate) fn step(&mut self, now: Duration) {
        for _ in 0..self.sound.wanted(now) {
            let mut frame = [0; RATE as usize / 100];
            let talking = self.hear(self.sound.heard_at(now), &mut frame);
            self.bells.ring(&mut frame);
            self.sound.play(&frame, talking);
        }
        let mut frame = [0; RATE as usize / 100];
        while self.sound.capture(now, &mut frame) {
            self.speak(&mut frame);
        }
    }

    /// What they say, to be heard at `at`. `false`: nobody is there to say anything.
    fn hear(&mut self, at: Duration, frame: &mut Samples) -> bool {
        let Some(heard) = &mut self.heard else { return false };
        let narrow = &mut heard.narrow;
        narrow.clear();
        narrow.resize(heard.codec.samples_in(10), 0);
        let _ = heard.buffer.pull(at, &mut *heard.decoder, narrow);
        self.scratch.clear();
        heard.to_ours.pass(narrow, &mut self.scratch);
        let count = self.scratch.len().min(frame.len());
        frame[..count].copy_from_slice(&self.scratch[..count]);
        if self.volume != 1.0 {
            for sample in frame.iter_mut() {
                #[expect(clippy::cast_possible_truncation, reason = "a float cast saturates")]
                let louder = (f32::from(*sample) * self.volume).round() as i16;
                *sample = louder;
            }
        }
        Gauges::note(&self.gauges.heard, frame);
        let delay = heard.buffer.delay().unwrap_or_else(|| heard.buffer.target());
        let delay = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        self.gauges.buffer.store(delay, Ordering::Relaxed);
        let stats = heard.buffer.stats();
        let concealed = stats.concealed * 1_000_000 / stats.played.max(1);
        self.gauges.concealed.store(concealed, Ordering::Relaxed);
        true
    }

    /// Says what the microphone heard.
    fn speak(&mut self, frame: &mut Samples) {
        Gauges::note(&self.gauges.microphone, frame);
        let Some(heard) = &mut self.heard else { return };
        let Some(wired) = self.lines.get_mut(&heard.line).filter(|wired| wired.answered) else {
            return;
        };
        if self.muted {
            frame.fill(0);
        }
        heard.from_ours.pass(frame, &mut heard.unsaid);
        let count = wired.codec.samples_in(SENT_MS);
        while heard.unsaid.len() >= count {
            heard.payload.clear();
            wired.encoder.encode(&heard.unsaid[..count], &mut heard.payload);
            (wired.say)(&heard.payload);
            heard.unsaid.drain(..count);
        }
    }
}

/// A voice on a thread of its own.
#[derive(Clone)]
pub(crate) struct Speaker {
    orders: SyncSender<ToVoice>,
    pub(crate) gauges: Arc<Gauges>,
    origin: Instant,
}

impl Speaker {
    /// Tells it something. Where it does not keep up, frames are lost rather than anybody kept waiting.
    pub(crate) fn tell(&self, what: ToVoice) {
        match what {
            ToVoice::Frame { .. } => drop(self.orders.try_send(what)),
            what => drop(self.orders.send(what)),
        }
    }

    /// Hands on what came for a line just now.
    pub(crate) fn heard(&self, line: LineId, heard: FromThem) {
        self.tell(ToVoice::Frame { line, at: self.origin.elapsed(), heard });
    }
}

/// A voice's thread, which ends when nobody speaks to it any more.
pub(crate) struct Thread(Option<thread::JoinHandle<()>>);

impl Thread {
    /// Waits for its end: files are complete then.
    pub(crate) fn join(mut self) {
        if let Some(thread) = self.0.take() {
            // If it panicked, that was said already.
            let _ = thread.join();
        }
    }
}

/// Begins a voice that hears the tones of `country`, and goes through what `open` makes on its thread; `tell` hears of it in words. Where
/// that fails, it goes on in silence.
pub(crate) fn begin(
    country: &'static Country,
    open: impl FnOnce() -> (Box<dyn Sound>, String) + Send + 'static,
    tell: impl Fn(String) + Send + 'static,
) -> std::io::Result<(Speaker, Thread)> {
    let (orders, told) = sync_channel(QUEUE);
    let gauges = Arc::new(Gauges::default());
    let (origin, for_voice) = (Instant::now(), Arc::clone(&gauges));
    let thread = thread::Builder::new().name("voice".into()).spawn(move || {
        let (sound, sentence) = open();
        tell(sentence);
        run(Voice::new(sound, for_voice, country), &told, origin, &tell);
    })?;
    Ok((Speaker { orders, gauges, origin }, Thread(Some(thread))))
}

impl Sound for Box<dyn Sound> {
    fn wanted(&mut self, now: Duration) -> usize {
        (**self).wanted(now)
    }

    fn heard_at(&self, now: Duration) -> Duration {
        (**self).heard_at(now)
    }

    fn play(&mut self, frame: &Samples, talking: bool) {
        (**self).play(frame, talking);
    }

    fn capture(&mut self, now: Duration, frame: &mut Samples) -> bool {
        (**self).capture(now, frame)
    }

    fn answered(&mut self) {
        (**self).answered();
    }

    fn trouble(&mut self) -> Option<Trouble> {
        (**self).trouble()
    }
}

fn run(
    mut voice: Voice<Box<dyn Sound>>,
    told: &Receiver<ToVoice>,
    origin: Instant,
    tell: &impl Fn(String),
) {
    loop {
        match told.recv_timeout(STEP) {
            Ok(what) => {
                voice.told(what);
                while let Ok(what) = told.try_recv() {
                    voice.told(what);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        voice.step(origin.elapsed());
        if let Some(trouble) = voice.sound.trouble() {
            tell(trouble.sentence);
            if trouble.over {
                voice = voice.through(Box::new(Files::default()));
            }
        }
    }
}

#[cfg(test)]
mod tests;
