//! What a switch does with calls beside leading them to each other, with telephones on the loopback.

mod allstar;
mod bounds;
mod conference;
mod drain;
mod forwarding;
mod hold;
mod identity;
mod keys;
mod notice;
mod overload;
mod parking;
mod pauses;
mod playback;
mod saying_no;
mod setting;
mod tones;
mod transcoding;
mod waking;
