//! The other switches with the same database, as this one knows them.

use oneport_proto::{Endpoint, Instant};

use super::Switch;
use crate::api::model::{SwitchState, SwitchView, SwitchesView};
use crate::cluster::{Presence, Sibling, Told};

/// What is known of the others.
#[derive(Default)]
pub(super) struct Siblings {
    /// The number of this run; `None`: the database has not given it one.
    incarnation: Option<i64>,
    /// By their names.
    others: Vec<Sibling>,
    /// Since when the database does not answer, and why.
    cut_off: Option<(Instant, String)>,
}

impl Switch {
    /// The switches with the same database, as far as this one knows.
    #[must_use]
    pub fn show_switches(&self, now: Instant) -> SwitchesView {
        let Siblings { incarnation, others, cut_off } = &self.siblings;
        let own = self.config.cluster.as_ref().map(|own| SwitchView {
            name: own.name.clone(),
            here: true,
            state: match (cut_off, incarnation) {
                (None, Some(_)) => SwitchState::Alive,
                _ => SwitchState::CutOff,
            },
            address: own.address.to_string(),
            version: env!("CARGO_PKG_VERSION").into(),
            incarnation: *incarnation,
        });
        let others = others.iter().map(|other| SwitchView {
            name: other.name.clone(),
            here: false,
            state: match other.presence {
                Presence::Alive => SwitchState::Alive,
                Presence::Dead => SwitchState::Dead,
                Presence::Left => SwitchState::Left,
            },
            address: other.address.to_string(),
            version: other.version.clone(),
            incarnation: Some(other.incarnation),
        });
        SwitchesView {
            switches: own.into_iter().chain(others).collect(),
            cut_off: cut_off.as_ref().map(|(_, why)| why.clone()),
            cut_off_seconds: cut_off.as_ref().map(|(since, _)| now.since(*since).as_secs()),
        }
    }

    /// What is known of the other switches has changed.
    pub(crate) fn cluster_tells(&mut self, _: &mut Endpoint, now: Instant, told: Told) {
        match told {
            Told::Joined { incarnation } => {
                self.siblings.incarnation = Some(incarnation);
                self.begin_leases(incarnation);
                self.siblings.cut_off = None;
            }
            Told::CutOff(why) => self.siblings.cut_off = Some((now, why)),
            Told::Switches(others) => {
                let before = std::mem::replace(&mut self.siblings.others, others);
                for other in &self.siblings.others {
                    tell_of(before.iter().find(|old| old.name == other.name), other);
                }
            }
        }
    }
}

/// Logs what has become of another switch.
fn tell_of(before: Option<&Sibling>, now: &Sibling) {
    let (name, address) = (&now.name, now.address);
    let was = before.map(|before| before.presence);
    match (was, now.presence) {
        (Some(Presence::Alive), Presence::Alive) => {
            let before = before.map(|before| (before.incarnation, before.address));
            match before {
                Some((incarnation, _)) if incarnation != now.incarnation => {
                    tracing::info!("switch {name} has started anew, at {address}");
                }
                Some((_, old)) if old != address => {
                    tracing::info!("switch {name} has moved from {old} to {address}");
                }
                _ => {}
            }
        }
        (Some(Presence::Dead), Presence::Alive) => {
            tracing::info!("switch {name} at {address} is back");
        }
        (_, Presence::Alive) => tracing::info!("switch {name} at {address} has joined"),
        (Some(Presence::Alive), Presence::Dead) => {
            tracing::warn!("switch {name} at {address} gives no sign of life");
        }
        (Some(Presence::Alive), Presence::Left) => {
            tracing::info!("switch {name} at {address} has left");
        }
        _ => {}
    }
}
