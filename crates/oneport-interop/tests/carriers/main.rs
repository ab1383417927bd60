//! Calls to SIP carriers and from them: sipp by scenarios, and Asterisk's PJSIP.

mod cut;
mod dtls;
mod expiry;
mod headers;
mod ilbc;
mod names;
mod one_way;
mod openssl;
mod pjsip;
mod replaces;
mod scenarios;
mod script;
mod secure;
mod sequences;
mod shared;
mod torture;
mod transcoded;
