//! What a switch does with calls beside leading them to each other, with telephones on the loopback.

mod bounds;
mod forwarding;
mod hold;
mod setting;
