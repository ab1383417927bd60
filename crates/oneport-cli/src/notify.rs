//! What systemd is told of a service of `Type=notify`: that it is ready, reads its configuration
//! again, stops, and that it lives. Without systemd (no `NOTIFY_SOCKET`) all of this does nothing.

use std::time::Duration;

use oneport::{Application, Driver};
use oneport_switch::Life;
use sd_notify::NotifyState;
use tokio::task::JoinHandle;

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!("systemd cannot be told: {error}");
    }
}

/// It serves.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// It reads its configuration again; [`ready`] follows.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!("the monotonic clock cannot be read: {error}"),
    }
}

/// It ends.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Another process is the one that serves, and speaks for the service from now on.
pub(crate) fn succeeded_by(pid: u32) {
    tell(&[NotifyState::MainPid(pid)]);
}

/// Whether it takes calls, for `systemctl status`.
pub(crate) fn life(life: Life) {
    let status = match life {
        Life::Serving => "serving".into(),
        Life::Draining { calls } => format!("draining, {calls} legs of calls are up"),
        Life::Drained => "drained, no call is up".into(),
    };
    tell(&[NotifyState::Status(&status)]);
}

/// Tells systemd that the service lives, as often as it wants (`WatchdogSec`), each time the driver
/// has taken a turn. `None`: systemd does not watch.
pub(crate) fn watchdog<A: Application>(driver: &Driver<A>) -> Option<JoinHandle<()>> {
    let timeout = sd_notify::watchdog_enabled()?;
    Some(tokio::spawn(lives(driver.clone(), timeout / 2, || tell(&[NotifyState::Watchdog]))))
}

/// Calls `ping` behind each turn of the driver, one in each `period`, until the driver stops. A driver
/// that hangs gives no sign.
async fn lives<A: Application>(driver: Driver<A>, period: Duration, ping: impl Fn()) {
    loop {
        if driver.with(|_, _, _| ()).await.is_err() {
            return;
        }
        ping();
        tokio::time::sleep(period).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc;

    use oneport::DriverConfig;
    use oneport_switch::{Config, Switch};

    use super::*;

    /// Waits until `pings` is above `floor`.
    async fn above(pings: &AtomicU32, floor: u32) {
        let waits = async {
            while pings.load(Ordering::Relaxed) <= floor {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let came = tokio::time::timeout(Duration::from_secs(30), waits).await;
        assert!(came.is_ok(), "no sign of life");
    }

    #[tokio::test]
    async fn a_driver_that_hangs_gives_no_sign_of_life() {
        let listen = vec!["127.0.0.1:0".parse().expect("an address")];
        let config = DriverConfig { listen, ..DriverConfig::default() };
        let driver = Driver::start(config, Switch::new(Config::default())).expect("started");
        let pings = Arc::new(AtomicU32::new(0));
        let counted = pings.clone();
        let watched = tokio::spawn(lives(driver.clone(), Duration::from_millis(5), move || {
            counted.fetch_add(1, Ordering::Relaxed);
        }));
        above(&pings, 2).await;
        let (release, hangs) = mpsc::channel::<()>();
        let (tell, hung) = tokio::sync::oneshot::channel();
        driver.post(move |_, _, _| {
            let _ = tell.send(());
            let _ = hangs.recv();
        });
        hung.await.expect("it hangs");
        let before = pings.load(Ordering::Relaxed);
        // One may have been answered before it hung.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let during = pings.load(Ordering::Relaxed);
        assert!(during <= before + 1, "{during} signs of life, {before} before");
        drop(release);
        above(&pings, during).await;
        watched.abort();
    }
}
