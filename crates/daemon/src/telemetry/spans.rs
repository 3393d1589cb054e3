//! A span for each request to a Service (`OpenTelemetry` semantic conventions for HTTP servers).

use std::collections::HashMap;

use gateway::{Trace, TraceFacts, Traces};
use http::HeaderValue;
use opentelemetry::{
    Context, KeyValue,
    propagation::TextMapPropagator as _,
    trace::{Span as _, SpanKind, Status, Tracer as _},
};
use opentelemetry_sdk::{
    propagation::TraceContextPropagator,
    trace::{SdkTracer, Span},
};

const TRACEPARENT: &str = "traceparent";

/// Creates the spans.
pub(super) struct Spans {
    tracer: SdkTracer,
    propagator: TraceContextPropagator,
}

struct RequestSpan(Span);

impl Spans {
    pub(super) fn new(tracer: SdkTracer) -> Self {
        Self {
            tracer,
            propagator: TraceContextPropagator::new(),
        }
    }
}

impl Traces for Spans {
    fn begin(&self, parent: Option<&str>) -> Box<dyn Trace> {
        let carrier: HashMap<String, String> = parent
            .map(|parent| (TRACEPARENT.to_owned(), parent.to_owned()))
            .into_iter()
            .collect();
        // A `traceparent` that does not parse starts a new trace.
        let context = self
            .propagator
            .extract_with_context(&Context::new(), &carrier);
        let builder = self
            .tracer
            .span_builder("request")
            .with_kind(SpanKind::Server);
        Box::new(RequestSpan(
            self.tracer.build_with_context(builder, &context),
        ))
    }
}

impl Trace for RequestSpan {
    fn traceparent(&self) -> Option<HeaderValue> {
        let context = self.0.span_context();
        if !context.is_valid() {
            return None;
        }
        let text = format!(
            "00-{}-{}-{:02x}",
            context.trace_id(),
            context.span_id(),
            context.trace_flags()
        );
        HeaderValue::try_from(text).ok()
    }

    fn end(mut self: Box<Self>, facts: &TraceFacts<'_>) {
        let span = &mut self.0;
        if !span.is_recording() {
            return;
        }
        span.update_name(match facts.service {
            Some(service) => format!("{} {service}", facts.method),
            None => facts.method.to_owned(),
        });
        let texts = [
            ("http.request.method", Some(facts.method)),
            ("server.address", facts.host),
            ("url.path", facts.path),
            ("url.scheme", Some("https")),
            ("error.type", facts.error),
            ("octelium.request_id", Some(facts.request_id)),
            ("octelium.service", facts.service),
            ("octelium.user", facts.user),
            ("octelium.session", facts.session),
            ("octelium.decision", Some(facts.decision)),
            ("octelium.upstream", facts.upstream),
        ];
        for (key, value) in texts {
            if let Some(value) = value {
                span.set_attribute(KeyValue::new(key, value.to_owned()));
            }
        }
        if let Some(status) = facts.status {
            span.set_attribute(KeyValue::new(
                "http.response.status_code",
                i64::from(status),
            ));
        }
        if facts.error.is_some() || facts.status.is_none_or(|status| status >= 500) {
            span.set_status(Status::error(""));
        }
        span.end();
    }
}
