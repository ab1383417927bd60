//! The simulated network, and random stories on it.

mod network;
mod story;

pub use network::{HeardVoice, Network, Node, Weather};
pub use story::{Failure, tell, tell_many};
