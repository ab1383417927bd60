//! The page about Homer: its configuration sends copies, which an independent reader takes apart, sngrep
//! takes as SIP, and Wireshark's dissector as IAX2.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use oneport_testkit::peers::sipp::{Scenario, Sipp};
use oneport_testkit::peers::{free_port, program_of, tshark, wait_for};

use crate::markdown::Markdown;
use crate::page::Page;

const PAGE: &str = include_str!("../../../../docs/homer.md");

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
}

/// Takes packets by UDP, and hands them on where that is wanted.
fn by_udp(onward: Option<SocketAddr>) -> (SocketAddr, Receiver<Vec<u8>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("it has one");
    let (taken, packets) = channel();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 70_000];
        while let Ok(length) = socket.recv(&mut buffer) {
            if let Some(onward) = onward {
                let _ = socket.send_to(&buffer[..length], onward);
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
fn switch(to: SocketAddr, transport: &str, more: &str) -> Page {
    let blocks = Markdown::of(PAGE).blocks;
    let block = blocks.into_iter().find(|block| block.kind.as_deref() == Some("toml"));
    let config = block.expect("a configuration").text;
    let config = config
        .replace("homer.example.org:9060", &to.to_string())
        .replace("\"udp\"", &format!("\"{transport}\""))
        .replace("/etc/oneport/hep", "hep.secret");
    assert!(config.contains(transport) && config.contains("hep.secret"), "{config}");
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
        let (to, receiver) = if transport == "udp" { by_udp(None) } else { by_tcp() };
        let page = switch(to, transport, "");
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
    let (to, receiver) = by_udp(Some(([127, 0, 0, 1], listen).into()));
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
    let page = switch(to, "udp", &more);
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
