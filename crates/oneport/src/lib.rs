//! IAX2 (RFC 5456) for tokio: calls, registrations and polls over one UDP port.
//!
//! [`Phone`] places and takes calls; a [`Call`] has events and audio. Underneath, a [`Driver`] runs
//! the engine of [`oneport_proto`] on a thread of its own, with batched datagrams; a switch or a
//! gateway uses it directly by being its [`Application`]. [`probe`] measures a link.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use oneport::{NewCall, Phone, PhoneConfig, Target};
//!
//! let phone = Phone::bind(PhoneConfig::default())?;
//! let target: Target = "iax:pbx.example.org/600".parse()?;
//! let mut call = phone.call(target.resolve().await?, NewCall::to("600")).await?;
//! let format = call.answered().await?;
//! println!("answered in {format}");
//! # Ok(())
//! # }
//! ```

mod audio;
mod bad_link;
mod call;
mod diagnosis;
mod driver;
mod loss_bursts;
mod names;
mod phone;
mod playout;
pub mod probe;
mod registration;
mod score;
mod socket;
mod succession;
mod target;
mod video;
mod waker;
mod wall_clock;
mod workload;

pub use audio::{AudioFrame, AudioReader, AudioWriter, Heard};
pub use bad_link::BadNetwork;
pub use call::{Call, CallError, CallEvent, IncomingCall, Keypad};
pub use diagnosis::{
    Cause, Diagnosis, LoadEffect, LoadMeter, Shape, Surroundings, Transcoding, Way,
};
pub use driver::{Application, Driver, DriverConfig, Host, Sees, StartError, Stopped, WeakDriver};
pub use loss_bursts::LossBursts;
pub use names::{Found, Names, Server};
pub use phone::{FirmwareFetchError, Phone, PhoneConfig, PingError, ProvisionOffer};
pub use playout::Playout;
pub use registration::{Registration, RegistrationEvent};
pub use score::Score;
pub use succession::{
    Inheritance, MOST_OLDER, Step, SuccessionError, To, connection as succession_connection,
};
pub use target::{ResolveError, Target, TargetError};
pub use video::{VideoFrame, VideoReader, VideoWriter};
pub use wall_clock::date_time;
pub use workload::{QuotaUse, Workload};

pub use oneport_impairment::{Impairment, Stall};
pub use oneport_media as media;
pub use oneport_proto::{
    Agreement, CallEnd, CallId, CallStats, Challenge, CodecPriority, CommandError, Counters,
    DelayVariation, Device, DropNotice, DropReason, DtmfPhase, EncryptionPolicy, EndReason,
    EndpointConfig, FirmwareError, FirmwareFailure, FirmwareImage, Generation, KEY_BITS, KeyError,
    LagStats, Lateness, LossPattern, NewCall, Offer, Place, PrivateKey, Progress, PublicKey,
    RegistrationConfig, RegistrationFailure, Secret, Settings, Stalls, TrunkUse, VoiceStats,
    negotiate,
};
pub use oneport_wire::{
    CauseCode, Control, DEFAULT_PORT, Format, MessageCount, ProvisioningElement, Timestamp,
};
