//! `oneport probe` over bad links whose faults are known, against a switch, an echo and what answers half.

use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use assert_cmd::cargo::cargo_bin;
use oneport_testkit::impairment::Impairment;
use oneport_testkit::peers::{free_port, is_bound, wait_for};
use oneport_testkit::relay::Relay;
use serde_json::Value;

/// A switch that takes calls of guests, as many as a probe wants.
struct Switch {
    process: Child,
    address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Switch {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let config = directory.path().join("oneport.toml");
        let text = format!(
            "[overload]\nenabled = false\n[server]\nlisten = [\"{address}\"]\n[store]\npath = \"oneport.db\"\n\
             [guests]\nmax_calls = 50\nmax_calls_per_address = 50\n\
             [peers.site]\nsecret = \"right\"\ncodecs = [\"g726\"]\n"
        );
        std::fs::write(&config, text).expect("writable");
        let process = Command::new(cargo_bin("oneport"))
            .args(["serve", "--no-api", "--config"])
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        wait_for("the switch to listen", Duration::from_secs(60), || is_bound(address.port()));
        Self { process, address, _directory: directory }
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Passes datagrams both ways until it is dropped, as long as they please it.
struct Doorkeeper {
    address: SocketAddr,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Doorkeeper {
    /// What pleases them passes to `far`; without one POKE is answered, and nothing else.
    fn start(far: Option<SocketAddr>, passes: fn(&[u8]) -> bool) -> Self {
        let front = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let address = front.local_addr().expect("bound");
        let back = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        for socket in [&front, &back] {
            socket.set_read_timeout(Some(Duration::from_millis(2))).expect("set");
        }
        let ends = Arc::new(AtomicBool::new(false));
        let ended = ends.clone();
        let thread = thread::spawn(move || {
            let (mut buffer, mut client) = ([0; 2_048], None);
            while !ended.load(Ordering::Relaxed) {
                if let Ok((length, from)) = front.recv_from(&mut buffer) {
                    client = Some(from);
                    let Some(far) = far else {
                        // PONG to whoever polls, and to nobody else.
                        if buffer[10..12] == [6, 30] {
                            let _ = front.send_to(&pong(&buffer[..12]), from);
                        }
                        continue;
                    };
                    if passes(&buffer[..length]) {
                        let _ = back.send_to(&buffer[..length], far);
                    }
                }
                if let (Ok((length, _)), Some(client)) = (back.recv_from(&mut buffer), client)
                    && passes(&buffer[..length])
                {
                    let _ = front.send_to(&buffer[..length], client);
                }
            }
        });
        Self { address, ends, thread: Some(thread) }
    }
}

impl Drop for Doorkeeper {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The answer to a POKE: from call 1 to whoever asked.
fn pong(poke: &[u8]) -> [u8; 12] {
    let mut pong = [0x80, 1, poke[0] & 0x7F, poke[1], 0, 0, 0, 0, 0, 1, 6, 3];
    pong[4..8].copy_from_slice(&poke[4..8]);
    pong
}

fn probe(arguments: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command.arg("120").arg(cargo_bin("oneport")).arg("probe").args(arguments);
    command.env("ONEPORT_SECRET", "right").stdin(Stdio::null()).output().expect("it runs")
}

/// The report, as JSON.
fn report(target: &str, arguments: &[&str]) -> Value {
    let output = probe(&[&[target, "--json"], arguments].concat());
    let (text, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{errors}"))
}

fn names(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().expect("a list");
    findings.iter().filter_map(|finding| finding["name"].as_str()).collect()
}

fn figure(report: &Value, pointer: &str) -> f64 {
    let value = report.pointer(pointer).and_then(Value::as_f64);
    value.unwrap_or_else(|| panic!("no {pointer} in {report}"))
}

const GOOD: Impairment = Impairment::NONE;

fn delayed(millis: u64) -> Impairment {
    Impairment::delayed(Duration::from_millis(millis))
}

#[test]
fn loss_of_one_way_is_found_there_and_named() {
    let switch = Switch::start();
    for (n, name) in [(0, "loss_there"), (1, "random_loss_here")] {
        let lossy = Impairment { loss: 0.06, ..delayed(20) };
        let ways = if n == 0 { [lossy, delayed(30)] } else { [delayed(20), lossy] };
        let relay = Relay::start(switch.address, ways[0], ways[1], 7).expect("started");
        let target = format!("{}/probe", relay.address());
        let found = report(&target, &["--duration", "8s", "--calls", "1", "--no-lengths"]);
        let lost = ["/call/there/lost_percent", "/call/here/lost_percent"];
        let (bad, good) = (figure(&found, lost[n]), figure(&found, lost[1 - n]));
        assert!((2.5..=10.5).contains(&bad) && good < 1.0, "{bad} and {good}: {found}");
        assert_eq!(found["verdict"], "bad", "{found}");
        assert!(names(&found).contains(&name), "{found}");
        // Nothing is faster than the relay.
        assert!(figure(&found, "/call/round_trip_ms/p50") >= 40.0, "{found}");
        assert!(figure(&found, "/polls/rtt_min_ms") >= 40.0, "{found}");
    }
}

#[test]
fn a_delay_that_jumps_on_the_way_there_is_laid_to_that_way() {
    let switch = Switch::start();
    let uneven = Impairment { jitter: Duration::from_millis(120), in_order: false, ..GOOD };
    let relay = Relay::start(switch.address, uneven, GOOD, 3).expect("started");
    let target = format!("{}/probe", relay.address());
    let found = report(&target, &["--duration", "5s", "--calls", "1", "--no-lengths"]);
    let [there, here] =
        ["there", "here"].map(|way| figure(&found, &format!("/call/{way}/late_ms/p95")));
    assert!(there > 60.0 && there > here * 2.0, "{there} and {here}: {found}");
    assert!(figure(&found, "/call/there/reordered_percent") > 5.0, "{found}");
    assert!(names(&found).contains(&"jitter_there"), "{found}");
}

#[test]
fn a_clock_that_runs_apart_is_found_in_a_few_seconds() {
    let switch = Switch::start();
    // What comes there ever earlier and back ever later is what a slow clock there would show.
    let there = Impairment { clock_ppm: 300, ..GOOD };
    let here = Impairment { clock_ppm: -300, ..GOOD };
    let relay = Relay::start(switch.address, there, here, 1).expect("started");
    let target = format!("{}/probe", relay.address());
    let found = report(&target, &["--duration", "15s", "--calls", "1", "--no-lengths"]);
    let ppm = figure(&found, "/call/clock/ppm");
    assert!((-450.0..=-150.0).contains(&ppm), "{ppm}: {found}");
    assert!(names(&found).contains(&"clock_drift"), "{found}");
}

#[test]
fn a_narrow_line_fills_its_queue_and_as_many_calls_are_told_as_fit() {
    let switch = Switch::start();
    // Five calls of 76.8 kbit/s.
    let relay = Relay::start(switch.address, line(400_000), delayed(10), 1).expect("started");
    let target = format!("{}/probe", relay.address());
    let found = report(&target, &["--duration", "3s", "--calls", "16", "--no-lengths"]);
    let load = &found["load"];
    assert_eq!(load["is_border"], true, "{found}");
    let good = figure(&found, "/load/good_calls");
    assert!((2.0..=5.0).contains(&good), "{found}");
    let carried = figure(&found, "/load/there_kbits");
    assert!((300.0..=440.0).contains(&carried), "{carried}: {found}");
    let fits = &found["fits"][0];
    assert_eq!((&fits["codec"], &found["fits_at_least"]), (&"ulaw".into(), &false.into()));
    assert!((3..=5).contains(&fits["calls"].as_u64().expect("a count")), "{fits}");
    let named = names(&found);
    assert!(named.contains(&"bufferbloat_there") || named.contains(&"too_many_calls"), "{found}");
    // It stops there: twice as many as suffered are never tried.
    let steps = load["steps"].as_array().expect("a list");
    assert!(steps.iter().all(|step| step["calls"].as_u64() <= Some(8)), "{load}");
}

/// A line that carries so much both ways, and holds what comes too much for a while.
fn line(bits: u64) -> Impairment {
    Impairment { bandwidth: Some(bits), queue: Duration::from_millis(400), ..delayed(10) }
}

#[test]
fn a_narrow_line_carries_more_calls_in_a_trunk_as_headers_are_saved() {
    let switch = Switch::start();
    // Ten calls of G.726 as mini frames, of 44.8 kbit/s each; thirteen in a trunk, of 34.4 and 14.4 for all.
    let relay = Relay::start(switch.address, line(470_000), line(470_000), 1).expect("started");
    let target = format!("iax:site@{}/probe", relay.address());
    let arguments = ["--codec", "g726", "--duration", "3s", "--calls", "12", "--no-lengths"];
    // A machine that has no time for it finds fewer calls; never more than there are bits for.
    let fits = (0..3).any(|_| {
        let found = report(&target, &arguments);
        let trunk = &found["trunk_load"];
        let both = (&trunk["trunk_there"], &trunk["trunk_here"]);
        assert_eq!(both, (&true.into(), &true.into()), "{found}");
        let [alone, bundled] =
            ["/load/good_calls", "/trunk_load/good_calls"].map(|load| figure(&found, load));
        assert!(alone < 12.0, "{found}");
        let is_more = bundled > alone;
        assert_eq!(names(&found).contains(&"trunk_fits_more"), is_more, "{found}");
        is_more
    });
    assert!(fits, "no more in a trunk");
}

#[test]
fn a_firewall_that_drops_trunk_frames_is_found() {
    let switch = Switch::start();
    let no_trunk = |datagram: &[u8]| !datagram.starts_with(&[0, 0, 1]);
    let firewall = Doorkeeper::start(Some(switch.address), no_trunk);
    let target = format!("{}/probe", firewall.address);
    let found = report(&target, &["--no-lengths", "--duration", "2s", "--calls", "2"]);
    assert!(figure(&found, "/load/good_calls") >= 2.0, "{found}");
    assert!(figure(&found, "/trunk_load/good_calls") <= 1.0, "{found}");
    assert!(names(&found).contains(&"trunk_frames_lost"), "{found}");
}

#[test]
fn a_hole_of_either_way_is_found() {
    let switch = Switch::start();
    // 1,300 bytes with the headers of IP and UDP.
    let hole = Impairment { longest: Some(1_272), ..GOOD };
    let relay = Relay::start(switch.address, hole, GOOD, 1).expect("started");
    let target = relay.address().to_string();
    let found = report(&target, &["--calls", "0"]);
    let length = &found["length"];
    assert_eq!((&length["passes"], &length["hole"]), (&1_300.into(), &true.into()), "{found}");
    assert!(names(&found).contains(&"mtu_hole"), "{found}");
    let relay = Relay::start(switch.address, GOOD, hole, 1).expect("started");
    let target = format!("{}/probe", relay.address());
    let found = report(&target, &["--calls", "1", "--duration", "2s"]);
    let length = &found["length"];
    assert_eq!((&length["passes"], &length["comes_back"]), (&1_500.into(), &false.into()));
    assert!(names(&found).contains(&"long_datagrams_lost_here"), "{found}");
}

#[test]
fn an_echo_shows_both_ways_together_and_lays_nothing_to_one_of_them() {
    let switch = Switch::start();
    let lossy = Impairment { loss: 0.1, ..GOOD };
    let relay = Relay::start(switch.address, lossy, GOOD, 5).expect("started");
    let target = format!("{}/echo", relay.address());
    let found = report(&target, &["--duration", "5s", "--calls", "1", "--no-lengths"]);
    assert_eq!(found["call"]["there"], Value::Null, "{found}");
    let lost = figure(&found, "/call/both/lost_percent");
    assert!((4.0..=17.0).contains(&lost), "{found}");
    let named = names(&found);
    assert!(named.contains(&"loss") && !named.iter().any(|name| name.ends_with("here")), "{found}");
}

#[test]
fn who_answers_nothing_half_or_full_frames_alone_is_told_apart() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let address = silent.local_addr().expect("bound").to_string();
    let found = report(&address, &[]);
    assert_eq!(
        (&found["verdict"], names(&found)),
        (&"unreachable".into(), vec!["nothing_answers"])
    );
    drop(silent);
    let found = report(&address, &[]);
    assert_eq!(names(&found), ["port_closed"]);

    let polls_alone = Doorkeeper::start(None, |_| true);
    let target = format!("{}/probe", polls_alone.address);
    let found = report(&target, &["--no-lengths"]);
    assert!(names(&found).contains(&"calls_not_answered"), "{found}");

    let switch = Switch::start();
    let full_frames = |datagram: &[u8]| datagram.first().is_some_and(|first| first & 0x80 != 0);
    let firewall = Doorkeeper::start(Some(switch.address), full_frames);
    let target = format!("{}/probe", firewall.address);
    let found = report(&target, &["--no-lengths", "--duration", "2s"]);
    assert_eq!(found["verdict"], "bad", "{found}");
    assert!(names(&found).contains(&"only_full_frames_pass"), "{found}");
}

#[test]
fn a_peer_that_wants_no_calls_of_ours_is_still_polled() {
    let switch = Switch::start();
    let found = report(&format!("{}/record", switch.address), &["--no-lengths"]);
    assert_eq!((&found["verdict"], names(&found)), (&"untried".into(), vec!["call_refused"]));
    assert!(figure(&found, "/polls/received") >= 25.0, "{found}");
    assert_eq!(found["nat"]["kind"], "none", "{found}");
    let output = probe(&[&format!("{}/record", switch.address), "--no-lengths"]);
    assert_eq!(output.status.code(), Some(11));
}

#[test]
fn nagios_gets_its_line_and_its_exit_codes() {
    let switch = Switch::start();
    let target = format!("{}/probe", switch.address);
    let check = |arguments: &[&str]| {
        let output = probe(&[&["--nagios", "--duration", "2s"], arguments].concat());
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        let line = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(line.lines().count(), 1, "{line}");
        (output.status.code(), line)
    };
    let generous = ["--warn-rtt", "5000", "--critical-rtt", "9000", "--warn-loss", "50"];
    let generous = [&generous[..], &["--critical-loss", "90", "--warn-jitter", "900"]].concat();
    let generous = [&generous[..], &["--critical-jitter", "990", "--warn-mos", "1"]].concat();
    let generous = [&generous[..], &["--critical-mos", "1"]].concat();
    let (code, line) = check(&[&[target.as_str()], &generous[..]].concat());
    assert!(code == Some(0) && line.starts_with("IAX2 OK - "), "{line}");
    for figure in ["rtt=", "loss_there=", "loss_here=", "jitter_there=", "mos_here="] {
        let (_, data) = line.split_once(" | ").expect("performance data");
        assert!(data.contains(figure), "{line}");
    }
    let (_, line) = check(&[&[target.as_str(), "--calls", "2"], &generous[..]].concat());
    assert!(line.contains(" calls=") && line.contains(" trunk_calls="), "{line}");
    let polls_alone = switch.address.to_string();
    let (code, line) =
        check(&[&[polls_alone.as_str(), "--warn-rtt", "0"], &generous[2..]].concat());
    assert!(code == Some(1) && line.contains("WARNING") && line.contains("rtt="), "{line}");
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let (code, line) = check(&[&silent.local_addr().expect("bound").to_string()]);
    assert!(code == Some(2) && line.starts_with("IAX2 CRITICAL - "), "{line}");
    let (code, line) = check(&["no-such-host.invalid"]);
    assert!(code == Some(3) && line.starts_with("IAX2 UNKNOWN - "), "{line}");
}

#[test]
fn the_page_of_html_has_plots_and_loads_nothing() {
    let switch = Switch::start();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("link.html");
    let path = file.to_str().expect("a path");
    let target = format!("{}/probe", switch.address);
    let output =
        probe(&[&target, "--duration", "2s", "--calls", "2", "--no-lengths", "--html", path]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(text.contains("verdict") && text.contains("arithmetic:"), "{text}");
    let page = std::fs::read_to_string(file).expect("written");
    assert_eq!(page.matches("<svg").count(), 4, "{page}");
    for outside in ["src=", "href=", "@import", "<script"] {
        assert!(!page.contains(outside), "{outside} in {page}");
    }
}
