//! The project's own chores: `cargo xtask test`, `peers`, `sim`, `torture`, `jitter`, `bench`, `fuzz`,
//! `mutants`, `docs`, `ci`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::{Parser, Subcommand};
use oneport_testkit::{peers, sim, torture};

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
        /// Leaves out the tests that need Asterisk, iaxmodem or tshark
        #[arg(long)]
        without_peers: bool,
        /// Runs only those that need them
        #[arg(long, conflicts_with = "without_peers")]
        only_peers: bool,
        /// Runs them so many times, failures or not, and counts these
        #[arg(long, default_value_t = 1)]
        repeat: u32,
    },
    /// Installs what tests need: Asterisk 22, iaxmodem, tshark, libraries of codecs and sound cards
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
        /// bridges, setups, memory, delay; without any, all of them
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
        Chore::Test { only_peers: true, repeat, .. } => test_peers(repeat),
        Chore::Test { without_peers, repeat, .. } => {
            (0..repeat).try_for_each(|_| test(without_peers))
        }
        Chore::Peers => install_peers(),
        Chore::Sim { seed: Some(seed), until, .. } => tell(seed, until.map(Duration::from_secs)),
        Chore::Sim { seeds, .. } => tell_many(seeds),
        Chore::Torture { seed, count, write: Some(directory) } => {
            write_cases(seed, count, &directory)
        }
        Chore::Torture { seed, count, .. } => run_cases(seed, count),
        Chore::Jitter { without_peers, seeds } => jitter(without_peers, &seeds),
        Chore::Bench { without_peers, rounds, scenes } => bench(without_peers, rounds, &scenes),
        Chore::Fuzz { seconds } => fuzz(seconds),
        Chore::Mutants { modules, shard } => mutants(&modules, shard.as_deref()),
        Chore::Docs => docs(),
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

fn run(command: &mut Command) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let shown = format!("{command:?}").replace('"', "");
    eprintln!("+ {shown}");
    match command.current_dir(root).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{shown}: {status}")),
        Err(error) => Err(format!("{shown}: {error}")),
    }
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
        "Asterisk 22, iaxmodem, tshark, nftables, systemd's tools, sqlite3, libspeex, libopus, ALSA \
         and PulseAudio are there"
    );
    Ok(())
}

fn test(without_peers: bool) -> Result<(), String> {
    if without_peers {
        let peers = [
            "--exclude",
            "oneport-interop",
            "--",
            "--skip",
            "behind_a_nat",
            "--skip",
            "three_boxes",
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
        ];
        cargo(&[&["test", "--workspace", "--locked"][..], &peers].concat())?;
        println!(
            "NOT tested: anything with real peers (Asterisk 22, iaxmodem, tshark), which is all \
             of crates/oneport-interop, what needs network namespaces with a NAT, the scene of \
             three boxes, what operators see of a call through Asterisk, the softphone there, and what \
             sqlite3 and systemd's own tools say"
        );
        return Ok(());
    }
    peers::install_all().map_err(|missing| {
        format!("{missing}\nor test without the peers: cargo xtask test --without-peers")
    })?;
    cargo(&["test", "--workspace", "--locked"])?;
    test_libraries()
}

/// Codecs of libraries in C.
const LIBRARIES: [&str; 2] = ["--features", "speex,opus"];

/// The command with sound cards.
const SOUND: [&str; 4] = ["-p", "oneport-cli", "--features", "sound"];

/// Tests what the default build leaves out.
fn test_libraries() -> Result<(), String> {
    peers::install_libraries().map_err(|missing| missing.to_string())?;
    let run = |of: &[&str]| cargo(&[&["test", "--locked"], &LIBRARIES[..], of].concat());
    run(&["-p", "oneport-media"])?;
    run(&["-p", "oneport-testkit", "--test", "corpora"])?;
    run(&["-p", "oneport-interop", "--test", "transcoding"])?;
    cargo(&[&["test", "--locked"], &SOUND[..], &["--bins", "--test", "phone"]].concat())
}

/// Runs the tests with real peers so many times, and counts what fails.
fn test_peers(times: u32) -> Result<(), String> {
    peers::install_all().map_err(|missing| missing.to_string())?;
    let interop = ["-p", "oneport-interop"].as_slice();
    let command = ["nat", "three_boxes", "columns", "operator", "pages", "phone"]
        .map(|test| ["--test", test])
        .concat();
    let command = [&["-p", "oneport-cli"][..], &command].concat();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut failures = BTreeMap::<String, u32>::new();
    let (mut passed, mut bad_runs) = (0, 0);
    for run in 1..=times {
        let (mut text, mut good) = (String::new(), true);
        for part in [interop, &command] {
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

fn tell(seed: u64, until: Option<Duration>) -> Result<(), String> {
    match sim::tell(seed, until) {
        Ok(sim::Told { digest, transcript, .. }) => {
            print!("{transcript}");
            println!("seed {seed} ended well, digest {digest:016x}");
            Ok(())
        }
        Err(failure) => {
            print!("{}", failure.transcript);
            Err(format!("seed {seed}: {}", failure.what))
        }
    }
}

fn tell_many(seeds: u64) -> Result<(), String> {
    let taken = sim::tell_many(0..seeds)?;
    let full: u64 = taken.full.values().sum();
    println!(
        "{seeds} stories ended well. Those in the clear took in {full} full frames of {} kinds, {} \
         voice and {} video mini frames, {} trunk frames; the others changed keys {} times",
        taken.full.len(),
        taken.mini,
        taken.video_mini,
        taken.trunk,
        taken.keys
    );
    Ok(())
}

fn run_cases(seed: u64, count: usize) -> Result<(), String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/torture");
    let named = torture::read_all(&directory)?.into_iter().flat_map(|chapter| chapter.case);
    let cases: Vec<_> = named.chain(torture::generate(seed, count)).collect();
    let fails = |case: &torture::Case| {
        torture::run(case, 1).err().map(|what| format!("{}: {what}", case.name))
    };
    let failures: Vec<String> = cases.iter().filter_map(fails).collect();
    if failures.is_empty() {
        println!("{} cases got their right answers", cases.len());
        Ok(())
    } else {
        Err(failures.join("\n"))
    }
}

/// Writes generated cases, a thousand to a file.
fn write_cases(seed: u64, count: usize, directory: &Path) -> Result<(), String> {
    std::fs::create_dir_all(directory).map_err(|error| error.to_string())?;
    let cases = torture::generate(seed, count);
    for (n, part) in cases.chunks(1_000).enumerate() {
        let chapter = format!("Generated by seed {seed}, part {}", n + 1);
        let chapter = torture::Chapter { chapter, case: part.to_vec() };
        let path = directory.join(format!("generated-{seed}-{n:03}.toml"));
        let text = chapter.to_toml()?;
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    println!("{count} cases are in {}", directory.display());
    Ok(())
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
    for target in
        ["datagram", "endpoint", "encrypted", "meeting", "jitter_buffer", "codecs", "keys"]
    {
        // What is found goes beside the inputs that are kept.
        let (found, kept) = (root.join("found").join(target), root.join("corpus").join(target));
        std::fs::create_dir_all(&found).map_err(|error| error.to_string())?;
        let mut command = Command::new("cargo");
        command.args(["fuzz", "run", "--fuzz-dir"]).arg(&root).arg(target).args([found, kept]);
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
    cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])?;
    peers::install_libraries().map_err(|missing| missing.to_string())?;
    let media = ["clippy", "--locked", "-p", "oneport-media", "--all-targets"];
    cargo(&[&media[..], &LIBRARIES, &["--", "-D", "warnings"]].concat())?;
    let sound = [&["clippy", "--locked"], &SOUND[..], &["--all-targets"]].concat();
    cargo(&[&sound[..], &["--", "-D", "warnings"]].concat())?;
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
