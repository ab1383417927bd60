//! Who collects traces: OpenTelemetry's own Python package, which decodes what comes, and Rotel, a collector
//! that takes OTLP and hands it on.

use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::certificates::Certificate;
use super::install;

const DECODER: &str = include_str!("otlp.py");

/// A collector by HTTP that says what it was sent. Dropping it kills it.
pub struct Collector {
    process: Child,
    scheme: &'static str,
    port: u16,
    requests: Receiver<String>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Collector {
    /// Starts one. Its first requests get these answers, each a status of HTTP and, behind a colon, how many
    /// spans it says it has rejected; all others are taken.
    ///
    /// # Panics
    /// It is missing, or does not start.
    #[must_use]
    pub fn start(answers: &[&str]) -> Self {
        Self::start_by(answers, None)
    }

    /// Starts one that speaks TLS.
    ///
    /// # Panics
    /// It is missing, or does not start.
    #[must_use]
    pub fn start_secure(certificate: &Certificate) -> Self {
        Self::start_by(&[], Some(certificate))
    }

    fn start_by(answers: &[&str], certificate: Option<&Certificate>) -> Self {
        let secure = certificate
            .map(|files| [("TLS_CERTIFICATE", &files.certificate), ("TLS_KEY", &files.key)]);
        let packages = install::opentelemetry().unwrap_or_else(|missing| panic!("{missing}"));
        let mut process = Command::new("python3")
            .args(["-c", DECODER])
            .args(answers)
            .env("PYTHONPATH", packages)
            .envs(secure.into_iter().flatten())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 starts");
        let output = process.stdout.take().expect("piped");
        let (said, requests) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if said.send(line).is_err() {
                    break;
                }
            }
        });
        let port = requests.recv_timeout(Duration::from_secs(60)).expect("it says its port");
        let scheme = if certificate.is_some() { "https" } else { "http" };
        Self { process, scheme, port: port.parse().expect("a port"), requests }
    }

    /// Where it takes traces.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// The next request, as a line of JSON; none where none comes for so long.
    #[must_use]
    pub fn next(&self, patience: Duration) -> Option<String> {
        self.requests.recv_timeout(patience).ok()
    }
}

/// A running Rotel, which hands on what it takes. Dropping it kills it.
pub struct Rotel {
    process: Child,
    address: Ipv4Addr,
}

impl Drop for Rotel {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Rotel {
    /// Starts one that hands on to this URL.
    ///
    /// # Panics
    /// It is missing, or does not start.
    #[must_use]
    pub fn start(onward: &str) -> Self {
        let program = install::rotel().unwrap_or_else(|missing| panic!("{missing}"));
        let address = super::own_loopback();
        let process = Command::new(program)
            .arg("start")
            .arg(format!("--otlp-http-endpoint={address}:4318"))
            .arg(format!("--otlp-grpc-endpoint={address}:4317"))
            .args(["--exporter=otlp", "--otlp-exporter-protocol=http"])
            .arg("--traces-batch-timeout=200ms")
            .arg(format!("--otlp-exporter-endpoint={onward}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("rotel starts");
        Self { process, address }
    }

    /// Where it takes traces.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}:4318", self.address)
    }
}
