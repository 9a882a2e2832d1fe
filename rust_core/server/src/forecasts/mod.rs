//! Forecasts that were pushed: taken over Flight, given back, made into buffers, held against the truth.
//!
//! None of it is on the way of a promise. A push works on a thread of its own, and takes the partition for slices of
//! well below a millisecond.

mod accuracy;
mod derive;
mod dump;
mod kept;
mod push;
pub mod settings;
mod table;

use std::path::Path;
use std::sync::{PoisonError, RwLock};

use bespeak_demand::forecasts::backup::HeldFiles;
use bespeak_demand::forecasts::{Ages, ForecastError, Forecasts, Kind, Level, Names, Origin};
use bespeak_demand::{Ahead, DayAhead};
use bespeak_engine::{PositionId, State, UtcMillis};
use bespeak_proto::v1 as pb;

pub(crate) use dump::{Cursor, schema};
pub(crate) use push::{Pushed, answer as push};
use settings::ForecastSettings;

use crate::config::{JournalMode, JournalSettings};
use crate::error::ApiError;
use crate::seats::Seats;
use crate::store::Store;

/// Names looked up under one lock.
const SLICE: usize = 256;
/// Directory below the journal's.
pub(crate) const DIRECTORY: &str = "forecasts";

/// The forecasts of a server.
#[derive(Debug)]
pub struct Keeper {
    forecasts: Forecasts,
    settings: ForecastSettings,
    /// Read by a push until the buffers that follow it are set, so that a backup has both or neither.
    pushes: RwLock<()>,
    seats: Seats<push::Pushes>,
}

impl Default for Keeper {
    fn default() -> Self {
        let settings = ForecastSettings::default();
        Self {
            forecasts: Forecasts::in_memory(settings.past_days),
            settings,
            pushes: RwLock::default(),
            seats: Seats::default(),
        }
    }
}

impl Keeper {
    /// Opens the forecasts beside a journal; in memory where the journal is.
    ///
    /// # Errors
    /// When their directory cannot be used.
    pub fn open(
        journal: &JournalSettings,
        settings: &ForecastSettings,
        store: &Store,
    ) -> Result<Self, ApiError> {
        let path = journal
            .path
            .as_deref()
            .filter(|_| journal.mode() == JournalMode::Group);
        let forecasts = match path {
            Some(path) => Forecasts::open(&Path::join(path, DIRECTORY), settings.past_days, store)?,
            None => Forecasts::in_memory(settings.past_days),
        };
        Ok(Self {
            forecasts,
            settings: settings.clone(),
            pushes: RwLock::default(),
            seats: Seats::default(),
        })
    }

    /// Holds the files of what is kept now, and calls `at_once` while no push is under way.
    ///
    /// # Errors
    /// When the files cannot be listed.
    pub fn hold_files<T>(
        &self,
        at_once: impl FnOnce() -> T,
    ) -> Result<(HeldFiles<'_>, T), ForecastError> {
        let _no_push = self.pushes.write().unwrap_or_else(PoisonError::into_inner);
        self.forecasts.hold_files(at_once)
    }

    /// Whether they are files.
    pub fn is_on_disk(&self) -> bool {
        self.forecasts.is_on_disk()
    }

    /// Levels of the forecasts that are kept.
    pub fn levels(&self, kind: Kind) -> Vec<Level> {
        self.forecasts.levels(kind)
    }

    /// How old forecasts are at a time.
    pub fn ages(&self, kind: Kind, now: UtcMillis) -> Ages {
        let stale_before = now.plus(-self.settings.stale_after_ms);
        self.forecasts.ages(kind, stale_before)
    }

    fn age(&self, origin: &Origin, now: UtcMillis) -> pb::ForecastAge {
        let age_ms = age_ms(Some(origin.computed_at), now);
        pb::ForecastAge {
            model: origin.model.clone(),
            computed_at_ms: origin.computed_at.get(),
            age_ms,
            stale: age_ms > self.settings.stale_after_ms,
        }
    }

    /// The newest forecast of a position.
    pub fn newest(&self, position: PositionId, now: UtcMillis) -> Option<pb::ForecastAge> {
        let held = self.forecasts.get(Kind::Days, position)?;
        Some(self.age(held.series().origin(), now))
    }

    /// The forecast that a position's buffer was derived from.
    pub fn of_buffer(&self, state: &State, position: PositionId) -> Option<pb::ForecastAge> {
        let (model, computed_at) = state.buffer_origin(position)?;
        let origin = Origin {
            model: model.to_owned(),
            computed_at,
        };
        Some(self.age(&origin, state.now()))
    }

    /// What operators see.
    pub fn stats(&self, now: UtcMillis) -> pb::ForecastStats {
        let days = self.ages(Kind::Days, now);
        let totals = self.ages(Kind::Totals, now);
        pb::ForecastStats {
            positions: days.positions as u64,
            position_days: days.rows as u64,
            totals_positions: totals.positions as u64,
            stale_positions: days.stale as u64,
            oldest_age_ms: age_ms(days.oldest, now),
            newest_age_ms: age_ms(days.newest, now),
        }
    }

    /// Numbers for the metrics page: name, help, value.
    pub fn gauges(&self, now: UtcMillis) -> Vec<(&'static str, &'static str, i64)> {
        let stats = self.stats(now);
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        vec![
            (
                "forecast_age_seconds",
                "Age of the oldest forecast that is kept, 0 without one",
                stats.oldest_age_ms / 1_000,
            ),
            (
                "forecast_positions",
                "Positions with a forecast",
                number(stats.positions),
            ),
            (
                "forecast_stale_positions",
                "Positions whose forecast is stale",
                number(stats.stale_positions),
            ),
        ]
    }
}

impl DayAhead for Keeper {
    fn ahead(&self, position: PositionId, day: i32, start_ms: i64) -> Option<Ahead> {
        let held = self.forecasts.get(Kind::Days, position)?;
        let series = held.series();
        let age_ms = age_ms(Some(series.origin().computed_at), UtcMillis::new(start_ms));
        Some(Ahead {
            outlook: series.outlook(day)?,
            stale: age_ms > self.settings.stale_after_ms,
        })
    }
}

fn age_ms(computed_at: Option<UtcMillis>, now: UtcMillis) -> i64 {
    computed_at.map_or(0, |at| (now.get() - at.get()).max(0))
}

impl From<ForecastError> for ApiError {
    fn from(error: ForecastError) -> Self {
        match error {
            ForecastError::Full(_) => {
                Self::invalid("rows", error.to_string(), "keep fewer days or levels")
            }
            other => Self::ForecastsFailed(other.to_string()),
        }
    }
}

/// Positions by name and back, a slice under one lock.
impl Names for Store {
    fn names(&self, positions: &[PositionId]) -> Result<Vec<(String, String)>, ForecastError> {
        let mut names = Vec::with_capacity(positions.len());
        for slice in positions.chunks(SLICE) {
            let found = self.partition().peek(|state| {
                let catalog = state.catalog();
                let name = |id: &PositionId| {
                    let position = state.position(*id);
                    (
                        catalog.item(position.item()).name.to_string(),
                        catalog.location(position.location()).name.to_string(),
                    )
                };
                slice.iter().map(name).collect::<Vec<_>>()
            });
            names.extend(found.map_err(stopped)?);
        }
        Ok(names)
    }

    fn find(&self, names: &[(&str, &str)]) -> Result<Vec<Option<PositionId>>, ForecastError> {
        let mut ids = Vec::with_capacity(names.len());
        for slice in names.chunks(SLICE) {
            let found = self.partition().peek(|state| {
                let catalog = state.catalog();
                let find = |(item, location): &(&str, &str)| {
                    state.position_id(catalog.item_id(item)?, catalog.location_id(location)?)
                };
                slice.iter().map(find).collect::<Vec<_>>()
            });
            ids.extend(found.map_err(stopped)?);
        }
        Ok(ids)
    }
}

fn stopped(error: bespeak_journal::PartitionError) -> ForecastError {
    ForecastError::Stopped(error.to_string())
}
