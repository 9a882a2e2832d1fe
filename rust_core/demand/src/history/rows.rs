//! The history as rows: the context table of the forecasters.

use std::sync::{Arc, LazyLock};

use arrow_array::builder::{Date32Builder, Float64Builder, StringBuilder, UInt64Builder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};

use super::place::Day;
use super::table::minutes;
use super::{History, HistoryError};
use crate::limits::{BATCH_ROWS, HISTORY_DAYS, MINUTE_MS};

/// Slots looked at for one batch, whether or not they have a row.
const LOOK: usize = 65_536;

static CONTEXT: LazyLock<SchemaRef> = LazyLock::new(|| {
    let columns = [
        ("item_id", DataType::Utf8),
        ("timestamp", DataType::Date32),
        ("target", DataType::UInt64),
        ("stockout", DataType::Float64),
        ("unmet", DataType::UInt64),
        ("item", DataType::Utf8),
        ("location", DataType::Utf8),
    ];
    let fields = columns.map(|(name, kind)| Field::new(name, kind, false));
    Arc::new(Schema::new(fields.to_vec()))
});

/// Columns of the history.
#[must_use]
pub fn context_schema() -> SchemaRef {
    Arc::clone(&CONTEXT)
}

/// Which rows are wanted; `None` is all.
#[derive(Clone, Default, Debug)]
pub struct Filter {
    /// First day, since 1970-01-01.
    pub from: Option<i32>,
    /// Last day.
    pub to: Option<i32>,
    /// Items by id.
    pub items: Option<HashSet<u32, FixedState>>,
    /// Locations by id.
    pub locations: Option<HashSet<u32, FixedState>>,
}

impl Filter {
    pub(super) fn wants(&self, item: u32, location: u32) -> bool {
        let has = |set: &Option<HashSet<u32, FixedState>>, id| {
            set.as_ref().is_none_or(|set| set.contains(&id))
        };
        has(&self.items, item) && has(&self.locations, location)
    }
}

/// What a day says of a position.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub(crate) struct Said {
    pub sold: u64,
    pub unmet: u64,
    pub out_minutes: u16,
}

/// A day's rows at hand.
pub(crate) enum Loaded {
    /// It is over: by slot.
    Over(HashMap<u32, Said, FixedState>),
    /// It can still change: the book has it.
    Open,
}

impl History {
    /// Makes a day's rows ready; `None` when nothing is known of the day.
    pub(crate) fn load(&self, day: i32) -> Result<Option<Loaded>, HistoryError> {
        let book = &self.book;
        let Some(first_open) = book.first_open() else {
            return Ok(None);
        };
        if day >= first_open {
            return Ok((day >= book.known_from()).then_some(Loaded::Open));
        }
        let Some(known) = self.shelf.get(day)? else {
            return Ok(None);
        };
        let mut table = known;
        if book.late(day).next().is_some() {
            let mut amended = (*table).clone();
            self.amend(&mut amended);
            table = Arc::new(amended);
        }
        let mut rows = HashMap::with_capacity_and_hasher(table.rows(), FixedState::default());
        for row in 0..table.rows() {
            let Some(slot) = book.find(table.item[row], table.location[row]) else {
                continue;
            };
            let said = Said {
                sold: table.sold[row],
                unmet: table.unmet[row],
                out_minutes: table.stockout_minutes[row],
            };
            rows.insert(slot, said);
        }
        Ok(Some(Loaded::Over(rows)))
    }

    /// What a loaded day says of a position at an instant; nothing sold where there is no row.
    pub(crate) fn said(&self, loaded: &Loaded, slot: u32, day: &Day, now: i64) -> Said {
        match loaded {
            Loaded::Over(rows) => rows.get(&slot).copied().unwrap_or_default(),
            Loaded::Open => {
                let row = self.book.row(day.number, slot);
                let since = self
                    .book
                    .slots()
                    .get(slot as usize)
                    .and_then(|slot| slot.out_since);
                let ended = row.map_or(0, super::row::Row::out_ms);
                let lasting = since.map_or(0, |since| {
                    let until = now.min(day.end);
                    (until - since.max(day.start)).max(0)
                });
                Said {
                    sold: row.map_or(0, |row| row.sold.max(0).unsigned_abs()),
                    unmet: row.map_or(0, |row| row.unmet),
                    out_minutes: minutes(ended + lasting),
                }
            }
        }
    }

    /// First and last day that may have rows at an instant; `None` before the first record.
    fn span(&self, now: i64) -> Option<(i32, i32)> {
        let open = self.book.first_open()?;
        let first = self.shelf.days().next().unwrap_or(open).min(open);
        let places = (0..).map_while(|n| self.book.place(n));
        let last = places.map(|place| place.today(now)).max()? - 1;
        Some((first.max(last.saturating_sub(HISTORY_DAYS)), last))
    }
}

/// Where a reading of the history is. Only days that are over at their location are told.
pub struct Rows {
    slots: Vec<u32>,
    next: usize,
    day: i32,
    last: i32,
    now: i64,
    loaded: Option<Loaded>,
}

impl Rows {
    /// From the first row, as of an instant not before the last record.
    #[must_use]
    pub fn new(history: &History, filter: &Filter, now_ms: i64) -> Self {
        let now = now_ms.max(history.book.now());
        let slots = history.book.slots().iter().zip(0u32..);
        let slots = slots
            .filter(|(slot, _)| filter.wants(slot.item, slot.location))
            .map(|(_, n)| n)
            .collect();
        let (first, last) = history.span(now).unwrap_or((1, 0));
        Self {
            slots,
            next: 0,
            day: filter.from.map_or(first, |from| from.max(first)),
            last: filter.to.map_or(last, |to| to.min(last)),
            now,
            loaded: None,
        }
    }

    /// The next rows, which may be none; `None` after the last ones.
    ///
    /// # Errors
    /// `Damaged`, `Io`.
    pub fn next(&mut self, history: &History) -> Result<Option<RecordBatch>, HistoryError> {
        let mut batch = Batch::default();
        let mut looked = 0;
        while self.day <= self.last {
            if self.loaded.is_none() {
                self.loaded = history.load(self.day)?;
                self.next = 0;
            }
            let Some(loaded) = &self.loaded else {
                self.day += 1;
                // A day costs a look at the disk, so that not all of them are passed at once.
                return batch.finish().map(Some);
            };
            while let Some(&n) = self.slots.get(self.next) {
                if batch.rows() >= BATCH_ROWS || looked >= LOOK {
                    return batch.finish().map(Some);
                }
                self.next += 1;
                looked += 1;
                batch.add(history, loaded, n, (self.day, self.now));
            }
            self.loaded = None;
            self.day += 1;
        }
        match batch.rows() {
            0 => Ok(None),
            _ => batch.finish().map(Some),
        }
    }
}

#[derive(Default)]
struct Batch {
    id: StringBuilder,
    day: Date32Builder,
    target: UInt64Builder,
    stockout: Float64Builder,
    unmet: UInt64Builder,
    item: StringBuilder,
    location: StringBuilder,
    /// Bounds of the day at the locations seen.
    bounds: HashMap<u32, Option<Day>, FixedState>,
    bounds_of: i32,
}

impl Batch {
    fn rows(&self) -> usize {
        self.day.values_slice().len()
    }

    fn add(&mut self, history: &History, loaded: &Loaded, n: u32, (day, now): (i32, i64)) {
        let book = &history.book;
        let Some(slot) = book.slots().get(n as usize) else {
            return;
        };
        if slot.first_day > day {
            return;
        }
        if self.bounds_of != day {
            self.bounds.clear();
            self.bounds_of = day;
        }
        let bounds = self.bounds.entry(slot.location).or_insert_with(|| {
            let place = book.place(slot.location)?;
            // A day that goes on is none yet.
            (place.today(now) > day).then(|| place.numbered(day))
        });
        let (Some(bounds), Some(place)) = (*bounds, book.place(slot.location)) else {
            return;
        };
        let said = history.said(loaded, n, &bounds, now);
        let item = book.item_name(slot.item);
        let length = (bounds.end - bounds.start).max(1) as f64 / MINUTE_MS as f64;
        self.id.append_value(format!("{item}@{}", place.name()));
        self.day.append_value(day);
        self.target.append_value(said.sold);
        self.stockout
            .append_value((f64::from(said.out_minutes) / length).min(1.0));
        self.unmet.append_value(said.unmet);
        self.item.append_value(item);
        self.location.append_value(place.name());
    }

    fn finish(mut self) -> Result<RecordBatch, HistoryError> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.id.finish()),
            Arc::new(self.day.finish()),
            Arc::new(self.target.finish()),
            Arc::new(self.stockout.finish()),
            Arc::new(self.unmet.finish()),
            Arc::new(self.item.finish()),
            Arc::new(self.location.finish()),
        ];
        RecordBatch::try_new(context_schema(), columns)
            .map_err(|error| HistoryError::Encoding(error.to_string()))
    }
}
