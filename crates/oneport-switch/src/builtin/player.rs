//! Audio made here.

use std::f64::consts::SQRT_2;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use oneport_media::progress::{Cadence, ProgressTone};
use oneport_media::{Codec, Encoder, tone};
use oneport_proto::Instant;

use super::music::{MusicClass, Playlist};
use super::sound::Sound;
use super::{FRAME_MS, is_plain};

/// A player that is further behind than this, as on a machine that slept, goes on from now.
const FURTHEST_BEHIND: Duration = Duration::from_secs(1);

/// Audio made here, 20 ms at a time.
#[derive(Debug)]
pub(crate) struct Player {
    pub(crate) codec: Codec,
    encoder: Box<dyn Encoder>,
    /// When the next frame is due.
    pub(crate) next: Instant,
    audio: Audio,
    /// Whether its call is over when it is.
    pub(crate) hangs_up: bool,
}

#[derive(Debug)]
enum Audio {
    /// The same payload for ever.
    Steady(Vec<u8>),
    /// The same samples for ever.
    Again(Vec<i16>),
    /// Samples, once.
    Once { samples: Vec<i16>, position: usize },
    /// Audio that others hear too, once.
    Sound { sound: Arc<Sound>, position: usize },
    /// Music, for ever.
    Music { playlist: Playlist, frame: Vec<i16> },
    /// A tone, for so many samples more, or for ever.
    Tone { tone: ProgressTone, left: Option<usize>, frame: Vec<i16> },
}

impl Player {
    /// The digital milliwatt.
    pub(crate) fn milliwatt(codec: Codec, now: Instant) -> Self {
        let audio = match codec {
            Codec::Ulaw => Audio::Steady(tone::MILLIWATT_ULAW.repeat(20)),
            Codec::Alaw => Audio::Steady(tone::MILLIWATT_ALAW.repeat(20)),
            _ => {
                // 0 dBm0 is 3.17 dB below the loudest sine.
                let amplitude = 10_f64.powf(-3.17 / 20.0);
                let tone = tone::Sine::new(1000.0, codec.sample_rate(), amplitude);
                Audio::Again(tone.take(codec.samples_in(FRAME_MS)).collect())
            }
        };
        Self::new(codec, now, audio)
    }

    fn new(codec: Codec, now: Instant, audio: Audio) -> Self {
        Self { codec, encoder: codec.encoder(), next: now, audio, hangs_up: true }
    }

    /// The melody that is played where no file is named.
    pub(crate) fn melody(codec: Codec, now: Instant) -> Self {
        Self::once(codec, now, melody(codec.sample_rate()))
    }

    /// Samples at the rate of the codec.
    pub(crate) fn once(codec: Codec, now: Instant, samples: Vec<i16>) -> Self {
        Self::new(codec, now, Audio::Once { samples, position: 0 })
    }

    /// The file of the playback directory that a caller names.
    pub(crate) fn file(directory: Option<&Path>, name: &str) -> Result<PathBuf, String> {
        let directory = directory.ok_or("no directory is configured (audio.playback)")?;
        if !is_plain(name) {
            return Err(format!("{name:?} is no plain file name"));
        }
        Ok(directory.join(name).with_extension("wav"))
    }

    /// The music of a class.
    pub(crate) fn music(codec: Codec, now: Instant, class: Arc<MusicClass>) -> Self {
        let frame = Vec::with_capacity(codec.samples_in(FRAME_MS));
        Self::new(codec, now, Audio::Music { playlist: class.playlist(), frame })
    }

    /// Audio that is in memory.
    pub(crate) fn sound(codec: Codec, now: Instant, sound: Arc<Sound>) -> Self {
        Self::new(codec, now, Audio::Sound { sound, position: 0 })
    }

    /// A tone that tells how a call goes, for a time or for ever.
    pub(crate) fn tone(
        codec: Codec,
        now: Instant,
        cadence: Cadence,
        lasts: Option<Duration>,
    ) -> Self {
        let tone = ProgressTone::new(cadence, codec.sample_rate());
        let samples =
            |lasts: Duration| codec.sample_rate() as usize * lasts.as_millis() as usize / 1000;
        let frame = vec![0; codec.samples_in(FRAME_MS)];
        Self::new(codec, now, Audio::Tone { tone, left: lasts.map(samples), frame })
    }

    /// Two short tones, behind which something is awaited.
    pub(crate) fn prompt(codec: Codec, now: Instant) -> Self {
        let rate = codec.sample_rate();
        let tenth = rate as usize / 10;
        let mut samples: Vec<i16> = tone::Sine::new(880.0, rate, 0.2).take(tenth).collect();
        samples.resize(2 * tenth, 0);
        let samples = samples.repeat(2);
        Self { hangs_up: false, ..Self::once(codec, now, samples) }
    }

    /// Goes on a frame later than now.
    pub(crate) fn wait(&mut self, now: Instant) {
        self.next = self.next.max(now + Duration::from_millis(FRAME_MS.into()));
    }

    /// Puts the frame that is due at `now` into `payload`; `false` at the end.
    pub(crate) fn frame(&mut self, now: Instant, payload: &mut Vec<u8>) -> bool {
        if now.since(self.next) > FURTHEST_BEHIND {
            self.next = now;
        }
        self.next = self.next + Duration::from_millis(FRAME_MS.into());
        payload.clear();
        let len = self.codec.samples_in(FRAME_MS);
        match &mut self.audio {
            Audio::Steady(steady) => payload.extend_from_slice(steady),
            Audio::Again(samples) => self.encoder.encode(samples, payload),
            Audio::Once { samples, position } => {
                return next_part(&mut *self.encoder, len, samples, position, payload);
            }
            Audio::Sound { sound, position } => {
                let samples = sound.at(self.codec.sample_rate());
                return next_part(&mut *self.encoder, len, samples, position, payload);
            }
            Audio::Music { playlist, frame } => {
                playlist.fill(self.codec.sample_rate(), len, frame);
                self.encoder.encode(frame, payload);
            }
            Audio::Tone { tone, left, frame } => {
                if let Some(left) = left {
                    let Some(less) = left.checked_sub(len) else { return false };
                    *left = less;
                }
                frame.fill_with(|| tone.next().unwrap_or(0));
                self.encoder.encode(frame, payload);
            }
        }
        true
    }
}

/// Puts the frame of so many samples at `position` into `payload`, and goes on; `false` at the end.
fn next_part(
    encoder: &mut dyn Encoder,
    len: usize,
    samples: &[i16],
    position: &mut usize,
    payload: &mut Vec<u8>,
) -> bool {
    let rest = samples.get(*position..).unwrap_or_default();
    if rest.is_empty() {
        return false;
    }
    match rest.get(..len) {
        Some(part) => encoder.encode(part, payload),
        None => {
            let mut last = rest.to_vec();
            last.resize(len, 0);
            encoder.encode(&last, payload);
        }
    }
    *position += len;
    true
}

/// Three rising tones with a fade, a second and a half in all.
fn melody(sample_rate: u32) -> Vec<i16> {
    let mut samples = Vec::new();
    for semitones in [0, 4, 7] {
        let frequency = 440.0 * SQRT_2.powf(f64::from(semitones) / 6.0);
        let len = sample_rate / 2;
        let tone = tone::Sine::new(frequency, sample_rate, 0.3).zip(0..len);
        samples.extend(tone.map(|(sample, n)| {
            let fade = f64::from(len - n) / f64::from(len);
            #[expect(clippy::cast_possible_truncation, reason = "it only gets smaller")]
            let faded = (f64::from(sample) * fade) as i16;
            faded
        }));
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_cannot_leave_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["../secret", "a/b", "", ".", "a.b", "/etc/passwd"] {
            let result = Player::file(Some(directory.path()), name);
            assert!(result.unwrap_err().contains("plain"), "{name}");
        }
    }

    #[test]
    fn a_tone_is_heard_in_its_cadence_for_as_long_as_it_lasts() {
        use oneport_media::progress::{Country, Progress};
        let (now, us) = (Instant::from_micros(0), Country::find("us").expect("known"));
        for codec in [Codec::Slin, Codec::Slin16] {
            let cadence = us.cadence(Progress::Congestion);
            let lasts = Some(Duration::from_secs(10));
            let mut player = Player::tone(codec, now, cadence, lasts);
            let (mut payload, mut heard) = (Vec::new(), Vec::new());
            let mut decoder = codec.decoder();
            while player.frame(now, &mut payload) {
                decoder.decode(&payload, &mut heard);
            }
            let rate = codec.sample_rate() as usize;
            assert_eq!(heard.len(), 10 * rate);
            for (n, quarter) in heard.chunks(rate / 4).enumerate() {
                let loud = quarter.iter().map(|sample| sample.unsigned_abs()).max();
                assert_eq!(loud > Some(8_000), n % 2 == 0, "quarter {n} at {rate} Hz");
            }
        }
    }

    #[test]
    fn a_melody_ends() {
        let now = Instant::from_micros(0);
        let mut player = Player::melody(Codec::Alaw, now);
        let mut payload = Vec::new();
        let mut frames = 0;
        while player.frame(now, &mut payload) {
            assert_eq!(payload.len(), 160);
            frames += 1;
        }
        assert_eq!(frames, 75);
    }
}
