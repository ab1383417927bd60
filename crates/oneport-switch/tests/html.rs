//! Pages (HTML frames) sent to those who show none: a phone, and the switch itself.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use oneport::{Application, Driver, DriverConfig, NewCall, Phone, PhoneConfig};
use oneport_proto::{Endpoint, Event, Instant};
use oneport_switch::{Config, Switch};
use oneport_wire::frame_type;
use tokio::sync::mpsc;

/// Calls somebody and shows a page to whoever answers.
struct Showing {
    to: SocketAddr,
    seen: mpsc::UnboundedSender<(u8, u8)>,
}

impl Application for Showing {
    fn start(&mut self, endpoint: &mut Endpoint, now: Instant) {
        endpoint.place_call(now, self.to, NewCall::to("echo")).expect("free");
    }

    fn handle_event(&mut self, endpoint: &mut Endpoint, now: Instant, event: Event) {
        match event {
            Event::CallAnswered { call } => {
                let page = b"https://example.org/";
                for (kind, subclass) in
                    [(frame_type::CNG, 40), (frame_type::HTML, 0x11), (frame_type::HTML, 1)]
                {
                    endpoint.send_frame(now, call, kind, subclass, page).expect("up");
                }
            }
            Event::Frame { frame_type, subclass, .. } => {
                let _ = self.seen.send((frame_type, subclass));
            }
            _ => {}
        }
    }
}

/// What comes back to somebody who shows a page to `to`.
async fn answers(to: SocketAddr) -> Vec<(u8, u8)> {
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    let (seen, mut answers) = mpsc::unbounded_channel();
    let config = DriverConfig { listen, ..DriverConfig::default() };
    let driver = Driver::start(config, Showing { to, seen }).expect("started");
    let patience = Duration::from_secs(60);
    let first = tokio::time::timeout(patience, answers.recv()).await.expect("an answer in time");
    // There must be no second one.
    tokio::time::sleep(Duration::from_millis(200)).await;
    driver.stop().await;
    let mut all = vec![first.expect("it runs")];
    while let Some(another) = answers.recv().await {
        all.push(another);
    }
    all
}

#[tokio::test]
async fn a_page_for_somebody_who_shows_none_is_answered_so() {
    let not_supported = vec![(frame_type::HTML, 0x11)];
    let text = "[overload]\nenabled = false\n[server]\nlisten = [\"127.0.0.1:0\"]";
    let config = Config::parse(Path::new("test.toml"), text).expect("a good configuration");
    let driver = DriverConfig {
        listen: config.listen.clone(),
        endpoint: config.endpoint.clone(),
        ..DriverConfig::default()
    };
    let switch = Driver::start(driver, Switch::new(config)).expect("started");
    assert_eq!(answers(switch.local_addresses()[0]).await, not_supported);

    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    let phone = Phone::bind(PhoneConfig { listen, ..PhoneConfig::default() }).expect("bound");
    let to = phone.local_addresses()[0];
    tokio::spawn(async move {
        let incoming = phone.incoming().await.expect("offered");
        let mut call = incoming.answer().await.expect("the caller waits");
        let _ = call.ended().await;
    });
    assert_eq!(answers(to).await, not_supported);
}
