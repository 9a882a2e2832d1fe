//! Scarcity prices of the last plan that published them, for promises that choose their location by them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use bespeak_allocation::tables::Price;
use bespeak_engine::{Candidates, Catalog, ItemId, LocationId, Promise};

use super::snapshot::Known;

/// What a unit of an item at a location is worth to others, minor units.
type ByPlace = HashMap<(ItemId, LocationId), f64>;

/// The prices. Lost when the server ends: until the next plan all stock is equal.
#[derive(Debug, Default)]
pub struct Prices(RwLock<Arc<ByPlace>>);

impl Prices {
    /// Keeps the prices of a plan in the place of those before.
    pub fn publish(&self, known: &Known, prices: &[Price]) {
        // What a line of class 0 pays: higher classes pay more, and promises have none.
        let plain = prices.iter().filter(|price| price.class == 0);
        let priced = plain.filter_map(|price| {
            let item = known.items[price.item as usize]?;
            let location = known.locations[price.location as usize]?;
            Some(((item, location), price.minor))
        });
        let new = Arc::new(priced.collect());
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = new;
    }

    fn now(&self) -> Arc<ByPlace> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Orders the candidates of a promise by what the stock that it asks for is worth there, lowest first; those of
    /// the same price, or of none, stay in their order.
    pub fn sort(&self, catalog: &Catalog, promise: &mut Promise) {
        let prices = self.now();
        let mut locations = match &promise.candidates {
            Candidates::Locations(locations) => locations.clone(),
            Candidates::Region(region) => {
                catalog.region(*region).locations.iter().copied().collect()
            }
        };
        let price = |location: &LocationId| worth(&prices, promise, *location);
        locations.sort_by(|a, b| price(a).total_cmp(&price(b)));
        promise.candidates = Candidates::Locations(locations);
    }

    /// What the stock of a promise is worth at a location.
    pub fn of(&self, promise: &Promise, location: LocationId) -> f64 {
        worth(&self.now(), promise, location)
    }
}

fn worth(prices: &ByPlace, promise: &Promise, location: LocationId) -> f64 {
    let lines = promise.lines.iter().map(|line| {
        let price = prices.get(&(line.item, location)).copied();
        price.unwrap_or(0.0) * line.quantity.get() as f64
    });
    lines.sum()
}
