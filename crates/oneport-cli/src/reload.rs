//! When `oneport serve` reads its configuration again: on SIGHUP, and when the file changes.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use oneport_switch::api::{ReloadError, Reloader};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::serve::show;
use crate::table::count;

/// An editor writes a file in several steps; this long after the last it is read.
const SETTLED: Duration = Duration::from_millis(200);

/// Waits for reasons to read a file again.
pub(crate) struct Reloads {
    /// Told of each change in the file's directory.
    changes: mpsc::Receiver<()>,
    hangup: Signal,
    /// Watches as long as it lives.
    _watcher: Option<notify::RecommendedWatcher>,
}

impl Reloads {
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let (sender, changes) = mpsc::channel(1);
        // The file may be a link to one elsewhere, which is written there.
        let real = path
            .canonicalize()
            .ok()
            .filter(|real| std::path::absolute(path).ok() != Some(real.clone()));
        let files: Vec<&Path> = std::iter::once(path).chain(real.as_deref()).collect();
        let names: Vec<OsString> =
            files.iter().filter_map(|file| file.file_name().map(ToOwned::to_owned)).collect();
        let watch = || {
            let mut watcher =
                notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                    let is_own = |name: &OsStr| names.iter().any(|own| own == name);
                    let concerns = event.is_ok_and(|event| {
                        !event.kind.is_access()
                            && event.paths.iter().filter_map(|path| path.file_name()).any(is_own)
                    });
                    if concerns {
                        // One that waits already says the same.
                        let _ = sender.try_send(());
                    }
                })?;
            // The directory: editors put a new file in the place of the old one.
            for file in files {
                let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty());
                let directory = directory.unwrap_or_else(|| Path::new("."));
                watcher.watch(directory, RecursiveMode::NonRecursive)?;
            }
            Ok::<_, notify::Error>(watcher)
        };
        let watcher = watch().inspect_err(|error| {
            tracing::warn!("changes of {} are not noticed ({error}); send SIGHUP", path.display());
        });
        let hangup = signal(SignalKind::hangup())?;
        Ok(Self { changes, hangup, _watcher: watcher.ok() })
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
}

/// How often hosts are looked up again.
const LOOK_UP: Duration = Duration::from_secs(60);

/// Looks up the hosts of peers and registrars again: a provider moves, and a name server that was
/// away comes back.
pub(crate) struct Hosts(tokio::time::Interval);

impl Default for Hosts {
    fn default() -> Self {
        let mut interval = tokio::time::interval(LOOK_UP);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        interval.reset();
        Self(interval)
    }
}

impl Hosts {
    /// Waits until one has another address.
    pub(crate) async fn moved(&mut self, reloader: Option<&Reloader>) {
        let Some(reloader) = reloader else { return std::future::pending().await };
        loop {
            self.0.tick().await;
            match reloader.hosts_have_moved().await {
                Ok(false) => {}
                Ok(true) => return,
                Err(_) => return std::future::pending().await,
            }
        }
    }
}

/// Reads the file and hands it to the switch. One that is wrong is told of, and the old
/// configuration stays.
pub(crate) async fn carry_out(reloader: &Reloader) {
    match reloader.carry_out(false).await {
        Ok(reloaded) => {
            for change in &reloaded.changes {
                tracing::info!("reload: {change}");
            }
            let (changes, calls) =
                (count(reloaded.changes.len(), "change"), count(reloaded.calls, "call"));
            tracing::info!("reloaded: {changes}; untouched: {calls}");
        }
        Err(error) => {
            if let ReloadError::Config(error) = &error {
                show(error);
            }
            tracing::error!("not reloaded, the old configuration stays: {error}");
        }
    }
}
