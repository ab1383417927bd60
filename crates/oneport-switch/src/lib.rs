//! An IAX2 switch: who may call ([`Config`], registrar), where a call goes (routes, built-in
//! destinations), and the bridge between two legs.
//!
//! [`Switch`] is an [`oneport::Application`]: it decides on the driver's thread, with the time
//! handed in, and never waits.

mod bridge;
mod builtin;
mod config;
mod decision;
pub mod doctor;
mod guests;
pub mod import;
mod limits;
mod mailbox;
mod qualify;
mod recording;
mod registrar;
mod routing;
mod switch;

pub use builtin::Builtin;
pub use config::{Config, ConfigError, Summary};
pub use decision::Decision;
pub use limits::LimitUsage;
pub use switch::Switch;
