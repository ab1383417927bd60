//! `oneport ping`: asks a peer whether it is there (POKE).

use std::time::Duration;

use clap::Args;
use oneport::Target;
use tokio::time;

use crate::exit::{Code, Failure, failed};
use crate::interrupt::Interrupt;
use crate::live::millis;
use crate::probe::poll::{Outcome, Poller};
use crate::probe::polls::Polls;

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

impl Ping {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let resolved = self.target.resolve().await;
        let to = resolved.map_err(|error| {
            Failure::new(Code::Unreachable, error).hint("check the host's name")
        })?;
        let mut poller = Poller::new(to).map_err(failed)?;
        let mut clock = time::interval(self.interval);
        let mut interrupt = Interrupt::new()?;
        let (mut answers, mut refusal) = (Vec::new(), None);
        for n in 1..=self.count {
            tokio::select! {
                _ = clock.tick() => {}
                () = interrupt.heard() => break,
            }
            let (answer, said) = match poller.poll(self.timeout).await.map_err(failed)? {
                Outcome::Answered { rtt, .. } => {
                    (Some(rtt), format!("answer {n} after {:.3} ms", millis(rtt)))
                }
                Outcome::Silence => (None, format!("no answer {n}")),
                Outcome::Refused(why) => {
                    refusal = Some(why);
                    (None, format!("no answer {n}: {why}"))
                }
            };
            if !self.json {
                say!("{to}: {said}");
            }
            answers.push(answer);
        }
        let polls = Polls::of(&answers);
        if self.json {
            say!("{}", serde_json::to_string_pretty(&polls).map_err(failed)?);
        } else {
            say!("{} sent, {} answered, {}% lost", polls.sent, polls.received, polls.lost_percent);
            if let (Some(min), Some(avg), Some(max)) =
                (polls.rtt_min_ms, polls.rtt_avg_ms, polls.rtt_max_ms)
            {
                let jitter = polls.jitter_ms.unwrap_or(0.0);
                say!("round trip {min} / {avg} / {max} ms (min/avg/max), jitter {jitter} ms");
            }
        }
        if polls.received == 0 {
            let failure = Failure::new(Code::Unreachable, format!("{to} does not answer"));
            let hint = "check host and port, and that UDP 4569 passes the firewalls";
            return Err(failure.hint(refusal.map_or(hint, |refusal| refusal.why.remedy())));
        }
        Ok(())
    }
}
