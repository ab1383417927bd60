//! What the switch itself answers: echo, milliwatt, playback, record.

use std::f64::consts::SQRT_2;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use oneport_media::{Codec, tone, wav};
use oneport_proto::Instant;

/// Milliseconds in a frame that we make.
pub(crate) const FRAME_MS: u16 = 20;

/// A destination inside the switch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Builtin {
    /// Sends back what it hears.
    Echo,
    /// 1 kHz at 0 dBm0, to measure levels.
    Milliwatt,
    /// Plays a file, `playback/NAME`, or a short melody.
    Playback,
    /// Writes what it hears into a WAV file.
    Record,
}

impl Builtin {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Echo, Self::Milliwatt, Self::Playback, Self::Record];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Milliwatt => "milliwatt",
            Self::Playback => "playback",
            Self::Record => "record",
        }
    }

    /// Its number, for telephones without letters.
    #[must_use]
    pub const fn number(self) -> &'static str {
        match self {
            Self::Echo => "600",
            Self::Milliwatt => "601",
            Self::Playback => "602",
            Self::Record => "603",
        }
    }

    /// The one that `called` names, by name or number, and what stands behind its slash.
    pub(crate) fn find(called: &str) -> Option<(Self, Option<&str>)> {
        let (name, argument) = match called.split_once('/') {
            Some((name, argument)) => (name, Some(argument)),
            None => (called, None),
        };
        let found = Self::ALL.into_iter().find(|one| one.name() == name || one.number() == name)?;
        Some((found, argument))
    }

    /// Whether guests may call it.
    pub(crate) const fn is_for_guests(self) -> bool {
        matches!(self, Self::Echo | Self::Milliwatt)
    }

    /// Whether it must understand the audio; an echo need not.
    pub(crate) const fn needs_codec(self) -> bool {
        !matches!(self, Self::Echo)
    }
}

impl fmt::Display for Builtin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Builtin {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|one| one.name() == name).ok_or(())
    }
}

/// Audio made here, 20 ms at a time.
#[derive(Debug)]
pub(crate) struct Player {
    pub(crate) codec: Codec,
    /// When the next frame is due.
    pub(crate) next: Instant,
    audio: Audio,
}

#[derive(Debug)]
enum Audio {
    /// The same payload for ever.
    Steady(Vec<u8>),
    /// Samples, once.
    Once { samples: Vec<i16>, position: usize },
}

impl Player {
    /// The digital milliwatt.
    pub(crate) fn milliwatt(codec: Codec, now: Instant) -> Self {
        let mut payload = Vec::new();
        match codec {
            Codec::Ulaw => payload.extend(tone::MILLIWATT_ULAW.repeat(20)),
            Codec::Alaw => payload.extend(tone::MILLIWATT_ALAW.repeat(20)),
            _ => {
                // 0 dBm0 is 3.17 dB below the loudest sine.
                let amplitude = 10_f64.powf(-3.17 / 20.0);
                let samples: Vec<i16> = tone::Sine::new(1000.0, codec.sample_rate(), amplitude)
                    .take(codec.samples_in(FRAME_MS))
                    .collect();
                codec.encode(&samples, &mut payload);
            }
        }
        Self { codec, next: now, audio: Audio::Steady(payload) }
    }

    /// A file of the playback directory, or the melody.
    pub(crate) fn playback(
        codec: Codec,
        now: Instant,
        directory: Option<&Path>,
        name: Option<&str>,
    ) -> Result<Self, String> {
        let samples = match name {
            None => melody(codec.sample_rate()),
            Some(name) => {
                let directory = directory.ok_or("no directory is configured (audio.playback)")?;
                if !is_plain(name) {
                    return Err(format!("{name:?} is no plain file name"));
                }
                let path = directory.join(name).with_extension("wav");
                wav::read(&path, codec.sample_rate()).map_err(|error| error.to_string())?
            }
        };
        Ok(Self { codec, next: now, audio: Audio::Once { samples, position: 0 } })
    }

    /// Puts the next frame into `payload`; `false` at the end.
    pub(crate) fn frame(&mut self, payload: &mut Vec<u8>) -> bool {
        self.next = self.next + Duration::from_millis(FRAME_MS.into());
        payload.clear();
        match &mut self.audio {
            Audio::Steady(steady) => payload.extend_from_slice(steady),
            Audio::Once { samples, position } => {
                let len = self.codec.samples_in(FRAME_MS);
                let rest = samples.get(*position..).unwrap_or_default();
                if rest.is_empty() {
                    return false;
                }
                let part = &rest[..len.min(rest.len())];
                self.codec.encode(part, payload);
                if part.len() < len {
                    self.codec.encode(&vec![0; len - part.len()], payload);
                }
                *position += len;
            }
        }
        true
    }
}

/// Whether a name given by a caller stays in its directory.
fn is_plain(name: &str) -> bool {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
    !name.is_empty() && name.chars().all(plain)
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
    fn each_is_found_by_name_and_by_number() {
        assert_eq!(Builtin::find("echo"), Some((Builtin::Echo, None)));
        assert_eq!(Builtin::find("601"), Some((Builtin::Milliwatt, None)));
        assert_eq!(Builtin::find("playback/hello"), Some((Builtin::Playback, Some("hello"))));
        assert_eq!(Builtin::find("6001"), None);
    }

    #[test]
    fn a_caller_cannot_leave_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        let now = Instant::from_micros(0);
        for name in ["../secret", "a/b", "", ".", "a.b", "/etc/passwd"] {
            let result = Player::playback(Codec::Ulaw, now, Some(directory.path()), Some(name));
            assert!(result.unwrap_err().contains("plain"), "{name}");
        }
    }

    #[test]
    fn a_melody_ends() {
        let now = Instant::from_micros(0);
        let mut player = Player::playback(Codec::Alaw, now, None, None).unwrap();
        let mut payload = Vec::new();
        let mut frames = 0;
        while player.frame(&mut payload) {
            assert_eq!(payload.len(), 160);
            frames += 1;
        }
        assert_eq!(frames, 75);
    }
}
