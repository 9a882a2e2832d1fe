//! Where buffers come from.

use bespeak_proto::v1 as pb;

use super::Api;
use crate::convert::{buffers, context, reply};
use crate::store::Seen;

impl Api {
    /// Says where the buffers of a location or of a position come from, and sets those that follow a forecast which is
    /// there.
    pub fn put_buffer_policy(
        &self,
        mut request: pb::PutBufferPolicyRequest,
        trace: u128,
    ) -> Seen<pb::PutBufferPolicyResponse> {
        let meta = context::meta(&mut request.context, trace);
        let put = self.store.write(
            meta,
            |state| buffers::put_policy(state.catalog(), &request),
            |_, answer| Ok(reply::catalog(&answer)),
        );
        let Seen { result, revision } = put;
        let result = match result {
            Ok(result) => result,
            Err(error) => {
                return Seen {
                    result: Err(error),
                    revision,
                };
            }
        };
        // A repeated request does no harm here: buffers that stand as they should are left alone. The policy is taken,
        // whatever becomes of them: the caller is not told of a failure, or would say it again.
        let (buffers_changed, derived) = self.derive_buffers().unwrap_or_else(|error| {
            tracing::warn!(%error, "a policy is put, but not all buffers: the next push of forecasts sets them");
            (0, 0)
        });
        Seen {
            result: Ok(pb::PutBufferPolicyResponse {
                result: Some(result),
                buffers_changed,
            }),
            revision: revision.max(derived),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use bespeak_journal::Clock;

    use super::*;
    use crate::config::{EngineSettings, JournalSettings};
    use crate::metrics::Metrics;
    use crate::store::{Store, Surroundings};

    const NOW_MS: i64 = 1_790_000_000_000;

    /// A clock that jumps by an hour after so many looks.
    struct Jumping(AtomicI64);

    impl Clock for Jumping {
        fn wall_ms(&self) -> i64 {
            match self.0.fetch_sub(1, Ordering::SeqCst) {
                1.. => NOW_MS,
                _ => NOW_MS + 3_600_000,
            }
        }

        fn steady_ms(&self) -> i64 {
            0
        }
    }

    fn context(last_digit: char) -> Option<pb::RequestContext> {
        Some(pb::RequestContext {
            request_id: format!("01936f2e8c1a4b3e9d4f0123456789a{last_digit}"),
            ..Default::default()
        })
    }

    /// The policy would be journaled and its caller told of an error.
    #[test]
    fn a_policy_that_is_put_is_a_success_whatever_becomes_of_the_buffers() {
        let clock = Arc::new(Jumping(AtomicI64::new(1_000)));
        let around = Surroundings {
            clock: Arc::clone(&clock) as _,
            ..Surroundings::default()
        };
        let store = Store::open(
            &JournalSettings::default(),
            &EngineSettings::default(),
            around,
            &Arc::default(),
        );
        let api = Api::new(Arc::new(store.expect("opens")), Arc::<Metrics>::default());
        let location = pb::Location {
            location: "ams1".into(),
            ..Default::default()
        };
        let request = pb::PutLocationRequest {
            context: context('0'),
            location: Some(location),
        };
        api.put_location(request, 0).result.expect("it is put");
        let policy = pb::BufferPolicy {
            source: pb::BufferSource::Forecast.into(),
            level_ppm: 900_000,
            lead_time_days: 3,
            review_days: 1,
            ..Default::default()
        };
        let request = pb::PutBufferPolicyRequest {
            context: context('1'),
            location: "ams1".into(),
            item: String::new(),
            policy: Some(policy),
        };
        // The look of the put itself: the buffers find the clock suspect.
        clock.0.store(1, Ordering::SeqCst);
        let put = api.put_buffer_policy(request, 0);
        let answer = put.result.expect("the policy is put");
        let result = answer.result.expect("a result");
        assert!(!result.replayed && !result.duplicate);
        assert_eq!(answer.buffers_changed, 0);
        assert_eq!(put.revision, result.revision);
        let suspect = api.store().partition().clock_suspect();
        assert_eq!(suspect, Some(3_600_000), "the buffers were looked at");
    }
}
