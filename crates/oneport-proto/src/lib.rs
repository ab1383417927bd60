//! Parts of a deterministic, sans-IO IAX2 engine (RFC 5456).
//!
//! Time and random bytes are handed in; there is no clock, socket or thread in here, and `no_std`
//! lets the compiler see to it. What stands so far is what every exchange with a peer needs:
//! reliable delivery (`reliable`, `exchange`), the way from a datagram to its call (`index`), call
//! tokens ([`CallTokenPolicy`], `token`), proofs of identity ([`Challenge`], `auth`), the choice of
//! a codec ([`negotiate()`]), timers, counters and queues. The endpoint that joins them is not
//! written yet.

#![no_std]
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::unwrap_used)
)]
#![expect(dead_code, reason = "the endpoint that uses these comes next")]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod auth;
mod clock;
mod config;
mod context;
mod drop_reason;
mod error;
mod event;
mod exchange;
mod id;
mod index;
mod media;
mod negotiate;
mod offer;
mod path;
mod reliable;
mod request;
mod secret;
mod stats;
mod timer;
mod token;
mod transmit;

pub use auth::Challenge;
pub use clock::Instant;
pub use config::{EndpointConfig, RetransmissionConfig};
pub use drop_reason::{Counters, DropReason};
pub use error::CommandError;
pub use event::{
    CallEnd, DtmfPhase, EndReason, Event, Progress, RegistrationFailure, RequestOutcome,
};
pub use id::{CallId, PokeId, RegistrationId, RequestId};
pub use media::{Media, MediaSink};
pub use negotiate::{CodecPriority, negotiate};
pub use offer::{NewCall, Offer};
pub use path::Path;
pub use request::{Grant, Register};
pub use secret::Secret;
pub use stats::{CallStats, RemoteReport, VoiceStats};
pub use token::{CallTokenPolicy, Network, TokenRule};
pub use transmit::{Transmit, TransmitBuffer};
