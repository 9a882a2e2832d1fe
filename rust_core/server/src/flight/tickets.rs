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

use crate::error::ApiError;
use crate::forecasts::Pushed;
use crate::tables::dump::Dump;
use crate::tables::{check, reserve, supply};

/// Bytes of a ticket or a descriptor's command.
const WORD_BYTES_MAX: usize = 1_024;

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

/// A table of the state, or a part of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub dump: Dump,
    /// "" is all.
    pub location: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    table: String,
    #[serde(default)]
    location: String,
}

impl Wanted {
    /// # Errors
    /// `InvalidArgument` for what is neither a table's name nor JSON of `table` and `location`.
    pub fn from_ticket(ticket: &[u8]) -> Result<Self, ApiError> {
        Self::from_word(&text("ticket", ticket)?)
    }

    /// # Errors
    /// As [`Wanted::from_ticket`].
    pub fn from_descriptor(descriptor: &FlightDescriptor) -> Result<Self, ApiError> {
        Self::from_word(&word(descriptor)?)
    }

    fn from_word(word: &str) -> Result<Self, ApiError> {
        let rule = "it must be positions, reservations, unmet, forecasts or forecast_totals, or JSON such as \
                    {\"table\": \"positions\", \"location\": \"ams1\"}";
        let asked = if word.starts_with('{') {
            serde_json::from_str(word).map_err(|_| ApiError::invalid("ticket", word, rule))?
        } else {
            Asked {
                table: word.to_owned(),
                location: String::new(),
            }
        };
        match Dump::from_name(&asked.table) {
            Some(dump) => Ok(Self {
                dump,
                location: asked.location,
            }),
            None => Err(ApiError::invalid("ticket", word, rule)),
        }
    }
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

/// The forecasts that a ticket asks for, and of which location; `None` when it names another table.
///
/// # Errors
/// `InvalidArgument` for what is no text.
pub(super) fn kept(ticket: &[u8]) -> Result<Option<(Kind, String)>, ApiError> {
    let word = text("ticket", ticket)?;
    let asked = serde_json::from_str(&word).unwrap_or(Asked {
        table: word,
        location: String::new(),
    });
    let kind = Kind::ALL
        .into_iter()
        .find(|kind| kind.table() == asked.table);
    Ok(kind.map(|kind| (kind, asked.location)))
}

fn text(field: &'static str, bytes: &[u8]) -> Result<String, ApiError> {
    if bytes.len() > WORD_BYTES_MAX {
        return Err(ApiError::invalid(
            field,
            format!("{} bytes", bytes.len()),
            "at most 1024 are allowed",
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
        (DescriptorType::Path, [one]) => text("descriptor", one.as_bytes()),
        _ => text("descriptor", &descriptor.cmd),
    }
}

/// One entry a table of the state.
pub(super) fn flights() -> impl Iterator<Item = Result<FlightInfo, ApiError>> {
    Dump::ALL.into_iter().map(info)
}

/// # Errors
/// `Internal` when the schema cannot be written.
pub(crate) fn info(dump: Dump) -> Result<FlightInfo, ApiError> {
    let ticket = Ticket::new(dump.name().as_bytes().to_vec());
    let info = FlightInfo::new()
        .try_with_schema(&dump.schema())
        .map_err(|error| ApiError::Internal(error.to_string()))?;
    Ok(info
        .with_descriptor(FlightDescriptor::new_path(vec![dump.name().to_owned()]))
        .with_endpoint(FlightEndpoint::new().with_ticket(ticket)))
}

/// The columns that a table, or the answer to one, has.
///
/// # Errors
/// `InvalidArgument` for another word.
pub(crate) fn schema(descriptor: &FlightDescriptor) -> Result<SchemaResult, ApiError> {
    let schema = match Exchange::from_name(&word(descriptor)?) {
        Some(exchange) => exchange.schema(),
        None => Wanted::from_descriptor(descriptor)?.dump.schema(),
    };
    let message = IpcMessage::try_from(SchemaAsIpc::new(&schema, &IpcWriteOptions::default()))
        .map_err(|error| ApiError::Internal(error.to_string()))?;
    Ok(SchemaResult { schema: message.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_are_words_or_json() {
        let wanted = |bytes: &[u8]| {
            Wanted::from_ticket(bytes)
                .map(|w| (w.dump, w.location))
                .ok()
        };
        assert_eq!(wanted(b"positions"), Some((Dump::Positions, String::new())));
        let json = br#"{"table": "unmet", "location": "ams1"}"#;
        assert_eq!(wanted(json), Some((Dump::Unmet, "ams1".to_owned())));
        for bad in [
            &b""[..],
            b"nope",
            b"{}",
            b"{\"table\": 3}",
            b"\xff",
            &[b'x'; 2_000],
        ] {
            assert_eq!(wanted(bad), None);
        }
    }
}
