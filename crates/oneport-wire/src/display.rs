//! One line for each frame, as a packet sniffer prints it.

use core::fmt;

use crate::element::Element;
use crate::frame::{Datagram, FullFrame, MiniFrame, VideoMiniFrame};
use crate::message::Message;
use crate::trunk::TrunkFrame;

impl fmt::Display for Datagram<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(frame) => frame.fmt(f),
            Self::Mini(frame) => frame.fmt(f),
            Self::VideoMini(frame) => frame.fmt(f),
            Self::Trunk(frame) => frame.fmt(f),
        }
    }
}

/// Source `>` destination, time, OSeqno `/` ISeqno, `R` when repeated, and the message.
impl fmt::Display for FullFrame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = &self.header;
        let mark = if header.retransmission { " R" } else { "" };
        write!(f, "{}>{} {}ms ", header.source, header.destination, header.timestamp)?;
        write!(f, "{}/{}{mark} ", header.oseq, header.iseq)?;
        match self.message() {
            Ok(message) => message.fmt(f),
            Err(error) => write!(f, "malformed: {error}"),
        }
    }
}

impl fmt::Display for MiniFrame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}> {}ms mini, {} bytes", self.source, self.timestamp.0, self.payload.len())
    }
}

impl fmt::Display for VideoMiniFrame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.mark { " mark" } else { "" };
        let (time, len) = (self.timestamp.0, self.payload.len());
        write!(f, "{}> {time}ms video{mark}, {len} bytes", self.source)
    }
}

impl fmt::Display for TrunkFrame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "trunk {}ms, {} calls", self.timestamp, self.entries().count())
    }
}

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DtmfBegin(digit) => write!(f, "DTMF BEGIN {}", char::from(*digit)),
            Self::DtmfEnd(digit) => write!(f, "DTMF END {}", char::from(*digit)),
            Self::Voice { subclass, payload } => media(f, "VOICE", subclass.format(), payload),
            Self::Video { subclass, payload } => {
                media(f, "VIDEO", subclass.video_format(), payload)
            }
            Self::Image { subclass, payload } => media(f, "IMAGE", subclass.format(), payload),
            Self::Control { control, .. } => write!(f, "CONTROL {control}"),
            Self::Null { .. } => f.write_str("NULL"),
            Self::Iax { subclass, elements } => {
                write!(f, "IAX {subclass}")?;
                elements.iter().try_for_each(|element| write!(f, " {element}"))
            }
            Self::Text { payload, .. } => {
                write!(f, "TEXT {:?}", crate::Str::new(payload))?;
                self.radio_text().map_or(Ok(()), |radio| write!(f, " ({radio})"))
            }
            Self::Html { subclass, payload } => {
                write!(f, "HTML {subclass}, {} bytes", payload.len())
            }
            Self::Cng { level, .. } => write!(f, "CNG -{level} dBov"),
            Self::Modem { subclass, payload } => {
                write!(f, "MODEM {subclass}, {} bytes", payload.len())
            }
            Self::Unknown { frame_type, subclass, payload } => {
                write!(f, "TYPE {frame_type} subclass {subclass}, {} bytes", payload.len())
            }
        }
    }
}

/// Its name, and what is in it: data as text where it is one, and otherwise in hexadecimal digits.
impl fmt::Display for Element<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Challenge(data) => write!(f, "Challenge({})", Data(data)),
            Self::Provisioning(data) => write!(f, "Provisioning({})", Data(data)),
            Self::AesProvisioning(data) => write!(f, "AesProvisioning({})", Data(data)),
            Self::FirmwareBlockData(data) => write!(f, "FirmwareBlockData({})", Data(data)),
            Self::EncryptionKey(data) => write!(f, "EncryptionKey({})", Data(data)),
            Self::CallToken(data) => write!(f, "CallToken({})", Data(data)),
            Self::OspToken { index, data } => write!(f, "OspToken({index}, {})", Data(data)),
            Self::Unknown { id, data } => write!(f, "Unknown({id}, {})", Data(data)),
            Self::Malformed { id, data } => write!(f, "Malformed({id}, {})", Data(data)),
            Self::DateTime(at) => write!(f, "DateTime({at})"),
            _ => write!(f, "{self:?}"),
        }
    }
}

struct Data<'a>(&'a [u8]);

impl fmt::Display for Data<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_text = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
        if self.0.iter().all(is_text) {
            return write!(f, "{:?}", crate::Str::new(self.0));
        }
        f.write_str("0x")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn media(
    f: &mut fmt::Formatter<'_>,
    kind: &str,
    format: Option<crate::Format>,
    payload: &[u8],
) -> fmt::Result {
    match format {
        Some(format) => write!(f, "{kind} {format}, {} bytes", payload.len()),
        None => write!(f, "{kind} of no format, {} bytes", payload.len()),
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn data_of_an_element_is_text_where_it_can_be_read_and_otherwise_hexadecimal() {
        for (element, said) in [
            (Element::CallToken(b"17?ab"), "CallToken(\"17?ab\")"),
            (Element::CallToken(b""), "CallToken(\"\")"),
            (Element::Challenge(b"a\"b"), "Challenge(\"a\\\"b\")"),
            (Element::Challenge(&[0, 255]), "Challenge(0x00ff)"),
            (Element::OspToken { index: 1, data: b"x\n" }, "OspToken(1, 0x780a)"),
            (Element::Unknown { id: 200, data: &[7] }, "Unknown(200, 0x07)"),
            (Element::Refresh(60), "Refresh(60)"),
            (Element::Cause("busy".into()), "Cause(\"busy\")"),
        ] {
            assert_eq!(element.to_string(), said);
        }
    }
}
