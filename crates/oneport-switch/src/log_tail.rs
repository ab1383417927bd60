//! The last lines of the process's log, for whoever may read them. They are written by a layer of `tracing`
//! beside whatever else writes the log, at the levels that this has; the ring is bounded, and nobody waits for
//! a reader.

use std::collections::{HashSet, VecDeque};
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;
use utoipa::ToSchema;

use crate::config::without_secrets;

/// Bytes of text that are kept, and of one line.
const MOST_BYTES: usize = 1 << 20;
const LONGEST_LINE: usize = 2_000;

/// What a line takes beside its text.
const OF_LINE: usize = 160;

/// The SIP library, which logs messages as they are, with proofs of passwords in them.
const UNTOLD: &str = "rsipstack";

/// How grave a line is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogLevel {
    /// Something does not work.
    Error,
    /// Somebody should look.
    Warn,
    /// What happens.
    Info,
    /// How it happens.
    Debug,
    /// Each step of it.
    Trace,
}

impl From<&Level> for LogLevel {
    fn from(level: &Level) -> Self {
        match *level {
            Level::ERROR => Self::Error,
            Level::WARN => Self::Warn,
            Level::INFO => Self::Info,
            Level::DEBUG => Self::Debug,
            _ => Self::Trace,
        }
    }
}

/// A line of the log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct LogLine {
    /// Its number since the start of the process, from 1.
    pub(crate) number: u64,
    /// When it was written (UTC).
    pub(crate) at: String,
    /// How grave it is.
    pub(crate) level: LogLevel,
    /// The part of the program that has written it.
    pub(crate) target: String,
    /// The id of the call that it is about.
    pub(crate) call: Option<String>,
    /// What it says, with its fields behind it. Secrets are `***`.
    pub(crate) message: String,
}

impl LogLine {
    /// Bytes that it takes.
    fn size(&self) -> usize {
        OF_LINE + self.target.len() + self.message.len()
    }

    /// Whether it is about users of console and API, and what they do.
    fn is_about_users(&self) -> bool {
        self.target.starts_with(concat!(env!("CARGO_CRATE_NAME"), "::api"))
    }

    /// Whether a word of it is this.
    fn names(&self, name: &str) -> bool {
        let is_part = |one: char| one.is_alphanumeric() || matches!(one, '_' | '-' | '.');
        self.message.match_indices(name).any(|(at, found)| {
            let before = self.message.get(..at).and_then(|text| text.chars().next_back());
            let after = self.message.get(at + found.len()..).and_then(|text| text.chars().next());
            !before.is_some_and(is_part) && !after.is_some_and(is_part)
        })
    }
}

/// Which lines are wanted.
#[derive(Clone, Debug)]
pub(crate) struct LogQuery {
    /// Only those behind this number.
    pub(crate) after: u64,
    /// At most so many, the newest.
    pub(crate) limit: usize,
    /// So grave, or graver.
    pub(crate) level: LogLevel,
    /// Whether those about users are wanted.
    pub(crate) users: bool,
    /// Of calls whose id begins so.
    pub(crate) call: Option<String>,
    /// That name this peer, and those of calls of which some line does.
    pub(crate) peer: Option<String>,
    /// With this in it, in lower case.
    pub(crate) search: Option<String>,
}

/// Lines that fit.
#[derive(Debug)]
pub(crate) struct LogLines {
    /// Oldest first.
    pub(crate) lines: Vec<Arc<LogLine>>,
    /// The number of the newest line of all.
    pub(crate) newest: u64,
    /// Lines behind `after` that were forgotten before anybody asked, or are more than wanted.
    pub(crate) missed: u64,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Arc<LogLine>>,
    bytes: usize,
    newest: u64,
}

/// The ring. Clones share it.
///
/// ```
/// use oneport_switch::LogTail;
/// use tracing_subscriber::layer::SubscriberExt as _;
///
/// // A clone of it goes to `Api::start`.
/// let tail = LogTail::default();
/// let log = tracing_subscriber::registry().with(tail.clone());
/// tracing::subscriber::with_default(log, || tracing::warn!("a line for the API"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct LogTail(Arc<Mutex<State>>);

impl LogTail {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, level: LogLevel, target: &str, call: Option<String>, message: String) {
        let mut message = without_secrets(&message).unwrap_or_default();
        if message.len() > LONGEST_LINE {
            message.truncate(message.floor_char_boundary(LONGEST_LINE));
            message.push('…');
        }
        let at = Timestamp::now().to_string();
        let mut line = LogLine { number: 0, at, level, target: target.into(), call, message };
        let mut state = self.state();
        state.newest += 1;
        line.number = state.newest;
        state.bytes += line.size();
        state.lines.push_back(Arc::new(line));
        while state.bytes > MOST_BYTES
            && let Some(oldest) = state.lines.pop_front()
        {
            state.bytes -= oldest.size();
        }
    }

    /// The lines that fit. The ring is copied and looked through behind that, so that no writer waits.
    pub(crate) fn read(&self, query: &LogQuery) -> LogLines {
        let (lines, newest) = {
            let state = self.state();
            (state.lines.iter().cloned().collect::<Vec<_>>(), state.newest)
        };
        let kept = lines.first().map_or(newest, |line| line.number - 1);
        let of_peer = query.peer.as_deref().map(|peer| {
            let named = lines.iter().filter(|line| line.names(peer));
            (peer, named.filter_map(|line| line.call.as_deref()).collect::<HashSet<_>>())
        });
        let fits = |line: &&Arc<LogLine>| {
            let call = line.call.as_deref();
            line.level <= query.level
                && (query.users || !line.is_about_users())
                && query
                    .call
                    .as_deref()
                    .is_none_or(|id| call.is_some_and(|own| own.starts_with(id)))
                && of_peer.as_ref().is_none_or(|(peer, calls)| {
                    line.names(peer) || call.is_some_and(|call| calls.contains(call))
                })
                && query
                    .search
                    .as_deref()
                    .is_none_or(|text| line.message.to_lowercase().contains(text))
        };
        let new = lines.iter().filter(|line| line.number > query.after);
        let fitting: Vec<_> = new.filter(fits).cloned().collect();
        let left_out = fitting.len().saturating_sub(query.limit);
        // Whoever asks for the first time has missed nothing.
        let forgotten = if query.after == 0 { 0 } else { kept.saturating_sub(query.after) };
        let missed = if query.after == 0 { 0 } else { forgotten + left_out as u64 };
        LogLines { lines: fitting[left_out..].to_vec(), newest, missed }
    }
}

/// The call that a span is about.
struct OfCall(String);

/// Finds the field `call`.
#[derive(Default)]
struct CallField(Option<String>);

impl Visit for CallField {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "call" {
            self.0 = Some(format!("{value:?}"));
        }
    }
}

/// A message with its fields behind it.
#[derive(Default)]
struct Message {
    message: String,
    fields: String,
}

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogTail {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut call = CallField::default();
        attributes.record(&mut call);
        if let (Some(span), CallField(Some(call))) = (context.span(id), call) {
            span.extensions_mut().insert(OfCall(call));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let about = event.metadata();
        if about.target().starts_with(UNTOLD) {
            return;
        }
        let mut said = Message::default();
        event.record(&mut said);
        let mut scope = context.event_scope(event).into_iter().flatten();
        let call = scope.find_map(|span| Some(span.extensions().get::<OfCall>()?.0.clone()));
        self.write(about.level().into(), about.target(), call, said.message + &said.fields);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    fn all() -> LogQuery {
        let (level, limit) = (LogLevel::Trace, 1_000_000);
        LogQuery { after: 0, limit, level, users: true, call: None, peer: None, search: None }
    }

    fn said(tail: &LogTail, query: &LogQuery) -> Vec<String> {
        tail.read(query).lines.iter().map(|line| line.message.clone()).collect()
    }

    #[test]
    fn what_is_logged_is_kept_with_its_call_and_without_secrets_or_messages_of_sip() {
        let tail = LogTail::default();
        let subscriber = tracing_subscriber::registry().with(tail.clone());
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::error_span!("call", call = %"0192-ab");
            let _inside = span.enter();
            tracing::info!(cause = 16, "ann hangs up");
            tracing::warn!("line 7: secret = \"hush\", and nothing else");
            tracing::info!(target: "rsipstack::transaction", "Authorization: Digest response=1f");
        });
        let lines = tail.read(&all()).lines;
        let shown: Vec<_> = lines.iter().map(|line| (line.level, line.message.as_str())).collect();
        let expected = [
            (LogLevel::Info, "ann hangs up cause=16"),
            (LogLevel::Warn, "line 7: secret = \"***\", and nothing else"),
        ];
        assert_eq!(shown, expected);
        assert!(lines.iter().all(|line| line.call.as_deref() == Some("0192-ab")));
        assert_eq!(lines[0].target, module_path!());
    }

    #[test]
    fn lines_are_found_by_level_call_peer_and_text() {
        let tail = LogTail::default();
        let write = |level, call: Option<&str>, message: &str| {
            tail.write(level, "x", call.map(Into::into), message.into());
        };
        write(LogLevel::Info, Some("1a"), "ann (192.0.2.1:4569) calls 7");
        write(LogLevel::Debug, Some("1a"), "is answered");
        write(LogLevel::Info, Some("2b"), "joann calls 8");
        write(LogLevel::Error, None, "ann: Unreachable");
        tail.write(LogLevel::Info, "oneport_switch::api::login", None, "boss signs in".into());
        let found = |query: LogQuery| said(&tail, &query).len();
        assert_eq!(found(all()), 5);
        assert_eq!(found(LogQuery { level: LogLevel::Info, ..all() }), 4);
        assert_eq!(found(LogQuery { level: LogLevel::Error, ..all() }), 1);
        assert_eq!(found(LogQuery { call: Some("1".into()), ..all() }), 2);
        assert_eq!(found(LogQuery { users: false, ..all() }), 4);
        let of_ann = said(&tail, &LogQuery { peer: Some("ann".into()), ..all() });
        assert_eq!(of_ann.len(), 3, "and what its call says: {of_ann:?}");
        assert_eq!(found(LogQuery { search: Some("unreach".into()), ..all() }), 1);
    }

    #[test]
    fn the_newest_lines_are_kept_in_bounded_room_and_whoever_comes_late_is_told() {
        let tail = LogTail::default();
        for n in 0..30_000 {
            tail.write(LogLevel::Info, "x", None, format!("{n} {}", "ü".repeat(n % 3_000)));
        }
        let read = tail.read(&LogQuery { after: 29_990, ..all() });
        assert_eq!((read.lines.len(), read.newest, read.missed), (10, 30_000, 0));
        assert!(read.lines.iter().all(|line| line.message.len() <= LONGEST_LINE + "…".len()));
        let read = tail.read(&LogQuery { after: 1, ..all() });
        let kept = read.lines.len() as u64;
        assert!(kept > 400 && kept + read.missed == 29_999, "{kept} and {}", read.missed);
        let bytes: usize = read.lines.iter().map(|line| line.size()).sum();
        assert!(bytes <= MOST_BYTES, "{bytes}");
        let read = tail.read(&LogQuery { limit: 5, ..all() });
        assert_eq!((read.lines.len(), read.lines[4].number, read.missed), (5, 30_000, 0));
        let read = tail.read(&LogQuery { after: 29_990, limit: 5, ..all() });
        assert_eq!((read.lines.len(), read.missed), (5, 5));
    }
}
