//! One line for Nagios and what speaks its language (Icinga, Checkmk, Zabbix): state, figures, and the exit
//! code that goes with the state (Monitoring Plugins' development guidelines).

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;

use super::report::Report;
use super::verdict::Verdict;
use crate::load::profile::percent;

/// States, with their exit codes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum State {
    Ok = 0,
    Warning = 1,
    Critical = 2,
    Unknown = 3,
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }

    pub(crate) fn exit_code(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

/// From where on a figure is a warning, and from where on it is critical.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Thresholds of --nagios")]
pub(crate) struct Thresholds {
    /// Round trip of 95 of 100 answers, or frames of voice
    #[arg(long, value_name = "MS", default_value_t = 200.0)]
    warn_rtt: f64,
    /// The same: critical
    #[arg(long, value_name = "MS", default_value_t = 400.0)]
    critical_rtt: f64,
    /// Polls, or voice of either way, lost
    #[arg(long, value_name = "PERCENT", value_parser = percent, default_value = "1")]
    warn_loss: f64,
    /// The same: critical
    #[arg(long, value_name = "PERCENT", value_parser = percent, default_value = "5")]
    critical_loss: f64,
    /// Jitter of either way
    #[arg(long, value_name = "MS", default_value_t = 20.0)]
    warn_jitter: f64,
    /// The same: critical
    #[arg(long, value_name = "MS", default_value_t = 50.0)]
    critical_jitter: f64,
    /// Mean opinion score of either way: below this
    #[arg(long, value_name = "MOS", default_value_t = 4.0)]
    warn_mos: f64,
    /// The same: critical
    #[arg(long, value_name = "MOS", default_value_t = 3.6)]
    critical_mos: f64,
}

/// A figure with its thresholds.
struct Figure {
    label: &'static str,
    words: String,
    value: f64,
    unit: &'static str,
    /// None where it is told alone.
    limits: Option<(f64, f64)>,
    /// Low values are the bad ones.
    falls: bool,
}

impl Figure {
    fn state(&self) -> State {
        let beyond = |limit: f64| match self.falls {
            true => self.value < limit,
            false => self.value >= limit,
        };
        let Some((warn, critical)) = self.limits else { return State::Ok };
        match (beyond(critical), beyond(warn)) {
            (true, _) => State::Critical,
            (_, true) => State::Warning,
            _ => State::Ok,
        }
    }

    /// `label=value[unit];warn;critical;min`: where low values are bad, the range of good ones is open
    /// above, `limit:`.
    fn performance(&self) -> String {
        let Self { label, value, unit, .. } = self;
        let Some((warn, critical)) = self.limits else {
            return format!("{label}={value}{unit};;;0");
        };
        let open = if self.falls { ":" } else { "" };
        format!("{label}={value}{unit};{warn}{open};{critical}{open};0")
    }
}

/// The line, and its state.
pub(crate) fn line(report: &Report, limits: &Thresholds) -> (State, String) {
    let figures = figures(report, limits);
    let mut state = figures.iter().map(Figure::state).max().unwrap_or(State::Ok);
    let mut said: Vec<String> = figures.iter().map(|figure| figure.words.clone()).collect();
    if report.verdict == Verdict::Unreachable {
        state = State::Critical;
        said = report.findings.iter().map(|finding| finding.says.clone()).collect();
    }
    let mut line = format!("IAX2 {} - {}: {}", state.word(), report.target, said.join(", "));
    // A bar would begin the figures, and a second line is another kind of output.
    line = line.replace(['|', '\n'], " ");
    for (n, figure) in figures.iter().enumerate() {
        let _ = write!(line, "{}{}", if n == 0 { " | " } else { " " }, figure.performance());
    }
    (state, line)
}

fn figures(report: &Report, limits: &Thresholds) -> Vec<Figure> {
    let rising = |label, words: String, value, unit, warn, critical| Figure {
        label,
        words,
        value,
        unit,
        limits: Some((warn, critical)),
        falls: false,
    };
    let loss = |label, words: &str, value: f64| {
        let words = format!("{words} {value} %");
        rising(label, words, value, "%", limits.warn_loss, limits.critical_loss)
    };
    let jitter = |label, words: &str, value: f64| {
        let words = format!("{words} {value:.1} ms");
        rising(label, words, value, "ms", limits.warn_jitter, limits.critical_jitter)
    };
    let rtt = |value: f64| {
        let words = format!("round trip {value:.1} ms");
        rising("rtt", words, value, "ms", limits.warn_rtt, limits.critical_rtt)
    };
    let mos = |label, words: &str, value: f64| Figure {
        label,
        words: format!("{words} {value}"),
        value,
        unit: "",
        limits: Some((limits.warn_mos, limits.critical_mos)),
        falls: true,
    };
    let mut figures = Vec::new();
    let polls = &report.polls;
    match &report.call {
        Some(call) => {
            figures.push(rtt(call.round_trip_ms.p95));
            match (&call.there, &call.here) {
                (Some(there), Some(here)) => {
                    figures.push(loss("loss_there", "lost there", there.lost_percent));
                    figures.push(loss("loss_here", "here", here.lost_percent));
                    figures.push(jitter("jitter_there", "jitter there", there.jitter_ms));
                    figures.push(jitter("jitter_here", "here", here.jitter_ms));
                    figures.push(mos("mos_there", "MOS there", call.mos_there));
                    figures.push(mos("mos_here", "here", call.mos_here));
                }
                _ => {
                    figures.push(loss("loss", "lost there and back", call.both.lost_percent));
                    figures.push(jitter("jitter", "jitter", call.both.jitter_ms));
                    figures.push(mos("mos", "MOS", call.mos_here));
                }
            }
        }
        None => {
            figures.extend(polls.rtt_p95_ms.map(rtt));
            figures.push(loss("loss", "polls lost", polls.lost_percent));
            figures.extend(polls.jitter_ms.map(|value| jitter("jitter", "jitter", value)));
        }
    }
    let loads =
        [("calls", "calls", &report.load), ("trunk_calls", "in a trunk", &report.trunk_load)];
    for (label, words, load) in loads {
        let Some(load) = load else { continue };
        let words = format!("{words} {}", load.good_calls);
        let value = load.good_calls as f64;
        figures.push(Figure { label, words, value, unit: "", limits: None, falls: false });
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(value: f64, falls: bool) -> Figure {
        let limits = Some(if falls { (4.0, 3.6) } else { (1.0, 5.0) });
        Figure { label: "x", words: String::new(), value, unit: "ms", limits, falls }
    }

    #[test]
    fn a_figure_at_its_threshold_is_beyond_it() {
        let states = [0.9, 1.0, 4.9, 5.0].map(|value| figure(value, false).state());
        assert_eq!(states, [State::Ok, State::Warning, State::Warning, State::Critical]);
        let states = [4.0, 3.9, 3.6, 3.5].map(|value| figure(value, true).state());
        assert_eq!(states, [State::Ok, State::Warning, State::Warning, State::Critical]);
    }

    #[test]
    fn performance_data_has_the_form_that_nagios_reads() {
        assert_eq!(figure(1.5, false).performance(), "x=1.5ms;1;5;0");
        assert_eq!(figure(4.2, true).performance(), "x=4.2ms;4:;3.6:;0");
        let told = Figure { limits: None, ..figure(12.0, false) };
        assert_eq!((told.performance(), told.state()), ("x=12ms;;;0".into(), State::Ok));
    }
}
