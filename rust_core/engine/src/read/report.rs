//! Availability for reports, in the modes of the textbooks. Signed: only promising clips at zero.

use crate::decide;
use crate::ids::{ItemId, LocationId, PositionId, Units, UtcMillis};
use crate::limits::{MAX_HORIZON_MS, MAX_REPORT_BUCKETS};
use crate::refusal::EngineError;
use crate::state::State;
use crate::timeline::EntryRef;

/// How availability is worked out from the supply and demand of each bucket.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum AvailabilityMode {
    /// The lowest projected balance from the bucket on: what promises use.
    Lookahead = 1,
    /// A bucket with supply shows what is left of it after the demand until the next bucket with supply; stock on
    /// hand is supply of the first bucket, and buckets without supply show 0.
    Discrete = 2,
    /// The projected balance at the end of the bucket.
    Cumulative = 3,
    /// What is left of the bucket's own supply when a shortage first consumes the nearest earlier surplus.
    Backward = 4,
    /// The same, with what is left of earlier buckets added.
    BackwardAccumulate = 5,
}

/// Availability by bucket. `supply` and `demand` hold the units of each bucket, `on_hand` is before the first one.
///
/// # Panics
/// When the two are not of the same length.
pub fn availability(
    mode: AvailabilityMode,
    on_hand: i64,
    supply: &[i64],
    demand: &[i64],
) -> Vec<i64> {
    assert_eq!(supply.len(), demand.len(), "one demand a supply");
    match mode {
        AvailabilityMode::Lookahead => lookahead(on_hand, supply, demand),
        AvailabilityMode::Discrete => discrete(on_hand, supply, demand),
        AvailabilityMode::Cumulative => cumulative(on_hand, supply, demand),
        AvailabilityMode::Backward => backward(on_hand, supply, demand),
        AvailabilityMode::BackwardAccumulate => {
            let mut sum = 0;
            let left = backward(on_hand, supply, demand);
            // A shortage that is left has consumed every surplus before it, so there is no sum to lower.
            left.iter()
                .map(|left| {
                    sum += left.max(&0);
                    sum + left.min(&0)
                })
                .collect()
        }
    }
}

fn cumulative(on_hand: i64, supply: &[i64], demand: &[i64]) -> Vec<i64> {
    let mut balance = on_hand;
    let buckets = supply.iter().zip(demand);
    buckets
        .map(|(supply, demand)| {
            balance += supply - demand;
            balance
        })
        .collect()
}

fn lookahead(on_hand: i64, supply: &[i64], demand: &[i64]) -> Vec<i64> {
    let mut balances = cumulative(on_hand, supply, demand);
    let mut lowest = i64::MAX;
    for balance in balances.iter_mut().rev() {
        lowest = lowest.min(*balance);
        *balance = lowest;
    }
    balances
}

fn discrete(on_hand: i64, supply: &[i64], demand: &[i64]) -> Vec<i64> {
    let mut left = vec![0; supply.len()];
    let mut holder = 0;
    for (bucket, (supply, demand)) in supply.iter().zip(demand).enumerate() {
        if *supply != 0 {
            holder = bucket;
        }
        left[holder] += supply - demand;
    }
    if let Some(first) = left.first_mut() {
        *first += on_hand;
    }
    left
}

fn backward(on_hand: i64, supply: &[i64], demand: &[i64]) -> Vec<i64> {
    let mut left: Vec<i64> = supply.iter().zip(demand).map(|(s, d)| s - d).collect();
    if let Some(first) = left.first_mut() {
        *first += on_hand;
    }
    // Buckets with a surplus, so that each is looked at until it is used up and then never again.
    let mut surplus: Vec<usize> = Vec::new();
    for bucket in 0..left.len() {
        while left[bucket] < 0
            && let Some(&earlier) = surplus.last()
        {
            let taken = left[earlier].min(-left[bucket]);
            left[earlier] -= taken;
            left[bucket] += taken;
            if left[earlier] == 0 {
                surplus.pop();
            }
        }
        if left[bucket] > 0 {
            surplus.push(bucket);
        }
    }
    left
}

/// One bucket of a report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReportBucket {
    /// Its first instant.
    pub from: UtcMillis,
    /// Units of receipts that count from within it.
    pub supply: i64,
    /// Units of commitments that ship within it.
    pub demand: i64,
    /// By the mode of the report, net of the buffer.
    pub available: i64,
}

/// Availability of one position over time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AvailabilityReport {
    /// Stock that counts, with receipts before the first bucket added and commitments before it taken off.
    pub on_hand: i64,
    /// Kept back from the start.
    pub buffer: Units,
    /// The buckets, in order.
    pub buckets: Vec<ReportBucket>,
}

impl State {
    /// A report over buckets of `bucket_ms` from `from` on. A bucket ends just before the next one starts.
    ///
    /// In the mode `Lookahead` the value of a bucket, clipped at zero, is what can be promised at its last instant:
    /// a shortage inside a later bucket counts, and so does what comes after the last one.
    ///
    /// # Errors
    /// `UnknownItem`, `UnknownLocation`; `InvalidArgument` when a number is out of its range.
    pub fn report(
        &self,
        item: ItemId,
        location: LocationId,
        mode: AvailabilityMode,
        from: UtcMillis,
        bucket_ms: i64,
        buckets: u32,
    ) -> Result<AvailabilityReport, EngineError> {
        decide::check_item(self, item)?;
        decide::check_location(self, location)?;
        let count = buckets as usize;
        check_range("buckets", count as i64, 1, MAX_REPORT_BUCKETS as i64)?;
        check_range("bucket_ms", bucket_ms, 1, MAX_HORIZON_MS)?;
        decide::check_future(self, "from_time_ms", from)?;
        let mut supply = vec![0; count];
        let mut demand = vec![0; count];
        let mut report = AvailabilityReport {
            on_hand: 0,
            buffer: Units::ZERO,
            buckets: Vec::with_capacity(count),
        };
        let start_of = |bucket: usize| from.plus(bucket_ms.saturating_mul(bucket as i64));
        let position = self.position_id(item, location);
        if let Some(id) = position {
            report.buffer = self.position(id).buffer;
            report.on_hand = self.fill_buckets(id, from, bucket_ms, &mut supply, &mut demand);
        }
        let available = match (mode, position) {
            (AvailabilityMode::Lookahead, Some(id)) => (1..=count)
                .map(|next| self.position(id).lowest_net(start_of(next).plus(-1)))
                .collect(),
            _ => {
                let start = report.on_hand - report.buffer.balance();
                availability(mode, start, &supply, &demand)
            }
        };
        for (bucket, value) in available.into_iter().enumerate() {
            report.buckets.push(ReportBucket {
                from: start_of(bucket),
                supply: supply[bucket],
                demand: demand[bucket],
                available: value,
            });
        }
        Ok(report)
    }

    /// Sorts the planned movements of a position into buckets; the balance before the first one.
    fn fill_buckets(
        &self,
        id: PositionId,
        from: UtcMillis,
        bucket_ms: i64,
        supply: &mut [i64],
        demand: &mut [i64],
    ) -> i64 {
        let position = self.position(id);
        let mut before = position.base + position.buffer.balance();
        for entry in position.timeline.iter() {
            if entry.time < from {
                before += entry.quantity;
                continue;
            }
            let bucket = ((entry.time.get() - from.get()) / bucket_ms) as usize;
            let side = match entry.key.unpack() {
                EntryRef::Receipt(_) => supply.get_mut(bucket),
                EntryRef::Commitment(..) => demand.get_mut(bucket),
            };
            let Some(side) = side else {
                break;
            };
            *side += entry.quantity.abs();
        }
        before
    }
}

fn check_range(field: &'static str, value: i64, least: i64, most: i64) -> Result<(), EngineError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(EngineError::InvalidArgument {
        field,
        value: value.to_string(),
        rule: "buckets: 1 to 3660 of 1 ms to 3 years each are allowed",
    })
}
