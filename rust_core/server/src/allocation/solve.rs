//! Plans: by the search of this process, or by the worker with the search behind it.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use bespeak_allocation::input::NONE;
use bespeak_allocation::tables::{Names, Price};
use bespeak_allocation::{Budget, Problem, RowKind, Terms as SearchTerms};
use bespeak_proto::v1 as pb;

use super::seats::aside;
use super::tables::{Asked, decode};
use super::terms::{MADE_BY, Solver, Terms};
use super::worker::Worker;
use crate::error::ApiError;

/// Share of what is left of the caller's time that planning may take; the rest is for holds and the way back.
const SHARE: f64 = 0.8;
/// Least time for a plan, whatever the deadline: a feasible one is there at once.
const LEAST: Duration = Duration::from_millis(1);
/// Longest search when the worker did not answer.
const FALLBACK: Duration = Duration::from_millis(250);

/// On whose behalf a plan is made.
#[derive(Clone, Copy, Default)]
pub struct Caller<'a> {
    /// When it stops waiting.
    pub deadline: Option<Instant>,
    /// Whether it is gone.
    pub gone: Option<&'a AtomicBool>,
    /// Bytes of the largest answer that it takes; `None` is any.
    pub answer_bytes: Option<usize>,
    /// The worker, where there is one.
    pub worker: Option<&'a dyn Worker>,
    /// W3C trace id; 0 is none.
    pub trace_id: u128,
}

impl Caller<'_> {
    /// Whether nobody waits any more.
    pub fn is_gone(&self) -> bool {
        let late = self.deadline.is_some_and(|end| Instant::now() >= end);
        late || self
            .gone
            .is_some_and(|gone| gone.load(std::sync::atomic::Ordering::Relaxed))
    }

    /// Whether it takes an answer of so many bytes. Asked before anything is changed that the answer tells of.
    ///
    /// # Errors
    /// `MessageTooLarge`.
    pub fn takes(&self, bytes: usize) -> Result<(), ApiError> {
        match self.answer_bytes {
            Some(limit) if bytes > limit => Err(ApiError::MessageTooLarge {
                bytes: bytes as u64,
                limit: limit as u64,
            }),
            _ => Ok(()),
        }
    }

    /// When a plan must be there that may take so long from now.
    pub fn until(&self, budget: Duration) -> Instant {
        let now = Instant::now();
        let left = self.left(now);
        now + left.map_or(budget, |left| budget.min(left)).max(LEAST)
    }

    fn left(&self, now: Instant) -> Option<Duration> {
        let end = self.deadline?;
        Some(end.saturating_duration_since(now).mul_f64(SHARE))
    }
}

/// A plan.
#[derive(Debug, Clone)]
pub struct Found {
    /// Option by line.
    pub choice: Vec<u32>,
    /// No plan costs less.
    pub bound: i64,
    /// By row of the problem.
    pub prices: Vec<f64>,
    /// Those of stock.
    pub scarce: Vec<Price>,
    /// Who made it.
    pub made_by: String,
    /// The worker should have made it, and did not.
    pub fallback: bool,
}

/// Prices of stock.
fn scarce(problem: &Problem, prices: &[f64]) -> Vec<Price> {
    let rows = problem.rows().iter().zip(prices);
    let stock = rows.filter_map(|(row, minor)| match row.kind {
        RowKind::Stock {
            item,
            location,
            class,
        } => Some(Price {
            item,
            location,
            class,
            minor: *minor,
        }),
        RowKind::Window(_) => None,
    });
    stock.filter(|price| price.minor > 0.0).collect()
}

/// Plans by the search of this process.
///
/// # Errors
/// `Internal` when there is no thread.
pub fn search(
    problem: &Problem,
    terms: &Terms,
    caller: &Caller<'_>,
    until: Instant,
) -> Result<Found, ApiError> {
    search_from(problem, terms, None, caller, until)
}

/// As [`search`], from a plan that is feasible already.
///
/// # Errors
/// As [`search`].
pub fn search_from(
    problem: &Problem,
    terms: &Terms,
    start: Option<Vec<u32>>,
    caller: &Caller<'_>,
    until: Instant,
) -> Result<Found, ApiError> {
    let how = SearchTerms {
        policy: terms.policy,
        floors: terms.floors.clone(),
        start,
        ..SearchTerms::default()
    };
    let budget = Budget {
        until,
        cancelled: caller.gone,
    };
    let solution = aside(|| problem.search(&how, &budget))?;
    Ok(Found {
        scarce: scarce(problem, &solution.prices),
        choice: solution.choice,
        bound: solution.bound,
        prices: solution.prices,
        made_by: MADE_BY.to_owned(),
        fallback: false,
    })
}

/// Plans a whole batch as its terms say.
///
/// # Errors
/// `ComputeRefused` when the worker says that the request is wrong.
pub fn plan(
    (problem, names): (&Problem, &Names),
    terms: &Terms,
    asked: &Asked,
    caller: &Caller<'_>,
    started: Instant,
) -> Result<Found, ApiError> {
    let Solver::Worker(name) = &terms.solver else {
        let until = caller.until(terms.budget.saturating_sub(started.elapsed()));
        return search(problem, terms, caller, until);
    };
    if let Some(worker) = caller.worker
        && let Some(answer) = ask(worker, name, (problem, names), terms, asked, caller)?
    {
        match read_plan(problem, names, answer) {
            Ok(found) => return Ok(found),
            Err(error) => tracing::warn!(%error, "the worker's plan cannot be used"),
        }
    }
    let until = caller.until(terms.budget.min(FALLBACK));
    Ok(Found {
        fallback: true,
        ..search(problem, terms, caller, until)?
    })
}

fn ask(
    worker: &dyn Worker,
    name: &str,
    (problem, names): (&Problem, &Names),
    terms: &Terms,
    asked: &Asked,
    caller: &Caller<'_>,
) -> Result<Option<pb::ComputeServiceAllocateResponse>, ApiError> {
    let request = request(name, (problem, names), terms, asked)?;
    worker.allocate(request, terms.budget, caller.deadline)
}

fn request(
    name: &str,
    (problem, names): (&Problem, &Names),
    terms: &Terms,
    asked: &Asked,
) -> Result<pb::ComputeServiceAllocateRequest, ApiError> {
    let encode = |batch: &Option<arrow_array::RecordBatch>| match batch {
        Some(batch) => crate::compute::ipc::write(batch).map(bytes::Bytes::from),
        None => Ok(bytes::Bytes::new()),
    };
    let policy = match terms.policy {
        bespeak_allocation::Policy::Cost => pb::ShortagePolicy::Cost,
        bespeak_allocation::Policy::Tiers => pb::ShortagePolicy::Tiers,
        bespeak_allocation::Policy::FairShare => pb::ShortagePolicy::FairShare,
        bespeak_allocation::Policy::MaxMin => pb::ShortagePolicy::MaxMin,
    };
    let floor = |floor: &bespeak_allocation::Floor| pb::TierFloor {
        tier: floor.tier.into(),
        fill_ppm: floor.fill_ppm,
    };
    Ok(pb::ComputeServiceAllocateRequest {
        solver: name.to_owned(),
        orders: asked.orders.clone(),
        options: encode(&asked.tables.options)?,
        packages: encode(&asked.tables.packages)?,
        stock: crate::compute::ipc::write(&super::stock::table(problem.input(), names)?)?.into(),
        budget_ms: u32::try_from(terms.budget.as_millis()).unwrap_or(u32::MAX),
        // Costs said one by one have no more of it than the capacity. What it keeps back is in the stock.
        network: Some(pb::Network {
            protection: bytes::Bytes::new(),
            ..asked.network.clone()
        }),
        shortage: policy.into(),
        floors: terms.floors.iter().map(floor).collect(),
    })
}

/// The worker's plan by number. Nothing of it is trusted.
fn read_plan(
    problem: &Problem,
    names: &Names,
    answer: pb::ComputeServiceAllocateResponse,
) -> Result<Found, ApiError> {
    let choice = match decode("plan", &answer.plan)? {
        Some(plan) => choice(problem, names, &plan)?,
        None => vec![NONE; problem.input().lines.len()],
    };
    problem
        .check(&choice)
        .map_err(|broken| ApiError::Internal(format!("it breaks a limit: {broken}")))?;
    let cost = problem.costs(&choice).total;
    let origin = answer.origin.unwrap_or_default();
    let prices = prices(problem, names, &answer.prices)?;
    Ok(Found {
        bound: answer.bound_minor.min(cost),
        scarce: scarce(problem, &prices),
        prices,
        choice,
        made_by: format!("{}@{}", origin.name, origin.version),
        fallback: origin.source() == pb::ComputeSource::Fallback,
    })
}

fn numbered(names: &[String]) -> HashMap<&str, u32> {
    names.iter().map(String::as_str).zip(0..).collect()
}

fn choice(
    problem: &Problem,
    names: &Names,
    plan: &arrow_array::RecordBatch,
) -> Result<Vec<u32>, ApiError> {
    use crate::compute::ipc;
    let input = problem.input();
    let orders = numbered(&names.orders);
    let locations = numbered(&names.locations);
    let services = numbered(&names.services);
    let ways = problem.options().iter().zip(0u32..);
    let ways: HashMap<(u32, u32), u32> = ways
        .map(|(way, number)| ((way.location, way.service), number))
        .collect();
    let (ids, places) = (
        ipc::texts("plan", plan, "order_id")?,
        ipc::texts("plan", plan, "location")?,
    );
    let by = ipc::texts("plan", plan, "service")?;
    let numbers = ipc::integers(
        "plan",
        plan,
        "line",
        i64::from(i32::MIN)..=i64::from(i32::MAX),
    )?;
    let quantities = ipc::integers("plan", plan, "quantity", 1..=i64::MAX)?;
    let mut choice = vec![NONE; input.lines.len()];
    for row in 0..plan.num_rows() {
        let wrong = |what: &str| ApiError::Internal(format!("row {row} of the plan: {what}"));
        let text = |texts: Option<&str>| texts.map(str::to_owned).ok_or_else(|| wrong("a null"));
        let order = orders.get(text(ids.get(row))?.as_str()).copied();
        let order = order.ok_or_else(|| wrong("no such order"))?;
        let lines = &input.orders[order as usize].lines;
        let mut lines = lines.start as usize..lines.end as usize;
        let line = lines.find(|line| i64::from(names.lines[*line]) == numbers[row]);
        let line = line.ok_or_else(|| wrong("no such line"))?;
        let location = locations.get(text(places.get(row))?.as_str()).copied();
        let service = services.get(text(by.get(row))?.as_str()).copied();
        let way = location
            .zip(service)
            .and_then(|key| ways.get(&key).copied());
        let way = way.ok_or_else(|| wrong("no such way"))?;
        if choice[line] != NONE || quantities[row] != input.lines[line].quantity {
            return Err(wrong("a line in parts"));
        }
        choice[line] = way;
    }
    Ok(choice)
}

fn prices(problem: &Problem, names: &Names, table: &[u8]) -> Result<Vec<f64>, ApiError> {
    use crate::compute::ipc;
    let mut prices = vec![0.0; problem.rows().len()];
    let Some(batch) = decode("prices", table)? else {
        return Ok(prices);
    };
    let (items, locations) = (numbered(&names.items), numbered(&names.locations));
    let rows = problem.rows().iter().enumerate();
    let rows: HashMap<(u32, u32, u8), usize> = rows
        .filter_map(|(at, row)| match row.kind {
            RowKind::Stock {
                item,
                location,
                class,
            } => Some(((item, location, class), at)),
            RowKind::Window(_) => None,
        })
        .collect();
    let (things, places) = (
        ipc::texts("prices", &batch, "item")?,
        ipc::texts("prices", &batch, "location")?,
    );
    let classes = ipc::integers("prices", &batch, "class", 0..=7)?;
    let values = ipc::numbers(
        "prices",
        "price_minor",
        ipc::column("prices", &batch, "price_minor")?,
    )?;
    for row in 0..batch.num_rows() {
        let key = |names: &HashMap<&str, u32>, text: Option<&str>| names.get(text?).copied();
        let item = key(&items, things.get(row));
        let location = key(&locations, places.get(row));
        let class = u8::try_from(classes[row]).unwrap_or(u8::MAX);
        let found = item
            .zip(location)
            .and_then(|(item, location)| rows.get(&(item, location, class)));
        if let (Some(at), Some(value)) = (found, values[row]) {
            prices[*at] = value.max(0.0);
        }
    }
    Ok(prices)
}
