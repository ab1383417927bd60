//! Audio to test with: [`speech`] that needs no recording, and how much of it is left
//! ([`similarity`]) behind whatever it went through.

mod fourier;
pub mod similarity;
pub mod speech;
pub mod trace;
