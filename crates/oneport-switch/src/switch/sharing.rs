//! Limits that this switch keeps together with others: its leases are renewed, and calls end whose slots are not
//! its own any more.

use oneport_proto::{Endpoint, Instant};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc::UnboundedSender;

use super::Switch;
use super::leg::LeaseId;
use crate::cluster::lease::{Standing, Timing};
use crate::cluster::slots::{Ask, Told};
use crate::config::{ClusterConfig, Config};
use crate::limits::Limits;

/// What joins the leases to the database.
#[derive(Default)]
pub(super) struct Sharing {
    /// `None`: nothing is said of slots, or another process does.
    asks: Option<UnboundedSender<Ask>>,
    /// As the log knows it.
    standing: Standing,
}

/// The machine's clock that does not step, and goes on while it sleeps.
pub(crate) fn boot_clock() -> Instant {
    let time = clock_gettime(ClockId::Boottime);
    let micros = time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_nsec / 1_000);
    Instant::from_micros(u64::try_from(micros).unwrap_or_default())
}

/// Limits of this configuration: where there are other switches, with nothing leased yet.
pub(super) fn limits_of(config: &Config) -> Limits<LeaseId> {
    let mut limits = Limits::new(config.limits.clone());
    if let Some(cluster) = &config.cluster {
        share(&mut limits, cluster);
    }
    limits
}

fn share(limits: &mut Limits<LeaseId>, cluster: &ClusterConfig) {
    let presumed_dead = cluster.presumed_dead_after;
    let timing = Timing { presumed_dead, ..Timing::of_lease(cluster.lease) };
    limits.share_with_others(&cluster.name, timing, boot_clock);
}

impl Switch {
    /// There is somebody who asks the database for slots.
    pub(crate) fn share_limits(&mut self, asks: UnboundedSender<Ask>) {
        self.sharing.asks = Some(asks);
    }

    fn ask_for_slots(&self, ask: Ask) {
        if let Some(asks) = &self.sharing.asks {
            // Where its thread has ended, the lease does as well.
            let _ = asks.send(ask);
        }
    }

    /// The database knows this run of the switch.
    pub(super) fn begin_leases(&self, incarnation: i64) {
        self.ask_for_slots(Ask::Begin { incarnation });
    }

    /// A newer process of this switch has its leases.
    pub(super) fn hand_leases_over(&mut self) {
        self.limits.retire_leases();
        self.sharing = Sharing::default();
    }

    /// This process is the switch again, and has to begin anew.
    pub(super) fn take_leases_back(&mut self) {
        if let Some(cluster) = &self.config.cluster {
            share(&mut self.limits, cluster);
        }
    }

    /// Something has come from the database about slots.
    pub(crate) fn slots_tell(&mut self, endpoint: &mut Endpoint, now: Instant, told: Told) {
        match told {
            Told::Ready { incarnation } => self.limits.leases_joined(now, incarnation),
            Told::Lost => self.limits.leases_cut_off(now),
            Told::Answer(answer) => self.limits.leases_answered(now, answer),
            Told::News(key, news) => self.limits.leases_hear(now, &key, news),
        }
        self.renew_leases(endpoint, now);
    }

    /// Asks for slots and gives some back, and ends calls that have none any more.
    pub(super) fn renew_leases(&mut self, endpoint: &mut Endpoint, now: Instant) {
        while let Some(request) = self.limits.lease_request(now) {
            self.ask_for_slots(Ask::Request(request));
        }
        self.end_over_lease(endpoint, now);
        let Some(standing) = self.limits.lease_standing() else { return };
        if std::mem::replace(&mut self.sharing.standing, standing) == standing {
            return;
        }
        match standing {
            Standing::Fresh => tracing::info!("shared limits: the leases are renewed"),
            Standing::Stale => tracing::warn!(
                "shared limits: the leases are not renewed; calls begin within what the database knows to be in \
                 use here"
            ),
            Standing::Over => tracing::warn!(
                "shared limits: the leases are over; other switches may take what is idle here"
            ),
            Standing::PresumedDead => tracing::error!(
                "shared limits: the others presume this switch dead, and calls under shared limits end"
            ),
        }
    }

    fn end_over_lease(&mut self, endpoint: &mut Endpoint, now: Instant) {
        let own = self.others_own();
        for (lease, limit) in self.limits.over_lease(now, |lease| lease.generation() == own) {
            let leg = self.legs.iter().find(|(_, leg)| leg.lease == lease);
            let Some((call, leg)) = leg.map(|(call, leg)| (*call, leg)) else { continue };
            let _inside = leg.span.clone().entered();
            tracing::warn!(
                "{call} ends: its slot of limit {limit} is not leased to this switch any more"
            );
            let causes = self.config.limits.iter().find(|known| known.name == limit);
            if let Some(cause) = causes.map(|limit| limit.cause) {
                let _ = endpoint.hangup(now, call, cause, None);
            }
        }
    }
}
