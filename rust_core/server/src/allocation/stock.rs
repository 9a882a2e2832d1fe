//! Stock as a table, for the worker.

use std::sync::Arc;

use arrow_array::types::UInt32Type;
use arrow_array::{
    ArrayRef, DictionaryArray, Int64Array, RecordBatch, StringArray, UInt8Array, UInt32Array,
};
use arrow_schema::{DataType, Field, Schema};
use bespeak_allocation::input::Input;
use bespeak_allocation::tables::Names;

use crate::error::ApiError;

/// The stock of an input: item, location, class, available.
///
/// # Errors
/// `Internal` when Arrow cannot hold it.
pub fn table(input: &Input, names: &Names) -> Result<RecordBatch, ApiError> {
    let wrong = |error: arrow_schema::ArrowError| ApiError::Internal(error.to_string());
    let named = |keys: Vec<u32>, names: &[String]| -> Result<ArrayRef, ApiError> {
        let values = Arc::new(StringArray::from_iter_values(names));
        let array = DictionaryArray::<UInt32Type>::try_new(UInt32Array::from(keys), values);
        Ok(Arc::new(array.map_err(wrong)?))
    };
    let rows = &input.stock;
    let items = named(rows.iter().map(|row| row.item).collect(), &names.items)?;
    let locations = named(
        rows.iter().map(|row| row.location).collect(),
        &names.locations,
    )?;
    let classes = UInt8Array::from_iter_values(rows.iter().map(|row| row.class));
    let units = Int64Array::from_iter_values(rows.iter().map(|row| row.units));
    let words = DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8));
    let schema = Schema::new(vec![
        Field::new("item", words.clone(), false),
        Field::new("location", words, false),
        Field::new("class", DataType::UInt8, false),
        Field::new("available", DataType::Int64, false),
    ]);
    let columns: Vec<ArrayRef> = vec![items, locations, Arc::new(classes), Arc::new(units)];
    RecordBatch::try_new(Arc::new(schema), columns).map_err(wrong)
}
