//! Prometheus, which collects metrics, and promtool, which reads its rules.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use super::install;
use super::place::Place;

/// A running Prometheus. Dropping it kills it.
pub struct Prometheus {
    process: Child,
    address: String,
    _directory: tempfile::TempDir,
    _place: Arc<Place>,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Prometheus {
    /// Starts one with this configuration, beside copies of these files.
    ///
    /// # Panics
    /// It is missing, or does not start.
    #[must_use]
    pub fn start(configuration: &str, files: &[&Path]) -> Self {
        let programs = install::prometheus().unwrap_or_else(|missing| panic!("{missing}"));
        let place = Place::take();
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("prometheus.yml"), configuration).expect("writable");
        for file in files {
            let name = file.file_name().expect("a file");
            fs::copy(file, directory.path().join(name)).expect("it is there");
        }
        let address = format!("{}:9090", super::own_loopback());
        let log = fs::File::create(directory.path().join("log")).expect("writable");
        let process = Command::new(programs.join("prometheus"))
            .current_dir(directory.path())
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus starts");
        Self { process, address, _directory: directory, _place: place }
    }

    /// Where it answers HTTP: address and port.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}

/// What promtool says to these arguments in this directory, and whether it is content.
///
/// # Panics
/// It is missing.
#[must_use]
pub fn promtool(arguments: &[&str], directory: &Path) -> (bool, String) {
    let programs = install::prometheus().unwrap_or_else(|missing| panic!("{missing}"));
    let mut command = Command::new(programs.join("promtool"));
    let done = command.args(arguments).current_dir(directory).output().expect("it runs");
    let said = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8_lossy(&said).into_owned())
}
