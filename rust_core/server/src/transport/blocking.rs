//! Calls that walk the state or the disk: each on a thread of its own, and few at once of those that read the whole
//! journal.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bespeak_proto::v1 as pb;
use bytes::Bytes;
use prost::Message;

use super::deadline;
use super::dispatch::Call;
use crate::allocation::Watched;
use crate::api::Api;
use crate::error::ApiError;
use crate::method::Method;
use crate::metrics::Shed;
use crate::seats::Few;
use crate::services::unary::{self, Encoded};
use crate::shared::{OwnedPermit, Shared};

/// Calls that read the whole journal. The partition builds one second state at a time: a second call waits for the first,
/// and a third would only keep a thread from calls that are soon done. Such a call takes seconds.
#[derive(Debug)]
pub(crate) struct JournalReaders;

impl Few for JournalReaders {
    const WHAT: &'static str = "calls that read the whole journal";
    const SEATS: usize = 2;
    const RETRY_MS: u64 = 1_000;
}

/// Whether a call reads the whole journal.
fn reads_journal(method: Method, message: &Bytes) -> bool {
    match method {
        Method::AsOf | Method::Reconcile | Method::Snapshot | Method::Backup => true,
        // What does not decode is refused by the call itself.
        Method::GetStats => {
            pb::GetStatsRequest::decode(message.clone()).is_ok_and(|request| request.with_digest)
        }
        _ => false,
    }
}

/// Runs a call on a thread of its own.
///
/// Its permit goes with the work and comes back with the answer, and so does its seat: a caller that leaves makes no room
/// for more work than the threads can do.
///
/// # Errors
/// `Overloaded` at once, `Recovering`, `DeadlinePassed`, and `Internal` when the work panics.
pub(crate) async fn run(
    shared: &Arc<Shared>,
    call: Call,
    message: Bytes,
) -> Result<(Encoded, OwnedPermit), ApiError> {
    let permit = shared.permit_owned()?;
    let api = shared.api()?.clone();
    deadline::check(call.deadline)?;
    let seat = match reads_journal(call.method, &message) {
        true => {
            let taken = shared.journal_seats.take();
            Some(taken.inspect_err(|_| shared.metrics.shed(Shed::Journal))?)
        }
        false => None,
    };
    // Dropped with this call, when the caller is gone.
    let watched = Watched::default();
    let gone = Arc::clone(&watched.0);
    let work = move || {
        let encoded = work(&api, &call, &gone.flag, message);
        drop(seat);
        (encoded, permit)
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| ApiError::Internal(error.to_string()))
}

/// Does the work of a call, unless nobody waits for it any more: it may have queued for longer than its caller had.
fn work(api: &Api, call: &Call, gone: &AtomicBool, message: Bytes) -> Encoded {
    if gone.load(Ordering::Relaxed) {
        return Encoded::failed(ApiError::DeadlinePassed);
    }
    match deadline::check(call.deadline) {
        Ok(()) => unary::run(api, call, message),
        Err(error) => Encoded::failed(error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::config::{EngineSettings, JournalSettings};
    use crate::metrics::Metrics;
    use crate::store::{Store, Surroundings};

    #[test]
    fn only_a_digest_makes_stats_read_the_journal() {
        let stats = |with_digest| {
            let request = pb::GetStatsRequest { with_digest };
            reads_journal(Method::GetStats, &request.encode_to_vec().into())
        };
        assert!(stats(true) && !stats(false));
        assert!(!reads_journal(
            Method::GetStats,
            &Bytes::from_static(&[0xff])
        ));
        assert!(reads_journal(Method::Reconcile, &Bytes::new()));
        assert!(!reads_journal(Method::CheckRegion, &Bytes::new()));
    }

    /// A call that queued for a thread while its caller left, or its time ran out, changes nothing any more.
    #[test]
    fn what_nobody_waits_for_is_not_executed() {
        let store = Store::open(
            &JournalSettings::default(),
            &EngineSettings::default(),
            Surroundings::default(),
            &Arc::default(),
        );
        let api = Api::new(Arc::new(store.expect("opens")), Arc::<Metrics>::default());
        let context = pb::RequestContext {
            request_id: "01936f2e8c1a4b3e9d4f0123456789ab".into(),
            ..Default::default()
        };
        let item = pb::Item {
            item: "tea".into(),
            base_unit: "each".into(),
            ..Default::default()
        };
        let request = pb::PutItemRequest {
            context: Some(context),
            item: Some(item),
        };
        let message = Bytes::from(request.encode_to_vec());
        let call = |deadline| Call {
            method: Method::PutItem,
            trace_id: 0,
            deadline,
            limit: 4 << 20,
        };
        let items = || api.store().partition().peek(|state| state.stats().items);
        let (here, gone) = (AtomicBool::new(false), AtomicBool::new(true));
        let late = Some(Instant::now());
        for (deadline, gone) in [(late, &here), (None, &gone)] {
            let told = work(&api, &call(deadline), gone, message.clone()).response;
            assert_eq!(
                told.err().map(|error| error.code()),
                Some("DEADLINE_PASSED")
            );
            assert_eq!(items().expect("open"), 0);
        }
        let told = work(&api, &call(None), &here, message).response;
        assert!(told.is_ok());
        assert_eq!(items().expect("open"), 1);
    }
}
