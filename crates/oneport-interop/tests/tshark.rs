//! What we encode, Wireshark's dissector reads as it was meant.

use std::path::Path;

use oneport_testkit::peers::tshark::{fields, write_pcap};
use oneport_wire::{
    AuthMethods, CallNumber, CauseCode, Control, Element, ElementBuffer, Elements,
    EncryptionMethods, Format, FormatSet, FullHeader, IaxSubclass, Message, MessageCount,
    MiniFrame, MiniTimestamp, Seq, Timestamp, TrunkWriter,
};

const HEADER: FullHeader = FullHeader {
    source: CallNumber::from_bits(1234),
    destination: CallNumber::from_bits(567),
    retransmission: false,
    timestamp: Timestamp(98_765),
    oseq: Seq(12),
    iseq: Seq(34),
};

fn encode(header: &FullHeader, message: &Message<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(header, &mut bytes);
    bytes
}

/// A datagram and what the dissector should make of it: (field, value).
type Case<'a> = (Vec<u8>, Vec<(&'a str, String)>);

/// Dissects each datagram by itself and compares fields.
fn agree(name: &str, cases: &[Case<'_>]) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join(format!("{name}.pcap"));
    let datagrams: Vec<Vec<u8>> = cases.iter().map(|(bytes, _)| bytes.clone()).collect();
    write_pcap(&path, &datagrams);
    let mut names = vec!["_ws.malformed"];
    for (field, _) in cases.iter().flat_map(|(_, expected)| expected) {
        if !names.contains(field) {
            names.push(field);
        }
    }
    let read = fields(Path::new(&path), &[4569], &names);
    assert_eq!(read.len(), cases.len());
    for (values, (bytes, expected)) in read.iter().zip(cases) {
        assert_eq!(values[0], "", "malformed: {bytes:02x?}");
        for (field, value) in expected {
            let at = names.iter().position(|name| name == field).expect("asked for");
            assert_eq!(number(&values[at]), number(value), "{field} of {bytes:02x?}");
        }
    }
}

/// Numbers are printed in more than one way.
fn number(text: &str) -> String {
    match text {
        "True" => return "1".into(),
        "False" => return "0".into(),
        _ => {}
    }
    let value = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    value.map_or_else(|| text.to_string(), |value| value.to_string())
}

#[test]
fn headers_and_every_iax_subclass() {
    let mut cases = Vec::new();
    for subclass in 1..=40_u8 {
        for retransmission in [false, true] {
            let header = FullHeader { retransmission, ..HEADER };
            let message = Message::iax(IaxSubclass::from_subclass(subclass), Elements::EMPTY);
            let expected = vec![
                ("iax2.src_call", "1234".to_string()),
                ("iax2.dst_call", "567".to_string()),
                ("iax2.timestamp", "98765".to_string()),
                ("iax2.oseqno", "12".to_string()),
                ("iax2.iseqno", "34".to_string()),
                ("iax2.type", "6".to_string()),
                ("iax2.retransmission", u8::from(retransmission).to_string()),
                ("iax2.iax.subclass", subclass.to_string()),
            ];
            cases.push((encode(&header, &message), expected));
        }
    }
    agree("subclasses", &cases);
}

#[test]
fn elements() {
    let formats: FormatSet = [Format::ULAW, Format::GSM, Format::G722].into_iter().collect();
    let wide: FormatSet = [Format::OPUS, Format::ULAW].into_iter().collect();
    let table: Vec<(Element<'_>, &str, String)> = vec![
        (Element::CalledNumber("600".into()), "iax2.iax.called_number", "600".into()),
        (Element::CallingNumber("100".into()), "iax2.iax.calling_number", "100".into()),
        (Element::CallingAni("101".into()), "iax2.iax.calling_ani", "101".into()),
        (Element::CallingName("Ada".into()), "iax2.iax.calling_name", "Ada".into()),
        (Element::CalledContext("in".into()), "iax2.iax.called_context", "in".into()),
        (Element::Username("site".into()), "iax2.iax.username", "site".into()),
        (Element::Password("word".into()), "iax2.iax.password", "word".into()),
        (Element::Capability(formats), "iax2.iax.capability", formats.low32().to_string()),
        (Element::Format(formats), "iax2.iax.format", formats.low32().to_string()),
        (Element::Capability2(wide), "iax2.iax.capability2", wide.0.to_string()),
        (Element::Format2(wide), "iax2.iax.format2", wide.0.to_string()),
        (Element::Language("en".into()), "iax2.iax.language", "en".into()),
        (Element::Version(2), "iax2.iax.version", "2".into()),
        (Element::AdsiCpe(7), "iax2.iax.cpe_adsi", "7".into()),
        (Element::Dnid("55".into()), "iax2.iax.dnid", "55".into()),
        (Element::AuthMethods(AuthMethods::MD5), "iax2.iax.auth.methods", "2".into()),
        (Element::Challenge(b"12345"), "iax2.iax.auth.challenge", "12345".into()),
        (Element::Md5Result("0af3".into()), "iax2.iax.auth.md5", "0af3".into()),
        (Element::RsaResult("cmVz".into()), "iax2.iax.auth.rsa", "cmVz".into()),
        (Element::Refresh(60), "iax2.iax.refresh", "60".into()),
        (Element::CallNumber(CallNumber::from_bits(99)), "iax2.iax.call_no", "99".into()),
        (Element::Cause("because".into()), "iax2.iax.cause", "because".into()),
        (
            Element::MessageCount(MessageCount { old: 2, new: 3 }),
            "iax2.iax.msg_count",
            (2 * 256 + 3).to_string(),
        ),
        (Element::TransferId(77), "iax2.iax.transferid", "77".into()),
        (Element::Rdnis("56".into()), "iax2.iax.rdnis", "56".into()),
        (Element::DeviceType("box".into()), "iax2.iax.devicetype", "box".into()),
        (Element::ServiceIdent("id".into()), "iax2.iax.serviceident", "id".into()),
        (Element::FirmwareVersion(9), "iax2.iax.firmwarever", "9".into()),
        (Element::FirmwareBlockDescription(8), "iax2.iax.fwblockdesc", "8".into()),
        (Element::ProvisioningVersion(6), "iax2.iax.provver", "6".into()),
        (Element::CallingPresentation(3), "iax2.iax.callingpres", "3".into()),
        (Element::CallingTypeOfNumber(4), "iax2.iax.callington", "4".into()),
        (Element::CallingTransitNetwork(5), "iax2.iax.callingtns", "5".into()),
        (Element::SamplingRate(8), "iax2.iax.samplingrate", "8".into()),
        (Element::CauseCode(CauseCode::USER_BUSY), "iax2.iax.causecode", "17".into()),
        (Element::Encryption(EncryptionMethods::AES128), "iax2.iax.encryption", "1".into()),
        (Element::ReceivedJitter(11), "iax2.iax.rrjitter", "11".into()),
        (
            Element::ReceivedLoss { percent: 5, count: 300 },
            "iax2.iax.rrloss",
            ((5 << 24) + 300).to_string(),
        ),
        (Element::ReceivedFrames(12), "iax2.iax.rrpkts", "12".into()),
        (Element::ReceivedDelay(13), "iax2.iax.rrdelay", "13".into()),
        (Element::ReceivedDropped(14), "iax2.iax.rrdropped", "14".into()),
        (Element::ReceivedOutOfOrder(15), "iax2.iax.rrooo", "15".into()),
        (
            Element::ApparentAddress("192.0.2.5:4570".parse().expect("an address")),
            "iax2.iax.app_addr.sinport",
            "4570".into(),
        ),
        (
            Element::ApparentAddress("192.0.2.5:4570".parse().expect("an address")),
            "iax2.iax.app_addr.sinaddr",
            "192.0.2.5".into(),
        ),
    ];
    let mut cases = Vec::new();
    for (element, field, value) in &table {
        let mut buffer = ElementBuffer::new();
        buffer.push(element);
        // One behind it shows that its length is right.
        buffer.push(&Element::Username("behind".into()));
        let message = Message::iax(IaxSubclass::New, buffer.as_elements());
        let mut expected = vec![(*field, value.clone())];
        if *field == "iax2.iax.username" {
            expected[0].1 = "site,behind".into();
        } else {
            expected.push(("iax2.iax.username", "behind".into()));
        }
        cases.push((encode(&HEADER, &message), expected));
    }
    agree("elements", &cases);
}

#[test]
fn media_digits_control_and_text() {
    let mut cases = Vec::new();
    // The dissector knows these by their bit; later ones it prints as they are.
    for format in [Format::G723, Format::GSM, Format::ULAW, Format::ALAW, Format::SLIN16] {
        let message = Message::voice(format, &[0x55; 160]);
        cases.push((
            encode(&HEADER, &message),
            vec![("iax2.voice.codec", format.mask().to_string())],
        ));
    }
    for digit in *b"0123456789ABCD*#" {
        let text = char::from(digit).to_string();
        for message in [Message::DtmfBegin(digit), Message::DtmfEnd(digit)] {
            cases.push((encode(&HEADER, &message), vec![("iax2.dtmf.subclass", text.clone())]));
        }
    }
    for control in
        [Control::Hangup, Control::Ringing, Control::Answer, Control::Busy, Control::Hold]
    {
        let message = Message::control(control);
        let value = control.subclass().to_string();
        cases.push((encode(&HEADER, &message), vec![("iax2.control.subclass", value)]));
    }
    let message = Message::text(b"hello");
    cases.push((encode(&HEADER, &message), vec![("iax2.text.text", "hello".into())]));
    agree("frames", &cases);
}

#[test]
fn mini_and_trunk_frames() {
    let mut mini = MiniFrame::encode_header(HEADER.source, MiniTimestamp(4321)).to_vec();
    mini.extend([0x55; 160]);
    let expected =
        vec![("iax2.src_call", "1234".to_string()), ("iax2.timestamp", "4321".to_string())];
    let mut cases = vec![(mini, expected)];
    let trunk = |timestamps| {
        let mut writer = TrunkWriter::new(timestamps, 1_000);
        for number in [11, 12, 13] {
            assert!(writer.push(CallNumber::from_bits(number), MiniTimestamp(number), &[9; 20]));
        }
        writer.finish(Timestamp(77)).to_vec()
    };
    let expected = vec![
        ("iax2.trunk.metacmd", "1".to_string()),
        ("iax2.trunk.cmddata.ts", "1".to_string()),
        ("iax2.trunk.call.scallno", "11,12,13".to_string()),
        ("iax2.trunk.call.len", "20,20,20".to_string()),
        ("iax2.trunk.ncalls", "3".to_string()),
        ("iax2.trunk.call.ts", "11,12,13".to_string()),
    ];
    cases.push((trunk(true), expected));
    agree("trunks", &cases);
    // Without timestamps the dissector reads past the last entry, whoever sent it; those before it
    // it reads right.
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("trunk.pcap");
    write_pcap(&path, &[trunk(false)]);
    let read = fields(&path, &[4569], &["iax2.trunk.call.scallno", "iax2.trunk.call.len"]);
    assert_eq!(read, [["11,12", "20,20"]]);
}
