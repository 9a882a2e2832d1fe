//! Today, position by position: what was expected of it, and the nowcast of the rest.

use std::sync::Arc;

use arrow_array::builder::{Date32Builder, Float64Builder, StringBuilder, UInt64Builder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::place::Day;
use super::{Filter, History, HistoryError};
use crate::climatology::{MADE_BY, SAMPLES_MIN, WINDOW_DAYS, level_name};
use crate::day_ahead::{DayAhead, Outlook};
use crate::limits::{HOUR_MS, LEVELS_MAX};
use crate::nowcast::{Course, Pace, REST_DISPERSION, dispersion};
use crate::profile::{Hours, Shares};
use crate::quantile;

/// What climatology expects of today, position by position: made once a day.
#[derive(Default, Debug)]
pub struct Outlooks {
    /// Today at each location.
    days: Vec<i32>,
    slots: Vec<Option<Outlook>>,
}

/// Sums over the window of one position.
#[derive(Clone, Copy, Default)]
struct Window {
    /// Days in stock of today's weekday: number and units.
    weekday: (u32, f64),
    /// Days in stock: number, units, squares.
    in_stock: (u32, f64, f64),
    /// All days: number and units.
    all: (u32, f64),
}

impl Window {
    fn outlook(&self) -> Option<Outlook> {
        let (days, units, squares) = self.in_stock;
        let mean = match (self.weekday, days) {
            ((n, units), _) if n as usize >= SAMPLES_MIN => units / f64::from(n),
            (_, days) if days > 0 => units / f64::from(days),
            _ if self.all.0 > 0 => self.all.1 / f64::from(self.all.0),
            _ => return None,
        };
        let dispersion = if days >= 2 && units > 0.0 {
            let days = f64::from(days);
            let variance = (squares - units * units / days).max(0.0) / (days - 1.0);
            variance * days / units
        } else {
            1.0
        };
        Some(Outlook {
            mean,
            dispersion: dispersion.max(1.0),
        })
    }
}

/// Columns of a nowcast.
fn schema(levels: &[f64]) -> SchemaRef {
    let known = |name: &str, kind| Field::new(name, kind, false);
    let perhaps = |name: &str| Field::new(name, DataType::Float64, true);
    let mut fields = vec![
        known("item_id", DataType::Utf8),
        known("timestamp", DataType::Date32),
        known("sold", DataType::UInt64),
        known("unmet", DataType::UInt64),
        perhaps("day_ahead"),
        perhaps("dispersion"),
        known("elapsed", DataType::Float64),
        perhaps("total"),
        perhaps("rest"),
    ];
    fields.extend(levels.iter().map(|level| perhaps(&level_name(*level))));
    fields.push(known("made_by", DataType::Utf8));
    fields.push(known("item", DataType::Utf8));
    fields.push(known("location", DataType::Utf8));
    Arc::new(Schema::new(fields))
}

/// Checks quantile levels and gives the columns of a nowcast with them.
///
/// # Errors
/// `Question` when they do not ascend strictly between 0 and 1, or are too many.
pub fn nowcast_schema(levels: &[f64]) -> Result<SchemaRef, HistoryError> {
    let inside = levels.iter().all(|level| *level > 0.0 && *level < 1.0);
    let apart = levels
        .windows(2)
        .all(|pair| pair[0] < pair[1] && level_name(pair[0]) != level_name(pair[1]));
    if levels.len() > LEVELS_MAX || !inside || !apart {
        return Err(HistoryError::Question(format!(
            "{} quantile levels given: give at most {LEVELS_MAX}, ascending between 0 and 1",
            levels.len()
        )));
    }
    Ok(schema(levels))
}

/// A position today.
struct Standing {
    slot: u32,
    day: i32,
    pace: Pace,
    unmet: u64,
    known: bool,
    /// Who expected it.
    made_by: &'static str,
}

/// Who made what was expected of a day: a forecast that was pushed, or one that was too old, where climatology knew
/// nothing.
const FORECAST: &str = "forecast";
const STALE_FORECAST: &str = "stale forecast";

impl History {
    /// Works out what climatology expects of today, where that is not done.
    ///
    /// # Errors
    /// `Damaged`, `Io`.
    fn expect_today(&self, outlooks: &mut Outlooks, now: i64) -> Result<(), HistoryError> {
        let book = &self.book;
        let places = (0..).map_while(|n| book.place(n).map(|place| place.today(now)));
        let days: Vec<i32> = places.collect();
        if days == outlooks.days {
            return Ok(());
        }
        let mut windows = vec![Window::default(); book.slots().len()];
        let first = days.iter().min().map_or(0, |day| day - WINDOW_DAYS);
        let last = days.iter().max().map_or(-1, |day| day - 1);
        for day in first..=last {
            let Some(loaded) = self.load(day)? else {
                continue;
            };
            let bounds: Vec<Day> = (0..)
                .map_while(|n| book.place(n).map(|place| place.numbered(day)))
                .collect();
            for ((slot, n), window) in book.slots().iter().zip(0u32..).zip(&mut windows) {
                let at = slot.location as usize;
                let (Some(today), Some(bounds)) = (days.get(at), bounds.get(at)) else {
                    continue;
                };
                if slot.first_day > day || day >= *today || day < *today - WINDOW_DAYS {
                    continue;
                }
                let said = self.said(&loaded, n, bounds, now);
                let units = said.sold as f64;
                window.all = (window.all.0 + 1, window.all.1 + units);
                if said.out_minutes > 0 {
                    continue;
                }
                let (days, sum, squares) = window.in_stock;
                window.in_stock = (days + 1, sum + units, squares + units * units);
                if (today - day) % 7 == 0 {
                    window.weekday = (window.weekday.0 + 1, window.weekday.1 + units);
                }
            }
        }
        outlooks.days = days;
        outlooks.slots = windows.iter().map(Window::outlook).collect();
        Ok(())
    }

    /// The nowcast of the positions that a filter wants, at an instant not before the last record. All positions are
    /// looked at, whatever is wanted: they tell each other's course of the day.
    ///
    /// # Errors
    /// `Question` for levels as in [`nowcast_schema`]; `Damaged`, `Io`.
    pub fn nowcast(
        &self,
        outlooks: &mut Outlooks,
        ahead: &dyn DayAhead,
        now_ms: i64,
        levels: &[f64],
        filter: &Filter,
    ) -> Result<RecordBatch, HistoryError> {
        let schema = nowcast_schema(levels)?;
        let now = now_ms.max(self.book.now());
        self.expect_today(outlooks, now)?;
        let standings = self.standings(outlooks, ahead, now);
        let paces: Vec<Pace> = standings
            .iter()
            .filter(|one| one.known)
            .map(|one| one.pace)
            .collect();
        let course = Course::of(&paces);
        let wanted = standings
            .iter()
            .filter(|one| filter.wants(one.pace.item, one.pace.location));
        self.table(schema, &course, wanted, levels)
    }

    /// Every position's outlook and what became of it so far.
    fn standings(&self, outlooks: &Outlooks, ahead: &dyn DayAhead, now: i64) -> Vec<Standing> {
        let book = &self.book;
        let places: Vec<Day> = (0..)
            .map_while(|n| book.place(n).map(|place| place.numbered(place.today(now))))
            .collect();
        let positions = book.positions_of_slots();
        let mut standings = Vec::with_capacity(book.slots().len());
        for (slot, n) in book.slots().iter().zip(0u32..) {
            let Some(day) = places.get(slot.location as usize) else {
                continue;
            };
            let position = positions.get(n as usize).copied().flatten();
            let pushed = position.and_then(|position| ahead.ahead(position, day.number, day.start));
            let own = outlooks.slots.get(n as usize).copied().flatten();
            let (outlook, made_by) = match (pushed, own) {
                (Some(pushed), _) if !pushed.stale => (Some(pushed.outlook), FORECAST),
                (_, Some(own)) => (Some(own), MADE_BY),
                (Some(pushed), None) => (Some(pushed.outlook), STALE_FORECAST),
                (None, None) => (None, ""),
            };
            let row = book.row(day.number, n);
            standings.push(Standing {
                slot: n,
                day: day.number,
                pace: Pace {
                    item: slot.item,
                    location: slot.location,
                    mean: outlook.map_or(0.0, |outlook| outlook.mean.max(0.0)),
                    dispersion: outlook.map_or(1.0, |outlook| outlook.dispersion.max(1.0)),
                    elapsed: 0.0,
                    rest: 0.0,
                    sold: row.map_or(0.0, |row| row.sold.max(0) as f64),
                },
                unmet: row.map_or(0, |row| row.unmet),
                known: outlook.is_some(),
                made_by,
            });
        }
        self.spread(&places, &mut standings, now);
        standings
    }

    /// Fills in the shares of the day that have passed in stock and are still to come.
    fn spread(&self, places: &[Day], standings: &mut [Standing], now: i64) {
        let book = &self.book;
        let known = standings.iter().filter(|one| one.known);
        let dispersion = dispersion(known.map(|one| (one.pace.mean, one.pace.dispersion)));
        let profile = book.profile();
        let days = places.iter().zip(0u32..);
        let by_place: Vec<(Shares<'_>, Hours)> = days
            .map(|(day, n)| {
                let shares = profile.of_day(day.number, dispersion);
                let hours = shares.place(n);
                (shares, hours)
            })
            .collect();
        for one in standings {
            let at = one.pace.location as usize;
            let (day, slot) = (&places[at], &book.slots()[one.slot as usize]);
            let (shares, hours) = &by_place[at];
            let shares = shares.item(hours, slot.item);
            let mut spell = book.row(day.number, one.slot).cloned().unwrap_or_default();
            if let Some(since) = slot.out_since {
                spell.add_spell(day, since, now);
            }
            for (hour, share) in shares.iter().enumerate() {
                let start = day.start + hour as i64 * HOUR_MS;
                let passed = ((now - start) as f64 / HOUR_MS as f64).clamp(0.0, 1.0);
                let out = spell.out.as_ref().map_or(0, |out| out[hour]);
                let out = f64::from(out) / HOUR_MS as f64;
                one.pace.elapsed += share * (passed - out).max(0.0);
                one.pace.rest += share * (1.0 - passed);
            }
        }
    }

    fn table<'a>(
        &self,
        schema: SchemaRef,
        course: &Course,
        wanted: impl Iterator<Item = &'a Standing>,
        levels: &[f64],
    ) -> Result<RecordBatch, HistoryError> {
        let book = &self.book;
        let mut texts: [StringBuilder; 4] = Default::default();
        let mut day = Date32Builder::new();
        let (mut sold, mut unmet) = (UInt64Builder::new(), UInt64Builder::new());
        let mut numbers: Vec<Float64Builder> = Vec::new();
        numbers.resize_with(5 + levels.len(), Float64Builder::new);
        for one in wanted {
            let slot = &book.slots()[one.slot as usize];
            let item = book.item_name(slot.item);
            let place = book.place(slot.location).map_or("", |place| place.name());
            let pace = &one.pace;
            let rest = one.known.then(|| course.rest(pace));
            texts[0].append_value(format!("{item}@{place}"));
            texts[1].append_value(one.made_by);
            texts[2].append_value(item);
            texts[3].append_value(place);
            day.append_value(one.day);
            sold.append_value(pace.sold as u64);
            unmet.append_value(one.unmet);
            numbers[0].append_option(one.known.then_some(pace.mean));
            numbers[1].append_option(one.known.then_some(pace.dispersion));
            numbers[2].append_value(pace.elapsed.clamp(0.0, 1.0));
            numbers[3].append_option(rest.map(|rest| pace.sold + rest));
            numbers[4].append_option(rest);
            for (builder, level) in numbers[5..].iter_mut().zip(levels) {
                let spread = REST_DISPERSION * pace.dispersion;
                builder.append_option(rest.map(|rest| quantile::count(rest, spread, *level)));
            }
        }
        let [id, made_by, item, place] = &mut texts;
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(id.finish()),
            Arc::new(day.finish()),
            Arc::new(sold.finish()),
            Arc::new(unmet.finish()),
        ];
        columns.extend(
            numbers
                .iter_mut()
                .map(|builder| Arc::new(builder.finish()) as ArrayRef),
        );
        columns.push(Arc::new(made_by.finish()));
        columns.push(Arc::new(item.finish()));
        columns.push(Arc::new(place.finish()));
        RecordBatch::try_new(schema, columns)
            .map_err(|error| HistoryError::Encoding(error.to_string()))
    }
}
