//! `[server]`, `[guests]` and `[audio]`, and their check.

use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::Deserialize;
use toml::Spanned;

use super::Config;
use super::addresses::read_listen;
use super::device::read_firmware;
use super::error::ConfigError;
use super::peers::read_encryption;
use super::source::Source;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Server {
    listen: Option<Vec<Spanned<String>>>,
    max_calls: Option<usize>,
    max_calls_per_address: Option<usize>,
    max_challenges_per_user: Option<Spanned<usize>>,
    pub(super) call_token_optional: Vec<Spanned<String>>,
    timezone: Option<Spanned<String>>,
    encryption: Option<Spanned<String>>,
    key_rotation_seconds: Option<u64>,
    firmware: Option<Spanned<PathBuf>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Guests {
    enabled: Option<bool>,
    max_calls: Option<usize>,
    max_calls_per_address: Option<usize>,
    max_seconds: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Audio {
    playback: Option<Spanned<PathBuf>>,
    record: Option<PathBuf>,
    max_record_seconds: Option<u64>,
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
            if !directory.get_ref().is_dir() {
                let what = format!("`{}` is no directory", directory.get_ref().display());
                return Err(source
                    .wrong(&directory, what)
                    .with_help("make it, or correct the path"));
            }
            files.playback = Some(directory.into_inner());
        }
        files.record = self.record.unwrap_or_else(|| files.record.clone());
        let longest = self.max_record_seconds.map(Duration::from_secs);
        files.longest_recording = longest.unwrap_or(files.longest_recording);
        Ok(())
    }
}
