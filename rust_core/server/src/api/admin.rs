//! For operators.

use bespeak_engine::{LocationId, State};
use bespeak_proto::v1 as pb;

use super::Api;
use crate::convert::{item, location};
use crate::error::ApiError;
use crate::store::Seen;

/// Rows of one answer.
const ROWS_MAX: usize = 50_000;

impl Api {
    /// A method of a later version.
    pub fn repromise(&self, _request: &pb::RepromiseRequest) -> Seen<pb::RepromiseResponse> {
        Seen::failed(ApiError::NotInThisVersion("Repromise"))
    }

    /// How much the partition holds.
    pub fn get_stats(&self, request: &pb::GetStatsRequest) -> Seen<pb::GetStatsResponse> {
        self.store.read(|state| {
            let stats = state.stats();
            let sources = state.sources().map(|(source, window)| pb::SourceStats {
                source: source.to_owned(),
                highest_sequence: window.highest,
                gaps: window.gaps,
                duplicates: 0,
            });
            Ok(pb::GetStatsResponse {
                revision: state.revision(),
                durable_revision: self.store.gate().durable(),
                engine_time_ms: state.now().get(),
                items: stats.items as u64,
                locations: stats.locations as u64,
                positions: stats.positions as u64,
                receipts: stats.receipts as u64,
                held_reservations: stats.held,
                confirmed_reservations: stats.confirmed,
                open_shocks: stats.open_shocks as u64,
                remembered_requests: stats.remembered_requests as u64,
                digest: if request.with_digest {
                    hex(&state.digest())
                } else {
                    String::new()
                },
                sources: sources.collect(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                ..Default::default()
            })
        })
    }

    /// Demand that was not met.
    pub fn unmet_demand(
        &self,
        request: &pb::GetUnmetDemandRequest,
    ) -> Seen<pb::GetUnmetDemandResponse> {
        self.store.read(|state| {
            let catalog = state.catalog();
            let only_item = match request.item.as_str() {
                "" => None,
                name => Some(item(catalog, name)?),
            };
            let only_location = match request.location.as_str() {
                "" => None,
                name => Some(location(catalog, name)?),
            };
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
            let rows: Vec<_> = state
                .unmet_demand()
                .filter(|(day, item, location, _)| {
                    (request.from_day..=last).contains(day)
                        && only_item.is_none_or(|only| only == *item)
                        && only_location.is_none_or(|only| only == *location)
                })
                .take(ROWS_MAX + 1)
                .map(|(day, item, location, unmet)| pb::UnmetDemand {
                    item: catalog.item(item).name.to_string(),
                    location: location_name(state, location),
                    day,
                    units: unmet.units,
                    lines: unmet.lines,
                })
                .collect();
            if rows.len() > ROWS_MAX {
                let rule = "more than 50000 rows match: ask fewer days, or use the bulk interface";
                return Err(ApiError::invalid("to_day", request.to_day, rule));
            }
            Ok(pb::GetUnmetDemandResponse {
                rows,
                revision: state.revision(),
            })
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
