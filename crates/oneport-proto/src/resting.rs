//! What is left of an ended exchange until its call number may be used again.

use oneport_wire::{ElementBuffer, FullHeader, IaxSubclass, Message};

use crate::clock::Instant;
use crate::context::Context;
use crate::exchange::Exchange;
use crate::reliable::Order;

/// An exchange that is over: its last frame is repeated until acknowledged, repeated frames of the
/// peer are acknowledged, and nothing else happens.
#[derive(Debug)]
pub(crate) struct Resting {
    pub(crate) exchange: Exchange,
    until: Instant,
    /// A HANGUP for a peer whose call number is not known yet: it leaves if one is learned.
    farewell: Option<ElementBuffer>,
}

impl Resting {
    pub(crate) fn new(exchange: Exchange, until: Instant, farewell: Option<ElementBuffer>) -> Self {
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
        let Message::Iax { subclass, .. } = message else {
            self.exchange.acknowledge(cx, header.timestamp);
            return;
        };
        if *subclass == IaxSubclass::Inval {
            self.exchange.reliable.clear();
            return;
        }
        if matches!(subclass, IaxSubclass::Hangup | IaxSubclass::Reject) {
            // The peer is through with it too, and asks for no more than to be heard.
            self.farewell = None;
        }
        if let Some(elements) = self.farewell.take() {
            self.exchange.send_iax(cx, now, IaxSubclass::Hangup, &elements);
        }
        if message.takes_sequence_number() && order != Order::Gap {
            self.exchange.acknowledge(cx, header.timestamp);
        }
    }

    /// Does what is due; `true` when the number is free again.
    pub(crate) fn handle_timeout(&mut self, cx: &mut Context, now: Instant) -> bool {
        if self.exchange.handle_timeout(cx, now).is_err() {
            self.exchange.reliable.clear();
        }
        self.until <= now
    }

    pub(crate) fn deadline(&self, cx: &Context) -> Instant {
        self.exchange.deadline(cx).map_or(self.until, |deadline| deadline.min(self.until))
    }
}
