//! Blocks as Arrow IPC files, one row a position.
//!
//! | column | type | meaning |
//! |---|---|---|
//! | item, location | utf8 | the position: names, so that a file outlives the numbers of a journal |
//! | model | utf8 | who made the forecast |
//! | computed_at_ms | int64 | when |
//! | keys | list of int32 | days or horizons, ascending |
//! | values | list of float32 | mean and levels of each key, key after key |
//!
//! The schema's metadata holds `format`, `kind` and `levels`, such as "0.1,0.5,0.9".

use std::collections::HashMap;
use std::io::{Cursor, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int32Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float32Array, Int32Array, Int64Array, ListArray, RecordBatch,
    StringArray,
};
use arrow_buffer::OffsetBuffer;
use arrow_ipc::reader::FileReader;
use arrow_ipc::writer::FileWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use bespeak_engine::{PositionId, UtcMillis};

use super::block::Head;
use super::directory::Kept;
use super::store::{ForecastError, Names};
use super::{Block, Kind, Level, Origin, VALUE_MAX};

const FORMAT: &str = "bespeak.forecasts.1";
/// Positions of one batch.
const CHUNK: usize = 1_024;

impl From<ArrowError> for ForecastError {
    fn from(error: ArrowError) -> Self {
        Self::Disk(error.to_string())
    }
}

fn schema(block: &Block) -> SchemaRef {
    let list = |kind| DataType::List(Arc::new(Field::new("item", kind, false)));
    let levels: Vec<String> = block.levels.iter().map(Level::to_string).collect();
    let metadata = HashMap::from([
        ("format".to_owned(), FORMAT.to_owned()),
        ("kind".to_owned(), block.kind.table().to_owned()),
        ("levels".to_owned(), levels.join(",")),
    ]);
    let fields = vec![
        Field::new("item", DataType::Utf8, false),
        Field::new("location", DataType::Utf8, false),
        Field::new("model", DataType::Utf8, false),
        Field::new("computed_at_ms", DataType::Int64, false),
        Field::new("keys", list(DataType::Int32), false),
        Field::new("values", list(DataType::Float32), false),
    ];
    Arc::new(Schema::new(fields).with_metadata(metadata))
}

/// Writes a block.
pub(super) fn write(
    block: &Block,
    names: &dyn Names,
    out: &mut dyn Write,
) -> Result<(), ForecastError> {
    let schema = schema(block);
    let mut writer = FileWriter::try_new(out, &schema)?;
    for heads in block.heads.chunks(CHUNK) {
        writer.write(&batch(block, heads, &schema, names)?)?;
    }
    writer.finish()?;
    Ok(())
}

fn batch(
    block: &Block,
    heads: &[Head],
    schema: &SchemaRef,
    names: &dyn Names,
) -> Result<RecordBatch, ForecastError> {
    let width = block.width();
    let positions: Vec<PositionId> = heads.iter().map(|head| head.position).collect();
    let named = names.names(&positions)?;
    let rows = |head: &Head| head.start as usize..(head.start + head.rows) as usize;
    let keys = heads.iter().flat_map(|head| &block.keys[rows(head)]);
    let values = heads.iter().flat_map(|head| {
        let rows = rows(head);
        &block.values[rows.start * width..rows.end * width]
    });
    let origin = |head: &Head| &block.origins[head.origin as usize];
    let list = |values: ArrayRef, width: usize| {
        let field = Field::new("item", values.data_type().clone(), false);
        let lengths = heads.iter().map(|head| head.rows as usize * width);
        ListArray::try_new(
            Arc::new(field),
            OffsetBuffer::from_lengths(lengths),
            values,
            None,
        )
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(
            named.iter().map(|(item, _)| item),
        )),
        Arc::new(StringArray::from_iter_values(
            named.iter().map(|(_, location)| location),
        )),
        Arc::new(StringArray::from_iter_values(
            heads.iter().map(|head| &origin(head).model),
        )),
        Arc::new(Int64Array::from_iter_values(
            heads.iter().map(|head| origin(head).computed_at.get()),
        )),
        Arc::new(list(
            Arc::new(Int32Array::from_iter_values(keys.copied())),
            1,
        )?),
        Arc::new(list(
            Arc::new(Float32Array::from_iter_values(values.copied())),
            width,
        )?),
    ];
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

/// Reads a block back. Positions that the engine does not know are left out.
pub(super) fn read(kept: &Kept, kind: Kind, names: &dyn Names) -> Result<Block, ForecastError> {
    // The decoder takes what lengths it finds for true: it only gets what was written.
    let Some(bytes) = kept.read()? else {
        let what = "its checksum is another".to_owned();
        return Err(ForecastError::Damaged(what));
    };
    match catch_unwind(AssertUnwindSafe(|| decode(&bytes, kind, names))) {
        Ok(read) => read,
        Err(_) => Err(ForecastError::Damaged("it contradicts itself".to_owned())),
    }
}

/// The rows of a file that were computed by a time, as they are.
pub(super) struct Part {
    schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
    /// Rows that were computed later.
    pub left_out: usize,
}

/// Reads what of a file was computed by a time; `None` when that is all of it.
pub(super) fn up_to(kept: &Kept, until: UtcMillis) -> Result<Option<Part>, ForecastError> {
    let damaged = |what: &str| {
        let name = kept.path.file_name().unwrap_or_default();
        ForecastError::Damaged(format!("{}: {what}", name.display()))
    };
    let bytes = kept.read()?;
    let bytes = bytes.ok_or_else(|| damaged("its checksum is another"))?;
    let read = || -> Result<Part, ArrowError> {
        let reader = FileReader::try_new(Cursor::new(&bytes), None)?;
        let mut part = Part {
            schema: reader.schema(),
            batches: Vec::new(),
            left_out: 0,
        };
        for batch in reader {
            let batch = batch?;
            let times = batch.column_by_name("computed_at_ms");
            let times = times.and_then(|times| times.as_primitive_opt::<Int64Type>());
            let times = times.ok_or_else(|| ArrowError::SchemaError("a time is absent".into()))?;
            let known = BooleanArray::from_unary(times, |at| at <= until.get());
            let some = filter_record_batch(&batch, &known)?;
            part.left_out += batch.num_rows() - some.num_rows();
            part.batches.extend((some.num_rows() > 0).then_some(some));
        }
        Ok(part)
    };
    let read = catch_unwind(AssertUnwindSafe(read));
    let part = read.map_err(|_| damaged("it contradicts itself"))?;
    let part = part.map_err(|error| damaged(&error.to_string()))?;
    Ok((part.left_out > 0).then_some(part))
}

/// Writes rows as they were read.
pub(super) fn copy(part: &Part, out: &mut dyn Write) -> Result<(), ForecastError> {
    let mut writer = FileWriter::try_new(out, &part.schema)?;
    for batch in &part.batches {
        writer.write(batch)?;
    }
    writer.finish()?;
    Ok(())
}

fn decode(bytes: &[u8], kind: Kind, names: &dyn Names) -> Result<Block, ForecastError> {
    let damaged = |error: ArrowError| ForecastError::Damaged(error.to_string());
    let reader = FileReader::try_new(Cursor::new(bytes), None).map_err(damaged)?;
    let mut block = empty(kind, reader.schema().metadata())?;
    let mut origins: HashMap<(String, i64), u32> = HashMap::new();
    for batch in reader {
        take(&mut block, &batch.map_err(damaged)?, names, &mut origins)?;
    }
    Ok(block)
}

fn empty(kind: Kind, metadata: &HashMap<String, String>) -> Result<Block, ForecastError> {
    let told = |key: &str| metadata.get(key).map(String::as_str).unwrap_or_default();
    if told("format") != FORMAT || told("kind") != kind.table() {
        let what = format!("it is {} of {}", told("kind"), told("format"));
        return Err(ForecastError::Damaged(what));
    }
    let levels: Option<Vec<Level>> = told("levels").split(',').map(Level::from_name).collect();
    match levels {
        Some(levels) if levels.is_sorted_by(|a, b| a < b) => Ok(Block {
            kind,
            levels: levels.into(),
            origins: Vec::new(),
            heads: Vec::new(),
            keys: Vec::new(),
            values: Vec::new(),
        }),
        _ => Err(ForecastError::Damaged(
            "its levels make no sense".to_owned(),
        )),
    }
}

fn take(
    block: &mut Block,
    batch: &RecordBatch,
    names: &dyn Names,
    origins: &mut HashMap<(String, i64), u32>,
) -> Result<(), ForecastError> {
    let wrong = |what: &str| ForecastError::Damaged(what.to_owned());
    let column = |name: &str| {
        batch
            .column_by_name(name)
            .ok_or_else(|| wrong("a column is missing"))
    };
    let text = |name: &str| {
        let texts = column(name)?.as_string_opt::<i32>();
        texts.ok_or_else(|| wrong("a name is no text"))
    };
    let (items, locations, models) = (text("item")?, text("location")?, text("model")?);
    let times = column("computed_at_ms")?.as_primitive_opt::<Int64Type>();
    let times = times.ok_or_else(|| wrong("a time is no number"))?;
    let lists = |name: &str| {
        column(name)?
            .as_list_opt::<i32>()
            .ok_or_else(|| wrong("no list"))
    };
    let (keys, values) = (lists("keys")?, lists("values")?);
    let asked: Vec<(&str, &str)> = (0..batch.num_rows())
        .map(|row| (items.value(row), locations.value(row)))
        .collect();
    for (row, position) in names.find(&asked)?.into_iter().enumerate() {
        let Some(position) = position else {
            continue;
        };
        let key = (models.value(row).to_owned(), times.value(row));
        let origin = *origins.entry(key).or_insert_with_key(|(model, at)| {
            block.origins.push(Origin {
                model: model.clone(),
                computed_at: UtcMillis::new(*at),
            });
            block.origins.len() as u32 - 1
        });
        let (keys, values) = (keys.value(row), values.value(row));
        let keys = keys
            .as_primitive_opt::<Int32Type>()
            .ok_or_else(|| wrong("no keys"))?;
        let values = values
            .as_primitive_opt::<Float32Type>()
            .ok_or_else(|| wrong("no values"))?;
        if !is_sound(keys.values(), values.values(), block.width()) {
            return Err(wrong("a forecast in it cannot be"));
        }
        block.heads.push(Head {
            position,
            origin,
            start: block.keys.len() as u32,
            rows: keys.len() as u32,
        });
        block.keys.extend_from_slice(keys.values());
        block.values.extend_from_slice(values.values());
    }
    Ok(())
}

fn is_sound(keys: &[i32], values: &[f32], width: usize) -> bool {
    values.len() == keys.len() * width
        && keys.is_sorted_by(|a, b| a < b)
        && values
            .iter()
            .all(|value| (0.0..=VALUE_MAX as f32).contains(value))
        && values.chunks(width).all(|row| row[1..].is_sorted())
}
