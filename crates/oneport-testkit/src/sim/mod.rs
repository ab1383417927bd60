//! The simulated network, peers by hand, and random stories on it.

mod adversary;
mod network;
mod story;
mod stranger;

pub use network::{HeardVoice, Network, Node, SeenVideo, Traffic, Weather};
pub use story::{Failure, tell, tell_many};
pub use stranger::{Heard, Stranger};
