//! Telephones that speak SIP, registered here like any peer: sipp, Asterisk's PJSIP and baresip.

mod attended;
mod baresip;
mod dtls;
mod messages;
mod pjsip;
mod sipp;
mod strangers;
