//! What is left of an ended exchange until its call number may be used again.

use oneport_wire::{ElementBuffer, FullHeader, IaxSubclass, Message};

use crate::clock::Instant;
use crate::context::Context;
use crate::exchange::Exchange;
use crate::reliable::Order;

/// An exchange that is over: its last frame is repeated until acknowledged, and so are repeated
/// frames of the peer. Once both know of the end, whatever is new is answered by INVAL (RFC 5456
/// §6.2.5); until then it has crossed the end on its way, and is acknowledged.
#[derive(Debug)]
pub(crate) struct Resting {
    pub(crate) exchange: Exchange,
    until: Instant,
    /// A HANGUP for a peer whose call number is not known yet: it leaves if one is learned.
    farewell: Option<ElementBuffer>,
}

impl Resting {
    pub(crate) fn new(
        mut exchange: Exchange,
        until: Instant,
        farewell: Option<ElementBuffer>,
    ) -> Self {
        exchange.shrink();
        Self { exchange, until, farewell }
    }

    /// Takes a frame that came too late. `Order` is what the exchange made of it.
    pub(crate) fn receive(
        &mut self,
        cx: &mut Context,
        now: Instant,
        header: &FullHeader,
        message: &Message<'_>,
        order: Order,
    ) {
        let subclass = match message {
            Message::Iax { subclass, .. } => Some(*subclass),
            _ => None,
        };
        if subclass == Some(IaxSubclass::Inval) {
            self.exchange.full.reliable.clear();
            return;
        }
        let is_last_word = subclass.is_some_and(is_last_word);
        if is_last_word {
            // The peer is through with it too, and asks for no more than to be heard.
            self.farewell = None;
        }
        if let Some(elements) = self.farewell.take() {
            self.exchange.send_iax(cx, now, IaxSubclass::Hangup, &elements);
        }
        if !message.takes_sequence_number() {
            return;
        }
        let known = self.exchange.full.reliable.is_settled();
        if known && !is_last_word && order != Order::Duplicate {
            self.exchange.invalidate(cx);
        } else if order != Order::Gap {
            self.exchange.acknowledge(cx, header.timestamp);
        }
    }

    /// Whether the peer knows of the end, or is not told any more.
    pub(crate) fn is_settled(&self) -> bool {
        self.farewell.is_none() && self.exchange.is_settled()
    }

    /// Does what is due; `true` when the number is free again.
    pub(crate) fn handle_timeout(&mut self, cx: &mut Context, now: Instant) -> bool {
        if self.exchange.handle_timeout(cx, now).is_err() {
            self.exchange.full.reliable.clear();
        }
        self.until <= now
    }

    pub(crate) fn deadline(&self, cx: &Context) -> Instant {
        self.exchange.deadline(cx).map_or(self.until, |deadline| deadline.min(self.until))
    }
}

/// Whether a frame says that its sender is through with the exchange.
fn is_last_word(subclass: IaxSubclass) -> bool {
    use IaxSubclass as Iax;
    matches!(subclass, Iax::Hangup | Iax::Reject | Iax::RegAck | Iax::RegRej | Iax::TxRel)
}
