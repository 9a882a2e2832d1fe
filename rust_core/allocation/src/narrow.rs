//! A model with the candidates that good plans may need at given prices, so that the search looks at no others.

use crate::model::{EXACT_LINES, LANES, Left, Model, NO, Order};
use crate::planner::Planner;

/// Keeps, of each order that is planned exactly, the `most` candidates that a plan of least regret at the prices (prefix
/// sums) may have. `keep` names candidates by line that stay in any case.
pub(crate) fn narrowed(model: &Model, asked: &[f64], most: usize, keep: &[u32]) -> Model {
    let mut out = Model {
        quantity: model.quantity.clone(),
        weight: model.weight.clone(),
        item: model.item.clone(),
        unfilled: model.unfilled.clone(),
        own: model.own.clone(),
        order_of: model.order_of.clone(),
        limit: model.limit.clone(),
        first: model.first.clone(),
        end: model.end.clone(),
        ..Model::default()
    };
    let (mut planner, full) = (Planner::default(), Left::new(model));
    let (mut ranked, mut kept) = (Vec::new(), Vec::new());
    for order in &model.orders {
        kept.clear();
        let lines = order.lines as usize;
        let real = model.option[order.candidate_range()]
            .iter()
            .filter(|&&option| option != NO)
            .count();
        if lines == 0 || lines > EXACT_LINES || real <= most || order.ranged {
            kept.extend(0..real);
        } else {
            planner.price(model, order, asked);
            let unfilled = &model.unfilled[order.line_range()];
            planner.regrets(model, order, unfilled, &full, &mut ranked);
            ranked.truncate(real);
            ranked.select_nth_unstable_by(most - 1, |one, other| one.0.total_cmp(&other.0));
            ranked.truncate(most);
            kept.extend(ranked.iter().map(|row| row.1 as usize));
            for &candidate in &keep[order.line_range()] {
                if candidate != NO && !kept.contains(&(candidate as usize)) {
                    kept.push(candidate as usize);
                }
            }
            kept.sort_unstable();
        }
        append(&mut out, model, order, &kept);
    }
    out
}

fn append(out: &mut Model, model: &Model, order: &Order, kept: &[usize]) {
    let padded = kept.len().next_multiple_of(LANES);
    let free = model.free();
    let start = order.candidate as usize;
    out.orders.push(Order {
        candidate: out.option.len() as u32,
        candidates: padded as u32,
        matrix: out.cost.len() as u32,
        ..*order
    });
    let pad = padded - kept.len();
    for line in 0..order.lines as usize {
        let row = order.cell(line, 0);
        out.cost.extend(kept.iter().map(|&at| model.cost[row + at]));
        out.cost.extend(std::iter::repeat_n(f64::INFINITY, pad));
        out.slot.extend(kept.iter().map(|&at| model.slot[row + at]));
        out.slot.extend(std::iter::repeat_n(free, pad));
    }
    out.package
        .extend(kept.iter().map(|&at| model.package[start + at]));
    out.package.extend(std::iter::repeat_n(0.0, pad));
    out.option
        .extend(kept.iter().map(|&at| model.option[start + at]));
    out.option.extend(std::iter::repeat_n(NO, pad));
    out.place
        .extend(kept.iter().map(|&at| model.place[start + at]));
    out.place.extend(std::iter::repeat_n(NO, pad));
    out.window
        .extend(kept.iter().map(|&at| model.window[start + at]));
    out.window.extend(std::iter::repeat_n(free, pad));
    out.range
        .extend(kept.iter().map(|&at| model.range[start + at]));
    out.range
        .extend(std::iter::repeat_n((0.0, f64::INFINITY), pad));
}

/// The candidates of another model that are the same options.
pub(crate) fn translate(from: &Model, to: &Model, plan: &[u32]) -> Vec<u32> {
    plan.iter()
        .zip(&from.order_of)
        .map(|(&candidate, &number)| {
            if candidate == NO {
                return NO;
            }
            let (order, other) = (&from.orders[number as usize], &to.orders[number as usize]);
            let at = (order.candidate + candidate) as usize;
            let found = other.candidate_range().find(|&there| {
                to.option[there] == from.option[at] && to.range[there] == from.range[at]
            });
            found.map_or(NO, |there| there as u32 - other.candidate)
        })
        .collect()
}
