//! A name server, and carriers that are found by it (RFC 3263).

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use oneport::{Call, CallError, CauseCode};
use oneport_interop::gateway::{System, loopback_for_tcp};
use oneport_interop::{PATIENCE, phone};
use oneport_testkit::peers::own_loopback;
use oneport_testkit::peers::sipp::{Scenario, Sipp};
use tokio::time::timeout;

use crate::script::Script;
use crate::shared::{ann, gateway, route};

/// What a name stands for.
#[derive(Clone)]
pub(crate) enum Entry {
    Address(Ipv4Addr),
    /// Priority, port and name of a server.
    Server(u16, u16, &'static str),
    /// Order, preference and service of a NAPTR entry, and the name of its servers.
    Pointer(u16, u16, &'static str, &'static str),
}

/// A name server of a few names, on port 53 of an address of its own. Stops when dropped.
pub(crate) struct Names {
    pub(crate) address: Ipv4Addr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Names {
    pub(crate) fn start(entries: Vec<(&'static str, Entry)>) -> Self {
        let address = own_loopback();
        let socket = UdpSocket::bind((address, 53)).expect("tests run as root");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("set");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let serve = move || {
            let mut buffer = [0; 1024];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                if let Some(answer) = answer(&buffer[..length], &entries) {
                    socket.send_to(&answer, from).expect("sent");
                }
            }
        };
        Self { address, stop, thread: Some(std::thread::spawn(serve)) }
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A name as it is on the wire (RFC 1035 §3.1).
fn encode(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).expect("short"));
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes
}

/// The answer to a question (RFC 1035 §4): all entries of that name and kind.
fn answer(question: &[u8], entries: &[(&str, Entry)]) -> Option<Vec<u8>> {
    let name_end = 12 + question.get(12..)?.iter().position(|byte| *byte == 0)? + 1;
    let asked = question.get(12..name_end + 4)?;
    let (name, rest) = asked.split_at(asked.len() - 4);
    let kind = u16::from_be_bytes([rest[0], rest[1]]);
    let mut answers = Vec::new();
    for (known, entry) in entries {
        if !encode(known).eq_ignore_ascii_case(name) {
            continue;
        }
        let (of, data) = match entry {
            Entry::Address(address) => (1, address.octets().to_vec()),
            Entry::Server(priority, port, target) => {
                let mut data = [priority.to_be_bytes(), [0, 1], port.to_be_bytes()].concat();
                data.extend(encode(target));
                (33, data)
            }
            Entry::Pointer(order, preference, service, target) => {
                let length = u8::try_from(service.len()).expect("short");
                let mut data = [order.to_be_bytes(), preference.to_be_bytes()].concat();
                data.extend([&[1, b's', length], service.as_bytes(), &[0]].concat());
                data.extend(encode(target));
                (35, data)
            }
        };
        if of == kind {
            let length = u16::try_from(data.len()).expect("short");
            // A pointer to the name in the question, class IN, for a minute.
            answers.push(
                [&[0xC0, 12, 0, kind as u8, 0, 1, 0, 0, 0, 60][..], &length.to_be_bytes(), &data]
                    .concat(),
            );
        }
    }
    let known = entries.iter().any(|(known, _)| encode(known).eq_ignore_ascii_case(name));
    let count = u8::try_from(answers.len()).ok()?;
    let flags = [0x85, if known { 0x80 } else { 0x83 }];
    let head = [&question[..2], &flags, &[0, 1, 0, count, 0, 0, 0, 0]].concat();
    Some([head, asked.to_vec(), answers.concat()].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_room_is_followed_by_the_carriers_next_one() {
    let addresses = [own_loopback(), own_loopback()];
    let names = Names::start(vec![
        ("_sip._udp.carrier.example", Entry::Server(20, 5080, "spare.carrier.example")),
        ("_sip._udp.carrier.example", Entry::Server(10, 5090, "first.carrier.example")),
        ("first.carrier.example", Entry::Address(addresses[0])),
        ("spare.carrier.example", Entry::Address(addresses[1])),
    ]);
    let full = Script::is_called().answers(0, "503 Full", &[], None).receives("ACK");
    let free = Script::is_called().picks_up().gets_bye();
    let (mut full, mut free) = (
        called(full, (addresses[0], 5090).into(), "u1"),
        called(free, (addresses[1], 5080).into(), "u1"),
    );
    let system = gateway(&carrier(&names, ""));
    drop(reached(&system).await);
    full.finished();
    free.finished();
}

/// A sipp that is called at this address.
fn called(script: Script, listen: SocketAddr, transport: &str) -> Sipp {
    let xml = script.xml();
    let arguments = ["-t", transport];
    Sipp::start(&Scenario { xml: &xml, calls: (1, 1), listen, to: None, arguments: &arguments })
}

/// A carrier that is found by its name.
fn carrier(names: &Names, more: &str) -> String {
    format!(
        "name_servers = [\"{}\"]\n\
         [carriers.acme]\nhost = \"carrier.example\"\noptions_seconds = 0\n{more}\n{}",
        names.address,
        route("\"carrier:acme\"")
    )
}

/// A call to it that is answered.
async fn reached(system: &System) -> Call {
    let (phone, _) = phone();
    let begun = std::time::Instant::now();
    loop {
        let mut call = phone.call(system.iax, ann("12125550100")).await.expect("placed");
        match timeout(PATIENCE, call.answered()).await.expect("in time") {
            Ok(_) => {
                // It lives as long as its call.
                std::mem::forget(phone);
                return call;
            }
            // Its host is being looked up.
            Err(CallError::Ended(end)) if end.cause == CauseCode::DESTINATION_OUT_OF_ORDER => {
                assert!(begun.elapsed() < PATIENCE, "it is not found");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// What the carrier's name stands for: by TCP rather than by UDP, at two hosts of other names.
fn by_tcp_rather_than_udp(by_tcp: Ipv4Addr, by_udp: Ipv4Addr) -> Names {
    Names::start(vec![
        ("carrier.example", Entry::Pointer(20, 10, "SIP+D2U", "_sip._udp.plain.example")),
        ("carrier.example", Entry::Pointer(10, 10, "SIP+D2T", "_sip._tcp.pop.example")),
        ("carrier.example", Entry::Pointer(1, 1, "E2U+sip", "_sip._udp.wrong.example")),
        ("_sip._tcp.pop.example", Entry::Server(10, 5090, "first.example")),
        ("_sip._udp.plain.example", Entry::Server(10, 5080, "second.example")),
        ("_sip._udp.wrong.example", Entry::Server(10, 5070, "second.example")),
        ("first.example", Entry::Address(by_tcp)),
        ("second.example", Entry::Address(by_udp)),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_is_reached_by_the_transport_that_its_name_prefers() {
    let [by_tcp, by_udp] = [own_loopback(), own_loopback()];
    let names = by_tcp_rather_than_udp(by_tcp, by_udp);
    let script = Script::is_called().picks_up().gets_bye();
    let mut sipp = called(script, (by_tcp, 5090).into(), "t1");
    let system = gateway(&format!(
        "tcp = [\"{}\"]\n{}",
        loopback_for_tcp(),
        carrier(&names, "transport = \"auto\"")
    ));
    drop(reached(&system).await);
    sipp.finished();
    assert!(sipp.messages().contains("SIP/2.0/TCP"), "{}", sipp.messages());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_transport_that_a_name_has_is_tried_where_the_first_has_no_room_or_is_not_there() {
    for is_there in [true, false] {
        let [by_tcp, by_udp] = [own_loopback(), own_loopback()];
        let names = by_tcp_rather_than_udp(by_tcp, by_udp);
        let full = Script::is_called().answers(0, "503 Full", &[], None).receives("ACK");
        let full = is_there.then(|| called(full, (by_tcp, 5090).into(), "t1"));
        let free = Script::is_called().picks_up().gets_bye();
        let mut free = called(free, (by_udp, 5080).into(), "u1");
        let system = gateway(&format!(
            "tcp = [\"{}\"]\n{}",
            loopback_for_tcp(),
            carrier(&names, "transport = \"auto\"")
        ));
        drop(reached(&system).await);
        free.finished();
        full.into_iter().for_each(|mut full| full.finished());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_without_preferences_is_found_by_its_servers_or_its_address_alone() {
    for has_servers in [true, false] {
        let address = own_loopback();
        let entries = match has_servers {
            true => vec![
                ("_sip._udp.carrier.example", Entry::Server(10, 5080, "only.example")),
                ("only.example", Entry::Address(address)),
            ],
            false => vec![("carrier.example", Entry::Address(address))],
        };
        let port = if has_servers { 5080 } else { 5060 };
        let names = Names::start(entries);
        let script = Script::is_called().picks_up().gets_bye();
        let mut sipp = called(script, (address, port).into(), "u1");
        let system = gateway(&carrier(&names, "transport = \"auto\""));
        drop(reached(&system).await);
        sipp.finished();
    }
}
