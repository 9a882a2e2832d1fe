//! Unary methods: decode, call, encode.

use std::sync::Arc;

use bespeak_proto::v1 as pb;
use bytes::Bytes;
use http::Response;
use prost::Message;
use tokio::runtime::Handle;
use tonic::metadata::AsciiMetadataValue;

use crate::allocation::{self, Remote, Watched, Worker};
use crate::api::Api;
use crate::compute::{self, Caller, Client};
use crate::error::ApiError;
use crate::method::Method;
use crate::metrics::Shed;
use crate::store::Seen;
use crate::transport::body::{self, AnswerBody};
use crate::transport::dispatch::Call;

/// An answer ready to be sent once its revision is durable.
pub(crate) struct Encoded {
    /// The answer.
    pub response: Result<Response<AnswerBody>, ApiError>,
    /// What it saw.
    pub revision: u64,
}

impl Encoded {
    /// A failure that saw nothing.
    pub fn failed(error: ApiError) -> Self {
        Self {
            response: Err(error),
            revision: 0,
        }
    }
}

#[inline]
fn answer<Q: Message + Default, A: Message>(
    call: &Call,
    message: Bytes,
    act: impl FnOnce(Q) -> Seen<A>,
) -> Encoded {
    let request = match Q::decode(message) {
        Ok(request) => request,
        Err(error) => return Encoded::failed(ApiError::Malformed(error.to_string())),
    };
    encoded(call, act(request))
}

#[inline]
fn encoded<A: Message>(call: &Call, seen: Seen<A>) -> Encoded {
    let Seen { result, revision } = seen;
    Encoded {
        response: result.and_then(|answer| body::message(&answer, call.limit)),
        revision,
    }
}

/// Runs a method that does not wait.
pub(crate) fn run(api: &Api, call: &Call, message: Bytes) -> Encoded {
    let trace = call.trace_id;
    match call.method {
        Method::Check => answer(call, message, |request| api.check(request)),
        Method::Promise => answer(call, message, |request| api.promise(request, trace)),
        Method::Reserve => answer(call, message, |request| api.reserve(request, trace)),
        Method::Confirm => answer(call, message, |request| api.confirm(request, trace)),
        Method::Fulfil => answer(call, message, |request| api.fulfil(request, trace)),
        Method::Release => answer(call, message, |request| api.release(request, trace)),
        Method::Extend => answer(call, message, |request| api.extend(request, trace)),
        Method::GetReservation => answer(call, message, |request| api.get_reservation(&request)),
        Method::Explain => answer(call, message, |request| api.explain(request)),
        Method::CheckRegion => answer(call, message, |request| api.check_region(&request)),
        Method::AsOf => answer(call, message, |request| api.as_of(request)),
        Method::Repromise => answer(call, message, |_: pb::RepromiseRequest| {
            later::<pb::RepromiseResponse>("Repromise")
        }),
        Method::SetOnHand => answer(call, message, |request| api.set_on_hand(request, trace)),
        Method::AdjustOnHand => answer(call, message, |request| api.adjust_on_hand(request, trace)),
        Method::MoveStatus => answer(call, message, |request| api.move_status(request, trace)),
        Method::ScheduleReceipt => answer(call, message, |request| {
            api.schedule_receipt(request, trace)
        }),
        Method::ChangeReceipt => {
            answer(call, message, |request| api.change_receipt(request, trace))
        }
        Method::Receive => answer(call, message, |request| api.receive(request, trace)),
        Method::CancelReceipt => {
            answer(call, message, |request| api.cancel_receipt(request, trace))
        }
        Method::Transfer => answer(call, message, |request| api.transfer(request, trace)),
        Method::Return => answer(call, message, |request| api.return_goods(request, trace)),
        Method::GetPosition => answer(call, message, |request| api.get_position(request)),
        Method::ListShocks => answer(call, message, |request| api.list_shocks(&request)),
        _ => run_rest(api, call, message),
    }
}

fn run_rest(api: &Api, call: &Call, message: Bytes) -> Encoded {
    let trace = call.trace_id;
    match call.method {
        Method::PutItem => answer(call, message, |request| api.put_item(request, trace)),
        Method::PutLocation => answer(call, message, |request| api.put_location(request, trace)),
        Method::PutRegion => answer(call, message, |request| api.put_region(request, trace)),
        Method::PutLane => answer(call, message, |request| api.put_lane(request, trace)),
        Method::PutRule => answer(call, message, |request| api.put_rule(request, trace)),
        Method::PutBuffer => answer(call, message, |request| api.put_buffer(request, trace)),
        Method::PutBufferPolicy => answer(call, message, |request| {
            api.put_buffer_policy(request, trace)
        }),
        Method::PutNetwork => answer(call, message, |request| api.put_network(request)),
        Method::ForecastAccuracy => {
            answer(call, message, |request| api.forecast_accuracy(&request))
        }
        Method::PutQuota => answer(call, message, |_: pb::PutQuotaRequest| {
            later::<pb::PutQuotaResponse>("PutQuota")
        }),
        Method::PutProtection => answer(call, message, |_: pb::PutProtectionRequest| {
            later::<pb::PutProtectionResponse>("PutProtection")
        }),
        Method::PutCapacity => answer(call, message, |_: pb::PutCapacityRequest| {
            later::<pb::PutCapacityResponse>("PutCapacity")
        }),
        Method::GetItem => answer(call, message, |request| api.get_item(&request)),
        Method::GetLocation => answer(call, message, |request| api.get_location(&request)),
        Method::ListItems => answer(call, message, |request| api.list_items(&request)),
        Method::ListLocations => answer(call, message, |request| api.list_locations(&request)),
        Method::ListRegions => answer(call, message, |_: pb::ListRegionsRequest| {
            api.list_regions()
        }),
        Method::ListLanes => answer(call, message, |_: pb::ListLanesRequest| api.list_lanes()),
        Method::GetStats => answer(call, message, |request| api.get_stats(&request)),
        Method::ReportAvailability => answer(call, message, |request| api.report(&request)),
        Method::Reconcile => answer(call, message, |_: pb::ReconcileRequest| api.reconcile()),
        Method::Snapshot => answer(call, message, |_: pb::SnapshotRequest| api.snapshot()),
        Method::Backup => answer(call, message, |request| api.backup(&request)),
        Method::ConfirmClock => answer(call, message, |request| api.confirm_clock(&request)),
        Method::GetUnmetDemand => answer(call, message, |request| api.unmet_demand(&request)),
        other => Encoded::failed(ApiError::UnknownMethod(other.name().to_owned())),
    }
}

/// The answer of a method of a later version.
fn later<T>(method: &'static str) -> Seen<T> {
    Seen::failed(ApiError::NotInThisVersion(method))
}

/// Runs a method that asks the compute worker.
pub(crate) async fn compute(
    api: &Api,
    client: Option<&Arc<Client>>,
    call: &Call,
    traceparent: Option<AsciiMetadataValue>,
    message: Bytes,
) -> Encoded {
    if !matches!(call.method, Method::Forecast | Method::ForecastExplain) {
        let client = client.map(Arc::clone);
        return allocation(api, client, call, traceparent, message).await;
    }
    let client = client.map(Arc::as_ref);
    let caller = Caller {
        deadline: call.deadline,
        traceparent,
    };
    match call.method {
        Method::Forecast => match pb::ForecastRequest::decode(message) {
            Ok(request) => {
                let seen = compute::forecast(api, client, request, &caller, call.limit).await;
                encoded(call, seen)
            }
            Err(error) => Encoded::failed(ApiError::Malformed(error.to_string())),
        },
        Method::ForecastExplain => match pb::ForecastServiceExplainRequest::decode(message) {
            Ok(request) => encoded(call, compute::explain(api, client, request, &caller).await),
            Err(error) => Encoded::failed(ApiError::Malformed(error.to_string())),
        },
        other => Encoded::failed(ApiError::UnknownMethod(other.name().to_owned())),
    }
}

/// Runs a method that plans: on a thread of its own, as long as there is a seat and somebody waits.
async fn allocation(
    api: &Api,
    client: Option<Arc<Client>>,
    call: &Call,
    traceparent: Option<AsciiMetadataValue>,
    message: Bytes,
) -> Encoded {
    let seat = match api.desk().seats.take() {
        Ok(seat) => seat,
        Err(error) => {
            api.metrics().shed(Shed::Plans);
            return Encoded::failed(error);
        }
    };
    // Dropped with this call, when the caller is gone.
    let watched = Watched::default();
    let gone = Arc::clone(&watched.0);
    let (api, call, runtime) = (api.clone(), *call, Handle::current());
    let planned = tokio::task::spawn_blocking(move || {
        let _seat = seat;
        let remote = client.map(|client| Remote {
            client,
            runtime,
            traceparent,
            gone: Arc::clone(&gone),
        });
        let caller = allocation::Caller {
            deadline: call.deadline,
            gone: Some(&gone.flag),
            answer_bytes: Some(call.limit),
            worker: remote.as_ref().map(|remote| remote as &dyn Worker),
            trace_id: call.trace_id,
        };
        plan(&api, &call, &caller, message)
    });
    planned
        .await
        .unwrap_or_else(|error| Encoded::failed(ApiError::Internal(error.to_string())))
}

fn plan(api: &Api, call: &Call, caller: &allocation::Caller<'_>, message: Bytes) -> Encoded {
    match call.method {
        Method::Allocate => answer(call, message, |request| api.allocate(&request, caller)),
        Method::Reoptimise => answer(call, message, |request| api.reoptimise(&request, caller)),
        Method::AllocationExplain => answer(call, message, |request| {
            api.explain_allocation(&request, caller)
        }),
        Method::Simulate => answer(call, message, |request| api.simulate(&request, caller)),
        other => Encoded::failed(ApiError::UnknownMethod(other.name().to_owned())),
    }
}
