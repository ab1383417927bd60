//! Audio for telephony, on buffers that the caller owns: [G.711](g711), linear audio as IAX2 peers
//! send it ([`slin`]), one [`Codec`] over them, [WAV files](wav) at any rate, [tones](tone), the
//! [`Recorder`] that puts frames where their timestamps belong, the [`mixer`] of conferences, and the
//! [quality] users will hear.

mod codec;
pub mod g711;
pub mod half_band;
pub mod mixer;
pub mod quality;
mod recorder;
pub mod resample;
pub mod slin;
pub mod tone;
pub mod wav;

pub use codec::Codec;
pub use recorder::Recorder;
