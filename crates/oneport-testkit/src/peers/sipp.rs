//! sipp: SIP by scenarios, on either side of a call.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::install::program_of;

/// How long a run may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running sipp. Dropping it kills it.
pub struct Sipp {
    process: Child,
    address: SocketAddr,
    directory: tempfile::TempDir,
}

/// What a sipp does.
#[derive(Clone, Debug)]
pub struct Scenario<'a> {
    /// What is sent and awaited, as sipp's XML.
    pub xml: &'a str,
    /// Calls in all, and how many may be up at once.
    pub calls: (u32, u32),
    /// Where it listens.
    pub listen: SocketAddr,
    /// Whom it calls; none where it is called.
    pub to: Option<SocketAddr>,
    /// More of its command line.
    pub arguments: &'a [&'a str],
}

impl Sipp {
    /// Starts one.
    ///
    /// # Panics
    /// It is missing or does not start; the message says why.
    #[must_use]
    pub fn start(scenario: &Scenario<'_>) -> Self {
        program_of("sipp", "sip-tester").unwrap_or_else(|missing| panic!("{missing}"));
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("scenario.xml");
        fs::write(&file, scenario.xml).expect("writable");
        let mut command = Command::new("sipp");
        if let Some(to) = scenario.to {
            command.arg(to.to_string());
        }
        let output = fs::File::create(directory.path().join("output")).expect("writable");
        let process = command
            .current_dir(directory.path())
            .arg("-sf")
            .arg(&file)
            .args(["-i", &scenario.listen.ip().to_string()])
            .args(["-p", &scenario.listen.port().to_string()])
            .args(["-m", &scenario.calls.0.to_string(), "-l", &scenario.calls.1.to_string()])
            .args(["-nostdin", "-trace_err", "-error_file", "errors"])
            .args(["-trace_msg", "-message_file", "messages"])
            .args(scenario.arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("one more handle"))
            .stderr(output)
            .spawn()
            .expect("sipp starts");
        Self { process, address: scenario.listen, directory }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    fn file(&self, name: &str) -> String {
        let path: PathBuf = self.directory.path().join(name);
        String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
    }

    /// The messages that it has sent and received.
    #[must_use]
    pub fn messages(&self) -> String {
        self.file("messages")
    }

    /// Waits until it is done.
    ///
    /// # Panics
    /// Something went otherwise than in its scenario; the message has what it says of that.
    pub fn finished(&mut self) {
        let start = Instant::now();
        loop {
            match self.process.try_wait().expect("it is ours") {
                Some(status) if status.success() => return,
                Some(status) => panic!("sipp: {status}\n{}", self.story()),
                None if start.elapsed() > PATIENCE => {
                    panic!("sipp is not done after {PATIENCE:?}\n{}", self.story())
                }
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// What it has seen, for a failure.
    fn story(&self) -> String {
        format!("{}\n{}", self.file("errors"), self.messages())
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("sipp's messages:\n{}", self.messages());
        }
    }
}
