//! REGISTER requests of others.

use std::net::SocketAddr;

use rsipstack::sip::prelude::HeadersExt;
use rsipstack::transaction::transaction::Transaction;

use super::super::message::Party;
use super::super::settings::Transport;
use super::doorway::source_of;
use super::requests::{answer_with, values};

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
    pub(crate) fn answer(self, status: u16, headers: Vec<(&'static str, String)>) {
        answer_with(self.transaction, status, headers);
    }
}
