//! Fleets of switches with one database, as random stories with all that goes wrong, and a check of what happened.
//!
//! `cargo xtask fleets --seeds 100000` tells many, `--seed N` one of them again.

mod history;
mod world;

use super::lease::flaw;
use history::Seen;
use world::{Counts, SECOND, World};

/// For how long things go wrong, and how long it takes until none of that is left.
const ROUGH: u64 = 70 * SECOND;
const SETTLING: u64 = 30 * SECOND;

/// So many in each run of the tests.
const RUNS: u64 = 1_000;

/// Tells one story, and checks it.
fn tell(seed: u64) -> Result<(Seen, Counts), String> {
    let mut world = World::new(fastrand::Rng::with_seed(seed));
    let end = tell_on(&mut world);
    let seen = world.history.check_limits()?;
    end?;
    Ok((seen, world.counts))
}

fn tell_on(world: &mut World) -> Result<(), String> {
    world.run(ROUGH)?;
    world.calm_down();
    world.run(ROUGH + SETTLING)?;
    world.fall_silent();
    world.run(world.now + SETTLING / 3)?;
    world.ledgers_are_whole()?;
    for limit in 0..world.plan.limits.len() {
        if world.plan.is_rate(limit) {
            continue;
        }
        let (got, all) = (world.take_all(limit)?, world.plan.limits[limit]);
        if got != all {
            return Err(format!("one switch alone gets {got} of the {all} slots of limit {limit}"));
        }
    }
    Ok(())
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn in_no_fleet_is_a_limit_passed_or_a_slot_lost_whatever_goes_wrong() {
    let one = number("ONEPORT_FLEET");
    let runs = number("ONEPORT_FLEETS").unwrap_or(RUNS);
    let seeds = one.map_or(0..runs, |seed| seed..seed + 1);
    let (mut all, mut counts) = (Seen::default(), Counts::default());
    for seed in seeds {
        let (seen, of_run) = match tell(seed) {
            Ok(shown) => shown,
            Err(wrong) => panic!("seed {seed}: {wrong}\ncargo xtask fleets --seed {seed}"),
        };
        all.calls += seen.calls;
        all.full += seen.full;
        counts.dead_found += of_run.dead_found;
        counts.late_found += of_run.late_found;
        counts.ended_over_lease += of_run.ended_over_lease;
        counts.requests += of_run.requests;
    }
    println!("{all:?} {counts:?}");
    if one.is_none() {
        // What is never seen is not tested.
        assert!(all.full > 100 && counts.dead_found > 10 && counts.late_found > 10, "{counts:?}");
    }
}

#[test]
fn every_mistake_that_somebody_could_make_is_found() {
    for flaw in flaw::ALL {
        flaw::made::make(Some(flaw));
        let found = (0..RUNS).find_map(|seed| tell(seed).err().map(|wrong| (seed, wrong)));
        flaw::made::make(None);
        match found {
            Some((seed, wrong)) => println!("{flaw}: seed {seed}: {wrong}"),
            None => panic!("{flaw} is not found"),
        }
    }
}
