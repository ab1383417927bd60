//! Why calls were refused, or failed.

use std::fmt;
use std::net::SocketAddr;

use oneport_wire::CauseCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::utc::Utc;

/// Where on its way a call was refused.
///
/// ```
/// use oneport_switch::Stage;
///
/// assert_eq!(Stage::ALL.map(Stage::name)[..3], ["opening", "identification", "acl"]);
/// ```
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Before anything was kept of it: call tokens, and the limits of the engine.
    Opening,
    /// The caller could not prove who it is, or is nobody we know.
    Identification,
    /// It may not come from where it comes from.
    Acl,
    /// No route leads on, or its route says so.
    Route,
    /// A limit stood against it.
    Limit,
    /// A destination could not take it, before it was called.
    Destination,
    /// A destination that was called said no, or nothing.
    Answer,
}

impl Stage {
    /// All of them, in the order in which a call comes through them.
    pub const ALL: [Self; 7] = [
        Self::Opening,
        Self::Identification,
        Self::Acl,
        Self::Route,
        Self::Limit,
        Self::Destination,
        Self::Answer,
    ];

    /// Its name in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Identification => "identification",
            Self::Acl => "acl",
            Self::Route => "route",
            Self::Limit => "limit",
            Self::Destination => "destination",
            Self::Answer => "answer",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A call that was refused or failed, or a destination of a call that did not take it.
///
/// A call may have several: one for each destination that was tried in vain, and the last, which its
/// caller was told.
///
/// ```
/// # mod records { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/records.rs")); } use records::*;
/// let refusal = refusal();
/// assert_eq!((refusal.stage.name(), refusal.cause), ("limit", Some(42)));
/// let first = "1. 1970-01-01T00:00:00.000Z refused at stage limit: limit carrier is full";
/// assert!(refusal.to_string().starts_with(first));
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Refusal {
    /// The call, as in its CDRs and in the log. One that was turned away before anything was kept of
    /// it has an id of its own.
    #[schema(value_type = String)]
    pub call: Uuid,
    /// Its number among the refusals of the call, from 1.
    pub number: u32,
    /// Which of several switches with one database has written it; none where it is alone.
    #[serde(default)]
    pub switch: Option<String>,
    /// When.
    #[schema(value_type = String)]
    pub at: Utc,
    /// The name under which the caller came; none for a guest.
    pub peer: Option<String>,
    /// Where it came from: IP address and port.
    pub address: String,
    /// The caller's number.
    pub calling_number: Option<String>,
    /// The number it called.
    pub called_number: String,
    /// Where on its way.
    pub stage: Stage,
    /// What kind of reason, for counting: lower case, words joined by underscores.
    pub kind: String,
    /// The rule or limit that decided, by its place in the configuration or by its name.
    pub rule: Option<String>,
    /// The value of that rule or limit at that moment.
    pub value: Option<String>,
    /// The destination that did not take it: `peer:NAME/NUMBER`.
    pub destination: Option<String>,
    /// Whether the call ended with this. Otherwise its next destination was tried.
    pub ended_call: bool,
    /// The cause that the caller was sent, or that the destination gave, as Q.850 numbers it.
    pub cause: Option<u8>,
    /// The peer's own words.
    pub said: Option<String>,
    /// Why, in one sentence.
    pub why: String,
    /// What mends it, where something does.
    pub fix: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, at, stage, kind, why, .. } = self;
        writeln!(f, "{number}. {at} refused at stage {stage}: {why} ({kind})")?;
        let lines = [
            ("destination", self.destination.clone()),
            ("decided by", self.rule.clone()),
            ("its value then", self.value.clone()),
            ("cause", self.cause.map(|cause| CauseCode(cause).to_string())),
            ("the peer's words", self.said.as_ref().map(|said| format!("{said:?}"))),
            ("what mends it", self.fix.clone()),
        ];
        for (label, text) in lines {
            if let Some(text) = text {
                writeln!(f, "   {label}: {text}")?;
            }
        }
        match self.ended_call {
            true => writeln!(f, "   the caller was told"),
            false => writeln!(f, "   the next destination was tried"),
        }
    }
}

/// How many were refused for one kind of reason, since the store was made.
///
/// ```
/// use oneport_switch::store::{Record, SqliteStore, Store};
///
/// # mod records { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/records.rs")); } use records::*;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = SqliteStore::in_memory().await?;
/// store.write(&[Record::Refusal(Box::new(refusal()))]).await?;
/// for count in store.refusal_counts().await? {
///     println!("{} times {} at stage {}", count.count, count.kind, count.stage);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct RefusalCount {
    /// Where on their way.
    pub stage: Stage,
    /// What kind of reason.
    pub kind: String,
    /// How many.
    pub count: u64,
}

/// Why a call does not go on, as far as that does not depend on which call it is.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Reason {
    pub(crate) stage: Stage,
    pub(crate) kind: &'static str,
    pub(crate) why: String,
    pub(crate) rule: Option<String>,
    pub(crate) value: Option<String>,
    /// The limit, where it was one.
    pub(crate) limit: Option<String>,
    pub(crate) destination: Option<String>,
    /// What a destination gave.
    pub(crate) cause: Option<CauseCode>,
    pub(crate) said: Option<String>,
    pub(crate) fix: Option<String>,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl Reason {
    pub(crate) fn new(stage: Stage, kind: &'static str, why: impl Into<String>) -> Self {
        Self {
            stage,
            kind,
            why: why.into(),
            rule: None,
            value: None,
            limit: None,
            destination: None,
            cause: None,
            said: None,
            fix: None,
        }
    }

    /// What decided, and its value then.
    pub(crate) fn decided_by(mut self, rule: impl Into<String>, value: impl Into<String>) -> Self {
        self.rule = Some(rule.into());
        self.value = Some(value.into());
        self
    }

    pub(crate) fn at(mut self, destination: impl Into<String>) -> Self {
        self.destination = Some(destination.into());
        self
    }

    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// What is kept of it: the call and its number among its refusals, who called from where, the
    /// numbers, the cause, and whether the caller was told.
    pub(crate) fn into_refusal(
        self,
        (call, number, at): (Uuid, u32, Utc),
        (peer, address): (Option<String>, SocketAddr),
        (calling_number, called_number): (Option<String>, String),
        cause: Option<CauseCode>,
        ended_call: bool,
    ) -> Refusal {
        Refusal {
            call,
            number,
            switch: None,
            at,
            peer,
            address: address.to_string(),
            calling_number,
            called_number,
            stage: self.stage,
            kind: self.kind.into(),
            rule: self.rule,
            value: self.value,
            destination: self.destination,
            ended_call,
            cause: cause.map(|cause| cause.0),
            said: self.said,
            why: self.why,
            fix: self.fix,
        }
    }
}
