//! What is left of the gateway's calls: nothing. A process of its own, so that its figures are those of
//! the gateway.
//!
//! `ONEPORT_LEAK_CALLS` is how many calls there are, 1,000 where nothing is said.

#[expect(dead_code, reason = "other tests use more of it")]
#[path = "carriers/script.rs"]
mod script;
#[expect(dead_code, reason = "other tests use more of it")]
#[path = "carriers/shared.rs"]
mod shared;

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use oneport_switch::sip::Held;
use oneport_testkit::peers::sipp::{Scenario, Sipp};
use script::{Script, VOICE};
use shared::{carrier, gateway, loopback};

/// How long answers are kept, and some more for a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Behind that as many answers are forgotten as are kept.
const KEPT: Duration = Duration::from_secs(40);

/// So many of the gateway's own tasks may not have begun yet at its start.
const ITS_OWN_TASKS: usize = 4;

/// So many calls at a time.
const ROUND: u32 = 500;

/// How long a call that nobody takes may ring.
const RINGS: u32 = 1;

/// Calls in each of a hundred that come to a good end; the others are refused, given up and forgotten.
const GOOD: u32 = 70;

fn count(path: &str) -> usize {
    std::fs::read_dir(path).expect("it is ours").count()
}

/// Bytes of memory in use.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("it is ours");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it has some");
    let kilobytes = line.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok());
    kilobytes.expect("a number") * 1_024
}

/// A sipp that is called so often at most.
fn callee(script: Script, calls: u32) -> Sipp {
    let (xml, listen) = (script.xml(), loopback());
    Sipp::start(&Scenario { xml: &xml, calls: (calls, 10_000), listen, to: None, arguments: &[] })
}

/// Calls of all kinds from these addresses, as fast as they go, until all are over.
fn run(calls: u32, from: [SocketAddr; 4], to: SocketAddr) {
    let good = calls * GOOD / 100;
    let each = (calls - good) / 3;
    let begins = || Script::calls(&[], Some(VOICE)).may_hear(100).may_hear(180).may_hear(183);
    let gives_up = Script::calls(&[], Some(VOICE)).may_hear(100).hears(180).cancels();
    let (rate, slow) = (["-r", "400", "-s", "600"], ["-r", "40", "-s", "603"]);
    let kinds: [(Script, (u32, u32), &[&str]); 4] = [
        (begins().hears(200).acks(1).hangs_up(2), (good, 60), &rate),
        (begins().hears(486).acks_refusal(1), (each, 20), &["-s", "601"]),
        (gives_up, (each, 20), &["-s", "602"]),
        (begins().hears(480).acks_refusal(1), (each, 300), &slow),
    ];
    let mut all: Vec<Sipp> = kinds
        .into_iter()
        .zip(from)
        .map(|((script, calls, arguments), listen)| {
            let xml = script.xml();
            Sipp::start(&Scenario { xml: &xml, calls, listen, to: Some(to), arguments })
        })
        .collect();
    for caller in &mut all {
        caller.finished();
    }
}

#[test]
fn after_many_calls_of_all_kinds_nothing_is_left() {
    let calls = std::env::var("ONEPORT_LEAK_CALLS").ok().and_then(|calls| calls.parse().ok());
    let calls: u32 = calls.unwrap_or(1_000);
    // More than there will be: they wait until they are dropped.
    let more = calls * 2;
    let answers = Script::is_called().answers(0, "180 Ringing", &[], None).picks_up().gets_bye();
    let answers = callee(answers, more);
    let refuses = Script::is_called().answers(0, "486 Busy Here", &[], None).receives("ACK");
    let refuses = callee(refuses, more);
    let rings =
        Script::is_called().answers(0, "180 Ringing", &[], None).receives("CANCEL").agrees();
    let rings = rings.answers(0, "487 Request Terminated", &[], None).receives("ACK");
    let rings = callee(rings, more);
    // It hears everything, and says nothing.
    let silent = UdpSocket::bind("127.0.0.1:0").expect("one is free");
    let silent = silent.local_addr().map(|at| (silent, at)).expect("bound");
    let mut text = String::from("rtp_ports = \"35000-39999\"\nmax_invites_per_second = 100000\n");
    let carriers = [
        ("answers", answers.address(), "600"),
        ("refuses", refuses.address(), "601"),
        ("rings", rings.address(), "602"),
        ("silent", silent.1, "603"),
    ];
    for (name, address, _) in carriers {
        text += &carrier(name, address, "");
    }
    // All have one address, so each call comes from the first.
    for (name, _, number) in carriers {
        text += &format!(
            "[[routes]]\nnumber = \"{number}\"\nfrom = [\"carrier:answers\"]\n\
             to = [\"carrier:{name}\"]\n"
        );
    }
    // The last route is that of the silent one.
    text += &format!("timeout_seconds = {RINGS}\n");
    let system = gateway(&text);
    // Each port is locked by a descriptor as long as the process lives.
    let from = [(); 4].map(|()| loopback());
    let before = (system.held(), count("/proc/self/fd"), count("/proc/self/task"));
    assert_eq!(Held { tasks: 0, ..before.0 }, Held::default());
    let rounds = calls.div_ceil(ROUND).max(2);
    let start = Instant::now();
    let mut halfway = None;
    for round in 0..rounds {
        run(calls / rounds, from, system.sip);
        if round + 1 == rounds / 2 {
            halfway = Some((memory(), start.elapsed()));
        }
    }
    let (halfway, lasted) = halfway.expect("there is one");
    let begun = Instant::now();
    let after = loop {
        let after = (system.held(), count("/proc/self/fd"), count("/proc/self/task"));
        let (held, files, threads) = (after.0, after.1 <= before.1, after.2 <= before.2);
        let same = Held { tasks: 0, ..held } == Held::default()
            && held.tasks <= before.0.tasks + ITS_OWN_TASKS;
        if same && files && threads {
            break after;
        }
        assert!(begun.elapsed() < PATIENCE, "{before:?} before, {after:?} after {calls} calls");
        std::thread::sleep(Duration::from_millis(100));
    };
    let grown = memory().saturating_sub(halfway);
    println!(
        "{calls} calls; {before:?} before, {after:?} after; {} kB after {lasted:?}, {} kB more at the end",
        halfway / 1_024,
        grown / 1_024
    );
    // Before that, more and more answers are kept, and the system gets no memory back.
    if lasted > KEPT {
        let most = u64::from(calls) * 512 + (8 << 20);
        assert!(grown < most, "memory has grown by {grown} bytes from {halfway}");
    }
}
