//! Somebody who means harm: off the path, who sees nothing and can only guess, or on it, who sees
//! everything in the clear, and repeats, changes and invents it under any address.

use std::net::SocketAddr;

use oneport_proto::Settings;
use oneport_wire::{Datagram, Element, IaxSubclass, Message, ProvisioningElement};

use super::network::Network;

/// How voice of an adversary begins, so that it is known when it is heard.
pub(super) const MARK: u32 = 0xBAD0_BAD0;

/// Who means harm in a story.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Adversary {
    None,
    OffPath,
    OnPath,
}

/// Where it is, when it says so.
fn own_address(network: &mut Network) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 1 + network.random(3) as u8], 4569))
}

impl Adversary {
    /// Does one thing to a node.
    pub(super) fn attack(self, network: &mut Network, node: usize) {
        match self {
            Self::None => {}
            Self::OffPath => guess(network, node),
            Self::OnPath if network.random(4) == 0 => guess(network, node),
            Self::OnPath => use_what_was_seen(network, node),
        }
    }
}

/// Call numbers and addresses out of the air. A number of 15 bits is soon found by who may send
/// without end; here no guess is right, since what a right one does is known.
fn guess(network: &mut Network, node: usize) {
    let other = network.random(3) as usize;
    let from = match network.random(3) {
        0 => own_address(network),
        _ => network.nodes[other].address,
    };
    let live: Vec<u16> =
        network.captured.iter().flat_map(|(.., bytes)| numbers_of(bytes)).flatten().collect();
    let mut number = || loop {
        let number = 2 + network.random(0x7FFD) as u16;
        if !live.contains(&number) {
            return number.to_be_bytes();
        }
    };
    let (source, destination) = (number(), number());
    let full = [[source[0] | 0x80, source[1]], destination].concat();
    let voice = [&MARK.to_be_bytes()[..], &[0x7F; 156]].concat();
    let frame = |rest: &[u8]| [&full[..], &[0, 0, 9, 9, 1, 1], rest].concat();
    let opening = |rest: &[u8]| [&full[..2], &[0, 0, 0, 0, 9, 9, 0, 0], rest].concat();
    let datagram = match network.random(14) {
        0 => frame(&[6, 5, 42, 1, 16]),
        1 => frame(&[6, 10]),
        2 => frame(&[6, 6]),
        3 => [&source[..], &[0, 9], &voice].concat(),
        4 => [&[0, 0, 1, 0, 0, 0, 0, 9][..], &source, &[0, 160], &voice].concat(),
        5 => opening(&[6, 1, 11, 2, 0, 2, 54, 0]),
        6 => opening(&[6, 1, 11, 2, 0, 2, 6, 5, b't', b'h', b'i', b'e', b'f', 54, 2, b'a', b'b']),
        7 => opening(&[6, 13, 6, 4, b's', b'i', b't', b'e', 54, 0]),
        8 => opening(&[6, 30]),
        9 => frame(&[6, 23, 27, 4, 0, 0, 0, 1]),
        // Video, firmware, and settings.
        10 => [&[0, 0, source[0] | 0x80, source[1], 0, 9][..], &voice].concat(),
        11 => opening(&[6, 36, 32, 4, b'i', b'a', b'x', b'y', 35, 4, 0, 0, 0, 255, 54, 0]),
        12 => opening(&[&[6, 35][..], &settings_of_nobody()].concat()),
        _ => frame(&[2, 4]).into_iter().chain(voice).collect(),
    };
    network.slip_in(node, from, datagram);
}

/// A whole PROVISIONING element, signed, of settings that no peer sends.
fn settings_of_nobody() -> Vec<u8> {
    let settings = Settings::new(&[ProvisioningElement::ServerUser("thief".into())]);
    let settings = settings.expect("short");
    let mut bytes = Vec::new();
    settings.iter().for_each(|setting| setting.encode(&mut bytes));
    let len = u8::try_from(bytes.len()).expect("short");
    [&[29, len][..], &bytes].concat()
}

/// Both numbers that a datagram names, where it names two.
fn numbers_of(bytes: &[u8]) -> [Option<u16>; 2] {
    match Datagram::decode(bytes) {
        Ok(Datagram::Full(frame)) => {
            [Some(frame.header.source.get()), Some(frame.header.destination.get())]
        }
        Ok(Datagram::Mini(mini)) => [Some(mini.source.get()), None],
        _ => [None; 2],
    }
}

/// Repeats something that passed, or uses its numbers.
fn use_what_was_seen(network: &mut Network, node: usize) {
    if network.captured.is_empty() {
        return guess(network, node);
    }
    let at = network.random(u32::try_from(network.captured.len()).unwrap_or(1)) as usize;
    let (receiver, sender, mut bytes) = network.captured[at].clone();
    let other = network.random(3) as usize;
    let from = match network.random(4) {
        0 => own_address(network),
        1 => network.nodes[other].address,
        _ => sender,
    };
    let source = bytes.first_chunk::<2>().copied().unwrap_or_default();
    let mark = MARK.to_be_bytes();
    match network.random(6) {
        // As it was.
        0 | 1 => {}
        // With a bit that is another.
        2 | 3 => {
            let bits = u32::try_from(bytes.len() * 8).unwrap_or(8);
            let bit = network.random(bits) as usize;
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        // Its call ends.
        4 => {
            if bytes.len() >= 12 && source[0] & 0x80 != 0 {
                bytes.truncate(12);
                let subclass = [5, 6, 10][network.random(3) as usize];
                bytes[10..].copy_from_slice(&[6, subclass]);
            }
        }
        // Other voice on its call.
        _ => bytes = [&[source[0] & 0x7F, source[1], 1, 0][..], &mark, &[0x7F; 156]].concat(),
    }
    if from != sender && needs_no_token(&bytes) {
        network.let_in.insert(from);
    }
    network.slip_in(receiver, from, bytes);
}

/// A NEW of one of the users of whom the rules of the story ask for no token: whoever repeats it, from
/// wherever, is let in.
fn needs_no_token(bytes: &[u8]) -> bool {
    let Ok(Datagram::Full(frame)) = Datagram::decode(bytes) else { return false };
    let Ok(Message::Iax { subclass: IaxSubclass::New, elements }) = frame.message() else {
        return false;
    };
    let trusted = [&b"trusted"[..], b"turning"];
    elements.iter().any(|element| match element {
        Element::Username(name) => trusted.contains(&name.as_bytes()),
        _ => false,
    })
}
