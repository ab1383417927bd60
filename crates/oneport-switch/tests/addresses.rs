//! A switch with IPv4 and IPv6 addresses, and with several of one kind.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use oneport::{
    Driver, DriverConfig, NewCall, Phone, PhoneConfig, Registration, RegistrationConfig,
    RegistrationEvent, Secret,
};
use oneport_switch::{Config, Switch};

fn phone(listen: &str) -> Phone {
    let listen = vec![listen.parse().expect("an address")];
    Phone::bind(PhoneConfig { listen, ..PhoneConfig::default() }).expect("bound")
}

async fn registered(phone: &Phone, to: SocketAddr, name: &str) -> Registration {
    let config = RegistrationConfig {
        to,
        others: Vec::new(),
        username: name.into(),
        secret: Some(Secret::from(name)),
        key: None,
        allow_plaintext: false,
        refresh: Duration::from_secs(60),
    };
    let mut registration = phone.register(config).await.expect("running");
    match registration.next_event().await {
        Some(RegistrationEvent::Registered { apparent_address, .. }) => {
            assert_eq!(apparent_address, Some(phone.local_addresses()[0]), "{name} at {to}");
        }
        other => panic!("{name} at {to}: {other:?}"),
    }
    registration
}

#[tokio::test]
async fn four_and_six_register_and_talk_at_one_switch() {
    // The order of the addresses is of no account: each peer is answered from a socket of its kind.
    for listen in ["\"0.0.0.0:0\", \"[::]:0\"", "\"[::]:0\", \"0.0.0.0:0\""] {
        let text = format!(
            "[overload]\nenabled = false\n[server]\nlisten = [{listen}]\n[peers.four]\nsecret = \"four\"\n\
             [peers.six]\nsecret = \"six\"\n[peers.alias]\nsecret = \"alias\"\n"
        );
        let config = Config::parse(Path::new("test.toml"), &text).expect("a good configuration");
        let driver = DriverConfig {
            listen: config.listen.clone(),
            endpoint: config.endpoint.clone(),
            ..DriverConfig::default()
        };
        let switch = Driver::start(driver, Switch::new(config)).expect("started");
        let port = |v6: bool| {
            let addresses = switch.local_addresses().iter();
            addresses.filter(|address| address.is_ipv6() == v6).map(SocketAddr::port).next()
        };
        let (v4, v6) = (port(false).expect("it has one"), port(true).expect("it has one"));
        let at = |ip: &str, port| SocketAddr::new(ip.parse().expect("an address"), port);
        let places = [
            ("four", "127.0.0.1:0", at("127.0.0.1", v4)),
            ("six", "[::1]:0", at("::1", v6)),
            // As Debian names a machine itself: the answer comes from there too.
            ("alias", "127.0.0.1:0", at("127.0.1.1", v4)),
        ];
        let mut phones = Vec::new();
        for (name, own, to) in places {
            let phone = phone(own);
            let registration = registered(&phone, to, name).await;
            phones.push((name, phone, to, registration));
        }
        for (name, phone, to, _) in &phones {
            for (called, other, ..) in phones.iter().filter(|(called, ..)| called != name) {
                let mut call = NewCall::to(*called);
                call.username = Some((*name).into());
                call.secret = Some(Secret::from(*name));
                let mut call = phone.call(*to, call).await.expect("placed");
                let incoming = other.incoming().await.expect("offered");
                let _taken = incoming.answer().await.expect("the caller waits");
                call.answered().await.unwrap_or_else(|error| panic!("{name} to {called}: {error}"));
            }
        }
    }
}
