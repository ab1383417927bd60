//! The stores, all by the same claims.

mod conformance;
mod sqlite;
