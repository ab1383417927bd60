//! The way to whoever collects: OTLP by HTTP, in protobuf.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use tokio_rustls::rustls::crypto::ring;
use ureq::Agent;
use ureq::http::HeaderValue;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use crate::config::TracesConfig;
use crate::sip::secure::usual_authorities;

/// How long a request may take, as OTLP exporters have it.
const PATIENCE: Duration = Duration::from_secs(10);

/// How much of an answer is read.
const LONGEST_ANSWER: u64 = 65_536;

/// The longest that a collector may ask us to wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What became of a request.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is taken, but for so many spans, and why.
    Taken { rejected: u64, why: String },
    /// Not now; later perhaps, and not before this has passed where the collector says so.
    Later { pause: Option<Duration>, why: String },
    /// Never.
    Refused(String),
}

/// Sends requests, over a connection that is kept.
pub(super) struct Post {
    agent: Agent,
    to: String,
    headers: Vec<(String, HeaderValue)>,
}

impl Post {
    pub(super) fn new(config: &TracesConfig) -> Self {
        let authorities = usual_authorities().unwrap_or_default();
        let certificates = parse_pem(&authorities).filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        });
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(certificates.collect())))
            .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
            .build();
        let agent = Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            // A request with a secret goes where it was sent, and nowhere else.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(format!("oneport/{}", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .build()
            .into();
        let header = |(name, value): &(String, oneport_proto::Secret)| {
            let mut value = HeaderValue::from_str(value.expose()).ok()?;
            value.set_sensitive(true);
            Some((name.clone(), value))
        };
        let headers = config.headers.iter().filter_map(header).collect();
        Self { agent, to: config.to.clone(), headers }
    }

    pub(super) fn send(&self, request: &ExportTraceServiceRequest) -> Outcome {
        let mut post = self.agent.post(&self.to).header("Content-Type", "application/x-protobuf");
        for (name, value) in &self.headers {
            post = post.header(name, value);
        }
        let mut answer = match post.send(request.encode_to_vec()) {
            Ok(answer) => answer,
            Err(error) => return Outcome::Later { pause: None, why: error.to_string() },
        };
        let status = answer.status();
        let why = format!("it answers {status}");
        match status.as_u16() {
            200..=299 => {
                let body = answer.body_mut().with_config().limit(LONGEST_ANSWER).read_to_vec();
                let answer = body.ok().and_then(|body| {
                    ExportTraceServiceResponse::decode(body.as_slice()).ok()?.partial_success
                });
                let answer = answer.unwrap_or_default();
                let rejected = u64::try_from(answer.rejected_spans).unwrap_or(0);
                Outcome::Taken { rejected, why: answer.error_message }
            }
            // Those that OTLP lets be tried again.
            429 | 502 | 503 | 504 => {
                let wanted = answer.headers().get("retry-after");
                let seconds = wanted.and_then(|value| value.to_str().ok()?.trim().parse().ok());
                let pause = seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST_PAUSE));
                Outcome::Later { pause, why }
            }
            _ => Outcome::Refused(why),
        }
    }
}
