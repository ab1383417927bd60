//! Three switches and the database that they share, each switch in a network namespace of its own, joined by a
//! bridge. The test itself is on the bridge, and so is the database. Needs root and nftables.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use oneport_testkit::peers::database::{DatabaseServer, Kind, PASSWORD};

/// The names of the switches.
pub(crate) const SWITCHES: [&str; 3] = ["berlin", "bonn", "essen"];

/// Calls of peer `box` at all of them together.
pub(crate) const PLACES: usize = 30;

/// Phones that register at one switch after the other.
pub(crate) const PHONES: usize = 6;

/// How long slots are leased, where nobody says anything else.
pub(crate) const LEASE: Duration = Duration::from_secs(15);

/// A switch, which is killed (SIGKILL) with the value.
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The namespaces, the database, and a directory for files. All of it vanishes with the value.
pub(crate) struct Town {
    name: String,
    net: u8,
    files: tempfile::TempDir,
    pub(crate) database: DatabaseServer,
    url: String,
}

fn shell(script: &str) {
    let output = Command::new("sh").args(["-ec", script]).output().expect("a shell");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Town {
    pub(crate) fn new() -> Self {
        // So that several have room on one machine.
        let [net, _] = std::process::id().to_le_bytes()[..2] else { unreachable!("four bytes") };
        let name = format!("oc{}", std::process::id());
        let mut script = format!(
            "ip link add {name} type bridge; ip addr add 10.78.{net}.1/24 dev {name}; ip link set {name} up\n"
        );
        for n in 0..SWITCHES.len() {
            script += &format!(
                "ip netns add {name}-{n}; ip -n {name}-{n} link set lo up
                 ip link add {name}v{n} type veth peer name eth netns {name}-{n}
                 ip link set {name}v{n} master {name} up
                 ip -n {name}-{n} addr add 10.78.{net}.{}/24 dev eth; ip -n {name}-{n} link set eth up
                 ip netns exec {name}-{n} nft 'add table t
                    add chain t in {{ type filter hook input priority 0; }}
                    add chain t out {{ type filter hook output priority 0; }}'\n",
                11 + n
            );
        }
        shell(&script);
        let database = DatabaseServer::start_at(Kind::Postgres, Ipv4Addr::new(10, 78, net, 1));
        let url = database.new_database();
        let files = tempfile::tempdir().expect("a directory");
        fs::write(files.path().join("password"), PASSWORD).expect("writable");
        Self { name, net, files, database, url }
    }

    /// Where everybody is but the switches.
    pub(crate) fn here(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 78, self.net, 1)
    }

    /// Where a switch is.
    pub(crate) fn switch(&self, n: usize) -> SocketAddr {
        let n = u8::try_from(11 + n).expect("there are few");
        (Ipv4Addr::new(10, 78, self.net, n), oneport::DEFAULT_PORT).into()
    }

    /// What a statement finds in the database: of each row the first column, and the second.
    pub(crate) fn rows(&self, sql: &str) -> BTreeMap<String, String> {
        let text = self.database.run(&self.url, sql);
        let rows = text.lines().filter_map(|row| row.split_once('|'));
        rows.map(|(first, second)| (first.into(), second.into())).collect()
    }

    fn configuration(&self, n: usize) -> String {
        let (name, address, here) = (SWITCHES[n], self.switch(n).ip(), self.here());
        let mut text = format!(
            "[overload]\nenabled = false\n[server]\nmax_calls_per_address = 10000\nmax_challenges_per_user = 2000\n\
             [store]\nurl = \"{}\"\nsecret_file = \"{}\"\n\
             [cluster]\nname = \"{name}\"\naddress = \"{address}\"\nsecret = \"sturdy bridge\"\n\
             [peers.box]\naddress = \"{here}\"\nqualify = false\n\
             [peers.load]\nsecret = \"heavy\"\nqualify = false\n\
             [[limits]]\nname = \"box\"\npeers = [\"box\"]\nmax_calls = {PLACES}\n\
             [[routes]]\nnumber = \"600\"\nto = [\"builtin:echo\"]\n\
             [[routes]]\nnumber = \"short\"\nto = [\"builtin:echo\"]\nmax_duration_seconds = 1\n",
            self.url,
            self.files.path().join("password").display()
        );
        let standing = (0..SWITCHES.len()).map(|n| format!("at{n}"));
        for name in standing.chain((0..PHONES).map(|n| format!("phone{n}"))) {
            text += &format!(
                "[peers.{name}]\nsecret = \"here\"\nqualify = false\nmax_refresh = 3600\n"
            );
        }
        text
    }

    /// Starts a switch; its log is behind what an earlier run of it has said.
    pub(crate) fn start(&self, n: usize) -> Running {
        let directory = self.files.path().join(SWITCHES[n]);
        fs::create_dir_all(&directory).expect("writable");
        fs::write(directory.join("oneport.toml"), self.configuration(n)).expect("writable");
        let log = File::options().create(true).append(true).open(directory.join("log"));
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("{}-{n}", self.name)]);
        command.args([env!("CARGO_BIN_EXE_oneport"), "serve", "--no-api", "--config"]);
        command.arg(directory.join("oneport.toml")).env("STATE_DIRECTORY", &directory);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.expect("writable"));
        Running(command.spawn().expect("ip runs"))
    }

    /// What a switch gets, or sends, in the words of nftables, is dropped from now on.
    pub(crate) fn cut(&self, n: usize, chain: &str, what: &str) {
        shell(&format!("ip netns exec {}-{n} nft 'add rule t {chain} {what} drop'", self.name));
    }

    /// Its links are whole again.
    pub(crate) fn mend(&self, n: usize) {
        shell(&format!("ip netns exec {}-{n} nft flush table t", self.name));
    }

    /// What the switches said last.
    pub(crate) fn print_logs(&self) {
        for name in SWITCHES {
            let log = fs::read_to_string(self.files.path().join(name).join("log"));
            let log = log.unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines.len().saturating_sub(40);
            eprintln!("the log of {name} ends:\n{}", lines[last..].join("\n"));
        }
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        let name = &self.name;
        for n in 0..SWITCHES.len() {
            let _ = Command::new("ip").args(["netns", "del", &format!("{name}-{n}")]).status();
        }
        let _ = Command::new("ip").args(["link", "del", name]).status();
    }
}
