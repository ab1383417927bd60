//! What Oneport is tested with: a simulated network, and real peers.

pub mod nat;
pub mod peers;
pub mod sim;
