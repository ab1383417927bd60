//! Packets that gather before they are read.

use std::time::Duration;

use oneport_proto::{Endpoint, EndpointConfig, Instant};
use oneport_switch::sip::media::{MediaConfig, MediaEvent, MediaPlane};
use oneport_switch::sip::sdp::Capabilities;

use crate::setting::*;

fn at(ms: u64) -> Instant {
    Instant::from_micros(ms * 1_000)
}

#[test]
fn packets_gather_where_many_come_and_only_as_long_as_they_do() {
    let config = MediaConfig { gather: Duration::from_millis(5), ..media(160, 20) };
    let (plane, mut relay) = MediaPlane::start(config).expect("started");
    let mut endpoint = Endpoint::new(EndpointConfig::default(), [1; 32], at(0));
    let ports: Vec<_> = (0..8).map(|_| plane.open().expect("a port")).collect();
    let phones: Vec<Phone> = ports
        .iter()
        .map(|port| {
            let phone = Phone::new();
            phone.agree(port, &Capabilities::default());
            phone
        })
        .collect();
    let mut last = plane.open().expect("a port");
    let newcomer = Phone::new();
    newcomer.agree(&last, &Capabilities::default());
    relay.handle_ready(&mut endpoint, at(0));

    // Four in each of the twenty gatherings that a tenth of a second has.
    for n in 0..10 {
        phones.iter().for_each(|phone| phone.sends(0, n, 160 * u32::from(n), &[0x55; 160]));
        relay.handle_ready(&mut endpoint, at(10 * u64::from(n)));
        assert!(relay.watched().is_some(), "it is not known yet that many come");
    }
    relay.handle_timeout(&mut endpoint, at(100));
    relay.handle_ready(&mut endpoint, at(101));
    assert_eq!((relay.watched().is_some(), relay.poll_timeout()), (false, Some(at(106))));
    let mut latched = || matches!(last.poll_event(), Some(MediaEvent::Latched { .. }));
    newcomer.sends(0, 1, 160, &[0x55; 160]);
    relay.handle_timeout(&mut endpoint, at(105));
    assert!(!latched(), "it waits");
    relay.handle_timeout(&mut endpoint, at(106));
    assert!(latched(), "with others it is read");
    assert_eq!((relay.watched().is_some(), relay.poll_timeout()), (false, Some(at(111))));

    // One has come since, which is not many.
    relay.handle_timeout(&mut endpoint, at(200));
    relay.handle_ready(&mut endpoint, at(205));
    assert!(relay.watched().is_some(), "each is read as it comes");
    assert_eq!(relay.poll_timeout(), Some(at(300)));
}

#[test]
fn nothing_gathers_where_no_stream_is_left() {
    let config = MediaConfig { gather: Duration::from_millis(5), ..media(180, 20) };
    let (plane, mut relay) = MediaPlane::start(config).expect("started");
    let mut endpoint = Endpoint::new(EndpointConfig::default(), [1; 32], at(0));
    let port = plane.open().expect("a port");
    let phone = Phone::new();
    phone.agree(&port, &Capabilities::default());
    for n in 0..99 {
        phone.sends(0, n, 160 * u32::from(n), &[0x55; 160]);
        relay.handle_ready(&mut endpoint, at(n.into()));
    }
    drop(port);
    relay.handle_ready(&mut endpoint, at(99));
    relay.handle_timeout(&mut endpoint, at(100));
    relay.handle_ready(&mut endpoint, at(100));
    assert_eq!((relay.watched().is_some(), relay.poll_timeout()), (true, None));
}

#[test]
fn nothing_gathers_where_that_is_switched_off() {
    let config = MediaConfig { gather: Duration::ZERO, ..media(140, 20) };
    let (plane, mut relay) = MediaPlane::start(config).expect("started");
    let mut endpoint = Endpoint::new(EndpointConfig::default(), [1; 32], at(0));
    let port = plane.open().expect("a port");
    let phone = Phone::new();
    phone.agree(&port, &Capabilities::default());
    for n in 0..1_000 {
        phone.sends(0, n, 160 * u32::from(n), &[0x55; 160]);
        relay.handle_ready(&mut endpoint, at(n.into()));
        relay.handle_timeout(&mut endpoint, at(n.into()));
        assert!(relay.watched().is_some(), "{n}");
    }
}
