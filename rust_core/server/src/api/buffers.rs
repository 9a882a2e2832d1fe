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
        // A repeated request does no harm here: buffers that stand as they should are left alone.
        match self.derive_buffers() {
            Ok((changed, derived)) => Seen {
                result: Ok(pb::PutBufferPolicyResponse {
                    result: Some(result),
                    buffers_changed: changed,
                }),
                revision: revision.max(derived),
            },
            Err(error) => Seen {
                result: Err(error),
                revision,
            },
        }
    }
}
