//! What is heard before a refusal.

use std::sync::Arc;
use std::time::Duration;

use oneport_media::Codec;
use oneport_media::progress::{Country, Progress};
use oneport_proto::Instant;

use super::{Player, Sound};

/// How long a tone is heard that says that there is no way on.
const TONE_LASTS: Duration = Duration::from_secs(10);

/// Why a call goes no further, to be heard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Announcement {
    /// A file.
    File(Arc<Sound>),
    /// A tone of the caller's country.
    Tone(Progress),
}

impl Announcement {
    /// Plays it, to somebody who knows the tones of `country`.
    pub(crate) fn player(self, codec: Codec, now: Instant, country: &Country) -> Player {
        match self {
            Self::File(sound) => Player::sound(codec, now, sound),
            Self::Tone(progress) => {
                Player::tone(codec, now, country.cadence(progress), Some(TONE_LASTS))
            }
        }
    }
}
