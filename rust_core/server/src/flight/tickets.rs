//! Which table is meant.

use std::sync::Arc;

use arrow_flight::flight_descriptor::DescriptorType;
use arrow_flight::{
    FlightDescriptor, FlightEndpoint, FlightInfo, IpcMessage, SchemaAsIpc, SchemaResult, Ticket,
};
use arrow_ipc::writer::IpcWriteOptions;
use arrow_schema::SchemaRef;
use bespeak_demand::forecasts::Kind;
use serde::Deserialize;

use crate::api::Api;
use crate::error::ApiError;
use crate::forecasts::{self, Pushed};
use crate::tables::read::{NAMES, Wanted};
use crate::tables::{check, reserve, supply};

/// Bytes of a descriptor's command.
const WORD_BYTES_MAX: usize = 1_024;
/// Bytes of a ticket, which may name many items.
const TICKET_BYTES_MAX: usize = 65_536;

/// Tables that are answered by tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exchange {
    Check,
    Reserve,
    Supply,
}

impl Exchange {
    pub fn name(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Reserve => "reserve",
            Self::Supply => "supply",
        }
    }

    /// Columns of the answer.
    pub fn schema(self) -> SchemaRef {
        Arc::clone(match self {
            Self::Check => &check::SCHEMA,
            Self::Reserve => &reserve::SCHEMA,
            Self::Supply => &supply::SCHEMA,
        })
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Check, Self::Reserve, Self::Supply]
            .into_iter()
            .find(|known| known.name() == name)
    }

    /// # Errors
    /// `InvalidArgument` for another word.
    pub fn from_descriptor(descriptor: Option<&FlightDescriptor>) -> Result<Self, ApiError> {
        let word = descriptor.map(word).transpose()?.unwrap_or_default();
        Self::from_name(&word).ok_or_else(|| {
            ApiError::invalid("descriptor", &word, "it must be check, reserve or supply, or JSON that names forecasts or forecast_totals")
        })
    }
}

/// The table that a ticket names.
///
/// # Errors
/// As [`Wanted::from_word`].
pub(crate) fn from_ticket(ticket: &[u8]) -> Result<Wanted, ApiError> {
    Wanted::from_word(&text("ticket", ticket, TICKET_BYTES_MAX)?)
}

/// The table that a descriptor names.
///
/// # Errors
/// As [`Wanted::from_word`].
pub(crate) fn from_descriptor(descriptor: &FlightDescriptor) -> Result<Wanted, ApiError> {
    Wanted::from_word(&word(descriptor)?)
}

/// The forecasts that a descriptor says are pushed; `None` when it names another table.
///
/// # Errors
/// As [`Pushed::from_word`].
pub(super) fn pushed(descriptor: Option<&FlightDescriptor>) -> Result<Option<Pushed>, ApiError> {
    match descriptor {
        Some(descriptor) => Pushed::from_word(&word(descriptor)?),
        None => Ok(None),
    }
}

/// A ticket for forecasts that are kept.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    table: String,
    #[serde(default)]
    location: String,
}

/// The forecasts that a ticket asks for, and of which location; `None` when it names another table.
///
/// # Errors
/// `InvalidArgument` for what is no text.
pub(super) fn kept(ticket: &[u8]) -> Result<Option<(Kind, String)>, ApiError> {
    let word = text("ticket", ticket, TICKET_BYTES_MAX)?;
    let asked = serde_json::from_str(&word).unwrap_or(Kept {
        table: word,
        location: String::new(),
    });
    let kind = Kind::ALL
        .into_iter()
        .find(|kind| kind.table() == asked.table);
    Ok(kind.map(|kind| (kind, asked.location)))
}

fn text(field: &'static str, bytes: &[u8], limit: usize) -> Result<String, ApiError> {
    if bytes.len() > limit {
        return Err(ApiError::invalid(
            field,
            format!("{} bytes", bytes.len()),
            format!("at most {limit} are allowed"),
        ));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(ApiError::invalid(field, "not UTF-8", "it must be text")),
    }
}

/// The one word of a descriptor: its command, or its path.
fn word(descriptor: &FlightDescriptor) -> Result<String, ApiError> {
    match (descriptor.r#type(), descriptor.path.as_slice()) {
        (DescriptorType::Path, [one]) => text("descriptor", one.as_bytes(), WORD_BYTES_MAX),
        _ => text("descriptor", &descriptor.cmd, WORD_BYTES_MAX),
    }
}

/// One entry a table.
pub(super) fn flights(api: &Api) -> impl Iterator<Item = Result<FlightInfo, ApiError>> {
    let state = NAMES
        .into_iter()
        .map(|name| info(&Wanted::from_word(name)?));
    let kept = Kind::ALL.map(|kind| info_of(kind.table(), &kept_schema(api, kind)));
    state.chain(kept)
}

/// What `GetFlightInfo` says of a table.
///
/// # Errors
/// As [`info`].
pub(super) fn described(api: &Api, descriptor: &FlightDescriptor) -> Result<FlightInfo, ApiError> {
    match kept(word(descriptor)?.as_bytes())? {
        Some((kind, _)) => info_of(kind.table(), &kept_schema(api, kind)),
        None => info(&from_descriptor(descriptor)?),
    }
}

/// What `GetSchema` says of a table.
///
/// # Errors
/// As [`schema`].
pub(super) fn columns(api: &Api, descriptor: &FlightDescriptor) -> Result<SchemaResult, ApiError> {
    match kept(word(descriptor)?.as_bytes())? {
        Some((kind, _)) => schema_of(&kept_schema(api, kind)),
        None => schema(descriptor),
    }
}

/// Columns of the forecasts that are kept: their levels are those that were pushed.
fn kept_schema(api: &Api, kind: Kind) -> SchemaRef {
    forecasts::schema(kind, &api.forecasts().levels(kind))
}

/// # Errors
/// `Internal` when the schema cannot be written, `InvalidArgument` for quantile levels.
pub(crate) fn info(wanted: &Wanted) -> Result<FlightInfo, ApiError> {
    info_of(wanted.name(), &wanted.schema()?)
}

fn info_of(name: &str, schema: &SchemaRef) -> Result<FlightInfo, ApiError> {
    let ticket = Ticket::new(name.as_bytes().to_vec());
    let info = FlightInfo::new()
        .try_with_schema(schema)
        .map_err(|error| ApiError::Internal(error.to_string()))?;
    Ok(info
        .with_descriptor(FlightDescriptor::new_path(vec![name.to_owned()]))
        .with_endpoint(FlightEndpoint::new().with_ticket(ticket)))
}

/// The columns that a table, or the answer to one, has.
///
/// # Errors
/// `InvalidArgument` for another word.
pub(crate) fn schema(descriptor: &FlightDescriptor) -> Result<SchemaResult, ApiError> {
    schema_of(&match Exchange::from_name(&word(descriptor)?) {
        Some(exchange) => exchange.schema(),
        None => from_descriptor(descriptor)?.schema()?,
    })
}

fn schema_of(schema: &SchemaRef) -> Result<SchemaResult, ApiError> {
    let message = IpcMessage::try_from(SchemaAsIpc::new(schema, &IpcWriteOptions::default()))
        .map_err(|error| ApiError::Internal(error.to_string()))?;
    Ok(SchemaResult { schema: message.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_are_text_of_a_limited_length() {
        assert!(from_ticket(b"positions").is_ok());
        for bad in [&b""[..], b"\xff", &[b'x'; TICKET_BYTES_MAX + 1]] {
            assert!(from_ticket(bad).is_err());
        }
    }
}
