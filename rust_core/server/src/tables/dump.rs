//! The state as tables: positions, reservations and unmet demand.
//!
//! A dump reads the state in slices and gives others the partition in between, so that its rows are of
//! neighbouring moments; each row says of which. A row that must agree with another row's moment is read by
//! the unary methods.

use std::sync::{Arc, LazyLock};

use arrow_array::builder::{
    Int64Builder, StringBuilder, UInt8Builder, UInt32Builder, UInt64Builder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bespeak_engine::{ItemId, LocationId, PositionId, ReservationId, State, StockStatus};

use super::made;
use crate::api::Api;
use crate::convert::{location, reply};
use crate::error::ApiError;
use crate::store::Seen;

/// Rows read under one lock: well below a millisecond.
const SLICE: usize = 1_024;

/// A table of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dump {
    /// One row a position.
    Positions,
    /// One row a line of a reservation that is not finished.
    Reservations,
    /// One row a day, item and location with unmet demand.
    Unmet,
}

impl Dump {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Positions, Self::Reservations, Self::Unmet];

    /// Its name in a ticket.
    pub fn name(self) -> &'static str {
        match self {
            Self::Positions => "positions",
            Self::Reservations => "reservations",
            Self::Unmet => "unmet",
        }
    }

    /// The table of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dump| dump.name() == name)
    }

    /// Its columns.
    pub fn schema(self) -> SchemaRef {
        Arc::clone(match self {
            Self::Positions => &POSITIONS,
            Self::Reservations => &RESERVATIONS,
            Self::Unmet => &UNMET,
        })
    }
}

fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    let fields = columns
        .iter()
        .map(|(name, kind)| Field::new(*name, kind.clone(), false));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

static POSITIONS: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema(&[
        ("item", DataType::Utf8),
        ("location", DataType::Utf8),
        ("unrestricted", DataType::Int64),
        ("quality", DataType::Int64),
        ("blocked", DataType::Int64),
        ("buffer", DataType::UInt64),
        ("available", DataType::UInt64),
        ("version", DataType::UInt64),
        ("revision", DataType::UInt64),
    ])
});

static RESERVATIONS: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema(&[
        ("reservation_id", DataType::UInt64),
        ("line", DataType::UInt32),
        ("state", DataType::UInt8),
        ("item", DataType::Utf8),
        ("location", DataType::Utf8),
        ("ship_time_ms", DataType::Int64),
        ("open_quantity", DataType::UInt64),
        ("fulfilled_quantity", DataType::UInt64),
        ("released_quantity", DataType::UInt64),
        ("order_ref", DataType::Utf8),
        ("customer", DataType::Utf8),
        ("segment", DataType::Utf8),
        ("tier", DataType::UInt8),
        ("created_at_ms", DataType::Int64),
        ("expires_at_ms", DataType::Int64),
        ("revision", DataType::UInt64),
    ])
});

static UNMET: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema(&[
        ("day", DataType::UInt32),
        ("item", DataType::Utf8),
        ("location", DataType::Utf8),
        ("units", DataType::UInt64),
        ("lines", DataType::UInt64),
        ("revision", DataType::UInt64),
    ])
});

/// First row of the next slice: an id, or a day, item and location.
type Next = (u64, u32, u32);
/// Reservations looked at under one lock.
const LOOK: usize = 4_096;

/// Where a dump is.
#[derive(Debug, Clone)]
pub struct Cursor {
    dump: Dump,
    only: Option<LocationId>,
    next: Option<Next>,
}

impl Cursor {
    /// From the first row; with a location's name, its rows only.
    ///
    /// # Errors
    /// `UnknownLocation`.
    pub fn new(api: &Api, dump: Dump, only: &str) -> Result<Self, ApiError> {
        let only = match only {
            "" => None,
            name => Some(
                api.store()
                    .read(|state| location(state.catalog(), name))
                    .result?,
            ),
        };
        Ok(Self {
            dump,
            only,
            next: Some((0, 0, 0)),
        })
    }

    /// The next slice of rows, which may be empty; `None` after the last one.
    pub fn next(&mut self, api: &Api) -> Option<Seen<RecordBatch>> {
        let from = self.next?;
        let seen = api.store().read(|state| match self.dump {
            Dump::Positions => self.positions(state, from),
            Dump::Reservations => self.reservations(state, from),
            Dump::Unmet => self.unmet(state, from),
        });
        self.next = seen.result.as_ref().ok().and_then(|(_, after)| *after);
        Some(seen.map(|(batch, _)| batch))
    }

    fn wants(&self, location: LocationId) -> bool {
        self.only.is_none_or(|only| only == location)
    }

    fn positions(
        &self,
        state: &State,
        from: Next,
    ) -> Result<(RecordBatch, Option<Next>), ApiError> {
        let (mut item, mut place) = (StringBuilder::new(), StringBuilder::new());
        let mut on_hand: [Int64Builder; 3] = Default::default();
        let (mut buffer, mut available) = (UInt64Builder::new(), UInt64Builder::new());
        let (mut version, mut revision) = (UInt64Builder::new(), UInt64Builder::new());
        let catalog = state.catalog();
        let end = (state.position_count() as u64).min(from.0 + SLICE as u64);
        for id in from.0..end {
            let position = state.position(PositionId(u32::try_from(id).unwrap_or(u32::MAX)));
            if !self.wants(position.location()) {
                continue;
            }
            item.append_value(&catalog.item(position.item()).name);
            place.append_value(&catalog.location(position.location()).name);
            let statuses = [
                StockStatus::Unrestricted,
                StockStatus::Quality,
                StockStatus::Blocked,
            ];
            for (builder, status) in on_hand.iter_mut().zip(statuses) {
                builder.append_value(position.on_hand(status));
            }
            buffer.append_value(position.buffer().get());
            available.append_value(position.lowest_net(state.now()).max(0).unsigned_abs());
            version.append_value(position.version());
            revision.append_value(state.revision());
        }
        let [mut unrestricted, mut quality, mut blocked] = on_hand;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(item.finish()),
            Arc::new(place.finish()),
            Arc::new(unrestricted.finish()),
            Arc::new(quality.finish()),
            Arc::new(blocked.finish()),
            Arc::new(buffer.finish()),
            Arc::new(available.finish()),
            Arc::new(version.finish()),
            Arc::new(revision.finish()),
        ];
        let more = (end < state.position_count() as u64).then_some((end, 0, 0));
        Ok((batch(self.dump, columns)?, more))
    }

    fn reservations(
        &self,
        state: &State,
        from: Next,
    ) -> Result<(RecordBatch, Option<Next>), ApiError> {
        let (mut id, mut line, mut status) = (
            UInt64Builder::new(),
            UInt32Builder::new(),
            UInt8Builder::new(),
        );
        let (mut item, mut place) = (StringBuilder::new(), StringBuilder::new());
        let mut ship_time = Int64Builder::new();
        let mut quantities: [UInt64Builder; 3] = Default::default();
        let mut labels: [StringBuilder; 3] = Default::default();
        let mut tier = UInt8Builder::new();
        let (mut created, mut expires) = (Int64Builder::new(), Int64Builder::new());
        let mut revision = UInt64Builder::new();
        let catalog = state.catalog();
        let mut more = None;
        let all = state.reservations_from(ReservationId(from.0));
        for (seen, (number, reservation)) in all.enumerate() {
            if id.values_slice().len() >= SLICE || seen == LOOK {
                more = Some((number.0, 0, 0));
                break;
            }
            for (index, one) in (0u32..).zip(reservation.lines()) {
                let position = state.position(one.position);
                if !self.wants(position.location()) {
                    continue;
                }
                id.append_value(number.0);
                line.append_value(index);
                status.append_value(reply::state(reservation.state()) as u8);
                item.append_value(&catalog.item(position.item()).name);
                place.append_value(&catalog.location(position.location()).name);
                ship_time.append_value(one.ship_time.get());
                for (builder, units) in
                    quantities
                        .iter_mut()
                        .zip([one.open, one.fulfilled, one.released])
                {
                    builder.append_value(units.get());
                }
                let texts = [
                    reservation.order_ref(),
                    reservation.customer(),
                    reservation.segment(),
                ];
                for (builder, text) in labels.iter_mut().zip(texts) {
                    builder.append_value(text);
                }
                tier.append_value(reservation.tier());
                created.append_value(reservation.created_at().get());
                expires.append_value(reservation.expires_at().get());
                revision.append_value(state.revision());
            }
        }
        let [mut open, mut fulfilled, mut released] = quantities;
        let [mut order, mut customer, mut segment] = labels;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(id.finish()),
            Arc::new(line.finish()),
            Arc::new(status.finish()),
            Arc::new(item.finish()),
            Arc::new(place.finish()),
            Arc::new(ship_time.finish()),
            Arc::new(open.finish()),
            Arc::new(fulfilled.finish()),
            Arc::new(released.finish()),
            Arc::new(order.finish()),
            Arc::new(customer.finish()),
            Arc::new(segment.finish()),
            Arc::new(tier.finish()),
            Arc::new(created.finish()),
            Arc::new(expires.finish()),
            Arc::new(revision.finish()),
        ];
        Ok((batch(self.dump, columns)?, more))
    }

    fn unmet(&self, state: &State, from: Next) -> Result<(RecordBatch, Option<Next>), ApiError> {
        let (mut day, mut item, mut place) = (
            UInt32Builder::new(),
            StringBuilder::new(),
            StringBuilder::new(),
        );
        let (mut units, mut lines, mut revision) = (
            UInt64Builder::new(),
            UInt64Builder::new(),
            UInt64Builder::new(),
        );
        let catalog = state.catalog();
        let first = (
            u32::try_from(from.0).unwrap_or(u32::MAX),
            ItemId(from.1),
            LocationId(from.2),
        );
        let mut more = None;
        for (seen, (at, item_id, location, unmet)) in state.unmet_demand_from(first).enumerate() {
            if seen == SLICE {
                more = Some((u64::from(at), item_id.0, location.0));
                break;
            }
            if !self.wants(location) {
                continue;
            }
            day.append_value(at);
            item.append_value(&catalog.item(item_id).name);
            place.append_value(&catalog.location(location).name);
            units.append_value(unmet.units);
            lines.append_value(unmet.lines);
            revision.append_value(state.revision());
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(day.finish()),
            Arc::new(item.finish()),
            Arc::new(place.finish()),
            Arc::new(units.finish()),
            Arc::new(lines.finish()),
            Arc::new(revision.finish()),
        ];
        Ok((batch(self.dump, columns)?, more))
    }
}

fn batch(dump: Dump, columns: Vec<ArrayRef>) -> Result<RecordBatch, ApiError> {
    RecordBatch::try_new(dump.schema(), columns).map_err(|error| made(&error))
}
