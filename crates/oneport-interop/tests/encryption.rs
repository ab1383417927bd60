//! Encrypted calls and RSA with a real Asterisk 22, in both directions.

use std::fs;
use std::time::Duration;

use oneport::{
    CallEvent, DtmfPhase, EncryptionPolicy, EndReason, NewCall, Phone, PhoneConfig, PrivateKey,
    RegistrationConfig, RegistrationEvent,
};
use oneport_interop::{
    PATIENCE, PHONE, call_over, echo_is_exact, named, phone, speech, switch, wait_for_silence,
};
use oneport_testkit::peers::asterisk::Asterisk;
use oneport_testkit::peers::tshark::Capture;
use oneport_testkit::peers::wait_for;

const IAX: &str = "
requirecalltoken=yes
disallow=all
allow=ulaw
[ann]
type=friend
host=dynamic
auth=md5
secret=right
context=test
encryption=yes
forceencryption=yes
[bob]
type=user
auth=md5
secret=right
secret=wrong1
secret=wrong2
context=test
encryption=yes
[plain]
type=user
auth=md5
secret=right
context=test
[rose]
type=friend
host=dynamic
auth=rsa
inkeys=site
context=test
[ruth]
type=user
auth=rsa
inkeys=site
secret=right
context=test
encryption=yes
forceencryption=yes
";

const EXTENSIONS: &str = "
[test]
exten => echo,1,Answer()
same => n,Echo()
exten => digits,1,Answer()
same => n,Read(PRESSED,,4,,1,4)
same => n,Verbose(1,pressed ${PRESSED})
same => n,SendDTMF(${PRESSED})
same => n,Wait(1)
exten => milliwatt,1,Answer()
same => n,Milliwatt(o)
";

/// A telephone that changes its keys every second.
fn restless_phone() -> (Phone, u16) {
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    let mut config = PhoneConfig { listen, ..PhoneConfig::default() };
    config.endpoint.key_rotation = Some(Duration::from_secs(1));
    let phone = Phone::bind(config).expect("bound");
    let port = phone.local_addresses()[0].port();
    (phone, port)
}

fn encrypted(number: &str, name: &str) -> NewCall {
    let mut call = named(number, name, "right");
    call.encryption = EncryptionPolicy::Required;
    call
}

/// Speaks for eight seconds into an echo; every byte must come back, and none be seen by others.
async fn echo_is_exact_and_private(call: NewCall, asterisk: &Asterisk) {
    let (phone, port) = restless_phone();
    let capture = Capture::start(&[port, asterisk.address().port()]);
    let mut call = phone.call(asterisk.address(), call).await.expect("placed");
    call.answered().await.unwrap_or_else(|error| panic!("{error}\n{}", asterisk.log()));
    let (mut reader, speaker) = call.audio().await.expect("accepted");
    let sent = speech();
    echo_is_exact(&mut reader, &speaker, &sent).await;
    let stats = call.stats().await.expect("alive");
    assert!(stats.encrypted);
    drop((call, reader, speaker));
    phone.stop().await;
    nobody_heard(&sent, &capture.into_bytes());
}

/// The whole call was captured, and no part of the voice is there in the clear.
fn nobody_heard(sent: &[u8], seen: &[u8]) {
    assert!(seen.len() > 2 * sent.len(), "{} bytes captured", seen.len());
    for part in sent.chunks(40).step_by(7) {
        assert!(!seen.windows(part.len()).any(|window| window == part), "voice in the clear");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn encrypted_voice_through_asterisk_is_exact_and_nobody_else_hears_it() {
    let asterisk = Asterisk::start(IAX, EXTENSIONS);
    echo_is_exact_and_private(encrypted("echo", "ann"), &asterisk).await;
    assert!(!asterisk.log().contains("Decrypt Failed"), "{}", asterisk.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn asterisk_with_several_secrets_finds_the_right_one() {
    let asterisk = Asterisk::start(IAX, EXTENSIONS);
    echo_is_exact_and_private(encrypted("echo", "bob"), &asterisk).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn digits_right_behind_the_answer_of_an_encrypted_call_are_not_lost() {
    let asterisk = Asterisk::start(IAX, EXTENSIONS);
    let (phone, _) = phone();
    let mut call =
        phone.call(asterisk.address(), encrypted("digits", "ann")).await.expect("placed");
    call.answered().await.expect("answered");
    let keypad = call.keypad();
    keypad.press("1590").await.expect("pressed");
    let mut heard = String::new();
    while let Some(event) = call.next_event().await {
        match event {
            CallEvent::Dtmf { digit, phase: DtmfPhase::Begin } => heard.push(char::from(digit)),
            CallEvent::Ended(_) => break,
            _ => {}
        }
    }
    assert_eq!(heard, "1590", "{}", asterisk.log());
    asterisk.wait_for_log("pressed 1590");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_would_not_encrypt_gets_no_call() {
    let asterisk = Asterisk::start(IAX, EXTENSIONS);
    let (phone, _) = phone();
    let mut call =
        phone.call(asterisk.address(), encrypted("echo", "plain")).await.expect("placed");
    let end = call.ended().await.expect("running");
    assert_eq!(end.reason, EndReason::EncryptionRefused);
    let mut call =
        phone.call(asterisk.address(), named("echo", "ann", "right")).await.expect("placed");
    let end = call.ended().await.expect("running");
    assert_eq!(end.reason, EndReason::RemoteReject, "Asterisk forces it, we do not offer it");
    let mut call = encrypted("echo", "ann");
    call.secret = Some(oneport::Secret::from("wrong"));
    let mut call = phone.call(asterisk.address(), call).await.expect("placed");
    // Asterisk cannot read what a wrong secret encrypts. It says nothing, and our proof is given up; or
    // it takes what it decrypts for another frame (7 of 76 calls), acknowledges that, and the time for
    // the whole set-up ends.
    let end = tokio::time::timeout(2 * PATIENCE, call.ended()).await;
    let reason = end.expect("it ends").expect("running").reason;
    assert!(matches!(reason, EndReason::TimedOut | EndReason::SetupTimedOut), "{reason:?}");
}

/// Asterisk calls our echo for a telephone, which hears every byte again.
async fn asterisk_hears_our_echo(asterisk: &Asterisk, channel: &str) {
    let (phone, _) = phone();
    let call = call_over(&phone, asterisk, channel).await;
    let (mut reader, speaker) = call.audio().await.expect("accepted");
    echo_is_exact(&mut reader, &speaker, &speech()).await;
    drop(call);
    wait_for_silence(asterisk);
}

/// The first line belongs to `[server]`.
const PEERS: &str = "
key_rotation_seconds = 2
[peers.ann]
secret = \"right\"
encryption = \"required\"
[peers.open]
secret = \"right\"
";

#[tokio::test(flavor = "multi_thread")]
async fn asterisk_s_encrypted_call_to_us_is_exact_and_nobody_else_hears_it() {
    let iax = format!("encryption=yes\nrequirecalltoken=yes\ndisallow=all\nallow=ulaw\n{PHONE}");
    let asterisk = Asterisk::start(&iax, "[phone]\n");
    let (_switch, to) = switch(PEERS);
    let capture = Capture::start(&[to.port()]);
    asterisk_hears_our_echo(&asterisk, &format!("IAX2/ann:right@{to}/echo")).await;
    assert!(!asterisk.log().contains("Decrypt Failed"), "{}", asterisk.log());
    let seen = tokio::task::spawn_blocking(|| capture.into_bytes()).await.expect("no panic");
    nobody_heard(&speech(), &seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn asterisk_without_encryption_is_refused_where_we_require_it() {
    let asterisk = Asterisk::start("disallow=all\nallow=ulaw\n", "[test]\nexten => x,1,Wait(9)\n");
    let (_switch, to) = switch(PEERS);
    asterisk.originate(&format!("IAX2/ann:right@{to}/echo"), "x@test");
    asterisk.wait_for_log("Hungup 'IAX2/");
    asterisk.originate(&format!("IAX2/open:right@{to}/echo"), "x@test");
    asterisk.wait_for_log("Executing [x@test:1] Wait");
}

#[tokio::test(flavor = "multi_thread")]
async fn rsa_proves_who_we_are_to_asterisk() {
    let asterisk = Asterisk::start(IAX, EXTENSIONS);
    let key = PrivateKey::generate([1; 32]).expect("a key");
    asterisk.add_key("site.pub", &key.public().to_pem().expect("PEM"));
    let (phone, _) = phone();
    let mut call = NewCall::to("echo");
    call.username = Some("rose".into());
    call.key = Some(key.clone());
    let mut good = phone.call(asterisk.address(), call.clone()).await.expect("placed");
    good.answered().await.unwrap_or_else(|error| panic!("{error}\n{}", asterisk.log()));
    drop(good);
    call.key = Some(PrivateKey::generate([2; 32]).expect("a key"));
    let mut wrong = phone.call(asterisk.address(), call).await.expect("placed");
    let end = wrong.ended().await.expect("running");
    assert_eq!((end.reason, end.cause.0), (EndReason::RemoteReject, 50));
    let config = RegistrationConfig {
        to: asterisk.address(),
        others: Vec::new(),
        username: "rose".into(),
        secret: None,
        key: Some(key.clone()),
        allow_plaintext: false,
        refresh: Duration::from_secs(60),
    };
    let mut registration = phone.register(config).await.expect("running");
    let event = registration.next_event().await;
    assert!(matches!(event, Some(RegistrationEvent::Registered { .. })), "{event:?}");
    let mut both = encrypted("echo", "ruth");
    both.key = Some(key);
    echo_is_exact_and_private(both, &asterisk).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rsa_proves_to_us_who_asterisk_is() {
    let directory = tempfile::tempdir().expect("a directory");
    let key = PrivateKey::generate([3; 32]).expect("a key");
    let public = directory.path().join("site.pub");
    fs::write(&public, key.public().to_pem().expect("PEM")).expect("writable");
    let (_switch, to) = switch(&format!(
        "[peers.rose]\ninkeys = [{public:?}]\n\
         [peers.ruth]\ninkeys = [{public:?}]\nsecret = \"right\"\n\
         encryption = \"required\"\n"
    ));
    let iax = format!(
        "disallow=all\nallow=ulaw\nregister => rose:[site]@{to}\n\
         [out]\ntype=peer\nhost={}\nport={}\nusername=rose\nauth=rsa\noutkey=site\n\
         [both]\ntype=peer\nhost={}\nport={}\nusername=ruth\nauth=rsa\noutkey=site\n\
         secret=right\nencryption=yes\n{PHONE}",
        to.ip(),
        to.port(),
        to.ip(),
        to.port()
    );
    let asterisk = Asterisk::start(&iax, "[phone]\n");
    asterisk.add_key("site.key", &key.to_pem().expect("PEM"));
    // It had no key when it tried to register, and would try again after a minute.
    asterisk.write_config(
        "iax.conf",
        &format!("[general]\nbindaddr=127.0.0.1\nbindport={}\n{iax}", asterisk.address().port()),
    );
    let _ = asterisk.cli("iax2 reload");
    asterisk_hears_our_echo(&asterisk, "IAX2/out/echo").await;
    wait_for("Asterisk to be registered", 2 * PATIENCE, || {
        asterisk.cli("iax2 show registry").contains("Registered")
    });
    asterisk_hears_our_echo(&asterisk, "IAX2/both/echo").await;
}
