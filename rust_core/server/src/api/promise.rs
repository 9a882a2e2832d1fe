//! Holds: Reserve and Promise.

use bespeak_engine::HoldReply;
use bespeak_proto::v1 as pb;

use super::Api;
use crate::convert::{context, hold, reply};
use crate::store::Seen;

impl Api {
    /// Checks and holds at given locations.
    pub fn reserve(
        &self,
        mut request: pb::ReserveRequest,
        trace_id: u128,
    ) -> Seen<pb::ReserveResponse> {
        let meta = context::meta(&mut request.context, trace_id);
        let request = std::cell::RefCell::new(request);
        self.store.write(
            meta,
            |state| hold::reserve(state.catalog(), &mut request.borrow_mut()),
            |state, answer| {
                let held = reply::hold(&answer)?;
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
        let meta = context::meta(&mut request.context, trace_id);
        let request = std::cell::RefCell::new(request);
        self.store.write(
            meta,
            |state| hold::promise(state.catalog(), &mut request.borrow_mut()),
            |state, answer| {
                let held = reply::hold(&answer)?;
                self.count_refusals(held);
                let items = std::mem::take(&mut request.borrow_mut().lines)
                    .into_iter()
                    .map(|line| line.item);
                let lines = reply::lines(state.catalog(), held, items);
                Ok(reply::promise(&answer, held, lines))
            },
        )
    }

    fn count_refusals(&self, held: &HoldReply) {
        for line in &held.lines {
            self.metrics.refused(line.refusal);
        }
    }
}
