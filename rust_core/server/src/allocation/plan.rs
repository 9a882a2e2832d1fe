//! One plan from its request to its answer.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bespeak_allocation::input::NONE;
use bespeak_allocation::{Problem, RowKind};
use bespeak_proto::v1 as pb;

use super::batch::{Batch, expand, subset};
use super::hold::{Holding, Holds, Outcome};
use super::replayed::{self, Places};
use super::seats::aside;
use super::snapshot::{self, Known};
use super::solve::{self, Caller, Found};
use super::tables::{self, Asked};
use super::terms::Terms;
use super::{answer, claims};
use crate::api::Api;
use crate::error::ApiError;

/// A request that is read, and the batch that it is about.
#[derive(Debug)]
pub struct Prepared {
    /// When it was taken up.
    pub started: Instant,
    /// How to plan.
    pub terms: Terms,
    /// The tables as they came.
    pub asked: Asked,
    /// The batch.
    pub batch: Batch,
}

/// Reads a request and sees the stock that it is about.
///
/// # Errors
/// `InvalidArgument` naming what makes no sense. `revision` is raised to what was seen in any case.
pub fn prepare(
    api: &Api,
    request: &pb::AllocateRequest,
    revision: &mut u64,
) -> Result<Prepared, ApiError> {
    let started = Instant::now();
    let terms = Terms::read(request)?;
    let asked = || tables::asked(&api.desk().networks, request);
    prepare_from(api, (started, terms), asked, revision)
}

/// As [`prepare`], from tables that are made on the way.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_from(
    api: &Api,
    (started, terms): (Instant, Terms),
    asked: impl FnOnce() -> Result<Asked, ApiError> + Send,
    revision: &mut u64,
) -> Result<Prepared, ApiError> {
    let (asked, (mut input, names)) = aside(|| {
        let asked = asked()?;
        let read = tables::read(&asked.tables)?;
        Ok::<_, ApiError>((asked, read))
    })??;
    let known = Known::find(api, &names, revision)?;
    let own_stock = asked.tables.stock.is_none();
    if own_stock {
        snapshot::fill(api, &known, &names, &mut input, &HashMap::new(), revision)?;
    }
    let problem = aside(|| expand(input, &names))??;
    Ok(Prepared {
        started,
        terms,
        asked,
        batch: Batch {
            problem,
            names,
            known,
            own_stock,
            revision: *revision,
        },
    })
}

/// Plans, and holds when asked to.
///
/// # Errors
/// A request that makes no sense, an answer that would be too large, a partition that takes no hold: nothing was held by
/// this call then. Once something is, it is answered, with orders that were not reached as such: an error would say that
/// nothing was done, and a caller that sends its orders again under another id would hold them twice.
pub fn allocate(
    api: &Api,
    request: &pb::AllocateRequest,
    caller: &Caller<'_>,
    revision: &mut u64,
) -> Result<pb::AllocateResponse, ApiError> {
    let holding = match &request.hold {
        Some(asked) => Some(Holding::read(asked, caller.trace_id)?),
        None => None,
    };
    let mut prepared = prepare(api, request, revision)?;
    let orders = prepared.batch.input().orders.len();
    let holdings = holding.as_ref().map(|holding| vec![holding; orders]);
    let done = carry_out(api, &mut prepared, holdings.as_deref(), caller, revision)?;
    if let Some(error) = &done.stopped {
        tracing::warn!(%error, orders, "a batch is held in part");
    }
    Ok(done.answer)
}

/// A plan that was carried out.
#[derive(Debug)]
pub struct Done {
    /// Option by line.
    pub choice: Vec<u32>,
    /// By order; empty when nothing was to be held.
    pub outcomes: Vec<Outcome>,
    /// Why orders were not reached after others had been held.
    pub stopped: Option<ApiError>,
    /// What a caller is told of the whole.
    pub answer: pb::AllocateResponse,
}

/// Plans a batch, and holds it when that is asked of its orders.
///
/// # Errors
/// As [`allocate`].
pub fn carry_out(
    api: &Api,
    prepared: &mut Prepared,
    holdings: Option<&[&Holding]>,
    caller: &Caller<'_>,
    revision: &mut u64,
) -> Result<Done, ApiError> {
    let (found, choice, outcomes, stopped) = match holdings {
        None => {
            let found = plan(prepared, caller)?;
            let choice = found.choice.clone();
            (found, choice, Vec::new(), None)
        }
        Some(holdings) => held(api, prepared, holdings, caller, revision)?,
    };
    let Prepared { terms, batch, .. } = &*prepared;
    *revision = batch.revision.max(*revision);
    if terms.publish {
        api.desk().prices.publish(&batch.known, &found.scarce);
    }
    let mut answer = answer::answer(batch, &choice, &found, terms)?;
    answer.held = answer::held(batch, &outcomes);
    let metrics = &api.metrics().allocation;
    metrics.planned(&answer, prepared.started.elapsed());
    if found.fallback {
        api.metrics().fallbacks.fetch_add(1, Ordering::Relaxed);
    }
    Ok(Done {
        choice,
        outcomes,
        stopped,
        answer,
    })
}

/// Plans all of a batch.
///
/// # Errors
/// As [`solve::plan`].
pub fn plan(prepared: &Prepared, caller: &Caller<'_>) -> Result<Found, ApiError> {
    let Prepared {
        started,
        terms,
        asked,
        batch,
    } = prepared;
    solve::plan(
        (&batch.problem, &batch.names),
        terms,
        asked,
        caller,
        *started,
    )
}

type HeldPlan = (Found, Vec<u32>, Vec<Outcome>, Option<ApiError>);

fn held(
    api: &Api,
    prepared: &mut Prepared,
    holdings: &[&Holding],
    caller: &Caller<'_>,
    revision: &mut u64,
) -> Result<HeldPlan, ApiError> {
    let _claim = claims::claim(api, &prepared.batch, holdings)?;
    let begun = Holds::begin(api, &mut prepared.batch, holdings).map(|holds| holds.outcomes);
    *revision = prepared.batch.revision.max(*revision);
    let outcomes = begun?;
    let found = if outcomes.iter().all(|outcome| outcome.held.is_none()) {
        plan(prepared, caller)?
    } else {
        plan_rest(prepared, &outcomes, caller)?
    };
    let mut choice = found.choice.clone();
    if caller.answer_bytes.is_some() {
        let most = answer::most_bytes(&prepared.batch, &choice, &outcomes, &found)?;
        caller.takes(most)?;
    }
    let mut holds = Holds::resume(api, &mut prepared.batch, holdings, outcomes);
    let taken = holds.take(&mut choice, &prepared.terms, caller);
    let (mut outcomes, replans) = (std::mem::take(&mut holds.outcomes), holds.replans);
    *revision = prepared.batch.revision.max(*revision);
    api.metrics().allocation.replanned(replans);
    if let Err(error) = taken {
        if !outcomes.iter().any(Outcome::is_new) {
            return Err(error);
        }
        leave_out(&prepared.batch, &mut choice, &mut outcomes);
        return Ok((found, choice, outcomes, Some(error)));
    }
    Ok((found, choice, outcomes, None))
}

/// Takes out of a plan what was planned and is not held. It is told as tried, with no reason of its own.
fn leave_out(batch: &Batch, choice: &mut [u32], outcomes: &mut [Outcome]) {
    for (order, outcome) in (0u32..).zip(outcomes) {
        let lines = &mut choice[batch.lines_of(order)];
        if outcome.held.is_none() && lines.iter().any(|option| *option != NONE) {
            lines.fill(NONE);
            outcome.tried = true;
            outcome.refusal = None;
        }
    }
}

/// Plans the orders that nothing is held of yet. The others stand as they were held: their stock is gone from what can
/// be promised.
fn plan_rest(
    prepared: &Prepared,
    outcomes: &[Outcome],
    caller: &Caller<'_>,
) -> Result<Found, ApiError> {
    let batch = &prepared.batch;
    let mut choice = vec![NONE; batch.lines()];
    let places = Places::new(batch);
    let held = (0u32..).zip(outcomes).filter_map(|(order, outcome)| {
        let parts = outcome.parts()?;
        Some((order, places.of(batch, order, &parts)))
    });
    replayed::fill(batch, &held.collect::<Vec<_>>(), &mut choice);
    let before = batch.problem.costs(&choice).total;
    let open: Vec<u32> = (0u32..)
        .zip(outcomes)
        .filter(|(_, outcome)| outcome.held.is_none())
        .map(|(order, _)| order)
        .collect();
    if open.is_empty() {
        return Ok(Found {
            choice,
            bound: before,
            prices: Vec::new(),
            scarce: Vec::new(),
            made_by: super::terms::MADE_BY.to_owned(),
            fallback: false,
        });
    }
    let unfilled: i64 = open
        .iter()
        .flat_map(|order| batch.lines_of(*order))
        .map(|line| batch.input().lines[line].unfilled_minor)
        .sum();
    let mut input = subset(batch.input(), &open);
    let mut used = super::batch::Used::default();
    for order in 0..outcomes.len() {
        used.add(&batch.problem, order as u32, &choice);
    }
    match batch.own_stock {
        true => used.take_windows(&mut input),
        // Stock of the caller's own is what there was before anything was held.
        false => used.take_from(&mut input),
    }
    let problem = aside(|| Problem::new(input))??;
    let left = prepared
        .terms
        .budget
        .saturating_sub(prepared.started.elapsed());
    let rest = solve::search(&problem, &prepared.terms, caller, caller.until(left))?;
    let mut lines = rest.choice.iter();
    for order in open {
        for (line, chosen) in batch.lines_of(order).zip(&mut lines) {
            choice[line] = *chosen;
        }
    }
    Ok(Found {
        choice,
        bound: rest.bound + before - unfilled,
        prices: by_row(&batch.problem, &problem, &rest.prices),
        scarce: rest.scarce,
        ..rest
    })
}

/// Prices of one problem's rows by those of another.
fn by_row(of: &Problem, from: &Problem, prices: &[f64]) -> Vec<f64> {
    let key = |kind: &RowKind| match *kind {
        RowKind::Stock {
            item,
            location,
            class,
        } => (item, location, class),
        RowKind::Window(window) => (window, NONE, u8::MAX),
    };
    let known = from.rows().iter().map(|row| key(&row.kind)).zip(prices);
    let known: HashMap<_, _> = known.collect();
    let rows = of.rows().iter().map(|row| known.get(&key(&row.kind)));
    rows.map(|price| price.copied().copied().unwrap_or(0.0))
        .collect()
}
