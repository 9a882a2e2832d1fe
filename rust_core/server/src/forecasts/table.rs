//! A pushed table, read into a draft.

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Float32Type, Float64Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;
use bespeak_aside::Pace;
use bespeak_demand::forecasts::{BadRow, Draft, Kind, Level, Names};
use bespeak_engine::limits::DAY_MS;

use crate::error::ApiError;
use crate::store::Store;
use crate::tables::columns::{Numbers, Table, Texts, check_rows};

type Result<T> = std::result::Result<T, ApiError>;

/// Rows taken between two rests: some hundred microseconds of work.
const SLICE: usize = 1_024;

impl From<BadRow> for ApiError {
    fn from(bad: BadRow) -> Self {
        Self::invalid(
            format!("rows[{}].{}", bad.row, bad.column),
            bad.value,
            bad.rule,
        )
    }
}

/// The levels that a table has columns for.
///
/// # Errors
/// `InvalidArgument` for a column that is neither known nor a level, or without any level.
pub(super) fn draft(kind: Kind, batch: &RecordBatch) -> Result<Draft> {
    let schema = batch.schema_ref();
    let named = |name: &str| ["item", "location", "mean", kind.key()].contains(&name);
    let mut levels = Vec::new();
    for field in schema.fields().iter().filter(|field| !named(field.name())) {
        let level = Level::from_name(field.name()).ok_or_else(|| {
            let rule = format!(
                "the columns are item, location, {}, mean and levels such as 0.9",
                kind.key()
            );
            ApiError::invalid("column", field.name(), rule)
        })?;
        levels.push(level);
    }
    levels.sort_unstable();
    Draft::new(kind, &levels).ok_or_else(|| {
        let rule = "give 1 to 99 columns of quantiles, each level once";
        ApiError::invalid("columns", format!("{} levels", levels.len()), rule)
    })
}

/// Adds the rows of a batch to a draft, with rests between slices of it.
///
/// # Errors
/// `InvalidArgument`, with the row's number among all that were pushed.
pub(super) fn take(
    draft: &mut Draft,
    kind: Kind,
    batch: &RecordBatch,
    rows_max: usize,
    store: &Store,
    pace: &mut Pace,
) -> Result<()> {
    let rows = check_rows(batch, rows_max)?;
    // One without rows is looked at, too.
    for from in (0..rows.max(1)).step_by(SLICE) {
        let slice = batch.slice(from, SLICE.min(rows - from));
        take_slice(draft, kind, &slice, store)?;
        pace.rest();
    }
    Ok(())
}

fn take_slice(draft: &mut Draft, kind: Kind, batch: &RecordBatch, store: &Store) -> Result<()> {
    let levels = draft.levels().to_vec();
    let names: Vec<String> = levels.iter().map(Level::to_string).collect();
    let mut known = vec!["item", "location", "mean", kind.key()];
    known.extend(
        batch
            .schema_ref()
            .fields()
            .iter()
            .map(|field| field.name().as_str()),
    );
    let table = Table::new(batch, &known, SLICE)?;
    let (items, locations) = (table.texts("item")?, table.texts("location")?);
    let keys = Keys::new(kind, batch, table)?;
    let mut columns = vec![Values::new("mean", batch.column_by_name("mean"))?];
    for (level, name) in levels.iter().zip(&names) {
        let fields = batch.schema_ref().fields().iter();
        let at = fields
            .map(|field| Level::from_name(field.name()))
            .position(|one| one == Some(*level));
        columns.push(Values::new(name, at.map(|at| batch.column(at)))?);
    }
    if columns.len() != batch.num_columns().saturating_sub(3) {
        let rule = "every batch of a push has the same columns";
        return Err(ApiError::invalid("columns", batch.num_columns(), rule));
    }
    let first = draft.rows();
    let mut row = 0;
    for (rows, position) in runs(&items, &locations, table.rows(), first, store)? {
        for _ in 0..rows {
            let key = keys.get(row).ok_or_else(|| {
                let rule = "every row needs it";
                ApiError::invalid(
                    format!("rows[{}].{}", first + row, kind.key()),
                    "null",
                    rule,
                )
            })?;
            draft.push(position, key, columns.iter().map(|column| column.get(row)))?;
            row += 1;
        }
    }
    Ok(())
}

/// Rows that follow one another and are of one position, and that position.
fn runs(
    items: &Texts<'_>,
    locations: &Texts<'_>,
    rows: usize,
    first: usize,
    store: &Store,
) -> Result<Vec<(usize, bespeak_engine::PositionId)>> {
    let mut names: Vec<(&str, &str)> = Vec::new();
    let mut lengths: Vec<usize> = Vec::new();
    for row in 0..rows {
        let name = (
            items.get(row).unwrap_or(""),
            locations.get(row).unwrap_or(""),
        );
        match lengths.last_mut() {
            Some(length) if names.last() == Some(&name) => *length += 1,
            _ => {
                names.push(name);
                lengths.push(1);
            }
        }
    }
    let mut row = first;
    let mut found = Vec::with_capacity(names.len());
    for ((position, length), (item, location)) in
        store.find(&names)?.into_iter().zip(lengths).zip(names)
    {
        let position = position.ok_or_else(|| {
            let rule = "the engine knows no such position: tell it of stock or a receipt there first, or leave it out";
            ApiError::invalid(format!("rows[{row}].item"), format!("{item} at {location}"), rule)
        })?;
        found.push((length, position));
        row += length;
    }
    Ok(found)
}

enum Keys<'a> {
    Date(&'a arrow_array::PrimitiveArray<Date32Type>),
    /// Milliseconds since 1970.
    Time(Numbers<'a>),
    Number(Numbers<'a>),
}

impl<'a> Keys<'a> {
    fn new(kind: Kind, batch: &'a RecordBatch, table: Table<'a>) -> Result<Self> {
        let column = batch.column_by_name(kind.key());
        if let Some(dates) = column.and_then(|column| column.as_primitive_opt::<Date32Type>()) {
            return Ok(Self::Date(dates));
        }
        let numbers = table.numbers(kind.key())?;
        Ok(match column.map(|column| column.data_type()) {
            Some(DataType::Timestamp(..)) => Self::Time(numbers),
            _ => Self::Number(numbers),
        })
    }

    /// `None` for a null; what is out of range is so for every kind.
    fn get(&self, row: usize) -> Option<i32> {
        let number = match self {
            Self::Date(dates) => dates.is_valid(row).then(|| i64::from(dates.value(row))),
            Self::Time(numbers) => numbers.get(row).map(|ms| ms.div_euclid(DAY_MS)),
            Self::Number(numbers) => numbers.get(row),
        };
        number.map(|number| i32::try_from(number).unwrap_or(-1))
    }
}

enum Values<'a> {
    Double(&'a arrow_array::PrimitiveArray<Float64Type>),
    Single(&'a arrow_array::PrimitiveArray<Float32Type>),
}

impl<'a> Values<'a> {
    fn new(name: &str, column: Option<&'a ArrayRef>) -> Result<Self> {
        let Some(column) = column else {
            let rule = "it is required, and missing from the table";
            return Err(ApiError::invalid("column", name, rule));
        };
        if let Some(values) = column.as_primitive_opt::<Float64Type>() {
            return Ok(Self::Double(values));
        }
        if let Some(values) = column.as_primitive_opt::<Float32Type>() {
            return Ok(Self::Single(values));
        }
        let rule = "it must be float64 or float32";
        Err(ApiError::invalid(
            format!("type of column {name}"),
            column.data_type(),
            rule,
        ))
    }

    fn get(&self, row: usize) -> Option<f64> {
        match self {
            Self::Double(values) => values.is_valid(row).then(|| values.value(row)),
            Self::Single(values) => values.is_valid(row).then(|| f64::from(values.value(row))),
        }
    }
}
