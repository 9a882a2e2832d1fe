//! What limits a plan: `stock`, `protection` and `capacity`.

use arrow_array::RecordBatch;

use super::columns::{Table, ids_or_empty};
use super::given::repeated;
use super::names::{Interned, Interner};
use super::{Result, UNITS_MAX};
use crate::input::{CLASSES_MAX, NONE, Stock};

const STOCK: &[&str] = &["item", "location", "available", "class"];
const PROTECTION: &[&str] = &["class", "item", "location", "keep_ppm"];
const CAPACITY: &[&str] = &["location", "window", "units"];
const PPM: i64 = 1_000_000;

/// Units that may be taken. Rows of items or locations that the batch has not are checked and left out.
///
/// # Errors
/// What is wrong with the table.
pub fn stock(given: Option<&RecordBatch>, names: &Interned<'_>) -> Result<Vec<Stock>> {
    let Some(batch) = given else {
        return Ok(Vec::new());
    };
    let table = Table::new("stock", batch, STOCK)?;
    let (thing, place) = (table.texts("item")?, table.texts("location")?);
    let item = thing.ids(|name| names.items.get(name));
    let location = place.ids(|name| names.locations.get(name));
    let units = table.integers("available", 0..=i64::MAX)?;
    let class = table.integers_or("class", 0..=CLASSES_MAX as i64 - 1, 0)?;
    let kept: Vec<usize> = (0..table.rows())
        .filter(|&row| item[row] != NONE && location[row] != NONE)
        .collect();
    let row_of = |&row: &usize| Stock {
        item: item[row],
        location: location[row],
        class: u8::try_from(class[row]).unwrap_or(u8::MAX),
        units: units[row].min(UNITS_MAX),
    };
    let all: Vec<Stock> = kept.iter().map(row_of).collect();
    let keys = all.iter().map(|row| (row.item, row.location, row.class));
    if let Some(at) = repeated(keys.collect()) {
        let row = kept[at];
        let value = format!(
            "{} at {} for class {} again",
            thing.get(row),
            place.get(row),
            class[row]
        );
        return Err(table.wrong(row, "", value, "send one row with the sum"));
    }
    Ok(all)
}

/// Shares of the stock that lower classes may not take. Of several rows that fit, the one that keeps most counts.
#[derive(Debug, Clone, Default)]
pub struct Protection {
    /// Class, item, location ([`NONE`] is any) and share in millionths; sorted.
    rows: Vec<((u8, u32, u32), i64)>,
}

impl Protection {
    /// Adds the limits of classes up to `class_max` that stock of class 0 has no rows for.
    pub fn fill(&self, stock: &mut Vec<Stock>, class_max: u8) {
        if self.rows.is_empty() || class_max == 0 {
            return;
        }
        let key = |row: &Stock| (row.item, row.location, row.class);
        let mut known: Vec<_> = stock.iter().filter(|row| row.class > 0).map(key).collect();
        known.sort_unstable();
        for at in 0..stock.len() {
            let row = stock[at].clone();
            if row.class > 0 {
                continue;
            }
            for class in 1..=class_max {
                let Some(keep_ppm) = self.keep_ppm(class, row.item, row.location) else {
                    continue;
                };
                if known
                    .binary_search(&(row.item, row.location, class))
                    .is_err()
                {
                    let kept = i128::from(row.units) * i128::from(keep_ppm) / i128::from(PPM);
                    let units = row.units - i64::try_from(kept).unwrap_or(row.units);
                    stock.push(Stock {
                        class,
                        units,
                        ..row
                    });
                }
            }
        }
    }

    /// Share that lines of this class and above may not take.
    fn keep_ppm(&self, class: u8, item: u32, location: u32) -> Option<i64> {
        let named = [
            (item, location),
            (item, NONE),
            (NONE, location),
            (NONE, NONE),
        ];
        let rows = named.into_iter().filter_map(|(item, location)| {
            let key = (class, item, location);
            let at = self.rows.binary_search_by(|row| row.0.cmp(&key)).ok()?;
            Some(self.rows[at].1)
        });
        rows.max()
    }
}

/// Reads `protection`. Rows of items or locations that the batch has not are checked and left out.
///
/// # Errors
/// What is wrong with the table.
pub fn protection(given: Option<&RecordBatch>, names: &Interned<'_>) -> Result<Protection> {
    let Some(batch) = given else {
        return Ok(Protection::default());
    };
    let table = Table::new("protection", batch, PROTECTION)?;
    let class = table.integers("class", 1..=CLASSES_MAX as i64 - 1)?;
    let keep = table.integers("keep_ppm", 0..=PPM)?;
    let (thing, place) = (
        table.optional_texts("item")?,
        table.optional_texts("location")?,
    );
    /// Told apart from [`NONE`], which is any.
    const UNKNOWN: u32 = NONE - 1;
    let id = |interner: &Interner<&str>, name: &str| match (name, interner.get(name)) {
        ("", _) => NONE,
        (_, NONE) => UNKNOWN,
        (_, id) => id,
    };
    let item = ids_or_empty(thing.as_ref(), table.rows(), |name| id(&names.items, name));
    let location = ids_or_empty(place.as_ref(), table.rows(), |name| {
        id(&names.locations, name)
    });
    let kept: Vec<usize> = (0..table.rows())
        .filter(|&row| item[row] != UNKNOWN && location[row] != UNKNOWN)
        .collect();
    let key = |&row: &usize| {
        let class = u8::try_from(class[row]).unwrap_or(u8::MAX);
        (class, item[row], location[row])
    };
    if let Some(at) = repeated(kept.iter().map(key).collect()) {
        let row = kept[at];
        let value = format!("class {} for the same item and location again", class[row]);
        return Err(table.wrong(row, "", value, "keep one"));
    }
    let mut rows: Vec<_> = kept.iter().map(|row| (key(row), keep[*row])).collect();
    rows.sort_unstable();
    Ok(Protection { rows })
}

/// Units that may leave, by window. Windows that no rate uses limit nothing; with options (not a `network`) there is
/// but one, without a name.
///
/// # Errors
/// What is wrong with the table.
pub fn capacity(
    given: Option<&RecordBatch>,
    names: &Interned<'_>,
    network: bool,
) -> Result<Vec<Option<i64>>> {
    let mut limits = vec![None; names.windows.len() as usize];
    let Some(batch) = given else {
        return Ok(limits);
    };
    let table = Table::new("capacity", batch, CAPACITY)?;
    let place = table.texts("location")?;
    let location = place.ids(|name| names.locations.get(name));
    let window = table.optional_texts("window")?;
    let units = table.integers("units", 0..=i64::MAX)?;
    let mut has_ways = vec![false; names.locations.len() as usize];
    for &(location, _) in names.windows.keys() {
        has_ways[location as usize] = true;
    }
    for row in 0..table.rows() {
        let name = window.as_ref().map_or("", |window| window.get(row));
        if location[row] == NONE || !has_ways[location[row] as usize] {
            continue;
        }
        let at = names.windows.get((location[row], name));
        if at == NONE && network {
            continue;
        }
        if at == NONE {
            let value = format!("{name:?} at {}", place.get(row));
            return Err(table.wrong(
                row,
                "window",
                value,
                "options have no windows: leave it empty",
            ));
        }
        let limit = &mut limits[at as usize];
        if limit.is_some() {
            let value = format!("{} with window {name:?} again", place.get(row));
            return Err(table.wrong(row, "", value, "keep one"));
        }
        *limit = Some(units[row].min(UNITS_MAX));
    }
    Ok(limits)
}
