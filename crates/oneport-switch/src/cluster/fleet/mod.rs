//! Fleets of switches with one database, as random stories with all that goes wrong, and a check of what happened.
//!
//! `cargo xtask fleets --seeds 100000` tells many, `--seed N` one of them again, `--switches 50` those of fleets of that size.

pub(super) mod database;
mod history;
mod world;

use super::lease::flaw;
use crate::flaw::made;
use history::{Seen, Time};
use world::{Counts, SECOND, World};

/// For how long things go wrong, and how long it takes until none of that is left.
const ROUGH: u64 = 70 * SECOND;
const SETTLING: u64 = 30 * SECOND;

/// So many in each run of the tests.
const RUNS: u64 = 1_000;

/// What a story has shown.
struct Told {
    seen: Seen,
    counts: Counts,
    /// How long it took, all switches taken together.
    time: Time,
}

/// Tells one story, of so many switches where that is said, and checks it.
fn tell(seed: u64, switches: Option<usize>) -> Result<Told, String> {
    let mut world = World::new(fastrand::Rng::with_seed(seed), switches);
    let end = tell_on(&mut world);
    let seen = world.history.check_limits()?;
    end?;
    Ok(Told { seen, counts: world.counts, time: world.now * world.plan.switches as Time })
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
    let switches = number("ONEPORT_FLEET_SWITCHES").and_then(|switches| switches.try_into().ok());
    let (mut all, mut counts, mut time) = (Seen::default(), Counts::default(), 0);
    for seed in seeds {
        let Told { seen, counts: of_run, time: of_all } = match tell(seed, switches) {
            Ok(told) => told,
            Err(wrong) => panic!("seed {seed}: {wrong}\ncargo xtask fleets --seed {seed}"),
        };
        time += of_all;
        all.calls += seen.calls;
        all.full += seen.full;
        counts.dead_found += of_run.dead_found;
        counts.late_found += of_run.late_found;
        counts.ended_over_lease += of_run.ended_over_lease;
        counts.requests += of_run.requests;
        counts.kills += of_run.kills;
        counts.cuts += of_run.cuts;
    }
    println!("{all:?} {counts:?}");
    let rate = counts.requests as f64 / (time as f64 / SECOND as f64);
    println!("{rate:.2} exchanges of ledgers with the database for each switch and second");
    if one.is_none() && switches.is_none() {
        // What is never seen is not tested.
        assert!(all.full > 100 && counts.dead_found > 10 && counts.late_found > 10, "{counts:?}");
    }
}

#[test]
fn every_mistake_that_somebody_could_make_is_found() {
    for flaw in flaw::ALL {
        made::make(Some(flaw));
        let found = (0..RUNS).find_map(|seed| tell(seed, None).err().map(|wrong| (seed, wrong)));
        made::make(None);
        match found {
            Some((seed, wrong)) => println!("{flaw}: seed {seed}: {wrong}"),
            None => panic!("{flaw} is not found"),
        }
    }
}
