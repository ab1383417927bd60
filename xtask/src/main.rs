//! The project's own chores: `cargo xtask test`, `peers`, `sim`, `fleets`, `torture`, `jitter`, `bench`, `fuzz`,
//! `mutants`, `docs`, `book`, `package`, `ci`.

mod book;
mod licences;
mod package;
#[expect(unreachable_pub, reason = "it is a file of the testkit, which has all of this public")]
#[path = "../../crates/oneport-testkit/src/peers/install.rs"]
mod peers;
mod suites;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Runs all tests, those with real peers included; installs the peers where it may
    Test {
        /// Leaves out the tests that need Asterisk, iaxmodem, sipp or tshark
        #[arg(long)]
        without_peers: bool,
        /// Runs only those that need them
        #[arg(long, conflicts_with = "without_peers")]
        only_peers: bool,
        /// Runs them so many times, failures or not, and counts these
        #[arg(long, default_value_t = 1)]
        repeat: u32,
        /// Of those that need peers, these alone, such as `carriers phones`
        #[arg(requires = "only_peers")]
        suites: Vec<String>,
    },
    /// Installs what tests need: Asterisk 22, iaxmodem, sipp, tshark, sngrep, PostgreSQL, MariaDB, Prometheus, libraries of codecs and sound cards
    Peers,
    /// Tells random stories on the simulated network
    Sim {
        /// Tells just this one, and prints every datagram
        #[arg(long)]
        seed: Option<u64>,
        /// Stops that one after so many seconds of its time
        #[arg(long, requires = "seed")]
        until: Option<u64>,
        /// How many
        #[arg(long, default_value_t = 10_000)]
        seeds: u64,
    },
    /// Tells random stories of fleets of switches that share limits and registrations by one database
    Fleets {
        /// Tells just this one
        #[arg(long)]
        seed: Option<u64>,
        /// Of so many switches each; drawn where it is not said
        #[arg(long)]
        switches: Option<usize>,
        /// How many
        #[arg(long, default_value_t = 10_000)]
        seeds: u64,
    },
    /// Runs the hostile frames of testdata/torture, and generated ones, against the engine
    Torture {
        /// Seed of the generated ones
        #[arg(long, default_value_t = 5456)]
        seed: u64,
        /// How many
        #[arg(long, default_value_t = 10_000)]
        count: usize,
        /// Writes the generated ones to this directory instead, for other implementations
        #[arg(long)]
        write: Option<PathBuf>,
    },
    /// Plays networks through the jitter buffer, a fixed one, and Asterisk's; prints a table of
    /// docs/media.md
    Jitter {
        /// Leaves out Asterisk, and takes synthetic speech
        #[arg(long)]
        without_peers: bool,
        /// Seeds of the networks
        #[arg(default_value = "1")]
        seeds: Vec<u64>,
    },
    /// Measures the switch beside a bare relay and Asterisk, in the same scenes and one run; prints
    /// tables of docs/performance.md
    Bench {
        /// Leaves out Asterisk
        #[arg(long)]
        without_peers: bool,
        /// Rounds, one system after the other in each
        #[arg(long, default_value_t = 5)]
        rounds: u32,
        /// start, bridges, best-minis, best-bundles, best-trunks, counts, unlike, setups, registrations, idle, memory, delay, carriers, flood, scale; without any, all of them
        scenes: Vec<String>,
    },
    /// Feeds random input to every fuzz target
    Fuzz {
        /// Seconds for each target
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Changes the engine in many small ways, and shows which changes no test notices
    Mutants {
        /// Modules of oneport-proto; without any, those of the state machine
        modules: Vec<String>,
        /// One part of so many, chosen evenly: 3/20 is the fourth of twenty
        #[arg(long)]
        shard: Option<String>,
    },
    /// Writes what the documentation has of the code: tables of keys, the description of the API
    Docs,
    /// Makes a book of the documentation, target/book, and checks its links; installs mdBook where it may
    Book,
    /// Makes what is installed, in target/package: a Debian package with its manual, completions, licences and
    /// list of parts (SBOM)
    Package {
        /// Makes the static program alone, which needs no library
        #[arg(long)]
        r#static: bool,
        /// Makes both, installs and runs them in a Debian and in a directory with nothing else, and builds once
        /// more elsewhere, to the same bytes
        #[arg(long)]
        check: bool,
    },
    /// What every change must pass
    Ci,
}

/// Where a wrong turn would cost a call: what `cargo xtask mutants` changes.
const STATE_MACHINE: [&str; 14] = [
    "reliable",
    "exchange",
    "voice",
    "token",
    "crypt",
    "trunk",
    "rotation",
    "resting",
    "call",
    "opening",
    "transfer",
    "moved",
    "registration",
    "request",
];

fn main() -> ExitCode {
    let result = match Arguments::parse().chore {
        Chore::Test { only_peers: true, repeat, suites, .. } => test_peers(repeat, &suites),
        Chore::Test { without_peers, repeat, .. } => {
            (0..repeat).try_for_each(|_| test(without_peers))
        }
        Chore::Peers => install_peers(),
        Chore::Sim { seed: Some(seed), until, .. } => {
            let until = until.map(|seconds| seconds.to_string());
            example("sim", ["one".into(), seed.to_string()].into_iter().chain(until))
        }
        Chore::Sim { seeds, .. } => example("sim", ["all".into(), seeds.to_string()]),
        Chore::Fleets { seed, switches, seeds } => fleets(seed, switches, seeds),
        Chore::Torture { seed, count, write } => {
            let what = if write.is_some() { "write" } else { "run" };
            // A directory is meant to be where the caller is.
            let directory = write.map(|directory| {
                std::path::absolute(&directory).unwrap_or(directory).display().to_string()
            });
            let arguments = [what.into(), seed.to_string(), count.to_string()];
            example("torture", arguments.into_iter().chain(directory))
        }
        Chore::Jitter { without_peers, seeds } => jitter(without_peers, &seeds),
        Chore::Bench { without_peers, rounds, scenes } => bench(without_peers, rounds, &scenes),
        Chore::Fuzz { seconds } => fuzz(seconds),
        Chore::Mutants { modules, shard } => mutants(&modules, shard.as_deref()),
        Chore::Docs => docs(),
        Chore::Book => book::make(),
        Chore::Package { check: true, .. } => package::check(),
        Chore::Package { r#static: true, .. } => package::make_static().map(drop),
        Chore::Package { .. } => package::make().map(drop),
        Chore::Ci => ci(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn cargo(arguments: &[&str]) -> Result<(), String> {
    run(Command::new("cargo").args(arguments))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A command as one would type it.
fn shown(command: &Command) -> String {
    format!("{command:?}").replace('"', "")
}

fn run(command: &mut Command) -> Result<(), String> {
    let shown = shown(command);
    eprintln!("+ {shown}");
    match command.current_dir(root()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{shown}: {status}")),
        Err(error) => Err(format!("{shown}: {error}")),
    }
}

/// Runs what has its own program, in the package of tests: so this one is built in no time.
fn example(name: &str, arguments: impl IntoIterator<Item = String>) -> Result<(), String> {
    let mut cargo = Command::new("cargo");
    cargo.args(["run", "--quiet", "--locked", "-p", "oneport-testkit", "--example", name, "--"]);
    run(cargo.args(arguments))
}

/// The stories are a test of the switch, here of a fast one and with more of them.
fn fleets(seed: Option<u64>, switches: Option<usize>, seeds: u64) -> Result<(), String> {
    let mut cargo = Command::new("cargo");
    cargo.args([
        "test",
        "--locked",
        "--release",
        "-p",
        "oneport-switch",
        "--lib",
        "in_no_fleet",
        "--",
    ]);
    cargo.arg("--nocapture");
    match seed {
        Some(seed) => cargo.env("ONEPORT_FLEET", seed.to_string()),
        None => cargo.env("ONEPORT_FLEETS", seeds.to_string()),
    };
    if let Some(switches) = switches {
        cargo.env("ONEPORT_FLEET_SWITCHES", switches.to_string());
    }
    run(&mut cargo)
}

/// The tests that compare these documents with the code write them too.
fn docs() -> Result<(), String> {
    let mut cargo = Command::new("cargo");
    cargo.args([
        "test",
        "--locked",
        "-p",
        "oneport-switch",
        "--test",
        "reference",
        "--test",
        "api",
    ]);
    cargo.args(["--", "the_tables_of_the_reference", "the_committed_description"]);
    run(cargo.env("ONEPORT_WRITE_DOCS", "1"))
}

fn install_peers() -> Result<(), String> {
    peers::install_all().map_err(|missing| missing.to_string())?;
    peers::install_libraries().map_err(|missing| missing.to_string())?;
    println!(
        "Asterisk 22, iaxmodem, sipp, tshark, sngrep, ffmpeg, nftables, systemd's tools, PostgreSQL, MariaDB, sqlite3, Prometheus, Rotel, libspeex, libopus, libspandsp, libcodec2, ALSA \
         and PulseAudio are there"
    );
    Ok(())
}

fn test(without_peers: bool) -> Result<(), String> {
    if without_peers {
        let skip = [
            "--skip",
            "behind_a_nat",
            "--skip",
            "three_boxes",
            "--skip",
            "through_a_carrier",
            "--skip",
            "the_page_about_carriers",
            "--skip",
            "asterisk::the_page_about",
            "--skip",
            "the_page_about_firewalls",
            "--skip",
            "five_minutes_lead",
            "--skip",
            "that_asterisk_prints",
            "--skip",
            "one_id_leads_through",
            "--skip",
            "sqlite3_makes",
            "--skip",
            "systemd_takes",
            "--skip",
            "readme_files",
            "--skip",
            "at_asterisk",
            "--skip",
            "at_postgresql",
            "--skip",
            "at_mariadb",
            "--skip",
            "prometheus",
            "--skip",
            "homer::",
            "--skip",
            "tracing::",
        ];
        let tests = ["--workspace", "--exclude", "oneport-interop"];
        suites::test(&tests, &skip)?;
        cargo(&[&["test", "--locked", "--doc"], &tests[..]].concat())?;
        println!(
            "NOT tested: anything with real peers (Asterisk 22, iaxmodem, sipp, tshark, ffmpeg, PostgreSQL, MariaDB, Prometheus, sngrep, Rotel), \
             which is all of crates/oneport-interop, stores on a database server, what needs network namespaces with a NAT, the scenes of \
             three boxes, of three switches and of a carrier, the pages about carriers, Asterisk, dialers, nodes, firewalls, security and the first five minutes, what operators see of a call through Asterisk, the softphone there, and what \
             sqlite3 and systemd's own tools say"
        );
        return Ok(());
    }
    peers::install_all().map_err(|missing| {
        format!("{missing}\nor test without the peers: cargo xtask test --without-peers")
    })?;
    book::make()?;
    suites::test(&["--workspace"], &[])?;
    cargo(&["test", "--locked", "--doc", "--workspace"])?;
    peers::install_libraries().map_err(|missing| missing.to_string())?;
    suites::test(&[OPTIONAL, OPTIONAL_TESTS].concat(), &[])
}

/// What the default build leaves out: the codecs of libraries in C, and the command with sound cards. With
/// these packages the features of all others stay as they are, so that those are not built again.
const OPTIONAL: [&str; 10] = [
    "-p",
    "oneport-media",
    "-p",
    "oneport-testkit",
    "-p",
    "oneport-interop",
    "-p",
    "oneport-cli",
    "--features",
    "oneport-interop/speex,oneport-interop/opus,oneport-interop/lpc10,oneport-testkit/codec2,oneport-cli/sound",
];

/// Their targets that test any of that.
const OPTIONAL_TESTS: [&str; 10] = [
    "--lib",
    "--bins",
    "--test",
    "allocations",
    "--test",
    "corpora",
    "--test",
    "transcoding",
    "--test",
    "phone",
];

/// Suites of the command that need real peers.
const OF_COMMAND: [&str; 10] = [
    "cluster",
    "nat",
    "three_boxes",
    "carrier_scene",
    "columns",
    "databases",
    "operator",
    "pages",
    "phone",
    "probe_asterisk",
];

/// Runs the tests with real peers, or these suites of them, so many times, and counts what fails.
fn test_peers(times: u32, suites: &[String]) -> Result<(), String> {
    peers::install_all().map_err(|missing| missing.to_string())?;
    let chosen = |package, names: &[&'static str]| {
        [&["-p", package][..], &names.iter().flat_map(|name| ["--test", name]).collect::<Vec<_>>()]
            .concat()
    };
    let named: Vec<&str> = suites.iter().flat_map(|name| ["--test", name]).collect();
    let parts = match suites.is_empty() {
        true => vec![
            vec!["-p", "oneport-interop"],
            chosen("oneport-cli", &OF_COMMAND),
            chosen("oneport-switch", &["cluster", "store"]),
        ],
        false => {
            let packages = ["-p", "oneport-interop", "-p", "oneport-cli", "-p", "oneport-switch"];
            vec![[&packages[..], &named].concat()]
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut failures = BTreeMap::<String, u32>::new();
    let (mut passed, mut bad_runs) = (0, 0);
    for run in 1..=times {
        let (mut text, mut good) = (String::new(), true);
        for part in &parts {
            let mut cargo = Command::new("cargo");
            cargo.args(["test", "--locked", "--no-fail-fast"]).args(part);
            // They mostly wait, and take a place each of as many as there are.
            cargo.env("RUST_TEST_THREADS", (2 * cores).to_string());
            let output = cargo.output().map_err(|error| format!("cargo: {error}"))?;
            good &= output.status.success();
            text += &String::from_utf8_lossy(&output.stdout);
            text += &String::from_utf8_lossy(&output.stderr);
        }
        let results =
            text.lines().filter_map(|line| line.strip_prefix("test ")?.split_once(" ... "));
        let mut failed = 0;
        for (name, result) in results {
            match result {
                "ok" => passed += 1,
                _ => {
                    failed += 1;
                    *failures.entry(name.into()).or_default() += 1;
                }
            }
        }
        println!("run {run} of {times}: {failed} failed");
        if !good {
            bad_runs += 1;
            print!("{text}");
        }
    }
    println!("{passed} tests passed in {times} runs");
    for (name, count) in &failures {
        println!("{name} failed {count} times");
    }
    if bad_runs == 0 { Ok(()) } else { Err(format!("{bad_runs} of {times} runs failed")) }
}

fn jitter(without_peers: bool, seeds: &[u64]) -> Result<(), String> {
    let mut arguments =
        vec!["bench", "-p", "oneport-testkit", "--locked", "--bench", "jitter", "--"];
    if without_peers {
        arguments.push("--without-peers");
    } else {
        install_peers()?;
    }
    let seeds: Vec<String> = seeds.iter().map(ToString::to_string).collect();
    arguments.extend(seeds.iter().map(String::as_str));
    cargo(&arguments)
}

fn bench(without_peers: bool, rounds: u32, scenes: &[String]) -> Result<(), String> {
    let rounds = rounds.to_string();
    let mut arguments = vec!["bench", "-p", "oneport-testkit", "--locked", "--bench", "switch"];
    arguments.extend(["--", "--rounds", &rounds]);
    if without_peers {
        arguments.push("--without-peers");
    } else {
        install_peers()?;
    }
    arguments.extend(scenes.iter().map(String::as_str));
    cargo(&["build", "--release", "--locked", "-p", "oneport-cli"])?;
    cargo(&arguments)
}

fn fuzz(seconds: u64) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    // Decoders of libraries that are there take part.
    let features = peers::codec_features().join(",");
    for target in [
        "capture",
        "datagram",
        "endpoint",
        "encrypted",
        "meeting",
        "jitter_buffer",
        "codecs",
        "keys",
        "rtp_sdp",
        "transcoder",
    ] {
        // What is found goes beside the inputs that are kept.
        let (found, kept) = (root.join("found").join(target), root.join("corpus").join(target));
        std::fs::create_dir_all(&found).map_err(|error| error.to_string())?;
        let mut command = Command::new("cargo");
        command.args(["fuzz", "run", "--features", &features, "--fuzz-dir"]).arg(&root);
        command.arg(target).args([found, kept]);
        command.args(["--", &format!("-max_total_time={seconds}")]);
        // The sanitiser is a feature of nightly compilers; this lets the pinned one do it.
        run(command.env("RUSTC_BOOTSTRAP", "1"))?;
    }
    Ok(())
}

fn mutants(modules: &[String], shard: Option<&str>) -> Result<(), String> {
    let tool = Command::new("cargo").args(["mutants", "--version"]).output();
    if !tool.is_ok_and(|output| output.status.success()) {
        cargo(&["install", "--locked", "cargo-mutants"])?;
    }
    let mut command = Command::new("cargo");
    command.args(["mutants", "--package", "oneport-proto", "--output", "target"]);
    command.args(["--test-package", "oneport-proto,oneport-testkit"]);
    let all = STATE_MACHINE.iter().map(ToString::to_string);
    for module in if modules.is_empty() { all.collect() } else { modules.to_vec() } {
        command.arg("--file").arg(format!("crates/oneport-proto/src/{module}.rs"));
    }
    if let Some(shard) = shard {
        command.args(["--sharding", "round-robin", "--shard", shard]);
    }
    // The tests of an engine that is not optimised take longer than its build.
    command.env("CARGO_PROFILE_DEV_DEBUG", "none").env("PROPTEST_CASES", "16");
    command.args(["--timeout", "600"]);
    // The stories are the slowest by far, and what only they notice wants a test of its own.
    command.args(["--", "--lib", "--tests", "--", "--skip", "stories", "--skip", "behind_a_nat"]);
    run(&mut command)
}

fn ci() -> Result<(), String> {
    cargo(&["fmt", "--all", "--check"])?;
    let clippy =
        |of: &[&str]| cargo(&[&["clippy", "--locked"], of, &["--", "-D", "warnings"]].concat());
    std::thread::scope(|scope| {
        // What is fetched comes meanwhile.
        let peers = scope.spawn(install_peers);
        clippy(&["--workspace", "--all-targets"])?;
        peers.join().map_err(|_| "the peers were not installed")?
    })?;
    clippy(&[&OPTIONAL[..], &["--all-targets"]].concat())?;
    let mut doc = Command::new("cargo");
    doc.args(["doc", "--workspace", "--no-deps", "--locked"]).env("RUSTDOCFLAGS", "-D warnings");
    run(&mut doc)?;
    let denies = Command::new("cargo").args(["deny", "--version"]).output();
    if !denies.is_ok_and(|output| output.status.success()) {
        cargo(&["install", "--locked", "cargo-deny"])?;
    }
    cargo(&["deny", "check", "bans", "licenses", "sources"])?;
    test(false)
}
