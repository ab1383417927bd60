//! Certificates for peers that speak TLS, by openssl.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::install::program_of;

/// A curve on which keys are made at once.
const KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
/// How many days they hold.
const DAYS: &str = "30";

/// An authority that nobody else believes, in a directory that is gone when it is dropped.
pub struct Authority(tempfile::TempDir);

/// A certificate and its key (PEM).
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The file of the certificate.
    pub certificate: PathBuf,
    /// The file of the key.
    pub key: PathBuf,
}

impl Authority {
    /// Makes one.
    ///
    /// # Panics
    /// openssl is missing or fails.
    #[must_use]
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let subject =
            ["-keyout", "ca.key", "-out", "ca.pem", "-days", DAYS, "-subj", "/CN=Authority"];
        openssl(directory.path(), &[&["req", "-x509"][..], &KEY, &subject].concat());
        Self(directory)
    }

    /// The file of its own certificate.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.0.path().join("ca.pem")
    }

    /// Makes a certificate by it, for what stands in `subjectAltName`, such as `IP:127.0.0.1`. No two
    /// have the same `name`.
    ///
    /// # Panics
    /// openssl fails.
    #[must_use]
    pub fn certificate(&self, name: &str, of: &str) -> Certificate {
        let here = self.0.path();
        let file = |ending: &str| format!("{name}.{ending}");
        let (key, asked, made, says) = (file("key"), file("csr"), file("pem"), file("ext"));
        let subject = ["-keyout", &key, "-out", &asked, "-subj", "/CN=Somebody"];
        openssl(here, &[&["req"][..], &KEY, &subject].concat());
        fs::write(here.join(&says), format!("subjectAltName={of}\n")).expect("writable");
        let by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", DAYS];
        let files = ["-in", &asked, "-extfile", &says, "-out", &made];
        openssl(here, &[&["x509", "-req"][..], &by, &files].concat());
        Certificate { certificate: here.join(made), key: here.join(key) }
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

fn openssl(directory: &Path, arguments: &[&str]) {
    program_of("openssl", "openssl").unwrap_or_else(|missing| panic!("{missing}"));
    let done = Command::new("openssl").current_dir(directory).args(arguments).output();
    let done = done.expect("it runs");
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}
