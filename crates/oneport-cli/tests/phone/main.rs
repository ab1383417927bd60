//! `oneport phone` as its users see it: in a terminal, registered at a switch of ours and at a real
//! Asterisk 22.

mod asterisk;
#[cfg(feature = "sound")]
mod card;
mod softphone;
mod switch;
#[path = "../terminal/mod.rs"]
mod terminal;
