//! A certified lower bound at prices, in whole numbers.

use crate::model::{EXACT_LINES, Left, Model, Order};
use crate::planner::Planner;
use crate::problem::Problem;

/// Prices are rounded to one part in so many of a minor unit.
pub const PRICE_PARTS: f64 = 1024.0;
/// Whole numbers up to here are exact in an `f64`.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl Problem {
    /// No plan costs less than this: the Lagrangian bound at prices by row (negative ones and what is no number count
    /// as 0), rounded to 1/1024 of a minor unit. All sums are of whole numbers below 2⁵³, or of `i128`, hence exact.
    pub fn bound(&self, prices: &[f64]) -> i64 {
        bound(&self.model, prices)
    }
}

/// See [`Problem::bound`].
pub(crate) fn bound(model: &Model, prices: &[f64]) -> i64 {
    let top = model
        .package
        .iter()
        .chain(&model.unfilled)
        .chain(model.cost.iter().filter(|cost| cost.is_finite()))
        .fold(1.0f64, |most, &cost| most.max(cost));
    // Of at most 8 lines: their costs, packages and shares of them.
    let mut parts = PRICE_PARTS;
    while parts > 1.0 && top * parts * 64.0 > EXACT {
        parts /= 2.0;
    }
    // No unit is worth more than everything that an order costs: a higher price only lowers the bound.
    let most = top * 16.0;
    let rounded: Vec<f64> = (0..model.rows())
        .map(|row| {
            let price = prices.get(row).copied().unwrap_or(0.0);
            if price > 0.0 {
                (price.min(most) * parts).round()
            } else {
                0.0
            }
        })
        .collect();
    let mut asked = Vec::new();
    model.prefix(&rounded, &mut asked);
    let mut scaled = Scaled {
        planner: Planner::default(),
        left: Left::new(model),
        unfilled: Vec::new(),
        asked,
        parts,
        most: top * parts * 8.0,
    };
    let mut sum = 0i128;
    for order in &model.orders {
        sum += scaled.least(model, order);
    }
    for (&price, &limit) in rounded.iter().zip(&model.limit) {
        sum -= price as i128 * limit as i128;
    }
    let parts = parts as i128;
    let bound = sum.div_euclid(parts) + i128::from(sum.rem_euclid(parts) > 0);
    bound.clamp(0, i64::MAX.into()) as i64
}

struct Scaled {
    planner: Planner,
    left: Left,
    unfilled: Vec<f64>,
    asked: Vec<f64>,
    parts: f64,
    /// More than any order costs.
    most: f64,
}

impl Scaled {
    /// Least that an order costs and pays, in parts of a minor unit.
    fn least(&mut self, model: &Model, order: &Order) -> i128 {
        let lines = order.lines as usize;
        if lines <= EXACT_LINES {
            return self.part(model, order, 1);
        }
        let pieces = lines.div_ceil(EXACT_LINES);
        pieces_of(order)
            .map(|piece| self.part(model, &piece, pieces))
            .sum()
    }

    fn part(&mut self, model: &Model, order: &Order, pieces: usize) -> i128 {
        self.planner
            .scaled(model, order, &self.asked, self.parts, self.most);
        self.unfilled.clear();
        self.unfilled.extend(
            model.unfilled[order.line_range()]
                .iter()
                .map(|cost| cost * self.parts),
        );
        let share = self.parts / pieces as f64;
        self.planner
            .least(model, order, &self.unfilled, &self.left, share) as i128
    }
}

/// A long order in pieces that are planned exactly. The least that they cost is a lower bound of the order's, where each
/// pays its part of every package: a package of the order is one of at most all pieces.
pub(crate) fn pieces_of(order: &Order) -> impl Iterator<Item = Order> {
    let (order, lines) = (*order, order.lines as usize);
    (0..lines).step_by(EXACT_LINES).map(move |first| Order {
        line: order.line + first as u32,
        lines: (lines - first).min(EXACT_LINES) as u32,
        matrix: order.matrix + first as u32 * order.candidates,
        complete: false,
        packages: crate::model::NO,
        ranged: false,
        repeats: false,
        ..order
    })
}
