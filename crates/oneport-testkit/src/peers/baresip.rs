//! baresip: a telephone that speaks SIP, without a screen or a sound card. It answers by itself.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::install::program_of;

/// A running baresip. Dropping it kills it.
pub struct Baresip {
    process: Child,
    directory: tempfile::TempDir,
}

/// Where its modules are.
const MODULES: &str = "/usr/lib/baresip/modules";

/// What a baresip is told.
#[derive(Clone, Debug)]
pub struct Telephone<'a> {
    /// Its registrar and the name it has there.
    pub registrar: SocketAddr,
    /// Its name, and the secret that proves it.
    pub login: (&'a str, &'a str),
    /// What carries its SIP: `udp`, `tcp` or `tls`.
    pub transport: &'a str,
    /// The authority whose servers of TLS it believes (PEM).
    pub authority: Option<&'a Path>,
    /// How it encrypts its voice; then it takes no other.
    pub encrypts: Option<Encryption>,
    /// Where it listens.
    pub listen: SocketAddr,
    /// What it says: a WAV file of 8,000 samples a second.
    pub says: &'a Path,
    /// What it dials at once, if anything.
    pub dials: Option<&'a str>,
}

/// Where a baresip has the keys of its voice from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encryption {
    /// The description.
    Described,
    /// A handshake.
    Handshake,
}

impl Baresip {
    /// Starts one. `command` is a command that runs another one, such as `ip netns exec NAME`; empty: it
    /// runs by itself.
    ///
    /// # Panics
    /// It is missing or does not start; the message says why.
    #[must_use]
    pub fn start(command: &[&str], told: &Telephone<'_>) -> Self {
        // The package of it that needs no screen.
        program_of("baresip", "baresip-core").unwrap_or_else(|missing| panic!("{missing}"));
        let directory = tempfile::tempdir().expect("a directory");
        let here = directory.path();
        // mwi.so is loaded long before the account, since its timer of a millisecond must have run before
        // the account is registered: where it finds a subscription, baresip 1.0 subscribes for ever.
        let config = format!(
            "module_path {MODULES}\nmodule mwi.so\nmodule g711.so\nmodule aufile.so\n\
             module sndfile.so\nmodule_tmp account.so\nmodule_app menu.so\n\
             audio_source aufile,{says}\nsip_listen {listen}\nsnd_path {here}\n",
            says = told.says.display(),
            listen = told.listen,
            here = here.display(),
        );
        let Telephone { registrar, login: (name, secret), transport, .. } = told;
        let believes = told.authority.map(|file| format!("sip_cafile {}\n", file.display()));
        let (module, encrypted) = match told.encrypts {
            Some(Encryption::Described) => ("module srtp.so\n", ";mediaenc=srtp-mand"),
            Some(Encryption::Handshake) => ("module dtls_srtp.so\n", ";mediaenc=dtls_srtp"),
            None => ("", ""),
        };
        let config = config + module + &believes.unwrap_or_default();
        let account = format!(
            "<sip:{name}@{registrar};transport={transport}>;auth_pass={secret};answermode=auto;\
             regint=60{encrypted}\n"
        );
        fs::write(here.join("config"), config).expect("writable");
        fs::write(here.join("accounts"), account).expect("writable");
        let output = fs::File::create(here.join("output")).expect("writable");
        let mut words = command.iter().copied().chain(["baresip", "-v", "-f"]);
        let mut process = Command::new(words.next().unwrap_or("baresip"));
        process.args(words).arg(here);
        if let Some(number) = told.dials {
            process.args(["-e", &format!("/dial {number}")]);
        }
        let process = process
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("one more handle"))
            .stderr(output)
            .spawn()
            .expect("baresip starts");
        Self { process, directory }
    }

    /// What it says of itself.
    #[must_use]
    pub fn log(&self) -> String {
        let text = fs::read(self.directory.path().join("output")).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// What it has heard so far in its calls: the files, as WAV, whose head may not be complete while a
    /// call is up.
    #[must_use]
    pub fn heard(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.directory.path()).into_iter().flatten().flatten();
        files
            .map(|file| file.path())
            .filter(|path| path.to_string_lossy().ends_with("-dec.wav"))
            .collect()
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("baresip's log:\n{}", self.log());
        }
    }
}
