//! Carriers that are found by a name server (RFC 3263).

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use oneport::{Call, CallError, CauseCode};
use oneport_interop::gateway::{System, loopback_for_tcp};
use oneport_interop::{PATIENCE, phone};
use oneport_testkit::name_server::{Entries, Entry, NameServer};
use oneport_testkit::peers::own_loopback;
use oneport_testkit::peers::sipp::{Scenario, Sipp};
use tokio::time::timeout;

use crate::script::Script;
use crate::shared::{ann, gateway, route};

/// A name server on port 53, which is the only one that the gateway asks, of an address of its own.
pub(crate) fn names(entries: Entries) -> NameServer {
    NameServer::start((own_loopback(), 53).into(), entries)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_room_is_followed_by_the_carriers_next_one() {
    let addresses = [own_loopback(), own_loopback()];
    let names = names(vec![
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
fn carrier(names: &NameServer, more: &str) -> String {
    format!(
        "name_servers = [\"{}\"]\n\
         [carriers.acme]\nhost = \"carrier.example\"\noptions_seconds = 0\n{more}\n{}",
        names.address.ip(),
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
fn by_tcp_rather_than_udp(by_tcp: Ipv4Addr, by_udp: Ipv4Addr) -> NameServer {
    names(vec![
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
        let names = names(entries);
        let script = Script::is_called().picks_up().gets_bye();
        let mut sipp = called(script, (address, port).into(), "u1");
        let system = gateway(&carrier(&names, "transport = \"auto\""));
        drop(reached(&system).await);
        sipp.finished();
    }
}
