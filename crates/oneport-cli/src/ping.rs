//! `oneport ping`: asks a peer whether it is there (POKE).

use std::time::Duration;

use clap::Args;
use oneport::{Phone, PhoneConfig, PingError, Target};
use serde::Serialize;
use tokio::time;

use crate::exit::{Code, Failure, failed};
use crate::live::millis;

/// Asks a peer whether it is there, and how long the way is
#[derive(Args)]
#[command(after_help = "\
Example:
  oneport ping pbx.example.org -c 20 -i 100ms")]
pub(crate) struct Ping {
    /// Host, with or without port
    target: Target,
    /// How often
    #[arg(short, long, default_value_t = 5)]
    count: u32,
    /// Time between two
    #[arg(short, long, default_value = "1s", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// How long to wait for each answer
    #[arg(short, long, default_value = "2s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Prints the result as JSON
    #[arg(long)]
    json: bool,
}

/// The result, as `--json` prints it. Times are null where nothing came back.
#[derive(Serialize, Debug, PartialEq)]
struct Report {
    sent: usize,
    received: usize,
    lost_percent: f64,
    rtt_min_ms: Option<f64>,
    rtt_avg_ms: Option<f64>,
    rtt_max_ms: Option<f64>,
    /// Mean difference of neighbouring round trips.
    jitter_ms: Option<f64>,
}

impl Report {
    fn of(answers: &[Option<Duration>]) -> Self {
        let times: Vec<f64> = answers.iter().flatten().copied().map(millis).collect();
        let round = |value: f64| (value * 1000.0).round() / 1000.0;
        let mean = |values: &[f64]| {
            (!values.is_empty()).then(|| round(values.iter().sum::<f64>() / values.len() as f64))
        };
        let steps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect();
        let lost = answers.len() - times.len();
        Self {
            sent: answers.len(),
            received: times.len(),
            lost_percent: round(lost as f64 * 100.0 / answers.len().max(1) as f64),
            rtt_min_ms: times.iter().copied().reduce(f64::min).map(round),
            rtt_avg_ms: mean(&times),
            rtt_max_ms: times.iter().copied().reduce(f64::max).map(round),
            jitter_ms: mean(&steps),
        }
    }
}

impl Ping {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let resolved = self.target.resolve().await;
        let to = resolved.map_err(|error| {
            Failure::new(Code::Unreachable, error).hint("check the host's name")
        })?;
        let phone = Phone::bind(PhoneConfig::default()).map_err(failed)?;
        let mut clock = time::interval(self.interval);
        let mut answers = Vec::new();
        for n in 1..=self.count {
            tokio::select! {
                _ = clock.tick() => {}
                _ = tokio::signal::ctrl_c() => break,
            }
            let answer = match phone.ping(to, self.timeout).await {
                Ok(rtt) => Some(rtt),
                Err(PingError::TimedOut) => None,
                Err(error) => return Err(failed(error)),
            };
            if !self.json {
                match answer {
                    Some(rtt) => say!("{to}: answer {n} after {:.3} ms", millis(rtt)),
                    None => say!("{to}: no answer {n}"),
                }
            }
            answers.push(answer);
        }
        phone.stop().await;
        let report = Report::of(&answers);
        if self.json {
            say!("{}", serde_json::to_string_pretty(&report).map_err(failed)?);
        } else {
            say!(
                "{} sent, {} answered, {}% lost",
                report.sent,
                report.received,
                report.lost_percent
            );
            if let (Some(min), Some(avg), Some(max)) =
                (report.rtt_min_ms, report.rtt_avg_ms, report.rtt_max_ms)
            {
                let jitter = report.jitter_ms.unwrap_or(0.0);
                say!("round trip {min} / {avg} / {max} ms (min/avg/max), jitter {jitter} ms");
            }
        }
        if report.received == 0 {
            let failure = Failure::new(Code::Unreachable, format!("{to} does not answer"));
            return Err(failure.hint("check host and port, and that UDP 4569 passes the firewalls"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_of_what_came_back() {
        let ms = |value| Some(Duration::from_millis(value));
        let report = Report::of(&[ms(10), None, ms(14), ms(12)]);
        assert_eq!((report.sent, report.received, report.lost_percent), (4, 3, 25.0));
        assert_eq!((report.rtt_min_ms, report.rtt_avg_ms), (Some(10.0), Some(12.0)));
        assert_eq!((report.rtt_max_ms, report.jitter_ms), (Some(14.0), Some(3.0)));
        assert_eq!(Report::of(&[None]).rtt_avg_ms, None);
    }
}
