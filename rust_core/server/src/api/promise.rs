//! Holds: Reserve and Promise.

use bespeak_engine::limits::MAX_CANDIDATES;
use bespeak_engine::{Candidates, Command, HoldReply, Promise, State};
use bespeak_proto::v1 as pb;

use super::{Api, feed};
use crate::convert::{context, hold, reply};
use crate::error::ApiError;
use crate::method::Method;
use crate::store::Seen;

impl Api {
    /// Checks and holds at given locations.
    pub fn reserve(
        &self,
        mut request: pb::ReserveRequest,
        trace_id: u128,
    ) -> Seen<pb::ReserveResponse> {
        let meta = context::meta(&mut request.context, trace_id);
        request.context = None;
        let names_unit = request.lines.iter().any(|line| !line.unit.is_empty());
        let meta = context::as_sent(meta, Method::Reserve, &request, names_unit);
        let feed = feed(&meta);
        let request = std::cell::RefCell::new(request);
        self.store.write(
            meta,
            |state| hold::reserve(state.catalog(), &mut request.borrow_mut()),
            |state, answer| {
                self.count_duplicate(feed.as_deref(), &answer);
                let Some(held) = reply::held(&answer)? else {
                    return Ok(pb::ReserveResponse {
                        revision: answer.revision,
                        engine_time_ms: answer.time.get(),
                        replayed: answer.replayed,
                        duplicate: true,
                        ..Default::default()
                    });
                };
                self.count_refusals(held);
                let items = std::mem::take(&mut request.borrow_mut().lines)
                    .into_iter()
                    .map(|line| line.item);
                let lines = reply::lines(state.catalog(), held, items);
                Ok(reply::reserve(&answer, held, lines))
            },
        )
    }

    /// Chooses locations, checks and holds.
    pub fn promise(
        &self,
        mut request: pb::PromiseRequest,
        trace_id: u128,
    ) -> Seen<pb::PromiseResponse> {
        let by_price = by_price(&request);
        let meta = context::meta(&mut request.context, trace_id);
        request.context = None;
        let names_unit = request.lines.iter().any(|line| !line.unit.is_empty());
        // The order of the candidates moves with the prices.
        let moves = by_price || names_unit;
        let meta = context::as_sent(meta, Method::Promise, &request, moves);
        let feed = feed(&meta);
        let request = std::cell::RefCell::new(request);
        self.store.write(
            meta,
            |state| {
                let mut promise = hold::promise(state.catalog(), &mut request.borrow_mut())?;
                if by_price {
                    self.by_price(state, &mut promise)?;
                }
                Ok(Command::promise(promise))
            },
            |state, answer| {
                self.count_duplicate(feed.as_deref(), &answer);
                let Some(held) = reply::held(&answer)? else {
                    return Ok(pb::PromiseResponse {
                        revision: answer.revision,
                        engine_time_ms: answer.time.get(),
                        replayed: answer.replayed,
                        duplicate: true,
                        ..Default::default()
                    });
                };
                self.count_refusals(held);
                let items = std::mem::take(&mut request.borrow_mut().lines)
                    .into_iter()
                    .map(|line| line.item);
                let lines = reply::lines(state.catalog(), held, items);
                Ok(reply::promise(&answer, held, lines))
            },
        )
    }

    /// Puts the candidates of a promise in the order of their scarcity prices.
    pub(super) fn by_price(&self, state: &State, promise: &mut Promise) -> Result<(), ApiError> {
        if let Candidates::Region(region) = promise.candidates {
            let region = state.catalog().region(region);
            if region.locations.len() > MAX_CANDIDATES {
                let value = format!("{} with {} locations", region.name, region.locations.len());
                let rule =
                    format!("by scarcity at most {MAX_CANDIDATES} can be chosen from: name them");
                return Err(ApiError::invalid("region", value, rule));
            }
        }
        self.desk().prices.sort(state.catalog(), promise);
        Ok(())
    }

    fn count_refusals(&self, held: &HoldReply) {
        for line in &held.lines {
            self.metrics.refused(line.refusal);
        }
    }
}

/// Whether the locations are to be chosen by the prices of their stock.
pub(super) fn by_price(request: &pb::PromiseRequest) -> bool {
    request.sourcing() == pb::SourcingPolicy::Scarcity
}
