//! `[traces]`: traces of calls for whoever takes OTLP.

use std::ops::Range;
use std::path::PathBuf;

use oneport_proto::Secret;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::error::ConfigError;
use super::secret::places;
use super::source::{Beside, Source};
use super::spanned::Spanned;

/// Where OTLP by HTTP takes traces, behind the port.
const PATH: &str = "/v1/traces";

/// By what it may be reached.
const SCHEMES: [&str; 2] = ["http", "https"];

/// Headers that are written by whoever sends the request.
const RESERVED: [&str; 5] =
    ["host", "content-type", "content-length", "transfer-encoding", "connection"];

/// What the switch is called among services.
const SERVICE: &str = "oneport";

/// Where traces of calls go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct TracesConfig {
    /// The URL at which the collector takes them.
    pub(crate) to: String,
    /// Of so many calls one is traced.
    pub(crate) one_in: u64,
    /// What this switch is called there.
    pub(crate) service: String,
    /// Headers of each request, names and values.
    pub(crate) headers: Vec<(String, Secret)>,
}

#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TracesKeys {
    /// The collector, as a URL with `http` or `https`; where it has no path, `/v1/traces` is meant. Without it
    /// nothing is sent.
    to: Option<Spanned<String>>,
    /// Of so many calls one is traced; 1: each.
    #[schemars(range(min = 1), extend("default" = 1))]
    one_in: Option<Spanned<u64>>,
    /// What this switch is called among services (`service.name`).
    #[schemars(extend("default" = SERVICE))]
    service: Option<Spanned<String>>,
    /// Headers of each request, each as `NAME: VALUE`.
    headers: Vec<Spanned<String>>,
    /// One more header, in which a secret stands: `Authorization: Bearer …`.
    secret: Option<Spanned<String>>,
    /// A file with it.
    secret_file: Option<Spanned<PathBuf>>,
    /// An environment variable with it.
    secret_env: Option<Spanned<String>>,
}

impl TracesKeys {
    /// `None`: nothing is sent.
    pub(super) fn check(&self, source: &Source<'_>) -> Result<Option<TracesConfig>, ConfigError> {
        let secrets =
            places(self.secret.as_ref(), self.secret_file.as_ref(), self.secret_env.as_ref());
        let mut secrets: Vec<(Range<usize>, _)> = secrets.collect();
        let Some(to) = &self.to else {
            return match secrets.first() {
                None => Ok(None),
                Some((span, _)) => {
                    let what = "[traces] does not say where traces go";
                    let help = "add to = \"http://HOST:4318\"";
                    Err(source.wrong_at(span.clone(), what).with_help(help))
                }
            };
        };
        let mut headers = Vec::new();
        for line in &self.headers {
            headers.push(header(source, line.span(), line.get_ref())?);
        }
        if !secrets.is_empty() {
            let (span, place) = secrets.swap_remove(0);
            let secret = source.secret(span.clone(), &place)?;
            // Where secrets are of no account, what stands in for one is no header.
            if source.beside != Beside::Ignored {
                headers.push(header(source, span, secret.expose())?);
            }
        }
        let one_in = self.one_in.as_ref();
        if let Some(none) = one_in.filter(|one_in| *one_in.get_ref() == 0) {
            let error = source.wrong(none, "of 0 calls none can be traced");
            return Err(error.with_help("leave out `to` where nothing is to be sent"));
        }
        let service = self.service.as_ref();
        if let Some(empty) = service.filter(|name| name.get_ref().trim().is_empty()) {
            return Err(source.wrong(empty, "a service has a name"));
        }
        Ok(Some(TracesConfig {
            to: url(source, to)?,
            one_in: one_in.map_or(1, |one_in| *one_in.get_ref()),
            service: service.map_or(SERVICE, |name| name.get_ref()).to_string(),
            headers,
        }))
    }
}

/// The URL to which traces are sent.
fn url(source: &Source<'_>, written: &Spanned<String>) -> Result<String, ConfigError> {
    let text = written.get_ref().trim();
    let wrong = |what: String| {
        let help = "such as \"http://127.0.0.1:4318\" or \"https://otlp.example.org/v1/traces\"";
        source.wrong(written, what).with_help(help)
    };
    let mut url = Url::parse(text).map_err(|_| wrong(format!("`{text}` is no URL")))?;
    if !SCHEMES.contains(&url.scheme()) {
        return Err(wrong(format!("`{text}` is no URL of http or https")));
    }
    if !url.has_host() {
        return Err(wrong(format!("`{text}` names no host")));
    }
    if !url.username().is_empty() || url.password().is_some() {
        let error = source.wrong(written, "a URL is no place for a name and a secret");
        return Err(error.with_help("secret = \"Authorization: Basic …\", or secret_file"));
    }
    if matches!(url.path(), "" | "/") {
        url.set_path(PATH);
    }
    Ok(url.into())
}

/// Name and value of a header.
fn header(
    source: &Source<'_>,
    span: Range<usize>,
    line: &str,
) -> Result<(String, Secret), ConfigError> {
    // It may be a secret that stands in the wrong place, and is not repeated.
    let wrong = |what: &str| {
        let help = "a header is NAME: VALUE, such as \"X-Scope-OrgID: telephony\"";
        source.wrong_at(span.clone(), what).with_help(help)
    };
    let (name, value) = line.split_once(':').ok_or_else(|| wrong("this is no header"))?;
    let (name, value) = (name.trim(), value.trim());
    let in_name = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(in_name) {
        return Err(wrong("this is no name of a header"));
    }
    if value.is_empty() || !value.chars().all(|c| c.is_ascii_graphic() || c == ' ') {
        return Err(wrong("this is no value of a header"));
    }
    if RESERVED.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(wrong("this header is written by the switch itself"));
    }
    Ok((name.to_string(), Secret::from(value)))
}
