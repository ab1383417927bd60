//! Draining `oneport serve`: SIGUSR1 begins it, another one ends it.

use std::io;
use std::time::Duration;

use oneport::Driver;
use oneport_switch::sip::Gateway;
use oneport_switch::{Life, Switch};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

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
    /// Until when it waits for the last answers of SIP: the newer process hands them on only as long as this one
    /// is there.
    lingers: Option<Instant>,
}

/// How often it is looked whether they have come, and for how long (64 × T1, RFC 3261 §17).
const LOOK: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(32);

impl Drains {
    pub(crate) async fn of(driver: &Driver<Switch>, exits: bool) -> Result<Self, Failure> {
        let signal = signal(SignalKind::user_defined1());
        let signal = signal.map_err(|error: io::Error| failed(error))?;
        let life = driver.with(|_, switch, _| switch.watch_life()).await.map_err(failed)?;
        Ok(Self { signal, life, exits, succeeded: false, lingers: None })
    }

    /// A newer process serves, or none any more.
    pub(crate) fn succeeded(&mut self, is: bool) {
        self.succeeded = is;
        self.lingers = None;
        // What it is now is looked at anew.
        self.life.mark_changed();
    }

    pub(crate) const fn is_succeeded(&self) -> bool {
        self.succeeded
    }

    /// Waits for something to do, and does it; `true`: that is the end.
    pub(crate) async fn next(
        &mut self,
        driver: &Driver<Switch>,
        gateway: Option<&Gateway>,
    ) -> bool {
        let quiet = async {
            match self.lingers {
                Some(until) => {
                    while gateway.is_some_and(|one| !one.is_over()) && Instant::now() < until {
                        sleep(LOOK).await;
                    }
                    // What was said last leaves by the thread of the port.
                    sleep(LOOK).await;
                    let _ = driver.with(|_, _, _| ()).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = quiet => true,
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
                match life {
                    Life::Drained if self.succeeded => self.lingers = Some(Instant::now() + LONGEST),
                    _ => self.lingers = None,
                }
                self.exits && !self.succeeded && life == Life::Drained
            }
            else => std::future::pending().await,
        }
    }
}
