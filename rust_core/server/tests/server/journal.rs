//! Promises survive: a real journal in a directory.

use bespeak_proto::v1 as pb;
use bespeak_server::ServerConfig;
use bespeak_server::config::{JournalMode, JournalSettings};

use crate::world::{HOUR, World, ctx, now_ms, reserve, why};

pub fn durable(dir: &tempfile::TempDir) -> ServerConfig {
    let journal = JournalSettings {
        mode: Some(JournalMode::Group),
        path: Some(dir.path().to_owned()),
        segment_bytes: 32 << 20,
        ..Default::default()
    };
    ServerConfig {
        journal,
        ..ServerConfig::local()
    }
}

#[tokio::test]
async fn what_was_answered_is_found_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let request = reserve("tea", "ams1", 4);
    let mut world = World::with(durable(&dir)).await;
    world.put(&["tea"], &["ams1"]).await;
    world.stock("tea", "ams1", 10).await;
    let first = world
        .promise
        .reserve(request.clone())
        .await
        .expect("answered")
        .into_inner();
    assert_eq!(first.outcome(), pb::Outcome::Full);
    world.server.stop().expect("ends well");
    drop(world);

    let mut world = World::with(durable(&dir)).await;
    assert_eq!(world.available("tea", "ams1").await, 6);
    let again = world
        .promise
        .reserve(request)
        .await
        .expect("answered")
        .into_inner();
    assert_eq!(
        again,
        pb::ReserveResponse {
            replayed: true,
            ..first
        }
    );
}

#[tokio::test]
async fn many_clients_share_a_sync() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut world = World::with(durable(&dir)).await;
    world.put(&["tea"], &["ams1"]).await;
    world.stock("tea", "ams1", 1_000).await;
    let calls: Vec<_> = (0..64)
        .map(|_| {
            let mut client = world.promise.clone();
            tokio::spawn(async move {
                let mut seen = Vec::new();
                for _ in 0..10 {
                    let answer = client
                        .reserve(reserve("tea", "ams1", 1))
                        .await
                        .expect("answered")
                        .into_inner();
                    assert_eq!(answer.outcome(), pb::Outcome::Full);
                    seen.push(answer.revision);
                }
                assert!(seen.is_sorted(), "revisions rise for one caller");
            })
        })
        .collect();
    for call in calls {
        call.await.expect("no panic");
    }
    assert_eq!(world.available("tea", "ams1").await, 360);
    let store = world.server.api().expect("ready").store().observe();
    let batches = store.batch_records.expect("a journal");
    assert!(
        batches.sum > 2 * batches.count,
        "{} records in {} syncs",
        batches.sum,
        batches.count
    );
}

#[tokio::test]
async fn goods_in_another_unit_are_taken_once_even_when_the_receipt_is_gone() {
    let mut world = World::new().await;
    let item = pb::Item {
        item: "tea".into(),
        base_unit: "each".into(),
        units: vec![pb::UnitOfMeasure {
            unit: "case".into(),
            numerator: 12,
            denominator: 1,
        }],
        ..Default::default()
    };
    let request = pb::PutItemRequest {
        context: ctx(),
        item: Some(item),
    };
    world.catalog.put_item(request).await.expect("item is put");
    world.put(&[], &["ams1"]).await;
    let due = pb::schedule_receipt_request::Due::DueTimeMs(now_ms() + HOUR);
    let plan = pb::ScheduleReceiptRequest {
        context: ctx(),
        receipt_id: "po-1".into(),
        item: "tea".into(),
        location: "ams1".into(),
        quantity: 24,
        due: Some(due),
        ..Default::default()
    };
    world.supply.schedule_receipt(plan).await.expect("planned");
    let change = pb::ChangeReceiptRequest {
        context: ctx(),
        receipt_id: "po-1".into(),
        quantity: Some(2),
        unit: "case".into(),
        ..Default::default()
    };
    let changed = world.supply.change_receipt(change.clone()).await;
    let changed = changed.expect("changed").into_inner();
    let goods = pb::ReceiveRequest {
        context: ctx(),
        receipt_id: "po-1".into(),
        quantity: 2,
        unit: "case".into(),
        r#final: true,
        ..Default::default()
    };
    let first = world.supply.receive(goods.clone()).await;
    let first = first.expect("taken").into_inner().result.expect("a result");
    assert_eq!((first.on_hand, first.replayed), (24, false));
    // The receipt is closed now: nothing tells any more how much a case was.
    let again = world.supply.receive(goods.clone()).await;
    let again = again.expect("answered").into_inner().result;
    assert_eq!(
        again,
        Some(pb::SupplyResult {
            replayed: true,
            ..first
        })
    );
    let again = world.supply.change_receipt(change).await;
    let again = again.expect("answered").into_inner();
    assert_eq!(again.receipt_revision, changed.receipt_revision);
    let other = pb::ReceiveRequest {
        quantity: 3,
        ..goods
    };
    assert_eq!(
        why(world.supply.receive(other).await).1,
        "REQUEST_ID_REUSED"
    );
    assert_eq!(world.available("tea", "ams1").await, 24);
}

#[tokio::test]
async fn shocks_are_listed_in_pages_that_fit_a_message() {
    const ITEMS: usize = 40;
    let mut world = World::new().await;
    let names: Vec<String> = (0..ITEMS).map(|n| format!("item-{n:02}")).collect();
    let items: Vec<&str> = names.iter().map(String::as_str).collect();
    world.put(&items, &["ams1", "rtm1"]).await;
    for item in &items {
        world.stock(item, "ams1", 1_100).await;
        for _ in 0..5 {
            let mut order = reserve(item, "ams1", 1);
            order.lines = vec![order.lines[0].clone(); 220];
            let held = world.promise.reserve(order).await.expect("answered");
            assert_eq!(held.into_inner().outcome(), pb::Outcome::Full);
        }
        let loss = pb::AdjustOnHandRequest {
            context: ctx(),
            item: (*item).to_owned(),
            location: "ams1".into(),
            delta: -1_100,
            reason: pb::AdjustReason::Loss.into(),
            ..Default::default()
        };
        world.supply.adjust_on_hand(loss).await.expect("told");
    }
    let mut listed = Vec::new();
    let mut pages = 0;
    let mut request = pb::ListShocksRequest::default();
    loop {
        let page = world.supply.list_shocks(request.clone()).await;
        let page = page.expect("it fits").into_inner();
        pages += 1;
        listed.extend(page.shocks);
        request.after_shock_id = page.next_after_shock_id;
        if request.after_shock_id == 0 {
            break;
        }
    }
    assert!(pages > 1, "{pages} page");
    let named: Vec<&str> = listed.iter().map(|shock| &*shock.item).collect();
    assert_eq!(named, items);
    for shock in &listed {
        assert_eq!(
            (shock.at_risk.len(), shock.at_risk_total),
            (1_024, Some(1_100))
        );
    }
    let few = pb::ListShocksRequest {
        page_size: 3,
        ..Default::default()
    };
    let page = world.supply.list_shocks(few).await.expect("listed");
    let page = page.into_inner();
    assert_eq!(
        (page.shocks.len(), page.next_after_shock_id),
        (3, page.shocks[2].shock_id)
    );
    let elsewhere = pb::ListShocksRequest {
        location: "rtm1".into(),
        ..Default::default()
    };
    let page = world.supply.list_shocks(elsewhere).await.expect("listed");
    let page = page.into_inner();
    assert_eq!((page.shocks.len(), page.next_after_shock_id), (0, 0));
}
