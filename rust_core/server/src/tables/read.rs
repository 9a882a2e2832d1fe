//! Every table that can be read, by its name.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use serde::Deserialize;

use super::demand::{Question, Reading};
use super::dump::{Cursor, Dump};
use crate::api::Api;
use crate::error::ApiError;
use crate::store::Seen;

const HISTORY: &str = "demand_history";
const NOWCAST: &str = "nowcast";
/// Names of all tables.
pub const NAMES: [&str; 5] = ["positions", "reservations", "unmet", HISTORY, NOWCAST];

/// A table, or a part of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    /// Of the state, with the name of its only location; "" is all.
    State(Dump, String),
    /// Of demand.
    Demand(Question),
}

/// A ticket as JSON.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Asked {
    table: String,
    location: String,
    items: Vec<String>,
    locations: Vec<String>,
    from: String,
    to: String,
    quantiles: Vec<f64>,
}

impl Wanted {
    /// # Errors
    /// `InvalidArgument` for what is neither a table's name nor JSON of `table` and what narrows it.
    pub fn from_word(word: &str) -> Result<Self, ApiError> {
        let rule = "it must be positions, reservations, unmet, demand_history, nowcast, forecasts or \
                    forecast_totals, or JSON such as \
                    {\"table\": \"positions\", \"location\": \"ams1\"}";
        let asked = if word.starts_with('{') {
            serde_json::from_str(word).map_err(|_| ApiError::invalid("ticket", word, rule))?
        } else {
            Asked {
                table: word.to_owned(),
                ..Asked::default()
            }
        };
        Self::from_asked(asked).ok_or_else(|| ApiError::invalid("ticket", word, rule))
    }

    fn from_asked(asked: Asked) -> Option<Self> {
        if let Some(dump) = Dump::from_name(&asked.table) {
            let plain = asked.items.is_empty()
                && asked.locations.is_empty()
                && asked.from.is_empty()
                && asked.to.is_empty()
                && asked.quantiles.is_empty();
            return plain.then_some(Self::State(dump, asked.location));
        }
        let nowcast = match asked.table.as_str() {
            HISTORY if asked.quantiles.is_empty() => false,
            NOWCAST if asked.from.is_empty() && asked.to.is_empty() => true,
            _ => return None,
        };
        let mut locations = asked.locations;
        if !asked.location.is_empty() {
            locations.push(asked.location);
        }
        Some(Self::Demand(Question {
            nowcast,
            items: asked.items,
            locations,
            from: asked.from,
            to: asked.to,
            quantiles: asked.quantiles,
        }))
    }

    /// The table's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::State(dump, _) => dump.name(),
            Self::Demand(question) if question.nowcast => NOWCAST,
            Self::Demand(_) => HISTORY,
        }
    }

    /// Its columns.
    ///
    /// # Errors
    /// `InvalidArgument` for quantile levels that do not ascend between 0 and 1.
    pub fn schema(&self) -> Result<SchemaRef, ApiError> {
        match self {
            Self::State(dump, _) => Ok(dump.schema()),
            Self::Demand(question) => question.schema(),
        }
    }

    /// Whether reading it may wait for files.
    pub fn reads_files(&self) -> bool {
        matches!(self, Self::Demand(_))
    }

    /// Begins to read it.
    ///
    /// # Errors
    /// As [`Cursor::new`] and [`Reading::new`].
    pub fn read(&self, api: &Api) -> Result<Reader, ApiError> {
        Ok(match self {
            Self::State(dump, location) => Reader::State(Cursor::new(api, *dump, location)?),
            Self::Demand(question) => Reader::Demand(Reading::new(api, question)?),
        })
    }
}

/// Where the reading of a table is.
pub enum Reader {
    /// Of the state.
    State(Cursor),
    /// Of demand.
    Demand(Reading),
}

impl Reader {
    /// The next rows, which may be none; `None` after the last ones.
    pub fn next(&mut self, api: &Api) -> Option<Seen<RecordBatch>> {
        match self {
            Self::State(cursor) => cursor.next(api),
            Self::Demand(reading) => reading.next(api),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_are_words_or_json() {
        let state = |dump, location: &str| Some(Wanted::State(dump, location.to_owned()));
        let demand = |question| Some(Wanted::Demand(question));
        let cases = [
            ("positions", state(Dump::Positions, "")),
            (
                r#"{"table": "unmet", "location": "ams1"}"#,
                state(Dump::Unmet, "ams1"),
            ),
            ("demand_history", demand(Question::default())),
            (
                r#"{"table": "demand_history", "items": ["tea"], "location": "ams1", "from": "2026-01-01"}"#,
                demand(Question {
                    items: vec!["tea".to_owned()],
                    locations: vec!["ams1".to_owned()],
                    from: "2026-01-01".to_owned(),
                    ..Question::default()
                }),
            ),
            (
                r#"{"table": "nowcast", "quantiles": [0.5]}"#,
                demand(Question {
                    nowcast: true,
                    quantiles: vec![0.5],
                    ..Question::default()
                }),
            ),
            (r#"{"table": "unmet", "items": ["tea"]}"#, None),
            (r#"{"table": "nowcast", "from": "2026-01-01"}"#, None),
            (r#"{"table": "demand_history", "quantiles": [0.5]}"#, None),
            (r#"{"table": 3}"#, None),
            ("{}", None),
            ("nope", None),
            ("", None),
        ];
        for (word, wanted) in cases {
            assert_eq!(Wanted::from_word(word).ok(), wanted, "{word}");
        }
    }
}
