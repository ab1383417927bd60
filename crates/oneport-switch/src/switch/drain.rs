//! Draining: calls that are up go on, and no other begins, until this switch can be stopped without
//! hanging up on anybody.

use oneport_proto::{CallId, Endpoint, Instant, Offer};
use oneport_wire::CauseCode;
use tokio::sync::watch;

use super::Switch;
use crate::refusal::{Reason, Stage};

/// What a caller is told meanwhile: switching equipment congestion. Every dial plan knows it as
/// congestion and tries its next line; unlike the causes that speak of the number called (20, 27) it
/// says nothing of that, and unlike 41 it does not invite to try here again at once.
const DRAINING: CauseCode = CauseCode::SWITCH_CONGESTION;

/// Whether a switch takes calls.
///
/// ```
/// use oneport_switch::Life;
///
/// # mod switch { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/switch.rs")); } use switch::*;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let driver = start("");
/// let was = driver.with(|_, switch, _| switch.drain()).await?;
/// assert_eq!(was, Life::Serving);
/// // No call is up.
/// assert_eq!(driver.with(|_, switch, _| switch.life()).await?, Life::Drained);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Life {
    /// It does.
    #[default]
    Serving,
    /// It takes no new ones, and waits for those that are up.
    Draining {
        /// Legs of calls that are up.
        calls: usize,
    },
    /// It takes no new ones, and none is up.
    Drained,
}

impl Switch {
    /// Takes no new calls from now on. Those that are up go on, with all that may come of them
    /// (destinations that follow, transfers), and so do registrations. What it was before.
    pub fn drain(&mut self) -> Life {
        let before = self.life();
        if before == Life::Serving {
            self.set_life(true);
            let calls = self.legs_up();
            tracing::info!("draining: new calls are refused, {DRAINING}; {calls} legs are up");
        }
        before
    }

    /// Takes calls again. What it was before.
    pub fn undrain(&mut self) -> Life {
        let before = self.life();
        if before != Life::Serving {
            self.set_life(false);
            tracing::info!("not draining any more: calls are taken again");
        }
        before
    }

    /// Whether it takes calls.
    #[must_use]
    pub fn life(&self) -> Life {
        *self.life.borrow()
    }

    /// The same for others, who may wait for a change.
    #[must_use]
    pub fn watch_life(&self) -> watch::Receiver<Life> {
        self.life.subscribe()
    }

    /// Legs of calls that are up, those of older processes among them: they would end with this one.
    pub(crate) fn legs_up(&self) -> usize {
        self.legs.len() + self.count_older().1
    }

    pub(super) fn set_life(&self, drains: bool) {
        let life = match (drains, self.legs_up()) {
            (false, _) => Life::Serving,
            (true, 0) => Life::Drained,
            (true, calls) => Life::Draining { calls },
        };
        if self.life() != life {
            self.life.send_replace(life);
        }
    }

    /// A leg has come, or gone.
    pub(super) fn legs_have_changed(&self) {
        let before = self.life();
        if before == Life::Serving {
            return;
        }
        self.set_life(true);
        if self.life() == Life::Drained && before != Life::Drained {
            tracing::info!("drained: no call is up");
        }
    }

    /// Refuses a call that comes while this switch drains; whether it does.
    pub(super) fn refuse_draining(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        offer: &Offer,
    ) -> bool {
        if self.life() == Life::Serving || self.takes_yet(offer.path.remote) {
            return false;
        }
        let reason = Reason::new(Stage::Opening, "draining", "this switch is being drained")
            .fix("try another switch, or end the draining: `oneport undrain`, or SIGUSR1");
        self.book.refused_for(now, call, DRAINING, reason);
        let who = offer.username.as_deref().unwrap_or("guest");
        let (from, number) = (offer.path.remote, &offer.called_number);
        tracing::info!("{call}: {who} ({from}) to {number}: refused, {DRAINING}: draining");
        let _ = endpoint.reject(now, call, DRAINING, Some("draining"));
        true
    }
}
