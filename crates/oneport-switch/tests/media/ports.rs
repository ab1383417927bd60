//! Ports, taken and given back.

use std::time::Duration;

use oneport::Format;
use oneport_switch::sip::media::NoPort;
use oneport_switch::sip::sdp::Capabilities;

use crate::setting::*;

#[tokio::test]
async fn ten_thousand_ports_opened_and_closed_leave_nothing_behind() {
    let gateway = gateway(Format::ULAW, media(100, 20), || 0);
    let descriptors = || std::fs::read_dir("/proc/self/fd").map(Iterator::count).unwrap_or(0);
    let phone = Phone::new();
    let mut most = 0;
    for n in 0..10_000 {
        let port = loop {
            match gateway.plane.open() {
                Ok(port) => break port,
                // The relay closes those before when it comes to it.
                Err(NoPort::AllInUse { .. }) => tokio::time::sleep(Duration::from_millis(1)).await,
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(port.local().port() % 2, 0);
        if n % 100 == 0 {
            phone.agree(&port, &Capabilities::default());
            most = most.max(descriptors());
        }
        match n % 2 {
            0 => drop(port),
            _ => assert_eq!(port.close().await.strangers, 0),
        }
    }
    settled(&gateway.driver).await;
    let left = gateway.driver.with(|_, gate, _| gate.relay.streams()).await.expect("running");
    assert_eq!((left, gateway.plane.pairs()), (0, (10, 10)));
    // Other tests of this process have theirs.
    assert!(most < 500, "{most} descriptors");
}

#[tokio::test]
async fn when_all_ports_are_in_use_that_is_said_and_one_that_is_given_back_can_be_had() {
    let gateway = gateway(Format::ULAW, media(120, 6), || 0);
    let mut ports: Vec<_> = (0..3).map(|_| gateway.plane.open().expect("free")).collect();
    let error = gateway.plane.open().err().map(|error| error.to_string());
    assert_eq!(error.as_deref(), Some("all 3 pairs of media ports are in use"));
    let given = ports.pop().expect("three").local();
    settled(&gateway.driver).await;
    let again = gateway.plane.open().expect("one is free");
    assert_eq!(again.local(), given);
}

#[tokio::test]
async fn a_port_that_somebody_else_has_is_left_out() {
    let config = media(134, 4);
    let first = *config.ports.start();
    let other = std::net::UdpSocket::bind(("127.0.0.1", first + 1)).expect("free");
    let gateway = gateway(Format::ULAW, config, || 0);
    let port = gateway.plane.open().expect("one is free");
    assert_eq!(port.local().port(), first + 2);
    drop(other);
}

#[tokio::test]
async fn behind_the_end_of_the_relay_no_port_can_be_had_and_figures_are_those_of_the_end() {
    let gateway = gateway(Format::ULAW, media(130, 4), || 0);
    let port = gateway.plane.open().expect("free");
    let plane = gateway.plane.clone();
    gateway.driver.stop().await;
    assert!(matches!(plane.open(), Err(NoPort::Stopped)));
    assert_eq!(port.close().await.stats.sent_frames, 0);
}
