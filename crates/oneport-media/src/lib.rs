//! Audio for telephony, on buffers that the caller owns: each [`Codec`] that is spoken here, with its
//! [`Encoder`] and [`Decoder`] ([G.711](g711), linear audio as IAX2 peers send it ([`slin`]), [`g722`],
//! [`g726`], [`adpcm`], [`gsm`], [`ilbc`]), [WAV files](wav) at any rate, [tones](tone), the
//! [jitter buffer](jitter_buffer), the [`Recorder`] that puts frames where their timestamps belong, the [`mixer`] of conferences, and the
//! [quality] users will hear.

pub mod adpcm;
mod codec;
#[cfg(feature = "codec2")]
pub mod codec2;
pub mod comfort_noise;
mod conceal;
pub mod cost;
pub mod dtmf;
mod fixed;
pub mod g711;
pub mod g722;
pub mod g726;
pub mod gsm;
pub mod ilbc;
pub mod jitter_buffer;
mod listener;
#[cfg(feature = "lpc10")]
pub mod lpc10;
pub mod mixer;
#[cfg(feature = "opus")]
pub mod opus;
pub mod progress;
pub mod quality;
mod rate;
mod recorder;
pub mod slin;
#[cfg(feature = "speex")]
pub mod speex;
pub mod telephone_event;
mod time_scale;
pub mod tone;
pub mod transcode;
pub mod wav;

pub use codec::{Codec, Decoder, Encoder};
pub use listener::Listener;
pub use oneport_resample::{rates, resample};
pub use rate::Rate;
pub use recorder::Recorder;
pub use transcode::Transcoder;
