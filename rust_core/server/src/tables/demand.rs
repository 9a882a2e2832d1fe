//! Demand as tables: the history, which is the forecasters' context, and the nowcast of today.

use std::collections::VecDeque;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bespeak_demand::climatology::LEVELS;
use bespeak_demand::limits::{BATCH_ROWS, NAMES_MAX};
use bespeak_demand::{Filter, HistoryError, Rows, context_schema, nowcast_schema};
use bespeak_engine::State;
use jiff::civil::Date;

use crate::api::Api;
use crate::convert::{item, location};
use crate::error::ApiError;
use crate::store::Seen;

/// What is asked of demand.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Question {
    /// Today rather than the past.
    pub nowcast: bool,
    /// Item names; none is all.
    pub items: Vec<String>,
    /// Location names; none is all.
    pub locations: Vec<String>,
    /// First day, as 2026-01-31; "" is the first there is.
    pub from: String,
    /// Last day; "" is the last that is over.
    pub to: String,
    /// Quantile levels of the nowcast; none are 0.1 to 0.9.
    pub quantiles: Vec<f64>,
}

impl Question {
    fn levels(&self) -> &[f64] {
        if self.quantiles.is_empty() {
            &LEVELS
        } else {
            &self.quantiles
        }
    }

    /// Columns of the answer.
    ///
    /// # Errors
    /// `InvalidArgument` for levels that do not ascend between 0 and 1.
    pub fn schema(&self) -> Result<SchemaRef, ApiError> {
        if !self.nowcast {
            return Ok(context_schema());
        }
        nowcast_schema(self.levels()).map_err(|error| wrong_levels(&error, self.levels()))
    }

    fn filter(&self, state: &State) -> Result<Filter, ApiError> {
        let catalog = state.catalog();
        for (field, names) in [("items", &self.items), ("locations", &self.locations)] {
            if names.len() > NAMES_MAX {
                let rule = format!("at most {NAMES_MAX} names are allowed");
                return Err(ApiError::invalid(field, names.len(), rule));
            }
        }
        let items = self.items.iter().map(|name| Ok(item(catalog, name)?.0));
        let locations = self.locations.iter();
        let locations = locations.map(|name| Ok(location(catalog, name)?.0));
        let from = day("from", &self.from)?;
        let to = day("to", &self.to)?;
        if let (Some(from), Some(to)) = (from, to)
            && from > to
        {
            let rule = "it must not lie before from";
            return Err(ApiError::invalid("to", &self.to, rule));
        }
        let some = |names: &[String]| !names.is_empty();
        Ok(Filter {
            from,
            to,
            items: some(&self.items)
                .then(|| items.collect::<Result<_, ApiError>>())
                .transpose()?,
            locations: some(&self.locations)
                .then(|| locations.collect::<Result<_, ApiError>>())
                .transpose()?,
        })
    }
}

fn wrong_levels(error: &HistoryError, levels: &[f64]) -> ApiError {
    ApiError::invalid("quantiles", format!("{levels:?}"), error.to_string())
}

/// Days since 1970-01-01 of a date; `None` for "".
fn day(field: &'static str, text: &str) -> Result<Option<i32>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    let date: Date = text
        .parse()
        .map_err(|_| ApiError::invalid(field, text, "it must be a date such as 2026-01-31"))?;
    let days = (date - Date::constant(1970, 1, 1)).get_days();
    Ok(Some(days))
}

/// Where the answer to a question is. Steps may read files: not for the thread that serves the network.
pub struct Reading {
    revision: u64,
    from: Source,
}

enum Source {
    History(Rows),
    Nowcast(VecDeque<RecordBatch>),
}

impl Reading {
    /// Answers with all that is durable when the question is taken up.
    ///
    /// # Errors
    /// `InvalidArgument`, `UnknownItem`, `UnknownLocation`; `Overloaded` while the journal is being read for the
    /// history; `JournalFailed`.
    pub fn new(api: &Api, question: &Question) -> Result<Self, ApiError> {
        let seen = api
            .store()
            .read(|state| Ok((question.filter(state)?, state.now().get())));
        let (filter, now_ms) = seen.result?;
        let revision = seen.revision;
        // The history has what is durable.
        api.store().partition().wait_durable(revision)?;
        let demand = api.store().demand();
        let from = if question.nowcast {
            let levels = question.levels();
            nowcast_schema(levels).map_err(|error| wrong_levels(&error, levels))?;
            let table = demand.nowcast(revision, now_ms, levels, &filter)?;
            let starts = (0..table.num_rows()).step_by(BATCH_ROWS);
            let parts = starts.map(|at| table.slice(at, BATCH_ROWS.min(table.num_rows() - at)));
            Source::Nowcast(parts.collect())
        } else {
            Source::History(demand.rows(revision, &filter, now_ms)?)
        };
        Ok(Self { revision, from })
    }

    /// The next rows, which may be none; `None` after the last ones.
    pub fn next(&mut self, api: &Api) -> Option<Seen<RecordBatch>> {
        let batch = match &mut self.from {
            Source::Nowcast(parts) => Ok(parts.pop_front()),
            Source::History(rows) => api.store().demand().next(rows),
        };
        let revision = self.revision;
        batch.transpose().map(|result| Seen { result, revision })
    }
}
