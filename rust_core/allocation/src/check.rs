//! Whether a choice keeps every limit, recomputed from the input alone.

use std::collections::BTreeMap;

use crate::input::{Costs, NONE};
use crate::problem::{Problem, Ways, late_cost};

/// A limit that a choice breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Not as many entries as lines.
    #[error("the choice has {given} entries, the batch has {lines} lines")]
    Length {
        /// Its entries.
        given: usize,
        /// The lines of the batch.
        lines: usize,
    },
    /// An option that there is not, or that cannot serve the line.
    #[error("line {line} cannot be served by option {option}: {why}")]
    Option {
        /// The line.
        line: u32,
        /// What was chosen.
        option: u32,
        /// What speaks against it.
        why: &'static str,
    },
    /// An order that ships complete is served in part.
    #[error("order {order} ships complete, but only some of its lines are served")]
    Incomplete {
        /// The order.
        order: u32,
    },
    /// Too many packages.
    #[error("order {order} has {packages} packages, at most {limit} are allowed")]
    Packages {
        /// The order.
        order: u32,
        /// How many it has.
        packages: u32,
        /// How many it may have.
        limit: u32,
    },
    /// More stock is taken than may be.
    #[error(
        "lines of class {class} and above take {taken} of item {item} at location {location}, {limit} may be"
    )]
    Stock {
        /// The item.
        item: u32,
        /// Where.
        location: u32,
        /// The lowest class that counts.
        class: u8,
        /// What they take.
        taken: i64,
        /// What they may.
        limit: i64,
    },
    /// More leaves in a window than can.
    #[error("{taken} units leave in window {window}, {limit} can")]
    Window {
        /// The window.
        window: u32,
        /// What leaves.
        taken: i64,
        /// What can.
        limit: i64,
    },
}

impl Problem {
    /// Checks a choice against everything that the input says.
    ///
    /// # Errors
    /// The first limit that is broken.
    pub fn check(&self, choice: &[u32]) -> Result<(), Broken> {
        let input = self.input();
        if choice.len() != input.lines.len() {
            return Err(Broken::Length {
                given: choice.len(),
                lines: input.lines.len(),
            });
        }
        // Units by item, location and class of the order; by window.
        let mut taken: BTreeMap<(u32, u32), [i64; crate::input::CLASSES_MAX]> = BTreeMap::new();
        let mut left = vec![0i64; input.windows.len()];
        for (order, row) in input.orders.iter().enumerate() {
            let lines = row.lines.start as usize..row.lines.end as usize;
            let chosen = &choice[lines];
            let served = chosen.iter().filter(|&&option| option != NONE).count();
            if row.ship_complete && served > 0 && served < chosen.len() {
                return Err(Broken::Incomplete {
                    order: order as u32,
                });
            }
            let mut packages = Vec::new();
            for (&option, line) in chosen.iter().zip(row.lines.clone()) {
                if option == NONE {
                    continue;
                }
                if !packages.contains(&option) {
                    packages.push(option);
                }
                self.check_option(order as u32, line, option)?;
                let way = &self.options()[option as usize];
                let number = &input.lines[line as usize];
                taken.entry((number.item, way.location)).or_default()[row.class as usize] +=
                    number.quantity;
                if let Some(left) = left.get_mut(way.window as usize) {
                    *left += number.quantity;
                }
            }
            if row.max_packages > 0 && packages.len() > row.max_packages as usize {
                return Err(Broken::Packages {
                    order: order as u32,
                    packages: packages.len() as u32,
                    limit: row.max_packages,
                });
            }
        }
        self.check_stock(&mut taken)?;
        for (window, (&taken, &limit)) in left.iter().zip(&input.windows).enumerate() {
            if let Some(limit) = limit
                && taken > limit
            {
                return Err(Broken::Window {
                    window: window as u32,
                    taken,
                    limit,
                });
            }
        }
        Ok(())
    }

    fn check_stock(
        &self,
        taken: &mut BTreeMap<(u32, u32), [i64; crate::input::CLASSES_MAX]>,
    ) -> Result<(), Broken> {
        for stock in &self.input().stock {
            let Some(by_class) = taken.get(&(stock.item, stock.location)) else {
                continue;
            };
            let sum: i64 = by_class[stock.class as usize..].iter().sum();
            if sum > stock.units {
                return Err(Broken::Stock {
                    item: stock.item,
                    location: stock.location,
                    class: stock.class,
                    taken: sum,
                    limit: stock.units,
                });
            }
        }
        for stock in &self.input().stock {
            if stock.class == 0 {
                taken.remove(&(stock.item, stock.location));
            }
        }
        if let Some((&(item, location), by_class)) = taken.iter().next() {
            return Err(Broken::Stock {
                item,
                location,
                class: 0,
                taken: by_class.iter().sum(),
                limit: 0,
            });
        }
        Ok(())
    }

    /// Whether an option can serve a line of an order, whatever else is asked of stock and windows.
    pub fn serves(&self, order: u32, line: u32, option: u32) -> bool {
        self.check_option(order, line, option).is_ok()
    }

    fn check_option(&self, order: u32, line: u32, option: u32) -> Result<(), Broken> {
        let no = |why| Broken::Option { line, option, why };
        let input = self.input();
        if option as usize >= self.options().len() {
            return Err(no("there is no such option"));
        }
        match (&self.ways, &input.costs) {
            (Ways::Network(lanes), Costs::Network(_)) => {
                let lane = self
                    .lane(order, option)
                    .ok_or(no("no lane goes to the order's zone"))?;
                let row = &input.orders[order as usize];
                let wanted = &input.lines[line as usize];
                if lane.provides & wanted.requires != wanted.requires {
                    return Err(no("the lane does not provide what the line requires"));
                }
                if late_cost(row, lane.transit_days[row.tier as usize]).is_none() {
                    return Err(no("it must not be late"));
                }
                let (location, service, zone) = (lane.location, lane.service, lane.zone);
                // Lanes that exclusions forbid to all items are none.
                let excluded = lanes
                    .rules
                    .forbid_item(wanted.item, location, service, zone);
                if excluded {
                    return Err(no("it is excluded"));
                }
            }
            (Ways::Given(offers), _) => {
                if offers.find(line as usize, option).is_none() {
                    return Err(no("it is not offered"));
                }
            }
            (Ways::Network(_), Costs::Given(_)) => {}
        }
        Ok(())
    }
}
