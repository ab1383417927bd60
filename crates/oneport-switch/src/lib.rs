//! An IAX2 switch: who may call ([`Config`], registrar), where a call goes (routes, built-in
//! destinations), and the bridge between two legs.
//!
//! [`Switch`] is an [`oneport::Application`]: it decides on the driver's thread, with the time
//! handed in, and never waits.

mod allstar;
pub mod api;
mod book;
mod bridge;
mod builtin;
mod caller_id;
mod capacity;
mod capture;
mod cdr;
pub mod cluster;
mod conference;
mod config;
mod console;
mod deadlines;
mod decision;
mod decoy;
pub mod doctor;
mod flaw;
mod guests;
mod hep;
pub mod import;
mod inband;
mod ledger;
mod limits;
mod live;
mod log_tail;
mod mailbox;
mod news;
mod overload;
mod parking;
mod polls;
mod private_file;
mod qualify;
mod radio;
pub mod realtime;
mod recording;
mod refusal;
mod registrar;
mod routing;
mod sealed;
mod sent;
pub mod sip;
pub mod store;
mod switch;
mod tally;
mod taps;
mod timeline;
mod traces;
mod transcoding;
mod trunks;
mod utc;
mod watch;

pub use builtin::Builtin;
pub use cdr::{Cdr, HungUpBy, LegDirection, Quality, RemoteQuality};
pub use conference::ConferenceMember;
pub use config::{
    ApiConfig, ChosenByCommand, ClusterConfig, Config, ConfigError, DatabaseKind, DatabaseUrl,
    KnownHosts, SharedText, StoreConfig, StorePlace, Summary, schema as config_schema,
};
pub use decision::Decision;
pub use ledger::Journal;
pub use limits::LimitUsage;
pub use log_tail::LogTail;
pub use news::{News, What};
pub use refusal::{Refusal, RefusalCount, Stage};
pub use switch::{LastTraces, Life, ParkedCall, Succession, Switch};
pub use utc::{NoMoment, Utc};
