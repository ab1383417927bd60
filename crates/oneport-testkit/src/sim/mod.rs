//! The simulated network, peers by hand, and random stories on it.

mod adversary;
mod many;
mod network;
mod scene;
mod story;
mod stranger;

pub use many::tell_many;
pub use network::{HeardVoice, Network, Node, SeenVideo, Taken, Traffic, Weather};
pub use story::{Failure, Told, tell};
pub use stranger::{Heard, Stranger};
