//! What a probe found, as JSON and as one page of a terminal.

use std::fmt::Write as _;
use std::time::Duration;

use oneport::probe::{Load, OneWay, PathMtu, Ways};
use oneport::{Format, Target};
use oneport_proto::TrunkConfig;
use serde::Serialize;

use super::measure::{CallFound, Found, RampFound, Spoke};
use super::nat::{self, Kind, Silence};
use super::poll::headers;
use super::polls::Polls;
use super::verdict::{self, Finding, Verdict, Weight};
use crate::live::millis;
use crate::load::frame_bytes;
use crate::table::{Room, left, right, table};

/// Codecs of which it is told how many calls fit, beside the one that was spoken.
const CODECS: [Format; 4] = [Format::ULAW, Format::G726, Format::GSM, Format::G729];
/// Columns of the page.
const WIDTH: usize = 78;
const NAME: usize = 12;

/// Two digits behind the point.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn ms(duration: Duration) -> f64 {
    round(millis(duration))
}

/// Percentiles of times, in ms.
#[derive(Serialize)]
pub(crate) struct Times {
    p50: f64,
    pub(crate) p95: f64,
    p99: f64,
}

/// One way, or both together.
#[derive(Serialize)]
pub(crate) struct WayReport {
    pub(crate) lost_percent: f64,
    lost: u64,
    frames: u64,
    reordered_percent: f64,
    duplicates: u64,
    pub(crate) jitter_ms: f64,
    /// How much later than the fastest 50, 95 and 99 of 100 frames came at most.
    pub(crate) late_ms: Times,
    /// How much longer runs of lost frames are than chance makes them.
    burst_ratio: f64,
}

impl WayReport {
    fn of(way: &OneWay) -> Self {
        let stats = &way.stats;
        let late = |percent| ms(way.late(percent));
        Self {
            lost_percent: round(way.lost_percent()),
            lost: stats.lost,
            frames: stats.frames,
            reordered_percent: round(way.reordered_percent()),
            duplicates: stats.duplicates,
            jitter_ms: ms(stats.jitter),
            late_ms: Times { p50: late(50.0), p95: late(95.0), p99: late(99.0) },
            burst_ratio: round(stats.pattern.burst_ratio(stats.frames + stats.lost)),
        }
    }
}

/// How the other end's clock runs.
#[derive(Serialize)]
struct ClockReport {
    ppm: f64,
    uncertainty_ppm: f64,
}

impl ClockReport {
    fn line(&self) -> String {
        let (ppm, uncertainty) = (self.ppm.abs(), self.uncertainty_ppm);
        let how = if self.ppm < 0.0 { "slower" } else { "faster" };
        let millionths = |count: f64| match count.round() {
            1.0 => "1 millionth".to_string(),
            count => format!("{count:.0} millionths"),
        };
        match ppm.round() {
            0.0 => format!(
                "the other end's is as fast as ours, give or take {}",
                millionths(uncertainty.max(1.0))
            ),
            _ => format!(
                "the other end's is {} {how} than ours, give or take {uncertainty:.0}",
                millionths(ppm)
            ),
        }
    }
}

/// The call that spoke.
#[derive(Serialize)]
pub(crate) struct CallReport {
    number: String,
    codec: &'static str,
    frame_ms: u16,
    /// Frames that were sent while it counted.
    sent: u32,
    /// Whether the other end says what it has seen, so that the ways are told apart.
    tells_ways_apart: bool,
    pub(crate) round_trip_ms: Times,
    /// There and back together; from here to there; and back.
    pub(crate) both: WayReport,
    pub(crate) there: Option<WayReport>,
    pub(crate) here: Option<WayReport>,
    /// Mean opinion scores of what is heard there, and here.
    pub(crate) mos_there: f64,
    pub(crate) mos_here: f64,
    clock: Option<ClockReport>,
}

/// The longest datagrams, as bytes of IP.
#[derive(Serialize)]
struct LengthReport {
    passes: Option<usize>,
    fails: Option<usize>,
    /// What does not pass vanishes without a word.
    hole: bool,
    /// Who says what passes; empty: this machine.
    told_by: Option<String>,
    /// Whether as long ones come back; null where that was not tried.
    comes_back: Option<bool>,
}

impl LengthReport {
    fn of(mtu: PathMtu, comes_back: Option<bool>) -> Self {
        let by = mtu.told.map(|(by, _)| by.map_or_else(String::new, |by| by.to_string()));
        let PathMtu { passes, fails, .. } = mtu;
        Self { passes, fails, hole: mtu.is_hole(), told_by: by, comes_back }
    }
}

/// What lies between.
#[derive(Serialize)]
struct NatReport {
    kind: Kind,
    own: String,
    seen: [String; 2],
    elsewhere: Option<String>,
}

/// One number of calls.
#[derive(Serialize)]
pub(crate) struct StepReport {
    pub(crate) calls: usize,
    pub(crate) kbits: f64,
    pub(crate) lost_percent: f64,
    lost_there_percent: Option<f64>,
    lost_here_percent: Option<f64>,
    /// How much longer than of one call 95 of 100 frames took.
    pub(crate) queue_ms: f64,
    queue_there_ms: Option<f64>,
    queue_here_ms: Option<f64>,
    did_well: bool,
}

/// What more calls did.
#[derive(Serialize)]
pub(crate) struct LoadReport {
    /// Whether voice went there, and came back, in trunk frames.
    trunk_there: bool,
    trunk_here: bool,
    /// Measured: the most calls at once that did well.
    pub(crate) good_calls: usize,
    /// More were tried, and suffered. Otherwise as many were tried as were wanted, or taken.
    is_border: bool,
    refused: Option<String>,
    /// Measured: what came to the end of each way at its most, in kbit/s from IP upwards.
    there_kbits: f64,
    here_kbits: f64,
    steps: Vec<StepReport>,
}

/// How many calls of a codec fit: arithmetic.
#[derive(Serialize)]
pub(crate) struct FitReport {
    codec: &'static str,
    frame_ms: u16,
    /// What one call takes one way, in kbit/s from IP upwards.
    kbits: f64,
    /// Calls that fit into what was measured, one by one and in a trunk.
    calls: usize,
    trunk_calls: usize,
    /// Datagrams in a second one way of so many calls, one by one and in a trunk.
    datagrams: f64,
    trunk_datagrams: f64,
}

/// The result, as `--json` prints it.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) target: String,
    pub(crate) address: String,
    pub(crate) at: String,
    pub(crate) verdict: Verdict,
    pub(crate) findings: Vec<Finding>,
    pub(crate) polls: Polls,
    length: Option<LengthReport>,
    nat: Option<NatReport>,
    silences: Vec<Silence>,
    pub(crate) call: Option<CallReport>,
    pub(crate) load: Option<LoadReport>,
    pub(crate) trunk_load: Option<LoadReport>,
    /// Arithmetic: how many calls fit into what `load` measured.
    fits: Vec<FitReport>,
    /// Whether that is a floor: the line carried all that was sent.
    fits_at_least: bool,
}

impl Report {
    pub(crate) fn of(
        target: &Target,
        to: std::net::SocketAddr,
        at: String,
        frame_ms: u16,
        found: &Found,
    ) -> Self {
        let (verdict, findings) = verdict::judge(to, found);
        let spoke = match &found.call {
            CallFound::Spoke(spoke) => Some(spoke),
            _ => None,
        };
        let long = spoke.and_then(|spoke| spoke.long_comes_back);
        let load = found.ramp.as_ref().map(load);
        let rate = load.as_ref().map(|load| load.there_kbits.min(load.here_kbits));
        let is_border = load.as_ref().is_some_and(|load| load.is_border);
        let spoken = spoke.map(|spoke| spoke.format);
        Self {
            target: target.to_string(),
            address: to.to_string(),
            at,
            verdict,
            findings,
            polls: found.polls.clone(),
            length: found.mtu.map(|mtu| LengthReport::of(mtu, long)),
            nat: found.views.map(|views| NatReport {
                kind: views.kind(),
                own: std::net::SocketAddr::new(views.own, views.ports[0]).to_string(),
                seen: views.seen.map(|seen| seen.to_string()),
                elsewhere: views.elsewhere.map(|seen| seen.to_string()),
            }),
            silences: found.silences.clone(),
            call: spoke.map(|spoke| call(spoke, frame_ms)),
            fits: rate.map_or_else(Vec::new, |rate| fits(rate, spoken, frame_ms, headers(to))),
            fits_at_least: !is_border,
            load,
            trunk_load: found.trunk_ramp.as_ref().map(self::load),
        }
    }
}

fn call(spoke: &Spoke, frame_ms: u16) -> CallReport {
    let Ways { both, apart, clock, .. } = &spoke.ways;
    let [mos_there, mos_here] = verdict::scores(spoke).map(round);
    let at = |percent| ms(spoke.ways.round_trip(percent));
    let mut apart = apart.iter().flatten().map(WayReport::of);
    CallReport {
        number: spoke.number.clone(),
        codec: spoke.format.name(),
        frame_ms,
        sent: spoke.sent,
        tells_ways_apart: spoke.ways.apart.is_some(),
        round_trip_ms: Times { p50: at(50.0), p95: at(95.0), p99: at(99.0) },
        both: WayReport::of(both),
        there: apart.next(),
        here: apart.next(),
        mos_there,
        mos_here,
        clock: clock.map(|clock| ClockReport {
            ppm: round(clock.ppm),
            uncertainty_ppm: round(clock.uncertainty_ppm),
        }),
    }
}

fn load(ramp: &RampFound) -> LoadReport {
    let step = |step: &super::measure::StepFound| StepReport {
        calls: step.calls,
        kbits: round(step.kbits),
        lost_percent: round(step.lost),
        lost_there_percent: step.lost_apart.map(|[there, _]| round(there)),
        lost_here_percent: step.lost_apart.map(|[_, here]| round(here)),
        queue_ms: ms(step.above.both),
        queue_there_ms: step.above.apart.map(|[there, _]| ms(there)),
        queue_here_ms: step.above.apart.map(|[_, here]| ms(here)),
        did_well: step.did_well,
    };
    // What a way carried while it suffered is what it carries; else what it did carry is a floor.
    let carried = |way: usize| {
        let full = ramp.steps.iter().filter(|step| step.suffered()[way]);
        let full = full.map(|step| step.carried[way]).reduce(f64::max);
        let most = ramp.steps.iter().map(|step| step.carried[way]).fold(0.0, f64::max);
        round(full.unwrap_or(most))
    };
    let [trunk_there, trunk_here] = ramp.trunked;
    LoadReport {
        trunk_there,
        trunk_here,
        good_calls: ramp.good,
        is_border: ramp.steps.iter().any(|step| !step.did_well),
        refused: ramp.refused.clone(),
        there_kbits: carried(0),
        here_kbits: carried(1),
        steps: ramp.steps.iter().map(step).collect(),
    }
}

/// How many calls of each codec fit into so many kbit/s each way.
fn fits(kbits: f64, spoken: Option<Format>, frame_ms: u16, headers: usize) -> Vec<FitReport> {
    let mut codecs: Vec<Format> = spoken.into_iter().collect();
    codecs.extend(CODECS.into_iter().filter(|codec| Some(*codec) != spoken));
    let fit = |codec: Format| {
        // Not each codec has frames of each length.
        let lengths = [frame_ms, 20];
        let (frame_ms, frame_bytes) =
            lengths.into_iter().find_map(|length| Some((length, frame_bytes(codec, length)?)))?;
        let load = Load { frame_bytes, frame_ms, headers };
        let trunk = Some(TrunkConfig::default());
        let (calls, trunk_calls) = (load.fitting(kbits, None), load.fitting(kbits, trunk));
        Some(FitReport {
            codec: codec.name(),
            frame_ms,
            kbits: round(load.kbits(1, None)),
            calls,
            trunk_calls,
            datagrams: load.datagrams(calls, None),
            trunk_datagrams: load.datagrams(trunk_calls, trunk),
        })
    };
    codecs.into_iter().filter_map(fit).collect()
}

/// Breaks a text into lines that are no longer than that.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let used = lines.last().map_or(0, |line| line.chars().count());
        if used > 0 && used + 1 + word.chars().count() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// What a line of figures is called, and its cells.
type Row = (&'static str, Vec<String>);

/// The parts of the page, each a name and a text: what `table` prints and the page of HTML shows.
impl Report {
    /// One line each.
    pub(crate) fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = Vec::new();
        let polls = &self.polls;
        let mut said = format!("{} sent, {} answered", polls.sent, polls.received);
        if let (Some(p50), Some(p95), Some(p99)) =
            (polls.rtt_p50_ms, polls.rtt_p95_ms, polls.rtt_p99_ms)
        {
            let least = polls.rtt_min_ms.unwrap_or_default();
            let jitter = polls.jitter_ms.unwrap_or_default();
            let _ = write!(
                said,
                "; round trip {least:.1} / {p50:.1} / {p95:.1} / {p99:.1} ms (least, 50, 95, 99 %), \
                 jitter {jitter:.1} ms"
            );
        }
        lines.push(("polls", said));
        if let Some(length) = &self.length {
            lines.push(("length", length.line()));
        }
        match &self.nat {
            Some(nat) => lines.push(("addresses", nat.line())),
            None if polls.received > 0 => {
                lines.push(("addresses", "the peer does not say where it sees us".into()));
            }
            None => {}
        }
        if !self.silences.is_empty() {
            lines.push(("silence", self.silence()));
        }
        if let Some(call) = &self.call {
            lines.push(("call", call.line()));
            if let Some(clock) = &call.clock {
                lines.push(("clock", clock.line()));
            }
        }
        lines
    }

    fn silence(&self) -> String {
        let longest = self.silences.last().map_or(0, |silence| silence.seconds);
        let keeps = self.nat.as_ref().is_some_and(|nat| nat.kind != Kind::ChangesPorts);
        match nat::forgets(&self.silences) {
            Some((0, forgotten)) => format!("forgotten within {forgotten} s"),
            Some((remembered, forgotten)) => {
                format!("remembered for {remembered} s, forgotten after {forgotten} s")
            }
            // Who gets its own port again cannot tell whether it was forgotten meanwhile.
            None if self.silences.iter().all(|silence| silence.is_proved) => {
                format!("remembered for {longest} s at least")
            }
            None if keeps => {
                format!("seen at the same port after {longest} s, as it would be anyway")
            }
            None => format!(
                "seen at the same port after {longest} s: remembered, unless it was given out again"
            ),
        }
    }

    /// Columns of what a call had each way.
    pub(crate) fn ways(&self) -> Option<(Vec<&'static str>, Vec<Row>)> {
        let call = self.call.as_ref()?;
        let apart = call.there.as_ref().zip(call.here.as_ref());
        let (heads, ways) = match apart {
            Some((there, here)) => (vec!["there", "here", "both"], vec![there, here, &call.both]),
            None => (vec!["there and back"], vec![&call.both]),
        };
        let cells =
            |cell: &dyn Fn(&WayReport) -> String| ways.iter().map(|way| cell(way)).collect();
        let mut rows: Vec<Row> = vec![
            ("lost", cells(&|way| format!("{:.2} %", way.lost_percent))),
            ("overtaken", cells(&|way| format!("{:.2} %", way.reordered_percent))),
            ("jitter", cells(&|way| format!("{:.1} ms", way.jitter_ms))),
            ("late, 95 %", cells(&|way| format!("{:.1} ms", way.late_ms.p95))),
            ("late, 99 %", cells(&|way| format!("{:.1} ms", way.late_ms.p99))),
        ];
        let mos = match apart {
            Some(_) => vec![
                format!("{:.2}", call.mos_there),
                format!("{:.2}", call.mos_here),
                String::new(),
            ],
            None => vec![format!("{:.2}", call.mos_here)],
        };
        rows.push(("MOS", mos));
        Some((heads, rows))
    }

    /// What stands above the steps of the load, and their columns; the same in a trunk, where that was tried.
    pub(crate) fn load_lines(&self) -> [Option<(String, Vec<Vec<String>>)>; 2] {
        [&self.load, &self.trunk_load].map(|load| load.as_ref().map(LoadReport::lines))
    }

    /// The same of how many calls fit.
    pub(crate) fn fit_lines(&self) -> Option<(String, Vec<Vec<String>>)> {
        let load = self.load.as_ref().filter(|load| !load.steps.is_empty())?;
        let kbits = load.there_kbits.min(load.here_kbits);
        let at_least = if self.fits_at_least { "at least" } else { "about" };
        let said =
            format!("arithmetic: {at_least} so many calls go into {kbits:.0} kbit/s each way");
        let rows = self.fits.iter().map(|fit| {
            vec![
                fit.codec.into(),
                format!("{:.1}", fit.kbits),
                fit.calls.to_string(),
                format!("{:.0}", fit.datagrams),
                fit.trunk_calls.to_string(),
                format!("{:.0}", fit.trunk_datagrams),
            ]
        });
        Some((said, rows.collect()))
    }

    /// As people read it: one page.
    pub(crate) fn page(&self) -> String {
        let mut text = format!("{} ({}), {}\n\n", self.target, self.address, self.at);
        let mut row = |name: &str, said: &str| {
            for (n, line) in wrap(said, WIDTH - NAME).into_iter().enumerate() {
                let name = if n == 0 { name } else { "" };
                let _ = writeln!(text, "{name:<NAME$}{line}");
            }
        };
        row("verdict", self.verdict.words());
        for (name, said) in self.lines() {
            row(name, &said);
        }
        let indent = |table: String| -> String {
            table.lines().map(|line| format!("{:NAME$}{line}\n", "")).collect()
        };
        let room = Room::Columns(WIDTH - NAME);
        if let Some((heads, rows)) = self.ways() {
            let mut columns = vec![left("")];
            columns.extend(heads.into_iter().map(right));
            let rows: Vec<Vec<String>> = rows
                .into_iter()
                .map(|(name, cells)| std::iter::once(name.to_string()).chain(cells).collect())
                .collect();
            text.push_str(&indent(table(room, &columns, &apart(rows))));
        }
        let [load, trunk] = self.load_lines();
        for (name, part, columns) in [
            ("load", load, &LOAD_COLUMNS[..]),
            ("in a trunk", trunk, &LOAD_COLUMNS[..]),
            ("fits", self.fit_lines(), &FIT_COLUMNS[..]),
        ] {
            let Some((said, rows)) = part else { continue };
            for (n, line) in wrap(&said, WIDTH - NAME).into_iter().enumerate() {
                let _ = writeln!(text, "{:<NAME$}{line}", if n == 0 { name } else { "" });
            }
            if !rows.is_empty() {
                let columns: Vec<_> = columns.iter().map(|(heading, _)| right(heading)).collect();
                text.push_str(&indent(table(room, &columns, &apart(rows))));
            }
        }
        if !self.findings.is_empty() {
            text.push('\n');
        }
        for Finding { weight, says, remedy, .. } in &self.findings {
            let mark = match weight {
                Weight::Bad => "bad",
                Weight::Warning => "warning",
                Weight::Note => "note",
            };
            for (n, line) in wrap(says, WIDTH - NAME).into_iter().enumerate() {
                let _ = writeln!(text, "{:<NAME$}{line}", if n == 0 { mark } else { "" });
            }
            let Some(remedy) = remedy else { continue };
            for line in wrap(&format!("to mend it: {remedy}"), WIDTH - NAME - 2) {
                let _ = writeln!(text, "{:NAME$}  {line}", "");
            }
        }
        text
    }
}

/// Headings, and what they mean.
pub(crate) const LOAD_COLUMNS: [(&str, &str); 7] = [
    ("CALLS", "calls at once"),
    ("KBIT/S", "sent one way, from IP upwards"),
    ("LOST THERE", "voice lost on the way there"),
    ("HERE", "and on the way back"),
    ("QUEUE THERE ms", "how much later than with one call 95 of 100 frames came there"),
    ("HERE ms", "and back here"),
    ("", "whether voice suffered"),
];
pub(crate) const FIT_COLUMNS: [(&str, &str); 6] = [
    ("CODEC", "frames of 20 ms"),
    ("KBIT/S", "of one call, one way"),
    ("CALLS", "as single calls"),
    ("PACKETS/S", "of those, one way"),
    ("IN A TRUNK", "in trunk frames"),
    ("PACKETS/S", "of those, one way"),
];

/// The same with more room between columns of figures.
fn apart(mut rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    for cell in rows.iter_mut().flat_map(|row| row.iter_mut().skip(1)) {
        cell.insert_str(0, "  ");
    }
    rows
}

fn calls(count: usize) -> String {
    if count == 1 { "1 call".into() } else { format!("{count} calls") }
}

impl LoadReport {
    fn lines(&self) -> (String, Vec<Vec<String>>) {
        let most = self.steps.last().map_or(1, |step| step.calls);
        let mut said = match (self.is_border, &self.refused) {
            (true, _) => {
                format!("measured: {} at once did well, more suffered", calls(self.good_calls))
            }
            (false, None) => {
                format!("measured: {} at once did well, more were not tried", calls(most))
            }
            (false, Some(refused)) => {
                let good = calls(self.good_calls);
                format!("measured: {good} at once did well, more were not taken: {refused}")
            }
        };
        if !self.steps.is_empty() {
            let _ = write!(
                said,
                "; {:.0} kbit/s came there and {:.0} back",
                self.there_kbits, self.here_kbits
            );
        }
        if self.trunk_there && !self.trunk_here {
            said.push_str("; the other end sends no trunk frames");
        }
        let percent = |value: Option<f64>, both: f64| match value {
            Some(value) => format!("{value:.1} %"),
            None => format!("{both:.1} %"),
        };
        let rows = self.steps.iter().map(|step| {
            vec![
                step.calls.to_string(),
                format!("{:.0}", step.kbits),
                percent(step.lost_there_percent, step.lost_percent),
                percent(step.lost_here_percent, step.lost_percent),
                format!("{:.0}", step.queue_there_ms.unwrap_or(step.queue_ms)),
                format!("{:.0}", step.queue_here_ms.unwrap_or(step.queue_ms)),
                if step.did_well { "well".into() } else { "suffered".into() },
            ]
        });
        (said, rows.collect())
    }
}

impl LengthReport {
    fn line(&self) -> String {
        let mut said = match (self.passes, self.fails) {
            (Some(passes), None) => format!("packets of {passes} bytes pass unfragmented"),
            (Some(passes), Some(_)) => {
                format!("packets of {passes} bytes pass unfragmented, and no longer ones")
            }
            (None, _) => "short packets pass alone".into(),
        };
        match self.comes_back {
            Some(true) => said.push_str(", and come back"),
            Some(false) => said.push_str(", and do not come back"),
            None => {}
        }
        said
    }
}

impl NatReport {
    fn line(&self) -> String {
        let Self { own, seen: [first, second], .. } = self;
        let elsewhere = self
            .elsewhere
            .as_ref()
            .map(|seen| format!("; elsewhere as {seen}"))
            .unwrap_or_default();
        match self.kind {
            Kind::None => format!("no NAT between: {own} is seen as such{elsewhere}"),
            _ => format!(
                "a NAT between: {own} is seen as {first}, a second port as {second}{elsewhere}"
            ),
        }
    }
}

impl CallReport {
    fn line(&self) -> String {
        let Times { p50, p95, p99 } = self.round_trip_ms;
        let how = match self.tells_ways_apart {
            true => "which tells what it saw",
            false => "an echo, which shows both ways together",
        };
        format!(
            "{} frames of {} to {}, {how}; round trip {p50:.1} / {p95:.1} / {p99:.1} ms (50, 95, 99 %)",
            self.sent, self.codec, self.number
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_by_less_than_a_millionth_is_as_fast_as_ours() {
        let line = |ppm, uncertainty_ppm| ClockReport { ppm, uncertainty_ppm }.line();
        for ppm in [0.0, 0.4, -0.4] {
            assert_eq!(
                line(ppm, 2.0),
                "the other end's is as fast as ours, give or take 2 millionths"
            );
        }
        let slower = "the other end's is 301 millionths slower than ours, give or take 12";
        assert_eq!(line(-300.6, 12.3), slower);
        assert!(line(0.5, 0.4).contains(" 1 millionth faster "), "{}", line(0.5, 0.4));
        assert!(line(0.1, 0.4).ends_with(" give or take 1 millionth"), "{}", line(0.1, 0.4));
    }

    #[test]
    fn long_texts_are_broken_between_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a-word-longer-than-that", 5), ["a-word-longer-than-that"]);
        assert_eq!(wrap("", 5), [""]);
    }
}
