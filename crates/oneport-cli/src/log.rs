//! The log of `serve`: a line for people, or a JSON object for programs.

use std::fmt::{self, Write as _};
use std::io;

use clap::ValueEnum;
use oneport_switch::LogTail;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// How the log is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum LogFormat {
    /// A line of text for each event
    #[default]
    Text,
    /// A JSON object for each event
    Json,
}

/// Begins the log, on standard error; `ONEPORT_LOG` says how much of it. Its last lines are for the API.
pub(crate) fn begin(format: LogFormat) -> LogTail {
    let wanted = std::env::var("ONEPORT_LOG").ok();
    let (filter, tail) = (filter(wanted.as_deref()), LogTail::default());
    let log = tracing_subscriber::registry().with(filter).with(tail.clone());
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    match format {
        LogFormat::Text => {
            log.with(lines.with_ansi(crate::style::is_colourful()).with_target(false)).init();
        }
        LogFormat::Json => {
            log.with(lines.with_ansi(false).fmt_fields(JsonFields).event_format(JsonLines)).init();
        }
    }
    tail
}

/// Libraries that are heard at other levels, if they are not asked for by name. The one for SIP logs each message
/// as it is, with proofs of passwords in it, and as often as anybody sends one; that for PostgreSQL what the server
/// notices, as that a table is there already.
const QUIET: [(&str, &str); 2] = [("rsipstack", "off"), ("sqlx::postgres::notice", "warn")];

/// What is logged: `info` and above where nothing else, or nothing that can be understood, is wanted.
fn filter(wanted: Option<&str>) -> EnvFilter {
    let wanted = wanted.filter(|wanted| EnvFilter::try_new(wanted).is_ok()).unwrap_or("info");
    let mut directives = wanted.to_owned();
    for (library, level) in QUIET {
        if !wanted.contains(library) {
            directives.push_str(&format!(",{library}={level}"));
        }
    }
    EnvFilter::new(directives)
}

/// Fields of a span, as an object.
struct JsonFields;

impl<'writer> FormatFields<'writer> for JsonFields {
    fn format_fields<R: RecordFields>(
        &self,
        mut writer: Writer<'writer>,
        fields: R,
    ) -> fmt::Result {
        let mut all = Fields(Map::new());
        fields.record(&mut all);
        write!(writer, "{}", Value::Object(all.0))
    }
}

/// One object a line: `timestamp`, `level`, `target`, `message`, and the fields of the event and of
/// what it happened in, such as `call`.
struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let about = event.metadata();
        let mut fields = Fields(Map::new());
        fields.0.insert("timestamp".into(), timestamp.into());
        fields.0.insert("level".into(), about.level().as_str().into());
        fields.0.insert("target".into(), about.target().into());
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            let known = extensions.get::<FormattedFields<N>>();
            let known = known.map(|known| serde_json::from_str(&known.fields));
            if let Some(Ok(Value::Object(known))) = known {
                fields.0.extend(known);
            }
        }
        event.record(&mut fields);
        writeln!(writer, "{}", Value::Object(fields.0))
    }
}

struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        let _ = write!(text, "{value:?}");
        self.0.insert(field.name().into(), text.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_messages_of_sip_are_in_the_log_only_where_they_are_asked_for_by_name() {
        let shown = |wanted| filter(wanted).to_string();
        for (wanted, rest) in [(None, "info"), (Some("debug"), "debug"), (Some("a=b=c"), "info")] {
            let shown = shown(wanted);
            assert!(shown.contains("rsipstack=off") && shown.contains(rest), "{wanted:?}: {shown}");
        }
        let shown = shown(Some("rsipstack=debug"));
        assert!(shown.contains("rsipstack=debug") && !shown.contains("rsipstack=off"), "{shown}");
    }

    #[test]
    fn what_a_server_notices_is_in_the_log_only_where_it_is_asked_for_by_name() {
        assert!(filter(None).to_string().contains("sqlx::postgres::notice=warn"));
        let shown = filter(Some("info,sqlx::postgres::notice=info")).to_string();
        assert!(!shown.contains("notice=warn"), "{shown}");
    }
}
