//! What is installed: a Debian package, and a program that needs no library.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{licences, peers, root, run};

/// For whom the package is built.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// For whom the program without libraries is.
const STATIC: &str = "x86_64-unknown-linux-musl";

/// Debian's release in which the package is tried.
const RELEASE: &str = "bookworm";

fn directory() -> PathBuf {
    root().join("target/package")
}

/// A tool of cargo's, got when missing, into the directory of the peers.
fn tool(name: &str, version: &str) -> Result<PathBuf, String> {
    let own = peers::directory().join(format!("{name}-{version}"));
    let program = own.join("bin").join(name);
    if !program.exists() {
        // It runs once: optimising it takes longer.
        let mut cargo = Command::new("cargo");
        cargo.args(["install", "--locked", "--debug", "--version", version, name, "--root"]);
        run(cargo.arg(&own))?;
    }
    Ok(program)
}

/// Builds the command for a platform out of the sources in a directory, so that nothing of it depends on
/// where they are.
fn build(sources: &Path, platform: &str) -> Result<PathBuf, String> {
    let sources = fs::canonicalize(sources).map_err(|error| error.to_string())?;
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cargo");
    let cargo_home = std::env::var_os("CARGO_HOME").map_or_else(home, PathBuf::from);
    let moved = [(sources.as_path(), "/oneport"), (cargo_home.as_path(), "/cargo")];
    let rust = moved.map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
    let c = moved.map(|(from, to)| format!("-ffile-prefix-map={}={to}", from.display()));
    let target = sources.join("target/package/build");
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--locked", "-p", "oneport-cli", "--target", platform]);
    cargo.arg("--manifest-path").arg(sources.join("Cargo.toml"));
    cargo.env("CARGO_TARGET_DIR", &target);
    // Of a line in a trace nobody has the source here, and each would name where it was.
    cargo.env("CARGO_PROFILE_RELEASE_DEBUG", "none").env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
    cargo.env("CARGO_ENCODED_RUSTFLAGS", rust.join("\u{1f}")).env("CFLAGS", c.join(" "));
    run(&mut cargo)?;
    Ok(target.join(platform).join("release/oneport"))
}

/// Makes the Debian package, and gives its file.
pub(crate) fn make() -> Result<PathBuf, String> {
    let program = build(&root(), PLATFORM)?;
    let failed = |error: std::io::Error| error.to_string();
    let own = directory();
    for part in ["manual", "completions"] {
        let _ = fs::remove_dir_all(own.join(part));
        fs::create_dir_all(own.join(part)).map_err(failed)?;
    }
    run(Command::new(&program).arg("manual").arg(own.join("manual")))?;
    for shell in ["bash", "zsh", "fish"] {
        let output = Command::new(&program).args(["completions", shell]).output();
        let output = output.map_err(failed)?;
        fs::write(own.join(format!("completions/oneport.{shell}")), output.stdout)
            .map_err(failed)?;
    }
    let licences = licences::report("oneport-cli", PLATFORM)?;
    fs::write(own.join("licences.txt"), licences).map_err(failed)?;
    let mut sbom = Command::new(tool("cargo-sbom", "0.10.0")?);
    sbom.args(["--cargo-package", "oneport-cli", "--output-format", "cyclone_dx_json_1_6"]);
    let parts = sbom.current_dir(root()).output().map_err(failed)?;
    if !parts.status.success() {
        return Err(format!("cargo-sbom: {}", String::from_utf8_lossy(&parts.stderr)));
    }
    fs::write(own.join("oneport.cdx.json"), parts.stdout).map_err(failed)?;
    let package = own.join("oneport.deb");
    let mut deb = Command::new(tool("cargo-deb", "3.8.0")?);
    deb.args(["--no-build", "--package", "oneport-cli", "--target", PLATFORM, "--output"]);
    deb.arg(&package).env("CARGO_TARGET_DIR", own.join("build"));
    run(&mut deb)?;
    println!("the package is in target/package/oneport.deb");
    Ok(package)
}

/// Makes the program that needs no library, and gives its file.
pub(crate) fn make_static() -> Result<PathBuf, String> {
    peers::program_of("musl-gcc", "musl-tools").map_err(|missing| missing.to_string())?;
    run(Command::new("rustup").args(["target", "add", STATIC]))?;
    let built = build(&root(), STATIC)?;
    let program = directory().join("oneport-static");
    fs::copy(built, &program).map_err(|error| error.to_string())?;
    println!("the program is target/package/oneport-static");
    Ok(program)
}

/// Makes both, tries them where nothing else is, and builds once more elsewhere.
pub(crate) fn check() -> Result<(), String> {
    try_installed(&make()?)?;
    try_image(&make_static()?)?;
    reproduce()
}

/// Runs a script as root in a network and with mounts of its own, five minutes at most.
fn apart(script: &str) -> Result<(), String> {
    let mut unshare = Command::new("unshare");
    unshare.args([
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--propagation",
        "private",
    ]);
    unshare.args(["timeout", "300", "sh", "-e", "-u", "-c"]).arg(script).stdin(Stdio::null());
    run(&mut unshare)
}

/// Installs the package in a fresh Debian, runs the switch as its user there, calls it, and takes it away.
fn try_installed(package: &Path) -> Result<(), String> {
    let system = directory().join("debian");
    peers::debootstrap(RELEASE, "systemd,procps", &system)
        .map_err(|missing| missing.to_string())?;
    fs::copy(package, system.join("tmp/oneport.deb")).map_err(|error| error.to_string())?;
    let inside = "
        dpkg -i /tmp/oneport.deb
        systemd-analyze verify --man=no /usr/lib/systemd/system/oneport.service
        oneport check --config /etc/oneport/oneport.toml
        test \"$(stat -c '%U %G %a' /etc/oneport/oneport.toml)\" = 'root oneport 640'
        test -s /usr/share/man/man1/oneport-call.1.gz
        test -s /usr/share/bash-completion/completions/oneport
        # As the unit has it made.
        install -d -m 750 -o oneport -g oneport /var/lib/oneport
        as='setpriv --reuid=oneport --regid=oneport --init-groups env STATE_DIRECTORY=/var/lib/oneport'
        $as oneport serve --config /etc/oneport/oneport.toml &
        until $as oneport status --config /etc/oneport/oneport.toml; do sleep 1; done
        oneport call 127.0.0.1/echo --duration 1s
        kill $!
        wait $! || true
        test -s /var/lib/oneport/oneport.db
        dpkg --purge oneport
        test ! -e /var/lib/oneport && test ! -e /usr/bin/oneport
    ";
    let script = format!(
        "ip link set lo up\nmount -t proc proc '{root}/proc'\nmount --bind /dev '{root}/dev'\n\
         exec chroot '{root}' sh -e -u -c \"$(cat '{root}/tmp/inside')\"",
        root = system.display()
    );
    fs::write(system.join("tmp/inside"), inside).map_err(|error| error.to_string())?;
    apart(&script)?;
    println!("the package was installed, ran and was taken away in a fresh Debian {RELEASE}");
    let _ = fs::remove_dir_all(system);
    Ok(())
}

/// What the image is called while it is tried.
const IMAGE: &str = "oneport-tried";

/// Makes the image that holds the static program, by the last stage of the Containerfile, and runs the switch in it
/// as its user. No image is fetched: the first stage, which builds what we have built, is left out.
fn try_image(program: &Path) -> Result<(), String> {
    peers::program_of("podman", "podman").map_err(|missing| missing.to_string())?;
    let failed = |error: std::io::Error| error.to_string();
    let own = directory().join("image");
    let _ = fs::remove_dir_all(&own);
    let content = own.join("build/oneport/image");
    for part in ["etc/oneport", "usr/bin", "var/lib/oneport"] {
        fs::create_dir_all(content.join(part)).map_err(failed)?;
    }
    fs::copy(program, content.join("usr/bin/oneport")).map_err(failed)?;
    let example = root().join("contrib/oneport.toml");
    fs::copy(example, content.join("etc/oneport/oneport.toml")).map_err(failed)?;
    let state = content.join("var/lib/oneport");
    std::os::unix::fs::chown(state, Some(65_532), Some(65_532)).map_err(failed)?;
    let stages = fs::read_to_string(root().join("contrib/Containerfile")).map_err(failed)?;
    let last = stages.rfind("FROM ").map_or("", |at| &stages[at..]);
    fs::write(own.join("Containerfile"), last).map_err(failed)?;
    let podman = || {
        let mut podman = Command::new("podman");
        podman.args(["--storage-driver", "vfs", "--root"]).arg(own.join("images"));
        podman
    };
    let mut build = podman();
    build.args(["build", "--format", "docker", "--isolation", "chroot", "--tag", IMAGE]);
    build.arg("--build-context").arg(format!("build={}", own.join("build").display()));
    run(build.arg("--file").arg(own.join("Containerfile")).arg(&own))?;
    let asked = |mut podman: Command| {
        let output = podman.output().map_err(failed)?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    };
    let told = |of: &str| {
        let mut inspect = podman();
        inspect.args(["image", "inspect", "--format", of, IMAGE]);
        asked(inspect)
    };
    let mut mount = podman();
    mount.args(["image", "mount", IMAGE]);
    let inside = asked(mount)?;
    let user = told("{{.Config.User}}")?;
    let directory = told("{{.Config.WorkingDir}}")?;
    let starts = told(r#"{{join .Config.Entrypoint " "}} {{join .Config.Cmd " "}}"#)?;
    let well = told(r#"{{slice (join .Config.Healthcheck.Test " ") 4}}"#)?;
    let settings = told(r#"{{join .Config.Env " "}}"#)?;
    let script = format!(
        "ip link set lo up
         export {settings}
         test \"$(stat -c %u '{inside}{directory}')\" != 0
         as='chroot --userspec={user} {inside}'
         $as {starts} &
         until $as {well}; do sleep 1; done
         $as /usr/bin/oneport call 127.0.0.1/echo --duration 1s
         kill $!
         wait $! || true
         test -s '{inside}{directory}/oneport.db'"
    );
    let tried = apart(&script);
    let mut unmount = podman();
    unmount.args(["image", "unmount", "--all"]);
    let _ = asked(unmount);
    tried?;
    println!("the static program ran in an image with nothing else beside it");
    let _ = fs::remove_dir_all(own);
    Ok(())
}

/// Builds the same sources in another directory: not a byte may differ.
fn reproduce() -> Result<(), String> {
    let first = build(&root(), PLATFORM)?;
    let elsewhere = std::env::temp_dir().join(format!("oneport-elsewhere-{}", std::process::id()));
    fs::create_dir_all(&elsewhere).map_err(|error| error.to_string())?;
    let copy = format!(
        "git ls-files -z --cached --others --exclude-standard | \
         tar --create --null --files-from - | tar --extract --directory '{}'",
        elsewhere.display()
    );
    run(Command::new("sh").args(["-e", "-c", &copy]))?;
    let second = build(&elsewhere, PLATFORM);
    let same = second.and_then(|second| {
        let read = |file: &Path| fs::read(file).map_err(|error| error.to_string());
        Ok(read(&first)? == read(&second)?)
    });
    let _ = fs::remove_dir_all(&elsewhere);
    match same? {
        true => {
            println!("built in another directory, the program is the same to the byte");
            Ok(())
        }
        false => Err("built in another directory, the program is another one".into()),
    }
}
