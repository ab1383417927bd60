//! What passes over the loopback, as Wireshark's dissector reads it.

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::install::program_of;
use super::place::Place;
use super::wait_for;

/// A capture under way.
pub struct Capture {
    process: Child,
    path: PathBuf,
    ports: Vec<u16>,
    /// Sends datagrams that mark a place in the capture.
    mark: UdpSocket,
    _place: Arc<Place>,
}

/// One IAX2 packet as tshark sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet {
    /// Sender's UDP port.
    pub from_port: u16,
    /// Its frame type, or nothing for a mini frame.
    pub frame_type: String,
    /// Whether the R bit is set.
    pub retransmission: bool,
    /// What the dissector complains about.
    pub malformed: bool,
    /// One line.
    pub info: String,
}

impl Capture {
    /// Listens to these UDP ports of the loopback. It has a place among the tests with peers, as an
    /// Asterisk has.
    ///
    /// # Panics
    /// tshark is missing or may not capture.
    #[must_use]
    pub fn start(ports: &[u16]) -> Self {
        program_of("tshark", "tshark").unwrap_or_else(|missing| panic!("{missing}"));
        let place = Place::take();
        let mark = UdpSocket::bind("127.0.0.1:0").expect("the loopback has ports");
        let marked = mark.local_addr().expect("it is bound").port();
        let name = format!("oneport-{}-{marked}.pcap", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_file(&path);
        let filter: Vec<String> =
            ports.iter().chain([&marked]).map(|port| format!("udp port {port}")).collect();
        let process = Command::new("tshark")
            .args(["-i", "lo", "-q", "-F", "pcap", "-B", "16", "-f", &filter.join(" or "), "-w"])
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("tshark starts");
        let capture = Self { process, path, ports: ports.to_vec(), mark, _place: place };
        capture.see_mark("tshark to capture");
        capture
    }

    /// Ends it and gives the content of the datagrams that left from a port.
    ///
    /// # Panics
    /// tshark cannot read what it wrote.
    #[must_use]
    pub fn finish_from(mut self, port: u16) -> Vec<Vec<u8>> {
        self.stop();
        // The dissector of IAX2 would keep the payload for itself.
        let packets = fields(&self.path, &[], &["udp.srcport", "udp.payload"]);
        let _ = fs::remove_file(&self.path);
        let ours = packets.iter().filter(|values| values[0] == port.to_string());
        ours.map(|values| hexadecimal(&values[1])).collect()
    }

    /// Ends it and gives the content of all datagrams.
    ///
    /// # Panics
    /// tshark cannot read what it wrote.
    #[must_use]
    pub fn datagrams(mut self) -> Vec<Vec<u8>> {
        self.stop();
        let packets = fields(&self.path, &[], &["udp.payload"]);
        packets.iter().map(|values| hexadecimal(&values[0])).collect()
    }

    /// Ends it and gives the file as it is.
    ///
    /// # Panics
    /// It cannot be read.
    #[must_use]
    pub fn into_bytes(mut self) -> Vec<u8> {
        self.stop();
        fs::read(&self.path).expect("a capture")
    }

    /// Ends it and reads the packets.
    ///
    /// # Panics
    /// tshark cannot read what it wrote.
    #[must_use]
    pub fn finish(mut self) -> Vec<Packet> {
        self.stop();
        dissect(&self.path, &self.ports)
    }

    /// Sends datagrams of our own until the file has one of them: then it also has all that was sent
    /// before.
    fn see_mark(&self, what: &str) {
        static MARKS: AtomicU64 = AtomicU64::new(0);
        let number = MARKS.fetch_add(1, Ordering::Relaxed);
        let mark = format!("mark {number} of process {}", std::process::id());
        let own = self.mark.local_addr().expect("it is bound");
        wait_for(what, Duration::from_secs(60), || {
            let _ = self.mark.send_to(mark.as_bytes(), own);
            let seen = fs::read(&self.path).unwrap_or_default();
            seen.windows(mark.len()).any(|window| window == mark.as_bytes())
        });
    }

    fn stop(&mut self) {
        self.see_mark("tshark to see the last packet");
        let _ = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status();
        let _ = self.process.wait();
        let marked = self.mark.local_addr().expect("it is bound").port();
        let bytes = fs::read(&self.path).expect("a capture");
        fs::write(&self.path, without_port(&bytes, marked)).expect("writable");
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_file(&self.path);
    }
}

/// A capture of the loopback without the packets that a port has sent.
fn without_port(capture: &[u8], port: u16) -> Vec<u8> {
    let (head, mut rest) = capture.split_at(capture.len().min(24));
    let mut kept = head.to_vec();
    while let Some(length) = rest.get(8..12) {
        let length = u32::from_le_bytes(length.try_into().expect("four bytes"));
        let whole = 16 + usize::try_from(length).expect("a packet");
        let Some(record) = rest.get(..whole) else { break };
        // Record and Ethernet headers, then IPv4 without options.
        let sent_by = (record.get(30) == Some(&0x45)).then(|| record.get(50..52)).flatten();
        if sent_by != Some(&port.to_be_bytes()) {
            kept.extend(record);
        }
        rest = &rest[whole..];
    }
    kept
}

/// Reads a file, taking the given ports for IAX2.
///
/// # Panics
/// tshark is missing or cannot read it.
#[must_use]
pub fn dissect(path: &Path, ports: &[u16]) -> Vec<Packet> {
    program_of("tshark", "tshark").unwrap_or_else(|missing| panic!("{missing}"));
    let names =
        ["udp.srcport", "iax2.type", "iax2.retransmission", "_ws.malformed", "_ws.col.Info"];
    let packets = fields(path, ports, &names).into_iter().map(|values| {
        let [from_port, frame_type, retransmission, malformed, info] = &values[..] else {
            panic!("tshark wrote {values:?}");
        };
        Packet {
            from_port: from_port.parse().unwrap_or_default(),
            frame_type: frame_type.clone(),
            retransmission: matches!(retransmission.as_str(), "1" | "True"),
            malformed: !malformed.is_empty() || info.contains("alformed"),
            info: info.clone(),
        }
    });
    packets.collect()
}

/// The values of some of the dissector's fields, for each packet of a file. A field that occurs
/// several times has its values joined by commas.
///
/// # Panics
/// tshark is missing or cannot read the file.
#[must_use]
pub fn fields(path: &Path, ports: &[u16], names: &[&str]) -> Vec<Vec<String>> {
    program_of("tshark", "tshark").unwrap_or_else(|missing| panic!("{missing}"));
    let mut command = Command::new("tshark");
    command.arg("-r").arg(path).args(["-T", "fields", "-E", "separator=|"]);
    for port in ports {
        command.args(["-d", &format!("udp.port=={port},iax2")]);
    }
    for name in names {
        command.args(["-e", name]);
    }
    let output = command.stderr(Stdio::null()).output().expect("tshark runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let split = |line: &str| line.splitn(names.len(), '|').map(str::to_string).collect();
    text.lines().map(split).collect()
}

/// The bytes of two digits each; tshark may put colons between them.
fn hexadecimal(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    let bytes = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]);
    bytes.map(|byte| u8::try_from(byte).expect("two digits")).collect()
}

/// Writes datagrams into a file, as if sent from port 4569 to port 4569.
///
/// # Panics
/// The file cannot be written.
pub fn write_pcap(path: &Path, datagrams: &[Vec<u8>]) {
    let mut file = Vec::new();
    // Magic number, version 2.4, no time zone, longest packet, Ethernet.
    for word in [0xA1B2_C3D4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend(word.to_le_bytes());
    }
    for (n, datagram) in (0_u32..).zip(datagrams) {
        let len = u16::try_from(datagram.len()).expect("a datagram");
        let mut packet = vec![0; 12];
        packet.extend([0x08, 0x00, 0x45, 0]);
        packet.extend((len + 28).to_be_bytes());
        packet.extend([0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 2]);
        packet.extend([0x11, 0xD9, 0x11, 0xD9]);
        packet.extend((len + 8).to_be_bytes());
        packet.extend([0, 0]);
        packet.extend(datagram);
        let size = u32::try_from(packet.len()).expect("small");
        for word in [1 + n / 1000, n % 1000 * 1000, size, size] {
            file.extend(word.to_le_bytes());
        }
        file.extend(packet);
    }
    fs::write(path, file).expect("the file can be written");
}
