//! Full frames as text: Homer keeps what a packet holds as a text, and leaves out of it what is none.

use std::fmt::Write;

use oneport_wire::{Datagram, Message};

/// A frame as lines: what it is in a few words, its numbers, and each of its elements.
pub(super) fn frame(datagram: &[u8], is_sealed: bool) -> String {
    if is_sealed {
        return format!("encrypted\n{} bytes\n", datagram.len());
    }
    let decoded = Datagram::decode(datagram);
    let (frame, message) = match &decoded {
        Ok(Datagram::Full(frame)) => (frame, frame.message()),
        Ok(other) => return format!("{other}\n"),
        Err(error) => return format!("malformed\n{error}\n"),
    };
    let header = &frame.header;
    let mut text = match &message {
        Ok(message) => format!("{}\n", message.gist()),
        Err(_) => "malformed\n".into(),
    };
    // Writing to a text never fails.
    let _ = write!(
        text,
        "from {} to {}, {} ms, OSeqno {}, ISeqno {}",
        header.source, header.destination, header.timestamp, header.oseq, header.iseq
    );
    text.push_str(if header.retransmission { ", repeated\n" } else { "\n" });
    let _ = match message {
        Ok(Message::Iax { elements, .. }) => {
            elements.iter().try_for_each(|element| writeln!(text, "{element}"))
        }
        Ok(message) => writeln!(text, "{message}"),
        Err(error) => writeln!(text, "{error}"),
    };
    text
}

#[cfg(test)]
mod tests {
    use oneport_wire::{Element, IaxSubclass};

    use super::*;
    use crate::sealed::tests::{full, iax};

    #[test]
    fn a_frame_is_what_it_is_its_numbers_and_a_line_for_each_element() {
        let number = Element::CalledNumber("600".into());
        let new = frame(&iax(IaxSubclass::New, &[Element::Version(2), number]), false);
        let expected = "NEW 600\nfrom 9 to 5, 20 ms, OSeqno 1, ISeqno 2\n\
                        Version(2)\nCalledNumber(\"600\")\n";
        assert_eq!(new, expected);
        let elements =
            [Element::Challenge(b"1234"), Element::CallToken(b"**"), Element::Refresh(60)];
        let request = frame(&iax(IaxSubclass::AuthReq, &elements), false);
        assert!(
            request.ends_with("\nChallenge(\"1234\")\nCallToken(\"**\")\nRefresh(60)\n"),
            "{request}"
        );
        let digit = frame(&full(&Message::DtmfEnd(b'5'), true), false);
        let expected = "DTMF 5\nfrom 9 to 5, 20 ms, OSeqno 1, ISeqno 2, repeated\nDTMF END 5\n";
        assert_eq!(digit, expected);
    }

    #[test]
    fn of_what_cannot_be_read_nothing_is_made_up() {
        let ack = iax(IaxSubclass::Ack, &[]);
        assert_eq!(frame(&ack, true), "encrypted\n12 bytes\n");
        assert!(frame(&ack[..11], false).starts_with("malformed\n"));
        // An element that is longer than the frame.
        let cut = [&iax(IaxSubclass::Hangup, &[])[..], &[22, 9, b'x']].concat();
        let text = frame(&cut, false);
        assert!(text.starts_with("malformed\nfrom 9 to 5, 20 ms"), "{text}");
        // Names that are no UTF-8, or have control characters.
        let name =
            frame(&iax(IaxSubclass::New, &[Element::Unknown { id: 4, data: b"a\0\xFF\n" }]), false);
        assert_eq!(name.lines().count(), 3, "{name}");
        assert!(!name.contains('\0'), "{name}");
    }
}
