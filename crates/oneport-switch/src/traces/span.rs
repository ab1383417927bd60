//! Spans as OTLP has them: names, kinds, attributes and events. docs/tracing.md describes them.

use std::net::SocketAddr;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use super::notes::{Finished, Step, Subject};
use crate::cdr::{Cdr, HungUpBy, LegDirection, hundredths};
use crate::sip::settings::CARRIER;

/// Causes from here on are of the classes 010 and above, which say that something is wrong (ITU-T Q.850
/// §2.1): those below say how calls end every day.
const FIRST_CAUSE_OF_TROUBLE: u8 = 32;

/// Flags of a span: it is sampled, it is known whether its parent is elsewhere, and it is.
const SAMPLED: u32 = 0x001;
const KNOWS_PARENT: u32 = 0x100;
const REMOTE_PARENT: u32 = 0x200;

/// Attributes of one thing. What is not known is not there.
#[derive(Default)]
struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn add(&mut self, key: &str, value: Value) {
        let value = Some(AnyValue { value: Some(value) });
        self.0.push(KeyValue { key: key.into(), value, ..KeyValue::default() });
    }

    fn text(&mut self, key: &str, text: impl Into<String>) {
        self.add(key, Value::StringValue(text.into()));
    }

    fn text_if(&mut self, key: &str, text: Option<&String>) {
        if let Some(text) = text {
            self.text(key, text);
        }
    }

    fn number(&mut self, key: &str, number: impl TryInto<i64>) {
        self.add(key, Value::IntValue(number.try_into().unwrap_or(i64::MAX)));
    }

    fn figure(&mut self, key: &str, figure: Option<f64>) {
        if let Some(figure) = figure.filter(|figure| figure.is_finite()) {
            self.add(key, Value::DoubleValue(figure));
        }
    }

    fn truth(&mut self, key: &str, truth: bool) {
        self.add(key, Value::BoolValue(truth));
    }
}

fn ms(micros: u64) -> f64 {
    hundredths(micros as f64 / 1e3)
}

/// Of what was sent, how much was lost, per cent; none where nothing was sent.
fn percent(lost: u64, heard: u64) -> Option<f64> {
    let sent = lost.saturating_add(heard);
    (sent > 0).then(|| hundredths(lost as f64 * 100.0 / sent as f64))
}

/// Who and whither, and how it ended: what a leg and a call have in common.
fn common(record: &Cdr, attributes: &mut Attributes) {
    attributes.text_if("oneport.peer", record.peer.as_ref());
    attributes.text_if("oneport.from", record.calling_number.as_ref());
    attributes.text_if("oneport.from_name", record.calling_name.as_ref());
    attributes.text("oneport.to", &record.called_number);
    attributes.text_if("oneport.route", record.route.as_ref());
    attributes.text_if("oneport.destination", record.destination.as_ref());
    attributes.text_if("oneport.account_code", record.account_code.as_ref());
    attributes.text_if("oneport.switch", record.switch.as_ref());
    attributes.number("oneport.cause", record.cause);
    attributes.text("oneport.reason", &record.reason);
    attributes.text("oneport.hung_up_by", record.hung_up_by.name());
    attributes.number("oneport.billable_ms", record.billable_ms);
    attributes.truth("oneport.answered", record.answer.is_some());
}

fn of_leg(record: &Cdr, by_sip: bool, attributes: &mut Attributes) {
    attributes.number("oneport.leg", record.leg);
    attributes.text("oneport.direction", record.direction.name());
    let carrier = record.peer.as_deref().and_then(|peer| peer.strip_prefix(CARRIER));
    if let Some(carrier) = carrier {
        attributes.text("oneport.carrier", carrier);
    }
    attributes.text("network.protocol.name", if by_sip { "sip" } else { "iax2" });
    if !by_sip {
        attributes.text("network.transport", "udp");
    }
    if let Ok(address) = record.address.parse::<SocketAddr>() {
        attributes.text("network.peer.address", address.ip().to_string());
        attributes.number("network.peer.port", address.port());
    }
    attributes.text_if("oneport.cause_text", record.cause_text.as_ref());
    attributes.text_if("oneport.codec", record.codec.as_ref());
    attributes.text_if("oneport.transcoded", record.transcoded.as_ref());
    attributes.truth("oneport.encrypted", record.encrypted);
    attributes.truth("oneport.trunk", record.trunk);
    attributes.text_if("oneport.limit", record.limit.as_ref());
    let quality = &record.quality;
    attributes.figure("oneport.mos", quality.mos);
    attributes.figure("oneport.mos_there", quality.remote_mos);
    attributes.number("oneport.frames", quality.frames);
    attributes.number("oneport.frames_sent", quality.sent_frames);
    let loss = percent(quality.lost, quality.frames);
    attributes.figure("oneport.loss_percent", loss);
    attributes.figure("oneport.jitter_ms", loss.map(|_| ms(quality.jitter_us)));
    if let Some(there) = quality.remote {
        let loss = percent(there.lost.into(), there.frames.into());
        attributes.figure("oneport.loss_percent_there", loss);
        attributes.figure("oneport.jitter_ms_there", loss.map(|_| there.jitter_ms.into()));
    }
    attributes.figure("oneport.rtt_ms", quality.rtt_us.map(ms));
    attributes.text_if("oneport.choppy", quality.causes.as_ref());
    attributes.text_if("oneport.choppy_why", quality.diagnosis.as_ref());
    attributes.text_if("oneport.one_way", quality.one_way.as_ref());
}

/// What an event is called, and says.
fn event((at, step): &(u64, Step)) -> Event {
    let mut says = Attributes::default();
    let name = match step {
        Step::Offered => "offered",
        Step::Originated => "originated",
        Step::Authenticated(peer) => {
            says.text("oneport.peer", peer);
            "authenticated"
        }
        Step::Admitted => "admitted",
        Step::Routed { number, route } => {
            says.text("oneport.to", number);
            says.text_if("oneport.route", route.as_ref());
            "routed"
        }
        Step::Placed(to) => {
            says.text("oneport.destination", to);
            "placed"
        }
        Step::Accepted(codec) => {
            says.text("oneport.codec", codec.to_string());
            "accepted"
        }
        Step::Ringing(by) => {
            says.text_if("oneport.by", by.as_ref());
            "ringing"
        }
        Step::Answered(by) => {
            says.text_if("oneport.by", by.as_ref());
            "answered"
        }
        Step::Refused { reason, cause, ended_call } => {
            says.text("oneport.refusal.stage", reason.stage.name());
            says.text("oneport.refusal.kind", reason.kind);
            says.text("oneport.refusal.why", &reason.why);
            says.text_if("oneport.refusal.rule", reason.rule.as_ref());
            says.text_if("oneport.refusal.value", reason.value.as_ref());
            says.text_if("oneport.destination", reason.destination.as_ref());
            says.text_if("oneport.cause_text", reason.said.as_ref());
            if let Some(cause) = cause {
                says.number("oneport.cause", cause.0);
            }
            says.truth("oneport.refusal.ended_call", *ended_call);
            "refused"
        }
        Step::Transferred { by, to } => {
            says.text("oneport.by", by);
            says.text("oneport.to", to);
            "transferred"
        }
        Step::Joined(call) => {
            says.text("oneport.call.id", call.to_string());
            "joined"
        }
        Step::Moved(address) => {
            says.text("network.peer.address", address.ip().to_string());
            says.number("network.peer.port", address.port());
            "moved"
        }
        Step::Direct(true) => "voice_direct",
        Step::Direct(false) => "voice_here",
    };
    of_name(*at, name, says)
}

fn of_name(at: u64, name: &str, says: Attributes) -> Event {
    Event { time_unix_nano: at, name: name.into(), attributes: says.0, dropped_attributes_count: 0 }
}

/// How it ended, as the last event says it.
fn ended(at: u64, record: &Cdr) -> Event {
    let mut says = Attributes::default();
    says.number("oneport.cause", record.cause);
    says.text("oneport.reason", &record.reason);
    says.text("oneport.hung_up_by", record.hung_up_by.name());
    of_name(at, "ended", says)
}

/// A link to the call that this one has become part of.
fn link(step: &(u64, Step)) -> Option<Link> {
    let (_, Step::Joined(call)) = step else { return None };
    Some(Link {
        trace_id: call.as_bytes().to_vec(),
        span_id: super::context::span_of_call(*call).to_be_bytes().to_vec(),
        ..Link::default()
    })
}

/// Whether something went wrong: the network has lost it, or its cause is none of every day.
fn is_trouble(record: &Cdr) -> bool {
    record.hung_up_by == HungUpBy::Network || record.cause >= FIRST_CAUSE_OF_TROUBLE
}

/// A span that is over, as it is sent.
pub(super) fn write(finished: &Finished) -> Span {
    let record = finished.record.as_deref();
    let mut attributes = Attributes::default();
    attributes.text("oneport.call.id", finished.call.to_string());
    if let Some(record) = record {
        common(record, &mut attributes);
    }
    let (name, kind) = match (&finished.subject, record) {
        (Subject::Leg { by_sip }, Some(record)) => {
            of_leg(record, *by_sip, &mut attributes);
            match record.direction {
                LegDirection::In => ("leg in", SpanKind::Server),
                LegDirection::Out => ("leg out", SpanKind::Client),
            }
        }
        (Subject::Leg { .. }, None) => ("leg", SpanKind::Internal),
        (Subject::Call { legs, worst }, _) => {
            attributes.number("oneport.legs", *legs);
            attributes.figure("oneport.mos", *worst);
            ("call", SpanKind::Internal)
        }
    };
    let status = record.filter(|record| is_trouble(record)).map(|record| {
        attributes.text("error.type", &record.reason);
        let message = match &record.cause_text {
            Some(text) => format!("{}, cause {}: {text}", record.reason, record.cause),
            None => format!("{}, cause {}", record.reason, record.cause),
        };
        Status { message, code: StatusCode::Error.into() }
    });
    let steps = &finished.steps;
    let mut events: Vec<Event> = steps.kept.iter().map(event).collect();
    events.extend(record.map(|record| ended(finished.to, record)));
    let remote = finished.parent.is_some() && finished.is_remote;
    Span {
        trace_id: finished.trace.to_be_bytes().to_vec(),
        span_id: finished.span.to_be_bytes().to_vec(),
        parent_span_id: finished
            .parent
            .map(|parent| parent.to_be_bytes().to_vec())
            .unwrap_or_default(),
        flags: SAMPLED | KNOWS_PARENT | if remote { REMOTE_PARENT } else { 0 },
        name: name.into(),
        kind: kind.into(),
        start_time_unix_nano: finished.from,
        end_time_unix_nano: finished.to,
        attributes: attributes.0,
        events,
        dropped_events_count: steps.left_out,
        links: steps.kept.iter().filter_map(link).collect(),
        status,
        ..Span::default()
    }
}

/// Who sends the spans.
pub(super) struct Sender {
    resource: Resource,
    scope: InstrumentationScope,
}

impl Sender {
    /// This process of the service, which is one `instance` of it.
    pub(super) fn new(service: &str, instance: &str) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let mut attributes = Attributes::default();
        attributes.text("service.name", service);
        attributes.text("service.version", version);
        attributes.text("service.instance.id", instance);
        attributes.number("process.pid", std::process::id());
        let resource = Resource { attributes: attributes.0, ..Resource::default() };
        let scope = InstrumentationScope {
            name: "oneport".into(),
            version: version.into(),
            ..InstrumentationScope::default()
        };
        Self { resource, scope }
    }

    /// A request with these spans.
    pub(super) fn request(&self, spans: Vec<Span>) -> ExportTraceServiceRequest {
        let scope_spans =
            vec![ScopeSpans { scope: Some(self.scope.clone()), spans, schema_url: String::new() }];
        let resource = Some(self.resource.clone());
        let resource_spans =
            vec![ResourceSpans { resource, scope_spans, schema_url: String::new() }];
        ExportTraceServiceRequest { resource_spans }
    }
}
