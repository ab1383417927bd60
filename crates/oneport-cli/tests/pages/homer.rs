//! The page about Homer: its configuration sends copies, which an independent reader and Kamailio take apart,
//! sngrep takes as SIP, and Wireshark's dissector as IAX2; with the settings for Homer all of a call is found.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

use oneport_testkit::peers::kamailio::{Captured, Kamailio};
use oneport_testkit::peers::sipp::{Scenario, Sipp};
use oneport_testkit::peers::{free_port, program_of, tshark, wait_for};

use crate::markdown::Markdown;
use crate::page::Page;

const PAGE: &str = include_str!("../../../../docs/homer.md");

/// The settings for Homer.
const CORRELATION: &str = include_str!("../../../../contrib/homer/correlation.json");
const MAPPING: &str = include_str!("../../../../contrib/homer/mapping.json");
const SCRIPT: &str = include_str!("../../../../contrib/homer/iax.js");

/// Rings, answers, and is hung up.
const ANSWERS: &str =
    include_str!("../../../oneport-interop/tests/carriers/scenarios/uas_answers.xml");

/// Calls, talks for a moment, hangs up.
const CALLS: &str = include_str!("../../../oneport-interop/tests/carriers/scenarios/uac_calls.xml");

/// The port of the switch.
const PORTS: [&str; 1] = ["4570"];

/// Whom the switch of the page has beside it.
const PEERS: &str = r#"
[server]
listen = ["127.0.0.1:4570"]

[peers.ann]
secret = "correct horse"

[peers.branch]
secret = "battery staple"

[peers.eve]
secret = "tender squirrel"
encryption = "required"

[[routes]]
prefix = "7"
to = ["peer:branch/{number}"]
"#;

/// A packet of HEP3, its chunks by their types.
struct Packet(BTreeMap<u16, Vec<u8>>);

impl Packet {
    /// The first packet of these bytes, and what follows it; none where it is not whole yet.
    fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let header = bytes.get(..6)?;
        assert_eq!(&header[..4], b"HEP3");
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let (packet, after) = bytes.split_at_checked(length)?;
        let (mut rest, mut chunks) = (&packet[6..], BTreeMap::new());
        while let [0, 0, a, b, c, d, content @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*c, *d])) - 6;
            let (content, more) = content.split_at(length);
            let before = chunks.insert(u16::from_be_bytes([*a, *b]), content.to_vec());
            assert!(before.is_none(), "a chunk stands there twice");
            rest = more;
        }
        assert!(rest.is_empty(), "{rest:?}");
        Some((Self(chunks), after))
    }

    fn bytes(&self, chunk: u16) -> &[u8] {
        self.0.get(&chunk).map_or(&[], Vec::as_slice)
    }

    fn number(&self, chunk: u16) -> u64 {
        self.bytes(chunk).iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn address(&self, ip: u16, port: u16) -> SocketAddr {
        let octets: [u8; 4] = self.bytes(ip).try_into().expect("an IPv4 address");
        let port = u16::try_from(self.number(port)).expect("a port");
        SocketAddr::new(IpAddr::V4(Ipv4Addr::from(octets)), port)
    }

    fn from(&self) -> SocketAddr {
        self.address(3, 7)
    }

    fn to(&self) -> SocketAddr {
        self.address(4, 8)
    }

    fn protocol(&self) -> u64 {
        self.number(11)
    }

    fn call(&self) -> String {
        String::from_utf8_lossy(self.bytes(17)).into_owned()
    }

    fn payload(&self) -> &[u8] {
        self.bytes(15)
    }

    /// When it was, in µs since 1970.
    fn micros(&self) -> u64 {
        self.number(9) * 1_000_000 + self.number(10)
    }

    /// What whoever captures it should say of it.
    fn captured(&self) -> Captured {
        Captured {
            protocol: self.protocol(),
            from: self.from(),
            to: self.to(),
            unix_micros: self.micros(),
            capture_id: self.number(12),
            key: String::from_utf8_lossy(self.bytes(14)).into_owned(),
            correlation: self.call(),
        }
    }

    /// The row that heplify-server makes of it, and the table where it stands; none of what it leaves out.
    fn row(&self) -> Option<(&'static str, Value)> {
        let raw = String::from_utf8(self.payload().to_vec()).expect("a text");
        let call_id = || raw.lines().find_map(|line| line.strip_prefix("Call-ID: "));
        let (table, sid, data) = match self.protocol() {
            1 => ("hep_proto_1_call", call_id()?.to_string(), json!({ "callid": call_id() })),
            other => {
                let data = json!({ "node": "2024", "proto": other.to_string() });
                ("hep_proto_35_default", Some(self.call()).filter(|id| !id.is_empty())?, data)
            }
        };
        let (from, to) = (self.from(), self.to());
        let header = json!({
            "correlation_id": self.call(), "payloadType": self.protocol(),
            "srcIp": from.ip(), "srcPort": from.port(), "dstIp": to.ip(), "dstPort": to.port(),
            "captureId": self.number(12).to_string(),
        });
        let row = json!({
            "sid": sid, "raw": raw, "protocol_header": header, "data_header": data,
            "micros": self.micros(),
        });
        Some((table, row))
    }
}

/// Takes packets by UDP, and hands them on where that is wanted.
fn by_udp(onward: Vec<SocketAddr>) -> (SocketAddr, Receiver<Vec<u8>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("it has one");
    let (taken, packets) = channel();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 70_000];
        while let Ok(length) = socket.recv(&mut buffer) {
            for onward in &onward {
                let _ = socket.send_to(&buffer[..length], *onward);
            }
            if taken.send(buffer[..length].to_vec()).is_err() {
                break;
            }
        }
    });
    (address, packets)
}

/// Takes them by TCP.
fn by_tcp() -> (SocketAddr, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it has one");
    let (taken, packets) = channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let (mut kept, mut buffer) = (Vec::new(), vec![0; 70_000]);
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            kept.extend(&buffer[..length]);
            while let Some((_, after)) = Packet::read(&kept) {
                let rest = after.to_vec();
                kept.truncate(kept.len() - rest.len());
                if taken.send(std::mem::replace(&mut kept, rest)).is_err() {
                    return;
                }
            }
        }
    });
    (address, packets)
}

/// A switch with the configuration of the page and more, which sends there.
fn switch(to: SocketAddr, transport: &str, frames: &str, more: &str) -> Page {
    let blocks = Markdown::of(PAGE).blocks;
    let block = blocks.into_iter().find(|block| block.kind.as_deref() == Some("toml"));
    let config = block.expect("a configuration").text;
    let config = config
        .replace("homer.example.org:9060", &to.to_string())
        .replace("\"udp\"", &format!("\"{transport}\""))
        .replace("\"text\"", &format!("\"{frames}\""))
        .replace("/etc/oneport/hep", "hep.secret");
    for expected in [transport, frames, "hep.secret"] {
        assert!(config.contains(expected), "{config}");
    }
    let directory = tempfile::tempdir().expect("a directory");
    let secret = directory.path().join("hep.secret");
    std::fs::write(&secret, "purple monkey\n").expect("writable");
    let config = config.replace("hep.secret", &secret.display().to_string());
    Page::serve(&format!("```toml\n{config}{PEERS}{more}\n```"), &PORTS, |_| {})
}

/// Where a switch listens.
fn address_of(page: &Page) -> SocketAddr {
    let listens = page.text().split("listen = [\"").nth(1).and_then(|rest| rest.split('"').next());
    listens.and_then(|address| address.parse().ok()).expect("an address")
}

/// Ann calls a number for a second, when what is `before` is done; the id of her call.
fn call(page: &Page, number: &str, before: &str) -> String {
    let own = address_of(page);
    page.run(&format!(
        "{before}
        ONEPORT_SECRET='correct horse' oneport call iax:ann@{own}/{number} --duration 1s"
    ));
    id_of_last_call(page)
}

/// The id of the call that has ended last.
fn id_of_last_call(page: &Page) -> String {
    let records = page.run("oneport cdr export --config oneport.toml --format json");
    let id = records.lines().last().and_then(|line| line.split("\"call\":\"").nth(1));
    id.and_then(|rest| rest.split('"').next()).expect("a record").to_string()
}

/// A telephone of the peer `branch`, which answers one call.
fn telephone(page: &Page) -> String {
    let own = address_of(page);
    format!(
        "ONEPORT_SECRET='battery staple' oneport answer --calls 1 --listen 127.0.0.1:0 \
             --register iax:branch@{own} > /dev/null &
        until oneport show peers | grep -q '^branch *OK'; do sleep 0.2; done"
    )
}

/// All packets that come until nothing does.
fn packets(receiver: &Receiver<Vec<u8>>) -> Vec<Packet> {
    let next = || receiver.recv_timeout(Duration::from_secs(4)).ok();
    let read = |bytes: Vec<u8>| {
        let (packet, rest) = Packet::read(&bytes).expect("it is whole");
        assert!(rest.is_empty());
        packet
    };
    // Polls come all the time.
    std::iter::from_fn(next).take(400).map(read).collect()
}

#[test]
fn the_frames_of_a_call_come_with_its_id_and_without_proofs() {
    for transport in ["udp", "tcp"] {
        let (to, receiver) = if transport == "udp" { by_udp(Vec::new()) } else { by_tcp() };
        let page = switch(to, transport, "raw", "");
        let begun = jiff::Timestamp::now().as_second().unsigned_abs();
        let id = call(&page, "700", &telephone(&page));
        let own = address_of(&page);
        drop(page);
        let packets = packets(&receiver);
        for packet in &packets {
            assert_eq!((packet.number(1), packet.number(2)), (2, 17), "IPv4, UDP");
            assert_eq!((packet.protocol(), packet.number(12)), (10, 2024));
            assert_eq!(packet.bytes(14), b"purple monkey");
            assert!(packet.from() == own || packet.to() == own, "{}", packet.from());
            assert!(packet.payload()[0] & 0x80 != 0, "no full frame");
            let seconds = packet.number(9);
            assert!((begun - 1..begun + 300).contains(&seconds), "{seconds}");
            assert!(packet.number(10) < 1_000_000);
        }
        let of_call: Vec<&Packet> = packets.iter().filter(|packet| packet.call() == id).collect();
        let ends = of_call.iter().flat_map(|packet| [packet.from(), packet.to()]);
        let others: BTreeSet<SocketAddr> = ends.filter(|end| *end != own).collect();
        assert_eq!(others.len(), 2, "{transport}: both legs: {others:?}");
        // Frame type and subclass. The way to a call token is of the call as well.
        let kind = |packet: &Packet| (packet.payload()[10], packet.payload()[11]);
        let kinds: BTreeSet<(u8, u8)> = of_call.iter().map(|packet| kind(packet)).collect();
        for (name, kind) in [
            ("NEW", (6, 1)),
            ("CALLTOKEN", (6, 40)),
            ("AUTHREQ", (6, 8)),
            ("AUTHREP", (6, 9)),
            ("ACCEPT", (6, 7)),
            ("ANSWER", (4, 4)),
            ("HANGUP", (6, 5)),
            ("ACK", (6, 4)),
        ] {
            assert!(kinds.contains(&kind), "{transport}: no {name}: {kinds:?}");
        }
        // What is of no call says so: registrations.
        let registers = packets.iter().filter(|packet| kind(packet) == (6, 13));
        assert!(
            registers.clone().count() > 0 && registers.clone().all(|one| one.call().is_empty())
        );
        let proofs = packets.iter().filter(|packet| kind(packet) == (6, 9));
        let hidden = |payload: &[u8]| payload.windows(32).any(|part| part == [b'*'; 32]);
        let mut proofs = proofs.map(Packet::payload);
        assert!(proofs.all(hidden), "a proof is shown");
        // Wireshark's dissector finds nothing wrong with the frames.
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("frames.pcap");
        let frames: Vec<Vec<u8>> = packets.iter().map(|one| one.payload().to_vec()).collect();
        tshark::write_pcap(&file, &frames);
        let seen = tshark::dissect(&file, &[4569]);
        assert_eq!(seen.len(), frames.len());
        assert!(seen.iter().all(|packet| !packet.malformed && !packet.frame_type.is_empty()));
    }
}

#[test]
fn messages_of_sip_come_with_the_id_of_the_legs_of_iax2_and_sngrep_takes_them() {
    program_of("sngrep", "sngrep").unwrap_or_else(|missing| panic!("{missing}"));
    let directory = tempfile::tempdir().expect("a directory");
    let (file, listen) = (directory.path().join("heard.pcap"), free_port());
    let mut sngrep = Command::new("sngrep")
        .args(["-F", "-N", "-q", "-L", &format!("udp:127.0.0.1:{listen}"), "-O"])
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    // It has the file before it listens.
    wait_for("sngrep", Duration::from_secs(30), || file.exists());
    let kamailio = Kamailio::start();
    let (to, receiver) = by_udp(vec![([127, 0, 0, 1], listen).into(), kamailio.address()]);
    let server = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let scenario =
        Scenario { xml: ANSWERS, calls: (1, 1), listen: server, to: None, arguments: &[] };
    let mut sipp = Sipp::start(&scenario);
    let own = free_port();
    let more = format!(
        "[sip]\nudp = [\"127.0.0.1:{own}\"]\n\
         [carriers.acme]\nhost = \"{server}\"\noptions_seconds = 0\n\
         [[routes]]\nprefix = \"9\"\nto = [\"carrier:acme/{{number:1}}\"]\n\
         [[routes]]\nnumber = \"600\"\nto = [\"builtin:echo\"]\n"
    );
    let page = switch(to, "udp", "text", &more);
    let id = call(&page, "9100", "");
    sipp.finished();
    drop(sipp);
    // The carrier calls, too.
    let gateway = Some(SocketAddr::from(([127, 0, 0, 1], own)));
    let scenario = Scenario {
        xml: CALLS,
        calls: (1, 1),
        listen: server,
        to: gateway,
        arguments: &["-s", "600"],
    };
    Sipp::start(&scenario).finished();
    let mut back = id.clone();
    wait_for("the record of the other call", Duration::from_secs(30), || {
        back = id_of_last_call(&page);
        back != id
    });
    let there = address_of(&page);
    page.run(&format!(
        "ONEPORT_SECRET='tender squirrel' oneport call iax:eve@{there}/600 --encryption required \
             --duration 1s"
    ));
    let encrypted = id_of_last_call(&page);
    drop(page);
    let packets = packets(&receiver);
    let all = packets.iter().filter(|one| one.protocol() == 1);
    let (messages, others): (Vec<&Packet>, Vec<&Packet>) = all.partition(|one| one.call() == id);
    let first = |packet: &Packet| {
        let text = String::from_utf8_lossy(packet.payload()).into_owned();
        text.lines().next().unwrap_or_default().to_string()
    };
    let lines: Vec<String> = messages.iter().map(|packet| first(packet)).collect();
    for (name, sent) in [
        ("INVITE ", true),
        ("SIP/2.0 180", false),
        ("SIP/2.0 200", false),
        ("ACK ", true),
        ("BYE ", true),
    ] {
        let one = messages.iter().zip(&lines).find(|(_, line)| line.starts_with(name));
        let (packet, _) = one.unwrap_or_else(|| panic!("no {name}: {lines:?}"));
        let ends = (SocketAddr::from(([127, 0, 0, 1], own)), server);
        let seen = (packet.from(), packet.to());
        assert_eq!(seen, if sent { ends } else { (ends.1, ends.0) }, "{name}");
    }
    let lines: Vec<String> = others.iter().map(|packet| first(packet)).collect();
    assert!(others.iter().all(|packet| packet.call() == back), "{lines:?}");
    let invited = others.iter().zip(&lines).find(|(_, line)| line.starts_with("INVITE "));
    assert_eq!(invited.map(|(packet, _)| packet.from()), Some(server), "{lines:?}");
    for id in [&id, &back] {
        let legs = packets.iter().filter(|one| one.protocol() == 10 && one.call() == **id);
        assert!(legs.count() > 5, "frames of the same call");
    }
    let call: Vec<&Packet> = packets.iter().filter(|one| one.call() == id).collect();
    readable(&call);
    in_homer(&packets, &call);
    let frames = packets.iter().filter(|one| one.call() == encrypted);
    let lines: Vec<String> = frames.map(first).collect();
    let clear = ["NEW 600", "CALLTOKEN", "AUTHREQ md5", "ACK"];
    let (shown, hidden): (Vec<&String>, Vec<&String>) =
        lines.iter().partition(|line| clear.contains(&line.as_str()));
    assert!(shown.len() >= 4 && hidden.len() >= 6, "{lines:?}");
    assert!(hidden.iter().all(|line| *line == "encrypted"), "{lines:?}");
    // Kamailio has read the same in each.
    let read: Vec<Captured> = packets.iter().map(Packet::captured).collect();
    wait_for("Kamailio", Duration::from_secs(30), || kamailio.captured().len() >= read.len());
    assert_eq!(kamailio.captured()[..read.len()], read);
    // What sngrep has made of it, of all that it was sent.
    let heard = || sip_in(&file);
    wait_for("what sngrep writes", Duration::from_secs(30), || {
        heard().iter().any(|line| line.starts_with("BYE"))
    });
    let _ = sngrep.kill();
    let _ = sngrep.wait();
    let heard = heard();
    for method in ["INVITE", "ACK", "BYE"] {
        assert!(heard.iter().any(|line| line.starts_with(method)), "{method}: {heard:?}");
    }
}

/// First lines of the requests of SIP in a capture.
fn sip_in(file: &Path) -> Vec<String> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(file).args(["-T", "fields", "-e", "sip.Request-Line"]);
    let done = command.stderr(Stdio::null()).output().expect("it runs");
    String::from_utf8_lossy(&done.stdout).lines().map(Into::into).collect()
}

/// The frames of a call to 9100 can be read, show no secret, and stand in the order in which things happened.
fn readable(call: &[&Packet]) {
    let mut sorted: Vec<(u64, String)> = (call.iter())
        .map(|packet| {
            let text = std::str::from_utf8(packet.payload()).expect("a text");
            assert!(!text.contains('\0'), "{text:?}");
            assert!(!text.contains("malformed"), "{text}");
            let proofs = text.split("Md5Result(\"").skip(1);
            assert!(proofs.clone().all(|proof| proof.starts_with("****")), "{text}");
            let end = packet.to().port();
            (packet.micros(), format!("{} to {end}", text.lines().next().unwrap_or_default()))
        })
        .collect();
    sorted.sort();
    assert!(sorted.is_sorted_by(|(earlier, _), (later, _)| earlier < later), "{sorted:?}");
    let place = |first: &str| {
        let found = sorted.iter().position(|(_, line)| line.starts_with(first));
        found.unwrap_or_else(|| panic!("no {first}: {sorted:?}"))
    };
    let story = [
        "NEW 9100 to",
        "CALLTOKEN to",
        "AUTHREQ md5",
        "AUTHREP md5",
        "NEW 100 to",
        "INVITE ",
        "SIP/2.0 180",
        "RINGING to",
        "SIP/2.0 200",
        "ANSWER to",
        "HANGUP normal clearing (16) to",
        "BYE ",
    ];
    let places: Vec<usize> = story.iter().map(|first| place(first)).collect();
    assert!(places.is_sorted(), "{sorted:?}");
}

/// From a message of SIP, and from a frame, Homer finds all of the call by the settings for it, and nothing else.
fn in_homer(packets: &[Packet], call: &[&Packet]) {
    let rows: Vec<(&str, Value)> = packets.iter().filter_map(Packet::row).collect();
    let correlation: Value = serde_json::from_str(CORRELATION).expect("JSON");
    let mapping: Value = serde_json::from_str(MAPPING).expect("JSON");
    let own =
        format!("hep_proto_{}_{}", mapping["hepid"], mapping["profile"].as_str().expect("a word"));
    for (table, lookups) in
        [("hep_proto_1_call", &correlation), (&*own, &mapping["correlation_mapping"])]
    {
        let of_call = call.iter().filter_map(|packet| packet.row());
        let (_, first) = of_call.clone().find(|(kept, _)| *kept == table).expect("such a row");
        let found = transaction(&rows, table, &first["sid"], lookups);
        let expected: BTreeSet<u64> =
            of_call.clone().filter_map(|(_, row)| row["micros"].as_u64()).collect();
        assert_eq!(found.keys().copied().collect::<BTreeSet<_>>(), expected, "from {table}");
        // The script writes names of frames on their arrows, and leaves SIP alone.
        let names: Vec<(&str, Value)> = of_call.collect();
        for (table, row) in &names {
            let shown = &found[&row["micros"].as_u64().expect("a moment")];
            let name = row["raw"].as_str().expect("a text").lines().next();
            let expected = if *table == own { json!(name) } else { Value::Null };
            assert_eq!(shown["data_header"]["method"], expected, "{row}");
            // Under the name of the call itself Homer would show frames once more, as reports of quality.
            assert_eq!(shown["sid"] == row["sid"], *table != own, "{shown}");
            assert_eq!(shown["raw"], row["raw"]);
        }
    }
    // What may be searched for is in a row.
    let (_, row) = rows.iter().find(|(table, _)| *table == own).expect("such a row");
    for field in mapping["fields_mapping"].as_array().expect("fields") {
        let name = field["id"].as_str().expect("a name");
        let is_there = match name.strip_prefix("protocol_header.") {
            Some(name) => row["protocol_header"].get(name).is_some(),
            None => row.get(name).is_some(),
        };
        assert!(is_there, "{name}");
    }
}

/// What homer-app lays to the rows of a table with an identifier by such look-ups, by their moments.
fn transaction(
    rows: &[(&str, Value)],
    table: &str,
    sid: &Value,
    lookups: &Value,
) -> BTreeMap<u64, Value> {
    let within = |row: &Value, path: &str| {
        let path = path.replace("->>", ".").replace('\'', "");
        path.split('.').fold(row.clone(), |value, part| value[part].clone())
    };
    let of = |table: &str, field: &str, values: &[Value]| -> Vec<Value> {
        let those = rows
            .iter()
            .filter(|(kept, row)| *kept == table && values.contains(&within(row, field)));
        those.map(|(_, row)| row.clone()).collect()
    };
    let first = of(table, "sid", std::slice::from_ref(sid));
    let mut all = first.clone();
    for lookup in lookups.as_array().expect("a list") {
        let word = |name: &str| lookup[name].as_str().expect("a word");
        let values: Vec<Value> =
            first.iter().map(|row| within(row, word("source_field"))).collect();
        let table = format!("hep_proto_{}_{}", lookup["lookup_id"], word("lookup_profile"));
        all.extend(of(&table, word("lookup_field"), &values));
        if let Some(script) = lookup.get("output_script") {
            assert_eq!(script, "iax", "the name that the page says");
            all = run_script(&all);
        }
    }
    all.into_iter().map(|row| (row["micros"].as_u64().expect("a moment"), row)).collect()
}

/// What the script makes of rows.
fn run_script(rows: &[Value]) -> Vec<Value> {
    program_of("node", "nodejs").unwrap_or_else(|missing| panic!("{missing}"));
    let directory = tempfile::tempdir().expect("a directory");
    let (data, script) = (directory.path().join("rows"), directory.path().join("iax.js"));
    std::fs::write(&data, json!(rows).to_string()).expect("writable");
    std::fs::write(&script, SCRIPT).expect("writable");
    let run = "const fs = require('fs'), [rows, script] = process.argv.slice(1); \
               globalThis.data = JSON.parse(fs.readFileSync(rows)); \
               const made = require('vm').runInThisContext(fs.readFileSync(script, 'utf8')); \
               console.log(JSON.stringify(made));";
    let node = Command::new("node").args(["-e", run]).args([&data, &script]).output();
    let node = node.expect("it runs");
    assert!(node.status.success(), "{}", String::from_utf8_lossy(&node.stderr));
    serde_json::from_slice(&node.stdout).expect("JSON")
}
