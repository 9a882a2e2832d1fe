//! One batch of orders that came in streams: planned together, answered each by itself.

use std::sync::Arc;
use std::time::Instant;

use bespeak_proto::v1 as pb;

use super::hold::Holding;
use super::plan::{self, Prepared};
use super::solve::Caller;
use super::submit::Waiting;
use super::terms::Terms;
use super::{answer, networks, orders, tables};
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
    let kept = networks::Kept {
        network: asked.network,
        tables: asked.tables,
    };
    networks::check(&kept).map(|_| ())
}

/// Plans orders together, and holds those that are to be held. An order that makes no sense is answered so, and the
/// others without it.
pub fn plan(
    api: &Api,
    terms: &pb::AllocateRequest,
    waiting: &[Waiting],
    caller: &Caller<'_>,
) -> Vec<Answered> {
    let mut revision = 0;
    match together(api, terms, waiting, caller, &mut revision) {
        Ok(answers) => answers
            .into_iter()
            .map(|answer| Answered { answer, revision })
            .collect(),
        Err(error) if waiting.len() > 1 && is_of_an_order(&error) => {
            // Which of them it is shows when there are fewer.
            let (first, second) = waiting.split_at(waiting.len() / 2);
            let mut answers = plan(api, terms, first, caller);
            answers.extend(plan(api, terms, second, caller));
            answers
        }
        Err(error) => waiting
            .iter()
            .map(|waiting| Answered {
                answer: pb::SubmitOrdersResponse {
                    order_id: waiting.order.order_id.clone(),
                    error: error.code().to_owned(),
                    message: error.to_string(),
                    ..Default::default()
                },
                revision,
            })
            .collect(),
    }
}

/// Whether an order may be the cause: then the others are better off without it.
fn is_of_an_order(error: &ApiError) -> bool {
    matches!(
        error,
        ApiError::InvalidArgument { .. } | ApiError::Engine(_) | ApiError::ComputeRefused(_)
    )
}

fn together(
    api: &Api,
    terms: &pb::AllocateRequest,
    waiting: &[Waiting],
    caller: &Caller<'_>,
    revision: &mut u64,
) -> Result<Vec<pb::SubmitOrdersResponse>, ApiError> {
    let started = (Instant::now(), Terms::read(terms)?);
    let asked = || {
        let orders: Vec<pb::AllocationOrder> = waiting
            .iter()
            .map(|waiting| waiting.order.clone())
            .collect();
        let table = orders::table(&orders)?;
        let bytes = ipc::write(&table)?.into();
        tables::asked_of(&api.desk().networks, terms, Some(table), bytes)
    };
    let mut prepared = plan::prepare_from(api, started, asked, revision)?;
    let read = |waiting: &Waiting| match &waiting.hold {
        Some(hold) => Holding::read(&Arc::clone(hold), caller.trace_id).map(Some),
        None => Ok(None),
    };
    let holdings: Vec<Option<Holding>> = waiting.iter().map(read).collect::<Result<_, _>>()?;
    // Streams of the same terms all hold, or none does.
    let holdings: Option<Vec<&Holding>> = holdings.iter().map(Option::as_ref).collect();
    let done = plan::carry_out(api, &mut prepared, holdings.as_deref(), caller, revision)?;
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
