//! Phones that register, renew, move, leave and are looked up in fleets of switches, as random stories with all that goes
//! wrong, and a check of what was found.
//!
//! `cargo xtask fleets --seeds 100000` tells many, `--seed N` one of them again.

pub(super) mod database;
pub(super) mod flaw;
mod history;
mod node;
mod world;

use crate::flaw::{self as of_product, made};
use history::{SECOND, Seen, Time};
use world::World;

/// For how long things go wrong, and how long it takes until none of that is left.
const ROUGH: Time = 60 * SECOND;
const SETTLING: Time = 40 * SECOND;

/// So many in each run of the tests.
const RUNS: u64 = 1_000;

/// Tells one story, of so many switches where that is said, and checks it.
fn tell(seed: u64, switches: Option<usize>) -> Result<Seen, String> {
    let mut world = World::new(fastrand::Rng::with_seed(seed), switches);
    world.run(ROUGH);
    world.calm_down();
    world.run(ROUGH + SETTLING);
    world.fall_silent();
    world.history.check()
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn in_no_fleet_is_anybody_found_who_is_not_there_whatever_goes_wrong() {
    let one = number("ONEPORT_FLEET");
    let runs = number("ONEPORT_FLEETS").unwrap_or(RUNS);
    let seeds = one.map_or(0..runs, |seed| seed..seed + 1);
    let switches = number("ONEPORT_FLEET_SWITCHES").and_then(|switches| switches.try_into().ok());
    let mut all = Seen::default();
    for seed in seeds {
        let seen = match tell(seed, switches) {
            Ok(seen) => seen,
            Err(wrong) => panic!("seed {seed}: {wrong}\ncargo xtask fleets --seed {seed}"),
        };
        all.operations += seen.operations;
        all.cut += seen.cut;
        all.look_ups += seen.look_ups;
        all.found += seen.found;
        all.due += seen.due;
        all.stale += seen.stale;
    }
    println!("{all:?}");
    if one.is_none() && switches.is_none() && runs >= RUNS {
        // What is never seen is not tested.
        assert!(all.cut > 10 && all.due > 1_000 && all.stale > 100, "{all:?}");
    }
}

#[test]
fn every_mistake_with_registrations_that_somebody_could_make_is_found() {
    for flaw in of_product::ALL.iter().chain(flaw::ALL) {
        made::make(Some(flaw));
        let found = (0..RUNS).find_map(|seed| tell(seed, None).err().map(|wrong| (seed, wrong)));
        made::make(None);
        match found {
            Some((seed, wrong)) => {
                println!("{flaw}: seed {seed}: {}", wrong.lines().next().unwrap())
            }
            None => panic!("{flaw} is not found"),
        }
    }
}
