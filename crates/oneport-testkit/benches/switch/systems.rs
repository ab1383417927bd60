//! The systems that carry the same calls: a bare relay, Oneport and Asterisk.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use oneport_testkit::peers::asterisk::Asterisk;
use oneport_testkit::peers::{free_port, is_bound, wait_for};

use crate::first_answer::first_answer;
use crate::relay::Way;

/// The secret of whoever calls.
pub(crate) const SECRET: &str = "a secret of the bench";

/// How long a system may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// A kind of system.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    Relay(Way),
    Oneport,
    Asterisk,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Relay(Way::Batches) => "bare relay, recvmmsg and sendmmsg",
            Self::Relay(Way::Gathered) => "bare relay, recvmmsg and UDP_SEGMENT",
            Self::Relay(Way::Bundles) => "bare relay, UDP_GRO and UDP_SEGMENT",
            Self::Oneport => "Oneport",
            Self::Asterisk => "Asterisk",
        }
    }
}

/// Whom the systems call.
#[derive(Clone, Copy)]
pub(crate) enum Callee {
    /// By IAX2.
    Iax(SocketAddrV4),
    /// By SIP, as a carrier.
    Sip(SocketAddrV4),
}

/// What a system is set up for.
#[derive(Clone)]
pub(crate) struct Setting {
    /// Who is called as `bench`.
    pub(crate) callee: Callee,
    /// Who else is called by IAX2, as `bench1`, `bench2` and so on.
    pub(crate) others: Vec<SocketAddrV4>,
    /// Whether voice leaves in trunk frames.
    pub(crate) trunk: bool,
    /// Whether calls that come must be encrypted. Those that leave are not.
    pub(crate) encrypted: bool,
    /// The only codec of whoever is called.
    pub(crate) codec: &'static str,
    /// Peers `device1`, `device2` and so on, that may register, and how often each is polled then.
    pub(crate) devices: usize,
    pub(crate) qualify: Option<Duration>,
}

impl Setting {
    /// Calls of G.711 to whoever is there by this way.
    pub(crate) const fn of(callee: Callee) -> Self {
        let (trunk, encrypted, codec) = (false, false, "ulaw");
        Self { callee, others: Vec::new(), trunk, encrypted, codec, devices: 0, qualify: None }
    }

    /// Calls of G.711 to whoever is there by IAX2.
    pub(crate) const fn calls_to(callee: SocketAddrV4) -> Self {
        Self::of(Callee::Iax(callee))
    }
}

/// A process that is killed when it is dropped.
pub(crate) struct Killed(pub(crate) Child);

impl Killed {
    /// Ends it now.
    fn end(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        self.end();
    }
}

/// A running system.
pub(crate) struct System {
    /// Where it is called.
    pub(crate) address: SocketAddr,
    /// The process whose cost is told.
    pub(crate) pid: u32,
    running: Running,
}

enum Running {
    Process { command: Box<Command>, process: Killed },
    Asterisk(Box<Asterisk>),
}

impl System {
    /// Starts one that is set up so.
    ///
    /// # Panics
    /// A bare relay is asked to speak SIP.
    pub(crate) fn start(kind: Kind, setting: &Setting, directory: &Path) -> Self {
        match (kind, setting.callee) {
            (Kind::Relay(way), Callee::Iax(callee)) => relay(way, callee),
            (Kind::Relay(_), Callee::Sip(_)) => panic!("a bare relay knows no SIP"),
            (Kind::Oneport, _) => oneport(setting, directory),
            (Kind::Asterisk, _) => asterisk(setting),
        }
    }

    /// Its version, where it says one.
    pub(crate) fn version(&self) -> Option<String> {
        match &self.running {
            Running::Process { .. } => None,
            Running::Asterisk(asterisk) => Some(asterisk.version()),
        }
    }

    /// Kills it and starts it again with all that it has on the disk: how long it takes from that to the first PONG.
    pub(crate) fn start_again(&mut self) -> Duration {
        let address = self.address;
        match &mut self.running {
            Running::Process { command, process } => {
                process.end();
                let begun = Instant::now();
                *process = Killed(command.spawn().expect("it has run before"));
                self.pid = process.0.id();
                first_answer(address, begun, PATIENCE)
            }
            Running::Asterisk(asterisk) => {
                asterisk.kill();
                let begun = Instant::now();
                let poller = thread::spawn(move || first_answer(address, begun, PATIENCE));
                asterisk.start_again();
                self.pid = asterisk.pid();
                poller.join().expect("it has answered")
            }
        }
    }

    /// Bytes of memory that its process holds.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("Linux");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib << 10
    }
}

/// Datagrams that the kernel had no room for at the socket of this address.
pub(crate) fn socket_drops(address: SocketAddr) -> u64 {
    let port = format!(":{:04X}", address.port());
    let sockets = std::fs::read_to_string("/proc/net/udp").expect("Linux");
    let of_port = sockets
        .lines()
        .filter(|line| line.split_whitespace().nth(1).is_some_and(|local| local.ends_with(&port)));
    of_port.filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok()).sum()
}

/// The command, beside this benchmark.
pub(crate) fn command() -> PathBuf {
    let own = std::env::current_exe().expect("this program has a path");
    let command = own.ancestors().nth(2).expect("two directories up").join("oneport");
    assert!(command.exists(), "{} is missing: cargo build --release", command.display());
    command
}

pub(crate) fn loopback() -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, free_port())
}

/// A sipp that takes calls of SIP and sends back the voice that comes to a port of its own, whosever it is.
pub(crate) fn carrier(address: SocketAddrV4, media: u16) -> Killed {
    let child = Command::new("sipp")
        .args(["-sn", "uas", "-rtp_echo", "-nostdin", "-i", "127.0.0.1"])
        .args(["-p", &address.port().to_string(), "-mi", "127.0.0.1", "-mp", &media.to_string()])
        .args(["-max_socket", "1000"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sipp is installed");
    wait_for("sipp to listen", PATIENCE, || is_bound(address.port()));
    Killed(child)
}

/// Starts a process that listens at `address`.
fn run(mut command: Command, address: SocketAddrV4) -> System {
    let child = command.spawn().expect("it was built");
    let pid = child.id();
    wait_for("it to listen", PATIENCE, || is_bound(address.port()));
    let running = Running::Process { command: Box::new(command), process: Killed(child) };
    System { address: address.into(), pid, running }
}

fn relay(way: Way, callee: SocketAddrV4) -> System {
    let address = loopback();
    let own = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(own);
    command.args(["relay", &address.to_string(), &callee.to_string(), way.name()]);
    run(command, address)
}

fn oneport(setting: &Setting, directory: &Path) -> System {
    let Setting { callee, trunk, encrypted, codec, devices, qualify, .. } = *setting;
    let address = loopback();
    let config = directory.join("oneport.toml");
    let _ = std::fs::remove_file(directory.join("oneport.db"));
    let (to, callee) = match callee {
        Callee::Iax(address) => {
            let peer = |name: &str, address: SocketAddrV4| {
                format!(
                    "[peers.{name}]\naddress = \"{address}\"\ntrunk = {trunk}\nqualify = false\n\
                     codecs = [\"{codec}\"]\n"
                )
            };
            let others = setting.others.iter().zip(1..).map(|(address, n)| {
                let name = format!("callee{n}");
                let route = format!("[[routes]]\nnumber = \"bench{n}\"\nto = [\"peer:{name}\"]\n");
                peer(&name, *address) + &route
            });
            ("peer", peer("callee", address) + &others.collect::<String>())
        }
        Callee::Sip(address) => (
            "carrier",
            format!(
                "[sip]\nudp = [\"{}\"]\nrtp_ports = \"20000-29999\"\n\
                 [carriers.callee]\nhost = \"{address}\"\ncodecs = [\"ulaw\"]\n\
                 options_seconds = 0\n",
                loopback()
            ),
        ),
    };
    let qualify = match qualify {
        Some(period) => format!("qualify_seconds = {}", period.as_secs()),
        None => "qualify = false".into(),
    };
    let devices: String = (1..=devices)
        .map(|n| format!("[peers.device{n}]\nsecret = \"{SECRET}\"\n{qualify}\n"))
        .collect();
    let encryption = if encrypted { "required" } else { "off" };
    let text = format!(
        "[server]\nlisten = [\"{address}\"]\nmax_calls = 1000000\nmax_calls_per_address = 1000000\n\
         [audio]\nmax_transcoded_calls = 100000\n\
         [store]\npath = \"oneport.db\"\n\
         [peers.load]\nsecret = \"{SECRET}\"\ntrunk = {trunk}\nencryption = \"{encryption}\"\n\
         {callee}{devices}\
         [[routes]]\nnumber = \"bench\"\nto = [\"{to}:callee\"]\n"
    );
    std::fs::write(&config, text).expect("a directory of our own");
    let mut switch = Command::new(command());
    switch.args(["serve", "--no-api", "--config"]).arg(&config).env("ONEPORT_LOG", "error");
    // As in its unit of systemd.
    switch.env("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");
    switch.stdout(Stdio::null());
    run(switch, address)
}

/// With the threads that it has by default, and no limits that the others do not have.
fn asterisk(setting: &Setting) -> System {
    let Setting { callee, trunk, encrypted, codec, devices, qualify, .. } = *setting;
    let trunk = if trunk { "yes" } else { "no" };
    let (dial, peer, pjsip) = match callee {
        Callee::Iax(address) => (
            "IAX2/callee/bench",
            format!(
                "[callee]\ntype=peer\nhost={}\nport={}\ntrunk={trunk}\ndisallow=all\nallow={codec}\n",
                address.ip(),
                address.port()
            ),
            String::new(),
        ),
        Callee::Sip(address) => (
            "PJSIP/callee",
            String::new(),
            format!(
                "[transport]\ntype=transport\nprotocol=udp\nbind={}\n\
                 [callee]\ntype=endpoint\ndisallow=all\nallow=ulaw\ndirect_media=no\naors=callee\n\
                 [callee]\ntype=aor\ncontact=sip:bench@{address}\n",
                loopback()
            ),
        ),
    };
    let qualify = match qualify {
        Some(period) => format!("qualify=2000\nqualifyfreqok={}\n", period.as_millis()),
        None => String::new(),
    };
    let devices: String = (1..=devices)
        .map(|n| {
            format!("[device{n}]\ntype=friend\nhost=dynamic\nauth=md5\nsecret={SECRET}\n{qualify}")
        })
        .collect();
    let encryption = if encrypted { "encryption=aes128\nforceencryption=yes\n" } else { "" };
    let iax = format!(
        "iaxthreadcount=10\niaxmaxthreadcount=100\nmaxcallnumbers=16000\nrequirecalltoken=yes\n\
         disallow=all\nallow=ulaw\n\
         [load]\ntype=friend\nhost=dynamic\nauth=md5\nsecret={SECRET}\ncontext=bench\nmaxauthreq=0\n\
         trunk={trunk}\n{encryption}{peer}{devices}"
    );
    let dialplan = format!("[bench]\nexten => bench,1,Dial({dial})\n");
    let rtp = "[general]\nrtpstart=20000\nrtpend=29999\n";
    let files: [(&str, &[u8]); 2] =
        [("etc/pjsip.conf", pjsip.as_bytes()), ("etc/rtp.conf", rtp.as_bytes())];
    let files = if pjsip.is_empty() { &[][..] } else { &files };
    let asterisk = Asterisk::start_with(&iax, &dialplan, files);
    // What it writes of each call costs it, and nobody reads it here.
    let _ = asterisk.cli("core set verbose 0");
    System {
        address: asterisk.address(),
        pid: asterisk.pid(),
        running: Running::Asterisk(Box::new(asterisk)),
    }
}
