//! A frame in a few words, for places with little room: its name, and the one thing that matters of it.

use core::fmt;

use crate::cause::CauseCode;
use crate::element::{Element, Elements};
use crate::format::FormatSet;
use crate::frame::Datagram;
use crate::message::Message;
use crate::subclass::IaxSubclass;

/// Prints what [`Message::gist`] says.
///
/// ```
/// use oneport_wire::{Element, ElementBuffer, IaxSubclass, Message};
///
/// let mut elements = ElementBuffer::new();
/// elements.push(&Element::Username("ann".into()));
/// elements.push(&Element::Password("secret".into()));
/// let message = Message::iax(IaxSubclass::AuthRep, elements.as_elements());
/// assert_eq!(message.gist().to_string(), "AUTHREP plaintext");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Gist<'a>(Kind<'a>);

#[derive(Clone, Copy, Debug)]
enum Kind<'a> {
    Message(Message<'a>),
    Malformed,
    Voice,
    Video,
    Trunk(usize),
}

impl<'a> Message<'a> {
    /// It in a few words: `NEW 600`, `RINGING`, `REJECT no route to destination (3)`. No password is shown.
    #[must_use]
    pub const fn gist(&self) -> Gist<'a> {
        Gist(Kind::Message(*self))
    }
}

impl<'a> Datagram<'a> {
    /// It in a few words, as [`Message::gist`] has them.
    #[must_use]
    pub fn gist(&self) -> Gist<'a> {
        Gist(match self {
            Self::Full(frame) => frame.message().map_or(Kind::Malformed, Kind::Message),
            Self::Mini(_) => Kind::Voice,
            Self::VideoMini(_) => Kind::Video,
            Self::Trunk(trunk) => Kind::Trunk(trunk.entries().count()),
        })
    }
}

impl fmt::Display for Gist<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = match &self.0 {
            Kind::Message(message) => message,
            Kind::Malformed => return f.write_str("malformed"),
            Kind::Voice => return f.write_str("voice"),
            Kind::Video => return f.write_str("video"),
            Kind::Trunk(calls) => return write!(f, "voice of {calls} calls"),
        };
        match message {
            Message::DtmfBegin(digit) => write!(f, "DTMF {} begins", char::from(*digit)),
            Message::DtmfEnd(digit) => write!(f, "DTMF {}", char::from(*digit)),
            Message::Voice { subclass, .. } => match subclass.format() {
                Some(format) => write!(f, "VOICE {format}"),
                None => f.write_str("VOICE of no format"),
            },
            Message::Video { subclass, .. } => match subclass.video_format() {
                Some(format) => write!(f, "VIDEO {format}"),
                None => f.write_str("VIDEO of no format"),
            },
            Message::Control { control, .. } => write!(f, "{control}"),
            Message::Iax { subclass, elements } => iax(f, *subclass, *elements),
            Message::Text { payload, .. } => {
                write!(f, "TEXT {}", crate::Str::new(payload.strip_suffix(&[0]).unwrap_or(payload)))
            }
            Message::Html { subclass, .. } => write!(f, "HTML {subclass}"),
            Message::Null { .. } => f.write_str("NULL"),
            Message::Image { .. } => f.write_str("IMAGE"),
            Message::Cng { .. } => f.write_str("CNG"),
            Message::Modem { .. } => f.write_str("MODEM"),
            Message::Unknown { frame_type, .. } => write!(f, "type {frame_type}"),
        }
    }
}

/// An IAX frame: its name, and what is said first of what matters in it.
fn iax(f: &mut fmt::Formatter<'_>, subclass: IaxSubclass, elements: Elements<'_>) -> fmt::Result {
    use IaxSubclass as Iax;
    write!(f, "{subclass}")?;
    let text = |f: &mut fmt::Formatter<'_>, find: fn(Element<'_>) -> Option<crate::Str<'_>>| {
        elements.iter().find_map(find).map_or(Ok(()), |text| write!(f, " {text}"))
    };
    match subclass {
        Iax::New | Iax::Dial | Iax::DpReq | Iax::Transfer => text(f, |element| match element {
            Element::CalledNumber(number) => Some(number),
            _ => None,
        }),
        Iax::RegReq | Iax::RegRel => text(f, |element| match element {
            Element::Username(name) => Some(name),
            _ => None,
        }),
        Iax::Accept => {
            let mut format = FormatSet::EMPTY;
            for element in elements.iter() {
                match element {
                    Element::Format(chosen) if format == FormatSet::EMPTY => format = chosen,
                    Element::Format2(chosen) => format = chosen,
                    _ => {}
                }
            }
            if format == FormatSet::EMPTY { Ok(()) } else { write!(f, " {format}") }
        }
        Iax::AuthReq | Iax::RegAuth => {
            let methods = elements.iter().find_map(|element| match element {
                Element::AuthMethods(methods) => Some(methods),
                _ => None,
            });
            methods.map_or(Ok(()), |methods| write!(f, " {methods}"))
        }
        Iax::AuthRep => {
            let proof = elements.iter().find_map(|element| match element {
                Element::Md5Result(_) => Some("md5"),
                Element::RsaResult(_) => Some("rsa"),
                Element::Password(_) => Some("plaintext"),
                _ => None,
            });
            proof.map_or(Ok(()), |proof| write!(f, " {proof}"))
        }
        Iax::RegAck => {
            let refresh = elements.iter().find_map(|element| match element {
                Element::Refresh(seconds) => Some(seconds),
                _ => None,
            });
            refresh.map_or(Ok(()), |seconds| write!(f, " for {seconds} s"))
        }
        Iax::Hangup | Iax::Reject | Iax::RegRej | Iax::TxRej => cause(f, elements),
        Iax::Unsupport => {
            let what = elements.iter().find_map(|element| match element {
                Element::IaxUnknown(subclass) => Some(subclass),
                _ => None,
            });
            what.map_or(Ok(()), |what| write!(f, " {}", IaxSubclass::from_subclass(what)))
        }
        _ => Ok(()),
    }
}

/// Why: by its number where there is one, else in the sender's words.
fn cause(f: &mut fmt::Formatter<'_>, elements: Elements<'_>) -> fmt::Result {
    let mut code = None;
    let mut words = None;
    for element in elements.iter() {
        match element {
            Element::CauseCode(cause) => code = Some(cause),
            Element::Cause(text) => words = Some(text),
            _ => {}
        }
    }
    match (code, words) {
        (Some(code), _) if code != CauseCode::NONE => write!(f, " {code}"),
        (_, Some(words)) => write!(f, " {words}"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element_buffer::ElementBuffer;
    use crate::format::Format;
    use std::string::ToString;

    fn said(subclass: IaxSubclass, elements: &[Element<'_>]) -> std::string::String {
        let mut buffer = ElementBuffer::new();
        for element in elements {
            buffer.push(element);
        }
        Message::iax(subclass, buffer.as_elements()).gist().to_string()
    }

    #[test]
    fn a_message_is_its_name_and_what_matters_of_it() {
        let number = Element::CalledNumber("600".into());
        assert_eq!(said(IaxSubclass::New, &[Element::Version(2), number]), "NEW 600");
        let formats = [
            Element::Format(FormatSet(Format::ULAW.mask())),
            Element::Format2(FormatSet(Format::OPUS.mask())),
        ];
        assert_eq!(said(IaxSubclass::Accept, &formats), "ACCEPT opus");
        let cause = [Element::Cause("no".into()), Element::CauseCode(CauseCode::NO_ROUTE)];
        assert_eq!(said(IaxSubclass::Reject, &cause), "REJECT no route to destination (3)");
        assert_eq!(said(IaxSubclass::Reject, &cause[..1]), "REJECT no");
        assert_eq!(said(IaxSubclass::Ack, &[]), "ACK");
        assert_eq!(said(IaxSubclass::RegAck, &[Element::Refresh(60)]), "REGACK for 60 s");
        assert_eq!(said(IaxSubclass::Unsupport, &[Element::IaxUnknown(31)]), "UNSUPPORT PAGE");
        assert_eq!(Message::voice(Format::ULAW, &[]).gist().to_string(), "VOICE ulaw");
        assert_eq!(Message::text(b"L 27\0").gist().to_string(), "TEXT L 27");
    }

    #[test]
    fn a_password_is_not_in_it() {
        let password = Element::Password("hunter2".into());
        assert_eq!(said(IaxSubclass::AuthRep, &[password]), "AUTHREP plaintext");
    }
}
