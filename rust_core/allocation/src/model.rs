//! What the search works on: flat arrays of orders, their candidates and the limits that can bind.
//!
//! An order's candidates are columns: an option, with one weight range of its tariff. Costs of its lines are rows of a
//! matrix over them, padded to whole vectors. A line on a candidate counts against one `slot`: the last limit of
//! its stock cell that its class has, so that what all the limits of a cell ask is a prefix sum.

/// Candidates of an order are padded to a multiple of this.
pub(crate) const LANES: usize = 8;
/// Orders of at most this many lines are planned exactly.
pub const EXACT_LINES: usize = 8;
/// A line that is not served.
pub(crate) const NO: u32 = u32::MAX;

/// Where an order lies in the arrays of a [`Model`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Order {
    /// First line.
    pub line: u32,
    /// How many lines.
    pub lines: u32,
    /// First candidate.
    pub candidate: u32,
    /// How many, padding included.
    pub candidates: u32,
    /// Where the matrix (lines × candidates) starts.
    pub matrix: u32,
    /// All or nothing.
    pub complete: bool,
    /// Packages at most.
    pub packages: u32,
    /// Some candidate has a weight range: packages need their weight.
    pub ranged: bool,
    /// Some item is on several lines.
    pub repeats: bool,
}

impl Order {
    pub fn line_range(&self) -> std::ops::Range<usize> {
        self.line as usize..(self.line + self.lines) as usize
    }

    pub fn candidate_range(&self) -> std::ops::Range<usize> {
        self.candidate as usize..(self.candidate + self.candidates) as usize
    }

    pub fn matrix_range(&self) -> std::ops::Range<usize> {
        let start = self.matrix as usize;
        start..start + (self.lines * self.candidates) as usize
    }

    /// Where line `line` (of this order) on candidate `candidate` (of this order) lies.
    pub fn cell(&self, line: usize, candidate: usize) -> usize {
        self.matrix as usize + line * self.candidates as usize + candidate
    }
}

/// A batch, expanded. Costs are minor units as `f64` that hold whole numbers, so their sums are exact.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    pub orders: Vec<Order>,
    /// By line.
    pub quantity: Vec<f64>,
    /// By line.
    pub weight: Vec<f64>,
    /// By line.
    pub item: Vec<u32>,
    /// By line: cost of leaving it unfilled.
    pub unfilled: Vec<f64>,
    /// By line: a limit that it counts against wherever it comes from.
    pub own: Vec<u32>,
    /// By line: the order.
    pub order_of: Vec<u32>,
    /// By matrix cell; infinite where it cannot be.
    pub cost: Vec<f64>,
    /// By matrix cell.
    pub slot: Vec<u32>,
    /// By candidate: its package.
    pub package: Vec<f64>,
    /// By candidate: its option; [`NO`] is padding.
    pub option: Vec<u32>,
    /// By candidate: its location; those of one location lie together.
    pub place: Vec<u32>,
    /// By candidate: the limit of its window.
    pub window: Vec<u32>,
    /// By candidate: weights of a package, from and below.
    pub range: Vec<(f64, f64)>,
    /// By limit; the last one is no limit.
    pub limit: Vec<f64>,
    /// By limit: the first one of its cell.
    pub first: Vec<u32>,
    /// By limit: the one behind the last of its cell.
    pub end: Vec<u32>,
}

impl Model {
    /// The limit that never binds.
    pub fn free(&self) -> u32 {
        self.limit.len() as u32 - 1
    }

    /// Limits, without the one that never binds.
    pub fn rows(&self) -> usize {
        self.limit.len() - 1
    }

    pub fn lines(&self) -> usize {
        self.quantity.len()
    }

    /// Cost of an order's plan: candidate by line, of this order.
    pub fn plan_cost(&self, order: &Order, plan: &[u32]) -> f64 {
        let mut cost = 0.0;
        for (line, &candidate) in plan.iter().enumerate() {
            if candidate == NO {
                cost += self.unfilled[order.line as usize + line];
                continue;
            }
            cost += self.cost[order.cell(line, candidate as usize)];
            if !plan[..line].contains(&candidate) {
                cost += self.package[order.candidate as usize + candidate as usize];
            }
        }
        cost
    }

    /// Cost of everything.
    pub fn total(&self, plan: &[u32]) -> f64 {
        self.orders
            .iter()
            .map(|order| self.plan_cost(order, &plan[order.line_range()]))
            .sum()
    }

    /// Calls `f` with each limit that a plan counts against (the last of a cell stands for those before it) and units.
    pub fn uses(&self, order: &Order, plan: &[u32], mut f: impl FnMut(u32, f64)) {
        let free = self.free();
        for (line, &candidate) in plan.iter().enumerate() {
            if candidate == NO {
                continue;
            }
            let at = order.line as usize + line;
            let quantity = self.quantity[at];
            for slot in [
                self.slot[order.cell(line, candidate as usize)],
                self.window[order.candidate as usize + candidate as usize],
                self.own[at],
            ] {
                if slot != free {
                    f(slot, quantity);
                }
            }
        }
    }

    /// What a unit pays in all for counting against a limit, from prices by limit. The last one stays 0.
    pub fn prefix(&self, prices: &[f64], out: &mut Vec<f64>) {
        out.clear();
        out.extend_from_slice(&prices[..self.rows()]);
        out.push(0.0);
        for row in 0..self.rows() {
            if self.first[row] as usize != row {
                out[row] += out[row - 1];
            }
        }
    }
}

/// What is left of each limit, and of all limits of a cell up to each.
#[derive(Debug, Clone, Default)]
pub(crate) struct Left {
    /// By limit.
    pub left: Vec<f64>,
    /// By limit: the least of its cell up to it.
    pub free: Vec<f64>,
}

impl Left {
    pub fn new(model: &Model) -> Self {
        let mut out = Self {
            left: model.limit.clone(),
            free: vec![0.0; model.limit.len()],
        };
        out.refresh(model);
        out
    }

    pub fn refresh(&mut self, model: &Model) {
        for row in 0..self.left.len() {
            let before = if model.first[row] as usize == row {
                f64::INFINITY
            } else {
                self.free[row - 1]
            };
            self.free[row] = before.min(self.left[row]);
        }
    }

    /// Takes units from a limit and those of its cell before it; gives them back where negative.
    pub fn take(&mut self, model: &Model, slot: u32, units: f64) {
        let (first, end) = (
            model.first[slot as usize] as usize,
            model.end[slot as usize] as usize,
        );
        let mut least = f64::INFINITY;
        for row in first..end {
            if row <= slot as usize {
                self.left[row] -= units;
            }
            least = least.min(self.left[row]);
            self.free[row] = least;
        }
    }

    /// Takes what a plan counts against.
    pub fn take_plan(&mut self, model: &Model, order: &Order, plan: &[u32]) {
        model.uses(order, plan, |slot, units| self.take(model, slot, units));
    }

    /// Gives it back.
    pub fn give_plan(&mut self, model: &Model, order: &Order, plan: &[u32]) {
        model.uses(order, plan, |slot, units| self.take(model, slot, -units));
    }

    /// Whether nothing is overdrawn.
    pub fn feasible(&self) -> bool {
        self.left.iter().all(|&left| left >= 0.0)
    }
}
