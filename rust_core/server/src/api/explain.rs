//! Reads beyond a single check: why, across a region, in a report, at an earlier time.

use bespeak_engine::{
    AvailabilityMode, Candidates, EngineError, LocationExplanation, Promise, RegionAvailability,
    State, UtcMillis,
};
use bespeak_proto::v1 as pb;

use super::Api;
use super::promise::by_price;
use crate::convert::{check, fields, hold, item, location, reply};
use crate::error::{ApiError, shorten};
use crate::store::Seen;

/// Cells of a region worked out under one lock: well below a millisecond.
const CELLS_A_SLICE: usize = 16_384;
/// Locations whose price an explanation gives.
const PRICED_MAX: usize = 8;
/// Width of a bucket when none is asked.
const DAY_MS: i64 = 86_400_000;

impl Api {
    /// Why an order would be answered as it would.
    pub fn explain(&self, request: pb::ExplainRequest) -> Seen<pb::ExplainResponse> {
        let Some(mut asked) = request.promise else {
            return Seen::failed(ApiError::invalid(
                "promise",
                "missing",
                "send what you would send to Promise",
            ));
        };
        self.store.read(|state| {
            let by_price = by_price(&asked);
            let mut promise = hold::promise(state.catalog(), &mut asked)?;
            if by_price {
                self.by_price(state, &mut promise)?;
            }
            let explained = state.explain(&promise)?;
            let catalog = state.catalog();
            let lines = explained.lines.iter().map(|line| {
                let item = catalog.item(line.result.item).name.to_string();
                pb::LineExplanation {
                    line: line.line,
                    quantity: line.result.requested.get(),
                    result: Some(reply::line(catalog, item.clone(), &line.result)),
                    item,
                    locations: line
                        .locations
                        .iter()
                        .map(|one| explanation(state, one))
                        .collect(),
                    summary: match by_price {
                        true => format!("{} {}", line.summary, self.priced(state, &promise)),
                        false => line.summary.clone(),
                    },
                }
            });
            Ok(pb::ExplainResponse {
                outcome: reply::outcome(explained.outcome).into(),
                lines: lines.collect(),
                revision: state.revision(),
                engine_time_ms: state.now().get(),
            })
        })
    }

    /// Says in which order locations are tried, and at which prices.
    fn priced(&self, state: &State, promise: &Promise) -> String {
        let Candidates::Locations(locations) = &promise.candidates else {
            return String::new();
        };
        let priced = locations.iter().take(PRICED_MAX).map(|location| {
            let name = &state.catalog().location(*location).name;
            let price = self.desk().prices.of(promise, *location);
            format!("{name} {price:.2}")
        });
        let priced: Vec<String> = priced.collect();
        format!(
            "Locations are tried by the scarcity price of the order there: {}.",
            priced.join(", ")
        )
    }

    /// Each item over the locations of a region for the next hours. A large question is answered in slices, each
    /// of one moment; the revision is that of the last.
    pub fn check_region(&self, request: &pb::CheckRegionRequest) -> Seen<pb::CheckRegionResponse> {
        let mut answer = pb::CheckRegionResponse::default();
        let mut revision = 0;
        let mut next = 0;
        loop {
            let seen = self.store.read(|state| region_slice(state, request, next));
            revision = revision.max(seen.revision);
            let (items, engine_time_ms) = match seen.result {
                Ok(slice) => slice,
                Err(error) => {
                    return Seen {
                        result: Err(error),
                        revision,
                    };
                }
            };
            next += items.len();
            answer.items.extend(items);
            if next >= request.items.len() {
                answer.revision = revision;
                answer.engine_time_ms = engine_time_ms;
                return Seen {
                    result: Ok(answer),
                    revision,
                };
            }
        }
    }

    /// Availability tables in the textbook modes.
    pub fn report(
        &self,
        request: &pb::ReportAvailabilityRequest,
    ) -> Seen<pb::ReportAvailabilityResponse> {
        self.store.read(|state| {
            let item = item(state.catalog(), &request.item)?;
            let location = location(state.catalog(), &request.location)?;
            let mode = mode(request.mode)?;
            let place = state.catalog().location(location);
            let from = fields::time("from_time_ms", request.from_time_ms)?
                .unwrap_or_else(|| place.start_of_day(place.day_of(state.now())));
            let width = fields::duration("bucket_ms", request.bucket_ms)?.unwrap_or(DAY_MS);
            let report = state.report(item, location, mode, from, width, request.buckets)?;
            let buckets = report.buckets.iter().map(|bucket| pb::ReportBucket {
                from_time_ms: bucket.from.get(),
                supply: bucket.supply,
                demand: bucket.demand,
                available: bucket.available,
            });
            Ok(pb::ReportAvailabilityResponse {
                on_hand: report.on_hand,
                buckets: buckets.collect(),
                revision: state.revision(),
            })
        })
    }
}

fn region_slice(
    state: &State,
    request: &pb::CheckRegionRequest,
    from: usize,
) -> Result<(Vec<pb::RegionAvailability>, i64), ApiError> {
    let catalog = state.catalog();
    let region = match catalog.region_id(&request.region) {
        Some(region) => region,
        None => {
            fields::name("region", &request.region)?;
            return Err(EngineError::UnknownRegion(shorten(&request.region)).into());
        }
    };
    if request.items.is_empty() {
        return Err(ApiError::invalid("items", "", "at least one is needed"));
    }
    let cells = catalog.region(region).locations.len().max(1) * (request.hours.max(1) as usize);
    // The engine refuses what is too large as a whole: it is asked about the whole once.
    if cells.saturating_mul(request.items.len()) > bespeak_engine::limits::MAX_REGION_CELLS {
        let rule = "at most 1000000 items times locations times hours are allowed";
        return Err(ApiError::invalid("items", request.items.len(), rule));
    }
    let end = request
        .items
        .len()
        .min(from + (CELLS_A_SLICE / cells).max(1));
    let names = &request.items[from..end];
    let ids = names
        .iter()
        .map(|name| item(catalog, name))
        .collect::<Result<Vec<_>, _>>()?;
    let found = state.check_region(region, &ids, request.hours)?;
    let rows = names
        .iter()
        .zip(&found)
        .map(|(name, row)| region_row(state, name, row));
    Ok((rows.collect(), state.now().get()))
}

fn region_row(state: &State, item: &str, row: &RegionAvailability) -> pb::RegionAvailability {
    let locations = row.locations.iter().map(|one| pb::LocationAvailability {
        location: state.catalog().location(one.location).name.to_string(),
        available_by_hour: one.by_hour.iter().map(|units| units.get()).collect(),
    });
    pb::RegionAvailability {
        item: item.to_owned(),
        available_by_hour: row.total_by_hour.clone(),
        locations: locations.collect(),
    }
}

fn explanation(state: &State, one: &LocationExplanation) -> pb::LocationExplanation {
    pb::LocationExplanation {
        location: state.catalog().location(one.location).name.to_string(),
        known: one.known,
        on_hand_counted: one.on_hand_counted,
        receipts_by_time: one.receipts_by_time,
        commitments_by_time: one.commitments_by_time,
        buffer: one.buffer.balance(),
        lowest_balance: one.lowest_balance,
        lowest_balance_time_ms: one.lowest_balance_time.get(),
        available: one.available.get(),
        earliest_time_ms: one.earliest.map(UtcMillis::get),
        binding: check::binding(one.binding).into(),
        missing: one.missing.get(),
    }
}

fn mode(value: i32) -> Result<AvailabilityMode, ApiError> {
    Ok(
        match fields::known::<pb::AvailabilityMode>("mode", value)? {
            pb::AvailabilityMode::Unspecified | pb::AvailabilityMode::Lookahead => {
                AvailabilityMode::Lookahead
            }
            pb::AvailabilityMode::Discrete => AvailabilityMode::Discrete,
            pb::AvailabilityMode::Cumulative => AvailabilityMode::Cumulative,
            pb::AvailabilityMode::Backward => AvailabilityMode::Backward,
            pb::AvailabilityMode::BackwardAccumulate => AvailabilityMode::BackwardAccumulate,
        },
    )
}
