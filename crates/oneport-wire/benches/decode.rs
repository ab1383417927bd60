//! Cost of decoding: `cargo bench -p oneport-wire`.

use divan::{Bencher, black_box};
use oneport_wire::{
    CallNumber, Datagram, Element, ElementBuffer, Format, FullHeader, IaxSubclass, Message,
    MiniTimestamp, Seq, Timestamp, TrunkWriter,
};

fn main() {
    divan::main();
}

fn new_with_12_elements() -> Vec<u8> {
    let formats = [Format::ULAW, Format::ALAW, Format::GSM].into_iter().collect();
    let mut elements = ElementBuffer::new();
    for element in [
        Element::Version(2),
        Element::CalledNumber("600".into()),
        Element::CallingNumber("100".into()),
        Element::CallingName("Reception".into()),
        Element::CallingPresentation(0),
        Element::Language("en".into()),
        Element::Username("dialer".into()),
        Element::Format(formats),
        Element::Format2(formats),
        Element::Capability(formats),
        Element::Capability2(formats),
        Element::CallToken(b"AAAAAAAAAAAAAAAAAAAAAAAA"),
    ] {
        elements.push(&element);
    }
    let header = FullHeader {
        source: CallNumber::from_bits(2),
        destination: CallNumber::NONE,
        retransmission: false,
        timestamp: Timestamp(3),
        oseq: Seq::ZERO,
        iseq: Seq::ZERO,
    };
    let mut bytes = Vec::new();
    Message::iax(IaxSubclass::New, elements.as_elements()).encode(&header, &mut bytes);
    bytes
}

#[divan::bench]
fn classify_mini_frame(bencher: Bencher<'_, '_>) {
    let bytes = [[0, 2, 0, 20].as_slice(), &[0; 160]].concat();
    bencher.bench_local(|| Datagram::decode(black_box(&bytes)).is_ok());
}

#[divan::bench]
fn decode_full_header(bencher: Bencher<'_, '_>) {
    let bytes = [0x80, 2, 0, 3, 0, 0, 0, 20, 1, 1, 6, 4];
    bencher.bench_local(|| match Datagram::decode(black_box(&bytes)) {
        Ok(Datagram::Full(frame)) => Some(frame.header),
        _ => None,
    });
}

#[divan::bench]
fn decode_new_12_elements(bencher: Bencher<'_, '_>) {
    let bytes = new_with_12_elements();
    bencher.bench_local(|| {
        let Ok(Datagram::Full(frame)) = Datagram::decode(black_box(&bytes)) else { return 0 };
        let Ok(Message::Iax { elements, .. }) = frame.message() else { return 0 };
        elements.iter().map(black_box).count()
    });
}

#[divan::bench]
fn decode_trunk_8_entries(bencher: Bencher<'_, '_>) {
    let mut writer = TrunkWriter::new(true, 1_400);
    while writer.push(CallNumber::from_bits(7), MiniTimestamp(20), &[0; 160]) {}
    let bytes = writer.finish(Timestamp(40)).to_vec();
    bencher.bench_local(|| {
        let Ok(Datagram::Trunk(frame)) = Datagram::decode(black_box(&bytes)) else { return 0 };
        frame.entries().map(black_box).count()
    });
}
