//! Answers that were given before, given again.

use bespeak_engine::{Answer, EngineError, Meta, Record, State, uuid_text};

/// Refuses a request that was made before the newest answer that is lost for good: it may have been answered too.
pub(super) fn lost_answer(state: &State, request_id: u128) -> Result<(), EngineError> {
    if state.may_have_forgotten(request_id) {
        return Err(EngineError::RequestIdTooOld(uuid_text(request_id)));
    }
    Ok(())
}

/// The first answer again, or the error for another request under its id.
pub(super) fn replay_answer(first: Record, fingerprint: u64) -> Result<Answer, EngineError> {
    if first.fingerprint != fingerprint {
        return Err(EngineError::RequestIdReused(uuid_text(
            first.meta.request_id,
        )));
    }
    match first.reply {
        Some(reply) => Ok(Answer {
            reply,
            revision: first.revision,
            replayed: true,
            time: first.time,
        }),
        None => Err(EngineError::RequestIdReused(uuid_text(
            first.meta.request_id,
        ))),
    }
}

/// The first answer to a request of which no command can be made any more, found by what was sent.
pub(super) fn first_answer(state: &State, stored: Option<Record>, meta: &Meta) -> Option<Answer> {
    if meta.request_id == 0 || meta.sent == 0 {
        return None;
    }
    match state.remembered(meta.request_id) {
        Some(first) => (first.fingerprint == meta.sent).then(|| Answer {
            reply: first.reply.clone(),
            revision: first.revision,
            replayed: true,
            time: first.time,
        }),
        None => replay_answer(stored?, meta.sent).ok(),
    }
}
