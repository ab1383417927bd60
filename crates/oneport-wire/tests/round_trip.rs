//! Decoding and encoding again gives the same bytes, whatever came; and the layouts are those of
//! RFC 5456 and of its peers, byte for byte.

use oneport_wire::{
    AuthMethods, CallNumber, Datagram, DecodeError, Element, ElementBuffer, Elements, Format,
    FormatSet, FullHeader, IaxSubclass, Message, MiniFrame, Seq, Timestamp,
};
use proptest::prelude::*;

/// Encodes what was decoded. Trunk frames keep their entries as they came.
fn encode(datagram: Datagram<'_>, original: &[u8]) -> Vec<u8> {
    match datagram {
        Datagram::Full(frame) => {
            let mut out = Vec::new();
            frame.message().expect("whole").encode(&frame.header, &mut out);
            out
        }
        Datagram::Mini(frame) => {
            let mut out = MiniFrame::encode_header(frame.source, frame.timestamp).to_vec();
            out.extend(frame.payload);
            out
        }
        Datagram::VideoMini(frame) => {
            let mut out = frame.encode_header().to_vec();
            out.extend(frame.payload);
            out
        }
        Datagram::Trunk(_) => original.to_vec(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn any_bytes_decode_without_panic_and_encode_to_themselves(
        bytes in proptest::collection::vec(any::<u8>(), 0..120),
        kind in 0_u8..4,
    ) {
        let mut bytes = bytes;
        match (kind, bytes.as_mut_slice()) {
            // A full IAX frame, whose elements are then looked into.
            (1, [first, .., _, _]) if *first & 0x80 == 0 => *first |= 0x80,
            (2, [a, b, ..]) => { *a = 0; *b = 0; }
            (3, [a, b, c, d, ..]) => { *a = 0; *b = 0; *c = 1; *d &= 1; }
            _ => {}
        }
        let Ok(datagram) = Datagram::decode(&bytes) else { return Ok(()) };
        let _ = datagram.to_string();
        if let Datagram::Full(frame) = datagram {
            let Ok(message) = frame.message() else { return Ok(()) };
            if let Message::Iax { elements, .. } = message {
                let mut again = ElementBuffer::new();
                elements.iter().for_each(|element| again.push(&element));
                // Byte for byte but for addresses, which have several spellings, and the padding
                // behind them.
                for (before, after) in elements.iter().zip(again.as_elements().iter()) {
                    prop_assert_eq!(before, after);
                }
            }
        }
        if let Datagram::Trunk(frame) = datagram {
            let _ = frame.entries().count();
        }
        // The V bit of a video frame and both bits of a full one are implied by the kind.
        prop_assert_eq!(encode(datagram, &bytes), bytes);
    }
}

#[test]
fn every_element_of_every_size_is_read_or_kept() {
    let data = [0_u8; 255];
    for id in 0..=255_u8 {
        for len in 0..=255 {
            let element = Element::decode(id, &data[..len]);
            assert_eq!(element.id(), id);
            let mut buffer = ElementBuffer::new();
            buffer.push(&element);
            assert_eq!(buffer.as_elements().iter().next(), Some(element), "{id}, {len} bytes");
        }
    }
    assert!(matches!(Element::decode(11, &[0]), Element::Malformed { id: 11, .. }));
    assert!(matches!(Element::decode(58, &[0]), Element::Unknown { id: 58, .. }));
    // A version of FORMAT2 to come is not an error.
    assert!(matches!(Element::decode(56, &[1, 2, 3]), Element::Unknown { id: 56, .. }));
}

#[test]
fn elements_that_are_not_whole_are_refused_at_their_offset() {
    let stray = Elements::parse(&[0x0B, 2, 0, 2, 9]);
    assert_eq!(stray, Err(DecodeError::StrayByte { offset: 4 }));
    let overrun = Elements::parse(&[0x0B, 2, 0, 2, 6, 5, b'a']);
    assert_eq!(overrun, Err(DecodeError::ElementOverrun { id: 6, offset: 4, len: 5, left: 1 }));
}

fn header(source: u16, destination: u16, timestamp: u32, oseq: u8, iseq: u8) -> FullHeader {
    FullHeader {
        source: CallNumber::from_bits(source),
        destination: CallNumber::from_bits(destination),
        retransmission: false,
        timestamp: Timestamp(timestamp),
        oseq: Seq(oseq),
        iseq: Seq(iseq),
    }
}

#[test]
fn frames_have_the_bytes_of_the_reference() {
    let mut elements = ElementBuffer::new();
    elements.push(&Element::Version(2));
    elements.push(&Element::CallToken(&[]));
    let mut out = Vec::new();
    let new = Message::iax(IaxSubclass::New, elements.as_elements());
    new.encode(&header(2, 0, 3, 0, 0), &mut out);
    assert_eq!(out, [0x80, 2, 0, 0, 0, 0, 0, 3, 0, 0, 6, 1, 0x0B, 2, 0, 2, 0x36, 0]);

    out.clear();
    let ack = Message::iax(IaxSubclass::Ack, Elements::EMPTY);
    ack.encode(&header(2, 3, 0x14, 1, 1), &mut out);
    assert_eq!(out, [0x80, 2, 0, 3, 0, 0, 0, 0x14, 1, 1, 6, 4]);

    let check = |element: Element<'_>, bytes: &[u8]| {
        let mut buffer = ElementBuffer::new();
        buffer.push(&element);
        assert_eq!(buffer.as_elements().as_bytes(), bytes, "{element:?}");
        assert_eq!(buffer.as_elements().iter().next(), Some(element));
    };
    let set: FormatSet = [Format::ULAW, Format::OPUS].into_iter().collect();
    check(Element::Capability2(set), &[0x37, 9, 0, 0, 0, 0, 4, 0, 0, 0, 4]);
    let address = "192.0.2.1:4569".parse().unwrap();
    let bytes = [0x12, 0x10, 2, 0, 0x11, 0xD9, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    check(Element::ApparentAddress(address), &bytes);
    check(Element::AuthMethods(AuthMethods::MD5), &[14, 2, 0, 2]);
    let mut buffer = ElementBuffer::new();
    buffer.push_codec_preferences(&[Format::OPUS, Format::ULAW, Format::GSM]);
    assert_eq!(buffer.as_elements().as_bytes(), [0x2D, 3, b'f', b'D', b'C']);
}

#[test]
fn long_text_is_cut_at_the_end_of_a_character() {
    let text = "é".repeat(200);
    let mut buffer = ElementBuffer::new();
    buffer.push(&Element::CallingName(text.as_str().into()));
    let Some(Element::CallingName(cut)) = buffer.as_elements().iter().next() else { panic!() };
    assert_eq!(cut.to_str(), Some("é".repeat(127).as_str()));
}

#[test]
fn short_datagrams_of_every_class_are_answered_by_an_error_or_a_frame() {
    for first in [0x00, 0x01, 0x7F, 0x80, 0xFF] {
        for third in [0x00, 0x01, 0x80] {
            for len in 0..=64 {
                let mut bytes = vec![0; len];
                for (offset, value) in [(0, first), (2, third)] {
                    if let Some(byte) = bytes.get_mut(offset) {
                        *byte = value;
                    }
                }
                let least = match (first, third) {
                    (0x80.., _) => 12,
                    (0, 0x80) => 6,
                    (0, 1) => 8,
                    (0, _) => usize::MAX,
                    _ => 4,
                };
                assert_eq!(Datagram::decode(&bytes).is_ok(), len >= least, "{first} {third} {len}");
            }
        }
    }
}
