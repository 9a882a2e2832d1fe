//! A table of facts about stock: every row is a supply event of its own.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use bespeak_engine::uuid_text;
use bespeak_proto::v1 as pb;

use super::Job;
use super::columns::{Flags, Numbers, RequestIds, Table, Texts};
pub use super::supply_answers::SCHEMA;
use super::supply_answers::{Answers, Done};
use crate::api::Api;
use crate::error::ApiError;
use crate::store::Seen;

/// Columns of the table.
pub const COLUMNS: [&str; 20] = [
    "event",
    "request_id",
    "source",
    "sequence",
    "item",
    "location",
    "to_location",
    "status",
    "to_status",
    "quantity",
    "unit",
    "receipt_id",
    "receipt_kind",
    "due_time_ms",
    "due_date",
    "happened_at_ms",
    "reason",
    "final",
    "reservation_id",
    "late_time_ms",
];
/// What a row may report.
const EVENTS: &str = "set_on_hand, adjust_on_hand, move_status, schedule_receipt, change_receipt, receive, \
                      cancel_receipt, transfer, return";
/// Rows between two looks at the clock.
const SLICE: usize = 16;

/// A table being applied.
pub struct SupplyJob<'a> {
    rows: usize,
    next: usize,
    slice: Duration,
    trace_id: u128,
    events: Texts<'a>,
    request_ids: Option<RequestIds<'a>>,
    /// Columns of text, in the order of [`TEXTS`].
    texts: [Option<Texts<'a>>; TEXTS.len()],
    /// Columns of numbers, in the order of [`NUMBERS`].
    numbers: [Option<Numbers<'a>>; NUMBERS.len()],
    last: Option<Flags<'a>>,
    answers: Answers,
    revision: u64,
}

const TEXTS: [&str; 11] = [
    "source",
    "item",
    "location",
    "to_location",
    "status",
    "to_status",
    "unit",
    "receipt_id",
    "receipt_kind",
    "due_date",
    "reason",
];
const NUMBERS: [&str; 6] = [
    "sequence",
    "quantity",
    "due_time_ms",
    "happened_at_ms",
    "reservation_id",
    "late_time_ms",
];

impl<'a> SupplyJob<'a> {
    /// Takes a table.
    ///
    /// # Errors
    /// `InvalidArgument` for a column that is missing, unknown or of another type.
    pub fn new(
        batch: &'a RecordBatch,
        rows_max: usize,
        slice: Duration,
        trace_id: u128,
    ) -> Result<Self, ApiError> {
        let table = Table::new(batch, &COLUMNS, rows_max)?;
        let mut texts = [const { None }; TEXTS.len()];
        for (place, name) in texts.iter_mut().zip(TEXTS) {
            *place = table.optional_texts(name)?;
        }
        let mut numbers = [None; NUMBERS.len()];
        for (place, name) in numbers.iter_mut().zip(NUMBERS) {
            *place = table.optional_numbers(name)?;
        }
        Ok(Self {
            rows: table.rows(),
            next: 0,
            slice,
            trace_id,
            events: table.texts("event")?,
            request_ids: table.optional_request_ids("request_id")?,
            texts,
            numbers,
            last: table.optional_flags("final")?,
            answers: Answers::default(),
            revision: 0,
        })
    }

    fn text(&self, name: &'static str, row: usize) -> String {
        let column = TEXTS
            .iter()
            .position(|known| *known == name)
            .and_then(|at| self.texts[at].as_ref());
        Texts::or_empty(column, row).to_owned()
    }

    fn column(&self, name: &'static str) -> Option<Numbers<'a>> {
        NUMBERS
            .iter()
            .position(|known| *known == name)
            .and_then(|at| self.numbers[at])
    }

    fn number(&self, name: &'static str, row: usize) -> i64 {
        Numbers::or_zero(self.column(name), row)
    }

    fn unsigned(&self, name: &'static str, row: usize) -> Result<u64, ApiError> {
        Numbers::unsigned(self.column(name), name, row)
    }

    /// The quantity of an event that needs one: a count that is missing is no count of zero.
    fn given(&self, event: &str, row: usize) -> Result<i64, ApiError> {
        let quantity = self.column("quantity").and_then(|column| column.get(row));
        quantity.ok_or_else(|| {
            let rule = format!("it is required by {event}, and a null is not 0");
            ApiError::invalid("quantity", "null", rule)
        })
    }

    fn quantity(&self, event: &str, row: usize) -> Result<u64, ApiError> {
        self.given(event, row)?;
        self.unsigned("quantity", row)
    }

    /// A value of an enum by its name without the prefix, in lower case.
    fn choice<E>(
        &self,
        name: &'static str,
        row: usize,
        prefix: &str,
        by_name: fn(&str) -> Option<E>,
    ) -> Result<i32, ApiError>
    where
        E: Into<i32>,
    {
        let text = self.text(name, row);
        if text.is_empty() {
            return Ok(0);
        }
        let known = by_name(&format!("{prefix}_{}", text.to_ascii_uppercase()));
        known
            .map(Into::into)
            .ok_or_else(|| ApiError::invalid(name, text, "this version knows no such value"))
    }

    fn status(&self, name: &'static str, row: usize) -> Result<i32, ApiError> {
        self.choice(name, row, "STOCK_STATUS", pb::StockStatus::from_str_name)
    }

    fn context(&self, row: usize) -> Result<Option<pb::RequestContext>, ApiError> {
        let id = self
            .request_ids
            .as_ref()
            .map(|ids| ids.get(row))
            .transpose()?
            .flatten();
        let source = self.text("source", row);
        let id =
            id.ok_or_else(|| ApiError::invalid("request_id", "", "every event needs its own"))?;
        let sequence = self.unsigned("sequence", row)?;
        Ok(Some(pb::RequestContext {
            request_id: uuid_text(id),
            source: (!source.is_empty()).then_some(pb::SourceSequence { source, sequence }),
            ..Default::default()
        }))
    }

    fn row(&self, api: &Api, row: usize) -> Result<Seen<Done>, ApiError> {
        let context = self.context(row)?;
        let trace = self.trace_id;
        let event = self.events.get(row).unwrap_or("");
        let (item, location) = (self.text("item", row), self.text("location", row));
        let (unit, receipt_id) = (self.text("unit", row), self.text("receipt_id", row));
        let happened_at_ms = self.number("happened_at_ms", row);
        let status = self.status("status", row)?;
        Ok(match event {
            "set_on_hand" => {
                let quantity = self.quantity(event, row)?;
                let request = pb::SetOnHandRequest {
                    context,
                    item,
                    location,
                    status,
                    quantity,
                    unit,
                    counted_at_ms: happened_at_ms,
                    ..Default::default()
                };
                api.set_on_hand(request, trace)
                    .map(|answer| Done::plain(answer.result))
            }
            "adjust_on_hand" => {
                let delta = self.given(event, row)?;
                let reason = self.choice(
                    "reason",
                    row,
                    "ADJUST_REASON",
                    pb::AdjustReason::from_str_name,
                )?;
                let request = pb::AdjustOnHandRequest {
                    context,
                    item,
                    location,
                    status,
                    delta,
                    unit,
                    reason,
                    happened_at_ms,
                };
                api.adjust_on_hand(request, trace)
                    .map(|answer| Done::plain(answer.result))
            }
            "move_status" => {
                let (to_status, quantity) =
                    (self.status("to_status", row)?, self.quantity(event, row)?);
                let request = pb::MoveStatusRequest {
                    context,
                    item,
                    location,
                    from_status: status,
                    to_status,
                    quantity,
                    unit,
                    happened_at_ms,
                };
                api.move_status(request, trace)
                    .map(|answer| Done::plain(answer.result))
            }
            "return" => {
                let quantity = self.quantity(event, row)?;
                let reservation_id = self.unsigned("reservation_id", row)?;
                let request = pb::ReturnRequest {
                    context,
                    item,
                    location,
                    quantity,
                    unit,
                    status,
                    reservation_id,
                    happened_at_ms,
                };
                api.return_goods(request, trace)
                    .map(|answer| Done::plain(answer.result))
            }
            "transfer" => {
                let request = pb::TransferRequest {
                    context,
                    item,
                    unit,
                    receipt_id,
                    happened_at_ms,
                    from_location: location,
                    to_location: self.text("to_location", row),
                    quantity: self.quantity(event, row)?,
                    due_time_ms: self.number("due_time_ms", row),
                };
                api.transfer(request, trace)
                    .map(|answer| Done::plain(answer.result))
            }
            _ => return self.receipt(api, row, event, context),
        })
    }

    fn spread(&self, row: usize) -> Option<pb::ArrivalSpread> {
        let late_time_ms = self.number("late_time_ms", row);
        (late_time_ms != 0).then_some(pb::ArrivalSpread {
            late_time_ms,
            yield_ppm: 0,
        })
    }

    fn receipt(
        &self,
        api: &Api,
        row: usize,
        event: &str,
        context: Option<pb::RequestContext>,
    ) -> Result<Seen<Done>, ApiError> {
        use pb::change_receipt_request::Due as NewDue;
        use pb::schedule_receipt_request::Due;
        let trace = self.trace_id;
        let (unit, receipt_id) = (self.text("unit", row), self.text("receipt_id", row));
        let (due_time_ms, due_date) = (self.number("due_time_ms", row), self.text("due_date", row));
        let dated = |row_has_date: bool| (!row_has_date && due_time_ms != 0).then_some(due_time_ms);
        let instant = dated(!due_date.is_empty());
        Ok(match event {
            "schedule_receipt" => {
                let quantity = self.quantity(event, row)?;
                let kind = self.choice(
                    "receipt_kind",
                    row,
                    "RECEIPT_KIND",
                    pb::ReceiptKind::from_str_name,
                )?;
                let date = (!due_date.is_empty()).then_some(Due::DueDate(due_date));
                let request = pb::ScheduleReceiptRequest {
                    context,
                    receipt_id,
                    quantity,
                    unit,
                    kind,
                    item: self.text("item", row),
                    location: self.text("location", row),
                    due: instant.map(Due::DueTimeMs).or(date),
                    spread: self.spread(row),
                };
                api.schedule_receipt(request, trace).map(|answer| Done {
                    result: answer.result,
                    receipt_revision: answer.receipt_revision,
                    receipt_open: quantity,
                })
            }
            "change_receipt" => {
                let given = self
                    .column("quantity")
                    .is_some_and(|column| column.get(row).is_some());
                let quantity = given.then(|| self.unsigned("quantity", row)).transpose()?;
                let date = (!due_date.is_empty()).then_some(NewDue::DueDate(due_date));
                let request = pb::ChangeReceiptRequest {
                    context,
                    receipt_id,
                    unit,
                    quantity,
                    due: instant.map(NewDue::DueTimeMs).or(date),
                    spread: self.spread(row),
                    expected_revision: None,
                };
                api.change_receipt(request, trace).map(|answer| Done {
                    result: answer.result,
                    receipt_revision: answer.receipt_revision,
                    receipt_open: 0,
                })
            }
            "receive" => {
                let quantity = self.quantity(event, row)?;
                let request = pb::ReceiveRequest {
                    context,
                    receipt_id,
                    quantity,
                    unit,
                    status: self.status("status", row)?,
                    r#final: Flags::or_false(self.last, row),
                    happened_at_ms: self.number("happened_at_ms", row),
                };
                api.receive(request, trace).map(|answer| Done {
                    result: answer.result,
                    receipt_revision: 0,
                    receipt_open: answer.open_quantity,
                })
            }
            "cancel_receipt" => {
                let request = pb::CancelReceiptRequest {
                    context,
                    receipt_id,
                    expected_revision: None,
                };
                api.cancel_receipt(request, trace)
                    .map(|answer| Done::plain(answer.result))
            }
            other => {
                return Err(ApiError::invalid(
                    "event",
                    other,
                    format!("it must be one of {EVENTS}"),
                ));
            }
        })
    }
}

impl Job for SupplyJob<'_> {
    fn step(&mut self, api: &Api) -> bool {
        let begun = Instant::now();
        let first = self.next;
        while self.next < self.rows {
            for row in self.next..self.rows.min(self.next + SLICE) {
                let seen = self.row(api, row).unwrap_or_else(Seen::failed);
                self.revision = self.revision.max(seen.revision);
                match seen.result {
                    Ok(done) => self.answers.push(&done),
                    Err(error) => self.answers.push_error(&error, seen.revision),
                }
                self.next = row + 1;
            }
            if begun.elapsed() >= self.slice {
                break;
            }
        }
        api.metrics()
            .rows_supplied
            .fetch_add((self.next - first) as u64, Ordering::Relaxed);
        self.next == self.rows
    }

    fn revision(&self) -> u64 {
        self.revision
    }

    fn finish(mut self: Box<Self>) -> Result<(RecordBatch, u64), ApiError> {
        let batch = self.answers.finish()?;
        Ok((batch, self.revision))
    }
}
