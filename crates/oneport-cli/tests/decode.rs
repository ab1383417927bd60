//! `oneport decode`: what it says of captures, beside what Wireshark's dissector says of the same.

#[path = "decode/agreement.rs"]
mod agreement;
#[path = "decode/command.rs"]
mod command;
#[path = "decode/page.rs"]
mod page;
