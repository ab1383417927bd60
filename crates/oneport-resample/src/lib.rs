//! Audio from one sample rate to another: [whole sounds](resample), and [streams](rates) in real time.
//!
//! `oneport-media` has both under the same names. They have a crate of their own because the transform that
//! they stand on is generic: the crate that names its numbers compiles all of it, for a minute, and this one
//! seldom changes.

pub mod rates;
pub mod resample;
