//! Structured logs, and OpenTelemetry traces for those who set them up.

use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    Span, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId, TraceState,
    Tracer, TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, Sampler, SdkTracer, SdkTracerProvider,
};
use tonic::metadata::AsciiMetadataValue;
use tracing_subscriber::EnvFilter;

use crate::config::TraceConfig;
use crate::convert::context;
use crate::method::Method;
use crate::start::StartError;

/// What is logged when nothing is said.
const FILTER: &str = "info";

/// Logs to standard error, one JSON object a line. `filter` is as in `RUST_LOG`; "" is `info`. Does nothing when the
/// process logs already.
///
/// # Errors
/// A filter that makes no sense.
pub fn log_json(filter: &str) -> Result<(), StartError> {
    let filter = EnvFilter::try_new(if filter.is_empty() { FILTER } else { filter })
        .map_err(|error| StartError::Logs(error.to_string()))?;
    let logs = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .try_init();
    if logs.is_err() {
        tracing::debug!("the process logs already");
    }
    Ok(())
}

/// The caller's span: trace, span, sampled.
pub(crate) type Parent = Option<(u128, u64, bool)>;

/// The `traceparent` for whoever is asked on a caller's behalf: below `own`, else below the caller's own span.
pub(crate) fn onward(traceparent: &str, own: Option<SpanId>) -> Option<AsciiMetadataValue> {
    let (trace, caller, sampled) = context::trace_parts(traceparent)?;
    let span = own.unwrap_or(SpanId::from_bytes(caller.to_be_bytes()));
    let header = format!("00-{trace:032x}-{span}-{:02x}", u8::from(sampled));
    header.try_into().ok()
}

/// One call, once it is answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Finished {
    pub method: Method,
    pub parent: Parent,
    /// How long it took in all …
    pub took: Duration,
    /// … and until it only waited for the disk.
    pub executed: Duration,
    /// Its span, when somebody was told of it before; else one is made.
    pub span: Option<SpanId>,
    /// Status code.
    pub code: i32,
}

/// Exports traces.
#[derive(Debug)]
pub(crate) struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Traces {
    /// Must be made inside a runtime.
    ///
    /// # Errors
    /// An endpoint that makes no sense.
    pub fn new(config: &TraceConfig) -> Result<Self, StartError> {
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(&config.endpoint)
            .build()
            .map_err(|error| StartError::Traces(error.to_string()))?;
        let sampler =
            Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample_ratio)));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(sampler)
            .with_resource(Resource::builder().with_service_name("bespeak").build())
            .build();
        let tracer = provider.tracer("bespeak-server");
        Ok(Self { provider, tracer })
    }

    /// A span for a call that somebody is told of before it is over.
    pub fn span_id(&self) -> SpanId {
        RandomIdGenerator::default().new_span_id()
    }

    /// Tells of a call. The span is made when it is over, so that a call that is not sampled costs little.
    pub fn record(&self, call: &Finished) {
        let parent = call
            .parent
            .map_or_else(Context::new, |(trace, span, sampled)| {
                let flags = if sampled {
                    TraceFlags::SAMPLED
                } else {
                    TraceFlags::default()
                };
                Context::new().with_remote_span_context(SpanContext::new(
                    TraceId::from_bytes(trace.to_be_bytes()),
                    SpanId::from_bytes(span.to_be_bytes()),
                    flags,
                    true,
                    TraceState::default(),
                ))
            });
        let end = SystemTime::now();
        let start = end.checked_sub(call.took).unwrap_or(end);
        let mut builder = self
            .tracer
            .span_builder(call.method.name())
            .with_kind(SpanKind::Server)
            .with_start_time(start);
        builder.span_id = call.span;
        let mut span = builder.start_with_context(&self.tracer, &parent);
        if span.is_recording() {
            span.set_attribute(KeyValue::new("rpc.system", "grpc"));
            span.set_attribute(KeyValue::new("rpc.method", call.method.name()));
            span.set_attribute(KeyValue::new("rpc.grpc.status_code", i64::from(call.code)));
            span.add_event_with_timestamp("executed", start + call.executed, Vec::new());
            if call.code != 0 {
                span.set_status(Status::error(format!(
                    "{:?}",
                    tonic::Code::from_i32(call.code)
                )));
            }
        }
        span.end_with_timestamp(end);
    }

    /// Sends what is left. Blocks.
    pub fn close(&self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_goes_on_below_the_span_that_is_told() {
        let own = SpanId::from_bytes([0, 1, 2, 3, 4, 5, 6, 7]);
        let trace = "0af7651916cd43dd8448eb211c80319c";
        for (given, own, told) in [
            ("b7ad6b7169203331-01", None, Some("b7ad6b7169203331-01")),
            ("b7ad6b7169203331-00", None, Some("b7ad6b7169203331-00")),
            (
                "b7ad6b7169203331-ff",
                Some(own),
                Some("0001020304050607-01"),
            ),
            ("0000000000000000-01", Some(own), None),
        ] {
            let onward = onward(&format!("00-{trace}-{given}"), own);
            let expected = told.map(|told| format!("00-{trace}-{told}"));
            assert_eq!(
                onward.map(|value| value.to_str().unwrap_or("").to_owned()),
                expected,
                "{given}"
            );
        }
    }
}
