//! A running Asterisk 22 with a configuration of its own.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::install::{asterisk_mysql, asterisk_root};
use super::place::Place;
use super::{free_port, wait_for};

/// What it loads: IAX2, a dial plan, codecs, and the applications that tests use.
const MODULES: &str = "[modules]
autoload=no
load=res_timing_timerfd.so
load=pbx_config.so
load=chan_iax2.so
load=bridge_simple.so
load=bridge_builtin_features.so
load=res_clioriginate.so
load=res_crypto.so
load=codec_ulaw.so
load=codec_alaw.so
load=codec_gsm.so
load=codec_resample.so
load=format_pcm.so
load=format_sln.so
load=format_wav.so
load=app_dial.so
load=app_echo.so
load=app_milliwatt.so
load=app_playback.so
load=app_playtones.so
load=app_record.so
load=app_mixmonitor.so
load=app_senddtmf.so
load=app_sendtext.so
load=app_read.so
load=app_transfer.so
load=res_tonedetect.so
load=app_verbose.so
load=func_channel.so
load=func_jitterbuffer.so
load=func_logic.so
load=func_timeout.so
load=func_callerid.so
";

/// What writes its call records, where it has a `cdr.conf`.
const RECORDS: &str = "load=cdr_csv.so\nload=func_cdr.so\n";

/// What speaks SIP, where it has a `pjsip.conf`.
const PJSIP: &str = "load=res_sorcery_config.so
load=res_sorcery_memory.so
load=res_sorcery_astdb.so
load=res_statsd.so
load=res_geolocation.so
load=res_pjproject.so
load=res_pjsip.so
load=res_pjsip_session.so
load=res_pjsip_pubsub.so
load=res_pjsip_outbound_publish.so
load=res_pjsip_authenticator_digest.so
load=res_pjsip_outbound_authenticator_digest.so
load=res_pjsip_outbound_registration.so
load=res_pjsip_endpoint_identifier_ip.so
load=res_pjsip_endpoint_identifier_user.so
load=res_pjsip_registrar.so
load=res_pjsip_caller_id.so
load=res_pjsip_diversion.so
load=res_pjsip_nat.so
load=res_pjsip_rfc3326.so
load=res_pjsip_sdp_rtp.so
load=res_pjsip_dtmf_info.so
load=res_pjsip_refer.so
load=res_pjsip_logger.so
load=res_rtp_asterisk.so
load=res_format_attr_ilbc.so
load=res_srtp.so
load=chan_pjsip.so
load=bridge_native_rtp.so
load=func_pjsip_endpoint.so
";

/// What reads peers out of a database, where it has the file.
const REALTIME: [(&str, &str); 3] = [
    ("etc/res_pgsql.conf", "load=res_config_pgsql.so\n"),
    ("etc/res_config_mysql.conf", "load=res_config_mysql.so\n"),
    ("etc/res_config_sqlite3.conf", "load=res_config_sqlite3.so\n"),
];

/// A running Asterisk. Dropping it kills it.
///
/// Only so many tests have one at the same time on a machine; the others wait in
/// [`start`](Self::start). Start all of a test's in the same thread.
pub struct Asterisk {
    process: Child,
    root: PathBuf,
    /// Its directory, as it sees it.
    home: String,
    address: SocketAddr,
    namespace: Option<String>,
    _place: Arc<Place>,
}

/// How long it may take for anything on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

static INSTANCES: AtomicU32 = AtomicU32::new(0);

impl Asterisk {
    /// Starts one. `iax` goes into iax.conf behind a `[general]` section that sets address and port,
    /// and one thread for all frames, so that they stay in order, but where `iax` has a jitter buffer;
    /// `extensions` is extensions.conf.
    ///
    /// # Panics
    /// It is missing or does not start; the message says why.
    #[must_use]
    pub fn start(iax: &str, extensions: &str) -> Self {
        Self::start_with(iax, extensions, &[])
    }

    /// The same with more files: below `etc`, its configuration, or `data`, what it serves. In them
    /// `{home}` stands for its directory.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_with(iax: &str, extensions: &str, files: &[(&str, &[u8])]) -> Self {
        Self::start_anywhere(None, Ipv4Addr::LOCALHOST.into(), iax, extensions, files)
    }

    /// The same at another address of the loopback.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_at(own: IpAddr, iax: &str, extensions: &str) -> Self {
        Self::start_anywhere(None, own, iax, extensions, &[])
    }

    /// The same in a network namespace, where it listens on all addresses.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_in(namespace: Option<&str>, iax: &str, extensions: &str) -> Self {
        Self::start_anywhere(namespace, Ipv4Addr::LOCALHOST.into(), iax, extensions, &[])
    }

    /// The same with more files, as [`start_with`](Self::start_with).
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_in_with(
        namespace: &str,
        iax: &str,
        extensions: &str,
        files: &[(&str, &[u8])],
    ) -> Self {
        let own = Ipv4Addr::LOCALHOST.into();
        Self::start_anywhere(Some(namespace), own, iax, extensions, files)
    }

    fn start_anywhere(
        namespace: Option<&str>,
        own: IpAddr,
        iax: &str,
        extensions: &str,
        files: &[(&str, &[u8])],
    ) -> Self {
        let root = asterisk_root().unwrap_or_else(|missing| panic!("{missing}"));
        let place = Place::take();
        let number = INSTANCES.fetch_add(1, Ordering::Relaxed);
        let home = format!("/opt/oneport-{}-{number}", std::process::id());
        let inside = root.join(&home[1..]);
        // A process of the same number may have left one behind.
        let _ = fs::remove_dir_all(&inside);
        for directory in [
            "etc",
            "var/keys",
            "run",
            "log",
            "spool",
            "db",
            "sounds",
            "data/firmware/iax",
            "log/cdr-csv",
        ] {
            fs::create_dir_all(inside.join(directory)).expect("the peers' directory is writable");
        }
        let port = free_port();
        let address = SocketAddr::from((own, port));
        let write = |name: &str, text: &str| {
            fs::write(inside.join("etc").join(name), text).expect("writable");
        };
        let records = files.iter().any(|(name, _)| *name == "etc/cdr.conf");
        let speaks_sip = files.iter().any(|(name, _)| *name == "etc/pjsip.conf");
        let more =
            [(records, RECORDS), (speaks_sip, PJSIP)].map(|(is, more)| if is { more } else { "" });
        let has = |file: &str| files.iter().any(|(name, _)| *name == file);
        if has("etc/res_config_mysql.conf") {
            asterisk_mysql(&root).unwrap_or_else(|missing| panic!("{missing}"));
        }
        let realtime = REALTIME.map(|(file, load)| if has(file) { load } else { "" });
        write("modules.conf", &format!("{MODULES}{}{}", more.concat(), realtime.concat()));
        write("extensions.conf", extensions);
        let bind = match namespace {
            Some(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
            None => address,
        };
        let general =
            format!("[general]\nbindaddr={bind}\ndelayreject=no\njitterbuffer=no\nautokill=yes\n");
        write("iax.conf", &format!("{general}{}{iax}", threads(iax)));
        write("logger.conf", "[general]\n[logfiles]\nfull => notice,warning,error,verbose\n");
        share_data(&root, &inside.join("data"));
        for (name, content) in files {
            let own = std::str::from_utf8(content).ok().filter(|text| text.contains("{home}"));
            let own = own.map(|text| text.replace("{home}", &home));
            let content = own.as_deref().map_or(*content, str::as_bytes);
            fs::write(inside.join(name), content).expect("writable");
        }
        let data = format!("{home}/data");
        let modules = module_directory(&root);
        write(
            "asterisk.conf",
            &format!(
                "[directories]\nastetcdir => {home}/etc\n\
                 astmoddir => {modules}\n\
                 astvarlibdir => {home}/var\nastdbdir => {home}/db\nastkeydir => {home}/var\n\
                 astdatadir => {data}\nastagidir => {home}/var\nastspooldir => {home}/spool\n\
                 astrundir => {home}/run\nastlogdir => {home}/log\nastsbindir => /usr/sbin\n\
                 [options]\nverbose = 5\n"
            ),
        );
        if namespace.is_none() {
            // For each call of SIP it asks for its own name and a root server's; a name server that is not there, or is asked
            // too often, keeps it for seconds.
            let own_name = fs::read_to_string("/proc/sys/kernel/hostname").expect("Linux");
            let own_name = own_name.trim();
            write("hosts", &format!("127.0.0.1 localhost\n{own} {own_name} A.ROOT-SERVERS.NET\n"));
        }
        let process = launch(&root, &home, namespace);
        let namespace = namespace.map(Into::into);
        let asterisk = Self { process, root, home, address, namespace, _place: place };
        asterisk.wait_until_booted();
        asterisk
    }

    fn wait_until_booted(&self) {
        let console = self.root.join(&self.home[1..]).join("run/asterisk.ctl");
        wait_for("Asterisk to open its console", PATIENCE, || console.exists());
        wait_for("Asterisk to start", PATIENCE, || {
            self.cli("core waitfullybooted").contains("fully booted")
        });
        let channel = self.cli("module show like chan_iax2");
        assert!(channel.contains("Running"), "it has no IAX2:\n{channel}\n{}", self.log());
    }

    /// Starts it again after [`kill`](Self::kill), as it was configured.
    ///
    /// # Panics
    /// It does not start.
    pub fn start_again(&mut self) {
        // What is left of the one that was killed would be taken for the new one's.
        let _ = fs::remove_file(self.root.join(&self.home[1..]).join("run/asterisk.ctl"));
        self.process = launch(&self.root, &self.home, self.namespace.as_deref());
        self.wait_until_booted();
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Runs a command of its console and gives the answer.
    #[must_use]
    pub fn cli(&self, command: &str) -> String {
        let [program, arguments @ ..] = self.command();
        let output = Command::new(program)
            .args(arguments)
            .args(["-rx", command])
            .stdin(Stdio::null())
            .output()
            .expect("chroot runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The command `asterisk` of this one alone; options such as `-rx` go behind it.
    #[must_use]
    pub fn command(&self) -> [String; 5] {
        let configuration = format!("{}/etc/asterisk.conf", self.home);
        let root = self.root.display().to_string();
        ["chroot".into(), root, "/usr/sbin/asterisk".into(), "-C".into(), configuration]
    }

    /// Places a call: `channel` such as `IAX2/127.0.0.1:4569/600`, then `extension@context` when it
    /// is answered.
    pub fn originate(&self, channel: &str, extension: &str) {
        let answer = self.cli(&format!("channel originate {channel} extension {extension}"));
        assert!(!answer.contains("No such command"), "{answer}");
    }

    /// Gives it an RSA key: `name.key` is one of its own, `name.pub` a peer's.
    pub fn add_key(&self, name: &str, pem: &str) {
        let keys = self.root.join(&self.home[1..]).join("var/keys");
        let path = keys.join(name);
        fs::write(&path, pem).expect("writable");
        // It takes no private key that others can read.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("ours");
        let _ = self.cli("module reload res_crypto.so");
    }

    /// Gives it another dial plan.
    pub fn set_dialplan(&self, extensions: &str) {
        self.write_config("extensions.conf", extensions);
        let _ = self.cli("dialplan reload");
    }

    /// Writes one of its configuration files; a command such as `iax2 reload` makes it read that.
    pub fn write_config(&self, name: &str, text: &str) {
        let etc = self.root.join(&self.home[1..]).join("etc");
        fs::write(etc.join(name), text).expect("writable");
    }

    /// A path that its dial plan can name, and the same as seen from here.
    #[must_use]
    pub fn file(&self, name: &str) -> (String, PathBuf) {
        let inside = format!("{}/sounds/{name}", self.home);
        let outside = self.root.join(&inside[1..]);
        (inside, outside)
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        let path = self.root.join(&self.home[1..]).join("log/full");
        String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
    }

    /// Its call records as CSV, where `etc/cdr.conf` is among its files.
    #[must_use]
    pub fn call_records(&self) -> String {
        let path = self.root.join(&self.home[1..]).join("log/cdr-csv/Master.csv");
        fs::read_to_string(path).unwrap_or_default()
    }

    /// Waits for a line of its log to contain `text`.
    pub fn wait_for_log(&self, text: &str) {
        let start = std::time::Instant::now();
        while !self.log().contains(text) {
            assert!(start.elapsed() < PATIENCE, "no {text:?} in Asterisk's log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Kills it without a farewell.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Its version, such as `Asterisk 22.5.2`.
    #[must_use]
    pub fn version(&self) -> String {
        self.cli("core show version").split(" built").next().unwrap_or_default().into()
    }
}

/// Where its spoken prompts are, as GSM.
///
/// # Panics
/// Asterisk is missing; the message says how to get it.
#[must_use]
pub fn prompts() -> PathBuf {
    let root = asterisk_root().unwrap_or_else(|missing| panic!("{missing}"));
    root.join("usr/share/asterisk/sounds/en_US_f_Allison")
}

/// How many threads it has for frames, as lines of iax.conf in front of `iax`.
///
/// Of many, on a busy machine, one passes on a frame that another has got later, so it has one. With a jitter
/// buffer that would stand still for good now and then (22.10): what is due to be played goes to a thread
/// that is free, and where none is, the thread of all timers does it, which waits for the lock of the call; whoever
/// has that lock, for the next frame of the call or to end it, may wait for this very timer. There it has as many
/// as it wants, and the buffer puts frames in order.
fn threads(iax: &str) -> &'static str {
    match iax.contains("jitterbuffer=yes") {
        true => "",
        false => "iaxthreadcount=1\niaxmaxthreadcount=0\n",
    }
}

/// Starts the process. Mounts in a name space of its own vanish with it.
fn launch(root: &Path, home: &str, namespace: Option<&str>) -> Child {
    let script = format!(
        "mount --bind /dev '{root}/dev' && mount -t proc proc '{root}/proc' && \
         if [ -e '{root}{home}/etc/hosts' ]; then touch '{root}/etc/hosts' && \
         mount --bind '{root}{home}/etc/hosts' '{root}/etc/hosts'; fi && \
         exec chroot '{root}' /usr/sbin/asterisk -C {home}/etc/asterisk.conf -f",
        root = root.display(),
    );
    let mut command = match namespace {
        None => Command::new("unshare"),
        Some(name) => {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", name, "unshare"]);
            command
        }
    };
    command
        .args(["--mount", "--propagation", "private", "sh", "-c", &script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("unshare starts")
}

/// What all of them have in common, but firmware, by links.
fn share_data(root: &Path, data: &Path) {
    let shared = fs::read_dir(root.join("usr/share/asterisk")).expect("a whole system");
    for entry in shared.flatten().filter(|entry| entry.file_name() != "firmware") {
        let inside = Path::new("/usr/share/asterisk").join(entry.file_name());
        std::os::unix::fs::symlink(inside, data.join(entry.file_name())).expect("writable");
    }
}

/// Where its modules are, as it sees them; the way there names the architecture.
fn module_directory(root: &Path) -> String {
    let libraries = fs::read_dir(root.join("usr/lib")).expect("a whole system");
    let found = libraries.flatten().find_map(|entry| {
        let modules = entry.path().join("asterisk/modules");
        modules.is_dir().then_some(modules)
    });
    let found = found.expect("Asterisk has modules");
    format!("/{}", found.strip_prefix(root).expect("it is in there").display())
}

impl Drop for Asterisk {
    fn drop(&mut self) {
        self.kill();
        let home = self.root.join(&self.home[1..]);
        if std::thread::panicking() {
            // What it says of its start is long and always the same.
            let log = self.log();
            let start = log.find("Asterisk Ready").unwrap_or_default();
            eprintln!("Asterisk's log:\n{}", &log[start..]);
        }
        if home.starts_with(Path::new(&self.root)) {
            let _ = fs::remove_dir_all(home);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::threads;

    #[test]
    fn one_thread_keeps_frames_in_order_but_none_is_alone_with_a_jitter_buffer() {
        assert!(threads("disallow=all\njitterbuffer=no\n").contains("iaxthreadcount=1\n"));
        let forced = "jitterbuffer=yes\nforcejitterbuffer=yes\n";
        assert!(!threads(forced).contains("threadcount"));
        let of_one_peer = "[trace]\ntype=user\njitterbuffer=yes\n";
        assert!(!threads(of_one_peer).contains("threadcount"));
    }
}
