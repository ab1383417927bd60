//! Streams of RTP over loopback sockets, joined with calls of IAX2 and with each other.

mod allocations;
mod calls;
mod gathering;
mod handshakes;
mod one_way;
mod ports;
mod setting;
mod streams;
