//! The switch beside a bare relay and a real Asterisk 22, in the same scene and the same run: `oneport
//! load` calls itself through each of them. Rounds of one after the other; the median of them counts, and
//! least and most stand beside it. CPU is the process's own time, as the kernel has it.
//!
//! `cargo xtask bench` builds what it needs; docs/performance.md has what it printed.

mod bare_sockets;
mod best;
mod bridges;
mod carriers;
mod counts;
mod delay;
mod first_answer;
mod flood;
mod idle;
mod junk;
mod kernel;
mod load;
mod memory;
mod registrations;
mod relay;
mod scale;
mod set_ups;
mod start;
mod systems;
mod unlike;

use load::{Load, Outcome};
use relay::Way;
use systems::{Kind, Setting, System, loopback};

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
        let known = |word: &&String| SCENES.iter().any(|(name, _)| name == word);
        let mut wanted = arguments.iter().filter(known).peekable();
        wanted.peek().is_none() || wanted.any(|word| word == name)
    };
    for (name, scene) in SCENES {
        if chosen(name) {
            scene(&bench);
        }
    }
}

/// Measures something, and prints it.
type Scene = fn(&Bench);

/// What can be measured, by the names that the command knows.
const SCENES: [(&str, Scene); 15] = [
    ("start", Bench::start_times),
    ("bridges", Bench::bridges),
    ("best-minis", Bench::best_minis),
    ("best-bundles", Bench::best_bundles),
    ("best-trunks", Bench::best_trunks),
    ("counts", Bench::counts),
    ("unlike", Bench::unlike),
    ("setups", Bench::set_ups),
    ("registrations", Bench::registrations),
    ("idle", Bench::idle),
    ("memory", Bench::memory),
    ("delay", Bench::delay),
    ("carriers", Bench::carriers),
    ("flood", Bench::flood),
    ("scale", Bench::scale),
];

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
    fn start(&self, kind: Kind, setting: &Setting) -> System {
        System::start(kind, setting, self.directory.path())
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
            let asterisk = self.start(Kind::Asterisk, &Setting::calls_to(loopback()));
            text.push_str(&format!(", {}", asterisk.version().unwrap_or_default()));
        }
        let Settings { rounds, seconds, .. } = self.settings;
        println!(
            "{text}; {rounds} rounds of {seconds} s: the median, and the least and the most.\n"
        );
    }

    /// The switch, and Asterisk where it is there.
    fn both(&self) -> Vec<Kind> {
        let asterisk = (!self.settings.without_peers).then_some(Kind::Asterisk);
        std::iter::once(Kind::Oneport).chain(asterisk).collect()
    }

    /// The bare relays, the switch, and Asterisk where it is there and wanted.
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
        self.standing_at((calls / 3).max(50), calls, trunk)
    }

    /// The same, set up at so many in a second.
    fn standing_at(&self, rate: usize, calls: usize, trunk: bool) -> Load {
        let set_up = calls as f64 / rate as f64;
        // Two seconds of settling, and the last one may be cut.
        let duration = set_up + self.settings.seconds + 4.0;
        Load { calls, rate, duration, trunk, ..Load::default() }
    }

    fn call(&self, kind: Kind, load: &Load) -> Outcome {
        let callee = loopback();
        let system = self.start(kind, &Setting { trunk: load.trunk, ..Setting::calls_to(callee) });
        let outcome = load::run(load, Some(&system), Some(callee));
        assert!(outcome.calls.answered > 0, "{} takes no calls", kind.name());
        outcome
    }
}
