//! For operators.

use bespeak_engine::{ItemId, LocationId, State, UtcMillis};
use bespeak_journal::{Moment, list_snapshots};
use bespeak_proto::v1 as pb;

use super::Api;
use crate::config::JournalMode;
use crate::convert::{item, location};
use crate::error::ApiError;
use crate::store::Seen;

/// Rows of one answer.
const ROWS_MAX: usize = 50_000;
/// Rows looked at under one lock.
const SLICE: usize = 1_024;

impl Api {
    /// How much the partition holds. Answers while the clock is suspect, too.
    pub fn get_stats(&self, request: &pb::GetStatsRequest) -> Seen<pb::GetStatsResponse> {
        let partition = self.store.partition();
        let duplicates = self.metrics.duplicates();
        let state = partition.peek(|state| {
            let sources = state.sources().map(|(source, window)| pb::SourceStats {
                source: source.to_owned(),
                highest_sequence: window.highest,
                gaps: window.gaps,
                duplicates: duplicates.get(source).copied().unwrap_or(0),
            });
            (
                state.stats(),
                state.revision(),
                state.now().get(),
                sources.collect(),
            )
        });
        let (stats, revision, engine_time_ms, sources) = match state {
            Ok(found) => found,
            Err(error) => return Seen::failed(error.into()),
        };
        let digest = match request
            .with_digest
            .then(|| self.digest(revision))
            .transpose()
        {
            Ok(digest) => digest.unwrap_or_default(),
            Err(error) => return Seen::failed(error),
        };
        let mut answer = pb::GetStatsResponse {
            revision,
            durable_revision: partition.durable_revision(),
            engine_time_ms,
            items: stats.items as u64,
            locations: stats.locations as u64,
            positions: stats.positions as u64,
            receipts: stats.receipts as u64,
            held_reservations: stats.held,
            confirmed_reservations: stats.confirmed,
            open_shocks: stats.open_shocks as u64,
            remembered_requests: stats.remembered_requests as u64,
            movement_bytes: stats.movement_bytes as u64,
            digest,
            sources,
            clock_suspect: partition.clock_suspect().is_some(),
            mode: match self.store.mode() {
                JournalMode::Memory => "memory".to_owned(),
                JournalMode::Group => "group".to_owned(),
            },
            version: env!("CARGO_PKG_VERSION").to_owned(),
            forecasts: Some(self.forecasts.stats(UtcMillis::new(engine_time_ms))),
            ..Default::default()
        };
        if let Some(journal) = partition.journal() {
            let segments = journal.segments();
            answer.epoch = u64::from(journal.newest().epoch);
            answer.journal_segments = segments.len() as u64;
            answer.request_index_bytes = journal.index_memory_bytes() as u64;
            answer.journal_bytes = segments.iter().map(|segment| segment.bytes).sum();
        }
        if let Some(snapshots) = partition
            .storage()
            .and_then(|at| list_snapshots(at.as_ref()).ok())
        {
            answer.last_snapshot_revision = snapshots.last().copied().unwrap_or(0);
        }
        Seen {
            result: Ok(answer),
            revision,
        }
    }

    /// The digest of the state at a revision: of a second state built from the journal, so that promises go on.
    /// In memory there is only the state itself.
    fn digest(&self, revision: u64) -> Result<String, ApiError> {
        let partition = self.store.partition();
        let digest = if partition.journal().is_some() {
            partition.wait_durable(revision)?;
            partition.as_of(Moment::Revision(revision))?.digest()
        } else {
            partition.peek(State::digest)?
        };
        Ok(hex(&digest))
    }

    /// Demand that was not met.
    pub fn unmet_demand(
        &self,
        request: &pb::GetUnmetDemandRequest,
    ) -> Seen<pb::GetUnmetDemandResponse> {
        let mut revision = 0;
        let result = self.unmet(request, &mut revision);
        Seen { result, revision }
    }

    fn unmet(
        &self,
        request: &pb::GetUnmetDemandRequest,
        revision: &mut u64,
    ) -> Result<pb::GetUnmetDemandResponse, ApiError> {
        let last = if request.to_day == 0 {
            u32::MAX
        } else {
            request.to_day
        };
        if request.from_day > last {
            return Err(ApiError::invalid(
                "to_day",
                last,
                "it may not lie before from_day",
            ));
        }
        let mut rows = Vec::new();
        let mut next = Some((request.from_day, ItemId(0), LocationId(0)));
        // In slices: most rows may be of other items, and no promise waits for millions of them.
        while let Some(first) = next {
            let seen = self.store.read(|state| {
                let catalog = state.catalog();
                let only_item = match request.item.as_str() {
                    "" => None,
                    name => Some(item(catalog, name)?),
                };
                let only_location = match request.location.as_str() {
                    "" => None,
                    name => Some(location(catalog, name)?),
                };
                for (seen, (day, item, location, unmet)) in
                    state.unmet_demand_from(first).enumerate()
                {
                    if day > last {
                        break;
                    }
                    if seen == SLICE {
                        return Ok(Some((day, item, location)));
                    }
                    if only_item.is_none_or(|only| only == item)
                        && only_location.is_none_or(|only| only == location)
                    {
                        rows.push(pb::UnmetDemand {
                            item: catalog.item(item).name.to_string(),
                            location: location_name(state, location),
                            day,
                            units: unmet.units,
                            lines: unmet.lines,
                        });
                    }
                }
                Ok(None)
            });
            *revision = (*revision).max(seen.revision);
            next = seen.result?;
            if rows.len() > ROWS_MAX {
                let rule = "more than 50000 rows match: ask fewer days, or use the bulk interface";
                return Err(ApiError::invalid("to_day", request.to_day, rule));
            }
        }
        Ok(pb::GetUnmetDemandResponse {
            rows,
            revision: *revision,
        })
    }
}

fn location_name(state: &State, id: LocationId) -> String {
    state.catalog().location(id).name.to_string()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
