//! Prometheus text of everything that is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bespeak_journal::HistogramSnapshot;
use bespeak_proto::v1::Refusal;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::process::Process;
use super::{Metrics, SHED, TURNED};
use crate::method::Method;

/// What the partition knows of itself at one moment.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Whether requests are served.
    pub serving: bool,
    /// Records that replay still has to apply, as far as known.
    pub replay_lag: u64,
    /// Most that there may be, by what is limited.
    pub limits: Vec<(&'static str, u64)>,
    /// Named numbers that may go down: name, help, value.
    pub gauges: Vec<(&'static str, &'static str, i64)>,
    /// Named numbers that only rise: name, help, value.
    pub counters: Vec<(&'static str, &'static str, u64)>,
    /// Microseconds of each write with its sync.
    pub sync_us: Option<HistogramSnapshot>,
    /// Records of each batch.
    pub batch_records: Option<HistogramSnapshot>,
}

/// Codes by which a call failed by the server's fault. They are told from the start: a series that is born with the first
/// failures shows no rise, and no alert would count them.
const SERVER_ERRORS: [usize; 6] = [
    tonic::Code::Unknown as usize,
    tonic::Code::DeadlineExceeded as usize,
    tonic::Code::ResourceExhausted as usize,
    tonic::Code::Internal as usize,
    tonic::Code::Unavailable as usize,
    tonic::Code::DataLoss as usize,
];

/// Gives the partition's numbers, while there is one.
pub type Observe = Arc<dyn Fn() -> Observed + Send + Sync>;

/// Makes the page.
#[derive(Clone)]
pub struct Text {
    metrics: Arc<Metrics>,
    observe: Observe,
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Text").finish_non_exhaustive()
    }
}

impl Text {
    /// A page of these counters and of what the partition tells.
    pub fn new(metrics: Arc<Metrics>, observe: Observe) -> Self {
        Self { metrics, observe }
    }

    /// The page in the OpenMetrics text format.
    pub fn render(&self) -> String {
        let mut own = Registry::with_prefix("bespeak");
        own.register_collector(Box::new(self.clone()));
        let mut every = Registry::default();
        every.register_collector(Box::new(Process));
        let mut page = String::new();
        let made = encode_registry(&mut page, &own)
            .and_then(|()| encode_registry(&mut page, &every))
            .and_then(|()| encode_eof(&mut page));
        // Writing to a String does not fail; an empty page would be seen by whoever scrapes it.
        if made.is_err() {
            page.clear();
        }
        page
    }

    fn methods(&self, out: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        let methods = || Method::ALL.iter().zip(&self.metrics.methods);
        let help = "Time from a call's headers to its answer";
        let mut family =
            out.encode_descriptor("request_seconds", help, None, MetricType::Histogram)?;
        for (method, counters) in methods() {
            let (sum, count, buckets) = counters.latency.snapshot();
            if count > 0 {
                family
                    .encode_family(&[("method", method.name())])?
                    .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
            }
        }
        let help = "Calls answered";
        let mut family = out.encode_descriptor("requests", help, None, MetricType::Counter)?;
        for (method, counters) in methods() {
            for (code, count) in counters.codes.iter().enumerate() {
                let count = count.load(Ordering::Relaxed);
                if count > 0 || SERVER_ERRORS.contains(&code) {
                    let labels = [
                        ("method", method.name().to_owned()),
                        ("code", code_name(code)),
                    ];
                    family
                        .encode_family(&labels)?
                        .encode_counter::<NoLabelSet, u64, f64>(&count, None)?;
                }
            }
        }
        let help = "Lines and steps refused";
        let mut family = out.encode_descriptor("refusals", help, None, MetricType::Counter)?;
        for (number, count) in self.metrics.refusals.iter().enumerate().skip(1) {
            let count = count.load(Ordering::Relaxed);
            let name = i32::try_from(number)
                .ok()
                .and_then(|number| Refusal::try_from(number).ok());
            let name = name.map_or("", |refusal| {
                refusal.as_str_name().trim_start_matches("REFUSAL_")
            });
            family
                .encode_family(&[("refusal", name)])?
                .encode_counter::<NoLabelSet, u64, f64>(&count, None)?;
        }
        Ok(())
    }

    fn own(&self, out: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        let m = &self.metrics;
        for (name, help, value) in [
            (
                "requests_in_flight",
                "Requests taken up and not yet answered",
                &m.in_flight,
            ),
            ("connections", "Open connections", &m.connections),
            ("streams", "Open long-lived streams", &m.open_streams),
        ] {
            gauge(out, name, help, value.load(Ordering::Relaxed))?;
        }
        for (name, help, value) in [
            (
                "connections_opened",
                "Connections accepted",
                &m.connections_opened,
            ),
            (
                "rows_checked",
                "Rows of Arrow batches checked",
                &m.rows_checked,
            ),
            (
                "rows_reserved",
                "Rows of Arrow batches reserved or refused",
                &m.rows_reserved,
            ),
            (
                "rows_supplied",
                "Rows of Arrow batches of supply events",
                &m.rows_supplied,
            ),
            (
                "compute_fallbacks",
                "Answers made by a fallback",
                &m.fallbacks,
            ),
            ("watch_resyncs", "Watchers told to check again", &m.resyncs),
        ] {
            counter(out, name, help, value.load(Ordering::Relaxed))?;
        }
        counters(
            out,
            "connections_refused",
            "Connections refused, or lost in their handshake",
            ("reason", &TURNED),
            &m.connections_refused,
        )?;
        counters(
            out,
            "requests_shed",
            "Requests refused at a limit",
            ("reason", &SHED),
            &m.shed,
        )
    }

    fn observed(&self, out: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        let seen = (self.observe)();
        gauge(
            out,
            "serving",
            "1 while requests are served",
            i64::from(seen.serving),
        )?;
        let lag = i64::try_from(seen.replay_lag).unwrap_or(i64::MAX);
        gauge(
            out,
            "replay_lag_records",
            "Records still to be replayed",
            lag,
        )?;
        let help = "Most that there may be";
        let mut family = out.encode_descriptor("limit", help, None, MetricType::Gauge)?;
        for (what, most) in seen.limits {
            family.encode_family(&[("of", what)])?.encode_gauge(&most)?;
        }
        for (name, help, value) in seen.gauges {
            gauge(out, name, help, value)?;
        }
        for (name, help, value) in seen.counters {
            counter(out, name, help, value)?;
        }
        if let Some(sync) = &seen.sync_us {
            journal_histogram(
                out,
                "journal_sync_seconds",
                "Time of a write with its sync",
                sync,
                1e-6,
            )?;
        }
        if let Some(records) = &seen.batch_records {
            journal_histogram(
                out,
                "journal_batch_records",
                "Records of a batch",
                records,
                1.0,
            )?;
        }
        Ok(())
    }
}

impl Collector for Text {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> std::fmt::Result {
        self.methods(&mut out)?;
        self.own(&mut out)?;
        self.metrics.allocation.encode(&mut out)?;
        self.observed(&mut out)
    }
}

fn gauge(out: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: i64) -> std::fmt::Result {
    out.encode_descriptor(name, help, None, MetricType::Gauge)?
        .encode_gauge(&value)
}

pub(super) fn counter(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: u64,
) -> std::fmt::Result {
    out.encode_descriptor(name, help, None, MetricType::Counter)?
        .encode_counter::<NoLabelSet, u64, f64>(&value, None)
}

/// A counter by one label, each value of which is there from the start.
fn counters(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    (label, values): (&str, &[&str]),
    counts: &[AtomicU64],
) -> std::fmt::Result {
    let mut family = out.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (value, count) in values.iter().zip(counts) {
        family
            .encode_family(&[(label, *value)])?
            .encode_counter::<NoLabelSet, u64, f64>(&count.load(Ordering::Relaxed), None)?;
    }
    Ok(())
}

/// The journal's buckets are too many for a page: they are gathered into powers of two.
fn journal_histogram(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    from: &HistogramSnapshot,
    scale: f64,
) -> std::fmt::Result {
    const POWERS: u32 = 24;
    let mut buckets: Vec<(f64, u64)> = (0..POWERS)
        .map(|power| ((1u64 << power) as f64 * scale, 0))
        .collect();
    buckets.push((f64::MAX, 0));
    for &(bound, count) in &from.buckets {
        let power = bound.max(1).next_power_of_two().ilog2().min(POWERS) as usize;
        buckets[power].1 += count;
    }
    out.encode_descriptor(name, help, None, MetricType::Histogram)?
        .encode_histogram::<NoLabelSet>(from.sum as f64 * scale, from.count, &buckets, None)
}

fn code_name(code: usize) -> String {
    let code = i32::try_from(code).unwrap_or(2);
    format!("{:?}", tonic::Code::from_i32(code))
}
