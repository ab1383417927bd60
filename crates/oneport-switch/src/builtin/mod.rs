//! What the switch itself answers: echo, milliwatt, playback, record, conferences,
//! parking, music, the tone of congestion, the far end of a probe.

mod announcement;
mod music;
mod player;
mod reader;
mod sound;

use std::fmt;

pub(crate) use announcement::Announcement;
pub(crate) use music::MusicClass;
pub(crate) use player::Player;
pub(crate) use reader::{Read, Reader};
pub(crate) use sound::Sound;

/// Milliseconds in a frame that we make.
pub(crate) const FRAME_MS: u16 = 20;

/// A destination inside the switch.
///
/// ```
/// use oneport_switch::Builtin;
///
/// assert_eq!((Builtin::Echo.name(), Builtin::Echo.number()), ("echo", "600"));
/// assert!(Builtin::ALL.contains(&Builtin::Probe));
/// ```
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
    /// A room whose members hear each other, `conference/NAME`.
    Conference,
    /// Waits until somebody fetches it, `park`; fetches who waits, `park/SLOT`.
    Park,
    /// Plays the music of a class, `music/CLASS`, for ever.
    Music,
    /// Plays the tone of congestion.
    Congestion,
    /// An echo that says in the frames of `oneport probe` when they were here, and how many had come.
    Probe,
}

impl Builtin {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Echo,
        Self::Milliwatt,
        Self::Playback,
        Self::Record,
        Self::Conference,
        Self::Park,
        Self::Music,
        Self::Congestion,
        Self::Probe,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Milliwatt => "milliwatt",
            Self::Playback => "playback",
            Self::Record => "record",
            Self::Conference => "conference",
            Self::Park => "park",
            Self::Music => "music",
            Self::Congestion => "congestion",
            Self::Probe => "probe",
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
            Self::Conference => "604",
            Self::Park => "605",
            Self::Music => "606",
            Self::Congestion => "607",
            Self::Probe => "608",
        }
    }

    /// Whether guests may call it.
    pub(crate) const fn is_for_guests(self) -> bool {
        matches!(self, Self::Echo | Self::Milliwatt | Self::Probe)
    }

    /// Whether it must understand the audio; an echo need not.
    pub(crate) const fn needs_codec(self) -> bool {
        !matches!(self, Self::Echo | Self::Probe)
    }
}

impl fmt::Display for Builtin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A built-in destination as it is called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) builtin: Builtin,
    /// What stands behind its slash, such as the name of a file.
    pub(crate) argument: Option<String>,
}

impl Place {
    /// The one that `called` names, by name or number.
    pub(crate) fn find(called: &str) -> Option<Self> {
        Self::read(called, |one, name| one.name() == name || one.number() == name)
    }

    /// The one that a route names, by its name alone.
    pub(crate) fn named(written: &str) -> Option<Self> {
        Self::read(written, |one, name| one.name() == name)
    }

    fn read(text: &str, is: impl Fn(Builtin, &str) -> bool) -> Option<Self> {
        let (name, argument) = match text.split_once('/') {
            Some((name, argument)) => (name, Some(argument.to_string())),
            None => (text, None),
        };
        let builtin = Builtin::ALL.into_iter().find(|one| is(*one, name))?;
        Some(Self { builtin, argument })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.argument {
            Some(argument) => write!(f, "{}/{argument}", self.builtin),
            None => self.builtin.fmt(f),
        }
    }
}

/// Whether a name given by a caller stays in its directory.
pub(crate) fn is_plain(name: &str) -> bool {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
    !name.is_empty() && name.len() <= 64 && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_by_name_and_by_number() {
        let find = |called| Place::find(called).map(|place| (place.builtin, place.argument));
        assert_eq!(find("echo"), Some((Builtin::Echo, None)));
        assert_eq!(find("601"), Some((Builtin::Milliwatt, None)));
        assert_eq!(find("playback/hello"), Some((Builtin::Playback, Some("hello".into()))));
        assert_eq!(find("6001"), None);
        assert_eq!(Place::named("601"), None);
        for builtin in Builtin::ALL {
            assert_eq!(find(builtin.name()), find(builtin.number()));
        }
    }
}
