//! From tables to the flat arrays of the model: what may serve what, at which cost, against which limit.

use super::Row;
use super::stock::Cells;
use super::ways::{Lanes, Offers, Ways, capacity};
use crate::input::{Break, Costs, Input, Network, Way};
use crate::model::{EXACT_LINES, LANES, Model, NO, Order};
use crate::validate::{COST_MAX, InputError, ROWS_MAX};

/// A candidate of the order that is being expanded; costs and cells of its lines lie beside it.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    option: u32,
    location: u32,
    window: u32,
    package: i64,
    range: (i64, i64),
    kept: bool,
}

pub(super) struct Expansion<'a> {
    pub input: &'a Input,
    pub cells: Cells,
    pub model: Model,
    /// By matrix cell: the stock cell, for the second pass.
    pub cell_of: Vec<u32>,
    /// By candidate of the model: its window.
    pub window_of: Vec<u32>,
    /// By window: units that candidates could ask for at most, and the last line that was counted.
    pub wanted: Vec<(i64, u32)>,
    candidates: Vec<Candidate>,
    costs: Vec<i64>,
    places: Vec<u32>,
}

/// Orders after which memory for all of them is reserved, as these show how much they need.
const SAMPLE: usize = 64;
/// Cells and candidates for which that is done at most.
const RESERVED_MAX: usize = 1 << 24;
/// No cost: the line cannot be served so.
const NEVER: i64 = i64::MAX;
/// Candidates of one location that each of them is compared with.
const RIVALS_MAX: usize = 64;
/// Packages opened times what is looked at for each, over all long orders of a batch.
const OPENINGS_MAX: usize = 500_000_000;

pub(super) fn expand(
    input: &Input,
    ways: &Ways,
    options: &[Way],
) -> Result<(Model, Vec<Row>), InputError> {
    let cells = Cells::new(input).map_err(|row| InputError::Repeated { what: "stock", row })?;
    let mut expansion = Expansion {
        input,
        cells,
        model: Model::default(),
        cell_of: Vec::new(),
        window_of: Vec::new(),
        wanted: vec![(0, NO); input.windows.len()],
        candidates: Vec::new(),
        costs: Vec::new(),
        places: Vec::new(),
    };
    expansion.model.orders = vec![Order::default(); input.orders.len()];
    for (number, order) in input.orders.iter().enumerate() {
        let lines = order.lines.len();
        expansion
            .model
            .order_of
            .extend(std::iter::repeat_n(number as u32, lines));
    }
    for line in &input.lines {
        expansion.model.quantity.push(line.quantity as f64);
        expansion.model.weight.push(line.weight_g as f64);
        expansion.model.item.push(line.item);
        expansion.model.unfilled.push(line.unfilled_minor as f64);
    }
    let mut grid = Vec::new();
    // Orders of one zone look at the same lanes: one behind the other these stay in the cache.
    let mut sequence: Vec<u32> = (0..input.orders.len() as u32).collect();
    sequence.sort_by_key(|&order| input.orders[order as usize].zone);
    let orders = sequence.len();
    for (done, order) in sequence.into_iter().map(|order| order as usize).enumerate() {
        if done == SAMPLE {
            expansion.reserve(orders);
        }
        expansion.candidates.clear();
        expansion.costs.clear();
        expansion.places.clear();
        match (ways, &input.costs) {
            (Ways::Network(lanes), Costs::Network(network)) => {
                expansion.network(order, lanes, network, &mut grid)?;
            }
            (Ways::Given(offers), _) => expansion.given(order, offers, options),
            (Ways::Network(_), Costs::Given(_)) => unreachable!("ways are made from the costs"),
        }
        expansion.drop_dominated(order);
        expansion.emit(order);
        // Offsets are `u32`.
        let rows = expansion.model.cost.len();
        if rows > ROWS_MAX {
            let what = "lines × candidates";
            return Err(InputError::Rows { what, rows });
        }
    }
    bound_packages(&mut expansion.model);
    let rows = expansion.bind();
    Ok((expansion.model, rows))
}

/// To open a package of an order that is not planned exactly takes a look at all of its matrix: where that is large,
/// few packages are opened. An order that takes a share of it worth a mention is far beyond what is ever ordered.
fn bound_packages(model: &mut Model) {
    let most = OPENINGS_MAX / model.cost.len().max(1);
    let most = u32::try_from(most.max(1)).unwrap_or(u32::MAX);
    let long = |order: &&mut Order| order.lines as usize > EXACT_LINES;
    for order in model.orders.iter_mut().filter(long) {
        order.packages = order.packages.min(most);
    }
}

impl Expansion<'_> {
    /// Reserves memory for so many orders, by what the first [`SAMPLE`] needed: a vector that grows is copied each time.
    fn reserve(&mut self, orders: usize) {
        let more = |len: usize| {
            (len * orders / SAMPLE)
                .min(RESERVED_MAX)
                .saturating_sub(len)
        };
        let cells = more(self.model.cost.len());
        self.model.cost.reserve(cells);
        self.cell_of.reserve(cells);
        let candidates = more(self.model.option.len());
        self.model.option.reserve(candidates);
        self.model.place.reserve(candidates);
        self.model.package.reserve(candidates);
        self.model.range.reserve(candidates);
        self.window_of.reserve(candidates);
    }

    fn network(
        &mut self,
        order: usize,
        lanes: &Lanes,
        network: &Network,
        grid: &mut Vec<u32>,
    ) -> Result<(), InputError> {
        let row = &self.input.orders[order];
        let groups = lanes.groups(row.zone);
        let count = row.lines.len();
        grid.clear();
        grid.resize(groups.len() * count, NO);
        let mut weight = 0;
        for (at, line) in row.lines.clone().enumerate() {
            let line = &self.input.lines[line as usize];
            weight += line.weight_g;
            let mut group = 0;
            for cell in self.cells.of(line.item) {
                let location = self.cells.cells[cell].location;
                while group < groups.len() && groups[group].location < location {
                    group += 1;
                }
                if group == groups.len() {
                    break;
                }
                if groups[group].location == location
                    && self.cells.fits(cell, row.class, line.quantity)
                {
                    grid[group * count + at] = cell as u32;
                }
            }
        }
        let of_lines = row.lines.start as usize..row.lines.end as usize;
        for (at, group) in groups.iter().enumerate() {
            let cells = &grid[at * count..(at + 1) * count];
            if cells.iter().all(|&cell| cell == NO) {
                continue;
            }
            let handling = network.handling_minor[group.location as usize];
            for hop in &lanes.sorted[group.lanes.0 as usize..group.lanes.1 as usize] {
                let Some(late) = late_cost(row, hop.transit_days[row.tier as usize]) else {
                    continue;
                };
                let start = self.costs.len();
                let mut some = false;
                for (&cell, line) in cells.iter().zip(&self.input.lines[of_lines.clone()]) {
                    let allowed = cell != NO
                        && hop.provides & line.requires == line.requires
                        && line.quantity <= hop.room
                        && !lanes.rules.forbid_item(
                            line.item,
                            group.location,
                            hop.service,
                            row.zone,
                        );
                    if !allowed {
                        self.costs.push(NEVER);
                        self.places.push(NO);
                        continue;
                    }
                    some = true;
                    let cost = handling
                        .saturating_mul(line.quantity)
                        .saturating_add(freight(hop.per_kg, line.weight_g))
                        .saturating_add(late);
                    // More than a cost may be, and refused below; not what stands for none.
                    self.costs.push(cost.min(NEVER - 1));
                    self.places.push(cell);
                }
                if !some {
                    self.costs.truncate(start);
                    self.places.truncate(start);
                    continue;
                }
                self.candidates.push(Candidate {
                    option: hop.option,
                    location: group.location,
                    window: hop.window,
                    package: hop.package,
                    range: (0, NEVER),
                    kept: true,
                });
                if hop.breaks {
                    let breaks = &network.lanes[hop.lane as usize].breaks;
                    self.further_breaks(start, breaks, weight, &of_lines);
                }
            }
        }
        if let Some(at) = self
            .costs
            .iter()
            .position(|&cost| cost != NEVER && cost > COST_MAX)
        {
            return Err(InputError::Range {
                what: "line",
                row: of_lines.start + at % count,
                field: "cost of serving it",
                value: self.costs[at],
                min: 0,
                max: COST_MAX,
            });
        }
        Ok(())
    }

    /// Candidates of the further tariffs of the lane whose first one is the last candidate, its costs from `start` on.
    fn further_breaks(
        &mut self,
        start: usize,
        breaks: &[Break],
        weight: i64,
        lines: &std::ops::Range<usize>,
    ) {
        let first = self.candidates.len() - 1;
        let count = lines.len();
        for (step, tariff) in breaks.iter().enumerate() {
            if tariff.from_g > weight {
                break;
            }
            let below = breaks.get(step + 1).map_or(NEVER, |next| next.from_g);
            let range = (tariff.from_g, if below > weight { NEVER } else { below });
            if step == 0 {
                self.candidates[first].range = range;
                continue;
            }
            self.candidates.push(Candidate {
                package: tariff.package_minor,
                range,
                ..self.candidates[first]
            });
            for line in 0..count {
                let weight = self.input.lines[lines.start + line].weight_g;
                let cost = self.costs[start + line];
                self.costs.push(if cost == NEVER {
                    NEVER
                } else {
                    (cost - freight(breaks[0].minor_per_kg, weight))
                        .saturating_add(freight(tariff.minor_per_kg, weight))
                });
                self.places.push(self.places[start + line]);
            }
        }
    }

    fn given(&mut self, order: usize, offers: &Offers, options: &[Way]) {
        let row = &self.input.orders[order];
        let mut used: Vec<u32> = Vec::new();
        for line in row.lines.clone() {
            used.extend(offers.of(line as usize).iter().map(|offer| offer.1));
        }
        used.sort_unstable_by_key(|&option| (options[option as usize].location, option));
        used.dedup();
        for option in used {
            let way = &options[option as usize];
            let room = capacity(self.input, way.window);
            let start = self.costs.len();
            for number in row.lines.clone() {
                let line = &self.input.lines[number as usize];
                let range = self.cells.of(line.item);
                let cell = self.cells.cells[range.clone()]
                    .binary_search_by_key(&way.location, |cell| cell.location)
                    .map(|at| range.start + at);
                let cost = offers.find(number as usize, option);
                match (cell, cost) {
                    (Ok(cell), Some(cost))
                        if self.cells.fits(cell, row.class, line.quantity)
                            && room.is_none_or(|room| line.quantity <= room) =>
                    {
                        self.costs.push(cost);
                        self.places.push(cell as u32);
                    }
                    _ => {
                        self.costs.push(NEVER);
                        self.places.push(NO);
                    }
                }
            }
            if self.costs[start..].iter().all(|&cost| cost == NEVER) {
                self.costs.truncate(start);
                self.places.truncate(start);
                continue;
            }
            self.candidates.push(Candidate {
                option,
                location: way.location,
                window: way.window,
                package: offers.package(order, option),
                range: (0, NEVER),
                kept: true,
            });
        }
    }

    /// Drops candidates beside which another of the same location and window is never dearer.
    fn drop_dominated(&mut self, order: usize) {
        let count = self.input.orders[order].lines.len();
        let mut start = 0;
        while start < self.candidates.len() {
            let location = self.candidates[start].location;
            let mut end = start + 1;
            while end < self.candidates.len() && self.candidates[end].location == location {
                end += 1;
            }
            // Those whose package costs least are most likely to be better.
            let mut rivals: Vec<usize> = (start..end).collect();
            if rivals.len() > RIVALS_MAX {
                let package = |at: &usize| self.candidates[*at].package;
                rivals.select_nth_unstable_by_key(RIVALS_MAX, package);
                rivals.truncate(RIVALS_MAX);
            }
            for worse in start..end {
                self.candidates[worse].kept = !rivals.iter().any(|&better| {
                    better != worse
                        && self.candidates[better].kept
                        && self.dominates(better, worse, count)
                });
            }
            start = end;
        }
    }

    fn dominates(&self, better: usize, worse: usize, count: usize) -> bool {
        let (one, other) = (&self.candidates[better], &self.candidates[worse]);
        let whole = (0, NEVER);
        one.range == whole
            && other.range == whole
            && one.window == other.window
            && one.package <= other.package
            && (0..count)
                .all(|line| self.costs[better * count + line] <= self.costs[worse * count + line])
    }

    /// Appends the order to the model.
    fn emit(&mut self, order: usize) {
        let row = &self.input.orders[order];
        let count = row.lines.len();
        let kept: Vec<usize> = (0..self.candidates.len())
            .filter(|&at| self.candidates[at].kept)
            .collect();
        let padded = kept.len().next_multiple_of(LANES);
        let model = &mut self.model;
        let whole = (0, NEVER);
        let mut items: Vec<u32> = row
            .lines
            .clone()
            .map(|line| self.input.lines[line as usize].item)
            .collect();
        items.sort_unstable();
        model.orders[order] = Order {
            line: row.lines.start,
            lines: count as u32,
            candidate: model.option.len() as u32,
            candidates: padded as u32,
            matrix: model.cost.len() as u32,
            complete: row.ship_complete,
            packages: if row.max_packages == 0 {
                NO
            } else {
                row.max_packages
            },
            ranged: kept.iter().any(|&at| self.candidates[at].range != whole),
            repeats: items.windows(2).any(|pair| pair[0] == pair[1]),
        };
        for (at, number) in row.lines.clone().enumerate() {
            let line = &self.input.lines[number as usize];
            for &candidate in &kept {
                let cost = self.costs[candidate * count + at];
                let cell = self.places[candidate * count + at];
                model.cost.push(if cost == NEVER {
                    f64::INFINITY
                } else {
                    cost as f64
                });
                self.cell_of.push(cell);
                if cost == NEVER {
                    continue;
                }
                let window = self.candidates[candidate].window;
                if window != crate::input::NONE
                    && std::mem::replace(&mut self.wanted[window as usize].1, number) != number
                {
                    self.wanted[window as usize].0 += line.quantity;
                }
            }
            // Candidates of one location share a cell and lie together: each cell is wanted once.
            let mut last = NO;
            let start = self.cell_of.len() - kept.len();
            for place in start..self.cell_of.len() {
                let cell = self.cell_of[place];
                if cell != NO && cell != last {
                    self.cells.want(cell as usize, row.class, line.quantity);
                    last = cell;
                }
            }
            model
                .cost
                .extend(std::iter::repeat_n(f64::INFINITY, padded - kept.len()));
            self.cell_of
                .extend(std::iter::repeat_n(NO, padded - kept.len()));
        }
        for &at in &kept {
            let candidate = &self.candidates[at];
            model.option.push(candidate.option);
            model.place.push(candidate.location);
            model.package.push(candidate.package as f64);
            let (from, below) = candidate.range;
            model.range.push((
                from as f64,
                if below == NEVER {
                    f64::INFINITY
                } else {
                    below as f64
                },
            ));
            self.window_of.push(candidate.window);
        }
        for _ in kept.len()..padded {
            model.option.push(NO);
            model.place.push(NO);
            model.package.push(0.0);
            model.range.push((0.0, f64::INFINITY));
            self.window_of.push(crate::input::NONE);
        }
    }
}

/// Cost of a weight.
fn freight(minor_per_kg: i64, weight_g: i64) -> i64 {
    minor_per_kg.saturating_mul(weight_g) / 1000
}

/// Cost of a line's lateness; none where it must not be late and would be.
pub(crate) fn late_cost(order: &crate::input::Order, transit_days: i32) -> Option<i64> {
    let Some(due) = order.due_days else {
        return Some(0);
    };
    let days = (i64::from(transit_days) - i64::from(due)).max(0);
    match order.late_minor {
        _ if days == 0 => Some(0),
        Some(late) => Some(days.saturating_mul(late)),
        None => None,
    }
}
