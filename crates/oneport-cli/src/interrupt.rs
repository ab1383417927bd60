//! Ctrl-C, of which none is lost: `tokio::signal::ctrl_c` hears only what comes while somebody waits for it, and what
//! comes between two waits would be swallowed.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::exit::{Failure, failed};

/// Each Ctrl-C since it was made. A clone hears those that the one it was made of has not heard yet.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(watch::Receiver<()>);

impl Interrupt {
    /// From here on Ctrl-C does not end the process by itself.
    ///
    /// # Errors
    ///
    /// The system does not tell of signals.
    pub(crate) fn new() -> Result<Self, Failure> {
        let mut signals = signal(SignalKind::interrupt()).map_err(failed)?;
        let (teller, told) = watch::channel(());
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    Some(()) = signals.recv() => teller.send_replace(()),
                    () = teller.closed() => break,
                }
            }
        });
        Ok(Self(told))
    }

    /// Waits for one that has not been heard, which may have come before.
    pub(crate) async fn heard(&mut self) {
        if self.0.changed().await.is_err() {
            // Nobody tells any more.
            std::future::pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_comes_while_nobody_waits_is_heard_once_by_each_that_was_there() {
        let (teller, told) = watch::channel(());
        let mut first = Interrupt(told);
        teller.send_replace(());
        let mut second = first.clone();
        first.heard().await;
        let mut third = first.clone();
        second.heard().await;
        for one in [&mut first, &mut second, &mut third] {
            let again = tokio::time::timeout(std::time::Duration::ZERO, one.heard()).await;
            assert!(again.is_err(), "it came once");
        }
    }
}
