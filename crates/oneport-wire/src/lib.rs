//! IAX2 on the wire (RFC 5456 §8): frames and information elements, from bytes to views and back.
//!
//! A decoded [`Datagram`] borrows from the datagram; nothing is copied or allocated. What is not
//! known is kept as it came, so that decoding and encoding again gives the same bytes.
//!
//! ```
//! use oneport_wire::{Datagram, Message};
//!
//! let bytes = [0x80, 2, 0, 3, 0, 0, 0, 20, 1, 1, 6, 4];
//! let Datagram::Full(frame) = Datagram::decode(&bytes)? else { panic!() };
//! assert_eq!(frame.to_string(), "2>3 20ms 1/1 IAX ACK");
//! # Ok::<(), oneport_wire::DecodeError>(())
//! ```
//!
//! This crate knows nothing of calls, order or time: that is `oneport-proto`. Start reading at
//! [`Datagram`], then [`Message`], then [`Element`].

#![no_std]
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::unwrap_used)
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod address;
mod auth_methods;
mod cause;
mod control;
mod date_time;
mod display;
mod element;
mod element_buffer;
mod error;
mod firmware;
mod format;
mod frame;
mod gist;
mod message;
mod number;
mod party;
mod preferences;
mod provisioning;
mod radio;
mod read;
mod sampling_rates;
mod subclass;
mod text;
mod trunk;

pub use auth_methods::{AuthMethods, EncryptionMethods};
pub use cause::CauseCode;
pub use control::Control;
pub use date_time::DateTime;
pub use element::{DialplanStatus, Element, ElementIter, Elements, MessageCount};
pub use element_buffer::ElementBuffer;
pub use error::DecodeError;
pub use firmware::FirmwareHeader;
pub use format::{Format, FormatSet, MediaKind};
pub use frame::{Datagram, FullFrame, FullHeader, MiniFrame, VideoMiniFrame};
pub use gist::Gist;
pub use message::Message;
pub use number::{CallNumber, MiniTimestamp, Seq, Timestamp, VideoTimestamp};
pub use party::{ConnectedLine, Redirecting};
pub use preferences::CodecPreferences;
pub use provisioning::{ProvisioningElement, provisioning_elements};
pub use radio::{LinkList, LinkMode, RadioText};
pub use sampling_rates::SamplingRates;
pub use subclass::{HtmlSubclass, IaxSubclass, MediaSubclass, frame_type};
pub use text::Str;
pub use trunk::{TrunkEntries, TrunkEntry, TrunkFrame, TrunkWriter};

/// The UDP port of IAX2 (RFC 5456 §1).
pub const DEFAULT_PORT: u16 = 4569;
