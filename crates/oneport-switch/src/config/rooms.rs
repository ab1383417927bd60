//! `[conferences.NAME]`, `[parking]`, and what is heard where there is no room, as they are written,
//! and their check.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use oneport_media::progress::Progress;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Files;
use super::error::ConfigError;
use super::music::read_class;
use super::source::Source;
use super::spanned::Spanned;
use crate::builtin::{Announcement, Builtin, MusicClass, Place, Sound, is_plain};
use crate::conference::RoomConfig;
use crate::parking::ParkingConfig;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ConferenceKeys {
    /// Digits that let somebody in, `#` behind them or not. After three wrong ones, or 20 s, the
    /// call ends (cause 21).
    pin: Option<Spanned<String>>,
    /// How many may be in it, 500 at most; others find it busy (cause 17).
    #[schemars(range(min = 1, max = MOST_MEMBERS), extend("default" = 32))]
    max_members: Option<Spanned<usize>>,
    /// Whether a rising tone tells that somebody comes, a falling one that somebody goes.
    #[schemars(extend("default" = true))]
    announce: Option<bool>,
    /// Whether who comes in is not heard before it presses `*`.
    #[schemars(extend("default" = false))]
    muted: Option<bool>,
    /// The rate at which it is mixed: 8000, 16000 or 48000. Those who speak at a higher one are heard
    /// at this; it holds from when the room is next empty.
    #[schemars(extend("x-unit" = "Hz", "default" = 8000))]
    sample_rate: Option<Spanned<u32>>,
}

/// Members of one conference that are mixed at most.
const MOST_MEMBERS: usize = 500;

/// Slots in which calls are parked at most.
const MOST_SLOTS: u32 = 10_000;

/// Reads the conferences.
pub(super) fn read_conferences(
    source: &Source<'_>,
    keys: BTreeMap<Spanned<String>, ConferenceKeys>,
) -> Result<BTreeMap<String, RoomConfig>, ConfigError> {
    let mut rooms = BTreeMap::new();
    for (name, keys) in keys {
        if !is_plain(name.get_ref()) {
            let what = format!("`{}` is no name of a conference", name.get_ref());
            let help = "letters, digits, - and _ may be in it: [conferences.sales]";
            return Err(source.wrong(&name, what).with_help(help));
        }
        let mut room = RoomConfig::default();
        if let Some(pin) = keys.pin {
            let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            if !(1..=16).contains(&pin.get_ref().len()) || !digits(pin.get_ref()) {
                let error = source.wrong(&pin, "a PIN is dialled, so it has digits alone");
                return Err(error.with_help("choose 1 to 16 digits: pin = \"4711\""));
            }
            room.pin = Some(pin.into_inner());
        }
        if let Some(most) = keys.max_members {
            if !(1..=MOST_MEMBERS).contains(most.get_ref()) {
                let what = format!("a conference cannot have {} members", most.get_ref());
                let help = format!("choose 1 to {MOST_MEMBERS}; 32 is usual");
                return Err(source.wrong(&most, what).with_help(help));
            }
            room.max_members = most.into_inner();
        }
        room.announce = keys.announce.unwrap_or(room.announce);
        room.muted = keys.muted.unwrap_or(room.muted);
        if let Some(rate) = keys.sample_rate {
            if ![8_000, 16_000, 48_000].contains(rate.get_ref()) {
                let what = format!("a conference is not mixed at {} Hz", rate.get_ref());
                return Err(source.wrong(&rate, what).with_help("choose 8000, 16000 or 48000"));
            }
            room.rate = rate.into_inner();
        }
        rooms.insert(name.into_inner(), room);
    }
    Ok(rooms)
}

#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ParkingKeys {
    /// Slots, numbered from 1.
    #[schemars(range(min = 0, max = MOST_SLOTS), extend("default" = 20))]
    slots: Option<Spanned<u32>>,
    /// After so long a call goes back to who has parked it, by its number; one that came by itself
    /// ends (cause 19).
    #[schemars(range(min = 1, max = 86_400), extend("default" = 120))]
    timeout_seconds: Option<Spanned<u64>>,
    /// The music that is heard there.
    #[schemars(extend("x-default" = "`\"default\"`, if there is one"))]
    music: Option<Spanned<String>>,
}

impl ParkingKeys {
    pub(super) fn check(
        self,
        source: &Source<'_>,
        music: &BTreeMap<String, Arc<MusicClass>>,
    ) -> Result<ParkingConfig, ConfigError> {
        let mut parking = ParkingConfig::default();
        if let Some(slots) = self.slots {
            if *slots.get_ref() > MOST_SLOTS {
                let what = format!("{} calls cannot be parked at once", slots.get_ref());
                return Err(source
                    .wrong(&slots, what)
                    .with_help(format!("choose {MOST_SLOTS} at most")));
            }
            parking.slots = slots.into_inner();
        }
        if let Some(seconds) = self.timeout_seconds {
            if !(1..=86_400).contains(seconds.get_ref()) {
                let what = format!("a call cannot be parked for {} s", seconds.get_ref());
                let help = "choose 1 to 86400 s; 120 is usual";
                return Err(source.wrong(&seconds, what).with_help(help));
            }
            parking.timeout = Duration::from_secs(seconds.into_inner());
        }
        parking.music = read_class(source, self.music.as_ref(), music)?;
        Ok(parking)
    }
}

/// Reads what is heard where there is no room: `congestion`, its tone, or a file: `playback/NAME`.
pub(super) fn read_notice(
    source: &Source<'_>,
    written: Option<&Spanned<String>>,
    files: &Files,
) -> Result<Option<Announcement>, ConfigError> {
    let Some(written) = written else { return Ok(None) };
    let wrong = |what: String| {
        let help = "write \"congestion\" for the tone, or \"playback/NAME\" for NAME.wav in \
                    audio.playback";
        source.wrong(written, what).with_help(help)
    };
    match Place::named(written.get_ref()) {
        Some(Place { builtin: Builtin::Congestion, argument: None }) => {
            Ok(Some(Announcement::Tone(Progress::Congestion)))
        }
        Some(Place { builtin: Builtin::Playback, argument: Some(name) }) if is_plain(&name) => {
            let Some(directory) = &files.playback else {
                return Err(wrong("there is no directory of files (audio.playback)".into()));
            };
            let sound = Sound::load(&directory.join(&name).with_extension("wav"));
            Ok(Some(Announcement::File(Arc::new(sound.map_err(wrong)?))))
        }
        _ => Err(wrong(format!("`{}` cannot be heard", written.get_ref()))),
    }
}
