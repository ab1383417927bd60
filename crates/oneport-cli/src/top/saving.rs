//! A call into a file: its ladder as text or as a picture, or its packets out of a capture.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use oneport_decode::Packet;
use oneport_switch::api::model::Ladder;

use super::capture;
use crate::ladder::draw::{self, draw};
use crate::ladder::svg::svg;

/// How wide a ladder is in a file.
const COLUMNS: usize = 120;

/// What goes into a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Content {
    /// This text.
    Text(String),
    /// The packets of this call of the capture.
    Packets(u64),
}

/// What a name of a file asks for, by its ending.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Text,
    Picture,
    Packets,
}

impl Kind {
    pub(crate) fn of(name: &str) -> Self {
        match name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).as_deref() {
            Some("pcap" | "pcapng") => Self::Packets,
            Some("svg") => Self::Picture,
            _ => Self::Text,
        }
    }
}

/// A ladder as the content of a file.
pub(crate) fn drawn(
    kind: Kind,
    title: &str,
    ladder: &Ladder,
    here: &str,
    notes: &BTreeMap<usize, Vec<String>>,
) -> Content {
    if kind == Kind::Picture {
        return Content::Text(svg(title, ladder, here, notes));
    }
    let lines = draw(ladder, here, notes, draw::Look { unicode: true, columns: COLUMNS });
    let mut text = format!("{title}\n\n");
    for line in lines {
        let line: String = line.iter().map(|(_, text)| text.as_str()).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    Content::Text(text)
}

/// Writes a file, which must not be there yet; what was written, in words.
///
/// # Errors
/// In words.
pub(super) fn write(
    name: &str,
    content: &Content,
    capture: Option<(&Path, &[u16])>,
) -> Result<String, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{name}: {error}");
    let file = File::create_new(name).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => format!("{name} is there already; choose another name"),
        _ => wrong(&error),
    })?;
    let mut out = BufWriter::new(file);
    let what = match (content, capture) {
        (Content::Text(text), _) => {
            out.write_all(text.as_bytes()).map_err(|error| wrong(&error))?;
            format!("its ladder is in {name}")
        }
        (Content::Packets(call), Some((path, ports))) => {
            let mut pcapng = Pcapng::begin(&mut out).map_err(|error| wrong(&error))?;
            let mut failed = None;
            let read = capture::packets_of(path, ports, *call, |packet| {
                if failed.is_none() {
                    failed = pcapng.packet(packet).err();
                }
            });
            read.map_err(|failure| failure.sentence().to_string())?;
            if let Some(error) = failed {
                return Err(wrong(&error));
            }
            format!("{} are in {name}", crate::table::count(pcapng.packets, "packet"))
        }
        (Content::Packets(_), None) => return Err("a switch has no packets of before".into()),
    };
    out.flush().map_err(|error| wrong(&error))?;
    Ok(what)
}

/// A capture as it is written (pcapng): times in nanoseconds, an interface for each kind of link.
struct Pcapng<W> {
    out: W,
    links: Vec<i32>,
    packets: usize,
}

impl<W: Write> Pcapng<W> {
    fn begin(out: W) -> io::Result<Self> {
        let mut pcapng = Self { out, links: Vec::new(), packets: 0 };
        // Byte order, version 1.0, a length that is not known.
        let mut body = 0x1A2B_3C4D_u32.to_le_bytes().to_vec();
        body.extend([1, 0, 0, 0]);
        body.extend([0xFF; 8]);
        pcapng.block(0x0A0D_0D0A, &body)?;
        Ok(pcapng)
    }

    fn packet(&mut self, packet: &Packet<'_>) -> io::Result<()> {
        let known = self.links.iter().position(|link| *link == packet.link);
        let interface = match known {
            Some(place) => place,
            None => {
                let link = u16::try_from(packet.link).unwrap_or(u16::MAX);
                let mut body = link.to_le_bytes().to_vec();
                // As long as they were; the option if_tsresol of one byte: 10^-9 s; the end of options.
                body.extend([0; 6]);
                body.extend([9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
                self.block(1, &body)?;
                self.links.push(packet.link);
                self.links.len() - 1
            }
        };
        let size = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
        let mut body = size(interface).to_vec();
        let [a, b, c, d, e, f, g, h] = packet.time.0.to_le_bytes();
        body.extend([e, f, g, h, a, b, c, d]);
        body.extend(size(packet.data.len()));
        body.extend(size(packet.data.len()));
        body.extend(packet.data);
        self.packets += 1;
        self.block(6, &body)
    }

    /// A block: its kind, its length before and behind, its body to a multiple of four bytes.
    fn block(&mut self, kind: u32, body: &[u8]) -> io::Result<()> {
        let padded = body.len().next_multiple_of(4);
        let length = u32::try_from(padded + 12).unwrap_or(u32::MAX).to_le_bytes();
        self.out.write_all(&kind.to_le_bytes())?;
        self.out.write_all(&length)?;
        self.out.write_all(body)?;
        self.out.write_all(&[0; 3][..padded - body.len()])?;
        self.out.write_all(&length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packets_of_a_call_are_a_capture_of_that_call_alone() {
        let file = "../../testdata/asterisk-register-call-reject.pcap";
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let whole = capture::read(&path, &[24_569]).expect("a capture");
        let directory = tempfile::tempdir().expect("a directory");
        let name = directory.path().join("call.pcapng");
        let name = name.to_str().expect("a name");
        let of = Some((path.as_path(), &[24_569_u16][..]));
        let said = write(name, &Content::Packets(3), of).expect("written");
        let cut = capture::read(Path::new(name), &[24_569]).expect("a capture");
        let [call] = &*cut.calls else { panic!("{:?}", cut.calls) };
        let before = whole.calls.iter().find(|call| call.item.key == "3").expect("the call");
        let gists = |call: &capture::Captured| -> Vec<(String, f64)> {
            call.ladder.messages.iter().map(|one| (one.message.clone(), one.ms)).collect()
        };
        assert_eq!(gists(call), gists(before), "to the nanosecond");
        assert_eq!(said, format!("7 packets are in {name}"));
        let again = write(name, &Content::Text("x".into()), None).expect_err("it is there");
        assert!(again.contains("is there already"), "{again}");
    }

    #[test]
    fn the_ending_of_a_name_says_what_is_written() {
        let kinds = ["call.pcapng", "a.b/x.PCAP", "x.svg", "x.txt", "x", "pcap"].map(Kind::of);
        let (packets, text) = (Kind::Packets, Kind::Text);
        assert_eq!(kinds, [packets, packets, Kind::Picture, text, text, text]);
    }
}
