//! REGISTER requests of others.

use std::net::SocketAddr;

use rsipstack::sip::prelude::HeadersExt;
use rsipstack::sip::{Header, Request};
use rsipstack::transaction::transaction::Transaction;

use super::super::message::Party;
use super::super::settings::Transport;
use super::source_of;

/// A request to register, and its answer. Dropping it answers nothing.
pub(crate) struct RegisterRequest {
    pub(crate) transport: Transport,
    pub(crate) from: SocketAddr,
    /// Who registers.
    pub(crate) to: Party,
    /// The user part of its URI, which usually has none.
    pub(crate) user: String,
    /// Its Contact, Authorization and Expires headers.
    pub(crate) contacts: Vec<String>,
    pub(crate) proofs: Vec<String>,
    pub(crate) expires: Option<String>,
    transaction: Transaction,
}

impl RegisterRequest {
    /// Reads one; `None`: nobody could be meant by it.
    pub(super) fn read(transaction: Transaction) -> Option<Self> {
        let request = &transaction.original;
        let (transport, from) = source_of(request)?;
        Some(Self {
            transport,
            from,
            to: request.header_value("To").and_then(|to| Party::read(&to))?,
            user: request.uri.user().unwrap_or_default().to_string(),
            contacts: values(request, "Contact"),
            proofs: values(request, "Authorization"),
            expires: request.header_value("Expires"),
            transaction,
        })
    }

    /// Answers it.
    pub(crate) fn answer(mut self, status: u16, headers: Vec<(&'static str, String)>) {
        let header = |(name, value): (&str, String)| Header::Other(name.into(), value);
        let headers = headers.into_iter().map(header).collect();
        tokio::spawn(async move {
            let _ = self.transaction.reply_with(status.into(), headers, None).await;
            while self.transaction.receive().await.is_some() {}
        });
    }
}

/// All values of a header.
pub(super) fn values(request: &Request, name: &str) -> Vec<String> {
    let mut values = Vec::new();
    for header in request.headers.iter().filter(|header| header.name().eq_ignore_ascii_case(name)) {
        values.push(header.value().trim().to_string());
    }
    values
}
