//! What Oneport is tested with: a simulated network, real peers, and hostile frames.

pub mod audio;
pub mod fuzz;
pub mod nat;
pub mod peers;
pub mod sim;
pub mod torture;
