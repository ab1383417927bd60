//! What a peer that registers here asks for, and what it is granted (RFC 5456 §6.1).

use alloc::string::String;
use core::time::Duration;

use oneport_wire::{DateTime, MessageCount};

use crate::path::Path;

/// A REGREQ or REGREL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Register {
    /// Where it came from: the address to be registered.
    pub path: Path,
    /// The name to register.
    pub username: String,
    /// For how long, if it said so.
    pub refresh: Option<Duration>,
    /// Whether it ends its registration (REGREL) instead.
    pub release: bool,
    /// Whether the peer proved, by a call token, that it receives at that address.
    pub address_validated: bool,
}

/// What REGACK says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// For how long the registration holds, whole seconds up to 65,535.
    pub refresh: Duration,
    /// Messages that wait in the mailbox.
    pub messages: Option<MessageCount>,
    /// The number under which the peer is called.
    pub calling_number: Option<String>,
    /// The name that goes with it.
    pub calling_name: Option<String>,
    /// The time here, as a hint for displays.
    pub date_time: Option<DateTime>,
}
