//! What a search is asked, and what it answers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Who comes first in a shortage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// The plan that costs least.
    #[default]
    Cost,
    /// As many lines of tier 0 as can be, then of tier 1, and so on; then cost.
    Tiers,
    /// First shares of short items by segment, pro rata of what they want; then what is left, by cost.
    FairShare,
    /// The lowest customer's share of lines as high as can be; then cost.
    MaxMin,
}

/// A tier's share of lines that must be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floor {
    /// The tier.
    pub tier: u8,
    /// Share of its lines, in millionths.
    pub fill_ppm: u32,
}

/// What a search is to do.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// Who comes first in a shortage.
    pub policy: Policy,
    /// Shares that tiers must reach. Where the search finds no plan that does, it returns the one that comes nearest.
    pub floors: Vec<Floor>,
    /// Prices to start from, by row.
    pub prices: Option<Vec<f64>>,
    /// Fractional plans: the order, options of its lines, weight from 0 to 1.
    pub bias: Option<Vec<(u32, Vec<u32>, f64)>>,
    /// A feasible choice to improve.
    pub start: Option<Vec<u32>>,
    /// Seed of what is tried at random.
    pub seed: u64,
}

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub struct Budget<'a> {
    /// At the latest.
    pub until: Instant,
    /// At once when it is set.
    pub cancelled: Option<&'a AtomicBool>,
}

impl Budget<'_> {
    /// Whether to stop.
    pub fn spent(&self) -> bool {
        self.cancelled
            .is_some_and(|cancelled| cancelled.load(Ordering::Relaxed))
            || Instant::now() >= self.until
    }

    /// What is left.
    pub(crate) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

/// A feasible plan and what is known of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Solution {
    /// Option by line; [`crate::input::NONE`] where it is not served.
    pub choice: Vec<u32>,
    /// What it costs.
    pub cost: i64,
    /// No plan costs less. It is about cost alone: other policies may have to cost more.
    pub bound: i64,
    /// What one more unit of each limit is worth, by row.
    pub prices: Vec<f64>,
    /// Since the start: when a plan of that cost was found. The first is the first feasible one, the last is `cost`.
    pub trace: Vec<(Duration, i64)>,
}

/// Best plans of all orders at prices, each for itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plans {
    /// By order: cost of its plan and what it pays for limits.
    pub values: Vec<f64>,
    /// By line: option.
    pub choice: Vec<u32>,
}

/// The plan of one order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OrderPlan {
    /// Cost of the plan and what it pays for limits.
    pub value: f64,
    /// Cost of the plan.
    pub cost: i64,
    /// By line of the order: option.
    pub choice: Vec<u32>,
}
