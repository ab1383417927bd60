//! What shows on the wire of encrypted frames (RFC 5456 §10), for those who see datagrams: by what they begin, and how
//! long they are.

use oneport_wire::{Datagram, Element, EncryptionMethods, IaxSubclass, Message};

/// Whether it is an AUTHREQ behind which the frames of its call are encrypted (RFC 5456 §10).
pub(crate) fn seals(datagram: &[u8]) -> bool {
    let Ok(Datagram::Full(frame)) = Datagram::decode(datagram) else { return false };
    let Ok(Message::Iax { subclass: IaxSubclass::AuthReq, elements }) = frame.message() else {
        return false;
    };
    elements.iter().any(|element| match element {
        Element::Encryption(methods) => methods.contains(EncryptionMethods::AES128),
        _ => false,
    })
}

/// Whether a full frame behind one has the length of an encrypted one: call numbers, padding of 16 bytes or more, and all
/// together whole blocks. What is repeated in the clear has another.
pub(crate) const fn may_be_sealed(datagram: &[u8]) -> bool {
    let length = datagram.len().saturating_sub(4);
    length >= 32 && length.is_multiple_of(16)
}

/// Whether a full frame is one that is in the clear in encrypted calls too, because there is no key before it is answered.
pub(crate) fn is_always_clear(datagram: &[u8]) -> bool {
    let Ok(Datagram::Full(frame)) = Datagram::decode(datagram) else { return false };
    let Ok(Message::Iax { subclass, .. }) = frame.message() else { return false };
    matches!(subclass, IaxSubclass::New | IaxSubclass::CallToken | IaxSubclass::AuthReq)
}

#[cfg(test)]
pub(crate) mod tests {
    use oneport_wire::{CallNumber, ElementBuffer, FullHeader, Seq, Timestamp};

    use super::*;

    pub(crate) fn full(message: &Message<'_>, retransmission: bool) -> Vec<u8> {
        let header = FullHeader {
            source: CallNumber::from_bits(9),
            destination: CallNumber::from_bits(5),
            retransmission,
            timestamp: Timestamp(20),
            oseq: Seq(1),
            iseq: Seq(2),
        };
        let mut bytes = Vec::new();
        message.encode(&header, &mut bytes);
        bytes
    }

    pub(crate) fn iax(subclass: IaxSubclass, elements: &[Element<'_>]) -> Vec<u8> {
        let mut buffer = ElementBuffer::new();
        for element in elements {
            buffer.push(element);
        }
        full(&Message::iax(subclass, buffer.as_elements()), false)
    }

    #[test]
    fn a_challenge_says_whether_what_is_behind_it_is_encrypted_and_lengths_say_what_is() {
        let aes = Element::Encryption(EncryptionMethods::AES128);
        assert!(seals(&iax(IaxSubclass::AuthReq, &[aes])));
        for other in [
            iax(IaxSubclass::AuthReq, &[]),
            iax(IaxSubclass::AuthReq, &[Element::Encryption(EncryptionMethods(0))]),
            iax(IaxSubclass::New, &[aes]),
            full(&Message::DtmfEnd(b'5'), false),
            vec![0x80; 5],
        ] {
            assert!(!seals(&other));
        }
        for (length, expected) in [(0, false), (20, false), (36, true), (46, false), (52, true)] {
            assert_eq!(may_be_sealed(&vec![0x80; length]), expected, "{length}");
        }
    }

    #[test]
    fn what_comes_before_there_is_a_key_is_in_the_clear() {
        let subclasses = [IaxSubclass::New, IaxSubclass::CallToken, IaxSubclass::AuthReq];
        assert!(subclasses.iter().all(|subclass| is_always_clear(&iax(*subclass, &[]))));
        for other in
            [iax(IaxSubclass::AuthRep, &[]), full(&Message::DtmfEnd(b'5'), false), vec![0x80; 5]]
        {
            assert!(!is_always_clear(&other));
        }
    }
}
