//! Numbers across the boundary: checked on the way in, -1 for none.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type};
use arrow_array::{Array, ArrayRef, Float64Array, Int32Array};
use bespeak_allocation::input::NONE;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3_arrow::PyArray;

pub fn floats(values: Vec<f64>) -> PyArray {
    let array: ArrayRef = Arc::new(Float64Array::from(values));
    PyArray::from_array_ref(array)
}

/// Options as Python has them.
pub fn chosen(options: &[u32]) -> PyArray {
    let array: ArrayRef = Arc::new(signed(options.iter().copied()));
    PyArray::from_array_ref(array)
}

pub fn signed(numbers: impl Iterator<Item = u32>) -> Int32Array {
    Int32Array::from_iter_values(numbers.map(|number| i32::try_from(number).unwrap_or(-1)))
}

/// Finite numbers, `count` of them.
pub fn reals(given: &PyArray, count: usize, what: &str) -> PyResult<Vec<f64>> {
    let array = given.array();
    let values = array
        .as_primitive_opt::<Float64Type>()
        .filter(|values| values.null_count() == 0)
        .ok_or_else(|| PyValueError::new_err(format!("{what} must be doubles without nulls")))?;
    if values.len() != count {
        let message = format!("{what} has {} numbers: give {count}", values.len());
        return Err(PyValueError::new_err(message));
    }
    if let Some(value) = values.values().iter().find(|value| value.is_nan()) {
        return Err(PyValueError::new_err(format!(
            "{what} has {value}: give numbers"
        )));
    }
    Ok(values.values().to_vec())
}

/// Numbers below `end`.
pub fn numbers(given: &PyArray, end: usize, what: &str) -> PyResult<Vec<u32>> {
    let options = options_of(given, end, what)?;
    match options.iter().position(|number| *number == NONE) {
        Some(at) => Err(PyValueError::new_err(format!(
            "{what}[{at}] is -1: give a number"
        ))),
        None => Ok(options),
    }
}

/// Numbers below `end`, or -1.
pub fn options_of(given: &PyArray, end: usize, what: &str) -> PyResult<Vec<u32>> {
    from_signed(given.array().as_ref(), end).ok_or_else(|| {
        let message = format!(
            "{what} must be int32 from -1 to {} without nulls",
            end as i64 - 1
        );
        PyValueError::new_err(message)
    })
}

/// As [`options_of`], `None` where they are not.
pub fn from_signed(given: &dyn Array, end: usize) -> Option<Vec<u32>> {
    let values = given
        .as_primitive_opt::<Int32Type>()
        .filter(|values| values.null_count() == 0)?;
    let number = |&value: &i32| match u32::try_from(value) {
        Ok(number) if (number as usize) < end => Some(number),
        Err(_) if value == -1 => Some(NONE),
        _ => None,
    };
    values.values().iter().map(number).collect()
}
