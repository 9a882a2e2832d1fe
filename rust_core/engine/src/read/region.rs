//! `CheckRegion`: what can be promised of some items over the next hours, by location and in all.

use crate::decide;
use crate::ids::{ItemId, LocationId, RegionId, Units, UtcMillis};
use crate::limits::{MAX_REGION_CELLS, MAX_REGION_HOURS};
use crate::refusal::EngineError;
use crate::state::State;

const HOUR_MS: i64 = 60 * 60 * 1_000;

/// What can be promised of one item at one location.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocationAvailability {
    /// The location.
    pub location: LocationId,
    /// Units that can be promised for shipping at each hour; 0 beyond the horizon of the position's rule.
    pub by_hour: Vec<Units>,
}

/// What can be promised of one item across a region.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegionAvailability {
    /// The item.
    pub item: ItemId,
    /// Units at each hour, all locations together; stops at the largest number there is.
    pub total_by_hour: Vec<u64>,
    /// One row a location, in the region's order.
    pub locations: Vec<LocationAvailability>,
}

impl State {
    /// What can be promised of each item for shipping now and at the start of each further hour from now, so many
    /// hours in all. Row `n` of an answer belongs to engine time plus `n` hours.
    ///
    /// # Errors
    /// `UnknownRegion`, `UnknownItem`; `InvalidArgument` without items or hours, or past a limit.
    pub fn check_region(
        &self,
        region: RegionId,
        items: &[ItemId],
        hours: u32,
    ) -> Result<Vec<RegionAvailability>, EngineError> {
        let Some(region) = self.catalog.regions().get(region.index()) else {
            return Err(EngineError::UnknownRegion(format!("number {}", region.0)));
        };
        let hours = hours as usize;
        if hours == 0 || hours > MAX_REGION_HOURS {
            return Err(EngineError::InvalidArgument {
                field: "hours",
                value: hours.to_string(),
                rule: "it must lie between 1 and 168",
            });
        }
        let rows = items.len().saturating_mul(region.locations.len());
        if items.is_empty() || rows.saturating_mul(hours) > MAX_REGION_CELLS {
            return Err(EngineError::InvalidArgument {
                field: "items",
                value: format!(
                    "{} items over {} locations and {hours} hours",
                    items.len(),
                    region.locations.len()
                ),
                rule: "at least one item, and at most 1000000 items times locations times hours, are allowed",
            });
        }
        for item in items {
            decide::check_item(self, *item)?;
        }
        let times: Vec<UtcMillis> = (0..hours as i64)
            .map(|hour| self.now.plus(hour * HOUR_MS))
            .collect();
        let answer = items.iter().map(|item| {
            let locations: Vec<LocationAvailability> = region
                .locations
                .iter()
                .map(|location| LocationAvailability {
                    location: *location,
                    by_hour: self.available_at(*item, *location, &times),
                })
                .collect();
            let total = |hour: usize| {
                let values = locations.iter().map(|row| row.by_hour[hour].get());
                values.fold(0, u64::saturating_add)
            };
            RegionAvailability {
                item: *item,
                total_by_hour: (0..hours).map(total).collect(),
                locations,
            }
        });
        Ok(answer.collect())
    }

    fn available_at(&self, item: ItemId, location: LocationId, times: &[UtcMillis]) -> Vec<Units> {
        let Some(id) = self.position_id(item, location) else {
            return vec![Units::ZERO; times.len()];
        };
        let position = self.position(id);
        let horizon = self.now.plus(self.rule_of(position).horizon_ms);
        let at = |time: &UtcMillis| match *time <= horizon {
            true => Units::from_balance(position.lowest_net(*time)),
            false => Units::ZERO,
        };
        times.iter().map(at).collect()
    }
}
