//! Reserve a table of orders, one line each: every row is an order of its own with its own outcome.

use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use arrow_array::builder::{
    BooleanBuilder, Int64Builder, StringBuilder, UInt8Builder, UInt64Builder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bespeak_engine::{
    Answer, Command, EngineError, FillPolicy, HoldTerms, ItemId, LocationId, Meta, Reserve,
    ReserveLine, State, UtcMillis,
};
use smallvec::smallvec;

use super::columns::{Flags, Names, Numbers, RequestIds, SLICE, Table, Texts};
use super::{Job, made};
use crate::api::Api;
use crate::convert::{fields, reply};
use crate::error::{ApiError, shorten};

/// Columns of the table.
pub const COLUMNS: [&str; 12] = [
    "request_id",
    "item",
    "location",
    "quantity",
    "ship_time_ms",
    "expires_in_ms",
    "order_ref",
    "customer",
    "segment",
    "tier",
    "partial",
    "confirm",
];
/// Columns of the answer.
pub static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("outcome", DataType::UInt8, false),
        Field::new("reservation_id", DataType::UInt64, false),
        Field::new("held_quantity", DataType::UInt64, false),
        Field::new("expires_at_ms", DataType::Int64, false),
        Field::new("refusal", DataType::UInt8, false),
        Field::new("available", DataType::UInt64, false),
        Field::new("earliest_time_ms", DataType::Int64, true),
        Field::new("revision", DataType::UInt64, false),
        Field::new("replayed", DataType::Boolean, false),
        Field::new("error", DataType::Utf8, true),
        Field::new("message", DataType::Utf8, true),
    ]))
});

/// A table being reserved.
pub struct ReserveJob<'a> {
    rows: usize,
    next: usize,
    slice: Duration,
    trace_id: u128,
    orders: Orders<'a>,
    /// Where the rows of the slice that is under way are wanted; `None` where a name is not known.
    places: [Option<(ItemId, LocationId)>; SLICE],
    answers: Answers,
    revision: u64,
}

/// What the table asks for.
struct Orders<'a> {
    request_ids: RequestIds<'a>,
    items: Names<'a>,
    locations: Names<'a>,
    quantities: Numbers<'a>,
    ship_times: Option<Numbers<'a>>,
    lives: Option<Numbers<'a>>,
    order_refs: Option<Texts<'a>>,
    customers: Option<Texts<'a>>,
    segments: Option<Texts<'a>>,
    tiers: Option<Numbers<'a>>,
    partial: Option<Flags<'a>>,
    confirm: Option<Flags<'a>>,
}

struct Answers {
    outcome: UInt8Builder,
    reservation: UInt64Builder,
    held: UInt64Builder,
    expires: Int64Builder,
    refusal: UInt8Builder,
    available: UInt64Builder,
    earliest: Int64Builder,
    revision: UInt64Builder,
    replayed: BooleanBuilder,
    error: StringBuilder,
    message: StringBuilder,
}

impl<'a> ReserveJob<'a> {
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
        let request_ids = table.optional_request_ids("request_id")?;
        let orders = Orders {
            request_ids: request_ids.ok_or_else(|| {
                ApiError::invalid(
                    "column",
                    "request_id",
                    "it is required: every order has its own",
                )
            })?,
            items: Names::new(table.texts("item")?),
            locations: Names::new(table.texts("location")?),
            quantities: table.numbers("quantity")?,
            ship_times: table.optional_numbers("ship_time_ms")?,
            lives: table.optional_numbers("expires_in_ms")?,
            order_refs: table.optional_texts("order_ref")?,
            customers: table.optional_texts("customer")?,
            segments: table.optional_texts("segment")?,
            tiers: table.optional_numbers("tier")?,
            partial: table.optional_flags("partial")?,
            confirm: table.optional_flags("confirm")?,
        };
        Ok(Self {
            rows: table.rows(),
            next: 0,
            slice,
            trace_id,
            orders,
            places: [None; SLICE],
            answers: Answers::for_rows(table.rows()),
            revision: 0,
        })
    }

    /// Looks names of some rows up, side by side, and asks for the memory that their orders will need.
    fn look_up(&mut self, api: &Api, first: usize, end: usize) {
        self.places = [None; SLICE];
        let known = api.store().partition().peek(|state| {
            let mut wanted = [(ItemId(0), LocationId(0)); SLICE];
            let mut count = 0;
            let mut items = [None; SLICE];
            let orders = &mut self.orders;
            orders.items.items(state.catalog(), first..end, &mut items);
            for row in first..end {
                let location = items[row - first].and_then(|_| orders.location(state, row));
                self.places[row - first] = items[row - first].zip(location);
                if let Some(place) = self.places[row - first] {
                    wanted[count] = place;
                    count += 1;
                }
            }
            state.prefetch(&wanted[..count]);
        });
        // A partition that has stopped says so to every row.
        drop(known);
    }

    fn row(&mut self, api: &Api, row: usize, place: Option<(ItemId, LocationId)>) {
        let meta = self.orders.request_ids.get(row).and_then(|id| {
            let request_id =
                id.ok_or_else(|| ApiError::invalid("request_id", "", "every order needs its own"))?;
            Ok(Meta {
                request_id,
                trace_id: self.trace_id,
                ..Meta::default()
            })
        });
        let terms = self.orders.terms(row);
        let Self {
            orders, answers, ..
        } = self;
        let seen = api.store().write(
            meta,
            |state| orders.command(state, row, place, terms),
            |_, answer| {
                answers.push(api, &answer);
                Ok(())
            },
        );
        self.revision = self.revision.max(seen.revision);
        if let Err(error) = seen.result {
            self.answers.push_error(&error, seen.revision);
        }
    }
}

impl Orders<'_> {
    fn place(&mut self, state: &State, row: usize) -> Option<(ItemId, LocationId)> {
        let catalog = state.catalog();
        let item = self
            .items
            .id(row, |name| catalog.item_id(name).map(|id| id.0))?;
        Some((ItemId(item), self.location(state, row)?))
    }

    fn location(&mut self, state: &State, row: usize) -> Option<LocationId> {
        let look_up = |name: &str| state.catalog().location_id(name).map(|id| id.0);
        self.locations.id(row, look_up).map(LocationId)
    }

    /// Everything that needs no lock.
    fn terms(&self, row: usize) -> Result<HoldTerms, ApiError> {
        let text = |field, texts: &Option<Texts<'_>>| {
            Ok::<Box<str>, ApiError>(
                fields::optional_name(field, Texts::or_empty(texts.as_ref(), row))?.into(),
            )
        };
        let tier = Numbers::or_zero(self.tiers, row);
        Ok(HoldTerms {
            fill: match Flags::or_false(self.partial, row) {
                true => FillPolicy::Partial,
                false => FillPolicy::AllOrNone,
            },
            expires_in_ms: fields::duration("expires_in_ms", Numbers::or_zero(self.lives, row))?,
            order_ref: text("order_ref", &self.order_refs)?,
            customer: text("customer", &self.customers)?,
            segment: text("segment", &self.segments)?,
            tier: u8::try_from(tier)
                .map_err(|_| ApiError::invalid("tier", tier, "it must be 0 to 255"))?,
            rule: None,
            confirm: Flags::or_false(self.confirm, row),
        })
    }

    fn command(
        &mut self,
        state: &State,
        row: usize,
        place: Option<(ItemId, LocationId)>,
        terms: Result<HoldTerms, ApiError>,
    ) -> Result<Command, ApiError> {
        let terms = terms?;
        // A name may have become known since it was looked up.
        let Some((item, location)) = place.or_else(|| self.place(state, row)) else {
            return Err(self.unknown_name(state, row));
        };
        let quantity = Numbers::unsigned(Some(self.quantities), "quantity", row)?;
        let line = ReserveLine {
            item,
            location,
            quantity: fields::units("quantity", fields::positive("quantity", quantity)?)?,
            ship_time: fields::time("ship_time_ms", Numbers::or_zero(self.ship_times, row))?,
            latest: None,
        };
        Ok(Command::Reserve(Reserve {
            lines: smallvec![line],
            terms,
        }))
    }

    #[cold]
    fn unknown_name(&self, state: &State, row: usize) -> ApiError {
        let item = self.items.name(row);
        let error = match state.catalog().item_id(item) {
            None => EngineError::UnknownItem(shorten(item)),
            Some(_) => EngineError::UnknownLocation(shorten(self.locations.name(row))),
        };
        error.into()
    }
}

impl Answers {
    fn for_rows(rows: usize) -> Self {
        Self {
            outcome: UInt8Builder::with_capacity(rows),
            reservation: UInt64Builder::with_capacity(rows),
            held: UInt64Builder::with_capacity(rows),
            expires: Int64Builder::with_capacity(rows),
            refusal: UInt8Builder::with_capacity(rows),
            available: UInt64Builder::with_capacity(rows),
            earliest: Int64Builder::with_capacity(rows),
            revision: UInt64Builder::with_capacity(rows),
            replayed: BooleanBuilder::with_capacity(rows),
            // Few rows fail.
            error: StringBuilder::with_capacity(rows, 0),
            message: StringBuilder::with_capacity(rows, 0),
        }
    }

    fn push(&mut self, api: &Api, answer: &Answer) {
        let hold = match reply::hold(answer) {
            Ok(hold) => hold,
            Err(error) => return self.push_error(&error, answer.revision),
        };
        let line = hold.lines.first();
        let refusal = line.and_then(|line| line.refusal);
        api.metrics().refused(refusal);
        self.outcome.append_value(hold.outcome as u8);
        self.reservation
            .append_value(hold.reservation.map_or(0, |id| id.0));
        let parts = line.map_or(&[][..], |line| &line.parts[..]);
        self.held
            .append_value(parts.iter().map(|part| part.quantity.get()).sum());
        self.expires.append_value(hold.expires_at.get());
        self.refusal.append_value(reply::refusal(refusal) as u8);
        self.available
            .append_value(line.map_or(0, |line| line.available.get()));
        self.earliest
            .append_option(line.and_then(|line| line.earliest).map(UtcMillis::get));
        self.revision.append_value(answer.revision);
        self.replayed.append_value(answer.replayed);
        self.error.append_null();
        self.message.append_null();
    }

    #[cold]
    fn push_error(&mut self, error: &ApiError, revision: u64) {
        self.outcome.append_value(0);
        self.reservation.append_value(0);
        self.held.append_value(0);
        self.expires.append_value(0);
        self.refusal.append_value(0);
        self.available.append_value(0);
        self.earliest.append_null();
        self.revision.append_value(revision);
        self.replayed.append_value(false);
        self.error.append_value(error.code());
        self.message.append_value(error.to_string());
    }
}

impl Job for ReserveJob<'_> {
    fn step(&mut self, api: &Api) -> bool {
        let begun = Instant::now();
        let first = self.next;
        while self.next < self.rows {
            let (start, end) = (self.next, self.rows.min(self.next + SLICE));
            self.look_up(api, start, end);
            for row in start..end {
                self.row(api, row, self.places[row - start]);
            }
            self.next = end;
            if begun.elapsed() >= self.slice {
                break;
            }
        }
        api.metrics()
            .rows_reserved
            .fetch_add((self.next - first) as u64, Ordering::Relaxed);
        self.next == self.rows
    }

    fn revision(&self) -> u64 {
        self.revision
    }

    fn finish(mut self: Box<Self>) -> Result<(RecordBatch, u64), ApiError> {
        let answers = &mut self.answers;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(answers.outcome.finish()),
            Arc::new(answers.reservation.finish()),
            Arc::new(answers.held.finish()),
            Arc::new(answers.expires.finish()),
            Arc::new(answers.refusal.finish()),
            Arc::new(answers.available.finish()),
            Arc::new(answers.earliest.finish()),
            Arc::new(answers.revision.finish()),
            Arc::new(answers.replayed.finish()),
            Arc::new(answers.error.finish()),
            Arc::new(answers.message.finish()),
        ];
        let batch =
            RecordBatch::try_new(Arc::clone(&SCHEMA), columns).map_err(|error| made(&error))?;
        Ok((batch, self.revision))
    }
}
