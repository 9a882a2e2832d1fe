//! One batch of orders that came in streams: planned together, answered each by itself.

use std::time::Instant;

use bespeak_proto::v1 as pb;

use super::groups::Waiting;
use super::hold::Holding;
use super::plan::{self, Prepared};
use super::solve::Caller;
use super::terms::Terms;
use super::{answer, networks, orders, sound, tables};
use crate::api::Api;
use crate::compute::ipc;
use crate::error::ApiError;

/// An order's answer, and the journal position that must be durable before it is told.
#[derive(Debug)]
pub struct Answered {
    /// The answer.
    pub answer: pb::SubmitOrdersResponse,
    /// What it saw.
    pub revision: u64,
}

/// Checks the terms of a stream, so that only orders can be wrong later.
///
/// # Errors
/// `InvalidArgument` naming the field, `UnknownNetwork`.
pub fn check(api: &Api, terms: &pb::AllocateRequest) -> Result<(), ApiError> {
    for (field, bytes) in [
        ("terms.options", &terms.options),
        ("terms.packages", &terms.packages),
        ("terms.stock", &terms.stock),
    ] {
        if !bytes.is_empty() {
            let rule =
                "streams are planned by a network and the server's own stock: leave it empty";
            return Err(ApiError::invalid(field, "there", rule));
        }
    }
    Terms::read(terms)?;
    if let Some(hold) = &terms.hold {
        Holding::read(hold, 0)?;
    }
    let asked = tables::asked_of(&api.desk().networks, terms, None, bytes::Bytes::new())?;
    if is_quick(terms) && asked.tables.rates.is_some() {
        return Ok(());
    }
    let kept = networks::Kept {
        network: asked.network,
        tables: asked.tables,
    };
    networks::check(&kept).map(|_| ())
}

/// Whether terms bring no tables: the network that they name was checked when it was put.
pub fn is_quick(terms: &pb::AllocateRequest) -> bool {
    terms.network.is_none() && terms.capacity.is_empty()
}

/// Plans orders together, and holds those that are to be held. An order that makes no sense is answered so, and the
/// others without it.
pub fn plan(
    api: &Api,
    terms: &pb::AllocateRequest,
    waiting: &[&Waiting],
    caller: &Caller<'_>,
) -> Vec<Answered> {
    let mut revision = 0;
    match together(api, terms, waiting, caller, &mut revision) {
        Ok(answers) => answers
            .into_iter()
            .map(|answer| Answered { answer, revision })
            .collect(),
        Err(error) if waiting.len() > 1 && is_of_an_order(&error) => {
            without_wrong(api, terms, waiting, caller, (&error, revision))
        }
        Err(error) => {
            let failed = waiting.iter();
            failed
                .map(|waiting| failed_by(waiting, &error, revision))
                .collect()
        }
    }
}

/// Answers the orders that make no sense, and plans the others, together as well.
fn without_wrong(
    api: &Api,
    terms: &pb::AllocateRequest,
    waiting: &[&Waiting],
    caller: &Caller<'_>,
    (error, revision): (&ApiError, u64),
) -> Vec<Answered> {
    let mut wrong: Vec<sound::Wrong> = waiting.iter().map(|_| None).collect();
    sound::find_wrong(api, waiting, &mut wrong);
    if wrong.iter().all(Option::is_none) {
        if is_of_none(error) {
            let failed = waiting.iter();
            return failed
                .map(|waiting| failed_by(waiting, error, revision))
                .collect();
        }
        // It is something that they have together, such as too many ways.
        let (first, second) = waiting.split_at(waiting.len() / 2);
        let mut answers = plan(api, terms, first, caller);
        answers.extend(plan(api, terms, second, caller));
        return answers;
    }
    let others = waiting.iter().zip(&wrong);
    let others: Vec<&Waiting> = others
        .filter(|(_, wrong)| wrong.is_none())
        .map(|(waiting, _)| *waiting)
        .collect();
    let planned = match others.is_empty() {
        true => Vec::new(),
        false => plan(api, terms, &others, caller),
    };
    let mut planned = planned.into_iter();
    let each = waiting.iter().zip(wrong);
    each.filter_map(|(waiting, wrong)| match wrong {
        Some((error, revision)) => Some(failed_by(waiting, &error, revision)),
        None => planned.next(),
    })
    .collect()
}

fn failed_by(waiting: &Waiting, error: &ApiError, revision: u64) -> Answered {
    Answered {
        answer: pb::SubmitOrdersResponse {
            order_id: waiting.order.order_id.clone(),
            error: error.code().to_owned(),
            message: error.to_string(),
            ..Default::default()
        },
        revision,
    }
}

/// Whether an order may be the cause: then the others are better off without it.
fn is_of_an_order(error: &ApiError) -> bool {
    matches!(
        error,
        ApiError::InvalidArgument { .. }
            | ApiError::Engine(_)
            | ApiError::ComputeRefused(_)
            | ApiError::Overloaded { .. }
    )
}

/// How each order is to be held.
///
/// # Errors
/// `InvalidArgument` naming the field.
pub fn holdings(waiting: &[&Waiting], trace_id: u128) -> Result<Vec<Option<Holding>>, ApiError> {
    let read = |waiting: &&Waiting| match &waiting.hold {
        Some(hold) => Holding::read(hold, trace_id).map(Some),
        None => Ok(None),
    };
    waiting.iter().map(read).collect()
}

/// Whether no order is the cause, so that fewer would fail as well.
fn is_of_none(error: &ApiError) -> bool {
    use bespeak_engine::EngineError::Full;
    matches!(
        error,
        ApiError::Overloaded { .. } | ApiError::Engine(Full { .. })
    )
}

fn together(
    api: &Api,
    terms: &pb::AllocateRequest,
    waiting: &[&Waiting],
    caller: &Caller<'_>,
    revision: &mut u64,
) -> Result<Vec<pb::SubmitOrdersResponse>, ApiError> {
    let started = (Instant::now(), Terms::read(terms)?);
    let asked = || {
        let table = orders::table(waiting.iter().map(|waiting| &waiting.order))?;
        let bytes = ipc::write(&table)?.into();
        tables::asked_of(&api.desk().networks, terms, Some(table), bytes)
    };
    let mut prepared = plan::prepare_from(api, started, asked, revision)?;
    let holdings = holdings(waiting, caller.trace_id)?;
    // Streams of the same terms all hold, or none does.
    let holdings: Option<Vec<&Holding>> = holdings.iter().map(Option::as_ref).collect();
    let done = plan::carry_out(api, &mut prepared, holdings.as_deref(), caller, revision)?;
    if let Some(error) = done.stopped {
        // Each order is answered by itself, and what is held of them is found again under their ids.
        return Err(error);
    }
    let Prepared { batch, .. } = &prepared;
    let told = (0u32..).zip(&batch.names.orders).map(|(order, name)| {
        let outcome = done.outcomes.get(order as usize);
        let held = outcome.filter(|outcome| outcome.tried);
        pb::SubmitOrdersResponse {
            order_id: name.clone(),
            lines: answer::lines(batch, order, &done.choice[batch.lines_of(order)]),
            held: held.map(|outcome| answer::held_order(name, outcome)),
            made_by: done.answer.made_by.clone(),
            fallback: done.answer.fallback,
            ..Default::default()
        }
    });
    Ok(told.collect())
}
