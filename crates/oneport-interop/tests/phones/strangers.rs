//! Strangers who connect by TCP and TLS, and never become anybody.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use oneport_interop::PATIENCE;
use oneport_interop::gateway::{System, gateway, loopback_for_tcp};
use oneport_testkit::peers::certificates::Authority;
use oneport_testkit::peers::wait_for;

/// A switch with a phone that may come from anywhere, and where it listens by TCP and TLS.
fn with_desk(more: &str) -> (System, SocketAddr, SocketAddr) {
    let tcp = loopback_for_tcp();
    let tls = SocketAddr::new(tcp.ip(), 5061);
    let ours = Authority::new();
    let certificate = ours.certificate("us", &format!("IP:{}", tls.ip()));
    let system = gateway(&format!(
        "tcp = [\"{tcp}\"]\ntls = [\"{tls}\"]\ncertificate = {:?}\ncertificate_key = {:?}\n{more}\n\
         [peers.desk]\nprotocol = \"sip\"\nsecret = \"secret\"\nqualify = false\n",
        certificate.certificate, certificate.key
    ));
    (system, tcp, tls)
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream
}

/// Waits for the end of a connection.
fn is_cut(stream: &mut TcpStream) {
    // TLS says why.
    match stream.read_to_end(&mut Vec::new()) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("{other:?}"),
    }
}

/// A request, without its end.
const BEGINNING: &[u8] =
    b"REGISTER sip:desk@switch SIP/2.0\r\nVia: SIP/2.0/TCP x;branch=z9hG4bK1\r\n";

#[test]
fn one_address_has_so_many_connections_and_loses_those_by_which_nobody_registers() {
    let (system, tcp, tls) = with_desk("max_connections_per_address = 5");
    let mut five: Vec<TcpStream> = std::iter::repeat_with(|| connect(tcp)).take(5).collect();
    wait_for("five strangers", PATIENCE, || system.connections() == (0, 5));
    for to in [tcp, tls] {
        is_cut(&mut connect(to));
    }
    assert_eq!(system.connections(), (0, 5), "they are all still there");
    // One of them is silent, others begin something, and one goes on and on.
    for stream in five.iter_mut().skip(1) {
        stream.write_all(BEGINNING).expect("it is open");
    }
    let mut tireless = five.last().and_then(|last| last.try_clone().ok()).expect("one handle more");
    let talking = std::thread::spawn(move || {
        while tireless.write_all(b"X-More: of it\r\n").is_ok() {
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    five.iter_mut().for_each(is_cut);
    talking.join().expect("no panic");
    wait_for("all of them to be gone", PATIENCE, || system.connections() == (0, 0));
    let again = connect(tcp);
    wait_for("one stranger", PATIENCE, || system.connections() == (0, 1));
    drop(again);
    wait_for("nobody", PATIENCE, || system.connections() == (0, 0));
}

#[test]
fn who_does_not_begin_with_tls_is_cut_off() {
    let (system, _, tls) = with_desk("");
    let (mut silent, mut plain) = (connect(tls), connect(tls));
    plain.write_all(BEGINNING).expect("it is open");
    is_cut(&mut plain);
    is_cut(&mut silent);
    wait_for("nobody", PATIENCE, || system.connections() == (0, 0));
}

#[test]
fn strangers_have_half_of_all_connections() {
    let (system, tcp, _) = with_desk("max_connections = 6");
    let three: Vec<TcpStream> = std::iter::repeat_with(|| connect(tcp)).take(3).collect();
    wait_for("three strangers", PATIENCE, || system.connections() == (0, 3));
    is_cut(&mut connect(tcp));
    drop(three);
    wait_for("nobody", PATIENCE, || system.connections() == (0, 0));
}
