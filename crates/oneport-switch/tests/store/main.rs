//! The stores, all by the same claims.

mod conformance;
mod servers;
mod sqlite;
