//! What a load found: as it goes, as a table, and as JSON.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use oneport::media::quality::{Conditions, mos, rating};
use oneport::{Format, Target};
use serde::Serialize;

use super::caller::Standing;
use super::half_open::Flood;
use super::limits::Limits;
use super::process::Watched;
use super::tally::{RegistrationTally, Tally, Times, share};

/// One second of a load, or so.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Second {
    /// Seconds since the start.
    pub(crate) second: f64,
    /// Calls, and those of them that are answered, and that hear nothing.
    pub(crate) calls: usize,
    pub(crate) answered: usize,
    pub(crate) silent: usize,
    /// Devices that are registered.
    pub(crate) registered: usize,
    /// Voice lost, per cent.
    pub(crate) lost_percent: f64,
    /// 99 of 100 frames were back within this time.
    pub(crate) round_trip_p99_ms: Option<f64>,
    pub(crate) mos: Option<f64>,
    /// Cores that this process and the watched one used.
    pub(crate) own_cores: Option<f64>,
    pub(crate) watched_cores: Option<f64>,
    /// Context switches of the watched one in this second.
    pub(crate) watched_context_switches: Option<u64>,
}

impl Second {
    /// As somebody reads it who waits.
    pub(crate) fn line(&self) -> String {
        let mut line = format!("{:>5.0} s  {} calls", self.second, self.answered);
        if self.silent > 0 {
            line.push_str(&format!(", {} silent", self.silent));
        }
        if self.registered > 0 {
            line.push_str(&format!("  {} registered", self.registered));
        }
        line.push_str(&format!("  lost {:.2} %", self.lost_percent));
        if let Some(ms) = self.round_trip_p99_ms {
            line.push_str(&format!("  round trip {ms:.1} ms"));
        }
        if let Some(mos) = self.mos {
            line.push_str(&format!("  MOS {mos:.2}"));
        }
        for (name, cores) in [("load", self.own_cores), ("watched", self.watched_cores)] {
            if let Some(cores) = cores {
                line.push_str(&format!("  {name} {:.0} %", cores * 100.0));
            }
        }
        line
    }
}

/// One step of a search.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Step {
    calls: usize,
    lost_percent: f64,
    round_trip_p99_ms: Option<f64>,
    mos: Option<f64>,
    watched_cores: Option<f64>,
    /// The limit that it broke.
    broke: Option<String>,
}

/// A run, as it was seen.
pub(crate) struct Run {
    format: Format,
    frame_ms: u16,
    pub(crate) begun: Instant,
    lasted: Option<Duration>,
    own: Option<Watched>,
    own_used: Option<Duration>,
    watched: Option<Watched>,
    watched_used: Option<Duration>,
    watched_memory: Option<u64>,
    own_switches: Option<u64>,
    watched_switches: Option<u64>,
    most: usize,
    pub(crate) total: Tally,
    called: Tally,
    pub(crate) registrations: RegistrationTally,
    registered: usize,
    most_registered: usize,
    /// What a flood brought, where there was one.
    pub(crate) flood: Option<Flood>,
    /// What the last second added.
    pub(crate) latest: Tally,
    pub(crate) seconds: Vec<Second>,
    steps: Vec<Step>,
    step_seconds: usize,
    knee: Option<usize>,
    pub(crate) broke: Option<String>,
}

impl Run {
    pub(crate) fn new(format: Format, frame_ms: u16, watched: Option<Watched>) -> Self {
        Self {
            format,
            frame_ms,
            begun: Instant::now(),
            lasted: None,
            own: Watched::new(std::process::id()),
            own_used: None,
            watched,
            watched_used: None,
            watched_memory: None,
            own_switches: None,
            watched_switches: None,
            most: 0,
            total: Tally::new(),
            called: Tally::new(),
            registrations: RegistrationTally::new(),
            registered: 0,
            most_registered: 0,
            flood: None,
            latest: Tally::new(),
            seconds: Vec::new(),
            steps: Vec::new(),
            step_seconds: 0,
            knee: None,
            broke: None,
        }
    }

    /// Takes what was counted.
    pub(crate) fn add(&mut self, calling: &Tally, called: &Tally) {
        self.total.add(calling);
        self.called.add(called);
    }

    /// Takes what was counted of devices, and how many are registered.
    pub(crate) fn look_at_devices(
        &mut self,
        (tally, (registered, _)): (RegistrationTally, (usize, usize)),
    ) {
        self.registrations.add(&tally);
        self.registered = registered;
        self.most_registered = self.most_registered.max(registered);
    }

    /// Takes the figures of a second.
    pub(crate) fn look(&mut self, (calling, called, standing): (Tally, Tally, Standing)) -> Second {
        self.add(&calling, &called);
        self.most = self.most.max(standing.answered);
        let lost = lost_between(&calling);
        let second = Second {
            second: self.begun.elapsed().as_secs_f64(),
            calls: standing.calls,
            answered: standing.answered,
            silent: standing.silent,
            registered: self.registered,
            lost_percent: lost,
            round_trip_p99_ms: calling.round_trip.percentile(99.0),
            mos: self.mos(&calling.round_trip, lost),
            own_cores: self.own.as_mut().and_then(Watched::new_cores),
            watched_cores: self.watched.as_mut().and_then(Watched::new_cores),
            watched_context_switches: self.watched.as_mut().and_then(Watched::new_context_switches),
        };
        self.latest = calling;
        self.seconds.push(second.clone());
        second
    }

    /// The score of voice that half of each round trip is for.
    fn mos(&self, round_trip: &Times, loss_percent: f64) -> Option<f64> {
        let (median, slow) = (round_trip.percentile(50.0)?, round_trip.percentile(99.0)?);
        // From mouth to ear: a frame, the way, and what a jitter buffer must hold.
        let delay_ms = f64::from(self.frame_ms) + median / 2.0 + (slow - median).max(0.0);
        let conditions =
            Conditions { format: self.format, loss_percent, burst_ratio: 1.0, delay_ms };
        Some(mos(rating(&conditions)))
    }

    /// Judges a step; `true`: it kept all limits.
    pub(crate) fn judge_step(&mut self, step: Tally, limits: &Limits) -> bool {
        let lost = lost_between(&step);
        let mos = self.mos(&step.round_trip, lost);
        let seconds = self.seconds.get(self.step_seconds..).unwrap_or_default();
        let calls = seconds.last().map_or(0, |second| second.answered);
        let silent = seconds.last().map_or(0, |second| second.silent);
        // The first seconds of a step are those in which its calls are set up.
        let cores = seconds.last().and_then(|second| second.watched_cores);
        self.step_seconds = self.seconds.len();
        let broke = match silent {
            0 => limits.broken(&step, lost, mos),
            silent => Some(format!("{silent} of {calls} calls hear nothing any more")),
        };
        self.steps.push(Step {
            calls,
            lost_percent: two_digits(lost),
            round_trip_p99_ms: step.round_trip.percentile(99.0),
            mos: mos.map(two_digits),
            watched_cores: cores.map(two_digits),
            broke: broke.clone(),
        });
        match broke {
            None => self.knee = Some(calls),
            Some(broke) => self.broke = Some(format!("at {calls} calls, {broke}")),
        }
        self.broke.is_none()
    }

    /// Judges all of it.
    pub(crate) fn judge(&mut self, limits: &Limits) {
        let lost = share(self.lost(), self.total.sent);
        let mos = self.mos(&self.total.round_trip, lost);
        self.broke = limits.broken(&self.total, lost, mos);
    }

    /// The load ends now; calls are still hung up behind that.
    pub(crate) fn end_of_load(&mut self) {
        self.lasted = Some(self.begun.elapsed());
        self.own_used = self.own.as_ref().and_then(Watched::used);
        self.watched_used = self.watched.as_ref().and_then(Watched::used);
        self.watched_memory = self.watched.as_ref().and_then(Watched::memory);
        self.own_switches = self.own.as_ref().and_then(Watched::context_switches);
        self.watched_switches = self.watched.as_ref().and_then(Watched::context_switches);
    }

    fn registrations_report(&self, seconds: f64) -> Option<RegistrationsReport> {
        let RegistrationTally { begun, registered, renewed, released, failed, took } =
            &self.registrations;
        (*begun > 0).then(|| RegistrationsReport {
            begun: *begun,
            registered: *registered,
            renewed: *renewed,
            released: *released,
            most_at_once: self.most_registered,
            per_second: two_digits((registered + renewed + released) as f64 / seconds),
            failed: failed.clone(),
            took_ms: Spread::of(took),
        })
    }

    /// Frames that were sent and never heard.
    fn lost(&self) -> u64 {
        let total = &self.total;
        total.sent.saturating_sub(total.heard + total.damaged)
    }
}

/// Voice missing between frames that came, per cent.
fn lost_between(tally: &Tally) -> f64 {
    let missing = u64::try_from(tally.missing).unwrap_or(0);
    share(missing, tally.heard + missing)
}

fn two_digits(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Percentiles of times, in ms.
#[derive(Serialize)]
struct Spread {
    count: u64,
    p50: f64,
    p95: f64,
    p99: f64,
    max: f64,
}

impl Spread {
    fn of(times: &Times) -> Option<Self> {
        let at = |percent| times.percentile(percent);
        let (p50, p95, p99, max) = (at(50.0)?, at(95.0)?, at(99.0)?, times.longest()?);
        Some(Self { count: times.count(), p50, p95, p99, max })
    }

    /// As people read it.
    fn line(&self) -> String {
        let Self { p50, p95, p99, max, .. } = self;
        format!("{p50:.2} ms (50 %), {p95:.2} ms (95 %), {p99:.2} ms (99 %), {max:.2} ms at most")
    }
}

#[derive(Serialize)]
struct CallsReport {
    placed: u64,
    answered: u64,
    completed: u64,
    given_up: u64,
    most_at_once: usize,
    failed: BTreeMap<String, u64>,
    ended_early: BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct RegistrationsReport {
    begun: u64,
    registered: u64,
    renewed: u64,
    released: u64,
    most_at_once: usize,
    per_second: f64,
    failed: BTreeMap<String, u64>,
    took_ms: Option<Spread>,
}

#[derive(Serialize)]
struct VoiceReport {
    sent: u64,
    heard: u64,
    lost: u64,
    lost_percent: f64,
    damaged: u64,
    crossed: u64,
    foreign: u64,
    twice: u64,
    out_of_order: u64,
}

/// What a process cost.
#[derive(Serialize)]
struct ProcessReport {
    pid: u32,
    cpu_seconds: f64,
    cores: f64,
    memory_bytes: Option<u64>,
    context_switches: Option<u64>,
}

/// The result, as `--json` prints it.
#[derive(Serialize)]
pub(crate) struct Report {
    target: Option<String>,
    codec: &'static str,
    frame_ms: u16,
    trunk: bool,
    seconds: f64,
    calls: CallsReport,
    set_ups_per_second: f64,
    set_up_ms: Option<Spread>,
    registrations: Option<RegistrationsReport>,
    half_open: Option<Flood>,
    voice: VoiceReport,
    round_trip_ms: Option<Spread>,
    one_way_ms: Option<Spread>,
    mos: Option<f64>,
    digits_sent: u64,
    digits_heard: u64,
    /// How late the load itself was with what it sent.
    own_delay_ms: Option<Spread>,
    own: Option<ProcessReport>,
    watched: Option<ProcessReport>,
    /// The most calls at once that kept all limits, of a search.
    knee: Option<usize>,
    /// The first limit that was broken, in words.
    broke: Option<String>,
    steps: Vec<Step>,
    each_second: Vec<Second>,
}

impl Report {
    pub(crate) fn of(
        target: &Option<Target>,
        format: Format,
        frame_ms: u16,
        trunk: bool,
        run: &Run,
    ) -> Self {
        let total = &run.total;
        // Whoever only takes calls counts those.
        let counted = if target.is_some() { total } else { &run.called };
        let seconds = run.lasted.unwrap_or_else(|| run.begun.elapsed()).as_secs_f64();
        let process = |watched: &Option<Watched>, used: Option<Duration>, memory, switches| {
            let (watched, used) = (watched.as_ref()?, used?.as_secs_f64());
            Some(ProcessReport {
                pid: watched.pid,
                cpu_seconds: used,
                cores: two_digits(used / seconds),
                memory_bytes: memory,
                context_switches: switches,
            })
        };
        let lost = run.lost();
        let lost_percent = share(lost, total.sent);
        Self {
            target: target.as_ref().map(ToString::to_string),
            codec: format.name(),
            frame_ms,
            trunk,
            seconds: two_digits(seconds),
            calls: CallsReport {
                placed: counted.placed,
                answered: counted.answered,
                completed: counted.completed,
                given_up: counted.given_up,
                most_at_once: run.most,
                failed: counted.failed.clone(),
                ended_early: counted.ended_early.clone(),
            },
            set_ups_per_second: two_digits(counted.answered as f64 / seconds),
            set_up_ms: Spread::of(&total.set_up),
            registrations: run.registrations_report(seconds),
            half_open: run.flood.clone(),
            voice: VoiceReport {
                sent: total.sent,
                heard: counted.heard,
                lost,
                lost_percent: two_digits(lost_percent),
                damaged: total.damaged,
                crossed: total.crossed,
                foreign: total.foreign,
                twice: total.twice,
                out_of_order: total.out_of_order,
            },
            round_trip_ms: Spread::of(&total.round_trip),
            one_way_ms: Spread::of(&run.called.one_way),
            mos: run.mos(&total.round_trip, lost_percent).map(two_digits),
            digits_sent: total.digits_sent,
            digits_heard: counted.digits_heard,
            own_delay_ms: Spread::of(&total.own_delay),
            own: process(&run.own, run.own_used, None, run.own_switches),
            watched: process(
                &run.watched,
                run.watched_used,
                run.watched_memory,
                run.watched_switches,
            ),
            knee: run.knee,
            broke: run.broke.clone(),
            steps: run.steps.clone(),
            each_second: run.seconds.clone(),
        }
    }

    /// As people read it.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        let mut row = |name: &str, what: String| {
            text.push_str(&format!("{name:<12} {what}\n"));
        };
        let way = if self.trunk { "trunk frames" } else { "mini frames" };
        if let Some(target) = &self.target {
            row(
                "load",
                format!(
                    "{target}, {} of {} ms, {way}, {:.0} s",
                    self.codec, self.frame_ms, self.seconds
                ),
            );
        }
        let calls = &self.calls;
        if let Some(registrations) = &self.registrations {
            let RegistrationsReport { begun, registered, renewed, released, .. } = registrations;
            row(
                "devices",
                format!(
                    "{begun} began, {registered} registered, {renewed} renewed, {released} left; {} at once, {:.1} in each second",
                    registrations.most_at_once, registrations.per_second
                ),
            );
            for (reason, count) in &registrations.failed {
                row("failed", format!("{count}: {reason}"));
            }
            if let Some(took) = &registrations.took_ms {
                row("registering", took.line());
            }
        }
        if let Some(flood) = &self.half_open {
            row("half-open", flood.line());
        }
        if calls.placed > 0 || self.registrations.is_none() {
            let mut what = format!(
                "{} placed, {} answered, {} completed; {} at once, {:.1} set up each second",
                calls.placed,
                calls.answered,
                calls.completed,
                calls.most_at_once,
                self.set_ups_per_second
            );
            if calls.given_up > 0 {
                what.push_str(&format!("; {} rang too long", calls.given_up));
            }
            row("calls", what);
        }
        for (name, reasons) in [("failed", &calls.failed), ("ended early", &calls.ended_early)] {
            for (reason, count) in reasons {
                row(name, format!("{count}: {reason}"));
            }
        }
        let voice = &self.voice;
        if self.target.is_some() && calls.placed == 0 {
            // Devices say nothing.
        } else if self.target.is_some() {
            row(
                "voice",
                format!(
                    "{} sent, {} heard, {} lost ({:.2} %)",
                    voice.sent, voice.heard, voice.lost, voice.lost_percent
                ),
            );
        } else {
            row("voice", format!("{} frames heard and sent back", voice.heard));
        }
        let wrong = [
            (voice.damaged, "damaged"),
            (voice.crossed, "of another call"),
            (voice.foreign, "without our mark"),
            (voice.twice, "twice"),
            (voice.out_of_order, "out of order"),
        ];
        let wrong: Vec<String> = wrong
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        if !wrong.is_empty() {
            row("", wrong.join(", "));
        }
        if self.digits_sent + self.digits_heard > 0 {
            row("digits", format!("{} sent, {} heard", self.digits_sent, self.digits_heard));
        }
        let times = [
            ("set-up", &self.set_up_ms),
            ("round trip", &self.round_trip_ms),
            ("one way", &self.one_way_ms),
        ];
        for (name, spread) in times {
            if let Some(spread) = spread {
                row(name, spread.line());
            }
        }
        if let Some(mos) = self.mos {
            row("MOS", format!("{mos:.2}"));
        }
        for (name, process) in [("load's CPU", &self.own), ("watched CPU", &self.watched)] {
            if let Some(process) = process {
                let mut what = format!(
                    "{:.1} % of a core, {:.2} s",
                    process.cores * 100.0,
                    process.cpu_seconds
                );
                if let Some(bytes) = process.memory_bytes {
                    what.push_str(&format!(", {:.1} MB", bytes as f64 / 1e6));
                }
                if let Some(switches) = process.context_switches {
                    what.push_str(&format!(", {switches} context switches"));
                }
                row(name, what);
            }
        }
        if let Some(late) = self.own_delay_ms.as_ref().filter(|late| late.p99 > LATE_MS) {
            row(
                "beware",
                format!(
                    "the load itself was up to {:.0} ms late (99 %): delays are its own too",
                    late.p99
                ),
            );
        }
        for step in &self.steps {
            let delay =
                step.round_trip_p99_ms.map_or_else(|| "-".into(), |ms| format!("{ms:.1} ms"));
            let verdict = step.broke.as_deref().unwrap_or("kept all limits");
            row("step", format!("{} calls, round trip {delay} (99 %): {verdict}", step.calls));
        }
        if let Some(knee) = self.knee {
            row("knee", format!("{knee} calls"));
        }
        if let Some(broke) = &self.broke {
            row("broke first", broke.clone());
        }
        text
    }
}

/// Later than this, a load measures itself.
const LATE_MS: f64 = 5.0;
