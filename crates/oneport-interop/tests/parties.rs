//! What passes through a real Asterisk 22 between two of us besides voice.

use std::time::Duration;

use oneport::{
    CallEvent, Control, NewCall, Phone, PhoneConfig, RegistrationConfig, RegistrationEvent, Secret,
};
use oneport_interop::{named, phone};
use oneport_testkit::peers::asterisk::Asterisk;
use oneport_testkit::peers::free_port;

const IAX: &str = "
requirecalltoken=yes
disallow=all
allow=ulaw
[ann]
type=user
auth=md5
secret=right
context=test
connectedline=yes
mohinterpret=passthrough
transfer=no
";

/// A peer of Asterisk's at the address of one of our telephones.
fn peer(phone: &Phone) -> String {
    let port = phone.local_addresses()[0].port();
    format!(
        "[bob]\ntype=peer\nhost=127.0.0.1\nport={port}\ncontext=test\nconnectedline=yes\n\
         mohinterpret=passthrough\nsendani=yes\ntransfer=no\ndisallow=all\nallow=ulaw\n"
    )
}

/// What Asterisk's own events have to do with set-up is passed over.
async fn next(call: &mut oneport::Call) -> CallEvent {
    loop {
        let event = tokio::time::timeout(Duration::from_secs(60), call.next_event()).await;
        match event.expect("something comes").expect("the call lives") {
            CallEvent::Progress(_)
            | CallEvent::ConnectedLine { .. }
            | CallEvent::Control { control: Control::SourceUpdate | Control::Option, .. } => {}
            event => return event,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_radios_holds_and_flashes_pass_through_asterisk_s_bridge() {
    let ((ann, _), (bob, _)) = (phone(), phone());
    let iax = format!("{IAX}{}", peer(&bob));
    let asterisk = Asterisk::start(&iax, "[test]\nexten => bob,1,Dial(IAX2/bob/s,20)\n");
    let to = asterisk.address();
    let mut ours = ann.call(to, named("bob", "ann", "right")).await.expect("placed");
    let incoming = bob.incoming().await.expect("offered");
    let mut theirs = incoming.answer().await.expect("the caller waits");
    if let Err(error) = ours.answered().await {
        panic!("{error}; Asterisk's log:\n{}", asterisk.log());
    }
    // The bridge stands a moment after the answer.
    tokio::time::sleep(Duration::from_millis(500)).await;
    for _ in 0..3 {
        ours.key(b"100.0").await.expect("up");
        assert_eq!(next(&mut theirs).await, CallEvent::Keyed(b"100.0".into()));
        ours.unkey().await.expect("up");
        assert_eq!(next(&mut theirs).await, CallEvent::Unkeyed);
        theirs.key(b"").await.expect("up");
        assert_eq!(next(&mut ours).await, CallEvent::Keyed(Vec::new()));
        theirs.unkey().await.expect("up");
        assert_eq!(next(&mut ours).await, CallEvent::Unkeyed);
    }
    let control = |control, payload: &[u8]| CallEvent::Control { control, payload: payload.into() };
    ours.hold(Some("jazz")).await.expect("up");
    let held = next(&mut theirs).await;
    // Asterisk's bridge takes a class as text that ends with a NUL.
    let CallEvent::Control { control: Control::Hold, payload } = held else { panic!("{held:?}") };
    assert_eq!(payload.strip_suffix(&[0]).unwrap_or(&payload), b"jazz");
    ours.unhold().await.expect("up");
    assert_eq!(next(&mut theirs).await, control(Control::Unhold, b""));
    ours.send_control(Control::Flash).await.expect("up");
    assert_eq!(next(&mut theirs).await, control(Control::Flash, b""));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_call_says_of_itself_arrives_whole_behind_asterisk() {
    let ((ann, _), (bob, _)) = (phone(), phone());
    let iax = format!("{IAX}{}", peer(&bob));
    let asterisk = Asterisk::start(
        &iax,
        "[test]\nexten => bob,1,Verbose(1,speaks ${CHANNEL(language)} dnid \
         ${CALLERID(dnid)} rdnis ${CALLERID(rdnis)})\nsame => n,Dial(IAX2/bob/s,20)\n",
    );
    let new = NewCall {
        calling_number: Some("100".into()),
        calling_name: Some("Ann".into()),
        calling_ani: Some("199".into()),
        calling_presentation: 0x20,
        calling_type_of_number: 0x10,
        language: Some("de".into()),
        dnid: Some("601".into()),
        rdnis: Some("602".into()),
        ..named("bob", "ann", "right")
    };
    let _call = ann.call(asterisk.address(), new).await.expect("placed");
    let incoming = tokio::time::timeout(Duration::from_secs(60), bob.incoming()).await;
    let incoming = incoming.unwrap_or_else(|_| panic!("{}", asterisk.log())).expect("offered");
    let offer = incoming.offer();
    assert_eq!(offer.calling_number.as_deref(), Some("100"));
    assert_eq!(offer.calling_name.as_deref(), Some("Ann"));
    assert_eq!(offer.calling_ani.as_deref(), Some("199"));
    assert_eq!(offer.calling_presentation, Some(0x20));
    assert_eq!(offer.calling_type_of_number, Some(0x10));
    // These Asterisk keeps for its dial plan, and says nothing of them to whom it dials.
    asterisk.wait_for_log("speaks de dnid 601 rdnis 602");
}

#[tokio::test(flavor = "multi_thread")]
async fn asterisk_tells_our_ipv6_address() {
    let port = free_port();
    let iax = format!(
        "bindaddr=[::1]:{port}\nrequirecalltoken=yes\n[ann]\ntype=friend\nhost=dynamic\nauth=md5\n\
         secret=right\ncontext=test\n"
    );
    let _asterisk = Asterisk::start(&iax, "[test]\n");
    let listen = vec!["[::1]:0".parse().expect("an address")];
    let phone = Phone::bind(PhoneConfig { listen, ..PhoneConfig::default() }).expect("bound");
    let own = phone.local_addresses()[0];
    let config = RegistrationConfig {
        to: format!("[::1]:{port}").parse().expect("an address"),
        others: Vec::new(),
        username: "ann".into(),
        secret: Some(Secret::from("right")),
        key: None,
        allow_plaintext: false,
        refresh: Duration::from_secs(60),
    };
    let mut registration = phone.register(config).await.expect("running");
    match registration.next_event().await {
        Some(RegistrationEvent::Registered { apparent_address, .. }) => {
            assert_eq!(apparent_address, Some(own));
        }
        other => panic!("{other:?}"),
    }
}
