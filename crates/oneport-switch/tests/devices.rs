//! What the switch does for devices, on the loopback.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use oneport::{
    Device, Driver, DriverConfig, EndpointConfig, FirmwareFailure, FirmwareFetchError,
    FirmwareImage, MessageCount, Phone, PhoneConfig, ProvisioningElement, Registration,
    RegistrationConfig, RegistrationEvent, Secret,
};
use oneport_switch::{Config, Switch};

fn switch(server: &str, rest: &str) -> (Driver<Switch>, SocketAddr) {
    let text = format!(
        "[overload]\nenabled = false\n[server]\nlisten = [\"127.0.0.1:0\"]\n{server}\n{rest}"
    );
    let config = Config::parse(Path::new("test.toml"), &text).expect("a good configuration");
    let driver = DriverConfig {
        listen: config.listen.clone(),
        endpoint: config.endpoint.clone(),
        ..DriverConfig::default()
    };
    let driver = Driver::start(driver, Switch::new(config)).expect("started");
    let address = driver.local_addresses()[0];
    (driver, address)
}

fn device(ident: &str, version: u32) -> Phone {
    let endpoint = EndpointConfig {
        device: Device {
            device_type: Some("onebox".into()),
            service_ident: Some(ident.into()),
            provisioning_version: Some(version),
            firmware_version: Some(1),
        },
        accept_provisioning: true,
        ..EndpointConfig::default()
    };
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    Phone::bind(PhoneConfig { listen, endpoint, ..PhoneConfig::default() }).expect("bound")
}

async fn registered(phone: &Phone, to: SocketAddr) -> (Registration, RegistrationEvent) {
    let config = RegistrationConfig {
        to,
        others: Vec::new(),
        username: "ann".into(),
        secret: Some(Secret::from("right")),
        key: None,
        allow_plaintext: false,
        refresh: Duration::from_secs(60),
    };
    let mut registration = phone.register(config).await.expect("running");
    let event = registration.next_event().await.expect("running");
    (registration, event)
}

#[tokio::test]
async fn a_directory_of_firmware_is_served_and_nothing_beside_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let firmware = directory.path().join("firmware");
    std::fs::create_dir(&firmware).expect("writable");
    std::fs::write(directory.path().join("secret"), "secret").expect("writable");
    let image =
        |version| FirmwareImage::new("onebox", version, &[version as u8; 1_000]).expect("good");
    // The file's name says nothing; of two versions the later one counts.
    std::fs::write(firmware.join("a"), image(3).to_file()).expect("writable");
    std::fs::write(firmware.join("b"), image(2).to_file()).expect("writable");
    let server = format!("firmware = {:?}", firmware.display().to_string());
    let (_switch, to) = switch(&server, "[peers.ann]\nsecret = \"right\"\n");
    let phone = device("1", 0);
    assert_eq!(phone.fetch_firmware(to, "onebox").await.expect("served"), image(3).data());
    for name in ["../secret", "a", "/etc/passwd", ".."] {
        let refused = phone.fetch_firmware(to, name).await;
        assert!(
            matches!(refused, Err(FirmwareFetchError::Failed(FirmwareFailure::Refused { .. }))),
            "{name}: {refused:?}"
        );
    }
    let (_registration, event) = registered(&phone, to).await;
    let RegistrationEvent::Registered { firmware_version, .. } = event else { panic!("{event:?}") };
    assert_eq!(firmware_version, Some(3));
    let (_switch, to) = switch("", "");
    let unsupported = phone.fetch_firmware(to, "onebox").await;
    assert_eq!(unsupported, Err(FirmwareFetchError::Failed(FirmwareFailure::Unsupported)));
}

#[tokio::test]
async fn a_device_gets_its_settings_when_it_has_others_and_no_other_device_does() {
    let peer = "[peers.ann]\nsecret = \"right\"\n[peers.ann.provision]\nservice_ident = \"000fd3001234\"\n\
                server = \"192.0.2.1\"\nusername = \"ann\"\npassword = \"right\"\n\
                codecs = [\"ulaw\"]\nflags = [\"register\", \"heartbeat\"]\n";
    let (_switch, to) = switch("", peer);
    let phone = device("000fd3001234", 0);
    let _registration = registered(&phone, to).await;
    let offer = tokio::time::timeout(Duration::from_secs(10), phone.provision()).await;
    let offer = offer.expect("settings come").expect("running");
    let settings = offer.settings().clone();
    let said: Vec<ProvisioningElement<'_>> = settings.iter().collect();
    let expected = [
        ProvisioningElement::User("ann".into()),
        ProvisioningElement::Password("right".into()),
        ProvisioningElement::Server([192, 0, 2, 1].into()),
        ProvisioningElement::Flags(5),
        ProvisioningElement::Format([oneport::Format::ULAW].into_iter().collect()),
        ProvisioningElement::Version(settings.version()),
    ];
    assert_eq!(said, expected);
    assert!(offer.accept().await);
    for (ident, version) in [("000fd3001234", settings.version()), ("another", 0)] {
        let phone = device(ident, version);
        let _registration = registered(&phone, to).await;
        let nothing = tokio::time::timeout(Duration::from_millis(500), phone.provision()).await;
        assert!(nothing.is_err(), "{ident} {version}");
    }
}

#[tokio::test]
async fn messages_are_said_at_the_registration_and_changes_at_once_where_they_are_wanted() {
    let directory = tempfile::tempdir().expect("a directory");
    let inbox = directory.path().join("INBOX");
    std::fs::create_dir(&inbox).expect("writable");
    std::fs::write(inbox.join("msg0000.txt"), "").expect("writable");
    let peer = format!(
        "[peers.ann]\nsecret = \"right\"\nmailbox = {:?}\nmessage_waiting_frames = true\n",
        directory.path().display().to_string()
    );
    let (_switch, to) = switch("", &peer);
    let phone = device("1", 0);
    let (mut registration, event) = registered(&phone, to).await;
    let RegistrationEvent::Registered { messages, .. } = event else { panic!("{event:?}") };
    assert_eq!(messages, Some(MessageCount { old: 0, new: 1 }));
    std::fs::write(inbox.join("msg0001.txt"), "").expect("writable");
    let event = tokio::time::timeout(Duration::from_secs(40), registration.next_event()).await;
    let event = event.expect("it is told").expect("running");
    let count = Some(MessageCount { old: 0, new: 2 });
    assert_eq!(event, RegistrationEvent::MessagesWaiting { from: to, count });
}
