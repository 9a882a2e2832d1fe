//! Master data and policy.

use bespeak_engine::{Command, EngineError, Meta, State};
use bespeak_proto::v1 as pb;

use super::{Api, feed};
use crate::convert::{buffers, catalog, context, fields, item, location, reply};
use crate::error::ApiError;
use crate::method::Method;
use crate::store::Seen;

/// Rows of one page: when none is asked, and at most.
const PAGE_ROWS: usize = 100;
const PAGE_ROWS_MAX: usize = 1_000;
/// Lanes of one answer: more do not fit a message.
const LANES_MAX: usize = 10_000;

impl Api {
    fn put(
        &self,
        meta: Result<Meta, ApiError>,
        command: impl FnOnce(&State) -> Result<Command, ApiError>,
    ) -> Seen<pb::CatalogResult> {
        let feed = feed(&meta);
        self.store.write(meta, command, |_, answer| {
            self.count_duplicate(feed.as_deref(), &answer);
            Ok(reply::catalog(&answer))
        })
    }

    /// Adds an item or replaces its definition.
    pub fn put_item(
        &self,
        mut request: pb::PutItemRequest,
        trace: u128,
    ) -> Seen<pb::PutItemResponse> {
        let meta = context::meta(&mut request.context, trace);
        self.put(meta, |_| catalog::put_item(&mut request))
            .map(|result| pb::PutItemResponse {
                result: Some(result),
            })
    }

    /// Adds a location or replaces its definition.
    pub fn put_location(
        &self,
        mut request: pb::PutLocationRequest,
        trace: u128,
    ) -> Seen<pb::PutLocationResponse> {
        let meta = context::meta(&mut request.context, trace);
        // The time zone is worked out before the lock is taken.
        let command = catalog::put_location(&mut request);
        self.put(meta, |_| command)
            .map(|result| pb::PutLocationResponse {
                result: Some(result),
            })
    }

    /// Adds a region or replaces its locations.
    pub fn put_region(
        &self,
        mut request: pb::PutRegionRequest,
        trace: u128,
    ) -> Seen<pb::PutRegionResponse> {
        let meta = context::meta(&mut request.context, trace);
        self.put(meta, |state| {
            catalog::put_region(state.catalog(), &mut request)
        })
        .map(|result| pb::PutRegionResponse {
            result: Some(result),
        })
    }

    /// Adds a lane or replaces it.
    pub fn put_lane(
        &self,
        mut request: pb::PutLaneRequest,
        trace: u128,
    ) -> Seen<pb::PutLaneResponse> {
        let meta = context::meta(&mut request.context, trace);
        self.put(meta, |state| {
            catalog::put_lane(state.catalog(), &mut request)
        })
        .map(|result| pb::PutLaneResponse {
            result: Some(result),
        })
    }

    /// Sets a supply rule.
    pub fn put_rule(
        &self,
        mut request: pb::PutRuleRequest,
        trace: u128,
    ) -> Seen<pb::PutRuleResponse> {
        let meta = context::meta(&mut request.context, trace);
        self.put(meta, |state| catalog::put_rule(state.catalog(), &request))
            .map(|result| pb::PutRuleResponse {
                result: Some(result),
            })
    }

    /// Sets a static buffer.
    pub fn put_buffer(
        &self,
        mut request: pb::PutBufferRequest,
        trace: u128,
    ) -> Seen<pb::PutBufferResponse> {
        let meta = context::meta(&mut request.context, trace);
        request.context = None;
        let meta = context::as_sent(meta, Method::PutBuffer, &request, !request.unit.is_empty());
        self.put(meta, |state| catalog::put_buffer(state.catalog(), &request))
            .map(|result| pb::PutBufferResponse {
                result: Some(result),
            })
    }

    /// One item.
    pub fn get_item(&self, request: &pb::GetItemRequest) -> Seen<pb::GetItemResponse> {
        self.store.read(|state| {
            let id = item(state.catalog(), &request.item)?;
            Ok(pb::GetItemResponse {
                item: Some(catalog::item_out(state.catalog().item(id))),
                revision: state.revision(),
            })
        })
    }

    /// One location with the rule that its positions follow.
    pub fn get_location(&self, request: &pb::GetLocationRequest) -> Seen<pb::GetLocationResponse> {
        self.store.read(|state| {
            let id = location(state.catalog(), &request.location)?;
            Ok(pb::GetLocationResponse {
                location: Some(catalog::location_out(state.catalog().location(id))),
                rule: Some(catalog::rule_out(state.location_rule(id))),
                buffer_policy: Some(buffers::policy_out(state.location_buffer_policy(id))),
                revision: state.revision(),
            })
        })
    }

    /// Items in the order in which they were first put.
    pub fn list_items(&self, request: &pb::ListItemsRequest) -> Seen<pb::ListItemsResponse> {
        let page = match Page::read(request.page_size, &request.page_token) {
            Ok(page) => page,
            Err(error) => return Seen::failed(error),
        };
        self.store.read(|state| {
            let all = state.catalog().items();
            Ok(pb::ListItemsResponse {
                items: page.of(all).iter().map(catalog::item_out).collect(),
                next_page_token: page.next(all.len()),
            })
        })
    }

    /// Locations in the order in which they were first put.
    pub fn list_locations(
        &self,
        request: &pb::ListLocationsRequest,
    ) -> Seen<pb::ListLocationsResponse> {
        let page = match Page::read(request.page_size, &request.page_token) {
            Ok(page) => page,
            Err(error) => return Seen::failed(error),
        };
        self.store.read(|state| {
            let all = state.catalog().locations();
            Ok(pb::ListLocationsResponse {
                locations: page.of(all).iter().map(catalog::location_out).collect(),
                next_page_token: page.next(all.len()),
            })
        })
    }

    /// All regions.
    pub fn list_regions(&self) -> Seen<pb::ListRegionsResponse> {
        self.store.read(|state| {
            let catalog = state.catalog();
            let regions = catalog
                .regions()
                .iter()
                .map(|region| catalog::region_out(catalog, region));
            Ok(pb::ListRegionsResponse {
                regions: regions.collect(),
            })
        })
    }

    /// All lanes, by name.
    pub fn list_lanes(&self) -> Seen<pb::ListLanesResponse> {
        self.store.read(|state| {
            let catalog = state.catalog();
            let lanes: Vec<_> = catalog
                .lanes()
                .take(LANES_MAX + 1)
                .map(|lane| catalog::lane_out(catalog, lane))
                .collect();
            if lanes.len() > LANES_MAX {
                let limit = LANES_MAX as u64;
                return Err(EngineError::Full {
                    what: "lanes of one answer",
                    limit,
                }
                .into());
            }
            Ok(pb::ListLanesResponse { lanes })
        })
    }
}

/// A slice of a table that only grows.
#[derive(Debug, Clone, Copy)]
struct Page {
    from: usize,
    rows: usize,
}

impl Page {
    fn read(size: u32, token: &str) -> Result<Self, ApiError> {
        let rows = match size as usize {
            0 => PAGE_ROWS,
            rows if rows <= PAGE_ROWS_MAX => rows,
            rows => return Err(ApiError::invalid("page_size", rows, "it must be 0 to 1000")),
        };
        let from = match token {
            "" => 0,
            _ => token.parse().map_err(|_| {
                ApiError::invalid(
                    "page_token",
                    token,
                    "send the next_page_token of the page before",
                )
            })?,
        };
        fields::optional_name("page_token", token)?;
        Ok(Self { from, rows })
    }

    fn of<T>(self, all: &[T]) -> &[T] {
        let from = self.from.min(all.len());
        &all[from..from.saturating_add(self.rows).min(all.len())]
    }

    fn next(self, len: usize) -> String {
        let next = self.from.saturating_add(self.rows);
        if next < len {
            next.to_string()
        } else {
            String::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_cover_a_table_once() {
        let all: Vec<u32> = (0..250).collect();
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let page = Page::read(0, &token).expect("own token");
            seen.extend_from_slice(page.of(&all));
            token = page.next(all.len());
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, all);
        assert!(Page::read(0, &usize::MAX.to_string()).is_ok_and(|page| page.of(&all).is_empty()));
        assert!(Page::read(1_001, "").is_err() && Page::read(0, "-1").is_err());
    }
}
