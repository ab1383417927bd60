//! What Oneport is tested with: a simulated network, bad links, real peers, and hostile frames.

pub mod audio;
pub mod fuzz;
pub use oneport_impairment as impairment;
pub mod name_server;
pub mod nat;
pub mod peers;
pub mod relay;
pub mod sim;
pub mod torture;
