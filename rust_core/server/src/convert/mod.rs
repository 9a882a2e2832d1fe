//! From protobuf to the engine's values and back: names to ids, units to base units, every field checked.
//!
//! Requests are taken apart (strings move, nothing is copied); a request that fails has changed nothing.

pub mod buffers;
pub mod catalog;
pub mod check;
pub mod context;
pub mod fields;
pub mod hold;
pub mod reply;
pub mod supply;
pub mod zone;

use bespeak_engine::{Catalog, EngineError, ItemId, LocationId};

use bespeak_engine::limits::MAX_LINES;

use crate::error::{ApiError, shorten};

/// The id of an item.
///
/// # Errors
/// `InvalidArgument` for an impossible name, `UnknownItem` for one that was never put.
#[inline]
pub fn item(catalog: &Catalog, name: &str) -> Result<ItemId, ApiError> {
    match catalog.item_id(name) {
        Some(id) => Ok(id),
        None => Err(unknown("item", name, EngineError::UnknownItem)),
    }
}

/// The id of a location.
///
/// # Errors
/// `InvalidArgument` for an impossible name, `UnknownLocation` for one that was never put.
#[inline]
pub fn location(catalog: &Catalog, name: &str) -> Result<LocationId, ApiError> {
    match catalog.location_id(name) {
        Some(id) => Ok(id),
        None => Err(unknown("location", name, EngineError::UnknownLocation)),
    }
}

/// The error for a name that is not in the catalogue: an impossible name is the caller's mistake.
#[cold]
fn unknown(field: &'static str, name: &str, error: fn(String) -> EngineError) -> ApiError {
    match fields::name(field, name) {
        Ok(_) => error(shorten(name)).into(),
        Err(invalid) => invalid,
    }
}

/// Checks the number of lines of a request.
///
/// # Errors
/// `InvalidArgument` for none, or more than the engine's limit.
pub fn line_count(count: usize) -> Result<(), ApiError> {
    if count == 0 {
        return Err(ApiError::invalid(
            "lines",
            "empty",
            "at least one is needed",
        ));
    }
    if count > MAX_LINES {
        return Err(ApiError::invalid(
            "lines",
            count,
            format!(
                "at most {MAX_LINES} are allowed: split the request, or use the bulk interface"
            ),
        ));
    }
    Ok(())
}
