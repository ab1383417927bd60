//! The simulated network.

mod network;

pub use network::{HeardVoice, Network, Node, Weather};
