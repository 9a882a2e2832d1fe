//! Facts about stock.

use bespeak_engine::limits::MAX_AT_RISK_ENTRIES;
use bespeak_engine::{Answer, Command, ItemId, Meta, ShockId, State, StockStatus, SupplyReply};
use bespeak_proto::v1 as pb;
use prost::Message;

use super::{Api, feed};
use crate::convert::{buffers, check, context, fields, item, location, reply, supply};
use crate::error::ApiError;
use crate::method::Method;
use crate::store::Seen;

/// Shocks of one answer …
const SHOCKS_MAX: usize = 1_000;
/// … and their bytes, but for the last: well below the smallest sensible limit of messages.
const SHOCK_BYTES_MAX: usize = 512 << 10;
/// Open shocks looked at for one answer, those of other locations included.
const SHOCKS_LOOKED_AT: usize = 100_000;

impl Api {
    fn fact(
        &self,
        meta: Result<Meta, ApiError>,
        command: impl FnOnce(&State) -> Result<Command, ApiError>,
    ) -> Seen<(pb::SupplyResult, SupplyReply)> {
        let feed = feed(&meta);
        self.store.write(meta, command, |state, answer: Answer| {
            let (result, reply) = reply::supply(state, &answer)?;
            self.count_duplicate(feed.as_deref(), &answer);
            self.metrics.refused(reply.refusal);
            Ok((result, reply))
        })
    }

    /// A count.
    pub fn set_on_hand(
        &self,
        mut request: pb::SetOnHandRequest,
        trace: u128,
    ) -> Seen<pb::SetOnHandResponse> {
        let meta = context::meta(&mut request.context, trace);
        request.context = None;
        let meta = context::as_sent(meta, Method::SetOnHand, &request, !request.unit.is_empty());
        self.fact(meta, |state| supply::set_on_hand(state.catalog(), &request))
            .map(|(result, _)| pb::SetOnHandResponse {
                result: Some(result),
            })
    }

    /// A correction, or stock that left without a reservation.
    pub fn adjust_on_hand(
        &self,
        mut request: pb::AdjustOnHandRequest,
        trace: u128,
    ) -> Seen<pb::AdjustOnHandResponse> {
        let meta = context::meta(&mut request.context, trace);
        request.context = None;
        let meta = context::as_sent(
            meta,
            Method::AdjustOnHand,
            &request,
            !request.unit.is_empty(),
        );
        self.fact(meta, |state| {
            supply::adjust_on_hand(state.catalog(), &request)
        })
        .map(|(result, _)| pb::AdjustOnHandResponse {
            result: Some(result),
        })
    }

    /// From one status to another.
    pub fn move_status(
        &self,
        mut request: pb::MoveStatusRequest,
        trace: u128,
    ) -> Seen<pb::MoveStatusResponse> {
        let meta = context::meta(&mut request.context, trace);
        request.context = None;
        let meta = context::as_sent(meta, Method::MoveStatus, &request, !request.unit.is_empty());
        self.fact(meta, |state| supply::move_status(state.catalog(), &request))
            .map(|(result, _)| pb::MoveStatusResponse {
                result: Some(result),
            })
    }

    /// Plans an inbound quantity.
    pub fn schedule_receipt(
        &self,
        mut request: pb::ScheduleReceiptRequest,
        trace: u128,
    ) -> Seen<pb::ScheduleReceiptResponse> {
        let meta = context::meta(&mut request.context, trace);
        request.context = None;
        let meta = context::as_sent(
            meta,
            Method::ScheduleReceipt,
            &request,
            !request.unit.is_empty(),
        );
        self.fact(meta, |state| {
            supply::schedule_receipt(state.catalog(), &mut request)
        })
        .map(|(result, reply)| pb::ScheduleReceiptResponse {
            result: Some(result),
            receipt_revision: reply.receipt_revision,
        })
    }

    /// Changes an open receipt.
    pub fn change_receipt(
        &self,
        mut request: pb::ChangeReceiptRequest,
        trace: u128,
    ) -> Seen<pb::ChangeReceiptResponse> {
        let meta = context::meta(&mut request.context, trace);
        request.context = None;
        let meta = context::as_sent(
            meta,
            Method::ChangeReceipt,
            &request,
            !request.unit.is_empty(),
        );
        self.fact(meta, |state| {
            let item = receipt_item(state, &request.receipt_id)?;
            supply::change_receipt(state.catalog(), item, &mut request)
        })
        .map(|(result, reply)| pb::ChangeReceiptResponse {
            result: Some(result),
            receipt_revision: reply.receipt_revision,
        })
    }

    /// Goods of a receipt have come.
    pub fn receive(
        &self,
        mut request: pb::ReceiveRequest,
        trace: u128,
    ) -> Seen<pb::ReceiveResponse> {
        let meta = context::meta(&mut request.context, trace);
        request.context = None;
        let meta = context::as_sent(meta, Method::Receive, &request, !request.unit.is_empty());
        self.fact(meta, |state| {
            let item = receipt_item(state, &request.receipt_id)?;
            supply::receive(state.catalog(), item, &mut request)
        })
        .map(|(result, reply)| pb::ReceiveResponse {
            result: Some(result),
            open_quantity: reply.receipt_open.get(),
        })
    }

    /// A receipt will not come.
    pub fn cancel_receipt(
        &self,
        mut request: pb::CancelReceiptRequest,
        trace: u128,
    ) -> Seen<pb::CancelReceiptResponse> {
        let meta = context::meta(&mut request.context, trace);
        self.fact(meta, |_| supply::cancel_receipt(&mut request))
            .map(|(result, _)| pb::CancelReceiptResponse {
                result: Some(result),
            })
    }

    /// Leaves here, is due there.
    pub fn transfer(
        &self,
        mut request: pb::TransferRequest,
        trace: u128,
    ) -> Seen<pb::TransferResponse> {
        let meta = context::meta(&mut request.context, trace);
        request.context = None;
        let meta = context::as_sent(meta, Method::Transfer, &request, !request.unit.is_empty());
        self.fact(meta, |state| {
            supply::transfer(state.catalog(), &mut request)
        })
        .map(|(result, _)| pb::TransferResponse {
            result: Some(result),
        })
    }

    /// Came back from a customer.
    pub fn return_goods(
        &self,
        mut request: pb::ReturnRequest,
        trace: u128,
    ) -> Seen<pb::ReturnResponse> {
        let meta = context::meta(&mut request.context, trace);
        request.context = None;
        let meta = context::as_sent(meta, Method::Return, &request, !request.unit.is_empty());
        self.fact(meta, |state| {
            supply::return_goods(state.catalog(), &request)
        })
        .map(|(result, _)| pb::ReturnResponse {
            result: Some(result),
        })
    }

    /// All that is known of one position. One that nothing was ever said of is empty.
    pub fn get_position(
        &self,
        mut request: pb::GetPositionRequest,
    ) -> Seen<pb::GetPositionResponse> {
        self.store.read(|state| {
            let item = item(state.catalog(), &request.item)?;
            let location = location(state.catalog(), &request.location)?;
            let mut answer = pb::GetPositionResponse {
                item: std::mem::take(&mut request.item),
                location: std::mem::take(&mut request.location),
                revision: state.revision(),
                engine_time_ms: state.now().get(),
                ..Default::default()
            };
            if let Some(id) = state.position_id(item, location) {
                let position = state.position(id);
                answer.unrestricted = position.on_hand(StockStatus::Unrestricted);
                answer.quality = position.on_hand(StockStatus::Quality);
                answer.blocked = position.on_hand(StockStatus::Blocked);
                answer.version = position.version();
                answer.buffer = position.buffer().get();
                answer.buffer_policy = Some(buffers::policy_out(state.buffer_policy(id)));
                answer.buffer_follows_forecast = state.forecast_buffer(id).is_some();
                answer.buffer_forecast = self.forecasts.of_buffer(state, id);
                answer.forecast = self.forecasts.newest(id, state.now());
                let detail = state.position_detail(id);
                answer.held = detail.held.get();
                answer.confirmed = detail.confirmed.get();
                answer.receipts = detail
                    .receipts
                    .iter()
                    .map(|r| reply::receipt(state, r))
                    .collect();
                let steps = state.staircase(item, location, state.now());
                answer.staircase = steps.iter().map(check::step).collect();
            }
            Ok(answer)
        })
    }

    /// Supply shocks that are still open, as many as one answer holds.
    pub fn list_shocks(&self, request: &pb::ListShocksRequest) -> Seen<pb::ListShocksResponse> {
        let most = match request.page_size as usize {
            0 => SHOCKS_MAX,
            asked => asked.min(SHOCKS_MAX),
        };
        self.store.read(|state| {
            let only = match request.location.as_str() {
                "" => None,
                name => Some(location(state.catalog(), name)?),
            };
            let mut page = pb::ListShocksResponse {
                revision: state.revision(),
                ..Default::default()
            };
            let (mut bytes, mut entries, mut last) = (0, 0, request.after_shock_id);
            for (looked, (id, open)) in state
                .shocks_after(ShockId(request.after_shock_id))
                .enumerate()
            {
                let wanted =
                    only.is_none_or(|only| state.position(open.position).location() == only);
                let planned = if wanted { state.shock_entries(id) } else { 0 };
                // One shock fits, however many promises are at risk.
                let full = page.shocks.len() >= most
                    || bytes > SHOCK_BYTES_MAX
                    || (entries > 0 && entries + planned > MAX_AT_RISK_ENTRIES);
                if full || looked >= SHOCKS_LOOKED_AT {
                    page.next_after_shock_id = last;
                    break;
                }
                last = id.0;
                if let Some(view) = wanted.then(|| state.shock(id)).flatten() {
                    let shock = reply::shock(state, &view);
                    bytes += shock.encoded_len();
                    entries += planned;
                    page.shocks.push(shock);
                }
            }
            Ok(page)
        })
    }
}

/// The item of an open receipt, for its units of measure. A receipt that is no longer open is left to the engine,
/// which may find that this request was answered before.
fn receipt_item(state: &State, name: &str) -> Result<Option<ItemId>, ApiError> {
    fields::name("receipt_id", name)?;
    Ok(state
        .receipt(name)
        .map(|receipt| state.position(receipt.position()).item()))
}
