//! Check a table of lines.

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};

use arrow_array::builder::{
    BooleanBuilder, Int64Builder, StringBuilder, UInt8Builder, UInt64Builder,
};
use arrow_array::{ArrayRef, RecordBatch, UInt64Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bespeak_engine::{
    CheckAnswer, CheckLine, EngineError, ItemId, LocationId, State, Units, UtcMillis,
};

use super::columns::{Names, Numbers, SLICE, Table};
use super::{Job, made};
use crate::api::Api;
use crate::convert::{check, fields, reply};
use crate::error::{ApiError, shorten};

/// Columns of the table.
pub const COLUMNS: [&str; 4] = ["item", "location", "quantity", "ship_time_ms"];
/// Rows answered under one lock: well below a millisecond.
const TURN: usize = 2_048;

/// Columns of the answer.
pub static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("available", DataType::UInt64, false),
        Field::new("in_full", DataType::Boolean, false),
        Field::new("earliest_time_ms", DataType::Int64, true),
        Field::new("binding", DataType::UInt8, false),
        Field::new("refusal", DataType::UInt8, false),
        Field::new("error", DataType::Utf8, true),
        Field::new("revision", DataType::UInt64, false),
    ]))
});

/// A table being checked.
pub struct CheckJob<'a> {
    rows: usize,
    next: usize,
    items: Names<'a>,
    locations: Names<'a>,
    quantities: Option<Numbers<'a>>,
    ship_times: Option<Numbers<'a>>,
    answers: Answers,
    failed: Option<ApiError>,
}

struct Answers {
    available: UInt64Builder,
    in_full: BooleanBuilder,
    earliest: Int64Builder,
    binding: UInt8Builder,
    refusal: UInt8Builder,
    error: StringBuilder,
    revisions: Vec<u64>,
}

impl<'a> CheckJob<'a> {
    /// Takes a table.
    ///
    /// # Errors
    /// `InvalidArgument` for a column that is missing, unknown or of another type.
    pub fn new(batch: &'a RecordBatch, rows_max: usize) -> Result<Self, ApiError> {
        let table = Table::new(batch, &COLUMNS, rows_max)?;
        let rows = table.rows();
        Ok(Self {
            rows,
            next: 0,
            items: Names::new(table.texts("item")?),
            locations: Names::new(table.texts("location")?),
            quantities: table.optional_numbers("quantity")?,
            ship_times: table.optional_numbers("ship_time_ms")?,
            answers: Answers {
                available: UInt64Builder::with_capacity(rows),
                in_full: BooleanBuilder::with_capacity(rows),
                earliest: Int64Builder::with_capacity(rows),
                binding: UInt8Builder::with_capacity(rows),
                refusal: UInt8Builder::with_capacity(rows),
                error: StringBuilder::new(),
                revisions: Vec::with_capacity(rows),
            },
            failed: None,
        })
    }

    #[inline]
    fn line(
        &mut self,
        state: &State,
        row: usize,
        item: Option<ItemId>,
    ) -> Result<CheckLine, ApiError> {
        let catalog = state.catalog();
        let item = item.ok_or_else(|| unknown(self.items.name(row), EngineError::UnknownItem))?;
        let location = self
            .locations
            .id(row, |name| catalog.location_id(name).map(|id| id.0));
        let location = location
            .ok_or_else(|| unknown(self.locations.name(row), EngineError::UnknownLocation))?;
        Ok(CheckLine {
            item,
            location: LocationId(location),
            quantity: fields::units(
                "quantity",
                Numbers::unsigned(self.quantities, "quantity", row)?,
            )?,
            ship_time: fields::time("ship_time_ms", Numbers::or_zero(self.ship_times, row))?,
            rule: None,
        })
    }

    /// Answers rows in order. All that name known things are looked up side by side.
    fn check(&mut self, state: &State, rows: Range<usize>) {
        let mut lines = Vec::with_capacity(rows.len());
        let mut failed = Vec::new();
        for first in rows.clone().step_by(SLICE) {
            let slice = first..rows.end.min(first + SLICE);
            let mut items = [None; SLICE];
            self.items.items(state.catalog(), slice.clone(), &mut items);
            for (row, item) in slice.zip(items) {
                match self.line(state, row, item) {
                    Ok(line) => lines.push(line),
                    Err(error) => failed.push((row, error)),
                }
            }
        }
        let (answers, mut row) = (&mut self.answers, rows.start);
        let mut failed = failed.into_iter().peekable();
        state.check_many(&lines, |answer| {
            while let Some((_, error)) = failed.next_if(|(at, _)| *at == row) {
                answers.push_error(&error);
                row += 1;
            }
            match answer {
                Ok(answer) => answers.push(&answer),
                Err(error) => answers.push_error(&error.into()),
            }
            row += 1;
        });
        failed.for_each(|(_, error)| answers.push_error(&error));
    }
}

#[cold]
fn unknown(name: &str, error: fn(String) -> EngineError) -> ApiError {
    error(shorten(name)).into()
}

impl Answers {
    #[inline]
    fn push(&mut self, answer: &CheckAnswer) {
        self.available.append_value(answer.available.get());
        self.in_full.append_value(answer.in_full);
        self.earliest
            .append_option(answer.earliest.map(UtcMillis::get));
        self.binding
            .append_value(check::binding(answer.binding) as u8);
        self.refusal
            .append_value(reply::refusal(answer.refusal) as u8);
        self.error.append_null();
    }

    #[cold]
    fn push_error(&mut self, error: &ApiError) {
        self.available.append_value(Units::ZERO.get());
        self.in_full.append_value(false);
        self.earliest.append_null();
        self.binding.append_value(0);
        self.refusal.append_value(0);
        self.error.append_value(error.code());
    }
}

impl Job for CheckJob<'_> {
    fn step(&mut self, api: &Api) -> bool {
        let end = self.rows.min(self.next + TURN);
        let rows = self.next..end;
        let seen = api.store().read(|state| {
            self.check(state, rows.clone());
            self.answers.revisions.resize(end, state.revision());
            Ok(())
        });
        api.metrics()
            .rows_checked
            .fetch_add(rows.len() as u64, Ordering::Relaxed);
        self.next = end;
        if let Err(error) = seen.result {
            self.failed = Some(error);
        }
        self.failed.is_some() || end == self.rows
    }

    fn revision(&self) -> u64 {
        self.answers.revisions.last().copied().unwrap_or(0)
    }

    fn finish(mut self: Box<Self>) -> Result<(RecordBatch, u64), ApiError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let revision = self.revision();
        let answers = &mut self.answers;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(answers.available.finish()),
            Arc::new(answers.in_full.finish()),
            Arc::new(answers.earliest.finish()),
            Arc::new(answers.binding.finish()),
            Arc::new(answers.refusal.finish()),
            Arc::new(answers.error.finish()),
            Arc::new(UInt64Array::from(std::mem::take(&mut answers.revisions))),
        ];
        let batch =
            RecordBatch::try_new(Arc::clone(&SCHEMA), columns).map_err(|error| made(&error))?;
        Ok((batch, revision))
    }
}
