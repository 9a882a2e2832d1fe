//! One call of one method: bytes of its message in, bytes of the answer out. The service behind is the one
//! that the server offers on the network, so both give the same answers.

use bespeak_proto::v1 as pb;
use bespeak_server::ApiError;
use bespeak_server::allocation::Caller;
use bespeak_server::api::Api;
use bespeak_server::method::Method;
use bespeak_server::store::Seen;
use prost::Message;

/// Answers a method by its path, such as `/bespeak.v1.PromiseService/Confirm`.
pub fn call(api: &Api, path: &str, message: &[u8]) -> Seen<Vec<u8>> {
    match Method::from_path(path) {
        Some(method) => promises(api, method, message)
            .or_else(|| supply(api, method, message))
            .or_else(|| catalog(api, method, message))
            .or_else(|| admin(api, method, message))
            .or_else(|| allocation(api, method, message))
            .unwrap_or_else(|| unknown(path)),
        None => unknown(path),
    }
}

fn promises(api: &Api, method: Method, message: &[u8]) -> Option<Seen<Vec<u8>>> {
    Some(match method {
        Method::Check => unary(message, |request| api.check(request)),
        Method::Promise => unary(message, |request| api.promise(request, NO_TRACE)),
        Method::Reserve => unary(message, |request| api.reserve(request, NO_TRACE)),
        Method::Extend => unary(message, |request| api.extend(request, NO_TRACE)),
        Method::Confirm => unary(message, |request| api.confirm(request, NO_TRACE)),
        Method::Fulfil => unary(message, |request| api.fulfil(request, NO_TRACE)),
        Method::Release => unary(message, |request| api.release(request, NO_TRACE)),
        Method::Explain => unary(message, |request| api.explain(request)),
        Method::CheckRegion => unary(message, |request| api.check_region(&request)),
        Method::AsOf => unary(message, |request| api.as_of(request)),
        Method::GetReservation => unary(message, |request| api.get_reservation(&request)),
        _ => return None,
    })
}

fn supply(api: &Api, method: Method, message: &[u8]) -> Option<Seen<Vec<u8>>> {
    Some(match method {
        Method::SetOnHand => unary(message, |request| api.set_on_hand(request, NO_TRACE)),
        Method::AdjustOnHand => unary(message, |request| api.adjust_on_hand(request, NO_TRACE)),
        Method::MoveStatus => unary(message, |request| api.move_status(request, NO_TRACE)),
        Method::ScheduleReceipt => {
            unary(message, |request| api.schedule_receipt(request, NO_TRACE))
        }
        Method::ChangeReceipt => unary(message, |request| api.change_receipt(request, NO_TRACE)),
        Method::Receive => unary(message, |request| api.receive(request, NO_TRACE)),
        Method::CancelReceipt => unary(message, |request| api.cancel_receipt(request, NO_TRACE)),
        Method::Transfer => unary(message, |request| api.transfer(request, NO_TRACE)),
        Method::Return => unary(message, |request| api.return_goods(request, NO_TRACE)),
        Method::GetPosition => unary(message, |request| api.get_position(request)),
        Method::ListShocks => unary(message, |request| api.list_shocks(&request)),
        _ => return None,
    })
}

fn catalog(api: &Api, method: Method, message: &[u8]) -> Option<Seen<Vec<u8>>> {
    Some(match method {
        Method::PutItem => unary(message, |request| api.put_item(request, NO_TRACE)),
        Method::PutLocation => unary(message, |request| api.put_location(request, NO_TRACE)),
        Method::PutRegion => unary(message, |request| api.put_region(request, NO_TRACE)),
        Method::PutLane => unary(message, |request| api.put_lane(request, NO_TRACE)),
        Method::PutRule => unary(message, |request| api.put_rule(request, NO_TRACE)),
        Method::PutBuffer => unary(message, |request| api.put_buffer(request, NO_TRACE)),
        Method::PutBufferPolicy => {
            unary(message, |request| api.put_buffer_policy(request, NO_TRACE))
        }
        Method::GetItem => unary(message, |request| api.get_item(&request)),
        Method::GetLocation => unary(message, |request| api.get_location(&request)),
        Method::ListItems => unary(message, |request| api.list_items(&request)),
        Method::ListLocations => unary(message, |request| api.list_locations(&request)),
        Method::ListRegions => unary(message, |_: pb::ListRegionsRequest| api.list_regions()),
        Method::ListLanes => unary(message, |_: pb::ListLanesRequest| api.list_lanes()),
        _ => return None,
    })
}

fn admin(api: &Api, method: Method, message: &[u8]) -> Option<Seen<Vec<u8>>> {
    Some(match method {
        Method::GetStats => unary(message, |request| api.get_stats(&request)),
        Method::Reconcile => unary(message, |_: pb::ReconcileRequest| api.reconcile()),
        Method::Snapshot => unary(message, |_: pb::SnapshotRequest| api.snapshot()),
        Method::Backup => unary(message, |request| api.backup(&request)),
        Method::ConfirmClock => unary(message, |request| api.confirm_clock(&request)),
        Method::ReportAvailability => unary(message, |request| api.report(&request)),
        Method::GetUnmetDemand => unary(message, |request| api.unmet_demand(&request)),
        _ => return None,
    })
}

/// Plans are made by the search in this process: there is no worker.
fn allocation(api: &Api, method: Method, message: &[u8]) -> Option<Seen<Vec<u8>>> {
    let caller = Caller::default();
    Some(match method {
        Method::PutNetwork => unary(message, |request| api.put_network(request)),
        Method::Allocate => unary(message, |request| api.allocate(&request, &caller)),
        Method::Reoptimise => unary(message, |request| api.reoptimise(&request, &caller)),
        Method::AllocationExplain => {
            unary(message, |request| api.explain_allocation(&request, &caller))
        }
        Method::Simulate => unary(message, |request| api.simulate(&request, &caller)),
        _ => return None,
    })
}

/// A call inside a process is part of no trace.
const NO_TRACE: u128 = 0;

fn unary<Q: Message + Default, A: Message>(
    message: &[u8],
    act: impl FnOnce(Q) -> Seen<A>,
) -> Seen<Vec<u8>> {
    match Q::decode(message) {
        Ok(request) => act(request).map(|answer| answer.encode_to_vec()),
        Err(error) => Seen::failed(ApiError::Malformed(error.to_string())),
    }
}

fn unknown(path: &str) -> Seen<Vec<u8>> {
    Seen::failed(ApiError::UnknownMethod(path.to_owned()))
}
