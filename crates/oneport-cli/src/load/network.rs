//! The bad network that a load makes inside, between itself and whom it calls.

use std::time::Duration;

use clap::Args;
use oneport::{BadNetwork, Impairment};

use super::profile::percent;

/// What becomes of datagrams, each way by itself.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "A bad network, made inside, each way by itself")]
pub(crate) struct Network {
    /// Datagrams lost, per cent
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    loss: Option<f64>,
    /// How many are lost in a row, on average; 1 loses at random
    #[arg(long, value_name = "N", requires = "loss")]
    loss_run: Option<f64>,
    /// How long each is on the way
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    delay: Option<Duration>,
    /// How much longer it may be, each by itself; one that is sent later waits for those before it
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    jitter: Option<Duration>,
    /// Datagrams that are overtaken by the next ones, per cent: they are 30 ms late
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    reorder: Option<f64>,
    /// Datagrams that come twice, per cent
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    duplicate: Option<f64>,
    /// Where chance begins: the same seed loses the same datagrams
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// How late a datagram is that is overtaken: more than a frame.
const OVERTAKEN_BY: Duration = Duration::from_millis(30);

impl Network {
    /// What is wanted of it, for the `n`th of those who call; `None`: nothing.
    pub(crate) fn of(&self, n: u16) -> Option<BadNetwork> {
        let share = |percent: Option<f64>| percent.unwrap_or(0.0) / 100.0;
        let impairment = Impairment {
            loss: share(self.loss),
            loss_run: self.loss_run.unwrap_or(1.0),
            delay: self.delay.unwrap_or_default(),
            jitter: self.jitter.unwrap_or_default(),
            // Those that are overtaken are told by `reorder` alone.
            in_order: self.reorder.is_none(),
            reordering: share(self.reorder),
            reordered_by: OVERTAKEN_BY,
            duplication: share(self.duplicate),
            ..Impairment::NONE
        };
        let shares = [self.loss, self.reorder, self.duplicate].iter().any(Option::is_some);
        let is_bad = shares || self.delay.is_some() || self.jitter.is_some();
        // Two directions of each have a seed of their own.
        let seed = self.seed.wrapping_add(u64::from(n) * 2);
        is_bad.then_some(BadNetwork { seed, sent: impairment, received: impairment })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Network = Network {
        loss: None,
        loss_run: None,
        delay: None,
        jitter: None,
        reorder: None,
        duplicate: None,
        seed: 1,
    };

    #[test]
    fn a_network_of_which_nothing_is_said_is_not_there() {
        assert_eq!(GOOD.of(0), None);
        let lossy = Network { loss: Some(2.0), ..GOOD }.of(0).expect("it loses");
        assert_eq!((lossy.sent.loss, lossy.received.loss), (0.02, 0.02));
        let late = Network { reorder: Some(1.0), ..GOOD }.of(3).expect("it overtakes");
        assert_eq!((late.sent.in_order, late.sent.reordering, late.seed), (false, 0.01, 7));
    }
}
