//! The program is replaced under a switch that has calls, again and again: none of them is dropped, and
//! frames lost are counted.
//!
//! A few calls and rounds by default; `ONEPORT_UPGRADE_CALLS=500 ONEPORT_UPGRADE_ROUNDS=20` runs as many.

mod carrier;
mod encrypted;
mod iax2;
mod installed;
#[path = "../serving/mod.rs"]
mod serving;
mod sip;
mod telephones;
mod wire;
