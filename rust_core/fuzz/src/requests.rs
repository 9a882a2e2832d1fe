//! Requests of every unary method, through decoding, conversion, the engine and encoding.

use std::sync::Arc;

use bespeak_journal::ManualClock;
use bespeak_proto::v1 as pb;
use bespeak_server::Surroundings;
use bespeak_server::api::Api;
use bespeak_server::config::{EngineSettings, JournalSettings};
use bespeak_server::hostile;
use bespeak_server::method::Method;
use bespeak_server::metrics::Metrics;
use bespeak_server::store::Store;
use bytes::Bytes;
use fastrand::Rng;
use prost::Message;

use crate::mutate;

/// Inputs of one round.
const INPUTS: usize = 300;
pub const NOW_MS: i64 = 1_790_000_000_000;

/// A partition in memory with a clock of its own.
pub fn world() -> (Api, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(NOW_MS));
    let around = Surroundings {
        clock: Arc::clone(&clock) as _,
        ..Surroundings::default()
    };
    let (journal, engine) = (JournalSettings::default(), EngineSettings::default());
    let store = Store::open(&journal, &engine, around, &Arc::default()).expect("opens");
    let api = Api::new(Arc::new(store), Arc::new(Metrics::default()));
    let mut rng = Rng::with_seed(1);
    for (method, message) in corpus(&mut rng) {
        let _ = hostile::unary(&api, method, message.into());
    }
    (api, clock)
}

fn context(rng: &mut Rng) -> Option<pb::RequestContext> {
    Some(pb::RequestContext {
        request_id: format!("{:032x}", rng.u128(..)),
        ..Default::default()
    })
}

/// Requests that make sense, in an order in which they do.
fn corpus(rng: &mut Rng) -> Vec<(Method, Vec<u8>)> {
    let mut all = Vec::new();
    for item in ["tea", "milk"] {
        let case = pb::UnitOfMeasure {
            unit: "case".into(),
            numerator: 12,
            denominator: 1,
        };
        let item = pb::Item {
            item: item.into(),
            base_unit: "each".into(),
            units: vec![case],
            ..Default::default()
        };
        let put = pb::PutItemRequest {
            context: context(rng),
            item: Some(item),
        };
        all.push((Method::PutItem, put.encode_to_vec()));
    }
    for location in ["ams1", "rtm1"] {
        let location = pb::Location {
            location: location.into(),
            time_zone: "Europe/Amsterdam".into(),
            ..Default::default()
        };
        let put = pb::PutLocationRequest {
            context: context(rng),
            location: Some(location),
        };
        all.push((Method::PutLocation, put.encode_to_vec()));
    }
    let region = pb::Region {
        region: "europe".into(),
        locations: vec!["ams1".into(), "rtm1".into()],
    };
    let put = pb::PutRegionRequest {
        context: context(rng),
        region: Some(region),
    };
    all.push((Method::PutRegion, put.encode_to_vec()));
    let count = pb::SetOnHandRequest {
        context: context(rng),
        item: "tea".into(),
        location: "ams1".into(),
        quantity: 100,
        ..Default::default()
    };
    all.push((Method::SetOnHand, count.encode_to_vec()));
    all.extend(facts(rng));
    all.extend(promises(rng));
    all.extend(reads());
    all
}

fn facts(rng: &mut Rng) -> Vec<(Method, Vec<u8>)> {
    let adjust = pb::AdjustOnHandRequest {
        context: context(rng),
        item: "tea".into(),
        location: "ams1".into(),
        delta: -3,
        reason: pb::AdjustReason::Sale.into(),
        happened_at_ms: NOW_MS - 1_000,
        ..Default::default()
    };
    let move_status = pb::MoveStatusRequest {
        context: context(rng),
        item: "tea".into(),
        location: "ams1".into(),
        quantity: 1,
        to_status: pb::StockStatus::Blocked.into(),
        ..Default::default()
    };
    let due = pb::schedule_receipt_request::Due::DueDate("2026-10-01".into());
    let schedule = pb::ScheduleReceiptRequest {
        context: context(rng),
        receipt_id: "po-1".into(),
        item: "tea".into(),
        location: "ams1".into(),
        quantity: 4,
        unit: "case".into(),
        due: Some(due),
        spread: Some(pb::ArrivalSpread {
            late_time_ms: NOW_MS + 90_000_000,
            yield_ppm: 900_000,
        }),
        ..Default::default()
    };
    let change = pb::ChangeReceiptRequest {
        context: context(rng),
        receipt_id: "po-1".into(),
        quantity: Some(5),
        unit: "case".into(),
        ..Default::default()
    };
    let receive = pb::ReceiveRequest {
        context: context(rng),
        receipt_id: "po-1".into(),
        quantity: 1,
        unit: "case".into(),
        ..Default::default()
    };
    let transfer = pb::TransferRequest {
        context: context(rng),
        item: "tea".into(),
        from_location: "ams1".into(),
        to_location: "rtm1".into(),
        quantity: 5,
        due_time_ms: NOW_MS + 3_600_000,
        receipt_id: "tr-1".into(),
        ..Default::default()
    };
    let back = pb::ReturnRequest {
        context: context(rng),
        item: "tea".into(),
        location: "ams1".into(),
        quantity: 1,
        ..Default::default()
    };
    let cancel = pb::CancelReceiptRequest {
        context: context(rng),
        receipt_id: "tr-1".into(),
        ..Default::default()
    };
    vec![
        (Method::AdjustOnHand, adjust.encode_to_vec()),
        (Method::MoveStatus, move_status.encode_to_vec()),
        (Method::ScheduleReceipt, schedule.encode_to_vec()),
        (Method::ChangeReceipt, change.encode_to_vec()),
        (Method::Receive, receive.encode_to_vec()),
        (Method::Transfer, transfer.encode_to_vec()),
        (Method::Return, back.encode_to_vec()),
        (Method::CancelReceipt, cancel.encode_to_vec()),
    ]
}

fn promises(rng: &mut Rng) -> Vec<(Method, Vec<u8>)> {
    let line = pb::ReserveLine {
        item: "tea".into(),
        location: "ams1".into(),
        quantity: 2,
        ship_time_ms: NOW_MS + 3_600_000,
        latest_ship_time_ms: NOW_MS + 7_200_000,
        ..Default::default()
    };
    let reserve = pb::ReserveRequest {
        context: context(rng),
        lines: vec![line],
        customer: "c-1".into(),
        expires_in_ms: 60_000,
        ..Default::default()
    };
    let line = pb::PromiseLine {
        item: "tea".into(),
        quantity: 3,
        ..Default::default()
    };
    let promise = pb::PromiseRequest {
        context: context(rng),
        lines: vec![line],
        locations: vec!["ams1".into(), "rtm1".into()],
        min_split_quantity: 1,
        max_packages: 2,
        ..Default::default()
    };
    let explain = pb::ExplainRequest {
        promise: Some(promise.clone()),
    };
    let confirm = pb::ConfirmRequest {
        context: context(rng),
        reservation_id: 1,
    };
    let extend = pb::ExtendRequest {
        context: context(rng),
        reservation_id: 2,
        expires_in_ms: 60_000,
    };
    let fulfil = pb::FulfilRequest {
        context: context(rng),
        reservation_id: 1,
        lines: vec![pb::FulfilLine {
            quantity: 1,
            location: "rtm1".into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let release = pb::ReleaseRequest {
        context: context(rng),
        reservation_id: 2,
        ..Default::default()
    };
    vec![
        (Method::Reserve, reserve.encode_to_vec()),
        (Method::Promise, promise.encode_to_vec()),
        (Method::Explain, explain.encode_to_vec()),
        (Method::Confirm, confirm.encode_to_vec()),
        (Method::Extend, extend.encode_to_vec()),
        (Method::Fulfil, fulfil.encode_to_vec()),
        (Method::Release, release.encode_to_vec()),
    ]
}

fn reads() -> Vec<(Method, Vec<u8>)> {
    let line = pb::CheckLine {
        item: "tea".into(),
        location: "ams1".into(),
        quantity: 3,
        unit: "case".into(),
        ..Default::default()
    };
    let rule = pb::RuleOverride {
        on_hand_only: true,
        ..Default::default()
    };
    let check = pb::CheckRequest {
        lines: vec![line],
        with_staircase: true,
        rule: Some(rule),
        ..Default::default()
    };
    let region = pb::CheckRegionRequest {
        region: "europe".into(),
        items: vec!["tea".into()],
        hours: 24,
    };
    let report = pb::ReportAvailabilityRequest {
        item: "tea".into(),
        location: "ams1".into(),
        mode: pb::AvailabilityMode::Backward.into(),
        buckets: 7,
        ..Default::default()
    };
    let position = pb::GetPositionRequest {
        item: "tea".into(),
        location: "ams1".into(),
    };
    vec![
        (Method::Check, check.encode_to_vec()),
        (Method::CheckRegion, region.encode_to_vec()),
        (Method::ReportAvailability, report.encode_to_vec()),
        (Method::GetPosition, position.encode_to_vec()),
    ]
}

/// Mutated requests to one partition, time passing between them.
pub fn round(rng: &mut Rng, note: &mut dyn FnMut(&str, &[u8])) {
    let (api, clock) = world();
    let corpus = corpus(rng);
    let methods: Vec<Method> = hostile::methods().collect();
    for _ in 0..INPUTS {
        let (mut method, mut message) = corpus[rng.usize(0..corpus.len())].clone();
        match rng.u8(0..10) {
            0 => mutate::bytes(rng, &mut message),
            1 => method = methods[rng.usize(0..methods.len())],
            _ => {
                mutate::message(rng, &mut message);
            }
        }
        note(method.name(), &message);
        let _ = hostile::unary(&api, method, Bytes::from(message));
        if rng.u8(0..20) == 0 {
            clock.pass(rng.i64(0..50_000));
        }
    }
    // Whatever was said, everything still adds up.
    let sound = api.store().partition().peek(|state| state.reconcile());
    assert_eq!(sound.expect("it has not stopped"), []);
}
