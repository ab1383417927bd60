//! Packets with the source address of a peer that is known by that alone: one engine and one switch
//! in one thread.

use std::net::SocketAddr;
use std::path::Path as FilePath;
use std::sync::{Arc, Mutex};

use oneport::Application;
use oneport_proto::{CallId, Endpoint, Instant, Media, MediaSink, Path, TransmitBuffer};
use oneport_switch::store::Record;
use oneport_switch::{Config, Journal, Stage, Switch};
use oneport_wire::{
    CallNumber, CauseCode, Datagram, Element, ElementBuffer, Format, FullHeader, IaxSubclass,
    Message, Seq, Timestamp,
};

struct Deaf;

impl MediaSink for Deaf {
    fn media(&mut self, _: CallId, _: Media<'_>) {}
}

#[derive(Clone, Default)]
struct Pile(Arc<Mutex<Vec<Record>>>);

impl Journal for Pile {
    fn append(&mut self, record: Record) {
        self.0.lock().expect("whole").push(record);
    }
}

/// Where the peer is that has no secret.
const TRUNK: &str = "192.0.2.7:4569";

/// What the switch does with a NEW for the trunk's numbers.
#[derive(PartialEq, Eq, Debug)]
enum Answer {
    /// It is led to where the number says.
    Accepted,
    /// It is refused: stage, kind and cause.
    Refused(Stage, String, Option<u8>),
    /// It must prove a secret.
    Challenged,
}

/// A switch with `text` beside the trunk, a NEW from `from` under `username`, and what becomes of it.
#[derive(Clone, Copy)]
struct Scene<'a> {
    text: &'a str,
    from: &'a str,
    username: Option<&'a str>,
    /// It fetches a call token, and so shows that it is at its address.
    validated: bool,
}

impl Scene<'_> {
    fn play(&self) -> Answer {
        let text = format!(
            "[peers.trunk]\naddress = \"{TRUNK}\"\nqualify = false\n{}\n\
             [[routes]]\nnumber = \"600\"\nto = [\"builtin:echo\"]\n",
            self.text
        );
        let config = Config::parse(FilePath::new("test.toml"), &text).expect("it is good");
        let now = Instant::from_micros(0);
        let mut endpoint = Endpoint::new(config.endpoint.clone(), [1; 32], now);
        let mut switch = Switch::new(config);
        let pile = Pile::default();
        switch.keep_records(pile.clone(), Vec::new());
        switch.start(&mut endpoint, now);
        let mut token = self.validated.then(Vec::new);
        loop {
            let mut datagram = self.new_frame(token.as_deref());
            let from = Path::from(self.from.parse::<SocketAddr>().expect("an address"));
            endpoint.handle_datagram(now, from, &mut datagram, &mut Deaf);
            while let Some(event) = endpoint.poll_event() {
                switch.handle_event(&mut endpoint, now, event);
            }
            let durable = pile.0.lock().expect("whole").len() as u64;
            switch.durable(&mut endpoint, now, durable);
            let said = said(&mut endpoint);
            let refusal = pile.0.lock().expect("whole").iter().find_map(|record| match record {
                Record::Refusal(refusal) => Some(refusal.clone()),
                _ => None,
            });
            if let Some(refusal) = refusal {
                assert!(said.iter().any(|(subclass, _)| *subclass == IaxSubclass::Reject));
                return Answer::Refused(refusal.stage, refusal.kind, refusal.cause);
            }
            match said.into_iter().find(|(subclass, _)| *subclass != IaxSubclass::Ack) {
                Some((IaxSubclass::Accept, _)) => return Answer::Accepted,
                Some((IaxSubclass::CallToken, given)) if self.validated => token = Some(given),
                Some((IaxSubclass::AuthReq, _)) => return Answer::Challenged,
                other => panic!("{other:?}"),
            }
        }
    }

    fn new_frame(&self, token: Option<&[u8]>) -> Vec<u8> {
        let mut elements = ElementBuffer::new();
        elements.push(&Element::Version(2));
        elements.push(&Element::CalledNumber("600".into()));
        elements.push(&Element::Capability([Format::ULAW].into_iter().collect()));
        elements.push(&Element::Format([Format::ULAW].into_iter().collect()));
        if let Some(name) = self.username {
            elements.push(&Element::Username(name.into()));
        }
        if let Some(token) = token {
            elements.push(&Element::CallToken(token));
        }
        let header = FullHeader {
            source: CallNumber::from_bits(9),
            destination: CallNumber::from_bits(0),
            retransmission: false,
            timestamp: Timestamp(1),
            oseq: Seq::ZERO,
            iseq: Seq::ZERO,
        };
        let mut frame = Vec::new();
        Message::iax(IaxSubclass::New, elements.as_elements()).encode(&header, &mut frame);
        frame
    }
}

/// What the engine has to say: each frame, and its call token.
fn said(endpoint: &mut Endpoint) -> Vec<(IaxSubclass, Vec<u8>)> {
    let mut buffer = TransmitBuffer::with_capacity(65_536, 1);
    let mut said = Vec::new();
    while endpoint.poll_transmit(&mut buffer).is_some() {
        let datagram = Datagram::decode(buffer.as_bytes()).expect("whole");
        let Datagram::Full(frame) = datagram else { panic!("{datagram}") };
        let Ok(Message::Iax { subclass, elements }) = frame.message() else { continue };
        let token = elements.iter().find_map(|element| match element {
            Element::CallToken(token) => Some(token.to_vec()),
            _ => None,
        });
        said.push((subclass, token.unwrap_or_default()));
    }
    said
}

fn unproved() -> Answer {
    let cause = Some(CauseCode::FACILITY_NOT_SUBSCRIBED.0);
    Answer::Refused(Stage::Identification, "address_unproved".into(), cause)
}

/// Before anything is kept of it.
fn turned_away() -> Answer {
    Answer::Refused(Stage::Opening, "call_token_missing".into(), None)
}

const AS_TRUNK: Scene<'_> =
    Scene { text: "", from: TRUNK, username: Some("trunk"), validated: false };

#[test]
fn a_source_address_alone_is_no_proof_of_who_calls_whatever_the_peer_says_of_call_tokens() {
    for rule in ["optional", "auto"] {
        let text = format!("call_token = \"{rule}\"");
        let spoofed = Scene { text: &text, ..AS_TRUNK };
        assert_eq!(spoofed.play(), unproved(), "{rule}");
        let shown = Scene { validated: true, ..spoofed };
        assert_eq!(shown.play(), Answer::Accepted, "{rule}, with a token of its own");
    }
    assert_eq!(AS_TRUNK.play(), turned_away());
    assert_eq!(Scene { validated: true, ..AS_TRUNK }.play(), Answer::Accepted);
}

#[test]
fn a_caller_without_a_name_is_no_peer_by_its_source_address_alone() {
    // Who has no name is let off its token by the entry of this one.
    let text = "[peers.guest]\nsecret = \"g\"\ncall_token = \"optional\"\n[guests]\nenabled = true";
    let spoofed = Scene { text, username: None, ..AS_TRUNK };
    assert_eq!(spoofed.play(), unproved());
    assert_eq!(Scene { validated: true, ..spoofed }.play(), Answer::Accepted);
    let elsewhere = Scene { text, from: "192.0.2.8:4569", username: None, validated: false };
    assert_eq!(elsewhere.play(), Answer::Accepted, "a guest, who claims to be nobody");
}

#[test]
fn a_peer_of_a_trusted_network_is_known_by_its_source_address_alone() {
    let text = |network| format!("[server]\ncall_token_optional = [\"{network}\"]");
    for username in [Some("trunk"), None] {
        let scene = Scene { username, ..AS_TRUNK };
        let listed = text("192.0.2.0/24");
        assert_eq!(Scene { text: &listed, ..scene }.play(), Answer::Accepted);
        let another = text("192.0.3.0/24");
        let other = Scene { text: &another, ..scene };
        assert_eq!(other.play(), turned_away(), "another network is");
    }
    // The network is trusted, and the peer is not: its own rule goes first.
    let both = format!("call_token = \"required\"\n{}", text("192.0.2.0/24"));
    assert_eq!(Scene { text: &both, ..AS_TRUNK }.play(), turned_away());
}

#[test]
fn a_secret_is_proof_enough_without_a_call_token() {
    let text = "[peers.modem]\nsecret = \"m\"\ncall_token = \"optional\"";
    let modem = Scene { text, username: Some("modem"), ..AS_TRUNK };
    assert_eq!(modem.play(), Answer::Challenged);
}
