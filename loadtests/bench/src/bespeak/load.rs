//! Fills a server with what benchmarks run on: positions with stock, receipts and open commitments; and
//! reads back what is left of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use bespeak_proto::v1::*;

use super::LOCATION;
use super::wire::{context, item};
use crate::grpc::Channel;
use crate::ids::Ids;

/// Of a position, where nothing else is asked.
pub const RECEIPTS: u32 = 4;
pub const COMMITMENTS: u32 = 8;
const RECEIPT_UNITS: u64 = 20;
const COMMITMENT_UNITS: u64 = 10;
const DAY_MS: i64 = 86_400_000;
/// Positions that one reservation of the loading takes from.
const BLOCK: u32 = 250;
const TASKS: u64 = 64;
/// Lines of one Check when the stock is read back.
const CHECK_LINES: u32 = 250;
const SERVING_MAX: Duration = Duration::from_secs(60);

const CATALOG: &str = "/bespeak.v1.CatalogService";
const SUPPLY: &str = "/bespeak.v1.SupplyService";
const PROMISE: &str = "/bespeak.v1.PromiseService";

/// What a position has beside its stock.
#[derive(Clone, Copy, PartialEq)]
pub struct Each {
    pub receipts: u32,
    pub commitments: u32,
}

impl Default for Each {
    fn default() -> Self {
        Self {
            receipts: RECEIPTS,
            commitments: COMMITMENTS,
        }
    }
}

/// Loads one position a stock, from SKU 0 on.
///
/// # Errors
/// The server refuses anything of it.
pub async fn load(port: u16, stocks: Arc<[u64]>) -> Result<()> {
    load_over(Channel::connect(port).await?, stocks, Each::default()).await
}

/// The same over a connection, with so much of each position.
///
/// # Errors
/// As for [`load`].
pub async fn load_over(mut channel: Channel, stocks: Arc<[u64]>, each: Each) -> Result<()> {
    until_serving(&mut channel).await?;
    let mut ids = Ids::new(u64::MAX);
    let location = Location {
        location: LOCATION.to_owned(),
        kind: LocationKind::Dc.into(),
        ..Default::default()
    };
    let request = PutLocationRequest {
        context: next(&mut ids),
        location: Some(location),
    };
    let _: PutLocationResponse = channel
        .call(&format!("{CATALOG}/PutLocation"), &request)
        .await?;

    let next_block = Arc::new(AtomicU32::new(0));
    let now_ms = now_ms();
    let mut tasks = Vec::new();
    for salt in 0..TASKS {
        let mut loader = Loader {
            channel: channel.clone(),
            ids: Ids::new(salt),
            now_ms,
            each,
        };
        let (stocks, next_block) = (stocks.clone(), next_block.clone());
        tasks.push(tokio::spawn(async move {
            loop {
                let first = next_block.fetch_add(1, Ordering::Relaxed) * BLOCK;
                let skus = first..(first + BLOCK).min(stocks.len() as u32);
                if skus.is_empty() {
                    return Ok(());
                }
                loader.block(skus, &stocks).await?;
            }
        }));
    }
    for task in tasks {
        let result: Result<()> = task.await?;
        result?;
    }
    Ok(())
}

struct Loader {
    channel: Channel,
    ids: Ids,
    now_ms: i64,
    each: Each,
}

impl Loader {
    async fn block(&mut self, skus: std::ops::Range<u32>, stocks: &[u64]) -> Result<()> {
        for sku in skus.clone() {
            self.position(sku, stocks[sku as usize]).await?;
        }
        for commitment in 0..i64::from(self.each.commitments) {
            // Two commitments follow each receipt, so that only the stock of today limits today.
            let ship_time_ms = self.now_ms + (2 + commitment) * DAY_MS + DAY_MS / 2;
            let line = |sku| ReserveLine {
                item: item(sku),
                location: LOCATION.to_owned(),
                quantity: COMMITMENT_UNITS,
                ship_time_ms,
                ..Default::default()
            };
            let request = ReserveRequest {
                context: next(&mut self.ids),
                lines: skus.clone().map(line).collect(),
                confirm: true,
                ..Default::default()
            };
            let response: ReserveResponse = self
                .channel
                .call(&format!("{PROMISE}/Reserve"), &request)
                .await?;
            ensure!(
                response.outcome() == Outcome::Full,
                "loading was refused: {response:?}"
            );
        }
        Ok(())
    }

    async fn position(&mut self, sku: u32, stock: u64) -> Result<()> {
        let request = PutItemRequest {
            context: next(&mut self.ids),
            item: Some(Item {
                item: item(sku),
                base_unit: "each".to_owned(),
                ..Default::default()
            }),
        };
        let _: PutItemResponse = self
            .channel
            .call(&format!("{CATALOG}/PutItem"), &request)
            .await?;
        let request = SetOnHandRequest {
            context: next(&mut self.ids),
            item: item(sku),
            location: LOCATION.to_owned(),
            status: StockStatus::Unrestricted.into(),
            quantity: stock,
            ..Default::default()
        };
        let response: SetOnHandResponse = self
            .channel
            .call(&format!("{SUPPLY}/SetOnHand"), &request)
            .await?;
        done(response.result)?;
        let usual = self.each == Each::default();
        for receipt in 0..i64::from(self.each.receipts) {
            let request = ScheduleReceiptRequest {
                context: next(&mut self.ids),
                receipt_id: format!("po-{sku}-{receipt}"),
                item: item(sku),
                location: LOCATION.to_owned(),
                // With other numbers the first covers all commitments, so that only the stock of today limits today
                // there too.
                quantity: if receipt == 0 && !usual {
                    u64::from(self.each.commitments).max(1) * COMMITMENT_UNITS
                } else {
                    RECEIPT_UNITS
                },
                kind: ReceiptKind::PurchaseOrder.into(),
                due: Some(schedule_receipt_request::Due::DueTimeMs(
                    self.now_ms + (2 + 2 * receipt) * DAY_MS,
                )),
                ..Default::default()
            };
            let response: ScheduleReceiptResponse = self
                .channel
                .call(&format!("{SUPPLY}/ScheduleReceipt"), &request)
                .await?;
            done(response.result)?;
        }
        Ok(())
    }
}

/// What can be had now of each SKU.
///
/// # Errors
/// The server refuses the check.
pub async fn stocks(channel: &mut Channel, skus: u32) -> Result<Vec<i64>> {
    let mut left = Vec::with_capacity(skus as usize);
    for first in (0..skus).step_by(CHECK_LINES as usize) {
        let line = |sku| CheckLine {
            item: item(sku),
            location: LOCATION.to_owned(),
            ..Default::default()
        };
        let lines = (first..(first + CHECK_LINES).min(skus)).map(line).collect();
        let request = CheckRequest {
            lines,
            ..Default::default()
        };
        let response: CheckResponse = channel.call(&format!("{PROMISE}/Check"), &request).await?;
        left.extend(
            response
                .results
                .iter()
                .map(|result| result.available.cast_signed()),
        );
    }
    Ok(left)
}

/// The server's own proof: conservation of every position over the journal.
///
/// # Errors
/// A position does not add up, or units were oversold.
pub async fn reconcile(channel: &mut Channel) -> Result<ReconcileResponse> {
    let response: ReconcileResponse = channel
        .call("/bespeak.v1.AdminService/Reconcile", &ReconcileRequest {})
        .await?;
    ensure!(
        response.oversold_units == 0 && response.discrepancies.is_empty(),
        "reconcile found {} units oversold and {} discrepancies, the first: {:?}",
        response.oversold_units,
        response.discrepancies.len(),
        response.discrepancies.first()
    );
    Ok(response)
}

/// What the server says of itself.
///
/// # Errors
/// It does not answer.
pub async fn stats(channel: &mut Channel) -> Result<GetStatsResponse> {
    channel
        .call(
            "/bespeak.v1.AdminService/GetStats",
            &GetStatsRequest::default(),
        )
        .await
}

/// The port is open before recovery ends.
///
/// # Errors
/// It is not ready within a minute.
pub async fn until_serving(channel: &mut Channel) -> Result<()> {
    let deadline = Instant::now() + SERVING_MAX;
    loop {
        match stats(channel).await {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > deadline => {
                return Err(error).context("the server does not get ready");
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

fn next(ids: &mut Ids) -> Option<RequestContext> {
    context(std::str::from_utf8(&ids.next_text()).expect("ids are hex digits"))
}

fn done(result: Option<SupplyResult>) -> Result<()> {
    match result.map(|result| result.refusal()) {
        Some(Refusal::Unspecified) => Ok(()),
        other => bail!("loading was refused: {other:?}"),
    }
}

fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis() as i64
}
