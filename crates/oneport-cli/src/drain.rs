//! Draining `oneport serve`: SIGUSR1 begins it, another one ends it.

use std::io;

use oneport::Driver;
use oneport_switch::{Life, Switch};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::exit::{Failure, failed};
use crate::notify;

/// Waits for the signal, and for the end of the last call.
pub(crate) struct Drains {
    signal: Signal,
    life: watch::Receiver<Life>,
    /// Whether the process ends when it is drained.
    exits: bool,
    /// A newer process serves: this one ends with its last call, and says nothing to systemd.
    succeeded: bool,
}

impl Drains {
    pub(crate) async fn of(driver: &Driver<Switch>, exits: bool) -> Result<Self, Failure> {
        let signal = signal(SignalKind::user_defined1());
        let signal = signal.map_err(|error: io::Error| failed(error))?;
        let life = driver.with(|_, switch, _| switch.watch_life()).await.map_err(failed)?;
        Ok(Self { signal, life, exits, succeeded: false })
    }

    /// A newer process serves, or none any more.
    pub(crate) fn succeeded(&mut self, is: bool) {
        self.succeeded = is;
        // What it is now is looked at anew.
        self.life.mark_changed();
    }

    pub(crate) const fn is_succeeded(&self) -> bool {
        self.succeeded
    }

    /// Waits for something to do, and does it; `true`: that is the end.
    pub(crate) async fn next(&mut self, driver: &Driver<Switch>) -> bool {
        tokio::select! {
            Some(()) = self.signal.recv() => {
                driver.post(|_, switch, _| {
                    if switch.drain() != Life::Serving {
                        switch.undrain();
                    }
                });
                false
            }
            Ok(()) = self.life.changed() => {
                let life = *self.life.borrow_and_update();
                if !self.succeeded {
                    notify::life(life);
                }
                (self.exits || self.succeeded) && life == Life::Drained
            }
            else => std::future::pending().await,
        }
    }
}
