//! The steps of a reservation's life.

use bespeak_engine::{Answer, EngineError, ReservationId, StepReply};
use bespeak_proto::v1 as pb;

use super::{Api, feed};
use crate::convert::{context, hold, reply};
use crate::error::ApiError;
use crate::store::Seen;

impl Api {
    /// A later expiry.
    pub fn extend(
        &self,
        mut request: pb::ExtendRequest,
        trace_id: u128,
    ) -> Seen<pb::ExtendResponse> {
        let meta = context::meta(&mut request.context, trace_id);
        let feed = feed(&meta);
        self.store.write(
            meta,
            |_| hold::extend(&request),
            |_, answer| {
                let step = self.step(feed.as_deref(), &answer)?;
                Ok(pb::ExtendResponse {
                    refusal: reply::refusal(step.refusal).into(),
                    expires_at_ms: step.expires_at.get(),
                    revision: answer.revision,
                    replayed: answer.replayed,
                    duplicate: reply::is_duplicate(&answer),
                })
            },
        )
    }

    /// HELD to CONFIRMED.
    pub fn confirm(
        &self,
        mut request: pb::ConfirmRequest,
        trace_id: u128,
    ) -> Seen<pb::ConfirmResponse> {
        let meta = context::meta(&mut request.context, trace_id);
        let feed = feed(&meta);
        self.store.write(
            meta,
            |_| hold::confirm(&request),
            |_, answer| {
                let step = self.step(feed.as_deref(), &answer)?;
                Ok(pb::ConfirmResponse {
                    refusal: reply::refusal(step.refusal).into(),
                    reacquired: step.reacquired,
                    revision: answer.revision,
                    replayed: answer.replayed,
                    duplicate: reply::is_duplicate(&answer),
                })
            },
        )
    }

    /// Stock left.
    pub fn fulfil(
        &self,
        mut request: pb::FulfilRequest,
        trace_id: u128,
    ) -> Seen<pb::FulfilResponse> {
        let meta = context::meta(&mut request.context, trace_id);
        let feed = feed(&meta);
        self.store.write(
            meta,
            |state| hold::fulfil(state.catalog(), &request),
            |_, answer| {
                let step = self.step(feed.as_deref(), &answer)?;
                Ok(pb::FulfilResponse {
                    refusal: reply::refusal(step.refusal).into(),
                    state: reply::state(step.state).into(),
                    revision: answer.revision,
                    replayed: answer.replayed,
                    duplicate: reply::is_duplicate(&answer),
                    shock_ids: reply::step_shocks(&answer),
                })
            },
        )
    }

    /// Gives stock back.
    pub fn release(
        &self,
        mut request: pb::ReleaseRequest,
        trace_id: u128,
    ) -> Seen<pb::ReleaseResponse> {
        let meta = context::meta(&mut request.context, trace_id);
        let feed = feed(&meta);
        self.store.write(
            meta,
            |_| hold::release(&request),
            |_, answer| {
                let step = self.step(feed.as_deref(), &answer)?;
                Ok(pb::ReleaseResponse {
                    refusal: reply::refusal(step.refusal).into(),
                    state: reply::state(step.state).into(),
                    revision: answer.revision,
                    replayed: answer.replayed,
                    duplicate: reply::is_duplicate(&answer),
                })
            },
        )
    }

    fn step(&self, feed: Option<&str>, answer: &Answer) -> Result<StepReply, ApiError> {
        self.count_duplicate(feed, answer);
        let step = reply::step(answer)?;
        self.metrics.refused(step.refusal);
        Ok(step)
    }

    /// A reservation that is not finished; a finished one is known to have been made, and no more.
    pub fn get_reservation(
        &self,
        request: &pb::GetReservationRequest,
    ) -> Seen<pb::GetReservationResponse> {
        let id = ReservationId(request.reservation_id);
        self.store.read(|state| {
            let found = state
                .reservation(id)
                .map(|found| reply::reservation(state, id, found));
            if found.is_none() && !state.was_made(id) {
                return Err(EngineError::UnknownReservation(id.0).into());
            }
            Ok(pb::GetReservationResponse {
                reservation: found,
                revision: state.revision(),
            })
        })
    }
}
