//! Every packet of the captures in `testdata/` is understood whole, and encodes to itself.

use std::collections::BTreeMap;
use std::path::Path;

use oneport_wire::{Datagram, Element, ElementBuffer, Message};

/// UDP payloads of a classic little-endian pcap with Ethernet and IPv4 headers without options.
fn udp_payloads(capture: &[u8]) -> Vec<&[u8]> {
    let word =
        |at: usize| u32::from_le_bytes(capture[at..at + 4].try_into().expect("four")) as usize;
    assert_eq!(word(0), 0xA1B2_C3D4, "classic pcap");
    assert_eq!(word(20), 1, "Ethernet");
    let (mut payloads, mut at) = (Vec::new(), 24);
    while at < capture.len() {
        let len = word(at + 8);
        let packet = &capture[at + 16..at + 16 + len];
        assert_eq!((packet[14], packet[23]), (0x45, 17), "IPv4 without options, UDP");
        payloads.push(&packet[14 + 20 + 8..]);
        at += 16 + len;
    }
    payloads
}

#[test]
fn captures_of_real_peers_are_understood_and_encode_to_themselves() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata");
    let mut messages = BTreeMap::<String, usize>::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "pcap") {
            continue;
        }
        let capture = std::fs::read(&path).unwrap();
        let payloads = udp_payloads(&capture);
        assert!(!payloads.is_empty(), "{}", path.display());
        for (number, payload) in payloads.into_iter().enumerate() {
            let at = format!("{} packet {}", path.display(), number + 1);
            let Datagram::Full(frame) = Datagram::decode(payload).expect(&at) else { continue };
            let message = frame.message().expect(&at);
            let mut again = Vec::new();
            message.encode(&frame.header, &mut again);
            assert_eq!(again, payload, "{at}");
            if let Message::Iax { subclass, elements } = message {
                let mut buffer = ElementBuffer::new();
                for element in elements {
                    let known =
                        !matches!(element, Element::Unknown { .. } | Element::Malformed { .. });
                    assert!(known, "{at}: {element:?}");
                    buffer.push(&element);
                }
                assert_eq!(buffer.as_elements(), elements, "{at}");
                *messages.entry(subclass.to_string()).or_default() += 1;
            }
        }
    }
    for expected in ["REGREQ", "REGAUTH", "REGACK", "CALLTOKEN", "NEW", "AUTHREQ", "AUTHREP"] {
        assert!(messages.contains_key(expected), "no {expected} among {messages:?}");
    }
    for expected in ["ACCEPT", "REJECT", "HANGUP", "ACK"] {
        assert!(messages.contains_key(expected), "no {expected} among {messages:?}");
    }
}
