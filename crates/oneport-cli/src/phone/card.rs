//! A sound card, by `cpal`.
//!
//! Its callbacks run on threads of the system that must never wait: they move samples between the card
//! and a bounded ring without locks, and do nothing else. All the rest, other rates and the echo
//! canceller too, is done by the voice's thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{
    BufferSize, Device, ErrorKind, FromSample, SampleFormat, SizedSample, Stream, StreamConfig,
    SupportedStreamConfig,
};
use oneport::media::rates::Converter;
use rtrb::{Consumer, Producer, RingBuffer};

use super::echo::Echo;
use super::sound::{FRAME, Pace, RATE, Samples, Sound, Trouble};

/// What waits for the loudspeaker, or for us, at most.
const RING_MS: u32 = 300;
/// What should wait for the loudspeaker beside what it takes at once.
const AHEAD_MS: u32 = 20;
/// So many frames may go one way at once: what the buffers of cards, and ours, hold.
const BURST: f64 = 40.0;
/// No card's clock is so much faster than ours.
const FASTEST: f64 = 1.05;
/// After so many frames too many it has no clock.
const TOO_MANY: u64 = 500;

/// What the callbacks tell the voice.
#[derive(Default)]
struct Told {
    /// The most samples that the loudspeaker took at once.
    taken: AtomicU32,
    gone: AtomicBool,
}

/// A sound card.
pub(super) struct Card {
    // They stop when they are dropped.
    _loudspeaker: Stream,
    _microphone: Option<Stream>,
    told: Arc<Told>,
    play: Producer<i16>,
    play_rate: u32,
    to_card: Converter,
    captured: Option<Captured>,
    echo: Option<Echo>,
    /// What is said where there is no microphone.
    silence: Pace,
    playing: Allowance,
    capturing: Allowance,
    too_many: u64,
}

/// How many frames a card may take or give now, if it keeps time.
#[derive(Debug, Default)]
struct Allowance {
    at: Option<Duration>,
    frames: f64,
}

impl Allowance {
    /// Up to so many.
    fn take(&mut self, now: Duration, wanted: u64) -> u64 {
        let since = self.at.replace(now).map_or(Duration::MAX, |at| now.saturating_sub(at));
        let more = since.as_secs_f64() / FRAME.as_secs_f64() * FASTEST;
        self.frames = (self.frames + more).min(BURST);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to BURST")]
        let taken = wanted.min(self.frames as u64);
        self.frames -= taken as f64;
        taken
    }
}

/// What comes from the microphone.
struct Captured {
    ring: Consumer<i16>,
    from_card: Converter,
}

impl Card {
    /// Opens the default loudspeaker and microphone; what they are, in words. Without a microphone one is
    /// only listened to.
    pub(super) fn open(cancel_echo: bool) -> Result<(Self, String), String> {
        #[cfg(target_os = "linux")]
        let _quiet = alsa::Output::local_error_handler();
        let host = cpal::default_host();
        let loudspeaker = host.default_output_device();
        let loudspeaker = loudspeaker.ok_or("there is no sound card")?;
        let config = loudspeaker.default_output_config().map_err(|error| no_card(&error))?;
        let told = Arc::new(Told::default());
        let (play, stream) = open_loudspeaker(&loudspeaker, &config, &told)?;
        let play_rate = config.sample_rate();
        let to_card = Converter::new(RATE, play_rate);
        let to_card = to_card.ok_or_else(|| odd_rate(play_rate))?;
        let microphone = host.default_input_device().ok_or_else(|| "there is none".to_string());
        let microphone = microphone.and_then(|device| open_microphone(&device, &told));
        stream.play().map_err(|error| no_card(&error))?;
        let name = loudspeaker.description();
        let name = name.map_or_else(|_| "sound card".into(), |name| name.to_string());
        let mut words = format!("{name}, {} kHz", f64::from(play_rate) / 1_000.0);
        let (microphone, captured) = match microphone {
            Ok((microphone, captured)) => (Some(microphone), Some(captured)),
            Err(why) => {
                words = format!("{words}, no microphone ({why})");
                (None, None)
            }
        };
        let card = Self {
            _loudspeaker: stream,
            _microphone: microphone,
            told,
            play,
            play_rate,
            to_card,
            captured,
            echo: cancel_echo.then(Echo::new),
            silence: Pace::default(),
            playing: Allowance::default(),
            capturing: Allowance::default(),
            too_many: 0,
        };
        Ok((card, words))
    }

    /// Samples that wait for the loudspeaker.
    fn waiting(&self) -> u32 {
        let free = self.play.slots();
        u32::try_from(self.play.buffer().capacity() - free).unwrap_or(u32::MAX)
    }

    /// Notes how many frames were more than a card with a clock would take or give.
    fn count(&mut self, wanted: u64, allowed: u64) {
        self.too_many = (self.too_many + wanted - allowed).saturating_sub(allowed);
    }
}

fn no_card(error: &cpal::Error) -> String {
    match error.kind() {
        ErrorKind::DeviceNotAvailable
        | ErrorKind::HostUnavailable
        | ErrorKind::UnsupportedOperation => "there is no sound card".into(),
        ErrorKind::DeviceBusy => "the sound card is in use".into(),
        _ => format!("the sound card cannot be used: {error}"),
    }
}

fn odd_rate(rate: u32) -> String {
    format!("the sound card cannot be used: its rate is {rate} Hz")
}

fn ring(rate: u32) -> (Producer<i16>, Consumer<i16>) {
    RingBuffer::new((rate / 1_000 * RING_MS) as usize)
}

/// 10 ms at once, where the card lets itself be told.
fn configs(config: &SupportedStreamConfig) -> [StreamConfig; 2] {
    let wish = StreamConfig {
        buffer_size: BufferSize::Fixed(config.sample_rate() / 100),
        ..config.config()
    };
    [wish, config.config()]
}

fn open_loudspeaker(
    device: &Device,
    config: &SupportedStreamConfig,
    told: &Arc<Told>,
) -> Result<(Producer<i16>, Stream), String> {
    let mut last = String::new();
    for wish in configs(config) {
        let (producer, consumer) = ring(wish.sample_rate);
        let stream = match config.sample_format() {
            SampleFormat::I16 => loudspeaker::<i16>(device, wish, consumer, told),
            SampleFormat::F32 => loudspeaker::<f32>(device, wish, consumer, told),
            SampleFormat::I32 => loudspeaker::<i32>(device, wish, consumer, told),
            SampleFormat::U8 => loudspeaker::<u8>(device, wish, consumer, told),
            other => return Err(format!("the sound card cannot be used: it speaks {other}")),
        };
        match stream {
            Ok(stream) => return Ok((producer, stream)),
            Err(error) => last = no_card(&error),
        }
    }
    Err(last)
}

fn loudspeaker<T: SizedSample + FromSample<i16>>(
    device: &Device,
    config: StreamConfig,
    mut ring: Consumer<i16>,
    told: &Arc<Told>,
) -> Result<Stream, cpal::Error> {
    let channels = usize::from(config.channels).max(1);
    let (taken, failed) = (Arc::clone(told), Arc::clone(told));
    device.build_output_stream(
        config,
        move |out: &mut [T], _| {
            let frames = u32::try_from(out.len() / channels).unwrap_or(u32::MAX);
            taken.taken.fetch_max(frames, Ordering::Relaxed);
            fetch(&mut ring, out, channels);
        },
        move |error| failed.note(&error),
        None,
    )
}

/// Fills what the card asks for; what is missing is silence.
fn fetch<T: SizedSample + FromSample<i16>>(
    ring: &mut Consumer<i16>,
    out: &mut [T],
    channels: usize,
) {
    for frame in out.chunks_mut(channels) {
        frame.fill(T::from_sample(ring.pop().unwrap_or_default()));
    }
}

fn open_microphone(device: &Device, told: &Arc<Told>) -> Result<(Stream, Captured), String> {
    let config = device.default_input_config().map_err(|error| no_card(&error))?;
    let rate = config.sample_rate();
    let from_card = Converter::new(rate, RATE).ok_or_else(|| odd_rate(rate))?;
    let mut last = String::new();
    for wish in configs(&config) {
        let (producer, ring) = ring(rate);
        let stream = match config.sample_format() {
            SampleFormat::I16 => microphone::<i16>(device, wish, producer, told),
            SampleFormat::F32 => microphone::<f32>(device, wish, producer, told),
            SampleFormat::I32 => microphone::<i32>(device, wish, producer, told),
            SampleFormat::U8 => microphone::<u8>(device, wish, producer, told),
            other => return Err(format!("it speaks {other}")),
        };
        match stream.and_then(|stream| stream.play().map(|()| stream)) {
            Ok(stream) => return Ok((stream, Captured { ring, from_card })),
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

fn microphone<T>(
    device: &Device,
    config: StreamConfig,
    mut ring: Producer<i16>,
    told: &Arc<Told>,
) -> Result<Stream, cpal::Error>
where
    T: SizedSample,
    i16: FromSample<T>,
{
    let channels = usize::from(config.channels).max(1);
    let failed = Arc::clone(told);
    device.build_input_stream(
        config,
        move |heard: &[T], _| hand_on(&mut ring, heard, channels),
        move |error| failed.note(&error),
        None,
    )
}

/// Hands on the first channel; what nobody fetches is lost.
fn hand_on<T: SizedSample>(ring: &mut Producer<i16>, heard: &[T], channels: usize)
where
    i16: FromSample<T>,
{
    for sample in heard.iter().step_by(channels) {
        if ring.push(i16::from_sample_(*sample)).is_err() {
            return;
        }
    }
}

impl Told {
    fn note(&self, error: &cpal::Error) {
        if matches!(error.kind(), ErrorKind::DeviceNotAvailable | ErrorKind::StreamInvalidated) {
            self.gone.store(true, Ordering::Relaxed);
        }
    }
}

impl Sound for Card {
    fn wanted(&mut self, now: Duration) -> usize {
        let rate = self.play_rate;
        let aim = self.told.taken.load(Ordering::Relaxed) + rate / 1_000 * AHEAD_MS;
        let aim = aim.min(rate / 1_000 * (RING_MS - AHEAD_MS));
        let missing = aim.saturating_sub(self.waiting());
        let frames = u64::from(missing.div_ceil(rate / 100));
        let allowed = self.playing.take(now, frames);
        self.count(frames, allowed);
        allowed as usize
    }

    fn heard_at(&self, now: Duration) -> Duration {
        now + Duration::from_secs(1) * self.waiting() / self.play_rate
    }

    fn play(&mut self, frame: &Samples, _talking: bool) {
        if let Some(echo) = &mut self.echo {
            echo.played(frame);
        }
        for sample in self.to_card.convert(frame) {
            // There is room: so many were wanted.
            let _ = self.play.push(*sample);
        }
    }

    fn capture(&mut self, now: Duration, frame: &mut Samples) -> bool {
        let Some(captured) = &mut self.captured else {
            // Nothing is said, at the usual pace.
            let due = self.silence.due(now) > 0;
            if due {
                self.silence.done();
                frame.fill(0);
            }
            return due;
        };
        let count = captured.from_card.takes();
        let Ok(chunk) = captured.ring.read_chunk(count) else { return false };
        let (first, second) = chunk.as_slices();
        captured.from_card.put(first, second);
        chunk.commit_all();
        let allowed = self.capturing.take(now, 1);
        frame.copy_from_slice(captured.from_card.converted());
        self.count(1, allowed);
        if allowed == 0 {
            return false;
        }
        if let Some(echo) = &mut self.echo {
            echo.clean(frame);
        }
        true
    }

    fn trouble(&mut self) -> Option<Trouble> {
        let sentence = if self.told.gone.load(Ordering::Relaxed) {
            "the sound card is gone; calls go on in silence"
        } else if self.too_many > TOO_MANY {
            "the sound card keeps no time, as if it were none; calls go on in silence"
        } else {
            return None;
        };
        Some(Trouble { sentence: sentence.into(), over: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_that_is_a_little_fast_is_never_held_back_and_one_without_a_clock_is() {
        let mut card = Allowance::default();
        let mut now = Duration::ZERO;
        assert_eq!(card.take(now, 1_000), BURST as u64, "it fills its buffers");
        for _ in 0..100_000 {
            now += FRAME * 100 / 103;
            assert_eq!(card.take(now, 1), 1);
        }
        let mut taken = 0;
        for _ in 0..1_000 {
            now += FRAME / 2;
            taken += card.take(now, 30);
        }
        assert!(taken < 600, "{taken}");
    }

    #[test]
    fn callbacks_move_what_there_is_to_all_channels_and_the_rest_is_silence() {
        let (mut producer, mut consumer) = RingBuffer::new(8);
        hand_on(&mut producer, &[0.5_f32, -1.0, -0.5, 1.0], 2);
        let mut out = [9_i32; 6];
        fetch(&mut consumer, &mut out, 2);
        let half = 1 << 30;
        assert_eq!(out, [half, half, -half, -half, 0, 0]);
        // What nobody fetches is lost, and nothing waits for it.
        hand_on(&mut producer, &[1_i16; 100], 1);
        assert_eq!(consumer.slots(), 8);
    }
}
