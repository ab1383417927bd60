//! A switch and telephones.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use oneport::media::{Codec, wav};
use oneport::{
    AudioReader, Call, CallEnd, CallError, Driver, DriverConfig, Format, IncomingCall, NewCall,
    Phone, PhoneConfig, Registration, RegistrationConfig, RegistrationEvent, Secret,
};
use oneport_switch::{Config, Switch};

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Ann, Bob and Cid, whose secrets are the first letters of their names.
pub(crate) const THREE_PEERS: &str = "
[peers.ann]
secret = \"a\"
[peers.bob]
secret = \"b\"
[peers.cid]
secret = \"c\"
";

pub(crate) fn config(text: &str) -> Config {
    // A busy machine takes all calls, where that is not the test's subject.
    let overload = if text.contains("[overload]") { "" } else { "[overload]\nenabled = false\n" };
    let text = format!("{overload}[server]\nlisten = [\"127.0.0.1:0\"]\n{text}");
    Config::parse(Path::new("test.toml"), &text).expect("a good configuration")
}

pub(crate) fn switch(text: &str) -> (Driver<Switch>, SocketAddr) {
    let config = config(text);
    let driver = DriverConfig {
        listen: config.listen.clone(),
        endpoint: config.endpoint.clone(),
        ..DriverConfig::default()
    };
    let driver = Driver::start(driver, Switch::new(config)).expect("started");
    let address = driver.local_addresses()[0];
    (driver, address)
}

pub(crate) fn phone() -> Phone {
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    Phone::bind(PhoneConfig { listen, ..PhoneConfig::default() }).expect("bound")
}

/// A call to `number` by one of the three.
pub(crate) fn from(name: &str, number: &str) -> NewCall {
    let mut call = NewCall::to(number);
    call.username = Some(name.into());
    call.secret = Some(Secret::from(&name[..1]));
    call
}

/// A telephone that has registered under `name`.
pub(crate) async fn registered(to: SocketAddr, name: &str) -> (Phone, Registration) {
    let phone = phone();
    let config = RegistrationConfig {
        to,
        others: Vec::new(),
        username: name.into(),
        secret: Some(Secret::from(&name[..1])),
        key: None,
        allow_plaintext: false,
        refresh: Duration::from_secs(60),
    };
    let mut registration = phone.register(config).await.expect("running");
    let event = registration.next_event().await;
    assert!(matches!(event, Some(RegistrationEvent::Registered { .. })), "{event:?}");
    (phone, registration)
}

/// The next call that a telephone gets.
pub(crate) async fn incoming(phone: &Phone) -> IncomingCall {
    let incoming = tokio::time::timeout(PATIENCE, phone.incoming()).await;
    incoming.expect("it rings").expect("running")
}

/// A call that is answered.
pub(crate) async fn answered(phone: &Phone, to: SocketAddr, call: NewCall) -> Call {
    let mut call = phone.call(to, call).await.expect("placed");
    let answered = tokio::time::timeout(PATIENCE, call.answered()).await;
    answered.expect("in time").expect("answered");
    call
}

/// How a call ends that is not answered.
pub(crate) async fn refused(phone: &Phone, to: SocketAddr, call: NewCall) -> CallEnd {
    let mut call = phone.call(to, call).await.expect("placed");
    match tokio::time::timeout(PATIENCE, call.answered()).await.expect("in time") {
        Err(CallError::Ended(end)) => *end,
        other => panic!("{other:?}"),
    }
}

/// How a call ends that is up.
pub(crate) async fn ended(call: &mut Call) -> CallEnd {
    let end = tokio::time::timeout(PATIENCE, call.ended()).await;
    end.expect("in time").expect("running")
}

/// A bridged call.
pub(crate) async fn bridged(
    caller: (&Phone, &str),
    called: (&Phone, &str),
    to: SocketAddr,
) -> (Call, Call) {
    let (ours, theirs) = tokio::join!(answered(caller.0, to, from(caller.1, called.1)), async {
        incoming(called.0).await.answer().await.expect("the caller waits")
    });
    (ours, theirs)
}

/// Waits until `is` holds, which is asked again and again.
pub(crate) async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let waits = async {
        while !is().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waits).await.is_ok(), "not in time: {what}");
}

/// Says `level` until it is dropped, 20 ms at a time.
pub(crate) async fn say(call: &Call, level: i16) {
    let speaker = call.speaker().expect("accepted");
    let mut payload = Vec::new();
    Codec::Ulaw.encode(&[level; 160], &mut payload);
    loop {
        speaker.send(Format::ULAW, &payload, 20);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits for a whole frame of about this level.
pub(crate) async fn hears(ear: &mut AudioReader, level: i16) {
    let near = |sample: &i16| sample.abs_diff(level) <= 8 + level.unsigned_abs() / 16;
    let waits = async {
        loop {
            let frame = ear.next_frame().await.expect("running");
            let mut samples = Vec::new();
            Codec::for_format(frame.format).expect("spoken").decode(&frame.payload, &mut samples);
            if samples.iter().all(near) {
                return;
            }
        }
    };
    let heard = tokio::time::timeout(PATIENCE, waits).await;
    assert!(heard.is_ok(), "{level} is not heard");
}

/// Writes a file of `level`, so many samples at 8 kHz.
pub(crate) fn write_level(path: &Path, level: i16, samples: usize) {
    let mut writer = wav::Writer::create(path, 8_000).expect("writable");
    writer.write(&vec![level; samples]).expect("writable");
    writer.finish().expect("writable");
}
