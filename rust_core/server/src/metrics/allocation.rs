//! What is counted of plans.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bespeak_proto::v1 as pb;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::Latency;
use super::encode::counter;

/// Solvers by name; whatever else a worker offers is counted together.
const SOLVERS: [&str; 4] = ["search", "column-generation", "min-cost-flow", "other"];
/// Whether who was asked made the plan.
const OUTCOMES: [&str; 2] = ["planned", "fallback"];

/// Counters of plans.
#[derive(Debug, Default)]
pub struct Allocations {
    plans: [[AtomicU64; OUTCOMES.len()]; SOLVERS.len()],
    seconds: Latency,
    /// Share of the cost that may be saved at most: a millionth is kept as a microsecond.
    gap: Latency,
    orders: AtomicU64,
    lines: AtomicU64,
    filled: AtomicU64,
    packages: AtomicU64,
    replanned: AtomicU64,
    held: AtomicU64,
    replayed: AtomicU64,
    moved: AtomicU64,
}

impl Allocations {
    /// Counts a plan.
    pub fn planned(&self, plan: &pb::AllocateResponse, took: Duration) {
        let name = plan.made_by.split('@').next().unwrap_or("");
        let last = SOLVERS.len() - 1;
        let solver = SOLVERS
            .iter()
            .position(|solver| *solver == name)
            .unwrap_or(last);
        self.plans[solver][usize::from(plan.fallback)].fetch_add(1, Ordering::Relaxed);
        self.seconds.record(took);
        let over = plan.objective_minor.saturating_sub(plan.bound_minor).max(0);
        let gap = over as f64 / plan.objective_minor.max(1) as f64;
        self.gap
            .record(Duration::from_secs_f64(gap.clamp(0.0, 1.0)));
        let add = |counter: &AtomicU64, count: usize| {
            counter.fetch_add(count as u64, Ordering::Relaxed);
        };
        add(&self.orders, plan.orders as usize);
        add(&self.lines, plan.lines as usize);
        add(&self.filled, plan.lines_filled as usize);
        add(&self.packages, plan.packages as usize);
        let held = plan.held.iter().filter(|order| order.reservation_id != 0);
        let replayed = held.clone().filter(|order| order.replayed).count();
        add(&self.held, held.count() - replayed);
        add(&self.replayed, replayed);
    }

    /// Counts orders that were planned again because their plan no longer fit.
    pub fn replanned(&self, orders: u64) {
        self.replanned.fetch_add(orders, Ordering::Relaxed);
    }

    /// Counts orders that got another hold.
    pub fn moved(&self, orders: u64) {
        self.moved.fetch_add(orders, Ordering::Relaxed);
    }

    pub(super) fn encode(&self, out: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        let mut family = out.encode_descriptor("plans", "Plans made", None, MetricType::Counter)?;
        for (solver, counts) in SOLVERS.iter().zip(&self.plans) {
            for (outcome, count) in OUTCOMES.iter().zip(counts) {
                let labels = [("solver", *solver), ("outcome", *outcome)];
                family
                    .encode_family(&labels)?
                    .encode_counter::<NoLabelSet, u64, f64>(&count.load(Ordering::Relaxed), None)?;
            }
        }
        for (name, help, values) in [
            (
                "plan_seconds",
                "Time from a plan's request to its answer, holds included",
                &self.seconds,
            ),
            (
                "plan_gap_ratio",
                "Share of a plan's cost that another could save at most",
                &self.gap,
            ),
        ] {
            let (sum, count, buckets) = values.snapshot();
            out.encode_descriptor(name, help, None, MetricType::Histogram)?
                .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        for (name, help, count) in [
            ("plan_orders", "Orders planned", &self.orders),
            ("plan_lines", "Order lines planned", &self.lines),
            (
                "plan_lines_filled",
                "Order lines that a plan serves",
                &self.filled,
            ),
            ("plan_packages", "Packages of plans", &self.packages),
            (
                "plan_replans",
                "Orders planned again, since their stock was gone",
                &self.replanned,
            ),
            ("plan_holds", "Orders held as planned", &self.held),
            (
                "plan_holds_replayed",
                "Orders that were held before under the same request id",
                &self.replayed,
            ),
            (
                "plan_moves",
                "Open orders moved to a better plan",
                &self.moved,
            ),
        ] {
            counter(out, name, help, count.load(Ordering::Relaxed))?;
        }
        Ok(())
    }
}
