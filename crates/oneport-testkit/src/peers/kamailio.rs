//! Kamailio as what takes copies of signalling (HEP3) for Homer: its module sipcapture says what is in each packet.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::place::Place;
use super::{free_port, install, is_bound, wait_for};

/// A running Kamailio. Dropping it ends it.
pub struct Kamailio {
    process: Child,
    address: SocketAddr,
    directory: tempfile::TempDir,
    _place: Arc<Place>,
}

/// What it has read in a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Captured {
    /// Of which protocol the message is, as HEP numbers them.
    pub protocol: u64,
    /// Who sent it.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// When, in µs since 1970.
    pub unix_micros: u64,
    /// Who copied it.
    pub capture_id: u64,
    /// What proves that.
    pub key: String,
    /// Its correlation id; empty where it has none.
    pub correlation: String,
}

/// What it writes of each packet: chunks by their types.
const CHUNKS: [&str; 10] = ["00b", "003", "007", "004", "008", "009", "00a", "00c", "00e", "011"];

impl Kamailio {
    /// Starts one, which takes packets by UDP.
    ///
    /// # Panics
    /// It is missing, or does not start.
    #[must_use]
    pub fn start() -> Self {
        let root = install::kamailio().unwrap_or_else(|missing| panic!("{missing}"));
        let place = Place::take();
        let libraries = fs::read_dir(root.join("usr/lib")).expect("it is there").flatten();
        let libraries = libraries.map(|entry| entry.path().join("kamailio"));
        let libraries: PathBuf = libraries.into_iter().find(|path| path.exists()).expect("modules");
        let directory = tempfile::tempdir().expect("a directory");
        let here = directory.path();
        // It wants tables of messages, and puts nothing there.
        fs::create_dir(here.join("tables")).expect("writable");
        let version = "table_name(string) table_version(int)\nsip_capture:4\n";
        fs::write(here.join("tables/version"), version).expect("writable");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let chunks: Vec<String> = CHUNKS.iter().map(|chunk| format!("$hep(0x{chunk})")).collect();
        let config = format!(
            "#!KAMAILIO\n\
             children=1\n\
             disable_tcp=yes\n\
             listen=udp:{address}\n\
             mpath=\"{modules}/\"\n\
             loadmodule \"pv.so\"\n\
             loadmodule \"xlog.so\"\n\
             loadmodule \"db_text.so\"\n\
             loadmodule \"sipcapture.so\"\n\
             modparam(\"sipcapture\", \"db_url\", \"text://{tables}\")\n\
             modparam(\"sipcapture\", \"hep_capture_on\", 1)\n\
             modparam(\"sipcapture\", \"nonsip_hook\", 1)\n\
             request_route {{ drop; }}\n\
             event_route[sipcapture:request] {{\n\
                 xlog(\"L_ALERT\", \"HEP|{chunks}|\\n\");\n\
                 drop;\n\
             }}\n",
            modules = libraries.join("modules").display(),
            tables = here.join("tables").display(),
            chunks = chunks.join("|"),
        );
        fs::write(here.join("kamailio.cfg"), config).expect("writable");
        let log = fs::File::create(here.join("log")).expect("writable");
        let process = Command::new(root.join("usr/sbin/kamailio"))
            .env("LD_LIBRARY_PATH", &libraries)
            .arg("-f")
            .arg(here.join("kamailio.cfg"))
            .arg("-Y")
            .arg(here)
            .args(["-E", "-DD"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("kamailio starts");
        let mut this = Self { process, address, directory, _place: place };
        wait_for("Kamailio", Duration::from_secs(30), || {
            let ended = this.process.try_wait().is_ok_and(|status| status.is_some());
            assert!(!ended, "it has ended: {}", this.log());
            is_bound(address.port())
        });
        this
    }

    /// Where it takes packets.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    fn log(&self) -> String {
        let log = fs::read(self.directory.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// What it has taken.
    ///
    /// # Panics
    /// What it says of a packet cannot be read.
    #[must_use]
    pub fn captured(&self) -> Vec<Captured> {
        let log = self.log();
        // The last line may not be whole yet.
        let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let said = whole.lines().filter_map(|line| line.split_once(" HEP|"));
        said.map(|(_, chunks)| read(chunks).unwrap_or_else(|| panic!("{chunks}"))).collect()
    }
}

fn read(chunks: &str) -> Option<Captured> {
    let chunks: Vec<&str> = chunks.split('|').collect();
    let [protocol, from, from_port, to, to_port, seconds, micros, capture_id, key, correlation, _] =
        chunks.as_slice()
    else {
        return None;
    };
    let number = |text: &str| text.parse::<u64>().ok();
    let address = |ip: &str, port: &str| {
        Some(SocketAddr::new(ip.parse::<IpAddr>().ok()?, port.parse().ok()?))
    };
    Some(Captured {
        protocol: number(protocol)?,
        from: address(from, from_port)?,
        to: address(to, to_port)?,
        unix_micros: number(seconds)? * 1_000_000 + number(micros)?,
        capture_id: number(capture_id)?,
        key: (*key).into(),
        correlation: if *correlation == "<null>" { String::new() } else { (*correlation).into() },
    })
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        // It ends its other processes itself.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}
