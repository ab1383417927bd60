//! Several addresses of one destination: which there are, and which is used.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use oneport::{Phone, Place, RegistrationConfig, Target};

use crate::exit::{Code, Failure, failed};

/// How long each of several is waited for before a call goes to the next.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// Where else a destination is.
#[derive(Args, Debug)]
pub(crate) struct Fallbacks {
    /// Another address of the same, for where the first does not answer; may be given several times
    #[arg(long = "fallback", value_name = "HOST[:PORT]")]
    hosts: Vec<Target>,
}

impl Fallbacks {
    /// All places that `target` leads to, then those of each fallback. Never none.
    pub(crate) async fn places(&self, target: &Target) -> Result<Vec<Place>, Failure> {
        let mut all: Vec<Place> = Vec::new();
        let mut lost = None;
        for target in std::iter::once(target).chain(&self.hosts) {
            match target.resolve_all().await {
                Ok(places) => {
                    let behind = all.last().map_or(0, |last| last.rank.saturating_add(1));
                    all.extend(
                        places.into_iter().map(|place| Place {
                            rank: place.rank.saturating_add(behind),
                            ..place
                        }),
                    );
                }
                Err(error) => drop(lost.get_or_insert(error)),
            }
        }
        match lost {
            Some(error) if all.is_empty() => {
                Err(Failure::new(Code::Unreachable, error).hint("check the host's name"))
            }
            _ => Ok(all),
        }
    }
}

/// All places where somebody who registers so may be called.
pub(crate) fn of_registration(config: &RegistrationConfig) -> Vec<Place> {
    let first = Place { address: config.to, rank: 0 };
    std::iter::once(first).chain(config.others.iter().copied()).collect()
}

/// The first of them that answers.
pub(crate) async fn first_there(phone: &Phone, places: &[Place]) -> Result<SocketAddr, Failure> {
    phone.first_there(places, PATIENCE).await.map_err(failed)
}
