//! Audio to test with: [`speech`] that needs no recording, and how much of it is left
//! ([`similarity`]) behind whatever it went through; and plain [`tone`]s.

mod fourier;
pub mod similarity;
pub mod speech;
pub mod tone;
pub mod trace;
