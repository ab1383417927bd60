//! What a call costs that goes on by SIP.

use crate::bare_sockets;
use crate::load::{self, Load};
use crate::systems::{Callee, Kind, Setting, carrier, loopback};
use crate::{Bench, Rounds};

/// Calls to a carrier, and how many of them, or how much of their voice, may be lost, in percent.
const CARRIED: [usize; 5] = [100, 150, 200, 300, 500];
const LOST: f64 = 1.0;

impl Bench {
    /// Calls that stay up at a carrier.
    fn carried(&self, calls: usize) -> Load {
        self.standing_at(50, calls, true)
    }

    /// What the packets of RTP of so many calls cost by themselves.
    fn bare_packets(&self, calls: usize) {
        let (mut cost, mut lost) = (Rounds::default(), Rounds::default());
        for _ in 0..self.settings.rounds {
            // Behind its port for voice a sipp takes another for video.
            let (signalling, echo) = (loopback(), loopback());
            let _carrier = carrier(signalling, echo.port());
            let (each, missing) = bare_sockets::cost(echo, calls, self.settings.seconds);
            cost.0.push(each);
            lost.0.push(missing);
        }
        let name = "nothing: bare packets, a socket for each call";
        println!("| {calls} | {name} | {calls} | {} | {:.2} % |", cost.show(0), lost.median());
    }

    /// What a call costs that comes by an IAX2 trunk and leaves by SIP and RTP: one that lasts, and one that
    /// is set up and hung up. A sipp answers and sends the voice back, which is verified. Each system gets
    /// more calls until it loses voice: the knee of Asterisk is where both are compared. Beside them stands what the
    /// packets of RTP cost by themselves, which no gateway is cheaper than.
    pub(crate) fn carriers(&self) {
        if self.settings.without_peers {
            return;
        }
        println!(
            "\n| calls | from IAX2 to SIP through | up | CPU of a call, µs in a second | lost |\n| --- | --- | --- | --- | --- |"
        );
        let through = |kind: Kind, load: &Load| {
            let callee = loopback();
            let _carrier = carrier(callee, loopback().port());
            let setting = Setting { trunk: load.trunk, ..Setting::of(Callee::Sip(callee)) };
            let system = self.start(kind, &setting);
            let outcome = load::run(load, Some(&system), None);
            assert!(outcome.calls.answered > 0, "{} takes no calls", kind.name());
            outcome
        };
        let (mut at_knee, mut asterisk_carries) = (None, true);
        for calls in CARRIED {
            let mut costs = Vec::new();
            for kind in [Kind::Oneport, Kind::Asterisk] {
                if kind == Kind::Asterisk && !asterisk_carries {
                    continue;
                }
                let (mut cost, mut lost) = (Rounds::default(), Rounds::default());
                let mut up = Rounds::default();
                for _ in 0..self.settings.rounds {
                    let outcome = through(kind, &self.carried(calls));
                    let (most, each) = outcome.per_call();
                    up.0.push(most as f64);
                    cost.0.push(each);
                    lost.0.push(outcome.voice.lost_percent);
                }
                let (up, lost) = (up.median(), lost.median());
                println!("| {calls} | {} | {up} | {} | {lost:.2} % |", kind.name(), cost.show(0));
                let carries = lost <= LOST && up >= calls as f64 * (1.0 - LOST / 100.0);
                costs.push((cost.median(), carries));
            }
            self.bare_packets(calls);
            match costs[..] {
                [(ours, _), (theirs, true)] => at_knee = Some((calls, ours, theirs)),
                [_, _] => asterisk_carries = false,
                _ => {}
            }
        }
        if let Some((calls, ours, theirs)) = at_knee {
            println!(
                "\n- {calls} calls, the last that Asterisk carries with {LOST} % lost at most: {:.1} times the calls for the CPU.",
                theirs / ours
            );
        }
        println!(
            "\n| from IAX2 to SIP through | CPU of a set-up, µs; 40 a second |\n| --- | --- |"
        );
        let mut set_ups = Vec::new();
        for kind in [Kind::Oneport, Kind::Asterisk] {
            let mut cost = Rounds::default();
            for _ in 0..self.settings.rounds {
                let outcome = through(
                    kind,
                    &Load {
                        calls: 100_000,
                        rate: 40,
                        hold: Some(0.0),
                        duration: self.settings.seconds,
                        ..Load::default()
                    },
                );
                let used = outcome.watched.map_or(0.0, |process| process.cpu_seconds);
                cost.0.push(used / outcome.calls.answered as f64 * 1e6);
            }
            println!("| {} | {} |", kind.name(), cost.show(0));
            set_ups.push(cost.median());
        }
        if let [ours, theirs] = set_ups[..] {
            println!(
                "\n- A set-up costs Asterisk {:.1} times what it costs Oneport.",
                theirs / ours
            );
        }
    }
}
