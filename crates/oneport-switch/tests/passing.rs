//! What passes through the switch besides voice, digits and text.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use oneport::{Application, Driver, DriverConfig, NewCall, Secret};
use oneport_proto::{CallId, Endpoint, Event, Instant, Offer};
use oneport_switch::{Config, Switch};
use oneport_wire::{Format, frame_type};
use tokio::sync::mpsc;

/// Answers every call and hands on what happens.
struct Witness(mpsc::UnboundedSender<Event>);

impl Application for Witness {
    fn handle_event(&mut self, endpoint: &mut Endpoint, now: Instant, event: Event) {
        if let Event::CallOffered { call, .. } = event {
            endpoint.accept(now, call, Format::ULAW).expect("offered");
            endpoint.answer(now, call).expect("accepted");
        }
        let _ = self.0.send(event);
    }
}

fn witness() -> (Driver<Witness>, SocketAddr, mpsc::UnboundedReceiver<Event>) {
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    let (sender, events) = mpsc::unbounded_channel();
    let config = DriverConfig { listen, ..DriverConfig::default() };
    let driver = Driver::start(config, Witness(sender)).expect("started");
    let address = driver.local_addresses()[0];
    (driver, address, events)
}

async fn next<T>(
    events: &mut mpsc::UnboundedReceiver<Event>,
    mut wanted: impl FnMut(Event) -> Option<T>,
) -> T {
    loop {
        let event = tokio::time::timeout(Duration::from_secs(60), events.recv()).await;
        if let Some(found) = wanted(event.expect("something happens").expect("running")) {
            return found;
        }
    }
}

/// An answered call from Ann to Bob through a switch: what belongs to either, and what Bob was told.
async fn through_the_switch(
    new: NewCall,
    codecs_of_bob: &str,
) -> (
    Driver<Switch>,
    (Driver<Witness>, CallId),
    mpsc::UnboundedReceiver<Event>,
    Driver<Witness>,
    Box<Offer>,
) {
    let (bob, bob_s, mut at_bob) = witness();
    let text = format!(
        "[overload]\nenabled = false\n[server]\nlisten = [\"127.0.0.1:0\"]\n[peers.ann]\nsecret = \"a\"\n\
         [peers.bob]\naddress = \"{bob_s}\"\nqualify = false\ncodecs = {codecs_of_bob}\n"
    );
    let config = Config::parse(Path::new("test.toml"), &text).expect("a good configuration");
    let driver = DriverConfig {
        listen: config.listen.clone(),
        endpoint: config.endpoint.clone(),
        ..DriverConfig::default()
    };
    let switch = Driver::start(driver, Switch::new(config)).expect("started");
    let to = switch.local_addresses()[0];
    let (ann, _, mut at_ann) = witness();
    let call = ann.with(move |endpoint, _, now| endpoint.place_call(now, to, new)).await;
    let call = call.expect("running").expect("free");
    let offer = next(&mut at_bob, |event| match event {
        Event::CallOffered { offer, .. } => Some(offer),
        _ => None,
    });
    let offer = offer.await;
    next(&mut at_ann, |event| matches!(event, Event::CallAnswered { .. }).then_some(())).await;
    (switch, (ann, call), at_bob, bob, offer)
}

const ALL: &str = "[\"ulaw\", \"slin\"]";

fn call_to_bob() -> NewCall {
    let mut new = NewCall::to("bob");
    new.username = Some("ann".into());
    new.secret = Some(Secret::from("a"));
    new
}

#[tokio::test]
async fn what_a_call_says_of_itself_arrives_whole_behind_the_switch() {
    let mut new = call_to_bob();
    new.calling_number = Some("100".into());
    new.calling_name = Some("Ann".into());
    new.calling_ani = Some("199".into());
    new.calling_presentation = 0x20;
    new.calling_type_of_number = 0x10;
    new.calling_transit_network = 7;
    new.calling_ani2 = 61;
    new.language = Some("de".into());
    new.dnid = Some("601".into());
    new.rdnis = Some("602".into());
    new.osp_token = vec![5; 600];
    let said = new.clone();
    let (_switch, _ann, _, _bob, offer) = through_the_switch(new, ALL).await;
    assert_eq!(offer.calling_number, said.calling_number);
    assert_eq!(offer.calling_name, said.calling_name);
    assert_eq!(offer.calling_ani, said.calling_ani);
    assert_eq!(offer.calling_presentation, Some(0x20));
    assert_eq!(offer.calling_type_of_number, Some(0x10));
    assert_eq!(offer.calling_transit_network, Some(7));
    assert_eq!(offer.calling_ani2, Some(61));
    assert_eq!((offer.language, offer.dnid, offer.rdnis), (said.language, said.dnid, said.rdnis));
    assert_eq!(offer.osp_token, said.osp_token);
}

#[tokio::test]
async fn fax_images_html_and_noise_pass_through_the_switch_as_they_are() {
    let (_switch, (ann, call), mut at_bob, _bob, _) = through_the_switch(call_to_bob(), ALL).await;
    let frames = [
        (frame_type::MODEM, 1, vec![1, 2, 3]),
        (frame_type::MODEM, 2, vec![4; 900]),
        (frame_type::IMAGE, 0x90, vec![7; 3_000]),
        (frame_type::HTML, 1, b"https://example.org/".to_vec()),
        (frame_type::CNG, 40, vec![]),
    ];
    for (kind, subclass, payload) in frames.clone() {
        let send = ann
            .with(move |endpoint, _, now| endpoint.send_frame(now, call, kind, subclass, &payload));
        send.await.expect("running").expect("up");
    }
    for expected in frames {
        let frame = next(&mut at_bob, |event| match event {
            Event::Frame { frame_type, subclass, payload, .. } => {
                Some((frame_type, subclass, payload))
            }
            _ => None,
        });
        assert_eq!(frame.await, expected);
    }
}

#[tokio::test]
async fn all_that_is_no_voice_passes_as_it_is_between_legs_that_are_transcoded() {
    let new = NewCall { formats: vec![Format::SLIN], ..call_to_bob() };
    let (_switch, (ann, call), mut at_bob, _bob, offer) =
        through_the_switch(new, "[\"ulaw\"]").await;
    assert!(!offer.formats.contains(Format::SLIN), "they share nothing");
    let frames = [
        (frame_type::MODEM, 1, vec![1, 2, 3]),
        (frame_type::IMAGE, 0x90, vec![7; 3_000]),
        (frame_type::HTML, 1, b"https://example.org/".to_vec()),
    ];
    for (n, (kind, subclass, payload)) in frames.clone().into_iter().enumerate() {
        let send = ann.with(move |endpoint, _, now| {
            // Between them somebody speaks, and keys a radio.
            endpoint.send_voice(now, call, Format::SLIN, &[0x11; 320], 20).expect("up");
            endpoint.key(now, call, &[n as u8; 5]).expect("up");
            endpoint.unkey(now, call).expect("up");
            endpoint.send_text(now, call, "hello").expect("up");
            endpoint.send_frame(now, call, kind, subclass, &payload)
        });
        send.await.expect("running").expect("up");
    }
    for (n, expected) in frames.into_iter().enumerate() {
        let mut seen = Vec::new();
        let frame = next(&mut at_bob, |event| match event {
            Event::Frame { frame_type, subclass, payload, .. } => {
                Some((frame_type, subclass, payload))
            }
            Event::Keyed { data, .. } => {
                seen.push(format!("{data:?}"));
                None
            }
            Event::Unkeyed { .. } => {
                seen.push("unkeyed".into());
                None
            }
            Event::Text { text, .. } => {
                seen.push(text);
                None
            }
            _ => None,
        });
        assert_eq!(frame.await, expected);
        assert_eq!(seen, [format!("{:?}", [n; 5]), "unkeyed".into(), "hello".into()]);
    }
}
