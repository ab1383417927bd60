//! `[overload]`: when new calls are refused, as there is more to do than can be done in time.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::error::ConfigError;
use super::source::Source;
use super::spanned::Spanned;
use crate::overload::OverloadConfig;

#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct OverloadKeys {
    /// Whether new calls are refused (cause 42, by SIP 503) while there is more to do than can be done
    /// in time. Calls that are up go on, and calls of emergency routes are taken.
    #[schemars(extend("default" = true))]
    enabled: Option<bool>,
    /// The mark of the CPU: what the thread that does all media uses of its time, and what is used of
    /// the CPU quota where the process has one (cgroup v2). Half-way from here to 100 % nobody waits
    /// for `after_seconds`.
    #[schemars(range(min = 1, max = 100), extend("default" = 90))]
    cpu_percent: Option<Spanned<u32>>,
    /// The mark of the scheduling delay: that thread comes so much later than it was wanted, in each
    /// quarter of a second.
    #[schemars(range(min = 10, max = 1000), extend("default" = 40))]
    delay_ms: Option<Spanned<u32>>,
    /// The mark of datagrams that the kernel drops in a second as a socket's buffer is full.
    #[schemars(range(min = 1, max = 1000000), extend("default" = 20))]
    overflow_per_second: Option<Spanned<u32>>,
    /// How long one of them stays at its mark before calls are refused.
    #[schemars(range(min = 1, max = 60), extend("default" = 2))]
    after_seconds: Option<Spanned<u32>>,
    /// How long all of them stay below `recover_percent` before calls are taken again.
    #[schemars(range(min = 1, max = 600), extend("default" = 5))]
    recover_seconds: Option<Spanned<u32>>,
    /// So much of each mark is clearly below it.
    #[schemars(range(min = 10, max = 100), extend("default" = 90))]
    recover_percent: Option<Spanned<u32>>,
}

impl OverloadKeys {
    pub(super) fn check(&self, source: &Source<'_>) -> Result<OverloadConfig, ConfigError> {
        let default = OverloadConfig::default();
        let number = |key: &Option<Spanned<u32>>, least: u32, most: u32| match key {
            None => Ok(None),
            Some(key) if (least..=most).contains(key.get_ref()) => Ok(Some(*key.get_ref())),
            Some(key) => {
                let what = format!("{} is not within {least} to {most}", key.get_ref());
                let help = format!("choose {least} to {most}, or leave the key out");
                Err(source.wrong(key, what).with_help(help))
            }
        };
        let seconds = |key: &Option<Spanned<u32>>, most: u32, default: Duration| {
            let given = number(key, 1, most)?;
            Ok(given.map_or(default, |seconds| Duration::from_secs(seconds.into())))
        };
        let delay = number(&self.delay_ms, 10, 1_000)?;
        Ok(OverloadConfig {
            enabled: self.enabled.unwrap_or(default.enabled),
            cpu_percent: number(&self.cpu_percent, 1, 100)?.unwrap_or(default.cpu_percent),
            delay: delay.map_or(default.delay, |ms| Duration::from_millis(ms.into())),
            overflow_per_second: number(&self.overflow_per_second, 1, 1_000_000)?
                .unwrap_or(default.overflow_per_second),
            after: seconds(&self.after_seconds, 60, default.after)?,
            recovery: seconds(&self.recover_seconds, 600, default.recovery)?,
            recover_percent: number(&self.recover_percent, 10, 100)?
                .unwrap_or(default.recover_percent),
        })
    }
}
