//! When `oneport serve` reads its configuration again: on SIGHUP, and when the file changes.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use oneport::Driver;
use oneport_switch::{Config, Switch};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::serve::show;

/// An editor writes a file in several steps; this long after the last it is read.
const SETTLED: Duration = Duration::from_millis(200);

/// Waits for reasons to read a file again.
pub(crate) struct Reloads {
    path: PathBuf,
    /// Told of each change in the file's directory.
    changes: mpsc::Receiver<()>,
    hangup: Signal,
    /// Watches as long as it lives.
    _watcher: Option<notify::RecommendedWatcher>,
}

impl Reloads {
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let (sender, changes) = mpsc::channel(1);
        let own = path.file_name().map(ToOwned::to_owned);
        let watch = || {
            let mut watcher =
                notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                    let concerns = event.is_ok_and(|event| {
                        !event.kind.is_access()
                            && event.paths.iter().any(|path| path.file_name() == own.as_deref())
                    });
                    if concerns {
                        // One that waits already says the same.
                        let _ = sender.try_send(());
                    }
                })?;
            // The directory: editors put a new file in the place of the old one.
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let directory = directory.unwrap_or_else(|| Path::new("."));
            watcher.watch(directory, RecursiveMode::NonRecursive)?;
            Ok::<_, notify::Error>(watcher)
        };
        let watcher = watch().inspect_err(|error| {
            tracing::warn!("changes of {} are not noticed ({error}); send SIGHUP", path.display());
        });
        let hangup = signal(SignalKind::hangup())?;
        Ok(Self { path: path.into(), changes, hangup, _watcher: watcher.ok() })
    }

    /// Waits for the next reason.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.hangup.recv() => return,
            Some(()) = self.changes.recv() => {}
        }
        while tokio::time::timeout(SETTLED, self.changes.recv())
            .await
            .is_ok_and(|more| more.is_some())
        {}
    }

    /// Reads the file and hands it to the switch. One that is wrong is told of, and the old
    /// configuration stays.
    pub(crate) async fn carry_out(&self, driver: &Driver<Switch>) {
        let path = self.path.clone();
        // Host names are looked up in here.
        let loaded = tokio::task::spawn_blocking(move || Config::load(&path)).await;
        let config = match loaded {
            Ok(Ok(config)) => config,
            Ok(Err(error)) => {
                show(&error);
                tracing::error!("not reloaded, the old configuration stays: {error}");
                return;
            }
            Err(error) => return tracing::error!("not reloaded: {error}"),
        };
        let changes = driver.with(|endpoint, switch, now| {
            let calls = endpoint.calls();
            (switch.reload(endpoint, now, config), calls)
        });
        let Ok((changes, calls)) = changes.await else { return };
        for change in &changes {
            tracing::info!("reload: {change}");
        }
        tracing::info!("reloaded: {} changes; {calls} calls go on", changes.len());
    }
}
