//! Plans as tables.

use std::sync::Arc;

use arrow_array::builder::{Int32Builder, Int64Builder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;

use super::ipc;
use super::problem::Problem;
use crate::error::ApiError;

/// Units of a line served from a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    /// The line.
    pub line: usize,
    /// The cell.
    pub cell: usize,
    /// The units.
    pub units: i64,
}

/// Writes a plan: order_id, line, location, quantity.
///
/// # Errors
/// `Internal` when it cannot be written.
pub fn write(problem: &Problem, plan: &[Served]) -> Result<Vec<u8>, ApiError> {
    let (mut orders, mut lines) = (StringBuilder::new(), Int32Builder::new());
    let (mut locations, mut units) = (StringBuilder::new(), Int64Builder::new());
    for served in plan {
        let line = &problem.lines[served.line];
        orders.append_value(&line.order);
        lines.append_value(line.number);
        locations.append_value(&problem.cells[served.cell].location);
        units.append_value(served.units);
    }
    let schema = Schema::new(vec![
        Field::new("order_id", DataType::Utf8, false),
        Field::new("line", DataType::Int32, false),
        Field::new("location", DataType::Utf8, false),
        Field::new("quantity", DataType::Int64, false),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(orders.finish()),
        Arc::new(lines.finish()),
        Arc::new(locations.finish()),
        Arc::new(units.finish()),
    ];
    let batch = RecordBatch::try_new(Arc::new(schema), columns)
        .map_err(|error| ApiError::Internal(error.to_string()))?;
    ipc::write(&batch)
}

/// A plan that serves nothing.
///
/// # Errors
/// As [`write`].
pub fn nothing() -> Result<Bytes, ApiError> {
    let problem = Problem {
        lines: Vec::new(),
        cells: Vec::new(),
    };
    Ok(write(&problem, &[])?.into())
}

/// The same table with one column under another name; `None` when it has no rows.
///
/// # Errors
/// `InvalidArgument` when it is no table, or has no such column.
pub fn rename(
    bytes: &[u8],
    table: &'static str,
    from: &'static str,
    to: &'static str,
) -> Result<Option<Bytes>, ApiError> {
    let wrong = |error: arrow_schema::ArrowError| ApiError::Internal(error.to_string());
    let mut out: Option<arrow_ipc::writer::StreamWriter<Vec<u8>>> = None;
    for batch in ipc::read(table, bytes)? {
        ipc::column(table, &batch, from)?;
        let fields = batch
            .schema_ref()
            .fields()
            .iter()
            .map(|field| match field.name() == from {
                true => Arc::new(field.as_ref().clone().with_name(to)),
                false => Arc::clone(field),
            });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let renamed =
            RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec()).map_err(wrong)?;
        if out.is_none() {
            out =
                Some(arrow_ipc::writer::StreamWriter::try_new(Vec::new(), &schema).map_err(wrong)?);
        }
        if let Some(writer) = &mut out {
            writer.write(&renamed).map_err(wrong)?;
        }
    }
    match out {
        Some(writer) => Ok(Some(writer.into_inner().map_err(wrong)?.into())),
        None => Ok(None),
    }
}
