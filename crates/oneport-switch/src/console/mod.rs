//! The web console: its files, who may sign in, and who has.
//!
//! The page is a user of the HTTP API like any other: whatever it shows comes from there, and what it does
//! goes there. This module knows neither the API nor the switch.

mod assets;
mod passwords;
mod sessions;

pub(crate) use assets::{POLICY, asset};
pub(crate) use passwords::{LONGEST, SHORTEST, hash, is_right};
pub(crate) use sessions::{LONGEST_SESSION, Session, Sessions};
