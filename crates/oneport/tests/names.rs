//! Targets that name servers know: SRV entries, several addresses, and what is tried first.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use oneport::{Names, Phone, PhoneConfig, Place, ResolveError, Target};
use oneport_testkit::name_server::{Entries, Entry, NameServer};

fn serve(entries: Entries) -> (NameServer, Names) {
    let server = NameServer::start(([127, 0, 0, 1], 0).into(), entries);
    let names = Names::ask(&[server.address], Duration::from_secs(2)).expect("asked");
    (server, names)
}

fn target(text: &str) -> Target {
    text.parse().expect("a target")
}

const fn host(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, last)
}

fn place(last: u8, port: u16, rank: u16) -> Place {
    Place { address: SocketAddr::from((host(last), port)), rank }
}

#[tokio::test]
async fn a_name_leads_to_the_servers_of_its_srv_entries_by_priority() {
    let service = "_iax._udp.oneport.example";
    let (_server, names) = serve(vec![
        (service, Entry::Server(30, 4571, "bonn.oneport.example")),
        (service, Entry::Server(10, 4570, "berlin.oneport.example")),
        (service, Entry::Server(20, 4569, "gone.oneport.example")),
        ("berlin.oneport.example", Entry::Address(host(1))),
        ("bonn.oneport.example", Entry::Address(host(2))),
        ("bonn.oneport.example", Entry::Address(host(3))),
    ]);
    let mut places = names.places(&target("iax:ann@oneport.example")).await.expect("found");
    assert_eq!(places.remove(0), place(1, 4570, 0));
    places.sort_by_key(|place| place.address);
    assert_eq!(
        places,
        [place(2, 4571, 20), place(3, 4571, 20)],
        "one without an address is left out"
    );
}

#[tokio::test]
async fn a_service_that_is_said_not_to_be_there_has_no_place() {
    let (_server, names) = serve(vec![("_iax._udp.oneport.example", Entry::Server(0, 0, ""))]);
    let found = names.places(&target("oneport.example")).await;
    assert!(matches!(found, Err(ResolveError::NoAddress(_))), "{found:?}");
}

#[tokio::test]
async fn name_servers_are_not_asked_for_servers_of_an_address_or_a_port() {
    let (server, names) = serve(Vec::new());
    for text in ["127.0.0.1", "[::1]:4570", "localhost", "localhost:4571"] {
        assert!(names.places(&target(text)).await.is_ok(), "{text}");
    }
    assert_eq!(server.asked(), 0);
}

#[tokio::test]
async fn a_call_goes_to_the_first_place_that_answers() {
    let here =
        || PhoneConfig { listen: vec![([127, 0, 0, 1], 0).into()], ..PhoneConfig::default() };
    let (ann, bob) = (Phone::bind(here()).expect("bound"), Phone::bind(here()).expect("bound"));
    // Whoever has this port says nothing.
    let deaf = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let silent = Place { address: deaf.local_addr().expect("bound"), rank: 0 };
    let there = Place { address: bob.local_addresses()[0], rank: 1 };
    let patience = Duration::from_millis(300);
    assert_eq!(ann.first_there(&[silent, there], patience).await, Ok(there.address));
    assert_eq!(ann.first_there(&[there, silent], patience).await, Ok(there.address));
    assert_eq!(ann.first_there(&[silent, silent], patience).await, Ok(silent.address));
}
