//! Database servers: PostgreSQL and MariaDB, each with its files in a directory of its own.

use std::fs;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::install::{is_root, mariadb, postgres};
use super::{own_loopback, wait_for};

/// Neither server runs as root; where tests do, it runs as `nobody`.
const NOBODY: u32 = 65_534;

/// Who may do everything, and how they prove it: with what means something in a URL, and in SQL.
pub const USER: &str = "oneport";
/// See [`USER`].
pub const PASSWORD: &str = "p/a:s%s@w?rd";

/// How long a server may take to start, or to look over what it wrote before it was killed.
const STARTING: Duration = Duration::from_secs(120);

/// A kind of server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// PostgreSQL.
    Postgres,
    /// MariaDB.
    MariaDb,
}

/// A running database server. Dropping it kills it.
#[derive(Debug)]
pub struct DatabaseServer {
    kind: Kind,
    directory: tempfile::TempDir,
    address: Ipv4Addr,
    process: Mutex<Option<Child>>,
    databases: AtomicU32,
}

/// The servers that tests of this process share, as long as one of them needs it.
static SHARED: Mutex<[Weak<DatabaseServer>; 2]> = Mutex::new([Weak::new(), Weak::new()]);

impl DatabaseServer {
    /// A server that all tests of this process share.
    ///
    /// # Panics
    /// It is missing or does not start; the message says why.
    #[must_use]
    pub fn shared(kind: Kind) -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let [postgres, mariadb] = &mut *shared;
        let place = match kind {
            Kind::Postgres => postgres,
            Kind::MariaDb => mariadb,
        };
        place.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::start(kind));
            *place = Arc::downgrade(&server);
            server
        })
    }

    /// Starts a server of a test's own.
    ///
    /// # Panics
    /// It is missing or does not start; the message says why.
    #[must_use]
    pub fn start(kind: Kind) -> Self {
        // The port of such a server is free at an address that nobody else has.
        Self::start_at(kind, own_loopback())
    }

    /// Starts one at an address of this machine, for others of its network (/24) as well.
    ///
    /// # Panics
    /// As for [`start`](Self::start).
    #[must_use]
    pub fn start_at(kind: Kind, address: Ipv4Addr) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        if is_root() {
            chown(directory.path(), Some(NOBODY), Some(NOBODY)).expect("root may");
        }
        let server = Self {
            kind,
            directory,
            address,
            process: Mutex::new(None),
            databases: AtomicU32::new(0),
        };
        server.initialise();
        server.start_again();
        if kind == Kind::MariaDb {
            let sql = format!(
                "CREATE USER {USER} IDENTIFIED BY '{PASSWORD}'; GRANT ALL ON *.* TO {USER}"
            );
            assert!(server.try_sql(&sql), "{}", server.log());
        }
        server
    }

    fn initialise(&self) {
        let data = self.data();
        let data = data.to_str().expect("UTF-8");
        match self.kind {
            Kind::Postgres => {
                let secret = self.directory.path().join("password");
                fs::write(&secret, PASSWORD).expect("writable");
                let pwfile = format!("--pwfile={}", secret.display());
                let more = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"];
                let first = ["-D", data, "-U", USER, &pwfile];
                self.command("initdb", &[&first[..], &more].concat());
                let network = format!("host all all {}/24 scram-sha-256\n", self.address);
                let rules = fs::File::options().append(true).open(self.data().join("pg_hba.conf"));
                rules.expect("initdb makes it").write_all(network.as_bytes()).expect("writable");
            }
            Kind::MariaDb => {
                let datadir = format!("--datadir={data}");
                let method = "--auth-root-authentication-method=normal";
                let arguments = ["--no-defaults", &datadir, method, "--skip-test-db"];
                self.command("mariadb-install-db", &arguments);
            }
        }
    }

    /// Starts it again where it has been killed, with all that it has written.
    ///
    /// # Panics
    /// It does not start.
    pub fn start_again(&self) {
        let data = self.data();
        let here = self.directory.path().display();
        let data = data.display();
        let address = self.address;
        let (program, arguments) = match self.kind {
            Kind::Postgres => (
                "postgres",
                vec![
                    format!("-D{data}"),
                    format!("-clisten_addresses={address}"),
                    format!("-cunix_socket_directories={here}"),
                ],
            ),
            Kind::MariaDb => (
                "mariadbd",
                vec![
                    "--no-defaults".into(),
                    format!("--datadir={data}"),
                    format!("--bind-address={address}"),
                    format!("--socket={here}/socket"),
                    format!("--pid-file={here}/pid"),
                    "--skip-name-resolve".into(),
                ],
            ),
        };
        let log = fs::File::options().create(true).append(true).open(self.log_file());
        let log = log.expect("writable");
        let process = self
            .program(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("one more handle"))
            .stderr(log)
            .spawn()
            .expect("it starts");
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(process);
        wait_for("the database server to answer", STARTING, || self.try_sql("SELECT 1"));
    }

    /// Ends all its processes at once, as a crash would.
    ///
    /// # Panics
    /// The system does not let it.
    pub fn kill(&self) {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut process) = process.take() else { return };
        signal("KILL", &process);
        process.wait().expect("it was started here");
    }

    /// Ends one of the processes of PostgreSQL that its first one has started, the one with this number if they are
    /// counted round and round, and waits until the others have got over it. All sessions end.
    ///
    /// # Panics
    /// The system does not let it, or the server does not get over it.
    pub fn kill_one(&self, number: usize) {
        {
            let process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
            let all = process.iter().flat_map(children).collect::<Vec<_>>();
            let one = &all[number % all.len()];
            send("KILL", one);
        }
        wait_for("the database server to answer", STARTING, || self.try_sql("SELECT 1"));
    }

    /// Stops all its processes where they are: connections stay, and nobody answers.
    pub fn freeze(&self) {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        process.iter().for_each(|process| signal("STOP", process));
    }

    /// Lets them go on.
    pub fn thaw(&self) {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        process.iter().for_each(|process| signal("CONT", process));
    }

    /// Makes an empty database, and gives its URL without the password.
    ///
    /// # Panics
    /// The server does not make it.
    #[must_use]
    pub fn new_database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("oneport_{number}");
        assert!(self.try_sql(&format!("CREATE DATABASE {name}")), "{}", self.log());
        let scheme = match self.kind {
            Kind::Postgres => "postgres",
            Kind::MariaDb => "mysql",
        };
        format!("{scheme}://{USER}@{}/{name}", self.address)
    }

    /// What kind of server it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Where it listens, at the usual port of its kind.
    #[must_use]
    pub const fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Carries out statements in a database of [`new_database`](Self::new_database), and gives the rows that they
    /// find: one a line, with `|` between columns.
    ///
    /// # Panics
    /// The server does not do that.
    #[must_use]
    pub fn run(&self, url: &str, sql: &str) -> String {
        let host = self.address.to_string();
        let database = url.rsplit('/').next().unwrap_or_default();
        let mut command = match self.kind {
            Kind::Postgres => {
                let mut psql = self.program("psql");
                psql.args([
                    "-h",
                    &host,
                    "-U",
                    USER,
                    "-d",
                    database,
                    "-qAt",
                    "-v",
                    "ON_ERROR_STOP=1",
                ]);
                psql.args(["-c", sql]).env("PGPASSWORD", PASSWORD);
                psql
            }
            Kind::MariaDb => {
                let mut mariadb = self.program("mariadb");
                mariadb.args(["--no-defaults", "--host", &host, "--user", USER, "--batch"]);
                mariadb.args(["--skip-column-names", database, "--execute", sql]);
                mariadb.env("MYSQL_PWD", PASSWORD);
                mariadb
            }
        };
        let output = command.stdin(Stdio::null()).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{sql}: {said}");
        String::from_utf8_lossy(&output.stdout).replace('\t', "|").trim_end().into()
    }

    /// What the server says of itself.
    #[must_use]
    pub fn log(&self) -> String {
        let text = fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Whether the server did that.
    fn try_sql(&self, sql: &str) -> bool {
        let host = self.address.to_string();
        let mut command = match self.kind {
            Kind::Postgres => {
                let mut psql = self.program("psql");
                psql.args(["-h", &host, "-U", USER, "-d", "postgres", "-c", sql]);
                psql.env("PGPASSWORD", PASSWORD);
                psql
            }
            // The user over the network is made later.
            Kind::MariaDb => {
                let mut mariadb = self.program("mariadb");
                let socket = format!("--socket={}/socket", self.directory.path().display());
                mariadb.args(["--no-defaults", &socket, "--user=root", "--execute", sql]);
                mariadb
            }
        };
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        quiet.status().is_ok_and(|status| status.success())
    }

    fn command(&self, program: &str, arguments: &[&str]) {
        let output = self.program(program).args(arguments).stdin(Stdio::null()).output();
        let output = output.expect("it starts");
        assert!(
            output.status.success(),
            "{program}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// One of the server's programs, as the user that it runs as.
    fn program(&self, name: &str) -> Command {
        let path = match self.kind {
            Kind::Postgres => postgres().map(|directory| directory.join(name)),
            Kind::MariaDb => mariadb().map(|()| PathBuf::from(name)),
        };
        let mut command = Command::new(path.unwrap_or_else(|missing| panic!("{missing}")));
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        // Servers and what installs them are in directories that only root may have in its path.
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
        // A MariaDB that starts deletes what it finds of temporary tables where it keeps its own: in a directory for
        // all, those of another that is being installed.
        command.env("TMPDIR", self.directory.path());
        command.current_dir(self.directory.path());
        command
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}

/// The processes that one has started.
fn children(process: &Child) -> Vec<String> {
    let children = format!("/proc/{0}/task/{0}/children", process.id());
    let children = fs::read_to_string(children).unwrap_or_default();
    children.split_whitespace().map(Into::into).collect()
}

/// Sends a signal to a process and its children.
fn signal(name: &str, process: &Child) {
    let all = children(process).into_iter().chain([process.id().to_string()]);
    // One of them may have ended by itself.
    send(name, &all.collect::<Vec<_>>().join(" "));
}

/// Sends a signal to processes of these numbers.
fn send(name: &str, processes: &str) {
    let kill = format!("kill -{name} {processes} 2>/dev/null");
    Command::new("sh").args(["-c", &kill]).status().expect("a shell");
}

impl Drop for DatabaseServer {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("the database server's log:\n{}", self.log());
        }
    }
}
