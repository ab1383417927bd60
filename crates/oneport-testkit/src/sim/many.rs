//! Many stories, each told twice.

use super::network::Taken;
use super::story::tell;

/// Tells the stories of many seeds on all processors, each twice. Returns which kinds of frames were
/// taken in. The first failure, if any, comes back with the command that replays it.
///
/// # Errors
/// A rule was broken, or a seed told two different stories.
pub fn tell_many(seeds: std::ops::Range<u64>) -> Result<Taken, String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|worker| {
                let seeds = seeds.clone().filter(move |seed| seed % threads == worker);
                scope.spawn(move || {
                    let mut taken = Taken::default();
                    for seed in seeds {
                        taken.add(&tell_twice(seed)?);
                    }
                    Ok::<_, String>(taken)
                })
            })
            .collect();
        let mut taken = Taken::default();
        for worker in workers {
            match worker.join() {
                Ok(result) => taken.add(&result?),
                Err(_) => return Err("a story panicked; see above for its seed".into()),
            }
        }
        Ok(taken)
    })
}

fn tell_twice(seed: u64) -> Result<Taken, String> {
    let told = std::panic::catch_unwind(|| (tell(seed, None), tell(seed, None)));
    let replay = format!("replay it with: cargo xtask sim --seed {seed}");
    match told {
        Ok((Ok(once), Ok(again))) if once == again => Ok(once.taken),
        Ok((Ok(_), Ok(_))) => Err(format!("seed {seed} told two stories; {replay}")),
        Ok((Err(failure), _) | (_, Err(failure))) => {
            Err(format!("seed {seed}: {}; {replay}", failure.what))
        }
        Err(_) => Err(format!("seed {seed} panicked; {replay}")),
    }
}
