//! A peer whose frames a test writes by hand.

use std::net::SocketAddr;
use std::time::Duration;

use oneport_wire::{
    CallNumber, Datagram, Element, ElementBuffer, Elements, FullHeader, IaxSubclass, Message, Seq,
    Timestamp,
};

use super::network::Network;

/// A peer with one call that says what it is told, numbered as the protocol wants it, and
/// acknowledges nothing by itself.
pub struct Stranger {
    /// Where it is: nobody else of the network is there.
    pub address: SocketAddr,
    /// Its number of the call.
    pub number: CallNumber,
    /// The other side's, once it has heard one.
    pub theirs: CallNumber,
    /// The timestamp of its next frame.
    pub clock: u32,
    /// OSeqno of its next frame.
    pub oseq: Seq,
    /// What it expects next.
    pub iseq: Seq,
}

/// A full frame that reached a stranger.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Its header.
    pub header: FullHeader,
    bytes: Vec<u8>,
}

impl Heard {
    /// What it says.
    #[must_use]
    pub fn message(&self) -> Message<'_> {
        let Ok(Datagram::Full(frame)) = Datagram::decode(&self.bytes) else { unreachable!() };
        frame.message().expect("an endpoint sends what decodes")
    }

    /// Which IAX frame it is, if it is one.
    #[must_use]
    pub fn iax(&self) -> Option<IaxSubclass> {
        match self.message() {
            Message::Iax { subclass, .. } => Some(subclass),
            _ => None,
        }
    }

    /// Its information elements.
    #[must_use]
    pub fn elements(&self) -> Vec<Element<'_>> {
        match self.message() {
            Message::Iax { elements, .. } => elements.iter().collect(),
            _ => Vec::new(),
        }
    }
}

impl Stranger {
    /// One at `address` that has said nothing yet.
    #[must_use]
    pub fn new(address: &str) -> Self {
        Self {
            address: address.parse().expect("an address"),
            number: CallNumber::from_bits(77),
            theirs: CallNumber::NONE,
            clock: 20,
            oseq: Seq::ZERO,
            iseq: Seq::ZERO,
        }
    }

    /// Sends a message to `node`, and returns the full frames that come back at once.
    pub fn say(&mut self, network: &mut Network, node: usize, message: &Message<'_>) -> Vec<Heard> {
        let header = FullHeader {
            source: self.number,
            destination: self.theirs,
            retransmission: false,
            timestamp: Timestamp(self.clock),
            oseq: self.oseq,
            iseq: self.iseq,
        };
        self.clock += 20;
        if message.takes_sequence_number() {
            self.oseq = self.oseq.next();
        }
        let mut bytes = Vec::new();
        message.encode(&header, &mut bytes);
        let answers = network.inject(node, self.address, &bytes);
        answers.into_iter().filter_map(|bytes| self.hear(bytes)).collect()
    }

    /// Sends an IAX frame with these elements.
    pub fn say_iax(
        &mut self,
        network: &mut Network,
        node: usize,
        subclass: IaxSubclass,
        elements: &[Element<'_>],
    ) -> Vec<Heard> {
        let mut buffer = ElementBuffer::new();
        elements.iter().for_each(|element| buffer.push(element));
        self.say(network, node, &Message::iax(subclass, buffer.as_elements()))
    }

    /// Sends an IAX frame as who keeps nothing of a call: under no number of its own, and counting
    /// nothing.
    pub fn say_stateless(
        &mut self,
        network: &mut Network,
        node: usize,
        subclass: IaxSubclass,
        elements: &[Element<'_>],
    ) -> Vec<Heard> {
        let (number, oseq) = (self.number, self.oseq);
        (self.number, self.oseq) = (CallNumber::STATELESS, Seq::ZERO);
        let heard = self.say_iax(network, node, subclass, elements);
        (self.number, self.oseq) = (number, oseq);
        heard
    }

    /// Acknowledges all that it has heard, naming the timestamp of `heard`.
    pub fn acknowledge(&mut self, network: &mut Network, node: usize, heard: &Heard) -> Vec<Heard> {
        let clock = std::mem::replace(&mut self.clock, heard.header.timestamp.0);
        let answers = self.say(network, node, &Message::iax(IaxSubclass::Ack, Elements::EMPTY));
        self.clock = clock;
        answers
    }

    /// Lets time pass, and returns the full frames that came meanwhile.
    pub fn wait(&mut self, network: &mut Network, duration: Duration) -> Vec<Heard> {
        network.run(duration);
        let (ours, others) = std::mem::take(&mut network.strays)
            .into_iter()
            .partition::<Vec<_>, _>(|(to, _)| *to == self.address);
        network.strays = others;
        ours.into_iter().filter_map(|(_, bytes)| self.hear(bytes)).collect()
    }

    /// Takes a full frame as a peer does: counts it and learns the sender's number.
    fn hear(&mut self, bytes: Vec<u8>) -> Option<Heard> {
        let Ok(Datagram::Full(frame)) = Datagram::decode(&bytes) else { return None };
        let header = frame.header;
        if header.source != CallNumber::STATELESS {
            self.theirs = header.source;
            let numbered = frame.message().is_ok_and(|message| message.takes_sequence_number());
            if numbered && header.oseq == self.iseq {
                self.iseq = self.iseq.next();
            }
        }
        Some(Heard { header, bytes })
    }
}
