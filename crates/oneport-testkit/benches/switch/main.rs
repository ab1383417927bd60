//! The switch beside a bare relay and a real Asterisk 22, in the same scene and the same run: `oneport
//! load` calls itself through each of them. Rounds of one after the other; the median of them counts, and
//! least and most stand beside it. CPU is the process's own time, as the kernel has it.
//!
//! `cargo xtask bench` builds what it needs and writes what this prints into docs/performance.md.

mod load;
mod relay;
mod systems;

use std::net::SocketAddrV4;
use std::time::Duration;

use load::{Load, Outcome};
use relay::Way;
use systems::{Callee, Kind, System, carrier, loopback};

/// How it is run.
struct Settings {
    rounds: usize,
    /// Seconds for which all calls are up.
    seconds: f64,
    without_peers: bool,
}

/// Calls of each scene that Asterisk can carry, and of one that it cannot.
const FEW: usize = 100;
const MANY: usize = 1_000;

/// Calls to a carrier, and how many of them, or how much of their voice, may be lost, in percent.
const CARRIED: [usize; 5] = [100, 150, 200, 300, 500];
const LOST: f64 = 1.0;

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [word, listen, callee, way] = arguments.as_slice()
        && word == "relay"
    {
        let way = Way::from_name(way).expect("one of its names");
        let address = |text: &str| text.parse().expect("an address");
        relay::run(address(listen), address(callee), way).expect("a system that relays");
        return;
    }
    let number = |name: &str, default: f64| {
        let at = arguments.iter().position(|word| word == name);
        at.and_then(|at| arguments.get(at + 1)?.parse().ok()).unwrap_or(default)
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few rounds")]
    let settings = Settings {
        rounds: number("--rounds", 5.0) as usize,
        seconds: number("--seconds", 8.0),
        without_peers: arguments.iter().any(|word| word == "--without-peers"),
    };
    let directory = tempfile::tempdir().expect("a directory");
    let bench = Bench { settings, directory };
    bench.introduce();
    let chosen = |name: &str| {
        let mut scenes = arguments.iter().filter(|word| SCENES.contains(&word.as_str())).peekable();
        scenes.peek().is_none() || scenes.any(|scene| scene == name)
    };
    if chosen("bridges") {
        bench.bridges();
    }
    if chosen("setups") {
        bench.set_ups();
    }
    if chosen("memory") {
        bench.memory();
    }
    if chosen("delay") {
        bench.delay();
    }
    if chosen("carriers") && !bench.settings.without_peers {
        bench.carriers();
    }
}

const SCENES: [&str; 5] = ["bridges", "setups", "memory", "delay", "carriers"];

/// How voice comes to the system.
#[derive(Clone, Copy, PartialEq, Eq)]
enum VoiceIn {
    /// In mini frames, each a datagram of its own to the kernel, as most systems send it.
    Minis,
    /// In mini frames of which the kernel gets many at once, as Oneport sends it.
    BundledMinis,
    /// In trunk frames.
    Trunks,
}

impl VoiceIn {
    const fn name(self) -> &'static str {
        match self {
            Self::Minis => "mini frames",
            Self::BundledMinis => "mini frames in bundles",
            Self::Trunks => "trunk frames",
        }
    }
}

/// Values of all rounds.
#[derive(Clone, Default)]
struct Rounds(Vec<f64>);

impl Rounds {
    fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }

    /// Median, least and most.
    fn show(&self, digits: usize) -> String {
        let least = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.0.iter().copied().fold(0.0, f64::max);
        format!("{:.digits$} ({least:.digits$} to {most:.digits$})", self.median())
    }
}

struct Bench {
    settings: Settings,
    directory: tempfile::TempDir,
}

impl Bench {
    fn start(&self, kind: Kind, callee: SocketAddrV4, trunk: bool) -> System {
        System::start(kind, Callee::Iax(callee), trunk, self.directory.path())
    }

    /// Says where and with what it runs.
    fn introduce(&self) {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let processors = read("/proc/cpuinfo");
        let model =
            processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let model = model.map_or("a machine that does not say which", |(_, model)| model);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let kernel = read("/proc/sys/kernel/osrelease");
        let mut text = format!("{cores} cores of {model}, Linux {}", kernel.trim());
        if !self.settings.without_peers {
            let asterisk = self.start(Kind::Asterisk, loopback(), false);
            text.push_str(&format!(", {}", asterisk.version().unwrap_or_default()));
        }
        let Settings { rounds, seconds, .. } = self.settings;
        println!(
            "{text}; {rounds} rounds of {seconds} s: the median, and the least and the most.\n"
        );
    }

    fn kinds(&self, asterisk: bool) -> Vec<Kind> {
        let mut kinds = Way::ALL.map(Kind::Relay).to_vec();
        kinds.push(Kind::Oneport);
        if asterisk && !self.settings.without_peers {
            kinds.push(Kind::Asterisk);
        }
        kinds
    }

    /// Calls that stay up.
    fn standing(&self, calls: usize, trunk: bool) -> Load {
        let rate = (calls / 3).max(50);
        let set_up = calls as f64 / rate as f64;
        // Two seconds of settling, and the last one may be cut.
        let duration = set_up + self.settings.seconds + 4.0;
        Load { calls, rate, hold: None, duration, trunk, one_by_one: false }
    }

    /// Calls that stay up at a carrier.
    fn carried(&self, calls: usize) -> Load {
        let rate = 50;
        let duration = calls as f64 / rate as f64 + self.settings.seconds + 4.0;
        Load { rate, duration, ..self.standing(calls, true) }
    }

    /// What a bridged call costs.
    fn bridges(&self) {
        println!(
            "| calls | voice in | through | CPU of a call, µs in a second | of the load, µs | lost |"
        );
        println!("| --- | --- | --- | --- | --- | --- |");
        let mut ratios = Vec::new();
        for (calls, voice) in [
            (FEW, VoiceIn::Minis),
            (MANY, VoiceIn::Minis),
            (FEW, VoiceIn::BundledMinis),
            (MANY, VoiceIn::BundledMinis),
            (FEW, VoiceIn::Trunks),
            (MANY, VoiceIn::Trunks),
        ] {
            let kinds = self.kinds(calls == FEW && voice != VoiceIn::BundledMinis);
            let load = Load {
                one_by_one: voice == VoiceIn::Minis,
                ..self.standing(calls, voice == VoiceIn::Trunks)
            };
            let mut costs =
                vec![(Rounds::default(), Rounds::default(), Rounds::default()); kinds.len()];
            for _ in 0..self.settings.rounds {
                for (kind, (cost, own, lost)) in kinds.iter().zip(&mut costs) {
                    let outcome = self.call(*kind, &load);
                    let (cores, own_cores) = outcome.steady_cores();
                    cost.0.push(cores / calls as f64 * 1e6);
                    own.0.push(own_cores / calls as f64 * 1e6);
                    lost.0.push(outcome.voice.lost_percent);
                }
            }
            let frames = voice.name();
            for (kind, (cost, own, lost)) in kinds.iter().zip(&costs) {
                println!(
                    "| {calls} | {frames} | {} | {} | {} | {:.2} % |",
                    kind.name(),
                    cost.show(1),
                    own.show(1),
                    lost.median()
                );
            }
            let of = |kind: Kind| {
                let at = kinds.iter().position(|known| *known == kind)?;
                Some(costs[at].0.median())
            };
            let relay = Way::ALL
                .iter()
                .filter_map(|way| of(Kind::Relay(*way)))
                .fold(f64::INFINITY, f64::min);
            let oneport = of(Kind::Oneport).unwrap_or_default();
            let mut ratio = format!(
                "{calls} calls in {frames}: Oneport costs {:.2} times the cheapest bare relay",
                oneport / relay
            );
            if let Some(asterisk) = of(Kind::Asterisk) {
                ratio.push_str(&format!(", Asterisk {:.1} times Oneport", asterisk / oneport));
            }
            ratios.push(ratio);
        }
        println!();
        ratios.iter().for_each(|ratio| println!("- {ratio}."));
    }

    fn call(&self, kind: Kind, load: &Load) -> Outcome {
        let callee = loopback();
        let system = self.start(kind, callee, load.trunk);
        let outcome = load::run(load, Some(&system), Some(callee));
        assert!(outcome.calls.answered > 0, "{} takes no calls", kind.name());
        outcome
    }

    /// What a call costs that is set up and hung up at once, with MD5 and call token.
    fn set_ups(&self) {
        println!(
            "\n| set up each second | through | CPU of a call, µs | answered | to the answer, ms (50 %, 99 %) |"
        );
        println!("| --- | --- | --- | --- | --- |");
        let scenes = [(Kind::Oneport, 40), (Kind::Oneport, 400), (Kind::Asterisk, 40)];
        let scenes: Vec<(Kind, usize)> = scenes
            .into_iter()
            .filter(|(kind, _)| *kind != Kind::Asterisk || !self.settings.without_peers)
            .collect();
        let mut costs =
            vec![
                (Rounds::default(), Rounds::default(), Rounds::default(), Rounds::default());
                scenes.len()
            ];
        for _ in 0..self.settings.rounds {
            for ((kind, rate), (cost, answered, median, slow)) in scenes.iter().zip(&mut costs) {
                let load = Load {
                    calls: 100_000,
                    rate: *rate,
                    hold: Some(0.0),
                    duration: self.settings.seconds,
                    trunk: false,
                    one_by_one: false,
                };
                let outcome = self.call(*kind, &load);
                let used = outcome.watched.map_or(0.0, |process| process.cpu_seconds);
                cost.0.push(used / outcome.calls.answered as f64 * 1e6);
                answered
                    .0
                    .push(outcome.calls.answered as f64 * 100.0 / outcome.calls.placed as f64);
                let set_up = outcome.set_up_ms.expect("calls were answered");
                median.0.push(set_up.p50);
                slow.0.push(set_up.p99);
            }
        }
        for ((kind, rate), (cost, answered, median, slow)) in scenes.iter().zip(&costs) {
            println!(
                "| {rate} | {} | {} | {:.1} % | {:.2}, {:.2} |",
                kind.name(),
                cost.show(0),
                answered.median(),
                median.median(),
                slow.median()
            );
        }
        let of = |wanted: Kind, at: usize| {
            let found = scenes.iter().position(|(kind, rate)| (*kind, *rate) == (wanted, at))?;
            Some(costs[found].0.median())
        };
        if let (Some(asterisk), Some(oneport)) = (of(Kind::Asterisk, 40), of(Kind::Oneport, 40)) {
            println!("\n- 40 a second: Asterisk costs {:.1} times Oneport.", asterisk / oneport);
        }
        if let (Some(asterisk), Some(oneport)) = (of(Kind::Asterisk, 40), of(Kind::Oneport, 400)) {
            println!("- 400 a second at Oneport, 40 at Asterisk: {:.1} times.", asterisk / oneport);
        }
    }

    /// What a leg holds of the process's memory.
    fn memory(&self) {
        println!("\n| calls | through | memory of a leg, bytes |");
        println!("| --- | --- | --- |");
        let mut scenes = vec![(Kind::Oneport, MANY)];
        if !self.settings.without_peers {
            scenes.push((Kind::Asterisk, FEW));
        }
        for (kind, calls) in scenes {
            let mut cost = Rounds::default();
            for _ in 0..self.settings.rounds {
                let callee = loopback();
                let system = self.start(kind, callee, false);
                // The first calls pay for what all share.
                let resident = |calls| {
                    let load = self.standing(calls, false);
                    let outcome = load::run(&load, Some(&system), Some(callee));
                    let process = outcome.watched.expect("it was watched");
                    process.memory_bytes.expect("Linux tells it") as f64
                };
                let few = resident(calls / 10);
                std::thread::sleep(Duration::from_secs(1));
                let all = resident(calls);
                cost.0.push((all - few) / (2 * (calls - calls / 10)) as f64);
            }
            println!("| {calls} | {} | {} |", kind.name(), cost.show(0));
        }
    }

    /// How much later voice comes through the switch than straight.
    fn delay(&self) {
        println!(
            "\n| calls | voice in | one way straight, ms (50 %, 99 %) | through Oneport, ms (50 %, 99 %) | cores of switch, load |"
        );
        println!("| --- | --- | --- | --- | --- |");
        for (calls, trunk) in
            [(FEW, false), (MANY, false), (2 * MANY, false), (4 * MANY, false), (MANY, true)]
        {
            let load = self.standing(calls, trunk);
            let mut rows =
                [(Rounds::default(), Rounds::default()), (Rounds::default(), Rounds::default())];
            let mut cores = (Rounds::default(), Rounds::default());
            for _ in 0..self.settings.rounds {
                let straight = load::run(&load, None, Some(loopback()));
                let through = self.call(Kind::Oneport, &load);
                let (switch, own) = through.steady_cores();
                cores.0.0.push(switch);
                cores.1.0.push(own);
                for (outcome, (median, slow)) in [straight, through].iter().zip(&mut rows) {
                    let way = outcome.one_way_ms.as_ref().expect("voice came");
                    median.0.push(way.p50);
                    slow.0.push(way.p99);
                }
            }
            let [straight, through] =
                rows.map(|(median, slow)| format!("{:.2}, {}", median.median(), slow.show(2)));
            let frames = if trunk { "trunk frames" } else { "mini frames" };
            println!(
                "| {calls} | {frames} | {straight} | {through} | {:.2}, {:.2} |",
                cores.0.median(),
                cores.1.median()
            );
        }
    }

    /// What a call costs that comes by an IAX2 trunk and leaves by SIP and RTP: one that lasts, and one that
    /// is set up and hung up. A sipp answers and sends the voice back, which is verified. Each system gets
    /// more calls until it loses voice: the knee of Asterisk is where both are compared.
    fn carriers(&self) {
        println!(
            "\n| calls | from IAX2 to SIP through | up | CPU of a call, µs in a second | lost |\n| --- | --- | --- | --- | --- |"
        );
        let through = |kind: Kind, load: &Load| {
            let callee = loopback();
            let _carrier = carrier(callee);
            let callee = Callee::Sip(callee);
            let system = System::start(kind, callee, load.trunk, self.directory.path());
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
                        trunk: false,
                        one_by_one: false,
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
