//! The plan that needs no worker: stock is given out line by line, dearest regret first, under prices that rise
//! where too many want the same stock.
//!
//! The prices also give a lower bound: with price y on each unit of stock, no plan costs less than what the lines
//! would pay if stock had no end, less the value of the stock (weak duality). It holds for every y that is not
//! negative, so the best one found is kept.

use std::time::Instant;

use super::plan::Served;
use super::problem::{Line, Problem};

/// Who made it.
pub const MADE_BY: &str = "priced-greedy@1";
/// Rounds of prices; the first one, without prices, is plain greedy by regret.
const ROUNDS: usize = 200;

/// A plan with its cost, and a cost below which there is none.
#[derive(Debug)]
pub struct Solved {
    /// Units above zero.
    pub units: Vec<Served>,
    /// Cost of the plan, unserved units at their penalty.
    pub objective: i64,
    /// No plan costs less.
    pub bound: i64,
}

/// Plans until the time is over or the plan is proven best.
pub fn solve(problem: &Problem, until: Instant) -> Solved {
    let mut prices = vec![0i64; problem.cells.len()];
    let (mut best, mut objective) = greedy(problem, &prices);
    let (mut bound, mut demand) = dual(problem, &prices);
    let mut latest = bound;
    let mut step = 1.0;
    for round in 1..ROUNDS {
        if objective <= bound || Instant::now() >= until {
            break;
        }
        raise(
            problem,
            &mut prices,
            &demand,
            step * (objective - latest) as f64,
        );
        let (value, wanted) = dual(problem, &prices);
        (latest, demand) = (value, wanted);
        bound = bound.max(value);
        let (plan, cost) = greedy(problem, &prices);
        if cost < objective {
            (best, objective) = (plan, cost);
        }
        // Smaller steps settle what large ones found.
        if round % 20 == 0 {
            step *= 0.5;
        }
    }
    Solved {
        units: best,
        objective: clip(objective),
        bound: clip(bound.min(objective)),
    }
}

fn clip(cost: i128) -> i64 {
    i64::try_from(cost).unwrap_or(if cost < 0 { i64::MIN } else { i64::MAX })
}

/// Best and second best cost of a unit of a line under the prices; not serving it is a choice as well.
fn regret(line: &Line, prices: &[i64]) -> i64 {
    let (mut best, mut second) = (line.penalty, i64::MAX);
    for &(cell, cost) in &line.options {
        let cost = cost.saturating_add(prices[cell]);
        if cost < best {
            (best, second) = (cost, best);
        } else {
            second = second.min(cost);
        }
    }
    second.min(line.penalty).saturating_sub(best)
}

fn greedy(problem: &Problem, prices: &[i64]) -> (Vec<Served>, i128) {
    let mut left: Vec<i64> = problem.cells.iter().map(|cell| cell.available).collect();
    let mut order: Vec<(i64, usize)> = problem
        .lines
        .iter()
        .enumerate()
        .map(|(at, line)| (regret(line, prices), at))
        .collect();
    order.sort_unstable_by_key(|&(regret, at)| (std::cmp::Reverse(regret), at));
    let mut plan = Vec::new();
    let mut total = 0i128;
    let mut options = Vec::new();
    for (_, at) in order {
        let line = &problem.lines[at];
        options.clone_from(&line.options);
        options.sort_unstable_by_key(|&(cell, cost)| (cost.saturating_add(prices[cell]), cell));
        let mut open = line.quantity;
        for &(cell, cost) in options.iter().filter(|(_, cost)| *cost < line.penalty) {
            let units = open.min(left[cell]);
            if units > 0 {
                left[cell] -= units;
                open -= units;
                total += i128::from(units) * i128::from(cost);
                plan.push(Served {
                    line: at,
                    cell,
                    units,
                });
            }
        }
        total += i128::from(open) * i128::from(line.penalty);
    }
    plan.sort_unstable_by_key(|served| (served.line, served.cell));
    (plan, total)
}

/// The bound under the prices, and what the lines would take of each cell.
fn dual(problem: &Problem, prices: &[i64]) -> (i128, Vec<i64>) {
    let mut demand = vec![0i64; prices.len()];
    let mut value = 0i128;
    for line in &problem.lines {
        let (mut best, mut from) = (line.penalty, None);
        for &(cell, cost) in &line.options {
            let cost = cost.saturating_add(prices[cell]);
            if cost < best {
                (best, from) = (cost, Some(cell));
            }
        }
        value += i128::from(line.quantity) * i128::from(best);
        if let Some(cell) = from {
            demand[cell] = demand[cell].saturating_add(line.quantity);
        }
    }
    for (price, cell) in prices.iter().zip(&problem.cells) {
        value -= i128::from(*price) * i128::from(cell.available);
    }
    (value, demand)
}

/// Moves prices against the excess of demand over stock, as far as the gap warrants.
fn raise(problem: &Problem, prices: &mut [i64], demand: &[i64], gap: f64) {
    let excess = |at: usize| demand[at].saturating_sub(problem.cells[at].available) as f64;
    let moved = |at: usize| prices[at] > 0 || excess(at) > 0.0;
    let norm: f64 = (0..prices.len())
        .filter(|at| moved(*at))
        .map(|at| excess(at) * excess(at))
        .sum();
    if norm <= 0.0 {
        return;
    }
    let scale = gap / norm;
    for (at, price) in prices.iter_mut().enumerate() {
        let excess = demand[at].saturating_sub(problem.cells[at].available) as f64;
        let next = *price as f64 + scale * excess;
        *price = next.round().clamp(0.0, 1e15) as i64;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::problem::Cell;
    use super::*;

    fn line(quantity: i64, penalty: i64, options: &[(usize, i64)]) -> Line {
        Line {
            order: String::new(),
            number: 0,
            quantity,
            penalty,
            options: options.to_vec(),
        }
    }

    fn problem(lines: Vec<Line>, available: &[i64]) -> Problem {
        let cells = available.iter().map(|units| Cell {
            location: String::new(),
            available: *units,
        });
        Problem {
            lines,
            cells: cells.collect(),
        }
    }

    fn solved(problem: &Problem) -> Solved {
        solve(problem, Instant::now() + Duration::from_secs(5))
    }

    #[test]
    fn scarce_stock_goes_where_the_alternative_costs_most() {
        let lines = vec![
            line(1, 500, &[(0, 10), (1, 20)]),
            line(1, 500, &[(0, 11), (1, 100)]),
        ];
        let found = solved(&problem(lines, &[1, 5]));
        assert_eq!(found.objective, 31);
        assert_eq!(found.bound, 31, "proven");
    }

    #[test]
    fn what_is_dearer_than_its_penalty_is_left() {
        let found = solved(&problem(vec![line(2, 15, &[(0, 16)])], &[3]));
        assert_eq!((found.objective, found.units.len()), (30, 0));
    }

    #[test]
    fn a_line_splits_when_one_place_has_too_little() {
        let found = solved(&problem(vec![line(5, 500, &[(0, 10), (1, 20)])], &[3, 5]));
        assert_eq!(found.objective, 70);
        assert_eq!(
            found.units.iter().map(|served| served.units).sum::<i64>(),
            5
        );
    }

    #[test]
    fn plans_keep_to_the_stock_and_bounds_below_the_plan() {
        let mut seed = 7u64;
        let mut next = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((seed >> 33) % n) as i64
        };
        for _ in 0..200 {
            let available: Vec<i64> = (0..6).map(|_| next(12)).collect();
            let lines = (0..20)
                .map(|_| {
                    let mut options = Vec::new();
                    for cell in 0..6 {
                        if next(2) == 0 {
                            options.push((cell, next(50)));
                        }
                    }
                    line(1 + next(4), next(120), &options)
                })
                .collect();
            let problem = problem(lines, &available);
            let found = solved(&problem);
            let mut used = [0; 6];
            let mut served = [0; 20];
            let mut cost = 0;
            for unit in &found.units {
                assert!(unit.units > 0);
                used[unit.cell] += unit.units;
                served[unit.line] += unit.units;
                let option = problem.lines[unit.line]
                    .options
                    .iter()
                    .find(|option| option.0 == unit.cell);
                cost += unit.units * option.expect("an option of the line").1;
            }
            assert!(
                used.iter()
                    .zip(&available)
                    .all(|(used, available)| used <= available)
            );
            for (line, served) in problem.lines.iter().zip(&served) {
                assert!(*served <= line.quantity);
                cost += (line.quantity - served) * line.penalty;
            }
            assert_eq!(found.objective, cost);
            assert!(found.bound <= found.objective);
            let gap = found.objective - found.bound;
            assert!(
                gap * 10 <= found.objective.max(1),
                "gap {gap} of {}",
                found.objective
            );
        }
    }
}
