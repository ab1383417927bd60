//! `oneport serve` as a service: what it tells systemd, and draining.

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::cargo::cargo_bin;
use oneport::{CallError, CauseCode, NewCall, Phone, PhoneConfig};
use oneport_testkit::peers::free_port;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Systemd's end of the socket, and the service.
struct Service {
    socket: UnixDatagram,
    process: Child,
    address: std::net::SocketAddr,
    /// What was told, and not looked at yet.
    told: Vec<String>,
    _directory: tempfile::TempDir,
}

impl Service {
    fn start(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a socket");
        let address = (std::net::Ipv4Addr::LOCALHOST, free_port()).into();
        let config = directory.path().join("oneport.toml");
        let text = format!("[overload]\nenabled = false\n[server]\nlisten = [\"{address}\"]\n");
        std::fs::write(&config, text).expect("writable");
        let process = Command::new(cargo_bin("oneport"))
            .args(["serve", "--api", "127.0.0.1:0"])
            .args(["--config", config.to_str().expect("text")])
            .args(arguments)
            .env("STATE_DIRECTORY", directory.path())
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", "200000")
            .env_remove("WATCHDOG_PID")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        Self { socket, process, address, told: Vec::new(), _directory: directory }
    }

    /// Waits until `line` is told.
    fn is_told(&mut self, line: &str) {
        let begun = Instant::now();
        let mut buffer = [0; 4096];
        loop {
            if let Some(place) = self.told.iter().position(|told| told == line) {
                self.told.drain(..=place);
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{line} was not told, but {:?}", self.told);
            if let Ok(len) = self.socket.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..len]);
                self.told.extend(text.lines().map(ToString::to_string));
            }
        }
    }

    fn signal(&self, name: &str) {
        let process = self.process.id().to_string();
        let sent = Command::new("kill").args([name, &process]).status().expect("it runs");
        assert!(sent.success());
    }

    fn ends_well(&mut self) {
        let begun = Instant::now();
        loop {
            match self.process.try_wait().expect("ours") {
                Some(status) => break assert!(status.success(), "{status}"),
                None => assert!(begun.elapsed() < PATIENCE, "it does not end"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn systemd_is_told_of_each_step_and_that_it_lives() {
    let mut service = Service::start(&[]);
    service.is_told("READY=1");
    for _ in 0..3 {
        service.is_told("WATCHDOG=1");
    }
    service.signal("-HUP");
    service.is_told("RELOADING=1");
    let stamped = service.told.iter().any(|told| told.starts_with("MONOTONIC_USEC="));
    assert!(stamped, "{:?}", service.told);
    service.is_told("READY=1");
    service.is_told("WATCHDOG=1");
    service.signal("-TERM");
    service.is_told("STOPPING=1");
    service.ends_well();
}

/// By default each of these signals ends a process at once.
#[test]
fn a_service_listens_to_each_signal_from_the_moment_at_which_it_is_ready() {
    for _ in 0..5 {
        let mut service = Service::start(&[]);
        service.is_told("READY=1");
        service.signal("-USR1");
        service.signal("-HUP");
        service.signal("-TERM");
        service.is_told("STOPPING=1");
        service.ends_well();
    }
}

fn phone() -> Phone {
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    Phone::bind(PhoneConfig { listen, ..PhoneConfig::default() }).expect("bound")
}

#[tokio::test]
async fn a_drained_service_ends_with_its_last_call_and_a_second_signal_takes_calls_again() {
    let mut service = Service::start(&["--exit-when-drained"]);
    service.is_told("READY=1");
    let phone = phone();
    let mut call = phone.call(service.address, NewCall::to("echo")).await.expect("placed");
    call.answered().await.expect("answered");
    service.signal("-USR1");
    service.is_told("STATUS=draining, 1 legs of calls are up");
    let mut refused = phone.call(service.address, NewCall::to("echo")).await.expect("placed");
    match refused.answered().await {
        Err(CallError::Ended(end)) => {
            assert_eq!(end.cause, CauseCode::SWITCH_CONGESTION);
            assert_eq!(end.text.as_deref(), Some("draining"));
        }
        other => panic!("{other:?}"),
    }
    service.signal("-USR1");
    service.is_told("STATUS=serving");
    let mut second = phone.call(service.address, NewCall::to("echo")).await.expect("placed");
    second.answered().await.expect("calls are taken again");
    service.signal("-USR1");
    service.is_told("STATUS=draining, 2 legs of calls are up");
    second.hangup(CauseCode::NORMAL_CLEARING);
    service.is_told("STATUS=draining, 1 legs of calls are up");
    assert!(call.stats().await.is_some(), "a call that is up goes on");
    call.hangup(CauseCode::NORMAL_CLEARING);
    service.is_told("STOPPING=1");
    service.ends_well();
}

#[test]
fn systemd_is_told_which_process_serves_after_an_upgrade() {
    let mut service = Service::start(&[]);
    service.is_told("READY=1");
    service.signal("-USR2");
    let begun = Instant::now();
    let mut buffer = [0; 4096];
    let main = loop {
        let named = service.told.iter().find_map(|told| told.strip_prefix("MAINPID="));
        if let Some(pid) = named {
            break pid.to_string();
        }
        assert!(begun.elapsed() < PATIENCE, "it was not told, but {:?}", service.told);
        if let Ok(len) = service.socket.recv(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..len]);
            service.told.extend(text.lines().map(ToString::to_string));
        }
    };
    assert_ne!(main, service.process.id().to_string());
    // It has no calls, and the new one gives signs of life though it is not the process systemd started.
    service.ends_well();
    service.told.clear();
    service.is_told("WATCHDOG=1");
    assert!(Command::new("kill").args(["-TERM", &main]).status().expect("it runs").success());
    service.is_told("STOPPING=1");
}

#[tokio::test]
async fn a_switch_serves_the_socket_that_systemd_has_bound() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("bound");
    let address = socket.local_addr().expect("bound");
    let directory = tempfile::tempdir().expect("a directory");
    // As systemd does it: descriptors from 3 on, and the number of the process.
    let script = "exec 3<&0; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" serve --no-api";
    let mut process = Command::new("sh")
        .args(["-c", script])
        .arg(cargo_bin("oneport"))
        .current_dir(directory.path())
        .env("STATE_DIRECTORY", directory.path())
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(socket)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    // What is sent before it reads waits at the socket.
    let phone = phone();
    let mut call = phone.call(address, NewCall::to("echo")).await.expect("placed");
    let answered = call.answered().await;
    let _ = process.kill();
    let _ = process.wait();
    answered.expect("it serves");
}
