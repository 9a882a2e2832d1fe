//! Writes that come again: under the number of a feed, and in a unit of measure that is worth something else by then.

use bespeak_proto::v1 as pb;
use tonic::Code;

use crate::pushing::position;
use crate::world::{HOUR, World, ctx, now_ms, promise, reserve, why};

/// A context of an event, under an id that was never used.
fn event(sequence: u64) -> Option<pb::RequestContext> {
    let source = pb::SourceSequence {
        source: "wms".into(),
        sequence,
    };
    Some(pb::RequestContext {
        source: Some(source),
        ..ctx().expect("a context")
    })
}

#[tokio::test]
async fn an_event_of_a_reservation_counts_once() {
    let mut world = World::new().await;
    world.put(&["tea"], &["ams1"]).await;
    world.stock("tea", "ams1", 20).await;
    let mut request = reserve("tea", "ams1", 10);
    request.context = event(1);
    let held = world.promise.reserve(request.clone()).await;
    let held = held.expect("answered").into_inner();
    assert!(held.reservation_id > 0 && !held.duplicate);

    request.context = event(1);
    let again = world.promise.reserve(request).await;
    let again = again.expect("no error").into_inner();
    let ignored = pb::ReserveResponse {
        revision: again.revision,
        engine_time_ms: again.engine_time_ms,
        replayed: true,
        duplicate: true,
        ..Default::default()
    };
    assert_eq!(again, ignored);
    assert!(again.revision >= held.revision && again.engine_time_ms >= held.engine_time_ms);
    let mut request = promise("tea", &["ams1"], 1);
    request.context = event(1);
    let again = world.promise.promise(request).await;
    let again = again.expect("no error").into_inner();
    assert!(again.duplicate && again.replayed);
    assert_eq!((again.reservation_id, again.outcome), (0, 0));

    macro_rules! twice {
        ($method:ident($request:expr), $sequence:literal) => {{
            let mut request = $request;
            request.context = event($sequence);
            let first = world.promise.$method(request.clone()).await;
            let first = first.expect("answered").into_inner();
            assert_eq!(
                first.refusal(),
                pb::Refusal::Unspecified,
                stringify!($method)
            );
            assert!(!first.duplicate && !first.replayed, stringify!($method));
            request.context = event($sequence);
            let again = world.promise.$method(request).await;
            let again = again.expect("no error").into_inner();
            assert!(again.duplicate && again.replayed, stringify!($method));
        }};
    }
    let reservation_id = held.reservation_id;
    twice!(
        extend(pb::ExtendRequest {
            reservation_id,
            expires_in_ms: HOUR,
            ..Default::default()
        }),
        2
    );
    twice!(
        confirm(pb::ConfirmRequest {
            reservation_id,
            ..Default::default()
        }),
        3
    );
    let left = pb::FulfilLine {
        quantity: 4,
        ..Default::default()
    };
    twice!(
        fulfil(pb::FulfilRequest {
            reservation_id,
            lines: vec![left],
            ..Default::default()
        }),
        4
    );
    let back = pb::ReleaseLine {
        quantity: 1,
        ..Default::default()
    };
    twice!(
        release(pb::ReleaseRequest {
            reservation_id,
            lines: vec![back],
            ..Default::default()
        }),
        5
    );

    let request = pb::GetReservationRequest { reservation_id };
    let found = world.promise.get_reservation(request).await;
    let found = found.expect("answered").into_inner().reservation;
    let found = found.expect("it is open");
    let line = &found.lines[0];
    assert_eq!(
        (
            line.open_quantity,
            line.fulfilled_quantity,
            line.released_quantity
        ),
        (5, 4, 1)
    );
    assert_eq!(world.available("tea", "ams1").await, 11);
    let stats = world.admin.get_stats(pb::GetStatsRequest::default()).await;
    let stats = stats.expect("stats").into_inner();
    assert_eq!(stats.sources[0].duplicates, 6);
}

/// Puts tea, with a case of so many; with none there is no such unit.
async fn tea(world: &mut World, case: u64) {
    let unit = (case > 0).then(|| pb::UnitOfMeasure {
        unit: "case".into(),
        numerator: case,
        denominator: 1,
    });
    let item = pb::Item {
        item: "tea".into(),
        base_unit: "each".into(),
        units: unit.into_iter().collect(),
        ..Default::default()
    };
    let request = pb::PutItemRequest {
        context: ctx(),
        item: Some(item),
    };
    world.catalog.put_item(request).await.expect("item is put");
}

/// What is known of tea at ams1.
async fn stock(world: &mut World) -> (i64, i64, u64, u64, Vec<(String, u64)>) {
    let seen = position(world, "tea", "ams1").await;
    let receipts = seen.receipts.into_iter();
    (
        seen.unrestricted,
        seen.quality,
        seen.held,
        seen.buffer,
        receipts
            .map(|one| (one.receipt_id, one.open_quantity))
            .collect(),
    )
}

fn case() -> String {
    "case".to_owned()
}

/// A caller who is told that the id was used for another request, or that there is no such unit, would take a new id: the
/// stock would move twice.
#[tokio::test]
async fn a_request_in_a_unit_gets_its_first_answer_whatever_the_unit_is_worth() {
    let mut world = World::new().await;
    world.put(&["tea"], &["ams1", "rtm1"]).await;

    macro_rules! once {
        ($service:ident.$method:ident($request:expr) $(, $part:ident)?) => {{
            tea(&mut world, 12).await;
            let mut request = $request;
            request.context = ctx();
            let first = world.$service.$method(request.clone()).await;
            let first = first.expect(stringify!($method)).into_inner();
            assert!(!first$(.$part.expect("a result"))?.replayed, stringify!($method));
            let before = stock(&mut world).await;
            for case in [24, 0] {
                tea(&mut world, case).await;
                let again = world.$service.$method(request.clone()).await;
                let again = again.expect(stringify!($method)).into_inner();
                assert!(again$(.$part.expect("a result"))?.replayed, stringify!($method));
                assert_eq!(stock(&mut world).await, before, stringify!($method));
            }
        }};
    }
    let (item, location) = (|| "tea".to_owned(), || "ams1".to_owned());
    once!(
        supply.set_on_hand(pb::SetOnHandRequest {
            item: item(),
            location: location(),
            quantity: 20,
            unit: case(),
            ..Default::default()
        }),
        result
    );
    once!(
        supply.adjust_on_hand(pb::AdjustOnHandRequest {
            item: item(),
            location: location(),
            delta: -2,
            unit: case(),
            reason: pb::AdjustReason::Sale.into(),
            ..Default::default()
        }),
        result
    );
    once!(
        supply.move_status(pb::MoveStatusRequest {
            item: item(),
            location: location(),
            from_status: pb::StockStatus::Unrestricted.into(),
            to_status: pb::StockStatus::Quality.into(),
            quantity: 1,
            unit: case(),
            ..Default::default()
        }),
        result
    );
    let due_time_ms = now_ms() + HOUR;
    once!(
        supply.schedule_receipt(pb::ScheduleReceiptRequest {
            receipt_id: "po-1".into(),
            item: item(),
            location: location(),
            quantity: 5,
            unit: case(),
            due: Some(pb::schedule_receipt_request::Due::DueTimeMs(due_time_ms)),
            kind: pb::ReceiptKind::PurchaseOrder.into(),
            ..Default::default()
        }),
        result
    );
    once!(
        supply.change_receipt(pb::ChangeReceiptRequest {
            receipt_id: "po-1".into(),
            quantity: Some(4),
            unit: case(),
            ..Default::default()
        }),
        result
    );
    once!(
        supply.receive(pb::ReceiveRequest {
            receipt_id: "po-1".into(),
            quantity: 1,
            unit: case(),
            ..Default::default()
        }),
        result
    );
    once!(
        supply.transfer(pb::TransferRequest {
            item: item(),
            from_location: location(),
            to_location: "rtm1".into(),
            quantity: 1,
            unit: case(),
            receipt_id: "t-1".into(),
            due_time_ms,
            ..Default::default()
        }),
        result
    );
    once!(
        supply.r#return(pb::ReturnRequest {
            item: item(),
            location: location(),
            quantity: 1,
            unit: case(),
            ..Default::default()
        }),
        result
    );
    once!(
        catalog.put_buffer(pb::PutBufferRequest {
            item: item(),
            location: location(),
            quantity: 1,
            unit: case(),
            ..Default::default()
        }),
        result
    );
    let mut order = reserve("tea", "ams1", 2);
    order.lines[0].unit = case();
    once!(promise.reserve(order));
    let mut order = promise("tea", &["ams1"], 2);
    order.lines[0].unit = case();
    once!(promise.promise(order));
    // 20 cases less 2 sold, 1 moved and 1 sent, and 2 that came; a buffer of 1, and 2 orders of 2.
    let receipts = vec![("po-1".to_owned(), 3 * 12)];
    assert_eq!(stock(&mut world).await, (18 * 12, 12, 4 * 12, 12, receipts));
}

#[tokio::test]
async fn another_request_in_a_unit_is_refused_under_the_id_of_the_first() {
    let mut world = World::new().await;
    world.put(&["tea"], &["ams1"]).await;
    tea(&mut world, 12).await;
    let request = pb::ScheduleReceiptRequest {
        context: ctx(),
        receipt_id: "po-1".into(),
        item: "tea".into(),
        location: "ams1".into(),
        quantity: 100,
        due: Some(pb::schedule_receipt_request::Due::DueTimeMs(
            now_ms() + HOUR,
        )),
        kind: pb::ReceiptKind::PurchaseOrder.into(),
        ..Default::default()
    };
    world.supply.schedule_receipt(request).await.expect("taken");
    // The fields of a receipt that is changed and of one that comes have the same numbers.
    let context = ctx();
    let change = pb::ChangeReceiptRequest {
        context: context.clone(),
        receipt_id: "po-1".into(),
        quantity: Some(5),
        unit: case(),
        ..Default::default()
    };
    let changed = world.supply.change_receipt(change.clone()).await;
    assert!(changed.is_ok());
    let come = pb::ReceiveRequest {
        context,
        receipt_id: "po-1".into(),
        quantity: 5,
        unit: case(),
        ..Default::default()
    };
    let reused = (Code::AlreadyExists, "REQUEST_ID_REUSED".to_owned());
    assert_eq!(why(world.supply.receive(come).await), reused);
    let more = pb::ChangeReceiptRequest {
        quantity: Some(6),
        ..change
    };
    assert_eq!(why(world.supply.change_receipt(more.clone()).await), reused);
    // Nor is the first answer given to it where no command can be made of it.
    tea(&mut world, 0).await;
    let unknown = (Code::InvalidArgument, "UNKNOWN_UNIT".to_owned());
    assert_eq!(why(world.supply.change_receipt(more).await), unknown);
    let receipts = vec![("po-1".to_owned(), 60)];
    assert_eq!(stock(&mut world).await, (0, 0, 0, 0, receipts));
}
