//! `[server]`, `[guests]` and `[audio]`, and their check.

use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use oneport_media::wav::Depth;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Config;
use super::addresses::read_listen;
use super::device::read_firmware;
use super::error::ConfigError;
use super::peers::{ENCRYPTION, read_encryption};
use super::profile::{PROFILES, Profile};
use super::schema::Words;
use super::source::{Beside, Source};
use super::spanned::Spanned;
use super::tones;

#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Server {
    /// Addresses and ports to listen on. Without a port, 4569.
    #[schemars(extend("default" = ["0.0.0.0:4569", "[::]:4569"]))]
    listen: Option<Vec<Spanned<String>>>,
    /// Legs of calls, registrations and polls held at once. The number of one that has ended rests
    /// and counts for `quarantine_seconds`, 60 s.
    #[schemars(extend("default" = 100000))]
    max_calls: Option<usize>,
    /// The same for one IP address, whatever the port: legs of calls from there and to there,
    /// registrations, polls, and numbers that rest. A box that begins 20 calls in a second has 1,200
    /// that rest, beside those that are up.
    #[schemars(extend("default" = 2048))]
    max_calls_per_address: Option<usize>,
    /// How long the switch, while there are calls, looks for what arrives without a rest before it sleeps: frames then
    /// pass without the delay of a wake-up (performance.md), and most of a core is used, whatever there is to do. For
    /// machines with a core to spare, and no CPU quota. 0: it sleeps at once.
    #[schemars(range(max = 1000), extend("x-unit" = "µs", "default" = 0))]
    busy_poll_us: Option<Spanned<u64>>,
    /// How long datagrams gather before they are taken, where so much voice comes that four or more are there in that
    /// time (at 500 from some 80 calls of mini frames on; trunk frames hold many): less CPU time, and each waits so
    /// long, and what the system's timers add, at most. Signalling beside much voice waits too, and packets of SIP
    /// carriers. 0: not at all, which `busy_poll_us` means too.
    #[schemars(range(max = 5000), extend("x-unit" = "µs", "default" = 500))]
    gather_us: Option<Spanned<u64>>,
    /// Proofs awaited at once under one user name; more callers are refused. Asterisk's
    /// `maxauthreq` is 3: then three silent callers shut everybody else of that name out, and a
    /// trunk loses the fourth call of a burst. Who is let off its call token (`optional`) is
    /// counted here though its address may be another's.
    #[schemars(range(min = 1), extend("default" = 64))]
    max_challenges_per_user: Option<Spanned<usize>>,
    /// Networks from which nobody needs a call token, unless `call_token` of the peer says
    /// otherwise. A peer without a secret at such an address is whoever writes that address: name
    /// networks only from which nobody else's packets can come.
    pub(super) call_token_optional: Vec<Spanned<String>>,
    /// In which `hours` of routes hold, such as `Europe/Berlin` or `UTC`.
    #[schemars(extend("x-default" = "the system's"))]
    timezone: Option<Spanned<String>>,
    /// The country whose tones peers hear that say nothing else, by its code.
    #[schemars(transform = tones::country_words, extend("default" = "us"))]
    tones: Option<Spanned<String>>,
    /// Rules for a whole kind of switch. `general`: none. `amateur-radio`: nothing is encrypted in any direction, and a key that says
    /// otherwise is a mistake; call tokens are required, but of peers with `call_token = "optional"`, which need a
    /// secret and share a limit `quarantine` of 2 calls at once and 1 new one in a second (`[[limits]]` may have one of
    /// that name for them in its place).
    #[schemars(transform = Words(&PROFILES), extend("default" = "general"))]
    pub(super) profile: Option<Spanned<String>>,
    /// For peers that say nothing else: `off`, `allowed` (encrypted where both sides can),
    /// `required` (refused otherwise).
    #[schemars(transform = Words(&ENCRYPTION), extend("default" = "off"))]
    pub(super) encryption: Option<Spanned<String>>,
    /// How long an encrypted call keeps the key of what we send, where the other side lets us
    /// change it. 0: for ever.
    #[schemars(extend("default" = 120))]
    key_rotation_seconds: Option<u64>,
    /// A directory of firmware files, with their headers, and of nothing else: they are served to
    /// devices (FWDOWNL) that show that they receive at their address. They are read at the start
    /// and kept in memory, 64 MiB at most. Without it no firmware is served.
    firmware: Option<Spanned<PathBuf>>,
}

#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Guests {
    /// Whether they may call at all. They reach `echo`, `milliwatt` and `probe` only.
    #[schemars(extend("default" = true))]
    enabled: Option<bool>,
    /// Their calls at once.
    #[schemars(extend("default" = 10))]
    max_calls: Option<usize>,
    /// The same for one IP address.
    #[schemars(extend("default" = 2))]
    max_calls_per_address: Option<usize>,
    /// Their calls are ended after so many seconds.
    #[schemars(extend("default" = 300))]
    max_seconds: Option<u64>,
}

#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Audio {
    /// Directory of WAV files: the number `playback/NAME` plays `NAME.wav` from there. Without a
    /// name a melody is played.
    playback: Option<Spanned<PathBuf>>,
    /// Directory, made when needed, into which `record` writes, and recordings of calls that are up
    /// (api.md).
    #[schemars(extend("default" = "recordings"))]
    record: Option<PathBuf>,
    /// A recording is ended after so many seconds.
    #[schemars(extend("default" = 3600))]
    max_record_seconds: Option<u64>,
    /// Whether a call goes on whose two ends share no codec: its voice is decoded here and encoded
    /// anew. For peers that say nothing else.
    #[schemars(extend("default" = true))]
    transcoding: Option<bool>,
    /// Calls that are transcoded at once; more are refused with cause 47. One costs up to 3 % of a
    /// core, mostly far less (media.md). Those whose frames become longer or shorter, and nothing
    /// else, do not count.
    #[schemars(extend("default" = 32))]
    max_transcoded_calls: Option<usize>,
    /// How many bits a sample of a recording has: 16, or 8 for files half as long.
    #[schemars(extend("default" = 16))]
    record_bits: Option<Spanned<u32>>,
    /// How many samples a recording has in a second: 8000, 16000 or 48000.
    #[schemars(extend("x-unit" = "Hz", "x-default" = "as its codecs"))]
    record_sample_rate: Option<Spanned<u32>>,
}

impl Server {
    pub(super) fn check(
        &self,
        source: &Source<'_>,
        config: &mut Config,
    ) -> Result<(), ConfigError> {
        if let Some(listen) = &self.listen {
            config.listen.clear();
            for address in listen {
                let parsed = read_listen(address.get_ref());
                config.listen.push(parsed.ok_or_else(|| {
                    source
                        .wrong(address, format!("`{}` is no address", address.get_ref()))
                        .with_help("write it as \"0.0.0.0:4569\" or \"[::]:4569\"")
                })?);
            }
        }
        if let Some(calls) = self.max_calls {
            config.endpoint.max_calls = calls;
        }
        if let Some(name) = &self.timezone {
            config.timezone = TimeZone::get(name.get_ref()).map_err(|_| {
                source
                    .wrong(name, format!("there is no time zone `{}`", name.get_ref()))
                    .with_help("write it as \"Europe/Berlin\" or \"UTC\"")
            })?;
        }
        if let Some(code) = &self.tones {
            config.tones = tones::read_country(source, code)?;
        }
        if let Some(word) = &self.profile {
            config.profile = Profile::read(source, word)?;
        }
        if let Some(word) = &self.encryption {
            config.encryption = read_encryption(source, word)?;
        }
        if let Some(seconds) = self.key_rotation_seconds {
            config.endpoint.key_rotation = (seconds > 0).then(|| Duration::from_secs(seconds));
        }
        if let Some(directory) = &self.firmware {
            let images = read_firmware(directory.get_ref());
            config.endpoint.firmware = images.map_err(|what| {
                let help = "it has firmware files alone; `oneport firmware show FILE` checks one";
                source.wrong(directory, what).with_help(help)
            })?;
        }
        if let Some(calls) = self.max_calls_per_address {
            config.endpoint.max_calls_per_address = calls;
        }
        if let Some(us) = &self.busy_poll_us {
            if *us.get_ref() > 1_000 {
                let what = format!("{} µs without sleep are too long", us.get_ref());
                let help = "choose 0 to 1000 µs; 0 sleeps at once";
                return Err(source.wrong(us, what).with_help(help));
            }
            config.busy_poll = Duration::from_micros(*us.get_ref());
        }
        if let Some(us) = &self.gather_us {
            if *us.get_ref() > 5_000 {
                let what = format!("{} µs are too long for voice to wait", us.get_ref());
                return Err(source
                    .wrong(us, what)
                    .with_help("choose 0 to 5000 µs; 0 takes at once"));
            }
            config.gather = Duration::from_micros(*us.get_ref());
        }
        if let Some(limit) = &self.max_challenges_per_user {
            if *limit.get_ref() == 0 {
                let what = "without a challenge nobody can prove a secret";
                return Err(source.wrong(limit, what).with_help("choose 1 or more; 64 is usual"));
            }
            config.endpoint.max_challenges_per_user = *limit.get_ref();
        }
        Ok(())
    }
}

impl Guests {
    pub(super) fn apply(&self, config: &mut Config) {
        let guests = &mut config.guests;
        guests.enabled = self.enabled.unwrap_or(guests.enabled);
        guests.calls = self.max_calls.unwrap_or(guests.calls);
        guests.calls_per_address = self.max_calls_per_address.unwrap_or(guests.calls_per_address);
        guests.duration = self.max_seconds.map_or(guests.duration, Duration::from_secs);
    }
}

impl Audio {
    pub(super) fn check(self, source: &Source<'_>, config: &mut Config) -> Result<(), ConfigError> {
        let files = &mut config.files;
        if let Some(directory) = self.playback {
            if source.beside != Beside::Ignored && !directory.get_ref().is_dir() {
                let what = format!("`{}` is no directory", directory.get_ref().display());
                return Err(source.wrong(&directory, what).with_help(
                    "make it, or correct the path; a relative one begins where the command runs",
                ));
            }
            files.playback = Some(directory.into_inner());
        }
        files.record = self.record.unwrap_or_else(|| files.record.clone());
        let longest = self.max_record_seconds.map(Duration::from_secs);
        files.longest_recording = longest.unwrap_or(files.longest_recording);
        config.transcoding = self.transcoding.unwrap_or(config.transcoding);
        let most = self.max_transcoded_calls.unwrap_or(config.max_transcoded_calls);
        config.max_transcoded_calls = most;
        if let Some(rate) = self.record_sample_rate {
            if ![8_000, 16_000, 48_000].contains(rate.get_ref()) {
                let what = format!("recordings have no {} samples in a second", rate.get_ref());
                return Err(source.wrong(&rate, what).with_help("choose 8000, 16000 or 48000"));
            }
            files.rate = Some(rate.into_inner());
        }
        if let Some(bits) = self.record_bits {
            files.depth = match bits.get_ref() {
                8 => Depth::Eight,
                16 => Depth::Sixteen,
                other => {
                    let what = format!("recordings have no {other} bits");
                    return Err(source.wrong(&bits, what).with_help("choose 8 or 16"));
                }
            };
        }
        Ok(())
    }
}
