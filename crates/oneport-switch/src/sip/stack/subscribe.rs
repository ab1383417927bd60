//! SUBSCRIBE requests (RFC 6665), and what is told to whoever sends them. The library's own subscriptions say nothing
//! any more once they are renewed.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use rsipstack::sip::prelude::{HeadersExt, ToTypedHeader};
use rsipstack::sip::{From, Header, Method, Response, StatusCode, To, Uri, typed};
use rsipstack::transaction::make_tag;
use rsipstack::transaction::transaction::Transaction;
use uuid::Uuid;

use super::super::heritage::Subscription;
use super::super::message::Party;
use super::super::replaces::DialogKey;
use super::super::settings::Transport;
use super::Stack;
use super::doorway::source_of;
use super::requests::{answer, answer_with, values};

/// A request to be told of something. Dropping it answers nothing.
pub(crate) struct SubscribeRequest {
    pub(crate) transport: Transport,
    pub(crate) from: SocketAddr,
    /// Who sends it.
    pub(crate) sender: Party,
    /// The user part of its URI.
    pub(crate) user: String,
    /// Of what it wants to be told: its Event, without parameters.
    pub(crate) event: String,
    pub(crate) proofs: Vec<String>,
    /// For how many seconds.
    pub(crate) expires: Option<u32>,
    /// The subscription that it renews; `None`: it begins one.
    pub(crate) renews: Option<DialogKey>,
    transaction: Transaction,
}

impl SubscribeRequest {
    /// Reads one; `None`: nobody could be meant by it.
    pub(super) fn read(transaction: Transaction) -> Option<Self> {
        let request = &transaction.original;
        let (transport, from) = source_of(request)?;
        let their_tag = request.from_header().ok()?.tag().ok()??.value().to_string();
        let our_tag = request.to_header().ok()?.tag().ok()?;
        let call_id = request.call_id_header().ok()?.value().to_string();
        let event = request.header_value("Event").unwrap_or_default();
        Some(Self {
            transport,
            from,
            sender: request.header_value("From").and_then(|from| Party::read(&from))?,
            user: request.uri.user().unwrap_or_default().to_string(),
            event: event.split(';').next().unwrap_or_default().trim().to_ascii_lowercase(),
            proofs: values(request, "Authorization"),
            expires: request.header_value("Expires").and_then(|value| value.trim().parse().ok()),
            renews: our_tag.map(|tag| DialogKey {
                call_id,
                our_tag: tag.value().to_string(),
                their_tag,
            }),
            transaction,
        })
    }

    /// Answers it, and keeps nothing of it.
    pub(crate) fn answer(self, status: u16, headers: Vec<(&'static str, String)>) {
        answer_with(self.transaction, status, headers);
    }

    /// Takes it on for so many seconds; `None`: there is no way back to who has sent it.
    pub(crate) fn accept(mut self, stack: &Stack, seconds: u32) -> Option<Subscriber> {
        let request = &self.transaction.original;
        let ours = stack.contact(&self.user, self.from, self.transport)?;
        let tag = make_tag();
        let to = request.to_header().ok()?.typed().ok()?.with_tag(tag.clone());
        let from = request.from_header().ok()?.typed().ok()?;
        let call_id = request.call_id_header().ok()?.clone();
        let key = DialogKey {
            call_id: call_id.value().to_string(),
            our_tag: tag.value().to_string(),
            their_tag: from.tag()?.value().to_string(),
        };
        let target = request.contact_header().ok()?.typed().ok()?.uri;
        self.transaction.original.headers.unique_push(to.clone().into());
        let subscriber = Subscriber {
            stack: stack.clone(),
            key,
            call_id: call_id.value().to_string(),
            // What was said to us we say of ourselves.
            us: typed::From { display_name: to.display_name, uri: to.uri, params: to.params },
            them: typed::To { display_name: from.display_name, uri: from.uri, params: from.params },
            target,
            contact: ours.clone(),
            way: (self.transport, self.from),
            sequence: AtomicU32::new(0),
        };
        let contact = typed::Contact { display_name: None, uri: ours, params: Vec::new() };
        let headers = vec![
            Header::Contact(contact.into()),
            Header::Other("Expires".into(), seconds.to_string()),
        ];
        answer(self.transaction, StatusCode::OK, headers);
        Some(subscriber)
    }
}

/// Somebody who is told of something.
pub(crate) struct Subscriber {
    stack: Stack,
    key: DialogKey,
    call_id: String,
    us: typed::From,
    them: typed::To,
    /// Where it wants to be told.
    target: Uri,
    contact: Uri,
    /// Where its request came from: a NAT lets nothing else in.
    way: (Transport, SocketAddr),
    sequence: AtomicU32,
}

impl Subscriber {
    /// Somebody who is told without having asked: `name`, who wants to be reached at `contact`. `None`: there is no
    /// way to there.
    pub(crate) fn unasked(
        stack: &Stack,
        name: &str,
        contact: &str,
        way: (Transport, SocketAddr),
    ) -> Option<Self> {
        let (transport, to) = way;
        let target = Uri::try_from(contact).ok()?;
        let ours = stack.contact(name, to, transport)?;
        let own = Uri { params: Vec::new(), ..ours.clone() };
        let (call_id, our_tag) = (format!("{}@oneport", Uuid::new_v4().simple()), make_tag());
        let us = typed::From { display_name: None, uri: own, params: Vec::new() };
        Some(Self {
            stack: stack.clone(),
            key: DialogKey {
                call_id: call_id.clone(),
                our_tag: our_tag.value().to_string(),
                their_tag: String::new(),
            },
            call_id,
            us: us.with_tag(our_tag),
            them: typed::To { display_name: None, uri: target.clone(), params: Vec::new() },
            target,
            contact: ours,
            way,
            sequence: AtomicU32::new(0),
        })
    }

    /// It as another process can go on with it, for so many seconds.
    pub(crate) fn store(&self, name: &str, left: u32) -> Subscription {
        let DialogKey { call_id, our_tag, their_tag } = self.key.clone();
        Subscription {
            name: name.into(),
            call_id,
            our_tag,
            their_tag,
            us: self.us.to_string(),
            them: self.them.to_string(),
            target: self.target.to_string(),
            contact: self.contact.to_string(),
            transport: self.way.0.name().into(),
            address: self.way.1,
            sequence: self.sequence.load(Ordering::Relaxed),
            left,
        }
    }

    /// Goes on with one of another process; `None`: it cannot be read.
    pub(crate) fn restore(stack: &Stack, stored: &Subscription) -> Option<Self> {
        let Subscription { call_id, our_tag, their_tag, .. } = stored.clone();
        Some(Self {
            stack: stack.clone(),
            call_id: call_id.clone(),
            key: DialogKey { call_id, our_tag, their_tag },
            us: From::from(stored.us.clone()).typed().ok()?,
            them: To::from(stored.them.clone()).typed().ok()?,
            target: Uri::try_from(stored.target.as_str()).ok()?,
            contact: Uri::try_from(stored.contact.as_str()).ok()?,
            way: (Transport::named(&stored.transport)?, stored.address),
            sequence: AtomicU32::new(stored.sequence),
        })
    }

    /// What the subscription is known by.
    pub(crate) const fn key(&self) -> &DialogKey {
        &self.key
    }

    /// Tells it (NOTIFY): the event, how its subscription stands, and the news with their kind. Whether it wants to
    /// hear more.
    pub(crate) async fn tell(
        &self,
        event: &str,
        state: &str,
        (kind, body): (&str, String),
    ) -> bool {
        let (transport, to) = self.way;
        let Some(via) = self.stack.via(transport) else { return false };
        let mut request = self.stack.endpoint.make_request(
            Method::Notify,
            self.target.clone(),
            via,
            self.us.clone(),
            self.them.clone(),
            self.sequence.fetch_add(1, Ordering::Relaxed) + 1,
            Some(self.call_id.clone().into()),
        );
        let contact =
            typed::Contact { display_name: None, uri: self.contact.clone(), params: Vec::new() };
        request.headers.push(Header::Contact(contact.into()));
        request.headers.push(Header::Event(event.into()));
        request.headers.push(Header::SubscriptionState(state.into()));
        request.headers.push(Header::ContentType(kind.into()));
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        request.headers.push(Header::ContentLength(length.into()));
        request.body = body.into_bytes();
        let answer: Option<Response> = self.stack.transact(request, to, transport).await;
        answer.is_some_and(|answer| answer.status_code.code() < 300)
    }
}
