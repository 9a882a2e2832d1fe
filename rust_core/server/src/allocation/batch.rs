//! A batch ready to be planned: the problem, its names, and what the engine knows of it.

use bespeak_allocation::input::{Costs, Given, Input, NONE, Offer, Package, Stock};
use bespeak_allocation::tables::Names;
use bespeak_allocation::{InputError, Problem};

use super::snapshot::Known;
use crate::error::ApiError;

impl From<InputError> for ApiError {
    fn from(error: InputError) -> Self {
        Self::invalid("orders", error, "correct it, or split the batch")
    }
}

/// Expands a batch that was read.
///
/// # Errors
/// `InvalidArgument` naming the line whose costs are too large together; those of its tables are small enough.
pub fn expand(input: Input, names: &Names) -> Result<Problem, ApiError> {
    let ends: Vec<u32> = input.orders.iter().map(|order| order.lines.end).collect();
    Problem::new(input).map_err(|error| match error {
        InputError::Range {
            what: "line",
            row,
            value,
            max,
            ..
        } => {
            let order = ends.partition_point(|end| *end as usize <= row);
            let (line, order) = (names.lines[row], &names.orders[order]);
            let field = format!("cost of serving line {line} of order {order}");
            let rule = format!("it may be at most {max}: lower its costs, or split it");
            ApiError::invalid(field, value, rule)
        }
        other => other.into(),
    })
}

/// Units of a limit; more is as good as none.
pub const UNITS_MAX: i64 = 1 << 50;

/// A batch.
#[derive(Debug)]
pub struct Batch {
    /// All of its orders.
    pub problem: Problem,
    /// Their names.
    pub names: Names,
    /// Their items and locations in the engine.
    pub known: Known,
    /// The stock is the engine's own.
    pub own_stock: bool,
    /// What was seen of the engine so far.
    pub revision: u64,
}

impl Batch {
    /// The input.
    pub fn input(&self) -> &Input {
        self.problem.input()
    }

    /// Number of its lines.
    pub fn lines(&self) -> usize {
        self.input().lines.len()
    }

    /// Lines of an order.
    pub fn lines_of(&self, order: u32) -> std::ops::Range<usize> {
        let lines = &self.input().orders[order as usize].lines;
        lines.start as usize..lines.end as usize
    }
}

/// The same input with some of its orders only, in the order given; stock and windows stay as they are.
pub fn subset(input: &Input, orders: &[u32]) -> Input {
    let mut lines = Vec::new();
    let mut kept = Vec::with_capacity(orders.len());
    let mut line_at = vec![NONE; input.lines.len()];
    let mut order_at = vec![NONE; input.orders.len()];
    for (number, &at) in (0u32..).zip(orders) {
        let order = &input.orders[at as usize];
        order_at[at as usize] = number;
        let start = small(lines.len());
        for line in order.lines.clone() {
            line_at[line as usize] = small(lines.len());
            lines.push(input.lines[line as usize].clone());
        }
        let mut order = order.clone();
        order.lines = start..small(lines.len());
        kept.push(order);
    }
    let costs = match &input.costs {
        Costs::Network(network) => Costs::Network(network.clone()),
        Costs::Given(given) => {
            let offers = given.offers.iter().filter_map(|offer| {
                let line = line_at[offer.line as usize];
                (line != NONE).then(|| Offer {
                    line,
                    ..offer.clone()
                })
            });
            let packages = given.packages.iter().filter_map(|package| {
                let order = order_at[package.order as usize];
                (order != NONE).then(|| Package {
                    order,
                    ..package.clone()
                })
            });
            Costs::Given(Given {
                options: given.options.clone(),
                offers: offers.collect(),
                packages: packages.collect(),
            })
        }
    };
    Input {
        orders: kept,
        lines,
        costs,
        stock: input.stock.clone(),
        windows: input.windows.clone(),
        ..*input
    }
}

fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(NONE)
}

/// Units that a choice takes: of stock by item, location and class, and of windows.
#[derive(Debug, Default)]
pub struct Used {
    stock: std::collections::HashMap<(u32, u32), [i64; bespeak_allocation::input::CLASSES_MAX]>,
    windows: std::collections::HashMap<u32, i64>,
}

impl Used {
    /// Counts what an order takes.
    pub fn add(&mut self, problem: &Problem, order: u32, choice: &[u32]) {
        let input = problem.input();
        let asked = &input.orders[order as usize];
        for line in asked.lines.clone() {
            let option = choice[line as usize];
            if option == NONE {
                continue;
            }
            let wanted = &input.lines[line as usize];
            let way = &problem.options()[option as usize];
            let taken = self.stock.entry((wanted.item, way.location)).or_default();
            taken[usize::from(asked.class)] += wanted.quantity;
            if way.window != NONE {
                *self.windows.entry(way.window).or_default() += wanted.quantity;
            }
        }
    }

    /// What lines of this class and above take together.
    pub fn of(&self, item: u32, location: u32, class: u8) -> i64 {
        let taken = self.stock.get(&(item, location));
        taken.map_or(0, |taken| taken[usize::from(class)..].iter().sum())
    }

    /// Units that leave in a window.
    pub fn window(&self, window: u32) -> i64 {
        self.windows.get(&window).copied().unwrap_or(0)
    }

    /// What these leave of an input's limits.
    pub fn take_from(&self, input: &mut Input) {
        for row in &mut input.stock {
            row.units = (row.units - self.of(row.item, row.location, row.class)).max(0);
        }
        self.take_windows(input);
    }

    /// What these leave of the windows.
    pub fn take_windows(&self, input: &mut Input) {
        for (number, limit) in (0u32..).zip(&mut input.windows) {
            if let Some(units) = limit {
                *units = (*units - self.window(number)).max(0);
            }
        }
    }
}

/// Stock rows of class 0, as places.
pub fn places(stock: &[Stock]) -> Vec<(u32, u32)> {
    let plain = stock.iter().filter(|row| row.class == 0);
    plain.map(|row| (row.item, row.location)).collect()
}

#[cfg(test)]
mod tests {
    use bespeak_allocation::input::{Line, Order, Way};

    use super::*;

    fn input() -> Input {
        let order = |lines: std::ops::Range<u32>, class| Order {
            lines,
            zone: 0,
            due_days: None,
            late_minor: Some(0),
            tier: 0,
            class,
            ship_complete: false,
            max_packages: 0,
            customer: 0,
            segment: 0,
        };
        let line = |item, quantity| Line {
            item,
            quantity,
            unfilled_minor: 100,
            weight_g: 0,
            requires: 0,
        };
        let offer = |line, option| Offer {
            line,
            option,
            line_minor: i64::from(line) * 10,
        };
        let stock = |class, units| Stock {
            item: 0,
            location: 0,
            class,
            units,
        };
        Input {
            orders: vec![order(0..2, 0), order(2..3, 1), order(3..4, 1)],
            lines: vec![line(0, 1), line(1, 2), line(0, 3), line(0, 4)],
            costs: Costs::Given(Given {
                options: vec![Way {
                    location: 0,
                    service: 0,
                    window: 0,
                }],
                offers: (0..4).map(|line| offer(line, 0)).collect(),
                packages: (0..3)
                    .map(|order| Package {
                        order,
                        option: 0,
                        package_minor: i64::from(order) + 1,
                    })
                    .collect(),
            }),
            stock: vec![stock(0, 20), stock(1, 6)],
            windows: vec![Some(30)],
            items: 2,
            locations: 1,
            services: 1,
            customers: 1,
            segments: 1,
        }
    }

    #[test]
    fn a_subset_keeps_what_its_orders_cost() {
        let whole = Problem::new(input()).expect("sound");
        let some = Problem::new(subset(whole.input(), &[2, 0])).expect("sound");
        assert_eq!(some.input().lines.len(), 3);
        // Order 2 has line 0 now: 30 for it and 3 for its package; order 0 has 1 and 10, and leaves one line.
        let costs = some.costs(&[0, 0, NONE]);
        assert_eq!((costs.lines, costs.package, costs.unfilled), (30, 4, 100));
        assert_eq!(some.order_costs(0, &[0]), whole.order_costs(2, &[0]));
    }

    #[test]
    fn what_orders_take_is_missing_from_every_limit_of_their_class() {
        let whole = Problem::new(input()).expect("sound");
        let mut used = Used::default();
        used.add(&whole, 0, &[0, NONE, 0, 0]);
        used.add(&whole, 1, &[0, NONE, 0, 0]);
        assert_eq!(
            (used.of(0, 0, 0), used.of(0, 0, 1), used.of(0, 0, 2)),
            (4, 3, 0)
        );
        assert_eq!(used.window(0), 4);
        let mut left = whole.input().clone();
        used.take_from(&mut left);
        assert_eq!((left.stock[0].units, left.stock[1].units), (16, 3));
        assert_eq!(left.windows, [Some(26)]);
        used.add(&whole, 2, &[0, NONE, 0, 0]);
        used.take_from(&mut left);
        assert_eq!(left.stock[1].units, 0);
    }
}
