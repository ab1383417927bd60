//! The timers of the file: `[timers]`, and those that a peer may have of its own.

use std::time::Duration;

use oneport_proto::EndpointConfig;
use schemars::{JsonSchema, Schema};
use serde::Deserialize;
use serde_json::json;

use super::error::ConfigError;
use super::source::Source;
use super::spanned::Spanned;
use crate::qualify::QualifyConfig;
use crate::watch::{Bound, Bounds};

/// `[timers]`.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Timers {
    /// Time between two PINGs of a call; the answer says what the other side heard.
    #[schemars(transform = PING.schema(), extend("default" = 21, "x-asterisk" = "`pingtime` 21"))]
    ping_seconds: Option<Spanned<u64>>,
    /// Time between two LAGRQs of a call, which measure the round trip. The first leaves half a
    /// second after ACCEPT.
    #[schemars(transform = LAG.schema(), extend("default" = 10, "x-asterisk" = "`lagrqtime` 10"))]
    lag_seconds: Option<Spanned<u64>>,
    /// First interval of repetition while the round trip is not known; each is twice the one
    /// before.
    #[schemars(transform = FIRST.schema(), extend("default" = 1000, "x-asterisk" = "2000"))]
    first_retransmission_ms: Option<Spanned<u64>>,
    /// The first interval is twice the round trip, but not less than this.
    #[schemars(transform = LEAST.schema(), extend("default" = 100, "x-asterisk" = "100"))]
    least_retransmission_ms: Option<Spanned<u64>>,
    /// Greatest interval.
    #[schemars(transform = GREATEST.schema(), extend("default" = 10000, "x-asterisk" = "10000"))]
    greatest_retransmission_ms: Option<Spanned<u64>>,
    /// A peer that has not acknowledged a frame for so long is gone, and its call ends.
    #[schemars(transform = GIVE_UP.schema(), extend("default" = 32, "x-asterisk" = "21 to 32"))]
    give_up_seconds: Option<Spanned<u64>>,
    /// A peer from which nothing at all is heard within twice this time after our NEW gets no call;
    /// the next destination is tried. 2000 is Asterisk's `yes`, 0 is never: then `give_up_seconds`
    /// decides. For peers that are polled it is their `qualify_limit_ms`, as in Asterisk.
    #[schemars(transform = AUTOKILL.schema(), extend("default" = 0, "x-asterisk" = "`autokill` no"))]
    autokill_ms: Option<Spanned<u64>>,
    /// How long a call waits for ACCEPT or REJECT, from a peer that has acknowledged it.
    #[schemars(transform = SETUP.schema(), extend("default" = 60))]
    setup_seconds: Option<Spanned<u64>>,
    /// How long a caller may take for its proof.
    #[schemars(transform = DECISION.schema(), extend("default" = 30))]
    decision_seconds: Option<Spanned<u64>>,
    /// How long the answer to a wrong proof is held back.
    #[schemars(transform = REJECT_DELAY.schema(), extend("default" = 1000, "x-asterisk" = "`delayreject` 1000"))]
    reject_delay_ms: Option<Spanned<u64>>,
    /// How long a call token is good for.
    #[schemars(transform = CALL_TOKEN.schema(), extend("default" = 10, "x-asterisk" = "`calltokenexpiration` 10"))]
    call_token_seconds: Option<Spanned<u64>>,
    /// How long the number of an ended call rests.
    #[schemars(transform = QUARANTINE.schema(), extend("default" = 60, "x-asterisk" = "60"))]
    quarantine_seconds: Option<Spanned<u64>>,
    /// Time between polls of the registrars that have us, 25 at most; 0 for never.
    #[schemars(transform = KEEP_ALIVE.schema(), extend("default" = 20))]
    keep_alive_seconds: Option<Spanned<u64>>,
    /// Pause after a failure to register; each further one is twice as long.
    #[schemars(transform = RETRY.schema(), extend("default" = 5))]
    registration_retry_seconds: Option<Spanned<u64>>,
    /// Longest pause.
    #[schemars(transform = RETRY.schema(), extend("default" = 60, "x-asterisk" = "60"))]
    max_registration_retry_seconds: Option<Spanned<u64>>,
    /// Least time for which a peer registers.
    #[schemars(transform = REFRESH.schema(), extend("default" = 60, "x-asterisk" = "`minregexpire` 60"))]
    min_refresh_seconds: Option<Spanned<u64>>,
    /// Longest time for which a peer registers.
    #[schemars(transform = REFRESH.schema(), extend("default" = 60, "x-asterisk" = "`maxregexpire` 60"))]
    max_refresh_seconds: Option<Spanned<u64>>,
    /// Time between polls of a peer, 25 at most.
    #[schemars(transform = QUALIFY.schema(), extend("default" = 20, "x-asterisk" = "`qualifyfreqok` 60"))]
    qualify_seconds: Option<Spanned<u64>>,
    /// The same for a peer that is not well.
    #[schemars(transform = QUALIFY_NOT_OK.schema(), extend("default" = 10, "x-asterisk" = "`qualifyfreqnotok` 10"))]
    qualify_not_ok_seconds: Option<Spanned<u64>>,
    /// A round trip above this is LAGGED.
    #[schemars(transform = QUALIFY_LIMIT.schema(), extend("default" = 2000, "x-asterisk" = "`qualify` 2000"))]
    qualify_limit_ms: Option<Spanned<u64>>,
}

/// Timers that each peer may have of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct PeerTimers {
    pub(super) qualify: QualifyConfig,
    /// Half of the time within which it must answer NEW; zero: it need not.
    pub(super) autokill: Option<Duration>,
    /// Least and greatest time for which it may register.
    pub(super) refresh: (Duration, Duration),
}

impl Timers {
    /// Sets the engine's timers; gives those of peers that say nothing else.
    pub(super) fn check(
        &self,
        source: &Source<'_>,
        endpoint: &mut EndpointConfig,
    ) -> Result<PeerTimers, ConfigError> {
        let set = |key: &Option<Spanned<u64>>, range: Range, timer: &mut Duration| {
            range.set(source, key.as_ref(), timer)
        };
        let repetition = &mut endpoint.retransmission;
        set(&self.ping_seconds, PING, &mut endpoint.ping_interval)?;
        set(&self.lag_seconds, LAG, &mut endpoint.lag_interval)?;
        set(&self.first_retransmission_ms, FIRST, &mut repetition.first)?;
        set(&self.least_retransmission_ms, LEAST, &mut repetition.least)?;
        set(&self.greatest_retransmission_ms, GREATEST, &mut repetition.greatest)?;
        set(&self.give_up_seconds, GIVE_UP, &mut repetition.give_up)?;
        set(&self.setup_seconds, SETUP, &mut endpoint.setup_timeout)?;
        set(&self.decision_seconds, DECISION, &mut endpoint.decision_timeout)?;
        set(&self.reject_delay_ms, REJECT_DELAY, &mut endpoint.reject_delay)?;
        set(&self.call_token_seconds, CALL_TOKEN, &mut endpoint.call_token_lifetime)?;
        set(&self.quarantine_seconds, QUARANTINE, &mut endpoint.number_quarantine)?;
        let first = &mut endpoint.first_registration_pause;
        set(&self.registration_retry_seconds, RETRY, first)?;
        let longest = &mut endpoint.longest_registration_pause;
        set(&self.max_registration_retry_seconds, RETRY, longest)?;
        if let Some(key) = &self.keep_alive_seconds {
            endpoint.keep_alive = or_never(KEEP_ALIVE.read(source, key)?);
        }
        if let Some(key) = &self.autokill_ms {
            endpoint.autokill = or_never(AUTOKILL.read(source, key)?);
        }
        let mut qualify = QualifyConfig::default();
        set(&self.qualify_seconds, QUALIFY, &mut qualify.interval)?;
        set(&self.qualify_not_ok_seconds, QUALIFY_NOT_OK, &mut qualify.not_ok_interval)?;
        set(&self.qualify_limit_ms, QUALIFY_LIMIT, &mut qualify.limit)?;
        let (mut least, mut most) = DEFAULT_REFRESH;
        set(&self.min_refresh_seconds, REFRESH, &mut least)?;
        set(&self.max_refresh_seconds, REFRESH, &mut most)?;
        if least > most {
            if let (Some(_), Some(at)) = (&self.min_refresh_seconds, &self.max_refresh_seconds) {
                let what = "min_refresh_seconds is above max_refresh_seconds";
                return Err(source.wrong(at, what).with_help("swap them"));
            }
            // The one that was given takes the other along.
            if self.min_refresh_seconds.is_some() { most = least } else { least = most }
        }
        self.check_order(source, endpoint)?;
        Ok(PeerTimers { qualify, autokill: endpoint.autokill, refresh: (least, most) })
    }

    /// Some make sense together only.
    fn check_order(
        &self,
        source: &Source<'_>,
        endpoint: &EndpointConfig,
    ) -> Result<(), ConfigError> {
        let repetition = &endpoint.retransmission;
        // The defaults are in order, so one of the two was given.
        let above = |lower: &Option<Spanned<u64>>, upper: &Option<Spanned<u64>>, what, help| {
            let at = upper.as_ref().or(lower.as_ref());
            at.map_or(Ok(()), |at| Err(source.wrong(at, what).with_help(help)))
        };
        let swap = "swap them, or leave one away where its default fits";
        if repetition.least > repetition.greatest {
            let what = "least_retransmission_ms is above greatest_retransmission_ms";
            above(&self.least_retransmission_ms, &self.greatest_retransmission_ms, what, swap)?;
        }
        if repetition.give_up < repetition.first {
            let what = "a peer is given up before anything is sent again";
            let help = "make give_up_seconds several times first_retransmission_ms";
            above(&self.first_retransmission_ms, &self.give_up_seconds, what, help)?;
        }
        if endpoint.first_registration_pause > endpoint.longest_registration_pause {
            let what = "registration_retry_seconds is above max_registration_retry_seconds";
            let longest = &self.max_registration_retry_seconds;
            above(&self.registration_retry_seconds, longest, what, swap)?;
        }
        Ok(())
    }
}

/// How long calls may last, and be silent, as `owner` has it.
pub(super) fn read_bounds(
    source: &Source<'_>,
    owner: String,
    duration: Option<&Spanned<u64>>,
    silence: Option<&Spanned<u64>>,
) -> Result<Bounds, ConfigError> {
    let read = |range: Range, key: Option<&Spanned<u64>>| {
        let time = key.map(|key| range.read(source, key)).transpose()?.and_then(or_never);
        Ok::<_, ConfigError>(time.map(|time| Bound { time, owner: owner.clone() }))
    };
    Ok(Bounds { duration: read(DURATION, duration)?, silence: read(SILENCE, silence)? })
}

/// Zero stands for never.
fn or_never(timer: Duration) -> Option<Duration> {
    (!timer.is_zero()).then_some(timer)
}

/// How long registrations hold, unless the file says otherwise: as in Asterisk.
const DEFAULT_REFRESH: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(60));

/// The unit of a key, as its name says it.
#[derive(Clone, Copy)]
enum Unit {
    Seconds,
    Milliseconds,
}

impl Unit {
    const fn name(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
        }
    }
}

/// What a key may be.
#[derive(Clone, Copy)]
pub(super) struct Range {
    /// What it is, in the words of an error.
    what: &'static str,
    unit: Unit,
    least: u64,
    most: u64,
    /// Whether 0 is allowed as well, and means never.
    never: bool,
    /// How to choose.
    advice: &'static str,
}

impl Range {
    pub(super) const fn seconds(
        what: &'static str,
        least: u64,
        most: u64,
        advice: &'static str,
    ) -> Self {
        Self { what, unit: Unit::Seconds, least, most, never: false, advice }
    }

    pub(super) const fn ms(
        what: &'static str,
        least: u64,
        most: u64,
        advice: &'static str,
    ) -> Self {
        Self { unit: Unit::Milliseconds, ..Self::seconds(what, least, most, advice) }
    }

    pub(super) const fn or_never(self) -> Self {
        Self { never: true, ..self }
    }

    /// The same for the schema of the key.
    pub(super) fn schema(self) -> impl FnMut(&mut Schema) {
        move |schema| {
            schema.insert("x-unit".into(), self.unit.name().into());
            if self.never {
                schema.remove("minimum");
                let choices = json!([
                    { "const": 0 },
                    { "minimum": self.least, "maximum": self.most },
                ]);
                schema.insert("anyOf".into(), choices);
            } else {
                schema.insert("minimum".into(), self.least.into());
                schema.insert("maximum".into(), self.most.into());
            }
        }
    }

    /// Sets `timer` if the key is given.
    pub(super) fn set(
        self,
        source: &Source<'_>,
        key: Option<&Spanned<u64>>,
        timer: &mut Duration,
    ) -> Result<(), ConfigError> {
        if let Some(key) = key {
            *timer = self.read(source, key)?;
        }
        Ok(())
    }

    /// The value of a key.
    pub(super) fn read(
        self,
        source: &Source<'_>,
        key: &Spanned<u64>,
    ) -> Result<Duration, ConfigError> {
        let Self { what, unit, least, most, never, advice } = self;
        let value = *key.get_ref();
        let name = unit.name();
        let allowed = (least..=most).contains(&value) || never && value == 0;
        if !allowed {
            let zero = if never { ", or 0 for never" } else { "" };
            let help = format!("choose {least} to {most} {name}{zero}; {advice}");
            return Err(source
                .wrong(key, format!("{what} cannot be {value} {name}"))
                .with_help(help));
        }
        Ok(match unit {
            Unit::Seconds => Duration::from_secs(value),
            Unit::Milliseconds => Duration::from_millis(value),
        })
    }
}

const PING: Range = Range::seconds("the time between two PINGs", 1, 3_600, "21 as in Asterisk");
const LAG: Range = Range::seconds("the time between two LAGRQs", 1, 3_600, "10 as in Asterisk");
const FIRST: Range = Range::ms("the first interval of repetition", 10, 60_000, "1000 is usual");
const LEAST: Range = Range::ms("the least interval of repetition", 10, 60_000, "100 is usual");
const GREATEST: Range =
    Range::ms("the greatest interval of repetition", 10, 60_000, "10000 is usual");
const GIVE_UP: Range = Range::seconds(
    "the time after which a silent peer is given up",
    1,
    600,
    "32 as in Asterisk; less gives up calls on a bad link",
);
const SETUP: Range =
    Range::seconds("the time for ACCEPT or REJECT", 1, 3_600, "60 is enough for slow peers");
const DECISION: Range = Range::seconds(
    "the time for a proof, or for a decision on a call",
    1,
    3_600,
    "30 is enough for the slowest link",
);
const REJECT_DELAY: Range =
    Range::ms("the delay of a refusal", 0, 30_000, "1000 as in Asterisk makes guessing slow");
const CALL_TOKEN: Range = Range::seconds("the life of a call token", 1, 300, "10 as in Asterisk");
const QUARANTINE: Range = Range::seconds(
    "the time for which the number of an ended call rests",
    1,
    3_600,
    "60 as in Asterisk",
);
const KEEP_ALIVE: Range = Range::seconds(
    "the time between two polls of a registrar",
    1,
    25,
    "a NAT may forget an idle way after 30 s",
)
.or_never();
const RETRY: Range =
    Range::seconds("the pause between attempts to register", 1, 3_600, "5, at most 60, is usual");

/// How long a registration holds. REFRESH is a number of 16 bits.
pub(super) const REFRESH: Range =
    Range::seconds("the time for which a registration holds", 10, 65_535, "60 as in Asterisk");
/// Polls of a peer that may be behind a NAT.
pub(super) const QUALIFY: Range = Range::seconds(
    "the time between two polls of a peer",
    1,
    25,
    "a NAT may forget an idle way after 30 s; only a peer with an `address` may be polled more \
     rarely",
);
/// Polls of a peer that has an address of its own.
pub(super) const QUALIFY_FIXED: Range =
    Range::seconds("the time between two polls of a peer", 1, 3_600, "60 as in Asterisk");
/// Polls of a peer that is not well.
pub(super) const QUALIFY_NOT_OK: Range = Range::seconds(
    "the time between two polls of a peer that is not well",
    1,
    3_600,
    "10 as in Asterisk",
);
/// The round trip above which a peer is LAGGED.
pub(super) const QUALIFY_LIMIT: Range = Range::ms(
    "the limit of a peer's round trip",
    10,
    60_000,
    "2000 as in Asterisk, 500 for a peer that is near",
);
/// Half of the time within which something must be heard of a peer that is called.
pub(super) const AUTOKILL: Range =
    Range::ms("autokill", 10, 60_000, "2000 as Asterisk's autokill=yes").or_never();
/// How long an answered call may last.
pub(super) const DURATION: Range =
    Range::seconds("the longest duration of a call", 1, 2_592_000, "14400 ends what was forgotten")
        .or_never();
/// How long the peer of an answered call may send no voice.
pub(super) const SILENCE: Range = Range::seconds(
    "the time without media",
    2,
    86_400,
    "60 is usual; peers that send nothing while nobody speaks need more",
)
.or_never();
