//! Checks the numbers of an input, so that nothing behind it can overflow or index out of range.

use crate::input::{CLASSES_MAX, Costs, Given, Input, NONE, Network, TIERS_MAX};

/// No single cost may be larger, in minor units. Sums of an order stay exact in an `f64` below it.
pub const COST_MAX: i64 = 1_000_000_000_000;
/// No quantity may be larger.
pub const QUANTITY_MAX: i64 = 1_000_000_000;
/// Lines at most, orders at most, rows of a table at most.
pub const ROWS_MAX: usize = 1 << 28;

/// An input that cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// A number that indexes nothing.
    #[error("{what} {row} has {field} {value}, there are {limit}")]
    Index {
        /// The table.
        what: &'static str,
        /// Its row.
        row: usize,
        /// The column.
        field: &'static str,
        /// What it says.
        value: u32,
        /// What it must be below.
        limit: u32,
    },
    /// A number that is too small or too large.
    #[error("{what} {row} has {field} {value}: give {min} to {max}")]
    Range {
        /// The table.
        what: &'static str,
        /// Its row.
        row: usize,
        /// The column.
        field: &'static str,
        /// What it says.
        value: i64,
        /// The smallest.
        min: i64,
        /// The largest.
        max: i64,
    },
    /// Lines of orders do not lie one behind the other.
    #[error(
        "order {order} has lines {start} to {end}, expected a start at {expected} and an end within the lines"
    )]
    Lines {
        /// The order.
        order: usize,
        /// Its first line.
        start: u32,
        /// The one behind its last.
        end: u32,
        /// Where it should start.
        expected: u32,
    },
    /// A lane has no tariff from 0, or one that does not ascend.
    #[error("lane {lane} has no tariff that ascends from 0 g")]
    Breaks {
        /// The lane.
        lane: usize,
    },
    /// Something is there twice.
    #[error("{what} {row} repeats an earlier one: keep one")]
    Repeated {
        /// The table.
        what: &'static str,
        /// The later row.
        row: usize,
    },
    /// More than can be planned at once.
    #[error("{what} has {rows} rows: split the batch, {ROWS_MAX} are too many at once")]
    Rows {
        /// The table.
        what: &'static str,
        /// How many it has.
        rows: usize,
    },
}

fn index(
    what: &'static str,
    row: usize,
    field: &'static str,
    value: u32,
    limit: u32,
) -> Result<(), InputError> {
    if value < limit {
        return Ok(());
    }
    Err(InputError::Index {
        what,
        row,
        field,
        value,
        limit,
    })
}

fn range(
    what: &'static str,
    row: usize,
    field: &'static str,
    value: i64,
    min: i64,
    max: i64,
) -> Result<(), InputError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(InputError::Range {
        what,
        row,
        field,
        value,
        min,
        max,
    })
}

impl Input {
    /// Checks that every number is in its range and indexes what there is.
    ///
    /// # Errors
    /// The first one that is not.
    pub fn check(&self) -> Result<(), InputError> {
        for (what, rows) in [
            ("orders", self.orders.len()),
            ("lines", self.lines.len()),
            ("stock", self.stock.len()),
            ("windows", self.windows.len()),
            ("locations", self.locations as usize),
            ("items", self.items as usize),
        ] {
            if rows >= ROWS_MAX {
                return Err(InputError::Rows { what, rows });
            }
        }
        self.check_orders()?;
        for (row, line) in self.lines.iter().enumerate() {
            index("line", row, "item", line.item, self.items)?;
            range("line", row, "quantity", line.quantity, 1, QUANTITY_MAX)?;
            range(
                "line",
                row,
                "unfilled_minor",
                line.unfilled_minor,
                0,
                COST_MAX,
            )?;
            range("line", row, "weight_g", line.weight_g, 0, COST_MAX)?;
        }
        for (row, stock) in self.stock.iter().enumerate() {
            index("stock", row, "item", stock.item, self.items)?;
            index("stock", row, "location", stock.location, self.locations)?;
            range(
                "stock",
                row,
                "class",
                stock.class.into(),
                0,
                CLASSES_MAX as i64 - 1,
            )?;
            range("stock", row, "units", stock.units, 0, 1 << 50)?;
        }
        for (row, units) in self.windows.iter().enumerate() {
            range("window", row, "units", units.unwrap_or(0), 0, 1 << 50)?;
        }
        match &self.costs {
            Costs::Network(network) => self.check_network(network),
            Costs::Given(given) => self.check_given(given),
        }
    }

    fn check_orders(&self) -> Result<(), InputError> {
        let mut expected = 0;
        for (row, order) in self.orders.iter().enumerate() {
            let end = order.lines.end;
            if order.lines.start != expected
                || end < expected
                || end as usize > self.lines.len()
                || (row + 1 == self.orders.len() && end as usize != self.lines.len())
            {
                return Err(InputError::Lines {
                    order: row,
                    start: order.lines.start,
                    end,
                    expected,
                });
            }
            expected = end;
            range(
                "order",
                row,
                "class",
                order.class.into(),
                0,
                CLASSES_MAX as i64 - 1,
            )?;
            range(
                "order",
                row,
                "tier",
                order.tier.into(),
                0,
                TIERS_MAX as i64 - 1,
            )?;
            range(
                "order",
                row,
                "late_minor",
                order.late_minor.unwrap_or(0),
                0,
                COST_MAX,
            )?;
            index("order", row, "customer", order.customer, self.customers)?;
            index("order", row, "segment", order.segment, self.segments)?;
        }
        if self.orders.is_empty() && !self.lines.is_empty() {
            return Err(InputError::Lines {
                order: 0,
                start: 0,
                end: 0,
                expected: 0,
            });
        }
        Ok(())
    }

    fn window(&self, what: &'static str, row: usize, window: u32) -> Result<(), InputError> {
        if window == NONE {
            return Ok(());
        }
        index(what, row, "window", window, self.windows.len() as u32)
    }

    fn check_network(&self, network: &Network) -> Result<(), InputError> {
        let (what, rows) = ("lanes", network.lanes.len());
        if rows >= ROWS_MAX {
            return Err(InputError::Rows { what, rows });
        }
        for (row, lane) in network.lanes.iter().enumerate() {
            index("lane", row, "location", lane.location, self.locations)?;
            index("lane", row, "service", lane.service, self.services)?;
            self.window("lane", row, lane.window)?;
            let ascends = lane
                .breaks
                .windows(2)
                .all(|pair| pair[0].from_g < pair[1].from_g);
            if lane.breaks.first().is_none_or(|first| first.from_g != 0) || !ascends {
                return Err(InputError::Breaks { lane: row });
            }
            for tariff in &lane.breaks {
                range(
                    "lane",
                    row,
                    "package_minor",
                    tariff.package_minor,
                    0,
                    COST_MAX,
                )?;
                range(
                    "lane",
                    row,
                    "minor_per_kg",
                    tariff.minor_per_kg,
                    0,
                    COST_MAX,
                )?;
            }
        }
        for (row, rule) in network.exclusions.iter().enumerate() {
            if let Some(item) = rule.item {
                index("exclusion", row, "item", item, self.items)?;
            }
        }
        for location in 0..self.locations as usize {
            let handling = network.handling_minor.get(location).copied().unwrap_or(-1);
            range(
                "location",
                location,
                "handling_minor",
                handling,
                0,
                COST_MAX,
            )?;
        }
        Ok(())
    }

    fn check_given(&self, given: &Given) -> Result<(), InputError> {
        for (what, rows) in [
            ("options", given.options.len()),
            ("offers", given.offers.len()),
            ("packages", given.packages.len()),
        ] {
            if rows >= ROWS_MAX {
                return Err(InputError::Rows { what, rows });
            }
        }
        for (row, way) in given.options.iter().enumerate() {
            index("option", row, "location", way.location, self.locations)?;
            index("option", row, "service", way.service, self.services)?;
            self.window("option", row, way.window)?;
        }
        let options = given.options.len() as u32;
        for (row, offer) in given.offers.iter().enumerate() {
            index("offer", row, "line", offer.line, self.lines.len() as u32)?;
            index("offer", row, "option", offer.option, options)?;
            range("offer", row, "line_minor", offer.line_minor, 0, COST_MAX)?;
        }
        for (row, package) in given.packages.iter().enumerate() {
            index(
                "package",
                row,
                "order",
                package.order,
                self.orders.len() as u32,
            )?;
            index("package", row, "option", package.option, options)?;
            range(
                "package",
                row,
                "package_minor",
                package.package_minor,
                0,
                COST_MAX,
            )?;
        }
        Ok(())
    }
}
