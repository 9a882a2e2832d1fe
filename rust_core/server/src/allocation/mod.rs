//! Plans of which order is served from where, and holds of what they plan. What the tables mean is in
//! `docs/reference/allocation.md`.
//!
//! A plan is made on a thread that stands back behind promises; the partition is held for slices of well below a
//! millisecond, to see its stock and to hold one order at a time.

mod answer;
mod batch;
mod batched;
mod claims;
mod explain;
pub(crate) mod files;
mod groups;
mod hold;
mod ids;
pub(crate) mod networks;
mod orders;
mod plan;
mod prices;
mod reoptimise;
mod replayed;
mod seats;
mod simulate;
mod snapshot;
mod solve;
mod sound;
mod stock;
pub(crate) mod submit;
pub(crate) mod tables;
mod terms;
mod worker;

use bespeak_proto::v1 as pb;

pub use solve::Caller;
pub use worker::Worker;
pub(crate) use worker::{Remote, Watched};

use crate::api::Api;
use crate::config::JournalSettings;
use crate::error::ApiError;
use crate::seats::Seats;
use crate::store::Seen;

/// What allocation keeps between calls.
#[derive(Debug, Default)]
pub struct Desk {
    pub(crate) networks: networks::Networks,
    pub(crate) prices: prices::Prices,
    pub(crate) seats: Seats<seats::Plans>,
    pub(crate) claims: claims::Claims,
    pub(crate) groups: groups::Groups,
}

impl Desk {
    /// Opens what is kept beside a journal; in memory where the journal is.
    ///
    /// # Errors
    /// `NetworksFailed` when the networks cannot be read.
    pub fn open(journal: &JournalSettings) -> Result<Self, ApiError> {
        Ok(Self {
            networks: networks::Networks::open(journal)?,
            ..Self::default()
        })
    }
}

impl Api {
    /// Keeps a network under a name.
    pub fn put_network(&self, request: pb::PutNetworkRequest) -> Seen<pb::PutNetworkResponse> {
        Seen {
            result: self.desk().networks.put(request),
            revision: 0,
        }
    }

    /// Plans a batch, and holds the plan when asked to.
    pub fn allocate(
        &self,
        request: &pb::AllocateRequest,
        caller: &Caller<'_>,
    ) -> Seen<pb::AllocateResponse> {
        let mut revision = 0;
        let result = plan::allocate(self, request, caller, &mut revision);
        Seen { result, revision }
    }

    /// Says why an order of a batch is served as it is.
    pub fn explain_allocation(
        &self,
        request: &pb::AllocationServiceExplainRequest,
        caller: &Caller<'_>,
    ) -> Seen<pb::AllocationServiceExplainResponse> {
        let mut revision = 0;
        let result = explain::explain(self, request, caller, &mut revision);
        Seen { result, revision }
    }

    /// Plans a batch as it is, and as it would be.
    pub fn simulate(
        &self,
        request: &pb::SimulateRequest,
        caller: &Caller<'_>,
    ) -> Seen<pb::SimulateResponse> {
        let mut revision = 0;
        let result = simulate::simulate(self, request, caller, &mut revision);
        Seen { result, revision }
    }

    /// Plans open orders anew, and moves those that are better served otherwise.
    pub fn reoptimise(
        &self,
        request: &pb::ReoptimiseRequest,
        caller: &Caller<'_>,
    ) -> Seen<pb::ReoptimiseResponse> {
        let mut revision = 0;
        let result = reoptimise::reoptimise(self, request, caller, &mut revision);
        Seen { result, revision }
    }
}

/// The terms of a question that changes nothing, whatever they say of holds.
fn dry(terms: Option<&pb::AllocateRequest>) -> Result<pb::AllocateRequest, ApiError> {
    match terms {
        Some(terms) => Ok(pb::AllocateRequest {
            hold: None,
            publish_prices: false,
            ..terms.clone()
        }),
        None => Err(ApiError::invalid(
            "terms",
            "missing",
            "say which orders, and how to plan",
        )),
    }
}
