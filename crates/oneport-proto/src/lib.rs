//! A deterministic, sans-IO IAX2 engine (RFC 5456).
//!
//! An [`Endpoint`] is one IAX2 port: calls, registrations in both roles and polls. Time and random
//! bytes are handed in; there is no clock, socket or thread in here, and `no_std` lets the compiler
//! see to it. The same inputs give the same outputs, so any fault found in the field or in the
//! simulation can be replayed as a test.
//!
//! Where things are: `endpoint` leads datagrams and time to what they concern, `opening` decides
//! what strangers may begin, `commands` is what the application asks for. `call`, `registration`
//! and `request` hold the meaning of messages; `exchange` and `reliable` below them number,
//! acknowledge and repeat.

#![no_std]
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::unwrap_used)
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod agreement;
mod auth;
mod call;
mod clock;
mod commands;
mod config;
mod context;
mod crypt;
mod delay_variation;
mod drop_reason;
mod early;
mod elsewhere;
mod endpoint;
mod error;
mod event;
mod exchange;
mod firmware;
mod frame_length;
mod html;
mod id;
mod index;
mod inspect;
mod keys;
mod lag;
mod lateness;
mod loss_pattern;
mod media;
mod media_frames;
mod moved;
mod negotiate;
mod numbers;
mod offer;
mod opening;
mod path;
mod poke;
mod prefetch;
mod provision;
mod registrars;
mod registration;
mod relay_clock;
mod reliable;
mod request;
mod resting;
mod rotation;
mod secret;
mod sentence;
mod slots;
mod stalls;
mod stats;
mod timer;
mod token;
mod transfer;
mod translate;
mod transmit;
mod trunk;
mod video;
mod voice;
mod voice_meter;

pub use agreement::{Agreement, Nonsense};
pub use auth::Challenge;
pub use clock::Instant;
pub use config::{EndpointConfig, RetransmissionConfig};
pub use crypt::{EncryptionPolicy, Overhearer};
pub use delay_variation::DelayVariation;
pub use drop_reason::{Counters, DropNotice, DropReason, Limit};
pub use elsewhere::{Generation, Held, HeldChange, Whose};
pub use endpoint::{Endpoint, Handled};
pub use error::CommandError;
pub use event::{
    CallEnd, DtmfPhase, EndReason, Event, Progress, RegistrationFailure, RequestOutcome,
    TransferFailure,
};
pub use firmware::{FirmwareError, FirmwareFailure, FirmwareImage};
pub use id::{CallId, FirmwareId, PokeId, ProvisionId, RegistrationId, RequestId};
pub use keys::{KEY_BITS, KeyError, PrivateKey, PublicKey};
pub use lag::LagStats;
pub use lateness::Lateness;
pub use loss_pattern::LossPattern;
pub use media::{Media, MediaSink, Video};
pub use negotiate::{CodecPriority, negotiate};
pub use offer::{NewCall, Offer};
pub use path::Path;
pub use provision::{Device, ProvisionOutcome, Settings};
pub use registrars::Place;
pub use registration::RegistrationConfig;
pub use request::{Grant, Register};
pub use secret::Secret;
pub use stalls::Stalls;
pub use stats::{CallStats, RemoteReport, Said, Signalling, VoiceStats};
pub use token::{CallTokenKeys, CallTokenPolicy, Network, TokenRule};
pub use transfer::TransferKind;
pub use translate::Speech;
pub use transmit::{Transmit, TransmitBuffer};
pub use trunk::{TrunkConfig, TrunkUse};
pub use voice_meter::VoiceMeter;
