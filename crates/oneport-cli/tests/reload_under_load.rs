//! Reloading a switch that has 500 calls costs no frame of media.

mod serving;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use assert_cmd::cargo::cargo_bin;
use oneport::{
    Application, CallEnd, CallId, CauseCode, Driver, DriverConfig, Format, NewCall, Secret,
};
use oneport_proto::{Endpoint, Event, Instant, Media};
use oneport_testkit::peers::free_port;
use serving::{PATIENCE, Serving};

const CALLS: usize = 500;
const RELOADS: usize = 20;

/// Frames of a call's voice that are sent in the course of the test: one of 20 ms in each `PACE`.
const FRAMES: u32 = 60;
const PACE: Duration = Duration::from_millis(200);

/// Calls that are being set up at the same time: the switch awaits 64 proofs of one name at most.
const AT_ONCE: usize = 40;

/// Five hundred callers, each of whom sends marked frames to an echo and counts what comes back.
struct Crowd {
    to: SocketAddr,
    left: usize,
    calls: HashMap<CallId, Caller>,
    /// Those that have sent all: they wait for a while for what is still on its way.
    done: usize,
    ends: Vec<CallEnd>,
    /// Which marks came back, over all calls.
    echoed: u64,
    twice: u64,
    foreign: u64,
    report: mpsc::Sender<Report>,
}

struct Caller {
    number: u32,
    answered: bool,
    sent: u32,
    next: Instant,
    /// Bit n: mark n came back.
    came: u64,
}

enum Report {
    /// All are up.
    Up,
    /// One has sent its last frame.
    Sent,
}

/// What a frame says: whose it is, and which. It is no audio, and an echo does not mind.
fn mark(caller: u32, frame: u32) -> [u8; 160] {
    let mut payload = [0xFF; 160];
    payload[..4].copy_from_slice(&caller.to_be_bytes());
    payload[4..8].copy_from_slice(&frame.to_be_bytes());
    payload
}

impl Crowd {
    fn place(&mut self, endpoint: &mut Endpoint, now: Instant) {
        let being_set_up = self.calls.values().filter(|caller| !caller.answered).count();
        for _ in being_set_up..AT_ONCE {
            if self.left == 0 {
                return;
            }
            self.left -= 1;
            let mut call = NewCall::to("echo");
            call.username = Some("ann".into());
            call.secret = Some(Secret::from("a"));
            call.formats = vec![Format::ULAW];
            let id = endpoint.place_call(now, self.to, call).expect("room for it");
            let number = self.calls.len() as u32;
            // They do not all speak at the same moment.
            let next = now + PACE * (number % 20) / 20;
            let caller = Caller { number, answered: false, sent: 0, next, came: 0 };
            self.calls.insert(id, caller);
        }
    }

    fn all_are_up(&self) -> bool {
        self.left == 0 && self.calls.values().all(|caller| caller.answered)
    }
}

impl Application for Crowd {
    fn start(&mut self, endpoint: &mut Endpoint, now: Instant) {
        self.place(endpoint, now);
    }

    fn handle_event(&mut self, endpoint: &mut Endpoint, now: Instant, event: Event) {
        match event {
            Event::CallAnswered { call } => {
                if let Some(caller) = self.calls.get_mut(&call) {
                    caller.answered = true;
                }
                self.place(endpoint, now);
                if self.all_are_up() {
                    for caller in self.calls.values_mut() {
                        caller.next = now + PACE * (caller.number % 20) / 20;
                    }
                    let _ = self.report.send(Report::Up);
                }
            }
            Event::CallEnded { end, .. } => self.ends.push(end),
            _ => {}
        }
    }

    fn handle_media(&mut self, _: Instant, call: CallId, media: Media<'_>) {
        let Some(caller) = self.calls.get_mut(&call) else { return };
        let field = |at: usize| {
            let bytes = media.payload.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map(u32::from_be_bytes)
        };
        match (field(0), field(4)) {
            (Some(number), Some(frame)) if number == caller.number && frame < FRAMES => {
                let bit = 1 << frame;
                match caller.came & bit {
                    0 => self.echoed += 1,
                    _ => self.twice += 1,
                }
                caller.came |= bit;
            }
            _ => self.foreign += 1,
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let speaks = self.all_are_up();
        let speaking = self.calls.values().filter(|caller| speaks && caller.sent < FRAMES);
        speaking.map(|caller| caller.next).min()
    }

    fn handle_timeout(&mut self, endpoint: &mut Endpoint, now: Instant) {
        for (call, caller) in &mut self.calls {
            if caller.next > now || caller.sent >= FRAMES {
                continue;
            }
            let payload = mark(caller.number, caller.sent);
            if endpoint.send_voice(now, *call, Format::ULAW, &payload, 20).is_err() {
                continue;
            }
            caller.sent += 1;
            // One that is behind does not send faster: the kernel's buffer is not what is tested.
            caller.next = now + PACE;
            if caller.sent == FRAMES {
                self.done += 1;
                let _ = self.report.send(Report::Sent);
            }
        }
    }
}

/// The switch, and its configuration.
struct Site {
    serving: Serving,
    config: std::path::PathBuf,
    address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Site {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let config = directory.path().join("oneport.toml");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        write(&config, address, 0);
        let mut command = Command::new(cargo_bin("oneport"));
        command
            .args(["serve", "--api", "127.0.0.1:0"])
            .args(["--config", config.to_str().expect("text")])
            .current_dir(directory.path())
            .env("STATE_DIRECTORY", directory.path());
        let serving = Serving::start(command);
        Self { serving, config, address, _directory: directory }
    }
}

/// The configuration in its `n`th form: each time peers, routes and limits are others, but for Ann.
fn write(config: &std::path::Path, address: SocketAddr, n: usize) {
    let text = format!(
        "[overload]\nenabled = false\n[server]\nlisten = [\"{address}\"]\n[peers.ann]\nsecret = \"a\"\n\
         [peers.other{n}]\nsecret = \"b\"\n\
         [[routes]]\nnumber = \"9{n}\"\nto = [\"builtin:echo\"]\n\
         [[limits]]\nname = \"all\"\nmax_calls = {}\n",
        2 * CALLS + n
    );
    // As editors do it: whoever reads the file meanwhile reads all of one of the two.
    let new = config.with_extension("new");
    std::fs::write(&new, text).expect("writable");
    std::fs::rename(&new, config).expect("the same directory");
}

/// The number behind `word` in a line of the log, up to the next space.
fn figure(line: &str, word: &str) -> u64 {
    let (_, rest) = line.split_once(word).unwrap_or_else(|| panic!("no {word} in {line}"));
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("no number behind {word} in {line}"))
}

#[test]
fn twenty_reloads_under_five_hundred_calls_cost_no_frame() {
    let mut site = Site::start();
    let (report, reports) = mpsc::channel();
    let crowd = Crowd {
        to: site.address,
        left: CALLS,
        calls: HashMap::new(),
        done: 0,
        ends: Vec::new(),
        echoed: 0,
        twice: 0,
        foreign: 0,
        report,
    };
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    let config = DriverConfig { listen, ..DriverConfig::default() };
    let driver = Driver::start(config, crowd).expect("started");
    assert!(
        matches!(reports.recv_timeout(PATIENCE), Ok(Report::Up)),
        "they are not all up in time"
    );
    let drops_before = kernel_drops();
    // Each reload is over, and media has gone on, before the next begins.
    let reloaded = |line: &str| line.contains(" reloaded: ");
    for n in 1..=RELOADS {
        write(&site.config, site.address, n);
        site.serving.signal("-HUP");
        site.serving.is_logged("a reload", reloaded, n);
        std::thread::sleep(PACE);
        let still = format!("untouched: {CALLS} calls");
        assert!(
            site.serving
                .lines
                .iter()
                .rev()
                .find(|line| reloaded(line))
                .is_some_and(|line| line.contains(&still))
        );
    }
    let mut sent = 0;
    while sent < CALLS {
        match reports.recv_timeout(PATIENCE).expect("they send in time") {
            Report::Sent => sent += 1,
            Report::Up => {}
        }
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let sent = CALLS as u64 * u64::from(FRAMES);
    let counts = |driver: &Driver<Crowd>| {
        let ask =
            driver.with(|_, crowd, _| (crowd.echoed, crowd.twice, crowd.foreign, crowd.ends.len()));
        runtime.block_on(ask).expect("running")
    };
    // What was lost in a kernel's buffer never comes; everything else is there soon.
    let begun = std::time::Instant::now();
    while counts(&driver).0 < sent && begun.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let (echoed, twice, foreign, ended) = counts(&driver);
    assert_eq!(
        (twice, foreign, ended),
        (0, 0, 0),
        "frames that came twice, of others; calls that ended"
    );
    driver.post(|endpoint, _, now| endpoint.hangup_all(now, CauseCode::NORMAL_CLEARING));
    let summary = |line: &str| line.contains(" to echo, ulaw: ") && line.contains("; heard ");
    site.serving.is_logged("the end of each call", summary, CALLS);
    let lines = site.serving.lines.iter().filter(|line| summary(line));
    let (mut heard, mut returned) = (0, 0);
    for line in lines {
        heard += figure(line, "; heard ");
        returned += figure(line, "; sent ");
    }
    // Kernels may drop, each before its socket: between us and the switch, and on the way back.
    println!("{sent} sent, {heard} heard by the switch, {returned} returned, {echoed} came back");
    assert_eq!(returned, heard, "the switch lost frames");
    let lost_on_the_way = (sent - heard) + (returned - echoed);
    let drops = kernel_drops() - drops_before;
    assert!(lost_on_the_way <= drops, "{lost_on_the_way} lost, {drops} dropped by the kernel");
}

/// Datagrams that the kernel has dropped since it started, because a buffer was full.
fn kernel_drops() -> u64 {
    let text = std::fs::read_to_string("/proc/net/snmp").expect("Linux");
    let mut lines = text.lines().filter(|line| line.starts_with("Udp:"));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let found = names.split_whitespace().zip(values.split_whitespace());
    let errors = found.filter(|(name, _)| ["RcvbufErrors", "SndbufErrors"].contains(name));
    errors.map(|(_, value)| value.parse::<u64>().expect("a number")).sum()
}
