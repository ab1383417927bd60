//! Devices and a real Asterisk 22: it serves firmware to us and sets us up.

use std::time::Duration;

use oneport::{
    Device, EndpointConfig, FirmwareFailure, FirmwareFetchError, FirmwareImage, Phone, PhoneConfig,
    ProvisioningElement, Registration, RegistrationConfig, RegistrationEvent, Secret,
};
use oneport_testkit::peers::asterisk::Asterisk;

const IAX: &str = "
allowfwdownload=yes
requirecalltoken=yes
[ann]
type=friend
host=dynamic
auth=md5
secret=right
context=test
requirecalltoken=yes
";

const PROVISIONING: &str = "
[default]
codec=ulaw
flags=register
[si-000fd3001234]
server=192.0.2.7
serverport=4570
altserver=192.0.2.8
port=4571
codec=alaw
language=de
user=ann
pass=right
tos=lowdelay
flags=register,heartbeat
";

fn image(len: usize) -> FirmwareImage {
    let data: Vec<u8> = (0..len).map(|n| (n * 7 % 251) as u8).collect();
    FirmwareImage::new("onebox", 0x0117, &data).expect("an image")
}

fn device(provisioning_version: u32) -> Phone {
    let endpoint = EndpointConfig {
        device: Device {
            device_type: Some("onebox".into()),
            service_ident: Some("000fd3001234".into()),
            provisioning_version: Some(provisioning_version),
            firmware_version: None,
        },
        accept_provisioning: true,
        ..EndpointConfig::default()
    };
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    Phone::bind(PhoneConfig { listen, endpoint, ..PhoneConfig::default() }).expect("bound")
}

async fn register(phone: &Phone, asterisk: &Asterisk) -> (Registration, RegistrationEvent) {
    let config = RegistrationConfig {
        to: asterisk.address(),
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

#[tokio::test(flavor = "multi_thread")]
async fn firmware_comes_from_asterisk_bit_for_bit() {
    let image = image(10_000);
    let file = image.to_file();
    let files: [(&str, &[u8]); 1] = [("data/firmware/iax/onebox.bin", &file)];
    let asterisk = Asterisk::start_with(IAX, "[test]\n", &files);
    let shown = asterisk.cli("iax2 show firmware");
    assert!(shown.contains("onebox"), "{shown}\n{}", asterisk.log());
    let phone = device(0);
    let fetched = phone.fetch_firmware(asterisk.address(), "onebox").await;
    let fetched = fetched.unwrap_or_else(|error| panic!("{error:?}\n{}", asterisk.log()));
    assert!(fetched == image.data(), "{} bytes", fetched.len());
    let none = phone.fetch_firmware(asterisk.address(), "otherbox").await;
    let refused = matches!(none, Err(FirmwareFetchError::Failed(FirmwareFailure::Refused { .. })));
    assert!(refused, "{none:?}");
    // It says which version it has when a device of that kind registers.
    let (_registration, event) = register(&phone, &asterisk).await;
    let RegistrationEvent::Registered { firmware_version, .. } = event else {
        panic!("{event:?}\n{}", asterisk.log())
    };
    assert_eq!(firmware_version, Some(0x0117));
}

#[tokio::test(flavor = "multi_thread")]
async fn asterisk_without_firmware_says_so() {
    let asterisk = Asterisk::start("requirecalltoken=yes\n", "[test]\n");
    let phone = device(0);
    let fetched = phone.fetch_firmware(asterisk.address(), "onebox").await;
    assert_eq!(fetched, Err(FirmwareFetchError::Failed(FirmwareFailure::Unsupported)));
}

#[tokio::test(flavor = "multi_thread")]
async fn asterisk_sets_us_up_once_and_its_signature_is_ours() {
    let files: [(&str, &[u8]); 1] = [("etc/iaxprov.conf", PROVISIONING.as_bytes())];
    let asterisk = Asterisk::start_with(IAX, "[test]\n", &files);
    let phone = device(0);
    // A device that registers with other settings gets those of its template.
    let (_registration, event) = register(&phone, &asterisk).await;
    assert!(matches!(event, RegistrationEvent::Registered { .. }), "{event:?}");
    let offer = tokio::time::timeout(Duration::from_secs(60), phone.provision()).await;
    let offer = offer.unwrap_or_else(|_| panic!("nothing comes\n{}", asterisk.log()));
    let offer = offer.expect("running");
    assert_eq!(offer.from(), asterisk.address());
    let settings = offer.settings().clone();
    let said: Vec<ProvisioningElement<'_>> = settings.iter().collect();
    for wanted in [
        ProvisioningElement::User("ann".into()),
        ProvisioningElement::Password("right".into()),
        ProvisioningElement::Language("de".into()),
        ProvisioningElement::Port(4_571),
        ProvisioningElement::Server([192, 0, 2, 7].into()),
        ProvisioningElement::ServerPort(4_570),
        ProvisioningElement::AlternateServer([192, 0, 2, 8].into()),
        ProvisioningElement::Flags(1 | 4),
        ProvisioningElement::Format([oneport::Format::ALAW].into_iter().collect()),
        ProvisioningElement::Version(settings.version()),
    ] {
        assert!(said.contains(&wanted), "{wanted:?} is not in {said:?}");
    }
    assert!(offer.accept().await, "acknowledged\n{}", asterisk.log());
    // One that has these settings is left in peace, until somebody sends them by hand.
    let phone = device(settings.version());
    let (_registration, event) = register(&phone, &asterisk).await;
    assert!(matches!(event, RegistrationEvent::Registered { .. }), "{event:?}");
    let shown = asterisk.cli("iax2 provision ann default");
    let offer = tokio::time::timeout(Duration::from_secs(60), phone.provision()).await;
    let offer = offer.unwrap_or_else(|_| panic!("{shown}\n{}", asterisk.log())).expect("running");
    let flags = offer.settings().iter().any(|said| said == ProvisioningElement::Flags(1));
    assert!(flags, "the template `default`: {:?}", offer.settings().iter().collect::<Vec<_>>());
    offer.reject();
}
