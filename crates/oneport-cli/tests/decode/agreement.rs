//! Each field of each frame that both know is the same as Wireshark's dissector reads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use assert_cmd::cargo::cargo_bin;
use oneport_testkit::peers::tshark;
use oneport_wire::{Format, FormatSet};
use serde_json::Value;

/// The values of each field of a packet, in their order.
type Fields = BTreeMap<String, Vec<String>>;

/// What the dissector makes out of several packets, writes in words of its own, or of which the size is known by what
/// it is.
const ITS_OWN: [&str; 10] = [
    "iax2.call",
    "iax2.abstime",
    "iax2.lateness",
    "iax2.length",
    "iax2.iax.datetime",
    "iax2.payload_data",
    "iax2.fragment_unfinished",
    "iax2.fragments",
    "iax2.reassembled_in",
    "iax2.trunk.call.payload",
];

/// Names of the dissector for the bits of formats.
const BITS: [(u8, &str); 29] = [
    (0, "g723_1"),
    (1, "gsm"),
    (2, "ulaw"),
    (3, "alaw"),
    (4, "g726_aal2"),
    (5, "adpcm"),
    (6, "slinear"),
    (7, "lpc10"),
    (8, "g729a"),
    (9, "speex"),
    (10, "ilbc"),
    (11, "g726"),
    (12, "g722"),
    (13, "siren7"),
    (14, "siren14"),
    (15, "slinear16"),
    (16, "jpeg"),
    (17, "png"),
    (18, "h261"),
    (19, "h263"),
    (20, "h263_plus"),
    (21, "h264"),
    (22, "mpeg4"),
    (23, "vp8"),
    (26, "t140_red"),
    (27, "t140"),
    (32, "g719"),
    (33, "speex16"),
    (34, "opus"),
];

/// Names of the dissector for information elements.
fn element_name(id: u64) -> &'static str {
    match id {
        1 => "called_number",
        2 => "calling_number",
        3 => "calling_ani",
        4 => "calling_name",
        5 => "called_context",
        6 => "username",
        7 => "password",
        8 => "capability",
        9 => "format",
        10 => "language",
        11 => "version",
        12 => "cpe_adsi",
        13 => "dnid",
        14 => "auth.methods",
        15 => "auth.challenge",
        16 => "auth.md5",
        17 => "auth.rsa",
        19 => "refresh",
        20 => "dialplan_status",
        21 => "call_no",
        22 => "cause",
        23 => "iax_unknown",
        24 => "msg_count",
        27 => "transferid",
        28 => "rdnis",
        31 => "datetime.raw",
        32 => "devicetype",
        33 => "serviceident",
        34 => "firmwarever",
        35 => "fwblockdesc",
        37 => "provver",
        38 => "callingpres",
        39 => "callington",
        40 => "callingtns",
        41 => "samplingrate",
        42 => "causecode",
        43 => "encryption",
        45 => "codecprefs",
        46 => "rrjitter",
        47 => "rrloss",
        48 => "rrpkts",
        49 => "rrdelay",
        50 => "rrdropped",
        51 => "rrooo",
        55 => "capability2",
        56 => "format2",
        // It does not know them, and shows them by their sizes.
        52 | 54 => "unknownstring",
        57 => "unknownlong",
        other => panic!("a capture has element {other}: how does the dissector name it?"),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(bit) => u8::from(*bit).to_string(),
        other => other.to_string(),
    }
}

/// Numbers in whatever base as decimal ones.
fn plain(text: &str) -> String {
    match text.strip_prefix("0x").map(|digits| u64::from_str_radix(digits, 16)) {
        Some(Ok(number)) => number.to_string(),
        _ => text.to_string(),
    }
}

/// All fields below a value; `--no-duplicate-keys` makes lists of those that occur several times.
fn gather(value: &Value, fields: &mut Fields) {
    let Value::Object(object) = value else { return };
    for (name, value) in object {
        let values = match value {
            Value::Array(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        for value in values {
            match value {
                Value::Object(_) => gather(value, fields),
                value => fields.entry(name.clone()).or_default().push(plain(&text(value))),
            }
        }
    }
}

fn theirs(capture: &Path, port: u16) -> Vec<Fields> {
    // That the program is there is seen to by the testkit.
    let _ = tshark::fields(capture, &[port], &["frame.number"]);
    let output = Command::new("tshark")
        .arg("-r")
        .arg(capture)
        .args(["-d", &format!("udp.port=={port},iax2"), "-T", "json", "--no-duplicate-keys"])
        .output()
        .expect("tshark runs");
    let packets: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    let fields = packets.iter().map(|packet| {
        let mut fields = Fields::new();
        gather(&packet["_source"]["layers"], &mut fields);
        fields
    });
    fields.filter(|fields| fields.contains_key("iax2.packet_type")).collect()
}

fn ours(capture: &Path, port: u16) -> Vec<Value> {
    let output = Command::new(cargo_bin("oneport"))
        .arg("decode")
        .arg(capture)
        .args(["--json", "--show-passwords", "--port", &port.to_string()])
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("text");
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// What we say of a frame, in the dissector's names.
fn translated(frame: &Value) -> Fields {
    let mut fields = Fields::new();
    let mut put = |name: &str, value: String| {
        fields.entry(name.to_string()).or_default().push(value);
    };
    put("frame.number", text(&frame["packet"]));
    put("frame.time_epoch", text(&frame["time"]));
    for (end, name) in [("source", "src"), ("destination", "dst")] {
        let address: std::net::SocketAddr = text(&frame[end]).parse().expect("an address");
        let ip = if address.is_ipv4() { "ip" } else { "ipv6" };
        put(&format!("{ip}.{name}"), address.ip().to_string());
        put(&format!("udp.{name}port"), address.port().to_string());
    }
    let kind = match text(&frame["frame"]).as_str() {
        "mini" => "0",
        "full" => "1",
        "video" => "2",
        "trunk" => "3",
        other => panic!("{other}: {frame}"),
    };
    put("iax2.packet_type", kind.into());
    if kind == "3" {
        put("iax2.trunk.metacmd", "1".into());
        put("iax2.trunk.cmddata", text(&frame["timestamps"]));
        put("iax2.trunk.cmddata.ts", text(&frame["timestamps"]));
        put("iax2.timestamp", text(&frame["timestamp"]));
        let entries = frame["entries"].as_array().expect("entries");
        put("iax2.trunk.ncalls", entries.len().to_string());
        for entry in entries {
            put("iax2.trunk.call.len", text(&entry["payload_bytes"]));
            put("iax2.trunk.call.scallno", text(&entry["source_call"]));
            if !entry["timestamp"].is_null() {
                put("iax2.trunk.call.ts", text(&entry["timestamp"]));
            }
        }
        return fields;
    }
    put("iax2.src_call", text(&frame["source_call"]));
    put("iax2.timestamp", text(&frame["timestamp"]));
    if kind != "1" {
        return fields;
    }
    put("iax2.dst_call", text(&frame["destination_call"]));
    put("iax2.retransmission", text(&frame["retransmission"]));
    put("iax2.oseqno", text(&frame["oseq"]));
    put("iax2.iseqno", text(&frame["iseq"]));
    put("iax2.type", text(&frame["type"]));
    let subclass = text(&frame["subclass"]);
    let mask = || {
        if frame["codec"].is_null() {
            return "0".to_string();
        }
        let codec = text(&frame["codec"]);
        let formats = FormatSet(u64::MAX);
        let format = formats.iter().find(|format: &Format| format.to_string() == codec);
        format.expect("a codec").mask().to_string()
    };
    match frame["type"].as_u64().expect("a number") {
        1 | 12 => put("iax2.dtmf.subclass", text(&frame["digit"])),
        2 => {
            put("iax2.voice.subclass", subclass);
            put("iax2.voice.codec", mask());
        }
        4 => put("iax2.control.subclass", subclass),
        6 => {
            put("iax2.iax.subclass", subclass);
            for element in frame["elements"].as_array().expect("elements") {
                translate_element(element, &mut put);
            }
        }
        7 => {
            put("iax2.text.subclass", subclass);
            put("iax2.text.text", text(&frame["text"]));
        }
        other => panic!("a capture has frames of type {other}: how does the dissector show them?"),
    }
    fields
}

fn translate_element(element: &Value, put: &mut impl FnMut(&str, String)) {
    let id = element["id"].as_u64().expect("a number");
    let value = text(&element["value"]);
    put("iax2.ie_id", id.to_string());
    if id == 18 {
        let address: std::net::SocketAddr = value.parse().expect("an address");
        put("iax2.iax.app_addr.sinfamily", "2".into());
        put("iax2.iax.app_addr.sinport", address.port().to_string());
        put("iax2.iax.app_addr.sinaddr", address.ip().to_string());
        return;
    }
    if id == 255 {
        // What a call of data carried once.
        let format = u64::from_str_radix(&value, 16).expect("hexadecimal");
        return put("iax2.iax.dataformat", format.to_string());
    }
    if matches!(id, 55 | 56) {
        put("iax2.version", "0".into());
    }
    if matches!(id, 8 | 55) {
        let bits: u64 = value.parse().expect("a mask");
        for (bit, name) in BITS.iter().filter(|(bit, _)| id == 55 || *bit < 32) {
            put(&format!("iax2.cap.{name}"), (bits >> bit & 1).to_string());
        }
        if id == 55 {
            put("iax2.cap.testlaw", (bits >> 47 & 1).to_string());
        }
    }
    put(&format!("iax2.iax.{}", element_name(id)), value);
}

/// Compares all packets of a capture, and says how many fields were compared.
fn compare(capture: &Path, port: u16) -> usize {
    let (theirs, ours) = (theirs(capture, port), ours(capture, port));
    assert_eq!(theirs.len(), ours.len(), "{}", capture.display());
    let mut compared = 0;
    for (theirs, frame) in theirs.iter().zip(&ours) {
        let mut ours = translated(frame);
        let is_known = |name: &str| {
            let iax2 = name.starts_with("iax2.") && !ITS_OWN.contains(&name);
            iax2 || ours.contains_key(name)
        };
        let mut theirs: Fields = theirs
            .iter()
            .filter(|(name, _)| is_known(name))
            .map(|(name, values)| (name.clone(), values.clone()))
            .collect();
        if frame["frame"] == "mini" {
            // It shows the whole timestamp, of which the frame has 16 bits.
            let whole: u64 = theirs["iax2.timestamp"][0].parse().expect("a number");
            theirs.insert("iax2.timestamp".into(), vec![(whole & 0xFFFF).to_string()]);
        }
        for values in theirs.values_mut().chain(ours.values_mut()) {
            values.sort();
        }
        compared += theirs.values().map(Vec::len).sum::<usize>();
        assert_eq!(ours, theirs, "{}: {frame:#}", capture.display());
    }
    compared
}

#[test]
fn every_field_of_the_captures_is_as_tshark_reads_it() {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata");
    let asterisk = compare(&testdata.join("asterisk-register-call-reject.pcap"), 24_569);
    let iaxmodem = compare(&testdata.join("iaxmodem-register-call.pcap"), 24_570);
    assert!(asterisk > 1_000 && iaxmodem > 1_000, "{asterisk} and {iaxmodem} fields");
}

/// Captures of others, which are not ours to keep: `ONEPORT_CAPTURES` names a directory of them, port 4569.
#[test]
#[ignore = "it takes captures that are not ours to keep"]
fn every_field_of_captures_of_others_is_as_tshark_reads_it() {
    let directory = std::env::var_os("ONEPORT_CAPTURES").map(PathBuf::from);
    let directory = directory.expect("ONEPORT_CAPTURES names a directory");
    let mut compared = 0;
    for entry in std::fs::read_dir(directory).expect("a directory") {
        compared += compare(&entry.expect("a file").path(), 4569);
    }
    assert!(compared > 0);
    println!("{compared} fields");
}
