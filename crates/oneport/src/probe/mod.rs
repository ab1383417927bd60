//! Measures a link before calls are trusted to it: voice that says when it left, what the other end saw of
//! it, and arithmetic over what came back. Nothing here has a clock or a socket; `oneport probe` brings those.
//!
//! A frame carries a [`Mark`]. An echo brings it back as it was, which shows both ways together. Where the
//! other end is a [`Reflector`] (`builtin:probe` of the switch), it says when the frame was there and how
//! many had come before, and [`Ways`] tells the two ways apart.

mod bundle;
mod clock;
mod fit;
mod mark;
mod mtu;
mod wake;
mod ways;

pub use bundle::Bundle;
pub use clock::ClockOffset;
pub use fit::Load;
pub use mark::{Arrival, Heard, MARK_LENGTH, Mark, Reading, Reflector, SEEN_LENGTH, Seen};
pub use mtu::{MtuSearch, PathMtu};
pub use wake::Wake;
pub use ways::{Above, Baseline, OneWay, Returned, Ways, percentile};
