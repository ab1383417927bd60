//! The far end of the cases: an IAX2 peer that says only what it is told to, but counts, and answers
//! what keeps an exchange alive.

use std::cell::Cell;

use aes::Aes128;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, InnerIvInit, KeyInit};
use md5::{Digest, Md5};
use oneport_wire::{Datagram, Element, FullFrame, IaxSubclass, Message, frame_type};

use super::template::{Values, hex};

/// The secret of the user `torture`.
pub(super) const SECRET: &str = "torture";

const BLOCK: usize = 16;

/// One exchange, seen from outside the system.
pub(super) struct Peer {
    /// Our call number.
    number: u16,
    /// The system's, once it has said it.
    pub(super) system: Option<u16>,
    pub(super) oseq: u8,
    pub(super) iseq: u8,
    /// The moment and the last timestamp of our clock, in ms.
    pub(super) now: u64,
    stamp: Cell<u64>,
    token: Vec<u8>,
    challenge: Vec<u8>,
    key: Option<Aes128>,
    /// Times of the polls answered: the acknowledgements of those answers are nobody's answer.
    polled: Vec<u32>,
    /// Whether frames of the system are acknowledged.
    pub(super) acknowledges: bool,
}

/// What a frame of the system calls for.
pub(super) struct Received {
    /// The frame in the clear.
    pub(super) plain: Vec<u8>,
    /// What keeps the exchange alive.
    pub(super) reply: Option<Vec<u8>>,
    /// The system sent it by itself: a repetition, a poll, a new key.
    pub(super) unasked: bool,
}

impl Peer {
    pub(super) fn new(number: u16) -> Self {
        Self {
            number,
            system: None,
            oseq: 0,
            iseq: 0,
            now: 0,
            stamp: Cell::new(0),
            token: Vec::new(),
            challenge: Vec::new(),
            key: None,
            polled: Vec::new(),
            acknowledges: false,
        }
    }

    /// MD5(challenge ‖ secret).
    fn digest(&self) -> [u8; 16] {
        Md5::new().chain_update(&self.challenge).chain_update(SECRET).finalize().into()
    }

    /// From now on frames of the exchange are encrypted.
    pub(super) fn begin_encryption(&mut self) {
        self.key = Some(Aes128::new(&self.digest().into()));
    }

    /// Counts a frame that we have sent.
    pub(super) fn count(&mut self, datagram: &[u8]) {
        let counted = match Datagram::decode(datagram) {
            Ok(Datagram::Full(frame)) => {
                frame.message().map_or(true, |message| message.takes_sequence_number())
            }
            _ => false,
        };
        self.oseq = self.oseq.wrapping_add(u8::from(counted));
    }

    /// `datagram` with all behind its call numbers encrypted, behind `padding` or the right one.
    pub(super) fn seal(&self, datagram: &[u8], padding: Option<Vec<u8>>) -> Vec<u8> {
        let clear = if datagram[0] & 0x80 == 0 { 2 } else { 4 }.min(datagram.len());
        let Some(key) = &self.key else { return datagram.to_vec() };
        let (head, rest) = datagram.split_at(clear);
        let right = || {
            let len = BLOCK + (BLOCK - rest.len() % BLOCK) % BLOCK;
            let mut padding = vec![0x50; len];
            padding[BLOCK - 1] = 0x50 | u8::try_from(len % BLOCK).expect("below 16");
            padding
        };
        let mut sealed = padding.unwrap_or_else(right);
        sealed.extend_from_slice(rest);
        let mut mode = cbc::Encryptor::<&Aes128>::inner_iv_init(key, &[0; BLOCK].into());
        let (blocks, rest) = sealed.as_chunks_mut::<BLOCK>();
        assert!(rest.is_empty(), "padding of the case must fill the blocks");
        for block in blocks {
            mode.encrypt_block(block.into());
        }
        [head, &sealed].concat()
    }

    fn open(&self, datagram: &[u8]) -> Option<Vec<u8>> {
        let key = self.key.as_ref()?;
        let clear = if datagram[0] & 0x80 == 0 { 2 } else { 4 };
        let (head, sealed) = datagram.split_at_checked(clear)?;
        let mut plain = sealed.to_vec();
        let mut mode = cbc::Decryptor::<&Aes128>::inner_iv_init(key, &[0; BLOCK].into());
        let (blocks, []) = plain.as_chunks_mut::<BLOCK>() else { return None };
        for block in blocks {
            mode.decrypt_block(block.into());
        }
        let padding = BLOCK + usize::from(plain.get(BLOCK - 1)? & 15);
        Some([head, plain.get(padding..)?].concat())
    }

    /// Takes a datagram of the system.
    pub(super) fn receive(&mut self, datagram: &[u8]) -> Received {
        let plain = self.open(datagram).unwrap_or_else(|| datagram.to_vec());
        let Ok(Datagram::Full(frame)) = Datagram::decode(&plain) else {
            return Received { plain, reply: None, unasked: false };
        };
        let (unasked, reply) = self.receive_full(&frame);
        Received { reply, unasked, plain }
    }

    fn receive_full(&mut self, frame: &FullFrame<'_>) -> (bool, Option<Vec<u8>>) {
        let header = frame.header;
        let message = frame.message().expect("the system sends what decodes");
        let subclass = match message {
            Message::Iax { subclass, elements } => {
                self.note(elements.iter());
                Some(subclass)
            }
            _ => None,
        };
        let stamp = header.timestamp.0;
        let of_poll = subclass == Some(IaxSubclass::Ack) && self.polled.contains(&stamp);
        let polls = matches!(subclass, Some(IaxSubclass::Ping | IaxSubclass::LagRq));
        let new_key = subclass == Some(IaxSubclass::RtKey);
        let unasked = header.retransmission || polls || of_poll || new_key;
        let number = header.source.get();
        if number > 1 && subclass != Some(IaxSubclass::Inval) && self.system.is_none() {
            self.system = Some(number);
        }
        // The numbers of a stateless answer are of no exchange.
        let counts = message.takes_sequence_number() && self.system == Some(header.source.get());
        if counts && header.oseq.0 == self.iseq {
            self.iseq = self.iseq.wrapping_add(1);
        }
        let answer = match subclass {
            _ if !counts || !self.acknowledges => return (unasked, None),
            Some(IaxSubclass::Ping) => 3,
            Some(IaxSubclass::LagRq) => 12,
            _ => 4,
        };
        let mut reply = self.full(stamp, frame_type::IAX, answer);
        if answer != 4 {
            self.count(&reply);
            self.polled.push(stamp);
        }
        if self.key.is_some() {
            reply = self.seal(&reply, None);
        }
        (unasked, Some(reply))
    }

    /// Notes what later datagrams need.
    fn note<'a>(&mut self, elements: impl Iterator<Item = Element<'a>>) {
        for element in elements {
            match element {
                Element::CallToken(token) if !token.is_empty() => self.token = token.to_vec(),
                Element::Challenge(challenge) => self.challenge = challenge.to_vec(),
                _ => {}
            }
        }
    }

    /// A full frame of ours, with the next number and no payload.
    pub(super) fn full(&self, stamp: u32, kind: u8, subclass: u8) -> Vec<u8> {
        let mut bytes = (0x8000 | self.number).to_be_bytes().to_vec();
        bytes.extend(self.system.unwrap_or(0).to_be_bytes());
        bytes.extend(stamp.to_be_bytes());
        bytes.extend([self.oseq, self.iseq, kind, subclass]);
        bytes
    }

    /// A mini frame of ours.
    pub(super) fn mini(&self, payload: &[u8]) -> Vec<u8> {
        let mut bytes = self.number.to_be_bytes().to_vec();
        bytes.extend(self.clock().to_be_bytes()[6..].iter());
        bytes.extend(payload);
        bytes
    }

    /// Our clock in ms; it never shows the same twice.
    pub(super) fn clock(&self) -> u64 {
        let stamp = self.now.max(self.stamp.get() + 1);
        self.stamp.set(stamp);
        stamp
    }
}

impl Values for Peer {
    fn value(&self, name: &str) -> Option<Vec<u8>> {
        let counted = |text: &str| match text.split_at_checked(1) {
            None => Some(0),
            Some(("+", steps)) => steps.parse().ok(),
            Some(("-", steps)) => steps.parse().ok().map(u8::wrapping_neg),
            Some(_) => None,
        };
        let element = |id: u8, data: &[u8]| {
            let mut bytes = vec![id, u8::try_from(data.len()).expect("an element's length")];
            bytes.extend(data);
            bytes
        };
        let clock = || self.clock().to_be_bytes();
        Some(match name {
            "S" => (0x8000 | self.number).to_be_bytes().to_vec(),
            "s" => self.number.to_be_bytes().to_vec(),
            "D" => self.system?.to_be_bytes().to_vec(),
            "R" => (0x8000 | self.system?).to_be_bytes().to_vec(),
            "t" => clock()[4..].to_vec(),
            "u" => clock()[6..].to_vec(),
            "token" if !self.token.is_empty() => element(54, &self.token),
            "forged" if !self.token.is_empty() => {
                let mut forged = element(54, &self.token);
                *forged.last_mut()? ^= 1;
                forged
            }
            "md5" if !self.challenge.is_empty() => element(16, hex(&self.digest()).as_bytes()),
            _ if name.starts_with('o') => vec![self.oseq.wrapping_add(counted(&name[1..])?)],
            _ if name.starts_with('i') => vec![self.iseq.wrapping_add(counted(&name[1..])?)],
            _ => return None,
        })
    }
}
