//! Reads captures of IAX2.
//!
//! A capture is read packet by packet ([`read`], or [`live::listen`] at an interface), [`Datagrams`] finds the UDP
//! datagrams in them whatever lies below, and a [`Tracker`] follows the calls, registrations and polls that
//! they are of: to which one a frame belongs, voice in trunk frames included, how its voice fares, and what goes
//! wrong, as [`Fault`]s in words. Those that are over are told of by a [`Story`] and forgotten, so that memory does not grow
//! with the capture. [`Sounds`] makes WAV files of what they say.
//!
//! Input is hostile: nothing here panics, whatever the bytes.
//!
//! ```
//! use std::ops::ControlFlow;
//! use oneport_decode::{Datagrams, Tracker, read};
//!
//! # fn decode(file: &[u8]) -> Result<(), oneport_decode::CaptureError> {
//! let mut datagrams = Datagrams::new(vec![4569]);
//! let mut tracker = Tracker::default();
//! read(file, |packet| {
//!     datagrams.find(&packet, |datagram| {
//!         // One frame, as a rule.
//!         for frame in datagram.parts(tracker.stride(&datagram)) {
//!             if let Ok(frame) = tracker.see(&frame, &mut ()).frame {
//!                 println!("{} {frame}", datagram.number);
//!             }
//!         }
//!     });
//!     ControlFlow::Continue(())
//! })?;
//! for story in tracker.finish() {
//!     println!("{} to {:?}: {:?}", story.number, story.called, story.outcome);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Other examples call this loop `each_datagram`, and what it tells at its end `stories`. The capture is one of a
//! registration, a call, and a call that was refused.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::cast_possible_truncation))]

mod datagram;
mod exchange;
mod fault;
mod file;
#[cfg(target_os = "linux")]
pub mod live;
mod side;
mod sound;
mod story;
mod time;
mod tracker;

pub use datagram::{Datagrams, PacketCounts, UdpDatagram};
pub use fault::{Fault, FaultKind, FoldedFault, Weight};
pub use file::{CaptureError, End, Packet, read};
pub use sound::Sounds;
pub use story::{Kind, Outcome, RoundTrips, SideStory, Story};
pub use time::Time;
pub use tracker::{Hear, Part, Sealed, Seen, Tracker, TrackerConfig, Unread};
