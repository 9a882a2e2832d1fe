//! Items, locations, regions, lanes and supply rules, interned by name.

use std::collections::BTreeMap;

use foldhash::fast::FixedState;

use crate::catalog_types::{Item, Lane, LateGrace, Location, Region, SupplyRule};
use crate::ids::{ItemId, LocationId, RegionId, Units, UtcMillis};
use crate::limits::DAY_MS;
use crate::name_index::NameIndex;
use crate::prefetch;
use crate::refusal::EngineError;

/// Master data of one partition.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    items: Vec<Item>,
    item_index: NameIndex,
    locations: Vec<Location>,
    location_index: NameIndex,
    regions: Vec<Region>,
    region_index: NameIndex,
    lanes: BTreeMap<Box<str>, Lane>,
    /// Rule 0 is the default.
    location_rules: Vec<Option<SupplyRule>>,
}

impl Catalog {
    pub(crate) fn with_hasher(hasher: FixedState) -> Self {
        Self {
            item_index: NameIndex::new(hasher.clone()),
            location_index: NameIndex::new(hasher.clone()),
            region_index: NameIndex::new(hasher),
            ..Self::default()
        }
    }

    /// Makes room for so many more items.
    pub(crate) fn reserve_items(&mut self, more: usize) {
        self.items.reserve(more);
        self.item_index.reserve(more);
    }

    /// The item of this name.
    pub fn item_id(&self, name: &str) -> Option<ItemId> {
        self.item_index
            .find(name, |n| &self.items[n as usize].name)
            .map(ItemId)
    }

    /// The items of many names, in order: as [`Catalog::item_id`] of each, but they wait for memory together.
    pub fn item_ids<const N: usize>(
        &self,
        names: &[Option<&str>; N],
        found: &mut [Option<ItemId>; N],
    ) {
        let hashes = names.map(|name| {
            let hash = self.item_index.hash(name?);
            self.item_index.prefetch(hash);
            Some(hash)
        });
        for (found, hash) in found.iter_mut().zip(hashes) {
            let guess = hash.and_then(|hash| self.item_index.guess(hash));
            *found = guess.map(ItemId);
            if let Some(item) = guess.and_then(|number| self.items.get(number as usize)) {
                prefetch::line(item);
            }
        }
        for id in found.iter().flatten() {
            prefetch::line(self.items[id.index()].name.as_ptr());
        }
        for (found, name) in found.iter_mut().zip(names) {
            if let (Some(id), Some(name)) = (*found, name)
                && *self.items[id.index()].name != **name
            {
                *found = self.item_id(name);
            }
        }
    }

    /// The location of this name.
    pub fn location_id(&self, name: &str) -> Option<LocationId> {
        self.location_index
            .find(name, |n| &self.locations[n as usize].name)
            .map(LocationId)
    }

    /// The region of this name.
    pub fn region_id(&self, name: &str) -> Option<RegionId> {
        self.region_index
            .find(name, |n| &self.regions[n as usize].name)
            .map(RegionId)
    }

    /// All items, by id.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// All locations, by id.
    pub fn locations(&self) -> &[Location] {
        &self.locations
    }

    /// All regions, by id.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// All lanes, by name.
    pub fn lanes(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.values()
    }

    /// Number of lanes.
    pub fn lane_count(&self) -> usize {
        self.lanes.len()
    }

    /// The lane of this name.
    pub fn lane(&self, name: &str) -> Option<&Lane> {
        self.lanes.get(name)
    }

    /// The item of an id that this catalog gave.
    pub fn item(&self, id: ItemId) -> &Item {
        &self.items[id.index()]
    }

    /// The location of an id that this catalog gave.
    pub fn location(&self, id: LocationId) -> &Location {
        &self.locations[id.index()]
    }

    /// The region of an id that this catalog gave.
    pub fn region(&self, id: RegionId) -> &Region {
        &self.regions[id.index()]
    }

    /// The supply rule of a location's positions that have none of their own.
    pub fn location_rule(&self, id: LocationId) -> Option<&SupplyRule> {
        self.location_rules.get(id.index())?.as_ref()
    }

    /// Converts a quantity for a write.
    ///
    /// # Errors
    /// `UnknownUnit`, `InexactUnit` when it is not a whole number of base units, `InvalidArgument` past the limit.
    pub fn to_base_exact(
        &self,
        item: ItemId,
        quantity: u64,
        unit: &str,
    ) -> Result<Units, EngineError> {
        let definition = self.item(item);
        let base = match self.unit(definition, unit)? {
            None => u128::from(quantity),
            Some((numerator, denominator)) => {
                let product = u128::from(quantity) * u128::from(numerator);
                if product % u128::from(denominator) != 0 {
                    return Err(EngineError::InexactUnit {
                        item: definition.name.to_string(),
                        quantity,
                        unit: unit.to_owned(),
                        base: definition.base_unit.to_string(),
                    });
                }
                product / u128::from(denominator)
            }
        };
        u64::try_from(base)
            .ok()
            .and_then(Units::new)
            .ok_or_else(|| EngineError::InvalidArgument {
                field: "quantity",
                value: format!("{base} base units"),
                rule: "at most 1000000000000 are allowed",
            })
    }

    /// Converts availability for an answer, rounding down.
    ///
    /// # Errors
    /// `UnknownUnit`.
    pub fn from_base_floor(
        &self,
        item: ItemId,
        units: Units,
        unit: &str,
    ) -> Result<u64, EngineError> {
        Ok(match self.unit(self.item(item), unit)? {
            None => units.get(),
            Some((numerator, denominator)) => {
                let scaled =
                    u128::from(units.get()) * u128::from(denominator) / u128::from(numerator);
                u64::try_from(scaled).unwrap_or(u64::MAX)
            }
        })
    }

    fn unit(&self, item: &Item, unit: &str) -> Result<Option<(u64, u64)>, EngineError> {
        if unit.is_empty() || *item.base_unit == *unit {
            return Ok(None);
        }
        item.units
            .iter()
            .find(|known| *known.unit == *unit)
            .map(|known| Some((known.numerator, known.denominator)))
            .ok_or_else(|| {
                let mut known = vec![item.base_unit.to_string()];
                known.extend(item.units.iter().map(|u| u.unit.to_string()));
                EngineError::UnknownUnit {
                    item: item.name.to_string(),
                    unit: unit.to_owned(),
                    known: known.join(", "),
                }
            })
    }

    pub(crate) fn put_item(&mut self, id: ItemId, item: Item) -> bool {
        if id.index() < self.items.len() {
            if self.items[id.index()].name != item.name {
                return false;
            }
            self.items[id.index()] = item;
            return true;
        }
        if id.index() != self.items.len() {
            return false;
        }
        self.items.push(item);
        self.item_index.insert(&self.items[id.index()].name, id.0);
        true
    }

    pub(crate) fn put_location(&mut self, id: LocationId, location: Location) -> bool {
        if id.index() < self.locations.len() {
            if self.locations[id.index()].name != location.name {
                return false;
            }
            self.locations[id.index()] = location;
            return true;
        }
        if id.index() != self.locations.len() {
            return false;
        }
        self.locations.push(location);
        self.location_rules.push(None);
        self.location_index
            .insert(&self.locations[id.index()].name, id.0);
        true
    }

    pub(crate) fn put_region(&mut self, id: RegionId, region: Region) -> bool {
        if region
            .locations
            .iter()
            .any(|location| location.index() >= self.locations.len())
        {
            return false;
        }
        if id.index() < self.regions.len() {
            if self.regions[id.index()].name != region.name {
                return false;
            }
            self.regions[id.index()] = region;
            return true;
        }
        if id.index() != self.regions.len() {
            return false;
        }
        self.regions.push(region);
        self.region_index
            .insert(&self.regions[id.index()].name, id.0);
        true
    }

    pub(crate) fn put_lane(&mut self, lane: Lane) -> bool {
        if lane.from.index() >= self.locations.len() {
            return false;
        }
        self.lanes.insert(lane.name.clone(), lane);
        true
    }

    pub(crate) fn put_location_rule(&mut self, id: LocationId, rule: SupplyRule) -> bool {
        match self.location_rules.get_mut(id.index()) {
            Some(place) => {
                *place = Some(rule);
                true
            }
            None => false,
        }
    }
}

impl Location {
    fn offset_ms(&self, t: UtcMillis) -> i64 {
        let n = self.day_offsets.partition_point(|offset| offset.from <= t);
        let offset = if n == 0 {
            self.day_offsets.first()
        } else {
            self.day_offsets.get(n - 1)
        };
        offset.map_or(0, |offset| i64::from(offset.offset_s) * 1_000)
    }

    /// Day of this location's calendar, since 1970-01-01.
    pub fn day_of(&self, t: UtcMillis) -> i32 {
        (t.get().saturating_add(self.offset_ms(t)))
            .div_euclid(DAY_MS)
            .clamp(i32::MIN.into(), i32::MAX.into()) as i32
    }

    /// First instant of a day of this location's calendar.
    pub fn start_of_day(&self, day: i32) -> UtcMillis {
        let local = i64::from(day) * DAY_MS;
        // The offset is looked up twice, so that a change of offset during the day is met.
        let guess = UtcMillis::new(local - self.offset_ms(UtcMillis::new(local)));
        UtcMillis::new(local - self.offset_ms(guess))
    }

    /// Last millisecond of a day of this location's calendar.
    pub fn end_of_day(&self, day: i32) -> UtcMillis {
        self.start_of_day(day.saturating_add(1)).plus(-1)
    }

    /// Until when a receipt due at `due` still counts.
    pub fn grace_end(&self, due: UtcMillis, grace: LateGrace) -> UtcMillis {
        match grace {
            LateGrace::EndOfDay => self.end_of_day(self.day_of(due)),
            LateGrace::Millis(ms) => due.plus(ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog_types::{DayOffset, LocationKind, UnitOfMeasure};

    fn berlin() -> Location {
        // Summer time ended on 2026-10-25 at 01:00 UTC.
        Location {
            name: "ber1".into(),
            time_zone: "Europe/Berlin".into(),
            day_offsets: vec![
                DayOffset {
                    from: UtcMillis::new(1_774_746_000_000),
                    offset_s: 7_200,
                },
                DayOffset {
                    from: UtcMillis::new(1_792_890_000_000),
                    offset_s: 3_600,
                },
            ],
            kind: LocationKind::Dc,
        }
    }

    #[test]
    fn a_day_of_25_hours_ends_when_the_next_begins() {
        let location = berlin();
        let day = location.day_of(UtcMillis::new(1_792_890_000_000));
        let length = location.end_of_day(day).get() + 1 - location.start_of_day(day).get();
        assert_eq!(length, 25 * 3_600_000);
        assert_eq!(location.day_of(location.end_of_day(day)), day);
        assert_eq!(location.day_of(location.start_of_day(day)), day);
        assert_eq!(location.day_of(location.end_of_day(day).plus(1)), day + 1);
    }

    #[test]
    fn availability_rounds_down_and_writes_must_be_exact() {
        let mut catalog = Catalog::default();
        let units = vec![
            UnitOfMeasure {
                unit: "case".into(),
                numerator: 12,
                denominator: 1,
            },
            UnitOfMeasure {
                unit: "half".into(),
                numerator: 1,
                denominator: 2,
            },
        ];
        assert!(catalog.put_item(
            ItemId(0),
            Item {
                name: "tea".into(),
                base_unit: "each".into(),
                units
            }
        ));
        let tea = catalog.item_id("tea").expect("was put");
        assert_eq!(
            catalog.to_base_exact(tea, 2, "case").map(Units::get),
            Ok(24)
        );
        assert_eq!(catalog.to_base_exact(tea, 4, "half").map(Units::get), Ok(2));
        assert!(matches!(
            catalog.to_base_exact(tea, 3, "half"),
            Err(EngineError::InexactUnit { .. })
        ));
        assert!(matches!(
            catalog.to_base_exact(tea, 3, "box"),
            Err(EngineError::UnknownUnit { .. })
        ));
        let have = Units::new(35).expect("small");
        assert_eq!(catalog.from_base_floor(tea, have, "case"), Ok(2));
        assert_eq!(catalog.from_base_floor(tea, have, "half"), Ok(70));
        assert_eq!(catalog.from_base_floor(tea, have, ""), Ok(35));
    }
}
