//! What `cargo xtask sim` runs: `sim all COUNT`, or `sim one SEED [SECONDS]`.

use std::process::ExitCode;
use std::time::Duration;

use oneport_testkit::sim;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |word: &str| word.parse::<u64>().map_err(|error| format!("{word}: {error}"));
    let result = match words.as_slice() {
        ["all", count] => number(count).and_then(tell_many),
        ["one", seed] => number(seed).and_then(|seed| tell(seed, None)),
        ["one", seed, until] => number(seed).and_then(|seed| {
            number(until).and_then(|until| tell(seed, Some(Duration::from_secs(until))))
        }),
        _ => Err("see `cargo xtask sim --help`".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
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
