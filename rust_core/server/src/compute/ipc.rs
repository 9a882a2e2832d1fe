//! Arrow IPC streams in bytes fields, with nothing in them trusted.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Date64Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Schema, SchemaRef, TimeUnit};

use super::compressed;
use crate::error::ApiError;
use crate::tables::columns::Texts;

/// Rows of one table.
pub const ROWS_MAX: usize = 1_000_000;
const DAY_S: i64 = 86_400;

type Result<T> = std::result::Result<T, ApiError>;

/// Reads a stream.
///
/// # Errors
/// `InvalidArgument` naming the field when it is no sound stream, or has too many rows; `CompressionUnsupported`.
pub fn read(field: &'static str, bytes: &[u8]) -> Result<Vec<RecordBatch>> {
    compressed::refuse(field, bytes)?;
    let wrong = |what: String| ApiError::invalid(field, what, "it must be an Arrow IPC stream");
    // The decoder has had bugs on hostile bytes: one that panics is an answer, not the end.
    let read = catch_unwind(AssertUnwindSafe(
        || -> std::result::Result<Vec<RecordBatch>, ArrowError> {
            StreamReader::try_new(Cursor::new(bytes), None)?.collect()
        },
    ));
    let batches = match read {
        Ok(Ok(batches)) => batches,
        Ok(Err(error)) => return Err(wrong(error.to_string())),
        Err(_) => return Err(wrong("it contradicts itself".to_owned())),
    };
    let rows = batches
        .iter()
        .fold(0usize, |sum, batch| sum.saturating_add(batch.num_rows()));
    if rows > ROWS_MAX {
        return Err(ApiError::invalid(
            field,
            format!("{rows} rows"),
            "at most 1000000 are allowed",
        ));
    }
    Ok(batches)
}

/// The columns of a stream.
///
/// # Errors
/// `InvalidArgument` naming the field when it is no sound stream.
pub fn schema(field: &'static str, bytes: &[u8]) -> Result<SchemaRef> {
    let read = catch_unwind(AssertUnwindSafe(|| {
        StreamReader::try_new(Cursor::new(bytes), None).map(|reader| reader.schema())
    }));
    let wrong = |what: String| ApiError::invalid(field, what, "it must be an Arrow IPC stream");
    match read {
        Ok(read) => read.map_err(|error| wrong(error.to_string())),
        Err(_) => Err(wrong("it contradicts itself".to_owned())),
    }
}

/// Writes a table.
///
/// # Errors
/// `Internal` when it cannot be written.
pub fn write(batch: &RecordBatch) -> Result<Vec<u8>> {
    write_all(&batch.schema(), std::slice::from_ref(batch))
}

/// Writes a table of several batches.
///
/// # Errors
/// `Internal` when it cannot be written.
pub fn write_all(schema: &Schema, batches: &[RecordBatch]) -> Result<Vec<u8>> {
    let wrong = |error: ArrowError| ApiError::Internal(error.to_string());
    let mut writer = StreamWriter::try_new(Vec::new(), schema).map_err(wrong)?;
    for batch in batches {
        writer.write(batch).map_err(wrong)?;
    }
    writer.into_inner().map_err(wrong)
}

/// A column that must be there.
///
/// # Errors
/// `InvalidArgument` when it is missing.
pub fn column<'a>(
    table: &'static str,
    batch: &'a RecordBatch,
    name: &'static str,
) -> Result<&'a ArrayRef> {
    batch
        .column_by_name(name)
        .ok_or_else(|| ApiError::invalid(table, format!("without column {name}"), "add the column"))
}

/// A column of text.
///
/// # Errors
/// `InvalidArgument` when it is missing or of another type.
pub fn texts<'a>(
    table: &'static str,
    batch: &'a RecordBatch,
    name: &'static str,
) -> Result<Texts<'a>> {
    Texts::new(name, column(table, batch, name)?)
}

/// A column of numbers; what is not known is `None`.
///
/// # Errors
/// `InvalidArgument` when it is of another type, or holds an infinite number.
pub fn numbers(
    table: &'static str,
    name: &'static str,
    column: &ArrayRef,
) -> Result<Vec<Option<f64>>> {
    macro_rules! plain {
        ($kind:ty) => {
            column
                .as_primitive::<$kind>()
                .iter()
                .map(|value| value.map(|value| value as f64))
                .collect()
        };
    }
    let values: Vec<Option<f64>> = match column.data_type() {
        DataType::Float64 => plain!(Float64Type),
        DataType::Float32 => plain!(Float32Type),
        DataType::Int64 => plain!(Int64Type),
        DataType::Int32 => plain!(Int32Type),
        DataType::Int16 => plain!(Int16Type),
        DataType::Int8 => plain!(Int8Type),
        DataType::UInt64 => plain!(UInt64Type),
        DataType::UInt32 => plain!(UInt32Type),
        DataType::UInt16 => plain!(UInt16Type),
        DataType::UInt8 => plain!(UInt8Type),
        other => {
            return Err(ApiError::invalid(
                table,
                format!("column {name} of {other}"),
                "make it a number",
            ));
        }
    };
    if values.iter().flatten().any(|value| value.is_infinite()) {
        return Err(ApiError::invalid(
            table,
            format!("column {name} with an infinite value"),
            "leave it out, or null",
        ));
    }
    Ok(values
        .into_iter()
        .map(|value| value.filter(|value| !value.is_nan()))
        .collect())
}

/// A column of whole numbers within bounds; every row must have one.
///
/// # Errors
/// `InvalidArgument` naming the row.
pub fn integers(
    table: &'static str,
    batch: &RecordBatch,
    name: &'static str,
    bounds: std::ops::RangeInclusive<i64>,
) -> Result<Vec<i64>> {
    let array = column(table, batch, name)?;
    macro_rules! plain {
        ($kind:ty) => {
            array
                .as_primitive::<$kind>()
                .iter()
                .map(|value| value.and_then(|value| i64::try_from(value).ok()))
                .collect()
        };
    }
    let values: Vec<Option<i64>> = match array.data_type() {
        DataType::Int64 => plain!(Int64Type),
        DataType::Int32 => plain!(Int32Type),
        DataType::Int16 => plain!(Int16Type),
        DataType::Int8 => plain!(Int8Type),
        DataType::UInt64 => plain!(UInt64Type),
        DataType::UInt32 => plain!(UInt32Type),
        DataType::UInt16 => plain!(UInt16Type),
        DataType::UInt8 => plain!(UInt8Type),
        other => {
            return Err(ApiError::invalid(
                table,
                format!("column {name} of {other}"),
                "make it a whole number",
            ));
        }
    };
    let checked = values.into_iter().enumerate().map(|(row, value)| {
        value.filter(|value| bounds.contains(value)).ok_or_else(|| {
            let rule = format!(
                "it must be a whole number from {} to {}",
                bounds.start(),
                bounds.end()
            );
            let shown = value.map_or("null".to_owned(), |value| value.to_string());
            ApiError::invalid(format!("{table}[{row}].{name}"), shown, rule)
        })
    });
    checked.collect()
}

/// A column of dates or timestamps as days since 1970-01-01.
///
/// # Errors
/// `InvalidArgument` when it is missing, of another type, or has nulls.
pub fn days(table: &'static str, batch: &RecordBatch, name: &'static str) -> Result<Vec<i32>> {
    let array = column(table, batch, name)?;
    let seconds = |per: i64| move |value: i64| value.div_euclid(per).div_euclid(DAY_S);
    let days: Vec<Option<i64>> = match array.data_type() {
        DataType::Date32 => array
            .as_primitive::<Date32Type>()
            .iter()
            .map(|day| day.map(i64::from))
            .collect(),
        DataType::Date64 => array
            .as_primitive::<Date64Type>()
            .iter()
            .map(|ms| ms.map(seconds(1_000)))
            .collect(),
        DataType::Timestamp(unit, _) => match unit {
            TimeUnit::Second => array
                .as_primitive::<TimestampSecondType>()
                .iter()
                .map(|t| t.map(seconds(1)))
                .collect(),
            TimeUnit::Millisecond => array
                .as_primitive::<TimestampMillisecondType>()
                .iter()
                .map(|t| t.map(seconds(1_000)))
                .collect(),
            TimeUnit::Microsecond => array
                .as_primitive::<TimestampMicrosecondType>()
                .iter()
                .map(|t| t.map(seconds(1_000_000)))
                .collect(),
            TimeUnit::Nanosecond => array
                .as_primitive::<TimestampNanosecondType>()
                .iter()
                .map(|t| t.map(seconds(1_000_000_000)))
                .collect(),
        },
        other => {
            return Err(ApiError::invalid(
                table,
                format!("column {name} of {other}"),
                "make it a date or a timestamp",
            ));
        }
    };
    let day = |day: Option<i64>| day.and_then(|day| i32::try_from(day).ok());
    days.into_iter()
        .map(|value| {
            day(value).ok_or_else(|| {
                ApiError::invalid(
                    table,
                    format!("column {name} with a null"),
                    "give every row its day",
                )
            })
        })
        .collect()
}
