//! The stores, all by the same claims.

mod conformance;
mod outage;
mod servers;
mod sqlite;
mod state;
